r"""Average precision: how well a detector ranks what it finds, by COCO's rule or one of PASCAL VOC's two.

A detection is a box (or mask) with a score and a class. In the order of falling scores each is right, if it overlaps an
object of its class that is still free, or wrong. Precision against recall over that order is a curve; its average is
the AP. What the rules differ in:

============  =================  ================================  ==============================================
``rule``      overlap            a detection looks at              average of the curve
============  =================  ================================  ==============================================
``"coco"``    IoU ≥ .5, … .95    the best object still free        101 recalls, highest precision from there on
``"voc"``     IoU ≥ .5           its best object, free or not      area under the falling envelope
``"voc07"``   IoU ≥ .5           its best object, free or not      11 recalls, highest precision from there on
============  =================  ================================  ==============================================

Boxes are (x1, y1, x2, y2), continuous: a box from 10 to 20 is 10 wide. (The PASCAL VOC code counts pixels, 11; there
and in its Python copies the overlap has other digits.) Used in chapter 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from . import _arguments as check
from ._kernels.matching import match_all

__all__ = ["AveragePrecision", "Detections", "Truths", "average_precision"]

#: COCO's areas in square pixels, closed at both ends.
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_COCO_IOU = np.linspace(0.5, 0.95, 10)
_COCO_RECALLS = np.linspace(0.0, 1.0, 101)
_VOC_RECALLS = np.arange(11) / 10


class Detections(NamedTuple):
    """What a detector found in one image.

    Attributes:
        boxes: (K, 4), as (x1, y1, x2, y2).
        scores: (K,), the larger the surer.
        labels: (K,) whole numbers, the classes.
        masks: (K, H, W), or None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None


class Truths(NamedTuple):
    """The objects of one image, and what may be known of them besides.

    Attributes:
        boxes: (G, 4), as (x1, y1, x2, y2).
        labels: (G,) whole numbers, the classes.
        masks: (G, H, W), or None.
        crowd: (G,), True for a region of many objects.
        difficult: (G,), True where it is neither right nor wrong to find the object.
        area: (G,), in square pixels; by default the box's or the mask's.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None
    crowd: Tensor | None = None
    difficult: Tensor | None = None
    area: Tensor | None = None


@dataclass(frozen=True)
class AveragePrecision:
    """What :func:`average_precision` answers; nan where there is no object to be found.

    Attributes:
        ap: mean over classes with objects, and over the IoU thresholds.
        ap50: at IoU 0.5 alone; nan where that is none of the thresholds.
        ap75: at IoU 0.75.
        small: over objects up to 32² square pixels.
        medium: from 32² to 96².
        large: from 96² on.
        recall: the largest recall, mean over classes and thresholds.
        classes: the classes that occur, ascending.
        per_class: ``ap`` of each of them; nan where only detections have it.
        thresholds: the IoU thresholds.
        curves: by class, a :class:`Curve` at the first threshold.
    """

    ap: float
    ap50: float
    ap75: float
    small: float
    medium: float
    large: float
    recall: float
    classes: tuple[int, ...]
    per_class: dict[int, float]
    thresholds: tuple[float, ...]
    curves: "dict[int, Curve]" = field(repr=False)


class Curve(NamedTuple):
    """Recall and precision after each detection of a class, and its score; (K,) each, by falling score."""

    recall: np.ndarray
    precision: np.ndarray
    score: np.ndarray


def average_precision(
    detections: Sequence[Detections | Mapping[str, Any]],
    truths: Sequence[Truths | Mapping[str, Any]],
    *,
    rule: str = "coco",
    iou: check.Numbers | None = None,
    max_detections: int = 100,
    kind: str = "boxes",
) -> AveragePrecision:
    r"""Average precision over a set of images.

    With the detections of a class in the order of falling scores, of which :math:`t_k` of the first k are right, and n
    objects, precision and recall are :math:`p_k = t_k / k` and :math:`r_k = t_k / n`. COCO's average is

    .. math:: AP = \frac{1}{101} \sum_{r \in \{0, .01, …, 1\}} \max_{k: r_k \ge r} p_k

    at each IoU threshold, with 0 where no recall is so high, and then the mean over thresholds and over classes that
    have objects. It equals pycocotools' numbers. What is neither right nor wrong (found crowds and difficult objects;
    in ``small``, ``medium`` and ``large`` also objects and lone detections of another area) is left out. A crowd's
    overlap is the share of the detection inside it, and it may be found many times.

    Args:
        detections: one an image: :class:`Detections`, or a mapping with those names.
        truths: one an image, in the same order: :class:`Truths`, or a mapping with those names.
        rule: ``"coco"``, ``"voc"`` (all points) or ``"voc07"`` (11 points).
        iou: thresholds, by default .5, .55, …, .95 for COCO and .5 for VOC.
        max_detections: of each image and class, those with the highest scores; COCO's rule only.
        kind: ``"boxes"``, or ``"masks"``: overlap and area of masks.

    Returns:
        :class:`AveragePrecision`.

    Raises:
        ValueError: lists of different length, shapes that do not fit, boxes with x2 < x1 (are they x, y, width,
            height?), scores or boxes that are not finite, a threshold outside (0, 1].

    References:
        Lin et al., Microsoft COCO, ECCV 2014 (arXiv:1405.0312), and its evaluation code; Everingham et al., The PASCAL
        Visual Object Classes Challenge, IJCV 2010.

    >>> import torch
    >>> truth = {"boxes": torch.tensor([[214.0, 41, 562, 285]]), "labels": torch.tensor([4])}
    >>> found = {"boxes": torch.tensor([[258.0, 41, 606, 285]]), "scores": torch.tensor([0.2]), "labels": [4]}
    >>> answer = average_precision([found], [truth])
    >>> round(answer.ap, 4), answer.ap50, answer.curves[4].recall.tolist()
    (0.6, 1.0, [1.0])
    """
    rule = check.choice(rule, "rule", ("coco", "voc", "voc07"))
    kind = check.choice(kind, "kind", ("boxes", "masks"))
    limit = check.whole(max_detections, "max_detections", low=1)
    default = _COCO_IOU if rule == "coco" else (0.5,)
    given = default if iou is None else check.numbers(iou, "iou", length=None, broadcast=False, empty=False, high=1)
    if min(given) <= 0:
        raise ValueError(f"iou must be above 0, got {min(given):g}")
    thresholds = np.asarray(given, dtype=np.float64)
    if len(detections) != len(truths):
        raise ValueError(
            f"detections and truths must have one entry an image each, got {len(detections)} and {len(truths)}"
        )
    images = [_image(found, known, place, kind) for place, (found, known) in enumerate(zip(detections, truths))]
    classes = sorted({int(label) for image in images for label in (*image.det_labels, *image.gt_labels)})
    ranges = AREAS if rule == "coco" else {"all": AREAS["all"]}
    table: dict[str, list] = {name: [] for name in ranges}
    recalls, curves = [], {}
    for label in classes:
        groups = [image.of(label, limit if rule == "coco" else None) for image in images]
        groups = [group for group in groups if group is not None]
        score, right, ignored, objects = match_all(groups, thresholds, list(ranges.values()), first_only=rule != "coco")
        for place, name in enumerate(ranges):
            rows = [
                _average(right[:, place, step], ignored[:, place, step], int(objects[place]), rule)
                for step in range(len(thresholds))
            ]
            table[name].append([average for average, _ in rows])
            if name == "all":
                recalls.append([recall for _, recall in rows])
        curves[label] = _curve(score, right[:, 0, 0], ignored[:, 0, 0], int(objects[0]))
    every = np.array(table["all"], dtype=np.float64).reshape(-1, len(thresholds))
    return AveragePrecision(
        ap=_mean(every),
        ap50=_at(every, thresholds, 0.5),
        ap75=_at(every, thresholds, 0.75),
        **{name: _mean(np.array(table.get(name, []), dtype=np.float64)) for name in ("small", "medium", "large")},
        recall=_mean(np.array(recalls, dtype=np.float64)),
        classes=tuple(classes),
        per_class={label: float(row.mean()) for label, row in zip(classes, every)},
        thresholds=tuple(thresholds.tolist()),
        curves=curves,
    )


# --- From the order of right and wrong to a number ------------------------------------------------------------------


def _average(right: np.ndarray, ignored: np.ndarray, objects: int, rule: str) -> tuple[float, float]:
    """AP and largest recall of one class at one threshold; nan, nan without objects."""
    if not objects:
        return np.nan, np.nan
    recall, precision = _points(right[~ignored], objects)
    if not len(recall):
        return 0.0, 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # the highest precision from each recall on
    if rule == "voc":
        steps = np.diff(np.concatenate(([0.0], recall)))
        return float((steps * envelope).sum()), float(recall[-1])
    wanted = _COCO_RECALLS if rule == "coco" else _VOC_RECALLS
    at = np.searchsorted(recall, wanted, side="left")
    return float(np.append(envelope, 0.0)[at].sum() / len(wanted)), float(recall[-1])


def _points(right: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    hits = np.cumsum(right, dtype=np.float64)
    return hits / objects, hits / np.arange(1, len(right) + 1)


def _curve(score: np.ndarray, right: np.ndarray, ignored: np.ndarray, objects: int) -> Curve:
    recall, precision = _points(right[~ignored], objects or 1)
    return Curve(recall if objects else np.full_like(recall, np.nan), precision, score[~ignored])


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _at(values: np.ndarray, thresholds: np.ndarray, wanted: float) -> float:
    place = np.flatnonzero(np.isclose(thresholds, wanted, rtol=0, atol=1e-9))
    return _mean(values[:, place[0]]) if len(place) else np.nan


# --- Arguments ------------------------------------------------------------------------------------------------------


class Group(NamedTuple):
    """One image's detections and objects of one class, ready to be matched.

    ``iou`` (D, G), ``scores`` (D,) falling, ``det_area`` (D,), ``gt_area`` (G,), ``ignore`` (G,), ``crowd`` (G,).
    """

    iou: np.ndarray
    scores: np.ndarray
    det_area: np.ndarray
    gt_area: np.ndarray
    ignore: np.ndarray
    crowd: np.ndarray


class _Image(NamedTuple):
    det: np.ndarray
    scores: np.ndarray
    det_labels: np.ndarray
    det_area: np.ndarray
    gt: np.ndarray
    gt_labels: np.ndarray
    gt_area: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray

    def of(self, label: int, limit: int | None) -> Group | None:
        """What the image holds of a class; None where that is nothing."""
        mine, objects = np.flatnonzero(self.det_labels == label), np.flatnonzero(self.gt_labels == label)
        if not len(mine) and not len(objects):
            return None
        mine = mine[np.argsort(-self.scores[mine], kind="stable")][:limit]
        crowd = self.crowd[objects]
        det, gt = self.det[mine], self.gt[objects]
        overlap = (_box_overlap if det.ndim == 2 and det.shape[1] == 4 and det.dtype != bool else _mask_overlap)(
            det, gt, crowd
        )
        return Group(
            overlap, self.scores[mine], self.det_area[mine], self.gt_area[objects],
            crowd | self.difficult[objects], crowd,
        )  # fmt: skip


def _box_overlap(det: np.ndarray, gt: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU (D, G); of a crowd, the share of the detection inside it."""
    size = np.minimum(det[:, None, 2:], gt[:, 2:]) - np.maximum(det[:, None, :2], gt[:, :2])
    shared = size.clip(min=0).prod(-1)
    own = (det[:, 2:] - det[:, :2]).prod(-1)[:, None]
    return _ratio(shared, own, (gt[:, 2:] - gt[:, :2]).prod(-1), crowd)


def _mask_overlap(det: np.ndarray, gt: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    first, second = det.astype(np.float64), gt.astype(np.float64)  # (D, pixels), (G, pixels)
    return _ratio(first @ second.T, first.sum(1)[:, None], second.sum(1), crowd)


def _ratio(shared: np.ndarray, own: np.ndarray, other: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    union = np.where(crowd, own, own + other - shared)
    return shared / np.where(union > 0, union, 1)


def _image(found: Any, known: Any, place: int, kind: str) -> _Image:
    found, known = _named(found, "detections", place, Detections), _named(known, "truths", place, Truths)
    det, gt = _corners(found, f"detections[{place}]"), _corners(known, f"truths[{place}]")
    scores = _column(found, "scores", len(det), f"detections[{place}]").astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(f"detections[{place}] scores must be finite, got {scores.tolist()}")
    labels = [
        check.labels(_column(one, "labels", number, name), f"{name} labels").astype(np.int64)
        if number
        else np.zeros(0, np.int64)  # an empty list has no type
        for one, number, name in ((found, len(det), f"detections[{place}]"), (known, len(gt), f"truths[{place}]"))
    ]
    det_area, gt_area = ((boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (det, gt))
    shapes: list[np.ndarray] = [det, gt]
    if kind == "masks":
        shapes = _masks(found, known, (len(det), len(gt)), place)
        det_area, gt_area = (mask.sum(1).astype(np.float64) for mask in shapes)
    if known.get("area") is not None:
        gt_area = _column(known, "area", len(gt), f"truths[{place}]").astype(np.float64)
    flags = [
        _column(known, name, len(gt), f"truths[{place}]").astype(bool)
        if known.get(name) is not None
        else np.zeros(len(gt), bool)
        for name in ("difficult", "crowd")
    ]
    return _Image(shapes[0], scores, labels[0], det_area, shapes[1], labels[1], gt_area, *flags)


def _named(value: Any, name: str, place: int, form: type) -> dict[str, Any]:
    """The entry as a dictionary; a plain tuple could hold anything, and is refused."""
    names = form._fields  # type: ignore[attr-defined]
    if isinstance(value, form):
        return dict(zip(names, value))  # type: ignore[call-overload]
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}[{place}] must be {form.__name__} or a mapping, got {check.what(value)}")
    needed = ("boxes", "scores", "labels") if form is Detections else ("boxes", "labels")
    for key in needed:
        if value.get(key) is None:
            raise ValueError(f"{name}[{place}] must have {check.listed(needed)}, got {check.listed(map(str, value))}")
    return {key: value.get(key) for key in names}


def _corners(entry: dict[str, Any], name: str) -> np.ndarray:
    boxes = _array(entry["boxes"], f"{name} boxes")
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} boxes must be (K, 4), got {check.what(boxes)}")
    boxes = boxes.astype(np.float64)
    if not np.isfinite(boxes).all():
        raise ValueError(f"{name} boxes must be finite, got {boxes[~np.isfinite(boxes).all(1)][0].tolist()}")
    turned = (boxes[:, 2:] < boxes[:, :2]).any(1)
    if turned.any():
        raise ValueError(
            f"{name} boxes must be (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, got {boxes[turned][0].tolist()} "
            "(are they x, y, width, height?)"
        )
    return boxes


def _column(entry: dict[str, Any], key: str, length: int, name: str) -> np.ndarray:
    values = _array(entry[key], f"{name} {key}")
    if values.shape != (length,) and not (values.size == 0 and length == 0):
        raise ValueError(f"{name} {key} must be ({length},), one a box, got {check.what(values)}")
    return values.reshape(length)


def _masks(found: dict, known: dict, counts: tuple[int, int], place: int) -> list[np.ndarray]:
    parts, sizes = [], set()
    for entry, count, name in zip((found, known), counts, ("detections", "truths")):
        if entry.get("masks") is None:
            raise ValueError(f"{name}[{place}] must have masks, since kind is 'masks'")
        mask = check.mask(entry["masks"], f"{name}[{place}] masks")
        if mask.ndim != 3 or len(mask) != count:
            raise ValueError(f"{name}[{place}] masks must be ({count}, H, W), got {check.what(mask)}")
        if count:
            sizes.add(mask.shape[1:])
        parts.append(mask.reshape(count, -1) if count else np.zeros((0, 0), bool))
    if len(sizes) > 1:
        raise ValueError(f"masks of image {place} must have one size, got {sorted(sizes)}")
    pixels = max(part.shape[1] for part in parts)
    return [part if len(part) else np.zeros((0, pixels), bool) for part in parts]


def _array(value: Any, name: str) -> np.ndarray:
    found = check.array(value, name)
    if isinstance(found, np.ndarray):
        return found
    found = found.detach().cpu()
    return (found.float() if str(found.dtype) == "torch.bfloat16" else found).numpy()
