"""A vocabulary: tokens as numbers, saved, loaded, and padded into batches."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tutorial_lib import _arguments as check
from tutorial_lib.text._files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

PAD, UNK, BOS, EOS = "[PAD]", "[UNK]", "[BOS]", "[EOS]"


class Padded(NamedTuple):
    """A batch of texts as numbers: ``ids`` (B, L) int64 and ``mask`` (B, L), True where there is a token.

    Attributes:
        ids: (B, L) int64, the tokens' numbers; that of the padding behind a text's end.
        mask: (B, L) bool, True where there is a token.
    """

    ids: "Tensor"
    mask: "Tensor"


class Vocabulary:
    """Tokens as numbers: 0 is ``[PAD]``, 1 is ``[UNK]``, then the tokens by falling frequency.

    Ties are broken by the token itself, so that the same texts give the same numbers on every machine.

    Other code often has the unknown token at 0: with ``zero="[UNK]"`` the two change places, and padding is 1. The
    numbers of the two are ``vocabulary.unknown`` and ``vocabulary.padding`` (``nn.Embedding``'s ``padding_idx``).
    Chapter 11 shows a sentence in both.

    Args:
        tokens: the tokens from number 2 on, each once, without ``[PAD]`` and ``[UNK]``.
        counts: how often each was seen, for the same tokens; 0 where not given.
        zero: which of ``[PAD]`` and ``[UNK]`` is number 0; the other is 1.

    Raises:
        ValueError: if a token comes twice or is reserved, or if the lengths differ.

    >>> vocabulary = Vocabulary.build([["no", "fever"], ["no", "cough"]])
    >>> vocabulary.tokens, vocabulary.encode(["no", "rash"])
    (('[PAD]', '[UNK]', 'no', 'cough', 'fever'), [2, 1])
    >>> vocabulary.decode([2, 4, 0, 0])
    ['no', 'fever']
    """

    def __init__(self, tokens: Iterable[str], counts: Iterable[int] | None = None, *, zero: str = PAD):
        tokens = check.strings(tokens, "tokens")
        counts = (0,) * len(tokens) if counts is None else check.wholes(counts, "counts", low=0)
        if len(counts) != len(tokens):
            raise ValueError(f"counts must have one number for each of {len(tokens)} tokens, got {len(counts)}")
        reserved = {PAD, UNK} & set(tokens)
        if reserved:
            raise ValueError(f"tokens must be without numbers 0 and 1 of every vocabulary, got {sorted(reserved)}")
        self.unknown = int(check.choice(zero, "zero", (PAD, UNK)) == PAD)
        self.padding = 1 - self.unknown
        self.tokens = (PAD, UNK, *tokens) if zero == PAD else (UNK, PAD, *tokens)
        self.counts = (0, 0, *counts)
        self._ids = {token: i for i, token in enumerate(tokens, start=2)}
        if len(self._ids) < len(tokens):
            twice = [token for token, count in Counter(tokens).items() if count > 1]
            raise ValueError(f"tokens must be different from each other, got {twice[:5]} twice")

    @classmethod
    def build(
        cls,
        texts: Iterable[Sequence[str]],
        *,
        min_freq: int = 1,
        max_size: int | None = None,
        specials: Sequence[str] = (),
        zero: str = PAD,
    ) -> "Vocabulary":
        """Count the tokens of texts and keep the frequent ones. Build it from the training texts only.

        Args:
            texts: one sequence of tokens for each text.
            min_freq: leave out tokens seen less often.
            max_size: at most so many entries, ``[PAD]`` and ``[UNK]`` included; at least 2.
            specials: tokens that come first, seen or not, such as ``[BOS]``.
            zero: ``"[PAD]"`` or ``"[UNK]"``, which of the two is number 0.

        Returns:
            The vocabulary: ``[PAD]``, ``[UNK]`` and ``specials`` first, then the tokens, the most frequent first.
        """
        min_freq = check.whole(min_freq, "min_freq", low=1)
        counts: Counter[str] = Counter()
        for text in texts:
            if isinstance(text, str):
                raise ValueError(f"texts must be sequences of tokens, as tokenize makes them, got {check.what(text)}")
            counts.update(check.strings(text, "texts"))
        for token in (PAD, UNK):
            del counts[token]
        specials = [token for token in check.strings(specials, "specials") if token not in (PAD, UNK)]
        special = set(specials)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = specials + [token for token, count in ranked if count >= min_freq and token not in special]
        if max_size is not None:
            max_size = check.whole(max_size, "max_size", low=2 + len(specials))
            kept = kept[: max_size - 2]
        return cls(kept, [counts[token] for token in kept], zero=zero)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids or token in (PAD, UNK)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.tokens, self.counts) == (other.tokens, other.counts)

    __hash__ = None  # type: ignore[assignment]  # the language's way to say that it has none

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} entries: {', '.join(self.tokens[:6])}{', ...' if len(self) > 6 else ''})"

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """The number of each token; that of ``[UNK]`` for what is not in the vocabulary (also for ``[PAD]``).

        Args:
            tokens: of one text.

        Returns:
            As many numbers as tokens.
        """
        ids, unknown = self._ids, self.unknown
        return [ids.get(token, unknown) for token in check.strings(tokens, "tokens")]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The token of each number, without padding.

        Args:
            ids: numbers of tokens, as :meth:`encode` gives them or a row of a tensor as a list.

        Returns:
            The tokens, without those that are padding.
        """
        ids = [int(i) for i in ids]
        wrong = [i for i in ids if not 0 <= i < len(self.tokens)]
        if wrong:
            raise ValueError(f"ids must be from 0 to {len(self.tokens) - 1}, got {wrong[0]}")
        return [self.tokens[i] for i in ids if i != self.padding]

    def pad(self, texts: Sequence[Sequence[str]], *, length: int | None = None) -> Padded:
        """Encode a batch into one rectangle, filled with the number of ``[PAD]`` on the right.

        The mask comes from the lengths, not from the numbers.

        Args:
            texts: B sequences of tokens.
            length: L; longer texts lose their end (see :func:`head_tail` and :func:`windows` for other ways), by
                default the length of the longest.

        Returns:
            ``Padded(ids, mask)``, both (B, L).
        """
        import torch  # here, so that cleaning in many processes does not pay for it in each

        rows = [self.encode(text) for text in texts]
        if length is None:
            length = max(map(len, rows), default=0)
        length = check.whole(length, "length", low=0)
        rows = [row[:length] for row in rows]
        ids = torch.full((len(rows), length), self.padding, dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        mask = torch.arange(length) < lengths[:, None]
        ids[mask] = torch.tensor([i for row in rows for i in row], dtype=torch.int64)
        return Padded(ids, mask)

    def save(self, path: str | os.PathLike) -> None:
        """Write it as JSON: into a temporary file first, so that an older one is replaced wholly or not at all.

        Args:
            path: the file; one that is there is replaced.
        """
        held = {"tokens": self.tokens[2:], "counts": self.counts[2:]} | ({"zero": UNK} if self.padding else {})
        write_whole(path, json.dumps(held, indent=0, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Vocabulary":
        """Read what :meth:`save` wrote.

        Args:
            path: a file of :meth:`save`.

        Returns:
            An equal vocabulary.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8", errors="surrogatepass"))
            return cls(content["tokens"], content["counts"], zero=content.get("zero", PAD))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold a vocabulary: {error}") from error
