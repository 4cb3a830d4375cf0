"""The geometry of a backbone: the frame of a residue, its virtual Cβ, its torsions, and what follows from them.

Taught in chapter 15.
"""

import math

import torch
from torch import Tensor

from .. import _arguments as check

__all__ = [
    "backbone_frames",
    "build_backbone",
    "half_sphere_exposure",
    "secondary_structure",
    "torsions",
    "virtual_cb",
]

# Ideal bonds in ångström and angles in radians (Engh and Huber 1991, rounded).
_N_CA, _CA_C, _C_N, _C_O = 1.458, 1.525, 1.329, 1.231
_N_CA_C, _CA_C_N, _C_N_CA, _CA_C_O = (math.radians(angle) for angle in (111.0, 117.2, 121.7, 120.1))


def backbone_frames(backbone: Tensor) -> tuple[Tensor, Tensor]:
    r"""The frame of every residue: three axes fixed to its atoms, with the Cα as origin.

    .. math:: e_1 = \frac{C - C_\alpha}{|C - C_\alpha|}, \quad
        e_2 \propto (N - C_\alpha) - e_1 \, e_1^\top (N - C_\alpha), \quad e_3 = e_1 \times e_2

    A point x has the coordinates :math:`R_i^\top (x - C_{\alpha,i})` in residue i's frame, and these stay the same when
    the whole protein is turned or moved.

    Args:
        backbone: (..., L, A, 3) with N, Cα, C first, ångström.

    Returns:
        ``rotations`` (..., L, 3, 3), whose columns are the axes, and ``origins`` (..., L, 3).

    Raises:
        ValueError: another shape, coordinates that are not finite, three atoms on one line.

    References:
        Jumper et al., Highly accurate protein structure prediction with AlphaFold, Nature 2021, algorithm 21.

    >>> backbone = torch.tensor([[[0.0, 1.4, 0.0], [0, 0, 0], [1.5, 0, 0]]])
    >>> backbone_frames(backbone)[0][0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    atoms = as_backbone(backbone)
    n, ca, c = atoms[..., 0, :], atoms[..., 1, :], atoms[..., 2, :]
    first, second = c - ca, n - ca
    e1 = first / first.norm(dim=-1, keepdim=True)
    rest = second - (second * e1).sum(-1, keepdim=True) * e1
    length = rest.norm(dim=-1, keepdim=True)
    bad = ~(length > 1e-4).squeeze(-1)  # also where e1 is nan, two atoms in one place
    if bool(bad.any()):
        place = int(bad.reshape(-1).nonzero()[0]) % bad.shape[-1]
        raise ValueError(f"backbone must not have N, CA and C on one line, got residue {place}")
    e2 = rest / length
    return torch.stack((e1, e2, torch.linalg.cross(e1, e2)), -1), ca


def virtual_cb(backbone: Tensor) -> Tensor:
    r"""Where the Cβ would be: of glycine too, which has none, so that its place does not tell the residue.

    .. math:: C_\beta = C_\alpha - 0.58273431\,a + 0.56802827\,b - 0.54067466\,c, \qquad
        b = C_\alpha - N,\; c = C - C_\alpha,\; a = b \times c

    Args:
        backbone: (..., L, A, 3) with N, Cα, C first, ångström.

    Returns:
        (..., L, 3).

    Raises:
        ValueError: another shape, coordinates that are not finite.

    References:
        Dauparas et al., Robust deep learning-based protein sequence design using ProteinMPNN, Science 2022: its code.

    >>> backbone = build_backbone(torch.zeros(1, 3))
    >>> round((virtual_cb(backbone) - backbone[:, 1]).norm().item(), 2)
    1.53
    """
    atoms = as_backbone(backbone)
    ca = atoms[..., 1, :]
    b, c = ca - atoms[..., 0, :], atoms[..., 2, :] - ca
    a = torch.linalg.cross(b, c)
    return ca - 0.58273431 * a + 0.56802827 * b - 0.54067466 * c


def torsions(backbone: Tensor, *, longest_bond: float = 2.0) -> Tensor:
    r"""The torsions φ, ψ and ω of every residue.

    With the bonds :math:`b_1, b_2, b_3` of four atoms,

    .. math:: \theta = \operatorname{atan2}\bigl(|b_2|\, b_1 \cdot (b_2 \times b_3),\;
        (b_1 \times b_2) \cdot (b_2 \times b_3)\bigr)

    φ turns about N–Cα, ψ about Cα–C, ω about the bond to the *next* residue; the sign is that of IUPAC. (The form
    sign(·) arccos(·) of popular code gives 0 where a bond is exactly trans, since the sign of 0 is 0.)

    Args:
        backbone: (..., L, A, 3) with N, Cα, C first, ångström.
        longest_bond: where C and the next N are further apart, ångström, the chain is broken.

    Returns:
        (..., L, 3) radians in (−π, π]; nan where a torsion does not exist: φ of the first residue of a piece, ψ and ω
        of its last one. A chain of one residue has none.

    Raises:
        ValueError: another shape, coordinates that are not finite.

    References:
        IUPAC-IUB, Abbreviations and Symbols for the Description of the Conformation of Polypeptide Chains, 1970.

    >>> helix = build_backbone(torch.tensor([-57.0, -47.0, 180.0]).deg2rad().expand(4, 3))
    >>> torsions(helix)[1, :2].rad2deg().round().tolist()
    [-57.0, -47.0]
    """
    atoms = as_backbone(backbone)
    longest_bond = check.number(longest_bond, "longest_bond", above=0)
    n, ca, c = atoms[..., 0, :], atoms[..., 1, :], atoms[..., 2, :]
    angles = atoms.new_full((*atoms.shape[:-2], 3), math.nan)
    if atoms.shape[-3] > 1:
        joined = (n[..., 1:, :] - c[..., :-1, :]).norm(dim=-1) <= longest_bond  # (..., L-1)
        found = (
            dihedral(c[..., :-1, :], n[..., 1:, :], ca[..., 1:, :], c[..., 1:, :]),
            dihedral(n[..., :-1, :], ca[..., :-1, :], c[..., :-1, :], n[..., 1:, :]),
            dihedral(ca[..., :-1, :], c[..., :-1, :], n[..., 1:, :], ca[..., 1:, :]),
        )
        phi, psi, omega = (angle.masked_fill(~joined, math.nan) for angle in found)
        angles[..., 1:, 0], angles[..., :-1, 1], angles[..., :-1, 2] = phi, psi, omega
    return angles


def dihedral(first: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> Tensor:
    """The torsion of four atoms, (..., 3) each; nan where one is."""
    b1, b2, b3 = second - first, third - second, fourth - third
    normal = torch.linalg.cross(b2, b3)
    up = b2.norm(dim=-1) * (b1 * normal).sum(-1)
    return torch.atan2(up, (torch.linalg.cross(b1, b2) * normal).sum(-1))


def build_backbone(angles: Tensor) -> Tensor:
    """A backbone with these torsions and ideal bonds: what :func:`torsions` undoes.

    Args:
        angles: (..., L, 3) φ, ψ, ω of every residue, radians. The first φ and the last ω do not matter.

    Returns:
        (..., L, 4, 3) N, Cα, C, O, ångström; the first N lies at the origin.

    Raises:
        ValueError: another shape, angles that are not finite.

    References:
        Parsons et al., Practical conversion from torsion space to Cartesian space, Journal of Computational Chemistry
        2005, for the placing of an atom from three others.

    >>> strand = build_backbone(torch.tensor([-120.0, 130.0, 180.0]).deg2rad().expand(3, 3))
    >>> round((strand[2, 1] - strand[0, 1]).norm().item(), 1)
    6.8
    """
    angles = check.wide(check.tensor(angles, "angles", "(..., 3)", kind="floating-point"))
    if angles.ndim < 2 or not bool(angles.isfinite().all()):
        raise ValueError(f"angles must be (..., L, 3) and finite, got {check.what(angles)}")
    batch, length = angles.shape[:-2], angles.shape[-2]
    if not length:
        return angles.new_zeros((*batch, 0, 4, 3))
    start = [
        [0.0, 0.0, 0.0],
        [_N_CA, 0.0, 0.0],
        [_N_CA - _CA_C * math.cos(_N_CA_C), _CA_C * math.sin(_N_CA_C), 0.0],
    ]
    n, ca, c = (angles.new_tensor(point).expand(*batch, 3) for point in start)
    residues = []
    for place in range(length):
        phi_next = angles[..., (place + 1) % length, 0]
        psi, omega = angles[..., place, 1], angles[..., place, 2]
        oxygen = _place(n, ca, c, _C_O, _CA_C_O, psi + math.pi)
        residues.append(torch.stack((n, ca, c, oxygen), -2))
        next_n = _place(n, ca, c, _C_N, _CA_C_N, psi)
        next_ca = _place(ca, c, next_n, _N_CA, _C_N_CA, omega)
        n, ca, c = next_n, next_ca, _place(c, next_n, next_ca, _CA_C, _N_CA_C, phi_next)
    return torch.stack(residues, -3)


def _place(first: Tensor, second: Tensor, third: Tensor, bond: float, angle: float, torsion: Tensor) -> Tensor:
    """The fourth atom, at this distance from the third, with this angle and torsion."""
    along = torch.nn.functional.normalize(third - second, dim=-1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(second - first, along), dim=-1)
    across = torch.linalg.cross(normal, along)
    out, up = math.sin(angle) * torch.cos(torsion), math.sin(angle) * torch.sin(torsion)
    return third + bond * (-math.cos(angle) * along + out[..., None] * across + up[..., None] * normal)


def half_sphere_exposure(backbone: Tensor, *, radius: float = 13.0) -> Tensor:
    r"""How many other residues lie on a residue's side-chain side: few where it is exposed, many where it is buried.

    .. math:: \mathrm{HSE}_i = \#\{j \ne i : |C_{\alpha,j} - C_{\alpha,i}| < r,\;
        (C_{\alpha,j} - C_{\alpha,i}) \cdot (C_{\beta,i} - C_{\alpha,i}) > 0\}

    Args:
        backbone: (..., L, A, 3) with N, Cα, C first, ångström.
        radius: of the sphere, ångström.

    Returns:
        (..., L) counts, in the backbone's type.

    Raises:
        ValueError: another shape, a radius that is not above 0.

    References:
        Hamelryck, An amino acid has two sides: a new 2D measure provides a different view of solvent exposure,
        Proteins 2005.

    >>> half_sphere_exposure(build_backbone(torch.zeros(1, 3))).tolist()
    [0.0]
    """
    atoms = as_backbone(backbone)
    radius = check.number(radius, "radius", above=0)
    ca, side = atoms[..., 1, :], virtual_cb(atoms) - atoms[..., 1, :]
    apart = ca[..., None, :, :] - ca[..., :, None, :]  # (..., i, j, 3)
    inside = (apart.norm(dim=-1) < radius) & ((apart * side[..., :, None, :]).sum(-1) > 0)
    return inside.sum(-1).to(atoms.dtype)  # of j = i the product is 0


def secondary_structure(backbone: Tensor) -> Tensor:
    r"""Helix, strand or neither, by hydrogen bonds between the backbone's NH and CO.

    A bond from CO of residue i to NH of residue j is there where

    .. math:: 27.9 \left(\frac1{r_{ON}} + \frac1{r_{CH}} - \frac1{r_{OH}} - \frac1{r_{CN}}\right) < -0.5

    (kcal/mol, ångström), with the hydrogen 1 Å from N, opposite to the CO before it. Two bonds i → i+4 in a row make
    the four residues between them a helix; two residues whose neighbours are bonded as in a parallel or antiparallel
    ladder are a bridge, and residues of a bridge are strand. Bulges, 3₁₀ and π helices of the full method are left out.

    Args:
        backbone: (L, 4, 3) N, Cα, C, O, ångström; one chain.

    Returns:
        (L,) int64: 0 neither, 1 helix, 2 strand.

    Raises:
        ValueError: another shape.

    References:
        Kabsch, Sander, Dictionary of protein secondary structure, Biopolymers 1983.

    >>> helix = build_backbone(torch.tensor([-57.0, -47.0, 180.0]).deg2rad().expand(10, 3))
    >>> secondary_structure(helix).tolist()
    [0, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    """
    atoms = as_backbone(backbone)
    if atoms.ndim != 3 or atoms.shape[1] < 4:
        raise ValueError(f"backbone must be (L, 4, 3) with N, CA, C and O, got {check.what(backbone)}")
    length = len(atoms)
    found = torch.zeros(length, dtype=torch.int64, device=atoms.device)
    if length < 5:
        return found
    n, c, oxygen = atoms[:, 0], atoms[:, 2], atoms[:, 3]
    back = c[:-1] - oxygen[:-1]
    hydrogen = n.clone()
    hydrogen[1:] += back / back.norm(dim=-1, keepdim=True)
    pairs = ((oxygen, n, 1), (c, hydrogen, 1), (oxygen, hydrogen, -1), (c, n, -1))
    energy = sum(27.9 * sign / torch.cdist(a, b).clamp_min(0.5) for a, b, sign in pairs)
    bond = energy < -0.5  # (i, j): CO of i to NH of j
    place = torch.arange(length, device=atoms.device)
    bond &= (place[:, None] - place).abs() > 1
    bond[:, 0] = False  # the first residue's hydrogen is not known
    bridge = torch.zeros_like(bond)
    inner, before, after = slice(1, -1), slice(0, -2), slice(2, None)
    # Parallel: i-1 to j and j to i+1. Antiparallel: i to j and j to i, or i-1 to j+1 and j-1 to i+1.
    parallel = bond[before, inner] & bond[inner, after].T
    anti = (bond[inner, inner] & bond[inner, inner].T) | (bond[before, after] & bond[before, after].T)
    bridge[inner, inner] = parallel | parallel.T | anti
    bridge &= (place[:, None] - place).abs() > 2
    found[bridge.any(1)] = 2
    turn = bond.diagonal(4)  # turn[i]: CO of i to NH of i + 4
    helix = (turn[:-1] & turn[1:]).nonzero().flatten()  # turns at i and i + 1
    for step in range(1, 5):
        found[helix + step] = 1
    return found


def as_backbone(backbone: Tensor) -> Tensor:
    """The atoms of a backbone, checked, in float32 or wider."""
    atoms = check.wide(check.tensor(backbone, "backbone", "(..., 3)", kind="floating-point"))
    if atoms.ndim < 3 or atoms.shape[-2] < 3:
        raise ValueError(f"backbone must be (..., L, 4, 3): N, CA, C and O of L residues, got {check.what(backbone)}")
    if not bool(atoms.isfinite().all()):
        where = (~atoms.isfinite()).flatten(-2).any(-1).reshape(-1)
        place = int(where.nonzero()[0]) % atoms.shape[-3]
        raise ValueError(
            f"backbone must be finite (leave out residues with missing atoms), got another number in residue {place}"
        )
    return atoms
