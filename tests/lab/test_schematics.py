"""The drawings that open chapters: they describe themselves, keep to their sheet, and are the same each time."""

import inspect

import pytest

from tutorial_lib.lab import schematics

DRAWINGS = sorted(name for name, thing in vars(schematics).items() if hasattr(thing, "__wrapped__"))


@pytest.fixture(params=DRAWINGS)
def drawing(request):
    return getattr(schematics, request.param)


def test_there_are_drawings_and_each_names_its_chapter():
    assert len(DRAWINGS) >= 6
    for name in DRAWINGS:
        assert inspect.getdoc(getattr(schematics, name)).startswith("Chapter "), name


def test_it_is_shown_with_a_description(drawing, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    drawing()
    drawing()
    (data, options), (again, _) = shown
    alt = options["metadata"]["image/png"]["alt"]
    assert len(alt.split()) > 30 and "\n" not in alt and alt == data["text/plain"]
    assert data["image/png"].startswith(b"\x89PNG") and data["image/png"] == again["image/png"]
    assert len(data["image/png"]) < 80_000


def test_no_word_leaves_the_sheet_or_lies_on_another(drawing):
    figure = drawing.__wrapped__()
    figure.canvas.draw()
    sheet = figure.bbox
    boxes = [(text.get_text(), text.get_window_extent()) for ax in figure.axes for text in ax.texts if text.get_text()]
    assert len(boxes) >= 1
    for word, box in boxes:
        assert sheet.x0 <= box.x0 and box.x1 <= sheet.x1 and sheet.y0 <= box.y0 and box.y1 <= sheet.y1, word
    for i, (word, box) in enumerate(boxes):
        for other, its in boxes[i + 1 :]:
            assert not box.shrunk(0.98, 0.98).overlaps(its), (word, other)
