"""Exercises of chapter 00."""

import torch

from ..exercises import call, expect, judge_verdict, require

LEAST_PAIRS, MARGIN = 10, 0.01  # of a claim of one's own


def double(answer) -> None:
    """The warm-up: a function that doubles a tensor."""
    for x in (torch.tensor([1.0, -2.0]), torch.zeros(2, 3), torch.tensor(3.0)):
        expect(call(answer, x.clone()), 2 * x, given=f"x = {x.tolist()}", hint="return 2 * x for every entry")


def verdict(answer) -> None:
    """Implement: the verdict that belongs to an interval and a margin."""
    inside = "the interval lies inside the margin: whatever is there, it is too small to matter"
    holds = "the interval holds zero and reaches beyond the margin; the mean alone decides nothing"
    touches = "an interval that touches zero still holds it"
    cases = {
        (0.01, 0.03, 0.02): ("supported", "the whole interval lies above zero"),
        (-0.03, -0.01, 0.02): ("refuted", "the whole interval lies below zero: the data speak against the claim"),
        (-0.01, 0.01, 0.02): ("no difference", inside),
        (-0.01, 0.03, 0.02): ("open", holds),
        (-0.03, 0.01, 0.02): ("open", holds),
        (-0.03, 0.03, 0.02): ("open", holds),
        (0.005, 0.01, 0.02): ("supported", "above zero comes first: an effect may be sure and smaller than the margin"),
        (-0.01, -0.005, 0.02): ("refuted", "below zero comes first: a harm may be sure and smaller than the margin"),
        (0.0, 0.03, 0.02): ("open", touches),
        (-0.03, 0.0, 0.02): ("open", touches),
        (0.0, 0.01, 0.02): ("no difference", f"{touches}; but this one lies inside the margin"),
        (-0.01, 0.02, 0.02): ("open", "an interval that touches the margin does not lie inside it"),
    }
    for (low, high, margin), (want, hint) in cases.items():
        given = f"low = {low}, high = {high}, margin = {margin}"
        expect(call(answer, low, high, margin), want, given=given, hint=hint)


def paired_effect(answer) -> None:
    """Implement: mean and standard error of paired differences."""
    cases = [([0.9, 0.8, 0.7], [0.85, 0.76, 0.64]), ([3.0, 1.0, 2.0, 5.0], [1.0, 2.0, 3.0, 4.0])]
    for ours, baseline in cases:
        a, b = torch.tensor(ours, dtype=torch.float64), torch.tensor(baseline, dtype=torch.float64)
        given = f"ours = {ours}, baseline = {baseline}"
        got = call(answer, a.clone(), b.clone())
        require(
            isinstance(got, tuple | list) and len(got) == 2,
            given=given,
            hint="return two numbers: the mean difference and its standard error",
        )
        difference = a - b
        mean, error = difference.mean(), difference.std() / len(a) ** 0.5
        hint = "ours minus baseline, seed by seed, then the mean"
        mistakes = [(-mean, "the sign: ours minus baseline")]
        expect(got[0], mean, given=f"{given}; the mean", hint=hint, mistakes=mistakes)
        hint = "the standard deviation of the differences (n - 1 below the sum), divided by the root of n"
        mistakes = [
            (
                ((a.var() + b.var()) / len(a)) ** 0.5,
                "that is the unpaired error: it still holds the spread between seeds; take differences first",
            ),
            (difference.std(), "that is the spread of one difference; the mean of n is surer by the root of n"),
            (
                difference.std(correction=0) / len(a) ** 0.5,
                "divide by n - 1 inside the standard deviation (torch does so by default, NumPy does not)",
            ),
        ]
        expect(got[1], error, given=f"{given}; the standard error", hint=hint, mistakes=mistakes)


def pairing(answer) -> None:
    """Find the bug: which of three run functions gives unpaired scores."""
    require(answer in ("A", "B", "C"), given=repr(answer), hint="answer with the letter 'A', 'B' or 'C'")
    hints = {
        "A": "A draws its data and its weights from the seed alone, before the method is looked at: it is paired",
        "C": "C uses two generators, but both start from the seed, whatever the method: it is paired",
        "B": "",
    }
    expect(answer, "B", given="the three run functions", hint=hints[answer])


def claim(answer) -> None:
    """A claim of one's own: ``(prediction, differences, verdict)``, differences of accuracy, one a seed."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="accuracies")
