"""Child processes: started, fed, watched and ended here, and nowhere else in the course.

A command runs no foreign code itself. It starts a :class:`Child`, ``python -m MODULE`` in a session of its own, and the
two talk in lines of JSON, a message a line::

    # the command                                       # MODULE
    child = Child("tutorial_lib.course.…", …)            parent = Parent(gone=…)
    child.send({"add": [1, 2]})                          order = parent.receive()
    answer = child.receive(timeout=10)                   parent.send({"sum": sum(order["add"])})
    child.end()

What each side can rely on:

- ``receive`` gives the next message; ``None`` when the child has ended (``child.ended()`` says how, ``child.said()``
  what it wrote to standard error last); it raises :class:`TimeoutError` when nothing came in time. The child goes on
  then: ``child.end()`` ends it, and all that it has started.
- Many children at a time: with ``listener=``, a thread hands each message on as it comes, and ``None`` at the end.
- The child's input stays open as long as the parent lives. When that closes, the parent is gone (also by ``kill -9``):
  the child calls ``gone`` and ends. ``child.dismiss()`` and ``child.leave(seconds)`` use this to let it end in order.
- A process that the child has started in a session of its own (a kernel) can outlive it: ``child.adopt(pid)`` has it
  ended with the child.

A :class:`Watch` measures what a process holds, with all that it has started, and ends it when it takes too much: time
(``timeout``, or ``deadline`` set anew), memory, processes. A process that is no Python module of ours is started by
:func:`start`; :func:`how_ended` is the sentence for its exit status.
"""

import ctypes
import json
import math
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import psutil

SAMPLE_SECONDS = 0.25


def start(command: Sequence[str], *, environment: dict[str, str] | None = None, **settings) -> subprocess.Popen:
    """Start a program in a session of its own: Ctrl-C reaches this process alone, which ends the others in order.

    Args:
        command: program and arguments.
        environment: all of it; this process's own if not given.
        settings: for :class:`subprocess.Popen`; streams that it does not name lead nowhere.
    """
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen(command, env=environment, start_new_session=True, **(streams | settings))


def how_ended(code: int) -> str:
    """Return how a process ended, in brackets, to follow a verb.

    Args:
        code: its exit status; negative: the signal that killed it.

    >>> how_ended(3), how_ended(-15)
    ('(exit status 3)', '(killed by signal 15, SIGTERM)')
    """
    if code >= 0:
        return f"(exit status {code})"
    name = ""
    with suppress(ValueError):
        name = f", {signal.Signals(-code).name}"
    # The signal that the system sends is also the one that anybody may send.
    hint = "; the system does so when memory runs out" if name == ", SIGKILL" else ""
    return f"(killed by signal {-code}{name}){hint}"


class Child:
    """A Python module in a process of its own, which takes and gives messages.

    Args:
        module: what ``python -m`` runs; it makes a :class:`Parent` first of all.
        environment: all of it; this process's own if not given.
        listener: called with each message, and with ``None`` at the end, from a thread; then ``receive`` is of no use.

    Attributes:
        process: the :class:`subprocess.Popen`.
    """

    def __init__(
        self,
        module: str,
        *,
        environment: dict[str, str] | None = None,
        listener: Callable[[Any], None] | None = None,
    ):
        self._messages: queue.Queue = queue.Queue()
        self._listener = listener or self._messages.put
        self._errors, self._tail = tempfile.TemporaryFile(), b""
        try:
            self.process = start(
                [sys.executable, "-m", module],
                environment=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except BaseException:
            self._errors.close()
            raise
        # Both ends are pipes, as was asked for; their types do not say so.
        self._orders, self._answers = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        self._family: list[psutil.Process] = []
        self.adopt(self.process.pid)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet."""
        return self.process.poll() is None

    def adopt(self, pid: int) -> None:
        """Have another process ended with this one: one that it started in another session."""
        with suppress(psutil.Error):
            self._family.append(psutil.Process(pid))

    def send(self, message: Any) -> bool:
        """Give the child a message; return whether it was still there to take it.

        Args:
            message: JSON data.
        """
        try:
            self._orders.write(json.dumps(message).encode() + b"\n")
            self._orders.flush()
        except (OSError, ValueError):
            # ValueError: the pipe was closed on this side.
            return False
        return True

    def receive(self, timeout: float | None = None) -> Any:
        """Return the child's next message; ``None`` if it has ended.

        Args:
            timeout: seconds to wait; no end if not given.

        Raises:
            TimeoutError: if nothing came in time. The child goes on.
        """
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"timed out: not done after {timeout:g} s") from None
        if message is None:
            # It stays so, however often it is asked.
            self._messages.put(None)
        return message

    def ended(self) -> str:
        """Return how the child ended (:func:`how_ended`); an empty text while it lives."""
        code = self.process.poll()
        return "" if code is None else how_ended(code)

    def said(self, limit: int = 4000) -> str:
        """Return the last of what an ended child wrote to standard error.

        Args:
            limit: bytes.
        """
        if not self._errors.closed:
            self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - limit))
            self._tail = self._errors.read()
        return self._tail[-limit:].decode("utf-8", "replace").strip()

    def dismiss(self) -> None:
        """Tell the child that nobody needs it any more: it ends in order, in its own time."""
        with suppress(OSError):
            self._orders.close()

    def leave(self, seconds: float) -> None:
        """Dismiss the child, and end what is still there after some seconds."""
        self.dismiss()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)
        self.end()

    def end(self) -> None:
        """End the child, all that it has started, and all that it has adopted."""
        for member in self._family:
            end_tree(member)
        self.dismiss()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        self.said()
        self._errors.close()

    def _listen(self) -> None:
        with self._answers:
            for line in self._answers:
                with suppress(ValueError):
                    self._listener(json.loads(line))
        self.process.wait()
        self._listener(None)


class Parent:
    """The child's end of the line: orders come from standard input, answers go to standard output.

    From then on, what anybody else writes to standard output goes to standard error, and Ctrl-C is left to the parent.

    Args:
        gone: what to do when the parent is gone, before this process ends with status 4.
        silent: what anybody else writes to standard output goes nowhere.
    """

    def __init__(self, gone: Callable[[], None] | None = None, *, silent: bool = False):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._gone, self._lock = gone, threading.Lock()
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        if silent:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
        else:
            os.dup2(2, 1)
        self._orders: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def receive(self, timeout: float | None = None) -> Any:
        """Return the next order.

        Args:
            timeout: seconds to wait; no end if not given.

        Raises:
            TimeoutError: if none came in time.
        """
        try:
            return self._orders.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no order for {timeout:g} s") from None

    def send(self, message: Any) -> None:
        """Give the parent a message; nothing happens if it is gone.

        Args:
            message: JSON data.
        """
        text = json.dumps(message) + "\n"
        with self._lock, suppress(OSError):
            self._answers.write(text)
            self._answers.flush()

    def _listen(self) -> None:
        with suppress(OSError, ValueError):
            for line in sys.stdin.buffer:
                self._orders.put(json.loads(line))
        try:
            if self._gone is not None:
                self._gone()
        finally:
            os._exit(4)


class Watch:
    """Looks at a process, with all that it has started, a few times a second, and ends it when it takes too much.

    Args:
        timeout: seconds from now on, also before there is a process; ``None``: no limit.
        memory: bytes; ``None``: no limit.
        processes: how many at one time; ``None``: no limit.
        orphans: count, and end, also what has lost its parent: all that this process, having called
            :func:`adopt_orphans`, is the parent of.

    Attributes:
        process: what is watched; ``None`` before ``follow``.
        peak: the most bytes that were held at one time.
        reason: why it was ended: ``timeout``, ``memory``, ``processes``, or what ``end`` was told; empty if it was not.
        deadline: when it will be ended, on the clock of :func:`time.monotonic`; it may be set at any time.
    """

    def __init__(
        self,
        *,
        timeout: float | None = None,
        memory: float | None = None,
        processes: int | None = None,
        orphans: bool = False,
    ):
        self.process: subprocess.Popen | None = None
        self.peak, self.reason = 0, ""
        self.deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._memory = math.inf if memory is None else memory
        self._processes = math.inf if processes is None else processes
        self._strict, self._orphans = memory is not None or processes is not None, orphans
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def follow(self, process: subprocess.Popen) -> None:
        """Watch this process from now on; end it at once if its time is over already."""
        self.process = process
        if self.reason:
            self.end(self.reason)

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()

    def end(self, reason: str) -> None:
        """End the process and all that it has started; the first reason counts."""
        self.reason = self.reason or reason
        if self._orphans:
            end_family(self.pid)
        else:
            end_tree(self.pid)

    def measure(self) -> None:
        """Look now: raise the peak to what is held, or to the process's own high-water mark, and hold the limits."""
        if self.pid is None or self.reason:
            return
        members = family(self.pid) if self._orphans else tree(self.pid)
        if len(members) > self._processes:
            return self.end("processes")
        now = sum(map(resident, members))
        if len(members) > 1 and now > min(self.peak, self._memory):
            # Shared pages were counted more than once; to count them rightly is dear.
            now = sum(map(held, members))
        self.peak = max(self.peak, now, high_water(self.pid))
        if now > self._memory:
            self.end("memory")

    def _look(self) -> None:
        pause = SAMPLE_SECONDS
        while not self._over.wait(max(0.0, min(pause, self.deadline - time.monotonic()))):
            start = time.perf_counter()
            if time.monotonic() >= self.deadline:
                return self.end("timeout")
            self.measure()
            # On a machine with thousands of processes a sample is dear: who only measures never spends over 2 % of a
            # core on it. Who has limits to hold cannot wait as long.
            pause = max(SAMPLE_SECONDS, (1 if self._strict else 50) * (time.perf_counter() - start))


def tree(process: int | psutil.Process | None) -> list[psutil.Process]:
    """Return all that a process has started, and itself at the end; nothing if it is gone.

    Args:
        process: itself or its number.
    """
    if process is None:
        return []
    try:
        top = psutil.Process(process) if isinstance(process, int) else process
        return [*top.children(recursive=True), top]
    except psutil.Error:
        return []


def end_tree(process: int | psutil.Process | None) -> None:
    """Kill a process and everything it has started.

    Args:
        process: itself or its number; ``None`` or a dead one is fine.
    """
    for member in tree(process):
        with suppress(psutil.Error):
            member.kill()


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
