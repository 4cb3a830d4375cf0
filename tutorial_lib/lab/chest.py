"""Chest-like pictures: two lungs with exact masks, opacities that decide the class, and two hospitals that differ.

For chapter 07, which learns a class and a mask from few labels of each, and asks what is left of it at another
hospital. Nobody's lungs: the truth of every pixel is known here. The same patient can be pictured at both hospitals.

Every function returns the same arrays for the same seed.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from .._arguments import choice, number, whole

__all__ = ["HOSPITALS", "ChestPictures", "Hospital", "chest_pictures"]


class ChestPictures(NamedTuple):
    """What :func:`chest_pictures` returns, row by row.

    Attributes:
        image: (N, 1, H, W) float32 from 0 (air) to 1 (dense).
        mask: (N, 1, H, W) uint8, 1 in either lung.
        opacity: (N, 1, H, W) uint8, 1 where an opacity lies; only in lungs, and only where ``target`` is 1.
        target: (N,) int64, 1 with opacities, 0 without.
    """

    image: torch.Tensor
    mask: torch.Tensor
    opacity: torch.Tensor
    target: torch.Tensor


class Hospital(NamedTuple):
    """How a hospital pictures a patient.

    Attributes:
        gain: contrast; the grey value g becomes ``gain * (g - 0.5) + 0.5 + offset``, after ``g ** gamma``.
        offset: brightness that is added.
        gamma: above 0; above 1 darkens the middle greys.
        blur: standard deviation of the blur, in hundredths of the side.
        noise: standard deviation of each pixel's noise.
        zoom: how much larger than at zoom 1 the chest appears: the crop.
        wander: how far the middle of the picture may lie from the patient's, as a share of the side.
    """

    gain: float
    offset: float
    gamma: float
    blur: float
    noise: float
    zoom: float
    wander: float


#: The two built-in hospitals: ``"a"`` sharp and wide, ``"b"`` flat, bright, blurred, noisy and cropped tighter.
HOSPITALS: dict[str, Hospital] = {
    "a": Hospital(gain=1.0, offset=0.0, gamma=1.0, blur=0.4, noise=0.02, zoom=1.0, wander=0.02),
    "b": Hospital(gain=0.7, offset=0.08, gamma=0.8, blur=1.2, noise=0.05, zoom=1.18, wander=0.06),
}


def chest_pictures(
    count: int,
    *,
    seed: int,
    hospital: str | Hospital = "a",
    size: int = 96,
    prevalence: float = 0.5,
    strength: float = 1.0,
    extent: float = 1.0,
    decoys: int = 2,
) -> ChestPictures:
    r"""Make pictures of chests, half of them with opacities in the lungs.

    A picture is a sum of shades, brighter where more is in the way: the trunk, the darker lungs in it, spine and
    vessels between them, the heart (which lies over the lung at the right, the patient's left), ribs and collar bones,
    and a fine texture. A lung is what lies between an inner and an outer border and between a top and the domed
    diaphragm; each border is a formula, so its mask is exact, also under the heart's edge.

    One to three cloudy patches in the lungs make the class. Patches of the same kind lie *outside* the lungs too, as
    often with one class as with the other: a bright patch alone says nothing, its place does.

    Row i depends on ``seed`` and i only, and its patient not on the hospital: the same seed gives the same patients at
    another hospital, with other greys, blur, noise and crop.

    Args:
        count: N, at least 0.
        seed: a whole number of at least 0; same seed, same arrays.
        hospital: a name of :data:`HOSPITALS`, or a :class:`Hospital`.
        size: H = W, at least 32.
        prevalence: probability of class 1, in [0, 1].
        strength: how much the patches stand out, at least 0; at 0 nobody can tell the classes apart.
        extent: how large the patches are, in width and height, at least 0.1; at 1 each is about a tenth of the chest.
        decoys: patches outside the lungs, at least 0.

    Returns:
        :class:`ChestPictures` ``(image, mask, opacity, target)``.

    Raises:
        ValueError: if an argument is not as described.

    >>> pictures = chest_pictures(4, seed=0)
    >>> pictures.image.shape, bool((pictures.opacity <= pictures.mask).all())
    (torch.Size([4, 1, 96, 96]), True)
    """
    count, seed, size = whole(count, "count", low=0), whole(seed, "seed", low=0), whole(size, "size", low=32)
    prevalence, strength = number(prevalence, "prevalence", low=0, high=1), number(strength, "strength", low=0)
    extent, decoys = number(extent, "extent", low=0.1), whole(decoys, "decoys", low=0)
    place = HOSPITALS[choice(hospital, "hospital", tuple(HOSPITALS))] if isinstance(hospital, str) else hospital
    if not isinstance(place, Hospital):
        raise ValueError(f"hospital must be a name or a Hospital, got {type(hospital).__name__}")
    for name, low in (("gain", 0), ("gamma", 0.05), ("blur", 0), ("noise", 0), ("zoom", 0.2), ("wander", 0)):
        number(getattr(place, name), f"hospital.{name}", low=low)
    number(place.offset, "hospital.offset")
    images, masks, opacities = (np.zeros((count, 1, size, size), kind) for kind in (np.float32, np.uint8, np.uint8))
    target = np.zeros(count, np.int64)
    for row in range(count):
        patient, picture = (np.random.default_rng([seed, row, which]) for which in (0, 1))
        target[row] = patient.random() < prevalence
        x, y = _points(size, place, _pose(patient), picture)
        shade, masks[row, 0], opacities[row, 0] = _chest(x, y, int(target[row]), (strength, extent, decoys), patient)
        images[row, 0] = _exposed(shade, place, picture)
    return ChestPictures(*map(torch.from_numpy, (images, masks, opacities, target)))


def _pose(rng: np.random.Generator) -> np.ndarray:
    """Of a patient: half width and half height of the chest, as shares of the picture's half side; tilt; middle."""
    width, height = rng.uniform(0.68, 0.8), rng.uniform(0.62, 0.76)
    return np.array([width, height, rng.normal(0, 0.04), rng.normal(0, 0.03), rng.normal(0, 0.04)])


def _points(size: int, place: Hospital, pose: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's middle in the patient's frame: x from -1 (outer border of the lung at the left) to 1, y down."""
    width, height, tilt, middle_x, middle_y = pose
    across = (2 * np.arange(size) + 1) / size - 1
    v, u = np.meshgrid(across, across, indexing="ij")
    off_x, off_y = 2 * place.wander * rng.uniform(-1, 1, 2)
    u, v = (u - off_x) / place.zoom - middle_x, (v - off_y) / place.zoom - middle_y
    cos, sin = np.cos(tilt), np.sin(tilt)
    return (cos * u + sin * v) / width, (cos * v - sin * u) / height


def _chest(
    x: np.ndarray, y: np.ndarray, ill: int, knobs: tuple[float, float, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shades, lungs and opacities of a patient at the given points."""
    strength, extent, decoys = knobs
    heart_size, base = rng.uniform(0.85, 1.15), rng.uniform(0.74, 0.92)
    lungs_of = _Lung(0.06 * heart_size, base - 0.07, rng), _Lung(0.26 * heart_size, base, rng)

    def depth_at(u, v):  # above 0 in a lung; the two sides of the picture differ, as a chest's do
        return np.maximum(lungs_of[0].depth(-u, v), lungs_of[1].depth(u, v))

    depth, side = depth_at(x, y), np.abs(x)
    lungs, border = depth > 0, 1.22 + 0.1 * y - side
    fine, coarse = _field(x, y, 0.014, rng), _field(x, y, 0.04, rng)

    trunk = 0.5 + 0.05 * np.clip(y, -1, 1.3) + 0.08 * _step(y - base, 0.4)  # darker above, the belly brighter
    shoulders = 0.12 * _step(-0.3 - 0.35 * side - y, 0.3)
    spine = 0.15 * np.exp(-((x / 0.15) ** 2))
    slant = (x - 0.2) * 0.35
    heart = 1 - ((x - 0.16) / (0.37 * heart_size)) ** 2 - ((y - 0.42 - slant) / 0.44) ** 2
    heart = 0.15 * _step(heart, 0.8)
    air = -0.36 * (1 - np.exp(-np.clip(depth, 0, None) / 0.06)) * lungs
    phase, bow = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 0.9)
    ribs = np.exp(-((np.sin(np.pi * 3.2 * (y + bow * (side - 0.45) ** 2 - 0.25 * side) + phase) / 0.45) ** 2))
    ribs = 0.06 * ribs * (side > 0.12) * _step(1.15 - side, 0.05) * _step(0.9 - y, 0.15)
    collar = np.exp(-(((y + 0.9 + 0.18 * side + 0.06 * np.sin(5 * side)) / 0.045) ** 2))
    collar = 0.09 * collar * _step(side - 0.12, 0.05)
    hilum = np.exp(-(((side - 0.28) / 0.22) ** 2) - ((y + 0.02) / 0.42) ** 2)  # where the vessels enter
    body = trunk + shoulders + spine + heart + air + ribs + collar
    shade = body * _step(border, 0.06) + fine * (0.01 + 0.04 * hilum * lungs)

    # Drawn for every patient, so that who is ill changes nothing else about a row.
    patches = [_patch(x, y, coarse, depth_at, True, extent, rng) for _ in range(3)]
    wanted = rng.integers(1, 4)
    opacity = np.zeros(x.shape)
    for cloud in patches[: wanted * ill]:
        opacity = np.maximum(opacity, cloud)
    for _ in range(decoys):
        cloud = _patch(x, y, coarse, depth_at, False, extent, rng)
        shade = shade + 0.22 * strength * cloud * ~lungs * _step(border, 0.06)
    return shade + 0.22 * strength * opacity * lungs, lungs, (opacity > 0.4) & lungs


class _Lung:
    """A lung on the positive side, by its four borders."""

    def __init__(self, bulge: float, base: float, rng: np.random.Generator):
        self.bulge, self.base = bulge, base
        self.inner, self.width, self.rise = rng.uniform(0.13, 0.19), rng.uniform(0.52, 0.64), rng.uniform(2.2, 3.2)
        self.waves, self.phase = rng.uniform(3, 5), rng.uniform(0, 2 * np.pi)
        self.top, self.peak, self.narrow = rng.uniform(0.9, 1.0), rng.uniform(0.36, 0.44), rng.uniform(1.6, 2.4)
        self.dome = rng.uniform(0.1, 0.26)

    def depth(self, x, y):
        """The least of the distances to the four borders, in the patient's frame; negative outside."""
        inner = self.inner + self.bulge * np.exp(-(((y - 0.5) / 0.36) ** 2))  # the heart's side
        outer = 0.3 + self.width * (1 - np.exp(-np.clip(y + 1, 0, None) * self.rise))
        outer = outer + 0.02 * np.sin(self.waves * y + self.phase)
        top = -self.top + self.narrow * (x - self.peak) ** 2
        diaphragm = self.base - self.dome * (1 - ((x - 0.52) / 0.4) ** 2)
        return np.minimum(np.minimum(outer - x, x - inner), np.minimum(diaphragm - y, y - top))


def _patch(x, y, coarse, depth_at, inside: bool, extent: float, rng: np.random.Generator) -> np.ndarray:
    """A cloud of about 1 in its middle, which lies in a lung, or outside both; in the patient's frame."""
    width, height = extent * rng.uniform(0.15, 0.28, 2)
    u, v = rng.uniform(-1.1, 1.1, (2, 60))
    depth = depth_at(u, v)
    right = np.flatnonzero(depth > 0.08) if inside else np.flatnonzero(depth < -0.1)
    one = right[0] if len(right) else int(depth.argmax() if inside else depth.argmin())
    round_ = np.exp(-(((x - u[one]) / width) ** 2) - ((y - v[one]) / height) ** 2)
    return round_ * np.clip(0.9 + 0.25 * coarse, 0, 1.4)


def _field(x: np.ndarray, y: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise around 0 of deviation 1, which belongs to the patient; ``width`` of its grains, as a share of it."""
    noise = ndimage.gaussian_filter(rng.normal(size=(128, 128)), 128 * width, mode="wrap", truncate=3.0)
    places = [64 + 40 * y, 64 + 40 * x]
    return ndimage.map_coordinates(noise / noise.std(), places, order=1, mode="grid-wrap")


def _step(distance: np.ndarray, width: float) -> np.ndarray:
    """From 0 to 1 over a width, around a border at 0."""
    return 1 / (1 + np.exp(np.clip(-4 * distance / width, -60, 60)))


def _exposed(shade: np.ndarray, place: Hospital, rng: np.random.Generator) -> np.ndarray:
    """What the hospital's detector makes of it."""
    grey = np.clip(shade, 0, 1) ** place.gamma
    grey = ndimage.gaussian_filter(grey, place.blur * shade.shape[0] / 100, mode="nearest", truncate=3.0)
    grey = place.gain * (grey - 0.5) + 0.5 + place.offset + place.noise * rng.normal(size=shade.shape)
    return np.clip(grey, 0, 1)
