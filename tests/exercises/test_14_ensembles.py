"""Exercises of chapter 14: a plausible mistake is told by its name."""

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from scipy.optimize import linear_sum_assignment
from scipy.stats import ttest_1samp

from tutorial_lib.ensembles import average_parameters, corrected_t_test, out_of_fold
from tutorial_lib.lab import check

NAME = "14_ensembles.ipynb"


# --- how much too large ---


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (13.5, "variance"),
        (11**0.5, "one against four"),
        (1.5, "one division"),
        (50**0.5, "1/J"),
        (1.25**0.5, "multiplied by J"),
        (1 / 13.5**0.5, "other way round"),
        (3.5, "standard errors"),
        (float("nan"), "standard errors"),
        ("3.67", "number"),
    ],
)
def test_the_factor_hints(wrong, hint):
    result = check("ensembles.how_much_too_large", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message
    assert "3.67" not in result.message or wrong == "3.67"


@pytest.mark.parametrize("right", [13.5**0.5, 3.67, np.float64(3.674), torch.tensor(3.6742)])
def test_the_factor_in_any_kind_of_number(right):
    assert check("ensembles.how_much_too_large", right, show=False).ok


def test_the_factor_is_that_of_the_library():
    differences = np.random.default_rng(0).normal(0.01, 0.02, 50)
    naive, corrected = ttest_1samp(differences, 0).statistic, corrected_t_test(differences, test_share=1 / 5).t
    assert check("ensembles.how_much_too_large", naive / corrected, show=False).ok


# --- out of group ---


def by(deal):
    """An answer that gives each row the fold that ``deal`` names."""

    def answer(fit, x, y, groups, k):
        fold, probs = deal(groups, k), np.empty((len(x), 2))
        for one in np.unique(fold):
            held = fold == one
            probs[held] = fit(x[~held], y[~held])(x[held])
        return probs

    return answer


def number(groups):
    return np.unique(groups, return_inverse=True)[1]


def dealt(groups, k):
    return number(groups) % k


def first_seen(groups, k):
    return np.array([list(dict.fromkeys(groups.tolist())).index(one) for one in groups.tolist()]) % k


def in_fold(fit, x, y, groups, k):
    return fit(x, y)(x)


def reversed_roles(fit, x, y, groups, k):
    fold, probs = dealt(groups, k), np.empty((len(x), 2))
    for one in np.unique(fold):
        held = fold == one
        probs[held] = fit(x[held], y[held])(x[held])
    return probs


def in_the_order_of_folds(fit, x, y, groups, k):
    return by(dealt)(fit, x, y, groups, k)[np.argsort(dealt(groups, k), kind="stable")]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (in_fold, "had seen it"),
        (reversed_roles, "other way round"),
        (in_the_order_of_folds, "at its row's place"),
        (by(lambda groups, k: np.arange(len(groups)) % k), "deal the groups"),
        (by(first_seen), "sorted order"),
        (by(lambda groups, k: number(groups) * k // len(np.unique(groups))), "not in blocks"),
        (lambda *given: by(dealt)(*given)[:, 1], "got"),
    ],
)
def test_out_of_group_hints(wrong, hint):
    result = check("ensembles.out_of_group", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_is_the_librarys_out_of_fold():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["ensembles.out_of_group"]
    rng = np.random.default_rng(1)
    x, y, groups = rng.normal(size=(30, 2)), rng.integers(0, 3, 30), rng.permutation(np.repeat(np.arange(10), 3))

    def fit(x, y):
        share = np.bincount(y, minlength=3) / len(y)
        return lambda rows: np.tile(share, (len(rows), 1))

    fold = groups % 4
    folds = [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(4)]
    np.testing.assert_allclose(solution(fit, x, y, groups, 4), out_of_fold(fit, x, y, folds).probs)


# --- find the leak ---

RIGHT = {"a": "preparation", "b": "none", "c": "threshold", "d": "copies", "e": "rote"}


@pytest.mark.parametrize("key", RIGHT)
def test_find_the_leak_asks_about_the_one_that_is_wrong(key):
    other = "none" if RIGHT[key] != "none" else "copies"
    result = check("ensembles.find_the_leak", RIGHT | {key: other}, show=False)
    assert result.status == "wrong" and f"estimate {key}" in result.message


@pytest.mark.parametrize("wrong", [{}, {"a": "none"}, RIGHT | {"e": "typo"}, "copies"])
def test_find_the_leak_says_what_shape_it_wants(wrong):
    result = check("ensembles.find_the_leak", wrong, show=False)
    assert result.status == "wrong" and "a dict with the keys" in result.message


def test_the_leaks_are_there_on_noise():
    """Labels that mean nothing: what is honest finds nothing, what leaks finds something."""
    from sklearn.feature_selection import SelectKBest
    from sklearn.metrics import f1_score
    from sklearn.model_selection import KFold
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier

    scope = {"np": np, "SelectKBest": SelectKBest, "f1_score": f1_score, "KFold": KFold, "out_of_fold": out_of_fold}
    scope["check"] = lambda *_: None
    exec(cell_source(f"notebooks/{NAME}", "def a(x, y, folds, fit)"), scope)

    def nearest(x, y):
        return KNeighborsClassifier(1).fit(x, y).predict_proba

    def bayes(x, y):
        return GaussianNB().fit(x, y).predict_proba

    found = {key: [] for key in RIGHT}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(80, 1000)), rng.permutation(np.arange(80) % 2)
        folds = list(KFold(5).split(x))
        for key in RIGHT:
            if key == "d":
                score = scope["d"](x, y, nearest, seed)
            elif key == "e":
                score = scope["e"](x, y, folds, [nearest], nearest)
            else:
                score = scope[key](x, y, folds, bayes)
            found[key].append(np.mean(score))
    mean = {key: np.mean(scores) for key, scores in found.items()}
    assert mean["a"] > 0.7 and mean["d"] > 0.75, mean
    assert all(0.3 < mean[key] < 0.62 for key in "be"), mean  # e spoils the model, not its estimate


# --- align ---


def order_of(one, other):
    def units(net):
        return np.hstack([net[0], net[1][:, None], net[2].T])

    return linear_sum_assignment(((units(one)[:, None] - units(other)[None]) ** 2).sum(-1))[1]


def untouched(one, other):
    return other


def only_the_way_in(one, other):
    order = order_of(one, other)
    return other[0][order], other[1][order], other[2]


def without_the_bias(one, other):
    order = order_of(one, other)
    return other[0][order], other[1], other[2][:, order]


def the_other_way(one, other):
    order = order_of(one, other).argsort()
    return other[0][order], other[1][order], other[2][:, order]


def deaf_to_what_it_says(one, other):
    cost = ((one[0][:, None] - other[0][None]) ** 2).sum(-1)
    order = linear_sum_assignment(cost)[1]
    return other[0][order], other[1][order], other[2][:, order]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (untouched, "came back as it was"),
        (only_the_way_in, "W2 came back as it was"),
        (without_the_bias, "b1 came back as it was"),
        (the_other_way, "wrong way round"),
        (deaf_to_what_it_says, "column of W2"),
        (lambda one, other: other[0], "three arrays"),
        (lambda one, other: (other[0].T, other[1], other[2]), "keep its shape"),
    ],
)
def test_align_hints(wrong, hint):
    result = check("ensembles.align", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_aligned_nets_have_a_mean_and_others_have_none():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["ensembles.align"]
    torch.manual_seed(0)
    net, other, both = (
        torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)) for _ in range(3)
    )
    x, order = torch.randn(50, 2), torch.randperm(16)
    other[0].weight.data, other[0].bias.data = net[0].weight.data[order], net[0].bias.data[order]
    other[2].weight.data, other[2].bias.data = net[2].weight.data[:, order], net[2].bias.data
    torch.testing.assert_close(other(x), net(x))

    def mean():
        both.load_state_dict(average_parameters([net, other]))
        return both(x)

    assert not torch.allclose(mean(), net(x), atol=0.05)
    parts = [tuple(p.data.numpy() for p in (n[0].weight, n[0].bias, n[2].weight)) for n in (net, other)]
    for parameter, value in zip((other[0].weight, other[0].bias, other[2].weight), solution(*parts)):
        parameter.data = torch.tensor(value)
    torch.testing.assert_close(mean(), net(x))


# --- a verdict of one's own ---

ROWS = [0.001, -0.001, 0.002, -0.002] * 5


def test_a_verdict_must_be_earned():
    assert check("ensembles.own_verdict", ("no difference", ROWS, "no difference"), show=False).ok
    assert check("ensembles.own_verdict", ("higher", [d + 0.02 for d in ROWS], "supported"), show=False).ok
    assert check("ensembles.own_verdict", ("higher", [d - 0.02 for d in ROWS], "refuted"), show=False).ok
    assert check("ensembles.own_verdict", ("higher", [10 * d for d in ROWS], "open"), show=False).ok


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (("better", ROWS, "no difference"), "written down before"),
        (("higher", ROWS[:12], "no difference"), "20 seeds or more"),
        (("higher", [1000 * d for d in ROWS], "open"), "shares"),
        (("higher", [0.01] * 20, "supported"), "all equal"),
        (("higher", ROWS, "supported"), "interval at 99 %"),
        (("higher", [10 * d for d in ROWS], "no difference"), "Not to see a difference"),
        (("higher", ROWS), "three things"),
    ],
)
def test_own_verdict_hints(wrong, hint):
    result = check("ensembles.own_verdict", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message
