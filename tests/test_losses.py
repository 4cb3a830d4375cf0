"""Losses: known answers, peers live and stored, gradients, properties, bad input, and the bugs that circulate."""

import inspect
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from sklearn.metrics import hamming_loss as sklearn_hamming
from torch import nn
from torch.nn import functional as F

from tutorial_lib import consistency, losses
from tutorial_lib.losses import (
    MS_SSIM_WEIGHTS,
    CosineHead,
    class_balanced_weights,
    dice_loss,
    drw_weights,
    focal_loss,
    hamming_loss,
    iou_loss,
    ldam_loss,
    ldam_margins,
    lmf_loss,
    ms_ssim,
    ms_ssim_loss,
    sigmoid_f1_loss,
    sigmoid_focal_loss,
    soft_f1_loss,
)

TORCHVISION = json.loads((Path(__file__).parent / "vectors" / "losses_torchvision.json").read_text())
COUNTS = [1000, 100, 30, 5]
few = settings(max_examples=40, deadline=None)
pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def samples(rows=12, classes=4, shape=(), dtype=torch.float64, seed=0, spread=2.0):
    generator = seeded(seed)
    logits = spread * torch.randn((rows, classes, *shape), generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(classes, (rows, *shape), generator=generator)


def bits(rows=12, classes=4, seed=0, share=0.5, spread=2.0):
    generator = seeded(seed)
    logits = spread * torch.randn((rows, classes), generator=generator, dtype=torch.float64)
    return logits, torch.rand((rows, classes), generator=generator) < share


def gradient(loss, *inputs, **options):
    """Of the loss in its first argument."""
    x = inputs[0].detach().clone().requires_grad_()
    return torch.autograd.grad(loss(x, *inputs[1:], **options), x)[0]


def cosine(a, b):
    return F.cosine_similarity(a.flatten(), b.flatten(), 0).item()


# Every loss of logits and classes, and every loss of logits and bits, with what else it must be given.
CLASS_LOSSES = {
    "focal": focal_loss,
    "focal, weighted": lambda *a, **o: focal_loss(*a, alpha=[1.0, 0.0, 2.5, 4.0], **o),
    "focal, gamma 0.5": lambda *a, **o: focal_loss(*a, gamma=0.5, **o),
    "ldam": lambda *a, **o: ldam_loss(*a, class_counts=COUNTS, scale=3.0, **o),
    "ldam, weighted": lambda *a, **o: ldam_loss(*a, class_counts=COUNTS, weight=[1.0, 0.5, 2.5, 4.0], **o),
    "lmf": lambda *a, **o: lmf_loss(*a, class_counts=COUNTS, scale=3.0, **o),
    "lmf, margins": lambda *a, **o: lmf_loss(*a, class_counts=COUNTS, weight="margins", **o),
}
BIT_LOSSES = {
    "sigmoid focal": sigmoid_focal_loss,
    "sigmoid focal, alpha": lambda *a, **o: sigmoid_focal_loss(*a, alpha=0.25, **o),
    "sigmoid focal, gamma 0.5": lambda *a, **o: sigmoid_focal_loss(*a, gamma=0.5, **o),
    "soft F1": soft_f1_loss,
    "soft F1, single": lambda *a, **o: soft_f1_loss(*a, double=False, **o),
    "sigmoid F1": lambda *a, **o: sigmoid_f1_loss(*a, beta=2.0, eta=0.3, **o),
    "hamming": hamming_loss,
}


def each(table):
    return pytest.mark.parametrize("loss", table.values(), ids=table)


# --- focal ----------------------------------------------------------------------------------------------------------


def test_focal_by_hand():
    """One sample: p is 0.9, then 0.5, then 0.1."""
    for p in (0.9, 0.5, 0.1):
        logits = torch.tensor([[math.log(p), math.log(1 - p)]], dtype=torch.float64)
        for gamma in (0.0, 0.5, 1.0, 2.0, 5.0):
            expected = -((1 - p) ** gamma) * math.log(p)
            assert focal_loss(logits, torch.tensor([0]), gamma=gamma).item() == pytest.approx(expected, rel=1e-12)
            odds = torch.tensor([math.log(p / (1 - p))], dtype=torch.float64)
            assert sigmoid_focal_loss(odds, torch.tensor([1]), gamma=gamma).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_focal_against_numpy(shape):
    logits, target = samples(shape=shape)
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    x, y = logits.movedim(1, -1).reshape(-1, 4).numpy(), target.flatten().numpy()
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    true = p[np.arange(len(y)), y]
    expected = -weights[y] * (1 - true) ** 1.5 * np.log(true)
    options = {"gamma": 1.5, "alpha": weights}
    np.testing.assert_allclose(focal_loss(logits, target, reduction="none", **options).flatten(), expected, rtol=1e-10)
    assert focal_loss(logits, target, **options).item() == pytest.approx(expected.mean(), rel=1e-12)
    assert focal_loss(logits, target, reduction="sum", **options).item() == pytest.approx(expected.sum(), rel=1e-12)


@pytest.mark.parametrize("shape", [(), (3, 2)])
def test_focal_at_gamma_0_is_cross_entropy(shape):
    logits, target = samples(shape=shape)
    for reduction in ("none", "mean", "sum"):
        ours = focal_loss(logits, target, gamma=0.0, reduction=reduction)
        torch.testing.assert_close(ours, F.cross_entropy(logits, target, reduction=reduction))
    weighted = focal_loss(logits, target, gamma=0.0, alpha=[1.0, 2.0, 3.0, 4.0], reduction="none")
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(weighted, F.cross_entropy(logits, target, weight=weights, reduction="none"))
    torch.testing.assert_close(
        gradient(focal_loss, logits, target, gamma=0.0), gradient(F.cross_entropy, logits, target)
    )


def test_soft_targets_mix_the_losses_of_the_classes():
    logits, target = samples(shape=(3,))
    one_hot = F.one_hot(target, 4).movedim(-1, 1).double()
    options = {"alpha": [1.0, 2.0, 3.0, 4.0], "reduction": "none"}
    hard = focal_loss(logits, target, **options)
    torch.testing.assert_close(focal_loss(logits, one_hot, **options), hard)
    other = focal_loss(logits, (target + 1) % 4, **options)
    mixed = 0.7 * one_hot + 0.3 * one_hot.roll(1, 1)
    torch.testing.assert_close(focal_loss(logits, mixed, **options), 0.7 * hard + 0.3 * other)
    torch.testing.assert_close(
        focal_loss(logits, mixed, gamma=0.0, reduction="none"), F.cross_entropy(logits, mixed, reduction="none")
    )
    scores, yes = bits()
    soft = torch.where(yes, 0.9, 0.25).double()
    soft[0] = yes[0].double()  # hard ones among them
    both = [sigmoid_focal_loss(scores, torch.full_like(yes, t), alpha=0.25, reduction="none") for t in (True, False)]
    torch.testing.assert_close(
        sigmoid_focal_loss(scores, soft, alpha=0.25, reduction="none"), soft * both[0] + (1 - soft) * both[1]
    )


def test_focal_is_kornias_and_monais_but_for_their_mean():
    """Both divide by the number of classes as well: with 1,000 of them the loss is a thousandth."""
    import kornia
    import monai.losses

    logits, target = samples(shape=(3, 2), dtype=torch.float32)
    ours = focal_loss(logits, target, gamma=2.0)
    theirs = kornia.losses.focal_loss(logits, target, alpha=None, gamma=2.0, reduction="mean")
    torch.testing.assert_close(ours, 4 * theirs)
    softmax = monai.losses.FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True)
    torch.testing.assert_close(ours, 4 * softmax(logits, target.unsqueeze(1)))


@pytest.mark.parametrize("case", TORCHVISION["cases"], ids=lambda c: f"{c['target']:g}-{c['alpha']}-{c['gamma']:g}")
def test_sigmoid_focal_is_torchvisions(case):
    """Stored by tests/vectors/make_losses_vectors.py. (1 - p has few digits there when p is near 1: hence atol.)"""
    logits = torch.tensor(TORCHVISION["logits"], dtype=torch.float64)
    options = {"alpha": case["alpha"], "gamma": case["gamma"]}
    target = torch.full_like(logits, case["target"])
    ours = sigmoid_focal_loss(logits, target, reduction="none", **options)
    np.testing.assert_allclose(ours, case["loss"], rtol=1e-9, atol=1e-15)
    slope = gradient(sigmoid_focal_loss, logits, target, reduction="sum", **options)
    np.testing.assert_allclose(slope, case["gradient"], rtol=1e-9, atol=1e-15)


def test_sigmoid_focal_is_the_formula_kornias_and_monais():
    import kornia
    import monai.losses

    logits, target = bits()
    p, y = 1 / (1 + np.exp(-logits.numpy())), target.numpy().astype(float)
    expected = -0.25 * y * (1 - p) ** 2 * np.log(p) - 0.75 * (1 - y) * p**2 * np.log(1 - p)
    ours = sigmoid_focal_loss(logits, target, alpha=0.25, reduction="none")
    np.testing.assert_allclose(ours, expected, rtol=1e-10)
    binary = kornia.losses.binary_focal_loss_with_logits(logits, target.double(), alpha=0.25, gamma=2.0)
    torch.testing.assert_close(ours, binary)
    sigmoid = monai.losses.FocalLoss(gamma=2.0, alpha=0.25, reduction="none")
    torch.testing.assert_close(ours.float(), sigmoid(logits, target.double()).float())
    torch.testing.assert_close(
        sigmoid_focal_loss(logits, target, gamma=0.0), F.binary_cross_entropy_with_logits(logits, target.double())
    )


def test_every_kind_of_bits_gives_the_same():
    logits, target = bits()
    for loss in BIT_LOSSES.values():
        expected = loss(logits, target)
        for kind in (torch.uint8, torch.int64, torch.float32, torch.float64, torch.bfloat16):
            assert loss(logits, target.to(kind)) == expected


def test_binary_softmax_is_sigmoid_of_the_difference():
    logits, target = samples(classes=2)
    torch.testing.assert_close(focal_loss(logits, target), sigmoid_focal_loss(logits[:, 1] - logits[:, 0], target))


# --- margins and weights --------------------------------------------------------------------------------------------


def test_ldam_against_numpy():
    """The paper's formula, sample by sample."""
    logits, target = samples(shape=(2,))
    margins = 0.4 * np.array([(min(COUNTS) / n) ** 0.25 for n in COUNTS])
    weights = [0.5, 1.0, 2.0, 4.0]
    expected = []
    for x, y in zip(logits.movedim(1, -1).reshape(-1, 4).numpy(), target.flatten().tolist()):
        own = math.exp(3 * (x[y] - margins[y]))
        others = sum(math.exp(3 * x[j]) for j in range(4) if j != y)
        expected.append(-math.log(own / (own + others)))
    options = {"class_counts": COUNTS, "max_margin": 0.4, "scale": 3.0}
    ours = ldam_loss(logits, target, reduction="none", **options)
    np.testing.assert_allclose(ours.flatten(), expected, rtol=1e-10)
    assert ours.shape == target.shape
    w = np.array(weights)[target.flatten()]
    assert ldam_loss(logits, target, **options).item() == pytest.approx(np.mean(expected), rel=1e-12)
    weighted = ldam_loss(logits, target, weight=weights, **options)
    assert weighted.item() == pytest.approx(np.average(expected, weights=w), rel=1e-12)
    total = ldam_loss(logits, target, weight=weights, reduction="sum", **options)
    assert total.item() == pytest.approx((w * expected).sum(), rel=1e-12)


def test_ldam_at_margin_0_is_scaled_cross_entropy():
    logits, target = samples(shape=(3,))
    options = {"class_counts": COUNTS, "max_margin": 0.0}
    torch.testing.assert_close(ldam_loss(logits, target, **options), F.cross_entropy(30 * logits, target))
    weight = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    for reduction in ("none", "mean", "sum"):
        torch.testing.assert_close(
            ldam_loss(logits, target, weight=weight, reduction=reduction, **options),
            F.cross_entropy(30 * logits, target, weight=weight, reduction=reduction),
        )


def test_margins_and_weights_known_answers():
    """The margins of HAM10000's seven classes, from their counts; the rest by the formulas."""
    ham = ldam_margins([6705, 1113, 1099, 514, 327, 142, 115])
    np.testing.assert_allclose(ham, [0.181, 0.283, 0.284, 0.344, 0.385, 0.474, 0.500], atol=5e-4)
    assert ldam_margins(np.array([16, 1]), max_margin=1.0).tolist() == [0.5, 1.0]
    assert ldam_margins(torch.tensor([7])).tolist() == [0.5]
    assert class_balanced_weights([5, 5, 5]).tolist() == [1.0, 1.0, 1.0]
    assert class_balanced_weights(COUNTS, beta=0.0).tolist() == [1.0] * 4
    inverse = 1 / np.array(COUNTS)
    np.testing.assert_allclose(class_balanced_weights(COUNTS, beta=1.0), 4 * inverse / inverse.sum())
    np.testing.assert_allclose(class_balanced_weights(COUNTS, beta=1 - 1e-13), 4 * inverse / inverse.sum(), rtol=1e-2)
    effective = (1 - 0.999) / (1 - 0.999 ** np.array(COUNTS))
    np.testing.assert_allclose(class_balanced_weights(COUNTS, beta=0.999), 4 * effective / effective.sum())
    for epoch, expected in ((0, [1.0] * 4), (159, [1.0] * 4), (160, class_balanced_weights(COUNTS).tolist())):
        assert drw_weights(COUNTS, epoch=epoch, start=160).tolist() == expected


def test_a_margin_is_a_shift_of_the_log_odds():
    """What a margin does that a weight does not: it moves the point where a sample counts as learnt."""
    odds = torch.linspace(-2, 2, 9, dtype=torch.float64)
    logits = torch.stack([odds, torch.zeros(9)], 1)
    zeros = torch.zeros(9, dtype=torch.int64)
    ours = ldam_loss(logits, zeros, class_counts=[1, 16], max_margin=0.5, scale=4.0, reduction="none")
    torch.testing.assert_close(ours, F.softplus(-4 * (odds - 0.5)))


def test_lmf_is_the_sum():
    logits, target = samples()
    for reduction in ("none", "mean", "sum"):
        options = {"reduction": reduction}
        parts = 1.5 * ldam_loss(logits, target, class_counts=COUNTS, max_margin=0.3, scale=10.0, **options)
        parts = parts + 0.7 * focal_loss(logits, target, gamma=1.5, **options)
        options |= {"alpha": 1.5, "beta": 0.7, "gamma": 1.5, "max_margin": 0.3, "scale": 10.0}
        torch.testing.assert_close(lmf_loss(logits, target, class_counts=COUNTS, **options), parts)
    assert lmf_loss(logits, target, class_counts=COUNTS, alpha=0.0) == focal_loss(logits, target)
    assert lmf_loss(logits, target, class_counts=COUNTS, beta=0.0) == ldam_loss(logits, target, class_counts=COUNTS)
    weight = [1.0, 2.0, 3.0, 4.0]
    torch.testing.assert_close(
        lmf_loss(logits, target, class_counts=COUNTS, weight=weight),
        ldam_loss(logits, target, class_counts=COUNTS, weight=weight) + focal_loss(logits, target, alpha=weight),
    )


def test_lmf_margins_as_weights_are_the_margins_that_it_uses():
    logits, target = samples()
    options = {"class_counts": COUNTS, "max_margin": 0.3}
    named = lmf_loss(logits, target, weight="margins", **options)
    torch.testing.assert_close(named, lmf_loss(logits, target, weight=ldam_margins(COUNTS, max_margin=0.3), **options))
    ones = lmf_loss(logits, target, weight="margins", class_counts=[7] * 4, max_margin=1.0)
    torch.testing.assert_close(ones, lmf_loss(logits, target, class_counts=[7] * 4, max_margin=1.0))


def test_cosine_head():
    torch.manual_seed(0)
    head = CosineHead(5, 3, scale=2.0)
    features = torch.randn(2, 7, 5)
    logits = head(features)
    assert logits.shape == (2, 7, 3) and logits.abs().max() <= 2 + 1e-6
    for i in range(3):
        torch.testing.assert_close(logits[..., i], 2 * F.cosine_similarity(features, head.weight[i], -1))
    torch.testing.assert_close(head(100 * features), logits)  # lengths do not matter
    with torch.no_grad():
        head.weight *= torch.tensor([[0.1], [1.0], [10.0]])
    torch.testing.assert_close(head(features), logits)
    assert head(torch.zeros(1, 5)).tolist() == [[0.0] * 3]
    assert [name for name, _ in head.named_parameters()] == ["weight"] and "scale=2.0" in repr(head)
    torch.manual_seed(1)
    a = CosineHead(5, 3).weight
    torch.manual_seed(1)
    assert torch.equal(a, CosineHead(5, 3).weight)
    with pytest.raises(ValueError, match="num_classes must be a whole number of at least 1, got 0"):
        CosineHead(5, 0)
    with pytest.raises(ValueError, match="scale must be finite and above 0, got 0"):
        CosineHead(5, 2, scale=0)


def test_a_cosine_head_trains_with_ldam():
    """Four blobs, 1000 : 5; every training sample is right in the end."""
    generator = seeded()
    target = torch.tensor([0] * 100 + [1] * 30 + [2] * 10 + [3] * 5)
    centres = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    x = centres[target] + 0.2 * torch.randn(len(target), 2, generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), CosineHead(16, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(60):
        weight = drw_weights([100, 30, 10, 5], epoch=epoch, start=40)
        loss = ldam_loss(model(x), target, class_counts=[100, 30, 10, 5], weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(1) == target).all()


# --- scores of many labels ------------------------------------------------------------------------------------------


def test_f1_losses_against_numpy():
    logits, target = bits(rows=20)
    y = target.numpy().astype(float)

    def loss(p, y):
        tp, fp, fn = (p * y).sum(0), (p * (1 - y)).sum(0), ((1 - p) * y).sum(0)
        return 1 - 2 * tp / (2 * tp + fp + fn)

    p = 1 / (1 + np.exp(-logits.numpy()))
    double = (loss(p, y) + loss(1 - p, 1 - y)) / 2
    np.testing.assert_allclose(soft_f1_loss(logits, target, reduction="none"), double, rtol=1e-12)
    assert soft_f1_loss(logits, target).item() == pytest.approx(double.mean(), rel=1e-12)
    assert soft_f1_loss(logits, target, reduction="sum").item() == pytest.approx(double.sum(), rel=1e-12)
    np.testing.assert_allclose(soft_f1_loss(logits, target, double=False, reduction="none"), loss(p, y), rtol=1e-12)
    s = 1 / (1 + np.exp(-3 * (logits.numpy() - 0.4)))
    ours = sigmoid_f1_loss(logits, target, beta=3.0, eta=-0.4, reduction="none")
    np.testing.assert_allclose(ours, loss(s, y), rtol=1e-12)
    assert sigmoid_f1_loss(logits, target) == soft_f1_loss(logits, target, double=False)
    shaped = soft_f1_loss(logits.view(4, 5, 4), target.view(4, 5, 4))
    assert shaped == soft_f1_loss(logits, target)


@pytest.mark.parametrize("seed", range(5))
def test_hard_predictions_give_scikit_learns_scores(seed):
    rng = np.random.default_rng(seed)
    truth, pred = rng.integers(0, 2, (2, 40, 6))
    logits, target = torch.tensor(80.0 * pred - 40), torch.tensor(truth)
    f1 = f1_score(truth, pred, average="macro")
    other = f1_score(1 - truth, 1 - pred, average="macro")
    assert soft_f1_loss(logits, target).item() == pytest.approx(1 - (f1 + other) / 2, abs=1e-12)
    assert soft_f1_loss(logits, target, double=False).item() == pytest.approx(1 - f1, abs=1e-12)
    assert sigmoid_f1_loss(logits, target, beta=5.0, eta=2.0).item() == pytest.approx(1 - f1, abs=1e-12)
    each_class = f1_score(truth, pred, average=None)
    np.testing.assert_allclose(sigmoid_f1_loss(logits, target, reduction="none"), 1 - each_class, atol=1e-12)
    assert hamming_loss(logits, target).item() == pytest.approx(sklearn_hamming(truth, pred), abs=1e-12)


def test_a_class_absent_from_the_batch():
    """What the docstrings say, and zero_division=0 of scikit-learn."""
    logits, target = bits()
    target[:, 2] = False
    single = soft_f1_loss(logits, target, double=False, reduction="none")
    assert single[2] == 1 and (single[[0, 1, 3]] < 1).all()
    slope = gradient(soft_f1_loss, logits, target, double=False)
    assert (slope[:, 2] == 0).all() and (slope[:, [0, 1, 3]] != 0).all()
    assert sigmoid_f1_loss(logits, target, reduction="none")[2] == 1
    assert (gradient(soft_f1_loss, logits, target)[:, 2] > 0).all()  # the other half still pushes down
    # Not predicted either, to the last digit: still 1.
    silent = torch.full((3, 1), -1e4)
    assert soft_f1_loss(silent, torch.zeros(3, 1), double=False).item() == 1
    assert soft_f1_loss(silent, torch.zeros(3, 1)).item() == 0.5
    # Index losses: the batch's terms only, and the absent class is pushed down by them.
    scores, classes = samples()
    classes[classes == 1] = 2
    for loss in CLASS_LOSSES.values():
        assert loss(scores, classes).isfinite()
        assert (gradient(loss, scores, classes)[:, 1] >= 0).all()
    assert (gradient(focal_loss, scores, classes)[:, 1] > 0).all()


# --- overlap of masks -----------------------------------------------------------------------------------------------


def test_there_is_one_dice():
    assert consistency.dice_loss is dice_loss and "dice_loss" in consistency.__all__


def masks(shape=(3, 2, 6, 5), seed=0, dtype=torch.float64):
    generator = seeded(seed)
    p = torch.rand(shape, generator=generator, dtype=torch.float64)
    return p.to(dtype), torch.rand(shape, generator=generator) < 0.4


@pytest.mark.parametrize("pooled", [True, False])
def test_dice_and_iou_against_monai(pooled):
    from monai.losses import DiceLoss

    p, y = masks(dtype=torch.float32)
    options = {"smooth_nr": 1e-5, "smooth_dr": 1e-5, "batch": pooled, "include_background": True}
    for squared in (True, False):
        theirs = DiceLoss(squared_pred=squared, **options)(p, y.float())
        torch.testing.assert_close(dice_loss(p, y, squared=squared, pooled=pooled), theirs)
    torch.testing.assert_close(iou_loss(p, y, pooled=pooled), DiceLoss(jaccard=True, **options)(p, y.float()))


def test_dice_and_iou_by_hand():
    p, y = torch.tensor([[[1.0, 1.0, 0.5, 0.0]]]), torch.tensor([[[1, 0, 1, 0]]])
    assert iou_loss(p, y).item() == pytest.approx(1 - 1.5 / (2.5 + 2 - 1.5), abs=1e-5)
    assert dice_loss(p, y, squared=False).item() == pytest.approx(1 - 3 / 4.5, abs=1e-5)
    assert dice_loss(p, y).item() == pytest.approx(1 - 3 / 4.25, abs=1e-5)
    assert dice_loss(p, p).item() == 0 and iou_loss(p, p).item() == pytest.approx(1 - 2.25 / 2.75, abs=1e-5)  # soft
    nothing = torch.zeros(1, 1, 4)
    assert iou_loss(nothing, nothing).item() == 0 and dice_loss(nothing, nothing).item() == 0
    assert iou_loss(nothing, 1 - nothing).item() == pytest.approx(1, abs=1e-5)


def test_pooled_sums_over_rows_and_none_keeps_the_ratios():
    p, y = masks()
    for loss in (dice_loss, iou_loss):
        single = loss(p, y, pooled=False, reduction="none")
        assert single.shape == (3, 2)
        alone = torch.stack([loss(p[i : i + 1], y[i : i + 1], reduction="none") for i in range(3)])
        torch.testing.assert_close(single, alone)
        assert loss(p, y, pooled=False) == single.mean()
        assert loss(p, y, reduction="none").shape == (2,)
        assert loss(p, y, reduction="sum").item() == pytest.approx(2 * loss(p, y).item())
        whole = loss(p.movedim(0, 2)[None], y.movedim(0, 2)[None])  # rows as more pixels
        torch.testing.assert_close(loss(p, y), whole)


# --- MS-SSIM --------------------------------------------------------------------------------------------------------


def images(shape, seed=0, noise=0.1, dtype=torch.float64):
    generator = seeded(seed)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    for axis in range(2, len(shape)):  # structure at several scales
        x = x.cumsum(axis) - x.cumsum(axis).mean(axis, keepdim=True)
    x = (x - x.amin()) / (x.amax() - x.amin())
    y = (x + noise * torch.randn(shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return x.to(dtype), y.to(dtype)


def gauss(channels, dims):
    """The window for pytorch-msssim, whose own is rounded to float32 also for float64 images."""
    window = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    return (window / window.sum()).view([1] * (dims + 1) + [11]).repeat([channels] + [1] * (dims + 1))


@pytest.mark.parametrize("shape", [(2, 1, 176, 192), (1, 3, 192, 176)])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ms_ssim_is_pytorch_msssims(shape, data_range):
    from pytorch_msssim import ms_ssim as theirs

    x, y = (data_range * array for array in images(shape))
    ours = ms_ssim(x, y, data_range=data_range, reduction="none")
    options = {"data_range": data_range, "win": gauss(shape[1], 2)}
    expected = theirs(x, y, size_average=False, **options)
    assert 0.2 < expected[0] < 0.99
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=0)
    slopes = [
        gradient(ms_ssim, x, y, data_range=data_range),
        gradient(lambda a: theirs(a, y, **options), x),
    ]
    torch.testing.assert_close(*slopes, rtol=1e-8, atol=1e-10 * slopes[1].abs().max().item())


def test_ms_ssim_is_made_of_torchmetrics_parts_also_on_odd_sides():
    """Its own MS-SSIM leaves the padded border in the last scale, and only there; cut off, it is ours."""
    from torchmetrics.functional.image import structural_similarity_index_measure as theirs

    x, y = images((2, 1, 53, 47))
    options = {"data_range": 1.0, "reduction": "none"}
    _, fine = theirs(x, y, return_contrast_sensitivity=True, **options)
    _, coarse = theirs(F.avg_pool2d(x, 2), F.avg_pool2d(y, 2), return_full_image=True, **options)
    coarse = coarse[..., 5:-5, 5:-5].mean((1, 2, 3))
    ours = ms_ssim(x, y, weights=(0.3, 0.7), reduction="none")
    torch.testing.assert_close(ours, fine.relu() ** 0.3 * coarse.relu() ** 0.7, rtol=1e-8, atol=0)


def test_ssim_against_scikit_image():
    from skimage.metrics import structural_similarity

    x, y = images((1, 1, 40, 50))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, table = structural_similarity(x[0, 0].numpy(), y[0, 0].numpy(), data_range=1.0, truncate=5 / 1.5, **options)
    assert ms_ssim(x, y, weights=[1]).item() == pytest.approx(table[5:-5, 5:-5].mean(), rel=1e-10)


def test_ms_ssim_of_volumes():
    from pytorch_msssim import ssim as theirs

    x, y = images((2, 2, 13, 14, 12))
    ours = ms_ssim(x, y, weights=[1.0], reduction="none")
    expected = theirs(x, y, data_range=1.0, size_average=False, win=gauss(2, 3))
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=0)
    stack = torch.stack([x[0, 0, :, :, 0]] * 11, -1)[None, None]  # the same slice all along: the slice's own
    other = torch.stack([y[0, 0, :, :, 0]] * 11, -1)[None, None]
    flat = ms_ssim(stack[..., 0], other[..., 0], weights=[1.0])
    torch.testing.assert_close(ms_ssim(stack, other, weights=[1.0]), flat)


def test_ms_ssim_known_answers():
    x, y = images((2, 3, 60, 50))
    options = {"weights": [0.5, 0.5], "window": 7}
    assert ms_ssim(x, x, **options).item() == pytest.approx(1, abs=1e-12)
    assert ms_ssim_loss(x, x, **options).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(ms_ssim(x, y, **options), ms_ssim(y, x, **options))
    # Flat images: contrast is 1, what is left is the luminance of the last scale.
    a, b = torch.full((1, 1, 32, 32), 0.2, dtype=torch.float64), torch.full((1, 1, 32, 32), 0.6, dtype=torch.float64)
    luminance = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert ms_ssim(a, b, weights=[0.4, 0.6]).item() == pytest.approx(luminance**0.6, rel=1e-6)
    each_image = ms_ssim_loss(x, y, reduction="none", **options)
    assert each_image.shape == (2,) and ms_ssim_loss(x, y, **options) == each_image.mean()
    assert ms_ssim_loss(x, y, reduction="sum", **options) == each_image.sum()
    assert sum(MS_SSIM_WEIGHTS) == pytest.approx(1, abs=1e-3)


def test_ms_ssim_of_opposite_structure_is_0_without_nan():
    """github.com/VainF/pytorch-msssim issue 7: a negative mean to a broken power."""
    torch.manual_seed(0)
    x = torch.rand(1, 1, 190, 190)

    def plain(x, y):
        contrast = (2 * (x * y).mean() - 2 * x.mean() * y.mean()) / (x.var() + y.var())
        return contrast**0.0448

    assert plain(x, 1 - x).isnan()
    half = torch.cat([x, x])
    target = torch.cat([1 - x, x])
    slope = gradient(ms_ssim, half, target)
    assert ms_ssim(half, target, reduction="none").tolist() == pytest.approx([0, 1])
    assert (slope[0] == 0).all() and slope.isfinite().all()
    assert ms_ssim(x, 1 - x, weights=[0.1]).item() == 0
    assert ms_ssim(x, 1 - x, weights=[0.0, 0.0]).item() == 1  # a scale of weight 0 has no say


def test_ms_ssim_says_how_many_scales_fit():
    x, y = images((1, 1, 64, 100))
    with pytest.raises(ValueError, match=r"5 scales .* need images of at least 176 .* got \(64, 100\): room for 3"):
        ms_ssim(x, y)
    assert 0 < ms_ssim(x, y, weights=[0.2, 0.3, 0.5]).item() < 1
    with pytest.raises(ValueError, match="room for 0; pass fewer weights or a smaller window"):
        ms_ssim_loss(x[..., :8, :8], y[..., :8, :8])
    edge = images((1, 1, 176, 176))
    assert ms_ssim(*edge).isfinite()
    with pytest.raises(ValueError, match="room for 4"):
        ms_ssim(edge[0][..., 1:], edge[1][..., 1:])


def test_ms_ssim_under_autocast_keeps_its_digits():
    x, y = images((1, 1, 64, 64), dtype=torch.float32, noise=0.01)
    outside = ms_ssim(x, y, weights=[1.0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ms_ssim(x, y, weights=[1.0]) == outside


# --- what holds for all ---------------------------------------------------------------------------------------------


@each(CLASS_LOSSES)
def test_gradients_of_class_losses(loss):
    logits, target = samples(rows=5, shape=(2,))
    for reduction in ("mean", "none"):
        call = lambda x: loss(x, target, reduction=reduction)  # noqa: B023, E731
        assert torch.autograd.gradcheck(call, logits.requires_grad_())
        assert torch.autograd.gradgradcheck(call, logits)


@each(BIT_LOSSES)
def test_gradients_of_bit_losses(loss):
    logits, target = bits(rows=5)
    logits.requires_grad_()
    for y in (target, torch.where(target, 0.8, 0.1)):
        assert torch.autograd.gradcheck(lambda x: loss(x, y), logits)  # noqa: B023
        assert torch.autograd.gradgradcheck(lambda x: loss(x, y), logits)  # noqa: B023


def test_gradients_of_the_rest():
    logits, target = samples(rows=5)
    soft = torch.softmax(logits.roll(1, 0), 1)
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, soft, alpha=[1.0, 2.0, 3.0, 4.0]), logits.requires_grad_())
    p, y = masks((2, 2, 3))
    p = p.requires_grad_()
    for loss in (dice_loss, iou_loss):
        assert torch.autograd.gradcheck(lambda p: loss(p, y, pooled=False), p)  # noqa: B023
    for shape in ((1, 2, 7, 8), (1, 1, 6, 7, 6)):
        x, z = images(shape)
        options = {"weights": [0.4, 0.6], "window": 3}
        assert torch.autograd.gradcheck(lambda a, b: ms_ssim_loss(a, b, **options), (x.requires_grad_(), z))  # noqa: B023
        assert torch.autograd.gradcheck(lambda b: ms_ssim_loss(x.detach(), b, **options), z.requires_grad_())  # noqa: B023
    head = CosineHead(3, 2).double()
    assert torch.autograd.gradcheck(head, torch.randn(4, 3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    "loss,make", [(focal_loss, samples), (sigmoid_focal_loss, bits), (CLASS_LOSSES["ldam"], samples)]
)
def test_a_second_backward_pass_and_torch_func_give_the_same_gradient(loss, make):
    """The first pass takes the array that the forward pass made; the next makes it again."""
    logits, target = make()
    first = gradient(loss, logits, target)
    x = logits.clone().requires_grad_()
    value = loss(x, target)
    for _ in range(3):
        torch.testing.assert_close(torch.autograd.grad(value, x, retain_graph=True)[0], first)
    torch.testing.assert_close(torch.func.grad(lambda x: loss(x, target))(logits), first)
    assert torch.equal(x, logits)  # nothing was written into the input
    value = loss(x, target, reduction="none")
    weight = torch.rand(value.shape, generator=seeded(3), dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(value, x, weight)[0],
        gradient(lambda x: (weight * loss(x, target, reduction="none")).sum(), logits),
    )
    with torch.no_grad():
        assert loss(logits, target) == loss(x, target)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 1.5, 2.0])
def test_the_second_derivative_of_a_sure_sample_is_0(gamma):
    """A power below 1 has none at 0; the loss has."""
    x = torch.tensor([[1e4, -1e4], [200.0, 0.0]], dtype=torch.float64, requires_grad=True)
    yes, soft = torch.tensor([[1, 0], [1, 0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    calls = [
        (focal_loss, torch.tensor([0, 0])),
        (focal_loss, soft),
        (sigmoid_focal_loss, yes),
        (sigmoid_focal_loss, 0.98 * soft + 0.01),
    ]
    for loss, target in calls:
        (slope,) = torch.autograd.grad(loss(x, target, gamma=gamma), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum() + slope.sum(), x)
        assert slope.isfinite().all() and second.isfinite().all()
        if target is not calls[3][1]:
            assert second[0].abs().max() < 1e-12


WIDE = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", WIDE, ids=str)
@each(CLASS_LOSSES)
def test_class_losses_at_huge_logits(loss, dtype):
    """Right or wrong by up to 20,000: float32 has what float64 has, and no nan."""
    rows = [[1e4, -1e4, 0, 0], [-1e4, 1e4, 1e4, 0], [0, 0, 0, 0], [1e4] * 4, [-1e4] * 4, [60, 0, -60, 5], [8, 7, 6, 5]]
    logits = torch.tensor(rows, dtype=dtype).repeat_interleave(4, 0)
    target = torch.arange(4).repeat(len(rows))
    ours = loss(logits, target, reduction="none")
    assert ours.dtype == torch.promote_types(dtype, torch.float32) and ours.isfinite().all() and (ours >= 0).all()
    exact = logits.double()
    torch.testing.assert_close(ours.double(), loss(exact, target, reduction="none"), rtol=2e-5, atol=2e-6)
    for reduction in ("sum", "mean"):
        slope = gradient(loss, logits, target, reduction=reduction)
        assert slope.dtype == dtype and slope.isfinite().all()
        expected = gradient(loss, exact, target, reduction=reduction)
        torch.testing.assert_close(slope.double(), expected, rtol=1e-2, atol=1e-2 * expected.abs().max().item())


@pytest.mark.parametrize("dtype", WIDE, ids=str)
def test_focal_and_ldam_at_huge_logits_by_hand(dtype):
    logits = torch.tensor([[1e4, -1e4]] * 2, dtype=dtype)
    target = torch.tensor([0, 1])
    gap = 2 * logits[0, 0].double().item()
    for gamma in (0.0, 0.5, 1.0, 2.0):
        loss = focal_loss(logits, target, gamma=gamma, reduction="none")
        assert loss.tolist() == pytest.approx([0, gap])
        slope = gradient(focal_loss, logits, target, gamma=gamma, reduction="sum")
        assert slope.tolist() == [[0, 0], [1, -1]]
        loss = sigmoid_focal_loss(logits, target.unsqueeze(1).expand(2, 2), gamma=gamma, reduction="none")
        assert loss.tolist() == [[gap / 2, 0], [0, gap / 2]]
    margin = {"class_counts": [16, 1], "reduction": "none"}
    assert ldam_loss(logits, target, **margin).tolist() == pytest.approx([0, 30 * (gap + 0.5)])
    assert gradient(lambda x: ldam_loss(x, target, **margin).sum(), logits).tolist() == [[0, 0], [30, -30]]


@pytest.mark.parametrize("dtype", WIDE, ids=str)
@each(BIT_LOSSES)
def test_bit_losses_at_huge_logits(loss, dtype):
    logits = torch.tensor([-1e4, -60.0, -8.0, 0.0, 8.0, 60.0, 1e4], dtype=dtype).repeat(2).unsqueeze(1)
    for target in (torch.arange(14).unsqueeze(1) < 7, torch.arange(14).unsqueeze(1) / 13):
        ours, exact = loss(logits, target), logits.double()
        assert ours.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(ours.double(), loss(exact, target), rtol=2e-5, atol=2e-6)
        slope, expected = gradient(loss, logits, target), gradient(loss, exact, target)
        assert slope.dtype == dtype and slope.isfinite().all()
        torch.testing.assert_close(slope.double(), expected, rtol=1e-2, atol=1e-2 * expected.abs().max().item())


def test_small_losses_keep_their_digits():
    """1 - p as such has no digit left beyond p = 1 - 6e-8; the loss of a sure bit is still exact."""
    x = torch.tensor([-40.0, -20.0, -10.0])
    expected = [math.exp(3 * v) for v in (-40, -20)] + [(1 / (1 + math.e**10)) ** 2 * math.log1p(math.exp(-10))]
    assert sigmoid_focal_loss(x, torch.zeros(3), reduction="none").tolist() == pytest.approx(expected, rel=1e-5)
    assert sigmoid_focal_loss(-x, torch.ones(3), reduction="none").tolist() == pytest.approx(expected, rel=1e-5)
    far = torch.tensor([[0.0, 95.0], [0.0, 120.0]])  # where p of the true class is subnormal, and 0
    assert focal_loss(far, torch.zeros(2, dtype=torch.int64), reduction="none").tolist() == [95.0, 120.0]
    torch.testing.assert_close(
        focal_loss(far.view(1, 2, 2).mT, torch.zeros(1, 2, dtype=torch.int64), reduction="none"),
        torch.tensor([[95.0, 120.0]]),
    )


def test_masked_classes():
    """-inf takes a class out of the softmax."""
    logits, target = samples(classes=5)
    masked = logits.clone()
    masked[:, 4] = -math.inf
    target[target == 4] = 0
    torch.testing.assert_close(focal_loss(masked, target), focal_loss(logits[:, :4], target))
    slope = gradient(focal_loss, masked, target)
    torch.testing.assert_close(slope[:, :4], gradient(focal_loss, logits[:, :4].contiguous(), target))
    assert (slope[:, 4] == 0).all()


def test_nan_in_the_logits_is_passed_on_and_in_the_target_refused():
    logits, target = samples()
    logits[3, 1] = math.nan
    for loss in CLASS_LOSSES.values():
        value = loss(logits, target, reduction="none")
        assert value[3].isnan() and value.isnan().sum() == 1 and loss(logits, target).isnan()
    scores, yes = bits()
    scores[3, 1] = math.nan
    for loss in BIT_LOSSES.values():
        assert loss(scores, yes).isnan()
        with pytest.raises(ValueError, match=r"target must be in \[0, 1\], got nan"):
            loss(torch.zeros(2, 2), torch.tensor([[0.0, math.nan], [0.0, 1.0]]))


@each(CLASS_LOSSES)
def test_reductions_and_the_empty_batch_of_class_losses(loss):
    logits, target = samples(shape=(3,))
    each_sample = loss(logits, target, reduction="none")
    assert each_sample.shape == target.shape
    torch.testing.assert_close(loss(logits, target, reduction="sum"), each_sample.sum())
    empty = torch.zeros(0, 4, 3, requires_grad=True)
    assert loss(empty, torch.zeros(0, 3, dtype=torch.int64), reduction="none").shape == (0, 3)
    for reduction in ("mean", "sum"):
        nothing = loss(empty, torch.zeros(0, 3, dtype=torch.int64), reduction=reduction)
        assert nothing.item() == 0
        nothing.backward()
        assert empty.grad.shape == (0, 4, 3)


@each(BIT_LOSSES)
def test_reductions_and_the_empty_batch_of_bit_losses(loss):
    logits, target = bits()
    each_one = loss(logits, target, reduction="none")
    assert each_one.shape in [(12, 4), (4,)]
    torch.testing.assert_close(loss(logits, target), each_one.mean())
    torch.testing.assert_close(loss(logits, target, reduction="sum"), each_one.sum())
    empty = torch.zeros(0, 4, requires_grad=True)
    for reduction in ("mean", "sum"):
        nothing = loss(empty, torch.zeros(0, 4), reduction=reduction)
        assert nothing.item() == 0
        nothing.backward()
    assert loss(torch.zeros(1, 4), torch.ones(1, 4)).isfinite()  # one sample


def test_the_empty_batch_of_the_rest():
    p = torch.zeros(0, 2, 5, requires_grad=True)
    for loss in (dice_loss, iou_loss):
        for pooled in (True, False):
            value = loss(p, torch.zeros(0, 2, 5), pooled=pooled)
            assert value.item() == 0
            value.backward()
    x = torch.zeros(0, 1, 32, 32)
    assert ms_ssim(x, x, weights=[1]).item() == 0 and ms_ssim_loss(x, x, weights=[1]).item() == 0
    assert ms_ssim_loss(x, x, weights=[1], reduction="none").shape == (0,)
    soft = focal_loss(torch.zeros(0, 3), torch.zeros(0, 3))
    assert soft.item() == 0


def test_views_are_as_good_as_copies_and_nothing_is_written():
    logits, target = samples(rows=8, shape=(6,))
    x, y = logits[::2].transpose(1, 2).contiguous().transpose(1, 2)[..., ::2], target[::2, ::2]
    copies = (x.clone(), y.clone())
    for loss in CLASS_LOSSES.values():
        torch.testing.assert_close(loss(x, y), loss(x.contiguous(), y.contiguous()))
        torch.testing.assert_close(gradient(loss, x, y), gradient(loss, x.contiguous(), y.contiguous()))
    scores, yes = bits()
    for loss in BIT_LOSSES.values():
        torch.testing.assert_close(loss(scores.T[::2], yes.T[::2]), loss(scores[:, ::2].T.contiguous(), yes[:, ::2].T))
    assert torch.equal(x, copies[0]) and torch.equal(y, copies[1])


# --- properties -----------------------------------------------------------------------------------------------------

logit = st.floats(-1e4, 1e4, width=32)
row = st.lists(st.lists(logit, min_size=3, max_size=3), min_size=1, max_size=6)


@few
@given(row, st.floats(0, 5), st.integers(0, 2**31))
def test_focal_properties(rows, gamma, seed):
    logits = torch.tensor(rows, dtype=torch.float64)
    target = torch.randint(3, (len(rows),), generator=seeded(seed))
    loss = focal_loss(logits, target, gamma=gamma, reduction="none")
    entropy = F.cross_entropy(logits, target, reduction="none")
    assert (loss >= 0).all() and (loss <= entropy + 1e-9).all() and loss.isfinite().all()
    assert (focal_loss(logits, target, gamma=gamma + 1, reduction="none") <= loss + 1e-9).all()
    torch.testing.assert_close(
        focal_loss(logits + 3, target, gamma=gamma, reduction="none"), loss, rtol=1e-5, atol=1e-9
    )
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        focal_loss(logits[:, order], order.argsort()[target], gamma=gamma, reduction="none"), loss
    )
    slope = gradient(focal_loss, logits, target, gamma=gamma)
    assert slope.isfinite().all() and (slope.gather(1, target[:, None]) <= 0).all()
    torch.testing.assert_close(slope.sum(1), torch.zeros(len(rows), dtype=torch.float64), atol=1e-9, rtol=0)


@few
@given(row, st.lists(st.integers(1, 10**6), min_size=3, max_size=3), st.floats(0, 1), st.integers(0, 2**31))
def test_ldam_properties(rows, counts, margin, seed):
    logits = torch.tensor(rows, dtype=torch.float64) / 1e4
    target = torch.randint(3, (len(rows),), generator=seeded(seed))
    options = {"class_counts": counts, "reduction": "none"}
    margins = ldam_margins(counts, max_margin=margin)
    assert margins.max().item() == pytest.approx(margin) and (margins >= 0).all()
    assert all((margins[i] >= margins[j]) or counts[i] > counts[j] for i in range(3) for j in range(3))
    loss = ldam_loss(logits, target, max_margin=margin, **options)
    none, more = (ldam_loss(logits, target, max_margin=m, **options) for m in (0.0, margin + 0.1))
    assert (loss >= none - 1e-9).all() and (more >= loss - 1e-9).all()
    assert (loss <= none + 30 * margins[target] + 1e-9).all()  # a margin costs at most what it is
    weights = class_balanced_weights(counts, beta=min(margin, 0.999))
    assert weights.sum().item() == pytest.approx(3) and (weights > 0).all()
    assert all(weights[i] >= weights[j] - 1e-12 for i in range(3) for j in range(3) if counts[i] <= counts[j])


@few
@given(row, st.integers(0, 2**31))
def test_bit_loss_properties(rows, seed):
    logits = torch.tensor(rows, dtype=torch.float64)
    target = torch.rand(logits.shape, generator=seeded(seed)) < 0.5
    for name, loss in BIT_LOSSES.items():
        value, slope = loss(logits, target, reduction="none"), gradient(loss, logits, target)
        assert value.isfinite().all() and slope.isfinite().all() and (value >= 0).all()
        assert (slope[target] <= 1e-12).all() and (slope[~target] >= -1e-12).all(), name  # always the right way
        if not name.startswith("sigmoid focal"):
            assert (value <= 1 + 1e-12).all()
    swapped = soft_f1_loss(-logits, ~target, reduction="none")
    torch.testing.assert_close(swapped, soft_f1_loss(logits, target, reduction="none"))
    torch.testing.assert_close(hamming_loss(-logits, ~target), hamming_loss(logits, target))
    order = torch.randperm(len(rows), generator=seeded(seed))
    torch.testing.assert_close(soft_f1_loss(logits[order], target[order]), soft_f1_loss(logits, target))


@few
@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_overlap_properties(seed, share):
    y, p = torch.rand((2, 2, 3, 20), generator=seeded(seed), dtype=torch.float64) < share
    p = p.double()
    dice, iou = (1 - loss(p, y, smooth=1e-12, reduction="none") for loss in (dice_loss, iou_loss))
    torch.testing.assert_close(dice, 2 * iou / (1 + iou), atol=1e-9, rtol=0)  # holds for sure predictions
    assert (iou >= -1e-12).all() and (iou <= 1).all()
    assert dice_loss(y.double(), y).item() == pytest.approx(0, abs=1e-9) == iou_loss(y.double(), y).item()


# --- bad input ------------------------------------------------------------------------------------------------------

LOGITS, CLASSES, BITS = torch.zeros(3, 4), torch.tensor([0, 1, 3]), torch.zeros(3, 4)
BAD_CLASSES = [
    ((torch.zeros(3, 4, dtype=torch.int64), CLASSES), "logits must be floating-point .* got int64 \\(3, 4\\)"),
    ((torch.zeros(3), CLASSES), "logits must be floating-point \\(B, C, ...\\), got float32 \\(3,\\)"),
    ((LOGITS, torch.tensor([0, 1, 4])), "target must hold classes from 0 to 3, got 4"),
    ((LOGITS, torch.tensor([0, -1, 3])), "target must hold classes from 0 to 3, got -1"),
    ((LOGITS, CLASSES[:2]), "target must be int64 class indices \\(3,\\).*, got int64 \\(2,\\)"),
    ((LOGITS, CLASSES.int()), "target must be int64 class indices \\(3,\\).*, got int32 \\(3,\\)"),
    ((LOGITS, torch.zeros(3, 4, dtype=torch.int64)), "target must be int64 class indices"),
]


@each(CLASS_LOSSES)
@pytest.mark.parametrize("inputs,message", BAD_CLASSES)
def test_bad_class_input(loss, inputs, message):
    with pytest.raises(ValueError, match=message):
        loss(*inputs)


@each(BIT_LOSSES)
@pytest.mark.parametrize(
    "inputs,message",
    [
        ((LOGITS.long(), BITS), "logits must be floating-point.*, got int64"),
        ((LOGITS, BITS[:2]), "target must have the shape of logits, \\(3, 4\\), got float32 \\(2, 4\\)"),
        ((LOGITS, CLASSES), "target must have the shape of logits"),
        ((LOGITS, BITS + 1.5), "target must be in \\[0, 1\\], got 1.5"),
        ((LOGITS, BITS.long() - 1), "target must be in \\[0, 1\\], got -1"),
    ],
)
def test_bad_bit_input(loss, inputs, message):
    with pytest.raises(ValueError, match=message):
        loss(*inputs)


def ldam(**options):
    return ldam_loss(LOGITS, CLASSES, **{"class_counts": COUNTS, **options})


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: focal_loss(LOGITS, CLASSES, gamma=-1), "gamma must be finite and at least 0, got -1"),
        (lambda: focal_loss(LOGITS, CLASSES, gamma=math.nan), "gamma must be finite"),
        (lambda: focal_loss(LOGITS, CLASSES, gamma=[1, 2]), "gamma must be a number, .*, got \\[1, 2\\]"),
        (lambda: focal_loss(LOGITS, CLASSES, alpha=0.25), "alpha must be \\(4,\\), .* got 0.25"),
        (lambda: focal_loss(LOGITS, CLASSES, alpha=[1.0, 2.0]), "alpha must be \\(4,\\), .* got \\[1.0, 2.0\\]"),
        (lambda: focal_loss(LOGITS, CLASSES, alpha=[1, 2, -1, 1]), "alpha must be finite and at least 0"),
        (lambda: focal_loss(LOGITS, CLASSES, reduction="avg"), "reduction must be 'none', 'mean' or 'sum', got 'avg'"),
        (lambda: focal_loss(LOGITS, BITS[:, :3]), "soft target must have the shape of logits"),
        (lambda: focal_loss(LOGITS, BITS + 2), "target must be in \\[0, 1\\], got 2"),
        (lambda: sigmoid_focal_loss(LOGITS, BITS, alpha=2), "alpha must be in \\[0, 1\\], got 2"),
        (lambda: sigmoid_focal_loss(LOGITS, BITS, alpha=[0.2, 0.8]), "alpha must be a number"),
        (lambda: sigmoid_f1_loss(LOGITS, BITS, beta=0), "beta must be finite and above 0, got 0"),
        (lambda: sigmoid_f1_loss(LOGITS, BITS, eta=math.inf), "eta must be finite, got inf"),
        (lambda: soft_f1_loss(torch.tensor(0.0), torch.tensor(0.0)), "logits must be floating-point \\(..., C\\)"),
        (lambda: ldam(class_counts=[5, 0, 1, 2]), "class_counts must be at least 1, got 0 for class 1"),
        (lambda: ldam(class_counts=[5, 1, 1, -2]), "class_counts must be at least 1, got -2 for class 3"),
        (lambda: ldam(class_counts=[5, 1, math.nan, 2]), "class_counts must be at least 1, got nan for class 2"),
        (lambda: ldam(class_counts=[5, 1, 2]), "class_counts must be \\(4,\\), .* got float64 \\(3,\\)"),
        (lambda: ldam(class_counts=7), "class_counts must be \\(C,\\), one number a class, got 7"),
        (lambda: ldam(class_counts=[]), "class_counts must be \\(C,\\)"),
        (lambda: ldam(max_margin=-0.1), "max_margin must be finite and at least 0, got -0.1"),
        (lambda: ldam(scale=0), "scale must be finite and above 0, got 0"),
        (lambda: ldam(weight=[1.0]), "weight must be \\(4,\\)"),
        (lambda: ldam(weight=[1.0, math.nan, 1.0, 1.0]), "weight must be finite"),
        (
            lambda: ldam_loss(LOGITS, torch.softmax(LOGITS, 1), class_counts=COUNTS),
            "target must be int64 class indices",
        ),
        (lambda: lmf_loss(LOGITS, CLASSES, class_counts=COUNTS, weight="margin"), "'margins' or None, got 'margin'"),
        (lambda: lmf_loss(LOGITS, CLASSES, class_counts=COUNTS, alpha=-1), "alpha must be finite and at least 0"),
        (lambda: lmf_loss(LOGITS, CLASSES, class_counts=COUNTS, beta=-1), "beta must be finite and at least 0"),
        (lambda: class_balanced_weights([3, 0]), "class_counts must be at least 1, got 0 for class 1"),
        (lambda: class_balanced_weights([3, 1], beta=1.1), "beta must be in \\[0, 1\\], got 1.1"),
        (lambda: drw_weights([3, 0], epoch=0, start=5), "class_counts must be at least 1"),
        (lambda: dice_loss(BITS, BITS, smooth=0), "smooth must be finite and above 0, got 0"),
        (lambda: iou_loss(BITS.long(), BITS), "probability must be floating-point"),
        (lambda: iou_loss(BITS, BITS[:2]), "target must have the shape of probability"),
        (lambda: iou_loss(BITS, BITS, reduction="max"), "reduction must be"),
        (
            lambda: ms_ssim(torch.zeros(1, 32, 32), torch.zeros(1, 32, 32)),
            "images must be floating-point \\(B, C, H, W",
        ),
        (lambda: ms_ssim(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 31)), "target must have the shape of images"),
        (lambda: ssim(data_range=0), "data_range must be finite and above 0"),
        (lambda: ssim(window=4), "window must be odd and at least 1, got 4"),
        (lambda: ssim(sigma=0), "sigma must be finite and above 0"),
        (lambda: ssim(weights=[]), "weights must be a sequence of numbers, at least one, got \\[\\]"),
        (lambda: ssim(weights=[-1.0]), "weights\\[0\\] must be finite and at least 0"),
        (lambda: ssim(k=(0.01, -1)), "k\\[1\\] must be finite and at least 0"),
        (lambda: ssim(reduction="avg"), "reduction must be"),
    ],
)
def test_bad_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def ssim(**options):
    return ms_ssim(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32), **{"weights": [1.0], **options})


def test_hyperparameters_are_keywords_and_every_function_has_its_formula_or_reference():
    for name in losses.__all__:
        function = getattr(losses, name)
        if not inspect.isfunction(function):
            continue
        kinds = [p.kind for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
        assert set(kinds) <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}, name
        assert ">>>" in function.__doc__ and "Raises:" in function.__doc__, name


def test_no_warning_on_the_usual_way():
    logits, target = samples()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in CLASS_LOSSES.values():
            gradient(loss, logits, target)
        for loss in BIT_LOSSES.values():
            gradient(loss, *bits())
        gradient(ms_ssim_loss, *images((1, 1, 32, 32)), weights=[1.0])


# --- bugs in circulation, each in a plain re-statement, and ours without it -----------------------------------------


def test_bug_focal_of_the_batch_mean_is_cross_entropy_at_another_learning_rate():
    """Of a mean, (1 - p)^gamma is one number: the LMF snippet that is widely copied, and many focal losses."""
    logits, target = samples(rows=64, classes=10)

    def of_the_mean(x, y):
        entropy = F.cross_entropy(x, y)
        return (1 - torch.exp(-entropy)) ** 2 * entropy

    plain = gradient(F.cross_entropy, logits, target)
    assert cosine(gradient(of_the_mean, logits, target), plain) == pytest.approx(1, abs=1e-12)
    assert cosine(gradient(focal_loss, logits, target), plain) < 0.999


def test_bug_focal_averaged_before_the_power_cannot_tell_easy_from_hard():
    """kaidic/LDAM-DRW issue 6: the mean that cross_entropy takes by itself comes before the power; the mean after it,
    which the code also has, then changes nothing."""

    def published(x, y, gamma=1.0):
        values = F.cross_entropy(x, y)  # reduction="none" is missing
        p = torch.exp(-values)
        loss = (1 - p) ** gamma * values
        assert loss.ndim == 0
        return loss.mean()

    # One sample at p = 0.99 and one at p = 0.01, whose cross-entropy gradients are 0.01 and 0.99 long.
    odds = math.log(0.99 / 0.01)
    logits = torch.tensor([[odds, 0.0], [-odds, 0.0]], dtype=torch.float64)
    target = torch.tensor([0, 0])

    def share_of_the_easy_one(loss, **options):
        easy, hard = gradient(loss, logits, target, **options).norm(dim=1)
        return (easy / hard).item()

    assert share_of_the_easy_one(F.cross_entropy) == pytest.approx(0.01 / 0.99, rel=1e-9)
    assert share_of_the_easy_one(published) == pytest.approx(0.01 / 0.99, rel=1e-9)  # nothing gained
    assert share_of_the_easy_one(focal_loss, gamma=1.0) < 0.03 * 0.01 / 0.99


def test_bug_focal_with_a_power_below_1_is_nan_where_it_should_be_0():
    """kaidic/LDAM-DRW issue 17: a sample that is learnt has loss 0 and, with gamma = 0.5, slope 0 times infinity."""

    def published(x, y):
        values = F.cross_entropy(x, y, reduction="none")
        return ((1 - torch.exp(-values)) ** 0.5 * values).mean()

    logits, target = torch.tensor([[50.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    assert gradient(published, logits, target).isnan().any()
    slope = gradient(focal_loss, logits, target, gamma=0.5)
    assert slope[0].abs().max() < 1e-20 and (slope[1] != 0).all()


def test_bug_margins_that_are_also_class_weights():
    """Adnan-Sadi/LMFLOSS hands its margin vector to both terms as class weights. Named here: weight="margins"."""
    logits, target = samples(rows=40)
    margins = ldam_margins(COUNTS)

    def published(x, y, alpha=1.5, beta=1.0, gamma=1.5, s=30.0):
        moved = torch.where(F.one_hot(y, 4).bool(), x - margins, x)
        ldam = F.cross_entropy(s * moved, y, weight=margins)
        logp = x.log_softmax(1).gather(1, y[:, None])[:, 0]
        focal = (margins[y] * (1 - logp.exp()) ** gamma * -logp).mean()
        return alpha * ldam + beta * focal

    options = {"class_counts": COUNTS, "alpha": 1.5, "gamma": 1.5}
    torch.testing.assert_close(lmf_loss(logits, target, weight="margins", **options), published(logits, target))
    assert not torch.isclose(lmf_loss(logits, target, **options), published(logits, target), rtol=0.01)
    # One sample of the head and one of the tail, equally wrong: what the reuse adds is a weight of (1000/5)^(1/4).
    pair = torch.tensor([[-2.0, 2.0, 0, 0], [0, 0, 2.0, -2.0]], dtype=torch.float64)

    def tail_against_head(**o):
        head, tail = gradient(focal_or_lmf, pair, torch.tensor([0, 3]), **o).norm(dim=1)
        return (tail / head).item()

    def focal_or_lmf(x, y, **o):
        return lmf_loss(x, y, class_counts=COUNTS, alpha=0.0, **o)

    assert tail_against_head() == pytest.approx(1, rel=1e-9)
    assert tail_against_head(weight="margins") == pytest.approx((1000 / 5) ** 0.25, rel=1e-9)


def test_bug_double_sigmoid():
    """The code published with sigmoidF1 puts the logits through a sigmoid first: S lies in [0.50, 0.73]."""

    def published(x, y, slope=-1.0, offset=0.0):
        s = 1 / (1 + torch.exp(slope * (x.sigmoid() + offset)))
        tp, fp, fn = (s * y).sum(0), (s * (1 - y)).sum(0), ((1 - s) * y).sum(0)
        return (1 - 2 * tp / (2 * tp + fn + fp)).mean(), s

    logits, target = bits(rows=200, share=0.1, spread=6.0)
    y = target.double()
    loss, s = published(logits, y)
    assert 0.5 <= s.min() < 0.51 and 0.72 < s.max() <= 0.7311
    perfect = 200 * y - 100
    assert published(perfect, y)[0] > 0.6  # the best prediction there is
    assert sigmoid_f1_loss(perfect, y).item() == pytest.approx(0, abs=1e-12)
    # Its other setting, S = -10 and E = 1, is flat.
    _, flat = published(logits, y, -10.0, 1.0)
    assert flat.min() > 0.9999
    frozen = gradient(lambda x: published(x, y, -10.0, 1.0)[0], logits).abs().max()
    assert frozen < 1e-3 * gradient(sigmoid_f1_loss, logits, y).abs().max()


def test_bug_f1_loss_with_a_clamp():
    """A popular PyTorch f1_loss clamps p (1 - y) from below: it adds 0.01 to positives and freezes sure negatives."""

    def popular(x, y):
        p = x.sigmoid()
        p = torch.clamp(p * (1 - y), min=0.01) + p * y
        tp = (p * y).sum(0)
        precision, recall = tp / (p.sum(0) + 1e-8), tp / (y.sum(0) + 1e-8)
        return 1 - (2 * precision * recall / (precision + recall + 1e-8)).mean()

    sure, ones = torch.full((8, 1), 40.0, dtype=torch.float64), torch.ones(8, 1, dtype=torch.float64)
    assert popular(sure, ones).item() == pytest.approx(-0.005, abs=1e-4)
    assert sigmoid_f1_loss(sure, ones).item() == pytest.approx(0, abs=1e-12)
    logits = torch.tensor([[3.0], [-5.0]], dtype=torch.float64)  # p = 0.0067 < 0.01 for the negative
    y = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    assert gradient(popular, logits, y)[1] == 0
    assert gradient(sigmoid_f1_loss, logits, y)[1] > 0


def test_bug_soft_f1_of_small_batches_is_biased():
    """The mean of batches' F1 is not the F1 of the set: the smaller the batch and the rarer the label, the lower."""
    generator = seeded()
    target = torch.rand(16384, 5, generator=generator) < 0.03
    logits = 1.5 * torch.randn(16384, 5, generator=generator) - 3.0 + 2.5 * target

    def score(batch):
        return 1 - np.mean([soft_f1_loss(x, y, double=False) for x, y in zip(logits.split(batch), target.split(batch))])

    whole = score(16384)
    small, middle, large = (whole - score(batch) for batch in (16, 64, 1024))
    assert small > 2 * middle > 4 * large > 0
    assert small > 0.2 * whole and large < 0.02 * whole
    # Cross-entropy and Hamming have no such bias.
    parts = np.mean([hamming_loss(x, y) for x, y in zip(logits.split(16), target.split(16))])
    assert parts == pytest.approx(hamming_loss(logits, target).item(), rel=1e-5)


def test_bug_last_scale_to_the_fourth_power():
    """UNet-Version's MS-SSIM multiplies the last term into the product over the others: it counts once for each."""
    bars, weights = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor(MS_SSIM_WEIGHTS)
    powers = bars**weights
    published = torch.prod(powers[:-1] * powers[-1])
    assert published.item() == pytest.approx((powers[:-1].prod() * powers[-1] ** 4).item())
    # Flat images have contrast 1: MS-SSIM is the last scale's luminance to its weight, once.
    a, b = (
        torch.full((1, 1, 176, 176), 0.2, dtype=torch.float64),
        torch.full((1, 1, 176, 176), 0.6, dtype=torch.float64),
    )
    luminance = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert ms_ssim(a, b).item() == pytest.approx(luminance**0.1333, rel=1e-6)


def test_bug_iou_of_nothing_is_nan():
    """The same code's IoU divides by what is there plus what is predicted: 0/0 on an empty slice."""
    nothing = torch.zeros(1, 1, 4, 4)
    both = (nothing * nothing).sum()
    assert (both / (nothing.sum() + nothing.sum() - both)).isnan()
    assert iou_loss(nothing, nothing, pooled=False).item() == 0


# --- kinds of faults, over all losses -------------------------------------------------------------------------------

MASKS = torch.rand((2, 2, 4, 4), generator=seeded()) < 0.4
OVERLAPS = {
    "dice_loss": dice_loss,
    "iou_loss": iou_loss,
    "dtc_loss": lambda p, y: consistency.dtc_loss(p.logit(), p.logit(), y, MASKS * 1.0, lam=0.1).total,
    "mean_teacher_loss": lambda p, y: consistency.mean_teacher_loss(p.logit(), p.logit(), y, lam=0.1).total,
}


@each(OVERLAPS)
@pytest.mark.parametrize("wrong", [255, -1, 1.5, math.nan])
def test_masks_outside_of_0_to_1_are_refused(loss, wrong):
    """255 * mask is what a picture holds: its Dice loss would be -254, in silence."""
    p = torch.full(MASKS.shape, 0.3)
    loss(p, MASKS)
    for kind in (torch.float16, torch.float32, torch.float64, *([torch.uint8, torch.int64] if wrong == 255 else [])):
        target = torch.where(MASKS, wrong, 0).to(kind)
        with pytest.raises(ValueError, match=rf"^target must be in \[0, 1\], got {wrong}$"):
            loss(p, target)


@pytest.mark.parametrize("loss", [dice_loss, iou_loss])
def test_probabilities_outside_of_0_to_1_are_refused_and_nan_is_passed_on(loss):
    for wrong in (255.0, -1.0, 1.5, math.inf):
        p = torch.full(MASKS.shape, 0.3)
        p[0, 0, 0, 0], p[1, 0, 0, 0] = wrong, math.nan
        with pytest.raises(ValueError, match=rf"^probability must be in \[0, 1\], got {wrong:g}$"):
            loss(p, MASKS)
    p = torch.where(MASKS, math.nan, 0.5)
    assert loss(p, MASKS).isnan()
    values = torch.cat([p[:, :1], torch.full((2, 1, 4, 4), 0.5)], 1)
    assert loss(values, MASKS, reduction="none").isnan().tolist() == [True, False]


NOT_TENSORS = [np.zeros((3, 4), np.float32), [[0.0] * 4] * 3, torch.zeros(3, 4).to_sparse(), None]


@each({**CLASS_LOSSES, **BIT_LOSSES, **OVERLAPS})
@pytest.mark.parametrize("wrong", NOT_TENSORS, ids=lambda value: type(value).__name__)
def test_what_is_no_dense_tensor_is_named(loss, wrong):
    target = MASKS if loss in OVERLAPS.values() else BITS if loss in BIT_LOSSES.values() else CLASSES
    fit = torch.full(MASKS.shape, 0.5) if loss in OVERLAPS.values() else LOGITS
    with pytest.raises(ValueError, match="^target must .*, got "):
        loss(fit, wrong)
    if loss not in list(OVERLAPS.values())[2:]:
        with pytest.raises(ValueError, match="^(logits|probability) must be a (dense )?tensor, floating-point.*, got "):
            loss(wrong, target)


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, torch.tensor, lambda v: np.array(v, ">f8"), lambda v: [np.float32(x) for x in v]]
)
def test_numbers_of_any_library(kind):
    logits, classes, bits = (
        torch.randn((3, 4), generator=seeded()),
        CLASSES,
        torch.rand((3, 4), generator=seeded()).round(),
    )
    counts, weight = kind([5.0, 3.0, 1.0, 2.0]), kind([1.0, 2.0, 0.5, 1.0])
    one, two = kind([1.0, 2.0])[:2]  # NumPy scalars, 0-d tensors
    c, w = [5, 3, 1, 2], [1, 2, 0.5, 1]
    for loss, ours, plain in (
        (lambda **o: focal_loss(logits, classes, **o), {"gamma": two, "alpha": weight}, {"gamma": 2, "alpha": w}),
        (
            lambda **o: ldam_loss(logits, classes, class_counts=counts, **o),
            {"scale": two, "weight": weight},
            {"scale": 2, "weight": w},
        ),
        (
            lambda **o: lmf_loss(logits, classes, **o),
            {"class_counts": counts, "alpha": two},
            {"class_counts": c, "alpha": 2},
        ),
        (lambda **o: sigmoid_focal_loss(logits, bits, **o), {"alpha": one, "gamma": two}, {"alpha": 1, "gamma": 2}),
        (lambda **o: sigmoid_f1_loss(logits, bits, **o), {"beta": two, "eta": one}, {"beta": 2, "eta": 1}),
        (lambda **o: dice_loss(bits, bits, **o), {"smooth": one}, {"smooth": 1}),
        (ldam_margins, {"class_counts": counts, "max_margin": two}, {"class_counts": c, "max_margin": 2}),
        (class_balanced_weights, {"class_counts": counts, "beta": one}, {"class_counts": c, "beta": 1}),
        (
            drw_weights,
            {"class_counts": counts, "epoch": two, "start": one},
            {"class_counts": c, "epoch": 2, "start": 1},
        ),
    ):
        torch.testing.assert_close(loss(**ours), loss(**plain))
    x, y = images((1, 1, 24, 24))
    found = ms_ssim(x, y, weights=kind([0.5, 0.5]), window=np.int64(11), sigma=kind([1.5])[0], k=kind([0.01, 0.03]))
    torch.testing.assert_close(found, ms_ssim(x, y, weights=[0.5, 0.5]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1.0, 1e-7, 0.0, 200.0, 60000.0])
def test_cosines_in_any_type(dtype, autocast, size):
    """Squares of float16 features overflow above 256 and vanish below 2e-4: their cosines were nan, 0, or 1e4."""
    head = CosineHead(64, 5, scale=2.0)
    features = (size * torch.sign(torch.randn((3, 64), generator=seeded()))).to(dtype).requires_grad_()
    exact = 2 * F.normalize(features.detach().double(), dim=1, eps=1e-300) @ F.normalize(head.weight.double(), dim=1).T
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        cosines = head(features)
    assert cosines.dtype == dtype
    torch.testing.assert_close(cosines.double(), exact, rtol=0, atol=2 * torch.finfo(dtype).eps + 1e-6)
    cosines.sum().backward()
    if dtype != torch.float16 or size != 1e-7:  # the slope is one over the length
        assert features.grad.isfinite().all()
    assert head.weight.grad.isfinite().all()
    assert (head(features)[:, 0] <= 2).all() and CosineHead(64, 5).to(dtype)(features).dtype == dtype


def test_cosines_where_there_is_no_autocast():
    head = CosineHead(2, 3).to("meta")
    assert head(torch.zeros(4, 2, device="meta")).shape == (4, 3)
    assert (
        ms_ssim(torch.zeros(0, 1, 24, 24, device="meta"), torch.zeros(0, 1, 24, 24, device="meta"), weights=[1]).ndim
        == 0
    )


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_cosines_of_very_small_and_very_large_features(size):
    head = CosineHead(2, 3)
    features = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(head(size * features), head(features))


def test_ssim_of_opposite_structure_has_a_gradient():
    """Only a broken power needs a clamp: SSIM of an image and its negative is nearly -1, and shows the way back."""
    x = torch.rand((2, 1, 22, 22), generator=seeded(), dtype=torch.float64)
    assert ms_ssim(x, 1 - x, weights=[1]).item() < -0.9
    assert 1.9 < ms_ssim_loss(x, 1 - x, weights=[1]).item() <= 2
    slope = gradient(ms_ssim_loss, x, 1 - x, weights=[1.0])
    assert slope.isfinite().all() and (slope != 0).all()
    near = (1 - x).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: ms_ssim(x, y, weights=[1], window=21), near, fast_mode=True)
    two = ms_ssim(x, 1 - x, weights=[1, 0.0])
    assert two < 0  # the second scale has no say
    for weights in ([0.5], [1, 0.3], [0.3, 1]):  # one broken power is enough
        assert ms_ssim(x, 1 - x, weights=weights).item() == 0
        assert not gradient(ms_ssim, x, 1 - x, weights=weights).any()


def test_similarity_is_its_own_file_and_imports_as_before():
    from tutorial_lib import similarity

    assert all(getattr(losses, name) is getattr(similarity, name) for name in similarity.__all__)
    assert set(similarity.__all__) <= set(losses.__all__)
