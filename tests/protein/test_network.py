"""The network hides what it must, hears what it says, is blind to order; its losses by hand; bad input."""

import math

import pytest
import torch

from tutorial_lib.protein import (
    InverseFolding,
    build_backbone,
    inverse_folding_loss,
    join_environments,
    neighbour_features,
)


def chain(length, seed=0):
    rows = torch.rand(length, 3, generator=torch.Generator().manual_seed(seed)) * 4 - 2
    return build_backbone(rows)


def net(k=4, **more):
    torch.manual_seed(0)
    return InverseFolding(**{"width": 16, "depth": 2, "heads": 2, "k": k, **more}).eval()


def types(length, seed=0):
    return torch.randint(20, (length,), generator=torch.Generator().manual_seed(seed))


def test_a_residue_does_not_see_its_own_type_but_its_neighbours():
    seen, told = neighbour_features(chain(9), k=4), types(9)
    model = net()
    before = model(seen, told)["type"]
    other = told.clone()
    other[3] = (other[3] + 1) % 20
    changed = (model(seen, other)["type"] - before).abs().amax(1) > 1e-7
    hears = (seen.neighbours[:, 1:] == 3).any(1)
    assert not changed[3] and torch.equal(changed, hears)


def test_the_neighbours_order_does_not_matter():
    seen, told, model = neighbour_features(chain(9), k=4), types(9), net()
    order = torch.tensor([0, 3, 1, 4, 2])
    other = seen._replace(
        neighbours=seen.neighbours[:, order], spatial=seen.spatial[:, order], offset=seen.offset[:, order]
    )
    torch.testing.assert_close(model(other, told)["type"], model(seen, told)["type"])


def test_columns_that_are_not_there_are_not_seen():
    short, told, model = chain(3), types(3), net()
    padded = neighbour_features(short, k=4)
    spoiled = padded._replace(spatial=padded.spatial.masked_fill(~padded.present[..., None], 1e3))
    torch.testing.assert_close(model(spoiled, told)["type"], model(padded, told)["type"])


def test_rows_are_rows_and_chains_do_not_mix():
    one, two = neighbour_features(chain(6), k=4), neighbour_features(chain(8, 1), k=4)
    both, told, model = join_environments([one, two]), types(14), net()
    every = model(both, told)["type"]
    torch.testing.assert_close(model(both, told, torch.tensor([7, 2]))["type"], every[[7, 2]])
    torch.testing.assert_close(model(two, told[6:])["type"], every[6:])


@pytest.mark.parametrize(
    ("left_out", "field"), [("spatial", "spatial"), ("offset", "offset"), ("torsions", "torsions")]
)
def test_a_feature_that_is_left_out_changes_nothing(left_out, field):
    seen, told = neighbour_features(chain(9), k=4), types(9)
    spoiled = seen._replace(**{field: torch.zeros_like(getattr(seen, field))})
    without = net(features=[name for name in ("spatial", "offset", "types", "torsions") if name != left_out])
    torch.testing.assert_close(without(spoiled, told)["type"], without(seen, told)["type"])
    assert not torch.allclose(net()(spoiled, told)["type"], net()(seen, told)["type"])


def test_without_types_nobody_hears_anybody():
    model = net(features=("spatial", "offset", "torsions"))
    seen = neighbour_features(chain(9), k=4)
    torch.testing.assert_close(model(seen, types(9))["type"], model(seen, types(9, 1))["type"])
    assert not model.conditionals(chain(9)).hears.any()


def test_conditionals_are_the_networks_log_probabilities():
    backbone, told, model = chain(9), types(9), net(dropout=0.5).train()
    answer = model.conditionals(backbone)
    rows = torch.tensor([5, 0])
    got = answer(told, rows)
    assert model.training  # as it was
    model.eval()
    want = model(neighbour_features(backbone, k=4), told)["type"].log_softmax(-1)
    torch.testing.assert_close(got, want[rows])
    torch.testing.assert_close(got.exp().sum(1), torch.ones(2))
    assert torch.equal(answer.hears.sum(1), torch.full((9,), 4)) and not answer.hears.diagonal().any()


def test_it_learns_a_law_of_one_neighbour():
    """A residue is what the one before it is, plus one: the network has to find who that is."""
    told = torch.arange(40) % 20
    seen, model = neighbour_features(chain(40), k=4), net().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        loss, _ = inverse_folding_loss(model(seen, told), {"type": told})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3


# --- losses ---


def test_losses_by_hand():
    outputs = {
        "type": torch.tensor([[0.0, 0.0], [2.0, 0.0], [9.0, 9.0]]),
        "exposure": torch.tensor([[1.0], [3.0], [5.0]]),
        "chi1": torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, -3.0]]),
    }
    targets = {
        "type": torch.tensor([1, 0, -1]),
        "exposure": torch.tensor([2.0, 1.0, math.nan]),
        "chi1": torch.tensor([0.0, -math.pi / 2, math.pi]),
    }
    total, parts = inverse_folding_loss(outputs, targets, weights={"exposure": 0.2})
    assert parts["type"].item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-2))) / 2)
    assert parts["exposure"].item() == pytest.approx(1.5)
    assert parts["chi1"].item() == pytest.approx((0 + 2 + 0) / 3, abs=1e-6)
    assert total.item() == pytest.approx(parts["type"].item() + 0.2 * 1.5 + parts["chi1"].item())


def test_the_published_loss_minds_where_the_circle_is_cut():
    predicted, true = math.radians(-179), math.radians(179)
    published = abs(predicted - true) / math.pi
    ours, _ = inverse_folding_loss(
        {"chi1": torch.tensor([[math.sin(predicted), math.cos(predicted)]])}, {"chi1": torch.tensor([true])}
    )
    assert published > 1.9 and ours.item() < 0.001


def test_nothing_known_is_no_loss():
    total, _ = inverse_folding_loss({"type": torch.zeros(2, 3)}, {"type": torch.tensor([-1, -1])})
    assert total.item() == 0


# --- bad input ---


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 10, "heads": 3}, "multiple of heads"),
        ({"targets": {"type": 3}}, "other names"),
        ({"targets": {"a": "colour"}}, "targets"),
        ({"targets": {"a": 1}}, "targets"),
        ({"features": ["smell"]}, "features"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_settings(settings, says):
    with pytest.raises(ValueError, match=says):
        InverseFolding(**settings)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, e: m(e, torch.full((9,), 20)), "types must hold residue types from 0 to 19, got 20"),
        (lambda m, e: m(e, torch.zeros(8, dtype=torch.int64)), "one a residue"),
        (lambda m, e: m(e, torch.zeros(9)), "whole numbers"),
        (lambda m, e: m(chain(9), types(9)), "neighbour_features"),
        (lambda m, e: m(neighbour_features(chain(9), k=3), types(9)), "k = 4, got 3"),
        (lambda m, e: inverse_folding_loss(m(e, types(9)), {}), "at least one"),
        (lambda m, e: inverse_folding_loss(m(e, types(9)), {"colour": types(9)}), "colour"),
        (lambda m, e: inverse_folding_loss(m(e, types(9)), {"type": types(8)}), "one a residue, 9"),
        (lambda m, e: inverse_folding_loss(m(e, types(9)), {"type": torch.rand(9)}), "must be classes"),
        (lambda m, e: inverse_folding_loss(m(e, types(9)), {"type": types(9)}, weights={"type": -1}), "weights"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call(net(), neighbour_features(chain(9), k=4))
