"""Bring a file over an unreliable network, so that what lies under its final name is always whole.

Bytes are appended to ``NAME.part``. Only when size and SHA-256 are those of the manifest is it renamed to ``NAME``.
After a cut connection, or a killed process, the next attempt asks for the missing bytes (HTTP ``Range``). A server that
ignores the request, or answers with another range, is read from the start again. The checksum decides in the end, so
that a part from one mirror may be completed from another.

The bytes are taken as they travel. Many servers mark a ``.gz`` with ``Content-Encoding: gzip``, and a client that obeys
unpacks it on the way: then neither size nor checksum is the file's, and no position to go on from is right. Only where
what travels is not the file, and such a mark is there, is it unpacked (a server that compresses though it was asked not
to).

A set of thousands of small files may come as one archive (:func:`fetch_archive`). Its members are checked one by one,
so that it does not matter how the archive was packed, and those that arrived before a cut stay.
"""

import errno
import hashlib
import os
import re
import shutil
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

import requests
import urllib3
from tqdm import tqdm

from .manifest import RemoteFile

#: Bytes are written in pieces of this size; a cut loses at most one piece.
CHUNK = 1 << 13
#: Answers that may be different in a minute. Any other one of 4xx or 5xx is final.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0
#: With no more files than this to bring, an archive is not worth its bytes.
FEW = 50


#: What an address raises that is none, ours or one that the server sends us to.
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationParseError,
    ValueError,  # of urllib, on "http://[" and on bytes that are no text
)


class DownloadError(Exception):
    """A file could not be brought; the message says why, file by file and address by address."""


class _Again(Exception):
    """This attempt failed; another one, ``wait`` seconds later at the earliest, may succeed."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _Wrong(Exception):
    """The server sent something that is not the file; ``coded``: under a ``Content-Encoding``."""

    def __init__(self, reason: str, coded: bool = False):
        super().__init__(f"{reason}, under a Content-Encoding" if coded else reason)
        self.coded = coded


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


def fetch_all(
    files: Sequence[RemoteFile],
    urls: Sequence[str],
    folder: Path,
    *,
    archives: Sequence[str] = (),
    workers: int = 1,
    **options,
) -> int:
    """Bring many files, with one progress bar over their bytes (quiet when nobody watches).

    Args:
        files: what to bring.
        urls: base addresses, as in :func:`fetch`.
        folder: where they go.
        archives: addresses of an archive of all of them, tried first when more than ``FEW`` are missing. What none of
            them brings is fetched file by file.
        workers: files fetched at once.
        **options: ``timeout``, ``retries``, ``backoff`` of :func:`fetch`.

    Returns:
        How many files were fetched; the others were there.

    Raises:
        DownloadError: at the first file that cannot be brought, or if the disk has too little room. Files already
            whole stay.
    """
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        missing = [file for file in files if _size(folder / file.name) != file.size]
        partial = sum(min(file.size, _size(folder / f"{file.name}.part")) for file in missing)
        free = shutil.disk_usage(folder).free
    needed = sum(file.size for file in missing) - partial
    if needed > free:
        raise DownloadError(f"{folder} has {free:,} bytes free; {needed:,} are needed")
    fetched = 0
    for url in archives:
        if len(missing) <= FEW:
            break
        fetched += fetch_archive(missing, url, folder, **options)
        missing = [file for file in missing if _size(folder / file.name) != file.size]
    # One session a thread: requests does not promise that one can be shared.
    local, lock, on_disk = threading.local(), threading.Lock(), {}
    # disable=None: tqdm draws only on a terminal.
    with tqdm(total=sum(file.size for file in files), unit="B", unit_scale=True, disable=None) as bar:

        def bring(file: RemoteFile) -> bool:
            def show(size: int) -> None:
                with lock:
                    bar.update(size - on_disk.get(file.name, 0))
                    on_disk[file.name] = size

            if not hasattr(local, "session"):
                local.session = requests.Session()
                sessions.append(local.session)
            return fetch(file, urls, folder, session=local.session, progress=show, **options)

        sessions: list[requests.Session] = []
        try:
            if workers == 1:
                fetched += sum(map(bring, files))
            else:
                fetched += _bring_at_once(bring, files, workers)
        finally:
            for session in sessions:
                session.close()
    return fetched


def _bring_at_once(bring: Callable[[RemoteFile], bool], files: Sequence[RemoteFile], workers: int) -> int:
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(bring, file) for file in files]
        try:
            return sum(future.result() for future in futures)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # the few in flight end; the others are not begun
            raise


def fetch_archive(
    files: Sequence[RemoteFile],
    url: str,
    folder: Path,
    *,
    timeout: float = 30.0,
    retries: int = 5,
    backoff: float = 1.0,
) -> int:
    """Read a ``.tar.gz`` as it arrives, and keep the members that are files of the manifest.

    A member's first folder is taken off its name (``repository-commit/``). A member that is not in ``files``, or whose
    size or SHA-256 differs, is passed over. An archive that cannot be had is no error: fewer files come.

    Args:
        files: what is wanted.
        url: the archive.
        folder: where the files go.
        timeout: seconds to wait for a connection, and for the next bytes.
        retries: attempts in a row that bring no new file before the archive is given up.
        backoff: seconds before the second attempt; doubled each time, a minute at most.

    Returns:
        How many files it brought.

    Raises:
        DownloadError: if a file cannot be written.
    """
    wanted = {file.name: file for file in files}
    failures = 0
    with tqdm(total=len(wanted), unit="file", desc="archive", disable=None) as bar:
        while wanted:
            before, wait = len(wanted), 0.0
            try:
                for name in _members(url, wanted, folder, timeout):
                    del wanted[name]
                    bar.update()
                if len(wanted) == before:  # read to its end: the rest is not in it
                    break
            except _Final:
                break
            except _Again as reason:
                wait = reason.wait
            failures = failures + 1 if len(wanted) == before else 0
            if failures > retries:
                break
            if wanted:
                time.sleep(min(max(backoff * 2 ** max(failures - 1, 0), wait), LONGEST_WAIT))
    return len(files) - len(wanted)


def _members(url: str, wanted: dict[str, RemoteFile], folder: Path, timeout: float):
    """Yield the name of each wanted file, once it lies in the folder."""
    headers = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code in TRANSIENT:
                raise _Again(f"answered {response.status_code}", _retry_after(response))
            if response.status_code != 200:
                raise _Final(f"answered {response.status_code} {response.reason}")
            # A stream: forwards only, nothing but one member in memory.
            with tarfile.open(fileobj=_Stream(_as_sent(response)), mode="r|gz") as archive:
                for member in archive:
                    name = member.name.partition("/")[2]
                    file = wanted.get(name)
                    if file is None or not member.isfile() or member.size != file.size:
                        continue
                    content = archive.extractfile(member).read()
                    if hashlib.sha256(content).hexdigest() != file.sha256:
                        continue
                    part = folder / (name + ".part")
                    with _disk(part):
                        part.parent.mkdir(parents=True, exist_ok=True)
                        part.write_bytes(content)
                        os.replace(part, folder / name)
                    yield name
                    if not wanted:
                        return
    except (*_NO_ADDRESS, requests.TooManyRedirects) as error:
        raise _Final(str(error)) from error
    except (requests.RequestException, tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise _Again(_plain(error)) from error


class _Stream:
    """What arrives, as a file that is read forwards."""

    def __init__(self, pieces):
        self.pieces, self.rest = pieces, b""

    def read(self, size: int) -> bytes:
        self.rest = self.rest or next(self.pieces, b"")
        piece, self.rest = self.rest[:size], self.rest[size:]
        return piece


def _fetch_from(session, url, file, part, timeout, retries, backoff, progress) -> None:
    """Leave the whole, verified file in ``part``, or raise ``_Final`` with the reason."""
    failures = most = 0
    decode, wrong = False, {False: 0, True: 0}  # how often each way to take the bytes gave another file
    while True:
        try:
            with _disk(part):
                if _size(part) > file.size:
                    part.unlink()
            coded = False
            if _size(part) < file.size or not part.exists():
                coded = _append(session, url, file, part, timeout, progress, decode)
            with _disk(part):
                if is_verified(part, file):
                    return
            raise _Wrong(f"what arrived does not have the SHA-256 {file.sha256}", coded)
        except _Wrong as reason:
            # Once may be a broken transfer, or a part that another version left. Twice is another file.
            with _disk(part):
                part.unlink(missing_ok=True)
            wrong[decode] += 1
            decode = reason.coded and not decode
            if wrong[decode] == 2:
                raise _Final(f"{reason} (twice)") from None
        except _Again as reason:
            failures = 0 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures > retries:
                raise _Final(f"{reason} (given up after {failures} attempts that brought nothing)") from None
            time.sleep(min(max(backoff * 2 ** max(failures - 1, 0), reason.wait), LONGEST_WAIT))


def _append(session, url, file, part, timeout, progress, decode) -> bool:
    """Make one request, and append what it brings to ``part``; return whether it came under a ``Content-Encoding``."""
    have = 0 if decode else _size(part)  # positions are those of the bytes that travel
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _network(part, file), session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        status = response.status_code
        coded = response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")
        if status in TRANSIENT:
            raise _Again(f"answered {status} {response.reason}", _retry_after(response))
        if status == 416:
            raise _Wrong("the server does not have the rest of the file")
        if status not in (200, 206):
            raise _Final(f"answered {status} {response.reason}")
        if status == 206 and _range_start(response) == have:
            mode = "ab"
        elif status == 200:
            mode, have = "wb", 0
        else:
            raise _Wrong(f"sent the range {response.headers.get('Content-Range')!r}, not the one asked for")
        with _disk(part):
            out = open(part, mode, buffering=0)
        with out:
            for chunk in response.iter_content(CHUNK) if decode else _as_sent(response):
                have += len(chunk)
                if have > file.size:
                    raise _Wrong(f"sent more than the {file.size:,} bytes of the file", coded)
                with _disk(part):
                    _write_all(out, chunk)
                progress(have)
            with _disk(part):
                os.fsync(out.fileno())
        # By a last chunk, or by its length, the server says that there is no more. A cut ends in an error instead.
        ended = response.raw.chunked or response.raw.length_remaining == 0
        if have < file.size and status == 200 and (decode or ended):
            raise _Wrong(f"sent a file of {have:,} bytes, not {file.size:,}", coded)
        if have < file.size:
            raise _Again(f"the connection was cut after {have:,} of {file.size:,} bytes")
        return coded


def _as_sent(response: requests.Response) -> Iterator[bytes]:
    """The body as it travels, whatever its ``Content-Encoding``."""
    # urllib3 unpacks what this header names, and requests leaves it no choice.
    response.raw.headers.pop("Content-Encoding", None)
    return response.iter_content(CHUNK)


def _write_all(out, chunk: bytes) -> None:
    # Unbuffered, so that a killed process leaves every byte it was given; such a write may be a short one.
    view = memoryview(chunk)
    while view:
        view = view[out.write(view) :]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


# A header may hold anything. `isdigit` and `int` know more digits than HTTP does ("²", "٣"), `int` also "+1" and "1_0".


def _retry_after(response: requests.Response) -> float:
    """Seconds to wait: the header gives them, or the date after which to come back; 0 where it is neither."""
    asked = response.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]+", asked):
        return float(asked)
    try:
        date = parsedate_to_datetime(asked)
        return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _range_start(response: requests.Response) -> int | None:
    """The first byte of the range that came; None where the header does not say."""
    given = re.fullmatch(
        r"bytes\s+([0-9]{1,18})-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", "").strip(), re.IGNORECASE
    )
    return int(given[1]) if given else None


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
    except (*_NO_ADDRESS, requests.TooManyRedirects) as error:
        raise _Final(str(error)) from error
    except requests.exceptions.ContentDecodingError as error:
        raise _Wrong("sent bytes that are not what their Content-Encoding says", coded=True) from error
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
