"""Values that travel between a check and an answer, as JSON data and back.

What travels is plain data, read without pickle: numbers, texts, lists, tuples, dicts, sets, NumPy arrays, tensors, the
state of random generators, and a claim with its verdict. A function travels as a number by which the other side calls
it; anything else as a name, equal to nothing.
"""

import base64
import random
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

_PLAIN = (bool, int, float, str)
_MUTABLE = ("list", "dict", "set", "array", "tensor", "random", "generator", "rng")
_DTYPES = {
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
}


class Opaque:
    """Something that cannot travel: only what it is called is known, and it equals nothing."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text

    __hash__ = object.__hash__

    def __eq__(self, other) -> bool:
        return False


class Codec:
    """Turns values into JSON data and back.

    Args:
        remote: returns a function of this side that calls the other side's function of this number and name.

    Attributes:
        functions: this side's, by the number under which the other side knows them.
    """

    def __init__(self, remote: Callable[[int, str], Any]):
        self.functions: list[Callable] = []
        self.remote = remote

    def encode(self, value: Any, tracked: list | None = None) -> Any:
        """Return a value as JSON data.

        Args:
            value: any.
            tracked: gets the tensors that ask for a gradient; they travel with their place in it.
        """
        kind = type(value)
        if value is None or kind in _PLAIN:
            return value
        if value is Ellipsis:
            return {"t": "ellipsis"}
        if (coded := self._numpy(value) or self._torch(value, tracked)) is not None:
            return coded
        if isinstance(value, bool | int | float | str):
            return next(base(value) for base in _PLAIN if isinstance(value, base))
        for base, name in ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "set")):
            if isinstance(value, base):
                return {"t": name, "v": [self.encode(part, tracked) for part in value]}
        if isinstance(value, dict):
            return {"t": "dict", "v": [[self.encode(key), self.encode(part, tracked)] for key, part in value.items()]}
        claims = sys.modules.get("tutorial_lib.lab.claims")
        if claims is not None and isinstance(value, claims.Claim):
            return {"t": "claim", "v": self.encode(asdict(value))}
        if isinstance(value, complex):
            return {"t": "complex", "v": [value.real, value.imag]}
        if isinstance(value, range | slice):
            return {"t": kind.__name__, "v": [self.encode(part) for part in (value.start, value.stop, value.step)]}
        if isinstance(value, random.Random):
            return {"t": "random", "v": self.encode(value.getstate())}
        if callable(value):
            self.functions.append(value)
            return {"t": "function", "v": len(self.functions) - 1, "name": str(getattr(value, "__name__", ""))[:80]}
        return {"t": "opaque", "v": in_words(repr, value)[:300]}

    def _numpy(self, value: Any) -> dict | None:
        numpy = sys.modules.get("numpy")
        if numpy is None:
            return None
        if isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biufcUS":
            name = "array" if isinstance(value, numpy.ndarray) else "scalar"
            data = numpy.ascontiguousarray(value).tobytes()
            return {"t": name, "dtype": value.dtype.str, "shape": list(value.shape), "v": _pack(data)}
        if isinstance(value, numpy.random.Generator):
            state = value.bit_generator.state
            return {"t": "rng", "v": self.encode(state)}
        return None

    def _torch(self, value: Any, tracked: list | None) -> dict | None:
        torch = sys.modules.get("torch")
        if torch is None:
            return None
        if isinstance(value, torch.Generator):
            return {"t": "generator", "v": self.encode(value.get_state())}
        if not isinstance(value, torch.Tensor):
            return None
        flat = value.detach().cpu().contiguous().reshape(-1)
        data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        coded: dict[str, Any] = {
            "t": "tensor",
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "v": _pack(data),
        }
        if tracked is not None and value.requires_grad:
            tracked.append(value)
            coded["grad"] = len(tracked) - 1
        return coded

    def decode(self, coded: Any, tracked: dict | list | None = None) -> Any:
        """Return the value of JSON data.

        Args:
            coded: from ``encode``.
            tracked: a list gets the tensors that ask for a gradient; a mapping gives them, by their place.
        """
        if coded is None or type(coded) in _PLAIN:
            return coded
        kind, value = coded["t"], coded.get("v")
        if kind in ("list", "tuple", "set"):
            return {"list": list, "tuple": tuple, "set": set}[kind](self.decode(part, tracked) for part in value)
        if kind == "claim":
            from tutorial_lib.lab.claims import Claim

            return Claim(**self.decode(value))
        if kind == "dict":
            return {self.decode(key): self.decode(part, tracked) for key, part in value}
        if kind == "ellipsis":
            return Ellipsis
        if kind == "complex":
            return complex(*value)
        if kind in ("range", "slice"):
            return {"range": range, "slice": slice}[kind](*(self.decode(part) for part in value))
        if kind == "random":
            generator = random.Random()
            generator.setstate(self.decode(value))
            return generator
        if kind == "function":
            return self.remote(int(value), str(coded.get("name", "")))
        if kind == "opaque":
            return Opaque(str(value))
        return self._decode_numbers(kind, coded, tracked)

    def _decode_numbers(self, kind: str, coded: dict, tracked: dict | list | None) -> Any:
        import numpy

        if kind in ("array", "scalar"):
            array = numpy.frombuffer(base64.b64decode(coded["v"]), dtype=numpy.dtype(coded["dtype"]))
            array = array.reshape(coded["shape"]).copy()
            return array if kind == "array" else array[()]
        if kind == "rng":
            state = self.decode(coded["v"])
            names = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
            if state["bit_generator"] not in names:
                raise ValueError(f"no such generator: {state['bit_generator']!r}")
            source = getattr(numpy.random, state["bit_generator"])()
            source.state = state
            return numpy.random.Generator(source)
        import torch

        if kind == "generator":
            return torch.Generator().set_state(self.decode(coded["v"]))
        if kind != "tensor" or coded["dtype"] not in _DTYPES:
            raise ValueError(f"cannot read {kind!r}")
        data = bytearray(base64.b64decode(coded["v"]))
        dtype = getattr(torch, coded["dtype"])
        tensor = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        tensor = tensor.reshape(coded["shape"]).clone()
        if "grad" in coded and isinstance(tracked, dict):
            return tracked[coded["grad"]]
        if "grad" in coded and isinstance(tracked, list):
            tracked.append(tensor.requires_grad_())
        return tensor


def _pack(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def in_words(function: Callable[[Any], str], value: Any) -> str:
    """Return ``repr`` or ``str`` of a value, whatever that does."""
    try:
        return str(function(value))
    except Exception:
        return f"<{type(value).__name__}>"


def mutable_parts(values: list) -> list:
    """Return coded values, with ``None`` for those that a function cannot change in place."""
    return [part if isinstance(part, dict) and part.get("t") in _MUTABLE else None for part in values]


def change(old: Any, new: Any) -> None:
    """Make ``old`` hold what ``new`` holds, in place, where both are of one kind and shape."""
    if isinstance(old, list):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)
    elif isinstance(old, random.Random):
        old.setstate(new.getstate())
    elif hasattr(old, "bit_generator"):
        old.bit_generator.state = new.bit_generator.state
    elif hasattr(old, "set_state"):
        old.set_state(new.get_state())
    elif old.shape == new.shape and old.dtype == new.dtype:
        if hasattr(old, "detach"):
            old.detach().copy_(new.detach())
        else:
            old[...] = new


def remote_outputs(codec: Codec, coded: Any) -> dict[int, Any]:
    """Return the tensors in what a call gave back through which gradients flow, by their number on the other side.

    Args:
        codec: reads them.
        coded: the value as it came.
    """
    if isinstance(coded, dict):
        if coded.get("t") == "tensor" and "grad" in coded:
            return {coded["grad"]: codec.decode({key: part for key, part in coded.items() if key != "grad"})}
        return remote_outputs(codec, coded.get("v"))
    found: dict[int, Any] = {}
    for part in coded if isinstance(coded, list) else ():
        found |= remote_outputs(codec, part)
    return found
