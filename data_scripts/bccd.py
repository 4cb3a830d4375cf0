"""Recipe ``bccd``: 364 microscope pictures of blood, 4,886 boxed cells in three classes, and single cells cut out.

BCCD (Blood Cell Count and Detection), as Shenggan's repository keeps it: JPEG pictures of 640 x 480, a VOC file of
boxes for each, and an official split of the pictures. MIT licence: free to copy with its notice.

What to know before you use it:

* Some red cells have no box. A detector that finds them is counted wrong.
* No patient is given. The split is by picture, so cells of one patient may be on both sides.
* Every cell fills its 28 x 28: how large it is, the plainest mark of a platelet, is lost.
* Two of the boxes have no area. They are left out.

Arrays of ``bccd.npz``. **Cells**, N = 2,233: every white cell and platelet, and 1,500 red cells drawn with seed 0 from
the 4,153; by picture, then as in its VOC file:

``image``           (N, 28, 28, 3) uint8 RGB. The box made square around its middle, 10 % wider, cut from the picture at
                    full size (its edge repeated where the square goes beyond it), averaged down to 28 x 28.
``label``           (N,) uint8, an index into ``class_names``: 1,500 / 372 / 361.
``class_names``     (3,) str: RBC, WBC, Platelets.
``split``           (N,) str: ``"train"`` 1,279, ``"val"`` 521, ``"test"`` 433, as its picture.
``source``          (N,) str: the name of the picture.

**Pictures and boxes**, P = 364 and B = 4,886, for detection:

``picture``         (P, 240, 320, 3) uint8 RGB: halved, each value the mean of 2 x 2.
``picture_id``      (P,) str: the name, in order. ``picture_split`` (P,) str: 205 / 87 / 72.
``box``             (B, 4) float32: x1, y1, x2, y2 in pixels of the halved picture, as the official files say (no 1 is
                    added or taken off).
``box_label``       (B,) uint8, an index into ``class_names``: 4,153 / 372 / 361.
``box_picture``     (B,) int16: the row of ``picture``; ascending.

JPEG does not fix every last bit: another decoder may differ by one grey value here and there.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

CLASS_NAMES = ("RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "test")

#: Side of a cell's picture, how much wider than its box the cut is, and how many red cells are drawn.
SIDE, MARGIN, RED_CELLS = 28, 1.1, 1500


class Box(NamedTuple):
    """One cell: its class (an index into ``CLASS_NAMES``) and its corners in pixels of the full picture."""

    label: int
    x1: int
    y1: int
    x2: int
    y2: int


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the raw pictures and boxes into the arrays of the set.

    Args:
        raw: the folder that holds ``BCCD/JPEGImages``, ``BCCD/Annotations`` and ``BCCD/ImageSets/Main``.
        files: the names of the files in it.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a picture is in no split or in two, or a file is not as described there.
    """
    raw, files = Path(raw), set(files)
    split = {}
    for part in SPLITS:
        for name in (raw / f"BCCD/ImageSets/Main/{part}.txt").read_text().split():
            if name in split:
                raise ValueError(f"picture {name} is twice in the lists of the split")
            split[name] = part
    names = sorted(split)
    pictures, boxes, source, cells = [], [], [], []
    for row, name in enumerate(tqdm(names, desc="pictures", disable=None)):
        for file in (picture_name(name), boxes_name(name)):
            if file not in files:
                raise ValueError(f"{file} is in a list of the split, but not among the files")
        picture = read_picture(raw, name)
        pictures.append(np.asarray(picture.resize((320, 240), Image.Resampling.BOX)))
        for box in read_boxes(raw, name):
            boxes.append(box)
            source.append(row)
            cells.append(cut_cell(picture, box))
    label, source = np.array([box.label for box in boxes], np.uint8), np.array(source, np.int16)
    keep = choose(label)
    name_of, split_of = np.array(names), np.array([split[name] for name in names])
    return {
        "image": np.stack(cells)[keep],
        "label": label[keep],
        "class_names": np.array(CLASS_NAMES),
        "split": split_of[source[keep]],
        "source": name_of[source[keep]],
        "picture": np.stack(pictures),
        "picture_id": name_of,
        "picture_split": split_of,
        "box": np.array([box[1:] for box in boxes], np.float32) / 2,
        "box_label": label,
        "box_picture": source,
    }


def picture_name(name: str) -> str:
    """Return the file of a picture, below the folder of raw files.

    >>> picture_name("BloodImage_00000")
    'BCCD/JPEGImages/BloodImage_00000.jpg'
    """
    return f"BCCD/JPEGImages/{name}.jpg"


def boxes_name(name: str) -> str:
    """Return the file of a picture's boxes, below the folder of raw files."""
    return f"BCCD/Annotations/{name}.xml"


def read_picture(raw: Path, name: str) -> Image.Image:
    """Read one picture at full size.

    Args:
        raw: the folder of raw files.
        name: the picture, such as ``"BloodImage_00000"``.

    Returns:
        An RGB picture of 640 x 480.

    Raises:
        ValueError: if it is another kind of picture.
    """
    with Image.open(Path(raw) / picture_name(name)) as picture:
        if picture.size != (640, 480):
            raise ValueError(f"{picture_name(name)} must be 640 x 480, got {picture.width} x {picture.height}")
        return picture.convert("RGB")


def read_boxes(raw: Path, name: str) -> list[Box]:
    """Read the boxes of one picture that have an area, in the order of the file.

    Args:
        raw: the folder of raw files.
        name: the picture.

    Returns:
        The boxes, in pixels of the full picture.

    Raises:
        ValueError: if the file is not such a VOC file, or names another class.
    """
    file, boxes = boxes_name(name), []
    try:
        root = ElementTree.parse(Path(raw) / file).getroot()
        for cell in root.iter("object"):
            kind, place = cell.findtext("name"), cell.find("bndbox")
            if kind not in CLASS_NAMES:
                raise ValueError(f"a cell must be one of {', '.join(CLASS_NAMES)}, got {kind!r}")
            corners = [int(place.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")]
            box = Box(CLASS_NAMES.index(kind), *corners)
            if box.x1 < box.x2 and box.y1 < box.y2:
                boxes.append(box)
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no VOC file of BCCD: {error}") from error
    return boxes


def cut_cell(picture: Image.Image, box: Box) -> np.ndarray:
    """Cut one cell out: a square around its box, ``MARGIN`` times its longer side, brought to ``SIDE`` pixels.

    Args:
        picture: the full picture.
        box: the cell.

    Returns:
        (28, 28, 3) uint8. Beyond the picture its edge is repeated.
    """
    middle = np.array([box.x1 + box.x2, box.y1 + box.y2]) / 2
    half = max(box.x2 - box.x1, box.y2 - box.y1) * MARGIN / 2
    left, top = (round(float(value)) for value in middle - half)
    right, bottom = (round(float(value)) for value in middle + half)
    pixels = np.asarray(picture)
    rows = np.arange(top, bottom).clip(0, pixels.shape[0] - 1)
    columns = np.arange(left, right).clip(0, pixels.shape[1] - 1)
    square = pixels[rows[:, None], columns]
    # Averaging cannot make a picture larger; for that it would only repeat pixels.
    method = Image.Resampling.BOX if min(square.shape[:2]) >= SIDE else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), method))


def choose(label: np.ndarray) -> np.ndarray:
    """Return the rows that become cells: every rare one, and ``RED_CELLS`` red ones drawn with seed 0 (all, if fewer).

    >>> choose(np.array([0, 1, 2, 0]))
    array([0, 1, 2, 3])
    """
    red = np.flatnonzero(label == 0)
    if len(red) > RED_CELLS:
        red = np.random.default_rng(0).choice(red, RED_CELLS, replace=False)
    return np.sort(np.concatenate([red, np.flatnonzero(label)]))
