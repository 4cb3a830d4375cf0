"""The report's three files, from made-up records: escaping, stable keys, self-containedness."""

import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tutorial_lib.course.run.pages import chapter_page, mathml, sanitise
from tutorial_lib.course.run.report import write_reports
from tutorial_lib.course.run.worker import CLAIM, collect_claims, first_figure

EVIL = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>&\"'\x00\x1b[31m"
KEYS = {"name", "number", "title", "question", "status", "seconds", "peak_mib", "started", "parameters", "claims"}
KEYS |= {"agrees", "error", "notebook", "html"}
DEVICE = {"system": "Linux", "machine": "x86_64", "cores": 2, "gpus": [], "visible": None}


class Page(HTMLParser):
    """Collects tags, the addresses that a browser would load, and visible text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.loads, self.text, self.ids = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids.append(attributes.get("id"))
        assert not any(name.startswith("on") for name in attributes), attributes
        self.loads += [
            attributes[name] for name in ("src", "srcset", "data", "background", "poster") if name in attributes
        ]
        if tag == "link":
            self.loads.append(attributes.get("href"))

    def handle_data(self, data):
        self.text += data


def assert_stands_alone(html: str) -> Page:
    page = Page(html)
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert all(address.startswith("data:image/") for address in page.loads)
    head = html[: html.index("<title>")]
    assert "default-src 'none'" in head and "script-src" not in head
    return page


def record(name="01_a", status="ok", **changes):
    claim = {"statement": "it helps", "effect": 0.5, "low": 0.25, "high": 0.75, "seeds": [0, 1], "verdict": "supported"}
    return {
        "name": name,
        "number": 1,
        "title": "Title",
        "question": "Why?",
        "status": status,
        "seconds": 2.5,
        "peak_mib": 100.0,
        "started": "2026-01-02T03:04:05+00:00",
        "parameters": {},
        "claims": [{**claim, "better": "higher"}],
        "error": None,
        "files": {f"{name}.ipynb": "", f"{name}.html": ""},
        "figure": {"mime": "image/png", "data": "aGVsbG8="},
    } | changes


def written(tmp_path, *records, missing=()):
    versions = {"python": "3.11.7", "torch": "2.13.0"}
    return write_reports(tmp_path, list(records), missing=list(missing), versions=versions, device=DEVICE)


def test_summary_keys_are_stable(tmp_path):
    error = {"cell": 2, "source": "1/0", "message": "ZeroDivisionError: division by zero", "traceback": "…"}
    written(
        tmp_path, record(), record("02_b", "failed", error=error, files={}), record("03_c", "cached"), missing=["04_d"]
    )
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert set(summary) == {"schema", "complete", "missing", "written", "versions", "device", "totals", "chapters"}
    assert (summary["schema"], summary["complete"], summary["missing"]) == (1, False, ["04_d"])
    assert summary["totals"] == {"ok": 1, "failed": 1, "timeout": 0, "cached": 1}
    assert all(set(chapter) == KEYS for chapter in summary["chapters"])
    assert set(summary["chapters"][0]["claims"][0]) == {
        "statement",
        "effect",
        "low",
        "high",
        "seeds",
        "verdict",
        "better",
    }
    assert summary["chapters"][1]["error"] == error
    assert [chapter["html"] for chapter in summary["chapters"]] == ["chapters/01_a.html", None, "chapters/03_c.html"]


def test_everything_in_the_report_is_escaped(tmp_path):
    claim = {
        "statement": EVIL,
        "effect": None,
        "low": None,
        "high": None,
        "seeds": None,
        "verdict": EVIL,
        "better": EVIL,
    }
    error = {"cell": 1, "source": EVIL, "message": EVIL, "traceback": EVIL}
    figure = {"mime": 'image/png"><script>', "data": '"><script>alert(1)</script>'}
    evil = record(
        status="failed", title=EVIL, question=EVIL, parameters={EVIL: EVIL}, claims=[claim], error=error, figure=figure
    )
    written(tmp_path, evil)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = assert_stands_alone(html)
    assert page.text.count("<script>alert(1)</script>") >= 7 and "onerror=alert(1)>" in page.text
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert "<script>alert(1)</script>" in suite.find(".//failure").text


def test_the_report_says_it_all_in_words(tmp_path):
    verdicts = [dict(record()["claims"][0], verdict=verdict) for verdict in ("supported", "refuted", "open")]
    written(tmp_path, record(claims=verdicts), record("02_b", "cached", parameters={"FAST": False}), missing=["03_c"])
    page = assert_stands_alone((tmp_path / "index.html").read_text(encoding="utf-8"))
    text = " ".join(page.text.split())
    for words in (
        "✓ ok",
        "↺ cached",
        "✔ supported",
        "✘ refuted",
        "○ open",
        "+0.5000 [+0.2500, +0.7500]",
        "2.5 s",
        "100 MiB",
        "FAST = False",
        "03_c not run yet",
        "2 supported, 1 refuted, 1 open",
        "Why?",
    ):
        assert words in text
    assert page.loads == ["data:image/png;base64,aGVsbG8="] * 2


def test_junit_counts(tmp_path):
    error = {"cell": None, "source": "", "message": "timed out", "traceback": "timed out"}
    written(tmp_path, record(), record("02_b", "timeout", error=error), record("03_c", "cached"))
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert [case.find("failure") is not None for case in suite] == [False, True, False]
    assert suite[1].find("failure").get("type") == "timeout" and suite[0].get("time") == "2.500"


def test_an_empty_report_is_a_report(tmp_path):
    assert written(tmp_path, missing=["01_a"])["chapters"] == []
    assert (
        "No chapter has finished yet" in assert_stands_alone((tmp_path / "index.html").read_text(encoding="utf-8")).text
    )


def test_a_full_disk_leaves_the_old_report_whole(tmp_path, monkeypatch):
    written(tmp_path, record())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, record("02_b"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def chapter_html(*cells, folder=".", **changes):
    return chapter_page(new_notebook(cells=list(cells)), record(**changes), folder=folder)


def test_an_executed_notebook_is_a_page_without_scripts_or_network():
    outputs = [
        new_output("stream", text=EVIL[:-6]),
        new_output("display_data", {"text/html": EVIL + "</div></main></body><style>p{color:red}</style><b>kept</b>"}),
        new_output("display_data", {"application/javascript": "alert(1)"}),
        new_output("display_data", {"image/svg+xml": "<svg onload='alert(1)'><script>alert(1)</script></svg>"}),
        new_output("display_data", {"text/markdown": "**bold** <script>alert(1)</script> [x](javascript:alert(1))"}),
        new_output("display_data", {"image/png": "aGVsbG8="}),
        new_output("error", ename="E", evalue=EVIL, traceback=[EVIL]),
    ]
    html = chapter_html(
        new_markdown_cell(f"# T\n{EVIL}\n![badge](https://example.org/b.svg)"),
        new_code_cell(EVIL[:-6], outputs=outputs),
        title=EVIL,
    )
    page = assert_stands_alone(html)
    assert "javascript:" not in html
    assert "badge" in page.text and "https://example.org" not in html
    assert html.count("</main>") == 1 and html.rstrip().endswith("</html>")
    assert "kept" in page.text and "p{color" not in page.text
    assert "Figure 1 of this chapter, drawn by code cell 1" in html


def test_formulas_are_drawn_without_a_script():
    page = chapter_html(
        new_markdown_cell("Inline $x_i \\sim y$ and\n\n$$\\frac{a}{b} < 1$$\n\n\\begin{align} a &= b \\end{align}")
    )
    assert page.count("<math") == 3 and "<mfrac>" in page and "$" not in Page(page).text and "&lt;" in page
    assert mathml("x^a^b") == "<code>x^a^b</code>"
    assert mathml(r"\unknown{x}", "block") == r"<pre>\unknown{x}</pre>"
    assert mathml("<script>", "block").count("<script>") == 0


def test_tables_folds_and_links_survive():
    html = chapter_html(
        new_markdown_cell(
            "| a | b |\n|---|--:|\n| 1 | `c` |\n\n<details><summary>s</summary>t</details>\n\n"
            "[next](02_flow_mixup.ipynb#top) [far](https://example.org/x.ipynb)"
        )
    )
    assert "<table>" in html and "text-align:right" in html.replace(" ", "") and "<summary>s</summary>" in html
    assert 'href="02_flow_mixup.html#top"' in html and 'href="https://example.org/x.ipynb"' in html


def test_local_pictures_are_taken_into_the_page(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hello")
    assert "data:image/png;base64,aGVsbG8=" in chapter_html(new_markdown_cell("![a](a.png)"), folder=tmp_path)


def test_a_failed_chapter_points_to_its_cell():
    error = {"cell": 2, "source": "1/0", "message": "ZeroDivisionError", "traceback": "…"}
    cells = [new_code_cell("1", id="one"), new_markdown_cell("a", id="two"), new_code_cell("1/0", id="three")]
    html = chapter_html(*cells, error=error)
    assert 'href="#cell-id=three">code cell 2' in html and "cell-id=three" in Page(html).ids


@pytest.mark.parametrize(
    "source",
    [
        "<a href='javascript:alert(1)'>x</a>",
        "<math><mi href='javascript:x'>a</mi></math>",
        "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<p style='background:url(//x)'>",
        "<scr<script>ipt>alert(1)</script>",
        "<script",
        "<iframe src='//x'",
        "<img src='//x.org/a.png'>",
    ],
)
def test_sanitise_lets_nothing_through(source):
    page = Page(sanitise(source))
    assert not {"script", "svg", "iframe", "style"} & set(page.tags) and page.loads == []
    assert "javascript:" not in sanitise(source) and "url(" not in sanitise(source)


def test_claims_are_read_from_outputs_and_odd_ones_do_no_harm():
    def output(value):
        return new_output("display_data", {CLAIM: value, "text/plain": "x"})

    odd = {"statement": 7, "effect": float("nan"), "low": "-inf", "high": "0.5"}
    cells = [new_code_cell("1", outputs=[output(odd), output("no record"), output({"verdict": "open"}), output([1])])]
    assert collect_claims(new_notebook(cells=[*cells, new_markdown_cell("a")])) == [
        {
            "statement": "7",
            "effect": None,
            "low": None,
            "high": 0.5,
            "seeds": None,
            "verdict": "open",
            "better": "higher",
        }
    ]


def test_the_first_figure_is_the_first():
    cells = [
        new_code_cell("1", outputs=[new_output("stream", text="x")]),
        new_code_cell("2", outputs=[new_output("display_data", {"image/svg+xml": "<svg/>"})]),
        new_code_cell("3", outputs=[new_output("display_data", {"image/png": "aGVs\nbG8="})]),
    ]
    assert first_figure(new_notebook(cells=cells)) == {"mime": "image/svg+xml", "data": "PHN2Zy8+"}
    assert first_figure(new_notebook(cells=cells[2:])) == {"mime": "image/png", "data": "aGVsbG8="}
    assert first_figure(new_notebook(cells=cells[:1])) is None
