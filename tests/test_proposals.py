"""Selective search: its four similarities and its grouping in loops, pictures with known regions, bad input."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, segmentation

from tutorial_lib._kernels import grouping
from tutorial_lib.boxes import box_iou
from tutorial_lib.proposals import COLOUR_SPACES, selective_search

few = settings(max_examples=15, deadline=None)


def squares(size=(60, 80)):
    image = torch.full((3, *size), 0.5)
    image[0, 10:30, 10:40], image[2, 35:55, 50:70] = 1, 0
    return image


def test_a_pictures_plain_regions_and_the_whole_are_among_the_boxes():
    boxes = selective_search(squares(), generator=torch.Generator().manual_seed(0)).tolist()
    for box in ([10, 10, 40, 30], [50, 35, 70, 55], [0, 0, 80, 60]):
        assert box in boxes
    assert len(boxes) == len(set(map(tuple, boxes)))


def test_a_grey_picture_and_bytes_give_the_same_as_their_equals():
    grey = squares()[:1]
    seed = torch.Generator()
    one = selective_search(grey, generator=seed.manual_seed(1))
    assert torch.equal(one, selective_search(grey.expand(3, -1, -1), generator=seed.manual_seed(1)))
    whole = (torch.rand(3, 24, 32, generator=seed.manual_seed(2)) * 255).round()
    first = selective_search(whole.to(torch.uint8), min_size=5, generator=seed.manual_seed(1))
    second = selective_search(whole.double() / 255, min_size=5, generator=seed.manual_seed(1))
    assert torch.equal(first, second)


def test_one_colour_is_one_region():
    assert selective_search(torch.zeros(3, 20, 30)).tolist() == [[0, 0, 30, 20]]
    assert selective_search(torch.zeros(1, 1, 1)).tolist() == [[0, 0, 1, 1]]


def test_the_ranking_is_drawn_and_repeats_with_its_seed():
    image = torch.from_numpy(data.coffee()[::8, ::8].copy()).permute(2, 0, 1)
    orders = [selective_search(image, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], orders[2])
    assert {*map(tuple, orders[0].tolist())} == {*map(tuple, orders[2].tolist())}


def in_loops(labels, colour, texture, letters):
    """The paper's algorithm as it is written: a list of all similarities, of which the largest is taken."""
    regions = {
        number: {
            "size": int((labels == number).sum()),
            "box": box_of(labels == number),
            "colour": colour[number],
            "texture": texture[number],
        }
        for number in range(labels.max() + 1)
    }

    def similar(a, b):
        value, both = 0.0, a["size"] + b["size"]
        if "C" in letters:
            value += np.minimum(a["colour"], b["colour"]).sum()
        if "T" in letters:
            value += np.minimum(a["texture"], b["texture"]).sum()
        if "S" in letters:
            value += 1 - both / labels.size
        if "F" in letters:
            x1, y1, x2, y2 = around(a["box"], b["box"])
            value += 1 - ((x2 - x1) * (y2 - y1) - both) / labels.size
        return value

    touching = set()
    for y, x in np.ndindex(labels.shape):
        for dy, dx in itertools.product((-1, 0, 1), repeat=2):
            if (
                0 <= y + dy < labels.shape[0]
                and 0 <= x + dx < labels.shape[1]
                and labels[y, x] != labels[y + dy, x + dx]
            ):
                touching.add(frozenset((int(labels[y, x]), int(labels[y + dy, x + dx]))))
    boxes = [regions[number]["box"] for number in regions]
    while touching:
        a, b = min(map(sorted, touching), key=lambda pair: (-similar(regions[pair[0]], regions[pair[1]]), *pair))
        one, other, new = regions[a], regions[b], len(boxes)
        total = one["size"] + other["size"]
        regions[new] = {"size": total, "box": around(one["box"], other["box"])} | {
            part: (one["size"] * one[part] + other["size"] * other[part]) / total for part in ("colour", "texture")
        }
        boxes.append(regions[new]["box"])
        moved = {frozenset({new, *pair} - {a, b}) for pair in touching if pair & {a, b} and pair != {a, b}}
        touching = {pair for pair in touching if not pair & {a, b}} | moved
    return boxes[::-1]


def box_of(mask):
    y, x = np.nonzero(mask)
    return (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)


def around(a, b):
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


@pytest.mark.parametrize("letters", ["C", "T", "S", "F", "CTSF", "TSF"])
def test_the_grouping_equals_the_papers_algorithm_in_loops(letters):
    image = data.astronaut()[100:130, 180:220] / 255
    labels = segmentation.felzenszwalb(image, scale=20, sigma=0.5, min_size=8)
    channels = grouping.convert(image, "hsv")
    histograms = [
        grouping._counts(labels, grouping._bins(values, bins), bins)
        for values, bins in ((channels, 25), (grouping._texture(channels), 10))
    ]
    ours = grouping._merge(labels, *histograms, grouping._neighbours(labels), letters)
    assert labels.max() > 15 and len(ours) == 2 * labels.max() + 1
    assert ours.astype(int).tolist() == [list(box) for box in in_loops(labels, *histograms, letters)]


def test_the_histograms_are_counts_in_loops_and_each_sums_to_one():
    rng = np.random.default_rng(0)
    labels, values = rng.integers(0, 3, (5, 6)), rng.random((5, 6, 2))
    values[0, 0] = 1  # the last bin is closed
    counts = np.zeros((3, 2, 25))
    for y, x in np.ndindex(5, 6):
        for channel in range(2):
            counts[labels[y, x], channel, min(int(values[y, x, channel] * 25), 24)] += 1
    expected = counts.reshape(3, -1) / counts.reshape(3, -1).sum(1, keepdims=True)
    np.testing.assert_allclose(grouping._counts(labels, grouping._bins(values, 25), 25), expected, atol=1e-15)


def test_the_texture_of_an_edge_points_one_way():
    step = np.zeros((21, 21, 1))
    step[:, 11:] = 1
    texture = grouping._texture(step)[10, 10, 0]
    assert texture.argmax() == 0 and texture[0] == 1  # brighter to the right
    assert texture[4] == texture[3] == texture[5] == 0 and texture[1] == pytest.approx(texture[7])


def test_every_colour_space_has_its_channels_in_the_unit_interval():
    image = data.astronaut()[::16, ::16] / 255
    for space in COLOUR_SPACES:
        found = grouping.convert(image, space)
        assert found.ndim == 3 and found.min() >= 0 and found.max() <= 1, space


def test_hue_and_saturation_fill_many_bins():
    """The popular package counts hue and saturation, which lie in [0, 1], in bins of [0, 255]: all fall into the first
    (AlpacaTechJP/selectivesearch). A colour histogram in one bin cannot tell regions apart."""
    hsv = grouping.convert(data.astronaut()[::4, ::4] / 255, "hsv")
    ours = grouping._counts(np.zeros(hsv.shape[:2], int), grouping._bins(hsv, 25), 25).reshape(3, 25)
    assert (ours[:2] > 0).sum() > 35
    popular = [np.histogram(hsv[..., channel], 25, (0.0, 255.0))[0] for channel in range(2)]
    assert all((counts > 0).sum() == 1 for counts in popular)


def test_a_region_one_pixel_wide_has_a_box_with_area():
    """The popular package takes the largest less the smallest coordinate for the width: 0 here."""
    labels = np.zeros((6, 8), int)
    labels[:, 3] = 1
    assert grouping._boxes(labels, 2)[1].tolist() == [3, 0, 4, 6]


def test_regions_side_by_side_are_neighbours():
    """The popular package calls regions neighbours if their rectangles overlap: frame and inner core would be."""
    labels = np.zeros((9, 9), int)
    labels[2:7, 2:7], labels[4, 4] = 1, 2
    assert grouping._neighbours(labels) == [(0, 1), (1, 2)]


def test_it_finds_what_is_in_a_photograph_with_few_boxes():
    """The saucer in scikit-image's coffee, outlined by hand to a few pixels: the paper's recall rests on IoU .5."""
    image = torch.from_numpy(data.coffee()[::4, ::4].copy()).permute(2, 0, 1)
    boxes = selective_search(image, generator=torch.Generator().manual_seed(0))
    plate = torch.tensor([[150.0, 55, 465, 380]]) / 4
    assert float(box_iou(plate, boxes).max()) > 0.5
    assert len(boxes) < 2000


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(2, 30))
@few
def test_boxes_lie_in_the_picture_and_the_whole_is_there(seed, high, wide):
    image = torch.rand(3, high, wide, generator=torch.Generator().manual_seed(seed))
    boxes = selective_search(image, scales=[10], min_size=3)
    assert [0, 0, wide, high] in boxes.tolist()
    assert bool((boxes >= 0).all() and (boxes[:, 2] <= wide).all() and (boxes[:, 3] <= high).all())
    assert bool((boxes[:, 2:] - boxes[:, :2] >= 1).all())


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (torch.zeros(2, 4, 4), {}, r"image must be \(3, H, W\) or \(1, H, W\)"),
        (torch.zeros(4, 4), {}, "image must be"),
        (torch.zeros(3, 0, 4), {}, "image must be"),
        (torch.full((3, 4, 4), 2.0), {}, r"image must be in \[0, 1\]"),
        (torch.full((3, 4, 4), float("nan")), {}, r"image must be in \[0, 1\]"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), {}, "uint8 or floating-point"),
        (np.zeros((3, 4, 4), np.uint16), {}, "uint8 or floating-point"),
        (torch.zeros(3, 4, 4), {"scales": []}, "scales must be"),
        (torch.zeros(3, 4, 4), {"scales": [0]}, "scales"),
        (torch.zeros(3, 4, 4), {"colour_spaces": ["cmyk"]}, "colour_spaces must be"),
        (torch.zeros(3, 4, 4), {"colour_spaces": "hsv"}, "colour_spaces must be several strings"),
        (torch.zeros(3, 4, 4), {"similarities": ["CX"]}, "similarities must each be letters of 'CTSF', got 'CX'"),
        (torch.zeros(3, 4, 4), {"similarities": []}, "at least one name"),
        (torch.zeros(3, 4, 4), {"sigma": -1}, "sigma must be"),
        (torch.zeros(3, 4, 4), {"generator": 0}, "generator must be"),
    ],
)
def test_bad_input(image, options, words):
    with pytest.raises(ValueError, match=words):
        selective_search(image, **options)
