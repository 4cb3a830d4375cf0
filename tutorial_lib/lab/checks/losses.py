"""Exercises of chapter 03."""

import torch

from ..claims import VERDICTS, claim
from ..evidence import load_evidence
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


def new_prevalence(answer) -> None:
    """Implement: probabilities where the classes are as frequent as they were not in training."""
    g = torch.Generator().manual_seed(3)
    cases = [
        (torch.tensor([[1.0, 0.0]]), [16, 1], [0.25, 0.75]),
        (2 * torch.randn(5, 3, generator=g), [100, 20, 4], [0.2, 0.3, 0.5]),
        (2 * torch.randn(4, 3, generator=g), [50, 30, 20], [0.5, 0.3, 0.2]),
        (2 * torch.randn(4, 3, generator=g), [50, 30, 20], [0.6, 0.4, 0.0]),
        (torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 1000.0, 0.0]]), [100, 20, 4], [0.2, 0.3, 0.5]),
    ]
    for logits, counts, prevalence in cases:
        n, q = torch.tensor(counts), torch.tensor(prevalence)
        given = f"logits {_round(logits)}, counts {counts}, prevalence {prevalence}"
        got = torch.as_tensor(call(answer, logits.clone(), n.clone(), q.clone()))
        shift = q.log() - n.log()
        want, p = (logits + shift).softmax(1), logits.softmax(1)
        hint = (
            "Bayes: what training took for granted (n) goes out, what holds now (q) comes in; then rows sum to 1 again"
        )
        if got.shape != logits.shape:
            hint = "one probability for each row and class is asked for, shape (B, C)"
        elif not bool(got.isfinite().all()):
            hint = "log(softmax(...)) is log(0) for far-apart logits; shift the logits, and take the softmax last"
        mistakes = [
            (p, "these are the probabilities of the training set's world; n and q must enter"),
            ((logits - shift).softmax(1), "the wrong way round: a class that is more frequent now must gain"),
            ((logits - n.log()).softmax(1), "n is taken out, but q does not come in"),
            ((logits + q.log()).softmax(1), "q comes in, but n is still there: the rare class is punished twice"),
            (p * q / n, "right up to a factor for each row: the probabilities of a row must sum to 1"),
            (p * q / (n / n.sum()), "right up to a factor for each row: the probabilities of a row must sum to 1"),
            (logits + shift, "these are the shifted logits; probabilities are asked for"),
            ((logits * q / n).softmax(1), "a prevalence is a factor of the probability, and so a summand of the logit"),
        ]
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-5)


def defend(answer) -> None:
    """Change the experiment: another score, and the verdict on logit adjustment over cross-entropy by it."""
    for name in ("digits", "cells", "beats"):
        stored = load_evidence(f"03_{name}")

        def verdict(ours, rival, score, margin=0.02, stored=stored):
            return claim("a", ours, rival, evidence=stored, score=score, margin=margin, show=False).verdict

        for score in ("F1", "balanced", "common", "rare"):
            got = call(answer, name, score)
            given = f"name {name!r}, score {score!r}"
            require(
                isinstance(got, str) and got in VERDICTS,
                given=given,
                hint=f"return the verdict's word, one of {', '.join(map(repr, VERDICTS))}: claim(...).verdict",
            )
            mistakes = [
                (verdict("CE", "logit adjustment", score), "the sides: the claim favours logit adjustment"),
                (verdict("logit adjustment", "CE", "F1"), f"that is the verdict on macro-F1; asked is {score!r}"),
                (verdict("logit adjustment", "CE", score, 1.0), "the margin is 0.02: a larger one hides what matters"),
                (verdict("logit adjustment", "weighted CE", score), "the rival is plain cross-entropy, 'CE'"),
            ]
            hint = (
                "claim(statement, 'logit adjustment', 'CE', evidence=..., score=score, margin=0.02, show=False).verdict"
            )
            expect(got, verdict("logit adjustment", "CE", score), given=given, hint=hint, mistakes=mistakes)


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
