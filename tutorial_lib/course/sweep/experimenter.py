"""The other end of the line to an experiment's process (:mod:`tutorial_lib.course.sweep.experiment`)."""

import base64
import pickle
import re
from typing import Any

from tutorial_lib.course.machine import THREADS, kernel_environment
from tutorial_lib.course.processes import Child
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

        environment = kernel_environment() | {"MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
        environment |= {name: str(threads) for name in THREADS} if threads else {}
        self.program, self.full = program, False
        self.sets: dict[str, dict] = {}
        self.child = Child("tutorial_lib.course.sweep.experiment", environment=environment)
        self.process = self.child.process

    @property
    def alive(self) -> bool:
        """Whether its process has not ended yet."""
        return self.child.alive

    def load(self, name: str, parameters: dict[str, Any]) -> dict:
        """Have the experiment loaded with these parameters, unless it is: its calls, versions and seconds.

        Raises:
            Stopped: if that fails.
        """
        if name not in self.sets:
            answer = self._ask({"do": "load", "set": name, "program": self.program, "parameters": parameters}, LOADING)
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
        # Pickled, so that a tuple arrives as a tuple.
        self.child.send(base64.b64encode(pickle.dumps(order)).decode("ascii"))
        try:
            answer = self.child.receive(timeout=timeout)
        except TimeoutError as error:
            self.close()
            raise Stopped("timeout", str(error)) from None
        if answer is None:
            self.close()
            raise Stopped("killed", f"its process died {self.child.ended()}\n{self.child.said(2000)}".rstrip())
        return answer

    def close(self) -> None:
        """End the process and all that it has started."""
        self.child.end()
