"""Stop words, stems, n-grams and vocabularies."""

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nltk
import pytest
import simplemma
import torch
from hypothesis import given
from hypothesis import strategies as st
from notes import is_han
from sklearn.feature_extraction.text import CountVectorizer

from tutorial_lib.text import (
    BOS,
    EOS,
    PAD,
    STOP_WORDS,
    UNK,
    Vocabulary,
    add_boundaries,
    head,
    head_tail,
    jaccard,
    lemmatize,
    length_statistics,
    ngrams,
    remove_stop_words,
    stem,
    tokenize,
    windows,
)

ROOT = Path(__file__).resolve().parents[2]


# --- words ---


def test_stop_words_hold_no_negation_and_nothing_that_cannot_be_a_token():
    negations = "no not never none nor neither without cannot n't 不 没 没有 无 未 否 非 否认 别 勿 不是".split()
    assert not set(negations) & (STOP_WORDS["en"] | STOP_WORDS["zh"])
    assert all(word == word.lower() and word.isalpha() for word in STOP_WORDS["en"] | STOP_WORDS["zh"])
    assert len(STOP_WORDS["en"]) > 100 and len(STOP_WORDS["zh"]) > 100
    assert all(all(map(is_han, word)) for word in STOP_WORDS["zh"])


def test_stop_words_of_both_languages_and_of_ones_own():
    tokens = tokenize("The patient has NO fever") + tokenize("患者的体温正常，无发热")
    assert remove_stop_words(tokens) == ["patient", "NO", "fever", "患者", "体温", "正常", "，", "无", "发热"]
    assert remove_stop_words(["The", "dose"], words={"dose"}) == ["The"]
    assert remove_stop_words(["the", "THE"]) == []


def test_stems_and_lemmas_are_the_libraries_and_chinese_is_left_alone():
    words = tokenize("Studies of diabetic patients showed repeatedly elevated pressures in the kidneys")
    stemmer = nltk.stem.SnowballStemmer("english")
    assert stem(words) == [stemmer.stem(word) for word in words]
    assert lemmatize(words) == [simplemma.lemmatize(word, lang="en") for word in words]
    others = ["糖尿病", "3.5", "120/80", "，", "", "👍"]
    assert stem(others) == lemmatize(others) == others
    assert stem(["Häuser"], language="german") == ["haus"]
    with pytest.raises(ValueError, match="language must be .*'english'.* got 'klingon'"):
        stem(["a"], language="klingon")
    with pytest.raises(ValueError, match="language must be one of .* got 'klingon'"):
        lemmatize(["a"], language="klingon")


# --- n-grams ---


@given(tokens=st.lists(st.sampled_from("abc"), max_size=8), n=st.integers(1, 4))
def test_ngrams_are_those_of_nltk_also_with_boundaries(tokens, n):
    assert ngrams(tokens, n) == list(nltk.ngrams(tokens, n))
    padded = add_boundaries(tokens, bos=n - 1, eos=n - 1)
    sides = {"pad_left": True, "pad_right": True, "left_pad_symbol": BOS, "right_pad_symbol": EOS}
    assert ngrams(padded, n) == list(nltk.ngrams(tokens, n, **sides))


def test_ngrams_are_those_of_scikit_learn():
    records = ["no fever no cough", "发热 三 天 ， 无 发热"]
    for n in (1, 2, 3):
        counter = CountVectorizer(analyzer="word", tokenizer=str.split, token_pattern=None, ngram_range=(n, n))
        theirs = counter.fit_transform(records).toarray()
        names = counter.get_feature_names_out()
        for row, record in zip(theirs, records, strict=True):
            ours = Counter(" ".join(gram) for gram in ngrams(record.split(), n))
            assert ours == {name: count for name, count in zip(names, row, strict=True) if count}


@pytest.mark.parametrize(
    "call",
    [lambda: ngrams(["a"], 0), lambda: ngrams(["a"], 1.5), lambda: add_boundaries([], bos=-1), lambda: head("a", 0),
     lambda: windows("a", True), lambda: windows("a", 3, stride=0), lambda: head_tail("a", 2, head=-1),
     lambda: Vocabulary.build([], min_freq=0), lambda: Vocabulary.build([], max_size=1),
     lambda: jaccard("a", "b", shingle=0), lambda: length_statistics(["a"], limit=0)],
)  # fmt: skip
def test_a_count_that_cannot_be_is_named(call):
    with pytest.raises(ValueError, match=r"[a-z_]+ must be a whole number of at least [0-2], got "):
        call()


# --- vocabulary ---

token_lists = st.lists(st.lists(st.text(st.characters(), min_size=1, max_size=3), max_size=6), max_size=6)


@given(records=token_lists)
def test_what_is_encoded_is_decoded(records):
    vocabulary = Vocabulary.build(records)
    for record in records:
        known = [UNK if token in (PAD, UNK) else token for token in record]
        assert vocabulary.decode(vocabulary.encode(record)) == known
    assert vocabulary.encode(["no such token"]) == [1]
    assert vocabulary.tokens[:2] == (PAD, UNK) and len(vocabulary) == len(set(vocabulary.tokens))


@given(records=token_lists, seed=st.randoms(use_true_random=False))
def test_the_order_of_texts_does_not_change_the_numbers(records, seed):
    shuffled = list(records)
    seed.shuffle(shuffled)
    assert Vocabulary.build(records) == Vocabulary.build(shuffled)


def test_order_frequency_and_size():
    records = [["b", "a", "发热"], ["b", "c", "发热", "b"]]
    vocabulary = Vocabulary.build(records)
    assert vocabulary.tokens == (PAD, UNK, "b", "发热", "a", "c")
    assert vocabulary.counts == (0, 0, 3, 2, 1, 1)
    assert Vocabulary.build(records, min_freq=2).tokens == (PAD, UNK, "b", "发热")
    assert Vocabulary.build(records, max_size=3).tokens == (PAD, UNK, "b")
    assert Vocabulary.build(records, max_size=2).encode(["b"]) == [1]
    special = Vocabulary.build(records, min_freq=3, specials=[BOS, EOS, "c"])
    assert special.tokens == (PAD, UNK, BOS, EOS, "c", "b") and special.counts == (0, 0, 0, 0, 1, 3)
    assert "b" in vocabulary and PAD in vocabulary and "z" not in vocabulary
    assert vocabulary != Vocabulary.build(records, min_freq=2) and vocabulary != 3
    assert Vocabulary.build([]).tokens == (PAD, UNK)
    assert repr(vocabulary) == "Vocabulary(6 entries: [PAD], [UNK], b, 发热, a, c)"


def test_the_other_convention_has_the_unknown_token_at_zero(tmp_path):
    records = [["no", "fever"], ["no", "cough"]]
    ours, other = Vocabulary.build(records), Vocabulary.build(records, zero=UNK)
    assert other.tokens == (UNK, PAD, *ours.tokens[2:]) and other.counts == ours.counts
    assert (ours.unknown, ours.padding, other.unknown, other.padding) == (1, 0, 0, 1)
    assert other.encode(["no", "rash", PAD]) == [2, 0, 0] and other.decode([2, 0, 1]) == ["no", UNK]
    ids, mask = other.pad([["rash"], ["no", "fever"]])
    assert ids.tolist() == [[0, 1], [2, 4]] and mask.tolist() == [[True, False], [True, True]]
    path = tmp_path / "vocabulary.json"
    other.save(path)
    assert Vocabulary.load(path) == other != ours and Vocabulary.load(path).padding == 1
    ours.save(path)
    assert "zero" not in json.loads(path.read_text())  # files are as they always were
    with pytest.raises(ValueError, match=r"zero must be '\[PAD\]' or '\[UNK\]', got 0"):
        Vocabulary(["a"], zero=0)


def test_the_same_numbers_in_every_process():
    code = "from tutorial_lib.text import Vocabulary; print(Vocabulary.build([list('the quick brown fox')]).tokens)"
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1 and "'o'" in outputs.pop()


def test_padding_and_its_mask():
    vocabulary = Vocabulary(["no", "fever", "cough"])
    ids, mask = vocabulary.pad([["no", "fever"], [], ["rash", PAD, "cough"]])
    assert ids.tolist() == [[2, 3, 0], [0, 0, 0], [1, 1, 4]] and ids.dtype == torch.int64
    assert mask.tolist() == [[True, True, False], [False, False, False], [True, True, True]]
    assert vocabulary.pad([["no", "fever"]], length=1).ids.tolist() == [[2]]
    assert vocabulary.pad([["no"]], length=3).mask.tolist() == [[True, False, False]]
    assert vocabulary.pad([]).ids.shape == (0, 0) and vocabulary.pad([[]]).mask.shape == (1, 0)
    assert vocabulary.decode(ids[0]) == ["no", "fever"]


def test_a_vocabulary_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "vocabulary.json"
    vocabulary = Vocabulary.build([["发热", "a\nb", "\ud800", '"'], ["发热"]])
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary == pickle.loads(pickle.dumps(vocabulary))
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            Vocabulary(["other"]).save(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]
    for wrong in ("[]", "{}", "no json", json.dumps({"tokens": ["a", "a"], "counts": [1, 1]})):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="does not hold a vocabulary"):
            Vocabulary.load(path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary(["a", "b", "a"]), r"got \['a'\] twice"),
        (lambda: Vocabulary([PAD]), r"got \['\[PAD\]'\]"),
        (lambda: Vocabulary(["a"], [1, 2]), "one number for each of 1 tokens, got 2"),
        (lambda: Vocabulary.build(["a text"]), "texts must be sequences of tokens, .* got"),
        (lambda: Vocabulary([]).encode("a text"), "tokens must be several strings"),
        (lambda: Vocabulary([]).decode([2]), "ids must be from 0 to 1, got 2"),
        (lambda: Vocabulary([]).decode([-1]), "ids must be from 0 to 1, got -1"),
    ],
)
def test_a_wrong_vocabulary_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
