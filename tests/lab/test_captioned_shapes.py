"""Captioned shapes: the same for the same seed, captions that say what is drawn, what is held out, and the reader."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.lab.captioned_shapes import (
    COLOURS,
    HELD_OUT,
    LENGTH,
    SHAPES,
    VOCABULARY,
    caption_tokens,
    captioned_shapes,
    encode_captions,
    scene_caption,
    scene_of,
)
from tutorial_lib.lab.scene_reader import SceneReader, read_scenes, scene_scores

EVERY = [
    [layout, *first, *second, language]
    for layout in range(4)
    for first in itertools.product(range(4), range(3))
    for second in (itertools.product(range(4), range(3)) if layout > 1 else [(-1, -1)])
    for language in (0, 1)
]


def test_a_row_depends_on_seed_and_row_only():
    few, many = captioned_shapes(5, seed=3), captioned_shapes(9, seed=3)
    assert torch.equal(few.image, many.image[:5]) and few.captions == many.captions[:5]
    assert not torch.equal(few.image, captioned_shapes(5, seed=4).image)
    assert len(captioned_shapes(0, seed=0).captions) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_every_caption_says_its_scene(turned):
    for scene in EVERY:
        caption = scene_caption(scene, turned=turned)
        assert scene_of(caption) == scene, caption
        assert len(caption_tokens(caption)) <= LENGTH


def test_no_word_is_lost_in_either_language():
    for caption in captioned_shapes(300, seed=0).captions:
        joined = "".join(caption_tokens(caption))
        assert joined == caption.replace(" ", ""), caption
    used = {w for scene in EVERY for t in (0, 1) for w in caption_tokens(scene_caption(scene, turned=bool(t)))}
    assert used == set(VOCABULARY) - {""}


def pairs_of(scene):
    return {(int(c), int(s)) for row in scene for c, s in (row[1:3], row[3:5]) if c >= 0}


def test_what_is_held_out():
    held = {([*COLOURS].index(c), [*SHAPES].index(s)) for c, s in HELD_OUT}
    train, rare = captioned_shapes(2000, seed=0), captioned_shapes(300, seed=0, split="held out")
    assert not pairs_of(train.scene) & held and len(pairs_of(train.scene)) == 12 - len(held)
    assert all(len(pairs_of(row[None]) & held) >= 1 for row in rare.scene)
    assert pairs_of(captioned_shapes(2000, seed=0, split="all").scene) >= held
    # Each half of what is held out is met in other company.
    assert {c for c, _ in pairs_of(train.scene)} == set(range(4)) and {s for _, s in pairs_of(train.scene)} == set(
        range(3)
    )


@pytest.mark.parametrize(("objects", "layouts"), [("one", {0, 1}), ("two", {2, 3}), ("both", {0, 1, 2, 3})])
def test_objects(objects, layouts):
    assert set(captioned_shapes(200, seed=0, objects=objects).scene[:, 0].tolist()) == layouts


@pytest.mark.parametrize("language", ["en", "zh"])
def test_languages(language):
    captions = captioned_shapes(50, seed=0, language=language).captions
    assert {caption.isascii() for caption in captions} == {language == "en"}


@pytest.mark.parametrize("size", [12, 16, 24])
def test_the_colours_are_where_the_scene_says(size):
    made = captioned_shapes(200, seed=0, size=size, split="all")
    assert made.image.shape == (200, 3, size, size) and float(made.image.abs().max()) <= 1
    palette = np.array([rgb for _, rgb in COLOURS.values()])
    hues = palette / palette.max(1, keepdims=True)
    for image, row in zip((made.image.numpy() + 1) / 2, made.scene.tolist()):
        strong = image.max(0) - image.min(0) > 0.35  # neither ground nor edge
        pixels = image[:, strong].T  # (n, 3)
        named = np.abs((pixels / pixels.max(1, keepdims=True))[:, None] - hues).sum(2).argmin(1)
        assert {*named.tolist()} == {row[1], row[3]} - {-1}
        if row[0] > 1 and row[1] != row[3]:
            places = np.argwhere(strong)[:, 1 if row[0] == 2 else 0]
            assert places[named == row[1]].mean() < places[named == row[3]].mean()


def test_encode():
    rows = encode_captions(["a red ring", "", "红色的圆环在蓝色的方块左边", "purple"])
    assert rows.shape == (4, LENGTH) and rows.dtype == torch.int64
    assert not rows[1].any() and not rows[3].any() and (rows[2] > 0).all()
    assert [VOCABULARY[i] for i in rows[0] if i] == ["a", "red", "ring"]
    assert encode_captions([]).shape == (0, LENGTH)
    assert encode_captions(["red " * 20]).shape == (1, LENGTH)  # cut


@given(st.text(max_size=40))
@settings(max_examples=80, deadline=None)
def test_any_text_becomes_known_words(text):
    assert set(caption_tokens(text)) <= set(VOCABULARY)
    assert encode_captions([text]).shape == (1, LENGTH)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: captioned_shapes(-1, seed=0), "count must be"),
        (lambda: captioned_shapes(1, seed=0, split="test"), "split must be"),
        (lambda: captioned_shapes(1, seed=0, objects="three"), "objects must be"),
        (lambda: captioned_shapes(1, seed=0, language="fr"), "language must be"),
        (lambda: captioned_shapes(1, seed=0, size=8), "size must be"),
        (lambda: scene_caption([4, 0, 0, -1, -1, 0]), "scene must be six numbers"),
        (lambda: scene_caption([2, 0, 0, -1, -1, 0]), "scene must be six numbers"),
        (lambda: scene_of("a red ring"), "caption must name a size and one coloured shape"),
        (lambda: scene_of("a red ring and a blue square"), "caption must name"),
        (lambda: encode_captions("a red ring"), "captions must be several strings"),
        (lambda: caption_tokens(3), "caption must be a string"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- The reader -----------------------------------------------------------------------------------------------------


def test_scores_tell_the_faults_apart():
    wanted = torch.tensor([[2, 0, 0, 2, 1, 0]] * 5)
    read = torch.tensor([[2, 0, 0, 2, 1], [3, 0, 0, 2, 1], [2, 0, 0, 1, 1], [2, 0, 2, 2, 1], [2, 2, 1, 0, 0]])
    found = scene_scores(read, wanted)
    assert found.all.tolist() == [True, False, False, False, False]
    assert found.layout.tolist() == [True, False, True, True, True]
    assert found.colours.tolist() == [True, True, False, True, True]
    assert found.shapes.tolist() == [True, True, True, False, True]
    assert found.bound.tolist() == [True, True, False, False, False]  # the last: the objects have changed places


def test_one_object_has_no_second():
    torch.manual_seed(0)
    made = captioned_shapes(20, seed=0)
    read = read_scenes(SceneReader(), made.image, batch=7)
    assert read.shape == (20, 5) and ((read[:, 3] == -1) == (read[:, 0] < 2)).all()
