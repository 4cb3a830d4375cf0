"""signed_distance on 4 volumes of 112x112x80 and on 16 images of 256x256, against DTC's published compute_sdf."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from benchmarks.timing import medians, show
from tutorial_lib.level_sets import signed_distance

PEERS = {"edt": "edt==3.1.2", "cv2": "opencv-python-headless==5.0.0.93"}


def main(peers: bool = False) -> None:
    _compare("volumes 4x112x112x80", _blobs((4, 112, 112, 80)), "2.5 x compute_sdf, better 4 x", peers)
    _compare("images 16x256x256", _blobs((16, 256, 256)), "2.3 x compute_sdf, better 5 x", peers)
    if not peers:
        fetched = " and ".join(PEERS.values())
        print(f"    edt, OpenCV: python -m benchmarks level_sets --peers (fetches {fetched})")


def _compare(title: str, masks: np.ndarray, goal: str, peers: bool) -> None:
    space = masks.ndim - 1
    functions = {
        "ours": lambda: signed_distance(masks, normalize="dtc", spatial_dims=space),
        "ours, plain": lambda: signed_distance(masks, spatial_dims=space),
        "ours, scale 20": lambda: signed_distance(masks, normalize=20, spatial_dims=space),
        "compute_sdf": lambda: compute_sdf(masks),
        "SciPy, two transforms": lambda: [_scipy(mask) for mask in masks],
    }
    if peers:
        edt = _peer("edt")
        functions["edt, 2 threads, float32"] = lambda: [_edt(edt, mask) for mask in masks]
        if space == 2:
            cv2 = _peer("cv2")
            functions["OpenCV precise, float32"] = lambda: [_opencv(cv2, mask) for mask in masks]
    assert np.array_equal(functions["ours"](), functions["compute_sdf"]())
    assert np.array_equal(functions["ours, plain"](), functions["SciPy, two transforms"]())
    times = medians(functions)
    show(f"{title}, 'dtc'", times["ours"], {"compute_sdf": times["compute_sdf"]}, goal)
    plain = {name: seconds for name, seconds in times.items() if "ours" not in name and name != "compute_sdf"}
    show(f"{title}, plain", times["ours, plain"], plain, "faster than SciPy")
    show(f"{title}, scale 20", times["ours, scale 20"], {"compute_sdf": times["compute_sdf"]}, goal)


def compute_sdf(masks: np.ndarray) -> np.ndarray:
    """DTC's transform, step by step as published: two float64 transforms and the boundary by scikit-image."""
    out = np.zeros(masks.shape)
    for i, mask in enumerate(masks.astype(bool)):
        if mask.any():
            inner, outer = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
            boundary = find_boundaries(mask, mode="inner").astype(np.uint8)
            sdf = (outer - np.min(outer)) / (np.max(outer) - np.min(outer))
            sdf = sdf - (inner - np.min(inner)) / (np.max(inner) - np.min(inner))
            sdf[boundary == 1] = 0
            out[i] = sdf
    return out


def _scipy(mask):
    return ndimage.distance_transform_edt(mask == 0) - ndimage.distance_transform_edt(mask)


def _edt(edt, mask):
    # One pass: it gives each voxel the distance to the nearest voxel of another label.
    distance = edt.edt(mask + 1, parallel=2)
    return np.negative(distance, where=mask == 1, out=distance)


def _opencv(cv2, mask):
    outer, inner = (cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (1 - mask, mask))
    return outer - inner


def _blobs(shape: tuple[int, ...]) -> np.ndarray:
    """One rough ellipsoid a sample, uint8."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(shape[0]):
        axes = [np.linspace(-1, 1, n) / rng.uniform(0.4, 0.6) - rng.uniform(-0.5, 0.5) for n in shape[1:]]
        noise = ndimage.gaussian_filter(rng.standard_normal(shape[1:]), 6)
        masks.append(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")) + 0.3 * noise / noise.std() < 1)
    return np.stack(masks).astype(np.uint8)


def _peer(name: str):
    """A peer's module from a folder of its own, so that the environment stays as it is."""
    folder = Path(sys.prefix) / "peers" / PEERS[name]
    if not any(folder.glob(f"{name}*")):
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), PEERS[name]]
        subprocess.run(install, check=True)
    sys.path.append(str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
