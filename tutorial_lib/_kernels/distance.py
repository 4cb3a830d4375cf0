"""Distances between the voxels of a mask: :func:`distance_to` and :func:`depth` equal :func:`plain_distance_to`, and
:func:`inner_boundary` equals :func:`plain_inner_boundary`.
"""

import numpy as np
from scipy import ndimage


def plain_distance_to(target: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Distance from every voxel to the nearest one where ``target`` is true, looking at them all; there must be one.

    Args:
        target: (\\*space) bool.
        steps: size of a voxel on each axis.

    Returns:
        (\\*space) float64, 0 where ``target`` is true.
    """
    place = np.moveaxis(np.indices(target.shape), 0, -1) * np.array(steps)  # (*space, axes)
    apart = place[..., None, :] - place[target]  # (*space, true voxels, axes)
    return np.sqrt((apart**2).sum(-1).min(-1))


def plain_inner_boundary(inside: np.ndarray) -> np.ndarray:
    """Inside voxels with an outside neighbour across a face; beyond the image there is none."""
    return inside & ~ndimage.binary_erosion(inside, border_value=1)


# --- The same, fast -------------------------------------------------------------------------------------------------


def distance_to(target: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Distance to the nearest true voxel, by SciPy's exact feature transform.

    SciPy walks the first axis first. With the axes in reverse, and a voxel's coordinates side by side, its walk keeps
    to one piece of memory: 1.6 x as fast in 3-D.
    """
    nearest = np.empty((*target.shape, target.ndim), np.int32)
    ndimage.distance_transform_edt(
        ~target.T, sampling=steps[::-1], return_distances=False, return_indices=True, indices=nearest.T
    )
    whole = all(step == 1 for step in steps) and sum(n * n for n in target.shape) < 2**31
    squared: np.ndarray = np.zeros((), np.int32)
    for axis, (n, step) in enumerate(zip(target.shape, steps)):
        grid = np.arange(n, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(target.ndim)])
        offset = nearest[..., -1 - axis] - grid
        if not whole:  # whole numbers are quicker, and exact
            offset = offset * step
        offset *= offset
        squared = np.add(squared, offset, out=offset)
    return np.sqrt(squared, dtype=np.float64)


def depth(inside: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """``distance_to(~inside)``: an inside voxel's nearest outside voxel lies in the bounding box grown by one."""
    box = []
    for axis in range(inside.ndim):
        hits = np.flatnonzero(inside.any(axis=tuple(a for a in range(inside.ndim) if a != axis)))
        box.append(slice(max(int(hits[0]) - 1, 0), int(hits[-1]) + 2))
    out = np.zeros(inside.shape)
    out[tuple(box)] = distance_to(~inside[tuple(box)], steps)
    return out


def inner_boundary(inside: np.ndarray) -> np.ndarray:
    """The inner boundary, by comparing each voxel with its neighbours, one axis at a time."""
    found = np.zeros_like(inside)
    for axis in range(inside.ndim):
        mask, edge = np.moveaxis(inside, axis, 0), np.moveaxis(found, axis, 0)
        edge[1:] |= mask[1:] & ~mask[:-1]
        edge[:-1] |= mask[:-1] & ~mask[1:]
    return found
