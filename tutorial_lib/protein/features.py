r"""The environment of a residue: its k nearest neighbours, as seen from its own frame.

Nothing here changes when the protein is turned or moved, since distances, coordinates in the residue's frame, relative
rotations and steps along the chain do not.

Taught in chapter 15.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _arguments as check
from .geometry import as_backbone, backbone_frames, torsions

__all__ = ["Environment", "join_environments", "neighbour_features", "radial_basis", "rotation_vector"]

#: Steps along the chain are told from −64 to 63; number 128 is "further, or of another chain".
OFFSETS = 129
_NEAR, _FAR = -64, 63


class Environment(NamedTuple):
    """What the residues of a backbone see. Column 0 is the residue itself, then come its neighbours, nearest first.

    Attributes:
        neighbours: (L, k + 1) int64, which residue each is.
        present: (L, k + 1) bool, False where the chain has fewer than k other residues.
        spatial: (L, k + 1, 22): the distance of the two Cα in 16 radial basis functions, the neighbour's Cα in the
            residue's frame (3, ångström), and the rotation from its frame to the neighbour's, as a vector (3, radians).
        offset: (L, k + 1) int64: how far along the chain, plus 64; 128 for far.
        torsions: (L, 30): sine and cosine of φ, ψ, ω of the residues i − 2 to i + 2; both 0 where there is none.
    """

    neighbours: Tensor
    present: Tensor
    spatial: Tensor
    offset: Tensor
    torsions: Tensor

    def rows(self, rows: Tensor) -> "Environment":
        """The environments of these residues only.

        Args:
            rows: (n,) int64, or a mask (L,).

        Returns:
            The same five parts, (n, …).
        """
        return Environment(*(part[rows] for part in self))


def radial_basis(distance: Tensor, *, count: int = 16, furthest: float = 20.0) -> Tensor:
    r"""A distance as smooth marks on a ruler.

    .. math:: \exp\left(-\left(\frac{d - \mu_m}{\sigma}\right)^2\right), \qquad
        \mu_m = \frac{m \, d_{max}}{M - 1}, \quad \sigma = \frac{d_{max}}{M}

    A network can tell 4 Å from 5 Å by them, which it can hardly do with the bare number.

    Args:
        distance: any shape, ångström.
        count: M.
        furthest: the last mark, ångström.

    Returns:
        The shape of ``distance`` with an axis of M more, from 0 to 1.

    Raises:
        ValueError: fewer than two marks, a ruler without length.

    >>> radial_basis(torch.tensor([0.0, 20.0]), count=2).round().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    distance = check.wide(check.tensor(distance, "distance", kind="floating-point"))
    count, furthest = check.whole(count, "count", low=2), check.number(furthest, "furthest", above=0)
    marks = torch.linspace(0, furthest, count, dtype=distance.dtype, device=distance.device)
    return torch.exp(-(((distance[..., None] - marks) * (count / furthest)) ** 2))


def rotation_vector(rotation: Tensor) -> Tensor:
    r"""A rotation as its axis times its angle.

    It is computed through the unit quaternion (w, v): the angle is :math:`2 \operatorname{atan2}(|v|, w)`, which is
    exact near 0 and near half a turn, where the trace alone is not.

    Args:
        rotation: (..., 3, 3) rotation matrices.

    Returns:
        (..., 3) radians, of length at most π. At half a turn either of the two opposite axes may come.

    Raises:
        ValueError: another shape.

    References:
        Shepperd, Quaternion from rotation matrix, Journal of Guidance and Control 1978.

    >>> quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> rotation_vector(quarter)
    tensor([0.0000, 0.0000, 1.5708])
    """
    r = check.wide(check.tensor(rotation, "rotation", "(..., 3, 3)", kind="floating-point"))
    x, y, z = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    # Four times the products of the quaternion's parts with each other: each row is the quaternion times one part.
    a, b, c = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    d, e, f = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    rows = torch.stack(
        [
            torch.stack((1 + x + y + z, a, b, c), -1),
            torch.stack((a, 1 + x - y - z, d, e), -1),
            torch.stack((b, d, 1 - x + y - z, f), -1),
            torch.stack((c, e, f, 1 - x - y + z), -1),
        ],
        -2,
    )  # (..., 4, 4)
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = rows.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, v = quaternion[..., 0], quaternion[..., 1:]
    squared = (v * v).sum(-1)
    small = squared < 1e-12
    length = squared.masked_fill(small, 1).sqrt()
    factor = torch.where(small, torch.full_like(w, 2.0), 2 * torch.atan2(length, w) / length)
    return factor[..., None] * v


def neighbour_features(backbone: Tensor, *, k: int = 20, positions: Tensor | None = None) -> Environment:
    r"""What every residue of a chain sees: itself and its k nearest residues, by the distance of their Cα.

    For neighbour j of residue i, with the frames R and origins x of :func:`backbone_frames`,

    .. math:: \mathrm{rbf}(|x_j - x_i|), \qquad R_i^\top (x_j - x_i), \qquad \log(R_i^\top R_j), \qquad j - i

    and of the residue itself the torsions of i − 2 … i + 2. (The paper's names are XSPA for the first three, XRSP for
    the step along the chain; XAA, the neighbours' types, change during the design and are no part of this.)

    Args:
        backbone: (L, A, 3) with N, Cα, C first, ångström; one chain or several.
        k: neighbours; a chain of fewer than k + 1 residues gets columns that are not ``present``.
        positions: (L,) int64 numbers along the chain; by default 0 to L − 1. Leave a gap of 64 or more between chains.

    Returns:
        :class:`Environment`. An empty chain gives one without rows; a single residue sees itself alone.

    Raises:
        ValueError: another shape, coordinates that are not finite, three atoms on one line.

    References:
        Liu et al., Rotamer-free protein sequence design based on deep learning and self-consistency, Nature
        Computational Science 2022.

    >>> from tutorial_lib.protein import build_backbone
    >>> strand = build_backbone(torch.tensor([-120.0, 130.0, 180.0]).deg2rad().expand(5, 3))
    >>> seen = neighbour_features(strand, k=2)
    >>> seen.neighbours[0].tolist(), (seen.offset[4] - 64).tolist()
    ([0, 1, 2], [0, -1, -2])
    >>> seen.spatial.shape
    torch.Size([5, 3, 22])
    """
    atoms = as_backbone(backbone)
    if atoms.ndim != 3:
        raise ValueError(f"backbone must be (L, 4, 3), got {check.what(backbone)}")
    k, length = check.whole(k, "k", low=0), len(atoms)
    place = torch.arange(length, device=atoms.device)
    if positions is None:
        positions = place
    else:
        positions = check.tensor(positions, "positions", "(L,)", kind="whole").to(place)
        if len(positions) != length:
            raise ValueError(f"positions must be {length}, one a residue, got {len(positions)}")
    rotations, origins = backbone_frames(atoms)

    distance = torch.cdist(origins, origins, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(-1.0)  # itself first
    # Ideal chains have many equal distances, which rounding would order: to a thousandth, and then along the chain.
    nearest = (distance * 1e3).round().argsort(dim=1, stable=True)[:, : k + 1]  # (L, <= k + 1)
    missing = k + 1 - nearest.shape[1]
    neighbours = torch.cat((nearest, place[:, None].expand(length, missing)), 1)
    present = torch.arange(k + 1, device=atoms.device).expand(length, k + 1) < nearest.shape[1]

    apart = origins[neighbours] - origins[:, None]  # (L, k+1, 3)
    inverse = rotations.mT[:, None]  # (L, 1, 3, 3)
    local = (inverse @ apart[..., None]).squeeze(-1)
    turned = rotation_vector(inverse @ rotations[neighbours])
    spatial = torch.cat((radial_basis(apart.norm(dim=-1)), local, turned), -1)

    step = positions[neighbours] - positions[:, None]
    far = (step < _NEAR) | (step > _FAR)
    offset = (step - _NEAR).masked_fill(far, OFFSETS - 1)
    return Environment(neighbours, present, spatial, offset, _torsion_window(atoms))


def _torsion_window(atoms: Tensor) -> Tensor:
    """(L, 30): sine and cosine of the torsions of five residues, 0 where there is none."""
    angles = torsions(atoms)  # (L, 3)
    both = torch.cat((angles.sin(), angles.cos()), -1).nan_to_num(0.0)  # (L, 6)
    around = torch.nn.functional.pad(both, (0, 0, 2, 2))
    return torch.cat([around[shift : shift + len(atoms)] for shift in range(5)], -1)


def join_environments(environments: Sequence[Environment]) -> Environment:
    """Several chains' environments as one set of rows, with neighbours counted through: for training on many chains.

    Args:
        environments: with the same k.

    Returns:
        :class:`Environment` with the sum of their rows.

    Raises:
        ValueError: none, or different k.

    >>> from tutorial_lib.protein import build_backbone
    >>> one = neighbour_features(build_backbone(torch.zeros(2, 3)), k=1)
    >>> join_environments([one, one]).neighbours.tolist()
    [[0, 1], [1, 0], [2, 3], [3, 2]]
    """
    if not len(environments):
        raise ValueError("environments must hold at least one, got none")
    widths = {one.neighbours.shape[1] for one in environments}
    if len(widths) > 1:
        raise ValueError(f"environments must have the same k, got {sorted(width - 1 for width in widths)}")
    starts, total = [], 0
    for one in environments:
        starts.append(one.neighbours + total)
        total += len(one.neighbours)
    rest = (torch.cat(parts) for parts in list(zip(*environments))[1:])
    return Environment(torch.cat(starts), *rest)
