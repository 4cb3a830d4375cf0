"""Distance transforms are the distances to all voxels, and to the nearest of them."""

import numpy as np
import pytest

from tutorial_lib._kernels.distance import depth, distance_to, inner_boundary, plain_distance_to, plain_inner_boundary

SHAPES = [(14,), (9, 12), (1, 7), (5, 6, 7), (2, 1, 4), (3, 3, 2, 4)]
STEPS = [1.0, 0.5, (3.0, 1.0, 0.7, 2.0)]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distances_and_depths(shape, share):
    inside = np.random.default_rng(len(shape)).random(shape) < share
    inside.flat[0], inside.flat[-1] = True, False
    for steps in STEPS:
        steps = tuple(np.broadcast_to(steps, 4)[: len(shape)].tolist())
        for target in (inside, ~inside):
            found, expected = distance_to(target, steps), plain_distance_to(target, steps)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
            if set(steps) == {1.0}:
                np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(depth(inside, steps), plain_distance_to(~inside, steps), rtol=1e-12)
    np.testing.assert_array_equal(inner_boundary(inside), plain_inner_boundary(inside))


def test_a_small_mask_in_a_large_image():
    inside = np.zeros((40, 50), bool)
    inside[20:23, 1:3] = True
    np.testing.assert_array_equal(depth(inside, (1.0, 1.0)), plain_distance_to(~inside, (1.0, 1.0)))
    np.testing.assert_array_equal(
        inner_boundary(inside), inside & ~np.roll(inside, 1, 0) | inside & ~np.roll(inside, -1, 0) | inside
    )
