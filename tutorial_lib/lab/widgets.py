"""Explorers: a figure that reads whole on paper, and the same with sliders where somebody is there."""

import inspect
import os
from collections.abc import Callable

from .frames import FOLDER, save_frames
from .runtime import is_headless

#: Two figures, one above the other, puzzle a reader who is not told why.
HINT = "<b>Your turn.</b> Move a slider, or choose a value: the lower picture follows. The upper one stays, to compare."
#: Two stand side by side on a laptop's page with the list of files open, three on a wide one.
WIDTH = "270px"


def explore(function: Callable, /, **sliders) -> None:
    """Draw ``function()`` once as a static figure, then again under sliders where a person can move them.

    The static figure uses the function's own default arguments, so a chapter reads whole on GitHub and on paper.
    Where ``TUTORIAL_FRAMES`` names a folder, the figures of a coarse grid of the sliders are written there instead: the
    web pages, which have no kernel, show them.

    Args:
        function: draws one matplotlib figure; every slider's name is one of its arguments, with a default.
        **sliders: what ``ipywidgets.interact`` takes: a ``(low, high, step)`` tuple, a list of choices, or a widget.

    Raises:
        ValueError: if a slider is not an argument of ``function`` with a default.

    >>> explore(lambda lam=0.5: None, lam=(0.0, 1.0, 0.1))
    """
    import matplotlib.pyplot as plt

    parameters = inspect.signature(function).parameters
    for name in sliders:
        if name not in parameters or parameters[name].default is inspect.Parameter.empty:
            have = [key for key, value in parameters.items() if value.default is not inspect.Parameter.empty]
            raise ValueError(f"slider {name!r} is not an argument with a default; the function has {', '.join(have)}")
    if folder := os.environ.get(FOLDER):
        save_frames(function, sliders, folder)
        return
    function()
    plt.show()
    if is_headless():
        return
    import ipywidgets

    # continuous_update off: a figure takes a fraction of a second, and a dragged slider would queue dozens.
    controls = {}
    for name, slider in sliders.items():
        widget = (
            slider
            if isinstance(slider, ipywidgets.Widget)
            else ipywidgets.interactive(lambda value: None, value=slider).children[0]
        )
        widget.description = name
        # As wide as the name is: a fixed width cuts long names off.
        widget.style.description_width = "initial"
        if not isinstance(slider, ipywidgets.Widget):
            widget.layout.width = WIDTH
            widget.value = parameters[name].default
        if hasattr(widget, "continuous_update"):
            widget.continuous_update = False
        controls[name] = widget

    def draw(**values):
        function(**values)
        plt.show()

    output = ipywidgets.interactive_output(draw, controls)
    # Five sliders are wider than a laptop's page: those that do not fit go to the next row.
    row = ipywidgets.HBox(list(controls.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
    show_widget(ipywidgets.VBox([ipywidgets.HTML(HINT), row, output]), instead="Run this cell to get its sliders.")


def show_widget(widget, *, instead: str) -> None:
    """Display a widget, and say what a page shows in its place when the kernel that moved it is gone.

    A saved notebook keeps the widget's place, not the widget. On its own the place shows the widget's ``repr``.

    Args:
        widget: any ipywidgets widget.
        instead: plain text.
    """
    from IPython.display import display

    # ipywidgets 7, which some hosts still have, displays by itself.
    bundle = widget._repr_mimebundle_() if hasattr(widget, "_repr_mimebundle_") else None
    if isinstance(bundle, dict):
        display({**bundle, "text/plain": instead}, raw=True)
    else:
        display(widget)
