"""A saved chapter as a page of the book: its text as MyST Markdown, its figures as files beside it."""

import ast
import base64
import html
import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tutorial_lib.course.catalogue import Chapter
from tutorial_lib.course.clean import plain
from tutorial_lib.course.core_path import core_path, is_folded, places
from tutorial_lib.course.front.readme import colab_address
from tutorial_lib.course.markup import sanitise
from tutorial_lib.lab.claims import CLAIM_MIME, VERDICTS
from tutorial_lib.lab.exercises import CHECK_MIME

_BADGE = re.compile(r"^\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)[ \t]*$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^()\s]+)\)")
_COLAB = re.compile(r"^https://colab\.research\.google\.com/github/(?P<repo>[^/]+/[^/]+)/blob/(?P<ref>.+?)/notebooks/")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+")
#: Where the figures lie, as seen from a chapter's page.
FIGURES = "_static/figures"
#: In a chapter's set-up cell.
_SETUP = 'find_spec("tutorial_lib")'
#: What a figure's code calls its title.
_TITLES = {"set_title", "suptitle", "title"}


@dataclass
class Page:
    """What the book needs of one chapter.

    Attributes:
        chapter: the notebook.
        text: MyST Markdown.
        files: name → content of the figures, to lie beside the page.
        claims: the records of its claims, as the saved notebook holds them.
        card: "use it when / leave it when / start with", as Markdown; empty where the chapter has none.
    """

    chapter: Chapter
    text: str
    files: dict[str, bytes] = field(repr=False)
    claims: list[dict]
    card: str


def chapter_page(
    chapter: Chapter, names: Iterable[str], *, explorers: dict[int, str] | None = None, chinese: str | None = None
) -> Page:
    """Turn a saved chapter into a page.

    Args:
        chapter: the notebook, with the outputs of its last refresh.
        names: the chapters that are in the book; a link to any other notebook becomes plain text.
        explorers: place of a code cell → the HTML that stands for the figure of its explorer.
        chinese: the name of the page that tells this chapter in Chinese.
    """
    names, explorers = set(names), explorers or {}
    parts: list[str] = []
    files: dict[str, bytes] = {}
    claims: list[dict] = []
    card = ""
    notebook = chapter.notebook()
    cells, code, before = notebook["cells"], 0, ""
    for place, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text = markdown(source, names)
            if place == 0:
                text = f"{_first(text, chapter, chinese)}\n\n{reading(notebook)}"
            parts.append(text)
            card = card or find_card(text)
            before = source
        elif cell["cell_type"] == "code" and source.strip():
            code += 1
            after = next(("".join(one["source"]) for one in cells[place + 1 :] if one["cell_type"] == "markdown"), "")
            alt = alternative(source, before, after) or f"A figure of this chapter, drawn by code cell {code}"
            outputs = cell.get("outputs", [])
            claims += [record for output in outputs if (record := output.get("data", {}).get(CLAIM_MIME))]
            parts.append(_source(source, cell.get("metadata", {}), outputs))
            parts.append(_outputs(outputs, f"{chapter.name}-{code}", alt, files, explorers.get(code)))
    return Page(chapter, "\n\n".join(part for part in parts if part) + "\n", files, claims, card)


def _first(source: str, chapter: Chapter, chinese: str | None) -> str:
    """The title cell: links in place of the badge, whose picture would come from the network."""
    colab, ways = colab_address(chapter), []
    if colab:
        ways.append(f"[Open in Colab]({colab})")
        if match := _COLAB.match(colab):
            place = f"{match['repo']}/{match['ref'].replace('/', '%2F')}?urlpath=lab/tree/notebooks/{chapter.path.name}"
            ways.append(f"[open on Binder](https://mybinder.org/v2/gh/{place})")
    ways.append(f"{{download}}`download the notebook <notebooks/{chapter.path.name}>`")
    if chinese:
        ways.append(f"[中文]({chinese}.md)")
    row = "{.ways}\n" + " · ".join(ways)
    return _BADGE.sub(lambda _: row, source, count=1) if _BADGE.search(source) else f"{source}\n\n{row}"


def reading(notebook: dict) -> str:
    """Return the line that says how much a first reading of a chapter is, with the button that hides the rest.

    Args:
        notebook: as it is saved.
    """
    words, code = core_path(notebook)
    said = f"Core path: {words:,} words, {code} code cell{'s' * (code != 1)}"
    if all(where != "deeper" for _, _, where in places(notebook)):
        return raw(f'<p class="reading">{said}.</p>')
    # The button is shown by the script that serves it; until then a choice made on another page holds already.
    return raw(
        f'<p class="reading"><span>{said}; what is marked <span class="deeper-mark">deeper</span> can wait.</span>'
        '<button type="button" class="hide-deeper" aria-pressed="false" hidden>Hide what is deeper</button></p>'
        '<script>try { if (localStorage.getItem("deeper") === "hidden") '
        'document.documentElement.classList.add("core-only"); } catch {}</script>'
    )


def markdown(source: str, names: set[str]) -> str:
    """Return a notebook's Markdown as MyST: links to chapters lead to their pages, MyST's own signs are plain text.

    Args:
        source: the cell's text.
        names: the chapters that are in the book.

    >>> markdown("see [02](02_flow.ipynb) and [03](03_losses.ipynb)", {"02_flow"})
    'see [02](02_flow.md) and 03'
    """

    def link(match: re.Match[str]) -> str:
        path, hash_, anchor = match[2].partition("#")
        name = path.removesuffix(".ipynb")
        return f"[{match[1]}]({name}.md{hash_}{anchor})" if path.endswith(".ipynb") and name in names else match[1]

    lines, fenced = [], False
    for line in _LINK.sub(link, source).splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        # A line that begins so is a comment, a target or a new block to MyST.
        special = re.match(r"%|\+\+\+|\([^()\s]+\)=\s*$", line) and not fenced
        lines.append("\\" + line if special else line)
    return "\n".join(lines)


def find_card(text: str) -> str:
    """Return the paragraph that says when to use a method, when to leave it, and how to start; else nothing.

    Args:
        text: Markdown.

    >>> find_card("# Summary\\n\\n**Use it when** a. **Leave it when** b.\\n**Start with** c.\\n\\nThe end.")
    '**Use it when** a. **Leave it when** b.\\n**Start with** c.'
    """
    for paragraph in re.split(r"\n\s*\n", text):
        if len(re.findall(r"\*\*(?:Use|Try|Leave|Start|It matters)\b", paragraph)) >= 2:
            return re.sub(r"^> ?", "", paragraph.strip(), flags=re.MULTILINE)
    return ""


def alternative(source: str, before: str, after: str = "") -> str:
    """Return words for a figure that cannot be seen: its title where that is a sentence, what the text below says is to
    be seen in it, its panels' titles, or the last sentence above it.

    Args:
        source: the code that draws it.
        before: the Markdown above.
        after: the Markdown below.

    >>> alternative("ax.set(title='Mixup helps most here')", "")
    'Mixup helps most here'
    >>> alternative("plt.plot(x)", "Here is why. The **curves** cross:")
    'The curves cross'
    >>> alternative("plt.plot(x)", "", "**What to see.** Two curves that cross. **What it does not show.** More.")
    'Two curves that cross.'
    """
    titles = _titles(source)
    if sentences := [one for one in titles if len(one.split()) >= 4]:
        return "; ".join(sentences[:4])
    if match := re.search(r"\*\*What to see\.?\*\*(.*?)(?=\*\*What|\n\s*\n|\Z)", after, re.DOTALL):
        return " ".join(_SENTENCE.split(_words(match[1]))[:2])[:400]
    if titles:
        return "; ".join(titles[:4])
    paragraphs = [
        one for one in re.split(r"\n\s*\n", before) if one.strip() and not one.lstrip().startswith(("#", "|"))
    ]
    return _SENTENCE.split(_words(paragraphs[-1]))[-1].rstrip(" :.")[:300] if paragraphs else ""


def _words(text: str) -> str:
    """Markdown as plain words."""
    return " ".join(re.sub(r"[*`$>\\]", "", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)).split())


def _titles(source: str) -> list[str]:
    """The titles of more than a word that code gives to its figure, as far as they are written in it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = [one.value for one in node.keywords if one.arg in ("title", "suptitle")]
            given += node.args[:1] if name in _TITLES else []
            for value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value.split()) > 1:
                    found[" ".join(value.value.replace("$", "").split())] = None
    return list(found)


def _source(source: str, metadata: dict[str, Any], outputs: list[dict]) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    block = f"{fence}python\n{source}\n{fence}"
    setup = _SETUP in source
    if not setup and not is_folded(metadata):
        return block
    draws = any("image/png" in output.get("data", {}) for output in outputs)
    words = "Set-up" if setup else "The code of this figure" if draws else "Code that you may skip"
    return f'<details class="folded"><summary>{words}</summary>\n\n{block}\n\n</details>'


def _outputs(outputs: list[dict], name: str, alt: str, files: dict[str, bytes], explorer: str | None) -> str:
    parts = []
    for output in outputs:
        data: dict[str, Any] = {
            mime: "".join(value) if isinstance(value, list) else value for mime, value in _data(output).items()
        }
        if explorer and ("image/png" in data or "text/html" in data):
            parts.append(raw(explorer))
            explorer = None
        elif CLAIM_MIME in data:
            parts.append(raw(claim_box(data[CLAIM_MIME], data.get("text/plain", ""))))
        elif CHECK_MIME in data:
            parts.append(raw(f'<p class="check">{html.escape(data.get("text/plain", ""))}</p>'))
        elif "image/png" in data:
            file = f"{name}{'abcdefghijklmnopqrstuvwxyz'[len(parts) % 26]}.png"
            files[file] = base64.b64decode(data["image/png"])
            own = output.get("metadata", {}).get("image/png", {}).get("alt")
            parts.append(raw(picture(f"{FIGURES}/{file}", files[file], own or alt)))
        elif "text/html" in data:
            parts.append(raw(f'<div class="table">{sanitise(data["text/html"])}</div>'))
        elif "text/plain" in data and data["text/plain"].strip():
            parts.append(_text(data["text/plain"]))
    return "\n\n".join(parts)


def picture(address: str, content: bytes, alt: str) -> str:
    """Return an image element that takes its room before the picture is loaded, in a box that scrolls on a phone.

    Args:
        address: as seen from the page.
        content: a PNG.
        alt: words for who cannot see it.
    """
    width, height = struct.unpack(">II", content[16:24])
    return (
        f'<div class="frame"><img class="figure" src="{address}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{html.escape(alt, quote=True)}"></div>'
    )


def _data(output: dict) -> dict:
    if output["output_type"] == "stream":
        return {"text/plain": output["text"]}
    if output["output_type"] == "error":
        return {"text/plain": "\n".join(output["traceback"])}
    return output.get("data", {})


def _text(text: str) -> str:
    text = plain(text).rstrip("\n")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{{code-block}} none\n:class: output\n\n{text}\n{fence}"


def raw(source: str) -> str:
    """Return HTML for the middle of a MyST page.

    Args:
        source: HTML that is already safe.
    """
    return f"`````{{raw}} html\n{source}\n`````"


def interval(claim: dict) -> str:
    """Return a claim's difference and interval as text, to the digits that its width makes worth printing.

    >>> interval({"effect": 0.0175, "low": 0.0049, "high": 0.0300})
    '+0.018 [+0.005, +0.030]'
    >>> interval({"effect": 0.016, "low": 0.0003, "high": 0.031})
    '+0.0160 [+0.0003, +0.0310]'
    """
    width = max(claim["high"] - claim["low"], abs(claim["effect"]) / 100, 1e-4)
    digits = min(4, max(0, 1 - math.floor(math.log10(width))))
    # An end that is not zero must not be printed as one.
    while digits < 4 and any(claim[end] and round(claim[end], digits) == 0 for end in ("low", "high")):
        digits += 1
    numbers = [f"{claim[key]:+.{digits}f}".replace("-", "−") for key in ("effect", "low", "high")]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def claim_box(claim: dict, text: str) -> str:
    """Return a claim and its verdict as HTML.

    Args:
        claim: its record.
        text: what the chapter prints; the lines below the statement are kept.
    """
    verdict = claim["verdict"]
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.lstrip().startswith("effect ")), len(lines))
    rest = "<br>".join(html.escape(line.strip()) for line in lines[start:])
    return (
        f'<div class="claim {verdict.replace(" ", "-")}"><p><strong class="verdict">{VERDICTS.get(verdict, "")} '
        f'{verdict}</strong> {html.escape(claim["statement"])}</p><p class="numbers">{rest}</p></div>'
    )
