"""Whatever of a sweep is killed, the same command goes on: nothing is lost, nothing that was stored runs again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pandas as pd
import psutil
import pytest

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals"),
]

# A run says when it starts and when it ends, so that the test knows what ran, and how often.
RUN = """import os, time
def log(*words):
    with open("{log}", "a") as file:
        print(*words, file=file)
def run(method, seed):
    log("start", method, seed, os.getpid())
    time.sleep({seconds})
    log("end", method, seed, os.getpid())
    return {{"score": seed / 7}}"""
EXPERIMENT = 'from tutorial_lib.lab import compare\ntable = compare(run, ["a", "b"], range(SEED, SEED + 3))'


def wait_for(condition, seconds=90.0):
    """Wait for what must come; how long it takes decides nothing short of a minute and a half."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


class Logged:
    """A chapter whose runs are logged, and what came of its sweep."""

    def __init__(self, course, seconds):
        self.course, self.out = course, course.root / "out"
        source = RUN.format(log=course.root / "log", seconds=seconds)
        course.chapter("01_a", source, EXPERIMENT)

    def log(self, word: str) -> list[tuple[str, int]]:
        path = self.course.root / "log"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(line[1], int(line[2])) for line in lines if line[0] == word]

    def stored(self) -> set[tuple[str, int]]:
        path = self.out / "rows.jsonl"
        found = set()
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
            # An interrupt in mid-write leaves an empty line, and the same rows once more.
            if line.endswith(b"}\n"):
                row = json.loads(line)
                found.add((row["method"], row["seed"]))
        return found

    def start(self, *arguments, **settings) -> subprocess.Popen:
        return self.course.start("sweep", "01", "--out", "out", *arguments, start_new_session=True, **settings)

    def processes(self) -> list[psutil.Process]:
        """What is at work for this course: all that was started in its folder or below."""
        found = []
        for process in psutil.process_iter(["cwd", "status"]):
            inside = (process.info["cwd"] or "").startswith(str(self.course.root))
            if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def whole(self, seeds: int) -> None:
        """The table holds every run of the grid once, and each with its score."""
        table = pd.read_parquet(self.out / "table.parquet")
        points = sorted(zip(table["method"], table["seed"]))
        assert points == [(method, seed) for method in "ab" for seed in range(seeds)]
        assert (table["status"] == "ok").all() and (table["score"] == table["seed"] / 7).all()
        assert json.loads((self.out / "sweep.json").read_text())["complete"]


def test_killing_the_client_at_any_time_loses_nothing(course):
    chapter = Logged(course, 0.4)
    grid = ("--seeds", "0-11", "--workers", "2")
    # Ctrl-C reaches every process of the terminal's group: the sweep ends in order, and nobody is left.
    process = chapter.start(*grid)
    wait_for(lambda: len(chapter.stored()) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip().endswith("the same command goes on from there.") and "Traceback" not in stderr, stderr
    wait_for(lambda: not chapter.processes())
    first = chapter.stored()
    assert len(pd.read_csv(chapter.out / "table.csv")) == len(first) < 24
    # kill -9: nobody ends anything in order, and still nobody is left.
    process = chapter.start(*grid)
    wait_for(lambda: len(chapter.stored()) >= len(first) + 3)
    process.kill()
    process.communicate()
    wait_for(lambda: not chapter.processes())
    second, before = chapter.stored(), Counter(chapter.log("start"))
    assert first < second and len(second) < 24
    # The machine went down in mid-write, too.
    with open(chapter.out / "rows.jsonl", "a") as file:
        file.write('{"key": "0123", "status": "o')
    done = chapter.start(*grid)
    stdout, stderr = done.communicate(timeout=200)
    assert done.returncode == 0, stderr
    assert f"24 runs; {len(second)} are there, {24 - len(second)} to do" in stdout
    chapter.whole(12)
    after = Counter(chapter.log("start"))
    assert all(after[point] == before[point] for point in second)
    # Two interruptions: what was at work then has started once more for each at most, and nothing else twice.
    assert set(after.values()) <= {1, 2, 3} and all(after[point] == 1 for point in first & second if before[point] == 1)
    again = [point for point, times in after.items() if times > 1]
    assert len(again) <= 2 * 4 + len(chapter.log("end")) - 24


class Dask:
    """A scheduler and workers as processes of their own, on loopback."""

    def __init__(self, course):
        self.course, self.processes = course, []

    def start(self, what: str, *arguments) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(self.course.package)}
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments],
            env=environment,
            cwd=self.course.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def scheduler(self, name: str) -> tuple[subprocess.Popen, str]:
        file = self.course.root / name
        process = self.start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--no-show",
            "--scheduler-file",
            str(file),
        )
        wait_for(lambda: file.exists() and file.read_text().strip().endswith("}"))
        return process, json.loads(file.read_text())["address"]

    def worker(self, address: str) -> subprocess.Popen:
        return self.start(
            "worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--local-directory",
            str(self.course.root / "dask"),
        )


@pytest.fixture
def dask(course):
    dask = Dask(course)
    yield dask
    for process in dask.processes:
        process.kill()
        process.wait()


def test_a_sweep_outlives_a_worker_and_goes_on_with_another_scheduler(course, dask):
    chapter = Logged(course, 0.3)
    scheduler, address = dask.scheduler("first.json")
    workers = [dask.worker(address), dask.worker(address)]
    process = chapter.start("--seeds", "0-19", "--scheduler", address)
    wait_for(lambda: len(chapter.stored()) >= 4)
    before = chapter.stored()
    workers[0].kill()
    # The other one takes over what the dead one was at.
    wait_for(lambda: len(chapter.stored()) >= len(before) + 6)
    assert process.poll() is None
    scheduler.kill()
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 1
    assert f"the Dask scheduler at {address} does not answer any more" in stderr and "Traceback" not in stderr, stderr
    stored, starts = chapter.stored(), Counter(chapter.log("start"))
    assert before < stored and len(stored) < 40
    assert len(pd.read_csv(chapter.out / "table.csv")) == len(stored)
    workers[1].kill()
    # An experimenter ends with its worker, also in the middle of a run.
    wait_for(lambda: not [one for one in chapter.processes() if one.pid not in {p.pid for p in dask.processes}])

    _, address = dask.scheduler("second.json")
    dask.worker(address)
    process = chapter.start("--seeds", "0-19", "--scheduler", address)
    wait_for(lambda: len(chapter.stored()) > len(stored))
    # SIGTERM ends it in order; the workers are somebody else's and stay.
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143 and dask.processes[-1].poll() is None
    # Two clients in one folder: the second is told.
    process = chapter.start("--seeds", "0-19", "--scheduler", address)
    wait_for(lambda: len(chapter.log("start")) > sum(starts.values()) + 3)
    second = chapter.start("--seeds", "0-19", "--scheduler", address)
    _, told = second.communicate(timeout=60)
    assert second.returncode == 2 and "another tutorial sweep is at work in out" in told
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    chapter.whole(20)
    after = Counter(chapter.log("start"))
    assert all(after[point] == starts[point] for point in stored)
    # A dead worker, a dead scheduler, SIGTERM: three times a few runs were at work.
    assert sum(after.values()) <= 40 + 3 * 4


def test_a_worker_with_other_sources_is_named(course, dask, tmp_path_factory):
    """One that is there from the start is refused before anything runs; one that joins later ends the sweep."""
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(course.package / "tutorial_lib", other / "tutorial_lib")
    with open(other / "tutorial_lib" / "mixup.py", "a") as file:
        file.write("# edited\n")
    chapter = Logged(course, 0.2)
    _, address = dask.scheduler("first.json")
    course.package, ours = other, course.package
    stranger = dask.worker(address)
    course.package = ours
    process = chapter.start("--seeds", "0-99", "--scheduler", address)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 2 and not chapter.out.exists()
    assert "workers must have the same tutorial-lib" in stderr and "has other sources" in stderr
    assert stderr.count("\n") == 1
    stranger.kill()
    dask.worker(address)
    process = chapter.start("--seeds", "0-99", "--scheduler", address)
    wait_for(lambda: chapter.stored())
    course.package = other
    dask.worker(address)
    course.package = ours
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 1 and "has other sources of tutorial-lib" in stderr and "Traceback" not in stderr
    assert len(pd.read_csv(chapter.out / "table.csv")) == len(chapter.stored()) < 200


def test_an_experimenter_ends_with_its_master_also_in_the_middle_of_a_run(course):
    chapter = Logged(course, 600)
    code = (
        "from tutorial_lib.course.catalogue import read_chapter\n"
        "from tutorial_lib.course.sweep.experimenter import Experimenter\n"
        "from tutorial_lib.course.sweep.program import read_program\n"
        "one = Experimenter(read_program(read_chapter('notebooks/01_a.ipynb')))\n"
        "one.load('own', {})\n"
        "one.run('own', 0, 0, 1, {}, timeout=600)"
    )
    master = subprocess.Popen(
        [sys.executable, "-c", code], cwd=course.root, env={**os.environ, "PYTHONPATH": str(course.package)}
    )
    wait_for(lambda: chapter.log("start"))
    assert len(chapter.processes()) == 2
    master.kill()
    master.wait()
    wait_for(lambda: not chapter.processes())
