"""What a user's type checker sees: the package ships ``py.typed``, so the types must be there, and be true."""

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from conftest import ROOT

VIEW = Path("tests/typing/users_view.py")


def test_the_package_says_that_it_is_typed():
    assert (files("tutorial_lib") / "py.typed").is_file()


def test_a_users_file_is_checked_as_strictly_as_can_be_and_only_its_mistakes_are_found():
    """The package itself is read as an installed one is: for its types, not for its faults (``make lint`` looks there).
    The answers are kept beside those of ``make lint``, so that the second run takes seconds."""
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--follow-imports=silent"]
    command += ["--config-file=", "--cache-dir=.mypy_cache/users", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run([*command, str(VIEW)], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "" and done.returncode == 1, done.stdout + done.stderr

    wanted = {
        number: set(line.partition("  # finds: ")[2].split())
        for number, line in enumerate((ROOT / VIEW).read_text(encoding="utf-8").splitlines(), 1)
        if "  # finds: " in line
    }
    found: dict[int, set[str]] = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(rf"{re.escape(str(VIEW))}:(\d+): error: .*\[([\w-]+)\]", line)
        if ": note: " not in line:
            assert match, line
            found.setdefault(int(match[1]), set()).add(match[2])
    assert found.keys() - wanted.keys() == set(), done.stdout
    assert wanted.keys() - found.keys() == set(), "mistakes that nobody finds"
    assert all(codes <= wanted[number] for number, codes in found.items()), done.stdout
