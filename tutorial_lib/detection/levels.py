"""Feature maps of several strides: the pyramid that makes them, and which of them a box is cut out of (chapter 10)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from ..boxes import box_area
from ..roi import roi_align, roi_pool


def maps_of(features: Tensor | Sequence[Tensor] | Mapping[Any, Tensor]) -> list[Tensor]:
    """A backbone's answer in one form."""
    if isinstance(features, Tensor):
        return [features]
    return list(features.values()) if isinstance(features, Mapping) else list(features)


class FeaturePyramid(nn.Module):
    """Feature pyramid network: the coarse maps, which know what, are added to the fine ones, which know where.

    Each map is brought to one depth (1 × 1); from the coarsest down, each is enlarged (nearest) and added to the next
    finer one; a 3 × 3 convolution smooths the sum.

    Args:
        channels: of the backbone's maps, from the finest.
        out_channels: of every map of the pyramid.
        extra: add one coarser map, every other cell of the coarsest, for the largest anchors.

    Shape:
        a list of (B, channels_l, H_l, W_l) from the finest -> as many (one more with ``extra``) of (B, out_channels,
        H_l, W_l).

    Raises:
        ValueError: no channels, or another number of maps.

    References:
        Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017 (arXiv:1612.03144), section 3.

    >>> pyramid = FeaturePyramid([8, 16], 4)
    >>> [tuple(level.shape) for level in pyramid([torch.zeros(1, 8, 6, 6), torch.zeros(1, 16, 3, 3)])]
    [(1, 4, 6, 6), (1, 4, 3, 3), (1, 4, 2, 2)]
    """

    def __init__(self, channels: check.Wholes, out_channels: int = 256, *, extra: bool = True):
        super().__init__()
        channels = check.wholes(channels, "channels", empty=False, low=1)
        out_channels = check.whole(out_channels, "out_channels", low=1)
        self.inner = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in channels)
        self.extra = bool(extra)
        for layer in (*self.inner, *self.smooth):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Sequence[Tensor] | Mapping[Any, Tensor]) -> list[Tensor]:
        """Return the pyramid, from the finest map."""
        maps = maps_of(features)
        if len(maps) != len(self.inner):
            raise ValueError(f"features must be {len(self.inner)} maps, got {len(maps)}")
        top = self.inner[-1](maps[-1])
        sums = [top]
        for inner, fine in zip(self.inner[-2::-1], maps[-2::-1]):
            top = inner(fine) + F.interpolate(top, size=fine.shape[-2:], mode="nearest")
            sums.insert(0, top)
        levels = [smooth(one) for smooth, one in zip(self.smooth, sums)]
        return levels + [levels[-1][..., ::2, ::2]] if self.extra else levels


def pool_levels(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    output_size: int | check.Wholes,
    *,
    strides: check.Numbers,
    pooling: str = "align",
    sampling_ratio: int = 2,
    aligned: bool = True,
    canonical: tuple[float, float] = (224.0, 16.0),
) -> Tensor:
    r"""Cut boxes out of the level of a pyramid that fits their size.

    A box of the canonical size reads the map of the canonical stride; one twice as large, the next coarser one:

    .. math:: stride = s_0 \cdot 2^{\lfloor \log_2 (\sqrt{w h} / a_0) \rfloor}

    and of the maps that there are, the nearest. With one map, all boxes read that.

    Args:
        features: (B, C, H_l, W_l), from the finest.
        boxes: (K_i, 4) of each image, in pixels.
        output_size: bins, (h, w) or one number.
        strides: of the maps, ascending.
        pooling: ``"align"``, :func:`~tutorial_lib.roi.roi_align`, or ``"pool"``, :func:`~tutorial_lib.roi.roi_pool`.
        sampling_ratio, aligned: of RoI Align.
        canonical: :math:`(a_0, s_0)`: ImageNet's 224 pixels read stride 16.

    Returns:
        (K, C, h, w), image by image.

    Raises:
        ValueError: as the pooling; strides that are not ascending or not one a map.

    References:
        Lin et al., Feature Pyramid Networks (arXiv:1612.03144), equation 1.

    >>> maps = [torch.full((1, 1, 8, 8), 4.0), torch.full((1, 1, 4, 4), 8.0)]
    >>> boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 32.0, 32.0]])
    >>> pool_levels(maps, [boxes], 1, strides=[4, 8], canonical=(16, 4)).flatten().tolist()
    [4.0, 8.0]
    """
    strides = check.numbers(strides, "strides", length=len(features), above=0)
    if list(strides) != sorted(strides):
        raise ValueError(f"strides must be ascending, from the finest map, got {list(strides)}")
    size, stride = check.numbers(canonical, "canonical", length=2, above=0)
    cut: Callable[..., Tensor] = roi_pool
    options: dict[str, Any] = {}
    if check.choice(pooling, "pooling", ("align", "pool")) == "align":
        cut, options = roi_align, {"sampling_ratio": sampling_ratio, "aligned": aligned}
    image = torch.cat([torch.full((len(some), 1), float(i)).to(some) for i, some in enumerate(boxes)])
    rois = torch.cat((image, torch.cat(list(boxes))), 1)  # (K, 5)
    if len(features) == 1:
        return cut(features[0], rois, output_size, spatial_scale=1 / strides[0], **options)
    octave = (box_area(rois[:, 1:]).sqrt() / size).log2().add(1e-6).floor()
    octave = octave + math.log2(stride)
    levels = octave.new_tensor([math.log2(one) for one in strides])
    level = (octave[:, None] - levels).abs().argmin(1)
    parts, order = [], []
    for place, (map_, one) in enumerate(zip(features, strides)):
        chosen = (level == place).nonzero()[:, 0]
        order.append(chosen)
        parts.append(cut(map_, rois[chosen], output_size, spatial_scale=1 / one, **options))
    return torch.cat(parts)[torch.cat(order).argsort()]
