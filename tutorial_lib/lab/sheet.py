"""What ``schematics.py`` draws with: a white sheet, blocks, words and arrows, in colours that print."""

from functools import wraps
from io import BytesIO

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from .plots import COLORS

INK, PALE = (
    "#222222",
    {"blue": "#D6E6F2", "orange": "#FBEBCB", "green": "#CDEBE1", "vermillion": "#F7DCCB", "gray": "#EEEEEE"},
)
STRONG = {
    "blue": COLORS["blue"],
    "orange": "#B37A00",
    "green": "#00735A",
    "vermillion": COLORS["vermillion"],
    "gray": "#555555",
}


def schematic(draw):
    """Show what ``draw`` has drawn, with the second paragraph of its docstring as the description."""
    description = " ".join(draw.__doc__.split("\n\n", 1)[1].split())

    @wraps(draw)
    def show() -> None:
        from IPython.display import display

        figure = draw()
        figure.set_facecolor("white")
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=110, facecolor="white", metadata={"Software": None})
        plt.close(figure)
        bundle = {"image/png": picture.getvalue(), "text/plain": description}
        display(bundle, raw=True, metadata={"image/png": {"alt": description}})

    return show


def canvas(width: float, height: float):
    """A white sheet measured in its own units, without axes."""
    figure, ax = plt.subplots(figsize=(width, height), layout="none")
    figure.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def block(ax, x, y, width, height, text, color="gray", size=10, **more):
    ax.add_patch(
        FancyBboxPatch(
            (x + 0.04, y + 0.04), width - 0.08, height - 0.08, boxstyle="round,pad=0.04", facecolor=PALE[color],
            edgecolor=STRONG[color], linewidth=1.4,
        )
    )  # fmt: skip
    say(ax, x + width / 2, y + height / 2, text, size=size, **more)


def say(ax, x, y, text, color=INK, size=10, **more):
    ax.text(x, y, text, color=color, fontsize=size, **{"ha": "center", "va": "center", "linespacing": 1.35, **more})


def arrow(ax, start, end, color=INK, bend=0.0, **more):
    shape = {"arrowstyle": "-|>", "mutation_scale": 14, "linewidth": 1.6, "shrinkA": 2, "shrinkB": 2, **more}
    ax.add_patch(FancyArrowPatch(start, end, color=color, connectionstyle=f"arc3,rad={bend}", **shape))
