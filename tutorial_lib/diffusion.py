r"""Pictures out of noise: schedules, a step forward, a step back, and the loop that draws.

A schedule is one tensor, :math:`\bar\alpha_t` for the steps t = 0, …, T − 1: the share of the picture's variance that
is left after t + 1 noisings. Step 0 is almost clean, step T − 1 almost noise, and **-1 is the clean picture itself**,
:math:`\bar\alpha_{-1} = 1`; off-by-one errors of popular code are departures from that sentence.

A model is a function ``model(x, t)`` of noisy pictures (B, …) and their steps (B,), whose output is the noise, the
picture or a mixture of both: :func:`predict` turns each into the others. A step back does not care which it was::

    found = predict(model(x, t), x, t, alpha_bar, given="v")
    x = ddim_step(found.picture, x, t, alpha_bar, previous=t - 4)

How to say *what* shall be drawn is in :mod:`tutorial_lib.guidance`. Taught in chapter 16.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import _arguments as check

__all__ = [
    "Prediction",
    "ddim_step",
    "ddpm_step",
    "diffuse",
    "noise_schedule",
    "predict",
    "sample",
    "sampling_steps",
    "target",
    "threshold",
]

Model = Callable[[Tensor, Tensor], Tensor]
KINDS = ("noise", "picture", "v")

# --- The way there --------------------------------------------------------------------------------------------------


def noise_schedule(steps: int, *, kind: str = "cosine", offset: float = 0.008) -> Tensor:
    r"""What is left of a picture's variance after each noising.

    .. math:: \bar\alpha_t = \prod_{i \le t} (1 - \beta_i), \qquad
              \beta^{linear}_t = \tfrac{1000}{T}\Big(10^{-4} + \tfrac{t}{T-1}(0.02 - 10^{-4})\Big), \qquad
              \bar\alpha^{cosine}_t = \frac{f(t + 1)}{f(0)}, \quad
              f(t) = \cos^2\!\Big(\frac{t/T + s}{1 + s} \cdot \frac\pi2\Big)

    The linear schedule was published for T = 1000. Its :math:`\beta` must grow as T shrinks, else the last step still
    holds a tenth of the picture, and sampling starts from a law that the model has never met. No :math:`\beta` exceeds
    .999, as published; of the cosine schedule that cuts the last one only.

    Args:
        steps: T. The linear schedule needs 21 or more: with fewer its last :math:`\beta` would reach 1.
        kind: ``"cosine"`` or ``"linear"``.
        offset: s of the cosine, above 0: how noisy the first step is at least.

    Returns:
        (T,) float64, falling, in (0, 1).

    Raises:
        ValueError: if an argument is not as described.

    References:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, NeurIPS 2020 (arXiv:2006.11239). Nichol and
        Dhariwal, Improved Denoising Diffusion Probabilistic Models, ICML 2021 (arXiv:2102.09672), for the cosine.

    >>> [f"{float(noise_schedule(200, kind=kind)[-1]):.1e}" for kind in ("cosine", "linear")]
    ['6.1e-08', '3.0e-05']
    """
    steps, kind = check.whole(steps, "steps", low=1), check.choice(kind, "kind", ("cosine", "linear"))
    offset = check.number(offset, "offset", above=0)
    if kind == "linear":
        if steps <= 20:
            raise ValueError(f"steps must be at least 21 for the linear schedule, got {steps}")
        betas = 1000 / steps * torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    else:
        angle = (torch.arange(steps + 1, dtype=torch.float64) / steps + offset) / (1 + offset) * math.pi / 2
        f = angle.cos() ** 2
        betas = 1 - f[1:] / f[:-1]
    return torch.cumprod(1 - betas.clamp(max=0.999), 0)


def diffuse(picture: Tensor, t: Any, alpha_bar: Tensor, *, noise: Tensor) -> Tensor:
    r"""Noise a picture to step t at once.

    .. math:: x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon

    Args:
        picture: (B, …) floating-point :math:`x_0`, centred: pictures in [-1, 1], not [0, 1].
        t: (B,) steps from -1 (clean) to T − 1, or one for all.
        alpha_bar: (T,) from :func:`noise_schedule`.
        noise: :math:`\varepsilon`, drawn from the normal law, of the picture's shape.

    Returns:
        (B, …), of the picture's dtype.

    Raises:
        ValueError: if shapes do not fit, or a step is out of range.

    References:
        Ho et al., NeurIPS 2020 (arXiv:2006.11239), equation 4.

    >>> alpha_bar = torch.tensor([0.64], dtype=torch.float64)
    >>> diffuse(torch.ones(1, 1), 0, alpha_bar, noise=torch.full((1, 1), 2.0)).item()
    2.0
    """
    check.tensor(picture, "picture", kind="floating-point")
    check.same_shape(noise, "noise", picture, "picture")
    signal, rest = _levels(t, alpha_bar, picture)
    return (signal * picture + rest * noise).to(picture)


def target(picture: Tensor, noise: Tensor, t: Any, alpha_bar: Tensor, *, kind: str) -> Tensor:
    r"""What a model of a kind is trained to say.

    .. math:: v = \sqrt{\bar\alpha_t}\, \varepsilon - \sqrt{1 - \bar\alpha_t}\, x_0

    or the noise :math:`\varepsilon` or the picture :math:`x_0` itself. v is nearly the noise where the picture is
    clean, and nearly the picture, with a minus, where it is noise: the harder question at either end.

    Args:
        picture: (B, …) :math:`x_0`.
        noise: :math:`\varepsilon`, of the same shape.
        t: (B,) steps, or one for all.
        alpha_bar: (T,).
        kind: ``"noise"``, ``"picture"`` or ``"v"``.

    Returns:
        (B, …).

    Raises:
        ValueError: if shapes do not fit, a step is out of range, or ``kind`` is unknown.

    References:
        Salimans and Ho, Progressive Distillation, ICLR 2022 (arXiv:2202.00512), for v.

    >>> alpha_bar = torch.tensor([0.64], dtype=torch.float64)
    >>> round(target(torch.ones(1, 1), torch.full((1, 1), 2.0), 0, alpha_bar, kind="v").item(), 4)
    1.0
    """
    kind = check.choice(kind, "kind", KINDS)
    check.tensor(picture, "picture", kind="floating-point")
    check.same_shape(noise, "noise", picture, "picture")
    signal, rest = _levels(t, alpha_bar, picture)
    return {"noise": noise, "picture": picture}[kind] if kind != "v" else (signal * noise - rest * picture).to(picture)


class Prediction(NamedTuple):
    """One guess, said in three ways.

    Attributes:
        picture: (B, …), the picture itself, x_0.
        noise: (B, …), the noise ε in it.
        v: (B, …), the mixture of both that :func:`target` makes.
    """

    picture: Tensor
    noise: Tensor
    v: Tensor


def predict(output: Tensor, x: Tensor, t: Any, alpha_bar: Tensor, *, given: str) -> Prediction:
    r"""Turn what a model says into the picture, the noise and v, which together are one guess.

    .. math:: x_0 = \sqrt{\bar\alpha}\, x - \sqrt{1 - \bar\alpha}\, v, \qquad
              \varepsilon = \sqrt{1 - \bar\alpha}\, x + \sqrt{\bar\alpha}\, v, \qquad
              x = \sqrt{\bar\alpha}\, x_0 + \sqrt{1 - \bar\alpha}\, \varepsilon

    Any one of the three and x give the other two. So a picture that was cut to its range has *another* noise: ask for
    it again, ``predict(cut, x, t, alpha_bar, given="picture").noise``. Near pure noise the picture out of
    :math:`\varepsilon` is a difference of large numbers over a small one: an error grows by
    :math:`1/\sqrt{\bar\alpha}`.

    Args:
        output: (B, …) of the model.
        x: the noisy pictures it was asked about.
        t: (B,) their steps, or one for all; for ``given="picture"`` not -1, where there is no noise to be found.
        alpha_bar: (T,).
        given: what ``output`` is: ``"noise"``, ``"picture"`` or ``"v"``.

    Returns:
        :class:`Prediction` ``(picture, noise, v)``.

    Raises:
        ValueError: if shapes do not fit, a step is out of range, or ``given`` is unknown.

    References:
        Salimans and Ho, ICLR 2022 (arXiv:2202.00512), appendix D.

    >>> alpha_bar = torch.tensor([0.64], dtype=torch.float64)
    >>> [round(part.item(), 4) for part in predict(torch.ones(1, 1), torch.full((1, 1), 2.0), 0, alpha_bar, given="v")]
    [1.0, 2.0, 1.0]
    """
    given = check.choice(given, "given", KINDS)
    check.tensor(x, "x", kind="floating-point")
    check.same_shape(output, "output", x, "x")
    signal, rest = _levels(t, alpha_bar, x)
    if given == "picture":
        if not bool((rest > 0).all()):
            raise ValueError("t must not be -1 for given='picture': a clean picture has no noise to be found")
        picture, noise = output, (x - signal * output) / rest
    elif given == "noise":
        picture, noise = (x - rest * output) / signal, output
    else:
        return Prediction((signal * x - rest * output).to(x), (rest * x + signal * output).to(x), output)
    return Prediction(picture.to(x), noise.to(x), (signal * noise - rest * picture).to(x))


# --- The way back ---------------------------------------------------------------------------------------------------


def sampling_steps(total: int, count: int, *, spacing: str = "linspace") -> list[int]:
    """Choose the steps that a sampler visits, from the noisiest down.

    Args:
        total: T of the schedule.
        count: how many to visit, at most T. The clean picture, -1, comes after the last and is not counted.
        spacing: ``"linspace"``: both ends; ``"trailing"``: every (T / count)-th from T − 1 down; ``"leading"``: from 0
            up, as most early codes have it. That one never visits T − 1: sampling then hands the model pure noise, and
            tells it that it is not.

    Returns:
        ``count`` falling steps.

    Raises:
        ValueError: if ``count`` is not from 1 to T, or ``spacing`` is unknown.

    References:
        Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed, WACV 2024 (arXiv:2305.08891), table 2.

    >>> [sampling_steps(200, 4, spacing=name) for name in ("linspace", "trailing", "leading")]
    [[199, 133, 66, 0], [199, 149, 99, 49], [150, 100, 50, 0]]
    """
    total = check.whole(total, "total", low=1)
    count = check.whole(count, "count", low=1, high=total)
    spacing = check.choice(spacing, "spacing", ("linspace", "trailing", "leading"))
    if spacing == "leading":
        return [step * (total // count) for step in range(count)][::-1]
    if spacing == "trailing":
        return [round(total - step * total / count) - 1 for step in range(count)]
    return [round((total - 1) * (1 - step / max(count - 1, 1))) for step in range(count)]


def ddpm_step(
    picture: Tensor,
    x: Tensor,
    t: Any,
    alpha_bar: Tensor,
    *,
    previous: Any,
    variance: str = "small",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""One step back by the law of the step before, given this one and the picture.

    .. math:: x_s \sim \mathcal N\Big(\frac{\sqrt{\bar\alpha_s}\, \beta}{1 - \bar\alpha_t}\, \hat x_0 +
              \frac{\sqrt{\alpha}\, (1 - \bar\alpha_s)}{1 - \bar\alpha_t}\, x_t,\ \sigma^2\Big), \qquad
              \alpha = \frac{\bar\alpha_t}{\bar\alpha_s}, \quad \beta = 1 - \alpha

    with :math:`\sigma^2 = \beta (1 - \bar\alpha_s) / (1 - \bar\alpha_t)`, exact for one single picture ("small"), or
    :math:`\beta`, exact for pictures that are noise themselves ("large"). The steps between s and t may be left out,
    and :math:`\alpha` is then that of the whole leap. To the clean picture, s = -1, it is :math:`\hat x_0` itself.

    Args:
        picture: (B, …) :math:`\hat x_0`.
        x: (B, …) :math:`x_t`.
        t: (B,) steps, or one for all.
        alpha_bar: (T,).
        previous: s, steps below t, -1 for clean.
        variance: ``"small"`` or ``"large"``.
        noise: normal numbers of x's shape; drawn if None.
        generator: source of the noise; None: torch's global one.

    Returns:
        (B, …) :math:`x_s`.

    Raises:
        ValueError: if shapes do not fit, a step is out of range or not below t, or ``variance`` is unknown.

    References:
        Ho et al., NeurIPS 2020 (arXiv:2006.11239), equations 6 and 7.

    >>> alpha_bar = torch.tensor([0.64, 0.32], dtype=torch.float64)
    >>> still = torch.zeros(1, 1)
    >>> round(ddpm_step(torch.ones(1, 1), torch.ones(1, 1), 1, alpha_bar, previous=0, noise=still).item(), 4)
    0.9626
    """
    large = check.choice(variance, "variance", ("small", "large")) == "large"
    now, then = _leap(picture, x, t, previous, alpha_bar)  # (B, 1, …) each
    alpha = now / then
    beta, left = 1 - alpha, (1 - then) / (1 - now)
    # Not even the large variance is added on the way to the clean picture.
    variance_now = torch.where(then < 1, beta if large else beta * left, torch.zeros_like(beta))
    guess, stay, deviation = _beside(x, then.sqrt() * beta / (1 - now), alpha.sqrt() * left, variance_now.sqrt())
    return (guess * picture + stay * x + deviation * _noise(x, noise, generator)).to(x)


def ddim_step(
    picture: Tensor,
    x: Tensor,
    t: Any,
    alpha_bar: Tensor,
    *,
    previous: Any,
    eta: float = 0.0,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""One step back along the guess: the same picture and the same noise, mixed anew.

    .. math:: x_s = \sqrt{\bar\alpha_s}\, \hat x_0 + \sqrt{1 - \bar\alpha_s - \sigma^2}\, \hat\varepsilon + \sigma z,
              \qquad \sigma^2 = \eta^2\, \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\,
              \Big(1 - \frac{\bar\alpha_t}{\bar\alpha_s}\Big)

    :math:`\hat\varepsilon` is derived from x and :math:`\hat x_0` here, so that a picture that was cut to its range and
    its noise still make up x. With :math:`\eta` = 0 nothing is drawn, and the same start gives the same picture; with 1
    it is :func:`ddpm_step` with the small variance.

    Args:
        picture: (B, …) :math:`\hat x_0`.
        x: (B, …) :math:`x_t`.
        t: (B,) steps, or one for all.
        alpha_bar: (T,).
        previous: s, steps below t, -1 for clean.
        eta: :math:`\eta`, from 0 to 1.
        noise: normal numbers of x's shape for z; drawn if None and needed.
        generator: source of the noise; None: torch's global one.

    Returns:
        (B, …) :math:`x_s`.

    Raises:
        ValueError: if shapes do not fit, a step is out of range or not below t, or ``eta`` is outside [0, 1].

    References:
        Song, Meng, Ermon, Denoising Diffusion Implicit Models, ICLR 2021 (arXiv:2010.02502), equations 12 and 16.

    >>> alpha_bar = torch.tensor([0.64, 0.36], dtype=torch.float64)
    >>> round(ddim_step(torch.ones(1, 1), torch.full((1, 1), 1.4), 1, alpha_bar, previous=0).item(), 4)
    1.4
    """
    eta = check.number(eta, "eta", low=0, high=1)
    now, then = _leap(picture, x, t, previous, alpha_bar)
    variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    rest = (1 - then - variance).clamp(min=0).sqrt()
    # The noise is (x - sqrt(now) picture) / sqrt(1 - now): its share of x and of the picture, in two numbers.
    keep = rest / (1 - now).sqrt()
    toward, keep, deviation = _beside(x, then.sqrt() - keep * now.sqrt(), keep, variance.sqrt())
    moved = toward * picture + keep * x
    return (moved + deviation * _noise(x, noise, generator) if eta else moved).to(x)


def threshold(picture: Tensor, *, rule: str = "static", quantile: float = 0.995, limit: float | None = None) -> Tensor:
    r"""Bring a guessed picture back into its range.

    .. math:: \mathrm{static:}\ \mathrm{clip}(x, -1, 1), \qquad
              \mathrm{dynamic:}\ \mathrm{clip}(x, -s, s) / s, \quad s = \max(1,\, q_p(|x|))

    The dynamic rule takes the quantile of each picture by itself. Where strong guidance drives many values beyond the
    range, it pulls them inward instead of flattening them at its ends.

    Args:
        picture: (B, …), floating-point.
        rule: ``"static"`` or ``"dynamic"``.
        quantile: p, of the absolute values of one picture, from 0 to 1.
        limit: the largest s, at least 1; None: no limit. With a limit of 1, a popular library's default, the dynamic
            rule *is* the static one.

    Returns:
        (B, …) in [-1, 1].

    Raises:
        ValueError: if an argument is not as described.

    References:
        Saharia et al., Imagen, NeurIPS 2022 (arXiv:2205.11487), section 2.3.

    >>> threshold(torch.tensor([[0.5, -4.0]]), rule="dynamic", quantile=1.0).tolist()
    [[0.125, -1.0]]
    """
    check.tensor(picture, "picture", "(B, ...)", kind="floating-point")
    rule = check.choice(rule, "rule", ("static", "dynamic"))
    quantile = check.number(quantile, "quantile", low=0, high=1)
    limit = None if limit is None else check.number(limit, "limit", low=1)
    if rule == "static" or not picture.numel():
        return picture.clamp(-1, 1)
    ordered = check.wide(picture.abs().flatten(1)).sort(1).values
    place = quantile * (ordered.shape[1] - 1)  # between two values, as NumPy's quantile has it
    low = int(place)
    s = torch.lerp(ordered[:, low], ordered[:, min(low + 1, ordered.shape[1] - 1)], place - low).clamp(min=1, max=limit)
    s = s.reshape(-1, *[1] * (picture.ndim - 1)).to(picture)
    return picture.clamp(-s, s) / s


@torch.no_grad()
def sample(
    model: Model,
    noise: Tensor,
    alpha_bar: Tensor,
    *,
    given: str,
    count: int,
    rule: str | None = "static",
    eta: float = 0.0,
    spacing: str = "linspace",
    correct: Callable[[Prediction, Tensor, Tensor], Prediction] | None = None,
    trace: list[Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw pictures: from noise, down the steps, to the clean end.

    At each step the model's answer becomes a picture, the picture is brought into its range, and :func:`ddim_step` goes
    on from there. With ``eta=1`` and all T steps this is the sampler of DDPM.

    Args:
        model: ``model(x, t)`` of (B, …) and (B,) steps; what text it listens to is the caller's affair, for instance
            ``lambda x, t: guide(network(x, t, text), network(x, t, empty), scale=3)``.
        noise: (B, …) normal numbers to start from; they give the shape, device and dtype.
        alpha_bar: (T,) of the schedule that the model was trained with.
        given: what the model says: ``"noise"``, ``"picture"`` or ``"v"``.
        count: steps to visit, from 1 to T.
        rule: of :func:`threshold`; None: the picture is left as it is, for data without a range.
        eta: noise that is added on the way, from 0 (none) to 1 (as DDPM).
        spacing: of :func:`sampling_steps`.
        correct: changes a prediction before it is used, ``correct(prediction, x, t)``: where the guides by a classifier
            or by a judge come in.
        trace: a list that each step's guessed picture is appended to.
        generator: source of the noise on the way; None: torch's global one.

    Returns:
        (B, …) pictures.

    Raises:
        ValueError: if an argument is not as described.

    References:
        Song et al., ICLR 2021 (arXiv:2010.02502).

    >>> alpha_bar = noise_schedule(50)
    >>> always_one = lambda x, t: torch.ones_like(x)
    >>> sample(always_one, torch.randn(2, 1), alpha_bar, given="picture", count=5).tolist()
    [[1.0], [1.0]]
    """
    x = check.tensor(noise, "noise", "(B, ...)", kind="floating-point")
    rule = check.choice(rule, "rule", ("static", "dynamic", None))
    steps = sampling_steps(len(_schedule(alpha_bar)), count, spacing=spacing)
    for now, then in zip(steps, [*steps[1:], -1]):
        t = torch.full((len(x),), now, device=x.device)
        found = predict(model(x, t), x, now, alpha_bar, given=given)
        if correct is not None:
            found = correct(found, x, t)
        picture = found.picture if rule is None else threshold(found.picture, rule=rule)
        x = ddim_step(picture, x, now, alpha_bar, previous=then, eta=eta, generator=generator)
        if trace is not None:
            trace.append(picture)
    return x


# --- Helpers --------------------------------------------------------------------------------------------------------


def _schedule(alpha_bar: Tensor) -> Tensor:
    check.tensor(alpha_bar, "alpha_bar", "(T,)", kind="floating-point")
    if not len(alpha_bar):
        raise ValueError("alpha_bar must have at least one step, got none")
    return alpha_bar


def _at(t: Any, name: str, alpha_bar: Tensor, like: Tensor) -> Tensor:
    """alpha_bar of steps with like's axes, (B, 1, …), or (1, 1, …) for one step; in float64, and so on the CPU."""
    total = len(_schedule(alpha_bar))
    padded = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar.detach().cpu().double()])
    if isinstance(t, Tensor) and t.ndim:
        steps = check.tensor(t, name, f"({len(like)},)", kind="whole").cpu()
        low, high = (int(end) for end in steps.aminmax()) if len(steps) else (0, 0)
        if low < -1 or high >= total:
            raise ValueError(f"{name} must be steps from -1 (clean) to {total - 1}, got {low if low < -1 else high}")
        return padded[steps + 1].reshape(-1, *[1] * (like.ndim - 1))
    return padded[check.whole(t, name, low=-1, high=total - 1) + 1].reshape([1] * like.ndim)


def _beside(like: Tensor, *parts: Tensor) -> list[Tensor]:
    """Numbers of the schedule on the pictures' device: in float64 for float64, and in float32 for the rest."""
    return [part.to(like.device, _wide(like.dtype)) for part in parts]


def _levels(t: Any, alpha_bar: Tensor, like: Tensor) -> list[Tensor]:
    """The shares of picture and noise."""
    level = _at(t, "t", alpha_bar, like)
    return _beside(like, level.sqrt(), (1 - level).sqrt())


def _leap(picture: Tensor, x: Tensor, t: Any, previous: Any, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_bar at both ends of a step back."""
    check.tensor(x, "x", kind="floating-point")
    check.same_shape(picture, "picture", x, "x")
    now, then = _at(t, "t", alpha_bar, x), _at(previous, "previous", alpha_bar, x)
    if not bool((then > now).all()):
        raise ValueError(f"previous must be below t, got {check.what(previous)} and {check.what(t)}")
    return now, then


def _noise(x: Tensor, noise: Tensor | None, generator: torch.Generator | None) -> Tensor:
    if noise is not None:
        return check.same_shape(noise, "noise", x, "x")
    generator = check.generator(generator)
    device = "cpu" if generator is None else generator.device
    return torch.randn(x.shape, generator=generator, device=device, dtype=_wide(x.dtype)).to(x)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
