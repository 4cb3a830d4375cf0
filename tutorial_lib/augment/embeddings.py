"""Mixup on the embeddings of words and of sentences."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tutorial_lib.mixup import Mixed, mixup


def word_mixup(
    embedded: Tensor | Sequence[Tensor],
    targets: Tensor,
    *,
    alpha: float,
    padding: Tensor | None = None,
    per_sample: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    r"""wordMixup: mix the word embeddings of two sentences, place by place, and their targets.

    .. math:: \tilde B_t^i = \lambda B_t^i + (1 - \lambda) B_t^{\pi(i)}, \qquad
              \tilde y^i = \lambda y^i + (1 - \lambda) y^{\pi(i)}

    Sentences are padded with zeros to the same length first, as in the paper: a word beside padding fades towards zero.

    Args:
        embedded: (B, T, D) embeddings, or B tensors (T_i, D), which are padded here.
        targets: (B, ...) one-hot, soft or multi-label targets.
        alpha: parameter of the Beta law.
        padding: (B, T) bool, true where ``embedded`` is padding: there it is set to zero. In the mixed batch a place is
            padding where both are: ``padding & padding[mixed.index]``.
        per_sample, generator: as in :func:`tutorial_lib.mixup.mixup`.

    Returns:
        ``Mixed(inputs, targets, lam, index)``, differentiable in ``embedded``.

    Raises:
        ValueError: if an argument is not as described.

    References:
        Guo et al., Augmenting Data with Mixup for Sentence Classification, 2019 (arXiv:1905.08941).

    >>> mixed = word_mixup([torch.ones(2, 4), torch.ones(3, 4)], torch.eye(2), alpha=1.0)
    >>> mixed.inputs.shape
    torch.Size([2, 3, 4])
    """
    if not isinstance(embedded, Tensor):
        if padding is not None:
            raise ValueError("padding must be None where embedded is a list: the padding is added here")
        embedded = torch.nn.utils.rnn.pad_sequence(list(embedded), batch_first=True)
    if embedded.ndim != 3:
        raise ValueError(f"embedded must be (B, T, D), got shape {tuple(embedded.shape)}")
    if padding is not None:
        if padding.dtype != torch.bool or padding.shape != embedded.shape[:2]:
            shape = tuple(embedded.shape[:2])
            raise ValueError(f"padding must be bool {shape}, got {padding.dtype} {tuple(padding.shape)}")
        embedded = embedded.masked_fill(padding[:, :, None], 0)
    return mixup(embedded, targets, alpha=alpha, per_sample=per_sample, generator=generator)


def sent_mixup(
    hidden: Tensor,
    targets: Tensor,
    *,
    alpha: float,
    per_sample: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """sentMixup (the paper's senMixup): mix the sentence embeddings that an encoder made, and the targets.

    Args:
        hidden: (B, D) what the encoder (an LSTM, a CNN) gives the classifier.
        targets: (B, ...) one-hot, soft or multi-label targets.
        alpha, per_sample, generator: as in :func:`tutorial_lib.mixup.mixup`.

    Returns:
        ``Mixed(inputs, targets, lam, index)``, differentiable in ``hidden``: the encoder learns from it.

    Raises:
        ValueError: if an argument is not as described.

    References:
        Guo et al., Augmenting Data with Mixup for Sentence Classification, 2019 (arXiv:1905.08941).

    >>> sent_mixup(torch.randn(4, 8), torch.eye(4), alpha=1.0).inputs.shape
    torch.Size([4, 8])
    """
    if hidden.ndim != 2:
        raise ValueError(f"hidden must be (B, D), one vector a sentence, got shape {tuple(hidden.shape)}")
    return mixup(hidden, targets, alpha=alpha, per_sample=per_sample, generator=generator)
