"""Evidence: the runs of many seeds on which a chapter's verdicts rest, made once, stored in ``results/``, checked.

``results/evidence.toml`` says what there shall be, before it is made::

    [06_dtc_phantoms]                                 # results/06_dtc_phantoms.json
    chapter = "06"
    experiment = "results"                            # of a chapter with several: what the cell assigns
    parameters = { FAST = false }
    runs = [ { methods = ["DTC", "Dice only"], seeds = "0-39" } ]

``tutorial evidence`` makes what is missing, through the sweep, and stores it with its command, versions, machine, time
and the hash of the code that ran (``Program.meaning``). When the chapter's experiment has changed since, all of it is
stale, and made again. A file is whole at any time; ended in the middle, the same command goes on from there.
"""

import argparse
import hashlib
import json
import math
import platform
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutorial_lib.course.catalogue import Chapter, CourseError, find_notebooks, select
from tutorial_lib.course.files import atomic_write, read_json
from tutorial_lib.course.progress import duration
from tutorial_lib.course.sweep.grid import Sweep, parse_seeds, sweep
from tutorial_lib.course.sweep.journal import Journal
from tutorial_lib.course.sweep.program import read_program

PLAN = "evidence.toml"
_DIGITS = 6  # significant digits of a stored score


@dataclass(frozen=True)
class Plan:
    """What one file of evidence shall hold.

    Attributes:
        name: of the file, without ``.json``.
        chapter: the notebook.
        parameters: those of the chapter's that differ from its defaults.
        wanted: (method, seed), in the order in which they are worth having: seeds outermost within each entry.
        path: of the file.
        cells: the hash of the chapter's experiment as it is now.
        experiment: the variable that the experiment's cell assigns; ``None``: the chapter's own.
    """

    name: str
    chapter: Chapter
    parameters: dict[str, Any]
    wanted: tuple[tuple[str, int], ...]
    path: Path
    cells: str
    experiment: str | None = None


@dataclass
class State:
    """What there is of it: the valid rows by (method, seed), and whether the file was made by other cells."""

    plan: Plan
    record: dict = field(repr=False)
    rows: dict[tuple[str, int], dict] = field(repr=False)
    stale: bool

    @property
    def missing(self) -> list[tuple[str, int]]:
        return [point for point in self.plan.wanted if point not in self.rows]


def add_evidence(parser) -> None:
    """Declare what ``tutorial evidence`` takes."""
    from tutorial_lib.course.command import positive, whole_number

    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="01, 1, 01_mixup, mixup; all if none is named")
    parser.add_argument(
        "--check", action="store_true", help="run nothing: say what is missing or stale, and fail if anything is"
    )
    parser.add_argument(
        "--from",
        metavar="DIR",
        dest="source",
        type=Path,
        action="append",
        default=[],
        help="also take the rows of this sweep of the same cells, such as one made on a cluster",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler (default: workers on this machine)")
    parser.add_argument(
        "--workers", metavar="N", type=whole_number, help="how many to start here (default: one a core)"
    )
    parser.add_argument(
        "--timeout", metavar="S", type=positive, default=7200.0, help="seconds for one run (default: 7200)"
    )


def evidence(options) -> int:
    """Do what ``tutorial evidence`` was asked for.

    Args:
        options: the command's.

    Returns:
        The exit status: 0 if all evidence is there and today's.

    Raises:
        CourseError: if the plan cannot be read, or a chapter has none.
    """
    notebooks = options.notebooks or find_notebooks()
    plans = read_plans(notebooks)
    if options.chapters:
        names = {chapter.name for chapter in select(options.chapters, notebooks)}
        without = names - {plan.chapter.name for plan in plans}
        if without:
            raise CourseError(f"{', '.join(sorted(without))} has no evidence planned in results/{PLAN}")
        plans = [plan for plan in plans if plan.chapter.name in names]
    if not plans:
        print(f"No chapter has evidence planned: results/{PLAN} is not there, or is empty.")
    states = [look(plan) for plan in plans]
    for folder in options.source:
        for state in states:
            taken = take(state, folder)
            if taken:
                write(state)
                print(f"{state.plan.name}: {taken} runs taken from {folder}", flush=True)
    for state in states:
        print(describe(state), flush=True)
    todo = [state for state in states if state.missing]
    if options.check or not todo:
        return 1 if todo or any(state.stale for state in states) else 0
    for state in todo:
        status = make(state, options, notebooks)
        if status:
            return status
    return 0


def read_plans(notebooks: Path) -> list[Plan]:
    """Return what ``results/evidence.toml`` asks for; nothing if there is no such file.

    Args:
        notebooks: the folder of chapters; ``results/`` lies beside it.

    Raises:
        CourseError: naming what in the file cannot be.
    """
    path = notebooks.resolve().parent / "results" / PLAN
    if not path.is_file():
        return []
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} is not TOML: {error}") from None
    return [_plan(path, name, entry, notebooks) for name, entry in told.items()]


def _plan(path: Path, name: str, entry: Any, notebooks: Path) -> Plan:
    def need(told: Any, key: str, kind: type, example: str) -> Any:
        value = told.get(key) if isinstance(told, dict) else None
        if not isinstance(value, kind):
            raise CourseError(f"{path}, [{name}]: {key} must be such as {example}, got {value!r}")
        return value

    chapter = select([need(entry, "chapter", str, '"06"')], notebooks)[0]
    parameters = need({"parameters": {}} | entry, "parameters", dict, "{ FAST = false }")
    unknown = [key for key in parameters if key not in chapter.parameters]
    if unknown:
        raise CourseError(f"{path}, [{name}]: chapter {chapter.name} has no parameter {unknown[0]!r}")
    wanted: dict[tuple[str, int], None] = {}
    for group in need(entry, "runs", list, '[ { methods = ["A", "B"], seeds = "0-39" } ]'):
        methods = need(group, "methods", list, '["A", "B"]')
        try:
            seeds = parse_seeds(need(group, "seeds", str, '"0-39"'))
        except argparse.ArgumentTypeError as error:
            raise CourseError(f"{path}, [{name}]: {error}") from None
        wanted |= dict.fromkeys((str(method), seed) for seed in seeds for method in methods)
    experiment = need({"experiment": ""} | entry, "experiment", str, '"results"') or None
    cells = read_program(chapter, experiment).meaning()
    return Plan(name, chapter, parameters, tuple(wanted), path.with_name(f"{name}.json"), cells, experiment)


def look(plan: Plan) -> State:
    """Return what is stored of a plan; rows made by other cells or with other parameters do not count.

    Args:
        plan: from ``read_plans``.
    """
    record = read_json(plan.path) or {}
    valid = record.get("cells") == plan.cells and record.get("parameters") == plan.parameters
    rows = {(row["method"], row["seed"]): row for row in record.get("rows", ())} if valid else {}
    return State(plan, record, rows, stale=bool(record) and not valid)


def describe(state: State) -> str:
    """Return one line: what is there, what is missing, and how long that will take.

    Args:
        state: from ``look``.
    """
    plan, missing = state.plan, state.missing
    seeds = len({seed for _, seed in plan.wanted})
    line = f"{plan.name}: {len(plan.wanted) - len(missing)} of {len(plan.wanted)} runs ({seeds} seeds)"
    if state.stale:
        line += "; the experiment has changed since the file was made: all of it is stale"
    if not missing:
        return line
    known: dict[str, list[float]] = {}
    for row in state.record.get("rows", ()):
        known.setdefault(row["method"], []).append(row["seconds"])
    spent = [sum(known[method]) / len(known[method]) for method, _ in missing if method in known]
    if not spent:
        return f"{line}; {len(missing)} to do, how long is known after the first"
    return (
        f"{line}; {len(missing)} to do, about {duration(len(missing) * sum(spent) / len(spent))} "
        "of one core at the pace of the stored runs"
    )


def make(state: State, options, notebooks: Path) -> int:
    """Run what is missing, and store it: after each group of seeds that lack the same methods, and on the way out.

    Args:
        state: from ``look``; its rows grow.
        options: the command's: ``scheduler``, ``workers``, ``timeout``.
        notebooks: the folder of chapters.

    Returns:
        The exit status.
    """
    lacking: dict[tuple[str, ...], list[int]] = {}
    by_seed: dict[int, list[str]] = {}
    for method, seed in state.missing:
        by_seed.setdefault(seed, []).append(method)
    for seed, methods in by_seed.items():
        lacking.setdefault(tuple(methods), []).append(seed)
    for together, seeds in lacking.items():
        order = argparse.Namespace(
            notebooks=notebooks,
            chapter=state.plan.chapter.name,
            parameter=[[name, str(value)] for name, value in state.plan.parameters.items()],
            seeds=seeds,
            methods=",".join(f'"{method}"' if "," in method else method for method in together),
            experiment=state.plan.experiment,
            scheduler=options.scheduler,
            workers=options.workers,
            timeout=options.timeout,
            out=None,
            fresh=False,
            retry_failed=True,
        )
        status = sweep(order)
        if take(state, Sweep(order).out):
            write(state)
        if status:
            return status
    return 0


def take(state: State, folder: Path) -> int:
    """Take from a sweep's journal what a plan lacks.

    Args:
        state: from ``look``; its rows grow.
        folder: the sweep's.

    Returns:
        How many runs were taken; none if it ran other cells.

    Raises:
        CourseError: if the folder holds no sweep.
    """
    about = read_json(folder / "sweep.json")
    if about is None:
        raise CourseError(f"{folder} holds no sweep")
    plan = state.plan
    if about.get("cells") != plan.cells:
        return 0
    defaults = {name: known.default for name, known in plan.chapter.parameters.items() if name != "SEED"}
    taken = 0
    for row in Journal(folder / "rows.jsonl").read():
        point = (row["method"], row["seed"])
        good = row["status"] == "ok" and row["base"] in about["described"]
        if good and row["parameters"] == defaults | plan.parameters and point in state.missing:
            scores = {name: _rounded(value) for name, value in row["scores"].items()}
            head = {"method": row["method"], "seed": row["seed"], **row["settings"]}
            state.rows[point] = head | scores | {"seconds": round(row["seconds"], 2)}
            state.record["versions"] = row["versions"]
            taken += 1
    return taken


def write(state: State) -> None:
    """Store the rows of a plan with what is needed to judge and repeat them.

    Args:
        state: with at least one row.
    """
    plan = state.plan
    rows = [state.rows[point] for point in plan.wanted if point in state.rows]
    record = {
        "command": shlex.join(["tutorial", "evidence", plan.chapter.name]),
        "chapter": plan.chapter.name,
        "cells": plan.cells,
        "parameters": plan.parameters,
        "versions": state.record.get("versions", {}),
        "machine": machine(),
        "data_sha256": _data(plan),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(sum(row["seconds"] for row in rows)),
    }
    state.record, state.stale = {**record, "rows": rows}, False
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(record, indent=1, ensure_ascii=False)[:-2]
    atomic_write(plan.path, f'{head},\n "rows": [\n{lines}\n]}}\n')


def _data(plan: Plan) -> dict[str, str] | None:
    """Return the SHA-256 of the prepared sets that a run reads, by name; those that are here."""
    from tutorial_lib.lab.real import SETS, prepared_path

    asked = plan.parameters.get("DATA", "builtin")
    if asked == "builtin":
        return None
    named = re.findall(r"""load_real\(["'](\w+)["']""", plan.chapter.text.replace("\\", ""))
    names = [asked] if asked in SETS else sorted(set(named))  # "real": whatever the chapter names
    paths = {name: prepared_path(name) for name in names}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if path.is_file()}


def machine() -> str:
    """Return what kind of processor this is, as the system names it.

    >>> bool(machine())
    True
    """
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    if not isinstance(value, float) or not math.isfinite(value) or value == 0:
        return value
    return float(f"{value:.{_DIGITS}g}")
