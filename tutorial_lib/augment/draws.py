"""What the methods have in common: a copy of the tokens, draws from ``rng``, and words put in the place of others."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tutorial_lib import _arguments as check

Words = Sequence[str] | set[str] | frozenset[str]
Table = Mapping[str, Words] | Callable[[str], Words]


def tokens_of(tokens: Sequence[str], rng: random.Random) -> list[str]:
    """A copy of the tokens that may be changed, once both are what they must be."""
    if isinstance(tokens, str):
        raise ValueError(f"tokens must be a list of strings, got one string; tokenize it first: {check.what(tokens)}")
    if not isinstance(rng, random.Random):
        raise ValueError(f"rng must be a random.Random, got {type(rng).__name__}")
    copy = list(tokens)
    try:
        "".join(copy)  # the fastest way to ask whether all are strings
    except TypeError:
        wrong = next(token for token in copy if not isinstance(token, str))
        raise ValueError(f"tokens must be a list of strings, got {check.what(wrong)} in it") from None
    return copy


def probability(p: float, name: str = "p") -> float:
    return check.number(p, name, low=0, high=1)


def several(words: Collection[str], name: str) -> Collection[str]:
    """Words to look tokens up in, as they are: a single string would be looked up in as a text."""
    if isinstance(words, str) or not isinstance(words, Collection):
        check.strings(words, name)
        raise ValueError(f"{name} must be a collection of words, got {check.what(words)}")
    return words


# random() * m, cut to an integer, is uniform on 0 … m-1 to within m / 2^53, and takes a fifth of randrange's time.


def pick(items: Sequence, rng: random.Random):
    return items[int(rng.random() * len(items))]


def sample(items: Sequence, n: int, rng: random.Random) -> list:
    """n different items (all, where there are fewer), in random order."""
    items = list(items)
    n = min(n, len(items))
    for k in range(n):
        j = k + int(rng.random() * (len(items) - k))
        items[k], items[j] = items[j], items[k]
    return items[:n]


def struck_places(places: Sequence[int], p: float, rng: random.Random) -> list[int]:
    """The places that chance strikes, each with probability p."""
    draw = rng.random
    return [place for place in places if draw() < p]


def lookup_of(table: Table) -> Callable[[str], Words | None]:
    """A table as a function of a word."""
    get = getattr(table, "get", None)
    if get is not None:
        return get
    if not callable(table):
        raise ValueError(f"a table must be a mapping or a function from a word to words, got {check.what(table)}")
    return table


def candidates_for(table: Table, token: str) -> Sequence[str]:
    """What may stand for a token, in an order that does not depend on how strings are hashed."""
    look = lookup_of(table)
    found = look(token)
    if not found and look is not table:  # a mapping
        found = look(token.lower())
    if not found:
        return ()
    if isinstance(found, str):
        raise ValueError(f"a table must give a list of words for {token!r}, got the string {found!r}")
    return sorted(found) if isinstance(found, set | frozenset) else found


def in_case_of(old: str, new: str) -> str:
    if not old[:1].isupper():
        return new
    return new.upper() if len(old) > 1 and old.isupper() else new[:1].upper() + new[1:]


def replace(tokens: list[str], changes: Mapping[int, list[str]]) -> list[str]:
    """The tokens with those at some places replaced by others, one by any number."""
    for place in sorted(changes, reverse=True):
        tokens[place : place + 1] = changes[place]
    return tokens


def words_of(text: str) -> list[str]:
    return text.replace("_", " ").split()


def corpus_of(texts: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    texts = list(texts)
    for text in texts:
        if isinstance(text, str):
            raise ValueError(f"texts must be lists of tokens, as tokenize makes them, got {check.what(text)}")
    return texts
