r"""Sequences for a given backbone: what a residue sees, a network that names it, and self-consistent design.

A *backbone* is a tensor (L, 4, 3) of the atoms N, Cα, C and O of L residues, in ångström; some functions need the first
three only, most take batches (..., L, 4, 3). A *sequence* is a tensor (L,) of residue types, whole numbers from 0 to 19
in the order of :data:`AMINO_ACIDS`.

========================  ============================================================================================
:mod:`.geometry`          frames, the virtual Cβ, torsions, a backbone from its torsions, secondary structure, exposure
:mod:`.features`          the k nearest residues as one of them sees the others: the network's input
:mod:`.network`           :class:`InverseFolding`, which says what a residue is, from its neighbours
:mod:`.design`            :func:`self_consistent_design`: change residues until all agree with their neighbours
:mod:`.scores`            recovery, perplexity, similarity, letters to numbers
:mod:`.files`             backbones from PDB and mmCIF files, by the library gemmi
:mod:`.side_chains`       side-chain torsions and the other tasks that a file of a protein allows
========================  ============================================================================================

Taught in chapter 15.
"""

from .design import Design, self_consistent_design, update_share
from .features import Environment, join_environments, neighbour_features, radial_basis, rotation_vector
from .files import BackbonePiece, read_backbones
from .geometry import (
    backbone_frames,
    build_backbone,
    half_sphere_exposure,
    secondary_structure,
    torsions,
    virtual_cb,
)
from .network import InverseFolding, inverse_folding_loss
from .scores import AMINO_ACIDS, BLOSUM62, decode_sequence, encode_sequence, perplexity, recovery, similarity
from .side_chains import residue_targets, side_chain_torsions

__all__ = [
    "AMINO_ACIDS",
    "BLOSUM62",
    "BackbonePiece",
    "Design",
    "Environment",
    "InverseFolding",
    "backbone_frames",
    "build_backbone",
    "decode_sequence",
    "encode_sequence",
    "half_sphere_exposure",
    "inverse_folding_loss",
    "join_environments",
    "neighbour_features",
    "perplexity",
    "radial_basis",
    "read_backbones",
    "recovery",
    "residue_targets",
    "rotation_vector",
    "secondary_structure",
    "self_consistent_design",
    "side_chain_torsions",
    "similarity",
    "torsions",
    "update_share",
    "virtual_cb",
]
