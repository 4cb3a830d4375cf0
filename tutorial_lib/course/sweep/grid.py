"""Runs a chapter's experiment over a grid of settings and seeds, on Dask, and keeps what is finished.

``tutorial sweep 02 -p rate 0.0,0.2,0.4 --seeds 0-19`` brings one folder up to date (``runs/sweeps/02_flow_mixup-rate``
unless ``--out`` names another)::

    rows.jsonl       the journal: one run a line, written and flushed to the disk as results come
    table.csv        the same as one tidy table: parameters, settings, method, seed, scores, status, versions, times
    table.parquet    the same, typed
    chart.png        mean and 95 % interval over seeds
    sweep.json       the plan and what came of it

A run's key covers the cells that the experiment needs, the source of this package, the parameters and settings, the
method and the seed; a run whose key is in the journal is not run again. So the same command goes on where the last one
was ended, whichever way: Ctrl-C, ``kill -9``, a lost worker, a lost scheduler. At most the last half second of results
and what was at work are run once more.

The cluster is one on this machine, or any Dask scheduler by its address (Slurm, Kubernetes, a cloud). Its workers need
the same tutorial-lib: each is asked. With ``-p DEVICE cuda`` every worker takes the GPU that it sees: one worker for
each GPU, each with its own ``CUDA_VISIBLE_DEVICES``, is how they are started by whoever starts them.

How far it goes. N runs of T seconds on W workers take about L + N·T/W seconds, where L is what one worker needs to
load the chapter (3 to 15 s). Client and scheduler spend c = 2 to 3 ms of one core on a run (``python -m benchmarks
sweep`` measures it), so they keep T/c workers busy: 100,000 runs of 10 s are 2.8 hours on 100 workers and 5 minutes of
the client's core; with 1,000 workers, runs under 3 s would wait for the scheduler. That is the first bottleneck: the
journal takes 0.4 to 1 kB a run and the final table 5 kB of memory, 40 to 100 MB and half a GB for 100,000.
"""

import argparse
import csv
import hashlib
import itertools
import json
import os
import re
import shlex
import sys
import time
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tutorial_lib.course.catalogue import Chapter, CourseError, find_notebooks, parse_value, select
from tutorial_lib.course.files import read_json
from tutorial_lib.course.sweep.journal import Journal, store
from tutorial_lib.course.sweep.program import Job, Point, read_program


def add_sweep(parser) -> None:
    """Declare what ``tutorial sweep`` takes."""
    from tutorial_lib.course.command import positive, whole_number

    parser.add_argument("chapter", metavar="CHAPTER", help="01, 1, 01_mixup, mixup, or a notebook's path")
    parser.add_argument(
        "-p",
        "--parameter",
        metavar=("NAME", "V1,V2,…"),
        nargs=2,
        action="append",
        default=[],
        help="a chapter's parameter or a setting of its experiment, and the values that it takes",
    )
    parser.add_argument(
        "--seeds", metavar="LIST", type=parse_seeds, help="such as 0-19 or 1,3,5-7 (default: the chapter's)"
    )
    parser.add_argument("--methods", metavar="A,B", help="only these (default: all that the chapter compares)")
    parser.add_argument(
        "--experiment", metavar="NAME", help="another experiment of the chapter, by the variable that its cell assigns"
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask scheduler, such as tcp://10.0.0.1:8786 (default: workers on this machine)",
    )
    parser.add_argument(
        "--workers", metavar="N", type=whole_number, help="how many to start here (default: one a core)"
    )
    parser.add_argument(
        "--timeout", metavar="S", type=positive, default=1800.0, help="seconds for one run (default: 1800)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="the folder of results (default: runs/sweeps/NAME)")
    parser.add_argument("--fresh", action="store_true", help="redo also what is finished")
    parser.add_argument("--retry-failed", action="store_true", help="redo what failed")


def parse_seeds(text: str) -> list[int]:
    """Turn ``0-19`` or ``1,3,5-7`` into seeds.

    Args:
        text: numbers and ranges, with commas between them.

    Raises:
        argparse.ArgumentTypeError: if it is something else.

    >>> parse_seeds("1,3,5-7")
    [1, 3, 5, 6, 7]
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 2**32 or last - first > 10**7:
            raise argparse.ArgumentTypeError(f"expected seeds such as 0-19 or 1,3,5-7, got {text!r}")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def split_values(text: str) -> list[str]:
    """Cut ``v1,v2`` at the commas that stand in no bracket and no quotes.

    >>> split_values("0.1,(1, 2),'a,b'")
    ['0.1', '(1, 2)', "'a,b'"]
    """
    parts, depth, quote = [""], 0, ""
    for character in text:
        if character in "'\"":
            quote = "" if quote == character else quote or character
        elif not quote:
            depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def sweep(options) -> int:
    """Do what ``tutorial sweep`` was asked for; return its exit status (1: not all of it went well)."""
    from tutorial_lib.course.command import Terminated, terminated_like_interrupted
    from tutorial_lib.course.files import DiskError
    from tutorial_lib.course.sweep.cluster import SchedulerLost, WorkerUnfit, check_installed

    check_installed()
    again = "the same command goes on from there"
    plan = Sweep(options)
    try:
        with terminated_like_interrupted():
            return plan.run()
    except KeyboardInterrupt as interrupt:
        print(f"\ntutorial: interrupted. Finished runs are kept in {plan.out}; {again}.", file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    except SchedulerLost:
        where = options.scheduler or "this machine"
        print(
            f"\ntutorial: the Dask scheduler at {where} does not answer any more. Finished runs are kept in "
            f"{plan.out}; {again}.",
            file=sys.stderr,
        )
    except WorkerUnfit as error:
        print(f"\ntutorial: {error}\nFinished runs are kept in {plan.out}; {again}.", file=sys.stderr)
    except DiskError as error:
        print(
            f"\ntutorial: {error}. Runs stored before are kept in {plan.out}; make room, then {again}.", file=sys.stderr
        )
    return 1


class Run(NamedTuple):
    """One run of the grid: its key, what a worker is told, and what is stored of it before it runs."""

    key: str
    point: Point
    about: dict[str, Any]


@dataclass(frozen=True)
class _Line:
    """The runs of one method with one set of parameters and settings: they differ in their seed."""

    base: str
    call: int
    number: int
    method: Any
    settings: dict[str, Any]
    full: dict[str, Any]
    start: str
    seeds: list[int]

    def run(self, seed: int) -> Run:
        key = hashlib.sha256(f"{self.start}/{json.dumps(self.method)}/{seed}".encode()).hexdigest()[:32]
        about = {"key": key, "base": self.base, "settings": self.full, "method": self.method, "seed": seed}
        return Run(key, Point(self.base, self.call, self.number, seed, self.settings), about)


class Sweep:
    """One sweep, from what was asked to what is stored.

    Args:
        options: the command's.

    Raises:
        CourseError: for what can be seen to be wrong without running anything.
    """

    def __init__(self, options):
        from tutorial_lib.course.keys import quoted_results, source_hash
        from tutorial_lib.course.machine import PACKAGE

        notebooks = options.notebooks or find_notebooks()
        self.options = options
        self.chapter: Chapter = select([options.chapter], notebooks)[0]
        self.program = read_program(self.chapter, options.experiment)
        self.asked: dict[str, list[str]] = {}
        for name, text in options.parameter:
            if name in self.asked:
                raise CourseError(f"-p {name} is there twice; give all its values at once: -p {name} v1,v2")
            if name == "SEED":
                raise CourseError("a sweep's seeds are given as --seeds, such as --seeds 0-19, not as -p SEED")
            self.asked[name] = split_values(text)
        own = {name: values for name, values in self.asked.items() if name in self.chapter.parameters}
        self.source = source_hash(PACKAGE)
        # Only what the experiment's own cells quote: evidence that is stored while a sweep is under way changes no key.
        quoted = quoted_results(self.chapter, "\n".join(self.program.sources))
        self.common = [self.program.key(), self.source, quoted]
        sets = [
            dict(zip(own, values))
            for values in itertools.product(
                *(self._typed(name, texts, self.chapter.parameters[name].kind) for name, texts in own.items())
            )
        ]
        defaults = {name: known.default for name, known in self.chapter.parameters.items() if name != "SEED"}
        #: By the hash of all that a run depends on besides its settings: the parameters, all of them.
        self.sets = {self.base(defaults | values): defaults | values for values in sets}
        self.changed = {self.base(defaults | values): values for values in sets}
        name = "-".join([self.chapter.name, *([options.experiment] if options.experiment else []), *self.asked])
        self.out = options.out or notebooks.resolve().parent / "runs" / "sweeps" / re.sub(r"[^\w.-]", "_", name)

    def base(self, parameters: dict[str, Any]) -> str:
        """Return the hash of what would run with these parameters."""
        from tutorial_lib.course.keys import prepared_data

        data = [] if parameters.get("DATA", "builtin") == "builtin" else prepared_data()
        return _hash([*self.common, parameters, data])[:32]

    def _typed(self, name: str, texts: list[str], kind: str) -> list:
        try:
            values = [parse_value(text, kind) for text in texts]
            return list({json.dumps(value): value for value in values}.values())
        except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
            raise CourseError(
                f"{name} of chapter {self.chapter.name} is of type {kind}, got {','.join(texts)!r}"
            ) from None

    # --- the grid ---

    def points(self, described: dict[str, dict]) -> Iterator[Run]:
        """Yield every run of the grid once.

        Args:
            described: by parameter set, what ``experiment.load`` found.

        Raises:
            CourseError: for an unknown setting or method; it lists those that there are.
        """
        calls = [(base, place, call) for base, about in described.items() for place, call in enumerate(about["calls"])]
        swept = {name: texts for name, texts in self.asked.items() if name not in self.chapter.parameters}
        known = {name: call["takes"][name] for _, _, call in calls for name in call["takes"]}
        more = any(call["more"] for _, _, call in calls)
        for name in swept:
            if name not in known and not more:
                raise CourseError(
                    f"the experiment {self.program.experiment} of chapter {self.chapter.name} takes no "
                    f"{name!r}; {self._takes(calls)}"
                )
        values = {name: self._typed(name, texts, _kind(known.get(name))) for name, texts in swept.items()}
        methods = list(dict.fromkeys(method for _, _, call in calls for method in call["methods"]))
        chosen = set(_pick(self.options.methods, methods, self.chapter.name)) if self.options.methods else set(methods)
        combinations = [dict(zip(values, point)) for point in itertools.product(*values.values())]
        lines = []
        for base, place, call in calls:
            if all(name in call["takes"] or call["more"] for name in swept):
                for settings in combinations:
                    full = call["fixed"] | settings
                    start = _hash([base, call["run"], call["which"], full])
                    lines += [
                        _Line(base, place, number, method, settings, full, start, call["seeds"])
                        for number, method in enumerate(call["methods"])
                        if method in chosen
                    ]
        seeds = self.options.seeds or sorted({seed for line in lines for seed in line.seeds})
        seen = set()
        # Seeds outermost: what is there at any time can be compared in pairs.
        for seed in seeds:
            for line in lines:
                run = line.run(seed)
                if run.key not in seen and (self.options.seeds or seed in line.seeds):
                    seen.add(run.key)
                    yield run

    def _takes(self, calls: list[tuple]) -> str:
        settings: dict[str, dict] = {}
        for _, _, call in calls:
            for name, value in call["takes"].items():
                settings.setdefault(name, {})[json.dumps(value)] = value
        parts = [f"{name} ({', '.join(map(str, values.values()))})" for name, values in settings.items()]
        own = [str(known) for known in self.chapter.parameters.values() if known.name != "SEED"]
        return f"its settings are {', '.join(parts) or 'none'}; the chapter's parameters are {', '.join(own) or 'none'}"

    # --- doing it ---

    def job(self, *, threads: int | None) -> Job:
        """Return what a worker needs to know besides the point."""
        return Job(os.urandom(6).hex(), self.source, self.options.timeout, threads, self.program, self.changed)

    def run(self) -> int:
        """Run what is missing and write the results."""
        from tutorial_lib.course.files import open_folder
        from tutorial_lib.course.machine import cores
        from tutorial_lib.course.progress import Counter
        from tutorial_lib.course.sweep.cluster import (
            ask_for_calls,
            check_workers,
            connect,
            forget_everywhere,
            run_all,
            wait_for_a_worker,
        )

        options, started = self.options, time.time()
        count = options.workers or cores()
        stored = {} if options.fresh else (read_json(self.out / "sweep.json") or {}).get("described", {})
        described = {base: stored[base] for base in self.sets if base in stored}
        # On a cluster that others have started, its own settings say how many threads a run may take.
        job = self.job(threads=None if options.scheduler else max(1, cores() // count))
        with ExitStack() as stack:

            @cache
            def cluster() -> tuple[Any, int]:
                client = stack.enter_context(connect(options.scheduler, workers=count))
                stack.callback(forget_everywhere, client, job)
                threads = sum(wait_for_a_worker(client, _say).values())
                check_workers(client)
                return client, threads

            for base in self.sets:
                if base not in described:
                    where = options.scheduler or f"{count} worker{'s' * (count > 1)} on this machine"
                    _say(f"{self.chapter.name}: loading the experiment {self.program.experiment!r} ({where})")
                    described[base] = ask_for_calls(cluster()[0], job, base)
            runs = list(self.points(described))
            if not runs:
                raise CourseError(f"nothing to run: no method of chapter {self.chapter.name} takes part")
            stack.callback(open_folder(self.out, inside=(), mark="sweep.json", what="sweep").release)
            journal = stack.enter_context(Journal(self.out / "rows.jsonl"))
            again = {key for key, status in journal.status.items() if status != "ok"} if options.retry_failed else set()
            there = set() if options.fresh else journal.status.keys() - again
            todo = [run for run in runs if run.key not in there]
            _say(self._plan(runs, todo, bad=sum(journal.status.get(run.key, "ok") != "ok" for run in runs)))
            summary = {
                "schema": 1,
                "chapter": self.chapter.name,
                "experiment": self.program.experiment,
                "command": shlex.join(["tutorial", *sys.argv[1:]]),
                "asked": self.asked,
                "runs": len(runs),
                "there": len(runs) - len(todo),
                "source": self.source,
                "cells": self.program.meaning(),
                "described": described,
                "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            }
            store(self.out / "sweep.json", json.dumps(summary, indent=1))
            try:
                if todo:
                    client, threads = cluster()
                    counter = stack.enter_context(Counter(len(todo), sys.stdout))
                    for rows in run_all(client, job, (run.point for run in todo), threads=threads):
                        for place, result in rows or ():
                            run = todo[place]
                            known = {"parameters": self.sets[run.point.base], "source": self.source[:12]}
                            journal.add(run.about | known | result)
                            counter.count(result["status"], result["worker"])
                        journal.write()
                        counter.tick()
            finally:
                journal.write(now=True)
                # Also of what was ended before its time there is a table.
                summary |= self._finish(journal, runs, started)
                store(self.out / "sweep.json", json.dumps(summary, indent=1))
        return self._report(summary, runs, journal)

    def _plan(self, runs: list[Run], todo: list[Run], *, bad: int) -> str:
        def values(what) -> list:
            return list(dict.fromkeys(json.dumps(what(run.about)) for run in runs))

        parts = [f"{len(values(lambda about: about['method']))} methods"]
        for name, texts in self.asked.items():
            parts.append(f"{name} {', '.join(texts)}")
        parts.append(f"{len(values(lambda about: about['seed']))} seeds")
        there = len(runs) - len(todo)
        failed = ""
        if bad and not self.options.retry_failed:
            failed = f" ({bad} of them failed; --retry-failed runs those again)"
        return (
            f"{self.chapter.name}: {' × '.join(parts)}: {len(runs)} runs; {there} are there{failed}, {len(todo)} to do"
        )

    def _finish(self, journal: Journal, runs: list[Run], started: float) -> dict:
        from tutorial_lib.course.sweep.table import write_results

        counts = Counts(journal.status[run.key] for run in runs if run.key in journal.status)
        done = counts.total()
        swept = [name for name, texts in self.asked.items() if len(texts) > 1]
        methods = list(dict.fromkeys(run.about["method"] for run in runs))
        stored = journal.read()
        # Taken once for each set of parameters: with real data it looks at every prepared file.
        current = {
            self.base(values)
            for values in {json.dumps(row["parameters"]): row["parameters"] for row in stored}.values()
        }
        rows = [row for row in stored if row["base"] in current]
        if rows:
            title = f"{self.chapter.title}: {self.program.experiment}"
            write_results(self.out, rows, methods=methods, swept=swept, title=title)
        return {
            "complete": done == len(runs),
            "done": done,
            "counts": dict(counts),
            "rows": len(rows),
            "rows_of_other_programs": len(stored) - len(rows),
            "seconds": round(time.time() - started, 3),
        }

    def _report(self, summary: dict, runs: list[Run], journal: Journal) -> int:
        counts = summary["counts"]
        bad = {status: number for status, number in counts.items() if status != "ok"}
        line = f"{counts.get('ok', 0)} of {len(runs)} runs went well"
        if bad:
            line += "; " + ", ".join(f"{number} {status}" for status, number in bad.items())
        if summary["rows_of_other_programs"]:
            line += f"; {summary['rows_of_other_programs']} rows of other versions stay in the journal only"
        print(line)
        keys = {run.key for run in runs}
        shown: dict[str, list] = {}
        for row in journal.read() if bad else ():
            if row["key"] in keys and row["status"] != "ok":
                text = f"{row['error']['type']}: {row['error']['message']}".splitlines()[0][:160]
                shown.setdefault(text, []).append(row)
        for text, rows in list(shown.items())[:5]:
            print(f"  {len(rows)} × {text}   (first: {rows[0]['method']}, seed {rows[0]['seed']})")
        print(f"Table: {self.out / 'table.csv'} and table.parquet ({summary['rows']} rows); chart: chart.png")
        return 1 if bad or not summary["complete"] else 0


def _hash(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=repr).encode()).hexdigest()


def _kind(value: Any) -> str:
    return type(value).__name__ if isinstance(value, bool | int | float | str) else "any"


def _pick(text: str, known: list, chapter: str) -> list:
    """Turn ``A,B`` into methods; a method's own commas are no end of it."""
    names = {str(method): method for method in known}
    parts = next(csv.reader([text], skipinitialspace=True), [])
    chosen = []
    while parts:
        for length in range(len(parts), 0, -1):
            name = ", ".join(part.strip() for part in parts[:length])
            if name in names:
                chosen.append(names[name])
                parts = parts[length:]
                break
        else:
            raise CourseError(f"chapter {chapter} has no method {parts[0]!r}; its methods are {'; '.join(names)}")
    return chosen


def _say(text: str) -> None:
    print(text, flush=True)
