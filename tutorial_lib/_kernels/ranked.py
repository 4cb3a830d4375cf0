r"""The rows of one label, best first. In plain lines::

    order = np.argsort(-scores, kind="stable")
    return scores[order], target[order].cumsum()

A sort that also moves the target along is slow; a sort of whole numbers is not. So the target's bit is written into
the last bit of its score, read as a whole number of the same order. Two scores that differ in that bit only are then
one, the smaller, which a threshold half-way between scores does not notice.
"""

import numpy as np

#: Scores, descending, and how many of the rows so far have the label.
Ranked = tuple[np.ndarray, np.ndarray]

_SIGN = np.int64(np.iinfo(np.int64).max)


def best_first(scores: np.ndarray, target: np.ndarray) -> Ranked:
    """See the lines above.

    Args:
        scores: (N,) float64, finite.
        target: (N,) bool.

    Returns:
        (N,) float64 and (N,) int64.
    """
    keys = _ordered((scores + 0.0).view(np.int64))  # + 0.0: -0 is 0
    keys &= ~np.int64(1)
    keys |= target
    keys.sort()
    keys = keys[::-1]
    hits = (keys & 1).cumsum()
    return _ordered(keys & ~np.int64(1)).view(np.float64), hits


def _ordered(bits: np.ndarray) -> np.ndarray:
    """Bits of floats as whole numbers of the same order, or back: below 0 more bits mean a smaller number."""
    return np.where(bits < 0, bits ^ _SIGN, bits)
