"""Mask R-CNN, ResNet-50 with a pyramid: 2 images of 480x640, detected by ours and torchvision's, with equal weights."""

import os
import subprocess
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from benchmarks.bench_roi import peer_python
from benchmarks.timing import machine, medians, show
from tutorial_lib.detection import BoxHead, MaskHead, MaskRCNN
from tutorial_lib.proposals import RegionProposals

CLASSES = 90
#: From torchvision's names to ours; what has the background first there has it last here.
NAMES = {
    "rpn.head.conv.0.0": "regions.convolution",
    "rpn.head.cls_logits": "regions.objectness",
    "rpn.head.bbox_pred": "regions.edges",
    "roi_heads.box_head.fc6": "head.hidden.1",
    "roi_heads.box_head.fc7": "head.hidden.3",
    "roi_heads.box_predictor.cls_score": "head.scores",
    "roi_heads.box_predictor.bbox_pred": "head.edges",
    **{f"roi_heads.mask_head.{layer}.0": f"masks.layers.{2 * layer}" for layer in range(4)},
    "roi_heads.mask_predictor.conv5_mask": "masks.layers.8",
    "roi_heads.mask_predictor.mask_fcn_logits": "masks.scores",
}


def main(peers: bool = False) -> None:
    """Torchvision's backbone is needed for both, so that both run in its environment."""
    detection = torchvision_detection()
    if detection is None and not peers:
        print("    ours and torchvision's: python -m benchmarks detection --peers (fetches 4.9 GB)")
        return
    if detection is None:
        folder = Path(__file__).resolve().parents[1]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        subprocess.run([peer_python(), "-m", "benchmarks.bench_detection"], check=True, cwd=folder, env=environment)
        return
    theirs = torchvisions(detection)
    ours = like(theirs)
    images = list(torch.rand(2, 3, 480, 640, generator=torch.Generator().manual_seed(0)))
    found, told = ours.detect(images, rule="torchvision"), theirs(images)
    for mine, other in zip(found, told):
        torch.testing.assert_close(mine.boxes, other["boxes"], atol=1e-2, rtol=1e-4)
        torch.testing.assert_close(mine.scores, other["scores"], atol=1e-4, rtol=0)
        assert torch.equal(mine.labels + 1, other["labels"])
        assert (mine.masks != (other["masks"][:, 0] > 0.5)).double().mean() < 1e-4
    numbers = ", ".join(str(len(one.boxes)) for one in found)
    functions = {"ours": lambda: ours.detect(images), "torchvision": lambda: theirs(images)}
    seconds = medians(functions, repetitions=5)
    title = f"Mask R-CNN, detection in 2 images of 480 x 640 ({numbers} objects, the same in both)"
    show(title, seconds.pop("ours"), seconds, "1.2 x torchvision")
    parts(ours, theirs, images)


def parts(ours: MaskRCNN, theirs: nn.Module, images: list[torch.Tensor]) -> None:
    """Where the time goes, stage by stage, each with the same input in both."""
    with torch.no_grad():
        padded, sizes = ours.batch(images)
        maps = ours.features(padded)
        named = dict(zip(("0", "1", "2", "3", "pool"), maps))
        holder = import_module("torchvision.models.detection.image_list").ImageList(padded, sizes)
        boxes = ours.regions.propose(ours.regions(maps, strides=ours.strides), sizes).boxes
        found, told = ours.detect(images), theirs(images)
        strides = ours.strides[:4]
        cut = ours.head.cut(maps[:4], boxes, strides)
        some = [one.boxes for one in found]
        masks = ours.masks.cut(maps[:4], some, strides)
        probability = ours.masks(masks)[:, 0].sigmoid()
        halves = probability.split([len(one) for one in some])
        logits, offsets = ours.head(cut)
        paste = import_module("torchvision.models.detection.roi_heads").paste_masks_in_image
        other = import_module("torchvision.models.detection.roi_heads")
        edges = torch.cat((offsets.new_zeros(len(offsets), 4), offsets.flatten(1)), 1)
        scores = logits.roll(1, 1)
        stages = {
            "backbone": (lambda: ours.features(padded), lambda: theirs.backbone(padded)),
            "proposals": (
                lambda: ours.regions.propose(ours.regions(maps, strides=ours.strides), sizes),
                lambda: theirs.rpn(holder, named),
            ),
            "RoI Align of all proposals": (
                lambda: ours.head.cut(maps[:4], boxes, strides),
                lambda: theirs.roi_heads.box_roi_pool(named, boxes, sizes),
            ),
            "the second stage's layers": (
                lambda: ours.head(cut),
                lambda: theirs.roi_heads.box_predictor(theirs.roi_heads.box_head(cut)),
            ),
            "boxes, classes, suppression": (
                lambda: ours.head.detect(logits, offsets, boxes, sizes),
                lambda: theirs.roi_heads.postprocess_detections(scores, edges, boxes, sizes),
            ),
            "masks": (
                lambda: ours.masks(ours.masks.cut(maps[:4], some, strides)),
                lambda: theirs.roi_heads.mask_predictor(
                    theirs.roi_heads.mask_head(theirs.roi_heads.mask_roi_pool(named, some, sizes))
                ),
            ),
            "paste": (
                lambda: [ours_paste(half, box, size) for half, box, size in zip(halves, some, sizes)],
                lambda: [paste(half[:, None], box, size) for half, box, size in zip(halves, some, sizes)],
            ),
        }
        del told, other
        for name, (mine, rival) in stages.items():
            seconds = medians({"ours": mine, "torchvision": rival}, repetitions=3)
            show(f"    {name}", seconds.pop("ours"), seconds, "none: a part")


def ours_paste(masks, boxes, size):
    return import_module("tutorial_lib.detection").paste_masks(masks, boxes, size)


def torchvisions(detection) -> nn.Module:
    """Random weights; those that decide are wider, so that there are objects to be found, and masks to be made."""
    torch.manual_seed(0)
    model = detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1,
        min_size=480, max_size=640, image_mean=[0.0] * 3, image_std=[1.0] * 3,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for layer in (model.rpn.head.cls_logits, model.roi_heads.box_predictor.cls_score):
            layer.weight *= 10
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


class _Forward(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    @torch.no_grad()
    def forward(self, images):
        return self.model(images)


def like(theirs: nn.Module) -> MaskRCNN:
    """Ours on their backbone, with their weights and conventions."""
    regions = RegionProposals(
        256, sizes=[[32], [64], [128], [256], [512]], offset=0, rounded=True, before=1000, after=1000
    )
    head, masks = BoxHead(256, CLASSES, aligned=False), MaskHead(256, CLASSES, aligned=False)
    network = MaskRCNN(theirs.backbone, regions, head, masks, strides=[4, 8, 16, 32, 64], cut_from=4).eval()
    values, known = theirs.state_dict(), {}
    for other, mine in NAMES.items():
        for part in ("weight", "bias"):
            value = values[f"{other}.{part}"]
            if mine == "head.scores":
                value = value.roll(-1, 0)
            elif mine in ("head.edges", "masks.scores"):
                value = value[4 if mine == "head.edges" else 1 :]
            known[f"{mine}.{part}"] = value
    missing = network.load_state_dict(known, strict=False)
    assert all(name.startswith("backbone.") for name in missing.missing_keys) and not missing.unexpected_keys
    return network


def torchvision_detection():
    try:
        return import_module("torchvision.models.detection")
    except (ImportError, RuntimeError):
        return None


if __name__ == "__main__":
    print(machine())
    main()
