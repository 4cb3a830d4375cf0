"""UNet 3+'s hybrid loss: the sum of its terms, what each sees, faults of the published code, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tutorial_lib.hybrid import hybrid_loss
from tutorial_lib.losses import iou_loss, ms_ssim_loss, sigmoid_focal_loss


def maps(seed=0, shape=(2, 3, 24, 26), dtype=torch.float32):
    chance = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=chance, dtype=dtype) * 2
    return logits, (torch.rand(shape, generator=chance, dtype=dtype) < 0.3).to(dtype)


def test_the_sum_of_its_terms():
    logits, target = maps()
    scales = (0.0448 / (0.0448 + 0.2856), 0.2856 / (0.0448 + 0.2856))  # two scales of 11 fit into 24 pixels
    got = hybrid_loss(logits, target, gamma=1.5, alpha=0.25, weights=(1, 0.5, 2))
    focal = sigmoid_focal_loss(logits, target, gamma=1.5, alpha=0.25)
    structure, overlap = ms_ssim_loss(logits.sigmoid(), target, weights=scales), iou_loss(logits.sigmoid(), target)
    torch.testing.assert_close(got.total, focal + 0.5 * structure + 2 * overlap)
    torch.testing.assert_close(torch.stack(got[1:]), torch.stack((focal, structure, overlap)))


def test_the_terms_from_their_formulas():
    """Focal and IoU written out; one scale of structural similarity with a window of one pixel has no contrast term."""
    logits, target = maps(1, dtype=torch.float64)
    p = logits.sigmoid()
    right = torch.where(target > 0, p, 1 - p)
    got = hybrid_loss(logits, target)
    torch.testing.assert_close(got.focal, (-((1 - right) ** 2) * right.log()).mean())
    inside = (p * target).sum((0, 2, 3))
    either = p.sum((0, 2, 3)) + target.sum((0, 2, 3)) - inside
    torch.testing.assert_close(got.overlap, (1 - inside / either).mean(), atol=1e-6, rtol=1e-5)


def test_empty_and_empty_is_no_loss():
    """The published IoU is 0/0 there."""
    got = hybrid_loss(torch.full((1, 2, 16, 16), -40.0), torch.zeros(1, 2, 16, 16))
    assert all(float(one) == pytest.approx(0, abs=1e-6) for one in got)


def test_only_the_patch_sees_where_errors_lie():
    """Shuffling the pixels of both maps leaves the other two terms as they are."""
    logits, target = maps(2, (1, 1, 24, 24))
    target = F.max_pool2d(target, 5, 1, 2)
    order = torch.randperm(576, generator=torch.Generator().manual_seed(0))
    shuffled = hybrid_loss(*(one.flatten(2)[..., order].view(1, 1, 24, 24) for one in (logits, target)))
    plain = hybrid_loss(logits, target)
    torch.testing.assert_close(shuffled.focal, plain.focal)
    torch.testing.assert_close(shuffled.overlap, plain.overlap)
    assert abs(float(shuffled.structure - plain.structure)) > 0.01


def test_gradients():
    logits, target = maps(3, (1, 2, 11, 12), torch.float64)
    torch.autograd.gradcheck(lambda z: hybrid_loss(z, target).total, logits.requires_grad_())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), side=st.integers(11, 50), sharp=st.floats(0, 30))
def test_it_is_finite_and_right_is_never_worse_than_wrong(seed, side, sharp):
    _, target = maps(seed, (1, 1, side, side))
    right, wrong = hybrid_loss(sharp * (2 * target - 1), target), hybrid_loss(sharp * (1 - 2 * target), target)
    assert all(bool(one.isfinite()) for one in (*right, *wrong))
    assert float(right.total) <= float(wrong.total) + 1e-5


def test_half_precision_is_computed_wide():
    logits, target = maps()
    narrow, wide = hybrid_loss(logits.bfloat16(), target.bfloat16()), hybrid_loss(logits.bfloat16().float(), target)
    torch.testing.assert_close(narrow.total.float(), wide.total, atol=0.01, rtol=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hybrid_loss(torch.zeros(1, 1, 8, 20), torch.zeros(1, 1, 8, 20)), "at least 11"),
        (lambda: hybrid_loss(torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 21)), "target must"),
        (lambda: hybrid_loss(torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)), "logits must be"),
        (lambda: hybrid_loss(torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20), weights=(1, 1)), "weights must"),
        (lambda: hybrid_loss(torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20), gamma=-1), "gamma must"),
        (lambda: hybrid_loss(torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20), window=4), "window must"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
