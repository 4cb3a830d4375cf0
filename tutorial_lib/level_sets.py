"""Level sets: a mask as the signed distance to its boundary, the way back, and the curvature of the contour.

Negative is inside, everywhere in this module. The last ``spatial_dims`` axes are space, every axis before them is
batch.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.special import expit

from . import _arguments as check
from ._kernels.distance import depth, distance_to, inner_boundary

__all__ = ["curvature", "dirac", "heaviside", "mask_from_sdf", "signed_distance"]

Array = TypeVar("Array", np.ndarray, torch.Tensor)

# --- A mask as a signed distance ------------------------------------------------------------------------------------


def signed_distance(
    mask: Array,
    *,
    spacing: float | check.Numbers | None = None,
    normalize: str | float | None = None,
    spatial_dims: int | None = None,
) -> Array:
    r"""Exact Euclidean signed distance of a binary mask, negative inside.

    .. math:: d(x) = \begin{cases} +\min_{y \in S} \lVert x - y \rVert & x \notin S \\
              -\min_{y \notin S} \lVert x - y \rVert & x \in S \end{cases}

    ``x`` and ``y`` are voxel centres and ``S`` is the set of inside voxels: the distance from each voxel to the
    nearest voxel of the other kind. It is zero nowhere, and jumps from -1 to +1 between two neighbours. Beyond the
    image there is nothing, neither inside nor outside.

    ``normalize`` chooses what is made of ``d``:

    - ``None``: ``d`` itself, in the unit of ``spacing``. An empty mask gives ``+inf``, a full one ``-inf``: the
      other kind of voxel is infinitely far.
    - a number, the *scale*: ``clip((d - h sign d) / scale, -1, 1)``. The boundary lies between two voxels, so both
      sides are drawn in by half a voxel, ``h = min(spacing) / 2``; with equal spacing the result is within half a
      voxel of the distance to any outline that was sampled into this mask. A voxel's value depends on what is
      within ``scale`` of it and on nothing else in the crop. Empty gives +1 everywhere, full -1.
    - ``"diagonal"``: the same with the scale of the image's diagonal between its corner voxels: nothing is
      clipped, and all crops of one shape share one scale.
    - ``"dtc"``: the published code of DTC. Each side is divided by its own largest distance, then the inner
      boundary (inside voxels with an outside neighbour across a face) is set to 0. So the two sides have different
      units, both change with the crop, a mask cannot be had back exactly, and an empty mask gives 0, which the
      inverse reads as 0.5. A full mask is 0/0 there; here it gives -1.

    Computed by SciPy's exact feature transform, samples in parallel on ``torch.get_num_threads()`` threads; a tensor on
    another device visits the CPU. No gradient flows through it.

    Args:
        mask: ``(*batch, *space)``, bool or any dtype holding only 0 and 1; 1 is inside.
        spacing: voxel size, one number or one for each spatial axis; ``None`` is 1.
        normalize: ``None``, ``"dtc"``, ``"diagonal"`` or a positive number in the unit of ``spacing``.
        spatial_dims: how many trailing axes are space; those before them are a batch. ``None``: as many as ``spacing``
            has numbers, or both axes of an image. An array of three axes or more may be one volume or a batch of
            images: that must be said.

    Returns:
        The shape, kind and device of ``mask``; its dtype where that is floating, otherwise float64 for NumPy and
        torch's default for tensors.

    Raises:
        ValueError: on a mask that is not binary, a ``spacing``, ``normalize`` or ``spatial_dims`` that cannot be, or
            three axes or more of which neither ``spacing`` nor ``spatial_dims`` says which are space.

    References:
        Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency, AAAI 2021
        (arXiv:2009.04448), the task transform T.

    >>> signed_distance(np.array([[0, 0, 1, 1, 1, 0]])).tolist()
    [[2.0, 1.0, -1.0, -2.0, -1.0, 1.0]]
    >>> signed_distance(np.array([[0, 0, 1, 1, 1, 0]]), normalize=2).tolist()
    [[0.75, 0.25, -0.25, -0.75, -0.25, 0.25]]
    """
    values: Any = check.array(mask, "mask")
    space = check.spatial_dims(spatial_dims, values, "mask", spacing)
    steps, normalize = check.spacing(spacing, space), _scale(normalize)
    inside, is_tensor = check.mask(values, "mask"), isinstance(values, torch.Tensor)

    shape = inside.shape[inside.ndim - space :]
    if normalize == "diagonal":
        normalize = math.hypot(*((n - 1) * step for n, step in zip(shape, steps))) or 1.0
    samples = inside.reshape(math.prod(inside.shape[: inside.ndim - space]), *shape)  # (*batch, *space) -> (B, *space)
    out: Any = (torch.empty if is_tensor else np.empty)(samples.shape, dtype=_float_dtype(values))

    def transform(row: int) -> None:
        sample = _normalized(samples[row], steps, normalize)
        out[row] = torch.from_numpy(sample) if is_tensor else sample

    workers = min(len(samples), torch.get_num_threads())
    if workers > 1:  # SciPy lets go of the interpreter lock while it works
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(transform, range(len(samples))))
    else:
        for row in range(len(samples)):
            transform(row)
    out = out.reshape(inside.shape)
    return out.to(values.device) if is_tensor else out


def _normalized(inside: np.ndarray, steps: tuple[float, ...], normalize: str | float | None) -> np.ndarray:
    """One sample's signed distance, normalised; ``normalize`` is ``None``, ``"dtc"`` or a number."""
    if inside.all() or not inside.any():  # also a sample without voxels
        distance = np.full(inside.shape, -np.inf if inside.any() else np.inf)
        if normalize == "dtc":
            return np.nan_to_num(distance, posinf=0.0, neginf=-1.0)
        return distance if normalize is None else np.sign(distance)

    outer, inner = distance_to(inside, steps), depth(inside, steps)  # each 0 on the other side
    if normalize == "dtc":
        outer /= outer.max()
        inner /= inner.max()
        inner[inner_boundary(inside)] = 0
    distance = np.subtract(outer, inner, out=outer)
    if isinstance(normalize, float):
        half = min(step for n, step in zip(inside.shape, steps) if n > 1) / 2  # an axis of one voxel has no neighbours
        distance -= np.copysign(half, distance)
        distance /= normalize
        np.clip(distance, -1, 1, out=distance)
    return distance


def _scale(normalize: str | float | None) -> str | float | None:
    if normalize is None or isinstance(normalize, str) and normalize in ("dtc", "diagonal"):
        return normalize
    if isinstance(normalize, str):
        raise ValueError(f"normalize must be None, 'dtc', 'diagonal' or a positive number, got {normalize!r}")
    return check.number(normalize, "normalize", above=0)


# --- The step, its slope, and the way back --------------------------------------------------------------------------


def heaviside(x: Array, *, eps: float) -> Array:
    r"""Smooth unit step of Chan and Vese, never flat: it passes a gradient at any distance.

    .. math:: H_\epsilon(x) = \frac12 \Bigl(1 + \frac2\pi \arctan \frac x\epsilon\Bigr)

    It rises from 0 to 1 where ``x`` becomes positive; with negative inside, ``heaviside(-phi, eps=eps)`` is the inside.

    Args:
        x: any shape.
        eps: half width: ``H`` is 1/4 at ``-eps`` and 3/4 at ``+eps``; in the unit of ``x``.

    Returns:
        The shape, kind, device and floating dtype of ``x``; differentiable for tensors.

    Raises:
        ValueError: if ``eps`` is not positive and finite.

    References:
        Chan & Vese, Active Contours Without Edges, IEEE TIP 10(2), 2001, section III.

    >>> heaviside(torch.tensor([-1.0, 0.0, 1.0]), eps=1.0)
    tensor([0.2500, 0.5000, 0.7500])
    """
    (values, dtype), eps = _floating(x, "x"), check.number(eps, "eps", above=0)
    arctan = torch.atan if isinstance(values, torch.Tensor) else np.arctan
    return _cast(0.5 + arctan(values / eps) / math.pi, dtype)


def dirac(x: Array, *, eps: float) -> Array:
    r"""Smooth delta of Chan and Vese, the derivative of :func:`heaviside`.

    .. math:: \delta_\epsilon(x) = H_\epsilon'(x) = \frac1\pi \frac{\epsilon}{\epsilon^2 + x^2}

    Args:
        x: any shape.
        eps: half width at half of the height ``1 / (pi eps)``; in the unit of ``x``.

    Returns:
        The shape, kind, device and floating dtype of ``x``; differentiable for tensors.

    Raises:
        ValueError: if ``eps`` is not positive and finite.

    References:
        Chan & Vese, Active Contours Without Edges, IEEE TIP 10(2), 2001, section III. (scikit-image's ``chan_vese``
        leaves the factor 1 / pi out, which changes the time step only.)

    >>> dirac(torch.tensor([0.0, 1.0]), eps=1.0) * torch.pi
    tensor([1.0000, 0.5000])
    """
    (values, dtype), eps = _floating(x, "x"), check.number(eps, "eps", above=0)
    ratio = values / eps  # eps ** 2 by itself may underflow
    return _cast(1 / (math.pi * eps * (1 + ratio * ratio)), dtype)


def mask_from_sdf(sdf: Array, *, k: float) -> Array:
    r"""Soft mask of a signed distance: DTC's smooth inverse, near 1 inside and near 0 outside.

    .. math:: T^{-1}(z) = \sigma(-k z) = \frac{1}{1 + e^{k z}}

    ``k`` is positive here: the minus sign that turns negative inside into 1 is in the formula. The paper writes
    ``sigma(k z)`` with ``k = -1500``; that is ``k=1500``. Its gradient ``-k m (1 - m)`` is at least a tenth of its peak
    only where ``|z| < 3.64 / k``.

    Args:
        sdf: any shape, negative inside; infinities are welcome.
        k: steepness, in one over the unit of ``sdf``.

    Returns:
        The shape, kind, device and floating dtype of ``sdf``, in [0, 1]; differentiable for tensors.

    Raises:
        ValueError: if ``k`` is not positive and finite.

    References:
        Luo et al., AAAI 2021 (arXiv:2009.04448), the smooth inverse of the task transform.

    >>> mask_from_sdf(torch.tensor([-0.1, 0.0, 0.1]), k=10)
    tensor([0.7311, 0.5000, 0.2689])
    >>> mask_from_sdf(torch.tensor([-0.1, 0.0, 0.1]), k=1500)
    tensor([1.0000, 0.5000, 0.0000])
    """
    (z, dtype), k = _floating(sdf, "sdf"), check.number(k, "k, whose minus sign is in the formula,", above=0)
    if isinstance(z, torch.Tensor):
        return _cast(torch.sigmoid(z * -min(k, torch.finfo(z.dtype).max)), dtype)
    with np.errstate(over="ignore"):  # an infinite product is as good as a large one
        return _cast(expit(z * -min(k, float(np.finfo(z.dtype).max))), dtype)


# --- Curvature ------------------------------------------------------------------------------------------------------


def curvature(
    phi: Array,
    *,
    spacing: float | check.Numbers | None = None,
    eps: float = 1e-8,
    spatial_dims: int | None = None,
) -> Array:
    r"""Curvature of the level sets of ``phi``: the divergence of their unit normals.

    .. math:: \kappa = \nabla\cdot\frac{\nabla\phi}{\sqrt{|\nabla\phi|^2 + \epsilon^2}}

    With negative inside a circle of radius ``r`` has ``1 / r`` and a sphere ``2 / r``: the **sum** of the principal
    curvatures, twice the mean curvature. Where ``phi`` is flat the answer is 0.

    The normals are taken half way between neighbours and then differenced, which is second order in the spacing, uses
    only the neighbouring voxels, and stays within ``sum(2 / spacing)`` even at a kink. Beyond the image border the
    normals go on unchanged.

    Args:
        phi: ``(*batch, *space)``, a level-set function; integers become float.
        spacing: voxel size, one number or one for each spatial axis; ``None`` is 1.
        eps: added in square to the squared gradient, so that a flat place divides by no zero; in its unit.
        spatial_dims: how many trailing axes are space; ``None`` as in :func:`signed_distance`.

    Returns:
        The shape, kind, device and floating dtype of ``phi``, in one over the unit of ``spacing``; differentiable
        for tensors.

    Raises:
        ValueError: on a ``spacing``, ``eps`` or ``spatial_dims`` that cannot be, or where the axes of space are not
            said, as :func:`signed_distance`.

    References:
        Osher & Fedkiw, Level Set Methods and Dynamic Implicit Surfaces, 2003, section 1.4.

    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> print(f"{curvature(np.hypot(x, y) - 10)[20, 30]:.3f}")
    0.100
    """
    values, eps = check.array(phi, "phi"), check.number(eps, "eps", above=0)
    space = check.spatial_dims(spatial_dims, values, "phi", spacing)
    (values, dtype), steps = _floating(values, "phi"), check.spacing(spacing, space)
    if isinstance(values, torch.Tensor):
        return _cast(_curvature(values, steps, eps), dtype)
    copy = np.array(values, np.float32 if values.dtype == np.float32 else np.float64, order="C")
    return _cast(_curvature(torch.from_numpy(copy), steps, eps).numpy(), dtype)


def _curvature(phi: torch.Tensor, spacing: tuple[float, ...], eps: float) -> torch.Tensor:
    """Of the last ``len(spacing)`` axes."""
    steps = dict(zip(range(phi.ndim - len(spacing), phi.ndim), spacing))
    axes = [axis for axis in steps if phi.shape[axis] > 1]
    slopes = {axis: torch.gradient(phi, spacing=steps[axis], dim=axis)[0] for axis in axes}
    divergence = torch.zeros_like(phi)
    for axis in axes:
        faces = phi.shape[axis] - 1  # between neighbours: there the difference along the axis is centred
        across = torch.diff(phi, dim=axis) / steps[axis]
        squared = across**2 + max(eps**2, torch.finfo(phi.dtype).tiny)
        for other in axes:
            if other != axis:
                mean = (slopes[other].narrow(axis, 0, faces) + slopes[other].narrow(axis, 1, faces)) / 2
                squared = squared + mean**2
        normal = across / squared.sqrt()
        first, last = normal.narrow(axis, 0, 1), normal.narrow(axis, faces - 1, 1)
        divergence = divergence + torch.diff(normal, dim=axis, prepend=first, append=last) / steps[axis]
    return divergence


# --- Types ----------------------------------------------------------------------------------------------------------


def _floating(array: Any, name: str) -> tuple[Any, Any]:
    """Floating-point numbers wide enough to compute with, and the type that the answer is to have."""
    values: Any = check.array(array, name)
    dtype = _float_dtype(values)
    if isinstance(values, torch.Tensor):
        return check.wide(values.to(dtype)), dtype
    return values.astype(np.promote_types(dtype, np.float32), copy=False), dtype


def _cast(values: Any, dtype: Any) -> Any:
    return values.to(dtype) if isinstance(values, torch.Tensor) else values.astype(dtype, copy=False)


def _float_dtype(array: Any) -> Any:
    """The array's own dtype where that is floating, otherwise the default of its kind."""
    if isinstance(array, torch.Tensor):
        return array.dtype if array.is_floating_point() else torch.get_default_dtype()
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)
