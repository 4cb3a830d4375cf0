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
#: After N, Cα and Cβ, the atoms outwards whose torsions are χ1, χ2, …
_OUTWARDS = {
    "C": ("SG",),
    "D": ("CG", "OD1"),
    "E": ("CG", "CD", "OE1"),
    "F": ("CG", "CD1"),
    "H": ("CG", "ND1"),
    "I": ("CG1", "CD1"),
    "K": ("CG", "CD", "CE", "NZ"),
    "L": ("CG", "CD1"),
    "M": ("CG", "SD", "CE"),
    "N": ("CG", "OD1"),
    "P": ("CG", "CD"),
    "Q": ("CG", "CD", "OE1"),
    "R": ("CG", "CD", "NE", "CZ"),
    "S": ("OG",),
    "T": ("OG1",),
    "V": ("CG1",),
    "W": ("CG", "CD1"),
    "Y": ("CG", "CD1"),
}


class BackbonePiece(NamedTuple):
    """A stretch of a chain without a break.

    Attributes:
        chain: its name in the file.
        backbone: (L, 4, 3) float32, N, Cα, C, O, ångström.
        sequence: (L,) int64.
        positions: (L,) int64, counted through over the pieces of a chain, 1,000 further after each break, so that
            :func:`neighbour_features` takes no piece for the next one's neighbour along the chain.
        left_out: of its whole chain, the residues that were left out or changed, each with the reason.
        paths: (L, 7, 3) float32, ångström: N, Cα, Cβ and up to four atoms further out, of which
            :func:`side_chain_torsions` are made; nan where the type has none or the file lacks one.
        b_factor: (L,) float32, of Cα, Å².
    """

    chain: str
    backbone: Tensor
    sequence: Tensor
    positions: Tensor
    left_out: tuple[str, ...]
    paths: Tensor
    b_factor: Tensor


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


class _Residue(NamedTuple):
    letter: str
    backbone: list[list[float]]
    path: list[list[float]]
    b_factor: float


def _pieces(chain: Any, gemmi: Any, longest_bond: float) -> Iterable[BackbonePiece]:
    found: list[list[_Residue]] = [[]]
    notes: list[str] = []
    atoms = _best(chain)
    for residue in chain.first_conformer():
        info = gemmi.find_tabulated_residue(residue.name)
        if not info.is_amino_acid():
            continue  # water, ligands
        letter, where = info.one_letter_code.upper(), f"{residue.name} {residue.seqid}"
        here = atoms[str(residue.seqid), residue.name]
        missing = [name for name in _ATOMS if name not in here]
        if residue.name == "MSE":
            notes.append(f"{where}: read as MET")
        if missing or (not info.is_standard() and residue.name != "MSE") or letter not in "ACDEFGHIKLMNPQRSTVWY":
            notes.append(f"{where}: lacks {', '.join(missing)}" if missing else f"{where}: none of the twenty types")
            found.append([])
            continue
        if residue.name == "MSE" and "SE" in here:
            here["SD"] = here["SE"]
        coords = [here[name].pos.tolist() for name in _ATOMS]
        if found[-1] and torch.dist(torch.tensor(found[-1][-1].backbone[2]), torch.tensor(coords[0])) > longest_bond:
            found.append([])
        names = ("N", "CA", "CB", *_OUTWARDS.get(letter, ()))
        path = [here[name].pos.tolist() if name in here else [torch.nan] * 3 for name in names]
        path += [[torch.nan] * 3] * (7 - len(path))
        found[-1].append(_Residue(letter, coords, path, here["CA"].b_iso))
    start = 0
    for piece in found:
        if piece:
            letters, *numbers = zip(*piece)
            backbone, paths, b_factor = (torch.tensor(part, dtype=torch.float32) for part in numbers)
            positions = torch.arange(start, start + len(piece))
            sequence = encode_sequence("".join(letters))
            yield BackbonePiece(chain.name, backbone, sequence, positions, tuple(notes), paths, b_factor)
            start += len(piece) + 1000


def _best(chain: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """The atoms of every residue by name: of alternative places, that of the largest occupancy."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for residue in chain:
        here = found.setdefault((str(residue.seqid), residue.name), {})
        for atom in residue:
            if atom.element.name != "X" and (atom.name not in here or atom.occ > here[atom.name].occ):
                here[atom.name] = atom
    return found
