"""`.ci/run` fetches a browser where it can, and runs the tests whether it could or not."""

import os
import shutil
import subprocess

import pytest
from conftest import ROOT


@pytest.fixture
def ci(tmp_path):
    """Run a copy of the script among stand-ins that write down how they were called."""
    tools, calls = tmp_path / "bin", tmp_path / "calls"
    tools.mkdir()
    (tmp_path / ".ci").mkdir()
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    for name in ("bash", "dirname", "timeout", "env"):
        (tools / name).symlink_to(shutil.which(name))

    def stand_in(name: str, status: int = 0, says: str = "") -> None:
        path = tools / name
        path.write_text(f'#!/bin/bash\necho {name} "$@" >> {calls}\necho "{says}"\nexit {status}\n')
        path.chmod(0o755)

    def run(**statuses: int) -> tuple[list[str], str, int]:
        stand_in("make", statuses.pop("make", 0))
        stand_in("id", says=str(statuses.pop("user", 0)))
        for name, status in statuses.items():
            stand_in(name.replace("_", "-"), status)
        done = subprocess.run(
            ["bash", tmp_path / ".ci" / "run"],
            env={**os.environ, "PATH": str(tools)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        called = [call for call in calls.read_text().splitlines() if not call.startswith("id ")]
        return called, done.stdout, done.returncode

    return run


def test_a_missing_browser_is_installed_first(ci):
    calls, said, status = ci(apt_get=0)
    assert calls[0] == "apt-get update" and calls[1].endswith(" chromium") and calls[2:] == ["make test"]
    assert "skipped" not in said and status == 0


def test_without_the_package_source_the_tests_still_run(ci):
    calls, said, status = ci(apt_get=100)
    assert calls == ["apt-get update", "make test"]
    assert "Chromium could not be installed; the test in a browser is skipped" in said and status == 0


@pytest.mark.parametrize(
    "there", [{"chromium": 0, "apt_get": 0}, {"google_chrome": 0, "apt_get": 0}, {"apt_get": 0, "user": 1000}, {}]
)
def test_nothing_is_installed_where_it_is_there_or_cannot_be(ci, there):
    calls, _, status = ci(**there)
    assert calls == ["make test"] and status == 0


def test_failing_tests_fail_the_run(ci):
    assert ci(chromium=0, make=2)[2] == 2
