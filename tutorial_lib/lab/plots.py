"""One look for every figure: readable in print, and by a reader who does not see colours apart."""

import matplotlib.pyplot as plt
import numpy as np

# Okabe & Ito's palette: told apart by readers with any common colour blindness. Each method keeps its colour, its
# marker and its line style through the whole course, so that no figure rests on colour alone.
COLORS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
#: Of a verdict, in every picture: strips and forests in chapters, the README's picture.
VERDICT_COLORS = {
    "supported": COLORS["green"],
    "refuted": COLORS["vermillion"],
    "open": "#666666",
    "no difference": COLORS["black"],
}
PALETTE = [COLORS[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky", "black")]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]


def set_style() -> None:
    """Set the course's matplotlib style for this session.

    >>> set_style()
    """
    import seaborn as sns

    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=PALETTE,
        rc={
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "font.family": "DejaVu Sans",
            "image.cmap": "cividis",
        },
    )


def method_style(methods: list[str]) -> dict[str, dict]:
    """Give each method one colour, marker and line style, by its place in the list.

    >>> method_style(["plain", "mixup"])["mixup"]["marker"]
    's'
    """
    return {
        method: {
            "color": PALETTE[i % len(PALETTE)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": LINES[i % len(LINES)],
        }
        for i, method in enumerate(methods)
    }


def claim_strip(result, differences: np.ndarray) -> None:
    """Draw a claim: each pair's difference as a dot, the mean and its interval, and the line of no effect."""
    color = VERDICT_COLORS[result.verdict]
    figure, ax = plt.subplots(figsize=(6.0, 1.25))
    ax.axvline(0, color="black", linewidth=1)
    # A fixed fan instead of random jitter: the same scores give the same picture.
    offsets = 0.22 + 0.16 * ((np.arange(len(differences)) % 3) - 1) / 2
    ax.plot(differences, offsets, "o", color=color, alpha=0.6, markersize=5, markeredgewidth=0)
    ax.plot([result.low, result.high], [-0.2, -0.2], color=color, linewidth=3, solid_capstyle="butt")
    ax.plot(result.effect, -0.2, "D", color=color, markersize=7)
    ax.set(ylim=(-0.55, 0.6), yticks=[], xlabel="paired difference, right of 0 is for the claim")
    ax.spines["left"].set_visible(False)
    ax.set_title(f"{result.verdict} (n = {result.seeds})", fontsize=10)
    ax.xaxis.label.set_fontsize(9)
    ax.tick_params(labelsize=9)
    plt.show()
