"""The course's chapters: where they lie, what they ask, and which parameters they take.

A chapter is ``notebooks/NN_topic.ipynb``. Its notebook metadata holds ``{"tutorial": {"number": 1, "title": …,
"question": …}}``; its parameters are the assignments in the code cell tagged ``parameters``.
"""

import ast
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CHAPTER_FILE = re.compile(r"^\d\d_\w+\.ipynb$")
_CELL_TYPES = ("code", "markdown", "raw")
_BOOLEANS = {"true": True, "false": False}


class CourseError(Exception):
    """A request that cannot be met; its text is one line for the reader, and the command ends with status 2."""


@dataclass(frozen=True)
class Parameter:
    """One assignment of a chapter's parameters cell.

    Attributes:
        name: the variable.
        default: its value in the notebook; ``None`` where that is no literal.
        kind: ``bool``, ``int``, ``float``, ``str``, ``list``, ``tuple``, ``dict`` or ``any``.
    """

    name: str
    default: Any
    kind: str

    def __str__(self) -> str:
        return f"{self.name} = {self.default!r} ({self.kind})" if self.kind != "any" else f"{self.name} (any)"


@dataclass(frozen=True)
class Chapter:
    """A notebook that can be run.

    Attributes:
        name: the file's stem, such as ``01_mixup``; for a notebook of another folder ``folder.stem``.
        path: the notebook file.
        text: its content when it was read; what is run is exactly this.
        number: its place in the course, or ``None``.
        title, question: from its metadata; the title falls back to the first heading.
        kernel: the kernel it asks for.
        parameters: by name.
    """

    name: str
    path: Path
    text: str = field(repr=False)
    number: int | None
    title: str
    question: str
    kernel: str
    parameters: dict[str, Parameter] = field(repr=False)

    def notebook(self) -> dict:
        """Return the notebook as plain JSON data."""
        return json.loads(self.text)


def find_notebooks(start: str | Path | None = None) -> Path:
    """Return the folder of chapters: the nearest ``notebooks/`` from ``start`` upwards, else the package's own.

    Args:
        start: where to look first; the current folder if not given.

    Raises:
        CourseError: if there is none.
    """
    start = Path(start or Path.cwd()).resolve()
    roots = [start, *start.parents, Path(__file__).resolve().parents[2]]
    for root in roots:
        folder = root / "notebooks"
        if folder.is_dir() and any(_CHAPTER_FILE.match(path.name) for path in folder.glob("*.ipynb")):
            return folder
    raise CourseError(f"no notebooks/ folder with chapters in {start} or above it; name one with --notebooks DIR")


def chapter_files(folder: str | Path) -> list[Path]:
    """Return the chapter files ``NN_topic.ipynb`` of a folder, in the course's order.

    Args:
        folder: the folder of chapters; its subfolders (``solutions/``) are not chapters.

    Raises:
        CourseError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CourseError(f"no folder of notebooks at {folder}")
    return sorted(path for path in folder.glob("*.ipynb") if _CHAPTER_FILE.match(path.name))


def read_chapter(path: str | Path, *, name: str | None = None, mend: bool = False) -> Chapter:
    """Read one notebook file.

    Args:
        path: the notebook.
        name: the chapter's name; the file's stem if not given.
        mend: fill in what other programs leave out and nobody misses who only wants the code: metadata, types and texts
            of cells that have none.

    Raises:
        CourseError: if it cannot be read, is not valid JSON, or is not a notebook of format 4.
    """
    path = Path(path)
    try:
        text = read_text(path)
        notebook = json.loads(text)
    except OSError as error:
        raise CourseError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not a notebook: it is not UTF-8 text") from None
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" (line {error.lineno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise CourseError(f"{path} is not a notebook: it is not valid JSON{where}") from None
    if mend and isinstance(notebook, dict):
        text = json.dumps(_mended(notebook))
    fault = _fault(notebook)
    if fault:
        raise CourseError(f"{path} is not a notebook{fault}")
    cells, metadata = notebook["cells"], notebook["metadata"]
    about = _mapping(metadata.get("tutorial"))
    number = about.get("number")
    return Chapter(
        name=name or path.stem,
        path=path,
        text=text,
        number=number if isinstance(number, int) else None,
        title=str(about.get("title") or _first_heading(cells) or path.stem),
        question=str(about.get("question") or ""),
        kernel=str(_mapping(metadata.get("kernelspec")).get("name") or "python3"),
        parameters=_read_parameters(cells),
    )


def read_text(path: str | Path) -> str:
    """Return the text of a notebook file, without the byte-order mark that some editors put before it.

    Args:
        path: the file.
    """
    return Path(path).read_text(encoding="utf-8-sig")


def _mended(notebook: dict) -> dict:
    cells = notebook.get("cells")
    for holder in (notebook, *(cell for cell in (cells if isinstance(cells, list) else ()) if isinstance(cell, dict))):
        if not isinstance(holder.get("metadata"), dict):
            holder["metadata"] = {}
        if holder is not notebook:
            if holder.get("cell_type") not in _CELL_TYPES:
                holder["cell_type"] = "raw"
            source = holder.get("source")
            if not isinstance(source, str | list) or not all(isinstance(line, str) for line in source):
                holder["source"] = ""
    return notebook


def _fault(notebook: Any) -> str:
    """Return what a notebook lacks of what every command reads, to follow "is not a notebook"; empty if nothing."""
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4:
        found = notebook.get("nbformat") if isinstance(notebook, dict) else type(notebook).__name__
        return f" of format 4 (found: {found!r})"
    if not isinstance(notebook.get("nbformat_minor", 0), int):
        return f": its nbformat_minor must be a whole number, got {notebook['nbformat_minor']!r}"
    if not isinstance(notebook.get("cells"), list):
        return ": it has no list of cells"
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict):
            return f": cell {number} is no cell but {type(cell).__name__}"
        source = cell.get("source")
        if not isinstance(source, str | list) or not all(isinstance(line, str) for line in source):
            return f": it holds a cell without a source (cell {number})"
        if cell.get("cell_type") not in _CELL_TYPES:
            return f": cell {number} is of no known type (found: {cell.get('cell_type')!r})"
        if not isinstance(cell.get("metadata", {}), dict):
            return f": the metadata of cell {number} must be an object, got {type(cell['metadata']).__name__}"
    if not isinstance(notebook.get("metadata"), dict):
        return ': it has no metadata; add "metadata": {} beside its cells'
    return ""


def select(names: Sequence[str], folder: str | Path) -> list[Chapter]:
    """Read the chapters that ``names`` mean; no name means all.

    A chapter may be given as ``01``, ``1``, ``01_mixup``, ``mixup`` or as the path of any notebook.

    Args:
        names: what the reader typed.
        folder: the folder of chapters.

    Returns:
        The chapters in the course's order, each once.

    Raises:
        CourseError: for an unknown name (with the nearest known one) or an unreadable notebook.
    """
    files = chapter_files(folder)
    if not names:
        if not files:
            raise CourseError(f"no chapters (files like 01_topic.ipynb) in {folder}")
        return [read_chapter(path) for path in files]
    chosen: dict[Path, str] = {}
    for name in names:
        path = _find(name, files)
        inside = path.parent.resolve() == Path(folder).resolve()
        chosen[path.resolve()] = path.stem if inside else f"{path.resolve().parent.name}.{path.stem}"
    return [read_chapter(path, name=name) for path, name in sorted(chosen.items(), key=lambda item: item[1])]


def parse_parameters(chapter: Chapter, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Turn the texts typed after ``-p`` into typed values, held against the chapter's parameters cell.

    ``true`` and ``false`` in any case are booleans; a whole number is accepted where a float is the default.
    A value equal to the default is left out: it changes nothing.

    Args:
        chapter: whose parameters.
        given: pairs of name and text.

    Raises:
        CourseError: for an unknown name or a value of the wrong type; it lists what the chapter takes.
    """
    values = {}
    for name, text in given:
        known = chapter.parameters.get(name)
        takes = "it takes " + (", ".join(map(str, chapter.parameters.values())) or "none")
        if known is None:
            near = difflib.get_close_matches(name.upper(), chapter.parameters, n=1)
            hint = f"; did you mean {near[0]}?" if near else ";"
            raise CourseError(f"chapter {chapter.name} has no parameter {name!r}{hint} {takes}")
        try:
            value = parse_value(text, known.kind)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise CourseError(
                f"parameter {name} of chapter {chapter.name} is of type {known.kind}, got {text!r}; {takes}"
            ) from None
        values[name] = value
    return {
        name: value
        for name, value in values.items()
        if chapter.parameters[name].kind == "any" or value != chapter.parameters[name].default
    }


def parse_value(text: str, kind: str) -> Any:
    """Turn what was typed into a value of a parameter's kind.

    Raises:
        ValueError, SyntaxError: if it is none.

    >>> parse_value("0.5", "float")
    0.5
    """
    if kind == "str":
        return text
    if kind == "bool":
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    if kind in ("int", "float"):
        return {"int": int, "float": float}[kind](text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if kind == "any":
            return text
        raise
    if kind != "any" and type(value).__name__ != kind:
        raise ValueError(text)
    return value


def _read_parameters(cells: list[dict]) -> dict[str, Parameter]:
    tagged = (
        cell
        for cell in cells
        if cell.get("cell_type") == "code" and "parameters" in (_mapping(cell.get("metadata")).get("tags") or [])
    )
    cell = next(tagged, None)
    if cell is None:
        return {}
    try:
        body = ast.parse("".join(cell["source"])).body
    except (SyntaxError, ValueError):
        return {}
    found = {}
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and node.value is not None:
                found[target.id] = _parameter(target.id, node.value)
    return found


def _parameter(name: str, value: ast.expr) -> Parameter:
    try:
        default = ast.literal_eval(value)
    except ValueError:
        return Parameter(name, None, "any")
    kind = type(default).__name__
    if kind not in ("bool", "int", "float", "str", "list", "tuple", "dict"):
        return Parameter(name, default, "any")
    return Parameter(name, default, kind)


def _find(name: str, files: list[Path]) -> Path:
    if name.endswith(".ipynb") or "/" in name or "\\" in name:
        path = Path(name)
        if not path.is_file():
            raise CourseError(f"no notebook at {name}")
        return path
    known: dict[str, Path] = {}
    for path in files:
        number, _, topic = path.stem.partition("_")
        for alias in (number, str(int(number)), topic, path.stem):
            known.setdefault(alias, path)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {known[near[0]].stem}? " if near else ""
    stems = ", ".join(path.stem for path in files) or "none"
    raise CourseError(f"no chapter {name!r}; {hint}the chapters are: {stems}")


def _first_heading(cells: list[dict]) -> str:
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            match = re.search(r"^#\s+(.+)$", "".join(cell["source"]), re.MULTILINE)
            if match:
                return match[1].strip()
    return ""


def _mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}
