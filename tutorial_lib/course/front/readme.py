"""The README as the front door: what the last run measured, its picture, and the map of chapters.

``tutorial map`` reads a finished run and writes

- ``docs/measured.json``: what was measured (``docs/measured-cuda.json`` for a run on a GPU);
- ``docs/claims.png``: the picture of the claims table, drawn from ``docs/measured.json``;
- the blocks of the README that stand between ``<!-- NAME: … -->`` and ``<!-- /NAME -->``.

Every number there comes from the run. Nobody copies one by hand, and the tests see it if somebody does.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tutorial_lib.course.catalogue import Chapter, CourseError, chapter_files, find_notebooks, read_chapter
from tutorial_lib.course.files import atomic_write, read_json
from tutorial_lib.course.keys import finished
from tutorial_lib.course.machine import device_kind
from tutorial_lib.course.progress import headline, outcomes

#: The blocks of the README, each between its two markers.
BLOCKS = ("claims", "course", "map", "gpu")
_COLAB = re.compile(r"https://colab\.research\.google\.com/[^\s)\"']+\.ipynb")


def add_map(parser) -> None:
    """Declare what ``tutorial map`` takes."""
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the folder of the run (default: runs/latest beside notebooks/)"
    )
    parser.add_argument(
        "--readme",
        metavar="FILE",
        type=Path,
        help="the README; docs/ lies beside it (default: README.md beside notebooks/)",
    )


def write_map(options) -> int:
    """Write ``docs/`` and the README's blocks from the last run.

    Args:
        options: with ``notebooks``, ``out`` and ``readme``.

    Returns:
        The exit status.

    Raises:
        CourseError: if the run is not whole, not today's or not the course's own, or a marker is missing; then
            nothing is written.
    """
    notebooks = options.notebooks or find_notebooks()
    root = notebooks.resolve().parent
    out, readme = options.out or root / "runs" / "latest", options.readme or root / "README.md"
    measured = measure(out, [read_chapter(path) for path in chapter_files(notebooks)])
    for path in write(measured, readme, notebooks):
        print(f"written: {path}")
    return 0


# --- from a run to docs/measured.json ---


def measure(out: Path, chapters: list[Chapter]) -> dict:
    """Return what a run measured, if it is one that the README may quote.

    Args:
        out: the run's folder.
        chapters: all chapters of the course, as they are now.

    Returns:
        ``{"schema", "date", "kind", "machine", "versions", "threads", "run", "chapters"}``; each chapter has ``name``,
        ``number``, ``title``, ``question``, ``status``, ``seconds``, ``peak_mib`` and ``claims``. ``threads`` is how
        many each chapter computed on (``None``: as many as there are); ``run`` is the summary's, if all chapters ran
        at one go.

    Raises:
        CourseError: if a chapter is missing, failed, ran with other parameters, or has changed since.
    """
    summary = read_json(out / "summary.json")
    if summary is None or summary.get("schema") != 1:
        raise CourseError(f"no run in {out} yet: start one with tutorial run")
    told = {chapter["name"]: chapter for chapter in summary["chapters"]}
    failed = [name for name, chapter in told.items() if chapter["status"] not in ("ok", "cached")]
    if failed:
        raise CourseError(f"the run in {out} did not go well: {', '.join(failed)} failed; mend it, and tutorial run")
    missing = sorted({*summary["missing"], *(chapter.name for chapter in chapters if chapter.name not in told)})
    if missing or not summary["complete"]:
        raise CourseError(f"the run in {out} is not complete: {', '.join(missing)} not run; tutorial run does the rest")
    changed: dict[str, Any] = {}
    records, stale = [], []
    for chapter in chapters:
        record = read_json(out / "chapters" / f"{chapter.name}.json") or {}
        # Held against the sources of today and the machine of the run: a run on a GPU is mapped on another machine.
        valid = finished(out, chapter, None, record.get("versions", {}), record.get("device", {}))
        if not valid or valid["seconds"] != told[chapter.name]["seconds"]:
            stale.append(chapter.name)
            continue
        changed |= {name: value for name, value in valid["parameters"].items() if name != "DEVICE"}
        if arithmetic := valid["device"].get("arithmetic"):
            changed["--arithmetic"] = arithmetic
        records.append({**valid, "status": told[chapter.name]["status"]})
    if stale:
        raise CourseError(f"the course has changed since {', '.join(stale)} ran: tutorial run, then tutorial map")
    if changed:
        given = ", ".join(f"{name} = {value!r}" for name, value in changed.items())
        raise CourseError(
            f"the run in {out} was made with {given}; the map wants the chapters' own parameters "
            "(DEVICE may differ): tutorial run"
        )
    if not records:
        raise CourseError(f"the run in {out} holds no chapter: start one with tutorial run")
    alike = {
        json.dumps([record["versions"], record["device"], _kind(record), record.get("threads")]) for record in records
    }
    if len(alike) > 1:
        raise CourseError(
            f"the chapters in {out} ran on different machines, devices, numbers of threads or versions: "
            "tutorial run --fresh"
        )
    keys = ("name", "number", "title", "question", "status", "seconds", "peak_mib", "claims")
    run = summary.get("run") or {}
    first = records[0]
    return {
        "schema": 1,
        "date": max(record["started"] for record in records)[:10],
        "kind": _kind(first),
        "machine": {key: first["device"][key] for key in ("system", "machine", "cores", "gpus")},
        "versions": first["versions"],
        "threads": first.get("threads"),
        "run": run if run.get("chapters") == sorted(told) else None,
        "chapters": [{key: record[key] for key in keys} for record in records],
    }


def _kind(record: dict) -> str:
    """Return ``cpu``, ``cuda`` or ``mps``: what the chapters took on the machine of the run."""
    return device_kind(record["parameters"].get("DEVICE", "auto"), record["versions"], record["device"])


# --- from docs/measured.json to the README ---


def write(measured: dict, readme: Path, notebooks: Path) -> list[Path]:
    """Write what was measured, the picture, and the README's blocks; what is already so is left alone.

    Args:
        measured: from ``measure``.
        readme: the README.
        notebooks: the folder of chapters.

    Returns:
        The files that were written.

    Raises:
        CourseError: if the README's markers are not in order or the numbers of the CPU are missing.
    """
    docs = readme.parent / "docs"
    cpu, others = stored(docs)
    if measured["kind"] == "cpu":
        cpu = measured
    else:
        others = sorted(
            [one for one in others if one["kind"] != measured["kind"]] + [measured], key=lambda one: one["kind"]
        )
    if cpu is None:
        raise CourseError(f"there is no {docs / 'measured.json'} yet: tutorial map of a run on the CPU comes first")
    try:
        old = readme.read_bytes()
        new = fill(old.decode("utf-8"), blocks(cpu, others, notebooks)).encode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"cannot read {readme}: {error}") from None
    except ValueError as error:
        raise CourseError(f"{readme}: {error}") from None
    suffix = "" if measured["kind"] == "cpu" else f"-{measured['kind']}"
    files = {docs / f"measured{suffix}.json": (json.dumps(measured, indent=1, ensure_ascii=False) + "\n").encode()}
    if measured["kind"] == "cpu":
        from tutorial_lib.course.front.picture import claims_picture

        files[docs / "claims.png"] = claims_picture(cpu)
    files[readme] = new
    written = []
    try:
        docs.mkdir(exist_ok=True)
        for path, content in files.items():
            if not path.is_file() or path.read_bytes() != content:
                atomic_write(path, content)
                written.append(path)
    except OSError as error:
        raise CourseError(f"cannot write in {docs.parent}: {error.strerror or error}") from None
    return written


def stored(docs: Path) -> tuple[dict | None, list[dict]]:
    """Return what ``docs/`` holds: the CPU's numbers (or ``None``), and those of other devices.

    Args:
        docs: the folder beside the README.
    """
    found = [read_json(path) for path in sorted(docs.glob("measured-*.json"))]
    return read_json(docs / "measured.json"), [one for one in found if one]


def fill(text: str, content: dict[str, str]) -> str:
    """Return a text with the lines between markers replaced; every other character stays.

    Args:
        text: with a line ``<!-- NAME: … -->`` and, below it, a line ``<!-- /NAME -->`` for each name.
        content: name → what shall stand between the two.

    Raises:
        ValueError: if a marker is missing, is there twice, or stands in the wrong place.

    >>> fill("a\\n<!-- map: by hand? -->\\nold\\n<!-- /map -->\\nb", {"map": "new"})
    'a\\n<!-- map: by hand? -->\\nnew\\n<!-- /map -->\\nb'
    """
    for name, lines in content.items():
        opening, closing = rf"^<!-- {name}:[^\n]*-->\r?\n", rf"^<!-- /{name} -->\s*?$"
        first, last = (list(re.finditer(pattern, text, re.MULTILINE)) for pattern in (opening, closing))
        if len(first) != 1 or len(last) != 1 or first[0].end() > last[0].start():
            raise ValueError(
                f"expected one line <!-- {name}: … --> and below it one line <!-- /{name} -->, "
                f"found {len(first)} and {len(last)}{'' if len(first) != len(last) else ' or the order'}"
            )
        inside = text[first[0].end() : last[0].start()]
        other = re.search(r"<!-- /?\w+[: ]", inside)
        if other:
            raise ValueError(f"the block {name} holds another marker: {other[0]}…")
        end = "\r\n" if first[0][0].endswith("\r\n") else "\n"
        new = lines.replace("\n", end) + end
        text = text[: first[0].end()] + new + text[last[0].start() :]
    return text


def blocks(cpu: dict, others: list[dict], notebooks: Path) -> dict[str, str]:
    """Return the README's blocks.

    Args:
        cpu: what ``docs/measured.json`` holds.
        others: the same, from runs on other devices.
        notebooks: the folder of chapters; each one's Colab address is read from its first cell.
    """
    links = {path.stem: colab_address(read_chapter(path)) for path in chapter_files(notebooks)}
    return {"claims": _claims(cpu), "course": _course(cpu), "map": _map(cpu, others, links), "gpu": _gpu(cpu, others)}


def colab_address(chapter: Chapter) -> str:
    """Return the address behind the chapter's Colab badge, or an empty text: ``tutorial colab`` looks after it.

    Args:
        chapter: the notebook.
    """
    for cell in chapter.notebook()["cells"][:3]:
        if match := _COLAB.search("".join(cell["source"])):
            return match[0]
    return ""


def count(claims: list[dict]) -> dict[str, int]:
    """Return verdict → number of claims.

    Args:
        claims: each with ``verdict``.

    >>> count([{"verdict": "open"}])
    {'supported': 0, 'refuted': 0, 'open': 1, 'no difference': 0}
    """
    from tutorial_lib.lab.claims import VERDICTS

    return {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}


def every_claim(measured: dict) -> list[dict]:
    """Return all claims of a run, in the course's order.

    Args:
        measured: from ``measure``.
    """
    return [claim for chapter in measured["chapters"] for claim in chapter["claims"]]


def _claims(cpu: dict) -> str:
    from tutorial_lib.course.progress import chance

    claims = every_claim(cpu)
    number = count(claims)
    said = (
        f"{len(claims)} claims, tested on paired seeds: {number['supported']} supported, "
        f"{number['refuted']} refuted, {number['open']} open"
        + (f", {number['no difference']} no difference" if number["no difference"] else "")
    )
    return (
        f"![The claims of the course with their effects, intervals and verdicts. {said}.](docs/claims.png)\n\n"
        "*A row shows the chapter's main claim, and the verdicts of all. No difference: the interval lies inside the "
        "margin, which was fixed before. Open: the evidence cannot tell. "
        f"{_live(claims)}{chance(claims)}*"
    )


def _live(claims: list[dict]) -> str:
    """Return what the run's fresh seeds said of the stored evidence; nothing where no claim has any."""
    checks = [claim["agrees"] for claim in claims if claim.get("agrees") is not None]
    return f"The run's fresh seeds agree with the evidence in {sum(checks)} of {len(checks)} claims. " if checks else ""


def _course(cpu: dict) -> str:
    # As a first run prints it: what was kept from an earlier run was ok then.
    chapters = [{**chapter, "status": "ok"} for chapter in cpu["chapters"]]
    totals = {"ok": len(chapters), "failed": 0, "timeout": 0, "cached": 0}
    lines = [
        *outcomes(chapters),
        "",
        headline({"totals": totals, "chapters": chapters, "run": cpu.get("run")}),
        "Report: runs/latest/index.html",
    ]
    return "\n".join(["```", *lines, "```", "", f"*{_where(cpu)}.*"])


def _where(measured: dict) -> str:
    machine, versions = measured["machine"], measured["versions"]
    day = datetime.fromisoformat(measured["date"])
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
    place = f"{_device(measured)}, {cores}" if measured["kind"] != "cpu" else f"{cores}, no GPU"
    names = (("Python", "python"), ("torch", "torch"), ("NumPy", "numpy"))
    said = ", ".join(f"{name} {versions[key]}" for name, key in names if key in versions)
    return f"Measured on {day.day} {day:%B %Y}: {place}, {machine['system']} {machine['machine']}, {said}"


def _device(measured: dict) -> str:
    return (measured["machine"]["gpus"] or [{"cuda": "GPU", "mps": "Apple GPU"}.get(measured["kind"], "CPU")])[0]


def _map(cpu: dict, others: list[dict], links: dict[str, str]) -> str:
    from tutorial_lib.lab.claims import VERDICTS

    # What a chapter's time means: on how many cores it may have computed.
    cores = cpu.get("threads") or cpu["machine"]["cores"]
    heads = [
        "",
        "chapter, and its question",
        f"time on {cores} core{'s' * (cores != 1)}",
        *(f"time on {_device(other)}" for other in others),
        "peak memory",
        "claims",
    ]
    rows = [heads, ["---", "---", "--:", *["--:" for _ in others], "--:", "---"]]
    times = [{chapter["name"]: chapter["seconds"] for chapter in other["chapters"]} for other in others]
    for chapter in cpu["chapters"]:
        name, number = chapter["name"], count(chapter["claims"])
        link = f"&nbsp;·&nbsp;[Colab]({links[name]})" if links.get(name) else ""
        rows.append(
            [
                f"{chapter['number']:02d}" if chapter["number"] is not None else "",
                f"[**{_cell(chapter['title'])}**](notebooks/{name}.ipynb){link}<br>{_cell(chapter['question'])}",
                _seconds(chapter["seconds"]),
                *(_seconds(time.get(name)) for time in times),
                f"{chapter['peak_mib']:.0f}&nbsp;MiB",
                "&nbsp;".join(f"{VERDICTS[verdict]}&nbsp;{n}" for verdict, n in number.items() if n),
            ]
        )
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{table}\n\n{' · '.join(f'{sign} {verdict}' for verdict, sign in VERDICTS.items())}"


def _cell(text: str) -> str:
    # A bar would end the table's cell; the rest would be read as HTML.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.0f}&nbsp;s"


def _gpu(cpu: dict, others: list[dict]) -> str:
    if not others:
        return "The chapters' times on a GPU are not yet measured; the table above is of a machine without one."
    parts = []
    for other in others:
        pairs = differing(cpu, other)
        same = len(every_claim(other)) - sum(pair.second != "none" for pair in pairs)
        total = sum(chapter["seconds"] for chapter in other["chapters"])
        parts.append(
            f"{_where(other)}. The course took {total / 60:.0f} minutes; {same} of "
            f"{len(every_claim(other))} claims had the CPU's verdict."
        )
        if pairs:
            parts.append(
                "\n".join(
                    f"- {pair.chapter}: {_cell(pair.statement)} ({pair.first} on the CPU, {pair.second} there)"
                    for pair in pairs
                )
            )
    return "\n\n".join(parts)


class Difference(NamedTuple):
    """A claim on whose verdict two runs do not agree; ``none`` where a run does not have it."""

    chapter: str
    statement: str
    first: str
    second: str


def differing(first: dict, second: dict) -> list[Difference]:
    """Return where two runs' verdicts differ.

    Args:
        first, second: from ``measure``.
    """
    found = []
    sides = [
        {
            (chapter["name"], claim["statement"]): claim["verdict"]
            for chapter in side["chapters"]
            for claim in chapter["claims"]
        }
        for side in (first, second)
    ]
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        one, two = (side.get(key, "none") for side in sides)
        if one != two:
            found.append(Difference(*key, one, two))
    return found
