"""Level sets: a mask as the signed distance to its boundary, the way back, and the curvature of the contour.

Negative is inside, everywhere in this module. The last ``spatial_dims`` axes are space, every axis before them is
batch.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy import ndimage
from scipy.special import expit

Array = np.ndarray | torch.Tensor


def signed_distance(
    mask: Array,
    *,
    spacing: float | Sequence[float] | None = None,
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
        spatial_dims: how many trailing axes are space. ``None``: as many as ``spacing`` has numbers, otherwise
            all of them up to three. So ``(D, H, W)`` is one volume; for a batch of images say ``spatial_dims=2``.

    Returns:
        The shape, kind and device of ``mask``; its dtype where that is floating, otherwise float64 for NumPy and
        torch's default for tensors.

    Raises:
        ValueError: on a mask that is not binary, or a ``spacing``, ``normalize`` or ``spatial_dims`` that cannot be.

    Paper: Luo et al., "Semi-supervised Medical Image Segmentation through Dual-task Consistency", AAAI 2021
    (arXiv 2009.04448), the task transform T.

    >>> signed_distance(np.array([[0, 0, 1, 1, 1, 0]])).tolist()
    [[2.0, 1.0, -1.0, -2.0, -1.0, 1.0]]
    >>> signed_distance(np.array([[0, 0, 1, 1, 1, 0]]), normalize=2).tolist()
    [[0.75, 0.25, -0.25, -0.75, -0.25, 0.25]]
    """
    space = _spatial_dims("mask", mask, spacing, spatial_dims)
    steps = _steps(spacing, space)
    if isinstance(normalize, str) and normalize not in ("dtc", "diagonal"):
        raise ValueError(f"normalize must be None, 'dtc', 'diagonal' or a positive number, got {normalize!r}")
    if normalize is not None and not isinstance(normalize, str):
        _positive("normalize", normalize)
    inside = _binary(mask)

    shape = inside.shape[inside.ndim - space :]
    if normalize == "diagonal":
        normalize = math.hypot(*((n - 1) * step for n, step in zip(shape, steps))) or 1.0
    samples = inside.reshape(math.prod(inside.shape[: inside.ndim - space]), *shape)
    is_tensor = isinstance(mask, torch.Tensor)
    out = (torch.empty if is_tensor else np.empty)(samples.shape, dtype=_float_dtype(mask))

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
    return out.to(mask.device) if is_tensor else out


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

    Paper: Chan and Vese, "Active Contours Without Edges", IEEE TIP 10(2), 2001, section III.

    >>> heaviside(torch.tensor([-1.0, 0.0, 1.0]), eps=1.0)
    tensor([0.2500, 0.5000, 0.7500])
    """
    _positive("eps", eps)
    arctan = torch.atan if isinstance(x, torch.Tensor) else np.arctan
    return 0.5 + arctan(x / float(eps)) / math.pi


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

    Paper: Chan and Vese, "Active Contours Without Edges", IEEE TIP 10(2), 2001, section III. (scikit-image's
    ``chan_vese`` leaves the factor 1 / pi out, which changes the time step only.)

    >>> dirac(torch.tensor([0.0, 1.0]), eps=1.0) * torch.pi
    tensor([1.0000, 0.5000])
    """
    _positive("eps", eps)
    ratio = x / float(eps)  # eps ** 2 by itself may underflow
    return 1 / (math.pi * float(eps) * (1 + ratio * ratio))


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

    Paper: Luo et al., AAAI 2021 (arXiv 2009.04448), the smooth inverse of the task transform.

    >>> mask_from_sdf(torch.tensor([-0.1, 0.0, 0.1]), k=10)
    tensor([0.7311, 0.5000, 0.2689])
    >>> mask_from_sdf(torch.tensor([-0.1, 0.0, 0.1]), k=1500)
    tensor([1.0000, 0.5000, 0.0000])
    """
    if not (k > 0 and math.isfinite(k)):
        raise ValueError(f"k must be positive and finite (the minus sign is in the formula: sigmoid(-k sdf)), got {k}")
    dtype = _float_dtype(sdf)
    if isinstance(sdf, torch.Tensor):
        return torch.sigmoid(sdf.to(dtype) * -min(float(k), torch.finfo(dtype).max))
    with np.errstate(over="ignore"):  # an infinite product is as good as a large one
        return expit(np.asarray(sdf, dtype) * -min(float(k), float(np.finfo(dtype).max))).astype(dtype, copy=False)


def curvature(
    phi: Array,
    *,
    spacing: float | Sequence[float] | None = None,
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
        ValueError: on a ``spacing``, ``eps`` or ``spatial_dims`` that cannot be.

    Book: Osher and Fedkiw, "Level Set Methods and Dynamic Implicit Surfaces", 2003, section 1.4.

    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> print(f"{curvature(np.hypot(x, y) - 10)[20, 30]:.3f}")
    0.100
    """
    space = _spatial_dims("phi", phi, spacing, spatial_dims)
    steps = _steps(spacing, space)
    _positive("eps", eps)
    if not isinstance(phi, torch.Tensor):
        values = torch.from_numpy(np.array(phi, _float_dtype(phi), order="C"))
        return curvature(values, spacing=steps, eps=eps, spatial_dims=space).numpy()
    if torch.finfo(_float_dtype(phi)).bits == 16:  # the square of eps would be 0
        return curvature(phi.float(), spacing=steps, eps=eps, spatial_dims=space).to(phi.dtype)
    phi = phi.to(_float_dtype(phi))

    axes = [axis for axis in range(phi.ndim - space, phi.ndim) if phi.shape[axis] > 1]
    steps = dict(zip(range(phi.ndim - space, phi.ndim), steps))
    slopes = {axis: torch.gradient(phi, spacing=steps[axis], dim=axis)[0] for axis in axes}
    divergence = torch.zeros_like(phi)
    for axis in axes:
        faces = phi.shape[axis] - 1  # between neighbours: there the difference along the axis is centred
        across = torch.diff(phi, dim=axis) / steps[axis]
        squared = across**2 + eps**2
        for other in axes:
            if other != axis:
                mean = (slopes[other].narrow(axis, 0, faces) + slopes[other].narrow(axis, 1, faces)) / 2
                squared = squared + mean**2
        normal = across / squared.sqrt()
        first, last = normal.narrow(axis, 0, 1), normal.narrow(axis, faces - 1, 1)
        divergence = divergence + torch.diff(normal, dim=axis, prepend=first, append=last) / steps[axis]
    return divergence


def _normalized(inside: np.ndarray, steps: tuple[float, ...], normalize: str | float | None) -> np.ndarray:
    """One sample's signed distance, normalised; ``normalize`` is ``None``, ``"dtc"`` or a number."""
    if inside.all() or not inside.any():  # also a sample without voxels
        distance = np.full(inside.shape, -np.inf if inside.any() else np.inf)
        if normalize == "dtc":
            return np.nan_to_num(distance, posinf=0.0, neginf=-1.0)
        return distance if normalize is None else np.sign(distance)

    # An inside voxel's nearest outside voxel lies in the bounding box grown by one: the second pass needs no more.
    box = tuple(slice(max(found.start - 1, 0), found.stop + 1) for found in _bounding_box(inside))
    core = inside[box]
    distance = _distance_to(inside, steps)
    depth = _distance_to(~core, steps)
    if normalize is None:
        distance[box] -= depth
    elif normalize == "dtc":
        distance /= distance.max()
        depth /= depth.max()
        depth[core & ~ndimage.binary_erosion(core, border_value=1)] = 0
        distance[box] -= depth
    else:
        distance[box] -= depth
        half = min(step for n, step in zip(inside.shape, steps) if n > 1) / 2  # an axis of one voxel has no neighbours
        distance -= np.copysign(half, distance)
        distance /= normalize
        np.clip(distance, -1, 1, out=distance)
    return distance


def _distance_to(target: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Distance from every voxel to the nearest true one, in float64; there must be one."""
    # SciPy walks the first axis first. With the axes in reverse, and a voxel's coordinates side by side, its walk keeps
    # to one piece of memory: 1.6 x as fast in 3-D.
    nearest = np.empty((*target.shape, target.ndim), np.int32)
    ndimage.distance_transform_edt(
        ~target.T, sampling=steps[::-1], return_distances=False, return_indices=True, indices=nearest.T
    )
    whole = all(step == 1 for step in steps) and sum(n * n for n in target.shape) < 2**31
    squared = 0
    for axis, (n, step) in enumerate(zip(target.shape, steps)):
        grid = np.arange(n, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(target.ndim)])
        offset = nearest[..., -1 - axis] - grid
        if not whole:  # whole numbers are quicker, and exact
            offset = offset * step
        offset *= offset
        squared = np.add(squared, offset, out=offset)
    return np.sqrt(squared, dtype=np.float64)


def _bounding_box(inside: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(inside.ndim):
        hits = np.flatnonzero(inside.any(axis=tuple(a for a in range(inside.ndim) if a != axis)))
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(box)


def _binary(mask: Array) -> np.ndarray:
    values = mask.detach().cpu() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    if isinstance(values, torch.Tensor):
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if values.dtype == bool:
        return values
    inside = values == 1
    other = inside | (values == 0)
    if not other.all():
        raise ValueError(f"mask must hold only 0 and 1, got {values[~other][0]}; pick a class first: mask == label")
    return inside


def _float_dtype(array: Array) -> np.dtype | torch.dtype:
    """The array's own dtype where that is floating, otherwise the default of its kind."""
    if isinstance(array, torch.Tensor):
        return array.dtype if array.is_floating_point() else torch.get_default_dtype()
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _spatial_dims(name: str, array: Array, spacing: float | Sequence[float] | None, spatial_dims: int | None) -> int:
    ndim = array.ndim if isinstance(array, torch.Tensor) else np.ndim(array)
    given = None if spacing is None or np.ndim(spacing) == 0 else len(spacing)
    if spatial_dims is None:
        spatial_dims = min(ndim, 3) if given is None else given
    if given is not None and given != spatial_dims:
        raise ValueError(f"spacing must have spatial_dims = {spatial_dims} numbers, got {given}")
    if not 1 <= spatial_dims <= ndim:
        raise ValueError(f"spatial_dims must be 1 to {ndim}, the number of axes of {name}, got {spatial_dims}")
    return spatial_dims


def _steps(spacing: float | Sequence[float] | None, space: int) -> tuple[float, ...]:
    values = np.broadcast_to(np.asarray(1.0 if spacing is None else spacing, float), space)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"spacing must be positive and finite, got {spacing}")
    return tuple(values.tolist())


def _positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, got {value}")
