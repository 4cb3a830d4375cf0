"""Claims: a sentence fixed before the run, paired scores, an interval, a verdict."""

import math
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from .._arguments import Numbers, array, choice, listed, number, what
from .lines import fold

#: The three verdicts and their signs: in notebooks, report and README alike.
VERDICTS = {"supported": "✔", "refuted": "✘", "open": "○"}

CLAIM_MIME = "application/vnd.tutorial.claim+json"
LEVEL = 0.95
_EXACT_UP_TO = 8  # 6,435 distinct resamples of eight pairs; beyond that, draw
_DRAWS = 20_000


@dataclass(frozen=True)
class Claim:
    """A tested claim. ``verdict`` is ``"supported"``, ``"refuted"`` or ``"open"``.

    Attributes:
        statement: the sentence, as it was fixed before the run.
        effect: mean paired difference; positive means that the claim's side is better.
        low: lower end of the 95 % interval.
        high: upper end.
        seeds: number of pairs.
        verdict: *supported* if the interval lies above zero, *refuted* if below, *open* if it holds zero.
        better: ``"higher"`` or ``"lower"``: which scores are good.
    """

    statement: str
    effect: float
    low: float
    high: float
    seeds: int
    verdict: str
    better: str

    def __str__(self) -> str:
        return fold(
            f"{VERDICTS[self.verdict]} {self.verdict.upper()}: {self.statement}\n"
            f"  effect {self.effect:+.4f}, 95 % interval [{self.low:+.4f}, {self.high:+.4f}]\n"
            f"  {self.seeds} paired seeds, {self.better} is better"
        )


def bootstrap_interval(differences: Numbers, *, level: float = LEVEL) -> tuple[float, float]:
    r"""Return the bootstrap interval of the mean of paired differences, widened for few pairs.

    The plain percentile interval is too short for a handful of seeds: with five normal differences its 95 % holds the
    truth about 83 % of the time. We read the bootstrap distribution at the *expanded* percentiles
    :math:`\Phi\left(\mp\sqrt{n/(n-1)}\;t_{n-1}\right)`, which match the width of Student's interval. Five pairs then
    reach about 91 %, eight about 94 %. Three pairs reach 76 %, since no resample lies outside the data: use five seeds
    or more. Up to eight pairs every resample is enumerated, so the answer holds no chance at all; beyond that 20,000
    resamples are drawn from a fixed seed.

    Args:
        differences: (n,) paired differences, n ≥ 2, finite.
        level: the confidence level.

    Returns:
        ``(low, high)``.

    Raises:
        ValueError: if there are fewer than two differences, or one is not finite.

    References:
        Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015: expanded
        percentiles.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 2.0, 2.0])
    >>> bool(low > 0 and high < 4)
    True
    """
    from scipy import stats  # here: the tables of the command line read VERDICTS, and need no SciPy

    differences, level = _double(differences, "differences"), number(level, "level", above=0, below=1)
    n = differences.size
    if differences.ndim != 1 or n < 2:
        raise ValueError(f"differences must be at least two paired differences, got shape {differences.shape}")
    if not np.isfinite(differences).all():
        raise ValueError(f"differences must be finite, got {differences.tolist()}")
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1))
    if n <= _EXACT_UP_TO:
        picks = np.array(list(combinations_with_replacement(range(n), n)))
        counts = (picks[:, :, None] == np.arange(n)).sum(axis=1)  # (resamples, n): how often each pair was drawn
        log_weight = math.lgamma(n + 1) - np.vectorize(math.lgamma)(counts + 1.0).sum(axis=1) - n * math.log(n)
        means, weights = counts @ differences / n, np.exp(log_weight)
    else:
        picks = np.random.default_rng(0).integers(n, size=(_DRAWS, n))
        means, weights = differences[picks].mean(axis=1), np.full(_DRAWS, 1 / _DRAWS)
    order = np.argsort(means, kind="stable")
    means, below = means[order], np.cumsum(weights[order])
    low = means[np.searchsorted(below, tail)]
    high = means[min(np.searchsorted(below, 1 - tail), len(means) - 1)]
    return float(low), float(high)


def paired(table: Any, method: str, score: str, **where: Any) -> np.ndarray:
    """Take one method's scores out of a table of runs, one a seed, in the order of the seeds.

    The scores of two methods, taken for the same ``where``, are *paired*: :func:`claim` may subtract them.

    Args:
        table: what :func:`~tutorial_lib.lab.compare` returns: a row a run, with the columns ``method`` and ``seed``.
        method: whose runs.
        score: the column of the scores.
        **where: further columns, each with the value that tells the wanted runs from the others.

    Returns:
        (n,) float64, one score a seed.

    Raises:
        ValueError: if the table has no such column, no run is as described, or a seed has several: then the error
            names the columns in which they differ.

    >>> import pandas as pd
    >>> rows = [("mixup", 1, 0.9), ("mixup", 0, 0.8), ("plain", 0, 0.7), ("plain", 1, 0.8)]
    >>> table = pd.DataFrame(rows, columns=["method", "seed", "accuracy"])
    >>> paired(table, "mixup", "accuracy") - paired(table, "plain", "accuracy")
    array([0.1, 0.1])
    """
    columns = [str(column) for column in getattr(table, "columns", ())]
    if not {"method", "seed"} <= set(columns):
        has = f"the columns {listed(columns)}" if columns else what(table)
        raise ValueError(f"table must have the columns 'method' and 'seed', as that of compare, got {has}")
    for name, column in (("score", score), *(("where", column) for column in where)):
        if column not in columns:
            raise ValueError(f"{name} must name a column of table ({listed(columns)}), got {column!r}")
    rows = table
    for column, value in {"method": method, **where}.items():
        there = rows[column].unique().tolist()
        rows = rows[rows[column] == value]
        if rows.empty:
            raise ValueError(f"{column} must be one of {', '.join(map(repr, there))}, got {value!r}")
    rows = rows.sort_values("seed")
    if not rows["seed"].is_unique:
        again = rows[rows["seed"] == rows["seed"][rows["seed"].duplicated()].iloc[0]]
        differ = [column for column in columns if again[column].nunique(dropna=False) > 1]
        raise ValueError(
            f"where must leave one run of {method!r} a seed, got {len(again)} with seed {again['seed'].iloc[0]}"
            + (f", which differ in {listed(differ)}" if differ else "")
        )
    if rows[score].dtype.kind not in "buif":
        raise ValueError(f"score must name a column of numbers, got {score!r}, which holds {what(rows[score].iloc[0])}")
    return rows[score].to_numpy(float)


def claim(
    statement: str,
    ours: Numbers,
    baseline: Numbers,
    *,
    better: str = "higher",
    show: bool = True,
) -> Claim:
    """Test a claim on paired scores: mean difference, 95 % interval, verdict.

    Write the statement before the run. A claim that comes out *open* or *refuted* stays in the chapter.

    Args:
        statement: what is claimed, in one sentence.
        ours: (n,) scores of the side that the claim favours, one a seed.
        baseline: (n,) scores of the other side, the same seeds in the same order.
        better: ``"higher"`` or ``"lower"``.
        show: print the verdict and draw the pairs.

    Returns:
        The :class:`Claim`.

    Raises:
        ValueError: if the statement is empty, the scores are not paired or not finite, there are fewer than
            two, or ``better`` is unknown.

    >>> claim("B beats A", [3, 4, 5, 4, 4], [1, 2, 2, 2, 1], show=False).verdict
    'supported'
    """
    if not str(statement).strip():
        raise ValueError("statement must say what is claimed, got an empty text")
    better = choice(better, "better", ("higher", "lower"))
    ours, baseline = _double(ours, "ours"), _double(baseline, "baseline")
    if ours.ndim != 1 or ours.shape != baseline.shape:
        raise ValueError(f"ours and baseline must be paired 1-D scores, got shapes {ours.shape} and {baseline.shape}")
    for name, scores in (("ours", ours), ("baseline", baseline)):
        if not np.isfinite(scores).all():
            raise ValueError(f"{name} must be finite, got {scores.tolist()}")
    differences = (ours - baseline) * (1 if better == "higher" else -1)
    low, high = bootstrap_interval(differences)
    verdict = "supported" if low > 0 else "refuted" if high < 0 else "open"
    result = Claim(
        statement=str(statement).strip(),
        effect=float(differences.mean()),
        low=low,
        high=high,
        seeds=len(differences),
        verdict=verdict,
        better=better,
    )
    if show:
        _show(result, differences)
    return result


def _double(values: Any, name: str) -> np.ndarray:
    """Scores as float64 on the CPU, whatever holds them."""
    values = array(values, name)
    return np.asarray(values if isinstance(values, np.ndarray) else values.detach().cpu().double(), dtype=float)


def _show(result: Claim, differences: np.ndarray) -> None:
    from IPython.display import display

    from .plots import claim_strip

    record = asdict(result)
    display({CLAIM_MIME: record, "text/plain": str(result)}, raw=True)
    claim_strip(result, differences)
