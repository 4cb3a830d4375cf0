r"""Three ways to tell a diffusion model what to draw: its text, exaggerated; a classifier; a judge such as CLIP.

All three change one step's guess, and leave the rest of the sampler as it is::

    output = guide(network(x, t, text), network(x, t, empty), scale=3.0)           # in the model
    sample(model, …, correct=lambda found, x, t: classifier_guide(found, x, t, …))  # after it

Taught in chapter 16; the steps themselves are in :mod:`tutorial_lib.diffusion`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from . import _arguments as check
from .diffusion import Prediction, _levels, predict

__all__ = ["classifier_guide", "clip_guide", "cutouts", "guide"]


def guide(conditional: Tensor, unconditional: Tensor, *, scale: float | Tensor) -> Tensor:
    r"""Classifier-free guidance: from what the model says without a text, past what it says with it.

    .. math:: \hat\varepsilon = \varepsilon_\varnothing + s\, (\varepsilon_c - \varepsilon_\varnothing)

    s = 0 ignores the text, 1 takes the model's word for it, more exaggerates. The paper writes
    :math:`(1 + w)\, \varepsilon_c - w\, \varepsilon_\varnothing`: the same with **w = s - 1**, so that its
    "no guidance" is 0 and ours 1. Both answers belong to one x, so it does not matter whether they are noises, pictures
    or v.

    Args:
        conditional: (B, …), with the text.
        unconditional: (B, …), without.
        scale: s, or a tensor (B,) of one for each picture.

    Returns:
        (B, …).

    Raises:
        ValueError: if the shapes differ, or the scale is not finite.

    References:
        Ho and Salimans, Classifier-Free Diffusion Guidance, 2022 (arXiv:2207.12598), for w; Saharia et al., Imagen,
        NeurIPS 2022 (arXiv:2205.11487), for s.

    >>> guide(torch.tensor([2.0]), torch.tensor([1.0]), scale=3.0).item()
    4.0
    """
    check.tensor(conditional, "conditional", kind="floating-point")
    check.same_shape(unconditional, "unconditional", conditional, "conditional")
    if isinstance(scale, Tensor) and scale.ndim:
        check.tensor(scale, "scale", f"({len(conditional)},)")
        scale = scale.to(conditional).reshape(-1, *[1] * (conditional.ndim - 1))
    else:
        scale = check.number(scale, "scale")
    return unconditional + scale * (conditional - unconditional)


def classifier_guide(
    found: Prediction,
    x: Tensor,
    t: Tensor,
    alpha_bar: Tensor,
    *,
    log_prob: Callable[[Tensor, Tensor], Tensor],
    scale: float = 1.0,
) -> Prediction:
    r"""Guidance by a classifier of *noisy* pictures: shift the noise against the gradient of its log-probability.

    .. math:: \hat\varepsilon' = \hat\varepsilon - s \sqrt{1 - \bar\alpha_t}\; \nabla_x \log p(y \mid x_t, t)

    With s = 1 and the true classifier that is Bayes' rule, and nothing is lost (a test holds it to a mixture of two
    Gaussians). The classifier must have been trained on noisy pictures and be told the step.

    Args:
        found: what the model guessed.
        x: (B, …) noisy pictures.
        t: (B,) their steps.
        alpha_bar: (T,).
        log_prob: ``log_prob(x, t)`` -> (B,), each picture's own; through autograd.
        scale: s.

    Returns:
        :class:`Prediction`.

    Raises:
        ValueError: if shapes do not fit, or ``log_prob`` does not give a number for each picture.

    References:
        Dhariwal and Nichol, Diffusion Models Beat GANs, NeurIPS 2021 (arXiv:2105.05233), algorithm 2.

    >>> alpha_bar, x = torch.tensor([0.64], dtype=torch.float64), torch.zeros(1, 1)
    >>> still = predict(torch.zeros(1, 1), x, 0, alpha_bar, given="noise")
    >>> upward = classifier_guide(still, x, torch.tensor([0]), alpha_bar, log_prob=lambda x, t: x.sum(1))
    >>> round(upward.noise.item(), 4), round(upward.picture.item(), 4)
    (-0.6, 0.45)
    """
    scale = check.number(scale, "scale")
    gradient = _gradient(lambda seen: log_prob(seen, t), x, "log_prob")
    _, rest = _levels(t, alpha_bar, x)
    return predict((found.noise - scale * rest * gradient).to(x), x, t, alpha_bar, given="noise")


def clip_guide(
    found: Prediction,
    x: Tensor,
    t: Tensor,
    alpha_bar: Tensor,
    *,
    denoise: Callable[[Tensor, Tensor], Tensor] | None,
    similarity: Callable[[Tensor], Tensor],
    scale: float = 1.0,
    views: int = 0,
    smallest: float = 0.5,
    clamp: float | None = None,
    generator: torch.Generator | None = None,
) -> Prediction:
    r"""Guidance by a judge of *clean* pictures, such as CLIP: let it look at the guess instead of the noise.

    .. math:: \hat\varepsilon' = \hat\varepsilon - s \sqrt{1 - \bar\alpha_t}\; g, \qquad
              g = \nabla_x \frac1K \sum_k \mathrm{similarity}\big(\mathrm{view}_k(f\, \hat x_0 + (1 - f)\, x)\big),
              \quad f = \sqrt{1 - \bar\alpha_t}

    The mixture of guess and noisy picture, with more guess the noisier it is, is Disco Diffusion's; so are the random
    views, cut out of the picture, that make the judge see many versions at once. Without them the gradient finds
    pictures that please this judge and nobody else.

    Args:
        found: what the model guessed.
        x: (B, C, H, W) noisy pictures.
        t: (B,) their steps.
        alpha_bar: (T,).
        denoise: ``denoise(x, t)`` -> guessed pictures, through autograd: the exact gradient. None: the guess is taken
            for a number, and only its share of x is followed, :math:`\partial\hat x_0/\partial x = 1/\sqrt{\bar\alpha}`
            at a fixed noise; cheaper by a backward pass through the model.
        similarity: pictures (N, C, H, W) -> (N,), N = B times the views, ordered view by view.
        scale: s.
        views: :func:`cutouts` of each picture; 0: the whole picture, once.
        smallest: side of the smallest view, as a share of the picture's.
        clamp: where given, a gradient whose root mean square, taken over each picture, is larger is scaled to it.
        generator: source of the views; None: torch's global one.

    Returns:
        :class:`Prediction`.

    Raises:
        ValueError: if an argument is not as described, or ``similarity`` does not give a number for each view.

    References:
        Crowson, CLIP guided diffusion, 2021; Disco Diffusion, github.com/alembics/disco-diffusion, 2022. Radford et
        al., ICML 2021 (arXiv:2103.00020), for CLIP.

    >>> alpha_bar, x = torch.tensor([0.64], dtype=torch.float64), torch.zeros(1, 1, 2, 2)
    >>> still, t = predict(x, x, 0, alpha_bar, given="noise"), torch.tensor([0])
    >>> brighter = lambda pictures: pictures.mean((1, 2, 3))
    >>> clip_guide(still, x, t, alpha_bar, denoise=None, similarity=brighter).picture.mean() > 0
    tensor(True)
    """
    scale, views = check.number(scale, "scale"), check.whole(views, "views", low=0)
    clamp = None if clamp is None else check.number(clamp, "clamp", above=0)
    signal, rest = _levels(t, alpha_bar, x)

    def judged(seen: Tensor) -> Tensor:
        guess = ((seen - rest * found.noise.detach()) / signal if denoise is None else denoise(seen, t)).to(seen)
        mixed = (rest * guess + (1 - rest) * seen).to(seen)
        if not views:
            return similarity(mixed)
        many = similarity(cutouts(mixed, views, smallest=smallest, generator=generator))
        if many.shape != (views * len(seen),):
            raise ValueError(
                f"similarity must give a number for each view, ({views * len(seen)},), got {check.what(many)}"
            )
        return many.reshape(views, -1).mean(0)

    gradient = _gradient(judged, x, "similarity")
    if clamp is not None:
        size = gradient.flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (x.ndim - 1))
        gradient = gradient * (clamp / size.clamp(min=clamp))
    return predict((found.noise - scale * rest * gradient).to(x), x, t, alpha_bar, given="noise")


def cutouts(pictures: Tensor, views: int, *, smallest: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Cut random squares out of pictures, and bring each back to the picture's size.

    Every view's side is drawn between the smallest and the whole, evenly, its place evenly where it fits; all pictures
    of a view share them. What lies between pixels is interpolated linearly, and gradients flow through.

    Args:
        pictures: (B, C, H, W), floating-point.
        views: K, at least 1.
        smallest: the smallest side, as a share of the picture's, in (0, 1].
        generator: source of sizes and places; None: torch's global one.

    Returns:
        (K * B, C, H, W), ordered view by view.

    Raises:
        ValueError: if an argument is not as described.

    References:
        Crowson, CLIP guided diffusion, 2021; Disco Diffusion, 2022.

    >>> cutouts(torch.zeros(2, 3, 8, 8), 5).shape
    torch.Size([10, 3, 8, 8])
    """
    check.tensor(pictures, "pictures", "(B, C, H, W)", kind="floating-point")
    views = check.whole(views, "views", low=1)
    smallest = check.number(smallest, "smallest", above=0, high=1)
    generator = check.generator(generator)
    device = "cpu" if generator is None else generator.device
    draws = torch.rand(views, 3, generator=generator, device=device).tolist()
    made = []
    for size, right, down in draws:
        side = smallest + (1 - smallest) * size
        # In affine_grid's coordinates the picture spans [-1, 1]: a square of this side has its centre within 1 - side.
        place = [[side, 0.0, (1 - side) * (2 * right - 1)], [0.0, side, (1 - side) * (2 * down - 1)]]
        theta = torch.tensor(place, dtype=pictures.dtype, device=pictures.device).expand(len(pictures), 2, 3)
        grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
        made.append(F.grid_sample(pictures, grid, padding_mode="border", align_corners=False))
    return torch.cat(made)


def _gradient(score: Callable[[Tensor], Tensor], x: Tensor, name: str) -> Tensor:
    """Of each picture's own score, with respect to it; works inside ``torch.no_grad`` too."""
    with torch.enable_grad():
        seen = x.detach().requires_grad_()
        scores = score(seen)
        if scores.shape != (len(x),):
            raise ValueError(f"{name} must give a number for each picture, ({len(x)},), got {check.what(scores)}")
        return torch.autograd.grad(scores.sum(), seen)[0]
