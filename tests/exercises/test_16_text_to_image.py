"""Exercises of chapter 16: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers

from tutorial_lib.diffusion import ddim_step, noise_schedule, predict, threshold
from tutorial_lib.lab import check

NAME = "16_text_to_image.ipynb"
SCALES = {"paper, w = 2": 3.0, "paper, w = 0": 1.0, "Imagen, s = 7.5": 7.5, "no text at all": 0.0}


# --- conventions ---


@pytest.mark.parametrize(
    ("key", "wrong", "hint"),
    [
        ("paper, w = 2", 2.0, "w + 1"),
        ("paper, w = 0", 0.0, "w + 1"),
        ("Imagen, s = 7.5", 8.5, "ours"),
        ("Imagen, s = 7.5", 6.5, "ours"),
        ("no text at all", -1.0, "unconditional"),
        ("no text at all", 1.0, "unconditional"),
    ],
)
def test_the_conventions_hint(key, wrong, hint):
    result = check("diffusion.conventions", SCALES | {key: wrong}, show=False)
    assert result.status == "wrong" and hint in result.message and key in result.message


@pytest.mark.parametrize("wrong", [{}, 3.0, {"paper, w = 2": 3.0}])
def test_the_conventions_say_what_shape_they_want(wrong):
    result = check("diffusion.conventions", wrong, show=False)
    assert result.status == "wrong" and "a dict with the keys" in result.message


def test_one_missing_scale_is_not_done_yet():
    assert check("diffusion.conventions", SCALES | {"no text at all": None}, show=False).status == "todo"


# --- a step back ---


def mixed(picture, noise, then):
    return then**0.5 * picture + (1 - then) ** 0.5 * noise


def picture_of(x, v, now):
    return now**0.5 * x - (1 - now) ** 0.5 * v


def uncut(x, v, now, then):
    picture = picture_of(x, v, now)
    return mixed(picture, (x - now**0.5 * picture) / (1 - now) ** 0.5, then)


def old_noise(x, v, now, then):
    return mixed(picture_of(x, v, now).clamp(-1, 1), (1 - now) ** 0.5 * x + now**0.5 * v, then)


def v_for_noise(x, v, now, then):
    picture = ((x - (1 - now) ** 0.5 * v) / now**0.5).clamp(-1, 1)
    return mixed(picture, (x - now**0.5 * picture) / (1 - now) ** 0.5, then)


def no_roots(x, v, now, then):
    picture = picture_of(x, v, now).clamp(-1, 1)
    return then * picture + (1 - then) * (x - now**0.5 * picture) / (1 - now) ** 0.5


def guess_only(x, v, now, then):
    return picture_of(x, v, now).clamp(-1, 1)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (uncut, "not cut"),
        (old_noise, "derive the noise again"),
        (v_for_noise, "taken for the noise"),
        (no_roots, "roots"),
        (guess_only, "mix it"),
        (lambda x, v, now, then: x, "mix anew"),
    ],
)
def test_the_step_hints(wrong, hint):
    result = check("diffusion.step_back", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_is_the_librarys_step():
    solution, alpha_bar = exercise_answers(f"notebooks/solutions/{NAME}")["diffusion.step_back"], noise_schedule(50)
    x, v = (torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    picture = threshold(predict(v, x, 30, alpha_bar, given="v").picture)
    made = solution(x, v, float(alpha_bar[30]), float(alpha_bar[12]))
    torch.testing.assert_close(made, ddim_step(picture, x, 30, alpha_bar, previous=12))


# --- find the bug ---

RIGHT = {"a": "unclean end", "b": "sign", "c": "none", "d": "schedule", "e": "old noise"}


@pytest.mark.parametrize("key", RIGHT)
def test_find_the_bug_asks_about_the_one_that_is_wrong(key):
    other = "none" if RIGHT[key] != "none" else "sign"
    result = check("diffusion.find_the_bug", RIGHT | {key: other}, show=False)
    assert result.status == "wrong" and f"snippet {key}" in result.message


@pytest.mark.parametrize("wrong", [{}, {"a": "none"}, RIGHT | {"e": "typo"}, "sign"])
def test_find_the_bug_says_what_shape_it_wants(wrong):
    result = check("diffusion.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and "a dict with the keys" in result.message


def test_the_bugs_are_there():
    scope = {"torch": torch, "check": lambda *_: None}
    exec(cell_source(f"notebooks/{NAME}", "def a(picture, noise, alpha_bar, steps)"), scope)
    alpha_bar, noise = noise_schedule(10), torch.randn(500, generator=torch.Generator().manual_seed(0))
    left = scope["a"](lambda t: torch.zeros(500), lambda t: noise, alpha_bar, [9, 4])
    assert float(left.std()) > 0.1  # noise stays
    assert scope["b"](1.0, 0.0, 2.0) < 0  # away from what was told
    x, v = torch.tensor(2.0), torch.tensor(1.0)
    assert float(scope["c"](x, v, 0.64)) == pytest.approx(1.0)
    assert float(scope["d"]()[-1]) > 0.1
    made = scope["e"](torch.tensor(2.0), torch.tensor(0.0), 0.64, 0.64)
    assert float(made) != pytest.approx(2.0)  # a step that goes nowhere must change nothing


# --- dynamic threshold ---


def own(pictures, quantile):
    return torch.quantile(pictures.abs().flatten(1), quantile, dim=1).reshape(-1, 1, 1, 1)


def for_all(pictures, quantile):
    s = torch.quantile(pictures.abs(), quantile).clamp(min=1)
    return pictures.clamp(-s, s) / s


def signed(pictures, quantile):
    s = torch.quantile(pictures.flatten(1), quantile, dim=1).clamp(min=1).reshape(-1, 1, 1, 1)
    return pictures.clamp(-s, s) / s


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, q: p.clamp(-1, 1), "static"),
        (lambda p, q: p.clamp(-own(p, q), own(p, q)) / own(p, q), "below 1"),
        (for_all, "of its own"),
        (signed, "absolute"),
        (lambda p, q: p / own(p, q).clamp(min=1), "before you divide"),
    ],
)
def test_the_threshold_hints(wrong, hint):
    result = check("diffusion.dynamic_threshold", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


# --- one's own verdict ---


def test_the_verdict_must_be_earned():
    differences = np.random.default_rng(0).normal(0.0, 0.1, 20).tolist()
    assert check("diffusion.own_verdict", ("higher", differences, "open"), show=False).ok
    wrong_ones = [
        (("higher", differences, "supported"), "decides nothing"),
        (("higher", differences[:9], "open"), "20"),
        (("yes", differences, "open"), "higher"),
        (("lower", [0.0] * 20, "no difference"), "seed"),
    ]
    for wrong, hint in wrong_ones:
        result = check("diffusion.own_verdict", wrong, show=False)
        assert result.status == "wrong" and hint in result.message, result.message
