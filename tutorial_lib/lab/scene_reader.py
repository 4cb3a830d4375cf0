"""A network that reads captioned shapes back: which layout, colours and shapes a picture shows.

It is the examiner of chapter 16. It was trained on real pictures of *all* combinations, those that the generator never
sees included, so that it has no reason to misread them; and it never meets a generated one before it is asked.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .captioned_shapes import COLOURS, SHAPES, captioned_shapes

__all__ = ["SceneReader", "SceneScores", "read_scenes", "scene_scores", "train_reader"]

#: Choices of each of the scene's first five numbers.
PARTS = (4, len(COLOURS), len(SHAPES), len(COLOURS), len(SHAPES))


class SceneReader(nn.Module):
    """Three convolutions and two layers: a picture of 16 x 16 to scores of layout, colours and shapes.

    Shape:
        (B, 3, 16, 16) -> (B, 18): 4 layouts, 4 colours and 3 shapes of the first object, the same of the second.

    >>> SceneReader()(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 18])
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.SiLU(),
            nn.Conv2d(32, 48, 3, padding=1, stride=2), nn.GroupNorm(8, 48), nn.SiLU(),
            nn.Conv2d(48, 64, 3, padding=1, stride=2), nn.GroupNorm(8, 64), nn.SiLU(), nn.Flatten(),
        )  # fmt: skip
        self.features = nn.Sequential(nn.Linear(1024, 96), nn.SiLU())
        self.head = nn.Linear(96, sum(PARTS))

    def forward(self, image: Tensor) -> Tensor:
        """Return the scores of all parts, side by side."""
        return self.head(self.features(self.body(image)))


@torch.no_grad()
def read_scenes(reader: nn.Module, image: Tensor, *, batch: int = 512) -> Tensor:
    """Read pictures.

    Args:
        reader: as :class:`SceneReader`.
        image: (N, 3, 16, 16).
        batch: pictures at once.

    Returns:
        (N, 5) int64: layout, colour and shape of the first object and of the second, which is -1, -1 where the layout
        has one object only.
    """
    found = []
    for part in image.split(batch):
        read = torch.stack([scores.argmax(1) for scores in reader(part).split(PARTS, 1)], 1)
        read[read[:, 0] < 2, 3:] = -1
        found.append(read)
    return torch.cat(found) if found else torch.empty(0, 5, dtype=torch.int64)


class SceneScores(NamedTuple):
    """Shares of pictures that are right, (N,) bools each: ``all`` (everything that the caption says), ``layout``,
    ``colours`` and ``shapes`` (those of the caption, whichever object has them), and ``bound`` (right colours and
    shapes, and each colour at its own shape and place)."""

    all: Tensor
    layout: Tensor
    colours: Tensor
    shapes: Tensor
    bound: Tensor


def scene_scores(read: Tensor, wanted: Tensor) -> SceneScores:
    """Compare what pictures show with what their captions said.

    Args:
        read: (N, 5) from :func:`read_scenes`.
        wanted: (N, 5) or (N, 6) scenes; the language does not count.

    Returns:
        :class:`SceneScores`.

    >>> wanted = torch.tensor([[2, 0, 0, 2, 1, 0]])  # a red ring left of a blue square
    >>> [bool(part) for part in scene_scores(torch.tensor([[2, 0, 1, 2, 0]]), wanted)]  # the shapes are swapped
    [False, True, True, True, False]
    """
    wanted = wanted[:, :5]
    layout = read[:, 0] == wanted[:, 0]
    colours = (read[:, (1, 3)].sort(1).values == wanted[:, (1, 3)].sort(1).values).all(1)
    shapes = (read[:, (2, 4)].sort(1).values == wanted[:, (2, 4)].sort(1).values).all(1)
    bound = (read[:, 1:] == wanted[:, 1:]).all(1)
    return SceneScores(bound & layout, layout, colours, shapes, bound)


def train_reader(*, seed: int = 0, steps: int = 1500, batch: int = 128, rows: int = 24_000) -> SceneReader:
    """Train a reader on real pictures, with a little noise of random strength, so that grain does not mislead it.

    Args:
        seed: of pictures, weights and batches.
        steps: of Adam, at a rate that falls from .002 to 0.
        batch: pictures a step.
        rows: pictures in all.

    Returns:
        The reader, in evaluation mode.
    """
    image, scene, _ = captioned_shapes(rows, seed=seed, split="all")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = SceneReader()
    optimizer = torch.optim.Adam(reader.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.05)
    for _ in range(steps):
        pick = torch.randint(rows, (batch,), generator=generator)
        grain = 0.25 * torch.rand(batch, 1, 1, 1, generator=generator)
        seen = image[pick] + grain * torch.randn(batch, *image.shape[1:], generator=generator)
        scores = reader(seen).split(PARTS, 1)
        losses = [nn.functional.cross_entropy(part, scene[pick, k], ignore_index=-1) for k, part in enumerate(scores)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        falling.step()
    return reader.eval()
