"""Averages, votes, folds, stacks, bags and boosts: hand-made answers, scikit-learn, exact laws, leaks, bad input."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_iris, make_moons
from sklearn.ensemble import AdaBoostClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from tutorial_lib.ensembles import (
    ambiguity,
    average,
    average_parameters,
    bag,
    blend,
    corrected_t_test,
    majority_accuracy,
    out_of_fold,
    rank_weights,
    samme,
    stack,
    vote,
)

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10_000)


def probs_of(seed, models=3, rows=5, classes=4):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), (models, rows))


def logistic(x, y):
    return LogisticRegression(max_iter=200).fit(x, y).predict_proba


def bayes(x, y):
    return GaussianNB().fit(x, y).predict_proba


def tree(x, y, w=None):
    return DecisionTreeClassifier(max_depth=1, random_state=0).fit(x, y, sample_weight=w).predict_proba


# --- averages and votes ---


def test_the_two_means_by_hand():
    two = [[[0.9, 0.1]], [[0.4, 0.6]]]
    assert average(two)[0].tolist() == pytest.approx([0.65, 0.35])
    assert average(two, rule="geometric")[0, 0] == pytest.approx(0.7101, abs=5e-5)
    sure = [[[0.01, 0.99]], [[0.6, 0.4]]]
    assert average(sure)[0, 0] == pytest.approx(0.305)
    assert average(sure, rule="geometric")[0, 0] == pytest.approx(0.1096, abs=5e-5)


def test_a_model_that_is_sure_against_a_class_vetoes_it_and_one_of_weight_0_does_not():
    veto = [[[1.0, 0.0]], [[0.3, 0.7]]]
    assert average(veto, rule="geometric").tolist() == [[1, 0]]
    assert average(veto, rule="geometric", weights=[0, 1])[0].tolist() == pytest.approx([0.3, 0.7])
    assert average([[[1.0, 0.0]], [[0.0, 1.0]]], rule="geometric").tolist() == [[0.5, 0.5]]


@given(seeds)
@few
def test_means_are_probabilities_and_equal_those_of_the_log_and_of_voting(seed):
    probs = probs_of(seed)
    weights = np.random.default_rng(seed).random(3) + 0.01
    plain = average(probs, weights=weights)
    np.testing.assert_allclose(plain, np.average(probs, axis=0, weights=weights), atol=1e-12)
    geometric = average(probs, rule="geometric", weights=weights)
    logs = np.average(np.log(probs), axis=0, weights=weights)
    np.testing.assert_allclose(geometric, np.exp(logs) / np.exp(logs).sum(-1, keepdims=True), atol=1e-12)
    for mean in (plain, geometric):
        np.testing.assert_allclose(mean.sum(-1), 1, atol=1e-12)
    same = np.repeat(probs[:1], 3, 0)
    for rule in ("arithmetic", "geometric"):
        np.testing.assert_allclose(average(same, rule=rule), probs[0], atol=1e-12)


def test_ranks_forget_the_scale():
    probs = probs_of(0, rows=30)
    squeezed = probs.copy()
    squeezed[0] = 0.49 + squeezed[0] ** 3 / 1000
    np.testing.assert_allclose(average(squeezed, rule="rank"), average(probs, rule="rank"), atol=1e-12)
    expected = np.mean([(stats.rankdata(one, axis=0) - 1) / 29 for one in probs], 0)
    np.testing.assert_allclose(average(probs, rule="rank"), expected, atol=1e-12)
    assert average(probs[:, :1], rule="rank").tolist() == [[0.5] * 4]


def test_tensors_keep_their_type_and_device():
    probs = torch.tensor(probs_of(1), dtype=torch.float32)
    for rule in ("arithmetic", "geometric", "rank"):
        mean = average(probs, rule=rule)
        assert isinstance(mean, torch.Tensor) and mean.dtype == torch.float32 and mean.shape == (5, 4)
    assert vote(torch.tensor([[0, 1], [0, 1]]), classes=2).tolist() == [0, 1]


def test_it_is_scikit_learns_soft_and_hard_vote():
    x, y = load_breast_cancer(return_X_y=True)
    names = [("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=2, random_state=0)), ("c", tree_of(4))]
    weights = [1, 2, 1.5]
    soft = VotingClassifier(names, voting="soft", weights=weights).fit(x, y)
    probs = np.stack([one.predict_proba(x) for one in soft.estimators_])
    np.testing.assert_allclose(average(probs, weights=weights), soft.predict_proba(x), atol=1e-12)
    hard = VotingClassifier(names, voting="hard", weights=weights).fit(x, y)
    labels = np.stack([one.predict(x) for one in hard.estimators_])
    assert vote(labels, classes=2, weights=weights).tolist() == hard.predict(x).tolist()


def tree_of(depth):
    return DecisionTreeClassifier(max_depth=depth, random_state=1)


def test_votes_by_hand():
    labels = [[0, 1, 2, 0], [0, 2, 2, 1], [1, 0, 2, 2]]
    assert vote(labels, classes=3).tolist() == [0, 0, 2, 0]
    assert vote(labels, classes=3, tie=-1).tolist() == [0, -1, 2, -1]
    assert vote(labels, classes=3, rule="majority").tolist() == [0, -1, 2, -1]
    assert vote(labels, classes=3, weights=[1, 1, 3]).tolist() == [1, 0, 2, 2]
    assert vote([[0], [0], [1], [1]], classes=2, rule="majority").tolist() == [-1]  # half is no majority
    assert rank_weights([0.7, 0.9, 0.9]) == pytest.approx((1 / 6, 2.5 / 6, 2.5 / 6))


# --- folds, stacks, blends ---


def test_out_of_fold_is_what_scikit_learn_predicts_by_cross_validation():
    from sklearn.model_selection import cross_val_predict

    x, y = make_moons(120, noise=0.2, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    ours = out_of_fold(bayes, x, y, folds.split(x, y))
    theirs = cross_val_predict(GaussianNB(), x, y, cv=folds, method="predict_proba")
    np.testing.assert_allclose(ours.probs, theirs, atol=1e-12)
    assert len(ours.models) == 5 and ours.models[0](x[:2]).shape == (2, 2)


def test_a_fold_that_trains_on_what_it_tests_is_refused():
    def coin(x, y):
        return lambda rows: np.full((len(rows), 2), 0.5)

    x, y = np.zeros((4, 1)), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="row 1 in both parts of fold 0"):
        out_of_fold(coin, x, y, [([0, 1], [1, 2])])
    with pytest.raises(ValueError, match="test a row once"):
        out_of_fold(coin, x, y, [([0, 1], [2]), ([0, 1], [2])])
    with pytest.raises(ValueError, match="at least one pair"):
        out_of_fold(coin, x, y, [])
    left = out_of_fold(coin, x, y, [([0, 1], [2])]).probs
    assert np.isnan(left[[0, 1, 3]]).all() and not np.isnan(left[2]).any()


def test_stacking_is_scikit_learns():
    x, y = load_iris(return_X_y=True)  # three classes: of two, scikit-learn gives the last model one column
    folds = StratifiedKFold(5)
    ours = stack([bayes, tree], bayes, x, y, folds.split(x, y))
    names = [("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=1, random_state=0))]
    theirs = StackingClassifier(names, GaussianNB(), cv=folds).fit(x, y)
    np.testing.assert_allclose(ours(x), theirs.predict_proba(x), atol=1e-9)


def test_stacking_on_rows_the_bases_have_learned_trusts_the_one_that_learned_them_by_rote():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = (x[:, 0] + 0.8 * rng.normal(size=200) > 0).astype(int)
    new = rng.normal(size=(2000, 4))
    truth = (new[:, 0] + 0.8 * rng.normal(size=2000) > 0).astype(int)

    def rote(x, y):
        return DecisionTreeClassifier(random_state=0).fit(x, y).predict_proba

    right = stack([logistic, rote], logistic, x, y, StratifiedKFold(5).split(x, y))
    bases = [fit(x, y) for fit in (logistic, rote)]
    last = logistic(np.concatenate([base(x) for base in bases], 1), y)  # the leak
    leaked = last(np.concatenate([base(new) for base in bases], 1))
    assert (right(new).argmax(1) == truth).mean() > (leaked.argmax(1) == truth).mean() + 0.05


def test_blending_uses_each_row_on_one_side():
    seen = []

    def spy(x, y):
        seen.append(x[:, 0].astype(int).tolist())
        return lambda rows: np.tile([0.5, 0.5], (len(rows), 1))

    x, y = np.arange(6.0)[:, None], np.array([0, 1] * 3)
    blend([spy], logistic, x, y, [4, 5])
    assert seen == [[0, 1, 2, 3]]
    for held in ([], range(6)):
        with pytest.raises(ValueError, match="rows on both sides"):
            blend([spy], logistic, x, y, held)


# --- bags and boosts ---


def test_a_row_is_out_of_bag_about_37_times_in_a_hundred():
    drawn = []

    def spy(x, y):
        drawn.append(np.unique(x[:, 0]))
        return lambda rows: np.tile([0.5, 0.5], (len(rows), 1))

    x, y = np.arange(100.0)[:, None], np.array([0, 1] * 50)
    bagged = bag(spy, x, y, count=200, generator=torch.Generator().manual_seed(0))
    missed = 1 - sum(map(len, drawn)) / (200 * 100)
    assert missed == pytest.approx((1 - 1 / 100) ** 100, abs=0.01)
    assert not np.isnan(bagged.out_of_bag).any()


def test_out_of_bag_estimates_the_error_on_new_rows():
    x, y = make_moons(300, noise=0.3, random_state=0)
    new, truth = make_moons(2000, noise=0.3, random_state=1)

    def deep(x, y):
        return DecisionTreeClassifier(random_state=0).fit(x, y).predict_proba

    bagged = bag(deep, x, y, count=40, generator=torch.Generator().manual_seed(0))
    inside = (bagged.out_of_bag.argmax(1) == y).mean()
    outside = (bagged.predict(new).argmax(1) == truth).mean()
    assert abs(inside - outside) < 0.05
    assert outside > (deep(x, y)(new).argmax(1) == truth).mean()
    again = bag(deep, x, y, count=3, generator=torch.Generator().manual_seed(5))
    assert np.array_equal(
        again.predict(new), bag(deep, x, y, count=3, generator=torch.Generator().manual_seed(5)).predict(new)
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_boosting_is_scikit_learns(classes):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 3))
    y = (np.abs(x).sum(1) + x[:, 0] * (classes - 2) > 2).astype(int) + (x[:, 1] > 1) * (classes - 2)
    boosted = samme(tree, x, y, classes=classes, rounds=12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1, random_state=0), n_estimators=12).fit(x, y)
    # It draws a seed for every tree; stumps without ties need none.
    assert boosted.errors[0] == pytest.approx(theirs.estimator_errors_[0])
    assert boosted.alphas[0] == pytest.approx(theirs.estimator_weights_[0])
    assert (boosted.predict(x).argmax(1) == theirs.predict(x)).mean() > 0.97
    np.testing.assert_allclose(boosted.predict(x).sum(1), 1)


def test_the_weight_of_a_model_by_hand():
    def wrong_on(share, classes):
        def fit(x, y, w):
            answer = y.copy()
            answer[: round(share * len(y))] = (answer[: round(share * len(y))] + 1) % classes
            return lambda rows: np.eye(classes)[answer]

        return fit

    for share, classes, alpha in ((0.3, 2, 0.8473), (0.7, 10, 1.3499)):
        y = np.arange(10) % classes
        boosted = samme(wrong_on(share, classes), y, y, classes=classes, rounds=1)
        assert boosted.alphas[0] == pytest.approx(alpha, abs=5e-5)
    perfect = samme(wrong_on(0, 3), y, np.arange(10) % 3, classes=3, rounds=9)
    assert perfect.errors == [0] and perfect.alphas == [1]
    with pytest.raises(ValueError, match="better than guessing"):
        samme(wrong_on(0.5, 2), np.arange(10) % 2, np.arange(10) % 2, classes=2, rounds=3)


# --- laws ---


@given(seeds, st.integers(1, 6), st.integers(1, 7))
@few
def test_the_ambiguity_is_exact(seed, models, rows):
    rng = np.random.default_rng(seed)
    predictions, truth, weights = rng.normal(size=(models, rows)), rng.normal(size=rows), rng.random(models) + 0.1
    parts = ambiguity(predictions, truth, weights=weights)
    assert parts.ensemble == pytest.approx(parts.members - parts.spread, abs=1e-12)
    mean = np.average(predictions, axis=0, weights=weights)
    assert parts.ensemble == pytest.approx(((mean - truth) ** 2).mean())
    assert parts.spread >= 0 and (models > 1 or parts.spread == pytest.approx(0))


@pytest.mark.parametrize("p", [0.7, 0.5, 0.4])
@pytest.mark.parametrize("models", [1, 3, 25])
def test_the_majority_is_the_binomials_tail(p, models):
    assert majority_accuracy(p, models) == pytest.approx(stats.binom.sf(models // 2, models, p))


def test_the_majority_at_known_points():
    assert [round(majority_accuracy(0.7, n), 4) for n in (3, 5, 11, 25)] == [0.784, 0.8369, 0.9218, 0.9825]
    assert [round(majority_accuracy(0.4, n), 4) for n in (3, 5, 11, 25)] == [0.352, 0.3174, 0.2465, 0.1538]


FOLDS = [0.02, 0.01, 0.03, -0.01, 0.02, 0, 0.01, 0.03, 0.02, 0.01]


def test_the_corrected_test_by_hand():
    naive = stats.ttest_1samp(FOLDS, 0).statistic
    test = corrected_t_test(FOLDS, test_share=0.1)
    assert naive == pytest.approx(3.5, abs=0.005) and test.t == pytest.approx(2.409, abs=5e-4)
    assert naive / test.t == pytest.approx(math.sqrt(1 + 10 / 9))
    assert test.p == pytest.approx(2 * stats.t.sf(test.t, 9))
    assert test.low < test.difference < test.high and (test.low > 0) == (test.p < 0.05)
    many = corrected_t_test(FOLDS * 10, test_share=0.1)  # ten times ten folds: ÷ sqrt(1 + 100/9)
    assert stats.ttest_1samp(FOLDS * 10, 0).statistic / many.t == pytest.approx(math.sqrt(1 + 100 / 9))


def test_the_naive_test_finds_differences_where_there_are_none_and_the_corrected_hardly():
    """Two rules that are equally good, on one data set of 60 rows split at random 15 times; 400 such sets."""
    rng, alarms = np.random.default_rng(0), np.zeros(2)
    for _ in range(400):
        y = rng.integers(0, 2, 60)
        x = y[:, None] * 0.6 + rng.normal(size=(60, 2))
        differences = []
        for _ in range(15):
            order = rng.permutation(60)
            test, train = order[:20], order[20:]
            middle = (x[train][y[train] == 0].mean(0) + x[train][y[train] == 1].mean(0)) / 2
            right = ((x[test] > middle) == y[test][:, None]).mean(0)
            differences.append(right[0] - right[1])
        alarms += [
            stats.ttest_1samp(differences, 0).pvalue < 0.05,
            corrected_t_test(differences, test_share=1 / 3).p < 0.05,
        ]
    naive, corrected = alarms / 400
    assert naive > 0.2 and corrected < 0.1


def test_equal_differences_are_certain_or_nothing():
    assert corrected_t_test([0.1, 0.1, 0.1], test_share=0.3)[2] == 0
    assert corrected_t_test([0.0, 0.0], test_share=0.3)[:3] == (0, 0, 1)


# --- parameters ---


def small(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def trained(model, seed, steps=400):
    x, y = make_moons(200, noise=0.1, random_state=seed)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def test_the_mean_of_parameters_is_no_model_unless_the_models_share_a_basin():
    new, truth = make_moons(1000, noise=0.1, random_state=99)
    new, truth = torch.tensor(new, dtype=torch.float32), torch.tensor(truth)

    def right(models):
        mean = small(0)
        mean.load_state_dict(average_parameters(models))
        together = average(torch.stack([model(new).softmax(-1).detach() for model in models]))
        scores = [(out.argmax(-1) == truth).float().mean() for out in (mean(new), together)]
        return [float(score) for score in scores]

    apart, together = right([trained(small(seed), seed) for seed in range(4)])
    assert together > 0.95 and apart < together - 0.05
    common = trained(small(0), 0)
    tuned = []
    for seed in range(4):
        model = small(0)
        model.load_state_dict(common.state_dict())
        tuned.append(trained(model, seed, steps=20))
    near, _ = right(tuned)
    assert near > 0.95


def test_means_of_parameters_by_hand_with_counters_and_half_precision():
    first, second = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    second.weight.data.fill_(3)
    second.num_batches_tracked.fill_(7)
    mean = average_parameters([first, second], weights=[1, 3])
    assert mean["weight"].tolist() == [2.5, 2.5] and int(mean["num_batches_tracked"]) == 0
    half = [nn.Linear(2, 1).half() for _ in range(3)]
    assert average_parameters(half)["weight"].dtype == torch.float16
    with pytest.raises(ValueError, match="model 1 has others"):
        average_parameters([nn.Linear(2, 1), nn.Linear(3, 1)])


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: average(np.zeros((2, 3))), r"probs must be \(M, N, C\)"),
        (lambda: average(np.zeros((0, 2, 3))), "probs must be"),
        (lambda: average(np.full((2, 2, 2), 1.5)), r"probs must be in \[0, 1\]"),
        (lambda: average(np.full((2, 2, 2), np.nan)), r"probs must be in \[0, 1\]"),
        (lambda: average(np.full((2, 2, 2), 0.9), rule="geometric"), "rows of sum 1"),
        (lambda: average(probs_of(0), rule="harmonic"), "rule must be"),
        (lambda: average(probs_of(0), weights=[1, 2]), "weights must be 3 numbers"),
        (lambda: average(probs_of(0), weights=[0, 0, 0]), "must not all be 0"),
        (lambda: average(probs_of(0), weights=[1, -1, 1]), r"weights\[1\] must be"),
        (lambda: vote([[0.5]], classes=2), "integer labels"),
        (lambda: vote([[0, 2]], classes=2), "from 0 to 1, got 2"),
        (lambda: vote([0, 1], classes=2), r"labels must be \(M, N\)"),
        (lambda: rank_weights([]), "scores must be"),
        (lambda: rank_weights([np.nan]), r"scores\[0\] must be"),
        (lambda: stack([], logistic, np.zeros((2, 1)), np.zeros(2), []), "fits must hold"),
        (lambda: stack([bayes], logistic, np.zeros((4, 1)), np.array([0, 1, 0, 1]), [([0, 1], [2])]), "tests row 0"),
        (lambda: bag(bayes, np.zeros((0, 1)), np.zeros(0), count=1), "one row a sample"),
        (lambda: bag(bayes, np.zeros((2, 1)), np.zeros(2), count=0), "count must be"),
        (lambda: out_of_fold(lambda x, y: lambda r: r[:, 0], np.zeros((2, 1)), np.zeros(2), [([0], [1])]), "answer"),
        (lambda: samme(tree, np.zeros((2, 1)), np.array([0, 2]), classes=2, rounds=1), "from 0 to 1, got 2"),
        (lambda: ambiguity(np.zeros((2, 3)), np.zeros(2)), r"\(M, N\) and targets \(N,\)"),
        (lambda: majority_accuracy(0.7, 4), "must be odd"),
        (lambda: majority_accuracy(1.7, 3), "accuracy must be"),
        (lambda: corrected_t_test([0.1], test_share=0.1), "at least two"),
        (lambda: corrected_t_test([0.1, 0.2], test_share=1), "test_share must be"),
        (lambda: average_parameters([]), "at least one"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
