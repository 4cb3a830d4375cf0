"""Exercises of chapter 03."""

import torch
from torch.nn import functional as F

from ..exercises import Wrong, call, expect, match_faults, require

BUGS = ("double sigmoid", "batch mean", "margins as weights", "none")
_FAULTS = {"A": "margins as weights", "B": "double sigmoid", "C": "batch mean", "D": "none"}
_PARALLEL = {"A": True, "B": False, "C": True, "D": True, "E": False}


def parallel(answer) -> None:
    """Predict: which losses have a gradient parallel to cross-entropy's, whatever the batch."""
    require(
        isinstance(answer, dict)
        and set(answer) == set(_PARALLEL)
        and all(isinstance(value, bool) for value in answer.values()),
        given=repr(answer),
        hint="a dict with the keys A, B, C, D, E; each value is True or False",
    )
    hints = {
        "A": "the chain rule: the square's gradient is 2 * ce times the gradient of ce, and 2 * ce is one number",
        "B": "every image is stretched by its own (1 - p)^gamma: is that one number for the whole batch?",
        "C": "F.cross_entropy divides by the sum of the weights; if all weights are equal, what is left of them?",
        "D": "ce is one number for the batch, and the loss is a function of it alone",
        "E": "a margin moves one logit before the softmax: are the probabilities still those of cross-entropy?",
    }
    for name, truth in _PARALLEL.items():
        expect(answer[name], truth, given=f"loss {name}", hint=hints[name])


def focal_each(answer) -> None:
    """Implement: focal loss with class weights, one value for each sample."""
    g = torch.Generator().manual_seed(3)
    weight = torch.tensor([1.0, 2.0, 5.0])
    cases = [
        (torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([2]), 2.0),
        (2 * torch.randn(6, 3, generator=g), torch.tensor([0, 1, 2, 2, 1, 0]), 1.5),
        (2 * torch.randn(4, 3, generator=g), torch.tensor([1, 1, 0, 2]), 0.0),
        (torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 1000.0, 0.0]]), torch.tensor([2, 1]), 2.0),
    ]
    for logits, target, gamma in cases:
        given = f"logits {_round(logits)}, target {target.tolist()}, gamma {gamma}, weight {weight.tolist()}"
        got = torch.as_tensor(call(answer, logits.clone(), target.clone(), gamma, weight.clone()))
        ce = F.cross_entropy(logits, target, reduction="none")
        p = torch.exp(-ce)
        want = weight[target] * (1 - p) ** gamma * ce
        hint = "weight of the true class, times (1 - p) to the power gamma, times -log p, for each sample"
        if got.ndim == 0:
            hint = "one value for each sample is asked for, shape (B,): no mean, no sum"
        elif not bool(got.isfinite().all()):
            hint = "log(softmax(...)) is log(0) for far-apart logits; log_softmax does both in one safe step"
        of_mean, weighted = torch.exp(-ce.mean()), weight[target] * ce
        mistakes = [
            (
                weight[target] * (1 - of_mean) ** gamma * ce,
                "(1 - p) must be each sample's own, not from the mean of the batch",
            ),
            ((1 - p) ** gamma * ce, "the class weight is missing: weight[target]"),
            (weight[target] * p**gamma * ce, "that is p to the power gamma, which favours the easy samples"),
            (weight[target] * (1 - p) * ce**gamma, "the power belongs to (1 - p), not to the logarithm"),
            (-want, "the sign: log p is negative, a loss is not"),
            (
                (1 - torch.exp(-weighted)) ** gamma * weighted,
                "p must be the probability itself: take exp before the class weight is multiplied in",
            ),
        ]
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-5)


def ldam_logits(answer) -> None:
    """Implement: LDAM's shifted and scaled logits."""
    logits = torch.tensor([[0.5, -0.25, 0.0], [0.1, 0.2, 0.9], [0.3, 0.3, 0.3]])
    cases = [
        (logits[:2], [0, 2], [16, 1, 81], 0.5, 1.0),
        (logits, [2, 2, 1], [100, 10, 2], 0.3, 30.0),
        (logits, [0, 1, 2], [7, 7, 7], 0.0, 4.0),
    ]
    for z, target, counts, max_margin, scale in cases:
        y, n = torch.tensor(target), torch.tensor(counts)
        given = f"logits {_round(z)}, target {target}, counts {counts}, max_margin {max_margin}, scale {scale}"
        z = z.clone()
        before = z.clone()
        got = torch.as_tensor(call(answer, z, y, n, max_margin, scale))
        require(torch.equal(z, before), given=given, hint="your function changed the logits; make a new tensor")
        quarter = n.float() ** -0.25
        m = max_margin * quarter / quarter.max()
        true = F.one_hot(y, 3)
        want = scale * (before - true * m)
        hint = "the true class's logit loses its margin, then all are multiplied by the scale"
        root, half = n.float() ** 0.25, n.float() ** -0.5
        mistakes = [
            (scale * before - true * m, "the margin must be taken off before the scale is applied"),
            (before - true * m, "the scale is missing"),
            (scale * (before - m), "only the true class pays a margin: softmax does not see what all classes lose"),
            (scale * (before + true * m), "the sign: a margin makes the true class's task harder"),
            (
                scale * (before - true * max_margin * quarter),
                "scale the margins so that the rarest class has max_margin",
            ),
            (
                scale * (before - true * max_margin * root / root.max()),
                "the power is -1/4: rare classes have the wide margins",
            ),
            (scale * (before - true * max_margin * half / half.max()), "the power is -1/4, not -1/2"),
            (scale * (before - (1 - true) * m), "the margin belongs to the true class, not to the others"),
        ]
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-5)


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of four losses has."""
    hints = {
        "A": "which numbers does the vector m hold, and what does `weight=` make of them?",
        "B": "put z = -100 and z = 100 in: which values can s take?",
        "C": "F.nll_loss has a default reduction: how many numbers is ce?",
        "D": "follow one sample: does its factor depend on another one? Class weights alone are no fault here",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="loss")


def tuned_macro_f1(answer) -> None:
    """Implement: thresholds chosen on validation data, macro-F1 on the test set."""
    g = torch.Generator().manual_seed(5)
    thresholds = torch.tensor([0.2, 0.4, 0.6, 0.8])

    def sample(rows):
        target = (torch.rand(rows, 3, generator=g) < 0.4).float()
        return (0.35 * target + 0.65 * torch.rand(rows, 3, generator=g)) ** torch.tensor([0.5, 1.0, 2.0]), target

    for rows in (40, 60):
        (val_s, val_t), (s, t) = sample(rows), sample(30)
        given = f"random scores and targets, {rows} validation rows, 30 test rows, 3 labels, thresholds 0.2 … 0.8"
        parts = [part.clone() for part in (val_s, val_t, s, t)]
        got = torch.as_tensor(call(answer, *parts, thresholds.clone()))
        if got.ndim:
            raise Wrong(f"given     {given}\n  hint: return one number, the mean of the labels' F1")
        own = _f1_at(val_s, val_t, thresholds).argmax(0)
        table = _f1_at(s, t, thresholds)
        want = table.gather(0, own[None]).mean()
        hint = "for each label the threshold with the best F1 on validation; then each label's F1 on the test, averaged"
        pooled = _f1_at(val_s, val_t, thresholds).mean(1).argmax()
        positive = torch.stack([s[:, k] > thresholds[own[k]] for k in range(3)], 1)
        tp = (positive * t).sum()
        mistakes = [
            (table.amax(0).mean(), "that leaks: the thresholds were chosen on the test labels"),
            (table.mean(1).max(), "that leaks: the threshold was chosen on the test labels"),
            (table[pooled].mean(), "one threshold for all labels: each label gets its own"),
            (2 * tp / (positive.sum() + t.sum()), "that is micro-F1, over all labels at once"),
            (
                _f1_at(val_s, val_t, thresholds).amax(0).mean(),
                "that is the score on the validation set, on which the thresholds were chosen; it is too good",
            ),
        ]
        expect(float(got), float(want), given=given, hint=hint, mistakes=mistakes, atol=1e-4)


def _f1_at(scores, target, thresholds):
    """(T, K): F1 of each label at each threshold"""
    positive = (scores > thresholds[:, None, None]).float()
    return 2 * (positive * target).sum(1) / (positive.sum(1) + target.sum(0)).clamp(min=1)


def _round(tensor):
    return [[round(v, 2) for v in row] for row in tensor.tolist()]
