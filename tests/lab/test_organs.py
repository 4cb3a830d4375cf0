"""Slices of made-up organs: masks from their formulas, what tells a structure, seeds, bad input."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from tutorial_lib.lab.organs import ORGANS, organ_slices, sign_slices


def test_shapes_types_and_names():
    image, mask = organ_slices(3, seed=1, shape=(40, 56))
    assert image.shape == (3, 1, 40, 56) and image.dtype == torch.float32
    assert mask.shape == (3, len(ORGANS), 40, 56) and mask.dtype == torch.uint8 and mask.max() <= 1
    torch.testing.assert_close(image.mean((1, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(image.std((1, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_a_row_depends_on_the_seed_and_its_number_only():
    few, many, again = organ_slices(3, seed=4), organ_slices(6, seed=4), organ_slices(3, seed=5)
    assert torch.equal(few.image, many.image[:3]) and torch.equal(few.mask, many.mask[:3])
    assert not torch.equal(few.image, again.image)


def test_a_vessel_begins_in_the_organ_and_is_thin():
    mask = organ_slices(80, seed=0).mask.numpy()
    seen = 0
    for organ, vessel, _ in mask:
        if vessel.any():
            seen += 1
            assert (organ & vessel).any() and (vessel & ~organ.astype(bool)).any()
            assert ndimage.distance_transform_edt(np.pad(vessel, 1)).max() <= 2.3  # at most three pixels and a diagonal
            assert ndimage.label(vessel, np.ones((3, 3)))[1] == 1
        if not organ.any():
            assert not vessel.any()
    assert 10 < seen < 50


def test_what_is_absent_is_the_only_difference():
    """The same seed with nothing absent shows the same organ, vessel and gland."""
    some, all_of_them = organ_slices(30, seed=2), organ_slices(30, seed=2, absent=0.0)
    there = some.mask.flatten(2).any(2)
    assert bool(all_of_them.mask.flatten(2).any(2).all()) and 0.4 < float(there[:, 0].float().mean()) < 0.8
    for row in range(30):
        for k in range(3):
            if there[row, k]:
                assert torch.equal(some.mask[row, k], all_of_them.mask[row, k])
    assert not organ_slices(5, seed=2, absent=1.0).mask.any()


def test_grey_values_do_not_tell_the_vessel_from_the_fibres():
    image, mask = organ_slices(200, seed=3, noise=0.0, bias=0.0, absent=0.0)
    bare, _ = organ_slices(200, seed=3, noise=0.0, bias=0.0, absent=0.0, look_alikes=0)
    assert image.shape == bare.shape
    # Without noise a threshold on the raw picture that keeps half of the vessel keeps more that is not.
    vessel, organ = mask[:, 1:2].bool(), mask[:, :1].bool()
    level = image[vessel & ~organ].median()
    assert int(((image > level) & ~vessel & ~organ).sum()) > int((vessel & ~organ).sum())


def test_no_look_alikes_leave_the_shapes_alone():
    image, mask = organ_slices(4, seed=7, look_alikes=0, noise=0.0, bias=0.0, absent=0.0)
    background = image[~mask.bool().any(1, keepdim=True)]
    assert image.isfinite().all() and background.numel()


def test_a_far_sign_decides_and_a_disc_does_not_tell():
    far, near = sign_slices(60, seed=0, far=True), sign_slices(60, seed=0, far=False)
    assert torch.equal(far.image, near.image)
    marked = far.mask.bool().flatten(1).any(1)
    assert 15 < int(marked.sum()) < 45
    # All four discs or none; the hollow ones alone in the control.
    counts = [ndimage.label(one[0].numpy())[1] for one in far.mask]
    assert {count for count, is_marked in zip(counts, marked) if is_marked} == {4}
    assert {ndimage.label(one[0].numpy())[1] for one in near.mask} <= {0, 1, 2, 3, 4}
    # Where marked, the frame is there: noise-free, the picture without the discs is not flat.
    clean = sign_slices(60, seed=0, far=True, noise=0.0)
    other = ndimage.binary_dilation(clean.mask[:, 0].numpy().astype(bool), iterations=2, structure=np.ones((1, 3, 3)))
    spread = [image[0].numpy()[~around].std() for image, around in zip(clean.image[marked], other[marked.numpy()])]
    assert min(spread) > 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: organ_slices(-1, seed=0), "count must"),
        (lambda: organ_slices(1, seed=-1), "seed must"),
        (lambda: organ_slices(1, seed=0, shape=(16, 48)), "at least 32"),
        (lambda: organ_slices(1, seed=0, shape=(48, 48, 48)), "two sizes"),
        (lambda: organ_slices(1, seed=0, noise=-0.1), "noise must"),
        (lambda: organ_slices(1, seed=0, bias=1), "bias must"),
        (lambda: organ_slices(1, seed=0, absent=1.5), "absent must"),
        (lambda: organ_slices(1, seed=0, look_alikes=-1), "look_alikes must"),
        (lambda: sign_slices(1, seed=0, far=True, shape=(32, 32)), "at least 40"),
        (lambda: sign_slices(1, seed=0, far=True, noise=-1), "noise must"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_none_at_all():
    assert organ_slices(0, seed=0).image.shape == (0, 1, 48, 48) and sign_slices(0, seed=0, far=True).mask.shape[0] == 0
