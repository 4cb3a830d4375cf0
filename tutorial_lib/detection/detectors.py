"""The four detectors of chapter 10."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check
from ..average_precision import Detections
from ..proposals import RegionProposals
from ..roi import roi_align
from .heads import BoxHead, MaskHead, Sampled
from .levels import maps_of
from .paste import paste_masks

Backbone = Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[Any, Tensor]]


class DetectionLoss(NamedTuple):
    """The losses of a detector, each a scalar; exactly 0 where a network has no such part, or an image no object.

    Attributes:
        classes: what is in each box.
        boxes: how its edges must move.
        objectness: is there an object at each anchor.
        proposals: how the anchors' edges must move.
        masks: the masks in boxes with an object.
    """

    classes: Tensor
    boxes: Tensor
    objectness: Tensor
    proposals: Tensor
    masks: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.classes + self.boxes + self.objectness + self.proposals + self.masks


class _Detector(nn.Module):
    """What the four share: images of any sizes in, the backbone's maps, the second stage's detections out."""

    def __init__(self, backbone: Backbone, head: BoxHead, strides: check.Numbers, multiple: int):
        super().__init__()
        if not callable(backbone):
            raise ValueError(f"backbone must be a module or function, got {check.what(backbone)}")
        if not isinstance(head, BoxHead):
            raise ValueError(f"head must be a BoxHead, got {check.what(head)}")
        self.backbone, self.head = backbone, head
        self.strides = check.numbers([strides] if check.single(strides) else strides, "strides", empty=False, above=0)
        self.multiple = check.whole(multiple, "multiple", low=1)

    def batch(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """The images as one tensor, padded with zeros at the right and below, and their own sizes."""
        if isinstance(images, Tensor):
            images = list(check.tensor(images, "images", "(B, C, H, W)", kind="floating-point"))
        if not len(images):
            raise ValueError("images must hold at least one image, got none")
        for place, image in enumerate(images):
            check.tensor(image, f"images[{place}]", f"({images[0].shape[0]}, H, W)", kind="floating-point")
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        high, wide = (-(-max(side) // self.multiple) * self.multiple for side in zip(*sizes))
        padded = images[0].new_zeros(len(images), images[0].shape[0], high, wide)
        for row, image in enumerate(images):
            padded[row, :, : image.shape[1], : image.shape[2]] = image
        return padded, sizes

    def features(self, padded: Tensor) -> list[Tensor]:
        """The backbone's maps, checked against the strides."""
        maps = maps_of(self.backbone(padded))
        if len(maps) != len(self.strides):
            raise ValueError(f"strides must be one for each of the backbone's {len(maps)} maps, got {self.strides}")
        return maps


class _GivenBoxes(_Detector):
    """A detector that is told where to look; how it reads a box is its own matter."""

    def pooled(self, images: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """The features of each box, (K, channels, size, size)."""
        raise NotImplementedError

    def loss(
        self,
        images: Sequence[Tensor],
        truths: Sequence[Any],
        proposals: Sequence[Tensor],
        *,
        generator: torch.Generator | None = None,
    ) -> DetectionLoss:
        """The loss of classes and edges over a sample of the proposals."""
        padded, sizes = self.batch(images)
        known = _truths(truths, sizes, self.head.classes)
        sampled = self.head.sample(_given(proposals, sizes), known, generator=generator)
        logits, offsets = self.head(self.pooled(padded, [one.boxes for one in sampled]))
        return _losses(*self.head.loss(logits, offsets, sampled, known))

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor], proposals: Sequence[Tensor]) -> list[Detections]:
        """Detections of each image."""
        padded, sizes = self.batch(images)
        boxes = _given(proposals, sizes)
        logits, offsets = self.head(self.pooled(padded, boxes))
        return self.head.detect(logits, offsets, boxes, sizes)


class RCNN(_GivenBoxes):
    """R-CNN: every box is cut out of the image, resized, and sent through the backbone by itself.

    The paper's three steps of training (fine-tuning, SVMs, ridge regression) are one here, the second stage's loss.

    Args:
        backbone: images to one feature map (of several, the last is read).
        head: what reads it; the map is averaged to its ``size``.
        crop: the size that boxes are resized to, in pixels.
        context: pixels of surroundings on each side of the *resized* box.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Girshick, Donahue, Darrell, Malik, Rich feature hierarchies, CVPR 2014 (arXiv:1311.2524), section 2 and
        appendix A.

    >>> network = RCNN(nn.Conv2d(3, 8, 3), BoxHead(8, 2, size=2, hidden=16), crop=32, context=2).eval()
    >>> len(network.detect([torch.zeros(3, 40, 50)], [torch.tensor([[0.0, 0.0, 20.0, 20.0]])]))
    1
    """

    def __init__(self, backbone: Backbone, head: BoxHead, *, crop: int = 227, context: int = 16):
        super().__init__(backbone, head, (1,), 1)
        self.crop = check.whole(crop, "crop", low=1)
        self.context = check.whole(context, "context", low=0, high=(self.crop - 1) // 2)

    def pooled(self, images: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """The features of each box, from a forward pass of its own.

        Args:
            images: (B, C, H, W).
            boxes: (K_i, 4) for each image.

        Returns:
            (K, channels, size, size), of all images' boxes, one after the other.
        """
        grow = self.context / (self.crop - 2 * self.context)
        wide = []
        for some in boxes:
            border = (some[:, 2:] - some[:, :2]) * grow
            wide.append(torch.cat((some[:, :2] - border, some[:, 2:] + border), 1))
        maps = maps_of(self.backbone(roi_align(images, wide, self.crop, sampling_ratio=2)))
        return F.adaptive_avg_pool2d(maps[-1], self.head.size)


class FastRCNN(_GivenBoxes):
    """Fast R-CNN: the backbone sees the image once; every box is cut out of its feature map.

    Args:
        backbone: images to feature maps.
        head: the second stage.
        strides: pixels of the image between two cells, one for each map, ascending.
        multiple: images are padded to multiples of this.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Girshick, Fast R-CNN, ICCV 2015 (arXiv:1504.08083).

    >>> network = FastRCNN(nn.Conv2d(3, 8, 4, stride=4), BoxHead(8, 2, hidden=16), strides=[4], multiple=4)
    >>> truth = {"boxes": torch.tensor([[4.0, 4.0, 20.0, 20.0]]), "labels": torch.tensor([1])}
    >>> loss = network.loss([torch.zeros(3, 40, 50)], [truth], [torch.tensor([[0.0, 0.0, 20.0, 20.0]])])
    >>> bool(loss.total > 0), float(loss.objectness)
    (True, 0.0)
    """

    def __init__(self, backbone: Backbone, head: BoxHead, *, strides: check.Numbers, multiple: int = 32):
        super().__init__(backbone, head, strides, multiple)

    def pooled(self, images: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """The features of each box, cut out of the image's maps.

        Args:
            images: (B, C, H, W).
            boxes: (K_i, 4) for each image.

        Returns:
            (K, channels, size, size), of all images' boxes, one after the other.
        """
        return self.head.cut(self.features(images), boxes, self.strides)


class FasterRCNN(_Detector):
    """Faster R-CNN: the boxes come from a small network on the same feature maps.

    Args:
        backbone: images to feature maps.
        regions: the first stage.
        head: the second stage.
        strides: pixels of the image between two cells, one for each map, ascending.
        cut_from: how many of the maps, from the finest, the second stage reads; None: all. (The coarsest of a
            :class:`FeaturePyramid` with ``extra`` is for proposals alone.)
        multiple: images are padded to multiples of this.

    Raises:
        ValueError: an argument that is not as described.

    References:
        Ren, He, Girshick, Sun, Faster R-CNN, NeurIPS 2015 (arXiv:1506.01497).

    >>> backbone, head = nn.Conv2d(3, 8, 4, stride=4), BoxHead(8, 2, hidden=16)
    >>> network = FasterRCNN(backbone, RegionProposals(8, sizes=[16]), head, strides=[4], multiple=4).eval()
    >>> len(network.detect([torch.zeros(3, 40, 50), torch.zeros(3, 20, 70)]))
    2
    """

    def __init__(
        self,
        backbone: Backbone,
        regions: RegionProposals,
        head: BoxHead,
        *,
        strides: check.Numbers,
        cut_from: int | None = None,
        multiple: int = 32,
    ):
        super().__init__(backbone, head, strides, multiple)
        if not isinstance(regions, RegionProposals):
            raise ValueError(f"regions must be a RegionProposals, got {check.what(regions)}")
        self.regions = regions
        self.cut_from = None if cut_from is None else check.whole(cut_from, "cut_from", low=1)

    def loss(
        self, images: Sequence[Tensor], truths: Sequence[Any], *, generator: torch.Generator | None = None
    ) -> DetectionLoss:
        """The losses of both stages, trained together.

        Args:
            images: (C, H, W) each, of any sizes.
            truths: boxes and labels of each image, as :class:`tutorial_lib.average_precision.Truths` or as a
                dictionary; an image may have none.
            generator: source of both samples; None: torch's global one.

        Returns:
            The four losses; their sum is ``total``.

        Raises:
            ValueError: truths that do not fit the images, or labels that are no classes.
        """
        return self._losses(images, truths, generator)[0]

    def _losses(self, images, truths, generator) -> tuple[DetectionLoss, list[Tensor], list[Sampled], list[dict]]:
        padded, sizes = self.batch(images)
        known = _truths(truths, sizes, self.head.classes)
        maps = self.features(padded)
        scores = self.regions(maps, strides=self.strides)
        first = self.regions.loss(scores, [truth["boxes"] for truth in known], generator=generator)
        proposals = self.regions.propose(scores, sizes).boxes
        sampled = self.head.sample(proposals, known, generator=generator)
        maps = maps[: self.cut_from]
        logits, offsets = self.head(self.head.cut(maps, [one.boxes for one in sampled], self.strides[: self.cut_from]))
        second = self.head.loss(logits, offsets, sampled, known)
        return _losses(*second, *first), maps, sampled, known

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Detections of each image, best first.

        Args:
            images: (C, H, W) each, of any sizes.

        Returns:
            Boxes, scores and labels of each image, in its own pixels; without gradient.
        """
        padded, sizes = self.batch(images)
        return self._detect(self.features(padded), sizes)

    def _detect(self, maps: list[Tensor], sizes: list[tuple[int, int]]) -> list[Detections]:
        boxes = self.regions.propose(self.regions(maps, strides=self.strides), sizes).boxes
        cut = self.head.cut(maps[: self.cut_from], boxes, self.strides[: self.cut_from])
        logits, offsets = self.head(cut)
        return self.head.detect(logits, offsets, boxes, sizes)


class MaskRCNN(FasterRCNN):
    """Mask R-CNN: Faster R-CNN, and in every box that it finds a mask.

    Args:
        backbone, regions, head, strides, cut_from, multiple: see :class:`FasterRCNN`.
        masks: the third stage.

    Raises:
        ValueError: an argument that is not as described, or truths without ``masks``.

    References:
        He, Gkioxari, Dollár, Girshick, Mask R-CNN, ICCV 2017 (arXiv:1703.06870).

    >>> parts = nn.Conv2d(3, 8, 4, stride=4), RegionProposals(8, sizes=[16]), BoxHead(8, 2, hidden=16)
    >>> network = MaskRCNN(*parts, MaskHead(8, 2, hidden=[8]), strides=[4], multiple=4).eval()
    >>> network.detect([torch.zeros(3, 40, 50)])[0].masks.shape[1:]
    torch.Size([40, 50])
    """

    def __init__(
        self,
        backbone: Backbone,
        regions: RegionProposals,
        head: BoxHead,
        masks: MaskHead,
        *,
        strides: check.Numbers,
        cut_from: int | None = None,
        multiple: int = 32,
    ):
        super().__init__(backbone, regions, head, strides=strides, cut_from=cut_from, multiple=multiple)
        if not isinstance(masks, MaskHead) or masks.classes != head.classes:
            raise ValueError(f"masks must be a MaskHead of {head.classes} classes, got {check.what(masks)}")
        self.masks = masks

    def loss(
        self, images: Sequence[Tensor], truths: Sequence[Any], *, generator: torch.Generator | None = None
    ) -> DetectionLoss:
        """The losses of all three stages; masks are learned in the boxes with an object.

        Args:
            images: (C, H, W) each, of any sizes.
            truths: boxes and labels of each image, as :class:`tutorial_lib.average_precision.Truths` or as a
                dictionary, with ``masks`` (G, H, W).
            generator: source of both samples; None: torch's global one.

        Returns:
            The five losses; their sum is ``total``.

        Raises:
            ValueError: as :meth:`FasterRCNN.loss`; truths without masks.
        """
        losses, maps, sampled, known = self._losses(images, truths, generator)
        for place, truth in enumerate(known):
            if truth.get("masks") is None:
                raise ValueError(f"truths[{place}] must have masks")
        with_object = [Sampled(*(part[one.labels < self.head.classes] for part in one)) for one in sampled]
        cut = self.masks.cut(maps, [one.boxes for one in with_object], self.strides[: self.cut_from])
        return losses._replace(masks=self.masks.loss(self.masks(cut), with_object, known))

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor], *, rule: str = "exact") -> list[Detections]:
        """Detections of each image with their masks.

        Args:
            images: (C, H, W) each, of any sizes.
            rule: how a mask comes into the image, as in :func:`paste_masks`.

        Returns:
            As :meth:`FasterRCNN.detect`, with ``masks`` (K, H, W).
        """
        padded, sizes = self.batch(images)
        maps = self.features(padded)
        found = self._detect(maps, sizes)
        cut = self.masks.cut(maps[: self.cut_from], [one.boxes for one in found], self.strides[: self.cut_from])
        labels = torch.cat([one.labels for one in found])
        own = self.masks(cut)[torch.arange(len(labels), device=labels.device), labels].sigmoid()
        return [
            one._replace(masks=paste_masks(part, one.boxes, size, rule=rule))
            for one, part, size in zip(found, own.split([len(one.boxes) for one in found]), sizes)
        ]


def _losses(classes: Tensor, boxes: Tensor, *first: Tensor) -> DetectionLoss:
    none = classes.detach() * 0
    objectness, proposals = first or (none, none)
    return DetectionLoss(classes, boxes, objectness, proposals, none)


def _given(proposals: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    if isinstance(proposals, Tensor) or len(proposals) != len(sizes):
        raise ValueError(f"proposals must be a list of one tensor (K, 4) an image, {len(sizes)}, got {len(proposals)}")
    for place, some in enumerate(proposals):
        check.boxes(some, f"proposals[{place}]", "(K, 4)")
        check.every_row(some.isfinite(), f"proposals[{place}] must be finite", some)
        expected = f"proposals[{place}] must have x1 <= x2 and y1 <= y2 (are they x, y, width, height?)"
        check.every_row(some[:, 2:] >= some[:, :2], expected, some)
    return list(proposals)


def _truths(truths: Sequence[Any], sizes: Sequence[tuple[int, int]], classes: int) -> list[dict]:
    """Boxes and labels of each image as a dictionary, checked."""
    if len(truths) != len(sizes):
        raise ValueError(f"truths must be one entry an image, {len(sizes)}, got {len(truths)}")
    known = []
    for place, truth in enumerate(truths):
        entry = dict(truth._asdict() if hasattr(truth, "_asdict") else truth)
        name = f"truths[{place}]"
        boxes = check.objects(entry.get("boxes"), f"{name} boxes")
        labels = check.tensor(entry.get("labels"), f"{name} labels", f"({len(boxes)},)", kind="whole")
        if len(labels) and not (0 <= int(labels.min()) and int(labels.max()) < classes):
            low, high = int(labels.min()), int(labels.max())
            raise ValueError(f"{name} labels must be classes from 0 to {classes - 1}, got {low if low < 0 else high}")
        if entry.get("masks") is not None:
            check.tensor(
                entry["masks"], f"{name} masks", f"({len(boxes)}, {sizes[place][0]}, {sizes[place][1]})", kind="any"
            )
        known.append({**entry, "boxes": boxes, "labels": labels})
    return known
