"""The explorers of a chapter in the book: their frames, drawn once and kept, and the HTML that shows them."""

import hashlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutorial_lib.course.catalogue import Chapter, CourseError
from tutorial_lib.course.cells import needed
from tutorial_lib.course.clean import plain
from tutorial_lib.course.files import read_json
from tutorial_lib.course.markup import sanitise

MOST = 400_000  # bytes of all frames of an explorer
_QUALITIES = ((1.0, 82), (1.0, 65), (0.85, 60), (0.75, 50), (0.6, 45), (0.5, 35))  # scale, quality
#: Of what is drawn; a change of the drawing makes the frames that are kept of no more use.
VERSION = "3"
_EXPLORES = re.compile(r"^explore\(", re.MULTILINE)


@dataclass(frozen=True)
class Explorer:
    """One cell that calls ``explore``.

    Attributes:
        chapter: the notebook.
        cell: which code cell that is not empty, from 1.
        cells: what must run, the cell itself last.
        places: where these stand in the chapter.
    """

    chapter: Chapter
    cell: int
    cells: tuple[str, ...]
    places: tuple[int, ...]

    @property
    def name(self) -> str:
        """The folder of its frames: it changes with any cell that must run."""
        key = hashlib.sha256(json.dumps([VERSION, *self.cells]).encode()).hexdigest()[:12]
        return f"{self.chapter.name}-{self.cell}-{key}"


def find_explorers(chapter: Chapter) -> list[Explorer]:
    """Return a chapter's explorers, in order.

    Args:
        chapter: the notebook.
    """
    cells = [cell for cell in chapter.notebook()["cells"] if cell["cell_type"] == "code"]
    sources = [source for cell in cells if (source := "".join(cell["source"])).strip()]
    setup = [i for i, source in enumerate(sources) if "set_style()" in source or re.match(r"FAST\s*=", source)]
    found = []
    for place, source in enumerate(sources):
        if _EXPLORES.search(source):
            run = needed(sources, sorted({place, *(i for i in setup if i < place)}))
            found.append(Explorer(chapter, place + 1, tuple(sources[i] for i in run), tuple(run)))
    return found


def missing(chapter: Chapter, cache: Path) -> Iterator[Explorer]:
    """Yield the explorers whose frames are not kept.

    Args:
        chapter: the notebook.
        cache: the folder of all frames.
    """
    yield from (one for one in find_explorers(chapter) if not (cache / one.name / "frames.json").is_file())


def draw_frames(explorers: Sequence[Explorer], cache: Path) -> None:
    """Run the cells that explorers of one chapter need, each cell once, and keep their frames.

    Args:
        explorers: of one chapter, from :func:`find_explorers`.
        cache: the folder of all frames; those of an earlier text of these cells are removed.

    Raises:
        CourseError: if a cell fails.
    """
    chapter = explorers[0].chapter
    sources = {place: cell for one in explorers for place, cell in zip(one.places, one.cells)}
    with tempfile.TemporaryDirectory() as folder:
        folders = {one.places[-1]: Path(folder) / str(one.cell) for one in explorers}
        for path in folders.values():
            path.mkdir()
        order = [(sources[place], str(folders.get(place, ""))) for place in sorted(sources)]
        done = subprocess.run(
            [sys.executable, "-m", "tutorial_lib.course.front.book.draw"],
            input=json.dumps(order),
            cwd=chapter.path.resolve().parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        if done.returncode or not all((path / "frames.json").is_file() for path in folders.values()):
            said = plain(done.stderr + done.stdout).strip().splitlines()[-12:]
            raise CourseError(f"the frames of {chapter.name} could not be drawn:\n" + "\n".join(said))
        for explorer, path in zip(explorers, folders.values()):
            _pack(path)
            for old in cache.glob(f"{chapter.name}-{explorer.cell}-*"):
                shutil.rmtree(old, ignore_errors=True)
            # The list comes last: frames without it are drawn again.
            shutil.copytree(path, cache / explorer.name, ignore=shutil.ignore_patterns("frames.json"))
            shutil.copy(path / "frames.json", cache / explorer.name)


def _pack(folder: Path) -> None:
    """Replace the frames of a folder, which are PNG, by WebP, as good as ``MOST`` bytes for all allow."""
    from PIL import Image

    images = {path: Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))}
    # Each picture is cut to what is drawn, as a notebook does it; under a slider all must have one size.
    width, height = (max((one.size[side] for one in images.values()), default=0) for side in (0, 1))
    for path, image in images.items():
        images[path] = Image.new("RGB", (width, height), "white")
        images[path].paste(image, (0, 0))
    made: dict[Path, bytes] = {}
    for scale, quality in _QUALITIES:
        for path, image in images.items():
            small = image if scale == 1 else image.resize((round(image.width * scale), round(image.height * scale)))
            buffer = io.BytesIO()
            small.save(buffer, "WEBP", quality=quality, method=4)
            made[path] = buffer.getvalue()
        if sum(map(len, made.values())) <= MOST:
            break
    for path, content in made.items():
        path.with_suffix(".webp").write_bytes(content)
        path.unlink()
    told = json.loads((folder / "frames.json").read_text(encoding="utf-8"))
    told["frames"] = {place: re.sub(r"^([\d-]+)\.png$", r"\1.webp", one) for place, one in told["frames"].items()}
    told["pictures"] = bool(made)
    (folder / "frames.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def explorer_html(explorer: Explorer, cache: Path, to: str) -> str | None:
    """Return the HTML of an explorer; ``None`` where its frames are not kept.

    Args:
        explorer: from :func:`find_explorers`.
        cache: the folder of all frames.
        to: the address of that folder in the book, as seen from the chapter's page.
    """
    told = read_json(cache / explorer.name / "frames.json")
    if told is None:
        return None
    controls = []
    for slider in told["sliders"]:
        name, start = html.escape(slider["name"]), slider["start"]
        if slider["choice"] and len(slider["labels"]) <= 6:
            options = "".join(
                f'<option value="{k}"{" selected" * (k == start)}>{html.escape(label)}</option>'
                for k, label in enumerate(slider["labels"])
            )
            controls.append(f"<label>{name} <select>{options}</select></label>")
        else:
            last = len(slider["labels"]) - 1
            controls.append(
                f'<label>{name} <input type="range" min="0" max="{last}" step="1" value="{start}">'
                f"<output>{html.escape(slider['labels'][start])}</output></label>"
            )
    first = told["frames"][",".join(str(slider["start"]) for slider in told["sliders"])]
    folder = f"{to}/{explorer.name}/"
    if told["pictures"]:
        words = f"The figure of this explorer, {html.escape(told['function'].replace('_', ' '))}, at the chosen values"
        frame = f'<img src="{html.escape(folder + first)}" alt="{words}">'
    else:
        told["frames"] = {place: f'<div class="table">{sanitise(one)}</div>' for place, one in told["frames"].items()}
        frame = f'<div class="table">{sanitise(first)}</div>'
    hint = "Move a slider with the mouse or the arrow keys: the figure follows."
    if told["alone"]:
        hint += " Here one slider at a time leaves its place; in the notebook they move together."
    data = json.dumps({key: told[key] for key in ("sliders", "frames", "alone")}, ensure_ascii=False)
    # Inside a script element only its end could be mistaken.
    data = data.replace("</", "<\\/")
    return (
        f'<div class="explorer" data-folder="{html.escape(folder)}"><div class="controls" hidden>{"".join(controls)}'
        f'<p class="hint">{hint}</p></div><div class="frame" aria-live="polite">{frame}</div>'
        f'<script type="application/json">{data}</script></div>'
    )
