"""The manifest that is shipped, and manifests that are wrong."""

import gzip
import re

import pytest

from data_scripts.manifest import MANIFEST, read_manifest
from tutorial_lib.lab.real import SETS

ENTRY = """
[one]
title = "t"
homepage = "h"
urls = ["u"]
licence = "l"
licence_url = "lu"
citation = ["c"]
arrays_sha256 = "00"
[one.files]
"a/b.dat" = {{ size = 3, sha256 = "AB" }}
{more}
"""


def test_mitbih_is_48_records_of_three_files():
    entry = read_manifest()["mitbih"]
    assert len(entry.files) == 144 and len({file.name for file in entry.files}) == 144
    records = {file.name.split(".")[0] for file in entry.files}
    assert {file.name for file in entry.files} == {f"{r}.{end}" for r in records for end in ("hea", "dat", "atr")}
    # 650,000 samples of two leads, 12 bits each.
    assert {file.size for file in entry.files if file.name.endswith(".dat")} == {650_000 * 3}
    assert entry.size == sum(file.size for file in entry.files)


def test_every_set_has_terms_checksums_and_a_place():
    manifest = read_manifest()
    assert set(manifest) == set(SETS)
    for entry in manifest.values():
        assert entry.urls and all(re.fullmatch(r"https://\S+/", url) for url in entry.urls)
        assert entry.licence and entry.citation and entry.homepage.startswith("https://")
        assert re.fullmatch(r"[0-9a-f]{64}", entry.arrays_sha256)
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) and file.size > 0 for file in entry.files)
        assert len({file.sha256 for file in entry.files}) == len(entry.files)
        assert (MANIFEST.parent / f"{entry.name}.py").is_file()


def test_hashes_are_read_in_lower_case(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(ENTRY.format(more=""))
    assert read_manifest(path)["one"].files[0].sha256 == "ab"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "c:x", "a\\\\..\\\\x", ""])
def test_a_name_that_points_outside_is_refused(tmp_path, name):
    path = tmp_path / "m.toml"
    path.write_text(ENTRY.format(more=f'"{name}" = {{ size = 1, sha256 = "00" }}'))
    with pytest.raises(ValueError, match="'one': file name"):
        read_manifest(path)


@pytest.mark.parametrize("gone", ["title", "urls", "files", "arrays_sha256", "sha256"])
def test_a_missing_key_is_named(tmp_path, gone):
    path = tmp_path / "m.toml"
    path.write_text(ENTRY.format(more="").replace(gone, "other"))
    with pytest.raises(ValueError, match=f"set 'one' is not complete.*{gone}"):
        read_manifest(path)


def test_what_is_no_toml_is_said(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not valid TOML"):
        read_manifest(path)
    path.write_text("one = 3")
    with pytest.raises(ValueError, match="set 'one' is not complete"):
        read_manifest(path)


LISTED = re.sub(r"\[one\.files\].*", 'files = "one.csv.gz"\narchives = ["x"]', ENTRY, flags=re.DOTALL)


def test_files_may_stand_in_a_listing_beside_the_manifest(tmp_path):
    (tmp_path / "m.toml").write_text(LISTED)
    (tmp_path / "one.csv.gz").write_bytes(gzip.compress("name,size,sha256\na/ü.dat,3,AB\nb,0,cd\n".encode(), mtime=0))
    entry = read_manifest(tmp_path / "m.toml")["one"]
    assert [(file.name, file.size, file.sha256) for file in entry.files] == [("a/ü.dat", 3, "ab"), ("b", 0, "cd")]
    assert entry.archives == ("x",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "listing one.csv.gz cannot be read"),
        (b"no gzip", "listing one.csv.gz cannot be read"),
        (gzip.compress(b"name,size,sha256\n../x,3,ab\n", mtime=0), "file name '../x' must be a relative path"),
        (gzip.compress(b"name,size\nx,3\n", mtime=0), "not complete.*sha256"),
        (gzip.compress(b"name,size,sha256\nx,many,ab\n", mtime=0), "many"),
    ],
)
def test_a_listing_that_is_none_is_said(tmp_path, content, reason):
    (tmp_path / "m.toml").write_text(LISTED)
    if content is not None:
        (tmp_path / "one.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match=f"set 'one'.*{reason}"):
        read_manifest(tmp_path / "m.toml")


def test_every_listing_is_of_a_set():
    listings = {path.name.removesuffix(".csv.gz") for path in MANIFEST.parent.glob("*.csv.gz")}
    assert listings and listings <= set(read_manifest())
