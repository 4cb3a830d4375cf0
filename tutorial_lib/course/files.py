"""Writing files so that nothing a reader made is ever lost."""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tutorial_lib.course.catalogue import CourseError

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


class DiskError(Exception):
    """Something finished could not be stored; the text says what and why."""


def open_folder(
    out: Path,
    *,
    inside: Sequence[str] = ("chapters",),
    mark: str = "summary.json",
    what: str = "run",
    earlier: str = "",
):
    """Make the out folder, see that it can be written, and lock it against a second runner.

    The lock is the operating system's: it ends with the process, also by ``kill -9``.

    Args:
        out: the out folder.
        inside: the folders in it.
        mark: a file that an earlier run has left there.
        what: the command whose folder it is.
        earlier: what that command leaves there, if it is called otherwise.

    Returns:
        The lock; ``release()`` ends it.

    Raises:
        CourseError: if the folder cannot be written, is in use, or holds something else.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(out / ".lock")
    try:
        if out.is_dir() and any(out.iterdir()) and not any((out / name).exists() for name in (".lock", mark)):
            raise CourseError(
                f"{out} holds other files and no earlier {earlier or what}; give --out a new or an empty folder"
            )
        for folder in (out, *(out / name for name in inside)):
            folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        for folder in (out, *(out / name for name in inside)):
            with tempfile.TemporaryFile(dir=folder):
                pass
            remove_leftovers(folder)
    except Timeout:
        raise CourseError(f"another tutorial {what} is at work in {out}; wait for it, or use --out DIR") from None
    except OSError as error:
        lock.release()
        raise CourseError(f"cannot write in {out}: {error.strerror or error}") from None
    return lock
