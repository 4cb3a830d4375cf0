"""Recipe ``dsb2018``: 300 microscope pictures of cell nuclei, each nucleus with a mask of its own.

Stage 1 training set of the 2018 Data Science Bowl (Broad Institute), with the masks as corrected by Konstantin Lopuhin
and others. CC0: free to copy.

Of the 664 pictures in that repository, 300: those of 256 x 256 and of 360 x 360 (both fluorescence) and those of
320 x 256 in colour (histology, pink and violet); of each kind the first 200, 40 and 60 in the order of the SHA-1 of the
name. The middle 256 x 256 is kept and halved. The listing of files leaves out masks that lie beyond the middle. All
come in one archive of 72 MB, of which 19 MB are kept; 8,785 single requests would do too.

What to know before you use it:

* Pictures of one experiment, even of one field, may be in train and test: no group is given, so a test score says
  little about a new laboratory.
* Many fluorescence pictures are dark: divide each by its maximum.
* Halved nuclei are small: half of them have 41 pixels or fewer. Of a nucleus cut by the edge of the middle, the
  part inside stays.

Arrays of ``dsb2018_nuclei_128.npz`` (N = 300, in the order of the SHA-1 of their names):

``image``           (N, 128, 128) uint8 grey (luma), each value the mean of 2 x 2.
``instances``       (N, 128, 128) uint8: 0 background, 1 ... n a nucleus each, numbered by the name of its mask. 8,461
                    in all. A nucleus with fewer than 12 pixels in the middle, before halving, is left out.
``n_instances``     (N,) uint16.
``kind``            (N,) str: ``"fluorescence_256"`` 200, ``"fluorescence_360"`` 40, ``"histology"`` 60.
``id``              (N,) str: the name of the picture.
``split``           (N,) str: ``"train"`` 223, ``"val"`` 29, ``"test"`` 48; not official: by the SHA-1 of ``dsb`` and
                    the name (:func:`data_scripts.splits.hashed_split`).

Of each 2 x 2 pixels, two or more on nuclei make the halved pixel a nucleus: the one with most of them, of equals the
first.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from .splits import hashed_split

#: Side of the middle that is kept, and how many pixels of a nucleus must lie in it.
MIDDLE, LEAST = 256, 12

#: Width and height of a picture, and whether it has colours -> its kind.
KINDS = {
    (256, 256, False): "fluorescence_256",
    (360, 360, False): "fluorescence_360",
    (320, 256, True): "histology",
}


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the raw pictures and masks into the arrays of the set.

    Args:
        raw: the folder that holds ``stage1_train/ID/images/ID.png`` and ``stage1_train/ID/masks/*.png``.
        files: the names of the files in it; no others are read.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a picture or a mask is not as described there.
    """
    raw, masks = Path(raw), defaultdict(list)
    for file in sorted(files):
        _, name, kind, _ = PurePosixPath(file).parts
        masks[name] += [file] if kind == "masks" else []
    names = sorted(masks, key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    rows = []
    for name in tqdm(names, desc="pictures", disable=None):
        picture, kind = read_picture(raw, name)
        nuclei = number([middle(read_mask(raw, file, picture.size)) for file in masks[name]], name)
        grey = Image.fromarray(middle(np.asarray(picture)))
        grey = grey.resize((MIDDLE // 2, MIDDLE // 2), Image.Resampling.BOX)
        rows.append((np.asarray(grey), nuclei, np.uint16(nuclei.max()), kind))
    image, instances, count, kinds = map(np.stack, zip(*rows))
    return {
        "image": image,
        "instances": instances,
        "n_instances": count,
        "kind": kinds,
        "id": np.array(names),
        "split": hashed_split("dsb", names),
    }


def read_picture(raw: Path, name: str) -> tuple[Image.Image, str]:
    """Read one picture in grey.

    Args:
        raw: the folder of raw files.
        name: the name of the picture.

    Returns:
        The picture (luma: 0.299 R + 0.587 G + 0.114 B), and its kind.

    Raises:
        ValueError: if it is of no kind of ``KINDS``.
    """
    with Image.open(Path(raw) / f"stage1_train/{name}/images/{name}.png") as file:
        picture = file.convert("RGB")
    pixels = np.asarray(picture)
    colour = bool((pixels != pixels[..., :1]).any())
    kind = KINDS.get((*picture.size, colour))
    if kind is None:
        look = "in colour" if colour else "in grey"
        raise ValueError(f"picture {name} is of no kind that is used: {picture.width} x {picture.height} {look}")
    return picture.convert("L"), kind


def read_mask(raw: Path, file: str, size: tuple[int, int]) -> np.ndarray:
    """Read the mask of one nucleus.

    Args:
        raw: the folder of raw files.
        file: its name in there.
        size: width and height of its picture.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: if it has another size, or values other than 0 and 255.
    """
    with Image.open(Path(raw) / file) as mask:
        pixels = np.asarray(mask.convert("L"))
    if pixels.shape[::-1] != size or not np.isin(pixels, (0, 255)).all():
        raise ValueError(f"{file} must be a mask of 0 and 255 of {size[0]} x {size[1]}, like its picture")
    return pixels > 0


def middle(pixels: np.ndarray) -> np.ndarray:
    """Cut the middle out, one row or column more being left at the end.

    >>> middle(np.zeros((360, 360))).shape
    (256, 256)
    """
    top, left = ((length - MIDDLE) // 2 for length in pixels.shape)
    return pixels[top : top + MIDDLE, left : left + MIDDLE]


def number(masks: list[np.ndarray], name: str = "") -> np.ndarray:
    """Turn masks into one halved picture of numbers.

    Args:
        masks: (256, 256) bool each.
        name: of the picture, for the error.

    Returns:
        (128, 128) uint8: 0 background, 1 ... n the masks that have at least ``LEAST`` pixels, in their order.

    Raises:
        ValueError: if there are more than 255.
    """
    side = MIDDLE // 2
    # How many of the 2 x 2 pixels are of each nucleus.
    share = [mask.reshape(side, 2, side, 2).sum((1, 3), dtype=np.uint8) for mask in masks if mask.sum() >= LEAST]
    if not share:
        return np.zeros((side, side), np.uint8)
    share = np.stack(share)
    owner = np.where(share.sum(0, dtype=np.uint16) >= 2, share.argmax(0) + 1, 0)
    # A nucleus that got no pixel leaves no gap in the numbers.
    present, numbers = np.unique(np.append(owner.ravel(), 0), return_inverse=True)
    if len(present) > 256:
        raise ValueError(f"picture {name} has {len(present) - 1} nuclei; 255 at most can be numbered")
    return numbers[:-1].reshape(side, side).astype(np.uint8)
