"""Folds and thresholds of 50,000 rows with 100 labels, beside iterative-stratification and scikit-learn's curves."""

import numpy as np
from sklearn.metrics import precision_recall_curve

from benchmarks.bench_metrics import import_peer
from benchmarks.timing import medians, show
from tutorial_lib.multilabel import stratified_folds, tune_thresholds

ROWS, LABELS, FOLDS = 50_000, 100, 5
ITERATIVE = "iterative-stratification==0.1.9"


def main(peers: bool = False) -> None:
    rng = np.random.default_rng(0)
    share = np.exp(rng.uniform(-6, -1, LABELS))
    target = rng.random((ROWS, LABELS)) < share
    probs = np.clip(share * rng.random(target.shape) + 0.5 * target * rng.random(target.shape), 0, 1)
    functions = {"ours": lambda: stratified_folds(target, FOLDS, seed=0)}
    if peers:
        module = import_peer(ITERATIVE, "iterstrat.ml_stratifiers")
        split = module.MultilabelStratifiedKFold(FOLDS, shuffle=True, random_state=0).split
        functions["iterative-stratification"] = lambda: list(split(target, target.astype(int)))
    times = medians(functions, repetitions=5)
    title = f"{FOLDS} folds of {ROWS:,} rows with {LABELS} labels"
    show(title, times.pop("ours"), times, "20 x iterative-stratification")
    if not peers:
        print(f"    iterative-stratification: python -m benchmarks multilabel --peers (fetches {ITERATIVE})")

    times = medians(
        {"ours": lambda: tune_thresholds(probs, target), "curves": lambda: curves(probs, target)}, repetitions=5
    )
    title = f"thresholds of {LABELS} labels on {ROWS:,} rows"
    show(title, times.pop("ours"), {"scikit-learn's curve of each label": times["curves"]}, "under 300 ms")


def curves(probs: np.ndarray, target: np.ndarray) -> list[float]:
    """What one writes without us."""
    found = []
    for label in range(LABELS):
        precision, recall, cuts = precision_recall_curve(target[:, label], probs[:, label])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        found.append(float(cuts[f1[:-1].argmax()]))
    return found
