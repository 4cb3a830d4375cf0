"""Claims: the interval against an outside reference, its coverage, and every verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tutorial_lib.lab.claims import CLAIM_MIME, bootstrap_interval, claim

scores = st.lists(st.floats(-5, 5), min_size=2, max_size=12)


def test_verdicts_follow_the_interval():
    base = np.arange(6.0)
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.02, -0.02])
    assert claim("up", base + 1 + noise, base, show=False).verdict == "supported"
    assert claim("down", base - 1 + noise, base, show=False).verdict == "refuted"
    assert claim("same", base + noise, base, show=False).verdict == "open"
    assert claim("lower is better", base - 1 + noise, base, better="lower", show=False).verdict == "supported"


def test_effect_is_the_mean_paired_difference_on_the_claims_side():
    result = claim("x", [1.0, 2.0, 4.0], [1.0, 1.0, 1.0], show=False)
    assert result.effect == pytest.approx(4 / 3)
    assert claim("x", [1.0, 2.0, 4.0], [1.0, 1.0, 1.0], better="lower", show=False).effect == pytest.approx(-4 / 3)


def test_equal_scores_are_open_not_supported():
    result = claim("nothing happens", [0.5] * 5, [0.5] * 5, show=False)
    assert (result.effect, result.low, result.high, result.verdict) == (0, 0, 0, "open")


def scipys_interval(differences, seed):
    """SciPy's drawn bootstrap of the mean, read at the expanded percentiles."""
    n = len(differences)
    tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))
    return stats.bootstrap(
        (differences,), np.mean, confidence_level=1 - 2 * tail, n_resamples=200_000, method="percentile", rng=seed
    ).confidence_interval


def test_the_enumerated_interval_agrees_with_scipys():
    differences = np.array([0.3, -0.1, 0.8, 0.4, 0.9, 0.2, 0.5])
    assert bootstrap_interval(differences) == pytest.approx(scipys_interval(differences, seed=0), abs=0.01)


def test_the_drawn_interval_agrees_with_scipys():
    differences = np.random.default_rng(4).normal(0.2, 1, size=12)  # beyond eight pairs resamples are drawn
    assert bootstrap_interval(differences) == pytest.approx(scipys_interval(differences, seed=1), abs=0.03)


def test_coverage_for_five_pairs_is_far_better_than_the_plain_percentile_interval():
    rng = np.random.default_rng(11)
    trials, hits, plain_hits = 500, 0, 0
    for _ in range(trials):
        differences = rng.normal(size=5)
        low, high = bootstrap_interval(differences)
        hits += low <= 0 <= high
        means = differences[rng.integers(5, size=(400, 5))].mean(axis=1)
        plain_low, plain_high = np.quantile(means, [0.025, 0.975])
        plain_hits += plain_low <= 0 <= plain_high
    assert hits / trials > 0.88
    assert plain_hits / trials < 0.86
    assert hits > plain_hits


@given(scores, st.floats(-3, 3))
def test_the_interval_moves_with_the_data_and_holds_the_mean(differences, shift):
    low, high = bootstrap_interval(differences)
    moved_low, moved_high = bootstrap_interval(np.array(differences) + shift)
    assert low - 1e-9 <= np.mean(differences) <= high + 1e-9
    assert moved_low == pytest.approx(low + shift, abs=1e-6)
    assert moved_high == pytest.approx(high + shift, abs=1e-6)


@given(scores)
def test_turning_the_sign_turns_the_interval(differences):
    low, high = bootstrap_interval(differences)
    flipped = bootstrap_interval(-np.array(differences))
    if len(differences) <= 8:  # enumerated, so exact up to the step between two neighbouring resamples
        spread = np.ptp(differences) / len(differences)
        assert flipped[0] == pytest.approx(-high, abs=spread + 1e-9)
        assert flipped[1] == pytest.approx(-low, abs=spread + 1e-9)


def test_same_scores_same_interval():
    differences = np.random.default_rng(0).normal(size=15)
    assert bootstrap_interval(differences) == bootstrap_interval(differences)


@pytest.mark.parametrize(
    ("ours", "baseline", "kwargs", "message"),
    [
        ([1.0], [1.0], {}, "at least two"),
        ([1.0, 2.0], [1.0], {}, "paired"),
        ([[1.0, 2.0]], [[1.0, 2.0]], {}, "1-D"),
        ([1.0, float("nan")], [1.0, 2.0], {}, "ours must be finite"),
        ([1.0, 2.0], [1.0, float("inf")], {}, "baseline must be finite"),
        ([1.0, 2.0], [1.0, 2.0], {"better": "bigger"}, "better must be"),
    ],
)
def test_bad_scores_are_a_clear_error(ours, baseline, kwargs, message):
    with pytest.raises(ValueError, match=message):
        claim("x", ours, baseline, show=False, **kwargs)


def test_an_empty_statement_is_refused():
    with pytest.raises(ValueError, match="statement"):
        claim("  ", [1, 2], [1, 2], show=False)


def test_the_record_reaches_the_cells_output(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    result = claim("B beats A", [2.0, 3.0, 2.5], [1.0, 1.0, 1.0])
    record = shown[0][CLAIM_MIME]
    assert set(record) == {"statement", "effect", "low", "high", "seeds", "verdict", "better"}
    assert record["verdict"] == result.verdict and record["seeds"] == 3
    assert "B beats A" in shown[0]["text/plain"]
