r"""Boxes around objects: overlap, suppression, anchors, offsets.

Boxes are (x1, y1, x2, y2) with x to the right and y down, in pixels of the image. What a function answers is on its
inputs' device. Half precision is computed in float32.

Chapter 09 measures with :func:`box_iou`; the others are for chapter 10, the R-CNN family.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import _arguments as check
from ._kernels.suppress import suppress

__all__ = [
    "Sample",
    "batched_nms",
    "box_area",
    "box_iou",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "keep_boxes",
    "make_anchors",
    "match_boxes",
    "nms",
    "sample_matches",
]

# --- Overlap --------------------------------------------------------------------------------------------------------


def box_area(boxes: Tensor) -> Tensor:
    r"""Area of boxes, :math:`(x_2 - x_1)(y_2 - y_1)`.

    Args:
        boxes: (..., 4), floating-point.

    Returns:
        (...), in float32 where the boxes are narrower: the area of a picture is more than float16 can hold.

    Raises:
        ValueError: not (..., 4) or not floating-point.

    >>> box_area(torch.tensor([[1.0, 2.0, 4.0, 6.0]])).tolist()
    [12.0]
    """
    x1, y1, x2, y2 = check.wide(check.boxes(boxes, "boxes")).unbind(-1)
    return (x2 - x1) * (y2 - y1)


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    r"""Intersection over union of every box with every other.

    .. math:: IoU(a, b) = \frac{|a \cap b|}{|a| + |b| - |a \cap b|}

    It is 0 where both areas are 0 (torchvision says nan there).

    Args:
        boxes: (N, 4), floating-point.
        others: (M, 4), floating-point.

    Returns:
        (N, M) in the wider of both types, differentiable in both.

    Raises:
        ValueError: not (N, 4) or not floating-point.

    >>> a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> box_iou(a, torch.tensor([[1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])).tolist()
    [[0.1428571492433548, 0.0]]
    """
    boxes, others = check.boxes(boxes, "boxes", "(N, 4)"), check.boxes(others, "others", "(M, 4)")
    a, b = check.wide(boxes)[:, None], check.wide(others)
    size = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])  # (N, M, 2)
    shared = size.clamp(min=0).prod(-1)
    union = box_area(a) + box_area(b) - shared  # (N, 1) + (M,) -> (N, M)
    return (shared / torch.where(union > 0, union, 1)).to(torch.promote_types(boxes.dtype, others.dtype))


# --- Suppression ----------------------------------------------------------------------------------------------------


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    r"""Non-maximum suppression: of boxes that overlap, keep the one with the highest score.

    In the order of falling scores, a box stays if its IoU with every box that stayed before it is at most
    ``iou_threshold``. Equal scores keep the order in which they came. (These lines, one box after the other, are
    ``_kernels.suppress.plain_suppress``.)

    Args:
        boxes: (K, 4), floating-point, finite.
        scores: (K,), floating-point.
        iou_threshold: in [0, 1].

    Returns:
        Numbers of the boxes that stay, int64, by falling score: torchvision's answer, in its order.

    Raises:
        ValueError: shapes or types that cannot be, boxes with x2 < x1 or y2 < y1 or not finite, nan scores.

    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 5.0], [6.0, 6.0, 8.0, 8.0]])
    >>> nms(boxes, torch.tensor([0.6, 0.9, 0.3]), 0.5).tolist()
    [1, 2]
    """
    boxes, scores, iou_threshold = _scored(boxes, scores, iou_threshold)
    return _suppressed(boxes, scores, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float) -> Tensor:
    """:func:`nms` within each class: boxes of different classes never suppress each other.

    Args:
        boxes: as for :func:`nms`.
        scores: as for :func:`nms`.
        classes: (K,), integers; any numbers, such as the class, the image or the level of a pyramid.
        iou_threshold: as for :func:`nms`.

    Returns:
        Numbers of the boxes that stay, int64, by falling score, equal scores in the order in which they came.

    Raises:
        ValueError: as :func:`nms`, or classes that are not integers, one a box.

    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 5.0]])
    >>> batched_nms(boxes, torch.tensor([0.6, 0.9]), torch.tensor([0, 1]), 0.5).tolist()
    [1, 0]
    """
    boxes, scores, iou_threshold = _scored(boxes, scores, iou_threshold)
    classes = check.tensor(classes, "classes", f"({len(boxes)},)", kind="whole")
    stays = torch.zeros_like(scores, dtype=torch.bool)
    for number in classes.unique():
        member = (classes == number).nonzero().squeeze(1)
        stays[member[_suppressed(boxes[member], scores[member], iou_threshold)]] = True
    kept = stays.nonzero().squeeze(1)
    return kept[scores[kept].sort(descending=True, stable=True).indices]


def _suppressed(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    order = scores.sort(descending=True, stable=True).indices
    stays = suppress(boxes[order].cpu().numpy(), iou_threshold)
    return order[torch.from_numpy(stays).to(order.device)]


def _scored(boxes, scores, iou_threshold) -> tuple[Tensor, Tensor, float]:
    """Boxes, wide enough, and scores, without their history."""
    boxes = check.boxes(boxes, "boxes", "(K, 4)")
    scores = check.tensor(scores, "scores", f"({len(boxes)},)", kind="floating-point")
    check.every_row(boxes.isfinite(), "boxes must be finite (keep_boxes drops the others)", boxes)
    check.every_row(boxes[:, 2:] >= boxes[:, :2], "boxes must have x1 <= x2 and y1 <= y2", boxes)
    if bool(scores.isnan().any()):
        raise ValueError("scores must be numbers, got nan")
    return check.wide(boxes.detach()), scores.detach(), check.number(iou_threshold, "iou_threshold", low=0, high=1)


# --- Anchors and offsets --------------------------------------------------------------------------------------------


def make_anchors(
    feature_size: int | check.Wholes,
    *,
    stride: float,
    sizes: check.Numbers,
    ratios: check.Numbers = (0.5, 1.0, 2.0),
    offset: float = 0.5,
    rounded: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Anchor boxes of every size and shape around every cell of a feature map.

    Cell (i, j) has its centre at :math:`((j + o) s, (i + o) s)`, stride s and offset o. An anchor of size a and ratio
    r (height over width) has width :math:`a / \sqrt r` and height :math:`a \sqrt r`: all ratios have the area
    :math:`a^2`.

    (SSD's priors, D2L's ``multibox_prior``, are shares of the picture: multiply their sizes by its height, turn their
    ratios, width over height, upside down, and divide the answer by width and height.)

    Args:
        feature_size: (H, W) of the feature map, or one number for both.
        stride: pixels of the image between two cells.
        sizes: square roots of the areas, in pixels.
        ratios: height over width.
        offset: 0.5 puts anchors on the middle of a cell; torchvision's generator puts them on its corner, 0.
        rounded: round the distances from the centre to whole pixels, halves to even, as torchvision's generator does:
            an anchor of size 5 becomes 4 wide.
        device: of the answer.
        dtype: of the answer.

    Returns:
        (H·W·len(sizes)·len(ratios), 4); cells row by row, in each cell all ratios of the first size, then of the next.

    Raises:
        ValueError: a size, ratio or stride that is not positive.

    References:
        Ren, He, Girshick, Sun, Faster R-CNN, NeurIPS 2015 (arXiv:1506.01497), section 3.1.1.

    >>> make_anchors((1, 2), stride=16, sizes=[8], ratios=[1]).tolist()
    [[4.0, 4.0, 12.0, 12.0], [20.0, 4.0, 28.0, 12.0]]
    """
    rows, columns = check.wholes(feature_size, "feature_size", length=2, broadcast=True, low=1)
    stride, offset = check.number(stride, "stride", above=0), check.number(offset, "offset")
    sizes = check.numbers(sizes, "sizes", above=0, empty=False)
    ratios = check.numbers(ratios, "ratios", above=0, empty=False)
    wide = [size / math.sqrt(ratio) for size in sizes for ratio in ratios]
    high = [size * math.sqrt(ratio) for size in sizes for ratio in ratios]
    # On the CPU first: every device gets the same numbers, also one without float64.
    half = torch.tensor([wide, high], dtype=torch.float64, device="cpu").T / 2  # (anchors a cell, 2)
    half = half.round() if rounded else half
    y = (torch.arange(rows, dtype=torch.float64, device="cpu") + offset) * stride
    x = (torch.arange(columns, dtype=torch.float64, device="cpu") + offset) * stride
    centre = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1)[:, :, None]  # (H, W, 1, 2)
    return torch.cat((centre - half, centre + half), -1).view(-1, 4).to(dtype).to(device)


# exp(4.135) = 1000/16: what a network may ask a box to grow by.
_MAX_LOG = math.log(1000 / 16)


def encode_boxes(boxes: Tensor, anchors: Tensor, *, weights: check.Numbers = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    r"""Offsets that turn anchors into boxes, as a network learns them.

    .. math:: t_x = k_x \frac{x - x_a}{w_a}, \quad t_y = k_y \frac{y - y_a}{h_a}, \quad
              t_w = k_w \log \frac{w}{w_a}, \quad t_h = k_h \log \frac{h}{h_a}

    with centres (x, y) and sizes (w, h).

    Args:
        boxes: (..., 4), floating-point, of positive width and height.
        anchors: (..., 4) that broadcast with ``boxes``, of positive width and height.
        weights: :math:`(k_x, k_y, k_w, k_h)`; Fast R-CNN's second stage uses (10, 10, 5, 5).

    Returns:
        (..., 4), in the wider of both types.

    Raises:
        ValueError: no (..., 4), or a box without width or height (its logarithm is none).

    References:
        Girshick et al., Rich feature hierarchies (R-CNN), CVPR 2014 (arXiv:1311.2524), appendix C.

    >>> encode_boxes(torch.tensor([2.0, 0.0, 6.0, 8.0]), torch.tensor([0.0, 0.0, 4.0, 8.0])).tolist()
    [0.5, 0.0, 0.0, 0.0]
    """
    boxes, anchors, dtype = _with_area(boxes, "boxes"), _with_area(anchors, "anchors"), _type_of(boxes, anchors)
    weights = check.numbers(weights, "weights", length=4, above=0)
    size, anchor_size = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + size / 2 - anchors[..., :2] - anchor_size / 2) / anchor_size
    offsets = torch.cat((shift, (size / anchor_size).log()), -1)  # (..., 4)
    return (offsets * offsets.new_tensor(weights)).to(dtype)


def decode_boxes(
    offsets: Tensor,
    anchors: Tensor,
    *,
    weights: check.Numbers = (1.0, 1.0, 1.0, 1.0),
    max_log: float = _MAX_LOG,
) -> Tensor:
    r"""Boxes from offsets: :func:`encode_boxes` backwards.

    .. math:: x = x_a + w_a\, t_x / k_x, \quad y = y_a + h_a\, t_y / k_y, \quad
              w = w_a\, e^{t_w / k_w}, \quad h = h_a\, e^{t_h / k_h}

    Args:
        offsets: (..., 4), as :func:`encode_boxes` returns them.
        anchors: (..., 4) that broadcast with ``offsets``.
        weights: those that encoded.
        max_log: growth is cut at exp(max_log), so that an untrained network makes no infinite box.

    Returns:
        (..., 4), in the wider of both types.

    Raises:
        ValueError: no (..., 4), or no four positive weights.

    References:
        Girshick et al., CVPR 2014 (arXiv:1311.2524), appendix C.

    >>> anchor = torch.tensor([0.0, 0.0, 4.0, 8.0])
    >>> decode_boxes(torch.tensor([0.5, 0.0, 0.0, 0.0]), anchor).tolist()
    [2.0, 0.0, 6.0, 8.0]
    """
    offsets, anchors = check.boxes(offsets, "offsets"), check.boxes(anchors, "anchors")
    weights, max_log = check.numbers(weights, "weights", length=4, above=0), check.number(max_log, "max_log")
    dtype, anchors = _type_of(offsets, anchors), check.wide(anchors)
    t = check.wide(offsets) / check.wide(offsets).new_tensor(weights)
    size = anchors[..., 2:] - anchors[..., :2]
    centre = anchors[..., :2] + size / 2 + t[..., :2] * size
    half = size * t[..., 2:].clamp(max=max_log).exp() / 2
    return torch.cat((centre - half, centre + half), -1).to(dtype)


def _with_area(boxes, name: str) -> Tensor:
    boxes = check.wide(check.boxes(boxes, name))
    flat = boxes.detach().reshape(-1, 4)
    expected = f"{name} must have x1 < x2 and y1 < y2 to be encoded (keep_boxes drops the others)"
    check.every_row(flat[:, 2:] > flat[:, :2], expected, flat)
    return boxes


def _type_of(*tensors: Tensor) -> torch.dtype:
    return torch.promote_types(*(tensor.dtype for tensor in tensors))


# --- Which box learns which object ----------------------------------------------------------------------------------

NOTHING, IGNORE = -1, -2


def match_boxes(
    iou: Tensor, *, high: float = 0.7, low: float = 0.3, keep_best: bool = True, rule: str = "corrected"
) -> Tensor:
    r"""For each anchor, the object that it shall learn, or *nothing*, or *ignore*.

    An anchor gets the object that it overlaps most, if that IoU is at least ``high``; below ``low`` it is background;
    in between it is left out of the loss. With ``keep_best``, every object that overlaps an anchor also keeps its best
    one, however small the IoU, so that no object goes unlearned: the pair of highest IoU is made first; an object whose
    best anchor is taken gets its best free one; anchors that tie with an object's best are its own too, if free.

    ``rule="torchvision"`` repeats the popular code with its two faults: an anchor that is some object's best gets back
    *its own* favourite, so that the object may be left without any; and an object that overlaps no anchor at all "ties"
    with all of them and makes every anchor positive.

    Args:
        iou: (objects, anchors), as :func:`box_iou` of objects and anchors gives it.
        high: from here on an anchor is positive.
        low: below this it is background; at most ``high``.
        keep_best: whether an object keeps its best anchor below ``high``. The region proposal network does so, the
            second stage does not (there ``high`` and ``low`` are both 0.5).
        rule: ``"corrected"`` or ``"torchvision"``.

    Returns:
        (anchors,) int64: an object's number, -1 for nothing, -2 for ignore. Without objects all are -1.

    Raises:
        ValueError: no (objects, anchors), a threshold outside [0, 1], low above high, an IoU that is nan or outside
            [0, 1].

    References:
        Ren et al., Faster R-CNN, NeurIPS 2015 (arXiv:1506.01497), section 3.1.2. It is used in chapter 10.

    >>> match_boxes(torch.tensor([[0.8, 0.1, 0.4], [0.0, 0.2, 0.5]])).tolist()
    [0, -1, 1]
    """
    iou = check.unit(check.tensor(iou, "iou", "(objects, anchors)", kind="floating-point"), "iou")
    high = check.number(high, "high", low=0, high=1)
    low = check.number(low, "low", low=0, high=high)
    rule = check.choice(rule, "rule", ("corrected", "torchvision"))
    objects, anchors = iou.shape
    if not objects or not anchors:
        return torch.full((anchors,), NOTHING, dtype=torch.int64, device=iou.device)
    best, favourite = iou.detach().max(0)  # (anchors,)
    matches = torch.where(best >= high, favourite, torch.where(best < low, NOTHING, IGNORE))
    if not keep_best:
        return matches
    if rule == "torchvision":
        rescued = (iou == iou.max(1, keepdim=True).values).any(0)
        return torch.where(rescued, favourite, matches)
    return _keep_best(iou.detach(), matches)


def _keep_best(iou: Tensor, matches: Tensor) -> Tensor:
    """Give every object its best anchor: always the pair of highest IoU that is still free."""
    free = torch.ones_like(matches, dtype=torch.bool)
    top, place = iou.max(1)  # (objects,)
    waiting = top > 0
    kept: list[tuple[int, int]] = []
    while bool(waiting.any()):
        one = int(torch.where(waiting, top, -1).argmax())
        anchor = int(place[one])
        kept.append((one, anchor))
        free[anchor], waiting[one] = False, False
        robbed = waiting & (place == anchor)
        if bool(robbed.any()):
            top[robbed], place[robbed] = torch.where(free, iou[robbed], 0).max(1)
            waiting &= top > 0
    matches = matches.clone()
    for one, anchor in kept:
        matches[free & (iou[one] == iou[one, anchor])] = one
    for one, anchor in kept:
        matches[anchor] = one
    return matches


class Sample(NamedTuple):
    """Numbers of the anchors that a loss looks at.

    Attributes:
        positive: (K,) int64, rising: anchors with an object.
        negative: (K,) int64, rising: anchors of the background.
    """

    positive: Tensor
    negative: Tensor


def sample_matches(
    matches: Tensor, *, count: int, positive: float = 0.5, generator: torch.Generator | None = None
) -> Sample:
    r"""Draw the anchors that a loss looks at, so that background does not drown the objects.

    At most :math:`\lfloor \text{count} \cdot \text{positive} \rfloor` with an object; background fills the rest. Where
    there are fewer positives, there are more negatives; where both are few, the sample is smaller than ``count``.

    Args:
        matches: (anchors,) from :func:`match_boxes`; what is ignored is never drawn.
        count: how many in all: 256 an image in the region proposal network, 512 in the second stage.
        positive: the largest share of positives: 0.5 and 0.25 there.
        generator: source of randomness; None: torch's global one.

    Returns:
        A :class:`Sample`.

    Raises:
        ValueError: matches that are not (anchors,) whole numbers of at least -2, a count below 1, a share outside
            [0, 1].

    References:
        Ren et al., Faster R-CNN (arXiv:1506.01497), section 3.1.3; Girshick, Fast R-CNN (arXiv:1504.08083), section
        2.3. It is used in chapter 10.

    >>> sample = sample_matches(torch.tensor([0, -1, -1, -2, 1, -1]), count=4, positive=0.25)
    >>> len(sample.positive), len(sample.negative)
    (1, 3)
    """
    matches = check.tensor(matches, "matches", "(anchors,)", kind="whole")
    count, positive = check.whole(count, "count", low=1), check.number(positive, "positive", low=0, high=1)
    generator = check.generator(generator)
    if len(matches) and int(matches.min()) < IGNORE:
        raise ValueError(f"matches must be object numbers, -1 or -2, got {int(matches.min())}")
    with_object, without = ((matches >= 0).nonzero()[:, 0], (matches == NOTHING).nonzero()[:, 0])
    first = _draw(with_object, min(int(count * positive), len(with_object)), generator)
    return Sample(first, _draw(without, min(count - len(first), len(without)), generator))


def _draw(numbers: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """``count`` of the numbers, each set of that size equally likely."""
    device = generator.device if generator is not None else numbers.device
    order = torch.randperm(len(numbers), generator=generator, device=device)[:count]
    return numbers[order.sort().values.to(numbers.device)]


# --- Choice ---------------------------------------------------------------------------------------------------------


def clip_boxes(boxes: Tensor, image_size: int | check.Wholes) -> Tensor:
    """Move the corners that lie outside the image onto its border.

    Args:
        boxes: (..., 4), floating-point.
        image_size: (height, width) in the boxes' unit, or one number for both.

    Returns:
        (..., 4); a box wholly outside becomes one without area, see :func:`keep_boxes`.

    Raises:
        ValueError: no (..., 4), or a size below 1.

    >>> clip_boxes(torch.tensor([[-2.0, 3.0, 5.0, 9.0]]), (8, 4)).tolist()
    [[0.0, 3.0, 4.0, 8.0]]
    """
    boxes = check.boxes(boxes, "boxes")
    height, width = check.wholes(image_size, "image_size", length=2, broadcast=True, low=1)
    corners = check.wide(boxes).unflatten(-1, (2, 2))  # (..., 4) -> (..., 2 corners, x and y)
    x, y = corners[..., 0].clamp(0, width), corners[..., 1].clamp(0, height)
    return torch.stack((x, y), -1).flatten(-2).to(boxes.dtype)


def keep_boxes(boxes: Tensor, *, min_size: float = 0.0) -> Tensor:
    """Numbers of the boxes that are worth keeping: finite, wider and higher than nothing, and at least ``min_size``.

    Args:
        boxes: (K, 4), floating-point.
        min_size: smallest width and height, in the boxes' unit.

    Returns:
        (up to K,) int64, rising. Boxes with nan, turned boxes (x2 < x1) and boxes without area are not among them
        (torchvision's ``remove_small_boxes`` keeps those without area where ``min_size`` is 0).

    Raises:
        ValueError: no (K, 4), or a negative ``min_size``.

    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [3.0, 3.0, 3.0, 9.0], [5.0, 5.0, 6.0, 9.0]])
    >>> keep_boxes(boxes, min_size=2).tolist()
    [0]
    """
    boxes, min_size = check.wide(check.boxes(boxes, "boxes", "(K, 4)")), check.number(min_size, "min_size", low=0)
    size = boxes[:, 2:] - boxes[:, :2]
    good = boxes.isfinite().all(1) & (size > 0).all(1) & (size >= min_size).all(1)
    return good.nonzero().squeeze(1)
