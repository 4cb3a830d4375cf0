"""Near-duplicate search by the rarest shingles finds the pairs that comparing all with all finds."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib._kernels import near_duplicates as kernel
from tutorial_lib._kernels.near_duplicates import plain_similar_pairs, similar_pairs

texts = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), max_size=9)


@settings(max_examples=400, deadline=None)
@given(
    texts,
    st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 0.99]),
    st.integers(1, 4),
    st.sampled_from([(1, 1), (30, 2), (4_000_000, 20_000)]),
)
def test_any_texts(units, threshold, shingle, sizes):
    """Few words: many pairs that hit the threshold; and whatever is done at a time."""
    with patch.multiple(kernel, _WORK=sizes[0], _PAIRS=sizes[1]):
        found = list(similar_pairs(units, threshold, shingle))
    assert sorted(found) == list(plain_similar_pairs(units, threshold, shingle))


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_long_texts_of_frequent_and_rare_words(threshold):
    rng = np.random.default_rng(0)
    units = [[f"w{number}" for number in row] for row in rng.zipf(1.3, (120, 60))]
    for i in range(1, 120, 3):
        units[i] = [*units[i - 1][: 20 + i // 3], *units[i][: 40 - i // 3]]
    found = list(similar_pairs(units, threshold, 3))
    assert sorted(found) == list(plain_similar_pairs(units, threshold, 3)) and found
