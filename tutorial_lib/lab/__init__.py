"""What an experiment needs: seeds and device, data, a training loop, claims, exercise checks, plots.

The names a chapter uses are collected here and loaded on first use.
"""

from tutorial_lib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
