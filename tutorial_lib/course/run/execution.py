"""Executes a chapter's notebook: papermill puts the parameters in, nbclient runs the cells, hooks tell how it goes."""

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_output

from tutorial_lib.course.clean import MAX_TEXT, cut_note, overprinted, plain, tidy
from tutorial_lib.course.machine import kernel_manager
from tutorial_lib.course.processes import Watch, end_tree, high_water, how_ended

START_SECONDS = 120
_MAGIC = re.compile(r"^\s*(?:[\w, ]+=\s*)?(%%?\w+)")


@dataclass
class Failure:
    """Why a run ended early.

    Attributes:
        cell: which code cell, from 1; ``None`` before the first.
        source: its text.
        message: one sentence.
        traceback: as the terminal shows it; the message where there is none.
    """

    cell: int | None
    source: str
    message: str
    traceback: str


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        status: ``ok``, ``failed`` or ``timeout``.
        seconds: wall time from the start of the kernel to its end.
        peak_mib: the most memory held at one time, in MiB.
        error: why it ended early.
        cells: the seconds of each code cell that was run, by its number from 1.
    """

    status: str
    seconds: float
    peak_mib: float
    error: Failure | None = None
    cells: dict[int, float] = field(default_factory=dict)

    def record(self) -> dict:
        """Return it as JSON data."""
        return asdict(self)


class Client(NotebookClient):
    """nbclient's client for a chapter: its watch knows the kernel from the start, and a cell may print without end.

    Args:
        notebook: it is executed in place.
        watch: what ends the kernel.
        send: called with the fields of each event.
        settings: for :class:`nbclient.NotebookClient`.

    Attributes:
        at: the place of the cell at work; ``None`` before the first.
        reply: what the kernel said last of a cell that raised.
        seconds: of each code cell, by its place.
    """

    def __init__(self, notebook, *, watch: Watch, send: Callable[..., None], **settings):
        super().__init__(
            notebook,
            on_cell_start=self._cell_start,
            on_cell_execute=self._cell_execute,
            on_cell_executed=self._cell_executed,
            on_cell_error=self._cell_error,
            **settings,
        )
        # The manager was handed over, and so is ending its kernel.
        self.owns_km = True
        self.watch, self.send = watch, send
        self.at: int | None = None
        self.reply: dict[str, Any] = {}
        self.seconds: dict[int, float] = {}
        self.written: dict[int, int] = {}
        self._began = 0.0

    async def async_start_new_kernel(self, **arguments) -> None:
        await super().async_start_new_kernel(**arguments)
        self.watch.follow(self.km.provisioner.process)  # type: ignore[union-attr]  # it is a local process
        self.send(event="kernel", pid=self.watch.pid)

    def _cell_start(self, cell, cell_index: int) -> None:
        self.at = cell_index
        self.send(event="cell", done=cell_index)

    def _cell_execute(self, cell, cell_index: int) -> None:
        self._began = time.perf_counter()

    def _cell_executed(self, cell, cell_index: int, execute_reply: dict) -> None:
        self.seconds[cell_index] = time.perf_counter() - self._began
        self.watch.peak = max(self.watch.peak, high_water(self.watch.pid))

    def _cell_error(self, cell, cell_index: int, execute_reply: dict) -> None:
        self.reply = execute_reply["content"]

    def output(self, outs, msg, display_id, cell_index):
        # What will not be kept must not pile up here either.
        if msg["msg_type"] == "stream":
            text, before = overprinted(msg["content"]["text"]), self.written.get(cell_index, 0)
            self.written[cell_index] = before + len(text)
            msg["content"]["text"] = text[: max(0, MAX_TEXT - before)]
            if not msg["content"]["text"]:
                return None
        return super().output(outs, msg, display_id, cell_index)

    def note_cuts(self) -> None:
        """Leave a note where a cell has printed more than is kept."""
        for index, total in self.written.items():
            if total > MAX_TEXT:
                self.nb.cells[index].outputs.append(new_output("stream", text=cut_note(MAX_TEXT, total)))


def read(job: dict):
    """Return a job's notebook, with nothing in it of an earlier run.

    Args:
        job: ``notebook`` (JSON text) and ``kernel``.
    """
    data = {"nbformat_minor": 5, **json.loads(job["notebook"])}
    for cell in data["cells"]:
        cell.setdefault("metadata", {})
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    notebook = nbformat.v4.upgrade(nbformat.reads(json.dumps(data), as_version=4))
    if job["kernel"] == "python3":
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    else:
        notebook.metadata["kernelspec"]["language"] = kernel_manager(job["kernel"]).kernel_spec.language
    return notebook


def put_in(notebook, parameters: dict[str, Any]) -> None:
    """Put a cell with parameters behind the notebook's own.

    Args:
        notebook: changed in place.
        parameters: by name.
    """
    # papermill takes a second to import, and most chapters run as they are.
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    spec = notebook.metadata["kernelspec"]
    made = parameterize_notebook(
        load_notebook_node(notebook), parameters, kernel_name=spec["name"], language=spec["language"]
    )
    for cell in made.cells:
        cell.metadata.pop("papermill", None)
        if not cell.metadata.tags:
            del cell.metadata["tags"]
    notebook.cells = made.cells


def execute(job: dict, send: Callable[..., None], watch: Watch) -> tuple[dict, Outcome]:
    """Execute a job's notebook.

    Args:
        job: as for ``read``; and ``parameters``, and ``timeout``: seconds for all of it, the kernel's start included.
        send: called with the fields of each event: ``start`` (``total`` cells), ``kernel`` (``pid``), ``cell``
            (``done``).
        watch: what ends the kernel, when its time is over or the caller says so.

    Returns:
        The notebook as far as it came, and what happened.
    """
    notebook = read(job)
    send(event="start", total=len(notebook.cells))
    client = Client(
        notebook,
        watch=watch,
        send=send,
        km=kernel_manager(job["kernel"]),
        kernel_name=job["kernel"],
        startup_timeout=START_SECONDS,
        raise_on_iopub_timeout=True,
        store_widget_state=False,
    )
    start, said = time.perf_counter(), None
    watch.deadline = time.monotonic() + job["timeout"]
    try:
        if job["parameters"]:
            put_in(notebook, job["parameters"])
        client.execute()
        send(event="cell", done=len(notebook.cells))
    except CellExecutionError:
        said = _what_was_raised(notebook.cells[client.at].source, client.reply)
    except Exception as error:
        code = watch.process.poll() if watch.process else None
        reason = f"{type(error).__name__}: {error}" if code is None else f"the kernel died {how_ended(code)}"
        said = reason, reason
    seconds = time.perf_counter() - start
    watch.stop()
    end_tree(watch.pid)
    client.note_cuts()
    numbers = {place: number for number, place in enumerate(_code_cells(notebook), 1)}
    failure = None
    if said is not None:
        if watch.reason == "timeout":
            said = (f"timed out: not done after {job['timeout']:g} s",) * 2
        failure = _failure(notebook, client.at, *said)
    tidy(notebook)
    return notebook, Outcome(
        status="ok" if failure is None else "timeout" if watch.reason == "timeout" else "failed",
        seconds=round(seconds, 3),
        peak_mib=round(watch.peak / 2**20, 1),
        error=failure,
        cells={numbers[place]: round(spent, 3) for place, spent in client.seconds.items()},
    )


def _code_cells(notebook) -> list[int]:
    return [place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def _what_was_raised(source: str, reply: dict) -> tuple[str, str]:
    """Return message and traceback; a misused magic has neither line nor traceback of its own."""
    message = f"{reply.get('ename', 'Error')}: {reply.get('evalue', '')}"
    traceback = "\n".join(reply.get("traceback") or ())
    if not traceback:
        named = re.search(r"(?<!\w)%%?\w+", message)
        found = [(number, _MAGIC.match(line)) for number, line in enumerate(source.splitlines(), 1)]
        lines = [(number, match) for number, match in found if match and (not named or match[1] == named[0])]
        if len(lines) == 1 or (lines and named):
            number, match = lines[0]
            message += f" (line {number}: {match.string.strip()})"
    return message, traceback or message


def _failure(notebook, at: int | None, message: str, traceback: str) -> Failure:
    code = _code_cells(notebook)
    if at is not None and at not in code:
        at = next((place for place in code if place >= at), None)
    return Failure(
        cell=code.index(at) + 1 if at is not None else None,
        source=notebook.cells[at].source if at is not None else "",
        message=plain(message)[:2000],
        traceback=plain(traceback)[:20_000],
    )


def warm_up() -> None:
    """Load in the background what the page of the chapter needs: there is nothing to do while the kernel works."""

    def load() -> None:
        with suppress(Exception):
            from tutorial_lib.course.run import pages

            pages.warm_up()

    threading.Thread(target=load, daemon=True).start()
