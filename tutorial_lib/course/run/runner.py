"""Runs chapters, each in a process of its own, and keeps what is finished.

The out folder (``runs/latest`` unless ``--out`` names another) is one fixed place that every run brings up to date::

    runs/latest/
        index.html           the report
        summary.json         the same, for programs (keys: see ``tutorial_lib.course.run.report``)
        junit.xml            the same, for CI servers
        chapters/NAME.ipynb  the executed notebook
        chapters/NAME.html   the same as a page
        chapters/NAME.json   the chapter's record, written last

A chapter counts as finished when its record says ``ok``, its files are the ones the record names (by their
SHA-256), and its key is today's. The key covers the notebook's sources, the parameters, the source of this
package, the versions of Python and of every declared dependency, and the device. With built-in data also the files
of ``results/`` that the chapter names; with real data the prepared sets (such a run writes its result itself).
"""

import importlib.metadata
import importlib.util
import json
import math
import os
import queue
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tutorial_lib.course.catalogue import Chapter, CourseError
from tutorial_lib.course.files import DiskError, atomic_write, open_folder, read_json, remove_leftovers
from tutorial_lib.course.keys import chapter_key, finished
from tutorial_lib.course.machine import cores, describe_device, device_kind, installed_versions, kernel_environment
from tutorial_lib.course.processes import Child

TIMEOUT = 1800.0
GRACE = 30.0
#: What a chapter may need of the machine's memory: twice what most of them hold.
MEMORY = 2**30


@dataclass
class Job:
    """One chapter to do.

    Attributes:
        chapter: the notebook.
        parameters: typed values that differ from the chapter's own.
        mode: ``run`` or ``refresh``.
        target: where a refreshed notebook goes.
    """

    chapter: Chapter
    parameters: dict[str, Any] = field(default_factory=dict)
    mode: str = "run"
    target: Path | None = None


def check_kernels(chapters: list[Chapter]) -> None:
    """Make sure that the kernel of every chapter is there before anything starts.

    Args:
        chapters: what shall be run.

    Raises:
        CourseError: naming the missing kernel and the installed ones.
    """
    wanted = {chapter.kernel: chapter for chapter in chapters}
    if wanted.keys() == {"python3"} and importlib.util.find_spec("ipykernel"):
        return
    from jupyter_client.kernelspec import KernelSpecManager

    installed = sorted(KernelSpecManager().find_kernel_specs())
    for kernel, chapter in wanted.items():
        if kernel == "python3" and not importlib.util.find_spec("ipykernel"):
            raise CourseError("the kernel python3 is missing here: pip install ipykernel")
        if kernel not in installed:
            raise CourseError(
                f"chapter {chapter.name} asks for the kernel {kernel!r}, which is not installed; "
                f"installed: {', '.join(installed) or 'none'}"
            )


@dataclass
class _Worker:
    job: Job
    key: str
    child: Child
    started: float
    record: dict | None = None
    disk: str = ""

    def about(self) -> dict:
        """Return the fields of a record that are known before anything has run."""
        chapter = self.job.chapter
        return {
            "name": chapter.name,
            "number": chapter.number,
            "title": chapter.title,
            "question": chapter.question,
            "parameters": self.job.parameters,
            "key": self.key,
        }


def execute(
    jobs: list[Job],
    *,
    out: Path,
    parallel: int = 1,
    threads: int | None = None,
    arithmetic: str = "native",
    timeout: float = TIMEOUT,
    versions: dict | None = None,
    device: dict | None = None,
) -> Generator[tuple[str, Job | None, Any], None, None]:
    """Do jobs in worker processes and tell what happens.

    Args:
        jobs: in the order in which they start.
        out: the out folder (not used by ``refresh`` jobs).
        parallel: how many at a time.
        threads: how many threads each may compute on; as many as the system gives if not given.
        arithmetic: as for ``run``.
        timeout: seconds for one chapter, kernel start included.
        versions, device: for keys and records; measured if not given.

    Yields:
        ``("start", job, cells)``, ``("cell", job, done)``, ``("tick", None, None)`` twice a second, and
        ``("done", job, record)``. Closing the iterator ends all that is running.

    Raises:
        DiskError: when a finished chapter could not be stored. What ran is ended; what was stored stays.
    """
    versions, device = versions or installed_versions(), device or describe_device()
    waiting: list[Job] = list(jobs)
    running: dict[int, _Worker] = {}
    events: queue.Queue = queue.Queue()
    environment = kernel_environment(threads=threads, arithmetic=arithmetic)
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                job = waiting.pop(0)
                # The key is taken now: a source that is edited during the run must not pass for what has run.
                key = chapter_key(job.chapter, job.parameters, versions, device)
                child = Child(
                    "tutorial_lib.course.run.worker",
                    environment=environment,
                    listener=partial(_hand_on, events, id(job)),
                )
                worker = running[id(job)] = _Worker(job, key, child, time.monotonic())
                more = {"versions": versions, "device": device, "threads": threads}
                child.send(_order(worker, out, timeout, more))
            try:
                place, event = events.get(timeout=0.5)
                worker = running[place]
            except queue.Empty:
                for worker in running.values():
                    if time.monotonic() - worker.started > timeout + GRACE:
                        worker.child.end()
                yield "tick", None, None
                continue
            kind = event["event"] if event else "end"
            if kind == "start":
                yield "start", worker.job, event["total"]
            elif kind == "kernel":
                worker.child.adopt(event["pid"])
            elif kind == "cell":
                yield "cell", worker.job, event["done"]
            elif kind == "done":
                worker.record = event["record"]
            elif kind == "disk":
                worker.disk = event["message"]
            elif kind == "end":
                del running[place]
                yield "done", worker.job, _settle(worker, out, timeout)
    finally:
        for worker in running.values():
            worker.child.dismiss()
        for worker in running.values():
            worker.child.leave(5)


def _hand_on(events: queue.Queue, place: int, event: dict | None) -> None:
    events.put((place, event))


def _order(worker: _Worker, out: Path, timeout: float, more: dict) -> dict:
    """Return what a worker is told to do; ``record`` holds the fields that it stores as they are."""
    chapter, job = worker.job.chapter, worker.job
    return {
        "name": chapter.name,
        "path": str(chapter.path.resolve()),
        "notebook": chapter.text,
        "kernel": chapter.kernel,
        "parameters": job.parameters,
        "timeout": timeout,
        "mode": job.mode,
        "folder": str((out / "chapters").resolve()),
        "target": str(job.target.resolve()) if job.target else None,
        "record": worker.about() | more,
    }


def _settle(worker: _Worker, out: Path, timeout: float) -> dict:
    """Return the record of a worker that has ended; make one where it could not."""
    # Its kernel may live on where the worker itself was killed.
    worker.child.end()
    if worker.disk:
        raise DiskError(f"could not store chapter {worker.job.chapter.name}: {worker.disk}")
    if worker.record is not None:
        return worker.record
    seconds = time.monotonic() - worker.started
    late = seconds > timeout
    how = f"timed out: not done after {timeout:g} s" if late else f"the chapter's process died {worker.child.ended()}"
    record = {
        **worker.about(),
        "status": "timeout" if late else "failed",
        "seconds": round(seconds, 3),
        "peak_mib": 0.0,
        "claims": [],
        "agrees": None,
        "error": {"cell": None, "source": "", "message": how, "traceback": worker.child.said() or how},
        "files": {},
    }
    if worker.job.mode == "run":
        try:
            atomic_write(out / "chapters" / f"{worker.job.chapter.name}.json", json.dumps(record, indent=1))
        except OSError as error:
            raise DiskError(f"could not store the record of {worker.job.chapter.name}: {error.strerror}") from None
    return record


def plan(jobs: list[Job], parallel: int | None, versions: dict, device: dict) -> tuple[int, int | None]:
    """Return how many chapters run at a time, and on how many threads each computes.

    Left to itself, a chapter has one core, whether or not others run beside it: so its time means the same in every
    run. A GPU, which chapters cannot share without waiting for each other, they take one after the other.

    Args:
        jobs: what shall be run.
        parallel: what was asked for; ``None``: what the machine is good for.
        versions, device: from ``installed_versions`` and ``describe_device``.

    Returns:
        ``(jobs, threads)``; threads ``None``: as many as the system gives.
    """
    if parallel is not None:
        together = max(1, min(parallel, len(jobs)))
        return together, None if together == 1 else max(1, cores() // together)
    defaults = [job.chapter.parameters.get("DEVICE") for job in jobs]
    asked = [job.parameters.get("DEVICE", known.default if known else "cpu") for job, known in zip(jobs, defaults)]
    if any(device_kind(str(one), versions, device) != "cpu" for one in asked):
        return 1, None
    fit = psutil.virtual_memory().available // MEMORY
    return max(1, min(cores(), len(jobs), fit)), 1


def longest_first(jobs: list[Job], out: Path) -> list[Job]:
    """Return jobs in the order in which they are soonest done together: by the last time that was measured.

    A chapter that nobody has measured comes first; it may be the longest.

    Args:
        jobs: in the course's order.
        out: the out folder, which holds the times of the last run; failing that, ``docs/measured.json`` is asked.
    """

    def seconds(job: Job) -> float:
        chapter = job.chapter
        record = read_json(out / "chapters" / f"{chapter.name}.json") or {}
        if record.get("status") == "ok":
            return record["seconds"]
        measured = read_json(chapter.path.resolve().parent.parent / "docs" / "measured.json") or {}
        known = {told["name"]: told["seconds"] for told in measured.get("chapters", [])}
        return known.get(chapter.name, math.inf)

    return sorted(jobs, key=seconds, reverse=True)


def run(
    chapters: list[Chapter],
    *,
    out: Path,
    parameters: list[dict[str, Any]],
    parallel: int | None = 1,
    timeout: float = TIMEOUT,
    fresh: bool = False,
    others: Sequence[Chapter] = (),
    show=None,
    arithmetic: str = "native",
) -> dict:
    """Bring the out folder up to date: run what is missing or has changed, keep the rest, write the report.

    The report is written anew after every chapter, so that it is never behind what is stored.

    Args:
        chapters: what was asked for.
        out: the out folder.
        parameters: typed values, one mapping a chapter.
        parallel: chapters at a time; ``None``: see ``plan``.
        timeout: seconds for one chapter.
        fresh: redo also what is finished.
        others: chapters not asked for; the finished ones among them stay in the report, as ``cached``.
        show: an object with the methods of ``tutorial_lib.course.progress.Lines``.
        arithmetic: ``"plain"``: with other vector instructions and another number of threads than this machine's own,
            to see what of the results is the machine's.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        CourseError: if the folder cannot be used or a kernel is missing.
        DiskError: if a result could not be stored.
        KeyboardInterrupt: on Ctrl-C, after the workers are ended and the report is written.
    """
    from tutorial_lib.course.progress import Lines
    from tutorial_lib.course.run.report import write_reports

    show, began = show or Lines(sys.stdout), time.perf_counter()
    check_kernels(chapters)
    versions, device = installed_versions(), describe_device()
    if arithmetic != "native":
        device |= {"arithmetic": arithmetic}
    lock = open_folder(out)
    summary: dict = {}
    try:
        records, jobs = {}, []
        for chapter in others:
            if record := finished(out, chapter, None, versions, device):
                records[chapter.name] = {**record, "status": "cached"}
        for chapter, values in zip(chapters, parameters, strict=True):
            record = None if fresh else finished(out, chapter, values, versions, device)
            if record:
                records[chapter.name] = {**record, "status": "cached"}
                show.cached(records[chapter.name])
            else:
                records.pop(chapter.name, None)
                jobs.append(Job(chapter, values))
        names = [job.chapter.name for job in jobs]
        together, threads = plan(jobs, parallel, versions, device)
        if together > 1:
            jobs = longest_first(jobs, out)

        # Where nothing is left to do, the report goes on telling of the run that did it.
        earlier = (read_json(out / "summary.json") or {}).get("run") if not jobs else None

        def report() -> dict:
            missing = [name for name in names if name not in records]
            ran = [record for record in records.values() if record["status"] != "cached"]
            about = earlier or {
                "chapters": sorted(record["name"] for record in ran),
                "jobs": together,
                "threads": threads,
                "wall_seconds": round(time.perf_counter() - began, 3),
                "running_seconds": round(sum(record["seconds"] for record in ran), 3),
            }
            told = [records[name] for name in sorted(records)]
            try:
                return write_reports(out, told, missing=missing, versions=versions, device=device, run=about)
            except OSError as error:
                raise DiskError(f"could not write the report in {out}: {error.strerror or error}") from None

        summary = report()
        stream = execute(
            jobs,
            out=out,
            parallel=together,
            threads=threads,
            arithmetic=arithmetic,
            timeout=timeout,
            versions=versions,
            device=device,
        )
        with closing(stream), closing(show):
            for kind, job, value in stream:
                if kind == "done" and job is not None:
                    figure = read_json(out / "chapters" / f"{job.chapter.name}.json") or {}
                    records[job.chapter.name] = {**value, "figure": figure.get("figure")}
                    summary = report()
                show.event(kind, job, value)
    finally:
        lock.release()
    return summary


def refresh(jobs: list[Job], *, parallel: int | None = 1, timeout: float = TIMEOUT, show=None) -> list[dict]:
    """Execute notebooks and save them in place, free of the noise of running; a failure leaves a notebook alone.

    Args:
        jobs: with ``mode="refresh"`` and a target.
        parallel, timeout, show: as for ``run``.

    Returns:
        The records, in the order in which they ended.
    """
    from tutorial_lib.course.progress import Lines

    show = show or Lines(sys.stdout)
    check_kernels([job.chapter for job in jobs])
    for folder in {job.target.parent for job in jobs if job.target}:
        if not os.access(folder, os.W_OK):
            raise CourseError(f"cannot write in {folder}")
        remove_leftovers(folder)
    records: list[dict] = []
    versions, device = installed_versions(), describe_device()
    together, threads = plan(jobs, parallel, versions, device)
    if together > 1:
        jobs = longest_first(jobs, Path())
    stream = execute(
        jobs, out=Path(), parallel=together, threads=threads, timeout=timeout, versions=versions, device=device
    )
    with closing(stream), closing(show):
        for kind, job, value in stream:
            if kind == "done":
                records.append(value)
            show.event(kind, job, value)
    return records
