"""Recipe ``chest_masks``: 100 chest X-rays with masks of lungs, heart, airways, opacities and tubes, which overlap.

Pictures of the ieee8023 COVID-19 collection, with the masks that radiologists drew for GeneralBlockchain. The masks,
and the repository, are CC BY 4.0. **The pictures have licences of their own**, in ``licence``: 41 CC BY-NC-SA,
2 CC BY, 1 CC BY-SA, and 56 for which none is stated. Use them; publish none of them.

What to know before you use it:

* Nearly all patients are ill (COVID-19, other pneumonias): there is nobody healthy to compare with.
* The opacities' masks are coarse.
* The left lung is the patient's, so it lies at the right.
* One picture lacks the left lung's mask, one the airways'. The table names 14 masks of tubes and probes that the
  repository lacks: ``has_mask`` says whether a mask is there, and 0 without one means "not known", not "none".
* No diagnosis may rest on any of this.

Arrays of ``covid_cxr_seg_128.npz`` (N = 100, in the order of their file names):

``image``           (N, 128, 128) uint8 grey (luma): the whole picture made a square, each value the mean of its part.
``mask``            (N, 7, 128, 128) uint8 of 0 and 1, in the order of ``mask_names``: 1 where at least half of the part
                    is inside. They overlap: the heart lies over the lungs, opacities lie in them.
``mask_names``      (7,) str: left_lung, right_lung, heart_mediastinum, airways, ground_glass_opacity, consolidation,
                    tube_line_or_probe.
``has_mask``        (N, 7) bool: 99, 99, 100, 99, 93, 32, 29.
``finding``, ``view``   (N,) str: as the collection says.
``patient``         (N,) str: ``"ieee8023:"`` and the patient's number there.
``split``           (N,) str: ``"train"`` 68, ``"val"`` 14, ``"test"`` 18; not official: by the SHA-1 of the patient, as
                    in ``chest_xray``, so that no patient is on two sides of the two sets together.
``filename``        (N,) str.
``licence``         (N,) str: of the picture.
``original_size``   (N, 2) int16: height and width.

JPEG does not fix every last bit: another decoder may differ by one grey value here and there.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .splits import hashed_split
from .tables import read_table

SIDE = 128

MASK_NAMES = (
    "left_lung",
    "right_lung",
    "heart_mediastinum",
    "airways",
    "ground_glass_opacity",
    "consolidation",
    "tube_line_or_probe",
)

#: What the table calls a structure -> its place in ``MASK_NAMES``. Two more, in three pictures, are not used.
STRUCTURES = {
    "COVID-19 Left Lung": 0,
    "COVID-19 Right Lung": 1,
    "COVID-19 Cardiomediastinum": 2,
    "COVID-19 Airways": 3,
    "COVID-19 Ground Glass Opacities": 4,
    "COVID-19 Consolidation": 5,
    "COVID-19 Monitoring Probes": 6,
    "COVID-19 Tubings": 6,
    "COVID-19 Endotracheal Tube": 6,
    "COVID-19 Central Venous Line": 6,
    "COVID-19 Nosogastric Tube": 6,
}
NOT_USED = {"COVID-19 Pleural Effusion", "COVID-19 Pneumothorax"}


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the raw pictures, masks and tables into the arrays of the set.

    Args:
        raw: the folder that holds ``images/``, ``masks/``, ``metadata.csv`` and ``structure.csv``.
        files: the names of the files in it; no others are read.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a picture, a mask or a table is not as described there.
    """
    raw, files = Path(raw), set(files)
    names = sorted(name.removeprefix("images/") for name in files if name.startswith("images/"))
    columns = ("patientid", "finding", "view", "license")
    about = {name: rest for name, *rest in read_table(raw / "metadata.csv", ("filename", *columns))}
    unknown = [name for name in names if name not in about]
    if unknown:
        raise ValueError(f"metadata.csv has no row for {', '.join(unknown[:5])}")
    pieces = read_pieces(raw, files)
    image, mask, has_mask, size = [], [], [], []
    for name in tqdm(names, desc="pictures", disable=None):
        image.append(small(raw / f"images/{name}", SIDE))
        with Image.open(raw / f"images/{name}") as picture:
            width, height = picture.size
        full, there = draw(raw, pieces.get(name, []), height, width)
        mask.append([halved(one) for one in full])
        has_mask.append(there)
        size.append((height, width))
    patient, finding, view, licence = map(np.array, zip(*(about[name] for name in names)))
    patient = np.array([f"ieee8023:{number}" for number in patient])
    return {
        "image": np.stack(image),
        "mask": np.array(mask, np.uint8),
        "mask_names": np.array(MASK_NAMES),
        "has_mask": np.stack(has_mask),
        "finding": finding,
        "view": view,
        "patient": patient,
        "split": hashed_split("", patient),
        "filename": np.array(names),
        "licence": np.where(licence == "", "not stated", licence),
        "original_size": np.array(size, np.int16),
    }


def small(path: Path, side: int) -> np.ndarray:
    """Read a picture in grey (luma) and make it a square, each value the mean of its part: (side, side) uint8.

    Where a picture is transparent it is black (one has such a frame).
    """
    try:
        with Image.open(path) as picture:
            if picture.mode == "RGBA":
                whole = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
            else:
                whole = picture.copy()
    except OSError as error:
        raise ValueError(f"{path.name} is no picture: {error}") from error
    return np.asarray(whole.convert("L").resize((side, side), Image.Resampling.BOX))


def read_pieces(raw: Path, files: set[str]) -> dict[str, list[tuple[int, str, int, int]]]:
    """Read which masks each picture has.

    Args:
        raw: the folder of raw files.
        files: the names of the files in it.

    Returns:
        File name of the picture -> (place in ``MASK_NAMES``, file of the mask, its top, its left) each. A mask that the
        table names without a file is left out.

    Raises:
        ValueError: if a structure is unknown, or a mask is not among the files.
    """
    pieces: dict[str, list[tuple[int, str, int, int]]] = {}
    for name, kind, mask, top, left in read_table(raw / "structure.csv", ("Filename", "Class", "Mask", "Top", "Left")):
        if kind not in STRUCTURES and kind not in NOT_USED:
            raise ValueError(f"structure.csv has an unknown structure, {kind!r}")
        if kind in NOT_USED or not mask:
            continue
        if mask not in files:
            raise ValueError(f"structure.csv names {mask}, which is not among the files")
        pieces.setdefault(name, []).append((STRUCTURES[kind], mask, int(top), int(left)))
    return pieces


def draw(raw: Path, pieces: list[tuple[int, str, int, int]], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay the masks of a picture out at full size; each is a cut-out with a black ground.

    Args:
        raw: the folder of raw files.
        pieces: as :func:`read_pieces` gives them.
        height, width: of the picture.

    Returns:
        (7, height, width) bool, the union of a structure's masks; and (7,) bool, whether it has any.

    Raises:
        ValueError: if a mask does not lie inside the picture.
    """
    full, there = np.zeros((len(MASK_NAMES), height, width), bool), np.zeros(len(MASK_NAMES), bool)
    for place, file, top, left in pieces:
        with Image.open(raw / file) as mask:
            inside = np.asarray(mask.convert("RGB")).any(2)
        bottom, right = top + inside.shape[0], left + inside.shape[1]
        if not (0 <= top and 0 <= left and bottom <= height and right <= width):
            raise ValueError(f"{file} reaches beyond its picture of {width} x {height}")
        full[place, top:bottom, left:right] |= inside
        there[place] = True
    return full, there


def halved(mask: np.ndarray) -> np.ndarray:
    """Make a mask a square: 1 where at least half of a part is inside.

    >>> halved(np.ones((200, 300), bool)).shape
    (128, 128)
    """
    share = Image.fromarray(np.uint8(mask) * 255).resize((SIDE, SIDE), Image.Resampling.BOX)
    return (np.asarray(share) >= 128).astype(np.uint8)
