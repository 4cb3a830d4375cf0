"""Intervals and powers against SciPy and statsmodels' formulas, simulation, and each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tutorial_lib.lab.intervals import (
    bootstrap_interval,
    holm,
    p_value,
    pairs_needed,
    power_to_decide,
    power_to_equate,
    prediction_interval,
    smallest_effect,
    student_interval,
)

DIFFERENCES = np.array([0.3, -0.1, 0.8, 0.4, 0.9, 0.2, 0.5])
several = st.lists(st.floats(-5, 5), min_size=2, max_size=30).filter(lambda values: np.std(values) > 1e-6)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_students_interval_is_scipys(level):
    expected = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(level)
    assert student_interval(DIFFERENCES, level=level) == pytest.approx(tuple(expected))


def test_the_p_value_is_scipys_and_fits_the_interval():
    assert p_value(DIFFERENCES, at=0.1) == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0.1).pvalue)
    low, high = student_interval(DIFFERENCES, level=0.99)
    for edge in (low, high):
        assert p_value(DIFFERENCES, at=edge) == pytest.approx(0.01)
    assert (p_value([0.0, 0.0]), p_value([1.0, 1.0])) == (1.0, 0.0)


def coverage(interval, draw, n, trials, level):
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(trials):
        low, high = interval(draw(rng, n), level=level)
        hits += low <= 0 <= high
    return hits / trials


DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n) - 1,
    "log-normal": lambda rng, n: rng.lognormal(size=n) - math.exp(0.5),
    "heavy-tailed": lambda rng, n: rng.standard_t(3, size=n),
}


@pytest.mark.parametrize(
    ("kind", "n", "least"),
    # The table in the docstring of student_interval, less three standard errors of 3,000 trials.
    [("normal", 5, 0.984), ("normal", 40, 0.984), ("heavy-tailed", 5, 0.986), ("heavy-tailed", 40, 0.985)]
    + [("exponential", 20, 0.953), ("exponential", 40, 0.965), ("log-normal", 40, 0.93)],
)
def test_students_coverage_at_99_percent_is_that_of_the_table(kind, n, least):
    assert coverage(student_interval, DRAWS[kind], n, 3000, 0.99) >= least


@pytest.mark.parametrize("kind", DRAWS)
def test_at_99_percent_student_covers_better_than_the_bootstrap_for_five_pairs(kind):
    student, bootstrap = (
        coverage(interval, DRAWS[kind], 5, 800, 0.99) for interval in (student_interval, bootstrap_interval)
    )
    assert student > bootstrap + 0.02


def test_the_prediction_interval_holds_the_mean_of_further_pairs_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(4000):
        low, high = prediction_interval(rng.normal(1, 2, size=40), 3, level=0.9)
        hits += low <= rng.normal(1, 2, size=3).mean() <= high
    assert hits / 4000 == pytest.approx(0.9, abs=0.015)


def test_a_live_check_that_is_right_fails_once_in_ten_thousand():
    rng, trials = np.random.default_rng(1), 40_000
    stored, live = rng.normal(size=(trials, 40)), rng.normal(size=(trials, 3)).mean(axis=1)
    half = stats.t.ppf(0.99995, 39) * stored.std(axis=1, ddof=1) * math.sqrt(1 / 40 + 1 / 3)
    low, high = prediction_interval(stored[0], 3, level=0.9999)
    assert (low, high) == pytest.approx((stored[0].mean() - half[0], stored[0].mean() + half[0]))
    assert (abs(live - stored.mean(axis=1)) > half).mean() < 4e-4


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 10), (0.5, 34), (0.2, 100), (-0.5, 34)])
def test_power_agrees_with_simulation(effect, pairs):
    rng = np.random.default_rng(2)
    drawn = rng.normal(effect, 1, size=(20_000, pairs))
    t = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * math.sqrt(pairs)
    decided = abs(t) > stats.t.ppf(0.975, pairs - 1)
    assert power_to_decide(effect, 1.0, pairs, level=0.95) == pytest.approx(decided.mean(), abs=0.012)


@pytest.mark.parametrize(("effect", "margin"), [(0.0, 0.5), (0.1, 0.5), (-0.2, 0.6)])
def test_power_to_equate_agrees_with_simulation(effect, margin):
    rng, pairs = np.random.default_rng(3), 40
    drawn = rng.normal(effect, 1, size=(20_000, pairs))
    half = stats.t.ppf(0.975, pairs - 1) * drawn.std(axis=1, ddof=1) / math.sqrt(pairs)
    inside = (drawn.mean(axis=1) - half > -margin) & (drawn.mean(axis=1) + half < margin)
    assert power_to_equate(effect, 1.0, pairs, margin=margin, level=0.95) == pytest.approx(inside.mean(), abs=0.012)


def test_power_stays_a_number_far_from_zero():
    assert power_to_decide(50.0, 1.0, 100, level=0.99) == 1.0
    assert power_to_equate(0.0, 1.0, 100, margin=50.0, level=0.99) == 1.0
    assert power_to_equate(2.0, 1.0, 100, margin=1.0, level=0.99) == 0.0


@pytest.mark.parametrize("pairs", [3, 12, 40])
def test_the_smallest_effect_is_shown_with_a_power_of_80_percent(pairs):
    effect = smallest_effect(2.0, pairs, level=0.99)
    assert power_to_decide(effect, 2.0, pairs, level=0.99) == pytest.approx(0.8, abs=1e-3)


@given(st.floats(0.05, 3), st.floats(0.1, 3))
def test_so_many_pairs_are_enough_and_one_less_is_not(effect, margin):
    needed = pairs_needed(effect, 1.0, margin=margin, level=0.99)

    def power(pairs):
        same = power_to_equate(effect, 1.0, pairs, margin=margin, level=0.99)
        return max(power_to_decide(effect, 1.0, pairs, level=0.99), same)

    assert power(needed) >= 0.8
    assert needed == 2 or power(needed - 1) < 0.8


def test_what_cannot_be_settled_has_no_number():
    assert pairs_needed(0.0, 1.0, margin=None, level=0.99) is None
    assert pairs_needed(1e-6, 1.0, margin=None, level=0.99) is None
    assert pairs_needed(0.0, 0.0, margin=0.1, level=0.99) == 2


def test_holm_is_stepwise():
    # By hand, at 0.05: 0.01 < 0.05/3, 0.02 < 0.05/2, 0.04 < 0.05; Bonferroni would keep only the first.
    assert holm([0.04, 0.01, 0.02], level=0.95) == [True, True, True]
    # 0.03 is above 0.05/2, and ends it for all that are larger.
    assert holm([0.04, 0.01, 0.03], level=0.95) == [False, True, False]
    assert holm([], level=0.95) == []


@given(several, st.floats(-3, 3))
def test_intervals_move_with_the_data_and_hold_the_mean(differences, shift):
    low, high = student_interval(differences, level=0.99)
    assert low <= np.mean(differences) <= high
    moved = student_interval(np.array(differences) + shift, level=0.99)
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-6)


@pytest.mark.parametrize("interval", [student_interval, bootstrap_interval])
@pytest.mark.parametrize(
    ("differences", "level", "message"),
    [
        ([1.0], 0.9, "at least two"),
        ([1.0, math.nan], 0.9, "finite"),
        ([1.0, 2.0], 1.0, "level"),
        ([1.0, 2.0], 0, "level"),
    ],
)
def test_bad_input_is_a_clear_error(interval, differences, level, message):
    with pytest.raises(ValueError, match=message):
        interval(differences, level=level)


def test_no_pairs_to_come_is_a_clear_error():
    with pytest.raises(ValueError, match="pairs must be a whole number of at least 1"):
        prediction_interval(DIFFERENCES, 0, level=0.9)
