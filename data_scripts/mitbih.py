"""Recipe ``mitbih``: the MIT-BIH Arrhythmia Database as 10 s windows with 11 labels, split by patient.

48 records of two leads, half an hour each, 360 samples a second, every beat annotated by cardiologists. Each record
gives 180 windows, one after the other without overlap, from its start; the last 5.6 s are left over.

Arrays of ``mitbih_windows_10s_90hz.npz`` (N = 8640 windows, in the order of record and time):

``signal``       (N, 2, 900) int8: times ``mv_per_unit`` it is millivolt. The median of each lead over the window is
                 taken off; what is beyond 2.54 mV is clipped.
``label``        (N, 11) uint8, 0 or 1, in the order of ``label_names``. Several may be 1, or none.
``label_names``  (11,) str.
``record``       (N,) int16: the record's number, 100 to 234.
``start_s``      (N,) int16: where the window starts in the record, in seconds.
``split``        (N,) str: ``"train"`` or ``"test"``. No patient is in both.
``lead_names``   (N, 2) str: the leads of ``signal``, ``MLII`` first where the record has it.
``mv_per_unit``  () float32: 0.02 mV.
``hz``           () int16: 90 samples a second.

The labels are derived from the annotations; they are no published benchmark. A **beat** label is 1 when such a beat is
in the window. A **rhythm** label is 1 when the rhythm is on at any time in it: a rhythm lasts from its annotation to
the next.

360 Hz becomes 90 Hz in one pass over the whole record, with the zero-phase FIR filter of ``scipy.signal.decimate``.
So a window's edges are no edges for the filter; only the first ten samples of a record's first window feel its start.

The split is the one of de Chazal, O'Dwyer & Reilly (IEEE Trans. Biomed. Eng. 51(7), 2004): DS1 trains, DS2 tests. Two
things differ. They leave out the paced records 102, 104, 107, 217: here 102 and 107 train, 104 and 217 test. And 201
and 202 are one man, on two sides there: here both train.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import wfdb
from scipy.signal import decimate
from tqdm import tqdm

SOURCE_HZ, HZ = 360, 90
WINDOW_S, WINDOWS = 10, 180
MV_PER_UNIT = 0.02

#: Annotation codes of PhysioNet, by label. Normal are also the escape beats of atrium (e) and node (j).
BEATS = {
    "normal_beat": "Nej",
    "left_bundle_branch_block": "L",
    "right_bundle_branch_block": "R",
    "atrial_premature": "AaJS",
    "ventricular_premature": "VE",
    "fusion_beat": "F",
    "paced_beat": "/f",
}
RHYTHMS = {
    "atrial_fibrillation_or_flutter": ("(AFIB", "(AFL"),
    "bigeminy": ("(B",),
    "trigeminy": ("(T",),
    "ventricular_tachycardia": ("(VT",),
}
LABEL_NAMES = (*BEATS, *RHYTHMS)

TRAIN = frozenset(
    [101, 102, 106, 107, 108, 109, 112, 114, 115, 116, 118, 119, 122]
    + [124, 201, 202, 203, 205, 207, 208, 209, 215, 220, 223, 230]
)


class Annotations(NamedTuple):
    """The annotations of a record: sample (at 360 Hz), code, and note, each a sequence of the same length."""

    sample: np.ndarray
    symbol: list[str]
    note: list[str]


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn raw records into the arrays of the set.

    Args:
        raw: the folder that holds ``NNN.hea``, ``NNN.dat`` and ``NNN.atr``.
        files: the names of the files in it; each ``.hea`` is a record.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a record is not one of this database (rate, number of leads, length).
    """
    records = sorted(name.removesuffix(".hea") for name in files if name.endswith(".hea"))
    signals, labels, leads = [], [], []
    for record in tqdm(records, desc="records", disable=None):
        millivolt, names, annotations = read_record(raw / record)
        signals.append(windows(millivolt))
        labels.append(window_labels(annotations))
        leads.append([names] * WINDOWS)
    number = np.repeat(np.array([int(record) for record in records], np.int16), WINDOWS)
    return {
        "signal": np.concatenate(signals),
        "label": np.concatenate(labels),
        "label_names": np.array(LABEL_NAMES),
        "record": number,
        "start_s": np.tile(np.arange(0, WINDOW_S * WINDOWS, WINDOW_S, dtype=np.int16), len(records)),
        "split": np.where(np.isin(number, list(TRAIN)), "train", "test"),
        "lead_names": np.concatenate(leads),
        "mv_per_unit": np.float32(MV_PER_UNIT),
        "hz": np.int16(HZ),
    }


def read_record(path: Path) -> tuple[np.ndarray, list[str], Annotations]:
    """Read one record with ``wfdb``.

    Args:
        path: folder and record name, without an ending.

    Returns:
        The signal (2, samples) in millivolt with lead MLII first where there is one, the names of its leads, and the
        annotations.

    Raises:
        ValueError: if it does not hold two leads at 360 Hz for half an hour.
    """
    record = wfdb.rdrecord(str(path))
    needed = WINDOWS * WINDOW_S * SOURCE_HZ
    if record.fs != SOURCE_HZ or record.n_sig != 2 or record.sig_len < needed:
        raise ValueError(
            f"record {path} must have 2 leads at {SOURCE_HZ} Hz and at least {needed} samples, "
            f"got {record.n_sig} at {record.fs} Hz and {record.sig_len}"
        )
    order = sorted(range(2), key=lambda lead: record.sig_name[lead] != "MLII")
    marks = wfdb.rdann(str(path), "atr")
    notes = [note.rstrip("\0") for note in marks.aux_note]
    names = [record.sig_name[lead] for lead in order]
    return record.p_signal.T[order], names, Annotations(marks.sample, marks.symbol, notes)


def windows(millivolt: np.ndarray) -> np.ndarray:
    """Bring a record to 90 Hz, cut it into windows, and round it to int8.

    Args:
        millivolt: (leads, samples) at 360 Hz, at least half an hour.

    Returns:
        (180, leads, 900) int8, in units of 0.02 mV.
    """
    slow = decimate(millivolt, SOURCE_HZ // HZ, ftype="fir", axis=-1)[:, : WINDOWS * WINDOW_S * HZ]
    cut = slow.reshape(len(millivolt), WINDOWS, WINDOW_S * HZ).swapaxes(0, 1)
    cut = cut - np.median(cut, axis=-1, keepdims=True)
    return np.clip(np.rint(cut / MV_PER_UNIT), -127, 127).astype(np.int8)


def window_labels(annotations: Annotations) -> np.ndarray:
    """Say which beats and rhythms each window holds.

    Args:
        annotations: of one record.

    Returns:
        (180, 11) uint8, 0 or 1.
    """
    label = np.zeros((WINDOWS, len(LABEL_NAMES)), np.uint8)
    length = WINDOW_S * SOURCE_HZ
    beat_column = {code: column for column, codes in enumerate(BEATS.values()) for code in codes}
    for sample, symbol in zip(annotations.sample, annotations.symbol):
        if symbol in beat_column and sample < WINDOWS * length:
            label[sample // length, beat_column[symbol]] = 1
    starts = [(at, note) for at, note in zip(annotations.sample, annotations.note) if note.startswith("(")]
    ends = [at for at, _ in starts[1:]] + [WINDOWS * length]
    for (start, note), end in zip(starts, ends):
        for column, codes in enumerate(RHYTHMS.values(), start=len(BEATS)):
            if note in codes:
                label[start // length : -(-end // length), column] = 1
    return label
