"""A class of students: the copy to hand out, one run over good, bad and hostile notebooks, and what later runs do."""

import csv
import json
import re
import shutil
import signal
import threading
import time
from multiprocessing import Pipe
from pathlib import Path

import nbformat
import psutil
import pytest
import torch
from conftest import ROOT, exercise_answers

from tutorial_lib.course.catalogue import CourseError, chapter_files, read_chapter
from tutorial_lib.course.classroom import grader
from tutorial_lib.course.classroom.exchange import Asker, serve
from tutorial_lib.course.classroom.exercises import code_cells, find_exercises, student_cells
from tutorial_lib.course.classroom.grader import which_chapter
from tutorial_lib.course.classroom.grades import _cell, submissions
from tutorial_lib.course.classroom.handout import write_copy
from tutorial_lib.course.classroom.plan import make_plan, pieces_needed
from tutorial_lib.lab import check

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")

SETUP = "import torch\n\nfrom tutorial_lib.lab import check, set_style\n\nset_style()\nSTEP = 2"
EXPERIMENT = 'raise RuntimeError("the experiment is not run: no exercise needs it")'
PAIRING = 'unpaired = None  # "A", "B" or "C"\n\ncheck("start.pairing", unpaired);'
DOUBLE = 'def double(x):\n    """x -> twice x"""\n    raise NotImplementedError\n\n\ncheck("start.double", double);'
GOOD = "def double(x):\n    return STEP * x"
ADD = GOOD + "\n"


# --- the copy to hand out ----------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """The real course as students get it."""
    out = tmp_path_factory.mktemp("class") / "copy"
    write_copy([read_chapter(path) for path in chapter_files(ROOT / "notebooks")], out)
    return out


def test_the_copy_holds_no_outputs_and_no_way_to_the_solutions(handed_out):
    assert sorted(path.name for path in (handed_out / "notebooks").iterdir()) == [
        path.name for path in chapter_files(ROOT / "notebooks")
    ]
    for path in (handed_out / "notebooks").iterdir():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert "solutions" not in cell.source.lower() or cell.cell_type == "code", cell.source
            assert cell.cell_type != "code" or (cell.outputs == [] and cell.execution_count is None)
        original = nbformat.read(ROOT / "notebooks" / path.name, as_version=4)
        # Nothing of the chapter's code is lost but the checks' semicolons.
        code, theirs = ("".join("".join(code_cells(one)).split()) for one in (original, notebook))
        assert theirs.replace(".points", "") == code.replace(");", ")") or ");" in theirs


def test_the_copy_is_what_nbgrader_takes(handed_out):
    """Its schema, version 3, in our words; tried by hand with nbgrader 0.9.6: generate, autograde, export."""
    for path in (handed_out / "notebooks").iterdir():
        notebook = nbformat.read(path, as_version=4)
        locked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
        exercises = find_exercises(json.loads((ROOT / "notebooks" / path.name).read_text(encoding="utf-8")))
        assert len(locked) == len(exercises) > 0
        ids = [cell.metadata.nbgrader.grade_id for cell in locked]
        assert len(set(ids)) == len(ids) and len({cell.id for cell in notebook.cells}) == len(notebook.cells)
        for cell in locked:
            assert {**cell.metadata.nbgrader, "grade_id": ""} == {
                "schema_version": 3, "grade": True, "solution": False, "locked": True, "task": False, "points": 1,
                "grade_id": "",
            }  # fmt: skip
            # nbgrader takes the value of a test cell for the points.
            assert cell.source.startswith("check(") and cell.source.endswith(".points")
            assert cell.metadata.editable is False and cell.metadata.deletable is False
    assert check("start.double", lambda x: 2 * x, show=False).points == 1.0
    assert check("start.double", lambda x: x, show=False).points == 0.0


def test_the_copy_is_the_same_every_time_and_never_takes_the_place_of_work(course):
    course.chapter("01_one", SETUP, DOUBLE, "# The solutions are in `solutions/01_one.ipynb`. See [two](02_two.ipynb).")
    course.chapter("02_two", SETUP, PAIRING, number=2)
    made = course.tutorial("student", "--out", "copy")
    assert made.returncode == 0, made.stderr
    copy, first = course.root / "copy", tree(course.root / "copy")
    one, two = (read_chapter(path) for path in chapter_files(course.notebooks))
    write_copy([one, two], copy)
    assert tree(copy) == first
    write_copy([one], course.root / "alone")
    alone = (course.root / "alone" / "notebooks" / "01_one.ipynb").read_text()
    assert "See two." in alone and "See [two](02_two.ipynb)." in first["notebooks/01_one.ipynb"].decode()

    mine = copy / "notebooks" / "01_one.ipynb"
    mine.write_text(mine.read_text().replace("raise NotImplementedError", "return 2 * x"))
    worked = tree(copy)
    with pytest.raises(CourseError, match="somebody has worked in"):
        write_copy([one, two], copy)
    foreign = course.root / "foreign"
    foreign.mkdir()
    (foreign / "essay.txt").write_text("mine")
    refused = course.tutorial("student", "--out", "foreign")
    assert refused.returncode == 2 and "holds other files (essay.txt)" in refused.stderr
    assert tree(copy) == worked and tree(foreign) == {"essay.txt": b"mine"}
    # Nothing half done is left beside it.
    assert not [path for path in course.root.iterdir() if path.name.startswith(".")]


def test_a_copy_that_would_lead_to_the_solutions_is_not_made(course):
    path = course.chapter("01_one", SETUP, DOUBLE, "# Look into solutions/01_one.ipynb")
    with pytest.raises(CourseError, match="speaks of its solutions in cell 4"):
        write_copy([read_chapter(path)], course.root / "copy")
    assert not (course.root / "copy").exists()


# --- an answer on the other side of a pipe -----------------------------------------------------------------------


def across(exercise, answer):
    """Check an answer that lives in another thread and is reached through a pipe only."""
    here, there = Pipe()
    thread = threading.Thread(target=serve, args=(there.fileno(), lambda: answer))
    thread.start()
    asker = Asker(here, lambda: thread.is_alive())
    try:
        result = check(exercise, asker.answer(), show=False)
        return result, asker
    finally:
        asker.close()
        thread.join()


@pytest.mark.parametrize("chapter", sorted(path.name for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb")))
def test_every_check_says_the_same_from_afar(chapter, capsys):
    """Tensors, arrays, generators, functions as arguments, gradients: whatever the course's checks use."""
    for folder in ("notebooks", "notebooks/solutions"):
        for exercise, answer in exercise_answers(f"{folder}/{chapter}").items():
            assert across(exercise, answer)[0] == check(exercise, answer, show=False)


def test_hints_gradients_and_changed_arguments_come_through():
    def mixed(values, lam, index):
        lam = lam.view(-1, *[1] * (values.ndim - 1))
        return torch.cat([values, lam * values + (1 - lam) * values[index]])

    def full(z, y, lam, index):
        return mixed(z, lam, index), mixed(y, lam, index)

    def detached(z, y, lam, index):
        return full(z.detach(), y, lam, index)

    def in_place(x, y, lam, index):
        x *= lam
        return x, y

    for exercise, answer, hint in (
        ("flow_mixup.mix_flow", full, "this is the full gradient"),
        ("flow_mixup.mix_flow", detached, ""),
        ("mixup.mix_batch", in_place, "your function changed its arguments"),
        ("text.is_denied", lambda tokens, *rest: tokens.clear() or True, "your function changed its argument"),
        ("start.double", "not a function", "expected a function, got str"),
        ("start.double", lambda x: object(), "got       <object object at"),
    ):
        near, far = check(exercise, answer, show=False), across(exercise, answer)[0]
        assert (far.status, hint in far.message) == (near.status, True) == ("wrong", True), far.message


def test_what_an_answer_raises_is_raised_on_the_side_of_the_check():
    class Odd(KeyError):
        pass

    def failing(x):
        raise Odd("no such key")

    result, asker = across("start.double", failing)
    assert result.status == "wrong" and "your code raised Odd: 'no such key'" in result.message
    assert asker.raised[0] == "Odd" and asker.raised[3] == 'raise Odd("no such key")'

    def stub(x):
        raise NotImplementedError("later")

    assert across("start.double", stub)[0].status == "todo"


# --- whose, which, and what is run -------------------------------------------------------------------------------


def test_whose_notebook_it_is(tmp_path):
    chapters = {"01_mixup", "00_start_here"}
    for name in (
        "flat/ada.ipynb", "flat/01_mixup_bob.ipynb", "flat/.ipynb_checkpoints/ada.ipynb", "flat/notes.txt",
        "folders/ada/01_mixup.ipynb", "folders/bob/sub/whatever.ipynb",
        "nbgrader/submitted/ada/01_mixup/01_mixup.ipynb", "single/ada/01_mixup/01_mixup.ipynb",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")

    def students(*paths):
        return [one.student for one in submissions([tmp_path / path for path in paths], chapters)]

    assert students("flat") == ["ada", "bob"]
    assert students("folders") == ["ada", "bob"]
    assert students("nbgrader/submitted") == ["ada"]
    assert students("single/ada") == ["ada"]
    assert students("folders/ada/01_mixup.ipynb") == ["ada"]
    assert students("flat", "flat/ada.ipynb") == ["ada", "bob"]
    for path, message in (("nowhere", "there is no"), ("flat/.ipynb_checkpoints/..", None)):
        if message:
            with pytest.raises(CourseError, match=message):
                students(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="no notebooks in"):
        students("empty")


def test_a_notebook_is_known_by_number_or_exercises_or_name(course):
    one = read_chapter(course.chapter("01_one", SETUP, DOUBLE, number=1))
    two = read_chapter(course.chapter("02_two", SETUP, PAIRING, number=2))
    blank = read_chapter(course.chapter("blank", "x = 1", number=None))
    assert which_chapter(two, [], [one, two]) is two
    # Colab has thrown the number away; in a file of another name the exercises still tell.
    assert which_chapter(blank, ['check("start.pairing", mine)'], [one, two]) is two
    assert which_chapter(blank, ["x = 1"], [one, two]) is None
    # Another chapter's cells in this one's file; where both have their say, the number decides.
    assert which_chapter(one, ['check("start.pairing", unpaired)'], [one, two]) is two
    assert which_chapter(one, ['check("start.pairing", x)\ncheck("start.double", y)'], [two, one]) is one
    assert which_chapter(one, [], []) is None


def ran(plan, exercise):
    (before, expression), *_ = plan.points[exercise]
    return "\n".join(plan.sources[index] for index in pieces_needed(plan.sources, before, expression)), expression


def test_only_what_an_exercise_needs_is_run():
    original = [SETUP, EXPERIMENT, PAIRING, DOUBLE]
    exercises = find_exercises({"cells": [{"cell_type": "code", "source": cell} for cell in original]})
    assert [(one.exercise, one.name, one.cell) for one in exercises] == [
        ("start.pairing", "unpaired", 2),
        ("start.double", "double", 3),
    ]

    untouched = make_plan(original, original, exercises)
    assert untouched.untouched == {"start.pairing", "start.double"}
    # As it is handed out, check and stub apart, it is untouched as well.
    apart = [SETUP, EXPERIMENT, 'unpaired = None  # "A", "B" or "C"', 'check("start.pairing", unpaired).points',
             DOUBLE.split("\n\n\n")[0], 'check("start.double", double).points']  # fmt: skip
    assert make_plan(original, apart, exercises).untouched == untouched.untouched

    def solved(*cells):
        plan = make_plan(original, list(cells), exercises)
        return plan, ran(plan, "start.double")

    # Of the set-up only the line that counts.
    plan, (source, _) = solved(SETUP, EXPERIMENT, GOOD, 'check("start.double", double).points')
    assert source == f"STEP = 2\n{GOOD}" and plan.untouched == set() and plan.points["start.pairing"] == []
    # The check is gone, the set-up too: the answer still stands, and the chapter's own line comes back.
    assert solved(GOOD)[1][0] == f"STEP = 2\n{GOOD}"
    # A cell of the student's own is run whole; the last definition counts.
    mine = "import os\nSTEP = 3"
    assert solved(SETUP, mine, "def double(x): return x", GOOD)[1][0] == f"{mine}\n{GOOD}"
    # Another name, given to the check, is what the student wants to be looked at.
    assert solved(SETUP, GOOD.replace("double", "mine"), 'check("start.double", mine)')[1][1] == "mine"
    # A cell that is no Python is run, so that the student hears of it.
    assert "def double(x)\n" in solved(SETUP, "def double(x)\n    return 1", 'check("start.double", double)')[1][0]


def cells_of(*cells: tuple) -> dict:
    """A notebook of cells given as (type, text) or (type, text, id)."""
    return {"cells": [dict(zip(("cell_type", "source", "id"), cell)) for cell in cells]}


CHAPTER = cells_of(
    ("markdown", "double = 1 is what nobody means", "a"),
    ("code", SETUP, "b"),
    ("code", PAIRING, "c"),
    ("code", DOUBLE, "d"),
)
CHECKS = 'check("start.pairing", unpaired).points', 'check("start.double", double).points'
NO_CODE = "the cell for {} is a {} cell, and holds no code that can be read".format
AS_CODE = "{} stood in a {} cell, which was graded as the code that it is".format


@pytest.mark.parametrize(
    ("cells", "expected", "notes"),
    [
        # nbgrader gives a cell its type back where it knows the id.
        ([("markdown", GOOD, "d")], [GOOD], [AS_CODE("double", "Markdown")]),
        ([("raw", [GOOD], "d")], [GOOD], [AS_CODE("double", "raw")]),
        ([("heading", GOOD, "d")], [GOOD], [AS_CODE("double", "heading")]),
        # A new id, or none (Colab writes its own): what binds the answer is the answer.
        ([("markdown", GOOD, "new"), ("markdown", 'unpaired = "B"')], [GOOD, 'unpaired = "B"'],
         [AS_CODE("double", "Markdown"), AS_CODE("unpaired", "Markdown")]),
        # Code that cannot be read counts where the cell is known: the student shall hear of the error.
        ([("markdown", "def double(x)\n    return 2 * x", "d")], ["def double(x)\n    return 2 * x"],
         [AS_CODE("double", "Markdown")]),
        ([("markdown", "def double(x)\n    return 2 * x", "new")], [], [NO_CODE("double", "Markdown")]),
        # Words are no code, and a fence does not make them such.
        ([("markdown", "I do not know.", "d")], [], [NO_CODE("double", "Markdown")]),
        ([("markdown", f"double is this:\n```python\n{GOOD}\n```", "new")], [], [NO_CODE("double", "Markdown")]),
        ([("markdown", "double = 1 is what nobody means", "new"), ("markdown", "x = 1", "new")], [], []),
        # An answer in a code cell is the answer, also one that cannot be read; the rest is notes.
        ([("code", GOOD, "d"), ("markdown", "double = 3", "new")], [GOOD], []),
        ([("code", "def double(x)\n    1", "d"), ("markdown", "double = 3", "new")], ["def double(x)\n    1"], []),
        # Set-up and a stub that were turned as well.
        ([("raw", SETUP, "b"), ("markdown", DOUBLE.split("\n\n\n")[0], "d")], [SETUP, DOUBLE.split("\n\n\n")[0]],
         [AS_CODE("double", "Markdown")]),
        ([("markdown", "double = 1\n" + "#" * 60_000), ("code", [1], "x"), ("markdown", [2], "d"), ("markdown", "")],
         [], []),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_code_cell_any_more(cells, expected, notes):
    assert student_cells(cells_of(*cells), CHAPTER) == (expected, notes)


@pytest.mark.parametrize(
    ("cells", "double"),
    [
        # Deleted, doubled, split, merged, moved: what is run is what a reader of the notebook would run.
        ([SETUP, *CHECKS], None),
        ([SETUP, "def double(x): return x", GOOD, CHECKS[1]], f"STEP = 2\n{GOOD}"),
        ([SETUP, "factor = STEP", "def double(x): return x * factor", CHECKS[1]],
         "STEP = 2\nfactor = STEP\ndef double(x): return x * factor"),
        ([f"{SETUP}\n{GOOD}\n{CHECKS[1]}"], f"{SETUP}\n{GOOD}\n{CHECKS[1]}"),
        ([CHECKS[1], SETUP, GOOD], f"STEP = 2\n{GOOD}"),
        ([SETUP, "def double(x):", "    return STEP * x", CHECKS[1]], "def double(x):"),
    ],
)  # fmt: skip
def test_a_cell_that_is_gone_or_there_twice(cells, double):
    plan = make_plan(code_cells(CHAPTER), cells, find_exercises(CHAPTER))
    assert not plan.untouched and not plan.covered
    plan.points["start.double"] = plan.points["start.double"][-1:]
    assert (ran(plan, "start.double")[0] if plan.points["start.double"] else None) == double


def test_a_stub_after_the_answer_takes_its_place_and_that_is_said():
    stub = DOUBLE.split("\n\n\n")[0]
    for cells in ([SETUP, GOOD, stub, CHECKS[1]], [SETUP, GOOD, DOUBLE]):
        plan = make_plan(code_cells(CHAPTER), cells, find_exercises(CHAPTER))
        assert plan.untouched == plan.covered == {"start.double"}
    plan = make_plan(code_cells(CHAPTER), [SETUP, stub, GOOD, CHECKS[1]], find_exercises(CHAPTER))
    assert not plan.untouched and not plan.covered


def test_a_chapter_without_ids_or_metadata_of_cells_is_handed_out(course):
    path = course.notebooks / "01_bare.ipynb"
    cells = [{"cell_type": "code", "source": DOUBLE}, {"cell_type": "markdown", "source": "text"}]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    write_copy([read_chapter(path)], course.root / "copy")
    made = nbformat.read(course.root / "copy" / "notebooks" / path.name, as_version=4)
    nbformat.validate(made)
    assert [cell.source for cell in made.cells] == [DOUBLE.split("\n\n\n")[0], CHECKS[1], "text"]


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}, {"metadata": []}, {"metadata": {"tutorial": 1}}])
def test_what_another_program_has_left_out_of_a_students_notebook_costs_nothing(course, metadata):
    course.chapter("01_small", SETUP, PAIRING, DOUBLE)
    cells = [
        {"cell_type": "code", "source": SETUP},
        {"cell_type": "code", "source": GOOD, "metadata": None},
        {"cell_type": "heading", "source": "mine"},
        {"cell_type": "code", "source": [1]},
        {"cell_type": "code"},
        {"cell_type": "code", "source": CHECKS[1]},
    ]
    path = course.root / "ada.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "cells": cells, **metadata}))
    found = grader._identify({"file": path, "notebooks": course.notebooks})
    assert (found[0], found[1].name, found[2]) == ([SETUP, GOOD, "", "", CHECKS[1]], "01_small", [])


@pytest.mark.parametrize("chapter", sorted(path.name for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb")))
def test_a_solved_real_chapter_is_right_without_its_experiment(chapter, handed_out):
    """From the copy, solved as a student would: what is run of it is enough for every exercise, and short.

    The pieces are run here, without a kernel each. `tutorial grade` was tried on all chapters by hand.
    """
    original = json.loads((ROOT / "notebooks" / chapter).read_text(encoding="utf-8"))
    copy = json.loads((handed_out / "notebooks" / chapter).read_text(encoding="utf-8"))
    solution = json.loads((ROOT / "notebooks" / "solutions" / chapter).read_text(encoding="utf-8"))
    exercises = find_exercises(original)
    assert make_plan(code_cells(original), code_cells(copy), exercises).untouched == {one.exercise for one in exercises}

    answers = {one.exercise: code_cells(solution)[one.cell] for one in find_exercises(solution)}
    for place, cell in enumerate(copy["cells"]):
        if "nbgrader" in cell["metadata"]:
            exercise = cell["metadata"]["nbgrader"]["grade_id"].replace("-", ".", 1)
            copy["cells"][place - 1]["source"] = answers[exercise].rpartition("assert")[0]
    # The solution's imports come first, so that the chapter's own set-up still wins.
    plan = make_plan(code_cells(original), [code_cells(solution)[0], *code_cells(copy)], exercises)
    assert not plan.untouched
    for exercise in exercises:
        source, expression = ran(plan, exercise.exercise)
        # No training: a function of the answer may call one that it is given, but nothing calls it here.
        assert "compare(" not in source and not re.search(r"^\S.*\bfit\(", source, re.MULTILINE)
        names: dict = {}
        exec(source, names)
        assert check(exercise.exercise, names[expression], show=False).ok, exercise


# --- one run over a class ----------------------------------------------------------------------------------------

#: Each answers the first exercise rightly, and does in the second what its name says.
HOSTILE = {
    "loops": ADD + "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "loops_when_called": "import time\ndef double(x):\n    while True: time.sleep(1)",
    "exits": ADD + "import os; os._exit(3)",
    "kills_itself": ADD + "import os; os.kill(os.getpid(), 9)",
    "prints": ADD + "import sys\nfor _ in range(1000): print('x' * 1_000_000); print('x', file=sys.stderr)",
    "prints_by_programs": ADD + "import subprocess\nsubprocess.run(['head', '-c', '1000000000', '/dev/zero'])\n!yes",
    "hoards": ADD + "hoard = []\nwhile True: hoard.append(bytearray(100_000_000))",
    "forks": ADD + "import os, time\nfor _ in range(60):\n    if os.fork() == 0: os.setsid(); time.sleep(600)\n"
    "time.sleep(600)",
    "overwrites_check": "class Yes:\n    ok, points, status = True, 1.0, 'correct'\n"
    "def check(*args): return Yes()\n"
    "class Liar(str):\n    __eq__ = lambda self, other: True\n    __hash__ = str.__hash__\n"
    "def double(x): return Liar()",
    "overwrites_modules": "import builtins, torch\nimport tutorial_lib.course.classroom.exchange as exchange\n"
    "import tutorial_lib.lab.exercises as exercises\nimport tutorial_lib.lab.checks.start as start\n"
    "torch.allclose = torch.equal = lambda *args, **kwargs: True\n"
    "exercises.check = exercises.expect = start.expect = start.double = lambda *args, **kwargs: None\n"
    "exchange.serve = lambda *args: print('correct')\ndef double(x): return x",
    "overwrites_files": "from pathlib import Path\nimport tutorial_lib.lab.checks.start as start\n"
    "Path(start.__file__).write_text('def __getattr__(name): return lambda *args: None')\ndef double(x): return x",
}  # fmt: skip
OTHERS = {
    "wrong": "def double(x):\n    return x**2",
}


def notebook(*cells: str, number: int | None = 1) -> str:
    """A notebook as Colab writes it: no ids, no metadata of ours but the number, and sometimes not even that."""
    made = [{"cell_type": "code", "source": cell.splitlines(True), "metadata": {"id": "x"}, "outputs": [],
             "execution_count": None} for cell in cells]  # fmt: skip
    metadata = {"colab": {}} if number is None else {"tutorial": {"number": number}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 0, "metadata": metadata, "cells": made})


def handed_in(answer: str, pairing: str = 'unpaired = "B"') -> str:
    checks = 'check("start.pairing", unpaired).points', 'check("start.double", double).points'
    return notebook(SETUP, EXPERIMENT, pairing, checks[0], answer, checks[1])


def turned(text: str, kind: str, *places: int) -> str:
    """The same notebook with some of its code cells turned into another kind."""
    made = json.loads(text)
    for place in places:
        made["cells"][place] = {"cell_type": kind, "source": made["cells"][place]["source"], "metadata": {}}
    return json.dumps(made)


@pytest.fixture(scope="module")
def graded(shared_course):
    """A class with every kind of notebook in one run of two at a time."""
    course = shared_course
    course.chapter("01_small", SETUP, EXPERIMENT, PAIRING, DOUBLE)
    course.klass = course.root / "class"
    written = {name: handed_in(answer) for name, answer in (HOSTILE | OTHERS).items()}
    written |= {
        "a_good": handed_in(GOOD),
        "z_good": handed_in(GOOD),
        "=cmd()": handed_in("double = None", pairing='unpaired = "C"'),
        "kills_its_grader": handed_in(ADD + "import os; os.kill(os.getppid(), 9)"),
        "no_answer": notebook(SETUP, 'check("start.pairing", unpaired)', ADD + "import sys; sys.exit()"),
        "typo_and_input": handed_in("def double(x)\n    return 2 * x", pairing="unpaired = input('which?')"),
        "untouched": notebook(SETUP, EXPERIMENT, PAIRING, DOUBLE),
        "empty": "",
        "torn": handed_in(GOOD)[:300],
        "other": notebook("print('another course')", number=None),
    }
    written["no_checks"] = notebook(SETUP, 'unpaired = "B"', GOOD)
    written["markdown"] = turned(handed_in(GOOD), "markdown", 2, 4)
    written["raw"] = turned(handed_in("def double(x)\n    return 2 * x"), "raw", 2, 4)
    written["check_is_markdown"] = turned(handed_in(GOOD), "markdown", 3, 5)
    written["covered"] = notebook(SETUP, 'unpaired = "B"', GOOD, PAIRING, DOUBLE)
    written["no_metadata"] = json.dumps({"nbformat": 4, "cells": json.loads(handed_in(GOOD))["cells"]})
    for name, text in written.items():
        (course.klass / name).mkdir(parents=True)
        (course.klass / name / "homework.ipynb").write_text(text, encoding="utf-8")
    course.before = tree(course.klass)
    course.limits = ("--timeout", "15", "--memory", "1000", "--output-limit", "1000000")
    course.grade = lambda *extra: course.tutorial("grade", "class", *course.limits, *extra)
    course.first = course.grade("--jobs", "2")
    assert course.first.returncode == 0, course.first.stderr
    return course


def table(course) -> dict[str, dict]:
    data = (course.root / "grades" / "grades.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    return {row["student"]: row for row in csv.DictReader(data.decode("utf-8-sig").splitlines())}


@pytest.mark.alone
def test_the_neighbours_of_hostile_notebooks_get_their_points(graded):
    rows = table(graded)
    assert len(rows) == len(graded.before)
    for name in ("a_good", "z_good", "no_checks"):
        assert (rows[name]["points"], rows[name]["out_of"], rows[name]["chapter"]) == ("2", "2", "01_small"), rows[name]
        assert (rows[name]["status"], rows[name]["exercises"]) == ("ok", "pairing correct; double correct")
    assert float(rows["a_good"]["seconds"]) > 0.1 and 30 < float(rows["a_good"]["peak_mib"]) < 1000


@pytest.mark.alone
@pytest.mark.parametrize(
    ("name", "status", "points", "hint"),
    [
        ("loops", "timeout", "1", "double: did not end within 15 s"),
        ("loops_when_called", "timeout", "1", "double: did not end within 15 s"),
        ("exits", "died", "1", "the kernel died (exit status 3)"),
        ("kills_itself", "died", "1", "the kernel died (killed by signal 9, SIGKILL)"),
        ("kills_its_grader", "died", "0", "its grader was killed"),
        ("forks", "processes", "1", "started more than 32 processes"),
        ("overwrites_check", "ok", "1", "hint: return 2 * x for every entry"),
        ("overwrites_modules", "died", "1", "the kernel gives no answer"),
        ("overwrites_files", "ok", "1", "hint: return 2 * x for every entry"),
        ("typo_and_input", "ok", "0", "pairing: StdinNotImplementedError: raw_input was called"),
        ("typo_and_input", "ok", "0", "double: SyntaxError: expected ':'"),
        ("wrong", "ok", "1", "hint: return 2 * x for every entry"),
        ("no_answer", "ok", "1", "pairing: there is no unpaired in the notebook"),
        ("empty", "unreadable", "0", "is not a notebook: it is not valid JSON"),
        ("torn", "unreadable", "0", "is not a notebook: it is not valid JSON"),
        ("other", "unreadable", "0", "it is no chapter of this course"),
        ("markdown", "ok", "2", f"{AS_CODE('unpaired', 'Markdown')}; {AS_CODE('double', 'Markdown')}"),
        ("raw", "ok", "1", f"{NO_CODE('double', 'raw')} | double: there is no double in the notebook"),
        ("check_is_markdown", "ok", "2", ""),
        ("covered", "ok", "0", "double: the chapter's stub follows your double and takes its place"),
        ("no_metadata", "ok", "2", ""),
    ],
)
def test_whatever_a_notebook_does_costs_its_own_row_only(graded, name, status, points, hint):
    row = table(graded)[name]
    assert (row["status"], row["points"]) == (status, points), row
    assert hint in row["hints"]


@pytest.mark.alone
def test_printing_and_hoarding_are_cut_and_what_is_right_stays_right(graded):
    rows = table(graded)
    # The function stood before the cell printed a gigabyte, and is right.
    for name, status in (("prints", "output"), ("prints_by_programs", "output"), ("hoards", "memory")):
        assert (rows[name]["status"], rows[name]["points"]) == (status, "2"), rows[name]
        assert float(rows[name]["peak_mib"]) < 1200
    written = sum(path.stat().st_size for path in (graded.root / "grades").rglob("*") if path.is_file())
    assert written < 200_000 and len(graded.first.stdout) < 10_000


@pytest.mark.alone
def test_stubs_hints_and_formulas(graded):
    rows = table(graded)
    assert (rows["untouched"]["points"], rows["untouched"]["exercises"]) == ("0", "pairing todo; double todo")
    # No spreadsheet runs what a student calls himself.
    formula = rows["'=cmd()"]
    assert formula["exercises"] == "pairing wrong; double todo" and "C uses two generators" in formula["hints"]
    assert _cell("@x").startswith("'") and _cell(" +1").startswith("'") and _cell(-1.5) == -1.5


@pytest.mark.alone
def test_nothing_of_a_student_is_changed_and_nobody_is_left_behind(graded):
    assert tree(graded.klass) == graded.before
    own = str(graded.package)
    assert (graded.package / "tutorial_lib" / "lab" / "checks" / "start.py").read_text().startswith('"""Exercises')
    for process in psutil.process_iter(["cmdline", "environ"]):
        place = (process.info["environ"] or {}).get("TMPDIR", "")
        assert "/grade-" not in place or own not in (process.info["environ"] or {}).get("PYTHONPATH", ""), process


@pytest.mark.alone
def test_only_what_has_changed_is_graded_again(graded):
    again = graded.grade()
    assert f"{len(graded.before)} unchanged since they were graded" in again.stdout and "1/" not in again.stdout
    before = table(graded)
    late = graded.klass / "wrong" / "homework.ipynb"
    late.write_text(handed_in(GOOD))
    shutil.rmtree(graded.klass / "torn")
    changed = graded.grade()
    assert "1/1  wrong" in changed.stdout
    rows = table(graded)
    assert rows["wrong"]["points"] == "2" and rows.keys() == before.keys() - {"torn"}
    assert {name: row for name, row in rows.items() if name != "wrong"} == {
        name: row for name, row in before.items() if name not in ("wrong", "torn")
    }


@pytest.mark.alone
def test_a_grading_that_is_killed_goes_on_where_it_was(course):
    course.chapter("01_small", SETUP, PAIRING, DOUBLE)
    (course.root / "class").mkdir()
    (course.root / "class" / "ada.ipynb").write_text(handed_in(GOOD))
    stop = course.root / "class" / "carl.ipynb"
    stop.write_text(handed_in("import time\ntime.sleep(600)\n" + GOOD))
    process = course.start("grade", "class", stderr=None)
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if line.startswith("1/2")).split()[1:4] == ["ada", "01_small", "2/2"]
    time.sleep(1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    stop.write_text(handed_in(GOOD))
    again = course.tutorial("grade", "class")
    assert "1 unchanged since they were graded" in again.stdout and "1/1  carl" in again.stdout
    assert {name: row["points"] for name, row in table(course).items()} == {"ada": "2", "carl": "2"}


def test_bad_requests(course):
    course.chapter("01_small", SETUP, PAIRING)
    (course.root / "taken").mkdir()
    (course.root / "taken" / "mine.csv").write_text("a")
    (course.root / "ada.ipynb").write_text(handed_in(GOOD))
    for arguments, message in (
        (["nowhere"], "there is no nowhere"),
        (["ada.ipynb", "--out", "taken"], "taken holds other files and no earlier grades"),
        (["ada.ipynb", "--chapter", "7"], "no chapter '7'"),
        (["ada.ipynb", "--memory", "none"], "expected a number"),
    ):
        refused = course.tutorial("grade", *arguments)
        assert refused.returncode == 2 and message in refused.stderr and "Traceback" not in refused.stderr
    assert tree(course.root / "taken") == {"mine.csv": b"a"} and not (course.root / "grades").exists()
