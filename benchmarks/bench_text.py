"""Cleaning, sentences and tokens of 1,000 notes in English and Chinese; duplicates among 10,000 texts."""

import logging
import warnings
from functools import partial

import numpy as np

from benchmarks.bench_metrics import import_peer
from benchmarks.timing import medians, show
from tutorial_lib.lab.clinical_notes import clinical_notes
from tutorial_lib.text import (
    clean,
    find_duplicates,
    mask_personal_data,
    remove_punctuation,
    split_sentences,
    strip_tags,
    tokenize,
    unescape_html,
)

FTFY, PYSBD, DATASKETCH = "ftfy==6.3.1", "pysbd==0.3.4", "datasketch==1.6.5"


def main(peers: bool = False) -> None:
    warnings.filterwarnings("ignore")
    import jieba
    import nltk
    import simplemma
    from sklearn.feature_extraction.text import CountVectorizer

    jieba.setLogLevel(logging.ERROR)
    jieba.initialize()
    english, chinese = (clinical_notes(1000, language=language, dirt=0.5).texts for language in ("en", "zh"))

    functions = {"ours": partial(each, clean, english + chinese)}
    if peers:
        functions["ftfy"] = partial(each, import_peer(FTFY, "ftfy").fix_text, english + chinese)
    compare("cleaning, 2,000 notes", functions, "no slower than ftfy, which does less")

    functions = {
        "ours": partial(each, split_sentences, english),
        "simplemma": partial(each, partial(simplemma.split_sentences, lang="en"), english),
    }
    if peers:
        segment = import_peer(PYSBD, "pysbd").Segmenter(language="en", clean=False).segment
        functions["pysbd"] = partial(each, segment, english)
    compare("sentences, 1,000 English notes", functions, "none")

    functions = {
        "ours": partial(each, tokenize, english),
        "NLTK Treebank": partial(each, nltk.TreebankWordTokenizer().tokenize, english),
        "NLTK wordpunct": partial(each, nltk.wordpunct_tokenize, english),
        "simplemma": partial(each, simplemma.simple_tokenizer, english),
        "scikit-learn, words only": partial(each, CountVectorizer(lowercase=False).build_tokenizer(), english),
    }
    compare("tokens, 1,000 English notes", functions, "no slower than NLTK's Treebank rule")

    functions = {"ours": partial(each, tokenize, chinese), "jieba alone": partial(each, jieba.lcut, chinese)}
    compare("tokens, 1,000 Chinese notes", functions, "level with jieba")

    texts = copies(10_000)
    functions = {"ours": partial(find_duplicates, texts, threshold=0.7)}
    if peers:
        functions["datasketch MinHash LSH"] = partial(sketched, import_peer(DATASKETCH, "datasketch"), texts)
    compare("duplicates among 10,000 texts of 100 words", functions, "seconds; faster than a sketch", repetitions=1)
    hostile()
    if not peers:
        print(f"    ftfy, pysbd, datasketch: python -m benchmarks text --peers (fetches {FTFY}, {PYSBD}, {DATASKETCH})")


#: What takes others quadratic time: texts of about n characters.
HOSTILE = {
    "<script> <script> ...": lambda n: "<script>" * (n // 8),
    "<p<p ... >>": lambda n: "<p" * (n // 3) + ">" * (n // 3),
    '<a x="<a x=" ...': lambda n: '<a x="' * (n // 9) + 'z">' * (n // 9),
    "<!--<!-- ...": lambda n: "<!--" * (n // 4),
    "<<< ...": lambda n: "<" * n,
    "&&& ...": lambda n: "&" * n,
    "&am&am ... &#112;;#112;;": lambda n: "&am" * (n // 9) + "&#112;;" + "#112;;" * (n // 9),
    "1a@b.co1a@b.co ...": lambda n: "1a@b.co" * (n // 7),
    "1. 1. ...": lambda n: "1. " * (n // 3),
    ". . . ...": lambda n: ". " * (n // 2),
    "a-a-a ...": lambda n: "a-" * (n // 2),
    "accents": lambda n: "e\u0301" * (n // 2),
}


def hostile() -> None:
    """To 1 MB: the time a character must not grow with the text."""
    steps = (strip_tags, unescape_html, mask_personal_data, remove_punctuation, clean, tokenize, split_sentences)
    print("hostile texts of 62,500, 250,000 and 1,000,000 characters; ns a character    goal: flat")
    for step in steps:
        worst = {
            name: [seconds_of(step, make(n)) / n for n in (62_500, 250_000, 1_000_000)]
            for name, make in HOSTILE.items()
        }
        name = max(worst, key=lambda name: worst[name][-1] / worst[name][0])
        numbers = "  ".join(f"{1e9 * value:7.0f}" for value in worst[name])
        slowest = max(worst, key=lambda name: worst[name][-1])
        print(f"    {step.__name__:20}{numbers}  where it grows most: {name}")
        print(f"    {'':20}{1e9 * worst[slowest][-1]:25.0f}  the slowest: {slowest}")


def seconds_of(step, text: str) -> float:
    return medians({"": partial(step, text)}, repetitions=1)[""]


def compare(title: str, functions: dict, goal: str, repetitions: int = 7) -> None:
    times = medians(functions, repetitions=repetitions)
    show(title, times.pop("ours"), times, goal)


def each(function, texts: list[str]) -> list:
    return [function(text) for text in texts]


def copies(n: int) -> list[str]:
    """Texts of 100 words, the frequent words far more frequent; every tenth is a copy with up to nine words changed."""
    rng = np.random.default_rng(0)
    numbers = np.minimum(rng.zipf(1.3, (n, 100)), 50_000)
    for i in range(10, n, 10):
        numbers[i] = numbers[i - 1]
        numbers[i, rng.integers(0, 100, i // 10 % 10)] = 99_999
    return [" ".join(f"w{number}" for number in row) for row in numbers.tolist()]


def sketched(datasketch, texts: list[str]) -> int:
    """Approximate: 128 permutations, the shingles of our method."""
    index, pairs = datasketch.MinHashLSH(threshold=0.7, num_perm=128), 0
    for i, text in enumerate(texts):
        words, sketch = text.split(), datasketch.MinHash(num_perm=128)
        sketch.update_batch([" ".join(words[k : k + 3]).encode() for k in range(len(words) - 2)])
        pairs += len(index.query(sketch))
        index.insert(i, sketch)
    return pairs
