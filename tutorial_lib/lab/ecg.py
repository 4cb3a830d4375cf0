"""ECG-like signals with eight abnormalities that may occur together, from a stated law.

Every function returns the same arrays for the same seed.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from .._arguments import number, whole

__all__ = ["ECG_NAMES", "EcgSignals", "ecg_cooccurrence", "ecg_latent", "ecg_signals"]

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

    **Signals.** Each beat is a sum of Gaussian waves P, Q, R, S, T round its R peak:
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

    References:
        McSharry et al., A Dynamical Model for Generating Synthetic Electrocardiogram Signals, IEEE Transactions on
        Biomedical Engineering 50, 2003: the Gaussian waves (whose dynamical system we do not use).

    >>> data = ecg_signals(4, seed=0)
    >>> data.signals.shape, data.labels.shape
    (torch.Size([4, 1, 256]), torch.Size([4, 8]))
    """
    count, length, seed = whole(count, "count", low=0), whole(length, "length", low=1), whole(seed, "seed", low=0)
    hz, noise = number(hz, "hz", above=0), number(noise, "noise", low=0)
    rng = np.random.default_rng(seed)
    labels = _ecg_labels(count, rng)  # (N, K)
    has = labels.astype(bool)
    duration = length / hz

    rate = np.where(has[:, _TACHY], rng.uniform(105, 140, count), rng.uniform(55, 95, count))
    rr = 60 / rate
    beats, early = _ecg_beats(has, rr, duration, rng)  # (N, M) each
    amplitude, centre, width = _ecg_waves(has, rr, early, rng)  # (N, M, 7) each
    gain = np.where(has[:, _LOW], rng.uniform(0.35, 0.5, count), rng.uniform(0.8, 1.2, count))

    time = np.arange(length, dtype=np.float32) / hz
    clean = _sum_of_gaussians(time, beats[:, :, None] + centre, amplitude, width)  # (N, L)
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
        wave = (time - centre[rows]) / width[rows]  # (chunk, M W, L)
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
