"""Text augmentation: new sentences from old ones, whose labels still hold.

Every method is a pure function of a list of tokens. ``rng``, a ``random.Random``, decides everything: the same state
gives the same tokens on every machine and in every process. A method never changes its argument, never returns an
empty list for one that is not, and returns the tokens as they were where it finds nothing to do.

======================================  ==========================================================================
words for words                         synonym_replacement, embedding_replacement, mlm_replacement,
                                        tfidf_replacement, unigram_noise, blank_noise
words come, go, move                    random_insertion, random_deletion, random_swap, sentence_shuffle
letters                                 spelling_noise, keyboard_noise, homophone_noise
forms                                   contract, expand; active_to_passive, move_adverbial, crop_tree
whole texts                             back_translation, instance_crossover, label_conditioned
embeddings                              word_mixup, sent_mixup
many texts                              eda (strings), augment, augment_batch (records, with label and origin)
======================================  ==========================================================================

**Protected tokens.** ``keep`` names the tokens that must stay as and where they are: a collection of words, or a
function of a token. ``keep=CLINICAL`` protects numbers, units and negations. A protected token is never replaced,
removed or moved, and nothing is inserted between two of them.

**Models.** Some methods need one; they take it as a function, and any library or network can stand behind it:

* ``fill(tokens, position, k) -> [(token, probability), ...]``: up to ``k`` words for the place ``position``, given the
  others; the token there is not to be looked at. Used by `mlm_replacement`.
* ``translate(texts, source, target) -> texts``: as many as came, in their order. Used by `back_translation`.
* ``generate(prompt, seed) -> text``: what follows the prompt, without it; the same seed, the same text. Used by
  `label_conditioned`.
* ``parse(tokens) -> [(token, head, relation), ...]``: the dependency tree; see `tutorial_lib.syntax`. Used by
  `active_to_passive`, `move_adverbial` and `crop_tree`.

`hf_fill`, `hf_translate` and `hf_generate` make the first three from Hugging Face models,
`tutorial_lib.syntax.spacy_parser` makes the last from a spaCy pipeline.
"""

import inspect
import math
import random
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tutorial_lib.lexicon import (
    CONTRACTIONS,
    EXPANSIONS,
    HOMOPHONES,
    KEYBOARD,
    MISSPELLINGS,
    NEGATIONS,
    SYNONYMS,
    UNITS,
    has_number,
)
from tutorial_lib.mixup import Mixed, mixup
from tutorial_lib.syntax import active_to_passive, crop_tree, move_adverbial
from tutorial_lib.text import STOP_WORDS, detect_language, detokenize, token_pieces, tokenize

__all__ = [
    "CLINICAL",
    "SENTENCE_ENDS",
    "Augmented",
    "Neighbours",
    "TfIdf",
    "WordSampler",
    "active_to_passive",
    "augment",
    "augment_batch",
    "back_translation",
    "back_translations",
    "blank_noise",
    "contract",
    "crop_tree",
    "eda",
    "eda_operations",
    "embedding_replacement",
    "expand",
    "hf_fill",
    "hf_generate",
    "hf_translate",
    "homophone_noise",
    "instance_crossover",
    "is_punctuation",
    "keyboard_noise",
    "label_conditioned",
    "label_prompt",
    "mlm_replacement",
    "move_adverbial",
    "protect",
    "random_deletion",
    "random_insertion",
    "random_swap",
    "sent_mixup",
    "sentence_shuffle",
    "spelling_noise",
    "synonym_replacement",
    "tfidf_replacement",
    "token_spans",
    "unigram_noise",
    "word_mixup",
]

Keep = Collection[str] | Callable[[str], bool] | None
Table = Mapping[str, Sequence[str]] | Callable[[str], Sequence[str]]


class _Marked(str):
    """A token that knows where it stood: ``place`` in ``text``. It goes through every method as the string it is."""

    __slots__ = ("place", "text")


# ---------------------------------------------------------------------------------------- protected tokens


class protect:
    """Join rules of protection into one: a token is protected where any of them says so.

    Args:
        rules: collections of words (found as written, or in lower case), and functions of a token.

    >>> keep = protect({"aspirin"}, has_number)
    >>> [keep(token) for token in ("Aspirin", "100", "daily")]
    [True, True, False]
    """

    def __init__(self, *rules: Collection[str] | Callable[[str], bool]):
        for rule in rules:
            if isinstance(rule, str) or not (callable(rule) or isinstance(rule, Collection)):
                raise ValueError(f"rules must be collections of words or functions of a token, got {rule!r}")
        self._words = frozenset(chain.from_iterable(rule for rule in rules if not callable(rule)))
        self._functions = tuple(rule for rule in rules if callable(rule))

    def __call__(self, token: str) -> bool:
        if token in self._words or token.lower() in self._words:
            return True
        for rule in self._functions:
            if rule(token):
                return True
        return False


def is_punctuation(token: str) -> bool:
    """Whether a token holds neither a letter nor a digit.

    >>> [is_punctuation(token) for token in (".", "。", "...", "mg", "5", "don't")]
    [True, True, True, False, False, False]
    """
    return not (token.isalnum() or any(map(str.isalnum, token)))


#: Numbers, units and negations: what a clinical text must not lose.
CLINICAL = protect(has_number, UNITS, NEGATIONS)


def _rule(keep: Keep) -> Callable[[str], bool] | None:
    if keep is None or callable(keep):
        return keep
    if isinstance(keep, str) or not isinstance(keep, Collection):
        raise ValueError(f"keep must be a collection of words, a function of a token, or None, got {keep!r}")
    return protect(keep)


def _free(tokens: list[str], keep: Keep) -> Sequence[int]:
    """The places that may be changed."""
    rule = _rule(keep)
    return range(len(tokens)) if rule is None else [i for i, token in enumerate(tokens) if not rule(token)]


# ---------------------------------------------------------------------------------------- arguments and draws


def _start(tokens: Sequence[str], rng: random.Random) -> list[str]:
    """A copy of the tokens that may be changed, once both are what they must be."""
    if isinstance(tokens, str):
        raise ValueError(f"tokens must be a list of strings, got one string; tokenize it first: {tokens[:40]!r}")
    if not isinstance(rng, random.Random):
        raise ValueError(f"rng must be a random.Random, got {type(rng).__name__}")
    copy = list(tokens)
    try:
        "".join(copy)  # the fastest way to ask whether all are strings
    except TypeError:
        wrong = next(token for token in copy if not isinstance(token, str))
        raise ValueError(f"tokens must be a list of strings, it holds {wrong!r}") from None
    return copy


def _check_n(n: int) -> None:
    if not isinstance(n, int | np.integer) or n < 0:
        raise ValueError(f"n must be a whole number, 0 or more, got {n!r}")


def _check_p(p: float, name: str = "p") -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {p!r}")


# random() * m, cut to an integer, is uniform on 0 … m-1 to within m / 2^53, and takes a fifth of randrange's time.


def _pick(items: Sequence, rng: random.Random):
    return items[int(rng.random() * len(items))]


def _sample(items: Sequence, n: int, rng: random.Random) -> list:
    """n different items (all, where there are fewer), in random order."""
    items = list(items)
    n = min(n, len(items))
    for k in range(n):
        j = k + int(rng.random() * (len(items) - k))
        items[k], items[j] = items[j], items[k]
    return items[:n]


def _struck(places: Sequence[int], p: float, rng: random.Random) -> list[int]:
    """The places that chance strikes, each with probability p."""
    draw = rng.random
    return [place for place in places if draw() < p]


def _candidates(table: Table, token: str) -> Sequence[str]:
    """What may stand for a token, in an order that does not depend on how strings are hashed."""
    get = getattr(table, "get", None)
    found = table(token) if get is None else get(token) or get(token.lower())
    if not found:
        return ()
    if isinstance(found, str):
        raise ValueError(f"a table must give a list of words for {token!r}, got the string {found!r}")
    return sorted(found) if isinstance(found, set | frozenset) else found


def _in_case_of(old: str, new: str) -> str:
    if not old[:1].isupper():
        return new
    return new.upper() if len(old) > 1 and old.isupper() else new[:1].upper() + new[1:]


def _replace(tokens: list[str], changes: Mapping[int, list[str]]) -> list[str]:
    """The tokens with those at some places replaced by others, one by any number."""
    for place in sorted(changes, reverse=True):
        tokens[place : place + 1] = changes[place]
    return tokens


def _words(text: str) -> list[str]:
    return text.replace("_", " ").split()


_ALL_STOP_WORDS = frozenset(chain.from_iterable(STOP_WORDS.values()))


# ---------------------------------------------------------------------------------------- EDA's four


def synonym_replacement(
    tokens: Sequence[str],
    *,
    n: int = 1,
    synonyms: Table = SYNONYMS,
    stop_words: Collection[str] | None = None,
    keep: Keep = None,
    rng: random.Random,
) -> list[str]:
    """Replace n words by one of their synonyms each.

    The words are drawn among those that have a synonym and are not stop words; so are the synonyms. A word that occurs
    twice is replaced where it was drawn (the popular code replaces it everywhere). A synonym of several words becomes
    several tokens; a capital letter, or capitals, are kept.

    Args:
        tokens: the words; never modified.
        n: number of replacements; fewer where fewer words have a synonym.
        synonyms: word -> synonyms: a mapping (looked up as written, then in lower case) or a function.
        stop_words: words that are never replaced, in lower case; ``None`` takes those of `tutorial_lib.text`.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list.

    Raises:
        ValueError: if an argument is not as described.

    References:
        Zhang et al., Character-level Convolutional Networks for Text Classification, 2015; Wei and Zou, EDA, 2019.

    >>> synonym_replacement(["Severe", "pain"], synonyms={"severe": ["intense"]}, rng=random.Random(0))
    ['Intense', 'pain']
    """
    tokens = _start(tokens, rng)
    _check_n(n)
    options = _with_synonyms(tokens, synonyms, stop_words, keep)
    changes = {}
    for place in _sample(list(options), n, rng):
        changes[place] = _words(_in_case_of(tokens[place], _pick(options[place], rng)))
    return _replace(tokens, changes)


def random_insertion(
    tokens: Sequence[str],
    *,
    n: int = 1,
    synonyms: Table = SYNONYMS,
    stop_words: Collection[str] | None = None,
    keep: Keep = None,
    rng: random.Random,
) -> list[str]:
    """Insert a synonym of a random word at a random place, n times.

    The word is no stop word (the paper says so, the popular code does not look), and each synonym of it is as likely as
    the others. Nothing is inserted between two protected tokens, nor after a last token that is protected.

    Args:
        tokens: the words; never modified.
        n: number of insertions; none where no word has a synonym.
        synonyms, stop_words, keep, rng: as in :func:`synonym_replacement`; synonyms of protected words are not used.

    Returns:
        The new list.

    References:
        Wei and Zou, EDA, 2019, section 2.

    >>> random_insertion(["no", "fever"], synonyms={"fever": ["pyrexia"]}, rng=random.Random(0))
    ['no', 'pyrexia', 'fever']
    """
    tokens = _start(tokens, rng)
    _check_n(n)
    options = _with_synonyms(tokens, synonyms, stop_words, keep)
    if not options:
        return tokens
    sources, rule = list(options), _rule(keep)
    for _ in range(n):
        new = _words(_pick(options[_pick(sources, rng)], rng))
        gaps: Sequence[int] = range(len(tokens) + 1)
        if rule is not None:
            kept = [rule(token) for token in tokens]
            gaps = [i for i in gaps if not (i and kept[i - 1] and (i == len(kept) or kept[i]))]
        at = _pick(gaps, rng)
        tokens[at:at] = new
    return tokens


def _with_synonyms(
    tokens: list[str], synonyms: Table, stop_words: Collection[str] | None, keep: Keep
) -> dict[int, Sequence[str]]:
    """Place -> synonyms of the word there, for the words that may be used."""
    stop_words = _ALL_STOP_WORDS if stop_words is None else stop_words
    options = {}
    for place in _free(tokens, keep):
        token = tokens[place]
        if token.lower() not in stop_words:
            found = _candidates(synonyms, token)
            if found:
                options[place] = found
    return options


def random_swap(tokens: Sequence[str], *, n: int = 1, keep: Keep = None, rng: random.Random) -> list[str]:
    """Exchange two random words, n times.

    Args:
        tokens: the words; never modified.
        n: number of exchanges, each of two different places. Two exchanges may undo each other.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list: the same words in another order.

    References:
        Wei and Zou, EDA, 2019, section 2.

    >>> random_swap(["a", "b", "c", "d"], n=1, rng=random.Random(0))
    ['a', 'b', 'd', 'c']
    """
    tokens = _start(tokens, rng)
    _check_n(n)
    places = _free(tokens, keep)
    count, draw = len(places), rng.random
    if count < 2:
        return tokens
    for _ in range(n):
        i, j = int(draw() * count), int(draw() * (count - 1))
        i, j = places[i], places[j + (j >= i)]
        tokens[i], tokens[j] = tokens[j], tokens[i]
    return tokens


def random_deletion(tokens: Sequence[str], *, p: float = 0.1, keep: Keep = None, rng: random.Random) -> list[str]:
    """Delete each word with probability p; where chance would delete all of them, one stays.

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1].
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list.

    References:
        Wei and Zou, EDA, 2019, section 2.

    >>> random_deletion(["no", "fever", "today"], p=1.0, keep={"no"}, rng=random.Random(0))
    ['no', 'fever']
    """
    tokens = _start(tokens, rng)
    _check_p(p)
    if keep is None:
        draw = rng.random
        return [token for token in tokens if draw() >= p] or tokens and [_pick(tokens, rng)]
    places = _free(tokens, keep)
    gone = _struck(places, p, rng)
    if gone and len(gone) == len(places):
        gone.remove(_pick(gone, rng))
    return _replace(tokens, dict.fromkeys(gone, []))


def eda_operations(
    *,
    alpha: float = 0.1,
    synonyms: Table = SYNONYMS,
    stop_words: Collection[str] | None = None,
    keep: Keep = is_punctuation,
) -> dict[str, Callable]:
    """EDA's four operations, each with a strength that goes with the length of the text.

    Args:
        alpha: share of the words that is changed, in [0, 1]: n = max(1, ⌊alpha · words⌋), and p = alpha for deletion.
        synonyms, stop_words: as in :func:`synonym_replacement`.
        keep: protected tokens; punctuation by default.

    Returns:
        Name -> function of ``(tokens, rng=...)``, as :func:`augment` takes them.

    >>> list(eda_operations())
    ['synonym_replacement', 'random_insertion', 'random_swap', 'random_deletion']
    """
    _check_p(alpha, "alpha")
    table = {"synonyms": synonyms, "stop_words": stop_words, "keep": keep}
    return {
        "synonym_replacement": partial(_scaled, synonym_replacement, alpha=alpha, **table),
        "random_insertion": partial(_scaled, random_insertion, alpha=alpha, **table),
        "random_swap": partial(_scaled, random_swap, alpha=alpha, keep=keep),
        "random_deletion": partial(random_deletion, p=alpha, keep=keep),
    }


def _scaled(function: Callable, tokens: Sequence[str], *, alpha: float, keep: Keep, rng: random.Random, **options):
    return function(tokens, n=max(1, int(alpha * len(_free(list(tokens), keep)))), keep=keep, rng=rng, **options)


def eda(
    text: str,
    *,
    alpha: float = 0.1,
    n: int = 9,
    rng: random.Random,
    synonyms: Table = SYNONYMS,
    stop_words: Collection[str] | None = None,
    keep: Keep = is_punctuation,
    language: str = "auto",
) -> list[str]:
    """Easy data augmentation: n variants of a text, each by one of four operations.

    The operations take turns in a random order, so that each makes a quarter of the variants. Every variant differs
    from the text and from the other variants; an operation that finds nothing new is followed by the next.

    The popular code differs: it keeps only a-z (nothing is left of a Chinese text), makes 4 (⌊n/4⌋ + 1) variants to
    drop some again, may return the text itself, and depends on the order in which Python hashes strings.

    Args:
        text: English or Chinese; case and punctuation stay.
        alpha: share of the words that is changed. The paper recommends 0.05 below 5,000 texts, else 0.1.
        n: number of variants. The paper recommends 16 for 500 texts, 8 for 2,000, 4 from 5,000 on.
        rng: source of all randomness.
        synonyms, stop_words, keep: as in :func:`eda_operations`.
        language: ``"en"``, ``"zh"``, or ``"auto"``: how the text is cut into words.

    Returns:
        Up to n strings: fewer where so many cannot be found ("fever" has few variants), none for an empty text.

    References:
        Wei and Zou, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks,
        EMNLP-IJCNLP 2019.

    >>> eda("The patient reports severe pain.", n=2, rng=random.Random(1))  # doctest: +SKIP
    ['The patient reports pain severe.', 'The patient reports severe soreness.']
    """
    if not isinstance(text, str):
        raise ValueError(f"text must be a string, got {type(text).__name__}")
    source = _Source.read(text, language)
    marked = _start(_mark(source.tokens, 0), rng)
    operations = eda_operations(alpha=alpha, synonyms=synonyms, stop_words=stop_words, keep=keep)
    variants = _variants(marked, operations, n, rng)
    return [_write(variant, _origin(variant, source, 0), source) for _, variant in variants]


def _variants(tokens: list[str], operations: Mapping[str, Callable], n: int, rng: random.Random, tries: int = 3):
    """Up to n pairs (operation, tokens), all different from the tokens and from each other."""
    _check_n(n)
    seen = {tuple(tokens)}
    names: list[str] = []
    failed = 0
    while tokens and len(seen) <= n and failed < tries * len(operations):
        names = names or _sample(list(operations), len(operations), rng)
        name = names.pop()
        variant = operations[name](tokens, rng=rng)
        if tuple(variant) in seen:
            failed += 1
            continue
        failed = 0
        seen.add(tuple(variant))
        yield name, variant


# ---------------------------------------------------------------------------------------- words for words


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

    def __init__(self, words: Sequence[str], vectors, *, k: int = 10, min_similarity: float = 0.0):
        vectors = vectors.detach().cpu().numpy() if isinstance(vectors, Tensor) else np.asarray(vectors)
        if vectors.ndim != 2 or len(vectors) != len(words):
            raise ValueError(f"vectors must be ({len(words)}, D), a row a word, got shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise ValueError("vectors must be finite")
        if len(set(words)) != len(words):
            raise ValueError("words must be different")
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
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


def embedding_replacement(
    tokens: Sequence[str], *, neighbours: Table, n: int = 1, keep: Keep = None, rng: random.Random
) -> list[str]:
    """Replace n words by one of their nearest neighbours in an embedding each.

    Neighbours are words that stand in the same places: synonyms, but opposites as well ("worse", "better").

    Args:
        tokens: the words; never modified.
        neighbours: word -> its neighbours, such as :class:`Neighbours`; all are equally likely.
        n: number of replacements; fewer where fewer words have neighbours.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list.

    References:
        Wang and Yang, That's So Annoying!!!, EMNLP 2015; Jiao et al., TinyBERT, 2020 (arXiv:1909.10351).

    >>> near = Neighbours(["good", "great", "bad"], np.array([[1.0, 0.1], [1.0, 0.2], [-1.0, 0.1]]), k=1)
    >>> embedding_replacement(["a", "Good", "film"], neighbours=near, rng=random.Random(0))
    ['a', 'Great', 'film']
    """
    return synonym_replacement(tokens, n=n, synonyms=neighbours, stop_words=(), keep=keep, rng=rng)


def mlm_replacement(
    tokens: Sequence[str],
    *,
    fill: Callable[[list[str], int, int], Sequence[tuple[str, float]]],
    n: int = 1,
    k: int = 5,
    context: Sequence[str] = (),
    keep: Keep = is_punctuation,
    rng: random.Random,
) -> list[str]:
    """Replace n words by what a masked language model expects in their places.

    The places are filled from left to right, each given what was put before it. The word that stood there is taken out
    of the candidates, and one of the others is drawn with its probability.

    Args:
        tokens: the words; never modified.
        fill: ``fill(tokens, position, k) -> [(token, probability), ...]``; see the head of this module.
        n: number of places.
        k: how many candidates to ask for.
        context: tokens that the model sees before the text and that are not returned: the label's name, for a model
            that was trained with labels before its texts (Kumar et al. 2020).
        keep: protected tokens; punctuation by default.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``.

    Raises:
        ValueError: if ``fill`` returns something else, or a probability that is negative or not finite.

    References:
        Devlin et al., BERT, 2019; Kumar et al., Data Augmentation Using Pre-trained Transformer Models, 2020
        (arXiv:2003.02245).

    >>> fill = lambda tokens, position, k: [("cough", 0.6), ("fever", 0.4)]
    >>> mlm_replacement(["dry", "cough"], fill=fill, n=2, rng=random.Random(0))
    ['cough', 'fever']
    """
    tokens = _start(tokens, rng)
    _check_n(n)
    context = list(context)
    for place in sorted(_sample(_free(tokens, keep), n, rng)):
        # The model gets a list of its own: what it does with it is its affair.
        found = fill(context + tokens, len(context) + place, k)
        candidates = [(word, weight) for word, weight in _pairs(found) if word != tokens[place] and word.strip()]
        if candidates:
            tokens[place] = WordSampler(dict(candidates))(rng)
    return tokens


def _pairs(found) -> list[tuple[str, float]]:
    pairs = list(found)
    for pair in pairs:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and isinstance(pair[0], str) and pair[1] >= 0):
            raise ValueError(f"fill must return pairs of a token and its probability, got {pair!r}")
    return [(word, float(weight)) for word, weight in pairs if weight > 0]


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
        self._sums = list(accumulate(self.weights.values()))
        if not self._sums or not 0 < self._sums[-1] < math.inf or min(self.weights.values()) < 0:
            raise ValueError("weights must be finite, at least 0, and must not all be 0")

    @classmethod
    def from_texts(cls, texts: Iterable[Sequence[str]]) -> "WordSampler":
        """The unigram distribution: how often each token occurs in the texts (lists of tokens)."""
        return cls(Counter(chain.from_iterable(_corpus(texts))))

    def __call__(self, rng: random.Random) -> str:
        sums = self._sums
        return self._words[bisect(sums, rng.random() * sums[-1], 0, len(sums) - 1)]


def _corpus(texts: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    texts = list(texts)
    for text in texts:
        if isinstance(text, str):
            raise ValueError(f"texts must be lists of tokens, got one string; tokenize it first: {text[:40]!r}")
    return texts


def unigram_noise(
    tokens: Sequence[str],
    *,
    unigram: WordSampler | Mapping[str, float],
    p: float = 0.1,
    keep: Keep = None,
    rng: random.Random,
) -> list[str]:
    """Replace each word, with probability p, by one drawn from the unigram distribution of a corpus.

    Args:
        tokens: the words; never modified.
        unigram: ``WordSampler.from_texts(corpus)``; a mapping word -> frequency works too, but is summed at each call.
        p: probability, in [0, 1]; the paper's γ. The draw may give the same word again.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``.

    References:
        Xie et al., Data Noising as Smoothing in Neural Network Language Models, ICLR 2017 (arXiv:1703.02573).

    >>> unigram_noise(["a", "b"], unigram={"the": 3}, p=1.0, keep={"b"}, rng=random.Random(0))
    ['the', 'b']
    """
    tokens = _start(tokens, rng)
    _check_p(p)
    if not isinstance(unigram, WordSampler):
        unigram = WordSampler(unigram)
    for place in _struck(_free(tokens, keep), p, rng):
        tokens[place] = unigram(rng)
    return tokens


def blank_noise(
    tokens: Sequence[str], *, p: float = 0.1, blank: str = "_", keep: Keep = None, rng: random.Random
) -> list[str]:
    """Replace each word, with probability p, by a placeholder.

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1]; the paper's γ.
        blank: the placeholder.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``.

    References:
        Xie et al., Data Noising as Smoothing in Neural Network Language Models, ICLR 2017 (arXiv:1703.02573).

    >>> blank_noise(["no", "fever"], p=1.0, keep={"no"}, rng=random.Random(0))
    ['no', '_']
    """
    tokens = _start(tokens, rng)
    _check_p(p)
    for place in _struck(_free(tokens, keep), p, rng):
        tokens[place] = blank
    return tokens


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
        texts = _corpus(texts)
        document_frequency = Counter(chain.from_iterable(dict.fromkeys(text) for text in texts))
        if not document_frequency:
            raise ValueError("texts must hold at least one token")
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
        """All that was learnt, as numbers and strings; JSON can hold it."""
        return {"idf": dict(self.idf), "score": dict(self.score), "unseen": self._unseen}

    @classmethod
    def from_state_dict(cls, state: Mapping) -> "TfIdf":
        """The object whose ``state_dict`` this is."""
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

        >>> TfIdf([["no", "fever"], ["no", "cough"]]).probabilities(["no", "fever"], p=0.3)
        [0.6, 0.0]
        """
        _check_p(p)
        values = self(tokens)
        top = max(values, default=0.0)
        total = top * len(values) - sum(values)
        # Rounding may leave a little where all are equal.
        if total <= 1e-12 * top * len(values):
            return [p] * len(values)
        rate = p * len(values) / total
        return [min(1.0, rate * (top - value)) for value in values]

    def sample(self, rng: random.Random) -> str:
        """Draw a word with weight max S - S(w)."""
        return self._sampler(rng)


def tfidf_replacement(
    tokens: Sequence[str], *, tfidf: TfIdf, p: float = 0.1, keep: Keep = None, rng: random.Random
) -> list[str]:
    """Replace words that say little by others that say little.

    Token i is replaced with the probability that ``tfidf.probabilities`` gives it; about p of all are. The token with
    the largest tf-idf never is, unless all are equal.

    Args:
        tokens: the words, written as in the corpus; never modified.
        tfidf: the statistics of the corpus.
        p: mean share of replaced tokens, in [0, 1]; smaller where a probability is cut to 1, or tokens are protected.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``.

    References:
        Xie et al., Unsupervised Data Augmentation, 2020 (arXiv:1904.12848), appendix.

    >>> corpus = [["no", "fever", "today"], ["no", "cough", "today"], ["no", "rash"]]
    >>> tfidf_replacement(["no", "fever"], tfidf=TfIdf(corpus), p=0.5, rng=random.Random(1))
    ['today', 'fever']
    """
    tokens = _start(tokens, rng)
    chances = tfidf.probabilities(tokens, p=p)
    draw = rng.random
    if keep is None:
        struck = [i for i, chance in enumerate(chances) if draw() < chance]
    else:
        struck = [i for i in _free(tokens, keep) if draw() < chances[i]]
    for place in struck:
        tokens[place] = tfidf.sample(rng)
    return tokens


# ---------------------------------------------------------------------------------------- letters


def spelling_noise(
    tokens: Sequence[str],
    *,
    p: float = 0.1,
    misspellings: Table = MISSPELLINGS,
    keep: Keep = None,
    rng: random.Random,
) -> list[str]:
    """Misspell each word with probability p: as people do where a table knows how, else by a random slip.

    The slip drops a letter, doubles one, or exchanges two neighbours. It spares the first letter, words of fewer than
    three letters, and whatever does not consist of letters alone; Chinese words too (see :func:`homophone_noise`).

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1].
        misspellings: word -> common wrong spellings.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``.

    References:
        Coulombe, Text Data Augmentation Made Simple By Leveraging NLP Cloud APIs, 2018 (arXiv:1812.04718).

    >>> spelling_noise(["Pneumonia"], p=1.0, misspellings={"pneumonia": ["pnumonia"]}, rng=random.Random(0))
    ['Pnumonia']
    """
    tokens = _start(tokens, rng)
    _check_p(p)
    known, draw = getattr(misspellings, "get", misspellings), rng.random
    for place in _struck(_free(tokens, keep), p, rng):
        token = tokens[place]
        found = known(token) or known(token.lower())
        if found:
            found = found if type(found) is list else _candidates(misspellings, token)
            wrong = found[int(draw() * len(found))]
            tokens[place] = wrong if token.islower() else _in_case_of(token, wrong)
        # Letters above U+2E80 are Chinese, Japanese, Korean: they are no letters of a spelling.
        elif len(token) > 2 and token.isalpha() and token[0] < "\u2e80":
            at, kind = 1 + int(draw() * (len(token) - 1)), draw()
            if kind < 1 / 3:
                tokens[place] = token[:at] + token[at + 1 :]
            elif kind < 2 / 3 and token[at] != token[at + 1 : at + 2] != "":
                tokens[place] = token[:at] + token[at + 1] + token[at] + token[at + 2 :]
            else:
                tokens[place] = token[: at + 1] + token[at:]
    return tokens


def keyboard_noise(
    tokens: Sequence[str],
    *,
    p: float = 0.1,
    keyboard: Mapping[str, Sequence[str]] = KEYBOARD,
    keep: Keep = None,
    rng: random.Random,
) -> list[str]:
    """Hit a neighbouring key in each word with probability p: one letter is replaced.

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1].
        keyboard: lower-case letter -> the letters beside it; QWERTY by default. Other characters, such as digits, are
            left alone; capitals stay capitals.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``, every token as long as before.

    References:
        Belinkov and Bisk, Synthetic and Natural Noise Both Break Neural Machine Translation, 2018 (arXiv:1711.02173).

    >>> keyboard_noise(["Fever", "39"], p=1.0, rng=random.Random(0))
    ['Feger', '39']
    """
    tokens = _start(tokens, rng)
    _check_p(p)
    for place in _struck(_free(tokens, keep), p, rng):
        tokens[place] = _one_letter(tokens[place], keyboard, rng)
    return tokens


def _one_letter(token: str, table: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """The token with one letter, of those the table knows, replaced."""
    if not token:
        return token
    at = int(rng.random() * len(token))
    old = token[at]
    found = table.get(old)
    if not found:
        known = [i for i, char in enumerate(token) if table.get(char.lower())]
        if not known:
            return token
        at = at if at in known else _pick(known, rng)
        old = token[at]
        found = table[old.lower()]
    new = found[int(rng.random() * len(found))]
    return token[:at] + (new.upper() if old.isupper() else new) + token[at + 1 :]


def homophone_noise(
    tokens: Sequence[str],
    *,
    p: float = 0.1,
    homophones: Mapping[str, Sequence[str]] = HOMOPHONES,
    keep: Keep = None,
    rng: random.Random,
) -> list[str]:
    """Write, with probability p a word, one Chinese character of it as another that sounds like it.

    This is how Chinese is misspelt, since it is typed by sound.

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1].
        homophones: character -> characters that sound like it; :func:`tutorial_lib.lexicon.read_homophones` reads a
            larger table. Words without a character in the table are left alone.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``, every token as long as before.

    >>> homophone_noise(["头", "疼"], p=1.0, homophones={"疼": "腾"}, rng=random.Random(0))
    ['头', '腾']
    """
    tokens = _start(tokens, rng)
    _check_p(p)
    for place in _struck(_free(tokens, keep), p, rng):
        tokens[place] = _one_letter(tokens[place], homophones, rng)
    return tokens


# ---------------------------------------------------------------------------------------- forms

_HAVE = frozenset({"have", "has", "had"})
_ADVERBS = frozenset("not never already just also always now recently since only".split())
_PARTICIPLES = frozenset(
    "been become begun bought brought built caught come cut done drawn drunk eaten fallen felt found given gone got "
    "gotten grown had heard held hurt kept known left lost made met noticed paid put read run said seen sent shown "
    "slept spent spoken stood taken taught thought told understood woken won worn written".split()
)
_SUBJECTS = frozenset("i you he she it we they this that these those there".split())
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "＇": "'"})


def contract(
    tokens: Sequence[str], *, p: float = 1.0, keep: Keep = None, rng: random.Random | None = None
) -> list[str]:
    """Contract "do not" to "don't", "she is" to "she's", and so on, each with probability p.

    Only where English allows it: "yes, she is." stays, and so does "she has asthma"; "she has had asthma" does not.

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1].
        keep: protected tokens; pairs with one of them stay.
        rng: source of all randomness; needed where p is not 1.

    Returns:
        The new list.

    References:
        Coulombe, Text Data Augmentation Made Simple By Leveraging NLP Cloud APIs, 2018 (arXiv:1812.04718).

    >>> contract(["She", "is", "ill", "and", "does", "not", "sleep"])
    ["She's", 'ill', 'and', "doesn't", 'sleep']
    """
    tokens, struck, rule = _forms(tokens, p, keep, rng)
    out: list[str] = []
    place = 0
    while place < len(tokens):
        for length in (2, 1):
            words = tokens[place : place + length]
            short = CONTRACTIONS.get(tuple(word.lower() for word in words))
            free = rule is None or not any(map(rule, words))
            if short and free and _may_contract(tokens, place, short) and struck():
                out.append(_in_case_of(tokens[place], short) if short[0] != "I" else short)
                place += length
                break
        else:
            out.append(tokens[place])
            place += 1
    return out


def _may_contract(tokens: list[str], place: int, short: str) -> bool:
    if short.endswith("n't") or short == "let's":
        return True
    following = [token.lower() for token in tokens[place + 2 : place + 5]]
    if not following or is_punctuation(following[0]):
        return False  # "Yes, she is."
    if tokens[place + 1].lower() in _HAVE:  # an auxiliary, not "owns": a participle follows
        word = next((word for word in following if word not in _ADVERBS), "")
        return word in _PARTICIPLES or (word.endswith("ed") and len(word) > 4)
    return True


def expand(tokens: Sequence[str], *, p: float = 1.0, keep: Keep = None, rng: random.Random | None = None) -> list[str]:
    """Write contractions out, each with probability p, where there is only one reading.

    "She's" is "she is", "she has", or hers; "I'd" is "I had" or "I would": they stay. So does a question's "don't you".

    Args:
        tokens: the words; never modified.
        p: probability, in [0, 1].
        keep: protected tokens.
        rng: source of all randomness; needed where p is not 1.

    Returns:
        The new list.

    References:
        Coulombe, Text Data Augmentation Made Simple By Leveraging NLP Cloud APIs, 2018 (arXiv:1812.04718).

    >>> expand(["She's", "ill", "and", "doesn't", "sleep"])
    ["She's", 'ill', 'and', 'does', 'not', 'sleep']
    """
    tokens, struck, rule = _forms(tokens, p, keep, rng)
    changes = {}
    for place, token in enumerate(tokens):
        words = EXPANSIONS.get(token.lower().translate(_APOSTROPHES))
        if not words or (rule is not None and rule(token)):
            continue
        question = words[-1] == "not" and tokens[place + 1 : place + 2] and tokens[place + 1].lower() in _SUBJECTS
        if not question and struck():
            first = "I" if words[0] == "i" else _in_case_of(token, words[0]) if words[0] != "cannot" else words[0]
            changes[place] = [first, *words[1:]]
    return _replace(tokens, changes)


def _forms(tokens: Sequence[str], p: float, keep: Keep, rng: random.Random | None):
    _check_p(p)
    if rng is None:
        if 0 < p < 1:
            raise ValueError(f"rng must be given where p is neither 0 nor 1, got p={p}")
        rng = random.Random(0)
    return _start(tokens, rng), lambda: p == 1 or rng.random() < p, _rule(keep)


# ---------------------------------------------------------------------------------------- sentences and whole texts

SENTENCE_ENDS = frozenset({".", "!", "?", "...", "…", "。", "！", "？", "……"})


def sentence_shuffle(
    tokens: Sequence[str], *, ends: Collection[str] = SENTENCE_ENDS, keep: Keep = None, rng: random.Random
) -> list[str]:
    """Put the sentences of a text into another order.

    Args:
        tokens: the words, with the marks that end sentences; never modified.
        ends: the tokens that end a sentence.
        keep: a sentence with a protected token stays in its place.
        rng: source of all randomness.

    Returns:
        The same tokens; never in the old order where two sentences that may move differ.

    >>> sentence_shuffle(["No", "fever", ".", "Sleeps", "well", "."], rng=random.Random(0))
    ['Sleeps', 'well', '.', 'No', 'fever', '.']
    """
    tokens = _start(tokens, rng)
    sentences: list[list[str]] = []
    fresh = True
    for token in tokens:
        if fresh:
            sentences.append([])
        sentences[-1].append(token)
        fresh = token in ends
    rule = _rule(keep)
    places = [i for i, words in enumerate(sentences) if rule is None or not any(map(rule, words))]
    before = [sentences[i] for i in places]
    if any(words != before[0] for words in before):
        after = before
        while after == before:
            after = _sample(before, len(before), rng)
        for place, words in zip(places, after):
            sentences[place] = words
    return list(chain.from_iterable(sentences))


def instance_crossover(
    token_lists: Sequence[Sequence[str]], labels: Sequence, *, keep: Keep = None, rng: random.Random
) -> list[list[str]]:
    """Exchange the second halves of texts of the same class.

    The texts of a class are put in a random ring; each keeps its first half and gets the second half of the next. No
    text of a class of two or more is joined with itself. All labels stay right, if both halves tell the class.

    Args:
        token_lists: B texts as lists of tokens; never modified.
        labels: B labels; several labels a text (a list, an array, a row of a tensor) must all be equal to match.
        keep: a text is not cut between two protected tokens: the cut moves to the next place.
        rng: source of all randomness.

    Returns:
        B lists, in the order of ``labels``. A text that is alone in its class comes back as it was, and no text that
        has a token comes back without one.

    Raises:
        ValueError: if there are not as many labels as texts.

    References:
        Luque, Atalaya at TASS 2019: Data Augmentation and Robust Embeddings for Sentiment Analysis
        (arXiv:1909.11241).

    >>> instance_crossover([["a", "b"], ["c", "d"], ["e", "f"]], [0, 0, 1], rng=random.Random(0))
    [['a', 'd'], ['c', 'b'], ['e', 'f']]
    """
    texts = [_start(tokens, rng) for tokens in token_lists]
    if len(labels) != len(texts):
        raise ValueError(f"labels must be as many as the texts, {len(texts)}, got {len(labels)}")
    classes: dict = {}
    for index, label in enumerate(labels):
        classes.setdefault(_class_of(label), []).append(index)
    cuts = [_cut(tokens, _rule(keep)) for tokens in texts]
    out = list(texts)
    for members in classes.values():
        ring = _sample(members, len(members), rng)
        for index, partner in zip(ring, ring[1:] + ring[:1]):
            if partner != index:
                out[index] = texts[index][: cuts[index]] + texts[partner][cuts[partner] :] or texts[index]
    return out


def _class_of(label):
    """What can be compared and hashed, of a label of any kind."""
    if hasattr(label, "tolist"):  # tensors, arrays, their scalars
        label = label.tolist()
    return tuple(map(_class_of, label)) if isinstance(label, list | tuple) else label


def _cut(tokens: list[str], rule: Callable[[str], bool] | None) -> int:
    at = (len(tokens) + 1) // 2
    while rule is not None and 0 < at < len(tokens) and rule(tokens[at - 1]) and rule(tokens[at]):
        at += 1
    return at


def back_translation(
    tokens: Sequence[str],
    *,
    translate: Callable[[list[str], str, str], Sequence[str]],
    source: str = "en",
    pivots: Sequence[str] = ("de",),
    rng: random.Random,
) -> list[str]:
    """Translate a text into another language and back.

    For many texts :func:`back_translations` asks the model for all of them at once.

    Args:
        tokens: the words; never modified.
        translate: ``translate(texts, source, target) -> texts``; see the head of this module.
        source: the text's language, as ``translate`` calls it.
        pivots: the languages to go through; one is drawn.
        rng: source of all randomness.

    Returns:
        The words of the text that comes back; the old ones where it is empty or nothing changed.

    References:
        Sennrich et al., Improving Neural Machine Translation Models with Monolingual Data, ACL 2016; Xie et al.,
        Unsupervised Data Augmentation, 2020 (arXiv:1904.12848).
    """
    tokens = _start(tokens, rng)
    _check_pivots(pivots)
    if not tokens:
        return tokens
    variants = back_translations([detokenize(tokens)], translate=translate, source=source, pivots=[_pick(pivots, rng)])
    return tokenize(variants[0][0]) or tokens if variants[0] else tokens


def back_translations(
    texts: Sequence[str],
    *,
    translate: Callable[[list[str], str, str], Sequence[str]],
    source: str = "en",
    pivots: Sequence[str] = ("de",),
) -> list[list[str]]:
    """Translate texts into other languages and back; keep what differs.

    Args:
        texts: strings.
        translate: ``translate(texts, source, target) -> texts``; see the head of this module.
        source: the texts' language, as ``translate`` calls it.
        pivots: the languages to go through, each for itself.

    Returns:
        For each text a list of variants: at most one a pivot, all different from the text and from each other (blanks
        do not count), none of them empty.

    Raises:
        ValueError: if ``translate`` does not return as many texts as it got.

    >>> words = {"pain": "Schmerz", "Schmerz": "ache"}
    >>> back_translations(["pain", "mild"], translate=lambda texts, source, target: [words.get(t, t) for t in texts])
    [['ache'], []]
    """
    if isinstance(texts, str):
        raise ValueError(f"texts must be a list of strings, got one string: {texts[:40]!r}")
    _check_pivots(pivots)
    texts = list(texts)
    variants: list[list[str]] = [[] for _ in texts]
    seen = [{" ".join(text.split()), ""} for text in texts]
    for pivot in pivots if texts else ():
        returned = texts
        for here, there in ((source, pivot), (pivot, source)):
            sent, returned = returned, list(translate(list(returned), here, there))
            if len(returned) != len(sent):
                raise ValueError(f"translate must return {len(sent)} texts ({here} to {there}), got {len(returned)}")
        for found, known, text in zip(variants, seen, returned):
            bare = " ".join(text.split())
            if bare not in known:
                known.add(bare)
                found.append(text)
    return variants


def _check_pivots(pivots: Sequence[str]) -> None:
    if isinstance(pivots, str) or not pivots:
        raise ValueError(f"pivots must be a list of one or more languages, got {pivots!r}")


def label_prompt(
    label, tokens: Sequence[str] = (), *, words: int | None = 3, separator: str = ": ", language: str = "auto"
) -> str:
    """The label and the first words of a text, as a prompt; with ``words=None`` the line to train a generator on.

    Args:
        label: what is written for the class: best its name, in words.
        tokens: the words of a text.
        words: how many of them; ``None`` takes all.
        separator: what stands between the label and the words.
        language: how words are joined.

    >>> label_prompt("cardiology", ["The", "patient", "reports", "chest", "pain"])
    'cardiology: The patient reports'
    """
    if words is not None and words < 0:
        raise ValueError(f"words must be 0 or more, or None for all, got {words}")
    return f"{label}{separator}{detokenize(list(tokens)[:words], language=language)}"


def label_conditioned(
    tokens: Sequence[str],
    *,
    label,
    generate: Callable[[str, int], str],
    words: int = 3,
    separator: str = ": ",
    language: str = "auto",
    rng: random.Random,
) -> list[str]:
    """Let a language model that was trained on ``label: text`` go on from the label and a text's first words.

    Args:
        tokens: the words of a text of the class; never modified.
        label: the class, as in the lines that the model was trained on (``label_prompt(label, tokens, words=None)``).
        generate: ``generate(prompt, seed) -> text``; see the head of this module.
        words: how many words of the text the prompt holds, and the new text keeps.
        separator, language: as in :func:`label_prompt`.
        rng: source of all randomness; the model's seed is drawn from it.

    Returns:
        The first words, then those that the model wrote; the old ones where it wrote nothing.

    Raises:
        ValueError: if ``generate`` does not return a string.

    References:
        Anaby-Tavor et al., Do Not Have Enough Data? Deep Learning to the Rescue!, AAAI 2020 (arXiv:1911.03118);
        Kumar et al., Data Augmentation Using Pre-trained Transformer Models, 2020 (arXiv:2003.02245).

    >>> go_on = lambda prompt, seed: " no fever today"
    >>> label_conditioned(["He", "now", "has", "a", "cold"], label="flu", generate=go_on, rng=random.Random(0))
    ['He', 'now', 'has', 'no', 'fever', 'today']
    """
    tokens = _start(tokens, rng)
    prompt = label_prompt(label, tokens, words=words, separator=separator, language=language)
    written = generate(prompt, rng.getrandbits(31))
    if not isinstance(written, str):
        raise ValueError(f"generate must return a string, what follows the prompt, got {type(written).__name__}")
    new = tokenize(written, language=language)
    return tokens[:words] + new if new else tokens


# ---------------------------------------------------------------------------------------- on embeddings


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


# ---------------------------------------------------------------------------------------- many texts


class Augmented(NamedTuple):
    """One augmented text, and where it came from."""

    text: str
    tokens: list[str]
    label: object
    """The label of the source, as it was given; None where there are no labels."""
    operation: str
    source: str
    """The text it was made from, untouched."""
    source_tokens: list[str]
    index: int
    """The source's place in the data set."""
    variant: int
    """0, 1, …: which of this source's variants."""
    seed: int
    """`augment` with this seed makes the same text for this index again."""
    origin: list[int | None]
    """For each token the place in `source_tokens` of the token that it is, or stands for; None for what was added."""
    partner: int | None = None
    """The place in the data set of the other text, where tokens of another came in."""

    @property
    def changed(self) -> list[int]:
        """Places in `tokens` of what is not a token of the source."""
        return [
            place
            for place, (token, old) in enumerate(zip(self.tokens, self.origin))
            if old is None or self.source_tokens[old] != token
        ]

    @property
    def removed(self) -> list[int]:
        """Places in `source_tokens` that nothing stands for."""
        return sorted(set(range(len(self.source_tokens))) - set(self.origin))

    @property
    def source_spans(self) -> list[tuple[int, int] | None]:
        """(start, end) of each of the `source_tokens` in `source`; see `token_spans`."""
        return token_spans(self.source, self.source_tokens)


def token_spans(text: str, tokens: Sequence[str]) -> list[tuple[int, int] | None]:
    """Where each token stands in a text, as (start, end); None for a token that is not found after the last one.

    >>> token_spans("No  fever.", ["no", "fever", "."])
    [(0, 2), (4, 9), (9, 10)]
    """
    spans: list[tuple[int, int] | None] = []
    lower = text.lower()
    # The lower-case form of a few characters is longer; then only tokens as written are found.
    lower = lower if len(lower) == len(text) else text
    end = 0
    for token in tokens:
        start = text.find(token, end)
        small = lower.find(token.lower(), end)
        start = small if start < 0 or 0 <= small < start else start
        if start < 0:
            spans.append(None)
        else:
            end = start + len(token)
            spans.append((start, end))
    return spans


def augment(
    texts: Sequence[str] | Sequence[Sequence[str]],
    labels: Sequence | None = None,
    *,
    operations: Mapping[str, Callable],
    n: int = 1,
    seed: int = 0,
    language: str = "auto",
    workers: int = 0,
) -> list[Augmented]:
    """Make n variants of each text, each by one of the operations, and keep the trace of where they came from.

    Each text has a random generator of its own, seeded by ``(seed, index)``: the result for a text depends neither on
    the texts after it, nor on the number of workers, nor on the machine. Variants differ from the text and from each
    other; the operations take turns in a random order.

    Args:
        texts: strings, or lists of tokens.
        labels: one a text, of any kind; each variant carries its source's.
        operations: name -> function of ``(tokens, rng=...)``: `eda_operations()`, or any method with its arguments
            fixed by `functools.partial`. One that needs a ``label`` gets the text's.
        n: variants a text; fewer where so many different ones are not found.
        seed: a whole number.
        language: how texts are cut into words: ``"en"``, ``"zh"``, ``"auto"``.
        workers: number of processes; 0 works in this one. The result is the same. Each process starts by importing
            torch: measure whether it pays. The operations are sent to each worker once; where processes are not
            forked (macOS, Windows) they must be functions of a module, and the script needs
            ``if __name__ == "__main__":``.

    Returns:
        The variants, in the order of the texts. The texts themselves are not among them.

    Raises:
        ValueError: if an argument is not as described.

    >>> records = augment(["no", "fever", "today"][:0], operations=eda_operations())
    >>> records
    []
    """
    texts, labels = _check_set(texts, labels)
    _check_n(n)
    if not operations or not all(map(callable, operations.values())):
        raise ValueError("operations must be a mapping from names to functions, and not empty")
    if not isinstance(seed, int):
        raise ValueError(f"seed must be a whole number, got {seed!r}")
    if workers < 0:
        raise ValueError(f"workers must be 0 or more, got {workers}")
    rows = list(zip(range(len(texts)), texts, labels))
    needy = frozenset(name for name, function in operations.items() if _needs_label(function))
    settings = (dict(operations), needy, n, seed, language)
    if not workers or len(rows) < 2:
        return list(chain.from_iterable(_augment_row(row, *settings) for row in rows))
    size = min(2000, -(-len(rows) // workers))
    pieces = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ProcessPoolExecutor(min(workers, len(pieces)), initializer=_begin_work, initargs=(settings,)) as pool:
        return list(chain.from_iterable(pool.map(_work, pieces)))


_settings: tuple = ()


def _begin_work(settings: tuple) -> None:
    """In a worker process: keep what is the same for all pieces."""
    global _settings
    _settings = settings


def _work(rows: list[tuple]) -> list[Augmented]:
    return list(chain.from_iterable(_augment_row(row, *_settings) for row in rows))


def _augment_row(
    row: tuple, operations: dict[str, Callable], needy: frozenset[str], n: int, seed: int, language: str
) -> list[Augmented]:
    index, text, label = row
    source = _Source.read(text, language)
    # A string seeds through SHA-512, not through hash(): the same in every process.
    rng = random.Random(f"{seed} {index}")
    marked = _mark(source.tokens, index)
    given = operations | {name: partial(operations[name], label=label) for name in needy}
    return [
        _record(source, variant, label=label, operation=name, index=index, variant=number, seed=seed)
        for number, (name, variant) in enumerate(_variants(marked, given, n, rng))
    ]


def augment_batch(
    texts: Sequence[str] | Sequence[Sequence[str]],
    labels: Sequence,
    *,
    operation: Callable = instance_crossover,
    name: str | None = None,
    seed: int = 0,
    language: str = "auto",
) -> list[Augmented]:
    """Augment a labelled batch by a method that looks at all of it, such as `instance_crossover`.

    Args:
        texts: strings, or lists of tokens.
        labels: one a text.
        operation: function of ``(token_lists, labels, rng=...)`` that returns as many lists, in the same order.
        name: the operation's name; by default the function's.
        seed: a whole number.
        language: how texts are cut into words.

    Returns:
        A record for each text that was changed. ``partner`` is the text that gave it tokens, and ``origin`` is None
        for those.

    Raises:
        ValueError: if an argument is not as described.

    >>> record, _ = augment_batch([["a", "b"], ["c", "d"]], [0, 0])
    >>> record.tokens, record.origin, record.partner
    (['a', 'd'], [0, None], 1)
    """
    texts, labels = _check_set(texts, labels)
    sources = [_Source.read(text, language) for text in texts]
    marked = [_mark(source.tokens, index) for index, source in enumerate(sources)]
    changed = operation(marked, labels, rng=random.Random(f"{seed}"))
    if len(changed) != len(texts):
        raise ValueError(f"operation must return {len(texts)} lists of tokens, got {len(changed)}")
    name = name or getattr(operation, "__name__", None) or operation.func.__name__
    records = []
    for index, (new, source) in enumerate(zip(changed, sources)):
        if list(new) != source.tokens:
            facts = {"label": labels[index], "operation": name, "index": index, "variant": 0, "seed": seed}
            records.append(_record(source, new, **facts))
    return records


def _check_set(texts, labels) -> tuple[list, list]:
    if isinstance(texts, str):
        raise ValueError(f"texts must be a list of texts, got one string: {texts[:40]!r}")
    texts = list(texts)
    labels = [None] * len(texts) if labels is None else list(labels)
    if len(labels) != len(texts):
        raise ValueError(f"labels must be as many as the texts, {len(texts)}, got {len(labels)}")
    return texts, labels


def _needs_label(function: Callable) -> bool:
    try:
        parameter = inspect.signature(function).parameters.get("label")
    except (TypeError, ValueError):  # built in: it says nothing of its arguments
        return False
    return parameter is not None and parameter.default is parameter.empty


class _Source(NamedTuple):
    """A text as a string and as tokens, and where they lie in it."""

    text: str
    tokens: list[str]
    spans: list[tuple[int, int] | None]
    language: str

    @classmethod
    def read(cls, text: str | Sequence[str], language: str) -> "_Source":
        if isinstance(text, str):
            pieces = token_pieces(text, language=language)
            tokens, spans = [piece.content for piece in pieces], [piece[1:] for piece in pieces]
        else:
            tokens = _start(text, random.Random(0))
            text = detokenize(tokens, language=language)
            spans = token_spans(text, tokens)
        return cls(text, tokens, spans, detect_language(text) if language == "auto" else language)


def _mark(tokens: list[str], index: int) -> list[str]:
    marked = []
    for place, token in enumerate(tokens):
        token = _Marked(token)
        token.place, token.text = place, index
        marked.append(token)
    return marked


def _record(source: _Source, new: Sequence[str], **facts) -> Augmented:
    index = facts["index"]
    origin = _origin(new, source, index)
    others = {token.text for token in new if type(token) is _Marked} - {index}
    return Augmented(
        text=_write(new, origin, source),
        tokens=[str(token) for token in new],
        source=source.text,
        source_tokens=source.tokens,
        origin=origin,
        partner=min(others, default=None),
        **facts,
    )


def _origin(new: Sequence[str], source: _Source, index: int) -> list[int | None]:
    """The source's place for each token: where it stood; for a new one, what is missing between those beside it."""
    marked = [type(token) is _Marked for token in new]
    origin = [token.place if own and token.text == index else None for token, own in zip(new, marked)]
    if None not in origin:
        return origin
    used, place = set(origin), 0
    while place < len(origin):
        end = place
        while end < len(origin) and origin[end] is None and not marked[end]:
            end += 1
        if end > place:
            left = (origin[place - 1] if place else -1, origin[end] if end < len(origin) else len(source.tokens))
            gap = [] if None in left else [i for i in range(left[0] + 1, left[1]) if i not in used]
            if len(gap) == end - place:
                origin[place:end] = gap
            elif len(gap) == 1 or (gap and end - place == 1):
                origin[place:end] = [gap[0]] * (end - place)
        place = end + 1
    return origin


_CLOSING = SENTENCE_ENDS | frozenset(",;:%)]}，；：、）】》”’")


def _write(new: Sequence[str], origin: list[int | None], source: _Source) -> str:
    """The tokens as a text. Between two that stood side by side there is what stood between them: the white space of
    the source is part of the text."""
    text, spans = source.text, source.spans
    parts: list[str] = []
    before, last = "", None
    for token, place in zip(new, origin):
        token = str(token)
        if before and token:
            gap = None
            if last is not None and place == last + 1 and spans[last] and spans[place]:
                gap = text[spans[last][1] : spans[place][0]]
                new_before, new_here = before != source.tokens[last], token != source.tokens[place]
                # "500" and "mg" may touch, what came for them may not; a full stop that came for a word is no word.
                if (not gap and (new_before or new_here)) or (new_here and token in _CLOSING):
                    gap = None
            if gap is None:
                pair = detokenize([before, token], language=source.language)
                gap = pair[len(before) : len(pair) - len(token)]
            parts.append(gap)
        parts.append(token)
        before, last = token or before, place
    return "".join(parts)


# ---------------------------------------------------------------------------------------- Hugging Face models


def hf_fill(model, tokenizer=None, *, window: int = 100) -> Callable[[Sequence[str], int, int], list]:
    """Make ``fill`` for :func:`mlm_replacement` from a Hugging Face masked language model (BERT and its kin).

    Only whole words are offered: no pieces that continue a word, no marks, no special tokens. In Chinese models a
    token is a character.

    Args:
        model: the model, on any device, or the name or folder to load model and tokenizer from.
        tokenizer: its tokenizer.
        window: how many words on either side the model sees; long texts are cut.

    Returns:
        ``fill(tokens, position, k)``.

    Raises:
        ImportError: if a name is given and the library is not there.
    """
    model, tokenizer = _hf_model(model, tokenizer, "AutoModelForMaskedLM")
    if tokenizer.mask_token is None:
        raise ValueError("tokenizer must have a mask token: the model must be a masked language model")

    def fill(tokens: Sequence[str], position: int, k: int) -> list[tuple[str, float]]:
        before = list(tokens[max(0, position - window) : position])
        words = [*before, tokenizer.mask_token, *tokens[position + 1 : position + 1 + window]]
        encoded = tokenizer(" ".join(words), return_tensors="pt", truncation=True).to(model.device)
        # The text may hold the mask token itself: ours is the one that comes after those before it.
        places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
        number = sum(word == tokenizer.mask_token for word in before)
        if number >= len(places):
            return []  # cut off
        with _evaluating(model):
            logits = model(**encoded).logits[0, places[number]]
        values, order = logits.float().softmax(-1).sort(descending=True, stable=True)
        found: list[tuple[str, float]] = []
        for index, value in zip(order.tolist(), values.tolist()):
            if len(found) == k:
                break
            piece = tokenizer.convert_ids_to_tokens(index)
            if index not in tokenizer.all_special_ids and not piece.startswith("##"):
                word = tokenizer.decode([index]).strip()
                if word and all(map(str.isalnum, word)):
                    found.append((word, value))
        return found

    return fill


def hf_translate(
    models: Mapping[tuple[str, str], object], *, batch_size: int = 16, max_new_tokens: int = 256, **options
) -> Callable[[Sequence[str], str, str], list[str]]:
    """Make ``translate`` for :func:`back_translation` from Hugging Face sequence-to-sequence models (Marian, say).

    Args:
        models: (source, target) -> (model, tokenizer), or the name or folder to load both from.
        batch_size: how many texts at a time.
        max_new_tokens: where a translation ends at the latest.
        options: of the model's ``generate``; by default it takes the likeliest token each time.

    Returns:
        ``translate(texts, source, target)``; it raises ValueError for a pair of languages without a model.
    """
    options = {"do_sample": False, "num_beams": 1, **options}
    loaded: dict[tuple[str, str], tuple] = {}

    def translate(texts: Sequence[str], source: str, target: str) -> list[str]:
        pair = (source, target)
        if pair not in models:
            raise ValueError(f"models must hold the pair {pair}, it holds {sorted(models)}")
        if pair not in loaded:
            given = models[pair]
            loaded[pair] = _hf_model(*(given if isinstance(given, tuple) else (given, None)), "AutoModelForSeq2SeqLM")
        model, tokenizer = loaded[pair]
        found: list[str] = []
        for start in range(0, len(texts), batch_size):
            piece = list(texts[start : start + batch_size])
            encoded = tokenizer(piece, return_tensors="pt", padding=True, truncation=True).to(model.device)
            encoded.pop("token_type_ids", None)
            with _evaluating(model):
                made = model.generate(**encoded, max_new_tokens=max_new_tokens, **options)
            found += tokenizer.batch_decode(made, skip_special_tokens=True)
        return found

    return translate


def hf_generate(model, tokenizer=None, *, max_new_tokens: int = 40, **options) -> Callable[[str, int], str]:
    """Make ``generate`` for :func:`label_conditioned` from a Hugging Face causal language model (GPT-2, say).

    Args:
        model: the model, on any device, or the name or folder to load model and tokenizer from.
        tokenizer: its tokenizer.
        max_new_tokens: where the text ends at the latest.
        options: of the model's ``generate``; by default it samples with ``top_p=0.9``.

    Returns:
        ``generate(prompt, seed)``. It leaves torch's random generators as they were.
    """
    model, tokenizer = _hf_model(model, tokenizer, "AutoModelForCausalLM")
    options = {"do_sample": True, "top_p": 0.9, **options}

    def generate(prompt: str, seed: int) -> str:
        encoded = tokenizer(prompt, return_tensors="pt").to(model.device)
        encoded.pop("token_type_ids", None)
        end = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        with torch.random.fork_rng(), _evaluating(model):
            torch.manual_seed(seed)
            made = model.generate(**encoded, max_new_tokens=max_new_tokens, pad_token_id=end, **options)
        return tokenizer.decode(made[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)

    return generate


def _hf_model(model, tokenizer, kind: str) -> tuple:
    if not isinstance(model, str):
        if tokenizer is None:
            raise ValueError("tokenizer must be given with a model; or give the name of both")
        return model, tokenizer
    try:
        import transformers
    except ImportError as error:
        raise ImportError("Models by name come through Hugging Face's library: pip install transformers") from error
    return getattr(transformers, kind).from_pretrained(model), transformers.AutoTokenizer.from_pretrained(model)


@contextmanager
def _evaluating(model: torch.nn.Module):
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
