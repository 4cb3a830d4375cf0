"""UNet 3+'s hybrid loss: a pixel's, a patch's and a whole map's view of one mask, added up. Taught in chapter 08."""

from typing import NamedTuple

from torch import Tensor

from . import _arguments as check
from .losses import sigmoid_focal_loss
from .overlap import iou_loss
from .similarity import MS_SSIM_WEIGHTS, ms_ssim_loss

__all__ = ["HybridLoss", "hybrid_loss"]


class HybridLoss(NamedTuple):
    """What :func:`hybrid_loss` returns: the sum, and its three terms before they are weighted.

    Attributes:
        total: (): the weighted sum.
        focal: (): a pixel's view.
        structure: (): a patch's view, 1 less the structural similarity.
        overlap: (): the whole map's view, 1 less the overlap.
    """

    total: Tensor
    focal: Tensor
    structure: Tensor
    overlap: Tensor


def hybrid_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    scales: check.Numbers | None = None,
    window: int = 11,
    weights: check.Numbers = (1.0, 1.0, 1.0),
) -> HybridLoss:
    r"""Focal loss, structural similarity and overlap of a map of logits.

    .. math:: L = w_1 L_{focal} + w_2 (1 - \mathrm{MS\text{-}SSIM}(\sigma(z), y)) + w_3 L_{IoU}(\sigma(z), y)

    The first sees single pixels, the second a Gaussian window of each scale, the third the whole map. (The published
    code holds no focal loss but plain cross-entropy, raises the last scale's term to the number of scales less one,
    and its IoU is not a number where truth and answer are both empty.)

    Args:
        logits: z, (B, C, H, W).
        target: y, the same shape: 0/1 or soft in [0, 1].
        gamma, alpha: of :func:`~tutorial_lib.losses.sigmoid_focal_loss`.
        scales: the weights of MS-SSIM, finest first. ``None``: as many of the five usual ones as fit into the image,
            divided by their sum.
        window: of MS-SSIM, odd; the image must have at least so many pixels a side.
        weights: :math:`w_1, w_2, w_3`, at least 0.

    Returns:
        :class:`HybridLoss` ``(total, focal, structure, overlap)``; the terms are not yet weighted.

    Raises:
        ValueError: if shapes do not fit, the image is smaller than the window, or an option is out of range.

    References:
        Huang et al., UNet 3+, ICASSP 2020 (arXiv:2004.08790), section 2.3.

    >>> import torch
    >>> mask = torch.zeros(1, 1, 22, 22)
    >>> mask[..., 5:15, 5:15] = 1
    >>> right, wrong = hybrid_loss(40 * mask - 20, mask), hybrid_loss(20 - 40 * mask, mask)
    >>> round(right.total.item(), 4), round(wrong.structure.item(), 2), round(wrong.overlap.item(), 2)
    (0.0, 1.0, 1.0)
    """
    check.tensor(logits, "logits", "(B, C, H, W)", kind="floating-point")
    check.same_shape(target, "target", logits, "logits")
    weights, window = check.numbers(weights, "weights", length=3, low=0), check.whole(window, "window", low=1)
    if scales is None:
        side = min(logits.shape[2:])
        if side < window:
            raise ValueError(f"logits must be maps of at least {window} (window) pixels a side, got {side}")
        fit = [w for k, w in enumerate(MS_SSIM_WEIGHTS) if side >= window * 2**k]
        scales = [w / sum(fit) for w in fit]
    probability = check.wide(logits).sigmoid()
    focal = sigmoid_focal_loss(logits, target, gamma=gamma, alpha=alpha)
    structure = ms_ssim_loss(probability, target, weights=scales, window=window)
    overlap = iou_loss(probability, target)
    return HybridLoss(weights[0] * focal + weights[1] * structure + weights[2] * overlap, focal, structure, overlap)
