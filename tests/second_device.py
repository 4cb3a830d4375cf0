"""A second device for machines that have one only: CPU numbers behind tensors that say ``standin:0``.

PyTorch keeps one place for a device of one's own (PrivateUse1). Here it gets tensors that hold a CPU tensor inside and
compute on that, so that every number is exactly the CPU's. What a GPU would refuse is refused, in the GPU's words:

- operations that mix devices; a CPU tensor is let in where CUDA lets it in: as a single number beside elementwise
  operations, as an index, in copies;
- ``.numpy()``, and with it everything that draws, saves or fits what NumPy can read;
- a generator of another device than the numbers drawn with it; ``torch.Generator("standin")`` makes one of this device.

``.to("standin")``, ``device="standin"``, ``.cpu()``, ``.item()``, modules, autograd and optimizers work as with any
device. What it cannot show: CUDA's own kernels (their rounding, their order of sums, the types they lack), its
asynchrony, its memory, its speed, and the branches that PyTorch takes for CUDA by name, such as fused optimizers.

``python tests/second_device.py notebooks/NN_topic.ipynb`` runs a chapter on it, cell by cell, and tells which cells
fail and where their heavy operations ran. It takes up to ten times a plain run.

Importing this module registers the device for the whole process. It must come before the first backward pass, since
autograd then counts the devices once and for all: test modules import it at their head.
"""

import copy
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

try:
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as _setup
except ImportError:
    _setup = None

NAME = "standin"
WHY_NOT = "" if _setup else f"torch {torch.__version__} has no devices written in Python"

_CPU = torch.device("cpu")
_RealGenerator = torch.Generator
_has_float64 = True


class Elsewhere(torch.Tensor):
    """A tensor on the stand-in; ``inner`` holds its numbers on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        if inner.dtype == torch.float64 and not _has_float64:
            raise TypeError(
                f"Cannot convert a {NAME} Tensor to float64 dtype as the framework doesn't support float64."
            )
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        self = torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=torch.device(NAME, 0), **layout)
        self.inner = inner
        return self

    def __init__(self, inner: torch.Tensor):
        pass

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"{str(self.inner)[:-1]}, device='{NAME}:0')"

    def __deepcopy__(self, memo: dict) -> "Elsewhere":
        if id(self) not in memo:
            new = Elsewhere(self.inner.clone())
            is_parameter = isinstance(self, nn.Parameter)
            new = nn.Parameter(new, self.requires_grad) if is_parameter else new.requires_grad_(self.requires_grad)
            new.grad = copy.deepcopy(self.grad, memo)
            memo[id(self)] = new
        return memo[id(self)]

    def numpy(self, *, force: bool = False):
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(
            f"can't convert {NAME}:0 device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.ndim == 0 else str(self), spec)

    def tolist(self):
        return self.inner.tolist()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        _refuse_mixtures(func, args, kwargs)
        wanted = kwargs.get("device")
        if wanted is not None:
            kwargs["device"] = _CPU
        kwargs.pop("pin_memory", None)
        known = {}

        def unwrap(value):
            if isinstance(value, Elsewhere):
                known[id(value.inner)] = value
                return value.inner
            return value

        def wrap(value):
            # In place and ``out=`` give back the tensor that came; a new wrapper would be another tensor to autograd.
            if not isinstance(value, torch.Tensor) or (wanted is not None and torch.device(wanted).type == "cpu"):
                return value
            return known[id(value)] if id(value) in known else Elsewhere(value)

        inner_args = [_each(unwrap, value) for value in args]
        inner_kwargs = {name: _each(unwrap, value) for name, value in kwargs.items()}
        out = func(*inner_args, **inner_kwargs)
        for inner in [wrapper for wrapper in known.values() if wrapper.shape != wrapper.inner.shape]:
            raise NotImplementedError(f"{func} changed the shape of a tensor in place, {tuple(inner.shape)}")
        return _each(wrap, out)


def _each(function, value):
    """The function of a value, or of each entry of a list: operations nest no deeper."""
    return type(value)(map(function, value)) if type(value) in (list, tuple) else function(value)


# Beside elementwise operations, where CUDA takes single numbers and indices from the CPU.
_TAKE_SINGLES = {"fill_", "fill", "masked_fill", "masked_fill_", "index_put", "index_put_", "_index_put_impl_", "where"}
_TAKE_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_MOVE = {"copy_", "_to_copy", "_copy_from", "copy", "set_data", "record_stream"}


def _refuse_mixtures(func, args, kwargs) -> None:
    if all(
        isinstance(a, Elsewhere) or not isinstance(a, torch.Tensor | list | tuple) for a in (*args, *kwargs.values())
    ):
        return  # the usual case, and quick
    name, names, written, singles = _about(func)
    if name in _MOVE:
        return
    given = {**dict(zip(names, args)), **kwargs}
    on_device = bool(names) and isinstance(given.get(names[0]), Elsewhere)
    for argument, is_written in zip(names, written):
        for value in pytree.tree_leaves(given.get(argument)):
            if not isinstance(value, torch.Tensor) or isinstance(value, Elsewhere):
                continue
            if argument == "indices" and name in _TAKE_INDICES and on_device:
                continue
            if not is_written and singles and value.ndim == 0:
                continue
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu! "
                f"(argument {argument} of {name}, shape {tuple(value.shape)})"
            )


@cache
def _about(func) -> tuple[str, list[str], list[bool], bool]:
    """An operation's name, its arguments' names and which of them it writes, and whether it takes single numbers."""
    name, arguments = func.overloadpacket.__name__, func._schema.arguments
    written = [argument.alias_info is not None and argument.alias_info.is_write for argument in arguments]
    singles = torch.Tag.pointwise in func.tags or name in _TAKE_SINGLES
    return name, [argument.name for argument in arguments], written, singles


# --- generators -------------------------------------------------------------------------------------------------------


class _Generator(_RealGenerator):
    """A generator of the stand-in."""

    device = property(lambda self: torch.device(NAME, 0))


class _GeneratorMeta(type):
    def __call__(cls, device="cpu"):
        return _Generator() if torch.device(device).type == NAME else _RealGenerator(device)

    def __instancecheck__(cls, value) -> bool:
        return isinstance(value, _RealGenerator)


class _AnyGenerator(metaclass=_GeneratorMeta):
    """What ``torch.Generator`` is while the stand-in is in use: the type alone cannot be taught a new device."""


class _SameGenerator(TorchFunctionMode):
    """Refuses a generator of one device for numbers on another, in both directions, as PyTorch does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if generator is not None:
            device = kwargs.get("device")
            if device is None and args and isinstance(args[0], torch.Tensor):
                device = args[0].device
            kind = _CPU.type if device is None else torch.device(device).type
            if kind != generator.device.type:
                found = generator.device.type
                raise RuntimeError(f"Expected a '{kind}' device type for generator but found '{found}'")
        return func(*args, **kwargs)


@contextmanager
def in_use(*, float64: bool = True) -> Iterator[torch.device]:
    """Inside, ``torch.Generator("standin")`` works and generators are checked. Yields the device.

    Without ``float64`` the device refuses such numbers, as Apple's GPUs do.
    """
    global _has_float64
    before = torch.Generator, _has_float64
    torch.Generator, _has_float64 = _AnyGenerator, float64
    try:
        with _SameGenerator():
            yield torch.device(NAME, 0)
    finally:
        torch.Generator, _has_float64 = before


# --- registration -----------------------------------------------------------------------------------------------------


def _empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None) -> Elsewhere:
    return Elsewhere(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None) -> Elsewhere:
    return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))


def _made(name: str):
    """A factory of its own for what PyTorch would make empty and then resize, which a wrapper cannot follow."""
    packet, _, overload = name.partition(".")
    make = getattr(getattr(torch.ops.aten, packet), overload or "default")

    def factory(*args, dtype=None, layout=None, device=None, pin_memory=None, **options) -> Elsewhere:
        return Elsewhere(make(*args, dtype=dtype, **options))

    return factory


def _copy_from(values, destination, non_blocking=False):
    """Reached from inside ``torch.tensor``, which lets no Python tensor see what it does."""
    values = values.inner if isinstance(values, Elsewhere) else values
    (destination.inner if isinstance(destination, Elsewhere) else destination).copy_(values)
    return destination


class _Module:
    """What ``torch.standin`` is."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        pass  # without a generator of its own its numbers come from the CPU's

    def get_rng_state(self, device=None) -> torch.Tensor:
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, state, device=None) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


if _setup:
    _setup(NAME, backend_module=_Module())
    _library = torch.library.Library("aten", "IMPL")  # kept: what it registers lives as long as it does
    _library.impl("empty.memory_format", _empty, "PrivateUse1")
    _library.impl("empty_strided", _empty_strided, "PrivateUse1")
    _library.impl("_copy_from", _copy_from, "PrivateUse1")
    for _name in ("arange", "arange.start", "arange.start_step", "randperm", "randperm.generator", "eye", "eye.m"):
        _library.impl(_name, _made(_name), "PrivateUse1")
    for _name in ("linspace", "logspace", "tril_indices", "triu_indices"):
        _library.impl(_name, _made(_name), "PrivateUse1")
    # Autocast passes everything on as it came: the stand-in says nothing about mixed precision.
    _fallback = torch.library.Library("_", "IMPL")
    _fallback.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")


# --- a chapter on the stand-in ----------------------------------------------------------------------------------------


class Ran(NamedTuple):
    """One cell: its id, what it raised, and how many heavy operations ran ``there`` and on the CPU."""

    cell: str
    error: Exception | None
    there: int
    on_cpu: int


_HEAVY = {"convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm", "embedding", "native_batch_norm"}


class _Counted(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.number = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in _HEAVY:
            self.number[any(issubclass(kind, Elsewhere) for kind in types)] += 1
        return func(*args, **(kwargs or {}))


def run_cells(cells: list, *, tell: Callable[[str], None] = lambda line: None) -> list[Ran]:
    """Execute code cells where ``pick_device`` answers with the stand-in; one that fails is told and passed by."""
    import matplotlib.pyplot as plt

    from tutorial_lib import lab
    from tutorial_lib.lab import runtime

    picked, space, ran = runtime.pick_device, {"__name__": "__main__"}, []
    with in_use() as device:
        # Where it is defined, and where a chapter asks for it: a name that was asked for once stays there.
        runtime.pick_device = lab.pick_device = lambda name="auto": device
        try:
            for cell in cells:
                began, counted, error = time.perf_counter(), _Counted(), None
                try:
                    with counted:
                        exec(compile(cell.source, cell.id, "exec"), space)
                except Exception as raised:
                    error = raised
                plt.close("all")
                ran.append(Ran(cell.id, error, counted.number[True], counted.number[False]))
                seconds, said = (
                    time.perf_counter() - began,
                    "" if error is None else f"  {type(error).__name__}: {error}",
                )
                tell(f"{cell.id:32} {seconds:6.1f} s  there {ran[-1].there:7d}  on the CPU {ran[-1].on_cpu:7d}{said}")
        finally:
            runtime.pick_device = lab.pick_device = picked
    return ran


def main(path: str) -> int:
    import nbformat

    os.environ |= {"TUTORIAL_HEADLESS": "1", "MPLBACKEND": "Agg"}
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    ran = run_cells(cells, tell=lambda line: print(line, file=sys.stderr))
    return int(any(cell.error is not None for cell in ran))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
