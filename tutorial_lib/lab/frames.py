"""The frames of an explorer: what its sliders show, drawn beforehand for pages that have no kernel."""

import inspect
import io
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: Names the folder into which an explorer writes its frames; set while the book is built.
FOLDER = "TUTORIAL_FRAMES"
ONE, TWO, MANY = 15, 5, 5  # values of a slider that is alone, has a companion, or is one of several
CHOICES = 6  # of a list of choices at least so many


def slider_values(slider: Any, default: Any, most: int) -> list:
    """Return the values of a slider that are drawn: ``most`` at most, spread evenly, the default among them.

    Args:
        slider: what ``explore`` takes: a ``(low, high, step)`` tuple, a list of choices, or a widget.
        default: where it starts.
        most: how many values at most, 2 or more.

    >>> slider_values((0.0, 1.0, 0.1), 0.3, 5)
    [0.0, 0.3, 0.5, 0.8, 1.0]
    >>> slider_values([1, 3, 10], 3, 5)
    [1, 3, 10]
    """
    if hasattr(slider, "options"):
        slider = [one[1] if isinstance(one, tuple) else one for one in slider.options]
    elif hasattr(slider, "min") and hasattr(slider, "max"):
        slider = (slider.min, slider.max, getattr(slider, "step", 1))
    if isinstance(slider, bool):
        return [False, True]
    if isinstance(slider, tuple) and len(slider) in (2, 3) and all(isinstance(one, int | float) for one in slider):
        low, high, step = (*slider, 1)[:3]
        number = type(default)
        every = [number(round(low + i * step, 10)) for i in range(int((high - low) / step + 1e-6) + 1)]
    else:
        every = list(slider.values()) if isinstance(slider, dict) else list(slider)
    if len(every) > most:
        every = [every[round(i * (len(every) - 1) / (most - 1))] for i in range(most)]
    if default in every or not isinstance(default, int | float):
        return every
    if any(isinstance(one, str) for one in every):
        return every
    # The nearest inner value makes room for the default.
    inner = range(1, len(every) - 1) if len(every) > 2 else range(len(every))
    every[min(inner, key=lambda i: (abs(every[i] - default), i))] = default
    return sorted(every)


def grid(values: Sequence[Sequence], start: Sequence[int]) -> tuple[list[tuple[int, ...]], bool]:
    """Return which places of the sliders are drawn, and whether only one slider at a time leaves its start.

    Args:
        values: of each slider.
        start: each one's place of its default.

    >>> grid([[1, 2], [3, 4]], [0, 0])
    ([(0, 0), (0, 1), (1, 0), (1, 1)], False)
    >>> grid([[1, 2], [3, 4], [5, 6]], [0, 0, 0])
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], True)
    """
    if len(values) <= 2:
        return list(itertools.product(*(range(len(one)) for one in values))), False
    places = dict.fromkeys([tuple(start)])
    for i, one in enumerate(values):
        for place in range(len(one)):
            places[(*start[:i], place, *start[i + 1 :])] = None
    return list(places), True


def save_frames(function: Callable, sliders: dict[str, Any], folder: str | Path) -> None:
    """Draw an explorer at every place of a coarse grid, and write ``frames.json`` with the pictures beside it.

    Args:
        function: draws one figure, or displays one piece of HTML.
        sliders: as ``explore`` takes them; each name is an argument of the function with a default.
        folder: an existing folder.
    """
    defaults = {name: inspect.signature(function).parameters[name].default for name in sliders}
    most = {1: ONE, 2: TWO}.get(len(sliders), MANY)
    values = [
        slider_values(slider, defaults[name], most if isinstance(slider, tuple) else max(most, CHOICES))
        for name, slider in sliders.items()
    ]
    start = [one.index(defaults[name]) if defaults[name] in one else 0 for name, one in zip(sliders, values)]
    places, alone = grid(values, start)
    frames: dict[str, str] = {}
    for place in places:
        drawn = draw(function, dict(zip(sliders, (one[i] for one, i in zip(values, place)))))
        if isinstance(drawn, bytes):
            name = "-".join(map(str, place)) + ".png"
            (Path(folder) / name).write_bytes(drawn)
            drawn = name
        if drawn:
            frames[",".join(map(str, place))] = drawn
    told = [
        {
            "name": name,
            "labels": [str(one) if isinstance(one, bool | str) else f"{one:g}" for one in v],
            "start": s,
            "choice": not isinstance(slider, tuple),
        }
        for (name, slider), v, s in zip(sliders.items(), values, start)
    ]
    what = {"function": getattr(function, "__name__", ""), "sliders": told, "alone": alone, "frames": frames}
    (Path(folder) / "frames.json").write_text(json.dumps(what, ensure_ascii=False), encoding="utf-8")


def draw(function: Callable, settings: dict[str, Any]) -> bytes | str | None:
    """Call an explorer's function, and return its figure as a PNG, or what it displays as HTML.

    Args:
        function: draws one matplotlib figure or displays HTML.
        settings: the sliders' values.
    """
    import matplotlib.pyplot as plt
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()  # what is displayed goes to a shell
    plt.close("all")
    with capture_output() as captured:
        function(**settings)
    if plt.get_fignums():
        buffer = io.BytesIO()
        # The book keeps WebP: this is a picture of a moment, and not worth packing.
        small = {"compress_level": 1}
        plt.gcf().savefig(buffer, format="png", dpi=plt.gcf().dpi, bbox_inches="tight", pil_kwargs=small)
        plt.close("all")
        return buffer.getvalue()
    found = [one.data["text/html"] for one in captured.outputs if "text/html" in one.data]
    return found[0] if found else None
