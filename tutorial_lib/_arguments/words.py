"""How an error names what came, and what kind of value it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray | Tensor


def what(value: Any) -> str:
    """How an error names what came: a number by its value, a tensor or array by type and shape.

    >>> import numpy as np
    >>> what(2.5), what("x"), what(np.zeros((2, 3)))
    ('2.5', "'x'", 'float64 array (2, 3)')
    """
    numpy = sys.modules.get("numpy")
    if is_tensor(value):
        if value.ndim == 0 and is_dense(value) and value.device.type != "meta":
            return str(value.detach().item())
        if value.is_nested:
            return f"nested {value.dtype}".replace("torch.", "")
        layout = "" if is_dense(value) else f"{value.layout} ".removeprefix("torch.")
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


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_dense(value: Any) -> bool:
    return is_tensor(value) and value.layout == sys.modules["torch"].strided and not value.is_nested


def bare(value: Any) -> Any:
    """The number in a NumPy scalar, or in an array or tensor without axes; any other value as it is."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    if is_tensor(value):
        return value.detach().item() if is_dense(value) and value.device.type != "meta" else value
    numpy = sys.modules.get("numpy")
    return value if numpy is not None and isinstance(value, numpy.ma.MaskedArray) else value.item()


def refuse_masked(value: Any, name: str) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):
        for entry in value:
            refuse_masked(entry, name)
    elif isinstance(value, numpy.ma.MaskedArray):
        raise ValueError(
            f"{name} must be a plain array, since a NumPy masked array would lose its mask: fill it, as "
            f"labels.filled(255) does, and pass ignore_index=255 where that is an argument, got {what(value)}"
        )
