"""Bring a file over an unreliable network, so that what lies under its final name is always whole.

Bytes are appended to ``NAME.part``. Only when size and SHA-256 are those of the manifest is it renamed to ``NAME``.
After a cut connection, or a killed process, the next attempt asks for the missing bytes (HTTP ``Range``). A server that
ignores the request, or answers with another range, is read from the start again. The checksum decides in the end, so
that a part from one mirror may be completed from another.
"""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote

import requests
from tqdm import tqdm

from .manifest import RemoteFile

#: Bytes are written in pieces of this size; a cut loses at most one piece.
CHUNK = 1 << 13
#: Answers that may be different in a minute. Any other one of 4xx or 5xx is final.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0


class DownloadError(Exception):
    """A file could not be brought; the message says why, file by file and address by address."""


class _Again(Exception):
    """This attempt failed; another one, ``wait`` seconds later at the earliest, may succeed."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _Wrong(Exception):
    """The server sent something that is not the file."""


class _Final(Exception):
    """This address will not give the file."""


def is_verified(path: Path, file: RemoteFile) -> bool:
    """Say whether ``path`` holds exactly the file of the manifest (size, then SHA-256)."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def fetch(
    file: RemoteFile,
    urls: Sequence[str],
    folder: Path,
    *,
    session: requests.Session | None = None,
    timeout: float = 30.0,
    retries: int = 5,
    backoff: float = 1.0,
    progress: Callable[[int], object] = lambda total: None,
) -> bool:
    """Bring one file into a folder, unless it is there already and whole.

    Args:
        file: name, size and SHA-256.
        urls: base addresses, tried in turn; the file's name is appended.
        folder: where it goes; made if it is missing.
        session: a session to reuse connections with.
        timeout: seconds to wait for a connection, and for the next bytes.
        retries: attempts in a row without a new byte before an address is given up; 404 and the like are never
            tried again.
        backoff: seconds before the second attempt; doubled each time, a minute at most.
        progress: called with the number of bytes that are on disk.

    Returns:
        True if it was fetched, False if it was there.

    Raises:
        DownloadError: if no address gave the file, or it could not be written. What has arrived is kept.
    """
    target = folder / file.name
    part = target.with_name(target.name + ".part")
    with _disk(target):
        if is_verified(target, file):
            progress(file.size)
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for base in urls:
        url = base.rstrip("/") + "/" + quote(file.name)
        try:
            with nullcontext(session) if session else requests.Session() as active:
                _fetch_from(active, url, file, part, timeout, retries, backoff, progress)
        except _Final as reason:
            reasons.append(f"{url}: {reason}")
            continue
        with _disk(target):
            os.replace(part, target)
        return True
    raise DownloadError("\n".join(reasons) or f"no address is known for {file.name}")


def fetch_all(files: Sequence[RemoteFile], urls: Sequence[str], folder: Path, **options) -> int:
    """Bring many files, with one progress bar over their bytes (quiet when nobody watches).

    Args:
        files: what to bring.
        urls: base addresses, as in :func:`fetch`.
        folder: where they go.
        **options: ``timeout``, ``retries``, ``backoff`` of :func:`fetch`.

    Returns:
        How many files were fetched; the others were there.

    Raises:
        DownloadError: at the first file that cannot be brought, or if the disk has too little room. Files already
            whole stay.
    """
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        missing = sum(file.size for file in files if _size(folder / file.name) != file.size)
        partial = sum(min(file.size, _size(folder / f"{file.name}.part")) for file in files)
        free = shutil.disk_usage(folder).free
    if missing - partial > free:
        raise DownloadError(f"{folder} has {free:,} bytes free; {missing - partial:,} are needed")
    fetched = done = 0
    # disable=None: tqdm draws only on a terminal.
    with (
        requests.Session() as session,
        tqdm(total=sum(file.size for file in files), unit="B", unit_scale=True, disable=None) as bar,
    ):
        for file in files:

            def show(on_disk: int, before: int = done) -> None:
                bar.update(before + on_disk - bar.n)

            bar.set_description(file.name, refresh=False)
            fetched += fetch(file, urls, folder, session=session, progress=show, **options)
            done += file.size
    return fetched


def _fetch_from(session, url, file, part, timeout, retries, backoff, progress) -> None:
    """Leave the whole, verified file in ``part``, or raise ``_Final`` with the reason."""
    failures = wrong = most = 0
    while True:
        try:
            with _disk(part):
                if _size(part) > file.size:
                    part.unlink()
            if _size(part) < file.size or not part.exists():
                _append(session, url, file, part, timeout, progress)
            with _disk(part):
                if is_verified(part, file):
                    return
            raise _Wrong(f"what arrived does not have the SHA-256 {file.sha256}")
        except _Wrong as reason:
            # Once may be a broken transfer, or a part that another version left. Twice is another file.
            with _disk(part):
                part.unlink(missing_ok=True)
            wrong += 1
            if wrong == 2:
                raise _Final(f"{reason} (twice)") from None
        except _Again as reason:
            failures = 0 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures > retries:
                raise _Final(f"{reason} (given up after {failures} attempts that brought nothing)") from None
            time.sleep(min(max(backoff * 2 ** max(failures - 1, 0), reason.wait), LONGEST_WAIT))


def _append(session, url, file, part, timeout, progress) -> None:
    """Make one request, and append what it brings to ``part``."""
    have = _size(part)
    # A compressed transfer has other byte positions than the file: ask for the bytes as they are.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _network(part, file), session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        status = response.status_code
        if status in TRANSIENT:
            raise _Again(f"answered {status} {response.reason}", _retry_after(response))
        if status == 416:
            raise _Wrong("the server does not have the rest of the file")
        if status not in (200, 206):
            raise _Final(f"answered {status} {response.reason}")
        if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            mode = "ab"
        elif status == 200:
            mode, have = "wb", 0
        else:
            raise _Wrong(f"sent the range {response.headers.get('Content-Range')!r}, not the one asked for")
        with _disk(part):
            out = open(part, mode, buffering=0)
        with out:
            for chunk in response.iter_content(CHUNK):
                have += len(chunk)
                if have > file.size:
                    raise _Wrong(f"sent more than the {file.size:,} bytes of the file")
                with _disk(part):
                    _write_all(out, chunk)
                progress(have)
            with _disk(part):
                os.fsync(out.fileno())
        if have < file.size and status == 200 and response.headers.get("Content-Length") == str(have):
            raise _Wrong(f"sent a file of {have:,} bytes, not {file.size:,}")
        if have < file.size:
            raise _Again(f"the connection was cut after {have:,} of {file.size:,} bytes")


def _write_all(out, chunk: bytes) -> None:
    # Unbuffered, so that a killed process leaves every byte it was given; such a write may be a short one.
    view = memoryview(chunk)
    while view:
        view = view[out.write(view) :]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _retry_after(response) -> float:
    wait = response.headers.get("Retry-After", "")
    return float(wait) if wait.isdigit() else 0.0


@contextmanager
def _disk(path: Path):
    """Turn an error of the file system into one clear sentence."""
    # No network call may stand inside: its errors are OSErrors too.
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = "the disk is full, or a quota is reached; make room and run the same command again"
        else:
            reason = error.strerror or str(error)
        raise DownloadError(f"cannot write {path}: {reason}") from error


@contextmanager
def _network(part: Path, file: RemoteFile):
    """Turn an error of the network into one to try again after."""
    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise _Final(str(error)) from error
    except requests.exceptions.SSLError as error:
        raise _Final(f"its certificate was not accepted ({error})") from error
    except requests.RequestException as error:
        raise _Again(f"{_plain(error)} ({_size(part):,} of {file.size:,} bytes are here)") from error


def _plain(error: Exception) -> str:
    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "nothing came within the time limit"
    if "NameResolutionError" in text:
        return "the host's name is not known here"
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or "IncompleteRead" in text:
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the host"
    return text
