"""Exercises of chapter 14."""

import numpy as np

from ..exercises import Wrong, call, expect, judge_verdict, match_faults, number, require

LEAKS = ("preparation", "copies", "threshold", "rote", "none")
LEAST_PAIRS, MARGIN = 20, 0.01
_FAULTS = {"a": "preparation", "b": "none", "c": "threshold", "d": "copies", "e": "rote"}


def how_much_too_large(answer) -> None:
    """Predict: how far the naive t of ten times five folds lies above the corrected one."""
    want = (1 + 50 / 4) ** 0.5
    hint = "divide the two standard errors: the root of (1/J + n2/n1) over the root of 1/J, with J = 50"
    mistakes = [
        (want**2, "that is the factor on the variance; t has the standard error below the line"),
        ((1 + 50 / 5) ** 0.5, "n2/n1 compares test rows with training rows: of five folds, one against four"),
        ((1 + 5 / 4) ** 0.5, "that is one division into five folds; here are fifty differences"),
        (50**0.5, "that forgets the 1/J, and takes n2/n1 for 1"),
        ((1 + 1 / 4) ** 0.5, "the correction is multiplied by J: n2/n1 stays as J grows, 1/J does not"),
        (1 / want, "that is the corrected t over the naive one; the other way round was asked"),
    ]
    expect(
        round(number(answer), 2),
        round(want, 2),
        given="ten times five folds",
        hint=hint,
        mistakes=mistakes,
        reveal=False,
        atol=6e-3,
    )


def out_of_group(answer) -> None:
    """Implement: predictions out of fold, no group divided, each row's at its own place."""
    rng = np.random.default_rng(0)
    cases = [
        (np.array([3, 1, 3, 2, 1, 2, 2, 5]), 2),
        (np.array(["ward b", "ward a", "ward c", "ward a", "ward c", "ward b"]), 3),
        (rng.permutation(np.repeat(np.arange(7), [1, 5, 2, 4, 3, 1, 2])), 3),
        (np.arange(6)[::-1].copy(), 6),
    ]
    for groups, k in cases:
        x, y = rng.normal(size=(len(groups), 2)), rng.integers(0, 2, len(groups))
        given = f"groups {groups.tolist()}, k = {k}"
        got = call(answer, _fit, x.copy(), y.copy(), groups.copy(), k)
        names, place = np.unique(groups, return_inverse=True)
        first_seen = np.array([list(dict.fromkeys(groups.tolist())).index(name) for name in groups.tolist()])
        want = _held_out(x, y, place % k)
        blocks = place * k // len(names)
        order = np.argsort(place % k, kind="stable")
        own = np.stack([_fit(x[place % k == f], y[place % k == f])(x[i : i + 1])[0] for i, f in enumerate(place % k)])
        mistakes = [
            (_fit(x, y)(x), "every row was predicted by a model that had seen it; train without the held-out fold"),
            (own, "train on the other folds, and predict the held-out one; yours is the other way round"),
            (want[order], "the predictions stand in the order of the folds; put each at its row's place"),
            (_held_out(x, y, np.arange(len(x)) % k), "rows were dealt, so that groups are divided; deal the groups"),
            (_held_out(x, y, first_seen % k), "the groups are numbered in sorted order, not as they first appear"),
            (_held_out(x, y, blocks), "group g goes to fold g mod k: deal them in turn, not in blocks"),
        ]
        hint = "for each fold f: held = (number of the group) % k == f; fit on ~held, write into the rows of held"
        expect(got, want, given=given, hint=hint, mistakes=mistakes)


def find_the_leak(answer) -> None:
    """Find the leak: which of five estimates is honest, and what the others know that they should not."""
    hints = {
        "a": "which rows and labels has SelectKBest seen when a fold is tested?",
        "b": "copies of rare rows are made; of which rows, and when?",
        "c": "how many thresholds are tried, and on which rows is the best of them scored?",
        "d": "a row that was drawn twice: on which sides of KFold can its copies stand?",
        "e": "what do the models predict for rows that they were trained on, and who learns from that?",
    }
    match_faults(answer, _FAULTS, among=LEAKS, hints=hints, what="estimate")


def align(answer) -> None:
    """Implement: the second net's hidden units in the order of the first's."""
    rng = np.random.default_rng(3)
    # Of the last two, units 0 and 1 hear the same and say something else; they stand in either order.
    cases = (
        (2, 2, [1, 3, 0, 2], False),
        (3, 4, [4, 0, 6, 8, 2, 1, 7, 5, 3], False),
        (2, 3, [1, 2, 3, 4, 5, 0], True),
        (2, 3, [2, 0, 4, 1, 5, 3], True),
    )
    for inputs, classes, places, alike in cases:
        hidden, order = len(places), np.array(places)
        one = rng.normal(size=(hidden, inputs)), rng.normal(size=hidden), rng.normal(size=(classes, hidden))
        if alike:
            one[0][1], one[1][1] = one[0][0], one[1][0]
        noisy = tuple(part + 0.01 * rng.normal(size=part.shape) for part in one)
        other = noisy[0][order], noisy[1][order], noisy[2][:, order]
        given = f"a net of {hidden} hidden units, and the same one (nearly) with them in the order {places}"
        got = call(answer, tuple(part.copy() for part in one), tuple(part.copy() for part in other))
        require(
            isinstance(got, tuple | list) and len(got) == 3,
            given=given,
            hint="return three arrays: W1, b1 and W2 of the second net, reordered",
        )
        for name, mine, right, left in zip(("W1", "b1", "W2"), got, noisy, other):
            mine = np.asarray(mine, dtype=float)
            if mine.shape != right.shape:
                raise Wrong(f"given     {given}\n  hint: {name} must keep its shape {right.shape}, got {mine.shape}")
            again = left[order] if name != "W2" else left[:, order]
            mistakes = [
                (left, f"{name} came back as it was; all three parts must be reordered alike"),
                (again, "the permutation is applied the wrong way round: row i of the result matches unit i of one"),
            ]
            hint = (
                "cost[i, j] is the squared distance of unit i of one and unit j of other, over row of W1, entry of "
                "b1 and column of W2; linear_sum_assignment(cost)[1] is the order"
            )
            expect(mine, right, given=f"{given}; {name}", hint=hint, mistakes=mistakes, atol=1e-9)


def own_verdict(answer) -> None:
    """Change the experiment: a prediction, the paired differences of one's own run, and the verdict they allow."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="accuracies")


def _fit(x, y):
    """A learner whose answers tell which rows it has seen, and which row it is asked about."""
    middle, share = x.mean(0), (y.sum() + 1) / (len(y) + 2)

    def predict(rows):
        p = share / (share + np.exp(-((np.asarray(rows) - middle) @ np.array([0.7, -0.4]))))
        return np.stack((1 - p, p), 1)

    return predict


def _held_out(x, y, fold):
    probs = np.empty((len(x), 2))
    for one in np.unique(fold):
        held = fold == one
        probs[held] = _fit(x[~held], y[~held])(x[held])
    return probs
