"""Losses, forward and backward: focal of 4096x1000 logits, MS-SSIM of four 256x256 images."""

import warnings
from functools import partial

import kornia
import monai.losses
import torch
import torch.nn.functional as F
from pytorch_msssim import ms_ssim as msssim
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as torchmetrics_ms_ssim

from benchmarks.timing import medians, show
from tutorial_lib.losses import focal_loss, ldam_loss, ms_ssim, sigmoid_focal_loss

ROWS, CLASSES = 4096, 1000


def main() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    torch.manual_seed(0)
    logits = torch.randn(ROWS, CLASSES, requires_grad=True)
    target = torch.randint(CLASSES, (ROWS,))
    softmax(logits, target)
    ldam(torch.rand(ROWS, CLASSES).mul_(2).sub_(1).requires_grad_(), target)  # as cosines: in [-1, 1]
    sigmoid(logits, (torch.rand(ROWS, CLASSES) < 0.1).float())
    for shape in ((4, 1, 256, 256), (4, 3, 256, 256)):
        structure(shape)


def both_ways(loss, x, *arguments, **options) -> None:
    x.grad = None
    loss(x, *arguments, **options).backward()


def softmax(logits, target) -> None:
    softmax_focal = monai.losses.FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True)

    def plain(x, y):
        entropy = F.cross_entropy(x, y, reduction="none")
        return ((1 - torch.exp(-entropy)) ** 2 * entropy).mean()

    functions = {
        "ours": partial(both_ways, focal_loss, logits, target),
        "kornia": partial(both_ways, kornia.losses.focal_loss, logits, target, alpha=None, gamma=2.0, reduction="mean"),
        "MONAI": lambda: both_ways(softmax_focal, logits, target.unsqueeze(1)),
        "plain torch": partial(both_ways, plain, logits, target),
        "cross-entropy, no focal": partial(both_ways, F.cross_entropy, logits, target),
    }
    report("softmax focal", functions, "2 x kornia; within 1.3 x of cross-entropy (its line at least 0.77)")


def ldam(logits, target) -> None:
    counts = [10 + rank for rank in range(CLASSES)]
    margins = 0.5 * (counts[0] / torch.tensor(counts)) ** 0.25

    def plain(x, y):
        moved = x - F.one_hot(y, CLASSES) * margins
        return F.cross_entropy(30 * moved, y)

    functions = {
        "ours": partial(both_ways, ldam_loss, logits, target, class_counts=counts),
        "plain torch": partial(both_ways, plain, logits, target),
        "cross-entropy, no margin": partial(both_ways, F.cross_entropy, logits, target),
    }
    report("LDAM", functions, "no slower than plain torch")


def sigmoid(logits, target) -> None:
    sigmoid_focal = monai.losses.FocalLoss(gamma=2.0, alpha=0.25)

    def torchvision_formula(x, y):  # as torchvision.ops.sigmoid_focal_loss computes it; it does not install beside us
        p = x.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(x, y, reduction="none")
        wrong = 1 - (p * y + (1 - p) * (1 - y))
        return ((0.25 * y + 0.75 * (1 - y)) * wrong**2 * entropy).mean()

    def binary(x, y):
        return kornia.losses.binary_focal_loss_with_logits(x, y, alpha=0.25, gamma=2.0, reduction="mean")

    functions = {
        "ours": partial(both_ways, sigmoid_focal_loss, logits, target, alpha=0.25),
        "torchvision's formula": partial(both_ways, torchvision_formula, logits, target),
        "MONAI": partial(both_ways, sigmoid_focal, logits, target),
        "kornia": partial(both_ways, binary, logits, target),
        "binary cross-entropy, no focal": partial(both_ways, F.binary_cross_entropy_with_logits, logits, target),
    }
    report("sigmoid focal", functions, "1 x torchvision's formula, 1.3 x MONAI")


def structure(shape) -> None:
    target = torch.rand(shape)
    x = (target + 0.1 * torch.randn(shape)).clamp(0, 1).requires_grad_()
    functions = {
        "ours": partial(both_ways, ms_ssim, x, target),
        "pytorch-msssim": partial(both_ways, msssim, x, target, data_range=1.0),
        "torchmetrics": partial(both_ways, torchmetrics_ms_ssim, x, target, data_range=1.0),
    }
    report(f"MS-SSIM, {' x '.join(map(str, shape))}", functions, "1.5 x pytorch-msssim")


def report(title: str, functions: dict, goal: str) -> None:
    times = medians(functions, repetitions=11)
    ours = times.pop("ours")
    show(f"{title}, forward and backward", ours, times, goal)
