"""Where a classifier looks: the gradient of a class's score with respect to the image, plain and smoothed.

Chapter 07 hands such maps to a decoder.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from . import _arguments as check
from ._kernels.hooks import evaluating

__all__ = ["saliency"]


def saliency(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    target: Tensor | None = None,
    *,
    samples: int = 1,
    noise: float = 0.15,
    create_graph: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""How much the score of a class changes with each pixel.

    .. math:: S = \Bigl|\frac{1}{n} \sum_{i=1}^{n} \frac{\partial s_c(x + \epsilon_i)}{\partial x}\Bigr|, \qquad
              \epsilon_i \sim \mathcal N\bigl(0, (\sigma\, (\max x - \min x))^2\bigr)

    With n = 1 the noise is left out: the plain map. More samples smooth it (SmoothGrad), for n times the work. The
    score is the class's logit, as published: the gradient of a probability vanishes where the model is sure.

    A module runs in eval mode meanwhile, so that neither dropout nor a batch's statistics are in the map, and is left
    as it was. No gradient of a weight is touched; the function may be called where gradients are switched off.

    Args:
        model: from images to logits (B, classes); each row must depend on its own image only.
        image: (B, C, H, W), floating-point.
        target: (B,) int64, the class c of each image; by default the one with the highest score.
        samples: n, at least 1.
        noise: :math:`\sigma`, as a share of each image's range, at least 0.
        create_graph: keep the map's own graph, so that a loss of it reaches the weights (second derivatives).
        generator: source of the noise, on any device; ``None`` is torch's global CPU generator.

    Returns:
        (B, C, H, W), at least 0; detached unless ``create_graph``.

    Raises:
        ValueError: an argument that is not as described, or a model whose output does not depend on the image.

    References:
        Simonyan et al., Deep Inside Convolutional Networks, 2014 (arXiv:1312.6034); Smilkov et al., SmoothGrad, 2017
        (arXiv:1706.03825).

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    >>> with torch.no_grad():
    ...     _ = model[1].weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -3.0, 0.0]]))
    >>> saliency(model, torch.ones(1, 1, 2, 2), torch.tensor([1])).tolist()
    [[[[0.0, 0.0], [3.0, 0.0]]]]
    """
    check.tensor(image, "image", "(B, C, H, W)", kind="floating-point")
    samples, noise = check.whole(samples, "samples", low=1), check.number(noise, "noise", low=0)
    generator = check.generator(generator)
    with torch.enable_grad(), evaluating(getattr(model, "__self__", model)):  # a method has its module
        # The caller's own graph goes on through the image where a graph is asked for.
        x = image if create_graph and image.requires_grad else image.detach().requires_grad_()
        total, classes = torch.zeros_like(x), target
        width = noise * (image.detach().amax((1, 2, 3), keepdim=True) - image.detach().amin((1, 2, 3), keepdim=True))
        for _ in range(samples):
            logits = model(x if samples == 1 else x + width * _normal(x, generator))
            if classes is None:
                clean = logits if samples == 1 else model(image.detach())
                classes = clean.detach().argmax(1)
            chosen = _scores(logits, classes, len(image))
            if not chosen.requires_grad:
                raise ValueError("model must depend on the image with a gradient, got logits without one")
            (gradient,) = torch.autograd.grad(chosen.sum(), x, create_graph=create_graph)
            total = total + gradient
    result = (total / samples).abs()
    return result if create_graph else result.detach()


def _scores(logits: Tensor, target: Tensor, batch: int) -> Tensor:
    check.tensor(logits, "the model's logits", f"({batch}, classes)", kind="floating-point")
    _, indices = check.class_target(logits, target)
    assert indices
    return logits.gather(1, target[:, None])[:, 0]


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = "cpu" if generator is None else generator.device
    return torch.randn(like.shape, generator=generator, device=device).to(like)
