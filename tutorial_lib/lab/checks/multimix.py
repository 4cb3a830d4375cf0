"""Exercises of chapter 07."""

import torch
from torch.nn import functional as F

from ..exercises import Todo, call, expect, number, require


def shares(answer) -> None:
    """Predict: how many pseudo-labels are accepted, and how many of those are true."""
    if answer is None:
        raise Todo
    given = f"shares = {answer!r}"
    pair = isinstance(answer, tuple | list) and len(answer) == 2
    require(pair, given=given, hint="two numbers are asked for: (share accepted, share of true ones among them)")
    accepted, true = (number(part, "a share") for part in answer)
    expect(
        accepted, 5 / 6, given=given, reveal=False, atol=0.006,
        hint="accepted is what is at least as sure as the threshold, of whichever class",
        mistakes=[
            (3 / 6, "only 'ill' was counted; a probability of ill of 0.02 is a probability of well of 0.98"),
            (5, "a share, not a number of pictures"),
            (4 / 6, "0.15 of ill is 0.85 of well, and 0.81 is above 0.8 as well: count again"),
        ],
    )  # fmt: skip
    expect(
        true, 3 / 5, given=given, reveal=False, atol=0.006,
        hint="of the accepted ones only: compare the leading class with the truth",
        mistakes=[
            (3 / 6, "the share is of the accepted labels, not of all pictures"),
            (4 / 6, "the share is of the accepted labels, not of all pictures"),
            (4 / 5, "0.15 of ill says well; what is true of that picture?"),
        ],
    )  # fmt: skip


def sharpened_loss(answer) -> None:
    """Implement: UDA's loss with a sharpened target."""
    generator = torch.Generator().manual_seed(0)
    for size, classes, t, heat in ((6, 2, 0.8, 0.4), (9, 4, 0.5, 0.5), (5, 3, 0.0, 1.0)):
        strong, weak = (2 * torch.randn(size, classes, dtype=torch.float64, generator=generator) for _ in range(2))
        keep, target = weak.softmax(1).amax(1) >= t, (weak / heat).softmax(1)
        each, late = -(target * strong.log_softmax(1)).sum(1), (weak / heat).softmax(1).amax(1) >= t
        hard = F.cross_entropy(strong, weak.argmax(1), reduction="none")
        mistakes = [
            ((each * late).mean(), "the sharpened distribution is surer than the network: accept before you sharpen"),
            ((hard * keep).mean(), "this takes the leading class alone; the whole distribution is the target"),
            ((-(weak.softmax(1) * strong.log_softmax(1)).sum(1) * keep).mean(), "the target is not sharpened"),
            ((-((weak * heat).softmax(1) * strong.log_softmax(1)).sum(1) * keep).mean(), "divide by the temperature"),
            (each[keep].mean(), "the mean runs over all pictures; those not accepted add zero"),
            ((each * keep).sum(), "the mean over the pictures, not the sum"),
            (each.mean(), "what is not sure must not count"),
        ]
        got = call(answer, strong.clone(), weak.clone(), t, heat)
        hint = (
            "target = softmax(weak / temperature); -(target * log softmax(strong)).sum(1), where the weak copy is sure"
        )
        given = f"logits ({size}, {classes}), threshold = {t}, temperature = {heat}"
        expect(got, (each * keep).mean(), given=given, hint=hint, mistakes=mistakes)
    pair = [torch.randn(4, 2, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)]
    loss = call(answer, *pair, 0.0, 0.5)
    require(bool(getattr(loss, "requires_grad", False)), given="logits with gradients", hint="the strong side learns")
    slopes = torch.autograd.grad(loss, pair, allow_unused=True)
    require(slopes[0] is not None, given="logits with gradients", hint="the strong side learns: do not detach it")
    require(slopes[1] is None or not slopes[1].any(), given="logits with gradients", hint="detach the weak logits")


def corrected_loss(answer) -> None:
    """Find the bugs: a colleague's pseudo-labels."""
    generator = torch.Generator().manual_seed(1)
    for size, t in ((8, 0.9), (7, 0.6)):
        strong, weak = (2 * torch.randn(size, 3, dtype=torch.float64, generator=generator) for _ in range(2))
        options = {}
        for judge in ("probability", "logit"):
            keep = (weak.softmax(1) if judge == "probability" else weak).amax(1) >= t
            for teacher, side in (("weak", weak), ("strong", strong)):
                each = F.cross_entropy(strong, side.argmax(1), reduction="none")
                options[judge, teacher, "all"], options[judge, teacher, "kept"] = (
                    (each * keep).mean(),
                    each[keep].mean(),
                )
        told = {
            "logit": "a threshold is of a probability: a logit of 0.9 is nothing to be sure about",
            "strong": "the strong copy teaches itself; the label is the weak copy's",
            "kept": "the mean over what was accepted: one sure picture counts as much as a batch, and none is nan",
        }
        mistakes = [
            (value, told[next(word for word in name if word in told)])
            for name, value in options.items() if name != ("probability", "weak", "all")
        ]  # fmt: skip
        got = call(answer, strong.clone(), weak.clone(), t)
        hint = "probabilities of the weak copy decide and give the label; the mean is over all pictures"
        given = f"logits ({size}, 3), threshold = {t}"
        expect(got, options["probability", "weak", "all"], given=given, hint=hint, mistakes=mistakes)
    unsure = torch.zeros(3, 2, dtype=torch.float64)
    hint = "where nobody is sure the loss is 0, not nan"
    expect(call(answer, unsure, unsure, 0.9), torch.tensor(0.0), given="three unsure pictures", hint=hint)


def pointing_game(answer) -> None:
    """Implement: does the strongest pixel of a map lie in the mask?"""
    generator = torch.Generator().manual_seed(2)
    for count, height, width in ((6, 4, 5), (9, 6, 3)):
        maps = torch.rand(count, 1, height, width, generator=generator)
        mask = (torch.rand(count, 1, height, width, generator=generator) < 0.4).long()
        mask[0] = 0  # nothing to be hit
        flat, inside = maps.flatten(1), mask.flatten(1).bool()
        there = inside.any(1)
        hit = inside.gather(1, flat.argmax(1, keepdim=True))[:, 0]
        share = (flat * inside).sum(1) / flat.sum(1)
        mistakes = [
            (hit.double().mean(), "a picture whose mask is empty cannot be hit: leave it out"),
            (hit.double().sum(), "the share of the pictures, not their number"),
            (hit.double().sum() / count, "a picture whose mask is empty cannot be hit: leave it out"),
            (share[there].double().mean(), "only the strongest pixel counts here, not how much of the map is inside"),
            (inside.flatten()[flat.argmax()].double(), "every picture has a strongest pixel of its own"),
        ]
        got = call(answer, maps.clone(), mask.clone())
        hint = "argmax over the pixels of each map; is the mask 1 there?"
        given = f"maps and mask ({count}, 1, {height}, {width}), the first mask empty"
        expect(got, hit[there].double().mean(), given=given, hint=hint, mistakes=mistakes)


def bridge_control(answer) -> None:
    """Change the experiment: which control says that the map did it, and what the interval says."""
    if answer is None:
        raise Todo
    given = f"answer = {answer!r}"
    pair = isinstance(answer, tuple | list) and len(answer) == 2 and all(isinstance(part, str) for part in answer)
    require(pair, given=given, hint="two texts are asked for: a control, and a verdict")
    control, verdict = (" ".join(part.lower().replace("’", "'").split()) for part in answer)
    why = {
        "no bridge": "then the coarse copy of the picture is gone as well, and the stage reads two channels less",
        "a constant map": "a constant has another spread than a map: the stage could tell them apart by that alone",
        "the lungs' mask": "that is the answer itself: it says what a perfect map could bring, not what this one did",
    }
    require(control not in why, given=given, hint=why.get(control, ""))
    require(control == "another picture's map", given=given, hint="one of the four controls of the text")
    wrong = {
        "supported": "supported needs an interval above 0",
        "refuted": "refuted needs an interval below 0",
        "no difference": "one end of the interval lies beyond the margin: a difference that matters is not ruled out",
    }
    require(verdict == "open", given=given, hint=wrong.get(verdict, "one of the four verdicts of a claim"))
