"""Exercises of chapter 04: a plausible mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from scipy import ndimage

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
        (0.8, "mean Dice"),
        (0.667, "then average"),
        (0.429, "first image alone"),
        (0.875, "solve D = 2J / (1 + J) for J"),
        (0.65, "half of it"),
        (0.68, "square"),
        (71.4, "per cent"),
        (0.6, "solve for J"),
        (math.nan, "solve for J"),
        ("5/7", "one number"),
        ([0.714], "one number"),
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


@pytest.mark.parametrize("right", [5 / 7, 0.714, np.float32(0.7143), torch.tensor(0.714)])
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


def lesions(pred, truth, structure=None):
    """Numbers of: lesions found, lesions, pieces on a lesion, pieces."""
    (in_truth, count), (in_pred, many) = ndimage.label(truth, structure), ndimage.label(pred, structure)
    found = {label for label in in_truth[pred].tolist() if label}
    right = {label for label in in_pred[truth].tolist() if label}
    return len(found), count, len(right), many


def right_lesion_f1(pred, truth, structure=None):
    found, count, right, many = lesions(pred, truth, structure)
    total = 2 * found + (count - found) + (many - right)
    return 2 * found / total if total else math.nan


def of_pixels(pred, truth):
    size = pred.sum() + truth.sum()
    return 2 * (pred & truth).sum() / size if size else math.nan


def fragments_count_twice(pred, truth):
    _, count, right, many = lesions(pred, truth)
    return 2 * right / (many + count) if many + count else math.nan


def fragments_are_false_alarms(pred, truth):
    found, count, _, many = lesions(pred, truth)
    return 2 * found / (many + count) if many + count else math.nan


def recall(pred, truth):
    found, count, _, _ = lesions(pred, truth)
    return found / count if count else math.nan


def precision(pred, truth):
    _, _, right, many = lesions(pred, truth)
    return right / many if many else math.nan


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (of_pixels, "Dice of the pixels"),
        (fragments_count_twice, "one find"),
        (fragments_are_false_alarms, "no false alarm"),
        (recall, "false alarms must count"),
        (precision, "missed lesions must count"),
        (lambda pred, truth: right_lesion_f1(pred, truth, np.ones((3, 3))), "at a corner"),
        (lambda pred, truth: np.nan_to_num(right_lesion_f1(pred, truth)).item(), "return nan"),
        (lambda pred, truth: "many", "a number"),
    ],
)
def test_lesion_f1_hints(wrong, hint):
    wrong_with("metrics.lesion_f1", wrong, hint)


def test_the_solution_of_lesion_f1_on_random_masks():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["metrics.lesion_f1"]
    rng = np.random.default_rng(1)
    for share in (0.0, 0.05, 0.3):
        for _ in range(5):
            pred, truth = rng.random((2, 12, 12)) < share
            np.testing.assert_equal(solution(pred, truth), right_lesion_f1(pred, truth))


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
