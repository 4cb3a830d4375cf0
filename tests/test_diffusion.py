"""Diffusion: schedules, three ways to say a guess, steps back; held to closed forms for Gaussians and to diffusers."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from tutorial_lib.diffusion import (
    Prediction,
    ddim_step,
    ddpm_step,
    diffuse,
    noise_schedule,
    predict,
    sample,
    sampling_steps,
    target,
    threshold,
)

STORED = json.loads((ROOT / "tests/vectors/diffusion_diffusers.json").read_text())
SCHEDULES = {kind: noise_schedule(40, kind=kind) for kind in ("cosine", "linear")}


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- Schedules ------------------------------------------------------------------------------------------------------


def test_the_published_linear_schedule():
    alpha_bar = noise_schedule(1000, kind="linear")
    assert float(alpha_bar[-1]) == pytest.approx(4.04e-5, rel=2e-3)
    assert float(alpha_bar[0]) == pytest.approx(1 - 1e-4)


@pytest.mark.parametrize(("steps", "first"), [(50, 0.00175), (100, 0.000631), (200, 0.000255), (1000, 4.13e-5)])
def test_the_published_cosine_schedule(steps, first):
    alpha_bar = noise_schedule(steps)
    assert 1 - float(alpha_bar[0]) == pytest.approx(first, rel=5e-3)
    assert float(alpha_bar[steps // 2 - 1]) == pytest.approx(0.4938, abs=1e-4)
    betas = 1 - alpha_bar[1:] / alpha_bar[:-1]
    assert (betas[:-1] < 0.999).all()
    assert float(betas[-1]) == pytest.approx(0.999)  # the one that is cut


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_the_schedules_are_diffusers(kind):
    torch.testing.assert_close(SCHEDULES[kind], double(STORED["alpha_bar"][kind]), rtol=2e-5, atol=1e-12)


def test_the_linear_schedule_must_be_rescaled():
    """TeaPearce's script takes the betas of T = 1000 for T = 400: .0173 of the picture's variance is left."""
    unscaled = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 400, dtype=torch.float64), 0)
    assert float(unscaled[-1]) == pytest.approx(0.0173, abs=3e-4)
    assert float(noise_schedule(400, kind="linear")[-1]) < 1e-4


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@hypothesis_given(steps=st.integers(21, 400))
@settings(max_examples=20, deadline=None)
def test_a_schedule_falls_from_near_one_to_near_nothing(kind, steps):
    alpha_bar = noise_schedule(steps, kind=kind)
    assert alpha_bar.shape == (steps,) and alpha_bar.dtype == torch.float64
    assert (alpha_bar[1:] < alpha_bar[:-1]).all() and (alpha_bar > 0).all() and (alpha_bar < 1).all()
    assert float(alpha_bar[-1]) < 1e-4


# --- There, and three ways to say it --------------------------------------------------------------------------------


def test_diffuse_keeps_the_variance():
    alpha_bar = noise_schedule(50)
    x = diffuse(normal(200_000, 1), 25, alpha_bar, noise=normal(200_000, 1, seed=1))
    assert float(x.var()) == pytest.approx(1, abs=0.01)


def test_step_minus_one_is_the_clean_picture():
    picture = normal(2, 3)
    made = diffuse(picture, torch.tensor([-1, -1]), noise_schedule(50), noise=normal(2, 3, seed=1))
    assert torch.equal(made, picture)


def test_diffuse_takes_each_pictures_own_step():
    alpha_bar, picture, noise = noise_schedule(50), normal(3, 2), normal(3, 2, seed=1)
    together = diffuse(picture, torch.tensor([0, 20, 49]), alpha_bar, noise=noise)
    for row, step in enumerate((0, 20, 49)):
        assert torch.equal(together[row], diffuse(picture, step, alpha_bar, noise=noise)[row])
        level = alpha_bar[step]
        torch.testing.assert_close(together[row], level.sqrt() * picture[row] + (1 - level).sqrt() * noise[row])


@pytest.mark.parametrize("kind", ["noise", "picture", "v"])
@hypothesis_given(seed=st.integers(0, 1000), t=st.integers(0, 35))
@settings(max_examples=25, deadline=None)
def test_each_way_gives_the_other_two(kind, seed, t):
    picture, noise, alpha_bar = normal(2, 3, seed=seed), normal(2, 3, seed=seed + 1), SCHEDULES["cosine"]
    x = diffuse(picture, t, alpha_bar, noise=noise)
    found = predict(target(picture, noise, t, alpha_bar, kind=kind), x, t, alpha_bar, given=kind)
    wanted = Prediction(picture, noise, target(picture, noise, t, alpha_bar, kind="v"))
    for mine, right in zip(found, wanted):
        torch.testing.assert_close(mine, right, rtol=1e-7, atol=1e-7)


def test_v_by_hand():
    # alpha_bar .64: x = .8 * 1 + .6 * 2 = 2, v = .8 * 2 - .6 * 1 = 1, back: .8 * 2 - .6 * 1 = 1, .6 * 2 + .8 * 1 = 2
    alpha_bar, one = double([0.64]), torch.ones(1, 1, dtype=torch.float64)
    assert diffuse(one, 0, alpha_bar, noise=2 * one).item() == pytest.approx(2)
    assert target(one, 2 * one, 0, alpha_bar, kind="v").item() == pytest.approx(1)
    assert [part.item() for part in predict(one, 2 * one, 0, alpha_bar, given="v")] == pytest.approx([1, 2, 1])


def test_an_error_in_the_noise_grows_near_pure_noise():
    """Why v: the same small error of the output moves the picture by 1 in v, and by hundreds in the noise."""
    alpha_bar, x = noise_schedule(200), normal(1, 5)
    moved = {
        kind: float((predict(x + 1e-3, x, 199, alpha_bar, given=kind).picture
                     - predict(x, x, 199, alpha_bar, given=kind).picture).abs().max())
        for kind in ("noise", "v")
    }  # fmt: skip
    assert moved["v"] < 1.001e-3 and moved["noise"] > 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types_are_kept(dtype):
    x, alpha_bar = normal(2, 3).to(dtype), noise_schedule(50)
    made = [diffuse(x, 10, alpha_bar, noise=x), *predict(x, x, 10, alpha_bar, given="v"),
            ddim_step(x, x, 10, alpha_bar, previous=5, eta=0.5), ddpm_step(x, x, 10, alpha_bar, previous=5),
            threshold(x, rule="dynamic")]  # fmt: skip
    assert {part.dtype for part in made} == {dtype}


# --- Steps back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda c: "-".join(str(c[k]) for k in list(c)[:6]))
def test_a_step_is_diffusers(case):
    alpha_bar = double(STORED["alpha_bar"][case["schedule"]])
    x, output, noise = (double(STORED[name]) for name in ("input", "output", "noise"))
    picture = predict(output, x, case["t"], alpha_bar, given=case["given"]).picture
    picture = threshold(picture) if case["clip"] else picture
    if case["way"] == "ddim":
        made = ddim_step(picture, x, case["t"], alpha_bar, previous=case["previous"], eta=case["eta"], noise=noise)
    else:
        options = {"previous": case["previous"], "variance": case["variance"], "noise": double(case["noise"])}
        made = ddpm_step(picture, x, case["t"], alpha_bar, **options)
    # It holds its alphas in float32 in places.
    torch.testing.assert_close(made, double(case["x"]), rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize(("s", "t"), [(10, 11), (5, 30), (0, 39)])
def test_the_small_variance_is_bayes_for_one_picture(s, t):
    """Given x0, (x_s, x_t) is Gaussian: condition its covariance matrix, and compare."""
    alpha_bar = SCHEDULES["linear"]
    at_s, at_t = float(alpha_bar[s]), float(alpha_bar[t])
    alpha = at_t / at_s
    cov = np.array([[1 - at_s, math.sqrt(alpha) * (1 - at_s)], [math.sqrt(alpha) * (1 - at_s), 1 - at_t]])
    x0, xt = 0.7, -1.3
    mean = math.sqrt(at_s) * x0 + cov[0, 1] / cov[1, 1] * (xt - math.sqrt(at_t) * x0)
    variance = cov[0, 0] - cov[0, 1] ** 2 / cov[1, 1]
    step = [
        ddpm_step(double([[x0]]), double([[xt]]), t, alpha_bar, previous=s, noise=double([[z]])).item() for z in (0, 1)
    ]
    assert step[0] == pytest.approx(mean) and (step[1] - step[0]) ** 2 == pytest.approx(variance)


def gaussian(mean, deviation, alpha_bar):
    """The exact model of normal data: E[x0 | x_t]."""

    def model(x, t):
        level = alpha_bar[t].reshape(-1, 1)
        gain = level.sqrt() * deviation**2 / (level * deviation**2 + 1 - level)
        return mean + gain * (x - level.sqrt() * mean)

    return model


def law(mean, deviation, alpha_bar, count, way, **options):
    """Mean and deviation of what a sampler draws. Each step is affine in x and its own noise, so two probes find it."""
    model, steps = gaussian(mean, deviation, alpha_bar), sampling_steps(len(alpha_bar), count)
    centre, variance = 0.0, 1.0
    for t, previous in zip(steps, [*steps[1:], -1]):
        probe, zero = double([[0.0], [1.0]]), torch.zeros(2, 1, dtype=torch.float64)
        guess = model(probe, torch.full((2,), t))
        still = way(guess, probe, t, alpha_bar, previous=previous, noise=zero, **options)
        moved = way(guess, probe, t, alpha_bar, previous=previous, noise=zero + 1, **options)
        slope, added = float(still[1] - still[0]), float(moved[0] - still[0])
        centre, variance = slope * centre + float(still[0]), slope**2 * variance + added**2
    return centre, math.sqrt(variance)


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_ddim_draws_the_gaussian_it_was_given(kind):
    alpha_bar = noise_schedule(1000, kind=kind)
    errors = []
    for count in (25, 100, 1000):
        mean, deviation = law(0.6, 0.3, alpha_bar, count, ddim_step)
        errors.append(max(abs(mean - 0.6), abs(deviation - 0.3)))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.005


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_draws_the_gaussian_it_was_given(variance):
    alpha_bar = noise_schedule(1000)
    mean, deviation = law(0.6, 0.3, alpha_bar, 1000, ddpm_step, variance=variance)
    assert mean == pytest.approx(0.6, abs=0.005) and deviation == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_each_variance_is_exact_where_it_should_be(count):
    """The large one for data that are noise themselves, at any number of steps; the small one for a single picture."""
    alpha_bar = SCHEDULES["cosine"]
    assert law(0.5, 0.0, alpha_bar, count, ddpm_step, variance="small") == pytest.approx((0.5, 0.0), abs=1e-6)
    # The last step gives the guess, whose deviation is alpha_bar_0's root less than 1; before it, all is exact.
    mean, deviation = law(0.0, 1.0, alpha_bar, count, ddpm_step, variance="large")
    assert (mean, deviation) == pytest.approx((0.0, math.sqrt(alpha_bar[0])), abs=1e-9)


def test_ddim_of_a_gaussian_follows_the_closed_form():
    """Without added noise, x_T is mapped by the flow to m + s x_T: every draw keeps its place in the law."""
    alpha_bar = noise_schedule(1000)
    start = double([[-2.0], [-0.5], [0.0], [1.5]])
    made = sample(gaussian(0.2, 0.5, alpha_bar), start, alpha_bar, given="picture", count=1000, rule=None)
    torch.testing.assert_close(made, 0.2 + 0.5 * start, rtol=0, atol=0.01)


@pytest.mark.parametrize(("t", "previous"), [(39, 38), (39, 12), (20, 0), (3, -1)])
def test_ddim_with_eta_one_is_ddpm(t, previous):
    picture, x, noise = normal(2, 3), normal(2, 3, seed=1), normal(2, 3, seed=2)
    for alpha_bar in SCHEDULES.values():
        ddim = ddim_step(picture, x, t, alpha_bar, previous=previous, eta=1.0, noise=noise)
        torch.testing.assert_close(ddim, ddpm_step(picture, x, t, alpha_bar, previous=previous, noise=noise))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_last_step_adds_no_noise(variance):
    """The small variance is 0 there by its formula; the large one is not, and DDPM's code leaves it out."""
    picture, x = normal(2, 3), normal(2, 3, seed=1)
    made = ddpm_step(picture, x, 4, SCHEDULES["cosine"], previous=-1, variance=variance, noise=torch.ones_like(x))
    torch.testing.assert_close(made, picture)


def test_a_cut_picture_needs_its_own_noise():
    """The cut picture and the model's old noise no longer make up x; the noise that is derived anew does."""
    alpha_bar, t, s = noise_schedule(50), 45, 40
    picture = normal(4000, 1).sign() * 0.9  # the data
    x = diffuse(picture, t, alpha_bar, noise=normal(4000, 1, seed=1))
    wild = predict(normal(4000, 1, seed=2), x, t, alpha_bar, given="noise")  # a bad model
    cut = threshold(wild.picture)
    mixed = alpha_bar[s].sqrt() * cut + (1 - alpha_bar[s]).sqrt() * wild.noise  # the bug
    remade = alpha_bar[t].sqrt() * cut + (1 - alpha_bar[t]).sqrt() * wild.noise
    assert not torch.allclose(remade, x, atol=0.1)  # the pair no longer makes up x
    right = ddim_step(cut, x, t, alpha_bar, previous=s)
    derived = predict(cut, x, t, alpha_bar, given="picture").noise
    torch.testing.assert_close(right, alpha_bar[s].sqrt() * cut + (1 - alpha_bar[s]).sqrt() * derived)
    assert not torch.allclose(right, mixed, atol=0.1)


def test_a_clean_end_that_is_not_clean_leaves_noise():
    """Many codes end at alpha_bar[0] instead of 1 (``set_alpha_to_one=False``): a rest of the noise stays for good."""
    alpha_bar, x, picture = noise_schedule(10), normal(1000, 1), torch.zeros(1000, 1, dtype=torch.float64)
    stopped_short = ddim_step(picture, x, 1, alpha_bar, previous=0)
    assert float(stopped_short.std()) > 0.4  # of ten steps, the first already noises by a half
    assert float(ddim_step(picture, x, 1, alpha_bar, previous=-1).std()) == 0


# --- Which steps ----------------------------------------------------------------------------------------------------


def test_the_steps_are_diffusers():
    for spacing, steps in STORED["spacings"].items():
        assert sampling_steps(STORED["steps"], STORED["count"], spacing=spacing) == steps


def test_leading_never_sees_pure_noise():
    assert sampling_steps(200, 10, spacing="leading")[0] == 180
    assert float(noise_schedule(200)[180]) > 0.02  # a fiftieth of the variance is said to be picture
    assert sampling_steps(200, 10, spacing="trailing")[0] == sampling_steps(200, 10)[0] == 199


def test_the_popular_previous_step_is_not_the_next_one():
    """diffusers takes t - T // count: right for "leading", and for no other spacing where that does not divide."""
    steps = sampling_steps(40, 7, spacing="linspace")
    guessed = [t - 40 // 7 for t in steps]
    assert guessed[:-1] != steps[1:] and guessed[-1] < -1


@hypothesis_given(
    total=st.integers(1, 300), share=st.floats(0, 1), spacing=st.sampled_from(["linspace", "trailing", "leading"])
)
@settings(max_examples=60, deadline=None)
def test_steps_fall_and_stay_in_range(total, share, spacing):
    count = max(1, round(share * total))
    steps = sampling_steps(total, count, spacing=spacing)
    assert len(steps) == count and all(a > b for a, b in zip(steps, steps[1:]))
    assert steps[0] <= total - 1 and steps[-1] >= 0
    assert spacing == "leading" or steps[0] == total - 1
    assert spacing == "trailing" or steps[-1] == 0 or count == 1


# --- Range and the loop ---------------------------------------------------------------------------------------------


def test_the_dynamic_rule_looks_at_each_picture():
    pictures = double([[0.5, 0.4, -0.1], [4.0, -2.0, 0.5]])
    made = threshold(pictures, rule="dynamic", quantile=1.0)
    torch.testing.assert_close(made, double([[0.5, 0.4, -0.1], [1.0, -0.5, 0.125]]))
    many = 3 * normal(4, 50)
    s = torch.quantile(many.abs(), 0.9, dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(threshold(many, rule="dynamic", quantile=0.9), many.clamp(-s, s) / s)
    halfway = threshold(pictures, rule="dynamic", quantile=0.5)  # the middle absolute value is 2
    torch.testing.assert_close(halfway[1], double([1.0, -1.0, 0.25]))


def test_a_limit_of_one_makes_the_dynamic_rule_static():
    """The default sample_max_value = 1.0 of diffusers."""
    pictures = 3 * normal(4, 10)
    assert torch.equal(threshold(pictures, rule="dynamic", limit=1.0), threshold(pictures))
    assert not torch.allclose(threshold(pictures, rule="dynamic"), threshold(pictures))
    assert float(threshold(pictures, rule="dynamic", limit=2.0).abs().max()) == 1


def test_sample_is_its_own_loop_written_out():
    alpha_bar, start = noise_schedule(50), normal(3, 2)
    model = lambda x, t: torch.tanh(x) * (1 + t[:, None] / 50)  # noqa: E731
    x, trace = start, []
    for now, then in ((49, 24), (24, 0), (0, -1)):
        picture = threshold(predict(model(x, torch.full((3,), now)), x, now, alpha_bar, given="v").picture)
        x = ddim_step(picture, x, now, alpha_bar, previous=then)
    made = sample(model, start, alpha_bar, given="v", count=3, trace=trace)
    assert torch.equal(made, x) and len(trace) == 3 and torch.equal(trace[-1], made)


def test_sample_with_noise_is_reproducible_and_needs_no_gradient():
    alpha_bar, start = noise_schedule(50), normal(3, 2)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    options = {"given": "noise", "count": 10, "eta": 1.0}
    one, two, other = (
        sample(lambda x, t: weight * x, start, alpha_bar, generator=torch.Generator().manual_seed(seed), **options)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two) and not torch.equal(one, other) and not one.requires_grad


def test_sample_passes_each_prediction_through_the_correction():
    alpha_bar, seen = noise_schedule(50), []

    def correct(found, x, t):
        seen.append(int(t[0]))
        return found._replace(picture=torch.full_like(x, 0.25))

    made = sample(lambda x, t: x, normal(2, 3), alpha_bar, given="v", count=4, correct=correct)
    assert seen == sampling_steps(50, 4) and torch.equal(made, torch.full_like(made, 0.25))


def test_gradients():
    x, picture, noise = (normal(2, 3, seed=seed).requires_grad_() for seed in range(3))
    alpha_bar, t = SCHEDULES["cosine"], torch.tensor([3, 30])
    for function in (
        lambda x, p, z: diffuse(p, t, alpha_bar, noise=z),
        lambda x, p, z: target(p, z, t, alpha_bar, kind="v"),
        lambda x, p, z: torch.cat(predict(p, x, t, alpha_bar, given="noise")),
        lambda x, p, z: ddim_step(p, x, t, alpha_bar, previous=t - 2, eta=0.5, noise=z),
        lambda x, p, z: ddpm_step(p, x, t, alpha_bar, previous=t - 2, noise=z),
    ):
        torch.autograd.gradcheck(function, (x, picture, noise), atol=1e-4)


X, AB = torch.zeros(2, 3), noise_schedule(50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise_schedule(0), "steps must be"),
        (lambda: noise_schedule(20, kind="linear"), "steps must be at least 21 for the linear schedule, got 20"),
        (lambda: noise_schedule(50, kind="sigmoid"), "kind must be 'cosine' or 'linear'"),
        (lambda: noise_schedule(50, offset=0.0), "offset must be"),
        (lambda: diffuse(X, 50, AB, noise=X), "t must be a whole number from -1 to 49, got 50"),
        (lambda: diffuse(X, torch.tensor([0, 50]), AB, noise=X), r"t must be steps from -1 \(clean\) to 49, got 50"),
        (lambda: diffuse(X, torch.tensor([0, -2]), AB, noise=X), "got -2"),
        (lambda: diffuse(X, torch.tensor([0.5, 1.0]), AB, noise=X), "t must be"),
        (lambda: diffuse(X, torch.tensor([0, 1, 2]), AB, noise=X), "t must be"),
        (lambda: diffuse(X, 0, AB, noise=X[:1]), "noise must have the shape of picture"),
        (lambda: diffuse(X.long(), 0, AB, noise=X), "picture must be"),
        (lambda: diffuse(X, 0, AB[:0], noise=X), "alpha_bar must have at least one step"),
        (lambda: target(X, X, 0, AB, kind="epsilon"), "kind must be 'noise', 'picture' or 'v'"),
        (lambda: predict(X, X, 0, AB, given="x0"), "given must be 'noise', 'picture' or 'v'"),
        (lambda: predict(X, X, -1, AB, given="picture"), "t must not be -1 for given='picture'"),
        (lambda: predict(X[:1], X, 0, AB, given="v"), "output must have the shape of x"),
        (lambda: ddim_step(X, X, 3, AB, previous=3), "previous must be below t, got 3 and 3"),
        (lambda: ddim_step(X, X, -1, AB, previous=-1), "previous must be below t"),
        (lambda: ddim_step(X, X, 3, AB, previous=2, eta=1.5), "eta must be"),
        (lambda: ddim_step(X, X, 3, AB, previous=2, eta=1.0, noise=X[:1]), "noise must have the shape of x"),
        (lambda: ddpm_step(X, X, 3, AB, previous=2, variance="learned"), "variance must be 'small' or 'large'"),
        (lambda: ddpm_step(X, X, 3, AB, previous=5), "previous must be below t"),
        (lambda: sampling_steps(50, 51), "count must be a whole number from 1 to 50, got 51"),
        (lambda: sampling_steps(50, 5, spacing="karras"), "spacing must be"),
        (lambda: threshold(X, rule="soft"), "rule must be 'static' or 'dynamic'"),
        (lambda: threshold(X, rule="dynamic", limit=0.5), "limit must be"),
        (lambda: threshold(X, rule="dynamic", quantile=2), "quantile must be"),
        (lambda: sample(lambda x, t: x, X, AB, given="v", count=5, rule="clip"), "rule must be"),
        (lambda: sample(lambda x, t: x[:1], X, AB, given="v", count=5), "output must have the shape of x"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
