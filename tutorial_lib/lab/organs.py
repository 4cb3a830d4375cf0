"""Slices of a made-up body: a large organ, a thin vessel in it and out of it, a small gland; many slices lack some.

What a pixel shows does not tell what it is. The vessel is a thin line, and so are the fibres; only the vessel touches
the organ. The gland is a small disc with a dark middle; other discs have none. So the vessel asks for a wide view and
a fine one at once, which is what chapter 08's networks are about. Each mask comes from a formula, not from pixels.

Every function returns the same arrays for the same seed.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree

from .._arguments import Wholes, number, whole, wholes
from .stars import Star, radii, random_star, unit_vectors

__all__ = ["ORGANS", "OrganSlices", "organ_slices", "sign_slices"]

#: The structures, in the order of the masks.
ORGANS = ("organ", "vessel", "gland")


class OrganSlices(NamedTuple):
    """What :func:`organ_slices` returns: ``image`` (N, 1, H, W) float32, ``mask`` (N, 3, H, W) uint8, which overlap."""

    image: torch.Tensor
    mask: torch.Tensor


def organ_slices(
    count: int,
    *,
    seed: int,
    shape: Wholes = (48, 48),
    noise: float = 0.25,
    bias: float = 0.3,
    absent: float = 0.4,
    look_alikes: int = 3,
) -> OrganSlices:
    r"""Make slices through a body, with overlapping masks of three structures.

    .. math:: image = (2 + 0.6\,s_{organ} + \max(s_{lines}, s_{discs}))\,(1 + bias \cdot f) + noise \cdot \epsilon,
              \qquad \text{then mean 0, deviation 1}

    where each s is 1 inside its shapes, 0 outside, with a ramp of one pixel between; f is a smooth field in [-1, 1] and
    the noise :math:`\epsilon` normal. The **organ** is a :class:`~tutorial_lib.lab.stars.Star`; the **vessel** a curved
    line of 2 to 3 pixels that begins in its middle and leaves the image; the **gland** a disc of 3 to 4 pixels' radius
    whose middle is dark. Fibres, lines like the vessel, end before they come near the organ's place; bright discs have
    no dark middle.

    The organ and the gland are each absent from a slice with probability ``absent``; the vessel wherever the organ is,
    and from as many of the other slices. Row i depends on ``seed`` and i only.

    Args:
        count: N, at least 0.
        seed: a whole number of at least 0; same seed, same arrays.
        shape: (H, W), each at least 32.
        noise: deviation of the noise, at least 0; a line's contrast is 1.
        bias: strength of the uneven field, in [0, 1).
        absent: probability, in [0, 1].
        look_alikes: fibres in a slice, and bright discs, at least 0.

    Returns:
        :class:`OrganSlices` ``(image, mask)``; the masks are in the order of ``ORGANS``.

    Raises:
        ValueError: if an argument is not as described.

    >>> image, mask = organ_slices(8, seed=0)
    >>> image.shape, mask.shape, mask.flatten(2).any(2).sum(0).tolist()
    (torch.Size([8, 1, 48, 48]), torch.Size([8, 3, 48, 48]), [5, 2, 6])
    """
    count, seed = whole(count, "count", low=0), whole(seed, "seed", low=0)
    shape = wholes(shape, "shape")
    if len(shape) != 2 or min(shape) < 32:
        raise ValueError(f"shape must be two sizes of at least 32, got {shape}")
    noise, bias = number(noise, "noise", low=0), number(bias, "bias", low=0, below=1)
    absent, look_alikes = number(absent, "absent", low=0, high=1), whole(look_alikes, "look_alikes", low=0)
    images, masks = np.empty((count, 1, *shape), np.float32), np.zeros((count, 3, *shape), np.uint8)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    for row in range(count):
        rng = np.random.default_rng([seed, row])
        # All is drawn, whether it will be shown or not: so a slice without the organ is otherwise the same.
        with_organ, with_vessel, with_gland = rng.uniform(size=3) >= absent
        star = random_star(shape, rng)
        to_organ = _from_organ(points, star)
        lines = [_line_distance(points, _path(star.centre, shape, rng), rng)]
        lines += [_line_distance(points, _outside(_path(_corner(star, shape, rng), shape, rng), star), rng)
                  for _ in range(look_alikes)]  # fmt: skip
        discs = [np.linalg.norm(points - centre, axis=-1) - rng.uniform(3, 4)
                 for centre in _apart(look_alikes + 1, shape, rng)]  # fmt: skip
        shown = ([lines[0]] if with_organ and with_vessel else []) + lines[1:]
        bright = np.max([_edge(line) for line in shown], axis=0, initial=0)
        for k, disc in enumerate(discs[0 if with_gland else 1 :], start=0 if with_gland else 1):
            spot = _edge(disc) - (_edge(disc + 1.9) if k == 0 else 0)
            bright = np.maximum(np.where(disc < 0, 0, bright), spot)
        body = 2 + 0.6 * with_organ * _edge(to_organ) + bright
        image = body * (1 + bias * _field(shape, rng)) + noise * rng.normal(size=shape)
        images[row, 0] = (image - image.mean()) / image.std()
        masks[row, 0] = (to_organ < 0) & with_organ
        masks[row, 1] = (lines[0] < 0) & (with_organ and with_vessel)
        masks[row, 2] = (discs[0] < 0) & with_gland
    return OrganSlices(torch.from_numpy(images), torch.from_numpy(masks))


def sign_slices(count: int, *, seed: int, far: bool, shape: Wholes = (48, 48), noise: float = 0.25) -> OrganSlices:
    r"""Make discs of which some are to be marked: by a sign far from them, or by what they look like.

    Every image has four discs of 3 pixels' radius, of which each is hollow with probability one half, and, in half of
    the images, a **sign**, a square frame of 7 pixels. With ``far=True`` all discs of an image are to be marked if it
    has the sign, and none if not: nothing at a disc tells. With ``far=False`` the hollow discs are to be marked, and
    the sign says nothing. The images are the same for both, so that they differ in what decides, and in nothing else.

    Args:
        count: N, at least 0.
        seed: a whole number of at least 0; same seed, same arrays.
        far: whether the sign decides.
        shape: (H, W), each at least 40.
        noise: deviation of the noise, at least 0; a disc's contrast is 1.

    Returns:
        :class:`OrganSlices`: ``image`` (N, 1, H, W) with mean 0 and deviation 1, ``mask`` (N, 1, H, W).

    Raises:
        ValueError: if an argument is not as described.

    >>> (image, far), (same, near) = (sign_slices(4, seed=0, far=far) for far in (True, False))
    >>> bool((image == same).all()), bool((far == near).all())
    (True, False)
    """
    count, seed = whole(count, "count", low=0), whole(seed, "seed", low=0)
    shape, noise = wholes(shape, "shape"), number(noise, "noise", low=0)
    if len(shape) != 2 or min(shape) < 40:
        raise ValueError(f"shape must be two sizes of at least 40, got {shape}")
    images, masks = np.empty((count, 1, *shape), np.float32), np.zeros((count, 1, *shape), np.uint8)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    for row in range(count):
        rng = np.random.default_rng([seed, row])
        places = _apart(5, shape, rng)
        sign, hollow = rng.uniform() < 0.5, rng.uniform(size=4) < 0.5
        image = (np.abs(np.abs(points - places[4]).max(-1) - 3) < 0.75) * float(sign)
        for place, dark in zip(places, hollow):
            disc = np.linalg.norm(points - place, axis=-1) - 3
            image = np.maximum(np.where(disc < 0, 0, image), _edge(disc) - dark * _edge(disc + 1.9))
            masks[row, 0] |= (disc < 0) & (sign if far else dark)
        image = image + noise * rng.normal(size=shape)
        images[row, 0] = (image - image.mean()) / max(image.std(), 1e-12)
    return OrganSlices(torch.from_numpy(images), torch.from_numpy(masks))


def _edge(distance: np.ndarray) -> np.ndarray:
    return np.clip(0.5 - distance, 0, 1)


def _from_organ(points: np.ndarray, star: Star) -> np.ndarray:
    """How far points lie outside the organ along the ray from its centre, negative inside: (..., 2) -> (...)."""
    ray = points - star.centre
    return np.linalg.norm(ray, axis=-1) - radii(unit_vectors(ray + 1e-12), star)


def _path(start: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A curved line from a place to beyond the border: (120, 2) points less than half a pixel apart."""
    angle, sway, waves = rng.uniform(0, 2 * math.pi), rng.uniform(2, 5) * rng.choice((-1, 1)), rng.uniform(0.7, 1.5)
    along = np.linspace(0, 1.2 * max(shape), 120)
    ahead, across = np.array((math.sin(angle), math.cos(angle))), np.array((math.cos(angle), -math.sin(angle)))
    swing = sway * np.sin(2 * math.pi * waves * along / max(shape))
    return start + along[:, None] * ahead + swing[:, None] * across


def _corner(star: Star, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Where a fibre begins: at the border of the image."""
    place = rng.uniform(0, 1, 2) * (np.array(shape) - 1)
    axis = rng.integers(2)
    place[axis] = rng.choice((0, shape[axis] - 1))
    return place


def _outside(path: np.ndarray, star: Star) -> np.ndarray:
    """The points of a path before it comes within 5 pixels of the organ."""
    near = _from_organ(path, star) < 5
    return path[: int(near.argmax())] if near.any() else path


def _line_distance(points: np.ndarray, path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Signed distance to a line of 2 to 3 pixels around a path; infinite for a path without points."""
    half = rng.uniform(1.0, 1.5)
    if not len(path):
        return np.full(points.shape[:2], np.inf)
    return KDTree(path).query(points, distance_upper_bound=4)[0] - half  # farther: infinite


def _apart(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Centres of discs that do not touch, as far as forty draws give them: (count, 2)."""
    kept: list[np.ndarray] = []
    while len(kept) < count:
        for _ in range(40):
            place = rng.uniform(5, np.array(shape) - 6)
            if all(np.linalg.norm(place - other) > 10 for other in kept):
                break
        kept.append(place)
    return np.array(kept).reshape(-1, 2)


def _field(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A slope and a slow wave, in [-1, 1]."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    angle, phase = rng.uniform(0, 2 * math.pi, 2)
    return 0.5 * (math.sin(angle) * y + math.cos(angle) * x) / math.sqrt(2) + 0.5 * np.sin(2 * x + 2 * y + phase)
