"""Nothing is lost: kill -9 at random points, Ctrl-C, a full disk, a dead worker; and nobody is left behind."""

import json
import os
import random
import signal
import time

import psutil
import pytest

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals"),
]

LOG = """import os, time
with open("{log}", "a") as file:
    print("{name}", os.getpid(), file=file)
time.sleep({seconds})"""


def logging_chapter(course, name, seconds=0.2):
    course.chapter(name, LOG.format(log=course.root / "log", name=name, seconds=seconds), parameters=None)


def log(course) -> list[tuple[str, int]]:
    path = course.root / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def wait_for(condition, seconds=60.0):
    """Wait for what must come; how long it takes decides nothing short of a minute."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stored(course) -> dict[str, bytes]:
    folder = course.out / "chapters"
    return {path.stem: path.read_bytes() for path in folder.glob("*.json")} if folder.is_dir() else {}


def whole(course) -> None:
    """Every file that has its final name is whole."""
    for path in course.out.rglob("*"):
        if path.suffix in (".json", ".ipynb"):
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


def run_and_kill(course, *, begun: int, after: float) -> None:
    """Kill a run some seconds after the chapters begun so far are ``begun``, and wait until its folder is at rest.

    The moment falls between two chapters, into a kernel's start, or into a write.
    """
    process = course.start("run", "--jobs", "1", stdout=None, stderr=None)
    wait_for(lambda: process.poll() is not None or len(log(course)) >= begun)
    time.sleep(after)
    process.kill()
    process.wait()
    kernels = [pid for _, pid in log(course)]

    def at_work(child) -> bool:
        worker = "tutorial_lib.course.run.worker" in (child.info["cmdline"] or [])
        return worker and child.info["cwd"] == str(course.notebooks)

    # Nobody is left behind: neither kernels nor workers.
    wait_for(lambda: all(map(gone, kernels)))
    wait_for(lambda: not any(map(at_work, psutil.process_iter(["cmdline", "cwd"]))))


def test_killing_the_runner_at_random_points_loses_nothing(course):
    names = ["00_a", "01_b", "02_c", "03_d"]
    for name in names:
        logging_chapter(course, name)
    draw = random.Random(2)
    for attempt in range(3):
        finished = stored(course)
        run_and_kill(course, begun=attempt + 1, after=draw.uniform(0, 2.5))
        whole(course)
        assert finished.items() <= stored(course).items()
    finished, runs = stored(course), len(log(course))
    last = course.tutorial("run", "--jobs", "1")
    assert last.returncode == 0, last.stderr
    assert {name: chapter["status"] for name, chapter in course.chapters().items()} == {
        name: "cached" if name in finished else "ok" for name in names
    }
    # Only what was missing was run, once each, and what was finished is to the byte what it was.
    assert [name for name, _ in log(course)[runs:]] == [name for name in names if name not in finished]
    assert finished.items() <= stored(course).items()
    assert not list(course.out.rglob("*.tmp")) and not list(course.out.rglob(".*.tmp"))
    whole(course)


def test_ctrl_c_keeps_what_is_done_and_a_dead_worker_is_a_failed_chapter(course):
    logging_chapter(course, "00_a", 0)
    logging_chapter(course, "01_b", 600)
    logging_chapter(course, "02_c", 600)
    process = course.start("run", "--jobs", "1")
    wait_for(lambda: len(log(course)) == 2)
    # The worker of 01_b is killed outright: its chapter has failed, its kernel does not live on, the run goes on.
    kernel = psutil.Process(log(course)[1][1])
    kernel.parent().kill()
    wait_for(lambda: len(log(course)) == 3)
    assert gone(kernel.pid)
    last = log(course)[2][1]
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stderr and "tutorial run does only what is missing" in stderr and "Traceback" not in stderr
    assert gone(last)
    summary = course.summary()
    assert (summary["complete"], summary["missing"]) == (False, ["02_c"])
    assert {name: chapter["status"] for name, chapter in course.chapters().items()} == {"00_a": "ok", "01_b": "failed"}
    assert "process died (killed by signal 9, SIGKILL)" in course.chapters()["01_b"]["error"]["message"]
    assert "02_c not run yet" in (course.out / "index.html").read_text(encoding="utf-8")
    whole(course)
    # SIGTERM ends a run in the same order.
    process = course.start("run", "2")
    wait_for(lambda: len(log(course)) == 4)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143 and gone(log(course)[3][1])


def test_a_full_disk_is_said_and_finished_chapters_stay(course):
    """A limit on the size of a file stands in for the full disk: the write fails in the same place."""
    resource = pytest.importorskip("resource")
    course.chapter("00_small", "print(1)", parameters=None)
    course.chapter("01_big", "print('x' * 90_000)", parameters=None)
    course.chapter("02_never", "print(1)", parameters=None)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = course.tutorial("run", "--jobs", "1", preexec_fn=limit)
    assert done.returncode == 1
    assert "could not store chapter 01_big" in done.stderr and "make room, then tutorial run" in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    assert {name: chapter["status"] for name, chapter in course.chapters().items()} == {"00_small": "ok"}
    assert list(stored(course)) == ["00_small"] and not list(course.out.rglob(".*.tmp"))
    whole(course)
    before = stored(course)["00_small"]
    assert course.tutorial("run", "--jobs", "2").returncode == 0
    assert [chapter["status"] for chapter in course.chapters().values()] == ["cached", "ok", "ok"]
    assert stored(course)["00_small"] == before


def test_a_stuck_worker_is_ended_by_the_runner(course, monkeypatch):
    """The worker keeps the deadline itself; where it cannot, the runner does."""
    from tutorial_lib.course.catalogue import read_chapter
    from tutorial_lib.course.run import runner

    monkeypatch.setattr(runner, "GRACE", 0.2)
    pid = course.root / "pid"
    stop = f"import os, signal\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nos.kill(os.getppid(), signal.SIGSTOP)"
    job = runner.Job(read_chapter(course.chapter("00_a", stop, "import time; time.sleep(600)", parameters=None)))
    (course.out / "chapters").mkdir(parents=True)
    events = list(runner.execute([job], out=course.out, timeout=6, versions={}, device={}))
    kind, _, record = events[-1]
    assert (kind, record["status"]) == ("done", "timeout")
    assert course.record("00_a")["error"]["message"] == "timed out: not done after 6 s"
    wait_for(lambda: gone(int(pid.read_text())))
    assert os.path.exists(course.out / "chapters" / "00_a.json")
