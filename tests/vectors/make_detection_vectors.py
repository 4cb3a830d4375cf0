"""Make detection_torchvision.json: what torchvision's Faster and Mask R-CNN answer with known weights, in float64.

In an environment of its own:

    pip install "torch==2.13.0" "torchvision==0.28.0" numpy
    python tests/vectors/make_detection_vectors.py

Torchvision's compiled operators do not load beside the CPU build of torch. Everything used here is its Python, but for
`nms`, which is put in as the greedy rule in loops (`roi_torchvision.json` holds what the compiled one answers).
Weights, images and objects come from `formula`, so the tests need neither torchvision nor this script.
"""

import json
import math
from pathlib import Path

import torch
from torch import nn

SIZES = [(64, 96), (64, 128), (64, 64)]
CLASSES, DEPTH, HIDDEN = 3, 8, 16


def formula(index: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Numbers without a pattern that any machine makes again."""
    count = math.prod(shape)
    steps = torch.arange(count, dtype=torch.float64)
    return (torch.sin(steps * 12.9898 + index * 78.233) * scale).view(shape)


def image(index: int) -> torch.Tensor:
    return formula(100 + index, (3, *SIZES[index]), 0.5) + 0.5


def objects(index: int) -> dict[str, torch.Tensor]:
    """The last image has none."""
    high, wide = SIZES[index]
    boxes = [[[6, 8, 30, 40], [40, 20, 62, 50], [60, 2, 90, 26]], [[10, 10, 26, 34], [70, 20, 118, 60]], []][index]
    masks = torch.zeros(len(boxes), high, wide, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
        mask[y1 : y1 + (y2 - y1) // 2, x1 : x1 + (x2 - x1) // 3] = 0
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float64).view(-1, 4),
        "labels": torch.tensor([[0, 2, 1], [1, 0], []][index], dtype=torch.int64),
        "masks": masks,
    }


def shim():
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

    def nms(boxes, scores, threshold):
        corners, kept = boxes.tolist(), []
        for number in scores.sort(descending=True, stable=True).indices.tolist():
            x1, y1, x2, y2 = corners[number]
            for other in kept:
                a1, b1, a2, b2 = corners[other]
                inter = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
                union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inter
                if union > 0 and inter / union > threshold:
                    break
            else:
                kept.append(number)
        return torch.tensor(kept, dtype=torch.int64)

    library.impl("nms", nms, "CPU")
    for name in ("qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
        library.define(f"{name}(Tensor input) -> Tensor")
    for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
        library.define(f"_{name}_backward(Tensor input) -> Tensor")
    return library


def main() -> None:
    library = shim()  # noqa: F841  (kept alive)
    import torchvision
    from torchvision.models import detection
    from torchvision.models.detection import faster_rcnn, mask_rcnn, rpn
    from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
    from torchvision.ops import boxes as box_operations
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    box_operations._assert_has_ops = lambda: None

    class Backbone(nn.Module):
        out_channels = DEPTH

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, DEPTH, 8, stride=8), nn.Conv2d(DEPTH, 12, 2, stride=2)
            self.fpn = FeaturePyramidNetwork([DEPTH, 12], DEPTH, extra_blocks=LastLevelMaxPool())

        def forward(self, x):
            fine = self.first(x).relu()
            return self.fpn({"0": fine, "1": self.second(fine).relu()})

    def pool(size):
        return MultiScaleRoIAlign(["0", "1"], size, 2, canonical_scale=32, canonical_level=4)

    options = dict(
        min_size=64, max_size=10_000, size_divisible=64, image_mean=[0.0] * 3, image_std=[1.0] * 3,
        rpn_anchor_generator=rpn.AnchorGenerator(((12,), (20,), (40,)), ((0.5, 1.0, 2.0),) * 3),
        rpn_head=rpn.RPNHead(DEPTH, 3), rpn_pre_nms_top_n_train=40, rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_train=30, rpn_post_nms_top_n_test=20, rpn_batch_size_per_image=10_000,
        rpn_positive_fraction=0.9, box_roi_pool=pool(7), box_head=faster_rcnn.TwoMLPHead(DEPTH * 49, HIDDEN),
        box_predictor=faster_rcnn.FastRCNNPredictor(HIDDEN, CLASSES + 1), box_batch_size_per_image=10_000,
        box_positive_fraction=0.9, box_score_thresh=0.05, box_nms_thresh=0.5, box_detections_per_img=6,
        mask_roi_pool=pool(14), mask_head=mask_rcnn.MaskRCNNHeads(DEPTH, (6, 6), 1),
        mask_predictor=mask_rcnn.MaskRCNNPredictor(6, 6, CLASSES + 1),
    )  # fmt: skip
    model = detection.MaskRCNN(Backbone(), **options).double()
    weights = {}
    with torch.no_grad():
        for index, (name, value) in enumerate(sorted(model.state_dict().items())):
            fan = max(1, value[0].numel()) if value.ndim > 1 else 1
            scale = (5 if "roi_heads.box" in name else 2.5) / math.sqrt(fan) if value.ndim > 1 else 0.3
            scale *= 0.1 if "bbox_pred" in name else 1
            value.copy_(formula(index, tuple(value.shape), scale))
            weights[name] = [index, list(value.shape), scale]
    images = [image(index) for index in range(len(SIZES))]
    # In torchvision the background is class 0.
    targets = [{**objects(index), "labels": objects(index)["labels"] + 1} for index in range(len(SIZES))]
    losses = {name: float(value.detach()) for name, value in model.train()(images, targets).items()}
    model.eval()
    kept = {}
    model.rpn.register_forward_hook(lambda module, inputs, output: kept.update(proposals=output[0]))
    with torch.no_grad():
        found = model(images)
    path = Path(__file__).with_name("detection_torchvision.json")
    record = {
        "torchvision": torchvision.__version__,
        "weights": weights,
        "losses": losses,
        "proposals": [some.tolist() for some in kept["proposals"]],
        "detections": [
            {
                "boxes": one["boxes"].tolist(),
                "scores": one["scores"].tolist(),
                "labels": (one["labels"] - 1).tolist(),
                "mask_rows": one["masks"][:, 0].sum(2).tolist(),
                "mask_columns": one["masks"][:, 0].sum(1).tolist(),
            }
            for one in found
        ],
    }
    path.write_text(json.dumps(_rounded(record)) + "\n")
    print(losses, [len(one["boxes"]) for one in found], [len(some) for some in kept["proposals"]])


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {key: _rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
