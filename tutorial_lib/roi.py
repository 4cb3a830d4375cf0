"""RoI Align and RoI Pool, and the boxes around them: overlap, suppression, anchors, offsets.

Boxes are (x1, y1, x2, y2) with x to the right and y down, in pixels of the image. `spatial_scale` turns them into cells
of the feature map. What a function answers is on its inputs' device.
"""

import functools
import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

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

Boxes = torch.Tensor | Sequence[torch.Tensor]


# ---------------------------------------------------------------------------------------- RoI Align


def roi_align(
    features: torch.Tensor,
    boxes: Boxes,
    output_size: int | tuple[int, int],
    *,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = True,
    reduce: str = "mean",
) -> torch.Tensor:
    r"""Read a fixed grid of values from every box of a feature map, without rounding the box.

    The box, $\text{scale}\cdot(x_1, y_1, x_2, y_2) - o$ in cells, is cut into h × w equal bins. In each bin lie
    $n_y n_x$ sample points, at $(i+\tfrac12)/n$ of its height and width. A point's value is interpolated bilinearly
    from the four cells around it; the bin's value is the points' mean (or maximum):

    $$out_{kcpq} = \frac{1}{n_y n_x}\sum_{i,j} \sum_{r,s} \max(0, 1-|y_{pi}-r|)\,\max(0, 1-|x_{qj}-s|)\,F_{crs}$$

    A point up to one cell outside the map reads the map's edge; one further out counts as 0. All this is torchvision's
    `roi_align`, to rounding, with two differences: `aligned` is True by default (as in detectron2), and a box that
    cannot be is an error.

    Gradients of any order flow to `features`, and to `boxes` where they ask for it. There the number of points and
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
        reduce: "mean", or "max" for the largest of the points' values; equal values share its gradient. (Others
            call "max" the largest of the single weighted corners. That is another number.)

    Returns:
        (K, C, h, w), the features' dtype and device; contiguous, or channels_last where `features` is. No boxes give
        (0, C, h, w), and a box without area reads its one point, or 0 where the ratio is ≤ 0 and `aligned` is True.

    Raises:
        ValueError: features that are not floating (N, C, H, W); a wrong shape or device of boxes, an image number that
            is no whole number in 0 … N-1, nan or infinity, x2 < x1 or y2 < y1; a size, scale or `reduce` that cannot
            be.

    Reference: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", ICCV 2017, arXiv 1703.06870, section 3 (RoIAlign).

    >>> features = torch.arange(16.0).view(1, 1, 4, 4)
    >>> roi_align(features, torch.tensor([[0.0, 0.5, 0.5, 2.5, 2.5]]), 2, sampling_ratio=1)[0, 0].tolist()
    [[2.5, 3.5], [6.5, 7.5]]
    """
    height, width = _output_size(output_size)
    if reduce not in ("mean", "max"):
        raise ValueError(f"reduce must be 'mean' or 'max', got {reduce!r}")
    _check_features(features)
    scale, ratio = _positive(spatial_scale, "spatial_scale"), _whole(sampling_ratio, "sampling_ratio")
    image, corners = _check_boxes(boxes, features, scale)
    rows, columns = features.shape[2:]
    if len(corners) == 0:
        return _nothing(features, corners, height, width)

    table = _channels_last(features).flatten(0, 2)
    corners = corners - (0.5 if aligned else 0.0)
    start, size = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not aligned:
        size = size.clamp(min=1.0)
    first_pixel = image * (rows * columns)

    def matrix(chosen, bins_y, bins_x, points):
        x = _taps(start[chosen, 0], size[chosen, 0], bins_x, columns, points)
        y = _taps(start[chosen, 1], size[chosen, 1], bins_y, rows, points)
        return _matrix(first_pixel[chosen], y, x, rows, columns, len(features))

    if reduce == "mean":
        out = _Bins.apply(*matrix(slice(None), height, width, ratio), table, height * width)
    else:
        out = _largest_points(matrix, table, size, height, width, ratio)
    return _as_features(out.unflatten(2, (height, width)), features)


# Sample points whose values are held at a time when the largest of a bin is wanted.
_SAMPLES = 1 << 15


def _largest_points(matrix, table, size, height: int, width: int, ratio: int):
    """The largest sample point of every bin, (boxes, C, bins); boxes with as many points a bin go together."""
    with torch.no_grad():
        if ratio > 0:
            points = torch.full_like(size, ratio, dtype=torch.int64)
        else:
            points = (size / size.new_tensor([width, height])).ceil().to(torch.int64)
        kinds, kind = points.unique(dim=0, return_inverse=True)
    parts, order = [], []
    for number, (nx, ny) in enumerate(kinds.tolist()):
        chosen = (kind == number).nonzero().squeeze(1)
        order.append(chosen)
        if nx * ny == 0:  # no points: torchvision says 0
            parts.append(table.new_zeros(len(chosen), table.shape[1], height * width))
            continue
        for some in chosen.split(max(1, _SAMPLES // (height * width * nx * ny))):
            # A bin's points are the middles of its parts: as many bins with one point each.
            values, pattern = matrix(some, height * ny, width * nx, 1)
            found = _Sums.apply(values, pattern, table).view(-1, height, ny, width, nx, table.shape[1])
            best = functools.reduce(torch.maximum, (point for line in found.unbind(2) for point in line.unbind(3)))
            parts.append(best.flatten(1, 2).transpose(1, 2))
    return torch.cat(parts)[torch.cat(order).argsort()]


class _Taps(NamedTuple):
    """The pixels that one axis of every bin reads, with weights: ragged rows, as in a CSR matrix."""

    index: torch.Tensor
    weight: torch.Tensor
    offsets: torch.Tensor


# Sample points along one axis of all boxes together; 10,000 boxes of 1,000 cells have a seventh of it.
_POINTS = 1 << 26


def _taps(start, size, bins: int, length: int, ratio: int) -> _Taps:
    """Sample points of one axis: their two neighbours and weights, summed where a bin's points share a pixel."""
    width = size / bins
    with torch.no_grad():
        if ratio > 0:
            count = torch.full_like(width, ratio, dtype=torch.int64)
        else:
            count = width.ceil()
            if float(count.sum()) * bins > _POINTS:
                raise ValueError("boxes so large have too many sample points: give a sampling_ratio, or use clip_boxes")
            count = count.to(torch.int64)
        per_bin = count.repeat_interleave(bins)
        row = torch.arange(len(per_bin), device=start.device).repeat_interleave(per_bin)
        first = per_bin.cumsum(0) - per_bin
        number = torch.arange(len(row), device=start.device) - first[row]
        box, bin_ = row // bins, row % bins
    position = start[box] + bin_ * width[box] + (number + 0.5) * width[box] / count[box]
    with torch.no_grad():
        inside = ((position >= -1.0) & (position <= length)).nonzero().squeeze(1)
        row, box = row[inside], box[inside]
    position = position[inside]
    with torch.no_grad():
        low = position.clamp(0, length - 1).floor().to(torch.int64)
        high = (low + 1).clamp(max=length - 1)
    fraction = position.clamp(0, length - 1) - low
    weight = torch.stack((1 - fraction, fraction), 1) / count[box, None]
    key = torch.stack((low, high), 1) + row[:, None] * length
    key, inverse = key.flatten().unique(return_inverse=True)
    weight = torch.zeros_like(key, dtype=weight.dtype).index_add(0, inverse, weight.flatten())
    offsets = torch.searchsorted(key, torch.arange(len(per_bin) + 1, device=key.device) * length)
    return _Taps(key % length, weight, offsets)


def _matrix(first_pixel, y: _Taps, x: _Taps, rows: int, columns: int, images: int):
    """The map from all cells to all bins as a sparse matrix: each tap of y with each tap of x is one entry."""
    with torch.no_grad():
        boxes, cells = len(first_pixel), images * rows * columns
        ny, nx = (taps.offsets.diff().view(boxes, -1) for taps in (y, x))
        shape = (boxes, ny.shape[1], nx.shape[1])
        in_bin = (ny[:, :, None] * nx[:, None, :]).flatten()
        offsets = F.pad(in_bin.cumsum(0), (1, 0))
        narrow = torch.int32 if max(int(offsets[-1]), cells) < 1 << 31 else torch.int64

        def spread(numbers):
            return numbers.to(narrow).expand(shape).flatten()

        # First every bin with its taps of y ("runs"), then every run with its taps of x.
        bin_, y_tap = _ragged(spread(ny[:, :, None]), spread(y.offsets[:-1].view(boxes, -1, 1)))
        line = spread(first_pixel[:, None, None])[bin_] + (y.index * columns).to(narrow)[y_tap]
        nx, x0 = (spread(numbers.view(boxes, 1, -1))[bin_] for numbers in (nx, x.offsets[:-1]))
        run, x_tap = _ragged(nx, x0)
        index = line[run].add_(x.index.to(narrow)[x_tap])
    return y.weight[y_tap][run] * x.weight[x_tap], _Pattern(index, offsets.to(narrow), cells)


def _ragged(counts, first):
    """For rows of `counts` entries each: every entry's row, and its number counted from the row's `first`."""
    row = torch.repeat_interleave(counts)
    start = first + counts - counts.cumsum(0, dtype=counts.dtype)
    return row, start[row].add_(torch.arange(len(row), dtype=counts.dtype, device=counts.device))


class _Pattern:
    """Where the non-zeros of a sparse matrix are: CSR, and its transpose when asked for."""

    def __init__(self, index, offsets, columns):
        self.index, self.offsets, self.columns = index, offsets, columns
        self._transpose = None

    def transpose(self):
        """The order of the values, and the pattern, of the transpose."""
        if self._transpose is None:
            order = self.index.argsort(stable=True)
            row = torch.repeat_interleave(self.offsets.diff())[order]
            offsets = F.pad(torch.bincount(self.index, minlength=self.columns).cumsum(0), (1, 0))
            self._transpose = order, _Pattern(row, offsets.to(row.dtype), len(self.offsets) - 1)
        return self._transpose

    def parts(self, boxes, number):
        """About as many parts: which boxes, which of the values are theirs, and their pattern."""
        step = -(-boxes // number)
        bins = (len(self.offsets) - 1) // boxes
        for first in range(0, boxes, step):
            some = slice(first, min(first + step, boxes))
            offsets = self.offsets[some.start * bins : some.stop * bins + 1]
            values = slice(int(offsets[0]), int(offsets[-1]))
            yield some, values, _Pattern(self.index[values], offsets - offsets[0], self.columns)

    def sums(self, values, table):
        return F.embedding_bag(
            self.index, table, self.offsets, mode="sum", per_sample_weights=values, include_last_offset=True
        )


class _Bins(torch.autograd.Function):
    """Sparse matrix times dense, as (boxes, C, bins): some boxes at a time, to hold one large result and not two."""

    @staticmethod
    def forward(ctx, values, pattern, table, bins):
        ctx.save_for_backward(values, table)
        ctx.pattern = pattern
        boxes = (len(pattern.offsets) - 1) // bins
        out = table.new_empty(boxes, table.shape[1], bins)
        for some, own, part in pattern.parts(boxes, 16):
            out[some] = part.sums(values[own], table).view(-1, bins, table.shape[1]).transpose(1, 2)
        return out

    @staticmethod
    def backward(ctx, grad):
        values, table = ctx.saved_tensors
        of_values, of_table = [], None
        # Every part gives a gradient as large as the map: few parts where the map is larger than the result.
        number = min(8, max(1, 2 * grad.numel() // table.numel()))
        for some, own, part in ctx.pattern.parts(len(grad), number):
            rows = grad[some].transpose(1, 2).reshape(-1, table.shape[1])
            if ctx.needs_input_grad[0]:
                of_values.append(_Products.apply(rows, part, table))
            if ctx.needs_input_grad[2]:
                order, transpose = part.transpose()
                share = _Sums.apply(values[own][order], transpose, rows)
                of_table = share if of_table is None else share.add_(of_table)
        return torch.cat(of_values) if of_values else None, None, of_table, None


class _Sums(torch.autograd.Function):
    """Sparse matrix times dense: linear in the values and in the table."""

    @staticmethod
    def forward(ctx, values, pattern, table):
        ctx.save_for_backward(values, table)
        ctx.pattern = pattern
        return pattern.sums(values, table)

    @staticmethod
    def backward(ctx, grad):
        values, table = ctx.saved_tensors
        grad = grad.contiguous()
        of_values = _Products.apply(grad, ctx.pattern, table) if ctx.needs_input_grad[0] else None
        of_table = None
        if ctx.needs_input_grad[2]:
            order, transpose = ctx.pattern.transpose()
            of_table = _Sums.apply(values[order], transpose, grad)
        return of_values, None, of_table


class _Products(torch.autograd.Function):
    """The gradient of those sums for the values: row of the one times row of the other, for every non-zero."""

    @staticmethod
    def forward(ctx, left, pattern, right):
        ctx.save_for_backward(left, right)
        ctx.pattern = pattern
        values = left.new_zeros(len(pattern.index), requires_grad=True)
        with torch.enable_grad():  # torch has these products as the gradient of its own weighted sums
            # torch 2.4 has them only where the table asks for a gradient too; it is not computed.
            out = pattern.sums(values, right.detach().requires_grad_())
        return torch.autograd.grad(out, values, left)[0]

    @staticmethod
    def backward(ctx, grad):
        left, right = ctx.saved_tensors
        of_left = _Sums.apply(grad, ctx.pattern, right) if ctx.needs_input_grad[0] else None
        of_right = None
        if ctx.needs_input_grad[2]:
            order, transpose = ctx.pattern.transpose()
            of_right = _Sums.apply(grad[order], transpose, left)
        return of_left, None, of_right


def _computed_in(features) -> torch.dtype:
    return features.dtype if features.dtype == torch.float64 else torch.float32


def _channels_last(features):
    """(N, H, W, C), in the type we compute in: a cell's channels lie side by side, and are read at once."""
    return features.permute(0, 2, 3, 1).to(_computed_in(features)).contiguous()


def _as_features(out, features):
    """In the features' dtype and order in memory."""
    last = features.is_contiguous(memory_format=torch.channels_last) and not features.is_contiguous()
    return out.to(features.dtype).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


# ---------------------------------------------------------------------------------------- RoI Pool


def roi_pool(
    features: torch.Tensor, boxes: Boxes, output_size: int | tuple[int, int], *, spatial_scale: float = 1.0
) -> torch.Tensor:
    r"""Take the largest value from every bin of a grid laid over every box, box and bins rounded to whole cells.

    The scaled corners are rounded, a half away from zero, and *both* end cells belong to the box: it is
    $H = \max(1, y_2-y_1+1)$ cells high. Bin p reads the rows from $\lfloor pH/h\rfloor$ up to, not with,
    $\lceil (p+1)H/h\rceil$: neighbours overlap where H/h is no whole number. Columns likewise. What lies outside the
    map is left out, and a bin of which nothing remains is 0.

    Torchvision's `roi_pool`, rounding and all. The gradient flows to the first largest cell of each bin, in any order;
    there is none with respect to the boxes.

    Args:
        features: (N, C, H, W), float32 or float64; bfloat16 and float16 are compared in float32.
        boxes: (K, 5) with the image's number first, then x1, y1, x2, y2; or a list of N tensors (K_i, 4).
        output_size: (h, w), or one number for both.
        spatial_scale: cells of the feature map in a pixel, 1/16 for stride 16.

    Returns:
        (K, C, h, w), the features' dtype and device; contiguous, or channels_last where `features` is.

    Raises:
        ValueError: as `roi_align`.

    Reference: Girshick, "Fast R-CNN", ICCV 2015, arXiv 1504.08083, section 2.1.

    >>> features = torch.arange(16.0).view(1, 1, 4, 4)
    >>> roi_pool(features, torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 2)[0, 0].tolist()
    [[5.0, 6.0], [9.0, 10.0]]
    """
    height, width = _output_size(output_size)
    _check_features(features)
    image, corners = _check_boxes(boxes, features, _positive(spatial_scale, "spatial_scale"))
    rows, columns = features.shape[2:]
    if len(corners) == 0:
        return _nothing(features, corners, height, width)

    table = _channels_last(features)
    with torch.no_grad():
        corners = _round(corners)
        x = _edges(corners[:, 0], corners[:, 2], width, columns)
        y = _edges(corners[:, 1], corners[:, 3], height, rows)
        empty = ((y[1] <= y[0])[:, :, None] | (x[1] <= x[0])[:, None, :]).view(len(corners), -1, 1)
    if table.requires_grad and torch.is_grad_enabled():
        with torch.no_grad():
            place = _largest(table, image, y, x, places=True)
            place += (image * (rows * columns)).to(torch.int32)[:, None, None]
            place.masked_fill_(empty, len(features) * rows * columns)
        # One more cell, for the empty bins: it is 0, and what flows back to it is lost.
        out = _Read.apply(F.pad(table.flatten(0, 2), (0, 0, 0, 1)), place)
    else:
        out = _largest(table, image, y, x).masked_fill_(empty, 0).transpose(1, 2)
    return _as_features(out.unflatten(2, (height, width)), features)


_LAST = (1 << 31) - 1


def _keys(table):
    """Integers that order every channel's cells by value, and equal values by falling position; (H, W, C).

    The high half orders by value, the low half is 2^31 - 1 less the position. So the largest key of a window tells
    where the first of the largest values stands.
    """
    cells = table.flatten(0, 1)
    position = torch.arange(len(cells), device=cells.device)[:, None]
    if cells.dtype == torch.float64:  # no room for its bits: its rank instead
        order = cells.sort(dim=0, descending=True, stable=True).indices
        high = torch.empty_like(order).scatter_(0, order, position.flip(0).expand(order.shape))
    else:
        # A float's bits as an integer grow with it if those of the negative are turned round. Of the two zeros we
        # want one, of the many nan the one that is above infinity.
        bits = (cells + 0.0).masked_fill_(cells.isnan(), math.nan).view(torch.int32)
        high = (bits ^ ((bits >> 31) & _LAST)).to(torch.int64)
    return high.mul_(1 << 32).add_(_LAST - position).view(table.shape)


class _Read(torch.autograd.Function):
    """One cell for every bin and channel: from a table (cells, C) and places (boxes, bins, C) to (boxes, C, bins)."""

    @staticmethod
    def forward(ctx, table, place):
        ctx.save_for_backward(place)
        ctx.cells = len(table)
        out = table.new_empty(place.transpose(1, 2).shape)
        table = table.contiguous()
        for some, index in _places(place):
            out[some] = table.view(-1).index_select(0, index.view(-1)).view(index.shape).transpose(1, 2)
        return out

    @staticmethod
    def backward(ctx, grad):
        return _Spread.apply(grad, *ctx.saved_tensors, ctx.cells), None


class _Spread(torch.autograd.Function):
    """The transpose of `_Read`: every number is added to the cell it would be read from."""

    @staticmethod
    def forward(ctx, values, place, cells):
        ctx.save_for_backward(place)
        out = values.new_zeros(cells, values.shape[1])
        for some, index in _places(place):
            out.view(-1).scatter_add_(0, index.view(-1), values[some].transpose(1, 2).reshape(-1))
        return out

    @staticmethod
    def backward(ctx, grad):
        return _Read.apply(grad, *ctx.saved_tensors), None, None


def _places(place):
    """Boxes by the handful, so that wide numbers stay in the cache, and their positions in the flat table."""
    channels = place.shape[2]
    channel = torch.arange(channels, device=place.device)
    step = max(1, _GATHERED // place[0].numel())
    for start in range(0, len(place), step):
        some = slice(start, start + step)
        yield some, torch.add(channel, place[some], alpha=channels)


# Numbers gathered at a time: what is compared next is still in the cache, and torch does not split steps so short
# over threads, which would wait for one another wherever a core is busy.
_GATHERED = 1 << 15


def _largest(table, image, y, x, places=False):
    """The largest number of every bin, or the position in its image where it stands, (boxes, bins, C).

    The table is (N, H, W, C); what is told of an empty bin does not matter. Windows of 1, 2, 4, … cells are compared
    once for the whole map; two of them, overlapping, cover a bin's side.
    """
    rows, columns, channels = table.shape[1:]
    y0, x0 = y[0].clamp(max=rows - 1), x[0].clamp(max=columns - 1)
    y1, x1 = torch.maximum(y[1], y0 + 1), torch.maximum(x[1], x0 + 1)
    # Sides of a map are whole numbers that float32 holds exactly; Apple's GPUs have no float64.
    y_level, x_level = (torch.frexp((end - first).float()).exponent - 1 for first, end in ((y0, y1), (x0, x1)))
    kind = (64 * y_level[:, :, None] + x_level[:, None, :]).flatten(1)
    kinds = set(kind.unique().tolist())
    out = table.new_empty(kind.numel(), channels, dtype=torch.int32 if places else None)
    for number in image.unique().tolist():
        own = image[:, None] == number
        tall, height = _keys(table[number]) if places else table[number], 1
        for y_number in range(int(y_level.max()) + 1):
            if y_number:
                tall, height = torch.maximum(tall[:-height], tall[height:]), 2 * height
            window, width = tall, 1
            for x_number in range(int(x_level.max()) + 1):
                if x_number:
                    window, width = torch.maximum(window[:, :-width], window[:, width:]), 2 * width
                if 64 * y_number + x_number not in kinds:
                    continue
                cells = window.reshape(-1, channels)
                # A side of one cell is covered by one window.
                tops = [edge * window.shape[1] for edge in (y0, y1 - height)[: 1 + y_number]]
                lefts = (x0, x1 - width)[: 1 + x_number]
                corner = torch.stack([(top[:, :, None] + left[:, None, :]).flatten() for top in tops for left in lefts])
                bins = (own & (kind == 64 * y_number + x_number)).flatten().nonzero().squeeze(1)
                for some in bins.split(max(1, _GATHERED // channels)):
                    first, *others = (cells.index_select(0, index) for index in corner[:, some])
                    for other in others:
                        torch.maximum(first, other, out=first)
                    out.index_copy_(0, some, first.to(out.dtype))  # of a key int32 keeps the low half
    return (out.neg_().add_(_LAST) if places else out).view(*kind.shape, channels)


def _round(x):
    """Half away from zero, as C does; torch.round goes to the even neighbour."""
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


def _edges(first, last, bins: int, length: int):
    """Where the bins of one axis begin and end: floor and ceil, so that neighbours may overlap."""
    width = (last - first + 1).clamp(min=1) / bins
    number = torch.arange(bins, device=first.device)
    begin = (number * width[:, None]).floor() + first[:, None]
    end = ((number + 1) * width[:, None]).ceil() + first[:, None]
    return begin.clamp(0, length).to(torch.int64), end.clamp(0, length).to(torch.int64)


# ---------------------------------------------------------------------------------------- boxes


def box_area(boxes: torch.Tensor) -> torch.Tensor:
    r"""Area of boxes, $(x_2-x_1)(y_2-y_1)$: (…, 4) to (…).

    >>> box_area(torch.tensor([[1.0, 2.0, 4.0, 6.0]])).tolist()
    [12.0]
    """
    _check_corners(boxes, "boxes")
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1) * (y2 - y1)


def box_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    r"""Intersection over union of every box with every other.

    $IoU(a, b) = |a\cap b| / (|a|+|b|-|a\cap b|)$, and 0 where both areas are 0 (torchvision says nan there).

    Args:
        boxes: (N, 4), floating.
        others: (M, 4), the same type.

    Returns:
        (N, M), differentiable in both.

    Raises:
        ValueError: not (N, 4) or not floating.

    >>> a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> box_iou(a, torch.tensor([[1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])).tolist()
    [[0.1428571492433548, 0.0]]
    """
    for value, name in ((boxes, "boxes"), (others, "others")):
        _check_corners(value, name)
        _check_tensor(value, name, 4)
    inter = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
    inter = inter.clamp(min=0).prod(-1)
    union = box_area(boxes)[:, None] + box_area(others) - inter
    return inter / torch.where(union > 0, union, 1)


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    r"""Non-maximum suppression: of boxes that overlap, keep the one with the highest score.

    In the order of falling scores, a box stays if its IoU with every box that stayed before it is at most
    `iou_threshold`. Equal scores keep the order in which they came.

    Args:
        boxes: (K, 4), floating, finite.
        scores: (K,), floating.
        iou_threshold: 0 … 1.

    Returns:
        Numbers of the boxes that stay, int64, by falling score: torchvision's answer, in its order.

    Raises:
        ValueError: shapes or types that cannot be, boxes with x2 < x1 or y2 < y1 or not finite, nan scores.

    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 5.0], [6.0, 6.0, 8.0, 8.0]])
    >>> nms(boxes, torch.tensor([0.6, 0.9, 0.3]), 0.5).tolist()
    [1, 2]
    """
    _check_nms(boxes, scores, iou_threshold)
    order = scores.detach().sort(descending=True, stable=True).indices.cpu().numpy()
    # In NumPy, on one thread: hundreds of short steps, each of which a busy second core would hold up.
    corners = boxes.detach().to(_computed_in(boxes)).cpu().numpy()[order]
    limit = _below(iou_threshold, corners.dtype)
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    rest = np.concatenate((corners.T, area[None]))
    kept = [order[:0]]
    with np.errstate(invalid="ignore"):  # 0/0 of two boxes without area is no overlap
        while len(order):
            first, order = order[:_BLOCK], order[_BLOCK:]
            block, rest = rest[:, :_BLOCK], rest[:, _BLOCK:]
            stays = _greedy(_overlap(block, block, limit))
            kept.append(first[stays])
            block = block[:, stays]
            gone = np.zeros(len(order), bool)
            for start in range(0, len(order), _STRIP):
                strip = slice(start, start + _STRIP)
                gone[strip] = _overlap(block, rest[:, strip], limit).any(0)
            order, rest = order[~gone], rest[:, ~gone]
    return torch.from_numpy(np.concatenate(kept)).to(boxes.device)


# Boxes decided at a time, and boxes compared with them at a time: what a comparison writes stays in the cache.
_BLOCK, _STRIP = 256, 512


def _overlap(these, others, limit):
    """Whether the IoU is above the limit, (N, M), of boxes given as rows x1, y1, x2, y2, area."""
    x1, y1, x2, y2, area = these[:, :, None]
    wide, high = np.minimum(x2, others[2]), np.minimum(y2, others[3])
    other = np.maximum(x1, others[0])
    wide -= other
    high -= np.maximum(y1, others[1], out=other)
    inter = np.maximum(wide, 0, out=wide)
    inter *= np.maximum(high, 0, out=high)
    union = np.add(area, others[4], out=other)
    union -= inter
    inter /= union
    return inter > limit


def _below(threshold: float, dtype):
    """The largest number of a type that is not above the threshold: rounding 0.3 up would let an IoU of 0.3 pass."""
    limit = dtype.type(threshold)
    return limit if float(limit) <= threshold else np.nextafter(limit, dtype.type(-1))


def _greedy(overlap):
    """Which boxes stay, of a few that are sorted by score."""
    gone = np.zeros(len(overlap), bool)
    for number, row in enumerate(overlap):
        if not gone[number]:
            gone[number + 1 :] |= row[number + 1 :]
    return ~gone


def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """`nms` within each class: boxes of different classes never suppress each other.

    Args:
        boxes, scores, iou_threshold: as for `nms`.
        classes: (K,), integers; any numbers, such as the class, the image or the level of a pyramid.

    Returns:
        Numbers of the boxes that stay, int64, by falling score, equal scores in the order in which they came.

    Raises:
        ValueError: as `nms`, or classes that are not integers, one a box.

    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 5.0]])
    >>> batched_nms(boxes, torch.tensor([0.6, 0.9]), torch.tensor([0, 1]), 0.5).tolist()
    [1, 0]
    """
    _check_nms(boxes, scores, iou_threshold)
    if not isinstance(classes, torch.Tensor) or classes.is_floating_point() or classes.shape != scores.shape:
        raise ValueError(f"classes must be integers, one a box ({len(boxes)}), got {_kind(classes)}")
    keep = torch.zeros_like(scores, dtype=torch.bool)
    for number in classes.unique():
        member = (classes == number).nonzero().squeeze(1)
        keep[member[nms(boxes[member], scores[member], iou_threshold)]] = True
    keep = keep.nonzero().squeeze(1)
    return keep[scores[keep].sort(descending=True, stable=True).indices]


def make_anchors(
    feature_size: tuple[int, int],
    *,
    stride: float,
    sizes: Sequence[float],
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    offset: float = 0.5,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    r"""Anchor boxes of every size and shape around every cell of a feature map.

    Cell (i, j) has its centre at $((j + o)s, (i + o)s)$, stride s and offset o. An anchor of size a and ratio r (height
    over width) has width $a/\sqrt r$ and height $a\sqrt r$: all ratios have the area $a^2$.

    Args:
        feature_size: (H, W) of the feature map.
        stride: pixels of the image between two cells.
        sizes: square roots of the areas, in pixels.
        ratios: height over width.
        offset: 0.5 puts anchors on the middle of a cell; torchvision's generator puts them on its corner, 0, and
            rounds them to whole pixels.
        device, dtype: of the answer.

    Returns:
        (H·W·len(sizes)·len(ratios), 4); cells row by row, in each cell all ratios of the first size, then of the next.

    Raises:
        ValueError: a size, ratio or stride that is not positive.

    Reference: Ren, He, Girshick, Sun, "Faster R-CNN", 2015, arXiv 1506.01497, section 3.1.1.

    >>> make_anchors((1, 2), stride=16, sizes=[8], ratios=[1]).tolist()
    [[4.0, 4.0, 12.0, 12.0], [20.0, 4.0, 28.0, 12.0]]
    """
    rows, columns = _output_size(feature_size, "feature_size")
    step = _positive(stride, "stride")
    if not len(sizes) or not len(ratios):
        raise ValueError(f"sizes and ratios must not be empty, got {sizes!r} and {ratios!r}")
    wide = [_positive(size, "sizes") / math.sqrt(_positive(ratio, "ratios")) for size in sizes for ratio in ratios]
    high = [float(size) * math.sqrt(ratio) for size in sizes for ratio in ratios]
    # On the CPU first: every device gets the same numbers, also one without float64.
    half = torch.tensor([wide, high], dtype=torch.float64, device="cpu").T / 2
    y = (torch.arange(rows, dtype=torch.float64, device="cpu") + offset) * step
    x = (torch.arange(columns, dtype=torch.float64, device="cpu") + offset) * step
    centre = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1)[:, :, None]
    return torch.cat((centre - half, centre + half), -1).view(-1, 4).to(dtype).to(device)


# exp(4.135) = 1000/16: what a network may ask a box to grow by.
_MAX_LOG = math.log(1000 / 16)


def encode_boxes(
    boxes: torch.Tensor, anchors: torch.Tensor, *, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> torch.Tensor:
    r"""Offsets that turn anchors into boxes, as a network learns them.

    With centres (x, y) and sizes (w, h): $t_x = k_x(x-x_a)/w_a$, $t_y = k_y(y-y_a)/h_a$, $t_w = k_w\log(w/w_a)$,
    $t_h = k_h\log(h/h_a)$.

    Args:
        boxes: (…, 4), of positive width and height.
        anchors: (…, 4) that broadcast with `boxes`, of positive width and height.
        weights: (k_x, k_y, k_w, k_h); Fast R-CNN's second stage uses (10, 10, 5, 5).

    Returns:
        (…, 4).

    Raises:
        ValueError: no (…, 4), or a box without width or height (its logarithm is none).

    Reference: Girshick et al., "Rich feature hierarchies …" (R-CNN), 2014, arXiv 1311.2524, appendix C.

    >>> encode_boxes(torch.tensor([2.0, 0.0, 6.0, 8.0]), torch.tensor([0.0, 0.0, 4.0, 8.0])).tolist()
    [0.5, 0.0, 0.0, 0.0]
    """
    k = _weights(weights, boxes)
    for value, name in ((boxes, "boxes"), (anchors, "anchors")):
        _check_corners(value, name)
        if not bool((value[..., 2:] > value[..., :2]).all()):
            raise ValueError(f"{name} must have x1 < x2 and y1 < y2 to be encoded; drop the others with keep_boxes")
    size, anchor = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + size / 2 - anchors[..., :2] - anchor / 2) / anchor
    return torch.cat((shift, (size / anchor).log()), -1) * k


def decode_boxes(
    offsets: torch.Tensor,
    anchors: torch.Tensor,
    *,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    max_log: float = _MAX_LOG,
) -> torch.Tensor:
    r"""Boxes from offsets: `encode_boxes` backwards.

    Args:
        offsets: (…, 4), as `encode_boxes` returns them.
        anchors: (…, 4) that broadcast with `offsets`.
        weights: those that encoded.
        max_log: growth is cut at exp(max_log), so that an untrained network makes no infinite box.

    Returns:
        (…, 4).

    Raises:
        ValueError: no (…, 4), or no four positive weights.

    >>> anchor = torch.tensor([0.0, 0.0, 4.0, 8.0])
    >>> decode_boxes(torch.tensor([0.5, 0.0, 0.0, 0.0]), anchor).tolist()
    [2.0, 0.0, 6.0, 8.0]
    """
    _check_corners(offsets, "offsets")
    _check_corners(anchors, "anchors")
    t = offsets / _weights(weights, offsets)
    size = anchors[..., 2:] - anchors[..., :2]
    centre = anchors[..., :2] + size / 2 + t[..., :2] * size
    half = size * t[..., 2:].clamp(max=max_log).exp() / 2
    return torch.cat((centre - half, centre + half), -1)


def clip_boxes(boxes: torch.Tensor, image_size: tuple[int, int]) -> torch.Tensor:
    """Move the corners that lie outside the image onto its border.

    Args:
        boxes: (…, 4).
        image_size: (height, width) in the boxes' unit.

    Returns:
        (…, 4); a box wholly outside becomes one without area, see `keep_boxes`.

    Raises:
        ValueError: no (…, 4), or a size below 1.

    >>> clip_boxes(torch.tensor([[-2.0, 3.0, 5.0, 9.0]]), (8, 4)).tolist()
    [[0.0, 3.0, 4.0, 8.0]]
    """
    _check_corners(boxes, "boxes")
    height, width = _output_size(image_size, "image_size")
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack((x, y), -1).flatten(-2)


def keep_boxes(boxes: torch.Tensor, *, min_size: float = 0.0) -> torch.Tensor:
    """Numbers of the boxes that are worth keeping: finite, wider and higher than nothing, and at least `min_size`.

    Args:
        boxes: (K, 4).
        min_size: smallest width and height, in the boxes' unit.

    Returns:
        (up to K,) int64, rising. Boxes with nan, turned boxes (x2 < x1) and boxes without area are not among them
        (torchvision's `remove_small_boxes` keeps those without area where `min_size` is 0).

    Raises:
        ValueError: no (K, 4), or a negative `min_size`.

    >>> boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [3.0, 3.0, 3.0, 9.0], [5.0, 5.0, 6.0, 9.0]])
    >>> keep_boxes(boxes, min_size=2).tolist()
    [0]
    """
    _check_corners(boxes, "boxes")
    _check_tensor(boxes, "boxes", 4)
    if not isinstance(min_size, Real) or not 0 <= min_size < math.inf:
        raise ValueError(f"min_size must be a number of at least 0, got {min_size!r}")
    size = boxes[:, 2:] - boxes[:, :2]
    good = boxes.isfinite().all(1) & (size > 0).all(1) & (size >= min_size).all(1)
    return good.nonzero().squeeze(1)


def _check_corners(boxes, name: str) -> None:
    if not isinstance(boxes, torch.Tensor) or not boxes.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor, got {_kind(boxes)}")
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must have shape (..., 4), got {tuple(boxes.shape)}")


def _check_nms(boxes, scores, iou_threshold) -> None:
    _check_corners(boxes, "boxes")
    _check_tensor(boxes, "boxes", 4)
    if not isinstance(scores, torch.Tensor) or not scores.is_floating_point() or scores.shape != boxes.shape[:1]:
        what = tuple(scores.shape) if isinstance(scores, torch.Tensor) and scores.is_floating_point() else _kind(scores)
        raise ValueError(f"scores must be floating, one a box ({len(boxes)},), got {what}")
    if not isinstance(iou_threshold, Real) or not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must lie in 0 … 1, got {iou_threshold!r}")
    if not bool(boxes.isfinite().all()) or bool(scores.isnan().any()):
        raise ValueError("boxes must be finite and scores must not be nan")
    if bool((boxes[:, 2:] < boxes[:, :2]).any()):
        raise ValueError("boxes must have x1 <= x2 and y1 <= y2")


def _weights(weights, like: torch.Tensor) -> torch.Tensor:
    if len(weights) != 4:
        raise ValueError(f"weights must be four numbers, got {weights!r}")
    numbers = [_positive(weight, "weights") for weight in weights]
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)


# ---------------------------------------------------------------------------------------- what comes in


def _check_features(features) -> None:
    if not isinstance(features, torch.Tensor) or not features.is_floating_point():
        raise ValueError(f"features must be a floating-point tensor, got {_kind(features)}")
    if features.ndim != 4 or 0 in features.shape[1:]:
        raise ValueError(f"features must have shape (N, C, H, W) with C, H, W at least 1, got {tuple(features.shape)}")


def _check_boxes(boxes: Boxes, features: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Image numbers (K,), and corners (K, 4) in cells and in the type we compute in, of either form of boxes."""
    images = len(features)
    if isinstance(boxes, torch.Tensor):
        _check_tensor(boxes, "boxes", 5, features.device)
        image, corners = boxes[:, 0].detach(), boxes[:, 1:]
        with torch.no_grad():
            wrong = ~((image >= 0) & (image < images) & (image == image.floor()))
            if bool(wrong.any()):
                raise ValueError(
                    f"boxes[:, 0] must be whole image numbers 0 … {images - 1}, got {image[wrong][0].item():g} "
                    f"in row {int(wrong.nonzero()[0])}"
                )
        image = image.to(torch.int64)
    else:
        if not isinstance(boxes, Sequence):
            raise ValueError(f"boxes must be a tensor (K, 5) or a list of tensors (K_i, 4), got {_kind(boxes)}")
        if len(boxes) != images:
            raise ValueError(f"boxes must have one tensor an image: got {len(boxes)} for {images} images")
        for number, some in enumerate(boxes):
            _check_tensor(some, f"boxes[{number}]", 4, features.device)
        counts = torch.tensor([len(some) for some in boxes], dtype=torch.int64)
        image = torch.arange(images).repeat_interleave(counts).to(features.device)
        corners = torch.cat(list(boxes)) if images else features.new_zeros(0, 4)
    given, corners = corners, corners.to(_computed_in(features)) * scale
    with torch.no_grad():
        size = corners[:, 2:] - corners[:, :2]
        for wrong, what in ((~size.isfinite(), "be finite"), (size < 0, "have x1 <= x2 and y1 <= y2")):
            if bool(wrong.any()):
                row = int(wrong.any(1).nonzero()[0])
                raise ValueError(f"boxes must {what}, got {given[row].tolist()} in row {row}")
    return image, corners


def _check_tensor(boxes, name: str, columns: int, device: torch.device | None = None) -> None:
    if not isinstance(boxes, torch.Tensor) or boxes.is_complex() or boxes.dtype == torch.bool:
        raise ValueError(f"{name} must be a tensor of real numbers, got {_kind(boxes)}")
    if boxes.ndim != 2 or boxes.shape[1] != columns:
        raise ValueError(f"{name} must have shape (K, {columns}), got {tuple(boxes.shape)}")
    if device is not None and boxes.device != device:
        raise ValueError(f"{name} must be on the features' device {device}, got {boxes.device}")


def _nothing(features, corners, height: int, width: int) -> torch.Tensor:
    """No boxes: an empty answer that still hangs on the graph, so that `backward` gives zeros."""
    out = features[:0, :, :1, :1].expand(0, features.shape[1], height, width)
    return out + 0 * corners.sum().to(out.dtype)


def _output_size(size, name: str = "output_size") -> tuple[int, int]:
    both = (size, size) if not isinstance(size, Sequence) else tuple(size)
    if len(both) != 2:
        raise ValueError(f"{name} must be one number or (height, width), got {size!r}")
    height, width = (_whole(number, name) for number in both)
    if height < 1 or width < 1:
        raise ValueError(f"{name} must be at least 1, got {size!r}")
    return height, width


def _whole(value, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None


def _positive(value, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not (0 < value < math.inf):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def _kind(value) -> str:
    return str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__
