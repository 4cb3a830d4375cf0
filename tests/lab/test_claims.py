"""Claims: the interval against an outside reference, its coverage, and every verdict."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tutorial_lib.lab.claims import CLAIM_MIME, VERDICTS, Claim, bootstrap_interval, claim, paired
from tutorial_lib.lab.exercises import SIGNS

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


def test_one_pair_of_signs_for_claims_and_exercises():
    assert list(SIGNS.values()) == [VERDICTS[verdict] for verdict in ("supported", "refuted", "open")]
    for verdict, sign in VERDICTS.items():
        text = str(Claim("B beats A", 0.1, 0.0, 0.2, 5, verdict, "higher"))
        assert text.startswith(f"{sign} {verdict.upper()}: ")


@pytest.mark.parametrize(
    "hold",
    [tuple, np.array, torch.tensor, pd.Series, lambda v: np.array(v, ">f4"), lambda v: torch.tensor(v).bfloat16()],
    ids=["tuple", "array", "tensor", "column", "big-endian", "bfloat16"],
)
def test_scores_may_come_in_anything_that_holds_numbers(hold):
    assert claim("x", hold([2.0, 3.0, 2.5]), hold([1.0, 1.0, 1.0]), show=False).effect == 1.5
    assert bootstrap_interval(hold([2.0, 3.0, 2.5])) == bootstrap_interval([2.0, 3.0, 2.5])


def test_masked_scores_are_refused():
    masked = np.ma.masked_array([1.0, 2.0, 99.0], [False, False, True])
    with pytest.raises(ValueError, match="ours .*mask"):
        claim("x", masked, [1.0, 2.0, 3.0], show=False)
    with pytest.raises(ValueError, match="differences .*mask"):
        bootstrap_interval(masked)


# --- paired: scores out of a table of runs ---


@pytest.fixture
def table():
    """Two methods at two noise levels, three seeds each, in no order; 'extra' was run without noise only."""
    rows = [
        {"method": method, "noise": noise, "seed": seed, "score": 10 * level + k + noise, "epochs": 5, "note": "good"}
        for seed, level in ((2, 2), (0, 0), (1, 1))
        for k, method in enumerate(("a", "b", "extra"))
        for noise in (0.0, 0.4)
        if method != "extra" or not noise
    ]
    return pd.DataFrame(rows)


def test_scores_come_in_the_order_of_the_seeds(table):
    np.testing.assert_array_equal(paired(table, "b", "score", noise=0.4), [1.4, 11.4, 21.4])
    np.testing.assert_array_equal(paired(table, "extra", "score"), [2, 12, 22])
    assert paired(table, "a", "epochs", noise=0).dtype == float  # whole numbers too
    assert claim("b beats a", *(paired(table, m, "score", noise=0.0) for m in "ba"), show=False).effect == 1


def test_the_table_is_not_changed_and_its_index_does_not_matter(table):
    kept = table.copy()
    table.index = [0] * len(table)
    paired(table, "a", "score", noise=0.4)
    assert table.reset_index(drop=True).equals(kept)


@pytest.mark.parametrize(
    ("method", "score", "where", "message"),
    [
        ("c", "score", {}, r"method must be one of 'a', 'b', 'extra', got 'c'"),
        ("a", "F1", {}, r"score must name a column of table \('method', 'noise', .*\), got 'F1'"),
        ("a", "score", {"rate": 0.4}, r"where must name a column of table \(.*\), got 'rate'"),
        ("a", "score", {"noise": 0.3}, r"noise must be one of 0\.0, 0\.4, got 0\.3"),
        ("extra", "score", {"noise": 0.4}, r"noise must be one of 0\.0, got 0\.4"),
        ("a", "score", {"noise": float("nan")}, r"noise must be one of .* got nan"),
        ("a", "score", {}, r"one run of 'a' a seed, got 2 with seed 0, which differ in 'noise', 'score'"),
        ("a", "note", {"noise": 0.4}, r"score must name a column of numbers, got 'note', which holds 'good'"),
    ],
)
def test_what_the_table_does_not_hold_is_a_clear_error(table, method, score, where, message):
    with pytest.raises(ValueError, match=message):
        paired(table, method, score, **where)


@pytest.mark.parametrize("other", [[{"method": "a", "seed": 0}], None, pd.DataFrame({"method": ["a"]})])
def test_another_table_is_a_clear_error(other):
    with pytest.raises(ValueError, match="table must have the columns 'method' and 'seed'"):
        paired(other, "a", "score")
