"""The values of sliders that are drawn beforehand, and what an explorer writes where a folder is named."""

import json

import ipywidgets
import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.display import HTML, display

from tutorial_lib.lab import explore
from tutorial_lib.lab.frames import FOLDER, grid, slider_values


@pytest.mark.parametrize(
    ("slider", "default", "expected"),
    [
        ((0, 4, 1), 2, [0, 1, 2, 3, 4]),
        ((1, 51, 2), 5, [1, 5, 17, 25, 35, 43, 51]),  # the default displaces an inner value, never an end
        ([1, 3, 10], 3, [1, 3, 10]),
        ([False, True], False, [False, True]),
        (["a", "b"], "b", ["a", "b"]),
        (ipywidgets.IntSlider(min=0, max=3), 1, [0, 1, 2, 3]),
        (ipywidgets.Dropdown(options=[("one", 1), ("two", 2)]), 1, [1, 2]),
        (True, True, [False, True]),
    ],
)
def test_values(slider, default, expected):
    assert slider_values(slider, default, 7) == expected


@given(st.integers(2, 9), st.integers(0, 60), st.integers(1, 60), st.data())
def test_the_default_and_both_ends_are_always_drawn(most, low, width, data):
    default = data.draw(st.integers(low, low + width))
    values = slider_values((low, low + width, 1), default, most)
    assert len(values) <= most and values == sorted(set(values)) and default in values
    if most > 2 or default in (low, low + width):
        assert values[0] == low and values[-1] == low + width


def test_two_sliders_are_drawn_together_and_three_one_at_a_time():
    assert len(grid([[0] * 6, [0] * 6], [0, 0])[0]) == 36
    places, alone = grid([[0] * 7] * 3, [3, 0, 6])
    assert alone and len(places) == 19 == len(set(places))
    assert all(sum(a != b for a, b in zip(place, (3, 0, 6))) <= 1 for place in places)


def test_an_explorer_writes_its_frames_and_shows_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(FOLDER, str(tmp_path))

    def picture(a=1):
        plt.subplots(figsize=(1, 1))
        print("not on the page")

    explore(picture, a=(0, 2, 1))
    told = json.loads((tmp_path / "frames.json").read_text())
    assert told["frames"] == {"0": "0.png", "1": "1.png", "2": "2.png"} and told["sliders"][0]["start"] == 1
    assert (tmp_path / "0.png").read_bytes()[:4] == b"\x89PNG"
    assert capsys.readouterr().out == "" and plt.get_fignums() == []


def test_html_is_a_frame_too(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    explore(lambda word="a": display(HTML(f"<b>{word}</b>")), word=["a", "b"])
    told = json.loads((tmp_path / "frames.json").read_text())
    assert told["frames"] == {"0": "<b>a</b>", "1": "<b>b</b>"} and told["sliders"][0]["choice"]
