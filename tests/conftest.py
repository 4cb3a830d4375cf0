"""Shared by all tests: where the optional real data lies, and a quiet, deterministic torch."""

import os
from pathlib import Path

import nbformat
import pytest

os.environ.setdefault("TUTORIAL_HEADLESS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


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


def exercise_answer(notebook: str, exercise: str, name: str, **scope):
    """What the cell of an exercise leaves in the variable ``name``: run alone, knowing only ``scope``."""
    exec(cell_source(notebook, f'check("{exercise}"', name), scope)
    return scope[name]


@pytest.fixture(name="shared_data")
def _shared_data() -> Path:
    return shared_data()
