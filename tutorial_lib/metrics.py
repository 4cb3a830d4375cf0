r"""Segmentation metrics: the confusion matrix and its scores, and the distances between two surfaces.

Every function takes NumPy arrays or torch tensors and answers in the same kind, on the same device: counts in int64,
scores in float64. A score that is 0/0 is nan, never 0 and never 1: what "nothing was there" is worth, the caller says.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

from . import _arguments as check
from ._kernels.counts import count_pairs
from ._kernels.nearest import nearest, surfaces

__all__ = ["SegmentationScores", "SurfaceDistances", "confusion_matrix", "segmentation_scores", "surface_distances"]

Array = TypeVar("Array", np.ndarray, torch.Tensor)  # what comes back is of the kind that came


class SegmentationScores(NamedTuple, Generic[Array]):
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
    mcc: Array
    """(): Matthews' correlation coefficient, from -1 to 1; 0 is what a guess without a look at the pixels gets."""


class SurfaceDistances(NamedTuple, Generic[Array]):
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
    hd_directed: Array
    """Directed Hausdorff distance from the prediction to the truth: how far out its farthest voxel lies."""
    hd_directed_reverse: Array
    """Directed Hausdorff distance from the truth to the prediction: how far the farthest missed voxel lies."""
    nsd: Array | None
    """Normalised surface Dice at `tolerance`, between 0 and 1; None where no tolerance was given."""


# --- The confusion matrix --------------------------------------------------------------------------------------------


def confusion_matrix(
    pred: Array, target: Array, num_classes: int, *, ignore_index: int | None = None, normalize: str | None = None
) -> Array:
    r"""Count how often each true class was predicted as each class.

    .. math:: M_{ij} = |\{x : \text{target}(x) = i,\ \text{pred}(x) = j\}|

    Rows are the truth, columns the prediction. The matrices of a data set's parts add up to the matrix of the whole;
    normalised ones do not, so add first.

    Args:
        pred: labels 0 … C-1, any shape, any integer type (or bool, as the labels 0 and 1).
        target: true labels, the same shape and kind (NumPy or torch) as ``pred``; the integer type may differ.
        num_classes: C.
        ignore_index: pixels whose *target* is this label are left out, whatever was predicted there. It may be a label
            outside 0 … C-1 (255, -1) or one of the classes. (A NumPy masked array is refused: fill it with such a
            label.)
        normalize: ``"true"``: each row over its sum, so that the diagonal is the recall; ``"pred"``: each column over
            its sum (precision); ``"all"``: shares of all pixels; ``None``: counts. A row or column of zeros has no
            shares and is nan (scikit-learn gives 0, which reads as "always wrong").

    Returns:
        (C, C) int64, or float64 where it is normalised, on the inputs' device.

    Raises:
        ValueError: shapes, kinds or devices differ; labels are not integers; a label that is not ignored lies outside
            0 … C-1 (the message names it).

    References:
        Long, Shelhamer, Darrell, Fully Convolutional Networks for Semantic Segmentation, CVPR 2015 (arXiv:1411.4038),
        section 5 (their :math:`n_{ij}`).

    >>> confusion_matrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 255], num_classes=2, ignore_index=255)
    array([[1, 0],
           [1, 2]])
    """
    given = check.pair(pred, target)
    is_numpy = isinstance(given[0], np.ndarray)
    num_classes = check.whole(num_classes, "num_classes", low=1)
    ignore_index = None if ignore_index is None else check.whole(ignore_index, "ignore_index")
    check.choice(normalize, "normalize", ("true", "pred", "all", None))
    p, t = (_flat(_tensor(check.labels(labels, name))) for labels, name in zip(given, ("pred", "target")))

    matrix = count_pairs(p, t, num_classes, ignore_index).view(num_classes, num_classes)  # (pixels,) twice -> (C, C)
    if normalize is not None:
        matrix = matrix.to(check.double(matrix.device))
        total = matrix.sum() if normalize == "all" else matrix.sum(1 if normalize == "true" else 0, keepdim=True)
        matrix = matrix / total
    return _like(matrix, is_numpy)


def _flat(labels: torch.Tensor) -> torch.Tensor:
    """All pixels in a row, of a type that torch can compare and add."""
    return (labels.view(torch.uint8) if labels.dtype == torch.bool else labels).reshape(-1)


def segmentation_scores(matrix: Array) -> SegmentationScores[Array]:
    r"""Turn a confusion matrix into accuracies, IoU, Dice, precision, recall and Matthews' coefficient.

    With :math:`TP_i = M_{ii}`, and :math:`T_i = \sum_j M_{ij}` pixels of class i in the truth, :math:`P_i = \sum_j
    M_{ji}` in the prediction:

    .. math:: \text{pixel accuracy} = \frac{\sum_i TP_i}{\sum_i T_i}, \quad
              \text{recall}_i = \frac{TP_i}{T_i}, \quad \text{precision}_i = \frac{TP_i}{P_i}, \quad
              IoU_i = \frac{TP_i}{T_i + P_i - TP_i}, \quad
              Dice_i = F1_i = \frac{2\, TP_i}{T_i + P_i} = \frac{2\, IoU_i}{1 + IoU_i}

    Mean accuracy is the mean recall; frequency-weighted IoU is :math:`\sum_i T_i\, IoU_i / \sum_i T_i`. Matthews'
    coefficient, for any number of classes, is the correlation of the two labellings, with
    :math:`N = \sum_i T_i`:

    .. math:: MCC = \frac{N \sum_i TP_i - \sum_i T_i P_i}
              {\sqrt{\left(N^2 - \sum_i T_i^2\right) \left(N^2 - \sum_i P_i^2\right)}}

    Where the truth, or the prediction, has a single class it is 0/0 and nan (scikit-learn gives 0).

    A class that never occurs, neither in the truth nor in the prediction, scores nan and is left out of the means: it
    is neither found nor missed. A class that only the prediction has scores IoU = Dice = precision = 0 and lowers
    ``mean_iou``; its recall is nan (0/0), so it does not enter ``mean_accuracy``. A class that is never predicted has
    precision nan, but Dice = F1 = 0. A matrix of zeros scores nan throughout.

    Args:
        matrix: (C, C) counts as from :func:`confusion_matrix`, rows the truth; or (..., C, C) for a batch of matrices.

    Returns:
        :class:`SegmentationScores`, float64: per class (..., C), overall (...).

    Raises:
        ValueError: the matrix is not square, or holds negative or non-finite counts.

    References:
        Long, Shelhamer, Darrell, CVPR 2015 (arXiv:1411.4038), section 5 (pixel accuracy, mean accuracy, mean IU, f.w.
        IU); Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, Computational
        Biology and Chemistry 2004 (Matthews' coefficient for more than two classes).

    >>> scores = segmentation_scores(np.array([[50, 10], [5, 35]]))
    >>> print(round(scores.pixel_accuracy, 4), scores.iou.round(4), round(scores.mean_iou, 4), scores.dice.round(4))
    0.85 [0.7692 0.7   ] 0.7346 [0.8696 0.8235]
    """
    given = check.array(matrix, "matrix")
    if given.ndim < 2 or given.shape[-1] != given.shape[-2] or given.shape[-1] == 0:
        raise ValueError(f"matrix must be (..., C, C), got {check.what(given)}")
    counts = _tensor(given)
    counts = counts.to(check.double(counts.device))
    right = torch.isfinite(counts) & (counts >= 0)
    if not bool(right.all()):
        raise ValueError(f"matrix must hold counts, finite and at least 0, got {counts[~right][0].item():g}")

    hit = counts.diagonal(dim1=-2, dim2=-1)  # (..., C, C) -> (..., C)
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
        mcc=_matthews(hit, truth, predicted, total),
    )
    return SegmentationScores(*(_like(score, isinstance(given, np.ndarray)) for score in scores))


def _matthews(hit: torch.Tensor, truth: torch.Tensor, predicted: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """Of shares, not counts: the square of a large count has more digits than a float64."""
    hit, truth, predicted = (counts / total.unsqueeze(-1) for counts in (hit, truth, predicted))
    spread = (1 - truth.square().sum(-1)) * (1 - predicted.square().sum(-1))
    single = (truth == 1).any(-1) | (predicted == 1).any(-1)  # 1 - 1 may be left with a rounding error
    return ((hit.sum(-1) - (truth * predicted).sum(-1)) / spread.sqrt()).masked_fill(single, math.nan)


# --- Surface distances -----------------------------------------------------------------------------------------------


def surface_distances(
    pred: Array,
    target: Array,
    *,
    spacing: float | check.Numbers | None = None,
    percentile: float = 95,
    pooled: bool = True,
    tolerance: float | None = None,
    empty: str | float | tuple[str | float, str | float] = "nan",
    spatial_dims: int | None = None,
) -> SurfaceDistances[Array]:
    r"""Measure how far two masks' surfaces lie apart: HD, HD95, ASD, ASSD and surface Dice from one pass.

    The surface :math:`\partial A` of a mask is the set of its voxels that have a neighbour across a face (2-D: across
    an edge) outside the mask. Beyond the image all is outside: a mask's voxels on the image's edge are surface. With
    the lists of distances

    .. math:: D_{pt} = \{ d(p, T) : p \in \partial P \}, \quad D_{tp} = \{ d(t, P) : t \in \partial T \}, \qquad
              d(p, B) = \min_{q \in \partial B} \lVert p - q \rVert_2

    - hd :math:`= \max(D_{pt} \cup D_{tp})`; hd_directed :math:`= \max D_{pt}`; hd_directed_reverse
      :math:`= \max D_{tp}`; asd :math:`= \mathrm{mean}\, D_{pt}`; asd_reverse
      :math:`= \mathrm{mean}\, D_{tp}`; assd :math:`= \mathrm{mean}(D_{pt} \cup D_{tp})`;
    - hd95, pooled: the 95th percentile of :math:`D_{pt} \cup D_{tp}`; not pooled: the larger of the two lists'
      percentiles (linear interpolation, as ``numpy.percentile``);
    - nsd :math:`= |\{d \in D_{pt} \cup D_{tp} : d \le \tau\}|\, /\, (|\partial P| + |\partial T|)`.

    Where libraries differ. medpy and MONAI take the same surface as we do. Their HD95 differ: medpy pools
    (``pooled=True``), MONAI takes the larger directed percentile (``pooled=False``). A far island that only the
    prediction has can be above 5 % of its surface and yet not of both together: then the first hides it and the second
    shows it. ``asd`` is medpy's ``asd(pred, target)`` and MONAI's default. ``assd`` is medpy's (0.5) and MONAI's
    ``symmetric=True``; others take the mean of the two means, ``(asd + asd_reverse) / 2``. ``nsd`` counts surface
    voxels, as MONAI's surface Dice does; the surface-distance package (Nikolov et al.) places surface elements between
    the voxels and weighs each by its area, in all its scores. MONAI computes in float32, we in float64.

    Empty masks. Where one mask or both are empty no distance is defined; ``empty`` says what the distances (all but
    nsd) are then: "nan", "inf", a number (such as the image's diagonal), or "raise". One policy holds for all three
    cases (empty prediction, empty truth, both empty). A pair gives two, ``(one_empty, both_empty)``:
    ``empty=("inf", 0)`` counts a missed or invented object as infinitely wrong and a rightly empty answer as right. nsd
    keeps to its formula: 0 where one is empty, nan (0/0) where both are.

    Args:
        pred: the predicted mask, bool or 0/1 of any type, (..., H, W) or (..., D, H, W); see ``spatial_dims``.
            For class c of a label map pass ``labels == c``.
        target: the true mask, of the same shape and kind.
        spacing: size of a voxel, one number or one for each spatial axis, in the order of the axes; default 1.
        percentile: which percentile ``hd95`` is, 0 to 100.
        pooled: see above.
        tolerance: :math:`\tau` of nsd, at least 0, in the unit of ``spacing``. A distance that exceeds it by rounding
            alone counts as within.
        empty: see above.
        spatial_dims: 2 or 3: the last so many axes are space, all before them are a batch. ``None``: as many as
            ``spacing`` has numbers, or both axes of an image. An array of three axes or more may be one volume or a
            batch of images: that must be said. The rule is that of ``level_sets.signed_distance``.

    Returns:
        :class:`SurfaceDistances`; every field has the shape of the batch (one pair: a scalar), float64, and is computed
        on the CPU.

    Raises:
        ValueError: shapes or kinds differ, a mask holds other values than 0 and 1, an argument is out of its range, a
            mask is empty under ``empty="raise"``, or there are three axes or more of which neither ``spacing`` nor
            ``spatial_dims`` says which are space.

    References:
        Huttenlocher et al., Comparing Images Using the Hausdorff Distance, PAMI 1993; Taha & Hanbury, Metrics for
        evaluating 3D medical image segmentation, BMC Medical Imaging 2015; Nikolov et al., arXiv:1809.04430 (surface
        Dice).

    >>> truth = np.zeros((9, 9), bool)
    >>> truth[2:6, 2:6] = True
    >>> shifted = np.roll(truth, 1, axis=0)
    >>> result = surface_distances(shifted, truth, spacing=(3, 1), tolerance=1)
    >>> print(result.hd, round(result.asd, 3), round(result.nsd, 3))
    3.0 1.167 0.667
    """
    given, truth = check.pair(pred, target)
    dims = check.spatial_dims(spatial_dims, given, "pred", spacing, low=2, high=3)
    spacing, percentile = check.spacing(spacing, dims), check.number(percentile, "percentile", low=0, high=100)
    tolerance = None if tolerance is None else check.number(tolerance, "tolerance", low=0, finite=False)
    policy, p, t = _empty_policy(empty), check.mask(given, "pred"), check.mask(truth, "target")

    batch, space = p.shape[: p.ndim - dims], p.shape[p.ndim - dims :]
    pairs = zip(*(mask.reshape(math.prod(batch), *space) for mask in (p, t)))  # (..., *space) -> (B, *space)
    with ThreadPoolExecutor(2) as pool:
        # The tree and the transform release Python's lock: in a large volume the two directions run side by side.
        both_ways = pool.map if torch.get_num_threads() > 1 and math.prod(space) >= 2**17 else map
        rows = [_measure(a, b, spacing, percentile, pooled, tolerance, policy, both_ways) for a, b in pairs]
    table = np.array(rows, dtype=np.float64).reshape(*batch, len(SurfaceDistances._fields))
    fields: list[Any] = [np.array(table[..., i])[()] for i in range(table.shape[-1])]
    if isinstance(given, torch.Tensor):
        fields = [torch.as_tensor(field).to(given.device, check.double(given.device)) for field in fields]
    *distances, nsd = fields
    return SurfaceDistances._make([*distances, None if tolerance is None else nsd])


def _measure(pred, target, spacing, percentile, pooled, tolerance, policy, both_ways) -> tuple[float, ...]:
    """The fields of ``SurfaceDistances`` for one pair of masks (nsd nan where no tolerance was given)."""
    missing = [name for name, mask in (("pred", pred), ("target", target)) if not mask.any()]
    if missing:
        value = policy[len(missing) - 1]
        if value is None:
            raise ValueError(f"{' and '.join(missing)} empty: no surface, so no distance (empty='raise')")
        return (value,) * 7 + (0.0 if len(missing) == 1 else math.nan,)

    p, t = surfaces(pred, target)
    there, back = both_ways(lambda pair: nearest(pair[0], pair[1], spacing), [(p, t), (t, p)])
    pool = np.concatenate([there, back])
    hd95 = np.percentile(pool, percentile) if pooled else max(np.percentile(d, percentile) for d in (there, back))
    # 3 steps of 0.1 are 0.30000000000000004: they must lie within a tolerance of 0.3.
    nsd = math.nan if tolerance is None else np.mean(pool <= tolerance * (1 + 1e-9))
    return pool.max(), hd95, there.mean(), back.mean(), pool.mean(), there.max(), back.max(), nsd


# --- Arguments in, results out --------------------------------------------------------------------------------------


def _tensor(array: np.ndarray | torch.Tensor) -> torch.Tensor:
    """As a tensor, sharing memory where it can, of a type that torch computes with."""
    if isinstance(array, torch.Tensor):
        unsigned = array.dtype in (torch.uint16, torch.uint32, torch.uint64)  # torch has few operations on these
        return array.detach().to(torch.int64) if unsigned else array.detach()
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"labels and counts must be below 2^63, got {array.max()}")
        array = array.astype(np.int64)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return torch.from_numpy(np.require(array, None, ["C", "W"]))  # torch takes only writeable memory, not reversed


def _empty_policy(empty) -> list[float | None]:
    """What one empty mask gives, and what two give; None raises."""
    one = isinstance(empty, str) or check.single(empty) or not hasattr(empty, "__len__")
    pair = (empty, empty) if one else tuple(empty)
    if len(pair) != 2 or any(isinstance(value, str) and value not in ("nan", "inf", "raise") for value in pair):
        raise ValueError(f"empty must be {_POLICIES}, or a pair of these (one mask empty, both empty), got {empty!r}")
    named = {"nan": math.nan, "inf": math.inf, "raise": None}
    return [
        named[value] if isinstance(value, str) else check.number(value, "empty", low=0, finite=False) for value in pair
    ]


_POLICIES = '"nan", "inf", "raise", a number of at least 0'


def _like(tensor: torch.Tensor, is_numpy: bool) -> Any:
    return tensor.numpy()[()] if is_numpy else tensor
