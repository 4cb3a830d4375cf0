"""RoI Pool's windows find what the plain lines find, bit for bit, and give the gradient to the same cells."""

import math

import pytest
import torch
from chance import random

from tutorial_lib._kernels import pool as kernel
from tutorial_lib._kernels.pool import largest, plain_largest


def edges(seed, count, bins, length):
    """Bins of every kind: one cell, the whole side, neighbours that overlap, without cells."""
    generator = torch.Generator().manual_seed(seed)
    begin = torch.randint(0, length + 1, (count, bins), generator=generator)
    return begin, (begin + torch.randint(0, length + 1, (count, bins), generator=generator)).clamp(max=length)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gathered", [1, 1 << 15])
@pytest.mark.parametrize("kind", ["noise", "equal cells", "infinite and nan"])
def test_values_and_gradients(dtype, gathered, kind, monkeypatch):
    monkeypatch.setattr(kernel, "_GATHERED", gathered)
    features = random(1, 2, 3, 9, 13)
    if kind == "equal cells":
        features = features.round()
    elif kind == "infinite and nan":
        features[0, :, 2:4] = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)[:, None, None]
    image = torch.arange(20) % 2
    y, x = edges(2, 20, 3, 9), edges(3, 20, 4, 13)
    answers = []
    for function in (largest, plain_largest):
        given = features.to(dtype).requires_grad_()
        out = function(given, image, y, x)
        answers.append([out, torch.autograd.grad((out * random(4, *out.shape)).nansum(), given)[0]])
        with torch.no_grad():
            torch.testing.assert_close(function(given, image, y, x), out, atol=0, rtol=0, equal_nan=True)
    torch.testing.assert_close(answers[0][0], answers[1][0], atol=0, rtol=0, equal_nan=True)
    torch.testing.assert_close(
        answers[0][1], answers[1][1], atol=1e-5 if dtype == torch.float32 else 1e-12, rtol=0, equal_nan=True
    )
