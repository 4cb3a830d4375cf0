"""A child process is started, fed, watched and ended in one place; here is what that place promises."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tutorial_lib.course.processes import Child, Watch, end_tree, how_ended, start

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals"),
]

#: A child that does what it is told, in a module of its own.
CHILD = """
import os, subprocess, sys, time
from tutorial_lib.course.processes import Parent
parent = Parent(gone=lambda: open("gone", "w").close(), silent=os.environ.get("SILENT") == "1")
print("not an answer", flush=True)
while True:
    order = parent.receive()
    if "sum" in order:
        parent.send({"sum": sum(order["sum"])})
    elif "start" in order:
        own = subprocess.Popen(["sleep", "600"])
        far = subprocess.Popen(["sleep", "600"], start_new_session=True)
        parent.send({"own": own.pid, "far": far.pid})
    elif "exit" in order:
        print("the last words", file=sys.stderr, flush=True)
        os._exit(order["exit"])
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Make children; end them with the test."""
    (tmp_path / "a_child.py").write_text(CHILD)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH"), os.getcwd()]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.chdir(tmp_path)
    made = []

    def make(**settings) -> Child:
        made.append(Child("a_child", **settings))
        return made[-1]

    yield make
    for one in made:
        one.end()


def gone(pid: int, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_messages_go_both_ways_and_nothing_else_does(child):
    one = child()
    assert one.send({"sum": [1, 2, 3]}) and one.receive(timeout=60) == {"sum": 6}
    assert one.send({"sum": []}) and one.receive(timeout=60) == {"sum": 0}
    assert one.alive and one.ended() == ""
    # It is in a session of its own: Ctrl-C in this one does not reach it.
    assert os.getsid(one.process.pid) == one.process.pid


def test_how_it_ended_and_what_it_said(child):
    one = child()
    one.send({"exit": 3})
    assert one.receive(timeout=60) is None and one.receive(timeout=60) is None
    assert not one.alive and one.ended() == "(exit status 3)"
    assert one.said().endswith("not an answer\nthe last words") and one.said(10) == "ast words"
    assert one.send({"sum": []}) is False
    one.end()
    assert one.said().endswith("the last words")
    quiet = child(environment={**os.environ, "SILENT": "1"})
    quiet.send({"exit": 0})
    assert quiet.receive(timeout=60) is None and quiet.said() == "the last words"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "(exit status 0)"),
        (-15, "(killed by signal 15, SIGTERM)"),
        (-9, "(killed by signal 9, SIGKILL); the system does so when memory runs out"),
        (-200, "(killed by signal 200)"),
    ],
)
def test_the_sentence(code, words):
    assert how_ended(code) == words


def test_no_answer_in_time_is_said_and_the_child_goes_on(child):
    one = child()
    with pytest.raises(TimeoutError, match="not done after 0.1 s"):
        one.receive(timeout=0.1)
    assert one.alive
    one.end()
    assert not one.alive and one.receive(timeout=10) is None and "SIGKILL" in one.ended()
    one.end()  # twice does no harm


def test_it_ends_with_all_that_it_has_started_and_adopted(child):
    one = child()
    one.send({"start": 1})
    pids = one.receive(timeout=60)
    one.end()
    assert gone(pids["own"]) and gone(pids["far"])
    two = child()
    two.send({"start": 1})
    pids = two.receive(timeout=60)
    two.adopt(pids["far"])
    two.process.kill()
    # What it started lives on where it was killed itself; what was adopted is known.
    assert two.receive(timeout=60) is None and psutil.pid_exists(pids["far"])
    two.end()
    assert gone(pids["far"])
    psutil.Process(pids["own"]).kill()


def test_who_is_dismissed_ends_in_order(child, tmp_path):
    one = child()
    assert one.send({"sum": []}) and one.receive(timeout=60)
    one.leave(30)
    assert one.process.returncode == 4 and (tmp_path / "gone").exists()


def test_a_child_whose_parent_was_killed_ends(child, tmp_path):
    code = (
        "import time; from tutorial_lib.course.processes import Child\n"
        "one = Child('a_child'); one.send({'sum': []}); one.receive(); print(one.process.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid) and (tmp_path / "gone").exists()


def test_a_listener_hears_everything_and_the_end(child):
    heard = []
    one = child(listener=heard.append)
    for numbers in ([1], [2], [3]):
        one.send({"sum": numbers})
    one.send({"exit": 0})
    one.process.wait(60)
    end = time.monotonic() + 30
    while (not heard or heard[-1] is not None) and time.monotonic() < end:
        time.sleep(0.02)
    assert heard == [{"sum": 1}, {"sum": 2}, {"sum": 3}, None]


# --- the watch ---

HOARD = "import time; kept = bytearray(300 * 2**20); time.sleep({seconds})"
FORKS = "import subprocess, time; [subprocess.Popen(['sleep', '600']) for _ in range(4)]; time.sleep(600)"
SLEEP = "import time; time.sleep({seconds})"


def ended(watch: Watch, code: str) -> str:
    process = start([sys.executable, "-c", code])
    watch.follow(process)
    try:
        process.wait(60)
    finally:
        end_tree(process.pid)
        watch.stop()
    return watch.reason


def test_who_takes_too_much_is_ended():
    assert ended(Watch(timeout=0.5), SLEEP.format(seconds=600)) == "timeout"
    assert ended(Watch(memory=150 * 2**20), HOARD.format(seconds=600)) == "memory"
    assert ended(Watch(processes=3), FORKS) == "processes"
    assert ended(Watch(timeout=60, memory=2**33, processes=50), "pass") == ""


def test_time_runs_before_there_is_a_process_and_may_be_set_anew():
    watch = Watch(timeout=0.1)
    time.sleep(0.6)
    assert watch.reason == "timeout" and ended(watch, SLEEP.format(seconds=600)) == "timeout"
    watch = Watch()
    watch.deadline = time.monotonic() + 0.5
    assert ended(watch, SLEEP.format(seconds=600)) == "timeout"
    watch = Watch(timeout=0.3)
    watch.deadline = float("inf")
    assert ended(watch, SLEEP.format(seconds=1)) == ""


def test_the_peak_counts_children():
    code = HOARD.format(seconds=3)
    watch = Watch()
    assert ended(watch, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])") == ""
    assert 300 * 2**20 < watch.peak < 500 * 2**20
