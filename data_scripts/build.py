"""From a name to a prepared set: fetch, verify, prepare, write. Each step can be cut off and taken up again."""

import hashlib
import importlib
import io
import os
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import filelock
import numpy as np

from tutorial_lib.lab.real import load_real, prepared_path

from .download import DownloadError, fetch_all, is_verified
from .manifest import DataSet

#: At once, also into a pipe: the lines must not come after an error that follows them.
say_now = partial(print, flush=True)
#: Files fetched at once: enough for many small ones, polite to the host.
WORKERS = 4


class BuildError(Exception):
    """A set could not be prepared; the message says why and what to do."""


def build(
    data_set: DataSet,
    *,
    folder: str | os.PathLike | None = None,
    source: str | None = None,
    say: Callable[[str], object] = say_now,
    **options,
) -> Path:
    """Fetch and prepare one set, unless it is there already.

    Args:
        data_set: an entry of the manifest.
        folder: the folder of all prepared sets (default: ``$TUTORIAL_DATA``, else the user's cache folder).
        source: another place to take the raw files from: a folder that holds them, or the address of a mirror.
        say: receives each line of the report.
        **options: ``timeout``, ``retries``, ``backoff`` of :func:`data_scripts.download.fetch`.

    Returns:
        The path of the prepared file.

    Raises:
        BuildError: if it cannot be had; the message holds the way to do it by hand.
    """
    target = prepared_path(data_set.name, folder)
    describe(data_set, say)
    if _is_prepared(data_set, folder):  # asked before the lock too: a shared folder may be read-only
        say(f"Already prepared: {target}")
        return target
    with _alone(target.parent, say):
        if _is_prepared(data_set, folder):
            say(f"Already prepared: {target}")
            return target
        # Before the download: a library that is missing should not be found out after it.
        recipe = importlib.import_module(f"data_scripts.{data_set.name}")
        raw = _raw_files(data_set, target.parent / "raw", source, say, options)
        say("Preparing ...")
        try:
            arrays = recipe.prepare(raw, [file.name for file in data_set.files])
            write_npz(target, arrays)
        except ValueError as error:
            raise BuildError(f"cannot prepare {data_set.name}: {error}") from error
        except OSError as error:
            raise BuildError(f"cannot write {target}: {error.strerror or error}") from error
    if arrays_digest(arrays) == data_set.arrays_sha256:
        say(f"Prepared, equal to the tested arrays: {target}")
    else:
        say(f"Prepared: {target}")
        say("Note: the arrays differ from the tested ones in some bit (another version of SciPy or NumPy?).")
    return target


def describe(data_set: DataSet, say: Callable[[str], object] = say_now) -> None:
    """Say what the set is, whose it is, and on what terms; before anything is fetched."""
    say(f"{data_set.title} · {len(data_set.files)} files, {data_set.size / 1e6:.1f} MB · {data_set.homepage}")
    say(f"Licence: {data_set.licence} · {data_set.licence_url}")
    say("Please cite:")
    for reference in data_set.citation:
        say(f"  {reference}")


@contextmanager
def _alone(folder: Path, say: Callable[[str], object]):
    """Hold the lock of a set: two processes take turns, and a killed one leaves no lock behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say("Another process prepares this set; waiting for it.")
            lock.acquire()
    except OSError as error:
        raise BuildError(f"cannot write in {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _raw_files(data_set: DataSet, raw: Path, source: str | None, say, options) -> Path:
    """Return a folder that holds every raw file, verified."""
    if source is not None and not source.startswith(("http://", "https://")):
        return _local_files(data_set, Path(source).expanduser())
    urls, archives = (data_set.urls, data_set.archives) if source is None else ((source,), ())
    say(f"Fetching from {urls[0]} into {raw}")
    try:
        fetched = fetch_all(data_set.files, urls, raw, archives=archives, workers=WORKERS, **options)
    except DownloadError as error:
        command = f"python -m data_scripts {data_set.name}"
        raise BuildError(
            f"{error}\n"
            "What has arrived is kept: the same command goes on from there.\n"
            f"By hand: get the files from {data_set.homepage} or {urls[0]} (needed: {_names(data_set)}), "
            f"put them into {raw}, and run `{command}` again;\n"
            f"or name the folder or mirror that holds them: `{command} --source FOLDER_OR_ADDRESS`."
        ) from error
    say(f"{fetched} files fetched, {len(data_set.files) - fetched} were there.")
    return raw


def _local_files(data_set: DataSet, folder: Path) -> Path:
    if not folder.is_dir():
        raise BuildError(f"--source must be a folder or an address with http(s)://, got {folder}")
    missing = [file.name for file in data_set.files if not (folder / file.name).is_file()]
    if missing:
        raise BuildError(f"{folder} lacks {len(missing)} files of {data_set.name}: {_few(missing)}")
    wrong = [file.name for file in data_set.files if not is_verified(folder / file.name, file)]
    if wrong:
        raise BuildError(
            f"{folder}: {len(wrong)} files are not those of {data_set.homepage}: {_few(wrong)} "
            "(size or SHA-256 differs; a copy that changed line ends differs too)"
        )
    return folder


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _names(data_set: DataSet) -> str:
    names = [file.name for file in data_set.files]
    return ", ".join(names) if len(names) < 5 else f"{names[0]} to {names[-1]}, {len(names)} files"


def _is_prepared(data_set: DataSet, folder: str | os.PathLike | None) -> bool:
    try:
        return arrays_digest(load_real(data_set.name, folder)) == data_set.arrays_sha256
    except OSError:
        return False


def arrays_digest(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values; it does not depend on how the file is compressed.

    >>> arrays_digest({"a": np.zeros(2), "b": np.ones(1)}) == arrays_digest({"b": np.ones(1), "a": np.zeros(2)})
    True
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as a compressed ``.npz``: whole or not at all, and the same bytes for the same arrays.

    Args:
        path: the file; its folder must exist.
        arrays: name -> array, written in this order.

    Raises:
        OSError: if it cannot be written; a file that was there is untouched.
    """
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # NumPy stamps every member with 1980-01-01
    fresh = path.with_name(path.name + ".tmp")
    try:
        with open(fresh, "wb") as out:
            out.write(memory.getbuffer())
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
