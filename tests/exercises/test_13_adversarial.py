"""Exercises of chapter 13: a plausible mistake is told by its name."""

import pytest
import torch
from conftest import cell_source, exercise_answers

from tutorial_lib.adversarial import FGM, PGD
from tutorial_lib.lab import check

NAME = "13_adversarial.ipynb"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ((1.0, 1.0), "surface"),
        ((0.25, 1.0), "add up"),
        ((0.75, 2.0), "put back"),
        ((0.75, 0.75), "left the ball"),
        ((float("nan"), 1.0), "add up"),
        (0.75, "two numbers"),
        ("far", "two numbers"),
    ],
)
def test_reach_hints(wrong, hint):
    result = check("adversarial.reach", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.mark.parametrize("right", [(0.75, 1), [0.75, 1.0], torch.tensor([0.75, 1.0])])
def test_reach_takes_any_pair(right):
    assert check("adversarial.reach", right, show=False).ok


@pytest.mark.parametrize(("steps", "length"), [(3, 0.75), (8, 1.0)])
@pytest.mark.filterwarnings("ignore:alpha")
def test_the_answer_is_what_the_library_does(steps, length):
    model = torch.nn.Linear(4, 1)
    step = PGD(model, "", epsilon=1.0, alpha=0.25, steps=steps).backward(lambda: model(torch.ones(1, 4)).sum())
    (r,) = step.perturbations
    assert r.norm().item() == pytest.approx(length, abs=1e-6)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [((1, 1), "gradient's sum"), ((2, 2), "what becomes of a factor"), ((2, 4), "what becomes"), (2, "two numbers")],
)
def test_learning_rate_hints(wrong, hint):
    result = check("adversarial.learning_rate", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.mark.parametrize(("optimizer", "multiple"), [(torch.optim.SGD, 2.0), (torch.optim.Adam, 1.0)])
def test_what_two_summed_gradients_are_worth(optimizer, multiple):
    def moved(twice):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1).double()
        before = model.weight.detach().clone()
        steps = optimizer(model.parameters(), lr=0.01)

        def loss():
            return model(torch.tensor([[1.0, 2.0, -1.0]]).double()).square().sum()

        if twice:
            FGM(model, "", epsilon=1e-9).backward(loss)
        else:
            loss().backward()
        steps.step()
        return model.weight.detach() - before

    torch.testing.assert_close(moved(True), multiple * moved(False), rtol=1e-5, atol=0)


def masked(g, tokens):
    return g * (tokens != 0)[..., None]


def size(g):
    return g.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]


def unsafe(g, tokens, epsilon):
    g = masked(g, tokens)
    return epsilon * g / g.flatten(1).norm(dim=1)[:, None, None]


def in_place(g, tokens, epsilon):
    g *= (tokens != 0)[..., None]
    return epsilon * g / size(g)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda g, tokens, epsilon: epsilon * g / size(g), "padding (token 0)"),
        (lambda g, tokens, epsilon: epsilon * masked(g, tokens) / size(g), "mask first"),
        (lambda g, tokens, epsilon: epsilon * masked(g, tokens) / masked(g, tokens).norm(), "whole batch"),
        (
            lambda g, tokens, epsilon: epsilon * masked(g, tokens) / g.norm(dim=2, keepdim=True),
            "each word",
        ),
        (lambda g, tokens, epsilon: epsilon * masked(g, tokens).sign(), "FGSM"),
        (lambda g, tokens, epsilon: masked(g, tokens) / size(masked(g, tokens)), "epsilon, not 1"),
        (lambda g, tokens, epsilon: -epsilon * masked(g, tokens) / size(masked(g, tokens)), "the sign"),
        (unsafe, "0 / 0 is NaN"),
        (in_place, "changed its arguments"),
    ],
)
def test_fgm_push_hints(wrong, hint):
    result = check("adversarial.fgm_push", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_of_fgm_push_is_the_librarys():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["adversarial.fgm_push"]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(9, 4, padding_idx=0), torch.nn.Flatten(), torch.nn.Linear(12, 1))
    tokens = torch.tensor([[1, 2, 3], [4, 0, 0], [0, 0, 0]])

    def loss(e):
        return model[2](e.flatten(1)).square().sum()

    e = model[0](tokens).detach().requires_grad_()
    (g,) = torch.autograd.grad(loss(e), e)
    (r,) = FGM(model, epsilon=0.7).backward(lambda: loss(model[0](tokens))).perturbations
    torch.testing.assert_close(solution(g, tokens, 0.7), r)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda r, epsilon: r * epsilon / size(r), "stretched"),
        (lambda r, epsilon: r * epsilon / r.flatten(1).norm(dim=1)[:, None, None], "stays 0"),
        (lambda r, epsilon: r * (epsilon / r.norm()).clamp_max(1), "whole batch"),
        (lambda r, epsilon: r.clamp(-epsilon, epsilon), "cube"),
        (lambda r, epsilon: r + 0, "nothing was brought back"),
        (lambda r, epsilon: r.mul_((epsilon / size(r)).clamp_max(1)), "changed its argument"),
        (lambda r, epsilon: r / size(r).clamp_min(1), "not 1"),
        (lambda r, epsilon: r * 0.5, "norm > epsilon"),
    ],
)
def test_project_hints(wrong, hint):
    result = check("adversarial.project", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


RIGHT = {"a": "one norm", "b": "lost backup", "c": "never projects", "d": "padding"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"a": "none"}, "two texts"),
        (RIGHT | {"b": "never projects"}, "two rounds"),
        (RIGHT | {"c": "none"}, "three steps"),
        (RIGHT | {"d": "none"}, "token that is 0"),
        ({"a": "one norm"}, "keys a, b, c, d"),
        (RIGHT | {"a": "typo"}, "keys a, b, c, d"),
        (RIGHT | {"a": ["none"]}, "dict"),
        ("none", "dict"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    result = check("adversarial.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_four_snippets_really_have_those_faults():
    scope = {"torch": torch, "check": lambda *_: None}
    exec(cell_source(f"notebooks/{NAME}", "def a(e, g, tokens)"), scope)
    generator = torch.Generator().manual_seed(0)
    e, g = torch.zeros(2, 3, 4), torch.randn(2, 3, 4, generator=generator)
    tokens = torch.tensor([[1, 2, 3], [4, 5, 0]])

    def lengths(moved):
        return moved.flatten(1).norm(dim=1)

    a = scope["a"](e, g, tokens)
    assert a.norm().item() == pytest.approx(1) and (lengths(a) < 0.95).all() and not a[1, 2].any()
    weight = torch.ones(5)
    assert not torch.equal(scope["b"](weight, [torch.ones(5), torch.ones(5)]), torch.ones(5))
    assert torch.equal(scope["b"](weight, [torch.ones(5)]), torch.ones(5))  # with one step nobody notices
    torch.testing.assert_close(lengths(scope["c"](e, [g, g, g], tokens)), torch.full((2,), 0.6))
    d = scope["d"](e, g, tokens)
    torch.testing.assert_close(lengths(d), torch.ones(2))
    assert d[1, 2].norm() > 0.1
