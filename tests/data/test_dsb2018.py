"""The recipe of the nuclei: what of it shows in the reference, and pictures whose answer is known."""

import hashlib

import numpy as np
import pytest

pytest.importorskip("PIL", reason='the recipe needs pillow: pip install -e ".[data]"')

from PIL import Image

from data_scripts import manifest
from data_scripts.dsb2018 import LEAST, MIDDLE, middle, number, prepare, read_mask, read_picture
from data_scripts.splits import hashed_split


def write(folder, name, pixels, masks):
    """A picture and its masks (name -> bool); returns their names below the folder."""
    base = folder / "stage1_train" / name
    for kind in ("images", "masks"):
        (base / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert("RGBA").save(base / f"images/{name}.png")
    for mask, inside in masks.items():
        Image.fromarray(np.uint8(inside) * 255).save(base / f"masks/{mask}.png")
    return [f"stage1_train/{name}/images/{name}.png", *(f"stage1_train/{name}/masks/{mask}.png" for mask in masks)]


def grey(height=256, width=256, value=0):
    return np.full((height, width, 3), value, np.uint8)


def square(top, left, side, height=256, width=256):
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


# --- the reference, where it lies beside the checkout (its originals do not) ---


@pytest.fixture
def reference(shared_data):
    with np.load(shared_data / "detection/dsb2018_nuclei_128.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_names_order_and_split_are_those_of_the_reference(reference):
    files = [file.name.split("/") for file in manifest.read_manifest()["dsb2018"].files]
    names = {parts[1] for parts in files}
    ordered = sorted(names, key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    assert ordered == reference["id"].tolist()
    np.testing.assert_array_equal(hashed_split("dsb", ordered), reference["split"])
    assert {parts[1] for parts in files if parts[2] == "images" and parts[3] == parts[1] + ".png"} == names


def test_no_picture_of_the_reference_has_more_nuclei_than_masks_are_listed(reference):
    masks = [file.name.split("/")[1] for file in manifest.read_manifest()["dsb2018"].files if "/masks/" in file.name]
    counts = np.array([masks.count(name) for name in reference["id"]])
    assert (reference["n_instances"] <= counts).all() and reference["n_instances"].sum() == 8461
    assert (counts - reference["n_instances"]).sum() == 24  # the nuclei with fewer than 12 pixels in the middle


# --- known answers ---


def test_a_picture_and_its_nuclei(tmp_path):
    """Histology: the middle begins at column 32; nuclei are numbered by the names of their masks."""
    pixels = grey(256, 320)
    pixels[...] = (200, 100, 50)
    pixels[:, 32:34] = (10, 20, 30)
    masks = {"b": square(0, 32, 4, 256, 320), "a": square(100, 232, 10, 256, 320), "c": square(50, 0, 20, 256, 320)}
    arrays = prepare(tmp_path, write(tmp_path, "A", pixels, masks))
    expected = np.zeros((128, 128), int)
    expected[50:55, 100:105], expected[:2, :2] = 1, 2  # c lies beyond the middle
    np.testing.assert_array_equal(arrays["instances"], [expected])
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(arrays["image"][0, :, 0], luma @ [10, 20, 30], atol=0.5)
    np.testing.assert_allclose(arrays["image"][0, :, 1:], luma @ [200, 100, 50], atol=0.5)
    assert arrays["n_instances"].tolist() == [2] and arrays["kind"].tolist() == ["histology"]


def test_values_are_means_of_two_by_two(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (360, 360), np.uint8)
    arrays = prepare(tmp_path, write(tmp_path, "A", np.stack([values] * 3, -1), {}))
    exact = values[52:308, 52:308].reshape(128, 2, 128, 2).mean((1, 3))
    assert np.abs(arrays["image"][0] - exact).max() <= 1 and arrays["kind"].tolist() == ["fluorescence_360"]
    assert not arrays["instances"].any() and arrays["n_instances"].tolist() == [0]


def test_order_is_that_of_the_hash(tmp_path):
    names, files = [f"n{number}" for number in range(8)], []
    for value, name in enumerate(names):
        files += write(tmp_path, name, grey(value=value), {"m": square(10, 10, 8)})
    arrays = prepare(tmp_path, files[::-1])
    ordered = sorted(names, key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    assert arrays["id"].tolist() == ordered != names
    assert arrays["image"][:, 0, 0].tolist() == [names.index(name) for name in ordered]
    assert [arrays[name].dtype for name in ("image", "instances", "n_instances")] == [np.uint8, np.uint8, np.uint16]


def test_a_nucleus_needs_twelve_pixels_in_the_middle():
    small, enough = np.zeros((2, MIDDLE, MIDDLE), bool)
    small[0, : LEAST - 1], enough[100, :LEAST] = True, True
    result = number([small, enough])
    assert result[0].sum() == 0 and result.max() == 1  # no gap in the numbers
    assert (result[50, :6] == 1).all() and result.sum() == 6


def test_two_of_four_pixels_make_a_nucleus_and_the_larger_share_names_it():
    first, second = np.zeros((2, MIDDLE, MIDDLE), bool)
    first[100:110, 100:110] = second[200:210, 200:210] = True  # both large enough
    first[0, 0] = True  # one of four: background
    first[0, 2] = second[1, 3] = True  # one each: the first
    first[0, 4] = second[1, 4:6] = True  # one and two: the second
    second[0, 6:8] = True  # two of four
    result = number([first, second])
    assert result[0, :4].tolist() == [0, 1, 2, 2]


def test_255_nuclei_are_numbered_and_256_refused():
    masks = [square(14 * (k // 16), 14 * (k % 16), 4) for k in range(256)]
    result = number(masks[:255])
    assert np.unique(result).tolist() == list(range(256))
    with pytest.raises(ValueError, match="picture P has 256 nuclei; 255 at most"):
        number(masks, "P")


def test_middle_is_cut_evenly():
    pixels = np.arange(259 * 257).reshape(259, 257)
    np.testing.assert_array_equal(middle(pixels), pixels[1:257, 0:256])


def test_what_is_no_such_set_is_refused(tmp_path):
    write(tmp_path, "A", grey(520, 696), {})
    with pytest.raises(ValueError, match="picture A is of no kind that is used: 696 x 520 in grey"):
        read_picture(tmp_path, "A")
    write(tmp_path, "B", grey(256, 320), {"m": square(0, 0, 9)})
    with pytest.raises(ValueError, match="B is of no kind that is used: 320 x 256 in grey"):
        read_picture(tmp_path, "B")
    with pytest.raises(ValueError, match="m.png must be a mask of 0 and 255 of 320 x 256"):
        read_mask(tmp_path, "stage1_train/B/masks/m.png", (320, 256))
    Image.fromarray(np.full((256, 256), 7, np.uint8)).save(tmp_path / "stage1_train/B/masks/m.png")
    with pytest.raises(ValueError, match="m.png must be a mask of 0 and 255"):
        read_mask(tmp_path, "stage1_train/B/masks/m.png", (256, 256))
