"""For teachers: a clean copy of the course to hand out, and one table of many students' notebooks.

``tutorial student`` writes the chapters without outputs. Each exercise's check stands in a locked cell of its own,
which carries the metadata of nbgrader's test cells and ends in the points earned, so that ``nbgrader
generate_assignment`` and ``autograde`` work on the copy as well.

``tutorial grade`` runs each student's notebook by itself (:mod:`tutorial_lib.course.grading`) and leaves::

    grades/
        grades.csv       one row a student and chapter
        rows/….json      the same, a file each, from which a run that was ended goes on

A row counts as done when its file, the chapters, this package's source and the limits are what they were.
"""

import ast
import csv
import hashlib
import io
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tutorial_lib.course.catalogue import Chapter, CourseError, chapter_files, find_notebooks, select
from tutorial_lib.course.files import atomic_write, read_json

GRACE = 60.0
MANIFEST = ".tutorial-student.json"
COLUMNS = ("student", "chapter", "points", "out_of", "status", "exercises", "hints", "seconds", "peak_mib", "file")
MARKS = {"correct": "✔", "wrong": "✘", "todo": "○", "missing": "–", "error": "!"}
_SOLUTIONS = re.compile(r" ?\b(?:The s|S)olutions are in `[^`]*solutions/[^`]*`\.")
_LINK = re.compile(r"\[([^\]]*)\]\((\d\d_\w+\.ipynb)\)")
_CHECK = re.compile(r"""\bcheck\(\s*["']([\w.]+)["']\s*,\s*(\w+)\s*\)""")
_README = """# {title}

1. Open a notebook of `notebooks/` in JupyterLab (type `jupyter lab` in this folder), or upload it to Colab.
2. Fill in the stubs of its exercises, and run the cell below each stub: it says what is wrong, and shows your points.
3. Hand in the notebook files as they are, under the names that they have.

{chapters}
"""


# --- exercises in a notebook -------------------------------------------------------------------------------------


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


# --- the copy to hand out ----------------------------------------------------------------------------------------


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
        cell = {**cell, "source": "".join(cell["source"]), "metadata": _kept(cell.get("metadata", {}))}
        cell.setdefault("id", f"cell-{number}")
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
        locked = {
            "schema_version": 3,
            "grade": True,
            "grade_id": name,
            "locked": True,
            "points": 1,
            "solution": False,
            "task": False,
        }
        cells.append({**cell, "source": parts[0]})
        cells.append(
            {
                **cell,
                "source": parts[1],
                "id": f"{cell['id'][:50]}-check",
                "metadata": {"nbgrader": locked, "deletable": False, "editable": False},
            }
        )
    metadata = {
        key: notebook["metadata"][key]
        for key in ("kernelspec", "language_info", "tutorial")
        if key in notebook["metadata"]
    }
    made = {
        "cells": cells,
        "metadata": metadata,
        "nbformat": 4,
        "nbformat_minor": max(5, notebook.get("nbformat_minor", 5)),
    }
    return nbformat.writes(nbformat.from_dict(made)) + "\n"


def _kept(metadata: dict) -> dict:
    return {"tags": metadata["tags"]} if metadata.get("tags") else {}


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
    files["README.md"] = _README.format(title=title, chapters=listed)
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


# --- the table ---------------------------------------------------------------------------------------------------


def add_grade(parser) -> None:
    """Declare what ``tutorial grade`` takes."""
    from tutorial_lib.course.command import positive, whole_number

    parser.add_argument(
        "paths",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="DIR/STUDENT/*.ipynb, DIR/STUDENT/ASSIGNMENT/*.ipynb, DIR/STUDENT.ipynb, or one notebook",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("grades"), help="the folder of the table (default: grades)"
    )
    parser.add_argument(
        "--chapter", metavar="CHAPTER", action="append", default=[], help="grade this chapter only (may be given again)"
    )
    parser.add_argument("--jobs", metavar="N", type=whole_number, default=1, help="notebooks at a time")
    parser.add_argument(
        "--timeout", metavar="S", type=positive, default=60.0, help="seconds for one exercise (default: 60)"
    )
    parser.add_argument(
        "--memory", metavar="MIB", type=positive, default=2048.0, help="memory for one notebook (default: 2048)"
    )
    parser.add_argument(
        "--output-limit",
        metavar="CHARACTERS",
        type=whole_number,
        default=10_000_000,
        help="what a cell may print (default: 10000000)",
    )
    parser.add_argument("--fresh", action="store_true", help="grade also what is done and unchanged")


def grade(options) -> int:
    """Grade, print the table, and say where it is."""
    import signal

    if not hasattr(signal, "SIGKILL"):
        raise CourseError("tutorial grade needs Linux or macOS to put limits on students' code; on Windows use WSL")
    notebooks = options.notebooks or find_notebooks()
    known = chapter_files(notebooks)
    if not known:
        raise CourseError(f"no chapters (files like 01_topic.ipynb) in {notebooks}")
    wanted = {chapter.name for chapter in select(options.chapter, notebooks)} if options.chapter else None
    found = submissions(options.paths, {path.stem for path in known})
    limits = {"timeout": options.timeout, "memory": options.memory, "output": options.output_limit}
    try:
        rows = grade_all(
            found,
            notebooks=notebooks,
            out=options.out,
            limits=limits,
            jobs=options.jobs,
            fresh=options.fresh,
            wanted=wanted,
        )
    except KeyboardInterrupt:
        print(
            f"\ntutorial: interrupted. What is graded is kept in {options.out}; the same command goes on.",
            file=sys.stderr,
        )
        return 130
    print(f"\n{len(rows)} row{'s' * (len(rows) != 1)} in {options.out / 'grades.csv'}")
    return 0


@dataclass(frozen=True)
class Submission:
    """One notebook that was handed in."""

    student: str
    path: Path
    shown: str


def submissions(paths: list[Path], chapters: set[str]) -> list[Submission]:
    """Find the notebooks and whose they are.

    The student is the first folder below the one that was named; failing that, the file's name without the
    chapter's; failing that, the named folder.

    Args:
        paths: folders or notebooks.
        chapters: the chapters' names, such as ``01_mixup``.

    Raises:
        CourseError: for a path that is not there, or if there is no notebook at all.
    """
    from tutorial_lib.course.clean import plain

    found: dict[Path, Submission] = {}
    for root in paths:
        if not root.exists():
            raise CourseError(f"there is no {root}")
        files = [root] if root.is_file() else sorted(root.rglob("*.ipynb"))
        for path in files:
            inside = path.relative_to(root).parts if root.is_dir() else (path.name,)
            if any(part.startswith(".") for part in inside) or not path.is_file():
                continue
            folders = [part for part in inside[:-1] if part not in chapters]
            name = folders[0] if folders else _without_chapter(path.stem, chapters)
            home = root if root.is_dir() else path.parent
            name = name or Path(os.path.abspath(home)).name
            found.setdefault(path.resolve(), Submission(plain(name), path, plain(path.as_posix())))
    if not found:
        raise CourseError(f"no notebooks in {', '.join(map(str, paths))}")
    return sorted(found.values(), key=lambda one: (one.student, one.shown))


def _without_chapter(stem: str, chapters: set[str]) -> str:
    for chapter in chapters:
        if chapter in stem:
            return stem.replace(chapter, "").strip(" _-.")
    return stem


def grade_all(
    found: list[Submission],
    *,
    notebooks: Path,
    out: Path,
    limits: dict,
    jobs: int = 1,
    fresh: bool = False,
    wanted: set[str] | None = None,
    stream=None,
) -> list[dict]:
    """Grade what is new or changed, keep the rest, and write the table.

    Args:
        found: the notebooks.
        notebooks: the folder of the chapters.
        out: where rows and table go.
        limits: ``timeout``, ``memory``, ``output`` (see ``tutorial_lib.course.grading.Limits``).
        jobs: notebooks at a time.
        fresh: grade also what is done.
        wanted: names of the chapters that are asked for; ``None``: all.
        stream: where progress is told.

    Returns:
        The rows of the table.

    Raises:
        CourseError: if the folder cannot be used.
    """
    from tutorial_lib.course.runner import cores, open_folder

    stream = stream or sys.stdout
    lock = open_folder(out, inside=("rows",), mark=".lock", what="grade", earlier="grades")
    try:
        course = _course_key(notebooks, limits)
        limits = limits | {"threads": max(1, cores() // jobs)}
        rows: dict[Submission, dict] = {}
        todo = []
        for one in found:
            stored = read_json(_row_file(out, one)) or {}
            if not fresh and stored.get("key") == _key(one, course):
                rows[one] = stored | {"student": one.student, "file": one.shown}
            else:
                todo.append(one)
        if rows:
            print(f"{len(rows)} unchanged since they were graded", file=stream, flush=True)
        _write_table(out, found, rows, wanted)
        orders = [
            {
                "file": str(one.path.resolve()),
                "notebooks": str(Path(notebooks).resolve()),
                **limits,
                "wanted": sorted(wanted) if wanted is not None else None,
            }
            for one in todo
        ]
        for number, (place, key, row) in enumerate(_work(todo, orders, course, jobs, limits), 1):
            one = todo[place]
            row = {"student": one.student, "file": one.shown, **row, "key": key}
            rows[one] = row
            if row["status"] != "passed over":
                # A row that is only passed over is looked at again when all chapters are asked for.
                atomic_write(_row_file(out, one), json.dumps(row, indent=1))
                _write_table(out, found, rows, wanted)
            print(f"{number}/{len(todo)}  {_line(row)}", file=stream, flush=True)
        _write_table(out, found, rows, wanted)
        return _shown(found, rows, wanted)
    except OSError as error:
        raise CourseError(f"cannot write in {out}: {error.strerror or error}") from None
    finally:
        lock.release()


def _row_file(out: Path, one: Submission) -> Path:
    return out / "rows" / f"{hashlib.sha256(str(one.path.resolve()).encode()).hexdigest()[:24]}.json"


def _course_key(notebooks: Path, limits: dict) -> str:
    from tutorial_lib.course.runner import PACKAGE, source_hash

    digest = hashlib.sha256(f"{source_hash(PACKAGE)}{sorted(limits.items())}".encode())
    for path in chapter_files(notebooks):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _key(one: Submission, course: str) -> str:
    try:
        data = one.path.read_bytes()
    except OSError:
        data = b""
    return hashlib.sha256(course.encode() + data).hexdigest()


class _Worker:
    """One process that grades, and is started anew where it has ended."""

    def __init__(self, jobs: int, folder: str):
        self.jobs, self.folder = jobs, folder
        self.process: subprocess.Popen | None = None

    def row(self, order: dict) -> dict:
        for _ in range(2):
            if self.process is None:
                self.start()
            try:
                self.process.stdin.write(json.dumps(order).encode() + b"\n")
                self.process.stdin.flush()
                break
            except OSError:
                self.end()
        # Every exercise has its time, and the kernels need theirs to start; this is for a grader that is stuck.
        timer = threading.Timer(20 * order["timeout"] + GRACE, self.end)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        try:
            return json.loads(line)
        except ValueError:
            self.end()
            return {"status": "died", "note": "its grader was killed"}

    def start(self) -> None:
        from tutorial_lib.course.runner import kernel_environment

        # A place for everything that kernels write, which goes with the run, whoever has killed whom.
        os.makedirs(self.folder, exist_ok=True)
        environment = {**kernel_environment(self.jobs), "TMPDIR": self.folder}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tutorial_lib.course.grading"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def end(self) -> None:
        from tutorial_lib.course.grading import end_strays
        from tutorial_lib.course.worker import end_tree

        process, self.process = self.process, None
        if process is not None:
            end_tree(process.pid)
            end_strays(self.folder)
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()
            process.wait()

    def close(self) -> None:
        """Ask the worker to go; it ends what it has started."""
        if self.process is not None:
            with suppress(OSError):
                self.process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.end()


def _work(
    todo: list[Submission], orders: list[dict], course: str, jobs: int, limits: dict
) -> Iterator[tuple[int, str, dict]]:
    """Let workers grade, and yield each row with its place and the key of the file that was graded."""
    waiting: queue.Queue = queue.Queue()
    done: queue.Queue = queue.Queue()
    for place in range(len(todo)):
        waiting.put(place)
    folder = tempfile.mkdtemp(prefix="grade-")
    workers = [_Worker(jobs, os.path.join(folder, str(number))) for number in range(min(jobs, len(todo)))]
    stopped = threading.Event()

    def loop(worker: _Worker) -> None:
        while not stopped.is_set():
            try:
                place = waiting.get_nowait()
            except queue.Empty:
                return
            # The key is taken first: a file that changes while it is graded is graded again.
            key, start = _key(todo[place], course), time.perf_counter()
            try:
                row = worker.row(orders[place])
            except Exception as error:
                row = {"status": "failed", "note": f"the grader failed: {error}"}
            empty = {
                "chapter": "",
                "number": None,
                "note": "",
                "points": 0,
                "out_of": 0,
                "exercises": [],
                "seconds": round(time.perf_counter() - start, 2),
                "peak_mib": 0.0,
            }
            done.put((place, key, empty | row))

    threads = [threading.Thread(target=loop, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for _ in todo:
            while True:
                try:
                    yield done.get(timeout=0.5)
                    break
                except queue.Empty:
                    continue
    finally:
        stopped.set()
        for worker in workers:
            worker.close()
        shutil.rmtree(folder, ignore_errors=True)


def _shown(found: list[Submission], rows: dict[Submission, dict], wanted: set[str] | None) -> list[dict]:
    shown = [rows[one] for one in found if one in rows and rows[one]["status"] != "passed over"]
    return [row for row in shown if wanted is None or row["chapter"] in wanted or not row["chapter"]]


def _write_table(out: Path, found: list[Submission], rows: dict[Submission, dict], wanted: set[str] | None) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for row in _shown(found, rows, wanted):
        exercises = "; ".join(f"{_short(one['exercise'])} {one['status']}" for one in row["exercises"])
        hints = [
            f"{_short(one['exercise'])}: {' '.join(one['message'].split())}"
            for one in row["exercises"]
            if one["message"]
        ]
        values = {**row, "exercises": exercises, "hints": " | ".join([*filter(None, [row["note"]]), *hints])}
        table.writerow([_cell(values[name]) for name in COLUMNS])
    # The mark at the head tells spreadsheets that the rest is UTF-8.
    atomic_write(out / "grades.csv", b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "replace"))


def _cell(value) -> str | float | int:
    """Return what stands in the table; a text that a spreadsheet would take for a formula is quoted.

    >>> _cell("=1+1"), _cell(3)
    ("'=1+1", 3)
    """
    if isinstance(value, int | float):
        return value
    from tutorial_lib.course.clean import plain

    text = " ".join(plain(value).split(" "))
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith(("\t", "\r", "\n")) else text


def _short(exercise: str) -> str:
    return exercise.partition(".")[2] or exercise


def _line(row: dict) -> str:
    marks = " ".join(f"{MARKS[one['status']]} {_short(one['exercise'])}" for one in row["exercises"])
    status = "" if row["status"] == "ok" else f"{row['status']}  "
    points = f"{row['points']}/{row['out_of']}" if row["out_of"] else ""
    return f"{row['student']:<20} {row['chapter']:<24} {points:>5}  {row['seconds']:6.1f} s  {status}{marks}".rstrip()
