"""Distances from one surface to another: :func:`nearest` of :func:`surfaces` equals :func:`plain_nearest` of
:func:`plain_surface`, but for the order.
"""

from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial import cKDTree


def plain_surface(mask: np.ndarray) -> np.ndarray:
    """A mask's voxels that have a neighbour across a face outside of it; beyond the image all is outside."""
    return mask & ~binary_erosion(mask)


def plain_nearest(points: np.ndarray, surface: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distance from each voxel of ``points`` to the nearest voxel of ``surface``, looking at them all.

    Args:
        points: (\\*space) bool.
        surface: (\\*space) bool, with one voxel at least.
        spacing: size of a voxel on each axis.

    Returns:
        (number of points,) float64.
    """
    here, there = (np.argwhere(mask) * np.array(spacing) for mask in (points, surface))  # (voxels, axes)
    return np.array([np.sqrt(((there - point) ** 2).sum(1)).min() for point in here])


# --- The same, fast -------------------------------------------------------------------------------------------------

# What decides between the ways of `nearest`; benchmarks/bench_metrics.py measures each alone.
_REACH = 3  # voxels around a surface voxel that are looked up before anything is built
_LOOKUPS_PER_QUERY = 200  # look-ups that cost about as much as one query of a k-d tree
_VOXELS_PER_QUERY = 25  # voxels of a distance transform that cost about as much as one query


def surfaces(*masks: np.ndarray) -> list[np.ndarray]:
    """The masks' surfaces, cropped to the box that holds all masks and padded by ``_REACH`` voxels of background."""
    union = np.logical_or.reduce(masks)
    box = []
    for axis in range(union.ndim):
        filled = np.flatnonzero(union.any(axis=tuple(other for other in range(union.ndim) if other != axis)))
        box.append(slice(filled[0], filled[-1] + 1))
    found = []
    for mask in masks:
        mask = np.pad(mask[tuple(box)], _REACH)
        inside = mask.copy()
        for axis in range(mask.ndim):
            kept, seen = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
            kept[1:] &= seen[:-1]
            kept[:-1] &= seen[1:]
        found.append(mask & ~inside)
    return found


def nearest(points: np.ndarray, surface: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distance from each voxel of ``points`` to the nearest voxel of ``surface``, in no particular order.

    Both come from :func:`surfaces`: their border of background lets a look-up go beyond them.

    Three ways, each exact, each where it is the fastest. Most of a good prediction lies within a few voxels of the
    truth, and of noise within a few of other noise: there a look-up, nearest offset first, finds the answer. What is
    left goes to a k-d tree, whose time grows with the number of points, or, where that is very many, to a distance
    transform, whose time grows with the number of voxels.
    """
    flat, left = surface.ravel(), np.flatnonzero(points)
    found, tried = [], 0
    for distance, offsets in _shells(spacing):
        before, tried = len(left), tried + len(offsets)
        for step in offsets @ np.array(surface.strides):  # bool: a stride is a number of voxels
            hit = flat[left + step]
            count = np.count_nonzero(hit)
            if count:
                found.append(np.full(count, distance))
                left = left[~hit]
        # After the nearest neighbours, go on only while a shell finds enough to pay for itself.
        poor = (before - len(left)) * _LOOKUPS_PER_QUERY < before * len(offsets)
        if len(left) == 0 or poor and tried >= 3**surface.ndim:
            break
    if len(left):
        size = np.array(spacing)[:, None]
        here = np.array(np.unravel_index(left, surface.shape))  # (axes, points)
        if len(left) * _VOXELS_PER_QUERY < surface.size:
            there = np.array(np.nonzero(surface))
            tree = cKDTree((there * size).T, leafsize=32, balanced_tree=False, compact_nodes=False)
            found.append(tree.query((here * size).T)[0])
        else:
            inner = (slice(_REACH, -_REACH),) * surface.ndim
            there = distance_transform_edt(~surface[inner], spacing, return_distances=False, return_indices=True)
            there = there[(slice(None), *(here - _REACH))] + _REACH
            found.append(np.sqrt((((there - here) * size) ** 2).sum(0)))
    return np.concatenate(found)


@lru_cache(maxsize=64)
def _shells(spacing: tuple[float, ...]) -> list[tuple[float, np.ndarray]]:
    """(distance, offsets at that distance), nearest first; all that are nearer than any outside the box ±``_REACH``."""
    grid = np.indices((2 * _REACH + 1,) * len(spacing)).reshape(len(spacing), -1).T - _REACH
    length = np.sqrt(((grid * np.array(spacing)) ** 2).sum(1)) / min(spacing)
    grid, length = grid[length < _REACH + 1], length[length < _REACH + 1]
    level = np.round(length, 9)  # equal but for rounding: one shell
    return [(float(length[level == k][0] * min(spacing)), grid[level == k]) for k in np.unique(level)]
