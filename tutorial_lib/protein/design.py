"""Self-consistent design: change residues until each is what its neighbours make of it.

Taught in chapter 15.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _arguments as check

__all__ = ["Design", "self_consistent_design", "update_share"]

#: Of log-probabilities that differ by less, the type that stands is kept: rounding must not look like a change.
TIE = 1e-5


class Design(NamedTuple):
    """A designed sequence and how it came about. The three series have one entry for each iteration, before its update,
    and one for the end.

    Attributes:
        sequence: (L,) int64, the types at the end.
        log_loss: (T + 1,) the mean of −log p(a_i | all others) over the residues: the lower, the better they agree.
        unconverged: (T + 1,) share of residues that are not the most probable type, given all others.
        sequences: (T + 1, L) int64.
        converged: whether the unchanged steps of the stop rule were reached.
    """

    sequence: Tensor
    log_loss: Tensor
    unconverged: Tensor
    sequences: Tensor
    converged: bool


def update_share(
    iteration: int, *, first: float = 1.0, high: float = 0.8, hold: int = 250, decay: float = 35.3
) -> float:
    r"""The share of residues to update: all, then ``high`` for a while, then less and less.

    .. math:: s(0) = s_0, \qquad s(t) = h \ \ (1 \le t \le T), \qquad s(t) = h \, e^{-(t - T) / \tau} \ \ (t > T)

    The defaults are those of the published code for 1,000 iterations (62 % at 260, 20 % at 300, 5 % at 350).

    Args:
        iteration: t, from 0.
        first: s0.
        high: h.
        hold: T.
        decay: τ, iterations; ``inf`` holds for ever.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: shares outside [0, 1], a negative time.

    References:
        Liu et al., Nature Computational Science 2022, and its code.

    >>> [round(update_share(t), 2) for t in (0, 1, 250, 300, 350)]
    [1.0, 0.8, 0.8, 0.19, 0.05]
    """
    iteration, hold = check.whole(iteration, "iteration", low=0), check.whole(hold, "hold", low=0)
    first, high = check.number(first, "first", low=0, high=1), check.number(high, "high", low=0, high=1)
    decay = check.number(decay, "decay", above=0, finite=False)
    if iteration == 0:
        return first
    return high * math.exp(-max(0, iteration - hold) / decay)


def self_consistent_design(
    model: Any,
    backbone: Tensor,
    *,
    steps: int = 1000,
    share: Callable[[int], float] = update_share,
    mutation: float = 0.3,
    mutation_steps: int = 250,
    mode: str = "identity",
    power: float = 1.0,
    stop_after: int | None = 20,
    start: Tensor | None = None,
    fixed: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Design:
    r"""Design a sequence for a backbone: from any start, let residues change until all agree with their neighbours.

    Every iteration asks the model for each residue's types, given all others *as they stand*, picks at random the share
    of the residues that the schedule allows (at least one), and gives these, all at once, the type

    .. math:: a_i \leftarrow \arg\max_a \log p(a \mid a_{-i}) \quad\text{(identity)}, \qquad
        a_i \sim p(a \mid a_{-i})^{\alpha} / Z \quad\text{(sampling)}

    Then a share of the residues, falling linearly from ``mutation`` to 0 over ``mutation_steps``, becomes any type. Two
    neighbours that change at once each answer to what the other *was*: with all residues at once the sequence can swing
    for ever between two states.

    Args:
        model: an :class:`InverseFolding`, or any object with ``conditionals(backbone)`` that gives a function
            ``(types (L,), rows (n,)) -> (n, A)`` log-probabilities. If that has an attribute ``hears`` (L, L) bool, a
            residue is asked again only when one that it hears has changed; the result is the same.
        backbone: (L, A, 3), ångström; of a chain without residues the design is empty.
        steps: iterations at most.
        share: from iteration to share; :func:`update_share` with the published settings.
        mutation, mutation_steps: as above; 0 for none.
        mode: ``"identity"`` or ``"sampling"``.
        power: α of sampling; larger is less diverse.
        stop_after: end when nothing has changed for so many iterations; None: never early.
        start: (L,) int64, the first sequence; by default each residue is any type.
        fixed: (L,) bool, residues that keep their type of ``start``.
        generator: on the CPU; None: torch's global one. The same draws are made on every device.

    Returns:
        :class:`Design`. The end need not be a fixed point: see its ``unconverged``.

    Raises:
        ValueError: numbers out of range, a start of another length or with types that are none, ``fixed`` without one.

    References:
        Liu et al., Rotamer-free protein sequence design based on deep learning and self-consistency, Nature
        Computational Science 2022.

    >>> from tutorial_lib.protein import InverseFolding, build_backbone
    >>> model = InverseFolding(width=16, depth=1, heads=2, k=4)
    >>> design = self_consistent_design(model, build_backbone(torch.zeros(6, 3)), steps=30, mutation=0)
    >>> design.sequence.shape, len(design.log_loss) == len(design.sequences)
    (torch.Size([6]), True)
    """
    steps, mutation_steps = check.whole(steps, "steps", low=0), check.whole(mutation_steps, "mutation_steps", low=0)
    mutation = check.number(mutation, "mutation", low=0, high=1)
    mode = check.choice(mode, "mode", ("identity", "sampling"))
    power = check.number(power, "power", above=0)
    patience = None if stop_after is None else check.whole(stop_after, "stop_after", low=1)
    generator = check.generator(generator)
    if not hasattr(model, "conditionals"):
        raise ValueError(f"model must have conditionals(backbone), got {check.what(model)}")
    answer = model.conditionals(backbone)
    length, every = len(backbone), torch.arange(len(backbone))
    home = backbone.device
    classes = answer(torch.zeros(length, dtype=torch.int64, device=home), every[:1].to(home)).shape[1] if length else 1
    # The bookkeeping is done on the CPU: a few numbers, and draws that are the same everywhere.
    if start is None:
        types = torch.randint(classes, (length,), generator=generator)
    else:
        types = check.tensor(start, "start", "(L,)", kind="whole").long().cpu().clone()
        if len(types) != length or (length and not 0 <= int(types.min()) <= int(types.max()) < classes):
            raise ValueError(f"start must be {length} types from 0 to {classes - 1}, got {check.what(start)}")
    if fixed is not None and (start is None or tuple(fixed.shape) != (length,) or fixed.dtype != torch.bool):
        raise ValueError(f"fixed must be ({length},) bool, with a start, got {check.what(fixed)}")
    free = every if fixed is None else (~fixed.cpu()).nonzero().flatten()
    hears = getattr(answer, "hears", None)
    hears = None if hears is None else hears.cpu()

    log_probs = torch.zeros((length, classes))
    stale, since = torch.ones(length, dtype=torch.bool), 0
    series: list[tuple[float, float, Tensor]] = []
    for iteration in range(steps + 1):
        rows = stale.nonzero().flatten()
        if len(rows):
            log_probs[rows] = answer(types.to(home), rows.to(home)).float().cpu()
        here = log_probs.gather(1, types[:, None]).squeeze(1)
        open_ = log_probs.amax(1) > here + TIE if length else stale
        series.append((-here.mean().item(), open_[free].float().mean().item() if len(free) else 0.0, types.clone()))
        if iteration == steps or since == patience or not len(free):
            break
        count = max(1, round(check.number(share(iteration), "share", low=0, high=1) * len(free)))
        chosen = free[torch.randperm(len(free), generator=generator)[:count]]
        before = types.clone()
        if mode == "identity":
            # Of equals the one that stands: see TIE.
            types[chosen] = torch.where(open_[chosen], log_probs[chosen].argmax(1), types[chosen])
        else:
            probs = (power * log_probs[chosen]).softmax(1)
            types[chosen] = torch.multinomial(probs, 1, generator=generator).squeeze(1)
        rate = mutation * (1 - iteration / mutation_steps) if iteration < mutation_steps else 0.0
        if rate > 0:
            hit = free[torch.rand(len(free), generator=generator) < rate]
            types[hit] = torch.randint(classes, (len(hit),), generator=generator)
        changed = types != before
        stale = changed if hears is None else (hears & changed).any(1)
        stale = stale if hears is not None else changed.any().expand(length)
        since = 0 if bool(changed.any()) else since + 1
    losses, shares, sequences = zip(*series)
    return Design(
        types.to(home),
        torch.tensor(losses),
        torch.tensor(shares),
        torch.stack(sequences),
        patience is not None and since >= patience,
    )
