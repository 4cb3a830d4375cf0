"""The two stored networks of chapter 16: one that draws captioned shapes, and one that reads them back.

    python -m tutorial_lib.lab.drawer [CHECKPOINT]   # trains both again and writes drawer.weights beside this file

The file holds weights in half precision, 1 MB, and says with which seed, steps and versions they were made, and the
hash of the weights. Training again on another processor gives other weights, and pictures just as good.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..consistency import MeanTeacher
from ..diffusion import diffuse, noise_schedule, target
from ..networks import TextUNet
from .captioned_shapes import LENGTH, VOCABULARY, captioned_shapes, encode_captions
from .scene_reader import SceneReader, train_reader

__all__ = ["STEPS", "about_stored", "load_drawer", "load_reader", "new_drawer", "train_drawer"]

#: T of the stored drawer's schedule, which is the cosine; it says v.
STEPS = 200
_FILE = Path(__file__).with_name("drawer.weights")


def new_drawer(*, filters: tuple[int, ...] = (48, 64)) -> TextUNet:
    """An untrained drawer for the words of captioned shapes."""
    return TextUNet(len(VOCABULARY), LENGTH, filters=filters, heads=2, steps=STEPS)


def train_drawer(
    *,
    seed: int = 0,
    steps: int = 2400,
    batch: int = 64,
    rows: int = 20_000,
    rate: float = 3e-3,
    checkpoint: Path | None = None,
) -> TextUNet:
    """Train the drawer that is stored.

    Args:
        seed: of pictures, weights and batches.
        steps: of AdamW, at a rate that rises for 50 steps, falls along a wide cosine, and in the last 500 steps to 0 in
            a straight line.
        batch: pictures a step; of one in ten the text is dropped.
        rows: training pictures in all.
        rate: the highest learning rate.
        checkpoint: a file to go on from, if it is there, and to save to every 100 steps; the result is the same.

    Returns:
        The average of the weights over training, in evaluation mode.
    """
    image, _, captions = captioned_shapes(rows, seed=seed)
    text, alpha_bar = encode_captions(captions), noise_schedule(STEPS)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any = new_drawer()
        network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-3)

    def share(k: int) -> float:
        """Of the highest rate, at step k."""
        wide = 0.5 + 0.5 * np.cos(np.pi * min(k, steps - 500) / (1.5 * steps))
        return wide * min(1.0, (k + 1) / 50, (steps - k) / 500)

    falling, average = torch.optim.lr_scheduler.LambdaLR(optimizer, share), MeanTeacher(network, decay=0.995)
    parts = {"network": network, "average": average, "optimizer": optimizer, "falling": falling}
    first = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        first = state["step"] + 1
    for step in range(first, steps):
        pick = torch.randint(rows, (batch,), generator=generator)
        t = torch.randint(STEPS, (batch,), generator=generator)
        noise = torch.randn(batch, *image.shape[1:], generator=generator)
        kept = torch.rand(batch, 1, generator=generator) >= 0.1
        x = diffuse(image[pick], t, alpha_bar, noise=noise).contiguous(memory_format=torch.channels_last)
        said = network(x, t, text[pick] * kept)
        loss = F.mse_loss(said, target(image[pick], noise, t, alpha_bar, kind="v"))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        falling.step()
        average.update(network)
        if step % 100 == 99:
            print(f"step {step}: loss {loss.item():.4f}", file=sys.stderr, flush=True)
            if checkpoint is not None:
                state = {name: part.state_dict() for name, part in parts.items()}
                state |= {"generator": generator.get_state(), "step": step}
                with _whole(checkpoint) as file:
                    torch.save(state, file)
    done: Any = average.model.eval()
    return done


def load_drawer() -> TextUNet:
    """Read the stored drawer.

    Returns:
        The network, in evaluation mode, on the CPU: ``drawer(x, t, words) -> v``.
    """
    return _filled(new_drawer(), "drawer")


def load_reader() -> SceneReader:
    """Read the stored reader of scenes, in evaluation mode, on the CPU."""
    return _filled(SceneReader(), "reader")


def about_stored() -> dict[str, Any]:
    """Return how the stored networks were made: command, seeds, steps, seconds, versions, hashes."""
    with np.load(_FILE) as stored:
        return json.loads(str(stored["about"]))


def _filled(network: Any, name: str) -> Any:
    with np.load(_FILE) as stored:
        found = {key.partition(".")[2]: stored[key] for key in stored.files if key.startswith(name + ".")}
    network.load_state_dict({key: torch.from_numpy(value.astype(np.float32)) for key, value in found.items()})
    return network.eval().requires_grad_(False)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file under a temporary name that takes the path's place when all is written: a kill leaves the older one."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _narrow(network: nn.Module, name: str) -> dict[str, np.ndarray]:
    return {f"{name}.{key}": value.half().numpy() for key, value in network.state_dict().items()}


def _hash(weights: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].tobytes())
    return digest.hexdigest()[:16]


def main() -> None:
    """Train both and write the file."""
    checkpoint = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    made: dict[str, np.ndarray] = {}
    about: dict[str, Any] = {"command": "python -m tutorial_lib.lab.drawer", "seed": 0, "steps of the schedule": STEPS}
    about |= {"torch": torch.__version__, "numpy": np.__version__}
    for name, train in (("drawer", lambda: train_drawer(checkpoint=checkpoint)), ("reader", train_reader)):
        weights = _narrow(train(), name)
        about[f"{name} hash"] = _hash(weights)
        made |= weights
    with _whole(_FILE) as file:
        stored: dict[str, Any] = {"about": np.array(json.dumps(about))} | made
        np.savez_compressed(file, **stored)
    print(json.dumps(about, indent=1), f"{_FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
