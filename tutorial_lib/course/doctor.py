"""``tutorial doctor``: what the course needs, what of it is here, and how to get the rest."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tutorial_lib.course.catalogue import CourseError, chapter_files, find_notebooks, read_chapter
from tutorial_lib.course.command import fitted, line_width
from tutorial_lib.course.machine import cores, kernel_manager

INSTALL = 'pip install -e ".[course]" in the course\'s folder'
ROOM = 2**30


def examine(*, out: Path | None = None, notebooks: Path | None = None, stream=None) -> int:
    """Print one line for each thing that the course stands on.

    ✓ is there; · is missing, but the course runs without it; ✗ is missing, and how to get it.

    Args:
        out: where results will go; beside the notebooks if not given.
        notebooks: the folder of chapters; the nearest one if not given.
        stream: where to print; standard output if not given.

    Returns:
        0 if the course can run, else 1.
    """
    stream, able = stream or sys.stdout, True
    for mark, what, found, remedy in _findings(out, notebooks):
        able = able and mark != "✗"
        print(_line(f"{mark} {what:<14} {found}", f"→  {remedy}" if remedy else ""), file=stream, flush=True)
    print(
        "\nThe course can run: tutorial run" if able else "\nThe course cannot run yet: see the lines marked ✗.",
        file=stream,
    )
    return 0 if able else 1


def _line(found: str, remedy: str) -> str:
    """Return a line that fits; a remedy has one of its own where it must, so that it can be copied."""
    # A log takes a line of any length, and can be searched.
    whole, width = f"{found}  {remedy}".rstrip(), line_width(otherwise=sys.maxsize)
    if len(whole) <= width or not remedy:
        return fitted(whole, indent=17, width=width)
    return fitted(found, indent=17, width=width) + "\n" + " " * 17 + remedy


def _findings(out: Path | None, notebooks: Path | None) -> Iterator[tuple[str, str, str, str]]:
    new_enough = sys.version_info >= (3, 11)
    version = ".".join(map(str, sys.version_info[:3]))
    yield (
        "✓" if new_enough else "✗",
        "Python",
        f"{version} ({sys.executable})",
        "" if new_enough else "install Python 3.11 or newer",
    )
    yield from _packages()
    yield _device()
    yield _threads()
    yield _kernel()
    try:
        notebooks = notebooks or find_notebooks()
        files = chapter_files(notebooks)
        yield (
            "✓" if files else "✗",
            "chapters",
            f"{len(files)} in {notebooks}",
            "" if files else "name their folder with --notebooks DIR",
        )
        for path in files:
            try:
                read_chapter(path)
            except CourseError as error:
                yield "✗", "chapter", str(error), "get the file again"
    except CourseError as error:
        yield "✗", "chapters", str(error), ""
        notebooks = Path.cwd() / "notebooks"
    yield from _data()
    yield _room("results", out or notebooks.resolve().parent / "runs" / "latest")


def _packages() -> Iterator[tuple[str, str, str, str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        declared = importlib.metadata.requires("tutorial-lib") or []
    except importlib.metadata.PackageNotFoundError:
        yield "✗", "tutorial-lib", "not installed", INSTALL
        return
    good = []
    for text in declared:
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue
        extra = next((name for name in ("course", "data") if need.marker and need.marker.evaluate({"extra": name})), "")
        if need.marker and not need.marker.evaluate({"extra": extra}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            # The data extra only fetches real sets; every chapter has built-in data.
            remedy = INSTALL.replace("course]", "data]") if extra == "data" else INSTALL
            yield "·" if extra == "data" else "✗", need.name, "missing", remedy
            continue
        if need.specifier.contains(version, prereleases=True):
            good.append(f"{need.name} {version}")
        else:
            remedy = f'pip install "{need.name}{need.specifier}"'
            yield "✗", need.name, f"{version}, but {need.specifier} is needed", remedy
    yield "✓", "packages", ", ".join(good), ""


def _device() -> tuple[str, str, str, str]:
    try:
        from tutorial_lib.lab.runtime import describe_environment, pick_device

        return "✓", "device", describe_environment(pick_device("auto")), ""
    except ImportError as error:
        return "✗", "device", f"torch does not load: {error}", INSTALL


def _threads() -> tuple[str, str, str, str]:
    limits = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    named = "".join(f", {name}={value}" for name, value in limits.items())
    return "✓", "threads", f"{cores()} cores for this process{named}", ""


def _kernel() -> tuple[str, str, str, str]:
    """Start the chapters' kernel for real: a kernel that is registered but broken is the usual trouble."""
    try:
        import ipykernel  # noqa: F401
        from jupyter_client.manager import KernelManager

        specs = kernel_manager("python3").kernel_spec_manager
        manager = KernelManager(kernel_name="python3", kernel_spec_manager=specs)
        start = time.perf_counter()
        manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=60)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        return "✓", "kernel", f"python3 starts in {time.perf_counter() - start:.1f} s ({sys.executable})", ""
    except ImportError as error:
        return "✗", "kernel", f"{error.name} is missing", INSTALL
    except Exception as error:
        return "✗", "kernel", f"python3 does not start: {error}", "pip install --force-reinstall ipykernel"


def _data() -> Iterator[tuple[str, str, str, str]]:
    try:
        from tutorial_lib.lab.real import SETS, data_folder, prepared_path
    except ImportError as error:
        yield "✗", "data", f"{error.name} is missing", INSTALL
        return
    source = "TUTORIAL_DATA" if os.environ.get("TUTORIAL_DATA") else "the default; TUTORIAL_DATA names another"
    yield "✓", "data folder", f"{data_folder()} ({source})", ""
    for name in SETS:
        path = prepared_path(name)
        if path.is_file():
            yield "✓", f"data: {name}", f"prepared, {path.stat().st_size / 2**20:.0f} MiB", ""
        else:
            yield (
                "·",
                f"data: {name}",
                "not prepared (chapters use built-in data without it)",
                f"python -m data_scripts {name}",
            )
    yield _room("data", data_folder())


def _room(what: str, folder: Path) -> tuple[str, str, str, str]:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        remedy = "set TUTORIAL_DATA" if what == "data" else "name another folder with --out DIR"
        return "·" if what == "data" else "✗", f"room: {what}", f"{there} cannot be written", remedy
    enough = free >= ROOM
    return (
        "✓" if enough else "✗",
        f"room: {what}",
        f"{free / 2**30:.1f} GiB free for {folder}",
        "" if enough else "make at least 1 GiB free",
    )
