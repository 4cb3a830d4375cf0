"""What text and augmentation take: several strings are never one, every number may be NumPy's or a tensor's."""

import inspect
import random
from functools import partial

import numpy as np
import pytest
import torch

from tutorial_lib import augment as methods
from tutorial_lib import text as module
from tutorial_lib.augment import (
    Neighbours,
    TfIdf,
    WordSampler,
    augment,
    augment_batch,
    back_translation,
    back_translations,
    eda,
    eda_operations,
    hf_fill,
    label_prompt,
    lexicon,
    mlm_replacement,
    protect,
    random_deletion,
    random_insertion,
    random_swap,
    sentence_shuffle,
    synonym_replacement,
)
from tutorial_lib.text import (
    NgramModel,
    PerceptronTagger,
    Piece,
    Vocabulary,
    add_boundaries,
    apply_bpe,
    apply_wordpiece,
    audit,
    clean,
    clinical_tagger,
    compose,
    conflicting_labels,
    detokenize,
    find_duplicates,
    find_entities,
    head,
    head_tail,
    jaccard,
    learn_bpe,
    learn_wordpiece,
    lemmatize,
    length_statistics,
    lowercase,
    mask_personal_data,
    negated,
    ngram_counts,
    ngrams,
    remove_stop_words,
    sentence_pieces,
    split_sentences,
    stem,
    token_pieces,
    tokenize,
    windows,
)

RNG = {"rng": random.Random(0)}
TOKENS = ["severe", "pain", "."]


def fill(tokens, position, k):
    return [("ache", 1.0)][:k]


def translate(texts, source, target):
    return [text + "s" for text in texts]


#: Every argument that is several strings: a call that is handed it.
SEVERAL = {
    "tokenize terms": lambda x: tokenize("a", terms=x),
    "token_pieces terms": lambda x: token_pieces("a", terms=x),
    "detokenize tokens": detokenize,
    "split_sentences abbreviations": lambda x: split_sentences("a", abbreviations=x),
    "sentence_pieces abbreviations": lambda x: sentence_pieces("a", abbreviations=x),
    "lowercase keep": lambda x: lowercase("a", keep=x),
    "mask_personal_data kinds": lambda x: mask_personal_data("a", kinds=x),
    "clean steps": lambda x: clean("a", steps=x),
    "audit steps": lambda x: audit("a", steps=x),
    "compose steps": lambda x: compose(x),
    "remove_stop_words tokens": remove_stop_words,
    "remove_stop_words words": lambda x: remove_stop_words(["a"], words=x),
    "stem tokens": stem,
    "lemmatize tokens": lemmatize,
    "add_boundaries tokens": add_boundaries,
    "ngrams tokens": lambda x: ngrams(x, 2),
    "Vocabulary tokens": Vocabulary,
    "Vocabulary.build text": lambda x: Vocabulary.build([x]),
    "Vocabulary.build specials": lambda x: Vocabulary.build([["a"]], specials=x),
    "Vocabulary.encode tokens": lambda x: Vocabulary(["a"]).encode(x),
    "Vocabulary.pad text": lambda x: Vocabulary(["a"]).pad([x]),
    "find_duplicates texts": find_duplicates,
    "conflicting_labels texts": lambda x: conflicting_labels(x, [0] * len(x)),
    "learn_bpe words": lambda x: learn_bpe(x, 1),
    "learn_wordpiece words": lambda x: learn_wordpiece(x, 1),
    "apply_bpe tokens": lambda x: apply_bpe(x, learn_bpe(["a"], 1)),
    "apply_wordpiece tokens": lambda x: apply_wordpiece(x, learn_wordpiece(["a"], 1)),
    "find_entities dictionary": lambda x: find_entities("a", x),
    "find_entities names": lambda x: find_entities("a", ["a"], names=x),
    "negated cues": lambda x: negated("a", Piece("a", 0, 1), cues=x),
    "negated after": lambda x: negated("a", Piece("a", 0, 1), after=x),
    "negated false_cues": lambda x: negated("a", Piece("a", 0, 1), false_cues=x),
    "negated stops": lambda x: negated("a", Piece("a", 0, 1), stops=x),
    "tagger tokens": lambda x: clinical_tagger().tag(x),
    "ngram_counts texts": lambda x: ngram_counts([x], 2),
    "NgramModel texts": lambda x: NgramModel([x]),
    "NgramModel context": lambda x: NgramModel([["a"]]).probability("a", x),
    "NgramModel text": lambda x: NgramModel([["a"]]).log_probability(x),
    "protect rules": protect,
    "keep": lambda x: random_swap(TOKENS, keep=x, **RNG),
    "tokens": lambda x: random_swap(x, **RNG),
    "stop_words": lambda x: synonym_replacement(TOKENS, stop_words=x, **RNG),
    "stop_words of an insertion": lambda x: random_insertion(TOKENS, stop_words=x, **RNG),
    "eda stop_words": lambda x: eda("severe pain", stop_words=x, **RNG),
    "ends": lambda x: sentence_shuffle(TOKENS, ends=x, **RNG),
    "context": lambda x: mlm_replacement(TOKENS, fill=fill, context=x, **RNG),
    "pivots": lambda x: back_translation(TOKENS, translate=translate, pivots=x, **RNG),
    "pivots of several": lambda x: back_translations(["a"], translate=translate, pivots=x),
    "texts to translate": lambda x: back_translations(x, translate=translate),
    "label_prompt tokens": lambda x: label_prompt("a", x),
    "augment texts": lambda x: augment(x, operations=eda_operations()),
    "augment_batch texts": lambda x: augment_batch(x, [0] * len(x)),
    "a corpus": lambda x: WordSampler.from_texts([x]),
    "a corpus for tf-idf": lambda x: TfIdf([x]),
    "Neighbours words": lambda x: Neighbours(x, np.eye(len(x))),
    "a group of synonyms": lambda x: lexicon.synonym_table([x]),
    "parts of speech": lambda x: lexicon.read_synonyms("no such file", parts=x),
    "a synonym": lambda x: synonym_replacement(["pain"], synonyms={"pain": x}, **RNG),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_one_string_is_not_several(name):
    with pytest.raises(ValueError, match=r"must .*got"):
        SEVERAL[name]("ab")


def test_no_argument_that_is_several_strings_is_forgotten():
    """Every parameter annotated as a sequence or collection of strings is in the table above, by its own name."""
    named = {word for name in SEVERAL for word in name.split()}
    apart = {"sequence", "keep", "text"}  # a text or its tokens; a string of signs; one text
    for folder in (module, methods):
        for name in folder.__all__:
            value = getattr(folder, name)
            if not inspect.isroutine(value):
                continue
            for parameter in inspect.signature(value).parameters.values():
                kind = str(parameter.annotation)
                if kind.startswith(("collections.abc.Sequence[str]", "collections.abc.Collection[str]")):
                    known = {parameter.name, parameter.name.removeprefix("stop_")} & (named | apart)
                    assert known or "list" in parameter.name, f"{name}: {parameter}"


#: One number in all its forms: Python's, NumPy's, without axes.
WHOLE = [2, np.int64(2), np.uint8(2), np.array(2), torch.tensor(2)]
REAL = [0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5)]

WHOLES = {
    "ngrams": lambda n: ngrams(list("abc"), n),
    "add_boundaries": lambda n: add_boundaries(["a"], bos=n, eos=n),
    "head": lambda n: head("abcdef", n),
    "head_tail": lambda n: head_tail("abcdef", 3, head=n),
    "windows": lambda n: windows("abcdef", 4, stride=n),
    "windows size": lambda n: windows("abcdef", n),
    "length_statistics": lambda n: length_statistics(["abc"], limit=n),
    "jaccard": lambda n: jaccard("a b c", "a b d", shingle=n),
    "find_duplicates": lambda n: find_duplicates(["a b c d", "a b c e"], threshold=0.5, shingle=n),
    "window": lambda n: negated("no a b c", Piece("c", 7, 8), window=n),
    "ngram_counts": lambda n: ngram_counts([["a", "b"]], n),
    "n of a model": lambda n: NgramModel([["a", "b"]], n=n, min_freq=n).counts,
    "epochs": lambda n: PerceptronTagger().fit([[("a", "X"), ("b", "Y")]], epochs=n, seed=n).weights,
    "merges": lambda n: learn_bpe({"low": 5, "lower": 2}, n),
    "merges of word pieces": lambda n: learn_wordpiece({"low": 5, "lower": 2}, n, min_count=n),
    "max_characters": lambda n: apply_wordpiece(["ab"], learn_wordpiece(["ab"], 0), max_characters=n),
    "min_freq": lambda n: Vocabulary.build([["a", "a", "b"]], min_freq=n).tokens,
    "max_size": lambda n: Vocabulary.build([["a", "a", "b"]], max_size=n).tokens,
    "counts": lambda n: Vocabulary(["a", "b"], [n, 1]).counts,
    "length": lambda n: Vocabulary(["a"]).pad([["a"] * 5], length=n).ids.tolist(),
    "n": lambda n: random_swap(list("abcdef"), n=n, rng=random.Random(0)),
    "n of eda": lambda n: eda("severe pain today", n=n, rng=random.Random(0)),
    "k": lambda n: Neighbours(list("abcd"), np.eye(4) + 0.1, k=n)("a"),
    "words": lambda n: label_prompt("a", TOKENS, words=n),
    "seed": lambda n: augment(["severe pain"], operations=eda_operations(), seed=n),
    "seed of a batch": lambda n: augment_batch([["a", "b"], ["c", "d"]], [0, 0], seed=n),
    "variants": lambda n: augment(["severe pain today"], operations=eda_operations(), n=n),
}
REALS = {
    "k of a model": lambda p: NgramModel([["a", "b"]], k=p).probability("a", ["b"]),
    "threshold": lambda p: find_duplicates(["a b c d", "a b c e"], threshold=p, shingle=1),
    "p": lambda p: random_deletion(list("abcdef"), p=p, rng=random.Random(0)),
    "alpha": lambda p: eda("severe pain today", alpha=p, n=2, rng=random.Random(0)),
    "p of contract": lambda p: methods.contract(["do", "not"], p=p, rng=random.Random(0)),
    "min_similarity": lambda p: Neighbours(list("ab"), np.ones((2, 2)), min_similarity=p)("a"),
    "weights": lambda p: [WordSampler({"a": p, "b": 1})(random.Random(i)) for i in range(9)],
    "p of tf-idf": lambda p: TfIdf([["a", "b"], ["a"]]).probabilities(["a", "b"], p=p),
}


@pytest.mark.parametrize("name", WHOLES)
def test_whole_numbers_of_every_kind(name):
    answers = [WHOLES[name](number) for number in WHOLE]
    assert all(answer == answers[0] for answer in answers)
    for wrong in (2.0, "2", True, None if "length" not in name and "words" not in name else "x"):
        if wrong is None and name in (
            "length",
            "length_statistics",
            "head_tail",
            "windows",
            "max_size",
            "words",
            "window",
        ):
            continue
        with pytest.raises(ValueError, match="must be a whole number"):
            WHOLES[name](wrong)


@pytest.mark.parametrize("name", REALS)
def test_real_numbers_of_every_kind(name):
    answers = [REALS[name](number) for number in REAL]
    assert all(answer == answers[0] for answer in answers)
    for wrong in ("0.5", None, float("nan"), True):
        with pytest.raises(ValueError, match="must be"):
            REALS[name](wrong)


def test_an_augmented_record_holds_python_numbers():
    record, *_ = augment(["severe pain"], operations=eda_operations(), seed=np.int64(3))
    assert type(record.seed) is int and record == augment(["severe pain"], operations=eda_operations(), seed=3)[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_neighbours_in_half_precision_are_those_of_float32(dtype):
    """Squares of 300 do not fit into float16, and bfloat16 is no type of NumPy's."""
    vectors = (300 * torch.randn(40, 16, generator=torch.Generator().manual_seed(0))).to(dtype)
    words = [f"w{i}" for i in range(40)]
    near, wide = Neighbours(words, vectors, k=5), Neighbours(words, vectors.double(), k=5)
    assert all(near(word) == wide(word) != [] for word in words)
    if dtype != torch.bfloat16:
        array = Neighbours(words, vectors.numpy(), k=5)
        assert all(array(word) == wide(word) for word in words)


def test_vectors_that_are_none_are_named():
    for wrong in (torch.eye(2).to_sparse(), np.ma.masked_equal(np.eye(2), 0), "ab", np.eye(2).astype(complex)):
        with pytest.raises(ValueError, match="vectors must be|vectors must hold"):
            Neighbours(["a", "b"], wrong)
    assert Neighbours(["a", "b"], np.array([[1, 2], [1, 3]], dtype=">f4"))("a") == ["b"]


def test_weights_in_half_precision_are_summed_in_full():
    sampler = WordSampler({word: np.float16(40_000) for word in "abc"})
    assert {sampler(random.Random(seed)) for seed in range(60)} == set("abc")


def test_counts_of_a_model_are_whole_numbers():
    with pytest.raises(ValueError, match="window must be a whole number of at least 1, got 0"):
        hf_fill(torch.nn.Identity(), type("Tokenizer", (), {"mask_token": "[M]"})(), window=0)
    with pytest.raises(ValueError, match="k must be a whole number of at least 0, got -1"):
        mlm_replacement(TOKENS, fill=fill, k=-1, **RNG)


def test_a_composed_step_still_takes_any_iterable():
    assert clean(" A ", steps=iter([str.lower, str.strip])) == "a"
    assert clean(" A ", steps=[]) == " A " and partial(clean, steps=())("x") == "x"
