r"""Attention by positive features, from their logarithms. In plain lines, with a mask of tokens::

    weight = (log_q.unsqueeze(-2) + log_k.unsqueeze(-3)).exp().sum(-1)  # (..., L, m), (..., S, m) -> (..., L, S)
    weight = (weight * mask.unsqueeze(-2)).tril() if causal else weight * mask.unsqueeze(-2)
    return weight @ value / weight.sum(-1, keepdim=True)  # 0 where that sum is 0

That is L · S · m, and overflows. Here the sum over the keys comes first. Each feature is divided by its largest value
over the keys, exp(c), and the queries' features are multiplied by it: what is summed is at most 1, and every normaliser
is at least 1, because the feature that decided a query's maximum M is 1 there, and some key's is 1 too. Neither c nor M
changes the result, so no gradient flows through them.

A causal sum goes in chunks, with the sums of all earlier keys carried along, at the scale of the largest key so far.
Inside a chunk a query's scale is that of the keys up to it. If a later key of the chunk is so much larger that the
product of two factors would overflow, the weights of that query are computed term by term.
"""

import torch
from torch import Tensor

#: Tokens of a chunk; and the largest exponent that a factor may have. Terms lost to underflow are below exp(60 - 87).
CHUNK, LARGEST = 64, 60.0


def attend(log_q: Tensor, log_k: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """See the lines above.

    Args:
        log_q: (..., L, m) logarithms of the queries' features.
        log_k: (..., S, m) of the keys'.
        value: (..., S, e).
        mask: (..., S) bool, or ``None``.
        causal: sum over s <= t only.

    Returns:
        (..., L, e); 0 for a query without keys.
    """
    if mask is not None:
        log_k = log_k.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        value = value.masked_fill(~mask.unsqueeze(-1), 0)  # 0 times what stands in the padding, which may be inf
    if not log_k.shape[-2]:
        return log_q.new_zeros(*log_q.shape[:-1], value.shape[-1])
    if causal:
        return _causal(log_q, log_k, value)
    largest = _finite(log_k.detach().amax(-2, keepdim=True))  # (..., 1, m)
    k = (log_k - largest).exp_()
    log_q = log_q + largest
    q = (log_q - log_q.detach().amax(-1, keepdim=True)).exp_()
    total = q @ k.sum(-2).unsqueeze(-1)  # (..., L, 1)
    return q @ (k.mT @ value) / (total if mask is None else torch.where(total > 0, total, 1))


def _causal(log_q: Tensor, log_k: Tensor, value: Tensor) -> Tensor:
    lead, features = log_k.shape[:-2], log_k.shape[-1]
    so_far = log_k.new_full((*lead, 1, features), -torch.inf)  # the largest key up to here, a feature
    summed = value.new_zeros(*lead, features, value.shape[-1] + 1)
    value = torch.cat([value, torch.ones_like(value[..., :1])], -1)  # the last column sums the weights
    results = []
    for a, b, v in zip(log_q.split(CHUNK, -2), log_k.split(CHUNK, -2), value.split(CHUNK, -2)):
        with torch.no_grad():
            running = torch.maximum(b.cummax(-2).values, so_far)  # (..., C, m): the largest up to each token
            after = running[..., -1:, :]
            scale = _finite((a + running).amax(-1, keepdim=True))  # (..., C, 1)
        # What came before this chunk, carried at the scale of `so_far`.
        out = (a + _finite(so_far) - scale).clamp_max(0).exp() @ summed
        out = out + _inside(a - scale, b, after) @ v
        results.append(out[..., :-1] / torch.where(out[..., -1:] > 0, out[..., -1:], 1))
        keep = (_finite(so_far) - _finite(after)).clamp_max(0).exp().mT  # (..., m, 1)
        summed = summed * keep + (b - _finite(after)).exp().mT @ v
        so_far = after
    return torch.cat(results, -2)


def _inside(a: Tensor, b: Tensor, after: Tensor) -> Tensor:
    """The weights of a chunk's queries for its own keys up to them, at the queries' scale: (..., C, C)."""
    after = _finite(after)
    left = a + after
    weight = left.clamp_max(LARGEST).exp() @ (b - after).exp().mT
    over = left.detach().amax(-1) > LARGEST  # (..., C)
    if bool(over.any()):
        keys = b.unsqueeze(-3).expand(*b.shape[:-2], a.shape[-2], *b.shape[-2:])[over]  # (rows, C, m)
        later = torch.ones(a.shape[-2], b.shape[-2], dtype=torch.bool, device=a.device).triu(1)
        hidden = later.expand(*over.shape, b.shape[-2])[over].unsqueeze(-1)  # a later key must not overflow
        exact = (a[over].unsqueeze(-2) + keys).masked_fill(hidden, -torch.inf).exp().sum(-1)
        weight = weight.masked_fill(over.unsqueeze(-1), 0).masked_scatter(over.unsqueeze(-1).expand_as(weight), exact)
    return weight.tril()


def _finite(largest: Tensor) -> Tensor:
    """0 for the largest of no keys."""
    return largest.masked_fill(largest == -torch.inf, 0)
