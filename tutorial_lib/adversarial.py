"""Adversarial training in embedding space: FGM, PGD, FreeLB and VAT for a model of your own.

Words cannot be moved a little, their embeddings can. Each method adds a small perturbation ``r``, chosen to raise a
loss, to what the embedding layer puts out, and lets the model learn from that as well. Two lines do it::

    fgm = FGM(model, "embedding", epsilon=1.0)
    ...
    loss = fgm.backward(lambda: criterion(model(tokens), target)).loss   # in place of loss.backward()

==================  ==========================================  ===========================================
method              added to every ``.grad``                     passes a step (K = ``steps``)
==================  ==========================================  ===========================================
:class:`FGM`        gradient at 0 + gradient at r                2 full
:class:`PGD`        gradient at 0 + gradient at r_K              2 full, K - 1 for the perturbation alone
:class:`FreeLB`     mean of the gradients at r_0 ... r_{K-1}     K full
:class:`VAT`        gradient of KL(p(x) || p(x + r)), no labels  1 forward, K for the perturbation, 1 full
==================  ==========================================  ===========================================

:func:`attack` perturbs a trained model in the same way, to measure how robust it is. All of them hook the layer for
the length of one call, and leave nothing in the model.
"""

import difflib
import math
import numbers
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FGM", "PGD", "VAT", "AdversarialStep", "FreeLB", "attack"]

Mask = Tensor | Sequence[Tensor] | None


class AdversarialStep(NamedTuple):
    """What ``.backward`` returns. Nothing in it requires a gradient."""

    loss: Tensor
    """(): the objective, whose gradient was added to ``.grad``: the method's weighted sum of ``losses``."""
    losses: tuple[Tensor, ...]
    """(): the closure's loss in each pass, in order. FGM, PGD: the first is the clean one. VAT: the regulariser."""
    perturbations: tuple[Tensor, ...]
    """The perturbation of the last pass: one tensor, of the output's shape, for each call of the embedding."""
    skipped: bool
    """A loss or a gradient was not finite. Then ``.grad`` is as before the call; with a scaler it is infinite, so that
    ``scaler.step`` skips the step as well and ``scaler.update`` lowers the scale."""


# --- The perturbation: its direction and its size ---------------------------------------------------------------------


class _Ball:
    """The set of perturbations of size ``epsilon``: one ball a sample, or one for the whole batch."""

    def __init__(self, epsilon: float, kind: str, norm: str, batch_dim: int):
        self.epsilon, self.kind, self.norm, self.batch_dim = epsilon, kind, norm, batch_dim

    def uphill(
        self, gradients: list[Tensor], keep: list[Tensor | None], length: float, *, start: list[Tensor] | None = None
    ) -> list[Tensor] | None:
        """From the start, or 0, a step of the given length along the gradients; None if one is not finite."""
        # A convolution's comes transposed: one copy costs less than norms and sums across the grain.
        gradients = [gradient.contiguous() for gradient in gradients]
        if self.kind == "l2":
            # Seldom are the squares too large or too small for a float, and seldom is what came out of padding nan:
            # look at the norms first. This reads the gradients once and writes the steps once.
            tokens = [_token_norms(gradient, mask) for gradient, mask in zip(gradients, keep)]
            sizes = self._sizes([token if mask is None else token * mask for token, mask in zip(tokens, keep)])
            sound = [torch.isfinite(token).all() for token, mask in zip(tokens, keep) if mask is not None]
            sound += [((size > 1e-15) & (size < 1e15)).all() for size in sizes]
            if torch.stack(sound).all():
                factors = [length / size if mask is None else length / size * mask for size, mask in zip(sizes, keep)]
                if start is None:
                    return [gradient * factor for gradient, factor in zip(gradients, factors)]
                return [torch.addcmul(r, gradient, factor) for r, gradient, factor in zip(start, gradients, factors)]
        gradients = _masked(gradients, keep)
        if not _finite(*gradients):
            return None
        if self.kind == "linf":
            steps = [length * gradient.sign() for gradient in gradients]
        else:
            largest = self._sizes(gradients, order=math.inf)
            gradients = [gradient / _positive(each) for gradient, each in zip(gradients, largest)]
            steps = [length * g / _positive(size) for g, size in zip(gradients, self._sizes(gradients))]
        return steps if start is None else [step.add_(r) for step, r in zip(steps, start)]

    def project(self, values: list[Tensor]) -> list[Tensor]:
        """Put the perturbations back into the ball, in place."""
        if math.isinf(self.epsilon):
            return values
        if self.kind == "linf":
            return [value.clamp_(-self.epsilon, self.epsilon) for value in values]
        sizes = self._sizes(values)
        return [v.mul_(torch.where(size > self.epsilon, self.epsilon / size, 1.0)) for v, size in zip(values, sizes)]

    def random(self, zeros: list[Tensor], keep: list[Tensor | None], size: float, generator) -> list[Tensor]:
        """FreeLB's start: uniform in a cube whose corners have the given size."""
        noise = [torch.empty_like(value, device=generator.device) for value in zeros]
        noise = [own.uniform_(-1, 1, generator=generator).to(value.device) for own, value in zip(noise, zeros)]
        # Counted in the mask, which is small: the norm of ones is the square root of their number.
        keep = [
            v.new_ones(v.shape if v.ndim == 1 else (*v.shape[:-1], 1))
            if mask is None
            else mask.to(v.dtype).expand(*v.shape[:-1], mask.shape[-1])
            for v, mask in zip(zeros, keep)
        ]
        if self.kind == "linf":
            return [value.mul_(size * mask) for value, mask in zip(noise, keep)]
        counts = self._sizes([mask * math.sqrt(v.shape[-1] / mask.shape[-1]) for v, mask in zip(zeros, keep)])
        return [value.mul_(size * mask / _positive(n)) for value, mask, n in zip(noise, keep, counts)]

    def _sizes(self, values: list[Tensor], order: float = 2.0) -> list[Tensor]:
        """One norm a sample, with the dimensions of the values so that it broadcasts; or the same number for all."""
        dims = [() if self.norm == "batch" else self._others(value) for value in values]
        sizes = [
            torch.linalg.vector_norm(value, order, dim=dim or None, keepdim=True)
            if dim or self.norm == "batch"
            else value.abs()
            for value, dim in zip(values, dims)
        ]
        if self.norm == "batch" and len(values) > 1:
            total = torch.linalg.vector_norm(torch.stack([size.flatten() for size in sizes]), order)
            sizes = [total.view_as(size) for size in sizes]
        return sizes

    def _others(self, value: Tensor) -> tuple[int, ...]:
        return tuple(dim for dim in range(value.ndim) if dim != self.batch_dim % value.ndim)


def _token_norms(gradient: Tensor, keep: Tensor | None) -> Tensor:
    """What the norms over samples may be computed from: per token where a mask tells tokens apart."""
    if keep is None or keep.shape[-1] != 1 or gradient.ndim == 1:
        return gradient
    return torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)


def _masked(values: list[Tensor], keep: list[Tensor | None]) -> list[Tensor]:
    # Not a product: what came out of padding may be nan.
    return [value if mask is None else torch.where(mask, value, 0.0) for value, mask in zip(values, keep)]


def _positive(values: Tensor) -> Tensor:
    """The values, with 1 for 0: what may be divided by."""
    return torch.where(values > 0, values, 1.0)


def _finite(*values: Tensor) -> bool:
    """Whether every entry is; one synchronisation with the device."""
    norms = torch.stack([torch.linalg.vector_norm(value.detach()) for value in values])
    if torch.isfinite(norms).all():
        return True
    # Each may be finite, and the sum of their squares not.
    return all(bool(torch.isfinite(value).all()) for value in values)


# --- The place: where the perturbation is added -----------------------------------------------------------------------


class _Activations:
    """Adds a perturbation to the output of a layer, at each of its calls in a pass."""

    def __init__(self, model: nn.Module, module: nn.Module | None, name: str, padding_idx: int | None, mask: Mask):
        self.model, self.module, self.name, self.padding_idx, self.mask = model, module, name, padding_idx, mask
        self.start: Callable | None = None  # makes the perturbation of the first pass, if it is not 0
        self.values: list[Tensor] = []  # the perturbation of this pass, a tensor a call
        self.keep: list[Tensor | None] = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        if self.module is None:
            handle = self.model.register_forward_pre_hook(self._before)
        else:
            handle = self.module.register_forward_hook(self._after, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def begin(self, values: list[Tensor] | None, *, alone: bool) -> None:
        """Values None: the first pass, which sets the shapes. Alone: no weight's gradient will be asked for."""
        self.first, self.alone, self.calls = values is None, alone, 0
        self.values, self.leaves, self.found = [] if values is None else values, [], {}

    def end(self) -> None:
        if not self.calls:
            raise RuntimeError(f"the closure did not call {self.name}: there was nothing to perturb")
        if self.calls != len(self.values):
            raise RuntimeError(
                f"{self.name} was called {len(self.values)} times in the first pass and {self.calls} times in "
                "a later one: the closure must do the same each time"
            )

    def differentiate(self, loss: Tensor) -> list[Tensor | None]:
        if self.alone:  # then autograd computes no weight's gradient
            return list(torch.autograd.grad(loss, self.leaves, allow_unused=True))
        loss.backward()
        found, self.found = self.found, {}
        return [found.get(call) for call in range(self.calls)]

    def _before(self, model: nn.Module, args: tuple) -> tuple:
        if not args:
            raise ValueError("embedding: '' perturbs the model's first positional argument, and the model got none")
        return self._perturb(args[0], None), *args[1:]

    def _after(self, module: nn.Module, args: tuple, kwargs: dict, output) -> Tensor:
        return self._perturb(output, args[0] if args else kwargs.get("input"))

    def _perturb(self, output: Tensor, tokens: Tensor | None) -> Tensor:
        # A checkpointed layer runs again inside backward(); the perturbation would be counted as another call's.
        if torch._C._current_graph_task_id() != -1:
            raise RuntimeError(f"{self.name} is perturbed: it cannot lie under activation checkpointing")
        if not isinstance(output, Tensor) or not output.is_floating_point():
            found = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"{self.name} must give one floating-point tensor to be perturbed, got {found}")
        call, self.calls = self.calls, self.calls + 1
        if self.first:
            self.keep.append(self._keep(output, tokens, call))
            # At least single precision: a perturbation is small, and so is the square of its gradient. Expanded: a
            # tensor of zeros that takes no memory.
            dtype = torch.promote_types(output.dtype, torch.float32)
            value = torch.zeros((), dtype=dtype, device=output.device).expand(output.shape)
            if self.start is not None:
                (value,) = self.start([value], self.keep[-1:])
            self.values.append(value)
        value = self.values[call % len(self.values)]
        if value.shape != output.shape:
            raise RuntimeError(
                f"{self.name} gave {tuple(value.shape)} in the first pass and {tuple(output.shape)} in a later one: "
                "the closure must do the same each time"
            )
        if self.alone or not output.requires_grad:
            value = value.detach().requires_grad_()
            self.leaves.append(value)
        if type(self.module) is not nn.Embedding:  # another layer may hand on its input, or keep what it puts out
            output = output + value.to(output.dtype)
        elif not self.first or self.start is not None or value.requires_grad:
            output = output.add_(value.to(output.dtype))
        if not self.alone and output.requires_grad:
            # On the tensor, not a copy of it: right also if the model goes on to change it in place.
            output.register_hook(lambda gradient: self.found.__setitem__(call, gradient))
        return output

    def _keep(self, output: Tensor, tokens: Tensor | None, call: int) -> Tensor | None:
        """True where the output may be perturbed; None: everywhere."""
        keep = None
        if self.padding_idx is not None and not isinstance(self.module, nn.EmbeddingBag):  # a bag has left it out
            if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.shape != output.shape[:-1]:
                raise ValueError(
                    f"padding_idx needs a layer that is called with tokens, and {self.name} was not; use mask"
                )
            keep = (tokens != self.padding_idx).unsqueeze(-1)
        if self.mask is not None:
            masks = [self.mask] if isinstance(self.mask, Tensor) else list(self.mask)
            if len(masks) > 1 and call >= len(masks):
                raise ValueError(f"mask has {len(masks)} entries, and {self.name} was called more often")
            mask = masks[call if len(masks) > 1 else 0]
            if mask.shape != output.shape[: mask.ndim]:
                raise ValueError(
                    f"mask must have the first dimensions of what {self.name} gives, {tuple(output.shape)}, got "
                    f"{tuple(mask.shape)}; give a list with one mask for each call where they differ"
                )
            mask = mask.to(output.device).bool().view(*mask.shape, *[1] * (output.ndim - mask.ndim))
            keep = mask if keep is None else keep & mask
        return keep


class _Weight:
    """Adds a perturbation to the weight of a layer, and puts the weight back bit for bit."""

    def __init__(self, weight: nn.Parameter, padding_idx: int | None):
        self.weight, self.start, self.keep = weight, None, [None]
        if padding_idx is not None:
            self.keep = [(torch.arange(len(weight), device=weight.device) != padding_idx).unsqueeze(-1)]

    @contextmanager
    def attached(self) -> Iterator[None]:
        weight, frozen, old = self.weight, not self.weight.requires_grad, self.weight.grad
        self.backup = weight.detach().clone()
        try:
            if frozen:
                weight.requires_grad_()
                weight.grad = None
            yield
        finally:
            with torch.no_grad():
                weight.copy_(self.backup)
            if frozen:
                weight.requires_grad_(False)
                weight.grad = old

    def begin(self, values: list[Tensor] | None, *, alone: bool) -> None:
        self.alone, self.values = alone, values
        if values is None:
            dtype = torch.promote_types(self.backup.dtype, torch.float32)
            self.values = [torch.zeros((), dtype=dtype, device=self.backup.device).expand(self.backup.shape)]
            if self.start is None:
                return
            self.values = self.start(self.values, self.keep)
        torch.add(self.backup, self.values[0], out=self.weight.detach())

    def end(self) -> None:
        pass

    def differentiate(self, loss: Tensor) -> list[Tensor | None]:
        if self.alone:
            return list(torch.autograd.grad(loss, [self.weight], allow_unused=True))
        if self.weight.grad is None:
            loss.backward()
            return [self.weight.grad]
        # Not .grad: it also holds what came before.
        found = []
        hook = self.weight.register_hook(found.append)
        try:
            loss.backward()
        finally:
            hook.remove()
        return found or [None]


# --- The passes -------------------------------------------------------------------------------------------------------


class _Passes:
    """Runs the closure several times over, each time at another perturbation and otherwise alike."""

    def __init__(self, model: nn.Module, place: _Activations | _Weight, *, same_dropout: bool, scaler=None):
        self.model, self.place = model, place
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self.losses: list[Tensor] = []
        self._first = True
        self._replay = _random_state(model) if same_dropout else None

    @contextmanager
    def opened(self, *, gradients: bool = True) -> Iterator["_Passes"]:
        parameters = self.model.parameters() if gradients else ()
        self._gradients = [(p, None if p.grad is None else p.grad.clone()) for p in parameters]
        self._statistics = before = _running_statistics(self.model)
        try:
            with self.place.attached():
                yield self
        except BaseException:
            self._restore_gradients()
            self._statistics = before
            raise
        finally:
            for buffer, value in self._statistics:
                # Through .data: a graph that VAT.loss hands out must not mind.
                buffer.data.copy_(value)

    def step(self, closure: Callable, values: list[Tensor] | None, weight: float) -> list[Tensor] | None:
        """Loss and :meth:`backward` at a perturbation."""
        loss = self.run(closure, values, alone=weight == 0)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"closure must return the loss, a scalar tensor, got {found}")
        if not loss.requires_grad:
            raise ValueError("closure must return a loss that requires a gradient, got one without a graph")
        self.losses.append(loss.detach().reshape(()))
        return self.backward(loss, weight)

    def run(self, closure: Callable, values: list[Tensor] | None, *, alone: bool) -> Tensor:
        """What the closure returns at a perturbation; alone: no weight's gradient will be asked for."""
        self.place.begin(values, alone=alone)
        # Weights that autocast has cast and kept would be used again: without a graph, or without the perturbation.
        torch.clear_autocast_cache()
        with nullcontext() if self._first or self._replay is None else _replayed(*self._replay):
            output = closure()
        self.place.end()
        if self._first:  # the later passes leave no trace in the running statistics
            self._statistics, self._first = _running_statistics(self.model), False
        return output

    def backward(self, loss: Tensor, weight: float) -> list[Tensor] | None:
        """The perturbation's gradient, None if the loss is not finite; with a weight also added to every ``.grad``."""
        # Scaled also where only the direction counts: half precision would round its gradients to 0.
        total = loss if weight in (0, 1) else weight * loss
        gradients = self.place.differentiate(total if self.scaler is None else self.scaler.scale(total))
        if all(gradient is None for gradient in gradients):
            raise RuntimeError("the loss does not depend on the embedding: it has no direction to be perturbed in")
        if not _finite(loss):
            return None
        gradients = [torch.zeros_like(v) if g is None else g for v, g in zip(self.place.values, gradients)]
        gradients = [g.to_dense() if g.layout != torch.strided else g for g in gradients]
        return [g.to(torch.promote_types(g.dtype, torch.float32)) for g in gradients]

    def sound(self, gradients: list[Tensor] | None) -> bool:
        """Whether the gradients are finite, outside of padding."""
        if gradients is None:
            return False
        return _finite(*gradients) or _finite(*_masked(gradients, self.place.keep))

    def result(self, weights: Sequence[float]) -> AdversarialStep:
        # Also with weight 0: where the perturbation alone was asked for and the loss was nan, this is nan.
        loss = torch.stack([weight * loss for weight, loss in zip(weights, self.losses)]).sum()
        return AdversarialStep(loss, tuple(self.losses), tuple(v.detach() for v in self.place.values), False)

    def skipped(self, weights: Sequence[float]) -> AdversarialStep:
        self._restore_gradients()
        if self.scaler is not None:
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.full_like(parameter, math.inf)
        return self.result(weights)._replace(skipped=True)

    def _restore_gradients(self) -> None:
        for parameter, old in self._gradients:
            if old is None or parameter.grad is None or parameter.grad.layout != old.layout or old.is_sparse:
                parameter.grad = old
            else:
                parameter.grad.copy_(old)


def _running_statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    normalising = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.training]
    return [(buffer, buffer.clone()) for module in normalising for buffer in module.buffers(recurse=False)]


def _random_state(model: nn.Module) -> tuple[list[int], list[Tensor]]:
    tensors = [*model.parameters(), *model.buffers()]
    devices = sorted({tensor.device.index for tensor in tensors if tensor.device.type == "cuda"})
    return devices, [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


@contextmanager
def _replayed(devices: list[int], states: list[Tensor]) -> Iterator[None]:
    """The same random numbers again; afterwards the generators go on as if they had not been drawn twice."""
    with torch.random.fork_rng(devices=devices):
        torch.set_rng_state(states[0])
        for device, state in zip(devices, states[1:]):
            torch.cuda.set_rng_state(state, device)
        yield


# --- The methods ------------------------------------------------------------------------------------------------------


class _Method:
    """What the methods have in common: where they perturb, how far, and what stays the same between passes."""

    def __init__(
        self, model, embedding, *, epsilon, space, norm, ball, batch_dim, padding_idx, same_dropout, unbounded=False
    ):
        self.model, self.module, self.name = model, *_find(model, embedding)
        epsilon = _number("epsilon", epsilon, least=0.0, bounded=not unbounded)
        _choice("space", space, ("activation", "weight"))
        _choice("ball", ball, ("l2", "linf"))
        norm = ("sample" if space == "activation" else "batch") if norm is None else norm
        _choice("norm", norm, ("sample", "batch"))
        if isinstance(batch_dim, bool) or not isinstance(batch_dim, numbers.Integral):
            raise ValueError(f"batch_dim must be an integer, got {batch_dim!r}")
        if space == "weight":
            if norm == "sample":
                raise ValueError("norm='sample' needs space='activation': all samples share one weight")
            if not isinstance(getattr(self.module, "weight", None), nn.Parameter):
                raise ValueError(f"space='weight' needs a layer with a weight, and {self.name} has none")
        self.space, self.same_dropout = space, bool(same_dropout)
        self.padding_idx = getattr(self.module, "padding_idx", None) if padding_idx is None else padding_idx
        self._ball = _Ball(epsilon, ball, norm, int(batch_dim))

    @property
    def epsilon(self) -> float:
        """The size of the perturbation; it may be changed between steps."""
        return self._ball.epsilon

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self._ball.epsilon = _number("epsilon", value, least=0.0, bounded=not isinstance(self, FreeLB))

    def _passes(self, mask: Mask, scaler=None) -> _Passes:
        if self.space == "activation":
            place = _Activations(self.model, self.module, self.name, self.padding_idx, mask)
        elif mask is not None:
            raise ValueError("mask needs space='activation': a weight has no positions; use padding_idx")
        else:
            place = _Weight(self.module.weight, self.padding_idx)
        return _Passes(self.model, place, same_dropout=self.same_dropout, scaler=scaler)

    def _ascend(self, passes: _Passes, gradients: list[Tensor] | None, alpha: float, start=None) -> list[Tensor] | None:
        """The next perturbation, from the pass's own or from 0; None if there is no finite gradient."""
        if gradients is None:
            return None
        if start is None:  # as long as it will be: nothing to project
            return self._ball.uphill(gradients, passes.place.keep, min(alpha, self.epsilon))
        start = [value.detach() for value in start]
        values = self._ball.uphill(gradients, passes.place.keep, alpha, start=start)
        return None if values is None else self._ball.project(values)


class PGD(_Method):
    r"""Projected gradient descent: train on the clean batch and on the end of K steps uphill inside an ε-ball.

    .. math:: r_0 = 0, \qquad r_{t+1} = \Pi_{\|r\| \le \epsilon}
              \Big( r_t + \alpha \frac{g_t}{\|g_t\|} \Big), \qquad g_t = \nabla_r L(x + r_t)

    :meth:`backward` adds ``clean_weight`` :math:`\nabla_\theta L(x)` + ``adversarial_weight``
    :math:`\nabla_\theta L(x + r_K)` to ``.grad``. The passes between need the perturbation's gradient alone and are
    cheaper than a training step. Madry et al. train on the second term only (``clean_weight=0``); the sum is what the
    text literature made of it, and its gradient is about twice as long: compare with a doubled learning rate, or
    set both weights to 0.5.

    Args:
        model: the model; its parameters' ``.grad`` are added to.
        embedding: where to perturb: a submodule, or its exact name in ``model.named_modules()``. Any layer that returns
            one floating-point tensor will do; ``""`` is the model's first positional argument (images, features).
            ``None``: what ``model.get_input_embeddings()`` returns if there is such a method, else the model's only
            ``nn.Embedding`` or ``nn.EmbeddingBag``.
        epsilon: radius of the ball, at least 0. The clean embedding of a sequence of n tokens and width d has a norm
            of about sqrt(n d).
        alpha: length of a step; ``None``: 2.5 ``epsilon`` / ``steps``, enough to reach the border and move along it.
        steps: K, at least 1.
        space: ``"activation"`` perturbs each occurrence of a token by itself, as the papers do. ``"weight"`` perturbs
            the layer's weight, as popular code does: all occurrences of a word share one perturbation, and a tied
            output layer is perturbed too.
        norm: ``"sample"``: each sample has a ball of its own (at each call of the layer). ``"batch"``: one ball for all
            samples and calls. ``None``: ``"sample"`` for activations, ``"batch"`` for weights, which know no samples.
        ball: ``"l2"``, or ``"linf"`` with :math:`\alpha\, sign(g)` as a step (FGSM; ``norm`` then has no effect).
        batch_dim: the dimension of the layer's output that counts samples.
        padding_idx: the token that is never perturbed; ``None``: the layer's own ``padding_idx`` if it has one.
        same_dropout: draw the same dropout masks in all passes (CPU and CUDA generators), so that the direction belongs
            to the network that is trained. Afterwards the generators stand where one plain step leaves them.
        clean_weight: weight of the clean loss, at least 0. At 0 the clean pass, too, needs no weight's gradient.
        adversarial_weight: weight of the adversarial loss, above 0.

    Raises:
        ValueError: an unknown or ambiguous ``embedding`` (the candidates are named), or an argument out of range.

    Warns:
        UserWarning: if ``alpha * steps < epsilon``: the projection can then never act, and ``epsilon`` means nothing.

    References:
        Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018 (arXiv:1706.06083),
        section 2.1.

    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    >>> pgd = PGD(model, "0", epsilon=0.5, steps=3)
    >>> step = pgd.backward(lambda: F.cross_entropy(model(torch.tensor([[1, 2, 3]])), torch.tensor([1])))
    >>> [round(r.norm().item(), 4) for r in step.perturbations], len(step.losses)
    ([0.5], 4)
    """

    def __init__(
        self,
        model: nn.Module,
        embedding: nn.Module | str | None = None,
        *,
        epsilon: float = 1.0,
        alpha: float | None = None,
        steps: int = 3,
        space: str = "activation",
        norm: str | None = None,
        ball: str = "l2",
        batch_dim: int = 0,
        padding_idx: int | None = None,
        same_dropout: bool = True,
        clean_weight: float = 1.0,
        adversarial_weight: float = 1.0,
    ):
        super().__init__(
            model,
            embedding,
            epsilon=epsilon,
            space=space,
            norm=norm,
            ball=ball,
            batch_dim=batch_dim,
            padding_idx=padding_idx,
            same_dropout=same_dropout,
        )
        self.steps = _count("steps", steps, least=1)
        self.alpha = None if alpha is None else _number("alpha", alpha, least=0.0, strict=True)
        self.clean_weight = _number("clean_weight", clean_weight, least=0.0)
        self.adversarial_weight = _number("adversarial_weight", adversarial_weight, least=0.0, strict=True)
        if self.alpha is not None and self.alpha * self.steps < self.epsilon * (1 - 1e-6):
            warnings.warn(
                f"alpha * steps = {self.alpha * self.steps:g} is below epsilon = {self.epsilon:g}: the projection can "
                "never act, and no perturbation comes as far as epsilon",
                stacklevel=2,
            )

    def backward(self, closure: Callable[[], Tensor], *, mask: Mask = None, scaler=None) -> AdversarialStep:
        """Add the gradients of the clean and of the adversarial loss to ``.grad``.

        Args:
            closure: computes the loss from the batch, a scalar, and calls neither ``backward`` nor ``zero_grad``. It is
                called ``steps + 1`` times and must do the same each time; autocast belongs inside it.
            mask: (B, L) what may be perturbed (True or 1), such as an attention mask, besides ``padding_idx``; its
                dimensions are the first ones of the layer's output. A list where the calls of the layer differ.
            scaler: the ``torch.amp.GradScaler`` in use; ``.grad`` then holds scaled gradients, as after
                ``scaler.scale(loss).backward()``.

        Returns:
            :class:`AdversarialStep`. Its ``loss`` requires no gradient, so that a training loop knows that
            ``backward`` was already called (``tutorial_lib.lab.training.fit`` does).

        Raises:
            ValueError: if the closure does not return a loss, or the mask does not fit.
            RuntimeError: if the closure does not use the layer, or uses it differently from pass to pass.
                After any exception, also one of the closure's own, weights and ``.grad`` are as before the call.
        """
        weights = [self.clean_weight, *[0.0] * (self.steps - 1), self.adversarial_weight]
        with self._passes(mask, scaler).opened() as passes:
            values = None
            for k, weight in enumerate(weights):
                gradients = passes.step(closure, values, weight)
                if k < self.steps:
                    values = self._ascend(passes, gradients, self._alpha(), start=values)
                if values is None or (k == self.steps and not passes.sound(gradients)):
                    return passes.skipped(weights)
                del gradients  # their memory is the next pass's
            return passes.result(weights)

    def _alpha(self) -> float:
        return 2.5 * self.epsilon / self.steps if self.alpha is None else self.alpha


class FGM(PGD):
    r"""Fast gradient method: train on the clean batch and on one step uphill of length ε.

    .. math:: r = \epsilon \frac{g}{\|g\|_2}, \qquad g = \nabla_r L(x)

    :meth:`backward` adds ``clean_weight`` :math:`\nabla_\theta L(x)` + ``adversarial_weight``
    :math:`\nabla_\theta L(x + r)` to ``.grad``: two full passes, and with weights 1 and 1 a gradient about twice as
    long as the plain one. ``r`` is a constant: nothing is differentiated through it. With ``ball="linf"`` it is
    FGSM's :math:`\epsilon\, sign(g)`; Goodfellow et al. weight both terms by 0.5.

    Args:
        model, embedding, epsilon, space, norm, ball, batch_dim, padding_idx, same_dropout: as for :class:`PGD`.
        clean_weight, adversarial_weight: as for :class:`PGD`.

    Raises:
        ValueError: as :class:`PGD`.

    References:
        Miyato, Dai, Goodfellow, Adversarial Training Methods for Semi-Supervised Text Classification, ICLR 2017
        (arXiv:1605.07725), section 3. Goodfellow, Shlens, Szegedy, Explaining and Harnessing Adversarial Examples,
        ICLR 2015 (arXiv:1412.6572), section 4.

    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    >>> fgm = FGM(model, "0", epsilon=0.5)
    >>> step = fgm.backward(lambda: F.cross_entropy(model(torch.tensor([[1, 2, 3]])), torch.tensor([1])))
    >>> clean, adversarial = step.losses
    >>> bool(adversarial > clean)
    True
    """

    def __init__(
        self,
        model: nn.Module,
        embedding: nn.Module | str | None = None,
        *,
        epsilon: float = 1.0,
        space: str = "activation",
        norm: str | None = None,
        ball: str = "l2",
        batch_dim: int = 0,
        padding_idx: int | None = None,
        same_dropout: bool = True,
        clean_weight: float = 1.0,
        adversarial_weight: float = 1.0,
    ):
        super().__init__(
            model,
            embedding,
            epsilon=epsilon,
            steps=1,
            space=space,
            norm=norm,
            ball=ball,
            batch_dim=batch_dim,
            padding_idx=padding_idx,
            same_dropout=same_dropout,
            clean_weight=clean_weight,
            adversarial_weight=adversarial_weight,
        )

    def _alpha(self) -> float:
        return self.epsilon


class FreeLB(_Method):
    r"""Free large-batch training: K steps uphill from a random start, and the weights learn at each of them.

    .. math:: r_0 \sim \frac{\epsilon_0}{\sqrt{n}} U(-1, 1)^n, \qquad r_{t+1} = \Pi_{\|r\| \le \epsilon}
              \Big( r_t + \alpha \frac{g_t}{\|g_t\|} \Big), \qquad
              \nabla_\theta = \frac1K \sum_{t=0}^{K-1} \nabla_\theta L(x + r_t)

    n counts the entries that may be perturbed: tokens of the sample times width. There is no clean pass; the K passes
    of a step give both the next perturbation and a share of the gradient, whose size is that of a plain step.

    Args:
        model, embedding, space, norm, ball, batch_dim, padding_idx, same_dropout: as for :class:`PGD`. The paper shares
            the dropout mask between the K passes.
        epsilon: radius of the ball; ``math.inf`` never projects (most published configurations).
        alpha: length of a step; ``None``: 2.5 ``epsilon`` / ``steps``.
        steps: K, at least 1.
        init: :math:`\epsilon_0`, the largest norm that the start may have, at most ``epsilon``; ``None``: ``epsilon``.
            0 starts at the clean batch.
        generator: source of the start. On the CPU it gives every device the same numbers, drawn on the CPU and brought
            over; ``None`` draws on the model's device, with a seed from torch's global CPU generator.

    Raises:
        ValueError: as :class:`PGD`; also if ``epsilon`` is infinite and ``alpha`` or ``init`` is not given.

    References:
        Zhu et al., FreeLB: Enhanced Adversarial Training for Natural Language Understanding, ICLR 2020
        (arXiv:1909.11764), algorithm 1 and section 3.3.

    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    >>> freelb = FreeLB(model, "0", epsilon=0.5, steps=3)
    >>> step = freelb.backward(lambda: F.cross_entropy(model(torch.tensor([[1, 2, 3]])), torch.tensor([1])))
    >>> len(step.losses), bool(torch.isclose(step.loss, sum(step.losses) / 3))
    (3, True)
    """

    def __init__(
        self,
        model: nn.Module,
        embedding: nn.Module | str | None = None,
        *,
        epsilon: float = 1.0,
        alpha: float | None = None,
        steps: int = 3,
        init: float | None = None,
        space: str = "activation",
        norm: str | None = None,
        ball: str = "l2",
        batch_dim: int = 0,
        padding_idx: int | None = None,
        same_dropout: bool = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__(
            model,
            embedding,
            epsilon=epsilon,
            space=space,
            norm=norm,
            ball=ball,
            batch_dim=batch_dim,
            padding_idx=padding_idx,
            same_dropout=same_dropout,
            unbounded=True,
        )
        self.steps = _count("steps", steps, least=1)
        self.alpha = None if alpha is None else _number("alpha", alpha, least=0.0, strict=True)
        self.init = None if init is None else _number("init", init, least=0.0)
        self.generator = generator
        if math.isinf(self.epsilon) and (alpha is None or init is None):
            raise ValueError("epsilon = inf needs alpha and init: their defaults are fractions of epsilon")
        if self.init is not None and self.init > self.epsilon:
            raise ValueError(f"init must be at most epsilon, {self.epsilon:g}, got {self.init:g}")

    def backward(self, closure: Callable[[], Tensor], *, mask: Mask = None, scaler=None) -> AdversarialStep:
        """Add the mean of the gradients at the K perturbations to ``.grad``.

        The arguments, the result and the errors are those of :meth:`PGD.backward`; the closure is called ``steps``
        times.
        """
        alpha = 2.5 * self.epsilon / self.steps if self.alpha is None else self.alpha
        size = self.epsilon if self.init is None else self.init
        # Seeded from outside: drawn from the global generator inside the first pass, the start would shift the dropout
        # masks of that pass alone.
        draw = _draws(self.generator)
        passes = self._passes(mask, scaler)
        if size:
            passes.place.start = lambda zeros, keep: self._ball.random(zeros, keep, size, draw(zeros[0].device))
        weights, values = [1 / self.steps] * self.steps, None
        with passes.opened():
            for k, weight in enumerate(weights):
                gradients = passes.step(closure, values, weight)
                if k < self.steps - 1:
                    start = passes.place.values if size else values
                    values = self._ascend(passes, gradients, alpha, start=start)
                    if values is None:
                        return passes.skipped(weights)
                elif not passes.sound(gradients):
                    return passes.skipped(weights)
                del gradients  # their memory is the next pass's
            return passes.result(weights)


class VAT(_Method):
    r"""Virtual adversarial training: predict the same at ``x`` and at the ``x + r`` where the prediction changes most.

    .. math:: R = \frac1B \sum_i KL\big(p(y|x_i) \,\|\, p(y|x_i + r_i)\big), \qquad r = \epsilon d, \qquad
              d \leftarrow \frac{g}{\|g\|_2}, \quad g = \nabla_r KL\big(p(y|x) \,\|\, p(y|x + r)\big)\Big|_{r = \xi d}

    No label is used, so that unlabelled text can be learned from. Near 0 the divergence is
    :math:`\frac12 r^\top H r`; the update is power iteration for the largest eigenvector of H, by finite differences
    of length :math:`\xi`, from a random ``d``. The target p(y|x) is a constant, and so is ``r``.

    Args:
        model, embedding, epsilon, norm, batch_dim, padding_idx, same_dropout: as for :class:`PGD`, in activation space.
            With different dropout masks the divergence is not 0 at r = 0, and the iteration finds something else.
        xi: length of the finite difference, above 0: small beside an embedding, yet not so small that the difference of
            two predictions is rounding (in float32 not below 1e-4).
        steps: power iterations, at least 0. One is what the papers use; 0 leaves ``r`` in a random direction.
        multilabel: the logits are C independent labels: the divergence is the sum of C Bernoulli divergences.
        generator: source of the start. On the CPU it gives every device the same numbers, drawn on the CPU and brought
            over; ``None`` draws on the model's device, with a seed from torch's global CPU generator.

    Raises:
        ValueError: as :class:`PGD`.

    References:
        Miyato et al., Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised
        Learning, TPAMI 2018 (arXiv:1704.03976), sections 3.2 and 3.3. For text: Miyato, Dai, Goodfellow, ICLR 2017
        (arXiv:1605.07725).

    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    >>> vat = VAT(model, "0", epsilon=0.5)
    >>> unlabelled = torch.tensor([[1, 2, 3], [4, 5, 6]])
    >>> regulariser = vat.loss(lambda: model(unlabelled))  # add it to the supervised loss
    >>> bool(regulariser > 0), regulariser.requires_grad
    (True, True)
    """

    def __init__(
        self,
        model: nn.Module,
        embedding: nn.Module | str | None = None,
        *,
        epsilon: float = 1.0,
        xi: float = 0.01,
        steps: int = 1,
        multilabel: bool = False,
        norm: str | None = None,
        batch_dim: int = 0,
        padding_idx: int | None = None,
        same_dropout: bool = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__(
            model,
            embedding,
            epsilon=epsilon,
            space="activation",
            norm=norm,
            ball="l2",
            batch_dim=batch_dim,
            padding_idx=padding_idx,
            same_dropout=same_dropout,
        )
        self.xi = _number("xi", xi, least=0.0, strict=True)
        self.steps = _count("steps", steps, least=0)
        self.multilabel, self.generator = bool(multilabel), generator

    def loss(self, closure: Callable[[], Tensor], *, mask: Mask = None) -> Tensor:
        """The regulariser, to be added to a supervised loss.

        Args:
            closure: computes the logits, (B, C) or (B, C, ...), of labelled or unlabelled inputs; with ``multilabel``
                (..., C). It is called ``steps + 2`` times, the first time without gradients.
            mask: as for :meth:`PGD.backward`.

        Returns:
            (): the mean divergence over samples (and positions), with its graph: call ``backward`` on what it is added
            to. Where the direction is not finite ``r`` is 0, and so is the divergence.

        Raises:
            ValueError, RuntimeError: as :meth:`PGD.backward`; also if the closure does not return logits.
        """
        with self._passes(mask).opened(gradients=False) as passes:
            return self._divergence(passes, closure)[0]

    def backward(
        self, closure: Callable[[], Tensor], *, weight: float = 1.0, mask: Mask = None, scaler=None
    ) -> AdversarialStep:
        """Add ``weight`` times the regulariser's gradient to ``.grad``.

        Args:
            closure, mask: as for :meth:`loss`.
            weight: the regulariser's weight, above 0.
            scaler: as for :meth:`PGD.backward`.

        Returns:
            :class:`AdversarialStep`; ``losses`` holds the unweighted regulariser.
        """
        weight = _number("weight", weight, least=0.0, strict=True)
        with self._passes(mask, scaler).opened() as passes:
            loss, sound = self._divergence(passes, closure)
            passes.losses.append(loss.detach())
            if not sound or not passes.sound(passes.backward(loss, weight)):
                return passes.skipped([weight])
            return passes.result([weight])

    def _divergence(self, passes: _Passes, closure: Callable) -> tuple[Tensor, bool]:
        with torch.no_grad():
            target = self._logits(passes.run(closure, None, alone=True))
        place, draw = passes.place, _draws(self.generator)
        noise = []
        for value in place.values:
            source = draw(value.device)
            noise.append(torch.empty_like(value, device=source.device).normal_(generator=source).to(value.device))
        directions, sound = self._ball.uphill(noise, place.keep, 1.0), True
        for _ in range(self.steps):
            logits = self._logits(passes.run(closure, [self.xi * d for d in directions], alone=True))
            gradients = passes.backward(_kl(target, logits, multilabel=self.multilabel), 0.0)
            found = None if gradients is None else self._ball.uphill(gradients, place.keep, 1.0)
            if found is None:
                directions, sound = [torch.zeros_like(d) for d in directions], False
                break
            directions = found
        logits = self._logits(passes.run(closure, [self.epsilon * d for d in directions], alone=False))
        return _kl(target, logits, multilabel=self.multilabel), sound

    def _logits(self, logits: Tensor) -> Tensor:
        if not isinstance(logits, Tensor) or logits.ndim < 2 or not logits.is_floating_point():
            found = f"{tuple(logits.shape)} {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"closure must return logits, a floating-point tensor (B, C) or (B, C, ...), got {found}")
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


@contextmanager
def attack(
    model: nn.Module,
    embedding: nn.Module | str | None,
    closure: Callable[[], Tensor],
    *,
    epsilon: float,
    steps: int = 1,
    alpha: float | None = None,
    norm: str = "sample",
    ball: str = "l2",
    batch_dim: int = 0,
    padding_idx: int | None = None,
    mask: Mask = None,
) -> Iterator[tuple[Tensor, ...]]:
    r"""Perturb a model's embedding against a loss, to measure how robust the model is.

    Inside the context every forward pass of ``model`` on the same batch has the perturbation added, and on leaving
    it is as it was. The perturbation is that of :class:`FGM` (``steps=1``) or :class:`PGD`. No ``.grad`` is touched,
    and it works under ``torch.no_grad()``. Call ``model.eval()`` before, unless dropout is to be attacked as well.

    Args:
        model, embedding, epsilon, norm, ball, batch_dim, padding_idx: as for :class:`PGD`.
        closure: computes the loss that the attack raises.
        steps: K; 1 is one step of length ``epsilon``.
        alpha: length of a step; ``None``: 2.5 ``epsilon`` / ``steps``, but never beyond the ball.
        mask: as for :meth:`PGD.backward`.

    Yields:
        The perturbation: one tensor for each call of the layer.

    Raises:
        ValueError, RuntimeError: as :class:`PGD` and :meth:`PGD.backward`.
        FloatingPointError: if a loss or gradient is not finite.

    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    >>> tokens, target = torch.tensor([[1, 2, 3]]), torch.tensor([1])
    >>> with torch.no_grad(), attack(model, "0", lambda: F.cross_entropy(model(tokens), target), epsilon=0.1):
    ...     attacked = model(tokens)
    >>> bool(F.cross_entropy(attacked, target) > F.cross_entropy(model(tokens), target))
    True
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method = PGD(
            model,
            embedding,
            epsilon=epsilon,
            alpha=alpha,
            steps=steps,
            norm=norm,
            ball=ball,
            batch_dim=batch_dim,
            padding_idx=padding_idx,
        )
    passes, values = method._passes(mask), None
    with torch.enable_grad(), passes.opened(gradients=False):
        for _ in range(method.steps):
            values = method._ascend(passes, passes.step(closure, values, 0.0), method._alpha(), start=values)
            if values is None:
                raise FloatingPointError("the loss of the attack, or its gradient, is not finite")
    with passes.place.attached():
        passes.place.begin(values, alone=False)
        yield tuple(values)


def _kl(target: Tensor, logits: Tensor, *, multilabel: bool) -> Tensor:
    """KL(p || q) of the distributions behind two tensors of logits, the mean over all but the classes."""
    if multilabel:
        log_p, log_q = F.logsigmoid(target), F.logsigmoid(logits)
        log_not_p, log_not_q = F.logsigmoid(-target), F.logsigmoid(-logits)
        divergence = log_p.exp() * (log_p - log_q) + log_not_p.exp() * (log_not_p - log_not_q)
        return divergence.sum(-1).mean()
    log_p, log_q = target.log_softmax(1), logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()


def _draws(generator: torch.Generator | None) -> Callable[[torch.device], torch.Generator]:
    """The generator that draws for a device, all from one seed: on the device itself, or on that of a given one."""
    home = None if generator is None else generator.device
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=home or "cpu"))
    generators = {}

    def draw(device: torch.device) -> torch.Generator:
        device = home or device
        if device not in generators:
            generators[device] = torch.Generator(device).manual_seed(seed)
        return generators[device]

    return draw


def _find(model: nn.Module, embedding: nn.Module | str | None) -> tuple[nn.Module | None, str]:
    """The layer, None for the model's input; and what to call it in a message."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    modules = dict(model.named_modules(remove_duplicate=False))
    if embedding is None and hasattr(model, "get_input_embeddings"):
        embedding = model.get_input_embeddings()
    if isinstance(embedding, nn.Module):
        for name, module in modules.items():
            if module is embedding:
                return module, f"the layer {name!r}"
        raise ValueError(f"embedding is a {type(embedding).__name__} that is no part of the model")
    if isinstance(embedding, str):
        if embedding == "":
            return None, "the model's first argument"
        if embedding not in modules:
            nearest = difflib.get_close_matches(embedding, [name for name in modules if name], n=8, cutoff=0.0)
            raise ValueError(
                f"embedding: the model has no submodule {embedding!r}; it has, nearest first: {_listed(nearest)}"
            )
        return modules[embedding], f"the layer {embedding!r}"
    if embedding is not None:
        raise ValueError(f"embedding must be a module, its name, or None, got {type(embedding).__name__}")
    found = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    if not found:
        raise ValueError("embedding: the model has no nn.Embedding or nn.EmbeddingBag; name the layer to perturb")
    if len(found) > 1:
        raise ValueError(f"embedding: the model has {len(found)}, name the one to perturb: {_listed(found)}")
    return modules[found[0]], f"the layer {found[0]!r}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}")


def _number(name: str, value: float, *, least: float, strict: bool = False, bounded: bool = True) -> float:
    sound = isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value
    if not sound or value < least or (strict and value == least) or (bounded and math.isinf(value)):
        kind, bound = "finite number" if bounded else "number", "above" if strict else "at least"
        raise ValueError(f"{name} must be a {kind}, {bound} {least:g}, got {value!r}")
    return float(value)


def _count(name: str, value: int, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be an integer, at least {least}, got {value!r}")
    return int(value)
