r"""Where a side chain points, and what else there is to say of a residue: further tasks for the network.

Taught in chapter 15.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _arguments as check
from .files import BackbonePiece
from .geometry import dihedral, half_sphere_exposure, secondary_structure
from .scores import AMINO_ACIDS

__all__ = ["residue_targets", "side_chain_torsions"]

#: Which torsion has two right answers, half a turn apart: the ring, or the acid's end, is alike on both sides.
ALIKE = {"D": 2, "F": 2, "Y": 2, "E": 3}
TARGETS = ("type", "structure", "exposure", "b_factor", "chi1", "chi2", "chi3", "chi4")


def side_chain_torsions(paths: Tensor, sequence: Tensor | None = None) -> Tensor:
    r"""The torsions χ1 to χ4 of every side chain.

    With the atoms :math:`p_1 \dots p_7` = N, Cα, Cβ, γ, δ, ε, ζ along the longest path outwards (of equal ones the
    branch of the lower number: Cγ1 of valine, Cδ1 of leucine),

    .. math:: \chi_m = \text{torsion of } p_m, p_{m+1}, p_{m+2}, p_{m+3}

    by atan2, as in :func:`torsions`.

    Args:
        paths: (..., L, 7, 3) ångström, nan where a side chain has no such atom or the file lacks it: the ``paths`` of
            :class:`BackbonePiece`.
        sequence: (..., L) types. With it both right answers are told where there are two: the rings of phenylalanine
            and tyrosine and the ends of aspartate and glutamate are alike on both sides, and which of their last
            atoms is called the first is a matter of names.

    Returns:
        (..., L, 4) radians in (−π, π], nan where there is none: all of glycine's and alanine's, all but the first of
        serine's. With ``sequence`` (..., L, 4, 2): the angle as the names have it, and the other right answer, or nan.

    Raises:
        ValueError: other shapes, types outside 0 to 19.

    References:
        IUPAC-IUB, Abbreviations and Symbols for the Description of the Conformation of Polypeptide Chains, 1970.

    >>> serine = torch.full((1, 7, 3), torch.nan)
    >>> serine[0, :4] = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 0, 1.5], [-1, 1, 2]])
    >>> side_chain_torsions(serine).rad2deg().tolist()
    [[90.0, nan, nan, nan]]
    """
    paths = check.wide(check.tensor(paths, "paths", "(..., 3)", kind="floating-point"))
    if paths.ndim < 3 or paths.shape[-2] != 7:
        raise ValueError(f"paths must be (..., L, 7, 3): N, CA, CB and four more outwards, got {check.what(paths)}")
    angles = dihedral(paths[..., :4, :], paths[..., 1:5, :], paths[..., 2:6, :], paths[..., 3:, :])  # (..., L, 4)
    if sequence is None:
        return angles
    sequence = check.tensor(sequence, "sequence", "(..., L)", kind="whole").to(paths.device).long()
    if sequence.shape != paths.shape[:-2] or bool(((sequence < 0) | (sequence > 19)).any()):
        raise ValueError(f"sequence must be {tuple(paths.shape[:-2])} with types 0 to 19, got {check.what(sequence)}")
    last = torch.tensor([ALIKE.get(letter, 0) for letter in AMINO_ACIDS], device=paths.device)[sequence]  # (..., L)
    twice = last[..., None] == torch.arange(1, 5, device=paths.device)
    other = torch.where(angles > 0, angles - math.pi, angles + math.pi).masked_fill(~twice, math.nan)
    return torch.stack((angles, other), -1)


def residue_targets(pieces: Sequence[BackbonePiece]) -> dict[str, Tensor]:
    r"""All that :class:`InverseFolding` can be asked about the residues of one file, as its loss wants it.

    ========================  =========================================  ===========================================
    name                      what it is                                 in ``InverseFolding(targets=…)``
    ========================  =========================================  ===========================================
    ``type``                  the residue's type                         always there
    ``structure``             neither, helix, strand                     3
    ``exposure``              neighbours on the side chain's side / 10   ``"number"``
    ``b_factor``              of Cα, :math:`(B - \bar B) / s` of its     ``"number"``
                              chain: how much it moves, or how badly
                              it was seen
    ``chi1`` … ``chi4``       side-chain torsions, radians, (n, 2)       ``"angle"``
    ========================  =========================================  ===========================================

    The first three follow from the sequence and the backbone. The others are news: a network shown the backbone alone
    must learn from its neighbours' types how a side chain lies.

    Args:
        pieces: of one file, from :func:`read_backbones`; their residues come one after the other, as
            :func:`join_environments` puts their environments.

    Returns:
        name -> one row a residue. Where something is not known: nan. (A chain whose B-factors are all the same, as of
        a model or of NMR, has none.)

    Raises:
        ValueError: no piece, or something else.

    References:
        Liu et al., Nature Computational Science 2022, for the choice of tasks. Its loss weighs these 0.2 each and the
        torsions 0.5.
    """
    pieces = list(pieces)
    if not pieces or not all(isinstance(piece, BackbonePiece) for piece in pieces):
        raise ValueError(f"pieces must be what read_backbones gives, at least one, got {pieces!r}")
    spread = {}
    for name in {piece.chain for piece in pieces}:
        every = torch.cat([piece.b_factor for piece in pieces if piece.chain == name])
        deviation = every.std(correction=0)
        spread[name] = every.mean(), deviation.masked_fill(deviation < 1e-3, math.nan)
    found: dict[str, list[Tensor]] = {name: [] for name in TARGETS}
    for piece in pieces:
        mean, wide = spread[piece.chain]
        chi = side_chain_torsions(piece.paths, piece.sequence)
        rows = (
            piece.sequence,
            secondary_structure(piece.backbone),
            half_sphere_exposure(piece.backbone) / 10,
            (piece.b_factor - mean) / wide,
            *chi.unbind(1),
        )
        for name, values in zip(TARGETS, rows):
            found[name].append(values)
    return {name: torch.cat(values) for name, values in found.items()}
