"""Side-chain torsions against gemmi and by construction, B-factors, files: four residues of ubiquitin; bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.protein import (
    InverseFolding,
    build_backbone,
    inverse_folding_loss,
    neighbour_features,
    read_backbones,
    residue_targets,
    side_chain_torsions,
)
from tutorial_lib.protein.files import _OUTWARDS

gemmi = pytest.importorskip("gemmi")

# From PDB 1UBQ (Vijay-Kumar et al. 1987; CC0), with the B-factor of each Cα.
UBIQUITIN = {
    "MET 1": (
        10.38,
        {
            "N": (27.340, 24.430, 2.614),
            "CA": (26.266, 25.413, 2.842),
            "C": (26.913, 26.639, 3.531),
            "O": (27.886, 26.463, 4.263),
            "CB": (25.112, 24.880, 3.649),
            "CG": (25.353, 24.860, 5.134),
            "SD": (23.930, 23.959, 5.904),
            "CE": (24.447, 23.984, 7.620),
        },
    ),
    "PHE 4": (
        4.68,
        {
            "N": (26.214, 32.097, 8.771),
            "CA": (26.772, 33.436, 9.197),
            "C": (27.151, 33.362, 10.650),
            "O": (26.350, 32.778, 11.395),
            "CB": (25.695, 34.498, 8.946),
            "CG": (25.288, 34.609, 7.499),
            "CD1": (24.147, 33.966, 7.038),
            "CD2": (26.136, 35.346, 6.640),
        },
    ),
    "LYS 6": (
        6.12,
        {
            "N": (27.751, 35.867, 13.740),
            "CA": (27.691, 37.315, 14.143),
            "C": (28.469, 37.475, 15.420),
            "O": (28.213, 36.753, 16.411),
            "CB": (26.219, 37.684, 14.307),
            "CG": (25.884, 39.139, 14.615),
            "CD": (24.348, 39.296, 14.642),
            "CE": (23.865, 40.723, 14.749),
            "NZ": (22.375, 40.720, 14.907),
        },
    ),
    "ASP 21": (
        7.70,
        {
            "N": (29.599, 18.599, 9.828),
            "CA": (30.796, 19.083, 10.566),
            "C": (30.491, 19.162, 12.040),
            "O": (29.367, 19.523, 12.441),
            "CB": (31.155, 20.515, 10.048),
            "CG": (31.923, 20.436, 8.755),
            "OD1": (32.493, 19.374, 8.456),
            "OD2": (31.838, 21.402, 7.968),
        },
    ),
}
NAMES = {  # what the torsions of these four go through
    "MET 1": ("N", "CA", "CB", "CG", "SD", "CE"),
    "PHE 4": ("N", "CA", "CB", "CG", "CD1"),
    "LYS 6": ("N", "CA", "CB", "CG", "CD", "CE", "NZ"),
    "ASP 21": ("N", "CA", "CB", "CG", "OD1"),
}


def rows(residues, *, without=(), methionine="MET"):
    for residue, (b_factor, atoms) in residues.items():
        name, number = residue.split()
        kind = "HETATM" if methionine == "MSE" and name == "MET" else "ATOM"
        for atom, (x, y, z) in atoms.items():
            if atom in without:
                continue
            element = atom[0]
            name_ = methionine if name == "MET" else name
            if name_ == "MSE" and atom == "SD":
                atom, element = "SE", "SE"
            yield (
                f"{kind:<6}{1:>5} {atom if element == 'SE' else ' ' + atom:<4} {name_:>3} A{number:>4}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}{1:6.2f}{b_factor:6.2f}          {element:>2}"
            )


@pytest.fixture
def pieces(tmp_path):
    def read(residues=UBIQUITIN, **more):
        (tmp_path / "x.pdb").write_text("\n".join([*rows(residues, **more), "END", ""]))
        return read_backbones(tmp_path / "x.pdb")  # they are no neighbours: one piece each

    return read


def test_torsions_are_gemmis(pieces):
    for piece, (residue, names) in zip(pieces(), NAMES.items()):
        atoms = UBIQUITIN[residue][1]
        found = side_chain_torsions(piece.paths)[0].tolist()
        for m in range(4):
            if m + 4 > len(names):
                assert math.isnan(found[m])
            else:
                four = [gemmi.Position(*atoms[name]) for name in names[m : m + 4]]
                assert found[m] == pytest.approx(gemmi.calculate_dihedral(*four), abs=1e-5)


def test_torsions_of_ubiquitin_in_degrees(pieces):
    found = torch.cat([side_chain_torsions(piece.paths) for piece in pieces()]).rad2deg()
    wanted = [[80.4, -172.2, 177.5], [-60.7, 97.9], [-175.6, 176.2, -172.0, -174.2]]
    for row, numbers in zip(found, wanted):
        assert row[: len(numbers)].tolist() == pytest.approx(numbers, abs=0.06)


def test_mmcif_says_the_same(pieces, tmp_path):
    before = pieces()
    structure = gemmi.read_structure(str(tmp_path / "x.pdb"))
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(tmp_path / "x.cif"))
    for one, other in zip(before, read_backbones(tmp_path / "x.cif"), strict=True):
        torch.testing.assert_close(one.paths, other.paths, equal_nan=True)
        torch.testing.assert_close(one.b_factor, other.b_factor)


def test_a_missing_atom_takes_its_torsions_along(pieces):
    whole, cut = pieces()[2], pieces(without=("CD",))[2]
    found = side_chain_torsions(cut.paths)
    assert found[0, 0] == side_chain_torsions(whole.paths)[0, 0] and found[0, 1:].isnan().all()


def test_selenomethionine_turns_about_its_selenium(pieces):
    torch.testing.assert_close(
        side_chain_torsions(pieces(methionine="MSE")[0].paths), side_chain_torsions(pieces()[0].paths), equal_nan=True
    )


def test_every_type_has_its_path():
    assert {letter: len(path) for letter, path in _OUTWARDS.items() if len(path) != 2} == {
        **dict.fromkeys("CSTV", 1),
        **dict.fromkeys("EQM", 3),
        **dict.fromkeys("KR", 4),
    }
    assert set("ACDEFGHIKLMNPQRSTVWY") - set(_OUTWARDS) == set("AG")
    for letter, path in _OUTWARDS.items():  # each atom's name carries the next letter outwards
        assert [name[1] for name in path] == list("GDEZ"[: len(path)]), letter


angle = st.floats(-3.1, 3.1)


@settings(max_examples=30, deadline=None)
@given(st.tuples(angle, angle, angle, angle))
def test_a_path_built_with_torsions_has_them(angles):
    path = [torch.tensor(at).double() for at in ([0.0, 1.4, 0.3], [0.0, 0, 0], [1.5, 0, 0])]
    for chi in angles:
        a, b, c = path[-3:]
        along = torch.nn.functional.normalize(c - b, dim=0)
        normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, along), dim=0)
        side = torch.linalg.cross(normal, along)
        path.append(c + 0.5 * along + 1.4 * (math.cos(chi) * side + math.sin(chi) * normal))
    found = side_chain_torsions(torch.stack(path)[None])
    assert found[0].tolist() == pytest.approx(angles, abs=1e-9)


def test_both_right_answers_are_told():
    paths = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    sequence = torch.tensor(["ACDEFGHIKLMNPQRSTVWY".index(letter) for letter in "FYDEK"])
    found, plain = side_chain_torsions(paths, sequence), side_chain_torsions(paths)
    torch.testing.assert_close(found[..., 0], plain)
    twice = ~found[..., 1].isnan()
    assert twice.nonzero().tolist() == [[0, 1], [1, 1], [2, 1], [3, 2]]
    apart = found[twice]
    torch.testing.assert_close((apart[:, 0] - apart[:, 1]).abs(), torch.full((4,), math.pi))
    assert (apart.abs() <= math.pi + 1e-6).all()


def test_of_two_right_answers_the_nearer_counts():
    true = torch.tensor([[1.0, 1.0 - math.pi], [1.0, math.nan], [math.nan, math.nan]])
    said = torch.tensor([1.0 - math.pi, 1.0 - math.pi, 0.3], requires_grad=True)
    outputs = {"chi2": torch.stack((said.sin(), said.cos()), 1)}
    total, _ = inverse_folding_loss(outputs, {"chi2": true})
    assert total.item() == pytest.approx((0 + 2) / 2, abs=1e-6)  # the ring turned half round; the other one; unknown
    total.backward()
    assert said.grad.isfinite().all() and said.grad[2] == 0
    assert torch.autograd.gradcheck(
        lambda x: inverse_folding_loss({"chi2": x}, {"chi2": true.double()})[0],
        torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_(),
    )


def test_targets_of_a_file(pieces):
    found = residue_targets(pieces())
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        **dict.fromkeys(("type", "structure", "exposure", "b_factor"), (4,)),
        **dict.fromkeys(("chi1", "chi2", "chi3", "chi4"), (4, 2)),
    }
    b = torch.tensor([10.38, 4.68, 6.12, 7.70])
    torch.testing.assert_close(found["b_factor"], (b - b.mean()) / b.std(correction=0))
    assert (~found["chi4"].isnan()).any(1).tolist() == [False, False, True, False]
    assert (~found["chi2"][:, 1].isnan()).tolist() == [False, True, False, True]


def test_a_model_without_b_factors_has_none(pieces):
    same = {name: (20.0, atoms) for name, (_, atoms) in UBIQUITIN.items()}
    assert residue_targets(pieces(same))["b_factor"].isnan().all()


def test_a_network_is_trained_for_all_of_them(pieces):
    """Four residues learnt by heart: every task's loss falls, and what is not known does no harm."""
    found = pieces()
    seen = neighbour_features(torch.cat([piece.backbone for piece in found]), k=3)
    facts = residue_targets(found)
    torch.manual_seed(0)
    tasks = {"structure": 3, "exposure": "number", "b_factor": "number", **{f"chi{m}": "angle" for m in (1, 2, 3, 4)}}
    model = InverseFolding(width=16, depth=1, heads=2, k=3, targets=tasks)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    seen_parts = []
    for _ in range(150):
        loss, parts = inverse_folding_loss(model(seen, facts["type"]), facts, weights={"chi1": 0.5, "chi2": 0.5})
        seen_parts.append({name: part.item() for name, part in parts.items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    first, last = seen_parts[0], seen_parts[-1]
    assert all(last[name] < 0.2 * first[name] for name in ("type", "b_factor", "chi1", "chi2"))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: side_chain_torsions(torch.zeros(3, 6, 3)), r"paths must be \(..., L, 7, 3\)"),
        (lambda: side_chain_torsions(torch.zeros(7, 3)), r"paths must be"),
        (lambda: side_chain_torsions(torch.zeros(2, 7, 3, dtype=torch.int64)), "floating-point"),
        (lambda: side_chain_torsions(torch.zeros(2, 7, 3), torch.tensor([1])), r"sequence must be \(2,\)"),
        (lambda: side_chain_torsions(torch.zeros(1, 7, 3), torch.tensor([20])), "types 0 to 19"),
        (lambda: residue_targets([]), "at least one"),
        (lambda: residue_targets([build_backbone(torch.zeros(3, 3))]), "read_backbones"),
        (lambda: inverse_folding_loss({"a": torch.zeros(3, 2)}, {"a": torch.zeros(2, 2)}), "one a residue, 3"),
        (lambda: inverse_folding_loss({"a": torch.zeros(3, 1)}, {"a": torch.zeros(3, 2)}), r"targets\['a'\] must be"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()
