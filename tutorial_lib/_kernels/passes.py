"""The passes of adversarial training: :class:`Passes` and :class:`Ball` equal :func:`plain_passes`.

But in one pass for the whole batch, in which no weight's gradient is computed where its share is 0; with one dropout
mask for all passes, and running statistics that see the first alone; for gradients too small or too large to be
squared; with a step that is skipped, and leaves no trace, where something is not finite; weights and ``.grad`` as
before after any exception.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from .._arguments import wide
from . import hooks


def plain_passes(words, rest, loss, tokens, target, epsilon, alpha, weights):
    """Adversarial training with autograd alone; each sample climbs on its own.

    Args:
        words: the embedding, with a ``padding_idx``.
        rest: the network behind it: embedded tokens to logits.
        loss: of logits and targets, a mean over samples.
        tokens: (B, L).
        target: (B, ...).
        epsilon: radius of each sample's ball.
        alpha: length of a step.
        weights: one for each pass; the first is at r = 0.

    Returns:
        What is added to ``.grad`` of ``words`` and ``rest``, a tensor for each parameter; and (B, L, D), the
        perturbation of the last pass.
    """
    parameters = [*words.parameters(), *rest.parameters()]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    r = torch.zeros_like(words(tokens))
    for k, weight in enumerate(weights):
        gradients = torch.autograd.grad(loss(rest(words(tokens) + r), target), parameters)
        total = [old + weight * new for old, new in zip(total, gradients)]
        if k == len(weights) - 1:
            return total, r
        for i in range(len(tokens)):
            x = (words(tokens[i : i + 1]) + r[i]).detach().requires_grad_()  # (1, L, D)
            (g,) = torch.autograd.grad(loss(rest(x), target[i : i + 1]), x)
            g[tokens[i : i + 1] == words.padding_idx] = 0
            if g.norm() > 0:
                r[i] = r[i] + alpha * g[0] / g.norm()
                r[i] = r[i] * min(1.0, epsilon / r[i].norm())


# --- The perturbation: its direction and its size ---------------------------------------------------------------------


class Ball:
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
            tokens = [_token_norms(gradient, mask) for gradient, mask in zip(gradients, keep)]  # (B, L, D) -> (B, L, 1)
            sizes = self._sizes([token if mask is None else token * mask for token, mask in zip(tokens, keep)])
            # sizes: (B, 1, 1) each, or (1, 1, 1) for the whole batch
            sound = [torch.isfinite(token).all() for token, mask in zip(tokens, keep) if mask is not None]
            sound += [((size > 1e-15) & (size < 1e15)).all() for size in sizes]
            if torch.stack(sound).all():
                factors = [length / size if mask is None else length / size * mask for size, mask in zip(sizes, keep)]
                if start is None:
                    return [gradient * factor for gradient, factor in zip(gradients, factors)]
                return [torch.addcmul(r, gradient, factor) for r, gradient, factor in zip(start, gradients, factors)]
        gradients = _masked(gradients, keep)
        if not finite(*gradients):
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
        masks = [
            v.new_ones(v.shape if v.ndim == 1 else (*v.shape[:-1], 1))
            if mask is None
            else mask.to(v.dtype).expand(*v.shape[:-1], mask.shape[-1])
            for v, mask in zip(zeros, keep)
        ]
        if self.kind == "linf":
            return [value.mul_(size * mask) for value, mask in zip(noise, masks)]
        counts = self._sizes([mask * math.sqrt(v.shape[-1] / mask.shape[-1]) for v, mask in zip(zeros, masks)])
        return [value.mul_(size * mask / _positive(n)) for value, mask, n in zip(noise, masks, counts)]

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
        if not -value.ndim <= self.batch_dim < value.ndim:
            raise ValueError(
                f"batch_dim must be a dimension of what is perturbed, which has {value.ndim}, got {self.batch_dim}"
            )
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


def finite(*values: Tensor) -> bool:
    """Whether every entry is; one synchronisation with the device."""
    norms = torch.stack([torch.linalg.vector_norm(value.detach()) for value in values])
    if torch.isfinite(norms).all():
        return True
    # Each may be finite, and the sum of their squares not.
    return all(bool(torch.isfinite(value).all()) for value in values)


# --- The place: where the perturbation is added -----------------------------------------------------------------------


class Activations:
    """Adds a perturbation to the output of a layer, at each of its calls in a pass."""

    def __init__(
        self, model: nn.Module, module: nn.Module | None, name: str, padding_idx: int | None, masks: list[Tensor]
    ):
        self.model, self.module, self.name, self.padding_idx, self.masks = model, module, name, padding_idx, masks
        self.fixed = False  # the perturbation is there to stay, and nothing will be differentiated for it
        self.start: Callable | None = None  # makes the perturbation of the first pass, if it is not 0
        self.values: list[Tensor] = []  # the perturbation of this pass, a tensor a call
        self.leaves: list[Tensor] = []  # what its gradient is asked for where it stands alone
        self.found: dict[int, Tensor] = {}  # its gradient where it does not
        self.keep: list[Tensor | None] = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        where = (self.model, "before", self._before) if self.module is None else (self.module, "after", self._after)
        with hooks.attached(self, where):
            yield

    def begin(self, values: list[Tensor] | None, *, alone: bool) -> None:
        """Values None: the first pass, which sets the shapes. Alone: no weight's gradient will be asked for."""
        self.first, self.alone, self.calls = values is None, alone, 0
        self.values, self.leaves, self.found = [] if values is None else values, [], {}

    @contextmanager
    def held(self, values: list[Tensor]) -> Iterator[None]:
        """The perturbation stays for the length of a context."""
        self.fixed = True
        with self.attached():
            self.begin(values, alone=False)
            yield
            if not self.calls:
                missing = f"no pass inside attack called {self.name}: nothing was attacked"
                hooks.unseen(self.model, f"{missing}, and what was measured is the model as it is")

    def end(self) -> None:
        if not self.calls:
            raise RuntimeError(f"the closure did not call {self.name}: there was nothing to perturb{hooks.COMPILED}")
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
        if output.is_nested:
            return self._perturb_rows(output, tokens)
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
        if not self.fixed and (self.alone or not output.requires_grad):
            value = value.detach().requires_grad_()
            self.leaves.append(value)
        if type(self.module) is not nn.Embedding:  # another layer may hand on its input, or keep what it puts out
            output = output + value.to(output.dtype)
        elif not self.first or self.start is not None or value.requires_grad:
            output = output.add_(value.to(output.dtype))
        if not self.alone and not self.fixed and output.requires_grad:
            # On the tensor, not a copy of it: right also if the model goes on to change it in place.
            output.register_hook(lambda gradient: self.found.__setitem__(call, gradient))
        return output

    def _perturb_rows(self, output: Tensor, tokens: Tensor | None) -> Tensor:
        """nn.TransformerEncoder in eval() hands on nested tensors: each row without its padding."""
        lengths = [len(row) for row in output.unbind()]
        size = None if self.first else self.values[self.calls % len(self.values)].shape
        padded = self._perturb(output.to_padded_tensor(0.0, size), tokens)  # [(L_b, D)] -> (B, L, D)
        return torch.nested.as_nested_tensor([row[:length] for row, length in zip(padded, lengths)])

    def _keep(self, output: Tensor, tokens: Tensor | None, call: int) -> Tensor | None:
        """True where the output may be perturbed; None: everywhere."""
        keep = None
        if self.padding_idx is not None and not isinstance(self.module, nn.EmbeddingBag):  # a bag has left it out
            if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.shape != output.shape[:-1]:
                raise ValueError(
                    f"padding_idx needs a layer that is called with tokens, and {self.name} was not; use mask"
                )
            keep = (tokens != self.padding_idx).unsqueeze(-1)  # (B, L) -> (B, L, 1)
        if self.masks:
            if len(self.masks) > 1 and call >= len(self.masks):
                raise ValueError(f"mask must have one entry for each call of {self.name}, got {len(self.masks)}")
            mask = self.masks[call if len(self.masks) > 1 else 0]
            if mask.shape != output.shape[: mask.ndim]:
                raise ValueError(
                    f"mask must have the first dimensions of what {self.name} gives, {tuple(output.shape)}, got "
                    f"{tuple(mask.shape)}; give a list with one mask for each call where they differ"
                )
            mask = mask.to(output.device).bool()
            mask = mask.view(*mask.shape, *[1] * (output.ndim - mask.ndim))  # (B, L) -> (B, L, 1)
            keep = mask if keep is None else keep & mask
        return keep


class Weight:
    """Adds a perturbation to the weight of a layer, and puts the weight back bit for bit."""

    def __init__(self, weight: nn.Parameter, padding_idx: int | None):
        self.weight = weight
        self.start: Callable | None = None
        self.values: list[Tensor] = []
        self.keep: list[Tensor | None] = [None]
        if padding_idx is not None:
            rows = torch.arange(len(weight), device=weight.device)
            self.keep = [(rows != padding_idx).unsqueeze(-1)]  # (V,) -> (V, 1)

    @contextmanager
    def attached(self) -> Iterator[None]:
        weight, frozen, old = self.weight, not self.weight.requires_grad, self.weight.grad
        self.backup = weight.detach().clone()
        try:
            if frozen:
                weight.requires_grad_()
                weight.grad = None
            with hooks.plain_copy(weight, nn.Parameter(self.backup, requires_grad=not frozen)):
                yield
        finally:
            with torch.no_grad():
                weight.copy_(self.backup)
            if frozen:
                weight.requires_grad_(False)
                weight.grad = old

    def begin(self, values: list[Tensor] | None, *, alone: bool) -> None:
        self.alone = alone
        if values is None:
            dtype = torch.promote_types(self.backup.dtype, torch.float32)
            self.values = [torch.zeros((), dtype=dtype, device=self.backup.device).expand(self.backup.shape)]
            if self.start is None:
                return
            self.values = self.start(self.values, self.keep)
        else:
            self.values = values
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
        found: list[Tensor | None] = []
        hook = self.weight.register_hook(found.append)
        try:
            loss.backward()
        finally:
            hook.remove()
        return found or [None]


# --- The passes -------------------------------------------------------------------------------------------------------


class Passes:
    """Runs the closure several times over, each time at another perturbation and otherwise alike."""

    def __init__(
        self, model: nn.Module, place: Activations | Weight, *, same_dropout: bool, padded: bool = False, scaler=None
    ):
        self.model, self.place, self._padded = model, place, padded
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self.losses: list[Tensor] = []
        self._first = True
        self._replay = _random_state(model) if same_dropout else None

    @contextmanager
    def opened(self, *, gradients: bool = True) -> Iterator["Passes"]:
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
        with (
            nullcontext() if self._first or self._replay is None else _replayed(*self._replay),
            hooks.padded_attention(self._padded),
        ):
            output = closure()
        self.place.end()
        if self._first:  # the later passes leave no trace in the running statistics
            self._statistics, self._first = _running_statistics(self.model), False
        return output

    def backward(self, loss: Tensor, weight: float) -> list[Tensor] | None:
        """The perturbation's gradient, None if the loss is not finite; with a weight also added to every ``.grad``."""
        # Scaled also where only the direction counts: half precision would round its gradients to 0.
        total = loss if weight in (0, 1) else weight * loss
        found = self.place.differentiate(total if self.scaler is None else self.scaler.scale(total))
        if all(gradient is None for gradient in found):
            raise RuntimeError("the loss does not depend on the embedding: it has no direction to be perturbed in")
        if not finite(loss):
            return None
        gradients = [torch.zeros_like(v) if g is None else g for v, g in zip(self.place.values, found)]
        gradients = [g.to_dense() if g.layout != torch.strided else g for g in gradients]
        return [g.to(torch.promote_types(g.dtype, torch.float32)) for g in gradients]

    def sound(self, gradients: list[Tensor] | None) -> bool:
        """Whether the gradients are finite, outside of padding."""
        if gradients is None:
            return False
        return finite(*gradients) or finite(*_masked(gradients, self.place.keep))

    def result(self, weights: Sequence[float]) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...], bool]:
        """The objective, the closure's losses, the last perturbation, and whether the step was skipped: it was not."""
        # Also with weight 0: where the perturbation alone was asked for and the loss was nan, this is nan.
        loss = torch.stack([weight * wide(loss) for weight, loss in zip(weights, self.losses)]).sum()
        loss = loss.to(self.losses[0].dtype)
        return loss, tuple(self.losses), tuple(v.detach() for v in self.place.values), False

    def skipped(self, weights: Sequence[float]) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...], bool]:
        """The same where the step was skipped: ``.grad`` is as before, or, for a scaler, infinite."""
        self._restore_gradients()
        if self.scaler is not None:
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.full_like(parameter, math.inf)
        return *self.result(weights)[:3], True

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


def draws(generator: torch.Generator | None) -> Callable[[torch.device], torch.Generator]:
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
