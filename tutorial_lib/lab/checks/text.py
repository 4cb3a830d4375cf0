"""Exercises of chapter 11."""

import random
from collections import Counter

from ..exercises import call, expect, match_faults, require

BUGS = ("order", "everywhere", "script", "none")
_FAULTS = {"A": "everywhere", "B": "script", "C": "none", "D": "order"}


def is_denied(answer) -> None:
    """Find the bug, and mend it: whether a negation reaches a finding."""
    cues, stops = {"no", "denies"}, {"but", "."}
    for text, place, reach, want, hint in (
        ("no pain since monday , she says", 1, 5, True, "tokens[-4:1] counts from the end: begin at 0 at the earliest"),
        ("known nodules and pain", 3, 5, False, "no word here is a cue: compare whole words, not parts of words"),
        ("pain no fever", 0, 5, False, "the cue stands behind the finding: look only at what comes before"),
        ("no fever but chest pain", 4, 5, False, "'but' stands between the cue and the pain, and ends its reach"),
        ("fever . no pain", 3, 5, True, "the stop stands before the cue, not between cue and finding"),
        ("no fever but denies chest pain", 5, 5, True, "'but' cuts off the first cue and not the second: try all"),
        ("no fever . but a chest pain", 6, 9, False, "two stops stand between the cue and the pain: one is enough"),
        ("denies a b pain", 3, 3, True, "the third word before the finding is within a reach of 3"),
        ("denies a b pain", 3, 2, False, "the third word before the finding is beyond a reach of 2"),
        ("denies pain", 1, 0, False, "with a reach of 0 no word is near enough"),
        ("fever denies", 1, 5, False, "the finding's own word is no cue, whatever it is: only the words before it are"),
        ("no but", 1, 5, True, "the finding's own word is no stop: only what stands between is"),
        ("pain", 0, 5, False, "nothing stands before it"),
    ):
        tokens = text.split()
        kept, given = list(tokens), f"tokens {tokens}, place {place}, reach {reach}, cues no, denies, stops but, ."
        got = call(answer, tokens, place, set(cues), set(stops), reach)
        require(tokens == kept, given=given, hint="your function changed its argument; copy the list first")
        require(isinstance(got, bool), given=f"{given}; got {got!r}", hint="return True or False")
        expect(got, want, given=given, hint=hint)


def protected_swap(answer) -> None:
    """Implement: swap two words that are not protected."""
    words = ["no", "fever", "500", "mg", "daily", "pain"]
    kept, keep = list(words), lambda token: token in {"no", "500", "mg"}
    free: tuple[int, ...] = (1, 4, 5)
    seen: Counter[tuple[int, ...]] = Counter()
    given = f"tokens {words}, protected: no, 500, mg"
    for seed in range(300):
        got = call(answer, words, keep, random.Random(seed))
        require(words == kept, given=given, hint="your function changed its argument; copy the list first")
        require(
            isinstance(got, list) and len(got) == len(words),
            given=f"{given}; got {got!r}",
            hint="return a list with the same words; protected ones are part of it",
        )
        require(
            all(got[i] == words[i] for i in (0, 2, 3)),
            given=f"{given}; got {got}",
            hint="a protected word has moved: draw both places among those that are free",
        )
        require(sorted(got) == sorted(words), given=f"{given}; got {got}", hint="a swap loses no word and adds none")
        require(
            got != words,
            given=f"{given}; got the text itself",
            hint="the two places must differ: a place swapped with itself is no swap",
        )
        seen[tuple(i for i in free if got[i] != words[i])] += 1
    require(
        all(seen[pair] > 50 for pair in ((1, 4), (1, 5), (4, 5))),
        given=f"{given}, 300 seeds; how often each pair was swapped: {dict(seen)}",
        hint="every pair of free places must be as likely as the others",
    )
    for few in ([], ["no"], ["no", "fever"], ["500", "mg"]):
        got = call(answer, few, keep, random.Random(0))
        expect(got, few, given=f"tokens {few}", hint="with fewer than two free words the text comes back as it was")


def uda_probabilities(answer) -> None:
    """Predict: UDA's replacement probabilities for four tf-idf values."""
    require(
        hasattr(answer, "__len__") and not isinstance(answer, str | dict) and len(answer) == 4,
        given=repr(answer),
        hint="a list of four numbers, one for each word",
    )
    values = [float(value) for value in answer]
    gaps = [0.4 - value for value in (0.0, 0.1, 0.3, 0.4)]
    want = [0.5 * 4 * gap / sum(gaps) for gap in gaps]  # 1.0, 0.75, 0.25, 0
    hint = "C is the largest tf-idf, 0.4; the gaps C - t_i are 0.4, 0.3, 0.1, 0; p times 4 words is 2"
    if max(values) > 1:
        hint = "a probability cannot pass 1"
    mistakes = [
        (
            [gap / sum(gaps) for gap in gaps],
            "these are shares that sum to 1; they must sum to p times the number of words, here 2",
        ),
        (
            [0.5 * gap / sum(gaps) for gap in gaps],
            "the number of words is missing: the mean of the probabilities is p",
        ),
        (
            [2 * t / 0.8 for t in (0.0, 0.1, 0.3, 0.4)],
            "the other way round: words that say little (small tf-idf) are replaced most",
        ),
    ]
    rounded = [round(value, 2) for value in values]
    expect(rounded, want, given="tf-idf 0, 0.1, 0.3, 0.4; p = 0.5", hint=hint, mistakes=mistakes, atol=6e-3)


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of four functions has."""
    hints = {
        "A": 'put in ["pain", "and", "pain"]: how many words change?',
        "B": "put in 否认发热: what is left?",
        "C": "a set is used, but look at what is done with it before anything is drawn",
        "D": "list() of a set of strings: does its order depend on the seed, or on the process?",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="function")


def blind_to_order(answer) -> None:
    """Predict: which changes leave a net that sums its words exactly as plain training leaves it."""
    require(
        isinstance(answer, set | frozenset | list | tuple) and all(isinstance(name, str) for name in answer),
        given=repr(answer),
        hint='a set of names of methods, such as {"EDA", "crossover"}',
    )
    for name in sorted(answer):
        require(name in _CHANGES, given=repr(name), hint=f"one of: {', '.join(_CHANGES)}")
    for name, hint in _CHANGES.items():
        if hint and name in answer:
            require(False, given=repr(name), hint=hint)
    require(len(set(answer)) == 2, given=repr(answer), hint="not all yet: which changes only move words about?")


_OTHER_WORDS = "it puts another word in a word's place, and that has another vector"
_CHANGES = {  # what a sum of word vectors notices; nothing: None
    "synonyms": _OTHER_WORDS,
    "embeddings": _OTHER_WORDS,
    "tf-idf": _OTHER_WORDS,
    "spelling": _OTHER_WORDS,
    "keyboard": _OTHER_WORDS,
    "unigram noise": _OTHER_WORDS,
    "blank noise": _OTHER_WORDS,
    "insertion": "the words stay, but one more comes: the sum changes",
    "swap": None,
    "deletion": "a word less: the sum changes",
    "sentence shuffle": None,
    "crossover": "half of the words are another text's",
    "EDA": "only one of its four operations moves words; the other three change them",
    "EDA, protected": "only one of its four operations moves words; the other three change them",
    "AEDA": "a punctuation mark is a token with a vector of its own: the sum changes",
    "wordMixup": "it blends two texts, and their labels",
    "sentMixup": "it blends two texts, and their labels",
}
