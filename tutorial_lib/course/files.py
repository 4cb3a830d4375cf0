"""Writing files so that nothing a reader made is ever lost."""

import json
import os
import re
from pathlib import Path

_TEMPORARY = re.compile(r"^\..+\.(\d+)\.tmp$")


def atomic_write(path: str | Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the final name in one
    step. A full disk or a killed process leaves the old file as it was.

    Args:
        path: the file to make or replace; its folder must exist.
        content: text (stored as UTF-8) or bytes.

    Raises:
        OSError: if the folder cannot be written or the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     atomic_write(f"{folder}/a.txt", "whole")
    ...     Path(f"{folder}/a.txt").read_text(), len(os.listdir(folder))
    ('whole', 1)
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files that dead processes left in ``folder``.

    Args:
        folder: where ``atomic_write`` has written; subfolders are not searched.
    """
    import psutil

    for path in Path(folder).glob(".*.tmp"):
        match = _TEMPORARY.match(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            path.unlink(missing_ok=True)


def read_json(path: str | Path) -> dict | None:
    """Return the object stored in a JSON file, or ``None`` where there is no such file or it is not whole.

    Args:
        path: the file.

    >>> read_json("no such file") is None
    True
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
