"""Exercises of chapter 00: a plausible mistake is told by its name."""

import pytest
import torch
from conftest import cell_source

from tutorial_lib.lab import check

NAME = "00_start_here.ipynb"


def by_the_mean(low, high):
    return "supported" if low + high > 0 else "refuted"


def touching_counts(low, high):
    return "supported" if low >= 0 else "refuted" if high <= 0 else "open"


def signs_swapped(low, high):
    return "refuted" if low > 0 else "supported" if high < 0 else "open"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (by_the_mean, "holds zero"),
        (touching_counts, "touches zero"),
        (signs_swapped, "above zero"),
        ("open", "function"),
    ],
)
def test_verdict_hints(wrong, hint):
    result = check("start.verdict", wrong, show=False)
    assert result.status == "wrong" and hint in result.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda a, b: ((b - a).mean(), (a - b).std() / len(a) ** 0.5), "sign"),
        (lambda a, b: ((a - b).mean(), ((a.var() + b.var()) / len(a)) ** 0.5), "unpaired"),
        (lambda a, b: ((a - b).mean(), (a - b).std()), "root of n"),
        (lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5), "n - 1"),
        (lambda a, b: (a - b).mean(), "two numbers"),
        (lambda a, b: (a - b, a + b), "expected"),
    ],
)
def test_paired_effect_hints(wrong, hint):
    result = check("start.paired_effect", wrong, show=False)
    assert result.status == "wrong" and hint in result.message


@pytest.mark.parametrize(("wrong", "hint"), [("A", "paired"), ("C", "two generators"), ("b", "letter"), (2, "letter")])
def test_pairing_hints(wrong, hint):
    result = check("start.pairing", wrong, show=False)
    assert result.status == "wrong" and hint in result.message


def test_run_b_really_is_unpaired_and_the_others_are_paired():
    scope = {
        "torch": torch,
        "nn": torch.nn,
        "load_digits_split": lambda seed: seed,
        "train_and_score": lambda method, split, net, **rest: net.weight.detach().clone(),
    }
    exec(cell_source(f"notebooks/{NAME}", "def run_b"), scope)
    for run, paired in (("run_a", True), ("run_b", False), ("run_c", True)):
        assert torch.equal(scope[run]("plain", 3), scope[run]("noisy", 3)) == paired, run
