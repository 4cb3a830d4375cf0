"""A pretrained encoder of the user's own, by Hugging Face's library: texts of any length become one vector a token.

For chapter 12, whose attentions can stand on it. The library is imported on first use; it comes with
``pip install 'tutorial-lib[hf]'``.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tutorial_lib import _arguments as check
from tutorial_lib._kernels.hooks import evaluating
from tutorial_lib.text.lengths import windows

__all__ = ["TokenStates", "hf_encoder"]


class TokenStates(NamedTuple):
    """What an encoder of :func:`hf_encoder` returns, for B texts of at most L tokens."""

    hidden: Tensor
    """(B, L, D) one vector a token, on the model's device and in its type; zeros where there is no token."""
    mask: Tensor
    """(B, L) bool, True where there is a token."""
    ids: Tensor
    """(B, L) int64, the tokens' numbers in the tokenizer; the padding's, or 0, where there is none."""


def hf_encoder(
    model: Any,
    tokenizer: Any = None,
    *,
    window: int | None = None,
    stride: int | None = None,
    batch_size: int = 16,
    frozen: bool = True,
    local_files_only: bool = True,
) -> Callable[[Iterable[str]], TokenStates]:
    r"""Make a function that turns texts into hidden states of a Hugging Face model (BERT and its kin).

    A text longer than the model reads at once is cut into overlapping windows, each with the model's own special tokens
    around it. A token that stands in several windows gets its state from the one that shows most around it: of the
    windows :math:`[a_w, b_w)` that hold token :math:`t`, the one with the largest

    .. math:: \min(t - a_w,\ b_w - 1 - t),

    the first of equals (the rule with which BERT was applied to long passages). So a token has one state, and a short
    text has exactly those that the model itself gives. The special tokens' own states are left out.

    Args:
        model: a loaded model, on any device and in any type, with or without a head; or the folder, or the name, of a
            saved one, whose tokenizer is loaded with it.
        tokenizer: the model's; only with a loaded model.
        window: tokens of a text that are read at once, without the special ones; by default all that fit into the
            model's positions.
        stride: from the start of one window to the start of the next; by default half a window.
        batch_size: windows computed at once.
        frozen: True: no gradient, no dropout, and the model stays in the mode in which it was. False: the model as it
            stands, for training it further.
        local_files_only: True: a name must be on this machine already, and nothing is downloaded. False lets the
            library fetch it.

    Returns:
        ``encode(texts)``, which gives :class:`TokenStates`. Padding changes no state: a text has the same beside any
        others.

    Raises:
        ImportError: if a name is given and the library is not there.
        ValueError: if the model is not on this machine, is given without a tokenizer, or does not tell its positions
            and is told no window; if ``window`` is more than it reads; by ``encode``, if the texts are one string.

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding, NAACL 2019
        (arXiv:1810.04805); the rule of the largest context is that of its published code.

    >>> encode = hf_encoder("folder/of/a/model")  # doctest: +SKIP
    >>> states = encode(["No fever since Monday.", "Chest pain."])  # doctest: +SKIP
    >>> label_attention(states.hidden, labels, mask=states.mask).context  # doctest: +SKIP
    """
    batch_size = check.whole(batch_size, "batch_size", low=1)
    net, tokenizer = _loaded(model, tokenizer, local_files_only)
    before, after = _around(tokenizer)
    room = _positions(net, tokenizer)
    if room is None and window is None:
        raise ValueError("window must be given for a model that does not tell how many positions it has, got None")
    most = None if room is None else room - len(before) - len(after)
    size = check.whole(most if window is None else window, "window", low=1, high=most)
    step = max(1, size // 2) if stride is None else check.whole(stride, "stride", low=1, high=size)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def states(pieces: list[list[int]], device: torch.device) -> Tensor:
        """The tokens' states in one batch of windows: (W, S, D), S the longest window."""
        rows = [torch.tensor(before + piece + after) for piece in pieces]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        hidden = net(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return hidden[:, len(before) :]

    def encode(texts: Iterable[str]) -> TokenStates:
        texts = check.strings(texts, "texts")
        device, dtype = _place(net)
        told = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        cuts = [[(piece.start, piece.end) for piece in windows(range(len(one)), size, stride=step)] for one in told]
        pieces = [told[i][start:end] for i, own in enumerate(cuts) for start, end in own if end > start]
        gradient = torch.is_grad_enabled() and not frozen
        with torch.set_grad_enabled(gradient), evaluating(net if frozen else None):
            parts: list[Tensor] = []
            for start in range(0, len(pieces), batch_size):
                batch = pieces[start : start + batch_size]
                parts += [one[: len(piece)] for one, piece in zip(states(batch, device), batch)]
            flat = torch.cat(parts) if parts else torch.zeros(0, net.config.hidden_size, device=device, dtype=dtype)
            rows, first = [], 0
            for one, own in zip(told, cuts):
                place = torch.from_numpy(first + _widest(np.array(own), len(one))).to(device)
                rows.append(flat[place])
                first += sum(end - start for start, end in own)
        length = max(map(len, told), default=0)
        hidden = flat.new_zeros(len(told), length, flat.shape[1])
        ids = torch.full((len(told), length), padding, dtype=torch.int64, device=device)
        if length:
            hidden = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            for row, one in zip(ids, told):
                row[: len(one)] = torch.tensor(one, dtype=torch.int64)
        sizes = torch.tensor([len(one) for one in told], dtype=torch.int64, device=device)
        return TokenStates(hidden, torch.arange(length, device=device) < sizes[:, None], ids)

    return encode


def _widest(cuts: np.ndarray, length: int) -> np.ndarray:
    """Where each token of a text stands in its windows laid end to end: in the one that shows most around it.

    >>> _widest(np.array([[0, 4], [2, 6]]), 6)  # token 2 from the first window, token 3 from the second
    array([0, 1, 2, 5, 6, 7])
    """
    starts, ends, t = cuts[:, :1], cuts[:, 1:], np.arange(length)
    around = np.minimum(t - starts, ends - 1 - t)  # (W, L), negative outside
    chosen = around.argmax(0)  # the first of equals
    laid = np.concatenate([[0], np.cumsum(cuts[:, 1] - cuts[:, 0])])
    return laid[chosen] + t - cuts[chosen, 0]


def _loaded(model: Any, tokenizer: Any, local_files_only: bool) -> tuple[Any, Any]:
    """The model's body, which gives hidden states, and the tokenizer."""
    if isinstance(model, nn.Module):
        if tokenizer is None:
            raise ValueError("tokenizer must be given with a loaded model, got None")
        return _body(model), tokenizer
    name = str(model) if hasattr(model, "__fspath__") else check.string(model, "model")
    if tokenizer is not None:
        raise ValueError(f"tokenizer must be None with a model's name, which has its own, got {check.what(tokenizer)}")
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ImportError("a model by its name needs Hugging Face's library: pip install 'tutorial-lib[hf]'") from error
    try:
        return (
            _body(AutoModel.from_pretrained(name, local_files_only=local_files_only)),
            AutoTokenizer.from_pretrained(name, local_files_only=local_files_only),
        )
    except (OSError, ValueError) as error:
        if not local_files_only:
            raise
        raise ValueError(
            "model must be a saved model's folder, or a name that is on this machine (local_files_only=False lets the "
            f"library fetch it), got {name!r}"
        ) from error


def _body(model: Any) -> nn.Module:
    """Without a head; of a model that also writes, the part that reads."""
    for need in ("config", "base_model"):
        if not hasattr(model, need):
            raise ValueError(f"model must be a model of Hugging Face's library, got {type(model).__name__}")
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model.base_model


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that stand before a text and after it."""
    for word in ("a", "1", "的"):
        plain, whole = (tokenizer(word, add_special_tokens=special)["input_ids"] for special in (False, True))
        for start in range(len(whole) - len(plain) + 1):
            if plain and whole[start : start + len(plain)] == plain:
                return list(whole[:start]), list(whole[start + len(plain) :])
    raise ValueError(f"tokenizer must keep a text whole between its special tokens, got {type(tokenizer).__name__}")


def _positions(net: Any, tokenizer: Any) -> int | None:
    """How many tokens fit, special ones included; None if neither model nor tokenizer tells."""
    given = getattr(net.config, "max_position_embeddings", None)
    table: Any = getattr(getattr(net, "embeddings", None), "position_embeddings", None)
    if given and getattr(table, "padding_idx", None) is not None:  # RoBERTa counts from behind the padding's number
        given -= table.padding_idx + 1
    told = getattr(tokenizer, "model_max_length", None)  # a huge number stands for "not known"
    known = [int(value) for value in (given, told) if value and value < 10**6]
    return min(known, default=None)


def _place(net: nn.Module) -> tuple[torch.device, torch.dtype]:
    weight = next(net.parameters())
    return weight.device, weight.dtype
