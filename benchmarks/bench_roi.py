"""RoI Align and RoI Pool of 512 boxes, 7x7, in features 2x256x50x68; NMS of 5,000 to 50,000 boxes; peak memory."""

import math
import os
import subprocess
import sys
import venv
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.timing import machine, medians, show
from tutorial_lib import roi

# Torchvision's operators need the CUDA build of torch to load, also on the CPU: an environment of its own (4.9 GB).
PACKAGES = ["torch===2.13.0", "torchvision==0.28.0", "numpy"]
IMAGE = (1088.0, 800.0)
OPTIONS = {"spatial_scale": 1 / 16, "sampling_ratio": 2}


def main(peers: bool = False) -> None:
    """Without peers ours alone; with them the same script in their environment, where both take turns."""
    if peers:
        folder = Path(__file__).resolve().parents[1]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        subprocess.run([peer_python(), "-m", "benchmarks.bench_roi"], check=True, cwd=folder, env=environment)
        return
    ops = torchvision_ops()
    if ops is None:
        print("    torchvision beside ours: python -m benchmarks roi --peers (fetches 4.9 GB)")
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        features, boxes = inputs(device)
        for name, ours, theirs, goals in pairs(ops):
            for both, goal in zip((False, True), goals):
                title = f"{name}, {'forward and backward' if both else 'forward'}, {device}"
                functions = {"ours": run(ours, features, boxes, both)}
                if theirs is not None:
                    functions["torchvision"] = run(theirs, features, boxes, both)
                compare(title, functions, goal)
        moving = boxes.clone().requires_grad_()
        functions = {
            "ours": run(lambda f, b: roi.roi_align(f, b, 7, **OPTIONS), features, moving, True),
            "without the gradient of the boxes": run(
                lambda f, b: roi.roi_align(f, b, 7, **OPTIONS), features, boxes, True
            ),
        }
        compare(
            f"RoI Align with the gradient of the boxes, {device}", functions, "none: torchvision has no such gradient"
        )
        suppression(ops, device)
    if not Path("/proc/self/clear_refs").exists():
        return
    for name in ("align", "pool"):
        for both in (False, True):
            ours = peak(name, "ours", both)
            line = f"peak memory, {name}, {'forward and backward' if both else 'forward'}: ours {ours:.0f} MB"
            if ops is not None:
                theirs = peak(name, "torchvision", both)
                line += f"    goal: at most 2 x torchvision ({theirs:.0f} MB): {ours / theirs:.2f} x"
            print(line)


def compare(title, functions, goal) -> None:
    times = medians(functions, repetitions=11)
    show(title, times.pop("ours"), times, goal)


def pairs(ops):
    """Name, ours, theirs, goals for forward and for both ways."""

    def align(options):
        return lambda f, b: roi.roi_align(f, b, 7, **options)

    def peer(options):
        if ops is None:
            return None
        return lambda f, b: ops.roi_align(f, b, 7, options["spatial_scale"], options["sampling_ratio"], True)

    adaptive = {**OPTIONS, "sampling_ratio": -1}
    goals = ("within 1.2 x torchvision", "no slower than torchvision")
    yield "RoI Align, ratio 2", align(OPTIONS), peer(OPTIONS), goals
    yield "RoI Align, adaptive ratio", align(adaptive), peer(adaptive), goals
    yield "RoI Align, max, ratio 2", align({**OPTIONS, "reduce": "max"}), None, ("none", "none")
    yield (
        "RoI Pool",
        lambda f, b: roi.roi_pool(f, b, 7, spatial_scale=1 / 16),
        None if ops is None else lambda f, b: ops.roi_pool(f, b, 7, 1 / 16),
        ("within 1.5 x torchvision",) * 2,
    )


def run(function, features, boxes, both: bool):
    """A call without gradients, or one forward and backward."""
    wanted = [features, boxes] if boxes.requires_grad else [features]
    weight = torch.randn(len(boxes), features.shape[1], 7, 7, device=features.device)

    def forward():
        with torch.no_grad():
            function(features, boxes)
        finish(features)

    def backward():
        torch.autograd.grad(function(features, boxes), wanted, weight)
        finish(features)

    return backward if both else forward


def suppression(ops, device: str) -> None:
    for count, threshold in ((5_000, 0.5), (5_000, 0.7), (10_000, 0.5), (20_000, 0.5), (50_000, 0.5)):
        boxes = some_boxes(count, smallest=16)
        scores = torch.rand(count, generator=torch.Generator().manual_seed(1)).to(device)
        boxes = boxes.to(device)
        kept = len(roi.nms(boxes, scores, threshold))
        functions = {"ours": lambda: roi.nms(boxes, scores, threshold).tolist()}  # noqa: B023
        if ops is not None:
            functions["torchvision"] = lambda: ops.nms(boxes, scores, threshold).tolist()  # noqa: B023
        times = medians(functions, repetitions=7 if count == 5_000 else 3)
        title = f"NMS of {count:,} boxes at {threshold} ({kept:,} stay), {device}"
        show(title, times.pop("ours"), times, "within 1.2 x torchvision")


def inputs(device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(2, 256, 50, 68, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    image = torch.arange(512).remainder(2)[:, None]
    return features, torch.cat((image, some_boxes(512, smallest=32)), 1).to(device)


def some_boxes(count: int, *, smallest: float) -> torch.Tensor:
    """Sides of equal chance on a logarithmic scale, up to sixteen times the smallest, inside a picture."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.tensor(IMAGE)
    size = smallest * torch.exp(torch.rand(count, 2, generator=generator) * math.log(16))
    corner = torch.rand(count, 2, generator=generator) * (picture - size)
    return torch.cat((corner, corner + size), 1)


def finish(tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def peak(name: str, whose: str, both: bool) -> float:
    """Megabytes by which one call, in a process of its own, raises the highest memory."""
    call = [sys.executable, "-m", "benchmarks.bench_roi", name, whose, "both" if both else "forward"]
    done = subprocess.run(call, check=True, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    return float(done.stdout)


def measure_peak(name: str, whose: str, both: bool) -> None:
    torch.set_num_threads(2)
    functions = {
        (kind, owner): function
        for kind, (_, ours, theirs, _) in zip(("align", "adaptive", "max", "pool"), pairs(torchvision_ops()))
        for owner, function in (("ours", ours), ("torchvision", theirs))
    }
    features, boxes = inputs()
    small = features[:, :4].detach().requires_grad_()
    run(functions[name, whose], small, boxes[:4], both)()  # what is loaded once is no memory of the call
    call = run(functions[name, whose], features, boxes, both)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
    call()
    print((status("VmHWM") - before) / 1024)


def status(field: str) -> int:
    """Of this process, in kB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def torchvision_ops():
    try:
        return import_module("torchvision.ops")  # in an environment of its own: it does not load beside a CPU torch
    except (ImportError, RuntimeError):
        return None


def peer_python() -> str:
    folder = Path(sys.prefix) / "peers-torchvision"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    if subprocess.run([python, "-c", "import torchvision"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure_peak(sys.argv[1], sys.argv[2], sys.argv[3] == "both")
    else:
        print(machine())
        main()
