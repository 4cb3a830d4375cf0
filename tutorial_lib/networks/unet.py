"""A small U-Net with two heads."""

import itertools

import torch
from torch import Tensor, nn

from .. import _arguments as check
from .blocks import DualOutput, Heads, Layers, channels, fitting


class DualUNet(nn.Module):
    """Small U-Net with a segmentation head and a signed-distance head.

    Each level has two convolutions (3 wide, norm, ReLU); max-pooling leads down, a transposed convolution up, and the
    decoder *concatenates* the encoder's activations.

    Args:
        in_channels: channels of the image, at least 1.
        out_channels: structures to segment, each with its own distance.
        spatial_dims: 2 or 3.
        filters: channels of each level, from the finest.
        norm: ``"batch"``, ``"instance"``, ``"group"`` (16 groups, or the most that divide the channels), or ``None``.
            Not ``"batch"`` by default: where each batch holds the same few labelled images beside ever new ones, its
            statistics couple the rows, and a small network learns that coupling by heart.
        dropout: probability with which a whole channel is dropped, at the coarsest level and before the heads.

    Shape:
        (B, in_channels, *spatial) -> two of (B, out_channels, *spatial). Each size of ``spatial`` must be a multiple of
        2 to the number of levels less one: 4 by default.

    Raises:
        ValueError: if an argument is not as described; in ``forward``, if the input is not, naming the multiple.

    References:
        Ronneberger et al., U-Net, MICCAI 2015 (arXiv:1505.04597), with padding and norms; Luo et al., AAAI 2021
        (arXiv:2009.04448), for the second head.

    >>> network = DualUNet(filters=(4, 8), spatial_dims=3)
    >>> network(torch.zeros(1, 1, 6, 4, 2)).sdf.shape
    torch.Size([1, 1, 6, 4, 2])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        spatial_dims: int = 2,
        filters: check.Wholes = (16, 32, 64),
        norm: str | None = "instance",
        dropout: float = 0.0,
    ):
        super().__init__()
        layers = Layers(spatial_dims, norm)
        in_channels, out_channels = channels(in_channels, out_channels)
        filters = check.wholes(filters, "filters, channels of each level such as (16, 32, 64),", low=1, empty=False)
        self.in_channels, self.spatial_dims = in_channels, layers.spatial_dims
        self.multiple = 2 ** (len(filters) - 1)
        self.encoder = nn.ModuleList(
            layers.convolutions(2, before, width) for before, width in itertools.pairwise([in_channels, *filters])
        )
        self.down = layers.pool(2)
        self.up = nn.ModuleList(
            layers.transposed(coarse, fine, 2, stride=2) for fine, coarse in itertools.pairwise(filters)
        )
        self.decoder = nn.ModuleList(layers.convolutions(2, 2 * width, width) for width in filters[:-1])
        self.dropout = layers.dropout(dropout)
        self.heads = Heads(layers, filters[0], out_channels)

    def forward(self, image: Tensor) -> DualOutput:
        """Return both heads' outputs."""
        image = fitting(self, image)
        skips, x = [], image  # (B, in_channels, *spatial)
        for block in self.encoder[:-1]:
            x = block(x)
            skips.append(x)
            x = self.down(x)  # half of each size
        x = self.dropout(self.encoder[-1](x))
        for block, up, skip in reversed(list(zip(self.decoder, self.up, skips))):
            x = block(torch.cat([skip, up(x)], dim=1))  # both have the level's channels: twice as many go in
        return self.heads(self.dropout(x))
