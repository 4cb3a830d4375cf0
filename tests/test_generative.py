"""Distances between clouds of features: by hand, by SciPy, their bias, and what each can see."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from tutorial_lib.generative import frechet_distance, kernel_distance, nearest_distances, precision_recall


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_frechet_is_scipys_formula():
    real, made = normal(40, 5), 2 * normal(30, 5, seed=1) @ normal(5, 5, seed=2) + 1
    s, t = np.cov(real.T), np.cov(made.T)
    wanted = float((real.mean(0) - made.mean(0)).square().sum()) + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert float(frechet_distance(real, made)) == pytest.approx(wanted, rel=1e-8)


def test_frechet_with_fewer_rows_than_features():
    """Its covariance has no full rank; sqrtm then warns and may give complex numbers, the symmetric form does not."""
    real, made = normal(10, 64), normal(12, 64, seed=1)
    assert 0 < float(frechet_distance(real, made)) < 200
    assert float(frechet_distance(real, real)) == pytest.approx(0, abs=1e-6)


def test_frechet_is_biased_and_the_kernel_distance_is_not():
    real = normal(4000, 64)
    found = {n: float(frechet_distance(real, normal(n, 64, seed=n))) for n in (100, 500, 2000)}
    assert found[100] == pytest.approx(12.5, abs=1.5) and found[500] == pytest.approx(2.6, abs=0.4)
    assert found[2000] == pytest.approx(0.8, abs=0.2)
    means = np.mean([float(kernel_distance(real, normal(100, 64, seed=seed))) for seed in range(10)])
    assert abs(means) < 0.01


@given(seed=st.integers(0, 1000), shift=st.floats(0.5, 3))
@settings(max_examples=15, deadline=None)
def test_both_see_a_shift(seed, shift):
    real, made = normal(60, 4, seed=seed), normal(60, 4, seed=seed + 5000)
    for distance in (frechet_distance, kernel_distance):
        assert float(distance(real, made + 2 * shift)) > float(distance(real, made))


def test_kernel_distance_leaves_out_the_diagonal():
    x, y = normal(6, 3), normal(5, 3, seed=1)
    k = lambda a, b: (float(a @ b) / 3 + 1) ** 3  # noqa: E731
    within = [
        sum(k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    across = sum(k(a, b) for a in x for b in y) / 30
    assert float(kernel_distance(x, y)) == pytest.approx(sum(within) - 2 * across)


def test_precision_and_recall_tell_apart_what_a_distance_mixes():
    real = normal(300, 2)
    same, narrow, wide = normal(300, 2, seed=1), 0.2 * normal(300, 2, seed=2), 5 * normal(300, 2, seed=3)
    found = {name: precision_recall(real, made) for name, made in (("same", same), ("narrow", narrow), ("wide", wide))}
    assert min(found["same"]) > 0.85
    assert found["narrow"].precision > 0.95 and found["narrow"].recall < 0.4
    assert found["wide"].precision < 0.4 and found["wide"].recall > 0.7


def test_nearest_distances_find_a_copy():
    train, fresh = normal(50, 3, 4, 4), normal(10, 3, 4, 4, seed=1)
    found = nearest_distances(torch.cat([fresh, train[7:8] + 1e-3]), train, batch=4)
    assert found[-1] == pytest.approx(1e-3, rel=1e-6) and float(found[:-1].min()) > 0.5
    every = (fresh[:, None] - train).square().mean((2, 3, 4)).sqrt().min(1).values
    torch.testing.assert_close(found[:-1], every)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(normal(1, 3), normal(5, 3)), "real must have at least 2 rows, got 1"),
        (lambda: frechet_distance(normal(5, 3), normal(5, 2)), "made must be"),
        (lambda: kernel_distance(normal(5, 3), normal(1, 3)), "made must have at least 2 rows"),
        (lambda: kernel_distance(normal(5), normal(5)), "real must be"),
        (lambda: precision_recall(normal(3, 2), normal(9, 2)), "real must have at least 4 rows, got 3"),
        (lambda: precision_recall(normal(9, 2), normal(9, 2), neighbours=0), "neighbours must be"),
        (lambda: nearest_distances(normal(2, 3), normal(0, 3)), "others must be"),
        (lambda: nearest_distances(normal(2, 3), normal(2, 4)), r"others must be \(M, 3\)"),
        (lambda: nearest_distances(normal(2, 3), normal(2, 3), batch=0), "batch must be"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
