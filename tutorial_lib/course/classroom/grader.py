"""Grades students' notebooks, one after the other: the process that does the work of ``tutorial grade``.

The command starts ``python -m tutorial_lib.course.classroom.grader`` (:mod:`tutorial_lib.course.processes`) and sends
jobs; a row comes back for each. When the command is gone, this process ends whatever it has started.

Each notebook gets a kernel of its own: own session, own folder (also as home and for temporary files), own copy of
this package, a bare environment, no GPU, and limits on time, memory, output, file size and processes. Only the cells
that the exercises need are run: the student's own ones whole, of the chapter's unchanged ones only the statements that
are needed. The student's code and its answers stay in that kernel; the checks run here and see only values
(:mod:`tutorial_lib.course.classroom.exchange`). A kernel that dies or is ended costs the exercise at hand; the next one
gets a fresh kernel.

This keeps mistakes and pranks inside their own row. It is no sandbox: the code runs as the same user, on the same
file system, with the same network. Whoever must reckon with malice runs the whole command in a container or under an
account made to be thrown away.
"""

import os
import re
import shutil
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from tutorial_lib.course.catalogue import Chapter, CourseError, chapter_files, read_chapter
from tutorial_lib.course.cells import bound_and_free
from tutorial_lib.course.classroom.exercises import (
    UNGRADED,
    Exercise,
    check_calls,
    code_cells,
    find_exercises,
    student_cells,
)
from tutorial_lib.course.classroom.kernel import ENDED, Ended, Kernel, Limits
from tutorial_lib.course.classroom.plan import Plan, make_plan, pieces_needed
from tutorial_lib.course.clean import plain
from tutorial_lib.course.processes import Parent, adopt_orphans, end_family

MAX_FILE = 100 * 2**20
MAX_CELLS = 1000
MAX_CODE = 500_000


def which_chapter(chapter: Chapter, cells: list[str], course: list[Chapter]) -> Chapter | None:
    """Say which chapter a student's notebook is: by its number, by the exercises it names, by its file's name.

    Args:
        chapter: the student's notebook.
        cells: its code cells' texts.
        course: the chapters as they were handed out.
    """
    named = {name for source in cells for name, _ in check_calls(source)}
    counts = {known.path: len(named & {one.exercise for one in find_exercises(known.notebook())}) for known in course}
    best = max(course, key=lambda known: counts[known.path], default=None)
    numbered = next((known for known in course if chapter.number is not None and chapter.number == known.number), None)
    # Another chapter's cells, pasted into this one, are that chapter: there the number says nothing.
    if best and counts[best.path] and not (numbered and counts[numbered.path]):
        return best
    if numbered:
        return numbered
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
    row = UNGRADED | {"exercises": []}
    start = time.perf_counter()
    try:
        student, original, notes = _identify(job)
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
            row["exercises"].append({"exercise": exercise.exercise, "status": status, "message": plain(message)[:2000]})
    finally:
        grader.close()
    for reason in ("processes", "timeout", "memory", "output"):
        if reason in grader.reasons:
            row["status"] = reason
    died = [reason for reason in grader.reasons if reason not in ENDED]
    if died:
        row["status"] = "died"
        notes = [plain(died[0])[:300], *notes]
    row["note"] = "; ".join(notes)[:1000]
    row["points"] = sum(one["status"] == "correct" for one in row["exercises"])
    row["seconds"] = round(time.perf_counter() - start, 2)
    row["peak_mib"] = round(grader.peak / 2**20, 1)
    return row


def _identify(job: dict) -> tuple[list[str], Chapter, list[str]]:
    """Return a student's code, the chapter that it is, and what there is to say of that."""
    path = Path(job["file"])
    with suppress(OSError):
        if path.stat().st_size > MAX_FILE:
            raise CourseError(f"the file is larger than {MAX_FILE // 2**20} MiB")
    chapter = read_chapter(path, mend=True)
    notebook = chapter.notebook()
    cells = code_cells(notebook)
    if len(cells) > MAX_CELLS or sum(map(len, cells)) > MAX_CODE:
        raise CourseError(f"it has more than {MAX_CELLS} code cells, or {MAX_CODE:,} characters in them")
    # A course of many students is read once, unless somebody edits it meanwhile.
    files = tuple((str(path), path.stat().st_mtime_ns) for path in chapter_files(job["notebooks"]))
    course = _course(files)
    found = which_chapter(chapter, cells, course)
    if found is None:
        raise CourseError("it is no chapter of this course")
    cells, notes = student_cells(notebook, found.notebook())
    others = [known.name for known in course if known is not found and known.name in path.stem]
    if others and found.name not in path.stem:
        notes.insert(0, f"the file is called {path.name}, but it is {found.name}")
    return cells, found, notes


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
            covered = name in self.plan.covered
            return "todo", f"the chapter's stub follows your {exercise.name} and takes its place" if covered else ""
        if not points:
            return "missing", f"there is no {exercise.name} in the notebook"
        tried = []
        for before, expression in points:
            tried.append(self.attempt(name, before, expression))
            if tried[-1][0] == "correct":
                break
        rank = ("correct", "wrong", "todo", "error")
        status, message = min(tried, key=lambda result: rank.index(result[0]))
        return status, "" if status in ("correct", "todo") else message

    def attempt(self, exercise: str, before: int, expression: str) -> tuple[str, str]:
        pieces = pieces_needed(self.plan.sources, before, expression)
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
            text = ENDED.get(reason, reason)
            return "error", text.format(
                timeout=self.limits.timeout, memory=self.limits.memory, output=self.limits.output
            )
        return status, message

    def is_missing_name(self, message: str, pieces: list[int], before: int) -> bool:
        match = re.match(r"(?:your code raised )?NameError: name '(\w+)' is not defined", message)
        others = [source for index, source in enumerate(self.plan.sources[:before]) if index not in pieces]
        return match is not None and any(match[1] in bound_and_free(source)[0] for source in others)

    def run(self, exercise: str, pieces: list[int], expression: str) -> tuple[str, str]:
        if self.kernel is not None and self.kernel.guard.reason == "timeout":
            # It came to its end with the last answer, and after it: the next exercise shall not pay for it.
            self.close()
        if self.kernel is None:
            self.kernel = Kernel(self.limits)
        kernel = self.kernel
        with kernel.within(self.limits.timeout):
            for index in pieces:
                if index not in kernel.done:
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
            message = ENDED["output"].format(output=self.limits.output)
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
    for folder in [kernel.folder for kernel in Kernel.running]:
        end_family(None)
        shutil.rmtree(folder, ignore_errors=True)
    # The folder that the command has made for its graders goes with the last of them.
    with suppress(OSError):
        place = Path(os.environ["TMPDIR"])
        place.rmdir()
        place.parent.rmdir()


def main() -> None:
    """Take jobs; give a row for each."""
    parent = Parent(gone=_orphaned)
    adopt_orphans()
    import tutorial_lib.lab.exercises  # noqa: F401  torch is loaded while nobody waits yet

    while True:
        job = parent.receive()
        try:
            row = grade(job)
        except Exception as error:
            # Ours to mend, but no reason to lose the others.
            row = {"status": "failed", "note": f"the grader failed: {type(error).__name__}: {plain(error)}"[:500]}
        parent.send(row)


if __name__ == "__main__":
    main()
