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
:func:`ms_ssim_loss`             images (B, C, H, W[, D])               structure at several scales
===============================  =====================================  ===========================================

All take ``reduction="none" | "mean" | "sum"``; compute half precision in float32 and return it; pass a NaN in the
logits on to the loss; and give 0, with a zero gradient, as the mean of an empty batch.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
]

# --- Focal ----------------------------------------------------------------------------------------------------------


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: Tensor | Sequence[float] | None = None,
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
    _check_reduction(reduction)
    gamma = _check_number("gamma", gamma)
    logits, indices = _class_input(logits, target, soft=True)
    alpha = _class_weight("alpha", alpha, logits)
    if indices:
        loss = _focus(_cross_entropy(logits, target), gamma)
        return _reduce(loss if alpha is None else loss * alpha[target], reduction)
    loss = _focus(-logits.log_softmax(1), gamma) * target.to(logits.dtype)
    if alpha is not None:
        loss = loss * alpha.view(-1, *[1] * (logits.ndim - 2))
    return _reduce(loss.sum(1), reduction)


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Sigmoid focal loss, one yes or no for each element.

    .. math:: L = -\alpha\, y\, (1 - p)^\gamma \log p - (1 - \alpha) (1 - y)\, p^\gamma \log(1 - p),
              \qquad p = \sigma(x)

    ``alpha=None`` leaves both factors out. :math:`\gamma = 0` is then binary cross-entropy. For soft targets it is the
    mixture of the two losses, as in :func:`focal_loss` (torchvision mixes the probabilities instead).

    A class that the batch does not hold still has its negatives, and a loss.

    Args:
        logits: any shape.
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        gamma: :math:`\gamma`, at least 0.
        alpha: :math:`\alpha` in [0, 1], the weight of the positives; the paper's value is 0.25.
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
    _check_reduction(reduction)
    gamma = _check_number("gamma", gamma)
    if alpha is not None:
        alpha = _check_number("alpha", alpha, high=1.0)
    logits, target = _bit_input(logits, target)
    sign = torch.rsub(target, 1, alpha=2)
    if not sign.numel() or bool(sign.abs().amin() == 1):
        loss = _SigmoidFocal.apply(logits, sign, gamma)[0]
        return _reduce(loss if alpha is None else loss * target.mul(2 * alpha - 1).add_(1 - alpha), reduction)
    yes, no = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    one = torch.ones_like(sign)
    positive, negative = (_SigmoidFocal.apply(logits, sign, gamma)[0] for sign in (-one, one))
    return _reduce(yes * target * positive + no * (1 - target) * negative, reduction)


def _focus(entropy: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma * -log(p), from -log(p): nothing is lost where p is near 1."""
    if gamma == 0:
        return entropy
    # The slope of a power below 1 is infinite at 0, where the product's is 0: keep off. No entropy but 0 is that small.
    wrong = -torch.expm1(-entropy.clamp_min(torch.finfo(entropy.dtype).eps / 4))
    return wrong**gamma * entropy


# Both functions below make, with the loss, the array that the gradient needs, and give it away at the first backward
# pass. A second pass (retain_graph), or one that is differentiated itself, makes it anew from the logits. torch.vmap
# does not know them.


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """``F.cross_entropy(reduction="none")`` that keeps one array of the logits' size, not three."""
    return _CrossEntropy.apply(logits, target)[0]


class _CrossEntropy(torch.autograd.Function):
    """The gradient is p - onehot, and p is what the forward pass has made."""

    @staticmethod
    def forward(logits, target):
        p = logits.softmax(1)
        true = p.gather(1, target.unsqueeze(1)).squeeze(1)
        entropy = -true.log()
        number = torch.finfo(p.dtype)
        lost = true < number.tiny / number.eps  # too small to have all its digits, or 0
        if bool(lost.any()):
            rows = logits.movedim(1, -1)[lost].log_softmax(-1)
            entropy[lost] = -rows.gather(-1, target[lost].unsqueeze(-1)).squeeze(-1)
        return entropy, p

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or the second output's would be a whole array of zeros
        ctx.p = output[1]

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return None, None
        logits, target = ctx.saved_tensors
        grad, target = grad.unsqueeze(1), target.unsqueeze(1)
        p, ctx.p = ctx.p, None
        if p is None or torch.is_grad_enabled():
            p = logits.softmax(1) * grad
        else:
            p.mul_(grad)
        return p.scatter_add_(1, target, -grad), None


class _SigmoidFocal(torch.autograd.Function):
    """Focal loss of bits and its slope from the same exponentials; ``sign`` is -1 for a positive, 1 for a negative."""

    @staticmethod
    def forward(logits, sign, gamma):
        u = sign * logits
        entropy, wrong = F.softplus(u, threshold=50), u.sigmoid()
        # A power below 1 has no slope at 0: keep off, for those who differentiate twice.
        factor = (wrong if gamma >= 1 else wrong.clamp_min(torch.finfo(u.dtype).tiny)) ** gamma
        slope = ((1 - wrong) * entropy).mul_(gamma).add_(wrong)
        return factor * entropy, (slope * factor).mul_(sign)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.gamma, ctx.slope = inputs[2], output[1]

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return None, None, None
        slope, ctx.slope = ctx.slope, None
        if slope is None or torch.is_grad_enabled():
            return grad * _SigmoidFocal.forward(*ctx.saved_tensors, ctx.gamma)[1], None, None
        return slope.mul_(grad), None, None


# --- Margins and weights for a long tail ----------------------------------------------------------------------------


def ldam_margins(class_counts: Sequence[int] | Tensor, *, max_margin: float = 0.5) -> Tensor:
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
    counts = _check_counts(class_counts)
    return _check_number("max_margin", max_margin) * (counts.min() / counts) ** 0.25


def class_balanced_weights(class_counts: Sequence[int] | Tensor, *, beta: float = 0.9999) -> Tensor:
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
    counts = _check_counts(class_counts)
    beta = _check_number("beta", beta, high=1.0)
    if beta == 1:
        weights = 1 / counts
    elif beta == 0:
        weights = torch.ones_like(counts)
    else:
        weights = 1 / -torch.expm1(counts * math.log(beta))
    return weights * (len(counts) / weights.sum())


def drw_weights(class_counts: Sequence[int] | Tensor, *, epoch: int, start: int, beta: float = 0.9999) -> Tensor:
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
    return class_balanced_weights(class_counts, beta=beta if epoch >= start else 0.0)


def ldam_loss(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: Sequence[int] | Tensor,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weight: Tensor | Sequence[float] | None = None,
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
    _check_reduction(reduction)
    scale = _check_number("scale", scale, open=True)
    margins = ldam_margins(class_counts, max_margin=max_margin)
    logits, _ = _class_input(logits, target, soft=False)
    margins = _class_weight("class_counts", margins, logits)
    weight = _class_weight("weight", weight, logits)
    # A softmax does not see a shift of the row, but a margin of 0.5 beside a logit of 1e4 would lose its digits.
    moved = scale * (logits - logits.detach().amax(1, keepdim=True))
    moved = moved.scatter_add_(1, target.unsqueeze(1), -scale * margins[target].unsqueeze(1))
    loss = _cross_entropy(moved, target)
    if weight is None:
        return _reduce(loss, reduction)
    weight = weight[target]
    if reduction == "mean":
        total = weight.sum()  # 0 for an empty batch, or where every sample weighs nothing
        return (loss * weight).sum() / total.where(total > 0, 1.0)
    return _reduce(loss * weight, reduction)


def lmf_loss(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: Sequence[int] | Tensor,
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 2.0,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weight: str | Tensor | Sequence[float] | None = None,
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
    alpha, beta = _check_number("alpha", alpha), _check_number("beta", beta)
    if isinstance(weight, str):
        if weight != "margins":
            raise ValueError(f"weight must be class weights, 'margins' or None, got {weight!r}")
        weight = ldam_margins(class_counts, max_margin=max_margin)
    margin = {"class_counts": class_counts, "max_margin": max_margin, "scale": scale}
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
        for name, size in (("in_features", in_features), ("num_classes", num_classes)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.scale = _check_number("scale", scale, open=True)
        # Independent normal numbers: every direction is equally likely.
        self.weight = nn.Parameter(torch.randn(num_classes, in_features))

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled cosines."""
        cosines = F.linear(F.normalize(features, dim=-1), F.normalize(self.weight, dim=-1))
        return self.scale * cosines

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, num_classes={self.weight.shape[0]}, scale={self.scale}"


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
    _check_reduction(reduction)
    logits, target = _bit_input(logits, target, classes=True)
    loss = _f1_loss(logits.sigmoid(), target)
    if double:
        # sigmoid(-x), not 1 - sigmoid(x): that is 0 long before the other is.
        loss = (loss + _f1_loss((-logits).sigmoid(), 1 - target)) / 2
    return _reduce(loss, reduction)


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
    _check_reduction(reduction)
    beta = _check_number("beta", beta, open=True)
    eta = _check_number("eta", eta, low=-math.inf)
    logits, target = _bit_input(logits, target, classes=True)
    return _reduce(_f1_loss((beta * (logits + eta)).sigmoid(), target), reduction)


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
    _check_reduction(reduction)
    logits, target = _bit_input(logits, target)
    return _reduce(logits.sigmoid() * (1 - target) + (-logits).sigmoid() * target, reduction)


# --- Overlap of masks -----------------------------------------------------------------------------------------------


def dice_loss(
    probability: Tensor,
    target: Tensor,
    *,
    squared: bool = True,
    smooth: float = 1e-5,
    pooled: bool = True,
    reduction: str = "mean",
) -> Tensor:
    r"""Soft Dice loss, pooled over the batch, averaged over channels.

    .. math:: L_{Dice} = 1 - \frac{2 \sum p y + \epsilon}{\sum p^2 + \sum y^2 + \epsilon}

    The sums run over rows and pixels: one ratio for the whole batch, as in DTC. An image without the structure then
    does no harm, which it would if each had a ratio of its own (``pooled=False``). Where nothing is there and nothing
    is predicted the loss is 0.

    Args:
        probability: (B, C, *spatial) in [0, 1].
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        squared: squares in the denominator (V-Net, DTC); ``False`` for plain sums.
        smooth: :math:`\epsilon`, above 0.
        pooled: ``False`` gives each row a ratio of its own.
        reduction: ``"none"``: (C,), or (B, C) unless pooled; ``"mean"``; or ``"sum"``.

    Returns:
        The loss, in float32 where the input is narrower. 0 for an empty batch.

    Raises:
        ValueError: if the shapes differ, ``probability`` is not floating-point, or ``smooth`` is not above 0.

    References:
        Milletari et al., V-Net, 3DV 2016, section 3.

    >>> mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    >>> dice_loss(mask, mask).item(), round(dice_loss(1 - mask, mask).item(), 4)
    (0.0, 1.0)
    """
    p, y, pixels = _mask_input(probability, target, smooth, pooled, reduction)
    both = (p * y).sum(pixels)
    # For a 0/1 mask y^2 is y; soft targets need the square.
    p, y = (p.square(), y.square()) if squared else (p, y)
    return _reduce(1 - (2 * both + smooth) / (p.sum(pixels) + y.sum(pixels) + smooth), reduction)


def iou_loss(
    probability: Tensor, target: Tensor, *, smooth: float = 1e-5, pooled: bool = True, reduction: str = "mean"
) -> Tensor:
    r"""Soft intersection over union (Jaccard) loss, pooled over the batch, averaged over channels.

    .. math:: L_{IoU} = 1 - \frac{\sum p y + \epsilon}{\sum p + \sum y - \sum p y + \epsilon}

    Where nothing is there and nothing is predicted the loss is 0. A soft mask against itself is not 0.

    Args:
        probability: (B, C, *spatial) in [0, 1].
        target: the same shape: bool, integer 0/1, or soft in [0, 1].
        smooth: :math:`\epsilon`, above 0.
        pooled: sums over the whole batch; ``False`` gives each row a ratio of its own, as UNet 3+ does.
        reduction: ``"none"``: (C,), or (B, C) unless pooled; ``"mean"``; or ``"sum"``.

    Returns:
        The loss, in float32 where the input is narrower. 0 for an empty batch.

    Raises:
        ValueError: if the shapes differ, ``probability`` is not floating-point, or ``smooth`` is not above 0.

    References:
        Rahman & Wang, Optimizing Intersection-Over-Union in Deep Neural Networks, ISVC 2016.

    >>> round(iou_loss(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]), reduction="sum").item(), 4)
    1.0
    """
    p, y, pixels = _mask_input(probability, target, smooth, pooled, reduction)
    both = (p * y).sum(pixels)
    return _reduce(1 - (both + smooth) / (p.sum(pixels) + y.sum(pixels) - both + smooth), reduction)


def _mask_input(probability, target, smooth, pooled, reduction) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    _check_reduction(reduction)
    if not probability.is_floating_point() or probability.ndim < 2:
        raise ValueError(f"probability must be floating-point (B, C, ...), got {_what(probability)}")
    if target.shape != probability.shape:
        raise ValueError(f"target must have the shape of probability, {tuple(probability.shape)}, got {_what(target)}")
    if not smooth > 0:
        raise ValueError(f"smooth must be above 0, got {smooth}")
    probability = _widen(probability)
    pixels = tuple(range(2, probability.ndim))
    return probability, target.to(probability.dtype), (0, *pixels) if pooled else pixels


# --- Multi-scale structural similarity ------------------------------------------------------------------------------

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(
    images: Tensor,
    target: Tensor,
    *,
    data_range: float = 1.0,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
    window: int = 11,
    sigma: float = 1.5,
    k: tuple[float, float] = (0.01, 0.03),
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

    A scale whose bar is not positive (opposite structure) makes the image's score 0 and its gradient 0, never NaN.

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
        The score, in float32 where the images are narrower. Higher is better. 0 for the mean of an empty batch.

    Raises:
        ValueError: if shapes or types do not fit, the images are too small, or an option is out of range.

    References:
        Wang et al., Multiscale Structural Similarity for Image Quality Assessment, Asilomar 2003.

    >>> image = torch.rand(1, 1, 176, 176, generator=torch.Generator().manual_seed(0))
    >>> round(ms_ssim(image, image).item(), 4), ms_ssim(image, 1 - image).item()
    (1.0, 0.0)
    """
    _check_reduction(reduction)
    return _reduce(_ms_ssim(images, target, data_range, weights, window, sigma, k), reduction)


def ms_ssim_loss(images: Tensor, target: Tensor, *, reduction: str = "mean", **options) -> Tensor:
    """One minus :func:`ms_ssim`.

    Args:
        images: (B, C, H, W) or (B, C, H, W, D).
        target: the same shape.
        reduction: ``"none"``: (B,); ``"mean"``; or ``"sum"``.
        options: those of :func:`ms_ssim`.

    Returns:
        The loss, 0 for equal images.

    Raises:
        ValueError: as :func:`ms_ssim`.

    >>> ms_ssim_loss(torch.zeros(2, 1, 22, 22), torch.zeros(2, 1, 22, 22), weights=[0.5, 0.5]).item()
    0.0
    """
    return _reduce(1 - ms_ssim(images, target, reduction="none", **options), reduction)


def _ms_ssim(images, target, data_range, weights, window, sigma, k) -> Tensor:
    if not images.is_floating_point() or images.ndim not in (4, 5):
        raise ValueError(f"images must be floating-point (B, C, H, W) or (B, C, H, W, D), got {_what(images)}")
    if target.shape != images.shape:
        raise ValueError(f"target must have the shape of images, {tuple(images.shape)}, got {_what(target)}")
    data_range, sigma = _check_number("data_range", data_range, open=True), _check_number("sigma", sigma, open=True)
    if window < 1 or window % 2 != 1:
        raise ValueError(f"window must be odd and at least 1, got {window}")
    weights = [_check_number("weights", weight) for weight in weights]
    c1, c2 = ((_check_number("k", value) * data_range) ** 2 for value in k)
    shortest, needed = min(images.shape[2:]), window * 2 ** (len(weights) - 1)
    if not weights or shortest < needed:
        fit = max(0, int(math.log2(shortest / window)) + 1) if shortest >= window else 0
        raise ValueError(
            f"{len(weights)} scales (weights) with window {window} need images of at least {needed} pixels a side, "
            f"got {tuple(images.shape[2:])}: room for {fit}; pass fewer weights or a smaller window"
        )
    if not images.numel():
        return images.flatten(1).sum(1)
    # Autocast would blur in half precision; a variance is the small difference of two large means.
    with torch.autocast(images.device.type, enabled=False):
        return _scales(_widen(images), target.to(_widen(images)), weights, window, sigma, c1, c2)


def _scales(x, y, weights, window, sigma, c1, c2) -> Tensor:
    pool = F.avg_pool2d if x.ndim == 4 else F.avg_pool3d
    offsets = torch.arange(window, device=x.device, dtype=x.dtype) - window // 2
    gauss = torch.exp(-(offsets**2) / (2 * sigma**2))
    gauss = gauss / gauss.sum()
    score = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = pool(x, 2), pool(y, 2)
        # The formula needs the sum of the variances only: four maps, not five.
        mean_x, mean_y, product, squares = _blur(torch.stack([x, y, x * y, x * x + y * y]), gauss)
        both, means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        similarity = (2 * (product - both) + c2) / (squares - means + c2)
        if scale == len(weights) - 1:
            similarity = similarity * (2 * both + c1) / (means + c1)
        bar = similarity.flatten(2).mean(2)
        # The slope of the power is infinite at 0: there, and below, it is 0 (to the power of 0, 1) without a slope.
        power = bar.clamp_min(torch.finfo(bar.dtype).tiny) ** weight
        score = score * torch.where(bar > 0, power, 0.0**weight)
    return score.mean(1)


def _blur(values: Tensor, gauss: Tensor) -> Tensor:
    """Gaussian mean of (maps, B, C, *space), one axis of space at a time."""
    last = values.ndim - 1
    for axis in range(3, values.ndim):
        # Every row before the plane is a channel of its own: one convolution, in torch's fast way for many channels.
        split, kernel = (axis, gauss.view(1, 1, -1, 1)) if axis < last else (axis - 1, gauss.view(1, 1, 1, -1))
        shape = list(values.shape)
        shape[axis] -= len(gauss) - 1
        rows = math.prod(shape[:split])
        plane = values.reshape(1, rows, values.shape[split], -1)
        values = F.conv2d(plane, kernel.expand(rows, -1, -1, -1), groups=rows).view(shape)
    return values


# --- Checks ---------------------------------------------------------------------------------------------------------


def _class_input(logits: Tensor, target: Tensor, *, soft: bool) -> tuple[Tensor, bool]:
    """The logits, wide enough; and whether the target holds class indices."""
    if not logits.is_floating_point() or logits.ndim < 2:
        raise ValueError(f"logits must be floating-point (B, C, ...), got {_what(logits)}")
    classes, shape = logits.shape[1], (logits.shape[0], *logits.shape[2:])
    if soft and target.is_floating_point():
        if target.shape != logits.shape:
            raise ValueError(f"soft target must have the shape of logits, {tuple(logits.shape)}, got {_what(target)}")
        _check_unit(target)
        return _widen(logits), False
    if target.dtype != torch.int64 or target.shape != shape:
        also = f", or soft {tuple(logits.shape)}" if soft else ""
        raise ValueError(f"target must be int64 class indices {shape}{also}, got {_what(target)}")
    if target.numel():
        low, high = (int(value) for value in target.aminmax())
        if low < 0 or high >= classes:
            raise ValueError(f"target must hold classes from 0 to {classes - 1}, got {low if low < 0 else high}")
    return _widen(logits), True


def _bit_input(logits: Tensor, target: Tensor, *, classes: bool = False) -> tuple[Tensor, Tensor]:
    """Logits and bits of one shape and type; as (rows, C) where ``classes`` is set."""
    if not logits.is_floating_point() or classes and logits.ndim < 1:
        raise ValueError(f"logits must be floating-point{' (..., C)' * classes}, got {_what(logits)}")
    if target.shape != logits.shape:
        raise ValueError(f"target must have the shape of logits, {tuple(logits.shape)}, got {_what(target)}")
    if target.dtype != torch.bool:
        _check_unit(target)
    logits = _widen(logits)
    target = target.to(logits.dtype)
    if classes:
        shape = (math.prod(logits.shape[:-1]), logits.shape[-1])
        logits, target = logits.reshape(shape), target.reshape(shape)
    return logits, target


def _check_unit(target: Tensor) -> None:
    if target.numel():
        low, high = (float(value) for value in target.detach().aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"target must be in [0, 1], got {low if not low >= 0 else high}")


def _class_weight(name: str, weight, logits: Tensor) -> Tensor | None:
    """(C,) as a tensor like the logits."""
    if weight is None:
        return None
    weight = torch.as_tensor(weight).to(logits)
    if weight.shape != (logits.shape[1],):
        what = f"shape {tuple(weight.shape)}" if weight.ndim else f"the number {weight.item():g}"
        raise ValueError(f"{name} must be ({logits.shape[1]},), one number a class, got {what}")
    if not bool(((weight >= 0) & weight.isfinite()).all()):
        raise ValueError(f"{name} must be finite and at least 0, got {weight.tolist()}")
    return weight


def _check_counts(class_counts) -> Tensor:
    counts = torch.as_tensor(class_counts).detach()
    counts = counts.to(_double(counts.device))
    if counts.ndim != 1 or not len(counts):
        raise ValueError(f"class_counts must be (C,), one number a class, got {tuple(counts.shape)}")
    wrong = ~((counts >= 1) & counts.isfinite())
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        raise ValueError(f"class_counts must be at least 1, got {counts[index].item():g} for class {index}")
    return counts


def _check_number(name: str, value: float, *, low: float = 0.0, high: float = math.inf, open: bool = False) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number) or not (low < number <= high if open else low <= number <= high):
        if high < math.inf:
            expected = f"in [{low:g}, {high:g}]"
        else:
            expected = "finite" if low == -math.inf else f"finite and {'above' if open else 'at least'} {low:g}"
        raise ValueError(f"{name} must be {expected}, got {value}")
    return number


def _check_reduction(reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" and loss.numel() else loss.sum()


def _double(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64


def _widen(values: Tensor) -> Tensor:
    """Half precision to float32: a logit of 1e4 times 30, a slope of 1500, and sums over a million pixels need it."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _what(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
