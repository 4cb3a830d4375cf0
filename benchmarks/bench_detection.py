"""Mask R-CNN, ResNet-50 with a pyramid: 2 images of 480x640, detected by ours and torchvision's, with equal weights."""

import os
import subprocess
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from benchmarks.bench_roi import peer_python
from benchmarks.timing import machine, medians, show
from tutorial_lib.boxes import box_iou
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
    # In float64 they are equal to the last digits (tests/test_detection.py); in float32 near ties part.
    same = [shared(mine, other) for mine, other in zip(found, told)]
    assert min(same) > 0.9, same
    numbers = ", ".join(str(len(one.boxes)) for one in found)
    functions = {"ours": lambda: ours.detect(images), "torchvision": lambda: theirs(images)}
    seconds = medians(functions, repetitions=5)
    title = f"Mask R-CNN, detection in 2 images of 480 x 640 ({numbers} objects, {min(same):.0%} of them the same)"
    show(title, seconds.pop("ours"), seconds, "1.2 x torchvision")


def shared(mine, other) -> float:
    """The share of their objects that ours has too: class, score, box, and mask."""
    iou = box_iou(other["boxes"], mine.boxes)
    iou = torch.where(other["labels"][:, None] == mine.labels + 1, iou, 0)
    best, place = iou.max(1)
    score = (other["scores"] - mine.scores[place]).abs() < 1e-3
    pixels = ((other["masks"][:, 0] > 0.5) != mine.masks[place]).flatten(1).sum(1)
    return float(((best > 0.999) & score & (pixels < 5)).double().mean())


def torchvisions(detection) -> nn.Module:
    """Random weights, of which those of the classes are moved until some hundred boxes an image are sure enough, most
    of them background, as a trained network has it: so there are boxes to suppress, and masks to make."""
    torch.manual_seed(0)
    model = detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1,
        min_size=480, max_size=640, image_mean=[0.0] * 3, image_std=[1.0] * 3,
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight *= 2
        model.roi_heads.box_predictor.cls_score.bias[0] += 14
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


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
