"""Words for words; words that come, go and move."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from tutorial_lib import _arguments as check
from tutorial_lib.augment.draws import (
    Table,
    candidates_for,
    in_case_of,
    pick,
    probability,
    replace,
    sample,
    several,
    struck_places,
    tokens_of,
    words_of,
)
from tutorial_lib.augment.lexicon import SYNONYMS
from tutorial_lib.augment.models import TfIdf, WordSampler
from tutorial_lib.augment.protection import Keep, free_places, is_punctuation, rule_of
from tutorial_lib.text.forms import STOP_WORDS

_ALL_STOP_WORDS = frozenset(chain.from_iterable(STOP_WORDS.values()))


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
    tokens = tokens_of(tokens, rng)
    n = check.whole(n, "n", low=0)
    options = _with_synonyms(tokens, synonyms, stop_words, keep)
    changes = {}
    for place in sample(list(options), n, rng):
        changes[place] = words_of(in_case_of(tokens[place], pick(options[place], rng)))
    return replace(tokens, changes)


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
    tokens = tokens_of(tokens, rng)
    n = check.whole(n, "n", low=0)
    options = _with_synonyms(tokens, synonyms, stop_words, keep)
    if not options:
        return tokens
    sources, rule = list(options), rule_of(keep)
    for _ in range(n):
        new = words_of(pick(options[pick(sources, rng)], rng))
        gaps: Sequence[int] = range(len(tokens) + 1)
        if rule is not None:
            kept = [rule(token) for token in tokens]
            gaps = [i for i in gaps if not (i and kept[i - 1] and (i == len(kept) or kept[i]))]
        at = pick(gaps, rng)
        tokens[at:at] = new
    return tokens


def _with_synonyms(
    tokens: list[str], synonyms: Table, stop_words: Collection[str] | None, keep: Keep
) -> dict[int, Sequence[str]]:
    """Place -> synonyms of the word there, for the words that may be used."""
    stop_words = _ALL_STOP_WORDS if stop_words is None else several(stop_words, "stop_words")
    options = {}
    for place in free_places(tokens, keep):
        token = tokens[place]
        if token.lower() not in stop_words:
            found = candidates_for(synonyms, token)
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
    tokens = tokens_of(tokens, rng)
    n = check.whole(n, "n", low=0)
    places = free_places(tokens, keep)
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
    tokens = tokens_of(tokens, rng)
    p = probability(p)
    if keep is None:
        draw = rng.random
        return [token for token in tokens if draw() >= p] or tokens and [pick(tokens, rng)]
    places = free_places(tokens, keep)
    gone = struck_places(places, p, rng)
    if gone and len(gone) == len(places):
        gone.remove(pick(gone, rng))
    return replace(tokens, dict.fromkeys(gone, []))


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
    alpha = probability(alpha, "alpha")
    table: dict[str, Any] = {"synonyms": synonyms, "stop_words": stop_words, "keep": keep}
    return {
        "synonym_replacement": partial(_scaled, synonym_replacement, alpha=alpha, **table),
        "random_insertion": partial(_scaled, random_insertion, alpha=alpha, **table),
        "random_swap": partial(_scaled, random_swap, alpha=alpha, keep=keep),
        "random_deletion": partial(random_deletion, p=alpha, keep=keep),
    }


def _scaled(function: Callable, tokens: Sequence[str], *, alpha: float, keep: Keep, rng: random.Random, **options):
    return function(tokens, n=max(1, int(alpha * len(free_places(list(tokens), keep)))), keep=keep, rng=rng, **options)


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

    >>> near = {"good": ["great"]}
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
        fill: ``fill(tokens, position, k) -> [(token, probability), ...]``; see `tutorial_lib.augment`.
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
    tokens = tokens_of(tokens, rng)
    n = check.whole(n, "n", low=0)
    k, context = check.whole(k, "k", low=0), list(check.strings(context, "context"))
    for place in sorted(sample(free_places(tokens, keep), n, rng)):
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
    tokens = tokens_of(tokens, rng)
    p = probability(p)
    if not isinstance(unigram, WordSampler):
        unigram = WordSampler(unigram)
    for place in struck_places(free_places(tokens, keep), p, rng):
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
    tokens = tokens_of(tokens, rng)
    p = probability(p)
    for place in struck_places(free_places(tokens, keep), p, rng):
        tokens[place] = blank
    return tokens


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
    tokens = tokens_of(tokens, rng)
    chances = tfidf.probabilities(tokens, p=p)
    draw = rng.random
    if keep is None:
        struck = [i for i, chance in enumerate(chances) if draw() < chance]
    else:
        struck = [i for i in free_places(tokens, keep) if draw() < chances[i]]
    for place in struck:
        tokens[place] = tfidf.sample(rng)
    return tokens
