"""Selective search's grouping: of all pairs of neighbours the most similar one is merged, until one region is left.

    while there are neighbours:
        a, b = the most similar pair
        histogram of the new region = (|a| * histogram of a + |b| * histogram of b) / (|a| + |b|)
        its box = the box around both; its neighbours = those of a and of b
        similarities with a and with b are forgotten, those with the new region computed

A heap holds the similarities; one that names a region that is no more is passed over.
"""

import heapq
from collections.abc import Sequence

import numpy as np

_COLOUR_BINS, _TEXTURE_BINS, _DIRECTIONS = 25, 10, 8


def group_regions(
    pixels: np.ndarray,
    scales: Sequence[float],
    spaces: Sequence[str],
    sums: Sequence[str],
    sigma: float,
    min_size: int | None,
) -> list[np.ndarray]:
    """The boxes of every region of each run, (K, 4) float32, the whole image first.

    Args:
        pixels: (H, W, C) float64 in [0, 1].
        scales, spaces, sums: one run for each combination.
        sigma: before the segmentation.
        min_size: of a first region; None: the scale.
    """
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError as error:
        raise ImportError("selective_search needs scikit-image: pip install scikit-image") from error
    runs = []
    for space in spaces:
        channels = convert(pixels, space)
        bins = _bins(channels, _COLOUR_BINS), _bins(_texture(channels), _TEXTURE_BINS)
        for scale in scales:
            least = int(scale) if min_size is None else min_size
            labels = felzenszwalb(channels, scale=scale, sigma=sigma, min_size=least)
            colour, texture = _counts(labels, bins[0], _COLOUR_BINS), _counts(labels, bins[1], _TEXTURE_BINS)
            pairs = _neighbours(labels)
            runs += [_merge(labels, colour, texture, pairs, letters) for letters in sums]
    return runs


def convert(pixels: np.ndarray, space: str) -> np.ndarray:
    """A picture in a colour space, each channel in [0, 1]; grey pictures have three equal colours."""
    from skimage import color

    rgb = pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, -1)
    if space == "rgb":
        return rgb
    if space == "hsv":
        return color.rgb2hsv(rgb)
    if space == "hue":
        return color.rgb2hsv(rgb)[..., :1]
    if space == "lab":
        return (color.rgb2lab(rgb) + (0, 128, 128)) / (100, 255, 255)
    grey = rgb.mean(-1, keepdims=True)
    if space == "grey":
        return grey
    return np.concatenate((rgb[..., :2] / np.maximum(rgb.sum(-1, keepdims=True), 1e-12), grey), -1)  # rgi


def _texture(channels: np.ndarray) -> np.ndarray:
    """Gaussian derivatives in eight directions, what points the other way left out; (H, W, C, 8), each at most 1."""
    from scipy.ndimage import gaussian_filter

    x, y = (
        np.stack([gaussian_filter(channels[..., c], 1, order=order) for c in range(channels.shape[-1])], -1)
        for order in ((0, 1), (1, 0))
    )
    slopes = np.empty((*channels.shape, _DIRECTIONS))
    for direction in range(_DIRECTIONS):  # one after the other: small arrays stay in the processor's cache
        angle = direction * (2 * np.pi / _DIRECTIONS)
        slopes[..., direction] = np.maximum(x * np.cos(angle) + y * np.sin(angle), 0)
    largest = slopes.max((0, 1), keepdims=True)
    return np.divide(slopes, np.where(largest > 0, largest, 1), out=slopes)


def _bins(values: np.ndarray, bins: int) -> np.ndarray:
    """Of (H, W, ...) values in [0, 1] the numbers of their bins, the last one closed; (columns, H*W) bytes."""
    columns = values.reshape(values.shape[0] * values.shape[1], -1).T
    return np.stack([np.minimum((column * bins).astype(np.int64), bins - 1).astype(np.uint8) for column in columns])


def _counts(labels: np.ndarray, numbers: np.ndarray, bins: int) -> np.ndarray:
    """Of each region how often each bin of each column occurs, (R, columns*bins), of sum 1."""
    regions, first = int(labels.max()) + 1, labels.ravel() * bins
    counts = [np.bincount(first + column, minlength=regions * bins).reshape(regions, bins) for column in numbers]
    found = np.concatenate(counts, 1).astype(np.float64)
    return found / found.sum(1, keepdims=True)


def _merge(
    labels: np.ndarray, colour: np.ndarray, texture: np.ndarray, pairs: list[tuple[int, int]], letters: str
) -> np.ndarray:
    regions, total = int(labels.max()) + 1, labels.size
    parts = [part for letter, part in (("C", colour), ("T", texture)) if letter in letters]
    histogram = np.zeros((2 * regions - 1, sum(part.shape[1] for part in parts)))
    if parts:
        histogram[:regions] = np.concatenate(parts, 1)
    size, box = np.zeros(2 * regions - 1), np.zeros((2 * regions - 1, 4))
    size[:regions], box[:regions] = np.bincount(labels.ravel(), minlength=regions), _boxes(labels, regions)
    with_size, with_fill = "S" in letters, "F" in letters

    def similar(one: int, others: np.ndarray) -> np.ndarray:
        result = np.minimum(histogram[one], histogram[others]).sum(1)
        both = size[one] + size[others]
        if with_size:
            result += 1 - both / total
        if with_fill:
            around = _around(box[one], box[others])
            result += 1 - ((around[:, 2:] - around[:, :2]).prod(1) - both) / total
        return result

    near: list[set[int]] = [set() for _ in range(2 * regions - 1)]
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    heap = [
        (-value, a, b)
        for a in range(regions)
        if (later := np.array(sorted(b for b in near[a] if b > a), dtype=np.int64)).size
        for value, b in zip(similar(a, later).tolist(), later.tolist())
    ]
    heapq.heapify(heap)
    alive, new = [True] * regions + [False] * (regions - 1), regions
    while heap:
        _, a, b = heapq.heappop(heap)
        if not (alive[a] and alive[b]):
            continue
        alive[a] = alive[b] = False
        alive[new] = True
        size[new] = size[a] + size[b]
        histogram[new] = (size[a] * histogram[a] + size[b] * histogram[b]) / size[new]
        box[new] = _around(box[a], box[b][None])[0]
        near[new] = (near[a] | near[b]) - {a, b}
        others = np.array(sorted(near[new]), dtype=np.int64)
        for other in others.tolist():
            near[other] -= {a, b}
            near[other].add(new)
        if len(others):
            for value, other in zip(similar(new, others).tolist(), others.tolist()):
                heapq.heappush(heap, (-value, other, new))
        new += 1
    return box[:new][::-1].astype(np.float32)


def _boxes(labels: np.ndarray, regions: int) -> np.ndarray:
    from scipy.ndimage import find_objects

    found = find_objects(labels + 1, max_label=regions)
    return np.array([(x.start, y.start, x.stop, y.stop) for y, x in found], dtype=np.float64)


def _around(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.concatenate((np.minimum(box[:2], others[:, :2]), np.maximum(box[2:], others[:, 2:])), 1)


def _neighbours(labels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of regions of which a pixel of one touches a pixel of the other, by an edge or a corner."""
    regions, keys = int(labels.max()) + 1, []
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        rows = labels.shape[0] - dy
        first = labels[:rows, max(0, -dx) : labels.shape[1] - max(0, dx)]
        second = labels[dy:, max(0, dx) : labels.shape[1] - max(0, -dx)]
        differ = first != second
        one, other = first[differ], second[differ]
        keys.append(np.minimum(one, other) * regions + np.maximum(one, other))
    return [divmod(key, regions) for key in np.unique(np.concatenate(keys)).tolist()]
