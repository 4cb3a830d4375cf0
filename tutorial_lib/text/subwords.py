"""Words cut into the parts they are made of, so that no word is unknown: byte pairs and word pieces. For chapter 11."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tutorial_lib import _arguments as check
from tutorial_lib._kernels.byte_pairs import merged_pairs
from tutorial_lib.text.vocabulary import UNK

TIES = ("first", "greatest")


@dataclass(frozen=True)
class BytePairs:
    """What :func:`learn_bpe` found, and all that :func:`apply_bpe` needs.

    Attributes:
        merges: pairs of symbols, in the order in which they were joined.
        counts: how often each pair was seen then.
        end_of_word: the mark behind a word's last character.
        apart: whether that mark was a symbol of its own.
    """

    merges: tuple[tuple[str, str], ...]
    counts: tuple[int, ...]
    end_of_word: str = "</w>"
    apart: bool = True

    @functools.cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in reversed([*enumerate(self.merges)])}

    @functools.cached_property
    def _known(self) -> dict[str, list[str]]:
        return {}


def learn_bpe(
    words: Iterable[str] | Mapping[str, int],
    merges: int,
    *,
    ties: str = "first",
    end_of_word: str = "</w>",
    apart: bool = True,
    min_count: int = 1,
) -> BytePairs:
    """Learn byte-pair encoding: merge the pair of neighbouring symbols seen most often, again and again.

    For chapter 11. At first every character is a symbol, and so is the end of a word. What a merge makes is a symbol of
    its own. The paper leaves open which pair wins among equals, and popular code differs, so that the same words give
    other merges.

    Args:
        words: the words of the training texts, or how often each was seen.
        merges: how many merges at most; fewer where no pair is left.
        ties: ``"first"`` takes the pair met first when going through the words in their order, as the code printed in
            the paper does; ``"greatest"`` the last in the order of strings, as subword-nmt does.
        end_of_word: the mark of a word's end, in no word itself; ``""`` for none, and what is cut then cannot be told
            from its neighbours.
        apart: whether the mark is a symbol of its own, as in the paper, or part of the last character, as in
            subword-nmt since its version 0.2 and in Hugging Face's tokenizers.
        min_count: stop before a pair seen less often (subword-nmt: 2).

    Returns:
        :class:`BytePairs`.

    References:
        Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, ACL 2016.

    >>> pairs = learn_bpe({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 4)
    >>> ["".join(pair) for pair in pairs.merges], pairs.counts
    (['es', 'est', 'est</w>', 'lo'], (9, 9, 9, 7))
    >>> apply_bpe(["lowest"], pairs)
    ['lo', 'w', 'est</w>']
    """
    check.choice(ties, "ties", TIES)
    merges, min_count = check.whole(merges, "merges", low=0), check.whole(min_count, "min_count", low=1)
    end_of_word, counts = check.string(end_of_word, "end_of_word"), _counted(words)
    splits = [_characters(word, end_of_word, apart) for word in counts]
    made = merged_pairs(splits, [*counts.values()], merges, ties=ties, min_count=min_count)
    return BytePairs(tuple(pair for pair, _ in made), tuple(int(count) for _, count in made), end_of_word, apart)


def apply_bpe(tokens: Sequence[str], pairs: BytePairs) -> list[str]:
    """Cut tokens into the symbols of byte-pair encoding: make the merges that were learnt, the earliest first.

    Put together again, the result is the tokens: remove the mark of a word's end where it stands. For chapter 11.

    Args:
        tokens: the tokens of a text; empty ones give nothing.
        pairs: what :func:`learn_bpe` found. It remembers the words it has cut.

    Returns:
        The symbols of all tokens, one after the other.

    >>> pairs = learn_bpe({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 10)
    >>> apply_bpe(["newest", "wider"], pairs)
    ['newest</w>', 'wi', 'd', 'e', 'r', '</w>']
    """
    found, known = [], pairs._known
    for token in check.strings(tokens, "tokens"):
        if token not in known:
            known[token] = _merge(_characters(token, pairs.end_of_word, pairs.apart), pairs._ranks)
        found += known[token]
    return found


def _merge(symbols: list[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    while len(symbols) > 1:
        best = min(zip(symbols, symbols[1:]), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        i = 0
        while i + 1 < len(symbols):
            if (symbols[i], symbols[i + 1]) == best:
                symbols[i : i + 2] = ["".join(best)]
            i += 1
    return symbols


def _characters(word: str, end: str, apart: bool) -> list[str]:
    if end and end in word:
        raise ValueError(f"end_of_word must be in no word, got {end!r} and {word!r}")
    if apart or not word:
        return [*word, end] if end and word else [*word]
    return [*word[:-1], word[-1] + end]


def _counted(words: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """How often each word was seen, in the order in which they came; without the empty one and those never seen."""
    if isinstance(words, Mapping):
        names = check.strings(words.keys(), "words")
        counts = dict(zip(names, check.wholes([*words.values()], "words", low=0)))
    else:
        counts = Counter(check.strings(words, "words"))
    return {word: count for word, count in counts.items() if word and count}


@dataclass(frozen=True)
class WordPieces:
    """What :func:`learn_wordpiece` found: ``vocabulary``, sorted, with ``prefix`` on what goes on inside a word.

    ``merges`` and ``scores`` tell how it came about; a vocabulary from elsewhere, such as BERT's, needs neither.

    Attributes:
        vocabulary: the pieces, sorted.
        merges: pairs of pieces, in the order in which they were joined.
        scores: the score for which each pair was chosen.
        prefix: what stands before a piece that goes on inside a word.
    """

    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()
    prefix: str = "##"

    @functools.cached_property
    def _pieces(self) -> tuple[frozenset[str], int]:
        return frozenset(self.vocabulary), max(map(len, self.vocabulary), default=0)

    @functools.cached_property
    def _known(self) -> dict[str, list[str]]:
        return {}


def learn_wordpiece(
    words: Iterable[str] | Mapping[str, int],
    merges: int,
    *,
    prefix: str = "##",
    ties: str = "first",
    min_count: int = 1,
) -> WordPieces:
    r"""Learn word pieces: as byte pairs, but merge the one with the highest score, not the highest count. (Chapter 11.)

    .. math:: s(a, b) = f(ab) / (f(a)\, f(b))

    with f how often a pair or a symbol stands in the words as they are cut at that moment: a pair whose parts seldom
    stand elsewhere wins over one that is frequent because its parts are. This is the rule as it is taught; Google's own
    code was not published, and the trainer for word pieces in Hugging Face's tokenizers goes by counts alone.

    Args:
        words: as in :func:`learn_bpe`; none may begin with the prefix.
        merges: how many merges at most.
        prefix: the mark of a symbol that does not begin a word.
        ties: as in :func:`learn_bpe`.
        min_count: never merge a pair seen less often. The score prefers rare symbols, so 2 or more keeps out accidents.

    Returns:
        :class:`WordPieces`: all characters that were seen and all symbols that were made.

    References:
        Schuster and Nakajima, Japanese and Korean voice search, ICASSP 2012.

    >>> pieces = learn_wordpiece({"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}, 2)
    >>> pieces.merges, pieces.scores
    ((('##g', '##s'), ('h', '##u')), (0.05, 0.027777777777777776))
    >>> apply_wordpiece(["hugs", "bugs"], pieces)
    ['hu', '##gs', 'b', '##u', '##gs']
    """
    check.choice(ties, "ties", TIES)
    merges, min_count = check.whole(merges, "merges", low=0), check.whole(min_count, "min_count", low=1)
    prefix, counts = check.string(prefix, "prefix"), _counted(words)
    if not prefix:
        raise ValueError("prefix must be a mark, such as '##', got ''")
    wrong = [word for word in counts if word.startswith(prefix)]
    if wrong:
        raise ValueError(f"words must not begin with the prefix {prefix!r}, got {wrong[0]!r}")
    splits = [[word[0], *(prefix + character for character in word[1:])] for word in counts]
    made = merged_pairs(splits, [*counts.values()], merges, ties=ties, min_count=min_count, prefix=prefix)
    vocabulary = {symbol for split in splits for symbol in split}
    vocabulary |= {first + second[len(prefix) :] for (first, second), _ in made}
    return WordPieces(tuple(sorted(vocabulary)), tuple(pair for pair, _ in made), tuple(s for _, s in made), prefix)


def apply_wordpiece(
    tokens: Sequence[str], pieces: WordPieces, *, unknown: str = UNK, max_characters: int = 100
) -> list[str]:
    """Cut tokens into word pieces: from the left, the longest piece that the vocabulary has, as BERT does.

    For chapter 11. The merges are not made again: the vocabulary alone decides.

    Args:
        tokens: the tokens of a text; empty ones give nothing.
        pieces: what :func:`learn_wordpiece` found, or ``WordPieces(vocabulary)`` of another model.
        unknown: what stands for a whole token of which some part is no piece.
        max_characters: longer tokens are unknown.

    Returns:
        The pieces of all tokens, one after the other.

    >>> apply_wordpiece(["unaffable", "unx"], WordPieces(("un", "##aff", "##able")))
    ['un', '##aff', '##able', '[UNK]']
    """
    max_characters, unknown = check.whole(max_characters, "max_characters", low=1), check.string(unknown, "unknown")
    found, known = [], pieces._known
    for token in check.strings(tokens, "tokens"):
        if len(token) > max_characters:
            found.append(unknown)
            continue
        if token not in known:
            known[token] = _longest_first(token, pieces)
        found += known[token] or [unknown] * bool(token)
    return found


def _longest_first(word: str, pieces: WordPieces) -> list[str]:
    vocabulary, longest = pieces._pieces
    found: list[str] = []
    start = 0
    while start < len(word):
        before = pieces.prefix if start else ""
        for end in range(min(len(word), start + longest), start, -1):
            piece = before + word[start:end]
            if piece in vocabulary and (start or not piece.startswith(pieces.prefix)):
                found.append(piece)
                start = end
                break
        else:
            return []
    return found
