"""Exercises of chapter 00: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import cell_source

from tutorial_lib.lab import check, claim

NAME = "00_start_here.ipynb"


def right(low, high, margin):
    if low > 0:
        return "supported"
    if high < 0:
        return "refuted"
    return "no difference" if -margin < low and high < margin else "open"


def by_the_mean(low, high, margin):
    return "supported" if low + high > 0 else "refuted"


def touching_counts(low, high, margin):
    return "supported" if low >= 0 else "refuted" if high <= 0 else right(low, high, margin)


def signs_swapped(low, high, margin):
    return {"refuted": "supported", "supported": "refuted"}.get(right(low, high, margin), right(low, high, margin))


def three_only(low, high, margin):
    return right(low, high, 0)


def margin_first(low, high, margin):
    return "no difference" if -margin < low and high < margin else right(low, high, margin)


def one_end_inside(low, high, margin):
    given = right(low, high, margin)
    return "no difference" if given == "open" and (-margin < low or high < margin) else given


def margin_counts_as_inside(low, high, margin):
    given = right(low, high, margin)
    return "no difference" if given == "open" and -margin <= low and high <= margin else given


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (by_the_mean, "inside the margin"),
        (touching_counts, "touches zero"),
        (signs_swapped, "above zero"),
        (three_only, "too small to matter"),
        (margin_first, "above zero comes first"),
        (one_end_inside, "beyond the margin"),
        (margin_counts_as_inside, "touches the margin"),
        ("open", "function"),
    ],
)
def test_verdict_hints(wrong, hint):
    result = check("start.verdict", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_right_verdict_is_what_claim_says():
    assert check("start.verdict", right, show=False).ok
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        differences = rng.normal(rng.choice([-1.0, 0.0, 1.0]), rng.choice([0.1, 1.0]), 6)
        one = claim("it helps", differences, 0 * differences, margin=0.5, show=False)
        assert right(one.low, one.high, 0.5) == one.verdict
        seen.add(one.verdict)
    assert seen == {"supported", "refuted", "no difference", "open"}


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
