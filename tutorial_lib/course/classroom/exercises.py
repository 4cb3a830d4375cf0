"""The exercises of a notebook: which cells check which answers."""

import ast
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tutorial_lib.course.cells import bound_and_free
from tutorial_lib.course.clean import plain

#: What there is to say of a notebook before it is graded: a row of the table, without whose it is.
UNGRADED: dict[str, Any] = {
    "chapter": "",
    "number": None,
    "status": "ok",
    "note": "",
    "points": 0,
    "out_of": 0,
    "exercises": [],
    "seconds": 0.0,
    "peak_mib": 0.0,
}
#: Characters of a text that may be an answer.
MAX_ANSWER = 50_000
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
    return [text for cell in notebook["cells"] if cell.get("cell_type") == "code" if (text := _text(cell)) is not None]


def _text(cell: dict) -> str | None:
    lines = cell["source"]
    return "".join(lines) if all(isinstance(line, str) for line in lines) else None


def student_cells(student: dict, original: dict) -> tuple[list[str], list[str]]:
    """Return a student's code, and what there is to say of answers that no longer stand in code cells.

    An answer's cell that was turned into Markdown or raw text is taken for the code that it was: nbgrader, too, gives
    such a cell its type back, by the id that it was handed out with. Where ids were lost (Colab writes its own), it is
    a text that reads as Python and binds the name of an answer that no code cell binds. No other text is ever run.

    Args:
        student, original: JSON data of the student's notebook, and of the chapter.
    """
    handed_out = {
        cell["id"]: _text(cell) for cell in original["cells"] if cell.get("cell_type") == "code" and "id" in cell
    }
    prose = {_text(cell) for cell in original["cells"] if cell.get("cell_type") != "code"}
    codes, theirs = code_cells(original), code_cells(student)
    answers = {exercise.name: codes[exercise.cell] for exercise in find_exercises(original)}
    bound = set().union(*(bound_and_free(source)[0] for source in theirs))
    missing = {name for name in answers.keys() - bound if not any(assigns(source, name) for source in theirs)}
    found, notes = [], []
    for cell in student["cells"]:
        source = _text(cell)
        if cell.get("cell_type") == "code" and source is not None:
            found.append(source)
        elif source and len(source) < MAX_ANSWER and source not in prose:
            was, names = handed_out.get(str(cell.get("id"))), bound_and_free(source)[0]
            here = {name for name in missing if name in names or (was == answers[name] and assigns(source, name))}
            if here or (was is not None and names):
                found.append(source)
            kind = {"markdown": "Markdown"}.get(cell.get("cell_type"), plain(cell.get("cell_type"))[:20])
            for name in sorted(missing):
                if name in here:
                    notes.append(f"{name} stood in a {kind} cell, which was graded as the code that it is")
                elif was == answers[name] or assigns(source, name):
                    notes.append(f"the cell for {name} is a {kind} cell, and holds no code that can be read")
    return found, notes


def assigns(source: str, name: str) -> bool:
    """Whether a cell that is no Python was meant to bind a name.

    Args:
        source: the cell's text.
        name: the variable, function or class.

    >>> assigns("def double(x)\\n    return 2 * x", "double"), assigns("to double is to add", "double")
    (True, False)
    """
    name = re.escape(name)
    return bool(
        re.search(rf"^(?:(?:async\s+)?def|class)\s+{name}\b|^{name}\s*(?::[^=\n]*)?=(?!=)", source, re.MULTILINE)
    )


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
