r"""Losses of overlap: how much of two masks is common, made smooth enough to train with.

:func:`dice_loss`, :func:`iou_loss` and :func:`tversky_loss` are one ratio with three denominators, and share the rest:

* **Target.** Masks of the same shape as ``probability``: bool, integer 0/1, or soft in [0, 1]; they may overlap.
  :func:`class_masks` makes them of a label map.
* ``ignore_index``: an element whose *target* has this value, such as 255 or -1, counts in no sum, and its probability
  gets no gradient.
* ``smooth``: :math:`\epsilon` of numerator and denominator, one number for both; or two,
  :math:`(\epsilon_n, \epsilon_d)`. The denominator's must be above 0. With one number, *nothing there and nothing
  predicted* is a loss of 0; with :math:`\epsilon_n = 0` it is 1, with no gradient.
* ``absent``: what a channel is worth whose truth is empty. ``"count"``: the ratio decides, so the loss is near 1 as
  soon as anything is predicted there, and pushes it down. ``"skip"``: its loss is 0 without a gradient, and the mean
  is over the channels whose truth is not empty (0 where all are).
* ``weight``: (C,) factors of the channels' losses. The mean is not divided by them.
* Sums run over rows and pixels: one ratio a channel for the whole batch, as in DTC. An image without the structure then
  does no harm, which it would if each had a ratio of its own (``pooled=False``).

They compute half precision in float32 and return it, pass a NaN in ``probability`` on to the loss, and give 0, with a
zero gradient, as the mean of an empty batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from . import _arguments as check

__all__ = ["class_masks", "dice_loss", "iou_loss", "tversky_loss"]


def class_masks(target: Tensor, *, num_classes: int, ignore_index: int | None = None) -> Tensor:
    r"""One mask a class of a label map, *one-hot*, in the order of axes that segmentation takes.

    .. math:: y_{bc}(x) = [\, t_b(x) = c \,]

    Where the map is ``ignore_index`` all C masks hold that value, for the losses to leave out. Chapter 08 opens with
    it.

    Args:
        target: (B, *spatial) class indices of any whole type.
        num_classes: C.
        ignore_index: a label outside 0 … C-1 and not 1, such as 255 or -1.

    Returns:
        (B, C, *spatial) int64.

    Raises:
        ValueError: if ``target`` does not hold whole numbers, or a label is neither a class nor ``ignore_index``.

    >>> class_masks(torch.tensor([[0, 1, 255]]), num_classes=2, ignore_index=255).tolist()
    [[[1, 0, 255], [0, 1, 255]]]
    """
    num_classes = check.whole(num_classes, "num_classes", low=1)
    if ignore_index is not None and -1 < check.whole(ignore_index, "ignore_index") < max(num_classes, 2):
        raise ValueError(f"ignore_index must be no class and no value of a mask, got {ignore_index}")
    filled, keep = check.kept(check.tensor(target, "target", "(B, ...)", kind="whole"), ignore_index)
    check.class_range(filled, num_classes)
    masks = F.one_hot(filled.long(), num_classes).movedim(-1, 1)
    return masks.contiguous() if keep is None else masks.masked_fill(~keep.unsqueeze(1), int(ignore_index or 0))


def dice_loss(
    probability: Tensor,
    target: Tensor,
    *,
    squared: bool = True,
    smooth: float | check.Numbers = 1e-5,
    pooled: bool = True,
    weight: check.Numbers | None = None,
    ignore_index: int | None = None,
    absent: str = "count",
    reduction: str = "mean",
) -> Tensor:
    r"""Soft Dice loss, pooled over the batch, averaged over channels.

    .. math:: L_{Dice} = 1 - \frac{2 \sum p y + \epsilon}{\sum p^2 + \sum y^2 + \epsilon}

    Where nothing is there and nothing is predicted the loss is 0.

    Args:
        probability: (B, C, *spatial) in [0, 1].
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        squared: squares in the denominator (V-Net, DTC); ``False`` for plain sums.
        smooth: :math:`\epsilon`, above 0; or (numerator's, at least 0, denominator's, above 0).
        pooled: ``False`` gives each row a ratio of its own.
        weight: (C,) factors of the channels' losses; ``None`` for 1.
        ignore_index: value of the target that is left out.
        absent: ``"count"`` or ``"skip"``, for a channel whose truth is empty.
        reduction: ``"none"``: (C,), or (B, C) unless pooled; ``"mean"``; or ``"sum"``.

    Returns:
        The loss, in float32 where the input is narrower. 0 for an empty batch.

    Raises:
        ValueError: if the shapes differ, ``probability`` is not floating-point, either holds a value outside [0, 1], or
            an option is out of its range.

    References:
        Milletari et al., V-Net, 3DV 2016, section 3.

    >>> mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    >>> dice_loss(mask, mask).item(), round(dice_loss(1 - mask, mask).item(), 4)
    (0.0, 1.0)
    """
    sums = _Sums(probability, target, smooth, pooled, weight, ignore_index, absent, reduction)
    p, y = sums.p, sums.y
    # For a 0/1 mask y^2 is y; soft targets need the square.
    size = sums.over(p.square()) + sums.over(y.square()) if squared else sums.over(p) + sums.over(y)
    return sums.loss(2 * sums.over(p * y), size)


def iou_loss(
    probability: Tensor,
    target: Tensor,
    *,
    smooth: float | check.Numbers = 1e-5,
    pooled: bool = True,
    weight: check.Numbers | None = None,
    ignore_index: int | None = None,
    absent: str = "count",
    reduction: str = "mean",
) -> Tensor:
    r"""Soft intersection over union (Jaccard) loss, pooled over the batch, averaged over channels.

    .. math:: L_{IoU} = 1 - \frac{\sum p y + \epsilon}{\sum p + \sum y - \sum p y + \epsilon}

    Where nothing is there and nothing is predicted the loss is 0. A soft mask against itself is not 0. Chapter 08
    (UNet 3+) will train with it.

    Args:
        probability: (B, C, *spatial) in [0, 1].
        target: as in :func:`dice_loss`.
        smooth: :math:`\epsilon`, above 0; or (numerator's, at least 0, denominator's, above 0).
        pooled: sums over the whole batch; ``False`` gives each row a ratio of its own, as UNet 3+ does.
        weight: (C,) factors of the channels' losses; ``None`` for 1.
        ignore_index: value of the target that is left out.
        absent: ``"count"`` or ``"skip"``, for a channel whose truth is empty.
        reduction: ``"none"``: (C,), or (B, C) unless pooled; ``"mean"``; or ``"sum"``.

    Returns:
        The loss, in float32 where the input is narrower. 0 for an empty batch.

    Raises:
        ValueError: as :func:`dice_loss`.

    References:
        Rahman & Wang, Optimizing Intersection-Over-Union in Deep Neural Networks, ISVC 2016.

    >>> round(iou_loss(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]), reduction="sum").item(), 4)
    1.0
    """
    sums = _Sums(probability, target, smooth, pooled, weight, ignore_index, absent, reduction)
    both = sums.over(sums.p * sums.y)
    return sums.loss(both, sums.over(sums.p) + sums.over(sums.y) - both)


def tversky_loss(
    probability: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 1.0,
    smooth: float | check.Numbers = 1e-5,
    pooled: bool = True,
    weight: check.Numbers | None = None,
    ignore_index: int | None = None,
    absent: str = "count",
    reduction: str = "mean",
) -> Tensor:
    r"""Tversky loss, an overlap in which a miss may cost more than a false alarm; with :math:`\gamma`, focal Tversky.

    .. math:: L = \left(1 - \frac{\sum p y + \epsilon}
              {\sum p y + \alpha \sum p (1 - y) + \beta \sum (1 - p) y + \epsilon}\right)^{1/\gamma}

    :math:`\alpha = \beta = \frac12` is Dice with plain sums, :math:`\alpha = \beta = 1` is IoU. :math:`\alpha` weighs
    false positives here, as in Salehi's paper and MONAI; in the focal paper it weighs the misses. There the power is
    :math:`1/\gamma` with :math:`\gamma` from 1 to 3 (best 4/3), as here; many copies take it as the power itself.
    With :math:`\gamma > 1` the slope grows without bound as the overlap becomes perfect; below a loss of 1e-6 it is
    held at its value there. No chapter tests it.

    Args:
        probability: (B, C, *spatial) in [0, 1].
        target: as in :func:`dice_loss`.
        alpha: :math:`\alpha`, the price of a false positive, at least 0.
        beta: :math:`\beta`, the price of a miss, at least 0.
        gamma: :math:`\gamma`, at least 1.
        smooth: :math:`\epsilon`, above 0; or (numerator's, at least 0, denominator's, above 0).
        pooled: sums over the whole batch; ``False`` gives each row a ratio of its own.
        weight: (C,) factors of the channels' losses; ``None`` for 1.
        ignore_index: value of the target that is left out.
        absent: ``"count"`` or ``"skip"``, for a channel whose truth is empty.
        reduction: ``"none"``: (C,), or (B, C) unless pooled; ``"mean"``; or ``"sum"``.

    Returns:
        The loss, in float32 where the input is narrower. 0 for an empty batch.

    Raises:
        ValueError: as :func:`dice_loss`; or if ``alpha`` or ``beta`` is below 0, or ``gamma`` below 1.

    References:
        Salehi, Erdogmus & Gholipour, Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional Deep
        Networks, MLMI 2017 (arXiv:1706.05721), equation 3; Abraham & Khan, A Novel Focal Tversky Loss Function with
        Improved Attention U-Net for Lesion Segmentation, ISBI 2019 (arXiv:1810.07842), equation 4.

    >>> miss, alarm = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 1.0, 1.0]]])
    >>> truth = torch.tensor([[[1, 1, 0]]])
    >>> round(tversky_loss(miss, truth).item(), 3), round(tversky_loss(alarm, truth).item(), 3)
    (0.412, 0.13)
    """
    alpha, beta = check.number(alpha, "alpha", low=0), check.number(beta, "beta", low=0)
    gamma = check.number(gamma, "gamma", low=1)
    sums = _Sums(probability, target, smooth, pooled, weight, ignore_index, absent, reduction)
    both, predicted, there = sums.over(sums.p * sums.y), sums.over(sums.p), sums.over(sums.y)
    return sums.loss(both, both + alpha * (predicted - both) + beta * (there - both), power=1 / gamma)


class _Sums:
    """What the three have in common: checked arguments, sums over pixels, and the loss of a ratio of such sums."""

    def __init__(self, probability, target, smooth, pooled, weight, ignore_index, absent, reduction):
        self.reduction = check.reduction(reduction)
        self.skip = check.choice(absent, "absent", ("count", "skip")) == "skip"
        self.smooth = _smooth(smooth)
        self.p, self.y = _masks(probability, target, ignore_index)
        self.weight = check.class_weight(weight, "weight", self.p)
        pixels = tuple(range(2, self.p.ndim))
        self.dims = (0, *pixels) if pooled else pixels

    def over(self, values: Tensor) -> Tensor:
        """(B, C, *spatial) -> (C,), or (B, C) where each row has a ratio of its own."""
        return values.sum(self.dims)

    def loss(self, common: Tensor, size: Tensor, *, power: float = 1.0) -> Tensor:
        loss = 1 - (common + self.smooth[0]) / (size + self.smooth[1])
        if power != 1:
            loss = _root(loss, power)
        if self.weight is not None:
            loss = loss * self.weight
        return check.reduced(loss, self.reduction, self.over(self.y) > 0 if self.skip else None)


def _root(loss: Tensor, power: float) -> Tensor:
    """A power below 1: a straight line through 0 below 1e-6, where the slope would grow without bound."""
    least = 1e-6
    return torch.where(loss > least, loss.clamp_min(least) ** power, loss * least ** (power - 1))


def _smooth(value) -> tuple[float, float]:
    if check.single(value) or isinstance(value, str) or not hasattr(value, "__len__"):
        both = check.number(value, "smooth", above=0)
        return both, both
    above, below = check.numbers(value, "smooth", length=2)
    return check.number(above, "smooth[0]", low=0), check.number(below, "smooth[1]", above=0)


def _masks(probability, target, ignore_index) -> tuple[Tensor, Tensor]:
    """Probabilities and masks, both (B, C, *spatial), of one type, 0 where the target is to be ignored."""
    target, keep = check.kept(target, ignore_index)
    if keep is not None and ignore_index in (0, 1):
        raise ValueError(f"ignore_index must not be 0 or 1, which masks hold, got {ignore_index}")
    p, y = check.soft_masks(probability, target)
    return (p, y) if keep is None else (p.where(keep, p.new_zeros(())), y)
