"""RoI operators: published answers, the algorithm written out in loops, torchvision's stored numbers, gradients."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from chance import random, random_boxes, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib import boxes as boxes_module
from tutorial_lib import roi
from tutorial_lib._kernels import align as align_kernel
from tutorial_lib._kernels import pool as pool_kernel
from tutorial_lib.roi import roi_align, roi_pool

VECTORS = json.loads((Path(__file__).parent / "vectors" / "roi_torchvision.json").read_text())
few = settings(max_examples=30, deadline=None)

# The matrix of the usual drawing of RoI Pool (the deepsense.ai article of 2017), in hundredths.
DRAWN = """
88 44 14 16 37 77 96 27
19 45 57 16 63 29 71 70
66 26 82 64 54 73 59 26
85 34 76 84 29 75 62 25
32 74 21 39 34  3 33 48
20 14 16 13 73 65 96 32
19 69  9 86 88  7  1 48
83 24 97  4 24 35 50 91
"""


def drawn() -> torch.Tensor:
    return torch.tensor([[float(n) for n in line.split()] for line in DRAWN.split("\n")[1:-1]])[None, None] / 100


def counting(side: int) -> torch.Tensor:
    return torch.arange(float(side**2)).view(1, 1, side, side)


# ---------------------------------------------------------------------------------------- written out in loops


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """A map read at a point: 0 more than a cell outside, the nearest edge up to there."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = (1 - across) * plane[top, left] + across * plane[top, right]
    lower = (1 - across) * plane[bottom, left] + across * plane[bottom, right]
    return (1 - down) * upper + down * lower


def align_in_loops(features, boxes, size, scale, ratio, aligned, reduce="mean") -> np.ndarray:
    features, boxes = features.numpy(), boxes.numpy()
    out = np.zeros((len(boxes), features.shape[1], *size))
    for k, (image, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (value * scale - (0.5 if aligned else 0) for value in corners)
        wide, high = x2 - x1, y2 - y1
        if not aligned:
            wide, high = max(wide, 1.0), max(high, 1.0)
        bin_high, bin_wide = high / size[0], wide / size[1]
        ny, nx = (ratio, ratio) if ratio > 0 else (math.ceil(bin_high), math.ceil(bin_wide))
        for c, p, q in np.ndindex(out.shape[1:]):
            points = [
                bilinear(
                    features[int(image), c],
                    y1 + p * bin_high + (i + 0.5) * bin_high / ny,
                    x1 + q * bin_wide + (j + 0.5) * bin_wide / nx,
                )
                for i in range(ny)
                for j in range(nx)
            ]
            if points:
                out[k, c, p, q] = np.mean(points) if reduce == "mean" else max(points)
    return out


def half_away(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def pool_in_loops(features, boxes, size, scale) -> np.ndarray:
    features, boxes = features.numpy(), boxes.numpy()
    rows, columns = features.shape[2:]
    out = np.zeros((len(boxes), features.shape[1], *size))
    for k, (image, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (half_away(value * scale) for value in corners)
        high, wide = max(y2 - y1 + 1, 1) / size[0], max(x2 - x1 + 1, 1) / size[1]
        for c, p, q in np.ndindex(out.shape[1:]):
            top, bottom = (min(max(y1 + edge, 0), rows) for edge in (math.floor(p * high), math.ceil((p + 1) * high)))
            left, right = (min(max(x1 + e, 0), columns) for e in (math.floor(q * wide), math.ceil((q + 1) * wide)))
            cells = features[int(image), c, top:bottom, left:right]
            out[k, c, p, q] = cells.max() if cells.size else 0
    return out


# ---------------------------------------------------------------------------------------- RoI Align: answers


ALIGN_5X5 = {  # detectron2, tests/layers/test_roi_align.py
    False: [[7.5, 8, 8.5, 9], [10, 10.5, 11, 11.5], [12.5, 13, 13.5, 14], [15, 15.5, 16, 16.5]],
    True: [[4.5, 5, 5.5, 6], [7, 7.5, 8, 8.5], [9.5, 10, 10.5, 11], [12, 12.5, 13, 13.5]],
}


@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_detectrons_answers(aligned):
    features, box = counting(5), torch.tensor([[0, 1.0, 1.0, 3.0, 3.0]])
    assert roi_align(features, box, 4, sampling_ratio=0, aligned=aligned)[0, 0].tolist() == ALIGN_5X5[aligned]
    expected = [[6, 7], [11, 12]] if aligned else [[9, 10], [14, 15]]
    for ratio in (1, 2):
        torch.testing.assert_close(
            roi_align(features, box, 2, sampling_ratio=ratio, aligned=aligned)[0, 0], torch.tensor(expected).float()
        )


def test_a_box_without_width_and_adaptive_points_is_zero():
    out = roi_align(torch.ones(1, 1, 5, 5), torch.tensor([[0, 3.0, 4.0, 5.0, 4.0]]), (7, 7), sampling_ratio=0)
    assert out.shape == (1, 1, 7, 7) and not out.any()
    assert roi_align(torch.ones(1, 1, 5, 5), torch.tensor([[0, 3.0, 4.0, 5.0, 4.0]]), 7, sampling_ratio=2).eq(1).all()


@pytest.mark.parametrize(
    ("aligned", "reduce", "expected"),
    [
        (False, "mean", [[0.3663, 0.5501], [0.4598, 0.3752]]),
        (False, "max", [[0.5811, 0.8136], [0.5883, 0.5512]]),
        (True, "mean", [[0.4770, 0.4710], [0.4569, 0.4552]]),
    ],
)
def test_the_usual_drawing_aligned(aligned, reduce, expected):
    box = [torch.tensor([[0.0, 3.0, 7.0, 8.0]], dtype=torch.float64)]
    out = roi_align(drawn().double(), box, 2, sampling_ratio=2, aligned=aligned, reduce=reduce)
    torch.testing.assert_close(out[0, 0], tensor(*expected), atol=6e-5, rtol=0)  # printed with four digits


def test_the_usual_drawing_pooled():
    assert roi_pool(drawn(), [torch.tensor([[0.0, 3.0, 7.0, 8.0]])], 2)[0, 0].tolist() == (
        torch.tensor([[0.85, 0.96], [0.97, 0.91]]).tolist()
    )
    assert roi_pool(drawn(), [torch.tensor([[0.0, 3.0, 6.0, 7.0]])], 2)[0, 0].tolist() == (
        torch.tensor([[0.85, 0.96], [0.97, 0.96]]).tolist()
    )


def test_roi_pool_d2l():
    boxes = torch.tensor([[0, 0.0, 0.0, 20.0, 20.0], [0, 0.0, 10.0, 30.0, 30.0]])
    out = roi_pool(counting(4), boxes, 2, spatial_scale=0.1)
    assert out[:, 0].tolist() == [[[5, 6], [9, 10]], [[9, 11], [13, 15]]]


@pytest.mark.parametrize("case", VECTORS["pooled"], ids=lambda case: case["function"])
def test_pooling_is_torchvisions(case):
    features, boxes, out, weight, grad = (tensor(*case[k]) for k in ("features", "boxes", "out", "weight", "grad"))
    options = {key: case[key] for key in ("spatial_scale", "sampling_ratio", "aligned") if key in case}
    features.requires_grad_()
    ours = getattr(roi, case["function"])(features, boxes, (2, 3), **options)
    torch.testing.assert_close(ours, out, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.autograd.grad((ours * weight).sum(), features)[0], grad, atol=1e-12, rtol=0)
    with torch.no_grad():  # RoI Pool takes another way when no gradient is asked for
        torch.testing.assert_close(getattr(roi, case["function"])(features, boxes, (2, 3), **options), out)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_roi_align_is_the_algorithm_in_loops(ratio, aligned, reduce):
    for seed, scale in ((1, 1.0), (2, 0.25)):
        features, boxes = random(seed, 2, 2, 9, 7), random_boxes(seed, 24)
        boxes[:, 1:] /= scale
        expected = align_in_loops(features, boxes, (3, 2), scale, ratio, aligned, reduce)
        options = {"spatial_scale": scale, "sampling_ratio": ratio, "aligned": aligned, "reduce": reduce}
        np.testing.assert_allclose(roi_align(features, boxes, (3, 2), **options), expected, atol=1e-12)
        single = roi_align(features.float(), boxes.float(), (3, 2), **options)
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single, expected, atol=1e-4 if ratio <= 0 else 1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.25, 0.3])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 7)])
def test_roi_pool_is_the_algorithm_in_loops(scale, size):
    features, boxes = random(3, 2, 2, 9, 17), random_boxes(3, 40, side=20)
    boxes[:, 1:] /= scale
    boxes[8:16, 1:] = (boxes[8:16, 1:] * 2).round() / 2  # halves, where roundings differ
    expected = pool_in_loops(features, boxes, size, scale)
    for wants in (False, True):
        out = roi_pool(features.requires_grad_(wants), boxes, size, spatial_scale=scale)
        np.testing.assert_array_equal(out.detach(), expected)


def test_a_half_is_rounded_away_from_zero():
    features = torch.arange(8.0).view(1, 1, 1, 8)
    boxes = torch.tensor([[0, 2.5, 0.0, 2.5, 0.0], [0, 1.5, 0.0, 1.5, 0.0], [0, -0.5, 0.0, -0.5, 0.0]])
    assert roi_pool(features, boxes, 1).flatten().tolist() == [3, 2, 0]
    # The float just below a half is not a half.
    assert roi._round(torch.tensor([0.49999997, -0.49999997, -2.5, 8388609.0])).tolist() == [0, 0, -3, 8388609]


def test_boxes_of_mixed_sizes_each_get_their_own_number_of_points():
    """In one call, and each alone: the answers are the same bits."""
    features, boxes = random(4, 2, 3, 30, 40), random_boxes(5, 32, reach=60, side=45)
    for reduce in ("mean", "max"):
        together = roi_align(features, boxes, 4, reduce=reduce)
        alone = torch.cat([roi_align(features, box[None], 4, reduce=reduce) for box in boxes])
        torch.testing.assert_close(together, alone, atol=1e-13, rtol=0)


def test_points_are_counted_in_the_features_precision():
    """A box of 7 cells and 7 bins: its size is 7 in float32, a hair above it in float64. Torchvision: the same."""
    box, features = torch.tensor([[0, 1.0, 1.0, 71.0, 71.0]]), random(0, 1, 1, 12, 12)
    for dtype, points in ((torch.float32, 1), (torch.float64, 2)):
        adaptive, fixed = (
            roi_align(features.to(dtype), box.to(dtype), 7, spatial_scale=0.1, sampling_ratio=n) for n in (-1, points)
        )
        assert torch.equal(adaptive, fixed)


def test_thousands_at_once():
    features, boxes = random(6, 2, 3, 40, 50), random_boxes(6, 3000, reach=90, side=30)
    sample = torch.arange(0, 3000, 97)
    expected = align_in_loops(features, boxes[sample], (2, 2), 0.5, 2, True)
    out = roi_align(features, boxes, 2, spatial_scale=0.5, sampling_ratio=2)
    np.testing.assert_allclose(out[sample], expected, atol=1e-12)
    out = roi_pool(features, boxes, 2, spatial_scale=0.5)
    np.testing.assert_array_equal(out[sample], pool_in_loops(features, boxes[sample], (2, 2), 0.5))


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_a_list_is_the_table(pool):
    features = random(7, 3, 2, 8, 8)
    boxes = [random_boxes(seed, count)[:, 1:] for seed, count in ((1, 4), (2, 0), (3, 5))]
    table = torch.cat([torch.cat((torch.full((len(some), 1), n), some), 1) for n, some in enumerate(boxes)])
    assert torch.equal(pool(features, boxes, (2, 3)), pool(features, table, (2, 3)))
    shuffled = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
    assert torch.equal(pool(features, table[shuffled], (2, 3)), pool(features, table, (2, 3))[shuffled])


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_no_boxes(pool):
    features = torch.randn(2, 3, 5, 6, requires_grad=True)
    for boxes in (torch.zeros(0, 5), [torch.zeros(0, 4), torch.zeros(0, 4)]):
        out = pool(features, boxes, (2, 4))
        assert out.shape == (0, 3, 2, 4) and out.dtype == features.dtype
        (grad,) = torch.autograd.grad(out.sum(), features)
        assert grad.shape == features.shape and not grad.any()
    assert pool(torch.zeros(0, 3, 5, 6), [], 2).shape == (0, 3, 2, 2)


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_all_boxes_outside(pool):
    features = torch.randn(1, 3, 5, 6, requires_grad=True)
    features.data[0, 0, 0, 0] = math.inf  # a corner that no point reads must not spoil it
    boxes = torch.tensor([[0, 50.0, 50.0, 60.0, 60.0], [0, -60.0, -60.0, -50.0, -50.0]])
    out = pool(features, boxes, 2)
    assert out.shape == (2, 3, 2, 2) and not out.any()
    assert not torch.autograd.grad(out.sum(), features)[0].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_half_precision_is_computed_in_float32(pool, dtype):
    features = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    boxes = random_boxes(8, 16).float()
    out = pool(features, boxes, 3)
    assert out.dtype == dtype
    wide = features.detach().float().requires_grad_()
    expected = pool(wide, boxes, 3)
    assert torch.equal(out, expected.to(dtype))
    (grad,), (expected,) = (torch.autograd.grad(o.float().sum(), f) for o, f in ((out, features), (expected, wide)))
    assert grad.dtype == dtype
    torch.testing.assert_close(grad.float(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_memory_formats_and_views(pool):
    features, boxes = random(9, 2, 4, 8, 9), random_boxes(9, 10)
    expected = pool(features, boxes, 3)
    assert expected.is_contiguous()
    last = pool(features.to(memory_format=torch.channels_last), boxes, 3)
    assert last.is_contiguous(memory_format=torch.channels_last) and torch.equal(last, expected)
    turned = features.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(pool(turned, boxes, 3), expected)
    assert torch.equal(pool(features[:, ::2], boxes, 3), expected[:, ::2])


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_the_input_is_left_alone_and_the_same_again(pool):
    features, boxes = random(10, 2, 4, 8, 9).requires_grad_(), random_boxes(10, 10)
    before = features.detach().clone(), boxes.clone()
    first, second = (pool(features, boxes, 3) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(features, before[0]) and torch.equal(boxes, before[1])


# ---------------------------------------------------------------------------------------- gradients


# Away from the kinks: no sample point on a cell's centre or on the border of the map.
SMOOTH = tensor([0, 0.63, 1.27, 4.18, 5.71], [1, -2.37, 0.41, 2.9, 4.23], [1, 2.11, 2.39, 9.03, 3.62])


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 2])
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_gradients_of_roi_align(ratio, aligned, reduce):
    features, corners = random(11, 2, 1, 5, 6).requires_grad_(), SMOOTH[:, 1:].clone().requires_grad_()

    def function(features, corners):
        boxes = torch.cat((SMOOTH[:, :1], corners), 1)
        return roi_align(features, boxes, 2, sampling_ratio=ratio, aligned=aligned, reduce=reduce)

    assert torch.autograd.gradcheck(function, (features, corners))
    assert torch.autograd.gradgradcheck(function, (features, corners), fast_mode=True)


def test_gradients_through_chunks(monkeypatch):
    monkeypatch.setattr(align_kernel, "_SAMPLES", 1)
    monkeypatch.setattr(pool_kernel, "_GATHERED", 1)
    features = random(12, 2, 1, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: roi_align(f, SMOOTH, 2, sampling_ratio=2, reduce="max"), features)
    assert torch.autograd.gradcheck(lambda f: roi_pool(f, SMOOTH, 2), features)


def test_gradients_of_roi_pool():
    features, boxes = random(13, 2, 2, 6, 7).requires_grad_(), random_boxes(13, 8)
    assert torch.autograd.gradcheck(lambda f: roi_pool(f, boxes, 2), features)
    assert torch.autograd.gradgradcheck(lambda f: roi_pool(f, boxes, 2), features)


def test_roi_pool_gives_its_gradient_to_the_first_of_equals():
    for dtype in (torch.float32, torch.float64):
        features = torch.zeros(1, 1, 4, 4, dtype=dtype)
        features[0, 0, 1, 1] = -0.0
        features.requires_grad_()
        roi_pool(features, torch.tensor([[0, 1.0, 1.0, 3.0, 3.0]]), 1).sum().backward()
        assert features.grad.nonzero().tolist() == [[0, 0, 1, 1]]


def test_roi_pool_of_negative_infinite_and_nan_cells():
    values = torch.tensor([[-3.0, -1.0, -math.inf, math.inf], [-2.0, -5.0, -math.inf, 1.0]])
    nan = torch.tensor([-0x400000], dtype=torch.int32).view(torch.float32)  # as processors make it: sign bit set
    assert nan.isnan()
    for dtype in (torch.float32, torch.float64):
        features = values[None, None].clone().to(dtype).requires_grad_()
        boxes = torch.tensor([[0, 0.0, 0.0, 1.0, 1.0], [0, 2.0, 0.0, 2.0, 1.0], [0, 0.0, 0.0, 3.0, 1.0]])
        out = roi_pool(features, boxes, 1)
        assert out.flatten().tolist() == [-1, -math.inf, math.inf]
        spoilt = values[None, None].clone().to(dtype)
        spoilt[0, 0, 1, 0] = nan
        for wants in (False, True):
            out = roi_pool(spoilt.clone().requires_grad_(wants), boxes, 1)
            assert out.isnan().flatten().tolist() == [True, False, True]


def test_roi_pool_has_no_gradient_for_boxes_and_roi_align_has():
    features, boxes = random(14, 2, 2, 6, 7).requires_grad_(), SMOOTH.clone().requires_grad_()
    roi_pool(features, boxes, 2).sum().backward()
    assert boxes.grad is None
    roi_align(features.detach(), boxes, 2).sum().backward()
    assert boxes.grad[:, 1:].abs().min() > 0 and not boxes.grad[:, 0].any()


def test_box_gradient_reaches_float32_boxes_of_a_list():
    boxes = [SMOOTH[:2, 1:].float().requires_grad_(), SMOOTH[2:, 1:].float().requires_grad_()]
    roi_align(random(15, 2, 2, 6, 7), boxes, 2).sum().backward()
    assert all(some.grad is not None and some.grad.dtype == torch.float32 and some.grad.any() for some in boxes)


def test_a_box_moved_in_tenths_is_a_staircase_and_a_line():
    features = torch.arange(20.0, dtype=torch.float64).repeat(20, 1)[None, None]
    moved = [tensor([0, 3 + step / 10, 4.0, 9 + step / 10, 10.0]) for step in range(11)]
    aligned = torch.cat([roi_align(features, box, 1, sampling_ratio=2) for box in moved]).flatten()
    pooled = torch.cat([roi_pool(features, box, 1) for box in moved]).flatten()
    torch.testing.assert_close(aligned.diff(), torch.full((10,), 0.1, dtype=torch.float64))
    assert pooled.diff().tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]


# ---------------------------------------------------------------------------------------- properties


scales = st.sampled_from([1.0, 0.5, 0.25, 0.1])
ratios = st.integers(-1, 3)
seeds = st.integers(0, 10_000)


@few
@given(seeds, scales, ratios, st.booleans())
def test_roi_align_is_linear(seed, scale, ratio, aligned):
    one, two, boxes = random(seed, 2, 1, 6, 7), random(seed + 1, 2, 1, 6, 7), random_boxes(seed, 8)
    boxes[:, 1:] /= scale

    def align(features):
        return roi_align(features, boxes, 3, spatial_scale=scale, sampling_ratio=ratio, aligned=aligned)

    torch.testing.assert_close(align(2 * one - 3 * two), 2 * align(one) - 3 * align(two), atol=1e-12, rtol=0)


@few
@given(seeds, st.integers(-3, 3), st.integers(-3, 3), st.sampled_from([roi_align, roi_pool]))
def test_moving_map_and_box_by_whole_cells_changes_nothing(seed, dy, dx, pool):
    features = torch.zeros(1, 2, 30, 30, dtype=torch.float64)
    features[:, :, 10:20, 10:20] = random(seed, 1, 2, 10, 10)
    boxes = random_boxes(seed, 8, images=1, reach=9, side=7)
    boxes[:, 1:] += 11
    by = tensor(0, dx, dy, dx, dy)
    moved = pool(features.roll((dy, dx), (2, 3)), boxes + by, 3)
    torch.testing.assert_close(moved, pool(features, boxes, 3), atol=1e-10, rtol=0)


@few
@given(seeds, ratios, st.booleans(), st.sampled_from(["mean", "max"]))
def test_a_constant_map_is_constant_inside(seed, ratio, aligned, reduce):
    boxes = random_boxes(seed, 16, images=1, reach=9, side=5)
    boxes[:, 1:] += 4
    boxes = boxes[4:]  # with area
    out = roi_align(torch.full((1, 1, 15, 15), 2.5).double(), boxes, 3, sampling_ratio=ratio, aligned=aligned)
    torch.testing.assert_close(out, torch.full_like(out, 2.5))


@few
@given(seeds, st.booleans())
def test_max_is_not_below_mean_and_one_point_is_both(seed, aligned):
    features, boxes = random(seed, 2, 2, 6, 7), random_boxes(seed, 8)
    mean, largest = (
        roi_align(features, boxes, 3, sampling_ratio=2, aligned=aligned, reduce=r) for r in ("mean", "max")
    )
    assert (largest >= mean - 1e-12).all()
    mean, largest = (
        roi_align(features, boxes, 3, sampling_ratio=1, aligned=aligned, reduce=r) for r in ("mean", "max")
    )
    torch.testing.assert_close(mean, largest, atol=1e-12, rtol=0)


@few
@given(seeds)
def test_roi_pool_of_a_monotone_map_is_the_monotone_map_of_roi_pool(seed):
    features, boxes = random(seed, 2, 2, 6, 7), random_boxes(seed, 8)
    out = roi_pool(features.exp().requires_grad_(), boxes, 3)  # positive: an empty bin shows as 0
    expected = torch.where(out > 0, roi_pool(features, boxes, 3).exp(), 0)
    torch.testing.assert_close(out, expected)


# ---------------------------------------------------------------------------------------- bad input

ONE = torch.tensor([[0, 1.0, 1.0, 3.0, 3.0]])
MAP = torch.zeros(2, 3, 5, 5)


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
@pytest.mark.parametrize(
    ("features", "boxes", "size", "scale", "message"),
    [
        (MAP.long(), ONE, 2, 1, r"features must be floating-point \(N, C, H, W\), got int64 \(2, 3, 5, 5\)"),
        (
            MAP.numpy(),
            ONE,
            2,
            1,
            r"features must be a tensor, floating-point \(N, C, H, W\), got float32 array \(2, 3, 5, 5\)",
        ),
        (MAP[0], ONE, 2, 1, r"features must be .* \(N, C, H, W\), got float32 \(3, 5, 5\)"),
        (MAP[:, :, :0], ONE, 2, 1, r"H, W at least 1, got float32 \(2, 3, 0, 5\)"),
        (MAP, ONE[:, 1:], 2, 1, r"boxes must be a tensor, of real numbers \(K, 5\), got float32 \(1, 4\)"),
        (MAP, ONE[0], 2, 1, r"boxes must be a tensor, of real numbers \(K, 5\), got float32 \(5,\)"),
        (MAP, ONE.numpy(), 2, 1, "boxes must be a tensor .* or a list"),
        (MAP, [ONE[:, 1:]], 2, 1, "one tensor an image, 2, got 1"),
        (MAP, [ONE[:, 1:], ONE], 2, 1, r"boxes\[1\] must be a tensor, of real numbers \(K, 4\), got float32 \(1, 5\)"),
        (MAP, torch.tensor([[2.0, 1, 1, 3, 3]]), 2, 1, "image numbers 0 to 1, got 2 in row 0"),
        (MAP, torch.tensor([[0.0, 1, 1, 3, 3], [-1, 1, 1, 3, 3]]), 2, 1, "got -1 in row 1"),
        (MAP, torch.tensor([[0.5, 1, 1, 3, 3]]), 2, 1, "got 0.5 in row 0"),
        (MAP, torch.tensor([[math.nan, 1, 1, 3, 3]]), 2, 1, "image numbers 0 to 1, got nan"),
        (MAP, torch.tensor([[0, 1, math.nan, 3, 3]]), 2, 1, "finite, got .*nan.* in row 0"),
        (MAP, torch.tensor([[0, 1, 1, math.inf, 3]]), 2, 1, "finite"),
        (MAP, torch.tensor([[0, 3.0, 1, 1, 3]]), 2, 1, r"x1 <= x2 and y1 <= y2, got \[3.0, 1.0, 1.0, 3.0\] in row 0"),
        (MAP, torch.tensor([[0, 1.0, 3, 3, 1]]), 2, 1, "x1 <= x2 and y1 <= y2"),
        (MAP, ONE.bool(), 2, 1, r"real numbers \(K, 5\), got bool \(1, 5\)"),
        (MAP, ONE, 0, 1, "output_size must be a whole number of at least 1, got 0"),
        (MAP, ONE, (2, -1), 1, r"output_size\[1\] must be a whole number of at least 1, got -1"),
        (MAP, ONE, (2, 2, 2), 1, "one whole number, or 2 whole numbers"),
        (
            MAP,
            ONE,
            2.5,
            1,
            "output_size must be one whole number, .*got 2.5|output_size must be a whole number .*got 2.5",
        ),
        (MAP, ONE, 2, 0, "spatial_scale must be finite and above 0, got 0"),
        (MAP, ONE, 2, math.nan, "spatial_scale"),
        (MAP, ONE.to("meta"), 2, 1, "must be on the features' device cpu, got meta"),
    ],
)
def test_bad_input(pool, features, boxes, size, scale, message):
    with pytest.raises(ValueError, match=message):
        pool(features, boxes, size, spatial_scale=scale)


def test_boxes_that_are_too_large():
    far = torch.tensor([[0, -3e38, 0, 3e38, 1]])
    for pool in (roi_align, roi_pool):
        with pytest.raises(ValueError, match="boxes must be finite"):
            pool(MAP, far, 2)
        with pytest.raises(ValueError, match="boxes must be finite"):  # 1e300 is none of float32's numbers
            pool(MAP, torch.tensor([[0, 0, 0, 1e300, 1]], dtype=torch.float64), 2)
    with pytest.raises(ValueError, match="too many sample points"):
        roi_align(MAP, far / 2, 2)
    assert roi_align(MAP + 1, far / 2, 2, sampling_ratio=2).shape == (1, 3, 2, 2)
    assert roi_pool(MAP + 1, far / 2, 2)[0, 0].tolist() == [[0, 1], [0, 1]]  # the middle of the box is at x = 0


def test_bad_options_of_roi_align():
    with pytest.raises(ValueError, match="reduce must be 'mean' or 'max', got 'sum'"):
        roi_align(MAP, ONE, 2, reduce="sum")
    with pytest.raises(ValueError, match="sampling_ratio must be a whole number, got 1.5"):
        roi_align(MAP, ONE, 2, sampling_ratio=1.5)


def test_what_boxes_can_do_is_imported_from_here_too():
    shared = set(roi.__all__) - {"roi_align", "roi_pool"}
    assert all(getattr(roi, name) is getattr(boxes_module, name) for name in shared)
    # Which anchor learns which object is no matter of regions of interest: those names are in boxes alone.
    assert set(boxes_module.__all__) - shared == {"Sample", "match_boxes", "sample_matches"}
