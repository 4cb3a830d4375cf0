"""How good a designed sequence is, and residue types as letters and numbers.

Taught in chapter 15.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _arguments as check

__all__ = ["AMINO_ACIDS", "BLOSUM62", "decode_sequence", "encode_sequence", "perplexity", "recovery", "similarity"]

#: The twenty residue types by their letters, in the order of their numbers.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

_ROWS = """
 4  0 -2 -1 -2  0 -2 -1 -1 -1 -1 -2 -1 -1 -1  1  0  0 -3 -2
 0  9 -3 -4 -2 -3 -3 -1 -3 -1 -1 -3 -3 -3 -3 -1 -1 -1 -2 -2
-2 -3  6  2 -3 -1 -1 -3 -1 -4 -3  1 -1  0 -2  0 -1 -3 -4 -3
-1 -4  2  5 -3 -2  0 -3  1 -3 -2  0 -1  2  0  0 -1 -2 -3 -2
-2 -2 -3 -3  6 -3 -1  0 -3  0  0 -3 -4 -3 -3 -2 -2 -1  1  3
 0 -3 -1 -2 -3  6 -2 -4 -2 -4 -3  0 -2 -2 -2  0 -2 -3 -2 -3
-2 -3 -1  0 -1 -2  8 -3 -1 -3 -2  1 -2  0  0 -1 -2 -3 -2  2
-1 -1 -3 -3  0 -4 -3  4 -3  2  1 -3 -3 -3 -3 -2 -1  3 -3 -1
-1 -3 -1  1 -3 -2 -1 -3  5 -2 -1  0 -1  1  2  0 -1 -2 -3 -2
-1 -1 -4 -3  0 -4 -3  2 -2  4  2 -3 -3 -2 -2 -2 -1  1 -2 -1
-1 -1 -3 -2  0 -3 -2  1 -1  2  5 -2 -2  0 -1 -1 -1  1 -1 -1
-2 -3  1  0 -3  0  1 -3  0 -3 -2  6 -2  0  0  1  0 -3 -4 -2
-1 -3 -1 -1 -4 -2 -2 -3 -1 -3 -2 -2  7 -1 -2 -1 -1 -2 -4 -3
-1 -3  0  2 -3 -2  0 -3  1 -2  0  0 -1  5  1  0 -1 -2 -2 -1
-1 -3 -2  0 -3 -2  0 -3  2 -2 -1  0 -2  1  5 -1 -1 -3 -3 -2
 1 -1  0  0 -2  0 -1 -2  0 -2 -1  1 -1  0 -1  4  1 -2 -3 -2
 0 -1 -1 -1 -2 -2 -2 -1 -1 -1 -1  0 -1 -1 -1  1  5  0 -2 -2
 0 -1 -3 -2 -1 -3 -3  3 -2  1  1 -3 -2 -2 -3 -2  0  4 -3 -1
-3 -2 -4 -3  1 -2 -2 -3 -3 -2 -1 -4 -4 -2 -3 -3 -2 -3 11  2
-2 -2 -3 -2  3 -3  2 -1 -2 -1 -1 -2 -3 -1 -2 -2 -2 -1  2  7
"""
#: Scores of exchanging one type for another (Henikoff and Henikoff 1992), in the order of :data:`AMINO_ACIDS`.
BLOSUM62: tuple[tuple[int, ...], ...] = tuple(tuple(int(x) for x in row.split()) for row in _ROWS.strip().splitlines())


def encode_sequence(letters: str) -> Tensor:
    """Residue types of a sequence in one-letter code.

    Args:
        letters: of :data:`AMINO_ACIDS`, capitals.

    Returns:
        (L,) int64.

    Raises:
        ValueError: another letter; such as X (unknown) or U (selenocysteine), for which there is no right number.

    >>> encode_sequence("ACY").tolist()
    [0, 1, 19]
    """
    letters = check.string(letters, "letters")
    for place, letter in enumerate(letters):
        if letter not in AMINO_ACIDS:
            raise ValueError(f"letters must be of {AMINO_ACIDS}, got {letter!r} at place {place}")
    return torch.tensor([AMINO_ACIDS.index(letter) for letter in letters], dtype=torch.int64)


def decode_sequence(types: Tensor | Sequence[int]) -> str:
    """The one-letter code of residue types.

    Args:
        types: (L,) whole numbers from 0 to 19.

    Returns:
        L letters.

    Raises:
        ValueError: numbers outside that range.

    >>> decode_sequence([0, 1, 19])
    'ACY'
    """
    return "".join(AMINO_ACIDS[one] for one in check.wholes(types, "types", low=0, high=len(AMINO_ACIDS) - 1))


def recovery(sequence: Tensor, native: Tensor) -> float:
    """The share of residues that are as in the native sequence.

    Args:
        sequence: (..., L) residue types.
        native: (L,).

    Returns:
        From 0 to 1; nan for an empty chain.

    Raises:
        ValueError: lengths that differ.

    >>> recovery(encode_sequence("ACDE"), encode_sequence("ACEE"))
    0.75
    """
    sequence, native = _two(sequence, native)
    return (sequence == native).cpu().double().mean().item() if sequence.numel() else math.nan


def similarity(sequence: Tensor, native: Tensor) -> float:
    """The share of residues that are as in the native sequence *or like them*: whose BLOSUM62 score is above 0.

    Args:
        sequence: (..., L) residue types, 0 to 19.
        native: (L,).

    Returns:
        From 0 to 1, at least :func:`recovery`; nan for an empty chain.

    Raises:
        ValueError: lengths that differ, types outside the range.

    References:
        Henikoff, Henikoff, Amino acid substitution matrices from protein blocks, PNAS 1992.

    >>> similarity(encode_sequence("ILDE"), encode_sequence("VVEA"))
    0.75
    """
    sequence, native = _two(sequence, native)
    if not sequence.numel():
        return math.nan
    in_range(sequence, "sequence", len(AMINO_ACIDS))
    in_range(native, "native", len(AMINO_ACIDS))
    table = torch.tensor(BLOSUM62, device=sequence.device)
    return (table[sequence, native.expand_as(sequence)] > 0).cpu().double().mean().item()


def perplexity(log_probs: Tensor, native: Tensor) -> float:
    r"""How many types a model hesitates between; 20 for one that knows nothing.

    .. math:: \exp\left(-\frac1L \sum_i \log p(a_i)\right)

    Args:
        log_probs: (L, A) of every residue's types.
        native: (L,) the types that are right.

    Returns:
        At least 1; nan for an empty chain.

    Raises:
        ValueError: shapes that do not fit.

    >>> round(perplexity(torch.full((3, 20), -torch.log(torch.tensor(20.0))), torch.tensor([0, 5, 19])), 4)
    20.0
    """
    log_probs = check.wide(check.tensor(log_probs, "log_probs", "(L, A)", kind="floating-point"))
    native = check.tensor(native, "native", "(L,)", kind="whole")
    if len(native) != len(log_probs):
        raise ValueError(f"native must have one type a row of log_probs, got {len(native)} for {len(log_probs)}")
    if not len(native):
        return math.nan
    in_range(native, "native", log_probs.shape[1])
    return math.exp(-log_probs.gather(1, native.long()[:, None]).cpu().double().mean().item())


def in_range(types: Tensor, name: str, classes: int) -> None:
    """Refuse residue types that are none."""
    if types.numel() and not (0 <= int(types.min()) and int(types.max()) < classes):
        wrong = int(types.min()) if int(types.min()) < 0 else int(types.max())
        raise ValueError(f"{name} must hold residue types from 0 to {classes - 1}, got {wrong}")


def _two(sequence: Tensor, native: Tensor) -> tuple[Tensor, Tensor]:
    sequence = check.tensor(sequence, "sequence", "(..., L)", kind="whole")
    native = check.tensor(native, "native", "(L,)", kind="whole")
    if sequence.shape[-1] != len(native):
        raise ValueError(f"sequence must be as long as native, {len(native)}, got {check.what(sequence)}")
    return sequence, native
