"""The later stages of chapter 10: what is in a box, where its edges are, and which of its pixels are the object's."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from ..average_precision import Detections
from ..boxes import batched_nms, box_iou, clip_boxes, decode_boxes, encode_boxes, match_boxes, sample_matches
from ..roi import roi_align
from .levels import pool_levels


class Sampled(NamedTuple):
    """The boxes of an image that the second stage learns from: what they are, and of which object."""

    boxes: Tensor  # (K, 4)
    labels: Tensor  # (K,), the background is `classes`
    objects: Tensor  # (K,), 0 for background


class _Stage(nn.Module):
    """What reads boxes that are cut out of feature maps."""

    size: int
    pooling: dict[str, Any]

    def cut(self, features: Sequence[Tensor], boxes: Sequence[Tensor], strides: check.Numbers) -> Tensor:
        """The boxes' features, (K, channels, size, size)."""
        return pool_levels(features, boxes, self.size, strides=strides, **self.pooling)


def _pooling(pooling: str, sampling_ratio: int, aligned: bool, canonical: tuple[float, float]) -> dict[str, Any]:
    """What :func:`pool_levels` is asked, checked."""
    return dict(
        pooling=check.choice(pooling, "pooling", ("align", "pool")),
        sampling_ratio=check.whole(sampling_ratio, "sampling_ratio"),
        aligned=bool(aligned),
        canonical=check.numbers(canonical, "canonical", length=2, above=0),
    )


class BoxHead(_Stage):
    r"""The second stage: what is in each box, and how its edges must move.

    Two hidden layers; on them a score for each class and for the background, and four offsets for each class.

    .. math:: L = \frac{1}{N} \sum_i CE(p_i, u_i) +
              \frac{1}{N} \sum_{i: u_i \ne background} smooth_{L1}(t_i^{u_i} - t_i^*)

    Args:
        channels: of the feature maps.
        classes: without the background.
        size: bins of a box on each side.
        hidden: of the two layers.
        pooling, sampling_ratio, aligned, canonical: see :func:`pool_levels`.
        foreground: IoU from which a box is of its object's class.
        count: boxes of an image in the loss.
        positive: their largest share with an object.
        weights: of the offsets.
        beta: where the smooth L1 loss becomes linear.
        score_threshold: a detection's score is above this.
        iou_threshold: of the suppression within a class.
        max_detections: of an image.
        min_size: smallest side of a detection, in pixels.

    Shape:
        (K, channels, size, size) -> scores (K, classes + 1), background last, and offsets (K, classes, 4).

    Raises:
        ValueError: an argument that is not as described.

    References:
        Girshick, Fast R-CNN, ICCV 2015 (arXiv:1504.08083), sections 2.1 to 2.3.

    >>> logits, offsets = BoxHead(8, 3, hidden=16)(torch.zeros(5, 8, 7, 7))
    >>> tuple(logits.shape), tuple(offsets.shape)
    ((5, 4), (5, 3, 4))
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        size: int = 7,
        hidden: int = 1024,
        pooling: str = "align",
        sampling_ratio: int = 2,
        aligned: bool = True,
        canonical: tuple[float, float] = (224.0, 16.0),
        foreground: float = 0.5,
        count: int = 512,
        positive: float = 0.25,
        weights: check.Numbers = (10.0, 10.0, 5.0, 5.0),
        beta: float = 1 / 9,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 100,
        min_size: float = 1e-2,
    ):
        super().__init__()
        channels, self.classes = check.whole(channels, "channels", low=1), check.whole(classes, "classes", low=1)
        self.size, hidden = check.whole(size, "size", low=1), check.whole(hidden, "hidden", low=1)
        self.pooling = _pooling(pooling, sampling_ratio, aligned, canonical)
        self.foreground = check.number(foreground, "foreground", above=0, high=1)
        self.count, self.positive = (
            check.whole(count, "count", low=1),
            check.number(positive, "positive", low=0, high=1),
        )
        self.weights = check.numbers(weights, "weights", length=4, above=0)
        self.beta = check.number(beta, "beta", above=0)
        self.score_threshold = check.number(score_threshold, "score_threshold", low=0, high=1)
        self.iou_threshold = check.number(iou_threshold, "iou_threshold", low=0, high=1)
        self.max_detections = check.whole(max_detections, "max_detections", low=1)
        self.min_size = check.number(min_size, "min_size", low=0)
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * self.size**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.scores = nn.Linear(hidden, self.classes + 1)
        self.edges = nn.Linear(hidden, 4 * self.classes)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and offsets of boxes that have been cut out."""
        hidden = self.hidden(pooled)
        return self.scores(hidden), self.edges(hidden).unflatten(1, (-1, 4))

    def sample(
        self,
        proposals: Sequence[Tensor],
        truths: Sequence[Mapping[str, Tensor]],
        *,
        generator: torch.Generator | None = None,
    ) -> list[Sampled]:
        """Of each image the boxes for the loss; the objects' own boxes are added to the proposals, so that early on,
        when no proposal is good, there is something to learn from.

        Args:
            proposals: (K, 4) for each image.
            truths: a dictionary an image: ``boxes`` (G, 4) and ``labels`` (G,), whole numbers from 0.
            generator: source of the sample; None: torch's global one.

        Returns:
            For each image the boxes, their labels (the background is ``classes``) and the numbers of their objects.
        """
        sampled = []
        for found, truth in zip(proposals, truths):
            objects, labels = truth["boxes"].to(found), truth["labels"]
            boxes = torch.cat((found, objects)).detach()
            matches = match_boxes(box_iou(objects, boxes), high=self.foreground, low=self.foreground, keep_best=False)
            sample = sample_matches(matches, count=self.count, positive=self.positive, generator=generator)
            chosen = torch.cat(tuple(sample)).sort().values
            kind = torch.full((len(boxes),), self.classes, dtype=torch.int64, device=boxes.device)
            kind[matches >= 0] = labels[matches[matches >= 0]].to(kind)
            sampled.append(Sampled(boxes[chosen], kind[chosen], matches[chosen].clamp(min=0)))
        return sampled

    def loss(
        self,
        logits: Tensor,
        offsets: Tensor,
        sampled: Sequence[Sampled],
        truths: Sequence[Mapping[str, Tensor]],
    ) -> tuple[Tensor, Tensor]:
        """The loss of the classes, and that of the edges of boxes with an object.

        Args:
            logits: (K, classes + 1), of all images' boxes, one after the other.
            offsets: (K, classes, 4), of the same.
            sampled: from :meth:`sample`.
            truths: a dictionary an image: ``boxes`` (G, 4) and ``labels`` (G,), whole numbers from 0.

        Returns:
            Two scalars, both divided by the number of boxes.
        """
        labels = torch.cat([one.labels for one in sampled])
        with_object = (labels < self.classes).nonzero()[:, 0]
        boxes = torch.cat([one.boxes for one in sampled])[with_object]
        wanted = torch.cat(
            [
                truth["boxes"].to(one.boxes)[one.objects[one.labels < self.classes]]
                for one, truth in zip(sampled, truths)
            ]
        )
        number = max(1, len(labels))
        edges = F.smooth_l1_loss(
            offsets[with_object, labels[with_object]],
            encode_boxes(wanted, boxes, weights=self.weights),
            beta=self.beta,
            reduction="sum",
        )
        return F.cross_entropy(logits, labels, reduction="sum") / number, edges / number

    def detect(
        self, logits: Tensor, offsets: Tensor, proposals: Sequence[Tensor], image_sizes: Sequence[tuple[int, int]]
    ) -> list[Detections]:
        """Of each image the boxes that are sure enough and overlap no surer one of their class, best first.

        Args:
            logits: (K, classes + 1), of all images' boxes, one after the other.
            offsets: (K, classes, 4), of the same.
            proposals: the boxes, (K_i, 4) for each image.
            image_sizes: (height, width) of each image.

        Returns:
            Boxes, scores and labels of each image; without gradient.
        """
        answers = []
        counts = [len(some) for some in proposals]
        for scores, moves, boxes, size in zip(
            logits.detach().softmax(-1).split(counts), offsets.detach().split(counts), proposals, image_sizes
        ):
            found = clip_boxes(decode_boxes(moves, boxes[:, None], weights=self.weights), size)  # (K, classes, 4)
            sides = found[..., 2:] - found[..., :2]
            good = (scores[:, :-1] > self.score_threshold) & (sides >= self.min_size).all(-1)
            row, label = good.nonzero(as_tuple=True)
            kept = batched_nms(found[row, label], scores[row, label], label, self.iou_threshold)[: self.max_detections]
            answers.append(Detections(found[row, label][kept], scores[row, label][kept], label[kept]))
        return answers


class MaskHead(_Stage):
    r"""The third stage: a mask for every class in each box, of which the box's own class is read.

    Convolutions of 3 × 3, one transposed convolution that doubles the size, and a score for each class and cell. The
    classes do not compete: each cell's loss is a sigmoid's, of the box's class alone.

    Args:
        channels: of the feature maps.
        classes: without the background.
        size: bins of a box before the doubling.
        hidden: channels of the convolutions, one a layer.
        pooling, sampling_ratio, aligned, canonical: see :func:`pool_levels`; ``aligned`` is also how the true masks are
            cut out.

    Shape:
        (K, channels, size, size) -> (K, classes, 2 size, 2 size)

    Raises:
        ValueError: an argument that is not as described.

    References:
        He et al., Mask R-CNN, ICCV 2017 (arXiv:1703.06870), section 3.

    >>> MaskHead(8, 3, hidden=[16])(torch.zeros(5, 8, 14, 14)).shape
    torch.Size([5, 3, 28, 28])
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        size: int = 14,
        hidden: check.Wholes = (256, 256, 256, 256),
        pooling: str = "align",
        sampling_ratio: int = 2,
        aligned: bool = True,
        canonical: tuple[float, float] = (224.0, 16.0),
    ):
        super().__init__()
        channels, self.classes = check.whole(channels, "channels", low=1), check.whole(classes, "classes", low=1)
        self.size, widths = check.whole(size, "size", low=1), check.wholes(hidden, "hidden", empty=False, low=1)
        self.pooling = _pooling(pooling, sampling_ratio, aligned, canonical)
        layers: list[nn.Module] = []
        for before, width in zip((channels, *widths), widths):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], widths[-1], 2, stride=2), nn.ReLU())
        self.scores = nn.Conv2d(widths[-1], self.classes, 1)
        for layer in (*self.layers, self.scores):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, pooled: Tensor) -> Tensor:
        """Scores of every class in each cell."""
        # A CPU's convolutions of many small maps are a third faster where a cell's channels lie together.
        return self.scores(self.layers(pooled.contiguous(memory_format=torch.channels_last)))

    def loss(self, logits: Tensor, sampled: Sequence[Sampled], truths: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Mean over boxes and cells; the true masks are cut out of the *proposals*, and stay soft at their edges.

        Args:
            logits: (K, classes, 2 size, 2 size), of all images' boxes, one after the other.
            sampled: of each image the boxes with an object.
            truths: a dictionary an image, with ``masks`` (G, H, W).

        Returns:
            A scalar; 0, with a gradient of 0, where no box has an object.
        """
        labels = torch.cat([one.labels for one in sampled])
        if not len(labels):
            return logits.sum() * 0
        wanted = torch.cat(
            [
                roi_align(
                    truth["masks"].to(logits)[:, None],
                    torch.cat((one.objects[:, None].to(one.boxes), one.boxes), 1),
                    2 * self.size,
                    aligned=bool(self.pooling["aligned"]),
                )[:, 0]
                for one, truth in zip(sampled, truths)
                if len(one.boxes)
            ]
        )
        own = logits[torch.arange(len(labels), device=labels.device), labels]
        return F.binary_cross_entropy_with_logits(own, wanted)
