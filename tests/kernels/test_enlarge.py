"""A convolution of an enlarged map is what the plain lines give, with its gradients, where the short way is taken."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tutorial_lib._kernels import enlarge
from tutorial_lib._kernels.enlarge import cheaper, enlarged_conv
from tutorial_lib.networks import UNet3Plus


def plain(x, layer, size):
    return layer(F.interpolate(x, size=size, mode="bilinear", align_corners=False))


@pytest.mark.parametrize(
    ("channels", "out", "small", "large", "bias"),
    [
        (40, 8, (10, 12), (80, 96), True),
        (40, 8, (10, 12), (77, 90), False),
        (64, 16, (4, 20), (64, 320), True),
        (60, 6, (16, 16), (64, 64), True),
        (5, 4, (1, 1), (64, 70), True),
    ],
)
def test_output_and_gradients_are_those_of_the_plain_lines(channels, out, small, large, bias):
    torch.manual_seed(0)
    assert cheaper(channels, out, small, large)
    layer = nn.Conv2d(channels, out, 3, padding=1, bias=bias).double()
    x = torch.randn(2, channels, *small, dtype=torch.float64, requires_grad=True)
    ours, theirs = enlarged_conv(x, layer, large), plain(x, layer, large)
    torch.testing.assert_close(ours, theirs)
    weight, wanted = torch.randn_like(ours), [x, *layer.parameters()]
    for a, b in zip(torch.autograd.grad(ours, wanted, weight), torch.autograd.grad(theirs, wanted, weight)):
        torch.testing.assert_close(a, b)


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 12), out=st.integers(1, 6), h=st.integers(1, 20), w=st.integers(1, 20),
    height=st.integers(64, 90), width=st.integers(64, 90), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_sizes(channels, out, h, w, height, width, seed):
    torch.manual_seed(seed)
    layer, x = nn.Conv2d(channels, out, 3, padding=1).double(), torch.randn(1, channels, h, w).double()
    torch.testing.assert_close(enlarged_conv(x, layer, (height, width)), plain(x, layer, (height, width)))


def test_where_it_saves_nothing_the_plain_lines_run():
    assert not cheaper(64, 64, (160, 160), (320, 320))  # a factor of 2
    assert not cheaper(64, 8, (6, 6), (48, 48))  # small: the products cost more than they save
    assert not cheaper(64, 64, (320, 320), (320, 320))
    assert cheaper(1024, 64, (20, 20), (320, 320))
    layer, x = nn.Conv2d(3, 2, 3, padding=1), torch.randn(1, 3, 6, 6)
    assert torch.equal(enlarged_conv(x, layer, (12, 12)), plain(x, layer, (12, 12)))
    assert torch.equal(enlarged_conv(x, layer, (6, 6)), layer(x))


def test_unet_3_plus_is_the_same_network(monkeypatch):
    torch.manual_seed(0)
    network = UNet3Plus(2, 3, filters=(4, 6, 8, 10, 12), width=4, deep=True).double()
    image = torch.randn(2, 2, 96, 128, dtype=torch.float64)
    taken = []
    monkeypatch.setattr(enlarge, "cheaper", lambda *a: taken.append(cheaper(*a)) or taken[-1])
    short = network(image).logits
    gradients = torch.autograd.grad(short.square().sum(), list(network.encoder.parameters()))
    assert any(taken) and not all(taken)
    monkeypatch.setattr(enlarge, "cheaper", lambda *a: False)
    long = network(image).logits
    torch.testing.assert_close(short, long)
    for a, b in zip(gradients, torch.autograd.grad(long.square().sum(), list(network.encoder.parameters()))):
        torch.testing.assert_close(a, b)


def test_a_layer_that_is_watched_is_run():
    layer, seen = nn.Conv2d(40, 8, 3, padding=1), []
    layer.register_forward_hook(lambda *a: seen.append(a[2].shape))
    enlarged_conv(torch.randn(1, 40, 10, 12), layer, (80, 96))
    assert seen == [(1, 8, 80, 96)]


def test_half_precision_stays():
    layer, x = nn.Conv2d(40, 8, 3, padding=1).bfloat16(), torch.randn(1, 40, 10, 12).bfloat16()
    got = enlarged_conv(x, layer, (80, 96))
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), plain(x.float(), layer.float(), (80, 96)), atol=0.05, rtol=0.05)
