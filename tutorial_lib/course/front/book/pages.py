"""The pages of the book that are no chapter: the first one, what holds up, the Chinese ones, the guides."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

from tutorial_lib.course.catalogue import Chapter
from tutorial_lib.course.files import read_json
from tutorial_lib.course.front.book.chapters import FIGURES, Page, interval, markdown, picture, raw
from tutorial_lib.lab.claims import VERDICTS

_CLAIM = re.compile(r"\{\{(.+?)\}\}")
_TELLS = re.compile(r"^(?:On |With )?([^,:]{2,48}(?:, [^:]{2,40})?)(?:: |, (?=DTC|VAT|FGM))")
VERDICTS_ZH = {"supported": "成立", "refuted": "不成立", "open": "未定", "no difference": "无差别"}
#: Guides: the file in the checkout, its page, and what the sidebar calls it.
GUIDES = (
    ("docs/teaching.md", "teaching", "Teaching with the course"),
    ("docs/sweeping.md", "sweeping", "Sweeps: many settings, many seeds"),
    ("CONTRIBUTING.md", "contributing", "Adding a chapter or a method"),
    ("CHANGELOG.md", "changelog", "What has changed"),
)


def home(pages: Sequence[Page], root: Path, trees: str, *, chinese: bool = False) -> str:
    """Return the first page: what the course is, its chapters with their questions and verdicts, the picture of all.

    Args:
        pages: the chapters.
        root: the checkout.
        trees: the tables of contents for the sidebar.
        chinese: whether there are pages in Chinese.
    """
    readme = (root / "README.md").read_text(encoding="utf-8")
    title, _, rest = readme.partition("\n")
    about = re.split(r"^(?:<!-- |## )", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()
    about = re.sub(r"^\[中文\]\(README\.zh\.md\)\s*", "", about)
    measured = read_json(root / "docs" / "measured.json") or {"chapters": []}
    seconds = {one["name"]: one["seconds"] for one in measured["chapters"]}
    rows = []
    for page in pages:
        chapter, name = page.chapter, page.chapter.name
        time = f"runs in {seconds[name]:.0f}&nbsp;s" if name in seconds else ""
        mark = f"{chapter.number:02d}" if chapter.number is not None else ""
        rows.append(
            f'<li><a href="{name}.html"><span class="number">{mark}</span> '
            f"<strong>{html.escape(chapter.title)}</strong></a><p>{html.escape(chapter.question)}</p>"
            f'<p class="facts">{_tally(page.claims)}<span class="time">{time}</span></p></li>'
        )
    claims = [claim for page in pages for claim in page.claims]
    number = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}
    said = ", ".join(f"{n} {verdict}" for verdict, n in number.items() if n)
    parts = [title, about, *(["[中文概要：每章的问题、想法和检验结果](zh/index.md)"] if chinese else [])]
    first = next((page.chapter.name for page in pages if page.chapter.number == 0), None)
    if first:
        parts.append(
            f"Begin with [chapter 00]({first}.md): it explains how claims and exercises work, and each later chapter "
            "says at its top what to know before. Here the chapters can be read as they were last run, and the "
            "sliders of their figures can be moved; the links below a chapter's title open it as a notebook, in which"
            " everything can be changed."
        )
    if claims:
        parts.append(
            f"The course tests {len(claims)} claims on paired seeds: {said}. [What holds up](holds_up.md) lists them "
            "all, and says for each chapter what follows in practice."
        )
    parts += ["## The chapters", raw(f'<ol class="map">{"".join(rows)}</ol>')]
    shown = re.search(r"^!\[([^\]]*)\]\(docs/claims\.png\)", readme, re.MULTILINE)
    if shown and (root / "docs" / "claims.png").is_file():
        parts += [
            "## What came out",
            raw(picture(f"{FIGURES}/claims.png", (root / "docs" / "claims.png").read_bytes(), shown[1])),
            "Each row shows a chapter's main claim, and at its right the verdicts of all its claims. A dot is the "
            "mean difference over paired seeds, the bar its interval, and what lies right of the upright line speaks "
            "for the claim. Each row has its own scale.",
        ]
    return "\n\n".join([*parts, trees]) + "\n"


def _tally(claims: list[dict]) -> str:
    counted = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}
    return "".join(
        f'<span class="{verdict.replace(" ", "-")}">{VERDICTS[verdict]}&nbsp;{n}&nbsp;{verdict}</span> '
        for verdict, n in counted.items()
        if n
    )


def holds_up(pages: Sequence[Page]) -> str:
    """Return the page with every claim of the course, and every chapter's card.

    Args:
        pages: the chapters; the numbers are those of the claims' saved records.
    """
    parts = [
        "# What holds up",
        "This page lists every claim of the course with its verdict, and below the claims of a chapter what they mean "
        "in practice. What is claimed, the rival, and the smallest difference that would matter (the *margin*) were "
        "fixed before the runs that decide.",
        "The *difference* is the mean over paired seeds, and it is positive where it speaks for the claim. Behind it, "
        "in brackets, stands its interval, at 99 % unless another level is named. Most claims say that one thing beats "
        "another. Such a claim is",
        "- **supported** if the interval lies above zero,\n- **refuted** if it lies below zero,\n- **no difference** "
        "if it contains zero and lies inside the margin on both sides,\n- **open** in all other cases: the "
        "evidence cannot tell.",
        "Some claims ask something else, and say so below their difference: that two things are *equal*, which an "
        "interval inside the margin supports and one outside refutes; or that one is *not worse*, which is decided at "
        "the margin below zero instead of at zero. A chapter that tests eight claims gives chance eight tries; where "
        "Holm's correction for this leaves a verdict open, that stands below the verdict.",
        "In the small pictures the upright line is zero, the gray band is the margin, and dot and bar are the "
        "difference with its interval; each picture has its own scale. A verdict holds for the set that is named, and"
        " no further.",
    ]
    for page in pages:
        chapter = page.chapter
        heading = f"{chapter.number:02d} · {chapter.title}" if chapter.number is not None else chapter.title
        parts += [f"## {heading}", f"*{chapter.question}* [The chapter]({chapter.name}.md)."]
        if page.claims:
            parts.append(raw(claims_table(page.claims)))
        if page.card:
            parts.append(":::{admonition} In practice\n:class: card\n\n" + page.card + "\n:::")
    return "\n\n".join(parts) + "\n"


def setting(statement: str) -> tuple[str, str]:
    """Split a claim's statement into the set or setting that it names first, and the rest.

    >>> setting("Digits, wrong labels: mixup is more accurate")
    ('Digits, wrong labels', 'mixup is more accurate')
    >>> setting("The largest of the points and their mean are equal")
    ('', 'The largest of the points and their mean are equal')
    """
    match = _TELLS.match(statement)
    return (match[1], statement[match.end() :]) if match else ("", statement)


def claims_table(claims: Sequence[dict]) -> str:
    """Return claims as an HTML table.

    Args:
        claims: their records.
    """
    rows = []
    for claim in claims:
        where, what = setting(claim["statement"])
        verdict, level = claim["verdict"], claim.get("level", 0.95)
        note = "" if level == 0.99 else f" at {100 * level:g} %"
        margin = f"margin {claim['margin']:g}, " if claim.get("margin") else ""
        needed = ""
        if verdict == "open" and claim.get("margin"):
            many = f"about {claim['needed']:,}" if claim.get("needed") else "more than 100,000"
            needed = f"; {many} would settle it"
        kind = verdict.replace(" ", "-")
        asks = {"equal": "equal? ", "not worse": "not worse? "}.get(claim.get("asks", ""), "")
        corrected = claim.get("corrected")
        after = f"<br><small>{corrected} after correction</small>" if corrected not in (None, verdict) else ""
        small = f"<br><small>{asks}{margin}{claim['seeds']} pairs{needed}</small>"
        rows.append(
            f"<tr><td>{html.escape(where)}</td><td>{html.escape(what)}</td>"
            f'<td class="numbers {kind}">{drawn(claim)}{interval(claim)}{note}{small}</td>'
            f'<td class="verdict {kind}">{VERDICTS[verdict]}&nbsp;{verdict}{after}</td></tr>'
        )
    head = "".join(f"<th>{one}</th>" for one in ("set", "claim", "difference", "verdict"))
    return (
        f'<div class="table claims"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def drawn(claim: dict) -> str:
    """Return a claim's difference, interval, margin and zero as a small picture in SVG, each claim on its own scale.

    Args:
        claim: its record.
    """
    margin = claim.get("margin") or 0.0
    reach = 1.08 * max(abs(claim["low"]), abs(claim["high"]), margin, 1e-12)
    values = {name: claim[name] for name in ("effect", "low", "high")} | {"margin": margin}
    x = {name: round(60 + 60 * value / reach, 1) for name, value in values.items()}
    band = f'<rect class="band" x="{120 - x["margin"]:g}" y="1" width="{2 * x["margin"] - 120:g}" height="14"/>'
    return (
        f'<svg class="interval" viewBox="0 0 120 16" aria-hidden="true">{band if margin else ""}'
        f'<path class="zero" d="M60 0v16"/><path class="range" d="M{x["low"]:g} 8H{x["high"]:g}"/>'
        f'<circle cx="{x["effect"]:g}" cy="8" r="3.5"/></svg>'
    )


def chinese_pages(folder: Path, pages: Sequence[Page]) -> tuple[dict[str, str], list[str]]:
    """Return the Chinese pages by name, and a line for each claim in them that its chapter no longer makes.

    In ``docs/zh/NN.md`` a line of a claim ends in its English statement between double braces. The verdict and the
    numbers are put there; a line whose claim is gone is left out. Claims of which no line speaks follow in English.

    Args:
        folder: ``docs/zh``.
        pages: the chapters in the book.
    """
    found, stale = {}, []
    for page in pages:
        path = folder / f"{page.chapter.number:02d}.md" if page.chapter.number is not None else None
        if path is None or not path.is_file():
            continue
        claims = {claim["statement"]: claim for claim in page.claims}
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            gone = [statement for statement in _CLAIM.findall(line) if statement not in claims]
            stale += [f"{path.name}: no claim {statement!r} in chapter {page.chapter.name}" for statement in gone]
            if not gone:
                lines.append(_filled(line, claims))
        text = path.read_text(encoding="utf-8")
        rest = [claim for statement, claim in claims.items() if f"{{{{{statement}}}}}" not in text]
        if rest:
            lines += ["", "## 全部裁决" if len(rest) == len(claims) else "## 其余裁决", "", "陈述为英文原文。", ""]
            lines += [f"- {claim['statement']}: {verdict_zh(claim)}" for claim in rest]
        title, _, text = "\n".join(lines).partition("\n")
        link = f"{{.ways}}\n[英文原章（代码、图和证明）](../{page.chapter.name}.md) · [各章目录](index.md)"
        found[path.stem] = (
            f"{title}\n\n{link}\n{text}\n\n完整的推导、代码与实验见 [英文原章](../{page.chapter.name}.md)。\n"
        )
    return found, stale


def _filled(line: str, claims: dict[str, dict]) -> str:
    return _CLAIM.sub(lambda match: verdict_zh(claims[match[1]]), line)


def verdict_zh(claim: dict) -> str:
    """Return a claim's verdict and numbers in Chinese.

    >>> record = {"verdict": "supported", "effect": 0.0175, "low": 0.005, "high": 0.03, "seeds": 40, "level": 0.99}
    >>> verdict_zh(record)
    '**成立**（差 +0.018，99% 区间 [+0.005, +0.030]，40 对）'
    """
    effect, _, bounds = interval(claim).partition(" ")
    level = f"{100 * claim.get('level', 0.95):g}%"
    return f"**{VERDICTS_ZH[claim['verdict']]}**（差 {effect}，{level} 区间 {bounds}，{claim['seeds']} 对）"


def chinese_index(pages: Sequence[Page], told: dict[str, str], text: str, glossary: bool) -> str:
    """Return the first Chinese page.

    Args:
        pages: the chapters.
        told: what :func:`chinese_pages` returns.
        text: the beginning, from ``docs/zh/index.md``.
        glossary: whether there is a page of terms.
    """
    names = [f"{page.chapter.number:02d}" for page in pages if page.chapter.number is not None]
    names = [name for name in names if name in told]
    tree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *names, *(["glossary"] if glossary else []), "```"])
    return f"{text.rstrip()}\n\n## 各章\n\n{tree}\n"


def glossary(chapter: Chapter, more: str = "") -> str:
    """Return the page of English and Chinese terms: the glossary that a chapter holds, and further ones.

    Args:
        chapter: the first.
        more: a Markdown table of two columns, English and Chinese; where the chapter has the term too, it decides.
    """
    cells = ("".join(cell["source"]) for cell in chapter.notebook()["cells"] if cell["cell_type"] == "markdown")
    own = next((source for source in cells if re.match(r"#+ .*中文", source)), "")
    terms = dict(_terms(more)) | dict(_terms(own))
    if not terms:
        return ""
    rows = [f"| {one} | {two} |" for one, two in sorted(terms.items(), key=lambda pair: pair[0].casefold())]
    said = f"；第 {chapter.number or 0:02d} 章的[词汇表](../{chapter.name}.md)也在其中" if own else ""
    return f"# 术语表\n\n全课使用的译名，按英文排序{said}。\n\n| 英文 | 中文 |\n|---|---|\n" + "\n".join(rows) + "\n"


def _terms(table: str) -> list[tuple[str, str]]:
    """The pairs of a Markdown table whose columns are English, Chinese, and perhaps once more after an empty one."""
    found = []
    for line in table.splitlines():
        fields = [one.strip() for one in line.strip().strip("|").split("|")]
        if line.startswith("|") and not set(fields[0]) <= set("-: ") and fields[0] != "English":
            found += [(one, two) for one, two in zip(fields[::3], fields[1::3]) if one and two]
    return found


def guide(text: str, names: set[str], source: str) -> str:
    """Return a guide of the checkout as a page: links to chapters lead to their pages, other files to the repository.

    Args:
        text: Markdown.
        names: the chapters in the book.
        source: where the repository's files can be read, an address that ends before the path; may be empty.
    """
    known = {path: page for path, page, _ in GUIDES}

    def link(match: re.Match[str]) -> str:
        path = match[2].removeprefix("../")
        name = Path(path).stem
        if path.endswith(".ipynb") and name in names:
            return f"[{match[1]}]({name}.md)"
        if path in known or f"docs/{path}" in known:
            return f"[{match[1]}]({known.get(path) or known[f'docs/{path}']}.md)"
        return f"[{match[1]}]({source}/{path})" if source else match[1]

    return markdown(re.sub(r"(?<!!)\[([^\[\]]*)\]\((?!\w+:|#)([^()\s]+)\)", link, text), names) + "\n"
