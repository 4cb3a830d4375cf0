"""What a result depends on besides the sources: processors, versions, devices; and the surroundings of a kernel."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def cores() -> int:
    """Return the number of processors that this process may use.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the package's declared dependencies that are installed.

    >>> "python" in installed_versions()
    True
    """
    found = {"python": platform.python_version()}
    try:
        declared = importlib.metadata.requires("tutorial-lib") or []
    except importlib.metadata.PackageNotFoundError:
        declared = ["torch", "numpy", "scipy", "matplotlib", "pandas", "scikit-learn", "scikit-image", "papermill"]
    for requirement in declared:
        if "extra ==" in requirement and not re.search(r"""extra == ['"](course|data)['"]""", requirement):
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def describe_device() -> dict[str, Any]:
    """Return what the numbers may depend on besides versions: the machine's kind and its GPUs."""
    gpus: list[str] = []
    if shutil.which("nvidia-smi"):
        with suppress(OSError, subprocess.SubprocessError):
            listing = subprocess.run(
                ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
                timeout=20,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            gpus = [line.strip() for line in listing.splitlines() if line.strip()]
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": cores(),
        "gpus": gpus,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def device_kind(asked: str, versions: dict, device: dict) -> str:
    """Return ``cpu``, ``cuda`` or ``mps``: what ``pick_device`` takes on a machine.

    Args:
        asked: a chapter's ``DEVICE``.
        versions, device: from ``installed_versions`` and ``describe_device``.
    """
    if asked != "auto":
        return asked.partition(":")[0]
    if device.get("gpus") and device.get("visible") not in ("", "-1") and "+cpu" not in versions.get("torch", ""):
        return "cuda"
    return "mps" if device.get("system") == "Darwin" and device.get("machine") == "arm64" else "cpu"


#: Keep freed memory for the next step of training: glibc gives large blocks back to the system and asks for them anew,
#: page by page, which costs small networks a tenth of their time. Other systems' allocators pass it over.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}

#: What makes torch's own kernels and oneDNN's take other vector instructions, and so round otherwise.
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def kernel_environment(share: int = 1, *, threads: int | None = None, arithmetic: str = "native") -> dict[str, str]:
    """Return the environment of a process that runs notebooks.

    Args:
        share: how many such processes share the cores; each gets its part of them.
        threads: how many threads it may compute on; the part of the cores if not given. A lower number that is set
            already stays.
        arithmetic: ``"native"``, or ``"plain"``: the vector instructions that every x86-64 processor has, and another
            number of threads. Sums are then taken in another order, as on another machine.
    """
    environment = {**ALLOCATOR, **os.environ}
    environment["TUTORIAL_HEADLESS"] = "1"
    # A backend named for scripts (Agg) would keep the figures out of the notebook.
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    if threads is None and share > 1:
        threads = max(1, cores() // share)
    if threads is not None:
        for name in THREADS:
            given = os.environ.get(name, "")
            environment[name] = str(min(threads, int(given)) if given.isdigit() and int(given) else threads)
    if arithmetic == "plain":
        environment |= PLAIN
        for name in THREADS:
            environment[name] = "2" if environment.get(name, str(cores())) == "1" else "1"
    return environment


def kernel_manager(name: str):
    """Return a manager for the kernel ``name``, where ``python3`` is always this very environment's Python.

    Args:
        name: the kernelspec's name. A ``python3`` that the user has registered elsewhere is passed over: the
            chapter must meet the versions that the runner has recorded.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisEnvironment(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            if kernel_name != "python3":
                return super().get_kernel_spec(kernel_name)
            return KernelSpec(**get_kernel_dict())

    return AsyncKernelManager(kernel_name=name, kernel_spec_manager=ThisEnvironment())
