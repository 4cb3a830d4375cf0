"""Two-headed V-Net and U-Net against the published network, and sliding-window inference against MONAI."""

import json
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tutorial_lib.networks import DualOutput, DualUNet, DualVNet, sliding_window

VECTORS = json.loads((Path(__file__).parent / "vectors" / "dtc_published_code.json").read_text())
NORMS = ["batch", "instance", "group", None]


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


# --- V-Net ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", list(VECTORS["parameters"]))
def test_vnet_has_the_published_number_of_parameters(key):
    classes, norm = key.split()
    norm = {"batchnorm": "batch", "none": None}[norm]
    assert parameters(DualVNet(out_channels=int(classes), norm=norm)) == VECTORS["parameters"][key]


def numbers(name, shape, low=-1.0, high=1.0):
    """As in tests/vectors/make_dtc_vectors.py: the same numbers for the same name."""
    return np.random.default_rng(zlib.crc32(name.encode())).uniform(low, high, shape)


def fill(name, shape):
    if name.endswith("running_var"):
        return numbers(name, shape, 0.5, 2.0)
    scale = 2 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 2.0
    if name.startswith("heads."):
        scale *= 0.1
    return scale * numbers(name, shape)


def test_vnet_is_the_published_network():
    """Equal weights give equal outputs, to rounding."""
    case = VECTORS["network"]
    network = DualVNet(filters=case["filters"]).double().eval()
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            value.copy_(torch.tensor(fill(name, tuple(value.shape))))
    with torch.no_grad():
        logits, sdf = network(torch.tensor(numbers("image", case["shape"])))
    expected = {name: torch.tensor(case[name], dtype=torch.float64) for name in ("logits", "sdf")}
    assert expected["logits"].std() > 0.1 and expected["sdf"].std() > 0.1  # the stored numbers say something
    torch.testing.assert_close(logits.flatten()[:: case["every"]], expected["logits"], atol=1e-10, rtol=0)
    torch.testing.assert_close(sdf.flatten()[:: case["every"]], expected["sdf"], atol=1e-10, rtol=0)


def test_vnet_without_shortcuts_has_no_shortcut_and_with_them_it_has():
    """With all weights zero a residual level passes its input on; a plain one gives nothing."""
    for residual, passes in ((False, False), (True, True)):
        network = DualVNet(2, spatial_dims=2, filters=2, convs=(1,), norm=None, dropout=0.0, residual=residual)
        for parameter in network.encoder.parameters():
            nn.init.zeros_(parameter)
        x = torch.ones(1, 2, 3, 3)
        assert bool((network.encoder[0](x) == x).all()) is passes


# --- both networks --------------------------------------------------------------------------------------------------


def small(kind, dims, **options):
    if kind == "vnet":
        return DualVNet(spatial_dims=dims, filters=2, convs=(1, 1, 1), **options)
    return DualUNet(spatial_dims=dims, filters=(2, 3, 4), **options)


@pytest.mark.parametrize("kind", ["vnet", "unet"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("channels", [(1, 1), (3, 2)])
def test_shapes_and_ranges(kind, dims, norm, channels):
    network = small(kind, dims, in_channels=channels[0], out_channels=channels[1], norm=norm)
    shape = (8, 12, 4)[:dims] if norm != "instance" else (8, 16, 8)[:dims]
    output = network(torch.randn(2, channels[0], *shape, generator=seeded()))
    assert isinstance(output, DualOutput)
    assert output.logits.shape == output.sdf.shape == (2, channels[1], *shape)
    assert (output.sdf.abs() <= 1).all()
    (output.logits.sum() + output.sdf.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("kind", ["vnet", "unet"])
def test_the_two_heads_share_everything_but_one_layer(kind):
    network = small(kind, 2)
    network(torch.randn(2, 1, 8, 8, generator=seeded())).sdf.sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == ["heads.segmentation.weight", "heads.segmentation.bias"]


@pytest.mark.parametrize("kind", ["vnet", "unet"])
def test_same_seed_same_network_and_eval_is_deterministic(kind):
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(small(kind, 2, dropout=0.5))
    x = torch.randn(2, 1, 8, 8, generator=seeded())
    torch.testing.assert_close(networks[0].eval()(x), networks[1].eval()(x), atol=0, rtol=0)
    networks[0].train()
    assert not torch.equal(networks[0](x).logits, networks[0](x).logits)  # dropout is on


@pytest.mark.parametrize("kind", ["vnet", "unet"])
def test_odd_sizes_are_an_error_that_names_the_multiple(kind):
    network = small(kind, 2)
    with pytest.raises(ValueError, match=r"sizes of image must be multiples of 4, got \(8, 10\)"):
        network(torch.zeros(1, 1, 8, 10))
    with pytest.raises(ValueError, match=r"image must be floating-point \(B, 1, H, W\), got float32 \(1, 2, 8, 8\)"):
        network(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"image must be floating-point \(B, 1, H, W\), got"):
        network(torch.zeros(1, 1, 8, 8, 8))
    assert DualVNet(filters=1).multiple == 16


def test_network_bad_arguments():
    for network in (DualVNet, DualUNet):
        for options, message in (
            ({"spatial_dims": 1}, "spatial_dims must be a whole number from 2 to 3, got 1"),
            ({"norm": "layer"}, "norm must be 'batch', 'instance', 'group' or None, got 'layer'"),
            ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
            ({"out_channels": 0}, "out_channels must be a whole number of at least 1, got 0"),
        ):
            with pytest.raises(ValueError, match=message):
                network(**options)
    with pytest.raises(ValueError, match="convs must be a sequence of whole numbers, at least one, got "):
        DualVNet(convs=())
    with pytest.raises(ValueError, match=r"filters.*\[1\] must be a whole number of at least 1, got 0"):
        DualUNet(filters=(4, 0))


def test_documented_parameters_of_the_unet():
    assert parameters(DualUNet()) == 116_770


def test_group_norm_takes_any_channel_count():
    DualUNet(filters=(3, 5), norm="group")(torch.zeros(2, 1, 4, 4))


def test_the_unet_learns_a_disc():
    """A few steps on one image bring both heads near the truth: the whole path carries gradient."""
    from tutorial_lib.consistency import dtc_loss

    torch.manual_seed(0)
    grid = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"))
    distance = ((grid - 7.5).norm(dim=0) - 5)[None, None]
    mask, sdf = (distance < 0).float(), distance / 10
    image = mask + 0.3 * torch.randn(mask.shape, generator=seeded())
    network = DualUNet(filters=(4, 8), norm="instance")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = dtc_loss(*network(image), mask, sdf, lam=0.1, k=20.0)
        loss.total.backward()
        optimizer.step()
    assert loss.dice < 0.08 and loss.sdf < 0.02


# --- sliding window -------------------------------------------------------------------------------------------------


def smooth(dims, channels=1):
    """A local model: its output depends on the neighbours only; zero padding at the window's border."""
    conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(channels, 2, 3, padding=1).double()
    generator = seeded(1)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return conv


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 11), min_size=1, max_size=3),
    windows=st.lists(st.integers(1, 7), min_size=3, max_size=3),
    blend=st.sampled_from(["uniform", "gaussian"]),
    batch_size=st.integers(1, 5),
    data=st.data(),
)
def test_pointwise_models_give_the_whole_volumes_answer(sizes, windows, blend, batch_size, data):
    """Every pixel is covered, whatever the sizes, and each average is of equal values."""
    window = windows[: len(sizes)]
    stride = [data.draw(st.integers(1, length)) for length in window]
    volume = torch.randn(2, 3, *sizes, generator=seeded(), dtype=torch.float64)
    result = sliding_window(
        lambda x: x[:, :2] ** 2, volume, window=window, stride=stride, blend=blend, batch_size=batch_size
    )
    torch.testing.assert_close(result, volume[:, :2] ** 2)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("blend", ["uniform", "gaussian"])
def test_equals_whole_volume_inference_in_the_interior(dims, blend):
    """A 3-wide convolution, whose windows see one pixel beyond their core: overlap by two and drop the rim."""
    model = smooth(dims)
    volume = torch.randn(1, 1, *(11, 9, 8)[:dims], generator=seeded(), dtype=torch.float64)
    whole = model(volume)
    window, margin = 5, 1

    def core(x):
        """The model, sure of its interior only: the rim weighs nothing against what overlaps it."""
        out = model(x)
        weight = torch.full_like(out, 1e-12)
        weight[(slice(None), slice(None), *[slice(margin, -margin)] * dims)] = 1
        return out * weight, weight

    total, weight = sliding_window(core, volume, window=window, stride=window - 2 * margin, blend=blend)
    inner = (slice(None), slice(None), *[slice(margin, -margin)] * dims)
    torch.testing.assert_close((total / weight)[inner], whole[inner], atol=1e-9, rtol=0)


@pytest.mark.parametrize("blend", ["uniform", "gaussian"])
def test_a_volume_of_the_windows_size_is_the_models_answer_bit_for_bit(blend):
    torch.manual_seed(0)
    model = DualUNet(filters=(4, 8)).eval()
    volume = torch.randn(3, 1, 12, 16, generator=seeded())
    result = sliding_window(model, volume, window=(12, 16), blend=blend, batch_size=3)
    assert isinstance(result, DualOutput)
    with torch.no_grad():
        for ours, whole in zip(result, model(volume)):
            assert torch.equal(ours, whole)


@pytest.mark.parametrize("blend, mode", [("uniform", "constant"), ("gaussian", "gaussian")])
@pytest.mark.parametrize("sizes, window", [((13, 10), (6, 4)), ((9, 3, 7), (4, 6, 7)), ((5, 4), (8, 9))])
def test_against_monai(blend, mode, sizes, window):
    """Half-window strides; also volumes smaller than the window, on one axis or on all."""
    inferers = pytest.importorskip("monai.inferers")
    model = smooth(len(sizes), channels=2)
    volume = torch.randn(2, 2, *sizes, generator=seeded(), dtype=torch.float64)
    with torch.no_grad():
        theirs = inferers.sliding_window_inference(volume, window, 3, model, overlap=0.5, mode=mode, cval=0.3)
    stride = tuple(length // 2 for length in window) if all(w <= s for w, s in zip(window, sizes)) else None
    stride = stride or tuple(max(1, int(length * 0.5)) for length in window)
    ours = sliding_window(model, volume, window=window, stride=stride, blend=blend, batch_size=3, pad_value=0.3)
    # MONAI computes its Gaussian in float32.
    torch.testing.assert_close(ours, theirs, atol=1e-12 if blend == "uniform" else 1e-6, rtol=0)


def test_windows_are_those_of_the_published_evaluation():
    """HiLab-git/DTC test_util.py: ceil((size - patch) / stride) + 1 windows, the last moved back."""
    seen = []

    def spy(x):
        seen.extend(int(row[0, 0, 0]) for row in x)
        return x

    volume = (100 * torch.arange(17.0)[:, None] + torch.arange(9.0)).view(1, 1, 17, 9)
    sliding_window(spy, volume, window=(8, 6), stride=(5, 2))
    assert seen == [100 * x + y for x in (0, 5, 9) for y in (0, 2, 3)]


def test_uniform_is_the_plain_mean_of_what_overlaps():
    """Each window returns the number of its first pixel: a hand-made case."""
    volume = torch.arange(5.0).view(1, 1, 5)
    result = sliding_window(lambda x: x[..., :1].expand_as(x), volume, window=3, stride=1)
    assert result.flatten().tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_gaussian_trusts_the_middle():
    def first_pixel(x):
        return x[..., :1].expand_as(x)

    volume = torch.arange(12.0).view(1, 1, 12)
    result = sliding_window(first_pixel, volume, window=8, stride=4, blend="gaussian").flatten()
    near, far = np.exp(-0.5 * 0.5**2), np.exp(-0.5 * 3.5**2)
    assert result[3].item() == 0 and result[8].item() == 4
    # Pixel 4: in the middle of the first window, at the border of the second.
    assert result[4].item() == pytest.approx(4 * far / (near + far), rel=1e-5)


@pytest.mark.parametrize("kind", [dict, OrderedDict, tuple, list])
def test_structures(kind):
    def model(x):
        parts = {"one": x, "two": torch.cat([x, -x], dim=1)}
        return kind(parts) if issubclass(kind, dict) else kind(parts.values())

    volume = torch.randn(1, 1, 7, 6, generator=seeded())
    result = sliding_window(model, volume, window=4, stride=3)
    one, two = result.values() if issubclass(kind, dict) else result
    assert isinstance(result, dict if issubclass(kind, dict) else kind)
    torch.testing.assert_close(one, volume)
    assert two.shape == (1, 2, 7, 6)


def test_mode_gradient_dtype_and_arguments_are_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Dropout(0.9))
    model[1].eval()
    volume = torch.randn(1, 1, 6, 6, generator=seeded(), requires_grad=True)
    before = volume.detach().clone()
    result = sliding_window(model, volume, window=4)
    assert not result.requires_grad and torch.equal(volume.detach(), before)
    assert [module.training for module in model] == [True, False, True] and model.training
    assert torch.equal(result, sliding_window(model, volume, window=4))  # no dropout
    half = volume.detach().half()
    assert sliding_window(lambda x: x, half, window=4, blend="gaussian").dtype == torch.float16
    # The identity returns a view of its input: summing must not write into the volume.
    torch.testing.assert_close(sliding_window(lambda x: x, before, window=4, blend="gaussian"), before)

    def broken(x):
        raise RuntimeError("inside")

    network = nn.Module()
    network.forward = broken
    with pytest.raises(RuntimeError, match="inside"):
        sliding_window(network, before, window=4)
    assert network.training


def test_sliding_window_bad_input():
    volume = torch.zeros(1, 1, 6, 6)

    def same(x):
        return x

    for options, message in (
        ({"window": (3, 3, 3)}, r"window must be one whole number, or 2 whole numbers, got \(3, 3, 3\)"),
        ({"window": 0}, "window must be a whole number of at least 1, got 0"),
        ({"window": 4, "stride": 5}, r"stride must not exceed window \(4, 4\), .* got \(5, 5\)"),
        ({"window": 4, "stride": 0}, "stride must be a whole number of at least 1, got 0"),
        ({"window": 4, "blend": "mean"}, "blend must be 'uniform' or 'gaussian', got 'mean'"),
        ({"window": 4, "batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            sliding_window(same, volume, **options)
    with pytest.raises(ValueError, match=r"volume must be floating-point .* got int64 \(1, 1, 6, 6\)"):
        sliding_window(same, volume.long(), window=4)
    with pytest.raises(ValueError, match="not empty"):
        sliding_window(same, volume[:0], window=4)
    with pytest.raises(ValueError, match=r"model must keep the size of its windows, .*, got \(4, 1, 2, 4\)"):
        sliding_window(lambda x: x[:, :, ::2], volume, window=4)
    with pytest.raises(ValueError, match="model must return a tensor, .* got str"):
        sliding_window(lambda x: "mask", volume, window=4)


# --- kinds of faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.tensor, lambda v: np.array(v, ">i2")])
def test_sizes_of_any_library(kind):
    one = kind([1])[0]
    vnet = DualVNet(one, one, spatial_dims=kind([2])[0], filters=kind([4])[0], convs=kind([1, 2]), dropout=kind([0])[0])
    assert vnet(torch.zeros(1, 1, 4, 4)).logits.shape == (1, 1, 4, 4) and vnet.multiple == 2
    unet = DualUNet(one, filters=kind([4, 8]), norm=None, dropout=np.float32(0.5))
    assert unet(torch.zeros(1, 1, 4, 4)).sdf.shape == (1, 1, 4, 4)
    volume = torch.randn(1, 1, 7, 6, generator=seeded())
    expected = sliding_window(lambda x: 2 * x, volume, window=(4, 3), stride=(2, 3))
    found = sliding_window(lambda x: 2 * x, volume, window=kind([4, 3]), stride=kind([2, 3]), batch_size=one)
    assert torch.equal(found, expected)
    found = sliding_window(lambda x: 2 * x, volume, window=kind([8])[0], pad_value=np.float32(0))
    torch.testing.assert_close(found, 2 * volume)


ZEROS = torch.zeros(1, 1, 8, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DualUNet(filters=16), r"filters, channels of each level such as .*, must be a sequence .*, got 16"),
        (lambda: DualUNet(filters="16"), r"filters.* must be a sequence of whole numbers, .*, got '16'"),
        (lambda: DualUNet(filters=(16.0, 32)), r"filters.*\[0\] must be a whole number of at least 1, got 16.0"),
        (lambda: DualVNet(filters=(16, 32)), r"filters must be a whole number of at least 1, got \(16, 32\)"),
        (lambda: DualVNet(convs=3), "convs must be a sequence of whole numbers, at least one, got 3"),
        (lambda: DualVNet(in_channels=True), "in_channels must be a whole number of at least 1, got True"),
        (lambda: DualUNet(dropout="0.5"), r"dropout must be a number, in \[0, 1\), got '0.5'"),
        (
            lambda: DualUNet()(ZEROS.numpy()),
            r"image must be a tensor, floating-point \(B, 1, H, W\), got float32 array",
        ),
        (lambda: DualUNet()(ZEROS.long()), r"image must be floating-point \(B, 1, H, W\), got int64"),
        (lambda: sliding_window(abs, ZEROS.numpy(), window=4), "volume must be a tensor, floating-point"),
        (lambda: sliding_window(abs, ZEROS, window=4.0), "window must be a whole number of at least 1, got 4.0"),
        (lambda: sliding_window(abs, ZEROS, window="44"), "window must be one whole number, or 2 whole .*, got '44'"),
    ],
)
def test_what_networks_and_windows_are_not_made_of(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_each_network_is_a_file_and_imports_as_before():
    from tutorial_lib import networks
    from tutorial_lib.networks import unet, vnet, windows

    assert {"DualOutput", "DualUNet", "DualVNet", "sliding_window"} <= set(networks.__all__)
    assert networks.DualUNet is unet.DualUNet and networks.DualVNet is vnet.DualVNet
    assert networks.sliding_window is windows.sliding_window
