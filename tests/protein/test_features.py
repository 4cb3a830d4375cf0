"""The environment of a residue against a loop over residues, SciPy's rotation vectors, turned proteins; bad input."""

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
    join_environments,
    neighbour_features,
    radial_basis,
    rotation_vector,
    torsions,
)

few = settings(max_examples=60, deadline=None)


def chain(length, seed=0):
    rows = torch.rand(length, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 4 - 2
    return build_backbone(rows)


# --- rotation vectors and the ruler ---


@few
@given(st.integers(0, 10_000))
def test_rotation_vectors_are_scipys(seed):
    turns = Rotation.random(8, rng=np.random.default_rng(seed))
    np.testing.assert_allclose(rotation_vector(torch.tensor(turns.as_matrix())), turns.as_rotvec(), atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, 3.1415, math.pi - 1e-7, math.pi])
@pytest.mark.parametrize("axis", [(1.0, 0, 0), (0, -1.0, 0), (0.6, 0, 0.8), (-0.48, 0.6, 0.64)])
def test_near_no_turn_and_near_half_a_turn(angle, axis):
    want = angle * np.array(axis)
    got = rotation_vector(torch.tensor(Rotation.from_rotvec(want).as_matrix())).numpy()
    if angle == math.pi:  # either axis
        want = want * np.sign(want @ got)
    np.testing.assert_allclose(got, want, atol=1e-7)


def test_the_gradient_at_no_turn_is_finite():
    eye = torch.eye(3).double().requires_grad_()
    rotation_vector(eye).sum().backward()
    assert eye.grad.isfinite().all()


def test_the_ruler():
    marks = radial_basis(torch.tensor([0.0, 20.0, 4.0]))
    assert marks.shape == (3, 16) and marks[0].argmax() == 0 and marks[1].argmax() == 15 and marks[2].argmax() == 3
    assert marks[2, 3].item() == pytest.approx(1.0) and marks.min() >= 0
    torch.testing.assert_close(marks[2, 2], torch.tensor(math.exp(-((20 / 15 / 1.25) ** 2))))


# --- neighbours ---


def one_by_one(backbone, k):
    """The features by a loop over residues and neighbours, after the formulas."""
    rotations, origins = backbone_frames(backbone)
    found = []
    for i in range(len(backbone)):
        order = sorted(range(len(backbone)), key=lambda j: (j != i, (origins[j] - origins[i]).norm().item()))[: k + 1]
        rows = []
        for j in order:
            apart = origins[j] - origins[i]
            turned = Rotation.from_matrix((rotations[i].T @ rotations[j]).numpy()).as_rotvec()
            marks = [math.exp(-(((apart.norm().item() - 20 * m / 15) / 1.25) ** 2)) for m in range(16)]
            rows.append([*marks, *(rotations[i].T @ apart).tolist(), *turned])
        found.append((order, rows))
    return found


@pytest.mark.parametrize("k", [0, 1, 7])
def test_it_is_the_loop_over_residues(k):
    backbone = chain(12)
    seen = neighbour_features(backbone, k=k)
    for i, (order, rows) in enumerate(one_by_one(backbone, k)):
        assert seen.neighbours[i].tolist() == order
        np.testing.assert_allclose(seen.spatial[i], rows, atol=1e-9)
        assert (seen.offset[i] - 64).tolist() == [j - i for j in order]
    assert seen.present.all()


def test_a_turned_and_moved_protein_is_seen_alike():
    backbone = chain(15)
    turn = torch.tensor(Rotation.random(rng=np.random.default_rng(1)).as_matrix())
    other = neighbour_features(backbone @ turn.T + 30, k=5)
    for one, two in zip(neighbour_features(backbone, k=5), other):
        torch.testing.assert_close(one, two)


def test_a_mirror_image_is_not_seen_alike():
    backbone = chain(15)
    mirror = neighbour_features(backbone * torch.tensor([1.0, 1, -1]).double(), k=5)
    assert (mirror.spatial - neighbour_features(backbone, k=5).spatial).abs().max() > 0.1


def test_equal_distances_come_in_the_order_of_the_chain():
    strand = build_backbone(torch.tensor([-120.0, 130.0, 180.0]).deg2rad().expand(5, 3))
    assert neighbour_features(strand, k=2).neighbours.tolist() == [
        [0, 1, 2],
        [1, 0, 2],
        [2, 1, 3],
        [3, 2, 4],
        [4, 3, 2],
    ]


def test_the_torsions_around_a_residue():
    backbone = chain(7)
    angles, seen = torsions(backbone), neighbour_features(backbone, k=2).torsions
    assert seen.shape == (7, 30)
    torch.testing.assert_close(seen[3, 12:15], angles[3].sin())  # the middle of five
    torch.testing.assert_close(seen[3, 15:18], angles[3].cos())
    torch.testing.assert_close(seen[3, 6:9], angles[2].sin())
    assert seen[0, :12].eq(0).all() and seen[0, 12] == 0 and seen[0, 15] == 0  # nothing before, and no first φ


def test_short_chains_have_columns_that_are_not_there():
    seen = neighbour_features(chain(3), k=5)
    assert seen.neighbours.shape == (3, 6) and seen.present.sum(1).tolist() == [3, 3, 3]
    assert neighbour_features(chain(1), k=2).present.tolist() == [[True, False, False]]
    assert neighbour_features(chain(2)[:0], k=2).spatial.shape == (0, 3, 22)


def test_steps_along_the_chain_are_cut_and_may_be_given():
    seen = neighbour_features(chain(3), k=2, positions=torch.tensor([0, 63, 200]))
    steps = {(i, int(j)): int(o) for i in range(3) for j, o in zip(seen.neighbours[i], seen.offset[i])}
    assert steps[0, 1] == 127 and steps[1, 0] == 1 and steps[0, 2] == 128 and steps[2, 0] == 128 and steps[1, 1] == 64


def test_joined_chains_keep_to_themselves():
    one, two = neighbour_features(chain(4), k=2), neighbour_features(chain(6, 1), k=2)
    both = join_environments([one, two])
    assert both.neighbours[:4].max() < 4 and both.neighbours[4:].min() == 4
    torch.testing.assert_close(both.rows(torch.tensor([5])).spatial, two.spatial[1:2])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: neighbour_features(chain(4)[None]), "backbone must be"),
        (lambda: neighbour_features(chain(4), k=-1), "k must be a whole number"),
        (lambda: neighbour_features(chain(4), positions=torch.arange(3)), "positions must be 4"),
        (lambda: neighbour_features(chain(4), positions=torch.rand(4)), "whole numbers"),
        (lambda: join_environments([]), "at least one"),
        (lambda: join_environments([neighbour_features(chain(4), k=k) for k in (1, 2)]), "the same k"),
        (lambda: radial_basis(torch.tensor([1])), "floating-point"),
        (lambda: radial_basis(torch.ones(1), count=1), "count"),
        (lambda: rotation_vector(torch.ones(3, 2)), "rotation must be"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()
