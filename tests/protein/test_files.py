"""PDB and mmCIF files by gemmi: breaks, alternative places, missing atoms, selenomethionine, cut files."""

import sys

import pytest
import torch

from tutorial_lib.protein import build_backbone, decode_sequence, neighbour_features, read_backbones

HELIX = build_backbone(torch.tensor([-57.0, -47.0, 180.0]).deg2rad().expand(12, 3))
ATOMS = ("N", "CA", "C", "O")


def line(atom, residue, number, at, chain="A", alternative=" ", occupancy=1.0, kind="ATOM"):
    x, y, z = at
    return (
        f"{kind:<6}{1:>5}  {atom:<3}{alternative}{residue:>3} {chain}{number:>4}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f} 20.00          {atom[0]:>2}"
    )


def residue(number, name="ALA", *, skip=(), kind="ATOM", chain="A"):
    return [
        line(atom, name, number + 1, at, chain=chain, kind=kind)
        for atom, at in zip(ATOMS, HELIX[number].tolist())
        if atom not in skip
    ]


def rows(*numbers, **more):
    return [row for number in numbers for row in residue(number, **more)]


@pytest.fixture
def write(tmp_path):
    def to(lines, name="x.pdb"):
        (tmp_path / name).write_text("\n".join([*lines, "END", ""]))
        return tmp_path / name

    return to


@pytest.fixture(autouse=True)
def _gemmi(request):
    if "without" not in request.node.name:
        pytest.importorskip("gemmi")


def test_a_chain_comes_back(write):
    (piece,) = read_backbones(write(rows(*range(12))))
    torch.testing.assert_close(piece.backbone, HELIX, atol=6e-4, rtol=0)
    assert decode_sequence(piece.sequence) == "A" * 12 and piece.positions.tolist() == list(range(12))
    assert piece.chain == "A" and piece.left_out == ()


def test_a_break_cuts_and_keeps_the_pieces_apart(write):
    one, two = read_backbones(write(rows(0, 1, 2, 6, 7, 8)))
    assert len(one.sequence) == len(two.sequence) == 3 and two.positions[0] - one.positions[-1] > 64
    both = torch.cat((one.backbone, two.backbone))
    seen = neighbour_features(both, k=5, positions=torch.cat((one.positions, two.positions)))
    assert (seen.offset[0] == 128).sum() == 3


def test_a_missing_atom_is_reported(write):
    pieces = read_backbones(write([*rows(0, 1), *residue(2, skip=("O",)), *rows(3, 4)]))
    assert [len(piece.sequence) for piece in pieces] == [2, 2]
    assert pieces[0].left_out == ("ALA 3: lacks O",)


def test_selenomethionine_is_methionine_and_says_so(write):
    (piece,) = read_backbones(write([*rows(0), *residue(1, "MSE", kind="HETATM"), *rows(2)]))
    assert decode_sequence(piece.sequence) == "AMA" and piece.left_out == ("MSE 2: read as MET",)


def test_other_types_and_water(write):
    water = line("O", "HOH", 90, (0, 0, 9), kind="HETATM")
    pieces = read_backbones(write([*rows(0, 1), *residue(2, "SEC"), *rows(3), water]))
    assert [len(piece.sequence) for piece in pieces] == [2, 1] and "none of the twenty" in pieces[0].left_out[0]


def test_of_alternative_places_the_more_occupied_counts(write):
    n, ca, c, o = HELIX[1].tolist()
    twice = [
        line("N", "ALA", 2, n),
        line("CA", "ALA", 2, [x + 0.5 for x in ca], alternative="A", occupancy=0.3),
        line("CA", "ALA", 2, ca, alternative="B", occupancy=0.7),
        line("C", "ALA", 2, c),
        line("O", "ALA", 2, o),
    ]
    (piece,) = read_backbones(write([*rows(0), *twice, *rows(2)]))
    torch.testing.assert_close(piece.backbone[1], HELIX[1], atol=6e-4, rtol=0)


def test_the_first_model_and_the_wanted_chain(write):
    models = ["MODEL        1", *rows(0, 1), *rows(4, 5, 6, chain="B"), "ENDMDL", "MODEL        2", *rows(0), "ENDMDL"]
    path = write(models)
    assert [(piece.chain, len(piece.sequence)) for piece in read_backbones(path)] == [("A", 2), ("B", 3)]
    assert len(read_backbones(path, chain="B")) == 1
    with pytest.raises(ValueError, match=r"no backbone of chain 'C'; its chains are A, B"):
        read_backbones(path, chain="C")


def test_mmcif_says_the_same(write, tmp_path):
    gemmi = pytest.importorskip("gemmi")
    structure = gemmi.read_structure(str(write(rows(*range(6)))))
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(tmp_path / "x.cif"))
    (piece,) = read_backbones(tmp_path / "x.cif")
    torch.testing.assert_close(piece.backbone, HELIX[:6], atol=6e-4, rtol=0)
    text = (tmp_path / "x.cif").read_text()
    (tmp_path / "cut.cif").write_text(text[: text.rindex("ATOM") + 30])
    with pytest.raises(ValueError, match="cut.cif"):
        read_backbones(tmp_path / "cut.cif")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has none"),
        ("HEADER    NOTHING\nEND\n", "has none"),
        ("\n".join(rows(0, 1))[:-50], "can be read, got x.pdb"),
        (line("O", "HOH", 1, (0, 0, 0), kind="HETATM") + "\n", "any protein chain"),
    ],
)
def test_what_is_no_such_file_says_so(tmp_path, text, says):
    (tmp_path / "x.pdb").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_backbones(tmp_path / "x.pdb")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a file"):
        read_backbones(tmp_path / "none.pdb")


def test_without_gemmi_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(ImportError, match="pip install gemmi"):
        read_backbones("x.pdb")
