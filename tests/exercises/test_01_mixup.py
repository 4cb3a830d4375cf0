"""Exercises of chapter 01: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from torch.nn import functional as F

from tutorial_lib.lab import check
from tutorial_lib.mixup import mixup

NAME = "01_mixup.ipynb"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (0.5, "lam itself"),
        (1, "nothing is blended"),
        (2 / 3, "independent"),
        (0.25, "lighter"),
        (0.6, "evenly"),
        (float("nan"), "evenly"),
        ("3/4", "number"),
        (torch.ones(2), "number"),
    ],
)
def test_heavier_hints(wrong, hint):
    result = check("mixup.heavier", wrong, show=False)
    assert result.status == "wrong" and hint in result.message


@pytest.mark.parametrize("right", [0.75, np.float64(0.751), torch.tensor(0.748)])
def test_heavier_takes_any_kind_of_number_also_from_a_simulation(right):
    assert check("mixup.heavier", right, show=False).ok


def spread(lam, values):
    return lam.view(-1, *[1] * (values.ndim - 1)) if lam.ndim else lam


def blend(values, lam, index):
    return spread(lam, values) * values + (1 - spread(lam, values)) * values[index]


def targets_left_alone(x, y, lam, index):
    return blend(x, lam, index), y


def wrong_side(x, y, lam, index):
    return blend(x, 1 - lam, index), blend(y, 1 - lam, index)


def targets_on_the_wrong_side(x, y, lam, index):
    return blend(x, lam, index), blend(y, 1 - lam, index)


def inverse_partners(x, y, lam, index):
    return blend(x, lam, index), blend(y, lam, index.argsort())


def one_lam_for_all(x, y, lam, index):
    return blend(x, lam.flatten()[0], index), blend(y, lam.flatten()[0], index)


def no_reshape(x, y, lam, index):
    return lam * x + (1 - lam) * x[index], lam * y + (1 - lam) * y[index]


def in_place(x, y, lam, index):
    x.copy_(blend(x, lam, index))
    return x, blend(y, lam, index)


def one_result(x, y, lam, index):
    return blend(x, lam, index)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (targets_left_alone, "targets came back unmixed"),
        (wrong_side, "wrong side"),
        (targets_on_the_wrong_side, "wrong side"),
        (inverse_partners, "row index[i]"),
        (one_lam_for_all, "lam[i]"),
        (no_reshape, "reshaped"),
        (in_place, "changed its arguments"),
        (one_result, "two tensors"),
    ],
)
def test_mix_batch_hints(wrong, hint):
    result = check("mixup.mix_batch", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_of_mix_batch_is_the_librarys_mixup():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["mixup.mix_batch"]
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(6, 3, 4, 4, generator=g), torch.eye(6)
    for per_sample in (False, True):
        mixed = mixup(x, y, alpha=1.0, per_sample=per_sample, generator=g)
        got = solution(x, y, mixed.lam, mixed.index)
        torch.testing.assert_close(got[0], mixed.inputs)
        torch.testing.assert_close(got[1], mixed.targets)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda logits, t: F.cross_entropy(logits.softmax(1), t), "twice"),
        (lambda logits, t: -(t * logits.log_softmax(1)).sum(), "sum over the batch"),
        (lambda logits, t: -(t * logits.log_softmax(1)).mean(), "number of classes"),
        (lambda logits, t: (t * logits.log_softmax(1)).sum(1).mean(), "sign"),
        (lambda logits, t: F.cross_entropy(logits, t.argmax(1)), "argmax"),
        (lambda logits, t: -(t * logits.softmax(1).log()).sum(1).mean(), "largest logit"),
        (lambda logits, t: -(t * logits.log_softmax(1)).sum(1), "one number"),
        (lambda logits, t: F.cross_entropy(logits, t, label_smoothing=0.1), "log-probability"),
    ],
)
def test_soft_cross_entropy_hints(wrong, hint):
    result = check("mixup.soft_cross_entropy", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


RIGHT = {"A": "side", "B": "pairs", "C": "double softmax", "D": "none"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"A": "none"}, "lam = 0.9"),
        (RIGHT | {"B": "none"}, "partners"),
        (RIGHT | {"C": "none"}, "probabilities"),
        (RIGHT | {"D": "side"}, "two losses"),
        ({"A": "side"}, "keys A, B, C, D"),
        (RIGHT | {"A": "typo"}, "keys A, B, C, D"),
        ("none", "dict"),
        (RIGHT | {"A": ["side"]}, "dict"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    result = check("mixup.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and hint in result.message


def test_the_four_steps_really_have_those_faults():
    scope = {"torch": torch, "F": F}
    exec(cell_source(f"notebooks/{NAME}", "def step_a"), scope)
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 5, generator=g), torch.arange(8) % 5
    t, lam, index = F.one_hot(y, 5).float(), 0.8, torch.arange(8).roll(3)
    net = torch.nn.Linear(5, 5)
    right = F.cross_entropy(net(lam * x + (1 - lam) * x[index]), lam * t + (1 - lam) * t[index])
    torch.testing.assert_close(scope["step_d"](net, x, y, lam, index), right)
    swapped = F.cross_entropy(net(lam * x + (1 - lam) * x[index]), (1 - lam) * t + lam * t[index])
    torch.testing.assert_close(scope["step_a"](net, x, y, lam, index), swapped)
    assert abs(scope["step_c"](net, x, t, lam, index) - right) > 1e-3
    seen = []
    torch.manual_seed(0)
    scope["step_b"](lambda mixed: seen.append(mixed) or torch.zeros(8, 5, requires_grad=True), x, t, lam)
    torch.manual_seed(0)
    first, second = torch.randperm(8), torch.randperm(8)
    torch.testing.assert_close(seen[0], lam * x + (1 - lam) * x[first])
    assert not torch.equal(first, second)


def around(mean, spread, pairs=20):
    return (mean + spread * torch.linspace(-1, 1, pairs)).tolist()


@pytest.mark.parametrize(
    ("differences", "right"),
    [
        (around(0.05, 0.03), "supported"),
        (around(-0.05, 0.03), "refuted"),
        (around(0.0, 0.01), "no difference"),
        (around(0.002, 0.06), "open"),
        (np.array(around(0.05, 0.03)), "supported"),
        (torch.tensor(around(0.001, 0.0005)), "supported"),  # sure, though smaller than the margin
    ],
)
def test_own_verdict_is_held_against_the_differences_that_came_with_it(differences, right):
    for verdict in ("supported", "refuted", "no difference", "open"):
        result = check("mixup.own_verdict", ("lower", differences, verdict), show=False)
        assert result.ok == (verdict == right), result.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("supported", "three things"),
        (("better", around(0.05, 0.03), "supported"), "before the run"),
        (("higher", around(0.05, 0.03, pairs=5), "supported"), "20 seeds"),
        (("higher", [around(0.05, 0.03)], "supported"), "20 seeds"),
        (("higher", "many", "supported"), "list of numbers"),
        (("higher", [*around(0.05, 0.03), float("nan")], "supported"), "not finite"),
        (("higher", [100 * value for value in around(0.05, 0.03)], "supported"), "shares"),
        (("higher", [0.01] * 20, "supported"), "does your seed"),
        (("higher", around(0.002, 0.06), "supported"), "mean alone"),
        (("no difference", around(0.002, 0.06), "no difference"), "Not to see"),
        (("higher", around(0.05, 0.03), "better"), "above 0"),
    ],
)
def test_own_verdict_hints(wrong, hint):
    result = check("mixup.own_verdict", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_own_verdict_waits_until_all_three_are_there():
    assert check("mixup.own_verdict", ("higher", None, None), show=False).status == "todo"
