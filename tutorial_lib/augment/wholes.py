"""Whole texts: their sentences shuffled, their halves exchanged; written anew by a translator or a language model."""

import random
from collections.abc import Callable, Collection, Sequence
from itertools import chain

from tutorial_lib import _arguments as check
from tutorial_lib.augment.draws import pick, sample, several, tokens_of
from tutorial_lib.augment.protection import Keep, rule_of
from tutorial_lib.text.tokens import detokenize, tokenize

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
    tokens, ends = tokens_of(tokens, rng), several(ends, "ends")
    sentences: list[list[str]] = []
    fresh = True
    for token in tokens:
        if fresh:
            sentences.append([])
        sentences[-1].append(token)
        fresh = token in ends
    rule = rule_of(keep)
    places = [i for i, words in enumerate(sentences) if rule is None or not any(map(rule, words))]
    before = [sentences[i] for i in places]
    if any(words != before[0] for words in before):
        after = before
        while after == before:
            after = sample(before, len(before), rng)
        for place, words in zip(places, after):
            sentences[place] = words
    return list(chain.from_iterable(sentences))


def instance_crossover(
    token_lists: Sequence[Sequence[str]], labels: check.Labels, *, keep: Keep = None, rng: random.Random
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
    texts = [tokens_of(tokens, rng) for tokens in token_lists]
    if len(labels) != len(texts):
        raise ValueError(f"labels must be as many as the texts, {len(texts)}, got {len(labels)}")
    classes: dict = {}
    for index, label in enumerate(labels):
        classes.setdefault(_class_of(label), []).append(index)
    cuts = [_cut(tokens, rule_of(keep)) for tokens in texts]
    out = list(texts)
    for members in classes.values():
        ring = sample(members, len(members), rng)
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
        translate: ``translate(texts, source, target) -> texts``; see `tutorial_lib.augment`.
        source: the text's language, as ``translate`` calls it.
        pivots: the languages to go through; one is drawn.
        rng: source of all randomness.

    Returns:
        The words of the text that comes back; the old ones where it is empty or nothing changed.

    References:
        Sennrich et al., Improving Neural Machine Translation Models with Monolingual Data, ACL 2016; Xie et al.,
        Unsupervised Data Augmentation, 2020 (arXiv:1904.12848).

    >>> def translate(texts, source, target):  # a model's place
    ...     return [text.replace("illness", "Krankheit").replace("Krankheit", "disease") for text in texts]
    >>> back_translation(["a", "long", "illness"], translate=translate, rng=random.Random(0))
    ['a', 'long', 'disease']
    """
    tokens = tokens_of(tokens, rng)
    pivots = _languages(pivots)
    if not tokens:
        return tokens
    variants = back_translations([detokenize(tokens)], translate=translate, source=source, pivots=[pick(pivots, rng)])
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
        translate: ``translate(texts, source, target) -> texts``; see `tutorial_lib.augment`.
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
    texts, pivots = list(check.strings(texts, "texts")), _languages(pivots)
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


def _languages(pivots: Sequence[str]) -> tuple[str, ...]:
    found = check.strings(pivots, "pivots")
    if not found:
        raise ValueError(f"pivots must be one or more languages, got {check.what(pivots)}")
    return found


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

    Returns:
        One line, without an end.

    >>> label_prompt("cardiology", ["The", "patient", "reports", "chest", "pain"])
    'cardiology: The patient reports'
    """
    words = None if words is None else check.whole(words, "words", low=0)
    return f"{label}{separator}{detokenize(check.strings(tokens, 'tokens')[:words], language=language)}"


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
        generate: ``generate(prompt, seed) -> text``; see `tutorial_lib.augment`.
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
    tokens, words = tokens_of(tokens, rng), check.whole(words, "words", low=0)
    prompt = label_prompt(label, tokens, words=words, separator=separator, language=language)
    written = generate(prompt, rng.getrandbits(31))
    if not isinstance(written, str):
        raise ValueError(f"generate must return a string, what follows the prompt, got {type(written).__name__}")
    new = tokenize(written, language=language)
    return tokens[:words] + new if new else tokens
