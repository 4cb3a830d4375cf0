"""Runs one chapter: a process of its own, so that whatever happens to it stays in it.

The runner starts ``python -m tutorial_lib.course.run.worker`` and gives it one job; events come back
(:mod:`tutorial_lib.course.processes`). When the runner is gone, also by ``kill -9``, the worker ends its kernel and
itself.
"""

import base64
import hashlib
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from tutorial_lib.course.catalogue import read_text
from tutorial_lib.course.clean import normalise
from tutorial_lib.course.files import atomic_write
from tutorial_lib.course.processes import Parent, Watch, end_tree

CLAIM = "application/vnd.tutorial.claim+json"
FIGURES = ("image/png", "image/jpeg", "image/svg+xml")


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
                        **(_on_evidence(record) if record.get("margin") is not None else {}),
                    }
                )
    return claims


def _on_evidence(record: dict) -> dict:
    """Return what only a claim has that rests on stored evidence."""
    live, expected = (record.get(key) for key in ("live", "expected"))
    needed, corrected, agrees = (record.get(key) for key in ("needed", "corrected", "agrees"))
    return {
        **{key: _finite(record.get(key)) for key in ("level", "margin", "visible")},
        "needed": needed if isinstance(needed, int) else None,
        "corrected": None if corrected is None else str(corrected),
        "live": [_finite(value) for value in live] if isinstance(live, list) else [],
        "expected": [_finite(value) for value in expected] if isinstance(expected, list) else None,
        "agrees": agrees if isinstance(agrees, bool) else None,
    }


def agreement(claims: list[dict]) -> bool | None:
    """Return whether the fresh seeds of a chapter agree with its evidence; ``None`` if it holds none against it.

    Args:
        claims: from ``collect_claims``.

    >>> agreement([{"agrees": True}, {"agrees": None}, {}]), agreement([{}])
    (True, None)
    """
    told = [claim["agrees"] for claim in claims if claim.get("agrees") is not None]
    return all(told) if told else None


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


def work(job: dict, send, watch: Watch) -> dict:
    """Execute a job and store what came of it.

    A ``run`` leaves ``NAME.ipynb``, ``NAME.html`` and, last, the record ``NAME.json`` in the job's folder. A
    ``refresh`` that went well replaces the notebook itself, free of noise.

    Args:
        job: see ``execution.execute``; and ``name``, ``mode``, ``folder`` or ``target``, and ``record``: fields to
            store.
        send: called with the fields of each event.
        watch: what ends the kernel.

    Returns:
        The record, without its figure.
    """
    import nbformat

    from tutorial_lib.course.run.execution import execute, warm_up

    started = datetime.now(UTC).isoformat(timespec="seconds")
    if job["mode"] == "run":
        warm_up()
    notebook, outcome = execute(job, send, watch)
    claims = collect_claims(notebook)
    record = {**job["record"], "started": started, **outcome.record(), "claims": claims, "agrees": agreement(claims)}
    if job["mode"] == "refresh":
        if outcome.status == "ok" and read_text(job["target"]) != job["notebook"]:
            # Somebody's work since the start is worth more than fresh outputs.
            message = "the notebook was edited while it ran: refresh it again"
            error = {"cell": None, "source": "", "message": message, "traceback": message}
            record |= {"status": "failed", "error": error}
        elif outcome.status == "ok":
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


def main() -> None:
    """Take one job, do it, and report."""
    # Half of nbformat's import is jsonschema compiling a grammar of international addresses, an optional part that no
    # notebook's schema uses.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: cannot be imported
    watch = Watch()
    parent = Parent(gone=lambda: end_tree(watch.pid))
    job = parent.receive()
    os.chdir(Path(job["path"]).parent)
    try:
        record = work(job, lambda **event: parent.send(event), watch)
    except OSError as error:
        message = f"{error.strerror or error}: {error.filename or job['path']}"
        parent.send({"event": "disk", "message": message, "errno": error.errno})
        os._exit(1)
    parent.send({"event": "done", "record": record})
    # Nothing is left to do: threads that wait and libraries' exit hooks would only take time.
    os._exit(0)


if __name__ == "__main__":
    main()
