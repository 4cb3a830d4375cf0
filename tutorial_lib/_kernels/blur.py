"""A Gaussian window's means as one convolution an axis: :func:`blur` equals :func:`plain_blur`."""

import math

from torch import Tensor
from torch.nn import functional as F


def plain_blur(values: Tensor, gauss: Tensor) -> Tensor:
    """The weighted mean of every window that stays inside the image, one axis of space at a time.

    Args:
        values: (maps, B, C, \\*space).
        gauss: (window,) weights.

    Returns:
        (maps, B, C, \\*space), each side of space shorter by the window less one.
    """
    for axis in range(3, values.ndim):
        values = values.unfold(axis, len(gauss), 1) @ gauss
    return values


# --- The same, as convolutions --------------------------------------------------------------------------------------


def blur(values: Tensor, gauss: Tensor) -> Tensor:
    """The same means; arguments and answer as of :func:`plain_blur`."""
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
