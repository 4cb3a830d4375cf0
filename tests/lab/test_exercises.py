"""The checker: stub, solution, wrong answer, and an answer that raises."""

import pytest
import torch

from tutorial_lib.lab.exercises import CHECK_MIME, Wrong, check, expect, require


def stub(x):
    raise NotImplementedError


def stub_returning_nothing(x):
    pass


@pytest.mark.parametrize("answer", [None, ..., stub, stub_returning_nothing])
def test_every_kind_of_stub_is_not_done_yet(answer):
    result = check("start.double", answer, show=False)
    assert result.status == "todo" and not result and "not done yet" in result.message


def test_the_solution_is_correct():
    assert check("start.double", lambda x: 2 * x, show=False).ok


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda x: x**2, "expected"),
        (lambda x: (2 * x).sum(), "hint"),
        (lambda x: 2 * x[0] if x.ndim else x, "given"),
        (lambda x: x / "2", "TypeError"),
        ("not a function", "expected a function"),
        (lambda: 1, "TypeError"),
    ],
)
def test_wrong_answers_say_what_came_and_what_was_expected(answer, fragment):
    result = check("start.double", answer, show=False)
    assert result.status == "wrong" and fragment in result.message


def test_an_answer_that_tries_to_leave_is_caught_too():
    def impatient(x):
        raise SystemExit("I give up")

    assert check("start.double", impatient, show=False).status == "wrong"


def test_an_unknown_exercise_is_the_chapters_fault():
    with pytest.raises(ValueError, match="start.double"):
        check("start.triple", lambda x: x, show=False)
    with pytest.raises(ValueError, match="no exercise"):
        check("nowhere.at_all", lambda x: x, show=False)
    with pytest.raises(ValueError, match="no exercise"):
        check("start._find", lambda x: x, show=False)


def test_expect_compares_shape_value_and_nan():
    expect(torch.tensor([1.0, float("nan")]), [1.0, float("nan")], given="x", hint="h")
    expect("yes", "yes", given="x", hint="h")
    with pytest.raises(Wrong, match="h"):
        expect(torch.ones(2), torch.ones(2, 1), given="x", hint="h")
    with pytest.raises(Wrong):
        expect(1.001, 1.0, given="x", hint="h")
    with pytest.raises(Wrong):
        expect("text", 1.0, given="x", hint="h")
    with pytest.raises(Wrong, match="look again"):
        require(False, given="x", hint="look again")


def test_the_record_reaches_the_cells_output(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    check("start.double", lambda x: x)
    assert shown[0][CHECK_MIME]["status"] == "wrong"
    assert shown[0]["text/plain"].startswith("✘ start.double")
