"""Pictures of kept notebooks: fewer bytes, the same to the eye."""

import base64
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from tutorial_lib.course.clean import normalise
from tutorial_lib.course.png import MAX_ERROR, with_palette


def png(pixels, mode=None):
    out = BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8), mode).save(out, "PNG")
    return out.getvalue()


def pixels(data):
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"), dtype=float)


@pytest.fixture(scope="module")
def figure():
    fig, ax = plt.subplots(figsize=(7, 3.6))
    for row in range(7):
        ax.plot(np.sin(np.linspace(row, 20, 400)), label=f"a curve {row}")
    ax.imshow(np.random.default_rng(0).integers(0, 9, (20, 20)), extent=(0, 100, -1, 0), aspect="auto")
    ax.legend()
    out = BytesIO()
    fig.savefig(out, format="png", facecolor="white")
    plt.close(fig)
    return out.getvalue()


def test_a_figure_is_at_most_half_as_large_and_looks_the_same(figure):
    small = with_palette(figure)
    assert len(small) < len(figure) / 2
    assert np.abs(pixels(small) - pixels(figure)).mean() <= MAX_ERROR
    assert Image.open(BytesIO(small)).size == Image.open(BytesIO(figure)).size


def test_twice_is_once(figure):
    small = with_palette(figure)
    assert with_palette(small) == small


def test_few_colours_are_kept_exactly():
    flat = np.repeat(np.repeat(np.random.default_rng(1).integers(0, 256, (8, 8, 3)), 12, 0), 12, 1)
    small = with_palette(png(flat))
    assert Image.open(BytesIO(small)).mode == "P"
    np.testing.assert_array_equal(pixels(small), flat)


def test_what_a_palette_would_spoil_stays_as_it_is():
    noise = png(np.random.default_rng(2).integers(0, 256, (64, 64, 3)))
    small = Image.open(BytesIO(noise)).quantize(
        256, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE
    )
    assert np.abs(np.asarray(small.convert("RGB"), float) - pixels(noise)).mean() > MAX_ERROR  # so it would spoil it
    assert with_palette(noise) == noise


def test_a_see_through_picture_and_no_picture_stay_as_they_are():
    clear = png(np.random.default_rng(3).integers(0, 255, (20, 20, 4)))
    assert with_palette(clear) == clear
    assert with_palette(b"not a picture") == b"not a picture"


def test_a_kept_notebook_has_small_pictures(figure):
    output = new_output(
        "display_data", {"image/png": base64.b64encode(figure).decode() + "\n", "text/plain": "<Figure>"}
    )
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output])])
    normalise(notebook)
    kept = base64.b64decode(notebook.cells[0].outputs[0].data["image/png"])
    assert kept == with_palette(figure) and len(kept) < len(figure)
