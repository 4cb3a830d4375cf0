"""What several of the ``tutorial`` commands share: kinds of arguments, tables that fit, and a clean end on SIGTERM."""

import argparse
import math
import os
import shutil
import signal
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

#: The width of a line where no terminal says how wide it is: in a log, a pipe, a notebook.
WIDTH = 100
#: As long as there is another way, no column is made narrower than this, and the long one not than twice as much.
NARROWEST = 10


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


def jobs(text: str) -> int | None:
    """Read how many at a time, for argparse: a whole number from 1, or ``auto``, which is ``None``.

    >>> jobs("auto"), jobs("2")
    (None, 2)
    """
    return None if text == "auto" else whole_number(text)


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


def line_width(otherwise: int = WIDTH) -> int:
    """Return how many characters fit into a line: what COLUMNS says, else the terminal.

    Args:
        otherwise: the width where neither says anything.
    """
    if found := shutil.get_terminal_size((0, 0)).columns:
        return found
    # Standard output may be a pipe to a pager on a terminal.
    for descriptor in (2, 0):
        with suppress(OSError):
            return os.get_terminal_size(descriptor).columns or otherwise
    return otherwise


def fitted(text: str, *, indent: int = 0, width: int | None = None) -> str:
    """Return a line, broken at its spaces where it is too long.

    Args:
        text: one line.
        indent: how far the following lines are moved in.
        width: how many characters fit; the terminal's width if not given.

    >>> print(fitted("one two three", indent=2, width=8))
    one two
      three
    """
    width = line_width() if width is None else width
    if len(text) <= width:
        return text
    # Nothing but the place of the breaks changes: runs of spaces are columns.
    return textwrap.fill(
        text, max(width, indent + NARROWEST), subsequent_indent=" " * indent, replace_whitespace=False, tabsize=4
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, stretch: int, width: int | None = None) -> str:
    """Return a table whose rows fit into a line: the texts of long columns are broken into several lines.

    Args:
        head: the names of the columns.
        rows: their texts.
        stretch: the column that gives way first.
        width: how many characters fit; the terminal's width if not given.

    >>> print(table(("name", "says"), [("a", "a long text that is wrapped")], stretch=1, width=28))
    name  says
    a     a long text that is
          wrapped
    """
    width = line_width() if width is None else width
    columns = list(zip(head, *rows))
    widths = [max(map(len, column)) for column in columns]
    words = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        # The long column first, then whatever can be broken between its words, then words.
        places = list(range(len(widths)))
        if widths[stretch] > max(2 * NARROWEST, words[stretch]):
            places = [stretch]
        elif loose := [place for place in places if widths[place] > max(NARROWEST, words[place])]:
            places = loose
        narrowed = max(places, key=widths.__getitem__)
        if widths[narrowed] <= 1:
            break
        widths[narrowed] -= 1
    lines = []
    for row in (head, *rows):
        cells = [textwrap.wrap(cell, space) or [""] for cell, space in zip(row, widths)]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            lines.append("  ".join(f"{part:<{space}}" for part, space in zip(parts, widths)).rstrip())
    return "\n".join(lines)


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
