"""Protected tokens: what must stay as and where it is."""

from collections.abc import Callable, Collection, Sequence
from itertools import chain

from tutorial_lib import _arguments as check
from tutorial_lib.augment.lexicon import NEGATIONS, UNITS, has_number

Keep = Collection[str] | Callable[[str], bool] | None


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
                raise ValueError(f"rules must be collections of words or functions of a token, got {check.what(rule)}")
        self._words = frozenset(
            chain.from_iterable(check.strings(rule, "rules") for rule in rules if not callable(rule))
        )
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

    Args:
        token: one token.

    Returns:
        True or False: a rule that ``keep=`` takes.

    >>> [is_punctuation(token) for token in (".", "。", "...", "mg", "5", "don't")]
    [True, True, True, False, False, False]
    """
    return not (token.isalnum() or any(map(str.isalnum, token)))


#: Numbers, units and negations: what a clinical text must not lose.
CLINICAL = protect(has_number, UNITS, NEGATIONS)


def rule_of(keep: Keep) -> Callable[[str], bool] | None:
    if keep is None or callable(keep):
        return keep
    if isinstance(keep, str) or not isinstance(keep, Collection):
        raise ValueError(f"keep must be a collection of words, a function of a token, or None, got {check.what(keep)}")
    return protect(keep)


def free_places(tokens: list[str], keep: Keep) -> Sequence[int]:
    """The places that may be changed."""
    rule = rule_of(keep)
    return range(len(tokens)) if rule is None else [i for i, token in enumerate(tokens) if not rule(token)]
