"""The encoder of an environment and the decoder of what stands in its middle.

Taught in chapter 15.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from .features import OFFSETS, Environment, neighbour_features
from .scores import in_range

__all__ = ["InverseFolding", "inverse_folding_loss"]

#: What a target may be, beside a number of classes.
KINDS = {"number": 1, "angle": 2}
FEATURES = ("spatial", "offset", "types", "torsions")


class InverseFolding(nn.Module):
    r"""Says what a residue is, from the backbone around it and the types of its neighbours.

    Each of the k + 1 residues of an environment becomes a vector,

    .. math:: E_n = W_s s_n + w_{o(n)} + w_{a(n)} + W_t t_n

    with s its place and orientation, o its step along the chain, a its type (for the residue in the middle: *masked*)
    and t the torsions (of the one in the middle only). A Transformer lets them look at each other, and linear maps read
    all targets from the vector in the middle. (The paper concatenates the four and lets a linear map mix them, which is
    the same sum.)

    Args:
        width: of the vectors; a multiple of ``heads``.
        depth: layers.
        heads: of the attention.
        k: neighbours, as in :func:`neighbour_features`.
        targets: further things to predict, by name: a number of classes, ``"number"`` or ``"angle"``.
        features: which of ``"spatial"``, ``"offset"``, ``"types"`` and ``"torsions"`` the network is shown.
        dropout: in the layers.
        classes: residue types.

    Raises:
        ValueError: settings that do not fit.

    References:
        Liu et al., Nature Computational Science 2022 (k 20, width 1024, 12 layers of 8 heads).

    >>> from tutorial_lib.protein import build_backbone
    >>> model = InverseFolding(width=16, depth=1, heads=2, k=4, targets={"structure": 3})
    >>> seen = neighbour_features(build_backbone(torch.zeros(6, 3)), k=4)
    >>> {name: tuple(out.shape) for name, out in model(seen, torch.zeros(6, dtype=torch.int64)).items()}
    {'type': (6, 20), 'structure': (6, 3)}
    """

    def __init__(
        self,
        *,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        k: int = 20,
        targets: Mapping[str, int | str] | None = None,
        features: Sequence[str] = FEATURES,
        dropout: float = 0.0,
        classes: int = 20,
    ):
        super().__init__()
        self.scale: Tensor
        self.heads = check.whole(heads, "heads", low=1)
        self.width, depth = check.whole(width, "width", low=1), check.whole(depth, "depth", low=1)
        self.k, self.classes = check.whole(k, "k", low=0), check.whole(classes, "classes", low=2)
        dropout = check.number(dropout, "dropout", low=0, below=1)
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, {self.heads}, got {self.width}")
        self.features = tuple(check.choice(one, "features", FEATURES) for one in features)
        self.targets = dict(targets or {})
        sizes = {"type": self.classes}
        for name, kind in self.targets.items():
            if name == "type":
                raise ValueError("targets must have other names than 'type', which is always there")
            if kind not in KINDS:
                kind = check.whole(kind, f"targets[{name!r}]", low=2)
            sizes[name] = KINDS[kind] if isinstance(kind, str) else kind

        self.place = nn.Linear(22, width)
        self.step = nn.Embedding(OFFSETS, width)
        self.kind = nn.Embedding(self.classes + 1, width)  # the last one: masked
        self.turn = nn.Linear(30, width)
        self.layers = nn.ModuleList(_Layer(width, self.heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleDict({f"to {name}": nn.Linear(width, size) for name, size in sizes.items()})
        # Ångström and radians to numbers of about one.
        self.register_buffer("scale", torch.tensor([1.0] * 16 + [0.1] * 3 + [0.5] * 3), persistent=False)

    def embed(self, environment: Environment) -> Tensor:
        """The part of the vectors that does not change with the sequence.

        Args:
            environment: of n residues, from :func:`neighbour_features`.

        Returns:
            (n, k + 1, width).
        """
        tokens = environment.spatial.new_zeros((*environment.neighbours.shape, self.width)).to(self.scale.dtype)
        if "spatial" in self.features:
            tokens = tokens + self.place(environment.spatial.to(self.scale) * self.scale)
        if "offset" in self.features:
            tokens = tokens + self.step(environment.offset)
        if "torsions" in self.features:
            middle = torch.zeros_like(tokens)
            middle[:, 0] = self.turn(environment.torsions.to(self.scale))
            tokens = tokens + middle
        return tokens

    def decode(self, tokens: Tensor, types: Tensor, present: Tensor) -> dict[str, Tensor]:
        """All targets, from embedded environments and the types in them.

        Args:
            tokens: (n, k + 1, width), from :meth:`embed`.
            types: (n, k + 1) int64, the types in each environment; the first column is ignored.
            present: (n, k + 1) bool, which neighbours there are.

        Returns:
            As ``forward``.
        """
        masked = torch.cat((torch.full_like(types[:, :1], self.classes), types[:, 1:]), 1)
        if "types" not in self.features:
            masked = torch.full_like(types, self.classes)
        hidden = tokens + self.kind(masked)
        for layer in self.layers[:-1]:
            hidden = layer(hidden, hidden, present)
        hidden = self.layers[-1](hidden[:, :1], hidden, present)  # only the middle is read: (n, 1, width)
        hidden = self.norm(hidden[:, 0])
        return {name.removeprefix("to "): read(hidden) for name, read in self.decoder.items()}

    def forward(self, environment: Environment, types: Tensor, rows: Tensor | None = None) -> dict[str, Tensor]:
        """Predict every target of some residues.

        Args:
            environment: of N residues.
            types: (N,) int64, the types of all; a residue's own is hidden from it.
            rows: (n,) int64, which residues; by default all.

        Returns:
            name -> (n, size) logits of classes, (n, 1) numbers, or (n, 2) sine and cosine, not normed.

        Raises:
            ValueError: types outside the range, or not one a residue.
        """
        types = check.tensor(types, "types", "(L,)", kind="whole").long()
        if not isinstance(environment, Environment):
            raise ValueError(f"environment must come from neighbour_features, got {check.what(environment)}")
        if environment.neighbours.shape[1] != self.k + 1:
            raise ValueError(f"environment must have k = {self.k}, got {environment.neighbours.shape[1] - 1}")
        in_range(types, "types", self.classes)
        seen = environment if rows is None else environment.rows(rows)
        if seen.neighbours.numel() and int(seen.neighbours.max()) >= len(types):
            raise ValueError(f"types must be one a residue, got {len(types)}")
        return self.decode(self.embed(seen), types[seen.neighbours], seen.present)

    @torch.no_grad()
    def conditionals(self, backbone: Tensor) -> "Conditionals":
        """The types' log-probabilities on one backbone, given all others: what :func:`self_consistent_design` asks.

        Args:
            backbone: (L, A, 3), ångström.

        Returns:
            A function ``(types (L,), rows (n,)) -> (n, classes)``; its attribute ``hears`` (L, L) says whose type each
            residue's answer depends on. The geometry is looked at once.
        """
        training = self.training
        self.eval()
        environment = neighbour_features(backbone.to(self.scale.device), k=self.k)
        tokens = self.embed(environment)
        self.train(training)

        @torch.no_grad()
        def answer(types: Tensor, rows: Tensor) -> Tensor:
            training = self.training
            self.eval()
            told = types[environment.neighbours[rows]]
            logits = self.decode(tokens[rows], told, environment.present[rows])["type"]
            self.train(training)
            return logits.log_softmax(-1)

        length = len(tokens)
        hears = torch.zeros((length, length), dtype=torch.bool, device=tokens.device)
        if length and "types" in self.features:
            hears.scatter_(1, environment.neighbours, environment.present)
            hears.fill_diagonal_(False)
        return Conditionals(answer, hears)


class _Layer(nn.Module):
    """A layer of a Transformer, normed first: ``some`` of the tokens look at ``every`` one that is present."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm, self.ask = nn.LayerNorm(width), nn.Linear(width, width)
        self.tell, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, some: Tensor, every: Tensor, present: Tensor) -> Tensor:
        def split(values: Tensor) -> Tensor:  # (n, t, width) -> (n, heads, t, width / heads)
            return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        keys, values = (split(part) for part in self.tell(self.norm(every)).chunk(2, -1))
        asked = split(self.ask(self.norm(some)))
        alike = (asked @ keys.mT) / asked.shape[-1] ** 0.5  # (n, heads, some, every)
        seen = alike.masked_fill(~present[:, None, None], -torch.inf).softmax(-1) @ values
        some = some + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        return some + self.dropout(self.feed(some))


class Conditionals:
    """A function of types and rows, with the matrix of who hears whom."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor], hears: Tensor | None):
        self.answer, self.hears = answer, hears

    def __call__(self, types: Tensor, rows: Tensor) -> Tensor:
        return self.answer(types, rows)


def inverse_folding_loss(
    outputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    *,
    weights: Mapping[str, float] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""The loss of several targets at once, each the mean over the residues for which it is known.

    Classes: the cross-entropy. Numbers: :math:`|\hat y - y|`. Angles, of which the network gives a sine and a cosine:
    :math:`1 - \cos(\hat\theta - \theta)`, which does not mind where the circle is cut (the published code takes the
    absolute difference of angle / 180, for which −179° and 179° are far apart).

    Args:
        outputs: what :class:`InverseFolding` gives.
        targets: by the same names: (n,) int64 classes, −1 where unknown; or (n,) numbers or radians, nan where unknown.
            Radians may be (n, a), several right answers of which the nearest counts: the ring of a phenylalanine,
            turned half round, is the same ring. A name that is missing here is not trained.
        weights: by name; a missing one is 1.

    Returns:
        The weighted sum, and each part without its weight.

    Raises:
        ValueError: no target, or one that the network does not have.

    References:
        Kendall et al., Multi-task learning using uncertainty, CVPR 2018, for how much the weights matter.

    >>> total, parts = inverse_folding_loss({"chi1": torch.tensor([[0.0, -2.0]])}, {"chi1": torch.tensor([-torch.pi])})
    >>> round(total.item(), 4)
    0.0
    """
    weights = dict(weights or {})
    if not targets:
        raise ValueError("targets must hold at least one, got none")
    parts: dict[str, Tensor] = {}
    for name, target in targets.items():
        if name not in outputs:
            raise ValueError(f"targets must be among the network's, {', '.join(outputs)}, got {name!r}")
        parts[name] = _loss(outputs[name], target, name)
    factors = {name: check.number(weights.get(name, 1.0), f"weights[{name!r}]", low=0) for name in parts}
    total = torch.stack([factors[name] * part for name, part in parts.items()]).sum()
    return total, parts


def _loss(output: Tensor, target: Tensor, name: str) -> Tensor:
    several = isinstance(target, Tensor) and target.ndim == 2 and output.shape[1] == 2
    target = check.tensor(target, f"targets[{name!r}]", "(n, a)" if several else "(n,)")
    if len(target) != len(output):
        raise ValueError(f"targets[{name!r}] must be one a residue, {len(output)}, got {len(target)}")
    if not target.is_floating_point():
        known = target >= 0
        in_range(target.clamp_min(0), f"targets[{name!r}]", output.shape[1])
        loss = F.cross_entropy(check.wide(output), target.long().clamp_min(0), reduction="none")
    else:
        known = ~target.isnan()
        target = target.masked_fill(~known, 0.0)
        if output.shape[1] == 1:
            loss = (check.wide(output)[:, 0] - target).abs()
        elif output.shape[1] == 2:
            sine, cosine = check.wide(output).unbind(-1)
            found = torch.atan2(sine, cosine)
            if several:
                apart = (1 - torch.cos(found[:, None] - target)).masked_fill(~known, torch.inf)
                known = known.any(1)
                loss = apart.amin(1).masked_fill(~known, 0.0) if apart.shape[1] else torch.zeros_like(found)
            else:
                loss = 1 - torch.cos(found - target)
        else:
            raise ValueError(f"targets[{name!r}] must be classes, {output.shape[1]} of them, got {target.dtype}")
    return check.reduced(loss, "mean", known)
