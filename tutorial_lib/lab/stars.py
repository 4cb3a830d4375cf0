"""Star-shaped bodies in 2-D or 3-D, and the exact distance to their surface.

The surface lies, in each direction from a centre, at a radius that is a short series of cosines. So the distance to it
can be computed to rounding error, from the formula and not from pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import Chebyshev
from scipy.spatial import KDTree

from .._arguments import array, wholes

__all__ = ["Star", "radii", "random_star", "star_distance", "unit_vectors"]


class Star(NamedTuple):
    r"""A star-shaped body in n dimensions, by the radius of its surface in direction u (a unit vector).

    .. math:: r(u) = r_0 \Big(1 + \sum_j a_j \cos\big(m_j \angle(u, v_j)\big)\Big)

    In 2-D this is a Fourier contour; in 3-D the same with waves around axes. It is smooth and has no hole.

    Attributes:
        centre: (n,) in pixels, n = 2 or 3; pixel centres have whole coordinates.
        radius: :math:`r_0` above 0, in pixels.
        amplitude: (J,) :math:`a_j`; their absolute values sum to less than 1.
        order: (J,) :math:`m_j`, whole numbers of at least 0.
        axis: (J, n) :math:`v_j`, unit vectors.
    """

    centre: np.ndarray
    radius: float
    amplitude: np.ndarray
    order: np.ndarray
    axis: np.ndarray


def random_star(shape: Sequence[int], rng: np.random.Generator) -> Star:
    """Draw a body that fits into an image: its radius about a quarter of the image, with waves of order 2 to 5.

    Args:
        shape: sizes of the image, two or three.
        rng: source of all randomness.

    Returns:
        A :class:`Star` that lies inside the image.

    >>> star = random_star((64, 64), np.random.default_rng(0))
    >>> bool(star.radius * (1 + abs(star.amplitude).sum()) < 32)
    True
    """
    shape = wholes(shape, "shape", low=1)
    size = min(shape)
    order = np.arange(2, 6)
    amplitude = rng.uniform(-1, 1, len(order)) * 0.36 / order
    radius = size * rng.uniform(0.21, 0.29)
    # Where the far end of the shape would leave the image, the room for its centre ends.
    room = (np.array(shape) - 1) / 2 - radius * (1 + np.abs(amplitude).sum())
    room = np.clip(room, 0, 0.15 * np.array(shape))
    centre = (np.array(shape) - 1) / 2 + rng.uniform(-1, 1, len(shape)) * room
    return Star(centre, radius, amplitude, order, unit_vectors(rng.normal(size=(len(order), len(shape)))))


def star_distance(points: np.ndarray, star: Star) -> np.ndarray:
    r"""Exact signed Euclidean distance from points to the surface of a star-shaped body, negative inside.

    The nearest of many points on the surface (1,024 in 2-D, 16,384 in 3-D) is moved by Newton's method to the minimum
    of :math:`|q - p|^2` over q on the surface. That is exact to 1e-9 pixels; in 3-D, near the middle of the body where
    the nearest point is almost not unique, to 1e-5 of its radius.

    Args:
        points: (..., n) in pixels.
        star: the body.

    Returns:
        (...) float64, in pixels.

    Raises:
        ValueError: if ``points`` and ``star`` differ in n, or the amplitudes leave the surface no positive radius.

    >>> ball = Star(np.zeros(3), 2.0, np.zeros(1), np.array([2]), np.eye(3)[:1])
    >>> star_distance(np.array([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]]), ball).round(9).tolist()
    [1.0, -1.5]
    """
    points = np.asarray(array(points, "points"), float)
    n = len(star.centre)
    if points.shape[-1:] != (n,) or n not in (2, 3):
        raise ValueError(f"points must be (..., {n}) as the star's centre, n 2 or 3, got {points.shape}")
    if not (np.abs(star.amplitude).sum() < 1 and star.radius > 0):
        raise ValueError(
            "star must have a positive radius everywhere (radius > 0, absolute amplitudes summing to less than 1), got "
            f"radius {star.radius} and amplitudes {star.amplitude}"
        )
    relative = (points - star.centre).reshape(-1, n)
    directions = _directions(n)
    surface = radii(directions, star)[:, None] * directions
    nearest, index = KDTree(surface).query(relative)
    distance = np.minimum(nearest, _refine(relative, surface[index], star))
    length = np.linalg.norm(relative, axis=1)
    inside = length < radii(relative / np.maximum(length, 1e-300)[:, None], star)
    return np.where(inside, -distance, distance).reshape(points.shape[:-1])


def _refine(points: np.ndarray, feet: np.ndarray, star: Star) -> np.ndarray:
    """The distance to the surface, after Newton's method along it from ``feet``, its nearest sample."""
    n = points.shape[1]
    for _ in range(n):  # two steps reach rounding in 2-D, three in 3-D, where the samples are farther apart
        slope, bend = _derivatives(feet, star)
        away = feet - points
        multiplier = -(away * slope).sum(1) / (slope**2).sum(1)
        tangents = _tangents(slope)
        gradient = np.stack([(away * t).sum(1) for t in tangents], axis=1)
        # Along the surface, |q - p|^2 / 2 bends by t't + m t' Hess(F) t'.
        hessian = np.empty((len(points), n - 1, n - 1))
        for i, t in enumerate(tangents):
            for j in range(i, n - 1):
                hessian[:, i, j] = hessian[:, j, i] = (i == j) + multiplier * bend(t, tangents[j])
        move = sum(c[:, None] * t for c, t in zip(_solve(hessian, -gradient).T, tangents))
        # Where the distance hardly bends (near the medial axis) a full step would go astray.
        length = np.maximum(np.linalg.norm(move, axis=1), 1e-300)
        feet = feet + move * np.minimum(1, 0.1 * star.radius / length)[:, None]
        u = unit_vectors(feet)
        feet = radii(u, star)[:, None] * u
    return np.linalg.norm(feet - points, axis=1)


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve (N, k, k) systems, k = 1 or 2, by Cramer's rule; a singular one gives a long step."""
    if right.shape[1] == 1:
        solution, determinant = right, matrix[:, 0]
    else:
        (a, b), (c, d) = np.moveaxis(matrix, 0, 2)
        x, y = right.T
        solution, determinant = np.stack([d * x - b * y, a * y - c * x], axis=1), (a * d - b * c)[:, None]
    return solution / np.where(determinant == 0, 1e-300, determinant)


def _tangents(normals: np.ndarray) -> list[np.ndarray]:
    """One (n = 2) or two (n = 3) unit vectors across each normal."""
    if normals.shape[1] == 2:
        return [unit_vectors(normals[:, ::-1] * (1, -1))]
    helper = np.eye(3)[np.abs(normals).argmin(1)]  # the axis that is farthest from the normal
    first = unit_vectors(np.cross(normals, helper))
    return [first, unit_vectors(np.cross(normals, first))]


def _derivatives(x: np.ndarray, star: Star):
    """Of F(x) = |x| - r(x / |x|): its gradient (N, n), and its Hessian as a function of two vectors a, b (N, n)."""
    length = np.linalg.norm(x, axis=1)
    u = x / length[:, None]
    slope, waves = u.copy(), []
    for amplitude, order, axis in zip(star.amplitude, star.order, star.axis):
        cosine = np.clip(u @ axis, -1, 1)
        wave = Chebyshev.basis(int(order))  # cos(m t) is a polynomial of cos(t)
        first, second = (amplitude * star.radius * wave.deriv(k)(cosine) for k in (1, 2))
        across = (axis - cosine[:, None] * u) / length[:, None]  # the gradient of the cosine
        slope -= first[:, None] * across
        waves.append((first, second, cosine, across))

    def bend(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        along_a, along_b = (u * a).sum(1), (u * b).sum(1)
        flat = ((a * b).sum(1) - along_a * along_b) / length
        result = flat.copy()
        for first, second, cosine, across in waves:
            across_a, across_b = (across * a).sum(1), (across * b).sum(1)
            cosine_bend = -(across_a * along_b + along_a * across_b + cosine * flat) / length
            result -= second * across_a * across_b + first * cosine_bend
        return result

    return slope, bend


def radii(u: np.ndarray, star: Star) -> np.ndarray:
    """The surface's distance from the centre in each direction: unit vectors (..., n) -> (...).

    >>> radii(np.array([1.0, 0.0]), Star(np.zeros(2), 2.0, np.array([0.1]), np.array([2]), np.eye(2)[:1])).tolist()
    2.2
    """
    waves = (
        amplitude * Chebyshev.basis(int(order))(np.clip(u @ axis, -1, 1))
        for amplitude, order, axis in zip(star.amplitude, star.order, star.axis)
    )
    return star.radius * (1 + sum(waves, np.zeros(u.shape[:-1])))


def _directions(n: int) -> np.ndarray:
    """Unit vectors that cover the circle or the sphere evenly (the sphere by a Fibonacci spiral)."""
    if n == 2:
        angle = np.arange(1024) * (2 * np.pi / 1024)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    count = 16384
    height = (2 * np.arange(count) + 1) / count - 1
    angle = np.arange(count) * np.pi * (3 - 5**0.5)
    width = np.sqrt(1 - height**2)
    return np.stack([width * np.cos(angle), width * np.sin(angle), height], axis=1)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """(..., n) -> the same directions, of length 1.

    >>> unit_vectors(np.array([3.0, 4.0])).tolist()
    [0.6, 0.8]
    """
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
