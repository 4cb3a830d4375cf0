"""The drawing that opens a chapter: its idea without a formula, to be read before a word of the text.

Each function draws one figure and shows it with a description for readers who cannot see it. All stand on white, so
that a dark page shows them as it shows a photograph.
"""

import matplotlib.pyplot as plt
import numpy as np

from .plots import COLORS
from .schematics_worlds import noise_to_picture as noise_to_picture
from .schematics_worlds import self_consistency as self_consistency
from .sheet import INK, PALE, STRONG, arrow, block, canvas, say, schematic


@schematic
def claims():
    """Chapter 00: from a question to a verdict.

    From left to right. Before any run, a question and a margin are fixed. Then many pairs of runs share a seed, with
    and without the trick. The interval of their mean difference is laid beside zero and the margin, and decides among
    four verdicts: supported, refuted, no difference, open. At last a few fresh seeds on the reader's machine must
    agree.
    """
    figure, ax = canvas(10, 3.1)
    for x, number, title in (
        (0.2, 1, "fixed first"),
        (2.55, 2, "many pairs, stored"),
        (5.1, 3, "an interval decides"),
        (8.0, 4, "your machine checks"),
    ):
        say(ax, x + 0.05, 2.85, f"{number}  {title}", ha="left", weight="bold")
    block(ax, 0.15, 0.9, 1.9, 1.4, "Does the trick\nraise the score?\nHow much\nwould matter?", "blue")
    rng = np.random.default_rng(3)
    for row in range(6):
        y = 2.35 - 0.33 * row
        left = 3.25 + 0.3 * rng.random()
        right = left + 0.4 + 0.25 * rng.standard_normal()
        ax.plot([left, right], [y, y], color="#999999", linewidth=1)
        ax.plot(left, y, "o", color=STRONG["gray"], markersize=6)
        ax.plot(right, y, "s", color=COLORS["blue"], markersize=6)
        say(ax, 2.62, y, f"seed {row}", size=7.5)
    ax.plot(2.75, 0.3, "o", color=STRONG["gray"], markersize=6)
    say(ax, 2.87, 0.3, "without", size=8.5, ha="left")
    ax.plot(3.6, 0.3, "s", color=COLORS["blue"], markersize=6)
    say(ax, 3.72, 0.3, "with the trick", size=8.5, ha="left")
    zero = 6.05
    ax.add_patch(plt.Rectangle((zero - 0.28, 0.55), 0.56, 1.95, facecolor="#DDDDDD", linewidth=0))
    ax.plot([zero, zero], [0.55, 2.5], color="black", linewidth=1.2)
    say(ax, zero, 0.3, "0 ± margin", size=8.5)
    for y, low, high, color, verdict in (
        (2.25, 0.2, 0.8, COLORS["green"], "supported"), (1.8, -0.85, -0.2, COLORS["vermillion"], "refuted"),
        (1.35, -0.15, 0.18, "black", "no difference"), (0.9, -0.45, 0.6, "#666666", "open"),
    ):  # fmt: skip
        ax.plot([zero + low, zero + high], [y, y], color=color, linewidth=4, solid_capstyle="butt")
        say(ax, 6.98, y, verdict, color, size=9.5, ha="left")
    block(ax, 8.15, 0.9, 1.7, 1.4, "Do three fresh\nseeds lie where\nthe stored ones\nsay they should?", "green")
    arrow(ax, (2.08, 1.6), (2.42, 1.6))
    arrow(ax, (4.65, 1.6), (5.02, 1.6))
    arrow(ax, (7.82, 1.6), (8.14, 1.6))
    return figure


@schematic
def lambda_line():
    """Chapter 01: the line between two samples.

    Two drawings of the same axis, a sample of class A at its left end and one of class B at its right end. Trained as
    usual, a net is asked at the two ends only, and its answer may jump from surely A to surely B anywhere between
    them. Trained with mixup, it is also asked at blends of the two, such as 70 percent A and 30 percent B, and for the
    same blend of the two labels: its answer becomes a straight slope from one sample to the other.
    """
    figure, ax = canvas(10, 3.3)

    def at(left, share):
        return left + 3.95 - 3.4 * share, 0.95 + 1.5 * share

    for left, title in ((0.35, "as usual: asked at the samples only"), (5.35, "mixup: asked for blends as well")):
        blends = left > 5
        start, end, low, high = left + 0.55, left + 3.95, 0.95, 2.45
        say(ax, left - 0.2, 3.05, title, ha="left", weight="bold")
        ax.plot([start - 0.25, end + 0.25], [low, low], color="#999999", linewidth=1)
        ax.plot([start - 0.25] * 2, [low, high + 0.12], color="#999999", linewidth=1)
        say(ax, start - 0.34, high, "surely A", STRONG["blue"], 8.5, ha="right")
        say(ax, start - 0.34, low, "surely B", STRONG["orange"], 8.5, ha="right")
        if blends:
            ax.plot([start, end], [high, low], color=INK, linewidth=2)
            for share in (0.85, 0.7, 0.5, 0.3, 0.15):
                x, y = at(left, share)
                ax.plot([x, x], [low, y], color="#BBBBBB", linewidth=1, linestyle=":", zorder=0)
                ax.plot(x, y, "s", color=COLORS["green"], markersize=8, markeredgecolor="white")
            x, y = at(left, 0.7)
            say(ax, x + 0.28, y + 0.2, "70 % A and 30 % B", STRONG["green"], 9, ha="left")
            ax.plot(x, low, "s", color=COLORS["green"], markersize=8, markeredgecolor="white")
            say(ax, x, low - 0.3, "λ = 0.7", STRONG["green"], 9)
        else:
            for place, width in ((0.42, 2.0), (0.2, 1.2), (0.68, 1.2)):
                x = start + place * (end - start) + np.linspace(-0.5, 0.5, 101)
                y = low + (high - low) / (1 + np.exp(14 * np.linspace(-0.5, 0.5, 101)))
                path = np.r_[start, x, end], np.r_[high, y, low]
                ax.plot(*path, color=INK if width > 1.5 else "#BBBBBB", linewidth=width, zorder=1 if width > 1.5 else 0)
            say(ax, start + 2.85, high - 0.3, "the jump may\nlie anywhere", "#555555", 9)
        ax.plot(*at(left, 1), "o", color=COLORS["blue"], markersize=12)
        ax.plot(*at(left, 0), "D", color=COLORS["orange"], markersize=11)
        for x, name, color in ((start, "sample A", "blue"), (end, "sample B", "orange")):
            say(ax, x, low - 0.3, name, STRONG[color], 9)
    say(ax, 5, 0.2, "across: the way from one sample to the other; upwards: what the net answers", size=9)
    return figure


@schematic
def flows():
    """Chapter 02: how Flow-Mixup doubles the rows of a batch.

    A batch of recordings, with labels some of which are wrong, runs through the first layers. At the chosen place
    each row is blended with a partner. Mixup would go on with the blends alone; Flow-Mixup lets the original rows and
    the blends run on side by side through the same later layers, and the loss asks each for its own labels.
    """
    figure, ax = canvas(10, 3.3)
    block(ax, 0.1, 1.0, 1.55, 1.3, "a batch of\nrecordings,\nsome labels\nwrong", "gray")
    block(ax, 2.1, 1.0, 1.4, 1.3, "first layers\n$h$", "blue")
    block(ax, 4.0, 1.95, 1.75, 0.95, "the rows\nas they are", "blue")
    block(ax, 4.0, 0.4, 1.75, 0.95, "each row blended\nwith a partner", "orange")
    block(ax, 6.3, 0.4, 1.4, 2.5, "later layers\n$g$\n\nthe same\nfor both", "blue")
    block(ax, 8.2, 1.95, 1.7, 0.95, "asked for their\nown labels", "blue")
    block(ax, 8.2, 0.4, 1.7, 0.95, "asked for the\nblended labels", "orange")
    arrow(ax, (1.65, 1.65), (2.1, 1.65))
    arrow(ax, (3.5, 1.8), (4.0, 2.35))
    arrow(ax, (3.5, 1.5), (4.0, 0.95))
    for left, right in ((5.75, 6.3), (7.7, 8.2)):
        arrow(ax, (left, 2.42), (right, 2.42), COLORS["blue"])
        arrow(ax, (left, 0.88), (right, 0.88), STRONG["orange"])
    say(ax, 6.95, 3.12, "Flow-Mixup keeps both lanes; manifold mixup keeps the lower one only", size=9.5, weight="bold")
    return figure


@schematic
def margins():
    """Chapter 03: two ways to help a rare class.

    A line of scores with sixteen images of a common class on the left and three of a rare one on the right. Without
    help the border runs among the rare images, and one of them falls on the wrong side. In the first drawing a weight
    makes each rare image pull harder, which moves the border. In the second a margin keeps a strip on the rare side
    empty.
    """
    figure, ax = canvas(10, 2.6)
    common = np.array([0.5, 0.62, 0.75, 0.85, 0.93, 1.05, 1.12, 1.2, 1.3, 1.38, 1.48, 1.55, 1.68, 1.8, 1.95, 2.1])
    for left, title in ((0.15, "a weight: rare images pull harder"), (5.2, "a margin: rare images get an empty strip")):
        say(ax, left, 2.35, title, ha="left", weight="bold")
        ax.plot([left, left + 4.5], [1.1, 1.1], color="#999999", linewidth=1)
        weighted = left < 1
        rare = np.array([2.45, 3.2, 3.65] if weighted else [3.05, 3.4, 3.75])
        ax.plot(left + common, np.full(len(common), 1.1), "o", color=STRONG["gray"], markersize=6)
        ax.plot(left + rare, np.full(3, 1.1), "D", color=COLORS["vermillion"], markersize=11 if weighted else 8)
        old = left + 2.75
        ax.plot([old, old], [0.75, 1.75], color="#999999", linestyle="--", linewidth=1.2)
        new = left + 2.27
        ax.plot([new, new], [0.6, 1.95], color="black", linewidth=1.8)
        if weighted:
            arrow(ax, (old, 1.6), (new, 1.6))
            for x in rare[1:]:
                arrow(ax, (left + x, 1.32), (left + x - 0.42, 1.32), COLORS["vermillion"])
        else:
            ax.add_patch(
                plt.Rectangle((new, 0.72), 0.62, 0.76, facecolor=PALE["vermillion"], edgecolor="none", zorder=0)
            )
            ax.annotate(
                "", (new + 0.62, 1.62), (new, 1.62), arrowprops={"arrowstyle": "<->", "color": COLORS["vermillion"]}
            )
            say(ax, new + 0.31, 1.82, "margin", COLORS["vermillion"], 9)
        say(ax, old + 0.06, 0.52, "border without help", "#777777", 8.5, ha="left")
        say(ax, left + 1.2, 0.78, "common class", STRONG["gray"], 9)
        say(ax, left + 3.8, 1.5, "rare class", COLORS["vermillion"], 9)
    say(ax, 5, 0.18, "score of the rare class, low on the left and high on the right", size=9)
    return figure


@schematic
def two_rulers():
    """Chapter 04: two ways to measure how far an answer is from the truth.

    On the left the overlap of a true shape and an answer is counted in pixels: shared by both, missed, and invented.
    On the right only their outlines are drawn, and an arrow leads from each point of the answer's outline to the
    nearest point of the true one. Most arrows are short; one small island of the answer, far away, has a long one. The
    island is a few pixels for the overlap, and the largest error of all for the distances.
    """
    figure, ax = canvas(10, 3.4)
    rows, columns = np.mgrid[:17, :24]
    truth = np.hypot((rows - 8.6) / 1.15, columns - 7.2) < 5.4
    answer = np.hypot((rows - 8.2) / 1.05, columns - 8.6) < 5.4
    answer[3:5, 20:22] = True
    size = 0.17
    kinds = ((truth & answer, "green"), (truth & ~answer, "vermillion"), (answer & ~truth, "orange"))
    for cells, color in kinds:
        for row, column in np.argwhere(cells):
            place = (0.3 + size * column, 3.05 - size * row)
            ax.add_patch(
                plt.Rectangle(place, size, size, facecolor=PALE[color], edgecolor=STRONG[color], linewidth=0.6)
            )
    say(ax, 0.3, 3.27, "overlap: count pixels", ha="left", weight="bold")
    for x, words, color in ((1.1, "in both", "green"), (2.2, "missed", "vermillion"), (3.35, "invented", "orange")):
        ax.add_patch(plt.Rectangle((x - 0.62, 0.08), 0.18, 0.18, facecolor=PALE[color], edgecolor=STRONG[color]))
        say(ax, x - 0.37, 0.17, words, STRONG[color], 9.5, ha="left")
    say(ax, 5.3, 3.27, "distance: measure from outline to outline", ha="left", weight="bold")
    turn = np.linspace(0, 2 * np.pi, 200)

    def middle(column, row):
        return 5.3 + size * (column + 0.5), 3.05 - size * (row - 0.5)

    true_x, true_y = middle(7.2 + 5.4 * np.cos(turn), 8.6 + 6.2 * np.sin(turn))
    ax.plot(true_x, true_y, color=STRONG["blue"], linewidth=2.2)
    x, y = middle(8.6 + 5.4 * np.cos(turn), 8.2 + 5.7 * np.sin(turn))
    ax.plot(x, y, color=INK, linewidth=1.4, linestyle="--")
    x, y = middle(np.array([19.5, 21.5, 21.5, 19.5, 19.5]), np.array([2.5, 2.5, 4.5, 4.5, 2.5]))
    ax.plot(x, y, color=INK, linewidth=1.4, linestyle="--")
    thin = {"mutation_scale": 7, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    for angle in np.arange(-1.2, 1.3, 0.3):
        x, y = middle(8.6 + 5.4 * np.cos(angle), 8.2 + 5.7 * np.sin(angle))
        near = np.hypot(true_x - x, true_y - y).argmin()
        arrow(ax, (x, y), (true_x[near], true_y[near]), STRONG["gray"], **thin)
    x, y = middle(19.5, 3.8)
    near = np.hypot(true_x - x, true_y - y).argmin()
    arrow(ax, (x, y), (true_x[near], true_y[near]), COLORS["vermillion"])
    say(ax, 9.2, 2.1, "a few pixels,\nbut the longest way", COLORS["vermillion"], 9)
    say(ax, 6.6, 1.65, "truth", STRONG["blue"], 9.5)
    say(ax, 8.2, 1.05, "answer", INK, 9.5)
    return figure


@schematic
def level_set():
    """Chapter 05: one row of pixels as a mask, as a signed distance, and as a mask again.

    Three curves over the same row of pixels. The mask is a box of zeros and ones. The signed distance is a valley:
    negative inside the object, zero at its outline, growing with the distance outside. A steep smooth step turns the
    distance back into a mask, and only the pixels close to the outline feel when the distance changes.
    """
    x = np.linspace(0, 20, 801)
    distance = np.maximum(6 - x, x - 13)
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.5), layout="constrained")
    curves = (
        ("mask: in or out", (distance < 0).astype(float), "gray"),
        ("signed distance to the outline", distance, "blue"),
        ("a smooth step back to a mask", 1 / (1 + np.exp(2.5 * distance)), "green"),
    )
    for ax, (title, y, color) in zip(axes, curves):
        ax.axvspan(6, 13, color=PALE["gray"], zorder=0)
        ax.plot(x, y, color=STRONG[color], linewidth=2.5)
        ax.set_title(title, fontsize=10.5, loc="left", weight="bold")
        ax.set(xticks=[])
        ax.set_xlabel("one row of pixels (gray: the object)", fontsize=9)
        ax.grid(False)
        ax.spines[["top", "right"]].set_visible(False)
    axes[1].axhline(0, color="black", linewidth=0.8)
    axes[0].set(yticks=[0, 1])
    axes[2].set(yticks=[0, 1])
    axes[1].set(yticks=[-3.5, 0, 6], yticklabels=["inside", "outline 0", "outside"])
    for edge in (6, 13):
        axes[2].axvspan(edge - 0.9, edge + 0.9, color=PALE["orange"], zorder=0)
    axes[2].annotate(
        "only here does the step\nstill teach the distance", (13, 0.5), (14.1, 0.75), fontsize=9, va="center",
        arrowprops={"arrowstyle": "-", "color": INK},
    )  # fmt: skip
    return figure


@schematic
def two_heads():
    """Chapter 06: two answers of one network, and the formula that lets them be compared.

    A network looks at an image and answers twice: with a mask, and with a map of the signed distance to the outline.
    A fixed formula turns the distances back into a mask. On an image with a label each answer is compared with the
    label. On any image, labelled or not, the two masks are compared with each other, and must agree.
    """
    row, column = np.mgrid[:64, :64]
    angle = np.arctan2(row - 33, column - 30)
    distance = np.hypot(row - 33, column - 30) - 17 * (1 + 0.16 * np.cos(2 * angle + 0.7) + 0.1 * np.sin(3 * angle))
    grain = np.random.default_rng(4).standard_normal((64, 64))
    image = 1 / (1 + np.exp(0.8 * distance)) + 0.25 * grain
    figure, ax = canvas(10, 3.7)
    shades = {"cmap": "gray", "zorder": 2}
    for place, pixels, look, title in (
        ((0.15, 1.05), image, shades, "an image"),
        ((4.15, 1.95), distance < 0, shades, "head 1: a mask"),
        ((4.15, 0.05), distance, {"cmap": "RdBu_r", "vmin": -32, "vmax": 32}, "head 2: distances"),
        ((7.2, 0.05), distance < 0, shades, "a mask again"),
    ):
        x, y = place
        ax.imshow(pixels, extent=(x, x + 1.45, y, y + 1.45), interpolation="nearest", **look)
        ax.add_patch(plt.Rectangle(place, 1.45, 1.45, facecolor="none", edgecolor="#777777", zorder=3))
        say(ax, x + 0.72, y + 1.58, title, size=9.5)
    ax.set(xlim=(0, 10), ylim=(0, 3.7), aspect="auto")
    block(ax, 2.1, 1.25, 1.3, 1.05, "network", "blue")
    arrow(ax, (1.65, 1.78), (2.1, 1.78))
    arrow(ax, (3.4, 2.0), (4.1, 2.55))
    arrow(ax, (3.4, 1.55), (4.1, 0.95))
    arrow(ax, (5.65, 0.75), (7.15, 0.75))
    say(ax, 6.4, 1.05, "a fixed formula", size=9)
    say(ax, 6.4, 0.45, "inside is\nwhere it is below 0", "#555555", 8.5)
    arrow(ax, (5.68, 2.7), (7.9, 1.82), COLORS["vermillion"], arrowstyle="<|-|>")
    say(ax, 7.1, 2.75, "must agree,\nwith or without a label", COLORS["vermillion"], 10, ha="left", weight="bold")
    return figure


@schematic
def changed_copies():
    """Chapter 11: one labelled note becomes several.

    The note "No fever since Monday, takes metformin 500 mg", labelled "diabetes", is changed in four ways. A synonym
    and two swapped words keep what it says. A deleted word turns "no fever" into "fever", and a changed number alters
    a dose, yet both copies carry the old label on.
    """
    figure, ax = canvas(10, 3.4)
    block(
        ax,
        0.15,
        1.05,
        2.55,
        1.3,
        "“No fever since Monday,\ntakes metformin 500 mg.”\n\nlabel: diabetes",
        "gray",
        size=9.5,
    )
    copies = (
        ("a synonym", "“No fever since Monday, uses metformin 500 mg.”", True),
        ("two words swapped", "“No fever Monday since, takes metformin 500 mg.”", True),
        ("a word deleted", "“fever since Monday, takes metformin 500 mg.”", False),
        ("a wrong key", "“No fever since Monday, takes metformin 800 mg.”", False),
    )
    for row, (how, text, keeps) in enumerate(copies):
        y = 2.62 - 0.83 * row
        color = "green" if keeps else "vermillion"
        arrow(ax, (2.72, 1.7), (3.95, y + 0.3), STRONG[color])
        say(ax, 4.0, y + 0.58, how, STRONG[color], 8.5, ha="left", weight="bold")
        block(ax, 3.95, y - 0.05, 4.0, 0.5, text, color, size=9)
        told = "says the same" if keeps else "says something else"
        say(ax, 8.1, y + 0.2, ("✓ " if keeps else "✗ ") + told, STRONG[color], 9.5, ha="left")
    say(ax, 8.1, 3.28, "and the label is copied", size=9.5, ha="left", weight="bold")
    return figure


@schematic
def adversarial_loop():
    """Chapter 13: one step of FGM.

    Words become vectors, vectors a prediction, and the prediction a loss. The gradient of the loss runs back to the
    word vectors and says in which direction they would have to move to make the loss larger. They are moved there, by
    a length epsilon; a second pass computes a second loss. Both gradients are added, the vectors are put back, and
    the weights make one step.
    """
    figure, ax = canvas(10, 3.3)
    for y, color, words in ((2.1, "blue", "word vectors"), (0.35, "vermillion", "vectors pushed\nby ε")):
        for x, width, text in ((2.15, 1.75, words), (4.5, 1.6, "network"), (6.7, 1.2, "loss")):
            block(ax, x, y, width, 0.85, text, color if x != 4.5 else "gray")
        for left, right in ((3.9, 4.5), (6.1, 6.7)):
            arrow(ax, (left, y + 0.42), (right, y + 0.42), STRONG[color])
        arrow(ax, (7.9, y + 0.42), (8.5, 1.65), STRONG[color])
    block(ax, 0.1, 2.1, 1.45, 0.85, "“chest pain,\nno fever”", "gray")
    arrow(ax, (1.55, 2.52), (2.15, 2.52))
    arrow(ax, (7.3, 2.08), (3.1, 2.06), "#777777", bend=-0.12, linestyle="--")
    say(ax, 5.35, 1.55, "the gradient says which way is worst", "#555555", 9)
    arrow(ax, (2.75, 2.08), (2.75, 1.22), COLORS["vermillion"])
    say(ax, 1.35, 1.62, "push by length ε", COLORS["vermillion"], 9)
    block(ax, 8.45, 1.2, 1.5, 0.9, "add both\ngradients,\none step", "green", size=9.5)
    say(ax, 2.1, 3.15, "first pass", COLORS["blue"], 9, ha="left", weight="bold")
    say(ax, 4.45, 0.15, "second pass, through the same weights", COLORS["vermillion"], 9, ha="left", weight="bold")
    return figure


@schematic
def long_record():
    """Chapter 12: a long record, and one attention a label.

    A record of 437 tokens is a strip of six fields, from sex and age to the tests. Three sentences decide its three
    diagnoses, and all three stand behind the first 256 tokens, which is all that a shorter model reads. Below the strip
    each diagnosis has a curve of its own, the weights it gives to the tokens: flat, with one peak under its sentence.
    """
    figure, ax = canvas(10, 3.6)
    left, scale = 0.2, 7.4 / 437
    at, fields = 0, (
        ("", 18), ("present illness", 115), ("past history", 95), ("examination", 110), ("tests", 99),
    )  # fmt: skip
    for i, (field, size) in enumerate(fields):
        x = left + at * scale
        ax.add_patch(
            plt.Rectangle((x, 2.3), (size - 2) * scale, 0.42, color=PALE[("blue", "gray")[i % 2]], linewidth=0)
        )
        say(ax, x + size * scale / 2, 2.9, field, size=9.5)
        at += size
    say(ax, left, 2.9, "sex, age", size=9.5, ha="left")
    arrow(ax, (left, 3.2), (left + 256 * scale, 3.2), COLORS["vermillion"], arrowstyle="<|-|>", shrinkA=0, shrinkB=0)
    say(ax, left + 128 * scale, 3.42, "all that a model with room for 256 tokens sees", COLORS["vermillion"], 10)
    say(ax, 7.75, 2.51, "the record, 437 tokens", "#555555", 9.5, ha="left")
    tokens = np.arange(437)
    told = (("hypertension", 262, "blue"), ("gallstones", 372, "green"), ("myocardial infarction", 425, "vermillion"))
    for row, (label, where, color) in enumerate(told):
        x, floor = left + where * scale, 1.5 - 0.68 * row
        ax.add_patch(plt.Rectangle((x - 0.07, 2.3), 0.14, 0.42, color=STRONG[color], linewidth=0))
        height = 0.5 * np.exp(-0.5 * ((tokens - where) / 5) ** 2)
        ax.fill_between(left + tokens * scale, floor, floor + height, color=STRONG[color], alpha=0.8, linewidth=0)
        ax.plot([left, left + 437 * scale], [floor, floor], color="#999999", linewidth=0.8)
        ax.plot([x, x], [floor + 0.5, 2.3], color=STRONG[color], linestyle=":", linewidth=1.2)
        say(ax, 7.75, floor + 0.15, label, STRONG[color], 10, ha="left", weight="bold")
    say(ax, left, 1.82, "what each label looks at", "#555555", 9.5, ha="left")
    return figure


@schematic
def roi_layers():
    """Chapter 09: two ways to cut a box out of a feature map.

    A picture with a cell in a box becomes a feature map of large squares, and the box ends between them. RoI Pool
    moves the box outwards to whole squares, cuts it into two by two parts, and keeps the largest number of each.
    RoI Align leaves the box where it is, puts four points into each part, reads every point from the four squares
    around it, and keeps their mean. Both give a grid of two by two numbers.
    """
    row, column = np.mgrid[:72, :72]
    angle = np.arctan2(row - 33, column - 40)
    cell = np.hypot(row - 33, column - 40) < 17 * (1 + 0.12 * np.cos(3 * angle + 1))
    image = 0.75 * cell + 0.1 * np.random.default_rng(5).standard_normal((72, 72))
    grid = image.reshape(6, 12, 6, 12).mean((1, 3))
    left, top, right, bottom = (edge / 12 for edge in (20, 14, 59, 52))  # the box, in squares of the map
    figure, ax = canvas(10, 4.2)

    def sheet(pixels, x, y, side):
        ax.imshow(pixels, cmap="gray", extent=(x, x + side, y, y + side), vmin=-0.2, vmax=1, interpolation="nearest")

    def framed(x, y, side, corners, **look):
        (x1, y1, x2, y2), unit = corners, side / 6
        place = (x + x1 * unit, y + side - y2 * unit)
        ax.add_patch(plt.Rectangle(place, (x2 - x1) * unit, (y2 - y1) * unit, fill=False, **{"linewidth": 2.2, **look}))

    sheet(image, 0.2, 1.1, 1.9)
    framed(0.2, 1.1, 1.9, (left, top, right, bottom), edgecolor="#56B4E9")
    say(ax, 1.15, 3.2, "a picture, a box", weight="bold")
    arrow(ax, (2.15, 2.25), (3.0, 2.95))
    arrow(ax, (2.15, 1.85), (3.0, 1.15))
    say(ax, 2.1, 3.6, "the network makes a map\nof coarse squares", "#555555", 9)
    for y, name, color in ((2.25, "RoI Pool", "vermillion"), (0.1, "RoI Align", "blue")):
        x, side = 3.1, 1.75
        sheet(grid, x, y, side)
        unit = side / 6
        pool = color == "vermillion"
        corners = (1, 1, 5, 5) if pool else (left, top, right, bottom)
        if pool:
            framed(x, y, side, (left, top, right, bottom), edgecolor="#56B4E9", linestyle=":", linewidth=1.6)
        framed(x, y, side, corners, edgecolor=COLORS[color])
        x1, y1, x2, y2 = corners
        middle = x + (x1 + x2) / 2 * unit, y + side - (y1 + y2) / 2 * unit
        ax.plot([middle[0]] * 2, [y + side - y2 * unit, y + side - y1 * unit], color=COLORS[color], linewidth=1.4)
        ax.plot([x + x1 * unit, x + x2 * unit], [middle[1]] * 2, color=COLORS[color], linewidth=1.4)
        values = np.empty((2, 2))
        for p, q in np.ndindex(2, 2):
            if pool:
                values[p, q] = grid[1 + 2 * p : 3 + 2 * p, 1 + 2 * q : 3 + 2 * q].max()
                continue
            down = y1 + (p + np.array([0.25, 0.75])) * (y2 - y1) / 2
            across = x1 + (q + np.array([0.25, 0.75])) * (x2 - x1) / 2
            ys, xs = np.meshgrid(down, across)
            ax.plot(x + xs.ravel() * unit, y + side - ys.ravel() * unit, ".", color="#D55E00", markersize=5)
            values[p, q] = image[(ys * 12).astype(int), (xs * 12).astype(int)].mean()
        say(ax, 5.1, y + 1.5, name, STRONG[color], 12, ha="left", weight="bold")
        told = (
            "moves the box to whole squares,\ncuts it into 2 × 2 parts and\nkeeps the largest number of each"
            if pool
            else "leaves the box where it is,\nreads each point from the four\nsquares around it, keeps the mean"
        )
        say(ax, 5.1, y + 0.75, told, size=9.5, ha="left")
        arrow(ax, (7.75, y + 0.85), (8.3, y + 0.85), STRONG[color])
        sheet(values, 8.4, y + 0.35, 1.0)
        framed(8.4, y + 0.35, 1.0, (0, 0, 6, 6), edgecolor=COLORS[color])
    ax.set(xlim=(0, 10), ylim=(0, 4.2), aspect="auto")
    return figure


@schematic
def multimix():
    """Chapter 07: one network with two answers, and the two things that MultiMix adds.

    A chest picture enters one encoder twice, weakly and strongly distorted. From the encoder a class head says "ill,
    I am sure", and this answer for the weakly distorted picture becomes the label of the strongly distorted one. A
    map of where the class head looks crosses a bridge into the decoder, which draws the lungs.
    """
    import torch

    from ..augment import strong_augment, weak_augment
    from .chest import chest_pictures

    one, row = chest_pictures(6, seed=0, size=96, strength=2.0, extent=1.4), 2
    weak = weak_augment(one.image, generator=torch.Generator().manual_seed(3))
    strong = strong_augment(one.image, generator=torch.Generator().manual_seed(12))
    glow = torch.nn.functional.avg_pool2d(one.opacity.float(), 9, stride=1, padding=4)
    figure, ax = canvas(10, 4.3)
    for x, y, pixels, title in (
        (0.1, 2.35, weak, "weakly distorted"), (0.1, 0.1, strong, "strongly distorted"),
        (5.0, 0.1, glow, "where it looks"), (8.35, 0.1, one.mask, "the lungs"),
    ):  # fmt: skip
        shades = "magma" if title == "where it looks" else "gray"
        ax.imshow(pixels[row, 0], cmap=shades, extent=(x, x + 1.5, y, y + 1.5), interpolation="nearest")
        say(ax, x + 0.75, y + 1.65, title, size=9.5)
    ax.set(xlim=(0, 10), ylim=(0, 4.3), aspect="auto")
    block(ax, 2.3, 1.75, 1.2, 0.7, "encoder", "gray")
    block(ax, 3.9, 2.9, 1.3, 0.7, "class head", "gray")
    block(ax, 7.1, 2.2, 1.2, 0.7, "decoder", "gray")
    say(ax, 6.45, 3.25, "“ill, I am sure”")
    for start, end in (
        ((1.65, 2.9), (2.35, 2.4)), ((1.65, 1.0), (2.35, 1.75)), ((3.3, 2.4), (3.95, 2.9)), ((3.5, 2.15), (7.1, 2.5)),
        ((5.2, 3.25), (5.8, 3.25)), ((4.6, 2.9), (5.6, 1.9)), ((7.9, 2.2), (8.7, 1.85)),
    ):  # fmt: skip
        arrow(ax, start, end)
    red = COLORS["vermillion"]
    ax.plot([6.45, 6.45, 1.9, 1.9], [3.42, 4.15, 4.15, 0.5], color=red, linestyle="--", linewidth=1.8)
    arrow(ax, (1.92, 0.5), (1.6, 0.5), red)
    say(ax, 4.2, 3.95, "becomes the label of", red, 10)
    arrow(ax, (6.5, 0.9), (7.6, 2.2), COLORS["blue"])
    say(ax, 7.5, 1.35, "bridge", COLORS["blue"], 10)
    return figure


@schematic
def ways_up():
    """Chapter 08: one way down, three ways up.

    Three drawings of a network whose maps shrink over four levels on the way down and grow again on the way up. In
    U-Net each level of the way up takes the map of its own size from the way down. In UNet 3+ each level takes all
    finer maps, pooled until they fit, and all coarser ones, enlarged. In RefineNet each level adds the map of its own
    size to what comes from below, and hands the sum on through a chain of pooling.
    """
    figure, ax = canvas(10, 4.1)
    for place, (name, color, note) in enumerate((
        ("U-Net", "blue", "each level reads the map\nof its own size"),
        ("UNet 3+", "vermillion", "each level reads all scales,\nmade to fit"),
        ("RefineNet", "green", "each level adds its own map,\nthen pools in a chain"),
    )):  # fmt: skip
        down, up = 0.75 + 3.4 * place, 2.55 + 3.4 * place
        say(ax, down - 0.55, 3.9, name, STRONG[color], 12, ha="left", weight="bold")
        rise = [3.25 - 0.75 * level for level in range(4)]
        half = [0.5 - 0.1 * level for level in range(4)]
        for level, y in enumerate(rise):
            for x, shade in ((down, "gray"), (up, "orange"))[: 1 if level == 3 else 2]:
                ax.add_patch(
                    plt.Rectangle(
                        (x - half[level], y - 0.15), 2 * half[level], 0.3, facecolor=PALE[shade], edgecolor=INK
                    )
                )
            if level < 3:
                arrow(ax, (down, y - 0.15), (down, y - 0.6), shrinkA=0, shrinkB=0)
            if 0 < level < 3:
                arrow(ax, (up, y + 0.15), (up, y + 0.6), shrinkA=0, shrinkB=0)
            sources = range(4) if name == "UNet 3+" else [level]
            for source in sources if level < 3 else []:
                if source <= level or source == 3:
                    end = (up - half[level], y + 0.08 * (level - source if source < 3 else -1))
                    arrow(ax, (down + half[source], rise[source]), end, STRONG[color], mutation_scale=11)
            if name == "RefineNet" and level < 3:
                ax.plot(up - half[level] + 0.14, y, "P", color=STRONG[color], markersize=8)
                for k in range(2):
                    spot = (up + half[level] - 0.34 + 0.16 * k, y - 0.08)
                    ax.add_patch(plt.Rectangle(spot, 0.11, 0.16, facecolor=STRONG[color], linewidth=0))
        if name == "UNet 3+":  # the finest level reads the level but one below it, too
            arrow(ax, (up + half[2], rise[2]), (up + 0.4, rise[0] - 0.15), STRONG[color], 0.3, mutation_scale=11)
        else:
            arrow(ax, (down + half[3], rise[3]), (up - 0.1, rise[2] - 0.15))
        say(ax, (down + up) / 2, 0.3, note, size=9.5)
    say(ax, 0.14, 2.1, "down: pooled", "#555555", 9, rotation=90)
    say(ax, 3.22, 2.4, "up: enlarged", "#555555", 9, rotation=90)
    return figure


@schematic
def rcnn_family():
    """Chapter 10: what each of four detectors does once instead of two thousand times.

    Four rows of steps. R-CNN searches for boxes, cuts two thousand of them out of the picture, and sends each through
    the backbone and a classifier. Fast R-CNN runs the backbone once on the picture and cuts the boxes out of its map.
    Faster R-CNN drops the search, since the map itself proposes the boxes. Mask R-CNN adds a branch that draws a mask
    for each object found.
    """
    figure, ax = canvas(10, 4.7)
    steps = {
        "search": "gray", "cut out": "gray", "backbone": "orange", "propose": "green", "cut map": "gray",
        "class, edges": "blue", "mask": "vermillion",
    }  # fmt: skip
    rows = (
        (
            "R-CNN",
            "every box costs\na whole pass",
            "search seconds;cut out × 2,000;backbone × 2,000;class, edges × 2,000",
        ),
        ("Fast R-CNN", "one pass\nfor the picture", "search seconds;backbone × 1;cut map × 2,000;class, edges × 2,000"),
        ("Faster R-CNN", "no search", "backbone × 1;propose × 1;cut map × 300;class, edges × 300"),
        ("Mask R-CNN", "outlines too", "backbone × 1;propose × 1;cut map × 300;class, edges × 300;mask × found"),
    )
    for row, (name, gain, chain) in enumerate(rows):
        y = 3.85 - 1.17 * row
        say(ax, 0.1, y + 0.42, name, size=11, ha="left", weight="bold")
        say(ax, 0.1, y - 0.02, gain, "#555555", 9, ha="left")
        for place, step in enumerate(chain.split(";")):
            text = next(known for known in steps if step.startswith(known))
            x = 1.75 + 1.66 * place
            block(ax, x, y, 1.3, 0.6, text, steps[text], size=9.5)
            say(ax, x + 0.65, y - 0.14, step[len(text) :].strip(), COLORS["vermillion"], 9)
            if place:
                arrow(ax, (x - 0.36, y + 0.3), (x, y + 0.3))
    return figure


@schematic
def folds():
    """Chapter 14: five models on five folds, and the two things that they give.

    The labelled rows are drawn five times, cut into five parts. Each time one part is held out and the other four
    train a model. For a new case the five models answer together, and the mean of their answers is handed in. The
    five held-out parts, put together, give one prediction for every labelled row by a model that has not seen it, and
    from these comes the score.
    """
    figure, ax = canvas(10, 3.9)
    say(ax, 0.1, 3.7, "the labelled rows, five times: blue trains, red is held out", ha="left", weight="bold")
    for row in range(5):
        y = 2.95 - 0.52 * row
        for part in range(5):
            color = "vermillion" if part == row else "sky"
            ax.add_patch(plt.Rectangle((0.1 + 0.86 * part, y), 0.8, 0.4, facecolor=COLORS[color], linewidth=0))
        arrow(ax, (4.45, y + 0.2), (5.15, y + 0.2))
        say(ax, 5.6, y + 0.2, f"model {row + 1}")
        arrow(ax, (6.05, y + 0.2), (7.3, 2.11), COLORS["blue"], mutation_scale=11)
        ax.add_patch(plt.Rectangle((0.1 + 0.86 * row, 0.15), 0.8, 0.4, facecolor=COLORS["vermillion"], linewidth=0))
        say(ax, 0.5 + 0.86 * row, 0.35, f"by {row + 1}", "white", 9)
    say(ax, 7.4, 2.11, "for a new case:\nthe mean of five answers", COLORS["blue"], ha="left", weight="bold")
    arrow(ax, (4.45, 0.35), (5.15, 0.35), COLORS["vermillion"])
    say(
        ax, 5.25, 0.35, "for every labelled row: the answer of the model\nthat has not seen it, and the score",
        COLORS["vermillion"], ha="left", weight="bold",
    )  # fmt: skip
    return figure
