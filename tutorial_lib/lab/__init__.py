"""What an experiment needs: seeds and device, data, a training loop, claims, exercise checks, plots.

The names a chapter uses are collected here and loaded on first use.
"""

from importlib import import_module

_HOME = {
    "seed_everything": "runtime",
    "pick_device": "runtime",
    "describe_environment": "runtime",
    "fit": "training",
    "predict": "training",
    "batches": "training",
    "History": "training",
    "compare": "training",
    "claim": "claims",
    "paired": "claims",
    "check": "exercises",
    "explore": "widgets",
    "set_style": "plots",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
