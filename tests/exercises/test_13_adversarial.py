"""Exercises of chapter 13: a plausible mistake is told by its name."""

import pytest
import torch
from conftest import cell_source, exercise_answers

from tutorial_lib.adversarial import FGM
from tutorial_lib.lab import check, claim, load_evidence
from tutorial_lib.lab.claims import VERDICTS

NAME = "13_adversarial.ipynb"


@pytest.mark.parametrize(
    "wrong", [None, "refuted", {"notes": "refuted"}, dict.fromkeys(("notes", "abstracts", "departments"), ["open"])]
)
def test_other_rival_wants_three_verdicts(wrong):
    result = check("adversarial.other_rival", wrong, show=False)
    assert result.status in ("wrong", "todo") and (wrong is None or "keys notes, abstracts" in result.message)


@pytest.mark.parametrize("name", ["notes", "abstracts", "departments"])
def test_other_rival_is_decided_by_the_evidence(name):
    """One wrong verdict of three is found, and the hint tells the interval or names the chapter's own rival."""
    right = {}
    for short in ("notes", "abstracts", "departments"):
        stored = load_evidence(f"13_{short}")
        right[short] = claim("x", "FGM", "plain", evidence=stored, score="score", margin=0.02, show=False).verdict
    assert check("adversarial.other_rival", right, show=False).ok
    for verdict in set(VERDICTS) - {right[name]}:
        result = check("adversarial.other_rival", right | {name: verdict}, show=False)
        assert result.status == "wrong" and name in result.message
        assert "the interval is" in result.message or "the rival is 'plain'" in result.message


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
