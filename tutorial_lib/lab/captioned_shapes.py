"""Small colour pictures of one or two shapes, each with a caption in English or Chinese, and what they show.

A picture holds one shape, small or large, or two, side by side or one above the other. Its caption says what shape, in
what colour, and how they lie; it does not say where exactly, how bright the ground is, or how the colour is tinted. So
one caption fits many pictures, and a model that draws from captions can be asked for two things: that what it draws
fits, and that it does not draw the same picture again and again.

Some pairs of a colour and a shape are *held out*: no training picture shows them, though it shows each of their halves
in other company. Every function returns the same arrays for the same seed.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._arguments import choice, string, strings, whole

__all__ = [
    "COLOURS",
    "HELD_OUT",
    "LENGTH",
    "SHAPES",
    "VOCABULARY",
    "CaptionedShapes",
    "caption_tokens",
    "captioned_shapes",
    "encode_captions",
    "scene_caption",
    "scene_of",
]

#: Shapes and colours by name, each with its Chinese name; a colour's red, green and blue lie in [0, 1].
SHAPES = {"ring": "圆环", "square": "方块", "triangle": "三角形"}
COLOURS = {
    "red": ("红色", (0.87, 0.20, 0.16)),
    "green": ("绿色", (0.10, 0.70, 0.40)),
    "blue": ("蓝色", (0.15, 0.42, 0.90)),
    "yellow": ("黄色", (0.96, 0.86, 0.22)),
}
#: Pairs that no training picture shows: one of each shape, one of each of three colours.
HELD_OUT = (("red", "square"), ("green", "triangle"), ("blue", "ring"))
SIZES = {"small": "小", "large": "大"}
#: What the first object, which is the left or the upper one, is to the second; and what the second is to the first.
RELATIONS = (("left of", "right of", "左边", "右边"), ("above", "below", "上方", "下方"))

#: Every word of a caption; number 0 fills up short captions, and a caption of zeros alone is the empty one.
VOCABULARY = (
    "", "a", *SIZES, *COLOURS, *SHAPES, "left", "right", "of", "above", "below",
    "一个", *SIZES.values(), *(name for name, _ in COLOURS.values()), *SHAPES.values(), "的", "在", "左边", "右边",
    "上方", "下方",
)  # fmt: skip
#: Words of the longest caption.
LENGTH = 8
_NUMBER = {word: number for number, word in enumerate(VOCABULARY)}
_CHINESE = re.compile("|".join(sorted((re.escape(w) for w in VOCABULARY if w and not w.isascii()), key=len)[::-1]))
_LETTERS = re.compile(r"[a-z]+")
_COLOUR_NAMES, _SHAPE_NAMES = tuple(COLOURS), tuple(SHAPES)


class CaptionedShapes(NamedTuple):
    """What :func:`captioned_shapes` returns.

    Attributes:
        image: (N, 3, size, size) float32 in [-1, 1], channels red, green, blue.
        scene: (N, 6) int64: ``layout`` (0 one small shape, 1 one large shape, 2 side by side, 3 one above the other),
            colour and shape of the first object (the only one, the left one or the upper one), colour and shape of the
            second (-1 where there is none), and ``language`` (0 English, 1 Chinese).
        captions: N texts.
    """

    image: Tensor
    scene: Tensor
    captions: list[str]


def captioned_shapes(
    count: int, *, seed: int, split: str = "train", objects: str = "both", language: str = "both", size: int = 16
) -> CaptionedShapes:
    r"""Make pictures with captions.

    .. math:: image = 2\,\big(g\,(1 - m) + k\,c\,m\big) - 1, \qquad m = \mathrm{clip}(\tfrac12 - d, 0, 1)

    with d the signed distance to a shape's edge in pixels and c its colour. Drawn anew for every picture are the ground
    g, a grey of .05 to .35, the tint k, .8 to 1, the place, within a few pixels, and the size. In half of the captions
    of two shapes the second is named first ("a blue square right of a red ring").

    Row i depends on ``seed`` and i only: a larger ``count`` adds rows and changes none.

    Args:
        count: N, at least 0.
        seed: a whole number of at least 0.
        split: ``"train"``: no object is of :data:`HELD_OUT`; ``"held out"``: one object of each picture is;
            ``"all"``: both.
        objects: ``"one"``, ``"two"``, or ``"both"``: a third of the pictures have one.
        language: ``"en"``, ``"zh"``, or ``"both"``, each as often.
        size: of the picture, at least 12; everything is drawn in its proportion.

    Returns:
        :class:`CaptionedShapes` ``(image, scene, captions)``.

    Raises:
        ValueError: if an argument is not as described.

    >>> image, scene, captions = captioned_shapes(3, seed=1, language="en")
    >>> image.shape, scene[0].tolist(), captions[0]
    (torch.Size([3, 3, 16, 16]), [2, 0, 2, 3, 2, 0], 'a yellow triangle right of a red triangle')
    """
    count, seed, size = whole(count, "count", low=0), whole(seed, "seed", low=0), whole(size, "size", low=12)
    split = choice(split, "split", ("train", "held out", "all"))
    objects = choice(objects, "objects", ("one", "two", "both"))
    language = choice(language, "language", ("en", "zh", "both"))
    rng_rows = [np.random.default_rng([seed, row]).random(20) for row in range(count)]
    draws = np.stack(rng_rows) if rng_rows else np.empty((0, 20))  # (N, 20) in [0, 1)
    scene = np.empty((count, 6), np.int64)
    two = draws[:, 0] < {"one": 0.0, "two": 1.0, "both": 2 / 3}[objects]
    scene[:, 0] = 2 * two + (draws[:, 1] < 0.5)
    held = np.array([[_COLOUR_NAMES.index(c), _SHAPE_NAMES.index(s)] for c, s in HELD_OUT])
    every = np.array([[c, s] for c in range(len(COLOURS)) for s in range(len(SHAPES))])
    seen = np.array([pair for pair in every.tolist() if pair not in held.tolist()])
    usual = every if split == "all" else seen
    scene[:, 1:3] = usual[(draws[:, 2] * len(usual)).astype(int)]
    scene[:, 3:5] = usual[(draws[:, 3] * len(usual)).astype(int)]
    if split == "held out":
        rare, first = held[(draws[:, 4] * len(held)).astype(int)], ~two | (draws[:, 5] < 0.5)
        scene[first, 1:3], scene[~first, 3:5] = rare[first], rare[~first]
    scene[~two, 3:5] = -1
    scene[:, 5] = draws[:, 6] < {"en": 0.0, "zh": 1.0, "both": 0.5}[language]
    captions = [scene_caption(row, turned=bool(turned)) for row, turned in zip(scene.tolist(), draws[:, 7] < 0.5)]
    return CaptionedShapes(torch.from_numpy(_draw(scene, draws, size)), torch.from_numpy(scene), captions)


def _draw(scene: np.ndarray, draws: np.ndarray, size: int) -> np.ndarray:
    """(N, 6), (N, 20) -> (N, 3, size, size): the ground, then one object, then the other."""
    unit = size / 16
    rows, columns = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5, indexing="ij")
    picture = np.broadcast_to((0.05 + 0.3 * draws[:, 8])[:, None, None, None], (len(scene), 3, size, size)).copy()
    palette = np.array([rgb for _, rgb in COLOURS.values()])
    layout = scene[:, 0]
    for which in (0, 1):
        colour, shape = scene[:, 1 + 2 * which], scene[:, 2 + 2 * which]
        u = 2 * draws[:, 9 + 5 * which : 14 + 5 * which] - 1  # (N, 5) in [-1, 1)
        side = (-4.0, 4.0)[which]
        x = 8 + np.choose(layout, (3.2 * u[:, 0], 1.5 * u[:, 0], side + 0.7 * u[:, 0], 3.0 * u[:, 0]))
        y = 8 + np.choose(layout, (3.2 * u[:, 1], 1.5 * u[:, 1], 3.0 * u[:, 1], side + 0.7 * u[:, 1]))
        radius = np.choose(layout, (3.3 + 0.2 * u[:, 2], 6.0 + 0.5 * u[:, 2], 3.2 + 0.2 * u[:, 2], 3.2 + 0.2 * u[:, 2]))
        inside = _inside(columns - (unit * x)[:, None, None], rows - (unit * y)[:, None, None], unit * radius, shape)
        inside = (inside * (colour >= 0)[:, None, None])[:, None]  # (N, 1, size, size)
        tinted = palette[colour] * (0.9 + 0.1 * u[:, 3:4])
        picture = picture * (1 - inside) + tinted[:, :, None, None] * inside
    return (2 * picture - 1).astype(np.float32)


def _inside(x: np.ndarray, y: np.ndarray, radius: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """How much of each pixel lies inside a shape: 1/2 - signed distance, cut to [0, 1]; (N, size, size)."""
    r, shape = radius[:, None, None], shape[:, None, None]
    ring = abs(np.hypot(x, y) - 0.72 * r) - 0.3 * r
    square = np.maximum(abs(x), abs(y)) - 0.88 * r
    # An upright triangle with its centre in the middle of its height.
    slope = np.array([2.0, 1.0]) / math.sqrt(5)
    triangle = np.maximum(y - 0.95 * r, slope[0] * abs(x) - slope[1] * (y + 1.15 * r))
    distance = np.where(shape == 0, ring, np.where(shape == 1, square, triangle))
    return np.clip(0.5 - distance, 0, 1)


# --- Captions -------------------------------------------------------------------------------------------------------


def scene_caption(scene: Sequence[int] | Tensor, *, turned: bool = False) -> str:
    """Put a scene into words.

    Args:
        scene: six whole numbers, as in :class:`CaptionedShapes`.
        turned: name the second object first, where there are two.

    Returns:
        The caption.

    Raises:
        ValueError: if there is no such scene.

    >>> scene_caption([2, 0, 0, 2, 1, 0]), scene_caption([2, 0, 0, 2, 1, 1], turned=True)
    ('a red ring left of a blue square', '蓝色的方块在红色的圆环右边')
    """
    layout, *things, chinese = _scene(scene)
    names = []
    for colour, shape in (things[:2], things[2:]):
        zh, en = [*COLOURS.values()][colour][0], _COLOUR_NAMES[colour]
        names.append((zh, SHAPES[_SHAPE_NAMES[shape]]) if chinese else (en, _SHAPE_NAMES[shape]))
    if layout < 2:
        size = [*SIZES.items()][layout]
        return f"一个{size[1]}的{''.join(names[0])}" if chinese else f"a {size[0]} {' '.join(names[0])}"
    relation = RELATIONS[layout - 2][2 * chinese + turned]
    first, second = names[::-1] if turned else names
    if chinese:
        return f"{'的'.join(first)}在{'的'.join(second)}{relation}"
    return f"a {' '.join(first)} {relation} a {' '.join(second)}"


def scene_of(caption: str) -> list[int]:
    """Read a caption: the opposite of :func:`scene_caption`, for captions in its own words only.

    Args:
        caption: in English or Chinese; capitals, spaces and marks do not count, nor do words that it does not know.

    Returns:
        The six numbers of a scene.

    Raises:
        ValueError: if it names no scene of these pictures.

    >>> scene_of("A blue square, right of a red ring")
    [2, 0, 0, 2, 1, 0]
    """
    words = caption_tokens(caption)
    chinese = any(not word.isascii() for word in words)
    colours = [zh if chinese else en for en, (zh, _) in COLOURS.items()]
    shapes = [zh if chinese else en for en, zh in SHAPES.items()]
    sizes = [zh if chinese else en for en, zh in SIZES.items()]
    things = [colours.index(w) for w in words if w in colours], [shapes.index(w) for w in words if w in shapes]
    pairs = list(zip(*things))
    relations = [
        (2 + axis, turned)
        for axis, names in enumerate(RELATIONS)
        for turned, name in enumerate(names[2:] if chinese else names[:2])
        if name.split()[0] in words
    ]
    named = [sizes.index(w) for w in words if w in sizes]
    if len(pairs) == len(things[0]) == len(things[1]) == 1 and len(named) == 1 and not relations:
        return [named[0], *pairs[0], -1, -1, int(chinese)]
    if len(pairs) == len(things[0]) == len(things[1]) == 2 and len(relations) == 1:
        layout, turned = relations[0]
        pairs = pairs[::-1] if turned else pairs
        return [layout, *pairs[0], *pairs[1], int(chinese)]
    raise ValueError(
        "caption must name a size and one coloured shape, or two of them and how they lie, such as 'a small red "
        f"ring' or 'a red ring left of a blue square', got {caption!r}"
    )


def caption_tokens(caption: str) -> list[str]:
    """Divide a caption into words of :data:`VOCABULARY`; what it does not know is left out.

    >>> caption_tokens("A tiny red ring"), caption_tokens("红色的圆环在蓝色的方块左边")
    (['a', 'red', 'ring'], ['红色', '的', '圆环', '在', '蓝色', '的', '方块', '左边'])
    """
    caption = string(caption, "caption").lower()
    found = [(m.start(), m.group()) for m in _CHINESE.finditer(caption)]
    found += [(m.start(), m.group()) for m in _LETTERS.finditer(caption) if m.group() in _NUMBER]
    return [word for _, word in sorted(found)]


def encode_captions(captions: Sequence[str]) -> Tensor:
    """Turn captions into numbers of :data:`VOCABULARY`.

    Args:
        captions: N texts; an empty one, or one without a known word, becomes zeros: no text.

    Returns:
        (N, :data:`LENGTH`) int64, filled up with zeros; words beyond the length are cut.

    Raises:
        ValueError: if they are not several strings.

    >>> encode_captions(["a red ring", ""]).tolist()
    [[1, 4, 8, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    """
    rows = [[_NUMBER[word] for word in caption_tokens(text)][:LENGTH] for text in strings(captions, "captions")]
    return torch.tensor([row + [0] * (LENGTH - len(row)) for row in rows], dtype=torch.int64).reshape(-1, LENGTH)


def _scene(scene: Sequence[int] | Tensor) -> list[int]:
    values = scene.tolist() if isinstance(scene, Tensor) else list(scene)
    good = len(values) == 6 and 0 <= values[0] <= 3 and values[5] in (0, 1)
    for colour, shape in (values[1:3], values[3:5]) if good else ():
        good &= 0 <= colour < len(COLOURS) and 0 <= shape < len(SHAPES)
        if values[0] < 2:
            break
    if not good:
        raise ValueError(f"scene must be six numbers as CaptionedShapes describes them, got {values}")
    return values
