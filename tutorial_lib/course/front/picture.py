"""The picture of the claims table: a row a chapter, with one claim in full and the verdicts of all."""

import hashlib
import io
import json
import textwrap

from tutorial_lib.lab.claims import VERDICTS

#: The PNG's text entry that names the data it was drawn from.
KEY = "tutorial-measured"
_MARKS = 13  # to a line of verdicts
_WIDTH = 62  # characters to a line of a claim


def picture_key(measured: dict) -> str:
    """Return the hash of what the picture shows, as it is kept in the PNG.

    Args:
        measured: what ``docs/measured.json`` holds.
    """
    shown = [[chapter["number"], chapter["title"], chapter["claims"]] for chapter in measured["chapters"]]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def chosen_claim(claims: list[dict]) -> dict | None:
    """Return the claim that stands for a chapter: the first, which is its question, however it came out.

    Args:
        claims: in the chapter's order.

    >>> chosen_claim([{"verdict": "open"}, {"verdict": "supported"}])
    {'verdict': 'open'}
    """
    return claims[0] if claims else None


def claims_picture(measured: dict) -> bytes:
    """Return the picture as a PNG on a white ground, wide enough for a page of 900 pixels at double density.

    Args:
        measured: what ``docs/measured.json`` holds.
    """
    import matplotlib
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image, PngImagePlugin

    from tutorial_lib.lab.plots import VERDICT_COLORS as colors
    from tutorial_lib.lab.plots import set_style

    chapters = [chapter for chapter in measured["chapters"] if chapter["claims"]]
    heights = [_height(chapter) for chapter in chapters]
    inches = 0.165
    top, bottom = 4.7, 3.3  # lines of text above and below the rows
    total = sum(heights) + top + bottom
    with matplotlib.rc_context():
        set_style()
        matplotlib.rcParams["figure.constrained_layout.use"] = False
        figure = Figure(figsize=(9.0, total * inches), dpi=200, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 100), ylim=(total, 0))
        axes.axis("off")
        claims = [claim for chapter in chapters for claim in chapter["claims"]]
        _head(axes, claims, colors, top)
        y = top
        for index, (chapter, height) in enumerate(zip(chapters, heights)):
            if index % 2 == 0:
                axes.axhspan(y, y + height, color="#f3f4f6", linewidth=0)
            _row(axes, chapter, y + height / 2, colors)
            y += height
        legend = (
            "Dot: the mean paired difference over seeds; bar: its interval; line: no effect. "
            "Right of the line is for the claim. Each row has its own scale."
        )
        if any(claim.get("margin") for claim in claims):
            legend += "\nGrey band: differences too small to matter (the margin)."
        if any(claim.get("live") for claim in claims):
            legend += " Small rings: this run's fresh seeds, held against the stored evidence of many."
        axes.text(
            1.2,
            y + 0.75,
            legend,
            fontsize=7.2,
            color="#444444",
            va="top",
        )
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    about, file = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add_text(KEY, picture_key(measured))
    # A palette of 64 is enough for four inks and their edges, and makes the file a third as large.
    picture.quantize(64, dither=Image.Dither.NONE).save(file, format="png", optimize=True, pnginfo=about)
    return file.getvalue()


def _height(chapter: dict) -> float:
    claim = chosen_claim(chapter["claims"])
    lines = 1 + len(_wrapped(claim["statement"] if claim else ""))
    marks = -(-len(chapter["claims"]) // _MARKS)
    return max(1.15 * lines, 1.25 * marks, 2.6) + 0.75


def _wrapped(statement: str) -> list[str]:
    return textwrap.wrap(statement, _WIDTH, max_lines=3, placeholder=" …")


def _short(title: str) -> str:
    return title if len(title) <= 50 else title.partition(":")[0][:50]


def _head(axes, claims: list[dict], colors: dict[str, str], top: float) -> None:
    axes.text(1.2, 1.7, f"{len(claims)} claims, tested", fontsize=12.5, weight="bold", va="center")
    x = 33.0
    for verdict, symbol in VERDICTS.items():
        number = sum(claim["verdict"] == verdict for claim in claims)
        if not number and verdict == "no difference":
            continue
        axes.text(
            x, 1.7, f"{symbol} {number} {verdict}", fontsize=11.5, weight="bold", color=colors[verdict], va="center"
        )
        x += 7.5 + 1.1 * len(verdict)
    for x, text in (
        (1.2, "chapter, and its main claim"),
        (48.2, "effect, interval"),
        (64.8, "verdict"),
        (76.3, "all its claims"),
    ):
        axes.text(x, top - 0.35, text, fontsize=7.5, color="#444444", va="bottom")
    axes.axhline(top, color="#888888", linewidth=0.8)


def _row(axes, chapter: dict, y: float, colors: dict[str, str]) -> None:
    claim = chosen_claim(chapter["claims"]) or {}
    lines = _wrapped(claim["statement"])
    start = y - 1.15 * len(lines) / 2
    number = "" if chapter["number"] is None else f"{chapter['number']:02d}  "
    axes.text(1.2, start, f"{number}{_short(chapter['title'])}", fontsize=8.6, weight="bold", va="center")
    for line, text in enumerate(lines, 1):
        axes.text(3.6, start + 1.15 * line, text, fontsize=8.2, va="center")
    color = colors[claim["verdict"]]
    _strip(axes, claim, y, color)
    axes.text(
        64.8,
        y,
        f"{VERDICTS[claim['verdict']]} {claim['verdict']}",
        fontsize=8.6 if len(claim["verdict"]) < 10 else 7.6,
        weight="bold",
        color=color,
        va="center",
    )
    rows = -(-len(chapter["claims"]) // _MARKS)
    for index, one in enumerate(chapter["claims"]):
        line, place = divmod(index, _MARKS)
        axes.text(
            77 + 1.75 * place,
            y + 1.25 * (line - (rows - 1) / 2),
            VERDICTS[one["verdict"]],
            fontsize=8.4,
            weight="bold",
            color=colors[one["verdict"]],
            va="center",
            ha="center",
        )


def _strip(axes, claim: dict, y: float, color: str) -> None:
    low, effect, high = (claim[key] for key in ("low", "effect", "high"))
    margin = claim.get("margin") or 0.0
    # Zero stands in the middle of every strip: sides can be compared, lengths cannot.
    scale = 7.2 / (max(abs(value) for value in (low, effect, high, margin) if value is not None) or 1)
    if margin:
        band = dict(facecolor="#d5d9df", edgecolor="none", zorder=1.2)
        axes.fill_between([56.2 - scale * margin, 56.2 + scale * margin], y - 1.15, y + 0.75, **band)
    axes.plot([56.2, 56.2], [y - 1.15, y + 0.75], color="#888888", linewidth=0.8)
    if None in (low, effect, high):
        return
    axes.plot(
        [56.2 + scale * low, 56.2 + scale * high],
        [y - 0.55, y - 0.55],
        color=color,
        linewidth=3.2,
        solid_capstyle="butt",
    )
    axes.plot(
        56.2 + scale * effect, y - 0.55, "o", color=color, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6
    )
    for value in claim.get("live") or ():
        # A fresh seed far out is drawn at the edge.
        x = 56.2 + min(8.0, max(-8.0, scale * value))
        axes.plot(
            x, y + 0.25, "o", markersize=3, markerfacecolor="none", markeredgecolor="#333333", markeredgewidth=0.7
        )
    axes.text(
        56.2,
        y + 1.25,
        f"{_number(effect)}  [{_number(low)}, {_number(high)}]",
        fontsize=6.6,
        color="#444444",
        va="center",
        ha="center",
    )


def _number(value: float) -> str:
    text = f"{value:+.3f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:+.2g}"
    return text.replace("-", "−")
