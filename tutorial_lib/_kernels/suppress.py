"""Greedy suppression of overlapping boxes, block by block: :func:`suppress` equals :func:`plain_suppress`."""

import numpy as np


def plain_suppress(corners, threshold):
    """Whether each box stays, (K,) bool: it does if its IoU with every box that stayed before is at most the threshold.

    Args:
        corners: (K, 4) x1, y1, x2, y2 as a NumPy array, by falling score.
        threshold: 0 to 1.
    """
    stays = np.zeros(len(corners), bool)
    for number, box in enumerate(corners):
        before = corners[stays]
        size = np.minimum(box[2:], before[:, 2:]) - np.maximum(box[:2], before[:, :2])  # (kept, 2)
        shared = size.clip(min=0).prod(1)
        union = (box[2:] - box[:2]).prod() + (before[:, 2:] - before[:, :2]).prod(1) - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        stays[number] = all(float(value) <= threshold for value in iou)
    return stays


# --- The same in blocks ---------------------------------------------------------------------------------------------

# Boxes decided at a time, and boxes compared with them at a time: what a comparison writes stays in the cache.
_BLOCK, _STRIP = 256, 512


def suppress(corners, threshold):
    """Whether each box stays, of all of them; arguments and answer as of :func:`plain_suppress`.

    In NumPy, on one thread: hundreds of short steps, each of which a busy second core would hold up.
    """
    limit = _below(threshold, corners.dtype)
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    rest = np.concatenate((corners.T, area[None]))  # (5, K)
    order, stays = np.arange(len(corners)), np.zeros(len(corners), bool)
    with np.errstate(invalid="ignore"):  # 0/0 of two boxes without area is no overlap
        while len(order):
            first, order = order[:_BLOCK], order[_BLOCK:]
            block, rest = rest[:, :_BLOCK], rest[:, _BLOCK:]
            kept = _greedy(_overlap(block, block, limit))
            stays[first[kept]] = True
            block = block[:, kept]
            gone = np.zeros(len(order), bool)
            for start in range(0, len(order), _STRIP):
                strip = slice(start, start + _STRIP)
                gone[strip] = _overlap(block, rest[:, strip], limit).any(0)
            order, rest = order[~gone], rest[:, ~gone]
    return stays


def _overlap(these, others, limit):
    """Whether the IoU is above the limit, (N, M), of boxes given as rows x1, y1, x2, y2, area."""
    x1, y1, x2, y2, area = these[:, :, None]
    wide, high = np.minimum(x2, others[2]), np.minimum(y2, others[3])
    other = np.maximum(x1, others[0])
    wide -= other
    high -= np.maximum(y1, others[1], out=other)
    inter = np.maximum(wide, 0, out=wide)
    inter *= np.maximum(high, 0, out=high)
    union = np.add(area, others[4], out=other)
    union -= inter
    inter /= union
    return inter > limit


def _below(threshold: float, dtype):
    """The largest number of a type that is not above the threshold: rounding 0.3 up would let an IoU of 0.3 pass."""
    limit = dtype.type(threshold)
    return limit if float(limit) <= threshold else np.nextafter(limit, dtype.type(-1))


def _greedy(overlap):
    """Which boxes stay, of a few that are sorted by score."""
    gone = np.zeros(len(overlap), bool)
    for number, row in enumerate(overlap):
        if not gone[number]:
            gone[number + 1 :] |= row[number + 1 :]
    return ~gone
