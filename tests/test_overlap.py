"""Options of the losses of overlap, and of the focal losses: what is left out, weighed, or absent."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tutorial_lib import losses
from tutorial_lib.losses import focal_loss, sigmoid_focal_loss
from tutorial_lib.overlap import class_masks, dice_loss, iou_loss, tversky_loss

OVERLAPS = [dice_loss, iou_loss, tversky_loss]
each_overlap = pytest.mark.parametrize("loss", OVERLAPS, ids=lambda loss: loss.__name__)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def masks(shape=(3, 2, 6, 5), seed=0):
    generator = seeded(seed)
    p = torch.rand(shape, generator=generator, dtype=torch.float64)
    return p, torch.rand(shape, generator=generator) < 0.4


def test_they_are_the_ones_that_losses_offers():
    assert all(getattr(losses, loss.__name__) is loss for loss in OVERLAPS)


# --- Tversky --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [True, False])
def test_tversky_against_monai(pooled):
    from monai.losses import TverskyLoss

    p, y = masks()
    for alpha, beta in ((0.3, 0.7), (0.5, 0.5), (1.0, 0.0), (2.0, 3.0)):
        theirs = TverskyLoss(alpha=alpha, beta=beta, batch=pooled, smooth_nr=0.25, smooth_dr=0.5)
        ours = tversky_loss(p, y, alpha=alpha, beta=beta, pooled=pooled, smooth=(0.25, 0.5))
        torch.testing.assert_close(ours, theirs(p, y.double()))


def test_tversky_is_dice_and_iou():
    p, y = masks()
    half, one = {"alpha": 0.5, "beta": 0.5}, {"alpha": 1.0, "beta": 1.0}
    # Dice counts twice what is common, so half of its smoothing is Tversky's.
    torch.testing.assert_close(tversky_loss(p, y, **half, smooth=1e-3), dice_loss(p, y, squared=False, smooth=2e-3))
    torch.testing.assert_close(tversky_loss(p, y, **one), iou_loss(p, y))


def test_tversky_by_hand():
    p, y = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]]), torch.tensor([[[1, 0, 1, 1]]])  # 1 common, 1 false, 2 missed
    assert tversky_loss(p, y, smooth=1e-12).item() == pytest.approx(1 - 1 / (1 + 0.3 + 1.4), abs=1e-6)
    # The power is 1 / gamma, as in the paper; who takes gamma itself gets another loss.
    plain = 1 - 1 / 2.7
    focal = tversky_loss(p, y, gamma=4 / 3, smooth=1e-12).item()
    assert focal == pytest.approx(plain**0.75, abs=1e-6) and abs(focal - plain ** (4 / 3)) > 0.1


@pytest.mark.parametrize("gamma", [1.0, 4 / 3, 3.0])
def test_focal_tversky_has_a_finite_slope_where_it_is_perfect(gamma):
    y = torch.tensor([[[1.0, 1.0, 0.0]]], dtype=torch.float64)
    for p in (y.clone(), torch.zeros_like(y), y * 0.99):
        p.requires_grad_()
        loss = tversky_loss(p, y, gamma=gamma)
        (slope,) = torch.autograd.grad(loss, p)
        assert slope.isfinite().all()
        assert (slope[y > 0] < 0).all()
    values = [tversky_loss(y * (1 - t), y, gamma=gamma).item() for t in (0, 1e-8, 1e-6, 1e-4, 1e-2, 0.5)]
    assert values == sorted(values) and values[0] == 0


# --- what is left out -----------------------------------------------------------------------------------------------


@each_overlap
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float32])
def test_ignored_elements_are_as_if_they_were_not_there(loss, pooled, kind):
    """Cut off instead: the last column of every mask is ignored."""
    p, y = masks()
    marked = y.to(kind)
    marked[..., -1] = 255
    ours = loss(p, marked, ignore_index=255, pooled=pooled, reduction="none")
    torch.testing.assert_close(ours, loss(p[..., :-1], y[..., :-1], pooled=pooled, reduction="none"))
    p[..., -1] = math.nan
    p.requires_grad_()
    value = loss(p, marked, ignore_index=255, pooled=pooled)
    (slope,) = torch.autograd.grad(value, p)
    assert value.isfinite() and (slope[..., -1] == 0).all() and (slope[..., :-1] != 0).any()


@each_overlap
def test_all_ignored_is_nothing_there_and_nothing_predicted(loss):
    p, y = masks()
    assert loss(p, torch.full_like(p, -1), ignore_index=-1).item() == 0
    assert loss(p, y, ignore_index=255).item() == loss(p, y).item()
    # A uint8 cannot hold -1: its 255 is not taken for it.
    with pytest.raises(ValueError, match=r"^target must be in \[0, 1\], got 255$"):
        loss(p, torch.full(p.shape, 255, dtype=torch.uint8), ignore_index=-1)


def test_class_masks():
    labels = torch.tensor([[[0, 2], [1, 255]]])
    made = class_masks(labels, num_classes=3, ignore_index=255)
    assert made.shape == (1, 3, 2, 2) and made.dtype == torch.int64 and made.is_contiguous()
    assert made[0, :, 1, 1].tolist() == [255] * 3
    assert made[0].permute(1, 2, 0).reshape(4, 3)[:3].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert class_masks(torch.zeros(0, 4, dtype=torch.uint8), num_classes=2).shape == (0, 2, 4)
    logits = torch.randn((1, 3, 2, 2), generator=seeded())
    alone = dice_loss(logits.softmax(1), made, ignore_index=255, reduction="none")
    flat = logits.softmax(1).flatten(2)[..., :3], class_masks(labels.flatten(1)[:, :3], num_classes=3)
    torch.testing.assert_close(alone, dice_loss(*flat, reduction="none"))
    for wrong, found in ((3, 3), (-1, -1), (255, 255)):
        with pytest.raises(ValueError, match=f"^target must hold classes from 0 to 2, got {found}$"):
            class_masks(torch.tensor([[0, wrong]]), num_classes=3)
    for wrong in (0, 2, 1):
        with pytest.raises(ValueError, match=f"^ignore_index must be no class .*, got {wrong}$"):
            class_masks(labels, num_classes=3, ignore_index=wrong)
    with pytest.raises(ValueError, match="^target must be a tensor of whole numbers|^target must be .*whole"):
        class_masks(torch.zeros(1, 2), num_classes=2)


def test_focal_loss_leaves_out_what_cross_entropy_leaves_out():
    logits = torch.randn((4, 3, 5), generator=seeded(), dtype=torch.float64)
    target = torch.randint(0, 3, (4, 5), generator=seeded(1))
    for ignored in (-100, 255, 1):
        marked = target.clone()
        marked[:, 2] = ignored
        for reduction in ("none", "sum", "mean"):
            theirs = F.cross_entropy(logits, marked, ignore_index=ignored, reduction=reduction)
            ours = focal_loss(logits, marked, gamma=0, ignore_index=ignored, reduction=reduction)
            torch.testing.assert_close(ours, theirs)
        keep = marked != ignored
        rows = focal_loss(logits.movedim(1, -1)[keep], marked[keep], alpha=[1, 2, 3])
        torch.testing.assert_close(focal_loss(logits, marked, alpha=[1, 2, 3], ignore_index=ignored), rows)
    # torch's mean of nothing is nan, ours 0 with a zero gradient.
    logits.requires_grad_()
    nothing = focal_loss(logits, torch.full_like(target, 255), ignore_index=255)
    assert nothing.item() == 0 and torch.autograd.grad(nothing, logits)[0].abs().max() == 0
    with pytest.raises(ValueError, match="^target must hold classes from 0 to 2, got 255$"):
        focal_loss(logits, torch.full_like(target, 255))
    with pytest.raises(ValueError, match="^ignore_index must be None for soft targets"):
        focal_loss(logits, logits.detach().softmax(1), ignore_index=255)


# --- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True])
def test_sigmoid_focal_loss_with_weights_is_bce_at_gamma_0(soft):
    logits = torch.randn((4, 3, 5), generator=seeded(), dtype=torch.float64)
    target = torch.rand((4, 3, 5), generator=seeded(1), dtype=torch.float64)
    target = target if soft else target.round()
    weight, positives = torch.tensor([1.0, 0.5, 2.0]).double(), torch.tensor([3.0, 1.0, 0.0]).double()
    options = {"weight": weight.view(3, 1), "pos_weight": positives.view(3, 1)}
    theirs = F.binary_cross_entropy_with_logits(logits, target, reduction="none", **options)
    ours = sigmoid_focal_loss(logits, target, gamma=0, weight=weight, pos_weight=positives, reduction="none")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        sigmoid_focal_loss(logits, target, gamma=0, pos_weight=3),
        F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(3.0).double()),
    )


def test_sigmoid_focal_loss_of_all_its_factors():
    """By the formula, alpha and both weights at once."""
    logits = torch.randn((6, 2), generator=seeded(), dtype=torch.float64)
    target = (torch.rand((6, 2), generator=seeded(1)) < 0.5).double()
    p, w, plus = logits.sigmoid(), torch.tensor([2.0, 0.5]), torch.tensor([1.0, 4.0])
    yes = 0.25 * plus * target * (1 - p) ** 2 * -p.log()
    no = 0.75 * (1 - target) * p**2 * -(1 - p).log()
    options = {"alpha": 0.25, "weight": w, "pos_weight": plus, "reduction": "none"}
    torch.testing.assert_close(sigmoid_focal_loss(logits, target, **options), w * (yes + no))
    near = target.clamp(1e-9, 1 - 1e-9)  # soft targets take the other branch
    torch.testing.assert_close(sigmoid_focal_loss(logits, near, **options), w * (yes + no), atol=1e-7, rtol=1e-6)
    marked = target.clone()
    marked[2:4] = -1
    keep = [0, 1, 4, 5]
    torch.testing.assert_close(
        sigmoid_focal_loss(logits, marked, ignore_index=-1), sigmoid_focal_loss(logits[keep], target[keep])
    )


@each_overlap
def test_class_weights_are_factors(loss):
    p, y = masks()
    single = loss(p, y, reduction="none")
    for weight in ([2, 0.5], np.array([2, 0.5]), torch.tensor([2, 0.5])):
        torch.testing.assert_close(loss(p, y, weight=weight, reduction="none"), single * torch.tensor([2, 0.5]))
    torch.testing.assert_close(loss(p, y, weight=[2, 0.5]), (single * torch.tensor([2, 0.5])).mean())
    assert loss(p, y, weight=[0, 0]).item() == 0


# --- smoothing, and what is absent ----------------------------------------------------------------------------------


def test_smoothing_apart_against_monai():
    from monai.losses import DiceLoss

    p, y = masks()
    for above, below in ((0.0, 1e-5), (1.0, 2.0), (1e-5, 1e-5)):
        options = {"smooth_nr": above, "smooth_dr": below, "batch": True}
        theirs = DiceLoss(squared_pred=True, **options)(p, y.double())
        torch.testing.assert_close(dice_loss(p, y, smooth=(above, below)), theirs)
        torch.testing.assert_close(
            iou_loss(p, y, smooth=(above, below / 1)),
            1 - ((p * y).sum((0, 2, 3)) + above).div((p + y.double() - p * y).sum((0, 2, 3)) + below).mean(),
        )
    nothing = torch.zeros(1, 1, 4)
    assert dice_loss(nothing, nothing, smooth=(0, 1e-5)).item() == 1
    assert dice_loss(nothing, nothing, smooth=1e-5).item() == 0


@each_overlap
@pytest.mark.parametrize("pooled", [True, False])
def test_a_channel_that_the_truth_lacks(loss, pooled):
    p, y = masks()
    y[:, 1] = False
    counted = loss(p, y, pooled=pooled, reduction="none")
    assert (counted[..., 1] > 0.99).all()  # what is predicted there costs
    skipped = loss(p, y, absent="skip", pooled=pooled, reduction="none")
    torch.testing.assert_close(skipped[..., 0], counted[..., 0])
    assert (skipped[..., 1] == 0).all()
    torch.testing.assert_close(loss(p, y, absent="skip", pooled=pooled), counted[..., 0].mean())
    p.requires_grad_()
    (slope,) = torch.autograd.grad(loss(p, y, absent="skip", pooled=pooled), p)
    assert (slope[:, 1] == 0).all() and (slope[:, 0] != 0).any()
    assert loss(p, torch.zeros_like(y), absent="skip", pooled=pooled).item() == 0


@each_overlap
@given(seed=st.integers(0, 2**31), pooled=st.booleans(), skip=st.booleans())
def test_a_channel_has_its_own_loss(loss, seed, pooled, skip):
    """Channels in another order give the same losses in that order; so do rows."""
    p, y = masks((3, 3, 7), seed)
    options = {"pooled": pooled, "absent": "skip" if skip else "count", "reduction": "none"}
    order = torch.randperm(3, generator=seeded(seed))
    torch.testing.assert_close(loss(p[:, order], y[:, order], **options), loss(p, y, **options)[..., order])
    by_rows = loss(p[order], y[order], **options)
    torch.testing.assert_close(by_rows, loss(p, y, **options) if pooled else loss(p, y, **options)[order])
    assert ((by_rows >= 0) & (by_rows <= 1)).all()


@each_overlap
def test_gradients(loss):
    p, y = masks((2, 2, 3))
    marked = y.long()
    marked[0, 0, 0] = 255
    p.requires_grad_()
    options = {"ignore_index": 255, "weight": [1, 2], "smooth": (0.1, 0.2), "absent": "skip"}
    assert torch.autograd.gradcheck(lambda p: loss(p, marked, **options), p)
    if loss is tversky_loss:
        assert torch.autograd.gradcheck(lambda p: loss(p, marked, gamma=4 / 3, **options), p)


# --- bad input ------------------------------------------------------------------------------------------------------

P, Y = torch.full((2, 3, 4), 0.5), torch.zeros(2, 3, 4)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: dice_loss(P, Y, smooth=(1, 0)), r"^smooth\[1\] must be finite and above 0, got 0"),
        (lambda: dice_loss(P, Y, smooth=(-1, 1)), r"^smooth\[0\] must be finite and at least 0, got -1"),
        (lambda: iou_loss(P, Y, smooth=(1, 1, 1)), "^smooth must be 2 numbers"),
        (lambda: iou_loss(P, Y, smooth="1"), "^smooth must be a number"),
        (lambda: dice_loss(P, Y, weight=[1, 2]), r"^weight must be \(3,\), one number a class"),
        (lambda: dice_loss(P, Y, weight=[1, 2, -1]), "^weight must be finite and at least 0"),
        (lambda: dice_loss(P, Y, absent="nan"), "^absent must be 'count' or 'skip', got 'nan'"),
        (lambda: dice_loss(P, Y, ignore_index=1), "^ignore_index must not be 0 or 1"),
        (lambda: dice_loss(P, Y, ignore_index=0.5), "^ignore_index must be a whole number"),
        (lambda: tversky_loss(P, Y, alpha=-1), "^alpha must be finite and at least 0"),
        (lambda: tversky_loss(P, Y, beta=math.inf), "^beta must be finite and at least 0"),
        (lambda: tversky_loss(P, Y, gamma=0.75), "^gamma must be finite and at least 1"),
        (lambda: sigmoid_focal_loss(P, Y, ignore_index=0), "^ignore_index must not be 0 or 1"),
        (lambda: sigmoid_focal_loss(P, Y, pos_weight=-1), "^pos_weight must be finite and at least 0"),
        (lambda: sigmoid_focal_loss(P, Y, pos_weight=[1, 2]), r"^pos_weight must be \(3,\)"),
        (lambda: sigmoid_focal_loss(P[0, 0], Y[0, 0], weight=[1] * 4), r"^logits must be \(B, C, ...\) where weight"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
