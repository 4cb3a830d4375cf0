r"""Losses for rare classes, for scores such as F1 and Dice, and for images that should look alike.

===============================  =====================================  ===========================================
loss                             input and target                       answers
===============================  =====================================  ===========================================
:func:`focal_loss`               logits (B, C, ...), classes            easy samples drown the hard ones
:func:`sigmoid_focal_loss`       logits, bits of the same shape         the same, many labels a sample
:func:`ldam_loss`                logits (B, C, ...), classes            rare classes need a wider margin
:func:`lmf_loss`                 logits (B, C, ...), classes            both: LDAM plus focal
:func:`soft_f1_loss`             logits (..., C), bits                  the score is macro F1
:func:`sigmoid_f1_loss`          logits (..., C), bits                  the same, with a tuned sigmoid
:func:`hamming_loss`             logits, bits of the same shape         the score is the share of wrong bits
:func:`dice_loss`                probability (B, C, ...), masks         the score is Dice
:func:`iou_loss`                 probability (B, C, ...), masks         the score is IoU
:func:`tversky_loss`             probability (B, C, ...), masks         a miss costs more than a false alarm
:func:`ms_ssim_loss`             images (B, C, H, W[, D])               structure at several scales
===============================  =====================================  ===========================================

All take ``reduction="none" | "mean" | "sum"``; compute half precision in float32 and return it; pass a NaN in the
logits on to the loss; and give 0, with a zero gradient, as the mean of an empty batch. (Dice, IoU and Tversky are at
home in :mod:`tutorial_lib.overlap`, the last in :mod:`tutorial_lib.similarity`.)
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import _arguments as check
from ._kernels.entropy import cross_entropy, sigmoid_focal
from .overlap import dice_loss, iou_loss, tversky_loss
from .similarity import MS_SSIM_WEIGHTS, ms_ssim, ms_ssim_loss

__all__ = [
    "MS_SSIM_WEIGHTS",
    "CosineHead",
    "class_balanced_weights",
    "dice_loss",
    "drw_weights",
    "focal_loss",
    "hamming_loss",
    "iou_loss",
    "ldam_loss",
    "ldam_margins",
    "lmf_loss",
    "ms_ssim",
    "ms_ssim_loss",
    "sigmoid_f1_loss",
    "sigmoid_focal_loss",
    "soft_f1_loss",
    "tversky_loss",
]

# --- Focal ----------------------------------------------------------------------------------------------------------


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: check.Numbers | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Softmax focal loss: cross-entropy that counts a sample less the better it is already classified.

    .. math:: L = -\sum_c y_c\, \alpha_c\, (1 - p_c)^\gamma \log p_c, \qquad p = \mathrm{softmax}(x)

    With class indices only the true class is left of the sum. :math:`\gamma = 0` is cross-entropy. The power is taken
    sample by sample, before any mean: of a mean it would only scale the learning rate. (kornia and MONAI have the same
    terms; their mean is over the classes too, so it is C times smaller.)

    A class that the batch does not hold adds no term; its logits are still pushed down by the others' terms.

    Args:
        logits: (B, C, ...) scores before the softmax.
        target: (B, ...) class indices, or (B, C, ...) soft targets, floating-point, in [0, 1].
        gamma: :math:`\gamma`, at least 0.
        alpha: (C,) weights of the classes, such as :func:`class_balanced_weights`; ``None`` for 1.
        ignore_index: a class index that is left out: its loss is 0, and the mean is over the others. It may be one that
            is no class, such as 255 or -1. Soft targets have none.
        reduction: ``"none"``: (B, ...); ``"mean"`` over the targets, not divided by the weights; or ``"sum"``.

    Returns:
        The loss, in float32 where the logits are narrower.

    Raises:
        ValueError: if shapes or types do not fit, a target is out of range, or an option is.

    References:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017 (arXiv:1708.02002), equations 4 and 5.

    >>> logits, target = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    >>> round(float(focal_loss(logits, target)), 6), round(float(focal_loss(logits, target, gamma=0.0)), 6)
    (0.001804, 0.126928)
    """
    reduction, gamma = check.reduction(reduction), check.number(gamma, "gamma", low=0)
    target, keep = check.kept(target, ignore_index)
    logits, indices = check.class_target(logits, target, soft=True)
    alpha = check.class_weight(alpha, "alpha", logits)
    if indices:
        loss = _focus(cross_entropy(logits, target), gamma)  # (B, C, ...) -> (B, ...)
        return check.reduced(loss if alpha is None else loss * alpha[target], reduction, keep)
    if keep is not None:
        raise ValueError(f"ignore_index must be None for soft targets, which name no class, got {ignore_index}")
    loss = _focus(-logits.log_softmax(1), gamma) * target.to(logits.dtype)  # (B, C, ...)
    if alpha is not None:
        loss = loss * alpha.view(-1, *[1] * (logits.ndim - 2))  # (C,) -> (C, 1, ...)
    return check.reduced(loss.sum(1), reduction)


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: check.Numbers | None = None,
    pos_weight: float | check.Numbers | None = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Sigmoid focal loss, one yes or no for each element.

    .. math:: L = -w_c \left[ \alpha\, w^+_c\, y\, (1 - p)^\gamma \log p
              + (1 - \alpha) (1 - y)\, p^\gamma \log(1 - p) \right], \qquad p = \sigma(x)

    ``alpha=None`` leaves its two factors out. :math:`\gamma = 0` is then binary cross-entropy. For soft targets it is
    the mixture of the two losses, as in :func:`focal_loss` (torchvision mixes the probabilities instead).

    A class that the batch does not hold still has its negatives, and a loss. Chapter 08 (UNet 3+) trains with it.

    Args:
        logits: any shape.
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        gamma: :math:`\gamma`, at least 0.
        alpha: :math:`\alpha` in [0, 1], the weight of the positives; the paper's value is 0.25.
        weight: :math:`w`, (C,) for logits (B, C, ...), one factor a class; ``None`` for 1. The mean is not divided by
            it.
        pos_weight: :math:`w^+`, the positives' factor: one number, or (C,) for logits (B, C, ...), such as a class's
            negatives over its positives. (``BCEWithLogitsLoss`` wants them in a shape that it can broadcast.)
        ignore_index: a value of the target that is left out, not 0 or 1: its loss is 0, and the mean is over the
            others.
        reduction: ``"none"``: the input's shape; ``"mean"`` over all elements; or ``"sum"``.

    Returns:
        The loss, in float32 where the logits are narrower.

    Raises:
        ValueError: if shapes or types do not fit, a target is out of range, or an option is.

    References:
        Lin et al., ICCV 2017 (arXiv:1708.02002), equations 4 and 5.

    >>> round(float(sigmoid_focal_loss(torch.tensor([2.0]), torch.tensor([1]), alpha=0.25)), 6)
    0.000451
    """
    reduction, gamma = check.reduction(reduction), check.number(gamma, "gamma", low=0)
    alpha = None if alpha is None else check.number(alpha, "alpha", low=0, high=1)
    target, keep = check.kept(target, ignore_index)
    if keep is not None and ignore_index in (0, 1):
        raise ValueError(f"ignore_index must not be 0 or 1, which the target holds, got {ignore_index}")
    logits, target = check.bits(logits, target)
    yes, no = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    positives = _each_class(pos_weight, "pos_weight", logits)
    factor = yes if positives is None else yes * positives
    sign = target.mul(-2).add_(1)  # -1 for a positive, 1 for a negative
    if not sign.numel() or bool(sign.abs().amin() == 1):
        loss = sigmoid_focal(logits, sign, gamma)
        if alpha is not None or positives is not None:
            loss = loss * (target * (factor - no) + no)
    else:
        one = torch.ones_like(sign)
        positive, negative = sigmoid_focal(logits, -one, gamma), sigmoid_focal(logits, one, gamma)
        loss = factor * target * positive + no * (1 - target) * negative
    classes = _each_class(weight, "weight", logits)
    return check.reduced(loss if classes is None else loss * classes, reduction, keep)


def _each_class(value: Any, name: str, logits: Tensor) -> Any:
    """One number, or (C,) of them in a shape that fits logits (B, C, ...); ``None`` stays."""
    if value is None or name == "pos_weight" and check.single(value):
        return None if value is None else check.number(value, name, low=0)
    if logits.ndim < 2:
        raise ValueError(f"logits must be (B, C, ...) where {name} has a number a class, got {check.what(logits)}")
    weight: Any = check.class_weight(value, name, logits)
    return weight.view(-1, *[1] * (logits.ndim - 2))  # (C,) -> (C, 1, ...)


def _focus(entropy: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma * -log(p), from -log(p): nothing is lost where p is near 1."""
    if gamma == 0:
        return entropy
    # The slope of a power below 1 is infinite at 0, where the product's is 0: keep off. No entropy but 0 is that small.
    wrong = -torch.expm1(-entropy.clamp_min(torch.finfo(entropy.dtype).eps / 4))
    return wrong**gamma * entropy


# --- Margins and weights for a long tail ----------------------------------------------------------------------------


def ldam_margins(class_counts: check.Numbers, *, max_margin: float = 0.5) -> Tensor:
    r"""Margins that are wider for rarer classes.

    .. math:: m_j = M\, \frac{n_j^{-1/4}}{\max_k n_k^{-1/4}}

    Args:
        class_counts: (C,) :math:`n_j`, training samples of each class, each at least 1.
        max_margin: :math:`M`, the margin of the rarest class, at least 0.

    Returns:
        (C,) float64 (float32 on Apple's GPUs), on the device of ``class_counts``.

    Raises:
        ValueError: if a count is below 1 or ``max_margin`` below 0.

    References:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019
        (arXiv:1906.07413), section 3.2.

    >>> ldam_margins([10000, 625, 16]).tolist()
    [0.1, 0.2, 0.5]
    """
    counts, max_margin = check.class_counts(class_counts), check.number(max_margin, "max_margin", low=0)
    return max_margin * (counts.min() / counts) ** 0.25


def class_balanced_weights(class_counts: check.Numbers, *, beta: float = 0.9999) -> Tensor:
    r"""Class weights by the effective number of samples.

    .. math:: w_j \propto \frac{1 - \beta}{1 - \beta^{n_j}}, \qquad \sum_j w_j = C

    :math:`\beta = 0` gives equal weights; :math:`\beta = 1`, the limit, inverse frequency.

    Args:
        class_counts: (C,) :math:`n_j`, training samples of each class, each at least 1.
        beta: :math:`\beta` in [0, 1].

    Returns:
        (C,) float64 (float32 on Apple's GPUs), on the device of ``class_counts``.

    Raises:
        ValueError: if a count is below 1 or ``beta`` out of range.

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019 (arXiv:1901.05555).

    >>> class_balanced_weights([300, 100], beta=1.0).tolist()
    [0.5, 1.5]
    """
    counts, beta = check.class_counts(class_counts), check.number(beta, "beta", low=0, high=1)
    if beta == 1:
        weights = 1 / counts
    elif beta == 0:
        weights = torch.ones_like(counts)
    else:
        weights = 1 / -torch.expm1(counts * math.log(beta))
    return weights * (len(counts) / weights.sum())


def drw_weights(class_counts: check.Numbers, *, epoch: int, start: int, beta: float = 0.9999) -> Tensor:
    r"""Deferred re-weighting: equal weights first, :func:`class_balanced_weights` from an epoch on.

    Args:
        class_counts: (C,) training samples of each class, each at least 1.
        epoch: the current epoch, from 0.
        start: the first epoch with class-balanced weights; the paper's is 160 of 200, where the learning rate drops.
        beta: as in :func:`class_balanced_weights`.

    Returns:
        (C,) float64 (float32 on Apple's GPUs), on the device of ``class_counts``; their sum is C in both phases.

    Raises:
        ValueError: as :func:`class_balanced_weights`.

    References:
        Cao et al., NeurIPS 2019 (arXiv:1906.07413), algorithm 1.

    >>> [drw_weights([300, 100], epoch=epoch, start=160, beta=1.0).tolist() for epoch in (159, 160)]
    [[1.0, 1.0], [0.5, 1.5]]
    """
    deferred = check.number(epoch, "epoch") < check.number(start, "start", finite=False)
    beta = check.number(beta, "beta", low=0, high=1)
    return class_balanced_weights(class_counts, beta=0.0 if deferred else beta)


def ldam_loss(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: check.Numbers,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weight: check.Numbers | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Label-distribution-aware margin loss: cross-entropy that asks more of the rarer classes.

    .. math:: L = -w_y \log \frac{e^{s (x_y - m_y)}}{e^{s (x_y - m_y)} + \sum_{j \ne y} e^{s x_j}}

    The margins :math:`m` are :func:`ldam_margins`. They and :math:`s` are meant for logits in [-1, 1], as
    :class:`CosineHead` gives: there a margin of 0.5 is a quarter of all there is. A plain linear head can buy any
    margin with longer weights. Margin 0 is cross-entropy of the scaled logits.

    A class that the batch does not hold adds no term; its logits are still pushed down by the others' terms.

    Args:
        logits: (B, C, ...) scores, best cosines.
        target: (B, ...) class indices. There are no soft targets: a margin belongs to one class. For mixed samples
            mix two losses.
        class_counts: (C,) training samples of each class, each at least 1.
        max_margin: the margin of the rarest class, at least 0.
        scale: :math:`s`, above 0.
        weight: (C,) :math:`w`, such as :func:`drw_weights`; ``None`` for 1.
        reduction: ``"none"``: (B, ...); ``"mean"``, divided by the sum of the samples' weights as in
            ``F.cross_entropy``; or ``"sum"``.

    Returns:
        The loss, in float32 where the logits are narrower.

    Raises:
        ValueError: if shapes or types do not fit, a target or a count is out of range, or an option is.

    References:
        Cao et al., NeurIPS 2019 (arXiv:1906.07413), section 3.2.

    >>> cosines = torch.tensor([[0.5, 0.0]])
    >>> [round(float(ldam_loss(cosines, torch.tensor([c]), class_counts=[16, 1], scale=4.0)), 4) for c in (0, 1)]
    [0.3133, 4.0181]
    """
    reduction, scale = check.reduction(reduction), check.number(scale, "scale", above=0)
    logits, _ = check.class_target(logits, target)
    margins = ldam_margins(class_counts, max_margin=max_margin)  # (C,)
    margins = torch.as_tensor(check.class_weight(margins, "class_counts", logits))
    weight = check.class_weight(weight, "weight", logits)
    # A softmax does not see a shift of the row, but a margin of 0.5 beside a logit of 1e4 would lose its digits.
    moved = scale * (logits - logits.detach().amax(1, keepdim=True))
    moved = moved.scatter_add_(1, target.unsqueeze(1), -scale * margins[target].unsqueeze(1))  # (B, C, ...)
    loss = cross_entropy(moved, target)  # (B, ...)
    if weight is None:
        return check.reduced(loss, reduction)
    weight = weight[target]
    if reduction == "mean":
        total = weight.sum()  # 0 for an empty batch, or where every sample weighs nothing
        return (loss * weight).sum() / total.where(total > 0, 1.0)
    return check.reduced(loss * weight, reduction)


def lmf_loss(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: check.Numbers,
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 2.0,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weight: str | check.Numbers | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Large-margin-aware focal loss: LDAM plus focal, both of the same logits.

    .. math:: L_{LMF} = \alpha\, L_{LDAM} + \beta\, L_{focal}

    =======================  ==================  ===================================================================
    what                     the formula         the published code
    =======================  ==================  ===================================================================
    :math:`\alpha, \beta`    1, 1                1.5, 1
    :math:`\gamma`           open                1.5
    class weights            none                ``weight="margins"``: the margins once more, for both terms
    head                     open                ``nn.Linear``, so unbounded logits times 30
    =======================  ==================  ===================================================================

    LDAM's weighted mean is divided by the sum of the weights and focal's is not, as in the code: ``"margins"``
    therefore also makes the focal term smaller against the other, by about the mean margin.

    A class that the batch does not hold adds no term; its logits are still pushed down by the others' terms.

    Args:
        logits: (B, C, ...) scores.
        target: (B, ...) class indices.
        class_counts: (C,) training samples of each class, each at least 1.
        alpha: :math:`\alpha`, weight of LDAM, at least 0.
        beta: :math:`\beta`, weight of focal, at least 0. (A copy that circulates has the two the other way round.)
        gamma: of :func:`focal_loss`.
        max_margin: of :func:`ldam_loss`.
        scale: of :func:`ldam_loss`; focal sees the logits as they are.
        weight: (C,) class weights of both terms, ``"margins"``, or ``None``.
        reduction: of both terms.

    Returns:
        The loss, in float32 where the logits are narrower.

    Raises:
        ValueError: as :func:`ldam_loss` and :func:`focal_loss`.

    References:
        Sadi et al., LMFLOSS: A Hybrid Loss for Imbalanced Medical Image Classification (arXiv:2212.12741); its code
        Adnan-Sadi/LMFLOSS.

    >>> logits, target, options = torch.tensor([[0.5, 0.0]]), torch.tensor([1]), {"class_counts": [16, 1]}
    >>> parts = ldam_loss(logits, target, **options) + focal_loss(logits, target)
    >>> bool(lmf_loss(logits, target, **options) == parts)
    True
    """
    alpha, beta = check.number(alpha, "alpha", low=0), check.number(beta, "beta", low=0)
    if isinstance(weight, str):
        check.choice(weight, "weight", ("margins", None))
        weight = ldam_margins(class_counts, max_margin=max_margin)
    margin: dict[str, Any] = {"class_counts": class_counts, "max_margin": max_margin, "scale": scale}
    ldam = ldam_loss(logits, target, **margin, weight=weight, reduction=reduction)
    return alpha * ldam + beta * focal_loss(logits, target, gamma=gamma, alpha=weight, reduction=reduction)


class CosineHead(nn.Module):
    r"""A last layer whose logits are cosines between the features and one direction for each class.

    .. math:: x_j = s\, \frac{\langle h, w_j \rangle}{\lVert h \rVert\, \lVert w_j \rVert}

    Features of length 0 give logits 0.

    Args:
        in_features: length of the features.
        num_classes: C.
        scale: :math:`s`. 1 for losses that scale by themselves (:func:`ldam_loss`, :func:`lmf_loss`); about 30 for
            plain cross-entropy, which can do little with logits in [-1, 1].

    Shape:
        (..., in_features) to (..., C).

    Raises:
        ValueError: if a size is below 1 or ``scale`` not above 0.

    References:
        Wang et al., NormFace, ACM MM 2017 (arXiv:1704.06369); Cao et al., NeurIPS 2019.

    >>> head = CosineHead(2, 3)
    >>> bool((head(torch.tensor([[3.0, 4.0]])).abs() <= 1).all())
    True
    """

    def __init__(self, in_features: int, num_classes: int, *, scale: float = 1.0):
        super().__init__()
        size = check.whole(num_classes, "num_classes", low=1), check.whole(in_features, "in_features", low=1)
        self.scale = check.number(scale, "scale", above=0)
        # Independent normal numbers: every direction is equally likely.
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled cosines, in the features' type."""
        features = check.tensor(features, "features", f"(..., {self.weight.shape[1]})", kind="floating-point")
        with check.no_autocast(features.device):
            directions = _directions(self.weight).to(check.wide(features).dtype)
            cosines = F.linear(_directions(features), directions)  # (..., in_features) -> (..., C)
            return (self.scale * cosines).to(features.dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, num_classes={self.weight.shape[0]}, scale={self.scale}"


def _directions(vectors: Tensor) -> Tensor:
    """Vectors of length 1, or 0 where they are 0."""
    vectors = check.wide(vectors)
    # Made of size 1 first: no float32 holds the square of 1e30, or of 1e-30.
    size = vectors.detach().abs().amax(-1, keepdim=True)
    vectors = vectors / torch.where(size > 0, size, 1)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(length > 0, length, 1)


# --- Scores of many labels ------------------------------------------------------------------------------------------


def soft_f1_loss(logits: Tensor, target: Tensor, *, double: bool = True, reduction: str = "mean") -> Tensor:
    r"""Macro soft F1: F1 of the expected counts, one class at a time, for the label and for its absence.

    .. math:: L_c = \frac12 \left(1 - \frac{2\, tp}{2\, tp + fp + fn}\right)
                  + \frac12 \left(1 - \frac{2\, tn}{2\, tn + fp + fn}\right), \qquad
              tp = \textstyle\sum p y,\; fp = \sum p (1 - y),\; fn = \sum (1 - p) y,\; tn = \sum (1 - p)(1 - y)

    The sums run over the batch: a batch has one F1 a class, which is not the mean of its samples'. So the loss of a
    small batch is biased against the loss of the whole set, most for rare labels.

    A class without a positive in the batch has :math:`tp = 0`: its first half is 1 whatever is predicted, with no
    gradient, and its second half goes on. The same holds the other way round where all are positive.

    Args:
        logits: (..., C) scores before the sigmoid; all leading dimensions are the batch.
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        double: ``False`` leaves the second half out: :math:`L_c = 1 - F_1`.
        reduction: over classes: ``"none"`` (C,), ``"mean"`` (macro), or ``"sum"``.

    Returns:
        The loss, in [0, 1] a class; in float32 where the logits are narrower.

    Raises:
        ValueError: if shapes or types do not fit, or a target is out of range.

    References:
        The double form is known from the repository ashrefm/multi-label-soft-f1.

    >>> sure = torch.tensor([[40.0, -40.0], [-40.0, 40.0]])
    >>> soft_f1_loss(sure, sure > 0).item(), soft_f1_loss(sure, sure < 0).item()
    (0.0, 1.0)
    """
    reduction = check.reduction(reduction)
    logits, target = _rows(*check.bits(logits, target, "(..., C)"))
    loss = _f1_loss(logits.sigmoid(), target)  # (rows, C) -> (C,)
    if double:
        # sigmoid(-x), not 1 - sigmoid(x): that is 0 long before the other is.
        loss = (loss + _f1_loss((-logits).sigmoid(), 1 - target)) / 2
    return check.reduced(loss, reduction)


def sigmoid_f1_loss(
    logits: Tensor, target: Tensor, *, beta: float = 1.0, eta: float = 0.0, reduction: str = "mean"
) -> Tensor:
    r"""SigmoidF1: macro F1 of counts that a tuned sigmoid makes smooth.

    .. math:: L_c = 1 - \frac{2\, tp}{2\, tp + fp + fn}, \qquad S(x) = \frac{1}{1 + e^{-\beta (x + \eta)}}

    with the counts of :func:`soft_f1_loss`, :math:`S` in place of p. It is the equation of the paper, on logits. The
    published code puts the logits through a sigmoid before S, which leaves S between 0.50 and 0.73.

    A class without a positive in the batch costs 1 whatever is predicted, with no gradient.

    Args:
        logits: (..., C) scores before the sigmoid; all leading dimensions are the batch.
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        beta: slope, above 0. A large one is near the step that the score takes, and has little gradient.
        eta: offset.
        reduction: over classes: ``"none"`` (C,), ``"mean"`` (macro), or ``"sum"``.

    Returns:
        The loss, in [0, 1] a class; in float32 where the logits are narrower.

    Raises:
        ValueError: if shapes or types do not fit, a target is out of range, or an option is.

    References:
        Bénédict et al., sigmoidF1: A Smooth F1 Score Surrogate Loss for Multilabel Classification, TMLR 2022
        (arXiv:2108.10566).

    >>> sure = torch.tensor([[40.0, -40.0], [-40.0, 40.0]])
    >>> sigmoid_f1_loss(sure, sure > 0).item()
    0.0
    """
    reduction = check.reduction(reduction)
    beta, eta = check.number(beta, "beta", above=0), check.number(eta, "eta")
    logits, target = _rows(*check.bits(logits, target, "(..., C)"))
    return check.reduced(_f1_loss((beta * (logits + eta)).sigmoid(), target), reduction)


def _rows(*tensors: Tensor) -> list[Tensor]:
    """All leading dimensions as one: (..., C) -> (rows, C)."""
    return [tensor.reshape(math.prod(tensor.shape[:-1]), tensor.shape[-1]) for tensor in tensors]


def _f1_loss(p: Tensor, y: Tensor) -> Tensor:
    """1 - F1 of each class, over rows: 2 tp + fp + fn is what is predicted plus what is there."""
    both, total = (p * y).sum(0), p.sum(0) + y.sum(0)
    if not len(p):
        return both
    # Nothing there and nothing predicted, to the last digit: 1, as for every larger p.
    return 1 - 2 * both / total.clamp_min(torch.finfo(total.dtype).tiny)


def hamming_loss(logits: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Expected share of wrong bits when each is drawn with its probability.

    .. math:: L = p (1 - y) + (1 - p)\, y, \qquad p = \sigma(x)

    For sure predictions it is scikit-learn's Hamming loss. Where it is sure and wrong there is next to no gradient,
    unlike in cross-entropy.

    Args:
        logits: any shape, scores before the sigmoid.
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        reduction: ``"none"``: the input's shape; ``"mean"`` over all elements; or ``"sum"``.

    Returns:
        The loss, in [0, 1] an element; in float32 where the logits are narrower.

    Raises:
        ValueError: if shapes or types do not fit, or a target is out of range.

    >>> hamming_loss(torch.tensor([[40.0, -40.0, 40.0, 0.0]]), torch.tensor([[1, 0, 0, 1]])).item()
    0.375
    """
    reduction = check.reduction(reduction)
    logits, target = check.bits(logits, target)
    return check.reduced(logits.sigmoid() * (1 - target) + (-logits).sigmoid() * target, reduction)
