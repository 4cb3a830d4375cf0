"""Surface distances of 112x112x80 masks, clean and salted; the 21-class confusion matrix of 8x512x512 labels."""

import importlib.util
import math
import subprocess
import sys
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import kornia
import monai.metrics
import numpy as np
import sklearn.metrics
import torch
from scipy.ndimage import gaussian_filter, zoom
from torchmetrics.functional.classification import multiclass_confusion_matrix

from benchmarks.timing import medians, show
from tutorial_lib._kernels import nearest
from tutorial_lib.metrics import confusion_matrix, surface_distances

MEDPY, SMP = "medpy==0.5.2", "segmentation-models-pytorch==0.5.0"
SHAPE = (112, 112, 80)


def main(peers: bool = False) -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    near, far = (blob(seed=0), blob(seed=0, shift=0.03)), (blob(seed=0), blob(seed=1, shift=0.05))
    salt = np.random.default_rng(0).random((2, *SHAPE)) < 0.1
    cases = {
        "masks that agree (Dice {:.2f})": near,
        "masks that do not (Dice {:.2f})": far,
        "10 % salt in the prediction (Dice {:.2f})": (far[0] | salt[0], far[1]),
        "10 % salt in both (Dice {:.2f})": (near[0] | salt[0], near[1] | salt[1]),
    }
    for name, (pred, truth) in cases.items():
        dice = 2 * np.count_nonzero(pred & truth) / (np.count_nonzero(pred) + np.count_nonzero(truth))
        surfaces(name.format(dice), pred, truth, peers)
    for kind in ("noise", "regions"):
        confusion(kind, peers)
    if not peers:
        print(f"    medpy, segmentation-models: python -m benchmarks metrics --peers (fetches {MEDPY}, {SMP})")


def surfaces(title: str, pred: np.ndarray, truth: np.ndarray, peers: bool) -> None:
    """One row of peers, then each of our three ways alone: what the choice between them is worth."""
    p, t = (torch.from_numpy(mask)[None, None] for mask in (pred, truth))
    options = {"include_background": True}

    def monai_both():
        monai.metrics.compute_hausdorff_distance(p, t, percentile=95, **options)
        monai.metrics.compute_average_surface_distance(p, t, **options)

    functions = {
        "ours": lambda: surface_distances(pred, truth),
        "MONAI HD95 + ASD": monai_both,
        "ours, k-d tree alone": partial(only, "tree", pred, truth),
        "ours, distance transform alone": partial(only, "transform", pred, truth),
    }
    if peers:
        binary = import_peer(MEDPY, "medpy.metric.binary")
        functions["medpy HD95 + ASD"] = lambda: (binary.hd95(pred, truth), binary.asd(pred, truth))
    times = medians(functions, repetitions=7)
    ours = times.pop("ours")
    show(f"surface distances, {title}", ours, times, "2 x MONAI, 4 x medpy")


def only(way: str, pred: np.ndarray, truth: np.ndarray) -> None:
    """`surface_distances` with the other two ways to the nearest voxel closed."""
    with patch.multiple(nearest, _shells=lambda spacing: [], _VOXELS_PER_QUERY={"tree": 0, "transform": math.inf}[way]):
        surface_distances(pred, truth)


def confusion(kind: str, peers: bool) -> None:
    """Labels drawn by chance, and labels in regions as a segmentation has them."""
    rng = np.random.default_rng(0)
    if kind == "noise":
        labels = rng.integers(0, 21, (2, 8, 512, 512), dtype=np.uint8)
    else:
        scores = gaussian_filter(rng.normal(size=(2, 8, 21, 64, 64)), (0, 0, 0, 4, 4))
        scores[1] = 0.9 * scores[0] + 0.4 * scores[1]
        labels = zoom(scores.argmax(2).astype(np.uint8), (1, 1, 8, 8), order=0)
    for dtype, goal in ((torch.uint8, "2 x the fastest peer"), (torch.int64, "no slower than the fastest peer")):
        pred, target = torch.from_numpy(labels).to(dtype)
        flat = [array.numpy().ravel() for array in (target, pred)]
        functions = {
            "ours": partial(confusion_matrix, pred, target, 21),
            "torchmetrics, unvalidated": partial(multiclass_confusion_matrix, pred, target, 21, validate_args=False),
            "torchmetrics": partial(multiclass_confusion_matrix, pred, target, 21),
            "kornia": partial(kornia.metrics.confusion_matrix, pred, target, 21),
            "scikit-learn": partial(sklearn.metrics.confusion_matrix, *flat, labels=range(21)),
            "MONAI, from one-hot": partial(monai_matrix, pred, target),
        }
        if peers:
            stats = import_peer(SMP, "segmentation_models_pytorch/metrics/functional.py")._get_stats_multiclass
            functions["segmentation-models"] = partial(stats, pred.long(), target.long(), 21, None)
        times = medians(functions, repetitions=9)
        ours = times.pop("ours")
        show(f"confusion matrix, {kind}, {str(dtype).removeprefix('torch.')}", ours, times, goal)


def monai_matrix(pred: torch.Tensor, target: torch.Tensor) -> None:
    """MONAI knows only one matrix a class, from one-hot input: making that is part of using it."""
    one_hot = [torch.nn.functional.one_hot(labels.long(), 21).movedim(-1, 1) for labels in (pred, target)]
    monai.metrics.get_confusion_matrix(*one_hot)


def blob(*, seed: int, shift: float = 0.0) -> np.ndarray:
    """A ball with a rough surface."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    grid[0] += shift
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 6)
    return np.sqrt((grid**2).sum(0)) + 0.12 * rough / rough.std() < 0.6


def import_peer(package: str, module: str):
    """A module, or one file, of a package that is installed by itself, without its needs and out of Python's path."""
    folder = Path(sys.prefix) / "peers" / package
    if not (folder / module.replace(".", "/").split("/")[0]).exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package]
        subprocess.run(install, check=True)
    if module.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(module).stem, folder / module)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded
    sys.path.insert(0, str(folder))
    try:
        return import_module(module)
    finally:
        sys.path.remove(str(folder))
