r"""How good are pictures that nobody has labelled: distances between two clouds of features, and what they miss.

Features are (N, D) numbers of a network that looks at pictures. Every score compares made pictures with real ones, and
none can say *which* fault it found: read a distance beside precision (do the made ones look real?) and recall (are all
kinds of real ones made?), and beside the nearest training pictures (were they only copied?). Taught in chapter 16.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from . import _arguments as check

__all__ = ["PrecisionRecall", "frechet_distance", "kernel_distance", "nearest_distances", "precision_recall"]


def frechet_distance(real: Tensor, made: Tensor) -> Tensor:
    r"""The Fréchet distance of two normal laws that have the clouds' means and covariances (FID).

    .. math:: \|\mu - \mu'\|^2 + \mathrm{tr}\big(S + S' - 2\, (S^{1/2} S' S^{1/2})^{1/2}\big)

    **It is biased upward**, and by more the fewer pictures there are: two samples of one law are never at distance 0.
    Compare only scores of equally many pictures, or use :func:`kernel_distance`.

    Args:
        real: (N, D) features, N at least 2.
        made: (M, D).

    Returns:
        A float64 tensor without axes, at least 0; on the CPU.

    Raises:
        ValueError: if shapes do not fit, or a side has fewer than two rows.

    References:
        Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017 (arXiv:1706.08500).

    >>> cloud = torch.tensor([[-1.0], [1.0]])
    >>> round(frechet_distance(cloud, 2 * cloud + 3).item(), 4)  # 3² + (√2 - 2√2)²
    11.0
    """
    real, made = _clouds(real, made)
    (mean, cov), (other_mean, other) = ((x.mean(0), torch.cov(x.T).reshape(x.shape[1], -1)) for x in (real, made))
    root = _root(cov)
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    return ((mean - other_mean).square().sum() + cov.trace() + other.trace() - 2 * cross).clamp(min=0)


def kernel_distance(real: Tensor, made: Tensor) -> Tensor:
    r"""The squared distance of two clouds in the space of a cubic kernel (KID), without bias.

    .. math:: \frac{\sum_{i \ne j} k(x_i, x_j)}{N(N-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{M(M-1)}
              - \frac{2 \sum_{i,j} k(x_i, y_j)}{NM}, \qquad k(x, y) = \Big(\frac{x \cdot y}{D} + 1\Big)^3

    Two samples of one law are at 0 *on average*, so that a single value may be negative.

    Args:
        real: (N, D) features, N at least 2.
        made: (M, D).

    Returns:
        A float64 tensor without axes, on the CPU.

    Raises:
        ValueError: if shapes do not fit, or a side has fewer than two rows.

    References:
        Binkowski et al., Demystifying MMD GANs, ICLR 2018 (arXiv:1801.01401).

    >>> kernel_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]])).item()  # 1 + 8 - 2
    7.0
    """
    real, made = _clouds(real, made)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    inner = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kernel(real, real), kernel(made, made))]
    return inner[0] + inner[1] - 2 * kernel(real, made).mean()


class PrecisionRecall(NamedTuple):
    """``precision``: the share of made pictures that lie among real ones; ``recall``: of real among made.

    Attributes:
        precision: from 0 to 1; low where made pictures look like no real one.
        recall: from 0 to 1; low where kinds of real pictures are never made.
    """

    precision: float
    recall: float


def precision_recall(real: Tensor, made: Tensor, *, neighbours: int = 3) -> PrecisionRecall:
    """Two shares by neighbourhoods: a point is among a cloud if the k-neighbour ball of one of its points holds it.

    A generator that draws one perfect picture over and over has precision 1 and recall near 0. One stray point has a
    ball that may cover the whole other cloud: the shares are not to be trusted where clouds have outliers.

    Args:
        real: (N, D) features, N above ``neighbours``.
        made: (M, D), M above ``neighbours``. Only clouds of equal size have comparable balls.
        neighbours: k; each point's ball reaches to its k-th nearest of its own cloud, itself not counted.

    Returns:
        :class:`PrecisionRecall`.

    Raises:
        ValueError: if shapes do not fit, or there are too few rows.

    References:
        Kynkäänniemi et al., Improved Precision and Recall Metric, NeurIPS 2019 (arXiv:1904.06991).

    >>> real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> precision_recall(real, torch.tensor([[0.1]] * 4), neighbours=1)
    PrecisionRecall(precision=1.0, recall=0.0)
    """
    neighbours = check.whole(neighbours, "neighbours", low=1)
    real, made = _clouds(real, made, rows=neighbours + 1)
    among = []
    for cloud, asked in ((real, made), (made, real)):
        reach = torch.cdist(cloud, cloud).kthvalue(neighbours + 1, dim=1).values  # the nearest is the point itself
        among.append(float((torch.cdist(asked, cloud) <= reach).any(1).double().mean()))
    return PrecisionRecall(*among)


def nearest_distances(pictures: Tensor, others: Tensor, *, batch: int = 256) -> Tensor:
    """How far each picture is from the nearest of others, as the root of the mean squared difference of pixels.

    Made pictures that lie nearer to the training pictures than *fresh real* ones do were learned by heart.

    Args:
        pictures: (N, …) floating-point.
        others: (M, …), M at least 1.
        batch: pictures compared at once.

    Returns:
        (N,) of the dtype of ``pictures``.

    Raises:
        ValueError: if shapes do not fit, or there are no others.

    >>> nearest_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 3.0], [9.0, 9.0]])).round(decimals=4)
    tensor([3.])
    """
    check.tensor(pictures, "pictures", "(B, ...)", kind="floating-point")
    check.tensor(others, "others", kind="floating-point")
    batch = check.whole(batch, "batch", low=1)
    if not len(others) or others.shape[1:] != pictures.shape[1:]:
        raise ValueError(f"others must be (M, {', '.join(map(str, pictures.shape[1:]))}), got {check.what(others)}")
    x, y = (check.wide(part.flatten(1)) for part in (pictures, others))
    found = [torch.cdist(part, y).min(1).values for part in x.split(batch)] if len(x) else [x.new_zeros(0)]
    return (torch.cat(found) / x.shape[1] ** 0.5).to(pictures)


def _clouds(real: Tensor, made: Tensor, rows: int = 2) -> tuple[Tensor, Tensor]:
    check.tensor(real, "real", "(N, D)", kind="floating-point")
    check.tensor(made, "made", f"(M, {real.shape[1]})", kind="floating-point")
    for part, name in ((real, "real"), (made, "made")):
        if len(part) < rows:
            raise ValueError(f"{name} must have at least {rows} rows, got {len(part)}")
    return real.detach().cpu().double(), made.detach().cpu().double()  # not every device has float64


def _root(matrix: Tensor) -> Tensor:
    """The symmetric root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
