"""One encoder, two tasks: a U-Net that also classifies, and MultiMix's bridge between the tasks (chapter 07)."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from ..saliency import saliency as saliency_map
from .blocks import Layers


class MultiTaskOutput(NamedTuple):
    """What :class:`MultiTaskUNet` returns.

    Attributes:
        class_logits: (B, classes).
        mask_logits: (B, masks, H, W).
        saliency: (B, in_channels, H, W), the map that the bridge was given; ``None`` without a bridge.
    """

    class_logits: Tensor
    mask_logits: Tensor
    saliency: Tensor | None = None


class SaliencyBridge(nn.Module):
    """Image and saliency map, one behind the other, at the size of a decoder's stage.

    By default as the method means it. ``SaliencyBridge(resize="published", normalize=False)`` is the published code's:
    it reads one pixel in eight along each axis (so most of the map is never seen), and its raw gradients are some
    thousand times smaller than the image beside them.

    Args:
        resize: ``"mean"`` of the pixels that become one; or ``"published"``, interpolated between corners.
        normalize: divide each map by its maximum, so that it reaches from 0 to 1 like the image.
        detach: let no gradient through the map. The published code has none either; with ``False`` the segmentation
            loss also teaches the classifier where to look, by second derivatives.

    Shape:
        image and map (B, C, H, W), size (h, w) -> (B, 2 C, h, w).

    Raises:
        ValueError: an argument that is not as described.

    References:
        Haque et al., MultiMix, ISBI 2021 (in the longer form arXiv:2110.13185).

    >>> SaliencyBridge()(torch.zeros(1, 1, 8, 8), torch.rand(1, 1, 8, 8), (2, 2)).shape
    torch.Size([1, 2, 2, 2])
    """

    def __init__(self, *, resize: str = "mean", normalize: bool = True, detach: bool = True):
        super().__init__()
        self.resize = check.choice(resize, "resize", ("mean", "published"))
        self.normalize, self.detach = bool(normalize), bool(detach)

    def forward(self, image: Tensor, saliency: Tensor, size: tuple[int, int]) -> Tensor:
        """Return both, resized."""
        check.tensor(image, "image", "(B, C, H, W)", kind="floating-point")
        check.same_shape(saliency, "saliency", image, "image")
        saliency = saliency.detach() if self.detach else saliency
        if self.normalize:
            saliency = saliency / saliency.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(saliency.dtype).tiny)
        both = torch.cat((image, saliency.to(image)), 1)
        if self.resize == "mean":
            return F.adaptive_avg_pool2d(both, size)
        return F.interpolate(both, size=size, mode="bilinear", align_corners=True)


class MultiTaskUNet(nn.Module):
    """A U-Net whose encoder also classifies; with a bridge, its decoder reads where the classifier looks.

    Each level has two convolutions (3 wide, norm, leaky ReLU) and dropout; pooling leads down, bilinear enlarging up,
    the decoder concatenates. The class head is the mean of the pooled coarsest level, and a linear layer. The bridge
    comes into the decoder's first stage. The default widths, norm, slope and dropout are the published ones.

    Args:
        in_channels: of the image.
        classes: to tell apart.
        masks: to predict, each with a sigmoid of its own.
        filters: channels of the levels, from the finest.
        norm: ``"batch"``, ``"instance"``, ``"group"`` or ``None``.
        dropout: probability with which a number is dropped after each level.
        bridge: a :class:`SaliencyBridge`; ``None``: none, and the first stage reads that many channels less.

    Shape:
        (B, in_channels, H, W), any size -> :class:`MultiTaskOutput`. :meth:`classify` runs encoder and class head
        alone, :meth:`segment` gives the masks alone.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Haque et al., MultiMix, ISBI 2021 (in the longer form arXiv:2110.13185).

    >>> network = MultiTaskUNet(filters=(4, 8, 8), bridge=SaliencyBridge())
    >>> output = network(torch.rand(2, 1, 20, 16))
    >>> output.class_logits.shape, output.mask_logits.shape, output.saliency.shape
    (torch.Size([2, 2]), torch.Size([2, 1, 20, 16]), torch.Size([2, 1, 20, 16]))
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        masks: int = 1,
        *,
        filters: check.Wholes = (16, 32, 64, 128, 256),
        norm: str | None = "instance",
        dropout: float = 0.25,
        bridge: SaliencyBridge | None = None,
    ):
        super().__init__()
        self.in_channels = check.whole(in_channels, "in_channels", low=1)
        self.classes, self.masks = check.whole(classes, "classes", low=2), check.whole(masks, "masks", low=1)
        self.filters = check.wholes(filters, "filters", low=1, empty=False)
        if len(self.filters) < 2:
            raise ValueError(f"filters must be channels of at least two levels, got {list(self.filters)}")
        if bridge is not None and not isinstance(bridge, SaliencyBridge):
            raise ValueError(f"bridge must be a SaliencyBridge or None, got {check.what(bridge)}")
        layers, dropout = Layers(2, norm), check.number(dropout, "dropout", low=0, below=1)

        def level(before: int, width: int) -> nn.Sequential:
            steps = [layers.step(nn.Conv2d(one, width, 3, padding=1), width) for one in (before, width)]
            for step in steps:
                step[-1] = nn.LeakyReLU(0.2)
            return nn.Sequential(*steps, nn.Dropout(dropout))

        self.encoder = nn.ModuleList(level(*pair) for pair in itertools.pairwise((self.in_channels, *self.filters)))
        self.classifier = nn.Linear(self.filters[-1], self.classes)
        self.bridge = bridge
        extra = [0] * (len(self.filters) - 2) + [2 * self.in_channels if bridge is not None else 0]
        self.decoder = nn.ModuleList(
            level(fine + coarse + more, fine) for (fine, coarse), more in zip(itertools.pairwise(self.filters), extra)
        )
        self.head = nn.Conv2d(self.filters[0], self.masks, 1)

    def forward(self, image: Tensor, *, saliency: Tensor | None = None) -> MultiTaskOutput:
        """Return both tasks' outputs; ``saliency`` (B, in_channels, H, W) takes the map's place in the bridge."""
        saliency = self._map(image, saliency)
        maps = self._encode(image)
        return MultiTaskOutput(self._class(maps[-1]), self._decode(image, maps, saliency), saliency)

    def classify(self, image: Tensor) -> Tensor:
        """Return the class logits without running the decoder.

        Args:
            image: (B, in_channels, H, W).

        Returns:
            (B, classes).
        """
        return self._class(self._encode(image)[-1])

    def segment(self, image: Tensor, *, saliency: Tensor | None = None) -> Tensor:
        """Return the mask logits alone.

        Args:
            image: (B, in_channels, H, W).
            saliency: (B, in_channels, H, W), in the place of the network's own map in the bridge.

        Returns:
            (B, masks, H, W).
        """
        saliency = self._map(image, saliency)
        return self._decode(image, self._encode(image), saliency)

    def _map(self, image: Tensor, saliency: Tensor | None) -> Tensor | None:
        check.tensor(image, "image", f"(B, {self.in_channels}, H, W)", kind="floating-point")
        if self.bridge is None:
            if saliency is not None:
                raise ValueError(f"saliency must be None for a network without a bridge, got {check.what(saliency)}")
            return None
        if saliency is not None:
            return saliency
        return saliency_map(self.classify, image, create_graph=not self.bridge.detach and torch.is_grad_enabled())

    def _encode(self, image: Tensor) -> list[Tensor]:
        check.tensor(image, "image", f"(B, {self.in_channels}, H, W)", kind="floating-point")
        maps = [self.encoder[0](image)]
        for level in self.encoder[1:]:
            maps.append(level(F.max_pool2d(maps[-1], 2, ceil_mode=True)))
        return maps

    def _class(self, coarsest: Tensor) -> Tensor:
        return self.classifier(F.max_pool2d(coarsest, 2, ceil_mode=True).mean((2, 3)))

    def _decode(self, image: Tensor, maps: list[Tensor], saliency: Tensor | None) -> Tensor:
        x = maps[-1]
        for stage, skip in reversed(list(zip(self.decoder, maps))):
            large = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            parts = [large, skip]
            if self.bridge is not None and x is maps[-1] and saliency is not None:
                parts.append(self.bridge(image, saliency, tuple(skip.shape[-2:])))
            x = stage(torch.cat(parts, 1))
        return self.head(x)
