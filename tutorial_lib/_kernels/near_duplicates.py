"""All pairs of similar texts, without comparing all: :func:`similar_pairs` equals :func:`plain_similar_pairs`.

Two sets with a similarity of at least t share at least t of the elements of each. Put the elements of all sets in one
order: then the first few of a set must hold one that the other set has as well. With the rarest first, few sets do.

References:
    Chaudhuri, Ganti and Kaushik, A primitive operator for similarity joins in data cleaning, ICDE 2006.
    Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np


def plain_similar_pairs(units: list[list[str]], threshold: float, shingle: int) -> Iterator[tuple[int, int]]:
    """All pairs of texts whose sets of shingles have a Jaccard similarity of at least the threshold.

    Args:
        units: N texts as lists of words, each with at least one.
        threshold: above 0, below 1.
        shingle: words in a shingle; a text that is shorter is one shingle.
    """
    sets = [{tuple(text[i : i + shingle]) for i in range(max(1, len(text) - shingle + 1))} for text in units]
    for i, j in combinations(range(len(sets)), 2):
        if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= threshold:
            yield i, j


# --- The same by the rarest shingles --------------------------------------------------------------------------------

# Products of a row of texts with all others, and pairs compared, at a time: what they need fits into memory.
_WORK, _PAIRS = 4_000_000, 20_000


def similar_pairs(units: list[list[str]], threshold: float, shingle: int) -> Iterator[tuple[int, int]]:
    """All similar pairs, in no order of their own; arguments as of :func:`plain_similar_pairs`."""
    from scipy import sparse

    rows, codes, number = _shingle_codes(units, shingle)
    if not number:
        return
    # Rarest first: a shingle's new code is its rank by the number of texts that have it.
    frequency = np.bincount(codes, minlength=number)
    rank = np.empty(number, dtype=np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(number)
    order = np.argsort(rows * number + rank[codes])
    rows, codes = rows[order], rank[codes][order]
    sizes = np.bincount(rows, minlength=len(units))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # Two sets with J >= t share at least t |x| elements: one of them is among the |x| - ceil(t |x|) + 1 rarest of x.
    prefix = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    used = np.arange(len(codes)) - starts[rows] < prefix[rows]
    shape = (len(units), number)
    rare = sparse.csr_array((np.ones(used.sum(), dtype=np.int32), (rows[used], codes[used])), shape=shape)
    full = sparse.csr_array((np.ones(len(codes), dtype=np.int32), (rows, codes)), shape=shape)
    turned = rare.T.tocsr()
    # Rows in chunks, so that candidates fit into memory also where many texts share a template.
    work = rare @ np.bincount(codes[used], minlength=number)
    chunks = np.split(np.arange(len(units)), np.flatnonzero(np.diff(np.cumsum(work) // _WORK)) + 1)
    for chunk in chunks:
        candidates = (rare[chunk] @ turned).tocoo()
        left, right = chunk[candidates.row], candidates.col
        smaller, larger = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        possible = (left < right) & (smaller >= threshold * larger - 1e-9)
        left, right = left[possible], right[possible]
        for part in range(0, len(left), _PAIRS):
            i, j = left[part : part + _PAIRS], right[part : part + _PAIRS]
            common = np.asarray(full[i].multiply(full[j]).sum(axis=1)).ravel()
            alike = common / (sizes[i] + sizes[j] - common) >= threshold
            yield from zip(i[alike].tolist(), j[alike].tolist(), strict=True)


def _shingle_codes(units: list[list[str]], shingle: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The distinct shingles of each text: row of the text, number of the shingle; and how many shingles there are."""
    numbers: dict[str, int] = {}
    lengths = np.array([len(found) for found in units], dtype=np.int64)
    flat = np.array([numbers.setdefault(unit, len(numbers)) for found in units for unit in found], dtype=np.int64)
    if not len(flat):
        return flat, flat, 0
    # A text shorter than a shingle is one shingle: filled up with a number that no unit has.
    short = np.maximum(shingle - lengths, 0)
    rows = np.repeat(np.arange(len(units)), lengths + short)
    filled = np.full(len(rows), len(numbers), dtype=np.int64)
    starts = np.cumsum(lengths + short) - (lengths + short)
    within = np.arange(len(rows)) - starts[rows]
    filled[within < lengths[rows]] = flat
    codes, number = filled, len(numbers) + 1
    for i in range(1, shingle):  # pair by pair, renumbered each time: no collisions, no overflow
        codes = codes[:-1] * (len(numbers) + 1) + filled[i:]
        found, codes = np.unique(codes, return_inverse=True)
        number = len(found)
    whole = within[: len(codes)] + shingle <= (lengths + short)[rows[: len(codes)]]
    keys = np.sort(rows[: len(codes)][whole] * number + codes[whole])
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return keys // number, keys % number, number
