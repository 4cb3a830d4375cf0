"""Image augmentation: every operation beside Pillow, the published ranges, masks that follow, and what is drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from tutorial_lib.augment import AUGMENT_RANGES, MagnitudeRange, image_operation, strong_augment, weak_augment
from tutorial_lib.augment.images import LEVELS, OPERATIONS

BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
ENHANCERS = {
    name: getattr(ImageEnhance, name.capitalize()) for name in ("brightness", "color", "contrast", "sharpness")
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(channels=1, height=24, width=30, seed=0) -> np.ndarray:
    """(C, H, W) bytes, smooth with some noise: 20 to 229, not a single value twice as frequent as by chance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(0.3 * x + 0.2 * (k + 1) * y + k) for k in range(channels)])
    return np.clip(120 + 80 * waves + rng.normal(0, 12, waves.shape), 20, 229).astype(np.uint8)


def pillow(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))


def back(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(float)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def ours(array, name, magnitude=0.0, **options) -> np.ndarray:
    images = torch.from_numpy(array).float()[None] / 255
    return image_operation(images, name, magnitude, **options)[0].numpy() * 255


# --- grey values, beside Pillow ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0.0, 0.28, 1.0, 1.72])
@pytest.mark.parametrize("name", ENHANCERS)
def test_enhancers_are_pillows_to_a_byte_and_a_half(name, factor, channels):
    """Pillow cuts the result to a byte, and what it blends with (grey, mean, smoothed) before."""
    array = picture(channels)
    theirs = back(ENHANCERS[name](pillow(array)).enhance(factor))
    assert np.abs(ours(array, name, factor) - theirs).max() <= 1 + 0.51 * abs(1 - factor)


@pytest.mark.parametrize("channels", [1, 3])
def test_equalize_is_pillows(channels):
    for seed in range(5):
        array = picture(channels, seed=seed)
        np.testing.assert_allclose(ours(array, "equalize"), back(ImageOps.equalize(pillow(array))), atol=1e-3)
    dark = np.minimum(picture(channels), 60)  # one level holds most pixels, so the step is 0 for some
    np.testing.assert_allclose(ours(dark, "equalize"), back(ImageOps.equalize(pillow(dark))), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_autocontrast_is_pillows_to_a_byte(channels):
    array = picture(channels)
    assert np.abs(ours(array, "autocontrast") - back(ImageOps.autocontrast(pillow(array)))).max() <= 1.001


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(bits):
    array = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_allclose(ours(array, "posterize", bits), back(ImageOps.posterize(pillow(array), bits)), atol=1e-3)


@pytest.mark.parametrize("threshold", [0, 26, 128, 231, 256])
def test_solarize_is_pillows(threshold):
    array = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    theirs = back(ImageOps.solarize(pillow(array), threshold))
    np.testing.assert_allclose(ours(array, "solarize", threshold), theirs, atol=1e-3)


def test_a_flat_image_stays():
    flat = np.full((1, 8, 8), 77, np.uint8)
    for name in ("identity", "autocontrast", "equalize", "contrast", "sharpness"):
        np.testing.assert_allclose(ours(flat, name, 0.5), flat, atol=1e-3)
    np.testing.assert_allclose(ours(picture(), "color", 0.1), picture(), atol=1e-3)  # grey has no colour to lose


# --- moves, beside Pillow ---


def affine(magnitude, name, height, width):
    """Pillow's six numbers for the same move: it reads (x, y) at corners of pixels, from the upper left."""
    middle_x, middle_y = width / 2, height / 2
    return {
        "shear_x": (1, magnitude, -magnitude * middle_y, 0, 1, 0),
        "shear_y": (1, 0, 0, magnitude, 1, -magnitude * middle_x),
        "translate_x": (1, 0, -magnitude * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, -magnitude * height),
        "crop": (1 - 2 * magnitude, 0, magnitude * width, 0, 1 - 2 * magnitude, magnitude * height),
    }[name]


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("magnitude", [0.03, 0.27, -0.19])
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "crop"])
def test_moves_are_pillows(name, magnitude, interpolation):
    array = picture()
    magnitude = abs(magnitude) if name == "crop" else magnitude
    numbers = affine(magnitude, name, *array.shape[1:])
    method = BILINEAR if interpolation == "bilinear" else NEAREST
    theirs = back(pillow(array).transform((30, 24), Image.Transform.AFFINE, numbers, method, fillcolor=51))
    assert_same_places(ours(array, name, magnitude, fill=0.2, interpolation=interpolation), theirs, 1.001)


@pytest.mark.parametrize("degrees", [3.0, -27.0, 90.0, 180.0])
def test_rotation_is_pillows(degrees):
    array = picture(height=25, width=25)
    theirs = back(pillow(array).rotate(degrees, BILINEAR))
    assert_same_places(ours(array, "rotate", degrees, fill=0.0), theirs, 1.001)


def assert_same_places(ours, theirs, tolerance):
    """Equal to the tolerance, but for pixels that are read exactly at an edge or a tie, of which rounding decides."""
    assert (np.abs(ours - theirs) > tolerance).mean() <= 0.004


def test_a_quarter_turn_is_exact():
    array = picture(height=16, width=16)
    turned = ours(array, "rotate", 90.0)
    np.testing.assert_allclose(turned, np.rot90(array, axes=(1, 2)), atol=0.05)


def test_positive_translation_goes_right_and_down():
    image = torch.zeros(1, 1, 10, 10)
    image[0, 0, 4, 4] = 1
    assert image_operation(image, "translate_x", 0.2, fill=0.0)[0, 0, 4, 6] == pytest.approx(1, abs=1e-5)
    assert image_operation(image, "translate_y", 0.2, fill=0.0)[0, 0, 6, 4] == pytest.approx(1, abs=1e-5)


def test_cutout_is_a_square_cut_at_the_border():
    images = torch.ones(200, 1, 32, 32)
    done = image_operation(images, "cutout", 0.5, fill=0.0, generator=seeded())
    holes = done[:, 0] == 0
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    assert ((rows * columns) == holes.sum((1, 2))).all()  # a rectangle
    assert rows.max() == 16 and 8 <= rows.min() < 16 and columns.max() == 16  # its middle is always inside


# --- the published pools ---


def levels_of(name, operation):
    first, last, _ = AUGMENT_RANGES[name][operation]
    return [first + (last - first) * (v - 1) / (LEVELS - 1) for v in range(1, LEVELS + 1)]


def test_the_pools_are_those_of_the_published_codes():
    """FixMatch's and MultiMix's own formulas of level v = 1 … 9."""
    v = np.arange(1, 10)
    official, mm = AUGMENT_RANGES["fixmatch"], AUGMENT_RANGES["multimix"]
    assert len(official) == 14 and len(mm) == 13 and set(official) - set(mm) == {"color"}
    np.testing.assert_allclose(levels_of("fixmatch", "contrast"), v * 1.8 / 10 + 0.1)
    np.testing.assert_allclose(levels_of("multimix", "contrast"), v * 0.9 / 10 + 0.05)
    assert np.round(levels_of("fixmatch", "posterize")).tolist() == [4 - int(one * 4 / 10) for one in v]
    assert np.round(levels_of("multimix", "posterize")).tolist() == [int(one * 4 / 10) + 4 for one in v]
    for pool in ("fixmatch", "multimix"):
        assert np.ceil(np.array(levels_of(pool, "solarize")) - 1e-3).tolist() == [256 - int(one * 25.6) for one in v]
        np.testing.assert_allclose(levels_of(pool, "rotate"), 3 * v)
        np.testing.assert_allclose(levels_of(pool, "shear_x"), 0.03 * v)
    np.testing.assert_allclose(32 * np.array(levels_of("fixmatch", "translate_x")), v)  # of 32 pixels
    np.testing.assert_allclose(levels_of("multimix", "translate_y"), 0.03 * v)


def test_multimix_only_ever_darkens():
    assert max(levels_of("multimix", "brightness")) < 1 < max(levels_of("fixmatch", "brightness"))


# --- weak ---


def test_weak_is_a_flip_and_a_shift_with_reflection():
    """Beside NumPy: pad by reflection, crop, for every image one of the flips and shifts."""
    images = torch.rand(40, 2, 8, 16, generator=seeded(1))
    done = weak_augment(images, generator=seeded())
    for image, result in zip(images.numpy(), done.numpy()):
        candidates = []
        for flipped in (image, image[:, :, ::-1]):
            padded = np.pad(flipped, [(0, 0), (1, 1), (2, 2)], mode="reflect")
            candidates += [padded[:, y : y + 8, x : x + 16] for y in range(3) for x in range(5)]
        assert sum(np.array_equal(result, one) for one in candidates) >= 1


def test_weak_draws_every_shift_alike():
    image = torch.zeros(6000, 1, 9, 9)
    image[:, :, 4, 4] = 1
    places = weak_augment(image, flip=0.0, shift=0.23, generator=seeded()).flatten(1).argmax(1)  # 2 pixels
    counts = torch.bincount(places, minlength=81).view(9, 9)
    assert counts.sum() == counts[2:7, 2:7].sum() == 6000
    assert (counts[2:7, 2:7] - 240).abs().max() < 5 * 240**0.5


def test_weak_without_anything_is_the_image():
    images = torch.rand(3, 1, 5, 7, dtype=torch.float64)
    assert torch.equal(weak_augment(images, flip=0.0, shift=0.0), images)
    assert torch.equal(weak_augment(images, flip=1.0, shift=0.0), images.flip(3))


def test_constant_padding_fills_images_and_empties_masks():
    images, masks = torch.zeros(50, 1, 8, 8), torch.ones(50, 2, 8, 8, dtype=torch.bool)
    done, moved = weak_augment(images, padding="constant", fill=0.25, shift=0.5, masks=masks, generator=seeded())
    assert moved.dtype == torch.bool and torch.equal(moved.all(1), done[:, 0] == 0) and not moved.all()


# --- strong ---


def test_masks_follow_the_image():
    """An image that is its own mask stays its own mask, where only moves are drawn."""
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    mask = ((y - 20.0) ** 2 + (x - 26.0) ** 2 < 150).expand(30, 1, 48, 48)
    moves = {name: row for name, row in AUGMENT_RANGES["fixmatch"].items() if row.mirrored}
    done, moved = strong_augment(
        mask.float(), ranges=moves, cutout=0, fill=0.0, interpolation="nearest", probability=1.0, masks=mask,
        generator=seeded(),
    )  # fmt: skip
    assert moved.dtype == torch.bool and torch.equal(done > 0.5, moved) and not torch.equal(moved, mask)


def test_masks_stay_where_only_grey_values_change_and_under_cutout():
    masks = torch.rand(6, 3, 16, 16) < 0.5
    tones = {name: row for name, row in AUGMENT_RANGES["multimix"].items() if not row.mirrored}
    options = {"ranges": tones, "flip": 0.0, "shift": 0.0, "generator": seeded()}
    done, kept = strong_augment(torch.rand(6, 1, 16, 16), masks=masks, **options)
    assert torch.equal(kept, masks) and (done == 0.5).flatten(1).any(1).all()


def test_an_operation_is_done_with_its_probability():
    images = torch.full((4000, 1, 4, 4), 0.5)
    only = {"brightness": (0.5, 0.5), "identity": ()}
    options = {"ranges": only, "cutout": 0, "count": 1, "generator": seeded()}
    share = (strong_augment(images, **options)[:, 0, 0, 0] < 0.4).float().mean()
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)


def test_each_level_comes_alike_often():
    images = torch.full((9000, 1, 3, 3), 1.0)
    done = strong_augment(
        images, ranges={"brightness": (0.1, 0.9)}, count=1, probability=1.0, cutout=0, generator=seeded()
    )[:, 0, 0, 0]
    levels = torch.bincount((done * 10).round().long(), minlength=10)
    assert levels[0] == 0 and (levels[1:] - 1000).abs().max() < 5 * 1000**0.5


def test_two_operations_are_done_one_after_the_other():
    images = torch.rand(5, 1, 12, 12)
    twice = strong_augment(images, ranges={"brightness": (0.5, 0.5)}, probability=1.0, cutout=0, flip=0.0, shift=0.0)
    torch.testing.assert_close(twice, images / 4)


def test_strong_without_anything_is_the_image():
    images = torch.rand(3, 1, 12, 9)
    assert torch.equal(strong_augment(images, count=0, cutout=0, flip=0, shift=0), images)
    assert strong_augment(images[:0]).shape == (0, 1, 12, 9)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 4), st.sampled_from([1, 2, 3]), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31),
    st.sampled_from([torch.float32, torch.float64, torch.float16]),
)  # fmt: skip
def test_results_are_images_of_the_same_kind(batch, channels, height, width, seed, dtype):
    images = torch.rand(batch, channels, height, width, generator=seeded(seed)).to(dtype)
    before = images.clone()
    for function in (weak_augment, strong_augment):
        one, other = (function(images, generator=seeded(seed)) for _ in range(2))
        assert one.shape == images.shape and one.dtype == dtype and torch.equal(one, other)
        assert not batch or (one.min() >= 0 and one.max() <= 1)
    assert torch.equal(images, before)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(OPERATIONS), st.integers(0, 1000))
def test_an_images_result_does_not_depend_on_its_neighbours(name, seed):
    if name == "cutout":
        return
    images = torch.rand(3, 1, 9, 11, generator=seeded(seed))
    sizes = torch.tensor([0.1, 0.2, 0.3])
    together = image_operation(images, name, sizes)
    alone = torch.cat([image_operation(image[None], name, float(size)) for image, size in zip(images, sizes)])
    torch.testing.assert_close(together, alone)


def test_gradients_flow_through_moves_and_enhancers():
    images = torch.rand(2, 1, 5, 5, dtype=torch.float64, generator=seeded()) * 0.5 + 0.2
    images.requires_grad_()
    for name, size in [("rotate", 11.0), ("brightness", 0.7), ("contrast", 0.8), ("sharpness", 0.5)]:
        assert torch.autograd.gradcheck(lambda x, n=name, s=size: image_operation(x, n, s), images)


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: strong_augment(255 * x), r"images must be in \[0, 1\]"),
        (lambda x: strong_augment(x[0]), r"images must be floating-point \(B, C, H, W\)"),
        (lambda x: weak_augment(x, flip=2), "flip must be in"),
        (lambda x: weak_augment(x, shift=1.0), "shift must be in"),
        (lambda x: weak_augment(x, padding="wrap"), "padding must be 'reflect' or 'constant', got 'wrap'"),
        (lambda x: weak_augment(x, masks=x[:1]), r"masks must be a tensor \(2, K, 8, 8\)"),
        (lambda x: strong_augment(x, ranges="randaugment"), "ranges must be 'fixmatch' or 'multimix'"),
        (lambda x: strong_augment(x, ranges={}), "ranges must be a name or operation"),
        (lambda x: strong_augment(x, ranges={"blur": (0, 1)}), "an operation of ranges must be 'identity'"),
        (lambda x: strong_augment(x, ranges={"rotate": 3}), r"ranges\['rotate'\] must be \(first, last\)"),
        (lambda x: strong_augment(x, ranges={"posterize": (4, 9)}), r"ranges\['posterize'\] of posterize must be in"),
        (lambda x: strong_augment(x, probability=1.5), "probability must be in"),
        (lambda x: strong_augment(x, interpolation="cubic"), "interpolation must be 'bilinear' or 'nearest'"),
        (lambda x: strong_augment(x, generator=0), "generator must be a torch.Generator or None"),
        (lambda x: image_operation(x, "invert"), "name must be 'identity'"),
        (lambda x: image_operation(x, "crop", 0.5), r"magnitude of crop must be in \[0, 0.49\], got 0.5"),
        (lambda x: image_operation(x, "rotate", torch.ones(3)), "magnitude must be 2 numbers"),
        (lambda x: image_operation(x, "rotate", fill=2), "fill must be in"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.rand(2, 1, 8, 8))


def test_a_range_may_be_a_plain_tuple():
    assert MagnitudeRange(1, 2) == (1, 2, False)
