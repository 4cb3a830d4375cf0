"""The results of a sweep as one tidy table and one picture."""

import io
import itertools
import math
from pathlib import Path
from typing import Any

from tutorial_lib.course.files import atomic_write

#: What stands behind the scores in every row.
ABOUT = [
    "status",
    "error",
    "wall_seconds",
    "started",
    "host",
    "worker",
    "pid",
    "package",
    "source",
    "python",
    "torch",
    "numpy",
    "key",
]
#: How many scores, and how many combinations of further settings, the picture shows.
PANELS = 4


def tidy(rows: list[dict], *, methods: list):
    """Return rows of the journal as a pandas DataFrame: one run a row, one column a variable.

    A score with the name of another column is called ``NAME (score)``, unless it only repeats that column.

    Args:
        rows: as ``tutorial_lib.course.sweep.grid`` stores them.
        methods: in the order in which they shall stand.
    """
    import pandas as pd

    from tutorial_lib import __version__

    parameters, settings, scores = (
        list(dict.fromkeys(name for row in rows for name in row[part])) for part in ("parameters", "settings", "scores")
    )
    first = [*parameters, *(name for name in settings if name not in parameters), "method", "seed"]
    taken = {*first, *ABOUT}
    names = {name: f"{name} (score)" if name in taken else name for name in scores}
    lines = []
    for row in rows:
        error = row["error"] or {}
        versions = row["versions"]
        values = row["parameters"] | row["settings"] | {"method": row["method"], "seed": row["seed"]}
        values |= {names[name]: value for name, value in row["scores"].items()}
        values |= {
            "status": row["status"],
            "wall_seconds": row["seconds"],
            "started": row["started"],
            "error": f"{error['type']}: {error['message']}\n{error['traceback']}".strip() if error else "",
            "host": row["host"],
            "worker": row["worker"],
            "pid": row["pid"],
            "package": __version__,
            "source": row["source"],
            "key": row["key"],
        }
        lines.append(values | {name: versions.get(name) for name in ("python", "torch", "numpy")})
    table = pd.DataFrame(lines, columns=[*first, *names.values(), *ABOUT])
    for name, column in names.items():
        if column != name and (table[column].isna() | (table[column] == table.get(name))).all():
            table = table.drop(columns=column)
    table["started"] = pd.to_datetime(table["started"], unit="s", utc=True)
    places = {method: place for place, method in enumerate(methods)}

    def sortable(column):
        if column.name == "method":
            return column.map(lambda method: places.get(method, len(places)))
        return column if column.dtype.kind in "bif" else column.astype(str)

    return table.sort_values([*settings, "method", "seed"], kind="stable", key=sortable).reset_index(drop=True)


def write_results(folder: Path, rows: list[dict], *, methods: list, swept: list[str], title: str) -> None:
    """Write ``table.csv``, ``table.parquet`` and ``chart.png``, each whole or not at all.

    Args:
        folder: where.
        rows: the journal's.
        methods: in the order in which they shall stand.
        swept: the parameters and settings with more than one value.
        title: of the picture.

    Raises:
        DiskError: if they cannot be stored.
    """
    from tutorial_lib.course.files import DiskError

    table = tidy(rows, methods=methods)
    typed = table.copy()
    for name in typed.columns:
        # Parquet has one type a column: a column of numbers and texts becomes texts.
        if typed[name].dtype.kind == "O" and typed[name].dropna().map(type).nunique() > 1:
            typed[name] = typed[name].map(lambda value: None if value is None else str(value))
    parquet = io.BytesIO()
    typed.to_parquet(parquet, index=False)
    try:
        atomic_write(folder / "table.csv", table.to_csv(index=False))
        atomic_write(folder / "table.parquet", parquet.getvalue())
        picture = chart(table, rows, swept=swept, title=title)
        if picture:
            atomic_write(folder / "chart.png", picture)
    except OSError as error:
        raise DiskError(f"could not write the results in {folder}: {error.strerror or error}") from None


def chart(table, rows: list[dict], *, swept: list[str], title: str) -> bytes | None:
    """Draw mean and 95 % interval over seeds, a panel for each score, a line for each method; PNG bytes.

    Args:
        table: from ``tidy``.
        rows: the journal's.
        swept: what stands on the axis (the first), and what makes a row of panels (the others).
        title: above all.

    Returns:
        The picture; ``None`` if no run went well.
    """
    from matplotlib.figure import Figure

    from tutorial_lib.lab.plots import method_style

    good = table[table["status"] == "ok"]
    scores = [
        name
        for name in dict.fromkeys(name for row in rows for name in row["scores"])
        if name in good and name != "seconds" and good[name].dtype.kind in "if" and good[name].notna().any()
    ]
    scores = scores[:PANELS]
    if not len(good) or not scores:
        return None
    methods = list(dict.fromkeys(good["method"]))
    settings = list(dict.fromkeys(name for row in rows for part in ("settings", "parameters") for name in row[part]))
    varying = [name for name in settings if good[name].astype(str).nunique() > 1]
    varying.sort(key=lambda name: (swept + settings).index(name))
    axis, others = (varying[0] if varying else None), varying[1:]
    values = [list(dict.fromkeys(good[name].astype(str))) for name in others]
    combinations = [dict(zip(others, values)) for values in itertools.product(*values)]
    combinations = [one for one in combinations if len(_part(good, one))][:PANELS]
    style = method_style([str(method) for method in methods])
    figure = Figure(figsize=(1.4 + 3.8 * len(scores), 1.5 + 2.9 * len(combinations)), layout="constrained", dpi=110)
    panels = figure.subplots(len(combinations), len(scores), squeeze=False)
    for line, one in zip(panels, combinations):
        part = _part(good, one)
        for ax, score in zip(line, scores):
            _panel(ax, part, axis, score, methods, style)
            ax.set_title(
                score + "".join(f", {name} {value}" for name, value in one.items()),
                fontsize=11,
                loc="left",
                fontweight="bold",
            )
    handles, labels = panels[0][0].get_legend_handles_labels()
    if axis:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False)
    seeds = good.groupby(["method", *varying])["seed"].nunique()
    many = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    what = "one seed" if seeds.max() == 1 else f"mean and 95 % interval over {many} seeds"
    figure.suptitle(f"{title}\n{what}", fontsize=12)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _part(table, values: dict[str, str]):
    for name, value in values.items():
        table = table[table[name].astype(str) == value]
    return table


def _panel(ax, table, axis: str | None, score: str, methods: list, style: dict[str, dict]) -> None:
    if axis is None:
        # Nothing on the axis: a line for each method, as in a table that one can see.
        for place, method in enumerate(methods):
            mean, half = _mean(table[table["method"] == method][score])
            look = {key: value for key, value in style[str(method)].items() if key != "linestyle"}
            ax.errorbar([mean], [place], xerr=[[half], [half]], capsize=4, markersize=7, **look)
        ax.set_yticks(range(len(methods)), [str(method) for method in methods])
        ax.set_ylim(len(methods) - 0.5, -0.5)
    else:
        numbers = table[axis].map(lambda value: isinstance(value, int | float) and not isinstance(value, bool)).all()
        values = sorted(table[axis].unique()) if numbers else list(dict.fromkeys(table[axis].astype(str)))
        width = (max(values) - min(values) if numbers else len(values) - 1) or 1
        for place, method in enumerate(methods):
            part = table[table["method"] == method]
            points = [(value, *_mean(part[part[axis].astype(type(value)) == value][score])) for value in values]
            points = [
                (value if numbers else values.index(value), mean, half)
                for value, mean, half in points
                if not math.isnan(mean)
            ]
            if points:
                # A little apart, so that no interval hides another; a line only where there is something between.
                step = 0.012 * width if numbers else 0.5 / len(methods)
                x = [value + step * (place - (len(methods) - 1) / 2) for value, _, _ in points]
                look = style[str(method)] | ({} if numbers else {"linestyle": "none"})
                ax.errorbar(
                    x,
                    [mean for _, mean, _ in points],
                    yerr=[half for _, _, half in points],
                    capsize=3,
                    markersize=6,
                    label=str(method),
                    **look,
                )
        if not numbers:
            ax.set_xticks(range(len(values)), values)
            ax.set_xlim(-0.5, len(values) - 0.5)
        elif len(values) <= 8:
            ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.set_xlabel(axis)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _mean(values: Any) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval (Student's t); nan and 0 where there is nothing."""
    from scipy.special import stdtrit  # scipy.stats takes seconds to import

    values = values.dropna().astype(float)
    if len(values) < 2:
        return (float(values.iloc[0]) if len(values) else math.nan), 0.0
    return float(values.mean()), float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)))
