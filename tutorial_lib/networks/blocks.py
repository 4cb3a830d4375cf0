"""What the networks are built of: layers for a number of dimensions and a norm, residual blocks, two heads."""

import math
from typing import Any, NamedTuple

from torch import Tensor, nn

from .. import _arguments as check


class DualOutput(NamedTuple):
    """What a two-headed network returns.

    Attributes:
        logits: (B, out_channels, *spatial), of the mask.
        sdf: (B, out_channels, *spatial), the signed distance map.
    """

    logits: Tensor
    sdf: Tensor


class Layers:
    """The layers of a network for one number of dimensions and one norm."""

    def __init__(self, spatial_dims: int, norm: str | None):
        self.spatial_dims = check.whole(spatial_dims, "spatial_dims", low=2, high=3)
        self.norm = check.choice(norm, "norm", ("batch", "instance", "group", None))
        flat = self.spatial_dims == 2
        self.conv = nn.Conv2d if flat else nn.Conv3d
        self.transposed = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
        self.pool = nn.MaxPool2d if flat else nn.MaxPool3d
        self.batch_norm = nn.BatchNorm2d if flat else nn.BatchNorm3d
        self.instance_norm = nn.InstanceNorm2d if flat else nn.InstanceNorm3d
        self.dropout_of_channels = nn.Dropout2d if flat else nn.Dropout3d

    def step(self, convolution: nn.Module, channels: int) -> nn.Sequential:
        """Convolution, norm, ReLU."""
        if self.norm is None:
            return nn.Sequential(convolution, nn.ReLU(inplace=True))
        norm: nn.Module
        if self.norm == "batch":
            norm = self.batch_norm(channels)
        elif self.norm == "instance":
            norm = self.instance_norm(channels)
        else:
            norm = nn.GroupNorm(math.gcd(16, channels), channels)
        return nn.Sequential(convolution, norm, nn.ReLU(inplace=True))

    def convolutions(self, count: int, channels_in: int, channels: int) -> nn.Sequential:
        """``count`` steps, 3 wide, that keep the size."""
        before = [channels_in] + [channels] * (count - 1)
        return nn.Sequential(*(self.step(self.conv(width, channels, 3, padding=1), channels) for width in before))

    def dropout(self, probability: float) -> nn.Module:
        probability = check.number(probability, "dropout", low=0, below=1)
        return self.dropout_of_channels(probability) if probability else nn.Identity()


class Residual(nn.Module):
    """A block whose input is added before its last ReLU."""

    def __init__(self, convolutions: Any):
        super().__init__()
        self.body = nn.Sequential(*convolutions[:-1], convolutions[-1][:-1])
        self.relu = convolutions[-1][-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.body(x) + x)


class Heads(nn.Module):
    """Two 1-wide convolutions: scores, and a distance in [-1, 1]."""

    def __init__(self, layers: Layers, channels: int, out_channels: int):
        super().__init__()
        self.sdf = layers.conv(channels, out_channels, 1)
        self.segmentation = layers.conv(channels, out_channels, 1)

    def forward(self, x: Tensor) -> DualOutput:
        return DualOutput(self.segmentation(x), self.sdf(x).tanh())


def channels(in_channels: int, out_channels: int) -> tuple[int, int]:
    return check.whole(in_channels, "in_channels", low=1), check.whole(out_channels, "out_channels", low=1)


def fitting(network: Any, image: Tensor) -> Tensor:
    """An image of the network's dimensions and channels, whose sizes can be halved as often as it will."""
    pixels = ", ".join("HWD"[: network.spatial_dims])
    check.tensor(image, "image", f"(B, {network.in_channels}, {pixels})", kind="floating-point")
    if any(size % network.multiple or not size for size in image.shape[2:]):
        raise ValueError(
            f"the sizes of image must be multiples of {network.multiple}, got {tuple(image.shape[2:])}; "
            "pad it, or use sliding_window with such a window"
        )
    return image
