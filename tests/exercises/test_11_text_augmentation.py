"""Exercises of chapter 11: a plausible mistake is told by its name."""

import os
import random
import re
import subprocess
import sys

import pytest
import torch
from conftest import cell_source, exercise_answers

from tutorial_lib.augment import TfIdf, protect, random_deletion, random_swap
from tutorial_lib.lab import check

NAME = "11_text_augmentation.ipynb"


def may_be_empty(tokens, p, rng):
    return [token for token in tokens if rng.random() >= p]


def always_the_first(tokens, p, rng):
    return [token for token in tokens if rng.random() >= p] or tokens[:1]


def share_that_stays(tokens, p, rng):
    return [token for token in tokens if rng.random() < p] or [rng.choice(tokens)]


def module_random(tokens, p, rng):
    return [token for token in tokens if random.random() >= p] or [random.choice(tokens)]


def by_word(tokens, p, rng):
    gone = {token for token in tokens if rng.random() < p}
    return [token for token in tokens if token not in gone] or [rng.choice(tokens)]


def exactly_one(tokens, p, rng):
    tokens = list(tokens)
    if p and len(tokens) > 1:
        tokens.pop(rng.randrange(len(tokens)))
    return tokens if p < 1 else [rng.choice(tokens)]


def in_place(tokens, p, rng):
    for i in reversed(range(len(tokens))):
        if len(tokens) > 1 and rng.random() < p:
            del tokens[i]
    return tokens


def as_a_string(tokens, p, rng):
    return " ".join([token for token in tokens if rng.random() >= p] or [rng.choice(tokens)])


def shuffled(tokens, p, rng):
    left = [token for token in tokens if rng.random() >= p] or [rng.choice(tokens)]
    return rng.sample(left, len(left)) if p else left


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (may_be_empty, "one word must stay"),
        (always_the_first, "drawn at random"),
        (share_that_stays, "share that stays"),
        (module_random, "draw everything from rng"),
        (by_word, "whatever happens to the others"),
        (exactly_one, "each word goes with probability p"),
        (in_place, "changed its argument"),
        (as_a_string, "a list of words"),
        (shuffled, "in their order"),
    ],
)
def test_never_empty_hints(wrong, hint):
    random.seed(0)
    result = check("text.never_empty", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_library_passes_where_its_arguments_are_those_of_the_exercise():
    def deletion(tokens, p, rng):
        return random_deletion(tokens, p=p, rng=rng)

    def one_swap(tokens, keep, rng):
        return random_swap(tokens, n=1, keep=protect(keep), rng=rng)

    assert check("text.never_empty", deletion, show=False).ok
    assert check("text.protected_swap", one_swap, show=False).ok


def swap(tokens, i, j):
    tokens = list(tokens)
    tokens[i], tokens[j] = tokens[j], tokens[i]
    return tokens


def unprotected(tokens, keep, rng):
    return swap(tokens, *rng.sample(range(len(tokens)), 2)) if len(tokens) > 1 else list(tokens)


def one_side_protected(tokens, keep, rng):
    free = [i for i, token in enumerate(tokens) if not keep(token)]
    if len(free) < 2:
        return list(tokens)
    i = rng.choice(free)
    return swap(tokens, i, rng.choice([k for k in range(len(tokens)) if k != i]))


def with_itself(tokens, keep, rng):
    free = [i for i, token in enumerate(tokens) if not keep(token)]
    return swap(tokens, rng.choice(free), rng.choice(free)) if len(free) > 1 else list(tokens)


def neighbours_only(tokens, keep, rng):
    free = [i for i, token in enumerate(tokens) if not keep(token)]
    if len(free) < 2:
        return list(tokens)
    k = rng.randrange(len(free) - 1)
    return swap(tokens, free[k], free[k + 1])


def drops_the_protected(tokens, keep, rng):
    free = [token for token in tokens if not keep(token)]
    return swap(free, *rng.sample(range(len(free)), 2)) if len(free) > 1 else list(tokens)


def swaps_in_place(tokens, keep, rng):
    free = [i for i, token in enumerate(tokens) if not keep(token)]
    if len(free) > 1:
        i, j = rng.sample(free, 2)
        tokens[i], tokens[j] = tokens[j], tokens[i]
    return tokens


def no_short_texts(tokens, keep, rng):
    return swap(tokens, *rng.sample([i for i, token in enumerate(tokens) if not keep(token)], 2))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (unprotected, "a protected word has moved"),
        (one_side_protected, "a protected word has moved"),
        (with_itself, "no swap"),
        (neighbours_only, "every pair"),
        (drops_the_protected, "same words"),
        (swaps_in_place, "changed its argument"),
        (no_short_texts, "ValueError"),
    ],
)
def test_protected_swap_hints(wrong, hint):
    result = check("text.protected_swap", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ([0.5, 0.375, 0.125, 0.0], "sum to 1"),
        ([0.25, 0.1875, 0.0625, 0.0], "number of words is missing"),
        ([0.0, 0.25, 0.75, 1.0], "the other way round"),
        ([2.0, 1.5, 0.5, 0.0], "cannot pass 1"),
        ([0.5] * 4, "gaps"),
        ([1.0, 0.75], "four numbers"),
        ("1", "four numbers"),
    ],
)
def test_uda_probabilities_hints(wrong, hint):
    result = check("text.uda_probabilities", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_predicted_probabilities_are_the_librarys():
    tfidf = TfIdf.from_state_dict(
        {"idf": {"a": 0.0, "b": 0.4, "c": 1.2, "d": 1.6}, "score": dict.fromkeys("abcd", 1.0), "unseen": 1.0}
    )
    assert tfidf(list("abcd")) == pytest.approx([0.0, 0.1, 0.3, 0.4])
    answer = exercise_answers(f"notebooks/solutions/{NAME}")["text.uda_probabilities"]
    assert tfidf.probabilities(list("abcd"), p=0.5) == pytest.approx(answer)


RIGHT = {"A": "everywhere", "B": "script", "C": "none", "D": "order"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"A": "none"}, "how many words change"),
        (RIGHT | {"B": "none"}, "what is left"),
        (RIGHT | {"C": "order"}, "before anything is drawn"),
        (RIGHT | {"D": "none"}, "process"),
        ({"A": "none"}, "keys A, B, C, D"),
        (RIGHT | {"A": "typo"}, "keys A, B, C, D"),
        (RIGHT | {"A": ["none"]}, "a dict"),
        ("none", "a dict"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    result = check("text.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and hint in result.message


def test_the_four_functions_really_have_those_faults():
    source = cell_source(f"notebooks/{NAME}", "def function_a")
    scope = {"re": re}
    exec(source, scope)
    table = {"pain": ["ache", "hurt", "soreness", "sting"]}
    text = ["pain", "and", "pain"]
    a = scope["function_a"](text, table, random.Random(0))
    assert a[0] != "pain" and a[2] != "pain"
    assert scope["function_b"]("否认发热 38") == " 38"
    c = scope["function_c"](text, table, random.Random(0))
    assert sum(new != old for new, old in zip(c, text)) == 1
    calls = f"\nfor f in (function_c, function_d):\n    print(f({text}, {table}, random.Random(0)))"
    script = "import random, re\n" + source + calls
    printed = [
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": str(seed)}, capture_output=True,
            text=True, check=True,
        ).stdout.splitlines()
        for seed in range(6)
    ]  # fmt: skip
    assert len({lines[0] for lines in printed}) == 1  # C: the same in every process
    assert len({lines[1] for lines in printed}) > 1  # D: not


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"swap"}, "not all yet"),
        ({"swap", "AEDA"}, "a vector of its own"),
        ({"swap", "sentence shuffle", "EDA"}, "one of its four"),
        (["swap", "sentence shuffle", "crossover"], "another text"),
        ({"swaps"}, "one of: synonyms"),
        ("swap", "a set of names"),
        (set(), "not all yet"),
    ],
)
def test_blind_to_order_hints(wrong, hint):
    result = check("text.blind_to_order", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.fixture(scope="module")
def small_experiment():
    """The chapter's experiment on forty notes and five steps, in a net without filters."""
    scope = {"DATA": "builtin", "device": torch.device("cpu")}
    exec(cell_source(f"notebooks/{NAME}", "import importlib.util").split("set_style()")[0], scope)
    for start in (
        "def word_vectors",
        "LANGUAGE =",
        "class Reader",
        "def aeda",
        "def loss_of",
        "def train",
        "CHANGES =",
    ):
        exec(cell_source(f"notebooks/{NAME}", start), scope)
    scope |= {"SIZE": 40, "STEPS": 5}
    filters = scope["Reader"].encode
    scope["Reader"].encode = lambda net, *some: filters(net, *some) * (torch.arange(32) < 16)
    return scope


def test_what_only_moves_words_trains_the_net_of_plain_training(small_experiment):
    setting = small_experiment["DRAWS"][0]
    scores = {}
    for method in small_experiment["CHANGES"]:
        scores[method] = small_experiment["train"](method, 3, **setting)["AP"]
    plain = small_experiment["train"]("plain", 3, **setting)["AP"]
    same = {method for method, score in scores.items() if score == pytest.approx(plain, abs=1e-9)}
    assert same == exercise_answers(f"notebooks/solutions/{NAME}")["text.blind_to_order"]
