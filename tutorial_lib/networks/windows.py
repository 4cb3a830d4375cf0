"""Inference: the averaged answers of overlapping windows, and of flipped copies of an image."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import _arguments as check
from .._kernels.hooks import evaluating


def sliding_window(
    model: Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[str, Tensor]],
    volume: Tensor,
    *,
    window: int | check.Wholes,
    stride: int | check.Wholes | None = None,
    blend: str = "uniform",
    sigma_scale: float = 0.125,
    batch_size: int = 4,
    pad_value: float = 0.0,
    keep_size: bool = True,
    gradient: bool = False,
) -> Any:
    r"""Run a model over all windows of a volume, and average what overlaps.

    .. math:: out(x) = \frac{\sum_i w(x - o_i)\, f(volume[o_i : o_i + window])(x)}{\sum_i w(x - o_i)}

    Windows start at :math:`o_i = \min(i \cdot stride,\ size - window)` on each axis: the last one is moved back, so
    that it ends where the volume does. On an axis where the volume is smaller than the window it is padded on both
    sides (where that is odd, by one more at the end), and the result is cut back. A volume of the window's size takes
    one pass and gives exactly what the model gives.

    What is averaged is what the model returns. Averaged logits and averaged probabilities differ; DTC's evaluation
    averages probabilities: ``sliding_window(lambda x: model(x).logits.sigmoid(), ...)``.

    With ``keep_size=False`` a model may answer at another resolution, such as half the window's: the places are scaled
    alike, and where that does not give whole pixels it is an error. It must be said, because a model that crops (a
    convolution without padding) looks the same from outside.

    Args:
        model: takes (N, C, *window), returns a tensor (N, C', *any), or a tuple, named tuple, list or dict of such.
            An ``nn.Module`` runs in ``eval`` mode, and gets its modes back; around a lambda do that yourself.
        volume: (B, C, *spatial) floating-point, with one spatial axis or more.
        window: size of the windows, one number for all axes or one for each.
        stride: steps between them, 1 to ``window``; ``None``: half the window.
        blend: the weight w inside a window. ``"uniform"``: 1. ``"gaussian"``: a bell around the middle, at least 0.001,
            which trusts a window's border less.
        sigma_scale: the bell's deviation, in windows.
        batch_size: windows a forward pass.
        pad_value: what fills up a volume that is smaller than the window.
        keep_size: ``False``: what the model returns covers its whole window, at another resolution.
        gradient: ``True`` keeps what autograd needs, which is the memory of all windows at once.

    Returns:
        What the model returns, with (B, C', *spatial) for each tensor (at the resolution of its windows), in its dtype,
        on the volume's device.

    Raises:
        ValueError: if an argument is not as described, or the model's windows do not fit together in whole pixels.

    References:
        The scheme of HiLab-git/DTC ``code/test_util.py`` (uniform; stride 18, 18, 4) and of nnU-Net (Isensee et al.,
        Nature Methods 2021; Gaussian).

    >>> volume = torch.arange(35.0).view(1, 1, 5, 7)
    >>> bool((sliding_window(lambda x: 2 * x, volume, window=4, stride=2) == 2 * volume).all())
    True
    """
    window, stride = _windows(volume, window, stride)
    blend, batch_size = (
        check.choice(blend, "blend", ("uniform", "gaussian")),
        check.whole(batch_size, "batch_size", low=1),
    )
    pad_value = check.number(pad_value, "pad_value", finite=False)
    sigma_scale = check.number(sigma_scale, "sigma_scale", above=0)
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

    keep_size, gradient = bool(keep_size), bool(gradient)
    with torch.set_grad_enabled(gradient and torch.is_grad_enabled()), evaluating(model):
        merged = _Merged(volume, window, places, None if blend == "uniform" else sigma_scale, keep_size)
        jobs = [(row, place) for row in range(len(volume)) for place in places]
        for first in range(0, len(jobs), batch_size):
            some = jobs[first : first + batch_size]
            crops = [volume[(slice(row, row + 1), slice(None), *place)] for row, place in some]  # each (1, C, *window)
            merged.add(some, model(torch.cat(crops) if len(crops) > 1 else crops[0]))
        return merged.result([slice(start, start + size) for start, size in zip(before, sizes)])


def flip_average(model: Callable[[Tensor], Any], images: Tensor, *, dims: Sequence[int] | None = None) -> Any:
    r"""Average a model's answers for an image and its mirror images, each flipped back: test-time augmentation.

    .. math:: \frac{1}{2^d} \sum_{F} F^{-1}(f(F(x)))

    over all :math:`2^d` combinations of flips along d axes. What is averaged is what the model returns; probabilities
    are the usual choice. It helps where the mirror image is as likely as the image. Left and right of a body are not:
    a model that tells left lung from right must not be flipped across. Chapter 08 (UNet 3+) uses it.

    Args:
        model: takes (B, C, *spatial), returns a tensor of as many axes, or a tuple, named tuple, list or dict of such.
            An ``nn.Module`` runs in ``eval`` mode, and gets its modes back.
        images: (B, C, *spatial) floating-point.
        dims: the axes of space to flip along, counted from the end (-1: left and right); ``None``: all.

    Returns:
        What the model returns, averaged. Gradients flow where autograd records.

    Raises:
        ValueError: if ``images`` is not as described, or a number of ``dims`` is no axis of space or stands twice.

    References:
        Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS 2012,
        section 4.1.

    >>> images = torch.arange(6.0).view(1, 1, 2, 3)
    >>> bool((flip_average(lambda x: 2 * x, images) == 2 * images).all())
    True
    """
    check.tensor(images, "images", "(B, C, S, ...)", kind="floating-point")
    axes = images.ndim - 2
    dims = tuple(range(-axes, 0)) if dims is None else check.wholes(dims, "dims", low=-axes, high=-1)
    if len(set(dims)) < len(dims):
        raise ValueError(f"dims must name each axis once, got {dims}")
    total, rebuild = None, None
    flips = [some for count in range(len(dims) + 1) for some in itertools.combinations(dims, count)]
    with evaluating(model):
        for some in flips:
            tensors, rebuild = _flatten(model(images.flip(some)))
            back = [tensor.flip(some) for tensor in tensors]
            total = back if total is None else [sums + tensor for sums, tensor in zip(total, back)]
    assert rebuild is not None and total is not None
    return rebuild([sums / len(flips) for sums in total])


class _Merged:
    """Weighted sums of windows, for each tensor that a model returns, at the resolution of that tensor."""

    def __init__(self, volume: Tensor, window, places: list[tuple[slice, ...]], sigma: float | None, keep_size: bool):
        self.volume, self.window, self.places, self.sigma, self.keep_size = volume, window, places, sigma, keep_size
        self.rebuild: Any = None
        self.sums: list[Tensor] = []
        self.dtypes: list[torch.dtype] = []
        self.sizes: list[tuple[int, ...]] = []  # what became of a window
        self.weights: list[Tensor | None] = []

    def add(self, jobs: list[tuple[int, tuple[slice, ...]]], output) -> None:
        tensors, self.rebuild = _flatten(output)
        if not self.sums:
            for tensor in tensors:
                self._begin(tensor)
        for sums, size, weight, tensor in zip(self.sums, self.sizes, self.weights, tensors):
            if tuple(tensor.shape[2:]) != size or len(tensor) != len(jobs):
                expected = f"({len(jobs)}, channels, {', '.join(map(str, size))})"
                raise ValueError(f"model must return a window's answer for each window, {expected}, {_got(tensor)}")
            for (row, place), values in zip(jobs, tensor.to(sums)):
                index: Any = (row, slice(None), *self._scaled(place, size))
                sums[index] += values if weight is None else values * weight.to(sums.dtype)

    def result(self, inner: list[slice]) -> Any:
        found = []
        for sums, size, weight, dtype in zip(self.sums, self.sizes, self.weights, self.dtypes):
            if len(self.places) > 1:
                total = torch.zeros(sums.shape[2:], device=sums.device, dtype=sums.dtype)
                for place in self.places:
                    total[self._scaled(place, size)] += 1 if weight is None else weight.to(total.dtype)
                sums = sums / total
            found.append(sums[(slice(None), slice(None), *self._scaled(inner, size))].to(dtype).contiguous())
        return self.rebuild(found)

    def _begin(self, tensor: Tensor) -> None:
        size = tuple(tensor.shape[2:])
        if tensor.ndim != self.volume.ndim:
            raise ValueError(f"model must keep the axes of its windows, {self.volume.ndim}, {_got(tensor)}")
        if self.keep_size and size != tuple(self.window):
            raise ValueError(
                f"model must keep the size of its windows, {tuple(self.window)} (keep_size=False: it answers at "
                f"another resolution), {_got(tensor)}"
            )
        self.sizes.append(size)
        self.dtypes.append(tensor.dtype)
        # One window is its own average: no weight, so that nothing is rounded.
        alone = self.sigma is None or len(self.places) == 1
        self.weights.append(None if alone else _bell(size, self.sigma, tensor))
        whole = self._scaled([slice(0, length) for length in self.volume.shape[2:]], size)
        shape = (len(self.volume), tensor.shape[1], *(place.stop for place in whole))
        self.sums.append(torch.zeros(shape, dtype=_sum_dtype(tensor), device=self.volume.device))

    def _scaled(self, place: Sequence[slice], size: tuple[int, ...]) -> tuple[slice, ...]:
        """A place in the volume as the place in an answer, where a window has another size."""
        scaled = []
        for axis, have, want in zip(place, self.window, size):
            if axis.start * want % have or (axis.stop - axis.start) * want % have:
                raise ValueError(
                    f"model makes {size} of a window of {self.window}: the windows' places then are no whole pixels; "
                    f"choose window and stride, and a volume, that fit, got the place {axis.start} to {axis.stop}"
                )
            scaled.append(slice(axis.start * want // have, axis.stop * want // have))
        return tuple(scaled)


def _got(tensor: Tensor) -> str:
    return f"got {tuple(tensor.shape)}"


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    # Sums of half precision numbers would lose digits.
    return torch.promote_types(tensor.dtype, torch.float32)


def _flatten(output: Any) -> tuple[list[Tensor], Any]:
    """The tensors of a model's output, and how to put such an output together again."""
    if isinstance(output, Tensor):
        return [output], lambda tensors: tensors[0]
    rebuild: Any = None
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


def _bell(size: tuple[int, ...], sigma: float | None, like: Tensor) -> Tensor:
    weight = torch.ones((), device=like.device, dtype=_sum_dtype(like))
    for length in size:
        x = torch.arange(length, device=weight.device, dtype=weight.dtype) - (length - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (x / (length * (sigma or 1))) ** 2)
    return weight.clamp_min(1e-3)


def _windows(volume, window, stride) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the windows and steps between them, one for each axis of space."""
    check.tensor(volume, "volume", "(B, C, S, ...)", kind="floating-point")
    if 0 in volume.shape:
        raise ValueError(f"volume must be floating-point (B, C, ...) and not empty, got {check.what(volume)}")
    axes = volume.ndim - 2
    window = check.wholes(window, "window", length=axes, broadcast=True, low=1)
    if stride is None:
        return window, tuple((length + 1) // 2 for length in window)
    stride = check.wholes(stride, "stride", length=axes, broadcast=True, low=1)
    if any(step > length for step, length in zip(stride, window)):
        raise ValueError(f"stride must not exceed window {window}, or pixels would be left out, got {stride}")
    return window, stride
