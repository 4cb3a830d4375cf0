"""Both entropies are the plain lines: values, gradients, second gradients, and a second pass."""

import pytest
import torch

from tutorial_lib._kernels.entropy import cross_entropy, plain_cross_entropy, plain_sigmoid_focal, sigmoid_focal


def draw(*shape, scale=3.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def both(one, other, logits):
    """Loss, gradient, the same a second time, and the gradient of the gradient."""
    answers = []
    for function in (one, other):
        z = logits.clone().requires_grad_()
        loss = function(z)
        weight = torch.linspace(-1, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)
        first = torch.autograd.grad(loss, z, weight, retain_graph=True)[0]
        again = torch.autograd.grad(loss, z, weight, create_graph=True)[0]
        answers.append([loss, first, again, torch.autograd.grad((again * weight.mean()).square().sum(), z)[0]])
    for ours, plain in zip(*answers):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 4), (3, 4, 6), (2, 3, 4, 5), (1, 1), (0, 4)])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_cross_entropy(shape, scale):
    logits = draw(*shape, scale=scale)
    target = torch.arange(logits.numel() // shape[1]).view(shape[0], *shape[2:]) % shape[1]
    both(lambda z: cross_entropy(z, target), lambda z: plain_cross_entropy(z, target), logits)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 2.5])
@pytest.mark.parametrize("shape", [(7,), (4, 3), (0,)])
def test_sigmoid_focal(gamma, shape):
    logits = draw(*shape)
    sign = 1 - 2.0 * (torch.arange(logits.numel()).view(shape) % 2)
    both(lambda z: sigmoid_focal(z, sign, gamma), lambda z: plain_sigmoid_focal(z, sign, gamma), logits)
