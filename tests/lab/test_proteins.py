"""The world of small proteins: compact chains, conditionals and energies by enumeration, the best sequence."""

import itertools

import pytest
import torch

from tutorial_lib.lab.proteins import (
    CLASSES,
    KnownLaw,
    Potts,
    backbone_classes,
    potts_law,
    protein_backbones,
    protein_world,
)
from tutorial_lib.protein import AMINO_ACIDS, self_consistent_design, torsions, virtual_cb


@pytest.fixture(scope="module")
def world():
    return protein_world(40, seed=3)


def small(seed=0, length=4, types=3):
    draw = torch.Generator().manual_seed(seed)
    couplings = torch.randn(types, types, generator=draw)
    contacts = torch.ones(length, length).triu(1).bool()
    return Potts(torch.randn(length, types, generator=draw), couplings + couplings.T, contacts | contacts.T)


def every_sequence(length=4, types=3):
    return torch.tensor(list(itertools.product(range(types), repeat=length)))


# --- backbones ---


def test_the_same_seed_the_same_chains():
    one, two, other = protein_backbones(3, seed=1), protein_backbones(3, seed=1), protein_backbones(3, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one, two)) and not torch.equal(one[0][:5], other[0][:5])
    assert protein_backbones(0, seed=0) == []


def test_chains_are_chains_without_clashes(world):
    for backbone in world.backbones:
        assert 30 <= len(backbone) <= 60 and backbone.shape[1:] == (4, 3)
        ca, place = backbone[:, 1], torch.arange(len(backbone))
        apart = torch.cdist(ca, ca)
        assert apart[(place[:, None] - place).abs() >= 3].min() >= 4.2 - 1e-4
        assert (ca[1:] - ca[:-1]).norm(dim=-1).sub(3.8).abs().max() < 0.15
        assert ca.mean(0).abs().max() < 1e-4


def test_chains_are_folded_and_have_an_inside(world):
    """Far more compact than chains whose turns are not chosen, and every class is there."""
    free = protein_backbones(40, seed=3, tries=1)
    size = lambda chains: torch.stack([x[:, 1].square().sum(-1).mean().sqrt() for x in chains]).mean()  # noqa: E731
    assert size(world.backbones) < 0.85 * size(free)
    contacts = torch.cat([law.contacts.sum(1) for law in world.laws])
    assert 2 < contacts.double().mean() < 6 and contacts.max() >= 8
    counts = torch.bincount(torch.cat([backbone_classes(x) for x in world.backbones]), minlength=len(CLASSES))
    assert (counts > 20).all()


def test_classes_by_torsions(world):
    backbone = world.backbones[0]
    phi, psi, _ = torsions(backbone).rad2deg().unbind(-1)
    for kind, a, b in zip(backbone_classes(backbone)[1:-1], phi[1:-1], psi[1:-1]):
        expected = 3 if a > 0 else 0 if a < -30 and -80 < b < -20 else 1 if a < -90 and b > 90 else 2
        assert kind == expected


# --- the law ---


def test_conditionals_are_those_of_the_joint_distribution():
    law, sequences = small(), every_sequence()
    joint = (-law.energy(sequences)).softmax(0)
    for types in sequences[::17]:
        for place in range(4):
            alike = (sequences == types).sum(1) - (sequences[:, place] == types[place]).long() == 3
            mine = torch.stack([joint[alike & (sequences[:, place] == kind)].sum() for kind in range(3)])
            torch.testing.assert_close(law(types)[place].exp(), mine / mine.sum())
            torch.testing.assert_close(law(types, torch.tensor([place]))[0].exp(), mine / mine.sum())


@pytest.mark.parametrize("seed", range(6))
def test_the_best_sequence_is_the_best_of_all(seed):
    law = small(seed)
    energies = law.energy(every_sequence())
    assert law.energy(law.best()).item() == pytest.approx(energies.min().item())
    assert law.energy(law.anneal(sweeps=50)).item() == pytest.approx(energies.min().item())


def test_the_best_of_a_chain_of_twenty_types_and_of_no_contacts():
    fields, contacts = torch.randn(10, 20, generator=torch.Generator().manual_seed(1)), torch.zeros(10, 10).bool()
    assert torch.equal(Potts(fields, torch.eye(20), contacts).best(), fields.argmax(1))
    place = torch.arange(10)
    ladder = place[:, None] + place == 9  # a hairpin
    law = potts_law(protein_backbones(1, seed=0)[0])
    hairpin = Potts(fields, law.couplings, ladder & (place[:, None] != place))
    assert hairpin.energy(hairpin.best()) <= hairpin.energy(hairpin.anneal()) + 1e-9


def test_a_chain_that_is_too_entangled_says_so():
    with pytest.raises(ValueError, match="most must be"):
        small(length=8).best(most=1000)


def test_annealing_beats_greed(world):
    for backbone, law in list(zip(world.backbones, world.laws))[:4]:
        greedy = self_consistent_design(KnownLaw(), backbone, generator=torch.Generator().manual_seed(0)).sequence
        assert law.energy(law.anneal(sweeps=60)) <= law.energy(greedy) + 1e-9


def test_contacts_are_near_and_not_along_the_chain(world):
    backbone, law = world.backbones[0], world.laws[0]
    cb = virtual_cb(backbone)
    for i, j in law.contacts.nonzero().tolist():
        assert abs(i - j) >= 3 and (cb[i] - cb[j]).norm() < 8
    assert torch.equal(law.hears, law.contacts) and torch.equal(law.contacts, law.contacts.T)


def test_the_law_has_the_signs_of_nature(world):
    law = world.laws[0]
    at = lambda a, b: law.couplings[AMINO_ACIDS.index(a), AMINO_ACIDS.index(b)].item()  # noqa: E731
    assert at("K", "E") > 0.3 > at("K", "K") and at("I", "A") > at("I", "D") and at("C", "C") > at("C", "S")
    assert at("W", "G") > at("W", "W")
    kinds, types = (torch.cat(parts) for parts in zip(*[(backbone_classes(b), s) for b, s, _ in zip(*world)]))
    share = lambda kind, letter: (types[kinds == kind] == AMINO_ACIDS.index(letter)).double().mean()  # noqa: E731
    assert share(3, "G") > 4 * share(1, "G") and share(1, "V") > share(3, "V")


def test_drawn_sequences_follow_the_law():
    """The mean log-probability of what was drawn is the mean that the law expects."""
    world = protein_world(150, seed=8)
    found, expected = [], []
    for types, law in zip(world.sequences, world.laws):
        log_probs = law(types)
        found.append(log_probs.gather(1, types[:, None]).squeeze(1))
        expected.append((log_probs.exp() * log_probs).sum(1))
    difference = torch.cat(found) - torch.cat(expected)
    assert difference.mean().abs() < 4 * difference.std() / len(difference) ** 0.5
    assert protein_world(0, seed=0).sequences == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: protein_backbones(-1, seed=0), "count"),
        (lambda: protein_backbones(1, seed=0, shortest=5), "shortest"),
        (lambda: protein_backbones(1, seed=0, longest=20), "longest"),
        (lambda: protein_world(1, seed=0, sweeps=0), "sweeps"),
        (lambda: small().anneal(hot=0.01), "hot"),
        (lambda: Potts(torch.zeros(3, 2), torch.eye(3), torch.zeros(3, 3).bool()), "couplings must be"),
        (lambda: Potts(torch.zeros(2, 2), torch.eye(2), torch.eye(2).bool()), "symmetric, with nobody"),
        (lambda: Potts(torch.zeros(2, 2), torch.ones(2, 2).triu(), torch.zeros(2, 2).bool()), "couplings must be sym"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()
