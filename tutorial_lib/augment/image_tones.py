"""Operations on grey values and colours, for a whole batch at once: each image has a magnitude of its own.

Images are (N, C, H, W) in [0, 1], magnitudes (N, 1, 1, 1). What Pillow does on bytes is done here on numbers; where an
operation needs levels (a histogram, bits, a threshold), a value counts as the nearest of the 256.
"""

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Each channel's darkest value becomes 0, its brightest 1."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1e-12), images)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp_(0, 1)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Towards grey (0) or away from it (above 1); an image without red, green and blue stays as it is."""
    return _blend(_grey(images), images, factor) if images.shape[1] == 3 else images


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Towards the image's mean grey (0) or away from it (above 1)."""
    return _blend(_grey(images).mean((1, 2, 3), keepdim=True), images, factor)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Each channel's levels spread so that its histogram is flat."""
    levels = _levels(images).flatten(0, 1).flatten(1).long()  # (N*C, H*W)
    counts = torch.zeros(len(levels), 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    below = counts.cumsum(1) - counts
    step = (below.gather(1, levels.amax(1, keepdim=True))) // 255  # pixels darker than the brightest level
    table = (below + step // 2) // step.clamp_min(1)
    flat = table.clamp(0, 255).gather(1, levels).view(images.shape).to(images) / 255
    return torch.where(step.view(*images.shape[:2], 1, 1) > 0, flat, images)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Only the highest bits of a level are kept."""
    step = 2.0 ** (8 - bits.round())
    return (_levels(images) / step).floor_() * (step / 255)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Towards a smoothed image (0) or away from it (above 1); the outermost pixels stay."""
    if min(images.shape[-2:]) < 3:
        return images
    columns = images[..., :-2] + images[..., 1:-1] + images[..., 2:]
    nine = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :]
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = (nine + 4 * images[..., 1:-1, 1:-1]) / 13  # the middle pixel counts five times
    return _blend(smooth, images, factor)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Levels from the threshold on are inverted."""
    return torch.where(_levels(images) < threshold - 1e-3, images, 1 - images)


def _levels(images: Tensor) -> Tensor:
    return (images * 255).round_()


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W): luma of red, green, blue; the mean of other channels."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def _blend(dull: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(dull.expand_as(images), images, factor.expand_as(images)).clamp_(0, 1)
