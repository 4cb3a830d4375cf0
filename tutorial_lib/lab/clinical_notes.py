"""Made-up clinical notes in English and Chinese, with several labels each, and with the dirt of real ones.

No patient stands behind any of them, and nothing in them is medical advice. A note is a list of sentences. Each true
condition is *asserted* in one or more ways: by a name, a symptom, a drug or a finding. Other conditions are mentioned
and *not* there: denied, ruled out, or seen in the family. The same words serve both, so a reader who counts words and
ignores their order has less to go on than one who reads.
"""

import random
import re
from typing import NamedTuple

import torch

from .._arguments import choice, number, whole
from .clinical_words import LANGUAGES, SHORT, Condition, Language


class ClinicalNotes(NamedTuple):
    """n notes: ``texts``, ``clean_texts`` (no dirt), ``labels`` (n, K) float32 0/1, ``label_names`` (K,)."""

    texts: list[str]
    clean_texts: list[str]
    labels: torch.Tensor
    label_names: tuple[str, ...]


def clinical_notes(n: int, *, language: str = "en", dirt: float = 0.0, seed: int = 0) -> ClinicalNotes:
    """Make ``n`` clinical notes with their labels.

    A note asserts each of its true conditions in one or two sentences, mentions up to two others that are not there,
    and has a sentence or two about nothing. The conditions are drawn one by one with shares that fall from 40 % to 5 %;
    a note may have none.

    Args:
        n: number of notes, 0 or more. The first notes of a longer list are those of a shorter one.
        language: ``"en"`` or ``"zh"``.
        dirt: how dirty, in [0, 1]: see :func:`add_dirt`. The same notes are made whatever the dirt.
        seed: same seed, same notes, on every machine.

    Returns:
        The :class:`ClinicalNotes`; label k is condition ``label_names[k]``.

    Raises:
        ValueError: if ``n`` is negative, ``language`` unknown, or ``dirt`` outside [0, 1].

    >>> notes = clinical_notes(3, seed=1)
    >>> notes.labels.shape, len(notes.texts), notes.texts == notes.clean_texts
    (torch.Size([3, 8]), 3, True)
    """
    n, seed, dirt = whole(n, "n", low=0), whole(seed, "seed"), number(dirt, "dirt", low=0, high=1)
    words = LANGUAGES[choice(language, "language", tuple(LANGUAGES))]
    names = tuple(words.conditions)
    clean, dirty, labels = [], [], []
    for row in range(n):
        # One generator a note: a note does not depend on how many there are. Strings seed it by their hash of SHA-512.
        rng = random.Random(f"{language} {seed} {row}")
        there = [rng.random() < words.conditions[name].share for name in names]
        clean.append(_note(words, names, there, rng))
        dirty.append(add_dirt(clean[-1], dirt=dirt, language=language, rng=rng) if dirt else clean[-1])
        labels.append(there)
    table = torch.tensor(labels, dtype=torch.float32).reshape(n, len(names))
    return ClinicalNotes(dirty, clean, table, names)


def _note(words: Language, names: tuple[str, ...], there: list[bool], rng: random.Random) -> str:
    absent = [name for name, is_there in zip(names, there) if not is_there]
    mentioned = rng.sample(absent, min(len(absent), rng.choice((1, 1, 2))))
    sentences = []
    for name in (name for name, is_there in zip(names, there) if is_there):
        for template in rng.sample(words.asserts, rng.choice((1, 1, 2))):
            sentences.append(_filled(template, words, words.conditions[name], rng))
    for name in mentioned:
        sentences.append(_filled(rng.choice(words.denies), words, words.conditions[name], rng))
    for template in rng.sample(words.filler, rng.choice((1, 2))):
        sentences.append(_filled(template, words, words.conditions[names[0]], rng))
    rng.shuffle(sentences)
    return words.joint.join(sentences)


def _filled(template: str, words: Language, condition: Condition, rng: random.Random) -> str:
    first, second = rng.sample(condition.symptoms, 2)
    sentence = template.format(
        symptom=first,
        symptom2=second,
        name=rng.choice(condition.names),
        drug=rng.choice(condition.drugs),
        finding=rng.choice(condition.findings),
        time=rng.choice(words.times),
    )
    return sentence[0].upper() + sentence[1:]


def add_dirt(text: str, *, dirt: float, language: str = "en", rng: random.Random) -> str:
    """Dirty a note as hurried typing and careless export do; its meaning stays.

    With probability ``dirt`` each: shortened words and slips of the finger (English), full-width letters and digits
    (Chinese), HTML left over from an export, a repeated punctuation mark, zero-width and doubled blanks (in Chinese a
    half-width comma), all capitals.
    The slips strike about one long word in ten.

    Args:
        text: the note.
        dirt: in [0, 1]; 0 changes nothing.
        language: ``"en"`` or ``"zh"``.
        rng: the source of chance.

    Returns:
        The dirty note, never empty where ``text`` is not.

    Raises:
        ValueError: if ``language`` is unknown or ``dirt`` outside [0, 1].

    >>> add_dirt("No fever.", dirt=0.0, rng=random.Random(0))
    'No fever.'
    """
    language, dirt = choice(language, "language", tuple(LANGUAGES)), number(dirt, "dirt", low=0, high=1)

    def struck() -> bool:
        return rng.random() < dirt

    if language == "en":
        for long, short in SHORT.items():
            if struck():
                text = text.replace(long, short)
        if struck():
            text = re.sub(r"[a-z]{5,}", lambda word: _slip(word[0], rng) if rng.random() < 0.1 else word[0], text)
        if struck() and rng.random() < 0.2:
            text = text.upper()
    elif struck():
        text = "".join(_full_width(char) if rng.random() < 0.7 else char for char in text)
    if struck():
        text = re.sub(r"[.。]", lambda mark: mark[0] * rng.choice((1, 2, 3)), text)
    if struck():
        text = text.replace(" ", "  ") if language == "en" else text.replace("，", ",")
    if struck():
        at = rng.randrange(len(text) + 1)
        text = text[:at] + "\u200b" + text[at:]
    if struck():
        text = rng.choice(("<p>{}</p>", "{}<br/>", "&nbsp;{}", "{}&nbsp;&nbsp;")).format(text)
    return text


def _slip(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    before, char, after = word[:at], word[at], word[at + 1 :]
    # Dropped, doubled, or exchanged with the next.
    return before + rng.choice((after, char + char + after, after[0] + char + after[1:]))


def _full_width(char: str) -> str:
    # The full-width forms lie at a fixed distance from ASCII.
    return chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char
