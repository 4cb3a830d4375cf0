"""RefineNet: coarse maps of any backbone, brought back to full resolution step by step. Taught in chapter 08."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from .blocks import Layers
from .skips import MapOutput


class ResidualConvUnit(nn.Module):
    r"""Two convolutions, each after a ReLU, added to the input: :math:`x + C_2(\rho(C_1(\rho(x))))`, without norm.

    Args:
        channels: in and out.

    Shape:
        (B, channels, H, W) -> the same.

    Raises:
        ValueError: no channels.

    References:
        Lin et al., RefineNet, CVPR 2017 (arXiv:1611.06612), section 3.2.

    >>> ResidualConvUnit(4)(torch.zeros(1, 4, 5, 6)).shape
    torch.Size([1, 4, 5, 6])
    """

    def __init__(self, channels: int):
        super().__init__()
        channels = check.whole(channels, "channels", low=1)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        return x + self.second(self.first(x.relu()).relu())


class MultiResolutionFusion(nn.Module):
    """A convolution for each path, all enlarged to the finest, and their sum.

    Args:
        channels: of the paths.
        out_channels: of the sum.
        kernel: 3, or 1 in the light-weight form.

    Shape:
        one map a path, in any resolutions -> (B, out_channels, H, W) in the largest.

    Raises:
        ValueError: no paths, or another number of maps.

    References:
        Lin et al., RefineNet (arXiv:1611.06612), section 3.2.

    >>> MultiResolutionFusion([4, 8], 4)([torch.zeros(1, 4, 6, 6), torch.zeros(1, 8, 3, 3)]).shape
    torch.Size([1, 4, 6, 6])
    """

    def __init__(self, channels: check.Wholes, out_channels: int, *, kernel: int = 3):
        super().__init__()
        channels = check.wholes(channels, "channels", empty=False, low=1)
        out_channels, kernel = check.whole(out_channels, "out_channels", low=1), check.whole(kernel, "kernel", low=1)
        self.paths = nn.ModuleList(
            nn.Conv2d(width, out_channels, kernel, padding=kernel // 2, bias=False) for width in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the sum."""
        if len(maps) != len(self.paths):
            raise ValueError(f"maps must be {len(self.paths)}, got {len(maps)}")
        size = max((one.shape[-2:] for one in maps), key=lambda shape: shape[0] * shape[1])
        return sum(_to(path(one), size) for path, one in zip(self.paths, maps))  # type: ignore[return-value]


class ChainedResidualPooling(nn.Module):
    r"""Ever wider surroundings, added up: each stage pools what the stage *before it* gave.

    .. math:: y_0 = \rho(x), \quad t_0 = y_0, \quad t_k = C_k(P_5(t_{k-1})), \quad y_k = y_{k-1} + t_k

    with pooling :math:`P_5` over 5 × 5 pixels at stride 1. So stage k sees :math:`(4k + 1)^2` pixels. (Popular ports
    pool the ReLU's output in every stage: then all see 25.)

    Args:
        channels: in and out.
        stages: how many.
        kernel: of the convolutions: 3, or 1 in the light-weight form.

    Shape:
        (B, channels, H, W) -> the same.

    Raises:
        ValueError: no channels or stages.

    References:
        Lin et al., RefineNet (arXiv:1611.06612), section 3.2.

    >>> ChainedResidualPooling(4, stages=2)(torch.zeros(1, 4, 9, 9)).shape
    torch.Size([1, 4, 9, 9])
    """

    def __init__(self, channels: int, *, stages: int = 4, kernel: int = 3):
        super().__init__()
        channels, stages = check.whole(channels, "channels", low=1), check.whole(stages, "stages", low=1)
        kernel = check.whole(kernel, "kernel", low=1)
        self.stages = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False) for _ in range(stages)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        total = top = x.relu()
        for convolution in self.stages:
            top = convolution(F.max_pool2d(top, 5, stride=1, padding=2))
            total = total + top
        return total


class RefineNet(nn.Module):
    """RefineNet over a backbone: from its coarsest map on, each block adds the next finer one and refines the sum.

    A block adapts its map (two residual units), fuses it with what the coarser block gave, pools in a chain, and
    refines (three residual units). ``light=True`` leaves the units out and makes all convolutions 1 × 1.

    Args:
        backbone: images to maps, from the finest.
        channels: of these maps.
        classes: maps to predict.
        width: channels of a block; the coarsest has twice as many.
        stages: of the pooling.
        light: the light-weight form.
        dropout: before the classifier, and on the two coarsest maps.
        norm: ``"batch"``, ``"instance"``, ``"group"``: after each convolution of the decoder but the classifier.
            ``None``, as published, is for a backbone that is trained already, and a small learning rate: from
            scratch, the sums of the units and of the pooling grow too large to learn from.

    Shape:
        (B, C, H, W) -> :class:`MapOutput` of (B, classes, H, W).

    Raises:
        ValueError: an argument that is not as described, or another number of maps.

    References:
        Lin, Milan, Shen, Reid, RefineNet, CVPR 2017 (arXiv:1611.06612); Nekrasov, Shen, Reid, Light-Weight RefineNet,
        BMVC 2018 (arXiv:1810.03272).

    >>> from tutorial_lib.networks import EfficientNetLite
    >>> encoder = EfficientNetLite()
    >>> network = RefineNet(encoder.features, encoder.channels, 3, width=8, light=True)
    >>> network(torch.zeros(1, 3, 64, 96)).logits.shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self,
        backbone: Callable[[Tensor], Sequence[Tensor] | Mapping[Any, Tensor]],
        channels: check.Wholes,
        classes: int,
        *,
        width: int = 256,
        stages: int = 4,
        light: bool = False,
        dropout: float = 0.5,
        norm: str | None = None,
    ):
        super().__init__()
        layers = Layers(2, norm)
        if not callable(backbone):
            raise ValueError(f"backbone must be a module or function, got {check.what(backbone)}")
        channels = check.wholes(channels, "channels", empty=False, low=1)
        width, classes = check.whole(width, "width", low=1), check.whole(classes, "classes", low=1)
        self.backbone, kernel = backbone, 1 if light else 3
        self.dropout = nn.Dropout(check.number(dropout, "dropout", low=0, below=1))
        widths = [width] * (len(channels) - 1) + [2 * width]
        self.reduce, self.adapt, self.pool, self.refine, self.fuse = (nn.ModuleList() for _ in range(5))
        for level, (before, inside) in enumerate(zip(channels, widths)):
            last = level == len(channels) - 1
            self.reduce.append(nn.Conv2d(before, inside, kernel, padding=kernel // 2, bias=False))
            self.adapt.append(_units(inside, 0 if light else 2))
            self.fuse.append(
                nn.Identity() if last else MultiResolutionFusion([inside, widths[level + 1]], inside, kernel=kernel)
            )
            self.pool.append(ChainedResidualPooling(inside, stages=stages, kernel=kernel))
            self.refine.append(_units(inside, 0 if light else 3))
        for part in (self.reduce, self.adapt, self.fuse, self.pool, self.refine):
            _normalise(part, layers)
        self.classifier = nn.Conv2d(widths[0], classes, 3, padding=1)

    def forward(self, image: Tensor) -> MapOutput:
        """Return the maps."""
        maps = self.backbone(image)
        found = list(maps.values()) if isinstance(maps, Mapping) else list(maps)
        if len(found) != len(self.reduce):
            wanted = f"one for each of the backbone's {len(found)} maps"
            raise ValueError(f"channels must be {wanted}, got {len(self.reduce)}")
        x: Tensor | None = None
        for level in reversed(range(len(found))):
            one = self.dropout(found[level]) if level >= len(found) - 2 else found[level]
            own = self.adapt[level](self.reduce[level](one))
            fused = own if x is None else self.fuse[level]([own, x])
            x = self.refine[level](self.pool[level](fused))
        logits = self.classifier(self.dropout(x))
        return MapOutput(_to(logits, image.shape[-2:]))


def _normalise(module: nn.Module, layers: Layers) -> None:
    """Puts a norm after each convolution."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and layers.norm is not None:
            setattr(module, name, layers.step(child, child.out_channels)[:-1])
        else:
            _normalise(child, layers)


def _units(channels: int, count: int) -> nn.Module:
    return nn.Sequential(*(ResidualConvUnit(channels) for _ in range(count)))


def _to(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
