"""Merging pairs of symbols, again and again: :func:`merged_pairs` equals :func:`plain_merged_pairs`.

A merge changes only the words that hold its pair, and in them only the pairs beside it. So counts are kept, not made
again; an index says which words may hold a pair; and a heap has the best pair on top. An entry of the heap that is out
of date is thrown away when it comes to the top.

References:
    Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, ACL 2016.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

Pair = tuple[str, str]


def plain_merged_pairs(
    words: Sequence[Sequence[str]],
    counts: Sequence[int],
    merges: int,
    *,
    ties: str = "first",
    min_count: int = 1,
    prefix: str | None = None,
) -> list[tuple[Pair, float]]:
    """The merges, in order, each with the count (or the score) that it had when it was made.

    Args:
        words: each a sequence of symbols, all different.
        counts: how often each word was seen.
        merges: how many at most.
        ties: among equals, ``"first"`` takes the pair met first from the first word on, ``"greatest"`` the last in the
            order of strings.
        min_count: pairs seen less often are not merged.
        prefix: ``None`` for byte pairs; for word pieces the mark of a symbol that goes on, and the best pair is then
            that of the highest count divided by the counts of its two symbols.
    """
    splits, made = [list(word) for word in words], []
    for _ in range(merges):
        pairs: Counter[Pair] = Counter()
        single: Counter[str] = Counter()
        for split, count in zip(splits, counts):
            for symbol in split:
                single[symbol] += count
            for pair in pairwise(split):
                pairs[pair] += count
        scores = {
            (a, b): count if prefix is None else count / (single[a] * single[b])
            for (a, b), count in pairs.items()
            if count >= min_count
        }
        if not scores:
            break
        best = max(scores, key=scores.__getitem__)
        if ties == "greatest":
            best = max(pair for pair in scores if scores[pair] == scores[best])
        made.append((best, scores[best]))
        for split in splits:
            i = 0
            while i + 1 < len(split):
                if (split[i], split[i + 1]) == best:
                    split[i : i + 2] = [split[i] + split[i + 1][len(prefix or "") :]]
                i += 1
    return made


# --- The same with kept counts, an index and a heap -----------------------------------------------------------------


def merged_pairs(
    words: Sequence[Sequence[str]],
    counts: Sequence[int],
    merges: int,
    *,
    ties: str = "first",
    min_count: int = 1,
    prefix: str | None = None,
) -> list[tuple[Pair, float]]:
    """The merges in order; arguments as of :func:`plain_merged_pairs`."""
    names: list[str] = []
    numbers: dict[str, int] = {}
    turned: list[tuple[int, ...]] = []  # sorts the other way round than the strings: the greatest is then the smallest

    def number(name: str) -> int:
        if name not in numbers:
            numbers[name] = len(names)
            names.append(name)
            turned.append((*(-ord(character) for character in name), 1))
        return numbers[name]

    splits = [[number(symbol) for symbol in word] for word in words]
    pairs: dict[tuple[int, int], int] = defaultdict(int)
    where: dict[tuple[int, int], set[int]] = defaultdict(set)  # words that hold the pair, or did
    single: dict[int, int] = defaultdict(int)
    beside: dict[int, set[tuple[int, int]]] = defaultdict(set)  # the pairs of a symbol, for word pieces
    for j, (split, count) in enumerate(zip(splits, counts)):
        for symbol in split:
            single[symbol] += count
        for pair in pairwise(split):
            pairs[pair] += count
            where[pair].add(j)

    def score(pair: tuple[int, int]) -> float:
        count = pairs[pair]
        return count if prefix is None else count / (single[pair[0]] * single[pair[1]])

    # Entries of the heap: minus the score, what breaks ties, the pair, and the merge that last changed it. Where the
    # first pair wins, its place (word, character) is looked up only when it comes to the top: () until then.
    changed: dict[tuple[int, int], int] = dict.fromkeys(pairs, 0)

    def entry(pair: tuple[int, int], step: int) -> tuple:
        tie = (turned[pair[0]], turned[pair[1]]) if ties == "greatest" else ()
        return -score(pair), tie, pair, step

    if prefix is not None:
        for pair in pairs:
            beside[pair[0]].add(pair)
            beside[pair[1]].add(pair)
    heap = [entry(pair, 0) for pair, count in pairs.items() if count >= min_count]
    heapq.heapify(heap)
    made: list[tuple[Pair, float]] = []
    while heap and len(made) < merges:
        minus, tie, best, step = heapq.heappop(heap)
        if changed[best] != step:
            continue
        if ties == "first" and not tie:
            heapq.heappush(heap, (minus, _place(best, sorted(where[best]), splits, names), best, step))
            continue
        a, b = best
        made.append(((names[a], names[b]), -minus))
        new = number(names[a] + names[b][len(prefix or "") :])
        step = len(made)
        touched = {best}
        for j in where.pop(best):
            split, count = splits[j], counts[j]
            i, last = 0, len(split) - 1
            while i < last:
                if split[i] != a or split[i + 1] != b:
                    i += 1
                    continue
                split[i : i + 2] = [new]
                last -= 1
                pairs[best] -= count
                if prefix is not None:
                    single[a] -= count
                    single[b] -= count
                    single[new] += count
                if i:
                    old, pair = (split[i - 1], a), (split[i - 1], new)
                    pairs[old] -= count
                    pairs[pair] += count
                    where[pair].add(j)
                    touched.add(old)
                    touched.add(pair)
                if i < last:
                    old, pair = (b, split[i + 1]), (new, split[i + 1])
                    pairs[old] -= count
                    pairs[pair] += count
                    where[pair].add(j)
                    touched.add(old)
                    touched.add(pair)
                i += 1
        if prefix is not None:  # the counts of three symbols are others, and with them the scores of all their pairs
            for pair in touched:
                beside[pair[0]].add(pair)
                beside[pair[1]].add(pair)
            touched |= beside[a] | beside[b] | beside[new]
        for pair in touched:
            changed[pair] = step
            if pairs[pair] >= min_count:
                heapq.heappush(heap, entry(pair, step))
    return made


def _place(pair: tuple[int, int], words: list[int], splits: list[list[int]], names: list[str]) -> tuple[int, int]:
    """The first word that holds the pair, and how many symbols stand before it there."""
    for j in words:
        split = splits[j]
        for i in range(len(split) - 1):
            if split[i] == pair[0] and split[i + 1] == pair[1]:
                return j, sum(len(names[symbol]) for symbol in split[:i])
    raise AssertionError(f"no word holds {pair}")
