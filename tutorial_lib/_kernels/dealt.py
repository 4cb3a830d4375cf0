r"""Items with several labels dealt to folds, the rarest label first. In plain lines::

    while left.any():  # how many items each label has that are not dealt
        label = the one with the smallest left above 0
        for item in the items of this label that are not dealt, large ones first, else at random:
            k = the fold with the largest wanted[k, label], of equals with the largest room[k], of equals a random one
            fold[item] = k
            wanted[k] -= counts[item]
            room[k] -= size[item]
    and what has no label goes where there is most room

While one label is dealt, the wishes for the others decide nothing, so they are brought up to date afterwards. And where
every item counts once, nobody has to ask item by item: of the numbers wanted[k], wanted[k] - 1, wanted[k] - 2, ... of
all folds the n largest are served.
"""

import numpy as np


def deal(counts: np.ndarray, size: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """See the lines above.

    Args:
        counts: (N, C) how often an item has each label; bool where each is a row.
        size: (N,) rows of an item.
        folds: k.
        rng: of the order and the ties.

    Returns:
        (N,) int64, the fold of each item.
    """
    single = counts.dtype == bool
    order = rng.permutation(len(counts))
    counts, size = counts[order], size[order]
    fold = np.full(len(counts), -1, np.int64)
    left = counts.sum(0)
    wanted = np.tile(left / folds, (folds, 1))  # (k, C)
    room = np.full(folds, size.sum() / folds)
    while left.any():
        label = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        items = np.flatnonzero((counts[:, label] > 0) & (fold < 0))
        wish = wanted[:, label]
        if single:
            fold[items] = rng.permutation(np.repeat(np.arange(folds), _served(wish, room, len(items), rng)))
        else:
            items = items[np.argsort(-counts[items, label], kind="stable")]
            fold[items] = _one_by_one(wish, room, counts[items, label], size[items], rng)
        for k in range(folds):
            mine = items[fold[items] == k]
            given = counts[mine].sum(0)
            wanted[k], room[k], left = wanted[k] - given, room[k] - size[mine].sum(), left - given
    rest = np.flatnonzero(fold < 0)
    if single:
        fold[rest] = rng.permutation(np.repeat(np.arange(folds), _served(room, room, len(rest), rng)))
    else:
        rest = rest[np.argsort(-size[rest], kind="stable")]
        fold[rest] = _one_by_one(room, room, size[rest], size[rest], rng)
    dealt = np.empty_like(fold)
    dealt[order] = fold
    return dealt


def _served(wish: np.ndarray, room: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """How many of ``number`` equal items each fold gets: (k,)."""
    if not number:
        return np.zeros(len(wish), np.int64)
    steps = wish[:, None] - np.arange(number)
    last = np.partition(steps.ravel(), -number)[-number]  # the smallest wish that is served
    served = (steps > last + 1e-9).sum(1)
    tied = np.flatnonzero((np.abs(steps - last) <= 1e-9).any(1))
    best = tied[np.lexsort((rng.random(len(tied)), served[tied] - room[tied]))]
    served[best[: number - served.sum()]] += 1
    return served


def _one_by_one(wish, room, counts, size, rng: np.random.Generator) -> list[int]:
    """The fold of each item, where items count for more than one."""
    wish, room, found = list(wish), list(room), []
    for count, rows, tie in zip(counts.tolist(), size.tolist(), rng.random((len(counts), len(wish))).tolist()):
        best = max(range(len(wish)), key=lambda k: (wish[k], room[k], tie[k]))
        wish[best] -= count
        room[best] -= rows
        found.append(best)
    return found
