"""One rule for each kind of argument: what a method may be given, and what it says where it was given something else.

Every function takes the value and the argument's name, gives the value in one form (a Python number, a tuple, a dense
tensor), and raises `ValueError("<name> must be ..., got ...")`. A number may be Python's, NumPy's, or a tensor or array
without axes; a sequence of numbers a tuple, list, range, array or tensor. True and False are no numbers, and text is no
sequence.

torch and NumPy are not imported here: where neither is loaded, no value can be theirs.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
import sys
from collections.abc import Collection, Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ._types import Labels as Labels
from ._types import Numbers as Numbers
from ._types import Wholes as Wholes

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    Array = np.ndarray | Tensor

# --- Numbers and names ----------------------------------------------------------------------------------------------


def number(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    finite: bool = True,
) -> float:
    """A real number, at least ``low`` or above ``above``, at most ``high`` or below ``below``; never nan.

    >>> number("2", "alpha", low=0)
    Traceback (most recent call last):
    ValueError: alpha must be a number, finite and at least 0, got '2'
    """
    plain = _plain(value)
    good = isinstance(plain, Real) and not isinstance(plain, bool)
    try:
        result = float(plain) if good else math.nan
    except OverflowError:
        result = math.inf
    good = (
        not math.isnan(result)
        and not (finite and math.isinf(result))
        and not (low is not None and result < low)
        and not (high is not None and result > high)
        and not (above is not None and result <= above)
        and not (below is not None and result >= below)
    )
    if not good:
        expected = _span(low, high, above, below, finite) or "a number"
        if not isinstance(plain, Real) or isinstance(plain, bool):
            expected = {"a number": "a number", "finite": "a finite number"}.get(expected, f"a number, {expected}")
        raise ValueError(f"{name} must be {expected}, got {what(value)}")
    return result


def whole(value: Any, name: str, *, low: int | None = None, high: int | None = None) -> int:
    """A whole number of a whole type: 2.0 is refused, since 2.5 would be.

    >>> whole(2.0, "batch_size", low=1)
    Traceback (most recent call last):
    ValueError: batch_size must be a whole number of at least 1, got 2.0
    """
    plain = _plain(value)
    good = isinstance(plain, Integral) and not isinstance(plain, bool)
    result = int(plain) if good else 0
    if not good or (low is not None and result < low) or (high is not None and result > high):
        if low is not None and high is not None:
            span = f" from {low} to {high}"
        else:
            span = f" of at least {low}" if low is not None else f" of at most {high}" if high is not None else ""
        raise ValueError(f"{name} must be a whole number{span}, got {what(value)}")
    return result


def numbers(
    values: Any,
    name: str,
    *,
    length: int | None = None,
    broadcast: bool = False,
    empty: bool = True,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> tuple[float, ...]:
    """Numbers, each as :func:`number` takes it; ``broadcast``: a single one stands for ``length`` of them.

    >>> numbers(range(3), "weights", length=3), numbers(2, "spacing", length=2, broadcast=True)
    ((0.0, 1.0, 2.0), (2.0, 2.0))
    """
    items = _items(values, name, "number", length, broadcast, empty)
    return tuple(number(item, label, low=low, high=high, above=above) for label, item in items)


def wholes(
    values: Any,
    name: str,
    *,
    length: int | None = None,
    broadcast: bool = False,
    empty: bool = True,
    low: int | None = None,
    high: int | None = None,
) -> tuple[int, ...]:
    """Whole numbers, each as :func:`whole` takes it; ``broadcast``: a single one stands for ``length`` of them."""
    items = _items(values, name, "whole number", length, broadcast, empty)
    return tuple(whole(item, label, low=low, high=high) for label, item in items)


def choice(value: Any, name: str, options: Sequence[str | None]) -> Any:
    """One of a few names (or ``None``, where that is an option).

    >>> choice("max", "reduction", ("mean", "sum"))
    Traceback (most recent call last):
    ValueError: reduction must be 'mean' or 'sum', got 'max'
    """
    if (value is None or isinstance(value, str)) and value in options:
        return value
    *first, last = [repr(option) for option in options]
    raise ValueError(f"{name} must be {', '.join(first)}{' or ' if first else ''}{last}, got {what(value)}")


def string(value: Any, name: str = "text") -> str:
    """One text.

    >>> string(float("nan"))
    Traceback (most recent call last):
    ValueError: text must be a string, got nan (float)
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {what(value)} ({type(value).__name__})")
    return value


def strings(values: Any, name: str) -> tuple[str, ...]:
    """Texts. A single one is refused: it would fall into its characters.

    >>> strings("ab", "terms")
    Traceback (most recent call last):
    ValueError: terms must be several strings, such as ['ab'], got 'ab'
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        example = f", such as [{values!r}]" if isinstance(values, str) and len(values) < 40 else ""
        raise ValueError(f"{name} must be several strings{example}, got {what(values)}")
    found = tuple(values)
    for place, value in enumerate(found):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be strings, got {what(value)} at place {place}")
    return tuple(str(value) for value in found)


def reduction(value: Any) -> str:
    """What a loss does with its terms."""
    return choice(value, "reduction", ("none", "mean", "sum"))


def generator(value: Any) -> torch.Generator | None:
    """A source of randomness, or ``None`` for torch's global one."""
    torch = sys.modules.get("torch")
    if value is None or torch is not None and isinstance(value, torch.Generator):
        return value
    raise ValueError(f"generator must be a torch.Generator or None, got {what(value)}")


# --- Arrays ---------------------------------------------------------------------------------------------------------


def tensor(value: Any, name: str, shape: str = "", *, kind: str = "real") -> Tensor:
    """A dense tensor of a kind (``"floating-point"``, ``"whole"``, ``"real"``: both, or ``"any"``) and a shape.

    The shape is written as in the docstrings: ``"(B, C, ...)"``, ``"(K, 4)"``, ``"(..., 4)"``. Numbers in it must
    agree, letters stand for any size, dots for any number of axes; no shape, any.
    """
    is_tensor, dense = _is_tensor(value), _is_dense(value)
    if dense and _is_kind(value, kind) and _fits(tuple(value.shape), shape):
        return value
    expected = {"floating-point": "floating-point", "whole": "of whole numbers", "real": "of real numbers", "any": ""}[
        kind
    ]
    if not is_tensor or not dense or kind != "floating-point":
        expected = f"a dense tensor, {expected}" if is_tensor and not dense else f"a tensor, {expected}"
        expected = expected.removesuffix(", ")
    raise ValueError(f"{name} must be {expected}{' ' * bool(shape)}{shape}, got {what(value)}")


def array(value: Any, name: str, *, kinds: str = "buif") -> Array:
    """A dense tensor, or an array in the machine's byte order of anything that NumPy can make one of.

    ``kinds`` are NumPy's letters for bool, unsigned, signed, floating-point, complex. A masked array is refused: its
    mask would be lost on the way.
    """
    if _is_tensor(value):
        if not _is_dense(value):
            raise ValueError(f"{name} must be a dense tensor, got {what(value)}")
        letter = "c" if value.is_complex() else "f" if value.is_floating_point() else "i"
        if str(value.dtype) == "torch.bool":
            letter = "b"
        if letter not in kinds:
            raise ValueError(f"{name} must hold {_kinds(kinds)}, got {what(value)}")
        return value
    import numpy as np

    _refuse_masked(value, name)
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
    if _is_tensor(pred) != _is_tensor(target):
        raise ValueError(
            f"{first} and {second} must both be torch tensors or both NumPy arrays, got {type(pred).__name__} and "
            f"{type(target).__name__}"
        )
    pred, target = array(pred, first), array(target, second)
    if pred.shape != target.shape:
        shapes = f"{tuple(pred.shape)} and {tuple(target.shape)}"
        raise ValueError(f"{first} and {second} must have the same shape, got {shapes}")
    if _is_tensor(pred) and pred.device != target.device:
        raise ValueError(f"{first} and {second} must be on the same device, got {pred.device} and {target.device}")
    return pred, target


def same_shape(value: Tensor, name: str, other: Tensor, other_name: str) -> Tensor:
    """A tensor of the shape of another."""
    if not _is_tensor(value) or value.shape != other.shape:
        raise ValueError(f"{name} must have the shape of {other_name}, {tuple(other.shape)}, got {what(value)}")
    return value


def unit(value: Tensor, name: str, *, nan: bool = False) -> Tensor:
    """A dense tensor of bits or of numbers from 0 to 1; ``nan``: what a network gives may be nan, and is passed on.

    >>> import torch
    >>> unit(torch.tensor([0.0, 255.0]), "probability")
    Traceback (most recent call last):
    ValueError: probability must be in [0, 1], got 255
    """
    if _is_dense(value) and str(value.dtype) == "torch.bool":
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
    told = None if spacing is None or single(spacing) else len(_sequence(spacing) or ())
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
    kind = "f" if _is_tensor(value) and value.is_floating_point() else getattr(value.dtype, "kind", "i")
    if kind not in "biu":
        raise ValueError(f"{name} must hold integer labels, of scores take the argmax first, got {what(value)}")
    return value


def boxes(value: Any, name: str, shape: str = "(..., 4)") -> Tensor:
    """Corners (x1, y1, x2, y2) as a floating-point tensor."""
    return tensor(value, name, shape, kind="floating-point")


def rois(value: Any, features: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Of either form of RoIs, the image's number (K,) and the scaled corners (K, 4), wide enough to be computed with.

    The forms: (K, 5) with the image's number first; or a list of one tensor (K_i, 4) for each of N images.
    """
    import torch

    images, computed = len(features), wide(features[:0]).dtype
    if _is_tensor(value):
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


def every_row(right: Tensor, expected: str, rows: Tensor) -> None:
    """Refuse rows of which not everything is right, and show the first."""
    if not bool(right.all()):
        row = int((~right).reshape(len(rows), -1).any(1).nonzero()[0])
        found = rows[row].tolist()
        raise ValueError(f"{expected}, got {f'{found:g}' if isinstance(found, float) else found} in row {row}")


def class_counts(value: Any) -> Tensor:
    """Training samples of each class, each at least 1, as (C,) :func:`double` numbers on the counts' device."""
    import torch

    name = "class_counts"
    if isinstance(value, torch.Tensor):
        counts = tensor(value, name).detach().to(double(value.device))
    else:
        device = torch.get_default_device()
        given = [] if _sequence(value) is None else [_count(item) for _, item in _items(value, name, "number")]
        counts = torch.tensor(given, dtype=double(device), device=device)
    if counts.ndim != 1 or not len(counts):
        raise ValueError(f"{name} must be (C,), one number a class, got {what(value)}")
    wrong = ~((counts >= 1) & counts.isfinite())
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        found = (
            f"{counts[index].item():g}"
            if isinstance(value, torch.Tensor)
            else what(list(_sequence(value) or ())[index])
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
        given = [] if _sequence(value) is None else [_count(item) for _, item in _items(value, name, "number")]
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
    if soft and _is_dense(target) and target.is_floating_point():
        if target.shape != logits.shape:
            expected = tuple(logits.shape)
            raise ValueError(f"soft target must have the shape of logits, {expected}, got {what(target)}")
        unit(target, "target")
        return wide(logits), False
    if not _is_dense(target) or str(target.dtype) != "torch.int64" or target.shape != shape:
        also = f", or soft {tuple(logits.shape)}" if soft else ""
        raise ValueError(f"target must be int64 class indices {shape}{also}, got {what(target)}")
    if target.numel():
        low, high = (int(end) for end in target.aminmax())
        if low < 0 or high >= classes:
            raise ValueError(f"target must hold classes from 0 to {classes - 1}, got {low if low < 0 else high}")
    return wide(logits), True


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
        if not _is_dense(values) or values.ndim == 0:
            raise ValueError(f"{name} must be a dense tensor {expected}, got {what(values)}")
    if len({len(values) for values in named.values()}) > 1:
        shapes = ", ".join(map(what, named.values()))
        raise ValueError(f"{' and '.join(named)} must have the same number of rows, got {shapes}")
    for name, values in named.items():
        if values.shape[1:] != logits.shape[1:] or len(values) > len(logits):
            raise ValueError(f"{name} must be {expected}, got {what(values)}")


def wide(values: Tensor) -> Tensor:
    """Half precision to float32, in which what multiplies, sums or divides computes; other types as they are."""
    return values.float() if str(values.dtype) in ("torch.float16", "torch.bfloat16") else values


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """A context in which autocast does not compute in half precision."""
    import torch

    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def reduced(values: Tensor, reduction: str) -> Tensor:
    """What :func:`reduction` says; the mean of nothing is 0."""
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" and values.numel() else values.sum()


def double(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which have none wider."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


# --- Models ---------------------------------------------------------------------------------------------------------


def modules(value: Any, name: str) -> dict[str, nn.Module]:
    """The layers of a ``torch.nn.Module`` by name, under each of its names where a layer has several."""
    from torch import nn

    if not isinstance(value, nn.Module):
        raise ValueError(f"{name} must be a torch.nn.Module, got {what(value)}")
    return dict(value.named_modules(remove_duplicate=False))


def module(modules: dict[str, nn.Module], value: str, name: str) -> nn.Module:
    """The layer of a name, among those of :func:`modules`.

    >>> module({"": None, "conv1": None, "conv2": None}, "conv", "layers")
    Traceback (most recent call last):
    ValueError: layers: the model has no submodule 'conv'; it has, nearest first: 'conv2', 'conv1', ''
    """
    if value not in modules:
        nearest = difflib.get_close_matches(value, modules, n=len(modules), cutoff=0.0)
        raise ValueError(f"{name}: the model has no submodule {value!r}; it has, nearest first: {listed(nearest)}")
    return modules[value]


# --- How things are named -------------------------------------------------------------------------------------------


def what(value: Any) -> str:
    """How an error names what came: a number by its value, a tensor or array by type and shape.

    >>> import numpy as np
    >>> what(2.5), what("x"), what(np.zeros((2, 3)))
    ('2.5', "'x'", 'float64 array (2, 3)')
    """
    numpy = sys.modules.get("numpy")
    if _is_tensor(value):
        if value.ndim == 0 and _is_dense(value) and value.device.type != "meta":
            return str(value.detach().item())
        if value.is_nested:
            return f"nested {value.dtype}".replace("torch.", "")
        layout = "" if _is_dense(value) else f"{value.layout} ".removeprefix("torch.")
        return f"{layout}{value.dtype} {tuple(value.shape)}".replace("torch.", "")
    if numpy is not None and isinstance(value, numpy.ndarray):
        if isinstance(value, numpy.ma.MaskedArray):
            return f"masked {value.dtype} array {value.shape}"
        return f"{value.dtype.newbyteorder('=')} array {value.shape}" if value.ndim else str(value.item())
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, Real | complex):
        return str(value)
    if value is None or isinstance(value, str | bytes | range):
        text = repr(value)
    elif isinstance(value, tuple | list):
        text = f"{'(['[isinstance(value, list)]}{', '.join(map(what, value[:20]))}"
        text += ", ..." * (len(value) > 20) + "," * (len(value) == 1 and isinstance(value, tuple))
        text += ")]"[isinstance(value, list)]
    else:
        return type(value).__name__
    return text if len(text) <= 120 else f"{text[:100]} ... ({type(value).__name__} of length {len(value)})"


def listed(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas."""
    return ", ".join(repr(name) for name in names)


# --- Parts ----------------------------------------------------------------------------------------------------------


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_dense(value: Any) -> bool:
    return _is_tensor(value) and value.layout == sys.modules["torch"].strided and not value.is_nested


def _is_kind(value: Tensor, kind: str) -> bool:
    if kind == "any":
        return True
    if value.is_floating_point():
        return kind != "whole"
    return kind != "floating-point" and not value.is_complex() and str(value.dtype) != "torch.bool"


def _plain(value: Any) -> Any:
    """The number in a NumPy scalar, or in an array or tensor without axes; any other value as it is."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    if _is_tensor(value):
        return value.detach().item() if _is_dense(value) and value.device.type != "meta" else value
    numpy = sys.modules.get("numpy")
    return value if numpy is not None and isinstance(value, numpy.ma.MaskedArray) else value.item()


def _span(low, high, above, below, finite: bool) -> str:
    lower, upper = low if above is None else above, high if below is None else below
    if lower is not None and upper is not None:
        return f"in {'[('[above is not None]}{lower:g}, {upper:g}{'])'[below is not None]}"
    sides = ["finite"] * finite
    if lower is not None:
        sides.append(f"{'at least' if above is None else 'above'} {lower:g}")
    if upper is not None:
        sides.append(f"{'at most' if below is None else 'below'} {upper:g}")
    return " and ".join(sides)


def single(value: Any) -> bool:
    """Whether this is one number, not several."""
    return isinstance(_plain(value), Real)


def _sequence(values: Any) -> Sequence | None:
    """The numbers of a sequence, of an array or of a tensor with one axis; None where it is none of these."""
    if isinstance(values, str | bytes):
        return None
    if _is_tensor(values):
        return values.detach().tolist() if values.ndim == 1 and _is_dense(values) else None
    if isinstance(values, Sequence):
        return values
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(values, "__array__"):  # arrays, a column of a table
        found = numpy.asarray(values)
        return found.tolist() if found.ndim == 1 else None
    return None


def _items(
    values: Any, name: str, kind: str, length: int | None = None, broadcast: bool = False, empty: bool = True
) -> Collection[tuple[str, Any]]:
    """The values of a sequence, each with the name it has in an error."""
    _refuse_masked(values, name)
    if broadcast and single(values):
        return [(name, values)] * (length or 1)
    found = _sequence(values)
    if found is None or length is not None and len(found) != length or not empty and not len(found):
        several = f"{length} {kind}s" if length is not None else f"a sequence of {kind}s"
        also = f"one {kind}, or " if broadcast else ""
        raise ValueError(f"{name} must be {also}{several}{', at least one' * (not empty)}, got {what(values)}")
    return [(f"{name}[{place}]", item) for place, item in enumerate(found)]


def _beside(value: Tensor, name: str, features: Tensor) -> Tensor:
    if value.device != features.device:
        raise ValueError(f"{name} must be on the features' device {features.device}, got {value.device}")
    return value


def _count(value: Any) -> float:
    """A number, or nan, which the caller names with its place."""
    plain = _plain(value)
    return float(plain) if isinstance(plain, Real) and not isinstance(plain, bool) else math.nan


def _refuse_masked(value: Any, name: str) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):
        for entry in value:
            _refuse_masked(entry, name)
    elif isinstance(value, numpy.ma.MaskedArray):
        raise ValueError(
            f"{name} must be a plain array, since a NumPy masked array would lose its mask: fill it, as "
            f"labels.filled(255) does, and pass ignore_index=255 where that is an argument, got {what(value)}"
        )


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
