"""Phantoms: one smooth shape among look-alikes in 2-D or 3-D, with its exact distance map; and many small cells in 2-D.

The one shape is star-shaped around a centre: its surface lies, in each direction, at a radius that is a short series of
cosines. So the distance to the surface can be computed to rounding error, from the formula and not from the pixels. A
method that turns a mask into a distance map can be judged by it, and so can a network that predicts one.

Every function returns the same arrays for the same seed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial.chebyshev import Chebyshev
from scipy import ndimage
from scipy.spatial import KDTree


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


class Phantoms(NamedTuple):
    """What :func:`phantoms` returns, row by row: ``image`` and ``sdf`` float32, ``mask`` uint8, all (N, 1, *shape)."""

    image: torch.Tensor
    mask: torch.Tensor
    sdf: torch.Tensor


def phantoms(
    count: int,
    *,
    seed: int,
    shape: Sequence[int] = (64, 64),
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
    shape = tuple(shape)
    if count < 0 or count != int(count):
        raise ValueError(f"count must be a whole number of at least 0, got {count}")
    if seed < 0 or seed != int(seed):
        raise ValueError(f"seed must be a whole number of at least 0, got {seed}")
    if len(shape) not in (2, 3) or any(size < 16 or size != int(size) for size in shape):
        raise ValueError(f"shape must be two or three sizes of at least 16, got {shape}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be finite and at least 0, got {noise}")
    if not 0 <= bias < 1:
        raise ValueError(f"bias must be in [0, 1), got {bias}")
    if look_alikes < 0:
        raise ValueError(f"look_alikes must be at least 0, got {look_alikes}")
    if not 0 <= fade <= 1:
        raise ValueError(f"fade must be in [0, 1], got {fade}")
    images, distances = np.empty((count, 1, *shape), np.float32), np.empty((count, 1, *shape), np.float32)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    for row in range(count):
        rng = np.random.default_rng([seed, row])
        star = random_star(shape, rng)
        distance = star_distance(points, star)
        bright = _edge(distance)
        for _ in range(look_alikes):
            bright = np.maximum(bright, _edge(_look_alike_distance(points, star, rng)))
        direction = _unit(rng.normal(size=len(shape)))
        place = star.centre + _radii(direction, star) * direction
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
    shape: Sequence[int] = (96, 96),
    cells: int = 10,
    radius: tuple[float, float] = (4.0, 16.0),
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
    shape, (small, large) = tuple(shape), radius
    if count < 0 or count != int(count):
        raise ValueError(f"count must be a whole number of at least 0, got {count}")
    if seed < 0 or seed != int(seed):
        raise ValueError(f"seed must be a whole number of at least 0, got {seed}")
    if not 2 <= small <= large < math.inf:
        raise ValueError(f"radius must be two sizes in pixels, 2 <= smallest <= largest, got {radius}")
    if len(shape) != 2 or any(size < 16 or size <= 2.8 * large or size != int(size) for size in shape):
        raise ValueError(f"shape must be two sizes of at least 16 and above 2.8 * {large} (radius), got {shape}")
    if cells < 0 or cells != int(cells):
        raise ValueError(f"cells must be a whole number of at least 0, got {cells}")
    if not (0 <= noise < math.inf and 0 <= bias < math.inf):
        raise ValueError(f"noise and bias must be finite and at least 0, got {noise} and {bias}")
    if not 0 <= crowding < math.inf:
        raise ValueError(f"crowding must be finite and at least 0, got {crowding}")
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
        number = 0
        owner = np.where(depth.max(0, initial=-1) > 0, depth.argmax(0) if len(depth) else 0, -1)
        for cell in range(len(depth)):
            mask = owner == cell
            if mask.sum() >= 12:
                number += 1
                instances[row][mask] = number
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
    instances = np.asarray(instances)
    if instances.ndim != 2 or not np.issubdtype(instances.dtype, np.integer) or instances.min(initial=0) < 0:
        raise ValueError(
            f"instances must be an (H, W) image of whole numbers of at least 0, got {instances.dtype} {instances.shape}"
        )
    places = ndimage.find_objects(instances)
    if None in places:
        raise ValueError(f"instances must be 1 … {len(places)}, none missing; {places.index(None) + 1} is missing")
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
    size = min(shape)
    order = np.arange(2, 6)
    amplitude = rng.uniform(-1, 1, len(order)) * 0.36 / order
    radius = size * rng.uniform(0.21, 0.29)
    # Where the far end of the shape would leave the image, the room for its centre ends.
    room = (np.array(shape) - 1) / 2 - radius * (1 + np.abs(amplitude).sum())
    room = np.clip(room, 0, 0.15 * np.array(shape))
    centre = (np.array(shape) - 1) / 2 + rng.uniform(-1, 1, len(shape)) * room
    return Star(centre, radius, amplitude, order, _unit(rng.normal(size=(len(order), len(shape)))))


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
    points = np.asarray(points, float)
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
    surface = _radii(directions, star)[:, None] * directions
    nearest, index = KDTree(surface).query(relative)
    distance = np.minimum(nearest, _refine(relative, surface[index], star))
    length = np.linalg.norm(relative, axis=1)
    inside = length < _radii(relative / np.maximum(length, 1e-300)[:, None], star)
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
        u = _unit(feet)
        feet = _radii(u, star)[:, None] * u
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
        return [_unit(normals[:, ::-1] * (1, -1))]
    helper = np.eye(3)[np.abs(normals).argmin(1)]  # the axis that is farthest from the normal
    first = _unit(np.cross(normals, helper))
    return [first, _unit(np.cross(normals, first))]


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


def _radii(u: np.ndarray, star: Star) -> np.ndarray:
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


def _look_alike_distance(points: np.ndarray, star: Star, rng: np.random.Generator) -> np.ndarray:
    """Distance to a ball or a rod near the shape, of about a third of its width, whose middle is outside it."""
    n = points.shape[-1]
    u = _unit(rng.normal(size=n))
    middle = star.centre + (_radii(u, star) * rng.uniform(1.15, 2.4)) * u
    thickness = star.radius * rng.uniform(0.12, 0.32)
    half = _unit(rng.normal(size=n)) * star.radius * rng.choice([0.0, 0.6])
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
        waves = _unit(rng.normal(size=len(shape))) * rng.uniform(0.3, 0.9)
        phase = 2 * np.pi * (sum(wave * axis for wave, axis in zip(waves, axes)) + rng.uniform())
        field = field + np.cos(phase)
    return field / np.abs(field).max()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
