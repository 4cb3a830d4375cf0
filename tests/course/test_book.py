"""The course as a web site: what is prepared for Sphinx. Nothing is built here; tests/browser/test_book.py builds."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from test_public_names import NAMES

from tutorial_lib.course import markup
from tutorial_lib.course.catalogue import CourseError, chapter_files, read_chapter
from tutorial_lib.course.cli import main
from tutorial_lib.course.front import book
from tutorial_lib.course.front.book import chapters, explorers, extension, pages, reference
from tutorial_lib.lab.claims import CLAIM_MIME

CLAIM = {
    "statement": "Digits: A is more accurate than B",
    "effect": 0.0175,
    "low": 0.005,
    "high": 0.03,
    "seeds": 40,
    "verdict": "supported",
    "better": "higher",
    "level": 0.99,
    "margin": 0.02,
}
TOKEN = re.compile(r"""(?:src|href|action|data)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import""")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site's source, of the whole course as it is saved."""
    course = [read_chapter(path) for path in chapter_files(ROOT / "notebooks")]
    files, said = book.contents(course, ROOT, tmp_path_factory.mktemp("no frames"))
    return {name: text for name, text in files.items() if isinstance(text, str)}, said, course, set(files)


def small(tmp_path: Path, *cells, number: int = 1, name: str = "01_small"):
    notebook = new_notebook(cells=list(cells))
    notebook.metadata["tutorial"] = {"number": number, "title": "Small", "question": "Is it?"}
    path = tmp_path / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return read_chapter(path)


def png(tmp_path: Path) -> str:
    import base64

    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    return base64.b64encode((tmp_path / "p.png").read_bytes()).decode()


TITLE = (
    "# 01 · Small\n\n[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/a/b/blob/main/notebooks/01_small.ipynb)\n\n**Is it?**"
)


# --- one chapter ---


def test_the_badge_becomes_a_row_of_links_and_no_picture(tmp_path):
    text = chapters.chapter_page(small(tmp_path, new_markdown_cell(TITLE)), [], chinese="zh/01").text
    assert "colab-badge" not in text and "![" not in text
    assert "[Open in Colab](https://colab.research.google.com/github/a/b/blob/main/notebooks/01_small.ipynb)" in text
    assert "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/notebooks/01_small.ipynb" in text
    assert "{download}`download the notebook <notebooks/01_small.ipynb>`" in text and "[中文](zh/01.md)" in text


def test_a_chapter_says_how_much_a_first_reading_is(tmp_path):
    cells = [new_markdown_cell(TITLE), new_code_cell("1"), new_markdown_cell("## 1. A *(deeper)*\n\nthree more words")]
    text = chapters.chapter_page(small(tmp_path, *cells), []).text
    assert re.search(r"Core path: \d+ words, 1 code cell; what is marked", text) and 'class="hide-deeper"' in text
    whole = chapters.chapter_page(small(tmp_path, *cells[:2]), []).text
    assert "Core path: " in whole and "hide-deeper" not in whole


def test_a_formula_with_an_arg_max_is_drawn():
    assert markup.mathml(r"\arg\max_x f").startswith("<math")


def test_links_between_chapters_lead_to_pages_and_others_to_nothing(tmp_path):
    source = "[a](02_two.ipynb#part) [b](03_three.ipynb) [c](https://x.org/04.ipynb) [d](#here)\n% 5 of them"
    assert chapters.markdown(source, {"02_two"}) == (
        "[a](02_two.md#part) b [c](https://x.org/04.ipynb) [d](#here)\n\\% 5 of them"
    )


def test_a_hidden_cell_is_folded_and_its_figure_has_words_and_room(tmp_path):
    cell = new_code_cell("ax.set(title='Mixup helps most where labels are wrong')")
    cell.metadata["jupyter"] = {"source_hidden": True}
    cell.outputs = [new_output("display_data", {"image/png": png(tmp_path), "text/plain": "<Figure>"})]
    page = chapters.chapter_page(small(tmp_path, new_markdown_cell(TITLE), cell), [])
    assert '<details class="folded"><summary>The code of this figure</summary>\n\n```python\n' in page.text
    (file,) = page.files
    assert f'src="_static/figures/{file}" width="30" height="20" loading="lazy"' in page.text
    assert 'alt="Mixup helps most where labels are wrong"' in page.text and "<Figure>" not in page.text


def test_outputs_cannot_bring_scripts_and_text_cannot_end_its_block(tmp_path):
    cell = new_code_cell("show()")
    cell.outputs = [
        new_output("display_data", {"text/html": "<table><tr><td>1<script>alert(1)</script></td></tr></table>"}),
        new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m\n```\nmore\n"),
    ]
    text = chapters.chapter_page(small(tmp_path, new_markdown_cell(TITLE), cell), []).text
    assert "alert" not in text and "<td>1</td>" in text
    assert "````{code-block} none\n:class: output\n\nred\n```\nmore\n````" in text


def test_claims_are_shown_by_their_records_and_collected(tmp_path):
    cell = new_code_cell("verdicts(claims)")
    said = "✔ SUPPORTED: Digits\n  effect +0.0175\n  40 paired seeds <b>"
    cell.outputs = [new_output("display_data", {CLAIM_MIME: CLAIM, "text/plain": said})]
    page = chapters.chapter_page(small(tmp_path, new_markdown_cell(TITLE), cell), [])
    assert page.claims == [CLAIM]
    assert '<div class="claim supported">' in page.text and "40 paired seeds &lt;b&gt;" in page.text


def test_an_explorer_takes_the_place_of_its_figure(tmp_path):
    cell = new_code_cell("def f(a=1): ...\n\nexplore(f, a=(0, 3, 1))")
    cell.outputs = [new_output("display_data", {"image/png": png(tmp_path)})]
    chapter = small(tmp_path, new_markdown_cell(TITLE), new_code_cell("FAST = True"), cell)
    (explorer,) = explorers.find_explorers(chapter)
    assert explorer.cell == 2
    page = chapters.chapter_page(chapter, [], explorers={2: "<p>live</p>"})
    assert "<p>live</p>" in page.text and page.files == {}


# --- what stands on several ---


def test_a_line_of_a_claim_that_is_gone_is_left_out(tmp_path):
    page = chapters.Page(small(tmp_path, new_markdown_cell(TITLE)), "", {}, [CLAIM], "")
    statement = CLAIM["statement"]
    (tmp_path / "01.md").write_text(f"# 标题\n\n- 甲。{{{{{statement}}}}}\n- 乙。{{{{Nobody says so}}}}\n", "utf-8")
    told, stale = pages.chinese_pages(tmp_path, [page])
    assert "- 甲。**成立**（差 +0.018，99% 区间 [+0.005, +0.030]，40 对）" in told["01"]
    assert "乙" not in told["01"] and len(stale) == 1 and "Nobody says so" in stale[0]
    assert "其余裁决" not in told["01"]


def test_a_claim_that_no_line_tells_follows_in_english(tmp_path):
    page = chapters.Page(small(tmp_path, new_markdown_cell(TITLE)), "", {}, [CLAIM], "")
    (tmp_path / "01.md").write_text("# 标题\n\n一段。\n", "utf-8")
    told, _ = pages.chinese_pages(tmp_path, [page])
    assert "## 全部裁决" in told["01"] and f"- {CLAIM['statement']}: **成立**（差 +0.018" in told["01"]


def test_the_table_of_claims_holds_the_numbers_of_the_records():
    table = pages.claims_table([CLAIM, CLAIM | {"verdict": "open", "needed": 90, "level": 0.95}])
    assert "<td>Digits</td><td>A is more accurate than B</td>" in table
    assert "+0.018 [+0.005, +0.030]" in table and "margin 0.02, 40 pairs" in table
    assert "at 95 %" in table and "about 90 would settle it" in table and "correction" not in table
    table = pages.claims_table([CLAIM | {"asks": "not worse", "corrected": "open"}])
    assert "not worse? margin 0.02, 40 pairs" in table and "open after correction" in table


def test_a_card_is_found_in_prose_and_in_a_quotation():
    quoted = "> **Use this when** a.\n> **Leave it when** b."
    assert chapters.find_card(f"## Summary\n\n- one\n\n{quoted}") == "**Use this when** a.\n**Leave it when** b."
    assert chapters.find_card("**Start with** one word in bold.") == ""


# --- the whole course ---


def test_every_chapter_has_a_page_and_a_place_in_the_contents(built):
    texts, _, course, _ = built
    for chapter in course:
        assert f"\n{chapter.name}\n" in texts["index.md"] and f'href="{chapter.name}.html"' in texts["index.md"]
        assert texts[f"{chapter.name}.md"].startswith("# ")


def test_no_page_loads_anything_from_elsewhere(built):
    texts, _, _, _ = built
    for name, text in texts.items():
        # A link that a reader follows is no load: only what stands in HTML, and pictures.
        blocks = "\n".join(re.findall(r"^`{5}\{raw\} html\n(.*?)^`{5}", text, re.M | re.S))
        loads = TOKEN.findall(re.sub(r"<a [^>]*>", "", blocks))
        assert not loads and not re.search(r"!\[[^\]]*\]\(https?:", text), name
    site = Path(book.__file__).parent / "site"
    for path in site.glob("book.*"):
        assert not TOKEN.search(path.read_text(encoding="utf-8")), path.name


def test_every_figure_that_a_page_names_is_there_and_has_words(built):
    texts, _, _, names = built
    shown = [tag for text in texts.values() for tag in re.findall(r"<img [^>]*>", text)]
    assert len(shown) > 50
    for tag in shown:
        assert re.search(r'src="([^"]+)"', tag)[1] in names
        assert len(re.search(r'alt="([^"]*)"', tag)[1]) > 3, tag


def test_every_claim_of_the_course_is_in_the_table(built):
    texts, _, course, _ = built
    table = re.sub(r"\s+", " ", texts["holds_up.md"])
    saved = [
        output["data"][CLAIM_MIME]
        for chapter in course
        for cell in chapter.notebook()["cells"]
        for output in cell.get("outputs", [])
        if CLAIM_MIME in output.get("data", {})
    ]
    assert table.count("<tr><td>") == len(saved) > 50
    for claim in saved:
        assert chapters.interval(claim) in table
        assert pages.html.escape(pages.setting(claim["statement"])[1]) in table


def test_every_public_name_is_on_a_page(built):
    texts, _, _, _ = built
    told = set()
    for name, text in texts.items():
        if name.startswith("api/"):
            told |= set(re.findall(r"^\.\. (?:autofunction|autoclass):: tutorial_lib\.(\S+)$", text, re.M))
            if module := re.search(r"^\.\. automodule:: tutorial_lib\.(\S+)$", text, re.M):
                again = re.findall(r":(?:func|class):`(\w+) <tutorial_lib\.\S+\.\1>`", text)
                told |= {f"{module[1]}.{one}" for one in [*again, *re.findall(r"^\.\. py:data:: (\w+)$", text, re.M)]}
    # A file of a folder of methods hands its names to the folder, and they are told there.
    wanted = {f"{where.partition('.')[0]}.{where.rpartition('.')[2]}" for where in NAMES}
    assert wanted - told == set()


def test_the_reference_leads_to_chapters_and_tests(built):
    texts, _, _, _ = built
    page = texts["api/roi.rst"]
    part = page[page.index("autofunction:: tutorial_lib.roi.roi_align") :]
    assert ":doc:`09 </09_roi_align>`" in part and "/tests/test_roi.py" in part


def test_a_chinese_page_tells_every_claim_of_its_chapter(built):
    """In Chinese as far as it is up to date with the chapter, else in English; and most of it is up to date."""
    texts, said, course, _ = built
    for chapter in course:
        page = texts.get(f"zh/{chapter.number:02d}.md")
        claims = [c for p in [chapters.chapter_page(chapter, [])] for c in p.claims]
        if page is not None:
            assert len(re.findall("对）", page)) == len({claim["statement"] for claim in claims}), chapter.name
            assert "{{" not in page
    assert len(said) < 20, "docs/zh quotes many claims that their chapters no longer make: mend the lines"


def test_chinese_pages_quote_verdicts_and_hold_none_by_hand():
    for path in sorted((ROOT / "docs" / "zh").glob("[0-9]*.md")):
        text = re.sub(r"\{\{.*?\}\}", "", path.read_text(encoding="utf-8"))
        assert 400 <= len(re.findall(r"[\u4e00-\u9fff]", text)) <= 800, path.name
        assert not re.search(r"\*\*(成立|不成立|未定|无差别)\*\*(?!：)", text), path.name
        assert not re.search(r"区间 ?\[|[+−]0?\.\d", text), path.name


# --- preparation, frames, command ---


def test_what_is_so_already_is_left_alone_and_what_is_gone_is_removed(tmp_path):
    chapter = small(tmp_path, new_markdown_cell(TITLE))
    (tmp_path / "README.md").write_text("# T\n\nAbout.\n\n## Two\n", "utf-8")
    book.prepare([chapter], tmp_path, tmp_path / "source", tmp_path / "frames")
    path = tmp_path / "source" / "01_small.md"
    (tmp_path / "source" / "old.md").write_text("gone")
    before = path.stat().st_mtime_ns
    book.prepare([chapter], tmp_path, tmp_path / "source", tmp_path / "frames")
    assert path.stat().st_mtime_ns == before and not (tmp_path / "source" / "old.md").exists()


def test_frames_are_drawn_once_by_the_cells_they_need(tmp_path):
    cells = [
        new_markdown_cell(TITLE),
        new_code_cell("raise RuntimeError('not needed')"),
        new_code_cell("import matplotlib.pyplot as plt\nfrom tutorial_lib.lab import explore\nshift = 3"),
        new_code_cell(
            "def picture(a=2, kind='x'):\n    figure, ax = plt.subplots(figsize=(2, 1))\n"
            "    ax.plot([0, a + shift])\n\n"
            "explore(picture, a=(0, 4, 1), kind=['x', 'y'])"
        ),
    ]
    chapter, cache = small(tmp_path, *cells), tmp_path / "frames"
    (explorer,) = explorers.missing(chapter, cache)
    assert len(explorer.cells) == 2 and explorers.explorer_html(explorer, cache, "_static/frames") is None
    explorers.draw_frames([explorer], cache)
    assert list(explorers.missing(chapter, cache)) == []
    shown = explorers.explorer_html(explorer, cache, "_static/frames")
    assert '<input type="range" min="0" max="4" step="1" value="2">' in shown and "<select>" in shown
    told = json.loads(re.search(r'<script type="application/json">(.*)</script>', shown)[1])
    assert len(told["frames"]) == 10 and not told["alone"]
    files = list((cache / explorer.name).glob("*.webp"))
    assert {path.name for path in files} == set(told["frames"].values())
    assert sum(path.stat().st_size for path in files) <= explorers.MOST
    # Another text of the same cell: the old frames go.
    cells[2]["source"] = cells[2]["source"].replace("3", "4")
    (explorer,) = explorers.missing(small(tmp_path, *cells), cache)
    explorers.draw_frames([explorer], cache)
    assert [path.name for path in cache.iterdir()] == [explorer.name]


def test_a_cell_that_fails_is_told(tmp_path):
    chapter = small(tmp_path, new_markdown_cell(TITLE), new_code_cell("1 / 0\nexplore(2)"))
    (explorer,) = explorers.find_explorers(chapter)
    with pytest.raises(CourseError, match=r"(?s)the frames of 01_small could not be drawn:.*ZeroDivisionError"):
        explorers.draw_frames([explorer], tmp_path / "frames")


def test_without_sphinx_one_line_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(book, "_NEEDS", {"no_such_module_here": "no-such"})
    assert main(["book"]) == 2
    assert 'the book needs no-such: pip install -e ".[book]"' in capsys.readouterr().err


def test_an_argument_told_by_a_letter_begins_no_list():
    napoleon = [":param num_classes:", "    C.", ":param steps:", "    T. At least", "    21.", ":returns: T."]
    extension._docstring(None, "function", "f", None, None, napoleon)
    assert napoleon == [r":param num_classes: C\.", r":param steps: T\. At least", "    21.", ":returns: T."]


def test_a_constant_is_told_by_the_comment_above_it():
    import tutorial_lib.augment

    assert reference.comment(tutorial_lib.augment, "KEYBOARD")[0].startswith("Keys whose middles")
