"""The R-CNN family against torchvision's own numbers, detectron2's published ones, the pasted mask, and bad input."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch
from chance import random, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tutorial_lib.average_precision import Truths, average_precision
from tutorial_lib.boxes import box_iou, encode_boxes, match_boxes
from tutorial_lib.detection import (
    RCNN,
    BoxHead,
    FasterRCNN,
    FastRCNN,
    FeaturePyramid,
    MaskHead,
    MaskRCNN,
    paste_masks,
    pool_levels,
)
from tutorial_lib.detection.heads import Sampled
from tutorial_lib.proposals import RegionProposals

VECTORS = Path(__file__).parent / "vectors"
STORED = json.loads((VECTORS / "detection_torchvision.json").read_text())
_spec = importlib.util.spec_from_file_location("detection_vectors", VECTORS / "make_detection_vectors.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


# --- torchvision ---


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, made.DEPTH, 8, stride=8), nn.Conv2d(made.DEPTH, 12, 2, stride=2)
        self.pyramid = FeaturePyramid([made.DEPTH, 12], made.DEPTH)

    def forward(self, x):
        fine = self.first(x).relu()
        return self.pyramid([fine, self.second(fine).relu()])


NAMES = {
    "backbone.first": "backbone.first",
    "backbone.second": "backbone.second",
    "backbone.pyramid.inner.0": "backbone.fpn.inner_blocks.0.0",
    "backbone.pyramid.inner.1": "backbone.fpn.inner_blocks.1.0",
    "backbone.pyramid.smooth.0": "backbone.fpn.layer_blocks.0.0",
    "backbone.pyramid.smooth.1": "backbone.fpn.layer_blocks.1.0",
    "regions.convolution": "rpn.head.conv.0.0",
    "regions.objectness": "rpn.head.cls_logits",
    "regions.edges": "rpn.head.bbox_pred",
    "head.hidden.1": "roi_heads.box_head.fc6",
    "head.hidden.3": "roi_heads.box_head.fc7",
    "head.scores": "roi_heads.box_predictor.cls_score",
    "head.edges": "roi_heads.box_predictor.bbox_pred",
    "masks.layers.0": "roi_heads.mask_head.0.0",
    "masks.layers.2": "roi_heads.mask_head.1.0",
    "masks.layers.4": "roi_heads.mask_predictor.conv5_mask",
    "masks.scores": "roi_heads.mask_predictor.mask_fcn_logits",
}


def like_torchvisions(*, with_masks: bool = True, **changes):
    """Our network with torchvision's conventions and the stored weights; its background is the first class."""
    options = dict(aligned=False, canonical=(32, 16))
    regions = RegionProposals(
        made.DEPTH, sizes=[[12], [20], [40]], offset=0, rounded=True, rule="torchvision", count=10_000, positive=0.9,
        before=(40, 40), after=(30, 20), **changes,
    )  # fmt: skip
    head = BoxHead(
        made.DEPTH, made.CLASSES, hidden=made.HIDDEN, count=10_000, positive=0.9, max_detections=6, **options
    )
    masks = MaskHead(made.DEPTH, made.CLASSES, hidden=[6, 6], **options)
    parts = (Backbone(), regions, head) + ((masks,) if with_masks else ())
    kind = MaskRCNN if with_masks else FasterRCNN
    network = kind(*parts, strides=[8, 16, 32], cut_from=2, multiple=64).double()
    values = {}
    for ours, theirs in NAMES.items():
        for part in ("weight", "bias"):
            index, shape, scale = STORED["weights"][f"{theirs}.{part}"]
            value = made.formula(index, tuple(shape), scale)
            if ours == "head.scores":
                value = value.roll(-1, 0)
            elif ours == "head.edges":
                value = value[4:]
            elif ours == "masks.scores":
                value = value[1:]
            values[f"{ours}.{part}"] = value
    known = network.state_dict().keys()
    network.load_state_dict({name: value for name, value in values.items() if name in known})
    return network


IMAGES = [made.image(index) for index in range(3)]
TRUTHS = [made.objects(index) for index in range(3)]


def test_all_five_losses_are_torchvisions():
    loss = like_torchvisions().train().loss(IMAGES, TRUTHS)
    names = dict(
        classes="loss_classifier", boxes="loss_box_reg", masks="loss_mask", objectness="loss_objectness",
        proposals="loss_rpn_box_reg",
    )  # fmt: skip
    for ours, theirs in names.items():
        assert float(getattr(loss, ours).detach()) == pytest.approx(STORED["losses"][theirs], abs=1e-6), ours
    assert float(loss.total.detach()) == pytest.approx(sum(STORED["losses"].values()), abs=1e-6)


def test_proposals_are_torchvisions():
    network = like_torchvisions().eval()
    padded, sizes = network.batch(IMAGES)
    with torch.no_grad():
        scores = network.regions(network.features(padded), strides=network.strides)
    for ours, theirs in zip(network.regions.propose(scores, sizes).boxes, STORED["proposals"]):
        torch.testing.assert_close(ours, tensor(*theirs), atol=1e-7, rtol=0)


@pytest.mark.parametrize("with_masks", [True, False])
def test_detections_are_torchvisions(with_masks):
    network = like_torchvisions(with_masks=with_masks).eval()
    found = network.detect(IMAGES)
    kinds = set()
    for ours, theirs in zip(found, STORED["detections"]):
        assert ours.labels.tolist() == theirs["labels"]
        torch.testing.assert_close(ours.boxes, tensor(*theirs["boxes"]), atol=1e-7, rtol=0)
        torch.testing.assert_close(ours.scores, torch.tensor(theirs["scores"]).double(), atol=1e-7, rtol=0)
        kinds |= set(theirs["labels"])
    assert len(kinds) > 1  # the stored case decides something


def test_masks_are_torchvisions_before_they_are_cut():
    network = like_torchvisions().eval()
    padded, sizes = network.batch(IMAGES)
    found = network.detect(IMAGES)
    with torch.no_grad():
        maps = network.features(padded)[:2]
        logits = network.masks(network.masks.cut(maps, [one.boxes for one in found], [8, 16]))
    start = 0
    for one, size, theirs in zip(found, sizes, STORED["detections"]):
        own = logits[torch.arange(start, start + len(one.boxes)), one.labels].sigmoid()
        start += len(one.boxes)
        pasted = paste_masks(own, one.boxes, size, threshold=None, rule="torchvision")
        torch.testing.assert_close(pasted.sum(2), tensor(*theirs["mask_rows"]), atol=1e-6, rtol=0)
        torch.testing.assert_close(pasted.sum(1), tensor(*theirs["mask_columns"]), atol=1e-6, rtol=0)


def test_an_object_inside_another_goes_unlearned_under_the_popular_rule():
    """The inner object's best anchor prefers the outer one."""
    network = like_torchvisions().train()
    objects = tensor([14, 14, 50, 50], [17.5, 17.5, 46.5, 46.5])
    with torch.no_grad():
        scores = network.regions(network.features(network.batch(IMAGES[:1])[0]), strides=network.strides)
    iou = box_iou(objects, scores.anchors)
    assert set(match_boxes(iou, rule="torchvision").tolist()) == {0, -1, -2}
    assert set(match_boxes(iou).tolist()) == {0, 1, -1, -2}
    popular = network.regions.loss(scores, [objects]).boxes
    network.regions.rule = "corrected"
    assert abs(float(network.regions.loss(scores, [objects]).boxes) - float(popular)) > 1e-4


# --- what others have published ---


def two_objects():
    proposals = tensor([0.8, 1.1, 3.2, 2.8], [2.3, 2.5, 7, 8])
    truths = [{"boxes": tensor([1, 1, 3, 3], [2, 2, 6, 6]), "labels": torch.tensor([1, 2])}]
    return [Sampled(proposals, truths[0]["labels"], torch.tensor([0, 1]))], truths


def test_the_losses_of_a_network_that_says_nothing():
    """detectron2, tests/modeling/test_fast_rcnn.py, with all predictions 0: ln 6, and with L1 4.036318."""
    sampled, truths = two_objects()
    logits, offsets = torch.zeros(2, 6).double(), torch.zeros(2, 5, 4).double()
    classes, edges = BoxHead(2, 5, hidden=4, beta=1e-9).loss(logits, offsets, sampled, truths)
    assert float(classes) == pytest.approx(math.log(6)) and float(edges) == pytest.approx(4.036318, abs=1e-6)
    _, smooth = BoxHead(2, 5, hidden=4).loss(logits, offsets, sampled, truths)
    assert float(smooth) == pytest.approx(3.841872, abs=2e-6)


def test_the_losses_of_detectrons_own_test():
    """The same file: its layers, drawn as it draws them, say 1.7951188 and 4.0357132."""
    sampled, truths = two_objects()
    with torch.random.fork_rng():
        torch.manual_seed(132)
        layers = nn.Linear(8, 6), nn.Linear(8, 20)
        for layer, width in zip(layers, (0.01, 0.001)):
            nn.init.normal_(layer.weight, std=width)
            nn.init.zeros_(layer.bias)
        features = torch.rand(2, 8)
    logits, offsets = (layer(features) for layer in layers)
    sampled = [Sampled(sampled[0].boxes.float(), *sampled[0][1:])]
    classes, edges = BoxHead(2, 5, hidden=4, beta=1e-9).loss(logits, offsets.view(2, 5, 4), sampled, truths)
    assert float(classes.detach()) == pytest.approx(1.7951188087, abs=1e-6)
    assert float(edges.detach()) == pytest.approx(4.0357131958, abs=1e-5)


def test_a_full_mask_fills_exactly_its_box():
    for box, exact, popular in (
        ([10, 10, 38, 38], 784, 841),
        ([10, 10, 66, 66], 3136, 3249),
        ([10, 10, 24, 24], 196, 196),
    ):
        full = torch.ones(1, 28, 28)
        assert int(paste_masks(full, tensor(box).float(), 80).sum()) == exact
        assert int(paste_masks(full, tensor(box).float(), 80, rule="torchvision").sum()) == popular


def test_a_full_mask_fills_the_pixels_whose_centre_is_in_the_box_wherever_it_lies():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=generator) * 50 - 10
    boxes = torch.cat((corner, corner + 1 + torch.rand(60, 2, generator=generator) * 60), 1)
    pasted = paste_masks(torch.ones(60, 28, 28), boxes, (40, 56))
    y, x = torch.arange(40)[:, None] + 0.5, torch.arange(56) + 0.5
    for mask, (x1, y1, x2, y2) in zip(pasted, boxes.tolist()):
        assert torch.equal(mask, (x >= x1) & (x < x2) & (y >= y1) & (y < y2))


def test_a_mask_cut_out_and_pasted_is_itself_but_for_its_edge():
    """Mask R-CNN learns what RoI Align cuts out: back in the image it must lie where it was."""
    y, x = torch.meshgrid(torch.arange(96.0) + 0.5, torch.arange(96.0) + 0.5, indexing="ij")
    disk = ((x - 50) ** 2 + (y - 40) ** 2 < 30**2).float()
    box = torch.tensor([[20.0, 10.0, 80.0, 70.0]])
    cut = pool_levels([disk[None, None]], [box], 28, strides=[1], sampling_ratio=0)
    pasted = paste_masks(cut[:, 0].clamp(0, 1), box, 96)[0]
    shared, either = (pasted & disk.bool()).sum(), (pasted | disk.bool()).sum()
    assert shared / either > 0.97
    moved = paste_masks(cut[:, 0].clamp(0, 1), box + 1, 96)[0]
    assert (moved & disk.bool()).sum() / (moved | disk.bool()).sum() < shared / either - 0.02


def test_a_pyramids_level_by_the_size_of_a_box():
    """Feature Pyramid Networks, equation 1: 112² reads level 3, 224² level 4, 448² level 5."""
    strides = [4, 8, 16, 32]
    maps = [torch.full((1, 1, 512 // one, 512 // one), float(one)) for one in strides]
    sides = [10, 111, 112, 223, 224, 447, 448, 500]
    boxes = torch.tensor([[0.0, 0.0, side, side] for side in sides])
    read = pool_levels(maps, [boxes], 1, strides=strides).flatten().tolist()
    assert read == [4, 4, 8, 8, 16, 16, 32, 32]


# --- what must hold ---


def small(kind, classes=2, **options):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 8, 4, stride=4), nn.ReLU())
    head = BoxHead(8, classes, size=4, hidden=16, canonical=(32, 16), **options)
    if kind is RCNN:
        return RCNN(backbone, head, crop=24, context=2)
    if kind is FastRCNN:
        return FastRCNN(backbone, head, strides=[4], multiple=4)
    parts = (backbone, RegionProposals(8, sizes=[8, 16], after=20), head)
    if kind is MaskRCNN:
        return MaskRCNN(*parts, MaskHead(8, classes, size=4, hidden=[8]), strides=[4], multiple=4)
    return FasterRCNN(*parts, strides=[4], multiple=4)


def scene(count=2, size=(40, 48)):
    generator = torch.Generator().manual_seed(1)
    images, truths = [], []
    for _ in range(count):
        image = torch.rand(1, *size, generator=generator) * 0.1
        image[:, 8:24, 4:20], image[:, 20:36, 28:44] = 1, -1
        masks = torch.stack((image[0] == 1, image[0] == -1))
        boxes = torch.tensor([[4.0, 8, 20, 24], [28, 20, 44, 36]])
        images.append(image)
        truths.append({"boxes": boxes, "labels": torch.tensor([0, 1]), "masks": masks})
    return images, truths


def arguments(network, truths, **options):
    """R-CNN and Fast R-CNN are told where to look."""
    grid = [[x, y, x + 16.0, y + 16.0] for x in range(0, 33, 4) for y in range(0, 25, 4)]
    return ([torch.tensor(grid)] * len(truths),) if isinstance(network, RCNN) or type(network) is FastRCNN else ()


ALL = [RCNN, FastRCNN, FasterRCNN, MaskRCNN]


@pytest.mark.parametrize("kind", ALL)
def test_images_without_objects_have_no_box_and_no_mask_loss_and_finite_gradients(kind):
    network, (images, truths) = small(kind), scene()
    empty = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, 40, 48)}]
    loss = network.loss(images, empty * 2, *arguments(network, truths))
    assert [float(part.detach()) for part in (loss.boxes, loss.proposals, loss.masks)] == [0, 0, 0]
    assert float(loss.classes.detach()) > 0 and bool(loss.total.isfinite())
    loss.total.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())
    one = network.loss(images, [truths[0], *empty], *arguments(network, truths))
    assert float(one.boxes.detach()) > 0 and bool(one.total.isfinite())


@pytest.mark.parametrize("kind", ALL)
def test_the_smallest_image_and_images_of_different_sizes(kind):
    network = small(kind).eval()
    images = [torch.zeros(1, 1, 1), torch.rand(1, 30, 50), torch.rand(1, 64, 20)]
    boxes = [torch.zeros(0, 4), torch.tensor([[2.0, 2, 20, 20]]), torch.tensor([[0.0, 0, 20, 20], [1, 1, 19, 60]])]
    found = network.detect(images, boxes) if kind in (RCNN, FastRCNN) else network.detect(images)
    assert len(found) == 3
    for one, image in zip(found, images):
        high, wide = image.shape[1:]
        assert one.boxes.shape[1:] == (4,) and len(one.scores) == len(one.labels) == len(one.boxes) <= 100
        assert bool((one.boxes[:, 2] <= wide).all() and (one.boxes[:, 3] <= high).all() and (one.boxes >= 0).all())
        if kind is MaskRCNN:
            assert one.masks.shape == (len(one.boxes), high, wide) and one.masks.dtype == torch.bool


@pytest.mark.parametrize("kind", ALL)
def test_it_learns_two_squares(kind):
    """A bright square is class 0, a dark one class 1: thirty steps and both are found."""
    network, (images, truths) = small(kind), scene()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(images, truths, *arguments(network, truths), generator=generator).total.backward()
        optimizer.step()
    found = network.eval().detect(images, *arguments(network, truths))
    known = [Truths(one["boxes"], one["labels"], one["masks"]) for one in truths]
    assert average_precision(found, known, iou=[0.5]).ap > 0.9
    if kind is MaskRCNN:
        assert average_precision(found, known, iou=[0.5], kind="masks").ap > 0.9


@pytest.mark.parametrize("kind", ALL)
def test_the_order_of_images_changes_nothing(kind):
    network, (images, truths) = small(kind).eval(), scene(3)
    images[1] = images[1].flip(1)
    given = arguments(network, truths)
    straight, turned = network.detect(images, *given), network.detect(images[::-1], *given)
    for one, other in zip(straight, turned[::-1]):
        torch.testing.assert_close(one.boxes, other.boxes)
        torch.testing.assert_close(one.scores, other.scores)


@given(st.integers(0, 10_000), st.sampled_from(ALL))
@settings(max_examples=25, deadline=None)
def test_the_order_of_objects_and_of_images_changes_no_loss(seed, kind):
    """With everything in the sample, and objects drawn by chance, so that none ties with another."""
    network, generator = small(kind, count=10_000, positive=0.9).double().eval(), torch.Generator().manual_seed(seed)
    images, truths = [], []
    for count in (3, 0, 2):
        corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 24
        boxes = torch.cat((corner, corner + 6 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * 10), 1)
        labels = torch.randint(0, 2, (count,), generator=generator)
        masks = torch.rand(count, 40, 48, generator=generator, dtype=torch.float64)
        images.append(torch.rand(1, 40, 48, generator=generator, dtype=torch.float64))
        truths.append({"boxes": boxes, "labels": labels, "masks": masks})
    if kind in (FasterRCNN, MaskRCNN):
        network.regions.count, network.regions.positive = 10_000, 0.9
    given = [[boxes.double() for boxes in some] for some in arguments(network, truths)]
    before = network.loss(images, truths, *given)
    order = torch.randperm(3, generator=generator).tolist()
    mixed = []
    for place in order:
        objects = torch.randperm(len(truths[place]["boxes"]), generator=generator)
        mixed.append({key: value[objects] for key, value in truths[place].items()})
    after = network.loss([images[place] for place in order], mixed, *given)
    for one, other in zip(before, after):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_every_loss_has_the_gradient_that_small_steps_show():
    sampled, truths = two_objects()
    truths[0]["masks"] = torch.rand(2, 10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    head, masks = BoxHead(2, 5, hidden=4), MaskHead(2, 5, size=2, hidden=[3])
    logits, offsets = random(0, 2, 6).requires_grad_(), random(1, 2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: head.loss(*x, sampled, truths), (logits, offsets))
    cells = random(2, 2, 5, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: masks.loss(x, sampled, truths), (cells,))
    regions = RegionProposals(2, sizes=[4, 8], count=30).double()
    scores = regions([torch.zeros(1, 2, 4, 4).double()], strides=[4])

    def first(logits, offsets):
        told = scores._replace(logits=logits, offsets=offsets)
        return tuple(regions.loss(told, [truths[0]["boxes"]], generator=torch.Generator().manual_seed(0)))

    inputs = random(3, *scores.logits.shape).requires_grad_(), random(4, *scores.offsets.shape).requires_grad_()
    assert torch.autograd.gradcheck(first, inputs)


def test_pyramid_and_levels_have_the_gradient_that_small_steps_show():
    pyramid = FeaturePyramid([2, 3], 2).double()
    maps = random(0, 1, 2, 6, 6).requires_grad_(), random(1, 1, 3, 3, 3).requires_grad_()
    boxes = tensor([1, 2, 9, 11], [2.5, 1, 23, 22])

    def cut(*maps):
        return pool_levels(pyramid(maps), [boxes], 2, strides=[4, 8, 16], canonical=(16, 8))

    assert torch.autograd.gradcheck(cut, maps)


def test_the_same_generator_draws_the_same_sample():
    network, (images, truths) = small(FasterRCNN, count=8), scene()
    network.regions.count = 16
    runs = [network.loss(images, truths, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(runs[0].total, runs[1].total) and not torch.equal(runs[0].total, runs[2].total)


def test_proposals_improve_where_the_network_is_told_the_truth():
    network, (images, truths) = small(FasterRCNN), scene()
    padded, sizes = network.batch(images)
    maps = network.features(padded)
    scores = network.regions(maps, strides=[4])
    best = box_iou(truths[0]["boxes"], scores.anchors).max(0)
    told = scores._replace(
        logits=(best.values * 20 - 10).expand(2, -1),
        offsets=encode_boxes(truths[0]["boxes"][best.indices], scores.anchors).expand(2, -1, -1),
    )
    boxes = network.regions.propose(told, sizes).boxes[0]
    torch.testing.assert_close(box_iou(truths[0]["boxes"], boxes).max(1).values, torch.ones(2), atol=1e-4, rtol=0)
    assert float(network.regions.loss(told, [one["boxes"] for one in truths]).boxes) == pytest.approx(0, abs=1e-10)


# --- bad input ---


def test_bad_input():
    network, (images, truths) = small(FasterRCNN), scene()
    scores = network.regions(network.features(network.batch(images)[0]), strides=[4])
    xywh = [{**truths[0], "boxes": torch.tensor([[28.0, 20, 16, 16], [4.0, 8, 20, 24]])}, truths[1]]
    cases = [
        (lambda: network.loss(images, xywh), "width, height"),
        (lambda: network.loss(images, truths[:1]), "one entry an image, 2, got 1"),
        (lambda: network.loss(images, [{**truths[0], "labels": torch.tensor([0, 2])}, truths[1]]), "from 0 to 1"),
        (lambda: network.loss(images, [{**truths[0], "labels": torch.tensor([0.0, 1.0])}, truths[1]]), "whole"),
        (lambda: network.loss(images, [{**truths[0], "boxes": truths[0]["boxes"] * math.nan}, truths[1]]), "finite"),
        (lambda: network.loss(images, [{**truths[0], "boxes": truths[0]["boxes"].long()}, truths[1]]), "floating"),
        (lambda: network.loss(images, [{**truths[0], "boxes": truths[0]["boxes"] * 0}, truths[1]]), "x1 < x2"),
        (lambda: network.regions.loss(scores, [truths[0]["boxes"], tensor([9, 9, 3, 3])]), r"objects\[1\] .*width"),
        (lambda: network.regions.loss(scores, [tensor([1, 1, 1, 5]), truths[1]["boxes"]]), r"objects\[0\] must have"),
        (lambda: network.regions.loss(scores, [tensor([1, math.nan, 4, 5])] * 2), r"objects\[0\] must be finite"),
        (lambda: network.regions.loss(scores, [torch.tensor([[1, 1, 4, 5]])] * 2), r"objects\[0\] must be float"),
        (lambda: network.regions.loss(scores, [truths[0]["boxes"]]), "one tensor an image, 2, got 1"),
        (lambda: network.detect([]), "at least one image"),
        (lambda: network.detect([images[0], torch.zeros(3, 4, 4)]), r"images\[1\]"),
        (lambda: network.detect([images[0].long()]), "floating-point"),
        (lambda: small(FastRCNN).detect(images, torch.zeros(2, 4)), "one tensor"),
        (lambda: small(FastRCNN).detect(images, [torch.zeros(2, 5)] * 2), r"proposals\[0\]"),
        (lambda: small(FastRCNN).detect(images, [torch.zeros(1, 4), tensor([9, 9, 3, 3])]), r"proposals\[1\] .*width"),
        (lambda: small(FastRCNN).loss(images, truths, [tensor([0, math.inf, 9, 9])] * 2), r"proposals\[0\] .*finite"),
        (lambda: small(RCNN).detect(images, [torch.tensor([[0, 0, 9, 9]])] * 2), r"proposals\[0\] must be floating-"),
        (lambda: small(MaskRCNN).loss(images, [{k: v for k, v in t.items() if k != "masks"} for t in truths]), "masks"),
        (lambda: FasterRCNN(nn.Identity(), 3, BoxHead(2, 2), strides=[1]), "regions must be"),
        (lambda: FastRCNN(3, BoxHead(2, 2), strides=[1]), "backbone must be"),
        (lambda: FastRCNN(nn.Identity(), nn.Identity(), strides=[1]), "head must be"),
        (lambda: FastRCNN(nn.Identity(), BoxHead(2, 2), strides=[]), "strides must be"),
        (lambda: BoxHead(2, 0), "classes must be"),
        (lambda: BoxHead(2, 2, pooling="warp"), "pooling must be"),
        (lambda: MaskHead(2, 2, hidden=[]), "hidden must be"),
        (lambda: MaskRCNN(nn.Identity(), RegionProposals(2), BoxHead(2, 2), MaskHead(2, 3), strides=[1]), "2 classes"),
        (lambda: pool_levels([torch.zeros(1, 1, 4, 4)] * 2, [torch.zeros(1, 4)], 1, strides=[8, 4]), "ascending"),
        (lambda: FeaturePyramid([4, 8])([torch.zeros(1, 4, 2, 2)]), "2 maps, got 1"),
        (lambda: RegionProposals(4, sizes=[[8], [16]])([torch.zeros(1, 4, 2, 2)], strides=[4]), "2 levels"),
        (lambda: RegionProposals(4, sizes=[[8], [16, 32]]), "as many on each level"),
        (lambda: RegionProposals(4, high=0.3, low=0.5), "low must be"),
        (lambda: paste_masks(torch.full((1, 4, 4), 2.0), torch.zeros(1, 4), 8), "masks must be in"),
        (lambda: paste_masks(torch.ones(1, 4, 4), torch.full((1, 4), math.inf), 8), "finite"),
        (lambda: paste_masks(torch.ones(2, 4, 4), torch.zeros(1, 4), 8), r"\(2, 4\)"),
    ]  # fmt: skip
    for call, words in cases:
        with pytest.raises(ValueError, match=words):
            call()
