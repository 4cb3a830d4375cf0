"""Exercises of chapter 04."""

import math

import numpy as np

from ..exercises import Wrong, call, expect, judge_verdict, match_faults, number, require

BUGS = ("perfect by accident", "spacing reversed", "always background", "none")
LEAST_PAIRS, MARGIN = 10, 0.02  # of a claim of one's own
_FAULTS = {"A": "always background", "B": "perfect by accident", "C": "spacing reversed", "D": "none"}


def iou_from_dice(answer) -> None:
    """Predict: the IoU that belongs to a Dice of 0.8."""
    mistakes = [
        (0.8, "that is the Dice; the two are equal only at 0 and 1"),
        (1.6 / 1.8, "that is the Dice of an IoU of 0.8; solve D = 2J / (1 + J) for J"),
        (0.4, "half of it? D = 2J / (1 + J); solve for J"),
        (0.64, "not the square; D = 2J / (1 + J); solve for J"),
    ]
    _share(answer, 2 / 3, mistakes, given="D = 0.8", hint="D = 2J / (1 + J); solve for J")


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


def hd95(answer) -> None:
    """Implement: HD95 by both definitions."""
    rng = np.random.default_rng(0)
    lists = [
        (np.r_[np.linspace(0, 1, 17), 8.0, 9.0, 10.0], np.linspace(0.1, 0.7, 30)),
        (np.linspace(0.1, 0.7, 30), np.r_[np.linspace(0, 1, 17), 8.0, 9.0, 10.0]),
        (rng.gamma(2, size=25), rng.gamma(1, size=40)),
    ]
    for k, (there, back) in enumerate(lists):
        names = ("an island in the prediction", "a part that was missed", "random distances")
        for pooled in (True, False):
            given = f"{names[k]} ({len(there)} and {len(back)} distances), pooled={pooled}"
            both = np.concatenate([there, back])
            directed = max(np.percentile(there, 95), np.percentile(back, 95))
            want = np.percentile(both, 95) if pooled else directed
            got = call(answer, there.copy(), back.copy(), pooled, math.nan)
            mistakes = [
                (directed if pooled else np.percentile(both, 95), "the two definitions are swapped"),
                (both.max(), "that is the largest distance, HD; the 95th percentile is asked for"),
                (np.percentile(both, 0.95), "np.percentile takes 95, not 0.95"),
                (max(np.percentile(there, 0.95), np.percentile(back, 0.95)), "np.percentile takes 95, not 0.95"),
                (
                    np.percentile(there, 95),
                    "you used one direction only, or the smaller one; what was missed shows in the other",
                ),
                (
                    np.percentile(back, 95),
                    "you used one direction only, or the smaller one; false islands show in the other",
                ),
                ((np.percentile(there, 95) + np.percentile(back, 95)) / 2, "take the larger direction, not the mean"),
            ]
            hint = "pooled: one percentile of both lists together; else the larger of the two lists' percentiles"
            expect(got, want, given=given, hint=hint, mistakes=mistakes)
    some = np.array([1.0, 2.0])
    none = some[:0]
    cases = {"nothing found": (none, some), "nothing there": (some, none), "both empty": (none, none)}
    for name, (there, back) in cases.items():
        for pooled in (True, False):
            given = f"{name} ({len(there)} and {len(back)} distances), pooled={pooled}, empty=42"
            try:
                got = call(answer, there.copy(), back.copy(), pooled, 42.0)
            except (ValueError, IndexError) as error:
                raise Wrong(
                    f"given     {given}\n  hint: no distance, no percentile ({error}); return `empty`"
                ) from error
            mistakes = [
                (0.0, "0 is the score of a perfect mask; an empty one must not get it by accident"),
                (np.percentile(some, 95), "one list is empty: no score, although the other list has entries"),
            ]
            hint = "return `empty` where a list has no entry"
            expect(got, 42.0, given=given, hint=hint, mistakes=mistakes)


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
