"""RoI operators: published answers, the algorithm written out in loops, torchvision's stored numbers, gradients."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib import roi
from tutorial_lib.roi import (
    batched_nms,
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    keep_boxes,
    make_anchors,
    nms,
    roi_align,
    roi_pool,
)

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


def tensor(*numbers) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def random(seed: int, *shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_boxes(seed: int, count: int, images: int = 2, reach: float = 24.0, side: float = 12.0) -> torch.Tensor:
    """Inside, across the border and wholly outside a map of some ten cells; the first ones without area."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * reach - reach / 3
    size = torch.rand(count, 2, generator=generator, dtype=torch.float64) * side
    size[: count // 8] = 0
    size[count // 8 : count // 4, 0] = 0
    image = torch.randint(0, images, (count, 1), generator=generator)
    return torch.cat((image, corner, corner + size), 1)


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


def nms_in_loops(boxes, scores, threshold) -> list[int]:
    kept = []
    for number in sorted(range(len(boxes)), key=lambda number: -scores[number]):
        x1, y1, x2, y2 = boxes[number]
        for other in kept:
            a1, b1, a2, b2 = boxes[other]
            inter = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inter
            if union > 0 and inter / union > threshold:
                break
        else:
            kept.append(number)
    return kept


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
    monkeypatch.setattr(roi, "_SAMPLES", 1)
    monkeypatch.setattr(roi, "_GATHERED", 1)
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
        (MAP.long(), ONE, 2, 1, "features must be a floating-point tensor, got torch.int64"),
        (MAP.numpy(), ONE, 2, 1, "features must be a floating-point tensor, got ndarray"),
        (MAP[0], ONE, 2, 1, r"shape \(N, C, H, W\).*got \(3, 5, 5\)"),
        (MAP[:, :, :0], ONE, 2, 1, r"H, W at least 1, got \(2, 3, 0, 5\)"),
        (MAP, ONE[:, 1:], 2, 1, r"boxes must have shape \(K, 5\), got \(1, 4\)"),
        (MAP, ONE[0], 2, 1, r"boxes must have shape \(K, 5\), got \(5,\)"),
        (MAP, ONE.numpy(), 2, 1, "boxes must be a tensor .* or a list"),
        (MAP, [ONE[:, 1:]], 2, 1, "one tensor an image: got 1 for 2 images"),
        (MAP, [ONE[:, 1:], ONE], 2, 1, r"boxes\[1\] must have shape \(K, 4\), got \(1, 5\)"),
        (MAP, torch.tensor([[2.0, 1, 1, 3, 3]]), 2, 1, "image numbers 0 … 1, got 2 in row 0"),
        (MAP, torch.tensor([[0.0, 1, 1, 3, 3], [-1, 1, 1, 3, 3]]), 2, 1, "got -1 in row 1"),
        (MAP, torch.tensor([[0.5, 1, 1, 3, 3]]), 2, 1, "got 0.5 in row 0"),
        (MAP, torch.tensor([[math.nan, 1, 1, 3, 3]]), 2, 1, "image numbers 0 … 1, got nan"),
        (MAP, torch.tensor([[0, 1, math.nan, 3, 3]]), 2, 1, "finite, got .*nan.* in row 0"),
        (MAP, torch.tensor([[0, 1, 1, math.inf, 3]]), 2, 1, "finite"),
        (MAP, torch.tensor([[0, 3.0, 1, 1, 3]]), 2, 1, r"x1 <= x2 and y1 <= y2, got \[3.0, 1.0, 1.0, 3.0\] in row 0"),
        (MAP, torch.tensor([[0, 1.0, 3, 3, 1]]), 2, 1, "x1 <= x2 and y1 <= y2"),
        (MAP, ONE.bool(), 2, 1, "real numbers, got torch.bool"),
        (MAP, ONE, 0, 1, "output_size must be at least 1, got 0"),
        (MAP, ONE, (2, -1), 1, "output_size must be at least 1"),
        (MAP, ONE, (2, 2, 2), 1, "one number or"),
        (MAP, ONE, 2.5, 1, "output_size must be a whole number, got 2.5"),
        (MAP, ONE, 2, 0, "spatial_scale must be a positive number, got 0"),
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


# ---------------------------------------------------------------------------------------- boxes


def test_box_iou_known_answers():
    boxes = tensor([0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5], [0, 0, 4, 1])
    expected = tensor([1, 1 / 7, 0, 1 / 3], [1 / 7, 1, 0, 0], [0, 0, 0, 0], [1 / 3, 0, 0, 1])
    torch.testing.assert_close(box_iou(boxes, boxes), expected)
    assert box_area(boxes).tolist() == [4, 4, 0, 4]
    assert box_iou(boxes, boxes[:0]).shape == (4, 0)


def test_coder_and_iou_are_torchvisions():
    stored = VECTORS["coder"]
    truth, anchors, offsets = (tensor(*stored[key]) for key in ("truth", "anchors", "offsets"))
    weights = stored["weights"]
    torch.testing.assert_close(box_iou(truth, anchors), tensor(*stored["iou"]), atol=1e-12, rtol=0)
    torch.testing.assert_close(encode_boxes(truth, anchors, weights=weights), tensor(*stored["encoded"]))
    torch.testing.assert_close(decode_boxes(offsets, anchors, weights=weights), tensor(*stored["decoded"]))


def test_decoding_undoes_encoding_and_both_have_gradients():
    anchors = make_anchors((2, 2), stride=8, sizes=[8], ratios=[0.5, 1, 2], dtype=torch.float64)
    boxes = random_boxes(0, 12)[:, 1:]
    boxes[:, 2:] += 1
    offsets = encode_boxes(boxes, anchors)
    torch.testing.assert_close(decode_boxes(offsets, anchors), boxes)
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes[:, None], anchors), anchors)[:, 3], boxes)
    assert torch.autograd.gradcheck(encode_boxes, (boxes.requires_grad_(), anchors))
    assert torch.autograd.gradcheck(decode_boxes, (offsets.detach().requires_grad_(), anchors))


@pytest.mark.parametrize("threshold", sorted(VECTORS["nms"]["kept"]))
def test_nms_is_torchvisions(threshold):
    stored = VECTORS["nms"]
    kept = nms(tensor(*stored["boxes"]), tensor(*stored["scores"]), float(threshold))
    assert kept.tolist() == stored["kept"][threshold]


def test_batched_nms_is_torchvisions():
    stored = VECTORS["nms"]
    boxes, scores, classes = tensor(*stored["boxes"]), tensor(*stored["distinct"]), torch.tensor(stored["classes"])
    kept = batched_nms(boxes, scores, classes, 0.3)
    assert kept.tolist() == stored["batched"]
    far = boxes + classes[:, None] * 1000.0
    assert kept.tolist() == nms(far, scores, 0.3).tolist()
    assert batched_nms(boxes[:0], scores[:0], classes[:0], 0.3).tolist() == []


@few
@given(seeds, st.integers(0, 90), st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]), st.sampled_from([1, 7, 256]))
def test_nms_is_the_greedy_rule(seed, count, threshold, block):
    """Whole coordinates and few scores: IoUs that hit the threshold, and ties."""
    boxes = random_boxes(seed, count, reach=12)[:, 1:].round()
    scores = (random(seed, count) * 2).round()
    before = roi._BLOCK, roi._STRIP
    roi._BLOCK, roi._STRIP = block, 2 * block
    try:
        kept = nms(boxes, scores, threshold)
    finally:
        roi._BLOCK, roi._STRIP = before
    assert kept.dtype == torch.int64
    assert kept.tolist() == nms_in_loops(boxes.tolist(), scores.tolist(), threshold)


def test_nms_compares_float32_with_the_threshold_that_was_given():
    """IoU 3/10 in float32 lies above the 0.3 that Python holds: torchvision suppresses, and so do we."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [0.0, 0.0, 3.0, 1.0]])
    assert float(torch.tensor(0.3)) > 0.3
    assert nms(boxes, torch.tensor([1.0, 0.5]), 0.3).tolist() == [0]
    assert nms(boxes, torch.tensor([1.0, 0.5]), 0.3000001).tolist() == [0, 1]
    assert nms(boxes.double(), torch.tensor([1.0, 0.5]), 0.3).tolist() == [0, 1]


def test_nms_of_many_boxes_of_no_area_and_of_none():
    boxes = torch.tensor([[1.0, 1.0, 1.0, 1.0]]).repeat(600, 1)
    scores = torch.arange(600.0)
    assert nms(boxes, scores, 0.5).tolist() == list(range(599, -1, -1))
    boxes[:, 2:] += 1
    assert nms(boxes, scores, 0.5).tolist() == [599]
    assert nms(boxes[:0], scores[:0], 0.5).tolist() == []
    assert nms(boxes.requires_grad_(), scores.half(), 0.5).tolist() == [599]


@pytest.mark.parametrize(
    ("boxes", "scores", "threshold", "message"),
    [
        (torch.zeros(3, 5), torch.zeros(3), 0.5, r"boxes must have shape"),
        (torch.zeros(3, 4), torch.zeros(2), 0.5, r"scores must be floating, one a box \(3,\), got \(2,\)"),
        (torch.zeros(3, 4), torch.zeros(3).long(), 0.5, "scores must be floating.*int64"),
        (torch.zeros(3, 4).long(), torch.zeros(3), 0.5, "boxes must be a floating-point tensor, got torch.int64"),
        (torch.zeros(3, 4), torch.zeros(3), 1.5, "iou_threshold must lie in 0 … 1, got 1.5"),
        (torch.zeros(3, 4), torch.zeros(3), math.nan, "iou_threshold"),
        (torch.full((3, 4), math.nan), torch.zeros(3), 0.5, "finite"),
        (torch.zeros(3, 4), torch.full((3,), math.nan), 0.5, "nan"),
        (torch.tensor([[1.0, 0, 0, 1]]), torch.zeros(1), 0.5, "x1 <= x2"),
    ],
)
def test_nms_bad_input(boxes, scores, threshold, message):
    with pytest.raises(ValueError, match=message):
        nms(boxes, scores, threshold)
    with pytest.raises(ValueError, match=message):
        batched_nms(boxes, scores, torch.zeros(len(scores), dtype=torch.int64), threshold)


def test_batched_nms_bad_classes():
    for classes in (torch.zeros(2), torch.zeros(3, dtype=torch.int64), [0, 0]):
        with pytest.raises(ValueError, match="classes must be integers"):
            batched_nms(torch.zeros(2, 4), torch.zeros(2), classes, 0.5)


def test_anchors():
    anchors = make_anchors((3, 4), stride=16, sizes=[32, 64], ratios=[0.5, 1, 2], dtype=torch.float64)
    assert anchors.shape == (3 * 4 * 6, 4)
    grid = anchors.view(3, 4, 2, 3, 4)
    torch.testing.assert_close(box_area(grid[1, 2]), tensor([1024] * 3, [4096] * 3))
    size = grid[..., 2:] - grid[..., :2]
    torch.testing.assert_close((size[..., 1] / size[..., 0])[0, 0, 0], tensor(0.5, 1, 2))
    centre = (grid[..., 2:] + grid[..., :2]) / 2
    torch.testing.assert_close(centre[2, 1, 0, 0], tensor(24, 40))
    corner = make_anchors((3, 4), stride=16, sizes=[32, 64], ratios=[0.5, 1, 2], offset=0, dtype=torch.float64)
    torch.testing.assert_close(anchors - corner, torch.full_like(anchors, 8))
    for bad in ({"stride": 0}, {"sizes": []}, {"sizes": [-1]}, {"ratios": [0]}, {"feature_size": (0, 1)}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            make_anchors(**{"feature_size": (1, 1), "stride": 8, "sizes": [8], **bad})


def test_clipping_and_keeping():
    boxes = tensor([-3, 2, 5, 9], [1, 1, 2, 2], [30, 30, 40, 40], [3, 1, 2, 2], [0, 0, math.nan, 1], [1, 1, 1, 2])
    clipped = clip_boxes(boxes[:3], (8, 10))
    assert clipped.tolist() == [[0, 2, 5, 8], [1, 1, 2, 2], [10, 8, 10, 8]]
    assert keep_boxes(boxes).tolist() == [0, 1, 2]
    assert keep_boxes(clipped).tolist() == [0, 1]
    assert keep_boxes(clipped, min_size=1).tolist() == [0, 1]
    assert keep_boxes(clipped, min_size=2).tolist() == [0]
    with pytest.raises(ValueError, match="min_size"):
        keep_boxes(boxes, min_size=-1)
    with pytest.raises(ValueError, match="image_size"):
        clip_boxes(boxes, (0, 4))


def test_bad_boxes_for_the_coder():
    good, flat = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[0.0, 0, 4, 0]])
    with pytest.raises(ValueError, match="boxes must have x1 < x2"):
        encode_boxes(flat, good)
    with pytest.raises(ValueError, match="anchors must have x1 < x2"):
        encode_boxes(good, flat)
    with pytest.raises(ValueError, match="four numbers"):
        encode_boxes(good, good, weights=(1, 1))
    with pytest.raises(ValueError, match="weights must be a positive"):
        decode_boxes(good, good, weights=(1, 1, 0, 1))
    with pytest.raises(ValueError, match=r"offsets must have shape \(..., 4\), got \(3,\)"):
        decode_boxes(torch.zeros(3), good)
