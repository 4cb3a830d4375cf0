"""A claim of one's own, in several chapters with one rule: foreseen, paired, enough seeds, and its verdict earned."""

import pytest

from tutorial_lib.lab import check

#: The exercise, and what its differences are of.
CLAIMS = {"metrics.claim": "scores", "level_sets.claim": "Dice", "rcnn.claim": "recalls and APs"}
CLAIMS["start.claim"] = "accuracies"


def around(mean, spread, pairs=12):
    return [mean + (spread if seed % 2 else -spread) for seed in range(pairs)]


@pytest.mark.parametrize("exercise", CLAIMS)
@pytest.mark.parametrize(
    ("differences", "right"),
    [
        (around(0.05, 0.03), "supported"),
        (around(-0.05, 0.03), "refuted"),
        (around(0.002, 0.005), "no difference"),
        (around(0.01, 0.06), "open"),
    ],
)
def test_a_claim_is_held_against_the_differences_that_came_with_it(exercise, differences, right):
    for verdict in ("supported", "refuted", "no difference", "open"):
        result = check(exercise, ("lower", differences, verdict), show=False)
        assert result.ok == (verdict == right), result.message


@pytest.mark.parametrize(("exercise", "of"), CLAIMS.items())
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (("better", around(0.05, 0.03), "supported"), "before the run"),
        (("higher", around(0.05, 0.03, pairs=5), "supported"), "10 seeds"),
        (("higher", [100 * value for value in around(0.05, 0.03)], "supported"), "{of} are shares"),
        (("higher", [0.01] * 12, "supported"), "does your seed"),
        (("higher", around(0.01, 0.06), "supported"), "mean alone"),
        (("no difference", around(0.01, 0.06), "no difference"), "Not to see"),
    ],
)
def test_claim_hints(exercise, of, wrong, hint):
    result = check(exercise, wrong, show=False)
    assert result.status == "wrong" and hint.format(of=of) in result.message, result.message
