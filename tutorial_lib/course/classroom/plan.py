"""What to run of a student's notebook: the pieces of code that each exercise's answer needs."""

import ast
import re
from dataclasses import dataclass

from tutorial_lib.course.cells import bound_and_free, needed
from tutorial_lib.course.classroom.exercises import Exercise, check_calls, split_exercise


@dataclass
class Plan:
    """What a student's notebook consists of, and where each exercise is to be looked at.

    Attributes:
        sources: pieces of code in order.
        points: for each exercise the places where it is tried, best first: how many pieces come before, and the
            expression that gives the answer. Empty: there is no answer anywhere.
        untouched: exercises whose answer is the chapter's stub.
        covered: those among them that have an answer, before the stub that takes its place.
    """

    sources: list[str]
    points: dict[str, list[tuple[int, str]]]
    untouched: set[str]
    covered: set[str]


def make_plan(original: list[str], student: list[str], exercises: list[Exercise]) -> Plan:
    """Find out what to run of a student's notebook.

    Args:
        original, student: the code cells' texts, of the chapter and of the student's notebook.
        exercises: the chapter's.
    """
    stubs = {exercise.cell for exercise in exercises}
    known: set[str] = set()
    for index, source in enumerate(original):
        known |= {_key(source), *(map(_key, split_exercise(source) or ()) if index in stubs else ())}
    ours = [_key(source) for source in student]
    # A cell of the chapter that the student has thrown away is put back in its place: the others may need it.
    lost: dict[int, list[str]] = {}
    place = -1
    for index, source in enumerate(original):
        if _key(source) in ours:
            place = max(place, ours.index(_key(source)))
        elif index not in stubs:
            lost.setdefault(place, []).append(source)
    sources: list[str] = []
    own: list[bool] = []
    for index in range(-1, len(student)):
        cells = [(student[index], _key(student[index]) in known)] if index >= 0 else []
        for source, unchanged in [*cells, *((cell, True) for cell in lost.get(index, ()))]:
            parts = _statements(source) if unchanged else [source]
            sources += parts
            own += [not unchanged] * len(parts)
    points, untouched, covered = {}, set(), set()
    given = [bound_and_free(source)[0] if mine else set() for source, mine in zip(sources, own)]
    for exercise in exercises:
        points[exercise.exercise] = tried = _points(sources, exercise)
        if tried and all(not _depends_on(sources, own, *point) for point in tried):
            untouched.add(exercise.exercise)
            if any(exercise.name in names for names in given):
                covered.add(exercise.exercise)
    return Plan(sources, points, untouched, covered)


def _key(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _statements(source: str) -> list[str]:
    """Cut a cell into statements, and imports into names: most of a set-up cell is not needed."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [source]
    parts = []
    for node in body:
        if isinstance(node, ast.Import):
            parts += [ast.unparse(ast.Import([alias])) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts += [ast.unparse(ast.ImportFrom(node.module, [alias], node.level)) for alias in node.names]
        else:
            parts.append(ast.unparse(node))
    return parts


def _points(sources: list[str], exercise: Exercise) -> list[tuple[int, str]]:
    binds = re.compile(rf"^(def\s+|class\s+)?{re.escape(exercise.name)}\b", re.MULTILINE)
    checked, bound = None, None
    for index, source in enumerate(sources):
        calls = [expression for name, expression in check_calls(source) if name == exercise.exercise and expression]
        if calls:
            checked = index + 1, calls[-1]
        names = bound_and_free(source)[0]
        # A cell with a syntax error binds nothing; but that is where the answer was meant to be.
        if exercise.name in names or (not names and binds.search(source)):
            bound = index + 1, exercise.name
    if checked and checked[1] == exercise.name and bound and bound[0] <= checked[0]:
        return [checked]
    if checked and checked[1] == exercise.name and not bound:
        return []
    return [point for point in (checked, bound) if point]


def pieces_needed(sources: list[str], before: int, expression: str) -> list[int]:
    cells = [*sources[:before], expression]
    found = needed(cells, [before])[:-1]
    name = re.compile(rf"^(def\s+|class\s+)?{re.escape(expression)}\b", re.MULTILINE)
    broken = [
        index
        for index, source in enumerate(sources[:before])
        if not bound_and_free(source)[0] and name.search(source) and index not in found
    ]
    # The last one counts, whether or not it can be read: a student meant it to.
    last = [index for index in broken[-1:] if not found or index > max(found)]
    return sorted({*found, *last})


def _depends_on(sources: list[str], own: list[bool], before: int, expression: str) -> bool:
    """Whether an answer depends on anything that the student has written."""
    return not expression.isidentifier() or any(own[index] for index in pieces_needed(sources, before, expression))
