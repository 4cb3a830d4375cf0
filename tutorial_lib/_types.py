"""What an argument of several may be, to a type checker: by what it can do, so that torch and NumPy need no import.

``_arguments`` has what is checked of it where the program runs.
"""

from collections.abc import Iterator
from typing import Protocol, SupportsFloat, SupportsIndex


class Numbers(Protocol):
    """Several numbers, to a type checker: a tuple, list, range, or an array or tensor with one axis."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> SupportsFloat: ...


class Labels(Protocol):
    """One thing a text or a row, to a type checker: of any kind, in a tuple, list, array or tensor."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> object: ...

    def __iter__(self) -> Iterator[object]: ...


class Wholes(Protocol):
    """Several whole numbers, to a type checker: a tuple, list, range, or an array or tensor with one axis."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> SupportsIndex: ...
