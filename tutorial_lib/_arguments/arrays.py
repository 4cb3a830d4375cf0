"""Tensors and arrays: kind, shape, range, and the type they are computed in."""

from __future__ import annotations

import contextlib
import functools
import math
from typing import TYPE_CHECKING, Any

from .scalars import numbers, sequence, single, whole
from .words import is_dense, is_tensor, refuse_masked, what

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    Array = np.ndarray | Tensor


def tensor(value: Any, name: str, shape: str = "", *, kind: str = "real") -> Tensor:
    """A dense tensor of a kind (``"floating-point"``, ``"whole"``, ``"real"``: both, or ``"any"``) and a shape.

    The shape is written as in the docstrings: ``"(B, C, ...)"``, ``"(K, 4)"``, ``"(..., 4)"``. Numbers in it must
    agree, letters stand for any size, dots for any number of axes; no shape, any.
    """
    given, dense = is_tensor(value), is_dense(value)
    if dense and _is_kind(value, kind) and _fits(tuple(value.shape), shape):
        return value
    expected = {"floating-point": "floating-point", "whole": "of whole numbers", "real": "of real numbers", "any": ""}[
        kind
    ]
    if not given or not dense or kind != "floating-point":
        expected = f"a dense tensor, {expected}" if given and not dense else f"a tensor, {expected}"
        expected = expected.removesuffix(", ")
    raise ValueError(f"{name} must be {expected}{' ' * bool(shape)}{shape}, got {what(value)}")


def array(value: Any, name: str, *, kinds: str = "buif") -> Array:
    """A dense tensor, or an array in the machine's byte order of anything that NumPy can make one of.

    ``kinds`` are NumPy's letters for bool, unsigned, signed, floating-point, complex. A masked array is refused: its
    mask would be lost on the way.
    """
    if is_tensor(value):
        if not is_dense(value):
            raise ValueError(f"{name} must be a dense tensor, got {what(value)}")
        letter = "c" if value.is_complex() else "f" if value.is_floating_point() else "i"
        if str(value.dtype) == "torch.bool":
            letter = "b"
        if letter not in kinds:
            raise ValueError(f"{name} must hold {_kinds(kinds)}, got {what(value)}")
        return value
    import numpy as np

    refuse_masked(value, name)
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array or a tensor, got {what(value)}") from None
    if found.dtype.kind not in kinds:
        raise ValueError(f"{name} must hold {_kinds(kinds)}, got {what(found)}")
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def pair(pred: Any, target: Any, names: tuple[str, str] = ("pred", "target")) -> tuple[Array, Array]:
    """Two arrays or two tensors of one shape on one device."""
    first, second = names
    if is_tensor(pred) != is_tensor(target):
        raise ValueError(
            f"{first} and {second} must both be torch tensors or both NumPy arrays, got {type(pred).__name__} and "
            f"{type(target).__name__}"
        )
    pred, target = array(pred, first), array(target, second)
    if pred.shape != target.shape:
        shapes = f"{tuple(pred.shape)} and {tuple(target.shape)}"
        raise ValueError(f"{first} and {second} must have the same shape, got {shapes}")
    if is_tensor(pred) and pred.device != target.device:
        raise ValueError(f"{first} and {second} must be on the same device, got {pred.device} and {target.device}")
    return pred, target


def same_shape(value: Tensor, name: str, other: Tensor, other_name: str) -> Tensor:
    """A tensor of the shape of another."""
    if not is_tensor(value) or value.shape != other.shape:
        raise ValueError(f"{name} must have the shape of {other_name}, {tuple(other.shape)}, got {what(value)}")
    return value


def unit(value: Tensor, name: str, *, nan: bool = False) -> Tensor:
    """A dense tensor of bits or of numbers from 0 to 1; ``nan``: what a network gives may be nan, and is passed on.

    >>> import torch
    >>> unit(torch.tensor([0.0, 255.0]), "probability")
    Traceback (most recent call last):
    ValueError: probability must be in [0, 1], got 255
    """
    if is_dense(value) and str(value.dtype) == "torch.bool":
        return value
    value = tensor(value, name)
    if value.numel():
        low, high = (float(end) for end in value.detach().aminmax())
        if nan and math.isnan(low):
            low, high = (float(end) for end in value.detach().nan_to_num(0.5, math.inf, -math.inf).aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"{name} must be in [0, 1], got {low if not low >= 0 else high:.6g}")
    return value


def mask(value: Any, name: str) -> np.ndarray:
    """A mask as NumPy's bools: of bools, or of numbers that are all 0 or 1."""
    import numpy as np

    values = array(value, name)
    if not isinstance(values, np.ndarray):
        values = values.detach().cpu()
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if values.dtype == bool:
        return values
    inside = values == 1
    other = ~(inside | (values == 0))
    if other.any():
        example = values[other].flat[0]
        raise ValueError(f"{name} must hold only 0 and 1, got {example}; of a label map pass one class: labels == c")
    return inside


def spatial_dims(value: Any, values: Array, name: str, spacing: Any, *, low: int = 1, high: int | None = None) -> int:
    """How many of an array's last axes are space: as told by the argument, or by a spacing of that length.

    Two axes are an image. Of three or more nobody can know whether the first is a batch or a depth: that is asked for.
    """
    told = None if spacing is None or single(spacing) else len(sequence(spacing) or ())
    axes = values.ndim
    if axes < low:
        raise ValueError(f"{name} must have at least {low} ax{'i' if low == 1 else 'e'}s, got {what(values)}")
    if value is not None:
        dims = whole(value, "spatial_dims")
        if told not in (None, dims):
            raise ValueError(f"spacing must have spatial_dims = {dims} numbers, got {told}")
    elif told is not None:
        dims = told
    elif axes > 2:
        raise ValueError(
            f"spatial_dims must be given where {name} has three axes or more: 2 for images (..., H, W), 3 for volumes "
            f"(..., D, H, W); or a spacing with that many numbers, got {name} of shape {tuple(values.shape)}"
        )
    else:
        dims = axes
    most = axes if high is None else min(axes, high)
    if not low <= dims <= most:
        raise ValueError(f"spatial_dims must be {low} to {most}, of the {axes} axes of {name}, got {dims}")
    return dims


def spacing(value: Any, dims: int) -> tuple[float, ...]:
    """The size of a voxel, one number for each spatial axis; one for all; or ``None`` for 1."""
    return numbers(1.0 if value is None else value, "spacing", length=dims, broadcast=True, above=0)


def labels(value: Any, name: str) -> Any:
    """Classes as whole numbers; bools are the classes 0 and 1."""
    kind = "f" if is_tensor(value) and value.is_floating_point() else getattr(value.dtype, "kind", "i")
    if kind not in "biu":
        raise ValueError(f"{name} must hold integer labels, of scores take the argmax first, got {what(value)}")
    return value


def every_row(right: Tensor, expected: str, rows: Tensor) -> None:
    """Refuse rows of which not everything is right, and show the first."""
    if not bool(right.all()):
        row = int((~right).reshape(len(rows), -1).any(1).nonzero()[0])
        found = rows[row].tolist()
        raise ValueError(f"{expected}, got {f'{found:g}' if isinstance(found, float) else found} in row {row}")


def wide(values: Tensor) -> Tensor:
    """Half precision to float32, in which what multiplies, sums or divides computes; other types as they are."""
    return values.float() if str(values.dtype) in ("torch.float16", "torch.bfloat16") else values


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """A context in which autocast does not compute in half precision."""
    import torch

    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def reduced(values: Tensor, reduction: str, keep: Tensor | None = None) -> Tensor:
    """What :func:`reduction` says, of the values to keep (0 for the others); the mean of nothing is 0."""
    if keep is not None:
        values = values.where(keep, values.new_zeros(()))
        if reduction == "mean":
            return values.sum() / keep.sum().clamp_min(1)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" and values.numel() else values.sum()


def double(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which have none wider."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def _is_kind(value: Tensor, kind: str) -> bool:
    if kind == "any":
        return True
    if value.is_floating_point():
        return kind != "whole"
    return kind != "floating-point" and not value.is_complex() and str(value.dtype) != "torch.bool"


def _kinds(letters: str) -> str:
    return "numbers" if "f" in letters else "whole numbers"


def _fits(shape: tuple[int, ...], pattern: str) -> bool:
    """Whether a shape is of the form that a pattern such as ``"(B, C, ...)"`` has."""
    first, dots, last = _axes(pattern)
    if len(shape) < len(first) + len(last) or not dots and len(shape) > len(first):
        return False
    ends = zip((*first, *last), (*shape[: len(first)], *shape[len(shape) - len(last) :]))
    return all(axis is None or axis == size for axis, size in ends)


@functools.cache
def _axes(pattern: str) -> tuple[tuple[int | None, ...], bool, tuple[int | None, ...]]:
    """A pattern's axes before its dots, whether it has dots, and those after; None: of any size."""
    if not pattern:
        return (), True, ()
    axes = [axis.strip() for axis in pattern.strip("()").split(",") if axis.strip()]
    sizes = tuple(int(axis) if axis.isdigit() else None for axis in axes)
    place = axes.index("...") if "..." in axes else len(axes)
    return sizes[:place], "..." in axes, sizes[place + 1 :]
