"""Exercises of chapter 05: a plausible mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from scipy import ndimage

from tutorial_lib.lab import check
from tutorial_lib.level_sets import curvature, mask_from_sdf, signed_distance

NAME = "05_level_sets.ipynb"
edt = ndimage.distance_transform_edt


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (36, "corner twice"),
        (40, "outside the square"),
        (49, "what is left"),
        (0, "exactly 0.5"),
        (81, "outermost"),
        (28, "one layer"),
        (float("nan"), "one layer"),
        ("32", "number"),
        (np.ones(2), "number"),
    ],
)
def test_lost_voxels_hints(wrong, hint):
    result = check("level_sets.lost_voxels", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_square_really_loses_32():
    mask = np.zeros((21, 21), bool)
    mask[6:15, 6:15] = True
    back = mask_from_sdf(signed_distance(mask, normalize="dtc"), k=1500) > 0.5
    assert (mask & ~back).sum() == 32 and not (back & ~mask).any()
    for right in (32, 32.0, np.int64(32), torch.tensor(32)):
        assert check("level_sets.lost_voxels", right, show=False).ok


def no_special_cases(mask, spacing):
    return edt(~mask, sampling=spacing) - edt(mask, sampling=spacing)


def zero_where_empty(mask, spacing):
    return no_special_cases(mask, spacing) if mask.any() and not mask.all() else np.zeros(mask.shape)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda mask, spacing: -no_special_cases(mask, spacing), "the sign"),
        (lambda mask, spacing: edt(~mask, sampling=spacing) + edt(mask, sampling=spacing), "no sign"),
        (lambda mask, spacing: edt(~mask, sampling=spacing), "one side is missing"),
        (lambda mask, spacing: -edt(mask, sampling=spacing), "one side is missing"),
        (lambda mask, spacing: edt(~mask) - edt(mask), "spacing is ignored"),
        (lambda mask, spacing: no_special_cases(mask, spacing[::-1]), "wrong order"),
        (lambda mask, spacing: no_special_cases(mask, spacing) - 0.5 * np.where(mask, -1, 1), "half a voxel"),
        (lambda mask, spacing: no_special_cases(mask, spacing) / 20, "outside: the distance"),
        (no_special_cases, "a mask that is empty"),
        (zero_where_empty, "a mask that is empty"),
        (lambda mask, spacing: no_special_cases(mask, spacing) if mask.any() else mask + np.inf, "a mask that is full"),
        (lambda mask, spacing: mask.nonsense, "AttributeError"),
    ],
)
def test_signed_distance_hints(wrong, hint):
    result = check("level_sets.signed_distance", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_of_signed_distance_is_the_librarys():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["level_sets.signed_distance"]
    rng = np.random.default_rng(0)
    for shape, spacing in (((9, 7), (1.0, 2.0)), ((5, 6, 4), (3.0, 1.0, 0.5))):
        mask = rng.random(shape) < 0.4
        np.testing.assert_allclose(solution(mask, spacing), signed_distance(mask, spacing=spacing))


TENTH = 2 * math.acosh(math.sqrt(10))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda scale, voxels: TENTH / voxels, "divided by the scale"),
        (lambda scale, voxels: TENTH / scale / voxels, "wrong side"),
        (lambda scale, voxels: TENTH * voxels / scale, "upside down"),
        (lambda scale, voxels: math.log(9) * scale / voxels, "mask is 0.1"),
        (lambda scale, voxels: math.log(99) * scale / voxels, "mask is 0.01"),
        (lambda scale, voxels: TENTH * scale, "reach is missing"),
        (lambda scale, voxels: 1500, "3.64"),
        (lambda scale, voxels: "k", "number"),
        (3.64, "expected a function"),
    ],
)
def test_steepness_hints(wrong, hint):
    result = check("level_sets.steepness", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_of_steepness_is_what_autograd_finds():
    k = exercise_answers(f"notebooks/solutions/{NAME}")["level_sets.steepness"](20.0, 3.0)
    z = torch.tensor([0.0, 3.0 / 20], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(mask_from_sdf(z, k=k).sum(), z)
    assert abs(slope[1] / slope[0] - 0.1) < 1e-3


RIGHT = {"A": "inverted", "B": "crop", "C": "one side", "D": "none"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"A": "none"}, "deep inside"),
        (RIGHT | {"B": "none"}, "cut the image smaller"),
        (RIGHT | {"C": "none"}, "deep inside, and for one just inside"),
        (RIGHT | {"D": "crop"}, "same for every crop"),
        ({"A": "inverted"}, "keys A, B, C, D"),
        (RIGHT | {"A": "typo"}, "keys A, B, C, D"),
        (RIGHT | {"A": ["none"]}, "keys A, B, C, D"),
        ("none", "keys A, B, C, D"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    result = check("level_sets.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_four_lines_really_have_those_faults():
    scope = {"torch": torch, "np": np, "ndimage": ndimage}
    exec(cell_source(f"notebooks/{NAME}", "def line_a"), scope)
    assert scope["line_a"](torch.tensor(-1.0)) < 0.01  # deep inside
    mask = np.zeros((40, 40), bool)
    mask[4:12, 4:12] = True
    crop = (slice(0, 20), slice(0, 20))
    for line, depends in (("line_b", True), ("line_d", False)):
        whole, part = scope[line](mask), scope[line](mask[crop])
        assert (not np.allclose(whole[3, 3], part[3, 3])) == depends
        assert ((whole < 0) == mask).all()
    assert (scope["line_c"](mask)[mask] == 0).all()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (11.18, "two directions"),
        (8.333, "grows while the ball shrinks"),
        (13.229, "falls by 4"),
        (25, "square of the radius"),
        (20.616, "inwards"),
        (7.0, "dr/dt"),
        ("five", "one number"),
    ],
)
def test_radius_hints(wrong, hint):
    result = check("level_sets.radius", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_librarys_curvature_of_a_ball_is_two_over_r():
    axes = np.mgrid[-14:15, -14:15, -14:15]
    distance = np.sqrt((axes**2).sum(0)) - 10
    near = np.abs(distance) < 1
    np.testing.assert_allclose(curvature(distance, spatial_dims=3)[near], 2 / (distance[near] + 10), rtol=0.02)
