"""Requests that cannot be met: one clear line, exit status 2, nothing written. And the commands that run nothing."""

import os
import subprocess
import sys

import pytest

from tutorial_lib.course import doctor
from tutorial_lib.course.catalogue import read_chapter
from tutorial_lib.course.cli import main
from tutorial_lib.course.files import atomic_write, open_folder, remove_leftovers
from tutorial_lib.course.keys import chapter_key, finished, source_hash


@pytest.fixture
def there(course, monkeypatch):
    course.chapter("00_start_here", question="Does it work?")
    course.chapter("01_mixup")
    monkeypatch.chdir(course.root)
    return course


def files(course):
    return sorted(path.relative_to(course.root).as_posix() for path in course.root.rglob("*"))


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["run", "mixpu"], "no chapter 'mixpu'; did you mean 01_mixup? the chapters are: 00_start_here, 01_mixup"),
        (["run", "nowhere/01_mixup.ipynb"], "no notebook at nowhere/01_mixup.ipynb"),
        (
            ["run", "-p", "FSAT", "1"],
            "has no parameter 'FSAT'; did you mean FAST? it takes FAST = True (bool), SEED = 0",
        ),
        (
            ["run", "01", "-p", "SEED", "many"],
            "parameter SEED of chapter 01_mixup is of type int, got 'many'; it takes",
        ),
        (["run", "01", "-p", "FAST", "1"], "parameter FAST of chapter 01_mixup is of type bool, got '1'"),
        (["run", "--jobs", "0"], "argument --jobs: expected a whole number from 1, got '0'"),
        (["run", "--timeout", "nan"], "argument --timeout: expected a number above 0, got 'nan'"),
        (["run", "--notebooks", "nowhere"], "no folder of notebooks at nowhere"),
        (["run", "--out", "notebooks/01_mixup.ipynb/x"], "cannot write in notebooks/01_mixup.ipynb/x: Not a directory"),
        (["run", "--out", "notebooks"], "notebooks holds other files and no earlier run; give --out a new or an empty"),
        (["rum"], "invalid choice: 'rum'"),
        (["run", "-p", "FAST"], "expected 2 arguments"),
        (["claims"], "no run in"),
        (["refresh", "mixpu"], "did you mean 01_mixup?"),
    ],
)
def test_bad_requests(there, capsys, arguments, complaint):
    before = files(there)
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert complaint in captured.err and captured.err.count("\n") == 1
    assert captured.out == "" and files(there) == before


def test_a_missing_kernel_lists_the_installed(there, capsys):
    there.chapter("02_julia", kernel="julia-1.10")
    before = files(there)
    assert main(["run"]) == 2
    error = capsys.readouterr().err
    assert "chapter 02_julia asks for the kernel 'julia-1.10', which is not installed; installed: " in error
    assert "python3" in error and error.count("\n") == 1 and files(there) == before
    assert main(["refresh", "2"]) == 2


def test_a_broken_notebook_stops_the_run_before_it_starts(there, capsys):
    (there.notebooks / "02_broken.ipynb").write_text("{")
    before = files(there)
    assert main(["run"]) == 2
    assert "02_broken.ipynb is not a notebook: it is not valid JSON" in capsys.readouterr().err
    assert files(there) == before
    # The list still lists.
    assert main(["list"]) == 0
    assert "unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": []}', "it has no metadata"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "it has no list of cells"),
        ('{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "code"}]}', "a cell without a source (cell 1)"),
        ('{"nbformat": 3, "metadata": {}, "worksheets": []}', "not a notebook of format 4 (found: 3)"),
        ("", "it is not valid JSON"),
    ],
)
@pytest.mark.parametrize(
    "command", [["run"], ["refresh"], ["sweep", "2"], ["student", "--out", "copy"], ["list"], ["doctor"]], ids=" ".join
)
def test_every_command_tells_what_is_not_a_notebook(there, capsys, monkeypatch, command, content, complaint):
    monkeypatch.setattr(doctor, "_kernel", lambda: ("✓", "kernel", "not asked", ""))
    monkeypatch.setenv("COLUMNS", "1000")
    (there.notebooks / "02_bare.ipynb").write_text(content)
    before = files(there)
    status = main(command)
    said = capsys.readouterr()
    assert complaint in said.out + said.err and "Traceback" not in said.out + said.err
    assert status == {"list": 0, "doctor": 1}.get(command[0], 2)
    assert files(there) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(there, capsys):
    folder = there.root / "shut"
    folder.mkdir(mode=0o500)
    assert main(["run", "--out", "shut"]) == 2
    assert "cannot write in shut: Permission denied" in capsys.readouterr().err


def test_a_second_runner_is_turned_away_and_a_dead_ones_lock_is_taken(there, capsys):
    there.out.mkdir(parents=True)
    holder = "import sys, pathlib; from tutorial_lib.course.files import open_folder\n"
    holder += "lock = open_folder(pathlib.Path('runs/latest')); print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", holder], cwd=there.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    assert main(["run"]) == 2
    assert "another tutorial run is at work in" in capsys.readouterr().err
    process.kill()
    process.communicate()
    open_folder(there.out).release()


def test_no_chapters_at_all(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--notebooks", "notebooks"]) == 2
    assert "no chapters (files like 01_topic.ipynb) in notebooks" in capsys.readouterr().err


def test_the_list_before_any_run(there, capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["chapter", "question", "time", "status"]
    assert "Does it work?" in lines[1] and lines[1].endswith("never") and len(lines) == 3


def test_help_names_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("list", "run", "claims", "doctor", "lab", "refresh"))


def test_the_list_loads_no_heavy_library(there):
    code = "import sys; from tutorial_lib.course.cli import main; main(['list'])\n"
    code += "print(sorted({'torch', 'numpy', 'nbformat', 'papermill', 'nbconvert', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=there.root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_lab_opens_the_first_chapter(there, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(os, "execv", lambda program, command: called.append((program, command)))
    main(["lab"])
    program, command = called[0]
    assert program == sys.executable and command[1:3] == ["-m", "jupyterlab"]
    assert command[3].endswith("notebooks/00_start_here.ipynb")
    assert command[4] == "--LabApp.default_url=/lab/tree/00_start_here.ipynb"
    # JupyterLab starts in the course's folder, where a path as given here would lead nowhere.
    monkeypatch.chdir(there.notebooks)
    main(["lab", "--notebooks", "."])
    assert called[1][1][3] == command[3] == str(there.notebooks.resolve() / "00_start_here.ipynb")


def test_the_doctor_finds_what_is_there(there, capsys, monkeypatch):
    monkeypatch.setenv("TUTORIAL_DATA", str(there.root / "data"))
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for words in (
        "✓ Python",
        "torch 2.",
        "✓ device",
        "✓ kernel",
        "starts in",
        "2 in ",
        "GiB free",
        "python -m data_scripts",
    ):
        assert words in text
    assert "✗" not in text


def test_the_doctor_says_what_is_missing_and_how_to_get_it(there, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # what a narrow terminal breaks is tested in test_tables.py
    (there.notebooks / "02_broken.ipynb").write_text("{")
    monkeypatch.setattr(
        doctor, "_kernel", lambda: ("✗", "kernel", "python3 does not start: no", "pip install ipykernel")
    )
    monkeypatch.setattr(doctor, "ROOM", 2**80)
    requires = [
        "torch>=999",
        'nosuchthing>=1; extra == "course"',
        'northis; extra == "data"',
        'nor_this; extra == "test"',
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: requires)
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    for words in (
        'but >=999 is needed  →  pip install "torch>=999"',
        '✗ nosuchthing    missing  →  pip install -e ".[course]"',
        '· northis        missing  →  pip install -e ".[data]"',
        "✗ kernel",
        "make at least 1 GiB free",
        "02_broken.ipynb is not a notebook",
        "cannot run yet",
    ):
        assert words in text
    assert "nor_this" not in text


def test_a_key_covers_what_a_result_depends_on_and_nothing_else(course, monkeypatch):
    path = course.chapter("01_a", "print(1)", "# text quoting quoted_result")
    source = course.root / "source"
    source.mkdir()
    monkeypatch.setattr("tutorial_lib.course.keys.PACKAGE", source)
    versions, device = {"python": "3.11", "torch": "2.13"}, {"machine": "x86_64", "cores": 2, "gpus": []}

    def key(values=None, versions=versions, device=device):
        return chapter_key(read_chapter(path), values or {}, versions, device)

    before = key()
    assert key() == before and key(device=device | {"cores": 64}) == before
    others = [key({"SEED": 1}), key(versions=versions | {"torch": "2.14"}), key(device=device | {"gpus": ["H200"]})]
    text = path.read_text()
    path.write_text(
        text.replace('"outputs": []', '"outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}]')
    )
    assert key() == before
    for old, new in (("print(1)", "print(2)"), ("# text", "# other"), ("SEED = 0", "SEED = 1")):
        path.write_text(text.replace(old, new))
        others.append(key())
    path.write_text(text)
    (course.root / "results").mkdir()
    (course.root / "results" / "of_another_chapter.json").write_text("{}")
    assert key() == before
    (course.root / "results" / "quoted_result.json").write_text("{}")
    others.append(key())
    (source / "mixup.py").write_text("changed = True")
    others.append(key())
    assert len({before, *others}) == len(others) + 1


def test_real_data_is_part_of_the_key(course, monkeypatch):
    path = course.chapter("01_a", "load_result('01_a')", parameters='DATA = "builtin"')
    monkeypatch.setenv("TUTORIAL_DATA", str(course.root / "data"))
    monkeypatch.setattr("tutorial_lib.course.keys.PACKAGE", course.root / "source")
    chapter = read_chapter(path)
    built_in, real = chapter_key(chapter, {}, {}, {}), chapter_key(chapter, {"DATA": "real"}, {}, {})
    (course.root / "data").mkdir()
    (course.root / "data" / "a.npz").write_text("x")
    assert chapter_key(chapter, {}, {}, {}) == built_in
    again = chapter_key(chapter, {"DATA": "real"}, {}, {})
    assert again != real
    # The run with real data writes its result: that must not make it count as changed.
    (course.root / "results").mkdir()
    (course.root / "results" / "01_a.json").write_text("{}")
    assert chapter_key(chapter, {"DATA": "real"}, {}, {}) == again


def test_source_hash_sees_names_and_bytes_but_no_caches(tmp_path):
    (tmp_path / "a.py").write_text("1")
    first = source_hash(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("1")
    assert source_hash(tmp_path) == first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    second = source_hash(tmp_path)
    (tmp_path / "b.py").write_text("2")
    assert len({first, second, source_hash(tmp_path)}) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "ok"}', '{"status": "ok", "key": 1}', "\x00"])
def test_a_damaged_record_does_not_pass_for_finished(course, content):
    chapter = read_chapter(course.chapter("01_a"))
    (course.out / "chapters").mkdir(parents=True)
    (course.out / "chapters" / "01_a.json").write_text(content)
    assert finished(course.out, chapter, {}, {}, {}) is None


def test_atomic_write_and_remove_leftovers(tmp_path, monkeypatch):
    atomic_write(tmp_path / "a", "one")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        atomic_write(tmp_path / "a", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "one"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f".a.{dead.pid}.tmp", f".b.{os.getpid()}.tmp", ".hidden", "c.1.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a", f".b.{os.getpid()}.tmp", ".hidden", "c.1.tmp"]
    )
