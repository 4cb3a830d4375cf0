"""RoI Align's sample points as one sparse matrix: :func:`align` equals :func:`plain_align`, values and gradients.

A bin's points share most of the pixels that they read. So the points of each axis are first summed pixel by pixel (its
"taps"); every pair of a tap of y and a tap of x is one entry of a sparse matrix, which maps all cells to all bins.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch.nn import functional as F


def plain_align(features, image, start, size, bins, points, reduce):
    """RoI Align, one box after the other.

    Args:
        features: (N, C, H, W).
        image: (K,) int64, which of the N each box lies in.
        start: (K, 2) x and y where each box begins, in cells.
        size: (K, 2) its width and height.
        bins: (h, w).
        points: sample points a bin on each axis; 0 or less: the bin's size, rounded up.
        reduce: ``"mean"`` or ``"max"``.

    Returns:
        (K, C, h, w).
    """
    out = features.new_zeros(len(image), features.shape[1], *bins)
    for k, (x, y) in enumerate(start):
        ny, nx = (points if points > 0 else math.ceil(size[k, axis].detach() / bins[1 - axis]) for axis in (1, 0))
        values = _read(features[image[k]], _positions(x, size[k, 0], bins[1] * nx))  # (C, H, W) -> (C, H, w*nx)
        values = _read(values.mT, _positions(y, size[k, 1], bins[0] * ny)).mT  # -> (C, h*ny, w*nx)
        if nx * ny:
            values = values.unflatten(2, (bins[1], nx)).unflatten(1, (bins[0], ny))  # -> (C, h, ny, w, nx)
            out[k] = values.mean((2, 4)) if reduce == "mean" else values.amax((2, 4))
    return out


def _positions(start, size, count):
    """The middles of ``count`` equal parts."""
    return start + (torch.arange(count, dtype=size.dtype, device=size.device) + 0.5) * size / count


def _read(values, position):
    """(..., length) at positions between the cells; 0 more than a cell outside."""
    last = values.shape[-1] - 1
    inside = (position >= -1) & (position <= last + 1)
    position = position.clamp(0, last)
    low = position.detach().floor().long()
    fraction = position - low
    between = values[..., low] * (1 - fraction) + values[..., (low + 1).clamp(max=last)] * fraction
    return torch.where(inside, between, 0)


# --- The same as one sparse matrix ----------------------------------------------------------------------------------


def align(features, image, start, size, bins, points, reduce):
    """RoI Align of all boxes at once; arguments and answer as of :func:`plain_align`."""
    (height, width), (rows, columns) = bins, features.shape[2:]
    # A cell's channels lie side by side, and are read at once: (N, C, H, W) -> (N*H*W, C)
    table = features.permute(0, 2, 3, 1).contiguous().flatten(0, 2)
    first_pixel = image * (rows * columns)

    def matrix(chosen, bins_y, bins_x, points):
        x = _taps(start[chosen, 0], size[chosen, 0], bins_x, columns, points)
        y = _taps(start[chosen, 1], size[chosen, 1], bins_y, rows, points)
        return _matrix(first_pixel[chosen], y, x, rows, columns, len(features))

    if reduce == "mean":
        out = _Bins.apply(*matrix(slice(None), height, width, points), table, height * width)
    else:
        out = _largest_points(matrix, table, size, height, width, points)
    return out.unflatten(2, (height, width))


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

    pixel: torch.Tensor
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
        line = spread(first_pixel[:, None, None])[bin_] + (y.pixel * columns).to(narrow)[y_tap]
        nx, x0 = (spread(numbers.view(boxes, 1, -1))[bin_] for numbers in (nx, x.offsets[:-1]))
        run, x_tap = _ragged(nx, x0)
        index = line[run].add_(x.pixel.to(narrow)[x_tap])
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
