"""Backbones from files of the Protein Data Bank, read by the library gemmi (``pip install gemmi``).

Taught in chapter 15.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _arguments as check
from .scores import encode_sequence

__all__ = ["BackbonePiece", "read_backbones"]

_ATOMS = ("N", "CA", "C", "O")


class BackbonePiece(NamedTuple):
    """A stretch of a chain without a break.

    Attributes:
        chain: its name in the file.
        backbone: (L, 4, 3) float32, N, Cα, C, O, ångström.
        sequence: (L,) int64.
        positions: (L,) int64, counted through over the pieces of a chain, 1,000 further after each break, so that
            :func:`neighbour_features` takes no piece for the next one's neighbour along the chain.
        left_out: of its whole chain, the residues that were left out or changed, each with the reason.
    """

    chain: str
    backbone: Tensor
    sequence: Tensor
    positions: Tensor
    left_out: tuple[str, ...]


def read_backbones(
    path: str | os.PathLike, *, chain: str | None = None, longest_bond: float = 2.0
) -> list[BackbonePiece]:
    """Read the chains of a PDB or mmCIF file, cut where they are broken.

    The first model is read. Of atoms with alternative places that of the largest occupancy counts (the first of equal
    ones). Selenomethionine becomes methionine. A residue that lacks one of N, Cα, C, O, or is none of the twenty types,
    is left out, and its chain is cut there. What was left out or changed is reported.

    Args:
        path: a ``.pdb``, ``.ent``, ``.cif`` or ``.mmcif`` file, also with ``.gz``.
        chain: one chain; by default all that are proteins.
        longest_bond: where C and the next N are further apart, ångström, the chain is cut.

    Returns:
        The pieces in the order of the file; water and ligands are none.

    Raises:
        ImportError: gemmi is not installed.
        FileNotFoundError: no such file.
        ValueError: a file that cannot be read, is cut off in the middle of a line, or holds no such chain.

    References:
        Wojdyr, GEMMI: a library for structural biology, Journal of Open Source Software 2022.
    """
    try:
        import gemmi
    except ImportError as error:
        raise ImportError("reading files of proteins needs the library gemmi: pip install gemmi") from error
    path, longest_bond = Path(path), check.number(longest_bond, "longest_bond", above=0)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file, got {path}, which is none")
    try:
        structure = gemmi.read_structure(str(path))
        models = len(structure)
    except (RuntimeError, ValueError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"path must be a PDB or mmCIF file that can be read, got {path.name}: {error}") from error
    if not models or not any(len(residue) for one in structure[0] for residue in one):
        raise ValueError(f"path must be a file with atoms, got {path.name}, which has none")
    pieces = [
        piece
        for one in structure[0]
        if chain is None or one.name == chain
        for piece in _pieces(one, gemmi, longest_bond)
    ]
    if not pieces:
        names = ", ".join(one.name for one in structure[0])
        wanted = f"chain {chain!r}" if chain is not None else "any protein chain"
        raise ValueError(f"{path.name} has no backbone of {wanted}; its chains are {names}")
    return pieces


def _pieces(chain: Any, gemmi: Any, longest_bond: float) -> Iterable[BackbonePiece]:
    found: list[list[tuple[str, list[list[float]]]]] = [[]]
    notes: list[str] = []
    for residue in chain.first_conformer():
        info = gemmi.find_tabulated_residue(residue.name)
        if not info.is_amino_acid():
            continue  # water, ligands
        letter, where = info.one_letter_code.upper(), f"{residue.name} {residue.seqid}"
        places = {name: _best(chain, residue, name) for name in _ATOMS}
        missing = [name for name, at in places.items() if at is None]
        if residue.name == "MSE":
            notes.append(f"{where}: read as MET")
        if missing or (not info.is_standard() and residue.name != "MSE") or letter not in "ACDEFGHIKLMNPQRSTVWY":
            notes.append(f"{where}: lacks {', '.join(missing)}" if missing else f"{where}: none of the twenty types")
            found.append([])
            continue
        coords = [at for at in places.values() if at is not None]
        if found[-1] and torch.dist(torch.tensor(found[-1][-1][1][2]), torch.tensor(coords[0])) > longest_bond:
            found.append([])
        found[-1].append((letter, coords))
    start = 0
    for piece in found:
        if piece:
            letters = "".join(letter for letter, _ in piece)
            backbone = torch.tensor([coords for _, coords in piece], dtype=torch.float32)
            positions = torch.arange(start, start + len(piece))
            yield BackbonePiece(chain.name, backbone, encode_sequence(letters), positions, tuple(notes))
            start += len(piece) + 1000


def _best(chain: Any, residue: Any, name: str) -> list[float] | None:
    """Where an atom is: of its alternative places, that of the largest occupancy."""
    places = [
        atom
        for group in chain
        if group.seqid == residue.seqid and group.name == residue.name
        for atom in group
        if atom.name == name and atom.element.name != "X"
    ]
    if not places:
        return None
    return max(places, key=lambda atom: atom.occ).pos.tolist()
