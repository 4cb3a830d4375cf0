"""Every table of the command line fits the terminal's width."""

import json
import textwrap
from pathlib import Path

import pytest

from tutorial_lib.course import doctor
from tutorial_lib.course.cli import main
from tutorial_lib.course.command import fitted, table

ROOT = Path(__file__).resolve().parents[2]
HEAD = ("chapter", "question", "time", "status")
QUESTION = "Does a mixture of two examples and of their labels make a network err less on what it has not seen before?"
ROWS = [("06_dual_task_consistency", QUESTION, "2 min 12 s", "✓ ok"), ("00_a", "Why?", "–", "· never")]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_table_fits_and_loses_no_word(width):
    lines = table(HEAD, ROWS, stretch=1, width=width).splitlines()
    assert max(map(len, lines)) <= width
    column = lines[0].index("question"), lines[0].index("time")
    assert " ".join(line[slice(*column)].strip() for line in lines[1:-1]) == QUESTION
    assert lines[1].startswith("06_dual_task_consistency") and lines[1].endswith("✓ ok")
    assert (len(lines) == 3) == (width == 200)


def test_a_narrow_terminal_breaks_other_columns_too():
    claims = [("06_dual_task_consistency", "word " * 12, "+0.0310 [+0.0100, +0.0500]", "40", "✔ supported")] * 2
    for width in (50, 60, 80):
        text = table(("chapter", "claim", "effect [95 % interval]", "seeds", "verdict"), claims, stretch=1, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert text.count("word") == 24 and text.count("supported") == 2
    # Where even that does not fit, what there is stays readable.
    assert table(("a", "b"), [("x" * 40, "y" * 40)], stretch=0, width=2).count("x") == 40


def test_a_line_is_broken_at_its_spaces():
    line = "✓ packages       " + ", ".join(f"package{number} 1.{number}" for number in range(30))
    text = fitted(line, indent=17, width=80)
    assert max(map(len, text.splitlines())) <= 80 and " ".join(text.split()) == " ".join(line.split())
    assert all(part.startswith(" " * 17) for part in text.splitlines()[1:])
    assert fitted("short", width=80) == "short"


@pytest.fixture
def stored(course, monkeypatch):
    """A run with long names, long claims, and a notebook that cannot be read."""
    monkeypatch.chdir(course.root)
    course.chapter("06_dual_task_consistency", "x = 1", question=QUESTION)
    (course.notebooks / "07_broken.ipynb").write_text("{")
    claim = {"statement": QUESTION, "effect": 0.5, "low": 0.25, "high": 0.75, "seeds": 40, "verdict": "supported"}
    chapter = {"name": "06_dual_task_consistency", "status": "ok", "seconds": 3.0, "claims": [claim] * 3}
    summary = {"schema": 1, "totals": {"ok": 1}, "chapters": [chapter]}
    course.out.mkdir(parents=True)
    (course.out / "summary.json").write_text(json.dumps(summary))
    return course


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("command", ["list", "claims"])
def test_the_commands_ask_how_wide_the_terminal_is(stored, capsys, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([command]) == 0
    lines = capsys.readouterr().out.splitlines()
    tabled = lines if command == "list" else lines[:-1]  # a sentence closes the claims
    assert max(map(len, tabled)) <= columns
    first = next(line for line in lines if line.startswith("06_dual_task_consistency"))
    assert QUESTION.split()[0] in first and ("never" if command == "list" else "✔") in first


@pytest.mark.parametrize("columns", [80, 200])
def test_the_list_of_this_course_fits(monkeypatch, capsys, tmp_path, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["list", "--notebooks", str(ROOT / "notebooks"), "--out", str(tmp_path)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= columns


def test_the_doctor_fits(monkeypatch, capsys):
    findings = [
        ("✓", "packages", ", ".join(f"package{number} 1.{number}" for number in range(30)), ""),
        ("✗", "torch", "2.1, but >=2.4 is needed", 'pip install "torch>=2.4"'),
        ("✗", "kernel", textwrap.fill(QUESTION, 1000), 'pip install -e ".[course]" in the course\'s folder'),
    ]
    monkeypatch.setattr(doctor, "_findings", lambda out, notebooks: iter(findings))
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert 'pip install "torch>=2.4"' in text and 'pip install -e ".[course]" in the course\'s folder' in text
