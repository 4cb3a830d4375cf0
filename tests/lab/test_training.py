"""The loop: it trains, keeps the best weights, stops, and never hides a failure."""

import copy

import pytest
import torch
from torch import nn

from tutorial_lib.lab import batches, compare, fit, predict


def problem(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    torch.manual_seed(seed)
    model = nn.Linear(3, 1)
    return model, x, y


def mse(model, batch):
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def sgd(model, lr=0.05):
    return torch.optim.SGD(model.parameters(), lr=lr)


def test_it_learns_and_reports_every_epoch():
    model, x, y = problem()
    history = fit(model, batches(x, y, batch_size=16), mse, epochs=40, optimizer=sgd(model))
    assert [row["epoch"] for row in history.rows] == list(range(1, 41))
    assert history.column("loss")[-1] < 1e-2 * history.column("loss")[0]
    assert list(history.frame().columns) == ["epoch", "loss"]


def test_it_takes_the_same_steps_as_a_loop_written_by_hand():
    model, x, y = problem()
    twin = copy.deepcopy(model)
    fit(model, batches(x, y, batch_size=10, shuffle=False), mse, epochs=3, optimizer=sgd(model))
    optimizer = sgd(twin)
    for _ in range(3):
        for rows in torch.arange(64).split(10):
            optimizer.zero_grad()
            nn.functional.mse_loss(twin(x[rows]), y[rows]).backward()
            optimizer.step()
    assert torch.equal(model.weight, twin.weight)


def test_the_epochs_loss_is_the_mean_over_rows_also_with_a_short_last_batch():
    model, x, y = problem()
    frozen = torch.optim.SGD(model.parameters(), lr=0.0)
    history = fit(model, batches(x, y, batch_size=48, shuffle=False), mse, epochs=1, optimizer=frozen)
    assert history.column("loss")[0] == pytest.approx(mse(model, (x, y)).item(), rel=1e-5)


def test_same_seed_same_weights():
    weights = []
    for _ in range(2):
        model, x, y = problem()
        train = batches(x, y, batch_size=16, generator=torch.Generator().manual_seed(7))
        fit(model, train, mse, epochs=3, optimizer=sgd(model))
        weights.append(model.weight.detach().clone())
    assert torch.equal(*weights)


def test_best_weights_come_back_and_patience_stops():
    model, x, y = problem()
    scores = iter([1.0, 3.0, 2.0, 1.0, 9.0])
    states = []

    def validate(model):
        states.append(copy.deepcopy(model.state_dict()))
        return {"score": next(scores)}

    history = fit(
        model,
        batches(x, y, batch_size=16),
        mse,
        epochs=5,
        optimizer=sgd(model),
        validate=validate,
        monitor="score",
        patience=2,
        restore_best=True,
    )
    assert (history.best_epoch, history.best["score"], history.stopped_early) == (2, 3.0, True)
    assert len(history.rows) == 4
    assert torch.equal(model.weight, states[1]["weight"])
    assert not torch.equal(states[1]["weight"], states[3]["weight"])


def test_mode_min_takes_the_smallest():
    model, x, y = problem()
    scores = iter([2.0, 1.0, 3.0])
    history = fit(
        model,
        batches(x, y, batch_size=64),
        mse,
        epochs=3,
        optimizer=sgd(model),
        validate=lambda model: {"score": next(scores)},
        monitor="score",
        mode="min",
    )
    assert history.best_epoch == 2


def test_a_step_that_did_its_own_backward_is_not_run_twice():
    model, x, y = problem()
    twin = copy.deepcopy(model)

    def own_backward(model, batch):
        loss = mse(model, batch)
        loss.backward()
        return loss.detach()

    train = batches(x, y, batch_size=16, shuffle=False)
    fit(model, train, own_backward, epochs=2, optimizer=sgd(model))
    fit(twin, train, mse, epochs=2, optimizer=sgd(twin))
    assert torch.equal(model.weight, twin.weight)


def test_validation_runs_in_eval_mode_and_training_in_train_mode():
    model = nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.5)).eval()
    _, x, y = problem()
    seen = []

    def step(model, batch):
        seen.append(("train", model.training))
        return mse(model, batch)

    def validate(model):
        seen.append(("validate", model.training))
        assert not torch.is_grad_enabled()
        return {}

    fit(model, batches(x, y, batch_size=64), step, epochs=2, optimizer=sgd(model), validate=validate)
    assert seen == [("train", True), ("validate", False)] * 2
    assert not model.training, "the caller's mode comes back"


def test_the_scheduler_steps_once_an_epoch():
    model, x, y = problem()
    optimizer = sgd(model, lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    fit(model, batches(x, y, batch_size=8), mse, epochs=2, optimizer=optimizer, scheduler=scheduler)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_a_loss_that_explodes_is_an_error_that_names_the_epoch():
    model, x, y = problem()
    with pytest.raises(FloatingPointError, match="epoch"):
        fit(model, batches(x, y, batch_size=8), mse, epochs=200, optimizer=sgd(model, lr=1e6))


def test_bad_arguments():
    model, x, y = problem()
    train, optimizer = batches(x, y, batch_size=8), sgd(model)
    with pytest.raises(ValueError, match="epochs"):
        fit(model, train, mse, epochs=-1, optimizer=optimizer)
    with pytest.raises(ValueError, match="monitor"):
        fit(model, train, mse, epochs=1, optimizer=optimizer, patience=1)
    with pytest.raises(ValueError, match="validate"):
        fit(model, train, mse, epochs=1, optimizer=optimizer, monitor="score")
    with pytest.raises(ValueError, match="'f1' is not among"):
        fit(model, train, mse, epochs=1, optimizer=optimizer, monitor="f1", validate=lambda model: {"score": 1})
    with pytest.raises(ValueError, match="no batch"):
        fit(model, iter([]), mse, epochs=1, optimizer=optimizer)
    with pytest.raises(ValueError, match="mode"):
        fit(model, train, mse, epochs=1, optimizer=optimizer, mode="best")
    with pytest.raises(ValueError, match="equal length"):
        batches(x, y[:3], batch_size=8)
    with pytest.raises(ValueError, match="batch_size"):
        batches(x, batch_size=0)
    with pytest.raises(ValueError, match="at least one tensor"):
        batches(batch_size=2)
    with pytest.raises(ValueError, match="no best epoch"):
        fit(model, train, mse, epochs=1, optimizer=optimizer).best  # noqa: B018
    with pytest.raises(ValueError, match="no column 'f1'"):
        fit(model, train, mse, epochs=1, optimizer=optimizer).column("f1")


def test_batches_give_every_row_once_in_a_new_order():
    data = batches(torch.arange(10), batch_size=4, generator=torch.Generator().manual_seed(0))
    first, second = (torch.cat([x for (x,) in data]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert len(data) == 3


def test_predict_keeps_the_mode_and_takes_no_rows():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)).train()
    x = torch.randn(7, 3)
    logits = predict(model, x, batch_size=3)
    assert model.training and not logits.requires_grad
    assert torch.allclose(logits, model[0](x))
    assert predict(model, x[:0]).shape == (0, 2)


def test_compare_gives_paired_rows():
    table = compare(lambda method, seed, rate: {"score": seed * rate}, ["a", "b"], range(3), rate=2)
    assert table.shape == (6, 4)
    assert (table.groupby("seed")["score"].nunique() == 1).all()
    assert table["rate"].eq(2).all()
    with pytest.raises(ValueError, match="seeds"):
        compare(lambda method, seed: {}, ["a"], [1, 1])
    with pytest.raises(ValueError, match="methods"):
        compare(lambda method, seed: {}, [], [1])
