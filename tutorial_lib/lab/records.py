r"""Made-up electronic records in English and Chinese, long, with many diagnoses each, whose best answer is known.

No patient stands behind any of them, and nothing in them is medical advice. A record has the fields of a hospital's:
sex, age, chief complaint, present illness, past history, examination, tests. Most of its 200 to 1,500 tokens are
routine. What counts are a few sentences, and the *facts* that they state decide each diagnosis by chance, with a
probability that :func:`diagnosis_probs` reads out of the text:

==============================================================  ====================================================
what the text says                                              probability of the diagnosis
==============================================================  ====================================================
its finding, or its name in the past history                    0.95
both of its symptoms, and no finding                            0.2
nothing of it                                                   a twentieth of the diagnosis's share: it went unsaid
the same under the wrong sex, at the wrong age, or without the  a two-hundredth of its share
sentence among the tests that would decide it
==============================================================  ====================================================

Three diagnoses are also written down beside another one, with probability 0.35, without words of their own. So no
reader, however good, is always right: the scores of these probabilities are the most that can be had.

The same words stand where they do not count: denied (in long lists), ruled out, or seen in the family.
"""

import random
import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from .._arguments import choice, string, whole
from .record_words import AGEING, DECIDED, DIAGNOSES, EXAMINED, NOISE, RECORD_LANGUAGES, ROUTINE, Words

__all__ = ["Records", "diagnosis_probs", "electronic_records"]

SAID, HINTED, BESIDE, NOISE_SHARE = 0.95, 0.2, 0.35, 0.04


class Records(NamedTuple):
    """What :func:`electronic_records` returns: n records and K labels, the last four of them noise."""

    texts: list[str]
    """All fields of a record one after the other, each with its name."""
    fields: list[dict[str, str]]
    """The same, from the field's name to its text."""
    sex: np.ndarray
    """(n,) ``"male"`` or ``"female"``."""
    age: np.ndarray
    """(n,) int64, in years."""
    labels: torch.Tensor
    """(n, K) float32 0/1."""
    probs: torch.Tensor
    """(n, K) float32: of each label, given what the text says."""
    label_names: tuple[str, ...]
    """(K,) in the language."""
    scored: torch.Tensor
    """(K,) bool: false for the noise labels, which nobody need diagnose."""


# --- Writing ----------------------------------------------------------------------------------------------------------


def electronic_records(n: int, *, language: str = "en", seed: int = 0) -> Records:
    """Make ``n`` electronic records with their diagnoses, and the probability of each.

    About two of 32 diagnoses are true, the most frequent in a quarter of the records, the rarest in one of a hundred.
    Heart and metabolism come together, and the older, the more often. Eight are told apart by sex or age alone (the
    same finding is prolapse in women, hyperplasia in men), four by one sentence among the tests at the end of the text.
    Four more labels are noise: given to four records in a hundred, whatever the text.

    Args:
        n: number of records, 0 or more. The first records of a longer list are those of a shorter one.
        language: ``"en"`` or ``"zh"``.
        seed: same seed, same records, on every machine.

    Returns:
        The :class:`Records`. English records have 200 to 1,500 words and numbers, Chinese ones as many characters.

    Raises:
        ValueError: if ``n`` is negative or ``language`` unknown.

    >>> records = electronic_records(3, seed=1)
    >>> records.labels.shape, int(records.scored.sum()), list(records.fields[0])[2:5]
    (torch.Size([3, 36]), 32, ['Chief complaint', 'Present illness', 'Past history'])
    >>> bool(torch.equal(records.probs, diagnosis_probs(records.texts)))
    True
    """
    n, seed = whole(n, "n", low=0), whole(seed, "seed")
    words = RECORD_LANGUAGES[choice(language, "language", tuple(RECORD_LANGUAGES))]
    fields, facts, drawn = [], [], []
    for row in range(n):
        # One generator a record: a record does not depend on how many there are. Strings seed it by their SHA-512.
        rng = random.Random(f"record {language} {seed} {row}")
        fact = _facts(rng)
        facts.append(fact)
        fields.append(_write(fact, words, language, rng))
        drawn.append([rng.random() for _ in range(2 * len(DIAGNOSES) + len(NOISE))])
    own = _own_probs(facts)
    uniform = np.array(drawn).reshape(n, 2 * len(DIAGNOSES) + len(NOISE))
    labels = _draw_labels(own, uniform)
    joint = words.sentence.strip() + (" " if language == "en" else "")
    texts = [joint.join(f"{name}: {text}" for name, text in record.items()) + joint.strip() for record in fields]
    keys = [diagnosis.key for diagnosis in DIAGNOSES] + list(NOISE)
    return Records(
        texts,
        fields,
        np.array([fact.sex for fact in facts]),
        np.array([fact.age for fact in facts], np.int64),
        torch.tensor(labels, dtype=torch.float32).reshape(n, len(keys)),
        _with_parents(own),
        tuple(words.names[key] for key in keys),
        torch.arange(len(keys)) < len(DIAGNOSES),
    )


class _Facts(NamedTuple):
    """What a record says, as far as it counts."""

    sex: str
    age: int
    findings: list[str]
    symptoms: list[str]
    known: list[str]
    deciders: list[str]


def _facts(rng: random.Random) -> _Facts:
    sex, age = rng.choice(("male", "female")), min(max(round(rng.gauss(54, 19)), 18), 94)
    findings: list[str] = []
    symptoms: list[str] = []
    known: list[str] = []
    seen: set[str] = set()
    for diagnosis in DIAGNOSES:
        finding = diagnosis.finding
        if finding in seen:  # of a picture that two diagnoses share, the first decides whether it is there
            continue
        seen.add(finding)
        share = diagnosis.share * (age / 54 if diagnosis.key in AGEING else 1.0)
        if rng.random() >= share:
            continue
        kind, shared = rng.random(), diagnosis.decider or diagnosis.sex or diagnosis.ages != (0, 200)
        if kind < 0.7 or shared:
            findings.append(finding)
            symptoms += rng.sample(diagnosis.symptoms, rng.choice((0, 1, 1, 2)))
        elif kind < 0.88:
            known.append(diagnosis.key)
        else:
            symptoms += diagnosis.symptoms
    symptoms += rng.sample(tuple(RECORD_LANGUAGES["en"].symptoms), rng.choice((0, 0, 1)))
    symptoms = list(dict.fromkeys(symptoms)) or ["tiredness"]  # somebody has come for something
    deciders = []
    for finding, (first, second) in DECIDED.items():
        if finding in findings:
            deciders.append(first[0] if rng.random() < first[1] else second[0])
    for key, share in ROUTINE:
        finding = next(diagnosis.finding for diagnosis in DIAGNOSES if diagnosis.decider == key)
        if finding not in findings and rng.random() < share:
            deciders.append(key)
    return _Facts(sex, age, findings, symptoms, known, deciders)


def _write(fact: _Facts, words: Words, language: str, rng: random.Random) -> dict[str, str]:
    """The fields of a record that states these facts, and much else."""

    def number() -> int:
        return rng.randrange(2, 10)

    def fill(template: str, *first: str) -> str:
        gaps = template.count("{}") - len(first)
        text = template.format(*first, *(number() for _ in range(gaps)))
        return text[0].upper() + text[1:]

    def listed(keys: list[str]) -> str:
        parts = [words.symptoms[key] for key in keys]
        return parts[0] if len(parts) == 1 else words.comma.join(parts[:-1]) + words.last + parts[-1]

    main, others = fact.symptoms[0], fact.symptoms[1:]
    story: list[str] = []
    past: list[str] = []
    examined: list[str] = []
    tested: list[str] = []
    for start in range(0, len(others), 3):
        story.append(fill(rng.choice(words.reports), listed(others[start : start + 3])))
    absent = [key for key in words.symptoms if key not in fact.symptoms]
    for _ in range(rng.choice((1, 2, 2, 3))):
        story.append(fill(rng.choice(words.denies), listed(rng.sample(absent, rng.choice((1, 3, 4, 6))))))
    for key in fact.known:
        past.append(fill(rng.choice(words.known), words.names[key]))
    plain = [diagnosis.key for diagnosis in DIAGNOSES if diagnosis.key not in fact.known]
    for templates in (words.no_name, words.family):
        for key in rng.sample(plain, rng.choice((0, 1, 2))):
            past.append(fill(rng.choice(templates), words.names[key]))
    for key in fact.findings:
        part = examined if key in EXAMINED else tested
        part.append(fill(rng.choice(words.shows), rng.choice(words.findings[key])))
    missing = [key for key in words.findings if key not in fact.findings]
    for key in rng.sample(missing, rng.choice((1, 2, 3, 4))):
        part = examined if key in EXAMINED else tested
        part.append(fill(rng.choice(words.no_finding), rng.choice(words.findings[key])))
    parts = (story, past, examined, tested)
    aim = min(max(rng.lognormvariate(6.05, 0.45), 218), 1420)
    length = 40 + sum(_length(text, language) for part in parts for text in part) + 6 * len(fact.deciders)
    routine = (words.story, words.past, words.examined, words.tested)
    stock: list[list[str]] = [[], [], [], []]  # every sentence of routine once, before one comes again
    turn = 0
    while turn < 8 or length < aim:
        at = turn % 4 if turn < 8 else rng.randrange(4)  # no field is empty of routine
        stock[at] = stock[at] or rng.sample(routine[at], len(routine[at]))
        parts[at].append(fill(stock[at].pop()))
        length += _length(parts[at][-1], language)
        turn += 1
    for part in parts:
        rng.shuffle(part)
    # The sentences that decide come late: in the last third of the last field.
    for key in fact.deciders:
        tested.insert(rng.randrange(len(tested) * 2 // 3, len(tested) + 1), words.deciders[key])
    complaint = fill(rng.choice(words.complains), words.symptoms[main])
    joint = words.sentence
    bodies = (words.sexes[fact.sex], words.age.format(fact.age), complaint, *(joint.join(part) for part in parts))
    return dict(zip(words.fields, bodies))


def _length(text: str, language: str) -> int:
    """About how many tokens a sentence has."""
    return text.count(" ") + 2 if language == "en" else sum(character > "\u2e80" for character in text) + 2


# --- Reading ----------------------------------------------------------------------------------------------------------


def diagnosis_probs(texts: list[str], *, language: str = "en") -> torch.Tensor:
    r"""Return the true probability of each label given what a record says: the best answer that any reader can have.

    It knows which sentences count and how labels were drawn; the text alone tells it the rest. Cut at half of F*, the
    best F1 that can be reached with them, these probabilities give the highest expected macro-F1 (see chapter 12).

    Args:
        texts: whole records, as :func:`electronic_records` writes them.
        language: theirs.

    Returns:
        (n, K) float32.

    Raises:
        ValueError: if a text is no such record, or ``language`` is unknown.
    """
    words = RECORD_LANGUAGES[choice(language, "language", tuple(RECORD_LANGUAGES))]
    return _with_parents(_own_probs([_read(string(text, "texts"), words, language) for text in texts]))


@lru_cache(maxsize=2)
def _phrases(language: str) -> tuple[re.Pattern[str], dict[str, tuple[str, str]], re.Pattern[str]]:
    """A pattern of all that can count, the longest first, what each is, and a pattern of what takes it back."""
    words = RECORD_LANGUAGES[language]
    meaning = {text: ("findings", key) for key, both in words.findings.items() for text in both}
    meaning |= {text: ("symptoms", key) for key, text in words.symptoms.items()}
    meaning |= {text: ("deciders", key) for key, text in words.deciders.items()}
    meaning |= {words.names[diagnosis.key]: ("known", diagnosis.key) for diagnosis in DIAGNOSES}
    meaning = {text.lower(): what for text, what in meaning.items()}
    longest = sorted(meaning, key=len, reverse=True)
    taken_back = "|".join(re.escape(cue) for cue in words.not_said)
    return re.compile("|".join(map(re.escape, longest))), meaning, re.compile(taken_back)


def _read(text: str, words: Words, language: str) -> _Facts:
    found, meaning, taken_back = _phrases(language)
    mark = ": "
    parts = re.split("|".join(f"(?:^|(?<=[.。 ])){re.escape(name + mark)}" for name in words.fields), text)
    end = words.sentence.strip()
    if len(parts) != len(words.fields) + 1:
        raise ValueError(f"texts must be records with the fields {', '.join(words.fields)}, got {text[:60]!r}")
    sexes = {word: key for key, word in words.sexes.items()}
    sex, age = parts[1].strip(" " + end), re.findall(r"\d+", parts[2])
    if sex not in sexes or not age:
        raise ValueError(f"texts must give a sex and an age, got {text[:60]!r}")
    facts: dict[str, list[str]] = {"findings": [], "symptoms": [], "known": [], "deciders": []}
    for part in parts[3:]:
        for sentence in re.split(r"\. |\.$" if language == "en" else "。", part):
            if not taken_back.search(sentence):
                for phrase in found.findall(sentence.lower()):
                    kind, key = meaning[phrase]
                    facts[kind].append(key)
    return _Facts(sexes[sex], int(age[0]), **facts)


# --- Probabilities ----------------------------------------------------------------------------------------------------


def _own_probs(facts: list[_Facts]) -> np.ndarray:
    """(n, C) of each diagnosis given the facts, before those that are written down beside another."""
    probs = np.empty((len(facts), len(DIAGNOSES)))
    for row, fact in enumerate(facts):
        findings, symptoms, known, deciders = (set(part) for part in fact[2:])
        for column, one in enumerate(DIAGNOSES):
            fits = one.sex in ("", fact.sex) and one.ages[0] <= fact.age < one.ages[1]
            decided = not one.decider or one.decider in deciders
            if not fits or (one.finding in findings and not decided):
                p = one.share / 200
            elif one.finding in findings or one.key in known:
                p = SAID
            else:
                p = HINTED if symptoms.issuperset(one.symptoms) else one.share / 20
            probs[row, column] = p
    return probs


def _parents() -> list[tuple[int, int]]:
    keys = [diagnosis.key for diagnosis in DIAGNOSES]
    return [(i, keys.index(diagnosis.parent)) for i, diagnosis in enumerate(DIAGNOSES) if diagnosis.parent]


def _with_parents(own: np.ndarray) -> torch.Tensor:
    """(n, K): the sum over whether the parent is there, and the noise labels."""
    probs = own.copy()
    for child, parent in _parents():
        probs[:, child] = 1 - (1 - own[:, child]) * (1 - BESIDE * own[:, parent])
    noise = np.full((len(own), len(NOISE)), NOISE_SHARE)
    return torch.tensor(np.concatenate([probs, noise], 1), dtype=torch.float32)


def _draw_labels(own: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    count = own.shape[1]
    labels = uniform[:, :count] < own
    for child, parent in _parents():
        labels[:, child] |= labels[:, parent] & (uniform[:, count + child] < BESIDE)
    return np.concatenate([labels, uniform[:, 2 * count :] < NOISE_SHARE], 1)
