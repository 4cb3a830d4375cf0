"""Merging pairs of symbols, again and again: :func:`merged_pairs` equals :func:`plain_merged_pairs`.

A merge changes only the words that hold its pair, and in them only the pairs beside it. So counts are kept, not made
again: what a merge changes is added up for each neighbour, and then booked once. An index says which words may hold a
pair; and a heap has the best pair on top. Only a pair with the new symbol can win by a merge; all others lose, so that
their old entries stand too high in the heap, which does no harm: one that is out of date when it comes to the top is
put back at its right place. (A word piece's score can also rise when its neighbours go: there all are entered anew.)

A symbol is one character here, whichever, and a word is a string of them, so that Python itself looks for a pair.

References:
    Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, ACL 2016.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from operator import add

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
    names: dict[str, str] = {}  # sign -> the symbol that it stands for
    signs: dict[str, str] = {}
    turned: dict[str, tuple[int, ...]] = {}  # sorts the other way round than the strings: the greatest is the smallest

    def sign(name: str) -> str:
        if name not in signs:
            signs[name] = new = chr(len(signs))
            names[new] = name
            turned[new] = (*(-ord(character) for character in name), 1)
        return signs[name]

    splits = ["".join(map(sign, word)) for word in words]
    table: dict[str, list] = {}  # pair -> [its count, the merge that last changed it, words that hold it, or did]
    single: dict[str, int] = defaultdict(int)
    beside: dict[str, set[str]] = defaultdict(set)  # the pairs of a symbol; both for word pieces
    for j, (split, count) in enumerate(zip(splits, counts)):
        for pair in map(add, split, split[1:]):
            if pair in table:
                record = table[pair]
                record[0] += count
                record[2].append(j)
            else:
                table[pair] = [count, 0, [j]]
        if prefix is not None:
            for symbol in split:
                single[symbol] += count

    # Entries of the heap: minus the score, what breaks ties, the pair, and the merge that last changed it. Where the
    # first pair wins, its place (word, character) is looked up only when it comes to the top: () until then.
    def entry(pair: str) -> tuple:
        tie = (turned[pair[0]], turned[pair[1]]) if ties == "greatest" else ()
        count, step, _ = table[pair]
        return -(count if prefix is None else count / (single[pair[0]] * single[pair[1]])), tie, pair, step

    if prefix is not None:
        for pair in table:
            beside[pair[0]].add(pair)
            beside[pair[1]].add(pair)
    heap = [entry(pair) for pair, (count, _, _) in table.items() if count >= min_count]
    heapq.heapify(heap)
    made: list[tuple[Pair, float]] = []
    while heap and len(made) < merges:
        minus, tie, best, step = heapq.heappop(heap)
        record = table[best]
        if record[1] != step:
            if prefix is None and record[0] >= min_count:
                heapq.heappush(heap, entry(best))
            continue
        if ties == "first" and not tie:
            heapq.heappush(heap, (minus, _place(best, sorted(record[2]), splits, names), best, step))
            continue
        a, b = best
        made.append(((names[a], names[b]), -minus))
        new = sign(names[a] + names[b][len(prefix or "") :])
        step, merged = len(made), 0
        left: dict[str, list] = {}  # the symbol that stood before the pair -> a record of it with the new symbol
        right: dict[str, list] = {}
        for j in record[2]:
            split, count = splits[j], counts[j]
            i = split.find(best)
            while i >= 0:
                split = split[:i] + new + split[i + 2 :]
                merged += count
                if i:
                    x = split[i - 1]
                    if x in left:
                        left[x][0] += count
                        left[x][2].append(j)
                    else:
                        left[x] = [count, step, [j]]
                if i + 1 < len(split):
                    x = split[i + 1]
                    if x in right:
                        right[x][0] += count
                        right[x][2].append(j)
                    else:
                        right[x] = [count, step, [j]]
                i = split.find(best, i + 1)
            splits[j] = split
        record[:] = record[0] - merged, step, []
        fewer = [b + x for x in right] + [x + a for x in left]
        more = [new + x for x in right] + [x + new for x in left]
        # The right ones first: of "abab" the first merge makes the pair (new, a), which the second takes away.
        for part, old, now in zip([*right.values(), *left.values()], fewer, more):
            record = table[old]
            record[0] -= part[0]
            record[1] = step
            record = table.setdefault(now, part)
            if record is not part:
                record[0] += part[0]
                record[1] = step
                record[2] += part[2]
        if prefix is not None:  # the counts of three symbols are others, and with them the scores of all their pairs
            single[a] -= merged
            single[b] -= merged
            single[new] += merged
            for pair in (best, *fewer, *more):
                beside[pair[0]].add(pair)
                beside[pair[1]].add(pair)
            more = [*(beside[a] | beside[b] | beside[new])]
        for pair in more:
            record = table[pair]
            record[1] = step
            if record[0] >= min_count:
                heapq.heappush(heap, entry(pair))
    return made


def _place(pair: str, words: list[int], splits: list[str], names: dict[str, str]) -> tuple[int, int]:
    """The first word that holds the pair, and how many characters stand before it there."""
    for j in words:
        i = splits[j].find(pair)
        if i >= 0:
            return j, sum(len(names[symbol]) for symbol in splits[j][:i])
    raise AssertionError(f"no word holds {pair}")
