"""The report of a run: ``index.html`` for people, ``summary.json`` for programs, ``junit.xml`` for CI servers.

``summary.json`` has these keys, and they stay:

- ``schema``: 1.
- ``complete``: whether every chapter that was asked for has been dealt with.
- ``missing``: the names of those that have not (a run that was broken off).
- ``written``: when, in UTC (ISO 8601).
- ``versions``: name → version of Python and the dependencies; ``device``: ``system``, ``machine``, ``cores``,
  ``gpus``, ``visible``.
- ``totals``: how many chapters are ``ok``, ``failed``, ``timeout``, ``cached``.
- ``chapters``: a list, sorted by name, of

  - ``name``, ``number``, ``title``, ``question``;
  - ``status``: ``ok`` | ``failed`` | ``timeout`` | ``cached`` (finished in an earlier run and still valid; its
    numbers are those of that run);
  - ``seconds``: wall time from the start of the kernel to its end;
  - ``peak_mib``: the most resident memory that the kernel and the processes it started held at one time, in MiB.
    The kernel alone: the system's own high-water mark. With child processes: their sum, sampled four times a
    second, with shared pages counted once (Linux; elsewhere resident sizes are sampled and added up);
  - ``started``: in UTC; ``parameters``: the injected values;
  - ``claims``: a list of ``statement``, ``effect``, ``low``, ``high``, ``seeds``, ``verdict``
    (``supported`` | ``refuted`` | ``open``), ``better`` (``higher`` | ``lower``); a number that is not finite is
    ``null``;
  - ``error``: ``null``, or ``cell`` (which code cell, from 1; ``null`` outside any), ``source``, ``message``,
    ``traceback``;
  - ``notebook``, ``html``: paths relative to this file, or ``null`` where the run left none.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path

from tutorial_lib.course.clean import plain
from tutorial_lib.course.files import atomic_write
from tutorial_lib.course.progress import SYMBOLS, VERDICTS, all_claims, duration, headline

_BASE64 = re.compile(r"^[A-Za-z0-9+/=]*$")

_TEMPLATE = """
<header><h1>The course, run</h1>
<p class="soft">{{ written }} UTC · {{ where }} · Python {{ versions.python }}{% for name in ("torch", "numpy") %}
{% if versions[name] %} · {{ name }} {{ versions[name] }}{% endif %}{% endfor %}</p>
<p><strong>{{ headline }}</strong></p>
{% if missing %}<p class="bad"><strong>Broken off:</strong> {{ missing | join(", ") }} not run yet.
Run <code>tutorial run</code> again; it does only these.</p>{% endif %}</header>

<h2>Chapters</h2>
<div class="scroll"><table class="chapters"><thead><tr><th>Chapter</th><th>Status</th><th class="number">Time</th>
<th class="number">Peak memory</th><th>First figure</th></tr></thead><tbody>
{% for chapter in chapters %}<tr><td class="about"><strong>{% if chapter.html %}<a href="{{ chapter.html }}">
{{- chapter.title }}</a>{% else %}{{ chapter.title }}{% endif %}</strong>
<div class="soft">{{ chapter.question }}</div>
<div class="soft small">{{ chapter.name }}{% for name, value in chapter.parameters.items() %} · {{ name }} = {{ value }}
{%- endfor %}{% if chapter.notebook %} · <a href="{{ chapter.notebook }}">.ipynb</a>{% endif %}</div></td>
<td class="status {{ 'bad' if chapter.error else 'good' }}">{{ symbols[chapter.status] }} {{ chapter.status }}</td>
<td class="number">{{ duration(chapter.seconds) }}</td>
<td class="number">{{ "%.0f" | format(chapter.peak_mib) }} MiB</td>
<td>{% if chapter.figure %}<a href="{{ chapter.html }}"><img class="first" alt="First figure of {{ chapter.title }}"
src="data:{{ chapter.figure.mime }};base64,{{ chapter.figure.data }}"></a>{% endif %}</td></tr>
{% else %}<tr><td colspan="5" class="soft">No chapter has finished yet.</td></tr>{% endfor %}</tbody></table></div>

{% for chapter in chapters if chapter.error %}{% if loop.first %}<h2>What went wrong</h2>{% endif %}
<section class="failure"><h3>{{ symbols[chapter.status] }} {{ chapter.name }} {{ chapter.status }}
{%- if chapter.error.cell %} in code cell {{ chapter.error.cell }}{% endif %}</h3>
<p>{{ chapter.error.message }}</p>
{% if chapter.error.source %}<p class="soft">The cell:</p><pre>{{ chapter.error.source }}</pre>{% endif %}
{% if chapter.error.traceback != chapter.error.message %}<details open><summary class="soft">Traceback</summary>
<pre>{{ chapter.error.traceback }}</pre></details>{% endif %}</section>{% endfor %}

<h2>Claims</h2>
{% if claims %}<p class="soft">A claim is written down before its experiment runs, or says that it was not.
Its effect is the mean difference of paired scores; the bar is its 95&nbsp;% interval, the thin line is zero.
▲ supported: the interval lies on the claimed side. ▼ refuted: it lies on the other. ○ open: it holds zero.</p>
<div class="scroll"><table><thead><tr><th>Chapter</th><th>Claim</th>
<th class="number">Effect<br><span class="small">[95 % interval]</span></th>
<th></th><th class="number">Seeds</th><th>Verdict</th></tr></thead><tbody>
{% for claim in claims %}<tr><td class="small">{{ claim.chapter }}</td><td class="claim">{{ claim.statement }}</td>
{% set effect, between = interval(claim).split(" ", 1) %}<td class="number">{{ effect }}<br>
<span class="small soft">{{ between }}</span></td><td>{{ bar(claim) }}</td><td class="number">{{ seeds(claim) }}</td>
<td class="status {{ 'bad' if claim.verdict == 'refuted' else 'good' if claim.verdict == 'supported' else '' }}">
{{- verdicts.get(claim.verdict, "?") }} {{ claim.verdict }}</td></tr>
{% endfor %}</tbody></table></div>{% else %}<p class="soft">No chapter in this report makes a claim.</p>{% endif %}
"""

_STYLE = """
td.about { min-width: 15rem; } .small { font-size: .85em; } img.first { display: block; max-width: 15rem;
  max-height: 10rem; border: 1px solid var(--line); }
td.claim { min-width: 17rem; }
svg.interval { display: block; width: 6rem; max-width: none; height: 1.1rem; margin-top: .2rem; }
svg .zero { stroke: var(--soft); stroke-width: 1; } svg .range { stroke: var(--ink); stroke-width: 3; }
svg .mean { fill: var(--ink); }
"""


def write_reports(out: Path, records: list[dict], *, missing: list[str], versions: dict, device: dict) -> dict:
    """Write ``summary.json``, ``junit.xml`` and ``index.html``.

    Args:
        out: the out folder.
        records: the chapters' records with their figures, in the order of the report.
        missing: the names of chapters still to be run.
        versions, device: of this run.

    Returns:
        The summary.

    Raises:
        OSError: if a file could not be written; the old one is then still whole.
    """
    summary = summarise(out, records, missing=missing, versions=versions, device=device)
    figures = {record["name"]: record.get("figure") for record in records}
    atomic_write(out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    atomic_write(out / "junit.xml", junit(summary))
    atomic_write(out / "index.html", index_page(summary, figures))
    return summary


def summarise(out: Path, records: list[dict], *, missing: list[str], versions: dict, device: dict) -> dict:
    """Return what ``summary.json`` holds; the keys are those of this module's documentation.

    Args:
        out, records, missing, versions, device: as for ``write_reports``.
    """
    keys = (
        "name",
        "number",
        "title",
        "question",
        "status",
        "seconds",
        "peak_mib",
        "started",
        "parameters",
        "claims",
        "error",
    )
    chapters = []
    for record in records:
        files = record.get("files") or {}
        links = {
            kind: f"chapters/{record['name']}.{ending}" if f"{record['name']}.{ending}" in files else None
            for kind, ending in (("notebook", "ipynb"), ("html", "html"))
        }
        chapters.append({key: record.get(key) for key in keys} | links)
    totals = {
        status: sum(chapter["status"] == status for chapter in chapters)
        for status in ("ok", "failed", "timeout", "cached")
    }
    return {
        "schema": 1,
        "complete": not missing,
        "missing": missing,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "device": device,
        "totals": totals,
        "chapters": chapters,
    }


def index_page(summary: dict, figures: dict[str, dict | None]) -> str:
    """Return the report as one HTML page that needs no network; everything from a notebook is escaped.

    Args:
        summary: as in ``summary.json``.
        figures: name → ``{"mime", "data"}`` of the chapter's first figure.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from tutorial_lib.course.run.pages import page

    def bar(claim: dict) -> Markup:
        return Markup(interval_bar(claim))

    device = summary["device"]
    where = ", ".join(device["gpus"]) or f"CPU ({device['cores']} cores, {device['machine']})"
    chapters = [{**chapter, "figure": _safe_figure(figures.get(chapter["name"]))} for chapter in summary["chapters"]]
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_TEMPLATE)
    body = template.render(
        chapters=chapters,
        claims=all_claims(summary),
        missing=summary["missing"],
        versions=_Defaults(summary["versions"]),
        where=where,
        written=summary["written"][:16].replace("T", " "),
        headline=headline(summary),
        symbols=SYMBOLS,
        verdicts=VERDICTS,
        duration=duration,
        interval=interval,
        seeds=count_seeds,
        bar=bar,
    )
    return page("The course, run", body, _STYLE)


class _Defaults(dict):
    def __missing__(self, key):
        return ""


def _safe_figure(figure: dict | None) -> dict | None:
    # The record lies on disk: only a picture may go into an address.
    if not figure or not str(figure.get("mime")).startswith("image/") or not _BASE64.match(str(figure.get("data"))):
        return None
    return figure


def interval(claim: dict) -> str:
    """Return a claim's effect and interval as text.

    Args:
        claim: with ``effect``, ``low``, ``high``.

    >>> interval({"effect": 0.0312, "low": 0.01, "high": 0.05})
    '+0.0312 [+0.0100, +0.0500]'
    """
    effect, low, high = (_number(claim[key]) for key in ("effect", "low", "high"))
    return f"{effect} [{low}, {high}]"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:+.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:+.3g}"


def count_seeds(claim: dict) -> str:
    """Return the number of seeds behind a claim.

    Args:
        claim: its ``seeds`` is a number or the list of seeds.

    >>> count_seeds({"seeds": [0, 1, 2]}), count_seeds({"seeds": 5})
    ('3', '5')
    """
    seeds = claim["seeds"]
    return str(len(seeds)) if isinstance(seeds, list) else "–" if seeds is None else str(seeds)


def interval_bar(claim: dict) -> str:
    """Return a small SVG: zero in the middle, the interval as a bar, the effect as a dot.

    Args:
        claim: with ``effect``, ``low``, ``high``.
    """
    values = [claim[key] for key in ("low", "effect", "high")]
    if any(value is None for value in values):
        return ""
    scale = 54 / (max(map(abs, values)) or 1)
    low, effect, high = (60 + value * scale for value in values)
    return (
        f'<svg class="interval" viewBox="0 0 120 18" role="img" aria-label="effect and interval against zero">'
        f'<line class="zero" x1="60" x2="60" y1="0" y2="18"/>'
        f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="9" y2="9"/>'
        f'<circle class="mean" cx="{effect:.1f}" cy="9" r="4.5"/></svg>'
    )


def junit(summary: dict) -> bytes:
    """Return the summary as JUnit XML: one test case a chapter; a time-out is a failure of that type.

    Args:
        summary: as in ``summary.json``.
    """
    chapters = summary["chapters"]
    failures = sum(bool(chapter["error"]) for chapter in chapters)
    suite = ElementTree.Element(
        "testsuite",
        name="tutorial",
        tests=str(len(chapters)),
        failures=str(failures),
        errors="0",
        skipped="0",
        timestamp=summary["written"][:19],
        time=f"{sum(chapter['seconds'] for chapter in chapters):.3f}",
    )
    for chapter in chapters:
        case = ElementTree.SubElement(
            suite, "testcase", classname="tutorial", name=plain(chapter["name"]), time=f"{chapter['seconds']:.3f}"
        )
        if error := chapter["error"]:
            failure = ElementTree.SubElement(case, "failure", type=chapter["status"], message=plain(error["message"]))
            failure.text = plain(f"code cell {error['cell']}\n{error['source']}\n\n{error['traceback']}")
        elif chapter["status"] == "cached":
            ElementTree.SubElement(case, "system-out").text = "cached: finished in an earlier run and still valid"
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
