"""Which anchor learns which object: published vectors, the popular rule's two faults, what must hold for any IoU."""

import pytest
import torch
from chance import random_boxes, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.boxes import box_iou, make_anchors, match_boxes, sample_matches

few = settings(max_examples=60, deadline=None)
#: detectron2, tests/modeling/test_matcher.py: three objects, four anchors.
DETECTRON = tensor([0.15, 0.45, 0.2, 0.6], [0.3, 0.65, 0.05, 0.1], [0.05, 0.4, 0.25, 0.4])


def test_popular_rule_leaves_an_object_out():
    """Object 2's best anchors, 1 and 3, both prefer another object and get that one back (detectron2, issue 1162)."""
    popular = match_boxes(DETECTRON, rule="torchvision")
    assert popular.tolist() == [-2, 1, -1, 0]
    assert 2 not in popular.tolist()
    assert match_boxes(DETECTRON).tolist() == [-2, 1, 2, 0]


def test_popular_rule_makes_every_anchor_positive():
    iou = tensor([0.8, 0.1, 0.0, 0.05], [0.0, 0.0, 0.0, 0.0])
    assert match_boxes(iou, rule="torchvision").tolist() == [0, 0, 0, 0]
    assert match_boxes(iou).tolist() == [0, -1, -1, -1]


def test_an_object_whose_best_anchor_is_taken_gets_its_best_free_one():
    """ssd.pytorch, issues 193 and 354: two objects share a best prior, and one is lost."""
    assert match_boxes(tensor([0.6, 0.5, 0.0], [0.55, 0.0, 0.1])).tolist() == [0, -2, 1]
    assert match_boxes(tensor([0.6], [0.55])).tolist() == [0]  # one anchor for two objects: the closer one has it


def test_anchors_that_tie_with_an_objects_best_are_its_own_unless_another_needs_them():
    assert match_boxes(tensor([0.5, 0.5, 0.2])).tolist() == [0, 0, -1]
    assert match_boxes(tensor([0.5, 0.5, 0.2], [0.0, 0.4, 0.0])).tolist() == [0, 1, -1]


def test_thresholds_are_closed_below_and_without_keep_best_nothing_is_rescued():
    iou = tensor([0.7, 0.6999, 0.3, 0.2999])
    assert match_boxes(iou, keep_best=False).tolist() == [0, -2, -2, -1]
    assert match_boxes(iou * 0.5, keep_best=False, high=0.5, low=0.5).tolist() == [-1] * 4
    assert match_boxes(iou * 0.5, high=0.5, low=0.5).tolist() == [0, -1, -1, -1]


def test_without_objects_all_is_background_and_without_anchors_the_answer_is_empty():
    assert match_boxes(torch.zeros(0, 3)).tolist() == [-1, -1, -1]
    assert match_boxes(torch.zeros(3, 0)).tolist() == [] == match_boxes(torch.zeros(0, 0)).tolist()


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 40), st.booleans())
@few
def test_every_object_keeps_an_anchor_wherever_there_is_one_for_it(seed, objects, anchors, coarse):
    iou = torch.rand(objects, anchors, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    iou = (iou * 4).round() / 4 if coarse else iou  # ties and zeros
    matches = match_boxes(iou)
    kept = {one for one in matches.tolist() if one >= 0}
    best, favourite = iou.max(0)
    plain = match_boxes(iou, keep_best=False)
    for anchor, one in enumerate(matches.tolist()):
        assert one < 0 or iou[one, anchor] > 0
        if one != plain[anchor]:
            assert one >= 0  # keep_best only ever makes anchors positive, or moves them to an object that needs them
    if not coarse and anchors >= objects:
        assert kept == set(range(objects))
    for one in set(range(objects)) - kept:
        free = [anchor for anchor in range(anchors) if iou[one, anchor] > 0]
        assert len(free) < objects  # others, no more than there are, hold all that it overlaps
        assert all(matches[anchor] >= 0 for anchor in free)
    # Numbering the objects otherwise numbers the answers otherwise, where nothing ties.
    if not coarse:
        order = torch.randperm(objects, generator=torch.Generator().manual_seed(seed))
        back = torch.where(match_boxes(iou[order]) >= 0, order[match_boxes(iou[order]).clamp(min=0)], matches)
        assert torch.equal(back, matches)


def test_real_anchors_the_closest_pair_comes_first():
    objects = random_boxes(1, 12)[:, 1:]
    objects[:, 2:] += 2
    iou = box_iou(objects, make_anchors(16, stride=4, sizes=[8, 16], dtype=torch.float64))
    matches = match_boxes(iou)
    one = int(iou.max(1).values.argmax())
    assert matches[iou[one].argmax()] == one
    assert {*range(12)} <= {*matches.tolist()}


@pytest.mark.parametrize(
    ("iou", "options", "words"),
    [
        (torch.zeros(3), {}, r"iou must be floating-point \(objects, anchors\)"),
        (torch.full((1, 1), float("nan")), {}, "iou must be in"),
        (torch.full((1, 1), 1.5), {}, "iou must be in .0, 1., got 1.5"),
        (torch.zeros(1, 1), {"high": 2}, "high must be"),
        (torch.zeros(1, 1), {"high": 0.3, "low": 0.5}, "low must be"),
        (torch.zeros(1, 1), {"rule": "detectron"}, "rule must be"),
    ],
)
def test_bad_input_of_matching(iou, options, words):
    with pytest.raises(ValueError, match=words):
        match_boxes(iou, **options)


def test_the_sample_of_torchvisions_own_test():
    matches = torch.tensor([-1] * 6 + [0, 1, 2] + [-2] * 2)
    sample = sample_matches(matches, count=4, positive=0.25)
    assert len(sample.positive) == 1 and len(sample.negative) == 3
    assert (matches[sample.positive] >= 0).all() and (matches[sample.negative] == -1).all()


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 40), st.floats(0, 1))
@few
def test_a_sample_is_as_large_as_it_can_be_and_repeats_with_its_seed(seed, anchors, count, share):
    generator = torch.Generator().manual_seed(seed)
    matches = torch.randint(-2, 3, (anchors,), generator=generator)
    sample = sample_matches(matches, count=count, positive=share, generator=generator.manual_seed(seed))
    positives, negatives = int((matches >= 0).sum()), int((matches == -1).sum())
    assert len(sample.positive) == min(int(count * share), positives)
    assert len(sample.negative) == min(count - len(sample.positive), negatives)
    for part in sample:
        assert (part.diff() > 0).all()  # rising, so none twice
    again = sample_matches(matches, count=count, positive=share, generator=generator.manual_seed(seed))
    assert torch.equal(sample.positive, again.positive) and torch.equal(sample.negative, again.negative)


def test_every_anchor_is_drawn_equally_often():
    matches, generator = torch.tensor([0, 0, 0, -1, -1]), torch.Generator().manual_seed(0)
    drawn = torch.zeros(5)
    for _ in range(3000):
        sample = sample_matches(matches, count=2, positive=0.5, generator=generator)
        drawn[torch.cat(tuple(sample))] += 1
    torch.testing.assert_close(drawn / 3000, torch.tensor([1 / 3] * 3 + [1 / 2] * 2), atol=0.045, rtol=0)


@pytest.mark.parametrize(
    ("matches", "options", "words"),
    [
        (torch.zeros(3), {}, "matches must be a tensor, of whole numbers"),
        (torch.tensor([-3]), {}, "matches must be object numbers"),
        (torch.tensor([0]), {"count": 0}, "count must be"),
        (torch.tensor([0]), {"positive": 1.5}, "positive must be"),
        (torch.tensor([0]), {"generator": 3}, "generator must be"),
    ],
)
def test_bad_input_of_sampling(matches, options, words):
    with pytest.raises(ValueError, match=words):
        sample_matches(matches, **{"count": 4, **options})
