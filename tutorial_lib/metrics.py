"""Segmentation metrics: the confusion matrix and its scores, and the distances between two surfaces.

Every function takes NumPy arrays or torch tensors and answers in the same kind, on the same device: counts in int64,
scores in float64. A score that is 0/0 is nan, never 0 and never 1: what "nothing was there" is worth, the caller says.
"""

import math
import operator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

__all__ = ["SegmentationScores", "SurfaceDistances", "confusion_matrix", "segmentation_scores", "surface_distances"]

Array = np.ndarray | torch.Tensor


class SegmentationScores(NamedTuple):
    """What `segmentation_scores` returns; shapes are those for one (C, C) matrix."""

    pixel_accuracy: Array
    """(): share of pixels that are right."""
    mean_accuracy: Array
    """(): mean of `recall` over the classes that occur in the truth."""
    iou: Array
    """(C,): intersection over union, also called the Jaccard index."""
    mean_iou: Array
    """(): mean of `iou` over the classes that occur in the truth or in the prediction."""
    fw_iou: Array
    """(): mean of `iou` weighted by how often each class occurs in the truth."""
    dice: Array
    """(C,): twice the intersection over the sum of both sizes."""
    precision: Array
    """(C,): share of the pixels predicted as the class that are right."""
    recall: Array
    """(C,): share of the class's pixels that were found; a class's accuracy."""
    f1: Array
    """(C,): harmonic mean of precision and recall; for labels it is the same number as `dice`."""


class SurfaceDistances(NamedTuple):
    """What `surface_distances` returns: one number a pair of masks, in the unit of `spacing`."""

    hd: Array
    """Hausdorff distance: the largest distance in either direction."""
    hd95: Array
    """The `percentile` (95 by default) of the distances; see `pooled`."""
    asd: Array
    """Average surface distance from the prediction to the truth."""
    asd_reverse: Array
    """Average surface distance from the truth to the prediction."""
    assd: Array
    """Average symmetric surface distance: the mean over the distances of both directions, pooled."""
    nsd: Array | None
    """Normalised surface Dice at `tolerance`, between 0 and 1; None where no tolerance was given."""


# ---------------------------------------------------------------------------------------- the confusion matrix

# Pixels counted at a time on a CPU: the temporaries stay in cache, and a step is still long enough for torch's own
# threads. Measured from 2^15 to 2^21; beyond 2^17 new memory for the temporaries costs more than the counting.
_STEP = 1 << 16


def confusion_matrix(pred: Array, target: Array, num_classes: int, *, ignore_index: int | None = None) -> Array:
    r"""Count how often each true class was predicted as each class.

    $M_{ij} = |\{x : \text{target}(x) = i,\ \text{pred}(x) = j\}|$: rows are the truth, columns the prediction. The
    matrices of a data set's parts add up to the matrix of the whole.

    Args:
        pred: labels 0 … C-1, any shape, any integer type (or bool, as the labels 0 and 1).
        target: true labels, the same shape and kind (NumPy or torch) as `pred`; the integer type may differ.
        num_classes: C.
        ignore_index: pixels whose *target* is this label are left out, whatever was predicted there. It may be a label
            outside 0 … C-1 (255, -1) or one of the classes.

    Returns:
        (C, C) int64, on the inputs' device.

    Raises:
        ValueError: shapes, kinds or devices differ; labels are not integers; a label that is not ignored lies outside
            0 … C-1 (the message names it).

    Reference: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
    section 5 (their $n_{ij}$).

    >>> confusion_matrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 255], num_classes=2, ignore_index=255)
    array([[1, 0],
           [1, 2]])
    """
    num_classes = _integer(num_classes, "num_classes")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if ignore_index is not None:
        ignore_index = _integer(ignore_index, "ignore_index")
    pred, target, is_numpy = _pair(pred, target)
    pred, target = _labels(pred, "pred"), _labels(target, "target")

    matrix = _count(pred, target, num_classes, ignore_index)
    return _like(matrix.view(num_classes, num_classes), is_numpy)


def _count(pred: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int | None) -> torch.Tensor:
    """The matrix of two flat label tensors, flat."""
    bins = num_classes**2
    limits = torch.iinfo(target.dtype)
    if ignore_index is not None and not limits.min <= ignore_index <= limits.max:
        ignore_index = None  # torch would wrap it: uint8 255 "equals" -1
    # A key as narrow as it may be: less memory to move, which is most of the time.
    key_type = torch.int16 if bins <= 2**15 else torch.int32 if bins <= 2**31 else torch.int64
    # One step a GPU; on a CPU small ones, but each larger than the histogram it fills.
    step = max(_STEP, 4 * bins) if pred.device.type == "cpu" else max(1, len(pred))
    counts = torch.zeros(bins, dtype=torch.int64, device=pred.device)
    for p, t in zip(pred.split(step), target.split(step)):
        if ignore_index is not None:
            keep = t != ignore_index
            p, t = p[keep], t[keep]
        if len(t) == 0:
            continue
        for labels, name in ((t, "target"), (p, "pred")):
            low, high = (int(value) for value in torch.aminmax(labels))
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"{name} holds the label {low if low < 0 else high}, outside 0 … {num_classes - 1} "
                    f"(num_classes={num_classes}); ignore_index leaves out pixels by their target label"
                )
        counts += torch.bincount(t.to(key_type).mul_(num_classes).add_(p.to(key_type)), minlength=bins)
    return counts


def segmentation_scores(matrix: Array) -> SegmentationScores:
    r"""Turn a confusion matrix into accuracies, IoU, Dice, precision and recall.

    With $TP_i = M_{ii}$, and $T_i = \sum_j M_{ij}$ pixels of class i in the truth, $P_i = \sum_j M_{ji}$ in the
    prediction:

    - pixel accuracy $\sum_i TP_i / \sum_i T_i$; recall $TP_i/T_i$; precision $TP_i/P_i$; mean accuracy = mean recall;
    - $IoU_i = TP_i/(T_i+P_i-TP_i)$; frequency-weighted IoU $\sum_i T_i\,IoU_i / \sum_i T_i$;
    - $Dice_i = F1_i = 2TP_i/(T_i+P_i) = 2\,IoU_i/(1+IoU_i)$.

    A class that never occurs, neither in the truth nor in the prediction, scores nan and is left out of the means: it
    is neither found nor missed. A class that only the prediction has scores IoU = Dice = precision = 0 and lowers
    `mean_iou`; its recall is nan (0/0), so it does not enter `mean_accuracy`. A class that is never predicted has
    precision nan, but Dice = F1 = 0. A matrix of zeros scores nan throughout.

    Args:
        matrix: (C, C) counts as from `confusion_matrix`, rows the truth; or (…, C, C) for a batch of matrices.

    Returns:
        `SegmentationScores`, float64: per class (…, C), overall (…).

    Raises:
        ValueError: the matrix is not square, or holds negative or non-finite counts.

    Reference: Long, Shelhamer, Darrell, CVPR 2015, section 5 (pixel accuracy, mean accuracy, mean IU, f.w. IU).

    >>> scores = segmentation_scores(np.array([[50, 10], [5, 35]]))
    >>> print(round(scores.pixel_accuracy, 4), scores.iou.round(4), round(scores.mean_iou, 4), scores.dice.round(4))
    0.85 [0.7692 0.7   ] 0.7346 [0.8696 0.8235]
    """
    counts, is_numpy = _tensor(matrix, "matrix")
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2] or counts.shape[-1] == 0:
        raise ValueError(f"matrix must have shape (..., C, C), got {tuple(counts.shape)}")
    if counts.is_complex():
        raise ValueError(f"matrix must hold real counts, got {counts.dtype}")
    counts = counts.to(_float(counts.device))
    if not bool((torch.isfinite(counts) & (counts >= 0)).all()):
        raise ValueError("matrix must hold counts: finite and not negative")

    hit = counts.diagonal(dim1=-2, dim2=-1)
    truth, predicted = counts.sum(-1), counts.sum(-2)
    total = truth.sum(-1)
    iou = hit / (truth + predicted - hit)
    dice = 2 * hit / (truth + predicted)
    recall = hit / truth
    scores = SegmentationScores(
        pixel_accuracy=hit.sum(-1) / total,
        mean_accuracy=recall.nanmean(-1),
        iou=iou,
        mean_iou=iou.nanmean(-1),
        fw_iou=(truth * iou.nan_to_num(0.0)).sum(-1) / total,
        dice=dice,
        precision=hit / predicted,
        recall=recall,
        f1=dice.clone(),
    )
    return SegmentationScores(*(_like(score, is_numpy) for score in scores))


# ---------------------------------------------------------------------------------------- surface distances


def surface_distances(
    pred: Array,
    target: Array,
    *,
    spacing: float | Sequence[float] | None = None,
    percentile: float = 95,
    pooled: bool = True,
    tolerance: float | None = None,
    empty: str | float | tuple[str | float, str | float] = "nan",
    spatial_dims: int | None = None,
) -> SurfaceDistances:
    r"""Measure how far two masks' surfaces lie apart: HD, HD95, ASD, ASSD and surface Dice from one pass.

    The surface $\partial A$ of a mask is the set of its voxels that have a neighbour across a face (2-D: across an
    edge) outside the mask. Beyond the image all is outside: a mask's voxels on the image's edge are surface. With
    $d(p, B) = \min_{q\in\partial B}\|p-q\|_2$ and the lists $D_{pt} = \{d(p, T): p\in\partial P\}$, likewise $D_{tp}$:

    - hd $= \max(D_{pt}\cup D_{tp})$; asd $= \mathrm{mean}\,D_{pt}$; asd_reverse $= \mathrm{mean}\,D_{tp}$;
      assd $= \mathrm{mean}(D_{pt}\cup D_{tp})$;
    - hd95, pooled: the 95th percentile of $D_{pt}\cup D_{tp}$; not pooled: the larger of the two lists' percentiles
      (linear interpolation, as `numpy.percentile`);
    - nsd $= |\{d\in D_{pt}\cup D_{tp}: d\le\tau\}|\,/\,(|\partial P|+|\partial T|)$.

    Where libraries differ. medpy and MONAI take the same surface as we do. Their HD95 differ: medpy pools
    (`pooled=True`), MONAI takes the larger directed percentile (`pooled=False`). A far island that only the
    prediction has can be above 5 % of its surface and yet not of both together: then the first hides it and the second
    shows it. `asd` is medpy's `asd(pred, target)` and MONAI's default. `assd` is medpy's (0.5) and MONAI's
    `symmetric=True`; others take the mean of the two means, `(asd + asd_reverse) / 2`. `nsd` counts surface voxels, as
    MONAI's surface Dice does; the surface-distance package (Nikolov et al.) places surface elements between the voxels
    and weighs each by its area, in all its scores. MONAI computes in float32, we in float64.

    Empty masks. Where one mask or both are empty no distance is defined; `empty` says what the distances (all but nsd)
    are then: "nan", "inf", a number (such as the image's diagonal), or "raise". One policy holds for all three cases
    (empty prediction, empty truth, both empty). A pair gives two, `(one_empty, both_empty)`: `empty=("inf", 0)` counts
    a missed or invented object as infinitely wrong and a rightly empty answer as right. nsd keeps to its formula: 0
    where one is empty, nan (0/0) where both are.

    Args:
        pred: the predicted mask, bool or 0/1 of any type, (…, H, W) or (…, D, H, W); see `spatial_dims`.
            For class c of a label map pass `labels == c`.
        target: the true mask, of the same shape and kind.
        spacing: size of a voxel, one number or one for each spatial axis, in the order of the axes; default 1.
        percentile: which percentile `hd95` is, 0 to 100.
        pooled: see above.
        tolerance: $\tau$ of nsd, at least 0, in the unit of `spacing`. A distance that exceeds it by rounding alone
            counts as within.
        empty: see above.
        spatial_dims: 2 or 3: the last so many axes are space, all before them are a batch. ``None``: as many as
            ``spacing`` has numbers, otherwise all of them up to three. So ``(D, H, W)`` is one volume; for a batch of
            images say ``spatial_dims=2``. The rule is that of ``level_sets.signed_distance``.

    Returns:
        `SurfaceDistances`; every field has the shape of the batch (one pair: a scalar), float64, and is computed on the
        CPU.

    Raises:
        ValueError: shapes or kinds differ, a mask holds other values than 0 and 1, an argument is out of its range, or
            a mask is empty under `empty="raise"`.

    References: Huttenlocher et al., "Comparing Images Using the Hausdorff Distance", PAMI 1993; Taha and Hanbury,
    "Metrics for evaluating 3D medical image segmentation", BMC Medical Imaging 2015; Nikolov et al., arXiv 1809.04430
    (surface Dice).

    >>> truth = np.zeros((9, 9), bool)
    >>> truth[2:6, 2:6] = True
    >>> shifted = np.roll(truth, 1, axis=0)
    >>> result = surface_distances(shifted, truth, spacing=(3, 1), tolerance=1)
    >>> print(result.hd, round(result.asd, 3), round(result.nsd, 3))
    3.0 1.167 0.667
    """
    p, t, is_numpy = _pair(pred, target)
    device = p.device
    p, t = _mask(p, "pred"), _mask(t, "target")
    if spatial_dims is not None:
        dims = _integer(spatial_dims, "spatial_dims")
    else:
        dims = np.size(spacing) if np.ndim(spacing) else min(p.ndim, 3)
    if dims not in (2, 3):
        raise ValueError(f"the space must have 2 or 3 axes, got {dims}; for a batch pass spatial_dims=2 or 3")
    if p.ndim < dims:
        raise ValueError(f"spatial_dims={dims} needs at least {dims} axes, pred has shape {p.shape}")
    spacing = _spacing(spacing, dims)
    percentile = _number(percentile, "percentile", 100)
    tolerance = None if tolerance is None else _number(tolerance, "tolerance", math.inf)
    policy = _empty_policy(empty)

    batch, space = p.shape[: p.ndim - dims], p.shape[p.ndim - dims :]
    pairs = zip(p.reshape(math.prod(batch), *space), t.reshape(math.prod(batch), *space))
    with ThreadPoolExecutor(2) as pool:
        # The tree and the transform release Python's lock: in a large volume the two directions run side by side.
        both_ways = pool.map if torch.get_num_threads() > 1 and math.prod(space) >= 2**17 else map
        rows = [_measure(a, b, spacing, percentile, pooled, tolerance, policy, both_ways) for a, b in pairs]
    table = np.array(rows, dtype=np.float64).reshape(*batch, len(SurfaceDistances._fields))
    fields = [torch.from_numpy(np.array(table[..., i])).to(device, _float(device)) for i in range(table.shape[-1])]
    fields = [_like(field, is_numpy) for field in fields]
    return SurfaceDistances(*fields[:-1], nsd=None if tolerance is None else fields[-1])


def _measure(pred, target, spacing, percentile, pooled, tolerance, policy, both_ways) -> tuple[float, ...]:
    """The fields of `SurfaceDistances` for one pair of masks (nsd nan where no tolerance was given)."""
    missing = [name for name, mask in (("pred", pred), ("target", target)) if not mask.any()]
    if missing:
        value = policy[len(missing) - 1]
        if value is None:
            raise ValueError(f"{' and '.join(missing)} empty: no surface, so no distance (empty='raise')")
        return (value,) * 5 + (0.0 if len(missing) == 1 else math.nan,)

    p, t = _surfaces(pred, target)
    there, back = both_ways(lambda pair: _nearest(*pair, spacing), [(p, t), (t, p)])
    pool = np.concatenate([there, back])
    hd95 = np.percentile(pool, percentile) if pooled else max(np.percentile(d, percentile) for d in (there, back))
    # 3 steps of 0.1 are 0.30000000000000004: they must lie within a tolerance of 0.3.
    nsd = math.nan if tolerance is None else np.mean(pool <= tolerance * (1 + 1e-9))
    return pool.max(), hd95, there.mean(), back.mean(), pool.mean(), nsd


# What decides between the ways of `_nearest`; benchmarks/bench_metrics.py measures each alone.
_REACH = 3  # voxels around a surface voxel that are looked up before anything is built
_LOOKUPS_PER_QUERY = 200  # look-ups that cost about as much as one query of a k-d tree
_VOXELS_PER_QUERY = 25  # voxels of a distance transform that cost about as much as one query


def _surfaces(*masks: np.ndarray) -> list[np.ndarray]:
    """The masks' surfaces, cropped to the box that holds all masks and padded by `_REACH` voxels of background."""
    union = np.logical_or.reduce(masks)
    box = []
    for axis in range(union.ndim):
        filled = np.flatnonzero(union.any(axis=tuple(other for other in range(union.ndim) if other != axis)))
        box.append(slice(filled[0], filled[-1] + 1))
    surfaces = []
    for mask in masks:
        mask = np.pad(mask[tuple(box)], _REACH)
        inside = mask.copy()
        for axis in range(mask.ndim):
            kept, seen = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
            kept[1:] &= seen[:-1]
            kept[:-1] &= seen[1:]
        surfaces.append(mask & ~inside)
    return surfaces


def _nearest(points: np.ndarray, surface: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distance from each voxel of `points` to the nearest voxel of `surface`, in no particular order.

    Three ways, each exact, each where it is the fastest. Most of a good prediction lies within a few voxels of the
    truth, and of noise within a few of other noise: there a look-up, nearest offset first, finds the answer. What is
    left goes to a k-d tree, whose time grows with the number of points, or, where that is very many, to a distance
    transform, whose time grows with the number of voxels.
    """
    flat, left = surface.ravel(), np.flatnonzero(points)
    found, tried = [], 0
    for distance, offsets in _shells(spacing):
        before, tried = len(left), tried + len(offsets)
        for step in offsets @ np.array(surface.strides):  # bool: a stride is a number of voxels
            hit = flat[left + step]
            count = np.count_nonzero(hit)
            if count:
                found.append(np.full(count, distance))
                left = left[~hit]
        # After the nearest neighbours, go on only while a shell finds enough to pay for itself.
        poor = (before - len(left)) * _LOOKUPS_PER_QUERY < before * len(offsets)
        if len(left) == 0 or poor and tried >= 3**surface.ndim:
            break
    if len(left):
        size = np.array(spacing)[:, None]
        here = np.array(np.unravel_index(left, surface.shape))
        if len(left) * _VOXELS_PER_QUERY < surface.size:
            there = np.array(np.nonzero(surface))
            tree = cKDTree((there * size).T, leafsize=32, balanced_tree=False, compact_nodes=False)
            found.append(tree.query((here * size).T)[0])
        else:
            inner = (slice(_REACH, -_REACH),) * surface.ndim
            there = distance_transform_edt(~surface[inner], spacing, return_distances=False, return_indices=True)
            there = there[(slice(None), *(here - _REACH))] + _REACH
            found.append(np.sqrt((((there - here) * size) ** 2).sum(0)))
    return np.concatenate(found)


@lru_cache(maxsize=64)
def _shells(spacing: tuple[float, ...]) -> list[tuple[float, np.ndarray]]:
    """(distance, offsets at that distance), nearest first; all that are nearer than any outside the box ±`_REACH`."""
    grid = np.indices((2 * _REACH + 1,) * len(spacing)).reshape(len(spacing), -1).T - _REACH
    length = np.sqrt(((grid * np.array(spacing)) ** 2).sum(1)) / min(spacing)
    grid, length = grid[length < _REACH + 1], length[length < _REACH + 1]
    level = np.round(length, 9)  # equal but for rounding: one shell
    return [(float(length[level == k][0] * min(spacing)), grid[level == k]) for k in np.unique(level)]


# ---------------------------------------------------------------------------------------- arguments in, results out


def _tensor(array, name: str) -> tuple[torch.Tensor, bool]:
    """The input as a tensor (sharing memory where it can), and whether it came as anything but a tensor."""
    if isinstance(array, torch.Tensor):
        unsigned = array.dtype in (torch.uint16, torch.uint32, torch.uint64)  # torch has few operations on these
        return (array.detach().to(torch.int64) if unsigned else array.detach()), False
    array = np.asarray(array)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold numbers, got an array of type {array.dtype}")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} holds {array.max()}, more than an int64 can")
        array = array.astype(np.int64)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    # torch takes only writeable memory, in the machine's byte order, without negative strides.
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"])), True


def _pair(pred, target) -> tuple[torch.Tensor, torch.Tensor, bool]:
    if isinstance(pred, torch.Tensor) != isinstance(target, torch.Tensor):
        raise ValueError(
            f"pred and target must both be torch tensors or both NumPy arrays, got {type(pred).__name__} and "
            f"{type(target).__name__}"
        )
    (pred, is_numpy), (target, _) = _tensor(pred, "pred"), _tensor(target, "target")
    if pred.shape != target.shape:
        raise ValueError(f"pred and target must have the same shape, got {tuple(pred.shape)} and {tuple(target.shape)}")
    if pred.device != target.device:
        raise ValueError(f"pred and target must be on the same device, got {pred.device} and {target.device}")
    return pred, target, is_numpy


def _labels(labels: torch.Tensor, name: str) -> torch.Tensor:
    """Flat, of a type that torch can compare and add."""
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{name} must hold integer labels, got {labels.dtype}; for scores take the argmax first")
    if labels.dtype == torch.bool:
        labels = labels.view(torch.uint8)
    return labels.reshape(-1)


def _mask(mask: torch.Tensor, name: str) -> np.ndarray:
    truth = mask.to(torch.bool)
    if mask.dtype != torch.bool and not bool((mask == truth).all()):
        value = mask[mask != truth].flatten()[0].item()
        raise ValueError(f"{name} must be a mask of 0 and 1, got the value {value}; for labels pass `labels == c`")
    return truth.cpu().numpy()


def _spacing(spacing, dims: int) -> tuple[float, ...]:
    if spacing is None:
        return (1.0,) * dims
    values = np.asarray(spacing)
    if values.dtype.kind not in "iuf" or values.shape not in ((), (dims,)):
        raise ValueError(f"spacing must be a number or {dims} numbers (one a spatial axis), got {spacing!r}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"spacing must be finite and above 0, got {spacing!r}")
    return tuple(np.broadcast_to(values, dims).astype(np.float64).tolist())


def _number(value, name: str, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= high:
        raise ValueError(f"{name} must be a number from 0 to {high}, got {value!r}")
    return float(value)


def _integer(value, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None


def _empty_policy(empty) -> list[float | None]:
    """What one empty mask gives, and what two give; None raises."""
    named = {"nan": math.nan, "inf": math.inf, "raise": None}
    pair = empty if isinstance(empty, (tuple, list)) else (empty, empty)
    values = [named[e] if isinstance(e, str) and e in named else e for e in pair]
    for e, value in zip(pair, values):
        number = isinstance(value, Real) and not isinstance(value, bool) and not value < 0
        if len(pair) != 2 or not (value is None and e == "raise" or number):
            raise ValueError(
                f'empty must be "nan", "inf", "raise", a number of at least 0, or a pair of these '
                f"(one mask empty, both empty), got {empty!r}"
            )
    return [None if value is None else float(value) for value in values]


def _float(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64


def _like(tensor: torch.Tensor, is_numpy: bool) -> Array:
    return tensor.numpy()[()] if is_numpy else tensor
