"""Recipe ``la2018``: the left atrium in 100 MR scans, made small enough to train on in 3-D without a GPU.

The training set of the 2018 Atrial Segmentation Challenge, as UA-MT prepared it and DTC shares it: late
gadolinium-enhanced MRI at 0.625 mm, already cut around the atrium in x and y (with the ground truth in hand) and scaled
to mean 0 and deviation 1. The originals are (H, W, 88) with H 148 to 244 and W 132 to 160. They stay in the folder
``raw`` beside the prepared file: :func:`read_volume` opens one for training at full size.

Each volume is cut or padded in its middle to 192 x 144 x 96 (the padding has the volume's least grey value), and blocks
of 3 x 3 x 3 voxels become one. At least 99.6 % of every label is inside.

Arrays of ``la2018_64x48x32.npz`` (N = 100 volumes: the 80 of ``train.list``, then the 20 of ``test.list``, in order):

``image``           (N, 64, 48, 32) uint8: ``lo + image / 255 * (hi - lo)`` is the mean grey value of a block. What is
                    above ``hi``, the brightest thousandth, is clipped.
``label``           (N, 64, 48, 32) uint8: 1 where at least half of the block is atrium, else 0.
``lo``, ``hi``      (N,) float32: the least grey value of a volume, and its 99.9 % point.
``id``              (N,) str: the name of the scan.
``is_test``         (N,) bool. DTC trains with the first 16, or 8, names as the labelled ones.
``original_shape``  (N, 3) int16.

A block is 1.875 mm wide. The depth of 88 is padded by 4 on each side, so the first and last slices are partly filler.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

#: Size of the middle that is kept, and the side of the blocks that become one voxel.
MIDDLE, BLOCK = (192, 144, 96), 3


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the raw volumes into the arrays of the set.

    Args:
        raw: the folder that holds ``train.list``, ``test.list`` and ``ID/mri_norm2.h5`` for each name in them.
        files: the names of the files in it.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a listed volume is missing or is not as described there.
    """
    raw, files = Path(raw), set(files)
    lists = {part: (raw / f"{part}.list").read_text().split() for part in ("train", "test")}
    names = [*lists["train"], *lists["test"]]
    rows = []
    for name in tqdm(names, desc="volumes", disable=None):
        if volume_name(name) not in files:
            raise ValueError(f"{volume_name(name)} is in a list, but not among the files")
        image, label = read_volume(raw, name)
        grey, lo, hi = quantise(blocks(middle(image, fill=image.min())).mean((1, 3, 5)))
        full = blocks(middle(label, fill=0)).sum((1, 3, 5), dtype=np.int64)
        rows.append((grey, (2 * full >= BLOCK**3).astype(np.uint8), lo, hi, np.array(image.shape, np.int16)))
    grey, label, lo, hi, shape = map(np.stack, zip(*rows))
    return {
        "image": grey,
        "label": label,
        "lo": lo,
        "hi": hi,
        "id": np.array(names),
        "is_test": np.repeat([False, True], [len(lists["train"]), len(lists["test"])]),
        "original_shape": shape,
    }


def volume_name(name: str) -> str:
    """Return the file of a scan, below the folder of raw files.

    >>> volume_name("06SR5RBREL16DQ6M8LWS")
    '06SR5RBREL16DQ6M8LWS/mri_norm2.h5'
    """
    return f"{name}/mri_norm2.h5"


def read_volume(raw: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one scan at full size with ``h5py``.

    Args:
        raw: the folder of raw files.
        name: the name of the scan, as in ``train.list``.

    Returns:
        ``image`` (H, W, 88) float32 and ``label`` (H, W, 88) uint8 of 0 and 1.

    Raises:
        ValueError: if the file does not hold such arrays.
    """
    import h5py  # only needed here

    with h5py.File(Path(raw) / volume_name(name)) as file:
        missing = {"image", "label"} - set(file)
        if missing:
            raise ValueError(f"{volume_name(name)} must hold image and label, lacks {', '.join(sorted(missing))}")
        image, label = file["image"][:], file["label"][:]
    if image.ndim != 3 or image.shape != label.shape or image.dtype != np.float32 or not np.isin(label, (0, 1)).all():
        raise ValueError(
            f"{volume_name(name)} must hold a float32 volume and labels 0 and 1 of its shape, "
            f"got {image.dtype} {image.shape} and {label.dtype} {label.shape}"
        )
    return image, label.astype(np.uint8)


def middle(volume: np.ndarray, *, fill: float, size: Sequence[int] = MIDDLE) -> np.ndarray:
    """Cut or pad every axis to ``size``, keeping the middle; an odd voxel more goes off, or comes on, at the end.

    Args:
        volume: any array.
        fill: what the padding holds.
        size: the new length of each axis.

    Returns:
        The array of shape ``size``, in the volume's dtype.

    >>> middle(np.arange(1, 6), fill=0, size=(2,)), middle(np.arange(1, 3), fill=0, size=(5,))
    (array([2, 3]), array([0, 1, 2, 0, 0]))
    """
    cut = tuple(
        slice((have - want) // 2, (have - want) // 2 + want) if have > want else slice(None)
        for have, want in zip(volume.shape, size)
    )
    volume = volume[cut]
    before = [(want - have) // 2 for have, want in zip(volume.shape, size)]
    after = [want - have - start for have, want, start in zip(volume.shape, size, before)]
    return np.pad(volume, list(zip(before, after)), constant_values=fill)


def blocks(volume: np.ndarray) -> np.ndarray:
    """View a (3a, 3b, 3c) volume as (a, 3, b, 3, c, 3): reduce over axes 1, 3, 5 for one value a block."""
    return volume.reshape([part for size in volume.shape for part in (size // BLOCK, BLOCK)])


def quantise(grey: np.ndarray) -> tuple[np.ndarray, np.float32, np.float32]:
    """Bring grey values to 0 ... 255 between their least and their 99.9 % point.

    Args:
        grey: floating-point values.

    Returns:
        The uint8 values, and the two ends as float32. Where the ends are equal, 0, and 255 above them.

    >>> quantise(np.array([0.0, 1.0, 2.0]))[0]
    array([  0, 128, 255], dtype=uint8)
    """
    lo, hi = grey.min(), np.percentile(grey, 99.9)
    share = np.clip((grey - lo) / max(hi - lo, np.finfo(np.float32).tiny), 0, 1)
    return np.rint(share * 255).astype(np.uint8), np.float32(lo), np.float32(hi)
