"""The checker: stub, solution, wrong answer, and an answer that raises."""

import numpy as np
import pytest
import torch

from tutorial_lib.lab.exercises import CHECK_MIME, Wrong, check, expect, number, require


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


def wrong_of(got, expected, **kwargs) -> str:
    with pytest.raises(Wrong) as caught:
        expect(got, expected, given="x", hint="no known mistake", **kwargs)
    return str(caught.value)


def test_a_known_mistake_is_told_by_its_hint():
    mistakes = [(torch.tensor([3.0, 4.0]), "first"), ([3.0, 4.0], "second"), (np.ones(3), "third"), ("text", "fourth")]
    assert wrong_of(np.array([3, 4]), [1.0, 2.0], mistakes=mistakes).endswith("hint: first")
    assert wrong_of(torch.ones(3), [1.0, 2.0], mistakes=iter(mistakes)).endswith("hint: third")
    assert wrong_of("text", [1.0, 2.0], mistakes=mistakes).endswith("hint: fourth")
    assert wrong_of([3.0, 5.0], [1.0, 2.0], mistakes=mistakes).endswith("hint: no known mistake")
    assert wrong_of([[3.0, 4.0]], [1.0, 2.0], mistakes=mistakes).endswith("hint: no known mistake")  # another shape


def test_a_mistake_that_gives_the_right_answer_for_this_input_tells_nothing():
    assert wrong_of(1.05, 1.0, mistakes=[(1.05, "told")], atol=0.01).endswith("hint: told")
    assert wrong_of(1.015, 1.0, mistakes=[(1.005, "told")], atol=0.01).endswith("hint: no known mistake")
    expect(1.0, 1.0, given="x", hint="h", mistakes=[(1.0, "never looked at")])


def test_what_was_expected_is_not_shown_where_it_is_the_answer():
    message = wrong_of(25, 9, mistakes=[(25, "the whole body")], reveal=False)
    assert "9" not in message and message.endswith("hint: the whole body")


@pytest.mark.parametrize("answer", [3, 3.0, np.float32(3), np.int64(3), np.array(3), torch.tensor(3)])
def test_a_number_is_one_in_every_form(answer):
    assert number(answer) == 3.0


@pytest.mark.parametrize("answer", [True, "3", None, [3], np.ones(1), torch.ones(2), 3 + 0j, np.bool_(True)])
def test_what_is_no_number_is_told(answer):
    with pytest.raises(Wrong, match="one number is asked for"):
        number(answer, "one number")


def test_the_record_reaches_the_cells_output(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    check("start.double", lambda x: x)
    assert shown[0][CHECK_MIME]["status"] == "wrong"
    assert shown[0]["text/plain"].startswith("✘ start.double")
