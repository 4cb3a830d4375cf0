"""One table of many students' notebooks.

``tutorial grade`` runs each student's notebook by itself (:mod:`tutorial_lib.course.classroom.grader`) and leaves::

    grades/
        grades.csv       one row a student and chapter
        rows/….json      the same, a file each, from which a run that was ended goes on

A row counts as done when its file, the chapters, this package's source and the limits are what they were.
"""

import csv
import hashlib
import io
import itertools
import json
import os
import queue
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tutorial_lib.course.catalogue import CourseError, chapter_files, find_notebooks, select
from tutorial_lib.course.classroom.exercises import UNGRADED
from tutorial_lib.course.command import fitted, line_width, positive, whole_number
from tutorial_lib.course.files import atomic_write, read_json

GRACE = 60.0
COLUMNS = ("student", "chapter", "points", "out_of", "status", "exercises", "hints", "seconds", "peak_mib", "file")
MARKS = {"correct": "✔", "wrong": "✘", "todo": "○", "missing": "–", "error": "!"}


def add_grade(parser) -> None:
    """Declare what ``tutorial grade`` takes."""
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
        limits: ``timeout``, ``memory``, ``output`` (see ``tutorial_lib.course.classroom.kernel.Limits``).
        jobs: notebooks at a time.
        fresh: grade also what is done.
        wanted: names of the chapters that are asked for; ``None``: all.
        stream: where progress is told.

    Returns:
        The rows of the table.

    Raises:
        CourseError: if the folder cannot be used.
    """
    from tutorial_lib.course.files import open_folder
    from tutorial_lib.course.machine import cores

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
            line = fitted(f"{number}/{len(todo)}  {_line(row)}", indent=8, width=line_width(otherwise=sys.maxsize))
            print(line, file=stream, flush=True)
        _write_table(out, found, rows, wanted)
        return _shown(found, rows, wanted)
    except OSError as error:
        raise CourseError(f"cannot write in {out}: {error.strerror or error}") from None
    finally:
        lock.release()


def _row_file(out: Path, one: Submission) -> Path:
    return out / "rows" / f"{hashlib.sha256(str(one.path.resolve()).encode()).hexdigest()[:24]}.json"


def _course_key(notebooks: Path, limits: dict) -> str:
    from tutorial_lib.course.keys import source_hash
    from tutorial_lib.course.machine import PACKAGE

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


class _Grader:
    """A process that grades one notebook at a time.

    Args:
        folder: a place for everything that its kernels write, which goes with the run, whoever has killed whom.
        share: how many such processes share the cores.
        events: gets pairs of a grader and its row; ``None`` in the place of a row when it has ended.
    """

    def __init__(self, folder: Path, share: int, events: queue.Queue):
        from tutorial_lib.course.machine import kernel_environment
        from tutorial_lib.course.processes import Child

        self.folder = folder
        folder.mkdir()
        self.child = Child(
            "tutorial_lib.course.classroom.grader",
            environment={**kernel_environment(share), "TMPDIR": str(folder)},
            listener=lambda row: events.put((self, row)),
        )

    def end(self, *, seconds: float = 0.0) -> None:
        """Ask it to go, for it ends what it has started, and end what is still there after some seconds."""
        from tutorial_lib.course.processes import end_strays

        if seconds:
            self.child.leave(seconds)
        else:
            self.child.end()
        end_strays(self.folder)


@dataclass(frozen=True)
class _Task:
    """A notebook that is being graded: its place, the key of the file as it is, and the time of the start."""

    place: int
    key: str
    start: float = field(default_factory=time.perf_counter)


def _work(
    todo: list[Submission], orders: list[dict], course: str, jobs: int, limits: dict
) -> Iterator[tuple[int, str, dict]]:
    """Let processes grade, and yield each row with its place and the key of the file that was graded."""
    # Every exercise has its time, and the kernels need theirs to start; this is for a grader that is stuck.
    longest = 20 * limits["timeout"] + GRACE
    folder, number = Path(tempfile.mkdtemp(prefix="grade-")), itertools.count()
    events: queue.Queue = queue.Queue()
    waiting = deque(range(len(todo)))
    idle: list[_Grader] = []
    busy: dict[_Grader, _Task] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                grader = idle.pop() if idle else _Grader(folder / str(next(number)), jobs, events)
                # The key is taken first: a file that changes while it is graded is graded again.
                task = _Task(waiting[0], _key(todo[waiting[0]], course))
                if grader.child.send(orders[task.place]):
                    busy[grader] = task
                    waiting.popleft()
                else:
                    # It has died with nothing to do.
                    grader.end()
            try:
                grader, row = events.get(timeout=0.5)
            except queue.Empty:
                for grader, task in busy.items():
                    if time.perf_counter() - task.start > longest:
                        grader.end()
                continue
            if grader not in busy:
                continue
            task = busy.pop(grader)
            if row is None:
                grader.end()
                row = {"status": "died", "note": "its grader was killed"}
            else:
                idle.append(grader)
            yield task.place, task.key, UNGRADED | {"seconds": round(time.perf_counter() - task.start, 2)} | row
    finally:
        for grader in (*idle, *busy):
            grader.end(seconds=20)
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
