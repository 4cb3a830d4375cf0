"""Learning 5,000 byte-pair merges on 1 MB of words, beside subword-nmt; the same merges come out."""

import contextlib
import io

import numpy as np

from benchmarks.bench_metrics import import_peer
from benchmarks.timing import medians, show
from tutorial_lib.text import apply_bpe, apply_wordpiece, learn_bpe, learn_wordpiece

SUBWORD_NMT = "subword-nmt==0.3.8"
OURS_AS_THEIRS = {"ties": "greatest", "apart": False, "min_count": 2}


def main(peers: bool = False, *, size: int = 1_000_000, merges: int = 5_000, repetitions: int = 3) -> None:
    words = made_up_words(size)
    functions = {"ours": lambda: learn_bpe(words, merges, **OURS_AS_THEIRS).merges}
    if peers:
        module = import_peer(SUBWORD_NMT, "subword_nmt.learn_bpe")
        lines = "\n".join(" ".join(words[i : i + 20]) for i in range(0, len(words), 20))
        functions["subword-nmt"] = lambda: theirs(module, lines, merges)
        assert functions["ours"]() == functions["subword-nmt"]()
    title = f"{merges:,} merges on {size / 1e6:g} MB, {len(set(words)):,} different words"
    times = medians(functions, repetitions=repetitions)
    show(title, times.pop("ours"), times, "5 x subword-nmt")
    if not peers:
        print(f"    subword-nmt: python -m benchmarks subwords --peers (fetches {SUBWORD_NMT})")

    first = learn_bpe(words, merges)
    pieces = learn_wordpiece(words, merges, min_count=2)
    functions = {
        "the first pair among equals": lambda: learn_bpe(words, merges),
        "word pieces": lambda: learn_wordpiece(words, merges, min_count=2),
        "apply byte pairs": lambda: apply_bpe(words, first),  # the words are known by then
        "apply word pieces": lambda: apply_wordpiece(words, pieces),
    }
    for name, seconds in medians(functions, repetitions=1).items():
        show(name, seconds, {}, "none")


def theirs(module, lines: str, merges: int) -> tuple[tuple[str, str], ...]:
    out = io.StringIO()
    with contextlib.redirect_stderr(io.StringIO()):
        module.learn_bpe(io.StringIO(lines), out, merges)
    return tuple((first, second) for first, second in map(str.split, out.getvalue().splitlines()[1:]))


def made_up_words(size: int) -> list[str]:
    """Words of one to four syllables, some far more frequent than others, to so many characters with their spaces."""
    rng = np.random.default_rng(0)
    consonants, vowels, ends = list("bcdfghklmnprstvz"), list("aeiou") + ["ea", "io"], ["", "", "n", "r", "s", "t"]
    syllables = [a + b + c for a in consonants for b in vowels for c in ends]
    share = 1 / np.arange(1, len(syllables) + 1)
    rng.shuffle(share)
    kinds = [
        "".join(rng.choice(syllables, size=length, p=share / share.sum())) for length in rng.integers(1, 5, 30_000)
    ]
    frequency = 1 / np.arange(1, len(kinds) + 1)
    drawn = rng.choice(len(kinds), size=size // 4, p=frequency / frequency.sum())
    words = [kinds[i] for i in drawn.tolist()]
    ends_at = np.searchsorted(np.cumsum([len(word) + 1 for word in words]), size)
    return words[:ends_at]
