"""Windows, heads and tails of long texts, and how long they are."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutorial_lib.text import (
    head,
    head_tail,
    length_statistics,
    token_pieces,
    tokenize,
    windows,
)

ROOT = Path(__file__).resolve().parents[2]


sequences = st.one_of(st.text(max_size=30), st.lists(st.text(max_size=3), max_size=30))


@given(sequence=sequences, size=st.integers(1, 12), data=st.data())
def test_windows_cover_everything_and_none_lies_inside_another(sequence, size, data):
    stride = data.draw(st.integers(1, size))
    pieces = windows(sequence, size, stride=stride)
    assert all(piece.content == sequence[piece.start : piece.end] for piece in pieces)
    assert {i for piece in pieces for i in range(piece.start, piece.end)} == set(range(len(sequence)))
    assert all(two.start - one.start == stride and one.end < two.end for one, two in itertools.pairwise(pieces))
    assert all(len(piece.content) == size for piece in pieces[:-1]) and len(pieces) >= 1


@given(sequence=sequences, size=st.integers(1, 12), data=st.data())
def test_head_and_tail_are_the_ends(sequence, size, data):
    first = data.draw(st.none() | st.integers(0, size))
    pieces = head_tail(sequence, size, head=first)
    assert all(piece.content == sequence[piece.start : piece.end] for piece in pieces)
    assert sum(len(piece.content) for piece in pieces) == min(size, len(sequence))
    if len(sequence) > size:
        lengths = [len(sequence[: first if first is not None else max(1, size // 4)])]
        wanted = [*sequence[: lengths[0]], *sequence[len(sequence) - (size - lengths[0]) :]]
        assert [part for piece in pieces for part in piece.content] == wanted
    assert head(sequence, size) == [(sequence[:size], 0, min(size, len(sequence)))]


def test_windows_of_tokens_lead_back_to_the_characters():
    text = "患者发热3.5天，BP 120/80 mmHg。"
    tokens = token_pieces(text)
    for window in windows(tokens, 4, stride=2):
        part = text[window.content[0].start : window.content[-1].end]
        assert tokenize(part) == [piece.content for piece in window.content]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: windows("abc", 2, stride=3), "stride must be at most size = 2.* got 3"),
        (lambda: head_tail("abc", 2, head=3), "head must be at most size = 2.* got 3"),
    ],
)
def test_windows_that_lose_elements_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_length_statistics():
    lengths = [5, 1, 100, 20, 3]
    found = length_statistics([["x"] * n for n in lengths], limit=10)
    assert (found["count"], found["mean"], found["min"], found["median"], found["max"]) == (5, 25.8, 1, 5, 100)
    assert found["p90"] == np.percentile(lengths, 90) and found["over"] == 0.4 and found["lost"] == 100 / 129
    empty = length_statistics([], limit=3)
    assert empty.pop("count") == 0 and all(np.isnan(value) for value in empty.values())
    assert length_statistics([""], limit=3)["over"] == 0
