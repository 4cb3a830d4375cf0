"""Make metrics_medpy.json and metrics_surface_distance.json: other libraries' numbers on small masks.

medpy is under the GPL and surface-distance is unmaintained, so neither is installed with the project. In an environment
of its own:

    pip install "medpy==0.5.2" "surface-distance==0.1" "numpy<3" scipy
    python tests/vectors/make_metrics_vectors.py

The masks themselves are stored (packed bits in hexadecimal), so the tests need neither the libraries nor this script.
"""

import json
from pathlib import Path

import numpy as np
import surface_distance
from medpy.metric import binary
from scipy.ndimage import gaussian_filter

HERE = Path(__file__).parent


def island() -> tuple[np.ndarray, np.ndarray]:
    """A 20x20 square; the prediction has a far 3x3 island besides."""
    truth = np.zeros((64, 64), bool)
    truth[10:30, 10:30] = True
    pred = truth.copy()
    pred[42:45, 45:48] = True
    return pred, truth


def pairs():
    yield "island", *island(), None
    rng = np.random.default_rng(0)
    shapes = [(9, 11), (16, 5), (6, 7, 5), (4, 9, 8), (1, 12), (5, 1, 6)]
    for i, shape in enumerate(shapes * 4):
        if i % 2:  # smooth shapes that run into the image's edge
            pred, truth = (gaussian_filter(rng.normal(size=shape), 1.5) > 0 for _ in range(2))
        else:
            pred, truth = (rng.random(shape) < share for share in rng.choice([0.1, 0.5, 0.95], 2))
        if pred.any() and truth.any():
            spacing = [None, [3.0, 1.0, 0.7][: len(shape)], rng.uniform(0.3, 4, len(shape)).round(3).tolist()][i % 3]
            yield f"random {i}", pred, truth, spacing


def pack(mask: np.ndarray) -> str:
    return np.packbits(mask).tobytes().hex()


def medpy_cases() -> list[dict]:
    cases = []
    for name, pred, truth, spacing in pairs():
        numbers = {
            "hd": binary.hd(pred, truth, spacing),
            "hd95": binary.hd95(pred, truth, spacing),
            "asd": binary.asd(pred, truth, spacing),
            "asd_reverse": binary.asd(truth, pred, spacing),
            "assd": binary.assd(pred, truth, spacing),
        }
        numbers = {key: float(value) for key, value in numbers.items()}
        masks = {"pred": pack(pred), "truth": pack(truth)}
        cases.append({"name": name, "shape": pred.shape, "spacing": spacing, **masks, **numbers})
    return cases


def surface_distance_cases() -> list[dict]:
    """The island, and a square shifted by 2 pixels along the axis whose pixels are 3 long."""
    square = np.zeros((40, 40), bool)
    square[10:30, 10:30] = True
    cases = []
    shift = ("shift", np.roll(square, 2, axis=0), square, [3.0, 1.0])
    for name, pred, truth, spacing in [("island", *island(), [1.0, 1.0]), shift]:
        found = surface_distance.compute_surface_distances(truth, pred, spacing)
        cases.append(
            {
                "name": name,
                "hd": float(surface_distance.compute_robust_hausdorff(found, 100)),
                "hd95": float(surface_distance.compute_robust_hausdorff(found, 95)),
                "nsd at 1": float(surface_distance.compute_surface_dice_at_tolerance(found, 1.0)),
            }
        )
    return cases


if __name__ == "__main__":
    for file, cases in (("medpy", medpy_cases()), ("surface_distance", surface_distance_cases())):
        lines = ",\n".join(json.dumps(case) for case in cases)
        (HERE / f"metrics_{file}.json").write_text(f"[\n{lines}\n]\n")
