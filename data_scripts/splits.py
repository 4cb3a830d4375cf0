"""Splits that nobody publishes: from a hash of the key, the same on every machine and for every order of the rows."""

import hashlib
from collections.abc import Iterable

import numpy as np


def hashed_split(salt: str, keys: Iterable[str]) -> np.ndarray:
    """Assign each key to train (0.7), val (0.1) or test (0.2) by its SHA-1; equal keys come to the same side.

    The first 32 bits of SHA-1(salt + key), as a share of 2^32, below 0.7 mean train, below 0.8 val, else test.

    Args:
        salt: a word of the set, so that two sets do not split the same keys alike.
        keys: a text for each row.

    Returns:
        (N,) str, ``"train"``, ``"val"`` or ``"test"``.

    >>> hashed_split("abs", ["one text", "another", "one text"]).tolist()
    ['train', 'train', 'train']
    """
    shares = [int(hashlib.sha1((salt + key).encode()).hexdigest()[:8], 16) / 2**32 for key in keys]
    return np.array(("train", "val", "test"))[np.searchsorted([0.7, 0.8], shares, side="right")]
