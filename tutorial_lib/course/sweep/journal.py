"""The journal of a sweep: rows on the disk as they come."""

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tutorial_lib.course.files import DiskError, atomic_write

#: Seconds between two writes of the journal.
FLUSH = 0.5


class Journal:
    """The rows as they came: a line of JSON each, on the disk within half a second.

    A torn last line (the process was killed in mid-write) is passed over. Of two rows with one key the later counts.

    Args:
        path: the file; it is made with the first row.
    """

    def __init__(self, path: Path):
        self.path, self.written, self.torn = path, time.monotonic(), False
        self.waiting: list[dict] = []
        self.file: io.FileIO | None = None
        #: Status by key.
        self.status: dict[str, str] = {}

    def __enter__(self) -> "Journal":
        for row in self._lines():
            self.status[row["key"]] = row["status"]
        if self.path.exists() and self.path.stat().st_size:
            with open(self.path, "rb") as file:
                file.seek(-1, os.SEEK_END)
                self.torn = file.read() != b"\n"
        return self

    def __exit__(self, *error) -> None:
        if self.file is not None:
            self.file.close()

    def _lines(self) -> Iterator[dict]:
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict) and "key" in row and "status" in row:
                    yield row

    def read(self) -> list[dict]:
        """Return what is stored: one row a key."""
        return list({row["key"]: row for row in self._lines()}.values())

    def add(self, row: dict) -> None:
        """Take a row; ``write`` stores it."""
        self.waiting.append(row)

    def write(self, *, now: bool = False) -> None:
        """Store what is waiting, unless that was done a moment ago.

        Raises:
            DiskError: if it cannot be stored.
        """
        if not self.waiting or not (now or time.monotonic() - self.written > FLUSH):
            return
        text = "".join(json.dumps(row) + "\n" for row in self.waiting)
        try:
            if self.file is None:
                self.file = open(self.path, "ab", buffering=0)
            data = ("\n" * self.torn + text).encode()
            # A torn line is closed by the next write, whichever way this one ends.
            self.torn = True
            if self.file.write(data) != len(data):
                raise OSError("the disk is full")
            os.fsync(self.file.fileno())
        except OSError as error:
            raise DiskError(f"could not write {self.path}: {error.strerror or error}") from None
        self.torn = False
        self.status.update({row["key"]: row["status"] for row in self.waiting})
        self.waiting, self.written = [], time.monotonic()


def store(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        DiskError: if it cannot be stored.
    """
    try:
        atomic_write(path, text)
    except OSError as error:
        raise DiskError(f"could not write {path}: {error.strerror or error}") from None
