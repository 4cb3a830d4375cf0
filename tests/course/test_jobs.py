"""How many chapters run at a time, in which order, and what the times say then."""

import json

import pytest

from benchmarks import bench_course
from tutorial_lib.course.catalogue import read_chapter
from tutorial_lib.course.cli import _parser
from tutorial_lib.course.front.readme import BLOCKS
from tutorial_lib.course.machine import cores
from tutorial_lib.course.progress import headline
from tutorial_lib.course.run import runner
from tutorial_lib.course.run.runner import Job, longest_first, plan

CPU = {"system": "Linux", "machine": "x86_64", "cores": 2, "gpus": [], "visible": None}
GPU = {**CPU, "gpus": ["NVIDIA H200"]}
TORCH = {"torch": "2.13.0+cu130"}

#: Says when it ran, and on how many threads it may compute.
CLOCK = """import os, time
began = time.time()
time.sleep({seconds})
print(began, time.time(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS"))"""


@pytest.fixture
def jobs(course):
    return [Job(read_chapter(course.chapter(f"0{number}_x", "x = 1"))) for number in range(3)]


def test_by_default_every_core_has_a_chapter_of_its_own(jobs, monkeypatch):
    monkeypatch.setattr(runner, "cores", lambda: 2)
    assert plan(jobs, None, {}, CPU) == (2, 1)
    assert plan(jobs[:1], None, {}, CPU) == (1, 1)  # its time means the same as beside others
    monkeypatch.setattr(runner, "cores", lambda: 64)
    assert plan(jobs, None, {}, CPU) == (3, 1)
    monkeypatch.setattr(runner, "MEMORY", 2**60)
    assert plan(jobs, None, {}, CPU) == (1, 1)  # there is no room for two
    assert plan([], None, {}, CPU) == (1, 1)


def test_what_is_asked_for_is_done(jobs, monkeypatch):
    monkeypatch.setattr(runner, "cores", lambda: 8)
    assert plan(jobs, 1, {}, CPU) == (1, None)  # all cores for one chapter
    assert plan(jobs, 2, {}, CPU) == (2, 4)
    assert plan(jobs, 100, {}, CPU) == (3, 2)


@pytest.mark.parametrize(
    ("device", "asked", "together"),
    [(GPU, {}, 1), (GPU, {"DEVICE": "cpu"}, 2), (CPU, {"DEVICE": "cuda:0"}, 1), ({**GPU, "visible": ""}, {}, 2)],
)
def test_chapters_do_not_share_a_gpu(jobs, monkeypatch, device, asked, together):
    monkeypatch.setattr(runner, "cores", lambda: 2)
    for job in jobs:
        job.parameters = dict(asked)
    assert plan(jobs, None, TORCH, device)[0] == together


def test_the_longest_comes_first_by_the_last_time_that_was_measured(course, jobs):
    def order() -> str:
        return "".join(job.chapter.name[1] for job in longest_first(jobs, course.out))

    assert order() == "012"  # nothing is known: the course's order
    (course.root / "docs").mkdir()
    measured = {"chapters": [{"name": "00_x", "seconds": 5.0}, {"name": "01_x", "seconds": 9.0}]}
    (course.root / "docs" / "measured.json").write_text(json.dumps(measured))
    assert order() == "210"  # nobody knows how long 02 takes; 01 took longer than 00
    (course.out / "chapters").mkdir(parents=True)
    for name, record in {
        "00_x": {"status": "ok", "seconds": 30.0},
        "01_x": {"status": "failed", "seconds": 99.0},
        "02_x": {"status": "ok", "seconds": 1.0},
    }.items():
        (course.out / "chapters" / f"{name}.json").write_text(json.dumps(record))
    assert order() == "012"  # how long a chapter failed for says nothing
    (course.out / "chapters" / "00_x.json").write_text("{")
    (course.root / "docs" / "measured.json").write_text("[]")
    assert order() == "012"


@pytest.mark.alone
def test_a_run_of_two_at_a_time(course):
    for number, seconds in enumerate((0.2, 3, 3)):
        course.chapter(f"0{number}_x", CLOCK.format(seconds=seconds), parameters=None)
    (course.root / "docs").mkdir()
    measured = {"chapters": [{"name": f"0{number}_x", "seconds": seconds} for number, seconds in enumerate((1, 4, 5))]}
    (course.root / "docs" / "measured.json").write_text(json.dumps(measured))
    done = course.tutorial("run")
    assert done.returncode == 0, done.stderr
    run, chapters = course.summary()["run"], course.chapters()
    together = min(cores(), 3)
    assert (run["jobs"], run["threads"]) == (together, 1), "or there is no room for two"
    assert run["running_seconds"] == pytest.approx(sum(chapter["seconds"] for chapter in chapters.values()), abs=0.01)
    assert f"done in {run_time(done)}" in done.stdout and "of running" in done.stdout
    began, ended = {}, {}
    for name in chapters:
        notebook = json.loads((course.out / "chapters" / f"{name}.ipynb").read_text())
        first, last, *threads = "".join(notebook["cells"][0]["outputs"][0]["text"]).split()
        began[name], ended[name] = float(first), float(last)
        assert threads == ["1", "1"] and course.record(name)["threads"] == 1
    if together == 2:
        # 02 and 01 begin, the short one waits.
        assert began["02_x"] < ended["01_x"] and began["01_x"] < ended["02_x"]
        assert began["00_x"] > min(ended["01_x"], ended["02_x"])
        assert "2 at a time" in done.stdout
    assert run["wall_seconds"] > max(chapter["seconds"] for chapter in chapters.values())
    # The second time nothing is left to do; who did it stays on record.
    again = course.tutorial("run")
    assert "done in" not in again.stdout and course.summary()["run"] == run
    assert run["chapters"] == sorted(chapters)
    # The README tells both times, and what a chapter's time means.
    markers = "\n".join(f'<!-- {name}: written by "tutorial map" -->\n<!-- /{name} -->' for name in BLOCKS)
    (course.root / "README.md").write_text(markers, encoding="utf-8")
    mapped = course.tutorial("map")
    assert mapped.returncode == 0, mapped.stderr
    text = (course.root / "README.md").read_text(encoding="utf-8")
    assert f"done in {run_time(done)}" in text and "| time on 1 core |" in text
    # The benchmark tells where a chapter's time goes.
    said = bench_course.slowest(course.out)
    assert "02_x" in said and "began = time.time()" not in said and "import os, time" in said


def run_time(done) -> str:
    return done.stdout.partition("done in ")[2].partition(")")[0].partition(",")[0]


def test_the_headline_says_both_times():
    def said(run, *status) -> str:
        totals = {name: status.count(name) for name in ("ok", "failed", "timeout", "cached")}
        chapters = [{"name": name, "status": name, "seconds": 60.0, "claims": []} for name in status]
        return headline({"totals": totals, "chapters": chapters, "run": run})

    run = {"chapters": ["ok"], "jobs": 2, "threads": 1, "wall_seconds": 75.0, "running_seconds": 120.0}
    assert "(2 min 00 s of running, done in 1 min 15 s, 2 at a time)" in said(run, "ok", "ok")
    assert "(2 min 00 s of running, done in 1 min 15 s)" in said(run | {"jobs": 1}, "ok", "ok")
    run["running_seconds"] = 60.0
    assert "(2 min 00 s of running, 1 min 00 s of it now, done in 1 min 15 s, 2 at a time)" in said(run, "ok", "cached")
    assert "(1 min 00 s of running)" in said(run, "cached")
    assert "(0.0 s of running)" in said(run | {"chapters": []})
    assert "(1 min 00 s of running)" in said(None, "ok")


def test_the_command_takes_auto_or_a_number():
    parse = _parser().parse_args
    assert parse(["run"]).jobs is None and parse(["run", "--jobs", "auto"]).jobs is None
    assert parse(["refresh", "--jobs", "3"]).jobs == 3
