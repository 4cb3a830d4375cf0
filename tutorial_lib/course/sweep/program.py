"""The part of a chapter that its experiment needs, cut out of the notebook."""

import ast
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tutorial_lib.course.catalogue import Chapter, CourseError
from tutorial_lib.course.cells import needed


@dataclass(frozen=True)
class Program:
    """The part of a chapter that its experiment needs.

    Attributes:
        chapter: the chapter's name.
        experiment: the variable that the experiment's cell assigns, or the cell's id.
        folder: where the notebook lies.
        sources: the cells, in order; the last one is the experiment's.
        numbers: which code cells of the chapter they are, from 1.
        parameters: the place of the parameters cell among them, or ``None``.
    """

    chapter: str
    experiment: str
    folder: str
    sources: tuple[str, ...] = field(repr=False)
    numbers: tuple[int, ...]
    parameters: int | None

    def key(self) -> str:
        """Return the hash of what would be executed."""
        return hashlib.sha256(json.dumps([self.sources, self.parameters]).encode()).hexdigest()

    def meaning(self) -> str:
        """Return the hash of what the experiment computes, by which stored evidence is known to be still its own.

        It covers the syntax of every statement that ``run`` and its fixed settings depend on. It is blind to comments,
        docstrings and layout; to statements of the same cells on which nothing depends (plots, prints); to the methods
        and seeds that the chapter itself runs; and to the module of this package that a name is imported from, so that
        a house can be re-laid. A value, a name or an operation that changes makes another hash.
        """
        statements = [statement for source in self.sources[:-1] for statement in _statements(source)]
        for statement in _statements(self.sources[-1]):
            # `table = compare(run, methods, seeds, size=8)`: what is run, and how large; not how often.
            calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call) and _is_compare(node)]
            for call in calls if calls_compare(statement) else ():
                call.args = call.args[:1]
                call.keywords = [one for one in call.keywords if one.arg not in ("methods", "seeds", "progress")]
            statements.append(statement)
        texts = [ast.unparse(statement) for statement in statements]
        kept = needed(texts, [place for place, one in enumerate(statements) if calls_compare(one)])
        names = {node.id for place in kept for node in ast.walk(statements[place]) if isinstance(node, ast.Name)}
        parts = [_plain(statements[place], names) for place in kept]
        return hashlib.sha256(json.dumps([part for part in parts if part]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Point:
    """One run of an experiment.

    Attributes:
        base: the set of parameters, by the name under which the job holds it.
        call: which call of ``compare``.
        method: its place among the call's methods.
        seed: the seed.
        settings: those that differ from the call's own.
    """

    base: str
    call: int
    method: int
    seed: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What a worker needs to know of a sweep, besides the point.

    Attributes:
        id: unlike any other sweep's.
        source: the hash of the client's package.
        timeout: seconds for one run.
        threads: for one run; ``None``: what the worker's environment says.
        program: what it loads.
        sets: the parameters that differ from the chapter's own, by the name of the set.
    """

    id: str
    source: str
    timeout: float
    threads: int | None
    program: Program
    sets: dict[str, dict[str, Any]]


def read_program(chapter: Chapter, experiment: str | None = None) -> Program:
    """Cut a chapter's experiment out of its notebook.

    The experiment is the code cell tagged ``experiment``, else the first that calls ``compare`` at its top level.

    Args:
        chapter: the notebook.
        experiment: the variable that another such cell assigns, or its id.

    Raises:
        CourseError: if there is no experiment, or none of that name; it lists those that there are.
    """
    cells = [cell for cell in chapter.notebook()["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    tags = [cell.get("metadata", {}).get("tags") or [] for cell in cells]
    found: dict[str, int] = {}
    for index, source in enumerate(sources):
        name = _compared(source)
        if name is not None or "experiment" in tags[index]:
            found.setdefault(name or cells[index].get("id") or f"cell {index + 1}", index)
    if not found:
        raise CourseError(
            f"chapter {chapter.name} has no experiment to sweep: no cell calls compare(run, methods, seeds)"
        )
    if experiment is not None and experiment not in found:
        raise CourseError(f"chapter {chapter.name} has no experiment {experiment!r}; it has {', '.join(found)}")
    tagged = [name for name, index in found.items() if "experiment" in tags[index]]
    experiment = experiment or (tagged or list(found))[0]
    wanted = [found[experiment]]
    parameters = next((index for index, tag in enumerate(tags) if "parameters" in tag), None)
    if parameters is not None and parameters < wanted[0]:
        wanted.append(parameters)
    slice_ = needed(sources, wanted)
    return Program(
        chapter.name,
        experiment,
        str(chapter.path.resolve().parent),
        tuple(sources[i] for i in slice_),
        tuple(i + 1 for i in slice_),
        slice_.index(parameters) if parameters in slice_ else None,
    )


def _compared(source: str) -> str | None:
    """Return the variable that gets what ``compare`` gives ("" for none), or None where it is not called."""
    found = None
    for statement in filter(calls_compare, _statements(source)):
        found = ""
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and calls_compare(node):
                return node.targets[0].id
    return found


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(as_python(source)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def as_python(source: str) -> str:
    """Return a cell as Python: as it is, or with its magics turned into calls that our shell ignores."""
    try:
        ast.parse(source)
        return source
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(source)


def calls_compare(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return False
    if _is_compare(node):
        return True
    return any(map(calls_compare, ast.iter_child_nodes(node)))


def _is_compare(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)) == "compare"


def _plain(node: Any, names: set[str]) -> Any:
    """Return syntax as lists and texts that do not change with the version of Python.

    Args:
        node: of the syntax tree.
        names: what is read anywhere; an import of anything else is left out.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = f"{getattr(node, 'module', None) or ''}."
        module = "tutorial_lib." if module.startswith("tutorial_lib.") else module
        bound = [(alias.asname or alias.name.split(".")[0], module + alias.name) for alias in node.names]
        return [list(pair) for pair in sorted(bound) if pair[0] in names]
    if isinstance(node, list):
        return [_plain(one, names) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    # Newer versions of Python have more fields, all of them empty here; and tell what is loaded from what is stored.
    return [type(node).__name__, *([name, _plain(value, names)] for name, value in fields.items() if name != "ctx")]
