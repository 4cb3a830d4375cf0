"""Exercises of chapter 08: a plausible mistake is told by its name."""

import pytest
import torch
from conftest import exercise_answers
from torch import nn

from tutorial_lib.lab import check, claim, load_evidence
from tutorial_lib.networks import ChainedResidualPooling

NAME = "08_refinenet_unet3plus.ipynb"
W = 9 * 1024 * 64


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ((1024 * 64, 1024 * 64 * 400, 1024 * 64 * 102_400), "3 x 3"),
        ((W, W * 102_400, W * 400), "second number is for the map of 20 x 20"),
        ((W, W * 400, W * 6400), "256 times"),
        ((W, W * 400, W * 400), "used once for every place"),
        ((W + 64, W * 400, W * 102_400), "no bias"),
        ((576, 576 * 400, 576 * 102_400), "all 1,024"),
        ((1, 2, 3), "weights x places"),
        ((W, W * 400), "three numbers"),
        (W, "three numbers"),
        ("many", "three numbers"),
    ],
)
def test_branch_cost_hints(wrong, hint):
    result = check("resolution.branch_cost", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_branch_cost_is_what_a_layer_has():
    layer = nn.Conv2d(1024, 64, 3, padding=1, bias=False, device="meta")
    weights = layer.weight.numel()
    costs = [layer(torch.zeros(1, 1024, side, side, device="meta"))[0, 0].numel() * weights for side in (20, 320)]
    assert check("resolution.branch_cost", (weights, *costs), show=False).ok


def field(layers, *, stride=True, early=False, dilated=True, whole=False, start=1):
    seen, step = start, 1
    for kernel, by, dilation in layers:
        step = step * by if early else step
        seen += (kernel - (not whole)) * (dilation if dilated else 1) * step
        step = step * by if stride and not early else step
    return seen


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda layers: field(layers, stride=False), "2 pixels wide"),
        (lambda layers: field(layers, early=True), "not for itself"),
        (lambda layers: field(layers, dilated=False), "spans 17"),
        (lambda layers: field(layers, start=0), "no layer at all"),
        (lambda layers: field(layers, whole=True), "seen already"),
        (lambda layers: 0.5, "product of the strides"),
        (lambda layers: layers.nonsense, "AttributeError"),
        (3, "expected a function"),
    ],
)
def test_receptive_field_hints(wrong, hint):
    result = check("resolution.receptive_field", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_the_solution_tells_what_a_chain_of_poolings_sees():
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["resolution.receptive_field"]
    for stages in (1, 2, 3):
        chain, impulse = ChainedResidualPooling(1, stages=stages, kernel=1), torch.zeros(1, 1, 41, 41)
        for layer in chain.stages:
            nn.init.ones_(layer.weight)
        impulse[..., 20, 20] = 1
        assert solution([(5, 1, 1)] * stages) == int((chain(impulse) > 0).any(2).sum())


RIGHT = {"A": "in place", "B": "parallel", "C": "none", "D": "gate too early"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (RIGHT | {"A": "none"}, "added at the end"),
        (RIGHT | {"B": "none"}, "one bright pixel"),
        (RIGHT | {"C": "parallel"}, "section 3"),
        (RIGHT | {"D": "none"}, "through the sigmoid"),
        ({"A": "in place"}, "keys A, B, C, D"),
        (RIGHT | {"A": "typo"}, "keys A, B, C, D"),
        ("none", "keys A, B, C, D"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    result = check("resolution.find_the_bug", wrong, show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def made(ours="full", rival="plain", score="organ", margin=0.02, **asked):
    where = {"evidence": load_evidence("08_organs"), "score": score, "margin": margin, "show": False}
    return claim("UNet 3+ is better", ours, rival, **where, **asked)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda: made("plain", "full"), "favoured method comes first"),
        (lambda: made(score="thin"), "that is the vessel"),
        (lambda: made("plain", "full", score="thin"), "the column is 'organ'"),
        (lambda: made(score="gland"), "score 'organ'"),
        (lambda: made(margin=0.5), "proves nothing"),
        (lambda: made(asks="not worse"), "asks='better'"),
        (lambda: claim("better", [1.0, 2, 3, 4, 5], [0.0, 1, 2, 3, 3], show=False), "evidence="),
        (lambda: "supported", "what claim"),
    ],
)
def test_large_organ_hints(wrong, hint):
    result = check("resolution.large_organ", wrong(), show=False)
    assert result.status == "wrong" and hint in result.message, result.message


def test_large_organ():
    assert check("resolution.large_organ", made(), show=False).ok
