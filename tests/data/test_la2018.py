"""The recipe of the left atrium: three real scans equal the reference, and volumes whose answer is known."""

import hashlib

import numpy as np
import pytest

pytest.importorskip("h5py", reason='the recipe needs h5py: pip install -e ".[data]"')

from data_scripts import manifest
from data_scripts.la2018 import blocks, middle, prepare, quantise, read_volume, volume_name

TRAIN, TEST = ["8M99G0JLAXG9GLPV0O8G", "FGM5NIWN3URY4HF4WNUW"], ["UPT6DX9IQY9JAZ7HJKA7"]


def write(folder, name, image, label):
    import h5py

    (folder / name).mkdir(parents=True)
    with h5py.File(folder / volume_name(name), "w") as file:
        for key, value in {"image": image, "label": label}.items():
            if value is not None:
                file.create_dataset(key, data=value, compression="gzip")


def lists(folder, train, test):
    for part, names in (("train", train), ("test", test)):
        (folder / f"{part}.list").write_text("".join(f"{name}\n" for name in names))
    return [volume_name(name) for name in (*train, *test)] + ["train.list", "test.list"]


# --- the real scans, where they lie beside the checkout ---


@pytest.fixture
def shared_la(shared_data):
    return shared_data / "la2018"


@pytest.fixture
def reference(shared_la):
    with np.load(shared_la / "la2018_64x48x32.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_three_originals_give_the_reference_arrays(shared_la, reference, tmp_path):
    files = lists(tmp_path, TRAIN, TEST)
    for name in TRAIN + TEST:
        (tmp_path / name).symlink_to(shared_la / "raw" / name)
    arrays = prepare(tmp_path, files)
    rows = [reference["id"].tolist().index(name) for name in TRAIN + TEST]
    assert set(arrays) == set(reference)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, reference[name][rows], err_msg=name)
        assert array.dtype == reference[name].dtype, name


def test_files_are_those_of_the_manifest(shared_la):
    known = {file.name: file for file in manifest.read_manifest()["la2018"].files}
    paths = [shared_la / "raw" / volume_name(name) for name in TRAIN + TEST]
    names = [volume_name(name) for name in TRAIN + TEST] + ["train.list", "test.list"]
    for path, name in zip([*paths, shared_la / "train.list", shared_la / "test.list"], names):
        data = path.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (known[name].size, known[name].sha256)


def test_manifest_holds_every_scan_of_the_reference(reference):
    known = {file.name for file in manifest.read_manifest()["la2018"].files}
    assert known == {volume_name(name) for name in reference["id"]} | {"train.list", "test.list"}


def test_the_reference_keeps_the_atrium(shared_la, reference):
    """What the head of the recipe says: at least 99.6 % of a label is inside the middle."""
    for name in TRAIN + TEST:
        label = read_volume(shared_la / "raw", name)[1]
        assert middle(label, fill=0).sum() >= 0.996 * label.sum() > 0


# --- known answers ---


@pytest.mark.parametrize("shape", [(150, 132, 88), (200, 150, 88), (193, 145, 97), (192, 144, 96)])
def test_a_box_stays_where_it_is(tmp_path, shape):
    """A box of whole blocks, placed around the volume's middle, comes out as the same box in blocks."""
    image, label = np.full(shape, -1.0, np.float32), np.zeros(shape, np.uint8)
    # Where block (20, 15, 10) of the result begins in the original.
    start = [block * 3 - (want - have) // 2 if have < want else block * 3 + (have - want) // 2
             for block, want, have in zip((20, 15, 10), (192, 144, 96), shape)]  # fmt: skip
    box = tuple(slice(at, at + 3 * length) for at, length in zip(start, (5, 4, 3)))
    image[box], label[box] = 2.0, 1
    write(tmp_path, "A", image, label)
    arrays = prepare(tmp_path, lists(tmp_path, ["A"], []))
    expected = np.zeros((64, 48, 32), np.uint8)
    expected[20:25, 15:19, 10:13] = 1
    np.testing.assert_array_equal(arrays["label"][0], expected)
    np.testing.assert_array_equal(arrays["original_shape"], [shape])
    assert arrays["lo"] == [-1.0] and arrays["is_test"].tolist() == [False]
    # 60 blocks are less than a thousandth of all: the 99.9 % point is the background's, and the box is clipped.
    assert arrays["hi"] == [-1.0]
    np.testing.assert_array_equal(arrays["image"][0], 255 * expected)


def test_label_needs_half_of_the_block(tmp_path):
    """13 of 27 voxels are too few, 14 are enough."""
    image, label = np.random.default_rng(0).normal(size=(192, 144, 96)).astype(np.float32), np.zeros((192, 144, 96))
    for block, voxels in enumerate((0, 1, 13, 14, 27)):
        for voxel in range(voxels):
            label[voxel // 9, voxel // 3 % 3, 3 * block + voxel % 3] = 1
    write(tmp_path, "A", image, label.astype(np.uint8))
    result = prepare(tmp_path, lists(tmp_path, ["A"], []))["label"][0]
    assert result[0, 0, :5].tolist() == [0, 0, 0, 1, 1] and result.sum() == 2


def test_grey_values_come_back_to_half_a_step(tmp_path):
    image = np.random.default_rng(0).normal(size=(180, 140, 88)).astype(np.float32)
    write(tmp_path, "A", image, np.zeros(image.shape, np.uint8))
    arrays = prepare(tmp_path, lists(tmp_path, [], ["A"]))
    lo, hi = arrays["lo"][0], arrays["hi"][0]
    back = lo + arrays["image"][0] / 255 * (hi - lo)
    exact = blocks(middle(image.astype(float), fill=image.min())).mean((1, 3, 5))
    assert np.abs(back - np.minimum(exact, hi)).max() <= (hi - lo) / 255 / 2 + 1e-5
    assert (exact > hi).mean() == pytest.approx(0.001, abs=1e-4)
    assert arrays["is_test"].tolist() == [True]


def test_order_is_that_of_the_lists(tmp_path):
    rng = np.random.default_rng(0)
    for name in "CAB":
        write(tmp_path, name, rng.normal(size=(150, 140, 88)).astype(np.float32), np.zeros((150, 140, 88), np.uint8))
    arrays = prepare(tmp_path, lists(tmp_path, ["B", "A"], ["C"]))
    assert arrays["id"].tolist() == ["B", "A", "C"] and arrays["is_test"].tolist() == [False, False, True]


def test_middle():
    assert middle(np.arange(7), fill=0, size=(3,)).tolist() == [2, 3, 4]
    assert middle(np.arange(6), fill=0, size=(3,)).tolist() == [1, 2, 3]  # an odd voxel more goes off at the end
    assert middle(np.ones((1, 4), np.int8), fill=-1, size=(2, 2)).tolist() == [[1, 1], [-1, -1]]


def test_a_volume_of_one_grey_value_is_all_zero():
    values, lo, hi = quantise(np.full((2, 2), 3.0, np.float32))
    assert not values.any() and lo == hi == 3


def test_quantise_ends():
    grey = np.linspace(-2, 5, 10_001)
    values, lo, hi = quantise(grey)
    assert (lo, values.min(), values.max()) == (-2, 0, 255)
    assert hi == pytest.approx(4.993, abs=1e-3) and (values[grey >= hi] == 255).all()


def test_what_is_no_scan_is_refused(tmp_path):
    good = np.zeros((150, 140, 88), np.float32)
    write(tmp_path, "A", good, None)
    with pytest.raises(ValueError, match="A/mri_norm2.h5 must hold image and label, lacks label"):
        read_volume(tmp_path, "A")
    write(tmp_path, "B", good, np.full(good.shape, 2, np.uint8))
    with pytest.raises(ValueError, match="labels 0 and 1 of its shape"):
        read_volume(tmp_path, "B")
    write(tmp_path, "C", good, np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"got float32 \(150, 140, 88\) and uint8 \(2, 2, 2\)"):
        read_volume(tmp_path, "C")
    with pytest.raises(ValueError, match="D/mri_norm2.h5 is in a list, but not among the files"):
        lists(tmp_path, ["D"], [])
        prepare(tmp_path, ["train.list", "test.list"])
