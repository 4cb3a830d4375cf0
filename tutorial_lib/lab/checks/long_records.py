"""Exercises of chapter 12."""

import math

import numpy as np
import torch

from ..claims import VERDICTS, claim
from ..evidence import load_evidence
from ..exercises import call, expect, match_faults, require

FAULTS = ("padding", "judge teaches", "another score", "cut off", "none")
_FAULTS = {"a": "padding", "b": "judge teaches", "c": "another score", "d": "cut off", "e": "none"}
MARGIN = 0.02
MICRO = ("negations marked", "F1 after cross-entropy", "max over the text")


def two_macros(answer) -> None:
    """Predict: the mean of F1s, the F1 of means, and where to cut a label that nothing predicts."""
    try:
        got = [float(value) for value in answer]
    except (TypeError, ValueError):
        got = []
    require(len(got) == 4, given=repr(answer), hint="four numbers are asked for, such as (0.5, 0.5, 0.5, 0.5)")
    parts = (
        ("the mean of the two F1s", 1 / 3, "2 P R / (P + R) of either label, then the mean", [
            (0.6, "that is the F1 of the mean precision and the mean recall"),
            (0.2, "a mean of F1s, not a product: each label's F1 is 0.4 / 1.2"),
        ]),
        ("the F1 of the means", 0.6, "the mean precision and the mean recall first, then one F1", [
            (1 / 3, "that is the mean of the F1s"),
        ]),
        ("the threshold", 0.1, "every record has the same probability; which cut says yes to all?", [
            (0.5, "above 0.1 nothing is predicted, and F1 is 0"),
            (1 / 11, "half of the best F1 is a place in which a cut may lie; the highest is the probability itself"),
        ]),
        ("the best F1", 2 / 11, "yes to all: precision 0.1, recall 1", [
            (0.1, "that is the precision of yes to all; its recall is 1"),
            (1 / 11, "that is F*/2"),
        ]),
    )  # fmt: skip
    for value, (what, want, hint, mistakes) in zip(got, parts):
        rounded = [(round(wrong, 2), told) for wrong, told in mistakes]
        expect(round(value, 2), round(want, 2), given=what, hint=hint, mistakes=rounded, reveal=False, atol=6e-3)


def masked_attention(answer) -> None:
    """Implement: one attention a label, padding out of the softmax, an empty text gives zeros."""
    generator = torch.Generator().manual_seed(4)
    for rows, length, size, count, lengths in ((2, 5, 3, 4, (5, 3)), (3, 4, 2, 1, (4, 1, 2)), (2, 3, 2, 2, (3, 0))):
        hidden = 3 * torch.randn(rows, length, size, generator=generator)
        labels = torch.randn(count, size, generator=generator)
        mask = torch.arange(length) < torch.tensor(lengths)[:, None]
        given = f"hidden ({rows}, {length}, {size}), {count} labels, texts of {', '.join(map(str, lengths))} tokens"
        got = call(answer, hidden.clone(), labels.clone(), mask.clone())
        scores = labels @ hidden.mT  # (B, C, L)
        keep = mask[:, None]
        weights = scores.masked_fill(~keep, -math.inf).softmax(-1)
        want = weights.nan_to_num() @ hidden
        zeros = hidden * mask[..., None]
        over = scores.masked_fill(~keep, -math.inf).softmax(1).nan_to_num()
        mistakes = [
            (weights @ hidden, "a text of padding alone gives NaN: 0/0 in its softmax; it must give zeros"),
            (scores.softmax(-1) @ hidden, "the mask is not used: padding has a weight"),
            ((scores.softmax(-1) * keep) @ hidden, "mask before the softmax: now the weights of a text add up to less"),
            ((labels @ zeros.mT).softmax(-1) @ zeros, "a hidden state of 0 has the score 0, and e^0 = 1 is a weight"),
            (scores.masked_fill(~keep, 0.0).softmax(-1) @ hidden, "a score of 0 is a weight of e^0; use -inf"),
            (over @ hidden, "the softmax runs over the labels; each label's weights add up to one over the tokens"),
            ((scores / size**0.5).masked_fill(~keep, -math.inf).softmax(-1).nan_to_num() @ hidden,
             "the scores are not divided by a root of the size here"),
        ]  # fmt: skip
        hint = "scores (B, C, L), -inf where the mask is false, softmax over L, times hidden; then NaN to 0"
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-5)


def common_threshold(answer) -> None:
    """Implement: the one threshold with the best mean of F1s; at least it, the highest of equals."""
    rng = np.random.default_rng(2)
    cases = [
        (np.array([[0.9, 0.2], [0.6, 0.4], [0.4, 0.3], [0.1, 0.1]]), np.array([[1, 0], [0, 1], [1, 1], [0, 0]], bool)),
        (np.array([[0.8, 0.8], [0.6, 0.6], [0.4, 0.4], [0.2, 0.2]]), np.array([[1, 1], [0, 0], [0, 0], [1, 1]], bool)),
    ]
    for rows, count in ((30, 3), (60, 5), (40, 2)):
        share = np.linspace(0.6, 0.1, count)  # the rarer a label, the lower its probabilities
        y = rng.random((rows, count)) < share
        y[0] = True
        cases.append(((share * (0.4 + 0.6 * y) * rng.random((rows, count)) ** 0.5).round(2), y))
    for p, y in cases:
        given = f"{len(p)} rows, {p.shape[1]} labels"
        got = call(answer, p.copy(), y.copy())
        cuts = np.unique(p)
        best = {name: _highest(cuts, rule, p, y) for name, rule in _RULES.items()}
        want = best["macro"]
        lowest = float(max(cuts, key=lambda cut: round(_macro(p >= cut, y), 9)))
        mistakes = [
            (best["strict"], "predicted where the probability is at least the threshold, not only above it"),
            (
                best["micro"],
                "that maximises the F1 of all decisions together; the mean of the labels' F1s is asked for",
            ),
            (best["accuracy"], "that maximises the share of right decisions, which a rare label hardly moves"),
            (best["means"], "that maximises the F1 of the mean precision and recall"),
            (lowest, "of equally good thresholds take the highest: the fewest predictions"),
            (0.5, "one half is where to cut if both errors cost alike"),
        ]
        hint = (
            "for each cut of np.unique(probs): predictions probs >= cut, 2 tp / (predicted + there) of each label, mean"
        )
        expect(got, want, given=given, hint=hint, mistakes=[m for m in mistakes if m[0] != want])


def find_the_bug(answer) -> None:
    """Find the bug: padding, a judge that teaches, another score, what is never read, or nothing."""
    hints = {
        "a": "by how many is the sum of a short text divided?",
        "b": "which rows choose the thresholds, and which rows are scored with them?",
        "c": "is a mean taken before or after the harmonic mean of precision and recall?",
        "d": "in which of the three fields does a deciding laboratory value stand?",
        "e": "which rows choose the thresholds, and what happens if a new row stands among them?",
    }
    match_faults(answer, _FAULTS, among=FAULTS, hints=hints, what="snippet")


def micro_verdicts(answer) -> None:
    """Change the experiment: the verdicts of three methods against the reference, in micro-F1."""
    shape = isinstance(answer, dict) and set(answer) == set(MICRO)
    hint = f"a dict with the keys {', '.join(MICRO)}, each with one of {', '.join(VERDICTS)}"
    require(shape and all(verdict in list(VERDICTS) for verdict in answer.values()), given=f"{answer!r}", hint=hint)
    stored = load_evidence("12_records")
    for method in MICRO:
        found, in_macro = (_verdict(stored, method, score) for score in ("micro", "score"))
        hint = f"the interval is [{found.low:+.3f}, {found.high:+.3f}], and the margin {MARGIN}: which verdict is that?"
        if answer[method] == in_macro.verdict != found.verdict:
            hint = "that is the verdict in macro-F1; here the score is 'micro'"
        require(answer[method] == found.verdict, given=f"{method}: {answer[method]}", hint=hint)


def _verdict(stored, method, score):
    return claim("x", method, "reference", evidence=stored, score=score, margin=MARGIN, show=False)


def _counts(p, y):
    return (p & y).sum(0), p.sum(0), y.sum(0)


def _macro(p, y):
    tp, predicted, there = _counts(p, y)
    return float((2 * tp / (predicted + there)).mean())


def _micro(p, y):
    tp, predicted, there = (count.sum() for count in _counts(p, y))
    return float(2 * tp / (predicted + there))


def _means(p, y):
    tp, predicted, there = _counts(p, y)
    precision, recall = (tp / predicted.clip(1)).mean(), (tp / there).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


_RULES = {
    "macro": lambda p, y, cut: _macro(p >= cut, y),
    "strict": lambda p, y, cut: _macro(p > cut, y),
    "micro": lambda p, y, cut: _micro(p >= cut, y),
    "accuracy": lambda p, y, cut: float(((p >= cut) == y).mean()),
    "means": lambda p, y, cut: _means(p >= cut, y),
}


def _highest(cuts, rule, p, y):
    """The best cut, the highest of equals; rounded, so that the order of a sum does not decide."""
    return float(max(cuts[::-1], key=lambda cut: round(rule(p, y, cut), 9)))
