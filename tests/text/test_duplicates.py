"""Duplicates are those found by comparing all with all."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.text import (
    conflicting_labels,
    duplicates,
    find_duplicates,
    jaccard,
)

ROOT = Path(__file__).resolve().parents[2]


def groups_by_comparing_all(records, threshold, shingle):
    group = list(range(len(records)))
    for i, j in itertools.combinations(range(len(records)), 2):
        one, two = duplicates._units(records[i]), duplicates._units(records[j])
        same = one == two if one or two else records[i].strip() == records[j].strip()
        if same or (threshold < 1 and one and two and jaccard(records[i], records[j], shingle=shingle) >= threshold):
            group = [group[i] if number == group[j] else number for number in group]
    found = [[i for i, number in enumerate(group) if number == wanted] for wanted in dict.fromkeys(group)]
    return [members for members in found if len(members) > 1]


@given(
    records=st.lists(st.lists(st.sampled_from(["a", "b", "C", "发", ",", "，"]), max_size=9).map(" ".join), max_size=9),
    threshold=st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 1.0]),
    shingle=st.integers(1, 4),
)
@settings(max_examples=400, deadline=None)
def test_duplicates_are_those_found_by_comparing_all_with_all(records, threshold, shingle):
    assert find_duplicates(records, threshold=threshold, shingle=shingle) == groups_by_comparing_all(
        records, threshold, shingle
    )


def test_duplicates_of_edited_texts():
    """Texts of 60 words, some of them copies with a few words changed: again all with all."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(300)])
    records = [" ".join(rng.choice(words, 60)) for _ in range(30)]
    for i in range(30):
        parts = records[i].split()
        for place in rng.integers(0, 60, i % 9):
            parts[place] = "changed"
        records.append(" ".join(parts))
    for threshold in (0.3, 0.5, 0.7, 0.9):
        found = find_duplicates(records, threshold=threshold)
        assert found == groups_by_comparing_all(records, threshold, 3)
        assert 0 < len(found) <= 30
    assert len(find_duplicates(records, threshold=0.3)) > len(find_duplicates(records, threshold=0.9))


def test_similarity_is_that_of_sets():
    assert jaccard("a b c d", "a b c e") == 1 / 3
    assert jaccard("a b", "a b") == 1 and jaccard("a b", "a c") == 0
    assert jaccard("", "!") == 1 and jaccard("", "a") == 0
    assert jaccard("发热 三天", "发热三天。") == 1
    assert jaccard("3.5 mg daily", "35 mg daily") == 0  # a lost point is no small matter


def test_texts_without_a_word_are_compared_as_they_stand():
    assert find_duplicates(["", "😀", "!", " 😀 ", "", "?"]) == [[0, 4], [1, 3]]
    assert find_duplicates([]) == [] and find_duplicates(["a"]) == []


def test_conflicting_labels_of_any_kind():
    records = ["No fever.", "no fever", "cough", "Cough!"]
    assert conflicting_labels(records, ["a", "a", "b", "c"]) == [([2, 3], ["b", "c"])]
    assert conflicting_labels(records, torch.tensor([0, 1, 2, 2])) == [([0, 1], [0, 1])]
    assert conflicting_labels(records, np.array([[0, 1], [0, 1], [1, 0], [1, 1]])) == [([2, 3], [(1, 0), (1, 1)])]
    near = ["the patient has had no fever today", "the patient has had no fever yesterday"]
    assert conflicting_labels(near, [0, 1]) == [] and len(conflicting_labels(near, [0, 1], threshold=0.6)) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_duplicates(["a", None]), "texts must be strings, got None at place 1"),
        (lambda: find_duplicates("ab"), "texts must be several strings"),
        (lambda: find_duplicates(["a"], threshold=0), r"threshold must be in \(0, 1\], got 0"),
        (lambda: find_duplicates(["a"], threshold=1.1), "threshold"),
        (lambda: conflicting_labels(["a"], [1, 2]), "labels must be one for each of 1 texts, got 2"),
    ],
)
def test_wrong_duplicates_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
