"""The whole course: how long a reader waits, and in which cells each chapter's time goes.

Runs what ``tutorial run`` finds missing or changed, as a reader does, and tells of the run in ``runs/latest``.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: How many cells of each chapter are shown.
SHOWN = 3


def slowest(out: Path, *, shown: int = SHOWN) -> str:
    """Return a line for the whole, and for each chapter its time and its slowest cells.

    Args:
        out: the folder of a run.
        shown: how many cells of each chapter.
    """
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    run, chapters = summary.get("run"), summary["chapters"]
    lines = [
        f"The whole: {sum(chapter['seconds'] for chapter in chapters):.1f} s of running in {len(chapters)} chapters"
    ]
    if run and run["chapters"]:
        each = "all threads" if run["threads"] is None else f"{run['threads']} thread{'s' * (run['threads'] > 1)} each"
        lines.append(
            f"The last run: {len(run['chapters'])} chapters, {run['jobs']} at a time, {each}: "
            f"{run['running_seconds']:.1f} s of running, {run['wall_seconds']:.1f} s on the clock "
            f"({run['running_seconds'] / run['wall_seconds']:.2f} x)"
        )
    for chapter in chapters:
        lines.append(f"{chapter['name']:<26} {chapter['seconds']:7.1f} s   {chapter['status']}")
        record = json.loads((out / "chapters" / f"{chapter['name']}.json").read_text(encoding="utf-8"))
        cells = sorted(record.get("cells", {}).items(), key=lambda item: -item[1])
        texts = _sources(out / "chapters" / f"{chapter['name']}.ipynb")
        for number, seconds in cells[:shown]:
            source = texts.get(int(number), [""])[0]
            lines.append(f"    {seconds:7.1f} s   cell {number:>3}   {source[:76]}")
        rest = chapter["seconds"] - sum(seconds for _, seconds in cells)
        lines.append(f"    {rest:7.1f} s   the kernel's start and end")
    return "\n".join(lines)


def _sources(path: Path) -> dict[int, list[str]]:
    """Return the lines that say something of each code cell, by its number from 1."""
    if not path.is_file():
        return {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]).splitlines() for cell in cells if cell["cell_type"] == "code"]
    return {
        number: [line.strip() for line in lines if line.strip() and not line.startswith("#")] or [""]
        for number, lines in enumerate(code, 1)
    }


def main() -> None:
    """Bring the last run up to date, and print where its time went."""
    subprocess.run([sys.executable, "-m", "tutorial_lib.course.cli", "run"], cwd=ROOT, check=False)
    print(f"\n{slowest(ROOT / 'runs' / 'latest')}")


if __name__ == "__main__":
    main()
