"""Noise is removed, meaning is kept."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tutorial_lib.course.clean import MAX_RICH, MAX_TEXT, WIDGET_VIEW, normalise, plain, tidy


def stream(text, name="stdout"):
    return new_output("stream", text=text, name=name)


def display(**data):
    return new_output("display_data", {key.replace("_", "/"): value for key, value in data.items()})


def tidied(*outputs):
    notebook = new_notebook(cells=[new_code_cell("1", outputs=list(outputs))])
    tidy(notebook)
    return notebook.cells[0].outputs


def kept(*outputs):
    notebook = new_notebook(cells=[new_code_cell("1", outputs=list(outputs))])
    normalise(notebook)
    return notebook.cells[0].outputs


def test_neighbouring_streams_merge_and_order_stays():
    outputs = tidied(
        stream("a"), stream("b"), display(text_plain="figure"), stream("c"), stream("d", "stderr"), stream("e")
    )
    assert [output.get("text", "figure") for output in outputs] == ["ab", "figure", "c", "d", "e"]


def test_a_line_overwritten_by_carriage_returns_shows_its_last_state():
    assert tidied(stream("10%\r"), stream("50%\r"), stream("100%\nnext\r\n"))[0].text == "100%\nnext\r\n"


def test_widget_views_and_their_state_go():
    notebook = new_notebook(
        metadata={"widgets": {"state": 1}},
        cells=[
            new_code_cell(
                "1",
                outputs=[
                    new_output("display_data", {WIDGET_VIEW: {}, "text/plain": "interactive(children=(…"}),
                    display(image_png="x"),
                ],
            )
        ],
    )
    tidy(notebook)
    assert "widgets" not in notebook.metadata
    assert [list(output.data) for output in notebook.cells[0].outputs] == [["image/png"]]


def test_long_outputs_are_cut_with_a_note():
    text = tidied(stream("x" * (MAX_TEXT + 5000)))[0].text
    assert len(text) < MAX_TEXT + 200 and "100,000 of 105,000 characters are kept" in text
    data = tidied(display(text_html="x" * (MAX_RICH + 1)))[0].data
    assert list(data) == ["text/plain"] and "text/html" in data["text/plain"]
    error = tidied(new_output("error", ename="E", evalue="v" * 10**6, traceback=["t" * 10**6]))[0]
    assert len(error.evalue) < MAX_TEXT + 200 and len(error.traceback[0]) < MAX_TEXT + 200


def test_progress_bars_go_and_warnings_stay():
    bar = " 40%|████      | 4/10 [00:01<00:01,  3.9it/s]\n"
    assert kept(stream(bar, "stderr")) == []
    assert kept(stream(f"UserWarning: look\n{bar}", "stderr"))[0].text == "UserWarning: look\n"
    assert kept(stream(bar))[0].text == bar


def test_addresses_are_levelled():
    assert kept(stream("<f at 0x7f12ab34cd56>"))[0].text == "<f at 0x0>"
    assert kept(stream("mask 0xff"))[0].text == "mask 0xff"


def noisy():
    code = new_code_cell(
        "print(1)",
        id="keep-me",
        execution_count=41,
        outputs=[stream("1\n")],
        metadata={"papermill": {"duration": 1.2}, "execution": {"x": "2026"}, "tags": ["parameters"]},
    )
    result = new_code_cell(
        "1",
        execution_count=90,
        metadata={"tags": []},
        outputs=[new_output("execute_result", {"text/plain": "1"}, execution_count=90)],
    )
    metadata = {
        "papermill": {"start_time": "now"},
        "tutorial": {"number": 1},
        "widgets": {},
        "kernelspec": {"name": "python3", "display_name": "my env"},
        "language_info": {"name": "python", "version": "3"},
    }
    return new_notebook(cells=[new_markdown_cell("# a"), code, new_code_cell(""), result], metadata=metadata)


def test_normalise_keeps_only_what_the_chapter_says():
    notebook = noisy()
    normalise(notebook)
    assert notebook.metadata == {
        "tutorial": {"number": 1},
        "language_info": {"name": "python"},
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    }
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, None, 2]
    assert notebook.cells[3].outputs[0].execution_count == 2
    assert notebook.cells[1].id == "keep-me"
    assert [cell.metadata for cell in notebook.cells] == [{}, {"tags": ["parameters"]}, {}, {}]


def test_normalise_is_idempotent_and_gives_the_same_ids_to_cells_without_one():
    one, two = noisy(), noisy()
    for notebook in (one, two):
        for cell in notebook.cells:
            del cell["id"]
        notebook.nbformat_minor = 4
        normalise(notebook)
    assert one == two
    again = copy.deepcopy(one)
    normalise(again)
    assert again == one and len({cell.id for cell in one.cells}) == 4


@given(st.text())
def test_plain_text_is_legal_in_xml(text):
    from xml.etree import ElementTree

    element = ElementTree.Element("a", b=plain(text))
    element.text = plain(text)
    ElementTree.fromstring(ElementTree.tostring(element))


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("a\x00b\x08c", "abc"),
        ("naïve 中文\n\t", "naïve 中文\n\t"),
        (7, "7"),
    ],
)
def test_plain_text(text, shown):
    assert plain(text) == shown
