"""Learn from images without labels by asking two predictions to agree: dual-task consistency, and mean teacher.

=====================  =================================  ==========================  ======================
method                 the two predictions                differ in                   passes a step
=====================  =================================  ==========================  ======================
:func:`dtc_loss`       segmentation, signed distance      the task (two heads)        one
mean teacher           student, teacher (its average)     the weights and the noise   two, one with gradient
=====================  =================================  ==========================  ======================

Both add ``lam`` times a mean squared difference of probabilities to a supervised loss. ``lam`` grows during training
(:func:`gaussian_rampup`): an untrained network has nothing to agree about.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from . import _arguments as check
from .level_sets import mask_from_sdf
from .losses import dice_loss

__all__ = [
    "DTCLoss",
    "DTCWeights",
    "MeanTeacher",
    "MeanTeacherLoss",
    "TwoStreamBatchSampler",
    "clipped_noise",
    "dice_loss",
    "dtc_loss",
    "dtc_weights",
    "ema_update",
    "gaussian_rampup",
    "mean_teacher_loss",
    "task_consistency",
]

# --- Dual-task consistency ------------------------------------------------------------------------------------------


class DTCLoss(NamedTuple):
    """What :func:`dtc_loss` returns: the loss, and its three terms before they are weighted.

    Attributes:
        total: (): the weighted sum.
        dice: (): of the labelled images' masks.
        sdf: (): of their distance maps.
        consistency: (): between the two answers, on all images.
    """

    total: Tensor
    dice: Tensor
    sdf: Tensor
    consistency: Tensor


class DTCWeights(NamedTuple):
    """The three numbers that :func:`dtc_loss` is set by.

    Attributes:
        beta: weight of the distance maps' loss.
        lam: weight of the consistency, at this step.
        k: steepness with which a distance becomes a mask.
    """

    beta: float
    lam: float
    k: float


def dtc_loss(
    logits: Tensor,
    sdf: Tensor,
    target: Tensor,
    target_sdf: Tensor,
    *,
    lam: float,
    beta: float = 0.3,
    k: float = 1500.0,
) -> DTCLoss:
    r"""Dual-task consistency: Dice and distance regression on labelled rows, agreement of the two heads on all.

    .. math:: L = \underbrace{L_{Dice}(\sigma(f_1), y)}_{\text{labelled}}
              + \beta \underbrace{\overline{(f_2 - T(y))^2}}_{\text{labelled}}
              + \lambda \underbrace{\overline{(\sigma(f_1) - T^{-1}(f_2))^2}}_{\text{all}},
              \qquad T^{-1}(z) = \sigma(-k z)

    The bars are means over pixels, rows and channels. The first L rows of the batch are the labelled ones, and L is
    what ``target`` says: :class:`TwoStreamBatchSampler` puts them there. The third term's gradient reaches both heads.

    L = 0 is allowed: the supervised terms are then 0 and only agreement is left. So is L = B.

    Args:
        logits: (B, C, *spatial) :math:`f_1`, scores of C structures before the sigmoid.
        sdf: (B, C, *spatial) :math:`f_2`, the predicted signed distance, negative inside, in the units of
            ``target_sdf``; after a tanh head in [-1, 1].
        target: (L, C, *spatial) masks of the first L rows: bool, integer 0/1, or soft in [0, 1].
        target_sdf: (L, C, *spatial) :math:`T(y)`, their signed distance, such as
            ``level_sets.signed_distance(target, normalize="dtc", spatial_dims=target.ndim - 2)``.
        lam: weight of the consistency now, at least 0; see :func:`dtc_weights`.
        beta: weight of the distance regression, at least 0.
        k: steepness of the transform from distance to probability, above 0; the minus that turns negative inside into
            1 is in the formula (the paper writes :math:`\sigma(k z)` with k = -1500). At 1500 it is a step a few
            thousandths wide: most pixels get no gradient through ``sdf``.

    Returns:
        :class:`DTCLoss` ``(total, dice, sdf, consistency)``: scalars, in float32 where the input is narrower.

    Raises:
        ValueError: if shapes do not fit together, a prediction is not floating-point, or a target outside [0, 1] or a
            weight out of range.

    References:
        Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency, AAAI 2021
        (arXiv:2009.04448).

    >>> inside = torch.tensor([[[20.0, -20.0]]])  # sure: inside, outside
    >>> loss = dtc_loss(inside, torch.tensor([[[-0.5, 0.5]]]), inside > 0, torch.tensor([[[-0.5, 0.5]]]), lam=1.0)
    >>> [round(float(term), 6) for term in loss]
    [0.0, 0.0, 0.0, 0.0]
    """
    logits, sdf = _predictions(logits=logits, sdf=sdf)
    check.labelled(logits, target=target, target_sdf=target_sdf)
    lam, beta = check.number(lam, "lam", low=0), check.number(beta, "beta", low=0)
    probability = logits.sigmoid()
    consistency = _disagreement(probability, mask_from_sdf(sdf, k=k))  # over all rows
    labelled = len(target)  # the first rows
    if labelled:
        dice = dice_loss(probability[:labelled], target)
        regression = nn.functional.mse_loss(sdf[:labelled], target_sdf.to(sdf.dtype))
    else:
        dice = regression = probability.new_zeros(())
    return DTCLoss(dice + beta * regression + lam * consistency, dice, regression, consistency)


def dtc_weights(step: int, total: int, *, source: str = "paper") -> DTCWeights:
    r"""Return what :func:`dtc_loss` is weighted by at a step, according to the paper or to its published code.

    ============  ====================================================================
    ``source``    :math:`\lambda` at step t of T
    ============  ====================================================================
    ``"paper"``   :math:`e^{-5 (1 - t/T)^2}`
    ``"code"``    the same with :math:`\lfloor 40\, t / T \rfloor / 40` for :math:`t/T`
    ``"flag"``    a tenth of ``"code"``
    ============  ====================================================================

    All three have :math:`\beta = 0.3` and :math:`k = 1500`.

    The code changes the weight every 150 of its 6,000 steps, so the last stair is 0.9969 and never 1. It has a flag
    ``--consistency_weight 0.1`` that nothing reads: ``"flag"`` is the training that a reader of its command line
    would expect (0.1 is also what UA-MT, the method it grew from, uses).

    Args:
        step: the current step, from 0; beyond ``total`` the weight stays.
        total: steps of the training.
        source: ``"paper"``, ``"code"`` or ``"flag"``.

    Returns:
        :class:`DTCWeights`; pass it on as ``dtc_loss(..., **dtc_weights(step, total)._asdict())``.

    Raises:
        ValueError: if ``source`` is unknown, or as :func:`gaussian_rampup`.

    References:
        Luo et al., AAAI 2021; its code HiLab-git/DTC, ``code/train_la_dtc.py``.

    >>> dtc_weights(3000, 6000)
    DTCWeights(beta=0.3, lam=0.2865047968601901, k=1500.0)
    >>> dtc_weights(149, 6000, source="code") == dtc_weights(0, 6000, source="code")
    True
    """
    source = check.choice(source, "source", ("paper", "code", "flag"))
    lam = gaussian_rampup(step, total, stairs=None if source == "paper" else 40)
    lam *= 0.1 if source == "flag" else 1.0
    return DTCWeights(beta=0.3, lam=lam, k=1500.0)


def task_consistency(logits: Tensor, sdf: Tensor, *, k: float = 1500.0) -> Tensor:
    r"""Mean squared difference between the segmentation and the one that the signed distance implies.

    .. math:: L_{DTC} = \overline{\big(\sigma(f_1) - \sigma(-k f_2)\big)^2}

    Args:
        logits: (B, ...) :math:`f_1`, before the sigmoid.
        sdf: (B, ...) :math:`f_2`, signed distance, negative inside.
        k: steepness of the transform, above 0.

    Returns:
        A scalar; differentiable in both arguments. 0 for an empty batch.

    Raises:
        ValueError: if the shapes differ or a tensor is not floating-point, or ``k`` is not above 0.

    References:
        Luo et al., AAAI 2021.

    >>> float(task_consistency(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])))
    0.125
    """
    logits, sdf = _predictions(logits=logits, sdf=sdf)
    return _disagreement(logits.sigmoid(), mask_from_sdf(sdf, k=k))


def _predictions(**named: Tensor) -> tuple[Tensor, Tensor]:
    """Two predictions of one shape, wide enough."""
    (first_name, first), (name, second) = named.items()
    check.tensor(first, first_name, kind="floating-point")
    check.same_shape(check.tensor(second, name, kind="floating-point"), name, first, first_name)
    return check.wide(first), check.wide(second)


def _disagreement(one: Tensor, other: Tensor) -> Tensor:
    return nn.functional.mse_loss(one, other) if one.numel() else one.sum() * 0


def gaussian_rampup(step: float, total: float, *, stairs: int | None = None) -> float:
    r"""Return a weight that grows from :math:`e^{-5} \approx 0.0067` at the first step to 1 at the last.

    .. math:: \lambda(t) = e^{-5 (1 - t/T)^2}

    Args:
        step: t; below 0 it counts as 0, beyond ``total`` as ``total``.
        total: T; 0 means no ramp: the weight is 1.
        stairs: move in this many equal stairs, :math:`\lfloor n\, t/T \rfloor / n` for :math:`t/T`; ``None``: smoothly.

    Returns:
        The weight.

    Raises:
        ValueError: if ``step`` is not finite, ``total`` is negative or not finite, or ``stairs`` is below 1.

    References:
        Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017 (arXiv:1610.02242).

    >>> [round(gaussian_rampup(step, 10), 3) for step in (0, 5, 10)]
    [0.007, 0.287, 1.0]
    """
    step, total = check.number(step, "step"), check.number(total, "total", low=0)
    stairs = None if stairs is None else check.whole(stairs, "stairs", low=1)
    if total == 0:
        return 1.0
    step = min(max(step, 0), total)
    # step * stairs first: it is exact for whole numbers, step / total is not.
    phase = step / total if stairs is None else step * stairs // total / stairs
    return math.exp(-5 * (1 - phase) ** 2)


# --- Batches of labelled and unlabelled samples ----------------------------------------------------------------------


class TwoStreamBatchSampler(Sampler[list[int]]):
    """Batches that hold labelled and unlabelled samples in fixed numbers, the labelled ones first.

    Each stream runs through a random order of its indices and then through a new one, so that within one pass of the
    sampler no index comes more than once more often than another of its stream. A stream shorter than its share of a
    batch repeats within the batch.

    Every pass draws new orders. They depend on ``generator`` alone: equal generators give equal batches.

    Args:
        labelled: indices of the labelled samples; empty only with ``labelled_per_batch=0``.
        unlabelled: indices of the unlabelled ones; empty only with ``unlabelled_per_batch=0``.
        labelled_per_batch: how many of them a batch holds.
        unlabelled_per_batch: how many of them a batch holds.
        batches: batches a pass; ``None``: as many whole batches as the labelled samples fill, at least one (without
            labelled ones, the unlabelled).
        generator: source of all randomness, on any device; ``None`` is torch's global CPU generator.

    Raises:
        ValueError: if the numbers are negative or both 0, a stream that is asked for is empty, or an index is in both.

    References:
        Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017 (their code); DTC's samples alike, but
        leaves a remainder of the unlabelled unseen in each pass and refuses short streams.

    >>> sampler = TwoStreamBatchSampler(range(4), range(4, 100), labelled_per_batch=2, unlabelled_per_batch=3)
    >>> [len(batch) for batch in sampler], all(index < 4 for batch in sampler for index in batch[:2])
    ([5, 5], True)
    """

    def __init__(
        self,
        labelled: check.Wholes,
        unlabelled: check.Wholes,
        *,
        labelled_per_batch: int,
        unlabelled_per_batch: int,
        batches: int | None = None,
        generator: torch.Generator | None = None,
    ):
        # Whatever numbers come (NumPy's, tensors), DataLoader hands plain ints to the data set.
        self.labelled = check.wholes(labelled, "labelled")
        self.unlabelled = check.wholes(unlabelled, "unlabelled")
        self.labelled_per_batch = check.whole(labelled_per_batch, "labelled_per_batch", low=0)
        self.unlabelled_per_batch = check.whole(unlabelled_per_batch, "unlabelled_per_batch", low=0)
        self.generator = check.generator(generator)
        streams = {"labelled": (self.labelled, self.labelled_per_batch)}
        streams |= {"unlabelled": (self.unlabelled, self.unlabelled_per_batch)}
        if not any(share for _, share in streams.values()):
            raise ValueError("labelled_per_batch and unlabelled_per_batch must not both be 0, got 0 and 0")
        for name, (stream, share) in streams.items():
            if share and not stream:
                raise ValueError(f"{name} is empty, but {name}_per_batch is {share}")
        both = set(self.labelled) & set(self.unlabelled)
        if both:
            raise ValueError(f"labelled and unlabelled must have no index in common, got {sorted(both)[:5]} in both")
        if batches is None:
            stream, share = next((stream, share) for stream, share in streams.values() if share)
            batches = max(1, len(stream) // share)
        self.batches = check.whole(batches, "batches", low=1)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        labelled, unlabelled = self._shuffles(self.labelled), self._shuffles(self.unlabelled)
        for _ in range(self.batches):
            yield [
                *(next(labelled) for _ in range(self.labelled_per_batch)),
                *(next(unlabelled) for _ in range(self.unlabelled_per_batch)),
            ]

    def _shuffles(self, indices: Sequence[int]) -> Iterator[int]:
        while True:
            device = "cpu" if self.generator is None else self.generator.device
            for position in torch.randperm(len(indices), generator=self.generator, device=device).tolist():
                yield indices[position]


# --- Mean teacher ---------------------------------------------------------------------------------------------------


class MeanTeacherLoss(NamedTuple):
    """What :func:`mean_teacher_loss` returns: the loss, and its two terms before they are weighted.

    Attributes:
        total: (): the weighted sum.
        dice: (): of the labelled images.
        consistency: (): between student and teacher.
    """

    total: Tensor
    dice: Tensor
    consistency: Tensor


def mean_teacher_loss(logits: Tensor, teacher_logits: Tensor, target: Tensor, *, lam: float) -> MeanTeacherLoss:
    r"""Mean teacher for segmentation: Dice where there are labels, agreement with the teacher everywhere.

    .. math:: L = L_{Dice}(\sigma(f), y) + \lambda\, \overline{(\sigma(f) - \sigma(\bar f))^2}

    Args:
        logits: (B, C, *spatial) the student's scores, labelled rows first.
        teacher_logits: the same shape, the teacher's; no gradient flows into it.
        target: (L, C, *spatial) masks of the first L rows; L = 0 leaves only the agreement.
        lam: weight of the consistency now, at least 0; such as ``0.1 * gaussian_rampup(step, total)``.

    Returns:
        :class:`MeanTeacherLoss` ``(total, dice, consistency)``: scalars, in float32 where the input is narrower.

    Raises:
        ValueError: if shapes do not fit together, a prediction is not floating-point, or a target outside [0, 1] or
            ``lam`` negative.

    References:
        Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017, section 2; with Dice and 0.1 as in
        Yu et al., UA-MT, MICCAI 2019 (without its uncertainty mask).

    >>> sure = torch.tensor([[[20.0, -20.0]]])
    >>> mean_teacher_loss(sure, torch.zeros(1, 1, 2), sure > 0, lam=1.0).consistency.item()
    0.25
    """
    logits, teacher_logits = _predictions(logits=logits, teacher_logits=teacher_logits)
    check.labelled(logits, target=target)
    lam = check.number(lam, "lam", low=0)
    probability = logits.sigmoid()
    dice = dice_loss(probability[: len(target)], target) if len(target) else probability.new_zeros(())
    consistency = _disagreement(probability, teacher_logits.detach().sigmoid())  # over all rows
    return MeanTeacherLoss(dice + lam * consistency, dice, consistency)


class MeanTeacher(nn.Module):
    r"""A copy of a network that follows the original's average: update it after each step, ask it for targets.

    .. math:: \bar\theta \leftarrow \alpha_t \bar\theta + (1 - \alpha_t)\, \theta, \qquad
              \alpha_t = \min\!\big(1 - \tfrac{1}{t + 1},\ \alpha\big)

    At the first update t = 0, so that the teacher *is* the student; until t reaches :math:`1/(1-\alpha)` it is the
    plain mean of all students so far. Called, it runs without gradient. ``train()`` and ``eval()`` work as on any
    module: in train mode batch norm uses the batch, as in the published codes. ``state_dict`` holds the count of
    updates too, and the average in float32 where the network is narrower (see :func:`ema_update`).

    Args:
        student: the network to follow; copied, never changed.
        decay: :math:`\alpha`, in [0, 1].
        buffers: what happens to buffers such as batch norm's statistics, as in :func:`ema_update`.

    Raises:
        ValueError: if ``decay`` or ``buffers`` is not as described.

    References:
        Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017, section 2 and their code.

    >>> student = nn.Linear(1, 1)
    >>> teacher = MeanTeacher(student, decay=0.9)
    >>> teacher.update(student)
    >>> bool(teacher(torch.ones(1, 1)) == student(torch.ones(1, 1)))
    True
    """

    def __init__(self, student: nn.Module, *, decay: float = 0.99, buffers: str = "copy"):
        super().__init__()
        self.decay, self.buffer_policy = check.number(decay, "decay", low=0, high=1), _buffers(buffers)
        self.model = copy.deepcopy(student).requires_grad_(False)
        self.updates = 0

    @torch.no_grad()
    def forward(self, *inputs, **options):
        """Run the averaged network, without gradient.

        Args:
            inputs: of the network.
            options: of the network.
        """
        return self.model(*inputs, **options)

    def update(self, student: nn.Module) -> None:
        """Move towards the student; call once after each optimizer step.

        Args:
            student: the network that is followed, after its step.
        """
        decay = min(1 - 1 / (self.updates + 1), self.decay)
        ema_update(self.model, student, decay=decay, buffers=self.buffer_policy)
        self.updates += 1

    def get_extra_state(self) -> dict[str, Any]:
        averages = {name: own.average for name, own in self._own() if hasattr(own, "average")}
        return {"updates": self.updates, **({"averages": averages} if averages else {})}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for name, own in self._own():
            if name in state.get("averages", ()):
                own.average = state["averages"][name].to(own.device, copy=True)

    def _own(self) -> Iterator[tuple[str, Any]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, *, decay: float, buffers: str = "copy") -> None:
    r"""Move a network's parameters towards another's, in place.

    .. math:: \bar\theta \leftarrow \alpha \bar\theta + (1 - \alpha)\, \theta

    In half precision most steps are smaller than a parameter's last digit, and the teacher would stand still. So the
    average of a parameter that is narrower than float32 is kept in float32 beside it, as its attribute ``average``, and
    the parameter is that number rounded.

    Args:
        teacher: the network to change; of the same structure, without parameters in common.
        student: the network to follow; not changed.
        decay: :math:`\alpha` in [0, 1]: 0 copies, 1 leaves the teacher as it is.
        buffers: ``"copy"``: take the student's (batch norm's statistics and counters stay consistent); ``"average"``:
            average floating-point ones like parameters and copy the others; ``"keep"``: leave the teacher its own, for
            teachers that run in train mode (the published codes).

    Raises:
        ValueError: if the networks differ in a name or a shape, share a parameter, or an option is out of range.

    References:
        Tarvainen & Valpola, NeurIPS 2017, section 2.

    >>> teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> ema_update(teacher, student, decay=0.0)
    >>> bool(teacher.weight == student.weight)
    True
    """
    decay, buffers = check.number(decay, "decay", low=0, high=1), _buffers(buffers)
    for name, own, other in _pairs("parameter", teacher.named_parameters(), student.named_parameters()):
        if own is other:
            raise ValueError(f"teacher must be a copy of its own (copy.deepcopy), but shares {name!r} with the student")
        _follow(own, other, decay)
    if buffers == "keep":
        return
    for _, own, other in _pairs("buffer", teacher.named_buffers(), student.named_buffers()):
        if buffers == "average" and own.is_floating_point():
            _follow(own, other, decay)
        else:
            own.copy_(other)


def _follow(own: Any, other: Tensor, decay: float) -> None:
    if own.dtype not in (torch.float16, torch.bfloat16):
        own.lerp_(other.to(own), 1 - decay)
        return
    average = getattr(own, "average", None)
    if average is None or not torch.equal(average.to(own), own):  # the first time, or changed by somebody else
        average = own.float()
    own.average = average.to(own.device).lerp_(other.to(own.device, torch.float32), 1 - decay)
    own.copy_(own.average)


def _buffers(policy: str) -> str:
    return check.choice(policy, "buffers", ("copy", "average", "keep"))


def _pairs(kind: str, teacher, student) -> list[tuple[str, Tensor, Tensor]]:
    """Match tensors by name, before any is changed."""
    teacher, student = dict(teacher), dict(student)
    if teacher.keys() != student.keys():
        odd = sorted(teacher.keys() ^ student.keys())
        raise ValueError(f"teacher and student must have the same structure; only one has the {kind} {odd[0]!r}")
    for name, own in teacher.items():
        if own.shape != student[name].shape:
            shapes = f"{tuple(own.shape)} and {tuple(student[name].shape)}"
            raise ValueError(f"teacher and student must have equal shapes, got {shapes} for {name!r}")
    return [(name, own, student[name]) for name, own in teacher.items()]


def clipped_noise(
    inputs: Tensor, *, std: float = 0.1, clip: float = 0.2, generator: torch.Generator | None = None
) -> Tensor:
    r"""Return Gaussian noise for the teacher's input: :math:`\mathrm{clip}(\mathcal N(0, s^2), -c, c)`.

    Args:
        inputs: any floating-point tensor; gives shape, dtype and device.
        std: :math:`s`, at least 0, in units of the inputs (which UA-MT and DTC scale to deviation 1).
        clip: :math:`c`, at least 0.
        generator: source of all randomness, on any device; ``None`` is torch's global CPU generator.

    Returns:
        The noise, of the inputs' shape; add it yourself.

    Raises:
        ValueError: if ``std`` or ``clip`` is negative or not finite, or ``inputs`` is not floating-point.

    References:
        Yu et al., UA-MT, MICCAI 2019 (values from their code).

    >>> bool(clipped_noise(torch.zeros(100)).abs().max() <= 0.2)
    True
    """
    check.tensor(inputs, "inputs", kind="floating-point")
    std, clip = check.number(std, "std", low=0), check.number(clip, "clip", low=0)
    generator = check.generator(generator)
    device = "cpu" if generator is None else generator.device
    noise = torch.randn(
        inputs.shape, generator=generator, device=device, dtype=torch.promote_types(inputs.dtype, torch.float32)
    )
    return noise.mul_(std).clamp_(-clip, clip).to(inputs)
