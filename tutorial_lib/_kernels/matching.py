"""Which detections are right, for all images, thresholds and areas at once. It equals these lines, image by image:

for detection in group, by falling score:
    real = free objects that count, with IoU >= threshold
    best = the one of highest IoU (of equal ones the last), else likewise of those to be ignored
    if there is one: the object is taken, unless it is a crowd; the detection is right, or ignored with its object
    else: the detection is wrong, or ignored where its area is another
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_LARGEST = 1 - 1e-10  # pycocotools: at a threshold of 1 the overlap may be this
_ENTRIES = 4_000_000  # of a chunk's (groups, areas, thresholds, objects)


def match_all(
    groups: Sequence[Any], thresholds: np.ndarray, areas: Sequence[tuple[float, float]], *, first_only: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Match each group's detections with its objects.

    Args:
        groups: with iou (D, G), scores (D,) falling, det_area, gt_area, ignore, crowd; see ``average_precision.Group``.
        thresholds: (T,).
        areas: A pairs of lowest and highest area.
        first_only: PASCAL VOC's rule: a detection looks at its best object, whether that is free or not.

    Returns:
        Scores (K,) of all detections, falling, equal ones in the order of the groups; right and ignored
        (K, A, T); the number of objects that count (A,).
    """
    low, high = (np.array(end) for end in zip(*areas))
    limits = np.minimum(thresholds, _LARGEST)
    sizes = np.array([group.iou.shape for group in groups]).reshape(-1, 2)
    objects = np.zeros(len(low), dtype=np.int64)
    rights: list[np.ndarray] = [np.empty(0)] * len(groups)
    ignores: list[np.ndarray] = [np.empty(0)] * len(groups)
    order = np.lexsort((sizes[:, 0], sizes[:, 1]))  # alike groups side by side: little padding
    start = 0
    while start < len(order):
        per = max(1, int(sizes[order[start:], 1].max()) * len(low) * len(limits))
        chunk = order[start : start + max(1, _ENTRIES // per)]
        right, ignored, counted = _match([groups[i] for i in chunk], limits, low, high, first_only)
        objects += counted
        for place, i in enumerate(chunk):
            rights[i], ignores[i] = right[place, : sizes[i, 0]], ignored[place, : sizes[i, 0]]
        start += len(chunk)
    scores = np.concatenate([group.scores for group in groups])
    by_score = np.argsort(-scores, kind="stable")
    return scores[by_score], np.concatenate(rights)[by_score], np.concatenate(ignores)[by_score], objects


def _match(
    groups: list[Any], limits: np.ndarray, low: np.ndarray, high: np.ndarray, first_only: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One detection of every group at a time: the first of all, then the second of those that have one, …"""
    number, areas, steps = len(groups), len(low), len(limits)
    most = max(group.iou.shape[0] for group in groups)
    wide = max(1, max(group.iou.shape[1] for group in groups))
    iou = np.full((number, most, wide), -1.0)
    ignore, crowd = np.ones((number, areas, wide), bool), np.zeros((number, wide), bool)
    there, outside = np.zeros((number, most), bool), np.zeros((number, most, areas), bool)
    objects = np.zeros(areas, dtype=np.int64)
    for i, group in enumerate(groups):
        d, g = group.iou.shape
        iou[i, :d, :g], there[i, :d], crowd[i, :g] = group.iou, True, group.crowd
        other = (group.gt_area < low[:, None]) | (group.gt_area > high[:, None])  # (A, G)
        ignore[i, :, :g] = group.ignore | other
        outside[i, :d] = (group.det_area[:, None] < low) | (group.det_area[:, None] > high)
        objects += (~ignore[i, :, :g]).sum(1)
    right, ignored = (np.zeros((number, most, areas, steps), bool) for _ in range(2))
    free = np.ones((number, areas, steps, wide), bool)
    counts, ignore = ~ignore[:, :, None], ignore[:, :, None]  # (n, A, 1, G)
    for step in range(most):
        rows = np.flatnonzero(there[:, step])
        full = (len(rows), areas, steps, wide)
        overlap = iou[rows, step][:, None, None]  # (n, 1, 1, G)
        reach = overlap >= limits[:, None]  # (n, 1, T, G)
        if first_only:
            best = _last_best(np.broadcast_to(overlap, full))
            took = np.take_along_axis(np.broadcast_to(reach, full), best, -1)
        else:
            open_ = reach & (free[rows] | crowd[rows][:, None, None])
            real = np.where(open_ & counts[rows], overlap, -1.0)
            value = np.where(real.max(-1, keepdims=True) >= 0, real, np.where(open_ & ignore[rows], overlap, -1.0))
            best = _last_best(value)
            took = np.take_along_axis(value, best, -1) >= 0
        passed = np.take_along_axis(np.broadcast_to(ignore[rows], full), best, -1)
        was_free = np.take_along_axis(free[rows], best, -1)
        ignored[rows, step] = np.where(took, passed, outside[rows, step][:, :, None, None])[..., 0]
        right[rows, step] = (took & ~passed & (was_free if first_only else True))[..., 0]
        some = free[rows]
        np.put_along_axis(some, best, was_free & ~took, -1)
        free[rows] = some
    return right, ignored, objects


def _last_best(values: np.ndarray) -> np.ndarray:
    """The place of the largest value on the last axis, of equal ones the last; that axis kept."""
    return values.shape[-1] - 1 - values[..., ::-1].argmax(-1)[..., None]
