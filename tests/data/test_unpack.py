"""Archives that try to write where they should not."""

import io
import stat
import tarfile
import zipfile

import pytest

from data_scripts.unpack import unpack

OUTSIDE = ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil", "\\evil", "//host/share/evil"]


def make_zip(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.filename = name  # ZipInfo tidies some names; an attacker does not
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def make_tar(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def nothing_written(tmp_path, *known):
    return sorted(path.name for path in tmp_path.iterdir()) == sorted(known)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_good_archive_is_unpacked_whole(tmp_path, kind):
    if kind == "zip":
        archive = make_zip(
            tmp_path / "a", ("d/", b"", stat.S_IFDIR | 0o755), ("d/x.txt", b"x" * 1000, 0), ("y", b"", 0)
        )
    else:
        members = [("d", b"", tarfile.DIRTYPE, ""), ("d/x.txt", b"x" * 1000, tarfile.REGTYPE, "")]
        archive = make_tar(tmp_path / "a", *members, ("y", b"", tarfile.REGTYPE, ""))
    assert unpack(archive, tmp_path / "out", max_bytes=1000) == tmp_path / "out"
    assert (tmp_path / "out/d/x.txt").read_bytes() == b"x" * 1000
    assert (tmp_path / "out/y").read_bytes() == b""
    assert nothing_written(tmp_path, "a", "out")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_zip_member_outside_is_refused(tmp_path, name):
    archive = make_zip(tmp_path / "a.zip", ("good", b"1", 0), (name, b"2", 0))
    with pytest.raises(ValueError, match="outside"):
        unpack(archive, tmp_path / "out", max_bytes=100)
    assert nothing_written(tmp_path, "a.zip")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_tar_member_outside_is_refused(tmp_path, name):
    archive = make_tar(tmp_path / "a.tgz", ("good", b"1", tarfile.REGTYPE, ""), (name, b"2", tarfile.REGTYPE, ""))
    with pytest.raises(ValueError, match="outside"):
        unpack(archive, tmp_path / "out", max_bytes=100)
    assert nothing_written(tmp_path, "a.tgz")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    archive = make_tar(tmp_path / "a.tgz", ("good", b"1", tarfile.REGTYPE, ""), ("link", b"", kind, "good"))
    with pytest.raises(ValueError, match="link or a device"):
        unpack(archive, tmp_path / "out", max_bytes=100)
    assert nothing_written(tmp_path, "a.tgz")


def test_links_in_a_zip_are_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", ("link", b"/etc/passwd", stat.S_IFLNK | 0o777))
    with pytest.raises(ValueError, match="link or a device"):
        unpack(archive, tmp_path / "out", max_bytes=100)
    assert nothing_written(tmp_path, "a.zip")


def test_a_bomb_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", ("zeros", bytes(10**6), 0))
    assert archive.stat().st_size < 5000
    with pytest.raises(ValueError, match="1,000,000 bytes unpacked, more than max_bytes=999,999"):
        unpack(archive, tmp_path / "out", max_bytes=999_999)
    assert nothing_written(tmp_path, "a.zip")


@pytest.mark.parametrize(
    ("kind", "damage"),
    # A flipped bit in a .tar.gz may lie where nobody looks (its checksum comes after the last member): the
    # archive's own SHA-256 in the manifest is what guards against that.
    [("zip", "cut"), ("zip", "flip"), ("zip", "text"), ("tar", "cut"), ("tar", "text")],
)
def test_a_broken_archive_leaves_nothing(tmp_path, kind, damage):
    content = bytes(range(256)) * 40
    if kind == "zip":
        archive = make_zip(tmp_path / "a", ("x", content, 0))
    else:
        archive = make_tar(tmp_path / "a", ("x", content, tarfile.REGTYPE, ""))
    data = bytearray(archive.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[len(data) // 2] ^= 0xFF
    archive.write_bytes(b"no archive" if damage == "text" else data)
    with pytest.raises(ValueError, match="archive"):
        unpack(archive, tmp_path / "out", max_bytes=10**6)
    assert nothing_written(tmp_path, "a")


def test_an_existing_folder_is_never_written_into(tmp_path):
    archive = make_zip(tmp_path / "a.zip", ("x", b"new", 0))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("mine")
    with pytest.raises(FileExistsError, match="must not exist yet"):
        unpack(archive, tmp_path / "out", max_bytes=100)
    assert (tmp_path / "out/x").read_text() == "mine"
