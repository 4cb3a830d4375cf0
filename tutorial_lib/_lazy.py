"""Folders of methods whose names load the file that defines them when they are first used."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def attach(package: str, path: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` for the ``__init__.py`` of a folder.

    The names stand in ``__init__.pyi`` beside it, as ``from folder.file import name as name``: what a type checker and
    an editor read is what is there.

    Args:
        package: ``__name__`` of the folder.
        path: ``__file__`` of its ``__init__.py``.

    References:
        Scientific Python, SPEC 1: Lazy Loading of Submodules and Functions.
    """
    stub = ast.parse(Path(path).with_suffix(".pyi").read_text(encoding="utf-8"))
    file_of = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }

    def __getattr__(name: str) -> object:
        if name not in file_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(file_of[name]), name)
        setattr(sys.modules[package], name, value)  # the next time it is found without this function
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *file_of})

    return __getattr__, __dir__, sorted(file_of)
