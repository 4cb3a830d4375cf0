"""Expected calibration error: by hand, against torchmetrics, and at the edges."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.lab.calibration import calibration_error, reliability


def two_class(confidences):
    """Rows that predict class 0 with the given confidences (0.5 or more)."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p, 1 - p], dim=1)


def test_by_hand():
    # Confidences 0.6, 0.6 (one right) and 0.9, 0.9 (both right): gaps 0.1 and 0.1, half of the rows each.
    p, y = two_class([0.6, 0.6, 0.9, 0.9]), torch.tensor([0, 1, 0, 0])
    assert calibration_error(p, y, bins=10) == pytest.approx(0.1)
    # Overconfident and underconfident rows in one bin cancel: one bin sees a mean confidence of 0.75, accuracy 0.75.
    assert calibration_error(p, y, bins=1) == pytest.approx(0.0, abs=1e-12)
    curve = reliability(p, y, bins=10)
    assert curve.count.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 2, 0]
    assert curve.accuracy[5] == 0.5 and curve.confidence[8] == pytest.approx(0.9)
    assert curve.accuracy[0].isnan()


def test_sure_and_right_is_zero_and_sure_and_wrong_is_one():
    sure = torch.eye(4)
    assert calibration_error(sure, torch.arange(4)) == 0
    assert calibration_error(sure, torch.arange(4).roll(1)) == 1


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 200),
    classes=st.integers(2, 12),
    bins=st.integers(1, 30),
    sharp=st.floats(0.1, 8),
    seed=st.integers(0, 999),
)
def test_agrees_with_torchmetrics(rows, classes, bins, sharp, seed):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    g = torch.Generator().manual_seed(seed)
    p = (sharp * torch.randn(rows, classes, generator=g, dtype=torch.float64)).softmax(1)
    y = torch.randint(classes, (rows,), generator=g)
    theirs = functional.multiclass_calibration_error(p, y, num_classes=classes, n_bins=bins, norm="l1")
    ours = calibration_error(p, y, bins=bins)
    assert ours == pytest.approx(theirs.item(), abs=1e-6)
    assert 0 <= ours <= 1


def test_it_depends_on_the_bins():
    g = torch.Generator().manual_seed(0)
    p = torch.randn(300, 5, generator=g).softmax(1)
    y = torch.randint(5, (300,), generator=g)
    assert calibration_error(p, y, bins=1) < calibration_error(p, y, bins=30)


def test_no_rows_is_nan_and_half_precision_and_gradients_are_welcome():
    assert math.isnan(calibration_error(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)))
    p = torch.full((4, 2), 0.5, dtype=torch.float16).requires_grad_()
    assert calibration_error(p, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "y", "bins", "message"),
    [
        (torch.tensor([[2.0, -1.0]]), torch.tensor([0]), 15, "softmax"),
        (torch.tensor([[0.9, 0.9]]), torch.tensor([0]), 15, "softmax"),
        (torch.tensor([[float("nan"), 1.0]]), torch.tensor([0]), 15, "softmax"),
        (torch.tensor([0.5, 0.5]), torch.tensor([0, 1]), 15, r"\(N, C\)"),
        (torch.tensor([[1, 0]]), torch.tensor([0]), 15, "floating-point"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), 15, "class indices"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([2]), 15, "0…1"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([0]), 0, "bins"),
    ],
)
def test_bad_input_is_named(p, y, bins, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(p, y, bins=bins)
