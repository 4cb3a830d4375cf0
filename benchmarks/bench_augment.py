"""A thousand sentences of 25 words, each augmented once: ours beside nlpaug and textaugment; and more sentences."""

import random
import sys
import types
from functools import partial

from benchmarks.bench_metrics import import_peer
from benchmarks.timing import medians, show
from tutorial_lib.augment import (
    TfIdf,
    augment,
    eda_operations,
    keyboard_noise,
    random_deletion,
    random_insertion,
    random_swap,
    spelling_noise,
    synonym_replacement,
    tfidf_replacement,
)
from tutorial_lib.augment.lexicon import MISSPELLINGS, SYNONYMS

NLPAUG, TEXTAUGMENT = "nlpaug==1.1.11", "textaugment==3.0.0"
SHARE = 0.3  # of the words of a sentence: nlpaug's default; 7 of 25
CHANGED = 7


def main(peers: bool = False) -> None:
    rng = random.Random(0)
    words = sorted(word for word in {*SYNONYMS, *MISSPELLINGS} if word.isascii() and word.isalpha())
    sentences = [" ".join(rng.choice(words) for _ in range(25)) for _ in range(1000)]
    tfidf = TfIdf([sentence.split() for sentence in sentences])
    ours = {
        "swap": partial(random_swap, n=CHANGED),
        "delete": partial(random_deletion, p=SHARE),
        "keyboard": partial(keyboard_noise, p=SHARE),
        "spelling": partial(spelling_noise, p=SHARE),
        "TF-IDF": partial(tfidf_replacement, tfidf=tfidf, p=SHARE),
        "synonyms": partial(synonym_replacement, n=CHANGED),
        "insert": partial(random_insertion, n=CHANGED),
    }
    theirs = {name: {} for name in ours}
    if peers:
        for name, function in nlpaug(sentences).items():
            theirs[name]["nlpaug"] = function
        for name, function in textaugment().items():
            theirs[name]["textaugment"] = function
    goals = {"synonyms": "textaugment's time", "insert": "textaugment's time"}
    for name, function in ours.items():
        functions = {"ours": partial(each, partial(on_string, partial(function, rng=rng)), sentences)}
        functions |= {peer: partial(each, peer_function, sentences) for peer, peer_function in theirs[name].items()}
        times = medians(functions, repetitions=7)
        show(f"{name}, 1,000 x 25 words", times.pop("ours"), times, goals.get(name, "10 x nlpaug, textaugment's time"))
    if not peers:
        print(f"    nlpaug, textaugment: python -m benchmarks augment --peers (fetches {NLPAUG}, {TEXTAUGMENT})")
    many(sentences)


def many(sentences: list[str]) -> None:
    """Records of all of EDA: the time must grow with the number of sentences, and no faster."""
    options = {"operations": eda_operations(), "n": 4}
    functions = {
        f"{count:6,} sentences{', two processes' if workers else ''}": partial(
            augment, sentences * (count // 1000), workers=workers, **options
        )
        for workers in (0, 2)
        for count in (1000, 10000)
    }
    times = medians(functions, repetitions=3)
    print("augment, four variants a sentence by EDA, with records    goal: flat")
    for name, seconds in times.items():
        count = int(name.split()[0].replace(",", ""))
        print(f"    {1e6 * seconds / count:6.0f} us a sentence  {name} ({seconds:.2f} s)")


def each(function, sentences: list[str]) -> None:
    for sentence in sentences:
        function(sentence)


def on_string(function, sentence: str) -> str:
    """The peers take and give strings: so do we, by the same cheap way of cutting them into words."""
    return " ".join(function(sentence.split()))


def nlpaug(sentences: list[str]) -> dict:
    # It loads this for its downloads of word vectors, which are not used here.
    sys.modules.setdefault("gdown", types.ModuleType("gdown"))
    word, char = import_peer(NLPAUG, "nlpaug.augmenter.word"), import_peer(NLPAUG, "nlpaug.augmenter.char")
    statistics = import_peer(NLPAUG, "nlpaug.model.word_stats").TfIdf()
    statistics.train([sentence.split() for sentence in sentences])
    share, cut = {"aug_p": SHARE}, {"tokenizer": str.split, "reverse_tokenizer": " ".join}

    class FittedTfIdf(word.TfIdfAug):
        def get_model(self, force_reload=False):  # else it reads the statistics from files
            return statistics

    augmenters = {
        "swap": word.RandomWordAug(action="swap", **share, **cut),
        "delete": word.RandomWordAug(action="delete", **share, **cut),
        "keyboard": char.KeyboardAug(
            aug_word_p=SHARE, aug_char_min=1, aug_char_max=1, include_special_char=False, include_numeric=False, **cut
        ),
        "spelling": word.SpellingAug(**share, **cut),
        "TF-IDF": FittedTfIdf(**share, **cut),
    }
    return {name: augmenter.augment for name, augmenter in augmenters.items()}


def textaugment() -> dict:
    """Its EDA, with our synonyms in the place of WordNet's (a download), and without its own download."""
    module = import_peer(TEXTAUGMENT, "textaugment/eda.py")
    module.wordnet = types.SimpleNamespace(synsets=synsets)
    eda = object.__new__(module.EDA)
    eda.stopwords = []
    return {
        "swap": partial(eda.random_swap, n=CHANGED),
        "delete": partial(eda.random_deletion, p=SHARE),
        "synonyms": partial(eda.synonym_replacement, n=CHANGED),
        "insert": partial(eda.random_insertion, n=CHANGED),
    }


def synsets(word: str) -> list:
    lemmas = [types.SimpleNamespace(name=lambda name=name: name) for name in SYNONYMS.get(word, ())]
    return [types.SimpleNamespace(lemmas=lambda: lemmas)]
