"""The core path of a chapter: what a first reading needs. Headings marked *(deeper)* begin what can wait."""

import re
from typing import NamedTuple

DEEPER = re.compile(r"\*\(deeper\)\*\s*$")
#: Sections that are no reading: they belong to no path.
_APART = re.compile(r"^#+ (\d+\. )?(Exercises|References)\b")
_HEADING = re.compile(r"(?m)^(?=#{1,6} )")
_NOT_PROSE = re.compile(r"(?ms)^\|.*?$|\$\$.*?\$\$|^```.*?^```")


class CorePath(NamedTuple):
    """How much a first reading is: words of prose, and code cells that are not folded away."""

    words: int
    cells: int


def is_folded(metadata: dict) -> bool:
    """Whether a code cell of this metadata hides its source until the reader asks for it."""
    return bool(metadata.get("jupyter", {}).get("source_hidden"))


def places(notebook: dict) -> list[tuple[str, bool, str]]:
    """For each cell, or part of a text cell under its own heading: its text, whether it is code, and where it belongs.

    Args:
        notebook: as nbformat reads it, or as it is on disk.

    Returns:
        (text, is it code, ``"core"``, ``"deeper"`` or ``"apart"``), in order. Code that is folded, or that sets
        parameters, is left out.
    """
    found: list[tuple[str, bool, str]] = []
    where, below = "core", 7  # until a heading of this level or a higher one
    for cell in notebook["cells"]:
        source = "".join(cell["source"])  # a string, or on disk a list of lines
        if cell["cell_type"] == "code":
            if not is_folded(cell["metadata"]) and "parameters" not in cell["metadata"].get("tags", []):
                found.append((source, True, where))
            continue
        for part in _HEADING.split(source):
            heading = part.partition("\n")[0]
            level = len(heading) - len(heading.lstrip("#"))
            if level and level <= below:
                where, below = "core", 7
            if level and where == "core" and (_APART.match(heading) or DEEPER.search(heading)):
                where, below = "apart" if _APART.match(heading) else "deeper", level
            found.append((part, False, where))
    return found


def core_path(notebook: dict) -> CorePath:
    """Count what a first reading of a chapter is. Tables, displayed formulas and blocks of code are no prose.

    >>> texts = ["# 01 · A", "one two", "## 1. B *(deeper)*", "three", "### C", "four", "## 2. Exercises", "five"]
    >>> core_path({"cells": [{"cell_type": "markdown", "metadata": {}, "source": text} for text in texts]})
    CorePath(words=6, cells=0)
    """
    core = [(text, code) for text, code, where in places(notebook) if where == "core"]
    words = sum(len(_NOT_PROSE.sub(" ", text).split()) for text, code in core if not code)
    return CorePath(words, sum(code for _, code in core))
