"""The sweep without and with a cluster: what is cut out of a chapter, the grid, the journal, the table, a real run."""

import argparse
import csv
import io
import json
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch
from conftest import ROOT

from tutorial_lib.course import cells
from tutorial_lib.course.catalogue import CourseError, chapter_files, read_chapter
from tutorial_lib.course.files import DiskError
from tutorial_lib.course.machine import cores
from tutorial_lib.course.progress import Counter
from tutorial_lib.course.sweep import table as sweep_table
from tutorial_lib.course.sweep.experiment import describe_error, scores_of
from tutorial_lib.course.sweep.experimenter import Experimenter, Stopped
from tutorial_lib.course.sweep.grid import Sweep, parse_seeds, split_values
from tutorial_lib.course.sweep.journal import Journal
from tutorial_lib.course.sweep.program import read_program

PARAMETERS = "FAST = True\nSEED = 0\nK = 2"
RUN = """def run(method, seed, rate, *, epochs=3):
    print("lost in the process", method)
    if method == "raises":
        raise ValueError(f"no seed {seed}")
    if method == "exits":
        import os
        os._exit(7)
    if method == "hangs":
        import time
        time.sleep(600)
    if method == "wrong":
        return {"score": [1, 2]}
    return {"score": K * seed + rate, "epochs": epochs, "seconds": 0.5, "text": method}"""
EXPERIMENT = """from tutorial_lib.lab import compare
table = compare(run, ["good", "raises"], range(SEED, SEED + 3), rate=0.5)
table["score"].mean()
never = 1 / 0"""


def options(course, *arguments: str):
    from tutorial_lib.course.sweep.grid import add_sweep

    parser = argparse.ArgumentParser()
    add_sweep(parser)
    given = parser.parse_args(list(arguments))
    given.notebooks = course.notebooks
    return given


@pytest.fixture(scope="module")
def chapter(shared_course):
    path = shared_course.chapter("01_a", "import secrets_that_are_missing", RUN, EXPERIMENT, parameters=PARAMETERS)
    return read_chapter(path)


@pytest.fixture(scope="module")
def loaded(chapter):
    experimenter = Experimenter(read_program(chapter), threads=1)
    yield experimenter, experimenter.load("own", {}), experimenter.load("other", {"K": 10})
    experimenter.close()


# --- cutting the experiment out ---


def test_a_program_is_the_cells_that_the_experiment_needs(chapter):
    program = read_program(chapter)
    assert program.experiment == "table" and program.numbers == (1, 3, 4) and program.parameters == 0
    # A cell that the experiment does not need may change; one that it needs may not.
    other = replace(chapter, text=chapter.text.replace("secrets_that_are_missing", "others"))
    assert read_program(other).key() == program.key()
    other = replace(chapter, text=chapter.text.replace("K * seed", "K + seed"))
    assert read_program(other).key() != program.key()


def test_another_experiment_is_picked_by_name_or_tag(course):
    first, second = "a = compare(run, [1], [2])", "if True:\n    b = concat([compare(run, [1], [2])])"
    inside = "def f(): return compare(run, [1], [2])"
    path = course.chapter("01_a", inside, first, second)
    assert read_program(read_chapter(path)).experiment == "a"
    assert read_program(read_chapter(path), "b").numbers == (1, 4)
    with pytest.raises(CourseError, match=r"has no experiment 'c'; it has a, b"):
        read_program(read_chapter(path), "c")
    text = json.loads(path.read_text())
    text["cells"][3]["metadata"]["tags"] = ["experiment"]
    path.write_text(json.dumps(text))
    assert read_program(read_chapter(path)).experiment == "b"
    with pytest.raises(CourseError, match="has no experiment to sweep"):
        read_program(read_chapter(course.chapter("02_b", inside)))


@pytest.mark.parametrize("path", chapter_files(ROOT / "notebooks"), ids=lambda path: path.stem)
def test_every_chapter_has_an_experiment_that_names_its_run(path):
    """What can be seen without running: a variable, a ``run`` that the slice defines, and not too much around it."""
    program = read_program(read_chapter(path))
    assert program.experiment.isidentifier()
    bound = set().union(*(cells.bound_and_free(source)[0] for source in program.sources))
    calls = [line for line in program.sources[-1].split("compare(")[1:]]
    assert calls and all(call.split(",")[0] in bound for call in calls)
    assert len(program.sources) < 20


def test_loading_records_every_call_and_runs_none(loaded):
    _, own, other = loaded
    assert own["calls"] == [
        {
            "run": "run",
            "which": 0,
            "methods": ["good", "raises"],
            "seeds": [0, 1, 2],
            "fixed": {"rate": 0.5},
            "takes": {"rate": 0.5, "epochs": 3},
            "more": False,
        }
    ]
    assert other["calls"] == own["calls"] and own["versions"]["python"]


def test_a_run_is_one_call_in_a_warm_process(loaded):
    experimenter, _, _ = loaded
    answer = experimenter.run("own", 0, 0, 5, {}, timeout=60)
    assert answer["scores"] == {"score": 10.5, "epochs": 3, "seconds": 0.5, "text": "good"}
    answer = experimenter.run("other", 0, 0, 5, {"rate": 0.1 + 0.2, "epochs": 9}, timeout=60)
    assert answer["scores"] == {"score": 50 + (0.1 + 0.2), "epochs": 9, "seconds": 0.5, "text": "good"}
    error = experimenter.run("own", 0, 1, 4, {}, timeout=60)["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no seed 4")
    # The line of the notebook, not only of our machinery.
    assert "<01_a, code cell 3>" in error["traceback"] and "raise ValueError" in error["traceback"]
    assert experimenter.process.poll() is None


def test_what_a_run_must_not_give():
    given = {"a": torch.tensor(0.1, dtype=torch.float64), "b": None, 3: True}
    assert scores_of(given) == {"a": 0.1, "b": None, "3": True}
    assert scores_of({"a": pd.Series([0.25]).mean()}) == {"a": 0.25}
    with pytest.raises(TypeError, match="run must return a dict of scores, got float"):
        scores_of(0.5)
    with pytest.raises(TypeError, match="score 'a' must be a number or a text, got list"):
        scores_of({"a": [1]})


@pytest.mark.parametrize(
    ("cells_", "message"),
    [
        (
            ["from tutorial_lib.lab import compare\nx = 1 / 0\nt = compare(x, [1], [2])"],
            "code cell 2, line 2: ZeroDivisionError: division by zero",
        ),
        (["if False:\n    t = compare(x, [1], [2])"], "code cell 2 did not call compare"),
        # `rate` is what the loop left when `run` is called: the runs of the first call would be those of the last.
        (
            [
                "from tutorial_lib.lab import compare\ndef run(method, seed): return {'s': rate}",
                "for rate in (0.1, 0.2):\n    t = compare(run, ['a'], [0])",
            ],
            "changes rate, which run reads, after its call of compare: hand it over, as in compare(…, rate=rate)",
        ),
    ],
)
def test_a_chapter_that_cannot_be_loaded_says_why(course, cells_, message):
    experimenter = Experimenter(read_program(read_chapter(course.chapter("01_a", *cells_))), threads=1)
    with pytest.raises(Stopped, match="(?s)load.*") as stopped:
        experimenter.load("own", {})
    experimenter.close()
    assert message in stopped.value.message and "\n" not in stopped.value.message


def test_an_error_is_cut_to_its_last_lines():
    try:
        raise ValueError("x" * 5000)
    except ValueError as error:
        about = describe_error(error, lines=2)
    assert about["type"] == "ValueError" and len(about["message"]) == 1000 and about["traceback"].count("\n") < 2


# --- the grid ---


def test_seeds_and_values_as_they_are_typed():
    assert parse_seeds("3,0-2,1") == [3, 0, 1, 2]
    for wrong in ("", "a", "3-1", "1,,2", "-1", "0-99999999999"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected seeds such as 0-19"):
            parse_seeds(wrong)
    assert split_values("a, b") == ["a", "b"] and split_values("[1,2],'x,y'") == ["[1,2]", "'x,y'"]


def keys(plan, described) -> list[tuple]:
    return [(about["method"], about["seed"], *about["settings"].values()) for _, _, about in plan.points(described)]


@pytest.fixture
def grid(course, loaded):
    course.chapter("01_a", RUN, EXPERIMENT, parameters=PARAMETERS)

    def make(*arguments):
        plan = Sweep(options(course, "01", *arguments))
        return plan, {base: loaded[1] for base in plan.sets}

    return make


def test_the_grid_is_every_combination_once(grid):
    plan = grid()
    assert keys(*plan) == [(m, s, 0.5) for s in (0, 1, 2) for m in ("good", "raises")]
    assert plan[0].out.name == "01_a" and plan[0].out.parent.name == "sweeps"
    plan = grid("-p", "rate", "0,0.5,0.50", "-p", "K", "2,3", "--seeds", "7", "--methods", "good")
    # 0.5 and 0.50 are one value; a whole number is one where the default is a float.
    assert keys(*plan) == [("good", 7, 0.0), ("good", 7, 0.5)] * 2
    assert len({key for key, _, _ in plan[0].points(plan[1])}) == 4
    assert sorted(values["K"] for values in plan[0].sets.values()) == [2, 3]
    assert plan[0].out.name == "01_a-rate-K"
    # Whatever Python writes as a literal that JSON can hold.
    assert plan[0]._typed("x", ["(1, 2)", "a", "nan"], "any") == [(1, 2), "a", "nan"]
    # A further keyword of run; what is typed there keeps the kind of its default.
    plan = grid("-p", "epochs", "1,2", "--seeds", "0", "--methods", "good")
    assert [about["settings"] for _, _, about in plan[0].points(plan[1])] == [
        {"rate": 0.5, "epochs": 1},
        {"rate": 0.5, "epochs": 2},
    ]


def test_keys_are_those_of_what_runs(grid):
    def keys_of(*arguments):
        plan, described = grid(*arguments)
        return {key for key, _, _ in plan.points(described)}

    # Asked for in another way, the same runs.
    assert keys_of() == keys_of("-p", "rate", "0.5", "--seeds", "0-2") == keys_of("-p", "K", "2")
    assert not keys_of() & keys_of("-p", "K", "3")
    assert keys_of("--seeds", "0-9") > keys_of()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "SEED", "1"], "a sweep's seeds are given as --seeds"),
        (["-p", "rate", "1", "-p", "rate", "2"], "-p rate is there twice"),
        (["-p", "K", "a"], "K of chapter 01_a is of type int, got 'a'"),
        (["-p", "rate", "a,1"], "rate of chapter 01_a is of type float, got 'a,1'"),
        (["-p", "epochs", "1j"], "epochs of chapter 01_a is of type int, got '1j'"),
        (
            ["-p", "speed", "1"],
            r"takes no 'speed'; its settings are rate \(0.5\), epochs \(3\); the chapter's "
            r"parameters are FAST = True \(bool\), K = 2 \(int\)",
        ),
        (["--methods", "good,best"], "has no method 'best'; its methods are good; raises"),
        (["--experiment", "x"], "has no experiment 'x'; it has table"),
    ],
)
def test_what_cannot_be_swept_is_refused(grid, arguments, message):
    with pytest.raises(CourseError, match=message):
        plan, described = grid(*arguments)
        list(plan.points(described))


def test_a_methods_own_comma_does_not_end_it():
    from tutorial_lib.course.sweep.grid import _pick

    assert _pick("EDA, protected,EDA", ["plain", "EDA", "EDA, protected"], "11") == ["EDA, protected", "EDA"]


# --- journal and table ---


def row(key, method="a", seed=0, *, status="ok", scores=None, settings=None):
    error = None if status == "ok" else {"type": "ValueError", "message": "no", "traceback": "line 1\nline 2"}
    return {
        "key": key,
        "base": "b",
        "settings": settings or {"rate": 0.5},
        "method": method,
        "seed": seed,
        "parameters": {"FAST": True},
        "source": "abc",
        "status": status,
        "error": error,
        "scores": scores or {},
        "seconds": 1.5,
        "started": 1e9,
        "pid": 1,
        "host": "h",
        "worker": "w",
        "versions": {"python": "3"},
    }


def test_a_torn_line_is_passed_over_and_the_last_row_of_a_key_counts(tmp_path):
    with Journal(tmp_path / "rows.jsonl") as journal:
        for key, status in (("k1", "failed"), ("k2", "ok"), ("k1", "ok")):
            journal.add(row(key, status=status))
        assert not (tmp_path / "rows.jsonl").exists()
        journal.write(now=True)
    with open(tmp_path / "rows.jsonl", "a") as file:
        file.write('{"key": "k3", "stat')
    with Journal(tmp_path / "rows.jsonl") as journal:
        assert journal.status == {"k1": "ok", "k2": "ok"}
        journal.add(row("k4"))
        journal.write(now=True)
    with Journal(tmp_path / "rows.jsonl") as journal:
        assert [one["key"] for one in journal.read()] == ["k1", "k2", "k4"]


def test_a_journal_that_cannot_be_written_is_said_and_goes_on_when_it_can(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.mkdir()
    journal = Journal(path)
    journal.add(row("k1"))
    with pytest.raises(DiskError, match="could not write .*rows.jsonl: Is a directory"):
        journal.write(now=True)
    # Nothing counts as stored that is not on the disk.
    assert journal.status == {}
    path.rmdir()
    journal.write(now=True)
    assert journal.status == {"k1": "ok"} and [one["key"] for one in journal.read()] == ["k1"]


def test_the_journal_is_written_at_once_but_not_at_every_row(tmp_path):
    with Journal(tmp_path / "rows.jsonl") as journal:
        journal.written -= 1
        for key in ("k1", "k2", "k3"):
            journal.add(row(key))
            journal.write()
        assert [one["key"] for one in journal.read()] == ["k1"]
        journal.written -= 1
        journal.write()
        assert [one["key"] for one in journal.read()] == ["k1", "k2", "k3"]


def test_the_log_says_how_far_it_is():
    out = io.StringIO()
    with Counter(4, out) as counter:
        counter.tick()
        assert out.getvalue() == ""
        counter.count("ok", "w1")
        counter.count("failed", "w2")
        counter.start -= 10
        counter.said -= 10
        counter.tick()
        counter.tick()
    first, last = out.getvalue().splitlines()
    assert first == "2/4 runs · 1 failed · 0.2 a second · 10.0 s left · 2 workers"
    assert last.startswith("2/4 runs")


def test_the_table_is_tidy(tmp_path):
    rows = [
        row("k1", "b", 1, scores={"score": 0.1 + 0.2, "rate": 0.5, "seed": 99}),
        row("k2", "a", 1, scores={"score": 1.0, "rate": 0.5, "seed": 98, "only a": "x"}),
        row("k3", "a", 0, status="failed"),
        row("k4", "a", 0, settings={"rate": 0.1}, scores={"score": 2}),
    ]
    sweep_table.write_results(tmp_path, rows, methods=["b", "a"], swept=["rate"], title="T")
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert table["key"].tolist() == ["k4", "k1", "k3", "k2"]
    # A score that repeats a setting is no column of its own; one that contradicts keeps its name with a mark.
    assert table.columns.tolist() == [
        "FAST",
        "rate",
        "method",
        "seed",
        "score",
        "seed (score)",
        "only a",
        *sweep_table.ABOUT,
    ]
    assert table["score"].tolist()[:2] == [2, 0.1 + 0.2] and table["score"].isna().sum() == 1
    assert table["error"].tolist()[2].startswith("ValueError: no\nline 1")
    with open(tmp_path / "table.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [line["score"] for line in read] == ["2.0", "0.30000000000000004", "", "1.0"]
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_without_a_good_run_has_no_chart(tmp_path):
    sweep_table.write_results(tmp_path, [row("k", status="killed")], methods=["a"], swept=[], title="T")
    assert (tmp_path / "table.csv").exists() and not (tmp_path / "chart.png").exists()


def test_the_interval_is_students():
    from scipy import stats

    values = pd.Series([1.0, 2.0, 4.0])
    mean, half = sweep_table._mean(values)
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))


# --- the command ---


def table_of(course, name: str) -> pd.DataFrame:
    return pd.read_parquet(course.root / "runs" / "sweeps" / name / "table.parquet")


@pytest.mark.alone
def test_every_way_a_run_can_fail_costs_only_its_row(course):
    run = RUN.replace("time.sleep(600)", "time.sleep(600)  # ends by --timeout")
    experiment = EXPERIMENT.replace('"raises"', '"raises", "exits", "hangs", "wrong"')
    course.chapter("01_a", run, experiment, parameters=PARAMETERS)
    done = course.tutorial("sweep", "01", "-p", "rate", "0.5,1.5", "--seeds", "0", "--workers", "2", "--timeout", "2")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "5 methods × rate 0.5, 1.5 × 1 seeds: 10 runs; 0 are there, 10 to do" in done.stdout
    assert "2 of 10 runs went well" in done.stdout and "2 × ValueError: no seed 0" in done.stdout
    table = table_of(course, "01_a-rate").set_index(["method", "rate"])
    assert table["status"].groupby("method").agg(list).to_dict() == {
        "good": ["ok"] * 2,
        "raises": ["failed"] * 2,
        "wrong": ["failed"] * 2,
        "exits": ["killed"] * 2,
        "hangs": ["timeout"] * 2,
    }
    assert table.loc["good", "score"].tolist() == [0.5, 1.5]
    assert "exit status 7" in table.loc[("exits", 0.5), "error"]
    assert "timed out: not done after 2 s" in table.loc[("hangs", 1.5), "error"]
    assert "score 'score' must be a number" in table.loc[("wrong", 0.5), "error"]
    # More seeds: only the new ones run. Failed rows stay, unless they are asked for.
    again = course.tutorial(
        "sweep",
        "01",
        "-p",
        "rate",
        "0.5,1.5",
        "--seeds",
        "0,1",
        "--methods",
        "good,raises",
        "--workers",
        "1",
        "--retry-failed",
    )
    assert "8 runs; 2 are there, 6 to do" in again.stdout
    assert "4 of 8 runs went well; 4 failed" in again.stdout
    table = table_of(course, "01_a-rate")
    assert len(table) == 14 and table["key"].is_unique
    summary = json.loads((course.root / "runs/sweeps/01_a-rate/sweep.json").read_text())
    assert (summary["complete"], summary["counts"]) == (True, {"ok": 4, "failed": 4})
    # All there: no cluster is started, and the folder of another command is not taken.
    third = course.tutorial(
        "sweep", "01", "-p", "rate", "0.5,1.5", "--seeds", "1", "--methods", "good", "--scheduler", "tcp://127.0.0.1:9"
    )
    assert third.returncode == 0 and "2 runs; 2 are there, 0 to do" in third.stdout
    (course.root / "mine").mkdir()
    (course.root / "mine" / "thesis.txt").write_text("text")
    fourth = course.tutorial("sweep", "01", "-p", "rate", "0.5", "--scheduler", "tcp://127.0.0.1:9")
    assert fourth.returncode == 2 and fourth.stderr.startswith(
        "tutorial: no Dask scheduler answers at tcp://127.0.0.1:9"
    )
    assert not (course.root / "runs/sweeps/01_a-rate-x").exists()


def test_what_a_sweep_needs_is_named_where_it_is_missing(course):
    course.chapter("01_a", RUN, EXPERIMENT)
    hide = (
        "import sys, importlib.metadata as m; real = m.version\n"
        "def version(name):\n"
        "    if name == 'distributed': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
        "from tutorial_lib.course.cli import main; sys.exit(main(['sweep', '01']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide],
        cwd=course.root,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        'tutorial: a sweep needs distributed, not installed here: pip install -e ".[course,cluster]"\n'
    )


@pytest.fixture
def as_many_threads_as_one_worker():
    before = torch.get_num_threads()
    torch.set_num_threads(cores())
    yield
    torch.set_num_threads(before)


def test_a_sweep_gives_the_very_numbers_of_the_chapter(course, as_many_threads_as_one_worker):
    """Chapter 00, bit for bit: its own cells with the true ``compare`` here, against the sweep's table."""
    program = read_program(read_chapter(ROOT / "notebooks" / "00_start_here.ipynb"))
    namespace = {"get_ipython": None, "display": print}
    for source in program.sources[:-1]:
        exec(source, namespace)
    exec(program.sources[-1].replace('["plain", *TRICKS], SEEDS)', '["plain", "dropout"], [0, 3])'), namespace)
    theirs = namespace["table"]
    assert len(theirs) == 4
    done = course.tutorial(
        "sweep",
        "00",
        "--notebooks",
        str(ROOT / "notebooks"),
        "--methods",
        "plain,dropout",
        "--seeds",
        "0,3",
        "--workers",
        "1",
        "--out",
        "out",
    )
    assert done.returncode == 0, done.stderr
    ours = pd.read_csv(course.root / "out" / "table.csv", dtype=str).astype({"seed": int, "accuracy": float})
    pd.testing.assert_frame_equal(ours[["method", "seed", "accuracy"]], theirs.reset_index(drop=True), check_exact=True)
