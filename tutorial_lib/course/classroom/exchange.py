"""Lets a check in one process try an answer that lives in another.

A student's function stays in the kernel where the student's code has run. The check runs in the grader's process,
which that code never reaches: it sends arguments and gets values back (:mod:`tutorial_lib.course.classroom.codec`). So
whatever the code has put in the place of ``check``, of ``torch.allclose`` or of a built-in, the answer counts only if
the values are right.

Arguments that the function changes in place are changed on the checking side too, and gradients flow through a call to
the tensor arguments that ask for them.
"""

import builtins
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from tutorial_lib.course.classroom.codec import Codec, change, in_words, mutable_parts, remote_outputs

MAX_MESSAGE = 64 * 2**20
MAX_TEXT = 2000


class Gone(BaseException):
    """The other side does not answer any more; no check can take this for a wrong answer."""


class _End:
    """One end of the connection: messages are JSON texts of bounded length."""

    def __init__(self, connection, waiting: Callable[[], bool] | None = None):
        self.connection, self.waiting = connection, waiting

    def send(self, message: dict) -> None:
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except OSError:
            raise Gone from None

    def receive(self) -> dict:
        try:
            # The side of the answer has all the time that the check gives it.
            while self.waiting is not None and not self.connection.poll(0.2):
                if not self.waiting() and not self.connection.poll(0):
                    raise Gone
            message = json.loads(self.connection.recv_bytes(MAX_MESSAGE))
        except (EOFError, OSError):
            raise Gone from None
        except (ValueError, RecursionError):
            return {"is": "broken"}
        return message if isinstance(message, dict) else {"is": "broken"}


# --- the side where the answer lives ---------------------------------------------------------------------------


def serve(descriptor: int, make: Callable[[], Any]) -> None:
    """Answer a check's calls until it has seen enough.

    Args:
        descriptor: this process's end of the pipe to the check.
        make: returns the answer; what it raises is reported.
    """
    from multiprocessing.connection import Connection

    # A copy: the pipe serves the next exercise too.
    with Connection(os.dup(descriptor)) as connection:
        end = _End(connection)

        def remote(number: int, name: str) -> Callable:
            def function(*args, **kwargs):
                end.send({"is": "callback", "f": number, "args": codec.encode(args), "kwargs": codec.encode(kwargs)})
                reply = end.receive()
                if "raised" in reply:
                    raise RuntimeError(reply["raised"])
                return codec.decode(reply["value"])

            return function

        codec = Codec(remote)
        graphs: list[tuple[list, list]] = []
        with suppress(Gone):
            _reply(end, lambda: {"is": "answer", "value": codec.encode(make())})
            while (request := end.receive()).get("do") in ("call", "gradient"):
                _reply(end, partial(_call if request["do"] == "call" else _gradient, codec, request, graphs))


def _reply(end: _End, make: Callable[[], dict]) -> None:
    try:
        message = make()
    except Gone:
        raise
    except BaseException as error:
        message = _report(error)
    end.send(message)


def _report(error: BaseException) -> dict:
    frames = list(traceback.extract_tb(error.__traceback__))
    frames = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent] or frames
    last = frames[-1] if frames else None
    return {
        "is": "raise",
        "type": type(error).__name__[:80],
        "bases": [base.__name__ for base in type(error).__mro__],
        "text": in_words(str, error)[:MAX_TEXT],
        "number": last.lineno if last else 0,
        "line": (last.line or "…")[:300] if last else "…",
    }


def _call(codec: Codec, request: dict, graphs: list) -> dict:
    inputs: list = []
    args = [codec.decode(part, inputs) for part in request["args"]]
    kwargs = {name: codec.decode(part, inputs) for name, part in request["kwargs"].items()}
    before = mutable_parts([codec.encode(value) for value in (*args, *kwargs.values())])
    # What the check marked as asking for gradients are leaves here as they are there.
    result = codec.functions[request["f"]](*args, **kwargs)
    outputs: list = []
    message = {"is": "return", "value": codec.encode(result, outputs if inputs else None)}
    after = mutable_parts([codec.encode(value) for value in (*args, *kwargs.values())])
    message["after"] = [new if new != old else None for old, new in zip(before, after)]
    if outputs:
        graphs.append((inputs, outputs))
        message["graph"] = len(graphs) - 1
    return message


def _gradient(codec: Codec, request: dict, graphs: list) -> dict:
    import torch

    inputs, outputs = graphs[request["graph"]]
    gradients = [codec.decode(part) for part in request["gradients"]]
    pairs = [(output, gradient) for output, gradient in zip(outputs, gradients) if gradient is not None]
    found = torch.autograd.grad(
        [output for output, _ in pairs],
        inputs,
        [gradient for _, gradient in pairs],
        allow_unused=True,
        retain_graph=True,
    )
    return {"is": "gradients", "value": [codec.encode(gradient) for gradient in found]}


# --- the side of the check -------------------------------------------------------------------------------------


class Asker:
    """The check's side of one conversation.

    Args:
        connection: the pipe to the answer.
        waiting: says, a few times a second, whether it is worth while to wait on.

    Attributes:
        raised: the last error that the answer raised: type, text, line number, line.
    """

    def __init__(self, connection, waiting: Callable[[], bool]):
        self.end = _End(connection, waiting)
        self.codec = Codec(self._function)
        self.raised: tuple[str, str, int, str] | None = None

    def answer(self) -> Any:
        """Return the answer: a value, or a function that calls the student's.

        Raises:
            Exception: what making the answer raised.
            Gone: if the other side has ended.
        """
        return self.codec.decode(self._ask("answer")["value"])

    def close(self) -> None:
        with suppress(Gone):
            self.end.send({"do": "end"})

    def _function(self, number: int, name: str) -> Callable:
        def function(*args, **kwargs):
            return self._call(number, args, kwargs)

        function.__name__ = name or "function"
        return function

    def _call(self, number: int, args: tuple, kwargs: dict) -> Any:
        inputs: list = []
        self.end.send(
            {
                "do": "call",
                "f": number,
                "args": [self.codec.encode(part, inputs) for part in args],
                "kwargs": {name: self.codec.encode(part, inputs) for name, part in kwargs.items()},
            }
        )
        reply = self._ask("return")
        after = reply.get("after")
        for old, new in zip((*args, *kwargs.values()), after if isinstance(after, list) else []):
            if new is not None:
                with suppress(TypeError, ValueError, AttributeError, RuntimeError):
                    change(old, self.codec.decode(new))
        tracked: dict = {}
        if inputs and "graph" in reply:
            tracked = self._graph(reply, inputs)
        return self.codec.decode(reply["value"], tracked)

    def _graph(self, reply: dict, inputs: list) -> dict:
        import torch

        found = remote_outputs(self.codec, reply["value"])
        numbers = sorted(found)

        class Remote(torch.autograd.Function):
            @staticmethod
            def forward(context, *inputs):
                return tuple(found[number] for number in numbers)

            @staticmethod
            def backward(context, *gradients):
                self.end.send(
                    {
                        "do": "gradient",
                        "graph": reply["graph"],
                        "gradients": [self.codec.encode(part) for part in gradients],
                    }
                )
                return tuple(self.codec.decode(part) for part in self._ask("gradients")["value"])

        return dict(zip(numbers, Remote.apply(*inputs)))

    def _ask(self, wanted: str) -> dict:
        while True:
            reply = self.end.receive()
            if reply.get("is") == "callback":
                self._called_back(reply)
            elif reply.get("is") == "raise":
                raise self._error(reply)
            elif reply.get("is") == wanted:
                return reply
            else:
                # A kernel that speaks otherwise is not worth listening to.
                raise Gone

    def _called_back(self, request: dict) -> None:
        try:
            function = self.codec.functions[int(request["f"])]
            args = self.codec.decode(request["args"])
            value = self.codec.encode(function(*args, **self.codec.decode(request["kwargs"])))
        except Exception as error:
            self.end.send({"raised": f"{type(error).__name__}: {error}"[:MAX_TEXT]})
        else:
            self.end.send({"value": value})

    def _error(self, reply: dict) -> Exception:
        name, text = str(reply.get("type"))[:80], str(reply.get("text"))[:MAX_TEXT]
        self.raised = name, text, int(reply.get("number") or 0), str(reply.get("line"))[:300]
        base: type = RuntimeError
        for candidate in reply.get("bases") or ():
            known = getattr(builtins, str(candidate), None)
            if isinstance(known, type) and issubclass(known, Exception | SystemExit):
                base = known
                break
        # Every text is passed on as it is: KeyError would quote it, UnicodeDecodeError wants five arguments.
        kind: Any = type(name if name.isidentifier() else "Error", (base,), {"__str__": lambda self: text})
        return kind.__new__(kind)


# --- before the student's code runs ----------------------------------------------------------------------------


class TooMuchOutput(BaseException):
    """A notebook has written more than it may; ``except Exception`` does not swallow it."""


class _Counted(io.TextIOBase):
    """Takes what is printed, keeps nothing, and ends the cell that prints without end."""

    def __init__(self, limit: int):
        self.left = self.limit = limit

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        self.left -= len(text)
        if self.left < 0:
            # The next cell may print again.
            self.left = self.limit
            raise TooMuchOutput(f"more than {self.limit:,} characters were printed")
        return len(text)


def prepare(*, descriptor: int, memory: int, output: int, file_size: int, processes: int | None) -> None:
    """Put limits on this kernel, for good, and let nobody wait for what it shows.

    Args:
        descriptor: the pipe to the check; programs that the kernel starts do not get it.
        memory: bytes that it may allocate.
        output: characters that may be printed before the cell that prints is ended.
        file_size: bytes of any one file that it writes.
        processes: of the whole user, threads counted; ``None``: no limit.
    """
    os.set_inheritable(descriptor, False)
    with suppress(ImportError):
        import resource

        limits = {"RLIMIT_DATA": memory, "RLIMIT_FSIZE": file_size, "RLIMIT_CORE": 0, "RLIMIT_NPROC": processes}
        for name, value in limits.items():
            kind = getattr(resource, name, None)
            if kind is None or value is None:
                continue
            hard = resource.getrlimit(kind)[1]
            if hard != resource.RLIM_INFINITY:
                value = min(value, hard)
            with suppress(OSError, ValueError):
                resource.setrlimit(kind, (value, value))
    from IPython import get_ipython

    shell = get_ipython()
    sys.stdout = _Counted(output)
    sys.stderr = _Counted(output)
    shell.ast_node_interactivity = "none"
    shell.display_pub.publish = lambda *args, **kwargs: None
    shell._showtraceback = lambda *args, **kwargs: None
    # Nearly every check sends tensors: loading torch is no part of the time that an exercise has.
    with suppress(ImportError):
        import torch  # noqa: F401
