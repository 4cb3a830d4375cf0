"""Long texts: how long they are, and how to fit them into a model's longest input.

For chapter 12, whose records are longer than a model reads.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tutorial_lib import _arguments as check
from tutorial_lib.text.pieces import Piece


def head(sequence: Sequence, size: int) -> list[Piece]:
    """The first ``size`` elements of a text or of its tokens, as one piece.

    Args:
        sequence: a string or a list of tokens.
        size: elements to keep.

    Returns:
        A list of one piece; shorter than ``size`` where the sequence is.

    >>> head("abcdef", 4)
    [Piece(content='abcd', start=0, end=4)]
    """
    size = check.whole(size, "size", low=1)
    end = min(size, len(sequence))
    return [Piece(sequence[:end], 0, end)]


def head_tail(sequence: Sequence, size: int, *, head: int | None = None) -> list[Piece]:
    """The beginning and the end: together ``size`` elements; one piece where all fits.

    Args:
        sequence: a string or a list of tokens.
        size: elements to keep.
        head: how many of them from the beginning; by default a quarter.

    Returns:
        One piece or two, with their places in the sequence.

    References:
        Sun et al., How to Fine-Tune BERT for Text Classification?, 2019, section 5.3.1 (128 + 382 of 510).

    >>> head_tail("abcdefgh", 4, head=1)
    [Piece(content='a', start=0, end=1), Piece(content='fgh', start=5, end=8)]
    """
    size = check.whole(size, "size", low=1)
    first = max(1, size // 4) if head is None else check.whole(head, "head", low=0)
    if first > size:
        raise ValueError(f"head must be at most size = {size}, got {first}")
    if len(sequence) <= size:
        return [Piece(sequence[:], 0, len(sequence))]
    cuts = [(0, first), (len(sequence) - (size - first), len(sequence))]
    return [Piece(sequence[start:end], start, end) for start, end in cuts if start < end]


def windows(sequence: Sequence, size: int, *, stride: int | None = None) -> list[Piece]:
    """Cut into windows of ``size`` elements, a new one every ``stride``; the last may be shorter.

    Every element lies in at least one window, and no window lies inside another.

    Args:
        sequence: a string or a list of tokens.
        size: elements of a window.
        stride: from the start of one to the start of the next, 1 to ``size``; by default ``size``: no overlap.

    Returns:
        The windows, from the left, with their places in the sequence.

    >>> [piece.content for piece in windows("abcdefg", 4, stride=2)]
    ['abcd', 'cdef', 'efg']
    """
    size = check.whole(size, "size", low=1)
    stride = size if stride is None else check.whole(stride, "stride", low=1)
    if stride > size:
        raise ValueError(f"stride must be at most size = {size}, or elements between windows are lost, got {stride}")
    last = max(0, -(-(len(sequence) - size) // stride))
    cuts = [(i * stride, min(i * stride + size, len(sequence))) for i in range(last + 1)]
    return [Piece(sequence[start:end], start, end) for start, end in cuts]


def length_statistics(texts: Iterable[Sequence], *, limit: int | None = None) -> dict[str, float]:
    """How long texts are: characters of strings, or tokens of lists of tokens.

    Args:
        texts: strings, or sequences of tokens.
        limit: a model's longest input; adds the share of texts above it, and the share of all elements cut off there.

    Returns:
        ``count``, ``mean``, ``min``, ``median``, ``p90``, ``p95``, ``p99``, ``max``; with ``limit`` also ``over`` and
        ``lost``, both from 0 to 1. All but ``count`` are nan where there is no text.

    >>> statistics = length_statistics(["abcd", "ab", "abcdefgh"], limit=4)
    >>> statistics["median"], round(statistics["over"], 2), round(statistics["lost"], 2)
    (4.0, 0.33, 0.29)
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    names = ["min", "median", "p90", "p95", "p99", "max"]
    values = np.percentile(lengths, [0, 50, 90, 95, 99, 100]) if len(lengths) else np.full(6, np.nan)
    mean = float(lengths.mean()) if len(lengths) else float("nan")
    found = {"count": len(lengths), "mean": mean} | dict(zip(names, values.tolist(), strict=True))
    if limit is not None:
        limit = check.whole(limit, "limit", low=1)
        total = lengths.sum()
        found["over"] = float((lengths > limit).mean()) if len(lengths) else float("nan")
        found["lost"] = float(np.maximum(lengths - limit, 0).sum() / total) if total else float("nan")
    return found
