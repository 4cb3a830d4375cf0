"""``tutorial book``: the course as a web site, made of the executed chapters as they are saved.

The pages are prepared here (:mod:`chapters`, :mod:`pages`, :mod:`reference`, :mod:`explorers`), then Sphinx builds the
site. No cell runs, but for the frames of the explorers, which are kept. The site needs no server and no network.
"""

import re
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tutorial_lib.course.catalogue import Chapter, CourseError, find_notebooks, select
from tutorial_lib.course.files import atomic_write
from tutorial_lib.course.machine import cores

_NEEDS = {"sphinx": "sphinx", "myst_parser": "myst-parser", "furo": "furo", "sphinx_copybutton": "sphinx-copybutton"}


def add_book(parser) -> None:
    """Declare what ``tutorial book`` takes."""
    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="only these chapters; all if none is named")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the site goes (default: build/book)")
    parser.add_argument(
        "--frames", action="store_true", help="first draw the explorers' frames that are not kept from an earlier time"
    )


def book(options) -> int:
    """Build the site.

    Args:
        options: with ``notebooks``, ``chapters``, ``out`` and ``frames``.

    Returns:
        0; 1 if Sphinx found something wrong, such as a link that leads nowhere. The site is there all the same.

    Raises:
        CourseError: if Sphinx is not installed, or frames cannot be drawn.
    """
    import importlib.util

    lacking = [name for module, name in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if lacking:
        raise CourseError(f'the book needs {", ".join(lacking)}: pip install -e ".[book]"')
    notebooks = (options.notebooks or find_notebooks()).resolve()
    out = (options.out or notebooks.parent / "build" / "book").resolve()
    chapters = select(options.chapters, notebooks)
    if options.frames:
        _draw(chapters, out / "frames")
    for line in prepare(chapters, notebooks.parent, out / "source", out / "frames"):
        print(f"book: {line}", file=sys.stderr)
    from sphinx.cmd.build import build_main

    # In this process, which has imported every module that the reference tells of.
    options = ["-b", "html", "-j", "auto", "-q", "-W", "--keep-going", "-d", str(out / "trees")]
    status = build_main([*options, str(out / "source"), str(out / "html")])
    print(f"The book: {out / 'html' / 'index.html'}")
    return 1 if status else 0


def _draw(chapters: Sequence[Chapter], cache: Path) -> None:
    from tutorial_lib.course.front.book.explorers import draw_frames, missing

    wanted = [found for chapter in chapters if (found := list(missing(chapter, cache)))]
    # A process a chapter, as many as there are cores; what has most to run comes first, so that none is waited for.
    wanted.sort(key=lambda found: -sum(len(cell) for one in found for cell in one.cells))

    def draw(found) -> None:
        begun = time.monotonic()
        draw_frames(found, cache)
        print(f"frames of {found[0].chapter.name}: {time.monotonic() - begun:.0f} s", flush=True)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(draw, wanted))


def prepare(chapters: Sequence[Chapter], root: Path, source: Path, cache: Path) -> list[str]:
    """Write what Sphinx builds the site from; a file that is already so is left alone, one that is no more is removed.

    Args:
        chapters: in the course's order.
        root: the checkout.
        source: where the pages go.
        cache: the folder of the explorers' frames.

    Returns:
        What a maintainer should know, a line each.
    """
    files, said = contents(chapters, root, cache)
    for name, content in files.items():
        path = source / name
        data = content.encode() if isinstance(content, str) else content
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, data)
    for path in [one for one in source.rglob("*") if one.is_file()]:
        if path.relative_to(source).as_posix() not in files:
            path.unlink()
    return said


def contents(chapters: Sequence[Chapter], root: Path, cache: Path) -> tuple[dict[str, str | bytes], list[str]]:
    """Return every file of the site's source by its path, and what a maintainer should know.

    Args:
        chapters: in the course's order.
        root: the checkout.
        cache: the folder of the explorers' frames.
    """
    from tutorial_lib.course.front.book import chapters as makes
    from tutorial_lib.course.front.book import pages as writes
    from tutorial_lib.course.front.book import reference
    from tutorial_lib.course.front.book.explorers import explorer_html, find_explorers

    zh, source = root / "docs" / "zh", source_address(root)
    names = {chapter.name for chapter in chapters}
    files: dict[str, str | bytes] = {}
    pages = []
    for chapter in chapters:
        number = f"{chapter.number:02d}" if chapter.number is not None else ""
        chinese = f"zh/{number}" if (zh / f"{number}.md").is_file() else None
        live = {}
        for explorer in find_explorers(chapter):
            if shown := explorer_html(explorer, cache, "_static/frames"):
                live[explorer.cell] = shown
                for path in sorted((cache / explorer.name).glob("*.webp")):
                    files[f"_static/frames/{explorer.name}/{path.name}"] = path.read_bytes()
        page = makes.chapter_page(chapter, names, explorers=live, chinese=chinese)
        pages.append(page)
        files[f"{chapter.name}.md"] = page.text
        files[f"notebooks/{chapter.path.name}"] = chapter.path.read_bytes()
        files |= {f"{makes.FIGURES}/{name}": content for name, content in page.files.items()}
    guides = [(root / path, name, title) for path, name, title in writes.GUIDES if (root / path).is_file()]
    for path, name, _ in guides:
        files[f"{name}.md"] = writes.guide(path.read_text(encoding="utf-8"), names, source)
    places, modules = reference.Places(pages, root), list(reference.public_modules())
    for module in modules:
        files[f"api/{module.removeprefix('tutorial_lib.')}.rst"], _ = reference.module_page(module, places, source)
    files["api/index.rst"] = reference.index_page(modules)
    files["holds_up.md"] = writes.holds_up(pages)
    told, said = writes.chinese_pages(zh, pages)
    more = zh / "terms.md"
    terms = writes.glossary(chapters[0], more.read_text(encoding="utf-8") if more.is_file() else "") if chapters else ""
    trees = [_tree("The chapters", [chapter.name for chapter in chapters]), _tree("Look up", ["holds_up", "api/index"])]
    if (zh / "index.md").is_file():
        begin = (zh / "index.md").read_text(encoding="utf-8")
        files["zh/index.md"] = writes.chinese_index(pages, told, begin, bool(terms))
        files |= {f"zh/{name}.md": text for name, text in told.items()}
        if terms:
            files["zh/glossary.md"] = terms
        trees.append(_tree("中文", ["zh/index"]))
    if guides:
        trees.append(_tree("Work with it", [f"{title} <{name}>" for _, name, title in guides]))
    if (root / "docs" / "claims.png").is_file():
        files[f"{makes.FIGURES}/claims.png"] = (root / "docs" / "claims.png").read_bytes()
    files["index.md"] = writes.home(pages, root, "\n\n".join(trees), chinese="zh/index.md" in files)
    site = Path(__file__).parent / "site"
    files["conf.py"] = (site / "conf.py").read_bytes()
    files |= {f"_static/{name}": (site / name).read_bytes() for name in ("book.css", "book.js", "icon.svg")}
    return files, said


def _tree(caption: str, names: Sequence[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", ":maxdepth: 1", f":caption: {caption}", "", *names, "```"])


def source_address(root: Path) -> str:
    """Return where the repository's files can be read, an address that ends before a path; empty if it is not known.

    Args:
        root: the checkout.
    """
    project = root / "pyproject.toml"
    if not project.is_file():
        return ""
    urls = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("urls", {})
    return re.sub(r"/tree/", "/blob/", urls.get("Source", ""), count=1)
