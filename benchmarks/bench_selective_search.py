"""Selective search of a photograph of 480x640, one run from equal first regions, against `selectivesearch` (PyPI)."""

import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from skimage import data, transform

from benchmarks.timing import medians, show
from tutorial_lib.proposals import selective_search

PACKAGE = "selectivesearch==0.4"


def main(peers: bool = False) -> None:
    peer = fetched() if peers else None
    if peer is None:
        print(f"    selectivesearch: python -m benchmarks selective_search --peers (fetches {PACKAGE})")
    for name in ("coffee", "astronaut"):
        picture = (transform.resize(getattr(data, name)(), (480, 640)) * 255).astype(np.uint8)
        image = torch.from_numpy(picture).permute(2, 0, 1)
        # The package's own settings, where the goal is set; and with the first of the paper's scales fewer, larger
        # regions: there the segmentation, scikit-image's in both, is most of the time.
        for scale, goal in ((1, "5 x selectivesearch"), (50, "none: half the time is scikit-image's, in both")):
            options = {"scale": scale, "sigma": 0.8, "min_size": 50}
            functions = {"ours": lambda: one_run(image, **options)}  # noqa: B023
            if peer is not None:
                functions["selectivesearch"] = lambda: peer(picture, **options)  # noqa: B023
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its texture takes floats, of which scikit-image warns
                seconds = medians(functions, repetitions=3)
            title = f"selective search, {name}, scale {scale} ({len(one_run(image, **options)):,} boxes)"
            show(title, seconds.pop("ours"), seconds, goal)
        seconds = medians({"ours": lambda: selective_search(image)}, repetitions=3)  # noqa: B023
        count = len(selective_search(image))
        show(f"selective search, {name}, the paper's 8 runs ({count:,} boxes)", seconds["ours"], {}, "none")


def one_run(image: torch.Tensor, *, scale: float, sigma: float, min_size: int) -> torch.Tensor:
    options = {"colour_spaces": ["hsv"], "similarities": ["CTSF"]}
    return selective_search(image, scales=[scale], sigma=sigma, min_size=min_size, **options)


def fetched():
    """Plain Python on NumPy and scikit-image, which are here: into a folder of its own, without what it asks for."""
    folder = Path(sys.prefix) / "peers-selectivesearch"
    if not folder.exists():
        call = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), PACKAGE]
        subprocess.run(call, check=True)
    sys.path.append(str(folder))
    return import_module("selectivesearch").selective_search


if __name__ == "__main__":
    main()
