"""The recipes of the chest X-rays: what of them shows in the references, and pictures whose answer is known.

The pictures themselves lie nowhere beside the checkout: when the recipes were written, all of them gave the references
bit for bit (which ``arrays_sha256`` in the manifest says of every machine that prepares them).
"""

import csv
import hashlib

import numpy as np
import pytest

pytest.importorskip("PIL", reason='the recipe needs pillow: pip install -e ".[data]"')

from PIL import Image

from data_scripts import chest_masks, chest_xray
from data_scripts.__main__ import main
from data_scripts.build import arrays_digest
from data_scripts.manifest import RemoteFile, read_manifest
from data_scripts.splits import hashed_split
from tutorial_lib.lab.real import load_real


def remote(name: str, content: bytes) -> RemoteFile:
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())


# --- the references, where they lie beside the checkout (their originals do not) ---


@pytest.fixture(params=["chest_masks", "chest_xray"])
def reference(request, shared_data):
    file = {"chest_masks": "covid_cxr_seg_128.npz", "chest_xray": "covid_cxr_3class_96.npz"}[request.param]
    with np.load(shared_data / "chest_xray" / file, allow_pickle=False) as archive:
        return request.param, {name: archive[name] for name in archive.files}


def test_the_manifest_promises_the_references_arrays(reference):
    name, arrays = reference
    assert read_manifest()[name].arrays_sha256 == arrays_digest(arrays)


def test_names_order_and_split_are_those_of_the_reference(reference):
    name, arrays = reference
    files = [file.name for file in read_manifest()[name].files]
    if name == "chest_masks":
        pictures = sorted(file.removeprefix("images/") for file in files if file.startswith("images/"))
    else:
        pictures = [file.rpartition("/")[2] for file in chest_xray.in_order(files)]
    assert pictures == arrays["filename"].tolist()
    np.testing.assert_array_equal(hashed_split("", arrays["patient"]), arrays["split"])


def test_no_patient_is_on_two_sides_of_the_two_sets(shared_data):
    sides: dict[str, set[str]] = {}
    for file in ("covid_cxr_seg_128.npz", "covid_cxr_3class_96.npz"):
        with np.load(shared_data / "chest_xray" / file, allow_pickle=False) as arrays:
            for patient, side in zip(arrays["patient"], arrays["split"]):
                sides.setdefault(str(patient), set()).add(str(side))
    assert all(len(found) == 1 for found in sides.values())


def test_nih_patients_are_in_the_names(shared_data):
    with np.load(shared_data / "chest_xray/covid_cxr_3class_96.npz", allow_pickle=False) as arrays:
        rows = np.flatnonzero(arrays["label"] != 2)
        ours = [chest_xray.patient_of(str(arrays["filename"][k]), int(arrays["label"][k]), {}) for k in rows]
        assert ours == arrays["patient"][rows].tolist()


# --- known answers ---


def table(path, *rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_masks(folder, pieces, size=(256, 256), picture=None):
    """One picture ``a.png`` of patient 7, and its masks: (structure, top, left, (height, width) bool)."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", size, 100) if picture is None else picture
    picture.save(folder / "images/a.png")
    header = ("filename", "patientid", "finding", "view", "license")
    table(folder / "metadata.csv", header, ("a.png", "7", "SARS", "PA", ""), ("other.png", "8", "", "", ""))
    rows, files = [], ["images/a.png", "metadata.csv", "structure.csv"]
    for number, (kind, top, left, inside) in enumerate(pieces):
        name = "" if inside is None else f"masks/{number}.png"
        rows.append(("a.png", f"COVID-19 {kind}", name, top, left))
        if inside is not None:
            colour = np.zeros((*inside.shape, 4), np.uint8)
            colour[..., 3] = 255  # the published cut-outs are opaque: a colour on black
            colour[inside] = (0, 33, 124, 255)
            Image.fromarray(colour).save(folder / name)
            files.append(name)
    table(folder / "structure.csv", ("Filename", "Class", "Mask", "Top", "Left"), *rows)
    return files


def test_masks_lie_where_the_table_says_and_need_half(tmp_path):
    block, half = np.ones((20, 40), bool), np.zeros((4, 4), bool)
    half[:2, 0] = half[:, 2] = True  # of the 2 x 2 parts one has two pixels, one none, then two and two
    files = write_masks(
        tmp_path,
        [
            ("Left Lung", 10, 100, block),
            ("Left Lung", 100, 10, block),
            ("Tubings", 0, 0, half),
            ("Endotracheal Tube", 50, 50, np.eye(2, dtype=bool)),
            ("Monitoring Probes", 0, 0, None),
            ("Pneumothorax", 0, 0, np.ones((9, 9), bool)),
        ],
    )
    arrays = chest_masks.prepare(tmp_path, files)
    expected = np.zeros((7, 128, 128), np.uint8)
    expected[0, 5:15, 50:70] = expected[0, 50:60, 5:25] = 1
    expected[6, 0, 0] = expected[6, 0:2, 1] = expected[6, 25, 25] = 1
    np.testing.assert_array_equal(arrays["mask"], [expected])
    assert arrays["has_mask"].tolist() == [[True, False, False, False, False, False, True]]
    assert (arrays["image"] == 100).all() and arrays["original_size"].tolist() == [[256, 256]]
    texts = {name: arrays[name].tolist() for name in ("finding", "view", "patient", "licence", "filename")}
    assert list(texts.values()) == [["SARS"], ["PA"], ["ieee8023:7"], ["not stated"], ["a.png"]]


def test_a_mask_that_is_named_but_missing_is_not_known(tmp_path):
    arrays = chest_masks.prepare(tmp_path, write_masks(tmp_path, [("Airways", 0, 0, None)]))
    assert not arrays["has_mask"].any() and not arrays["mask"].any()


def test_transparent_is_black_and_colour_is_luma(tmp_path):
    pixels = np.zeros((128, 256, 4), np.uint8)
    pixels[...] = (200, 100, 50, 255)
    pixels[:, :128, 3] = 0
    write_masks(tmp_path, [], picture=Image.fromarray(pixels))
    image = chest_masks.small(tmp_path / "images/a.png", 128)
    assert not image[:, :64].any() and np.abs(image[:, 64:] - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)).max() <= 1


def test_values_are_means_of_their_part(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (192, 288), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    exact = values.reshape(96, 2, 96, 3).mean((1, 3))
    assert np.abs(chest_masks.small(tmp_path / "a.png", 96) - exact).max() <= 1


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([("Spleen", 0, 0, np.ones((2, 2), bool))], "unknown structure, 'COVID-19 Spleen'"),
        ([("Airways", 250, 0, np.ones((9, 2), bool))], "masks/0.png reaches beyond its picture of 256 x 256"),
    ],
)
def test_masks_that_are_not_as_described_are_refused(tmp_path, pieces, message):
    files = write_masks(tmp_path, pieces)
    with pytest.raises(ValueError, match=message):
        chest_masks.prepare(tmp_path, files)


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    files = write_masks(tmp_path, [("Airways", 0, 0, np.ones((2, 2), bool))])
    with pytest.raises(ValueError, match=r"names masks/0.png, which is not among the files"):
        chest_masks.prepare(tmp_path, files[:-1])
    with pytest.raises(ValueError, match=r"metadata.csv has no row for b.png"):
        chest_masks.prepare(tmp_path, [*files, "images/b.png"])
    (tmp_path / "images/a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a.png is no picture"):
        chest_masks.prepare(tmp_path, files)


def write_classes(folder):
    """A picture of each class, whose grey value is its class's number."""
    names = {"Covid-19": "z.png", "No_findings": "00000012_003.png", "Pneumonia": "00000012_001.png"}
    files = []
    for value, (kind, name) in enumerate(names.items()):
        files.append(f"X-Ray Image DataSet/{kind}/{name}")
        (folder / files[-1]).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (200, 120), value).save(folder / files[-1])
    table(folder / "metadata.csv", ("filename", "patientid"), ("z.png", "40"))
    table(folder / "structure.csv", ("Filename",), ("z.png",), ("z.png",))
    return [*files, "metadata.csv", "structure.csv"]


def test_classes_patients_and_order(tmp_path):
    arrays = chest_xray.prepare(tmp_path, write_classes(tmp_path)[::-1])
    assert arrays["image"][:, 0, 0].tolist() == [0, 1, 2] and arrays["image"].shape == (3, 96, 96)
    assert arrays["class_names"][arrays["label"]].tolist() == ["covid19", "no_finding", "pneumonia"]
    assert arrays["patient"].tolist() == ["ieee8023:40", "nih:00000012", "nih:00000012"]
    assert arrays["in_seg_set"].tolist() == [True, False, False]
    assert arrays["split"][1] == arrays["split"][2]


def test_what_is_no_such_set_is_refused(tmp_path):
    files = write_classes(tmp_path)
    with pytest.raises(ValueError, match="in none of the folders Covid-19, No_findings, Pneumonia"):
        chest_xray.prepare(tmp_path, [*files, "X-Ray Image DataSet/Flu/a.png"])
    table(tmp_path / "metadata.csv", ("filename", "patientid"), ("y.png", "40"))
    with pytest.raises(ValueError, match=r"metadata.csv has no row for z.png"):
        chest_xray.prepare(tmp_path, files)


# --- from a server ---


def test_pictures_and_tables_come_from_two_addresses(tmp_path, server, capsys):
    """As in the manifest: what the first repository lacks, the next has."""
    files = write_classes(tmp_path / "raw")
    lines = [
        "[chest_xray]",
        'title = "Three pictures"',
        'homepage = "http://home.invalid/"',
        f'urls = ["{server.url}pictures/", "{server.url}tables/"]',
        'licence = "a licence"',
        'licence_url = "http://licence.invalid/"',
        'citation = ["somebody, somewhere"]',
        f'arrays_sha256 = "{arrays_digest(chest_xray.prepare(tmp_path / "raw", files))}"',
        "[chest_xray.files]",
    ]
    for name in files:
        content = (tmp_path / "raw" / name).read_bytes()
        address = ("tables/" if name.endswith(".csv") else "pictures/") + name.replace(" ", "%20")
        server.files[address] = content
        entry = remote(name, content)
        lines.append(f'"{name}" = {{ size = {entry.size}, sha256 = "{entry.sha256}" }}')
    manifest, folder = tmp_path / "manifest.toml", tmp_path / "sets"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    common = ["--manifest", str(manifest), "--folder", str(folder), "--timeout", "2", "--retries", "0"]
    assert main(["chest_xray", *common]) == 0
    out = capsys.readouterr().out
    assert "5 files fetched" in out and "equal to the tested arrays" in out
    assert load_real("chest_xray", folder)["label"].tolist() == [2, 0, 1]


def test_masks_come_from_the_server_too(tmp_path, server, capsys):
    files = write_masks(tmp_path / "raw", [("Right Lung", 10, 20, np.ones((30, 40), bool))])
    lines = ["[chest_masks]", 'title = "One"', 'homepage = "http://home.invalid/"', f'urls = ["{server.url}"]']
    lines += ['licence = "a licence"', 'licence_url = "http://licence.invalid/"', 'citation = ["somebody"]']
    lines += ['arrays_sha256 = "0"', "[chest_masks.files]"]
    for name in files:
        server.files[name] = (tmp_path / "raw" / name).read_bytes()
        entry = remote(name, server.files[name])
        lines.append(f'"{name}" = {{ size = {entry.size}, sha256 = "{entry.sha256}" }}')
    manifest, folder = tmp_path / "manifest.toml", tmp_path / "sets"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    assert main(["chest_masks", "--manifest", str(manifest), "--folder", str(folder), "--retries", "0"]) == 0
    assert "differ from the tested ones" in capsys.readouterr().out
    assert load_real("chest_masks", folder)["mask"].sum(dtype=int) == 15 * 20
