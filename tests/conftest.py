"""Shared by all tests: where the optional real data lies, and a quiet, deterministic torch."""

import ast
import os
import signal
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
from hypothesis import settings

os.environ.setdefault("TUTORIAL_HEADLESS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# By default an example that takes over 200 ms fails its test: on a busy machine that says nothing about the code.
settings.register_profile("course", deadline=None)
settings.load_profile("course")

# Tests started in the background have Ctrl-C ignored, and what they start would inherit that: some press it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]

# Run once by hand, beside peers that cannot be installed with the course; no tests, and no doctests, in them.
collect_ignore_glob = ["vectors/*.py"]

# Registers a device with PyTorch, which can be done once: test modules import it, and pytest must not as well.
collect_ignore = ["second_device.py"]


def shared_data() -> Path:
    """The folder of small real sets kept beside a checkout (never inside it); skips the test where it is absent."""
    folder = Path(os.environ.get("TUTORIAL_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data beside the checkout ({folder}); set TUTORIAL_SHARED")
    return folder


def cell_source(notebook: str, *words: str) -> str:
    """The source of the first code cell that holds all the words, without its check."""
    for cell in nbformat.read(ROOT / notebook, as_version=4).cells:
        if cell.cell_type == "code" and all(word in cell.source for word in words):
            return "\n".join(line for line in cell.source.splitlines() if "check(" not in line)
    raise AssertionError(f"no cell with {words} in {notebook}")


@cache
def exercise_answers(notebook: str) -> dict:
    """What the cells of a notebook hand to ``check``, by exercise. Each runs alone, with the notebook's imports."""
    cells = [cell.source for cell in nbformat.read(ROOT / notebook, as_version=4).cells if cell.cell_type == "code"]
    imports, found = {}, {}
    for source in cells:
        lines = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
        body = [node for node in ast.parse(lines).body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(body, []), notebook, "exec"), imports)

    def collect(exercise, answer):
        found[exercise] = answer
        return SimpleNamespace(ok=True)

    for source in cells:
        if 'check("' in source:
            exec(source, {**imports, "check": collect})
    return found


@pytest.fixture(name="shared_data")
def _shared_data() -> Path:
    return shared_data()


@pytest.fixture
def one_thread():
    """Networks this small: a second torch thread would only wait for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
