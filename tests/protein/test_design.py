"""Self-consistent design: exact 2-cycles, fixed points, the published schedule, the same on every device; bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial_lib.lab.proteins import Potts
from tutorial_lib.protein import InverseFolding, build_backbone, self_consistent_design, update_share

ALL, ONE = (lambda t: 1.0), (lambda t: 0.0)
few = settings(max_examples=30, deadline=None)


class Law:
    """Any law in the place of a network."""

    def __init__(self, answer):
        self.answer = answer

    def conditionals(self, backbone):
        return self.answer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def somewhere(length):
    return torch.zeros(length, 4, 3)


def random_potts(seed, length=12, types=4):
    draw = seeded(seed)
    fields, couplings = (torch.randn(s, types, generator=draw).double() for s in (length, types))
    contacts = (torch.rand(length, length, generator=draw) < 0.4).triu(1)
    return Potts(fields, couplings + couplings.T, contacts | contacts.T)


# Two residues that want to be alike.
PAIR = Potts(torch.zeros(2, 2), torch.eye(2), torch.tensor([[False, True], [True, False]]))


def test_two_residues_that_want_to_be_alike_swap_for_ever_when_both_change():
    start = torch.tensor([0, 1])
    design = self_consistent_design(Law(PAIR), somewhere(2), steps=10, share=ALL, mutation=0, start=start)
    assert design.sequences.tolist() == [[0, 1], [1, 0]] * 5 + [[0, 1]]
    assert design.unconverged.tolist() == [1.0] * 11 and not design.converged
    one = self_consistent_design(Law(PAIR), somewhere(2), steps=10, share=ONE, mutation=0, start=start, stop_after=3)
    assert one.unconverged[-1] == 0 and one.converged and len(one.sequences) == 5  # one change, three times nothing


@few
@given(st.integers(0, 10_000))
def test_all_at_once_ends_in_a_cycle_of_one_or_two(seed):
    """Symmetric couplings and no ties: the theorem of Goles and Olivos."""
    law = random_potts(seed)
    found = self_consistent_design(
        Law(law), somewhere(12), steps=200, share=ALL, mutation=0, stop_after=None, generator=seeded(seed)
    ).sequences
    assert torch.equal(found[-1], found[-3])


@few
@given(st.integers(0, 10_000))
def test_one_at_a_time_never_raises_the_energy_and_ends(seed):
    law = random_potts(seed)
    design = self_consistent_design(
        Law(law), somewhere(12), steps=2000, share=ONE, mutation=0, stop_after=200, generator=seeded(seed)
    )
    energy = law.energy(design.sequences)
    assert (energy.diff() <= 1e-9).all() and design.unconverged[-1] == 0 and design.converged


def test_the_series_are_what_they_say():
    law = random_potts(3)
    design = self_consistent_design(Law(law), somewhere(12), steps=6, generator=seeded())
    assert len(design.sequences) == len(design.log_loss) == len(design.unconverged) == 7
    assert torch.equal(design.sequences[-1], design.sequence)
    for loss, share, types in zip(design.log_loss, design.unconverged, design.sequences):
        log_probs = law(types)
        assert loss.item() == pytest.approx(-log_probs.gather(1, types[:, None]).mean().item(), abs=1e-6)
        assert share.item() == pytest.approx((log_probs.argmax(1) != types).double().mean().item(), abs=1e-6)


@pytest.mark.parametrize("mode", ["identity", "sampling"])
def test_asking_only_those_who_hear_a_change_gives_the_same(mode):
    torch.manual_seed(0)
    model = InverseFolding(width=16, depth=1, heads=2, k=3)
    backbone = build_backbone(torch.rand(14, 3, generator=seeded()) * 4 - 2)
    answer = model.conditionals(backbone)
    asked = []

    def counted(types, rows):
        asked.append(len(rows))
        return answer(types, rows)

    made = {}
    for hears in (answer.hears, None):
        counted.hears = hears
        asked.clear()
        made[hears is None] = (
            self_consistent_design(
                Law(counted), backbone, steps=60, mode=mode, mutation_steps=10, stop_after=None, generator=seeded(1)
            ),
            sum(asked),
        )
    (lazy, few_), (plain, many) = made[False], made[True]
    assert torch.equal(lazy.sequences, plain.sequences) and few_ < many
    torch.testing.assert_close(lazy.log_loss, plain.log_loss)


def test_the_input_is_not_changed_and_every_step_is_kept():
    start = torch.tensor([0, 1])
    design = self_consistent_design(Law(PAIR), somewhere(2), steps=4, share=ALL, mutation=0, start=start)
    assert start.tolist() == [0, 1] and design.sequences[0].tolist() == [
        0,
        1,
    ]  # the published code's best_seq is aliased


def test_the_same_generator_the_same_design_and_another_another():
    law = Law(random_potts(1))
    one, two, three = (
        self_consistent_design(law, somewhere(12), steps=9, mode="sampling", generator=seeded(s)).sequence
        for s in (4, 4, 5)
    )
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_fixed_residues_stay():
    law, start = random_potts(2), torch.zeros(12, dtype=torch.int64)
    fixed = torch.arange(12) % 3 == 0
    design = self_consistent_design(Law(law), somewhere(12), steps=50, start=start, fixed=fixed, generator=seeded())
    assert (design.sequences[:, fixed] == 0).all() and (design.sequence != 0).any()
    held = self_consistent_design(Law(law), somewhere(12), start=start, fixed=torch.ones(12, dtype=torch.bool))
    assert torch.equal(held.sequence, start) and len(held.sequences) == 1


def test_mutations_come_and_end():
    """A law that is content with all: only mutations change anything."""
    content = Law(lambda types, rows: torch.zeros(len(rows), 20))
    design = self_consistent_design(
        content, somewhere(2000), steps=30, mutation=0.3, mutation_steps=10, stop_after=None, generator=seeded()
    )
    changed = (design.sequences[1:] != design.sequences[:-1]).double().mean(1)
    assert changed[0].item() == pytest.approx(0.3 * 0.95, abs=0.05)  # of twenty types one is the old one
    assert changed[5].item() == pytest.approx(0.15 * 0.95, abs=0.04)
    assert changed[10:].eq(0).all()


def test_sampling_follows_the_probabilities_and_their_power():
    probs = torch.tensor([0.6, 0.3, 0.1])
    law = Law(lambda types, rows: probs.log().expand(len(rows), 3))
    for power in (1.0, 3.0):
        design = self_consistent_design(
            law, somewhere(4000), steps=1, mode="sampling", power=power, mutation=0, generator=seeded()
        )
        want = probs**power / (probs**power).sum()
        torch.testing.assert_close(torch.bincount(design.sequence, minlength=3) / 4000, want, atol=0.03, rtol=0)


def test_of_equally_probable_types_the_one_that_stands_is_kept():
    law = Law(lambda types, rows: torch.tensor([0.0, 1e-7]).expand(len(rows), 2))
    design = self_consistent_design(law, somewhere(5), start=torch.zeros(5, dtype=torch.int64), mutation=0)
    assert design.sequence.eq(0).all() and design.unconverged[-1] == 0


def test_the_published_schedule():
    shares = {0: 1.0, 1: 0.8, 251: 0.8, 260: 0.62, 300: 0.20, 350: 0.05}
    for iteration, share in shares.items():
        assert update_share(iteration) == pytest.approx(share, abs=0.03)
    assert 100 * update_share(405) < 1.5  # of a hundred residues, one
    assert update_share(5000, decay=math.inf) == 0.8


def test_an_empty_chain_and_a_single_residue():
    model = InverseFolding(width=16, depth=1, heads=2, k=4)
    empty = self_consistent_design(model, somewhere(0))
    assert empty.sequence.shape == (0,) and math.isnan(empty.log_loss[0])
    alone = self_consistent_design(model, build_backbone(torch.zeros(1, 3)), mutation=0)
    assert alone.converged and alone.unconverged[-1] == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"mode": "beam"}, "mode must be 'identity' or 'sampling'"),
        ({"steps": -1}, "steps"),
        ({"mutation": 1.5}, "mutation"),
        ({"power": 0}, "power"),
        ({"stop_after": 0}, "stop_after"),
        ({"start": torch.zeros(11, dtype=torch.int64)}, "start must be 12 types from 0 to 3"),
        ({"start": torch.full((12,), 4)}, "start must be 12 types from 0 to 3"),
        ({"fixed": torch.ones(12, dtype=torch.bool)}, "with a start"),
        ({"share": lambda t: 1.5}, "share"),
        ({"generator": 3}, "generator"),
    ],
)
def test_bad_input(more, says):
    with pytest.raises(ValueError, match=says):
        self_consistent_design(Law(random_potts(0)), somewhere(12), **more)


def test_a_model_must_answer():
    with pytest.raises(ValueError, match="conditionals"):
        self_consistent_design(lambda x: x, somewhere(3))


@pytest.mark.parametrize("more", [{"iteration": -1}, {"iteration": 1, "high": 2}, {"iteration": 1, "decay": 0}])
def test_bad_schedules(more):
    with pytest.raises(ValueError):
        update_share(**more)
