r"""RoI Align and RoI Pool: a grid of values from every box of a feature map.

Boxes are (x1, y1, x2, y2) with x to the right and y down, in pixels of the image; ``spatial_scale`` turns them into
cells of the feature map. What a function answers is on its inputs' device. What is done with the boxes themselves
(overlap, suppression, anchors, offsets) is in :mod:`tutorial_lib.boxes`, and can be imported from here too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _arguments as check
from ._kernels.align import align
from ._kernels.pool import largest
from .boxes import (
    batched_nms,
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    keep_boxes,
    make_anchors,
    nms,
)

__all__ = [
    "batched_nms",
    "box_area",
    "box_iou",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "keep_boxes",
    "make_anchors",
    "nms",
    "roi_align",
    "roi_pool",
]


def roi_align(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | check.Wholes,
    *,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = True,
    reduce: str = "mean",
) -> Tensor:
    r"""Read a fixed grid of values from every box of a feature map, without rounding the box.

    The box, :math:`s \cdot (x_1, y_1, x_2, y_2) - o` in cells with the scale s, is cut into h × w equal bins. In each
    bin lie :math:`n_y n_x` sample points, at :math:`(i + \tfrac12) / n` of its height and width. A point's value is
    interpolated bilinearly from the four cells around it; the bin's value is the points' mean (or maximum):

    .. math:: out_{kcpq} = \frac{1}{n_y n_x} \sum_{i,j} \sum_{r,s}
              \max(0, 1 - |y_{pi} - r|)\, \max(0, 1 - |x_{qj} - s|)\, F_{crs}

    A point up to one cell outside the map reads the map's edge; one further out counts as 0. All this is torchvision's
    ``roi_align``, to rounding, with two differences: ``aligned`` is True by default (as in detectron2), and a box that
    cannot be is an error. (Box by box and point by point it is ``_kernels.align.plain_align``.)

    Gradients of any order flow to ``features``, and to ``boxes`` where they ask for it. There the number of points and
    which points lie outside are constants, and a point that was moved onto the edge stays there: between the kinks of
    the interpolation this is the exact derivative.

    Args:
        features: (N, C, H, W), float32 or float64; bfloat16 and float16 are computed in float32.
        boxes: (K, 5) with the image's number first, then x1, y1, x2, y2; or a list of N tensors (K_i, 4).
        output_size: (h, w), or one number for both.
        spatial_scale: cells of the feature map in a pixel, 1/16 for stride 16.
        sampling_ratio: points a bin on each axis. 0 or less: the bin's size in cells, rounded up, for each box.
        aligned: o = 0.5, so that pixel and cell centres fall together. False is the older form: o = 0, and a box
            smaller than one cell is made one cell large.
        reduce: ``"mean"``, or ``"max"`` for the largest of the points' values; equal values share its gradient.
            (Others call "max" the largest of the single weighted corners. That is another number.)

    Returns:
        (K, C, h, w), the features' dtype and device; contiguous, or channels_last where ``features`` is. No boxes give
        (0, C, h, w), and a box without area reads its one point, or 0 where the ratio is ≤ 0 and ``aligned`` is True.

    Raises:
        ValueError: features that are not floating-point (N, C, H, W); a wrong shape or device of boxes, an image number
            that is no whole number in 0 … N-1, nan or infinity, x2 < x1 or y2 < y1; a size, scale or ``reduce`` that
            cannot be.

    References:
        He, Gkioxari, Dollár, Girshick, Mask R-CNN, ICCV 2017 (arXiv:1703.06870), section 3 (RoIAlign).

    >>> features = torch.arange(16.0).view(1, 1, 4, 4)
    >>> roi_align(features, torch.tensor([[0.0, 0.5, 0.5, 2.5, 2.5]]), 2, sampling_ratio=1)[0, 0].tolist()
    [[2.5, 3.5], [6.5, 7.5]]
    """
    bins, reduce = _bins(output_size), check.choice(reduce, "reduce", ("mean", "max"))
    image, corners = _cells(features, boxes, spatial_scale)
    points = check.whole(sampling_ratio, "sampling_ratio")
    if not len(corners):
        return _nothing(features, corners, bins)

    corners = corners - (0.5 if aligned else 0.0)
    start, size = corners[:, :2], corners[:, 2:] - corners[:, :2]  # (K, 2): x and y, width and height
    if not aligned:
        size = size.clamp(min=1.0)
    return _like(align(check.wide(features), image, start, size, bins, points, reduce), features)


def roi_pool(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | check.Wholes,
    *,
    spatial_scale: float = 1.0,
) -> Tensor:
    r"""Take the largest value from every bin of a grid laid over every box, box and bins rounded to whole cells.

    The scaled corners are rounded, a half away from zero, and *both* end cells belong to the box: it is
    :math:`H = \max(1, y_2 - y_1 + 1)` cells high. Bin p of h reads the rows

    .. math:: y_1 + \lfloor p H / h \rfloor \;\le\; r \;<\; y_1 + \lceil (p + 1) H / h \rceil

    so that neighbours overlap where H/h is no whole number. Columns likewise. What lies outside the map is left out,
    and a bin of which nothing remains is 0. (Bin by bin it is ``_kernels.pool.plain_largest``.)

    Torchvision's ``roi_pool``, rounding and all. The gradient flows to the first largest cell of each bin, in any
    order; there is none with respect to the boxes.

    Args:
        features: (N, C, H, W), float32 or float64; bfloat16 and float16 are compared in float32.
        boxes: (K, 5) with the image's number first, then x1, y1, x2, y2; or a list of N tensors (K_i, 4).
        output_size: (h, w), or one number for both.
        spatial_scale: cells of the feature map in a pixel, 1/16 for stride 16.

    Returns:
        (K, C, h, w), the features' dtype and device; contiguous, or channels_last where ``features`` is.

    Raises:
        ValueError: as :func:`roi_align`.

    References:
        Girshick, Fast R-CNN, ICCV 2015 (arXiv:1504.08083), section 2.1.

    >>> features = torch.arange(16.0).view(1, 1, 4, 4)
    >>> roi_pool(features, torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 2)[0, 0].tolist()
    [[5.0, 6.0], [9.0, 10.0]]
    """
    bins = height, width = _bins(output_size)
    image, corners = _cells(features, boxes, spatial_scale)
    if not len(corners):
        return _nothing(features, corners, bins)

    x1, y1, x2, y2 = _round(corners.detach()).unbind(1)
    y = _edges(y1, y2, height, features.shape[2])  # where the rows of bins begin and end: (K, h), (K, h)
    x = _edges(x1, x2, width, features.shape[3])
    return _like(largest(check.wide(features), image, y, x), features)


def _round(x: Tensor) -> Tensor:
    """Half away from zero, as C does; torch.round goes to the even neighbour."""
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


def _edges(first: Tensor, last: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """Where the bins of one axis begin and end: floor and ceil, so that neighbours may overlap."""
    width = (last - first + 1).clamp(min=1) / bins
    number = torch.arange(bins, device=first.device)
    begin = (number * width[:, None]).floor() + first[:, None]
    end = ((number + 1) * width[:, None]).ceil() + first[:, None]
    return begin.clamp(0, length).to(torch.int64), end.clamp(0, length).to(torch.int64)


# --- What both take and give ----------------------------------------------------------------------------------------


def _bins(output_size: int | check.Wholes) -> tuple[int, int]:
    height, width = check.wholes(output_size, "output_size", length=2, broadcast=True, low=1)
    return height, width


def _cells(features: Tensor, boxes, spatial_scale: float) -> tuple[Tensor, Tensor]:
    """Every box's image (K,), and its corners in cells of the map (K, 4)."""
    check.tensor(features, "features", "(N, C, H, W)", kind="floating-point")
    if 0 in features.shape[1:]:
        raise ValueError(f"features must be (N, C, H, W) with C, H, W at least 1, got {check.what(features)}")
    return check.rois(boxes, features, check.number(spatial_scale, "spatial_scale", above=0))


def _nothing(features: Tensor, corners: Tensor, bins: tuple[int, int]) -> Tensor:
    """No boxes: an empty answer that still hangs on the graph, so that `backward` gives zeros."""
    out = features[:0, :, :1, :1].expand(0, features.shape[1], *bins)
    return out + 0 * corners.sum().to(out.dtype)


def _like(out: Tensor, features: Tensor) -> Tensor:
    """In the features' dtype and order in memory."""
    last = features.is_contiguous(memory_format=torch.channels_last) and not features.is_contiguous()
    return out.to(features.dtype).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
