"""Exercises of chapter 09: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from torch.nn import functional as F

from tutorial_lib.lab import check, claim, load_evidence
from tutorial_lib.roi import roi_align

NAME = "09_roi_align.ipynb"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ([1, 1, 1, 1], "nobody clips"),
        ([0, 0, 1, 1], "just -1"),
        ([0, 1, 1, 1], "within one cell"),
        ([0, 0, 0, 1], "begins at -4.5"),
        ([0.25, 0.5, 1, 1], "-4, -3 | -2, -1"),
        ([0, 0.5, 1], "four numbers"),
        (0.5, "four numbers"),
        ("none", "four numbers"),
    ],
)
def test_off_the_map_hints(wrong, hint):
    result = check("roi.off_the_map", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_off_the_map_is_what_the_library_says():
    out = roi_align(torch.ones(1, 1, 8, 8), torch.tensor([[0.0, -4, 2, 4, 6]]), 4, sampling_ratio=2)[0, 0]
    assert all(check("roi.off_the_map", row, show=False).ok for row in (*out, out[0].tolist(), tuple(out[0].numpy())))


def weights(low, high, bins, ratio, length, *, rule="right", mean=True, shift=0.5):
    """The exercise, with one thing or another done wrong."""
    matrix = torch.zeros(bins, length)
    for p in range(bins):
        for k in range(ratio):
            x = low + (p * ratio + k + shift) / (bins * ratio) * (high - low)
            if not -1 <= x <= length and rule != "clamp":
                continue
            if rule != "zero padding":
                x = min(max(x, 0), length - 1)
            below = int(np.floor(x))
            for cell, weight in ((below, 1 - (x - below)), (below + 1, x - below)):
                if 0 <= cell < length:
                    matrix[p, cell] += weight / (ratio if mean else 1)
    return matrix


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *a: weights(*a).T, "other way round"),
        (lambda *a: weights(*a, mean=False), "not their sum"),
        (lambda *a: weights(*a, shift=0), "not at the beginnings"),
        (lambda *a: weights(*a, rule="clamp"), "nothing at all"),
        (lambda *a: weights(*a, rule="zero padding"), "reads the edge in full"),
        (lambda low, high, *a: weights(low - 0.5, high - 0.5, *a), "half pixel is off already"),
        (lambda low, high, bins, ratio, length: weights(low, high, bins, 1, length), "not one"),
        (lambda *a: torch.zeros(a[2], a[4]), "1 - fraction"),
        (lambda *a: "matrix", "1 - fraction"),
        (lambda *a: a.nonsense, "AttributeError"),
        (torch.ones(2, 3), "expected a function"),
    ],
)
def test_axis_weights_hints(wrong, hint):
    result = check("roi.axis_weights", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_points_on_the_edges_of_bins_are_told():
    def wrong(low, high, bins, ratio, length):
        points = torch.linspace(low, high, bins * ratio)
        return (1 - (points[:, None] - torch.arange(length)).abs()).clamp(min=0).view(bins, ratio, length).mean(1)

    assert "not on their edges" in check("roi.axis_weights", wrong, show=False).message


def test_the_solution_of_axis_weights_makes_roi_align():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["roi.axis_weights"]
    assert check("roi.axis_weights", weights, show=False).ok
    features = torch.rand(2, 6, 9, generator=torch.Generator().manual_seed(0))
    for x1, y1, x2, y2 in ((1.0, 0.5, 7.2, 4.0), (-5.0, 2.0, 3.0, 20.0)):
        rows = torch.as_tensor(solution(y1 - 0.5, y2 - 0.5, 3, 2, 6), dtype=torch.float32)
        columns = torch.as_tensor(solution(x1 - 0.5, x2 - 0.5, 4, 2, 9), dtype=torch.float32)
        want = roi_align(features[None], torch.tensor([[0, x1, y1, x2, y2]]), (3, 4), sampling_ratio=2)[0]
        torch.testing.assert_close(rows @ features @ columns.T, want)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, n: 2 * p / max(n - 1, 1) - 1, "align_corners=True"),
        (lambda p, n: 2 * p / n - 1, "half a cell is missing"),
        (lambda p, n: (p + 0.5) / n, "from 0 to 1"),
        (lambda p, n: p, "reaches from i - 1/2"),
        (lambda p, n: ((2 * p + 1) / n - 1).flatten(), "reaches from i - 1/2"),
        (lambda p, n: "x", "reaches from i - 1/2"),
        (0.5, "expected a function"),
    ],
)
def test_to_grid_hints(wrong, hint):
    result = check("roi.to_grid", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_of_to_grid_reads_the_cells():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["roi.to_grid"]
    features = torch.rand(1, 1, 4, 7)
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(7.0), indexing="ij")
    grid = torch.stack([solution(x, 7), solution(y, 4)], dim=-1)[None]
    torch.testing.assert_close(F.grid_sample(features, grid, align_corners=False), features)


RIGHT = {"A": "half pixel", "B": "edges", "C": "none", "D": "rounded"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"A": "none"}, "middles of cells 0 to 3"),
        (RIGHT | {"B": "half pixel"}, "first and the last point"),
        (RIGHT | {"C": "half pixel"}, "multiply it out"),
        (RIGHT | {"D": "none"}, "a tenth of a pixel"),
        ({"A": "half pixel"}, "keys A, B, C, D"),
        (RIGHT | {"A": "typo"}, "keys A, B, C, D"),
        (RIGHT | {"A": ["none"]}, "keys A, B, C, D"),
        ("none", "keys A, B, C, D"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    result = check("roi.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_four_lines_really_have_those_faults():
    scope = {"torch": torch}
    exec(cell_source(f"notebooks/{NAME}", "def line_a"), scope)
    a, b, c, d = (scope[f"line_{letter}"] for letter in "abcd")
    x1, x2, scale, bins = 37.0, 95.0, 1 / 8, 5
    right = torch.tensor([x1 * scale - 0.5 + (p + 0.5) * (x2 - x1) * scale / bins for p in range(bins)])
    torch.testing.assert_close(c(x1, x2, scale, bins), right)
    torch.testing.assert_close(a(x1, x2, scale, bins), right + 0.5)
    torch.testing.assert_close(b(x1, x2, scale, bins)[[0, -1]], torch.tensor([x1, x2]) * scale - 0.5)
    torch.testing.assert_close(d(x1, x2, scale, bins) - d(x1 + 1, x2 + 1, scale, bins), torch.zeros(bins))


def exact(ours="Align mean", rival="RoI Pool", score="shift_0.0", margin=0.01, **more):
    stored = load_evidence("09_roi_shift")
    return claim("Align", ours, rival, evidence=stored, score=score, margin=margin, show=False, **more)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda: exact("RoI Pool", "Align mean"), "the favoured method comes first"),
        (lambda: exact(score="shift_0.3"), "off by up to 30 %"),
        (lambda: exact("RoI Pool", "Align mean", "shift_0.3"), "the column is that of exact boxes"),
        (lambda: exact(margin=0.001), "one knows"),
        (lambda: exact(asks="not worse"), "asks='better'"),
        (lambda: claim("Align", [0.8, 0.9, 0.8], [0.7, 0.8, 0.6], show=False), "needs evidence="),
        (lambda: "no difference", "is asked for"),
        (lambda: 0.004, "is asked for"),
    ],
)
def test_exact_boxes_hints(wrong, hint):
    result = check("roi.exact_boxes", wrong(), show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_a_map_cell_stands_in_the_middle_of_its_pixels():
    """The network's strided layers are four wide, and the coarser maps are means: nothing is shifted."""
    scope = {"torch": torch, "F": F, "nn": torch.nn}
    exec(cell_source(f"notebooks/{NAME}", "class MaskNet"), scope)
    x = torch.arange(64.0) + 0.5  # where each pixel's middle is
    features = x.expand(1, 1, 64, 64)
    for layer in scope["MaskNet"]("Align mean", 4).backbone:
        if isinstance(layer, torch.nn.Conv2d):
            size, step = layer.kernel_size[0], layer.stride[0]
            mean = torch.ones(1, 1, size, size) / size**2
            features = F.conv2d(features, mean, stride=step, padding=layer.padding)
    for stride in (4, 8, 16):
        places = F.avg_pool2d(features, stride // 4)[0, 0, 32 // stride]
        inner = slice(16 // stride, -16 // stride)  # at the edge the padding is read too
        torch.testing.assert_close(places[inner], (stride * (torch.arange(64.0 // stride) + 0.5))[inner])
