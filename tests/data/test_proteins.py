"""The recipe of the proteins: files whose answer is known, alternative places, breaks, models, and broken files."""

import json

import numpy as np
import pytest

from data_scripts import manifest, proteins

ATOMS = ("N", "CA", "C", "O")


def line(serial, name, residue, number, at, chain="A", alternative=" ", kind="ATOM", insertion=" "):
    x, y, z = at
    return (
        f"{kind:<6}{serial:>5}  {name:<3}{alternative}{residue:>3} {chain}{number:>4}{insertion}   "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00"
    )


def residue(number, name="ALA", x=None, skip=(), **more):
    """A residue of an extended chain: 3.8 Å after the one before, its C 1.3 Å from the next N."""
    x = 3.8 * number if x is None else x
    places = {"N": (x, 0, 0), "CA": (x + 1.2, 0.8, 0), "C": (x + 2.5, 0, 0), "O": (x + 2.5, -1.2, 0)}
    return [line(1, atom, name, number, places[atom], **more) for atom in ATOMS if atom not in skip]


def read(tmp_path, lines, chain="A", name="x.pdb"):
    (tmp_path / name).write_text("\n".join(lines))
    return proteins.longest_piece(tmp_path / name, chain)


def chain(letters_of, **more):
    return [row for number, name in enumerate(letters_of) for row in residue(number, name, **more)]


def test_a_chain_is_read_by_columns(tmp_path):
    letters, coords = read(tmp_path, [*chain(["GLY", "TRP", "SER"]), *chain(["LYS"] * 5, chain="B"), "END"])
    assert letters == "GWS" and coords.shape == (3, 4, 3)
    np.testing.assert_allclose(coords[1], [(3.8, 0, 0), (5.0, 0.8, 0), (6.3, 0, 0), (6.3, -1.2, 0)])


def test_selenomethionine_is_methionine_and_other_groups_are_none(tmp_path):
    rows = [
        *residue(0),
        *residue(1, "MSE", kind="HETATM"),
        *residue(2),
        line(1, "O", "HOH", 90, (0, 0, 9), kind="HETATM"),
    ]
    assert read(tmp_path, rows)[0] == "AMA"


def test_the_first_of_alternative_places_and_models(tmp_path):
    other = [line(1, "CA", "ALA", 0, (9, 9, 9), alternative="B")]
    rows = [*residue(0), *other, *residue(1), "ENDMDL", *chain(["GLY"] * 9)]
    letters, coords = read(tmp_path, rows)
    assert letters == "AA" and coords[0, 1].tolist() == [1.2, 0.8, 0]


def test_a_break_and_a_missing_atom_end_a_piece_and_the_longest_is_kept(tmp_path):
    gap = [*residue(0), *residue(1), *[row for n in (2, 3, 4) for row in residue(n, "SER", x=3.8 * n + 1)]]
    assert read(tmp_path, gap)[0] == "SSS"
    missing = [*residue(0), *residue(1), *residue(2, skip=("O",)), *residue(3, "GLY")]
    assert read(tmp_path, missing)[0] == "AA"


def test_insertion_codes_tell_residues_apart(tmp_path):
    rows = [*residue(0), *residue(0, "GLY", x=3.8, insertion="A")]
    assert read(tmp_path, rows)[0] == "AG"


def cif(rows):
    head = "group_PDB id auth_atom_id auth_comp_id auth_asym_id auth_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z"
    columns = [*head.split(), "pdbx_PDB_model_num"]
    return ["data_X", "loop_", *[f"_atom_site.{name}" for name in columns], *rows, "#", "loop_", "_other.x"]


def cif_rows(number, name, model=1, x=None):
    return [
        f"ATOM 1 {row[12:16].strip()} {name} A {number} ? {row[30:38]} {row[38:46]} {row[46:54]} {model}"
        for row in residue(number, name, x=x)
    ]


def test_mmcif_says_the_same(tmp_path):
    rows = [*cif_rows(0, "GLY"), *cif_rows(1, "TRP"), 'HETATM 1 "O5\'" NAG A 9 ? 1 2 3 1', *cif_rows(2, "SER", model=2)]
    letters, coords = read(tmp_path, cif(rows), name="x.cif")
    assert letters == "GW" and coords[1, 0].tolist() == [3.8, 0, 0]


@pytest.mark.parametrize(
    ("lines", "name", "says"),
    [
        (["HEADER"], "x.pdb", "x.pdb has no residue of chain 'A'"),
        ([line(1, "N", "ALA", 1, (0, 0, 0))[:40]], "x.pdb", "x.pdb is not a file of coordinates"),
        ([residue(0)[0].replace("0.000", "0.o00")], "x.pdb", "x.pdb is not a file of coordinates"),
        (["data_X"], "x.cif", "no table of atoms"),
        (cif([cif_rows(0, "GLY")[0].rsplit(maxsplit=2)[0]]), "x.cif", "x.cif is not a file of coordinates"),
        (cif(["ATOM 'broken"]), "x.cif", "x.cif is not a file of coordinates"),
    ],
)
def test_a_file_that_is_cut_off_says_so(tmp_path, lines, name, says):
    with pytest.raises(ValueError, match=says):
        read(tmp_path, lines, name=name)


def test_the_set_is_put_together_in_the_order_of_its_list(tmp_path, monkeypatch):
    (tmp_path / "x.pdb").write_text("\n".join(chain(["GLY", "TRP"])))
    entry = {"name": "1abcA", "seq": "AC", "coords": np.arange(24).reshape(2, 4, 3).tolist()}
    (tmp_path / "ts50.json").write_text(json.dumps([entry]))
    listed = tmp_path / "chains.csv"
    rows = "name,source,file,chain,split\nts50_1abcA,g,ts50.json,1abcA,test\nx_A,b,x.pdb,A,train\n"
    listed.write_text(rows)
    monkeypatch.setattr(proteins, "CHAINS", listed)
    arrays = proteins.prepare(tmp_path, [])
    assert arrays["sequence"].tolist() == ["AC", "GW"] and arrays["split"].tolist() == ["test", "train"]
    assert arrays["start"].tolist() == [0, 2] and arrays["coords"].shape == (4, 4, 3)
    assert arrays["coords"][1, 3].tolist() == [21, 22, 23] and arrays["coords"].dtype == np.float32
    (tmp_path / "ts50.json").write_text("[{")
    with pytest.raises(ValueError, match=r"ts50.json is not the table of TS50"):
        proteins.prepare(tmp_path, [])


def test_every_chain_has_its_file_in_the_manifest():
    rows = [row.split(",") for row in proteins.CHAINS.read_text(encoding="utf-8").splitlines()][1:]
    listed = {file.name for file in manifest.read_manifest()["proteins"].files}
    assert len(rows) == 380 and {row[2] for row in rows} == listed
    assert [row[4] for row in rows].count("test") == 50


def test_ubiquitin_of_the_reference_comes_back(shared_data):
    reference = np.load(shared_data / "proteins" / "backbones.npz")
    row = reference["name"].tolist().index("1ubq_A")
    first = reference["start"][row]
    letters, coords = proteins.longest_piece(shared_data / "proteins" / "raw" / "1ubq.pdb", "A")
    assert letters == reference["sequence"][row]
    np.testing.assert_array_equal(coords.astype(np.float32), reference["coords"][first : first + len(letters)])
