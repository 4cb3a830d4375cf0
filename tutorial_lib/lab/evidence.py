"""Evidence: the stored runs of many seeds on which a chapter's verdicts rest, and the seeds that are fresh to it."""

from dataclasses import dataclass, field
from typing import Any

from .results import load_result


@dataclass(frozen=True)
class Evidence:
    """Paired scores of many seeds, as ``tutorial evidence`` stored them.

    Attributes:
        name: the file's name in ``results/``, without ``.json``.
        table: a pandas DataFrame, one run a row: ``method``, ``seed``, the settings, and the scores.
        about: the rest of the file: ``command``, ``cells`` (the hash of the code that ran), ``parameters``,
            ``versions``, ``machine``, ``seconds``.
    """

    name: str
    table: Any = field(repr=False)
    about: dict = field(repr=False)

    @property
    def seeds(self) -> list[int]:
        """The seeds that any of its runs has used, ascending."""
        return sorted({int(seed) for seed in self.table["seed"]})

    def fresh(self, table):
        """Return a table as it is, if none of its seeds is one of the evidence's.

        Args:
            table: what :func:`compare` gave.

        Raises:
            ValueError: naming the seeds that are no longer fresh.
        """
        used = sorted({int(seed) for seed in table["seed"]} & set(self.seeds))
        if used:
            raise ValueError(f"live seeds must be none of the evidence's, got {used} of {self.name}")
        return table

    def summary(self, scores: list[str]):
        """Return mean, standard deviation and number of seeds of each score, a row a method.

        Args:
            scores: columns of the table.

        Returns:
            A DataFrame with a column ``seeds``, and for each score its mean and ``NAME ±`` over seeds.
        """
        groups = self.table.groupby("method", sort=False)
        shown = groups["seed"].nunique().to_frame("seeds")
        for score in scores:
            shown[score], shown[f"{score} ±"] = groups[score].mean(), groups[score].std(ddof=1)
        return shown

    def describe(self) -> str:
        """Return one line: how many runs and seeds, how long they took, where, and the command that makes them."""
        hours = self.about["seconds"] / 3600
        spent = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
        return (
            f"{self.name}: {len(self.table)} runs, {len(self.seeds)} seeds, {spent} of running "
            f"({self.about['machine']}, torch {self.about['versions'].get('torch')}); `{self.about['command']}`"
        )


def load_evidence(name: str) -> Evidence:
    """Read the evidence of a chapter; it came with the package, nothing is run.

    Args:
        name: a file of ``results/``, without ``.json``.

    Returns:
        The :class:`Evidence`.

    Raises:
        FileNotFoundError: if there is none of that name.
        ValueError: if the file is a stored result of another kind.
    """
    import pandas as pd

    record = load_result(name)
    missing = [key for key in ("cells", "command", "machine", "seconds", "versions", "rows") if key not in record]
    if missing:
        raise ValueError(f"name must be evidence, made by `tutorial evidence`, got {name!r} without {missing[0]!r}")
    rows = record.pop("rows")
    return Evidence(name, pd.DataFrame(rows), record)
