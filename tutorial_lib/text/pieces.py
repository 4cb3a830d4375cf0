"""A part of a text, and where it lies."""

from typing import Any, NamedTuple


class Piece(NamedTuple):
    """A part of a sequence and where it lies: ``sequence[start:end] == content``.

    Attributes:
        content: the part: a string, or a list of tokens.
        start: the place of its first element.
        end: the place behind its last.
    """

    content: Any
    start: int
    end: int


def library(name: str, purpose: str):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name.split('.')[0]} is needed {purpose}: pip install 'tutorial-lib[text]'") from error
