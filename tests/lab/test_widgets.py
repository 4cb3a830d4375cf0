"""What an explorer puts on the page: one figure for paper, and where somebody is there, the same under sliders."""

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from tutorial_lib.lab import batches, compare, explore, fit, set_style
from tutorial_lib.lab.widgets import HINT


@pytest.fixture
def shown(monkeypatch):
    """What is displayed while somebody is there."""
    displayed = []
    monkeypatch.setattr("tutorial_lib.lab.widgets.is_headless", lambda: False)
    monkeypatch.setattr("tutorial_lib.lab.widgets.show_widget", lambda widget, instead: displayed.append(widget))
    return displayed


def test_without_anybody_the_function_is_drawn_once_with_its_defaults(monkeypatch):
    drawn = []
    monkeypatch.setattr("tutorial_lib.lab.widgets.is_headless", lambda: True)
    explore(lambda a=0.5, b=2: drawn.append((a, b)), a=(0.0, 1.0, 0.1), b=(1, 3, 1))
    assert drawn == [(0.5, 2)]


def test_sliders_start_at_the_defaults_and_draw_when_moved(shown):
    drawn = []
    explore(lambda a=0.5, kind="y": drawn.append((a, kind)), a=(0.0, 1.0, 0.1), kind=["x", "y"])
    (box,) = shown
    hint, row, output = box.children
    assert hint.value == HINT
    slider, choice = row.children
    assert [control.description for control in row.children] == ["a", "kind"]
    assert isinstance(slider, ipywidgets.FloatSlider)
    assert (slider.value, choice.value) == (0.5, "y")
    before = len(drawn)
    slider.value = 0.7
    choice.value = "x"
    assert drawn[before:] == [(0.7, "y"), (0.7, "x")]


def test_long_names_are_whole_and_many_sliders_wrap(shown):
    explore(lambda a_name_of_some_length=1, b=1: None, a_name_of_some_length=(0, 3, 1), b=(0, 3, 1))
    row = shown[0].children[1]
    assert row.layout.flex_flow == "row wrap"
    for control in row.children:
        assert control.style.description_width == "initial"
        assert not control.continuous_update  # one drawing a move, not one a pixel


def test_a_ready_widget_is_taken_as_it_is(shown):
    explore(lambda a=1: None, a=ipywidgets.BoundedIntText(value=2, min=0, max=9))
    (control,) = shown[0].children[1].children
    assert isinstance(control, ipywidgets.BoundedIntText) and control.value == 2 and control.description == "a"


@pytest.mark.parametrize("sliders", [{"b": (0, 1)}, {"c": (0, 1)}])
def test_a_slider_for_no_argument_or_one_without_default(sliders):
    with pytest.raises(ValueError, match="is not an argument with a default; the function has a$"):
        explore(lambda c, a=1: None, **sliders)


def train_once(method, seed):
    net = nn.Linear(1, 1)
    data = batches(torch.ones(2, 1), batch_size=2)
    fit(net, data, lambda net, batch: net(batch[0]).sum(), epochs=1, optimizer=torch.optim.SGD(net.parameters(), lr=0))
    return {"score": 0.0}


def test_where_the_kernel_is_gone_the_page_says_what_to_do(monkeypatch):
    """A saved notebook keeps a widget's place only; that must not be its ``repr``, nor a bar that stands at 0%."""
    displayed = []
    monkeypatch.setattr("tutorial_lib.lab.widgets.is_headless", lambda: False)
    monkeypatch.setattr("tutorial_lib.lab.runtime.is_headless", lambda: False)
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: displayed.extend(things))
    explore(lambda a=1: None, a=(0, 3, 1))
    compare(train_once, ["a"], [0, 1])  # one bar, though each run trains with one of its own
    places = [thing for thing in displayed if "application/vnd.jupyter.widget-view+json" in thing]
    assert [place["text/plain"] for place in places] == ["Run this cell to get its sliders.", ""]


def test_figures_stay_readable_on_a_dark_page():
    """Dark text needs a light ground of its own: a transparent figure would be black on black."""
    with plt.rc_context():
        set_style()
        for part in ("figure.facecolor", "axes.facecolor"):
            assert plt.matplotlib.colors.to_rgba(plt.rcParams[part]) == (1, 1, 1, 1)
        assert plt.rcParams["savefig.facecolor"] == "auto" and not plt.rcParams["savefig.transparent"]
