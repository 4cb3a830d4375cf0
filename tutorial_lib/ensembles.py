r"""Many models as one: averages, votes, folds, stacks, bags and boosts, and what may be said of their spread.

A model is given as a function ``fit(inputs, targets)`` that trains on the rows it gets and returns ``predict(inputs)``,
which gives probabilities (N, C). So torch and scikit-learn fit alike::

    fit = lambda x, y: LogisticRegression().fit(x, y).predict_proba

Inputs and targets are NumPy arrays or tensors with a row a sample. What splits them into folds is scikit-learn's.
Taught in chapter 14.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import _arguments as check

__all__ = [
    "Ambiguity",
    "Bagged",
    "Boosted",
    "CorrectedTest",
    "OutOfFold",
    "ambiguity",
    "average",
    "average_parameters",
    "bag",
    "blend",
    "corrected_t_test",
    "majority_accuracy",
    "out_of_fold",
    "rank_weights",
    "samme",
    "stack",
    "vote",
]

Predict = Callable[[Any], Any]
Fit = Callable[..., Predict]
#: Pairs of training and test row numbers: sequences, arrays or tensors of whole numbers.
Folds = Iterable[tuple[Any, Any]]

# --- One answer out of many -----------------------------------------------------------------------------------------


def average(probs: Any, *, rule: str = "arithmetic", weights: check.Numbers | None = None) -> Any:
    r"""One set of probabilities out of those of M models.

    .. math:: \bar p = \sum_m w_m p_m, \qquad \tilde p \propto \prod_m p_m^{w_m}, \qquad \sum_m w_m = 1

    The arithmetic mean is a mixture: one sure model does not decide alone. The geometric mean, with each row brought
    back to sum 1, is a product of experts: one model that is sure *against* a class vetoes it. The mean of ranks (of
    each class over the samples, from 0 to 1) keeps each model's order and forgets its scale: it fits scores such as the
    AUC, needs the whole test set at once, and is no probability.

    Args:
        probs: (M, N, C) array or tensor, from 0 to 1; for the geometric mean each row of sum 1.
        rule: ``"arithmetic"``, ``"geometric"`` or ``"rank"``.
        weights: one a model, at least 0, not all 0; by default equal.

    Returns:
        (N, C), an array or tensor as ``probs``, in float64 or the tensor's type.

    Raises:
        ValueError: another shape, numbers outside [0, 1], weights that cannot be.

    References:
        Genest, Zidek, Combining probability distributions, Statistical Science 1986, for the two pools.

    >>> two = [[[0.9, 0.1]], [[0.4, 0.6]]]
    >>> average(two).round(3).tolist(), average(two, rule="geometric").round(3).tolist()
    ([[0.65, 0.35]], [[0.71, 0.29]])
    """
    rule = check.choice(rule, "rule", ("arithmetic", "geometric", "rank"))
    values = _several(probs)
    share = _shares(weights, len(values))
    if rule == "rank":
        mixed = np.tensordot(share, np.stack([_ranks(one) for one in values]), 1)
    elif rule == "arithmetic":
        mixed = np.tensordot(share, values, 1)
    else:
        sums = values.sum(-1)
        if values.size and not np.allclose(sums, 1, atol=1e-3):
            raise ValueError(f"probs must be rows of sum 1 for the geometric mean, got {sums.flat[0]:g}")
        mixed = _geometric(values, share)
    return torch.from_numpy(mixed).to(probs) if isinstance(probs, Tensor) else mixed


def _geometric(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        # A model of weight 0 has no veto: 0 times minus infinity is left out.
        logs = np.where(share[:, None, None] > 0, share[:, None, None] * np.log(values), 0).sum(0)
        top = logs.max(-1, keepdims=True)
        mixed = np.exp(logs - np.where(np.isfinite(top), top, 0))
    total = mixed.sum(-1, keepdims=True)
    # Where every class is vetoed, nothing is known.
    return np.where(total > 0, mixed / np.where(total > 0, total, 1), 1 / values.shape[-1])


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks down each column, equal scores sharing theirs, from 0 to 1; a single row is 1/2."""
    from scipy.stats import rankdata

    return (rankdata(scores, axis=0) - 1) / (len(scores) - 1) if len(scores) > 1 else np.full(scores.shape, 0.5)


def rank_weights(scores: check.Numbers) -> tuple[float, ...]:
    """Weights by rank: the best of M models M, the next M − 1, …, divided by their sum; equal scores share theirs.

    Args:
        scores: one a model, higher is better; on data that chose no model.

    Returns:
        M weights of sum 1.

    Raises:
        ValueError: no scores, or one that is not finite.

    >>> rank_weights([0.7, 0.9, 0.8])
    (0.16666666666666666, 0.5, 0.3333333333333333)
    """
    from scipy.stats import rankdata

    places = rankdata(check.numbers(scores, "scores", empty=False))
    return tuple((places / places.sum()).tolist())


def vote(
    labels: Any, *, classes: int, rule: str = "plurality", weights: check.Numbers | None = None, tie: int | None = None
) -> Any:
    """The class that most models name.

    Args:
        labels: (M, N) classes, whole numbers from 0.
        classes: how many there are.
        rule: ``"plurality"``: the most votes; ``"majority"``: only with more than half of all votes, else -1.
        weights: of the models' votes; by default equal.
        tie: which answer several leading classes give; None: the smallest of them.

    Returns:
        (N,) int64, an array or tensor as ``labels``.

    Raises:
        ValueError: another shape, classes out of range, weights that cannot be.

    >>> vote([[0, 1, 2], [0, 2, 2], [1, 0, 2]], classes=3).tolist()
    [0, 0, 2]
    >>> vote([[0, 1, 2], [0, 2, 2], [1, 0, 2]], classes=3, rule="majority").tolist()
    [0, -1, 2]
    """
    rule = check.choice(rule, "rule", ("plurality", "majority"))
    classes = check.whole(classes, "classes", low=1)
    found = check.labels(check.array(labels, "labels"), "labels")
    values = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found).astype(np.int64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"labels must be (M, N), a row a model, got {check.what(found)}")
    if values.size and not (0 <= values.min() and values.max() < classes):
        wrong = values.min() if values.min() < 0 else values.max()
        raise ValueError(f"labels must be classes from 0 to {classes - 1}, got {wrong}")
    share = _shares(weights, len(values))
    votes = np.zeros((values.shape[1], classes))
    for one, part in zip(values, share):
        votes[np.arange(len(one)), one] += part
    winner = votes.argmax(1)
    leading = np.isclose(votes, votes.max(1, keepdims=True), rtol=0, atol=1e-12).sum(1) if votes.size else winner
    if tie is not None:
        winner = np.where(leading > 1, check.whole(tie, "tie", low=-1, high=classes - 1), winner)
    if rule == "majority":
        winner = np.where(votes.max(1) > 0.5 + 1e-12, winner, -1)
    return torch.from_numpy(winner).to(labels.device) if isinstance(labels, Tensor) else winner


# --- Folds ----------------------------------------------------------------------------------------------------------


class OutOfFold(NamedTuple):
    """What :func:`out_of_fold` returns."""

    probs: np.ndarray
    """(N, C), of each row by the model that did not see it; nan where no fold tests it."""
    models: list[Predict]
    """One a fold."""


def out_of_fold(fit: Fit, inputs: Any, targets: Any, folds: Folds) -> OutOfFold:
    """Predictions for every row by a model that was trained without it.

    Args:
        fit: trains on rows, and returns what predicts.
        inputs: (N, …) rows.
        targets: (N, …).
        folds: pairs of training and test row numbers, such as scikit-learn's ``StratifiedKFold(5).split(x, y)``; for
            rows that belong together ``StratifiedGroupKFold``.

    Returns:
        :class:`OutOfFold`. The models' mean is what is used later: ``average([m(x) for m in models])``.

    Raises:
        ValueError: no folds, a row that is in a fold's training *and* test rows (a leak), or is tested twice.

    >>> import numpy as np
    >>> fit = lambda x, y: lambda rows: np.tile(np.bincount(y, minlength=2) / len(y), (len(rows), 1))
    >>> x, y = np.zeros((4, 1)), np.array([0, 0, 1, 1])
    >>> out_of_fold(fit, x, y, [([1, 2, 3], [0]), ([0, 2, 3], [1]), ([0, 1, 3], [2]), ([0, 1, 2], [3])]).probs[0]
    array([0.33333333, 0.66666667])
    """
    number, probs, models = len(inputs), None, []
    if len(targets) != number:
        raise ValueError(f"inputs and targets must have one row a sample, got {number} and {len(targets)}")
    seen = np.zeros(number, dtype=bool)
    for place, (train, test) in enumerate(folds):
        train, test = np.asarray(train, dtype=np.int64), np.asarray(test, dtype=np.int64)
        both = np.intersect1d(train, test)
        if len(both):
            raise ValueError(f"folds must not train on what they test, got row {both[0]} in both parts of fold {place}")
        if seen[test].any() or len(np.unique(test)) < len(test):
            raise ValueError(f"folds must test a row once, got row {test[seen[test]][:1]} again in fold {place}")
        seen[test] = True
        models.append(fit(inputs[train], targets[train]))
        part = _probs(models[-1](inputs[test]), len(test))
        if probs is None:
            probs = np.full((number, part.shape[1]), np.nan)
        probs[test] = part
    if probs is None:
        raise ValueError("folds must hold at least one pair of row numbers, got none")
    return OutOfFold(probs, models)


def stack(
    fits: Sequence[Fit],
    meta: Fit,
    inputs: Any,
    targets: Any,
    folds: Folds,
) -> Predict:
    """Stacking: a last model learns how far to trust each of the others, from what they say of rows that they did not
    see.

    The base models are then trained again on all rows. (The last model must not see predictions on training rows: there
    every model looks sure of itself, most of all the one that learned them by rote.)

    Args:
        fits: the base models.
        meta: the last model, trained on (N, models · classes).
        inputs, targets, folds: as for :func:`out_of_fold`; every row must be tested once.

    Returns:
        ``predict(inputs)``.

    Raises:
        ValueError: no models, or folds that leave rows out.

    References:
        Wolpert, Stacked Generalization, Neural Networks 1992.

    >>> import numpy as np
    >>> base = lambda x, y: lambda rows: np.stack((1 - rows[:, 0], rows[:, 0]), 1)
    >>> last = lambda x, y: lambda rows: rows
    >>> x, y = np.array([[0.25], [0.5]]), np.array([0, 1])
    >>> stack([base], last, x, y, [([0], [1]), ([1], [0])])(x).tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    if not len(fits):
        raise ValueError("fits must hold at least one model, got none")
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in folds]
    parts = [out_of_fold(fit, inputs, targets, pairs).probs for fit in fits]
    if np.isnan(parts[0]).any():
        missing = int(np.isnan(parts[0]).any(1).argmax())
        raise ValueError(f"folds must test every row once, got none that tests row {missing}")
    last = meta(np.concatenate(parts, 1), targets)
    bases = [fit(inputs, targets) for fit in fits]
    return lambda rows: last(np.concatenate([_probs(base(rows), len(rows)) for base in bases], 1))


def blend(fits: Sequence[Fit], meta: Fit, inputs: Any, targets: Any, held_out: Sequence[int]) -> Predict:
    """Blending: as :func:`stack`, but the last model learns from one held-out part, which the base models never see.

    It is cheaper (each base model is trained once) and wastes rows: the base models lack the held-out part, the last
    model all others.

    Args:
        fits: the base models.
        meta: the last model.
        inputs, targets: the rows.
        held_out: row numbers for the last model; a tenth to a third of all.

    Returns:
        ``predict(inputs)``.

    Raises:
        ValueError: no models, or nothing left on one side.

    >>> import numpy as np
    >>> base = lambda x, y: lambda rows: np.stack((1 - rows[:, 0], rows[:, 0]), 1)
    >>> x, y = np.array([[0.2], [0.9], [0.5]]), np.array([0, 1, 1])
    >>> blend([base], lambda x, y: lambda rows: rows, x, y, [2])(x[:1]).tolist()
    [[0.8, 0.2]]
    """
    if not len(fits):
        raise ValueError("fits must hold at least one model, got none")
    held = np.unique(np.asarray(held_out, dtype=np.int64))
    rest = np.setdiff1d(np.arange(len(inputs)), held)
    if not len(held) or not len(rest):
        raise ValueError(f"held_out must leave rows on both sides, got {len(held)} of {len(inputs)}")
    bases = [fit(inputs[rest], targets[rest]) for fit in fits]
    told = np.concatenate([_probs(base(inputs[held]), len(held)) for base in bases], 1)
    last = meta(told, targets[held])
    return lambda rows: last(np.concatenate([_probs(base(rows), len(rows)) for base in bases], 1))


# --- Bags and boosts ------------------------------------------------------------------------------------------------


class Bagged(NamedTuple):
    """What :func:`bag` returns."""

    predict: Predict
    """Gives the mean of all models, (N, C)."""
    out_of_bag: np.ndarray
    """(N, C), of each row by the models that did not draw it; nan where all did."""
    models: list[Predict]
    """The models themselves."""


def bag(
    fit: Fit,
    inputs: Any,
    targets: Any,
    *,
    count: int,
    share: float = 1.0,
    generator: torch.Generator | None = None,
) -> Bagged:
    r"""Bagging: the mean of models, each trained on rows drawn anew *with* replacement.

    Of N rows drawn N times each is missed with probability :math:`(1 - 1/N)^N \to 1/e`, so that about .37 of the models
    have never seen a row: their mean is a free test, the out-of-bag prediction.

    Args:
        fit: trains on rows.
        inputs, targets: the rows.
        count: of models.
        share: rows drawn for each, of N.
        generator: source of randomness; None: torch's global one.

    Returns:
        :class:`Bagged`.

    Raises:
        ValueError: no rows or models, a share that is not above 0.

    References:
        Breiman, Bagging Predictors, Machine Learning 1996.

    >>> import numpy as np
    >>> fit = lambda x, y: lambda rows: np.tile(np.bincount(y, minlength=2) / len(y), (len(rows), 1))
    >>> bagged = bag(fit, np.zeros((8, 1)), np.array([0, 1] * 4), count=20, generator=torch.Generator().manual_seed(0))
    >>> bagged.predict(np.zeros((1, 1))).shape, bagged.out_of_bag.shape
    ((1, 2), (8, 2))
    """
    number, count = len(inputs), check.whole(count, "count", low=1)
    drawn = max(1, round(number * check.number(share, "share", above=0)))
    generator = check.generator(generator)
    if not number or len(targets) != number:
        raise ValueError(f"inputs and targets must have one row a sample, got {number} and {len(targets)}")
    models, total, missed = [], None, np.zeros(number)
    for _ in range(count):
        rows = torch.randint(number, (drawn,), generator=generator, device=_home(generator)).cpu().numpy()
        models.append(fit(inputs[rows], targets[rows]))
        other = np.setdiff1d(np.arange(number), rows)
        if len(other):
            part = _probs(models[-1](inputs[other]), len(other))
            total = np.zeros((number, part.shape[1])) if total is None else total
            total[other] += part
            missed[other] += 1
    width = 1 if total is None else total.shape[1]
    total = np.zeros((number, width)) if total is None else total
    with np.errstate(invalid="ignore"):
        out_of_bag = np.where(missed[:, None] > 0, total / np.where(missed, missed, 1)[:, None], np.nan)
    return Bagged(lambda rows: average([_probs(one(rows), len(rows)) for one in models]), out_of_bag, models)


class Boosted(NamedTuple):
    """What :func:`samme` returns."""

    predict: Predict
    """Gives shares of the votes, (N, C)."""
    alphas: list[float]
    """The weight of each model."""
    errors: list[float]
    """The weighted error of each in training."""
    models: list[Predict]
    """The models themselves."""


def samme(fit: Fit, inputs: Any, targets: Any, *, classes: int, rounds: int, rate: float = 1.0) -> Boosted:
    r"""AdaBoost for any number of classes: each model looks harder at what those before it got wrong.

    .. math:: \alpha = \eta \left(\log \frac{1 - e}{e} + \log(K - 1)\right), \qquad
              w_i \leftarrow w_i\, e^{\alpha\, [\hat y_i \ne y_i]}

    with weighted error e. Better than guessing, :math:`e < 1 - 1/K`, is enough for a positive :math:`\alpha`; a model
    that is not ends the boosting, one without error too (it decides alone, if it is the first).

    Args:
        fit: ``fit(inputs, targets, weights)``, with weights (N,) of sum 1.
        inputs: the rows.
        targets: (N,) classes from 0.
        classes: K, at least 2.
        rounds: models at most.
        rate: :math:`\eta`.

    Returns:
        :class:`Boosted`.

    Raises:
        ValueError: classes out of range, fewer than 2 classes, a first model no better than guessing.

    References:
        Zhu, Zou, Rosset, Hastie, Multi-class AdaBoost, Statistics and Its Interface 2009, algorithm 2.

    >>> import numpy as np
    >>> x, y = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 0])
    >>> def stump(x, y, w):
    ...     cuts = [(w[(x > c) != y].sum(), c) for c in (0.5, 1.5, 2.5)]
    ...     cut = min(cuts)[1]
    ...     return lambda rows: np.eye(2)[(rows > cut).astype(int)]
    >>> boosted = samme(stump, x, y, classes=2, rounds=1)
    >>> boosted.errors, round(boosted.alphas[0], 4)
    ([0.25], 1.0986)
    """
    classes, rounds = check.whole(classes, "classes", low=2), check.whole(rounds, "rounds", low=1)
    rate = check.number(rate, "rate", above=0)
    truth = np.asarray(check.labels(check.array(targets, "targets"), "targets")).astype(np.int64)
    if truth.shape != (len(inputs),) or not len(truth):
        raise ValueError(f"targets must be ({len(inputs)},), one a row, at least one, got {check.what(targets)}")
    if not (0 <= truth.min() and truth.max() < classes):
        wrong = truth.min() if truth.min() < 0 else truth.max()
        raise ValueError(f"targets must be classes from 0 to {classes - 1}, got {wrong}")
    weights = np.full(len(truth), 1 / len(truth))
    models: list[Predict] = []
    alphas: list[float] = []
    errors: list[float] = []
    for _ in range(rounds):
        model = fit(inputs, targets, weights)
        wrong_rows = _probs(model(inputs), len(truth)).argmax(1) != truth
        error = float(weights[wrong_rows].sum())
        if error >= 1 - 1 / classes:
            if not models:
                raise ValueError(f"fit must do better than guessing ({1 - 1 / classes:.3g} wrong), got {error:.3g}")
            break
        models.append(model)
        errors.append(error)
        if error <= 0:
            alphas.append(1.0)
            break
        alphas.append(rate * (math.log((1 - error) / error) + math.log(classes - 1)))
        weights = weights * np.exp(alphas[-1] * wrong_rows)
        weights /= weights.sum()

    def predict(rows: Any) -> np.ndarray:
        votes = sum(
            alpha * np.eye(classes)[_probs(model(rows), len(rows)).argmax(1)] for alpha, model in zip(alphas, models)
        )
        return votes / sum(alphas)

    return Boosted(predict, alphas, errors, models)


# --- What may be said -----------------------------------------------------------------------------------------------


class Ambiguity(NamedTuple):
    """``ensemble`` = ``members`` − ``spread``: errors of the mean and of its members, and how far these differ."""

    ensemble: float
    """Error of the mean."""
    members: float
    """Mean error of the members."""
    spread: float
    """How far the members differ from their mean."""


def ambiguity(predictions: Any, targets: Any, *, weights: check.Numbers | None = None) -> Ambiguity:
    r"""Why a mean errs less than its members: exactly by as much as they disagree.

    .. math:: (\bar f - y)^2 = \sum_m w_m (f_m - y)^2 - \sum_m w_m (f_m - \bar f)^2

    for every sample, and so for their mean. (For accuracy there is no such law.)

    Args:
        predictions: (M, N) numbers.
        targets: (N,) numbers.
        weights: of the models; by default equal.

    Returns:
        :class:`Ambiguity`, means over the samples.

    Raises:
        ValueError: shapes that do not fit.

    References:
        Krogh, Vedelsby, Neural Network Ensembles, Cross Validation, and Active Learning, NeurIPS 1994.

    >>> [round(part, 4) for part in ambiguity([[0.2], [0.9], [1.6]], [1.0])]
    [0.01, 0.3367, 0.3267]
    """
    values, truth = (_double(one, name) for one, name in ((predictions, "predictions"), (targets, "targets")))
    if values.ndim != 2 or truth.shape != values.shape[1:] or not values.size:
        raise ValueError(
            f"predictions must be (M, N) and targets (N,), got {check.what(values)} and {check.what(truth)}"
        )
    share = _shares(weights, len(values))
    mean = share @ values
    members = float((share @ (values - truth) ** 2).mean())
    return Ambiguity(float(((mean - truth) ** 2).mean()), members, float((share @ (values - mean) ** 2).mean()))


def majority_accuracy(accuracy: float, models: int) -> float:
    r"""How often most of M *independent* models are right, if each is with probability p.

    .. math:: \sum_{k > M/2} \binom{M}{k} p^k (1 - p)^{M - k}

    Models trained on the same data err together, so real ensembles gain less.

    Args:
        accuracy: p.
        models: M, odd (there are no ties).

    Returns:
        A probability.

    Raises:
        ValueError: an even number of models, a p outside [0, 1].

    >>> round(majority_accuracy(0.7, 5), 4), round(majority_accuracy(0.4, 5), 4)
    (0.8369, 0.3174)
    """
    p, count = check.number(accuracy, "accuracy", low=0, high=1), check.whole(models, "models", low=1)
    if count % 2 == 0:
        raise ValueError(f"models must be odd, so that there are no ties, got {count}")
    return math.fsum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count // 2 + 1, count + 1))


class CorrectedTest(NamedTuple):
    """What :func:`corrected_t_test` returns."""

    difference: float
    """The mean."""
    t: float
    """Student's, with the correction."""
    p: float
    """Two-sided, with the correction."""
    low: float
    """Lower end of the interval."""
    high: float
    """Its upper end."""


def corrected_t_test(differences: check.Numbers, *, test_share: float, level: float = 0.95) -> CorrectedTest:
    r"""Whether one model is better than another over the folds of a cross-validation, whose folds share training rows.

    .. math:: t = \frac{\bar d}{\sqrt{\left(\frac1J + \frac{n_2}{n_1}\right) s^2}}, \quad J - 1 \text{ degrees}

    with J differences, :math:`n_2` test and :math:`n_1` training rows. The naive test has 1/J alone: it takes J folds
    for J independent samples, and finds differences where there are none. For k folds, repeated or not,
    :math:`n_2 / n_1 = 1 / (k - 1)`.

    Args:
        differences: one a fold, of paired scores.
        test_share: :math:`n_2 / (n_1 + n_2)`: 1/k for k folds.
        level: of the interval.

    Returns:
        :class:`CorrectedTest`; p is 1 (no difference) or 0 where all differences are equal.

    Raises:
        ValueError: fewer than two differences, a share outside (0, 1).

    References:
        Nadeau, Bengio, Inference for the Generalization Error, Machine Learning 2003.

    >>> folds = [0.02, 0.01, 0.03, -0.01, 0.02, 0, 0.01, 0.03, 0.02, 0.01]
    >>> round(corrected_t_test(folds, test_share=0.1).t, 3)
    2.409
    """
    from scipy.stats import t as student

    values = np.array(check.numbers(differences, "differences"))
    if len(values) < 2:
        raise ValueError(f"differences must be at least two, got {len(values)}")
    share = check.number(test_share, "test_share", above=0, below=1)
    level = check.number(level, "level", above=0, below=1)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    error = math.sqrt((1 / len(values) + share / (1 - share)) * spread**2)
    if error <= 1e-15 * abs(mean) or error == 0:
        return CorrectedTest(mean, math.copysign(math.inf, mean) if mean else 0.0, float(mean == 0), mean, mean)
    reach = float(student.ppf((1 + level) / 2, len(values) - 1)) * error
    t = mean / error
    return CorrectedTest(mean, t, float(2 * student.sf(abs(t), len(values) - 1)), mean - reach, mean + reach)


def average_parameters(models: Sequence[nn.Module], *, weights: check.Numbers | None = None) -> dict[str, Tensor]:
    """The mean of several models' parameters and statistics, as a ``state_dict``.

    **Models trained from different starts have no mean**: their hidden units are in another order, and the mean of two
    good networks is a bad one. It is right only within one basin: along one training run (stochastic weight averaging),
    or for models tuned briefly from a common one (soups). Everywhere else average predictions: :func:`average`.

    Args:
        models: of one architecture.
        weights: by default equal.

    Returns:
        A ``state_dict``; whole numbers (such as a batch norm's counter) are the first model's. Batch norm's statistics
        must be computed anew for the mean.

    Raises:
        ValueError: no models, or models whose parameters differ in name or shape.

    References:
        Izmailov et al., Averaging Weights Leads to Wider Optima, UAI 2018 (arXiv:1803.05407).

    >>> one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> mean = average_parameters([one, other])
    >>> torch.allclose(mean["weight"], (one.weight + other.weight) / 2)
    True
    """
    if not len(models):
        raise ValueError("models must hold at least one, got none")
    states = [model.state_dict() for model in models]
    for place, state in enumerate(states):
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in states[0].items()}:
            raise ValueError(f"models must have parameters of the same names and shapes, model {place} has others")
    share = _shares(weights, len(states))
    mean = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            wide = sum(float(part) * check.wide(state[name]) for part, state in zip(share, states))
            mean[name] = torch.as_tensor(wide).to(first.dtype)
        else:
            mean[name] = first.clone()
    return mean


# --- Arguments ------------------------------------------------------------------------------------------------------


def _several(probs: Any) -> np.ndarray:
    values = _double(probs, "probs")
    if values.ndim != 3 or not len(values):
        raise ValueError(f"probs must be (M, N, C), one (N, C) a model, got {check.what(values)}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"probs must be in [0, 1], got {values.min():g} to {values.max():g}")
    return values


def _double(values: Any, name: str) -> np.ndarray:
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        values = torch.stack([one.detach() for one in values])
    found = check.array(values, name)
    if isinstance(found, Tensor):
        found = found.detach().cpu().double().numpy()
    return found.astype(np.float64)


def _probs(values: Any, rows: int) -> np.ndarray:
    """What a model says, (rows, C)."""
    found = _double(values, "the model's answer")
    if found.ndim != 2 or len(found) != rows:
        raise ValueError(f"a model must answer ({rows}, C) probabilities, got {check.what(found)}")
    return found


def _shares(weights: check.Numbers | None, models: int) -> np.ndarray:
    if weights is None:
        return np.full(models, 1 / models)
    share = np.array(check.numbers(weights, "weights", length=models, low=0))
    if not share.sum() > 0:
        raise ValueError(f"weights must not all be 0, got {share.tolist()}")
    return share / share.sum()


def _home(generator: torch.Generator | None) -> torch.device | str:
    return "cpu" if generator is None else generator.device
