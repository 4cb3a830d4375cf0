"""Image augmentation on batches: weak (flip, shift) and strong (RandAugment, cutout), as FixMatch and MultiMix use it.

Every image of a batch gets operations of its own. They are drawn for all images first, on the generator's device; then
each operation runs once, on all images that drew it, and all that move pixels share one affine grid. Chapter 07 trains
with them.
"""

from collections.abc import Mapping
from typing import NamedTuple, overload

import torch
from torch import Tensor

from .. import _arguments as check
from . import image_places, image_tones

LEVELS = 9

TONES = {
    name: getattr(image_tones, name)
    for name in ("autocontrast", "brightness", "color", "contrast", "equalize", "posterize", "sharpness", "solarize")
}
OPERATIONS = ("identity", *TONES, *image_places.MAPS, "cutout")


class MagnitudeRange(NamedTuple):
    """The magnitudes of an operation at the lowest and the highest of nine levels; those between are evenly spaced.

    Attributes:
        first: at level 1.
        last: at level 9.
        mirrored: whether the magnitude's sign is drawn too.

    >>> AUGMENT_RANGES["fixmatch"]["rotate"]
    MagnitudeRange(first=3.0, last=27.0, mirrored=True)
    """

    first: float = 0.0
    last: float = 0.0
    mirrored: bool = False


def _ranges(enhance: tuple[float, float], bits: tuple[float, float], share: float, names: tuple[str, ...]):
    ranges = {name: MagnitudeRange() for name in ("identity", "autocontrast", "equalize")}
    ranges |= {name: MagnitudeRange(*enhance) for name in names}
    ranges["posterize"], ranges["solarize"] = MagnitudeRange(*bits), MagnitudeRange(230.4, 25.6)
    ranges["rotate"] = MagnitudeRange(3.0, 27.0, True)
    ranges |= {name: MagnitudeRange(0.03, 0.27, True) for name in ("shear_x", "shear_y")}
    ranges |= {name: MagnitudeRange(share, 9 * share, True) for name in ("translate_x", "translate_y")}
    return ranges


#: Named pools: operation -> :class:`MagnitudeRange`, in the units of :func:`image_operation`. ``"fixmatch"`` is of the
#: official code (14 operations; it translates by 1 to 9 of 32 pixels); ``"multimix"`` of MultiMix's (13: no colour),
#: whose brightness, contrast and sharpness are only ever lowered.
AUGMENT_RANGES: Mapping[str, Mapping[str, MagnitudeRange]] = {
    "fixmatch": _ranges((0.28, 1.72), (4.05, 0.85), 1 / 32, ("brightness", "color", "contrast", "sharpness")),
    "multimix": _ranges((0.14, 0.86), (3.95, 7.15), 0.03, ("brightness", "contrast", "sharpness")),
}


def image_operation(
    images: Tensor,
    name: str,
    magnitude: float | Tensor = 0.0,
    *,
    fill: float = 0.5,
    interpolation: str = "bilinear",
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Apply one operation of the pool to every image of a batch.

    ======================================  =========================================================================
    ``name``                                ``magnitude``
    ======================================  =========================================================================
    ``identity, autocontrast, equalize``    none
    ``brightness, color, contrast``,        factor f of :math:`d + f\,(x - d)`, cut to [0, 1]: 1 leaves the image
    ``sharpness``                           as it is. d is black, the grey image, its mean, the smoothed image
    ``posterize``                           bits that are kept, rounded, 0 to 8
    ``solarize``                            level from 0 to 256; from it on a value x becomes 1 - x
    ``rotate``                              degrees, counter-clockwise around the middle
    ``shear_x, shear_y``                    pixels of shift a pixel of distance from the middle
    ``translate_x, translate_y``            share of the width or height; right and down are positive
    ``crop``                                share cut off at each side, below 0.5; the rest is enlarged
    ``cutout``                              side of the square, as a share of the shorter side; where, is drawn
    ======================================  =========================================================================

    On values k / 255 the result is Pillow's to within rounding, which there goes to bytes after each step. A shear
    differs from the published codes, which keep the upper left corner in its place and so move the image as well.

    Args:
        images: (B, C, H, W), floating-point, in [0, 1].
        name: the operation.
        magnitude: one number, or (B,).
        fill: value where nothing was, in [0, 1]. FixMatch has a middle grey, MultiMix black.
        interpolation: of what moves pixels, ``"bilinear"`` or ``"nearest"`` (which both published codes use).
        generator: source of the places of ``cutout``; ``None`` is torch's global CPU generator.

    Returns:
        (B, C, H, W) of the same device and dtype, in [0, 1]. Half precision is computed in float32.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Cubuk et al., RandAugment, NeurIPS 2020 (arXiv:1909.13719); DeVries & Taylor, Cutout (arXiv:1708.04552).
        Chapter 07.

    >>> image_operation(torch.tensor([[[[0.2, 0.6]]]]), "solarize", 128.0).tolist()[0][0][0]
    [0.20000000298023224, 0.3999999761581421]
    """
    working = _images(images)
    name = check.choice(name, "name", OPERATIONS)
    fill, interpolation = _filling(fill, interpolation)
    generator = check.generator(generator)
    if isinstance(magnitude, Tensor) and magnitude.ndim:
        sizes = torch.tensor(check.numbers(magnitude, "magnitude", length=len(images)), dtype=torch.float64)
    else:
        sizes = torch.full((len(images),), check.number(magnitude, "magnitude"), dtype=torch.float64)
    _check_magnitude(name, sizes)
    rows = torch.arange(len(images))
    if name == "cutout":
        return _cutout(working.clone(), sizes, _draws(2, len(images), generator), fill).to(images)
    done, _ = _apply(working.clone(), None, {name: rows}, sizes, fill, interpolation)
    return done.to(images)


@overload
def weak_augment(
    images: Tensor,
    *,
    flip: float = ...,
    shift: float = ...,
    padding: str = ...,
    fill: float = ...,
    masks: None = ...,
    generator: torch.Generator | None = ...,
) -> Tensor: ...
@overload
def weak_augment(
    images: Tensor,
    *,
    flip: float = ...,
    shift: float = ...,
    padding: str = ...,
    fill: float = ...,
    masks: Tensor,
    generator: torch.Generator | None = ...,
) -> tuple[Tensor, Tensor]: ...
def weak_augment(
    images: Tensor,
    *,
    flip: float = 0.5,
    shift: float = 0.125,
    padding: str = "reflect",
    fill: float = 0.5,
    masks: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Mirror some images left to right and move each by some whole pixels: what a label surely outlives.

    (Whether it does is for the user to say: in a mirrored chest the heart is on the wrong side.)

    Args:
        images: (B, C, H, W), floating-point.
        flip: probability to mirror an image.
        shift: largest shift, as a share of the height and of the width, in [0, 1); rounded to pixels. Every whole
            shift is equally likely. 0.125 is 4 of 32 pixels (FixMatch), and 32 of 256 (MultiMix).
        padding: what comes in at the edge: ``"reflect"``, or ``"constant"``, which is ``fill``.
        fill: see ``padding``.
        masks: (B, K, H, W) of any dtype, moved like the images; where nothing was, reflected as they are, or 0.
        generator: source of all randomness, on any device; ``None`` is torch's global CPU generator.

    Returns:
        The images, of the same device and dtype; with masks, ``(images, masks)``.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Sohn et al., FixMatch, NeurIPS 2020 (arXiv:2001.07685), section 2.3. Chapter 07.

    >>> weak_augment(torch.tensor([[[[0.0, 0.5, 1.0]]]]), flip=1.0, shift=0.0).tolist()
    [[[[1.0, 0.5, 0.0]]]]
    """
    check.tensor(images, "images", "(B, C, H, W)", kind="floating-point")
    masks = _masks(masks, images)
    fill, _ = _filling(fill, "bilinear")
    draws = _weak_draws(images, flip, shift, padding, check.generator(generator))
    result = image_places.shifted(images, *draws, padding=padding, fill=fill)
    if masks is None:
        return result
    return result, image_places.shifted(masks, *draws, padding=padding, fill=0)


@overload
def strong_augment(
    images: Tensor,
    *,
    ranges: str | Mapping[str, MagnitudeRange | tuple] = ...,
    count: int = ...,
    probability: float = ...,
    cutout: float = ...,
    flip: float = ...,
    shift: float = ...,
    padding: str = ...,
    fill: float = ...,
    interpolation: str = ...,
    masks: None = ...,
    generator: torch.Generator | None = ...,
) -> Tensor: ...
@overload
def strong_augment(
    images: Tensor,
    *,
    ranges: str | Mapping[str, MagnitudeRange | tuple] = ...,
    count: int = ...,
    probability: float = ...,
    cutout: float = ...,
    flip: float = ...,
    shift: float = ...,
    padding: str = ...,
    fill: float = ...,
    interpolation: str = ...,
    masks: Tensor,
    generator: torch.Generator | None = ...,
) -> tuple[Tensor, Tensor]: ...
def strong_augment(
    images: Tensor,
    *,
    ranges: str | Mapping[str, MagnitudeRange | tuple] = "fixmatch",
    count: int = 2,
    probability: float = 0.5,
    cutout: float = 0.5,
    flip: float = 0.5,
    shift: float = 0.125,
    padding: str = "reflect",
    fill: float = 0.5,
    interpolation: str = "bilinear",
    masks: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Distort images strongly: :func:`weak_augment`, some operations of a pool, and a square cut out.

    ``count`` operations are drawn for each image, the same one twice if chance will, each with one of nine levels of
    its range, and each is done with ``probability``. By default as FixMatch's official code; MultiMix's has
    ``ranges="multimix", cutout=0, shift=4 / 256, fill=0``.

    Args:
        images: (B, C, H, W), floating-point, in [0, 1].
        ranges: a name of :data:`AUGMENT_RANGES`, or operation -> :class:`MagnitudeRange` (or a tuple that makes one) in
            the units of :func:`image_operation`.
        count: operations drawn for an image, at least 0.
        probability: with which a drawn operation is done. 0.5 in both codes; some read FixMatch as 1.
        cutout: side of the square, as a share of the shorter side; 0: none.
        flip, shift, padding: as in :func:`weak_augment`.
        fill: value where nothing was, in [0, 1].
        interpolation: ``"bilinear"`` or ``"nearest"``.
        masks: (B, K, H, W) of any dtype. They follow what moves pixels, by the nearest pixel; what lies outside is 0.
            Under the cut-out square they stay: there a network is to complete the picture.
        generator: source of all randomness, on any device; ``None`` is torch's global CPU generator.

    Returns:
        The images, of the same device and dtype; with masks, ``(images, masks)``.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Sohn et al., FixMatch, NeurIPS 2020 (arXiv:2001.07685), section 2.3; Haque et al., MultiMix, ISBI 2021 (in the
        longer form arXiv:2110.13185). Chapter 07.

    >>> images = torch.rand(4, 1, 32, 32)
    >>> one, other = (strong_augment(images, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    >>> one.shape, bool((one == other).all())
    (torch.Size([4, 1, 32, 32]), True)
    """
    working, moved_masks = _images(images), _masks(masks, images)
    table, generator = _table(ranges), check.generator(generator)
    count, probability = check.whole(count, "count", low=0), check.number(probability, "probability", low=0, high=1)
    cutout = check.number(cutout, "cutout", low=0, high=2)
    fill, interpolation = _filling(fill, interpolation)
    weak = _weak_draws(images, flip, shift, padding, generator)
    draws, batch = _draws(4 * count + 2, len(images), generator), len(images)
    working = image_places.shifted(working, *weak, padding=padding, fill=fill)
    if moved_masks is not None:
        moved_masks = image_places.shifted(moved_masks, *weak, padding=padding, fill=0)
    names = list(table)
    first, last = (torch.tensor([row[end] for row in table.values()], dtype=torch.float64) for end in (0, 1))
    mirrored = torch.tensor([row.mirrored for row in table.values()], dtype=torch.bool)
    for which, done, level, sign in draws[:-2].view(count, 4, batch):
        chosen = (which * len(names)).long()
        share = (level * LEVELS).long() / (LEVELS - 1)
        sizes = first[chosen] + (last - first)[chosen] * share
        sizes = torch.where(mirrored[chosen] & (sign < 0.5), -sizes, sizes)
        chosen[done >= probability] = -1
        groups = {name: (chosen == place).nonzero()[:, 0] for place, name in enumerate(names)}
        working, moved_masks = _apply(working, moved_masks, groups, sizes, fill, interpolation)
    if cutout:
        working = _cutout(working, torch.full((batch,), cutout, dtype=torch.float64), draws[-2:], fill)
    working = working.to(images)
    return working if moved_masks is None else (working, moved_masks)


def _apply(images: Tensor, masks: Tensor | None, groups, sizes: Tensor, fill: float, interpolation: str):
    """One round, in place: each operation on its rows; ``groups`` and ``sizes`` (B,) lie on the CPU."""
    for name, rows in groups.items():
        if name in TONES and len(rows):
            place = rows.to(images.device)
            magnitude = sizes[rows].view(-1, 1, 1, 1).to(images.dtype).to(images.device)
            images.index_copy_(0, place, TONES[name](images.index_select(0, place), magnitude))
    none = torch.tensor([])
    maps = [(row, way) for name, way in image_places.MAPS.items() for row in groups.get(name, none).tolist()]
    if maps:
        place = torch.tensor([row for row, _ in maps]).to(images.device)
        ways = [way(float(sizes[row]), *images.shape[-2:]) for row, way in maps]
        some = None if masks is None else masks.index_select(0, place)
        moved, some = image_places.moved(
            images.index_select(0, place), some, ways, fill=fill, interpolation=interpolation
        )
        images.index_copy_(0, place, moved)
        if masks is not None and some is not None:
            masks.index_copy_(0, place, some)
    return images, masks


def _cutout(images: Tensor, sizes: Tensor, draws: Tensor, fill: float) -> Tensor:
    height, width = images.shape[-2:]
    side = (sizes * min(height, width)).round().long()
    return image_places.cut_out(images, side, (draws[0] * height).long(), (draws[1] * width).long(), fill=fill)


def _draws(count: int, batch: int, generator: torch.Generator | None) -> Tensor:
    """(count, batch) numbers in [0, 1), on the CPU: what is done to which image is decided there."""
    device = "cpu" if generator is None else generator.device
    return torch.rand((count, batch), generator=generator, device=device, dtype=torch.float32).cpu().double()


def _weak_draws(images: Tensor, flip, shift, padding: str, generator) -> tuple[Tensor, Tensor, Tensor]:
    flip, shift = check.number(flip, "flip", low=0, high=1), check.number(shift, "shift", low=0, below=1)
    check.choice(padding, "padding", ("reflect", "constant"))
    draws = _draws(3, len(images), generator)
    most = [min(round(shift * size), size - 1) for size in images.shape[-2:]]
    moves = [(draw * (2 * far + 1)).long() - far for draw, far in zip(draws[1:], most)]
    return draws[0] < flip, moves[0], moves[1]


def _images(images: Tensor) -> Tensor:
    check.tensor(images, "images", "(B, C, H, W)", kind="floating-point")
    return check.wide(check.unit(images, "images"))


def _masks(masks: Tensor | None, images: Tensor) -> Tensor | None:
    if masks is None:
        return None
    shape = f"({images.shape[0]}, K, {images.shape[2]}, {images.shape[3]})"
    check.tensor(masks, "masks", shape, kind="any")
    if masks.device != images.device:
        raise ValueError(f"masks must be on the images' device {images.device}, got {masks.device}")
    return masks


def _filling(fill, interpolation) -> tuple[float, str]:
    check.choice(interpolation, "interpolation", ("bilinear", "nearest"))
    return check.number(fill, "fill", low=0, high=1), interpolation


def _table(ranges) -> dict[str, MagnitudeRange]:
    if isinstance(ranges, str):
        return dict(AUGMENT_RANGES[check.choice(ranges, "ranges", tuple(AUGMENT_RANGES))])
    if not isinstance(ranges, Mapping) or not ranges:
        raise ValueError(f"ranges must be a name or operation -> MagnitudeRange, not empty, got {check.what(ranges)}")
    table = {}
    for name, given in ranges.items():
        check.choice(name, "an operation of ranges", tuple(one for one in OPERATIONS if one != "cutout"))
        if not isinstance(given, tuple) or len(given) > 3:
            raise ValueError(
                f"ranges[{name!r}] must be (first, last) or (first, last, mirrored), got {check.what(given)}"
            )
        entry = MagnitudeRange(*given)
        ends = [check.number(end, f"ranges[{name!r}]") for end in entry[:2]]
        _check_magnitude(name, torch.tensor(ends), f"ranges[{name!r}]")
        table[name] = MagnitudeRange(ends[0], ends[1], bool(entry.mirrored))
    return table


def _check_magnitude(name: str, sizes: Tensor, where: str = "magnitude") -> None:
    spans = {"posterize": (0, 8), "solarize": (0, 256), "cutout": (0, 2), "crop": (0, 0.49)}
    spans |= dict.fromkeys(("brightness", "color", "contrast", "sharpness"), (0, 100))
    low, high = spans.get(name, (-1000, 1000))
    if len(sizes) and not (float(sizes.min()) >= low and float(sizes.max()) <= high):
        worst = float(sizes.min()) if float(sizes.min()) < low else float(sizes.max())
        raise ValueError(f"{where} of {name} must be in [{low:g}, {high:g}], got {worst:g}")
