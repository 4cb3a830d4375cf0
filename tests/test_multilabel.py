"""Scores, thresholds, folds and pseudo-labels for many labels: by hand, against scikit-learn, and by brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tutorial_lib._kernels.dealt import deal
from tutorial_lib._kernels.ranked import best_first
from tutorial_lib.losses import sigmoid_focal_loss
from tutorial_lib.multilabel import (
    F1Scores,
    PseudoLabels,
    Thresholds,
    f1_scores,
    pseudo_labels,
    stratified_folds,
    tune_thresholds,
)

few = settings(max_examples=40, deadline=None)


def tables(rows=(0, 8), labels=(2, 4)):
    shape = st.tuples(st.integers(*rows), st.integers(*labels))
    return shape.flatmap(lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape)))


def rare(rows, labels, seed=0):
    """Labels from rare to frequent, and scores that know something of them."""
    rng = np.random.default_rng(seed)
    share = np.exp(rng.uniform(-4, -0.7, labels))
    target = rng.random((rows, labels)) < share
    scores = np.clip(share * rng.random((rows, labels)) + 0.6 * target * rng.random((rows, labels)), 0, 1)
    return scores, target


# --- F1 -------------------------------------------------------------------------------------------------------------


@few
@given(tables())
@pytest.mark.parametrize("empty", [0, 1])
def test_f1_is_scikit_learns(empty, case):
    from sklearn.metrics import f1_score, precision_score, recall_score

    pred, target = case
    if not len(pred):
        return
    ours = f1_scores(pred, target, empty=empty)
    options = {"zero_division": empty}
    for average in ("macro", "samples"):
        assert getattr(ours, average) == pytest.approx(f1_score(target, pred, average=average, **options), abs=1e-12)
    if pred.any() or target.any():
        assert ours.micro == pytest.approx(f1_score(target, pred, average="micro", **options), abs=1e-12)
    nan = {"average": None, "zero_division": np.nan}
    np.testing.assert_allclose(ours.precision, precision_score(target, pred, **nan), rtol=1e-12)
    np.testing.assert_allclose(ours.recall, recall_score(target, pred, **nan), rtol=1e-12)
    np.testing.assert_allclose(ours.per_label, f1_score(target, pred, **nan), rtol=1e-12)


def test_two_scores_called_macro():
    """Precisions (1, .1) and recalls (.1, 1): .18 against .55, so two systems can change places."""
    target = np.zeros((100, 2), bool)
    pred = np.zeros((100, 2), bool)
    target[:10, 0], pred[:1, 0] = True, True
    target[:10, 1], pred[:, 1] = True, True
    scores = f1_scores(pred, target)
    assert isinstance(scores, F1Scores)
    np.testing.assert_allclose([scores.precision, scores.recall], [[1, 0.1], [0.1, 1]], rtol=1e-12)
    assert round(scores.macro, 3) == 0.182 and round(scores.macro_of_means, 2) == 0.55
    even = f1_scores(np.eye(10, 2, dtype=bool)[:, ::-1] | target[:10], np.ones((10, 2), bool))
    assert even.macro == even.macro_of_means == 1


def test_what_is_nowhere():
    pred, target = np.array([[1, 0, 0], [0, 0, 0]]), np.array([[1, 0, 0], [0, 0, 1]])
    skipped, zero, one = (f1_scores(pred, target, empty=empty) for empty in ("skip", 0, 1))
    np.testing.assert_array_equal(skipped.per_label, [1, math.nan, 0])
    assert (skipped.macro, zero.macro, one.macro) == (0.5, pytest.approx(1 / 3), pytest.approx(2 / 3))
    # A label that is there and never predicted has precision 0 in the mean of means; nowhere at all, it is left out.
    assert skipped.macro_of_means == pytest.approx(0.5) and skipped.samples == pytest.approx(0.5)
    nothing = f1_scores(np.zeros((2, 3), bool), np.zeros((2, 3), bool))
    assert all(math.isnan(value) for value in nothing[:4])
    assert f1_scores(np.zeros((2, 3)), np.zeros((2, 3)), empty=1).micro == 1
    assert math.isnan(f1_scores(np.zeros((0, 3)), np.zeros((0, 3))).samples)
    assert f1_scores(1 - target, target).macro_of_means == 0  # nothing right


def test_tensors_and_bits_of_every_type():
    pred, target = torch.rand(6, 3) < 0.5, torch.rand(6, 3) < 0.5
    for kind in (torch.uint8, torch.int64, torch.float32):
        found = f1_scores(pred.to(kind), target.to(kind))
        assert found.macro == f1_scores(pred.numpy(), target.numpy()).macro and isinstance(found.per_label, np.ndarray)


# --- thresholds -----------------------------------------------------------------------------------------------------


@few
@given(
    hnp.arrays(
        np.float64, st.integers(1, 30), elements=st.sampled_from([-3.5, -0.0, 0.0, 0.25, 0.5, 1.0, 7.0, 1e-300])
    ),
    st.integers(0, 999),
)
def test_best_first_is_its_plain_lines(scores, seed):
    target = np.random.default_rng(seed).random(len(scores)) < 0.5
    ours, hits = best_first(scores, target)
    order = np.argsort(-scores, kind="stable")
    np.testing.assert_allclose(ours, scores[order], rtol=1e-15)
    last = np.append(ours[:-1] != ours[1:], True)  # among equals the order is free
    np.testing.assert_array_equal(hits[last], target[order].cumsum()[last])


@few
@given(st.integers(1, 25), st.integers(1, 4), st.integers(0, 999), st.booleans())
def test_each_threshold_is_the_best_there_is(rows, labels, seed, ties):
    rng = np.random.default_rng(seed)
    target = rng.random((rows, labels)) < 0.4
    probs = rng.random((rows, labels)).round(1 if ties else 9)
    if not target.any():
        target[0, 0] = True
    found = tune_thresholds(probs, target, rule="label")
    assert isinstance(found, Thresholds)
    candidates = np.unique(np.append(probs, [0.0, 1.0]))
    for label in range(labels):
        if not target[:, label].any():
            assert math.isnan(found.best[label]) and found.thresholds[label] == found.common
            continue
        best = max(f1_scores(probs[:, [label]] >= cut, target[:, [label]], empty=0).macro for cut in candidates)
        own = f1_scores(probs[:, [label]] >= found.thresholds[label], target[:, [label]], empty=0).macro
        assert own == pytest.approx(best, abs=1e-12) == pytest.approx(found.best_f1[label], abs=1e-12)
    some = target.any(0)

    def macro(cut):
        return f1_scores(probs[:, some] >= cut, target[:, some], empty=0).macro

    assert macro(found.common) == pytest.approx(max(map(macro, candidates)), abs=1e-8)


def test_half_of_the_best_f1_for_calibrated_probabilities():
    """Lipton et al.; and the facts' simulation: Beta(.5, 3) scores, F* = .4921 at .2461, only .320 at one half."""
    rng = np.random.default_rng(0)
    probs = rng.beta(0.5, 3, (400_000, 1))
    target = rng.random(probs.shape) < probs
    found = tune_thresholds(probs, target, rule="label")
    assert found.best_f1[0] == pytest.approx(0.4921, abs=0.004)
    assert found.thresholds[0] == pytest.approx(found.best_f1[0] / 2, abs=0.02)  # F1 is flat around its best
    assert f1_scores(probs >= 0.5, target).macro == pytest.approx(0.320, abs=0.006)


def test_a_label_that_nothing_predicts_gets_yes_to_all():
    rng = np.random.default_rng(0)
    target = rng.random((20_000, 1)) < 0.1
    share = target.mean()
    found = tune_thresholds(np.full((20_000, 1), share), target, rule="label")
    assert found.thresholds[0] == pytest.approx(share) and found.best_f1[0] == pytest.approx(2 * share / (1 + share))


def test_shrinking():
    probs, target = rare(3000, 6)
    own, common, shrunk = (tune_thresholds(probs, target, rule=rule) for rule in ("label", "common", "shrunk"))
    assert (common.thresholds == common.common).all()
    number = target.sum(0)
    expected = number / (number + 20) * own.best + 20 / (number + 20) * own.common
    np.testing.assert_allclose(shrunk.thresholds, expected, rtol=1e-12)
    np.testing.assert_array_equal(tune_thresholds(probs, target, rule="shrunk", strength=0).thresholds, own.thresholds)


@pytest.mark.parametrize("alike", [True, False])
def test_when_shrinking_helps(alike):
    """Tuned on few positives, judged on many. Labels with scores of one kind: the own best threshold is luck, and
    shrinking gains. Labels with scores of unlike size: the common threshold fits none, and shrinking loses."""

    def draw(rows, rng):
        target = rng.random((rows, 12)) < 0.03
        size = 1.0 if alike else np.linspace(0.1, 1, 12)
        return size * (
            0.3 * rng.random((rows, 12))
            + 0.7 * np.where(target, rng.beta(2, 2, (rows, 12)), rng.beta(1, 4, (rows, 12)))
        ), target

    gains = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        (probs, target), (fresh, truth) = draw(200, rng), draw(5000, rng)
        own, shrunk = (tune_thresholds(probs, target, rule=rule).thresholds for rule in ("label", "shrunk"))
        gains.append(f1_scores(fresh >= shrunk, truth).macro - f1_scores(fresh >= own, truth).macro)
    sure = 3 * np.std(gains, ddof=1) / math.sqrt(len(gains))
    assert np.mean(gains) > sure if alike else np.mean(gains) < -sure


# --- folds ----------------------------------------------------------------------------------------------------------


def plain_deal(counts, size, folds, rng):
    """The lines at the head of the kernel, row by row."""
    fold, left = np.full(len(counts), -1), counts.sum(0)
    wanted, room = np.tile(left / folds, (folds, 1)), np.full(folds, size.sum() / folds)
    order = rng.permutation(len(counts))

    def give(item, wish):
        ties = rng.random(folds)
        best = max(range(folds), key=lambda k: (round(wish[k], 9), round(room[k], 9), ties[k]))
        fold[item] = best
        wanted[best] -= counts[item]
        room[best] -= size[item]

    while left.any():
        label = int(np.where(left > 0, left, 10**9).argmin())
        items = [item for item in order if fold[item] < 0 and counts[item, label]]
        for item in sorted(items, key=lambda item: -counts[item, label]):
            give(item, wanted[:, label].copy())
            left = left - counts[item]
    for item in sorted((item for item in order if fold[item] < 0), key=lambda item: -size[item]):
        give(item, room.copy())
    return fold


@few
@given(st.integers(4, 40), st.integers(1, 4), st.integers(2, 4), st.integers(0, 999))
def test_dealing_is_its_plain_lines(rows, labels, folds, seed):
    """Ties are drawn, so folds differ; the rarest label, which nothing earlier disturbs, is dealt alike in number."""
    target = np.random.default_rng(seed).random((rows, labels)) < 0.3
    size = np.ones(rows, np.int64)
    ours = deal(target, size, folds, np.random.default_rng(seed))
    theirs = plain_deal(target.astype(int), size, folds, np.random.default_rng(seed))
    assert set(ours) <= set(range(folds)) and len(ours) == rows
    number = target.sum(0)
    if number.any():
        rarest = int(np.where(number > 0, number, 10**9).argmin())
        count = [sorted(np.bincount(fold[target[:, rarest]], minlength=folds)) for fold in (ours, theirs)]
        assert count[0] == count[1] and max(count[0]) - min(count[0]) <= 1
    spread = [np.abs(target[fold == k].sum(0) - number / folds).sum() for fold in (ours, theirs) for k in range(folds)]
    assert sum(spread[:folds]) <= sum(spread[folds:]) + 2 * labels + 2  # as even as the plain lines make it


def test_every_label_is_in_every_fold_where_it_can_be():
    for seed in range(20):
        _, target = rare(500, 15, seed)
        fold = stratified_folds(target, 5, seed=seed)
        random = np.random.default_rng(seed).permutation(500) % 5

        def spread(fold, target=target):
            return np.abs(
                np.stack([target[fold == k].mean(0) for k in range(5)]) / target.mean(0).clip(1e-9) - 1
            ).mean()

        assert spread(fold) < 0.6 * spread(random)
        assert np.bincount(fold).max() - np.bincount(fold).min() <= 12
        enough = target.sum(0) >= 10
        assert all(target[fold == k][:, enough].any(0).all() for k in range(5))


def test_the_published_example():
    """Eight rows, two labels, two folds: each of the four combinations once on either side."""
    target = np.array([[0, 0], [0, 0], [0, 1], [0, 1], [1, 1], [1, 1], [1, 0], [1, 0]])
    for seed in range(30):
        fold = stratified_folds(target, 2, seed=seed)
        assert np.bincount(fold).tolist() == [4, 4]
        assert [target[fold == k].sum(0).tolist() for k in range(2)] == [[2, 2], [2, 2]]


def test_the_popular_packages_order_of_labels():
    """scikit-multilearn takes a label as rarer only if it has more labels *and* fewer rows. For single labels the first
    never holds, so they come in the order of columns: a frequent first label uses up the rows of a rare last one."""

    def as_published(target, folds, seed):
        rng, fold = np.random.default_rng(seed), np.full(len(target), -1)
        wanted = np.tile(target.sum(0) / folds, (folds, 1))
        for label in range(target.shape[1]):
            for row in rng.permutation(np.flatnonzero((fold < 0) & target[:, label])):
                ties = np.flatnonzero(wanted[:, label] >= wanted[:, label].max() - 1e-9)
                fold[row] = rng.choice(ties)
                wanted[fold[row]] -= target[row]
        fold[fold < 0] = rng.integers(0, folds, (fold < 0).sum())
        return fold

    rng = np.random.default_rng(0)
    target = np.zeros((400, 2), bool)
    target[:300, 0] = True
    target[rng.choice(300, 20, replace=False), 1] = True  # ten times rarer, and only where the first is, too
    ours = [np.ptp(np.bincount(stratified_folds(target, 5, seed=s)[target[:, 1]], minlength=5)) for s in range(30)]
    theirs = [np.ptp(np.bincount(as_published(target, 5, s)[target[:, 1]], minlength=5)) for s in range(30)]
    assert max(ours) == 0 and np.mean(theirs) > 2


def test_groups_stay_together():
    rng = np.random.default_rng(0)
    patients = [f"patient {number}" for number in rng.integers(0, 80, 600)]
    _, target = rare(600, 6)
    fold = stratified_folds(target, 4, groups=patients, seed=0)
    assert all(len({fold[row] for row in range(600) if patients[row] == name}) == 1 for name in set(patients))
    number = {name: place % 4 for place, name in enumerate(dict.fromkeys(patients))}
    dealt_round = np.array([number[name] for name in patients])

    def spread(fold):
        return np.abs(np.stack([target[fold == k].sum(0) for k in range(4)]) / target.sum(0) * 4 - 1).mean()

    assert spread(fold) < 0.7 * spread(dealt_round)
    assert np.bincount(fold).min() > 110
    alone = stratified_folds(target, 4, groups=range(600), seed=0)  # a group a row
    assert spread(alone) < 1.5 * spread(stratified_folds(target, 4, seed=0)) + 0.02


def test_same_seed_same_folds_and_rows_without_labels():
    _, target = rare(100, 4)
    np.testing.assert_array_equal(stratified_folds(target, 3, seed=5), stratified_folds(target, 3, seed=5))
    assert (stratified_folds(target, 3, seed=5) != stratified_folds(target, 3, seed=6)).any()
    nothing = stratified_folds(np.zeros((10, 3)), 3, seed=0)
    assert sorted(np.bincount(nothing)) == [3, 3, 4]
    assert sorted(stratified_folds(np.zeros((4, 0)), 4, seed=0)) == [0, 1, 2, 3]
    tensor = stratified_folds(torch.from_numpy(target), 3, seed=5)
    np.testing.assert_array_equal(tensor, stratified_folds(target, 3, seed=5))


# --- pseudo-labels --------------------------------------------------------------------------------------------------


def test_pseudo_labels_by_hand():
    probs = np.array([[0.97, 0.03], [0.6, 0.4], [0.3, 0.7], [0.02, 0.98], [0.51, 0.49]])
    found = pseudo_labels(probs)
    assert isinstance(found, PseudoLabels)
    assert found.rows.tolist() == [0, 3] and found.labels.tolist() == [0, 1]
    half = pseudo_labels(probs, rule="balanced", share=0.5)
    assert half.rows.tolist() == [0, 1, 3] and half.labels.tolist() == [0, 0, 1]
    assert pseudo_labels(probs, rule="balanced", share=0.01).rows.tolist() == [0, 3]  # one of each at least
    both = pseudo_labels(probs, rule="two_sided", threshold=0.7, low=0.05)
    assert both.rows.tolist() == [0, 2, 3] and both.labels.tolist() == [[1, 0], [-1, 1], [0, 1]]
    for rule in ("threshold", "balanced", "two_sided"):
        assert len(pseudo_labels(probs[:0], rule=rule).rows) == 0


def test_what_is_left_open_is_left_out_of_the_loss():
    probs = torch.tensor([[0.99, 0.5], [0.01, 0.02]])
    found = pseudo_labels(probs, rule="two_sided")
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.from_numpy(found.labels), gamma=0, ignore_index=-1)
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope[0, 1] == 0 and (slope != 0).sum() == 3


def test_balanced_takes_the_surest_of_each_class():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([8, 2, 1], 500)
    found = pseudo_labels(probs, rule="balanced", share=0.3)
    predicted = probs.argmax(1)
    for label in range(3):
        taken = found.rows[found.labels == label]
        assert len(taken) == round(0.3 * (predicted == label).sum())
        others = np.setdiff1d(np.flatnonzero(predicted == label), taken)
        assert probs[taken, label].min() >= probs[others, label].max()


def test_rows_that_judge_may_not_teach():
    probs = np.full((3, 2), 0.5)
    texts = ["cough", "fever", "cough and fever"]
    pseudo_labels(probs, ids=texts, held_out=["rash"])
    with pytest.raises(
        ValueError, match="^ids must not name rows that are held out, got 1 that are, first row 1: 'fever'"
    ):
        pseudo_labels(probs, ids=texts, held_out=["rash", "fever"])
    with pytest.raises(ValueError, match="^ids must be given where rows are held out"):
        pseudo_labels(probs, held_out=[1])


# --- bad input ------------------------------------------------------------------------------------------------------

P, T = np.full((4, 3), 0.5), np.ones((4, 3), bool)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: f1_scores(T[0], T[0]), r"^pred must be \(N, C\), a row a sample and a column a label"),
        (lambda: f1_scores(T, T[:2]), "^pred and target must have the same shape"),
        (lambda: f1_scores(2 * T.astype(int), T), "^pred must hold only 0 and 1, got 2"),
        (lambda: f1_scores(T, T, empty="nan"), "^empty must be 'skip', got 'nan'"),
        (lambda: f1_scores(T, T, empty=2), r"^empty must be .*\[0, 1\], got 2"),
        (lambda: tune_thresholds(P, ~T), "^target must have a positive of some label, got none"),
        (lambda: tune_thresholds(P[:0], T[:0]), "^target must have a positive"),
        (lambda: tune_thresholds(np.where(T, np.nan, 0), T), "^probs must be finite, got nan"),
        (lambda: tune_thresholds(P, T, rule="best"), "^rule must be 'label', 'common' or 'shrunk', got 'best'"),
        (lambda: tune_thresholds(P, T, strength=-1), "^strength must be finite and at least 0, got -1"),
        (lambda: stratified_folds(T, 1), "^folds must be a whole number of at least 2, got 1"),
        (lambda: stratified_folds(T, 5), "^folds must be at most the rows, 4, got 5"),
        (lambda: stratified_folds(T, 3, groups="aabb"), "^folds must be at most the groups, 2, got 3"),
        (lambda: stratified_folds(T, 2, groups=[1, 2]), "^groups must have one name a row, 4, got 2"),
        (lambda: stratified_folds(P, 2), "^target must hold only 0 and 1, got 0.5"),
        (lambda: stratified_folds(T, 2, seed=0.5), "^seed must be a whole number"),
        (lambda: pseudo_labels(2 * P + 1), r"^probs must be in \[0, 1\], got 2"),
        (lambda: pseudo_labels(P[0]), r"^probs must be \(N, C\)"),
        (lambda: pseudo_labels(P[:, :0]), "^probs must have at least one class"),
        (lambda: pseudo_labels(P, rule="top"), "^rule must be 'threshold', 'balanced' or 'two_sided'"),
        (lambda: pseudo_labels(P, rule="balanced", share=0), r"^share must be a? ?.*\(0, 1\], got 0|^share must be"),
        (lambda: pseudo_labels(P, rule="two_sided", low=0.96), "^low must be"),
        (lambda: pseudo_labels(P, ids=[1]), "^ids must have one name a row, 4, got 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
