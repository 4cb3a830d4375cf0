"""The hashed split: its shares, and that it depends on nothing but the key."""

import hashlib

import numpy as np

from data_scripts.splits import hashed_split


def test_shares_and_a_key_by_hand():
    keys = [str(number) for number in range(20_000)]
    split = hashed_split("salt", keys)
    shares = [np.mean(split == part) for part in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.01)
    first = int.from_bytes(hashlib.sha1(b"salt0").digest()[:4], "big") / 2**32
    assert split[0] == ("train" if first < 0.7 else "val" if first < 0.8 else "test")


def test_order_and_neighbours_do_not_matter():
    keys = ["a", "ü", "中", "a b", ""]
    split = hashed_split("s", keys)
    np.testing.assert_array_equal(hashed_split("s", keys[::-1]), split[::-1])
    assert [hashed_split("s", [key]).item() for key in keys] == split.tolist()
    assert hashed_split("s", []).shape == (0,)


def test_another_salt_is_another_split():
    keys = [str(number) for number in range(1000)]
    same = np.mean(hashed_split("a", keys) == hashed_split("b", keys))
    assert 0.45 < same < 0.63  # 0.54 by chance
