"""Layers of a model by their names."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from .words import listed, what

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    Array = np.ndarray | Tensor


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
