"""Recipe ``medical_abstracts``: 2,888 abstracts in English, each with one of five groups of conditions.

The official test part of the Medical Abstracts corpus (Schopf, Braun & Matthes, NLPIR 2022), cut again into train, val
and test, so that it stays small. CC BY-SA 3.0: name the authors, and pass on what you make of the texts under the same
licence. Nothing of it is in this project.

What to know before you use it:

* **118 rows repeat a text that is already there, always under another label.** The 2,888 rows are 2,770 texts; 113 of
  them come twice or three times. A model gives equal texts one answer, so at least 118 rows (4.1 %) are counted wrong,
  and no score reaches 100 %. Equal texts are on the same side of the split. Beyond them there are no near-duplicates
  (no other pair has a TF-IDF cosine of 0.8).
* The fifth class, general pathological conditions, overlaps the others: 85 of the 113 texts are in it and in another.
* The classes are not balanced: 633, 299, 385, 610 and 961.

Arrays of ``medical_abstracts_5class_en.npz`` (N = 2,888, in the order of the source):

``text``            (N,) str: title and abstract as in the source, with the blank at its end; 3,542 characters at most.
``label``           (N,) uint8, an index into ``class_names``: the number in the source, less one.
``class_names``     (5,) str.
``split``           (N,) str: ``"train"`` 2,079, ``"val"`` 285, ``"test"`` 524; not official: by the SHA-1 of ``abs``
                    and the text (:func:`data_scripts.splits.hashed_split`).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .splits import hashed_split
from .tables import read_table

TEXTS, LABELS = "medical_tc_test.csv", "medical_tc_labels.csv"


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the two tables of the source into the arrays of the set.

    Args:
        raw: the folder that holds ``TEXTS`` and ``LABELS``.
        files: not used; the names are fixed.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a table is not as described there.
    """
    names = read_table(Path(raw) / LABELS, ("condition_label", "condition_name"))
    rows = read_table(Path(raw) / TEXTS, ("condition_label", "medical_abstract"))
    numbers = {number: place for place, (number, _) in enumerate(names)}
    if list(numbers) != [str(place + 1) for place in range(len(names))]:
        raise ValueError(f"{LABELS} must number the classes 1, 2, ..., got {', '.join(numbers)}")
    unknown = sorted({number for number, _ in rows} - set(numbers))
    if unknown:
        raise ValueError(f"{TEXTS} has labels that {LABELS} lacks: {', '.join(unknown)}")
    text = [text for _, text in rows]
    return {
        "text": np.array(text),
        "label": np.array([numbers[number] for number, _ in rows], np.uint8),
        "class_names": np.array([name for _, name in names]),
        "split": hashed_split("abs", text),
    }
