"""A student's kernel: a process with limits, in which the student's code runs and the answers stay.

It has its own session, its own folder (also as home and for temporary files), its own copy of this package, a bare
environment, no GPU, and limits on time, memory, output, file size and processes.
"""

import math
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, ClassVar

import psutil

from tutorial_lib.course.classroom.exchange import Asker, Gone
from tutorial_lib.course.machine import PACKAGE
from tutorial_lib.course.processes import Watch, end_family, end_strays, how_ended, start


@dataclass(frozen=True)
class Limits:
    """What one notebook may use: seconds an exercise, MiB, characters printed by a cell."""

    timeout: float
    memory: float
    output: int
    threads: int = 1


MAX_WRITTEN = 256 * 2**20
MAX_PROCESSES = 32
START_SECONDS = 120.0
_MODULE = '__import__("tutorial_lib.course.classroom.exchange", fromlist=["serve"])'
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
)
ENDED = {
    "timeout": "did not end within {timeout:g} s",
    "memory": "took more than {memory:g} MiB of memory",
    "processes": f"started more than {MAX_PROCESSES} processes",
    "output": "printed more than {output:,} characters",
}


class Ended(Exception):
    """The kernel has ended or was ended; the text is the reason."""


class Kernel:
    """A student's kernel.

    Attributes:
        done: which pieces of the plan it has run.
        errors: what they raised.
    """

    running: ClassVar[set["Kernel"]] = set()

    def __init__(self, limits: Limits):
        from zmq import MAXMSGSIZE, Context

        self.limits = limits
        self.done: set[int] = set()
        self.errors: dict[int, tuple[str, str]] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="kernel-"))
        self.context = Context()
        # Neither what is shown nor a giant reply can fill this process: nobody listens to the one, the other is cut.
        self.context.setsockopt(MAXMSGSIZE, 16 * 2**20)
        # Not only the kernel's children count, but ours: also what it has sent into the background.
        self.guard = Watch(memory=limits.memory * 2**20, processes=MAX_PROCESSES, orphans=True)
        self.process: subprocess.Popen | None = None
        self.client: Any = None
        self.pipe: Any = None
        Kernel.running.add(self)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        from jupyter_client.blocking import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        limits = self.limits
        for name in ("home", "work", "tmp", "mpl"):
            (self.folder / name).mkdir()
        # Its own copy: code that writes over the checker's file writes over a file that is thrown away.
        shutil.copytree(PACKAGE, self.folder / "package" / "tutorial_lib")
        _copy_fonts(self.folder / "mpl")
        file = str(self.folder / "connection.json")
        sockets = str(self.folder / "s")
        transport, place = ("ipc", sockets) if len(sockets) < 90 else ("tcp", "127.0.0.1")
        write_connection_file(file, key=secrets.token_hex(16).encode(), transport=transport, ip=place)
        self.pipe, theirs = Pipe()
        self.descriptor = theirs.fileno()
        # What programs write goes nowhere; the kernel would read it and pass it on.
        command = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            file,
            "--HistoryManager.hist_file=:memory:",
            "--IPKernelApp.capture_fd_output=False",
        ]
        self.process = start(
            command,
            environment=_environment(self.folder, limits),
            cwd=self.folder / "work",
            pass_fds=[self.descriptor],
        )
        theirs.close()
        self.guard.follow(self.process)
        self.client = BlockingKernelClient(connection_file=file, context=self.context)
        self.client.load_connection_file()
        self.client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
        with self.within(START_SECONDS):
            reply = self.run(
                f"{_MODULE}.prepare(descriptor={self.descriptor}, memory={int(limits.memory * 2**20)}, "
                f"output={limits.output}, file_size={MAX_WRITTEN}, processes={_processes()})"
            )
        if reply["status"] != "ok":
            raise Ended(f"the kernel could not be made ready: {reply.get('ename')}: {reply.get('evalue')}")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Inside, the kernel is ended when so many seconds have passed."""
        self.guard.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self.guard.deadline = math.inf

    def send(self, source: str) -> str:
        return self.client.execute(source, silent=True, store_history=False, allow_stdin=False, stop_on_error=False)

    def wait(self, message: str) -> dict:
        while True:
            if self.guard.reason or not self.alive:
                raise Ended(self.why())
            reply = self.reply(message, 0.2)
            if reply is not None:
                return reply

    def reply(self, message: str, seconds: float) -> dict | None:
        try:
            reply = self.client.shell_channel.get_msg(timeout=seconds)
            return reply["content"] if reply["parent_header"].get("msg_id") == message else None
        except queue.Empty:
            return None
        except Exception as error:
            raise Ended(f"the kernel talks nonsense ({type(error).__name__})") from None

    def run(self, source: str) -> dict:
        return self.wait(self.send(source))

    def ask(self, exercise: str, expression: str) -> tuple[str, str]:
        """Check an exercise's answer; return the status and what to say about it."""
        from tutorial_lib.lab.exercises import CheckResult, check

        message = self.send(f"{_MODULE}.serve({self.descriptor}, lambda: (\n{expression}\n))")

        def waiting() -> bool:
            # While it has something to say on the pipe, the kernel is still at work on what it was sent.
            return not self.guard.reason and self.reply(message, 0) is None

        asker = Asker(self.pipe, waiting)
        try:
            try:
                answer = asker.answer()
            except Gone:
                raise
            except (Exception, SystemExit):
                name, text, _, _ = asker.raised or ("Error", "the answer cannot be read", 0, "")
                result = CheckResult(exercise, "error", f"{name}: {text}")
            else:
                result = check(exercise, answer, show=False)
            asker.close()
            self.wait(message)
        except Gone:
            # Dead, stuck, or it speaks otherwise than agreed: what it says from here on is worth nothing.
            if self.process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.3)
            if self.alive and not self.guard.reason:
                self.guard.end("the kernel gives no answer")
            raise Ended(self.why()) from None
        text = result.message
        if asker.raised and text.startswith("your code raised"):
            name, said, number, line = asker.raised
            text = f"your code raised {name}: {said}\n  at line {number}: {line}"
        return result.status, text

    def why(self) -> str:
        if self.guard.reason:
            return self.guard.reason
        code = self.process.poll() if self.process is not None else None
        return "the kernel gives no answer" if code is None else f"the kernel died {how_ended(code)}"

    def close(self) -> None:
        self.guard.stop()
        if self.process is not None:
            end_family(self.process.pid)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            end_strays(self.folder)
        for end in (
            lambda: self.client.stop_channels(),
            lambda: self.pipe.close(),
            lambda: self.context.destroy(linger=0),
        ):
            # Whichever of them there is.
            with suppress(Exception):
                end()
        shutil.rmtree(self.folder, ignore_errors=True)
        Kernel.running.discard(self)


def _environment(folder: Path, limits: Limits) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment.update(
        {
            "HOME": str(folder / "home"),
            "USERPROFILE": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "IPYTHONDIR": str(folder / "home"),
            "JUPYTER_CONFIG_DIR": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home"),
            "MPLCONFIGDIR": str(folder / "mpl"),
            "MPLBACKEND": "Agg",
            "PYTHONPATH": str(folder / "package"),
            "PYTHONHASHSEED": "0",
            "PYTHONWARNINGS": "ignore",
            "CUDA_VISIBLE_DEVICES": "",
            "TUTORIAL_HEADLESS": "1",
            "OMP_NUM_THREADS": str(limits.threads),
            "OPENBLAS_NUM_THREADS": str(limits.threads),
            "MKL_NUM_THREADS": str(limits.threads),
        }
    )
    return environment


def _copy_fonts(folder: Path) -> None:
    # Without it, Matplotlib looks through all the fonts of the system again, for seconds.
    with suppress(Exception):
        import matplotlib

        for file in Path(matplotlib.get_cachedir()).glob("fontlist*.json"):
            shutil.copy(file, folder)


def _processes() -> int | None:
    """The limit counts the user's processes and threads all over the machine, so it is set above what there is."""
    if not hasattr(os, "getuid") or os.getuid() == 0:
        return None
    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        if process.info["uids"] and process.info["uids"].real == os.getuid():
            count += process.info["num_threads"] or 1
    return count + 512
