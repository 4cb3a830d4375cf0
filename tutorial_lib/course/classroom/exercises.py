"""The exercises of a notebook: which cells check which answers."""

import ast
import re
from contextlib import suppress
from dataclasses import dataclass

_CHECK = re.compile(r"""\bcheck\(\s*["']([\w.]+)["']\s*,\s*(\w+)\s*\)""")


@dataclass(frozen=True)
class Exercise:
    """One exercise of a chapter.

    Attributes:
        exercise: its name, ``"topic.exercise"``.
        name: the variable that holds the answer.
        cell: its place among the code cells.
    """

    exercise: str
    name: str
    cell: int


def code_cells(notebook: dict) -> list[str]:
    """Return the texts of a notebook's code cells.

    Args:
        notebook: its JSON data.
    """
    return [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell.get("cell_type") == "code" and all(isinstance(line, str) for line in cell["source"])
    ]


def check_calls(source: str) -> list[tuple[str, str]]:
    """Return the exercises that a cell checks, each with the expression that gives the answer.

    Args:
        source: the cell's text; one that is no Python is searched for calls with a plain name.

    >>> check_calls('x = 1\\ncheck("start.double", x).points')
    [('start.double', 'x')]
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _CHECK.findall(source)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "check":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                with suppress(RecursionError):
                    found.append((first.value, ast.unparse(node.args[1]) if len(node.args) > 1 else ""))
    return found


def find_exercises(notebook: dict) -> list[Exercise]:
    """Return a chapter's exercises: the checks of a variable. (A check of anything else only shows how checks work.)

    Args:
        notebook: the chapter's JSON data.
    """
    found: dict[str, Exercise] = {}
    for index, source in enumerate(code_cells(notebook)):
        for exercise, expression in check_calls(source):
            if expression.isidentifier():
                found[exercise] = Exercise(exercise, expression, index)
    return list(found.values())


def split_exercise(source: str) -> tuple[str, str] | None:
    """Cut an exercise's cell into the stub and the check that ends it.

    Args:
        source: the cell's text.

    Returns:
        Both texts, or ``None`` where the check does not stand by itself at the end.

    >>> split_exercise('x = None\\n\\ncheck("start.double", x);')
    ('x = None', 'check("start.double", x).points')
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return None
    calls = check_calls(source)
    if len(body) < 2 or len(calls) != 1 or not calls[0][1].isidentifier():
        return None
    lines = source.split("\n")
    check = "\n".join(lines[body[-1].lineno - 1 :]).rstrip().rstrip(";")
    if not isinstance(body[-1], ast.Expr) or not isinstance(body[-1].value, ast.Call) or check_calls(check) != calls:
        return None
    return "\n".join(lines[: body[-1].lineno - 1]).rstrip(), f"{check}.points"
