r"""A 3 × 3 convolution of a bilinearly enlarged map, without enlarging its channels. It equals, but for rounding::

    large = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return F.conv2d(large, weight, bias, padding=1)

Enlarging U and convolving are linear, and U works on each axis alone. So the channels are mixed first, at the small
size, into 9 maps an output (one a tap of the kernel), and then each axis is enlarged, shifted by its tap and summed in
one product with a matrix (zeros where a tap looks past the border). From 1,024 channels at 20 × 20 to 64 at 320 × 320
that is 1 billion multiply-adds in place of 60. Below a factor of 4 it saves nothing, and the plain lines run.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def enlarged_conv(x: Tensor, layer: nn.Conv2d, size: Sequence[int]) -> Tensor:
    """x (B, C, h, w), a convolution (O, C, 3, 3) with padding 1 -> (B, O, *size)."""
    (b, c, h, w), weight, bias = x.shape, layer.weight, layer.bias
    out = len(weight)
    watched = layer._forward_hooks or layer._forward_pre_hooks  # whoever counts or looks must see the layer itself
    if watched or not cheaper(c, out, (h, w), size) or torch.is_autocast_enabled(x.device.type):
        same = (h, w) == tuple(size)
        return layer(x if same else F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False))
    taps = weight.permute(2, 0, 3, 1).reshape(9 * out, c, 1, 1)  # (ky, O, kx) of C
    mixed = F.conv2d(x, taps).view(b, 3, out, 3, h, w)
    rows = mixed.permute(0, 2, 1, 4, 3, 5).reshape(b, out, 3 * h, 3 * w)  # (B, O, (ky, h), (kx, w))
    y = _taps(h, size[0], x).T @ (rows @ _taps(w, size[1], x))
    return y if bias is None else y + bias[:, None, None]


def cheaper(channels: int, out: int, small: Sequence[int], large: Sequence[int]) -> bool:
    """Whether it takes less than half of the multiply-adds of the plain lines, on a map that is worth it."""
    (h, w), (height, width) = small, large
    plain = 9 * channels * out * height * width
    ours = 9 * channels * out * h * w + 9 * out * h * w * width + 3 * out * h * height * width
    return height >= 64 and width >= 64 and height >= h and width >= w and 2 * ours < plain


def _taps(small: int, large: int, like: Tensor) -> Tensor:
    """(3 * small, large): the enlarging along one axis, seen by each of the three taps."""
    unit = torch.eye(small, device=like.device, dtype=like.dtype)[:, None]
    enlarge = F.interpolate(unit, size=large, mode="linear", align_corners=False)[:, 0]  # (small, large)
    padded = F.pad(enlarge, (1, 1))
    return torch.cat([padded[:, tap : tap + large] for tap in range(3)])
