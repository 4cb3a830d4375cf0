"""What a GPU brings: the heavy functions and every chapter, on the CPU and on the GPU, and whether AMP pays.

Functions are timed with CUDA's own events, after warming up. A chapter's time is the runner's, one chapter at a time.
The runs stay in ``runs/gpu``: what is finished there is not run again.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from tutorial_lib import adversarial, level_sets, losses, networks, roi
from tutorial_lib.course.front.readme import differing
from tutorial_lib.mixup import mixup

ROOT = Path(__file__).resolve().parents[1]
PAYS = 1.1  # AMP pays where it is at least so many times as fast as float32,
CLOSE = 0.05  # and no number is further from float32's than this share of its tensor's largest


class Measured(NamedTuple):
    """One function: milliseconds, and the largest difference as a share of the largest number."""

    name: str
    cpu: float
    gpu: float
    away: float  # the GPU's float32 from the CPU's
    amp: dict[str, tuple[float, float]]  # by type: milliseconds, and how far from the GPU's float32


def main() -> None:
    if not torch.cuda.is_available():
        print("no GPU here: torch sees no CUDA device, and nothing was measured")
        return
    device = torch.device("cuda")
    name, threads = torch.cuda.get_device_name(device), torch.get_num_threads()
    print(f"{name}, CUDA {torch.version.cuda}; the CPU with {threads} threads")
    print(table([measure(name, make, device) for name, make in HEAVY.items()]))
    print()
    print(verdicts(run_course("cpu"), run_course("cuda")))


# --- functions --------------------------------------------------------------------------------------------------------
# Each maker takes the size of the whole (1, or a small share in the tests) and a function that brings a tensor, or a
# module, to the device; it returns what is timed. Leaves ask for a gradient: forward and backward are timed together.


def _uniform(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _backward(value: torch.Tensor, *leaves: torch.Tensor):
    return value.detach(), torch.autograd.grad(value, leaves)


def _mixup(size, to):
    x, y = to(_uniform(128, 3, size(224), size(224))), to(_uniform(128, 10))
    out = torch.empty_like(x)
    return lambda: mixup(x, y, alpha=1.0, out=out, generator=torch.Generator().manual_seed(0)).inputs


def _boxes(count: int, width: int) -> torch.Tensor:
    corner = width * 0.8 * _uniform(count, 2)
    return torch.cat([corner, corner + 1 + 0.2 * width * _uniform(count, 2)], 1)


def _pooled(pool):
    def make(size, to):
        features = to(_uniform(2, 256, size(100), size(136))).requires_grad_()
        boxes = _boxes(size(1000), 16 * size(100))
        boxes = to(torch.cat([torch.arange(len(boxes)).remainder(2)[:, None].float(), boxes], 1))
        return lambda: _backward(pool(features, boxes, 7, spatial_scale=1 / 16).float().square().mean(), features)

    return make


def _nms(size, to):
    boxes, scores = to(_boxes(size(10_000), 1000)), to(_uniform(size(10_000)))
    return lambda: roi.nms(boxes, scores, 0.5)


def _ms_ssim(size, to):
    images = _uniform(size(8), 3, 256, 256)
    target, image = to(images**2), to(images).requires_grad_()
    return lambda: _backward(losses.ms_ssim_loss(image, target), image)


def _classes(loss, **options):
    def make(size, to):
        logits = to(4 * _uniform(32, 21, size(128), size(128)) - 2).requires_grad_()
        target = to((21 * _uniform(32, size(128), size(128))).long())
        return lambda: _backward(loss(logits, target, **options), logits)

    return make


def _dice(size, to):
    probability = to(_uniform(4, 2, size(96), size(96), size(96))).requires_grad_()
    target = to(_uniform(4, 2, size(96), size(96), size(96)).flip(0) < 0.3)
    return lambda: _backward(losses.dice_loss(probability, target), probability)


def _signed_distance(size, to):
    grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, size(n)) for n in (112, 112, 80)), indexing="ij"))
    mask = to((grid.norm(dim=0) < 0.6).expand(4, -1, -1, -1).contiguous())
    return lambda: level_sets.signed_distance(mask, normalize="dtc", spatial_dims=3)


def _network(make_network, *shape):
    def make(size, to):
        torch.manual_seed(0)
        network, x = to(make_network()), to(_uniform(*shape[:2], *(16 * max(1, size(n) // 16) for n in shape[2:])))
        weights = list(network.parameters())

        def step():
            logits, sdf = network(x)
            return _backward(logits.float().square().mean() + sdf.float().square().mean(), *weights)

        return step

    return make


def _pgd(size, to):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(256, 8, 1024, dropout=0.0, batch_first=True)
    head = nn.Flatten(), nn.Linear(256 * size(128), 5)
    model = to(nn.Sequential(nn.Embedding(1000, 256), nn.TransformerEncoder(layer, 2), *head))
    tokens, target = to((1000 * _uniform(size(64), size(128))).long()), to((5 * _uniform(size(64))).long())
    attack = adversarial.PGD(model, "0", epsilon=1.0, steps=3)

    def step():
        model.zero_grad()
        given = attack.backward(lambda: F.cross_entropy(model(tokens).float(), target))
        return given.loss, [p.grad for p in model.parameters()]

    return step


HEAVY: dict[str, Callable] = {
    "mixup, 128 x 3 x 224 x 224": _mixup,
    "RoI Align, 1,000 boxes, 256 channels": _pooled(roi.roi_align),
    "RoI Pool, 1,000 boxes, 256 channels": _pooled(roi.roi_pool),
    "NMS, 10,000 boxes (on the CPU)": _nms,
    "MS-SSIM loss, 8 x 3 x 256 x 256": _ms_ssim,
    "focal loss, 32 x 21 x 128 x 128": _classes(losses.focal_loss),
    "LDAM loss, 32 x 21 x 128 x 128": _classes(losses.ldam_loss, class_counts=list(range(1, 22))),
    "Dice loss, 4 x 2 x 96 x 96 x 96": _dice,
    "signed distance, 4 x 112 x 112 x 80 (on the CPU)": _signed_distance,
    "V-Net, 2 x 1 x 112 x 112 x 80": _network(lambda: networks.DualVNet(dropout=0.0), 2, 1, 112, 112, 80),
    "U-Net, 16 x 1 x 256 x 256": _network(networks.DualUNet, 16, 1, 256, 256),
    "PGD (K = 3), a transformer, 64 texts of 128 words": _pgd,
}


def measure(name: str, make: Callable, device: torch.device, *, share: float = 1.0, repetitions: int = 20) -> Measured:
    """Time one function on both devices, and on ``device`` also under autocast."""

    def size(whole: int) -> int:
        return max(1, round(whole * share))

    on_cpu, on_gpu = make(size, lambda value: value.to("cpu")), make(size, lambda value: value.to(device))
    cpu, expected = milliseconds(on_cpu, torch.device("cpu"), max(1, repetitions // 5))
    gpu, got = milliseconds(on_gpu, device, repetitions)
    amp = {}
    for dtype in (torch.float16, torch.bfloat16):

        def mixed(dtype=dtype):
            with torch.autocast(device.type, dtype):
                return on_gpu()

        narrow, near = milliseconds(mixed, device, repetitions)
        amp[str(dtype).removeprefix("torch.")] = narrow, apart(near, got)
    return Measured(name, cpu, gpu, apart(got, expected), amp)


def milliseconds(function: Callable, device: torch.device, repetitions: int) -> tuple[float, object]:
    """Median milliseconds of a call, and what it returned: by events on a GPU, which works behind Python's back."""
    for _ in range(min(3, repetitions)):
        given = function()
    times = []
    for _ in range(repetitions):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            given = function()
            end.record()
            torch.cuda.synchronize(device)
            times.append(start.elapsed_time(end))
        else:
            before = time.perf_counter()
            given = function()
            times.append(1000 * (time.perf_counter() - before))
    return statistics.median(times), given


def apart(given, expected) -> float:
    """The largest difference between two results, as a share of the largest number in each tensor."""
    worst = 0.0
    for ours, theirs in zip(pytree.tree_leaves(given), pytree.tree_leaves(expected), strict=True):
        ours, theirs = ours.detach().cpu().double(), theirs.detach().cpu().double()
        if ours.shape != theirs.shape:
            return float("inf")  # NMS, say, that kept another number of boxes
        if theirs.numel():
            largest = float(theirs.abs().max())
            difference = float((ours - theirs).abs().max())
            worst = max(worst, difference / largest if largest else difference)
    return worst


def table(rows: list[Measured]) -> str:
    """The rows as a Markdown table, and a sentence on where AMP pays."""
    kinds = list(rows[0].amp)
    heads = ["function (forward and backward)", "CPU, ms", "GPU, ms", "times as fast", "away from the CPU"]
    heads += [head for kind in kinds for head in (f"{kind}, ms", "away from float32")]
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)]]
    for row in rows:
        line = [row.name, f"{row.cpu:.3g}", f"{row.gpu:.3g}", f"{row.cpu / row.gpu:.1f}", f"{row.away:.1g}"]
        lines.append(line + [cell for ms, away in row.amp.values() for cell in (f"{ms:.3g}", f"{away:.1g}")])
    pays = [
        f"{row.name} ({kind}: {row.gpu / ms:.1f} x)"
        for row in rows
        for kind, (ms, away) in row.amp.items()
        # Where nothing changed there was nothing to cast: another time is the clock's noise.
        if row.gpu / ms >= PAYS and 0 < away <= CLOSE
    ]
    said = f"AMP pays (at least {PAYS} x, within {CLOSE:.0%}): {'; '.join(pays) or 'nowhere'}."
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", said])


# --- chapters ---------------------------------------------------------------------------------------------------------


def run_course(device: str) -> dict:
    """Run every chapter on a device, and return the run's summary."""
    out = ROOT / "runs" / "gpu" / device
    command = ["run", "--jobs", "1", "-p", "DEVICE", device, "--out", str(out)]
    # A chapter that fails is a row of the table, not the end.
    subprocess.run([sys.executable, "-m", "tutorial_lib.course.cli", *command], cwd=ROOT, check=False)
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def verdicts(cpu: dict, gpu: dict) -> str:
    """Seconds of each chapter on both, and every claim whose verdict is not the same."""
    there = {chapter["name"]: chapter for chapter in gpu["chapters"]}
    changed = differing(cpu, gpu)
    lines = ["| chapter | CPU, s | GPU, s | verdicts |", "| --- | --: | --: | --- |"]
    for chapter in cpu["chapters"]:
        name, other = chapter["name"], there.get(chapter["name"], {"status": "missing", "seconds": float("nan")})
        if (chapter["status"], other["status"]) != ("ok", "ok"):
            said = f"CPU {chapter['status']}, GPU {other['status']}"
        else:
            number = sum(row[0] == name for row in changed)
            said = "the same" if not number else f"{number} of {len(chapter['claims'])} differ"
        lines.append(f"| {name} | {chapter['seconds']:.0f} | {other['seconds']:.0f} | {said} |")
    lines += ["", *(f"{name}: {what!r}: {before} on the CPU, {after} there" for name, what, before, after in changed)]
    where = ", ".join(gpu["device"]["gpus"]) or "no GPU"
    return "\n".join([*lines, f"(the GPU's run: {where}; torch {gpu['versions']['torch']})"])
