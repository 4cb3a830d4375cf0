"""A step of FGM, PGD (K = 3), FreeLB (K = 3) and VAT beside as many plain steps as it has passes."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.timing import medians, show
from tutorial_lib.adversarial import FGM, PGD, VAT, FreeLB


def main() -> None:
    for make in (convolution, transformer, recurrent):
        steps(make)


def steps(make: Callable) -> None:
    torch.manual_seed(0)
    model, tokens, target = make()
    closure = lambda: F.cross_entropy(model(tokens), target)  # noqa: E731
    alpha = {"alpha": 0.5, "steps": 3}

    def plain(times: int) -> None:
        model.zero_grad()
        for _ in range(times):
            closure().backward()

    def step(method, closure) -> None:
        model.zero_grad()
        method.backward(closure)

    functions = {f"{k} plain steps": partial(plain, k) for k in (1, 2, 3, 4)}
    for space in ("activation", "weight"):
        functions |= {
            f"FGM, {space}": partial(step, FGM(model, "0", space=space), closure),
            f"PGD, {space}": partial(step, PGD(model, "0", space=space, **alpha), closure),
            f"FreeLB, {space}": partial(step, FreeLB(model, "0", space=space, **alpha), closure),
        }
    functions["PGD, activation, adversarial only"] = partial(step, PGD(model, "0", clean_weight=0.0, **alpha), closure)
    functions["VAT"] = partial(step, VAT(model, "0"), lambda: model(tokens))
    functions["snippet's FGM, weight"] = partial(snippet, model, closure)
    times = medians(functions, repetitions=9)
    print(f"{make.__doc__} A plain step: {1000 * times['1 plain steps']:.3g} ms")
    for name, floor in (("FGM", 2), ("PGD", 4), ("FreeLB", 3)):
        for space in ("activation", "weight"):
            ours = times[f"{name}, {space}"]
            others = {f"{floor} plain steps": times[f"{floor} plain steps"]}
            if (name, space) == ("FGM", "weight"):
                others["the usual snippet, without its search for names"] = times["snippet's FGM, weight"]
            show(f"  {name}, {space}", ours, others, f"within 10 % of {floor} plain steps")
    show(
        "  PGD without the clean term",
        times["PGD, activation, adversarial only"],
        {"4 plain steps": times["4 plain steps"]},
        "below 4 plain steps",
    )
    show("  VAT", times["VAT"], {"3 plain steps": times["3 plain steps"]}, "below 3 plain steps")


def snippet(model: nn.Module, closure: Callable) -> None:
    """Perturb the weight by its whole gradient, as the popular code does."""
    weight = model[0].weight
    model.zero_grad()
    closure().backward()
    backup = weight.data.clone()
    norm = torch.norm(weight.grad)
    if norm != 0 and not torch.isnan(norm):
        weight.data.add_(weight.grad / norm)
    closure().backward()
    weight.data = backup


class Pool(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, values):
        values = values[0] if isinstance(values, tuple) else values
        return values.amax(self.dim)


class Turn(nn.Module):
    def forward(self, values):
        return values.transpose(1, 2)


def batch(words: int, rows: int, length: int):
    return torch.randint(1, words, (rows, length)), torch.randint(5, (rows,))


def convolution():
    """Convolution, 10,000 words of width 100, 32 texts of 128 words."""
    layers = nn.Embedding(10_000, 100, padding_idx=0), Turn(), nn.Conv1d(100, 128, 3), nn.ReLU(), Pool(2)
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(128, 5)), *batch(10_000, 32, 128)


def transformer():
    """Transformer, 2 layers of width 128, 10,000 words, 16 texts of 64 words."""
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    layers = nn.Embedding(10_000, 128, padding_idx=0), nn.TransformerEncoder(layer, 2), Pool(1)
    return nn.Sequential(*layers, nn.Linear(128, 5)), *batch(10_000, 16, 64)


def recurrent():
    """GRU of width 64, 5,000 words of width 64, 32 texts of 40 words."""
    layers = nn.Embedding(5_000, 64, padding_idx=0), nn.GRU(64, 64, batch_first=True), Pool(1)
    return nn.Sequential(*layers, nn.Linear(64, 5)), *batch(5_000, 32, 40)
