"""RoI Pool's largest cells from windows of 1, 2, 4, ... cells: :func:`largest` equals :func:`plain_largest`, gradients
included.

A window of 2^n cells is two of half its side; two windows that overlap cover a bin's side. So each size of window is
compared once for the whole map, not once for every bin. Where a gradient is wanted, keys are compared instead of
values: integers that hold a value's rank and its place.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F


def plain_largest(features, image, y, x):
    """The largest cell of every bin, one bin after the other; 0 for a bin without cells.

    Args:
        features: (N, C, H, W).
        image: (K,) int64, which of the N each box lies in.
        y: where the h rows of bins begin and end, (K, h) and (K, h) int64, within 0 ... H.
        x: the same for the w columns, (K, w) and (K, w).

    Returns:
        (K, C, h, w); the gradient flows to the first of equal cells.
    """
    (top, bottom), (left, right) = y, x
    out = features.new_zeros(len(image), features.shape[1], top.shape[1], left.shape[1])
    for k, p, q in np.ndindex(len(image), top.shape[1], left.shape[1]):
        cells = features[image[k], :, top[k, p] : bottom[k, p], left[k, q] : right[k, q]].flatten(1)  # (C, cells)
        if cells.shape[1]:
            out[k, :, p, q] = cells.max(1).values
    return out


# --- The same with windows ------------------------------------------------------------------------------------------


def largest(features, image, y, x):
    """The largest cell of every bin of all boxes; arguments and answer as of :func:`plain_largest`."""
    rows, columns = features.shape[2:]
    table = features.permute(0, 2, 3, 1).contiguous()  # (N, C, H, W) -> (N, H, W, C)
    with torch.no_grad():
        empty = ((y[1] <= y[0])[:, :, None] | (x[1] <= x[0])[:, None, :]).view(len(image), -1, 1)  # (K, h*w, 1)
    if table.requires_grad and torch.is_grad_enabled():
        with torch.no_grad():
            place = _largest(table, image, y, x, places=True)  # (K, h*w, C), within the image
            place += (image * (rows * columns)).to(torch.int32)[:, None, None]
            place.masked_fill_(empty, len(features) * rows * columns)
        # One more cell, for the empty bins: it is 0, and what flows back to it is lost.
        out = _Read.apply(F.pad(table.flatten(0, 2), (0, 0, 0, 1)), place)
    else:
        out = _largest(table, image, y, x).masked_fill_(empty, 0).transpose(1, 2)
    return out.unflatten(2, (y[0].shape[1], x[0].shape[1]))


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
