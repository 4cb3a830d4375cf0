"""Exercises of chapter 02: a plausible mistake is told by its name."""

import math

import pytest
import torch
from scipy import stats
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


def verdict_of(effect, half, margin):
    low, high = effect - half, effect + half
    if low > 0 or high < 0:
        return "supported" if low > 0 else "refuted"
    return "no difference" if -margin < low and high < margin else "open"


def half_interval(values, level=0.99):
    return stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))


def right_verdict(ours, baseline, margin):
    differences = ours - baseline
    return verdict_of(differences.mean(), half_interval(differences), margin)


def verdict_at_95(ours, baseline, margin):
    differences = ours - baseline
    return verdict_of(differences.mean(), half_interval(differences, 0.95), margin)


def unpaired_verdict(ours, baseline, margin):
    half = math.hypot(half_interval(ours), half_interval(baseline))
    return verdict_of(ours.mean() - baseline.mean(), half, margin)


def zero_inside_is_no_difference(ours, baseline, margin):
    said = right_verdict(ours, baseline, margin)
    return "no difference" if said == "open" else said


def never_no_difference(ours, baseline, margin):
    said = right_verdict(ours, baseline, margin)
    return "open" if said == "no difference" else said


def margin_first(ours, baseline, margin):
    differences = ours - baseline
    half = half_interval(differences)
    inside = abs(differences.mean()) + half < margin
    return "no difference" if inside else verdict_of(differences.mean(), half, margin)


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
        ("verdict", verdict_at_95, "at 99 %"),
        ("verdict", unpaired_verdict, "pair the seeds"),
        ("verdict", zero_inside_is_no_difference, "nothing was shown"),
        ("verdict", never_no_difference, "more than not knowing"),
        ("verdict", margin_first, "asks for 0 first"),
    ],
)
def test_wrong_answers_get_a_hint_that_names_the_mistake(exercise, wrong, hint):
    result = check(f"flow_mixup.{exercise}", wrong, show=False)
    assert result.status == "wrong"
    assert hint in result.message


def test_an_answer_without_gradient_is_wrong_not_an_error():
    assert check("flow_mixup.mix_flow", detached, show=False).status == "wrong"


def test_the_rule_of_verdicts_is_the_course_s_own():
    assert check("flow_mixup.verdict", right_verdict, show=False).ok

    def by_claim(ours, baseline, margin):
        from tutorial_lib.lab import claim

        return claim("A beats B", ours, baseline, margin=margin, show=False).verdict

    assert check("flow_mixup.verdict", by_claim, show=False).ok
