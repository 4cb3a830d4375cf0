"""Strong augmentation of 64 images of 1x96x96, each with operations of its own, beside kornia and torchvision.

The task is FixMatch's: mirror, shift, two operations of a pool with probability one half each, cutout. kornia's and
torchvision's classes draw the operations of RandAugment once for a whole batch, so for each image of its own they are
called image by image; kornia's own list of operations is run on the batch too (every operation on every image that drew
it), and so are the single operations, which all three have for batches.
"""

import contextlib
import functools
import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import kornia
import torch
from kornia.augmentation.auto.rand_augment import rand_augment

from benchmarks.timing import medians, show
from tutorial_lib.augment import image_operation, strong_augment, weak_augment

TORCHVISION = "torchvision==0.28.0"


def main(peers: bool = False) -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 1, 96, 96)
    augmentation = kornia.augmentation
    mine = augmentation.AugmentationSequential(
        augmentation.RandomHorizontalFlip(),
        augmentation.RandomCrop((96, 96), padding=12, padding_mode="reflect"),
        augmentation.ImageSequential(*_pool(augmentation), random_apply=2, same_on_batch=False),
        augmentation.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0)),
        data_keys=["input"],
    )
    grey = [one for one in rand_augment.default_policy if one[0][0] != "color"]  # it asks for three channels
    policy = augmentation.auto.RandAugment(n=2, m=9, policy=grey)
    weak = augmentation.AugmentationSequential(
        augmentation.RandomHorizontalFlip(),
        augmentation.RandomCrop((96, 96), padding=12, padding_mode="reflect"),
        data_keys=["input"],
    )
    strong = {
        "ours": functools.partial(strong_augment, images),
        "kornia, its operations on the batch, the same two for all": lambda: mine(images),
        "kornia RandAugment, image by image": lambda: torch.cat([policy(image[None]) for image in images]),
    }
    light = {"ours": functools.partial(weak_augment, images), "kornia, flip and crop": lambda: weak(images)}
    single = {
        "rotate": {
            "ours": lambda: image_operation(images, "rotate", torch.linspace(-27, 27, 64)),
            "kornia": lambda: kornia.geometry.rotate(images, torch.linspace(-27, 27, 64)),
        },
        "equalize": {
            "ours": lambda: image_operation(images, "equalize"),
            "kornia": lambda: kornia.enhance.equalize(images),
        },
        "sharpness": {
            "ours": lambda: image_operation(images, "sharpness", 0.5),
            "kornia": lambda: kornia.enhance.sharpness(images, 0.5),
        },
    }
    if peers:
        v2 = _torchvision().transforms.v2
        one = v2.Compose(
            [v2.RandomHorizontalFlip(), v2.RandomCrop(96, padding=12, padding_mode="reflect"), v2.RandAugment(2, 9)]
        )
        strong["torchvision flip, crop, RandAugment, image by image"] = lambda: torch.stack([one(i) for i in images])
        two = v2.Compose(one.transforms[:2])
        light["torchvision flip and crop, image by image"] = lambda: torch.stack([two(i) for i in images])
        single["rotate"]["torchvision, one angle for all"] = lambda: v2.functional.rotate(images, 20.0)
        single["equalize"]["torchvision"] = lambda: v2.functional.equalize(images)
        single["sharpness"]["torchvision"] = lambda: v2.functional.adjust_sharpness(images, 0.5)
    for title, functions, goal in (
        ("strong", strong, "3 x each"),
        ("weak", light, "3 x each"),
        *((name, functions, "none") for name, functions in single.items()),
    ):
        times = medians(functions, repetitions=7)
        show(title, times.pop("ours"), times, goal)
    if not peers:
        print(f"    torchvision: python -m benchmarks image_augment --peers (fetches {TORCHVISION} into a folder)")


def _pool(a):
    """Operations of FixMatch's pool as kornia has them, each with probability one half."""
    return (
        a.RandomBrightness((0.28, 1.72), p=0.5),
        a.RandomContrast((0.28, 1.72), p=0.5),
        a.RandomSharpness(0.9, p=0.5),
        a.RandomEqualize(p=0.5),
        a.RandomPosterize((1, 4), p=0.5),
        a.RandomSolarize(p=0.5),
        a.RandomRotation(27.0, p=0.5),
        a.RandomShear((-15.0, 15.0), p=0.5),
        a.RandomAffine(0.0, translate=(0.28, 0.28), p=0.5),
    )


def _torchvision() -> types.ModuleType:
    """torchvision's transforms, which need none of its compiled operators.

    The package that pip has is built for CUDA, and its operators do not load beside CPU torch; the transforms are
    Python, once the operators' names are known to torch.
    """
    if importlib.util.find_spec("torchvision") is None:
        folder = Path(sys.prefix) / "peers" / TORCHVISION
        if not folder.exists():
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
            subprocess.run([*install, TORCHVISION], check=True)
        sys.path.append(str(folder))
    spec = importlib.util.find_spec("torchvision")
    source = (Path(str(spec.origin)).parent / "_meta_registrations.py").read_text(encoding="utf-8")
    for name in set(re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"', source)):
        with contextlib.suppress(RuntimeError):  # the compiled ones are there
            torch.library.define(f"torchvision::{name}", "() -> Tensor")
    importlib.import_module("torchvision.transforms.v2")
    return importlib.import_module("torchvision")
