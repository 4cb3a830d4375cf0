"""What belongs together: boxes and maps, logits and classes, counts and weights."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from .arrays import double, every_row, same_shape, tensor, unit, wide
from .scalars import named_items, sequence, whole
from .words import bare, is_dense, is_tensor, what

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray | Tensor


def boxes(value: Any, name: str, shape: str = "(..., 4)") -> Tensor:
    """Corners (x1, y1, x2, y2) as a floating-point tensor."""
    return tensor(value, name, shape, kind="floating-point")


def objects(value: Any, name: str) -> Tensor:
    """Boxes (G, 4) that can be learned: finite, with area."""
    value = boxes(value, name, "(G, 4)")
    every_row(value.isfinite(), f"{name} must be finite", value)
    expected = f"{name} must have x1 < x2 and y1 < y2 (are they x, y, width, height?)"
    every_row(value[:, 2:] > value[:, :2], expected, value)
    return value


def rois(value: Any, features: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Of either form of RoIs, the image's number (K,) and the scaled corners (K, 4), wide enough to be computed with.

    The forms: (K, 5) with the image's number first; or a list of one tensor (K_i, 4) for each of N images.
    """
    import torch

    images, computed = len(features), wide(features[:0]).dtype
    if is_tensor(value):
        value = _beside(tensor(value, "boxes", "(K, 5)"), "boxes", features)
        number_, corners = value[:, 0].detach(), value[:, 1:]
        right = (number_ >= 0) & (number_ < images) & (number_ == number_.floor())
        every_row(right, f"boxes[:, 0] must be whole image numbers 0 to {images - 1}", number_)
        number_ = number_.to(torch.int64)
    else:
        if not isinstance(value, list | tuple):
            raise ValueError(f"boxes must be a tensor (K, 5) or a list of tensors (K_i, 4), got {what(value)}")
        if len(value) != images:
            raise ValueError(f"boxes must have one tensor an image, {images}, got {len(value)}")
        for place, some in enumerate(value):
            _beside(tensor(some, f"boxes[{place}]", "(K, 4)"), f"boxes[{place}]", features)
        counts = torch.tensor([len(some) for some in value], dtype=torch.int64, device="cpu")
        number_ = torch.arange(images, device="cpu").repeat_interleave(counts).to(features.device)
        corners = torch.cat(list(value)) if images else features.new_zeros(0, 4)
    scaled = corners.to(computed) * scale
    size = (scaled[:, 2:] - scaled[:, :2]).detach()
    every_row(size.isfinite(), "boxes must be finite", corners)
    every_row(size >= 0, "boxes must have x1 <= x2 and y1 <= y2", corners)
    return number_, scaled


def class_counts(value: Any) -> Tensor:
    """Training samples of each class, each at least 1, as (C,) :func:`double` numbers on the counts' device."""
    import torch

    name = "class_counts"
    if isinstance(value, torch.Tensor):
        counts = tensor(value, name).detach().to(double(value.device))
    else:
        device = torch.get_default_device()
        given = [] if sequence(value) is None else [_count(item) for _, item in named_items(value, name, "number")]
        counts = torch.tensor(given, dtype=double(device), device=device)
    if counts.ndim != 1 or not len(counts):
        raise ValueError(f"{name} must be (C,), one number a class, got {what(value)}")
    wrong = ~((counts >= 1) & counts.isfinite())
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        found = (
            f"{counts[index].item():g}" if isinstance(value, torch.Tensor) else what(list(sequence(value) or ())[index])
        )
        raise ValueError(f"{name} must be at least 1, got {found} for class {index}")
    return counts


def class_weight(value: Any, name: str, logits: Tensor) -> Tensor | None:
    """One weight for each class of (B, C, ...) logits, of their type and device; or ``None``."""
    import torch

    if value is None:
        return None
    classes, weight = logits.shape[1], value
    if not isinstance(value, torch.Tensor):
        given = [] if sequence(value) is None else [_count(item) for _, item in named_items(value, name, "number")]
        weight = torch.tensor(given, dtype=double(logits.device), device=logits.device)
    if tuple(weight.shape) != (classes,):
        raise ValueError(f"{name} must be ({classes},), one number a class, got {what(value)}")
    weight = tensor(weight, name).to(logits)
    if not bool(((weight >= 0) & weight.isfinite()).all()):
        raise ValueError(f"{name} must be finite and at least 0, got {weight.tolist()}")
    return weight


def class_target(logits: Any, target: Any, *, soft: bool = False) -> tuple[Tensor, bool]:
    """Logits (B, C, ...), wide enough; and whether the target holds class indices (B, ...) or, if soft, (B, C, ...)."""
    logits = tensor(logits, "logits", "(B, C, ...)", kind="floating-point")
    classes, shape = logits.shape[1], (logits.shape[0], *logits.shape[2:])
    if soft and is_dense(target) and target.is_floating_point():
        if target.shape != logits.shape:
            expected = tuple(logits.shape)
            raise ValueError(f"soft target must have the shape of logits, {expected}, got {what(target)}")
        unit(target, "target")
        return wide(logits), False
    if not is_dense(target) or str(target.dtype) != "torch.int64" or target.shape != shape:
        also = f", or soft {tuple(logits.shape)}" if soft else ""
        raise ValueError(f"target must be int64 class indices {shape}{also}, got {what(target)}")
    class_range(target, classes)
    return wide(logits), True


def class_range(target: Tensor, classes: int) -> None:
    """Whole numbers that are classes."""
    if target.numel():
        low, high = (int(end) for end in target.aminmax())
        if low < 0 or high >= classes:
            raise ValueError(f"target must hold classes from 0 to {classes - 1}, got {low if low < 0 else high}")


def kept(target: Any, ignore_index: Any) -> tuple[Any, Tensor | None]:
    """A target with 0 where it is ``ignore_index``, and where it is not; ``None`` where nothing is to be ignored.

    What is no dense tensor is handed back as it came: who takes the target says what it should be.
    """
    if ignore_index is None:
        return target, None
    ignore_index = whole(ignore_index, "ignore_index")
    if not is_dense(target):
        return target, None
    # In int64: torch would wrap -1 to the 255 of a uint8.
    ignored = (target if target.is_floating_point() else target.long()) == ignore_index
    return target.masked_fill(ignored, 0), ~ignored


def bits(logits: Any, target: Any, shape: str = "") -> tuple[Tensor, Tensor]:
    """Logits, wide enough, and bits (or soft ones) of the same shape and then of the same type."""
    logits = tensor(logits, "logits", shape, kind="floating-point")
    target = unit(same_shape(target, "target", logits, "logits"), "target")
    logits = wide(logits)
    return logits, target.to(logits.dtype)


def soft_masks(probability: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Probabilities (B, C, ...), wide enough, and masks (or soft ones) of the same shape, both from 0 to 1."""
    probability = tensor(probability, "probability", "(B, C, ...)", kind="floating-point")
    target = unit(same_shape(target, "target", probability, "probability"), "target")
    probability = wide(unit(probability, "probability", nan=True))
    return probability, target.to(probability.dtype)


def labelled(logits: Tensor, **named: Any) -> None:
    """Labels that belong to the first rows of a batch (B, C, ...), and to each of its channels and pixels."""
    tensor(logits, "logits", "(B, C, ...)", kind="floating-point")
    pixels = ", ".join(map(str, logits.shape[1:]))
    expected = f"(L, {pixels}) with L at most {len(logits)}, the labelled rows"
    for name, values in named.items():
        if not is_dense(values) or values.ndim == 0:
            raise ValueError(f"{name} must be a dense tensor {expected}, got {what(values)}")
    if len({len(values) for values in named.values()}) > 1:
        shapes = ", ".join(map(what, named.values()))
        raise ValueError(f"{' and '.join(named)} must have the same number of rows, got {shapes}")
    for name, values in named.items():
        if values.shape[1:] != logits.shape[1:] or len(values) > len(logits):
            raise ValueError(f"{name} must be {expected}, got {what(values)}")


def _beside(value: Tensor, name: str, features: Tensor) -> Tensor:
    if value.device != features.device:
        raise ValueError(f"{name} must be on the features' device {features.device}, got {value.device}")
    return value


def _count(value: Any) -> float:
    """A number, or nan, which the caller names with its place."""
    plain = bare(value)
    return float(plain) if isinstance(plain, Real) and not isinstance(plain, bool) else math.nan
