"""Exercises that check themselves, and never break Run All."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Real
from typing import Any

import torch

from .claims import VERDICTS, Claim, decide
from .intervals import student_interval
from .lines import fold

#: What came of an answer, with the signs of the verdicts.
SIGNS = dict(zip(("correct", "wrong", "todo"), VERDICTS.values()))
CHECK_MIME = "application/vnd.tutorial.check+json"
#: What may be foreseen of a paired difference.
PREDICTIONS = ("higher", "lower", "no difference")


class Todo(Exception):
    """The answer is still the stub."""


class Wrong(Exception):
    """The answer gave something else than expected."""


@dataclass(frozen=True)
class CheckResult:
    """What :func:`check` found. ``status`` is ``"todo"``, ``"correct"`` or ``"wrong"``."""

    exercise: str
    status: str
    message: str

    @property
    def ok(self) -> bool:
        """Whether the answer is correct."""
        return self.status == "correct"

    @property
    def points(self) -> float:
        """What the answer earns: 1.0 if it is correct, else 0.0."""
        return float(self.ok)

    def __bool__(self) -> bool:
        return self.ok


def check(exercise: str, answer: Any, *, show: bool = True) -> CheckResult:
    """Try an answer on known cases and say what came of it; never raise for a wrong answer.

    The cases of ``"mixup.mix_batch"`` are the function ``mix_batch`` in ``tutorial_lib/lab/checks/mixup.py``.

    Args:
        exercise: ``"topic.exercise"``.
        answer: what the exercise asked for: mostly a function, sometimes a number or a choice.
        show: print the result.

    Returns:
        The :class:`CheckResult`; truthy only if correct.

    Raises:
        ValueError: if there is no such exercise (a fault of the chapter, not of the student).

    >>> check("start.double", lambda x: x + x, show=False).status
    'correct'
    >>> check("start.double", None, show=False).status
    'todo'
    """
    cases = _find(exercise)
    try:
        if answer is None or answer is Ellipsis:
            raise Todo
        cases(answer)
    except Todo:
        result = CheckResult(exercise, "todo", "not done yet: fill in the stub")
    except NotImplementedError:
        result = CheckResult(exercise, "todo", "not done yet: fill in the stub")
    except Wrong as wrong:
        result = CheckResult(exercise, "wrong", str(wrong))
    except (Exception, SystemExit) as error:  # an answer that calls exit() must not end the kernel's Run All
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"your code raised {type(error).__name__}: {error}\n  at line {where.lineno}: {where.line or '…'}"
        result = CheckResult(exercise, "wrong", message)
    else:
        result = CheckResult(exercise, "correct", "correct")
    if show:
        _show(result)
    return result


def call(answer: Callable, *args, **kwargs) -> Any:
    """Call the student's function; a stub that returns nothing counts as not done.

    >>> call(lambda x: x + 1, 1)
    2
    """
    if not callable(answer):
        raise Wrong(f"expected a function, got {type(answer).__name__}\n  hint: pass the function, don't call it")
    got = answer(*args, **kwargs)
    if got is None or got is Ellipsis:
        raise Todo
    return got


def number(answer: Any, kind: str = "a number") -> float:
    """Return the number that an exercise asks for; :class:`Wrong` where the answer is none.

    >>> number(torch.tensor(0.5)), number(3)
    (0.5, 3.0)
    """
    plain = answer.item() if getattr(answer, "ndim", None) == 0 else answer  # of NumPy's and torch's without axes
    is_number = isinstance(plain, Real) and not isinstance(plain, bool)
    require(is_number, given=f"an answer {answer!r}", hint=f"{kind} is asked for")
    return float(plain)


def expect(
    got: Any,
    expected: Any,
    *,
    given: str,
    hint: str,
    mistakes: Iterable[tuple[Any, str]] = (),
    reveal: bool = True,
    atol: float = 1e-6,
    rtol: float = 1e-5,
) -> None:
    """Raise :class:`Wrong`, with the input, what came, what was expected, and a hint, unless they agree.

    Tensors, arrays and numbers are compared by shape and value; anything else by ``==``.

    Args:
        got: what the answer gave.
        expected: what is right.
        given: the input, in words.
        hint: what helps whoever made none of the mistakes.
        mistakes: what a known mistake would have given, and the hint for who made it. The first that was made counts;
            one that gives the right answer for this input tells nothing, and is passed over.
        reveal: show what was expected; not where that is all that an exercise asks for.
        atol: how far the two may be apart,
        rtol: and this share of what was expected.

    >>> expect(torch.ones(2), [1.0, 1.0], given="two ones", hint="none needed")
    >>> expect(6, 9, given="x = 3", hint="the square of x", mistakes=[(6, "that is twice x")])
    Traceback (most recent call last):
    ...
    tutorial_lib.lab.exercises.Wrong: given     x = 3
      got       6
      expected  9
      hint: that is twice x
    """
    if _same(got, expected, atol, rtol):
        return
    for wrong, why in mistakes:
        if _same(got, wrong, atol, rtol) and not _same(wrong, expected, atol, rtol):
            hint = why
            break
    both = f"\n  got       {_short(got)}\n  expected  {_short(expected)}" if reveal else ""
    raise Wrong(f"given     {given}{both}\n  hint: {hint}")


def _same(got: Any, other: Any, atol: float, rtol: float) -> bool:
    try:
        other = torch.as_tensor(other).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError):
        return bool(got == other)
    try:
        got = torch.as_tensor(got).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError):
        return False
    return got.shape == other.shape and torch.allclose(got, other, atol=atol, rtol=rtol, equal_nan=True)


def require(condition: bool, *, given: str, hint: str) -> None:
    """Raise :class:`Wrong` unless a property holds.

    >>> require(True, given="anything", hint="none needed")
    """
    if not condition:
        raise Wrong(f"given     {given}\n  hint: {hint}")


def match_faults(
    answer: Any, faults: dict[str, str], *, among: Sequence[str], hints: dict[str, str], what: str
) -> None:
    """Raise :class:`Wrong` unless a dict names the fault of each piece of code; the answer is not given away.

    >>> match_faults({"A": "none"}, {"A": "none"}, among=["none", "typo"], hints={"A": "read it"}, what="line")
    """
    require(
        isinstance(answer, dict)
        and set(answer) == set(faults)
        and all(isinstance(value, str) and value in among for value in answer.values()),
        given=repr(answer),
        hint=f"a dict with the keys {', '.join(faults)}; each value is one of {', '.join(map(repr, among))}",
    )
    for key, fault in faults.items():
        require(answer[key] == fault, given=f"{what} {key}: {answer[key]!r}", hint=hints[key])


def judge_verdict(answer: Any, *, pairs: int, margin: float, score: str) -> None:
    """Judge a claim of the student's own by its soundness: foreseen, paired, of enough seeds, and its verdict earned.

    Args:
        answer: (prediction, differences, verdict); :class:`Todo` while one of them is None. The prediction is one of
            :data:`PREDICTIONS`.
        pairs: fewest paired differences, one a seed.
        margin: the smallest difference that would matter.
        score: what is compared, in the plural; a share.

    >>> answer = "higher", [0.03, 0.031, 0.032], "supported"
    >>> judge_verdict(answer, pairs=3, margin=0.01, score="APs")
    """
    shape = "three things: (prediction, differences, verdict)"
    require(isinstance(answer, tuple | list) and len(answer) == 3, given=repr(answer), hint=shape)
    prediction, differences, verdict = answer
    if any(part is None for part in answer):
        raise Todo
    require(
        isinstance(prediction, str) and prediction in PREDICTIONS,
        given=f"the prediction {prediction!r}",
        hint=f"one of {', '.join(map(repr, PREDICTIONS))}, written down before the run",
    )
    try:
        values = torch.as_tensor(differences, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"given     the differences {differences!r}\n  hint: a list of numbers, one a seed") from error
    given = f"{values.numel()} differences"
    require(values.ndim == 1 and len(values) >= pairs, given=given, hint=f"{pairs} seeds or more, in a list")
    require(bool(values.isfinite().all()), given=given, hint="one of them is not finite")
    require(
        float(values.abs().max()) <= 1,
        given=f"{given}, the largest {float(values.abs().max()):g}",
        hint=f"differences of {score} are shares, between -1 and 1",
    )
    require(len(values.unique()) > 1, given=given, hint="they are all equal; does your seed reach the training?")
    low, high = student_interval(values.numpy(), level=0.99)
    right = decide(low, high, margin)
    hint = f"the interval at 99 % is [{low:+.4f}, {high:+.4f}]: is it above 0, below 0, or within ±{margin:g}?"
    if right == "open" and verdict in ("supported", "refuted"):
        hint += " The mean alone decides nothing"
    if right == "open" and verdict == "no difference":
        hint += " Not to see a difference is not to see that there is none"
    require(verdict == right, given=f"{given}, and the verdict {verdict!r}", hint=hint)


def judge_stored(
    answer: Any, right: Claim, *, mistakes: Iterable[tuple[float, str]], asked: str, margin: str, asks: str
) -> None:
    """Judge a claim that the student made on stored evidence: the right runs and score, the chapter's margin, its side.

    Args:
        answer: what ``claim(…, show=False)`` returned.
        right: the claim that was asked for.
        mistakes: effects of other claims, each with what to say of it.
        asked: the hint for another effect: evidence, score and sides.
        margin: the hint for another margin.
        asks: the hint for another question, and so for another verdict.
    """
    require(
        isinstance(answer, Claim),
        given=f"an answer {answer!r}",
        hint="what claim(..., show=False) returns is asked for",
    )
    given = "the claim made"
    require(answer.margin is not None, given=given, hint="a verdict on evidence needs evidence= and margin=")
    expect(answer.effect, right.effect, given=given, hint=asked, mistakes=mistakes, reveal=False)
    expect(answer.margin, right.margin, given=given, hint=margin)
    expect((answer.asks, answer.verdict), (right.asks, right.verdict), given=given, hint=asks, reveal=False)


def _find(exercise: str) -> Callable[[Any], None]:
    topic, _, name = exercise.partition(".")
    try:
        module = import_module(f"{__package__}.checks.{topic}")
    except ModuleNotFoundError:
        module = None
    cases = getattr(module, name, None) if name and not name.startswith("_") else None
    if cases is None:
        known = (
            []
            if module is None
            else [
                f"{topic}.{key}"
                for key, value in vars(module).items()
                if callable(value) and getattr(value, "__module__", None) == module.__name__ and key[0] != "_"
            ]
        )
        raise ValueError(f"there is no exercise {exercise!r}" + (f"; there are {', '.join(known)}" if known else ""))
    return cases


def _short(value: Any, limit: int = 300) -> str:
    text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit] + " …"


def _show(result: CheckResult) -> None:
    from IPython.display import display

    sign = SIGNS[result.status]
    record = {"exercise": result.exercise, "status": result.status, "message": result.message}
    # What is longer than a line starts on one of its own, where its columns stand under each other.
    text = f"\n  {result.message}" if "\n" in result.message else f" {result.message}"
    display({CHECK_MIME: record, "text/plain": fold(f"{sign} {result.exercise}:{text}")}, raw=True)
