"""Letters: misspelt, hit on the key beside, or written as another that sounds alike."""

import random
from collections.abc import Callable, Mapping, Sequence

from tutorial_lib.augment.draws import (
    Table,
    candidates_for,
    in_case_of,
    lookup_of,
    pick,
    probability,
    struck_places,
    tokens_of,
)
from tutorial_lib.augment.lexicon import HOMOPHONES, KEYBOARD, MISSPELLINGS
from tutorial_lib.augment.protection import Keep, free_places
from tutorial_lib.text.characters import letters


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
    tokens = tokens_of(tokens, rng)
    p = probability(p)
    known, draw = lookup_of(misspellings), rng.random
    for place in struck_places(free_places(tokens, keep), p, rng):
        token = tokens[place]
        found = known(token) or known(token.lower())
        if found:
            found = found if type(found) is list else candidates_for(misspellings, token)
            wrong = found[int(draw() * len(found))]
            tokens[place] = wrong if token.islower() else in_case_of(token, wrong)
        else:
            tokens[place] = _slip(letters(token), draw)
    return tokens


def _slip(spelt: list[str], draw: Callable[[], float]) -> str:
    """A word with a letter dropped, doubled, or exchanged with the next; a letter takes its marks along."""
    # Letters above U+2E80 are Chinese, Japanese, Korean: they are no letters of a spelling.
    if len(spelt) > 2 and all(letter[0].isalpha() for letter in spelt) and spelt[0] < "\u2e80":
        at, kind = 1 + int(draw() * (len(spelt) - 1)), draw()
        if kind < 1 / 3:
            spelt = spelt[:at] + spelt[at + 1 :]
        elif kind < 2 / 3 and at + 1 < len(spelt) and spelt[at] != spelt[at + 1]:
            spelt = [*spelt[:at], spelt[at + 1], spelt[at], *spelt[at + 2 :]]
        else:
            spelt = spelt[: at + 1] + spelt[at:]
    return "".join(spelt)


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
    tokens = tokens_of(tokens, rng)
    p = probability(p)
    for place in struck_places(free_places(tokens, keep), p, rng):
        tokens[place] = _one_letter(tokens[place], keyboard, rng)
    return tokens


def _one_letter(token: str, table: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """The token with one letter, of those the table knows, replaced."""
    if not token:
        return token
    spelt = letters(token)  # a letter with a mark is another letter
    at = int(rng.random() * len(spelt))
    old = spelt[at]
    found = table.get(old)
    if not found:
        known = [i for i, char in enumerate(spelt) if table.get(char.lower())]
        if not known:
            return token
        at = at if at in known else pick(known, rng)
        old = spelt[at]
        found = table[old.lower()]
    new = found[int(rng.random() * len(found))]
    return "".join([*spelt[:at], new.upper() if old.isupper() else new, *spelt[at + 1 :]])


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
        homophones: character -> characters that sound like it; `read_homophones` reads a larger table. Words
            without a character in the table are left alone.
        keep: protected tokens.
        rng: source of all randomness.

    Returns:
        The new list, as long as ``tokens``, every token as long as before.

    >>> homophone_noise(["头", "疼"], p=1.0, homophones={"疼": "腾"}, rng=random.Random(0))
    ['头', '腾']
    """
    tokens = tokens_of(tokens, rng)
    p = probability(p)
    for place in struck_places(free_places(tokens, keep), p, rng):
        tokens[place] = _one_letter(tokens[place], homophones, rng)
    return tokens
