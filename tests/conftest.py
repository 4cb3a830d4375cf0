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


def exercise_answer(notebook: str, exercise: str, name: str, **scope):
    """What the cell of an exercise leaves in the variable ``name``: run alone, without its check, knowing ``scope``."""
    for cell in nbformat.read(ROOT / notebook, as_version=4).cells:
        if cell.cell_type == "code" and f'check("{exercise}"' in cell.source and name in cell.source:
            exec("\n".join(line for line in cell.source.splitlines() if "check(" not in line), scope)
            return scope[name]
    raise AssertionError(f"no cell for {exercise} with {name} in {notebook}")


@pytest.fixture(name="shared_data")
def _shared_data() -> Path:
    return shared_data()
