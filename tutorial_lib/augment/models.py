"""What is learnt from a corpus or an embedding: nearest words, frequencies, TF-IDF."""

import math
import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain

import numpy as np
from numpy.typing import ArrayLike

from tutorial_lib import _arguments as check
from tutorial_lib.augment.draws import corpus_of, probability


class Neighbours:
    """A table of the nearest words in an embedding: word -> its k nearest, by the cosine, the nearest first.

    A word's neighbours are found when it is first asked for, in O(words · dimensions), and remembered.

    Args:
        words: V different words.
        vectors: (V, D) their embeddings: an array, or a tensor such as ``nn.Embedding.weight``.
        k: how many neighbours.
        min_similarity: neighbours with a smaller cosine do not count.

    Raises:
        ValueError: if words and vectors do not fit together, or a vector holds a number that is not finite.

    >>> near = Neighbours(["good", "great", "bad"], np.array([[1.0, 0.1], [1.0, 0.2], [-1.0, 0.1]]), k=1)
    >>> near("good"), near("unknown")
    (['great'], [])
    """

    def __init__(self, words: Sequence[str], vectors: ArrayLike, *, k: int = 10, min_similarity: float = 0.0):
        words, k = check.strings(words, "words"), check.whole(k, "k", low=1)
        min_similarity = check.number(min_similarity, "min_similarity")
        vectors = check.array(vectors, "vectors")
        if vectors.ndim != 2 or len(vectors) != len(words):
            raise ValueError(f"vectors must be ({len(words)}, D), a row a word, got {check.what(vectors)}")
        if not isinstance(vectors, np.ndarray):
            vectors = check.wide(vectors.detach()).cpu().numpy()
        vectors = vectors.astype(np.result_type(vectors.dtype, np.float32), copy=False)  # half precision overflows
        if not np.isfinite(vectors).all():
            raise ValueError(f"vectors must be finite, got {vectors[~np.isfinite(vectors)][0]}")
        if len(set(words)) != len(words):
            twice = next(word for word, count in Counter(words).items() if count > 1)
            raise ValueError(f"words must be different, got {twice!r} twice")
        self.words, self.k, self.min_similarity = list(words), k, min_similarity
        self._place = {word: place for place, word in enumerate(words)}
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._unit = vectors / np.where(norms > 0, norms, 1)
        self._known: dict[str, list[str]] = {}

    def __call__(self, word: str) -> list[str]:
        if word not in self._place:
            word = word.lower()
        if word not in self._known:
            self._known[word] = self._nearest(self._place[word]) if word in self._place else []
        return self._known[word]

    def _nearest(self, place: int) -> list[str]:
        similarity = self._unit @ self._unit[place]
        similarity[place] = -np.inf
        order = np.argsort(-similarity, kind="stable")[: self.k]  # ties: in the order of the words
        return [self.words[i] for i in order if similarity[i] >= self.min_similarity and similarity[i] > -np.inf]


class WordSampler:
    """Draws words with given weights; made once, it draws in O(log words).

    Args:
        weights: word -> weight, finite, at least 0, with a positive sum. Words are kept in the order given, so that the
            draws depend on nothing else.

    >>> sampler = WordSampler.from_texts([["no", "fever"], ["no", "cough"]])
    >>> sampler.weights["no"], sampler(random.Random(0))
    (2, 'cough')
    """

    def __init__(self, weights: Mapping[str, float]):
        self.weights = dict(weights)
        self._words = list(self.weights)
        self._sums = list(accumulate(check.numbers([*self.weights.values()], "weights", low=0)))
        if not self._sums or not 0 < self._sums[-1] < math.inf:
            raise ValueError(f"weights must be finite and not all 0, got {check.what([*self.weights.values()])}")

    @classmethod
    def from_texts(cls, texts: Iterable[Sequence[str]]) -> "WordSampler":
        """The unigram distribution: how often each token occurs in the texts (lists of tokens).

        Args:
            texts: the corpus.

        Returns:
            A sampler of its tokens.
        """
        return cls(Counter(chain.from_iterable(corpus_of(texts))))

    def __call__(self, rng: random.Random) -> str:
        sums = self._sums
        return self._words[bisect(sums, rng.random() * sums[-1], 0, len(sums) - 1)]


class TfIdf:
    r"""TF-IDF statistics of a corpus, for :func:`tfidf_replacement`.

    .. math:: idf(w) = \ln\frac{N}{df(w)}, \qquad tfidf(w, x) = \frac{count(w, x)}{|x|}\, idf(w), \qquad
              S(w) = \sum_{x} tfidf(w, x)

    Args:
        texts: N lists of tokens.

    Attributes:
        idf: word -> idf. A word that the corpus does not hold counts as one that is in a single text: ln N.
        score: word -> S(w). Words are drawn with weights max S - S(w): those that say little. Where that is 0 for all,
            they are equally likely.

    Raises:
        ValueError: if the corpus holds no token.

    References:
        Xie et al., Unsupervised Data Augmentation, 2020 (arXiv:1904.12848), appendix.

    >>> tfidf = TfIdf([["no", "fever"], ["no", "cough"]])
    >>> tfidf.idf["no"], round(tfidf.idf["fever"], 3)
    (0.0, 0.693)
    """

    def __init__(self, texts: Iterable[Sequence[str]]):
        texts = corpus_of(texts)
        document_frequency = Counter(chain.from_iterable(dict.fromkeys(text) for text in texts))
        if not document_frequency:
            raise ValueError(f"texts must hold at least one token, got {len(texts)} texts without any")
        idf = {word: math.log(len(texts) / count) for word, count in document_frequency.items()}
        score = dict.fromkeys(idf, 0.0)
        for text in texts:
            share = 1 / max(len(text), 1)
            for word in text:
                score[word] += share * idf[word]
        self._set(idf, score, math.log(len(texts)))

    def _set(self, idf: dict[str, float], score: dict[str, float], unseen: float) -> None:
        self.idf, self.score, self._unseen = idf, score, unseen
        top = max(score.values())
        weights = {word: top - value for word, value in score.items()}
        self._sampler = WordSampler(weights if any(weights.values()) else dict.fromkeys(weights, 1.0))

    def state_dict(self) -> dict:
        """All that was learnt, as numbers and strings; JSON can hold it.

        Returns:
            A new dictionary.
        """
        return {"idf": dict(self.idf), "score": dict(self.score), "unseen": self._unseen}

    @classmethod
    def from_state_dict(cls, state: Mapping) -> "TfIdf":
        """The object whose ``state_dict`` this is.

        Args:
            state: what :meth:`state_dict` gave.

        Returns:
            An equal object, without its corpus.
        """
        new = cls.__new__(cls)
        new._set(dict(state["idf"]), dict(state["score"]), float(state["unseen"]))
        return new

    def __call__(self, tokens: Sequence[str]) -> list[float]:
        """The tf-idf of each token in this text."""
        counts, idf, unseen, share = Counter(tokens), self.idf, self._unseen, 1 / max(len(tokens), 1)
        values = {word: count * share * idf.get(word, unseen) for word, count in counts.items()}
        return [values[word] for word in tokens]

    def probabilities(self, tokens: Sequence[str], *, p: float) -> list[float]:
        r"""How likely each token is to be replaced: those that say least, most.

        .. math:: p_i = \min\Big(1,\; p\,|x|\,\frac{C - tfidf_i}{\sum_j (C - tfidf_j)}\Big), \qquad C = \max_j tfidf_j

        Where all are equal (a text of one word, say) the formula is 0/0 and each gets p.

        Args:
            tokens: of one text.
            p: the mean probability that is wanted, from 0 to 1.

        Returns:
            As many probabilities as tokens.

        >>> TfIdf([["no", "fever"], ["no", "cough"]]).probabilities(["no", "fever"], p=0.3)
        [0.6, 0.0]
        """
        p = probability(p)
        values = self(tokens)
        top = max(values, default=0.0)
        total = top * len(values) - sum(values)
        # Rounding may leave a little where all are equal.
        if total <= 1e-12 * top * len(values):
            return [p] * len(values)
        rate = p * len(values) / total
        return [min(1.0, rate * (top - value)) for value in values]

    def sample(self, rng: random.Random) -> str:
        """Draw a word with weight max S - S(w).

        Args:
            rng: source of all randomness.

        Returns:
            The word.
        """
        return self._sampler(rng)
