"""Chapter 00 in JupyterLab, in a real browser: run, look, move a slider, do an exercise, save. As a student does.

Screenshots are left in the folder that TUTORIAL_SCREENSHOTS names, else among pytest's temporary files.
"""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, cell_source

pytestmark = pytest.mark.alone

CHAPTER = "00_start_here.ipynb"
SAVED = nbformat.read(ROOT / "notebooks" / CHAPTER, as_version=4)
RIGHT = cell_source(f"notebooks/solutions/{CHAPTER}", "def verdict")
# An end mistaken for the other.
WRONG = 'def verdict(low, high, margin):\n    return "supported" if high > 0 else "refuted"\n'
RUNS = 300  # seconds: far above the 10 it takes
#: Tracebacks and warnings: JupyterLab marks them alike.
ERROR = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
POLLING = 200  # milliseconds; by default the page is asked again at every frame, and does little else
#: By default JupyterLab renders what is near the window; here every cell is on the page at once, to be counted.
EVERYTHING = {"notebook-extension/tracker": {"windowingMode": "none"}}
#: Two helpers in the page: the open notebook, and its pieces of text with a dollar that is not code.
HELPERS = """
    window.shown = () => document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
    window.unset = () => [...shown().querySelectorAll('.jp-RenderedMarkdown :not(code, pre, pre *)')].filter(
        one => [...one.childNodes].some(node => node.nodeType == Node.TEXT_NODE && node.data.includes('$')));
"""
MARK = "# my own answer"


def count_figures(notebook) -> int:
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def folded(cell) -> bool:
    """Whether the page hides the cell's code, and the number before it: JupyterLab runs it like any other."""
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


class Lab:
    """The open notebook in the page."""

    def __init__(self, page, screenshots: Path):
        self.page, self.screenshots = page, screenshots
        self.cells = page.locator(".jp-Notebook .jp-Notebook-cell")

    def cell(self, *words: str):
        """The only code cell of the chapter that holds the words."""
        (index,) = [
            i
            for i, cell in enumerate(SAVED.cells)
            if cell.cell_type == "code" and all(word in cell.source for word in words)
        ]
        return self.cells.nth(index)

    def menu(self, *entries: str) -> None:
        self.page.get_by_role("menuitem", name=entries[0], exact=True).first.click()
        for entry in entries[1:]:
            self.page.locator(".lm-Menu .lm-Menu-itemLabel").get_by_text(entry, exact=True).click()

    def prompts(self) -> list[str]:
        return self.page.locator(".jp-CodeCell .jp-InputArea .jp-InputPrompt").all_inner_texts()

    def run_all(self, wait: float) -> None:
        """Run All Cells from the menu; wait until each has its number and the kernel rests."""
        self.menu("Run", "Run All Cells")
        # A cell that waits or runs shows a star; the outputs were cleared, so a number says that it has run now.
        self.page.wait_for_function(
            "count => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea .jp-InputPrompt')]"
            ".filter(prompt => /^\\[\\d+\\]/.test(prompt.textContent)).length >= count"
            f" || document.querySelector('{ERROR}')",  # after a traceback no further cell runs
            arg=sum(bool(cell.source.strip()) and not folded(cell) for cell in SAVED.cells if cell.cell_type == "code"),
            timeout=1000 * wait,
            polling=POLLING,
        )
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached")

    def answer(self, cell, source: str) -> str:
        """Put an answer into a cell's editor, run it with the keyboard, and return the text that comes out."""
        before = cell.locator(".jp-InputArea .jp-InputPrompt").inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            "([prompt, before]) => /^\\[\\d+\\]/.test(prompt.textContent) && prompt.textContent != before",
            arg=[cell.locator(".jp-InputArea .jp-InputPrompt").element_handle(), before],
        )
        return cell.locator(".jp-OutputArea-output").last.inner_text()

    def photograph(self, name: str, what=None) -> None:
        if what is not None:
            what.scroll_into_view_if_needed()
        self.page.screenshot(path=self.screenshots / f"{name}.png")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, without_outputs, jupyterlab, new_page):
    """Chapter 00, opened and run once for all tests here, by a kernel that knows somebody is there."""
    folder = tmp_path_factory.mktemp("student")
    without_outputs(ROOT / "notebooks", folder / "course" / "notebooks")
    screenshots = Path(os.environ.get("TUTORIAL_SCREENSHOTS") or folder)
    screenshots.mkdir(parents=True, exist_ok=True)
    page = new_page()
    with jupyterlab(folder / "course", folder / "home", **EVERYTHING) as url:
        page.goto(url(f"notebooks/{CHAPTER}"))
        # The notebook's own indicator says idle before the kernel is there, and what is run then is forgotten.
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
        lab = Lab(page, screenshots)
        lab.file = folder / "course" / "notebooks" / CHAPTER
        assert page.locator(".jp-OutputArea-output").count() == 0  # else what is seen below may be an old run's
        try:
            lab.run_all(RUNS)
        except Exception:
            lab.photograph("failed")
            raise
        yield lab


def test_every_cell_runs_and_none_errs(lab):
    assert lab.page.locator(ERROR).all_inner_texts() == []
    assert lab.cells.count() == len(SAVED.cells)
    assert not [prompt for prompt in lab.prompts() if "*" in prompt]
    lab.photograph("run")


def test_the_figures_are_on_the_page(lab):
    saved = count_figures(SAVED)
    explorers = sum(bool(re.search(r"^explore\(", cell.source, re.M)) for cell in SAVED.cells)
    lab.page.wait_for_function(
        "count => document.querySelectorAll('.jp-OutputArea-output img').length >= count", arg=saved + explorers
    )
    widths = lab.page.locator(".jp-OutputArea-output img").evaluate_all(
        "images => Promise.all(images.map(image => image.decode().then(() => image.naturalWidth)))"
    )
    assert len(widths) == saved + explorers  # an explorer draws its figure twice: for paper, and under its sliders
    assert min(widths) >= 300


def test_nothing_is_wider_than_the_page(lab):
    page = lab.page
    for width in (1400, 1000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)  # the layout follows the window
        room = page.locator(".jp-Notebook").bounding_box()
        for kind in (".jp-OutputArea-output img", ".jupyter-widgets", ".jp-RenderedMarkdown"):
            for box in filter(None, (each.bounding_box() for each in page.locator(kind).all())):
                assert box["x"] + box["width"] <= room["x"] + room["width"] + 1, f"{kind} at {width}"
    page.set_viewport_size({"width": 1400, "height": 900})


def test_a_moved_slider_draws_the_figure_anew(lab):
    cell = lab.cell("explore(")
    static, live = cell.locator("img").first, cell.locator(".jupyter-widgets img")
    live.wait_for()
    paper, first = static.get_attribute("src"), live.get_attribute("src")
    handle = cell.locator(".noUi-handle").first

    def press(key: str, before: str) -> str:
        handle.focus()
        lab.page.keyboard.press(key)
        lab.page.wait_for_function(
            "([cell, before]) => { const image = cell.querySelector('.jupyter-widgets img');"
            " return image !== null && image.src != before }",
            arg=[cell.element_handle(), before],
        )
        return live.get_attribute("src")

    lab.photograph("slider-before", handle)
    moved = press("ArrowRight", first)
    lab.photograph("slider-after", handle)
    assert moved != first and static.get_attribute("src") == paper
    assert press("ArrowLeft", moved) == first  # back where it was: the slider, and nothing else, made the change


def test_an_exercise_goes_from_stub_to_wrong_to_right_and_is_saved(lab):
    cell = lab.cell("def verdict", "check(")
    assert "not done yet" in cell.locator(".jp-OutputArea-output").inner_text()
    wrong = lab.answer(cell, f'{WRONG}\n\ncheck("start.verdict", verdict);')
    lab.photograph("exercise-wrong", cell)
    assert "✘ start.verdict" in wrong and "hint:" in wrong and "expected" in wrong
    right = lab.answer(cell, f'{RIGHT}\n\n{MARK}\ncheck("start.verdict", verdict);')
    lab.photograph("exercise-right", cell)
    assert right.strip() == "✔ start.verdict: correct"
    assert cell.locator(".jp-OutputArea-output").count() == 1  # the older results are gone

    assert MARK not in lab.file.read_text(encoding="utf-8")
    lab.page.keyboard.press("Control+s")
    lab.page.get_by_text("Saving completed").wait_for()
    saved = nbformat.read(lab.file, as_version=4)
    (answered,) = [cell for cell in saved.cells if MARK in cell.source]
    assert RIGHT in answered.source
    assert "correct" in str(answered.outputs)
    # Tomorrow the kernel is gone, and what stands in the widgets' places is read.
    places = [
        output.data["text/plain"]
        for cell in saved.cells
        for output in cell.get("outputs", [])
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    assert set(places) == {"", "Run this cell to get its sliders."}


def test_the_table_of_contents_has_every_heading(lab):
    headings = [
        line.lstrip("# ")
        for cell in SAVED.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if re.match(r"#{1,6} ", line)
    ]
    lab.page.locator('.jp-SideBar [data-id="table-of-contents"]').click()
    entries = lab.page.locator(".jp-TableOfContents .jp-tocItem-content")
    entries.first.wait_for()
    lab.photograph("contents")
    shown = [re.sub(r"\s+", " ", entry).strip() for entry in entries.all_inner_texts()]
    assert shown == headings


CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory, jupyterlab, new_page):
    """JupyterLab with the chapters as they are saved; nothing is run."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "notebooks", folder / "course" / "notebooks")
    page = new_page()
    with jupyterlab(folder / "course", folder / "home", **EVERYTHING) as url:
        page.add_init_script(HELPERS)
        page.goto(url("notebooks"))
        yield page


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_reads_whole(reader, chapter):
    """All cells, formulas and figures are there, and nothing is wider than the page."""
    notebook = nbformat.read(chapter, as_version=4)
    reader.locator(f".jp-DirListing-item[title*='{chapter.name}']").dblclick()
    tab = reader.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current .lm-TabBar-tabLabel")
    tab.get_by_text(chapter.name, exact=True).wait_for()
    reader.wait_for_function(
        "count => shown()?.querySelectorAll('.jp-Notebook-cell').length == count",
        arg=len(notebook.cells),
        polling=POLLING,
    )
    # Formulas are set last. What is left of one that cannot be set is its source between dollars.
    reader.wait_for_function("() => unset().length == 0", polling=POLLING)
    assert reader.evaluate("[...shown().querySelectorAll('mjx-merror')].map(one => one.innerText)") == []
    widths = reader.evaluate(
        "Promise.all([...shown().querySelectorAll('.jp-OutputArea-output img')]"
        ".map(image => image.decode().then(() => image.naturalWidth)))"
    )
    assert len(widths) == count_figures(notebook) and min(widths) > 300
    assert (
        reader.evaluate(
            "[...shown().querySelectorAll('.jp-RenderedMarkdown, .jp-OutputArea-output')]"
            ".filter(one => one.scrollWidth > one.clientWidth + 2).map(one => one.innerText)"
        )
        == []
    )
