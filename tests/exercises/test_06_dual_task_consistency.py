"""Exercises of chapter 06: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import exercise_answers
from scipy import ndimage

from tutorial_lib.consistency import MeanTeacher, dice_loss
from tutorial_lib.lab import check
from tutorial_lib.lab.phantoms import phantoms
from tutorial_lib.level_sets import mask_from_sdf, signed_distance

SOLUTIONS = "notebooks/solutions/06_dual_task_consistency.ipynb"


def agreement(p, q):
    return (p - q).square().mean()


def ema(weight):
    def update(old, new, step, decay):
        alpha = weight(step, decay)
        return [alpha * a + (1 - alpha) * b for a, b in zip(old, new)]

    return update


def in_place(old, new, step, decay):
    for a, b in zip(old, new):
        a.copy_(min(1 - 1 / (step + 1), decay) * a + (1 - min(1 - 1 / (step + 1), decay)) * b)
    return old


def eroded(mask, **how):
    return ndimage.binary_erosion(mask, **{"border_value": 1} | how)


def dice_of(a, b):
    return 2 * (a & (b > 0)).sum() / (a.sum() + b.sum())


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
    ("teacher", ema(lambda step, decay: 1 - min(1 - 1 / (step + 1), decay)), "exchanged"),
    ("teacher", ema(lambda step, decay: decay), "random start"),
    ("teacher", ema(lambda step, decay: 1 - 1 / (step + 1)), "stays at decay"),
    ("teacher", ema(lambda step, decay: 0.3), "the smaller of"),
    ("teacher", in_place, "changed its arguments"),
    ("teacher", lambda old, new, step, decay: new[0], "return a list"),
    ("dice_left", lambda mask: eroded(mask).sum() / mask.sum(), "its IoU"),
    ("dice_left", lambda mask: 1 - eroded(mask).sum() / mask.sum(), "is lost"),
    ("dice_left", lambda mask: dice_of(eroded(mask, border_value=0), mask), "no outside"),
    ("dice_left", lambda mask: dice_of(eroded(mask, structure=np.ones((3,) * mask.ndim)), mask), "at a corner only"),
    ("dice_left", lambda mask: 1.0, "not above 0.5"),
    ("dice_left", lambda mask: 0.7, "without its border"),
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


def test_the_solution_of_teacher_is_the_librarys():
    solution = exercise_answers(SOLUTIONS)["consistency.teacher"]
    torch.manual_seed(0)
    student = torch.nn.Linear(3, 2)
    library, mine = MeanTeacher(student, decay=0.8), list(student.parameters())
    for step in range(8):
        with torch.no_grad():
            for part in student.parameters():
                part.add_(torch.randn_like(part))
            mine = solution(mine, list(student.parameters()), step, 0.8)
        library.update(student)
        for ours, theirs in zip(mine, library.model.parameters()):
            torch.testing.assert_close(ours, theirs)


def test_the_solution_of_dice_left_is_what_the_way_there_and_back_leaves():
    solution = exercise_answers(SOLUTIONS)["consistency.dice_left"]
    for dims in (2, 3):
        for mask in phantoms(3, seed=4, shape=(24,) * dims).mask[:, 0].numpy():
            back = mask_from_sdf(signed_distance(mask.astype(float), normalize="dtc", spatial_dims=dims), k=1500) > 0.5
            assert solution(mask) == pytest.approx(dice_of(back, mask))
