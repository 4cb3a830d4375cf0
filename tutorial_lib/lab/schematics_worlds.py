"""The drawings of ``schematics.py`` for the two small worlds that are trained whole: chapters 15 and 16."""

import matplotlib.pyplot as plt
import numpy as np

from .plots import COLORS
from .sheet import INK, STRONG, arrow, block, canvas, say, schematic


@schematic
def self_consistency():
    """Chapter 15: a sequence is written by asking one residue at a time what it should be.

    A loop of three stations. On the left a residue stands among its eight neighbours, and its own type is hidden
    behind a question mark. In the middle a network that sees the neighbours gives a probability to each type; I is
    the likeliest. On the right the residue has become an I, and its neighbours now see another residue than before.
    An arrow leads back to the start: the loop goes on with every residue, until none of them wants to change.
    """
    figure, ax = canvas(10, 3.9)
    angles = np.linspace(0, 2 * np.pi, 9)[:-1] + 0.3
    places = np.stack((np.cos(angles), np.sin(angles)), 1) * (1 + 0.12 * np.cos(3 * angles))[:, None]

    def residue(x, y, letter, radius, face, edge, **more):
        ax.add_patch(plt.Circle((x, y), radius, facecolor=face, edgecolor=edge, linewidth=2, zorder=3))
        say(ax, x, y, letter, zorder=4, **more)

    def environment(x, y, middle, face):
        for place, letter in zip(places, "KLDGVAET"):
            there = (x + place[0], y + 0.92 * place[1])
            ax.plot([x, there[0]], [y, there[1]], color="#BBBBBB", linewidth=1.5, zorder=1)
            residue(*there, letter, 0.2, "#CDE6F5", "white", size=10)
        residue(x, y, middle, 0.28, face, COLORS["vermillion"], size=14, weight="bold")

    environment(1.5, 1.95, "?", "white")
    for row, (letter, share) in enumerate(zip("IVLFMA", (0.38, 0.27, 0.14, 0.09, 0.07, 0.05))):
        y = 2.62 - 0.27 * row
        color = COLORS["orange"] if letter == "I" else "#CCCCCC"
        ax.add_patch(plt.Rectangle((4.4, y - 0.09), 3.1 * share, 0.18, facecolor=color, linewidth=0))
        say(ax, 4.2, y, letter)
    environment(8.4, 1.95, "I", COLORS["orange"])
    for x, number, title in (
        (1.5, 1, "hide one residue,\nlook at its neighbours"),
        (4.95, 2, "a network says how\nprobable each type is"),
        (8.4, 3, "put in the likeliest: its neighbours\nnow see another residue"),
    ):
        say(ax, x, 3.55, f"{number}  {title}", weight="bold")
    arrow(ax, (2.9, 1.95), (3.75, 1.95), INK)
    arrow(ax, (6.05, 1.95), (6.95, 1.95), INK)
    arrow(ax, (8.0, 0.72), (1.9, 0.72), STRONG["vermillion"], bend=-0.12)
    say(ax, 4.95, 0.17, "and again, for every residue, until none wants to change", STRONG["vermillion"])
    ax.set(xlim=(0, 10), ylim=(0, 3.9), aspect="equal")
    return figure


@schematic
def noise_to_picture():
    """Chapter 16: a picture grows out of noise, a guess at a time.

    A loop of three stations. A noisy picture and a sentence, "a red ring", go into a network, which guesses the
    finished picture; the guess is blurred. The guess is then mixed with a part of the noise, a little less than
    before, and the mixture goes into the same network again. After twenty-five rounds no noise is left, and the guess
    is the picture.
    """
    figure, ax = canvas(10, 3.5)
    row, column = np.mgrid[:16, :16] + 0.5
    radius = np.hypot(row - 8, column - 8)

    def ring(blur):
        share = np.clip((2.2 + blur - np.abs(radius - 4.5)) / (1 + blur), 0, 1)[..., None] / (1 + 0.3 * blur)
        return (1 - share) * 0.2 + share * np.array([0.87, 0.2, 0.16])

    noise = np.random.default_rng(5).normal(0.5, 0.33, (16, 16, 3))

    def picture(values, x, y, size=1.15):
        ax.imshow(np.clip(values, 0, 1), extent=(x, x + size, y, y + size), interpolation="nearest", zorder=2)

    picture(0.25 * ring(0) + 0.75 * noise, 0.35, 1.15)
    block(ax, 2.75, 1.0, 1.7, 1.45, "network:\nwhat is behind\nthe noise?", "blue")
    picture(ring(2.0), 5.6, 1.15)
    picture(ring(0), 8.4, 1.15)
    block(ax, 2.75, 2.85, 1.7, 0.55, "“a red ring”", "orange")
    say(ax, 0.92, 2.45, "noise, at first\nnothing else", size=9, va="bottom")
    say(ax, 6.18, 2.45, "a guess, blurred", size=9, va="bottom")
    say(ax, 8.98, 2.45, "after 25 rounds:\nthe picture", size=9, va="bottom", weight="bold")
    arrow(ax, (3.6, 2.85), (3.6, 2.45), STRONG["orange"])
    for left, right in ((1.55, 2.75), (4.45, 5.55), (6.85, 8.35)):
        arrow(ax, (left, 1.72), (right, 1.72))
    arrow(ax, (6.18, 1.1), (0.92, 1.1), COLORS["blue"], bend=-0.22)
    say(ax, 3.6, 0.2, "the guess is mixed with noise again, a little less of it each round", COLORS["blue"], 9.5)
    ax.set(xlim=(0, 10), ylim=(0, 3.5), aspect="auto")
    return figure
