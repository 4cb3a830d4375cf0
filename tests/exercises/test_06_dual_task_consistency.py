"""Exercises of chapter 06: a plausible mistake is told by its name."""

import math

import pytest
import torch

from tutorial_lib.consistency import dice_loss
from tutorial_lib.lab import check


def agreement(p, q):
    return (p - q).square().mean()


def ramp(phase):
    return math.exp(-5 * (1 - phase) ** 2)


def loss_with(rows, sign):
    def loss(f1, f2, y, t, lam):
        p, q = f1.sigmoid(), torch.sigmoid(sign * 1500 * f2)
        supervised = dice_loss(p[: len(y)], y) + 0.3 * (f2[: len(y)] - t).square().mean()
        return supervised + lam * agreement(p[rows], q[rows])

    return loss


WRONG = [
    ("pixels_left", 25, "not above"),
    ("pixels_left", 16, "what is lost"),
    ("pixels_left", 21, "corners"),
    ("pixels_left", 0, "nearly 1"),
    ("pixels_left", 12, "outside neighbour"),
    ("pixels_left", "nine", "whole number"),
    ("agreement_loss", lambda f1, f2, k: agreement(f1.sigmoid(), torch.sigmoid(k * f2)), "inside must become 1"),
    ("agreement_loss", lambda f1, f2, k: agreement(f1, torch.sigmoid(-k * f2)), "need a sigmoid"),
    ("agreement_loss", lambda f1, f2, k: agreement(f1.sigmoid(), f2), "cannot be compared"),
    ("agreement_loss", lambda f1, f2, k: (f1.sigmoid() - torch.sigmoid(-k * f2)).square().sum(), "not the sum"),
    ("agreement_loss", lambda f1, f2, k: (f1.sigmoid() - torch.sigmoid(-k * f2)).abs().mean(), "squared"),
    ("agreement_loss", lambda f1, f2, k: agreement(f1.sigmoid(), torch.sigmoid(-k * f2).detach()), "both heads"),
    ("rampup", lambda step, total: ramp(step / total), "beyond total"),
    ("rampup", lambda step, total: math.exp(-5 * (1 - min(step / total, 1))), "the bracket is squared"),
    ("rampup", lambda step, total: math.exp(-5 * min(step / total, 1) ** 2), "must grow"),
    ("rampup", lambda step, total: min(step / total, 1.0), "along a line"),
    ("corrected_loss", loss_with(slice(0, 2), 1), "both mistakes"),
    ("corrected_loss", loss_with(slice(None), 1), "inside is negative"),
    ("corrected_loss", loss_with(slice(0, 2), -1), "unlabelled rows"),
    ("corrected_loss", loss_with(slice(2, None), -1), "labelled rows must agree too"),
    ("control", "two heads T=ours", "two texts"),
    ("control", ("Dice only", "no difference"), "two things differ"),
    ("control", ("two heads", "no difference"), "the published T"),
    ("control", ("all labels", "no difference"), "the positive control"),
    ("control", ("two heads k=20 T=ours", "no difference"), "nothing that k could steepen"),
    ("control", ("DTC lam=0 T=ours", "no difference"), "name it without"),
    ("control", ("mean teacher T=ours", "no difference"), "the same network, heads and T"),
    ("control", ("two heads T=ours", "open"), "compare its ends with the margin"),
    ("control", ("two heads T=ours", "refuted"), "an interval below 0"),
    ("control", ("two heads T=ours", "supported"), "an interval above 0"),
    ("control", ("two heads T=ours", "maybe"), "four verdicts"),
]


@pytest.mark.parametrize("exercise, answer, hint", WRONG, ids=[f"{w[0]}-{w[2]}" for w in WRONG])
def test_wrong_answer_is_told_what_is_wrong(exercise, answer, hint):
    result = check(f"consistency.{exercise}", answer, show=False)
    assert result.status == "wrong"
    assert hint in result.message
