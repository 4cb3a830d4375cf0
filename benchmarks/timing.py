"""Medians of interleaved repetitions, and the line that shows them as ratios."""

import os
import platform
import statistics
import time
from collections.abc import Callable

import torch

THREADS = 2


def machine() -> str:
    """The line that must stand over every measurement."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {THREADS} threads · Python {platform.python_version()} · "
        f"torch {torch.__version__} · load {os.getloadavg()[0]:.1f}"
    )


def medians(functions: dict[str, Callable[[], object]], *, repetitions: int = 15) -> dict[str, float]:
    """Median seconds of each function.

    The functions take turns, and each round starts with another one: a slow spell of the machine, or a warm cache
    left by the neighbour, then falls on all alike.
    """
    torch.set_num_threads(THREADS)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for function in functions.values():
        function()
    for turn in range(repetitions):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            before = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - before)
    return {name: statistics.median(values) for name, values in seconds.items()}


def show(title: str, ours: float, peers: dict[str, float], goal: str) -> None:
    """Print our time, and every peer's time divided by ours (above 1: ours is faster)."""
    print(f"{title}: ours {_ms(ours)}    goal: {goal}")
    for name, seconds in peers.items():
        print(f"    {seconds / ours:6.2f} x  {name} ({_ms(seconds)})")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
