"""Numbers and sequences come in every form: Python's, NumPy's, torch's; what is neither is a clear error.

One table of calls. Each is made with every form of its numbers, and must give what it gives with Python's own.
"""

import random

import numpy as np
import pytest
import torch
from torch import nn

from tutorial_lib.lab.calibration import calibration_error, reliability
from tutorial_lib.lab.claims import bootstrap_interval
from tutorial_lib.lab.clinical_notes import add_dirt, clinical_notes
from tutorial_lib.lab.datasets import load_digits_split, load_ecg_task, long_tailed_counts, long_tailed_digits
from tutorial_lib.lab.ecg import ecg_signals
from tutorial_lib.lab.intervals import (
    holm,
    p_value,
    pairs_needed,
    power_to_decide,
    power_to_equate,
    prediction_interval,
    smallest_effect,
    student_interval,
)
from tutorial_lib.lab.phantoms import cell_phantoms, instance_boxes, phantoms
from tutorial_lib.lab.records import electronic_records
from tutorial_lib.lab.runtime import seed_everything
from tutorial_lib.lab.splits import split_rows
from tutorial_lib.lab.stars import random_star, star_distance
from tutorial_lib.lab.training import batches, compare, fit, predict

P, Y = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0])


def trained(epochs, patience):
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
    data = batches(torch.ones(4, 1), torch.ones(4, 1), batch_size=2, shuffle=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])  # noqa: E731
    score = {"validate": lambda model: {"score": 0.0}, "monitor": "score"}
    return len(fit(model, data, step, epochs=epochs, optimizer=optimizer, patience=patience, **score).rows)


CALLS = {
    "bootstrap_interval": (bootstrap_interval, dict(differences=[1.0, 2.0, 4.0], level=0.5)),
    "student_interval": (student_interval, dict(differences=[1.0, 2.0, 4.0], level=0.5)),
    "prediction_interval": (prediction_interval, dict(differences=[1.0, 2.0, 4.0], pairs=3, level=0.5)),
    "p_value": (p_value, dict(differences=[1.0, 2.0, 4.0], at=0.5)),
    "power_to_decide": (power_to_decide, dict(effect=0.5, spread=2.0, pairs=8, level=0.5)),
    "power_to_equate": (power_to_equate, dict(effect=0.5, spread=2.0, pairs=8, margin=1.0, level=0.5)),
    "smallest_effect": (smallest_effect, dict(spread=2.0, pairs=8, level=0.5, power=0.75)),
    "pairs_needed": (
        lambda **given: pairs_needed(margin=None, **given),
        dict(effect=0.5, spread=2.0, level=0.5, power=0.75),
    ),
    "holm": (holm, dict(values=[0.25, 0.5, 0.0], level=0.5)),
    "reliability": (lambda bins: reliability(P, Y, bins=bins), dict(bins=4)),
    "calibration_error": (lambda bins: calibration_error(P, Y, bins=bins), dict(bins=4)),
    "clinical_notes": (clinical_notes, dict(n=4, dirt=0.5, seed=3)),
    "electronic_records": (electronic_records, dict(n=2, seed=3)),
    "add_dirt": (lambda dirt: add_dirt("No fever.", dirt=dirt, rng=random.Random(1)), dict(dirt=1.0)),
    "split_rows": (split_rows, dict(count=6, val=0.25, test=0.25, seed=1)),
    "split_rows, classes": (split_rows, dict(count=6, val=0.25, test=0.25, seed=1, stratify=[0, 0, 0, 1, 1, 1])),
    "split_rows, groups": (split_rows, dict(count=6, val=0.25, test=0.25, seed=1, groups=[0, 0, 1, 2, 2, 3])),
    "load_digits_split": (load_digits_split, dict(seed=1, val=0.25, test=0.25)),
    "ecg_signals": (ecg_signals, dict(count=2, seed=1, length=64, hz=32.0, noise=0.5)),
    "load_ecg_task": (load_ecg_task, dict(seed=1, train=2, val=1, test=1)),
    "long_tailed_counts": (long_tailed_counts, dict(classes=4, head=40, ratio=8.0)),
    "long_tailed_digits": (long_tailed_digits, dict(seed=1, head=20, ratio=4.0, val=2, test=3)),
    "phantoms": (phantoms, dict(count=1, seed=1, shape=[16, 20], noise=0.5, bias=0.25, look_alikes=1, fade=0.5)),
    "cell_phantoms": (
        cell_phantoms,
        dict(count=1, seed=1, shape=[32, 40], cells=3, radius=[2.0, 4.0], noise=0.5, bias=0.25, crowding=0.5),
    ),
    "random_star": (lambda shape: random_star(shape, np.random.default_rng(0)), dict(shape=[32, 40])),
    "seed_everything": (lambda seed: seed_everything(seed).initial_seed(), dict(seed=7)),
    "batches": (
        lambda batch_size: [len(x) for (x,) in batches(torch.arange(5), batch_size=batch_size)],
        dict(batch_size=2),
    ),
    "predict": (lambda batch_size: predict(nn.Flatten(), torch.ones(5, 2), batch_size=batch_size), dict(batch_size=2)),
    "fit": (trained, dict(epochs=4, patience=2)),
    "compare": (
        lambda seeds: compare(lambda method, seed: {}, ["a"], seeds).seed.tolist(),
        dict(seeds=[3, 1]),
    ),
}
FORMS = {
    "numpy": lambda value: np.asarray(value)[()],
    "narrow numpy": lambda value: np.asarray(value, np.float32 if _is_float(value) else np.int16)[()],
    "big-endian": lambda value: np.asarray(value, ">f4" if _is_float(value) else ">i2")[()],
    "array without axes": lambda value: np.asarray(value),
    "torch": torch.tensor,
    "half": lambda value: torch.tensor(value, dtype=torch.bfloat16 if _is_float(value) else torch.uint8),
}


def _is_float(value) -> bool:
    return isinstance(value[0] if isinstance(value, list) else value, float)


def same(one, other) -> bool:
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | torch.Tensor):
        return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=one.dtype in (torch.float32, torch.float64))
    return one == other


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_every_form_of_a_number_is_one(call, form):
    function, arguments = CALLS[call]
    assert same(function(**{name: FORMS[form](value) for name, value in arguments.items()}), function(**arguments))


WRONG = [True, "3", None, 1 + 2j, float("nan"), [[1, 2], [3, 4]], {"a": 1}, np.ma.masked_array([1, 2], [True, False])]
MAY_BE_NONE = [("fit", "patience"), ("split_rows, classes", "stratify"), ("split_rows, groups", "groups")]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__ + str(value)[:4])
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_number_is_an_error_that_names_the_argument(call, wrong):
    function, arguments = CALLS[call]
    for name in arguments:
        if wrong is None and (call, name) in MAY_BE_NONE:
            continue
        with pytest.raises(ValueError, match=rf"\b{name}\b.*got "):
            function(**{**arguments, name: wrong})


def test_arrays_come_from_anywhere():
    labels = np.array([[0, 1, 1], [0, 1, 0], [2, 0, 0]])
    points = np.array([[3.0, 0.0], [0.5, 1.0]])
    star = random_star((32, 32), np.random.default_rng(0))
    for form in (torch.tensor, lambda a: a.astype(a.dtype.newbyteorder(">")), lambda a: np.asfortranarray(a)):
        np.testing.assert_array_equal(instance_boxes(form(labels)), instance_boxes(labels))
        np.testing.assert_array_equal(star_distance(form(points), star), star_distance(points, star))
    with pytest.raises(ValueError, match="instances .*mask"):
        instance_boxes(np.ma.masked_array(labels, labels == 2))
    with pytest.raises(ValueError, match="points .*mask"):
        star_distance(np.ma.masked_array(points, points == 3), star)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_wide(dtype):
    """Many classes: in half precision their sum is no 1, and a mean of many losses soon overflows."""
    p = torch.rand(64, 1000, generator=torch.Generator().manual_seed(0)).softmax(1).to(dtype)
    y = torch.randint(1000, (64,), generator=torch.Generator().manual_seed(1))
    assert calibration_error(p, y) == pytest.approx(
        calibration_error(p.double() / p.double().sum(1, keepdim=True), y), abs=1e-2
    )
    model = nn.Linear(1, 1, dtype=dtype)
    data = batches(torch.ones(4096, 1, dtype=dtype), batch_size=64)
    loss = lambda model, batch: (0 * model(batch[0])).mean() + 100.0  # noqa: E731
    history = fit(model, data, loss, epochs=1, optimizer=torch.optim.SGD(model.parameters(), lr=0.0))
    assert history.rows[0]["loss"] == pytest.approx(100.0)
