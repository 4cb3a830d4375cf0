"""The edge-case matrix of chapter 04: every stored row is what the library says, live or in tests/vectors."""

import io
import json
import math

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from tutorial_lib.metrics import confusion_matrix, segmentation_scores, surface_distances

VECTORS = json.loads((ROOT / "tests" / "vectors" / "metrics_edge_cases.json").read_text(encoding="utf-8"))


def cell(word):
    """Run the chapter's cell that holds ``word`` and return its names."""
    found = [
        one.source
        for one in nbformat.read(ROOT / "notebooks" / "04_metrics.ipynb", as_version=4).cells
        if one.cell_type == "code" and word in one.source
    ]
    assert len(found) == 1, word
    kept = found[0].split("\nfigure")[0]  # no drawing
    from sklearn import metrics as sklearn_metrics

    scope = {
        "np": np, "pd": pd, "io": io, "sklearn_metrics": sklearn_metrics, "confusion_matrix": confusion_matrix,
        "segmentation_scores": segmentation_scores, "surface_distances": surface_distances,
    }  # fmt: skip
    if word != "def edge_cases":
        scope["edge_cases"] = CASES
    if word == "def live_rows":
        scope["stored"] = STORED
    exec(kept, scope)
    return scope


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


CASES = cell("def edge_cases")["edge_cases"]
STORED = cell('STORED = """')["stored"]
NAMES = list(CASES())
ROWS = {(row["metric"], row["library"]): {name: row[name] for name in NAMES} for row in STORED.to_dict("records")}


def same(text, value):
    """Whether the chapter's text stands for this answer; numbers to the four digits it shows."""
    if isinstance(value, str) or text.endswith("Error"):
        return text == value
    return math.isclose(float(text), value, abs_tol=5.1e-5) or math.isnan(float(text)) and math.isnan(value)


def answers(function):
    found = {}
    for name, case in CASES().items():
        try:
            found[name] = float(torch.as_tensor(function(*case)).squeeze())
        except Exception as error:
            found[name] = type(error).__name__
    return found


def test_the_comparison_can_fail():
    assert (
        same("1.0308", 1.03077)
        and same("nan", math.nan)
        and same("inf", math.inf)
        and same("RuntimeError", "RuntimeError")
    )
    assert not same("1.0308", 1.0309) and not same("nan", 0.0) and not same("0", math.nan) and not same("inf", 3.0)
    assert not same("RuntimeError", 0.0) and not same("0", "RuntimeError") and not same("-1", math.nan)


def test_the_masks_are_the_ones_that_the_stored_answers_belong_to():
    assert list(VECTORS["masks"]) == NAMES
    for name, (pred, truth, spacing) in CASES().items():
        there = VECTORS["masks"][name]
        assert np.packbits(pred).tobytes().hex() == there["pred"]
        assert np.packbits(truth).tobytes().hex() == there["truth"]
        assert list(spacing) == there["spacing"]


def test_stored_rows_of_medpy_and_surface_distance():
    theirs = {(row["metric"], row["library"]): row for row in VECTORS["rows"]}
    ours = {key: row for key, row in ROWS.items() if key[1].startswith(("medpy", "surface-distance"))}
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        for name in NAMES:
            value = theirs[key][name]
            value = float(value) if value in ("nan", "inf") else value
            assert same(row[name], value), (key, name, value)


def test_surface_distance_breaks_under_numpy_2():
    empties = NAMES[3:]
    rows = {row["metric"]: row for row in VECTORS["rows, NumPy 2"]}
    assert all(rows[metric][name] == "AttributeError" for metric in ("HD", "HD95") for name in empties)
    assert rows["Dice"]["both empty"] == "AttributeError" and rows["Dice"]["nothing found"] == 0
    assert not any(isinstance(row[name], str) for row in rows.values() for name in NAMES[:3])


def monai_rows():
    import monai.metrics as monai

    def one(mask):
        return torch.tensor(mask)[None, None]

    def distance(function, **options):
        return lambda p, t, s: function(one(p), one(t), include_background=True, spacing=s, **options)

    return {
        ("Dice", "MONAI"): lambda p, t, s: monai.compute_dice(one(p), one(t)),
        ("Dice", "MONAI, ignore_empty=False"): lambda p, t, s: monai.compute_dice(one(p), one(t), ignore_empty=False),
        ("IoU", "MONAI"): lambda p, t, s: monai.compute_iou(one(p), one(t)),
        ("HD", "MONAI"): distance(monai.compute_hausdorff_distance),
        ("HD95", "MONAI"): distance(monai.compute_hausdorff_distance, percentile=95),
        ("ASD", "MONAI"): distance(monai.compute_average_surface_distance),
        ("ASSD", "MONAI, symmetric=True"): distance(monai.compute_average_surface_distance, symmetric=True),
        ("NSD at 1 mm", "MONAI"): distance(monai.compute_surface_dice, class_thresholds=[1.0]),
    }


def torchmetrics_rows():
    from torchmetrics.functional import segmentation
    from torchmetrics.functional.classification import binary_f1_score

    def two(mask):
        mask = torch.tensor(mask)
        return torch.stack([~mask, mask])[None].int()

    options = {"num_classes": 2, "include_background": False}
    return {
        ("Dice", "torchmetrics dice_score"): lambda p, t, s: segmentation.dice_score(
            two(p), two(t), average="none", **options
        ),
        ("Dice", "torchmetrics binary_f1_score"): lambda p, t, s: binary_f1_score(
            torch.tensor(p).int(), torch.tensor(t).int()
        ),
        ("IoU", "torchmetrics mean_iou"): lambda p, t, s: segmentation.mean_iou(
            two(p), two(t), per_class=True, **options
        ),
        ("HD", "torchmetrics hausdorff_distance"): lambda p, t, s: segmentation.hausdorff_distance(
            two(p), two(t), spacing=list(s), **options
        ),
    }


@pytest.mark.filterwarnings("ignore")
def test_stored_rows_of_monai_and_torchmetrics():
    live = monai_rows() | torchmetrics_rows()
    assert live.keys() == {key for key in ROWS if key[1].startswith(("MONAI", "torchmetrics"))}
    for key, function in live.items():
        for name, value in answers(function).items():
            assert same(ROWS[key][name], value), (key, name, value)


@pytest.mark.filterwarnings("ignore")
def test_monais_mean_of_nothing_is_zero():
    from monai.metrics import DiceMetric

    metric, nothing = DiceMetric(), torch.zeros(2, 1, 8, 8)
    assert torch.isnan(metric(nothing, nothing)).all()
    assert metric.aggregate().item() == 0


def test_every_version_named_is_the_version_meant():
    text = cell('STORED = """')["VERSIONS"]
    for library, version in VECTORS["versions"].items():
        assert library == "numpy" or f"{library} {version}" in text


def test_live_rows():
    rows = cell("def live_rows")["live_rows"]()
    table = {(row["metric"], row["library"]): row for row in rows.to_dict("records")}
    assert len(table) == 10
    for metric in ("Dice", "IoU"):
        sklearns = next(row for key, row in table.items() if key[0] == metric and "scikit-learn" in key[1])
        assert sklearns["both empty"] == "0" and table[metric, "ours"]["both empty"] == "nan"
    for (metric, library), row in table.items():
        if library.startswith("ours") and metric.startswith(("HD", "AS")):
            assert [row[name] for name in NAMES[3:]] == ["nan"] * 3
    assert table["HD95", "ours, pooled=True"]["far island"] == ROWS["HD95", "medpy hd95"]["far island"]
    assert table["HD95", "ours, pooled=False"]["far island"] == ROWS["HD95", "MONAI"]["far island"]
