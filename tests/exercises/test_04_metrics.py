"""Exercises of chapter 04: a plausible mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers

from tutorial_lib.lab import check
from tutorial_lib.metrics import confusion_matrix, segmentation_scores, surface_distances

NAME = "04_metrics.ipynb"


def wrong_with(exercise, given, hint):
    result = check(exercise, given, show=False)
    assert result.status == "wrong", result
    assert hint in result.message, result.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (0.8, "equal only at 0 and 1"),
        (0.889, "solve D = 2J / (1 + J) for J"),
        (0.4, "half of it"),
        (0.64, "square"),
        (66.7, "per cent"),
        (0.6, "solve for J"),
        (math.nan, "solve for J"),
        ("2/3", "one number"),
        ([0.667], "one number"),
        (True, "one number"),
    ],
)
def test_iou_from_dice_hints(wrong, hint):
    wrong_with("metrics.iou_from_dice", wrong, hint)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (0.08 / 0.35, "ratio of empty to other slices"),
        (0.35 / 0.08, "upside down"),
        (0.814, "slices with a lesion"),
        (18.6, "per cent"),
        (0.5, "set them equal"),
        (None, "not done"),
    ],
)
def test_break_even_hints(wrong, hint):
    if wrong is None:
        assert check("metrics.break_even", wrong, show=False).status == "todo"
    else:
        wrong_with("metrics.break_even", wrong, hint)


@pytest.mark.parametrize("right", [2 / 3, 0.667, np.float32(0.6667), torch.tensor(0.667)])
def test_three_decimals_of_any_kind_are_enough(right):
    assert check("metrics.iou_from_dice", right, show=False).ok


def parts(matrix):
    hit, truth, pred = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    return hit, truth, pred, truth + pred - hit


def nan_spreads(matrix):
    hit, _, _, union = parts(matrix)
    return (hit / union).mean()


def absent_is_zero(matrix):
    hit, _, _, union = parts(matrix)
    return (hit / np.maximum(union, 1e-7)).mean()


def absent_is_one(matrix):
    hit, _, _, union = parts(matrix)
    return ((hit + 1e-9) / (union + 1e-9)).mean()


def only_true_classes(matrix):
    hit, truth, _, union = parts(matrix)
    return (hit[truth > 0] / union[truth > 0]).mean() if truth.any() else math.nan


def counted_twice(matrix):
    hit, truth, pred, _ = parts(matrix)
    return np.nanmean(hit / (truth + pred)) if matrix.any() else math.nan


def mean_dice(matrix):
    hit, truth, pred, _ = parts(matrix)
    return np.nanmean(2 * hit / (truth + pred)) if matrix.any() else math.nan


def mean_accuracy(matrix):
    hit, truth, _, _ = parts(matrix)
    return np.nanmean(hit / truth) if matrix.any() else math.nan


def weighted(matrix):
    hit, truth, _, union = parts(matrix)
    return np.nansum(truth * hit / union) / truth.sum()


def pixel_accuracy(matrix):
    return np.trace(matrix) / matrix.sum()


def nothing_is_zero(matrix):
    hit, _, _, union = parts(matrix)
    return (hit[union > 0] / union[union > 0]).mean() if union.any() else 0.0


def one_a_class(matrix):
    hit, _, _, union = parts(matrix)
    return hit / union


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (nan_spreads, "one nan makes the whole mean nan"),
        (absent_is_zero, "yours counts 0"),
        (absent_is_one, "yours counts 1"),
        (only_true_classes, "yours is left out"),
        (counted_twice, "counted twice"),
        (mean_dice, "mean Dice"),
        (mean_accuracy, "mean accuracy"),
        (weighted, "weighted by frequency"),
        (pixel_accuracy, "pixel accuracy"),
        (nothing_is_zero, "return nan"),
        (one_a_class, "one number"),
        (lambda matrix: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_mean_iou_hints(wrong, hint):
    wrong_with("metrics.mean_iou", wrong, hint)


def test_the_solution_of_mean_iou_is_the_librarys():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["metrics.mean_iou"]
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = rng.integers(0, 4, (5, 5)) * (rng.random((5, 1)) < 0.6) * (rng.random((1, 5)) < 0.6)
        np.testing.assert_allclose(solution(matrix), segmentation_scores(matrix).mean_iou, rtol=1e-12)


def right(there, back, pooled, empty):
    if not len(there) or not len(back):
        return empty
    if pooled:
        return np.percentile(np.r_[there, back], 95)
    return max(np.percentile(there, 95), np.percentile(back, 95))


def swapped(there, back, pooled, empty):
    return right(there, back, not pooled, empty)


def maximum(there, back, pooled, empty):
    return max(there.max(), back.max())


def share_instead_of_percent(there, back, pooled, empty):
    if pooled:
        return np.percentile(np.r_[there, back], 0.95)
    return max(np.percentile(there, 0.95), np.percentile(back, 0.95))


def one_direction(there, back, pooled, empty):
    return right(there, back, pooled, empty) if pooled or not len(there) else np.percentile(there, 95)


def mean_of_both(there, back, pooled, empty):
    ends = [np.percentile(d, 95) for d in (there, back)]
    return right(there, back, pooled, empty) if pooled else sum(ends) / 2


def smaller(there, back, pooled, empty):
    return right(there, back, pooled, empty) if pooled else min(np.percentile(there, 95), np.percentile(back, 95))


def no_policy(there, back, pooled, empty):
    directed = max(np.percentile(d, 95) for d in (there, back))
    return np.percentile(np.r_[there, back], 95) if pooled else directed


def zero_when_empty(there, back, pooled, empty):
    return right(there, back, pooled, 0.0)


def no_policy_but_no_error(there, back, pooled, empty):
    lists = [d for d in (there, back) if len(d)]
    if not lists:
        return empty
    return np.percentile(np.concatenate(lists), 95) if pooled else max(np.percentile(d, 95) for d in lists)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (swapped, "swapped"),
        (maximum, "largest distance"),
        (share_instead_of_percent, "95, not 0.95"),
        (one_direction, "one direction only"),
        (mean_of_both, "not the mean"),
        (smaller, "or the smaller one"),
        (no_policy, "`empty`"),
        (zero_when_empty, "by accident"),
        (no_policy_but_no_error, "one list is empty"),
    ],
)
def test_hd95_hints(wrong, hint):
    wrong_with("metrics.hd95", wrong, hint)


def test_the_solution_of_hd95_is_the_librarys():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["metrics.hd95"]
    assert solution(np.arange(5.0), np.zeros(3), True, 9) == right(np.arange(5.0), np.zeros(3), True, 9)
    pred, truth = np.zeros((2, 9, 9), bool)
    truth[2:5, 2:5] = pred[2:5, 2:5] = pred[8, 8] = True
    there = np.r_[np.zeros(8), math.hypot(4, 4)]  # the square's middle pixel is no surface
    for pooled in (True, False):
        library = surface_distances(pred, truth, pooled=pooled).hd95
        assert solution(there, np.zeros(8), pooled, math.nan) == pytest.approx(library, rel=1e-12)


RIGHT = {"A": "always background", "B": "perfect by accident", "C": "spacing reversed", "D": "none"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"A": "none"}, "argmax(1)"),
        (RIGHT | {"B": "none"}, "holds nothing"),
        (RIGHT | {"C": "none"}, "order"),
        (RIGHT | {"D": "perfect by accident"}, "both masks empty"),
        ({"A": "none"}, "keys A, B, C, D"),
        (RIGHT | {"A": "typo"}, "keys A, B, C, D"),
        (RIGHT | {"A": ["none"]}, "dict"),
        ("none", "dict"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    wrong_with("metrics.find_the_bug", wrong, hint)


def test_the_four_functions_really_have_those_faults():
    scope = {"np": np, "surface_distances": surface_distances}
    exec(cell_source(f"notebooks/{NAME}", "def evaluate_a"), scope)
    truth = torch.zeros(1, 6, 6, dtype=torch.long)
    truth[:, 1:4, 1:4] = 1
    perfect = (truth[:, None] * 20.0) - 10
    assert scope["evaluate_a"](lambda image: perfect, None, truth) == 0

    mask = truth[0].numpy() == 1
    assert scope["evaluate_b"](np.zeros_like(mask), mask, (1, 1)) == 0 == scope["evaluate_b"](mask, mask, (1, 1))

    volume = np.zeros((6, 8, 8), bool)
    volume[2:4, 2:6, 2:6] = True
    moved = np.roll(volume, 1, axis=0)
    assert surface_distances(moved, volume, spacing=(5, 1, 1)).hd95 == 5
    assert scope["evaluate_c"](moved, volume, (1, 1, 5)) == 1

    rng = np.random.default_rng(0)
    for _ in range(10):
        pred, true = rng.random((2, 5, 5)) < 0.2
        want = segmentation_scores(confusion_matrix(pred, true, 2)).dice[1]
        np.testing.assert_allclose(scope["evaluate_d"](pred, true), want, rtol=1e-12)
    empty = np.zeros((5, 5), bool)
    assert math.isnan(scope["evaluate_d"](empty, empty)) and scope["evaluate_d"](~empty, empty) == 0
