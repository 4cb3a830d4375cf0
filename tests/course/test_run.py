"""One real run of notebooks made to go right and wrong, then what later runs make of it."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

WIDE = "print('w' * 50_000_000)\nprint('never seen')"
HTML = "from IPython.display import HTML\nHTML('</style></div></main><script>document.title = 1</script><b>kept</b>')"
ENVIRONMENT = """import os, sys, tutorial_lib
backend = os.environ['MPLBACKEND'].split('.')[-1]
print(os.environ['TUTORIAL_HEADLESS'], backend, os.environ.get('OMP_NUM_THREADS'), FAST, SEED)
print(sys.executable)"""


@pytest.fixture(scope="module")
def ran(shared_course):
    """Every kind of chapter in one run of two at a time."""
    course = shared_course
    course.chapter(
        "01_good", "# A heading\n\n$x^2$", course.figure, course.claim, HTML, ENVIRONMENT, title="Good & <i>well</i>"
    )
    course.chapter("02_failing", "x = 1", "# Text\nbetween", "def f(a):\n    return 1 / a\nf(0)", "print('never')")
    course.chapter("00_slow", "print('before')", "import time\ntime.sleep(600)")
    course.chapter("03_killed", "import os\nos.kill(os.getpid(), 9)")
    course.chapter("04_wide", WIDE)
    course.chapter("05_shows_an_error", "1 / 0", "print('after')")
    notebook = json.loads((course.notebooks / "05_shows_an_error.ipynb").read_text())
    notebook["cells"][1]["metadata"]["tags"] = ["raises-exception"]
    (course.notebooks / "05_shows_an_error.ipynb").write_text(json.dumps(notebook))
    course.kernel("broken", sys.executable, "-c", "raise SystemExit(3)", "{connection_file}")
    course.chapter("06_wrong_kernel", "print('never')", kernel="broken", parameters=None)
    # Somebody's own kernel of the usual name is not the one whose versions the runner records.
    course.kernel("python3", sys.executable, "-c", "raise SystemExit(4)", "{connection_file}")
    course.first = course.tutorial("run", "--jobs", "2", "--timeout", "25")
    return course


def outputs(course, name):
    notebook = json.loads((course.out / "chapters" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def printed(course, name):
    return "".join("".join(output["text"]) for output in outputs(course, name) if output["output_type"] == "stream")


def test_every_chapter_ends_in_its_own_way(ran):
    status = {name: chapter["status"] for name, chapter in ran.chapters().items()}
    assert status == {
        "01_good": "ok",
        "02_failing": "failed",
        "00_slow": "timeout",
        "03_killed": "failed",
        "04_wide": "ok",
        "05_shows_an_error": "ok",
        "06_wrong_kernel": "failed",
    }
    assert ran.first.returncode == 1
    assert ran.first.stderr == ""
    assert ran.summary()["complete"] is True


def test_time_and_memory_are_measured(ran):
    for name, chapter in ran.chapters().items():
        if name == "06_wrong_kernel":
            continue
        assert 0.1 < chapter["seconds"] < 60, name
        # A bare kernel holds some 50 MiB.
        assert 20 < chapter["peak_mib"] < 1000, name
    assert 25 <= ran.chapters()["00_slow"]["seconds"]
    # 50 MB of text were held at one time.
    assert ran.chapters()["04_wide"]["peak_mib"] > ran.chapters()["01_good"]["peak_mib"]


def test_the_failing_cell_is_shown_in_terminal_and_report(ran):
    error = ran.chapters()["02_failing"]["error"]
    assert (error["cell"], error["message"]) == (3, "ZeroDivisionError: division by zero")
    assert error["source"].startswith("def f(a)") and "return 1 / a" in error["traceback"]
    assert "\x1b" not in error["traceback"]
    report = (ran.out / "index.html").read_text(encoding="utf-8")
    for place in (ran.first.stdout, report):
        assert "def f(a):" in place and "ZeroDivisionError: division by zero" in place
    assert "never" not in printed(ran, "02_failing")
    page = (ran.out / "chapters" / "02_failing.html").read_text(encoding="utf-8")
    assert "Execution using papermill" not in page and "ended early" in page


def test_a_timeout_names_its_cell_and_keeps_what_there_is(ran):
    error = ran.chapters()["00_slow"]["error"]
    assert (error["cell"], error["message"]) == (3, "timed out: not done after 25 s")
    assert "time.sleep(600)" in error["source"]
    assert printed(ran, "00_slow") == "before\n"


def test_a_killed_kernel_is_named_as_such(ran):
    error = ran.chapters()["03_killed"]["error"]
    assert error["message"].startswith("the kernel died (killed by signal 9, SIGKILL)")
    assert error["cell"] == 2


def test_a_kernel_that_does_not_start_is_named_as_such(ran):
    error = ran.chapters()["06_wrong_kernel"]["error"]
    assert (error["message"], error["cell"]) == ("the kernel died (exit status 3)", None)


def test_claims_are_collected(ran):
    claims = ran.chapters()["01_good"]["claims"]
    assert claims[0] == {
        "statement": "mixup <b>helps</b>",
        "effect": 0.031,
        "low": 0.01,
        "high": 0.05,
        "seeds": 5,
        "verdict": "supported",
        "better": "higher",
    }
    assert [claim["verdict"] for claim in claims] == ["supported", "refuted", "open"]
    assert claims[1]["seeds"] == [0, 1, 2] and claims[2]["effect"] is None
    table = ran.tutorial("claims")
    assert table.returncode == 0
    assert "01_good" in table.stdout and "+0.0310 [+0.0100, +0.0500]  5" in table.stdout and "✘ refuted" in table.stdout
    assert "1 supported, 1 refuted, 1 open" in table.stdout and "1 supported, 1 refuted, 1 open" in ran.first.stdout


def test_what_a_notebook_says_cannot_reach_into_the_pages(ran):
    report = (ran.out / "index.html").read_text(encoding="utf-8")
    page = (ran.out / "chapters" / "01_good.html").read_text(encoding="utf-8")
    assert "mixup &lt;b&gt;helps&lt;/b&gt;" in report and "Good &amp; &lt;i&gt;well&lt;/i&gt;" in report
    assert "<script" not in report and "<script" not in page
    assert page.count("</main>") == 1 and "<b>kept</b>" in page and "<math" in page
    assert "data:image/png;base64," in report


def test_huge_output_is_cut_with_a_note(ran):
    assert printed(ran, "04_wide").endswith("100,000 of 50,000,012 characters are kept\n")
    for path in (ran.out / "chapters").glob("04_wide.*"):
        assert path.stat().st_size < 150_000


def test_an_error_that_a_cell_is_meant_to_show_is_no_failure(ran):
    assert printed(ran, "05_shows_an_error") == "after\n"


def test_the_kernel_has_this_python_its_share_of_threads_and_no_watcher(ran):
    first, executable = printed(ran, "01_good").splitlines()
    headless, backend, threads, fast, seed = first.split()
    assert (headless, backend, fast, seed) == ("1", "backend_inline", "True", "0")
    assert 1 <= int(threads)
    assert executable == sys.executable


def test_junit_agrees(ran):
    suite = ElementTree.parse(ran.out / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("7", "4")


@pytest.mark.parametrize(
    ("source", "reply", "message"),
    [
        ("x = 1\n%nomagic foo", "Line magic function `%nomagic` not found.", " (line 2: %nomagic foo)"),
        ("%%nocell\ntext", "Cell magic `%%nocell` not found.", " (line 1: %%nocell)"),
        ("%time 1\ny = %nomagic 3", "Line magic function `%nomagic` not found.", " (line 2: y = %nomagic 3)"),
        ("# %nomagic\nif x:\n    %nomagic", "Line magic function `%nomagic` not found.", " (line 3: %nomagic)"),
        ("x = 1\n%timeit -n", 'option -n requires argument (allowed: "n:r:tcp:qov:")', " (line 2: %timeit -n)"),
        ("%time 1\n%timeit -n", "option -n requires argument", ""),  # which of the two is not known
        ("get_ipython().run_line_magic('nomagic', '')", "Line magic function `%nomagic` not found.", ""),
    ],
)
def test_a_misused_magic_is_named_with_its_line(source, reply, message):
    """What the kernel says of it holds neither a traceback nor a line."""
    from tutorial_lib.course.run.execution import _what_was_raised

    said, traceback = _what_was_raised(source, {"ename": "UsageError", "evalue": reply, "traceback": []})
    assert said == traceback == f"UsageError: {reply}{message}"


def test_a_chapter_with_an_unknown_magic(course):
    course.chapter("01_a", "x = 1\n%nomagic foo", parameters=None)
    path = course.chapter("02_mark", "print('read')", parameters=None)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # some editors put a mark before UTF-8
    done = course.tutorial("run")
    message = "UsageError: Line magic function `%nomagic` not found. (line 2: %nomagic foo)"
    error = course.chapters()["01_a"]["error"]
    assert (error["cell"], error["message"]) == (1, message)
    assert done.returncode == 1 and message in done.stdout and "the cell failed" not in done.stdout
    assert printed(course, "02_mark") == "read\n"


def test_the_list_knows_the_last_run(ran):
    ran.chapter("07_new")
    listed = ran.tutorial("list").stdout
    (ran.notebooks / "07_new.ipynb").unlink()
    lines = {line.split()[0]: line for line in listed.splitlines()}
    assert lines["01_good"].endswith("✓ ok") and lines["02_failing"].endswith("✗ failed")
    assert lines["07_new"].endswith("never") and "What does 07_new ask?" in lines["07_new"]


def test_only_what_is_missing_or_changed_is_done_again(ran):
    """Cached; then a parameter, a source and an output change; then ``--fresh``."""
    before = ran.record("01_good")
    again = ran.tutorial("run", "01")
    assert again.returncode == 0 and "↺ cached" in again.stdout and "… running" not in again.stdout
    assert ran.record("01_good") == before
    # What was not asked for and is still valid stays in the report; what failed does not pass for finished.
    assert {name: chapter["status"] for name, chapter in ran.chapters().items()} == {
        "01_good": "cached",
        "04_wide": "cached",
        "05_shows_an_error": "cached",
    }
    assert ran.chapters()["01_good"]["claims"] == before["claims"]

    equal = ran.tutorial("run", "01", "-p", "FAST", "true")
    assert "↺ cached" in equal.stdout

    changed = ran.tutorial("run", "good", "-p", "FAST", "False", "-p", "SEED", "7")
    assert changed.returncode == 0 and "✓ ok" in changed.stdout
    assert printed(ran, "01_good").split()[3:5] == ["False", "7"]
    assert ran.chapters()["01_good"]["parameters"] == {"FAST": False, "SEED": 7}
    with_values = ran.record("01_good")["key"]
    assert with_values != before["key"]

    path = ran.notebooks / "05_shows_an_error.ipynb"
    path.write_text(path.read_text().replace("'after'", "'afterwards'"))
    assert "changed" in next(line for line in ran.tutorial("list").stdout.splitlines() if line.startswith("05"))
    fresh = ran.tutorial("run", "05")
    assert "✓ ok" in fresh.stdout and printed(ran, "05_shows_an_error") == "afterwards\n"

    started = ran.record("05_shows_an_error")["started"]
    damaged = ran.out / "chapters" / "05_shows_an_error.html"
    damaged.write_text("half")
    assert "✓ ok" in ran.tutorial("run", "05").stdout
    assert damaged.stat().st_size > 1000
    assert "✓ ok" in ran.tutorial("run", "05", "--fresh").stdout
    assert ran.record("05_shows_an_error")["started"] >= started


def test_a_terminal_gets_a_bar(ran):
    """In a real terminal the same run draws bars; ``script`` is not everywhere, ``pty`` is."""
    pty = pytest.importorskip("pty")
    import fcntl
    import os
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = ran.start("run", "05", "--fresh", stdout=follower, stderr=subprocess.PIPE)
    os.close(follower)
    drawn = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        drawn += part
    os.close(leader)
    assert process.wait(60) == 0
    process.stderr.close()
    text = drawn.decode("utf-8")
    assert "3/3 cells" in text and "█" in text and "✓ ok" in text and "… running" in text
