"""Built-in data that needs no download: real digits, an ECG-like generator, label corruption, splits.

Every function returns the same arrays for the same seed.
"""

from collections.abc import Sequence
from functools import cache
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from tutorial_lib import _arguments as check


class Split(NamedTuple):
    """Rows of a data set: ``inputs`` (N, …) and ``targets`` (N, …)."""

    inputs: torch.Tensor
    targets: torch.Tensor


class Splits(NamedTuple):
    """The three :class:`Split` of an experiment."""

    train: Split
    val: Split
    test: Split


class Rows(NamedTuple):
    """Row numbers of the three splits: (N,) int64 each, sorted, disjoint."""

    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor


def split_rows(
    count: int,
    *,
    val: float,
    test: float,
    seed: int,
    stratify: Sequence | torch.Tensor | None = None,
    groups: Sequence | torch.Tensor | None = None,
) -> Rows:
    """Divide ``count`` rows into train, validation and test.

    Args:
        count: number of rows.
        val: share of the rows for validation, in [0, 1).
        test: share for the test, in [0, 1); the rest trains.
        seed: same seed, same split.
        stratify: (count,) classes; each class is divided in the same shares, as nearly as whole rows allow.
        groups: (count,) patient or record of each row; no group is ever divided, and the shares count groups.

    Returns:
        The :class:`Rows`. A share that is not zero gets at least one row (or group).

    Raises:
        ValueError: if the shares leave nothing to train on, ``stratify`` and ``groups`` are both given, their
            length is not ``count``, or there are too few rows, groups, or members of a class.

    >>> [len(part) for part in split_rows(10, val=0.2, test=0.3, seed=0)]
    [5, 2, 3]
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise ValueError(f"val and test must be shares >= 0 with val + test < 1, got val={val}, test={test}")
    if stratify is not None and groups is not None:
        raise ValueError("give stratify or groups, not both")
    for name, given in (("stratify", stratify), ("groups", groups)):
        if given is not None and len(given) != count:
            raise ValueError(f"{name} must have one entry a row ({count}), got {len(given)}")
    stratify, groups = (g.cpu() if isinstance(g, torch.Tensor) else g for g in (stratify, groups))
    rng = np.random.default_rng(seed)
    if groups is not None:
        names, member = np.unique(np.asarray(groups), return_inverse=True)
        part_of_group = _assign(len(names), val, test, rng, "groups")
        part = part_of_group[member]
    elif stratify is not None:
        part = np.zeros(count, dtype=int)
        classes = np.asarray(stratify)
        for name in np.unique(classes):
            rows = np.flatnonzero(classes == name)
            part[rows] = _assign(len(rows), val, test, rng, f"rows of class {name}")
    else:
        part = _assign(count, val, test, rng, "rows")
    return Rows(*(torch.from_numpy(np.flatnonzero(part == which)) for which in range(3)))


def _assign(count: int, val: float, test: float, rng: np.random.Generator, what: str) -> np.ndarray:
    """0, 1 or 2 (train, val, test) for each of ``count`` things, in random order."""
    sizes = [max(1, round(count * share)) if share else 0 for share in (val, test)]
    if count <= sum(sizes):
        raise ValueError(f"too few {what} to divide: {count} for val={val}, test={test}")
    part = np.repeat([0, 1, 2], [count - sum(sizes), *sizes])
    return rng.permutation(part)


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

    The images are real: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (the
    test half of that set), shipped with scikit-learn.

    >>> load_digits_split(seed=0).train.inputs.shape
    torch.Size([899, 1, 8, 8])
    """
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    inputs = torch.from_numpy(pixels.astype(np.float32) / 16).view(-1, 1, 8, 8)
    targets = torch.from_numpy(digits.astype(np.int64))
    rows = split_rows(len(targets), val=val, test=test, seed=seed, stratify=targets)
    return Splits(*(Split(inputs[part], targets[part]) for part in rows))


# --- ECG-like signals -----------------------------------------------------------------------------------------------

#: The labels of :func:`ecg_signals`, in the order of its columns.
ECG_NAMES = (
    "atrial fibrillation",
    "premature ventricular beat",
    "bundle branch block",
    "ST elevation",
    "T inversion",
    "first-degree block",
    "tachycardia",
    "low voltage",
)
_AF, _PVC, _BBB, _ST, _TINV, _LONG_PR, _TACHY, _LOW = range(8)
_ECG_PREVALENCE = (0.20, 0.20, 0.20, 0.20, 0.25, 0.20, 0.25, 0.20)
# Correlations of the *latent* normal variables; pairs that are not named are independent. Signs follow the clinic
# (a blocked branch inverts T, fibrillation is often fast); sizes are ours.
_ECG_LATENT = {
    (_AF, _TACHY): 0.6,
    (_AF, _PVC): 0.3,
    (_BBB, _TINV): 0.6,
    (_BBB, _LONG_PR): 0.4,
    (_ST, _TINV): 0.4,
    (_ST, _PVC): 0.3,
    (_ST, _LOW): -0.3,
    (_TACHY, _LONG_PR): -0.4,
}
# A fibrillating atrium makes no P wave, so there is no PR interval that could be long.
_ECG_EXCLUDED = (_AF, _LONG_PR)

_P, _Q, _R, _S, _R2, _STW, _T = range(7)
#                          P      Q      R     S     R'    ST    T
_WAVE_AMPLITUDE = np.array([0.15, -0.10, 1.00, -0.20, 0.00, 0.00, 0.30])  # millivolt
_WAVE_CENTRE = np.array([-0.16, -0.032, 0.00, 0.036, 0.065, 0.13, 0.28])  # seconds after the R peak
_WAVE_WIDTH = np.array([0.022, 0.012, 0.016, 0.014, 0.020, 0.05, 0.05])  # standard deviation, seconds


class EcgSignals(NamedTuple):
    """What :func:`ecg_signals` makes.

    Attributes:
        signals: (N, 1, L) float32, millivolt.
        labels: (N, K) float32, 0 or 1.
        names: K names of the labels.
        beats: (N, M) float32, time of each R peak in seconds; NaN where there is none in the window.
        hz: samples a second.
    """

    signals: torch.Tensor
    labels: torch.Tensor
    names: tuple[str, ...]
    beats: torch.Tensor
    hz: float


def ecg_signals(count: int, *, seed: int, length: int = 256, hz: float = 64.0, noise: float = 1.0) -> EcgSignals:
    r"""Make ECG-like signals with eight abnormalities that may occur together.

    **Labels.** A Gaussian copula: :math:`y_k = [z_k < \Phi^{-1}(p_k)]` with :math:`z \sim N(0, R)`; ``ecg_latent()``
    gives :math:`p` and :math:`R`. One structural exclusion: where atrial fibrillation and first-degree block
    come up together, the block is dropped. ``ecg_cooccurrence()`` gives the exact probability of every pair.

    **Signals.** Each beat is a sum of Gaussian waves P, Q, R, S, T round its R peak, an idea of McSharry et al.
    2003 (whose dynamical system we do not use):
    :math:`x(t) = g \sum_{b} \sum_{w} a_{bw} \exp\left(-(t - t_b - c_{bw})^2 / 2 s_{bw}^2\right)`.
    What a label changes:

    - atrial fibrillation: no P, RR intervals scatter (log-normal, 0.22), a 5–8 Hz ripple of 0.05 mV
    - premature ventricular beat: one beat comes 35 % of an RR early, without P, 2.5 times as wide, T inverted
    - bundle branch block: QRS 1.6 times as wide, with a second peak R'
    - ST elevation: +0.20 to 0.35 mV between S and T
    - T inversion: T upside down
    - first-degree block: PR interval 0.24–0.28 s instead of 0.15–0.17 s
    - tachycardia: 105–140 beats a minute instead of 55–95
    - low voltage: the whole signal times 0.35–0.5 instead of 0.8–1.2

    Wave sizes vary by 15 % from signal to signal. Noise: white, 0.05 mV, and a baseline wander of 0.15 mV at
    0.15–0.5 Hz.

    Args:
        count: number of signals, N; zero is allowed.
        seed: same seed, same arrays.
        length: samples a signal, L.
        hz: samples a second.
        noise: factor on white noise and wander; 0 leaves the clean signal (and the same labels and beats).

    Returns:
        The :class:`EcgSignals`.

    Raises:
        ValueError: if ``count`` < 0, ``length`` < 1, ``hz`` ≤ 0 or ``noise`` < 0.

    >>> data = ecg_signals(4, seed=0)
    >>> data.signals.shape, data.labels.shape
    (torch.Size([4, 1, 256]), torch.Size([4, 8]))
    """
    if count < 0 or length < 1:
        raise ValueError(f"count must be at least 0 and length at least 1, got count={count}, length={length}")
    if not hz > 0 or not noise >= 0:
        raise ValueError(f"hz must be above 0 and noise at least 0, got hz={hz}, noise={noise}")
    rng = np.random.default_rng(seed)
    labels = _ecg_labels(count, rng)
    has = labels.astype(bool)
    duration = length / hz

    rate = np.where(has[:, _TACHY], rng.uniform(105, 140, count), rng.uniform(55, 95, count))
    rr = 60 / rate
    beats, early = _ecg_beats(has, rr, duration, rng)
    amplitude, centre, width = _ecg_waves(has, rr, early, rng)
    gain = np.where(has[:, _LOW], rng.uniform(0.35, 0.5, count), rng.uniform(0.8, 1.2, count))

    time = np.arange(length, dtype=np.float32) / hz
    clean = _sum_of_gaussians(time, beats[:, :, None] + centre, amplitude, width)
    ripple = 0.05 * np.sin(2 * np.pi * (rng.uniform(5, 8, (count, 1)) * time + rng.random((count, 1))))
    clean += has[:, [_AF]] * ripple
    wander = 0.15 * np.sin(2 * np.pi * (rng.uniform(0.15, 0.5, (count, 1)) * time + rng.random((count, 1))))
    white = 0.05 * rng.standard_normal((count, length))
    signals = gain[:, None] * clean + noise * (wander + white)

    inside = np.where((beats >= 0) & (beats < duration), beats, np.nan)
    return EcgSignals(
        signals=torch.from_numpy(signals.astype(np.float32)).unsqueeze(1),
        labels=torch.from_numpy(labels.astype(np.float32)),
        names=ECG_NAMES,
        beats=torch.from_numpy(inside.astype(np.float32)),
        hz=float(hz),
    )


def _ecg_labels(count: int, rng: np.random.Generator) -> np.ndarray:
    prevalence, latent = ecg_latent()
    normal = rng.standard_normal((count, len(prevalence))) @ np.linalg.cholesky(latent).T
    labels = (normal < stats.norm.ppf(prevalence)).astype(int)
    keeps, drops = _ECG_EXCLUDED
    labels[:, drops] *= 1 - labels[:, keeps]
    return labels


def _ecg_beats(has, rr, duration, rng):
    """Times of the R peaks (N, M), some before 0 and after the end, and which beat is premature (N, M)."""
    count = len(rr)
    most = int(np.ceil(duration / (60 / 140))) + 12  # spare beats: scattered intervals can run short
    scatter = np.where(has[:, [_AF]], 0.22, 0.02) * rng.standard_normal((count, most))
    steps = rr[:, None] * np.exp(scatter)
    beats = np.cumsum(steps, axis=1) - rr[:, None] * (1 + rng.random((count, 1)))
    # The premature beat: the one nearest to a random instant of the middle. It comes early; the next one keeps
    # its time, which is the full compensatory pause.
    instant = duration * rng.uniform(0.25, 0.75, (count, 1))
    nearest = np.abs(beats - instant).argmin(axis=1)
    early = (np.arange(most) == nearest[:, None]) & has[:, [_PVC]]
    return beats - 0.35 * rr[:, None] * early, early


def _ecg_waves(has, rr, early, rng):
    """Amplitude, centre and width of every wave of every beat: (N, M, 7) each."""
    count = len(rr)
    shape = (*early.shape, len(_WAVE_AMPLITUDE))
    amplitude = _WAVE_AMPLITUDE * np.exp(0.15 * rng.standard_normal((count, len(_WAVE_AMPLITUDE))))
    centre = np.tile(_WAVE_CENTRE, (count, 1))
    width = np.tile(_WAVE_WIDTH, (count, 1))

    stretch = np.sqrt(rr)  # repolarisation shortens with the heart's cycle (Bazett)
    centre[:, [_STW, _T]] *= stretch[:, None]
    width[:, [_STW, _T]] *= stretch[:, None]
    centre[:, _P] = -np.where(has[:, _LONG_PR], rng.uniform(0.24, 0.28, count), rng.uniform(0.15, 0.17, count))
    amplitude[has[:, _AF], _P] = 0
    amplitude[:, _STW] = has[:, _ST] * rng.uniform(0.20, 0.35, count)
    amplitude[has[:, _TINV], _T] *= -1
    block = has[:, _BBB]
    amplitude[block, _R2] = rng.uniform(0.5, 0.8, count)[block]
    width[np.ix_(block, [_Q, _R, _S, _R2])] *= 1.6

    amplitude, centre, width = (np.broadcast_to(x[:, None], shape).copy() for x in (amplitude, centre, width))
    amplitude[early] *= np.array([0, 1, 1.3, 2, 0, 0, 1])
    amplitude[early, _T] = -0.4
    width[early] *= np.array([1, 2.5, 2.5, 2.5, 2.5, 1, 1])
    return amplitude, centre, width


def _sum_of_gaussians(time, centre, amplitude, width, chunk=64):
    """Add up the waves of each signal: time (L,), the others (N, M, W) → (N, L)."""
    out = np.empty((len(centre), len(time)))
    centre, amplitude, width = (
        x.reshape(len(x), np.prod(x.shape[1:], dtype=int), 1).astype(np.float32) for x in (centre, amplitude, width)
    )
    for start in range(0, len(out), chunk):  # N × (M W) × L at once would not fit the cache
        rows = slice(start, start + chunk)
        wave = (time - centre[rows]) / width[rows]
        np.multiply(wave, wave, out=wave)
        np.exp(-0.5 * wave, out=wave)
        out[rows] = np.einsum("nwl,nw->nl", wave, amplitude[rows, :, 0])
    return out


def ecg_latent() -> tuple[np.ndarray, np.ndarray]:
    """Return the stated law of :func:`ecg_signals`' labels: prevalences p (K,) and latent correlations R (K, K).

    >>> p, R = ecg_latent()
    >>> bool(np.linalg.eigvalsh(R).min() > 0)
    True
    """
    latent = np.eye(len(ECG_NAMES))
    for (i, j), value in _ECG_LATENT.items():
        latent[i, j] = latent[j, i] = value
    return np.array(_ECG_PREVALENCE), latent


@cache
def _ecg_cooccurrence() -> np.ndarray:
    prevalence, latent = ecg_latent()
    cut = stats.norm.ppf(prevalence)
    keeps, drops = _ECG_EXCLUDED

    def all_on(*labels):
        which = sorted(set(labels))
        return stats.multivariate_normal.cdf(cut[which], cov=latent[np.ix_(which, which)], rng=0)

    joint = np.empty_like(latent)
    for i in range(len(cut)):
        for j in range(i + 1):
            joint[i, j] = all_on(i, j)
            if drops in (i, j):  # on only where the excluding label is off
                joint[i, j] -= all_on(i, j, keeps)
            joint[j, i] = joint[i, j]
    return joint


def ecg_cooccurrence() -> np.ndarray:
    """Return the exact probability that labels i and j of :func:`ecg_signals` are both on; the diagonal holds P(i).

    Returns:
        (K, K) float64, symmetric.

    >>> joint = ecg_cooccurrence()
    >>> bool(joint[0, 5] == 0)  # fibrillation excludes first-degree block
    True
    """
    return _ecg_cooccurrence().copy()


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

    >>> load_ecg_task(seed=0).data.train.inputs.shape
    torch.Size([800, 1, 256])
    """
    made = ecg_signals(train + val + test, seed=seed)
    sizes = [train, val, test]
    parts = [Split(*pair) for pair in zip(made.signals.split(sizes), made.labels.split(sizes))]
    return EcgTask(Splits(*parts), made.names, made.hz)


def load_mitbih_task(
    *, seed: int, per_record: int = 40, patients: int = 4, share: float = 0.01, folder: str | PathLike | None = None
) -> EcgTask:
    """Read MIT-BIH windows of 10 s as a multi-label task, divided by patient.

    The test patients are those of the prepared set (DS2 of de Chazal et al. 2004 and two paced records). One fifth of
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
        ValueError: if ``per_record`` or ``patients`` is below 1.
    """
    from .real import load_real

    if per_record < 1 or patients < 1:
        raise ValueError(f"per_record and patients must be at least 1, got {per_record} and {patients}")
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

    This is the usual way to make a balanced set long-tailed (Cui et al. 2019, arXiv:1901.05555, section 5.1).

    Args:
        classes: number of classes, C ≥ 2.
        head: samples of the most frequent class, :math:`n_0`.
        ratio: :math:`\rho`, the most frequent class over the rarest, at least 1.

    Returns:
        (C,) int64, not rising, each at least 1.

    Raises:
        ValueError: if ``classes`` < 2, ``ratio`` < 1, or the rarest class would round to no sample.

    >>> long_tailed_counts(5, head=100, ratio=100).tolist()
    [100, 32, 10, 3, 1]
    """
    if classes < 2 or not ratio >= 1:
        raise ValueError(f"classes must be at least 2 and ratio at least 1, got classes={classes}, ratio={ratio}")
    sizes = np.rint(head * float(ratio) ** (-np.arange(classes) / (classes - 1))).astype(np.int64)
    if sizes[-1] < 1:
        raise ValueError(f"head={head} is too small for ratio={ratio}: the rarest class would have no sample")
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

    pixels, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(10)
    sizes = np.empty(10, dtype=np.int64)
    sizes[order] = long_tailed_counts(10, head=head, ratio=ratio)
    rows = {"train": [], "val": [], "test": []}
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
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    sizes = np.empty(len(names), dtype=np.int64)
    sizes[order] = long_tailed_counts(len(names), head=head, ratio=ratio)
    rows = {"train": [], "val": [], "test": []}
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
        raise ValueError(f"too few samples of {what}: {len(own)} for {wish}")
    start = 0
    for part, size in sizes.items():
        rows[part].extend(own[start : start + size])
        start += size
