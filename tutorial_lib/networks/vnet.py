"""V-Net with two heads, the network of dual-task consistency."""

import itertools

from torch import Tensor, nn

from .. import _arguments as check
from .blocks import DualOutput, Heads, Layers, Residual, channels, fitting


class DualVNet(nn.Module):
    r"""V-Net with a segmentation head and a signed-distance head, the network of dual-task consistency.

    Level i of the encoder has ``convs[i]`` convolutions (3 wide, norm, ReLU) on ``filters`` :math:`\cdot 2^i` channels,
    then a convolution of stride 2. The decoder mirrors it with transposed convolutions and *adds* the encoder's
    activations. Two 1-wide convolutions end it: :math:`f_1` (logits), and :math:`f_2 = \tanh(\cdot)` (distance).

    With its defaults and ``in_channels=1`` it is the published code's network, layer by layer. (The V-Net paper's is
    another: residual, 5 wide, concatenating. ``residual=True`` brings the shortcuts.)

    Args:
        in_channels: channels of the image, at least 1.
        out_channels: structures to segment, each with its own distance.
        spatial_dims: 2 or 3.
        filters: channels of the first level, at least 1.
        convs: convolutions of each level of the encoder, from the finest; its length is the number of levels.
        norm: ``"batch"``, ``"instance"``, ``"group"`` (16 groups, or the most that divide the channels), or ``None``.
        dropout: probability with which a whole channel is dropped, at the coarsest level and before the heads.
        residual: add its input to each level's output before the last ReLU (from the second level on where the image
            has another number of channels).

    Shape:
        (B, in_channels, *spatial) -> two of (B, out_channels, *spatial). Each size of ``spatial`` must be a multiple of
        :math:`2^{levels - 1}`: 16 by default.

    Raises:
        ValueError: if an argument is not as described; in ``forward``, if the input is not, naming the multiple.

    References:
        Milletari et al., V-Net, 3DV 2016 (arXiv:1606.04797); Luo et al., AAAI 2021 (arXiv:2009.04448), whose code
        HiLab-git/DTC has this form in ``code/networks/vnet_sdf.py``.

    >>> import torch
    >>> network = DualVNet(spatial_dims=2, filters=4)
    >>> logits, sdf = network(torch.zeros(2, 1, 32, 48))
    >>> logits.shape, bool((sdf.abs() <= 1).all())
    (torch.Size([2, 1, 32, 48]), True)
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        spatial_dims: int = 3,
        filters: int = 16,
        convs: check.Wholes = (1, 2, 3, 3, 3),
        norm: str | None = "batch",
        dropout: float = 0.5,
        residual: bool = False,
    ):
        super().__init__()
        layers = Layers(spatial_dims, norm)
        in_channels, out_channels = channels(in_channels, out_channels)
        filters, convs = check.whole(filters, "filters", low=1), check.wholes(convs, "convs", low=1, empty=False)
        widths = [filters * 2**level for level in range(len(convs))]
        self.in_channels, self.spatial_dims = in_channels, layers.spatial_dims
        self.multiple = 2 ** (len(convs) - 1)

        def block(count: int, channels_in: int, channels: int) -> nn.Module:
            convolutions = layers.convolutions(count, channels_in, channels)
            return Residual(convolutions) if residual and channels_in == channels else convolutions

        self.encoder = nn.ModuleList(
            block(count, width if level else in_channels, width)
            for level, (count, width) in enumerate(zip(convs, widths))
        )
        self.down = nn.ModuleList(
            layers.step(layers.conv(fine, coarse, 2, stride=2), coarse) for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(
            layers.step(layers.transposed(coarse, fine, 2, stride=2), fine)
            for fine, coarse in itertools.pairwise(widths)
        )
        self.decoder = nn.ModuleList(block(count, width, width) for count, width in zip(convs[:-1], widths[:-1]))
        self.dropout = layers.dropout(dropout)
        self.heads = Heads(layers, filters, out_channels)

    def forward(self, image: Tensor) -> DualOutput:
        """Return both heads' outputs."""
        image = fitting(self, image)
        skips, x = [], image  # (B, in_channels, *spatial)
        for block, down in zip(self.encoder, self.down):
            x = block(x)
            skips.append(x)
            x = down(x)  # twice the channels, half of each size
        x = self.dropout(self.encoder[-1](x))
        for block, up, skip in reversed(list(zip(self.decoder, self.up, skips))):
            x = block(up(x) + skip)  # half the channels, twice each size
        return self.heads(self.dropout(x))
