"""Cross-entropy and the sigmoid focal loss with the arrays that their gradients need, made once.

:func:`cross_entropy` equals :func:`plain_cross_entropy`, and :func:`sigmoid_focal` equals :func:`plain_sigmoid_focal`,
values and gradients of any order. Each makes, with the loss, the one array of the logits' size that the gradient needs,
and gives it away at the first backward pass. A second pass (retain_graph), or one that is differentiated itself, makes
it anew from the logits. torch.vmap does not know them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def plain_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-log p of the true class: (B, C, ...) logits and (B, ...) class indices to (B, ...)."""
    return -logits.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)


def plain_sigmoid_focal(logits: Tensor, sign: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma * -log p, p the probability of the true bit; ``sign`` is -1 for a positive, 1 for a negative."""
    wrong = (sign * logits).sigmoid()  # 1 - p
    return wrong**gamma * -F.logsigmoid(-sign * logits)


# --- The same, the gradient's array kept ----------------------------------------------------------------------------


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy that keeps one array of the logits' size, not three."""
    return _CrossEntropy.apply(logits, target)[0]


def sigmoid_focal(logits: Tensor, sign: Tensor, gamma: float) -> Tensor:
    """Focal loss of bits, and its slope from the same exponentials."""
    return _SigmoidFocal.apply(logits, sign, gamma)[0]


class _CrossEntropy(torch.autograd.Function):
    """The gradient is p - onehot, and p is what the forward pass has made."""

    @staticmethod
    def forward(logits, target):
        p = logits.softmax(1)
        true = p.gather(1, target.unsqueeze(1)).squeeze(1)
        entropy = -true.log()
        number = torch.finfo(p.dtype)
        lost = true < number.tiny / number.eps  # too small to have all its digits, or 0
        if bool(lost.any()):
            rows = logits.movedim(1, -1)[lost].log_softmax(-1)
            entropy[lost] = -rows.gather(-1, target[lost].unsqueeze(-1)).squeeze(-1)
        return entropy, p

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or the second output's would be a whole array of zeros
        ctx.p = output[1]

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return None, None
        logits, target = ctx.saved_tensors
        grad, target = grad.unsqueeze(1), target.unsqueeze(1)
        p, ctx.p = ctx.p, None
        if p is None or torch.is_grad_enabled():
            p = logits.softmax(1) * grad
        else:
            p.mul_(grad)
        return p.scatter_add_(1, target, -grad), None


class _SigmoidFocal(torch.autograd.Function):
    """The slope is (gamma (1 - wrong) entropy + wrong) * wrong^gamma, of the same two arrays as the loss."""

    @staticmethod
    def forward(logits, sign, gamma):
        u = sign * logits
        entropy, wrong = F.softplus(u, threshold=50), u.sigmoid()
        # A power below 1 has no slope at 0: keep off, for those who differentiate twice.
        factor = (wrong if gamma >= 1 else wrong.clamp_min(torch.finfo(u.dtype).tiny)) ** gamma
        slope = ((1 - wrong) * entropy).mul_(gamma).add_(wrong)
        return factor * entropy, (slope * factor).mul_(sign)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.gamma, ctx.slope = inputs[2], output[1]

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return None, None, None
        slope, ctx.slope = ctx.slope, None
        if slope is None or torch.is_grad_enabled():
            return grad * _SigmoidFocal.forward(*ctx.saved_tensors, ctx.gamma)[1], None, None
        return slope.mul_(grad), None, None
