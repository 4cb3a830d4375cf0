"""Grades students' notebooks, one after the other: the process that does the work of ``tutorial grade``.

The command starts ``python -m tutorial_lib.course.grading`` and writes jobs as lines of JSON to its standard input;
a row comes back for each. When the pipe closes, this process ends whatever it has started.

Each notebook gets a kernel of its own: own session, own folder (also as home and for temporary files), own copy of
this package, a bare environment, no GPU, and limits on time, memory, output, file size and processes. Only the cells
that the exercises need are run: the student's own ones whole, of the chapter's unchanged ones only the statements that
are needed. The student's code and its answers stay in that kernel; the checks run here and see only values
(:mod:`tutorial_lib.course.exchange`). A kernel that dies or is ended costs the exercise at hand; the next one gets a
fresh kernel.

This keeps mistakes and pranks inside their own row. It is no sandbox: the code runs as the same user, on the same
file system, with the same network. Whoever must reckon with malice runs the whole command in a container or under an
account made to be thrown away.
"""

import ast
import ctypes
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pipe
from pathlib import Path
from typing import ClassVar

import psutil

from tutorial_lib.course.catalogue import Chapter, CourseError, chapter_files, read_chapter
from tutorial_lib.course.cells import bound_and_free, needed
from tutorial_lib.course.classroom import Exercise, check_calls, code_cells, find_exercises, split_exercise
from tutorial_lib.course.clean import plain
from tutorial_lib.course.exchange import Asker, Gone
from tutorial_lib.course.worker import SAMPLE_SECONDS, Watch, held

PACKAGE = Path(__file__).resolve().parents[1]
MAX_FILE = 100 * 2**20
MAX_CELLS = 1000
MAX_CODE = 500_000
MAX_WRITTEN = 256 * 2**20
MAX_PROCESSES = 32
START_SECONDS = 120.0
_MODULE = '__import__("tutorial_lib.course.exchange", fromlist=["serve"])'
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
)
_ENDED = {
    "timeout": "did not end within {timeout:g} s",
    "memory": "took more than {memory:g} MiB of memory",
    "processes": f"started more than {MAX_PROCESSES} processes",
    "output": "printed more than {output:,} characters",
}


@dataclass(frozen=True)
class Limits:
    """What one notebook may use: seconds an exercise, MiB, characters printed by a cell."""

    timeout: float
    memory: float
    output: int
    threads: int = 1


# --- what is run -------------------------------------------------------------------------------------------------


@dataclass
class Plan:
    """What a student's notebook consists of, and where each exercise is to be looked at.

    Attributes:
        sources: pieces of code in order.
        points: for each exercise the places where it is tried, best first: how many pieces come before, and the
            expression that gives the answer. Empty: there is no answer anywhere.
        untouched: exercises whose answer is the chapter's stub.
    """

    sources: list[str]
    points: dict[str, list[tuple[int, str]]]
    untouched: set[str]


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
    points, untouched = {}, set()
    for exercise in exercises:
        points[exercise.exercise] = tried = _points(sources, exercise)
        if tried and all(not _depends_on(sources, own, *point) for point in tried):
            untouched.add(exercise.exercise)
    return Plan(sources, points, untouched)


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


def _pieces(sources: list[str], before: int, expression: str) -> list[int]:
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
    return not expression.isidentifier() or any(own[index] for index in _pieces(sources, before, expression))


# --- where it is run ---------------------------------------------------------------------------------------------


class Ended(Exception):
    """The kernel has ended or was ended; the text is the reason."""


class _Guard(Watch):
    """Ends a kernel, and whatever it has started, when it takes too much."""

    def __init__(self, limits: Limits):
        self.limits, self.reason, self.deadline = limits, "", float("inf")
        super().__init__(24 * 3600.0, lambda **event: None)

    def measure(self) -> None:
        if self.pid is None or self.reason:
            return
        # Not the kernel's children, but ours: what it has sent into the background counts as well.
        members = family(self.pid)
        if len(members) > MAX_PROCESSES:
            return self.end("processes")
        now = sum(map(resident, members))
        if len(members) > 1 and now > self.peak:
            # Shared pages were counted more than once; to count them rightly is dear.
            now = sum(map(held, members))
        self.peak = max(self.peak, now)
        if now > self.limits.memory * 2**20:
            self.end("memory")
        elif time.monotonic() > self.deadline + 2:
            # Whoever waits for the kernel looks at the clock himself; here it is for one who cannot.
            self.end("timeout")

    def _sample(self) -> None:
        # A guard cannot wait until it costs next to nothing, as one who only measures can.
        pause = SAMPLE_SECONDS
        while not self._over.wait(pause):
            start = time.perf_counter()
            self.measure()
            pause = max(SAMPLE_SECONDS, time.perf_counter() - start)

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        end_family(self.pid)


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process holds, shared pages counted in full; 0 if it is gone.

    Args:
        process: any.
    """
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def family(kernel: int | None) -> list[psutil.Process]:
    """Return the living processes that this one, or one of its children, has started; bury the dead.

    Args:
        kernel: the one whose exit status somebody else asks for.
    """
    living = []
    with suppress(psutil.Error):
        for member in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if member.status() != psutil.STATUS_ZOMBIE:
                    living.append(member)
                elif member.pid != kernel:
                    with suppress(OSError):
                        os.waitpid(member.pid, os.WNOHANG)
    return living


def end_family(kernel: int | None) -> None:
    """Kill a kernel, all that it has started, and all that those have started meanwhile.

    Args:
        kernel: its process; it leads a session and a group of its own.
    """
    for _ in range(100):
        if kernel is not None:
            with suppress(OSError):
                os.killpg(kernel, signal.SIGKILL)
        members = family(kernel)
        if not members:
            return
        for member in members:
            with suppress(psutil.Error):
                member.kill()
        time.sleep(0.02)


def end_strays(folder: str | Path) -> None:
    """Kill the processes whose temporary files go to ``folder``: they keep that from the kernel that started them.

    Args:
        folder: a kernel's, or a grader's.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            place = process.environ().get("TMPDIR", "")
            if f"{place}{os.sep}".startswith(f"{folder}{os.sep}") and process.pid != os.getpid():
                process.kill()


def adopt_orphans() -> None:
    """Become the parent of whatever a kernel leaves behind, so that it can be found and ended (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


class Kernel:
    """A student's kernel.

    Attributes:
        done: which pieces of the plan it has run.
        errors: what they raised.
    """

    alive: ClassVar[set["Kernel"]] = set()

    def __init__(self, limits: Limits):
        from zmq import MAXMSGSIZE, Context

        self.limits = limits
        self.done: set[int] = set()
        self.errors: dict[int, tuple[str, str]] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="kernel-"))
        self.context = Context()
        # Neither what is shown nor a giant reply can fill this process: nobody listens to the one, the other is cut.
        self.context.setsockopt(MAXMSGSIZE, 16 * 2**20)
        self.guard = _Guard(limits)
        self.process = self.client = self.pipe = None
        Kernel.alive.add(self)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        from jupyter_client.blocking import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        limits = self.limits
        for name in ("home", "work", "tmp", "mpl"):
            (self.folder / name).mkdir()
        # Its own copy: code that writes over the checker's file writes over a file that is thrown away.
        shutil.copytree(PACKAGE, self.folder / "package" / "tutorial_lib")
        _copy_fonts(self.folder / "mpl")
        file = str(self.folder / "connection.json")
        sockets = str(self.folder / "s")
        way = {"transport": "ipc", "ip": sockets} if len(sockets) < 90 else {"transport": "tcp", "ip": "127.0.0.1"}
        write_connection_file(file, key=secrets.token_hex(16).encode(), **way)
        self.pipe, theirs = Pipe()
        self.descriptor = theirs.fileno()
        # What programs write goes nowhere; the kernel would read it and pass it on.
        command = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            file,
            "--HistoryManager.hist_file=:memory:",
            "--IPKernelApp.capture_fd_output=False",
        ]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder / "work",
            env=_environment(self.folder, limits),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self.descriptor],
        )
        theirs.close()
        self.guard.kernel_started(self.process)
        self.client = BlockingKernelClient(connection_file=file, context=self.context)
        self.client.load_connection_file()
        self.client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
        self.guard.deadline = time.monotonic() + START_SECONDS
        reply = self.run(
            f"{_MODULE}.prepare(descriptor={self.descriptor}, memory={int(limits.memory * 2**20)}, "
            f"output={limits.output}, file_size={MAX_WRITTEN}, processes={_processes()})"
        )
        if reply["status"] != "ok":
            raise Ended(f"the kernel could not be made ready: {reply.get('ename')}: {reply.get('evalue')}")

    @property
    def deadline(self) -> float:
        return self.guard.deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self.guard.deadline = value

    def send(self, source: str) -> str:
        return self.client.execute(source, silent=True, store_history=False, allow_stdin=False, stop_on_error=False)

    def wait(self, message: str) -> dict:
        while True:
            if self.guard.reason or self.process.poll() is not None:
                raise Ended(self.why())
            if time.monotonic() > self.deadline:
                self.guard.end("timeout")
                continue
            reply = self.reply(message, 0.2)
            if reply is not None:
                return reply

    def reply(self, message: str, seconds: float) -> dict | None:
        try:
            reply = self.client.shell_channel.get_msg(timeout=seconds)
            return reply["content"] if reply["parent_header"].get("msg_id") == message else None
        except queue.Empty:
            return None
        except Exception as error:
            raise Ended(f"the kernel talks nonsense ({type(error).__name__})") from None

    def run(self, source: str) -> dict:
        return self.wait(self.send(source))

    def ask(self, exercise: str, expression: str) -> tuple[str, str]:
        """Check an exercise's answer; return the status and what to say about it."""
        from tutorial_lib.lab.exercises import CheckResult, check

        message = self.send(f"{_MODULE}.serve({self.descriptor}, lambda: (\n{expression}\n))")

        def waiting() -> bool:
            # While it has something to say on the pipe, the kernel is still at work on what it was sent.
            return time.monotonic() < self.deadline and not self.guard.reason and self.reply(message, 0) is None

        asker = Asker(self.pipe, waiting)
        try:
            try:
                answer = asker.answer()
            except Gone:
                raise
            except (Exception, SystemExit):
                name, text, _, _ = asker.raised or ("Error", "the answer cannot be read", 0, "")
                result = CheckResult(exercise, "error", f"{name}: {text}")
            else:
                result = check(exercise, answer, show=False)
            asker.close()
            self.wait(message)
        except Gone:
            # Dead, stuck, or it speaks otherwise than agreed: what it says from here on is worth nothing.
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.3)
            if self.process.poll() is None and not self.guard.reason:
                self.guard.end("timeout" if time.monotonic() > self.deadline else "the kernel gives no answer")
            raise Ended(self.why()) from None
        text = result.message
        if asker.raised and text.startswith("your code raised"):
            name, said, number, line = asker.raised
            text = f"your code raised {name}: {said}\n  at line {number}: {line}"
        return result.status, text

    def why(self) -> str:
        if self.guard.reason:
            return self.guard.reason
        code = self.process.poll()
        if code is not None and code < 0:
            with suppress(ValueError):
                return f"the kernel died (killed by signal {-code}, {signal.Signals(-code).name})"
        return f"the kernel died (exit status {code})" if code is not None else "the kernel gives no answer"

    def close(self) -> None:
        self.guard.stop()
        if self.process is not None:
            end_family(self.process.pid)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            end_strays(self.folder)
        for part in (
            self.client and self.client.stop_channels,
            self.pipe and self.pipe.close,
            lambda: self.context.destroy(linger=0),
        ):
            with suppress(Exception):
                part()
        shutil.rmtree(self.folder, ignore_errors=True)
        Kernel.alive.discard(self)


def _environment(folder: Path, limits: Limits) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment.update(
        {
            "HOME": str(folder / "home"),
            "USERPROFILE": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "IPYTHONDIR": str(folder / "home"),
            "JUPYTER_CONFIG_DIR": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home"),
            "MPLCONFIGDIR": str(folder / "mpl"),
            "MPLBACKEND": "Agg",
            "PYTHONPATH": str(folder / "package"),
            "PYTHONHASHSEED": "0",
            "PYTHONWARNINGS": "ignore",
            "CUDA_VISIBLE_DEVICES": "",
            "TUTORIAL_HEADLESS": "1",
            "OMP_NUM_THREADS": str(limits.threads),
            "OPENBLAS_NUM_THREADS": str(limits.threads),
            "MKL_NUM_THREADS": str(limits.threads),
        }
    )
    return environment


def _copy_fonts(folder: Path) -> None:
    # Without it, Matplotlib looks through all the fonts of the system again, for seconds.
    with suppress(Exception):
        import matplotlib

        for file in Path(matplotlib.get_cachedir()).glob("fontlist*.json"):
            shutil.copy(file, folder)


def _processes() -> int | None:
    """The limit counts the user's processes and threads all over the machine, so it is set above what there is."""
    if not hasattr(os, "getuid") or os.getuid() == 0:
        return None
    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        if process.info["uids"] and process.info["uids"].real == os.getuid():
            count += process.info["num_threads"] or 1
    return count + 512


# --- one notebook ------------------------------------------------------------------------------------------------


def which_chapter(chapter: Chapter, cells: list[str], course: list[Chapter]) -> Chapter | None:
    """Say which chapter a student's notebook is: by its number, by the exercises it names, by its file's name.

    Args:
        chapter: the student's notebook.
        cells: its code cells' texts.
        course: the chapters as they were handed out.
    """
    for known in course:
        if chapter.number is not None and chapter.number == known.number:
            return known
    named = {name for source in cells for name, _ in check_calls(source)}
    counts = [(len(named & {one.exercise for one in find_exercises(known.notebook())}), known) for known in course]
    best = max(counts, key=lambda item: item[0], default=(0, None))
    if best[0]:
        return best[1]
    return next((known for known in course if known.path.stem in chapter.path.stem), None)


@cache
def _course(files: tuple[tuple[str, int], ...]) -> list[Chapter]:
    chapters = []
    for path, _ in files:
        with suppress(CourseError):
            chapters.append(read_chapter(path))
    return chapters


def grade(job: dict) -> dict:
    """Grade one notebook.

    Args:
        job: ``file``, ``notebooks`` (the chapters' folder), and the limits.

    Returns:
        The row: ``chapter``, ``status``, ``note``, ``points``, ``out_of``, ``exercises``, ``seconds``, ``peak_mib``.
    """
    row = {
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
    start = time.perf_counter()
    try:
        student, original = _identify(job)
    except CourseError as error:
        return row | {"status": "unreadable", "note": plain(error)}
    notebook = original.notebook()
    exercises = find_exercises(notebook)
    if job.get("wanted") is not None and original.name not in job["wanted"]:
        return row | {"chapter": original.name, "status": "passed over"}
    row |= {"chapter": original.name, "number": original.number, "out_of": len(exercises)}
    limits = Limits(job["timeout"], job["memory"], job["output"], job.get("threads", 1))
    plan = make_plan(code_cells(notebook), student, exercises)
    grader = _Grader(plan, limits)
    try:
        for exercise in exercises:
            status, message = grader.exercise(exercise)
            if exercise.exercise in plan.untouched:
                status, message = "todo", ""
            row["exercises"].append(
                {
                    "exercise": exercise.exercise,
                    "status": status,
                    "message": "" if status in ("correct", "todo") else plain(message)[:2000],
                }
            )
    finally:
        grader.close()
    for reason in ("processes", "timeout", "memory", "output"):
        if reason in grader.reasons:
            row["status"] = reason
    died = [reason for reason in grader.reasons if reason not in _ENDED]
    if died:
        row |= {"status": "died", "note": plain(died[0])[:300]}
    row["points"] = sum(one["status"] == "correct" for one in row["exercises"])
    row["seconds"] = round(time.perf_counter() - start, 2)
    row["peak_mib"] = round(grader.peak / 2**20, 1)
    return row


def _identify(job: dict) -> tuple[list[str], Chapter]:
    path = Path(job["file"])
    with suppress(OSError):
        if path.stat().st_size > MAX_FILE:
            raise CourseError(f"the file is larger than {MAX_FILE // 2**20} MiB")
    chapter = read_chapter(path)
    cells = code_cells(chapter.notebook())
    if len(cells) > MAX_CELLS or sum(map(len, cells)) > MAX_CODE:
        raise CourseError(f"it has more than {MAX_CELLS} code cells, or {MAX_CODE:,} characters in them")
    # A course of many students is read once, unless somebody edits it meanwhile.
    files = tuple((str(path), path.stat().st_mtime_ns) for path in chapter_files(job["notebooks"]))
    found = which_chapter(chapter, cells, _course(files))
    if found is None:
        raise CourseError("it is no chapter of this course")
    return cells, found


class _Grader:
    """Tries the exercises of one notebook, in one kernel as long as that holds."""

    def __init__(self, plan: Plan, limits: Limits):
        self.plan, self.limits = plan, limits
        self.kernel: Kernel | None = None
        self.reasons: list[str] = []
        self.peak = 0

    def exercise(self, exercise: Exercise) -> tuple[str, str]:
        name = exercise.exercise
        points = self.plan.points[name]
        if name in self.plan.untouched:
            return "todo", ""
        if not points:
            return "missing", f"there is no {exercise.name} in the notebook"
        tried = []
        for before, expression in points:
            tried.append(self.attempt(name, before, expression))
            if tried[-1][0] == "correct":
                break
        rank = ("correct", "wrong", "todo", "error")
        return min(tried, key=lambda result: rank.index(result[0]))

    def attempt(self, exercise: str, before: int, expression: str) -> tuple[str, str]:
        pieces = _pieces(self.plan.sources, before, expression)
        try:
            status, message = self.run(exercise, pieces, expression)
            if self.is_missing_name(message, pieces, before):
                # The pieces were chosen by reading; where that has missed one, all of them are run.
                self.close()
                try:
                    status, message = self.run(exercise, list(range(before)), expression)
                except Ended:
                    # All of them may be the chapter's long experiment. What was found before stands.
                    self.close()
        except Ended as ended:
            reason = str(ended)
            self.reasons.append(reason)
            self.close()
            text = _ENDED.get(reason, reason)
            return "error", text.format(
                timeout=self.limits.timeout, memory=self.limits.memory, output=self.limits.output
            )
        return status, message

    def is_missing_name(self, message: str, pieces: list[int], before: int) -> bool:
        match = re.match(r"(?:your code raised )?NameError: name '(\w+)' is not defined", message)
        others = (source for index, source in enumerate(self.plan.sources[:before]) if index not in pieces)
        return bool(match) and any(match[1] in bound_and_free(source)[0] for source in others)

    def run(self, exercise: str, pieces: list[int], expression: str) -> tuple[str, str]:
        if self.kernel is None:
            self.kernel = Kernel(self.limits)
        kernel = self.kernel
        kernel.deadline = time.monotonic() + self.limits.timeout
        for index in pieces:
            if index in kernel.done:
                continue
            kernel.done.add(index)
            reply = kernel.run(self.plan.sources[index])
            if reply["status"] == "error":
                kernel.errors[index] = str(reply.get("ename"))[:80], str(reply.get("evalue"))[:1000]
        status, message = kernel.ask(exercise, expression)
        raised = [kernel.errors[index] for index in pieces if index in kernel.errors]
        if status != "correct" and raised:
            # What went wrong first explains the rest.
            message = f"{raised[0][0]}: {raised[0][1]}"
            status = "error" if status == "error" else status
        if "TooMuchOutput" in (name for name, _ in raised) or message.startswith("TooMuchOutput"):
            self.reasons.append("output")
            message = _ENDED["output"].format(output=self.limits.output)
        said = " ".join([message, *(" ".join(error) for error in raised)])
        if "MemoryError" in said or "can't allocate memory" in said:
            # What filled it is still there: the next exercise shall not pay for it.
            self.reasons.append("memory")
            self.close()
        return status, message

    def close(self) -> None:
        if self.kernel is not None:
            self.peak = max(self.peak, self.kernel.guard.peak)
            self.kernel.close()
            self.kernel = None


# --- the process -------------------------------------------------------------------------------------------------


def _orphaned() -> None:
    """End everything when the command that reads our rows is gone."""
    for folder in [kernel.folder for kernel in Kernel.alive]:
        end_family(None)
        shutil.rmtree(folder, ignore_errors=True)
    # The folder that the command has made for its graders goes with the last of them.
    with suppress(OSError):
        place = Path(os.environ["TMPDIR"])
        place.rmdir()
        place.parent.rmdir()
    os._exit(4)


def main() -> None:
    """Read jobs from standard input, one a line; write a row for each to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rows = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    adopt_orphans()
    jobs: queue.Queue = queue.Queue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            jobs.put(json.loads(line))
        _orphaned()

    threading.Thread(target=listen, daemon=True).start()
    import tutorial_lib.lab.exercises  # noqa: F401  torch is loaded while nobody waits yet

    while True:
        job = jobs.get()
        try:
            row = grade(job)
        except Exception as error:
            # Ours to mend, but no reason to lose the others.
            row = {"status": "failed", "note": f"the grader failed: {type(error).__name__}: {plain(error)}"[:500]}
        rows.write(json.dumps(row) + "\n")
        rows.flush()


if __name__ == "__main__":
    main()
