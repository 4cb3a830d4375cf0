"""Small segmentation networks with two heads, in 2-D and 3-D, and inference on volumes larger than a crop.

Both networks return :class:`DualOutput` ``(logits, sdf)``: the scores of a segmentation, and a signed distance in
[-1, 1], negative inside. A method that needs one head ignores the other.

===================  ===========================================  ==========================  ===================
network              joins encoder and decoder by                 parameters as by default    sizes: multiples of
===================  ===========================================  ==========================  ===================
:class:`DualVNet`    addition, five levels (DTC's network)        9,448,866 (3-D)             16
:class:`DualUNet`    concatenation, three levels (for a laptop)   116,770 (2-D)               4
===================  ===========================================  ==========================  ===================
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["DualOutput", "DualUNet", "DualVNet", "sliding_window"]


class DualOutput(NamedTuple):
    """What a two-headed network returns: ``logits`` and ``sdf``, both (B, out_channels, *spatial)."""

    logits: Tensor
    sdf: Tensor


# --- Networks -------------------------------------------------------------------------------------------------------


class DualVNet(nn.Module):
    r"""V-Net with a segmentation head and a signed-distance head, the network of dual-task consistency.

    Level i of the encoder has ``convs[i]`` convolutions (3 wide, norm, ReLU) on ``filters`` :math:`\cdot 2^i` channels,
    then a convolution of stride 2. The decoder mirrors it with transposed convolutions and *adds* the encoder's
    activations. Two 1-wide convolutions end it: :math:`f_1` (logits), and :math:`f_2 = \tanh(\cdot)` (distance).

    With its defaults and ``in_channels=1`` it is the published code's network, layer by layer. (The V-Net paper's is
    another: residual, 5 wide, concatenating. ``residual=True`` brings the shortcuts.)

    Args:
        in_channels: channels of the image, at least 1.
        out_channels: structures to segment, each with its own distance.
        spatial_dims: 2 or 3.
        filters: channels of the first level, at least 1.
        convs: convolutions of each level of the encoder, from the finest; its length is the number of levels.
        norm: ``"batch"``, ``"instance"``, ``"group"`` (16 groups, or the most that divide the channels), or ``None``.
        dropout: probability with which a whole channel is dropped, at the coarsest level and before the heads.
        residual: add its input to each level's output before the last ReLU (from the second level on where the image
            has another number of channels).

    Shape:
        (B, in_channels, *spatial) -> two of (B, out_channels, *spatial). Each size of ``spatial`` must be a multiple of
        :math:`2^{levels - 1}`: 16 by default.

    Raises:
        ValueError: if an argument is not as described; in ``forward``, if the input is not, naming the multiple.

    References:
        Milletari et al., V-Net, 3DV 2016 (arXiv:1606.04797); Luo et al., AAAI 2021 (arXiv:2009.04448), whose code
        HiLab-git/DTC has this form in ``code/networks/vnet_sdf.py``.

    >>> network = DualVNet(spatial_dims=2, filters=4)
    >>> logits, sdf = network(torch.zeros(2, 1, 32, 48))
    >>> logits.shape, bool((sdf.abs() <= 1).all())
    (torch.Size([2, 1, 32, 48]), True)
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        spatial_dims: int = 3,
        filters: int = 16,
        convs: Sequence[int] = (1, 2, 3, 3, 3),
        norm: str | None = "batch",
        dropout: float = 0.5,
        residual: bool = False,
    ):
        super().__init__()
        layers = _Layers(spatial_dims, norm)
        _check_positive(in_channels=in_channels, out_channels=out_channels, filters=filters)
        if not convs or min(convs) < 1:
            raise ValueError(f"convs must name at least one level, each with 1 or more, got {tuple(convs)}")
        widths = [filters * 2**level for level in range(len(convs))]
        self.in_channels, self.spatial_dims = in_channels, spatial_dims
        self.multiple = 2 ** (len(convs) - 1)

        def block(count: int, channels_in: int, channels: int) -> nn.Module:
            convolutions = layers.convolutions(count, channels_in, channels)
            return _Residual(convolutions) if residual and channels_in == channels else convolutions

        self.encoder = nn.ModuleList(
            block(count, width if level else in_channels, width)
            for level, (count, width) in enumerate(zip(convs, widths))
        )
        self.down = nn.ModuleList(
            layers.step(layers.conv(fine, coarse, 2, stride=2), coarse) for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(
            layers.step(layers.transposed(coarse, fine, 2, stride=2), fine)
            for fine, coarse in itertools.pairwise(widths)
        )
        self.decoder = nn.ModuleList(block(count, width, width) for count, width in zip(convs[:-1], widths[:-1]))
        self.dropout = layers.dropout(dropout)
        self.heads = _Heads(layers, filters, out_channels)

    def forward(self, image: Tensor) -> DualOutput:
        """Return both heads' outputs."""
        _check_image(self, image)
        skips, x = [], image
        for block, down in zip(self.encoder, self.down):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.dropout(self.encoder[-1](x))
        for block, up, skip in reversed(list(zip(self.decoder, self.up, skips))):
            x = block(up(x) + skip)
        return self.heads(self.dropout(x))


class DualUNet(nn.Module):
    """Small U-Net with a segmentation head and a signed-distance head.

    Each level has two convolutions (3 wide, norm, ReLU); max-pooling leads down, a transposed convolution up, and the
    decoder *concatenates* the encoder's activations.

    Args:
        in_channels: channels of the image, at least 1.
        out_channels: structures to segment, each with its own distance.
        spatial_dims: 2 or 3.
        filters: channels of each level, from the finest.
        norm: ``"batch"``, ``"instance"``, ``"group"`` (16 groups, or the most that divide the channels), or ``None``.
            Not ``"batch"`` by default: where each batch holds the same few labelled images beside ever new ones, its
            statistics couple the rows, and a small network learns that coupling by heart.
        dropout: probability with which a whole channel is dropped, at the coarsest level and before the heads.

    Shape:
        (B, in_channels, *spatial) -> two of (B, out_channels, *spatial). Each size of ``spatial`` must be a multiple of
        2 to the number of levels less one: 4 by default.

    Raises:
        ValueError: if an argument is not as described; in ``forward``, if the input is not, naming the multiple.

    References:
        Ronneberger et al., U-Net, MICCAI 2015 (arXiv:1505.04597), with padding and norms; Luo et al., AAAI 2021
        (arXiv:2009.04448), for the second head.

    >>> network = DualUNet(filters=(4, 8), spatial_dims=3)
    >>> network(torch.zeros(1, 1, 6, 4, 2)).sdf.shape
    torch.Size([1, 1, 6, 4, 2])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        spatial_dims: int = 2,
        filters: Sequence[int] = (16, 32, 64),
        norm: str | None = "instance",
        dropout: float = 0.0,
    ):
        super().__init__()
        layers = _Layers(spatial_dims, norm)
        _check_positive(in_channels=in_channels, out_channels=out_channels)
        if not filters or min(filters) < 1:
            raise ValueError(f"filters must name at least one level, each with 1 or more, got {tuple(filters)}")
        self.in_channels, self.spatial_dims = in_channels, spatial_dims
        self.multiple = 2 ** (len(filters) - 1)
        self.encoder = nn.ModuleList(
            layers.convolutions(2, before, width) for before, width in itertools.pairwise([in_channels, *filters])
        )
        self.down = layers.pool(2)
        self.up = nn.ModuleList(
            layers.transposed(coarse, fine, 2, stride=2) for fine, coarse in itertools.pairwise(filters)
        )
        self.decoder = nn.ModuleList(layers.convolutions(2, 2 * width, width) for width in filters[:-1])
        self.dropout = layers.dropout(dropout)
        self.heads = _Heads(layers, filters[0], out_channels)

    def forward(self, image: Tensor) -> DualOutput:
        """Return both heads' outputs."""
        _check_image(self, image)
        skips, x = [], image
        for block in self.encoder[:-1]:
            x = block(x)
            skips.append(x)
            x = self.down(x)
        x = self.dropout(self.encoder[-1](x))
        for block, up, skip in reversed(list(zip(self.decoder, self.up, skips))):
            x = block(torch.cat([skip, up(x)], dim=1))
        return self.heads(self.dropout(x))


class _Layers:
    """The layers of a network for one number of dimensions and one norm."""

    def __init__(self, spatial_dims: int, norm: str | None):
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}")
        if norm not in ("batch", "instance", "group", None):
            raise ValueError(f"norm must be 'batch', 'instance', 'group' or None, got {norm!r}")
        flat = spatial_dims == 2
        self.norm = norm
        self.conv = nn.Conv2d if flat else nn.Conv3d
        self.transposed = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
        self.pool = nn.MaxPool2d if flat else nn.MaxPool3d
        self.batch_norm = nn.BatchNorm2d if flat else nn.BatchNorm3d
        self.instance_norm = nn.InstanceNorm2d if flat else nn.InstanceNorm3d
        self.dropout_of_channels = nn.Dropout2d if flat else nn.Dropout3d

    def step(self, convolution: nn.Module, channels: int) -> nn.Sequential:
        """Convolution, norm, ReLU."""
        if self.norm is None:
            return nn.Sequential(convolution, nn.ReLU(inplace=True))
        if self.norm == "batch":
            norm = self.batch_norm(channels)
        elif self.norm == "instance":
            norm = self.instance_norm(channels)
        else:
            norm = nn.GroupNorm(math.gcd(16, channels), channels)
        return nn.Sequential(convolution, norm, nn.ReLU(inplace=True))

    def convolutions(self, count: int, channels_in: int, channels: int) -> nn.Sequential:
        """``count`` steps, 3 wide, that keep the size."""
        before = [channels_in] + [channels] * (count - 1)
        return nn.Sequential(*(self.step(self.conv(width, channels, 3, padding=1), channels) for width in before))

    def dropout(self, probability: float) -> nn.Module:
        if not 0 <= probability < 1:
            raise ValueError(f"dropout must be in [0, 1), got {probability}")
        return self.dropout_of_channels(probability) if probability else nn.Identity()


class _Residual(nn.Module):
    """A block whose input is added before its last ReLU."""

    def __init__(self, convolutions: nn.Sequential):
        super().__init__()
        self.body = nn.Sequential(*convolutions[:-1], convolutions[-1][:-1])
        self.relu = convolutions[-1][-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.body(x) + x)


class _Heads(nn.Module):
    def __init__(self, layers: _Layers, channels: int, out_channels: int):
        super().__init__()
        self.sdf = layers.conv(channels, out_channels, 1)
        self.segmentation = layers.conv(channels, out_channels, 1)

    def forward(self, x: Tensor) -> DualOutput:
        return DualOutput(self.segmentation(x), self.sdf(x).tanh())


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _check_image(network: DualVNet | DualUNet, image: Tensor) -> None:
    if image.ndim != network.spatial_dims + 2 or image.shape[1] != network.in_channels:
        pixels = ", ".join("HWD"[: network.spatial_dims])
        raise ValueError(f"image must be (B, {network.in_channels}, {pixels}), got {tuple(image.shape)}")
    if any(size % network.multiple or not size for size in image.shape[2:]):
        raise ValueError(
            f"the sizes of image must be multiples of {network.multiple}, got {tuple(image.shape[2:])}; "
            "pad it, or use sliding_window with such a window"
        )


# --- Inference on large volumes --------------------------------------------------------------------------------------


@torch.no_grad()
def sliding_window(
    model: Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[str, Tensor]],
    volume: Tensor,
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    blend: str = "uniform",
    batch_size: int = 4,
    pad_value: float = 0.0,
):
    r"""Run a model over all windows of a volume, and average what overlaps.

    .. math:: out(x) = \frac{\sum_i w(x - o_i)\, f(volume[o_i : o_i + window])(x)}{\sum_i w(x - o_i)}

    Windows start at :math:`o_i = \min(i \cdot stride,\ size - window)` on each axis: the last one is moved back, so
    that it ends where the volume does. On an axis where the volume is smaller than the window it is padded on both
    sides (where that is odd, by one more at the end), and the result is cut back. A volume of the window's size takes
    one pass and gives exactly what the model gives.

    What is averaged is what the model returns. Averaged logits and averaged probabilities differ; DTC's evaluation
    averages probabilities: ``sliding_window(lambda x: model(x).logits.sigmoid(), ...)``.

    Args:
        model: takes (N, C, *window), returns a tensor (N, C', *window), or a tuple, named tuple, list or dict of such.
            An ``nn.Module`` runs in ``eval`` mode, and gets its modes back; around a lambda do that yourself.
        volume: (B, C, *spatial) floating-point, with one spatial axis or more.
        window: size of the windows, one number for all axes or one for each.
        stride: steps between them, 1 to ``window``; ``None``: half the window.
        blend: the weight w inside a window. ``"uniform"``: 1. ``"gaussian"``: a bell around the middle with a deviation
            of an eighth of the window, at least 0.001, which trusts a window's border less.
        batch_size: windows a forward pass.
        pad_value: what fills up a volume that is smaller than the window.

    Returns:
        What the model returns, with (B, C', *spatial) for each tensor, in its dtype, on the volume's device. No
        gradient.

    Raises:
        ValueError: if an argument is not as described, or the model changes the size of its windows.

    References:
        The scheme of HiLab-git/DTC ``code/test_util.py`` (uniform; stride 18, 18, 4) and of nnU-Net (Isensee et al.,
        Nature Methods 2021; Gaussian).

    >>> volume = torch.arange(35.0).view(1, 1, 5, 7)
    >>> bool((sliding_window(lambda x: 2 * x, volume, window=4, stride=2) == 2 * volume).all())
    True
    """
    window, stride = _check_windows(volume, window, stride)
    if blend not in ("uniform", "gaussian"):
        raise ValueError(f"blend must be 'uniform' or 'gaussian', got {blend!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    sizes = volume.shape[2:]
    before = [max(length - size, 0) // 2 for size, length in zip(sizes, window)]
    if any(length > size for size, length in zip(sizes, window)):
        after = [max(length - size, 0) - start for size, length, start in zip(sizes, window, before)]
        ends = [end for pair in zip(reversed(before), reversed(after)) for end in pair]
        volume = nn.functional.pad(volume, ends, value=pad_value)
    places = [
        tuple(slice(start, start + length) for start, length in zip(starts, window))
        for starts in itertools.product(*map(_starts, volume.shape[2:], window, stride))
    ]

    modes = {module: module.training for module in model.modules()} if isinstance(model, nn.Module) else {}
    for module in modes:
        module.training = False
    try:
        merged = _Merged(volume, places, _weight(window, blend, volume))
        jobs = [(row, place) for row in range(len(volume)) for place in places]
        for first in range(0, len(jobs), batch_size):
            some = jobs[first : first + batch_size]
            crops = [volume[(slice(row, row + 1), slice(None), *place)] for row, place in some]
            merged.add(some, model(torch.cat(crops) if len(crops) > 1 else crops[0]))
    finally:
        for module, training in modes.items():
            module.training = training
    return merged.result([slice(start, start + size) for start, size in zip(before, sizes)])


class _Merged:
    """Weighted sums of windows, for each tensor that a model returns."""

    def __init__(self, volume: Tensor, places: list[tuple[slice, ...]], weight: Tensor | None):
        self.volume, self.weight = volume, weight
        self.sums: list[Tensor] | None = None
        self.rebuild, self.dtypes = None, None
        self.single = len(places) == 1
        if not self.single:
            self.total = torch.zeros(volume.shape[2:], device=volume.device, dtype=_sum_dtype(volume))
            for place in places:
                self.total[place] += 1 if weight is None else weight

    def add(self, jobs: list[tuple[int, tuple[slice, ...]]], output) -> None:
        tensors, self.rebuild = _flatten(output)
        if self.sums is None:
            self.dtypes = [tensor.dtype for tensor in tensors]
            self.sums = [self._zeros(tensor) for tensor in tensors]
        size = tuple(place.stop - place.start for place in jobs[0][1])
        for sums, tensor in zip(self.sums, tensors):
            if tuple(tensor.shape[2:]) != size or len(tensor) != len(jobs):
                expected = f"({len(jobs)}, channels, {', '.join(map(str, size))})"
                raise ValueError(f"model must keep the size of its windows, {expected}, got {tuple(tensor.shape)}")
            for (row, place), values in zip(jobs, tensor.to(sums)):
                part = sums[(row, slice(None), *place)]
                if self.weight is None or self.single:
                    part += values
                else:
                    part.addcmul_(values, self.weight.to(part.dtype))

    def result(self, inner: list[slice]):
        if not self.single:
            for sums in self.sums:
                sums /= self.total.to(sums.dtype)
        cut = (slice(None), slice(None), *inner)
        return self.rebuild([sums[cut].to(dtype).contiguous() for sums, dtype in zip(self.sums, self.dtypes)])

    def _zeros(self, tensor: Tensor) -> Tensor:
        shape = (len(self.volume), tensor.shape[1], *self.volume.shape[2:])
        return torch.zeros(shape, dtype=_sum_dtype(tensor), device=self.volume.device)


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    # Sums of half precision numbers would lose digits.
    return torch.promote_types(tensor.dtype, torch.float32)


def _flatten(output) -> tuple[list[Tensor], Callable]:
    """The tensors of a model's output, and how to put such an output together again."""
    if isinstance(output, Tensor):
        return [output], lambda tensors: tensors[0]
    if isinstance(output, Mapping):
        tensors, rebuild = list(output.values()), lambda tensors: dict(zip(output, tensors))
    elif isinstance(output, tuple | list):
        named = hasattr(output, "_fields")
        tensors, rebuild = list(output), (lambda tensors: type(output)(*tensors)) if named else type(output)
    else:
        tensors = []
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise ValueError(
            f"model must return a tensor, or a tuple, list or dict of tensors, got {type(output).__name__}"
        )
    return tensors, rebuild


def _starts(size: int, length: int, step: int) -> list[int]:
    count = math.ceil((size - length) / step) + 1
    return [min(i * step, size - length) for i in range(count)]


def _weight(window: tuple[int, ...], blend: str, volume: Tensor) -> Tensor | None:
    if blend == "uniform":
        return None
    weight = torch.ones((), device=volume.device, dtype=_sum_dtype(volume))
    for length in window:
        x = torch.arange(length, device=weight.device, dtype=weight.dtype) - (length - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (x / (length / 8)) ** 2)
    return weight.clamp_min(1e-3)


def _check_windows(volume: Tensor, window, stride) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not volume.is_floating_point() or volume.ndim < 3 or 0 in volume.shape:
        kind = str(volume.dtype).removeprefix("torch.")
        raise ValueError(f"volume must be floating-point (B, C, ...) and not empty, got {kind} {tuple(volume.shape)}")
    axes = volume.ndim - 2
    window = _per_axis("window", window, axes)
    stride = tuple((length + 1) // 2 for length in window) if stride is None else _per_axis("stride", stride, axes)
    if any(step > length for step, length in zip(stride, window)):
        raise ValueError(f"stride must not exceed window {window}, or pixels would be left out, got {stride}")
    return window, stride


def _per_axis(name: str, value, axes: int) -> tuple[int, ...]:
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes or any(not isinstance(entry, int) or entry < 1 for entry in values):
        raise ValueError(f"{name} must be a whole number above 0, or {axes} of them, got {value}")
    return values
