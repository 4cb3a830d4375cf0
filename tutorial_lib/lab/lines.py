"""Lines that fit a page: JupyterLab cuts a longer one in the middle of a word."""

import textwrap

#: Characters. What a page of JupyterLab holds on a laptop, with the list of files open beside it.
WIDTH = 66


def fold(text: str) -> str:
    """Break lines longer than :data:`WIDTH` between words; what comes after is indented by two more.

    >>> print(fold("a line " * 10 + chr(10) + "  short"))
    a line a line a line a line a line a line a line a line a line a
      line
      short
    """
    return "\n".join(_fold(line) for line in text.splitlines())


def _fold(line: str) -> str:
    if len(line) <= WIDTH:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    # Not at hyphens: "[-0.0104" is one number, and "F1-score" one word.
    return textwrap.fill(
        line.strip(),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
