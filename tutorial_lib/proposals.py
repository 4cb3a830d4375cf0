r"""Where objects may be: selective search, which merges regions by hand-made rules, and the network that replaced it.

:func:`selective_search` gives R-CNN and Fast R-CNN their boxes. :class:`RegionProposals` is the region proposal network
of Faster R-CNN: on every cell of a feature map it asks of each anchor whether an object is there, and where its edges
are. Both are taught in chapter 10.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import _arguments as check
from ._kernels.grouping import group_regions
from .boxes import (
    batched_nms,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    make_anchors,
    match_boxes,
    sample_matches,
)

__all__ = ["Proposals", "RegionLoss", "RegionProposals", "selective_search"]

COLOUR_SPACES = ("rgb", "grey", "lab", "hsv", "rgi", "hue")
_SIMILARITIES = "CTSF"


# --- Selective search -----------------------------------------------------------------------------------------------


def selective_search(
    image: Any,
    *,
    scales: check.Numbers = (50, 100),
    colour_spaces: Sequence[str] = ("hsv", "lab"),
    similarities: Sequence[str] = ("CTSF", "TSF"),
    sigma: float = 0.8,
    min_size: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Boxes of all regions that appear while similar neighbours are merged, again and again, up to the whole image.

    Felzenszwalb's segmentation makes the first regions; then the two most similar neighbours become one, until one is
    left. The similarity is a sum of those of its four parts that a run asks for:

    .. math:: s = \sum_k \min(c^k_a, c^k_b) + \sum_k \min(t^k_a, t^k_b) + \Bigl(1 - \frac{|a| + |b|}{|I|}\Bigr)
              + \Bigl(1 - \frac{|B_{ab}| - |a| - |b|}{|I|}\Bigr)

    colour histograms (C, 25 bins a channel) and texture histograms (T, derivatives in 8 directions, 10 bins each), both
    of sum 1; size (S), so that small regions go first; and fill (F) of the box :math:`B_{ab}` around both. One run is
    made for each scale, colour space and sum. The boxes of all runs are ranked by their place in the hierarchy, the
    whole image first, times a random number, so that no run and no size comes always first.

    Args:
        image: (3, H, W) or (1, H, W), uint8 or floating-point in [0, 1].
        scales: Felzenszwalb's k; larger values give larger first regions. (50, 100) is the paper's *fast*.
        colour_spaces: of ``"rgb"``, ``"grey"``, ``"lab"``, ``"hsv"``, ``"rgi"`` (normalised red and green, and
            intensity), ``"hue"``.
        similarities: letters of each sum, such as ``"CTSF"``.
        sigma: width of the Gaussian before the segmentation, in pixels.
        min_size: smallest first region, in pixels; None: the scale, as in the paper's program.
        generator: source of the ranking's random numbers, on the CPU; None: torch's global one.

    Returns:
        (K, 4) float32 boxes (x1, y1, x2, y2) around whole pixels, best first, none twice.

    Raises:
        ValueError: an image of another shape, type or range, an unknown colour space or letter, no scale.
        ImportError: without scikit-image, which makes the first regions.

    References:
        Uijlings, van de Sande, Gevers, Smeulders, Selective Search for Object Recognition, IJCV 2013, sections 3 and 4;
        Felzenszwalb, Huttenlocher, Efficient Graph-Based Image Segmentation, IJCV 2004.

    >>> image = torch.zeros(3, 40, 60)
    >>> image[0, 10:30, 5:25] = 1
    >>> boxes = selective_search(image, scales=[50], colour_spaces=["rgb"], similarities=["CTSF"])
    >>> [5.0, 10.0, 25.0, 30.0] in boxes.tolist(), [0.0, 0.0, 60.0, 40.0] in boxes.tolist()
    (True, True)
    """
    pixels = _pixels(image)
    scales = check.numbers(scales, "scales", above=0, empty=False)
    spaces = [
        check.choice(name, "colour_spaces", COLOUR_SPACES) for name in check.strings(colour_spaces, "colour_spaces")
    ]
    sums = check.strings(similarities, "similarities")
    for letters in sums:
        if not letters or set(letters) - set(_SIMILARITIES) or len(set(letters)) < len(letters):
            raise ValueError(f"similarities must each be letters of {_SIMILARITIES!r}, got {letters!r}")
    if not spaces or not sums:
        raise ValueError("colour_spaces and similarities must hold at least one name each, got none")
    sigma = check.number(sigma, "sigma", low=0)
    least = None if min_size is None else check.whole(min_size, "min_size", low=0)
    generator = check.generator(generator)
    runs = group_regions(pixels, scales, spaces, sums, sigma, least)
    boxes = torch.cat([torch.from_numpy(run) for run in runs])  # the whole image first in each run
    place = torch.cat([torch.arange(1, len(run) + 1, dtype=torch.float64) for run in runs])
    rank = (place * torch.rand(len(place), generator=generator, dtype=torch.float64)).argsort(stable=True)
    first: dict[tuple[float, ...], None] = dict.fromkeys(map(tuple, boxes[rank].tolist()))
    return torch.tensor(list(first), dtype=torch.float32).view(-1, 4)


def _pixels(image: Any):
    """(H, W, C) float64 in [0, 1], as scikit-image wants it."""
    import numpy as np

    found = check.array(image, "image", kinds="iuf")
    found = found if isinstance(found, np.ndarray) else found.detach().cpu().numpy()
    if found.ndim != 3 or found.shape[0] not in (1, 3) or not found.size:
        raise ValueError(f"image must be (3, H, W) or (1, H, W), got {check.what(found)}")
    if found.dtype != np.uint8 and found.dtype.kind != "f":
        raise ValueError(f"image must be uint8 or floating-point in [0, 1], got {check.what(found)}")
    found = found / 255 if found.dtype == np.uint8 else found
    if not (found.min() >= 0 and found.max() <= 1):
        raise ValueError(f"image must be in [0, 1], got {found.min():g} to {found.max():g}")
    return np.ascontiguousarray(np.moveaxis(found.astype(np.float64), 0, -1))


# --- The region proposal network ------------------------------------------------------------------------------------


class Proposals(NamedTuple):
    """What :meth:`RegionProposals.propose` returns: for each image ``boxes`` (K, 4) and ``scores`` (K,), best first.

    Attributes:
        boxes: (K, 4) for each image.
        scores: (K,) for each image, from 0 to 1.
    """

    boxes: list[Tensor]
    scores: list[Tensor]


class RegionLoss(NamedTuple):
    """The two losses of :meth:`RegionProposals.loss`: is there an object, and where are its edges.

    Attributes:
        objectness: (): is there an object at the anchor.
        boxes: (): where are its edges.
    """

    objectness: Tensor
    boxes: Tensor


class RegionScores(NamedTuple):
    """What the network says: ``logits`` and ``offsets`` of every anchor of every image, and the anchors by level."""

    logits: Tensor  # (B, A)
    offsets: Tensor  # (B, A, 4)
    anchors: Tensor  # (A, 4)
    level: Tensor  # (A,)


class RegionProposals(nn.Module):
    r"""Region proposal network: a 3 × 3 convolution, and on it for every anchor a score and four offsets.

    It slides over one feature map or over several of one depth (a pyramid), which then share its weights.

    .. math:: L = \frac{1}{N} \sum_{i \in S} BCE(p_i, p_i^*) +
              \frac{1}{N} \sum_{i \in S,\, p_i^* = 1} smooth_{L1}(t_i - t_i^*)

    over the sample S of N anchors of the whole batch.

    Args:
        channels: of the feature maps.
        sizes: anchor sizes in pixels; a sequence of sequences gives each level its own.
        ratios: height over width.
        offset: of the anchors' centres from a cell's corner, in cells: see :func:`~tutorial_lib.boxes.make_anchors`.
        rounded: round anchors to whole pixels, as torchvision does (by up to a fifth of small ones).
        high, low: IoU from which an anchor is positive, below which it is background.
        rule: of :func:`~tutorial_lib.boxes.match_boxes`.
        count: anchors of an image in the loss.
        positive: their largest share with an object.
        beta: where the smooth L1 loss becomes linear.
        before: best anchors of each level that are looked at, in training and in evaluation.
        after: proposals of an image, likewise.
        iou_threshold: of the suppression within a level.
        min_size: smallest side of a proposal, in pixels.

    Shape:
        ``forward``: a list of (B, channels, H_l, W_l), each with its stride -> :class:`RegionScores`.

    Raises:
        ValueError: an argument that is not as described; maps that do not fit.

    References:
        Ren, He, Girshick, Sun, Faster R-CNN, NeurIPS 2015 (arXiv:1506.01497), section 3.1; Lin et al., Feature Pyramid
        Networks, CVPR 2017 (arXiv:1612.03144), section 4.1, for several maps.

    >>> network = RegionProposals(8, sizes=[16, 32])
    >>> scores = network([torch.zeros(2, 8, 4, 5)], strides=[8])
    >>> scores.logits.shape, network.propose(scores, [(32, 40)] * 2).boxes[0].shape[1]
    (torch.Size([2, 120]), 4)
    """

    def __init__(
        self,
        channels: int,
        *,
        sizes: Any = (128, 256, 512),
        ratios: check.Numbers = (0.5, 1.0, 2.0),
        offset: float = 0.5,
        rounded: bool = False,
        high: float = 0.7,
        low: float = 0.3,
        rule: str = "corrected",
        count: int = 256,
        positive: float = 0.5,
        beta: float = 1 / 9,
        before: check.Wholes = (2000, 1000),
        after: check.Wholes = (2000, 1000),
        iou_threshold: float = 0.7,
        min_size: float = 1e-3,
    ):
        super().__init__()
        channels = check.whole(channels, "channels", low=1)
        nested = not check.single(sizes) and len(sizes) and not check.single(sizes[0])
        self.sizes = [check.numbers(some, "sizes", above=0, empty=False) for some in (sizes if nested else [sizes])]
        self.per_level = bool(nested)
        if len({len(some) for some in self.sizes}) > 1:
            raise ValueError(f"sizes must be as many on each level, since the levels share one head, got {sizes}")
        self.ratios = check.numbers(ratios, "ratios", above=0, empty=False)
        self.offset, self.rounded = check.number(offset, "offset"), bool(rounded)
        self.high = check.number(high, "high", low=0, high=1)
        self.low = check.number(low, "low", low=0, high=self.high)
        self.rule = check.choice(rule, "rule", ("corrected", "torchvision"))
        self.count = check.whole(count, "count", low=1)
        self.positive = check.number(positive, "positive", low=0, high=1)
        self.beta = check.number(beta, "beta", above=0)
        self.before = check.wholes(before, "before", length=2, broadcast=True, low=1)
        self.after = check.wholes(after, "after", length=2, broadcast=True, low=1)
        self.iou_threshold = check.number(iou_threshold, "iou_threshold", low=0, high=1)
        self.min_size = check.number(min_size, "min_size", low=0)
        anchors = len(self.sizes[0]) * len(self.ratios)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors, 1)
        self.edges = nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (self.convolution, self.objectness, self.edges):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor], *, strides: check.Numbers) -> RegionScores:
        """Scores and offsets of all anchors, level by level, in a level cell by cell.

        Args:
            features: one map or several, (B, channels, H_l, W_l).
            strides: pixels of the image between two cells, one a map.

        Returns:
            Scores (B, A), offsets (B, A, 4), and the A anchors with their levels.
        """
        features = [features] if isinstance(features, Tensor) else list(features)
        strides = check.numbers(strides, "strides", length=len(features), above=0)
        if self.per_level and len(self.sizes) != len(features):
            raise ValueError(f"features must be one map for each of {len(self.sizes)} levels, got {len(features)}")
        logits, offsets, anchors, level = [], [], [], []
        for place, (map_, stride) in enumerate(zip(features, strides)):
            hidden = self.convolution(map_).relu()
            logits.append(self.objectness(hidden).permute(0, 2, 3, 1).flatten(1))  # (B, a, H, W) -> (B, H*W*a)
            edges = self.edges(hidden).unflatten(1, (-1, 4))  # (B, a, 4, H, W)
            offsets.append(edges.permute(0, 3, 4, 1, 2).flatten(1, 3))
            anchors.append(
                make_anchors(
                    map_.shape[-2:], stride=stride, sizes=self.sizes[place if self.per_level else 0],
                    ratios=self.ratios, offset=self.offset, rounded=self.rounded, device=map_.device,
                )
            )  # fmt: skip
            level.append(torch.full((len(anchors[-1]),), place, device=map_.device))
        return RegionScores(torch.cat(logits, 1), torch.cat(offsets, 1), torch.cat(anchors), torch.cat(level))

    def propose(self, scores: RegionScores, image_sizes: Sequence[tuple[int, int]]) -> Proposals:
        """The boxes of the best anchors of each level, clipped, suppressed, the best of all levels together.

        No gradient flows through them.

        Args:
            scores: from ``forward``.
            image_sizes: (height, width) of each image, before it was padded to the batch's size.

        Returns:
            Boxes and scores of each image.
        """
        logits, offsets = scores.logits.detach(), scores.offsets.detach()
        before, after = (pair[0 if self.training else 1] for pair in (self.before, self.after))
        best = torch.cat(
            [
                (scores.level == place).nonzero()[:, 0][
                    logits[:, scores.level == place].topk(min(before, int((scores.level == place).sum()))).indices
                ]
                for place in scores.level.unique()
            ],
            1,
        )  # (B, K)
        boxes, kept_scores = [], []
        for row, size in enumerate(image_sizes):
            chosen = best[row]
            found = clip_boxes(decode_boxes(offsets[row, chosen], scores.anchors[chosen]), size)
            sides = found[:, 2:] - found[:, :2]
            large = (sides >= self.min_size).all(1).nonzero()[:, 0]
            found, chosen = found[large], chosen[large]
            score = logits[row, chosen].sigmoid()
            kept = batched_nms(found, score, scores.level[chosen], self.iou_threshold)[:after]
            boxes.append(found[kept])
            kept_scores.append(score[kept])
        return Proposals(boxes, kept_scores)

    def loss(
        self, scores: RegionScores, objects: Sequence[Tensor], *, generator: torch.Generator | None = None
    ) -> RegionLoss:
        """Losses against the objects' boxes.

        Args:
            scores: from ``forward``.
            objects: (G, 4) for each image; G may be 0.
            generator: source of the sample; None: torch's global one.

        Returns:
            Two scalars.
        """
        if len(objects) != len(scores.logits):
            raise ValueError(f"objects must be one tensor an image, {len(scores.logits)}, got {len(objects)}")
        rows, columns, labels, predicted, wanted = [], [], [], [], []
        for row, boxes in enumerate(objects):
            iou = box_iou(check.objects(boxes, f"objects[{row}]"), scores.anchors)
            matches = match_boxes(iou, high=self.high, low=self.low, rule=self.rule)
            sample = sample_matches(matches, count=self.count, positive=self.positive, generator=generator)
            chosen = torch.cat((sample.positive, sample.negative))
            columns.append(chosen)
            rows.append(torch.full_like(chosen, row))
            labels.append(matches[chosen] >= 0)
            predicted.append(scores.offsets[row, sample.positive])
            wanted.append(encode_boxes(boxes[matches[sample.positive]], scores.anchors[sample.positive]))
        number = max(1, sum(map(len, rows)))
        logits = scores.logits[torch.cat(rows), torch.cat(columns)]
        objectness = F.binary_cross_entropy_with_logits(logits, torch.cat(labels).to(logits), reduction="sum") / number
        edges = F.smooth_l1_loss(torch.cat(predicted), torch.cat(wanted), beta=self.beta, reduction="sum") / number
        return RegionLoss(objectness, edges)
