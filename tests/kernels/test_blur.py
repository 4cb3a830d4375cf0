"""The blur is a weighted mean of windows: values and gradients."""

import pytest
import torch

from tutorial_lib._kernels.blur import blur, plain_blur


@pytest.mark.parametrize("shape", [(4, 2, 3, 12, 9), (1, 1, 1, 7, 7), (2, 1, 2, 9, 8, 10)])
@pytest.mark.parametrize("window", [1, 3, 7])
def test_values_and_gradients(shape, window):
    generator = torch.Generator().manual_seed(0)
    gauss = torch.rand(window, generator=generator, dtype=torch.float64)
    answers = []
    for function in (blur, plain_blur):
        values = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
        out = function(values, gauss)
        answers.append([out, torch.autograd.grad(out.square().sum(), values)[0]])
    for ours, plain in zip(*answers):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-12)
