"""Random features over all keys, forwards and backwards by hand: the plain lines, in every block size and mask."""

import pytest
import torch

from tutorial_lib._kernels import linear_attention as kernel

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(query, key, value, projection, mask):
    """The lines at the head of the file, on the logarithms of the features."""
    log_q, log_k = kernel.log_features(query, key, projection)
    weight = (log_q.unsqueeze(-2) + log_k.unsqueeze(-3)).exp().sum(-1)  # (..., L, S)
    if mask is not None:
        weight = weight * mask.unsqueeze(-2)
    total = weight.sum(-1, keepdim=True)
    return weight @ value / torch.where(total > 0, total, 1)


def case(lead=(2, 3), length=5, others=7):
    given = noise(*lead, length, 4), noise(*lead, others, 4, seed=1), noise(*lead, others, 3, seed=2)
    mask = torch.rand((*lead, others), generator=torch.Generator().manual_seed(3)) < 0.6
    mask[..., 0, :] = False  # a text without tokens
    return [part.requires_grad_() for part in given], noise(6, 4, seed=4), mask


@pytest.mark.parametrize("block", [1, 90, 1 << 20])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lead", [(2, 3), (2,), (1, 2, 2)])
def test_it_is_the_plain_lines(monkeypatch, lead, masked, block):
    monkeypatch.setattr(kernel, "BLOCK", block)
    given, w, mask = case(lead)
    mask = mask if masked else None
    ours, theirs = kernel.favor(*given, w, mask), plain(*given, w, mask)
    torch.testing.assert_close(ours, theirs)
    grad = noise(*ours.shape, seed=5)
    for one, other in zip(torch.autograd.grad(ours, given, grad), torch.autograd.grad(theirs, given, grad)):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("masked", [False, True])
def test_first_and_second_derivatives(masked):
    given, w, mask = case((3,), 3, 4)
    function = lambda *parts: kernel.favor(*parts, w, mask if masked else None)  # noqa: E731
    assert torch.autograd.gradcheck(function, given) and torch.autograd.gradgradcheck(function, given)


def test_some_of_the_inputs_alone_and_a_learned_projection():
    given, w, mask = case((3,))
    for i in range(3):
        parts = [part.detach().requires_grad_(i == n) for n, part in enumerate(given)]
        (found,) = torch.autograd.grad(kernel.favor(*parts, w, mask).sum(), parts[i])
        torch.testing.assert_close(found, torch.autograd.grad(plain(*parts, w, mask).sum(), parts[i])[0])
    w.requires_grad_()
    (found,) = torch.autograd.grad(kernel.favor(*given, w, mask).sum(), w)
    torch.testing.assert_close(found, torch.autograd.grad(plain(*given, w, mask).sum(), w)[0])


def test_it_can_be_mapped_over():
    given, w, _ = case((3,))
    found = torch.func.grad(lambda q: kernel.favor(q, given[1].detach(), given[2].detach(), w, None).sum())(given[0])
    torch.testing.assert_close(found, torch.autograd.grad(plain(*given, w, None).sum(), given[0])[0])


def test_single_precision_is_near_double():
    (q, k, v), w, mask = case((2,), 300, 300)
    exact = torch.autograd.grad(kernel.favor(q, k, v, w, mask).square().sum(), (q, k, v))
    single = [part.detach().float().requires_grad_() for part in (q, k, v)]
    found = torch.autograd.grad(kernel.favor(*single, w.float(), mask).square().sum(), single)
    for one, other in zip(found, exact):
        torch.testing.assert_close(one.double(), other, atol=1e-4 * other.abs().max().item(), rtol=1e-3)
