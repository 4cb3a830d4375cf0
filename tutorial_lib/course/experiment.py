"""A chapter's experiment as a function of method, seed and settings, without running the chapter.

Every chapter ends its experiment in ``compare(run, methods, seeds, **fixed)``. Here the cells which that cell depends
on are executed once, with ``compare`` replaced by a recorder: what comes out is ``run``, the methods and the fixed
settings. From then on one run costs what ``run`` costs, and not a notebook.

``python -m tutorial_lib.course.experiment`` is the process in which this happens. It takes orders, a line each, on its
standard input and answers in JSON on its standard output; the cells' own output goes nowhere. When its input closes,
whoever started it is gone, and it ends at once: also in the middle of a run. So whatever a chapter does (never ends,
takes all memory, calls ``os._exit``), it does to this process alone; ``Experimenter`` is the other end of the line.
"""

import ast
import base64
import hashlib
import importlib.metadata
import inspect
import json
import linecache
import os
import pickle
import platform
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tutorial_lib.lab as lab
from tutorial_lib.course.catalogue import Chapter, CourseError
from tutorial_lib.course.cells import needed

#: Seconds for the cells that an experiment needs; with ``FAST=False`` some chapters choose their settings there.
LOADING = 3600.0
#: An experimenter that nobody has asked for so long ends.
IDLE = 600.0
_MIB = 2**20
_HOMES = ("tutorial_lib.lab.training", "tutorial_lib.lab.results")


@dataclass(frozen=True)
class Program:
    """The part of a chapter that its experiment needs.

    Attributes:
        chapter: the chapter's name.
        experiment: the variable that the experiment's cell assigns, or the cell's id.
        folder: where the notebook lies.
        sources: the cells, in order; the last one is the experiment's.
        numbers: which code cells of the chapter they are, from 1.
        parameters: the place of the parameters cell among them, or ``None``.
    """

    chapter: str
    experiment: str
    folder: str
    sources: tuple[str, ...] = field(repr=False)
    numbers: tuple[int, ...]
    parameters: int | None

    def key(self) -> str:
        """Return the hash of what would be executed."""
        return hashlib.sha256(json.dumps([self.sources, self.parameters]).encode()).hexdigest()


class Stopped(Exception):
    """An experimenter could not do what was asked: ``how`` is ``timeout``, ``killed`` or ``load``."""

    def __init__(self, how: str, message: str):
        super().__init__(how, message)
        self.how, self.message = how, message


def read_program(chapter: Chapter, experiment: str | None = None) -> Program:
    """Cut a chapter's experiment out of its notebook.

    The experiment is the code cell tagged ``experiment``, else the first that calls ``compare`` at its top level.

    Args:
        chapter: the notebook.
        experiment: the variable that another such cell assigns, or its id.

    Raises:
        CourseError: if there is no experiment, or none of that name; it lists those that there are.
    """
    cells = [cell for cell in chapter.notebook()["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    tags = [cell.get("metadata", {}).get("tags") or [] for cell in cells]
    found: dict[str, int] = {}
    for index, source in enumerate(sources):
        name = _compared(source)
        if name is not None or "experiment" in tags[index]:
            found.setdefault(name or cells[index].get("id") or f"cell {index + 1}", index)
    if not found:
        raise CourseError(
            f"chapter {chapter.name} has no experiment to sweep: no cell calls compare(run, methods, seeds)"
        )
    if experiment is not None and experiment not in found:
        raise CourseError(f"chapter {chapter.name} has no experiment {experiment!r}; it has {', '.join(found)}")
    tagged = [name for name, index in found.items() if "experiment" in tags[index]]
    experiment = experiment or (tagged or list(found))[0]
    wanted = [found[experiment]]
    parameters = next((index for index, tag in enumerate(tags) if "parameters" in tag), None)
    if parameters is not None and parameters < wanted[0]:
        wanted.append(parameters)
    slice_ = needed(sources, wanted)
    return Program(
        chapter.name,
        experiment,
        str(chapter.path.resolve().parent),
        tuple(sources[i] for i in slice_),
        tuple(i + 1 for i in slice_),
        slice_.index(parameters) if parameters in slice_ else None,
    )


def _compared(source: str) -> str | None:
    """Return the variable that gets what ``compare`` gives ("" for none), or None where it is not called."""
    found = None
    for statement in filter(_calls_compare, _statements(source)):
        found = ""
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _calls_compare(node):
                return node.targets[0].id
    return found


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(_python(source)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _python(source: str) -> str:
    """Return a cell as Python: as it is, or with its magics turned into calls that our shell ignores."""
    try:
        ast.parse(source)
        return source
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(source)


def _calls_compare(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return False
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if name == "compare":
            return True
    return any(map(_calls_compare, ast.iter_child_nodes(node)))


# --- in the process of its own ---


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
            calls.clear(), read.clear()
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
    source = _python(source)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body, compares = ast.parse(source, name).body, list(map(_calls_compare, ast.parse(source).body))
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
        if hasattr(value, "item") and getattr(value, "size", None) == 1 or type(value).__name__ == "Tensor":
            value = value.item()
        elif hasattr(value, "item") and getattr(value, "ndim", None) == 0:
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

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    orders: queue.Queue = queue.Queue()

    def listen() -> None:
        with suppress(OSError, ValueError):
            for line in sys.stdin.buffer:
                orders.put(pickle.loads(base64.b64decode(line)))
        os._exit(4)

    threading.Thread(target=listen, daemon=True).start()
    loaded: dict[str, list[Call]] = {}
    memory = None
    while True:
        try:
            order = orders.get(timeout=IDLE)
        except queue.Empty:
            os._exit(0)
        answer: dict[str, Any] = {}
        if order["do"] == "load":
            start = time.perf_counter()
            try:
                program = Program(**order["program"])
                with suppress(OSError):
                    os.chdir(program.folder)
                    sys.path.insert(0, program.folder)
                loaded[order["set"]] = load(program, order["parameters"])
                calls = loaded[order["set"]]
                runs = list({id(call.run): None for call in calls})
                answer = {
                    "calls": [call.describe() | {"which": runs.index(id(call.run))} for call in calls],
                    "versions": _versions(),
                }
                memory = _Memory()
            except BaseException as error:
                answer = {"error": describe_error(error)}
            answer["seconds"] = time.perf_counter() - start
        else:
            answer = _run(loaded[order["set"]][order["call"]], order)
            answer["full"] = memory.full()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _run(call: Call, order: dict) -> dict[str, Any]:
    # A method may be any value in the chapter; the order names it by its place.
    method = call.methods[order["method"]]
    started, start = time.time(), time.perf_counter()
    try:
        answer = {"scores": scores_of(call.run(method, order["seed"], **(call.fixed | order["settings"])))}
    except BaseException as error:
        answer = {"error": describe_error(error)}
    return answer | {"seconds": time.perf_counter() - start, "started": started, "pid": os.getpid()}


# --- the other end of the line ---


class Experimenter:
    """A process that holds a chapter's experiments and runs them, one call at a time.

    Args:
        program: what it loads.
        threads: how many threads torch and NumPy may take; ``None``: what the environment says.
    """

    def __init__(self, program: Program, *, threads: int | None = None):
        from tutorial_lib.course.runner import PACKAGE, THREADS

        environment = dict(os.environ) | {"TUTORIAL_HEADLESS": "1", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        environment |= {name: str(threads) for name in THREADS} if threads else {}
        self.program, self.sets, self.full = program, {}, False
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tutorial_lib.course.experiment"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            start_new_session=True,
        )
        self.answers: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            with suppress(ValueError):
                self.answers.put(json.loads(line))
        self.answers.put(None)

    def load(self, name: str, parameters: dict[str, Any]) -> dict:
        """Have the experiment loaded with these parameters, unless it is: its calls, versions and seconds.

        Raises:
            Stopped: if that fails.
        """
        if name not in self.sets:
            answer = self._ask(
                {"do": "load", "set": name, "program": asdict(self.program), "parameters": parameters}, LOADING
            )
            if "error" in answer:
                error = answer["error"]
                places = re.findall(r'File "<[^>]*(code cell \d+)>", line (\d+)', error["traceback"])
                where = f"{places[0][0]}, line {places[0][1]}: " if places else ""
                raise Stopped("load", f"{where}{error['type']}: {(error['message'].splitlines() or [''])[0]}")
            self.sets[name] = answer
        return self.sets[name]

    def run(self, name: str, call: int, method: int, seed: int, settings: dict, *, timeout: float) -> dict:
        """Run once: ``scores`` or ``error``, ``seconds``, ``started``, ``pid``.

        Raises:
            Stopped: if it took over ``timeout`` seconds or ended its process; the process is gone then.
        """
        order = {"do": "run", "set": name, "call": call, "method": method, "seed": seed, "settings": settings}
        answer = self._ask(order, timeout)
        self.full = answer.pop("full")
        return answer

    def _ask(self, order: dict, timeout: float) -> dict:
        try:
            # Pickled, so that a tuple arrives as a tuple.
            self.process.stdin.write(base64.b64encode(pickle.dumps(order)) + b"\n")
            self.process.stdin.flush()
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise Stopped("timeout", f"timed out: not done after {timeout:g} s") from None
        except OSError:
            answer = None
        if answer is None:
            self.process.wait()
            raise Stopped("killed", self._death())
        return answer

    def _death(self) -> str:
        code = self.process.returncode
        how = f"exit status {code}" if code >= 0 else f"signal {-code}, {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += "; the system does so when memory runs out"
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - 2000))
        tail = self.said.read().decode("utf-8", "replace").strip()
        self.close()
        return f"killed its process ({how})" + (f"\n{tail}" if tail else "")

    def close(self) -> None:
        """End the process and all that it has started."""
        from tutorial_lib.course.worker import end_tree

        end_tree(self.process.pid)
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        with suppress(OSError):
            self.said.close()


def installed(name: str) -> str:
    """Return the version of an installed distribution, or ``missing``.

    >>> installed("no such package")
    'missing'
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


if __name__ == "__main__":
    main()
