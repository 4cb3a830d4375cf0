"""MultiMix: classification and segmentation in one network, from few labels of each (chapter 07).

==================================  ================================================================================
for                                 what is added
==================================  ================================================================================
classification, images without      :func:`pseudo_label_loss`: the class of a weakly distorted image, where the
a class                             network is sure of it, is the label of the same image strongly distorted
segmentation, few masks             :class:`~tutorial_lib.networks.SaliencyBridge`: the decoder is shown where the
                                    classifier looks
segmentation, images without mask   :func:`segmentation_kl` (0 everywhere as it was published)
==================================  ================================================================================

:func:`multimix_step` computes the loss of any rung of :data:`LADDER`, from a plain U-Net to the whole method.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import _arguments as check
from .augment import strong_augment, weak_augment
from .losses import dice_loss
from .networks.multitask import MultiTaskOutput, MultiTaskUNet, SaliencyBridge
from .saliency import saliency

__all__ = [
    "LADDER",
    "FlexMatchThresholds",
    "MultiMixBatch",
    "MultiMixLoss",
    "MultiTaskOutput",
    "MultiTaskUNet",
    "PseudoLabelLoss",
    "Rung",
    "SaliencyBridge",
    "flexmatch_thresholds",
    "multimix_loss",
    "multimix_step",
    "pseudo_label_loss",
    "saliency",
    "segmentation_kl",
]

# --- Pseudo-labels --------------------------------------------------------------------------------------------------


class PseudoLabelLoss(NamedTuple):
    """What :func:`pseudo_label_loss` returns.

    Attributes:
        loss: a scalar.
        accepted: share of the images whose pseudo-label was sure enough, a scalar; 0 for an empty batch.
        accuracy: share of the *accepted* pseudo-labels that are true, a scalar, nan where none was accepted; ``None``
            where the truth was not given.
    """

    loss: Tensor
    accepted: Tensor
    accuracy: Tensor | None = None


def pseudo_label_loss(
    strong_logits: Tensor,
    weak_logits: Tensor,
    *,
    threshold: float | check.Numbers,
    target: Tensor | None = None,
) -> PseudoLabelLoss:
    r"""Teach the strongly distorted image the class that the weakly distorted one surely has.

    .. math:: L = \frac{1}{B} \sum_{i=1}^{B} \bigl[\max_c q_{ic} \ge t\bigr]\,
              \bigl(-\log p_{i \hat c_i}\bigr), \qquad \hat c_i = \arg\max_c q_{ic}

    with :math:`q = softmax(weak)` and :math:`p = softmax(strong)`. The mean runs over all B images, so that the loss
    grows with the share accepted. No gradient flows into the weak side.

    Args:
        strong_logits: (B, C) of the strongly distorted images.
        weak_logits: (B, C) of the same images, weakly distorted.
        threshold: t in [0, 1], of a probability; or (C,), one for each class, such as
            :func:`flexmatch_thresholds` gives: the predicted class's counts. FixMatch has 0.95, MultiMix 0.7.
        target: (B,) int64, the true classes, to watch the pseudo-labels by; the loss does not see them.

    Returns:
        :class:`PseudoLabelLoss` ``(loss, accepted, accuracy)``, in float32 where the input is narrower.

    Raises:
        ValueError: shapes that do not fit together, or a threshold outside [0, 1].

    References:
        Lee, Pseudo-Label, ICML workshop 2013; Sohn et al., FixMatch, NeurIPS 2020 (arXiv:2001.07685), equation 4.

    >>> weak = torch.tensor([[4.0, 0.0], [0.1, 0.0]])  # the first is sure
    >>> found = pseudo_label_loss(torch.zeros(2, 2), weak, threshold=0.9, target=torch.tensor([0, 0]))
    >>> round(float(found.loss), 4), float(found.accepted), float(found.accuracy)
    (0.3466, 0.5, 1.0)
    """
    check.tensor(strong_logits, "strong_logits", "(B, C)", kind="floating-point")
    check.tensor(weak_logits, "weak_logits", "(B, C)", kind="floating-point")
    check.same_shape(weak_logits, "weak_logits", strong_logits, "strong_logits")
    sure, label = check.wide(weak_logits.detach()).softmax(1).max(1)  # (B,), (B,)
    limits = check.numbers(threshold, "threshold", length=strong_logits.shape[1], broadcast=True, low=0, high=1)
    accepted = sure >= torch.tensor(limits).to(sure)[label]
    entropy = F.cross_entropy(check.wide(strong_logits), label, reduction="none")
    loss = check.reduced(entropy * accepted, "mean")
    share = check.reduced(accepted.to(loss), "mean")
    if target is None:
        return PseudoLabelLoss(loss, share)
    check.class_target(weak_logits, target)
    right = (accepted & (label == target)).sum() / accepted.sum()
    return PseudoLabelLoss(loss, share, right.to(loss))


def flexmatch_thresholds(counts: check.Numbers, *, unused: int = 0, threshold: float = 0.95) -> Tensor:
    r"""Lower the threshold of classes that few images have been accepted for.

    .. math:: T_c = \frac{\beta_c}{2 - \beta_c}\, t, \qquad
              \beta_c = \frac{n_c}{\max\bigl(\max_k n_k,\ N - \sum_k n_k\bigr)}

    :math:`n_c` images hold the pseudo-label c with at least the fixed threshold t. While most of the N images hold none
    all classes wait (the second term of the maximum).

    Args:
        counts: (C,), :math:`n_c`.
        unused: :math:`N - \sum n`, images that hold no pseudo-label yet.
        threshold: t, in [0, 1].

    Returns:
        (C,), from 0 to t, float32 on the CPU, or on the counts' device; 0 where every count and ``unused`` are.

    Raises:
        ValueError: counts below 0, or a threshold outside [0, 1].

    References:
        Zhang et al., FlexMatch, NeurIPS 2021 (arXiv:2110.08263), equations 5 to 11.

    >>> [round(float(value), 3) for value in flexmatch_thresholds([90, 45, 0], threshold=0.9)]
    [0.9, 0.3, 0.0]
    """
    threshold = check.number(threshold, "threshold", low=0, high=1)
    unused = check.whole(unused, "unused", low=0)
    numbers = check.numbers(counts, "counts", empty=False, low=0)
    most = max(*numbers, unused) if len(numbers) > 1 else max(numbers[0], unused)
    device = counts.device if isinstance(counts, Tensor) else torch.device("cpu")
    return torch.tensor([(n / most) / (2 - n / most) * threshold if most else 0.0 for n in numbers], device=device)


class FlexMatchThresholds(nn.Module):
    """Keeps the last sure pseudo-label of each image without a class, and gives :func:`flexmatch_thresholds` of them.

    Args:
        images: N, how many images without a class there are.
        classes: C.
        threshold: the fixed threshold t, in [0, 1].

    Raises:
        ValueError: an argument that is not as described; row numbers beyond N.

    References:
        Zhang et al., FlexMatch, NeurIPS 2021 (arXiv:2110.08263), algorithm 1.

    >>> limits = FlexMatchThresholds(2, 2, threshold=0.9)
    >>> limits(torch.tensor([0, 1]), torch.tensor([[5.0, 0.0], [0.1, 0.0]])).tolist()  # one sure, one waits
    [0.8999999761581421, 0.0]
    """

    def __init__(self, images: int, classes: int, *, threshold: float = 0.95):
        super().__init__()
        self.classes = check.whole(classes, "classes", low=2)
        self.threshold = check.number(threshold, "threshold", low=0, high=1)
        self.label: Tensor
        self.register_buffer("label", torch.full((check.whole(images, "images", low=1),), -1, dtype=torch.int64))

    def forward(self, rows: Tensor, weak_logits: Tensor) -> Tensor:
        """Take in what is sure of these images; return the thresholds.

        Args:
            rows: (B,) int64, the images' numbers.
            weak_logits: (B, C), of the images weakly changed.

        Returns:
            (C,), a threshold a class.
        """
        check.tensor(rows, "rows", "(B,)", kind="whole")
        check.tensor(weak_logits, "weak_logits", f"({len(rows)}, {self.classes})", kind="floating-point")
        if len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < len(self.label)):
            raise ValueError(f"rows must be numbers from 0 to {len(self.label) - 1}, got {rows.tolist()}")
        sure, label = check.wide(weak_logits.detach()).softmax(1).max(1)
        kept = sure >= self.threshold
        self.label[rows[kept]] = label[kept]
        counts = torch.bincount(self.label[self.label >= 0], minlength=self.classes)
        return flexmatch_thresholds(counts, unused=int((self.label < 0).sum()), threshold=self.threshold)


# --- Segmentation without masks -------------------------------------------------------------------------------------


def segmentation_kl(labelled_logits: Tensor, unlabelled_logits: Tensor, *, rule: str = "pixels") -> Tensor:
    r"""Divergence of the segmentation of images without masks from that of images with masks.

    .. math:: L = \overline{\, p \log \frac{p}{q} + (1 - p) \log \frac{1 - p}{1 - q} \,}, \qquad
              p = \sigma(labelled), \; q = \sigma(unlabelled)

    The mean runs over rows, masks and pixels. Row i is compared with row i, although they are two pictures: what the
    term can teach is where the masks lie on the whole.

    ``rule="published"`` repeats the published code, which takes a softmax over the channels: with one mask that is 1
    everywhere, so the term is 0 for any predictions, and so is its gradient.

    Args:
        labelled_logits: (B, masks, H, W), before the sigmoid.
        unlabelled_logits: the same shape.
        rule: ``"pixels"``, or ``"published"``.

    Returns:
        A scalar, at least 0, in float32 where the input is narrower. The gradient flows into both.

    Raises:
        ValueError: shapes that differ.

    References:
        Haque et al., MultiMix, ISBI 2021 (in the longer form arXiv:2110.13185); its code, ``kl_divergence_seg``.

    >>> one, other = torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 2, 2), -3.0)
    >>> round(float(segmentation_kl(one, other)), 3), float(segmentation_kl(one, other, rule="published"))
    (2.715, 0.0)
    """
    check.tensor(labelled_logits, "labelled_logits", "(B, masks, H, W)", kind="floating-point")
    check.tensor(unlabelled_logits, "unlabelled_logits", "(B, masks, H, W)", kind="floating-point")
    check.same_shape(unlabelled_logits, "unlabelled_logits", labelled_logits, "labelled_logits")
    one, other = check.wide(labelled_logits), check.wide(unlabelled_logits)
    if check.choice(rule, "rule", ("pixels", "published")) == "published":
        return check.reduced(one.softmax(1) * (one.log_softmax(1) - other.log_softmax(1)), "mean")
    inside = one.sigmoid() * (F.logsigmoid(one) - F.logsigmoid(other))
    outside = (-one).sigmoid() * (F.logsigmoid(-one) - F.logsigmoid(-other))
    return check.reduced(inside + outside, "mean")


# --- The whole ------------------------------------------------------------------------------------------------------


class MultiMixLoss(NamedTuple):
    """What :func:`multimix_loss` returns: ``total``, and its terms before they are weighted; 0 where left out.

    Attributes:
        total: a scalar.
        classification: cross-entropy of the images with a class.
        pseudo: :func:`pseudo_label_loss`.
        dice: of the images with masks.
        kl: :func:`segmentation_kl`.
        accepted: share of the pseudo-labels that were accepted.
        accuracy: of those, where the truth was given; else nan.
    """

    total: Tensor
    classification: Tensor
    pseudo: Tensor
    dice: Tensor
    kl: Tensor
    accepted: Tensor
    accuracy: Tensor


def multimix_loss(
    *,
    class_logits: Tensor | None = None,
    class_target: Tensor | None = None,
    mask_logits: Tensor | None = None,
    mask_target: Tensor | None = None,
    strong_logits: Tensor | None = None,
    weak_logits: Tensor | None = None,
    unlabelled_mask_logits: Tensor | None = None,
    hidden_target: Tensor | None = None,
    lam: float = 0.25,
    threshold: float | check.Numbers = 0.7,
    alpha: float = 5.0,
    beta: float = 0.01,
    kl: str = "pixels",
) -> MultiMixLoss:
    r"""The loss of both tasks; what is not given is left out.

    .. math:: L = \underbrace{CE(\hat c_l, c_l) + \lambda\, L_{pseudo}(\hat c_s, \hat c_w)}_{classification}
              + \underbrace{\alpha\, L_{Dice}(\hat y_l, y_l) + \beta\, KL(\hat y_l \,\|\, \hat y_u)}_{segmentation}

    The weights are those of the published code. So is the Dice loss: plain sums, 1 added above and below, for each
    image.

    Args:
        class_logits: (B, C) of images with a class.
        class_target: (B,) int64, that class.
        mask_logits: (S, masks, H, W) of images with masks, before the sigmoid.
        mask_target: the same shape: those masks.
        strong_logits, weak_logits: (U, C) each, of images without a class.
        unlabelled_mask_logits: (S, masks, H, W) of images without masks.
        hidden_target: (U,) int64, the true classes of these images, to watch by.
        lam: :math:`\lambda`, at least 0.
        threshold: as in :func:`pseudo_label_loss`.
        alpha, beta: at least 0.
        kl: rule of :func:`segmentation_kl`.

    Returns:
        :class:`MultiMixLoss`.

    Raises:
        ValueError: nothing to learn from, half of a pair, or as the parts.

    References:
        Haque et al., MultiMix, ISBI 2021 (in the longer form arXiv:2110.13185).

    >>> loss = multimix_loss(class_logits=torch.zeros(3, 2), class_target=torch.tensor([0, 1, 1]))
    >>> round(float(loss.total), 4), float(loss.dice)
    (0.6931, 0.0)
    """
    lam, alpha = check.number(lam, "lam", low=0), check.number(alpha, "alpha", low=0)
    beta = check.number(beta, "beta", low=0)
    _both(class_logits=class_logits, class_target=class_target)
    _both(mask_logits=mask_logits, mask_target=mask_target)
    _both(strong_logits=strong_logits, weak_logits=weak_logits)
    given = next((one for one in (class_logits, mask_logits, strong_logits) if one is not None), None)
    if given is None:
        raise ValueError("class_logits, mask_logits or strong_logits must be given, got none of them")
    zero = check.wide(given).new_zeros(())
    classification = pseudo = dice = divergence = zero
    accepted, accuracy = zero, torch.full_like(zero, math.nan)
    if class_logits is not None and class_target is not None:
        wide, _ = check.class_target(class_logits, class_target)
        classification = F.cross_entropy(wide, class_target) if len(wide) else wide.sum()
    if strong_logits is not None and weak_logits is not None:
        found = pseudo_label_loss(strong_logits, weak_logits, threshold=threshold, target=hidden_target)
        pseudo, accepted = found.loss, found.accepted
        accuracy = accuracy if found.accuracy is None else found.accuracy
    if mask_logits is not None and mask_target is not None:
        dice = dice_loss(check.wide(mask_logits).sigmoid(), mask_target, squared=False, smooth=1.0, pooled=False)
        if unlabelled_mask_logits is not None:
            divergence = segmentation_kl(mask_logits, unlabelled_mask_logits, rule=kl)
    elif unlabelled_mask_logits is not None:
        raise ValueError("unlabelled_mask_logits must come with mask_logits, got them alone")
    total = classification + lam * pseudo + alpha * dice + beta * divergence
    return MultiMixLoss(total, classification, pseudo, dice, divergence, accepted, accuracy)


def _both(**pair: Tensor | None) -> None:
    (first, one), (second, other) = pair.items()
    if (one is None) != (other is None):
        missing, there = (first, second) if one is None else (second, first)
        raise ValueError(f"{missing} must be given where {there} is, got None")


class Rung(NamedTuple):
    """What a method of the paper's ladder uses: each a yes or no, as :func:`multimix_step` reads them.

    Attributes:
        classify: learn the classes.
        segment: learn the masks.
        bridge: the network has a saliency bridge.
        pseudo: images without a class are learned from.
        kl: images without masks are learned from.
    """

    classify: bool = True
    segment: bool = True
    bridge: bool = False
    pseudo: bool = False
    kl: bool = False


#: The paper's methods by their names there, from one task alone to all of it; S is the bridge, SSL the pseudo-labels.
LADDER: dict[str, Rung] = {
    "U-Net": Rung(classify=False),
    "Enc": Rung(segment=False),
    "EncSSL": Rung(segment=False, pseudo=True),
    "UMTL": Rung(),
    "UMTL-S": Rung(bridge=True),
    "UMTL-SSL": Rung(pseudo=True),
    "UMTL-SSL-S": Rung(bridge=True, pseudo=True),
    "MultiMix": Rung(bridge=True, pseudo=True, kl=True),
}


class MultiMixBatch(NamedTuple):
    """A training step's data; a rung of the ladder reads what it uses, and the rest may be ``None``.

    Attributes:
        class_images: (B, C, H, W) in [0, 1], with a class.
        class_target: (B,) int64, their classes.
        mask_images: (S, C, H, W) in [0, 1], with masks.
        mask_target: (S, masks, H, W), their masks.
        unlabelled_class_images: (U, C, H, W) in [0, 1], without a class.
        unlabelled_mask_images: (S, C, H, W) in [0, 1], without masks, as many as with.
        hidden_target: (U,) int64, the true classes of ``unlabelled_class_images``, to watch by.
    """

    class_images: Tensor | None = None
    class_target: Tensor | None = None
    mask_images: Tensor | None = None
    mask_target: Tensor | None = None
    unlabelled_class_images: Tensor | None = None
    unlabelled_mask_images: Tensor | None = None
    hidden_target: Tensor | None = None


def multimix_step(
    network: MultiTaskUNet,
    batch: MultiMixBatch,
    rung: str | Rung = "MultiMix",
    *,
    weak: Callable[..., Tensor] = weak_augment,
    strong: Callable[..., Tensor] = strong_augment,
    generator: torch.Generator | None = None,
    **settings,
) -> MultiMixLoss:
    """The loss of one training step of a method of the paper's ladder; call ``total.backward()`` on it.

    Images with a class are distorted weakly, those without once weakly and once strongly. The weak ones without a class
    go through the encoder by themselves and without gradient: only their predicted class is used. Images for the masks
    go through the whole network as they come.

    Args:
        network: with a bridge where the rung has one, and (unless it only classifies) nowhere else.
        batch: what is learned from.
        rung: a name of :data:`LADDER`, or a :class:`Rung`.
        weak, strong: from images to distorted images; each is called with ``generator=``.
        generator: source of their randomness; dropout has torch's own.
        **settings: weights and threshold of :func:`multimix_loss`.

    Returns:
        :class:`MultiMixLoss`.

    Raises:
        ValueError: an unknown rung, a network that does not fit it, or data that it needs and were not given.

    References:
        Haque et al., MultiMix, ISBI 2021 (in the longer form arXiv:2110.13185).

    >>> network = MultiTaskUNet(filters=(4, 8))
    >>> batch = MultiMixBatch(torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]))
    >>> multimix_step(network, batch, "Enc").classification.item() > 0
    True
    """
    if isinstance(rung, str):
        rung = LADDER[check.choice(rung, "rung", tuple(LADDER))]
    if not isinstance(network, MultiTaskUNet):
        raise ValueError(f"network must be a MultiTaskUNet, got {check.what(network)}")
    if rung.segment and rung.bridge != (network.bridge is not None):
        wanted = "a SaliencyBridge" if rung.bridge else "no bridge"
        raise ValueError(f"network must have {wanted} for this rung, got bridge={network.bridge}")
    given: dict[str, Any] = {}
    if rung.classify:
        images, target = _needed(batch, "class_images", "class_target")
        views = [weak(images, generator=generator)]
        if rung.pseudo:
            (free,) = _needed(batch, "unlabelled_class_images")
            with torch.no_grad():
                given["weak_logits"] = network.classify(weak(free, generator=generator))
            views.append(strong(free, generator=generator))
            given["hidden_target"] = batch.hidden_target
        logits = network.classify(torch.cat(views)).split([len(view) for view in views])
        given |= dict(zip(("class_logits", "strong_logits"), logits), class_target=target)
    if rung.segment:
        images, target = _needed(batch, "mask_images", "mask_target")
        views = [images, *(_needed(batch, "unlabelled_mask_images") if rung.kl else ())]
        logits = network.segment(torch.cat(views)).split([len(view) for view in views])
        given |= dict(zip(("mask_logits", "unlabelled_mask_logits"), logits), mask_target=target)
    return multimix_loss(**given, **settings)


def _needed(batch: MultiMixBatch, *names: str) -> list[Tensor]:
    found = []
    for name in names:
        value = getattr(batch, name, None)
        if value is None:
            raise ValueError(f"batch.{name} must be given for this rung, got None")
        found.append(value)
    return found
