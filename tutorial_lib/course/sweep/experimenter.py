"""The other end of the line to an experiment's process (:mod:`tutorial_lib.course.sweep.experiment`)."""

import base64
import json
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from tutorial_lib.course.machine import PACKAGE, THREADS
from tutorial_lib.course.processes import (
    end_tree,
)
from tutorial_lib.course.sweep.program import Program

#: Seconds for the cells that an experiment needs; with ``FAST=False`` some chapters choose their settings there.
LOADING = 3600.0


class Stopped(Exception):
    """An experimenter could not do what was asked: ``how`` is ``timeout``, ``killed`` or ``load``."""

    def __init__(self, how: str, message: str):
        super().__init__(how, message)
        self.how, self.message = how, message


class Experimenter:
    """A process that holds a chapter's experiments and runs them, one call at a time.

    Args:
        program: what it loads.
        threads: how many threads torch and NumPy may take; ``None``: what the environment says.
    """

    def __init__(self, program: Program, *, threads: int | None = None):

        environment = dict(os.environ) | {"TUTORIAL_HEADLESS": "1", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        environment |= {name: str(threads) for name in THREADS} if threads else {}
        self.program, self.sets, self.full = program, {}, False
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tutorial_lib.course.sweep.experiment"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            start_new_session=True,
        )
        self.answers: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            with suppress(ValueError):
                self.answers.put(json.loads(line))
        self.answers.put(None)

    @property
    def alive(self) -> bool:
        """Whether its process has not ended yet."""
        return self.process.poll() is None

    def load(self, name: str, parameters: dict[str, Any]) -> dict:
        """Have the experiment loaded with these parameters, unless it is: its calls, versions and seconds.

        Raises:
            Stopped: if that fails.
        """
        if name not in self.sets:
            answer = self._ask(
                {"do": "load", "set": name, "program": asdict(self.program), "parameters": parameters}, LOADING
            )
            if "error" in answer:
                error = answer["error"]
                places = re.findall(r'File "<[^>]*(code cell \d+)>", line (\d+)', error["traceback"])
                where = f"{places[0][0]}, line {places[0][1]}: " if places else ""
                raise Stopped("load", f"{where}{error['type']}: {(error['message'].splitlines() or [''])[0]}")
            self.sets[name] = answer
        return self.sets[name]

    def run(self, name: str, call: int, method: int, seed: int, settings: dict, *, timeout: float) -> dict:
        """Run once: ``scores`` or ``error``, ``seconds``, ``started``, ``pid``.

        Raises:
            Stopped: if it took over ``timeout`` seconds or ended its process; the process is gone then.
        """
        order = {"do": "run", "set": name, "call": call, "method": method, "seed": seed, "settings": settings}
        answer = self._ask(order, timeout)
        self.full = answer.pop("full")
        return answer

    def _ask(self, order: dict, timeout: float) -> dict:
        try:
            # Pickled, so that a tuple arrives as a tuple.
            self.process.stdin.write(base64.b64encode(pickle.dumps(order)) + b"\n")
            self.process.stdin.flush()
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise Stopped("timeout", f"timed out: not done after {timeout:g} s") from None
        except OSError:
            answer = None
        if answer is None:
            self.process.wait()
            raise Stopped("killed", self._death())
        return answer

    def _death(self) -> str:
        code = self.process.returncode
        how = f"exit status {code}" if code >= 0 else f"signal {-code}, {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += "; the system does so when memory runs out"
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - 2000))
        tail = self.said.read().decode("utf-8", "replace").strip()
        self.close()
        return f"killed its process ({how})" + (f"\n{tail}" if tail else "")

    def close(self) -> None:
        """End the process and all that it has started."""

        end_tree(self.process.pid)
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        with suppress(OSError):
            self.said.close()
