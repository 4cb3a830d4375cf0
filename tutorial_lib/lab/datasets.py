"""Built-in tasks that need no download, and the real ones of chapters 02 and 03: digits, ECG, blood cells.

Every function returns the same arrays for the same seed.
"""

from os import PathLike
from typing import NamedTuple

import numpy as np
import torch

from .. import _arguments as check
from .ecg import ECG_NAMES, EcgSignals, ecg_cooccurrence, ecg_latent, ecg_signals
from .splits import Rows, Split, Splits, split_rows

__all__ = [
    "ECG_NAMES",
    "PROTOCOLS",
    "Corrupted",
    "EcgSignals",
    "EcgTask",
    "LongTailed",
    "Rows",
    "Split",
    "Splits",
    "corrupt_labels",
    "ecg_cooccurrence",
    "ecg_latent",
    "ecg_signals",
    "load_blood_cells_task",
    "load_digits_split",
    "load_ecg_task",
    "load_mitbih_task",
    "long_tailed_counts",
    "long_tailed_digits",
    "split_rows",
]


def load_digits_split(*, seed: int, val: float = 0.2, test: float = 0.3) -> Splits:
    """Load scikit-learn's 1,797 handwritten digits, divided class by class.

    Args:
        seed: same seed, same split.
        val: share for validation.
        test: share for the test.

    Returns:
        :class:`Splits`; ``inputs`` (N, 1, 8, 8) float32 in [0, 1], ``targets`` (N,) int64 in 0…9.

    Raises:
        ValueError: as :func:`split_rows`.

    References:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998: the images are real, the test
        half of that set, and come with scikit-learn.

    >>> load_digits_split(seed=0).train.inputs.shape
    torch.Size([899, 1, 8, 8])
    """
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    inputs = torch.from_numpy(pixels.astype(np.float32) / 16).view(-1, 1, 8, 8)
    targets = torch.from_numpy(digits.astype(np.int64))
    rows = split_rows(len(targets), val=val, test=test, seed=seed, stratify=targets)
    return Splits(*(Split(inputs[part], targets[part]) for part in rows))


# --- corrupted labels -----------------------------------------------------------------------------------------------

PROTOCOLS = ("flip", "missing", "shuffle")


class Corrupted(NamedTuple):
    """What :func:`corrupt_labels` returns: ``labels`` as given, corrupted, and ``changed``, a bool mask of them."""

    labels: torch.Tensor
    changed: torch.Tensor


def corrupt_labels(
    labels: torch.Tensor,
    *,
    rate: float,
    protocol: str,
    generator: torch.Generator | None = None,
) -> Corrupted:
    r"""Corrupt multi-label targets at a stated rate.

    - ``"flip"``: every entry :math:`y` becomes :math:`1-y` with probability ``rate``. With rare labels most positives
      are then false: at prevalence 0.2 and rate 0.4 only 27 % of the positives are true.
    - ``"missing"``: every positive becomes 0 with probability ``rate``; nothing is added.
    - ``"shuffle"``: the label rows of ``round(rate · N)`` random samples are handed round among them, so that each
      gets another one's row. Prevalences and co-occurrences stay exactly as they were; only the tie
      between signal and labels is cut. (Rows may be equal, so ``changed`` can be smaller.)

    Args:
        labels: (N, K), every entry 0 or 1, any dtype. N single yes-or-no labels go in as ``labels[:, None]``, class
            numbers as ``torch.nn.functional.one_hot(labels)`` (with ``"shuffle"``, which keeps one 1 a row).
        rate: in [0, 1].
        protocol: ``"flip"``, ``"missing"`` or ``"shuffle"``.
        generator: source of chance, on any device; ``None`` is torch's global CPU generator.

    Returns:
        The :class:`Corrupted`; ``labels`` is a new tensor of the same dtype and device.

    Raises:
        ValueError: if ``rate`` or ``protocol`` is unknown, or ``labels`` is not a matrix of 0 and 1.

    >>> corrupt_labels(torch.ones(2, 3), rate=1.0, protocol="missing").labels.sum()
    tensor(0.)
    """
    check.choice(protocol, "protocol", PROTOCOLS)
    rate, generator = check.number(rate, "rate", low=0, high=1), check.generator(generator)
    _check_label_matrix(labels)
    source = generator.device if generator is not None else "cpu"
    noisy = labels.clone()
    if protocol == "shuffle":
        order = torch.randperm(len(labels), generator=generator, device=source).to(labels.device)
        chosen = order[: round(rate * len(labels))]
        noisy[chosen] = labels[chosen.roll(1)]
    else:
        hit = (torch.rand(labels.shape, generator=generator, device=source) < rate).to(labels.device)
        if protocol == "missing":
            hit &= labels == 1
        noisy[hit] = 1 - labels[hit] if labels.dtype != torch.bool else ~labels[hit]
    return Corrupted(noisy, noisy != labels)


def _check_label_matrix(labels: torch.Tensor) -> None:
    check.tensor(labels, "labels", kind="any")
    wrong = labels[(labels != 0) & (labels != 1)]
    if labels.ndim == 2 and not len(wrong):
        return
    advice = ""
    if labels.ndim == 1 and not len(wrong):
        advice = " (one yes-or-no label a sample: labels[:, None])"
    elif labels.ndim == 1 and not labels.is_floating_point():
        advice = " (class numbers: torch.nn.functional.one_hot(labels))"
    found = check.what(wrong[0]) if labels.ndim == 2 else check.what(labels)
    raise ValueError(f"labels must be an (N, K) matrix of 0 and 1{advice}, got {found}")


# --- the multi-label ECG tasks of chapter 02 ------------------------------------------------------------------------


class EcgTask(NamedTuple):
    """A multi-label ECG task: ``data``, the ``names`` of its K labels, and ``hz``, samples a second."""

    data: Splits
    names: tuple[str, ...]
    hz: float


def load_ecg_task(*, seed: int, train: int = 800, val: int = 200, test: int = 400) -> EcgTask:
    """Make a train, validation and test set with :func:`ecg_signals`; all labels are clean.

    Args:
        seed: same seed, same arrays.
        train, val, test: signals in each set.

    Returns:
        The :class:`EcgTask`; ``inputs`` (N, 1, 256) float32, ``targets`` (N, 8) float32.

    Raises:
        ValueError: if a size is below 0.

    >>> load_ecg_task(seed=0).data.train.inputs.shape
    torch.Size([800, 1, 256])
    """
    sizes = [check.whole(size, name, low=0) for size, name in ((train, "train"), (val, "val"), (test, "test"))]
    made = ecg_signals(sum(sizes), seed=seed)
    parts = [Split(*pair) for pair in zip(made.signals.split(sizes), made.labels.split(sizes))]
    return EcgTask(Splits(*parts), made.names, made.hz)


def load_mitbih_task(
    *, seed: int, per_record: int = 40, patients: int = 4, share: float = 0.01, folder: str | PathLike | None = None
) -> EcgTask:
    """Read MIT-BIH windows of 10 s as a multi-label task, divided by patient.

    The test patients are those of the prepared set (DS2 of de Chazal and two paced records). One fifth of
    the other patients, drawn from ``seed``, is held out for validation. Records 201 and 202 are one person and
    stay together. Only the first lead is used, and only labels that are neither rare nor shown by very few
    patients: a label that two people have is a label for these two people.

    Args:
        seed: draws the validation patients, and the windows of the train and validation patients.
        per_record: windows taken of each record; evenly spaced in the test records.
        patients: keep a label only if at least this many train records and this many test records show it …
        share: … and at least this share of the train windows and of the test windows.
        folder: where the prepared sets lie, as in :func:`~tutorial_lib.lab.real.load_real`.

    Returns:
        The :class:`EcgTask`; ``inputs`` (N, 1, 900) float32 in millivolt, ``targets`` (N, K) float32.

    Raises:
        FileNotFoundError: if the set has not been prepared; the message holds the command that does it.
        ValueError: if ``per_record`` or ``patients`` is below 1, or ``share`` outside [0, 1].

    References:
        de Chazal, O'Dwyer and Reilly, Automatic Classification of Heartbeats Using ECG Morphology and Heartbeat
        Interval Features, IEEE Transactions on Biomedical Engineering 51, 2004: the division DS1 and DS2.
    """
    from .real import load_real

    per_record, patients = check.whole(per_record, "per_record", low=1), check.whole(patients, "patients", low=1)
    seed, share = check.whole(seed, "seed", low=0), check.number(share, "share", low=0, high=1)
    real = load_real("mitbih", folder)
    label, record, is_test = real["label"], real["record"], real["split"] == "test"
    keep = [
        k
        for k in range(label.shape[1])
        if all(
            len(np.unique(record[side & (label[:, k] == 1)])) >= patients and label[side, k].mean() >= share
            for side in (is_test, ~is_test)
        )
    ]
    person = np.where(record == 202, 201, record)
    people = np.unique(person[~is_test])
    held_out = people[split_rows(len(people), val=0.2, test=0, seed=seed).val]

    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for name in np.unique(record):
        windows = np.flatnonzero(record == name)
        count = min(per_record, len(windows))
        if is_test[windows[0]]:
            part, chosen = "test", windows[np.linspace(0, len(windows) - 1, count).round().astype(int)]
        else:
            part = "val" if person[windows[0]] in held_out else "train"
            chosen = np.sort(rng.choice(windows, count, replace=False))
        rows[part].extend(chosen)

    def split(part):
        signal = real["signal"][rows[part], :1].astype(np.float32) * real["mv_per_unit"]
        return Split(torch.from_numpy(signal), torch.from_numpy(label[np.ix_(rows[part], keep)].astype(np.float32)))

    names = tuple(str(name).replace("_", " ") for name in real["label_names"][keep])
    return EcgTask(Splits(split("train"), split("val"), split("test")), names, float(real["hz"]))


# --- the long-tailed tasks of chapter 03 ----------------------------------------------------------------------------


class LongTailed(NamedTuple):
    """A task whose training classes are unequally frequent, while validation and test are balanced.

    Attributes:
        data: the three sets; ``inputs`` (N, …) float32, ``targets`` (N,) int64.
        counts: (C,) int64, training samples of each class.
        order: (C,) int64, the classes from the most frequent (head) to the rarest (tail).
        names: C names.
    """

    data: Splits
    counts: torch.Tensor
    order: torch.Tensor
    names: tuple[str, ...]


def long_tailed_counts(classes: int, *, head: int, ratio: float) -> np.ndarray:
    r"""Return sizes that fall exponentially from head to tail: :math:`n_k = n_0 \, \rho^{-k/(C-1)}`, rounded.

    This is the usual way to make a balanced set long-tailed.

    Args:
        classes: number of classes, C ≥ 2.
        head: samples of the most frequent class, :math:`n_0`.
        ratio: :math:`\rho`, the most frequent class over the rarest, at least 1.

    Returns:
        (C,) int64, not rising, each at least 1.

    Raises:
        ValueError: if ``classes`` < 2, ``ratio`` < 1, or the rarest class would round to no sample.

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, arXiv:1901.05555, section 5.1.

    >>> long_tailed_counts(5, head=100, ratio=100).tolist()
    [100, 32, 10, 3, 1]
    """
    classes, head, ratio = (
        check.whole(classes, "classes", low=2),
        check.whole(head, "head"),
        check.number(ratio, "ratio", low=1),
    )
    sizes = np.rint(head * ratio ** (-np.arange(classes) / (classes - 1))).astype(np.int64)
    if sizes[-1] < 1:
        raise ValueError(f"head must be so large that the rarest class has a sample at ratio={ratio:g}, got {head}")
    return sizes


def long_tailed_digits(
    *, seed: int, head: int = 100, ratio: float = 100.0, val: int = 24, test: int = 50
) -> LongTailed:
    """Make scikit-learn's digits long-tailed: few training images of some classes, balanced validation and test.

    Which digit is frequent and which is rare is drawn from ``seed``, so that over several seeds the tail is not
    one digit's own difficulty. The images are real (:func:`load_digits_split` names the source).

    Args:
        seed: draws the order of the classes, and the images.
        head: training images of the most frequent digit.
        ratio: the most frequent digit over the rarest; 1 is a balanced set.
        val: validation images of *each* digit.
        test: test images of *each* digit.

    Returns:
        The :class:`LongTailed`; ``inputs`` (N, 1, 8, 8) float32 in [0, 1].

    Raises:
        ValueError: if a digit has too few images (174 is the least), or as :func:`long_tailed_counts`.

    >>> made = long_tailed_digits(seed=0)
    >>> made.counts[made.order].tolist()
    [100, 60, 36, 22, 13, 8, 5, 3, 2, 1]
    """
    from sklearn.datasets import load_digits

    val, test, seed = check.whole(val, "val", low=0), check.whole(test, "test", low=0), check.whole(seed, "seed", low=0)
    pixels, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(10)
    sizes = np.empty(10, dtype=np.int64)
    sizes[order] = long_tailed_counts(10, head=head, ratio=ratio)
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(digits == digit))
        _take(rows, own, {"test": test, "val": val, "train": sizes[digit]}, f"digit {digit}")

    def split(part):
        images = torch.from_numpy(pixels[rows[part]].astype(np.float32) / 16).view(-1, 1, 8, 8)
        return Split(images, torch.from_numpy(digits[rows[part]].astype(np.int64)))

    data = Splits(split("train"), split("val"), split("test"))
    return LongTailed(data, torch.from_numpy(sizes), torch.from_numpy(order), tuple(map(str, range(10))))


def load_blood_cells_task(
    *, seed: int, head: int = 200, ratio: float = 50.0, folder: str | PathLike | None = None
) -> LongTailed:
    """Read single blood cells (BCCD) as a long-tailed task of three classes; validation and test are balanced.

    The three parts are the official ones, so no picture lends cells to two of them. Validation and test take
    as many cells of each class as the rarest has there.

    Args:
        seed: draws which class is frequent and which is rare, and the cells.
        head: training cells of the most frequent class.
        ratio: the most frequent class over the rarest.
        folder: where the prepared sets lie, as in :func:`~tutorial_lib.lab.real.load_real`.

    Returns:
        The :class:`LongTailed`; ``inputs`` (N, 3, 28, 28) float32 in [0, 1], red, green, blue.

    Raises:
        FileNotFoundError: if the set has not been prepared; the message holds the command that does it.
        ValueError: if a class has too few cells, or as :func:`long_tailed_counts`.
    """
    from .real import load_real

    real = load_real("bccd", folder)
    label, part_of = real["label"].astype(np.int64), real["split"]
    names = tuple(str(name) for name in real["class_names"])
    rng = np.random.default_rng(check.whole(seed, "seed", low=0))
    order = rng.permutation(len(names))
    sizes = np.empty(len(names), dtype=np.int64)
    sizes[order] = long_tailed_counts(len(names), head=head, ratio=ratio)
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for part in rows:
        own = [rng.permutation(np.flatnonzero((part_of == part) & (label == k))) for k in range(len(names))]
        wanted = sizes if part == "train" else np.full(len(names), min(map(len, own)))
        for k, name in enumerate(names):
            _take(rows, own[k], {part: wanted[k]}, f"{name} ({part})")

    def split(part):
        images = torch.from_numpy(real["image"][rows[part]].astype(np.float32) / 255).permute(0, 3, 1, 2)
        return Split(images.contiguous(), torch.from_numpy(label[rows[part]]))

    data = Splits(split("train"), split("val"), split("test"))
    return LongTailed(data, torch.from_numpy(sizes), torch.from_numpy(order), names)


def _take(rows, own, sizes, what):
    """Move the first rows of ``own`` into the named parts, in the order of ``sizes``."""
    if sum(sizes.values()) > len(own):
        wish = ", ".join(f"{part} {size}" for part, size in sizes.items())
        raise ValueError(f"{', '.join(sizes)} must leave enough, got too few samples of {what}: {len(own)} for {wish}")
    start = 0
    for part, size in sizes.items():
        rows[part].extend(own[start : start + size])
        start += size
