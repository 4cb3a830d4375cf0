"""Numbers, several of them, names, texts, options."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from .words import bare, is_dense, is_tensor, refuse_masked, what

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    Array = np.ndarray | Tensor


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
    plain = bare(value)
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
    plain = bare(value)
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
    items = named_items(values, name, "number", length, broadcast, empty)
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
    items = named_items(values, name, "whole number", length, broadcast, empty)
    return tuple(whole(item, label, low=low, high=high) for label, item in items)


def single(value: Any) -> bool:
    """Whether this is one number, not several."""
    return isinstance(bare(value), Real)


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


def sequence(values: Any) -> Sequence | None:
    """The numbers of a sequence, of an array or of a tensor with one axis; None where it is none of these."""
    if isinstance(values, str | bytes):
        return None
    if is_tensor(values):
        return values.detach().tolist() if values.ndim == 1 and is_dense(values) else None
    if isinstance(values, Sequence):
        return values
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(values, "__array__"):  # arrays, a column of a table
        found = numpy.asarray(values)
        return found.tolist() if found.ndim == 1 else None
    return None


def named_items(
    values: Any, name: str, kind: str, length: int | None = None, broadcast: bool = False, empty: bool = True
) -> Collection[tuple[str, Any]]:
    """The values of a sequence, each with the name it has in an error."""
    refuse_masked(values, name)
    if broadcast and single(values):
        return [(name, values)] * (length or 1)
    found = sequence(values)
    if found is None or length is not None and len(found) != length or not empty and not len(found):
        several = f"{length} {kind}s" if length is not None else f"a sequence of {kind}s"
        also = f"one {kind}, or " if broadcast else ""
        raise ValueError(f"{name} must be {also}{several}{', at least one' * (not empty)}, got {what(values)}")
    return [(f"{name}[{place}]", item) for place, item in enumerate(found)]
