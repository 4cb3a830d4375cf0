"""Shared by all tests: where the optional real data lies, and a quiet, deterministic torch."""

import os
from pathlib import Path

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


@pytest.fixture(name="shared_data")
def _shared_data() -> Path:
    return shared_data()
