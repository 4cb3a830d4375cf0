"""From the command line to a prepared set, on two small records and the local server."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_scripts import build as building
from data_scripts.__main__ import main
from data_scripts.build import arrays_digest, write_npz
from tutorial_lib.lab.real import data_folder, load_real, prepared_path

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:wfdb")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sets"


@pytest.fixture
def run(small_manifest, folder):
    def run(*arguments):
        common = ["--manifest", str(small_manifest), "--folder", str(folder), "--timeout", "2", "--retries", "0"]
        return main([*arguments, *common])

    return run


def prepared(folder):
    return folder / "mitbih/mitbih_windows_10s_90hz.npz"


def test_from_nothing_to_arrays(run, folder, server, capsys):
    assert run("mitbih") == 0
    out = capsys.readouterr().out
    for text in ("a licence", "http://licence.invalid/", "somebody, somewhere", "6 files fetched"):
        assert text in out
    assert out.index("a licence") < out.index("somebody") < out.index("Fetching")  # said before anything is fetched
    assert "equal to the tested arrays" in out
    assert load_real("mitbih", folder)["signal"].shape == (360, 2, 900)
    assert sorted(name for name, _ in server.requests) == sorted(server.files)


def test_a_second_run_asks_nobody_anything(run, folder, server, capsys):
    run("mitbih")
    before, asked = prepared(folder).read_bytes(), len(server.requests)
    assert run("mitbih") == 0
    assert "Already prepared" in capsys.readouterr().out
    assert len(server.requests) == asked and prepared(folder).read_bytes() == before


def test_a_damaged_set_is_made_again_from_the_raw_files(run, folder, server):
    run("mitbih")
    whole, asked = prepared(folder).read_bytes(), len(server.requests)
    for damage in (whole[: len(whole) // 2], b"", whole[:-2000] + bytes(2000)):
        prepared(folder).write_bytes(damage)
        assert run("mitbih") == 0
        assert prepared(folder).read_bytes() == whole
    assert len(server.requests) == asked


def test_a_damaged_raw_file_alone_is_fetched_again(run, folder, server):
    run("mitbih")
    prepared(folder).unlink()
    raw = folder / "mitbih/raw/101.atr"
    raw.write_bytes(raw.read_bytes()[::-1])
    server.requests.clear()
    assert run("mitbih") == 0
    assert [name for name, _ in server.requests] == ["101.atr"]


def test_what_a_killed_run_left_does_no_harm(run, folder, server):
    raw = folder / "mitbih/raw"
    raw.mkdir(parents=True)
    (raw / "100.dat.part").write_bytes(server.files["100.dat"][:1000])
    (raw.parent / f"{prepared(folder).name}.tmp").write_bytes(b"half")
    assert run("mitbih") == 0
    assert server.ranges("100.dat") == ["bytes=1000-"]
    names = {path.name for path in raw.parent.iterdir()} - {".lock"}
    assert names == {"raw", prepared(folder).name}


def test_a_dead_host_gives_the_way_by_hand(run, folder, server, capsys):
    server.always["101.dat"] = 404
    assert run("mitbih") == 1
    error = capsys.readouterr().err
    raw = folder / "mitbih/raw"
    for text in (
        "101.dat: answered 404",
        "By hand",
        "http://home.invalid/",
        str(raw),
        "--source",
        "100.atr to 101.hea",
    ):
        assert text in error
    assert not prepared(folder).exists() and (raw / "100.dat").is_file()
    # The way by hand works: the file is put there, and the same command goes on.
    (raw / "101.dat").write_bytes(server.files["101.dat"])
    (raw / "101.hea").write_bytes(server.files["101.hea"])
    server.always = dict.fromkeys(server.files, 500)
    assert run("mitbih") == 0


def test_source_is_a_folder(run, folder, server, records):
    assert run("mitbih", "--source", str(records)) == 0
    assert server.requests == [] and not (folder / "mitbih/raw").exists()
    assert load_real("mitbih", folder)["record"].shape == (360,)


def test_source_is_a_mirror(run, folder, server, small_manifest):
    small_manifest.write_text(small_manifest.read_text().replace(server.url, "http://127.0.0.1:9/"))
    assert run("mitbih", "--source", server.url) == 0
    assert prepared(folder).is_file()


def test_a_source_that_is_none_is_said(run, folder, records, tmp_path, capsys):
    assert run("mitbih", "--source", str(tmp_path / "nowhere")) == 1
    assert "--source must be a folder or an address" in capsys.readouterr().err
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in records.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "100.hea").write_bytes((copy / "100.hea").read_bytes().replace(b"\n", b"\r\n"))
    assert run("mitbih", "--source", str(copy)) == 1
    assert "1 files are not those of http://home.invalid/: 100.hea" in capsys.readouterr().err
    (copy / "101.dat").unlink()
    assert run("mitbih", "--source", str(copy)) == 1
    assert "lacks 1 files of mitbih: 101.dat" in capsys.readouterr().err
    assert not prepared(folder).exists()


def test_arrays_that_differ_are_said(run, small_manifest, folder, capsys):
    text = small_manifest.read_text()
    at = text.index("arrays_sha256") + len('arrays_sha256 = "')
    small_manifest.write_text(text[:at] + "0" * 64 + text[at + 64 :])
    assert run("mitbih") == 0
    assert "differ from the tested ones" in capsys.readouterr().out
    assert prepared(folder).is_file()


def test_list_shows_what_is_there(run, folder, capsys):
    assert run() == 0
    assert "not prepared" in capsys.readouterr().out
    run("mitbih")
    capsys.readouterr()
    assert run("list") == 0
    out = capsys.readouterr().out
    assert "not prepared" not in out and "prepared" in out
    assert str(folder) in out and "a licence" in out and "3.9 MB" in out


def test_wrong_use_is_status_2(run, folder, tmp_path, capsys):
    assert run("mitbhi") == 2
    assert "did you mean 'mitbih'?" in capsys.readouterr().err
    assert run("x") == 2
    assert "there are: mitbih" in capsys.readouterr().err
    assert main(["--manifest", str(tmp_path / "none.toml")]) == 2
    assert "cannot read the manifest" in capsys.readouterr().err
    for wrong in (["--timeout", "0"], ["--retries", "-1"], ["--timeout", "soon"]):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_one_line(small_manifest, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["mitbih", "--manifest", str(small_manifest), "--folder", str(tmp_path / "file")]) == 1
    assert "cannot write in" in capsys.readouterr().err


def test_ctrl_c_is_status_130(run, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "fetch_all", stop)
    assert run("mitbih") == 130
    assert "goes on from there" in capsys.readouterr().err


def test_a_missing_library_is_said_before_the_download(run, server, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    monkeypatch.delitem(sys.modules, "data_scripts.mitbih", raising=False)
    assert run("mitbih") == 1
    assert 'wfdb is not installed; run: pip install -e ".[data]"' in capsys.readouterr().err
    assert server.requests == []


def test_two_processes_at_once_fetch_each_file_once(small_manifest, folder, server):
    server.script["100.atr"] = [("stall", 0)]
    command = [sys.executable, "-u", "-m", "data_scripts", "mitbih", "--manifest", str(small_manifest)]
    command += ["--folder", str(folder)]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not server.requests:  # then it holds the lock
        assert first.poll() is None
        time.sleep(0.01)
    second = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert any("waiting for it" in line for line in second.stdout)
    server.release.set()
    assert "6 files fetched" in first.communicate(timeout=60)[0]
    assert "Already prepared" in second.communicate(timeout=60)[0]
    assert first.returncode == second.returncode == 0
    assert sorted(name for name, _ in server.requests) == sorted([*server.files, "100.atr"])  # one was cut
    assert load_real("mitbih", folder)["label"].shape == (360, 11)


def test_an_npz_is_the_same_bytes_each_time(tmp_path):
    arrays = {"a": np.arange(1000), "b": np.array(["x", "yz"]), "c": np.float32(2)}
    write_npz(tmp_path / "1.npz", arrays)
    os.utime(tmp_path / "1.npz", (0, 0))
    write_npz(tmp_path / "2.npz", arrays)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    with np.load(tmp_path / "1.npz", allow_pickle=False) as archive:
        assert archive.files == ["a", "b", "c"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_npz_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "set.npz"
    write_npz(path, {"a": np.zeros(3)})
    before = path.read_bytes()
    (tmp_path / "set.npz.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_npz(path, {"a": np.ones(3)})
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["set.npz"]


def test_the_digest_sees_every_difference():
    base = {"a": np.arange(6).reshape(2, 3), "b": np.array(["x"])}
    others = [
        {**base, "a": base["a"].reshape(3, 2)},
        {**base, "a": base["a"].astype(np.int32)},
        {**base, "a": base["a"] + (base["a"] == 5)},
        {**base, "b": np.array(["y"])},
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"]},
    ]
    assert len({arrays_digest(arrays) for arrays in [base, *others]}) == 7
    assert arrays_digest({**base, "a": np.asfortranarray(base["a"])}) == arrays_digest(base)


# --- reading a prepared set: tutorial_lib.lab.real ---


def test_a_missing_set_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python -m data_scripts mitbih"):
        load_real("mitbih")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_set_is_a_value_error():
    with pytest.raises(ValueError, match=r"name must be a prepared set \(.*la2018, .*mitbih, .*\), got 'mnist'"):
        load_real("mnist")


@pytest.mark.parametrize("content", [b"", b"no npz", b"PK\x03\x04 cut"])
def test_an_unreadable_set_names_the_command(tmp_path, content):
    path = prepared_path("mitbih", tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(OSError, match="not a readable prepared set.*python -m data_scripts mitbih"):
        load_real("mitbih", tmp_path)


def test_pickles_are_never_read(tmp_path):
    path = prepared_path("mitbih", tmp_path)
    path.parent.mkdir()
    np.savez(path, signal=np.array([{}], dtype=object))
    with pytest.raises(OSError, match="not a readable prepared set"):
        load_real("mitbih", tmp_path)


def test_the_folder_is_the_argument_then_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path / "variable"))
    assert data_folder(tmp_path / "argument") == tmp_path / "argument"
    assert data_folder() == tmp_path / "variable"
    monkeypatch.setenv("TUTORIAL_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder().name == "tutorial_lib"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder("~/sets") == tmp_path / "sets"
