"""Exercises of chapter 02: a plausible mistake is told by its name."""

import math

import pytest
import torch
from scipy import stats
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from tutorial_lib.lab import check
from tutorial_lib.mixup import flow_mixup


def spread(lam, values):
    return lam.view(-1, *[1] * (values.ndim - 1))


def mixed(values, lam, index):
    return spread(lam, values) * values + (1 - spread(lam, values)) * values[index]


def halved(z):
    return z / 2 + z.detach() / 2


def no_halving(z, y, lam, index):
    return torch.cat([z, mixed(z, lam, index)]), torch.cat([y, mixed(y, lam, index)])


def values_halved(z, y, lam, index):
    out, targets = no_halving(z, y, lam, index)
    return out / 2, targets


def mixed_first(z, y, lam, index):
    return torch.cat([mixed(halved(z), lam, index), halved(z)]), torch.cat([mixed(y, lam, index), y])


def targets_repeated(z, y, lam, index):
    return torch.cat([halved(z), mixed(halved(z), lam, index)]), torch.cat([y, y])


def original_flow_halved(z, y, lam, index):
    out, targets = no_halving(z, y, lam, index)
    return torch.cat([halved(z), out[len(z) :]]), targets


def mixed_flow_halved(z, y, lam, index):
    out, targets = no_halving(z, y, lam, index)
    return torch.cat([z, halved(out[len(z) :])]), targets


def detached(z, y, lam, index):
    return no_halving(z.detach(), y, lam, index)


def last_dimension(z, y, lam, index):
    order = torch.cat([halved(z), mixed(halved(z), lam, index)], dim=-1 if z.ndim > 2 else 0)
    return order, torch.cat([y, mixed(y, lam, index)])


def one_lam_for_all(z, y, lam, index):
    return no_halving(halved(z), y, lam[:1].expand(len(z)), index)


def no_reshape(z, y, lam, index):
    z = halved(z)
    return torch.cat([z, lam * z + (1 - lam) * z[index]]), torch.cat([y, mixed(y, lam, index)])


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
        ("between_modules", 1.0, "below the first module"),
        ("between_modules", 2, "between the first and the second"),
        ("between_modules", 8, "above the last module"),
        ("between_modules", 0.5, "one flow, halved"),
        ("between_modules", 1 / 8, "mean over all rows"),
        ("between_modules", 0.75, "none of them is lost"),
        ("between_modules", 3, "how many flows"),
        ("between_modules", "four", "one number"),
        ("mix_flow", no_halving, "it is not halved"),
        ("mix_flow", values_halved, "only the gradient is halved"),
        ("mix_flow", mixed_first, "originals come first"),
        ("mix_flow", targets_repeated, "targets pass through the same module"),
        ("mix_flow", original_flow_halved, "only the original flow's gradient"),
        ("mix_flow", mixed_flow_halved, "only the mixed flow's gradient"),
        ("mix_flow", last_dimension, "any rank"),
        ("mix_flow", only_activations, "return two tensors"),
        ("mix_flow", one_lam_for_all, "a weight of its own"),
        ("mix_flow", no_reshape, "must be reshaped"),
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


def test_three_modules_send_four_times_the_gradient_to_the_layer_below_the_last():
    torch.manual_seed(0)
    chain = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(4)]).double()
    x, y = torch.randn(5, 4, dtype=torch.float64), (torch.rand(5, 4, dtype=torch.float64) < 0.5).double()
    bce(chain(x), y).backward()
    usual = [layer.weight.grad.norm() for layer in chain]
    chain.zero_grad()
    with flow_mixup(chain, ["0", "1", "2"], alpha=0) as mix:  # alpha = 0: lam = 1
        logits = chain(x)
    mix.loss(bce, logits, y).backward()
    ratios = [(layer.weight.grad.norm() / plain).item() for layer, plain in zip(chain, usual)]
    assert ratios == pytest.approx([1, 2, 4, 8])
    assert check("flow_mixup.between_modules", ratios[2], show=False).ok


def test_an_answer_without_gradient_is_wrong_not_an_error():
    assert check("flow_mixup.mix_flow", detached, show=False).status == "wrong"


def test_the_rule_of_verdicts_is_the_course_s_own():
    assert check("flow_mixup.verdict", right_verdict, show=False).ok

    def by_claim(ours, baseline, margin):
        from tutorial_lib.lab import claim

        return claim("A beats B", ours, baseline, margin=margin, show=False).verdict

    assert check("flow_mixup.verdict", by_claim, show=False).ok
