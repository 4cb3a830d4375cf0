"""Exercises of chapter 15: a plausible mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from scipy.spatial.transform import Rotation
from torch.nn import functional as F

from tutorial_lib.lab import check
from tutorial_lib.lab.proteins import protein_world
from tutorial_lib.protein import backbone_frames, torsions

NAME = "15_protein_design.ipynb"


# --- after seven rounds ---


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ((0, 0), "every even round"),
        ((0, 1), "one at a time"),
        ([1, 0], "one at a time"),
        ((1, 1, 1), "a tuple of two"),
        ("11", "a tuple of two"),
        ((2, 2), "takes the other type"),
        (("1", "1"), "0 or 1"),
    ],
)
def test_after_seven_hints(wrong, hint):
    result = check("protein.after_seven", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.mark.parametrize("right", [(1, 1), [1, 1], (np.int64(1), torch.tensor(1))])
def test_after_seven_in_any_kind_of_number(right):
    assert check("protein.after_seven", right, show=False).ok


# --- the torsion ---


def parts(a, b, c, d):
    b1, b2, b3 = b - a, c - b, d - c
    return b1, b2, torch.linalg.cross(b1, b2), torch.linalg.cross(b2, b3)


def right_one(a, b, c, d):
    b1, b2, n1, n2 = parts(a, b, c, d)
    return torch.atan2(b2.norm() * (b1 @ n2), n1 @ n2)


def popular(a, b, c, d):
    b1, _, n1, n2 = parts(a, b, c, d)
    return torch.sign(b1 @ n2) * torch.arccos((n1 @ n2 / (n1.norm() * n2.norm())).clamp(-1, 1))


def no_length(a, b, c, d):
    b1, _, n1, n2 = parts(a, b, c, d)
    return torch.atan2(b1 @ n2, n1 @ n2)


def too_long(a, b, c, d):
    _, b2, n1, n2 = parts(a, b, c, d)
    return torch.atan2(torch.linalg.cross(n1, n2) @ b2, n1 @ n2)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (popular, "exactly at trans"),
        (lambda *p: -right_one(*p), "the other way round"),
        (lambda *p: right_one(*p).rad2deg(), "not in degrees"),
        (lambda *p: right_one(*p).abs(), "no sign"),
        (no_length, "needs the length of b2"),
        (too_long, "too large by the length of b2"),
        (lambda *p: "left", "one number"),
    ],
)
def test_dihedral_hints(wrong, hint):
    result = check("protein.dihedral", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_is_the_librarys_torsion():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["protein.dihedral"]
    backbone = protein_world(1, seed=0).backbones[0].double()
    psi = solution(backbone[3, 0], backbone[3, 1], backbone[3, 2], backbone[4, 0])
    assert float(psi) == pytest.approx(torsions(backbone)[3, 1].item())


# --- find the fault ---

RIGHT = {"a": "none", "b": "skew", "c": "mirror", "d": "turns", "e": "moves"}


@pytest.mark.parametrize("key", RIGHT)
def test_find_the_fault_asks_about_the_one_that_is_wrong(key):
    other = "none" if RIGHT[key] != "none" else "turns"
    result = check("protein.find_the_fault", RIGHT | {key: other}, show=False)
    assert result.status == "wrong" and f"version {key}" in result.message


@pytest.mark.parametrize("wrong", [{}, {"a": "none"}, RIGHT | {"e": "typo"}, "moves"])
def test_find_the_fault_says_what_shape_it_wants(wrong):
    result = check("protein.find_the_fault", wrong, show=False)
    assert result.status == "wrong" and "a dict with the keys" in result.message


def test_the_faults_are_there():
    scope = {"torch": torch, "F": F, "check": lambda *_: None}
    exec(cell_source(f"notebooks/{NAME}", "def a(x, i, j)"), scope)
    x = protein_world(1, seed=1).backbones[0].double()
    turn = torch.tensor(Rotation.random(rng=np.random.default_rng(0)).as_matrix())
    versions = {"turns": x @ turn.T, "moves": x + 5, "mirror": x * torch.tensor([1.0, 1, -1])}
    rotations, origins = backbone_frames(x)
    for key, fault in RIGHT.items():
        see = lambda backbone, key=key: scope[key](backbone, 4, 9)  # noqa: E731
        same = {kind: torch.allclose(see(other), see(x), atol=1e-6) for kind, other in versions.items()}
        length = torch.isclose(see(x).norm(), (origins[9] - origins[4]).norm(), atol=1e-6)
        assert same["turns"] == (fault != "turns")
        assert same["moves"] == (fault != "moves")
        assert same["mirror"] == (fault == "mirror")
        assert bool(length) == (fault in ("none", "turns"))
    torch.testing.assert_close(scope["a"](x, 4, 9), rotations[4].T @ (origins[9] - origins[4]))


# --- the conditionals ---


def scores(fields, couplings, contacts, types, times=1.0):
    return fields + times * contacts.double() @ couplings[types]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *law: scores(*law), "are scores"),
        (lambda *law: scores(*law).log_softmax(1), "logarithms"),
        (lambda *law: law[0].softmax(1), "not heard"),
        (lambda *law: (-scores(*law)).softmax(1), "sign"),
        (lambda *law: scores(*law, times=2.0).softmax(1), "counted twice"),
        (lambda *law: scores(*law, times=0.5).softmax(1), "whole for both"),
        (lambda h, j, near, types: scores(h, j, near.triu(), types).softmax(1), "not only for the first"),
        (lambda h, j, near, types: scores(h, j, torch.ones_like(near), types).softmax(1), "only residues in contact"),
        (lambda *law: scores(*law).softmax(0), "over the types"),
        (lambda *law: scores(*law).softmax(1)[0], "a row a residue"),
    ],
)
def test_conditionals_hints(wrong, hint):
    result = check("protein.potts_conditionals", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_is_the_laws():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["protein.potts_conditionals"]
    world = protein_world(1, seed=2)
    law, types = world.laws[0], world.sequences[0]
    torch.testing.assert_close(solution(law.fields, law.couplings, law.contacts, types), law(types).exp())


# --- a verdict of one's own ---

ROWS = [0.005, -0.005, 0.01, -0.01] * 5


def test_a_verdict_must_be_earned():
    assert check("protein.own_verdict", ("no difference", ROWS, "no difference"), show=False).ok
    assert check("protein.own_verdict", ("higher", [d + 0.1 for d in ROWS], "supported"), show=False).ok
    assert check("protein.own_verdict", ("higher", [d - 0.1 for d in ROWS], "refuted"), show=False).ok
    assert check("protein.own_verdict", ("lower", [20 * d for d in ROWS], "open"), show=False).ok


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (("better", ROWS, "no difference"), "written down before"),
        (("higher", ROWS[:12], "no difference"), "20 seeds or more"),
        (("higher", [0.1] * 20, "supported"), "all equal"),
        (("higher", ROWS, "supported"), "interval at 99 %"),
        (("higher", [*ROWS[:-1], math.nan], "open"), "not finite"),
        (("higher", ROWS), "three things"),
    ],
)
def test_own_verdict_hints(wrong, hint):
    result = check("protein.own_verdict", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message
