"""What several of the ``tutorial`` commands share: kinds of arguments, and a clean end on SIGTERM."""

import argparse
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM came; it ends a command as Ctrl-C does."""


def whole_number(text: str) -> int:
    """Read a whole number from 1, for argparse.

    >>> whole_number("3")
    3
    """
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return number


def positive(text: str) -> float:
    """Read a number above 0, for argparse.

    >>> positive("1.5")
    1.5
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Inside, SIGTERM raises :class:`Terminated`, so that what runs is ended in order."""

    def handler(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
