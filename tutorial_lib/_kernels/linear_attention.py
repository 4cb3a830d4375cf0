r"""Attention by positive features, from their logarithms. In plain lines, with a mask of tokens::

    weight = (log_q.unsqueeze(-2) + log_k.unsqueeze(-3)).exp().sum(-1)  # (..., L, m), (..., S, m) -> (..., L, S)
    weight = (weight * mask.unsqueeze(-2)).tril() if causal else weight * mask.unsqueeze(-2)
    return weight @ value / weight.sum(-1, keepdim=True)  # 0 where that sum is 0

That is L · S · m, and overflows. Here the sum over the keys comes first. Each feature is divided by its largest value
over the keys, exp(c), and the queries' features are multiplied by it: what is summed is at most 1, and every normaliser
is at least 1, because the feature that decided a query's maximum M is 1 there, and some key's is 1 too. Neither c nor M
changes the result, so no gradient flows through them.

Random features that see all keys (:func:`favor`) need fewer passes still. With :math:`Z_m = \sum_s e^{b_{sm}}`, the sum
of a feature over the keys, the same is a mean of means, each of which a softmax takes::

    values = log_k.softmax(-2).mT @ value              # (..., m, e): for each feature the mean of the values
    (log_q + log_k.logsumexp(-2, True)).softmax(-1) @ values

so that no normaliser is left, and the backward pass by hand is five products and two multiplications.

A causal sum goes in chunks, with the sums of all earlier keys carried along, at the scale of the largest key so far.
Inside a chunk a query's scale is that of the keys up to it. If a later key of the chunk is so much larger that the
product of two factors would overflow, the weights of that query are computed term by term.
"""

import torch
from torch import Tensor

#: Tokens of a chunk; and the largest exponent that a factor may have. Terms lost to underflow are below exp(60 - 87).
CHUNK, LARGEST = 64, 60.0
#: Numbers of a block that stay in a processor's cache from one pass to the next.
BLOCK = 1 << 20


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


def favor(query: Tensor, key: Tensor, value: Tensor, projection: Tensor, mask: Tensor | None) -> Tensor:
    """Attention by positive random features over all keys: :func:`attend` of their logarithms, and its gradients.

    Args:
        query: (..., L, d).
        key: (..., S, d).
        value: (..., S, e).
        projection: (m, d).
        mask: (..., S) bool, or ``None``.

    Returns:
        (..., L, e); 0 for a query without keys.
    """
    given = (query, key, value, projection)
    by_hand = not projection.requires_grad and all(part.numel() for part in given)
    if not by_hand or torch._C._are_functorch_transforms_active():
        return attend(*log_features(query, key, projection), value, mask, False)
    if mask is not None:
        hidden = ~mask.unsqueeze(-1)
        key, value = key.masked_fill(hidden, 0), value.masked_fill(hidden, 0)  # what stands there may be inf
    flat = (part.reshape(-1, *part.shape[-2:]) for part in (query, key, value))
    out = _Favor.apply(*flat, projection, None if mask is None else mask.reshape(-1, mask.shape[-1]))
    return out.view(*query.shape[:-1], value.shape[-1])


def log_features(query: Tensor, key: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the features, without what cancels: a query's own norm is a factor of its whole row."""
    scale = query.shape[-1] ** -0.25
    half = key.square().sum(-1, keepdim=True) * (0.5 * scale**2)
    return (query * scale) @ projection.mT, (key * scale) @ projection.mT - half


class _Favor(torch.autograd.Function):
    """One block of heads after the other, forwards and backwards."""

    @staticmethod
    def forward(ctx, query, key, value, projection, mask):  # (N, L, d), (N, S, d), (N, S, e), (m, d), (N, S)
        scale = query.shape[-1] ** -0.25
        turned = projection.mT * scale  # (d, m)
        size = max(query.shape[1], key.shape[1]) * len(projection)
        step = max(1, BLOCK // size) if query.device.type == "cpu" else len(query)
        results, kept = [], []
        for a in range(0, len(query), step):
            k, v = key[a : a + step], value[a : a + step]
            features = k @ turned  # (n, S, m)
            features -= k.square().sum(-1, keepdim=True) * (0.5 * scale**2)
            if mask is not None:
                features.masked_fill_(~mask[a : a + step].unsqueeze(-1), -torch.inf)
            largest = _finite(features.amax(1, keepdim=True))  # (n, 1, m)
            total = features.sub_(largest).exp_().sum(1, keepdim=True)
            if mask is not None:
                total = torch.where(total > 0, total, 1)
            values = (features.mT @ v) / total.mT  # (n, m, e)
            weights = (query[a : a + step] @ turned).add_(largest.add_(total.log())).softmax(-1)  # (n, L, m)
            results.append(weights @ values)
            if any(ctx.needs_input_grad):
                kept += [weights, features, values, total]
        out = torch.cat(results) if len(results) > 1 else results[0]
        ctx.step = step
        ctx.save_for_backward(query, key, value, projection, mask, out, *kept)
        return out

    @staticmethod
    def backward(ctx, grad):
        query, key, value, projection, mask, out, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            given = [part for part, needed in zip((query, key, value), ctx.needs_input_grad) if needed]
            again = attend(*log_features(query, key, projection), value, mask, False)
            found = iter(torch.autograd.grad(again, given, grad, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None, None
        scale, size = query.shape[-1] ** -0.25, value.shape[-1]
        straight = projection * scale
        grads = [part.new_empty(part.shape) for part in (query, key, value)]  # also of an expanded one
        for i, a in enumerate(range(0, len(query), ctx.step)):
            weights, features, values, total = kept[4 * i : 4 * i + 4]
            k, v, g = (part[a : a + ctx.step] for part in (key, value, grad))
            to_q, to_k, to_v = (part[a : a + ctx.step] for part in grads)
            along = (g * out[a : a + ctx.step]).sum(-1, keepdim=True)  # (n, L, 1)
            # Of the weights' softmax, w (dw - sum of w dw): the sum is g · out, one column more.
            more = torch.cat((g, -along), -1)  # (n, L, e + 1)
            ones = torch.ones_like(values[..., :1])
            to_q.copy_((more @ torch.cat((values, ones), -1).mT).mul_(weights) @ straight)
            back = (weights.mT @ more) / total.mT  # (n, m, e + 1)
            known = torch.cat((v, torch.ones_like(v[..., :1])), -1)  # (n, S, e + 1)
            to_k.copy_((known @ back.mT).mul_(features) @ straight)
            through = features @ back  # (n, S, e + 1)
            to_v.copy_(through[..., :size])
            to_k -= k * ((known * through).sum(-1, keepdim=True) * scale**2)
        return *grads, None, None


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
