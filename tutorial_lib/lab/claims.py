"""Claims: a sentence and a margin fixed before the run, paired scores, an interval, a verdict, and a live check."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import Numbers, choice, listed, number, string, what
from .intervals import (
    as_double,
    bootstrap_interval,
    p_value,
    pairs_needed,
    prediction_interval,
    smallest_effect,
    student_interval,
)
from .lines import fold

if TYPE_CHECKING:
    from .evidence import Evidence

#: The verdicts and their signs: in notebooks, report and README alike.
VERDICTS = {"supported": "✔", "refuted": "✘", "open": "○", "no difference": "="}

CLAIM_MIME = "application/vnd.tutorial.claim+json"
LEVEL = 0.95  # of a look at a chapter's own few seeds
SURE = 0.99  # of a verdict on evidence
AGREES = 0.9999  # how often the live check passes when nothing is wrong
_ASKS = ("better", "equal", "not worse")


@dataclass(frozen=True)
class Claim:
    """A tested claim.

    Attributes:
        statement: the sentence, as it was fixed before the run.
        effect: mean paired difference; positive means that the claim's side is better.
        low: lower end of the interval.
        high: upper end.
        seeds: number of pairs.
        verdict: ``"supported"``, ``"refuted"``, ``"no difference"`` or ``"open"``; see :func:`claim`.
        better: ``"higher"`` or ``"lower"``: which scores are good.
        level: of the interval.
        margin: the smallest difference that would matter; ``None``: a look at a few seeds, without evidence.
        asks: ``"better"``, ``"equal"`` or ``"not worse"``.
        p: the smallest α at which the verdict would still be this one; for an open claim, the α at which it would end.
        corrected: the verdict after Holm's correction over the chapter's claims; ``None`` before ``verdicts``.
        needed: of an open claim, how many pairs would settle it with a power of 80 %; ``None`` if over 100,000.
        visible: the smallest true effect that so many pairs would have shown with a power of 80 %.
        live: paired differences of the fresh seeds, signed like ``effect``; empty without a live check.
        expected: where their mean must lie, or ``None`` without a live check.
        agrees: whether it lies there; ``None`` without a live check.
    """

    statement: str
    effect: float
    low: float
    high: float
    seeds: int
    verdict: str
    better: str
    level: float = LEVEL
    margin: float | None = None
    asks: str = "better"
    p: float | None = None
    corrected: str | None = None
    needed: int | None = None
    visible: float | None = None
    live: tuple[float, ...] = ()
    expected: tuple[float, float] | None = None
    agrees: bool | None = None

    def __str__(self) -> str:
        lines = [
            f"{VERDICTS[self.verdict]} {self.verdict.upper()}: {self.statement}",
            f"  effect {self.effect:+.4f}, {self.level:.0%} interval [{self.low:+.4f}, {self.high:+.4f}]".replace(
                "%", " %"
            ),
            f"  {self.seeds} paired seeds, {self.better} is better",
        ]
        if self.margin is not None:
            lines[2] += f", margin {self.margin:g}"
        if self.verdict == "supported" and self.asks == "better" and self.margin and self.high < self.margin:
            lines.append("  sure, but smaller than the margin")
        if self.verdict == "open" and self.margin is not None:
            enough = "more than 100,000 seeds" if self.needed is None else f"about {self.needed} seeds"
            lines.append(
                f"  {enough} would settle it (power 80 %); these {self.seeds} could have shown {self.visible:.4f}"
            )
        if self.corrected not in (None, self.verdict):
            lines.append(f"  after Holm's correction over the chapter's claims: {self.corrected}")
        if self.agrees is not None and self.expected is not None:
            word = "agree" if self.agrees else "DISAGREE"
            lines.append(
                f"  {len(self.live)} fresh seeds {word}: {np.mean(self.live):+.4f}, "
                f"expected in [{self.expected[0]:+.4f}, {self.expected[1]:+.4f}]"
            )
        return fold("\n".join(lines))

    def record(self) -> dict:
        """Return what the reports keep of it, as JSON data; what does not apply is left out."""
        fields = asdict(self)
        if self.margin is None:
            kept = ("statement", "effect", "low", "high", "seeds", "verdict", "better")
            return {name: fields[name] for name in kept}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


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


def pairs(table: Any, ours: str, baseline: str, score: str, *, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Take two methods' scores out of a table of runs, on the seeds that both have.

    Args:
        table: as for :func:`paired`.
        ours, baseline: two methods.
        score: the column of the scores.
        least: how many seeds they must have in common.

    Returns:
        Two (n,) float64 arrays, one score a seed, in the order of the seeds.

    Raises:
        ValueError: as :func:`paired`, or if the two have fewer seeds in common.

    >>> import pandas as pd
    >>> rows = [("A", 0, 1.0), ("A", 1, 2.0), ("B", 1, 3.0), ("B", 0, 4.0), ("B", 2, 5.0)]
    >>> pairs(pd.DataFrame(rows, columns=["method", "seed", "f1"]), "B", "A", "f1")
    (array([4., 3.]), array([1., 2.]))
    """
    for method in (ours, baseline):
        paired(table, method, score)
    seeds = [set(table["seed"][table["method"] == method]) for method in (ours, baseline)]
    both = seeds[0] & seeds[1]
    if len(both) < least:
        raise ValueError(f"{ours!r} and {baseline!r} must have at least {least} seeds in common, got {len(both)}")
    table = table[table["seed"].isin(both)]
    return paired(table, ours, score), paired(table, baseline, score)


def claim(
    statement: str,
    ours: Numbers | str,
    baseline: Numbers | str,
    *,
    margin: float | None = None,
    evidence: "Evidence | None" = None,
    score: str | None = None,
    live=None,
    asks: str = "better",
    better: str = "higher",
    show: bool = True,
) -> Claim:
    r"""Test a claim on paired scores: mean difference, interval, verdict.

    With ``evidence`` and ``margin``, both fixed before the evidence is made, Student's interval at 99 % decides:

    =================  ======================  ===============================  ==========================
    ``asks``           supported               refuted                          no difference
    =================  ======================  ===============================  ==========================
    ``"better"``       interval above 0        interval below 0                 interval inside ±margin
    ``"equal"``        interval inside ±margin interval outside ±margin
    ``"not worse"``    interval above −margin  interval below −margin
    =================  ======================  ===============================  ==========================

    and all else is *open*: then the claim says how many seeds would settle it, and which effect these could have shown.
    Supported comes before no difference: an effect may be sure and yet smaller than the margin.

    ``live``, the table of a few fresh seeds, is held against the evidence: the mean of their differences must lie in
    the evidence's 99.99 % prediction interval. If it does not, the evidence, the code or the machine is at fault; the
    verdict stays the evidence's. (Where all stored differences are equal, it must lie within the margin of them.)

    Without a margin the scores are a chapter's own few seeds: the widened bootstrap at 95 %, and three verdicts.

    Args:
        statement: what is claimed, in one sentence. A claim that comes out *open* or *refuted* stays in the chapter.
        ours: with ``evidence``, the method that the claim favours; else its (n,) scores, one a seed.
        baseline: the other side, likewise; the same seeds in the same order.
        margin: the smallest difference that would matter, above 0, in the units of the score.
        evidence: from :func:`load_evidence`.
        score: with ``evidence``, the column that is compared.
        live: with ``evidence``, what :func:`compare` gave for fresh seeds; no live check where it lacks a method.
        asks: ``"better"``, ``"equal"`` or ``"not worse"``.
        better: ``"higher"`` or ``"lower"``.
        show: print the verdict and draw the pairs.

    Returns:
        The :class:`Claim`.

    Raises:
        ValueError: if the statement is empty, the scores are not paired or not finite, there are fewer than two, an
            option is unknown, the margin is missing or not above 0, or a live seed is one of the evidence's.

    >>> claim("B beats A", [3, 4, 5, 4, 4], [1, 2, 2, 2, 1], show=False).verdict
    'supported'
    >>> claim("C is as good as A", [1.0, 2.1, 3.0, 2.0], [1.1, 2.0, 3.0, 2.0], margin=1, show=False).verdict
    'no difference'
    """
    if not str(statement).strip():
        raise ValueError("statement must say what is claimed, got an empty text")
    better, asks = choice(better, "better", ("higher", "lower")), choice(asks, "asks", _ASKS)
    if margin is None and (evidence is not None or asks != "better"):
        raise ValueError("margin must be the smallest difference that would matter, got None")
    if margin is not None:
        margin = number(margin, "margin", above=0, finite=True)
    sign, fresh = (1 if better == "higher" else -1), ()  # type: int, tuple[float, ...]
    if evidence is not None:
        method, rival, column = string(ours, "ours"), string(baseline, "baseline"), string(score, "score")
        if live is not None:
            live = evidence.fresh(live)
            if {method, rival} <= set(live["method"]):
                mine, other = pairs(live, method, rival, column, least=1)
                fresh = tuple(float(value) for value in sign * (mine - other))
        ours, baseline = pairs(evidence.table, method, rival, column)
    elif live is not None or score is not None:
        raise ValueError("live and score need evidence=, from load_evidence")
    differences = sign * _paired(ours, baseline)
    if margin is None:
        low, high = bootstrap_interval(differences, level=LEVEL)
    else:
        low, high = student_interval(differences, level=SURE)
    result = Claim(
        statement=str(statement).strip(),
        effect=float(differences.mean()),
        low=low,
        high=high,
        seeds=len(differences),
        verdict=decide(low, high, margin, asks),
        better=better,
    )
    if margin is not None:
        result = _with_evidence(result, differences, margin, asks, fresh)
    if show:
        _show(result, differences)
    return result


def by_chance(levels: Sequence[float]) -> str:
    """Return one sentence: how many of so many verdicts chance alone would decide.

    Args:
        levels: the confidence level of each claim's interval.

    >>> by_chance([0.99] * 80 + [0.95] * 4)
    'If no method differed from another, chance alone would call about 1 of these 84 claims supported or refuted.'
    """
    expected = sum(1 - level for level in levels)
    number = f"{expected:.1g}" if expected < 0.95 else f"{expected:.0f}"
    return (
        f"If no method differed from another, chance alone would call about {number} of these {len(levels)} claims "
        "supported or refuted."
    )


def _paired(ours, baseline) -> np.ndarray:
    ours, baseline = as_double(ours, "ours"), as_double(baseline, "baseline")
    if ours.ndim != 1 or ours.shape != baseline.shape:
        raise ValueError(f"ours and baseline must be paired 1-D scores, got shapes {ours.shape} and {baseline.shape}")
    for name, scores in (("ours", ours), ("baseline", baseline)):
        if not np.isfinite(scores).all():
            raise ValueError(f"{name} must be finite, got {scores.tolist()}")
    return ours - baseline


def decide(low: float, high: float, margin: float | None, asks: str = "better") -> str:
    """Return the verdict that an interval and a margin allow; see :func:`claim`.

    >>> decide(-0.01, 0.03, 0.02), decide(-0.01, 0.01, 0.02), decide(-0.01, 0.03, 0.02, asks="not worse")
    ('open', 'no difference', 'supported')
    """
    room = margin or 0.0  # without a margin no interval lies inside it
    if asks == "not worse":
        return "supported" if low > -room else "refuted" if high < -room else "open"
    inside = -room < low and high < room
    if asks == "equal":
        return "supported" if inside else "refuted" if low > room or high < -room else "open"
    return "supported" if low > 0 else "refuted" if high < 0 else "no difference" if inside else "open"


def _with_evidence(result: Claim, differences: np.ndarray, margin: float, asks: str, fresh: tuple) -> Claim:
    spread, number, effect = float(differences.std(ddof=1)), len(differences), result.effect
    same = max(p_value(differences, at=-margin), p_value(differences, at=margin)) if abs(effect) < margin else 1.0
    if asks == "better":
        apart = p_value(differences)
        p = {"no difference": same, "open": min(same, apart)}.get(result.verdict, apart)
    elif asks == "equal":
        p = same if abs(effect) < margin else p_value(differences, at=math.copysign(margin, effect))
    else:
        p = p_value(differences, at=-margin)
    needed = None
    if result.verdict == "open":
        # "Not worse" asks whether effect + margin lies above zero.
        away, room = (effect + margin, None) if asks == "not worse" else (effect, margin)
        needed = pairs_needed(away, spread, margin=room, level=SURE)
    expected = agrees = None
    if fresh:
        expected = prediction_interval(differences, len(fresh), level=AGREES)
        if spread < 1e-9 * margin:  # rounding is all that is left
            expected = (result.effect - margin, result.effect + margin)
        agrees = bool(expected[0] <= np.mean(fresh) <= expected[1])
    return replace(
        result,
        level=SURE,
        margin=float(margin),
        asks=asks,
        p=p,
        needed=needed,
        visible=smallest_effect(spread, number, level=SURE),
        live=fresh,
        expected=expected,
        agrees=agrees,
    )


def _show(result: Claim, differences: np.ndarray) -> None:
    from .plots import claim_strip

    tell(result)
    if result.margin is None:
        claim_strip(result, differences)


def tell(result: Claim) -> None:
    """Show a claim in the notebook, with the record that the reports collect; in red where fresh seeds disagree.

    Args:
        result: from :func:`claim`.
    """
    from html import escape

    from IPython.display import display

    shown = {CLAIM_MIME: result.record(), "text/plain": str(result)}
    if result.agrees is False:
        shown["text/html"] = f'<pre style="color: #b3261e; font-weight: bold">{escape(str(result))}</pre>'
    display(shown, raw=True)
