"""Where the course lies: one place in ``pyproject.toml``, and every badge and set-up line that follows it.

``tutorial colab --repo OWNER/NAME@REF`` points a copy of the course to a fork: ``Source`` in ``pyproject.toml``, and in
the notebooks and the README the Colab and Binder addresses and the set-up lines. Those addresses are exchanged in the
files' bytes. Nothing else is touched: no output, no order of keys, no line end.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from tutorial_lib.course.catalogue import CourseError, find_notebooks
from tutorial_lib.course.files import atomic_write

_PACKAGE = "tutorial-lib"
_OWNER = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}"
_REPO = rf"{_OWNER}/[A-Za-z0-9._-]{{1,100}}"
_REF = r"[A-Za-z0-9._/+-]+"


@dataclass(frozen=True)
class Source:
    """Where the course lies on GitHub.

    Attributes:
        repo: ``OWNER/NAME``.
        ref: a branch, a tag or a commit.

    >>> print(Source("jane/tutorial"))
    jane/tutorial@main
    """

    repo: str
    ref: str = "main"

    def __str__(self) -> str:
        return f"{self.repo}@{self.ref}"


@dataclass(frozen=True)
class _Kind:
    """One form in which an address is written: how to find it, and how to write another in its place."""

    name: str
    pattern: re.Pattern[bytes]
    write: Callable[[Source], str]

    def find(self, data: bytes, known: set[str]) -> Iterator[re.Match[bytes]]:
        for match in self.pattern.finditer(data):
            # A link to somebody else's notebook is none of ours.
            if "file" not in self.pattern.groupindex or unquote(match["file"].decode()) in known:
                yield match


def _kind(name: str, before: str, address: str, after: str, write: Callable[[Source], str]) -> _Kind:
    pattern = f"(?P<before>{before}){address}(?P<after>{after})"
    for word, form in (("REPO", _REPO), ("REF", _REF)):
        pattern = pattern.replace(word, f"(?P<{word.lower()}>{form})")
    return _Kind(name, re.compile(pattern.encode(), re.MULTILINE), write)


_ONE_PLACE = _kind(
    "Source",
    r"^Source *= *[\"']",
    r"https://github\.com/REPO(?:/tree/REF)?",
    r"/?[\"']",
    lambda to: f"https://github.com/{to.repo}/tree/{to.ref}",
)
_SETUP = _kind(
    "set-up line",
    rf"{_PACKAGE}(?:\[[\w,-]*\])? @ git\+",
    r"https://github\.com/REPO(?:@REF)?",
    r"(?![\w./@+-])",
    lambda to: f"https://github.com/{to.repo}@{to.ref}",
)
# A branch may hold slashes; the notebook's own name tells where it ends.
_BADGE = _kind(
    "badge",
    r"https://colab\.research\.google\.com/github/",
    "REPO/blob/REF",
    r"/(?P<file>notebooks/(?:solutions/)?[^/\s\"'()<>\\]+\.ipynb)(?![\w./-])",
    lambda to: f"{to.repo}/blob/{to.ref}",
)
# In Binder's address the branch is one part of the path.
_BINDER = _kind(
    "Binder link",
    r"https://mybinder\.org/v2/gh/",
    r"REPO/(?P<ref>[\w.%+-]+)",
    r"(?=\?(?:lab|url)path=[\w./%-]*notebooks)",
    lambda to: f"{to.repo}/{quote(to.ref, safe='')}",
)
_KINDS = (_SETUP, _BADGE, _BINDER)


def add_colab(parser) -> None:
    """Declare what ``tutorial colab`` takes."""
    parser.add_argument(
        "--repo",
        metavar="OWNER/NAME[@REF]",
        help="where the course lies on GitHub; REF is a branch, tag or commit (default: main). "
        "Without --repo: say where it points now, and whether all agree",
    )


def colab(options) -> int:
    """Re-point the course, or say where it points.

    Args:
        options: with ``notebooks`` and ``repo``.

    Returns:
        0; 1 if, without ``--repo``, not everything points to one place.

    Raises:
        CourseError: for a name that no repository can have, or a file that cannot be read or written; then nothing is
            changed.
    """
    target = None if options.repo is None else parse_source(options.repo)
    notebooks = options.notebooks or find_notebooks()
    files = course_files(notebooks)
    root = notebooks.resolve().parent
    if target is None:
        return _say(files, root)
    old = {path: _read(path) for path in files}
    new = {path: repoint(data, path, target, files) for path, data in old.items()}
    changed = [path for path in files if new[path] != old[path]]
    write_all({path: new[path] for path in changed}, old)
    for path in changed:
        print(f"re-pointed  {_short(path, root)}")
    print(f"{len(changed)} of {len(files)} files re-pointed: all name {target.repo}, {target.ref}.")
    if changed:
        print("Commit and push them there: Colab and pip read what is on GitHub.")
    return 0


def course_files(notebooks: str | Path) -> list[Path]:
    """Return the files that may name where the course lies: ``pyproject.toml``, the README, and every notebook.

    Args:
        notebooks: the folder of chapters; the first two lie beside it, where there is a checkout.

    Raises:
        CourseError: if there is no such folder, or this course's ``pyproject.toml`` has no place for the address.
    """
    notebooks = Path(notebooks)
    if not notebooks.is_dir():
        raise CourseError(f"no folder of notebooks at {notebooks}")
    files = sorted(path for folder in (notebooks, notebooks / "solutions") for path in folder.glob("*.ipynb"))
    if not files:
        raise CourseError(f"no notebooks in {notebooks}")
    root = notebooks.resolve().parent
    if (root / "README.md").is_file():
        files.insert(0, root / "README.md")
    project = root / "pyproject.toml"
    if project.is_file():
        data = _read(project)
        try:
            ours = tomllib.loads(data.decode()).get("project", {}).get("name") == _PACKAGE
        except ValueError as error:
            raise CourseError(f"{project} cannot be read: {error}") from None
        if ours and not _ONE_PLACE.pattern.search(data):
            raise CourseError(
                f'{project} has no line Source = "https://github.com/OWNER/NAME/tree/BRANCH" in [project.urls]'
            )
        if ours:
            files.insert(0, project)
    return files


def parse_source(text: str) -> Source:
    """Read ``OWNER/NAME`` or ``OWNER/NAME@REF``.

    Args:
        text: what the maintainer typed. What follows the first ``@`` is the branch, tag or commit.

    Raises:
        CourseError: if GitHub or git has no such name.

    >>> parse_source("jane/tutorial@fix/typo")
    Source(repo='jane/tutorial', ref='fix/typo')
    """
    repo, at, ref = text.partition("@")
    if not re.fullmatch(_REPO, repo) or repo.endswith((".git", "/.", "/..")):
        raise CourseError(f"--repo takes OWNER/NAME or OWNER/NAME@REF, such as jane/tutorial@main; got {text!r}")
    if not at:
        return Source(repo)
    parts = ref.split("/")
    if (
        not re.fullmatch(_REF, ref)
        or ".." in ref
        or ref.startswith("-")
        or any(not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts)
    ):
        raise CourseError(
            f"--repo {text!r}: {ref!r} is no branch, tag or commit that an address can hold "
            "(letters, digits, and . _ + - / inside)"
        )
    return Source(repo, ref)


def repoint(data: bytes, path: Path, target: Source, files: list[Path]) -> bytes:
    """Return a file's bytes with the course's addresses exchanged, and no other byte changed.

    Args:
        data: the file's content.
        path: the file.
        target: what the addresses shall name.
        files: as :func:`course_files` returns them; only a badge of one of them is the course's own.

    >>> line = b'"source": ["pip install \\\\"tutorial-lib[chapters] @ git+https://github.com/a/b@main\\\\"\\\\n"]'
    >>> repoint(line, Path("x.ipynb"), Source("jane/course", "v2"), []).decode()
    '"source": ["pip install \\\\"tutorial-lib[chapters] @ git+https://github.com/jane/course@v2\\\\"\\\\n"]'
    """
    for kind, match in reversed(_addresses(data, path, files)):
        start, end = match.end("before"), match.start("after")
        data = data[:start] + kind.write(target).encode() + data[end:]
    return data


def write_all(new: dict[Path, bytes], old: dict[Path, bytes]) -> None:
    """Write all files, or leave all as they were.

    Args:
        new: what each file shall hold.
        old: what it holds now.

    Raises:
        CourseError: if one cannot be written. Those written before it are put back; the message names any for which
            that failed too.
    """
    begun = []
    try:
        for path, data in new.items():
            begun.append(path)
            # A link stays a link: what it points to is replaced.
            atomic_write(path.resolve(), data)
    except BaseException as error:
        stuck = [path.name for path in begun if not _put_back(path, old[path])]
        if not isinstance(error, OSError):
            raise
        rest = f"still re-pointed: {', '.join(stuck)}; run the command again" if stuck else "nothing is changed"
        raise CourseError(f"cannot write {begun[-1]}: {error.strerror or error}; {rest}") from None


def sources(data: bytes, path: Path, files: list[Path]) -> dict[str, set[Source]]:
    """Return which places a file's addresses name, by their kind.

    Args:
        data: the file's content.
        path: the file.
        files: as in :func:`repoint`.

    Returns:
        Kind (``"Source"``, ``"set-up line"``, ``"badge"``, ``"Binder link"``) to the places it names.
    """
    found: dict[str, set[Source]] = {}
    for kind, match in _addresses(data, path, files):
        ref = unquote((match["ref"] or b"main").decode())
        found.setdefault(kind.name, set()).add(Source(match["repo"].decode().removesuffix(".git"), ref))
    return found


def _addresses(data: bytes, path: Path, files: list[Path]) -> list[tuple[_Kind, re.Match[bytes]]]:
    """Every address in a file, in the order in which they stand."""
    known = {f"notebooks/{'solutions/' * (file.parent.name == 'solutions')}{file.name}" for file in files}
    kinds = (_ONE_PLACE,) if path.name == "pyproject.toml" else _KINDS
    found = [(kind, match) for kind in kinds for match in kind.find(data, known)]
    return sorted(found, key=lambda item: item[1].start())


def _say(files: list[Path], root: Path) -> int:
    found = {path: sources(_read(path), path, files) for path in files}
    named = [source for places in found.values() for kind in places.values() for source in kind]
    if not named:
        print("Nothing here names where the course lies.")
        return 1
    wanted = next(iter(found[files[0]].get("Source", ())), None) or max(named, key=named.count)
    print(f"The course lies at https://github.com/{wanted.repo}, {wanted.ref}.")
    others = 0
    for path, places in found.items():
        for kind, which in places.items():
            for source in sorted(map(str, which - {wanted})):
                others += 1
                print(f"  {_short(path, root)}: a {kind} names {source}")
        if path.suffix == ".ipynb" and "set-up line" not in places:
            print(f"  {_short(path, root)}: no set-up line; on Colab it will not find the package")
    if others:
        print(f"Not all agree: tutorial colab --repo {wanted} would re-point the others.")
        return 1
    print(f"All {sum(map(bool, found.values()))} files that name it agree.")
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"cannot read {path}: {error.strerror}; nothing is changed") from None


def _put_back(path: Path, data: bytes) -> bool:
    try:
        if path.read_bytes() != data:
            atomic_write(path.resolve(), data)
    except OSError:
        return False
    return True


def _short(path: Path, root: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
