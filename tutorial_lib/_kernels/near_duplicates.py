"""All pairs of similar sets, without comparing all pairs."""

from collections.abc import Iterable

import numpy as np


def similar_pairs(units: list[list[str]], threshold: float, shingle: int) -> Iterable[tuple[int, int]]:
    """All pairs whose sets of shingles have a Jaccard similarity of at least the threshold."""
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
    chunks = np.split(np.arange(len(units)), np.flatnonzero(np.diff(np.cumsum(work) // 4_000_000)) + 1)
    for chunk in chunks:
        candidates = (rare[chunk] @ turned).tocoo()
        left, right = chunk[candidates.row], candidates.col
        smaller, larger = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        possible = (left < right) & (smaller >= threshold * larger - 1e-9)
        left, right = left[possible], right[possible]
        for part in range(0, len(left), 20_000):
            i, j = left[part : part + 20_000], right[part : part + 20_000]
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
