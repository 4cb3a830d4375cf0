"""Counts of n-grams with the ends of sentences, and the model made of them: NLTK's numbers, and sums of 1."""

import math
from collections import Counter

import nltk.lm
import pytest

from tutorial_lib.text import BOS, EOS, UNK, NgramModel, ngram_counts

TEXTS = [line.split() for line in ("no fever .", "no cough .", "severe cough and fever .", "fever .", "no pain .")]


def test_counts_know_where_a_sentence_begins_and_ends():
    counts = ngram_counts(TEXTS, 2)
    assert counts[BOS, "no"] == 3 and counts[".", EOS] == 5 and (".", "no") not in counts
    assert ngram_counts(TEXTS, 1)[EOS,] == 5 and (BOS,) not in ngram_counts(TEXTS, 1)
    assert ngram_counts([["a"]], 3) == Counter({(BOS, BOS, "a"): 1, (BOS, "a", EOS): 1})
    assert ngram_counts([["a", "b"]], 2, boundaries=False) == {("a", "b"): 1} and not ngram_counts([], 2)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_probabilities_are_those_of_nltk(n):
    model = NgramModel(TEXTS, n=n, k=0.5)
    theirs = nltk.lm.Lidstone(0.5, n)
    padded = [[BOS] * (n - 1) + text + [EOS] for text in TEXTS]
    theirs.fit([list(nltk.ngrams(text, n)) for text in padded], [word for text in TEXTS for word in text] + [EOS])
    assert len(theirs.vocab) == len(model.words) == 9
    for text in [*padded, [BOS] * (n - 1) + "and severe no".split() + [EOS]]:
        for run in nltk.ngrams(text, n):
            assert model.probability(run[-1], run[:-1]) == pytest.approx(theirs.score(run[-1], run[:-1]))
        runs = list(nltk.ngrams(text, n))
        assert model.perplexity([text[n - 1 : -1]]) == pytest.approx(theirs.perplexity(runs))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_next_words_probabilities_sum_to_one(n):
    model = NgramModel(TEXTS, n=n, min_freq=2)
    assert set(model.words) == {"no", "fever", "cough", ".", UNK, EOS}
    for context in (["no", "fever"], [BOS, BOS], [BOS, "rash"], ["severe", "pain"]):
        assert sum(model.probability(word, context) for word in model.words) == pytest.approx(1)
    assert model.probability("rash", ["no", "no"]) == model.probability("pain", ["no", "no"])  # both unknown
    assert model.probability(BOS, ["no", "no"]) == 0


def test_the_probabilities_of_all_sentences_of_every_length_sum_to_one():
    """What the marks are for: walk through all sentences at once, by their last word."""
    model = NgramModel(TEXTS, n=2, k=0.5)
    alive, ended = {BOS: 1.0}, 0.0
    for _ in range(300):
        ended += sum(mass * model.probability(EOS, [last]) for last, mass in alive.items())
        alive = {
            word: sum(mass * model.probability(word, [last]) for last, mass in alive.items())
            for word in model.words
            if word != EOS
        }
    assert ended == pytest.approx(1, abs=1e-6)


def test_without_the_marks_a_broken_sentence_looks_as_likely_as_a_whole_one():
    whole, broken = "no fever .".split(), "no fever".split()
    turned = "fever no .".split()
    marked, bare = NgramModel(TEXTS, n=2), NgramModel(TEXTS, n=2, boundaries=False)
    assert marked.log_probability(whole)[0] > marked.log_probability(broken)[0]
    assert bare.log_probability(whole)[0] <= bare.log_probability(broken)[0]
    assert marked.perplexity([whole]) < marked.perplexity([turned])
    assert marked.log_probability(whole)[1] == 4 and bare.log_probability(whole)[1] == 2


def test_perplexity_by_hand():
    model = NgramModel([["no", "fever"], ["no", "cough"]], n=2, k=1)  # no, fever, cough, [UNK], [EOS]
    p = [(2 + 1) / (2 + 5), (1 + 1) / (2 + 5), (1 + 1) / (1 + 5)]
    assert model.log_probability(["no", "fever"]) == (pytest.approx(math.log(math.prod(p))), 3)
    assert model.perplexity([["no", "fever"]]) == pytest.approx(math.prod(p) ** (-1 / 3))
    assert NgramModel([], k=1).perplexity([[]]) == pytest.approx(2)  # [UNK] or [EOS]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ngram_counts(["no fever"], 2), "texts must be sequences of tokens"),
        (lambda: ngram_counts([["a"]], 0), "n must be a whole number of at least 1, got 0"),
        (lambda: NgramModel(TEXTS, k=0), "k must be .*above 0, got 0"),
        (lambda: NgramModel(TEXTS, n=3).probability("no", ["a"]), "context must have at least 2 words"),
        (lambda: NgramModel(TEXTS).perplexity([]), "texts must hold a word to predict, got none"),
        (lambda: NgramModel(TEXTS).perplexity("no"), "texts must be sentences"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
