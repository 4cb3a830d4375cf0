"""Exercises of chapter 06."""

import numpy as np
import torch
from scipy import ndimage

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


def teacher(answer) -> None:
    """Implement: one update of mean teacher's running average."""

    def blend(a, b, weight):
        return weight * a + (1 - weight) * b

    generator = torch.Generator().manual_seed(0)
    for step, decay in ((0, 0.99), (1, 0.99), (9, 0.99), (150, 0.99), (7, 0.5)):
        old, new = ([torch.randn(shape, generator=generator) for shape in ((3, 2), (4,))] for _ in range(2))
        kept = [[part.clone() for part in parts] for parts in (old, new)]
        got, given = call(answer, old, new, step, decay), f"step = {step}, decay = {decay}"
        require(
            isinstance(got, list | tuple) and len(got) == len(old),
            given=given,
            hint="return a list: one tensor for each tensor of the teacher",
        )
        same = all(torch.equal(a, b) for parts, others in zip((old, new), kept) for a, b in zip(parts, others))
        require(same, given=given, hint="your function changed its arguments; make new tensors")
        alpha = min(1 - 1 / (step + 1), decay)
        hint = "alpha * teacher + (1 - alpha) * student, with alpha the smaller of 1 - 1 / (step + 1) and decay"
        for a, b, ours in zip(old, new, got):
            mistakes = [
                (blend(a, b, 1 - alpha), "the weights are exchanged: late in training the teacher hardly moves"),
                (
                    blend(a, b, decay),
                    "early on the average must forget its random start: alpha is at most 1 - 1 / (step + 1)",
                ),
                (
                    blend(a, b, 1 - 1 / (step + 1)),
                    "later on alpha stays at decay; yours is the mean of all students so far",
                ),
            ]
            expect(ours, blend(a, b, alpha), given=given, hint=hint, mistakes=mistakes)


def dice_left(answer) -> None:
    """Implement: the Dice that the published way there and back leaves of a mask, without a distance."""
    square, bar, edge, cube = (
        np.zeros((9, 9), int),
        np.zeros((6, 8), int),
        np.zeros((6, 6), int),
        np.zeros((7,) * 3, int),
    )
    square[2:7, 2:7] = bar[2:4, 1:7] = edge[:4, :4] = cube[1:6, 1:6, 1:6] = 1
    notch = square.copy()
    notch[2, 2] = 0
    cases = {"a square of 5 x 5": square, "a bar two pixels thick": bar, "a square at the image's corner": edge}
    for name, mask in (cases | {"a square without a corner": notch, "a cube of 5 x 5 x 5": cube}).items():
        got, body = number(call(answer, mask.copy())), mask.sum()
        left, from_edge = (ndimage.binary_erosion(mask, border_value=beyond).sum() for beyond in (1, 0))
        diagonal = ndimage.binary_erosion(mask, np.ones((3,) * mask.ndim), border_value=1).sum()
        mistakes = [
            (left / body, "that is the share of the body that is left, and its IoU; Dice counts what is left twice"),
            (1 - left / body, "that is the share that is lost"),
            (2 * from_edge / (from_edge + body), "at the image's edge there is no outside: erode with border_value=1"),
            (2 * diagonal / (diagonal + body), "a pixel that meets the outside at a corner only is no border pixel"),
            (1.0, "the border comes back as 0.5, which is not above 0.5"),
        ]
        hint = "what is left is the body without its border: 2 * left / (left + body)"
        expect(got, 2 * left / (left + body), given=name, hint=hint, mistakes=mistakes)


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
