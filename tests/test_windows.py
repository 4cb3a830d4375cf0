"""Sliding windows with a gradient or at another resolution, and averages over flips."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tutorial_lib.networks import flip_average, sliding_window


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


# --- sliding windows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.05, 0.125, 0.5])
@pytest.mark.parametrize("sizes, window", [((13, 10), (6, 4)), ((9, 8, 7), (4, 6, 7))])
def test_sigma_scale_is_monais(sigma, sizes, window):
    inferers = pytest.importorskip("monai.inferers")
    dims = len(sizes)
    model = (nn.Conv2d if dims == 2 else nn.Conv3d)(1, 2, 3, padding=1).double()
    volume = noise(2, 1, *sizes)
    with torch.no_grad():
        theirs = inferers.sliding_window_inference(
            volume, window, 3, model, overlap=0.5, mode="gaussian", sigma_scale=sigma
        )
    options = {"stride": tuple(length // 2 for length in window), "blend": "gaussian", "sigma_scale": sigma}
    ours = sliding_window(model, volume, window=window, **options)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)  # MONAI computes its Gaussian in float32


@pytest.mark.parametrize("blend", ["uniform", "gaussian"])
def test_the_gradient_is_that_of_the_average(blend):
    model = nn.Conv1d(1, 1, 3, padding=1).double()
    volume = noise(1, 1, 7).requires_grad_()
    options = {"window": 4, "stride": 2, "blend": blend, "batch_size": 2, "gradient": True}
    assert torch.autograd.gradcheck(lambda x: sliding_window(model, x, **options), volume)
    sliding_window(model, volume, **options).square().sum().backward()
    assert model.weight.grad is not None and model.weight.grad.abs().max() > 0
    assert not sliding_window(model, volume, window=4, blend=blend).requires_grad
    with torch.no_grad():
        assert not sliding_window(model, volume, **options).requires_grad


@given(
    halves=st.lists(st.integers(2, 6), min_size=1, max_size=3),
    window=st.integers(1, 2),
    up=st.sampled_from([(1, 2), (2, 1), (3, 2)]),
    blend=st.sampled_from(["uniform", "gaussian"]),
)
def test_a_model_of_another_resolution_gives_the_whole_volumes_answer(halves, window, up, blend):
    """Each 2 pixels become 1, 4 or 3: pointwise, so that windows must agree with the whole."""
    sizes = [2 * half for half in halves]
    volume = noise(2, 1, *sizes)

    def model(x):
        means = x
        for axis in range(2, x.ndim):
            means = means.unflatten(axis, (-1, 2)).mean(axis + 1)
        for axis in range(2, x.ndim):
            means = means.repeat_interleave(2 * up[0] // up[1], axis)
        return {"same": x, "other": means}

    result = sliding_window(model, volume, window=2 * window, stride=2, blend=blend, keep_size=False)
    whole = model(volume)
    assert result["other"].shape[2:] == tuple(size * up[0] // up[1] for size in sizes)
    for name in whole:
        torch.testing.assert_close(result[name], whole[name])


def test_padding_is_cut_off_at_that_resolution():
    volume = noise(1, 1, 4, 4)
    result = sliding_window(lambda x: F.avg_pool2d(x, 2), volume, window=8, keep_size=False)
    torch.testing.assert_close(result, F.avg_pool2d(volume, 2))
    # Padded by 1 on one side: half of it is no whole pixel.
    with pytest.raises(ValueError, match=r"^model makes \(4, 4\) of a window of \(8, 8\): .* no whole pixels"):
        sliding_window(lambda x: F.avg_pool2d(x, 2), noise(1, 1, 6, 6), window=8, keep_size=False)
    with pytest.raises(ValueError, match="no whole pixels.*got the place 3 to 7"):
        sliding_window(lambda x: F.avg_pool2d(x, 2), noise(1, 1, 8, 8), window=4, stride=3, keep_size=False)


def test_what_a_model_must_return():
    volume = noise(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"^model must keep the axes of its windows, 4, got \(4, 3\)"):
        sliding_window(lambda x: x.mean((1, 2, 3))[:, None].expand(-1, 3), volume, window=4)
    with pytest.raises(
        ValueError, match=r"^model must return a window's answer for each window, .* got \(1, 1, 4, 4\)"
    ):
        sliding_window(lambda x: x[:1], volume, window=4)
    sizes = itertools.cycle([4, 2])
    with pytest.raises(ValueError, match=r"^model must return a window's answer"):
        sliding_window(lambda x: x[..., : next(sizes)], volume, window=4, stride=4, batch_size=2, keep_size=False)
    # A convolution without padding: its answer is no coarser, it is cut. Taken for coarser it would be silently wrong.
    cropping = nn.Conv2d(1, 1, 3).double()
    with pytest.raises(ValueError, match=r"^model must keep the size of its windows, \(4, 4\) .* got \(4, 1, 2, 2\)"):
        sliding_window(cropping, volume, window=4)
    with pytest.raises(ValueError, match="^sigma_scale must be finite and above 0, got 0"):
        sliding_window(lambda x: x, volume, window=4, sigma_scale=0)


# --- flips ----------------------------------------------------------------------------------------------------------


def test_flips_by_hand():
    """A model that sees only what is to the right: the average sees both sides."""
    images = torch.tensor([[[1.0, 2.0, 4.0]]])
    shifted = flip_average(lambda x: F.pad(x, (0, 1))[..., 1:], images)
    assert shifted.flatten().tolist() == [(2 + 0) / 2, (4 + 1) / 2, (0 + 2) / 2]


@given(dims=st.sets(st.sampled_from([-1, -2, -3])), seed=st.integers(0, 999))
def test_the_average_turns_with_the_image(dims, seed):
    """For any model the averaged one is equivariant; and it is the average of all combinations, by brute force."""
    torch.manual_seed(0)
    model = nn.Conv3d(1, 2, 3, padding=1).double()
    images = noise(1, 1, 3, 4, 5, seed=seed)
    dims = tuple(dims)
    ours = flip_average(model, images, dims=dims)
    every = [some for count in range(len(dims) + 1) for some in itertools.combinations(dims, count)]
    torch.testing.assert_close(ours, sum(model(images.flip(some)).flip(some) for some in every) / 2 ** len(dims))
    for axis in dims:
        torch.testing.assert_close(flip_average(model, images.flip(axis), dims=dims), ours.flip(axis))


def test_flips_of_a_module_and_a_structure():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Dropout(0.9))
    images = noise(2, 1, 4, 5).float().requires_grad_()
    result = flip_average(model, images)
    assert model.training and torch.equal(result, flip_average(model, images)) and result.requires_grad
    both = flip_average(lambda x: (x, {"a": x}["a"] * 2), images)
    assert isinstance(both, tuple)
    torch.testing.assert_close(both[1], 2 * images)
    assert flip_average(lambda x: x, images[:0]).shape == (0, 1, 4, 5)
    once = flip_average(lambda x: x * 3, images, dims=())
    torch.testing.assert_close(once, images * 3)


@pytest.mark.parametrize(
    "options,message",
    [
        ({"dims": [0]}, r"^dims\[0\] must be a whole number from -2 to -1, got 0"),
        ({"dims": [-3]}, r"^dims\[0\] must be a whole number from -2 to -1, got -3"),
        ({"dims": [-1, -1]}, r"^dims must name each axis once, got \(-1, -1\)"),
        ({"dims": 1}, "^dims must be a sequence of whole numbers"),
    ],
)
def test_flips_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        flip_average(lambda x: x, noise(1, 1, 4, 4), **options)
    with pytest.raises(ValueError, match=r"^images must be .*floating-point"):
        flip_average(lambda x: x, noise(1, 1, 4, 4).long())
