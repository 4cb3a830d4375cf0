"""The report of a run: ``index.html`` for people, ``summary.json`` for programs, ``junit.xml`` for CI servers.

``summary.json`` has these keys, and they stay:

- ``schema``: 1.
- ``complete``: whether every chapter that was asked for has been dealt with.
- ``missing``: the names of those that have not (a run that was broken off).
- ``written``: when, in UTC (ISO 8601).
- ``versions``: name → version of Python and the dependencies; ``device``: ``system``, ``machine``, ``cores``,
  ``gpus``, ``visible``; ``arithmetic`` where it was not the machine's own.
- ``run``: what the last run that had anything to do did: ``chapters`` (the names of those that it ran), ``jobs`` (how
  many at a time), ``threads`` (on how many each computed; ``null``: as many as the system gave), ``wall_seconds``
  (from its start to its last report) and ``running_seconds`` (the sum over its chapters).
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
    (``supported`` | ``refuted`` | ``no difference`` | ``open``), ``better`` (``higher`` | ``lower``); a number that is
    not finite is ``null``. A claim that rests on stored evidence also has ``level`` (of its interval; 0.95 elsewhere),
    ``margin``, ``visible`` (the smallest effect that it could have shown), ``needed`` (how many seeds would settle it,
    if it is open), ``corrected`` (the verdict after Holm's correction over the chapter), ``live`` (the differences of
    this run's fresh seeds), ``expected`` (where their mean must lie) and ``agrees`` (whether it does; ``null``: there
    are none);
  - ``agrees``: whether all its live checks do; ``null`` if it has none;
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
from tutorial_lib.course.progress import SYMBOLS, all_claims, chance, disagreements, duration, headline

_BASE64 = re.compile(r"^[A-Za-z0-9+/=]*$")


def write_reports(
    out: Path, records: list[dict], *, missing: list[str], versions: dict, device: dict, run: dict | None = None
) -> dict:
    """Write ``summary.json``, ``junit.xml`` and ``index.html``.

    Args:
        out: the out folder.
        records: the chapters' records with their figures, in the order of the report.
        missing: the names of chapters still to be run.
        versions, device: of this run.
        run: what this run did, as in the summary.

    Returns:
        The summary.

    Raises:
        OSError: if a file could not be written; the old one is then still whole.
    """
    summary = summarise(records, missing=missing, versions=versions, device=device, run=run)
    figures = {record["name"]: record.get("figure") for record in records}
    atomic_write(out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    atomic_write(out / "junit.xml", junit(summary))
    atomic_write(out / "index.html", index_page(summary, figures))
    return summary


def summarise(
    records: list[dict], *, missing: list[str], versions: dict, device: dict, run: dict | None = None
) -> dict:
    """Return what ``summary.json`` holds; the keys are those of this module's documentation.

    Args:
        records, missing, versions, device, run: as for ``write_reports``.
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
        "agrees",
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
    } | ({"run": run} if run else {})


def index_page(summary: dict, figures: dict[str, dict | None]) -> str:
    """Return the report as one HTML page that needs no network; everything from a notebook is escaped.

    Args:
        summary: as in ``summary.json``.
        figures: name → ``{"mime", "data"}`` of the chapter's first figure.
    """
    from tutorial_lib.course.run.pages import page, templates
    from tutorial_lib.lab.claims import VERDICTS

    device = summary["device"]
    where = ", ".join(device["gpus"]) or f"CPU ({device['cores']} cores, {device['machine']})"
    chapters = [{**chapter, "figure": _safe_figure(figures.get(chapter["name"]))} for chapter in summary["chapters"]]
    body = (
        templates()
        .get_template("report.html")
        .render(
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
            strip=interval_strip,
            live=live,
            chance=chance(all_claims(summary)),
        )
    )
    return page("The course, run", body, "report.css")


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


def live(claim: dict) -> str:
    """Return what a claim's fresh seeds say.

    Args:
        claim: with ``agrees``, or without if it rests on no evidence.

    >>> live({"agrees": False, "live": [0.1, 0.2, 0.3]}), live({})
    ('✗ 3 seeds disagree', '')
    """
    if claim.get("agrees") is None:
        return ""
    number = len(claim["live"])
    return f"✓ {number} agree" if claim["agrees"] else f"✗ {number} seeds disagree"


def count_seeds(claim: dict) -> str:
    """Return the number of seeds behind a claim.

    Args:
        claim: its ``seeds`` is a number or the list of seeds.

    >>> count_seeds({"seeds": [0, 1, 2]}), count_seeds({"seeds": 5})
    ('3', '5')
    """
    seeds = claim["seeds"]
    return str(len(seeds)) if isinstance(seeds, list) else "–" if seeds is None else str(seeds)


def interval_strip(claim: dict) -> dict[str, str] | None:
    """Return where a claim's numbers lie on a strip of 120 points with zero in the middle; ``None`` where one lacks.

    Args:
        claim: with ``effect``, ``low``, ``high``.

    >>> interval_strip({"low": 0.0, "effect": 0.5, "high": 1.0})
    {'low': '60.0', 'effect': '87.0', 'high': '114.0'}
    """
    values = {name: claim[name] for name in ("low", "effect", "high")}
    if None in values.values():
        return None
    scale = 54 / (max(map(abs, values.values())) or 1)
    return {name: f"{60 + value * scale:.1f}" for name, value in values.items()}


def junit(summary: dict) -> bytes:
    """Return the summary as JUnit XML: one test case a chapter; a time-out is a failure of that type.

    Args:
        summary: as in ``summary.json``.
    """
    chapters = summary["chapters"]
    failures = sum(bool(chapter["error"] or disagreements(chapter)) for chapter in chapters)
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
        elif apart := disagreements(chapter):
            message = f"{len(apart)} claims whose fresh seeds do not agree with the evidence"
            failure = ElementTree.SubElement(case, "failure", type="disagrees", message=message)
            failure.text = plain("\n".join(claim["statement"] for claim in apart))
        elif chapter["status"] == "cached":
            ElementTree.SubElement(case, "system-out").text = "cached: finished in an earlier run and still valid"
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
