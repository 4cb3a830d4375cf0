"""A chapter's experiment as a function of method, seed and settings, without running the chapter.

Every chapter ends its experiment in ``compare(run, methods, seeds, **fixed)``. Here the cells which that cell depends
on are executed once, with ``compare`` replaced by a recorder: what comes out is ``run``, the methods and the fixed
settings. From then on one run costs what ``run`` costs, and not a notebook.

``python -m tutorial_lib.course.sweep.experiment`` is the process in which this happens
(:mod:`tutorial_lib.course.processes`); the cells' own output goes nowhere. When whoever started it is gone, it ends at
once: also in the middle of a run. So whatever a chapter does (never ends, takes all memory, calls ``os._exit``), it
does to this process alone; ``Experimenter`` is the other end of the line.
"""

import ast
import base64
import inspect
import linecache
import os
import pickle
import platform
import re
import sys
import time
import traceback
import types
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tutorial_lib.lab as lab
from tutorial_lib.course.processes import Parent
from tutorial_lib.course.sweep.program import Program, as_python, calls_compare

#: An experimenter that nobody has asked for so long ends.
IDLE = 600.0
_MIB = 2**20
_HOMES = ("tutorial_lib.lab.training", "tutorial_lib.lab.results")


@dataclass
class Call:
    """One call of ``compare`` as the chapter makes it."""

    run: Any
    methods: list
    seeds: list
    fixed: dict[str, Any]

    def describe(self) -> dict:
        """Return what there is to know about it as JSON data: also the further settings that ``run`` takes."""
        takes, more = {}, False
        with suppress(TypeError, ValueError):
            for place, known in enumerate(inspect.signature(self.run).parameters.values()):
                more |= known.kind is known.VAR_KEYWORD
                if place > 1 and known.kind in (known.POSITIONAL_OR_KEYWORD, known.KEYWORD_ONLY):
                    takes[known.name] = None if known.default is known.empty else _shown(known.default)
        seeds = [seed for seed in self.seeds if isinstance(seed, int)]
        return {
            "run": getattr(self.run, "__qualname__", "run"),
            "methods": [*map(_shown, self.methods)],
            "seeds": seeds,
            "fixed": {name: _shown(value) for name, value in self.fixed.items()},
            "takes": takes | {name: _shown(value) for name, value in self.fixed.items()},
            "more": more,
        }


class _Shell:
    """Stands in for IPython's shell: a magic does nothing here."""

    def __getattr__(self, name):
        return lambda *arguments, **settings: None


def load(program: Program, parameters: dict[str, Any]) -> list[Call]:
    """Execute the cells that an experiment needs, and return its calls of ``compare``.

    ``compare`` itself never runs, in no cell, and nothing is stored under ``results/``. In the experiment's cell
    nothing after its last ``compare`` runs, and what fails before it (the recorder's table is empty) is passed over.

    Args:
        program: what to execute.
        parameters: values put in after the parameters cell.

    Raises:
        RuntimeError: naming the cell that failed, or the settings that ``run`` would read too late.
    """
    calls: list[Call] = []
    read: list[dict[str, Any]] = []

    def compare(run, methods, seeds, *, progress=None, **fixed):
        import pandas as pd

        calls.append(Call(run, list(methods), list(seeds), fixed))
        read.append(_globals(run))
        return pd.DataFrame(columns=["method", "seed", *fixed])

    def save_result(name, *arguments, **settings):
        return Path(name)

    instead = {"compare": compare, "save_result": save_result}
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace.update(get_ipython=_Shell, display=lambda *shown, **settings: None)
    sys.modules["__main__"] = module
    for place, (source, number) in enumerate(zip(program.sources, program.numbers)):
        if place == len(program.sources) - 1:
            calls.clear()
            read.clear()
        _execute(source, f"<{program.chapter}, code cell {number}>", namespace, instead, calls)
        if place == program.parameters:
            namespace.update(parameters)
    if not calls:
        raise RuntimeError(f"code cell {program.numbers[-1]} did not call compare(run, methods, seeds)")
    for call, before in zip(calls, read):
        late = [name for name, value in before.items() if namespace.get(name) is not value]
        if late:
            raise RuntimeError(
                f"code cell {program.numbers[-1]} changes {', '.join(late)}, which {call.run.__name__} "
                f"reads, after its call of compare: hand it over, as in compare(…, {late[0]}={late[0]})"
            )
    return calls


def _execute(source: str, name: str, namespace: dict, instead: dict, calls: list) -> None:
    source = as_python(source)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body, compares = ast.parse(source, name).body, list(map(calls_compare, ast.parse(source).body))
    if any(compares):
        # What follows the experiment only shows its table.
        body = body[: len(compares) - compares[::-1].index(True)]
    before = len(calls)
    for statement in body:
        _replace(namespace, instead)
        try:
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
        except Exception:
            # The recorder's table is empty: what works on it may fail, nothing else.
            if len(calls) == before:
                raise
    _replace(namespace, instead)


def _replace(namespace: dict, instead: dict) -> None:
    """Put the stand-ins wherever a cell may take the originals from; what is not loaded stays so."""
    vars(lab).update(instead)
    for place in (namespace, *(vars(sys.modules[name]) for name in _HOMES if name in sys.modules)):
        place.update({key: value for key, value in instead.items() if key in place})


def _globals(function) -> dict[str, Any]:
    """Return the notebook's values that a function reads."""
    with suppress(TypeError, ValueError):
        return dict(inspect.getclosurevars(function).globals)
    return {}


def _shown(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    # Where an object lies in memory says nothing about it.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:200]


def scores_of(result: Any) -> dict[str, Any]:
    """Return what ``run`` gave as plain numbers and texts, to the last bit.

    Args:
        result: a mapping from names to numbers or texts; arrays and tensors of one value count as numbers.

    Raises:
        TypeError: if it is something else.

    >>> scores_of({"accuracy": 0.5, "best": "a"})
    {'accuracy': 0.5, 'best': 'a'}
    """
    if not isinstance(result, Mapping):
        raise TypeError(f"run must return a dict of scores, got {type(result).__name__}")
    scores = {}
    for name, value in result.items():
        # Not of every library: a tensor's size is a method, a pandas Series of one value has one dimension.
        if hasattr(value, "item") and (
            type(value).__name__ == "Tensor" or getattr(value, "size", None) == 1 or getattr(value, "ndim", None) == 0
        ):
            value = value.item()
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise TypeError(f"score {name!r} must be a number or a text, got {type(value).__name__}")
        scores[str(name)] = value
    return scores


def describe_error(error: BaseException, *, lines: int = 12) -> dict[str, str]:
    """Return an error as ``type``, ``message`` and the last lines of its traceback.

    Args:
        error: what was raised.
        lines: how many lines at most.
    """
    text = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return {"type": type(error).__name__, "message": str(error)[:1000], "traceback": "\n".join(text[-lines:])[:4000]}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy"):
        if name in sys.modules:
            found[name] = str(sys.modules[name].__version__)
    return found


class _Memory:
    """Says when this process has grown out of measure: chapters keep what they have loaded, seed by seed."""

    def __init__(self):
        import psutil

        self.process = psutil.Process()
        share = psutil.virtual_memory().total / max(1, os.cpu_count() or 1)
        self.limit = max(self.process.memory_info().rss + 512 * _MIB, 0.6 * share)

    def full(self) -> bool:
        return self.process.memory_info().rss > self.limit


def main() -> None:
    """Take orders and answer them until the other side is gone."""
    import faulthandler

    faulthandler.enable()
    parent = Parent(silent=True)
    loaded: dict[str, list[Call]] = {}
    memory = _Memory()
    while True:
        try:
            # Pickled, so that a tuple arrives as a tuple.
            order = pickle.loads(base64.b64decode(parent.receive(timeout=IDLE)))
        except TimeoutError:
            os._exit(0)
        if order["do"] == "load":
            start = time.perf_counter()
            try:
                with suppress(OSError):
                    os.chdir(order["program"].folder)
                    sys.path.insert(0, order["program"].folder)
                loaded[order["set"]] = calls = load(order["program"], order["parameters"])
                runs = list({id(call.run): None for call in calls})
                answer: dict[str, Any] = {
                    "calls": [call.describe() | {"which": runs.index(id(call.run))} for call in calls],
                    "versions": _versions(),
                }
                memory = _Memory()
            except BaseException as error:
                answer = {"error": describe_error(error)}
            answer["seconds"] = time.perf_counter() - start
        else:
            answer = _run(loaded[order["set"]][order["call"]], order) | {"full": memory.full()}
        parent.send(answer)


def _run(call: Call, order: dict) -> dict[str, Any]:
    # A method may be any value in the chapter; the order names it by its place.
    method = call.methods[order["method"]]
    started, start = time.time(), time.perf_counter()
    try:
        answer = {"scores": scores_of(call.run(method, order["seed"], **(call.fixed | order["settings"])))}
    except BaseException as error:
        answer = {"error": describe_error(error)}
    return answer | {"seconds": time.perf_counter() - start, "started": started, "pid": os.getpid()}


if __name__ == "__main__":
    main()
