"""Finding chapters, and holding parameters against their cell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutorial_lib.course.catalogue import (
    Chapter,
    CourseError,
    Parameter,
    chapter_files,
    find_notebooks,
    parse_parameters,
    read_chapter,
    select,
)


@pytest.fixture
def three(course):
    for name in ("00_start_here", "01_mixup", "02_flow_mixup"):
        course.chapter(name)
    course.chapter("scratch")
    course.chapter("solutions/01_mixup")
    return course


@pytest.mark.parametrize("name", ["01", "1", "01_mixup", "mixup"])
def test_a_chapter_has_several_names(three, name):
    assert [chapter.name for chapter in select([name], three.notebooks)] == ["01_mixup"]


def test_no_name_means_all_chapters_and_only_chapters(three):
    names = [chapter.name for chapter in select([], three.notebooks)]
    assert names == ["00_start_here", "01_mixup", "02_flow_mixup"]


def test_a_chapter_named_twice_is_run_once_and_in_order(three):
    path = str(three.notebooks / "01_mixup.ipynb")
    assert [chapter.name for chapter in select(["2", "mixup", path], three.notebooks)] == ["01_mixup", "02_flow_mixup"]


def test_a_solution_does_not_take_its_chapters_place(three):
    path = str(three.notebooks / "solutions" / "01_mixup.ipynb")
    assert [chapter.name for chapter in select([path, "1"], three.notebooks)] == ["01_mixup", "solutions.01_mixup"]


@pytest.mark.parametrize(
    "typed, meant", [("mixpu", "01_mixup"), ("flow_mix", "02_flow_mixup"), ("start", "00_start_here")]
)
def test_an_unknown_chapter_names_the_nearest(three, typed, meant):
    with pytest.raises(CourseError, match=f"did you mean {meant}.*01_mixup, 02_flow_mixup"):
        select([typed], three.notebooks)


def test_notebooks_are_found_upwards(three):
    deep = three.root / "a" / "b"
    deep.mkdir(parents=True)
    assert find_notebooks(deep) == three.notebooks
    assert len(chapter_files(three.notebooks)) == 3


def test_metadata_is_read_with_fallbacks(course):
    path = course.chapter("01_a", "# The heading\n\ntext", title="", question="Why?", number=7)
    chapter = read_chapter(path)
    assert (chapter.title, chapter.question, chapter.number, chapter.kernel) == ("The heading", "Why?", 7, "python3")


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "format 4"),
        ("{}", "format 4"),
        ('{"nbformat": 3, "cells": []}', "found: 3"),
        ('{"nbformat": 4, "cells": [{}]}', "without a source"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', r"without a source \(cell 1\)"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": null}]}', "without a source"),
        ('{"nbformat": 4, "cells": [{"source": ""}]}', "cell 1 is of no known type"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "metadata": []}]}', "metadata of cell 1"),
        ('{"nbformat": 4, "cells": ["x = 1"]}', "cell 1 is no cell but str"),
        ('{"nbformat": 4, "metadata": {}}', "no list of cells"),
        ('{"nbformat": 4, "metadata": {}, "cells": {}}', "no list of cells"),
        ('{"nbformat": 4, "cells": []}', "no metadata"),
        ('{"nbformat": 4, "cells": [], "metadata": null}', "no metadata"),
        ('{"nbformat": 4, "cells": [], "metadata": {}, "nbformat_minor": "5"}', "nbformat_minor"),
        ('{"nbformat": "4", "cells": [], "metadata": {}}', "found: '4'"),
        ('{"worksheets": [], "nbformat": 3, "metadata": {}}', "found: 3"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
    ],
)
def test_what_is_not_a_notebook_is_one_clear_line(tmp_path, content, complaint):
    path = tmp_path / "01_a.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CourseError, match=complaint) as caught:
        read_chapter(path)
    assert "\n" not in str(caught.value) and "01_a.ipynb" in str(caught.value)


def chapter_with(**defaults) -> Chapter:
    parameters = {
        name: Parameter(name, value, type(value).__name__ if value is not None else "any")
        for name, value in defaults.items()
    }
    return Chapter("01_a", None, "{}", 1, "", "", "python3", parameters)


@pytest.mark.parametrize(
    "default, text, value",
    [
        (True, "false", False),
        (False, "TRUE", True),
        (3, "-4", -4),
        (0.5, "2", 2.0),
        (0.5, "1e-3", 0.001),
        ("auto", "3", "3"),
        ("auto", "", ""),
        ([1], "[2, 3]", [2, 3]),
        (None, "7", 7),
        (None, "word", "word"),
        ((1, 2), "(3, 4)", (3, 4)),
    ],
)
def test_values_take_the_type_of_the_default(default, text, value):
    parsed = parse_parameters(chapter_with(X=default), [("X", text)])
    assert parsed == {"X": value} and type(parsed["X"]) is type(value)


@pytest.mark.parametrize(
    "default, text",
    [
        (True, "1"),
        (True, "yes"),
        (3, "3.0"),
        (3, "true"),
        (3, "three"),
        (0.5, "half"),
        ([1], "(1,)"),
        ([1], "[1"),
        ([1], "open('x')"),
    ],
)
def test_a_wrong_type_lists_what_the_chapter_takes(default, text):
    with pytest.raises(CourseError, match=r"parameter X of chapter 01_a is of type .*it takes X = .*, Y = 2 \(int\)"):
        parse_parameters(chapter_with(X=default, Y=2), [("X", text)])


def test_an_unknown_parameter_suggests_and_lists():
    with pytest.raises(CourseError, match=r"no parameter 'fsat'; did you mean FAST\? it takes FAST = True \(bool\)"):
        parse_parameters(chapter_with(FAST=True), [("fsat", "false")])
    with pytest.raises(CourseError, match="it takes none"):
        parse_parameters(chapter_with(), [("X", "1")])


def test_a_value_equal_to_the_default_changes_nothing():
    assert parse_parameters(chapter_with(FAST=True, RATE=1.0), [("FAST", "true"), ("RATE", "1")]) == {}


@given(st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()))
def test_every_value_survives_its_own_text(value):
    other = {bool: not value, int: 0, float: 0.25, str: "other"}[type(value)]
    parsed = parse_parameters(chapter_with(X=other), [("X", str(value))])
    assert parsed == ({} if value == other else {"X": value})


def test_parameters_are_read_from_the_tagged_cell_alone(course):
    path = course.chapter(
        "01_a", "OTHER = 1", parameters="A = 1\nB: float = 2.0\nC = D = 'x'\nE = A + 1\nF = -1\nA.b = 3"
    )
    kinds = {name: known.kind for name, known in read_chapter(path).parameters.items()}
    assert kinds == {"A": "int", "B": "float", "C": "str", "D": "str", "E": "any", "F": "int"}
    assert read_chapter(course.chapter("02_b", parameters=None)).parameters == {}
    assert read_chapter(course.chapter("03_c", parameters="this is not Python")).parameters == {}
