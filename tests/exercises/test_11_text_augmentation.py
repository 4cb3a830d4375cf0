"""Exercises of chapter 11: a plausible mistake is told by its name."""

import os
import random
import re
import subprocess
import sys

import pytest
import torch
from conftest import cell_source, exercise_answers

from tutorial_lib.augment import TfIdf, protect, random_swap
from tutorial_lib.lab import check
from tutorial_lib.text import find_entities, negated

NAME = "11_text_augmentation.ipynb"


def is_denied(tokens, place, cues, stops, reach):
    near = tokens[max(0, place - reach) : place]
    return any(word in cues and not stops & set(near[i:]) for i, word in enumerate(near))


def as_in_many_scripts(tokens, place, cues, stops, reach):
    before = " ".join(tokens)[: len(" ".join(tokens[:place]))]
    return any(cue in before for cue in cues)


def negative_slice(tokens, place, cues, stops, reach):
    near = tokens[place - reach : place]
    return any(word in cues and not stops & set(near[i:]) for i, word in enumerate(near))


def without_stops(tokens, place, cues, stops, reach):
    return any(word in cues for word in tokens[max(0, place - reach) : place])


def any_stop_ends_it(tokens, place, cues, stops, reach):
    near = set(tokens[max(0, place - reach) : place])
    return bool(near & cues) and not near & stops


def only_the_first_cue(tokens, place, cues, stops, reach):
    near = tokens[max(0, place - reach) : place]
    first = next((i for i, word in enumerate(near) if word in cues), None)
    return first is not None and not stops & set(near[first:])


def counts_stops_twice(tokens, place, cues, stops, reach):
    near = tokens[max(0, place - reach) : place]
    return any(word in cues and sum(w in stops for w in near[i:]) % 2 == 0 for i, word in enumerate(near))


def on_both_sides(tokens, place, cues, stops, reach):
    near = tokens[place + 1 : place + 1 + reach]
    behind = any(word in cues and not stops & set(near[:i]) for i, word in enumerate(near))
    return is_denied(tokens, place, cues, stops, reach) or behind


def too_short(tokens, place, cues, stops, reach):
    return is_denied(tokens, place, cues, stops, reach - 1) if reach > 1 else is_denied(tokens, place, cues, stops, 1)


def too_far(tokens, place, cues, stops, reach):
    return is_denied(tokens, place, cues, stops, reach + 1)


def with_the_finding_itself(tokens, place, cues, stops, reach):
    return is_denied([*tokens, ""], place + 1, cues, stops, reach + 1)


def shortens_its_argument(tokens, place, cues, stops, reach):
    del tokens[place:]
    return is_denied(tokens, len(tokens), cues, stops, reach)


def gives_the_cues(tokens, place, cues, stops, reach):
    return [word for word in tokens[max(0, place - reach) : place] if word in cues]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (as_in_many_scripts, "not parts of words"),
        (negative_slice, "begin at 0"),
        (without_stops, "ends its reach"),
        (any_stop_ends_it, "the stop stands before the cue"),
        (only_the_first_cue, "try all"),
        (counts_stops_twice, "one is enough"),
        (on_both_sides, "only at what comes before"),
        (too_short, "within a reach of 3"),
        (too_far, "beyond a reach of 2"),
        (with_the_finding_itself, "reach"),
        (shortens_its_argument, "changed its argument"),
        (gives_the_cues, "True or False"),
    ],
)
def test_is_denied_hints(wrong, hint):
    result = check("text.is_denied", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_line_of_many_scripts_fails_as_the_exercise_says():
    start = (text := "no fever, but chest pain").index("chest pain")
    assert any(cue in text[:start] for cue in ("no", "denies"))
    text = "No fever, but chest pain."
    assert not negated(text, find_entities(text, ["chest pain"])[0])
    assert check("text.is_denied", is_denied, show=False).ok


def test_the_library_passes_where_its_arguments_are_those_of_the_exercise():
    def one_swap(tokens, keep, rng):
        return random_swap(tokens, n=1, keep=protect(keep), rng=rng)

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
    scope = {"FAST": True, "DATA": "builtin", "device": torch.device("cpu")}
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
