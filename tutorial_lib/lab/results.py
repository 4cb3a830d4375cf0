"""Stored results: measured runs that a chapter quotes but does not repeat, as small JSON files in ``results/``."""

import hashlib
import json
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import torch


def results_folder() -> Path:
    """Return ``results/`` of the checkout this package runs from, else ``results/`` below the working folder.

    >>> results_folder().name
    'results'
    """
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "results"


def save_result(
    name: str, rows: list[dict], *, command: str, seconds: float, data: Path | None = None, **about
) -> Path:
    """Store the rows of a measured run with what is needed to judge and repeat it.

    The file is written under a temporary name and renamed, so that a stored result is never half a file.

    Args:
        name: file name without ``.json``.
        rows: one dict a run, numbers and texts; floats are rounded to four digits.
        command: the command that makes the file again.
        seconds: how long the run took.
        data: the data file that was read; its SHA-256 is stored.
        **about: further facts, such as the sizes of the sets.

    Returns:
        The path written.
    """
    record = {
        "command": command,
        "seconds": round(seconds),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "data_sha256": None if data is None else hashlib.sha256(data.read_bytes()).hexdigest(),
        **about,
    }
    lines = ",\n".join(json.dumps({key: _plain(value) for key, value in row.items()}) for row in rows)
    head = json.dumps(record, indent=1, ensure_ascii=False)[:-2]
    folder = results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}-", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f'{head},\n "rows": [\n{lines}\n]}}\n')
        os.chmod(temporary, 0o644)
        path = folder / f"{name}.json"
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def load_result(name: str) -> dict:
    """Read a stored result: from :func:`results_folder`, else the copy that came with the installed package.

    Args:
        name: file name without ``.json``.

    Returns:
        What :func:`save_result` stored: ``command``, ``seconds``, ``versions``, ``data_sha256``, ``rows`` and more.

    Raises:
        FileNotFoundError: if it is in neither place.
    """
    path = results_folder() / f"{name}.json"
    for place in (path, _installed(name)):
        if place is not None and place.is_file():
            return json.loads(place.read_text(encoding="utf-8"))
    raise FileNotFoundError(f"stored result {name!r} is neither at {path} nor came with the installed tutorial-lib")


def _installed(name: str) -> Path | None:
    # Asked of the installed package's own list of files: their folder differs between systems and ways to install.
    try:
        files = metadata.files("tutorial-lib") or []
    except metadata.PackageNotFoundError:
        return None
    found = (file.locate() for file in files if file.name == f"{name}.json" and file.parent.name == "results")
    return next(map(Path, found), None)


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return round(value, 4) if isinstance(value, float) else value
