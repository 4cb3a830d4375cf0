"""Phantoms: one smooth shape among look-alikes in 2-D or 3-D, with its exact distance map; and many small cells in 2-D.

The one shape is a :class:`~tutorial_lib.lab.stars.Star`, whose distance map is known from a formula and not from the
pixels. A method that turns a mask into a distance map can be judged by it, and so can a network that predicts one.

Every function returns the same arrays for the same seed.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from .._arguments import Numbers, Wholes, array, number, numbers, what, whole, wholes
from .stars import Star, radii, random_star, star_distance, unit_vectors

__all__ = [
    "CellPhantoms",
    "Phantoms",
    "Star",
    "cell_phantoms",
    "instance_boxes",
    "phantoms",
    "random_star",
    "star_distance",
]


class Phantoms(NamedTuple):
    """What :func:`phantoms` returns, row by row: ``image`` and ``sdf`` float32, ``mask`` uint8, all (N, 1, *shape)."""

    image: torch.Tensor
    mask: torch.Tensor
    sdf: torch.Tensor


def phantoms(
    count: int,
    *,
    seed: int,
    shape: Wholes = (64, 64),
    noise: float = 0.5,
    bias: float = 0.3,
    look_alikes: int = 4,
    fade: float = 0.7,
) -> Phantoms:
    r"""Make images of one smooth shape each, which grey values alone do not tell from its surroundings.

    .. math:: image = (2 + s)\,(1 + bias \cdot f) + noise \cdot \epsilon, \qquad \text{then mean 0, deviation 1}

    where s is 1 inside the shape *and* inside the look-alikes: small balls and rods of the same brightness, some of
    which touch it. Near one random place on the surface s fades by ``fade``, so that part of the contour is hardly to
    be seen. f is a smooth field in [-1, 1], the noise :math:`\epsilon` is normal. So a pixel's value says little, and
    the shape (large, round, closed) much.

    Row i depends on ``seed`` and i only: a larger ``count`` adds rows and changes none.

    Args:
        count: N, at least 0.
        seed: a whole number of at least 0; same seed, same arrays.
        shape: sizes of an image, two or three, each at least 16. About a fifth of a square is shape, and about a
            fifteenth of a cube.
        noise: deviation of the noise, at least 0, in units of the contrast.
        bias: strength of the uneven field, in [0, 1).
        look_alikes: how many, at least 0.
        fade: share of the contrast that is lost at the faded place, in [0, 1].

    Returns:
        :class:`Phantoms` ``(image, mask, sdf)``, each (N, 1, *shape). ``sdf`` is the signed distance to the true
        surface in pixels, negative inside, as :func:`star_distance` gives it; ``mask`` is 1 where it is negative.

    Raises:
        ValueError: if an argument is not as described.

    >>> image, mask, sdf = phantoms(2, seed=0, shape=(32, 32))
    >>> image.shape, bool((mask == (sdf < 0)).all())
    (torch.Size([2, 1, 32, 32]), True)
    """
    count, seed, shape = whole(count, "count", low=0), whole(seed, "seed", low=0), wholes(shape, "shape")
    if len(shape) not in (2, 3) or min(shape) < 16:
        raise ValueError(f"shape must be two or three sizes of at least 16, got {shape}")
    noise, bias = number(noise, "noise", low=0), number(bias, "bias", low=0, below=1)
    look_alikes, fade = whole(look_alikes, "look_alikes", low=0), number(fade, "fade", low=0, high=1)
    images, distances = np.empty((count, 1, *shape), np.float32), np.empty((count, 1, *shape), np.float32)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    for row in range(count):
        rng = np.random.default_rng([seed, row])
        star = random_star(shape, rng)
        distance = star_distance(points, star)
        bright = _edge(distance)
        for _ in range(look_alikes):
            bright = np.maximum(bright, _edge(_look_alike_distance(points, star, rng)))
        direction = unit_vectors(rng.normal(size=len(shape)))
        place = star.centre + radii(direction, star) * direction
        bright *= 1 - fade * np.exp(-0.5 * ((points - place) ** 2).sum(-1) / (0.5 * star.radius) ** 2)
        image = (2 + bright) * (1 + bias * _smooth_field(shape, rng)) + noise * rng.normal(size=shape)
        images[row, 0] = (image - image.mean()) / image.std()
        distances[row, 0] = distance
    sdf = torch.from_numpy(distances)
    return Phantoms(torch.from_numpy(images), (sdf < 0).to(torch.uint8), sdf)


class CellPhantoms(NamedTuple):
    """What :func:`cell_phantoms` returns.

    Attributes:
        image: (N, 1, H, W) float32.
        instances: (N, H, W) int64; 0 is background, k the k-th cell of that image.
        boxes: N tensors (K_i, 4) float32, as :func:`instance_boxes` gives them; row k - 1 belongs to instance k.
    """

    image: torch.Tensor
    instances: torch.Tensor
    boxes: list[torch.Tensor]


def cell_phantoms(
    count: int,
    *,
    seed: int,
    shape: Wholes = (96, 96),
    cells: int = 10,
    radius: Numbers = (4.0, 16.0),
    noise: float = 0.25,
    bias: float = 0.3,
    crowding: float = 0.95,
) -> CellPhantoms:
    r"""Make images of many cells of several sizes, as a microscope shows nuclei, each with its own mask and box.

    A cell is what lies within :math:`R(\theta) = r\,(1 + \sum_{m=2}^{4} a_m \cos(m\theta + \varphi_m))` of its centre,
    with \|a_m\| at most 0.35 / m and log r uniform. Where two cells meet, a pixel belongs to the one it lies deeper in.

    .. math:: image = s + bias \cdot f + noise \cdot \epsilon, \qquad \text{then mean 0, deviation 1}

    s is a cell's brightness, from 0.5 to 1, with an edge one pixel wide; f a plane of random slope, the noise
    :math:`\epsilon` normal. Row i depends on ``seed`` and i only.

    Args:
        count: N, at least 0.
        seed: a whole number of at least 0; same seed, same arrays.
        shape: (H, W), each at least 16 and more than 2.8 times the largest radius.
        cells: how many cells are tried for an image; where there is no room for another, there are fewer.
        radius: smallest and largest r in pixels, at least 2.
        noise: deviation of the noise, at least 0; the brightest cell is 1.
        bias: strength of the slope, at least 0.
        crowding: centres are farther apart than this share of their radii's sum; below 1 cells may touch.

    Returns:
        :class:`CellPhantoms` ``(image, instances, boxes)``. Every cell has at least 12 pixels.

    Raises:
        ValueError: if an argument is not as described.

    >>> image, instances, boxes = cell_phantoms(2, seed=0)
    >>> image.shape, [len(box) for box in boxes] == instances.amax((1, 2)).tolist()
    (torch.Size([2, 1, 96, 96]), True)
    """
    count, seed, cells = whole(count, "count", low=0), whole(seed, "seed", low=0), whole(cells, "cells", low=0)
    small, large = numbers(radius, "radius", length=2)
    if not 2 <= small <= large:
        raise ValueError(f"radius must be two sizes in pixels, 2 <= smallest <= largest, got {what(radius)}")
    shape = wholes(shape, "shape")
    if len(shape) != 2 or min(shape) < 16 or min(shape) <= 2.8 * large:
        raise ValueError(f"shape must be two sizes of at least 16 and above 2.8 * {large} (radius), got {shape}")
    noise, bias = number(noise, "noise", low=0), number(bias, "bias", low=0)
    crowding = number(crowding, "crowding", low=0)
    images = np.empty((count, 1, *shape), np.float32)
    instances = np.zeros((count, *shape), np.int64)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5  # here a pixel's centre is at one half, as boxes want it
    for row in range(count):
        rng = np.random.default_rng([seed, row])
        depth = _cell_depths(y, x, _place_cells(shape, cells, (small, large), crowding, rng), rng)
        bright = rng.uniform(0.5, 1, len(depth))[:, None, None] * np.clip(depth + 0.5, 0, 1)
        slope = rng.uniform(-1, 1, 2)
        plane = slope[0] * (y / shape[0] - 0.5) + slope[1] * (x / shape[1] - 0.5)
        image = bright.max(0, initial=0) + bias * plane + noise * rng.normal(size=shape)
        images[row, 0] = (image - image.mean()) / max(image.std(), 1e-12)
        label = 0
        owner = np.where(depth.max(0, initial=-1) > 0, depth.argmax(0) if len(depth) else 0, -1)
        for cell in range(len(depth)):
            mask = owner == cell
            if mask.sum() >= 12:
                label += 1
                instances[row][mask] = label
    boxes = [torch.from_numpy(instance_boxes(image)) for image in instances]
    return CellPhantoms(torch.from_numpy(images), torch.from_numpy(instances), boxes)


def instance_boxes(instances: np.ndarray) -> np.ndarray:
    """Return the tightest box around each instance of a label image.

    Args:
        instances: (H, W) whole numbers; 0 is background, and the instances are 1 … K, none missing.

    Returns:
        (K, 4) float32 (x1, y1, x2, y2) in pixels, where pixel column j reaches from j to j + 1.

    Raises:
        ValueError: if ``instances`` is not such an image.

    >>> instance_boxes(np.array([[0, 1, 1], [0, 1, 0], [2, 0, 0]])).tolist()
    [[1.0, 0.0, 3.0, 2.0], [0.0, 2.0, 1.0, 3.0]]
    """
    instances = np.asarray(array(instances, "instances", kinds="ui"))
    if instances.ndim != 2 or instances.min(initial=0) < 0:
        raise ValueError(f"instances must be an (H, W) image of whole numbers of at least 0, got {what(instances)}")
    places = ndimage.find_objects(instances)
    if None in places:
        gap = places.index(None) + 1
        raise ValueError(f"instances must be 1 … {len(places)}, none missing; {gap} is missing, got {what(instances)}")
    boxes = [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in places]
    return np.array(boxes, np.float32).reshape(-1, 4)


def _place_cells(shape, cells, radius, crowding, rng):
    """Centres (y, x) and radii, (K, 3): the drawn cells that have room, each wholly in the image (R is below 1.4 r)."""
    placed = []
    for _ in range(40 * cells):
        if len(placed) == cells:
            break
        r = np.exp(rng.uniform(*np.log(radius)))
        y, x = rng.uniform(1.4 * r, np.array(shape) - 1.4 * r)
        if all(math.hypot(y - v, x - u) > crowding * (r + s) for v, u, s in placed):
            placed.append((y, x, r))
    return np.array(placed).reshape(-1, 3)


def _cell_depths(y, x, placed, rng):
    """How deep each pixel lies in each cell, along the ray from its centre: (K, H, W) pixels, negative outside."""
    order = np.arange(2, 5)
    amplitude = rng.uniform(-1, 1, (len(placed), 3)) * 0.35 / order
    phase = rng.uniform(0, 2 * np.pi, (len(placed), 3))
    centre_y, centre_x, r = placed.T[:, :, None, None]
    angle = np.arctan2(y - centre_y, x - centre_x)
    waves = sum(amplitude[:, j, None, None] * np.cos(m * angle + phase[:, j, None, None]) for j, m in enumerate(order))
    return r * (1 + waves) - np.hypot(y - centre_y, x - centre_x)


def _look_alike_distance(points: np.ndarray, star: Star, rng: np.random.Generator) -> np.ndarray:
    """Distance to a ball or a rod near the shape, of about a third of its width, whose middle is outside it."""
    n = points.shape[-1]
    u = unit_vectors(rng.normal(size=(n,)))
    middle = star.centre + (radii(u, star) * rng.uniform(1.15, 2.4)) * u
    thickness = star.radius * rng.uniform(0.12, 0.32)
    half = unit_vectors(rng.normal(size=(n,))) * star.radius * rng.choice([0.0, 0.6])
    along = ((points - middle) @ half) / max(half @ half, 1e-300)
    return np.linalg.norm(points - middle - np.clip(along, -1, 1)[..., None] * half, axis=-1) - thickness


def _edge(distance: np.ndarray) -> np.ndarray:
    """Brightness of a body: 1 inside, 0 outside, and a ramp of one pixel between them."""
    return np.clip(0.5 - distance, 0, 1)


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Three plane waves, longer than the image, scaled so that the largest value is 1 or the smallest -1."""
    axes = np.meshgrid(*(np.arange(size) / size for size in shape), indexing="ij", sparse=True)
    field = 0.0
    for _ in range(3):
        waves = unit_vectors(rng.normal(size=len(shape))) * rng.uniform(0.3, 0.9)
        phase = 2 * np.pi * (sum(wave * axis for wave, axis in zip(waves, axes)) + rng.uniform())
        field = field + np.cos(phase)
    return field / np.abs(field).max()
