r"""Many labels to a sample: scores, thresholds, folds that keep rare labels, and pseudo-labels.

====================================  ===========================================================================
:func:`f1_scores`                     F1 in its five meanings, of which two are called "macro"
:func:`tune_thresholds`               where to cut the probabilities, for each label, with care for rare ones
:func:`stratified_folds`              folds in which each label is as frequent as in the whole set
:func:`pseudo_labels`                 which rows without labels may teach, and what
====================================  ===========================================================================

Arrays and tensors have a row a sample and a column a label, (N, C). Answers are NumPy arrays. One classifier a label,
and chains of them, are scikit-learn's ``MultiOutputClassifier`` and ``ClassifierChain``. Taught in chapter 12.
"""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np

from . import _arguments as check
from ._kernels.dealt import deal
from ._kernels.ranked import Ranked, best_first

__all__ = [
    "F1Scores",
    "PseudoLabels",
    "Thresholds",
    "f1_scores",
    "pseudo_labels",
    "stratified_folds",
    "tune_thresholds",
]

#: Places at which the common threshold is tried.
CUTS = 1000

# --- F1 -------------------------------------------------------------------------------------------------------------


class F1Scores(NamedTuple):
    """What :func:`f1_scores` returns."""

    macro: float
    """Mean over the labels of their F1. scikit-learn's."""
    macro_of_means: float
    """F1 of the labels' mean precision and mean recall. CAML's and PLM-ICD's code call this one macro-F1."""
    micro: float
    """F1 of all decisions together: frequent labels decide it."""
    samples: float
    """Mean over the rows of a row's F1."""
    per_label: np.ndarray
    """(C,) F1 of each label; nan where it is neither there nor predicted."""
    precision: np.ndarray
    """(C,) share of a label's predictions that are right; nan where it is never predicted."""
    recall: np.ndarray
    """(C,) share of a label's samples that were found; nan where it has none."""
    support: np.ndarray
    """(C,) int64, samples that have the label."""


def f1_scores(pred: Any, target: Any, *, empty: str | float = "skip") -> F1Scores:
    r"""F1 of many labels, in each of its meanings at once.

    .. math:: F_c = \frac{2\, tp_c}{2\, tp_c + fp_c + fn_c}, \qquad
              \text{macro} = \frac1C \sum_c F_c, \qquad
              \text{macro of means} = \frac{2 \bar P \bar R}{\bar P + \bar R}, \qquad
              \text{micro} = \frac{2 \sum_c tp_c}{\sum_c (2\, tp_c + fp_c + fn_c)}

    The two macro scores can lie half a point apart and put two systems in different orders: with precisions (1, .1) and
    recalls (.1, 1) they are .18 and .55. Say which one you report.

    Args:
        pred: (N, C) bool or 0/1, what was predicted.
        target: (N, C) bool or 0/1, the truth.
        empty: what a label (in ``samples``: a row) is worth that is neither there nor predicted, 0/0. ``"skip"``: it is
            left out of the mean; or a number from 0 to 1. (scikit-learn's default is 0, which punishes a right answer;
            ``zero_division`` sets it.) In ``macro_of_means`` a label that is there and never predicted has precision
            0, one that is predicted and never there recall 0, whatever this says.

    Returns:
        :class:`F1Scores`; a mean over nothing is nan.

    Raises:
        ValueError: if the shapes differ or are not (N, C), a value is neither 0 nor 1, or ``empty`` is out of range.

    References:
        Opitz & Burst, Macro F1 and Macro F1 (arXiv:1911.03347).

    >>> scores = f1_scores([[1, 1], [0, 1]], [[1, 0], [1, 1]])
    >>> round(scores.macro, 3), round(scores.macro_of_means, 3), round(scores.micro, 3), round(scores.samples, 3)
    (0.667, 0.75, 0.667, 0.667)
    """
    given, truth = check.pair(pred, target)
    p, t = _bits(given, "pred"), _bits(truth, "target")
    worth = None if isinstance(empty, str) else check.number(empty, "empty", low=0, high=1)
    if worth is None:
        check.choice(empty, "empty", ("skip",))
    both = p & t
    hit, predicted, there = both.sum(0), p.sum(0), t.sum(0)
    with np.errstate(invalid="ignore"):
        per_label, precision, recall = 2 * hit / (predicted + there), hit / predicted, hit / there
        by_row = 2 * both.sum(1) / (p.sum(1) + t.sum(1))
        micro = float(2 * hit.sum() / (predicted.sum() + there.sum()))
    somewhere = predicted + there > 0  # 0/0 for one of the two: nothing of it was right
    means = [_mean(np.where(somewhere, np.nan_to_num(share), np.nan), worth) for share in (precision, recall)]
    low = sum(means) == 0
    return F1Scores(
        macro=_mean(per_label, worth),
        macro_of_means=0.0 if low else 2 * means[0] * means[1] / sum(means),
        micro=micro if worth is None or micro == micro else worth,
        samples=_mean(by_row, worth),
        per_label=per_label,
        precision=precision,
        recall=recall,
        support=there,
    )


def _mean(values: np.ndarray, worth: float | None) -> float:
    values = values[~np.isnan(values)] if worth is None else np.where(np.isnan(values), worth, values)
    return float(values.mean()) if len(values) else float("nan")


# --- Thresholds -----------------------------------------------------------------------------------------------------


class Thresholds(NamedTuple):
    """What :func:`tune_thresholds` returns; predict with ``probs >= thresholds``."""

    thresholds: np.ndarray
    """(C,) where to cut each label."""
    best: np.ndarray
    """(C,) the threshold that is best for the label alone; nan for a label without a positive."""
    best_f1: np.ndarray
    """(C,) its F1, on the rows it was chosen on: too high for others, most of all for rare labels."""
    common: float
    """The one threshold for all labels whose macro-F1 is best, of a thousand tried."""


def tune_thresholds(probs: Any, target: Any, *, rule: str = "label", strength: float = 20.0) -> Thresholds:
    r"""Choose the thresholds that give the best F1, for each label, for all together, or between the two.

    .. math:: \theta_c = \frac{n_c}{n_c + s}\, \theta_c^{best} + \frac{s}{n_c + s}\, \theta^{common}

    with :math:`n_c` positives of the label and strength s: that is ``rule="shrunk"``. A threshold tuned on four
    positives is a matter of luck, and its luck does not last; shrinking it towards the common one keeps what the
    label's own data can carry. It pays where the labels' scores are of one kind, as calibrated probabilities are. Where
    rare labels have lower scores than frequent ones, the common threshold fits none of them, and shrinking costs.

    Where probabilities are calibrated, the best threshold is half of the best F1, never above one half; so one that was
    tuned says something about calibration, too. For a label that nothing predicts, the best answer is yes to all, at
    any threshold up to the label's frequency b, with :math:`F = 2 b / (1 + b)`.

    Use out-of-fold probabilities. On the rows that the model was trained on they are too sure of themselves.

    Args:
        probs: (N, C) probabilities or other scores, finite; a threshold lies half-way between two of them.
        target: (N, C) bool or 0/1.
        rule: ``"label"``: each label's own best; ``"common"``: one for all; ``"shrunk"``: between the two.
        strength: s of ``"shrunk"``, in positives; at 0 it is each label's own.

    Returns:
        :class:`Thresholds`. Of equally good ones the highest is taken: the fewest predictions. A label without a
        positive has the common one.

    Raises:
        ValueError: if the shapes differ or are not (N, C), there is no row, a value is not finite or neither 0 nor 1,
            or no label has a positive.

    References:
        Lipton, Elkan & Narayanaswamy, Thresholding Classifiers to Maximize F1 Score, ECML 2014 (arXiv:1402.1892).

    >>> probs, target = [[0.9], [0.6], [0.4], [0.1]], [[1], [0], [1], [0]]
    >>> found = tune_thresholds(probs, target)
    >>> found.thresholds.tolist(), found.best_f1.tolist()
    ([0.25], [0.8])
    """
    check.choice(rule, "rule", ("label", "common", "shrunk"))
    strength = check.number(strength, "strength", low=0)
    given, truth = check.pair(probs, target, ("probs", "target"))
    p, t = _scores(given, "probs"), _bits(truth, "target")
    positives = t.sum(0)
    if not positives.any():
        raise ValueError(f"target must have a positive of some label, got none in {check.what(truth)}")
    ranked = [best_first(p[:, label], t[:, label]) for label in range(p.shape[1])]
    best, best_f1 = _best_each(ranked, positives)
    common = _best_common(ranked, positives)
    own = np.where(np.isnan(best), common, best)
    if rule == "common":
        thresholds = np.full(len(own), common)
    else:
        share = 1.0 if rule == "label" or strength == 0 else positives / (positives + strength)
        thresholds = share * own + (1 - share) * common
    return Thresholds(thresholds, best, best_f1, common)


def _best_each(ranked: list[Ranked], positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut each label's rows, best first, after the k-th: F1 = 2 hits / (k + positives)."""
    thresholds, best = np.full(len(ranked), np.nan), np.full(len(ranked), np.nan)
    for label in np.flatnonzero(positives):
        scores, hits = ranked[label]
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + positives[label])
        f1[:-1][scores[:-1] == scores[1:]] = -1  # equal probabilities are on one side
        last = int(f1.argmax())
        thresholds[label], best[label] = _between(scores, last), f1[last]
    return thresholds, best


def _best_common(ranked: list[Ranked], positives: np.ndarray) -> float:
    """The cut with the best macro-F1, among the scores, or among a thousand of them, evenly spaced in their order."""
    labels = np.flatnonzero(positives)
    every = np.unique(np.concatenate([ranked[label][0] for label in labels]))[::-1]
    cuts = every[np.unique(np.linspace(0, len(every) - 1, CUTS).round().astype(np.int64))]
    total = np.zeros(len(cuts))
    for label in labels:
        scores, hits = ranked[label]
        taken = len(scores) - np.searchsorted(scores[::-1], cuts)  # how many are at least the cut
        total += 2 * np.where(taken > 0, hits[taken - 1], 0) / (taken + positives[label])
    # Rounded: the order of a sum must not decide between equals.
    last = int(np.round(total, 9).argmax())
    return _between(every, int(np.flatnonzero(every == cuts[last])[0]))


def _between(scores: np.ndarray, last: int) -> float:
    """Half-way between the last score that is taken and the next; the lowest score where all are taken."""
    if last + 1 == len(scores):
        return float(scores[last])
    middle = (scores[last] + scores[last + 1]) / 2
    return float(middle if middle > scores[last + 1] else scores[last])  # of two neighbours in floating point


# --- Folds ----------------------------------------------------------------------------------------------------------


def stratified_folds(
    target: Any, folds: int, *, groups: Iterable[Hashable] | None = None, seed: int | None = None
) -> np.ndarray:
    """Deal rows with many labels to folds so that each label is as frequent in every fold as in the whole set.

    The rarest label still to be dealt goes first, while there is room for it: each of its rows goes to the fold that
    wants most of this label, of equals to the one that wants most rows, of equals at random. Rows without a label fill
    up. Plain stratification would need each *combination* of labels often enough.

    A label with fewer rows than folds is missing in some fold. Look before you trust its score.

    Args:
        target: (N, C) bool or 0/1.
        folds: k, at least 2.
        groups: (N,) the patient, or whatever must not be torn apart, of each row. Then groups are dealt, by the sums of
            their rows' labels, and a fold may be larger than another by a group.
        seed: of the order and of ties; ``None``: another one each time.

    Returns:
        (N,) int64, the fold of each row, from 0. Pairs for scikit-learn: ``(np.flatnonzero(fold != k),
        np.flatnonzero(fold == k))``, or its ``PredefinedSplit(fold)``.

    Raises:
        ValueError: if ``target`` is not (N, C) of 0 and 1, ``folds`` is below 2 or above the number of rows (of
            groups), or ``groups`` has another length.

    References:
        Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-label Data, ECML 2011, algorithm 1.

    >>> target = np.repeat([[0, 0], [0, 1], [1, 1], [1, 0]], 2, axis=0)
    >>> fold = stratified_folds(target, 2, seed=0)
    >>> [target[fold == k].sum(0).tolist() for k in range(2)]
    [[2, 2], [2, 2]]
    """
    has = _bits(check.array(target, "target"), "target")
    folds = check.whole(folds, "folds", low=2)
    rng = np.random.default_rng(None if seed is None else check.whole(seed, "seed", low=0))
    if groups is None:
        counts, size, member = has, np.ones(len(has), np.int64), None
    else:
        names = list(groups)
        if len(names) != len(has):
            raise ValueError(f"groups must have one name a row, {len(has)}, got {len(names)}")
        number = {name: place for place, name in enumerate(dict.fromkeys(names))}
        member = np.array([number[name] for name in names], np.int64)
        size, counts = np.bincount(member, minlength=len(number)), np.zeros((len(number), has.shape[1]), np.int64)
        np.add.at(counts, member, has)
    if folds > len(counts):
        what = "rows" if member is None else "groups"
        raise ValueError(f"folds must be at most the {what}, {len(counts)}, got {folds}")
    fold = deal(counts, size, folds, rng)
    return fold if member is None else fold[member]


# --- Pseudo-labels ----------------------------------------------------------------------------------------------------


class PseudoLabels(NamedTuple):
    """What :func:`pseudo_labels` returns."""

    rows: np.ndarray
    """(M,) int64, the rows that may teach."""
    labels: np.ndarray
    """(M,) int64 classes; under ``"two_sided"`` (M, C) int64 of 1, 0, and -1 for a label that is left open."""


def pseudo_labels(
    probs: Any,
    *,
    rule: str = "threshold",
    threshold: float = 0.95,
    low: float = 0.05,
    share: float = 0.2,
    ids: Iterable[Hashable] | None = None,
    held_out: Iterable[Hashable] = (),
) -> PseudoLabels:
    r"""Choose, of rows without labels, those of which a model is sure, and what they teach.

    * ``"threshold"``: one class a row; the rows with :math:`\max_c p_c \ge` ``threshold``. Frequent classes get more
      than their share: the model is surer of them.
    * ``"balanced"``: one class a row; of the rows predicted as a class the surest ``share``, for each class. A class
      that is never predicted still gets none.
    * ``"two_sided"``: many labels a row; 1 where :math:`p \ge` ``threshold``, 0 where :math:`p \le` ``low``, -1
      between, which :func:`tutorial_lib.losses.sigmoid_focal_loss` leaves out as its ``ignore_index``.

    A row that also stands in the validation or test set would report its own training: it is an error here.

    Args:
        probs: (N, C) probabilities.
        rule: as above.
        threshold: from 0 to 1.
        low: below ``threshold``; of ``"two_sided"``.
        share: of ``"balanced"``, above 0 and at most 1; at least one row of each class predicted.
        ids: (N,) names of the rows, or the texts themselves, which finds duplicates, too.
        held_out: names (or texts) of the rows that judge.

    Returns:
        :class:`PseudoLabels`, rows ascending; under ``"two_sided"`` those with at least one label that is not open.

    Raises:
        ValueError: if ``probs`` is not (N, C) from 0 to 1, an option is out of range, or a row is held out.

    References:
        Lee, Pseudo-Label, ICML workshop 2013; Sohn et al., FixMatch, NeurIPS 2020 (arXiv:2001.07685).

    >>> probs = [[0.97, 0.03], [0.6, 0.4], [0.3, 0.7]]
    >>> pseudo_labels(probs).rows.tolist(), pseudo_labels(probs, rule="balanced", share=0.5).rows.tolist()
    ([0], [0, 2])
    """
    check.choice(rule, "rule", ("threshold", "balanced", "two_sided"))
    threshold = check.number(threshold, "threshold", low=0, high=1)
    p = _scores(check.array(probs, "probs"), "probs")
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(f"probs must be in [0, 1], got {p.min() if p.min() < 0 else p.max():.6g}")
    _refuse_held_out(len(p), ids, held_out)
    if rule == "two_sided":
        low = check.number(low, "low", low=0, below=threshold)
        labels = np.where(p >= threshold, 1, np.where(p <= low, 0, -1))
        rows = np.flatnonzero((labels >= 0).any(1))
        return PseudoLabels(rows, labels[rows])
    if not p.shape[1]:
        raise ValueError(f"probs must have at least one class, got {check.what(p)}")
    classes, sure = p.argmax(1), p.max(1, initial=0)
    if rule == "threshold":
        rows = np.flatnonzero(sure >= threshold)
    else:
        share = check.number(share, "share", above=0, high=1)
        some = [np.flatnonzero(classes == label) for label in range(p.shape[1])]
        best = [part[np.argsort(-sure[part], kind="stable")][: max(1, round(share * len(part)))] for part in some]
        rows = np.sort(np.concatenate(best))
    return PseudoLabels(rows, classes[rows])


def _refuse_held_out(number: int, ids: Iterable[Hashable] | None, held_out: Iterable[Hashable]) -> None:
    held = set(held_out)
    if ids is None:
        if held:
            raise ValueError("ids must be given where rows are held out, got None")
        return
    names = list(ids)
    if len(names) != number:
        raise ValueError(f"ids must have one name a row, {number}, got {len(names)}")
    both = [place for place, name in enumerate(names) if name in held]
    if both:
        raise ValueError(
            f"ids must not name rows that are held out, got {len(both)} that are, first row {both[0]}: "
            f"{check.what(names[both[0]])}"
        )


# --- Arguments ------------------------------------------------------------------------------------------------------


def _numpy(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()


def _bits(values: Any, name: str) -> np.ndarray:
    """(N, C) bools."""
    if values.ndim != 2:
        raise ValueError(f"{name} must be (N, C), a row a sample and a column a label, got {check.what(values)}")
    return check.mask(values, name)


def _scores(values: Any, name: str) -> np.ndarray:
    """(N, C) finite float64."""
    if values.ndim != 2:
        raise ValueError(f"{name} must be (N, C), a row a sample and a column a label, got {check.what(values)}")
    found = _numpy(values.float() if str(values.dtype) == "torch.bfloat16" else values).astype(np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {found[~np.isfinite(found)][0]:g}")
    return found
