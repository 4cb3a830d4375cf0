"""Open an archive that came from somewhere else, without letting it write outside its folder."""

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

#: What the readers raise on damaged content; the last two: a compression or an encryption they do not know.
BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
BROKEN += (NotImplementedError, RuntimeError)


def unpack(archive: str | os.PathLike, folder: str | os.PathLike, *, max_bytes: int) -> Path:
    """Unpack a zip or tar archive into a new folder: all of it, or nothing.

    Members with an absolute path, a drive, a ``..``, and links and devices are refused, not repaired: an archive that
    holds one is not the archive that was meant.

    Args:
        archive: a ``.zip``, or a ``.tar`` with or without compression; recognised by content.
        folder: where its members go; must not exist yet.
        max_bytes: the most the members may come to, unpacked.

    Returns:
        ``folder`` as a path.

    Raises:
        ValueError: if the file is no such archive, a member is refused, or they come to more than ``max_bytes``.
        FileExistsError: if ``folder`` exists.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(f"folder must not exist yet, got {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, fresh, max_bytes)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, fresh, max_bytes)
        else:
            raise ValueError(f"archive must be a zip or tar file, got {archive}")
        fresh.chmod(0o755)
        os.rename(fresh, folder)
    except BROKEN as error:
        raise ValueError(f"archive {archive} is broken: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _unpack_zip(archive: Path, fresh: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as source:
        members = source.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check(member.filename, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        _check_size(sum(member.file_size for member in members), max_bytes)
        source.extractall(fresh)


def _unpack_tar(archive: Path, fresh: Path, max_bytes: int) -> None:
    with tarfile.open(archive) as source:
        members = source.getmembers()
        for member in members:
            _check(member.name, plain=member.isfile() or member.isdir())
        _check_size(sum(member.size for member in members), max_bytes)
        source.extractall(fresh, filter="data")


def _check(name: str, *, plain: bool) -> None:
    if not plain:
        raise ValueError(f"archive member {name!r} is a link or a device; refused")
    # A backslash or a drive is harmless here and a way out on Windows: one rule for all systems.
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root or ".." in path.parts:
            raise ValueError(f"archive member {name!r} points outside the folder; refused")


def _check_size(total: int, max_bytes: int) -> None:
    if total > max_bytes:
        raise ValueError(f"archive holds {total:,} bytes unpacked, more than max_bytes={max_bytes:,}")
