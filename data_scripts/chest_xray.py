"""Recipe ``chest_xray``: 1,124 chest X-rays in three classes, which come from different hospitals.

The X-rays that Talo's COVID-19 repository put together: normal ones and pneumonias of NIH ChestX-ray8, and COVID-19 of
the ieee8023 collection. The patients of the latter are looked up in the table that ``chest_masks`` has too.

Licence: none is stated in the repository. NIH asks for acknowledgement; of the ieee8023 pictures each has a licence of
its own. Use them; publish none of them.

What to know before you use it:

* **The classes come from different hospitals, formats and crops.** A model can tell COVID-19 from the rest by that
  alone: the set shows shortcut learning, and no diagnosis may rest on it.
* NIH's labels were read out of reports by a program, and are noisy.
* One more picture of the repository, ``covid-19-pneumonia-14-PA.png``, is not used.

Arrays of ``covid_cxr_3class_96.npz`` (N = 1,124; COVID-19, then normal, then pneumonia, each by file name):

``image``           (N, 96, 96) uint8 grey (luma): the whole picture made a square, each value the mean of its part.
``label``           (N,) uint8, an index into ``class_names``: 500 / 500 / 124.
``class_names``     (3,) str: no_finding, pneumonia, covid19.
``patient``         (N,) str: ``"nih:"`` or ``"ieee8023:"`` and the patient's number there. 764 patients.
``split``           (N,) str: train 351 / 363 / 88, val 32 / 41 / 12, test 117 / 96 / 24; not official: by the SHA-1 of
                    the patient, as in ``chest_masks``, so that no patient is on two sides of the two sets together.
``filename``        (N,) str.
``in_seg_set``      (N,) bool: the 61 pictures that are in ``chest_masks`` too.

JPEG does not fix every last bit: another decoder may differ by one grey value here and there.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from .chest_masks import small
from .splits import hashed_split
from .tables import read_table

SIDE = 96

CLASS_NAMES = ("no_finding", "pneumonia", "covid19")

#: The folders in their order, and the class of each.
FOLDERS = {"Covid-19": 2, "No_findings": 0, "Pneumonia": 1}


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the raw pictures and tables into the arrays of the set.

    Args:
        raw: the folder that holds ``X-Ray Image DataSet/CLASS/*``, and ``metadata.csv`` and ``structure.csv`` of the
            set ``chest_masks``.
        files: the names of the files in it; no others are read.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a picture or a table is not as described there.
    """
    raw = Path(raw)
    number_of = dict(read_table(raw / "metadata.csv", ("filename", "patientid")))
    with_masks = {name for (name,) in read_table(raw / "structure.csv", ("Filename",))}
    rows = []
    for file in tqdm(in_order(files), desc="pictures", disable=None):
        path = PurePosixPath(file)
        label = FOLDERS[path.parent.name]
        rows.append((small(raw / file, SIDE), label, patient_of(path.name, label, number_of), path.name))
    image, label, patient, name = map(np.array, zip(*rows))
    return {
        "image": image,
        "label": label.astype(np.uint8),
        "class_names": np.array(CLASS_NAMES),
        "patient": patient,
        "split": hashed_split("", patient),
        "filename": name,
        "in_seg_set": np.array([one in with_masks for one in name]),
    }


def in_order(files: Iterable[str]) -> list[str]:
    """Return the pictures by folder, as in ``FOLDERS``, and in a folder by name.

    Raises:
        ValueError: if a picture lies in another folder.
    """
    pictures = [file for file in files if not file.endswith(".csv")]
    strange = [file for file in pictures if PurePosixPath(file).parent.name not in FOLDERS]
    if strange:
        raise ValueError(f"{strange[0]} is in none of the folders {', '.join(FOLDERS)}")
    folders = list(FOLDERS)
    return sorted(pictures, key=lambda file: (folders.index(PurePosixPath(file).parent.name), file))


def patient_of(name: str, label: int, number_of: dict[str, str]) -> str:
    """Return the patient of a picture: NIH's number is in the file's name, ieee8023's in the table.

    Raises:
        ValueError: if the table has no such file.

    >>> patient_of("00000061_012.png", 1, {})
    'nih:00000061'
    """
    if label != FOLDERS["Covid-19"]:
        return f"nih:{name.partition('_')[0]}"
    if name not in number_of:
        raise ValueError(f"metadata.csv has no row for {name}")
    return f"ieee8023:{number_of[name]}"
