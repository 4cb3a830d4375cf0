"""The README's examples, run with things that stand in for the reader's own: ``python tests/readme_examples.py``.

It needs the package and torch, and nothing else: the release runs it on the built wheel, in an empty environment.
"""

import re
import sys
from pathlib import Path

import torch
from torch import nn

README = Path(__file__).parents[1] / "README.md"


class Net(nn.Module):
    """Stands in for the reader's own classifier."""

    def __init__(self):
        super().__init__()
        self.layer1, self.layer2, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(torch.relu(self.layer2(torch.relu(self.layer1(inputs)))))


class TextNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 2)

    def forward(self, tokens):
        return self.head(self.embedding(tokens).mean(1))


def mixing():
    return {
        "inputs": torch.rand(4, 6),
        "targets": torch.eye(3)[[0, 1, 2, 0]],
        "model": Net(),
        "loss_fn": nn.functional.binary_cross_entropy_with_logits,
    }


def masks():
    mask = torch.zeros(4, 6, 6, dtype=torch.bool)
    mask[1:3, 2:5, 2:5] = True
    return {"pred": mask.long(), "target": mask.roll(1, 2).long(), "mask": mask}


def losses():
    return {
        "cosines": torch.rand(4, 3) * 2 - 1,
        "target": torch.tensor([0, 1, 2, 0]),
        "counts": [100, 10, 2],
        "epoch": 170,
        "features": torch.rand(1, 2, 16, 16),
        "boxes": torch.tensor([[0.0, 16, 16, 128, 128]]),
    }


def text():
    tokens, target = torch.randint(20, (4, 5)), torch.tensor([0, 1, 0, 1])
    return {"model": TextNet(), "criterion": nn.CrossEntropyLoss(), "tokens": tokens, "target": target}


def detector():
    truth = {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([1])}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return {
        "backbone": nn.Conv2d(3, 64, 8, stride=8),
        "images": [torch.rand(3, 64, 96), torch.rand(3, 50, 40)],
        "truths": [truth, none],
    }


#: What each example finds, in their order.
SCOPES = (mixing, masks, losses, text, detector)


def examples(page: Path = README) -> list[str]:
    """The blocks of Python in a page, in order."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def run(number: int) -> None:
    """Run an example; what it computes must be finite."""
    torch.manual_seed(0)
    scope = SCOPES[number]()
    exec(compile(examples()[number], f"README.md, example {number + 1}", "exec"), scope)
    for name in ("loss", "pooled", "sdf", "soft"):
        if name in scope:
            assert torch.as_tensor(scope[name]).isfinite().all(), name


def main() -> None:
    """Run all; ends with a traceback where one fails."""
    assert len(examples()) == len(SCOPES), "an example of the README is not run"
    for number in range(len(SCOPES)):
        run(number)
    # Beside this file lies a checkout: say which package it was.
    print(f"The {len(SCOPES)} examples of the README run with {sys.modules['tutorial_lib'].__path__[0]}")


if __name__ == "__main__":
    main()
