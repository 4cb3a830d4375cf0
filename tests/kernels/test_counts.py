"""Counting in steps is counting at once."""

import pytest
import torch

from tutorial_lib._kernels import counts as kernel
from tutorial_lib._kernels.counts import count_pairs, plain_count_pairs


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
@pytest.mark.parametrize("classes", [1, 3, 12])
@pytest.mark.parametrize("ignored", [None, 0, 100, -1])
@pytest.mark.parametrize("pixels", [0, 1, 5000])
def test_any_labels(dtype, classes, ignored, pixels, monkeypatch):
    monkeypatch.setattr(kernel, "_STEP", 97)
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randint(0, classes, (2, pixels), generator=generator).to(dtype)
    if ignored == 100:
        target[::7] = 100
    found = count_pairs(pred, target, classes, ignored)
    assert found.dtype == torch.int64 and torch.equal(found, plain_count_pairs(pred, target, classes, ignored))
