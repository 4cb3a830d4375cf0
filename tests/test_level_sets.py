"""Signed distance, its published variant and the way back; step, delta and curvature."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.segmentation import find_boundaries
from torch.autograd import gradcheck

from tutorial_lib.level_sets import curvature, dirac, heaviside, mask_from_sdf, signed_distance

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7))
STEPS = st.tuples(*[st.floats(0.2, 5.0)] * 3)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def disk(size: int, radius: float, centre: tuple[float, float] | None = None) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    cy, cx = centre or (size // 2, size // 2)
    return np.hypot(y - cy, x - cx) <= radius


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A batch of rough shapes, holes and far islands among them."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return np.stack([ndimage.gaussian_filter(sample, 2) > 0.08 for sample in noise])


def compute_sdf(masks: np.ndarray) -> np.ndarray:
    """The published transform, restated from its description: every step the long way."""
    out = np.zeros(masks.shape)
    for result, sample in zip(out, masks):
        if not sample.any():
            continue  # an empty sample stays 0
        outside, inside = ndimage.distance_transform_edt(~sample), ndimage.distance_transform_edt(sample)
        with np.errstate(invalid="ignore"):
            result[...] = (outside - outside.min()) / (outside.max() - outside.min())
            result -= (inside - inside.min()) / (inside.max() - inside.min())
        result[find_boundaries(sample, mode="inner")] = 0
    return out


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def brute_force(mask: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Every voxel against every voxel of the other kind."""
    points = np.argwhere(np.ones_like(mask)) * np.array(steps)
    flat = mask.ravel()
    pairs = cdist(points, points)
    pairs[flat[:, None] == flat[None]] = np.inf
    return (np.where(flat, -1, 1) * pairs.min(axis=1)).reshape(mask.shape)


def distance(mask, **options):
    """Of one sample, all of whose axes are space."""
    return signed_distance(mask, spatial_dims=mask.ndim, **options)


# --- signed_distance: the distance itself -----------------------------------------------------------------------------


def test_one_voxel_and_its_neighbours():
    mask = np.zeros((3, 5), np.uint8)
    mask[1, 2] = 1
    r2, r5 = math.sqrt(2), math.sqrt(5)
    expected = [[r5, r2, 1, r2, r5], [2, 1, -1, 1, 2], [r5, r2, 1, r2, r5]]
    np.testing.assert_array_equal(signed_distance(mask), expected)


def test_spacing_is_per_axis_in_order():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    far = math.hypot(3, 0.5)
    expected = [[far, 3, far], [0.5, -0.5, 0.5], [far, 3, far]]
    np.testing.assert_allclose(signed_distance(mask, spacing=(3, 0.5)), expected)


@pytest.mark.parametrize("shape", [(40, 30), (17, 64), (20, 24, 16), (1, 20, 20)])
@pytest.mark.parametrize("spacing", [None, 0.625, "mixed"])
def test_equals_scipy(shape, spacing):
    steps = (3.0, 1.0, 0.7)[: len(shape)] if spacing == "mixed" else spacing
    for mask in blobs((3, *shape)):
        expected = ndimage.distance_transform_edt(~mask, sampling=steps) - ndimage.distance_transform_edt(mask, steps)
        result = signed_distance(mask, spacing=steps, spatial_dims=len(shape))
        if spacing is None:
            np.testing.assert_array_equal(result, expected)
        else:
            np.testing.assert_allclose(result, expected, rtol=1e-14)


@EXAMPLES
@given(MASKS, STEPS)
def test_equals_brute_force(mask, steps):
    steps = steps[: mask.ndim]
    np.testing.assert_allclose(signed_distance(mask, spacing=steps), brute_force(mask, steps), rtol=1e-12)


@EXAMPLES
@given(MASKS, STEPS, st.floats(0.1, 10))
def test_properties_of_the_distance(mask, steps, factor):
    steps = steps[: mask.ndim]
    result = signed_distance(mask, spacing=steps)
    np.testing.assert_array_equal(result < 0, mask)
    np.testing.assert_array_equal(signed_distance(~mask, spacing=steps), -result)
    np.testing.assert_allclose(signed_distance(np.flip(mask), spacing=steps), np.flip(result), rtol=1e-12)
    np.testing.assert_allclose(signed_distance(mask.T, spacing=steps[::-1]), result.T, rtol=1e-12)
    scaled = signed_distance(mask, spacing=tuple(factor * step for step in steps))
    np.testing.assert_allclose(scaled, factor * result, rtol=1e-12)


@EXAMPLES
@given(MASKS.filter(np.any), st.integers(0, 4), st.integers(0, 4))
def test_moving_the_object_moves_the_distance(mask, before, after):
    padded = np.pad(mask, [(before, after)] * mask.ndim)
    shifted = np.pad(mask, [(before + 1, after + 3)] * mask.ndim)
    window = tuple(slice(1, 1 + n) for n in padded.shape)
    np.testing.assert_array_equal(distance(shifted)[window][~padded], distance(padded)[~padded])


def test_beyond_the_image_there_is_nothing():
    half = np.zeros((4, 6), bool)
    half[:, :3] = True
    np.testing.assert_array_equal(signed_distance(half), np.tile([-3.0, -2, -1, 1, 2, 3], (4, 1)))


def test_large_images_do_not_overflow():
    mask = np.zeros((1, 50_000), bool)
    mask[0, 0] = True
    assert signed_distance(mask)[0, -1] == 49_999.0  # its square does not fit 31 bits


# --- signed_distance: normalised --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 40, 30), (3, 20, 24, 16)])
def test_dtc_equals_the_published_transform(shape):
    masks = blobs(shape)
    masks[-1] = False
    result = signed_distance(masks, normalize="dtc", spatial_dims=len(shape) - 1)
    np.testing.assert_array_equal(result, compute_sdf(masks))
    assert result.min() == -1 and result.max() == 1


@EXAMPLES
@given(MASKS.filter(lambda mask: not mask.all()))
def test_dtc_equals_the_published_transform_on_any_mask(mask):
    np.testing.assert_array_equal(distance(mask, normalize="dtc"), compute_sdf(mask[None])[0])


def test_dtc_equals_the_published_transform_on_left_atria(shared_data):
    masks = np.load(shared_data / "la2018" / "la2018_64x48x32.npz")["label"][:6]
    ours = signed_distance(masks, normalize="dtc", spatial_dims=3)
    np.testing.assert_array_equal(ours, compute_sdf(masks.astype(bool)))


def test_dtc_takes_spacing_though_the_published_code_does_not():
    mask = disk(21, 6)
    steps = (3.0, 1.0)
    result = signed_distance(mask, spacing=steps, normalize="dtc")
    outer, inner = ndimage.distance_transform_edt(~mask, steps), ndimage.distance_transform_edt(mask, steps)
    expected = np.where(find_boundaries(mask, mode="inner"), 0, outer / outer.max() - inner / inner.max())
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_a_straight_edge_lies_half_way():
    mask = np.zeros((4, 6), bool)
    mask[:, :3] = True
    expected = np.tile([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], (4, 1))
    np.testing.assert_allclose(10 * signed_distance(mask, normalize=10), expected, rtol=1e-12)
    np.testing.assert_allclose(5 * signed_distance(mask, spacing=0.5, normalize=10) / 0.5 * 2, expected, rtol=1e-12)
    diagonal = math.hypot(3, 5)
    np.testing.assert_allclose(diagonal * signed_distance(mask, normalize="diagonal"), expected, rtol=1e-12)
    np.testing.assert_allclose(signed_distance(mask, normalize=2), np.clip(expected / 2, -1, 1), rtol=1e-12)


@pytest.mark.parametrize("dims", [2, 3])
def test_half_a_voxel_from_the_outline_that_was_sampled(dims):
    axes = np.indices((33,) * dims) - 16.3
    truth = np.sqrt((axes**2).sum(axis=0)) - 11.2
    ours = 100 * distance(truth < 0, normalize=100)
    assert np.abs(ours - truth).max() <= 0.5
    assert np.abs(distance(truth < 0) - truth).max() > 0.9  # voxel to voxel: up to a whole one


@EXAMPLES
@given(MASKS, st.floats(0.2, 5))
def test_our_normalisation_is_a_distance(mask, step):
    scale = 100.0
    result = scale * distance(mask, spacing=step, normalize=scale)
    np.testing.assert_array_equal(result < 0, mask)
    for axis in range(mask.ndim):  # between face neighbours, across the boundary too
        assert np.abs(np.diff(result, axis=axis)).max(initial=0) <= step * (1 + 1e-9)


@EXAMPLES
@given(MASKS, STEPS, st.sampled_from(["diagonal", 3.0]))
def test_our_normalisation_brings_the_mask_back(mask, steps, normalize):
    result = signed_distance(mask, spacing=steps[: mask.ndim], normalize=normalize)
    assert np.abs(result).max() <= 1
    np.testing.assert_array_equal(mask_from_sdf(result, k=1500) > 0.5, mask)


def test_unequal_spacing_draws_in_half_of_the_smallest():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    np.testing.assert_allclose(10 * signed_distance(mask, spacing=(3, 1), normalize=10)[1], [0.5, -0.5, 0.5])
    np.testing.assert_allclose(10 * signed_distance(mask, spacing=(3, 1), normalize=10)[:, 1], [2.5, -0.5, 2.5])


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("shape", [(8, 8), (4, 5, 6), (1, 1)])
def test_empty_and_full(shape, fill):
    mask = np.full(shape, fill)
    sign = -1.0 if fill else 1.0
    assert (distance(mask) == sign * np.inf).all()
    assert (distance(mask, normalize=5) == sign).all()
    assert (distance(mask, normalize="diagonal") == sign).all()
    assert (distance(mask, normalize="dtc") == (-1 if fill else 0)).all()
    assert (mask_from_sdf(distance(mask), k=3) == fill).all()


# --- what is odd in the published transform, and ours beside it -------------------------------------------------------


def test_published_empty_crop_reads_as_one_half():
    empty = np.zeros((1, 16, 16), bool)
    assert (mask_from_sdf(compute_sdf(empty), k=1500) == 0.5).all()
    assert (mask_from_sdf(signed_distance(empty, normalize=10, spatial_dims=2), k=1500) == 0).all()


def test_published_full_crop_is_nan():
    full = np.ones((1, 16, 16), bool)
    assert np.isnan(compute_sdf(full)).all()
    assert (signed_distance(full, normalize="dtc", spatial_dims=2) == -1).all()
    assert (mask_from_sdf(signed_distance(full, normalize=10, spatial_dims=2), k=1500) == 1).all()


def test_published_round_trip_loses_the_boundary():
    mask = disk(64, 15)
    theirs = mask_from_sdf(compute_sdf(mask[None])[0], k=1500) > 0.5
    assert round(dice(theirs, mask), 3) == 0.937
    np.testing.assert_array_equal(mask & ~theirs, find_boundaries(mask, mode="inner"))
    assert dice(mask_from_sdf(signed_distance(mask, normalize=10), k=1500) > 0.5, mask) == 1


def test_published_value_changes_with_the_crop():
    mask = disk(64, 15)
    crop = (slice(10, 50), slice(4, 60))
    voxel = (34, 52)  # outside the disk, inside the crop
    whole, part = compute_sdf(mask[None])[0], np.full(mask.shape, np.nan)
    part[crop] = compute_sdf(mask[crop][None])[0]
    assert abs(whole[voxel] - part[voxel]) > 0.05
    part[crop] = signed_distance(mask[crop], normalize=10)
    np.testing.assert_array_equal(part[crop], signed_distance(mask, normalize=10)[crop])


def test_published_sides_have_different_units():
    stripe = np.zeros((4, 64), bool)
    stripe[:, 8:28] = True
    theirs, ours = compute_sdf(stripe[None])[0, 0], signed_distance(stripe, normalize=40)[0]
    np.testing.assert_allclose(np.diff(theirs[19:27]), 1 / 10)  # its half width is 10
    np.testing.assert_allclose(np.diff(theirs[28:]), 1 / 36)  # 36 voxels remain on its right
    np.testing.assert_allclose(np.diff(ours[18:]), 1 / 40)


def test_k_1500_makes_a_step():
    """From 0.01 to 0.99 within 0.0031 of zero: no voxel but the boundary, set to 0, is ever that near."""
    z = math.log(99) / 1500
    np.testing.assert_allclose(mask_from_sdf(np.array([-z, z]), k=1500), [0.99, 0.01], rtol=1e-12)
    result = np.abs(compute_sdf(disk(64, 15)[None]))
    assert round(z, 4) == 0.0031 and result[result > 0].min() > 8 * z


# --- batches, kinds, dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [None, "dtc", "diagonal", 4.0])
def test_a_batch_is_its_samples(normalize):
    masks = blobs((6, 12, 15)).reshape(2, 3, 12, 15)
    for batch in (masks, torch.from_numpy(masks)):
        result = signed_distance(batch, normalize=normalize, spatial_dims=2)
        for i, j in np.ndindex(2, 3):
            assert (result[i, j] == signed_distance(batch[i, j], normalize=normalize)).all()


def test_which_axes_are_space():
    masks = blobs((4, 12, 15))
    volume = signed_distance(masks, spatial_dims=3)
    np.testing.assert_array_equal(volume, signed_distance(masks, spacing=(1, 1, 1)))
    images = signed_distance(masks, spacing=(1, 1))
    np.testing.assert_array_equal(images, signed_distance(masks, spatial_dims=2))
    assert (volume != images).any()
    np.testing.assert_array_equal(signed_distance(masks[None, None], spatial_dims=3), volume[None, None])
    # A channel axis of one voxel changes nothing, whatever its spacing.
    for normalize in (None, "dtc", "diagonal", 4.0):
        result = signed_distance(masks[:, None], spacing=(0.1, 1, 1), normalize=normalize)
        np.testing.assert_array_equal(result[:, 0], signed_distance(masks, normalize=normalize, spatial_dims=2))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64])
def test_numpy_in_numpy_out(dtype):
    mask = disk(16, 5).astype(dtype)
    before = mask.copy()
    mask.flags.writeable = False
    result = signed_distance(mask)
    assert isinstance(result, np.ndarray)
    assert result.dtype == (dtype if np.issubdtype(dtype, np.floating) else np.float64)
    np.testing.assert_allclose(result, signed_distance(before.astype(bool)), rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float16, torch.float64])
def test_torch_in_torch_out(dtype):
    mask = torch.from_numpy(disk(16, 5)).to(dtype)
    result = signed_distance(mask)
    assert isinstance(result, torch.Tensor) and result.device == mask.device and not result.requires_grad
    assert result.dtype == (dtype if dtype.is_floating_point else torch.float32)
    torch.testing.assert_close(result.double(), torch.from_numpy(signed_distance(disk(16, 5))), rtol=1e-2, atol=0)


def test_views_and_threads_change_nothing():
    masks = blobs((5, 14, 11))
    expected = signed_distance(masks, spatial_dims=2)
    np.testing.assert_array_equal(signed_distance(np.asfortranarray(masks), spatial_dims=2), expected)
    np.testing.assert_array_equal(signed_distance(masks[:, ::-1], spatial_dims=2), expected[:, ::-1])
    strided = torch.from_numpy(masks).transpose(1, 2)
    assert (signed_distance(strided, spatial_dims=2).numpy() == expected.transpose(0, 2, 1).astype(np.float32)).all()
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            np.testing.assert_array_equal(signed_distance(masks, spatial_dims=2), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (2, 4, 0)])
@pytest.mark.parametrize("normalize", [None, "dtc", "diagonal", 4.0])
def test_nothing_in_nothing_out(shape, normalize):
    assert signed_distance(np.zeros(shape), normalize=normalize, spatial_dims=2).shape == shape
    assert signed_distance(torch.zeros(shape), normalize=normalize, spatial_dims=2).shape == shape


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.array([[0, 1, 2]]), {}, "mask must hold only 0 and 1, got 2"),
        (np.array([[0, np.nan]]), {}, "mask must hold only 0 and 1, got nan"),
        (torch.tensor([[0.0, 0.5]]), {}, "mask must hold only 0 and 1, got 0.5"),
        (np.zeros((3, 3)), {"spacing": (1, 1, 1)}, "spatial_dims must be 1 to 2, .* mask, got 3"),
        (np.zeros((3, 3)), {"spatial_dims": 0}, "spatial_dims must be 1 to 2, .* mask, got 0"),
        (np.zeros((3, 3, 3)), {"spacing": (1, 1), "spatial_dims": 3}, "spacing must have spatial_dims = 3 .* got 2"),
        (np.zeros((3, 3)), {"spacing": (1, 0)}, r"spacing\[1\] must be finite and above 0, got 0"),
        (np.zeros((3, 3)), {"spacing": math.inf}, "spacing must be finite and above 0, got inf"),
        (np.zeros((3, 3)), {"normalize": "max"}, "normalize must be None, 'dtc', 'diagonal' or .* got 'max'"),
        (np.zeros((3, 3)), {"normalize": 0}, "normalize must be finite and above 0, got 0"),
        (np.zeros((3, 3)), {"normalize": math.nan}, "normalize must be finite and above 0, got nan"),
        (np.float64(1), {}, "mask must have at least 1 axis, got 1.0"),
    ],
)
def test_bad_input(mask, options, message):
    with pytest.raises(ValueError, match=message):
        signed_distance(mask, **options)


# --- heaviside and dirac ----------------------------------------------------------------------------------------------


def test_heaviside_known_answers():
    x = np.array([-np.inf, -2.0, 0.0, 2.0, np.inf])
    np.testing.assert_allclose(heaviside(x, eps=2.0), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(dirac(x, eps=2.0), np.array([0, 0.5, 1, 0.5, 0]) / (2 * math.pi))


def test_heaviside_and_dirac_equal_scikit_image():
    chan_vese = pytest.importorskip("skimage.segmentation._chan_vese")
    if not hasattr(chan_vese, "_cv_heavyside"):
        pytest.skip("this scikit-image keeps its step function elsewhere")
    x = np.linspace(-9, 9, 41)
    np.testing.assert_allclose(heaviside(x, eps=1.5), chan_vese._cv_heavyside(x, eps=1.5), rtol=1e-12)
    # Its delta is not its step's derivative: the factor 1 / pi is missing.
    np.testing.assert_allclose(dirac(x, eps=1.5), chan_vese._cv_delta(x, eps=1.5) / math.pi, rtol=1e-12)


@EXAMPLES
@given(arrays(np.float64, 5, elements=st.floats(-50, 50)), st.floats(0.05, 20))
def test_dirac_is_the_derivative_of_heaviside(values, eps):
    x = torch.from_numpy(values).requires_grad_()
    (slope,) = torch.autograd.grad(heaviside(x, eps=eps).sum(), x)
    torch.testing.assert_close(dirac(x, eps=eps).detach(), slope, rtol=1e-12, atol=0)
    torch.testing.assert_close(heaviside(-x, eps=eps), 1 - heaviside(x, eps=eps), rtol=0, atol=1e-15)
    np.testing.assert_allclose(heaviside(values, eps=eps), heaviside(x, eps=eps).detach(), rtol=1e-13)


def test_delta_has_mass_one():
    x = np.linspace(-2000, 2000, 400_001)
    assert abs(np.trapezoid(dirac(x, eps=0.5), x) - (1 - 2 * 0.5 / (math.pi * 2000))) < 1e-7


def test_step_and_delta_pass_gradcheck_and_keep_the_dtype():
    x = torch.tensor([-3.0, -0.2, 0.0, 0.1, 4.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda v: heaviside(v, eps=0.7), x) and gradcheck(lambda v: dirac(v, eps=0.7), x)
    for function in (heaviside, dirac):
        assert function(np.float32([1, 2]), eps=np.float64(1)).dtype == np.float32
        assert function(torch.ones(2, dtype=torch.float16), eps=1).dtype == torch.float16
        assert torch.isfinite(function(torch.tensor([0.0, 1e-3, 1e30]), eps=1e-25)).all()  # its square is 0 in float32


@pytest.mark.parametrize("function", [heaviside, dirac])
@pytest.mark.parametrize("eps", [0, -1.0, math.nan, math.inf])
def test_bad_eps(function, eps):
    with pytest.raises(ValueError, match="eps must be finite and above 0, got"):
        function(np.zeros(3), eps=eps)


# --- mask_from_sdf ----------------------------------------------------------------------------------------------------


def test_mask_from_sdf_is_the_papers_with_the_sign_in_the_formula():
    z = torch.linspace(-0.01, 0.01, 21, dtype=torch.float64)
    torch.testing.assert_close(mask_from_sdf(z, k=1500), torch.sigmoid(-1500 * z))
    np.testing.assert_allclose(mask_from_sdf(z.numpy(), k=1500), 1 / (1 + np.exp(1500 * z.numpy())), rtol=1e-12)


@EXAMPLES
@given(st.floats(1e-3, 1e308), st.sampled_from([np.float16, np.float32, np.float64]))
def test_mask_from_sdf_is_safe_at_any_k(k, dtype):
    sdf = np.array([-np.inf, -1, -1e-4, 0, 1e-4, 1, np.inf], dtype)
    with np.errstate(all="raise", under="ignore"):
        result = mask_from_sdf(sdf, k=k)
    assert result.dtype == dtype and result[0] == 1 and result[3] == 0.5 and result[-1] == 0
    assert (np.diff(result) <= 0).all()
    x = torch.from_numpy(sdf[1:-1].copy()).requires_grad_()
    tensor = mask_from_sdf(x, k=k)
    tensor.sum().backward()
    np.testing.assert_allclose(tensor.detach(), result[1:-1], rtol=5e-3 if dtype is np.float16 else 1e-5, atol=1e-7)
    assert not torch.isnan(x.grad).any()


def test_mask_from_sdf_gradient():
    z = torch.linspace(-0.4, 0.4, 9, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda v: mask_from_sdf(v, k=7.0), z)
    # The stated width: a tenth of the peak at |z| = 3.64 / k.
    z = torch.tensor([0.0, 3.64 / 1500], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(mask_from_sdf(z, k=1500).sum(), z)
    assert slope[0] == -1500 / 4 and abs(slope[1] / slope[0] - 0.1) < 1e-3


@pytest.mark.parametrize("k", [0, -1500, math.nan, math.inf])
def test_bad_k(k):
    with pytest.raises(ValueError, match="k, .*, must be finite and above 0, got"):
        mask_from_sdf(np.zeros(3), k=k)


# --- curvature --------------------------------------------------------------------------------------------------------


def radius(shape: tuple[int, ...], steps: tuple[float, ...], axes: int | None = None) -> np.ndarray:
    """Distance from a point near the middle, over the last ``axes`` axes."""
    grid = [(np.arange(n) - (n - 1) / 2 + 0.2) * step for n, step in zip(shape, steps)]
    return np.sqrt(sum(x**2 for x in np.meshgrid(*grid, indexing="ij")[-(axes or len(shape)) :]))


@pytest.mark.parametrize(
    ("shape", "steps", "axes", "expected"),
    [
        ((61, 61), (1, 1), 2, 1),  # circle
        ((41, 121), (1.5, 0.5), 2, 1),
        ((51, 51, 51), (1, 1, 1), 3, 2),  # sphere: both principal curvatures
        ((9, 61, 61), (2, 1, 1), 2, 1),  # cylinder: one of them is 0
        ((9, 9, 61), (2, 1, 1), 1, 0),  # plane
    ],
)
def test_curvature_of_round_things(shape, steps, axes, expected):
    rho = radius(shape, steps, axes)
    result = curvature(rho - 12, spacing=steps)
    near = (rho > 8) & (rho < 16)
    np.testing.assert_allclose((result * rho)[near], expected, atol=0.012)


def test_curvature_of_an_ellipse():
    y, x = np.meshgrid(np.arange(-40, 41) * 0.5, np.arange(-60, 61) * 0.5)
    phi = (x / 24) ** 2 + (y / 12) ** 2 - 1  # not a distance: only its level sets count
    near = np.abs(phi) < 0.15
    gx, gy, gxx, gyy = 2 * x / 24**2, 2 * y / 12**2, 2 / 24**2, 2 / 12**2
    expected = (gxx * gy[near] ** 2 + gyy * gx[near] ** 2) / (gx[near] ** 2 + gy[near] ** 2) ** 1.5
    np.testing.assert_allclose(curvature(phi, spacing=0.5)[near], expected, rtol=0.01)


def test_curvature_is_second_order():
    errors = []
    for step in (1.0, 0.5, 0.25):
        rho = radius((int(40 / step),) * 2, (step, step))
        near = (rho > 10) & (rho < 15)
        errors.append(np.abs(curvature(rho, spacing=step) - 1 / rho)[near].max())
    assert 3.3 < errors[0] / errors[1] < 4.7 and 3.3 < errors[1] / errors[2] < 4.7


@EXAMPLES
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.floats(-4, 4)), STEPS)
def test_properties_of_curvature(phi, steps):
    steps = steps[: phi.ndim]
    result = curvature(phi, spacing=steps)
    assert result.shape == phi.shape and np.isfinite(result).all()
    assert np.abs(result).max() <= sum(2 / step for step in steps) * (1 + 1e-9)  # bounded even at a kink
    np.testing.assert_allclose(curvature(-phi, spacing=steps), -result, atol=1e-9)
    np.testing.assert_allclose(curvature(phi.T, spacing=steps[::-1]), result.T, atol=1e-9)
    np.testing.assert_allclose(
        2 * curvature(phi, spacing=tuple(2 * step for step in steps), eps=0.5e-8), result, atol=1e-9
    )
    np.testing.assert_allclose(curvature(4 * phi, spacing=steps, eps=4e-8), result, atol=1e-9)


def test_flat_places_have_no_curvature():
    assert (curvature(np.zeros((5, 6))) == 0).all() and (curvature(np.ones((1, 1))) == 0).all()
    ramp = np.broadcast_to(np.arange(8.0), (5, 8))
    np.testing.assert_allclose(curvature(ramp), 0, atol=1e-12)  # up to the border
    assert curvature(np.zeros((0, 5, 6)), spatial_dims=2).shape == (0, 5, 6)


def test_curvature_kinds_batches_and_dtypes():
    phi = np.stack([radius((15, 17), (1, 1)) - r for r in (4, 5)])
    phi.flags.writeable = False
    expected = curvature(phi, spatial_dims=2)
    np.testing.assert_array_equal(curvature(phi[..., ::-1], spatial_dims=2), expected[..., ::-1])
    np.testing.assert_array_equal(expected, [curvature(sample) for sample in phi])
    tensor = torch.from_numpy(phi.copy())
    np.testing.assert_array_equal(curvature(tensor, spacing=(1, 1)), expected)
    np.testing.assert_array_equal(curvature(tensor[:, None], spatial_dims=3).squeeze(1), expected)  # a channel of one
    assert curvature(phi.astype(np.float32), spatial_dims=2).dtype == np.float32
    assert curvature(phi.astype(int), spatial_dims=2).dtype == np.float64
    half = curvature(tensor.half(), spatial_dims=2)
    assert half.dtype == torch.float16 and torch.isfinite(half).all()
    assert (curvature(torch.zeros(4, 4, dtype=torch.float16)) == 0).all()


def test_curvature_passes_gradcheck():
    phi = torch.from_numpy(radius((4, 5), (1, 1))).requires_grad_()
    assert gradcheck(lambda p: curvature(p, spacing=(1.0, 0.8)), phi)
    flat = torch.zeros(4, 4, requires_grad=True)
    curvature(flat, eps=0.1).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_a_circle_shrinks_by_its_curvature():
    """Mean-curvature flow, phi_t = kappa |grad phi|: a circle's radius is sqrt(r0^2 - 2 t)."""
    phi = torch.from_numpy(radius((36, 36), (1, 1)) - 12)
    for _ in range(120):
        gy, gx = torch.gradient(phi)
        phi = phi + 0.25 * curvature(phi) * torch.hypot(gx, gy)
    area = heaviside(-phi, eps=0.05).sum().item()
    assert abs(math.sqrt(area / math.pi) - math.sqrt(12**2 - 2 * 30)) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0}, "eps must be finite and above 0, got 0"),
        ({"spacing": -1}, "spacing must be finite and above 0, got -1"),
        ({"spatial_dims": 3}, "spatial_dims must be 1 to 2, .* phi, got 3"),
    ],
)
def test_bad_curvature_input(options, message):
    with pytest.raises(ValueError, match=message):
        curvature(np.zeros((4, 4)), **options)


# --- kinds of faults ------------------------------------------------------------------------------------------------

FUNCTIONS = {
    "signed_distance": lambda x: signed_distance(x, normalize=3.0),
    "heaviside": lambda x: heaviside(x, eps=0.3),
    "dirac": lambda x: dirac(x, eps=0.3),
    "mask_from_sdf": lambda x: mask_from_sdf(x, k=2.5),
    "curvature": curvature,
}
each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@each_function
@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", "<f4", ">i2", ">u4", "u8", "g", ">c8"])
def test_any_order_of_bytes_and_any_width(function, dtype):
    values = disk(12, 4).astype(float)
    given = values.astype(dtype)
    if given.dtype.kind == "c":
        with pytest.raises(ValueError, match="must hold numbers, got complex64 array"):
            function(given)
        return
    result, expected = function(given), function(values)
    assert result.dtype == (given.dtype.newbyteorder("=") if given.dtype.kind == "f" else np.float64)
    np.testing.assert_allclose(
        result, expected, rtol=2e-3 if dtype == ">f2" else 1e-5, atol=1e-3 if dtype == ">f2" else 1e-6
    )


@each_function
def test_masked_arrays_and_sparse_tensors_are_refused(function):
    mask = disk(12, 4).astype(float)
    with pytest.raises(ValueError, match=r"must be a plain array.*filled\(255\).*ignore_index"):
        function(np.ma.array(mask, mask=mask > 0))
    with pytest.raises(ValueError, match="must be a dense tensor, got sparse_coo float64"):
        function(torch.from_numpy(mask).to_sparse())
    for wrong in (None, "mask", [["a", "b"]]):
        with pytest.raises(ValueError, match="must hold numbers, got"):
            function(wrong)
    assert function(mask.tolist()).tolist() == function(mask).tolist()


@pytest.mark.parametrize("function", [signed_distance, curvature])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_a_batch_is_not_taken_for_a_volume(function, kind):
    """Nobody can see whether the first of three axes is a batch: a reader's images were measured as one volume."""
    masks = blobs((3, 12, 15)).astype(float)
    for values in (masks, masks[None, None], masks[:, None]):
        for options in ({}, {"spacing": 2.0}, {"spacing": torch.tensor(2.0)}):
            with pytest.raises(
                ValueError, match="^spatial_dims must be given where .* 2 for images .*, got .* of shape"
            ):
                function(kind(values), **options)
        for dims in (2, 3):
            found = function(kind(values), spatial_dims=np.int64(dims))
            again = function(kind(values), spacing=torch.ones(dims))
            np.testing.assert_array_equal(np.asarray(found), np.asarray(again))
    one = function(kind(masks[0]))  # two axes are an image
    np.testing.assert_array_equal(np.asarray(one), np.asarray(function(kind(masks), spatial_dims=2))[0])


@pytest.mark.parametrize("function", [signed_distance, curvature])
def test_spacings_of_any_library(function):
    values = blobs((2, 12, 15)).astype(float)
    expected = function(values, spacing=(2.0, 0.5))
    for spacing in (
        [2, 0.5],
        np.array([2, 0.5]),
        np.array([2, 0.5], ">f4"),
        torch.tensor([2, 0.5]),
        (np.float32(2), 0.5),
    ):
        np.testing.assert_array_equal(function(values, spacing=spacing), expected)
    expected = function(values[0], spacing=2.0)
    for spacing in (2, np.int8(2), np.float64(2), np.array(2), torch.tensor(2), torch.tensor(2.0)):
        np.testing.assert_array_equal(function(values[0], spacing=spacing), expected)
    for wrong in ("2", True, [[1, 1]], (1, "1"), {1, 2}, torch.tensor([[1.0, 1.0]])):
        with pytest.raises(ValueError, match=r"^spa.* must .*, got "):
            function(values, spacing=wrong)


def test_numbers_of_any_library():
    x = np.linspace(-1, 1, 9)
    for two in (np.float32(2), np.int64(2), np.array(2.0), torch.tensor(2.0), torch.tensor(2)):
        np.testing.assert_array_equal(heaviside(x, eps=two), heaviside(x, eps=2))
        np.testing.assert_array_equal(dirac(x, eps=two), dirac(x, eps=2))
        np.testing.assert_array_equal(mask_from_sdf(x, k=two), mask_from_sdf(x, k=2))
        np.testing.assert_array_equal(signed_distance(x > 0, normalize=two), signed_distance(x > 0, normalize=2))
        assert isinstance(heaviside(torch.zeros(2), eps=two), torch.Tensor)
    for wrong in ("2", True, [2.0], math.nan):
        for call in (lambda v: heaviside(x, eps=v), lambda v: dirac(x, eps=v), lambda v: mask_from_sdf(x, k=v)):
            with pytest.raises(ValueError, match="must be .*, got "):
                call(wrong)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(kind, half):
    if kind is np.array and half == "bfloat16":
        pytest.skip("NumPy has none")
    dtype = getattr(torch, half) if kind is torch.tensor else np.float16
    wide = torch.float32 if kind is torch.tensor else np.float32
    x = kind([-300.0, -2.5, -0.0625, 0.0, 1e-3, 0.75, 300.0], dtype=dtype)
    exact = x.to(wide) if kind is torch.tensor else x.astype(wide)
    for function in (
        lambda v: heaviside(v, eps=1e-4), lambda v: dirac(v, eps=1.0), lambda v: dirac(v, eps=1e-3),
        lambda v: mask_from_sdf(v, k=1500), lambda v: mask_from_sdf(v, k=1e6),
    ):  # fmt: skip
        found, expected = function(x), function(exact)
        assert found.dtype == dtype
        expected = expected.to(dtype) if kind is torch.tensor else expected.astype(dtype)
        np.testing.assert_array_equal(np.asarray(found.tolist()), np.asarray(expected.tolist()))
    assert float(dirac(x, eps=1.0)[0]) > 0  # 300^2 is none of float16's numbers


def test_curvature_of_a_flat_place_is_0_for_every_eps():
    for eps in (1e-30, 1e-300):
        for dtype in (torch.float32, torch.float64, torch.float16):
            assert (curvature(torch.zeros(4, 4, dtype=dtype), eps=eps) == 0).all()
