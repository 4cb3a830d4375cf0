"""Each way to the nearest voxel is the plain one."""

import math

import numpy as np
import pytest

from tutorial_lib._kernels import nearest as kernel
from tutorial_lib._kernels.nearest import nearest, plain_nearest, plain_surface, surfaces

SHAPES = [(23, 17), (9, 8, 11), (1, 12), (1, 1, 1), (2, 1, 5)]
SPACINGS = [1.0, 0.7, (3.0, 1.0, 1.0), (0.1, 2.0, 0.9)]


def masks(kind, shape):
    rng = np.random.default_rng(0)
    first = rng.random(shape) < (0.1 if kind == "far" else 0.5)
    if kind == "near":
        second = first ^ (rng.random(shape) < 0.02)
    else:
        second = rng.random(shape) < (0.01 if kind == "far" else 0.5)
    for mask in (first, second):
        mask.flat[rng.integers(mask.size)] = True
    return first, second


@pytest.mark.parametrize("way", ["as it chooses", "tree", "transform"])
@pytest.mark.parametrize("kind", ["near", "far", "noise"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distances_are_the_plain_ones(way, kind, shape, monkeypatch):
    if way != "as it chooses":
        monkeypatch.setattr(kernel, "_shells", lambda spacing: [])
        monkeypatch.setattr(kernel, "_VOXELS_PER_QUERY", {"tree": 0, "transform": math.inf}[way])
    first, second = masks(kind, shape)
    ours, plain = surfaces(first, second), [plain_surface(first), plain_surface(second)]
    for spacing in SPACINGS:
        spacing = tuple(np.broadcast_to(spacing, 3)[: len(shape)].tolist())
        for one, other in ((0, 1), (1, 0)):
            found, expected = nearest(ours[one], ours[other], spacing), plain_nearest(plain[one], plain[other], spacing)
            np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_surfaces_are_the_plain_ones(shape):
    first, second = masks("noise", shape)
    for ours, mask in zip(surfaces(first, second), (first, second)):
        assert (
            np.argwhere(ours) - np.argwhere(plain_surface(mask))
            == np.argwhere(ours)[0] - np.argwhere(plain_surface(mask))[0]
        ).all()
