"""The passes of adversarial training are the plain lines: what is added to .grad, and the perturbation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tutorial_lib._kernels.passes import Ball, plain_passes
from tutorial_lib.adversarial import FGM, PGD, FreeLB

pytestmark = pytest.mark.usefixtures("one_thread")


class Rest(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(6, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, embedded):
        return self.head(torch.tanh(self.conv(embedded.transpose(1, 2))).logsumexp(2))


def make(seed=0, rows=5, length=7):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Embedding(20, 6, padding_idx=0), Rest()).double()
    tokens = torch.randint(1, 20, (rows, length))
    tokens[1, 3:] = 0
    tokens[rows - 1] = 0  # a sample of padding alone
    return model, tokens, torch.randint(3, (rows,))


CASES = {
    "FGM": (lambda model: FGM(model, "0", epsilon=0.7), 0.7, [1.0, 1.0]),
    "FGM, weighted": (lambda model: FGM(model, epsilon=0.7, clean_weight=0.2, adversarial_weight=3), 0.7, [0.2, 3.0]),
    "PGD": (lambda model: PGD(model, epsilon=0.7, alpha=0.4, steps=3), 0.4, [1.0, 0.0, 0.0, 1.0]),
    "PGD, adversarial": (lambda model: PGD(model, epsilon=0.7, alpha=2.0, clean_weight=0), 2.0, [0.0, 0.0, 0.0, 1.0]),
    "FreeLB": (lambda model: FreeLB(model, epsilon=0.7, alpha=0.4, init=0, steps=4), 0.4, [0.25] * 4),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_passes_are_the_plain_lines(case, seed):
    (make_method, alpha, weights), (model, tokens, target) = CASES[case], make(seed)
    expected, r = plain_passes(model[0], model[1], F.cross_entropy, tokens, target, 0.7, alpha, weights)
    step = make_method(model).backward(lambda: F.cross_entropy(model(tokens), target))
    torch.testing.assert_close(step.perturbations[0], r.detach(), rtol=1e-9, atol=1e-12)
    found = [parameter.grad for parameter in model.parameters()]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dim", [-4, 3, 5])
def test_a_batch_dimension_that_is_not_there(dim):
    """It would be taken for another one."""
    values = [torch.ones(2, 3, 4)]
    with pytest.raises(ValueError, match=f"batch_dim must be a dimension of what is perturbed, which has 3, got {dim}"):
        Ball(1.0, "l2", "sample", dim).uphill(values, [None], 1.0)
