"""Exercises of chapter 06."""

import math

import torch

from ...consistency import dtc_loss
from ..exercises import call, expect, number, require


def pixels_left(answer) -> None:
    """Predict: what the published transform and back leave of a 5 x 5 square."""
    mistakes = [
        (25, "that is the whole body; but its border pixels have T = 0, and the sigmoid of 0 is 0.5, not above it"),
        (16, "that is the border; these pixels are what is lost"),
        (21, "only the corners? Each border pixel, corner or not, has an outside neighbour across a side"),
        (0, "the inner pixels have T below 0, and with k = 1500 the way back is nearly 1"),
    ]
    hint = "mark the body's pixels that have an outside neighbour: they become 0, and 0 becomes 0.5"
    got = number(answer, "one whole number")
    expect(got, 9, given=f"answer = {answer}", hint=hint, mistakes=mistakes, reveal=False)


def agreement_loss(answer) -> None:
    """Implement: the consistency term."""
    generator = torch.Generator().manual_seed(0)
    for shape, k in (((1, 2), 1.0), ((3, 1, 4, 5), 20.0), ((2, 1, 3, 3, 3), 1500.0)):
        f1 = torch.randn(shape, dtype=torch.float64, generator=generator)
        f2 = torch.randn(shape, dtype=torch.float64, generator=generator) / k
        p, q = f1.sigmoid(), torch.sigmoid(-k * f2)
        expected = (p - q).square().mean()
        got = call(answer, f1.clone(), f2.clone(), k)
        mistakes = [
            ((p - torch.sigmoid(k * f2)).square().mean(), "negative is inside: inside must become 1, sigmoid(-k f2)"),
            ((f1 - q).square().mean(), "f1 are logits: they need a sigmoid before they are compared"),
            ((p - f2).square().mean(), "a probability and a distance cannot be compared: transform f2 first"),
            ((p - q).square().sum(), "the mean over all pixels, not the sum"),
            ((p - q).abs().mean(), "the difference is squared"),
        ]
        hint = "the mean of (sigmoid(f1) - sigmoid(-k f2)) squared"
        expect(got, expected, given=f"f1 and f2 of shape {shape}, k = {k:g}", hint=hint, mistakes=mistakes)
    f1 = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    f2 = torch.full((1, 4), 0.5, dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(call(answer, f1, f2, 1.0), (f1, f2), allow_unused=True)
    require(
        all(gradient is not None and bool(gradient.any()) for gradient in gradients),
        given="f1 and f2 that require gradients",
        hint="the gradient must reach both heads: detach neither",
    )


def rampup(answer) -> None:
    """Implement: the Gaussian ramp-up."""
    for step, total in ((0, 10), (5, 10), (10, 10), (3, 7), (25, 10)):
        phase = min(step / total, 1)
        mistakes = [
            (math.exp(-5 * (1 - phase)), "the bracket is squared"),
            (math.exp(-5 * phase**2), "it must grow: 1 - t / total, not t / total"),
            (phase, "this grows along a line; the ramp is a Gaussian"),
        ]
        hint = "exp(-5 (1 - t / total)^2)"
        if step > total:
            hint, mistakes = "training may go on: beyond total the weight stays at 1, so cut t / total at 1", []
        want, given = math.exp(-5 * (1 - phase) ** 2), f"step = {step}, total = {total}"
        expect(call(answer, step, total), want, given=given, hint=hint, mistakes=mistakes)


def corrected_loss(answer) -> None:
    """Find the bug: a colleague's DTC loss."""
    generator = torch.Generator().manual_seed(3)
    f1 = torch.randn(4, 1, 5, 5, generator=generator, dtype=torch.float64)
    f2 = 0.001 * torch.randn(4, 1, 5, 5, generator=generator, dtype=torch.float64)
    y = (torch.rand(2, 1, 5, 5, generator=generator) < 0.5).double()
    t = torch.rand(2, 1, 5, 5, generator=generator, dtype=torch.float64)
    right = dtc_loss(f1, f2, y, t, lam=0.8)
    supervised = right.dice + 0.3 * right.sdf
    p, wrong_side, q = f1.sigmoid(), torch.sigmoid(1500 * f2), torch.sigmoid(-1500 * f2)
    got = call(answer, f1.clone(), f2.clone(), y, t, 0.8)
    pulls = [
        ((p[:2] - wrong_side[:2]).square().mean(), "both mistakes are still there: which rows agree, and with what?"),
        ((p - wrong_side).square().mean(), "all rows now; but inside is negative, and sigmoid(1500 f2) makes it 0"),
        ((p[:2] - q[:2]).square().mean(), "the sign is right; but the unlabelled rows, its point, are left out"),
        ((p[2:] - q[2:]).square().mean(), "the labelled rows must agree too: the mean runs over all rows"),
    ]
    mistakes = [(supervised + 0.8 * pull, why) for pull, why in pulls]
    hint = "Dice and regression on the labelled rows, agreement on all rows, with sigmoid(-1500 f2)"
    expect(got, right.total, given="f1, f2 (4, 1, 5, 5), y, t (2, 1, 5, 5), lam = 0.8", hint=hint, mistakes=mistakes)


def control(answer) -> None:
    """Change the experiment: which control isolates the consistency, and what the interval says."""
    given = f"answer = {answer!r}"
    pair = isinstance(answer, tuple | list) and len(answer) == 2 and all(isinstance(part, str) for part in answer)
    require(pair, given=given, hint="two texts are asked for: a method as run takes it, and a verdict")
    method, verdict = (" ".join(part.lower().replace("=", " = ").split()) for part in answer)
    why = {
        "dice only": "two things differ from it: the second head and the consistency",
        "two heads": "its distance head learns the published T, so the transform differs as well",
        "all labels": "that is the positive control: it has other labels",
    }
    for name, hint in why.items():
        require(method != name, given=given, hint=hint)
    require("k =" not in method, given=given, hint="without the term there is nothing that k could steepen")
    require("lam" not in method, given=given, hint="run takes no weight for a method without the term; name it without")
    require(method == "two heads t = ours", given=given, hint="the same network, heads and T, and no consistency")
    wrong = {
        "open": "the interval is narrow enough: compare its ends with the margin",
        "refuted": "refuted needs an interval below 0",
        "supported": "supported needs an interval above 0",
    }
    require(verdict == "no difference", given=given, hint=wrong.get(verdict, "one of the four verdicts of a claim"))
