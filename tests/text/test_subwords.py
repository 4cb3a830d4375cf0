"""Byte pairs and word pieces: the papers' examples, the plain lines, and Hugging Face's tokenizers."""

import io
import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib._kernels.byte_pairs import merged_pairs, plain_merged_pairs
from tutorial_lib.text import (
    BytePairs,
    WordPieces,
    apply_bpe,
    apply_wordpiece,
    learn_bpe,
    learn_wordpiece,
)

PAPER = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
COURSE = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}


def joined(pairs: BytePairs) -> str:
    return " ".join("".join(pair) for pair in pairs.merges)


# --- byte pairs ---


def test_the_papers_words_under_both_rules_for_ties():
    first = learn_bpe(PAPER, 10)
    assert joined(first) == "es est est</w> lo low ne new newest</w> low</w> wi"
    assert first.counts == (9, 9, 9, 7, 7, 6, 6, 6, 5, 3)
    greatest = learn_bpe(PAPER, 10, ties="greatest")
    assert joined(greatest) == "t</w> st</w> est</w> ow low west</w> ne newest</w> low</w> wi"
    assert apply_bpe(PAPER, first) == ["low</w>", "low", "e", "r", "</w>", "newest</w>", "wi", "d", "est</w>"]
    assert apply_bpe(PAPER, greatest) == apply_bpe(PAPER, first)  # other merges, the same words in the end


def test_the_code_printed_in_the_paper():
    """Its dictionary of pairs is made anew for every merge, in the order of the words; max takes the first."""
    words = {" ".join([*word, "</w>"]): count for word, count in PAPER.items()}
    merges = []
    for _ in range(10):
        pairs = Counter()
        for word, count in words.items():
            symbols = word.split()
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += count
        best = max(pairs, key=pairs.get)
        merges.append(best)
        words = {
            f" {word} ".replace(" {} {} ".format(*best), f" {''.join(best)} ").strip(): words[word] for word in words
        }
    assert learn_bpe(PAPER, 10).merges == tuple(merges)


def test_the_mark_of_a_words_end():
    assert learn_bpe(PAPER, 2, apart=False).merges == (("e", "s"), ("es", "t</w>"))
    without = learn_bpe(COURSE, 3, end_of_word="")
    assert without.merges == (("u", "g"), ("u", "n"), ("h", "ug")) and without.counts == (20, 16, 15)
    assert apply_bpe(["hugs", "mug"], without) == ["hug", "s", "m", "ug"]
    assert apply_bpe(["no"], learn_bpe(COURSE, 3, apart=False)) == ["n", "o</w>"]


def test_where_merging_ends():
    assert learn_bpe(PAPER, 10_000).counts[-1] == 2 and learn_bpe({"ab": 1}, 9, min_count=2).merges == ()
    assert learn_bpe(["ab", "ab", "c"], 9) == learn_bpe({"ab": 2, "": 3, "c": 1, "d": 0}, 9)
    assert learn_bpe([], 5).merges == () and apply_bpe(["", "ab"], learn_bpe([], 5)) == ["a", "b", "</w>"]
    assert learn_bpe({"aaaaa": 1}, 2, end_of_word="").merges == (("a", "a"), ("aa", "aa"))


few_letters = st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 4), max_size=12)


@settings(max_examples=150)
@given(words=few_letters, ties=st.sampled_from(["first", "greatest"]), prefix=st.sampled_from([None, "#"]),
       least=st.integers(1, 3))  # fmt: skip
def test_the_fast_merges_are_those_of_the_plain_lines(words, ties, prefix, least):
    splits = [[word[0], *((prefix or "") + letter for letter in word[1:])] for word in words]
    settings = {"ties": ties, "min_count": least, "prefix": prefix}
    plain = plain_merged_pairs(splits, [*words.values()], 12, **settings)
    assert merged_pairs(splits, [*words.values()], 12, **settings) == plain


@settings(max_examples=50)
@given(words=few_letters, apart=st.booleans(), others=st.lists(st.text("abcd", max_size=6), max_size=5))
def test_nothing_is_lost(words, apart, others):
    pairs = learn_bpe(words, 8, apart=apart)
    for cut in (apply_bpe(others, pairs), apply_bpe(others, pairs)):  # the second time from memory
        assert "".join(cut).split("</w>") == [*filter(None, others), ""]


def test_the_learnt_words_come_out_as_they_were_left_by_the_merges():
    words = [["a", "b", "a"], ["b", "a", "b"]]
    assert merged_pairs(words, [3, 2], 1) == [(("a", "b"), 5)]
    assert words == [["a", "b", "a"], ["b", "a", "b"]]  # what was given is not changed


def test_byte_pairs_are_those_of_tokenizers():
    """On words where no two pairs are level: there the rule for ties, which is another in each library, has no part."""
    tokenizers = pytest.importorskip("tokenizers")
    rng = random.Random(0)
    words = {"".join(rng.choices("abcd", k=rng.randint(2, 5))): rng.randint(1, 300) for _ in range(60)}
    ours = learn_bpe(words, 12, apart=False)
    assert ours == learn_bpe(words, 12, apart=False, ties="greatest")
    settings = {"vocab_size": 10_000, "end_of_word_suffix": "</w>", "show_progress": False}
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    theirs.train_from_iterator(
        [" ".join([word] * count) for word, count in words.items()], tokenizers.trainers.BpeTrainer(**settings)
    )
    assert [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]][:12] == list(ours.merges)
    # And by the same merges they cut alike, also words never seen.
    symbols = {*"abcd", *(letter + "</w>" for letter in "abcd"), *map("".join, ours.merges)}
    model = tokenizers.models.BPE(
        {symbol: i for i, symbol in enumerate(sorted(symbols))}, list(ours.merges), end_of_word_suffix="</w>"
    )
    for word in [*words, *("".join(rng.choices("abcd", k=7)) for _ in range(30))]:
        assert apply_bpe([word], ours) == [token.value for token in model.tokenize(word)]


def test_subword_nmt_stops_below_two_and_takes_the_greatest():
    module = pytest.importorskip("subword_nmt.learn_bpe")
    out = io.StringIO()
    module.learn_bpe(io.StringIO("\n".join(f"{word} {count}" for word, count in PAPER.items())), out, 50, is_dict=True)
    merges = tuple(tuple(line.split()) for line in out.getvalue().splitlines()[1:])
    assert learn_bpe(PAPER, 50, ties="greatest", apart=False, min_count=2).merges == merges


# --- word pieces ---


def test_the_worked_example_of_word_pieces():
    pieces = learn_wordpiece(COURSE, 3)
    assert pieces.merges == (("##g", "##s"), ("h", "##u"), ("hu", "##gs"))
    assert pieces.scores == pytest.approx((5 / (20 * 5), 15 / (15 * 36), 5 / (15 * 5)))
    assert pieces.vocabulary == ("##g", "##gs", "##n", "##s", "##u", "b", "h", "hu", "hugs", "p")
    assert learn_bpe(COURSE, 1, end_of_word="").merges == (("u", "g"),)  # the most frequent pair, 20 times
    assert apply_wordpiece(["hugs", "bug", "mug", ""], pieces) == ["hugs", "b", "##u", "##g", "[UNK]"]
    assert learn_wordpiece(COURSE, 1, min_count=6).merges == (("h", "##u"),)


def test_word_pieces_are_cut_as_bert_cuts_them():
    vocabulary = ["un", "##aff", "##able", "a", "##a", "##f", "[UNK]"]
    pieces = WordPieces(tuple(vocabulary))
    words = ["unaffable", "unaffx", "aaf", "af", "un", "x", "a" * 101, "##aff"]
    ours = [apply_wordpiece([word], pieces) for word in words]
    assert ours[0] == ["un", "##aff", "##able"] and ours[1] == ours[5] == ours[6] == ours[7] == ["[UNK]"]
    models = pytest.importorskip("tokenizers").models
    model = models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]")
    for word, cut in zip(words[:-1], ours):  # theirs takes "##aff" at the beginning of a word for the piece
        assert cut == [token.value for token in model.tokenize(word)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: learn_bpe("low", 1), r"words must be several strings, such as \['low'\], got 'low'"),
        (lambda: learn_bpe(["a"], -1), "merges must be a whole number of at least 0, got -1"),
        (lambda: learn_bpe(["a"], 1, ties="last"), "ties must be 'first' or 'greatest', got 'last'"),
        (lambda: learn_bpe(["a"], 1, min_count=0), "min_count must be .* at least 1, got 0"),
        (lambda: learn_bpe({"a": -1}, 1), r"words\[0\] must be a whole number of at least 0, got -1"),
        (lambda: learn_bpe(["x</w>y"], 1), "end_of_word must be in no word, got '</w>' and 'x</w>y'"),
        (lambda: apply_bpe(["x</w>"], learn_bpe(["a"], 1)), "end_of_word must be in no word"),
        (lambda: apply_bpe("low", learn_bpe(["a"], 1)), "tokens must be several strings"),
        (lambda: learn_wordpiece(["##a"], 1), "words must not begin with the prefix '##', got '##a'"),
        (lambda: learn_wordpiece(["a"], 1, prefix=""), "prefix must be a mark, such as '##', got ''"),
        (lambda: apply_wordpiece(["a"], WordPieces(("a",)), max_characters=0), "max_characters must be"),
        (lambda: apply_wordpiece("a", WordPieces(("a",))), "tokens must be several strings"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
