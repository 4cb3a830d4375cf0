"""Seeds, device and versions: the same three lines at the head of every chapter."""

import os
import platform
import random

import numpy as np
import torch

from .._arguments import whole

DEVICES = ("auto", "cpu", "cuda", "mps")


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and torch, and return a torch generator with the same seed.

    Args:
        seed: a non-negative integer below 2**32.

    Returns:
        A CPU ``torch.Generator`` seeded with ``seed``, for functions that take ``generator=``.

    Raises:
        ValueError: if ``seed`` is not an integer in that range.

    >>> seed_everything(3).initial_seed()
    3
    """
    seed = whole(seed, "seed", low=0, high=2**32 - 1)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries we call (scikit-learn) still read the global state
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def pick_device(name: str = "auto") -> torch.device:
    """Turn a device name into a ``torch.device`` that is really there.

    ``"auto"`` takes CUDA, then Apple's MPS, then the CPU. A named device that is missing is an error: a run
    that was asked for a GPU must not silently take a hundred times as long.

    Args:
        name: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` … or ``"mps"``.

    Returns:
        The device.

    Raises:
        ValueError: if the name is unknown, or the machine has no such device.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    kind, _, index = str(name).partition(":")
    if kind not in DEVICES or (index and (kind != "cuda" or not index.isdigit())):
        raise ValueError(f"device must be one of {', '.join(DEVICES)} or 'cuda:N', got {name!r}")
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if has[kind]))
    if not has[kind] or (index and int(index) >= torch.cuda.device_count()):
        raise ValueError(f"device must be 'cpu' or 'auto' where this machine has none of its kind, got {name!r}")
    return torch.device(name)


def describe_environment(device: torch.device | str = "cpu") -> str:
    """Return one line that names the device, its threads, and the versions that matter.

    Args:
        device: the device the chapter runs on.

    Returns:
        A line such as ``cpu (2 threads) · Python 3.11.7 · torch 2.13.0 · NumPy 2.4.6``.

    >>> describe_environment().startswith("cpu")
    True
    """
    device = torch.device(device)
    if device.type == "cuda":
        where = f"cuda ({torch.cuda.get_device_name(device)})"
    elif device.type == "cpu":
        where = f"cpu ({torch.get_num_threads()} threads)"
    else:
        where = str(device)
    versions = f"Python {platform.python_version()} · torch {torch.__version__} · NumPy {np.__version__}"
    return f"{where} · {versions}"


def is_headless() -> bool:
    """Say whether nobody is watching: set by the runner and the tests, or when no notebook is attached.

    >>> isinstance(is_headless(), bool)
    True
    """
    if os.environ.get("TUTORIAL_HEADLESS"):
        return True
    try:
        from IPython import get_ipython
    except ImportError:
        return True
    shell = get_ipython()
    return shell is None or shell.__class__.__name__ != "ZMQInteractiveShell"
