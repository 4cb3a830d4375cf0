"""Exercises of chapter 04."""

import math

import numpy as np
from scipy import ndimage

from ..exercises import call, expect, judge_verdict, match_faults, number, require

BUGS = ("perfect by accident", "spacing reversed", "always background", "none")
LEAST_PAIRS, MARGIN = 10, 0.02  # of a claim of one's own
_FAULTS = {"A": "always background", "B": "perfect by accident", "C": "spacing reversed", "D": "none"}


def iou_from_dice(answer) -> None:
    """Predict: the mean IoU of two images whose Dice are 0.6 and 1."""
    mistakes = [
        (0.8, "that is the mean Dice"),
        (2 / 3, "that is the IoU of one image with a Dice of 0.8; turn each image's Dice into its IoU, then average"),
        (3 / 7, "that is the first image alone"),
        ((0.75 + 1) / 2, "that is the Dice of an IoU of 0.6; solve D = 2J / (1 + J) for J"),
        (0.65, "half of it? D = 2J / (1 + J); solve for J"),
        (0.68, "not the square; D = 2J / (1 + J); solve for J"),
    ]
    hint = "D = 2J / (1 + J) holds for each image; solve for J, twice, and take the mean"
    _share(answer, 5 / 7, mistakes, given="D = 0.6 and D = 1", hint=hint)


def mean_iou(answer) -> None:
    """Implement: mean IoU, with an answer for classes that never occur."""
    cases = {
        "two ordinary classes": [[50, 10], [5, 35]],
        "a class that is often taken for another": [[8, 2, 0], [1, 5, 4], [0, 0, 10]],
        "class 1 only in the prediction": [[6, 2, 0], [0, 0, 0], [1, 0, 3]],
        "class 1 only in the truth": [[6, 0, 0], [2, 0, 0], [1, 0, 3]],
        "class 2 nowhere": [[6, 2, 0], [1, 3, 0], [0, 0, 0]],
        "no pixel at all": [[0, 0], [0, 0]],
    }
    for name, counts in cases.items():
        matrix = np.array(counts)
        given = f"{name}: matrix {counts}"
        with np.errstate(invalid="ignore", divide="ignore"):
            got = call(answer, matrix.copy())
        value = np.asarray(got)
        require(
            value.ndim == 0 and value.dtype.kind in "iuf",
            given=given,
            hint=f"return one number, the mean over the classes; got {type(got).__name__} of shape {value.shape}",
        )
        hit, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        iou = hit[union > 0] / union[union > 0]
        want = iou.mean() if iou.size else math.nan
        hint = "hits / (row sum + column sum - hits) for each class, then the mean"
        expect(float(value), want, given=given, hint=hint, mistakes=_mean_iou_bugs(matrix))


def _mean_iou_bugs(matrix):
    """What typical mistakes would give, and what to say about them."""
    with np.errstate(invalid="ignore", divide="ignore"):
        hit, truth, pred = np.diag(matrix), matrix.sum(1), matrix.sum(0)
        union = truth + pred - hit
        iou = hit / union
        if not union.any():
            yield 0.0, "without any class there is no mean: return nan"
        yield math.nan, "0/0 is nan, and one nan makes the whole mean nan; leave out the classes that never occur"
        yield np.nan_to_num(iou).mean(), "a class that occurs nowhere is left out of the mean; yours counts 0"
        yield np.nan_to_num(iou, nan=1.0).mean(), "a class that occurs nowhere is left out of the mean; yours counts 1"
        yield (
            iou[truth > 0].mean() if (truth > 0).any() else 0.0,
            ("a class that only the prediction has counts 0; yours is left out"),
        )
        yield (
            np.nanmean(hit / (truth + pred)) if union.any() else 0.0,
            "the pixels in both masks are counted twice in the union; subtract them",
        )
        yield np.nanmean(2 * hit / (truth + pred)) if union.any() else 0.0, "that is the mean Dice"
        yield np.nanmean(hit / truth) if union.any() else 0.0, "that divides by the truth alone: it is mean accuracy"
        yield (
            np.nansum(truth * np.nan_to_num(iou)) / truth.sum(),
            ("that is weighted by frequency; here all classes count alike"),
        )
        yield hit.sum() / matrix.sum(), "that is the pixel accuracy"


def lesion_f1(answer) -> None:
    """Implement: F1 of lesions, counted as connected pieces."""
    for name, (pred, truth) in _lesion_cases().items():
        given = f"{name}: prediction {pred.astype(int).tolist()}, truth {truth.astype(int).tolist()}"
        got = call(answer, pred.copy(), truth.copy())
        want, mistakes = _lesion_score(pred, truth), _lesion_mistakes(pred, truth)
        if math.isnan(want):
            mistakes = [(wrong, "nothing there and nothing found: 0/0, so return nan") for wrong in (0.0, 1.0)]
        hint = (
            "found: pieces of the truth that hold a predicted pixel; false alarm: predicted pieces without a true pixel"
        )
        expect(number(got), want, given=given, hint=hint, mistakes=mistakes)


def _lesion_cases():
    """Prediction and truth, for each case."""
    rows = {
        "one found, one missed": ("1100000", "1100011"),
        "two fragments on one lesion": ("1010000", "1110000"),
        "one piece over two lesions": ("1111000", "1001000"),
        "a false alarm": ("1000110", "1100000"),
        "nothing found": ("0000000", "1100110"),
        "false alarms only": ("1000110", "0000000"),
        "both empty": ("0000000", "0000000"),
    }
    cases = {name: tuple(np.array([[*map(int, row)]], bool) for row in pair) for name, pair in rows.items()}
    corner = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    first = corner & (np.arange(3) == 0)
    return cases | {"two lesions that meet at a corner": (first, corner)}


def _lesion_score(pred, truth, *, structure=None):
    lesions, count = ndimage.label(truth, structure)
    pieces, many = ndimage.label(pred, structure)
    found, right = len(np.unique(lesions[pred & truth])), len(np.unique(pieces[pred & truth]))
    total = found + count + many - right  # 2 found + missed + false alarms
    return 2 * found / total if total else math.nan


def _lesion_mistakes(pred, truth):
    """What typical mistakes would give, and what to say about them."""
    (lesions, count), (pieces, many) = ndimage.label(truth), ndimage.label(pred)
    both = (pred & truth).sum()
    found, right = len(np.unique(lesions[pred & truth])), len(np.unique(pieces[pred & truth]))
    size = pred.sum() + truth.sum()
    yield 2 * both / size if size else 0.0, "that is the Dice of the pixels; pieces are to be counted"
    diagonal = _lesion_score(pred, truth, structure=np.ones((3, 3)))
    yield diagonal, "pieces that meet only at a corner are two: ndimage.label's default"
    if many + count:
        yield (
            2 * right / (many + count),
            "fragments on one lesion are one find: count pieces of the truth, not of yours",
        )
        yield (
            2 * found / (many + count),
            "a piece that touches a lesion is no false alarm, however many lie on one lesion",
        )
    if count:
        yield found / count, "that is the share of lesions found; false alarms must count, too"
    if many:
        yield right / many, "that is the share of predicted pieces that are right; missed lesions must count, too"


def break_even(answer) -> None:
    """Predict: the share of empty slices at which two methods tie."""
    mistakes = [
        (0.35 / 0.43, "that is the share of slices with a lesion; the empty ones are asked for"),
        (0.08 / 0.35, "that is the ratio of empty to other slices; the share is of all slices"),
        (0.35 / 0.08, "that is a ratio, upside down; a share lies between 0 and 1"),
    ]
    hint = "write both means: (1 - s) * Dice on lesions + s * share of empty slices that stay empty; set them equal"
    _share(answer, 0.08 / 0.43, mistakes, given="A: 0.70 and 95 %, B: 0.78 and 60 %", hint=hint)


def find_the_bug(answer) -> None:
    """Find the bug: the fault of each of four evaluation functions."""
    hints = {
        "A": "how many channels has the output of net, and which numbers can argmax(1) be then?",
        "B": "what does the function say of a prediction that holds nothing, and what of a perfect one?",
        "C": "in which order are the axes of the array, and in which order the numbers of the spacing?",
        "D": "which entry counts what? Try both masks empty, and one of them",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="function")


def claim(answer) -> None:
    """A claim of one's own: ``(prediction, differences, verdict)``, differences of a share, one a seed."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="scores")


def _share(answer, want: float, mistakes: list[tuple[float, str]], *, given: str, hint: str) -> None:
    mistakes = [*mistakes, (100 * want, "answer with a share between 0 and 1, not in per cent")]
    expect(number(answer, "one number"), want, given=given, hint=hint, mistakes=mistakes, atol=1e-3, rtol=1e-3)
