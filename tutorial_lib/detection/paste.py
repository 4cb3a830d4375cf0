"""From a mask of a box back to the image (chapter 10)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import _arguments as check


def paste_masks(
    masks: Tensor,
    boxes: Tensor,
    image_size: int | check.Wholes,
    *,
    threshold: float | None = 0.5,
    rule: str = "exact",
) -> Tensor:
    r"""Put each box's mask where the box lies in the image.

    Every pixel whose centre lies in the box reads the mask there, interpolated bilinearly; all others are 0. So a mask
    of ones fills exactly those pixels.

    ``rule="torchvision"`` repeats the popular code, which rounds the box to whole pixels and counts its last one in: a
    mask of ones in a box of 28 × 28 pixels becomes 841 pixels in place of 784.

    Args:
        masks: (K, M, M), probabilities.
        boxes: (K, 4), in pixels.
        image_size: (height, width), or one number for both.
        threshold: a pixel belongs to the mask from here on; None: return probabilities.
        rule: ``"exact"`` or ``"torchvision"``.

    Returns:
        (K, height, width) of bools, or of the masks' type without a threshold.

    Raises:
        ValueError: shapes that do not fit, masks outside [0, 1], boxes that are not finite.

    References:
        He et al., Mask R-CNN (arXiv:1703.06870), section 3.1 (inference).

    >>> int(paste_masks(torch.ones(1, 28, 28), torch.tensor([[10.0, 10.0, 38.0, 38.0]]), 64).sum())
    784
    """
    masks = check.unit(check.tensor(masks, "masks", "(K, M, M)", kind="floating-point"), "masks")
    boxes = check.boxes(boxes, "boxes", f"({len(masks)}, 4)")
    check.every_row(boxes.isfinite(), "boxes must be finite", boxes)
    height, width = check.wholes(image_size, "image_size", length=2, broadcast=True, low=1)
    rule = check.choice(rule, "rule", ("exact", "torchvision"))
    level = None if threshold is None else check.number(threshold, "threshold", low=0, high=1)
    out = check.wide(masks.detach()).new_zeros(len(masks), height, width)
    for place, (mask, box) in enumerate(zip(check.wide(masks.detach()), boxes.detach().tolist())):
        (_paste if rule == "exact" else _paste_like_torchvision)(out[place], mask, box)
    if level is not None:
        return out >= level if rule == "exact" else out > level
    return out.to(masks.dtype)


def _paste(image: Tensor, mask: Tensor, box: list[float]) -> None:
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return
    # The pixels whose centre lies in the box.
    left, right = (min(max(0, math.ceil(x - 0.5)), image.shape[1]) for x in (x1, x2))
    top, bottom = (min(max(0, math.ceil(y - 0.5)), image.shape[0]) for y in (y1, y2))
    if left >= right or top >= bottom:
        return
    pixels = {"device": mask.device, "dtype": mask.dtype}
    x = (torch.arange(left, right, **pixels) + 0.5 - x1) / (x2 - x1) * 2 - 1  # type: ignore[call-overload]
    y = (torch.arange(top, bottom, **pixels) + 0.5 - y1) / (y2 - y1) * 2 - 1  # type: ignore[call-overload]
    grid = torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), -1)[None]
    image[top:bottom, left:right] = F.grid_sample(mask[None, None], grid, padding_mode="border", align_corners=False)[
        0, 0
    ]


def _paste_like_torchvision(image: Tensor, mask: Tensor, box: list[float]) -> None:
    size = mask.shape[-1]
    scale = (size + 2) / size
    padded = F.pad(mask, (1, 1, 1, 1))
    middle, half = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], [(box[2] - box[0]) / 2, (box[3] - box[1]) / 2]
    x1, y1 = (int(m - h * scale) for m, h in zip(middle, half))
    x2, y2 = (int(m + h * scale) for m, h in zip(middle, half))
    wide, high = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    large = F.interpolate(padded[None, None], size=(high, wide), mode="bilinear", align_corners=False)[0, 0]
    left, right = max(x1, 0), min(x2 + 1, image.shape[1])
    top, bottom = max(y1, 0), min(y2 + 1, image.shape[0])
    if left < right and top < bottom:
        image[top:bottom, left:right] = large[top - y1 : bottom - y1, left - x1 : right - x1]
