"""Claims on evidence: four verdicts, three questions, the live check, and the forest plot of a chapter."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tutorial_lib.lab import claim, load_evidence, verdicts
from tutorial_lib.lab.claims import CLAIM_MIME, pairs
from tutorial_lib.lab.evidence import Evidence
from tutorial_lib.lab.forest import forest


def made(effects, seeds=range(40), spread=0.01, start=0):
    """A table in which a method's score differs from A's by its effect, give or take."""
    rng, rows = np.random.default_rng(start), []
    for seed in seeds:
        common = rng.normal(0.7, 0.05)
        rows += [{"method": "A", "seed": seed, "dice": common}]
        rows += [
            {"method": name, "seed": seed, "dice": common + effect + spread * rng.normal()}
            for name, effect in effects.items()
        ]
    return pd.DataFrame(rows)


EFFECTS = {"better": 0.03, "worse": -0.03, "same": 0.0, "tiny": 0.006, "near": 0.018}
STORED = Evidence("made", made(EFFECTS), {})


def test(name, asks="better", margin=0.01, spread=None, **more):
    stored = STORED if spread is None else Evidence("made", made(EFFECTS, spread=spread), {})
    return claim(
        f"{name} and A", name, "A", evidence=stored, score="dice", margin=margin, asks=asks, show=False, **more
    )


test.__test__ = False


@pytest.mark.parametrize(
    ("name", "asks", "spread", "verdict"),
    [
        ("better", "better", 0.01, "supported"),
        ("worse", "better", 0.01, "refuted"),
        ("same", "better", 0.01, "no difference"),
        ("same", "better", 0.2, "open"),
        ("tiny", "better", 0.002, "supported"),  # sure, although smaller than the margin
        ("same", "equal", 0.01, "supported"),
        ("tiny", "equal", 0.002, "supported"),
        ("better", "equal", 0.01, "refuted"),
        ("worse", "equal", 0.01, "refuted"),
        ("near", "equal", 0.05, "open"),
        ("same", "not worse", 0.01, "supported"),
        ("better", "not worse", 0.01, "supported"),
        ("worse", "not worse", 0.01, "refuted"),
        ("same", "not worse", 0.2, "open"),
    ],
)
def test_verdicts_follow_the_99_percent_interval_and_the_margin(name, asks, spread, verdict):
    result = test(name, asks, spread=spread)
    assert result.verdict == verdict
    assert (result.level, result.seeds, result.margin) == (0.99, 40, 0.01)
    assert (result.needed is not None) == (verdict == "open")
    # The p-value is the α at which the verdict would turn.
    assert (result.p < 0.01) == (verdict != "open")


def test_a_sure_effect_below_the_margin_says_so():
    assert "smaller than the margin" in str(test("tiny", spread=0.002))
    assert "smaller than the margin" not in str(test("better"))


def test_an_open_claim_says_how_many_seeds_would_settle_it_and_what_these_could_have_shown():
    result = test("same", spread=0.2)
    assert result.needed > 100 and result.visible > 0.1
    assert f"about {result.needed} seeds would settle it" in str(result)
    assert f"could have shown {result.visible:.4f}" in " ".join(str(result).split())
    # So many seeds do settle a claim of that effect and spread, four times in five.
    rng, settled = np.random.default_rng(0), 0
    noise = np.linspace(-1, 1, 12)
    near = claim("x", 0.018 + 0.06 * noise, 0 * noise, margin=0.01, show=False)
    assert near.verdict == "open" and near.needed > 12
    for _ in range(200):
        scores = near.effect + 0.06 * noise.std(ddof=1) * rng.normal(size=near.needed)
        settled += claim("x", scores, 0 * scores, margin=0.01, show=False).verdict != "open"
    assert 0.6 < settled / 200 < 1


def test_lower_is_better_turns_the_sign_and_only_that():
    up, down = test("better"), test("worse", better="lower")
    assert up.verdict == down.verdict == "supported" and down.effect > 0


def test_fresh_seeds_that_agree_and_fresh_seeds_that_do_not():
    good = test("better", live=made(EFFECTS, seeds=range(100, 103), start=9))
    assert good.agrees is True and len(good.live) == 3 and "3 fresh seeds agree" in str(good)
    bad = test("better", live=made({"better": -0.2}, seeds=range(100, 103)))
    assert bad.agrees is False and bad.verdict == "supported" and "DISAGREE" in str(bad)
    one = test("better", live=made(EFFECTS, seeds=[100]))
    assert one.agrees is True and len(one.live) == 1
    assert test("better", live=made({"other": 0.0}, seeds=[100])).agrees is None


def test_a_seed_of_the_evidence_is_not_fresh():
    with pytest.raises(ValueError, match=r"live seeds must be none of the evidence's, got \[39\]"):
        test("better", live=made(EFFECTS, seeds=[39, 100]))


def test_where_the_evidence_does_not_vary_the_margin_is_the_measure():
    flat = Evidence("flat", made({"B": 0.02}, spread=0.0).round(12), {})
    rows = {"method": ["A", "B"], "seed": [100, 100]}
    for score, agrees in ((0.5205, True), (0.6, False)):
        live = pd.DataFrame(rows | {"dice": [0.5, score]})
        result = claim("x", "B", "A", evidence=flat, score="dice", margin=0.01, live=live, show=False)
        # Differences of sums that were rounded are equal up to their last bits.
        assert result.verdict == "supported" and result.agrees is agrees


def test_holms_correction_opens_the_weakest():
    weak = made({f"m{i}": 0.0 for i in range(7)} | {"weak": 0.0031}, spread=0.01, start=4)
    stored = Evidence("weak", weak, {})
    claims = [
        claim(name, name, "A", evidence=stored, score="dice", margin=0.001, show=False)
        for name in ["weak", *(f"m{i}" for i in range(7))]
    ]
    assert claims[0].verdict == "supported" and 0.01 / 8 < claims[0].p < 0.01
    corrected = verdicts(claims, show=False)
    assert corrected[0].corrected == "open" and corrected[0].verdict == "supported"
    assert "Holm" in str(corrected[0])
    assert verdicts(claims[:1], show=False)[0].corrected == "supported"


def test_a_chapter_is_closed_with_its_records_a_sentence_on_chance_and_one_figure(monkeypatch, capsys):
    shown = []
    plt.close("all")
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    live = made({"better": -0.2, "same": 0.0}, seeds=range(100, 103))
    claims = verdicts([test("better", live=live), test("same", live=live)])
    assert [data[CLAIM_MIME]["statement"] for data in shown] == ["better and A", "same and A"]
    record = json.loads(json.dumps(shown[0][CLAIM_MIME]))
    assert (record["agrees"], record["corrected"], record["level"]) == (False, "supported", 0.99)
    assert len(record["live"]) == 3 and len(record["expected"]) == 2
    assert "color" in shown[0]["text/html"] and "text/html" not in shown[1]
    assert "chance alone would call about 0.02 of these 2 claims" in " ".join(capsys.readouterr().out.split())
    assert len(plt.get_fignums()) <= 1
    plt.close("all")
    figure = forest(claims, show=False)
    said = " ".join(text.get_text() for text in figure.findobj(plt.Text))
    for words in ("better and A", "✔ supported", "live seeds disagree", "= no difference", "margin", "n = 40"):
        assert words in said
    plt.close(figure)


def test_a_forest_shows_effects_of_different_units_in_their_margins():
    wide = claim("millimetres", np.full(20, 3.0) + np.linspace(0, 1, 20), np.zeros(20), margin=1.0, show=False)
    narrow = claim("Dice", np.full(20, 0.03) + np.linspace(0, 0.01, 20), np.zeros(20), margin=0.01, show=False)
    figure = forest([wide, narrow], show=False)
    bars = [line.get_xdata() for line in figure.axes[0].lines if line.get_linewidth() == 3.2]
    assert bars[0] == pytest.approx(bars[1])
    plt.close(figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": None}, "margin must be the smallest difference that would matter"),
        ({"margin": 0.0}, "margin"),
        ({"margin": float("inf")}, "margin"),
        ({"asks": "worse"}, "asks"),
        ({"score": "iou"}, "score must name a column"),
        ({"ours": "C"}, "method"),
    ],
)
def test_bad_arguments_are_a_clear_error(change, message):
    arguments = {"ours": "better", "baseline": "A", "score": "dice", "margin": 0.01} | change
    with pytest.raises(ValueError, match=message):
        claim("x", evidence=STORED, show=False, **arguments)


def test_live_without_evidence_and_claims_without_margin_are_refused():
    with pytest.raises(ValueError, match="evidence"):
        claim("x", [1.0, 2.0], [0.0, 0.0], margin=1, live=STORED.table, show=False)
    with pytest.raises(ValueError, match="margin"):
        verdicts([claim("x", [1.0, 2.0], [0.0, 0.0], show=False)])
    with pytest.raises(ValueError, match="at least one"):
        verdicts([])


def test_pairs_are_the_common_seeds_in_order():
    table = made({"B": 0.1}, seeds=[3, 1, 2])
    table = table[~((table["method"] == "A") & (table["seed"] == 2))]
    ours, baseline = pairs(table, "B", "A", "dice")
    assert len(ours) == len(baseline) == 2 and np.all(ours > baseline)
    with pytest.raises(ValueError, match="in common, got 1"):
        pairs(table[table["seed"] != 1], "B", "A", "dice")


def test_evidence_is_read_with_what_it_says_of_itself(monkeypatch, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr("tutorial_lib.lab.results.results_folder", lambda: folder)
    about = {"command": "tutorial evidence 01", "machine": "a processor", "seconds": 90, "versions": {"torch": "2"}}
    rows = [{"method": "A", "seed": 1, "dice": 0.5}, {"method": "A", "seed": 0, "dice": 0.7}]
    (folder / "01_made.json").write_text(json.dumps({**about, "cells": "abc", "rows": rows}))
    stored = load_evidence("01_made")
    assert stored.seeds == [0, 1] and stored.summary(["dice"]).loc["A", "dice"] == pytest.approx(0.6)
    assert "2 runs, 2 seeds, 2 min" in stored.describe() and "tutorial evidence 01" in stored.describe()
    (folder / "01_other.json").write_text(json.dumps({**about, "rows": rows}))
    with pytest.raises(ValueError, match="must be evidence"):
        load_evidence("01_other")
    with pytest.raises(FileNotFoundError):
        load_evidence("01_missing")
