"""U-Nets of three kinds and RefineNet: published sizes and counts, what each sees, faults of ports, bad input."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutorial_lib.networks import (
    ChainedResidualPooling,
    MultiResolutionFusion,
    RefineNet,
    ResidualConvUnit,
    UNet,
    UNet3Plus,
    UNetPlusPlus,
    class_guided,
)

PUBLISHED = (64, 128, 256, 512, 1024)
RESNET_101, RESNET_50 = 42_500_160, 23_508_032  # weights of torchvision's backbones without their classifiers


def on_meta(make):
    """A network without memory: it can be counted, not run."""
    with torch.device("meta"):
        return make()


def weights(network) -> int:
    return sum(value.numel() for value in network.parameters())


def multiply_adds(network, *shape: int) -> int:
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += places[:, 0].numel() * layer.weight.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    network(torch.zeros(shape, device="meta"))
    return total


@pytest.mark.parametrize(
    ("make", "millions", "giga"),
    [
        (lambda: UNet(3, 1, filters=PUBLISHED, up="transposed"), 39.40, 85.4),
        (lambda: UNet3Plus(3, 1, filters=PUBLISHED), 26.97, 308.8),
        (lambda: UNet3Plus(3, 1, filters=PUBLISHED, deep=True), 26.99, None),
    ],
)
def test_the_published_sizes_of_unet_3_plus_and_of_its_baseline(make, millions, giga):
    network = on_meta(make)
    assert weights(network) / 1e6 == pytest.approx(millions, abs=0.005)
    if giga:
        assert multiply_adds(network, 1, 3, 320, 320) / 1e9 == pytest.approx(giga, abs=0.05)


def test_unet_3_plus_has_fewer_weights_and_three_times_the_work():
    """Its abstract says "improve the computation efficiency"."""
    plain, full = on_meta(lambda: UNet(3, 1, filters=PUBLISHED)), on_meta(lambda: UNet3Plus(3, 1, filters=PUBLISHED))
    assert weights(full) < 0.8 * weights(plain)
    assert multiply_adds(full, 1, 3, 320, 320) > 3 * multiply_adds(plain, 1, 3, 320, 320)


@pytest.mark.parametrize(("light", "backbone", "millions"), [(False, RESNET_101, 118.05), (True, RESNET_50, 27.36)])
def test_the_published_sizes_of_refinenet_and_its_light_form(light, backbone, millions):
    network = on_meta(lambda: RefineNet(lambda x: x, [256, 512, 1024, 2048], 21, light=light))
    assert (weights(network) + backbone) / 1e6 == pytest.approx(millions, abs=0.005)


# --- chained pooling ---


def impulse(stages: int, chained=True) -> int:
    """How many pixels a single bright one reaches, with convolutions that do nothing."""
    pooling = ChainedResidualPooling(1, stages=stages, kernel=1)
    with torch.no_grad():
        for convolution in pooling.stages:
            convolution.weight.fill_(1)
    image = torch.zeros(1, 1, 41, 41)
    image[..., 20, 20] = 1
    with torch.no_grad():
        if chained:
            return int((pooling(image) > 0).sum())
        # The popular ports' fault: every stage pools the ReLU's output (three of them, such as eragonruan's).
        total = image + sum(c(F.max_pool2d(image, 5, stride=1, padding=2)) for c in pooling.stages)
        return int((total > 0).sum())


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_each_stage_widens_what_is_seen_and_parallel_pools_do_not(stages):
    assert impulse(stages) == (4 * stages + 1) ** 2
    assert impulse(stages, chained=False) == 25


def test_the_chain_is_the_formula():
    torch.manual_seed(0)
    pooling, x = ChainedResidualPooling(3, stages=3), torch.randn(2, 3, 8, 9)
    y = top = x.relu()
    for convolution in pooling.stages:
        top = F.conv2d(F.max_pool2d(top, 5, 1, 2), convolution.weight, padding=1)
        y = y + top
    torch.testing.assert_close(pooling(x), y)


def test_a_residual_unit_leaves_its_input_alone():
    """In popular ports its second ReLU, or an in-place one, reaches the input."""
    unit, x = ResidualConvUnit(2), torch.randn(1, 2, 5, 5)
    before = x.clone()
    y = unit(x)
    assert torch.equal(x, before)
    expected = F.conv2d(x.relu(), unit.first.weight, unit.first.bias, padding=1).relu()
    torch.testing.assert_close(y, x + F.conv2d(expected, unit.second.weight, padding=1))


def test_pooling_in_a_chain_widens_the_gradients_field():
    def field(stages):
        torch.manual_seed(0)
        layers = [ChainedResidualPooling(4, stages=stages, kernel=1)] if stages else []
        network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *layers, nn.Conv2d(4, 1, 1)).double()
        reached = torch.zeros(41, 41, dtype=torch.bool)
        for seed in range(40):  # a maximum passes its gradient to one pixel: many pictures show the whole field
            image = torch.randn(1, 1, 41, 41, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            [grad] = torch.autograd.grad(network(image.requires_grad_())[0, 0, 20, 20], image)
            reached |= grad[0, 0] != 0
        return int(reached.any(0).sum())

    assert field(0) == 3 and field(1) <= 7 < field(4) <= 19


# --- the class-guided module ---


def test_no_organ_is_nowhere_and_in_the_published_code_everywhere_one_half():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 4
    presence = torch.tensor([[3.0, -3, -3], [-3, 3, 0]])
    ours, published = (class_guided(logits, presence, rule=rule) for rule in ("after", "published"))
    absent = torch.tensor([[False, True, True], [True, False, False]])
    assert bool((ours[absent] == 0).all()) and bool((published[absent] == 0.5).all())
    torch.testing.assert_close(ours[~absent], logits[~absent].sigmoid())
    torch.testing.assert_close(published[~absent], ours[~absent])


def test_presence_can_be_learned():
    """The published one goes through an argmax and is not returned: no gradient reaches it."""
    torch.manual_seed(0)
    network = UNet3Plus(1, 1, filters=(4, 8, 8), width=4, guided=True)
    images = torch.zeros(8, 1, 16, 16)
    images[:4, :, 4:12, 4:12] = 1
    there = torch.tensor([[1.0]] * 4 + [[0.0]] * 4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(images).presence, there).backward()
        optimizer.step()
    assert torch.equal(network.eval()(images).presence > 0, there > 0.5)


# --- wiring ---


@pytest.mark.parametrize("kind", [UNet, UNetPlusPlus, UNet3Plus])
def test_every_weight_gets_a_gradient_and_any_size_fits(kind):
    torch.manual_seed(0)
    network = kind(
        2, 3, filters=(4, 6, 8, 10), deep=True, **({"width": 4, "guided": True} if kind is UNet3Plus else {})
    )
    for size in ((32, 32), (21, 30), (1, 1), (9, 40)):
        if min(size) > 8:
            output = network.train()(torch.randn(2, 2, *size))
        else:
            output = network.eval()(torch.randn(2, 2, *size))  # batch norm needs more than one value a channel
        for one in (output.logits, *output.side):
            assert one.shape == (2, 3, *size) and bool(one.isfinite().all())
    output = network.train()(torch.randn(2, 2, 32, 32))
    total = output.logits.square().sum() + sum(one.square().sum() for one in output.side)
    total = total + (0 if output.presence is None else output.presence.square().sum())
    total.backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_the_decoders_read_what_the_papers_say():
    """A bump in the finest encoder map reaches every level of UNet 3+'s decoder, in U-Net only the last."""

    def reads(network):
        """For each block of the decoder, how many input channels it has, in units of the filters."""
        return [block[0][0].in_channels if isinstance(block[0], nn.Sequential) else None for block in network]

    plain = UNet(1, 1, filters=(4, 8, 16))
    assert reads(plain.decoder) == [8, 16]
    nested = UNetPlusPlus(1, 1, filters=(4, 8, 16))
    assert {name: block[0][0].in_channels for name, block in nested.nodes.items()} == {"0-1": 8, "1-1": 16, "0-2": 12}
    full = UNet3Plus(1, 1, filters=(4, 8, 16), width=5)
    sources = [[branch[0][0].in_channels for branch in level] for level in full.branches]
    assert sources == [[4, 15, 16], [4, 8, 16]] and [block[0][0].in_channels for block in full.fuse] == [15, 15]


def test_all_three_start_alike():
    """Same encoder, same kind of initial weights: He's, biases 0."""
    spreads = []
    for kind in (UNet, UNetPlusPlus, UNet3Plus):
        torch.manual_seed(0)
        network = kind(1, 1, filters=(8, 16, 32))
        convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        assert all(float(layer.bias.detach().abs().max()) == 0 for layer in convolutions if layer.bias is not None)
        ratios = [float(layer.weight.detach().std()) * (layer.weight[0].numel() / 2) ** 0.5 for layer in convolutions]
        spreads.append(sum(ratios) / len(ratios))
    assert max(spreads) - min(spreads) < 0.1 and abs(spreads[0] - 1) < 0.1


def test_refinenet_learns_where_a_square_is():
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)

        def forward(self, x):
            fine = self.a(x).relu()
            return {"fine": fine, "coarse": self.b(fine).relu()}

    network = RefineNet(Encoder(), [6, 8], 1, width=8, stages=2, dropout=0.0)
    images = torch.zeros(4, 1, 32, 32)
    for row, (y, x) in enumerate([(2, 4), (10, 16), (18, 2), (6, 20)]):
        images[row, 0, y : y + 10, x : x + 10] = 1
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(images).logits, images).backward()
        optimizer.step()
    found = network(images).logits > 0
    assert float((found == images.bool()).float().mean()) > 0.95
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("kind", [UNet, UNetPlusPlus, UNet3Plus])
def test_every_convolution_of_every_decoder_has_the_norm(kind):
    """In the published comparison U-Net's and U-Net++'s had none, which is worth more than the skips."""
    network = kind(1, 1, filters=(4, 8, 16))
    norms = sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert norms == sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) - len(network.heads)


def test_refinenet_with_norm_learns_from_scratch():
    """A norm after every convolution of the decoder; without it the sums grow through the stages."""

    def outputs(norm):
        torch.manual_seed(0)
        network = RefineNet(lambda x: [x, F.max_pool2d(x, 2)], [4, 4], 1, width=8, dropout=0.0, norm=norm)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        network(torch.randn(4, 4, 16, 16))
        return network, float(network(torch.randn(4, 4, 16, 16)).logits.detach().std())

    network, spread = outputs("batch")
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == convolutions - 1
    assert spread < 20 < outputs(None)[1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: RefineNet(lambda x: [x], [1], 1, norm="layer"), "norm must be"),
        (lambda: UNet(1, 1, filters=(8,)), "at least two levels"),
        (lambda: UNet(1, 1, up="nearest"), "up must be"),
        (lambda: UNet(1, 0), "classes must be"),
        (lambda: UNet(1, 1, norm="layer"), "norm must be"),
        (lambda: UNet(1, 1)(torch.zeros(1, 2, 8, 8)), r"image must be floating-point \(B, 1, H, W\)"),
        (lambda: UNet3Plus(1, 1, width=0), "width must be"),
        (lambda: class_guided(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3)), r"presence must be floating-point \(1, 2\)"),
        (lambda: class_guided(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1), threshold=1), "threshold must be"),
        (lambda: class_guided(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1), rule="before"), "rule must be"),
        (lambda: ChainedResidualPooling(4, stages=0), "stages must be"),
        (lambda: MultiResolutionFusion([], 4), "channels must be"),
        (lambda: MultiResolutionFusion([4, 4], 4)([torch.zeros(1, 4, 2, 2)]), "maps must be 2, got 1"),
        (lambda: RefineNet(3, [4], 1), "backbone must be"),
        (lambda: RefineNet(lambda x: [x], [1, 1], 1)(torch.zeros(1, 1, 8, 8)), "1 maps, got 2"),
        (lambda: RefineNet(lambda x: [x], [1], 1, dropout=1), "dropout must be"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
