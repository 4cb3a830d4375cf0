"""Exercises of chapter 01."""

import torch
from torch.nn import functional as F

from ..exercises import Wrong, call, expect, judge_verdict, match_faults, number, require

BUGS = ("pairs", "side", "double softmax", "none")
LEAST_PAIRS, MARGIN = 20, 0.01
_FAULTS = {"A": "side", "B": "pairs", "C": "double softmax", "D": "none"}


def mix_batch(answer) -> None:
    """Implement: mix inputs and targets with given weights and partners."""
    g = torch.Generator().manual_seed(0)
    for shape, per_sample in (((3, 2), False), ((4, 5), True), ((3, 1, 4, 4), False), ((3, 2, 4, 3), True)):
        rows = shape[0]
        x, y = torch.rand(shape, generator=g), torch.eye(rows)
        index = torch.arange(rows).roll(1)
        lam = torch.linspace(0.1, 0.7, rows) if per_sample else torch.tensor(0.7)
        kept = x.clone(), y.clone()
        given = f"inputs {shape}, lam of shape {tuple(lam.shape)}, index {index.tolist()}"
        try:
            got = call(answer, x, y, lam, index)
        except RuntimeError as error:
            if "size" not in str(error):
                raise
            hint = f"lam of shape (B,) must be reshaped to (B, 1, …) before it meets a tensor of more axes ({error})"
            raise Wrong(f"given     {given}\n  hint: {hint}") from error
        require(
            isinstance(got, tuple | list) and len(got) == 2,
            given=given,
            hint="return two tensors, the mixed inputs and the mixed targets",
        )
        require(
            torch.equal(x, kept[0]) and torch.equal(y, kept[1]),
            given=given,
            hint="your function changed its arguments; make new tensors (x = ... instead of x *= ...)",
        )
        want = _mixed(x, lam, index), _mixed(y, lam, index)
        swapped = _mixed(x, 1 - lam, index), _mixed(y, 1 - lam, index)
        for which, ours, right, wrong in zip(("inputs", "targets"), got, want, swapped):
            original = x if which == "inputs" else y
            mistakes = [
                (wrong, "lam sits on the wrong side: it weights the row itself, 1 - lam the partner"),
                (original, f"the {which} came back unmixed; they need the same lam and the same partners"),
                (
                    _mixed(original, lam, index.argsort()),
                    "the partner of row i is row index[i]; yours is the row whose index is i",
                ),
            ]
            hint = "row i is lam * row i + (1 - lam) * row index[i], with the same lam for inputs and targets"
            if per_sample:
                hint += "; with lam of shape (B,), row i must get lam[i]: check the axis it is spread along"
            expect(ours, right, given=f"{given}; the {which}", hint=hint, mistakes=mistakes)


def soft_cross_entropy(answer) -> None:
    """Implement: cross-entropy between logits and soft targets, mean over the batch."""
    g = torch.Generator().manual_seed(1)
    cases = [
        (torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])),
        (torch.randn(5, 3, generator=g), torch.rand(5, 3, generator=g).softmax(1)),
        (torch.tensor([[200.0, 0.0, -200.0], [0.0, 300.0, 0.0]]), torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])),
    ]
    for logits, targets in cases:
        given = f"logits {_round(logits)}, targets {_round(targets)}"
        got = call(answer, logits.clone(), targets.clone())
        want = F.cross_entropy(logits, targets)
        hint = "minus the sum over classes of target * log-probability, then the mean over the batch"
        value = torch.as_tensor(got)
        if value.ndim:
            hint = "return one number: sum over the classes, mean over the batch"
        elif not bool(value.isfinite()):
            hint = "exp(300) overflows: take the row's largest logit off first, which changes no probability"
        log_p = logits.log_softmax(1)
        mistakes = [
            (F.cross_entropy(logits.softmax(1), targets), "softmax was applied twice: the arguments are logits"),
            (-(targets * log_p).sum(), "that is the sum over the batch; the mean over the batch was asked for"),
            (-(targets * log_p).mean(), "that divides by the number of classes too; only the batch is averaged"),
            ((targets * log_p).sum(1).mean(), "the sign: log-probabilities are negative, a loss is not"),
            (F.cross_entropy(logits, targets.argmax(1)), "argmax throws the soft part of the target away"),
        ]
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-5)


def heavier(answer) -> None:
    """Predict: the mean weight of the heavier image of a blend, for alpha = 1."""
    mistakes = [
        (0.5, "that is the mean of lam itself; whichever image it is given to, the heavier one has max(lam, 1 - lam)"),
        (1.0, "only where nothing is blended"),
        (2 / 3, "lam and 1 - lam are no two independent draws: where lam is small, 1 - lam is large"),
        (0.25, "that is the lighter one's share"),
    ]
    hint = "for alpha = 1, lam is spread evenly over [0, 1]: over which interval is max(lam, 1 - lam) spread, then?"
    expect(number(answer), 0.75, given="alpha = 1", hint=hint, mistakes=mistakes, reveal=False, atol=6e-3)


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of four training steps has."""
    hints = {
        "A": "put lam = 0.9 in by hand: which image dominates the mixed input, and which label the loss?",
        "B": "print the partners of the inputs and the partners of the targets: are they the same rows?",
        "C": "what does F.cross_entropy expect, logits or probabilities?",
        "D": "compare with the step in the chapter, term by term; is mixing the two losses a fault?",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="step")


def own_verdict(answer) -> None:
    """Change the experiment: a prediction, the paired differences of one's own run, and the verdict they allow."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="accuracies")


def _mixed(values, lam, index):
    lam = lam.view(-1, *[1] * (values.ndim - 1)) if lam.ndim else lam
    return lam * values + (1 - lam) * values[index]


def _round(tensor):
    return [[round(v, 2) for v in row] for row in tensor.tolist()]
