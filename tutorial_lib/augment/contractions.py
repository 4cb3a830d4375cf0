"""English contractions, made and written out."""

import random
from collections.abc import Callable, Sequence

from tutorial_lib.augment.draws import in_case_of, probability, replace, tokens_of
from tutorial_lib.augment.lexicon import CONTRACTIONS, EXPANSIONS
from tutorial_lib.augment.protection import Keep, is_punctuation, rule_of

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
                out.append(in_case_of(tokens[place], short) if short[0] != "I" else short)
                place += length
                break
        else:
            out.append(tokens[place])
            place += 1
    return out


def _may_contract(tokens: Sequence[str], place: int, short: str) -> bool:
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
            first = "I" if words[0] == "i" else in_case_of(token, words[0]) if words[0] != "cannot" else words[0]
            changes[place] = [first, *words[1:]]
    return replace(list(tokens), changes)


def _forms(
    tokens: Sequence[str], p: float, keep: Keep, rng: random.Random | None
) -> tuple[list[str], Callable[[], bool], Callable[[str], bool] | None]:
    p = probability(p)
    if rng is None:
        if 0 < p < 1:
            raise ValueError(f"rng must be given where p is neither 0 nor 1, got p = {p}")
        rng = random.Random(0)
    return tokens_of(tokens, rng), lambda: p == 1 or rng.random() < p, rule_of(keep)
