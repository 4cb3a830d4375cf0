"""Every exercise of every chapter: the stub is "todo", the solution "correct". (Wrong answers: a file a chapter.)"""

import pytest
from conftest import ROOT, exercise_answers

from tutorial_lib.lab import check

CHAPTERS = sorted(path.name for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb"))
SHOWN_SOLVED = {"start.double"}  # chapter 00 shows a check at work


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_stub_is_not_done_yet(chapter):
    stubs = exercise_answers(f"notebooks/{chapter}")
    assert stubs.keys() == exercise_answers(f"notebooks/solutions/{chapter}").keys()
    for exercise in stubs.keys() - SHOWN_SOLVED:
        assert check(exercise, stubs[exercise], show=False).status == "todo", exercise


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_solution_is_correct(chapter):
    solutions = exercise_answers(f"notebooks/solutions/{chapter}")
    assert len(solutions) >= 3
    for exercise, answer in solutions.items():
        result = check(exercise, answer, show=False)
        assert result.ok, f"{exercise}: {result.message}"
