"""How often runs of words stand in sentences, their ends counted, and what that says of the next. For chapter 11."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tutorial_lib import _arguments as check
from tutorial_lib.text.forms import add_boundaries, ngrams
from tutorial_lib.text.vocabulary import BOS, EOS, UNK


def ngram_counts(texts: Iterable[Sequence[str]], n: int, *, boundaries: bool = True) -> Counter[tuple[str, ...]]:
    """How often each run of n tokens stands in sentences. For chapter 11.

    Args:
        texts: the tokens of each sentence: a run does not go on from one into the next.
        n: 1, 2, ...
        boundaries: put n - 1 ``[BOS]`` before and one ``[EOS]`` behind each, so that what stands first and last in a
            sentence is counted as such.

    Returns:
        Run -> how often it stands there.

    >>> ngram_counts([["no", "fever"], ["no", "cough"]], 2)[("[BOS]", "no")]
    2
    """
    n, counts = check.whole(n, "n", low=1), Counter[tuple[str, ...]]()
    for text in texts:
        if isinstance(text, str):
            raise ValueError(f"texts must be sequences of tokens, as tokenize makes them, got {check.what(text)}")
        text = check.strings(text, "texts")
        counts.update(ngrams(add_boundaries(text, bos=n - 1, eos=1) if boundaries else text, n))
    return counts


class NgramModel:
    r"""The probability of the next word, given the n - 1 before it, out of counts. For chapter 11.

    .. math:: p(w \mid h) = (c(hw) + k) / (c(h) + kV)

    with c how often a run was seen, h the n - 1 words before, and V the number of words that can come: those of the
    training texts, ``[UNK]`` for all others, and ``[EOS]``. Since a sentence can end, and its first words have
    ``[BOS]`` before them, the probabilities of all sentences of every length together are 1; without the two, those of
    each length are, and a model cannot tell a sentence that is broken off from a whole one.

    Args:
        texts: the tokens of each training sentence.
        n: length of the runs; 1 knows no context.
        k: what is added to every count, above 0: runs never seen are then not impossible. 1 is Laplace's rule, and too
            much for all but the smallest vocabulary.
        min_freq: words seen less often are ``[UNK]``, so that the model learns what stands around unknown words.
        boundaries: False leaves out ``[BOS]`` and ``[EOS]``: a sentence's first n - 1 words are then contexts only.

    References:
        Chen and Goodman, An empirical study of smoothing techniques for language modeling, 1999.

    >>> model = NgramModel([["no", "fever"], ["no", "cough"]], n=2, k=1)
    >>> model.probability("no", ["[BOS]"]), model.probability("fever", ["no"])
    (0.42857142857142855, 0.2857142857142857)
    >>> round(model.perplexity([["no", "fever"]]), 2), round(model.perplexity([["fever", "no"]]), 2)
    (2.9, 6.65)
    """

    def __init__(
        self,
        texts: Iterable[Sequence[str]],
        *,
        n: int = 2,
        k: float = 0.1,
        min_freq: int = 1,
        boundaries: bool = True,
    ):
        self.n, self.k = check.whole(n, "n", low=1), check.number(k, "k", above=0)
        self.boundaries, sentences = bool(boundaries), [*texts]
        seen = ngram_counts(sentences, 1, boundaries=False)
        low = check.whole(min_freq, "min_freq", low=1)
        words = {word for (word,), count in seen.items() if count >= low} - {BOS, EOS, UNK}
        self._words = frozenset(words | {UNK} | ({EOS} if boundaries else set()))
        known = ([*map(self._known, sentence)] for sentence in sentences)
        self.counts = ngram_counts(known, self.n, boundaries=self.boundaries)
        self._contexts: dict[tuple[str, ...], int] = defaultdict(int)
        for run, count in self.counts.items():
            self._contexts[run[:-1]] += count
        self.words = tuple(sorted(self._words))

    def _known(self, word: str) -> str:
        return word if word in self._words or word == BOS else UNK

    def probability(self, word: str, context: Sequence[str] = ()) -> float:
        """p(word | context), of which the last n - 1 words count.

        Args:
            word: any; one never seen counts as ``[UNK]``.
            context: the words before it, with ``[BOS]`` for each place before the sentence: at least n - 1.

        Returns:
            A number from 0 to 1.
        """
        context, word = check.strings(context, "context"), self._known(check.string(word, "word"))
        if len(context) < self.n - 1:
            raise ValueError(f"context must have at least {self.n - 1} words, [BOS] included, got {len(context)}")
        before = tuple(map(self._known, context[len(context) - self.n + 1 :]))
        return self._probability(before, word)

    def _probability(self, before: tuple[str, ...], word: str) -> float:
        if word == BOS:
            return 0.0  # nothing that follows
        return (self.counts[*before, word] + self.k) / (self._contexts.get(before, 0) + self.k * len(self._words))

    def log_probability(self, text: Sequence[str]) -> tuple[float, int]:
        """The natural logarithm of a sentence's probability, and over how many words: its ``[EOS]`` is one of them.

        Args:
            text: the tokens of one sentence.

        Returns:
            The logarithm, and the number of words.
        """
        tokens: Sequence[str] = check.strings(text, "text")
        tokens = add_boundaries(tokens, bos=self.n - 1, eos=1) if self.boundaries else tokens
        runs = ngrams([*map(self._known, tokens)], self.n)
        return math.fsum(math.log(self._probability(run[:-1], run[-1])) for run in runs), len(runs)

    def perplexity(self, texts: Iterable[Sequence[str]]) -> float:
        r"""How many words the model hesitates between, on average: :math:`\exp(-\frac1N \sum \log p)` over N words.

        Compare models on the same texts with the same words known, and both with boundaries or both without.

        Args:
            texts: the tokens of each sentence.

        Returns:
            1 or more: 1 where the model is sure of every word.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts must be sentences, each several tokens, got {check.what(texts)}")
        found = [self.log_probability(text) for text in texts]
        number = sum(count for _, count in found)
        if not number:
            raise ValueError("texts must hold a word to predict, got none")
        return math.exp(-math.fsum(value for value, _ in found) / number)
