"""Hashes of all that a result depends on, by which a finished chapter is known to be still valid."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tutorial_lib.course.catalogue import Chapter
from tutorial_lib.course.files import read_json
from tutorial_lib.course.machine import PACKAGE


def source_hash(folder: str | Path) -> str:
    """Return one hash over the files of a folder: their names and their bytes, caches left out.

    Args:
        folder: one that does not exist counts as empty.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            digest.update(f"\n{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def chapter_key(chapter: Chapter, parameters: dict[str, Any], versions: dict, device: dict) -> str:
    """Return the hash of everything that a chapter's result depends on.

    Saved outputs do not count, nor does the number of processors.

    Args:
        chapter: the notebook.
        parameters: injected values.
        versions, device: from ``installed_versions`` and ``describe_device``.
    """
    notebook = chapter.notebook()
    cells = [
        [cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", [])]
        for cell in notebook["cells"]
    ]
    effective = {name: known.default for name, known in chapter.parameters.items()} | parameters
    parts = {
        "cells": cells,
        "about": [chapter.title, chapter.question, chapter.kernel],
        "parameters": parameters,
        "source": source_hash(PACKAGE),
        "versions": versions,
        "device": {key: value for key, value in device.items() if key != "cores"},
        "data": prepared_data()
        if effective.get("DATA", "builtin") != "builtin"
        else quoted_results(chapter, chapter.text),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


def quoted_results(chapter: Chapter, text: str) -> list:
    """Return name and hash of every stored result that a text names.

    Args:
        chapter: the notebook; ``results/`` lies beside its folder.
        text: the chapter's, or that of some of its cells.
    """
    files = sorted((chapter.path.resolve().parent.parent / "results").glob("*.json"))
    return [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files if path.stem in text]


def prepared_data() -> list:
    """Return name, size and time of every prepared file of real data."""
    from tutorial_lib.lab.real import data_folder

    folder = data_folder()
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return [[str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def finished(
    out: Path, chapter: Chapter, parameters: dict[str, Any] | None, versions: dict, device: dict
) -> dict | None:
    """Return a chapter's stored record if it is finished, whole and still valid.

    Args:
        out: the out folder.
        chapter: the notebook as it is now.
        parameters: those asked for; ``None``: whichever the record was made with.
        versions, device: as they are now.
    """
    record = read_json(out / "chapters" / f"{chapter.name}.json")
    if not record or record.get("status") != "ok":
        return None
    if parameters is None:
        parameters = record.get("parameters", {})
    if record.get("key") != chapter_key(chapter, parameters, versions, device):
        return None
    for name, digest in record.get("files", {}).items():
        path = out / "chapters" / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None
    return record
