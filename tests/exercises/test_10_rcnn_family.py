"""Exercises of chapter 10: a plausible mistake is told by its name."""

import math

import numpy as np
import pytest
import torch

from tutorial_lib.average_precision import average_precision as library_ap
from tutorial_lib.boxes import box_iou, encode_boxes, make_anchors, match_boxes
from tutorial_lib.boxes import decode_boxes as library_decode
from tutorial_lib.lab import check
from tutorial_lib.lab.checks import rcnn

# --- Which anchor learns which object ---


def match(boxes, anchors, *, high, low, above=None, below=None, rescue="pairs", ties=True, empty=True):
    """The exercise from scratch, with one thing or another done wrong."""
    labels = torch.full((len(anchors),), -1)
    if not len(boxes) and empty:
        return labels
    iou = box_iou(boxes, anchors)
    best, favourite = iou.max(0)
    positive = best > high if above == ">" else best >= high
    nothing = best <= low if below == "<=" else best < low
    labels = torch.where(positive, favourite, torch.where(nothing, -1, -2))
    if rescue == "torchvision":  # Matcher.set_low_quality_matches_
        tied = (iou == iou.max(1, keepdim=True).values).any(0)
        labels[tied] = favourite[tied]
    if rescue == "loop":  # ssd.pytorch, box_utils.match: for j in range(...): best_truth_idx[best_prior_idx[j]] = j
        for one in range(len(boxes)):
            labels[iou[one].argmax()] = one
    if rescue == "pairs":
        left, given = iou.clone(), {}
        while left.numel() and left.max() > 0:
            one, anchor = divmod(int(left.argmax()), len(anchors))
            given[one] = anchor
            left[one], left[:, anchor] = 0, 0
        for one, anchor in given.items():
            tied = (iou[one] == iou[one, anchor]) if ties else torch.zeros(len(anchors), dtype=torch.bool)
            tied[list(given.values())] = False
            labels[tied] = one
        for one, anchor in given.items():
            labels[anchor] = one
    return labels


def changes_its_arguments(boxes, anchors, *, high, low):
    boxes += 1
    return match(boxes, anchors, high=high, low=low)


def with_faults(**faults):
    return lambda boxes, anchors, *, high, low: match(boxes, anchors, high=high, low=low, **faults)


def then(change):
    return lambda boxes, anchors, *, high, low: change(match(boxes, anchors, high=high, low=low))


def a_label_an_object(boxes, anchors, *, high, low):
    return box_iou(boxes, anchors).argmax(1) if len(boxes) else torch.zeros(0)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (with_faults(rescue="torchvision"), "two faults: an object that overlaps no anchor"),
        (with_faults(rescue=None), "keeps its best anchor, also where"),
        (with_faults(rescue="loop"), "the last in the loop takes it"),
        (with_faults(above=">"), ">= high, not > high"),
        (with_faults(below="<="), "nothing is < low, not <= low"),
        (with_faults(ties=False), "argmax names only the first"),
        (with_faults(empty=False), "such images are frequent"),
        (then(lambda labels: torch.where(labels < 0, -3 - labels, labels)), "-1 is nothing, -2 is ignore"),
        (then(lambda labels: torch.where(labels == -2, -1, labels)), "it is not background"),
        (then(lambda labels: labels.clamp(max=0)), "the object's number is asked for"),
        (lambda boxes, anchors, *, high, low: torch.zeros(len(anchors)), "-1 below `low`"),
        (lambda b, a, **k: match(b, a, **k) if len(b) else torch.zeros(4), "every anchor is background"),
        (a_label_an_object, "one label for each anchor"),
        (changes_its_arguments, "changed its arguments"),
        (lambda boxes, anchors, high, low: "labels", "-1 below `low`"),
        (lambda boxes, anchors: None, "TypeError"),
        (3, "expected a function"),
    ],
)  # fmt: skip
def test_match_anchors_hints(wrong, hint):
    result = check("rcnn.match_anchors", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_match_anchors_by_loops_by_the_library_and_the_stub():
    assert check("rcnn.match_anchors", match, show=False).ok
    one = check(
        "rcnn.match_anchors", lambda b, a, *, high, low: match_boxes(box_iou(b, a), high=high, low=low), show=False
    )
    assert one.ok, one.message
    assert check("rcnn.match_anchors", lambda *a, **k: None, show=False).status == "todo"


# --- From offsets to boxes ---

MOST = math.log(1000 / 16)


def decode(anchors, offsets, *, one=0, exp_on_centre=False, turned="", most=MOST, least=-math.inf, start="centre"):
    x1, y1, x2, y2 = anchors.unbind(1)
    w, h = x2 - x1 + one, y2 - y1 + one
    x, y = (x1 + w / 2, y1 + h / 2) if start == "centre" else (x1, y1)
    tx, ty, tw, th = offsets.unbind(1)
    if turned == "offsets":
        tw, th = th, tw
    tx, ty = (tx.exp(), ty.exp()) if exp_on_centre else (tx, ty)
    x, y = (x + tx * h, y + ty * w) if turned == "centre" else (x + tx * w, y + ty * h)
    w, h = (h, w) if turned == "sides" else (w, h)
    w, h = w * tw.clamp(least, most).exp(), h * th.clamp(least, most).exp()
    return torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1)


def with_options(**options):
    return lambda anchors, offsets: decode(anchors, offsets, **options)


def as_matterport(anchors, offsets):
    """Centre and sides with + 1, and the corners with - 1."""
    return decode(anchors, offsets, one=1) - torch.tensor([0, 0, 1, 1])


def as_middle_and_sides(anchors, offsets):
    x1, y1, x2, y2 = decode(anchors, offsets).unbind(1)
    return torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), 1)


def as_coco(anchors, offsets):
    boxes = decode(anchors, offsets)
    return torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)


def in_pixels(anchors, offsets):
    still = offsets * torch.tensor([0.0, 0, 1, 1])
    return decode(anchors, still) + offsets[:, [0, 1, 0, 1]]


def linear(anchors, offsets):
    return decode(anchors, torch.cat((offsets[:, :2], (1 + offsets[:, 2:]).log()), 1), most=math.inf)


def from_the_grown_side(anchors, offsets):
    more = offsets.clone()
    more[:, :2] *= offsets[:, 2:].clamp(max=MOST).exp()
    return decode(anchors, more)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (with_options(one=1), "whole pixels"),
        (with_options(one=1, start="corner", most=math.inf), "as it was shipped"),
        (as_matterport, "+ 1 and - 1"),
        (with_options(exp_on_centre=True), "exp is for the sides alone"),
        (with_options(turned="centre"), "t_x is in widths of the anchor and t_y in heights"),
        (with_options(turned="sides"), "grows from the anchor's width"),
        (with_options(turned="offsets"), "third offset is the width's"),
        (with_options(most=math.inf), "cut at 1000/16"),
        (with_options(most=1000 / 16), "at the logarithm of 1000/16"),
        (with_options(least=-MOST), "only growth is cut"),
        (with_options(most=math.log(MOST)), "the cut is of the logarithm"),
        (with_options(start="corner"), "starts from the corner"),
        (as_middle_and_sides, "(centre, sides)"),
        (as_coco, "(x1, y1, width, height)"),
        (in_pixels, "not in pixels"),
        (from_the_grown_side, "before it grows"),
        (lambda a, o: library_decode(o, a, weights=(10, 10, 5, 5)), "no weights here"),
        (library_decode, "takes the offsets first"),
        (lambda a, o: decode(a, o).round() + 0.5, "then the corners"),
        (lambda a, o: a.add_(1), "changed its arguments"),
        (lambda a, o: "boxes", "then the corners"),
        (lambda a, o: a.nonsense, "AttributeError"),
        (torch.zeros(1, 4), "expected a function"),
    ],
)
def test_decode_boxes_hints(wrong, hint):
    result = check("rcnn.decode_boxes", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_decode_boxes_without_exp_is_told():
    def wrong(anchors, offsets):
        x, y, w, h = rcnn._middle(anchors)
        x, y, w, h = x + offsets[:, 0] * w, y + offsets[:, 1] * h, w * (1 + offsets[:, 2]), h * (1 + offsets[:, 3])
        return torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1)

    assert "may be negative" in check("rcnn.decode_boxes", wrong, show=False).message


def test_decode_boxes_from_scratch_and_by_the_library():
    assert check("rcnn.decode_boxes", decode, show=False).ok
    assert check("rcnn.decode_boxes", lambda a, o: library_decode(o, a), show=False).ok
    assert check("rcnn.decode_boxes", lambda a, o: ..., show=False).status == "todo"
    anchors = torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 25]])
    boxes = torch.tensor([[2.0, 4, 12, 24], [1, 2, 30, 9]])
    torch.testing.assert_close(decode(anchors, encode_boxes(boxes, anchors)), boxes)


# --- Average precision ---


def area(scores, is_hit, n_truth, *, order=-1, envelope=True, by="truths", points=None, nothing=math.nan):
    if n_truth == 0 and nothing is not None:
        return nothing
    if order:
        is_hit = is_hit[(scores * order).argsort(stable=True)]
    hits = is_hit.double().cumsum(0)
    rank = torch.arange(1, len(hits) + 1)
    precision = hits / rank
    recall = {
        "truths": hits / n_truth if n_truth else hits,
        "detections": hits / max(len(hits), 1),
        "found": hits / hits.max().clamp(min=1) if len(hits) else hits,
        "rank": rank / max(len(hits), 1),
    }[by]
    if points is not None:
        return sum(max([p for p, r in zip(precision, recall) if r >= one], default=0) for one in points) / len(points)
    if envelope is True:
        precision = precision.flip(0).cummax(0).values.flip(0) if len(hits) else precision
    elif envelope == "forward":
        precision = precision.cummax(0).values if len(hits) else precision
    return (recall.diff(prepend=recall.new_zeros(1)) * precision).sum()


def faulty(**options):
    return lambda scores, is_hit, n_truth: area(scores, is_hit, n_truth, **options)


def of_what_was_found(scores, is_hit, n_truth):
    """The mean precision at the hits, as an information retrieval text's "average precision" of what is in the list."""
    if not n_truth or not is_hit.any():
        return math.nan if not n_truth else 0.0
    hits = is_hit[scores.argsort(descending=True)].double()
    return ((hits.cumsum(0) / torch.arange(1, len(hits) + 1)) * hits).sum() / hits.sum()


def trapezes(scores, is_hit, n_truth):
    """scikit-learn's auc of its precision_recall_curve, with the recall of the detector."""
    from sklearn.metrics import auc

    if not n_truth or not len(scores):
        return math.nan if not n_truth else 0.0
    hits = is_hit[scores.argsort(descending=True)].double().cumsum(0).numpy()
    return auc(np.append(0.0, hits / n_truth), np.append(1.0, hits / np.arange(1, len(hits) + 1)))


def shipped(order=1, found=True):
    def routine(scores, is_hit, n_truth):
        hits = is_hit[(order * scores).argsort(stable=True)].double().cumsum(0)
        precision = hits / torch.arange(1, len(hits) + 1)
        return float(torch.trapezoid(precision, hits / (hits.max() if found else n_truth)))

    return routine


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (faulty(order=0), "sort by score first"),
        (faulty(order=1), "the surest first"),
        (faulty(envelope=False), "no envelope"),
        (faulty(envelope="forward"), "runs from the right"),
        (faulty(points=np.arange(11) / 10), "11 recalls"),
        (faulty(points=np.linspace(0, 1, 101)), "101 recalls"),
        (faulty(by="detections"), "divide by n_truth, not by the detections"),
        (faulty(by="rank"), "counts hits and divides by n_truth"),
        (faulty(by="found"), "not of those found"),
        (of_what_was_found, "never found count too"),
        (trapezes, "no trapezes"),
        (shipped(), "as it was shipped"),
        (shipped(order=-1, found=False), "no trapezes"),
        (faulty(nothing=0.0), "drops out of the mean; got 0"),
        (faulty(nothing=1.0), "drops out of the mean; got 1"),
        (lambda s, h, n: area(s, h, n) if n else float(h.sum()) / n, "without objects the answer is nan"),
        (lambda s, h, n: area(s, h, n) if len(s) else s.max(), "without detections 0"),
        (lambda s, h, n: h.double().mean(), "all detections together"),
        (lambda s, h, n: h.double().sum() / max(n, 1), "that is the recall alone"),
        (lambda s, h, n: 0.123, "at each recall the highest precision"),
        (lambda s, h, n: torch.ones(3), "one number is asked for"),
        (lambda s, h, n: s.nonsense, "AttributeError"),
        (0.5, "expected a function"),
    ],
)
def test_average_precision_hints(wrong, hint):
    result = check("rcnn.average_precision", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_average_precision_is_the_librarys():
    def by_library(scores, is_hit, n_truth):
        boxes = torch.tensor([[20.0 * i, 0, 20 * i + 10, 10] for i in range(max(n_truth, 1))])
        places, found = iter(boxes.tolist()), []
        for hit in is_hit.tolist():
            found.append(next(places) if hit else [1000.0, 0, 1010, 10])
        detections = {"boxes": torch.tensor(found).view(-1, 4), "scores": scores, "labels": [0] * len(found)}
        truths = {"boxes": boxes[:n_truth], "labels": [0] * n_truth}
        return library_ap([detections], [truths], rule="voc").ap

    assert check("rcnn.average_precision", by_library, show=False).ok
    assert check("rcnn.average_precision", area, show=False).ok
    assert check("rcnn.average_precision", lambda *a: None, show=False).status == "todo"


# --- Anchors that fit ---


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (([128, 256, 512], [1.0]), "far larger pictures"),
        (([24, 32, 40], [1.0]), "nine of ten cells have sides from"),
        (([32], [0.5, 1, 2]), "what do your ratios add"),
        (([16], [1.0]), "equal *factors*"),
        (([8, 16, 24, 32, 40], [1.0]), "at most 4"),
        (([8, 16, 32], [0.5, 1, 2]), "3 × 3"),
        (([2, 3, 4.5, 6.75], [1.0]), "not in places of the map"),
        (([64, 144, 324, 729], [1.0]), "not an area"),
        (([4, 6, 9, 13.5], [1.0]), "not half of it"),
        (([8, -16], [1.0]), "all positive"),
        (([], [1.0]), "at least one size"),
        (([8, math.nan], [1.0]), "all positive and finite"),
        (([8, 16, 32], "1"), "two lists of numbers"),
        ((8, 16, 32), "two lists"),
        (lambda boxes: [8, 16, 32], "two lists"),
        (lambda boxes: ([16], [1]), "equal *factors*"),
    ],
)
def test_anchor_sizes_hints(wrong, hint):
    result = check("rcnn.anchor_sizes", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def quantiles(boxes):
    side = (torch.cat(boxes)[:, 2:] - torch.cat(boxes)[:, :2]).prod(1).sqrt().log()
    return side.quantile(torch.tensor([0.1, 0.35, 0.65, 0.95]).to(side)).exp(), [1.0]


@pytest.mark.parametrize("right", [([8, 12, 18, 27], [1]), (torch.tensor([8.5, 13, 19, 28]), np.ones(1)), quantiles])
def test_anchors_in_equal_factors_reach_the_cells(right):
    result = check("rcnn.anchor_sizes", right, show=False)
    assert result.ok, result.message


def test_anchor_sizes_waits_until_both_are_there():
    assert check("rcnn.anchor_sizes", (None, None), show=False).status == "todo"
    assert check("rcnn.anchor_sizes", lambda boxes: None, show=False).status == "todo"


def test_no_anchors_reach_all_cells_of_a_coarse_map_and_four_do_on_the_fine_one():
    """The exercise can be solved because of its stride: at 8 pixels a place small cells lie between all anchors."""
    boxes = torch.cat(rcnn._cell_boxes(1))

    def share(stride, sizes):
        anchors = make_anchors(96 // stride, stride=stride, sizes=sizes, ratios=[1], dtype=torch.float64)
        return float((box_iou(boxes, anchors).amax(1) >= 0.5).double().mean())

    assert share(4, [8, 12, 18, 27]) > rcnn.GOAL
    assert share(8, np.geomspace(6, 36, 30)) < 0.9


# --- A claim of one's own ---


def around(mean, spread, pairs=12):
    return [mean + (spread if seed % 2 else -spread) for seed in range(pairs)]


@pytest.mark.parametrize(
    ("differences", "right"),
    [
        (around(0.05, 0.03), "supported"),
        (np.array(around(-0.05, 0.03)), "refuted"),
        (torch.tensor(around(0.002, 0.005)), "no difference"),
        (around(0.01, 0.06), "open"),
        (around(0.003, 0.002), "supported"),  # sure, though smaller than the margin
    ],
)
def test_a_claim_is_held_against_the_differences_that_came_with_it(differences, right):
    for verdict in ("supported", "refuted", "no difference", "open"):
        result = check("rcnn.claim", ("lower", differences, verdict), show=False)
        assert result.ok == (verdict == right), result.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("supported", "three things"),
        (("better", around(0.05, 0.03), "supported"), "before the run"),
        (("higher", around(0.05, 0.03, pairs=5), "supported"), "10 seeds"),
        (("higher", [around(0.05, 0.03)], "supported"), "10 seeds"),
        (("higher", "many", "supported"), "list of numbers"),
        (("higher", [*around(0.05, 0.03), math.inf], "supported"), "not finite"),
        (("higher", [100 * value for value in around(0.05, 0.03)], "supported"), "recalls and APs are shares"),
        (("higher", [0.01] * 12, "supported"), "does your seed"),
        (("higher", around(0.01, 0.06), "supported"), "mean alone"),
        (("no difference", around(0.01, 0.06), "no difference"), "Not to see"),
        (("higher", around(0.05, 0.03), "better"), "above 0"),
    ],
)
def test_claim_hints(wrong, hint):
    result = check("rcnn.claim", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_a_claim_waits_until_all_three_are_there():
    assert check("rcnn.claim", ("higher", None, None), show=False).status == "todo"
