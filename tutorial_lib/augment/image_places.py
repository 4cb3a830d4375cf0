"""Operations that move pixels: one affine grid for all images of a batch, flips and shifts by whole pixels, cutout.

A map says where an output pixel is read: ``(y, x) = A (y', x') + t`` around the image's middle, in pixels. Masks are
read by the same maps, each pixel from the nearest.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

#: Where the output's (x, y), from the middle, is read: (xx, xy, tx, yx, yy, ty) of a magnitude and the sides.
MAPS = {
    "crop": lambda m, height, width: (1 - 2 * m, 0, 0, 0, 1 - 2 * m, 0),
    "rotate": lambda m, height, width: (*_turn(m)[:2], 0, *_turn(m)[2:], 0),
    "shear_x": lambda m, height, width: (1, m, 0, 0, 1, 0),
    "shear_y": lambda m, height, width: (1, 0, 0, m, 1, 0),
    "translate_x": lambda m, height, width: (1, 0, -m * width, 0, 1, 0),
    "translate_y": lambda m, height, width: (1, 0, 0, 0, 1, -m * height),
}


def _turn(degrees: float) -> tuple[float, float, float, float]:
    """Counter-clockwise, where y points down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return cos, -sin, sin, cos


def moved(
    images: Tensor, masks: Tensor | None, maps: Sequence[Sequence[float]], *, fill: float, interpolation: str
) -> tuple[Tensor, Tensor | None]:
    """Read every image, and its masks, by its map; what lies outside is ``fill``, and 0 in a mask."""
    height, width = images.shape[-2:]
    # In the grid's units the image reaches from -1 to 1 along both axes; a pixel lies at its middle.
    scaled = [
        (xx, xy * height / width, 2 * tx / width, yx * width / height, yy, 2 * ty / height)
        for xx, xy, tx, yx, yy, ty in maps
    ]
    numbers = torch.tensor(scaled, dtype=torch.float64).to(images.dtype).to(images.device)
    xx, xy, tx, yx, yy, ty = numbers.T[..., None, None]  # (N, 1, 1) each
    x = ((torch.arange(width, device=images.device) * 2 + 1).to(images) / width - 1)[None, :]
    y = ((torch.arange(height, device=images.device) * 2 + 1).to(images) / height - 1)[:, None]
    read_x, read_y = xx * x + (xy * y + tx), yx * x + (yy * y + ty)  # (N, H, W) each: where a pixel is read
    outside = ((read_x.abs() > 1) | (read_y.abs() > 1)).unsqueeze(1)
    grid = read_x.new_empty((*read_x.shape, 2))  # filled in place, since stacking takes four times as long
    grid[..., 0], grid[..., 1] = read_x, read_y

    def read(values: Tensor, mode: str, value: float) -> Tensor:
        sampled = F.grid_sample(values.to(grid), grid, mode=mode, padding_mode="border", align_corners=False)
        return sampled.masked_fill_(outside, value).to(values.dtype)

    return read(images, interpolation, fill), None if masks is None else read(masks, "nearest", 0)


def shifted(values: Tensor, flip: Tensor, down: Tensor, right: Tensor, *, padding: str, fill: float) -> Tensor:
    """Mirror the chosen images left to right, then move each by whole pixels; where nothing was is reflected or filled.

    ``flip`` (N,) bool, ``down`` and ``right`` (N,) int64, on the CPU.
    """
    height, width = values.shape[-2:]
    y, row_outside = _sources(height, down, padding)
    x, column_outside = _sources(width, right, padding)
    x = torch.where(flip[:, None], width - 1 - x, x)
    # First whole rows, then within rows: both together would need a number for each pixel.
    above = (
        torch.arange(len(values) * values.shape[1]).view(len(values), values.shape[1], 1) * height
    )  # rows before each channel
    rows = (above + y[:, None, :]).flatten().to(values.device)
    columns = x.to(values.device)[:, None, None, :].expand(values.shape)
    moved = values.reshape(-1, width).index_select(0, rows).reshape(values.shape).gather(3, columns)
    if padding == "reflect":
        return moved
    outside = (row_outside[:, :, None] | column_outside[:, None, :]).to(values.device)
    return moved.masked_fill_(outside[:, None], fill)


def _sources(size: int, shift: Tensor, padding: str) -> tuple[Tensor, Tensor]:
    """Where each of the ``size`` places is read after a shift, (N, size), and whether that lies outside."""
    source = torch.arange(size) - shift[:, None]
    outside = (source < 0) | (source >= size)
    if padding == "reflect":  # 2 1 | 0 1 2 3 | 2 1
        source = (size - 1) - (source.abs() - (size - 1)).abs()
    return source.clamp(0, size - 1), outside


def cut_out(images: Tensor, side: Tensor, middle_y: Tensor, middle_x: Tensor, *, fill: float) -> Tensor:
    """Fill a square in each image, in place: from ``middle - side // 2`` up to, not including, the same beyond."""
    inside = []
    for middle, size in ((middle_y, images.shape[-2]), (middle_x, images.shape[-1])):
        half, place = (side // 2)[:, None], torch.arange(size)
        inside.append((place >= middle[:, None] - half) & (place < middle[:, None] + half))
    square = inside[0][:, :, None] & inside[1][:, None, :]
    return images.masked_fill_(square[:, None].to(images.device), fill)
