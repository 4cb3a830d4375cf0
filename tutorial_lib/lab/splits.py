"""Rows of a data set, and how they are divided into train, validation and test."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._arguments import number, what, whole

__all__ = ["Rows", "Split", "Splits", "split_rows"]


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
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
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
    count, seed = whole(count, "count", low=0), whole(seed, "seed", low=0)
    val, test = number(val, "val"), number(test, "test")
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"val and test must be shares >= 0 with val + test < 1, got val={val}, test={test}")
    if stratify is not None and groups is not None:
        raise ValueError("stratify or groups must be given, not both, since no split obeys both, got both")
    class_of, group_of = _names(stratify, "stratify", count), _names(groups, "groups", count)  # (count,), or None
    rng = np.random.default_rng(seed)
    if group_of is not None:
        names, member = np.unique(group_of, return_inverse=True)  # member (count,): each row's group
        part_of_group = _assign(len(names), val, test, rng, "groups")
        part = part_of_group[member]
    elif class_of is not None:
        part = np.zeros(count, dtype=int)
        for name in np.unique(class_of):
            rows = np.flatnonzero(class_of == name)
            part[rows] = _assign(len(rows), val, test, rng, f"rows of class {name}")
    else:
        part = _assign(count, val, test, rng, "rows")
    return Rows(*(torch.from_numpy(np.flatnonzero(part == which)) for which in range(3)))


def _names(given, name: str, count: int) -> np.ndarray | None:
    """One class or group a row: (count,), of numbers or of texts; or None."""
    if given is None:
        return None
    if isinstance(given, np.ma.MaskedArray):
        raise ValueError(f"{name} must be a plain array, since a masked array would lose its mask, got {what(given)}")
    names = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    if names.shape != (count,):
        got = len(names) if names.ndim == 1 else what(names)
        raise ValueError(f"{name} must have one entry a row ({count}), got {got}")
    return names


def _assign(count: int, val: float, test: float, rng: np.random.Generator, things: str) -> np.ndarray:
    """0, 1 or 2 (train, val, test) for each of ``count`` things, in random order."""
    sizes = [max(1, round(count * share)) if share else 0 for share in (val, test)]
    if count <= sum(sizes):
        got = f"too few {things} to divide: {count} for val={val}, test={test}"
        raise ValueError(f"val and test must leave something to train on, got {got}")
    part = np.repeat([0, 1, 2], [count - sum(sizes), *sizes])
    return rng.permutation(part)
