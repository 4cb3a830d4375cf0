"""Recipe ``mie_dialogues``: 320 talks of patients with a heart doctor in Chinese, each with up to 71 labels.

The development and test parts of MIE (Zhang et al., ACL 2020): anonymous consultations in writing. The source labels
windows of five utterances with names (symptoms, examinations, operations, general state) and what is said of each:
positive or negative by the patient, by the doctor, or unknown. Here a row is a whole talk. No licence is stated where
the set was found: use it, publish nothing of it.

What to know before you use it:

* A talk has 145 to 1,512 characters, half of them more than 390; 6.2 names on average, of which about two thirds are
  positive at some time.
* The names are long-tailed: 152 talks have a positive electrocardiogram, and of 71 names 32 are positive in fewer than
  ten talks, one of them in none.
* A name can be both positive and negative in one talk: the patient denies what the doctor finds later.
* The source's training part (800 talks) is not fetched.

Arrays of ``mie_dialogues_zh.npz`` (N = 320, in the order of the source, ``dev`` first):

``text``            (N,) str: the utterances in lines, each with its speaker (患者 patient, 医生 doctor).
``mentioned``       (N, 71) uint8 0/1: a window of the talk has the name, whatever is said of it.
``positive``        (N, 71) uint8 0/1: a window has it as positive, by the patient or by the doctor.
``label_names``     (71,) str: group and name, such as 症状:胸闷.
``part``            (N,) str: ``"dev"`` or ``"test"``, as in the source.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

NAMES, PARTS = "ontology.json", {"dev": "dev.json", "test": "test.json"}
POSITIVE = ("阳性", "医生阳性")


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the windows of the source into the arrays of the set.

    Args:
        raw: the folder that holds the three JSON files.
        files: not used; the names are fixed.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a file is not as described there.
    """
    groups = _read(Path(raw) / NAMES)
    names = [f"{group}:{name}" for group, some in groups.items() if group != "状态" for name in some]
    place = {name: i for i, name in enumerate(names)}
    texts, parts, tables = [], [], []
    for part, file in PARTS.items():
        for number, talk in enumerate(_read(Path(raw) / file)):
            table = np.zeros((2, len(names)), np.uint8)
            for label in (label for window in talk for label in window["label"]):
                name, _, state = label.partition("-状态:")
                if name not in place or state not in groups["状态"]:
                    raise ValueError(f"{file}, talk {number} has a label that {NAMES} lacks: {label}")
                table[0, place[name]] = 1
                table[1, place[name]] |= state in POSITIVE
            texts.append("\n".join(window["utterances"][-1] for window in talk))  # a window ends with its new utterance
            parts.append(part)
            tables.append(table)
    both = np.stack(tables)
    return {
        "text": np.array(texts),
        "mentioned": both[:, 0],
        "positive": both[:, 1],
        "label_names": np.array(names),
        "part": np.array(parts),
    }


def _read(path: Path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)
