"""Guidance: two conventions of one formula, Bayes for a mixture of Gaussians, gradients by autograd, views by hand."""

import pytest
import torch
from torch.nn import functional as F

from tutorial_lib.diffusion import noise_schedule, predict, sample
from tutorial_lib.guidance import classifier_guide, clip_guide, cutouts, guide

AB = noise_schedule(100)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_conventions_of_one_formula():
    told, silent, w = normal(2, 3), normal(2, 3, seed=1), 2.5
    torch.testing.assert_close(guide(told, silent, scale=1 + w), (1 + w) * told - w * silent)  # Ho and Salimans
    assert torch.equal(guide(told, silent, scale=1.0), silent + (told - silent))
    assert torch.equal(guide(told, silent, scale=0.0), silent)


@pytest.mark.parametrize("kind", ["noise", "picture", "v"])
def test_it_does_not_matter_what_is_guided(kind):
    told, silent, x, t = normal(2, 3), normal(2, 3, seed=1), normal(2, 3, seed=2), torch.tensor([5, 70])
    both = [predict(output, x, t, AB, given="v") for output in (told, silent)]
    guided = predict(guide(told, silent, scale=3.0), x, t, AB, given="v")
    parts = {"noise": 1, "picture": 0, "v": 2}
    mine = guide(*(one[parts[kind]] for one in both), scale=3.0)
    torch.testing.assert_close(guided[parts[kind]], mine)


def test_a_scale_for_each_picture():
    told, silent = normal(3, 1, 2, 2), normal(3, 1, 2, 2, seed=1)
    scales = torch.tensor([0.0, 1.0, 4.0])
    together = guide(told, silent, scale=scales)
    for row, scale in enumerate(scales.tolist()):
        torch.testing.assert_close(together[row], guide(told, silent, scale=scale)[row])


def mixture(x, t):
    """Data: N(-1, s²) or N(+1, s²), each half of the time. The exact picture, with or without its class."""
    level = AB[t].reshape(-1, 1)
    spread = 0.09 * level + 1 - level
    each = [sign + level.sqrt() * 0.09 / spread * (x - level.sqrt() * sign) for sign in (-1.0, 1.0)]
    weight = torch.sigmoid(2 * level.sqrt() * x / spread)  # of +1, given x
    return each, weight


def test_the_true_classifier_turns_the_unconditional_model_into_the_conditional_one():
    x, t = normal(50, 1), torch.randint(0, 100, (50,), generator=torch.Generator().manual_seed(0))
    (minus, plus), weight = mixture(x, t)
    blind = predict((1 - weight) * minus + weight * plus, x, t, AB, given="picture")
    log_prob = lambda seen, t: mixture(seen, t)[1].log()[:, 0]  # noqa: E731
    told = classifier_guide(blind, x, t, AB, log_prob=log_prob)
    torch.testing.assert_close(told.picture, plus, rtol=1e-6, atol=1e-6)


def test_stronger_guidance_draws_ever_more_of_the_class():
    start = normal(400, 1)
    model = lambda x, t: (lambda each, w: (1 - w) * each[0] + w * each[1])(*mixture(x, t))  # noqa: E731
    log_prob = lambda seen, t: mixture(seen, t)[1].log()[:, 0]  # noqa: E731
    found = []
    for scale in (0.0, 1.0, 5.0):
        correct = lambda p, x, t, s=scale: classifier_guide(p, x, t, AB, log_prob=log_prob, scale=s)  # noqa: E731
        made = sample(model, start, AB, given="picture", count=50, rule=None, correct=correct)
        found.append((float((made > 0).double().mean()), float(made[made > 0].std())))
    assert found[0][0] == pytest.approx(0.5, abs=0.08) and found[1][0] > 0.98
    assert found[2][1] < found[1][1]  # and ever less of its spread


def test_clip_guide_by_hand():
    # alpha_bar .64, x = 0, noise 0: guess 0; d(guess)/dx = 1 / .8 at fixed noise; mix = .6 guess + .4 x
    alpha_bar, x = torch.tensor([0.64], dtype=torch.float64), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    still, t = predict(x, x, 0, alpha_bar, given="noise"), torch.tensor([0])
    bright = lambda pictures: pictures.sum((1, 2, 3))  # noqa: E731
    made = clip_guide(still, x, t, alpha_bar, denoise=None, similarity=bright, scale=2.0)
    slope = 0.6 / 0.8 + 0.4
    torch.testing.assert_close(made.noise, torch.full_like(x, -2.0 * 0.6 * slope))
    clamped = clip_guide(still, x, t, alpha_bar, denoise=None, similarity=bright, scale=2.0, clamp=0.1)
    torch.testing.assert_close(clamped.noise, torch.full_like(x, -2.0 * 0.6 * 0.1))


def test_clip_guide_follows_the_gradient_through_the_model():
    x, t = normal(2, 3, 4, 4), torch.tensor([20, 80])
    denoise = lambda x, t: torch.tanh(2 * x)  # noqa: E731
    similarity = lambda pictures: (pictures**2).mean((1, 2, 3))  # noqa: E731
    found = predict(denoise(x, t), x, t, AB, given="picture")
    made = clip_guide(found, x, t, AB, denoise=denoise, similarity=similarity, scale=3.0)
    rest = (1 - AB[t]).sqrt().reshape(-1, 1, 1, 1)
    seen = x.clone().requires_grad_()
    gradient = torch.autograd.grad(similarity(rest * denoise(seen, t) + (1 - rest) * seen).sum(), seen)[0]
    torch.testing.assert_close(made.noise, found.noise - 3.0 * rest * gradient)


def test_clip_guide_averages_over_its_views():
    x, t = normal(2, 3, 8, 8), torch.tensor([20, 80])
    found = predict(x, x, t, AB, given="v")
    asked = []

    def similarity(pictures):
        asked.append(len(pictures))
        return pictures.mean((1, 2, 3))

    whole = clip_guide(found, x, t, AB, denoise=None, similarity=similarity)
    same = clip_guide(found, x, t, AB, denoise=None, similarity=similarity, views=3, smallest=1.0)
    torch.testing.assert_close(whole.noise, same.noise)
    assert asked == [2, 6]
    first, second = (
        clip_guide(found, x, t, AB, denoise=None, similarity=similarity, views=3,
                   generator=torch.Generator().manual_seed(5)).noise for _ in range(2)
    )  # fmt: skip
    assert torch.equal(first, second) and not torch.allclose(first, whole.noise)


def test_guides_work_inside_no_grad_and_leave_no_graph():
    x, t = normal(2, 3, 8, 8), torch.tensor([20, 80])
    with torch.no_grad():
        found = predict(x, x, t, AB, given="v")
        made = clip_guide(found, x, t, AB, denoise=lambda x, t: x, similarity=lambda p: p.mean((1, 2, 3)), views=2)
    assert not made.noise.requires_grad and not x.requires_grad


def test_cutouts_are_squares_of_the_picture():
    picture = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16).contiguous()  # brighter to the right
    views = cutouts(picture, 200, smallest=0.25, generator=torch.Generator().manual_seed(0))
    slopes = (views[:, 0, 8, -2] - views[:, 0, 8, 1]) / 13  # pixels of the picture for one of the view
    assert float(slopes.min()) >= 0.25 - 1e-9 and float(slopes.max()) <= 1 + 1e-9
    assert float(slopes.mean()) == pytest.approx(0.625, abs=0.04)  # sides are even
    assert float(views.mean()) == pytest.approx(7.5, abs=0.4) and 0 <= views.min() <= views.max() <= 15
    assert torch.allclose(views, views[:, :, :1].expand_as(views))  # rows stay alike


def test_the_whole_picture_is_a_view_of_itself():
    pictures = normal(2, 3, 8, 8)
    views = cutouts(pictures, 2, smallest=1.0)
    torch.testing.assert_close(views, pictures.repeat(2, 1, 1, 1))


def test_gradients():
    pictures = normal(1, 2, 6, 6).requires_grad_()
    cut = lambda p: cutouts(p, 2, generator=torch.Generator().manual_seed(0))  # noqa: E731
    torch.autograd.gradcheck(cut, (pictures,))
    torch.autograd.gradcheck(
        lambda a, b: guide(a, b, scale=3.0), (pictures, normal(1, 2, 6, 6, seed=1).requires_grad_())
    )


def test_a_pleasing_picture_is_found_without_views():
    """A judge that looks at one pixel: without views that pixel alone moves, with them its neighbours do too."""
    x, t = torch.zeros(1, 1, 8, 8, dtype=torch.float64), torch.tensor([50])
    found = predict(x, x, t, AB, given="v")
    judge = lambda pictures: pictures[:, 0, 4, 4]  # noqa: E731
    options = {"denoise": None, "similarity": judge, "generator": torch.Generator().manual_seed(0)}
    moved = [int((clip_guide(found, x, t, AB, views=views, **options).noise.abs() > 1e-6).sum()) for views in (0, 64)]
    assert moved[0] == 1 and moved[1] > 10


X, T = torch.zeros(2, 3, 8, 8), torch.tensor([3, 4])
FOUND = predict(X, X, T, AB, given="v")
MEAN = lambda pictures: pictures.mean((1, 2, 3))  # noqa: E731


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: guide(X, X[:1], scale=1.0), "unconditional must have the shape of conditional"),
        (lambda: guide(X, X, scale=float("nan")), "scale must be"),
        (lambda: guide(X, X, scale=torch.ones(3)), "scale must be"),
        (lambda: guide(X.long(), X, scale=1.0), "conditional must be"),
        (lambda: classifier_guide(FOUND, X, T, AB, log_prob=lambda x, t: x.sum()), "log_prob must give"),
        (lambda: clip_guide(FOUND, X, T, AB, denoise=None, similarity=lambda p: p.sum()), "similarity must give"),
        (lambda: clip_guide(FOUND, X, T, AB, denoise=None, similarity=lambda p: p.sum(), views=2),
         "similarity must give a number for each view"),
        (lambda: clip_guide(FOUND, X, T, AB, denoise=None, similarity=MEAN, views=-1), "views must be"),
        (lambda: clip_guide(FOUND, X, T, AB, denoise=None, similarity=MEAN, clamp=0.0), "clamp must be"),
        (lambda: cutouts(X[0], 2), "pictures must be"),
        (lambda: cutouts(X, 0), "views must be"),
        (lambda: cutouts(X, 2, smallest=0.0), "smallest must be"),
        (lambda: cutouts(X, 2, generator=3), "generator must be"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_cutouts_interpolate_as_torch_does():
    pictures = normal(1, 1, 8, 8)
    left = cutouts(pictures, 1, smallest=1.0)
    theta = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]], dtype=torch.float64)
    torch.testing.assert_close(left, F.grid_sample(pictures, F.affine_grid(theta, [1, 1, 8, 8], align_corners=False),
                                                   align_corners=False))  # fmt: skip
