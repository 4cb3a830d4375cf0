"""Command line: ``python -m data_scripts [list | NAME ...]``.

Exit status: 0 done, 1 a set could not be had, 2 wrong use, 130 stopped with Ctrl-C.
"""

import argparse
import difflib
import math
import os
import sys
from pathlib import Path

from tutorial_lib.lab.real import data_folder, prepared_path

from .manifest import MANIFEST, DataSet, read_manifest


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data_scripts",
        description="Fetch real data sets from their public source, verify them, and prepare them for the course.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="sets to prepare; 'list' (default) shows all")
    parser.add_argument("--folder", help="folder of the prepared sets (default: $TUTORIAL_DATA, else the cache folder)")
    parser.add_argument("--source", help="folder that holds the raw files, or the address of a mirror")
    parser.add_argument("--timeout", type=_positive, default=30.0, help="seconds without a byte before a new attempt")
    parser.add_argument("--retries", type=_count, default=5, help="attempts in a row that bring nothing (default 5)")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="another manifest, such as a site's own")
    options = parser.parse_args(arguments)

    try:
        sets = read_manifest(options.manifest)
    except (OSError, ValueError) as error:
        return _fail(f"cannot read the manifest: {error}", 2)
    names = [name for name in options.names if name != "list"]
    if not names:
        _list(sets, options.folder)
        return 0
    for name in names:
        if name not in sets:
            near = difflib.get_close_matches(name, sets, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sets)}"
            return _fail(f"there is no set {name!r}; {hint}", 2)
    try:
        from .build import BuildError, build
    except ModuleNotFoundError as error:
        return _fail(f'{error.name} is not installed; run: pip install -e ".[data]"', 1)
    try:
        for name in names:
            settings = {"timeout": options.timeout, "retries": options.retries}
            build(sets[name], folder=options.folder, source=options.source, **settings)
    except BuildError as error:
        return _fail(str(error), 1)
    except ModuleNotFoundError as error:
        return _fail(f'{error.name} is not installed; run: pip install -e ".[data]"', 1)
    except KeyboardInterrupt:
        return _fail("stopped; what has arrived is kept, the same command goes on from there", 130)
    return 0


def _list(sets: dict[str, DataSet], folder: str | os.PathLike | None) -> None:
    print(f"Folder of prepared sets: {data_folder(folder)}")
    width = max(map(len, sets), default=0)
    for entry in sets.values():
        state = "prepared" if prepared_path(entry.name, folder).is_file() else "not prepared"
        print(f"{entry.name:{width}} {state:13} {entry.size / 1e6:7.1f} MB to fetch · {entry.licence} · {entry.title}")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:  # a socket cannot wait for ever by number
        raise argparse.ArgumentTypeError(f"must be above zero and finite, got {text}")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return number


def _fail(message: str, status: int) -> int:
    print(f"data_scripts: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
