"""Chest-like pictures: the same for the same seed, masks that are exact, a class that only the lungs tell."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from tutorial_lib.lab.chest import HOSPITALS, Hospital, chest_pictures

BARE = Hospital(gain=1.0, offset=0.0, gamma=1.0, blur=0.0, noise=0.0, zoom=1.0, wander=0.0)


@pytest.fixture(scope="module")
def many():
    return {name: chest_pictures(150, seed=0, hospital=name, size=64) for name in HOSPITALS}


def area(scores, target) -> float:
    """The probability that a row of class 1 scores above one of class 0."""
    ill, well = scores[target == 1], scores[target == 0]
    return float((ill[:, None] > well).double().mean())


def test_shapes_kinds_and_ranges(many):
    for image, mask, opacity, target in many.values():
        assert image.shape == mask.shape == opacity.shape == (150, 1, 64, 64)
        assert (image.dtype, mask.dtype, opacity.dtype) == (torch.float32, torch.uint8, torch.uint8)
        assert target.dtype == torch.int64 and image.min() >= 0 and image.max() <= 1
        assert set(mask.unique().tolist()) == {0, 1} and 60 <= int(target.sum()) <= 90


def test_rows_depend_on_seed_and_number_only():
    few, more = chest_pictures(3, seed=5, size=48), chest_pictures(5, seed=5, size=48)
    assert all(torch.equal(one, other[:3]) for one, other in zip(few, more))
    assert not torch.equal(few.image, chest_pictures(3, seed=6, size=48).image)
    assert chest_pictures(0, seed=0).image.shape == (0, 1, 96, 96)


@pytest.mark.parametrize("hospital", HOSPITALS)
def test_masks_are_exact(hospital):
    """The middle of a pixel is the middle of the ninth in its middle: both must say the same."""
    coarse, fine = (chest_pictures(6, seed=1, hospital=hospital, size=size) for size in (48, 144))
    assert torch.equal(coarse.mask, fine.mask[..., 1::3, 1::3])
    assert torch.equal(coarse.opacity, fine.opacity[..., 1::3, 1::3])


def test_there_are_two_lungs_of_a_lungs_size(many):
    for pictures in many.values():
        shares = pictures.mask.double().mean((1, 2, 3))
        assert 0.1 < shares.min() and shares.max() < 0.5
        # The larger two parts are nearly all; a cut by the picture's edge may leave a third.
        for mask in pictures.mask[:40, 0].numpy():
            parts, count = ndimage.label(mask)
            sizes = np.sort(ndimage.sum_labels(mask, parts, range(1, count + 1)))
            assert count >= 2 and sizes[-2:].sum() > 0.98 * sizes.sum() and sizes[-2] > 0.3 * sizes[-1]


def test_lungs_are_darker_than_what_is_around_them():
    image, mask, *_ = chest_pictures(30, seed=2, decoys=0, prevalence=0.0, size=64)
    inside = (image * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    around = torch.from_numpy(ndimage.binary_dilation(mask.numpy(), iterations=4, structure=np.ones((1, 1, 3, 3)))) & (
        mask == 0
    )
    outside = (image * around).sum((1, 2, 3)) / around.sum((1, 2, 3))
    assert (outside - inside > 0.1).all()


def test_opacities_make_the_class(many):
    for pictures in many.values():
        assert (pictures.opacity <= pictures.mask).all()
        assert torch.equal(pictures.opacity.flatten(1).any(1), pictures.target == 1)


def test_a_patients_class_changes_the_lungs_only():
    options = {"seed": 3, "hospital": BARE, "size": 64}
    well, ill = (chest_pictures(8, prevalence=p, **options) for p in (0.0, 1.0))
    changed = (well.image - ill.image).abs() > 1e-6
    assert torch.equal(well.mask, ill.mask) and not (changed & (well.mask == 0)).any()
    assert (ill.image - well.image)[ill.opacity == 1].min() > 0.02  # what is marked can be seen
    same = [chest_pictures(8, prevalence=p, strength=0.0, **options).image for p in (0.0, 1.0)]
    assert torch.equal(*same)


def test_larger_patches_hide_more_of_the_lungs():
    sizes = [float(chest_pictures(20, seed=3, size=48, extent=e).opacity.double().mean()) for e in (0.6, 1.0, 1.5)]
    assert 1.5 * sizes[0] < sizes[1] < sizes[2] / 1.3


def test_decoys_change_everything_but_the_lungs():
    options = {"seed": 3, "hospital": BARE, "size": 64}
    without, with_ = (chest_pictures(8, decoys=count, **options) for count in (0, 2))
    changed = (without.image - with_.image).abs() > 1e-6
    assert changed.flatten(1).any(1).all() and not (changed & (without.mask == 1)).any()
    assert torch.equal(without.target, with_.target)


def test_the_place_tells_and_the_brightest_spot_does_not(many):
    """The setting can tell: with the masks known, one number nearly decides; without, it says little."""
    image, mask, _, target = many["a"]
    smooth = torch.nn.functional.avg_pool2d(image, 5, stride=1, padding=2)
    inner = torch.from_numpy(ndimage.binary_erosion(mask.numpy(), np.ones((1, 1, 3, 3)), iterations=4))
    in_lungs = (smooth * inner).flatten(1).amax(1)
    outside = (smooth * (mask == 0)).flatten(1).amax(1)
    assert area(in_lungs, target) > 0.8 and abs(area(outside, target) - 0.5) < 0.15


def test_the_hospitals_have_the_same_patients_and_other_pictures(many):
    a, b = many["a"], many["b"]
    assert torch.equal(a.target, b.target)
    assert b.mask.double().mean() > 1.15 * a.mask.double().mean()  # cropped tighter
    spread = [float(pictures.image.flatten(1).std(1).mean()) for pictures in (a, b)]
    assert spread[1] < 0.7 * spread[0]  # flatter
    still = Hospital(*HOSPITALS["b"])._replace(wander=0.0, zoom=1.0)
    there, here = (chest_pictures(4, seed=0, hospital=one, size=64) for one in (still, BARE))
    assert torch.equal(there.mask, here.mask) and torch.equal(there.opacity, here.opacity)


def test_the_exposure_is_what_it_says():
    options = {"seed": 4, "size": 64}
    plain = chest_pictures(2, hospital=BARE, **options).image
    other = chest_pictures(2, hospital=BARE._replace(gain=0.5, offset=0.1, gamma=2.0), **options).image
    torch.testing.assert_close(other, 0.5 * (plain**2 - 0.5) + 0.6, rtol=0, atol=1e-6)
    blurred = chest_pictures(2, hospital=BARE._replace(blur=2.0), **options).image
    expected = ndimage.gaussian_filter(plain.double().numpy(), (0, 0, 1.28, 1.28), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-5)
    noisy = chest_pictures(2, hospital=BARE._replace(noise=0.03), **options).image
    middle = (plain > 0.2) & (plain < 0.8)
    assert float((noisy - plain)[middle].std()) == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hospital": "c"}, "hospital must be 'a' or 'b', got 'c'"),
        ({"hospital": 3}, "hospital must be a name or a Hospital, got int"),
        ({"hospital": BARE._replace(noise=-1)}, "hospital.noise must be"),
        ({"size": 16}, "size must be a whole number of at least 32, got 16"),
        ({"prevalence": 1.5}, "prevalence must be in"),
        ({"strength": -1}, "strength must be"),
        ({"decoys": -1}, "decoys must be"),
        ({"extent": 0}, "extent must be"),
        ({"seed": 0.5}, "seed must be"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        chest_pictures(1, **{"seed": 0, **options})
