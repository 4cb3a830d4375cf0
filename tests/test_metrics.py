"""Metrics: known answers; MONAI, torchmetrics, scikit-learn live; medpy's and surface-distance's stored numbers."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from tutorial_lib._kernels import nearest as kernel
from tutorial_lib._kernels.counts import _STEP
from tutorial_lib.metrics import SurfaceDistances, confusion_matrix, segmentation_scores, surface_distances

VECTORS = Path(__file__).parent / "vectors"
DISTANCES = ("hd", "hd95", "asd", "asd_reverse", "assd")
few = settings(max_examples=40, deadline=None)


def island() -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((64, 64), bool)
    truth[10:30, 10:30] = True
    pred = truth.copy()
    pred[42:45, 45:48] = True
    return pred, truth


def smooth(shape, seed) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) > 0.02


# ---------------------------------------------------------------------------------------- the confusion matrix


def test_confusion_matrix_known_answer():
    target = [0] * 60 + [1] * 40
    pred = [0] * 50 + [1] * 10 + [0] * 5 + [1] * 35
    assert confusion_matrix(pred, target, 2).tolist() == [[50, 10], [5, 35]]


def test_rows_are_the_truth():
    assert confusion_matrix(np.array([2]), np.array([0]), 3).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("ignore_index", [None, 255, 3])
def test_confusion_matrix_is_scikit_learns_and_torchmetrics(ignore_index):
    from sklearn.metrics import confusion_matrix as sklearn_matrix
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    rng = np.random.default_rng(0)
    pred, target = rng.integers(0, 7, (2, 3, 50, 60))
    if ignore_index == 255:
        target[rng.random(target.shape) < 0.2] = 255
    ours = confusion_matrix(pred, target, 7, ignore_index=ignore_index)
    keep = target != ignore_index
    np.testing.assert_array_equal(ours, sklearn_matrix(target[keep], pred[keep], labels=range(7)))
    theirs = multiclass_confusion_matrix(torch.tensor(pred), torch.tensor(target), 7, ignore_index=ignore_index)
    np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("pred_type", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("target_type", ["u1", "i8", ">i4"])
def test_every_integer_type_gives_the_same_counts(pred_type, target_type):
    rng = np.random.default_rng(1)
    pred, target = rng.integers(0, 5, (2, 400))
    expected = np.zeros((5, 5), np.int64)
    np.add.at(expected, (target, pred), 1)
    ours = confusion_matrix(pred.astype(pred_type), target.astype(target_type), 5)
    assert isinstance(ours, np.ndarray) and ours.dtype == np.int64
    np.testing.assert_array_equal(ours, expected)
    if target_type != ">i4":
        tensor = confusion_matrix(torch.tensor(pred.astype(pred_type)), torch.tensor(target.astype(target_type)), 5)
        assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.int64
        np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize("num_classes", [1, 2, 21, 181, 182, 300])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_pixels_in_many_steps_and_wide_keys(num_classes, threads):
    rng = np.random.default_rng(2)
    pred, target = rng.integers(0, num_classes, (2, 4 * _STEP + 17))
    expected = np.bincount(target * num_classes + pred, minlength=num_classes**2).reshape(num_classes, num_classes)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        np.testing.assert_array_equal(confusion_matrix(pred, target, num_classes), expected)
        with pytest.raises(ValueError, match="pred holds the label -4"):
            confusion_matrix(np.r_[pred[:-1], -4], target, num_classes)
    finally:
        torch.set_num_threads(before)


def test_bool_labels_views_and_read_only_arrays():
    mask = np.array([[True, False, True], [False, True, True]])
    assert confusion_matrix(mask, ~mask, 2).tolist() == [[0, 4], [2, 0]]
    assert confusion_matrix(mask.T, mask.T, 2).tolist() == [[2, 0], [0, 4]]
    assert confusion_matrix(torch.tensor(mask).T, torch.tensor(mask).T, 2).tolist() == [[2, 0], [0, 4]]
    labels = np.arange(6)[::-1]
    labels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (confusion_matrix(labels, labels, 6) == np.eye(6)).all()


def test_no_pixels_and_all_ignored_give_zeros():
    assert confusion_matrix(np.zeros((0, 4), int), np.zeros((0, 4), int), 3).tolist() == [[0] * 3] * 3
    assert confusion_matrix([9, 9], [1, 1], 3, ignore_index=1).sum() == 0  # what was predicted there does not matter


def test_ignore_index_the_type_cannot_hold_ignores_nothing():
    target = torch.tensor([255, 0], dtype=torch.uint8)
    with pytest.raises(ValueError, match="target holds the label 255"):  # torch itself says 255 == -1 here
        confusion_matrix(torch.zeros_like(target), target, 2, ignore_index=-1)


@pytest.mark.parametrize(
    ("pred", "target", "num_classes", "extra", "message"),
    [
        ([0, 3], [0, 1], 3, {}, "pred holds the label 3, outside 0 … 2"),
        ([0, 1], [0, 255], 3, {}, "target holds the label 255"),
        ([0, 1], [0, -1], 3, {}, "target holds the label -1"),
        ([0, 255], [0, 1], 3, {"ignore_index": 255}, "pred holds the label 255"),
        ([0, 2**32], [0, 1], 3, {}, "4294967296"),
        (np.array([2**64 - 1], np.uint64), np.array([0], np.uint64), 3, {}, "18446744073709551615"),
        ([0.0, 1.0], [0, 1], 3, {}, r"pred must hold integer labels, .*, got float64 array \(2,\)"),
        ([[0, 1]], [0, 1], 3, {}, r"same shape, got \(1, 2\) and \(2,\)"),
        (torch.tensor([0]), np.array([0]), 3, {}, "both be torch"),
        (["a"], ["b"], 3, {}, "pred must hold numbers"),
        ([0], [0], 0, {}, "num_classes must be a whole number of at least 1, got 0"),
        ([0], [0], 2.5, {}, "num_classes must be a whole number of at least 1, got 2.5"),
        ([0], [0], 2, {"ignore_index": 0.5}, "ignore_index must be a whole number, got 0.5"),
    ],
)
def test_confusion_matrix_bad_input(pred, target, num_classes, extra, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(pred, target, num_classes, **extra)


def test_confusion_matrix_leaves_its_input_alone():
    pred, target = torch.randint(0, 4, (2, 1000), generator=torch.Generator().manual_seed(0))
    copies = pred.clone(), target.clone()
    confusion_matrix(pred, target, 4, ignore_index=1)
    assert torch.equal(pred, copies[0]) and torch.equal(target, copies[1])


labels = st.integers(1, 6).flatmap(
    lambda c: st.tuples(st.just(c), *[hnp.arrays(np.int64, 30, elements=st.integers(0, c - 1))] * 2)
)


@few
@given(labels, st.randoms(use_true_random=False))
def test_confusion_matrix_properties(case, random):
    num_classes, pred, target = case
    matrix = confusion_matrix(pred, target, num_classes)
    assert matrix.sum() == pred.size
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(target, minlength=num_classes))
    np.testing.assert_array_equal(matrix.T, confusion_matrix(target, pred, num_classes))  # exchanging both transposes
    cut = random.randrange(pred.size)
    parts = [confusion_matrix(pred[part], target[part], num_classes) for part in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(matrix, sum(parts))


# ---------------------------------------------------------------------------------------- the scores


def test_scores_known_answers():
    scores = segmentation_scores(np.array([[50, 10], [5, 35]]))
    assert scores.pixel_accuracy == pytest.approx(0.85, abs=1e-12)
    assert scores.mean_accuracy == pytest.approx((50 / 60 + 35 / 40) / 2, abs=1e-12)
    np.testing.assert_allclose(scores.iou, [50 / 65, 35 / 50], rtol=1e-12)
    assert scores.mean_iou == pytest.approx((50 / 65 + 0.7) / 2, abs=1e-12)
    assert scores.fw_iou == pytest.approx(0.6 * 50 / 65 + 0.4 * 0.7, abs=1e-12)
    np.testing.assert_allclose(scores.dice, [100 / 115, 70 / 85], rtol=1e-12)
    np.testing.assert_allclose(scores.precision, [50 / 55, 35 / 45], rtol=1e-12)
    np.testing.assert_allclose(scores.recall, [50 / 60, 35 / 40], rtol=1e-12)
    # The figures as they are usually printed.
    printed = (scores.mean_accuracy, scores.mean_iou, scores.fw_iou)
    assert [round(float(value), 4) for value in printed] == [0.8542, 0.7346, 0.7415]


def test_scores_are_scikit_learns():
    from sklearn import metrics as sk

    rng = np.random.default_rng(3)
    target = rng.integers(0, 5, 2000)
    pred = np.where(rng.random(2000) < 0.6, target, rng.integers(0, 5, 2000))
    scores = segmentation_scores(confusion_matrix(pred, target, 5))
    np.testing.assert_allclose(scores.iou, sk.jaccard_score(target, pred, average=None), rtol=1e-12)
    np.testing.assert_allclose(scores.mean_iou, sk.jaccard_score(target, pred, average="macro"), rtol=1e-12)
    np.testing.assert_allclose(scores.fw_iou, sk.jaccard_score(target, pred, average="weighted"), rtol=1e-12)
    np.testing.assert_allclose(scores.f1, sk.f1_score(target, pred, average=None), rtol=1e-12)
    np.testing.assert_allclose(scores.precision, sk.precision_score(target, pred, average=None), rtol=1e-12)
    np.testing.assert_allclose(scores.recall, sk.recall_score(target, pred, average=None), rtol=1e-12)
    np.testing.assert_allclose(scores.pixel_accuracy, sk.accuracy_score(target, pred), rtol=1e-12)
    np.testing.assert_allclose(scores.mean_accuracy, sk.balanced_accuracy_score(target, pred), rtol=1e-12)
    np.testing.assert_allclose(scores.mcc, sk.matthews_corrcoef(target, pred), rtol=1e-12)


def test_matthews_coefficient():
    # Two classes: (TP TN - FP FN) over the root of the four sums.
    tn, fp, fn, tp = 50, 10, 5, 35
    by_hand = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert segmentation_scores([[tn, fp], [fn, tp]]).mcc == pytest.approx(by_hand, rel=1e-12)
    assert segmentation_scores(np.diag([3, 4, 5])).mcc == pytest.approx(1, rel=1e-12)
    assert segmentation_scores([[0, 4], [4, 0]]).mcc == pytest.approx(-1, rel=1e-12)
    assert segmentation_scores([[20, 20], [3, 3]]).mcc == pytest.approx(0, abs=1e-12)  # a coin, whatever the truth
    # 99 % of the pixels right and nothing found: no correlation, where scikit-learn says 0.
    assert math.isnan(segmentation_scores([[99, 0], [1, 0]]).mcc) and math.isnan(
        segmentation_scores([[0, 0], [2, 3]]).mcc
    )
    # Counts of a whole data set: their fourth powers have more digits than a float64, their shares have not.
    large = np.array([[50, 10], [5, 35]], np.int64) * 10**15
    assert segmentation_scores(large).mcc == pytest.approx(by_hand, rel=1e-12)


def test_normalised_matrices_are_scikit_learns():
    from sklearn.metrics import confusion_matrix as theirs

    rng = np.random.default_rng(5)
    pred, target = rng.integers(0, 4, (2, 300))
    for over in ("true", "pred", "all"):
        ours = confusion_matrix(pred, target, 4, normalize=over)
        np.testing.assert_allclose(ours, theirs(target, pred, normalize=over), rtol=1e-12)
        torch.testing.assert_close(
            confusion_matrix(torch.tensor(pred), torch.tensor(target), 4, normalize=over), torch.tensor(ours)
        )
    rows = confusion_matrix([0, 0, 1], [0, 1, 1], 3, normalize="true")  # a class that is nowhere has no shares
    np.testing.assert_array_equal(rows, [[1, 0, 0], [0.5, 0.5, 0], [math.nan] * 3])
    nobody = np.zeros(0, np.int64)
    assert np.isnan(confusion_matrix(nobody, nobody, 2, normalize="all")).all()
    with pytest.raises(ValueError, match="normalize must be 'true', 'pred', 'all' or None, got 'rows'"):
        confusion_matrix([0], [0], 2, normalize="rows")


def test_a_class_that_never_occurs():
    # Class 1 is nowhere; class 2 only in the prediction; class 3 only in the truth.
    matrix = np.array([[6, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]])
    scores = segmentation_scores(matrix)
    nan = math.nan
    np.testing.assert_allclose(scores.iou, [0.6, nan, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(scores.dice, [0.75, nan, 0, 0], rtol=1e-12)
    np.testing.assert_array_equal(scores.f1, scores.dice)
    np.testing.assert_allclose(scores.precision, [0.75, nan, 0, nan], rtol=1e-12)
    np.testing.assert_allclose(scores.recall, [0.75, nan, nan, 0], rtol=1e-12)
    assert scores.mean_iou == pytest.approx(0.2)  # over three classes
    assert scores.mean_accuracy == pytest.approx(0.375)  # over two
    assert scores.fw_iou == pytest.approx(0.8 * 0.6)


def test_scores_of_nothing_are_nan_not_perfect():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = segmentation_scores(np.zeros((2, 2), np.int64))
    assert all(np.isnan(score).all() for score in scores)


def test_scores_of_a_batch_and_in_torch():
    matrices = np.random.default_rng(4).integers(0, 9, (2, 3, 4, 4))
    batch = segmentation_scores(matrices)
    tensors = segmentation_scores(torch.tensor(matrices))
    for i in np.ndindex(2, 3):
        single = segmentation_scores(matrices[i])
        for name, value in single._asdict().items():
            np.testing.assert_array_equal(getattr(batch, name)[i], value)
            assert getattr(tensors, name).dtype == torch.float64
            np.testing.assert_array_equal(getattr(tensors, name)[i].numpy(), value)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"\(..., C, C\), got float64 array \(2, 3\)"),
        (np.zeros(4), "got"),
        (np.zeros((0, 0)), "got"),
        ([[1, -1], [0, 2]], "finite and at least 0, got -1"),
        ([[1, math.nan], [0, 2]], "finite and at least 0, got nan"),
        (torch.zeros(2, 2, dtype=torch.complex64), "matrix must hold numbers, got complex64"),
    ],
)
def test_scores_bad_input(matrix, message):
    with pytest.raises(ValueError, match=message):
        segmentation_scores(matrix)


@few
@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 50)), st.permutations(range(4)))
def test_scores_properties(matrix, order):
    scores = segmentation_scores(matrix)
    renamed = segmentation_scores(matrix[np.ix_(order, order)])
    for name, value in scores._asdict().items():
        value = value[order] if np.ndim(value) else value
        # The names of classes do not matter. (A correlation near 0 is the small difference of two shares.)
        np.testing.assert_allclose(getattr(renamed, name), value, rtol=1e-12, atol=1e-13 if name == "mcc" else 0)
        least = -1 if name == "mcc" else 0
        assert np.isnan(value).all() or (least - 1e-12 <= np.nanmin(value) and np.nanmax(value) <= 1 + 1e-12)
    np.testing.assert_allclose(scores.dice, 2 * scores.iou / (1 + scores.iou), rtol=1e-12)
    swapped = segmentation_scores(matrix.T)
    np.testing.assert_array_equal(swapped.precision, scores.recall)
    np.testing.assert_allclose(swapped.iou, scores.iou, rtol=1e-12)


# ---------------------------------------------------------------------------------------- surface distances


def test_island_known_answers():
    pred, truth = island()
    pooled, directed = surface_distances(pred, truth), surface_distances(pred, truth, pooled=False)
    # By hand: 8 of the island's 9 pixels are surface, and 76 of the square's; the far corner is 15 rows and 18 columns
    # from the square's.
    steps = [(r, c) for r in (13, 14, 15) for c in (16, 17, 18) if (r, c) != (14, 17)]
    far = np.sort([math.hypot(r, c) for r, c in steps])
    assert pooled.hd == directed.hd == pytest.approx(math.hypot(15, 18), rel=1e-12)
    assert pooled.hd95 == pytest.approx(0.05 * far[0], rel=1e-9)  # rank 151.05 of 160, of which 152 are 0
    assert directed.hd95 == pytest.approx(far[2] + 0.85 * (far[3] - far[2]), rel=1e-9)  # rank 78.85 of 84
    assert pooled.asd == pytest.approx(far.sum() / 84, rel=1e-12)
    assert pooled.asd_reverse == 0
    assert pooled.assd == pytest.approx(far.sum() / 160, rel=1e-12)
    printed = (pooled.hd, pooled.hd95, directed.hd95, pooled.asd, pooled.assd)
    assert [round(float(value), 2) for value in printed] == [23.43, 1.03, 21.85, 2.10, 1.10]
    scores = segmentation_scores(confusion_matrix(pred, truth, 2))
    assert round(float(scores.dice[1]), 3) == 0.989


MEDPY = json.loads((VECTORS / "metrics_medpy.json").read_text())


@pytest.mark.parametrize("case", MEDPY, ids=lambda case: case["name"])
def test_medpys_numbers(case):
    def unpack(text):
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
        return bits[: math.prod(case["shape"])].reshape(case["shape"])

    ours = surface_distances(
        unpack(case["pred"]), unpack(case["truth"]), spacing=case["spacing"], spatial_dims=len(case["shape"])
    )
    for name in DISTANCES:
        assert getattr(ours, name) == pytest.approx(case[name], rel=1e-12, abs=1e-12), name


def test_where_surface_distance_differs():
    """It weighs surface elements by area; the Hausdorff distance alone, which no weight enters, is the same."""
    theirs = {case["name"]: case for case in json.loads((VECTORS / "metrics_surface_distance.json").read_text())}
    pred, truth = island()
    directed = surface_distances(pred, truth, pooled=False)
    assert theirs["island"]["hd"] == pytest.approx(directed.hd)
    assert round(theirs["island"]["hd95"], 2) == 21.93 != round(float(directed.hd95), 2)
    square = np.zeros((40, 40), bool)
    square[10:30, 10:30] = True
    ours = surface_distances(np.roll(square, 2, axis=0), square, spacing=(3, 1), tolerance=1)
    assert ours.nsd == 0.5
    assert round(theirs["shift"]["nsd at 1"], 3) == 0.715


@pytest.mark.parametrize("seed", range(12))
def test_monais_numbers(seed):
    import monai.metrics as theirs

    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(4, 22, 2 + seed % 2))
    if seed % 3:  # smooth shapes that run into the image's edge, and noise
        pred, truth = smooth(shape, seed), smooth(shape, 100 + seed)
    else:
        pred, truth = rng.random(shape) < 0.3, rng.random(shape) < 0.6
    assert pred.any() and truth.any()
    spacing = [None, (3.0, 1.0, 0.7)[: len(shape)]][seed % 2]
    p, t = (torch.tensor(mask)[None, None] for mask in (pred, truth))
    options = {"include_background": True, "spacing": spacing}
    expected = {
        "hd": theirs.compute_hausdorff_distance(p, t, **options),
        "hd95": theirs.compute_hausdorff_distance(p, t, percentile=95, **options),
        "asd": theirs.compute_average_surface_distance(p, t, **options),
        "asd_reverse": theirs.compute_average_surface_distance(t, p, **options),
        "assd": theirs.compute_average_surface_distance(p, t, symmetric=True, **options),
        "nsd": theirs.compute_surface_dice(p, t, [1.2], **options),
    }
    ours = surface_distances(pred, truth, spacing=spacing, pooled=False, tolerance=1.2, spatial_dims=len(shape))
    for name, value in expected.items():
        assert getattr(ours, name) == pytest.approx(value.item(), rel=1e-6, abs=1e-6), name


def brute_force(pred, truth, spacing):
    """The two lists of distances, by erosion and two whole distance transforms."""
    p, t = (mask & ~binary_erosion(mask) for mask in (pred, truth))
    return distance_transform_edt(~t, sampling=spacing)[p], distance_transform_edt(~p, sampling=spacing)[t]


def noise(shape, share, seed):
    return np.random.default_rng(seed).random(shape) < share


SHAPE = (30, 26, 22)
BALL = ((np.indices(SHAPE) - np.array([14, 12, 10]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 64
CORNERS = np.zeros(SHAPE, bool)
CORNERS[[0, -1], [0, -1], [0, -1]] = True


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.7), (1e-4, 2e-4, 1e-4), (0.5, 0.5, 60.0)])
@pytest.mark.parametrize(
    ("pred", "truth", "way"),
    [
        (BALL, BALL, set()),  # the look-up finds all
        (BALL, np.roll(BALL, 1, axis=1), set()),
        (noise(SHAPE, 1e-3, 0), noise(SHAPE, 1e-3, 1), {"cKDTree"}),
        (noise(SHAPE, 0.3, 2), CORNERS, {"distance_transform_edt"}),
    ],
    ids=["equal", "near", "sparse", "salt"],
)
def test_each_way_to_the_nearest_voxel_is_exact(pred, truth, way, spacing, monkeypatch):
    used = set()

    def spy(name):
        original = getattr(kernel, name)
        monkeypatch.setattr(kernel, name, lambda *args, **kwargs: (used.add(name), original(*args, **kwargs))[1])

    spy("cKDTree")
    spy("distance_transform_edt")
    p, t = kernel.surfaces(pred, truth)
    there, back = brute_force(pred, truth, spacing)
    np.testing.assert_allclose(np.sort(kernel.nearest(p, t, spacing)), np.sort(there), rtol=1e-9)
    if spacing == (1, 1, 1):
        assert used == way
    np.testing.assert_allclose(np.sort(kernel.nearest(t, p, spacing)), np.sort(back), rtol=1e-9)


def test_one_and_two_threads_give_the_same():
    pred, truth = smooth((52, 52, 52), 0), smooth((52, 52, 52), 1)  # large enough for two
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = surface_distances(pred, truth, tolerance=2, spatial_dims=3)
        torch.set_num_threads(2)
        assert surface_distances(pred, truth, tolerance=2, spatial_dims=3) == one
    finally:
        torch.set_num_threads(before)


def test_one_voxel_and_the_whole_image():
    voxel, everything = np.zeros((5, 7), bool), np.ones((5, 7), bool)
    voxel[2, 3] = True
    assert surface_distances(voxel, voxel, tolerance=0) == SurfaceDistances(0, 0, 0, 0, 0, 0, 0, 1)
    result = surface_distances(voxel, everything)
    assert result.asd == 2  # up or down to the image's edge, which is the surface of the full mask
    assert result.hd == math.hypot(2, 3)


def test_masks_of_every_type_and_kind():
    pred, truth = island()
    expected = surface_distances(pred, truth, tolerance=1)
    assert all(isinstance(value, np.float64) for value in expected)
    for kind in (np.uint8, np.int64, np.float32, np.float16):
        assert surface_distances(pred.astype(kind), truth.astype(kind), tolerance=1) == expected
    for kind in (torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16):
        result = surface_distances(torch.tensor(pred).to(kind), torch.tensor(truth).to(kind), tolerance=1)
        assert all(value.dtype == torch.float64 and value.shape == () for value in result)
        assert [value.item() for value in result] == list(expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_batches_are_their_items(dims):
    shape = (12, 10, 9)[:dims]
    pred = np.stack([[smooth(shape, 10 * i + j) for j in range(3)] for i in range(2)])
    truth = np.stack([[smooth(shape, 100 + 10 * i + j) for j in range(3)] for i in range(2)])
    pred[0, 1] = truth[0, 1] = truth[1, 2] = False  # both empty; the truth empty
    options = {"spacing": (2, 1, 0.5)[:dims], "tolerance": 1}
    batch = surface_distances(pred, truth, spatial_dims=dims, **options)
    tensors = surface_distances(torch.tensor(pred), torch.tensor(truth), spatial_dims=dims, **options)
    for i in np.ndindex(2, 3):
        single = surface_distances(pred[i], truth[i], **options)
        for name, value in single._asdict().items():
            np.testing.assert_array_equal(getattr(batch, name)[i], value)
            np.testing.assert_array_equal(getattr(tensors, name)[i].numpy(), value)
    assert batch.hd.shape == tensors.hd.shape == (2, 3)
    assert surface_distances(pred[:0], truth[:0], spatial_dims=dims, tolerance=1).nsd.shape == (0, 3)


def test_without_spatial_dims_the_spacing_decides():
    pred, truth = smooth((6, 9, 9), 0), smooth((6, 9, 9), 1)
    volume = surface_distances(pred, truth, spatial_dims=3).hd
    assert np.ndim(volume) == 0 and volume == surface_distances(pred, truth, spacing=(1, 1, 1)).hd
    images = surface_distances(pred, truth, spatial_dims=2).hd
    assert images.shape == (6,)
    assert np.array_equal(surface_distances(pred, truth, spacing=(1, 1)).hd, images, equal_nan=True)
    volumes = surface_distances(pred[None], truth[None], spatial_dims=3).hd
    assert volumes.shape == (1,) and volumes[0] == volume


EMPTY, FULL = np.zeros((6, 6), bool), np.pad(np.ones((2, 2), bool), 2)
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("policy", "one", "both"),
    [("nan", NAN, NAN), ("inf", INF, INF), (8.5, 8.5, 8.5), (("inf", 0), INF, 0.0), (("nan", 3), NAN, 3.0)],
)
def test_empty_masks(policy, one, both):
    for pred, truth, value, nsd in [(EMPTY, FULL, one, 0.0), (FULL, EMPTY, one, 0.0), (EMPTY, EMPTY, both, NAN)]:
        result = surface_distances(pred, truth, tolerance=2, empty=policy)
        np.testing.assert_array_equal(result[:-1], [value] * 7)
        np.testing.assert_array_equal(result.nsd, nsd)


def test_by_default_nothing_empty_is_a_perfect_score():
    for pred, truth in [(EMPTY, FULL), (FULL, EMPTY), (EMPTY, EMPTY)]:
        assert all(math.isnan(value) for value in surface_distances(pred, truth)[:-1])


def test_empty_raises_where_asked():
    with pytest.raises(ValueError, match="^pred empty"):
        surface_distances(EMPTY, FULL, empty="raise")
    with pytest.raises(ValueError, match="^target empty"):
        surface_distances(FULL, EMPTY, empty="raise")
    with pytest.raises(ValueError, match="^pred and target empty"):
        surface_distances(EMPTY, EMPTY, empty="raise")
    assert surface_distances(EMPTY, EMPTY, empty=("raise", 0)).hd == 0
    assert surface_distances(FULL, FULL, empty="raise").hd == 0


def test_directed_hausdorff_is_scipys():
    from scipy.spatial.distance import directed_hausdorff

    truth = np.zeros((12, 15), bool)
    truth[3:9, 3:9] = True
    pred = np.roll(truth, 1, axis=1)
    pred[1, 13] = True  # a far island that only the prediction has
    p, t = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (pred, truth))
    found = surface_distances(pred, truth)
    assert found.hd_directed == pytest.approx(directed_hausdorff(p, t)[0], rel=1e-12)
    assert found.hd_directed_reverse == pytest.approx(directed_hausdorff(t, p)[0], rel=1e-12) == pytest.approx(1)
    assert found.hd == found.hd_directed > 4 * found.hd_directed_reverse
    missed = surface_distances(np.zeros_like(truth), truth, empty=("inf", 0))
    assert missed.hd_directed == missed.hd_directed_reverse == math.inf


def test_percentile():
    pred, truth = smooth((30, 30), 0), smooth((30, 30), 1)
    assert surface_distances(pred, truth, percentile=100).hd95 == surface_distances(pred, truth).hd
    assert surface_distances(pred, truth, percentile=100, pooled=False).hd95 == surface_distances(pred, truth).hd
    there, back = brute_force(pred, truth, 1)
    assert surface_distances(pred, truth, percentile=0).hd95 == min(there.min(), back.min())
    median = surface_distances(pred, truth, percentile=50, pooled=False).hd95
    assert median == pytest.approx(max(np.median(there), np.median(back)), rel=1e-12)


def test_tolerance_counts_what_rounding_pushes_over_it():
    line = np.zeros((9, 9), bool)
    line[2] = True
    assert 3 * 0.1 > 0.3
    assert surface_distances(np.roll(line, 3, 0), line, spacing=0.1, tolerance=0.3).nsd == 1
    assert surface_distances(np.roll(line, 3, 0), line, spacing=0.1, tolerance=0.299).nsd == 0
    assert surface_distances(line, line).nsd is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": FULL[1:]}, r"same shape, got \(6, 6\) and \(5, 6\)"),
        ({"target": torch.tensor(FULL)}, "both be torch"),
        ({"pred": FULL * 2}, "pred must hold only 0 and 1, got 2; of a label map pass one class"),
        ({"target": FULL * 0.5}, "target must hold only 0 and 1, got 0.5"),
        ({"pred": np.full((6, 6), NAN)}, "pred must hold only 0 and 1, got nan"),
        ({"pred": FULL[0], "target": FULL[0]}, r"pred must have at least 2 axes, got bool array \(6,\)"),
        ({"spatial_dims": 1}, "spatial_dims must be 2 to 2, of the 2 axes of pred, got 1"),
        ({"spatial_dims": 3}, "spatial_dims must be 2 to 2, of the 2 axes of pred, got 3"),
        ({"spatial_dims": "2"}, "spatial_dims must be a whole number, got '2'"),
        ({"spacing": (1, 1, 1)}, "spatial_dims must be 2 to 2, of the 2 axes of pred, got 3"),
        ({"spacing": (1, 1, 1), "spatial_dims": 2}, "spacing must have spatial_dims = 2 numbers, got 3"),
        ({"spacing": (1, 0)}, r"spacing\[1\] must be finite and above 0, got 0"),
        ({"spacing": INF}, "spacing must be finite"),
        ({"spacing": "1"}, "spa.* must be"),
        ({"percentile": 101}, r"percentile must be in \[0, 100\], got 101"),
        ({"percentile": NAN}, r"percentile must be in \[0, 100\], got nan"),
        ({"tolerance": -1}, "tolerance must be at least 0, got -1"),
        ({"tolerance": "1"}, "tolerance must be a number, at least 0, got '1'"),
        ({"empty": "zero"}, "empty must be"),
        ({"empty": -1}, "empty must be"),
        ({"empty": None}, "empty must be"),
        ({"empty": (0, 0, 0)}, "empty must be"),
    ],
)
def test_surface_distances_bad_input(change, message):
    arguments = {"pred": FULL, "target": FULL} | change
    with pytest.raises(ValueError, match=message):
        surface_distances(arguments.pop("pred"), arguments.pop("target"), **arguments)


@st.composite
def mask_pairs(draw):
    shape = draw(st.sampled_from([(7, 6), (4, 5, 3)]))
    pair = [draw(hnp.arrays(bool, shape)) for _ in range(2)]
    for mask in pair:
        mask.flat[draw(st.integers(0, mask.size - 1))] = True
    spacing = tuple(draw(st.lists(st.sampled_from([0.5, 1.0, 2.5, 7.0]), min_size=len(shape), max_size=len(shape))))
    return *pair, spacing


@few
@given(mask_pairs())
def test_the_definition(case):
    pred, truth, spacing = case
    there, back = brute_force(pred, truth, spacing)
    both = np.concatenate([there, back])
    expected = (both.max(), np.percentile(both, 95), there.mean(), back.mean(), both.mean())
    expected += (there.max(), back.max(), (both <= 1).mean())
    np.testing.assert_allclose(surface_distances(pred, truth, spacing=spacing, tolerance=1), expected, rtol=1e-9)


@few
@given(mask_pairs(), st.booleans())
def test_symmetry(case, pooled):
    pred, truth, spacing = case
    forth = surface_distances(pred, truth, spacing=spacing, tolerance=1, pooled=pooled)
    back = surface_distances(truth, pred, spacing=spacing, tolerance=1, pooled=pooled)
    swapped = forth._replace(
        asd=forth.asd_reverse,
        asd_reverse=forth.asd,
        hd_directed=forth.hd_directed_reverse,
        hd_directed_reverse=forth.hd_directed,
    )
    assert forth.hd == max(forth.hd_directed, forth.hd_directed_reverse)
    np.testing.assert_allclose(back, swapped, rtol=1e-12, atol=1e-12)
    itself = surface_distances(pred, pred, spacing=spacing, tolerance=0, pooled=pooled)
    assert itself == SurfaceDistances(0, 0, 0, 0, 0, 0, 0, 1)
    assert forth.hd95 <= forth.hd and max(forth.asd, forth.asd_reverse) <= forth.hd


@few
@given(mask_pairs(), st.floats(1e-3, 1e3))
def test_scaling_with_spacing(case, scale):
    pred, truth, spacing = case
    one = surface_distances(pred, truth, spacing=spacing, tolerance=1)
    scaled = surface_distances(pred, truth, spacing=[scale * s for s in spacing], tolerance=scale)
    np.testing.assert_allclose(scaled[:-1], np.multiply(one[:-1], scale), rtol=1e-9)
    assert scaled.nsd == one.nsd


@few
@given(mask_pairs(), st.data())
def test_translation_flips_and_exchanged_axes_change_nothing(case, data):
    pred, truth, spacing = case
    before = surface_distances(pred, truth, spacing=spacing, tolerance=1)
    pads = [(data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))) for _ in spacing]
    order = data.draw(st.permutations(range(len(spacing))))
    flipped = data.draw(st.integers(0, len(spacing) - 1))
    moved = [np.flip(np.pad(mask, pads), flipped).transpose(order) for mask in (pred, truth)]
    after = surface_distances(*moved, spacing=[spacing[axis] for axis in order], tolerance=1)
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_surface_distances_leave_their_input_alone():
    pred, truth = island()
    copies = pred.copy(), truth.copy()
    surface_distances(pred, truth)
    assert (pred == copies[0]).all() and (truth == copies[1]).all()


# --- kinds of faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_a_batch_is_not_taken_for_a_volume(kind):
    """Nobody can see whether the first of three axes is a batch: a reader's images were measured as one volume."""
    pred, truth = smooth((4, 9, 9), 0), smooth((4, 9, 9), 1)
    for shape in (lambda m: m, lambda m: m[:1, None], lambda m: m[None, None]):
        p, t = kind(shape(pred)), kind(shape(truth))
        for options in ({}, {"spacing": 2.0}, {"spacing": np.float32(2)}, {"tolerance": 1}):
            with pytest.raises(
                ValueError, match=r"^spatial_dims must be given where pred .* 2 for images .*, got pred of shape"
            ):
                surface_distances(p, t, **options)
        assert surface_distances(p, t, spatial_dims=np.int64(2)).hd.shape == p.shape[:-2]
        assert surface_distances(p, t, spacing=torch.ones(3)).hd.shape == p.shape[:-3]
    two = surface_distances(kind(pred[0]), kind(truth[0]))  # two axes are an image
    assert float(two.hd) == float(surface_distances(kind(pred), kind(truth), spatial_dims=2).hd[0])


@pytest.mark.parametrize(
    "spacing",
    [[3, 1, 1], np.array([3.0, 1, 1]), np.array([3, 1, 1], ">i4"), torch.tensor([3.0, 1, 1]), torch.tensor([3, 1, 1])],
    ids=str,
)
def test_spacings_of_any_library(spacing):
    pred, truth = smooth((6, 9, 9), 0), smooth((6, 9, 9), 1)
    assert surface_distances(pred, truth, spacing=spacing) == surface_distances(pred, truth, spacing=(3, 1, 1))


def test_numbers_of_any_library():
    pred, truth = smooth((9, 9), 0), smooth((9, 9), 1)
    expected = surface_distances(pred, truth, spacing=2.0, percentile=90.0, tolerance=1.0)
    for number in (np.float32, np.float64, torch.tensor, np.array):
        options = {"spacing": number(2.0), "percentile": number(90.0), "tolerance": number(1.0)}
        assert surface_distances(pred, truth, **options) == expected
        assert surface_distances(EMPTY, truth[:6, :6], empty=number(8.5)).hd == 8.5
    for pair in (np.array([7.0, 0.0]), torch.tensor([7.0, 0.0]), [7, 0]):
        assert surface_distances(EMPTY, EMPTY, empty=pair).hd == 0
        assert surface_distances(EMPTY, FULL, empty=pair).hd == 7
    for number in (np.int64, np.uint8, torch.tensor, np.array):
        matrix = confusion_matrix([0, 1, 9], [0, 1, 1], number(2), ignore_index=number(1))
        assert matrix.tolist() == [[1, 0], [0, 0]]
    for wrong in (2.0, True, "2", [2]):
        with pytest.raises(ValueError, match="^num_classes must be a whole number of at least 1, got "):
            confusion_matrix([0], [0], wrong)


MASKED = np.ma.array([[0, 1], [1, 0]], mask=[[0, 0], [0, 1]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: confusion_matrix(MASKED, MASKED, 2),
        lambda: confusion_matrix(MASKED.data, MASKED, 2),
        lambda: confusion_matrix([MASKED[0], MASKED[1]], [[0, 1], [1, 0]], 2),
        lambda: segmentation_scores(MASKED),
        lambda: surface_distances(MASKED, MASKED),
        lambda: surface_distances(MASKED.data, MASKED, spacing=(1, 1)),
        lambda: surface_distances(MASKED.data, MASKED.data, spacing=np.ma.array([1.0, 2.0])),
    ],
)
def test_a_masked_array_does_not_lose_its_mask(call):
    with pytest.raises(ValueError, match=r"must be a plain array.*labels\.filled\(255\).*ignore_index=255.*got masked"):
        call()
    assert confusion_matrix(MASKED.data, MASKED.filled(255), 2, ignore_index=255).sum() == 3  # what the message says


def test_sparse_tensors_are_refused():
    dense = torch.eye(3)
    for call in (
        lambda: confusion_matrix(dense.long().to_sparse(), dense.long().to_sparse(), 2),
        lambda: segmentation_scores(dense.to_sparse()),
        lambda: surface_distances(dense.to_sparse(), dense.to_sparse()),
    ):
        with pytest.raises(ValueError, match="must be a dense tensor, got sparse_coo"):
            call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int16])
def test_counts_of_any_type_are_added_in_float64(dtype):
    matrix = torch.full((30, 30), 8192).to(dtype)  # their sum is more than float16 can hold
    scores = segmentation_scores(matrix)
    assert scores.pixel_accuracy.dtype == torch.float64 and scores.pixel_accuracy.item() == pytest.approx(1 / 30)
    assert scores.iou.isfinite().all()
