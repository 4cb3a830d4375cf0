"""``tutorial student``: a clean copy of the course to hand out.

Chapters are written without outputs. Each exercise's check stands in a locked cell of its own, which carries the
metadata of nbgrader's test cells and ends in the points earned, so that ``nbgrader generate_assignment`` and
``autograde`` work on the copy as well.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from tutorial_lib.course.catalogue import Chapter, CourseError, find_notebooks, select
from tutorial_lib.course.classroom.exercises import check_calls, find_exercises, split_exercise
from tutorial_lib.course.files import atomic_write, read_json

MANIFEST = ".tutorial-student.json"
_SOLUTIONS = re.compile(r" ?\b(?:The s|S)olutions are in `[^`]*solutions/[^`]*`\.")
_LINK = re.compile(r"\[([^\]]*)\]\((\d\d_\w+\.ipynb)\)")
#: The metadata of nbgrader's test cells, schema 3.
_LOCKED = {"schema_version": 3, "grade": True, "locked": True, "points": 1, "solution": False, "task": False}


def add_student(parser) -> None:
    """Declare what ``tutorial student`` takes."""
    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="as for tutorial run; all if none is named")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to make")


def student(options) -> int:
    """Write the copy and say where it is."""
    chapters = select(options.chapters, options.notebooks or find_notebooks())
    write_copy(chapters, options.out)
    print(f"{len(chapters)} chapter{'s' * (len(chapters) != 1)} without outputs and solutions in {options.out}")
    return 0


def student_notebook(chapter: Chapter, others: set[str]) -> str:
    """Return a chapter as it is handed out: no outputs, each check in a locked cell that nbgrader can grade.

    Args:
        chapter: the chapter.
        others: the file names of the chapters that are handed out with it; links to any other become plain text.

    Raises:
        CourseError: if the text leads to the solutions in words that are not known here.
    """
    import nbformat

    notebook = chapter.notebook()
    exercises = {one.exercise for one in find_exercises(notebook)}
    cells = []
    for number, cell in enumerate(notebook["cells"]):
        cell = {"id": f"cell-{number}", **cell, "source": "".join(cell["source"])}
        cell["metadata"] = {name: value for name, value in cell.get("metadata", {}).items() if name == "tags" and value}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        elif cell["cell_type"] == "markdown":
            cell["source"] = _LINK.sub(lambda link: link[0] if link[2] in others else link[1], cell["source"])
            cell["source"] = _SOLUTIONS.sub("", cell["source"])
        if "solutions/" in cell["source"]:
            raise CourseError(
                f"chapter {chapter.name} speaks of its solutions in cell {number + 1}; write "
                f'"The solutions are in `solutions/{chapter.path.name}`.", so that it can be left out'
            )
        parts = split_exercise(cell["source"]) if cell["cell_type"] == "code" else None
        if parts is None or check_calls(parts[1])[0][0] not in exercises:
            cells.append(cell)
            continue
        name = check_calls(parts[1])[0][0].replace(".", "-")
        cells.append({**cell, "source": parts[0]})
        locked = {"nbgrader": {**_LOCKED, "grade_id": name}, "deletable": False, "editable": False}
        cells.append({**cell, "source": parts[1], "id": f"{cell['id'][:50]}-check", "metadata": locked})
    kept = ("kernelspec", "language_info", "tutorial")
    made = {
        "cells": cells,
        "metadata": {name: value for name, value in notebook["metadata"].items() if name in kept},
        "nbformat": 4,
        "nbformat_minor": max(5, notebook.get("nbformat_minor", 5)),
    }
    return nbformat.writes(nbformat.from_dict(made)) + "\n"


def write_copy(chapters: list[Chapter], out: Path) -> None:
    """Write the copy, whole or not at all.

    Args:
        chapters: what is handed out.
        out: a folder that does not exist, is empty, or holds an earlier copy that nobody has touched.

    Raises:
        CourseError: if the folder holds anything else, or cannot be written.
    """
    names = {chapter.path.name for chapter in chapters}
    files = {f"notebooks/{chapter.path.name}": student_notebook(chapter, names) for chapter in chapters}
    listed = "\n".join(f"- [{chapter.title}](notebooks/{chapter.path.name})" for chapter in chapters)
    title = "The chapter to work on" if len(chapters) == 1 else "The chapters to work on"
    files["README.md"] = (
        Path(__file__).with_name("handout.md").read_text(encoding="utf-8").format(title=title, chapters=listed)
    )
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())}
    files[MANIFEST] = json.dumps({"schema": 1, "files": digests}, indent=1) + "\n"
    out = Path(os.path.abspath(out))
    _untouched(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    except OSError as error:
        raise CourseError(f"cannot write in {out.parent}: {error.strerror or error}") from None
    old = made / "old"
    try:
        for name, text in files.items():
            path = made / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, text)
        # Looked at again: somebody may have started to work in it.
        _untouched(out)
        if out.exists():
            os.rename(out, old)
        try:
            os.rename(made / "new", out)
        except OSError:
            if old.exists():
                os.rename(old, out)
            raise
    except OSError as error:
        raise CourseError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _untouched(out: Path) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise CourseError(f"{out} is no folder; give --out a new one")
    known = (read_json(out / MANIFEST) or {}).get("files", {})
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if name == MANIFEST or path.is_dir():
            continue
        if name not in known:
            raise CourseError(f"{out} holds other files ({name}); give --out a new or an empty folder")
        if hashlib.sha256(path.read_bytes()).hexdigest() != known[name]:
            raise CourseError(f"somebody has worked in {out} ({name} has changed); give --out a new folder")
