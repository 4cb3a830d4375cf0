"""Calibration: does a confidence of 0.8 mean right in eight cases of ten?"""

from typing import NamedTuple

import torch

from .._arguments import tensor, what, whole, wide


class Reliability(NamedTuple):
    """A reliability diagram in numbers, one entry a bin. Made by :func:`reliability`.

    Attributes:
        confidence: (bins,) mean confidence of the predictions in the bin; NaN where it is empty.
        accuracy: (bins,) share of them that is right; NaN where it is empty.
        count: (bins,) number of predictions in the bin.
    """

    confidence: torch.Tensor
    accuracy: torch.Tensor
    count: torch.Tensor  # type: ignore[assignment]  # the public name; a tuple has a method of that name


def reliability(probabilities: torch.Tensor, targets: torch.Tensor, *, bins: int = 15) -> Reliability:
    """Group predictions by their confidence, and compare confidence with accuracy in each group.

    The confidence of a prediction is its largest probability. Bin m of M holds the confidences in (m/M, (m+1)/M].

    Args:
        probabilities: (N, C), each row a distribution over C classes.
        targets: (N,) integer class indices.
        bins: number of equal bins on (0, 1].

    Returns:
        The :class:`Reliability`, in double precision on the CPU.

    Raises:
        ValueError: if the shapes do not fit, a row is no distribution, a target is no class, or ``bins`` < 1.

    References:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.

    >>> reliability(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0]), bins=2).accuracy
    tensor([   nan, 0.5000], dtype=torch.float64)
    """
    bins = whole(bins, "bins", low=1)
    _check(probabilities, targets)
    confidence, predicted = wide(probabilities.detach()).cpu().max(dim=1)  # (N,) each
    right = (predicted == targets.detach().cpu()).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype)
    where = (torch.bucketize(confidence, edges) - 1).clamp(0, bins - 1)
    count = torch.bincount(where, minlength=bins)
    mean_confidence = torch.bincount(where, weights=confidence.double(), minlength=bins) / count
    return Reliability(mean_confidence, torch.bincount(where, weights=right, minlength=bins) / count, count)


def calibration_error(probabilities: torch.Tensor, targets: torch.Tensor, *, bins: int = 15) -> float:
    r"""Return the expected calibration error (ECE).

    .. math:: ECE = \sum_{m=1}^{M} \frac{n_m}{N} \, | acc_m - conf_m |

    Zero is perfect. The value depends on the number of bins, and a useless model can have an ECE of 0: read it
    beside the accuracy. No prediction at all (N = 0) gives NaN.

    Args:
        probabilities: (N, C), each row a distribution over C classes.
        targets: (N,) integer class indices.
        bins: number of equal bins on (0, 1].

    Returns:
        The error, in [0, 1].

    Raises:
        ValueError: as :func:`reliability`.

    References:
        Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015; Guo et al., 2017.

    >>> round(calibration_error(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0]), bins=1), 2)
    0.35
    """
    confidence, accuracy, count = reliability(probabilities, targets, bins=bins)
    total = count.sum()
    return float((count * (accuracy - confidence).abs()).nansum() / total) if total else float("nan")


def _check(probabilities: torch.Tensor, targets: torch.Tensor) -> None:
    tensor(probabilities, "probabilities", kind="floating-point")
    if probabilities.ndim != 2 or probabilities.shape[1] < 1:
        raise ValueError(f"probabilities must be a floating-point (N, C) tensor, got {what(probabilities)}")
    whole_numbers = isinstance(targets, torch.Tensor) and not (targets.is_floating_point() or targets.is_complex())
    if not whole_numbers or targets.shape != probabilities.shape[:1]:
        raise ValueError(f"targets must be ({len(probabilities)},) integer class indices, got {what(targets)}")
    rows = probabilities.detach().cpu().double()  # (N, C); not every device has float64
    off = float((rows.sum(1) - 1).abs().max()) if len(rows) else 0.0
    # Each probability is rounded: in half precision the sum of many is off by more.
    if not (bool(((rows >= 0) & (rows <= 1)).all()) and off < max(1e-3, 2 * torch.finfo(probabilities.dtype).eps)):
        raise ValueError(
            "probabilities must have rows in [0, 1] that sum to 1 (apply softmax to logits first), got values from "
            f"{rows.min():.6g} to {rows.max():.6g} and a sum that is {off:.6g} off"
        )
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < probabilities.shape[1]:
        raise ValueError(
            f"targets must lie in 0…{probabilities.shape[1] - 1}, got {int(targets.min())}…{int(targets.max())}"
        )
