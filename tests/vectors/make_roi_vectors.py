"""Make roi_torchvision.json: what torchvision's compiled operators answer, in float64.

Torchvision's operators do not load beside the CPU build of torch, so it is not installed with the project. In an
environment of its own (4.9 GB):

    pip install "torch===2.13.0" "torchvision==0.28.0" numpy
    python tests/vectors/make_roi_vectors.py

Inputs are stored too, rounded to sixteenths, so the tests need neither torchvision nor this script.
"""

import json
from pathlib import Path

import torch
from torchvision import __version__, ops
from torchvision.models.detection._utils import BoxCoder

generator = torch.Generator().manual_seed(0)


def draw(*shape, low=0.0, high=1.0):
    numbers = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
    return (numbers * 16).round() / 16


def boxes(count: int, low: float, high: float, side: float) -> torch.Tensor:
    corner = draw(count, 2, low=low, high=high)
    return torch.cat((corner, corner + draw(count, 2, high=side)), 1)


def pooled(name: str, function, scale: float, **options) -> dict:
    features = draw(2, 2, 6, 7, low=-1).requires_grad_()
    rois = torch.cat(
        (torch.tensor([[0.0], [1.0]]).repeat(6, 1).double(), boxes(12, -4 / scale, 7 / scale, 8 / scale)), 1
    )
    rois[0, 3:] = rois[0, 1:3]  # no area
    rois[1, 1:] = torch.tensor([20.0, 20.0, 30.0, 30.0]) / scale  # outside
    out = function(features, rois)
    weight = draw(*out.shape, low=-1)
    (grad,) = torch.autograd.grad((out * weight).sum(), features)
    case = {"function": name, "spatial_scale": scale, **options}
    arrays = {"features": features, "boxes": rois, "out": out, "weight": weight, "grad": grad}
    return {**case, **{key: value.tolist() for key, value in arrays.items()}}


def main() -> None:
    cases = []
    for ratio, aligned, scale in ((-1, True, 1.0), (-1, False, 0.25), (2, True, 0.5), (2, False, 1.0), (3, True, 1.0)):
        cases.append(
            pooled(
                "roi_align",
                lambda f, r: ops.roi_align(f, r, (2, 3), scale, ratio, aligned),  # noqa: B023
                scale,
                sampling_ratio=ratio,
                aligned=aligned,
            )
        )
    for scale in (1.0, 0.25):
        cases.append(pooled("roi_pool", lambda f, r: ops.roi_pool(f, r, (2, 3), scale), scale))  # noqa: B023

    some, scores = boxes(60, 0, 20, 12), draw(60)  # sixteenths: many equal scores
    classes = torch.randint(0, 3, (60,), generator=generator)
    suppressed = {"boxes": some.tolist(), "scores": scores.tolist(), "classes": classes.tolist(), "kept": {}}
    for threshold in (0.0, 0.3, 0.5, 0.7, 1.0):
        suppressed["kept"][str(threshold)] = ops.nms(some, scores, threshold).tolist()
    distinct = torch.randperm(60, generator=generator).double() / 64  # torchvision's batched_nms is not stable
    suppressed["distinct"] = distinct.tolist()
    suppressed["batched"] = ops.batched_nms(some, distinct, classes, 0.3).tolist()

    anchors, truth = (boxes(8, 0, 20, 12) + torch.tensor([0.0, 0.0, 1.0, 1.0]) for _ in range(2))
    weights = (10.0, 10.0, 5.0, 5.0)
    coder = BoxCoder(weights)
    offsets = draw(8, 4, low=-6, high=6)
    offsets[0, 2] = 40.0  # beyond the cut
    coded = {
        "weights": weights,
        "anchors": anchors.tolist(),
        "truth": truth.tolist(),
        "encoded": coder.encode_single(truth, anchors).tolist(),
        "offsets": offsets.tolist(),
        "decoded": coder.decode_single(offsets, anchors).tolist(),
        "iou": ops.box_iou(truth, anchors).tolist(),
    }
    made = {"torchvision": __version__, "pooled": cases, "nms": suppressed, "coder": coded}
    (Path(__file__).parent / "roi_torchvision.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
