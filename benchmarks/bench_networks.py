"""Steps of the segmentation networks beside the sum of their convolutions; UNet 3+ beside the published way."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import medians, show
from tutorial_lib.networks import MapOutput, RefineNet, UNet, UNet3Plus, UNetPlusPlus

FILTERS, WIDTH = (16, 32, 64, 128, 256), 16
SIZE, BATCH = 160, 2


def main() -> None:
    steps()
    published()


def steps() -> None:
    """Forward and backward of a network, and of each of its convolutions alone, on what it gets in the step."""
    for name, make in {
        "U-Net": lambda: UNet(1, 2, filters=FILTERS),
        "U-Net++": lambda: UNetPlusPlus(1, 2, filters=FILTERS),
        "UNet 3+": lambda: UNet3Plus(1, 2, filters=FILTERS, width=WIDTH),
        "RefineNet": lambda: over_encoder(light=False),
        "light RefineNet": lambda: over_encoder(light=True),
    }.items():
        torch.manual_seed(0)
        network, image = make().train(), torch.randn(BATCH, 1, SIZE, SIZE)
        seconds = medians(
            {"step": step(network, image)} | {f"{k}": one for k, one in enumerate(convolutions(network, image))},
            repetitions=5,
        )
        whole = seconds.pop("step")
        print(f"a training step of {name}: {1000 * whole:.0f} ms    goal: within 10 % of its convolutions")
        print(f"    {whole / sum(seconds.values()):5.2f} x  the sum of its {len(seconds)} convolutions, each alone")


def over_encoder(light: bool) -> RefineNet:
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = UNet(1, 1, filters=FILTERS)
            del self.net.up, self.net.decoder, self.net.heads

        def forward(self, x):
            return self.net.encode(x)

    return RefineNet(Encoder(), FILTERS, 2, width=32, light=light, dropout=0.0, norm="batch")


def step(network, image):
    def run():
        network.zero_grad()
        network(image).logits.square().mean().backward()

    return run


def convolutions(network, image):
    """Each convolution's forward and backward alone, as the step uses it (the picture itself needs no gradient)."""
    calls, hooks = [], []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(lambda one, given, out: calls.append((one, given[0].detach()))))
    network(image)
    for hook in hooks:
        hook.remove()

    def alone(layer, x):
        x = x.clone().requires_grad_(x.shape[1] != image.shape[1])
        weight = torch.randn_like(layer(x))
        wanted = [*layer.parameters(), *([x] if x.requires_grad else [])]
        return lambda: torch.autograd.grad(layer(x), wanted, weight)

    return [alone(*call) for call in calls]


class Published(nn.Module):
    """UNet 3+ the way it is published: every branch resamples its map at full channels, then 3 x 3, norm, ReLU."""

    def __init__(self, network: UNet3Plus):
        super().__init__()
        self.network = network
        self.depth = len(network.filters)
        up = {k: nn.Upsample(scale_factor=2**k, mode="bilinear") for k in range(1, self.depth)}
        self.up, self.down = up, {k: nn.MaxPool2d(2**k, ceil_mode=True) for k in range(1, self.depth)}

    def forward(self, x: Tensor) -> MapOutput:
        maps: list[Tensor] = []
        for block in self.network.encoder:
            maps.append(block(F.max_pool2d(maps[-1], 2) if maps else x))
        nodes = {self.depth - 1: maps[-1]}
        for i in reversed(range(self.depth - 1)):
            parts = []
            branches: Any = self.network.branches[i]
            for k, branch in enumerate(branches):
                source = self.down[i - k](maps[k]) if k < i else maps[i] if k == i else self.up[k - i](nodes[k])
                parts.append(branch(source))
            nodes[i] = self.network.fuse[i](torch.cat(parts, 1))
        return MapOutput(self.network.heads[0](nodes[0]))


def published() -> None:
    for filters, width, size in ((FILTERS, WIDTH, 160), ((64, 128, 256, 512, 1024), 64, 96)):
        torch.manual_seed(0)
        network, image = UNet3Plus(3, 1, filters=filters, width=width).train(), torch.randn(1, 3, size, size)
        peer = Published(network)
        with torch.no_grad():
            ours, theirs = network(image).logits, peer(image).logits
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4), float((ours - theirs).abs().max())

        seconds = medians({"ours": step(network, image), "peer": step(peer, image)}, repetitions=5)
        title = f"UNet 3+, {filters[0]} to {filters[-1]} channels, {size} x {size}, forward and backward"
        show(title, seconds["ours"], {"the published way, same weights": seconds["peer"]}, "1.2 x, outputs equal")


if __name__ == "__main__":
    main()
