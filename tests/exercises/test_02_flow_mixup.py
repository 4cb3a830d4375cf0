"""Exercises of chapter 02: a plausible mistake is told by its name."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from tutorial_lib.lab import check


def no_halving(z, y, lam, index):
    return torch.cat([z, lam * z + (1 - lam) * z[index]]), torch.cat([y, lam * y + (1 - lam) * y[index]])


def values_halved(z, y, lam, index):
    out, targets = no_halving(z, y, lam, index)
    return out / 2, targets


def mixed_first(z, y, lam, index):
    z = z / 2 + z.detach() / 2
    return torch.cat([lam * z + (1 - lam) * z[index], z]), torch.cat([lam * y + (1 - lam) * y[index], y])


def targets_repeated(z, y, lam, index):
    z = z / 2 + z.detach() / 2
    return torch.cat([z, lam * z + (1 - lam) * z[index]]), torch.cat([y, y])


def original_flow_halved(z, y, lam, index):
    out, targets = no_halving(z, y, lam, index)
    return torch.cat([z / 2 + z.detach() / 2, out[len(z) :]]), targets


def mixed_flow_halved(z, y, lam, index):
    out, targets = no_halving(z, y, lam, index)
    mixed = out[len(z) :]
    return torch.cat([z, mixed / 2 + mixed.detach() / 2]), targets


def detached(z, y, lam, index):
    return no_halving(z.detach(), y, lam, index)


def last_dimension(z, y, lam, index):
    z = z / 2 + z.detach() / 2
    order = torch.cat([z, lam * z + (1 - lam) * z[index]], dim=-1 if z.ndim > 2 else 0)
    return order, torch.cat([y, lam * y + (1 - lam) * y[index]])


def only_activations(z, y, lam, index):
    return no_halving(z, y, lam, index)[0]


def s_of(alpha):
    return (alpha + 1) / (2 * alpha + 1)


def outer(joint):
    return torch.outer(joint.diagonal(), joint.diagonal())


def diagonal_kept(joint, alpha):
    mixed = s_of(alpha) * joint + (1 - s_of(alpha)) * outer(joint)
    return mixed.diagonal_scatter(joint.diagonal())


def mean_lam(joint, alpha):
    return 0.5 * joint + 0.5 * outer(joint)


def weights_exchanged(joint, alpha):
    return (1 - s_of(alpha)) * joint + s_of(alpha) * outer(joint)


def unchanged(joint, alpha):
    return joint


def colleagues_loss(logits, y, lam, index):
    mixed = lam * y + (1 - lam) * y[index]
    return bce(logits, torch.stack([y, mixed], dim=1).flatten(0, 1))


def still_interleaved(logits, y, lam, index):
    return 2 * colleagues_loss(logits, y, lam, index)


def still_a_mean(logits, y, lam, index):
    return bce(logits, torch.cat([y, lam * y + (1 - lam) * y[index]]))


def originals_twice(logits, y, lam, index):
    return bce(logits[: len(y)], y) + bce(logits[len(y) :], y)


@pytest.mark.parametrize(
    "exercise, wrong, hint",
    [
        ("mean_of_three", 1.0, "summed over flows"),
        ("mean_of_three", 0.5, "that is one module"),
        ("mean_of_three", 8, "without any halving"),
        ("mean_of_three", 1 / 64, "only the halvings are left"),
        ("mean_of_three", "one eighth", "one number"),
        ("mix_flow", no_halving, "it is not halved"),
        ("mix_flow", values_halved, "only the gradient is halved"),
        ("mix_flow", mixed_first, "originals come first"),
        ("mix_flow", targets_repeated, "targets pass through the same module"),
        ("mix_flow", original_flow_halved, "only the original flow's gradient"),
        ("mix_flow", mixed_flow_halved, "only the mixed flow's gradient"),
        ("mix_flow", last_dimension, "any rank"),
        ("mix_flow", only_activations, "return two tensors"),
        ("mixed_cooccurrence", diagonal_kept, "diagonal is the mean of a square"),
        ("mixed_cooccurrence", mean_lam, "for every alpha"),
        ("mixed_cooccurrence", weights_exchanged, "exchanged"),
        ("mixed_cooccurrence", unchanged, "one from each"),
        ("corrected_loss", colleagues_loss, "both mistakes"),
        ("corrected_loss", still_interleaved, "still alternate"),
        ("corrected_loss", still_a_mean, "mean over all rows"),
        ("corrected_loss", originals_twice, "need the mixed targets"),
    ],
)
def test_wrong_answers_get_a_hint_that_names_the_mistake(exercise, wrong, hint):
    result = check(f"flow_mixup.{exercise}", wrong, show=False)
    assert result.status == "wrong"
    assert hint in result.message


def test_an_answer_without_gradient_is_wrong_not_an_error():
    assert check("flow_mixup.mix_flow", detached, show=False).status == "wrong"
