"""The book in a real browser: a small one is built and served from this machine; pages are opened as a reader does.

Screenshots are left in the folder that TUTORIAL_SCREENSHOTS names. TUTORIAL_BOOK names a folder with a book that is
built already (build/book): then all its pages are opened.
"""

import functools
import http.server
import os
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT

pytestmark = pytest.mark.alone

CHAPTERS = ("04_metrics", "09_roi_align")
PAGES = ("index", *CHAPTERS, "holds_up", "api/roi", "zh/index", "zh/04", "zh/09", "zh/glossary", "search")
WIDTHS = (360, 768, 1280)
#: Whether all pages of a whole book are looked at; that takes minutes, and is no part of `make test`.
WHOLE = "TUTORIAL_BOOK" in os.environ

#: A stand-in for frames that a maintainer has drawn: three pictures of one slider.
FRAMES = {
    "function": "play",
    "sliders": [{"name": "move", "labels": ["0", "1", "2"], "start": 1, "choice": False}],
    "alone": False,
    "frames": {"0": "0.webp", "1": "1.webp", "2": "2.webp"},
    "pictures": True,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A small book, and where it is served."""
    for module in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        pytest.importorskip(module, reason='no Sphinx to build the book: pip install -e ".[book]"')
    if ready := os.environ.get("TUTORIAL_BOOK"):
        out = Path(ready).resolve()
    else:
        out = tmp_path_factory.mktemp("book")
        lend_frames(out / "frames")
        command = [sys.executable, "-m", "tutorial_lib.course.cli", "book", "--out", str(out), *CHAPTERS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr  # a warning, such as a broken link, is a failure

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(out / "html"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", out / "html"
        server.shutdown()


def lend_frames(cache: Path) -> None:
    import json

    from PIL import Image

    from tutorial_lib.course.catalogue import read_chapter
    from tutorial_lib.course.front.book.explorers import find_explorers

    (explorer,) = find_explorers(read_chapter(ROOT / "notebooks" / f"{CHAPTERS[0]}.ipynb"))
    (cache / explorer.name).mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (60, 40), (80 * i, 0, 0)).save(cache / explorer.name / f"{i}.webp")
    (cache / explorer.name / "frames.json").write_text(json.dumps(FRAMES))


def watched(new_page, base: str, width: int, theme: str):
    """A page, and the list of what goes wrong in it."""
    page, faults = new_page(width, 900), []
    page.emulate_media(color_scheme=theme)
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if ours(request.url, base) else faults.append(f"asked for {request.url}"))
    page.on("response", lambda response: faults.append(response.url) if response.status >= 400 else None)
    return page, faults


def ours(url: str, base: str) -> bool:
    return url.startswith((base, "data:"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window_or_asks_another_host(site, new_page, width, theme):
    base, html = site
    page, faults = watched(new_page, base, width, theme)
    every = (path.relative_to(html).with_suffix("").as_posix() for path in sorted(html.rglob("*.html")))
    names = [name for name in every if not name.startswith("_modules/tutorial_lib")]
    assert set(PAGES) <= set(names)
    for name in names:
        page.goto(f"{base}{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        assert broken == [], name
        assert page.evaluate("[...document.images].every(image => image.alt.length > 3)"), name
        if WHOLE and width == WIDTHS[-1]:
            assert page.evaluate(CONTRAST) == [], f"{name}, {theme}"
        if folder := os.environ.get("TUTORIAL_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"book-{name.replace('/', '-')}-{width}-{theme}.png")
    page.close()
    assert faults == []


def test_words_are_readable_on_their_ground(site, new_page):
    """Contrast of 4.5 or more (WCAG AA) for text, in both themes."""
    base, _ = site
    for theme in ("light", "dark"):
        page, _ = watched(new_page, base, 1280, theme)
        for name in ("index", CHAPTERS[1], "holds_up", "api/roi"):
            page.goto(f"{base}{name}.html")
            assert page.evaluate(CONTRAST) == [], f"{name}, {theme}"
        page.close()


#: Text whose contrast to the nearest painted ground is too low, as "words: ratio".
CONTRAST = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
    v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (let one = node; one; one = one.parentElement) {
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length == 3 || color[3] > 0.99) return color;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const found = new Set();
  for (const node of document.querySelectorAll('article *, .sidebar-drawer a')) {
    const own = [...node.childNodes].some(child => child.nodeType == 3 && child.data.trim());
    const style = getComputedStyle(node);
    if (!own || !node.getClientRects().length || style.visibility == 'hidden' || style.opacity < 1) continue;
    const [a, b] = [light(parse(style.color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5 && !node.closest('.headerlink, .copybtn'))
      found.add(`${node.className} ${node.textContent.trim().slice(0, 20)}: ${ratio.toFixed(1)}`);
  }
  return [...found].slice(0, 8);
}"""


class Links(HTMLParser):
    """What a page leads to, and the places in it that can be led to."""

    def __init__(self, path: Path):
        super().__init__()
        self.to, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.places |= {attributes.get("id"), attributes.get("name") if tag == "a" else None}
        self.to += [value for key in ("href", "src") if (value := attributes.get(key))]


@pytest.mark.skipif(not WHOLE, reason="reads some hundred pages: name a built book in TUTORIAL_BOOK")
def test_no_link_leads_nowhere(site):
    """Neither to a page or file that is not there, nor to a place in a page that is not there."""
    _, html = site
    pages = {path: Links(path) for path in html.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.to:
            address = urlsplit(link)
            # Symbols of the theme's own drawing (#svg-…) are no places to go to.
            if address.scheme or address.netloc or link in ("#", "#top") or link.startswith("#svg-"):
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            there = target.is_file() or (target / "index.html").is_file()
            place = unquote(address.fragment)
            if not there or (place and target in pages and place not in pages[target].places):
                broken.append(f"{path.relative_to(html)}: {link}")
    assert broken == []


#: What a mouse can use, as far as it is shown.
USABLE = """() => [...document.querySelectorAll(
  'a[href], button, input, select, summary, label[for], [onclick]'
)].filter(one => one.checkVisibility({ visibilityProperty: true }) && one.getClientRects().length
  && !one.matches('label.overlay, [type=hidden]'))"""


@pytest.mark.skipif(not WHOLE, reason="presses a key for each link of five pages: name a built book in TUTORIAL_BOOK")
@pytest.mark.parametrize(
    ("name", "width"), [("index", 1280), (CHAPTERS[0], 1280), (CHAPTERS[1], 360), ("api/roi", 768), ("search", 1280)]
)
def test_the_keyboard_reaches_everything(site, new_page, name, width):
    base, _ = site
    page, faults = watched(new_page, base, width, "light")
    page.goto(f"{base}{name}.html")
    page.evaluate(f"window.usable = ({USABLE})(); window.reached = new Set()")
    page.evaluate("addEventListener('focusin', event => reached.add(event.target))")
    for _ in range(page.evaluate("usable.length") + 80):  # what scrolls is reached too
        page.keyboard.press("Tab")
    missed = "usable.filter(one => !reached.has(one)).map(one => one.outerHTML.slice(0, 120))"
    assert page.evaluate(missed) == []
    page.close()
    assert faults == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_keyboard_opens_and_closes_a_branch_of_the_contents(site, new_page, width):
    base, _ = site
    page, faults = watched(new_page, base, width, "light")
    page.goto(f"{base}index.html")
    branch = page.locator(".sidebar-tree li.has-children", has=page.get_by_role("link", name="Reference"))
    opens, inside = branch.get_by_role("button", name="Toggle navigation of Reference"), branch.locator("ul").first
    for _ in range(60):
        page.keyboard.press("Tab")
        if opens.evaluate("one => one === document.activeElement"):
            break
    assert opens.evaluate("one => one === document.activeElement && getComputedStyle(one).outlineStyle") == "solid"
    # In a narrow window the contents slide into it.
    for _ in range(50):  # asked again and again, for the page lets no text be run as code
        if opens.bounding_box()["x"] >= 0:
            break
        page.wait_for_timeout(100)
    assert 0 <= opens.bounding_box()["x"] <= width - opens.bounding_box()["width"]
    assert not inside.is_visible() and opens.get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    assert inside.is_visible() and opens.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Space")
    assert not inside.is_visible() and opens.get_attribute("aria-expanded") == "false"
    opens.click()  # a mouse says it too
    assert inside.is_visible() and opens.get_attribute("aria-expanded") == "true"
    page.close()
    assert faults == []


def test_what_is_deeper_is_marked_and_can_be_hidden(site, new_page):
    base, _ = site
    page, faults = watched(new_page, base, 1400, "light")
    page.goto(f"{base}{CHAPTERS[1]}.html")
    assert "words" in page.locator("p.reading").inner_text()
    sections, button = page.locator("section.deeper"), page.locator("button.hide-deeper")
    inside, heading = sections.first.locator("p").first, sections.first.locator("h2, h3").first
    assert "deeper" in heading.inner_text() and "(deeper)" not in heading.inner_text()
    assert page.locator(".toc-tree .deeper-mark").count() == sections.count() > 1
    assert inside.is_visible() and button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true" and not inside.is_visible() and heading.is_visible()
    # On another page, too; there each section can be opened by itself, and a link into it opens it.
    page.goto(f"{base}{CHAPTERS[0]}.html")
    assert not page.locator("section.deeper p").first.is_visible()
    page.locator("button.show-deeper").first.focus()
    page.keyboard.press("Space")
    assert page.locator("section.deeper p").first.is_visible()
    place = page.locator("section.deeper").last.get_attribute("id")
    page.goto(f"{base}{CHAPTERS[0]}.html#{place}")
    assert page.locator("section.deeper").last.locator("p").first.is_visible()
    # On paper nothing is missing.
    page.goto(f"{base}{CHAPTERS[1]}.html")
    assert not inside.is_visible()
    page.emulate_media(media="print")
    assert inside.is_visible() and not button.is_visible()
    page.emulate_media(media="screen")
    button.focus()
    page.keyboard.press("Space")
    assert inside.is_visible()
    page.close()
    assert faults == []


@pytest.mark.parametrize(("words", "page_name"), [("RoI Align", "09_roi_align"), ("混淆矩阵", "zh/04")])
def test_search_finds(site, new_page, words, page_name):
    base, _ = site
    page, faults = watched(new_page, base, 1280, "light")
    page.goto(f"{base}index.html")
    page.get_by_role("searchbox").or_(page.get_by_placeholder("Search")).first.fill(words)
    page.keyboard.press("Enter")
    page.locator("ul.search li a").first.wait_for()
    found = page.locator("ul.search li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert any(page_name in address for address in found), found
    page.close()
    assert faults == []


def test_the_keyboard_reaches_a_slider_and_moves_the_picture(site, new_page):
    base, _ = site
    page, faults = watched(new_page, base, 1280, "light")
    page.goto(f"{base}{CHAPTERS[0]}.html")
    box = page.locator(".explorer").first
    slider, image = box.locator("input[type=range]").first, box.locator("img")
    for _ in range(400):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.explorer') !== null"):
            break
    assert slider.evaluate("one => one === document.activeElement")

    def shown():
        label = slider.get_attribute("aria-valuetext")
        assert box.locator("output").first.inner_text() == label
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        return label, image.get_attribute("src")

    first = shown()
    page.keyboard.press("ArrowRight")
    second = shown()
    assert first[0] != second[0] and first[1] != second[1]
    page.keyboard.press("ArrowLeft")
    assert shown() == first
    page.close()
    assert faults == []


def test_a_page_from_the_disk_works_without_a_server(site, new_page):
    _, html = site
    page, faults = watched(new_page, html.as_uri(), 1280, "light")
    page.goto((html / f"{CHAPTERS[0]}.html").as_uri())
    image = page.locator(".explorer img").first
    before = image.get_attribute("src")
    page.locator(".explorer input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    assert image.get_attribute("src") != before
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.close()
    assert faults == []


def test_pages_are_light(site):
    """The first page under 300 kB without its pictures; a chapter, with its figures, under 3 MB."""
    _, html = site
    size = {path.relative_to(html).as_posix(): path.stat().st_size for path in html.rglob("*") if path.is_file()}
    shared = sum(n for name, n in size.items() if name.startswith("_static/") and name.endswith((".css", ".js")))
    assert size["index.html"] + shared < 300_000
    for name in CHAPTERS:
        figures = sum(n for path, n in size.items() if path.startswith(f"_static/figures/{name}-"))
        assert size[f"{name}.html"] + figures < 3_000_000
