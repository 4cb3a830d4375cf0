"""``tutorial run -p DEVICE cuda``: every chapter gets it, and the record and the report say on which GPU it was."""

import os
import stat

import pytest

ASKS = "print('asked for', DEVICE)"


@pytest.fixture
def nvidia(tmp_path, monkeypatch):
    """An ``nvidia-smi`` that tells of one GPU: all that the runner asks of a machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'NVIDIA Tested'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return script


def test_the_report_names_the_gpu_and_a_gpu_s_results_are_not_the_cpu_s(course, nvidia):
    course.chapter("01_a", ASKS)
    ran = course.tutorial("run", "-p", "DEVICE", "cuda")
    assert ran.returncode == 0, ran.stderr
    record = course.record("01_a")
    assert record["device"]["gpus"] == ["NVIDIA Tested"] and record["parameters"] == {"DEVICE": "cuda"}
    assert "asked for cuda" in (course.out / "chapters" / "01_a.ipynb").read_text(encoding="utf-8")
    report = (course.out / "index.html").read_text(encoding="utf-8")
    assert "NVIDIA Tested" in report and "DEVICE = cuda" in report
    nvidia.unlink()  # the same folder on a machine without one: the chapter runs again
    course.tutorial("run", "-p", "DEVICE", "cuda")
    assert course.chapters()["01_a"]["status"] == "ok" and course.record("01_a")["device"]["gpus"] == []
