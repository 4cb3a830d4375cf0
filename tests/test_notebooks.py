"""Every chapter keeps the course's anatomy. (nbval runs the notebooks; see the Makefile.)"""

import ast
import re

import nbformat
import pytest
from conftest import ROOT

from tutorial_lib.course.core_path import core_path
from tutorial_lib.lab.claims import CLAIM_MIME, VERDICTS, Claim
from tutorial_lib.lab.exercises import CHECK_MIME
from tutorial_lib.lab.lines import WIDTH

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
START = "00_start_here"  # shorter than a chapter: no experiment of its own
CHECK_CALL = re.compile(r"\bcheck\(\s*[\"']([\w.]+)[\"']")


def names(paths):
    return [path.stem for path in paths]


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def outputs(notebook, mime):
    return [o.data[mime] for cell in code(notebook) for o in cell.outputs if mime in o.get("data", {})]


@pytest.fixture(params=CHAPTERS, ids=names(CHAPTERS))
def chapter(request):
    return request.param


@pytest.fixture(params=CHAPTERS + SOLUTIONS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def any_notebook(request):
    return request.param


def test_there_are_chapters_and_each_has_its_solutions():
    assert len(CHAPTERS) >= 3
    assert names(CHAPTERS) == names(SOLUTIONS)


def test_metadata_names_number_title_and_question(chapter):
    meta = read(chapter).metadata["tutorial"]
    assert meta["number"] == int(chapter.stem[:2])
    assert meta["title"] and meta["question"].endswith("?")


def test_one_parameters_cell_and_no_other_switch(chapter):
    tagged = [cell for cell in code(read(chapter)) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    scope = {}
    exec(tagged[0].source, scope)
    values = {name: value for name, value in scope.items() if name.isupper()}
    assert values == {"FAST": True, "SEED": 0, "DEVICE": "auto", "DATA": "builtin"}


def test_title_badge_and_question_come_first(chapter):
    notebook = read(chapter)
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert f"notebooks/{chapter.name}" in first.source and "colab" in first.source
    assert notebook.metadata["tutorial"]["question"] in first.source
    for expected in ("Before you start", "Time"):
        assert expected in first.source, f"the first cell does not say {expected!r}"


def test_a_figure_comes_before_the_first_section(chapter):
    for cell in read(chapter).cells:
        if cell.cell_type == "code" and any("image/png" in o.get("data", {}) for o in cell.outputs):
            return
        assert not (cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.M)), (
            f"section {cell.source.splitlines()[0]!r} comes before any figure"
        )
    pytest.fail("no figure at all")


def test_cells_are_short_and_the_text_has_the_right_length(chapter):
    notebook = read(chapter)
    for cell in code(notebook):
        assert len(cell.source.splitlines()) <= 40, f"a cell of over 40 lines: {cell.source[:80]!r}"
    words = sum(len(text.split()) for text in prose(notebook))
    low, high, cells = (900, 2800, range(6, 30)) if chapter.stem == START else (2000, 5000, range(22, 41))
    assert low <= words <= high, f"{words} words"
    assert len(code(notebook)) in cells, f"{len(code(notebook))} code cells"


def test_the_core_path_is_short(chapter):
    """A first reading; everything else stands under a heading marked *(deeper)*, or is folded away."""
    words, cells = core_path(read(chapter))
    assert words <= 2000, f"{words} words outside sections marked *(deeper)*"
    assert cells <= 12, f"{cells} open code cells outside sections marked *(deeper)*"


def test_every_figure_is_read_for_the_reader(chapter):
    text = "\n".join(prose(read(chapter)))
    assert text.count("What to see") >= 2 or chapter.stem == START
    assert "does not show" in text


def test_claims_are_recorded_and_every_verdict_is_known(chapter):
    claims = outputs(read(chapter), CLAIM_MIME)
    assert claims, "a chapter without a claim"
    for record in claims:
        assert record["verdict"] in VERDICTS
        assert record["low"] <= record["effect"] <= record["high"]
        assert record["seeds"] >= 5
    assert len({record["statement"] for record in claims}) == len(claims)
    on_evidence = [record for record in claims if record.get("margin") is not None]
    if on_evidence:  # then all of them, at most eight, and the saved run agrees with what is stored
        assert len(on_evidence) == len(claims) <= 8
        assert [record["agrees"] for record in claims if record["agrees"] is not None].count(True) >= 1
        assert all(record["agrees"] is not False and record["seeds"] >= 8 for record in claims)


def test_exercises_are_stubs_here_and_solved_there(chapter):
    notebook, solution = read(chapter), read(chapter.parent / "solutions" / chapter.name)
    here = [name for cell in code(notebook) for name in CHECK_CALL.findall(cell.source)]
    there = [name for cell in code(solution) for name in CHECK_CALL.findall(cell.source)]
    at_least = 2 if chapter.stem == START else 3
    assert at_least <= len(set(here)) <= 6
    assert set(here) <= set(there)
    stubs = {record["exercise"]: record["status"] for record in outputs(notebook, CHECK_MIME)}
    solved = {record["exercise"]: record["status"] for record in outputs(solution, CHECK_MIME)}
    if chapter.stem != START:  # chapter 00 shows a check at work on purpose
        assert {stubs[name] for name in here} == {"todo"}
    assert {solved[name] for name in here} == {"correct"}


def test_references_and_the_way_on(chapter):
    text = "\n".join(prose(read(chapter)))
    assert re.search(r"^## .*(Summary|summary)", text, re.M)
    assert re.search(r"^##+ .*References", text, re.M) or chapter.stem == START
    assert "next chapter" in text.lower()


def test_headings_make_a_table_of_contents(any_notebook):
    """JupyterLab's contents are made of them: one title, sections numbered from 1, no level left out."""
    lines = re.sub(r"^```.*?^```", "", "\n\n".join(prose(read(any_notebook))), flags=re.M | re.S).splitlines()
    headings = [line for line in lines if re.match(r"#{1,6} ", line)]
    levels = [len(line.split()[0]) for line in headings]
    assert levels[0] == 1 and levels.count(1) == 1
    for level, after, heading in zip(levels, levels[1:], headings[1:]):
        assert after <= level + 1, f"a level is left out before {heading!r}"
    if any_notebook in CHAPTERS:
        sections = [line for line, level in zip(headings, levels) if level == 2]
        assert [int(re.match(r"## (\d+)\. ", line)[1]) for line in sections] == list(range(1, len(sections) + 1))


def test_what_claims_and_checks_say_fits_a_page_and_is_what_they_would_say_today(any_notebook):
    for cell in code(read(any_notebook)):
        for output in cell.outputs:
            data = output.get("data", {})
            if CLAIM_MIME in data:
                assert data["text/plain"] == str(Claim(**data[CLAIM_MIME]))
            if CLAIM_MIME in data or CHECK_MIME in data:
                assert max(map(len, data["text/plain"].splitlines())) <= WIDTH


def test_saved_clean_and_executed(any_notebook):
    notebook = read(any_notebook)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec == {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata
    for cell in notebook.cells:
        assert "execution" not in cell.metadata and "papermill" not in cell.metadata
    counts = [cell.execution_count for cell in code(notebook) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1)), "run from a fresh kernel, top to bottom"
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", f"a warning was left in: {output.get('text', '')[:200]}"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


def test_no_absolute_path_no_import_star_and_a_readable_size(any_notebook):
    text = any_notebook.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    assert not re.search(r"/(home|work|root|Users|tmp)/", text), "an absolute path"
    for cell in code(read(any_notebook)):
        assert not re.search(r"import \*", cell.source)
        lines = [line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))]
        ast.parse("\n".join(lines))


def test_what_a_chapter_quotes_is_stored_with_the_command_that_repeats_it():
    import json

    for path in sorted((ROOT / "results").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["command"], f"{path.name} does not say how it was made"
        assert path.stat().st_size < 300_000
