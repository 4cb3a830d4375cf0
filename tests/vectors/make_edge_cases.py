"""Make metrics_edge_cases.json: what medpy and surface-distance answer on the hard cases of chapter 04.

medpy is under the GPL and surface-distance is unmaintained, so neither is installed with the project. In an environment
of its own:

    pip install "medpy==0.5.2" "surface-distance==0.1" "numpy<3" scipy
    python tests/vectors/make_edge_cases.py

The masks are stored too (packed bits in hexadecimal): a test holds them against the chapter's. An answer is a number,
"nan", "inf", or the name of the exception that was raised. surface-distance 0.1 still says np.Inf and np.NaN, which
NumPy 2 dropped; "rows" has its answers with both names restored, "rows, NumPy 2" as a user of NumPy 2 gets them.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import surface_distance
from medpy.metric import binary


def edge_cases() -> dict:
    """Prediction, truth and spacing of each case."""
    square, point = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    square[10:30, 10:30] = True
    point[20, 20] = True
    island = square.copy()
    island[42:45, 45:48] = True
    nothing = np.zeros_like(square)
    return {
        "far island": (island, square, (1.0, 1.0)),
        "shift, 3 × 1 mm": (np.roll(square, 2, axis=0), square, (3.0, 1.0)),
        "one pixel": (np.roll(point, 3, axis=1), point, (1.0, 1.0)),
        "nothing found": (nothing, square, (1.0, 1.0)),
        "nothing there": (square, nothing, (1.0, 1.0)),
        "both empty": (nothing, nothing, (1.0, 1.0)),
    }


def found(pred, truth, spacing):
    return surface_distance.compute_surface_distances(truth, pred, spacing)


ROWS = {
    "Dice": {
        "medpy dc": lambda p, t, s: binary.dc(p, t),
        "surface-distance": lambda p, t, s: surface_distance.compute_dice_coefficient(t, p),
    },
    "IoU": {"medpy jc": lambda p, t, s: binary.jc(p, t)},
    "HD": {
        "medpy hd": lambda p, t, s: binary.hd(p, t, s),
        "surface-distance": lambda p, t, s: surface_distance.compute_robust_hausdorff(found(p, t, s), 100),
    },
    "HD95": {
        "medpy hd95": lambda p, t, s: binary.hd95(p, t, s),
        "surface-distance": lambda p, t, s: surface_distance.compute_robust_hausdorff(found(p, t, s), 95),
    },
    "ASSD": {"medpy assd": lambda p, t, s: binary.assd(p, t, s)},
    "ASD": {
        "medpy asd": lambda p, t, s: binary.asd(p, t, s),
        "surface-distance": lambda p, t, s: surface_distance.compute_average_surface_distance(found(p, t, s))[1],
    },
    "NSD at 1 mm": {
        "surface-distance": lambda p, t, s: surface_distance.compute_surface_dice_at_tolerance(found(p, t, s), 1.0)
    },
}


def answer(function, *case):
    try:
        value = float(function(*case))
    except Exception as error:  # what a user would see
        return type(error).__name__
    return value if np.isfinite(value) else str(value)


def rows(libraries=("medpy", "surface-distance")) -> list[dict]:
    return [
        {"metric": metric, "library": library, **{name: answer(f, *case) for name, case in edge_cases().items()}}
        for metric, functions in ROWS.items()
        for library, f in functions.items()
        if library.startswith(libraries)
    ]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    record = {
        "versions": {"medpy": "0.5.2", "surface-distance": "0.1", "numpy": np.__version__},
        "masks": {
            name: {"pred": np.packbits(p).tobytes().hex(), "truth": np.packbits(t).tobytes().hex(), "spacing": s}
            for name, (p, t, s) in edge_cases().items()
        },
        "rows, NumPy 2": rows(("surface-distance",)),
    }
    vars(np).update(Inf=np.inf, NaN=np.nan)
    record["rows"] = rows()
    path = Path(__file__).with_name("metrics_edge_cases.json")
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
