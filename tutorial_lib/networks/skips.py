"""Three U-Nets that differ in what their decoders read: plain, nested and full-scale skips. They are chapter 08's.

=====================  ===========================================================  ===============  =============
network                the decoder's level i reads                                  parameters [1]_  GMACs [1]_
=====================  ===========================================================  ===============  =============
:class:`UNet`          the encoder's level i and its own level i + 1                34.5 M           102
:class:`UNetPlusPlus`  every node of its row, and the one below                     40.8 M           253
:class:`UNet3Plus`     the encoder's levels up to i, its own above i                27.0 M           309
=====================  ===========================================================  ===============  =============

.. [1] with 64 to 1,024 filters, three channels, 320 × 320 pixels: fewest weights, most work.

All have the same blocks, norm, enlarging and initial weights, so that a comparison is one of the skips: the published
one gave batch norm to one decoder only, which, trained from scratch, is worth more than the skips (chapter 08). Each
returns :class:`MapOutput`.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from .._kernels.enlarge import enlarged_conv
from .blocks import Layers


class MapOutput(NamedTuple):
    """What a segmentation network returns.

    Attributes:
        logits: (B, classes, H, W).
        side: of deep supervision, further logits of that shape; empty without.
        presence: (B, classes), the logits of whether a class is in the image at all; ``None`` without.
    """

    logits: Tensor
    side: tuple[Tensor, ...] = ()
    presence: Tensor | None = None


def class_guided(logits: Tensor, presence: Tensor, *, threshold: float = 0.5, rule: str = "after") -> Tensor:
    r"""Probabilities of a map, made 0 where the image is said not to hold the class.

    .. math:: p = \sigma(z) \cdot [\sigma(g) \ge t]

    ``rule="published"`` repeats UNet 3+'s published code, which multiplies the *logits*: :math:`\sigma(z \cdot 0)` is
    one half everywhere, so an image without the organ is marked as a coin toss.

    Args:
        logits: z, (B, classes, H, W).
        presence: g, (B, classes).
        threshold: t, in (0, 1).
        rule: ``"after"`` the sigmoid, or ``"published"``.

    Returns:
        (B, classes, H, W), from 0 to 1.

    Raises:
        ValueError: shapes that do not belong together, a threshold outside (0, 1).

    References:
        Huang et al., UNet 3+, ICASSP 2020 (arXiv:2004.08790), section 2.4. Chapter 08.

    >>> logits, absent = torch.full((1, 1, 1, 2), 3.0), torch.tensor([[-4.0]])
    >>> class_guided(logits, absent).tolist(), class_guided(logits, absent, rule="published").tolist()
    ([[[[0.0, 0.0]]]], [[[[0.5, 0.5]]]])
    """
    check.tensor(logits, "logits", "(B, C, H, W)", kind="floating-point")
    check.tensor(presence, "presence", f"({logits.shape[0]}, {logits.shape[1]})", kind="floating-point")
    threshold = check.number(threshold, "threshold", above=0, below=1)
    kept = (presence.sigmoid() >= threshold).to(logits)[..., None, None]
    return logits.sigmoid() * kept if check.choice(rule, "rule", ("after", "published")) == "after" else (
        logits * kept
    ).sigmoid()  # fmt: skip


def _start(module: nn.Module) -> None:
    """He's initial weights, for all three alike."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _halved(x: Tensor, times: int = 1) -> Tensor:
    return F.max_pool2d(x, 2**times, ceil_mode=True) if times else x


def _to(x: Tensor, like: Tensor) -> Tensor:
    """Enlarged to another map's size, which need not be a multiple."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class _Net(nn.Module):
    """Encoder and last layers, which the three share."""

    def __init__(self, in_channels: int, classes: int, filters: check.Wholes, norm: str | None, deep: bool):
        super().__init__()
        self.in_channels = check.whole(in_channels, "in_channels", low=1)
        self.classes = check.whole(classes, "classes", low=1)
        self.filters = check.wholes(filters, "filters", low=1, empty=False)
        if len(self.filters) < 2:
            raise ValueError(f"filters must be channels of at least two levels, got {list(self.filters)}")
        self.layers, self.deep = Layers(2, norm), bool(deep)
        self.encoder = nn.ModuleList(
            self.layers.convolutions(2, before, width)
            for before, width in zip((self.in_channels, *self.filters), self.filters)
        )

    def encode(self, image: Tensor) -> list[Tensor]:
        """The encoder's maps, from the finest; each half the size of the one before, rounded up."""
        check.tensor(image, "image", f"(B, {self.in_channels}, H, W)", kind="floating-point")
        maps = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            maps.append(block(_halved(maps[-1])))
        return maps


class UNet(_Net):
    """U-Net: the decoder's level i reads the encoder's level i and its own level i + 1.

    Args:
        in_channels: of the image.
        classes: maps to predict.
        filters: channels of the levels, from the finest.
        norm: ``"batch"``, ``"instance"``, ``"group"`` or ``None``.
        up: ``"bilinear"``, then a convolution with norm and ReLU like all others; or ``"transposed"``, a transposed
            convolution of 4 × 4, without, as in the comparison that UNet 3+ was published with.
        deep: also predict from every level of the decoder.

    Shape:
        (B, in_channels, H, W), any size -> :class:`MapOutput` of (B, classes, H, W).

    Raises:
        ValueError: an argument that is not as described.

    References:
        Ronneberger, Fischer, Brox, U-Net, MICCAI 2015 (arXiv:1505.04597).

    >>> UNet(1, 2, filters=(4, 8, 8))(torch.zeros(1, 1, 21, 30)).logits.shape
    torch.Size([1, 2, 21, 30])
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 1,
        *,
        filters: check.Wholes = (32, 64, 128, 256, 512),
        norm: str | None = "batch",
        up: str = "bilinear",
        deep: bool = False,
    ):
        super().__init__(in_channels, classes, filters, norm, deep)
        transposed = check.choice(up, "up", ("bilinear", "transposed")) == "transposed"
        pairs = list(zip(self.filters, self.filters[1:]))
        if transposed:
            enlarge: list[nn.Module] = [nn.ConvTranspose2d(high, low, 4, stride=2, padding=1) for low, high in pairs]
        else:
            enlarge = [self.layers.convolutions(1, high, low) for low, high in pairs]
        self.up = nn.ModuleList(enlarge)
        self.transposed = transposed
        self.decoder = nn.ModuleList(self.layers.convolutions(2, 2 * fine, fine) for fine, _ in pairs)
        levels = self.filters if self.deep else self.filters[:1]
        self.heads = nn.ModuleList(nn.Conv2d(width, self.classes, 3, padding=1) for width in levels)
        _start(self)

    def forward(self, image: Tensor) -> MapOutput:
        """Return the maps."""
        maps = self.encode(image)
        nodes = [maps[-1]]
        for skip, up, block in reversed(list(zip(maps, self.up, self.decoder))):
            large = up(nodes[0]) if self.transposed else up(_to(nodes[0], skip))
            nodes.insert(0, block(torch.cat((skip, _to(large, skip) if self.transposed else large), 1)))
        outs = [_to(head(node), image) for head, node in zip(self.heads, nodes)]
        return MapOutput(outs[0], tuple(outs[1:]))


class UNetPlusPlus(_Net):
    r"""U-Net++: between encoder and decoder stand nodes that grow towards it, each reading all of its row.

    .. math:: x^{i,j} = H\bigl(x^{i,0}, …, x^{i,j-1}, U(x^{i+1,j-1})\bigr)

    Args:
        in_channels, classes, filters, norm: see :class:`UNet`.
        deep: predict from every node of the first row. (Their *logits* are averaged by the published comparison; here
            they are given apart.)

    Shape:
        (B, in_channels, H, W), any size -> :class:`MapOutput` of (B, classes, H, W).

    Raises:
        ValueError: an argument that is not as described.

    References:
        Zhou et al., UNet++, DLMIA 2018 (arXiv:1807.10165).

    >>> output = UNetPlusPlus(1, 2, filters=(4, 8, 8), deep=True)(torch.zeros(1, 1, 21, 30))
    >>> output.logits.shape, len(output.side)
    (torch.Size([1, 2, 21, 30]), 1)
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 1,
        *,
        filters: check.Wholes = (32, 64, 128, 256, 512),
        norm: str | None = "batch",
        deep: bool = False,
    ):
        super().__init__(in_channels, classes, filters, norm, deep)
        f, depth = self.filters, len(self.filters)
        self.up = nn.ModuleDict(
            {f"{i}-{j}": self.layers.convolutions(1, f[i + 1], f[i]) for j in range(1, depth) for i in range(depth - j)}
        )
        self.nodes = nn.ModuleDict(
            {
                f"{i}-{j}": self.layers.convolutions(2, (j + 1) * f[i], f[i])
                for j in range(1, depth)
                for i in range(depth - j)
            }
        )
        count = depth - 1 if self.deep else 1
        self.heads = nn.ModuleList(nn.Conv2d(f[0], self.classes, 3, padding=1) for _ in range(count))
        _start(self)

    def forward(self, image: Tensor) -> MapOutput:
        """Return the maps."""
        rows = [[one] for one in self.encode(image)]
        depth = len(rows)
        for j in range(1, depth):
            for i in range(depth - j):
                below = self.up[f"{i}-{j}"](_to(rows[i + 1][j - 1], rows[i][0]))
                rows[i].append(self.nodes[f"{i}-{j}"](torch.cat((*rows[i], below), 1)))
        # The last node of the first row is the answer; those before it are its deep supervision.
        outs = [head(node) for head, node in zip(self.heads, reversed(rows[0][1:]))]
        return MapOutput(outs[0], tuple(outs[1:]))


class UNet3Plus(_Net):
    r"""UNet 3+: every level of the decoder reads every scale.

    .. math:: x_{de}^i = H\bigl(C(D(x_{en}^k))_{k<i},\, C(x_{en}^i),\, C(U(x_{de}^k))_{k>i}\bigr)

    with pooling D and enlarging U to level i's size, and one convolution C of ``width`` channels a branch.

    Args:
        in_channels, classes, filters, norm: see :class:`UNet`.
        width: channels of a branch.
        deep: also predict from every level of the decoder (and the encoder's last).
        guided: also say whether each class is in the image at all, from the coarsest map: see :func:`class_guided`.
            The published module takes an argmax, through which nothing is learned, and does not return its scores.

    Shape:
        (B, in_channels, H, W), any size -> :class:`MapOutput` of (B, classes, H, W).

    Raises:
        ValueError: an argument that is not as described.

    References:
        Huang et al., UNet 3+, ICASSP 2020 (arXiv:2004.08790).

    >>> output = UNet3Plus(1, 2, filters=(4, 8, 8), width=4, deep=True, guided=True)(torch.zeros(1, 1, 21, 30))
    >>> output.logits.shape, len(output.side), output.presence.shape
    (torch.Size([1, 2, 21, 30]), 2, torch.Size([1, 2]))
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 1,
        *,
        filters: check.Wholes = (32, 64, 128, 256, 512),
        width: int = 64,
        norm: str | None = "batch",
        deep: bool = False,
        guided: bool = False,
    ):
        super().__init__(in_channels, classes, filters, norm, deep)
        width = check.whole(width, "width", low=1)
        depth, full = len(self.filters), width * len(self.filters)
        self.branches = nn.ModuleList()
        for i in range(depth - 1):
            sources = [self.filters[k] if k <= i or k == depth - 1 else full for k in range(depth)]
            self.branches.append(nn.ModuleList(self.layers.convolutions(1, source, width) for source in sources))
        self.fuse = nn.ModuleList(self.layers.convolutions(1, full, full) for _ in range(depth - 1))
        widths = [full] * (depth - 1) + [self.filters[-1]]
        self.heads = nn.ModuleList(
            nn.Conv2d(one, self.classes, 3, padding=1) for one in (widths if self.deep else widths[:1])
        )
        self.presence = (
            nn.Sequential(nn.Dropout(0.5), nn.Conv2d(self.filters[-1], self.classes, 1), nn.AdaptiveMaxPool2d(1))
            if guided
            else None
        )
        _start(self)

    def forward(self, image: Tensor) -> MapOutput:
        """Return the maps."""
        maps = self.encode(image)
        depth = len(maps)
        nodes = [maps[-1]]  # of levels i + 1, i + 2, …
        for i in reversed(range(depth - 1)):
            parts, size = [], maps[i].shape[-2:]
            branches: Any = self.branches[i]
            for k, branch in enumerate(branches):
                source = _halved(maps[k], i - k) if k <= i else nodes[k - i - 1]
                step = branch[0]  # convolution, then norm and ReLU
                parts.append(branch(source) if k == i else step[1:](enlarged_conv(source, step[0], size)))
            nodes.insert(0, self.fuse[i](torch.cat(parts, 1)))
        outs = [_to(head(node), image) for head, node in zip(self.heads, nodes)]
        present = None if self.presence is None else self.presence(maps[-1])[..., 0, 0]
        return MapOutput(outs[0], tuple(outs[1:]), present)
