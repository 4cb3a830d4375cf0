r"""How alike two images look: structural similarity at several scales, and the loss that it makes.

Other names for the same: ``tutorial_lib.losses.ms_ssim`` and ``tutorial_lib.losses.ms_ssim_loss``. Chapter 08
(UNet 3+) trains with it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from . import _arguments as check
from ._kernels.blur import blur

__all__ = ["MS_SSIM_WEIGHTS", "ms_ssim", "ms_ssim_loss"]

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(
    images: Tensor,
    target: Tensor,
    *,
    data_range: float = 1.0,
    weights: check.Numbers = MS_SSIM_WEIGHTS,
    window: int = 11,
    sigma: float = 1.5,
    k: check.Numbers = (0.01, 0.03),
    reduction: str = "mean",
) -> Tensor:
    r"""Multi-scale structural similarity, 1 for equal images.

    .. math:: \mathrm{MS\text{-}SSIM} = \overline{(l_M c_M)}^{\,w_M} \prod_{i < M} \overline{c_i}^{\,w_i}, \qquad
              l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}, \quad
              c = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}

    Means, variances and covariance are taken in a Gaussian window that stays inside the image. The bars are means
    over positions, for each image and channel alone. From scale to scale 2x2 pixels become one; of an odd number the
    last is left out. :math:`C_i = (k_i\, R)^2` with the data range R.

    Where libraries differ: pytorch-msssim has the same formula, but of an odd number of pixels it pads with zeros;
    torchmetrics takes the last bar over a padded border as well, the others not, and over all channels at once.

    A broken power of a negative number is none: with a broken :math:`w_i`, as all of the defaults are, a bar that is
    not positive (opposite structure) makes the image's score 0 and its gradient 0, never NaN. With a whole :math:`w_i`
    the formula stands as it is: ``[1]`` gives an SSIM down to -1, and its gradient.

    Args:
        images: (B, C, H, W) or (B, C, H, W, D).
        target: the same shape.
        data_range: R, highest minus lowest possible value: 1 for masks and images in [0, 1], 255 for bytes.
        weights: :math:`w_i`, one a scale, finest first. Fewer for smaller images; ``[1]`` is SSIM.
        window: side of the Gaussian window in pixels, odd. The shortest side of the image must be at least
            ``window * 2 ** (len(weights) - 1)``: 176 with the defaults.
        sigma: its standard deviation in pixels, above 0.
        k: :math:`k_1, k_2`, at least 0; with 0 a flat image is 0/0.
        reduction: ``"none"``: (B,), the mean over channels; ``"mean"``; or ``"sum"``.

    Returns:
        The score, at most 1, in float32 where the images are narrower. Higher is better; below 0 only with whole
        weights. 0 for the mean of an empty batch.

    Raises:
        ValueError: if shapes or types do not fit, the images are too small, or an option is out of range.

    References:
        Wang et al., Multiscale Structural Similarity for Image Quality Assessment, Asilomar 2003.

    >>> image = torch.rand(1, 1, 176, 176, generator=torch.Generator().manual_seed(0))
    >>> round(ms_ssim(image, image).item(), 4), ms_ssim(image, 1 - image).item()
    (1.0, 0.0)
    >>> round(ms_ssim(image, 1 - image, weights=[1]).item(), 2)
    -0.97
    """
    reduction, data_range = check.reduction(reduction), check.number(data_range, "data_range", above=0)
    x, y, weights, window = _scaled(images, target, weights, window)
    sigma, k = check.number(sigma, "sigma", above=0), check.numbers(k, "k", length=2, low=0)
    c1, c2 = ((value * data_range) ** 2 for value in k)
    if not x.numel():
        return check.reduced(x.flatten(1).sum(1), reduction)
    # A variance is the small difference of two large means: no half precision.
    with check.no_autocast(x.device):
        offsets = torch.arange(window, device=x.device, dtype=x.dtype) - window // 2
        gauss = torch.exp(-(offsets**2) / (2 * sigma**2))
        gauss, score = gauss / gauss.sum(), x.new_ones(())
        for scale, weight in enumerate(weights):
            if scale:
                x, y = _halved(x), _halved(y)
            # The formula needs the sum of the variances only: four maps, not five.
            mean_x, mean_y, product, squares = blur(torch.stack([x, y, x * y, x * x + y * y]), gauss)
            both, means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
            similarity = (2 * (product - both) + c2) / (squares - means + c2)
            if scale == len(weights) - 1:
                similarity = similarity * (2 * both + c1) / (means + c1)
            bar = similarity.flatten(2).mean(2)  # (B, C, *space) -> (B, C)
            score = score * _power(bar, weight)
        return check.reduced(score.mean(1), reduction)


def ms_ssim_loss(images: Tensor, target: Tensor, *, reduction: str = "mean", **options) -> Tensor:
    r"""One minus :func:`ms_ssim`.

    .. math:: L = 1 - \mathrm{MS\text{-}SSIM}

    Args:
        images: (B, C, H, W) or (B, C, H, W, D).
        target: the same shape.
        reduction: ``"none"``: (B,); ``"mean"``; or ``"sum"``.
        options: those of :func:`ms_ssim`.

    Returns:
        The loss, 0 for equal images and at least 0; at most 1 with broken weights, 2 with ``[1]``.

    Raises:
        ValueError: as :func:`ms_ssim`.

    References:
        Wang et al., Asilomar 2003; as a loss in Zhao et al., Loss Functions for Image Restoration, IEEE TCI 2017.

    >>> ms_ssim_loss(torch.zeros(2, 1, 22, 22), torch.zeros(2, 1, 22, 22), weights=[0.5, 0.5]).item()
    0.0
    """
    reduction = check.reduction(reduction)
    return check.reduced(1 - ms_ssim(images, target, reduction="none", **options), reduction)


def _scaled(images, target, weights, window) -> tuple[Tensor, Tensor, tuple[float, ...], int]:
    """Both images, wide enough, the weights and the window, of which so many scales fit into the images."""
    if getattr(images, "ndim", 4) not in (4, 5):
        raise ValueError(f"images must be floating-point (B, C, H, W) or (B, C, H, W, D), got {check.what(images)}")
    images = check.wide(check.tensor(images, "images", "(B, C, H, W, ...)", kind="floating-point"))
    target = check.tensor(check.same_shape(target, "target", images, "images"), "target").to(images)
    weights, window = check.numbers(weights, "weights", low=0, empty=False), check.whole(window, "window", low=1)
    if window % 2 != 1:
        raise ValueError(f"window must be odd and at least 1, got {window}")
    shortest, needed = min(images.shape[2:]), window * 2 ** (len(weights) - 1)
    if shortest < needed:
        fit = max(0, int(math.log2(shortest / window)) + 1) if shortest >= window else 0
        raise ValueError(
            f"{len(weights)} scales (weights) with window {window} need images of at least {needed} pixels a side, "
            f"got {tuple(images.shape[2:])}: room for {fit}; pass fewer weights or a smaller window"
        )
    return images, target, weights, window


def _halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 2) if images.ndim == 4 else F.avg_pool3d(images, 2)


def _power(bar: Tensor, weight: float) -> Tensor:
    if weight.is_integer():
        return bar ** int(weight)
    # The slope of the power is infinite at 0: there, and below, it is 0 without a slope.
    return torch.where(bar > 0, bar.clamp_min(torch.finfo(bar.dtype).tiny) ** weight, 0.0)
