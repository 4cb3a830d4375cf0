"""Suppression in blocks is the plain rule, whatever the size of a block."""

from unittest.mock import patch

import numpy as np
import pytest
from chance import random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib._kernels import suppress as kernel
from tutorial_lib._kernels.suppress import plain_suppress, suppress


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 90),
    st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]),
    st.sampled_from([1, 7, 256]),
)
def test_any_boxes(seed, count, threshold, block):
    """Whole coordinates: many IoUs that hit the threshold, and boxes without area."""
    corners = random_boxes(seed, count, reach=12)[:, 1:].round().numpy()
    for dtype in (np.float32, np.float64):
        with patch.multiple(kernel, _BLOCK=block, _STRIP=2 * block):
            found = suppress(corners.astype(dtype), threshold)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, plain_suppress(corners.astype(dtype), threshold))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_more_boxes_than_a_block(threshold):
    corners = random_boxes(1, 700, reach=60)[:, 1:].float().numpy()
    np.testing.assert_array_equal(suppress(corners, threshold), plain_suppress(corners, threshold))
