"""Recipe ``proteins``: the backbones and sequences of 380 protein chains, with the TS50 test set.

Coordinates of the Protein Data Bank, free of restrictions (CC0), as seven public repositories keep them: 280 unbound
chains of docking benchmark 5, 20 globins of SCOP, 30 others, and the 50 chains of TS50. Which chain comes from which
file stands in ``proteins_chains.csv``.

What to know before you use it:

* Of each chain only the longest piece without a break is kept (C to the next N at most 1.6 Å), all four backbone atoms
  in every residue; of TS50 everything, and two of its chains have breaks. First model only; of atoms with alternative
  places the first one; selenomethionine counts as M.
* A chain had been left out when its local alignment to one of TS50 or to one already kept had identical residues at
  more than 35 % of the shorter length. Folds may still be shared (the globins; 1or4A of TS50 is a globin too).
* Partners and ligands are gone: what was buried in a complex looks exposed.

Arrays of ``proteins.npz``, C = 380 chains and N = 61,426 residues, all chains one after the other:

``coords``          (N, 4, 3) float32, ångström, in the order of ``atom_names`` (4,): N, CA, C, O.
``start``           (C,) int32: where a chain begins. ``length`` (C,) int32: its residues, 45 to 399.
``sequence``        (C,) str, one letter a residue. ``name`` (C,) str. ``source`` (C,) str: the repository.
``split``           (C,) str: ``"train"`` 309, ``"val"`` 21, ``"test"`` 50 (TS50).
"""

import csv
import json
import math
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

CHAINS = Path(__file__).with_name("proteins_chains.csv")
ATOMS = ("N", "CA", "C", "O")
LETTERS = {
    **{"ALA": "A", "CYS": "C", "ASP": "D", "GLU": "E", "PHE": "F", "GLY": "G", "HIS": "H", "ILE": "I", "LYS": "K"},
    **{"LEU": "L", "MET": "M", "ASN": "N", "PRO": "P", "GLN": "Q", "ARG": "R", "SER": "S", "THR": "T", "VAL": "V"},
    **{"TRP": "W", "TYR": "Y", "MSE": "M"},
}
LONGEST_BOND = 1.6


class Atom(NamedTuple):
    """One row of a file: the residue's place (number and insertion code), its name, the atom's name and place."""

    chain: str
    place: tuple[str, str]
    residue: str
    name: str
    at: tuple[float, float, float]


def prepare(raw: Path, files: Iterable[str]) -> dict[str, np.ndarray]:
    """Turn the files of the sources into the arrays of the set.

    Args:
        raw: the folder that holds them.
        files: not used; ``proteins_chains.csv`` names them.

    Returns:
        The arrays listed at the head of this module.

    Raises:
        ValueError: if a file is not as described there.
    """
    with CHAINS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    test = {}
    found = []
    for row in rows:
        path = Path(raw) / row["file"]
        if path.suffix == ".json":
            test = test or _ts50(path)
            found.append(test[row["chain"]])
        else:
            found.append(longest_piece(path, row["chain"]))
    lengths = np.array([len(letters) for letters, _ in found], np.int32)
    return {
        "coords": np.concatenate([coords for _, coords in found]).astype(np.float32),
        "length": lengths,
        "start": (np.cumsum(lengths) - lengths).astype(np.int32),
        "sequence": np.array([letters for letters, _ in found]),
        **{column: np.array([row[column] for row in rows]) for column in ("name", "source", "split")},
        "atom_names": np.array(ATOMS),
    }


def _ts50(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            entry["name"]: (entry["seq"], np.array(entry["coords"], np.float64).reshape(-1, 4, 3)) for entry in entries
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not the table of TS50 that was expected: {error}") from error


def longest_piece(path: Path, chain: str) -> tuple[str, np.ndarray]:
    """The longest piece of a chain without a break.

    Args:
        path: a PDB file, or mmCIF if its name ends in ``.cif``.
        chain: the letter of the chain, as the authors gave it.

    Returns:
        Its letters, and (L, 4, 3) coordinates in ångström.

    Raises:
        ValueError: a file that is cut off or no such file, or a chain that is not there.
    """
    try:
        text = path.read_text(encoding="latin-1")
        read = _cif if path.suffix == ".cif" else _pdb
        atoms = [atom for atom in read(text) if atom.chain == chain and atom.name in ATOMS and atom.residue in LETTERS]
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{path.name} is not a file of coordinates that can be read: {error}") from error
    residues: dict[tuple[str, str], tuple[str, dict[str, tuple[float, float, float]]]] = {}
    for atom in atoms:
        _, places = residues.setdefault(atom.place, (LETTERS[atom.residue], {}))
        places.setdefault(atom.name, atom.at)  # the first of alternative places
    pieces: list[list[tuple[str, np.ndarray]]] = [[]]
    for letter, places in residues.values():
        if len(places) < len(ATOMS):
            pieces.append([])
            continue
        coords = np.array([places[name] for name in ATOMS])
        if pieces[-1] and math.dist(pieces[-1][-1][1][2], coords[0]) > LONGEST_BOND:
            pieces.append([])
        pieces[-1].append((letter, coords))
    longest = max(pieces, key=len)
    if not longest:
        raise ValueError(f"{path.name} has no residue of chain {chain!r} with all of {', '.join(ATOMS)}")
    return "".join(letter for letter, _ in longest), np.stack([coords for _, coords in longest])


def _pdb(text: str) -> Iterator[Atom]:
    """The atoms of the first model, by the columns of the format."""
    for line in text.splitlines():
        if line.startswith("ENDMDL"):
            return
        if line.startswith(("ATOM", "HETATM")):
            at = (float(line[30:38]), float(line[38:46]), float(line[46:54]))
            yield Atom(line[21], (line[22:26], line[26]), line[17:20].strip(), line[12:16].strip(), at)


def _cif(text: str) -> Iterator[Atom]:
    """The atoms of the first model, from the loop of ``_atom_site``."""
    columns: list[str] = []
    for line in text.splitlines():
        if line.startswith("_atom_site."):
            columns.append(line.split(".")[1].strip())
        elif columns and line.startswith(("ATOM", "HETATM")):
            row = dict(zip(columns, shlex.split(line) if '"' in line or "'" in line else line.split(), strict=True))
            if row["pdbx_PDB_model_num"] != "1":
                return
            at = (float(row["Cartn_x"]), float(row["Cartn_y"]), float(row["Cartn_z"]))
            place = (row["auth_seq_id"], row["pdbx_PDB_ins_code"])
            yield Atom(row["auth_asym_id"], place, row["auth_comp_id"], row["auth_atom_id"], at)
        elif columns and line.startswith("#"):
            return
    if not columns:
        raise ValueError("it has no table of atoms")
