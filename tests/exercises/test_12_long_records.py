"""Exercises of chapter 12: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from sklearn.metrics import accuracy_score, f1_score

from tutorial_lib.attention import label_attention
from tutorial_lib.lab import check
from tutorial_lib.lab.claims import VERDICTS, claim
from tutorial_lib.lab.evidence import load_evidence
from tutorial_lib.multilabel import f1_scores, tune_thresholds

NAME = "12_long_records.ipynb"
METHODS = ("negations marked", "F1 after cross-entropy", "max over the text")

# --- two macros ---


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ((0.6, 1 / 3, 0.1, 2 / 11), "mean precision and the mean recall"),
        ((0.2, 0.6, 0.1, 2 / 11), "not a product"),
        ((1 / 3, 1 / 3, 0.1, 2 / 11), "that is the mean of the F1s"),
        ((1 / 3, 0.6, 0.5, 2 / 11), "nothing is predicted"),
        ((1 / 3, 0.6, 1 / 11, 2 / 11), "half of the best F1"),
        ((1 / 3, 0.6, 0.1, 0.1), "its recall is 1"),
        ((1 / 3, 0.6, 0.1, 1 / 11), "F*/2"),
        ((1 / 3, 0.6, 0.1, 0.7), "yes to all"),
        ((1 / 3, 0.6), "four numbers"),
        (0.6, "four numbers"),
        (("a", "b", "c", "d"), "four numbers"),
        ((float("nan"), 0.6, 0.1, 2 / 11), "then the mean"),
    ],
)
def test_two_macros_hints(wrong, hint):
    result = check("long_records.two_macros", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_two_macros_are_those_of_the_library():
    y, p = np.zeros((300, 2), bool), np.zeros((300, 2), bool)
    y[:100, 0], p[:20, 0] = True, True
    y[:20, 1], p[:100, 1] = True, True
    scores = f1_scores(p, y)
    flat = tune_thresholds(np.full((100, 1), 0.1), (np.arange(100) < 10)[:, None])
    answer = (scores.macro, scores.macro_of_means, flat.best[0], flat.best_f1[0])
    assert check("long_records.two_macros", answer, show=False).ok


# --- masked attention ---


def softmax_of(hidden, labels, mask, fill=-torch.inf, axis=-1, scale=1.0):
    scores = (labels @ hidden.mT) * scale
    return scores.masked_fill(~mask[:, None], fill).softmax(axis)


WRONG_ATTENTIONS = {
    "gives NaN": lambda h, u, m: softmax_of(h, u, m) @ h,
    "not used": lambda h, u, m: (u @ h.mT).softmax(-1) @ h,
    "add up to less": lambda h, u, m: ((u @ h.mT).softmax(-1) * m[:, None]) @ h,
    "e^0 = 1 is a weight": lambda h, u, m: (u @ (h * m[..., None]).mT).softmax(-1) @ (h * m[..., None]),
    "use -inf": lambda h, u, m: softmax_of(h, u, m, fill=0.0) @ h,
    "over the labels": lambda h, u, m: softmax_of(h, u, m, axis=1).nan_to_num() @ h,
    "root of the size": lambda h, u, m: softmax_of(h, u, m, scale=h.shape[-1] ** -0.5).nan_to_num() @ h,
    "times hidden": lambda h, u, m: (h * m[..., None]).sum(1, keepdim=True).expand(-1, len(u), -1),
}


@pytest.mark.parametrize("hint", WRONG_ATTENTIONS)
def test_masked_attention_hints(hint):
    result = check("long_records.masked_attention", WRONG_ATTENTIONS[hint], show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.mark.parametrize(
    "right",
    [
        lambda h, u, m: label_attention(h, u, mask=m).context,
        lambda h, u, m: torch.nn.functional.scaled_dot_product_attention(
            u.expand(len(h), -1, -1), h, h, attn_mask=m[:, None], scale=1.0
        ).nan_to_num(),
    ],
)
def test_masked_attention_of_others(right):
    assert check("long_records.masked_attention", right, show=False).ok


# --- common threshold ---


def best_by(rule, highest=True):
    def answer(probs, target):
        cuts = np.unique(probs)
        return max(cuts[::-1] if highest else cuts, key=lambda cut: round(rule(probs, target, cut), 9))

    return answer


def macro(p, y, cut):
    return f1_score(y, p >= cut, average="macro", zero_division=0)


WRONG_THRESHOLDS = {
    "not only above it": best_by(lambda p, y, t: f1_score(y, p > t, average="macro", zero_division=0)),
    "all decisions together": best_by(lambda p, y, t: f1_score(y, p >= t, average="micro", zero_division=0)),
    "share of right decisions": best_by(lambda p, y, t: accuracy_score(y.ravel(), (p >= t).ravel())),
    "take the highest": best_by(macro, highest=False),
    "if both errors cost alike": lambda p, y: 0.5,
    "for each cut": lambda p, y: p.max(),
}


@pytest.mark.parametrize("hint", WRONG_THRESHOLDS)
def test_common_threshold_hints(hint):
    result = check("long_records.common_threshold", WRONG_THRESHOLDS[hint], show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_f1_of_means_has_another_best_threshold():
    def answer(probs, target):
        def means(cut):
            p = probs >= cut
            tp = (p & target).sum(0)
            precision, recall = (tp / p.sum(0).clip(1)).mean(), (tp / target.sum(0)).mean()
            return round(2 * precision * recall / (precision + recall), 9) if precision + recall else 0

        return max(np.unique(probs)[::-1], key=means)

    result = check("long_records.common_threshold", answer, show=False)
    assert result.status == "wrong" and "mean precision and recall" in result.message, result.message


def test_common_threshold_of_scikit_learn():
    assert check("long_records.common_threshold", best_by(macro), show=False).ok


# --- find the bug ---


@pytest.mark.parametrize(
    ("letter", "wrong", "hint"),
    [
        ("a", "none", "short text divided"),
        ("b", "none", "which rows choose"),
        ("c", "none", "harmonic mean"),
        ("d", "padding", "laboratory value"),
        ("e", "judge teaches", "stands among them"),
    ],
)
def test_find_the_bug_hints(letter, wrong, hint):
    right = {"a": "padding", "b": "judge teaches", "c": "another score", "d": "cut off", "e": "none"}
    assert check("long_records.find_the_bug", right, show=False).ok
    result = check("long_records.find_the_bug", right | {letter: wrong}, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


@pytest.mark.parametrize("wrong", ["padding", {"a": "padding"}, dict.fromkeys("abcde", "leak")])
def test_find_the_bug_wants_five_names(wrong):
    assert check("long_records.find_the_bug", wrong, show=False).status == "wrong"


def test_the_snippets_do_what_is_said_of_them():
    """Run the chapter's own cell: each faulty snippet shows its fault on numbers, and e has none."""
    scope = {"tune_thresholds": tune_thresholds, "f1_scores": f1_scores, "check": lambda *given: None}
    from tutorial_lib.multilabel import pseudo_labels

    exec(cell_source(f"notebooks/{NAME}", "long_records.find_the_bug"), scope | {"pseudo_labels": pseudo_labels}, scope)
    hidden = torch.ones(2, 6, 3)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    assert scope["a"](hidden, mask)[1, 0] < 0.5  # a text of ones has the mean 1
    rng = np.random.default_rng(0)
    p, y = rng.random((60, 4)), rng.random((60, 4)) < 0.2
    fresh = rng.random((60, 4))
    honest = f1_scores(fresh >= tune_thresholds(p, y).thresholds, y).macro
    assert scope["b"](fresh, y) > honest + 0.02
    decided = fresh > 0.6
    assert abs(scope["c"](decided, y) - f1_scores(decided, y).macro) > 1e-3
    assert scope["c"](decided, y) == pytest.approx(f1_scores(decided, y).macro_of_means)
    record = {"history": "h" * 300, "examination": "e" * 300, "tests": "troponin raised"}
    assert "troponin" not in scope["d"]([record])[0]
    scope["pseudo_labels"] = pseudo_labels
    cuts, sure = scope["e"](fresh, p, y, range(60), range(100, 160))
    assert len(cuts) == 4 and len(sure.labels) == len(sure.rows)
    with pytest.raises(ValueError, match="held out"):
        scope["e"](fresh, p, y, range(60), range(50, 110))


# --- other score ---


@pytest.mark.parametrize("wrong", ["open", {"negations marked": "open"}, dict.fromkeys(METHODS, "maybe")])
def test_micro_verdicts_wants_three_verdicts(wrong):
    result = check("long_records.micro_verdicts", wrong, show=False)
    assert result.status == "wrong" and "keys negations marked" in result.message


@pytest.mark.parametrize("method", METHODS)
def test_micro_verdicts_are_decided_by_the_evidence(method):
    stored = load_evidence("12_records")
    right = {
        name: claim("x", name, "reference", evidence=stored, score="micro", margin=0.02, show=False).verdict
        for name in METHODS
    }
    assert check("long_records.micro_verdicts", right, show=False).ok
    for verdict in set(VERDICTS) - {right[method]}:
        result = check("long_records.micro_verdicts", right | {method: verdict}, show=False)
        assert result.status == "wrong" and method in result.message
        assert "the interval is" in result.message or "verdict in macro-F1" in result.message


def test_stubs_are_not_done_yet():
    assert len(exercise_answers(f"notebooks/{NAME}")) == 5
