"""The README as the front door: its numbers are the run's, its links lead somewhere, its examples run."""

import argparse
import contextlib
import copy
import hashlib
import io
import json
import re

import nbformat
import pytest
import yaml
from conftest import ROOT
from nbformat.v4 import new_markdown_cell
from PIL import Image
from readme_examples import SCOPES, examples, run

from tutorial_lib.course import keys
from tutorial_lib.course.catalogue import CourseError, chapter_files, read_chapter
from tutorial_lib.course.cli import _parser, main
from tutorial_lib.course.front import picture
from tutorial_lib.course.front import readme as front
from tutorial_lib.course.front.picture import KEY, chosen_claim, claims_picture, picture_key
from tutorial_lib.lab.claims import CLAIM_MIME

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
NOTEBOOKS = ROOT / "notebooks"
PROSE = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.zh.md")
PAGES = {path: path.read_text(encoding="utf-8") for path in PROSE}
CHAPTERS = [read_chapter(path) for path in chapter_files(NOTEBOOKS)]
MEND = "make course, then .venv/bin/tutorial map"


@pytest.fixture(scope="module")
def measured():
    cpu, _ = front.stored(ROOT / "docs")
    return cpu


def told_of(measured, chapter):
    found = [one for one in measured["chapters"] if one["name"] == chapter.name]
    assert found, f"{chapter.name} is not in docs/measured.json: {MEND}"
    return found[0]


# --- what is committed ---


def test_the_readme_says_what_was_measured(measured):
    cpu, others = front.stored(ROOT / "docs")
    for name, block in front.blocks(cpu, others, NOTEBOOKS).items():
        # One block at a time: the message then shows which lines were edited by hand.
        assert front.fill(TEXT, {name: block}) == TEXT, f"the block {name} is not what docs/ says: {MEND}"


def test_the_map_holds_every_chapter_and_nothing_else(measured):
    keys = ("name", "number", "title", "question")
    told = [tuple(chapter[key] for key in keys) for chapter in measured["chapters"]]
    assert told == [tuple(getattr(chapter, key) for key in keys) for chapter in CHAPTERS], MEND
    for chapter in CHAPTERS:
        assert TEXT.count(f"(notebooks/{chapter.name}.ipynb)") == 1
        assert TEXT.count(f"({front.colab_address(chapter)})") == 1 and front.colab_address(chapter)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_the_claims_of_the_map_are_those_saved_in_the_chapter(chapter, measured):
    cells = nbformat.reads(chapter.text, as_version=4).cells
    saved = [
        (output.data[CLAIM_MIME]["statement"], output.data[CLAIM_MIME]["verdict"])
        for cell in cells
        for output in cell.get("outputs", [])
        if CLAIM_MIME in output.get("data", {})
    ]
    ours = told_of(measured, chapter)
    told = [(claim["statement"], claim["verdict"]) for claim in ours["claims"]]
    differ = [pair for pair in zip(saved, told) if pair[0] != pair[1]]
    assert not differ, f"saved in the chapter, and measured: {differ}; tutorial refresh, or {MEND}"
    assert len(saved) == len(told)


def stated_seconds(chapter):
    return float(re.search(r"Time: about (\d+) s on two cores", "".join(chapter.notebook()["cells"][0]["source"]))[1])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_the_time_that_a_chapter_states_is_near_the_one_measured(chapter, measured):
    """As a share of the whole course: one machine of two cores takes four times as long as another for all of it."""
    share = stated_seconds(chapter) / sum(map(stated_seconds, CHAPTERS))
    ours = told_of(measured, chapter)["seconds"] / sum(one["seconds"] for one in measured["chapters"])
    assert measured["machine"]["cores"] == 2
    assert 1 / 1.5 < share / ours < 1.5, f"its first cell states {share:.1%} of the course's time; measured: {ours:.1%}"


def test_the_picture_is_of_these_numbers(measured):
    path = ROOT / "docs" / "claims.png"
    assert path.stat().st_size < 200_000
    with Image.open(path) as image:
        assert image.text[KEY] == picture_key(measured), f"drawn from other claims: {MEND}"
        assert image.width >= 1600  # a page of 900 pixels, at double density
        assert image.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)  # opaque: dark themes show it too


def test_links_lead_somewhere():
    for path, text in PAGES.items():
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if not target.startswith("http"):
                assert (path.parent / target.partition("#")[0]).exists(), target


def test_the_commands_that_are_named_exist():
    sub = next(action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    known = {name: set(parser._option_string_actions) for name, parser in sub.choices.items()}
    rows = dict(re.findall(r"^\| `tutorial (\w+)([^`]*)`", TEXT, re.M))
    assert rows.keys() == known.keys(), "the table of commands"
    for text in PAGES.values():
        for name, rest in re.findall(r"\btutorial ([a-z]+)((?: [^\s`][^`\n]*)?)", "\n".join(_code(text))):
            assert name in known, f"tutorial {name}"
            assert set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", rest)) <= known[name], f"tutorial {name}{rest}"


def _code(text):
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S)
    return [*fenced, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))]


def test_the_bibtex_entry_agrees_with_the_citation_file():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    entry = re.search(r"```bibtex\n@software\{tutorial_lib,\n(.*?)\n\}\n```", TEXT, re.S)[1]
    fields = dict(re.findall(r"(\w+) = \{(.*?)\}(?:, (?=\w+ =)|$)", " ".join(entry.split())))
    assert fields == {
        "author": f"{{{citation['authors'][0]['name']}}}",
        "title": citation["title"],
        "version": str(citation["version"]),
        "year": str(citation["date-released"].year),
        "license": citation["license"],
    }


def test_every_chapter_has_its_papers_in_the_citation_file():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    prose = {
        chapter.number: "\n".join("".join(c["source"]) for c in chapter.notebook()["cells"] if c["cell_type"] != "code")
        for chapter in CHAPTERS
    }
    cited = set()
    for reference in citation["references"]:
        numbers = re.match(r"Chapters? ((?:\d\d(?:, | and )?)+)", reference["notes"])
        for number in re.findall(r"\d\d", numbers[1]):
            cited.add(int(number))
            # A chapter shortens a title at its colon or near its end.
            short = reference["title"].partition(":")[0][:30].lower()
            assert short in prose[int(number)].lower(), f"chapter {number} does not name {reference['title']}"
            for paper in re.findall(r"arXiv:[\d.]+\d", reference["notes"]):
                assert paper in prose[int(number)], f"{reference['title']}: chapter {number} does not name {paper}"
    assert cited == prose.keys(), "the chapters named in notes, and those that there are"


# --- the README's examples ---


@pytest.mark.parametrize("number", range(len(SCOPES)))
def test_the_examples_run(number, one_thread):
    run(number)


def test_every_example_is_run():
    assert len(examples()) == len(SCOPES) == 5


# --- a run that may be quoted, and runs that may not ---

VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6"}
DEVICE = {"system": "Linux", "machine": "x86_64", "cores": 2, "gpus": [], "visible": None}
GPU = {**DEVICE, "cores": 16, "gpus": ["NVIDIA H200"]}
MARKERS = "\n\n".join(f'<!-- {name}: written by "tutorial map" -->\nold\n<!-- /{name} -->' for name in front.BLOCKS)


def claim(statement, verdict, effect=0.25):
    sign = {"supported": 1, "refuted": -1, "open": 0}[verdict]
    ends = {"low": sign * effect - 0.125, "high": sign * effect + 0.125}
    return {"statement": statement, "effect": sign * effect, **ends, "seeds": 5, "verdict": verdict, "better": "higher"}


class Run:
    """A course of two chapters, and the folder of a run of it as ``tutorial run`` would leave it."""

    def __init__(self, course):
        self.course, self.readme = course, course.root / "README.md"
        one, two = [claim("a | b", "open"), claim("c <b>", "refuted")], [claim("d", "supported")]
        self.claims = {"01_one": one, "02_two": two}
        for number, (name, title) in enumerate({"01_one": "One | & <two>", "02_two": "Two"}.items(), 1):
            badge = f"# Text\n[badge](https://colab.research.google.com/github/O/N/blob/main/notebooks/{name}.ipynb)"
            self.write(name, course.chapter(name, badge, number=number, title=title))
        self.summarise()
        self.readme.write_text(f"# Title\n\nbefore ✔\n{MARKERS}\nafter\n", encoding="utf-8")

    def write(self, name, path, *, parameters=(), device=DEVICE, versions=VERSIONS, **changes):
        chapter, folder = read_chapter(path), self.course.out / "chapters"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.html").write_text("page")
        parameters = dict(parameters)
        record = {
            **{key: getattr(chapter, key) for key in ("name", "number", "title", "question")},
            "parameters": parameters,
            "key": keys.chapter_key(chapter, parameters, versions, device),
            "versions": versions,
            "device": device,
            "started": "2026-11-22T06:39:34+00:00",
            "status": "ok",
            "seconds": 61.4,
            "peak_mib": 512.3,
            "claims": self.claims[name],
            "error": None,
            "files": {f"{name}.html": hashlib.sha256(b"page").hexdigest()},
        }
        (folder / f"{name}.json").write_text(json.dumps(record | changes))

    def again(self, **settings):
        for name in self.claims:
            self.write(name, self.course.notebooks / f"{name}.ipynb", **settings)
        self.summarise()

    def summarise(self, *, missing=(), **changes):
        records = [json.loads(path.read_text()) for path in sorted((self.course.out / "chapters").glob("*.json"))]
        chapters = [{**record, **changes.get(record["name"][3:], {})} for record in records]
        summary = {"schema": 1, "complete": not missing, "missing": list(missing), "chapters": chapters}
        (self.course.out / "summary.json").write_text(json.dumps(summary))

    def map(self, *arguments):
        """Run the command in this process; return its status and what it printed."""
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = main(["map", "--notebooks", str(self.course.notebooks), *arguments])
        return status, out.getvalue() + error.getvalue()

    def files(self):
        kept = [self.readme, *sorted((self.course.root / "docs").glob("*"))]
        return {path.name: path.read_bytes() for path in kept}


@pytest.fixture
def made(course, monkeypatch):
    monkeypatch.setattr(keys, "source_hash", lambda folder: "the package as it is")
    # Drawing costs a third of a second; the whole way, below, draws.
    monkeypatch.setattr(picture, "claims_picture", lambda measured: picture_key(measured).encode())
    return Run(course)


def test_a_good_run_is_written_once_and_nothing_else_is_touched(made):
    status, said = made.map()
    assert status == 0 and said.count("written: ") == 3
    text = made.readme.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\nbefore ✔\n<!-- claims:") and text.endswith("<!-- /gpu -->\nafter\n")
    assert "\nold\n" not in text and "not yet measured" in text
    assert "3 claims, tested on paired seeds: 1 supported, 1 refuted, 1 open" in text
    assert "| 01 | [**One \\| &amp; &lt;two>**](notebooks/01_one.ipynb)&nbsp;·&nbsp;[Colab](https://colab." in text
    assert "| 61&nbsp;s | 512&nbsp;MiB | ✘&nbsp;1&nbsp;○&nbsp;1 |" in text
    assert "02_two               ✓ ok       1 min 01 s   512 MiB  1 claim\n" in text
    assert "22 November 2026: 2 cores, no GPU, Linux x86_64, Python 3.11.7" in text
    before = made.files()
    assert set(before) == {"README.md", "measured.json", "claims.png"}
    assert made.map() == (0, "") and made.files() == before


def test_the_picture_can_be_told_from_one_of_other_claims(measured):
    other = copy.deepcopy(measured)
    other["chapters"][0]["claims"][0]["low"] += 0.001
    assert picture_key(other) != picture_key(measured)
    assert picture_key({**measured, "date": "2030-01-01"}) == picture_key(measured)  # a date draws nothing


def test_the_picture_takes_what_a_chapter_may_hold(measured):
    """No claim, none decided, numbers that are missing or huge, a hundred claims, a statement without end."""
    strange = copy.deepcopy(measured)
    strange["chapters"] = strange["chapters"][:3]
    strange["chapters"][0]["claims"] = []
    strange["chapters"][1]["claims"] = [claim("o", "open")] * 100 + [claim("word " * 100, "refuted", 1e9)]
    strange["chapters"][2]["claims"] = [{**claim("n", "open"), "low": None, "effect": None, "high": None}]
    assert claims_picture(strange).startswith(b"\x89PNG")
    assert chosen_claim([]) is None and chosen_claim(strange["chapters"][2]["claims"])["statement"] == "n"
    assert chosen_claim(strange["chapters"][1]["claims"]) is strange["chapters"][1]["claims"][0]


def _no_run(made):
    (made.course.out / "summary.json").unlink()


def _broken_off(made):
    made.summarise(missing=["02_two"])


def _failed(made):
    made.summarise(two={"status": "failed"})


def _new_chapter(made):
    made.course.chapter("03_three", "x = 1", number=3)


def _edited_chapter(made):
    path = made.course.notebooks / "02_two.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_markdown_cell("one word more"))
    nbformat.write(notebook, path)


def _edited_package(made):
    keys.source_hash = lambda folder: "the package after an edit"  # put back by the fixture's monkeypatch


def _lost_page(made):
    (made.course.out / "chapters" / "02_two.html").unlink()


def _summary_behind(made):
    made.summarise(two={"seconds": 1.0})


def _other_seed(made):
    made.again(parameters={"SEED": 1})


def _two_machines(made):
    made.write("02_two", made.course.notebooks / "02_two.ipynb", device={**DEVICE, "cores": 64})
    made.summarise()


REFUSED = {
    _no_run: "start one with tutorial run",
    _broken_off: "not complete: 02_two not run; tutorial run does the rest",
    _failed: "02_two failed; mend it",
    _new_chapter: "03_three not run",
    _edited_chapter: "changed since 02_two ran: tutorial run, then tutorial map",
    _edited_package: "changed since 01_one, 02_two ran",
    _lost_page: "changed since 02_two ran",
    _summary_behind: "changed since 02_two ran",
    _other_seed: "made with SEED = 1",
    _two_machines: "tutorial run --fresh",
}


@pytest.mark.parametrize("harm", REFUSED, ids=lambda harm: harm.__name__[1:])
def test_a_run_that_must_not_be_quoted_is_refused(made, harm):
    made.map()
    before = made.files()
    made.readme.write_text(before["README.md"].decode() + "\nmore\n", encoding="utf-8")
    before = made.files()
    harm(made)
    status, said = made.map()
    assert status == 2 and REFUSED[harm] in said and said.count("\n") == 1
    assert made.files() == before


MAP = '<!-- map: written by "tutorial map" -->\nold\n<!-- /map -->'
BROKEN = {
    "opening gone": (MAP, "old\n<!-- /map -->", "found 0 and 1"),
    "closing gone": (MAP, MAP[:-13], "found 1 and 0"),
    "twice": (MAP, f"{MAP}\n{MAP}", "found 2 and 2"),
    "upside down": (MAP, "<!-- /map -->\nold\n<!-- map: -->\n", "or the order"),
    "one in the other": ("old\n<!-- /claims -->", f"{MAP}\n<!-- /claims -->", "the block claims holds another marker"),
    "no README": (None, None, "cannot read"),
}


@pytest.mark.parametrize("old, new, words", BROKEN.values(), ids=BROKEN)
def test_markers_that_are_not_in_order_are_an_error(made, old, new, words):
    if old is None:
        made.readme.unlink()
    else:
        text = made.readme.read_text(encoding="utf-8")
        if words.startswith("the block"):
            text = text.replace(MAP, "")
        assert old in text
        made.readme.write_text(text.replace(old, new, 1), encoding="utf-8")
    before = made.readme.read_bytes() if old else None
    status, said = made.map()
    assert status == 2 and words in said and "README.md" in said
    assert not (made.course.root / "docs").exists() and (old is None or made.readme.read_bytes() == before)


def test_line_ends_stay_as_they_are(made):
    made.readme.write_bytes(made.readme.read_bytes().replace(b"\n", b"\r\n"))
    assert made.map()[0] == 0
    data = made.readme.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") and b"<!-- /gpu -->\r\nafter\r\n" in data


def test_another_readme_has_its_own_docs(made, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "FRONT.md").write_text(MARKERS)
    before = made.readme.read_bytes()
    assert made.map("--readme", str(folder / "FRONT.md"))[0] == 0
    assert sorted(path.name for path in folder.rglob("*.*")) == ["FRONT.md", "claims.png", "measured.json"]
    assert made.readme.read_bytes() == before


# --- a run on a GPU ---


def on_gpu(made, **settings):
    made.again(device=GPU, versions={**VERSIONS, "torch": "2.13.0+cu130"}, **settings)


@pytest.mark.parametrize("parameters", [{}, {"DEVICE": "cuda"}, {"DEVICE": "cuda:0"}], ids=str)
def test_a_run_on_a_gpu_stands_beside_the_cpus(made, parameters):
    made.map()
    before = made.files()
    made.claims["02_two"] = [claim("d", "open")]
    on_gpu(made, parameters=parameters, seconds=9.6)
    assert made.map()[0] == 0
    after = made.files()
    assert set(after) - set(before) == {"measured-cuda.json"}
    assert after["measured.json"] == before["measured.json"] and after["claims.png"] == before["claims.png"]
    text = after["README.md"].decode()
    assert "| time on 2 cores | time on NVIDIA H200 |" in text and "| 61&nbsp;s | 10&nbsp;s |" in text
    assert "NVIDIA H200, 16 cores" in text and "2 of 3 claims had the CPU's verdict" in text
    assert "- 02_two: d (supported on the CPU, open there)" in text and "not yet measured" not in text
    # The next run on the CPU keeps the column.
    made.claims["02_two"] = [claim("d", "supported")]
    made.again()
    assert made.map()[0] == 0 and made.readme.read_bytes() == after["README.md"]


def test_a_cpu_run_on_a_machine_with_a_gpu_is_the_cpus(made):
    on_gpu(made, parameters={"DEVICE": "cpu"})
    assert made.map()[0] == 0
    assert set(made.files()) == {"README.md", "measured.json", "claims.png"}


def test_the_cpus_numbers_come_first(made):
    on_gpu(made)
    before = made.files()
    status, said = made.map()
    assert status == 2 and "tutorial map of a run on the CPU comes first" in said and made.files() == before


# --- the whole way ---


def test_run_then_map(course):
    course.chapter("01_one", course.claim, "x = 1")
    readme = course.root / "README.md"
    readme.write_text(MARKERS, encoding="utf-8")
    assert course.tutorial("run").returncode == 0
    done = course.tutorial("map")
    assert done.returncode == 0, done.stderr
    measured = json.loads((course.root / "docs" / "measured.json").read_text(encoding="utf-8"))
    assert measured["chapters"][0]["seconds"] == course.chapters()["01_one"]["seconds"]
    assert "1 supported, 1 refuted, 1 open" in readme.read_text(encoding="utf-8")
    with Image.open(course.root / "docs" / "claims.png") as image:
        assert image.text[KEY] == picture_key(measured)


def test_errors_are_one_line_for_the_reader():
    with pytest.raises(CourseError, match="no run in"):
        front.measure(ROOT / "no such folder", CHAPTERS)
