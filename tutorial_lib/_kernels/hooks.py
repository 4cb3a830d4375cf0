"""Hooks on a model for the length of a context, and on nothing else: :func:`attached` equals :func:`plain_attached`.

But PyTorch copies hooks with the layer that they hang on, and a copy that was made inside would go on mixing, or stay
perturbed. Here a copy is a plain model: a hooked layer leaves the hooks out of its state, whether it is copied by
``copy.deepcopy`` or written by ``pickle`` or ``torch.save``; in a class that copies itself in a way of its own, the
copied hook does nothing.
"""

import gc
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def plain_attached(layer, function):
    """A hook after a layer, for the length of a context."""
    handle = layer.register_forward_hook(function)
    try:
        yield
    finally:
        handle.remove()


#: Ends an error about a hook that did not run.
COMPILED = (
    "; if the model was compiled by torch.compile and has run before, its compiled code calls no hook: run it "
    "uncompiled here, as under torch.compiler.set_stance('force_eager')"
)

_HOOKS = "_forward_pre_hooks", "_forward_hooks"
_FLAGS = "_forward_pre_hooks_with_kwargs", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"


class Hook:
    """A function as a hook of a layer, until it is removed; a copy of it does nothing."""

    def __init__(self, function: Callable | None = None, owner: object = None):
        self.function, self.owner = function, owner

    def __call__(self, *args):
        return None if self.function is None else self.function(*args)

    def __reduce__(self):  # what copies and pickles go by
        return Hook, ()


class _State:
    """A layer's ``__getstate__``, for as long as it is hooked: what a copy is made from, without our hooks."""

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self):
        state = type(self.module).__getstate__(self.module)
        if isinstance(state, tuple):  # of a class with slots: their values come second
            return self._plain(state[0]), *state[1:]
        return self._plain(state)

    @staticmethod
    def _plain(state):
        if not isinstance(state, dict):
            return state
        state = {name: value for name, value in state.items() if not isinstance(value, _State)}
        ours = {key for name in _HOOKS for key, hook in state.get(name, {}).items() if isinstance(hook, Hook)}
        for name in {*_HOOKS, *_FLAGS} & state.keys():
            state[name] = OrderedDict((key, value) for key, value in state[name].items() if key not in ours)
        return state


@contextmanager
def attached(owner: object, *wanted: tuple[nn.Module, str, Callable]) -> Iterator[None]:
    """Hook functions to layers: ``"before"`` a call, ``"after"`` it, or after it though it has raised (``"finally"``).

    A function before gets (module, args), one after (module, args, kwargs, output), one at last (module, args, output).
    """
    hooks, handles = [], []
    try:
        for module, when, function in wanted:
            hook = Hook(function, owner)
            if when == "before":
                handles.append(module.register_forward_pre_hook(hook))
            else:
                options = {"with_kwargs": True} if when == "after" else {"always_call": True}
                handles.append(module.register_forward_hook(hook, **options))
            hooks.append(hook)
            if _copied_by_state(type(module)):
                module.__dict__["__getstate__"] = _State(module)
        yield
    finally:
        for hook, handle in zip(hooks, handles):
            handle.remove()
            hook.function = None  # compiled code may hold on to the hook
        for module, _, _ in wanted:
            if not owners(module):
                module.__dict__.pop("__getstate__", None)


def _copied_by_state(kind: type) -> bool:
    own = kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
    return not own and not hasattr(kind, "__deepcopy__")


def owners(module: nn.Module) -> list[object]:
    """Whose hooks hang on a layer, of those that :func:`attached` has put there."""
    hooks = [hook for name in _HOOKS for hook in getattr(module, name).values()]
    return [hook.owner for hook in hooks if isinstance(hook, Hook) and hook.function is not None]


@contextmanager
def plain_copy(weight: nn.Parameter, twin: nn.Parameter) -> Iterator[None]:
    """Inside the context a copy of the weight is a copy of its twin."""

    def deepcopy(memo: dict):
        if id(weight) not in memo:
            memo[id(weight)] = type(twin).__deepcopy__(twin, memo)
        return memo[id(weight)]

    own = {"__deepcopy__": deepcopy, "__reduce_ex__": twin.__reduce_ex__}
    vars(weight).update(own)
    try:
        yield
    finally:
        for name in own:
            del vars(weight)[name]


def has_compiled() -> bool:
    """Whether ``torch.compile`` has compiled anything in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return dynamo is not None and dynamo.counters["frames"]["total"] > 0


def is_compiled(model: nn.Module) -> bool:
    """Whether ``torch.compile`` was given the model, a part of it, or what it is a part of. Slow: it looks far."""
    if not has_compiled():
        return False
    parts, wrapper = set(model.modules()), sys.modules["torch._dynamo.eval_frame"].OptimizedModule
    modules = (each for each in gc.get_objects() if issubclass(type(each), nn.Module))
    compiled = (each for each in modules if type(each) is wrapper or vars(each).get("_compiled_call_impl"))
    return any(not parts.isdisjoint(each.modules()) for each in compiled)


def unseen(model: nn.Module, message: str) -> None:
    """A body has ended without a call of a hook: an error if the model is compiled.

    If it is not, the body may not have called it, which is no mistake; but a compiled function may have.
    """
    if is_compiled(model):
        raise RuntimeError(message + COMPILED)
    if has_compiled():
        warnings.warn(message + COMPILED, stacklevel=5)


def lies_in_encoder(model: nn.Module, module: nn.Module | None) -> bool:
    """Whether a layer is a part of a layer of ``nn.TransformerEncoder``."""
    encoders = [part for part in model.modules() if isinstance(part, nn.TransformerEncoder)]
    return any(part is module for encoder in encoders for part in encoder.layers.modules())


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """A module as in ``eval`` mode; afterwards each of its parts is in its own mode again. What is no module stays."""
    modes = {part: part.training for part in model.modules()} if isinstance(model, nn.Module) else {}
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def padded_attention(wanted: bool) -> Iterator[None]:
    """``nn.TransformerEncoder`` hands padded tensors from layer to layer, not nested ones, which have no gradients."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(before and not wanted)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
