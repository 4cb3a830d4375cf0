"""mixup on 128 images of 3x224x224 with 1,000 classes, from class numbers, against kornia, timm and plain forms."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import kornia
import torch
import torch.nn.functional as F

from benchmarks.timing import medians, show
from tutorial_lib.mixup import mixup

TIMM = "timm==1.0.31"


def main(peers: bool = False) -> None:
    torch.manual_seed(0)
    x, classes = torch.rand(128, 3, 224, 224), torch.randint(1000, (128,))
    scratch = x.clone()  # for the peer that writes into its argument
    buffer, rows_buffer = torch.empty_like(x), torch.empty_like(x)
    random_mixup = kornia.augmentation.RandomMixUpV2(p=1.0, data_keys=["input", "class"])

    def one_hot():
        return F.one_hot(classes, 1000).float()

    def plain(images):
        lam, index, y = torch.rand(()).item(), torch.randperm(128), one_hot()
        return images(lam, index), lam * y + (1 - lam) * y[index]

    def rows(lam, index, out):
        for row, own, partner in zip(out, x, index.tolist()):
            torch.lerp(x[partner], own, lam, out=row)
        return out

    functions = {
        "ours": lambda: mixup(x, one_hot(), alpha=1.0),
        "ours, out=": lambda: mixup(x, one_hot(), alpha=1.0, out=buffer),
        "kornia RandomMixUpV2": lambda: random_mixup(x, classes),
        "plain lam * x + (1 - lam) * x[index]": lambda: plain(lambda lam, index: lam * x + (1 - lam) * x[index]),
        "plain torch.lerp(x[index], x, lam)": lambda: plain(lambda lam, index: torch.lerp(x[index], x, lam)),
        "plain x[index].lerp_(x, lam)": lambda: plain(lambda lam, index: x[index].lerp_(x, lam)),
        "plain row by row": lambda: plain(lambda lam, index: rows(lam, index, torch.empty_like(x))),
        "plain row by row, reused": lambda: plain(lambda lam, index: rows(lam, index, rows_buffer)),
    }
    if peers:
        timm_mixup = _timm().Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=1000)
        functions["timm Mixup, in place"] = lambda: timm_mixup(scratch, classes)
    times = medians(functions)
    reused = [name for name in ("plain row by row, reused", "timm Mixup, in place") if name in times]
    fresh = [name for name in times if not name.startswith("ours") and name not in reused]
    show(
        "mixup, new memory",
        times["ours"],
        {name: times[name] for name in fresh},
        "3 x kornia, and no slower than any plain form",
    )
    show(
        "mixup, out= reused",
        times["ours, out="],
        {name: times[name] for name in reused},
        "within 1.3 x of row by row, and no slower than timm",
    )
    if not peers:
        print(f"    timm: python -m benchmarks mixup --peers (fetches {TIMM} into this environment's own folder)")


def _timm():
    """timm's module timm/data/mixup.py.

    timm needs torchvision, which does not import beside CPU torch. This one file needs only torch and NumPy. It is
    installed by itself, out of Python's path, and loaded from its place as it is.
    """
    folder = Path(sys.prefix) / "peers" / TIMM
    source = folder / "timm" / "data" / "mixup.py"
    if not source.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), TIMM]
        subprocess.run(install, check=True)
    spec = importlib.util.spec_from_file_location("timm_data_mixup", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
