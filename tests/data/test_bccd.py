"""The recipe of the blood cells: four real pictures equal the reference, and pictures whose answer is known."""

import csv
import hashlib
import io
import zipfile

import numpy as np
import pytest

pytest.importorskip("PIL", reason='the recipe needs pillow: pip install -e ".[data]"')

from PIL import Image

from data_scripts import manifest
from data_scripts.bccd import (
    CLASS_NAMES,
    Box,
    boxes_name,
    choose,
    cut_cell,
    picture_name,
    prepare,
    read_boxes,
    read_picture,
)

NAMES = [f"BloodImage_0000{number}" for number in range(4)]


def write(folder, name, pixels, boxes):
    """A picture and its VOC file; ``boxes`` are (class, x1, y1, x2, y2)."""
    for file in (picture_name(name), boxes_name(name)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / picture_name(name), quality=100, subsampling=0)
    cells = "".join(
        f"<object><name>{kind}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for kind, x1, y1, x2, y2 in boxes
    )
    (folder / boxes_name(name)).write_text(f"<annotation>{cells}</annotation>")


def lists(folder, **parts):
    (folder / "BCCD/ImageSets/Main").mkdir(parents=True, exist_ok=True)
    for part in ("train", "val", "test"):
        text = "".join(f"{name}\n" for name in parts.get(part, []))
        (folder / f"BCCD/ImageSets/Main/{part}.txt").write_text(text)
    names = [name for part in parts.values() for name in part]
    return [make(name) for name in names for make in (picture_name, boxes_name)]


def grey(value=128):
    return np.full((480, 640, 3), value, np.uint8)


# --- the real pictures, where they lie beside the checkout ---


@pytest.fixture
def shared_bccd(shared_data):
    return shared_data / "detection"


@pytest.fixture
def raw(shared_bccd, tmp_path):
    for name in NAMES:
        for file, end in ((picture_name(name), "jpg"), (boxes_name(name), "xml")):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).symlink_to(shared_bccd / f"bccd_raw/{name}.{end}")
    return tmp_path


def test_cells_of_four_originals_are_those_of_the_reference(shared_bccd, raw):
    with np.load(shared_bccd / "bccd_cells_28.npz", allow_pickle=False) as archive:
        reference = {name: archive[name] for name in archive.files}
    arrays = prepare(raw, lists(raw, train=NAMES))
    rows = np.flatnonzero(np.isin(reference["source"], NAMES))
    known = {image.tobytes(): row for row, image in enumerate(arrays["image"])}
    found = [known[image.tobytes()] for image in reference["image"][rows]]
    assert found == sorted(found)  # the red cells are a part of ours, in the same order
    for name in ("label", "source"):
        np.testing.assert_array_equal(arrays[name][found], reference[name][rows])
        assert arrays[name].dtype == reference[name].dtype
    np.testing.assert_array_equal(arrays["class_names"], reference["class_names"])
    rare = reference["label"] != 0
    assert (arrays["label"] != 0).sum() == np.isin(reference["source"][rare], NAMES).sum() > 0  # of the rare ones: all


def test_boxes_and_pictures_of_four_originals_are_those_of_the_reference(shared_bccd, raw):
    arrays = prepare(raw, lists(raw, train=NAMES))
    with open(shared_bccd / "bccd_boxes.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"][:-4] in NAMES]
    assert [arrays["picture_id"][row] + ".jpg" for row in arrays["box_picture"]] == [row["file"] for row in rows]
    assert [CLASS_NAMES[label] for label in arrays["box_label"]] == [row["class"] for row in rows]
    np.testing.assert_array_equal(
        arrays["box"], [[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in rows]
    )
    with zipfile.ZipFile(shared_bccd / "bccd_320x240.zip") as archive:
        for name, picture in zip(arrays["picture_id"], arrays["picture"]):
            stored = io.BytesIO()  # the reference is ours, once more through JPEG: this is what that costs
            Image.fromarray(picture).save(stored, "JPEG", quality=88)
            reference = np.asarray(Image.open(io.BytesIO(archive.read(f"{name}.jpg"))))
            np.testing.assert_array_equal(np.asarray(Image.open(stored)), reference)
            assert 0 < np.abs(picture.astype(int) - reference).mean() < 2.5


def test_files_are_those_of_the_manifest(raw):
    known = {file.name: file for file in manifest.read_manifest()["bccd"].files}
    for file in [make(name) for name in NAMES for make in (picture_name, boxes_name)]:
        data = (raw / file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (known[file].size, known[file].sha256)


def test_manifest_holds_every_picture_of_the_reference(shared_bccd):
    with zipfile.ZipFile(shared_bccd / "bccd_320x240.zip") as archive:
        names = [name[:-4] for name in archive.namelist()]
    known = {file.name for file in manifest.read_manifest()["bccd"].files}
    lists = {f"BCCD/ImageSets/Main/{part}.txt" for part in ("train", "val", "test")}
    assert known == {make(name) for name in names for make in (picture_name, boxes_name)} | lists
    assert len(names) == 364


# --- known answers ---


def test_a_cell_is_the_mean_of_its_blocks():
    """A box of 102 x 50 becomes a square of 112.2, rounded to 112 = 4 x 28, around its middle (252, 126)."""
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    cell = cut_cell(Image.fromarray(pixels), Box(0, 201, 101, 303, 151))
    blocks = pixels[70:182, 196:308].reshape(28, 4, 28, 4, 3).mean((1, 3))
    np.testing.assert_allclose(cell, blocks, atol=1)  # rounded along the rows, then along the columns


def test_beyond_the_picture_its_edge_is_repeated():
    pixels = grey(10)
    pixels[:, :20] = 200
    cell = cut_cell(Image.fromarray(pixels), Box(1, 0, 0, 40, 40))  # the square begins at -2
    assert cell.shape == (28, 28, 3) and (cell[:, :14] == 200).all() and (cell[:, 16:] == 10).all()


def test_a_cell_smaller_than_28_is_made_larger_smoothly():
    pixels = grey(0)
    pixels[:, 110:] = 240
    cell = cut_cell(Image.fromarray(pixels), Box(2, 105, 105, 115, 115))
    assert set(np.unique(cell)) - {0, 240}  # values in between: interpolated, not repeated


def test_rows_labels_and_splits_belong_together(tmp_path):
    for name, value in (("B", 50), ("A", 200), ("C", 100)):
        write(
            tmp_path,
            name,
            grey(value),
            [("Platelets", 10, 20, 50, 60), ("RBC", 100, 100, 180, 190)][: 1 + (name > "A")],
        )
    arrays = prepare(tmp_path, lists(tmp_path, train=["C"], val=["A"], test=["B"]))
    assert arrays["picture_id"].tolist() == ["A", "B", "C"]
    assert arrays["picture_split"].tolist() == ["val", "test", "train"]
    assert arrays["source"].tolist() == ["A", "B", "B", "C", "C"]
    assert arrays["split"].tolist() == ["val", "test", "test", "train", "train"]
    assert arrays["label"].tolist() == arrays["box_label"].tolist() == [2, 2, 0, 2, 0]
    assert arrays["box_picture"].tolist() == [0, 1, 1, 2, 2]
    assert arrays["box"][2].tolist() == [50, 50, 90, 95]
    assert np.abs(arrays["image"].mean((1, 2, 3)) - [200, 50, 50, 100, 100]).max() <= 1
    assert np.abs(arrays["picture"].mean((1, 2, 3)) - [200, 50, 100]).max() <= 1


def test_a_box_without_area_is_left_out(tmp_path):
    write(tmp_path, "A", grey(), [("RBC", 5, 5, 5, 9), ("WBC", 5, 5, 60, 60), ("RBC", 7, 9, 9, 8)])
    lists(tmp_path, train=["A"])
    assert read_boxes(tmp_path, "A") == [Box(1, 5, 5, 60, 60)]


def test_red_cells_are_drawn_and_the_rare_ones_kept():
    label = np.repeat([0, 1, 0, 2], [1000, 5, 1000, 5])
    rows = choose(label)
    assert np.bincount(label[rows]).tolist() == [1500, 5, 5]
    assert len(set(rows.tolist())) == 1510 and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, choose(label))


def test_what_is_no_such_set_is_refused(tmp_path):
    write(tmp_path, "A", grey()[:100], [])
    with pytest.raises(ValueError, match="A.jpg must be 640 x 480, got 640 x 100"):
        read_picture(tmp_path, "A")
    write(tmp_path, "B", grey(), [("WBCs", 1, 1, 9, 9)])
    with pytest.raises(ValueError, match=r"B.xml is no VOC file of BCCD: .*one of RBC, WBC, Platelets, got 'WBCs'"):
        read_boxes(tmp_path, "B")
    for text in ("<annotation>", "<a><object><name>RBC</name></object></a>"):
        (tmp_path / boxes_name("B")).write_text(text)
        with pytest.raises(ValueError, match="B.xml is no VOC file of BCCD"):
            read_boxes(tmp_path, "B")
    files = lists(tmp_path, train=["A"], val=["A"])
    with pytest.raises(ValueError, match="picture A is twice"):
        prepare(tmp_path, files)
    lists(tmp_path, train=["A"])
    with pytest.raises(ValueError, match="A.jpg is in a list of the split, but not among the files"):
        prepare(tmp_path, [])
