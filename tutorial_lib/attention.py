r"""Attention for long texts: in linear time by random features, and one attention for each label.

Softmax attention compares every token with every other one: L² numbers. If the weight :math:`e^{q \cdot k}` were a
product :math:`\phi(q) \cdot \phi(k)`, the sum over the keys could be taken once for all queries, and the cost would
grow as L. :func:`performer_attention` draws such a :math:`\phi` at random (FAVOR+), so that it is right on average;
:func:`linear_attention` takes another weight altogether. :func:`label_attention` is exact, and asks for each label
separately which tokens speak for it.

The rival of the first two is not the L × L matrix but :func:`torch.nn.functional.scaled_dot_product_attention`, which
computes the same exact attention in pieces, in linear memory. Chapter 12 measures who wins where.

Padding takes no part, neither in the sums nor in their normalisers. A text of which nothing is left gives zeros.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import _arguments as check
from ._kernels.linear_attention import attend, favor, log_features

__all__ = [
    "LabelAttention",
    "LabelContext",
    "draw_projection",
    "label_attention",
    "linear_attention",
    "performer_attention",
    "random_features",
]

# --- Random features --------------------------------------------------------------------------------------------------


def draw_projection(
    num_features: int,
    head_dim: int,
    *,
    orthogonal: bool = True,
    norms: str = "random",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Draw the directions of random features: rows like normal vectors, at right angles in blocks.

    Every block of d rows is :math:`D\,Q` with Q a rotation drawn uniformly (the QR of a normal matrix, its signs put
    right), so that no two rows of a block look the same way: each row alone has the law of a normal vector, and the
    estimate scatters less. Keep it as a buffer. A new draw in each forward pass costs five times the attention.

    Args:
        num_features: m, rows.
        head_dim: d, the length of queries and keys.
        orthogonal: ``False``: independent rows.
        norms: D. ``"random"``: lengths of independent normal vectors, an unbiased estimate. ``"equal"``: all
            :math:`\sqrt d`, which scatters less and is biased.
        generator: source of the numbers, on ``device``.
        device: where to draw.
        dtype: float32 or float64.

    Returns:
        (m, d).

    Raises:
        ValueError: if a size is below 1, or an option is unknown.

    References:
        Choromanski et al., Rethinking Attention with Performers, ICLR 2021 (arXiv:2009.14794), section 2.4.

    >>> w = draw_projection(6, 4, norms="equal", generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> bool(torch.allclose(w[:4] @ w[:4].T, 4 * torch.eye(4, dtype=torch.float64)))
    True
    """
    rows, size = check.whole(num_features, "num_features", low=1), check.whole(head_dim, "head_dim", low=1)
    equal = check.choice(norms, "norms", ("random", "equal")) == "equal"
    generator = check.generator(generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)

    if orthogonal:
        q, r = torch.linalg.qr(normal(math.ceil(rows / size), size, size))  # (blocks, d, d)
        # QR alone leaves signs that depend on the matrix; with R's diagonal above 0 every rotation is equally likely.
        w = (q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)).mT.reshape(-1, size)[:rows]
        return w * (math.sqrt(size) if equal else torch.linalg.vector_norm(normal(rows, size), dim=1, keepdim=True))
    w = normal(rows, size)
    return w * (math.sqrt(size) / torch.linalg.vector_norm(w, dim=1, keepdim=True)) if equal else w


def random_features(x: Tensor, projection: Tensor, *, kind: str = "positive") -> Tensor:
    r"""Features whose products estimate the weights of softmax attention.

    .. math:: \phi(q) \cdot \phi(k) \approx e^{q \cdot k / \sqrt d}, \qquad
              \phi(x) = \tfrac{1}{\sqrt m} \left( e^{w_j \cdot x' - \|x'\|^2 / 2} \right)_{j = 1 \ldots m},
              \quad x' = d^{-1/4} x

    Without bias where the rows w have the law of normal vectors. The error grows with the norms of q and k, as
    :math:`e^{\|q' + k'\|^2}`, and falls only as 1/m: with norms of a few, no number of features helps.

    They are for looking at. :func:`performer_attention` works with their logarithms, since a large key overflows here.

    Args:
        x: (..., d) queries or keys.
        projection: (m, d) from :func:`draw_projection`.
        kind: ``"positive"`` as above. ``"hyperbolic"``: also with -w, so 2m of them, which scatters less than 2m
            independent ones. ``"trigonometric"``: :math:`e^{\|x'\|^2 / 2} (\cos w \cdot x', \sin w \cdot x')`, 2m of
            them: unbiased too, but an estimate of a small weight can be negative, and a softmax then divides by zero.

    Returns:
        (..., m), or (..., 2m).

    Raises:
        ValueError: if the shapes do not fit, or ``kind`` is unknown.

    References:
        Choromanski et al., ICLR 2021 (arXiv:2009.14794), lemma 1 and equations 5 and 7.

    >>> q, k = torch.tensor([[0.3, -0.2]], dtype=torch.float64), torch.tensor([[0.1, 0.4]], dtype=torch.float64)
    >>> w = draw_projection(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> estimate = random_features(q, w) @ random_features(k, w).T
    >>> round(float(estimate), 2), round(float((q @ k.T / 2**0.5).exp()), 2)
    (0.96, 0.97)
    """
    kind = check.choice(kind, "kind", ("positive", "hyperbolic", "trigonometric"))
    x, projection = _projected(x, "x", projection)
    along = (x * x.shape[-1] ** -0.25) @ projection.mT  # (..., m)
    half = x.square().sum(-1, keepdim=True) * (0.5 / math.sqrt(x.shape[-1]))  # (..., 1)
    if kind == "trigonometric":
        return half.exp() * torch.cat([along.cos(), along.sin()], -1) / math.sqrt(len(projection))
    if kind == "hyperbolic":
        along = torch.cat([along, -along], -1)
    return (along - half).exp() / math.sqrt(along.shape[-1])


def performer_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    projection: Tensor,
    causal: bool = False,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Softmax attention estimated by positive random features, in time and memory that grow as L (FAVOR+).

    .. math:: o_t = \frac{\sum_s \phi(q_t) \cdot \phi(k_s)\, v_s}{\sum_s \phi(q_t) \cdot \phi(k_s)}

    with :math:`\phi` of :func:`random_features`; a causal one sums over :math:`s \le t`. For hyperbolic features pass
    ``torch.cat([w, -w])``.

    No constant is added to the features, and none overflows or vanishes: each feature is divided by its largest value
    over the keys, which is handed to the queries. (Popular code subtracts one maximum for all keys and leaves the norm
    out of it. There one key ten times as long as the others makes every output the plain mean of the values.)

    Args:
        query: (..., L, d).
        key: (..., S, d).
        value: (..., S, e).
        projection: (m, d) from :func:`draw_projection`.
        causal: a token sees itself and what stands before it; then L = S.
        mask: bool, true where there is a token: (..., S), or (B, S) with B the first axis of ``key``; ``None``: all.

    Returns:
        (..., L, e), in the queries' dtype; zeros where the mask leaves nothing.

    Raises:
        ValueError: if shapes, types or devices do not fit.

    References:
        Choromanski et al., ICLR 2021 (arXiv:2009.14794), algorithm 1.

    >>> w = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    >>> k, v = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    >>> performer_attention(torch.eye(2), k, v, projection=w)
    tensor([[1.0571, 1.0946],
            [0.9522, 1.3225]])
    """
    dtype = query.dtype if isinstance(query, Tensor) else None
    query, key, value, mask = _sequences(query, key, value, causal, mask)
    q, projection = _projected(query, "query", projection)
    k, _ = _projected(key, "key", projection)
    with check.no_autocast(query.device):
        if not causal:
            return favor(q, k, value, projection, mask).to(dtype)
        return attend(*log_features(q, k, projection), value, mask, True).to(dtype)


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False, mask: Tensor | None = None
) -> Tensor:
    r"""Attention whose weight is a product of positive features by definition: no softmax, and nothing is estimated.

    .. math:: o_t = \frac{\sum_s \phi(q_t) \cdot \phi(k_s)\, v_s}{\sum_s \phi(q_t) \cdot \phi(k_s)}, \qquad
              \phi(x) = \mathrm{elu}(x) + 1

    A token cannot stand out as it can in a softmax: weights grow in proportion to x, not with its exponential.

    Args:
        query: (..., L, d).
        key: (..., S, d).
        value: (..., S, e).
        causal: as in :func:`performer_attention`.
        mask: as in :func:`performer_attention`.

    Returns:
        (..., L, e), in the queries' dtype; zeros where the mask leaves nothing.

    Raises:
        ValueError: if shapes, types or devices do not fit.

    References:
        Katharopoulos et al., Transformers are RNNs, ICML 2020 (arXiv:2006.16236), equation 7.

    >>> k, v = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    >>> linear_attention(torch.eye(2), k, v)
    tensor([[1.1333, 1.4667],
            [1.0667, 1.5333]])
    """
    dtype = query.dtype if isinstance(query, Tensor) else None
    query, key, value, mask = _sequences(query, key, value, causal, mask)
    return attend(_log_elu(query), _log_elu(key), value, mask, bool(causal)).to(dtype)


# --- One attention a label --------------------------------------------------------------------------------------------


class LabelContext(NamedTuple):
    """What :func:`label_attention` returns."""

    context: Tensor
    """(B, C, D): for each label the mean of the hidden states, weighted by how much they speak for it."""
    weights: Tensor
    """(B, C, L): those weights; they add up to 1 over the tokens, and are 0 on padding."""


def label_attention(
    hidden: Tensor, labels: Tensor, *, scores: Tensor | None = None, mask: Tensor | None = None
) -> LabelContext:
    r"""For each label its own softmax over the tokens of a text, and the mean of the hidden states under it.

    .. math:: \alpha_{ct} = \mathrm{softmax}_t\, (s_t \cdot u_c), \qquad m_c = \sum_t \alpha_{ct} h_t

    A diagnosis that one sentence of a long record decides is not drowned in the mean of the other thousand tokens.
    CAML takes :math:`s = h`, LAAT a layer of its own, :math:`s = \tanh(W h)`.

    Args:
        hidden: (B, L, D) :math:`h`.
        labels: (C, K) :math:`u`, one vector a label.
        scores: (B, L, K) :math:`s`; ``None``: ``hidden``.
        mask: (B, L) bool, true where there is a token; ``None``: all. (CAML's and PLM-ICD's code let padding into the
            softmax: a text's scores then depend on how long its neighbours in the batch are.)

    Returns:
        :class:`LabelContext`. A text without tokens has weights and context 0.

    Raises:
        ValueError: if shapes or types do not fit.

    References:
        Mullenbach et al., Explainable Prediction of Medical Codes from Clinical Text, NAACL 2018 (arXiv:1802.05695),
        section 2.2; Vu et al., A Label Attention Model for ICD Coding from Clinical Text, IJCAI 2020.

    >>> hidden = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [9.0, 9.0]]])
    >>> found = label_attention(hidden, torch.tensor([[1.0, 0.0]]), mask=torch.tensor([[True, True, False]]))
    >>> [round(float(weight), 3) for weight in found.weights[0, 0]]
    [0.047, 0.953, 0.0]
    """
    hidden = check.tensor(hidden, "hidden", "(B, L, D)", kind="floating-point")
    scores = hidden if scores is None else check.tensor(scores, "scores", "(B, L, K)", kind="floating-point")
    labels = check.tensor(labels, "labels", "(C, K)", kind="floating-point")
    if scores.shape[:2] != hidden.shape[:2]:
        raise ValueError(f"scores must be ({hidden.shape[0]}, {hidden.shape[1]}, K), got {check.what(scores)}")
    if labels.shape[1] != scores.shape[2]:
        raise ValueError(f"labels must be (C, {scores.shape[2]}), as long as what they meet, got {check.what(labels)}")
    keep = _mask(mask, hidden.shape[:2])  # (B, L)
    with check.no_autocast(hidden.device):
        strength = check.wide(labels) @ check.wide(scores).mT  # (C, K), (B, K, L) -> (B, C, L)
        if keep is None:
            weights = strength.softmax(-1)
        else:
            keep = keep.unsqueeze(1)
            # An infinite negative score, not a large one; and where nothing is left, 0 instead of 0/0.
            least = torch.where(keep.any(-1, keepdim=True), -math.inf, 0.0).to(strength.dtype)
            weights = torch.where(keep, strength, least).softmax(-1) * keep
        if not hidden.shape[1]:
            weights = strength
        context = weights @ check.wide(hidden)  # (B, C, L), (B, L, D) -> (B, C, D)
    return LabelContext(context.to(hidden.dtype), weights.to(hidden.dtype))


class LabelAttention(nn.Module):
    r"""A last layer for many labels: :func:`label_attention`, and one linear score a label.

    .. math:: x_c = \beta_c \cdot m_c + b_c

    Args:
        in_features: D, the length of a hidden state.
        num_labels: C.
        projected: K of LAAT's layer :math:`\tanh(W h)`; ``None``: CAML, which has none.

    Shape:
        (B, L, D), and a mask (B, L), to logits (B, C).

    Raises:
        ValueError: if a size is below 1.

    References:
        As :func:`label_attention`.

    >>> LabelAttention(8, 3)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(self, in_features: int, num_labels: int, *, projected: int | None = None):
        super().__init__()
        size, count = check.whole(in_features, "in_features", low=1), check.whole(num_labels, "num_labels", low=1)
        inner = size if projected is None else check.whole(projected, "projected", low=1)
        self.project = None if projected is None else nn.Linear(size, inner, bias=False)
        self.labels = nn.Parameter(torch.randn(count, inner) / math.sqrt(inner))
        self.score = nn.Linear(size, count)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the logits (B, C)."""
        scores = None if self.project is None else self.project(hidden).tanh()
        context = label_attention(hidden, self.labels.to(hidden.dtype), scores=scores, mask=mask).context
        return (context * self.score.weight).sum(-1) + self.score.bias  # each label its own row of the matrix


# --- Arguments --------------------------------------------------------------------------------------------------------


def _sequences(query, key, value, causal, mask):
    """Queries, keys and values, wide enough to sum, and the mask as (..., S) or ``None``."""
    query = check.tensor(query, "query", "(..., L, d)", kind="floating-point")
    key = check.tensor(key, "key", "(..., S, d)", kind="floating-point")
    value = check.tensor(value, "value", "(..., S, e)", kind="floating-point")
    for name, tensor in (("key", key), ("value", value)):
        if tensor.dtype != query.dtype or tensor.device != query.device:
            raise ValueError(f"{name} must be {query.dtype} on {query.device}, as query, got {check.what(tensor)}")
    lead, length = query.shape[:-2], key.shape[-2]
    if key.shape[:-2] != lead or key.shape[-1] != query.shape[-1]:
        raise ValueError(f"key must be (*{tuple(lead)}, S, {query.shape[-1]}), got {check.what(key)}")
    if value.shape[:-1] != key.shape[:-1]:
        raise ValueError(f"value must be (*{tuple(key.shape[:-1])}, e), one for each key, got {check.what(value)}")
    if causal and query.shape[-2] != length:
        raise ValueError(f"key must be as long as query, {query.shape[-2]}, where causal, got {length}")
    return check.wide(query), check.wide(key), check.wide(value), _mask(mask, key.shape[:-1])


def _mask(mask, shape) -> Tensor | None:
    """A mask of tokens as (..., S)."""
    if mask is None:
        return None
    short = (*shape[:1], shape[-1])
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) not in (tuple(shape), short):
        also = f" or {short}" if short != tuple(shape) else ""
        raise ValueError(f"mask must be bool {tuple(shape)}{also}, true where there is a token, got {check.what(mask)}")
    if tuple(mask.shape) == tuple(shape):
        return mask
    return mask.view(short[0], *[1] * (len(shape) - 2), short[1]).expand(shape)


def _projected(x, name: str, projection) -> tuple[Tensor, Tensor]:
    x = check.wide(check.tensor(x, name, "(..., d)", kind="floating-point"))
    projection = check.tensor(projection, "projection", "(m, d)", kind="floating-point")
    if projection.shape[1] != x.shape[-1] or not len(projection):
        raise ValueError(f"projection must be (m, {x.shape[-1]}), m at least 1, got {check.what(projection)}")
    return x, projection.to(x)


def _log_elu(x: Tensor) -> Tensor:
    """log(elu(x) + 1): x below 0, log(1 + x) above. Far below 0 the feature itself would vanish."""
    return torch.where(x < 0, x, x.clamp_min(0).log1p())
