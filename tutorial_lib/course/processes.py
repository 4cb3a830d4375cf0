"""Processes that others have started: what they hold, and how they are ended with all that they have started."""

import ctypes
import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.25


def end_tree(pid: int | None) -> None:
    """Kill a process and everything it has started.

    Args:
        pid: the process; ``None`` or a dead one is fine.
    """
    if pid is None:
        return
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with suppress(psutil.Error):
            member.kill()


class Watch:
    """What the worker knows about its kernel while the chapter runs: process, deadline, peak memory."""

    def __init__(self, timeout: float, send):
        self.send = send
        self.process = None
        self.cell_index: int | None = None
        self.timed_out = False
        self.peak = 0
        self._over = threading.Event()
        self._timer = threading.Timer(timeout, self._expire)
        self._timer.daemon = True
        self._timer.start()
        threading.Thread(target=self._sample, daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def kernel_started(self, process) -> None:
        self.process = process
        self.send(event="kernel", pid=process.pid)
        if self.timed_out:
            end_tree(self.pid)

    def stop(self) -> None:
        self._timer.cancel()
        self._over.set()

    def measure(self) -> None:
        """Raise the peak to what the kernel's processes hold now, or to the kernel's own high-water mark."""
        if self.pid is None:
            return
        with suppress(psutil.Error, OSError, ValueError):
            process = psutil.Process(self.pid)
            children = process.children(recursive=True)
            now = sum(map(held, [process, *children])) if children else process.memory_info().rss
            self.peak = max(self.peak, now, high_water(self.pid))

    def _expire(self) -> None:
        self.timed_out = True
        end_tree(self.pid)

    def _sample(self) -> None:
        pause = SAMPLE_SECONDS
        while not self._over.wait(pause):
            start = time.perf_counter()
            self.measure()
            # On a machine with thousands of processes a sample is dear: never spend over 2 % of a core on it.
            pause = max(SAMPLE_SECONDS, 50 * (time.perf_counter() - start))


def held(process: psutil.Process) -> int:
    """Return the bytes that a process holds; 0 if it is gone.

    Args:
        process: shares of pages that it has in common with others are counted in proportion, where the system says so.
    """
    # A child just forked shares all its pages with the kernel: adding up resident sizes would count them twice.
    with suppress(OSError):
        match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process.pid}/smaps_rollup").read_text(), re.MULTILINE)
        if match:
            return int(match[1]) * 1024
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def high_water(pid: int | None) -> int:
    """Return the most bytes that a process has held at one time; 0 where the system does not say.

    Args:
        pid: the process.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process holds, shared pages counted in full; 0 if it is gone.

    Args:
        process: any.
    """
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def family(kernel: int | None) -> list[psutil.Process]:
    """Return the living processes that this one, or one of its children, has started; bury the dead.

    Args:
        kernel: the one whose exit status somebody else asks for.
    """
    living = []
    with suppress(psutil.Error):
        for member in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if member.status() != psutil.STATUS_ZOMBIE:
                    living.append(member)
                elif member.pid != kernel:
                    with suppress(OSError):
                        os.waitpid(member.pid, os.WNOHANG)
    return living


def end_family(kernel: int | None) -> None:
    """Kill a kernel, all that it has started, and all that those have started meanwhile.

    Args:
        kernel: its process; it leads a session and a group of its own.
    """
    for _ in range(100):
        if kernel is not None:
            with suppress(OSError):
                os.killpg(kernel, signal.SIGKILL)
        members = family(kernel)
        if not members:
            return
        for member in members:
            with suppress(psutil.Error):
                member.kill()
        time.sleep(0.02)


def end_strays(folder: str | Path) -> None:
    """Kill the processes whose temporary files go to ``folder``: they keep that from the kernel that started them.

    Args:
        folder: a kernel's, or a grader's.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            place = process.environ().get("TMPDIR", "")
            if f"{place}{os.sep}".startswith(f"{folder}{os.sep}") and process.pid != os.getpid():
                process.kill()


def adopt_orphans() -> None:
    """Become the parent of whatever a kernel leaves behind, so that it can be found and ended (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
