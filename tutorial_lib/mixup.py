"""Mixup, Manifold Mixup and Flow-Mixup: train on convex combinations of samples, or of their hidden states.

All three draw a weight ``lam`` from Beta(alpha, alpha), pair each row of a batch with another row of the same
batch, and mix inputs and targets with the same weight. They differ in where they mix, and in what they keep.

==================  ==========================================  =================================
function            mixes                                       rows after it
==================  ==========================================  =================================
mixup               the input                                   B
manifold_mixup      one layer, drawn for each forward pass      B
FlowMix             the activations it is given                 2 B: the originals, then the mixed
flow_mixup          every named layer of a model                2^m B after m layers
==================  ==========================================  =================================
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import _arguments as check
from ._kernels.hooks import COMPILED, attached, has_compiled, is_compiled, owners, unseen

__all__ = ["Draw", "FlowMix", "Mixed", "Mixing", "flow_loss", "flow_mixup", "manifold_mixup", "mixup"]

# On the CPU a sample larger than this is mixed row by row: the partner's row is read in place, and the copy that a
# gather makes is saved. Below it the cost of one call a row is the larger. Measured: equal near 128 KiB.
_LARGE_SAMPLE_BYTES = 1 << 18


class Mixed(NamedTuple):
    """What :func:`mixup` returns: the mixed batch, and the draw that made it.

    Attributes:
        inputs: (B, ...), the blends.
        targets: (B, ...), the blends of the targets.
        lam: the weight of a row itself.
        index: (B,) int64, the partner of each row.
    """

    inputs: Tensor
    targets: Tensor
    lam: Tensor
    index: Tensor  # type: ignore[assignment]  # the public name; a tuple has a method of that name


def mixup(
    inputs: Tensor,
    targets: Tensor,
    *,
    alpha: float,
    per_sample: bool = False,
    out: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    r"""Mix every sample of a batch, and its target, with a partner from the same batch.

    .. math:: \tilde x_i = \lambda x_i + (1 - \lambda) x_{\pi(i)}, \qquad
              \tilde y_i = \lambda y_i + (1 - \lambda) y_{\pi(i)}, \qquad \lambda \sim Beta(\alpha, \alpha)

    The permutation :math:`\pi` is random and may leave a sample with itself. A batch of one comes back unchanged,
    an empty batch comes back empty. With a loss that is linear in the target, such as cross-entropy on soft
    targets, this is the usual ``lam * loss(f, y_a) + (1 - lam) * loss(f, y_b)``.

    Without ``out`` the result is differentiable in ``inputs`` and ``targets``. The arguments are never modified.

    Args:
        inputs: (B, ...) samples of any floating-point dtype, on any device.
        targets: (B, ...) floating-point targets: one-hot, soft or multi-label, on the same device.
        alpha: parameter of the Beta law, finite and at least 0. Small: most samples hardly mixed. 1: uniform.
            Large: lam near 1/2. 0: no mixing, lam = 1.
        per_sample: draw one lam for each sample instead of one for the batch.
        out: (B, ...) buffer for the mixed inputs, of the same shape, dtype and device, sharing no memory with the
            arguments. Reused from step to step it saves the time of getting new memory, on the CPU most of it.
        generator: source of all randomness, on any device: equal CPU generators give every device the same draw.
            ``None`` is torch's global CPU generator.

    Returns:
        ``Mixed(inputs, targets, lam, index)``. ``inputs`` and ``targets`` have the shapes and dtypes of the arguments.
        ``lam`` is 0-dimensional, or (B,) with ``per_sample``, in the dtype of ``inputs``. ``index`` (B,) holds the
        partner's row. All are on the device of ``inputs``.

    Raises:
        ValueError: if an argument is not as described; integer targets must be one-hot encoded first.

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, section 2.

    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.eye(2)
    >>> mixed = mixup(x, y, alpha=1.0, generator=torch.Generator().manual_seed(3))
    >>> bool(mixed.inputs[0, 0] == mixed.targets[0, 1])
    True
    """
    alpha = _check_mixup(inputs, targets, alpha, out, generator)
    lam, index = _draw(inputs, alpha, generator, per_sample=per_sample)
    return Mixed(_mix(inputs, lam, index, out), _mix(targets, lam, index), lam, index)


def _draw(
    values: Tensor, alpha: float, generator: torch.Generator | None, *, per_sample: bool = False, flows: int = 1
) -> tuple[Tensor, Tensor]:
    """Draw lam, and a partner for each row that lies in the row's own flow."""
    batch = len(values) // flows
    device = "cpu" if generator is None else generator.device
    # torch's Beta takes no generator, and a ratio of two Gamma draws is 0/0 for small alpha. NumPy's Beta is sound
    # there. Its seed comes from torch, so that the generator (or torch.manual_seed) decides everything.
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=device))
    index = torch.randperm(batch, generator=generator, device=device).to(values.device)
    if alpha == 0:
        lam = np.ones(batch if per_sample else ())
    else:
        # Outside these bounds the law is a point mass to the last digit, and NumPy's sums leave the range of a double.
        alpha = min(max(alpha, 1e-300), 1e300)
        lam = np.asarray(np.random.default_rng(seed).beta(alpha, alpha, batch if per_sample else None))
    if flows > 1:
        starts = batch * torch.arange(flows, device=index.device)[:, None]
        index = (index + starts).flatten()  # (B,) + (flows, 1) -> (flows*B,)
    return torch.from_numpy(lam).to(values.dtype).to(values.device), index


def _mix(values: Tensor, lam: Tensor, index: Tensor, out: Tensor | None = None) -> Tensor:
    """lam * values + (1 - lam) * values[index], into ``out`` if there is one."""
    differentiate = torch.is_grad_enabled() and values.requires_grad
    if out is None and not differentiate:
        out = torch.empty_like(values)  # keeps channels_last
    row_bytes = values.element_size() * math.prod(values.shape[1:])
    if out is not None and values.device.type == "cpu" and row_bytes >= _LARGE_SAMPLE_BYTES:
        weights = lam.expand(len(values)).tolist()
        for row, own, partner, weight in zip(out.unbind(), values.unbind(), index.tolist(), weights):
            torch.lerp(values[partner], own, weight, out=row)
        return out
    lam = lam.to(values.device, values.dtype)
    if lam.ndim:
        lam = lam.view(-1, *[1] * (values.ndim - 1))  # (B,) -> (B, 1, ...)
    # In place on the gathered copy: one new buffer instead of two.
    return torch.index_select(values, 0, index.to(values.device), out=out).lerp_(values, lam)


class _AddFlow(torch.autograd.Function):
    """Activations, then their mixture, stacked along the batch; the gradient halved."""

    @staticmethod
    def forward(ctx, values: Tensor, lam: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(lam, index)
        # The layout that torch.cat would give (it keeps channels_last), without first making what it would join.
        both = torch.empty_like(torch.cat([values.to("meta")] * 2), device=values.device)
        original, mixed = both.tensor_split(2)  # (2*B, ...) -> (B, ...) twice
        original.copy_(values)
        _mix(values, lam, index, mixed)
        return both

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        lam, index = ctx.saved_tensors
        if hasattr(ctx, "flow_sum"):
            ctx.flow_sum.wanted()
        original, mixed = grad.tensor_split(2)  # (2*B, ...) -> (B, ...) twice
        # The adjoint of mixing with one lam is mixing with the inverse permutation.
        return _mix(mixed, lam, index.argsort()).lerp_(original, 0.5), None, None


class _FlowSum:
    """Whether the loss of a pass is summed over its flows, as the halved gradient needs."""

    def __init__(self):
        self.done = False

    def wanted(self) -> None:
        if not self.done:
            self.done = True
            warnings.warn(
                "flow_mixup is trained with a loss that neither mix.loss nor flow_loss computed. Below each mixed "
                "layer the gradient is halved, which is right for a loss summed over the flows; under a mean over all "
                "rows what lies below learns at a fraction of its rate. Use mix.loss(loss_fn, logits, target)",
                UserWarning,
                stacklevel=2,
            )


class FlowMix(nn.Module):
    r"""Flow-Mixup's mixing module: keep the activations, and add a mixed copy as a new flow.

    .. math:: M(z) = z \oplus \big(\lambda z + (1 - \lambda) z_\pi\big), \qquad
              \frac{\partial L}{\partial z} = \tfrac12 \big(\nabla_{orig} + \nabla_{mixed}\big)

    :math:`\oplus` stacks flows along the batch: first the rows that came in, then their mixtures. The targets are
    treated the same way, so that rows of activations and of targets always correspond. Each further module doubles
    the flows: m modules give 2^m. The halved gradient is right for a loss that is *summed* over the flows, which is
    what :func:`flow_loss` does; under a mean over all rows it would halve twice.

    The paper mixes two shuffles :math:`z_1, z_2` of the batch. One permutation is enough: the pairs
    :math:`(\pi_1(i), \pi_2(i))` are the pairs :math:`(j, \pi(j))` with :math:`\pi = \pi_2 \pi_1^{-1}`, again uniform,
    in another order of the rows, and no loss sees the order of the rows.

    With ``keep_original=False`` the module is :func:`mixup` at its layer: the same numbers for the same generator, no
    new flow, no halving. In ``eval()`` it is the identity.

    Args:
        alpha: parameter of the Beta law, as in :func:`mixup`; an attribute that may be changed between steps.
        keep_original: keep the rows that came in as flows of their own.
        generator: source of all randomness; ``None`` is torch's global CPU generator. Keep ``None`` under activation
            checkpointing, which can replay only the global generators.

    Shape:
        activations (flows·B, ...), targets (flows·B, ...) -> both (2·flows·B, ...); the same rows with
        ``keep_original=False`` and in ``eval()``.

    Raises:
        ValueError: if ``alpha`` is negative or not finite; in ``forward``, as :func:`mixup`, and if the rows are
            not a multiple of ``flows``.

    References:
        Chen et al., Flow-Mixup: Classifying Multi-labeled Medical Images with Corrupted Labels, BIBM 2020
        (arXiv:2102.08148), the mixing module.

    >>> flow = FlowMix(alpha=1.0)
    >>> z, y = flow(torch.randn(4, 8), torch.eye(4))
    >>> z, y = flow(z, y, flows=2)
    >>> z.shape, y.shape
    (torch.Size([16, 8]), torch.Size([16, 4]))
    """

    def __init__(self, alpha: float, keep_original: bool = True, generator: torch.Generator | None = None):
        super().__init__()
        self.alpha = check.number(alpha, "alpha", low=0)
        self.keep_original = keep_original
        self.generator = check.generator(generator)

    def forward(self, activations: Tensor, targets: Tensor, *, flows: int = 1) -> tuple[Tensor, Tensor]:
        """Mix within each of the ``flows`` that the rows already hold; every flow is shuffled by the same draw."""
        if not self.training:
            return activations, targets
        alpha, flows = _check_flow_mix(activations, targets, self.alpha, flows)
        lam, index = _draw(activations, alpha, self.generator, flows=flows)
        mixed = _mix(targets, lam, index)  # (flows*B, ...)
        if not self.keep_original:
            return _mix(activations, lam, index), mixed
        return _AddFlow.apply(activations, lam, index), torch.cat([targets, mixed])

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, keep_original={self.keep_original}"


def flow_loss(loss_fn: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor, *, flows: int) -> Tensor:
    r"""Sum a loss over the flows: :math:`L = \sum_{f=1}^{F} \ell(logits_f, targets_f)`.

    With the halved gradient of :class:`FlowMix` the sum gives layers below the module a gradient of plain training's
    size. (A mean over all rows would give half of that.) Layers above the module see the gradients of all flows.

    Args:
        loss_fn: takes the logits and targets of one flow, returns a scalar, the mean over its rows.
        logits: (flows·B, ...) outputs, flows stacked along the batch.
        targets: (flows·B, ...) whatever ``loss_fn`` takes.
        flows: number of flows, 1 or more.

    Returns:
        The scalar loss. With ``flows=1`` it is ``loss_fn(logits, targets)``.

    Raises:
        ValueError: if rows and flows do not fit together, or ``loss_fn`` returns more than a scalar.

    >>> logits, targets = torch.zeros(6, 2), torch.full((6, 2), 0.5)
    >>> flow_loss(nn.functional.binary_cross_entropy_with_logits, logits, targets, flows=2)
    tensor(1.3863)
    """
    flows = _check_flow_loss(logits, targets, flows)
    if flows > 1:
        _tell_flow_sum(logits)
    return _flow_loss(loss_fn, logits, targets, flows)


def _flow_loss(loss_fn: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor, flows: int) -> Tensor:
    # (flows*B, ...) -> (B, ...), flows times
    parts = [loss_fn(*flow) for flow in zip(logits.tensor_split(flows), targets.tensor_split(flows))]
    if parts[0].numel() != 1:
        raise ValueError(f"loss_fn must return a scalar, the mean over its rows, got {check.what(parts[0])}")
    return sum(map(check.wide, parts[1:]), check.wide(parts[0])).to(parts[0].dtype)


def _tell_flow_sum(logits: Tensor) -> None:
    """Find the latest mixing that the logits come from, and tell it that their loss is summed over the flows."""
    nodes, seen = [logits.grad_fn], set()
    for node in nodes:  # breadth first: the list grows as it is read
        if node is None or node in seen:
            continue
        if isinstance(node, _AddFlow._backward_cls):
            if hasattr(node, "flow_sum"):
                node.flow_sum.done = True
            return
        seen.add(node)
        nodes += [before for before, _ in node.next_functions]


class Draw(NamedTuple):
    """One mixing inside a model: where, how much, and with whom.

    Attributes:
        layer: its name; ``""`` is the input.
        lam: the weight of a row itself.
        index: (B,) int64, the partner of each row.
    """

    layer: str
    lam: Tensor
    index: Tensor  # type: ignore[assignment]  # the public name; a tuple has a method of that name


class Mixing:
    """What :func:`manifold_mixup` and :func:`flow_mixup` yield: the draws of the model's latest forward pass.

    Attributes:
        draws: list of ``Draw(layer, lam, index)``, in the order in which the layers were reached. Empty in ``eval()``.
        layer, lam, index: the last of the draws (Manifold Mixup makes one a pass); ``None`` without one.
        flows: the number of flows that the rows of the output hold.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        *,
        alpha: float,
        keep_original: bool,
        draw_one: bool,
        generator: torch.Generator | None,
    ):
        self._model, self._sites = model, _check_layers(model, layers)
        self._alpha, self._generator = check.number(alpha, "alpha", low=0), check.generator(generator)
        self._keep_original, self._draw_one = keep_original, draw_one
        self._passes = 0  # forward passes that were seen
        self._waiting: list[str] = []  # layers still to be mixed in this pass
        self._unseen: set[str] = set()  # layers that a pass in training mode has still to reach, drawn or not
        self._training = self._running = False
        self._flow_sum = _FlowSum()
        self.draws: list[Draw] = []

    @property
    def layer(self) -> str | None:
        return self.draws[-1].layer if self.draws else None

    @property
    def lam(self) -> Tensor | None:
        return self.draws[-1].lam if self.draws else None

    @property
    def index(self) -> Tensor | None:
        return self.draws[-1].index if self.draws else None

    @property
    def flows(self) -> int:
        return 2 ** len(self.draws) if self._keep_original else 1

    def targets(self, target: Tensor) -> Tensor:
        """Mix a target as the latest forward pass mixed its rows.

        Args:
            target: (B, ...) floating-point targets of the batch that was given to the model.

        Returns:
            (flows·B, ...) mixed targets; ``target`` itself where the pass was in ``eval()``.

        Raises:
            RuntimeError: before the first forward pass, if that pass did not reach a layer to be mixed, or if compiled
                code ran instead of it.
            ValueError: if ``target`` is not floating-point, or has other rows than the layer's output.
        """
        self._check_pass()
        if self.draws:
            _check_targets(target, rows=len(self.draws[0].index), of=f"the output of layer {self.draws[0].layer!r}")
        for draw in self.draws:
            mixed = _mix(target, draw.lam, draw.index)
            target = torch.cat([target, mixed]) if self._keep_original else mixed  # rows -> 2*rows
        return target

    def loss(self, loss_fn: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
        """The loss of the latest forward pass: its target mixed as its rows, its flows summed as in :func:`flow_loss`.

        Args:
            loss_fn: takes the logits and targets of one flow, returns a scalar, the mean over its rows.
            logits: (flows·B, ...) output of the latest forward pass.
            target: (B, ...) floating-point targets of the batch that was given to the model; in ``eval()`` whatever
                ``loss_fn`` takes.

        Returns:
            The scalar loss. In ``eval()``, and without flows of originals, ``loss_fn(logits, self.targets(target))``.

        Raises:
            RuntimeError, ValueError: as :meth:`targets` and :func:`flow_loss`.
        """
        targets = self.targets(target)
        flows = _check_flow_loss(logits, targets, self.flows)
        self._flow_sum.done = True
        return _flow_loss(loss_fn, logits, targets, flows)

    @contextmanager
    def _attached(self) -> Iterator["Mixing"]:
        sites = [(site, "after", self._reach(name)) for name, site in self._sites.items() if name]
        with attached(self, (self._model, "before", self._begin), (self._model, "finally", self._end), *sites):
            yield self
            if not self._passes and self._model.training:
                unseen(self._model, "no forward pass of the model was seen: nothing was mixed")

    def _begin(self, model: nn.Module, args: tuple) -> tuple | None:
        self._passes, self._running, self._training = self._passes + 1, True, model.training
        self._waiting, self.draws = [], []
        if not model.training:
            return None
        names, self._unseen, self._flow_sum = list(self._sites), set(self._sites), _FlowSum()
        if self._draw_one:
            device = "cpu" if self._generator is None else self._generator.device
            names = [names[torch.randint(len(names), (), generator=self._generator, device=device)]]
        self._waiting = names
        if "" not in self._sites:
            return None
        if not args:
            raise ValueError("layers: '' mixes the model's first positional argument, and the model got none")
        values = self._arrive("", args[0])
        return None if values is None else (values, *args[1:])

    def _end(self, model: nn.Module, args: tuple, output) -> None:
        self._running = False

    def _reach(self, name: str) -> Callable:
        def hook(layer: nn.Module, args: tuple, kwargs: dict, output):
            # A checkpointed layer runs again inside backward(). Left alone it would be unmixed there, and the
            # gradient silently wrong.
            if torch._C._current_graph_task_id() != -1 and any(draw.layer == name for draw in self.draws):
                raise RuntimeError(f"layer {name!r} is mixed: it cannot lie under activation checkpointing")
            if self._running and self._training and name in self._unseen:
                return self._arrive(name, output)

        return hook

    def _arrive(self, name: str, values: Tensor) -> Tensor | None:
        """A layer's first call in a pass: what it gives is mixed if its turn has come, and could be mixed if not."""
        self._unseen.remove(name)
        rows = _check_site(name, values)
        if name not in self._waiting:
            return None
        if self.draws and rows != self.flows * len(self.draws[0].index):
            raise ValueError(
                f"{_site(name)} must have the batch first, {self.flows * len(self.draws[0].index)} rows after the "
                f"layers mixed before it, got {rows}"
            )
        lam, index = _draw(values, self._alpha, self._generator, flows=self.flows)
        self._waiting.remove(name)
        self.draws.append(Draw(name, lam, index))
        if not self._keep_original:
            return _mix(values, lam, index)
        both = _AddFlow.apply(values, lam, index)
        if both.grad_fn is not None:
            both.grad_fn.flow_sum = self._flow_sum  # the context that its backward gets
        return both

    def _check_pass(self) -> None:
        if not self._passes:
            raise RuntimeError(f"targets() was called before a forward pass of the model{COMPILED}")
        if self._waiting:
            missing = check.listed(self._waiting)
            raise RuntimeError(f"the latest forward pass did not reach {missing}, which was to be mixed{COMPILED}")
        if self._training != self._model.training and is_compiled(self._model):
            mode = "training mode" if self._training else "eval()"
            raise RuntimeError(f"the latest forward pass that was seen was in {mode}, and the model is not{COMPILED}")


@contextmanager
def manifold_mixup(
    model: nn.Module, layers: Sequence[str], *, alpha: float, generator: torch.Generator | None = None
) -> Iterator[Mixing]:
    r"""Mix the hidden states of your own model: in each forward pass at one layer, drawn from ``layers``.

    .. math:: k \sim Uniform(S), \qquad \tilde h_k = \lambda h_k + (1 - \lambda) h_{k, \pi}, \qquad
              \tilde y = \lambda y + (1 - \lambda) y_\pi, \qquad \lambda \sim Beta(\alpha, \alpha)

    The model needs no change. Inside the context every forward pass of ``model`` in training mode mixes;
    ``mix.targets(target)`` gives the matching targets of the latest pass. In ``eval()`` nothing is mixed and
    ``targets`` returns what it is given. On leaving the context, also by an exception, the model is as it was; a copy
    that is made inside is a plain model, which does not mix.

    Name layers that everything passes through: what runs round a layer by a skip connection is not mixed. A layer
    that is called several times in a pass is mixed at its first call. Contexts on one model cannot be nested.

    Args:
        model: any module; its layers are named as in ``model.named_modules()``.
        layers: names of submodules that return one (B, ...) floating-point tensor. ``""`` is the model's input, its
            first positional argument.
        alpha: parameter of the Beta law, as in :func:`mixup`.
        generator: source of all randomness; ``None`` is torch's global CPU generator.

    Yields:
        A :class:`Mixing` with ``targets(target)``, and ``layer``, ``lam`` and ``index`` of the latest pass.

    Raises:
        ValueError: on entering, for an unknown, repeated or missing name (the right ones are listed); in the first
            forward pass, if the output of any of the layers cannot be mixed.
        RuntimeError: in ``targets`` or on leaving, if the hooks did not run because ``torch.compile`` had compiled the
            model before.

    References:
        Verma et al., Manifold Mixup: Better Representations by Interpolating Hidden States, ICML 2019, section 2.

    >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> x, y = torch.randn(5, 8), torch.eye(3)[[0, 1, 2, 0, 1]]
    >>> with manifold_mixup(model, ["", "1"], alpha=2.0) as mix:
    ...     loss = nn.functional.cross_entropy(model(x), mix.targets(y))
    >>> mix.layer in ("", "1")
    True
    """
    mixing = Mixing(model, layers, alpha=alpha, keep_original=False, draw_one=True, generator=generator)
    with mixing._attached():
        yield mixing


@contextmanager
def flow_mixup(
    model: nn.Module,
    layers: Sequence[str],
    *,
    alpha: float,
    keep_original: bool = True,
    generator: torch.Generator | None = None,
) -> Iterator[Mixing]:
    """Place Flow-Mixup's mixing module (:class:`FlowMix`) after layers of your own model.

    Every named layer is mixed in every forward pass in training mode, in the order in which they are reached. Each
    doubles the rows, originals first: the output has ``mix.flows * B`` rows, and so has ``mix.targets(target)``.
    ``mix.loss`` takes the output, and mixes and sums as the halved gradients need; any other loss of these rows is
    trained with a warning. Everything else is as in :func:`manifold_mixup`.

    Name layers that everything passes through. What runs round a layer by a skip connection keeps its B rows, and the
    model fails where the two meet.

    Args:
        model: any module; its layers are named as in ``model.named_modules()``.
        layers: names of submodules that return one (rows, ...) floating-point tensor; ``""`` is the model's input.
        alpha: parameter of the Beta law, as in :func:`mixup`.
        keep_original: keep the original rows as flows of their own. ``False`` is ordinary mixup at each layer.
        generator: source of all randomness; ``None`` is torch's global CPU generator.

    Yields:
        A :class:`Mixing` with ``loss(loss_fn, logits, target)``, and ``targets(target)``, ``flows`` and ``draws`` of
        the latest pass.

    Raises:
        ValueError, RuntimeError: as :func:`manifold_mixup`.

    Warns:
        UserWarning: in ``backward``, if the loss was computed neither by ``mix.loss`` nor by :func:`flow_loss`.

    References:
        Chen et al., Flow-Mixup: Classifying Multi-labeled Medical Images with Corrupted Labels, BIBM 2020
        (arXiv:2102.08148).

    >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> x, y = torch.randn(5, 8), torch.randint(2, (5, 3)).float()
    >>> with flow_mixup(model, ["0", "1"], alpha=1.0) as mix:
    ...     logits = model(x)
    ...     loss = mix.loss(nn.functional.binary_cross_entropy_with_logits, logits, y)
    >>> logits.shape, mix.flows
    (torch.Size([20, 3]), 4)
    """
    mixing = Mixing(model, layers, alpha=alpha, keep_original=keep_original, draw_one=False, generator=generator)
    with mixing._attached():
        yield mixing


# --- Arguments --------------------------------------------------------------------------------------------------------


def _check_mixup(inputs: Tensor, targets: Tensor, alpha: float, out: Tensor | None, generator) -> float:
    check.tensor(inputs, "inputs", "(B, ...)", kind="floating-point")
    _check_targets(targets, rows=len(inputs), of="inputs")
    if targets.device != inputs.device:
        raise ValueError(f"targets must be on the device of inputs, {inputs.device}, got {targets.device}")
    if out is not None:
        _check_out(out, inputs, targets)
    check.generator(generator)
    return check.number(alpha, "alpha", low=0)


def _check_flow_mix(activations: Tensor, targets: Tensor, alpha: float, flows: int) -> tuple[float, int]:
    check.tensor(activations, "activations", "(B, ...)", kind="floating-point")
    _check_targets(targets, rows=len(activations), of="activations")
    return check.number(alpha, "alpha", low=0), _check_flows(flows, "activations", activations)


def _check_flow_loss(logits: Tensor, targets: Tensor, flows: int) -> int:
    for name, rows in (("logits", logits), ("targets", targets)):
        check.tensor(rows, name, "(B, ...)", kind="any")
    if len(logits) != len(targets):
        raise ValueError(f"logits and targets must have the same number of rows, got {len(logits)} and {len(targets)}")
    return _check_flows(flows, "logits", logits)


def _check_flows(flows: int, name: str, values: Tensor) -> int:
    flows = check.whole(flows, "flows", low=1)
    if len(values) % flows:
        raise ValueError(f"the rows of {name} must be a multiple of flows, {flows}, got {len(values)}")
    return flows


def _check_targets(targets: Tensor, *, rows: int, of: str) -> None:
    if isinstance(targets, Tensor) and not targets.is_floating_point():
        advice = (
            "convert multi-label targets with .float()"
            if targets.dtype == torch.bool
            else "one-hot encode class numbers first, torch.nn.functional.one_hot(targets, num_classes).float()"
        )
        raise ValueError(f"targets must be floating-point: {advice}, got {check.what(targets)}")
    check.tensor(targets, "targets", "(B, ...)", kind="floating-point")
    if len(targets) != rows:
        hint = COMPILED if has_compiled() and of != "inputs" else ""
        raise ValueError(f"targets must have as many rows as {of}, {rows}, got {len(targets)}{hint}")


def _check_out(out: Tensor, inputs: Tensor, targets: Tensor) -> None:
    check.tensor(out, "out", kind="floating-point")
    if (out.shape, out.dtype, out.device) != (inputs.shape, inputs.dtype, inputs.device):
        wanted, found = (f"{check.what(value)} on {value.device}" for value in (inputs, out))
        raise ValueError(f"out must be like inputs, {wanted}, got {found}")
    if out.requires_grad or (inputs.requires_grad and torch.is_grad_enabled()):
        raise ValueError("out cannot be used where a gradient is needed: leave it out, or use torch.no_grad()")
    if any(size > 1 and stride == 0 for size, stride in zip(out.shape, out.stride())):
        raise ValueError("out must own each of its elements, got an expanded tensor")
    for name, values in (("inputs", inputs), ("targets", targets)):
        if _overlap(out, values):
            raise ValueError(f"out must not share memory with {name}, which mixup never modifies")


def _overlap(a: Tensor, b: Tensor) -> bool:
    def extent(t: Tensor) -> tuple[int, int]:
        last = sum((size - 1) * stride for size, stride in zip(t.shape, t.stride()))
        return t.data_ptr(), t.data_ptr() + (last + 1) * t.element_size()

    (a_start, a_end), (b_start, b_end) = extent(a), extent(b)
    return a.numel() > 0 and b.numel() > 0 and a_start < b_end and b_start < a_end


def _check_layers(model: nn.Module, layers: Sequence[str]) -> dict[str, nn.Module]:
    modules = check.modules(model, "model")
    names = check.strings(layers, "layers")
    sites = {name: check.module(modules, name, "layers") for name in names}
    if not sites:
        raise ValueError(
            f"layers must name at least one submodule of {check.listed(modules)}, got {check.what(layers)}"
        )
    if len({id(module) for module in sites.values()}) < len(names):
        raise ValueError(f"layers must name each submodule once, got {check.listed(names)}")
    if any(isinstance(owner, Mixing) for module in model.modules() for owner in owners(module)):
        raise ValueError("model is already inside manifold_mixup or flow_mixup; the two cannot be nested")
    return sites


def _check_site(name: str, values: Tensor) -> int:
    return len(check.tensor(values, _site(name), "(B, ...)", kind="floating-point"))


def _site(name: str) -> str:
    return f"the output of layer {name!r}" if name else "the model's first argument"
