"""The phantoms' distances are those of the true surface, and grey values alone do not give the shape away."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import KDTree

from tutorial_lib.lab.phantoms import Star, cell_phantoms, instance_boxes, phantoms, random_star, star_distance


def star_in(dims, seed, size=48):
    return random_star((size,) * dims, np.random.default_rng(seed))


def surface(star, directions):
    """Points of the surface straight from the docstring's formula, with angles and cosines."""
    angle = np.arccos(np.clip(directions @ star.axis.T, -1, 1))
    radius = star.radius * (1 + (star.amplitude * np.cos(star.order * angle)).sum(-1))
    return star.centre + radius[:, None] * directions


def circle(count):
    angle = np.arange(count) * 2 * np.pi / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


# --- distances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_distance_to_a_ball(dims):
    rng = np.random.default_rng(0)
    ball = Star(rng.uniform(10, 20, dims), 7.5, np.zeros(2), np.array([2, 3]), np.eye(dims)[:2])
    points = rng.uniform(-5, 40, (500, dims))
    expected = np.linalg.norm(points - ball.centre, axis=1) - 7.5
    np.testing.assert_allclose(star_distance(points, ball), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_distance_against_a_dense_polyline(seed):
    """Distance to 200,000 segments, the exact polygon distance: the polygon is within 1e-8 pixels of the contour."""
    star = star_in(2, seed)
    points = np.random.default_rng(seed).uniform(0, 47, (2000, 2))
    corners = surface(star, circle(200_000))
    nearest = KDTree(corners).query(points)[1]
    best = np.full(len(points), np.inf)
    for step in (-1, 0):
        start, end = corners[(nearest + step) % len(corners)], corners[(nearest + step + 1) % len(corners)]
        edge = end - start
        share = np.clip(((points - start) * edge).sum(1) / (edge**2).sum(1), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - start - share[:, None] * edge, axis=1))
    np.testing.assert_allclose(np.abs(star_distance(points, star)), best, atol=2e-8)


def test_distance_in_3d_against_dense_points():
    """No point of 400,000 on the surface is nearer; and the nearest of them is not much farther."""
    star = star_in(3, 0)
    directions = np.random.default_rng(1).normal(size=(400_000, 3))
    cloud = surface(star, directions / np.linalg.norm(directions, axis=1, keepdims=True))
    points = np.random.default_rng(2).uniform(0, 47, (3000, 3))
    ours, dense = np.abs(star_distance(points, star)), KDTree(cloud).query(points)[0]
    assert (ours <= dense + 1e-4).all()
    # A gap of g between samples makes them farther by at most g^2 / 2d; 0.3 pixels is this cloud's largest gap.
    far = ours > 1
    assert (dense - ours)[far].max() < 0.05 and np.median(dense - ours) < 2e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_sign_and_zero(dims):
    star = star_in(dims, 3)
    directions = np.random.default_rng(0).normal(size=(50, dims))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    on = surface(star, directions)
    np.testing.assert_allclose(star_distance(on, star), 0, atol=1e-9)
    assert (star_distance(star.centre + 0.99 * (on - star.centre), star) < 0).all()
    assert (star_distance(star.centre + 1.01 * (on - star.centre), star) > 0).all()
    assert star_distance(star.centre, star) < 0


@settings(max_examples=25, deadline=None)
@given(dims=st.sampled_from([2, 3]), seed=st.integers(0, 500), scale=st.floats(0.5, 4))
def test_distance_properties(dims, seed, scale):
    """A distance: it changes by at most the way between two points; moves, turns and grows with the body."""
    star = star_in(dims, seed)
    rng = np.random.default_rng(seed)
    points, others = rng.uniform(-10, 60, (2, 20, dims))
    here, there = star_distance(points, star), star_distance(others, star)
    assert (np.abs(here - there) <= np.linalg.norm(points - others, axis=1) + 1e-3).all()
    moved = star._replace(centre=star.centre + 5)
    np.testing.assert_allclose(star_distance(points + 5, moved), here, atol=1e-3)
    grown = star._replace(centre=scale * star.centre, radius=scale * star.radius)
    np.testing.assert_allclose(star_distance(scale * points, grown), scale * here, atol=1e-3 * scale)
    mirrored = star._replace(centre=star.centre[::-1], axis=star.axis[:, ::-1])
    np.testing.assert_allclose(star_distance(points[:, ::-1], mirrored), here, atol=1e-3)


def test_distance_shapes_and_bad_input():
    star = star_in(2, 0)
    assert star_distance(np.zeros((0, 2)), star).shape == (0,)
    assert star_distance(np.zeros((3, 4, 2)), star).shape == (3, 4)
    with pytest.raises(ValueError, match=r"points must be \(..., 2\)"):
        star_distance(np.zeros((5, 3)), star)
    with pytest.raises(ValueError, match="positive radius everywhere"):
        star_distance(np.zeros((5, 2)), star._replace(amplitude=np.array([0.5, 0.3, 0.2, 0.1])))


# --- phantoms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 40), (16, 20, 24)])
def test_phantoms_shapes_and_agreement(shape):
    image, mask, sdf = phantoms(3, seed=1, shape=shape)
    assert image.shape == mask.shape == sdf.shape == (3, 1, *shape)
    assert (image.dtype, mask.dtype, sdf.dtype) == (torch.float32, torch.uint8, torch.float32)
    assert torch.equal(mask.bool(), sdf < 0)
    for row in range(3):
        assert image[row].mean().abs() < 1e-4 and abs(image[row].std(unbiased=False).item() - 1) < 1e-4
        body = mask[row, 0].numpy()
        assert ndimage.label(body)[1] == 1
        inner = np.zeros_like(body)
        inner[(slice(1, -1),) * len(shape)] = 1
        assert body.sum() > 0 and not (body * (1 - inner)).any()


@pytest.mark.parametrize("shape", [(48, 48), (20, 20, 20)])
def test_distance_map_against_scipy_on_the_mask(shape):
    """The way to the nearest pixel of the other kind crosses the surface, and ends within a pixel's diagonal of it."""
    _, mask, sdf = phantoms(3, seed=5, shape=shape)
    for body, exact in zip(mask[:, 0].numpy().astype(bool), sdf[:, 0].numpy()):
        pixels = ndimage.distance_transform_edt(body) + ndimage.distance_transform_edt(~body)
        assert (np.abs(exact) <= pixels + 1e-4).all()
        assert (pixels <= np.abs(exact) + math.sqrt(len(shape)) + 1e-4).all()


def test_same_seed_same_arrays_and_more_rows_change_none():
    torch.manual_seed(0)
    few = phantoms(2, seed=7, shape=(24, 24))
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    more = phantoms(4, seed=7, shape=(24, 24))
    for ours, theirs in zip(few, more):
        assert torch.equal(ours, theirs[:2])
    assert not torch.equal(few.image, phantoms(2, seed=8, shape=(24, 24)).image)
    assert not torch.equal(more.image[0], more.image[1])
    assert phantoms(0, seed=0).image.shape == (0, 1, 64, 64)


def best_threshold_dice(image, mask):
    """The Dice of the best single grey value, chosen with the truth in hand."""
    values = image.flatten().numpy()
    order = np.argsort(-values)
    hits = np.cumsum(mask.flatten().numpy()[order])
    return (2 * hits / (np.arange(len(values)) + 1 + hits[-1])).max()


def test_each_knob_makes_it_harder_and_without_them_a_threshold_is_enough():
    easy = dict(noise=0.0, bias=0.0, look_alikes=0, fade=0.0)

    def dice(**knobs):
        data = phantoms(6, seed=3, shape=(48, 48), **(easy | knobs))
        return np.mean([best_threshold_dice(image, mask) for image, mask in zip(data.image, data.mask)])

    assert dice() > 0.99
    for knob, value in (("noise", 0.5), ("bias", 0.3), ("look_alikes", 4), ("fade", 0.7)):
        assert dice(**{knob: value}) < 0.99, knob
    assert dice(noise=0.5, bias=0.3, look_alikes=4, fade=0.7) < 0.6


def test_the_knobs_do_not_move_the_shape():
    plain = phantoms(2, seed=4, shape=(24, 24))
    hard = phantoms(2, seed=4, shape=(24, 24), noise=2.0, bias=0.9, look_alikes=0, fade=0.1)
    assert torch.equal(plain.sdf, hard.sdf) and not torch.equal(plain.image, hard.image)


def test_phantoms_bad_input():
    for options, message in (
        ({"count": -1}, "count must be"),
        ({"seed": -1}, "seed must be"),
        ({"shape": (64,)}, r"shape must be two or three sizes of at least 16, got \(64,\)"),
        ({"shape": (8, 64)}, "shape must be"),
        ({"noise": -0.1}, "noise must be"),
        ({"bias": 1.0}, r"bias must be in \[0, 1\)"),
        ({"look_alikes": -1}, "look_alikes must be"),
        ({"fade": 1.5}, r"fade must be in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            phantoms(**({"count": 1, "seed": 0} | options))


# --- many small cells -----------------------------------------------------------------------------------------------


def test_every_cell_has_a_mask_of_one_piece_and_its_tight_box():
    data = cell_phantoms(6, seed=0, cells=20)
    for instances, boxes in zip(data.instances, data.boxes):
        numbers = instances.unique().tolist()
        assert numbers == list(range(len(boxes) + 1))
        for number, box in enumerate(boxes, 1):
            mask = (instances == number).numpy()
            assert mask.sum() >= 12
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            pieces, _ = ndimage.label(mask)
            assert np.bincount(pieces.ravel())[1:].max() > 0.9 * mask.sum()


def test_a_cells_area_is_that_of_its_contour():
    r"""Alone, a cell's area is that of R(theta): pi r^2 (1 + sum a_m^2 / 2), so between pi r^2 and 1.03 pi r^2."""
    for r in (6.0, 12.0):
        data = cell_phantoms(8, seed=1, cells=1, radius=(r, r))
        area = (data.instances == 1).sum((1, 2)).double()
        assert (area > 0.97 * math.pi * r**2).all() and (area < 1.06 * math.pi * r**2).all()
        assert all(0.75 * 2 * r < side < 1.4 * 2 * r for box in data.boxes for side in (box[0, 2:] - box[0, :2]))


def test_cells_lie_inside_the_image_and_touch_only_where_crowded():
    apart = cell_phantoms(6, seed=2, cells=12, crowding=1.5)
    touching = cell_phantoms(6, seed=2, cells=12, crowding=0.8)
    for data, contacts in ((apart, False), (touching, True)):
        for image in data.instances.numpy():
            assert not image[[0, -1]].any() and not image[:, [0, -1]].any()
        a, b = data.instances[:, :, 1:], data.instances[:, :, :-1]
        assert bool(((a != b) & (a > 0) & (b > 0)).any()) == contacts


def test_cells_are_brighter_than_what_surrounds_them():
    data = cell_phantoms(4, seed=3, noise=0.0, bias=0.0)
    for image, instances, boxes in zip(data.image[:, 0], data.instances, data.boxes):
        background = image[instances == 0].median()
        assert all(image[instances == k].median() > background + 0.5 for k in range(1, len(boxes) + 1))


def test_cells_same_seed_same_arrays_and_more_rows_change_none():
    np.random.seed(1)  # noqa: NPY002
    few, more = cell_phantoms(2, seed=7), cell_phantoms(3, seed=7)
    assert torch.equal(few.image, more.image[:2]) and torch.equal(few.instances, more.instances[:2])
    assert all(torch.equal(a, b) for a, b in zip(few.boxes, more.boxes[:2]))
    assert not torch.equal(few.image, cell_phantoms(2, seed=8).image)
    none = cell_phantoms(2, seed=7, cells=0)
    assert none.instances.max() == 0 and none.boxes[0].shape == (0, 4) and none.image.isfinite().all()
    assert cell_phantoms(0, seed=7).image.shape == (0, 1, 96, 96)


def test_cells_that_find_no_room_are_left_out():
    data = cell_phantoms(2, seed=0, shape=(48, 48), cells=30, radius=(10.0, 12.0))
    assert all(0 < len(boxes) < 8 for boxes in data.boxes)


def test_cell_phantoms_bad_input():
    for options, message in (
        ({"count": -1}, "count must be"),
        ({"seed": 0.5}, "seed must be"),
        ({"shape": (96,)}, r"shape must be two sizes of at least 16"),
        ({"shape": (40, 96)}, r"above 2.8 \* 16.0 \(radius\), got \(40, 96\)"),
        ({"cells": -1}, "cells must be"),
        ({"radius": (1.0, 5.0)}, "radius must be"),
        ({"radius": (9.0, 5.0)}, "radius must be"),
        ({"noise": math.nan}, "noise must be"),
        ({"bias": -1.0}, "bias must be"),
        ({"crowding": -0.1}, "crowding must be"),
    ):
        with pytest.raises(ValueError, match=message):
            cell_phantoms(**({"count": 1, "seed": 0} | options))


def test_instance_boxes_bad_input_and_none():
    assert instance_boxes(np.zeros((4, 5), int)).shape == (0, 4)
    for image, message in (
        (np.zeros((4, 4, 4), int), r"\(H, W\) image of whole numbers"),
        (np.zeros((4, 4)), "whole numbers"),
        (np.array([[0, -1]]), "at least 0"),
        (np.array([[0, 2]]), "1 … 2, none missing; 1 is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            instance_boxes(image)
