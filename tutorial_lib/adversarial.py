"""Adversarial training in embedding space: FGM, PGD, FreeLB and VAT for a model of your own.

Words cannot be moved a little, their embeddings can. Each method adds a small perturbation ``r``, chosen to raise a
loss, to what the embedding layer puts out, and lets the model learn from that as well. Two lines do it::

    fgm = FGM(model, "embedding", epsilon=1.0)
    ...
    loss = fgm.backward(lambda: criterion(model(tokens), target)).loss   # in place of loss.backward()

==================  ===========================================  ===========================================
method              added to every ``.grad``                      passes a step (K = ``steps``)
==================  ===========================================  ===========================================
:class:`FGM`        gradient at 0 + gradient at r                 2 full
:class:`PGD`        gradient at 0 + gradient at r_K               2 full, K - 1 for the perturbation alone
:class:`FreeLB`     mean of the gradients at r_0 ... r_{K-1}      K full
:class:`VAT`        gradient of KL(p(x) || p(x + r)), no labels  1 forward, K for the perturbation, 1 full
==================  ===========================================  ===========================================

:func:`attack` perturbs a trained model in the same way, to measure how robust it is. All of them hook the layer for
the length of one call, and leave nothing in the model.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import _arguments as check
from ._kernels.hooks import lies_in_encoder
from ._kernels.passes import Activations, Ball, Passes, Weight, draws

__all__ = ["FGM", "PGD", "VAT", "AdversarialStep", "FreeLB", "attack"]


#: What may be perturbed: True or 1 there; one for each call of the layer where they differ.
Mask = Tensor | np.ndarray | Sequence[Tensor | np.ndarray] | None


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


# --- The methods ------------------------------------------------------------------------------------------------------


class _Method:
    """What the methods have in common: where they perturb, how far, and what stays the same between passes."""

    def __init__(
        self, model, embedding, *, epsilon, space, norm, ball, batch_dim, padding_idx, same_dropout, unbounded=False
    ):
        self.model = model
        self.module, self.name = _find(model, embedding)
        epsilon = check.number(epsilon, "epsilon", low=0, finite=not unbounded)
        self.space = check.choice(space, "space", ("activation", "weight"))
        norm = check.choice(
            ("sample" if space == "activation" else "batch") if norm is None else norm, "norm", ("sample", "batch")
        )
        if space == "weight":
            if norm == "sample":
                raise ValueError("norm='sample' needs space='activation': all samples share one weight")
            if not isinstance(getattr(self.module, "weight", None), nn.Parameter):
                raise ValueError(f"space='weight' needs a layer with a weight, and {self.name} has none")
        self.same_dropout = bool(same_dropout)
        own = getattr(self.module, "padding_idx", None)
        self.padding_idx = own if padding_idx is None else check.whole(padding_idx, "padding_idx")
        self._padded = space == "activation" and lies_in_encoder(model, self.module)
        ball = check.choice(ball, "ball", ("l2", "linf"))
        self._ball = Ball(epsilon, ball, norm, check.whole(batch_dim, "batch_dim"))

    @property
    def epsilon(self) -> float:
        """The size of the perturbation; it may be changed between steps."""
        return self._ball.epsilon

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self._ball.epsilon = check.number(value, "epsilon", low=0, finite=not isinstance(self, FreeLB))

    def _passes(self, mask: Mask, scaler=None) -> Passes:
        masks = _masks(mask)
        place: Activations | Weight
        if self.space == "activation":
            place = Activations(self.model, self.module, self.name, self.padding_idx, masks)
        elif masks:
            raise ValueError("mask needs space='activation': a weight has no positions; use padding_idx")
        else:
            place = Weight(self.module.weight, self.padding_idx)
        return Passes(self.model, place, same_dropout=self.same_dropout, padded=self._padded, scaler=scaler)

    def _ascend(self, passes: Passes, gradients: list[Tensor] | None, alpha: float, start=None) -> list[Tensor] | None:
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
        self.steps = check.whole(steps, "steps", low=1)
        self.alpha = None if alpha is None else check.number(alpha, "alpha", above=0)
        self.clean_weight = check.number(clean_weight, "clean_weight", low=0)
        self.adversarial_weight = check.number(adversarial_weight, "adversarial_weight", above=0)
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
                    return AdversarialStep(*passes.skipped(weights))
                del gradients  # their memory is the next pass's
            return AdversarialStep(*passes.result(weights))

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
        self.steps = check.whole(steps, "steps", low=1)
        self.alpha = None if alpha is None else check.number(alpha, "alpha", above=0)
        self.init = None if init is None else check.number(init, "init", low=0)
        self.generator = check.generator(generator)
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
        draw = draws(self.generator)
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
                        return AdversarialStep(*passes.skipped(weights))
                elif not passes.sound(gradients):
                    return AdversarialStep(*passes.skipped(weights))
                del gradients  # their memory is the next pass's
            return AdversarialStep(*passes.result(weights))


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
        self.xi = check.number(xi, "xi", above=0)
        self.steps = check.whole(steps, "steps", low=0)
        self.multilabel, self.generator = bool(multilabel), check.generator(generator)

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
        weight = check.number(weight, "weight", above=0)
        with self._passes(mask, scaler).opened() as passes:
            loss, sound = self._divergence(passes, closure)
            passes.losses.append(loss.detach())
            if not sound or not passes.sound(passes.backward(loss, weight)):
                return AdversarialStep(*passes.skipped([weight]))
            return AdversarialStep(*passes.result([weight]))

    def _divergence(self, passes: Passes, closure: Callable) -> tuple[Tensor, bool]:
        with torch.no_grad():
            target = self._logits(passes.run(closure, None, alone=True))
        place, draw = passes.place, draws(self.generator)
        noise = []
        for value in place.values:
            source = draw(value.device)
            noise.append(torch.empty_like(value, device=source.device).normal_(generator=source).to(value.device))
        directions = self._ball.uphill(noise, place.keep, 1.0) or []
        sound = True
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
            found = check.what(logits)
            raise ValueError(f"closure must return logits, a floating-point tensor (B, C) or (B, C, ...), got {found}")
        return check.wide(logits)


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

    Inside the context every forward pass of ``model`` on the same batch has the perturbation added, and on leaving it
    is as it was; a copy that is made inside is a plain model. The perturbation is that of :class:`FGM` (``steps=1``) or
    :class:`PGD`. No ``.grad`` is touched, and it works under ``torch.no_grad()``. Call ``model.eval()`` before, unless
    dropout is to be attacked as well.

    Args:
        model, embedding, epsilon, norm, ball, batch_dim, padding_idx: as for :class:`PGD`.
        closure: computes the loss that the attack raises.
        steps: K; 1 is one step of length ``epsilon``.
        alpha: length of a step; ``None``: 2.5 ``epsilon`` / ``steps``, but never beyond the ball.
        mask: as for :meth:`PGD.backward`.

    Yields:
        The perturbation: one tensor for each call of the layer.

    Raises:
        ValueError, RuntimeError: as :class:`PGD` and :meth:`PGD.backward`; also at the end, where no pass inside has
            called the layer because ``torch.compile`` had compiled the model before.
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
    passes = method._passes(mask)
    values: list[Tensor] | None = None
    with torch.enable_grad(), passes.opened(gradients=False):
        for _ in range(method.steps):
            values = method._ascend(passes, passes.step(closure, values, 0.0), method._alpha(), start=values)
            if values is None:
                raise FloatingPointError("the loss of the attack, or its gradient, is not finite")
    with passes.place.held(values or []):  # type: ignore[union-attr]  # the place is the layer's output
        yield tuple(values or ())


def _kl(target: Tensor, logits: Tensor, *, multilabel: bool) -> Tensor:
    """KL(p || q) of the distributions behind two tensors of logits, the mean over all but the classes."""
    if multilabel:  # (..., C) -> (...)
        log_p, log_q = F.logsigmoid(target), F.logsigmoid(logits)
        log_not_p, log_not_q = F.logsigmoid(-target), F.logsigmoid(-logits)
        divergence = log_p.exp() * (log_p - log_q) + log_not_p.exp() * (log_not_p - log_not_q)
        return divergence.sum(-1).mean()
    log_p, log_q = target.log_softmax(1), logits.log_softmax(1)  # (B, C, ...) -> (B, ...)
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()


def _masks(mask: Mask) -> list[Tensor]:
    """What may be perturbed, as one mask for all calls or one for each; empty: everything may."""
    if mask is None:
        return []
    single = isinstance(mask, Tensor | np.ndarray)
    if not single and (not isinstance(mask, Sequence) or isinstance(mask, str) or not len(mask)):
        raise ValueError(
            f"mask must be a tensor, or a list with one for each call of the layer, got {check.what(mask)}"
        )
    masks = []
    for each in [mask] if single else mask:
        if not isinstance(each, Tensor | np.ndarray):
            raise ValueError(f"mask must be a tensor, or a list of tensors, got a list of {check.what(each)}")
        each = torch.as_tensor(check.array(each, "mask"))
        if each.is_floating_point() and not bool(((each == 0) | (each == 1)).all()):
            wrong = each[(each != 0) & (each != 1)][0].item()
            raise ValueError(f"mask must hold only 0 and 1 (1: may be perturbed), got {wrong:g}")
        masks.append(each)
    return masks


def _find(model: nn.Module, embedding: nn.Module | str | None) -> tuple[nn.Module | None, str]:
    """The layer, None for the model's input; and what to call it in a message."""
    modules = check.modules(model, "model")
    if embedding is None and hasattr(model, "get_input_embeddings"):
        embedding = model.get_input_embeddings()  # type: ignore[operator]  # no tensor, as torch has it of any name
    if isinstance(embedding, nn.Module):
        for name, module in modules.items():
            if module is embedding:
                return module, f"the layer {name!r}"
        raise ValueError(f"embedding is a {type(embedding).__name__} that is no part of the model")
    if isinstance(embedding, str):
        if embedding == "":
            return None, "the model's first argument"
        return check.module(modules, embedding, "embedding"), f"the layer {embedding!r}"
    if embedding is not None:
        raise ValueError(f"embedding must be a module, its name, or None, got {type(embedding).__name__}")
    found = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    if not found:
        raise ValueError("embedding: the model has no nn.Embedding or nn.EmbeddingBag; name the layer to perturb")
    if len(found) > 1:
        raise ValueError(f"embedding: the model has {len(found)}, name the one to perturb: {check.listed(found)}")
    return modules[found[0]], f"the layer {found[0]!r}"
