"""Average precision: published cases, pycocotools on random sets, the rules' differences, loops, and bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.average_precision import AREAS, Detections, Truths, average_precision

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 100_000)


def found(boxes, scores, labels=None, **more):
    labels = [0] * len(boxes) if labels is None else labels
    return {"boxes": torch.tensor(boxes).float().reshape(-1, 4), "scores": scores, "labels": labels, **more}


def known(boxes, labels=None, **more):
    labels = [0] * len(boxes) if labels is None else labels
    return {"boxes": torch.tensor(boxes).float().reshape(-1, 4), "labels": labels, **more}


ONE = known([[214, 41, 562, 285]])
NEAR = [258, 41, 606, 285]


# --- known answers ---


def test_one_detection_of_one_object():
    answer = average_precision([found([NEAR], [0.236])], [ONE])
    assert (answer.ap, answer.ap50, answer.ap75) == (pytest.approx(0.6), 1, 1)
    assert math.isnan(answer.small) and answer.large == pytest.approx(0.6) == answer.recall


@pytest.mark.parametrize(("score", "expected"), [(0.236, 0.6), (0.1, 0.6), (0.9, 0.3)])
def test_a_false_one_in_an_empty_image_counts_by_its_rank_and_a_tie_keeps_the_order(score, expected):
    detections = [found([NEAR], [0.236]), found([NEAR], [score])]
    assert average_precision(detections, [ONE, known([])]).ap == pytest.approx(expected)


def test_half_of_the_objects_by_three_averages():
    truth, one = known([[0, 0, 10, 10], [50, 50, 60, 60]]), found([[0, 0, 10, 10]], [0.5])
    averages = [average_precision([one], [truth], rule=rule, iou=[0.5]).ap for rule in ("coco", "voc", "voc07")]
    assert averages == pytest.approx([51 / 101, 0.5, 6 / 11])
    late = found([[90, 90, 99, 99], [0, 0, 10, 10]], [0.9, 0.5])
    assert average_precision([late], [known([[0, 0, 10, 10]])]).ap == 0.5


def test_a_crowd_swallows_what_lies_in_it():
    truth = [[0, 0, 100, 100], [200, 200, 210, 210]]
    two = found([[10, 10, 20, 20], [200, 200, 210, 210]], [0.9, 0.8])
    assert average_precision([two], [known(truth, crowd=[True, False])]).ap == 1
    assert average_precision([two], [known(truth)]).ap == pytest.approx(0.2525, abs=5e-5)


#: torchmetrics, tests/unittests/detection/test_map.py, `_inputs`: four images of COCO.
LIGHTNING = (
    [
        found([[258.15, 41.29, 606.41, 285.07]], [0.236], [4]),
        found([[61, 22.75, 565, 632.42], [12.66, 3.32, 281.26, 275.23]], [0.318, 0.726], [3, 2]),
        found(
            [[87.87, 276.25, 384.29, 379.43], [0, 3.66, 142.15, 316.06], [296.55, 93.96, 314.97, 152.79],
             [328.94, 97.05, 342.49, 122.98], [356.62, 95.47, 372.33, 147.55], [464.08, 105.09, 495.74, 146.99],
             [276.11, 103.84, 291.44, 150.72]],
            [0.546, 0.3, 0.407, 0.611, 0.335, 0.805, 0.953], [4, 1, 0, 0, 0, 0, 0],
        ),
        found(
            [[72.92, 45.96, 91.23, 80.57], [45.17, 45.34, 66.28, 79.83], [82.28, 47.04, 99.66, 78.5],
             [59.96, 46.17, 80.35, 80.48], [75.29, 23.01, 91.85, 50.85], [71.14, 1.1, 96.96, 28.33],
             [61.34, 55.23, 77.14, 79.57], [41.17, 45.78, 60.99, 78.48], [56.18, 44.8, 64.42, 56.25]],
            [0.532, 0.204, 0.782, 0.202, 0.883, 0.271, 0.561, 0.204, 0.349], [49] * 9,
        ),
    ],
    [
        known([[214.15, 41.29, 562.41, 285.07]], [4]),
        known([[13, 22.75, 548.98, 632.42], [1.66, 3.32, 270.26, 275.23]], [2, 2]),
        known(
            [[61.87, 276.25, 358.29, 379.43], [2.75, 3.66, 162.15, 316.06], [295.55, 93.96, 313.97, 152.79],
             [326.94, 97.05, 340.49, 122.98], [356.62, 95.47, 372.33, 147.55], [462.08, 105.09, 493.74, 146.99],
             [277.11, 103.84, 292.44, 150.72]],
            [4, 1, 0, 0, 0, 0, 0],
        ),
        known(
            [[72.92, 45.96, 91.23, 80.57], [50.17, 45.34, 71.28, 79.83], [81.28, 47.04, 98.66, 78.5],
             [63.96, 46.17, 84.35, 80.48], [75.29, 23.01, 91.85, 50.85], [56.39, 21.65, 75.66, 45.54],
             [73.14, 1.1, 98.96, 28.33], [62.34, 55.23, 78.14, 79.57], [44.17, 45.78, 63.99, 78.48],
             [58.18, 44.8, 66.42, 56.25]],
            [49] * 10,
        ),
    ],
)  # fmt: skip


def test_the_published_case_of_torchmetrics():
    answer = average_precision(*LIGHTNING)
    got = (answer.ap, answer.ap50, answer.ap75, answer.small, answer.medium, answer.large, answer.recall)
    assert got == pytest.approx((0.637, 0.859, 0.761, 0.622, 0.800, 0.635, 0.652), abs=5e-4)
    kept = {label: value for label, value in answer.per_class.items() if not math.isnan(value)}
    assert kept == pytest.approx({0: 0.725, 1: 0.800, 2: 0.4545, 4: 0.650, 49: 0.555}, abs=1e-3)
    assert answer.classes == (0, 1, 2, 3, 4, 49) and math.isnan(answer.per_class[3])  # only a detection has class 3


def test_padillas_example_by_four_averages():
    """24 detections of 15 objects, right at ranks 1, 3, 10, 12, 13, 14 and 23 (Padilla, Object-Detection-Metrics)."""
    hits = {1, 3, 10, 12, 13, 14, 23}
    truth = known([[20 * i, 0, 20 * i + 10, 10] for i in range(15)])
    places, boxes = iter(range(15)), []
    for rank in range(1, 25):
        left = 20 * next(places) if rank in hits else 1000 + 20 * rank
        boxes.append([left, 0, left + 10, 10])
    one = found(boxes, [1 - rank / 100 for rank in range(1, 25)])
    got = [average_precision([one], [truth], rule=rule, iou=[0.5]).ap for rule in ("voc07", "voc", "coco")]
    assert got == pytest.approx([0.26840, 0.24569, 0.24816], abs=5e-6)
    # Its two best have one score; in the other order they give other numbers.
    other = {**one, "scores": [0.98, 0.99, *one["scores"][2:]]}
    got = [average_precision([other], [truth], rule=rule, iou=[0.5]).ap for rule in ("voc07", "voc", "coco")]
    assert got == pytest.approx([0.2381, 0.2235, 0.2251], abs=5e-5)
    curve = average_precision([one], [truth], rule="voc").curves[0]
    assert curve.recall[0] == pytest.approx(1 / 15) and curve.precision[22] == pytest.approx(7 / 23)


def test_voc_looks_at_the_best_object_only():
    truth = known([[0, 0, 10, 10], [0, 3, 10, 13]])
    two = found([[0, 0, 10, 10], [0, 1, 10, 11]], [0.9, 0.8])  # the second prefers the first object, which is taken
    assert average_precision([two], [truth], iou=[0.5]).recall == 1
    assert average_precision([two], [truth], rule="voc").recall == 0.5
    hard = known([[0, 0, 10, 10], [0, 3, 10, 13]], difficult=[True, False])
    answer = average_precision([two], [hard], rule="voc")  # both find the difficult one: neither right nor wrong
    assert answer.ap == 0 and len(answer.curves[0].recall) == 0


def test_boxes_of_one_form_read_as_the_other_give_another_iou():
    """(.5, .5, 1, 1) as corners overlaps the unit square by .25; as place and size, to (1.5, 1.5), by 1/7."""
    whole = known([[0, 0, 1, 1]])
    for box, below, above in (([0.5, 0.5, 1, 1], 0.25, 0.26), ([0.5, 0.5, 1.5, 1.5], 0.142, 0.143)):
        assert average_precision([found([box], [0.9])], [whole], iou=[below]).ap == 1
        assert average_precision([found([box], [0.9])], [whole], iou=[above]).ap == 0


def test_masks_and_boxes_differ():
    ring = torch.ones(1, 12, 12, dtype=torch.bool)
    ring[:, 3:9, 3:9] = False
    full = torch.ones(1, 12, 12, dtype=torch.bool)
    det, gt = found([[0, 0, 12, 12]], [0.9], masks=full), known([[0, 0, 12, 12]], masks=ring)
    assert average_precision([det], [gt]).ap == 1
    assert average_precision([det], [gt], kind="masks", iou=[0.75]).ap == 1  # 108 of 144 pixels
    assert average_precision([det], [gt], kind="masks", iou=[0.76]).ap == 0


def test_what_is_empty():
    nothing = average_precision([], [])
    assert math.isnan(nothing.ap) and nothing.classes == () and nothing.curves == {}
    blank = average_precision([found([], [])], [known([])])
    assert math.isnan(blank.ap) and blank.classes == ()
    missed = average_precision([found([], [])], [ONE])
    assert (missed.ap, missed.recall) == (0, 0) and len(missed.curves[0].recall) == 0
    alone = average_precision([found([NEAR], [0.5])], [known([])])
    assert math.isnan(alone.ap) and np.isnan(alone.curves[0].recall).all()


# --- pycocotools ---


def random_set(seed: int, *, masks: bool = False):
    """Images with ties of score and of IoU, crowds, empties, three classes, boxes of all three sizes, on a grid of
    eighths: every number is exact in both forms of a box."""
    rng = np.random.default_rng(seed)
    detections, truths = [], []
    for _ in range(int(rng.integers(1, 7))):
        objects = int(rng.integers(0, 6))
        corner = rng.integers(0, 300, (objects, 2))
        size = 2 ** rng.uniform(3, 7.2, (objects, 2)).round() if not masks else rng.integers(8, 60, (objects, 2))
        boxes = np.concatenate((corner, corner + size), 1).astype(float)
        labels = rng.integers(1, 4, objects)
        copies = rng.integers(0, max(objects, 1), int(rng.integers(0, 12))) if objects else np.zeros(0, int)
        moved = boxes[copies] + rng.integers(-40, 41, (len(copies), 4)) / 8
        stray = rng.integers(0, 200, (int(rng.integers(0, 4)), 2)).astype(float)
        boxes_found = np.concatenate((moved, np.concatenate((stray, stray + rng.integers(2, 90, stray.shape)), 1)))
        boxes_found[:, 2:] = np.maximum(boxes_found[:, 2:], boxes_found[:, :2])
        labels_found = np.concatenate((labels[copies], rng.integers(1, 4, len(stray))))
        wrong = rng.random(len(labels_found)) < 0.1
        labels_found = np.where(wrong, rng.integers(1, 5, len(wrong)), labels_found)
        scores = rng.integers(1, 12, len(labels_found)) / 12
        crowd = rng.random(objects) < 0.15
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1) * rng.choice([1, 0.5], objects)
        detections.append({"boxes": boxes_found, "scores": scores, "labels": labels_found})
        truths.append({"boxes": boxes, "labels": labels, "crowd": crowd, "area": area})
        if masks:
            for entry in (detections[-1], truths[-1]):
                entry["masks"] = np.stack([filled(box) for box in entry["boxes"]] or [filled(np.zeros(4))])[
                    : len(entry["boxes"])
                ]
    return detections, truths


def filled(box) -> np.ndarray:
    mask = np.zeros((64, 80), bool)
    x1, y1, x2, y2 = (np.asarray(box) / 6).astype(int)
    mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    return mask


def by_pycocotools(detections, truths, *, masks=False, first_id=1):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    from contextlib import redirect_stdout
    from io import StringIO

    from pycocotools import mask as coding

    def code(mask):
        return coding.encode(np.asfortranarray(mask.astype(np.uint8)))

    objects, results = [], []
    for image, (det, gt) in enumerate(zip(detections, truths), 1):
        for i, box in enumerate(gt["boxes"]):
            entry = {"id": first_id + len(objects), "image_id": image, "category_id": int(gt["labels"][i])}
            entry |= {"bbox": [*box[:2], *(box[2:] - box[:2])], "area": float(gt["area"][i])}
            objects.append(entry | {"iscrowd": int(gt["crowd"][i])})
            if masks:
                objects[-1]["segmentation"] = code(gt["masks"][i])
        for i, box in enumerate(det["boxes"]):
            entry = {"image_id": image, "category_id": int(det["labels"][i]), "score": float(det["scores"][i])}
            entry |= {"segmentation": code(det["masks"][i])} if masks else {"bbox": [*box[:2], *(box[2:] - box[:2])]}
            results.append(entry)
    truth = coco.COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image, "height": 64, "width": 80} for image in range(1, len(truths) + 1)],
        "categories": [{"id": label} for label in range(1, 5)],
        "annotations": objects,
    }
    with redirect_stdout(StringIO()):
        truth.createIndex()
        told = truth.loadRes(results) if results else coco.COCO()
        if not results:
            told.dataset = {**truth.dataset, "annotations": []}
            told.createIndex()
        run = evaluation.COCOeval(truth, told, "segm" if masks else "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def same(answer, run):
    stats = run.stats
    got = (answer.ap, answer.ap50, answer.ap75, answer.small, answer.medium, answer.large, answer.recall)
    for mine, theirs in zip(got, (*stats[:6], stats[8])):
        assert (math.isnan(mine) and theirs == -1) or mine == pytest.approx(theirs, abs=1e-12)
    for label, mine in answer.per_class.items():
        theirs = run.eval["precision"][:, :, label - 1, 0, 2]
        assert (math.isnan(mine) and (theirs == -1).all()) or mine == pytest.approx(theirs.mean(), abs=1e-12)


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_it_equals_pycocotools_on_random_sets_of_boxes(start):
    decided = 0
    for seed in range(start, start + 50):
        detections, truths = random_set(seed)
        run = by_pycocotools(detections, truths)
        same(average_precision(detections, truths), run)
        decided += 0.05 < run.stats[0] < 0.95
    assert decided > 25


def test_it_equals_pycocotools_on_random_masks():
    for seed in range(40):
        detections, truths = random_set(seed, masks=True)
        for truth in truths:
            truth["area"] = truth["masks"].sum((1, 2)).astype(float)
        same(average_precision(detections, truths, kind="masks"), by_pycocotools(detections, truths, masks=True))


def test_pycocotools_never_finds_number_0():
    """Its matched object's number stands for "matched", so 0 reads as "not" (cocoapi, issues 332 and 664)."""
    detections = [{"boxes": np.array([[10.0, 10, 50, 50]]), "scores": np.array([0.9]), "labels": np.array([1])}]
    truths = [{"boxes": np.array([[10.0, 10, 50, 50]]), "labels": np.array([1]), "crowd": [False], "area": [1600.0]}]
    assert by_pycocotools(detections, truths, first_id=0).stats[0] == pytest.approx(0)
    assert by_pycocotools(detections, truths, first_id=1).stats[0] == pytest.approx(1)
    assert average_precision(detections, truths).ap == 1


# --- VOC in loops ---


def voc_in_loops(detections, truths, label, *, eleven):
    order = sorted(
        ((score, place, box) for place, det in enumerate(detections)
         for score, box, kind in zip(det["scores"], det["boxes"], det["labels"]) if kind == label),
        key=lambda one: -one[0],
    )  # fmt: skip
    objects = sum(
        int(kind == label and not (crowd or hard))
        for gt in truths
        for kind, crowd, hard in zip(gt["labels"], gt["crowd"], gt["difficult"])
    )
    taken, hits, points = set(), 0, []
    seen = 0
    for _, place, box in order:
        best, which = -1.0, None
        for i, (other, kind) in enumerate(zip(truths[place]["boxes"], truths[place]["labels"])):
            if kind != label:
                continue
            wide, high = (max(min(box[2 + k], other[2 + k]) - max(box[k], other[k]), 0) for k in (0, 1))
            own = (box[2] - box[0]) * (box[3] - box[1])
            union = own + (other[2] - other[0]) * (other[3] - other[1]) - wide * high
            union = own if truths[place]["crowd"][i] else union
            value = wide * high / union if union > 0 else 0
            if value >= best:
                best, which = value, i
        if which is not None and best >= 0.5:
            if truths[place]["difficult"][which] or truths[place]["crowd"][which]:
                continue
            seen += 1
            hits += (place, which) not in taken
            taken.add((place, which))
        else:
            seen += 1
        points.append((hits / objects if objects else math.nan, hits / seen))
    if not objects:
        return math.nan
    if eleven:
        return sum(max([p for r, p in points if r >= k / 10] or [0]) for k in range(11)) / 11
    area, before = 0.0, 0.0
    for k, (r, _) in enumerate(points):
        area += (r - before) * max(p for _, p in points[k:])
        before = r
    return area


@pytest.mark.parametrize("rule", ["voc", "voc07"])
def test_voc_equals_its_rule_in_loops(rule):
    decided = 0
    for seed in range(60):
        detections, truths = random_set(seed)
        rng = np.random.default_rng(seed)
        for truth in truths:
            truth["difficult"] = rng.random(len(truth["boxes"])) < 0.2
        answer = average_precision(detections, truths, rule=rule)
        for label, mine in answer.per_class.items():
            expected = voc_in_loops(detections, truths, label, eleven=rule == "voc07")
            assert (math.isnan(mine) and math.isnan(expected)) or mine == pytest.approx(expected, abs=1e-12)
            decided += 0 < mine < 1
    assert decided > 50


# --- properties ---


@given(seeds)
@few
def test_the_order_of_images_and_objects_changes_nothing_without_ties(seed):
    detections, truths = random_set(seed)
    rng = np.random.default_rng(seed)
    for det in detections:
        det["scores"] = rng.random(len(det["scores"]))
    before = average_precision(detections, truths)
    order = rng.permutation(len(truths))
    for entries in (detections, truths):
        for entry in entries:
            mixed = rng.permutation(len(entry["boxes"]))
            entry.update({key: np.asarray(value)[mixed] for key, value in entry.items()})
    after = average_precision([detections[i] for i in order], [truths[i] for i in order], max_detections=100)
    assert after.ap == pytest.approx(before.ap, abs=1e-12, nan_ok=True)
    assert after.per_class == pytest.approx(before.per_class, abs=1e-12, nan_ok=True)


@given(seeds)
@few
def test_a_perfect_detector_has_one_and_scores_count_by_rank_alone(seed):
    detections, truths = random_set(seed)
    perfect = []
    for gt in truths:
        single = ~gt["crowd"]
        perfect.append({"boxes": gt["boxes"][single], "scores": np.ones(single.sum()), "labels": gt["labels"][single]})
    answer = average_precision(perfect, truths)
    assert math.isnan(answer.ap) or answer.ap == answer.recall == 1
    squared = [{**det, "scores": det["scores"] ** 3 - 7} for det in detections]
    assert average_precision(squared, truths).ap == pytest.approx(
        average_precision(detections, truths).ap, abs=1e-12, nan_ok=True
    )


def test_every_form_of_input_gives_the_same_numbers():
    detections, truths = LIGHTNING
    expected = average_precision(detections, truths)
    for change in (torch.tensor, np.asarray):
        told = [[change(one[key]) for key in ("scores", "labels")] for one in detections]
        answer = average_precision(
            [Detections(change(one["boxes"].tolist()), *rest) for one, rest in zip(detections, told)],
            [Truths(change(one["boxes"].tolist()), change(one["labels"])) for one in truths],
        )
        assert answer.ap == pytest.approx(expected.ap, abs=1e-12)
    half = [{**one, "boxes": one["boxes"].to(torch.bfloat16)} for one in detections]
    assert 0.3 < average_precision(half, truths).ap < 0.7


def test_at_most_so_many_detections_of_an_image_and_class():
    boxes = [[90, 90, 99, 99]] * 3 + [[0, 0, 10, 10]]
    one = found(boxes, [0.9, 0.8, 0.7, 0.6])
    assert average_precision([one], [known([[0, 0, 10, 10]])], max_detections=3).ap == 0
    assert average_precision([one], [known([[0, 0, 10, 10]])], max_detections=4).ap == 0.25


def test_the_areas_are_cocos():
    assert AREAS["small"] == (0, 1024) and AREAS["medium"] == (1024, 9216) and AREAS["large"][0] == 9216


BAD = [
    ([], [ONE], {}, "one entry an image each, got 0 and 1"),
    ([found([NEAR], [0.5])], [ONE], {"rule": "voc12"}, "rule must be"),
    ([found([NEAR], [0.5])], [ONE], {"iou": [0.0]}, "iou must be above 0"),
    ([found([NEAR], [0.5])], [ONE], {"iou": []}, "iou must be"),
    ([found([NEAR], [0.5])], [ONE], {"iou": [50]}, "iou"),
    ([found([NEAR], [0.5])], [ONE], {"max_detections": 0}, "max_detections must be"),
    ([found([NEAR], [0.5])], [ONE], {"kind": "masks"}, r"detections\[0\] must have masks"),
    ([found([NEAR], [math.nan])], [ONE], {}, r"detections\[0\] scores must be finite"),
    ([found([NEAR], [0.5, 0.4])], [ONE], {}, r"scores must be \(1,\)"),
    ([found([NEAR], [0.5], [0.5])], [ONE], {}, "integer labels"),
    ([found([[math.nan, 0, 1, 1]], [0.5])], [ONE], {}, "boxes must be finite"),
    ([found([[50, 50, 20, 20]], [0.5])], [ONE], {}, "x, y, width, height"),
    ([found([NEAR], [0.5])], [known([[9, 9, 3, 3]])], {}, r"truths\[0\] boxes must be .*width, height"),
    ([{"boxes": torch.zeros(0, 4), "labels": []}], [ONE], {}, "must have 'boxes', 'scores', 'labels'"),
    ([(torch.zeros(0, 4), [], [])], [ONE], {}, "must be Detections or a mapping"),
    ([found([NEAR], [0.5])], [known([NEAR], crowd=[1, 0])], {}, r"crowd must be \(1,\)"),
]


@pytest.mark.parametrize(("detections", "truths", "options", "words"), BAD)
def test_bad_input(detections, truths, options, words):
    with pytest.raises(ValueError, match=words):
        average_precision(detections, truths, **options)
