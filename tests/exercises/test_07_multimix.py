"""Exercises of chapter 07: a plausible mistake is told by its name."""

import pytest
import torch
from torch.nn import functional as F

from tutorial_lib.lab import check


def uda(*, judge="weak", scale="divide", mean="all", detach=True):
    def loss(strong, weak, t, heat):
        weak = weak.detach() if detach else weak
        cold = weak / heat if scale == "divide" else weak * heat if scale == "multiply" else weak
        keep = (weak if judge == "weak" else cold).softmax(1).amax(1) >= t
        each = -(cold.softmax(1) * strong.log_softmax(1)).sum(1)
        return (each * keep).mean() if mean == "all" else each[keep].mean() if mean == "kept" else (each * keep).sum()

    return loss


def leading_class(strong, weak, t, heat):
    sure, label = weak.softmax(1).max(1)
    return (F.cross_entropy(strong, label, reduction="none") * (sure >= t)).mean()


def colleague(strong, weak, t, *, logits=False, teacher="weak", mean="all"):
    keep = (weak if logits else weak.softmax(1)).amax(1) >= t
    each = F.cross_entropy(strong, (weak if teacher == "weak" else strong).argmax(1), reduction="none")
    return (each * keep).mean() if mean == "all" else each[keep].mean()


def game(maps, mask, *, empty=False, whole=False):
    hit = mask.flatten(1).gather(1, maps.flatten(1).argmax(1, keepdim=True))[:, 0].double()
    if whole:
        hit = (maps * mask).flatten(1).sum(1).double() / maps.flatten(1).sum(1)
    return float(hit.mean() if empty else hit[mask.flatten(1).any(1)].mean())


def one_pixel_of_all(maps, mask):
    return float(mask.flatten()[maps.argmax()])


WRONG = [
    ("shares", (0.5, 2 / 3), "only 'ill'"),
    ("shares", (5, 0.6), "a share, not a number"),
    ("shares", (5 / 6, 0.5), "of the accepted labels"),
    ("shares", (5 / 6, 0.8), "what is true of that picture"),
    ("shares", (1.0, 0.6), "at least as sure"),
    ("shares", 0.5, "two numbers"),
    ("sharpened_loss", uda(judge="sharpened"), "before you sharpen"),
    ("sharpened_loss", uda(scale="none"), "not sharpened"),
    ("sharpened_loss", uda(scale="multiply"), "divide by"),
    ("sharpened_loss", uda(mean="kept"), "add zero"),
    ("sharpened_loss", uda(mean="sum"), "not the sum"),
    ("sharpened_loss", uda(detach=False), "detach the weak"),
    ("sharpened_loss", leading_class, "leading class alone"),
    ("sharpened_loss", lambda strong, weak, t, heat: uda()(strong.detach(), weak, t, heat), "strong side learns"),
    (
        "corrected_loss",
        lambda s, w, t: colleague(s, w, t, logits=True, teacher="strong", mean="kept"),
        "a threshold is of",
    ),
    ("corrected_loss", lambda s, w, t: colleague(s, w, t, logits=True), "a threshold is of a probability"),
    ("corrected_loss", lambda s, w, t: colleague(s, w, t, teacher="strong"), "teaches itself"),
    ("corrected_loss", lambda s, w, t: colleague(s, w, t, mean="kept"), "the mean over what was accepted"),
    ("corrected_loss", lambda s, w, t: 2 * colleague(s, w, t), "the mean is over all"),
    ("pointing_game", lambda maps, mask: game(maps, mask, empty=True), "leave it out"),
    ("pointing_game", lambda maps, mask: game(maps, mask, whole=True), "only the strongest"),
    ("pointing_game", one_pixel_of_all, "of its own"),
    ("pointing_game", lambda maps, mask: len(maps) * game(maps, mask, empty=True), "not their number"),
    ("bridge_control", "another picture's map", "two texts"),
    ("bridge_control", ("no bridge", "open"), "two channels less"),
    ("bridge_control", ("a constant map", "open"), "by that alone"),
    ("bridge_control", ("the lungs' mask", "open"), "the answer itself"),
    ("bridge_control", ("an edge map", "open"), "four controls"),
    ("bridge_control", ("another picture's map", "no difference"), "beyond the margin"),
    ("bridge_control", ("another picture's map", "supported"), "above 0"),
    ("bridge_control", ("another picture's map", "refuted"), "below 0"),
    ("bridge_control", ("another picture's map", "perhaps"), "four verdicts"),
]


@pytest.mark.parametrize("exercise, answer, hint", WRONG, ids=[f"{w[0]}-{w[2]}" for w in WRONG])
def test_wrong_answer_is_told_what_is_wrong(exercise, answer, hint):
    result = check(f"multimix.{exercise}", answer, show=False)
    assert result.status == "wrong"
    assert hint in result.message


def test_each_order_of_the_mistakes_is_right_without_them():
    assert check("multimix.sharpened_loss", uda(), show=False).ok
    assert check("multimix.corrected_loss", colleague, show=False).ok
    assert check("multimix.pointing_game", game, show=False).ok
    assert torch.is_tensor(uda()(torch.zeros(1, 2), torch.zeros(1, 2), 0.5, 1.0))
