"""The manifest: what each set consists of, where it lies, and on what terms."""

import csv
import gzip
import io
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MANIFEST = Path(__file__).with_name("manifest.toml")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a set: its name (below every base address), its size in bytes and its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """One entry of the manifest."""

    name: str
    title: str
    homepage: str
    urls: tuple[str, ...]
    licence: str
    licence_url: str
    citation: tuple[str, ...]
    arrays_sha256: str
    files: tuple[RemoteFile, ...]
    #: Addresses of a ``.tar.gz`` that holds every file below one top folder. Only its members are checked: a host may
    #: pack the same files anew, with other bytes.
    archives: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(file.size for file in self.files)


def read_manifest(path: str | Path = MANIFEST) -> dict[str, DataSet]:
    """Read a manifest.

    Args:
        path: a TOML file in the form of ``data_scripts/manifest.toml``.

    Returns:
        Set name -> :class:`DataSet`, in the order of the file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not such a manifest; the message names the set and the key.

    >>> mitbih = read_manifest()["mitbih"]
    >>> len(mitbih.files), mitbih.files[0].name
    (144, '100.hea')
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    return {name: _data_set(name, table, path) for name, table in tables.items()}


def _data_set(name: str, table: object, path: str | Path) -> DataSet:
    try:
        listed = table["files"]
        if isinstance(listed, str):  # thousands of files: in a table of their own, beside the manifest
            listed = _listing(Path(path).parent / _safe_name(listed))
        files = tuple(
            RemoteFile(_safe_name(file), int(entry["size"]), str(entry["sha256"]).lower())
            for file, entry in listed.items()
        )
        return DataSet(
            name=name,
            title=table["title"],
            homepage=table["homepage"],
            urls=tuple(table["urls"]),
            licence=table["licence"],
            licence_url=table["licence_url"],
            citation=tuple(table["citation"]),
            arrays_sha256=table["arrays_sha256"],
            files=files,
            archives=tuple(table.get("archives", ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: set {name!r} is not complete ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path}: set {name!r}: {error}") from error


def _listing(path: Path) -> dict[str, dict[str, str]]:
    """Read a gzipped CSV with the columns name, size, sha256."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"its listing {path.name} cannot be read ({error})") from error
    return {row["name"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def _safe_name(name: str) -> str:
    # A manifest may be somebody else's: no name in it may point outside the folder of the set.
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or ":" in name:
        raise ValueError(f"file name {name!r} must be a relative path without '..'")
    return name
