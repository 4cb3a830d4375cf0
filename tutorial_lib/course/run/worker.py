"""Runs one chapter: a process of its own, so that whatever happens to it stays in it.

The runner starts ``python -m tutorial_lib.course.run.worker``, writes one job as a line of JSON to its standard input
and keeps that pipe open; events come back as lines of JSON. When the pipe closes, the runner is gone (also by
``kill -9``): the worker ends its kernel and itself. The notebook is executed by papermill, through its own engine
interface.
"""

import base64
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tutorial_lib.course.clean import MAX_TEXT, cut_note, normalise, overprinted, plain, tidy
from tutorial_lib.course.files import atomic_write
from tutorial_lib.course.machine import kernel_manager
from tutorial_lib.course.processes import Watch, end_tree, high_water

CLAIM = "application/vnd.tutorial.claim+json"
FIGURES = ("image/png", "image/jpeg", "image/svg+xml")


def _engine():
    """Return papermill's engine for a chapter; made here because importing papermill takes a second."""
    from nbclient import NotebookClient
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, NotebookExecutionManager

    class Client(PapermillNotebookClient):
        def __init__(self, manager, watch, **settings):
            super().__init__(manager, **settings)
            self.watch = watch
            self.written: dict[int, int] = {}

        def start_new_kernel(self, **arguments):
            NotebookClient.start_new_kernel(self, **arguments)
            self.watch.kernel_started(self.km.provisioner.process)

        def output(self, outs, msg, display_id, cell_index):
            # A cell may print without end: what will not be kept must not pile up here either.
            if msg["msg_type"] == "stream":
                text, before = overprinted(msg["content"]["text"]), self.written.get(cell_index, 0)
                self.written[cell_index] = before + len(text)
                msg["content"]["text"] = text[: max(0, MAX_TEXT - before)]
                if not msg["content"]["text"]:
                    return None
            return super().output(outs, msg, display_id, cell_index)

    class Manager(NotebookExecutionManager):
        def cell_start(self, cell, cell_index=None, **kwargs):
            self.watch.cell_index = cell_index
            super().cell_start(cell, cell_index, **kwargs)

        def cell_complete(self, cell, cell_index=None, **kwargs):
            super().cell_complete(cell, cell_index=cell_index, **kwargs)
            self.watch.peak = max(self.watch.peak, high_water(self.watch.pid))
            if cell.metadata.papermill["status"] != self.FAILED and self.watch.process.poll() is None:
                self.watch.send(event="cell", done=cell_index + 1, total=len(self.nb.cells))

    class ChapterEngine(NBClientEngine):
        @classmethod
        def execute_notebook(cls, nb, kernel_name, watch=None, keep=None, output_path=None, **settings):
            manager = Manager(nb, progress_bar=False, autosave_cell_every=0)
            manager.watch = watch
            keep.append(manager)
            manager.notebook_start()
            client = Client(
                manager,
                watch,
                km=kernel_manager(kernel_name),
                kernel_name=kernel_name,
                startup_timeout=settings["start_timeout"],
                timeout=None,
                store_widget_state=False,
            )
            # The manager is ours, and so is ending its kernel.
            client.owns_km = True
            try:
                client.execute()
            finally:
                for index, total in client.written.items():
                    if total > MAX_TEXT:
                        from nbformat.v4 import new_output

                        nb.cells[index].outputs.append(new_output("stream", text=cut_note(MAX_TEXT, total)))
                manager.notebook_complete()
            return manager.nb

    return ChapterEngine


def execute(job: dict, send) -> tuple[dict, dict]:
    """Execute a job's notebook with papermill.

    Args:
        job: ``notebook`` (JSON text), ``path``, ``parameters``, ``kernel``, ``timeout``.
        send: called with the fields of each event.

    Returns:
        The notebook as far as it came, and what happened: ``status``, ``seconds``, ``peak_mib``, ``error``.
    """
    import nbformat
    import papermill
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import remove_error_markers

    papermill_engines.register("tutorial", _engine())
    notebook = nbformat.reads(job["notebook"], as_version=4)
    if job["kernel"] == "python3":
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    else:
        notebook.metadata["kernelspec"]["language"] = kernel_manager(job["kernel"]).kernel_spec.language
    send(event="start", total=len(notebook.cells))
    watch, managers, reason = Watch(job["timeout"], send), [], ""
    _on_orphaned(watch)
    if job["mode"] == "run":
        threading.Thread(target=_warm_up, daemon=True).start()
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            notebook,
            None,
            parameters=job["parameters"],
            engine_name="tutorial",
            kernel_name=job["kernel"],
            progress_bar=False,
            start_timeout=120,
            watch=watch,
            keep=managers,
        )
    except PapermillExecutionError:
        # papermill also counts an error that a cell is meant to show (tag raises-exception): we look ourselves.
        pass
    except Exception as error:
        reason = f"{type(error).__name__}: {plain(error)}"
        if type(error).__name__ == "DeadKernelError" or (watch.process and watch.process.poll() is not None):
            reason = _death(watch)
    seconds = time.perf_counter() - start
    watch.stop()
    end_tree(watch.pid)
    if managers:
        notebook = remove_error_markers(managers[0].nb)
    error = _failure(notebook, watch, reason, job["timeout"])
    tidy(notebook)
    status = "timeout" if watch.timed_out and error else "failed" if error else "ok"
    return notebook, {
        "status": status,
        "seconds": round(seconds, 3),
        "peak_mib": round(watch.peak / 2**20, 1),
        "error": error,
    }


def _death(watch: Watch) -> str:
    code = watch.process.poll() if watch.process else None
    how = f" (exit status {code})" if code is not None and code > 0 else ""
    if code is not None and code < 0:
        how = f" (killed by signal {-code}, {signal.Signals(-code).name})"
        if -code == signal.SIGKILL:
            how += "; the system does so when memory runs out"
    return "the kernel died" + how


def _failure(notebook: dict, watch: Watch, reason: str, timeout: float) -> dict | None:
    """Return which cell ended the run and why: ``cell`` counts code cells from 1, and is None before the first."""
    code = [index for index, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"]
    at = watch.cell_index if reason or watch.timed_out else None
    message, traceback = reason, reason
    for index in code:
        cell = notebook["cells"][index]
        if cell["metadata"].get("papermill", {}).get("exception"):
            errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
            at = index
            if not reason and errors:
                message = f"{errors[-1]['ename']}: {errors[-1]['evalue']}"
                traceback = "\n".join(errors[-1]["traceback"]) or message
            message, traceback = message or "the cell failed", traceback or "the cell failed"
    if not message:
        return None
    if watch.timed_out:
        message = traceback = f"timed out: not done after {timeout:g} s"
    if at is not None and at not in code:
        at = next((index for index in code if index >= at), None)
    return {
        "cell": code.index(at) + 1 if at is not None else None,
        "source": notebook["cells"][at]["source"] if at is not None else "",
        "message": plain(message)[:2000],
        "traceback": plain(traceback)[:20_000],
    }


def collect_claims(notebook: dict) -> list[dict]:
    """Return the claim records in a notebook's outputs, in order, each with the documented keys.

    Args:
        notebook: an executed notebook.

    >>> collect_claims({"cells": []})
    []
    """
    claims = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            record = output.get("data", {}).get(CLAIM)
            if isinstance(record, dict) and "statement" in record:
                numbers = {key: _finite(record.get(key)) for key in ("effect", "low", "high")}
                claims.append(
                    {
                        "statement": str(record["statement"]),
                        **numbers,
                        "seeds": record.get("seeds"),
                        "verdict": str(record.get("verdict", "open")),
                        "better": str(record.get("better", "higher")),
                    }
                )
    return claims


def _finite(value) -> float | None:
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float("inf") else None


def first_figure(notebook: dict) -> dict | None:
    """Return the first picture in a notebook's outputs as ``{"mime": …, "data": base64}``, or ``None``.

    Args:
        notebook: an executed notebook.

    >>> first_figure({"cells": []}) is None
    True
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for mime in FIGURES:
                data = output.get("data", {}).get(mime)
                if data:
                    if mime == "image/svg+xml":
                        data = base64.b64encode(data.encode()).decode()
                    return {"mime": mime, "data": re.sub(r"\s", "", data)}
    return None


def work(job: dict, send) -> dict:
    """Execute a job and store what came of it.

    A ``run`` leaves ``NAME.ipynb``, ``NAME.html`` and, last, the record ``NAME.json`` in the job's folder. A
    ``refresh`` that went well replaces the notebook itself, free of noise.

    Args:
        job: see ``execute``; and ``name``, ``mode``, ``folder`` or ``target``, and ``record``: fields to store.
        send: called with the fields of each event.

    Returns:
        The record, without its figure.
    """
    import nbformat

    started = datetime.now(UTC).isoformat(timespec="seconds")
    notebook, outcome = execute(job, send)
    record = {**job["record"], "started": started, **outcome, "claims": collect_claims(notebook)}
    if job["mode"] == "refresh":
        if outcome["status"] == "ok" and Path(job["target"]).read_text(encoding="utf-8") != job["notebook"]:
            # Somebody's work since the start is worth more than fresh outputs.
            message = "the notebook was edited while it ran: refresh it again"
            error = {"cell": None, "source": "", "message": message, "traceback": message}
            record |= {"status": "failed", "error": error}
        elif outcome["status"] == "ok":
            normalise(notebook)
            atomic_write(job["target"], nbformat.writes(notebook) + "\n")
        return record
    from tutorial_lib.course.run.pages import chapter_page

    folder, name = Path(job["folder"]), job["name"]
    files = {
        f"{name}.ipynb": nbformat.writes(notebook) + "\n",
        f"{name}.html": chapter_page(notebook, record, folder=Path(job["path"]).parent),
    }
    for file, content in files.items():
        atomic_write(folder / file, content)
    record["files"] = {file: hashlib.sha256(content.encode("utf-8")).hexdigest() for file, content in files.items()}
    atomic_write(folder / f"{name}.json", json.dumps({**record, "figure": first_figure(notebook)}, indent=1))
    return record


def _warm_up() -> None:
    # The worker has nothing to do while its kernel works: the page writer is loaded meanwhile.
    with suppress(Exception):
        import tutorial_lib.course.run.pages as pages

        pages.warm_up()


def _on_orphaned(watch: Watch) -> None:
    def wait() -> None:
        with suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        end_tree(watch.pid)
        os._exit(4)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Read one job from standard input, do it, and report on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Half of papermill's import is jsonschema compiling a grammar of international addresses, an optional part
    # that no notebook's schema uses.
    sys.modules.setdefault("rfc3987_syntax", None)
    # Kernels inherit standard output: what they write there must not mix with the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(**fields) -> None:
        with lock, suppress(OSError):
            events.write(json.dumps(fields) + "\n")
            events.flush()

    job = json.loads(sys.stdin.buffer.readline())
    os.chdir(Path(job["path"]).parent)
    try:
        record = work(job, send)
    except OSError as error:
        send(event="disk", message=f"{error.strerror or error}: {error.filename or job['path']}", errno=error.errno)
        os._exit(1)
    send(event="done", record=record)
    # Nothing is left to do: threads that wait and libraries' exit hooks would only take time.
    os._exit(0)


if __name__ == "__main__":
    main()
