"""The end of a chapter: its verdicts together, and one picture of them: interval, fresh seeds, margin, verdict."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .claims import SURE, VERDICTS, Claim, by_chance, tell
from .intervals import holm
from .lines import fold
from .plots import VERDICT_COLORS

_WIDTH = 44  # characters to a line of a statement
_REACH = 8.0  # margins; what lies farther out is drawn at the edge, as an arrow


def verdicts(claims: Sequence[Claim], *, show: bool = True) -> list[Claim]:
    """Close a chapter: correct its verdicts for their number, print them all, and draw them in one forest plot.

    Args:
        claims: of one chapter, the main one first, each made with a margin and ``show=False``.
        show: print and draw.

    Returns:
        The claims, each with its ``corrected`` verdict (Holm's correction over all of them).

    Raises:
        ValueError: if there is no claim, or one was made without a margin.

    >>> from tutorial_lib.lab import claim
    >>> one = claim("B beats A", [3.0, 4.0, 5.0, 4.1], [1.0, 2.0, 2.9, 2.0], margin=0.1, show=False)
    >>> verdicts([one], show=False)[0].corrected
    'supported'
    """
    claims = list(claims)
    if not claims:
        raise ValueError("claims must hold at least one claim, got none")
    for one in claims:
        if one.margin is None:
            raise ValueError(f"claims must rest on evidence and a margin, got {one.statement!r} without")
    stand = holm([1.0 if one.p is None else one.p for one in claims], level=SURE)
    claims = [replace(one, corrected=one.verdict if kept else "open") for one, kept in zip(claims, stand)]
    if show:
        for one in claims:
            tell(one)
        print(fold(_summary(claims)))
        forest(claims)
    return claims


def _summary(claims: Sequence[Claim]) -> str:
    number = len(claims)
    decided = sum(one.verdict != "open" for one in claims)
    changed = sum(one.corrected != one.verdict for one in claims)
    text = f"{decided} of {number} claims decided. {by_chance([SURE] * number)}"
    return text + (f" Holm's correction opens {changed}." if changed else " Holm's correction changes none.")


def forest(claims: Sequence[Claim], *, show: bool = True):
    """Draw a chapter's claims under one another, each effect in units of its own margin.

    So a Dice and a distance in millimetres share one axis, and the margin is one grey band for all. A row has the
    interval of the evidence as a bar with the mean as a diamond, and each fresh seed as an open dot below it; a live
    check that disagrees is drawn in red crosses. The verdict is told by colour, sign and word.

    Args:
        claims: each with a margin, the main one first.
        show: show the figure; else only return it.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: if there is no claim, or one has no margin.
    """
    import matplotlib.pyplot as plt

    claims = list(claims)
    if not claims or any(one.margin is None for one in claims):
        raise ValueError("claims must hold at least one claim, each with a margin")
    labels = [textwrap.wrap(one.statement, _WIDTH) for one in claims]
    heights = [max(2.2, len(lines)) + 0.7 for lines in labels]
    ends = [abs(_in_margins(value, one)) for one in claims for value in (one.low, one.high, *one.live)]
    reach = min(_REACH, max(1.6, *ends) * 1.08)
    figure = plt.figure(figsize=(9.6, 0.21 * sum(heights) + 1.0), layout="none")
    tall = figure.get_figheight()
    ax = figure.add_axes((0.375, 0.62 / tall, 0.36, 1 - 1.0 / tall))
    ax.axvspan(-1, 1, color="#e3e6ea", linewidth=0, zorder=0)
    ax.axvline(0, color="black", linewidth=1, zorder=1)
    y = 0.0
    for one, lines, height in zip(claims, labels, heights):
        middle = y + height / 2
        _row(ax, one, middle, reach)
        color = VERDICT_COLORS[one.verdict]
        ax.annotate(
            "\n".join(lines), (0, middle), xycoords=("axes fraction", "data"), xytext=(-8, 0),
            textcoords="offset points", ha="right", va="center", fontsize=8.6, linespacing=1.15,
            annotation_clip=False,
        )  # fmt: skip
        told = f"{VERDICTS[one.verdict]} {one.verdict}"
        if one.corrected not in (None, one.verdict):
            told += f" (Holm: {one.corrected})"
        if one.agrees is False:
            told += "\nlive seeds disagree"
        ax.annotate(
            told, (1, middle), xycoords=("axes fraction", "data"), xytext=(8, 8), textcoords="offset points",
            ha="left", va="center", fontsize=9, fontweight="bold", annotation_clip=False,
            color="#b3261e" if one.agrees is False else color,
        )  # fmt: skip
        ax.annotate(
            f"{_number(one.effect)} [{_number(one.low)}, {_number(one.high)}], n = {one.seeds}",
            (1, middle), xycoords=("axes fraction", "data"), xytext=(8, -8 if one.agrees is not False else -16),
            textcoords="offset points", ha="left", va="center", fontsize=8, color="#444444", annotation_clip=False,
        )  # fmt: skip
        y += height
        ax.axhline(y, color="#d5d8dc", linewidth=0.6, zorder=0)
    ax.set(xlim=(-reach, reach), ylim=(y, 0), yticks=[], xlabel="effect in margins; right of 0 is for the claim")
    ax.grid(False, axis="y")
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.xaxis.label.set_fontsize(9)
    ax.tick_params(labelsize=9)
    level = f"{claims[0].level:.0%}".replace("%", " %")
    legend = f"bar: {level} interval of the evidence · grey: ± the margin"
    if any(one.live for one in claims):
        legend += " · open dots: the fresh seeds of this run"
    figure.text(0.012, 1 - 0.2 / tall, legend, fontsize=8.6, color="#444444", va="center")
    if show:
        plt.show()
    return figure


def _in_margins(value: float, one: Claim) -> float:
    """A difference in units of the claim's margin, which every claim of the figure has."""
    return value / (one.margin or math.nan)


def _row(ax, one: Claim, middle: float, reach: float) -> None:
    color = VERDICT_COLORS[one.verdict]
    low, effect, high = (_in_margins(value, one) for value in (one.low, one.effect, one.high))
    at = middle - 0.3 if one.live else middle
    ax.plot(np.clip([low, high], -reach, reach), [at, at], color=color, linewidth=3.2, solid_capstyle="butt", zorder=3)
    ax.plot(np.clip(effect, -reach, reach), at, "D", color=color, markersize=6.5, markeredgecolor="white", zorder=4)
    for value, marker in ((low, "<"), (high, ">")):
        if abs(value) > reach:
            ax.plot(np.sign(value) * reach, at, marker, color=color, markersize=6, clip_on=False, zorder=4)
    if one.live:
        live = np.array(one.live) / one.margin
        edge, shape = ("#b3261e", "x") if one.agrees is False else ("#333333", "o")
        for value in live:
            marker = shape if abs(value) <= reach else ">" if value > 0 else "<"
            ax.plot(
                np.clip(value, -reach, reach), middle + 0.55, marker, markersize=5, markerfacecolor="none",
                markeredgecolor=edge, markeredgewidth=1.1, clip_on=False, zorder=3,
            )  # fmt: skip


def _number(value: float) -> str:
    text = f"{value:+.3f}" if abs(value) < 10 else f"{value:+.1f}"
    return text.replace("-", "−")
