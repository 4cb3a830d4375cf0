"""Boxes: known answers, torchvision's stored numbers, the greedy rule written out in loops."""

import json
import math
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from chance import random, random_boxes, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib._kernels import suppress
from tutorial_lib.boxes import (
    batched_nms,
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    keep_boxes,
    make_anchors,
    match_boxes,
    nms,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "roi_torchvision.json").read_text())
few = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10_000)


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
    with patch.multiple(suppress, _BLOCK=block, _STRIP=2 * block):
        kept = nms(boxes, scores, threshold)
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
        (torch.zeros(3, 5), torch.zeros(3), 0.5, r"boxes must be floating-point \(K, 4\), got float32 \(3, 5\)"),
        (torch.zeros(3, 4), torch.zeros(2), 0.5, r"scores must be floating-point \(3,\), got float32 \(2,\)"),
        (torch.zeros(3, 4), torch.zeros(3).long(), 0.5, "scores must be floating-point.*int64"),
        (torch.zeros(3, 4).long(), torch.zeros(3), 0.5, r"boxes must be floating-point \(K, 4\), got int64 \(3, 4\)"),
        (torch.zeros(3, 4), torch.zeros(3), 1.5, r"iou_threshold must be in \[0, 1\], got 1.5"),
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
        with pytest.raises(ValueError, match=r"classes must be a tensor, of whole numbers \(2,\), got "):
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


def test_anchors_are_torchvisions_rounded_ones():
    """Its AnchorGenerator; the 3 × 3 map is that of test_models_detection_anchor_utils.py."""
    options = {"stride": 5, "offset": 0, "rounded": True, "ratios": [1], "dtype": torch.float64}
    grid = make_anchors(3, sizes=[10], **options)
    assert grid[:4].tolist() == [[-5, -5, 5, 5], [0, -5, 10, 5], [5, -5, 15, 5], [-5, 0, 5, 10]]
    assert grid[-1].tolist() == [5, 5, 15, 15]
    three = make_anchors(1, sizes=[32, 128], **options | {"ratios": [0.5, 1, 2]})
    assert three[:4].tolist() == [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23], [-91, -45, 91, 45]]


def test_rounding_makes_small_anchors_up_to_a_fifth_too_small():
    """Half of 5 is 2.5, to even 2: an anchor that is asked for at 5 pixels is 4 wide, one of 15 is 16."""
    options = {"stride": 1, "sizes": [5, 15], "ratios": [1]}
    assert box_area(make_anchors(1, rounded=True, **options)).sqrt().tolist() == [4, 16]
    assert box_area(make_anchors(1, **options)).sqrt().tolist() == [5, 15]


def test_anchors_are_detectrons():
    """detectron2, tests/modeling/test_anchor_generator.py: its cells' corners and its cells' middles."""
    options = {"stride": 4, "sizes": [32, 64], "ratios": [0.25, 1, 4], "dtype": torch.float64}
    six = [[32, 8], [16, 16], [8, 32], [64, 16], [32, 32], [16, 64]]
    corner = make_anchors((1, 2), offset=0, **options)
    assert corner.tolist() == [[x - w, -h, x + w, h] for x in (0, 4) for w, h in six]
    assert torch.equal(make_anchors((1, 2), **options), corner + 2)


def test_anchors_are_the_multibox_prior_of_d2l():
    """D2L, anchor.md: a photograph of 561 × 728, anchors at every pixel. Its sizes are shares of the height, its ratios
    width over height, and of all pairs it takes those with the first size or the first ratio; so do we, of ours."""
    high, wide, sizes, ratios = 561, 728, (0.75, 0.5, 0.25), (1, 2, 0.5)
    cells = make_anchors(
        (251, 251), stride=1, sizes=[size * high for size in sizes], ratios=[1 / ratio for ratio in ratios]
    ).view(251, 251, 3, 3, 4)
    there = cells[250, 250] / torch.tensor([wide, high, wide, high])
    torch.testing.assert_close(there[0, 0], torch.tensor([0.0551, 0.0715, 0.6331, 0.8215]), atol=5e-5, rtol=0)
    # In loops, as the book builds them.
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    prior = []
    for size, ratio in pairs:
        w, h = size * math.sqrt(ratio) * high / wide / 2, size / math.sqrt(ratio) / 2
        prior.append([250.5 / wide - w, 250.5 / high - h, 250.5 / wide + w, 250.5 / high + h])
    ours = torch.cat((there[:, 0], there[0, 1:]))
    torch.testing.assert_close(ours, torch.tensor(prior), atol=1e-6, rtol=0)


def test_d2l_from_anchors_to_labels_offsets_and_kept_boxes():
    """D2L, anchor.md: its dog, its cat and five anchors; then four boxes of which two are kept."""
    objects = tensor([0.1, 0.08, 0.52, 0.92], [0.55, 0.2, 0.9, 0.88])
    anchors = tensor(
        [0, 0.1, 0.2, 0.3], [0.15, 0.2, 0.4, 0.4], [0.63, 0.05, 0.88, 0.98], [0.66, 0.45, 0.8, 0.8],
        [0.57, 0.3, 0.92, 0.9],
    )  # fmt: skip
    iou = box_iou(objects, anchors)
    expected = tensor([0.0536, 0.1417, 0, 0, 0], [0, 0, 0.5657, 0.2059, 0.7459])
    torch.testing.assert_close(iou, expected, atol=5e-5, rtol=0)
    matches = match_boxes(iou, high=0.5, low=0.5)
    assert (matches + 1).tolist() == [0, 1, 2, 0, 2]  # there the background is 0
    positive = [1, 2, 4]
    offsets = encode_boxes(objects[matches[positive]], anchors[positive], weights=(10, 10, 5, 5))
    published = tensor([1.40, 10, 2.594, 7.175], [-1.20, 0.269, 1.682, -1.566], [-0.571, -1, 0, 0.626])
    torch.testing.assert_close(offsets, published, atol=6e-4, rtol=0)
    found = tensor([0.1, 0.08, 0.52, 0.92], [0.08, 0.2, 0.56, 0.95], [0.15, 0.3, 0.62, 0.91], [0.55, 0.2, 0.9, 0.88])
    overlap = box_iou(found, found)
    torch.testing.assert_close(overlap[0, 1:], tensor(0.737, 0.545, 0), atol=6e-4, rtol=0)
    assert nms(found, tensor(0.9, 0.8, 0.7, 0.9), 0.5).tolist() == [0, 3]


def test_the_coder_and_iou_by_hand():
    anchor, box = tensor(0, 0, 10, 10), tensor(2, 4, 12, 24)
    torch.testing.assert_close(encode_boxes(box, anchor), tensor(0.2, 0.9, 0, math.log(2)))
    torch.testing.assert_close(
        encode_boxes(box, anchor, weights=(10, 10, 5, 5)), tensor(2, 9, 0, 5 * math.log(2)), atol=1e-12, rtol=0
    )
    # Growth is cut, shrinking is not.
    grown = decode_boxes(tensor(0, 0, 50, -50), anchor)
    torch.testing.assert_close(grown, tensor(5 - 312.5, 5, 5 + 312.5, 5))
    # detectron2, tests/structures/test_boxes.py
    six = tensor([0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 1, 0.5], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.5, 0.5, 1.5, 1.5])
    torch.testing.assert_close(box_iou(tensor([0, 0, 1, 1]), six), tensor([1, 0.5, 0.5, 0.25, 0.25, 0.25 / 1.75]))


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
    with pytest.raises(ValueError, match="weights must be 4 numbers, got"):
        encode_boxes(good, good, weights=(1, 1))
    with pytest.raises(ValueError, match=r"weights\[2\] must be finite and above 0, got 0"):
        decode_boxes(good, good, weights=(1, 1, 0, 1))
    with pytest.raises(ValueError, match=r"offsets must be floating-point \(\.\.\., 4\), got float32 \(3,\)"):
        decode_boxes(torch.zeros(3), good)


# --- half precision, sizes from NumPy -------------------------------------------------------------------------------

HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_computed_in_float32(dtype):
    """Large boxes, whose areas, sums and quotients no float16 holds; whole hundreds, which both types hold."""
    corner = torch.randint(0, 4, (12, 2), generator=torch.Generator().manual_seed(0)).float() * 256
    boxes = torch.cat((corner, corner + 512 + 256 * (corner > 256)), 1)
    others, half = boxes.roll(1, 0), boxes.to(dtype)
    assert box_area(half).dtype == torch.float32 and torch.equal(box_area(half), box_area(boxes))
    assert torch.equal(box_iou(half, others.to(dtype)), box_iou(boxes, others).to(dtype))
    offsets = encode_boxes(half, others.to(dtype), weights=(10, 10, 5, 5))
    assert torch.equal(offsets, encode_boxes(boxes, others, weights=(10, 10, 5, 5)).to(dtype))
    back = decode_boxes(offsets, others.to(dtype), weights=(10, 10, 5, 5))
    assert torch.equal(back, decode_boxes(offsets.float(), others, weights=(10, 10, 5, 5)).to(dtype))
    for size in ((600, 700), (100_000, 100_000)):
        assert torch.equal(clip_boxes(half, size), clip_boxes(boxes, size).to(dtype))
    for function in (lambda b: nms(b, torch.arange(12.0), 0.5), lambda b: keep_boxes(b, min_size=600)):
        assert function(half).tolist() == function(boxes).tolist()
    anchors = make_anchors((2, 2), stride=300, sizes=[500], dtype=dtype)
    assert anchors.dtype == dtype and torch.equal(anchors, make_anchors((2, 2), stride=300, sizes=[500]).to(dtype))


def test_the_largest_boxes_of_float16():
    far = torch.tensor([[-60000.0, -60000, 60000, 60000], [0, 0, 60000, 60000]]).half()
    assert box_iou(far, far).tolist() == [[1, 0.25], [0.25, 1]]
    assert keep_boxes(far, min_size=61000).tolist() == [0] and nms(far, torch.tensor([1.0, 2]), 0.2).tolist() == [1]
    assert encode_boxes(far[:1], far[1:]).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_comes_back_has_the_type_that_came(dtype):
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 1, 3, 5]], dtype=dtype)
    for out in (box_iou(boxes, boxes), encode_boxes(boxes, boxes), decode_boxes(boxes, boxes), clip_boxes(boxes, 3)):
        assert out.dtype == dtype
    assert box_iou(boxes, boxes.double()).dtype == torch.float64


SIZES = [(4, 4), [4, 4], 4, np.int64(4), np.array([4, 4]), np.array([4, 4], ">i4"), torch.tensor([4, 4]), range(4, 5)]


@pytest.mark.parametrize("size", SIZES[:-1], ids=str)
def test_sizes_of_any_library(size):
    boxes = torch.tensor([[-1.0, 1, 9, 3]])
    assert clip_boxes(boxes, size).tolist() == [[0, 1, 4, 3]]
    assert len(make_anchors(size, stride=8, sizes=[8], ratios=[1])) == 16
    for wrong in (SIZES[-1], (4.0, 4), "44", (0, 4), (True, 4)):
        with pytest.raises(ValueError, match="image_size.* must be .*, got "):
            clip_boxes(boxes, wrong)


@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.tensor, lambda v: np.array(v, ">f4")])
def test_numbers_of_any_library(kind):
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 1, 3, 5]])
    expected = encode_boxes(boxes, boxes.flip(0), weights=(10, 10, 5, 5))
    assert torch.equal(encode_boxes(boxes, boxes.flip(0), weights=kind([10.0, 10, 5, 5])), expected)
    expected = make_anchors((1, 2), stride=16, sizes=[8, 16], ratios=[1, 2])
    found = make_anchors(
        (1, 2), stride=np.float32(16), sizes=kind([8.0, 16]), ratios=kind([1.0, 2]), offset=np.float16(0.5)
    )
    assert torch.equal(found, expected)
    assert keep_boxes(boxes, min_size=torch.tensor(3.0)).tolist() == [0]
    assert nms(boxes, torch.tensor([1.0, 2.0]), np.float32(0.5)).tolist() == [1, 0]


def test_arrays_and_sparse_tensors_are_refused():
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    functions = [box_area, keep_boxes, lambda b: box_iou(boxes, b), lambda b: encode_boxes(b, boxes)]
    functions += [lambda b: decode_boxes(b, boxes), lambda b: clip_boxes(b, 4), lambda b: nms(b, torch.ones(1), 0.5)]
    for function in functions:
        for wrong in (boxes.numpy(), boxes.to_sparse(), boxes.long(), boxes.tolist()):
            with pytest.raises(ValueError, match=r"must be .*floating-point \(.*\), got "):
                function(wrong)
