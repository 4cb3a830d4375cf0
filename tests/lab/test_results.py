"""Stored results: what is saved is what is read, never half a file."""

import hashlib
import json

import numpy as np
import pytest
import torch

from tutorial_lib.lab import results


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "results_folder", lambda: tmp_path)
    return tmp_path


def test_round_trip_with_what_repeats_it(folder):
    data = folder / "data.npz"
    data.write_bytes(b"abc")
    rows = [{"method": "plain", "seed": np.int64(3), "score": np.float32(0.123456)}, {"method": "müde", "score": 1}]
    results.save_result("r", rows, command="do it", seconds=12.3, data=data, labels=["a"])
    stored = results.load_result("r")
    assert stored["rows"] == [{"method": "plain", "seed": 3, "score": 0.1235}, {"method": "müde", "score": 1}]
    assert stored["command"] == "do it" and stored["seconds"] == 12 and stored["labels"] == ["a"]
    assert stored["data_sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert stored["versions"]["torch"] == torch.__version__
    assert sorted(p.name for p in folder.iterdir()) == ["data.npz", "r.json"]


def test_empty_rows_and_no_data(folder):
    results.save_result("empty", [], command="c", seconds=0)
    assert results.load_result("empty")["rows"] == [] and results.load_result("empty")["data_sha256"] is None


def test_a_failed_save_leaves_the_old_file_and_no_other(folder):
    results.save_result("r", [{"a": 1}], command="c", seconds=1)
    with pytest.raises(TypeError):
        results.save_result("r", [{"a": object()}], command="c", seconds=1)

    def broken(*args):
        raise OSError("disk full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results.os, "replace", broken)
        with pytest.raises(OSError, match="disk full"):
            results.save_result("r", [{"a": 2}], command="c", seconds=1)
    assert results.load_result("r")["rows"] == [{"a": 1}]
    assert [p.name for p in folder.iterdir()] == ["r.json"]


def test_read_from_the_installed_package_where_there_is_no_checkout(folder, monkeypatch):
    site = folder / "lib" / "site-packages"
    about = site / "tutorial_lib-0.1.0.dist-info"
    stored = folder / "share" / "tutorial_lib" / "results"
    about.mkdir(parents=True)
    stored.mkdir(parents=True)
    (stored / "far.json").write_text('{"rows": [1]}')
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tutorial-lib\nVersion: 0.1.0\n")
    (about / "RECORD").write_text("../../share/tutorial_lib/results/far.json,,\ntutorial_lib/nowhere.json,,\n")
    monkeypatch.syspath_prepend(site)
    assert results.load_result("far") == {"rows": [1]}
    with pytest.raises(FileNotFoundError, match="neither"):
        results.load_result("nowhere")
    results.save_result("far", [{"a": 2}], command="c", seconds=1)
    assert results.load_result("far")["rows"] == [{"a": 2}]  # one's own run comes before what was delivered


def test_the_stored_mitbih_evidence_is_whole_and_names_its_data(shared_data):
    path = results.results_folder() / "02_flow_mixup_mitbih.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    runs = [(row["method"], row["seed"]) for row in stored["rows"]]
    methods = ("plain", "flow", "only mixed", "early stopping", "mixup", "clean")
    assert sorted(runs) == sorted((method, seed) for method in methods for seed in range(8))
    windows = shared_data / "ecg" / "mitbih_windows_10s_90hz.npz"
    assert stored["data_sha256"] == {"mitbih": hashlib.sha256(windows.read_bytes()).hexdigest()}
    for row in stored["rows"]:
        scores = [row[protocol] for protocol in ("shuffle", "flip") if protocol in row]
        assert row["both"] == pytest.approx(sum(scores) / len(scores), abs=1e-5)
        last = row["stopped"] if row["method"] == "early stopping" else row["at 60"]
        assert row["both"] == pytest.approx(last, abs=1e-5)
