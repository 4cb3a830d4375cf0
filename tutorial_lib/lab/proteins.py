r"""Small proteins from a stated law: compact backbones of ideal geometry, and sequences drawn from a known Potts model.

The law of a backbone gives every sequence :math:`a` an energy,

.. math:: E(a) = -\sum_i h_i(a_i) - \sum_{i < j \text{ in contact}} J(a_i, a_j), \qquad P(a) = e^{-E(a)} / Z

so that what is only estimated for real proteins is known here: the probability of a residue's type given all others,
the energy of any design, and, where the chain is small enough, the best sequence. The law resembles nature in its signs
(grease inside, charges outside, opposite charges together, large beside small, glycine where φ > 0), not in its sizes.

Every function returns the same arrays for the same seed.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._arguments import number, whole
from ..protein import AMINO_ACIDS, build_backbone, half_sphere_exposure, torsions, virtual_cb

__all__ = ["KnownLaw", "Potts", "ProteinWorld", "backbone_classes", "potts_law", "protein_backbones", "protein_world"]

# In the order of AMINO_ACIDS.
# Hydropathy (Kyte and Doolittle 1982), divided by 4.5.
_HYDROPATHY: tuple[float, ...] = (
    0.40,
    0.56,
    -0.78,
    -0.78,
    0.62,
    -0.09,
    -0.71,
    1.0,
    -0.87,
    0.84,
    0.42,
    -0.78,
    -0.36,
    -0.78,
    -1.0,
    -0.18,
)
_HYDROPATHY += (-0.16, 0.93, -0.20, -0.29)
# Side-chain size: volumes (Zamyatnin 1972) from glycine, −1, to tryptophan, 1.
_SIZE: tuple[float, ...] = (
    -0.66,
    -0.42,
    -0.39,
    -0.06,
    0.55,
    -1.0,
    0.11,
    0.27,
    0.30,
    0.27,
    0.23,
    -0.35,
    -0.37,
    0.0,
    0.36,
    -0.65,
    -0.33,
)
_SIZE += (-0.04, 1.0, 0.60)
_CHARGE = {"D": -1.0, "E": -1.0, "K": 1.0, "R": 1.0, "H": 0.3}
#: What a residue's torsions make of it.
CLASSES = ("helix", "strand", "turn", "turn, φ > 0")
# Who likes to be there; the others 0. Signs as in Chou and Fasman 1978, sizes ours.
_LIKES = (
    {"A": 1.0, "E": 0.9, "L": 0.6, "M": 0.6, "K": 0.5, "Q": 0.5, "R": 0.3, "G": -1.2, "P": -2.0},
    {"V": 1.0, "I": 0.9, "Y": 0.8, "F": 0.6, "T": 0.6, "W": 0.5, "P": -1.5, "G": -0.6, "D": -0.8},
    {"P": 1.0, "S": 0.7, "D": 0.7, "N": 0.5, "G": 0.3, "I": -0.6, "M": -0.5},
    {"G": 2.2, "N": 1.2, "D": 0.4, "P": -2.5, "V": -1.0, "I": -1.0, "T": -0.8},
)
_BURIAL, _LIKING, _GREASE, _CHARGES, _FIT, _BRIDGE = 1.2, 1.0, 0.7, 0.8, 1.4, 1.5
_CONTACT, _APART = 8.0, 3  # ångström between virtual Cβ; residues along the chain

# Torsions in degrees, and how far they scatter.
_HELIX, _STRAND = (-62.0, -43.0), (-115.0, 132.0)
_BASINS = np.array([(-65.0, -40.0), (-75.0, 145.0), (-110.0, 125.0), (-90.0, 0.0), (57.0, 42.0)])


class Potts:
    """A Potts model of one chain. Called with types and rows, it says what those residues would be, given the others.

    Attributes:
        fields: (L, A) float64, h.
        couplings: (A, A) float64, J, symmetric.
        contacts: (L, L) bool, symmetric; as ``hears`` it tells a design whose type each residue depends on.
    """

    def __init__(self, fields: Tensor, couplings: Tensor, contacts: Tensor):
        self.fields, self.couplings, self.contacts = fields.double(), couplings.double(), contacts.bool()
        length, types = self.fields.shape
        if self.couplings.shape != (types, types) or self.contacts.shape != (length, length):
            raise ValueError(
                f"couplings must be ({types}, {types}) and contacts ({length}, {length}), got "
                f"{tuple(self.couplings.shape)} and {tuple(self.contacts.shape)}"
            )
        if not torch.equal(self.contacts, self.contacts.T) or bool(self.contacts.diagonal().any()):
            raise ValueError("contacts must be symmetric, with nobody in contact with himself")
        if not torch.allclose(self.couplings, self.couplings.T):
            raise ValueError("couplings must be symmetric")

    @property
    def hears(self) -> Tensor:
        """Whose type each residue's probabilities depend on."""
        return self.contacts

    def energy(self, types: Tensor) -> Tensor:
        """E of sequences (..., L); the lower, the more probable.

        >>> pair = Potts(torch.zeros(2, 2), torch.eye(2), torch.tensor([[False, True], [True, False]]))
        >>> pair.energy(torch.tensor([[0, 0], [0, 1]])).tolist()
        [-1.0, -0.0]
        """
        types = types.cpu()
        own = self.fields[torch.arange(types.shape[-1]), types].sum(-1)
        one, other = self.contacts.triu().nonzero().T
        return -own - self.couplings[types[..., one], types[..., other]].sum(-1)

    def __call__(self, types: Tensor, rows: Tensor | None = None) -> Tensor:
        """The exact log p(a_i | all others), (n, A), of the residues ``rows`` (by default all) of a sequence (L,)."""
        told = types.cpu()
        rows = torch.arange(len(told)) if rows is None else rows.cpu()
        heard = self.contacts[rows].double() @ self.couplings[told]  # J is symmetric
        return (self.fields[rows] + heard).log_softmax(-1).to(types.device)

    def anneal(self, *, sweeps: int = 200, hot: float = 3.0, restarts: int = 8, seed: int = 0) -> Tensor:
        """The best sequence that simulated annealing finds: every residue in turn, at a temperature that falls to 0.

        Args:
            sweeps: over all residues.
            hot: the first temperature; it falls by a constant factor to 0.05, and a last sweeps are greedy.
            restarts: from other sequences; the best end counts.
            seed: of the draws.

        Returns:
            (L,) int64.
        """
        sweeps, restarts = whole(sweeps, "sweeps", low=2), whole(restarts, "restarts", low=1)
        hot = number(hot, "hot", above=0.05)
        rng = np.random.default_rng(whole(seed, "seed", low=0))
        types = rng.integers(self.fields.shape[1], size=(restarts, len(self.fields)))
        temperatures = [hot * (0.05 / hot) ** (step / (sweeps - 1)) for step in range(sweeps)] + [0.0] * 5
        fields = np.broadcast_to(self.fields.numpy(), (restarts, *self.fields.shape))
        near = [np.flatnonzero(row) for row in self.contacts.numpy()]
        couplings = self.couplings.numpy()
        for temperature in temperatures:
            for place, others in enumerate(near):
                score = fields[:, place] + couplings[types[:, others]].sum(1)
                if temperature:
                    score = score / temperature + rng.gumbel(size=score.shape)
                types[:, place] = score.argmax(1)
        found = torch.from_numpy(types)
        return found[self.energy(found).argmin()]

    def best(self, *, most: int = 5_000_000) -> Tensor:
        """The sequence of the lowest energy, exactly: residues are put out of the sum one by one (bucket elimination).

        Args:
            most: the largest table that may be made. Its size grows with A to the power of the contacts that a residue
                has when its turn comes: hairpins go, bundles of helices do not.

        Returns:
            (L,) int64.

        Raises:
            ValueError: the chain is too entangled.

        >>> fields = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
        >>> chain = Potts(fields, torch.eye(2), torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).bool())
        >>> chain.best().tolist()
        [0, 0, 0]
        """
        types, length = self.fields.shape[1], len(self.fields)
        tables = [([place], self.fields[place]) for place in range(length)]
        tables += [([int(one), int(other)], self.couplings) for one, other in self.contacts.triu().nonzero()]
        left, order = set(range(length)), []
        while left:
            scopes = {place: {n for scope, _ in tables if place in scope for n in scope} for place in left}
            place = min(left, key=lambda one: (len(scopes[one]), one))
            scope = [place, *sorted(scopes[place] - {place})]
            if types ** len(scope) > most:
                raise ValueError(f"most must be {types ** len(scope):,} for this chain, got {most:,}; see anneal")
            total = torch.zeros((types,) * len(scope), dtype=torch.float64)
            for names, table in tables:
                if place in names:
                    axes = sorted(names, key=scope.index)
                    shape = [types if name in names else 1 for name in scope]
                    total = total + table.permute([names.index(name) for name in axes]).reshape(shape)
            tables = [(names, table) for names, table in tables if place not in names]
            tables.append((scope[1:], total.amax(0)))
            order.append((place, scope[1:], total.argmax(0)))
            left.remove(place)
        answer = torch.zeros(length, dtype=torch.int64)
        for place, scope, choice in reversed(order):
            answer[place] = choice[tuple(answer[scope])] if scope else choice
        return answer


class KnownLaw:
    """The true conditionals in the place of a network: what ``self_consistent_design`` may be handed."""

    def conditionals(self, backbone: Tensor) -> Potts:
        """The law of a backbone; see :func:`potts_law`."""
        return potts_law(backbone)


def backbone_classes(backbone: Tensor) -> Tensor:
    """What its torsions make of every residue: an index into ``CLASSES``; the ends are turns.

    >>> helix = build_backbone(torch.tensor([-62.0, -43.0, 180.0]).deg2rad().expand(4, 3))
    >>> backbone_classes(helix).tolist()
    [2, 0, 0, 2]
    """
    phi, psi, _ = torsions(backbone).rad2deg().unbind(-1)
    found = torch.full(phi.shape, 2)
    found[(phi < -30) & (psi > -80) & (psi < -20)] = 0
    found[(phi < -90) & (psi > 90)] = 1
    found[phi > 0] = 3
    return found


def potts_law(backbone: Tensor) -> Potts:
    """The law of a backbone (L, 4, 3): fields by burial and torsions, couplings between virtual Cβ nearer than 8 Å.

    Residues fewer than three steps apart along the chain are never in contact.

    >>> law = potts_law(protein_backbones(1, seed=0)[0])
    >>> law.couplings.shape, bool(law.contacts.any())
    (torch.Size([20, 20]), True)
    """
    backbone = backbone.detach().cpu().double()
    oily, size = torch.tensor(_HYDROPATHY).double(), torch.tensor(_SIZE).double()
    charge = torch.tensor([_CHARGE.get(letter, 0.0) for letter in AMINO_ACIDS]).double()
    likes = torch.tensor([[row.get(letter, 0.0) for letter in AMINO_ACIDS] for row in _LIKES]).double()
    buried = ((half_sphere_exposure(backbone) - 7) / 5).clamp(-1.5, 1.5)  # (L,)
    fields = _BURIAL * buried[:, None] * oily + _LIKING * likes[backbone_classes(backbone)]
    fields = fields - 0.4 * torch.tensor([letter in "CWMH" for letter in AMINO_ACIDS])  # rare in nature

    couplings = _GREASE * oily[:, None] * oily - _CHARGES * charge[:, None] * charge - _FIT * size[:, None] * size
    cysteine = AMINO_ACIDS.index("C")
    couplings[cysteine, cysteine] += _BRIDGE
    cb, place = virtual_cb(backbone), torch.arange(len(backbone))
    contacts = (torch.cdist(cb, cb) < _CONTACT) & ((place[:, None] - place).abs() >= _APART)
    return Potts(fields, couplings, contacts)


def protein_backbones(count: int, *, seed: int, shortest: int = 30, longest: int = 60, tries: int = 96) -> list[Tensor]:
    """Make compact backbones of helices and strands.

    Two to five elements (helices of 8 to 14 residues, strands of 4 to 7) are joined by turns of three to five. Torsions
    scatter by 4° in helices, 8° in strands, 12° in turns, whose basins are drawn; of ``tries`` draws the one with
    most pairs of Cα nearer than 10 Å (six or more steps apart), and none nearer than 4.2 Å (three or more), is kept.

    Args:
        count: how many chains.
        seed: of the draws.
        shortest, longest: residues a chain.
        tries: draws for each.

    Returns:
        ``count`` tensors (L, 4, 3) float32, ångström, centred.

    Raises:
        ValueError: counts that cannot be.

    >>> [tuple(one.shape[1:]) for one in protein_backbones(2, seed=0)]
    [(4, 3), (4, 3)]
    """
    count, seed = whole(count, "count", low=0), whole(seed, "seed", low=0)
    shortest, tries = whole(shortest, "shortest", low=12), whole(tries, "tries", low=1)
    longest = whole(longest, "longest", low=shortest)
    rng, found = np.random.default_rng(seed), []
    for start in range(0, count, 64):  # some at a time: 64 x 48 chains of 60 residues are 9 MB an atom set
        size = min(64, count - start)
        lengths = rng.integers(shortest, longest + 1, size)
        angles = np.stack([_angles(rng, longest, tries) for _ in range(size)])  # (n, tries, L, 3)
        built = build_backbone(torch.from_numpy(np.deg2rad(angles)).float())
        for chains, length in zip(built, lengths.tolist()):
            found.append(_most_compact(chains[:, :length]))
    return found


def _angles(rng: np.random.Generator, length: int, tries: int) -> np.ndarray:
    """(tries, L, 3) degrees: one plan of elements, several draws of the turns between them."""
    mean, scatter = np.empty((tries, length, 2)), np.empty(length)
    place, kind = 0, bool(rng.random() < 0.5)
    while place < length:
        size = int(rng.integers(8, 15) if kind else rng.integers(4, 8))
        mean[:, place : place + size] = _HELIX if kind else _STRAND
        scatter[place : place + size] = 4 if kind else 8
        place += size
        size = int(rng.integers(3, 6))
        turn = mean[:, place : place + size]
        mean[:, place : place + size] = _BASINS[rng.choice(5, (tries, turn.shape[1]), p=(0.25, 0.2, 0.2, 0.2, 0.15))]
        scatter[place : place + size] = 12
        place += size
        kind = kind if rng.random() < 0.7 else not kind
    angles = mean + scatter[:, None] * rng.standard_normal(mean.shape)
    return np.concatenate((angles, 180 + 3 * rng.standard_normal((tries, length, 1))), -1)


def _most_compact(chains: Tensor) -> Tensor:
    ca = chains[:, :, 1]
    place = torch.arange(ca.shape[1])
    steps, distance = (place[:, None] - place).abs(), torch.cdist(ca, ca)
    clash = ((distance < 4.2) & (steps >= 3)).any(2).any(1)
    near = ((distance < 10) & (steps >= 6)).sum((1, 2))
    kept = chains[(near - 10**6 * clash).argmax()]
    return kept - kept[:, 1].mean(0)


class ProteinWorld(NamedTuple):
    """``backbones``, n tensors (L, 4, 3); ``sequences``, n tensors (L,) int64, one drawn from the law of each;
    ``laws``, n :class:`Potts`."""

    backbones: list[Tensor]
    sequences: list[Tensor]
    laws: list[Potts]


def protein_world(count: int, *, seed: int, sweeps: int = 30, **shape: int) -> ProteinWorld:
    """Make backbones, and draw for each one sequence from its law.

    Args:
        count: how many.
        seed: of all draws.
        sweeps: of Gibbs sampling over all residues, from a random sequence.
        **shape: of :func:`protein_backbones`.

    Returns:
        The :class:`ProteinWorld`.

    Raises:
        ValueError: counts that cannot be.

    >>> world = protein_world(2, seed=0)
    >>> len(world.sequences[0]) == len(world.backbones[0])
    True
    """
    backbones = protein_backbones(count, seed=seed, **shape)
    laws = [potts_law(backbone) for backbone in backbones]
    rng = np.random.default_rng([seed, 1])
    return ProteinWorld(backbones, _gibbs(laws, whole(sweeps, "sweeps", low=1), rng), laws)


def _gibbs(laws: list[Potts], sweeps: int, rng: np.random.Generator) -> list[Tensor]:
    """One sequence of each law. All chains are swept side by side: residue 0 of each, then residue 1 of each, …"""
    if not laws:
        return []
    longest = max(len(law.fields) for law in laws)
    most = max(int(law.contacts.sum(1).max()) for law in laws)
    types = laws[0].fields.shape[1]
    fields = np.zeros((longest, len(laws), types))
    near = np.full((longest, len(laws), max(most, 1)), longest)  # of nobody: the last column of the sequences
    for chain, law in enumerate(laws):
        fields[: len(law.fields), chain] = law.fields.numpy()
        for place, row in enumerate(law.contacts.numpy()):
            others = np.flatnonzero(row)
            near[place, chain, : len(others)] = others
    couplings = np.concatenate((laws[0].couplings.numpy(), np.zeros((1, types))))  # type A: of nobody
    drawn = rng.integers(types, size=(len(laws), longest + 1))
    drawn[:, longest] = types
    every = np.arange(len(laws))
    for _ in range(sweeps):
        for place in range(longest):
            told = drawn[every[:, None], near[place]]  # (n, most)
            score = fields[place] + couplings[told].sum(1)
            drawn[:, place] = (score + rng.gumbel(size=score.shape)).argmax(1)
    return [torch.from_numpy(drawn[chain, : len(law.fields)].copy()) for chain, law in enumerate(laws)]
