"""Text augmentation: each method's known answers and properties, and where the popular code parts from its paper."""

import itertools
import json
import math
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib import augment as module
from tutorial_lib.augment import (
    CLINICAL,
    Neighbours,
    TfIdf,
    WordSampler,
    active_to_passive,
    augment,
    augment_batch,
    back_translation,
    back_translations,
    blank_noise,
    contract,
    crop_tree,
    eda,
    eda_operations,
    embedding_replacement,
    expand,
    hf_fill,
    hf_generate,
    hf_translate,
    homophone_noise,
    instance_crossover,
    is_punctuation,
    keyboard_noise,
    label_conditioned,
    label_prompt,
    mlm_replacement,
    move_adverbial,
    protect,
    random_deletion,
    random_insertion,
    random_swap,
    sent_mixup,
    sentence_shuffle,
    spelling_noise,
    synonym_replacement,
    tfidf_replacement,
    token_spans,
    unigram_noise,
    word_mixup,
)
from tutorial_lib.augment.lexicon import KEYBOARD, SYNONYMS
from tutorial_lib.mixup import mixup
from tutorial_lib.text import STOP_WORDS, tokenize

few = settings(max_examples=60, deadline=None)
CORPUS = [
    "the patient reports severe pain and no fever".split(),
    "no cough , no fever , the patient sleeps well .".split(),
    ["患者", "咳嗽", "、", "发热", "3", "天", "，", "否认", "胸痛", "。"],
    "she does not take aspirin 100 mg because she is allergic .".split(),
]
VOCABULARY = sorted({word for text in CORPUS for word in text})


def fill(tokens, position, k):
    """A stand-in for a masked language model: what it offers depends on the neighbours only."""
    left = tokens[position - 1] if position else "^"
    return [(word, 1 / (1 + i)) for i, word in enumerate(("pain", "fever", "cough", left)[:k])]


def translate(texts, source, target):
    """A stand-in for a translator: into German word by word, and back with another word."""
    words = {"fever": "Fieber", "Fieber": "pyrexia", "pain": "Schmerz", "Schmerz": "ache"}
    return [" ".join(words.get(word, word) for word in text.split()) for text in texts]


def generate(prompt, seed):
    return f" and pain number {seed % 7} ."


def chain_parse(tokens):
    """A parse that is a tree for any tokens: the second is the root, the first its subject, the third its object."""
    root = min(1, len(tokens) - 1)
    relations = {0: "nsubj", 1: "root", 2: "obj", 3: "obl"}
    return [(t, -1 if i == root else root, relations.get(i, "punct")) for i, t in enumerate(tokens)]


TFIDF = TfIdf(CORPUS)
UNIGRAM = WordSampler.from_texts(CORPUS)
VECTORS = np.random.default_rng(0).normal(size=(len(VOCABULARY), 8))
NEAR = Neighbours(VOCABULARY, VECTORS, k=3)

#: Every method of the article that takes a list of tokens.
METHODS = {
    "synonym_replacement": partial(synonym_replacement, n=2),
    "random_insertion": partial(random_insertion, n=2),
    "random_swap": partial(random_swap, n=2),
    "random_deletion": partial(random_deletion, p=0.5),
    "embedding_replacement": partial(embedding_replacement, neighbours=NEAR, n=2),
    "mlm_replacement": partial(mlm_replacement, fill=fill, n=2),
    "tfidf_replacement": partial(tfidf_replacement, tfidf=TFIDF, p=0.4),
    "unigram_noise": partial(unigram_noise, unigram=UNIGRAM, p=0.4),
    "blank_noise": partial(blank_noise, p=0.4),
    "spelling_noise": partial(spelling_noise, p=0.6),
    "keyboard_noise": partial(keyboard_noise, p=0.6),
    "homophone_noise": partial(homophone_noise, p=0.6),
    "contract": partial(contract, p=0.7),
    "expand": partial(expand, p=0.7),
    "sentence_shuffle": sentence_shuffle,
}
#: These have nothing to protect: they write the text anew.
WHOLE = {
    "back_translation": partial(back_translation, translate=translate),
    "label_conditioned": partial(label_conditioned, label="flu", generate=generate),
    "active_to_passive": partial(active_to_passive, parse=chain_parse),
    "move_adverbial": partial(move_adverbial, parse=chain_parse),
    "crop_tree": partial(crop_tree, parse=chain_parse),
}
SAME_LENGTH = {"random_swap", "tfidf_replacement", "unigram_noise", "blank_noise", "mlm_replacement"} | {
    "spelling_noise",
    "keyboard_noise",
    "homophone_noise",
    "sentence_shuffle",
}
words = st.sampled_from([*VOCABULARY, "She's", "Don't", "Severe", "B12", "!", "x", "do", "not", "I", "am"])
texts = st.lists(words, min_size=1, max_size=25)
seeds = st.integers(0, 10**6)


# ---------------------------------------------------------------------------------------- all methods alike


@pytest.mark.parametrize("name", [*METHODS, *WHOLE])
@given(tokens=texts, seed=seeds)
@few
def test_every_method_gives_a_list_of_words_and_is_pure_and_deterministic(name, tokens, seed):
    method, before = (METHODS | WHOLE)[name], list(tokens)
    new = method(tokens, rng=random.Random(seed))
    assert tokens == before
    assert isinstance(new, list) and new and all(isinstance(token, str) and token for token in new)
    assert new == method(tuple(tokens), rng=random.Random(seed))
    if name in SAME_LENGTH:
        assert len(new) == len(tokens)


@pytest.mark.parametrize("name", METHODS)
@given(tokens=texts, seed=seeds)
@few
def test_protected_tokens_stay_and_stay_together(name, tokens, seed):
    """In their order, none lost; and what stood side by side still does."""
    new = METHODS[name](tokens, keep=CLINICAL, rng=random.Random(seed))
    if name in SAME_LENGTH - {"sentence_shuffle"}:
        assert all(a == b for a, b in zip(tokens, new) if CLINICAL(a))
    runs = [list(run) for kept, run in itertools.groupby(tokens, CLINICAL) if kept]
    text, start = "\0" + "\0".join(new) + "\0", 0
    for run in runs:
        found = text.find("\0" + "\0".join(run) + "\0", start)
        assert found >= 0
        start = found + len("\0".join(run)) + 1


@pytest.mark.parametrize("name", [*METHODS, *WHOLE])
def test_no_words_and_one_word(name):
    method = (METHODS | WHOLE)[name]
    if name != "label_conditioned":  # it writes after any prompt
        assert method([], rng=random.Random(0)) == []
    for seed in range(20):
        assert len(method(["fever"], rng=random.Random(seed))) >= 1


@pytest.mark.parametrize("name", [*METHODS, *sorted(WHOLE.keys() - {"active_to_passive"})])
def test_bad_arguments_are_named(name):
    method = (METHODS | WHOLE)[name]
    with pytest.raises(ValueError, match="tokens must be a list of strings, got one string"):
        method("no fever", rng=random.Random(0))
    if name not in {"move_adverbial", "crop_tree"}:
        with pytest.raises(ValueError, match="rng must be a random.Random, got module"):
            method(["no", "fever"], rng=random)
        with pytest.raises(ValueError, match="tokens must be a list of strings, got 3 in it"):
            method(["no", 3], rng=random.Random(0))
    if name in METHODS:
        with pytest.raises(ValueError, match="keep must be a collection of words"):
            method(["no", "fever"], keep="no", rng=random.Random(0))


@pytest.mark.parametrize(
    "method", [random_deletion, blank_noise, spelling_noise, keyboard_noise, homophone_noise, contract, expand]
)
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_probability_is_one(method, p):
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\], got"):
        method(["a", "b"], p=p, rng=random.Random(0))


@pytest.mark.parametrize("method", [random_swap, synonym_replacement, random_insertion])
@pytest.mark.parametrize("n", [-1, 1.5, "2"])
def test_a_number_is_one(method, n):
    with pytest.raises(ValueError, match="n must be a whole number"):
        method(["a", "b"], n=n, rng=random.Random(0))


# ---------------------------------------------------------------------------------------- protected tokens


def test_clinical_protects_numbers_units_and_negations():
    text = tokenize("No fever, denies 3 days of pain; aspirin 100mg, BP 168/98 mmHg, B12 low.")
    kept = [token for token in text if CLINICAL(token)]
    assert kept == ["No", "denies", "3", "days", "100", "mg", "168/98", "mmHg", "B12"]
    text = ["否认", "咳嗽", "3", "三", "天", "无", "500mg", "三叉神经"]
    assert [token for token in text if CLINICAL(token)] == ["否认", "3", "三", "天", "无", "500mg"]


def test_what_goes_wrong_without_protection():
    """A dose that loses its number, a negation that is dropped: what the chapter shows."""
    text = "No fever , takes aspirin 100 mg".split()
    broken = Counter()
    for seed in range(200):
        loose = random_deletion(text, p=0.2, rng=random.Random(seed))
        safe = random_deletion(text, p=0.2, keep=CLINICAL, rng=random.Random(seed))
        broken["loose"] += not {"No", "100", "mg"} <= set(loose)
        broken["safe"] += not {"No", "100", "mg"} <= set(safe)
    assert broken["safe"] == 0 and broken["loose"] > 50


def test_nothing_is_inserted_inside_a_dose_nor_after_the_full_stop():
    text = ["severe", "pain", "100", "mg", "."]
    keep = protect(CLINICAL, is_punctuation)
    for seed in range(100):
        new = random_insertion(text, n=3, keep=keep, rng=random.Random(seed))
        assert len(new) > 5 and new[-3:] == ["100", "mg", "."]


def test_protect_takes_words_and_functions_and_refuses_a_string():
    keep = protect({"Aspirin"}, str.isdigit)
    assert keep("Aspirin") and not keep("aspirin") and keep("100")
    assert protect(["aspirin"])("ASPIRIN")
    with pytest.raises(ValueError, match="rules must be collections"):
        protect("aspirin")
    assert pickle.loads(pickle.dumps(CLINICAL))("mg")


# ---------------------------------------------------------------------------------------- EDA


def test_synonym_replacement_replaces_n_places():
    text = ["severe", "pain", "severe", "pain", "today"]
    for seed in range(50):
        new = synonym_replacement(text, n=3, synonyms={"severe": ["grave"], "pain": ["ache"]}, rng=random.Random(seed))
        assert sum(a != b for a, b in zip(text, new)) == 3 and new[4] == "today"
    new = synonym_replacement(text, n=99, synonyms={"severe": ["grave"], "pain": ["ache"]}, rng=random.Random(0))
    assert new == ["grave", "ache", "grave", "ache", "today"]


def test_synonyms_keep_case_and_may_be_several_words():
    table = {"fever": ["high temperature"], "heart_rate": ["x"]}
    assert synonym_replacement(["Fever"], synonyms=table, rng=random.Random(0)) == ["High", "temperature"]
    assert synonym_replacement(["FEVER"], synonyms=table, rng=random.Random(0)) == ["HIGH", "TEMPERATURE"]
    table = {"Fever": ["a_cold"]}
    assert synonym_replacement(["Fever"], synonyms=table, rng=random.Random(0)) == ["A", "cold"]


def test_synonyms_may_be_a_function_or_sets_and_a_string_is_refused():
    assert synonym_replacement(["a"], synonyms=lambda word: [word * 2], stop_words=(), rng=random.Random(0)) == ["aa"]
    table = {"fever": {"pyrexia", "heat", "temperature"}}
    drawn = Counter(synonym_replacement(["fever"], synonyms=table, rng=random.Random(s))[0] for s in range(300))
    assert set(drawn) == table["fever"] and min(drawn.values()) > 60
    with pytest.raises(ValueError, match="list of words for 'fever', got the string 'pyrexia'"):
        synonym_replacement(["fever"], synonyms={"fever": "pyrexia"}, rng=random.Random(0))


def test_stop_words_are_neither_replaced_nor_inserted_for():
    table = {"the": ["this"], "fever": ["pyrexia"], "了": ["啦"]}
    for seed in range(30):
        assert synonym_replacement(["The", "fever"], synonyms=table, rng=random.Random(seed)) == ["The", "pyrexia"]
        assert "this" not in random_insertion(["the", "fever"], n=3, synonyms=table, rng=random.Random(seed))
    assert "了" in STOP_WORDS["zh"]
    assert synonym_replacement(["了"], synonyms=table, rng=random.Random(0)) == ["了"]
    assert synonym_replacement(["the"], synonyms=table, stop_words=(), rng=random.Random(0)) == ["this"]


@given(tokens=texts, seed=seeds, n=st.integers(0, 6))
@few
def test_random_insertion_adds_and_moves_nothing(tokens, seed, n):
    new = random_insertion(tokens, n=n, synonyms={word: ["new"] for word in VOCABULARY}, rng=random.Random(seed))
    assert [word for word in new if word != "new"] == tokens
    assert len(new) - len(tokens) in (0, n)


def test_random_insertion_reaches_every_place_and_every_synonym():
    table = {"fever": ["pyrexia", "heat"]}
    seen = Counter(tuple(random_insertion(["a", "fever"], synonyms=table, rng=random.Random(s))) for s in range(600))
    assert len(seen) == 6 and min(seen.values()) > 60


@given(tokens=texts, seed=seeds, n=st.integers(0, 6))
@few
def test_random_swap_permutes(tokens, seed, n):
    new = random_swap(tokens, n=n, rng=random.Random(seed))
    assert Counter(new) == Counter(tokens)
    assert sum(a != b for a, b in zip(tokens, new)) <= 2 * n


def test_random_swap_takes_each_pair_alike():
    seen = Counter(tuple(random_swap(list("abcd"), rng=random.Random(seed))) for seed in range(1200))
    assert len(seen) == 6 and min(seen.values()) > 140


def test_random_deletion_deletes_a_share_p_and_never_all():
    text = [str(i) for i in range(1000)]
    left = len(random_deletion(text, p=0.3, rng=random.Random(0)))
    assert abs(left - 700) < 5 * math.sqrt(1000 * 0.3 * 0.7)
    last = Counter(tuple(random_deletion(["a", "b", "c"], p=1, rng=random.Random(seed))) for seed in range(300))
    assert set(last) == {("a",), ("b",), ("c",)} and min(last.values()) > 60
    assert random_deletion(["a", "b"], p=0, rng=random.Random(0)) == ["a", "b"]


ENGLISH = "The patient reports severe chest pain, but denies fever; she takes aspirin 100 mg daily."
CHINESE = "患者咳嗽、发热3天，否认胸痛，服用阿莫西林500mg。"


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_eda_gives_n_different_variants_with_their_punctuation(text):
    pytest.importorskip("jieba")
    for n in (0, 1, 4, 9, 16):
        variants = eda(text, n=n, alpha=0.1, rng=random.Random(n))
        assert len({*variants, text}) == n + 1
        for variant in variants:
            assert [c for c in variant if c in ",;.，、。"] == [c for c in text if c in ",;.，、。"]


def test_eda_makes_a_quarter_of_the_variants_by_each_operation():
    records = augment([ENGLISH], operations=eda_operations(), n=16)
    made = Counter(record.operation for record in records)
    # Deletion may delete nothing; then it is the next one's turn.
    assert sum(made.values()) == 16 and set(made) == set(eda_operations()) and min(made.values()) >= 3


@pytest.mark.parametrize(("alpha", "changes"), [(0.0, 1), (0.1, 1), (0.2, 2), (0.5, 5)])
def test_eda_changes_a_share_alpha_of_the_words(alpha, changes):
    """n = max(1, floor(alpha * words)); punctuation is no word."""
    text = [*(f"w{i}" for i in range(10)), "."]
    table = {f"w{i}": [f"s{i}"] for i in range(10)}
    operations = eda_operations(alpha=alpha, synonyms=table)
    new = operations["synonym_replacement"](text, rng=random.Random(0))
    assert sum(word[0] == "s" for word in new) == changes
    assert len(operations["random_insertion"](text, rng=random.Random(0))) == 11 + changes
    assert operations["random_deletion"].keywords["p"] == alpha


def test_eda_of_little_text_gives_what_there_is():
    assert eda("", rng=random.Random(0)) == []
    assert eda("...", rng=random.Random(0)) == []
    assert eda("Ouagadougou", rng=random.Random(0)) == []
    variants = eda("fever", n=20, rng=random.Random(0))
    assert 0 < len(variants) < 20 and len(set(variants)) == len(variants) and "fever" not in variants


def test_eda_keeps_the_spacing_of_what_it_does_not_touch():
    text = "Severe  pain.\n\nTakes aspirin 100mg\ttwice."
    operations = {"only": partial(synonym_replacement, synonyms={"severe": ["grave"]})}
    (record,) = augment([text], operations=operations)
    assert record.text == "Grave  pain.\n\nTakes aspirin 100mg\ttwice."


# --- the popular code (eda_nlp), said again in a few lines: what it does that its paper does not say


def popular_clean(text):
    text = text.replace("’", "").replace("'", "").replace("-", " ").replace("\t", " ").replace("\n", " ").lower()
    return " ".join("".join(c if c in "qwertyuiopasdfghjklzxcvbnm " else " " for c in text).split())


def popular_synonyms(word, table):
    return list({synonym for synonym in table.get(word, ()) if synonym != word})


def popular_synonym_replacement(tokens, n, table, rng):
    new, done = list(tokens), 0
    candidates = list({word for word in tokens if word not in STOP_WORDS["en"]})
    rng.shuffle(candidates)
    for word in candidates:
        synonyms = popular_synonyms(word, table)
        if synonyms:
            synonym = rng.choice(synonyms)
            new, done = [synonym if other == word else other for other in new], done + 1
        if done >= n:
            break
    return new


def popular_random_insertion(tokens, n, table, rng):
    new = list(tokens)
    for _ in range(n):
        for _ in range(10):
            synonyms = popular_synonyms(rng.choice(new), table)
            if synonyms:
                new.insert(rng.randint(0, len(new) - 1), synonyms[0])
                break
    return new


def popular_eda(text, n, table, rng, alpha=0.1):
    tokens = popular_clean(text).split()
    if not tokens:
        return None  # the code fails here
    changes, each, made = max(1, int(alpha * len(tokens))), n // 4 + 1, []
    for _ in range(each):
        made.append(popular_synonym_replacement(tokens, changes, table, rng))
        made.append(popular_random_insertion(tokens, changes, table, rng))
        made.append(random_swap(tokens, n=changes, rng=rng))
        made.append(random_deletion(tokens, p=alpha, rng=rng))
    rng.shuffle(made)
    return made, [" ".join(tokens) for tokens in made[:n]]


def test_popular_insertion_uses_stop_words_and_always_the_first_synonym():
    table = {"the": ["this"], "fever": ["pyrexia", "heat", "temperature"]}
    text, popular, ours = ["the", "fever"], Counter(), Counter()
    for seed in range(200):
        popular.update(popular_random_insertion(text, 1, table, random.Random(seed)))
        ours.update(random_insertion(text, n=1, synonyms=table, rng=random.Random(seed)))
    assert popular["this"] > 50
    assert len({"pyrexia", "heat", "temperature"} & set(popular)) == 1  # the same one each time, in this process
    assert ours["this"] == 0 and min(ours[word] for word in table["fever"]) > 40


def test_popular_replacement_replaces_all_occurrences():
    text, table = ["pain", "and", "pain"], {"pain": ["ache"]}
    assert popular_synonym_replacement(text, 1, table, random.Random(0)) == ["ache", "and", "ache"]
    ours = {tuple(synonym_replacement(text, n=1, synonyms=table, rng=random.Random(seed))) for seed in range(20)}
    assert ours == {("ache", "and", "pain"), ("pain", "and", "ache")}


def test_popular_cleaning_keeps_only_a_to_z():
    pytest.importorskip("jieba")
    assert popular_clean(CHINESE) == "mg"  # all that is left of a Chinese record
    assert popular_eda("患者咳嗽、发热", 4, {}, random.Random(0)) is None
    assert popular_clean("Aspirin 100 mg; β-blocker") == "aspirin mg blocker"
    variants = eda(CHINESE, n=9, keep=protect(CLINICAL, is_punctuation), rng=random.Random(0))
    assert len(variants) == 9 and all("500mg" in variant and "否认" in variant for variant in variants)


def test_popular_eda_makes_twelve_to_keep_nine():
    made, kept = popular_eda("severe pain today and tomorrow", 9, SYNONYMS, random.Random(0))
    assert (len(made), len(kept)) == (12, 9)
    calls = Counter()

    def counted(tokens, *, rng):
        calls["all"] += 1
        return [*tokens, str(calls["all"])]

    augment(["severe pain"], operations={"counted": counted}, n=9)
    assert calls["all"] == 9


def test_popular_eda_may_return_its_input():
    same = 0
    for seed in range(20):
        text = "severe pain today and tomorrow"
        same += text in popular_eda(text, 9, SYNONYMS, random.Random(seed))[1]
        assert text not in eda(text, n=9, rng=random.Random(seed))
    assert same > 5


# ---------------------------------------------------------------------------------------- the same in every process

PROGRAM = """
import json, random, sys
sys.path.insert(0, sys.argv[1])
from test_augment import ENGLISH, CHINESE, METHODS, CORPUS, popular_random_insertion
from tutorial_lib.augment import augment, eda, eda_operations
sets = {word: {"s" + word, "t" + word, "u" + word, "v" + word} for text in CORPUS for word in text}
out = {name: [method(text, rng=random.Random(5)) for text in CORPUS] for name, method in METHODS.items()}
out["eda"] = eda(ENGLISH, n=9, rng=random.Random(1)) + eda(ENGLISH, n=4, synonyms=sets, rng=random.Random(1))
out["records"] = augment(CORPUS, [0, 1, 0, 1], operations=eda_operations(), n=3, seed=7)
popular = [popular_random_insertion(CORPUS[0], 1, sets, random.Random(seed)) for seed in range(10)]
print(json.dumps([out, popular]))
"""


def test_same_seed_same_text_whatever_the_hash_seed():
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    environments = [{**os.environ, "PYTHONHASHSEED": hash_seed} for hash_seed in ("1", "2")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=environment, **pipes) for environment in environments]
    results = []
    for process in running:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        results.append(json.loads(out.splitlines()[-1]))
    (ours, popular), (ours_again, popular_again) = results
    assert ours == ours_again
    # The popular code takes the first of a set: another process, another text.
    assert popular != popular_again
    here = [[method(text, rng=random.Random(5)) for text in CORPUS] for method in METHODS.values()]
    assert [ours[name] for name in METHODS] == here


def test_the_numbers_behind_the_draws_do_not_change():
    """Written down once: another version of Python or of this module would change a user's data without a word."""
    text = "the patient reports severe pain and no fever today".split()
    assert random.Random("0 0").random() == STORED["seed"]
    assert " ".join(random_swap(text, n=2, rng=random.Random(3))) == STORED["random_swap"]
    assert " ".join(synonym_replacement(text, n=2, rng=random.Random(3))) == STORED["synonym_replacement"]
    assert " ".join(random_deletion(text, p=0.3, rng=random.Random(3))) == STORED["random_deletion"]
    assert " ".join(keyboard_noise(text, p=0.5, rng=random.Random(3))) == STORED["keyboard_noise"]


STORED = {
    "seed": 0.3507602308235076,
    "random_swap": "the patient and reports pain severe no fever today",
    "synonym_replacement": "the patient describes severe soreness and no fever today",
    "random_deletion": "patient reports severe pain fever",
    "keyboard_noise": "ghe patient replrts severe pain abd bo fever todag",
}


# ---------------------------------------------------------------------------------------- embeddings, models


def test_neighbours_are_those_of_all_cosines():
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    for place, word in enumerate(VOCABULARY):
        best = [VOCABULARY[i] for i in np.argsort(-cosine[place])[:3] if cosine[place, i] >= 0]
        assert NEAR(word) == best
    assert NEAR("unknown") == []


def test_neighbours_take_an_embedding_layer_and_ignore_zero_vectors():
    layer = torch.nn.Embedding(3, 2, padding_idx=0)
    layer.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.1]])
    near = Neighbours(["<pad>", "good", "great"], layer.weight, k=2, min_similarity=0.1)
    assert near("good") == ["great"] and near("GOOD") == ["great"] and near("<pad>") == []
    assert layer.weight.requires_grad
    assert Neighbours(["a", "b"], np.array([[1.0, 0], [-1, 0]]))("a") == []  # an opposite direction is no neighbour


@pytest.mark.parametrize(
    ("words", "vectors", "options", "message"),
    [
        (["a", "b"], np.zeros((3, 2)), {}, r"vectors must be \(2, D\)"),
        (["a", "b"], np.array([[1.0], [np.nan]]), {}, "finite"),
        (["a", "a"], np.ones((2, 1)), {}, "different"),
        (["a", "b"], np.ones((2, 1)), {"k": 0}, "k must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_embeddings_are_named(words, vectors, options, message):
    with pytest.raises(ValueError, match=message):
        Neighbours(words, vectors, **options)


def test_embedding_replacement_draws_among_the_nearest():
    drawn = Counter(embedding_replacement(["pain"], neighbours=NEAR, rng=random.Random(s))[0] for s in range(300))
    assert set(drawn) == set(NEAR("pain")) and len(drawn) > 1 and min(drawn.values()) > 60


def test_mlm_replacement_asks_from_left_to_right_and_draws_by_probability():
    asked = []

    def model(tokens, position, k):
        asked.append((tuple(tokens), position, k))
        return [("old", 0.9), ("new", 0.075), ("other", 0.025), (" ", 0.5)]

    assert set(mlm_replacement(["old", "old"], fill=model, n=2, k=7, rng=random.Random(0))) <= {"new", "other"}
    assert [(position, k) for _, position, k in asked] == [(0, 7), (1, 7)]
    assert asked[1][0][0] in {"new", "other"}  # the second place sees what came to the first
    drawn = Counter(mlm_replacement(["old"], fill=model, rng=random.Random(seed))[0] for seed in range(1000))
    assert set(drawn) == {"new", "other"} and abs(drawn["new"] - 750) < 5 * math.sqrt(1000 * 0.75 * 0.25)


def test_mlm_replacement_with_a_label_before_the_text():
    seen = []

    def model(tokens, position, k):
        seen.append((list(tokens), position))
        return [("cough", 1.0)]

    assert mlm_replacement(["pain", "."], fill=model, context=["flu", ":"], rng=random.Random(0)) == ["cough", "."]
    assert seen == [(["flu", ":", "pain", "."], 2)]


@pytest.mark.parametrize("wrong", [["pain"], [("pain", -0.5)], [(3, 0.5)], [("pain", 0.5, 1)], [("pain", math.nan)]])
def test_a_model_that_breaks_the_protocol_is_named(wrong):
    with pytest.raises(ValueError, match="fill must return pairs of a token and its probability"):
        mlm_replacement(["fever"], fill=lambda tokens, position, k: wrong, rng=random.Random(0))


def test_mlm_replacement_with_nothing_to_offer_changes_nothing():
    for offer in ([], [("fever", 1.0)], [("pain", 0.0)]):
        fill = lambda tokens, position, k, offer=offer: offer  # noqa: E731
        assert mlm_replacement(["fever"], fill=fill, rng=random.Random(0)) == ["fever"]


def test_back_translation_keeps_what_differs():
    calls = []

    def model(texts, source, target):
        calls.append((source, target))
        return translate(texts, source, target)

    variants = back_translations(["fever today", "nothing new", "pain"], translate=model, pivots=("de", "fr"))
    assert variants == [["pyrexia today"], [], ["ache"]]  # French gives the same again: one variant, not two
    assert calls == [("en", "de"), ("de", "en"), ("en", "fr"), ("fr", "en")]
    assert back_translation(["fever", "today"], translate=translate, rng=random.Random(0)) == ["pyrexia", "today"]
    assert back_translation(["nothing", "new"], translate=translate, rng=random.Random(0)) == ["nothing", "new"]


def test_back_translation_does_not_take_blanks_or_nothing_for_a_variant():
    assert back_translations(["a b"], translate=lambda texts, source, target: ["  a   b "]) == [[]]
    assert back_translations(["a b"], translate=lambda texts, source, target: [""]) == [[]]
    assert back_translations([], translate=None) == []
    gone = lambda texts, source, target: [" "]  # noqa: E731
    assert back_translation(["a", "b"], translate=gone, rng=random.Random(0)) == ["a", "b"]


def test_back_translation_draws_a_language():
    asked = Counter()

    def model(texts, source, target):
        asked[target] += 1
        return list(texts)

    for seed in range(60):
        back_translation(["a"], translate=model, pivots=["de", "fr"], rng=random.Random(seed))
    assert min(asked["de"], asked["fr"]) > 15 and asked["en"] == 60


def test_a_translator_that_loses_a_text_and_a_wrong_pivot_are_named():
    with pytest.raises(ValueError, match=r"translate must return 2 texts \(en to de\), got 1"):
        back_translations(["a", "b"], translate=lambda texts, source, target: texts[:1])
    with pytest.raises(ValueError, match="pivots must be"):
        back_translations(["a"], translate=translate, pivots="de")


def test_label_conditioned_generation_keeps_the_first_words_and_passes_the_label():
    prompts = []

    def model(prompt, seed):
        prompts.append((prompt, seed))
        return " a severe headache ."

    tokens = "The patient reports no fever today".split()
    new = label_conditioned(tokens, label="migraine", generate=model, rng=random.Random(0))
    assert new == ["The", "patient", "reports", "a", "severe", "headache", "."]
    assert prompts[0][0] == "migraine: The patient reports"
    assert prompts[0][1] == random.Random(0).getrandbits(31)
    assert label_prompt("偏头痛", ["患者", "头痛", "3", "天"], separator="：") == "偏头痛：患者头痛3"
    assert label_prompt("flu", tokens, words=None) == "flu: The patient reports no fever today"
    assert label_prompt("flu") == "flu: "
    assert label_conditioned(["a"], label=1, generate=lambda prompt, seed: "", rng=random.Random(0)) == ["a"]
    with pytest.raises(ValueError, match="generate must return a string"):
        label_conditioned(["a"], label=1, generate=lambda prompt, seed: ["x"], rng=random.Random(0))


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """Three tiny models with random weights, and a tokenizer made here: nothing is downloaded."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("models")
    pieces = "[PAD] [UNK] [CLS] [SEP] [MASK] no fever cough today the patient has ##s pain . 患 者 发 热".split()
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"))
    size = {"vocab_size": len(pieces)}
    before = torch.random.get_rng_state()
    torch.manual_seed(0)
    masked = transformers.BertForMaskedLM(
        transformers.BertConfig(
            **size,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
        )  # fmt: skip
    )
    causal = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**size, n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=2, eos_token_id=3)
    )
    both = transformers.BartForConditionalGeneration(
        transformers.BartConfig(
            **size,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_attention_heads=2,
            decoder_ffn_dim=16,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            decoder_start_token_id=2,
            forced_eos_token_id=3,
        )  # fmt: skip
    )
    torch.random.set_rng_state(before)
    return SimpleNamespace(folder=folder, tokenizer=tokenizer, masked=masked, causal=causal, both=both)


def test_hugging_face_masked_model(hugging_face):
    model, tokenizer = hugging_face.masked.train(), hugging_face.tokenizer
    tokens = "the patient has fever".split()
    found = hf_fill(model, tokenizer)(tokens, 3, 5)
    assert model.training  # it was left as it was, and yet dropout played no part:
    assert found == hf_fill(model, tokenizer)(tokens, 3, 5)
    with torch.no_grad():
        ids = torch.tensor([[2, 9, 10, 11, 4, 3]])
        chances = model.eval()(input_ids=ids).logits[0, 4].softmax(-1)
    words = {word: float(chances[i]) for i, word in enumerate(tokenizer.convert_ids_to_tokens(range(len(chances))))}
    allowed = {word: chance for word, chance in words.items() if word.isalnum()}  # no marks, no pieces, no [SEP]
    best = sorted(allowed, key=allowed.get, reverse=True)[:5]
    assert [word for word, _ in found] == best
    assert [chance for _, chance in found] == pytest.approx([words[word] for word in best], rel=1e-5)


def test_hugging_face_masked_model_in_use(hugging_face):
    fill = hf_fill(hugging_face.masked, hugging_face.tokenizer)
    tokens = "the patient has fever today .".split()
    new = mlm_replacement(tokens, fill=fill, n=3, rng=random.Random(0))
    assert sum(a != b for a, b in zip(tokens, new)) == 3 and new[-1] == "."
    assert len(mlm_replacement(["患", "者"], fill=fill, n=2, rng=random.Random(0))) == 2
    assert fill(["[MASK]", "fever"], 1, 3) == fill(["[MASK]", "pain"], 1, 3)  # the mask of the text is not ours
    assert fill(["[MASK]", "fever"], 1, 3) != fill(["[MASK]", "fever"], 0, 3)
    long = ["fever"] * 40
    assert hf_fill(hugging_face.masked, hugging_face.tokenizer, window=5)(long, 39, 2)


def test_hugging_face_models_are_loaded_from_a_folder(hugging_face):
    for part in (hugging_face.masked, hugging_face.tokenizer):
        part.save_pretrained(hugging_face.folder / "saved")
    tokens = ["no", "fever"]
    ours = hf_fill(hugging_face.masked, hugging_face.tokenizer)(tokens, 1, 3)
    assert hf_fill(str(hugging_face.folder / "saved"))(tokens, 1, 3) == ours
    with pytest.raises(ValueError, match="tokenizer must be given"):
        hf_fill(hugging_face.masked)


def test_hugging_face_translator(hugging_face):
    pair = (hugging_face.both, hugging_face.tokenizer)
    model = hf_translate({("en", "de"): pair, ("de", "en"): pair}, max_new_tokens=5, batch_size=2)
    given_ = ["no fever", "the patient has pain", "cough"]
    there = model(given_, "en", "de")
    assert len(there) == 3 and there == model(given_, "en", "de")
    assert there[2:] == model(given_[2:], "en", "de")  # a text's translation does not depend on the others
    assert [len(variants) <= 1 for variants in back_translations(given_, translate=model)] == [True] * 3
    with pytest.raises(ValueError, match=r"models must hold the pair \('en', 'fr'\)"):
        model(given_, "en", "fr")


def test_hugging_face_generator_is_seeded_and_leaves_torch_alone(hugging_face):
    model = hf_generate(hugging_face.causal, hugging_face.tokenizer, max_new_tokens=8)
    before = torch.random.get_rng_state()
    written = [model("the patient", seed) for seed in (1, 1, 2, 3)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert written[0] == written[1] and len(set(written)) > 1
    assert not written[0].startswith("the patient")
    new = label_conditioned(["the", "patient", "has", "pain"], label="flu", generate=model, rng=random.Random(0))
    assert new[:3] == ["the", "patient", "has"]


# ---------------------------------------------------------------------------------------- TF-IDF, unigram, blank


def test_tfidf_by_hand():
    tfidf = TfIdf([["a", "b", "b"], ["a", "c"], ["a"]])
    assert tfidf.idf == pytest.approx({"a": 0, "b": math.log(3), "c": math.log(3)})
    assert tfidf.score == pytest.approx({"a": 0, "b": 2 / 3 * math.log(3), "c": math.log(3) / 2})
    assert tfidf(["a", "b", "b", "new"]) == pytest.approx([0, math.log(3) / 2, math.log(3) / 2, math.log(3) / 4])
    # C - tfidf = (1/2, 0, 0, 1/4) ln 3; the sum is 3/4 ln 3; p |x| = 0.8
    assert tfidf.probabilities(["a", "b", "b", "new"], p=0.2) == pytest.approx([0.8 * 2 / 3, 0, 0, 0.8 / 3])


@given(tokens=texts, p=st.floats(0, 1))
@few
def test_tfidf_probabilities_are_probabilities_and_sum_to_p_of_the_text(tokens, p):
    chances = TFIDF.probabilities(tokens, p=p)
    assert all(0 <= chance <= 1 for chance in chances)
    total = sum(chances)
    assert total <= p * len(tokens) * (1 + 1e-9) + 1e-12
    if max(chances) < 1:
        assert total == pytest.approx(p * len(tokens))


def test_where_the_published_formula_breaks():
    """It passes 1 where one word says much and p is large; it is 0/0 where all words say alike."""
    tokens, p = ["the", "xylophone"], 0.7
    tfidf = TfIdf([["the", "xylophone"], ["the"], ["the"]])
    values = np.array(tfidf(tokens))
    published = p * len(tokens) * (values.max() - values) / (values.max() - values).sum()
    assert published[0] == pytest.approx(1.4)
    assert tfidf.probabilities(tokens, p=p) == [1.0, 0.0]
    values = np.array(tfidf(["xylophone"]))
    with np.errstate(invalid="ignore"):
        assert np.isnan((values.max() - values) / (values.max() - values).sum()).all()
    assert tfidf.probabilities(["xylophone"], p=p) == [0.7]
    assert tfidf.probabilities(["new", "newer", "newest"], p=p) == [0.7] * 3  # equal, up to rounding
    assert tfidf.probabilities([], p=p) == []


def test_tfidf_draws_words_by_max_minus_score():
    tfidf = TfIdf([["a", "b", "b"], ["a", "c"], ["a"]])
    weights = {word: max(tfidf.score.values()) - score for word, score in tfidf.score.items()}
    rng = random.Random(0)
    drawn = Counter(tfidf.sample(rng) for _ in range(5000))
    for word, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(drawn[word] - 5000 * share) <= 5 * math.sqrt(5000 * share * (1 - share))
    rng = random.Random(0)
    assert set(TfIdf([["a"], ["b"]]).sample(rng) for _ in range(50)) == {"a", "b"}  # all equal: all alike


def test_tfidf_spares_the_telling_words():
    corpus = [["the", "of", "and", f"word{i}"] for i in range(50)]
    tfidf = TfIdf(corpus)
    replaced = Counter()
    for seed in range(300):
        text = ["the", "of", "and", "word7"]
        new = tfidf_replacement(text, tfidf=tfidf, p=0.3, rng=random.Random(seed))
        replaced.update(i for i, (a, b) in enumerate(zip(text, new)) if a != b)
    assert replaced[3] == 0 and min(replaced[i] for i in range(3)) > 30


def test_tfidf_state_survives_json():
    again = TfIdf.from_state_dict(json.loads(json.dumps(TFIDF.state_dict())))
    for seed in range(20):
        a, b = (tfidf_replacement(CORPUS[0], tfidf=t, p=0.5, rng=random.Random(seed)) for t in (TFIDF, again))
        assert a == b
    assert again(["unknown"]) == TFIDF(["unknown"])


@pytest.mark.parametrize("corpus", [[], [[]]])
def test_an_empty_corpus_is_named(corpus):
    with pytest.raises(ValueError, match="at least one token"):
        TfIdf(corpus)
    with pytest.raises(ValueError, match=r"weights(\[\d\])? must be finite"):
        WordSampler.from_texts(corpus)


def test_a_corpus_of_strings_is_named():
    for make in (TfIdf, WordSampler.from_texts):
        with pytest.raises(ValueError, match="texts must be lists of tokens"):
            make(["no fever"])


def test_unigram_noise_follows_the_frequencies():
    text = ["x"] * 4000
    new = Counter(unigram_noise(text, unigram={"a": 3, "b": 1}, p=0.5, rng=random.Random(0)))
    assert abs(new["x"] - 2000) < 5 * math.sqrt(1000)
    changed = new["a"] + new["b"]
    assert abs(new["a"] - 0.75 * changed) < 5 * math.sqrt(changed * 0.75 * 0.25)
    assert UNIGRAM.weights["no"] == 3 and UNIGRAM.weights["患者"] == 1


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": math.inf}, {"a": math.nan}])
def test_bad_weights_are_named(weights):
    with pytest.raises(ValueError, match=r"weights(\[\d\])? must be finite"):
        WordSampler(weights)


def test_blank_noise_leaves_a_share_and_uses_the_placeholder():
    new = blank_noise(["x"] * 4000, p=0.25, blank="<blank>", rng=random.Random(0))
    assert set(new) == {"x", "<blank>"} and abs(new.count("<blank>") - 1000) < 5 * math.sqrt(750)
    assert blank_noise(["x", "y"], p=1, rng=random.Random(0)) == ["_", "_"]


# ---------------------------------------------------------------------------------------- letters


def test_spelling_noise_uses_the_table_first():
    table = {"fever": ["feaver", "fevre"]}
    seen = {spelling_noise(["Fever"], p=1, misspellings=table, rng=random.Random(seed))[0] for seed in range(20)}
    assert seen == {"Feaver", "Fevre"}


@given(word=st.text("abcdefgh", min_size=3, max_size=12), seed=seeds)
@few
def test_a_slip_is_one_letter_dropped_doubled_or_exchanged(word, seed):
    (new,) = spelling_noise([word], p=1, misspellings={}, rng=random.Random(seed))
    assert new != word and new[0] == word[0] and abs(len(new) - len(word)) <= 1
    if len(new) == len(word):
        assert sorted(new) == sorted(word) and sum(a != b for a, b in zip(new, word)) == 2
    else:
        longer, shorter = sorted((new, word), key=len, reverse=True)
        assert any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))


def test_spelling_noise_spares_numbers_units_short_and_chinese_words():
    text = ["100", "mg", "is", "B12", "发热", "患者咳嗽", "...", "don't"]
    assert spelling_noise(text, p=1, misspellings={}, rng=random.Random(0)) == text


@given(word=st.text("qwertyuiopasdfghjklzxcvbnmQAZ09.", min_size=1, max_size=12), seed=seeds)
@few
def test_keyboard_noise_hits_one_neighbour(word, seed):
    (new,) = keyboard_noise([word], p=1, rng=random.Random(seed))
    different = [(a, b) for a, b in zip(word, new) if a != b]
    assert len(new) == len(word)
    assert len(different) == any(char.isalpha() for char in word)
    for old, hit in different:
        assert hit.lower() in KEYBOARD[old.lower()] and hit.isupper() == old.isupper()


def test_the_keyboard_is_symmetric_and_as_one_knows_it():
    assert set(KEYBOARD["s"]) == set("awedxz") and set(KEYBOARD["q"]) == set("wa") and set(KEYBOARD["p"]) == set("ol")
    for key, neighbours in KEYBOARD.items():
        assert all(key in KEYBOARD[other] for other in neighbours)


def test_homophone_noise_writes_one_other_character_of_the_table():
    for seed in range(50):
        new = homophone_noise(["头疼", "发热", "3", "fever"], p=1, rng=random.Random(seed))
        assert new[2:] == ["3", "fever"]
        assert [sum(a != b for a, b in zip(old, word)) for old, word in zip(["头疼", "发热"], new)] == [1, 1]
    assert homophone_noise(["在"], p=1, homophones={"在": ["再"]}, rng=random.Random(0)) == ["再"]


@pytest.mark.parametrize("method", [spelling_noise, keyboard_noise, homophone_noise])
def test_noise_strikes_a_share_p(method):
    text = ["fever", "咳嗽"] * 1000
    changed = sum(a != b for a, b in zip(text, method(text, p=0.2, rng=random.Random(0))))
    assert abs(changed - 200) < 5 * math.sqrt(160)


# ---------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("I do not know", "I don't know"),
        ("Do not go", "Don't go"),
        ("She is ill", "She's ill"),
        ("I am here", "I'm here"),
        ("they will come", "they'll come"),
        ("she has had asthma", "she's had asthma"),
        ("she has never been treated", "she's never been treated"),
        ("he had already left", "he'd already left"),
        ("he cannot sleep", "he can't sleep"),
        ("Let us go", "Let's go"),
    ],
)
def test_contractions(long, short):
    assert contract(long.split()) == short.split()


@pytest.mark.parametrize(
    "text", ["Yes , she is .", "yes she is", "she has asthma", "they had a cold", "patient is ill", "not do"]
)
def test_what_english_does_not_contract(text):
    assert contract(text.split()) == text.split()


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("I don't know", "I do not know"),
        ("Won't go", "Will not go"),
        ("I'm ill", "I am ill"),
        ("You’re ill", "You are ill"),
        ("they've left", "they have left"),
        ("He can't sleep", "He cannot sleep"),
        ("Let's go", "Let us go"),
        ("She could've gone", "She could have gone"),
        ("It would’ve helped , should've too", "It would have helped , should have too"),
        ("He might've and must've", "He might have and must have"),
        ("They mightn't go , oughtn't to , needn't", "They might not go , ought not to , need not"),
        ("We shan't go , daren't", "We shall not go , dare not"),
        ("those who've left and who'll come", "those who have left and who will come"),
        ("That'll do , there'll be more", "That will do , there will be more"),
        ("I'd've gone , she couldn't've", "I would have gone , she could not have"),
    ],
)
def test_expansions(short, long):
    assert expand(short.split()) == long.split()


@pytest.mark.parametrize(
    "text", ["she's ill", "she's had it", "I'd go", "John's pain", "why don't you go", "it's", "ain't"]
)
def test_what_has_two_readings_stays(text):
    assert expand(text.split()) == text.split()


def test_expanding_what_was_contracted_gives_it_back_where_it_is_unambiguous():
    text = "I do not know , they are ill and you will see that it cannot be".split()
    assert expand(contract(text)) == text
    assert expand(contract(["she", "is", "ill"])) == ["she's", "ill"]


def test_chance_decides_for_each_and_needs_a_source():
    text = "I do not know".split()
    seen = Counter(tuple(contract(text, p=0.5, rng=random.Random(seed))) for seed in range(200))
    assert len(seen) == 2 and min(seen.values()) > 60
    for method in (contract, expand):
        with pytest.raises(ValueError, match="rng must be given"):
            method(text, p=0.5)


# ---------------------------------------------------------------------------------------- sentences, batches


@given(tokens=texts, seed=seeds)
@few
def test_sentence_shuffle_moves_whole_sentences(tokens, seed):
    def sentences(words):
        ends = [i + 1 for i, word in enumerate(words) if word in {".", "!", "。"}]
        return sorted(words[a:b] for a, b in itertools.pairwise([0, *ends, len(words)]) if a < b)

    new = sentence_shuffle(tokens, rng=random.Random(seed))
    assert Counter(new) == Counter(tokens)
    if tokens[-1] in {".", "!", "。"}:  # else the last one runs into the next
        assert sentences(new) == sentences(tokens)


def test_sentence_shuffle_changes_the_order_and_reaches_all():
    text = "a . b ! c 。".split()
    seen = {tuple(sentence_shuffle(text, rng=random.Random(seed))) for seed in range(100)}
    assert len(seen) == 5 and tuple(text) not in seen
    assert sentence_shuffle("a . a .".split(), rng=random.Random(0)) == "a . a .".split()
    fixed = {tuple(sentence_shuffle(text, keep={"b"}, rng=random.Random(seed))) for seed in range(20)}
    assert fixed == {("c", "。", "b", "!", "a", ".")}


@given(data=st.lists(st.tuples(texts, st.integers(0, 2)), max_size=8), seed=seeds)
@few
def test_instance_crossover_stays_within_a_class(data, seed):
    token_lists, labels = [tokens for tokens, _ in data], [label for _, label in data]
    before = [list(tokens) for tokens in token_lists]
    new = instance_crossover(token_lists, labels, rng=random.Random(seed))
    assert token_lists == before and len(new) == len(data)
    second = Counter()
    for index, tokens in enumerate(new):
        own = before[index]
        half = (len(own) + 1) // 2
        assert tokens and tokens[:half] == own[:half]
        donors = [
            other
            for other in range(len(data))
            if labels[other] == labels[index] and tokens[half:] == before[other][(len(before[other]) + 1) // 2 :]
        ]
        assert donors
    # All second halves of a class are still there, each once.
    for label in set(labels):
        members = [i for i, other in enumerate(labels) if other == label]
        second = Counter(tuple(before[i][(len(before[i]) + 1) // 2 :]) for i in members)
        assert second == Counter(tuple(new[i][(len(before[i]) + 1) // 2 :]) for i in members)


def test_instance_crossover_never_joins_a_text_with_itself_unless_alone():
    token_lists = [[f"a{i}", f"b{i}"] for i in range(6)]
    for seed in range(30):
        new = instance_crossover(token_lists, [0, 0, 0, 1, 1, 2], rng=random.Random(seed))
        assert all(tokens[1] != f"b{i}" for i, tokens in enumerate(new[:5])) and new[5] == ["a5", "b5"]


@pytest.mark.parametrize(
    "labels", [["x", "x", "y"], torch.tensor([1, 1, 0]), np.eye(2)[[0, 0, 1]], torch.eye(2)[[0, 0, 1]], [[1], [1], [2]]]
)
def test_labels_of_any_kind(labels):
    new = instance_crossover([["a", "b"], ["c", "d"], ["e", "f"]], labels, rng=random.Random(0))
    assert new == [["a", "d"], ["c", "b"], ["e", "f"]]


def test_crossover_does_not_cut_a_dose_in_two():
    texts_ = [["took", "100", "mg", "today"], ["no", "fever"]]
    cut = [instance_crossover(texts_, [0, 0], keep=keep, rng=random.Random(0))[0] for keep in (None, CLINICAL)]
    assert cut == [["took", "100", "fever"], ["took", "100", "mg", "fever"]]
    with pytest.raises(ValueError, match="labels must be as many"):
        instance_crossover(texts_, [0], rng=random.Random(0))


# ---------------------------------------------------------------------------------------- embeddings


def test_word_mixup_is_mixup_of_padded_embeddings():
    sentences = [torch.randn(n, 4, dtype=torch.float64) for n in (2, 5, 3)]
    targets = torch.eye(3, dtype=torch.float64)
    mixed = word_mixup(sentences, targets, alpha=1.0, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.utils.rnn.pad_sequence(sentences, batch_first=True)
    expected = mixup(padded, targets, alpha=1.0, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(mixed, expected):
        assert torch.equal(ours, theirs)
    lam, j = mixed.lam, mixed.index
    torch.testing.assert_close(mixed.inputs, lam * padded + (1 - lam) * padded[j])
    torch.testing.assert_close(mixed.targets, lam * targets + (1 - lam) * targets[j])


def test_word_mixup_sets_padding_to_zero_and_passes_gradients():
    embedded = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    padding = torch.tensor([[False, False, True], [False, True, True]])
    mixed = word_mixup(embedded, torch.eye(2), alpha=1.0, padding=padding, generator=torch.Generator().manual_seed(1))
    assert (mixed.inputs[:, 2] == 0).all()
    mixed.inputs.sum().backward()
    assert (embedded.grad[padding] == 0).all() and (embedded.grad[~padding] > 0).all()
    with pytest.raises(ValueError, match=r"padding must be bool \(2, 3\)"):
        word_mixup(embedded, torch.eye(2), alpha=1.0, padding=padding.float())
    with pytest.raises(ValueError, match=r"embedded must be \(B, T, D\)"):
        word_mixup(embedded[0], torch.eye(3), alpha=1.0)
    with pytest.raises(ValueError, match="padding must be None"):
        word_mixup([torch.ones(2, 3)], torch.eye(1), alpha=1.0, padding=padding)


def test_sent_mixup_is_mixup_of_sentence_vectors_and_trains_the_encoder():
    encoder = torch.nn.LSTM(4, 6, batch_first=True)
    hidden = encoder(torch.randn(3, 5, 4))[1][0][0]
    mixed = sent_mixup(hidden, torch.eye(3), alpha=1.0, generator=torch.Generator().manual_seed(2))
    expected = mixup(hidden, torch.eye(3), alpha=1.0, generator=torch.Generator().manual_seed(2))
    assert torch.equal(mixed.inputs, expected.inputs) and torch.equal(mixed.targets, expected.targets)
    mixed.inputs.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in (encoder.weight_ih_l0, encoder.weight_hh_l0))
    with pytest.raises(ValueError, match=r"hidden must be \(B, D\)"):
        sent_mixup(torch.randn(3, 5, 6), torch.eye(3), alpha=1.0)


# ---------------------------------------------------------------------------------------- many texts


def many(n):
    rng, some = random.Random(0), ["severe", "pain", "no", "fever", "today", "doctor", "."]
    return [" ".join(rng.choice(some) for _ in range(12)) for _ in range(n)]


def test_a_record_says_where_it_came_from():
    texts_, labels = [ENGLISH, "No fever."], [torch.tensor([1, 0]), "well"]
    records = augment(texts_, labels, operations=eda_operations(), n=3, seed=4)
    assert [record.index for record in records] == sorted(record.index for record in records)
    for record in records:
        assert record.source == texts_[record.index] and record.label is labels[record.index] and record.seed == 4
        assert record.source_tokens == tokenize(record.source)
        assert record.operation in eda_operations() and record.text != record.source
        assert [record.source[a:b] for a, b in record.source_spans] == record.source_tokens
        assert all(type(token) is str for token in record.tokens)
        assert tokenize(record.text) == record.tokens
        assert len(record.origin) == len(record.tokens)
        for place in set(range(len(record.tokens))) - set(record.changed):
            assert record.tokens[place] == record.source_tokens[record.origin[place]]
    assert pickle.loads(pickle.dumps(records[0])).text == records[0].text


@pytest.mark.parametrize(
    ("operation", "tokens", "origin", "changed", "removed"),
    [
        (lambda t, rng: t[1:], ["b", "b", "c"], [1, 2, 3], [], [0]),
        (lambda t, rng: [t[0], t[2], t[3]], ["a", "b", "c"], [0, 2, 3], [], [1]),  # which of the twins: known
        (lambda t, rng: [t[3], *t[1:3], t[0]], ["c", "b", "b", "a"], [3, 1, 2, 0], [], []),
        (lambda t, rng: [t[0], "x", *t[2:]], ["a", "x", "b", "c"], [0, 1, 2, 3], [1], []),
        (lambda t, rng: [t[0], "x", "y", *t[2:]], ["a", "x", "y", "b", "c"], [0, 1, 1, 2, 3], [1, 2], []),
        (lambda t, rng: [t[0], "x", *t[1:]], ["a", "x", "b", "b", "c"], [0, None, 1, 2, 3], [1], []),
        (lambda t, rng: [t[0], "x", t[3]], ["a", "x", "c"], [0, 1, 3], [1], [2]),
        (lambda t, rng: ["x", "y", "z", "u", "v"], list("xyzuv"), [None] * 5, [0, 1, 2, 3, 4], [0, 1, 2, 3]),
    ],
)
def test_origins(operation, tokens, origin, changed, removed):
    (record,) = augment([["a", "b", "b", "c"]], operations={"it": operation})
    assert (record.tokens, record.origin, record.changed, record.removed) == (tokens, origin, changed, removed)


def test_a_text_s_variants_depend_on_nothing_but_seed_and_index():
    texts_ = many(12)
    all_ = augment(texts_, operations=eda_operations(), n=2, seed=3)
    assert augment(texts_[:5], operations=eda_operations(), n=2, seed=3) == all_[:10]
    assert augment(texts_, operations=eda_operations(), n=1, seed=3) == [r for r in all_ if r.variant == 0]
    assert augment(texts_, operations=eda_operations(), n=2, seed=4) != all_


def test_a_pool_gives_the_same():
    texts_ = many(30)
    operations = eda_operations() | {"noise": partial(keyboard_noise, p=0.3), "mine": lambda t, rng: t[::-1]}
    alone = augment(texts_, list(range(30)), operations=operations, n=2, seed=1)
    for workers in (1, 2):
        assert augment(texts_, list(range(30)), operations=operations, n=2, seed=1, workers=workers) == alone


def test_operations_that_need_a_label_get_it():
    records = augment(
        ["the patient has pain today", "he has no fever today"],
        ["flu", "cold"],
        operations={"gpt": partial(label_conditioned, generate=lambda prompt, seed: f" {prompt.split(':')[0]} !")},
    )
    assert [record.text for record in records] == ["the patient has flu!", "he has no cold!"]


def test_variants_differ_and_may_run_out():
    records = augment(["a b"], operations={"swap": random_swap}, n=5)
    assert [record.text for record in records] == ["b a"]
    assert augment(["a", ""], operations={"swap": random_swap}, n=5) == []


def test_token_lists_and_chinese_texts():
    pytest.importorskip("jieba")
    (record,) = augment([["no", "fever", "."]], operations={"swap": partial(random_swap, keep=is_punctuation)})
    assert (record.source, record.text) == ("no fever.", "fever no.")
    for record in augment([CHINESE], ["肺炎"], operations=eda_operations(), n=8):
        assert record.source == "".join(record.source_tokens) == CHINESE and record.label == "肺炎"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_made_up_clinical_notes_of_both_languages(language):
    pytest.importorskip("jieba")
    from tutorial_lib.lab.clinical_notes import clinical_notes

    notes = clinical_notes(20, language=language, dirt=0.5, seed=1)
    keep = protect(CLINICAL, is_punctuation)
    records = augment(notes.texts, notes.labels, operations=eda_operations(keep=keep), n=4)
    assert len(records) == 80
    for record in records:
        assert torch.equal(record.label, notes.labels[record.index])
        kept = [place for place, token in enumerate(record.source_tokens) if CLINICAL(token)]
        assert [old for old in record.origin if old in kept] == kept
        assert all(record.tokens[record.origin.index(old)] == record.source_tokens[old] for old in kept)


def test_augment_batch_says_who_gave():
    texts_ = ["No fever at all today.", "Severe pain since yesterday.", "Alone."]
    records = augment_batch(texts_, [0, 0, 1], seed=0)
    assert [(record.index, record.partner, record.operation) for record in records] == [
        (0, 1, "instance_crossover"),
        (1, 0, "instance_crossover"),
    ]
    assert records[0].text == "No fever at yesterday." and records[0].origin == [0, 1, 2, None, None]
    assert records[0].source == texts_[0] and records[0].label == 0
    keep = augment_batch(texts_, [0, 0, 1], operation=partial(instance_crossover, keep=CLINICAL))
    assert keep[0].operation == "instance_crossover"
    with pytest.raises(ValueError, match="operation must return 3 lists"):
        augment_batch(texts_, [0, 0, 1], operation=lambda lists, labels, rng: lists[:1], name="short")


def test_bad_data_sets_are_named():
    good = {"operations": {"swap": random_swap}}
    for arguments, options, message in (
        (("no fever",), good, "texts must be a list of texts"),
        ((["a b"], [1, 2]), good, "labels must be as many as the texts, 1, got 2"),
        ((["a b"],), {"operations": {}}, "operations must be a mapping"),
        ((["a b"],), {"operations": {"swap": "swap"}}, "operations must be a mapping"),
        ((["a b"],), good | {"n": -1}, "n must be a whole number"),
        ((["a b"],), good | {"seed": "x"}, "seed must be a whole number"),
        ((["a b"],), good | {"workers": -1}, "workers must be a whole number of at least 0, got -1"),
        ((["a b"],), good | {"language": "xx"}, "language"),
    ):
        with pytest.raises(ValueError, match=message):
            augment(*arguments, **options)


def test_token_spans():
    assert token_spans("Pain, no pain", ["pain", "no", "pain"]) == [(0, 4), (6, 8), (9, 13)]
    assert token_spans("ab", ["b", "a"]) == [(1, 2), None]
    assert token_spans("İx", ["x"]) == [(1, 2)]  # its lower case is longer than itself


def test_every_public_name_is_there_and_documented():
    for name in module.__all__:
        assert getattr(module, name).__doc__, name
