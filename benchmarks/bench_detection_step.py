"""A training step of Mask R-CNN beside its convolutions, layers and RoI operations, each timed alone and added up."""

import torch
from torch import Tensor, nn

from benchmarks.timing import medians
from tutorial_lib.detection import BoxHead, FeaturePyramid, MaskHead, MaskRCNN
from tutorial_lib.detection.heads import Sampled
from tutorial_lib.networks.efficientnet_lite import EfficientNetLite
from tutorial_lib.proposals import RegionProposals
from tutorial_lib.roi import roi_align

CLASSES, DEPTH, SIZE = 20, 128, (480, 640)
STRIDES = (4, 8, 16, 32, 64)


def main() -> None:
    network, images, truths = scene()
    seconds = medians(
        {"the whole step": step(network, images, truths), **parts(network, images, truths)}, repetitions=5
    )
    whole = seconds.pop("the whole step")
    total = sum(seconds.values())
    title = f"a training step of Mask R-CNN, 2 images of {SIZE[0]} x {SIZE[1]}"
    print(f"{title}: {1000 * whole:.0f} ms    goal: within 10 % of its parts")
    for name, value in seconds.items():
        print(f"    {100 * value / total:5.1f} %  {name} ({1000 * value:.0f} ms)")
    print(
        f"    {whole / total:5.2f} x  their sum ({1000 * total:.0f} ms); the rest: matching, samples, proposals, losses"
    )


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = EfficientNetLite()
        self.pyramid = FeaturePyramid([24, 40, 112, 320], DEPTH)

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.pyramid(self.network.features(images))


def scene() -> tuple[MaskRCNN, list[Tensor], list[dict]]:
    torch.manual_seed(0)
    regions = RegionProposals(DEPTH, sizes=[[32], [64], [128], [256], [512]])
    head, masks = BoxHead(DEPTH, CLASSES), MaskHead(DEPTH, CLASSES)
    network = MaskRCNN(Backbone(), regions, head, masks, strides=STRIDES, cut_from=4).train()
    images, truths = list(torch.rand(2, 3, *SIZE)), []
    for _ in images:
        corner = torch.rand(12, 2) * torch.tensor([500.0, 340.0])
        boxes = torch.cat((corner, corner + 20 + torch.rand(12, 2) * 110), 1).round()
        masks_of = torch.zeros(12, *SIZE, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks_of, boxes.int().tolist()):
            mask[y1:y2, x1:x2] = True
        truths.append({"boxes": boxes, "labels": torch.randint(0, CLASSES, (12,)), "masks": masks_of})
    return network, images, truths


def step(network, images, truths):
    def run():
        network.zero_grad()
        network.loss(images, truths, generator=torch.Generator().manual_seed(0)).total.backward()

    return run


def parts(network, images, truths):
    """Forward and backward of each, with what it gets in the step."""
    with torch.no_grad():
        padded, sizes = network.batch(images)
        maps = network.features(padded)
        scores = network.regions(maps, strides=STRIDES)
        proposals = network.regions.propose(scores, sizes).boxes
        sampled = network.head.sample(proposals, truths, generator=torch.Generator().manual_seed(0))
        boxes = [one.boxes for one in sampled]
        positive = [Sampled(*(part[one.labels < CLASSES] for part in one)) for one in sampled]
        objects = [one.boxes for one in positive]
        fine, strides = maps[:4], STRIDES[:4]
        cut, small = network.head.cut(fine, boxes, strides), network.masks.cut(fine, objects, strides)
    return {
        "backbone and pyramid": both(lambda x: network.features(x), [padded], network.backbone, inputs=False),
        "the first stage's convolutions": both(
            lambda *x: network.regions(x, strides=STRIDES)[:2], maps, network.regions
        ),
        "RoI Align for classes": both(lambda *x: network.head.cut(x, boxes, strides), fine),
        "the second stage's layers": both(network.head, [cut], network.head),
        "RoI Align for masks": both(lambda *x: network.masks.cut(x, objects, strides), fine),
        "the third stage's layers": both(network.masks, [small], network.masks),
        "RoI Align of the true masks": lambda: [true_masks(one, truth) for one, truth in zip(positive, truths)],
    }


def both(function, inputs_of, module=None, *, inputs: bool = True):
    """A call, forward and backward to its inputs and to the parameters."""
    given = [one.detach().clone().requires_grad_(inputs) for one in inputs_of]
    wanted = (given if inputs else []) + (list(module.parameters()) if module is not None else [])
    weights: list[Tensor] = []

    def run():
        out = function(*given)
        out = [out] if isinstance(out, Tensor) else list(out)
        if not weights:
            weights.extend(torch.randn_like(one) for one in out)
        torch.autograd.grad(out, wanted, weights, allow_unused=True)

    return run


def true_masks(one, truth):
    rois = torch.cat((one.objects[:, None].to(one.boxes), one.boxes), 1)
    return roi_align(truth["masks"].float()[:, None], rois, 28)


if __name__ == "__main__":
    main()
