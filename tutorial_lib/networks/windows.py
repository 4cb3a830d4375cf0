"""Inference on volumes larger than a crop: the averaged answers of overlapping windows."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import _arguments as check


@torch.no_grad()
def sliding_window(
    model: Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[str, Tensor]],
    volume: Tensor,
    *,
    window: int | check.Wholes,
    stride: int | check.Wholes | None = None,
    blend: str = "uniform",
    batch_size: int = 4,
    pad_value: float = 0.0,
) -> Any:
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
    window, stride = _windows(volume, window, stride)
    blend, batch_size = (
        check.choice(blend, "blend", ("uniform", "gaussian")),
        check.whole(batch_size, "batch_size", low=1),
    )
    pad_value = check.number(pad_value, "pad_value", finite=False)
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
            crops = [volume[(slice(row, row + 1), slice(None), *place)] for row, place in some]  # each (1, C, *window)
            merged.add(some, model(torch.cat(crops) if len(crops) > 1 else crops[0]))
    finally:
        for module, training in modes.items():
            module.training = training
    return merged.result([slice(start, start + size) for start, size in zip(before, sizes)])


class _Merged:
    """Weighted sums of windows, for each tensor that a model returns."""

    def __init__(self, volume: Tensor, places: list[tuple[slice, ...]], weight: Tensor | None):
        self.volume, self.weight = volume, weight
        self.sums: list[Tensor] = []
        self.rebuild: Any = None
        self.dtypes: list[torch.dtype] = []
        self.single = len(places) == 1
        if not self.single:
            self.total = torch.zeros(volume.shape[2:], device=volume.device, dtype=_sum_dtype(volume))
            for place in places:
                self.total[place] += 1 if weight is None else weight

    def add(self, jobs: list[tuple[int, tuple[slice, ...]]], output) -> None:
        tensors, self.rebuild = _flatten(output)
        if not self.sums:
            self.dtypes = [tensor.dtype for tensor in tensors]
            self.sums = [self._zeros(tensor) for tensor in tensors]
        size = tuple(place.stop - place.start for place in jobs[0][1])
        for sums, tensor in zip(self.sums, tensors):
            if tuple(tensor.shape[2:]) != size or len(tensor) != len(jobs):
                expected = f"({len(jobs)}, channels, {', '.join(map(str, size))})"
                raise ValueError(f"model must keep the size of its windows, {expected}, got {tuple(tensor.shape)}")
            for (row, place), values in zip(jobs, tensor.to(sums)):
                index: Any = (row, slice(None), *place)
                part = sums[index]
                if self.weight is None or self.single:
                    part += values
                else:
                    part.addcmul_(values, self.weight.to(part.dtype))

    def result(self, inner: list[slice]) -> Any:
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


def _weight(window: tuple[int, ...], blend: str, volume: Tensor) -> Tensor | None:
    if blend == "uniform":
        return None
    weight = torch.ones((), device=volume.device, dtype=_sum_dtype(volume))
    for length in window:
        x = torch.arange(length, device=weight.device, dtype=weight.dtype) - (length - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (x / (length / 8)) ** 2)
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
