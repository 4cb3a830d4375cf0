"""A Flow-Mixup step against the operations that it must do: layers below the module once, above it twice."""

import torch
from torch import Tensor, nn

from benchmarks.timing import medians, show
from tutorial_lib.mixup import flow_loss, flow_mixup

loss_fn = nn.functional.binary_cross_entropy_with_logits


def signals() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A 1-D network on 64 signals: about what chapter 02 trains."""

    def block(inputs, outputs):
        conv = nn.Conv1d(inputs, outputs, 7, padding=3)
        return nn.Sequential(conv, nn.BatchNorm1d(outputs), nn.ReLU(), nn.MaxPool1d(2))

    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 11))
    model = nn.Sequential(block(2, 32), block(32, 64), block(64, 64), head)
    return model, torch.randn(64, 2, 512), torch.rand(64, 11)


def images() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A 2-D network on 64 images of 3x64x64."""

    def block(inputs, outputs):
        conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))

    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 14))
    model = nn.Sequential(block(3, 32), block(32, 64), block(64, 64), head)
    return model, torch.randn(64, 3, 64, 64), torch.rand(64, 14)


def main(peers: bool = False) -> None:
    for name, make in (("signals", signals), ("images", images)):
        for layers in (["0"], ["1"], ["0", "1"]):
            torch.manual_seed(0)
            model, x, y = make()
            flow, needed = _step(model, x, y, layers), _needed(model, x, y, layers)
            times = medians({"flow": flow, "needed": needed, "plain": lambda m=model, x=x, y=y: _plain(m, x, y)})
            show(
                f"Flow-Mixup step, {name}, after layers {', '.join(layers)}",
                times["flow"],
                {"the operations it must do": times["needed"], "a plain step": times["plain"]},
                "0.91 x of the operations or more (within 10 %)",
            )


def _plain(model: nn.Module, x: Tensor, y: Tensor) -> None:
    model.zero_grad()
    loss_fn(model(x), y).backward()


def _step(model: nn.Module, x: Tensor, y: Tensor, layers: list[str]):
    def step() -> None:
        model.zero_grad()
        with flow_mixup(model, layers, alpha=1.0) as mix:
            logits = model(x)
            flow_loss(loss_fn, logits, mix.targets(y), flows=mix.flows).backward()

    return step


def _needed(model: nn.Sequential, x: Tensor, y: Tensor, layers: list[str]):
    """The same layers forward and backward on as many rows, with nothing between them."""
    cuts = [0, *(int(name) + 1 for name in layers), len(model)]
    parts = [model[start:end] for start, end in zip(cuts, cuts[1:])]
    entries = [x]
    with torch.no_grad():
        for part in parts[:-1]:
            entries.append(torch.cat([part(entries[-1])] * 2))
    for entry in entries[1:]:
        entry.requires_grad_()
    targets = torch.cat([y] * 2 ** len(layers))

    def step() -> None:
        model.zero_grad()
        outputs = [part(entry) for part, entry in zip(parts, entries)]
        flow_loss(loss_fn, outputs[-1], targets, flows=2 ** len(layers)).backward()
        for output, entry in zip(outputs[-2::-1], entries[:0:-1]):
            output.backward(entry.grad[: len(output)])
            entry.grad = None

    return step
