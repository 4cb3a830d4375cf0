"""Frames, virtual Cβ, torsions, built backbones, structure, exposure: ubiquitin, hand-made atoms, laws, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tutorial_lib.protein import (
    backbone_frames,
    build_backbone,
    half_sphere_exposure,
    secondary_structure,
    torsions,
    virtual_cb,
)

# Residues 1 to 6 of ubiquitin, PDB 1UBQ (Vijay-Kumar et al. 1987; CC0): N, CA, C, O; and their CB.
UBIQUITIN = torch.tensor(
    [
        [(27.34, 24.43, 2.614), (26.266, 25.413, 2.842), (26.913, 26.639, 3.531), (27.886, 26.463, 4.263)],
        [(26.335, 27.77, 3.258), (26.85, 29.021, 3.898), (26.1, 29.253, 5.202), (24.865, 29.024, 5.33)],
        [(26.849, 29.656, 6.217), (26.235, 30.058, 7.497), (26.882, 31.428, 7.862), (27.906, 31.711, 7.264)],
        [(26.214, 32.097, 8.771), (26.772, 33.436, 9.197), (27.151, 33.362, 10.65), (26.35, 32.778, 11.395)],
        [(28.26, 33.943, 11.096), (28.605, 33.965, 12.503), (28.638, 35.461, 12.9), (29.522, 36.103, 12.32)],
        [(27.751, 35.867, 13.74), (27.691, 37.315, 14.143), (28.469, 37.475, 15.42), (28.213, 36.753, 16.411)],
    ],
    dtype=torch.float64,
)
UBIQUITIN_CB = torch.tensor(
    [
        (25.112, 24.88, 3.649),
        (26.733, 30.148, 2.905),
        (26.344, 29.05, 8.645),
        (25.695, 34.498, 8.946),
        (29.963, 33.317, 12.814),
        (26.219, 37.684, 14.307),
    ],
    dtype=torch.float64,
)
HELIX, STRAND = (-57.0, -47.0, 180.0), (-120.0, 130.0, 180.0)
angles = st.lists(st.tuples(*[st.floats(-3.0, 3.0)] * 3), min_size=2, max_size=6)
few = settings(max_examples=40, deadline=None)


def ideal(kind, length):
    return build_backbone(torch.tensor(kind, dtype=torch.float64).deg2rad().expand(length, 3))


def moved(backbone, seed=0):
    turn = torch.tensor(Rotation.random(rng=np.random.default_rng(seed)).as_matrix())
    return backbone @ turn.T + torch.tensor([3.0, -7.0, 11.0])


# --- frames ---


def test_frames_are_rotations_and_carry_the_axes():
    rotations, origins = backbone_frames(UBIQUITIN)
    torch.testing.assert_close(rotations.mT @ rotations, torch.eye(3).double().expand(6, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(6).double())
    torch.testing.assert_close(origins, UBIQUITIN[:, 1])
    local = ((UBIQUITIN - origins[:, None])[:, :, None] @ rotations[:, None]).squeeze(2)  # (L, atom, 3)
    assert (local[:, 2, 0] > 1.4).all() and local[:, 2, 1:].abs().max() < 1e-12  # C lies on the first axis
    assert (local[:, 0, 1] > 1.2).all() and local[:, 0, 2].abs().max() < 1e-12  # N in the plane of the first two
    assert (
        (virtual_cb(UBIQUITIN) - origins)[:, None].bmm(rotations)[:, 0, 2].lt(0).all()
    )  # Cβ on one side: L-amino acids


def test_frames_turn_with_the_protein():
    turn = torch.tensor(Rotation.random(rng=np.random.default_rng(3)).as_matrix())
    rotations, _ = backbone_frames(UBIQUITIN)
    torch.testing.assert_close(backbone_frames(UBIQUITIN @ turn.T)[0], turn @ rotations)


def test_a_mirror_image_is_told_from_the_protein():
    mirror = UBIQUITIN * torch.tensor([1.0, 1.0, -1.0])
    assert torch.linalg.det(backbone_frames(mirror)[0]).allclose(torch.ones(6).double())  # still rotations
    torch.testing.assert_close(torsions(mirror), -torsions(UBIQUITIN), equal_nan=True)


@pytest.mark.parametrize("where", [0, 2])
def test_atoms_on_a_line_have_no_frame(where):
    bad = UBIQUITIN.clone()
    bad[2, where] = bad[2, 1] if where == 2 else 2 * bad[2, 1] - bad[2, 2]
    with pytest.raises(ValueError, match="on one line, got residue 2"):
        backbone_frames(bad)


# --- virtual Cβ ---


def test_the_virtual_cb_lies_where_the_real_one_is():
    apart = (virtual_cb(UBIQUITIN) - UBIQUITIN_CB).norm(dim=-1)
    assert apart.max() < 0.3 and apart.square().mean().sqrt() < 0.16
    assert (virtual_cb(UBIQUITIN) - UBIQUITIN[:, 1]).norm(dim=-1).sub(1.55).abs().max() < 0.1


# --- torsions ---


def test_torsions_of_ubiquitin():
    found = torsions(UBIQUITIN).rad2deg()
    expected = [(-91.02, 138.26), (-131.10, 163.05), (-115.99, 140.23), (-118.03, 114.22)]
    for row, (phi, psi) in zip(found[1:5], expected):
        assert row[0].item() == pytest.approx(phi, abs=0.01) and row[1].item() == pytest.approx(psi, abs=0.01)
    assert found[0, 1:].tolist() == pytest.approx([149.63, 178.31], abs=0.01)
    assert math.isnan(found[0, 0]) and found[5, 1:].isnan().all()


def popular_dihedral(p0, p1, p2, p3):
    """The form of published code: the sign of a triple product times an arccos."""
    b0, b1, b2 = p1 - p0, p2 - p1, p3 - p2
    n1, n2 = torch.linalg.cross(b0, b1), torch.linalg.cross(b1, b2)
    cosine = ((n1 * n2).sum() / (n1.norm() * n2.norm())).clamp(-1 + 1e-7, 1 - 1e-7)
    return torch.sign((b0 * n2).sum()) * torch.arccos(cosine)


def test_a_planar_trans_bond_is_180_degrees_where_the_arccos_form_says_0():
    flat = torch.tensor([[0.0, 1, 0], [0, 0, 0], [1, 0, 0], [1, -1, 0]])  # four atoms in one plane, trans
    assert popular_dihedral(*flat).item() == 0.0
    chain = torch.stack([torch.stack((flat[0] - 1, flat[0], flat[1])), torch.stack((flat[2], flat[3], flat[3] + 1))])
    assert abs(torsions(chain)[0, 2].rad2deg().item()) == pytest.approx(180.0)  # ω: CA, C, N, CA


def test_the_sign_is_that_of_iupac():
    atoms = torch.tensor([(-0.5, -1.0, 0), (0, 0, 0), (1.0, 0, 0), (0, 0, -1.0)])
    chain = torch.stack(
        (torch.stack((atoms[0] + 5, atoms[0], atoms[1])), torch.stack((atoms[2], atoms[3], atoms[3] + 1)))
    )
    assert torsions(chain)[0, 2].rad2deg().item() == pytest.approx(90.0)


def test_a_break_ends_the_torsions_of_both_sides():
    broken = UBIQUITIN.clone()
    broken[3:] += 20
    found = torsions(broken)
    assert found[2, 1:].isnan().all() and found[3, 0].isnan() and not found[3, 1].isnan()
    assert not torsions(broken, longest_bond=1e3)[2, 1].isnan()


def test_one_residue_and_none_have_no_torsions():
    assert torsions(UBIQUITIN[:1]).isnan().all() and torsions(UBIQUITIN[:0]).shape == (0, 3)


@few
@given(angles)
def test_a_built_backbone_has_the_torsions_it_was_built_with(rows):
    given_ = torch.tensor(rows, dtype=torch.float64)
    built = build_backbone(given_)
    found = torsions(built)
    torch.testing.assert_close(found[1:, 0], given_[1:, 0])
    torch.testing.assert_close(found[:-1, 1:], given_[:-1, 1:])
    torch.testing.assert_close(torsions(moved(built)), found, equal_nan=True)


def test_ideal_bonds_and_the_rise_of_a_helix():
    helix = ideal(HELIX, 20)
    for (one, first), (other, second), length in (
        ((0, 0), (0, 1), 1.458),
        ((0, 1), (0, 2), 1.525),
        ((0, 2), (1, 0), 1.329),
        ((0, 2), (0, 3), 1.231),
    ):
        bond = helix[other : other + 15, second] - helix[one : one + 15, first]
        torch.testing.assert_close(bond.norm(dim=-1), torch.full((15,), length).double())
    rise = (helix[18, 1] - helix[0, 1]).norm().item() / 18  # 18 residues are five turns
    assert rise == pytest.approx(1.5, abs=0.1)


def test_batches_are_one_chain_after_the_other():
    rows = torch.rand(3, 5, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for function in (torsions, virtual_cb, half_sphere_exposure, lambda x: backbone_frames(x)[0]):
        chains = build_backbone(rows)
        together = function(chains)
        for one, chain in zip(together, chains):
            torch.testing.assert_close(one, function(chain), equal_nan=True)
    assert build_backbone(rows[:, :0]).shape == (3, 0, 4, 3)


# --- structure and exposure ---


def test_a_helix_is_helix_and_a_lone_strand_is_nothing():
    assert secondary_structure(ideal(HELIX, 12)).tolist() == [0, *[1] * 10, 0]
    assert secondary_structure(ideal(STRAND, 12)).tolist() == [0] * 12
    assert secondary_structure(ideal(HELIX, 4)).tolist() == [0] * 4


def test_two_strands_side_by_side_are_a_sheet():
    """An antiparallel pair by its symmetry: the second strand is the first, turned half round an axis between them."""
    strand = ideal((-139.0, 135.0, -178.0), 9)
    centre = strand[4, :3].mean(0)
    along = torch.nn.functional.normalize(strand[8, 1] - strand[0, 1], dim=0)
    carbonyl = strand[4, 3] - strand[4, 2]
    side = torch.nn.functional.normalize(carbonyl - (carbonyl @ along) * along, dim=0)
    normal = torch.linalg.cross(along, side)
    most = 0
    for gap in np.arange(4.2, 5.6, 0.1):
        axis = centre + side * gap / 2
        apart = strand - axis
        other = axis - apart + 2 * (apart @ normal)[..., None] * normal  # half a turn about the normal
        pair = torch.cat((strand, other))
        most = max(most, int((secondary_structure(pair) == 2).sum()))
    assert most >= 6


def test_exposure_counts_one_side():
    backbone = ideal(STRAND, 1)
    side = virtual_cb(backbone)[0] - backbone[0, 1]
    front, back, far = (backbone + scale * side for scale in (4, -4, 10))
    assert half_sphere_exposure(torch.cat((backbone, front, back, far))).tolist()[0] == 1
    assert half_sphere_exposure(torch.cat((backbone, front, back, far)), radius=20).tolist()[0] == 2


# --- bad input ---


@pytest.mark.parametrize("function", [backbone_frames, virtual_cb, torsions, half_sphere_exposure, secondary_structure])
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.zeros(5, 3), "(?:N, CA, C and O|must be)"),
        (torch.zeros(5, 2, 3), "must be"),
        (torch.zeros(5, 4, 2), "backbone must be floating-point"),
        (torch.zeros(5, 4, 3, dtype=torch.int64), "floating-point"),
        (np.zeros((5, 4, 3)), "backbone must be a tensor"),
    ],
)
def test_what_is_no_backbone_is_refused(function, bad, says):
    with pytest.raises(ValueError, match=says):
        function(bad)


@pytest.mark.parametrize("function", [backbone_frames, virtual_cb, torsions, half_sphere_exposure, secondary_structure])
def test_a_missing_atom_is_named(function):
    bad = UBIQUITIN.clone()
    bad[4, 2, 0] = math.nan
    with pytest.raises(ValueError, match="finite .* residue 4"):
        function(bad)


def test_bad_settings():
    with pytest.raises(ValueError, match="longest_bond must be finite and above 0"):
        torsions(UBIQUITIN, longest_bond=0)
    with pytest.raises(ValueError, match="radius"):
        half_sphere_exposure(UBIQUITIN, radius=-1)
    with pytest.raises(ValueError, match="angles must be"):
        build_backbone(torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="angles must be"):
        build_backbone(torch.full((2, 3), math.nan))
    with pytest.raises(ValueError, match="with N, CA, C and O"):
        secondary_structure(UBIQUITIN[:, :3])


def test_half_precision_is_computed_in_single():
    assert torsions(UBIQUITIN.half()).dtype == torch.float32


def test_gradients_reach_the_atoms():
    atoms = UBIQUITIN[:3].clone().requires_grad_()
    torch.autograd.gradcheck(virtual_cb, atoms)
    torch.autograd.gradcheck(lambda x: backbone_frames(x)[0], atoms)
    torch.autograd.gradcheck(lambda x: torsions(x)[:2, 1:].cos(), atoms)
