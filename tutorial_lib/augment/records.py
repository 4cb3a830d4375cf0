"""Many texts: each variant with its label, and with the trace of where its tokens came from."""

import inspect
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from typing import NamedTuple

from tutorial_lib import _arguments as check
from tutorial_lib.augment.draws import Table, sample, tokens_of
from tutorial_lib.augment.lexicon import SYNONYMS
from tutorial_lib.augment.protection import Keep, is_punctuation
from tutorial_lib.augment.wholes import SENTENCE_ENDS, instance_crossover
from tutorial_lib.augment.words import eda_operations
from tutorial_lib.text.tokens import detect_language, detokenize, token_pieces


class Augmented(NamedTuple):
    """One augmented text, and where it came from."""

    text: str
    """The text that was made."""
    tokens: list[str]
    """Its tokens."""
    label: object
    """The label of the source, as it was given; None where there are no labels."""
    operation: str
    """The name of what made it."""
    source: str
    """The text it was made from, untouched."""
    source_tokens: list[str]
    """Its tokens."""
    index: int  # type: ignore[assignment]  # the public name; a tuple has a method of that name
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

    Args:
        text: where the tokens come from.
        tokens: in their order; upper and lower case are one.

    Returns:
        As many spans as tokens: ``text[start:end]``.

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
    texts: Iterable[str | Sequence[str]],
    labels: Iterable[object] | None = None,
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
    n = check.whole(n, "n", low=0)
    if not isinstance(operations, Mapping) or not operations or not all(map(callable, operations.values())):
        raise ValueError(
            f"operations must be a mapping from names to functions, not empty, got {check.what(operations)}"
        )
    seed, workers = check.whole(seed, "seed"), check.whole(workers, "workers", low=0)
    rows = list(zip(range(len(texts)), texts, labels))
    needy = frozenset(name for name, function in operations.items() if _needs_label(function))
    settings = (dict(operations), needy, n, seed, language)
    if not workers or len(rows) < 2:
        return list(chain.from_iterable(_augment_row(row, *settings) for row in rows))
    size = min(2000, -(-len(rows) // workers))
    pieces = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ProcessPoolExecutor(min(workers, len(pieces)), initializer=_begin_work, initargs=(settings,)) as pool:
        return list(chain.from_iterable(pool.map(_work, pieces)))


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
    source = _Source.read(check.string(text), language)
    marked = tokens_of(_mark(source.tokens, 0), rng)
    operations = eda_operations(alpha=alpha, synonyms=synonyms, stop_words=stop_words, keep=keep)
    variants = _variants(marked, operations, n, rng)
    return [_write(variant, _origin(variant, source, 0), source) for _, variant in variants]


def _variants(tokens: list[str], operations: Mapping[str, Callable], n: int, rng: random.Random, tries: int = 3):
    """Up to n pairs (operation, tokens), all different from the tokens and from each other."""
    n = check.whole(n, "n", low=0)
    seen = {tuple(tokens)}
    names: list[str] = []
    failed = 0
    while tokens and len(seen) <= n and failed < tries * len(operations):
        names = names or sample(list(operations), len(operations), rng)
        name = names.pop()
        variant = operations[name](tokens, rng=rng)
        if tuple(variant) in seen:
            failed += 1
            continue
        failed = 0
        seen.add(tuple(variant))
        yield name, variant


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
    texts: Iterable[str | Sequence[str]],
    labels: Iterable[object],
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
    (texts, labels), seed = _check_set(texts, labels), check.whole(seed, "seed")
    sources = [_Source.read(text, language) for text in texts]
    marked = [_mark(source.tokens, index) for index, source in enumerate(sources)]
    changed = operation(marked, labels, rng=random.Random(f"{seed}"))
    if len(changed) != len(texts):
        raise ValueError(f"operation must return {len(texts)} lists of tokens, got {len(changed)}")
    name = name or getattr(getattr(operation, "func", operation), "__name__", None) or type(operation).__name__
    records = []
    for index, (new, source) in enumerate(zip(changed, sources)):
        if list(new) != source.tokens:
            facts = {"label": labels[index], "operation": name, "index": index, "variant": 0, "seed": seed}
            records.append(_record(source, new, **facts))
    return records


def _check_set(texts, labels) -> tuple[list, list]:
    if isinstance(texts, str):
        raise ValueError(f"texts must be a list of texts, got {check.what(texts)}")
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


class _Marked(str):
    """A token that knows where it stood: ``place`` in ``text``. It goes through every method as the string it is."""

    __slots__ = ("place", "text")
    place: int
    text: int


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
            tokens = [piece.content for piece in pieces]
            spans: list[tuple[int, int] | None] = [(piece.start, piece.end) for piece in pieces]
        else:
            tokens = tokens_of(text, random.Random(0))
            text = detokenize(tokens, language=language)
            spans = token_spans(text, tokens)
        return cls(text, tokens, spans, detect_language(text) if language == "auto" else language)


def _mark(tokens: list[str], index: int) -> list[str]:
    marked: list[str] = []
    for place, token in enumerate(tokens):
        new = _Marked(token)
        new.place, new.text = place, index
        marked.append(new)
    return marked


def _record(source: _Source, new: Sequence[str], **facts) -> Augmented:
    index = facts["index"]
    origin = _origin(new, source, index)
    others = {token.text for token in new if isinstance(token, _Marked)} - {index}
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
    marked = [isinstance(token, _Marked) for token in new]
    origin = [token.place if isinstance(token, _Marked) and token.text == index else None for token in new]
    if None not in origin:
        return origin
    used, place = set(origin), 0
    while place < len(origin):
        end = place
        while end < len(origin) and origin[end] is None and not marked[end]:
            end += 1
        if end > place:
            left = origin[place - 1] if place else -1
            right = origin[end] if end < len(origin) else len(source.tokens)
            gap = [] if left is None or right is None else [i for i in range(left + 1, right) if i not in used]
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
            one = None if last is None or place != last + 1 else spans[last]
            two = None if place is None else spans[place]
            if last is not None and place is not None and one and two:
                gap = text[one[1] : two[0]]
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
