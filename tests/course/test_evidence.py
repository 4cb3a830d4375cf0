"""Evidence and live checks: an experiment's hash, the command that makes what is missing, what a run makes of it."""

import argparse
import hashlib
import json
import os
from types import SimpleNamespace

import pytest
from conftest import ROOT

from tutorial_lib.course.catalogue import CourseError, read_chapter
from tutorial_lib.course.machine import PLAIN, THREADS, kernel_environment
from tutorial_lib.course.run.worker import agreement
from tutorial_lib.course.sweep.evidence import _data, look, read_plans
from tutorial_lib.course.sweep.grid import Sweep
from tutorial_lib.course.sweep.program import read_program

PARAMETERS = "FAST = True\nSEED = 0\nK = 2"
IMPORTS = "from math import floor, sqrt\nfrom tutorial_lib.lab.training import compare\nimport json"
RUN = '''STEPS, GRAIN = 3, 4


def run(method, seed, rate=0.5):
    """A doc."""
    if method == "broken":
        raise ValueError("never well")
    return {"score": floor(K * seed + rate * STEPS) + len(method), "seconds": 9.0}'''
EXPERIMENT = 'METHODS = ["a", "bb"]\ntable = compare(run, METHODS, range(SEED + 100, SEED + 103))\nprint(table)'
PLAN = """
[01_made]
chapter = "01"
parameters = { K = 5 }
runs = [ { methods = ["a", "bb"], seeds = "0-2" }, { methods = ["a"], seeds = "3,4" } ]
"""


def meaning(course, *cells, parameters=PARAMETERS):
    return read_program(read_chapter(course.chapter("01_a", *cells, parameters=parameters))).meaning()


SAME = {
    "comments and layout": (IMPORTS, RUN.replace("STEPS, GRAIN = 3, 4", "STEPS,GRAIN=(3,\n  4)  # steps"), EXPERIMENT),
    "a docstring": (IMPORTS, RUN.replace("A doc.", "Another."), EXPERIMENT),
    "no docstring": (IMPORTS, RUN.replace('    """A doc."""\n', ""), EXPERIMENT),
    "where the package keeps a name": (IMPORTS.replace(".lab.training", ".lab"), RUN, EXPERIMENT),
    "an import of something else": (IMPORTS + "\nimport csv", RUN, EXPERIMENT),
    "the order of imports": (IMPORTS.replace("floor, sqrt", "sqrt, floor"), RUN, EXPERIMENT),
    "what is shown afterwards": (IMPORTS, RUN, EXPERIMENT.replace("print(table)", "table.plot()")),
    "another statement of the cell": (IMPORTS, RUN + "\nunused = 7", EXPERIMENT),
    "the live seeds": (IMPORTS, RUN, EXPERIMENT.replace("103", "104")),
    "the live methods": (IMPORTS, RUN, EXPERIMENT.replace('["a", "bb"]', '["a"]')),
    "the name of the table": (IMPORTS, RUN, EXPERIMENT.replace("compare(run, METHODS", "compare(run, [*METHODS]")),
}  # fmt: skip
OTHER = {
    "a number": (IMPORTS, RUN.replace("3, 4", "4, 4"), EXPERIMENT),
    "an operation": (IMPORTS, RUN.replace("K * seed", "K + seed"), EXPERIMENT),
    "a default": (IMPORTS, RUN.replace("rate=0.5", "rate=0.6"), EXPERIMENT),
    "a fixed setting": (IMPORTS, RUN, EXPERIMENT.replace("103))", "103), rate=0.6)")),
    "a text": (IMPORTS, RUN.replace('"score"', '"scores"'), EXPERIMENT),
    "an import's source": (IMPORTS.replace("math", "numpy"), RUN, EXPERIMENT),
    "what an imported name stands for": (IMPORTS.replace("floor, sqrt", "ceil as floor"), RUN, EXPERIMENT),
    "what changes a name in place": (IMPORTS, RUN + "\nSTEPS += 1", EXPERIMENT),
}  # fmt: skip


@pytest.mark.parametrize("change", SAME)
def test_the_hash_is_blind_to_what_computes_nothing(course, change):
    assert meaning(course, *SAME[change]) == meaning(course, IMPORTS, RUN, EXPERIMENT)


@pytest.mark.parametrize("change", OTHER)
def test_the_hash_sees_what_computes_something_else(course, change):
    assert meaning(course, *OTHER[change]) != meaning(course, IMPORTS, RUN, EXPERIMENT)


def test_a_parameters_default_counts_where_the_experiment_reads_it(course):
    before = meaning(course, IMPORTS, RUN, EXPERIMENT)
    assert meaning(course, IMPORTS, RUN, EXPERIMENT, parameters=PARAMETERS.replace("K = 2", "K = 3")) != before
    assert meaning(course, IMPORTS, RUN, EXPERIMENT, parameters=PARAMETERS.replace("True", "False")) == before


@pytest.mark.parametrize("asked", ["real", "departments_zh", "builtin"])
def test_the_evidence_names_the_prepared_data_it_was_made_from(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_DATA", str(tmp_path))
    prepared = tmp_path / "departments_zh" / "departments_longtail_zh.npz"
    prepared.parent.mkdir()
    prepared.write_bytes(b"questions")
    chapter = SimpleNamespace(text='load_real("departments_zh")' if asked == "real" else "load_real(DATA)")
    told = _data(SimpleNamespace(parameters={"DATA": asked}, chapter=chapter))
    digest = hashlib.sha256(b"questions").hexdigest()
    assert told == (None if asked == "builtin" else {"departments_zh": digest})


def planned(course, plan=PLAN, run=RUN):
    course.chapter("01_a", IMPORTS, run, EXPERIMENT, parameters=PARAMETERS)
    (course.root / "results").mkdir(exist_ok=True)
    (course.root / "results" / "evidence.toml").write_text(plan, encoding="utf-8")


def stored(course):
    return json.loads((course.root / "results" / "01_made.json").read_text(encoding="utf-8"))


def test_what_is_missing_is_made_once_and_what_is_stale_again(course):
    planned(course)
    checked = course.tutorial("evidence", "--check")
    assert (
        checked.returncode == 1 and "01_made: 0 of 8 runs (5 seeds); 8 to do, how long is known after" in checked.stdout
    )
    assert not (course.root / "results" / "01_made.json").exists()

    made = course.tutorial("evidence", "01", "--workers", "1")
    assert made.returncode == 0, made.stdout + made.stderr
    record = stored(course)
    # floor(5 * seed + 1.5) + the length of the name
    assert {(row["method"], row["seed"]): row["score"] for row in record["rows"]} == {
        **{("a", seed): 5 * seed + 2 for seed in range(5)},
        **{("bb", seed): 5 * seed + 3 for seed in range(3)},
    }
    assert record["command"] == "tutorial evidence 01_a" and record["parameters"] == {"K": 5}
    assert record["machine"] and record["versions"]["python"] and record["seconds"] >= 0
    assert all(row["seconds"] < 9 for row in record["rows"])  # the sweep's clock, not the chapter's
    [state] = [look(plan) for plan in read_plans(course.notebooks)]
    assert record["cells"] == state.plan.cells and not state.missing and not state.stale

    before = (course.root / "results" / "01_made.json").read_bytes()
    again = course.tutorial("evidence")
    assert again.returncode == 0 and "8 of 8 runs" in again.stdout and "loading" not in again.stdout
    assert (course.root / "results" / "01_made.json").read_bytes() == before

    planned(course, PLAN.replace('"3,4"', '"3-5"'))
    more = course.tutorial("evidence", "--check")
    assert more.returncode == 1 and "1 to do, about" in more.stdout and "of one core" in more.stdout

    planned(course, run=RUN.replace("3, 4", "5, 4"))
    stale = course.tutorial("evidence", "--check")
    assert stale.returncode == 1 and "has changed since the file was made" in stale.stdout and "8 to do" in stale.stdout


def test_storing_evidence_changes_no_run_that_is_under_way(course):
    quoting = 'from tutorial_lib.lab import load_evidence\nNAME = "01_made"'
    chapter = read_chapter(course.chapter("01_a", IMPORTS, RUN, EXPERIMENT, quoting))
    assert "01_made" in chapter.text
    (course.root / "results").mkdir(exist_ok=True)

    def base():
        asked = dict(notebooks=chapter.path.parent, chapter="01", parameter=[], experiment=None, out=None)
        options = argparse.Namespace(**asked)
        return list(Sweep(options).sets)

    before = base()
    (course.root / "results" / "01_made.json").write_text("{}")
    assert base() == before


def test_the_evidence_of_a_named_experiment_is_that_experiments(course):
    second = RUN.replace("def run", "def other").replace('"score": floor', '"second": 7 + floor')
    again = 'more = compare(other, ["a", "bb"], range(SEED + 200, SEED + 201))'
    course.chapter("01_a", IMPORTS, RUN, EXPERIMENT, second, again, parameters=PARAMETERS)
    (course.root / "results").mkdir(exist_ok=True)
    plan = '[01_made]\nchapter = "01"\nexperiment = "more"\nruns = [ { methods = ["bb"], seeds = "0" } ]'
    (course.root / "results" / "evidence.toml").write_text(plan)
    made = course.tutorial("evidence", "01", "--workers", "1")
    assert made.returncode == 0, made.stdout + made.stderr
    [row] = json.loads((course.root / "results" / "01_made.json").read_text())["rows"]
    assert row["method"] == "bb" and row["second"] == 10 and "score" not in row
    assert course.tutorial("evidence", "--check").returncode == 0


def test_rows_of_another_sweep_are_taken_if_it_ran_the_same_cells(course):
    planned(course)
    folder = course.root / "elsewhere"
    swept = course.tutorial(
        "sweep", "01", "-p", "K", "5", "--methods", "a", "--seeds", "0-9", "--workers", "1", "--out", str(folder)
    )
    assert swept.returncode == 0, swept.stderr
    taken = course.tutorial("evidence", "--check", "--from", str(folder))
    assert taken.returncode == 1 and "5 runs taken" in taken.stdout and "5 of 8 runs" in taken.stdout
    assert {row["method"] for row in stored(course)["rows"]} == {"a"}
    (course.root / "results" / "01_made.json").unlink()
    planned(course, run=RUN.replace("3, 4", "5, 4"))
    assert "taken" not in course.tutorial("evidence", "--check", "--from", str(folder)).stdout
    nowhere = course.tutorial("evidence", "--check", "--from", str(course.root))
    assert nowhere.returncode == 2 and "holds no sweep" in nowhere.stderr


def test_runs_that_fail_are_said_and_the_others_are_kept(course):
    planned(course, PLAN.replace('["a"], seeds', '["a", "broken"], seeds'))
    path = course.notebooks / "01_a.ipynb"
    path.write_text(path.read_text().replace('[\\"a\\", \\"bb\\"]', '[\\"a\\", \\"bb\\", \\"broken\\"]'))
    made = course.tutorial("evidence", "--workers", "1")
    assert made.returncode == 1 and "never well" in made.stdout
    assert len(stored(course)["rows"]) == 8


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("[a", "is not TOML"),
        ("[x]\nruns = []", "chapter must be such as .*, got None"),
        ('[x]\nchapter = "77"\nruns = []', "77"),
        (PLAN.replace("K = 5", "L = 5"), "no parameter 'L'"),
        (PLAN.replace('"0-2"', '"two"'), "expected seeds such as"),
        (PLAN.replace('"0-2"', "3"), "seeds must be such as .*, got 3"),
        (PLAN.replace('["a"], seeds', '"a", seeds'), "methods must be such as"),
        ('[x]\nchapter = "01"', "runs must be such as"),
    ],
)
def test_a_plan_that_cannot_be_is_a_clear_error(course, plan, words):
    planned(course, plan)
    with pytest.raises(CourseError, match=words):
        read_plans(course.notebooks)


def test_without_a_plan_the_command_says_so(course):
    course.chapter("01_first", "x = 1")
    done = course.tutorial("evidence", "--check")
    assert done.returncode == 0 and "No chapter has evidence planned" in done.stdout


def test_a_chapter_without_a_plan_is_named(course):
    planned(course)
    course.chapter("02_b", IMPORTS, RUN, EXPERIMENT, parameters=PARAMETERS)
    asked = course.tutorial("evidence", "02", "--check")
    assert asked.returncode == 2 and "02_b has no evidence planned" in asked.stderr
    (course.root / "results" / "evidence.toml").unlink()
    assert course.tutorial("evidence", "--check").returncode == 0


# --- this course's own ---


@pytest.mark.parametrize("plan", read_plans(ROOT / "notebooks"), ids=lambda plan: plan.name)
def test_the_stored_evidence_is_that_of_the_chapters_cells(plan):
    state = look(plan)
    assert state.record, f"results/{plan.name}.json is missing: tutorial evidence {plan.chapter.name}"
    assert not state.stale, f"the experiment of {plan.chapter.name} has changed: tutorial evidence {plan.chapter.name}"
    assert not state.missing, f"{len(state.missing)} runs are missing: tutorial evidence {plan.chapter.name}"


def test_every_chapter_that_reads_evidence_has_it_planned():
    names = {plan.name for plan in read_plans(ROOT / "notebooks")}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        source = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
        asked = {part.split('"')[1] for part in source.split("load_evidence(")[1:] if part.startswith('"')}
        assert asked <= names, path.name


# --- what a run makes of a live check ---

LIVE = """from IPython.display import display
def say(statement, agrees):
    record = dict(statement=statement, effect=0.03, low=0.01, high=0.05, seeds=40, verdict="supported", better="higher")
    record |= dict(level=0.99, margin=0.01, visible=0.02, needed=None, corrected="open", asks="better", p=0.002)
    record |= dict(live=[0.1, 0.2, 0.3], expected=[-0.1, 0.16], agrees=agrees)
    display({"application/vnd.tutorial.claim+json": record, "text/plain": statement}, raw=True)
say("it <b>helps</b>", AGREES)
say("nothing fresh", None)"""


@pytest.fixture(scope="module")
def ran(shared_course):
    for name, agrees in (("01_agrees", True), ("02_disagrees", False)):
        shared_course.chapter(name, LIVE, parameters=f"SEED = 0\nAGREES = {agrees}")
    shared_course.chapter("03_older", shared_course.claim)
    shared_course.first = shared_course.tutorial("run")
    return shared_course


def test_a_disagreement_is_in_the_exit_code_the_summary_the_report_and_junit(ran):
    assert ran.first.returncode == 1
    assert "✗ 02_disagrees: the fresh seeds do not agree with the evidence: it <b>helps</b>" in ran.first.stdout
    assert "Live checks: 1 of 2 agree." in ran.first.stdout
    chapters = ran.chapters()
    assert [chapters[name]["agrees"] for name in sorted(chapters)] == [True, False, None]
    assert chapters["02_disagrees"]["status"] == "ok"
    assert ran.record("02_disagrees")["agrees"] is False
    claim = chapters["02_disagrees"]["claims"][0]
    assert (claim["level"], claim["margin"], claim["visible"], claim["needed"]) == (0.99, 0.01, 0.02, None)
    assert (claim["live"], claim["expected"], claim["agrees"]) == ([0.1, 0.2, 0.3], [-0.1, 0.16], False)
    assert chapters["01_agrees"]["claims"][1]["agrees"] is None
    assert "margin" not in chapters["03_older"]["claims"][0]
    report = (ran.out / "index.html").read_text(encoding="utf-8")
    assert "✗ 3 seeds disagree" in report and "✓ 3 agree" in report and "live check disagrees" in report
    assert "after Holm: open" in report and "chance alone" in report
    junit = (ran.out / "junit.xml").read_text(encoding="utf-8")
    assert 'type="disagrees"' in junit and 'failures="1"' in junit


def test_the_page_of_the_chapter_opens_with_the_disagreement(ran):
    page = (ran.out / "chapters" / "02_disagrees.html").read_text(encoding="utf-8")
    assert "do not agree with the stored evidence" in page
    assert "do not agree" not in (ran.out / "chapters" / "01_agrees.html").read_text(encoding="utf-8")


def test_a_chapter_kept_from_before_still_disagrees(ran):
    again = ran.tutorial("run", "02")
    assert again.returncode == 1 and "cached" in again.stdout and "do not agree" in again.stdout
    assert ran.tutorial("run", "01").returncode == 0


def test_the_table_of_claims_says_what_chance_alone_would_decide(ran):
    table = ran.tutorial("claims")
    # 4 claims at 99 % and 3 at 95 %
    assert "chance alone would call about 0.2 of these 7 claims" in table.stdout and "3 seeds disagree" in table.stdout


def test_a_chapter_agrees_if_all_its_live_checks_do():
    assert agreement([]) is None and agreement([{}, {"agrees": None}]) is None
    assert agreement([{"agrees": True}, {"agrees": None}]) is True
    assert agreement([{"agrees": True}, {"agrees": False}]) is False


# --- a second arithmetic ---


def test_plain_arithmetic_is_other_instructions_and_another_number_of_threads(monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for share in (1, 2):
        native, plain = (kernel_environment(share, arithmetic=kind) for kind in ("native", "plain"))
        assert PLAIN.items() <= plain.items() and not PLAIN.keys() & native.keys() - os.environ.keys()
        assert all(plain[name] != native.get(name, str(os.cpu_count())) for name in THREADS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert kernel_environment(1, arithmetic="plain")["OMP_NUM_THREADS"] == "2"


def test_a_chapter_runs_in_the_plain_arithmetic_and_is_told_from_the_native(course):
    course.chapter("01_a", "import torch\nprint(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())")
    native = course.tutorial("run")
    plain = course.tutorial("run", "--arithmetic", "plain")
    assert (native.returncode, plain.returncode) == (0, 0), native.stderr + plain.stderr
    assert "cached" not in plain.stdout
    assert course.record("01_a")["device"]["arithmetic"] == "plain"
    notebook = json.loads((course.out / "chapters" / "01_a.ipynb").read_text(encoding="utf-8"))
    said = "".join(notebook["cells"][-1]["outputs"][0]["text"])
    assert said.startswith("DEFAULT ")
    assert "cached" in course.tutorial("run", "--arithmetic", "plain").stdout
    assert "cached" not in course.tutorial("run").stdout


def test_a_real_chapter_has_the_same_verdicts_in_the_plain_arithmetic(course, monkeypatch):
    monkeypatch.setattr(course, "package", ROOT)  # the checkout itself: beside it lies what the verdicts rest on
    saved = json.loads((ROOT / "notebooks" / "00_start_here.ipynb").read_text(encoding="utf-8"))
    kind = "application/vnd.tutorial.claim+json"
    before = [
        output["data"][kind]["verdict"]
        for cell in saved["cells"]
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]
    ran = course.tutorial(
        "run", "--notebooks", str(ROOT / "notebooks"), "00", "--arithmetic", "plain", "--out", "plain"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads((course.root / "plain" / "summary.json").read_text(encoding="utf-8"))
    [chapter] = summary["chapters"]
    assert [claim["verdict"] for claim in chapter["claims"]] == before
    assert chapter["agrees"] is not False
