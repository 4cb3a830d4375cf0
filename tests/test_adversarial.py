"""tutorial_lib.adversarial: held against plain autograd, known answers, properties, the popular snippet's faults."""

import copy
import io
import math
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from tutorial_lib._kernels.passes import Ball
from tutorial_lib.adversarial import FGM, PGD, VAT, FreeLB, attack
from tutorial_lib.consistency import MeanTeacher
from tutorial_lib.lab.training import batches, fit

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINERS = [FGM, PGD, FreeLB]
WAYS = [(method, space) for method in TRAINERS for space in ("activation", "weight")] + [(VAT, "activation")]


class Text(nn.Module):
    """Embedding, convolution, a soft maximum over time, a head. Cut in two, so that a test can get between."""

    def __init__(self, dropout=0.0, dtype=torch.float64, norm=False):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(20, 6, padding_idx=0)
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)
        self.to(dtype)
        self.seen = []

    def rest(self, embedded):
        self.seen.append(embedded.detach())
        hidden = torch.tanh(self.norm(self.conv(embedded.transpose(1, 2))))
        return self.head(self.dropout(hidden.logsumexp(2)))

    def forward(self, tokens):
        return self.rest(self.words(tokens))


def batch(rows=5, length=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 20, (rows, length), generator=generator)
    for row, end in enumerate(torch.randint(2, length + 1, (rows,), generator=generator).tolist()):
        tokens[row, end:] = 0
    return tokens, torch.randint(3, (rows,), generator=generator)


def closure_of(model, tokens, target):
    return lambda: F.cross_entropy(model(tokens), target)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain(model, loss):
    """Gradients by autograd.grad alone."""
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad))
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True)))


def assert_same(found, expected, **tolerance):
    assert set(found) == {name for name, value in expected.items() if value is not None}
    for name in found:
        torch.testing.assert_close(found[name], expected[name], **tolerance)


# --- A plain re-statement, one sample at a time -----------------------------------------------------------------------


def uphill(gradient, keep, *, norm="sample", ball="l2"):
    gradient = gradient * keep
    if ball == "linf":
        return gradient.sign()
    if norm == "batch":
        return gradient / gradient.pow(2).sum().sqrt()
    return torch.stack([g / g.pow(2).sum().sqrt() if g.abs().sum() > 0 else g for g in gradient])


def projected(r, epsilon, *, norm="sample", ball="l2"):
    if ball == "linf":
        return torch.minimum(torch.maximum(r, torch.tensor(-epsilon)), torch.tensor(epsilon))
    if norm == "batch":
        return r * min(1.0, epsilon / float(r.norm()))
    return torch.stack([each * min(1.0, epsilon / max(float(each.norm()), 1e-300)) for each in r])


def slope(model, tokens, target, r):
    """The loss's gradient in the perturbation, at r."""
    embedded = (model.words(tokens) + r).detach().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model.rest(embedded), target), embedded)[0]


def descend(model, tokens, target, *, epsilon, alpha, steps, **geometry):
    keep = (tokens != 0)[..., None]
    r = torch.zeros_like(model.words(tokens)).detach()
    for _ in range(steps):
        r = projected(r + alpha * uphill(slope(model, tokens, target, r), keep, **geometry), epsilon, **geometry)
    return r


GEOMETRIES = [{"norm": "sample"}, {"norm": "batch"}, {"ball": "linf"}]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 0.5), (0.0, 1.0), (0.3, 2.0)])
def test_fgm_adds_the_clean_and_the_adversarial_gradient(geometry, weights):
    model, (tokens, target) = Text(), batch()
    keep = (tokens != 0)[..., None]
    r = 0.7 * uphill(slope(model, tokens, target, torch.zeros(())), keep, **geometry)
    clean = F.cross_entropy(model(tokens), target)
    adversarial = F.cross_entropy(model.rest(model.words(tokens) + r), target)
    objective = weights[0] * clean + weights[1] * adversarial
    expected = plain(model, objective)

    fgm = FGM(model, "words", epsilon=0.7, clean_weight=weights[0], adversarial_weight=weights[1], **geometry)
    step = fgm.backward(closure_of(model, tokens, target))
    assert_same(gradients(model), expected)
    torch.testing.assert_close(step.perturbations[0], r)
    torch.testing.assert_close(torch.stack(step.losses), torch.stack([clean, adversarial]).detach())
    torch.testing.assert_close(step.loss, objective.detach())
    assert not step.skipped and not any(t.requires_grad for t in (step.loss, *step.losses, *step.perturbations))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("alpha", [0.4, 2.0])
@pytest.mark.parametrize("clean_weight", [1.0, 0.0])
def test_pgd_adds_the_clean_gradient_and_the_last(geometry, alpha, clean_weight):
    model, (tokens, target) = Text(), batch()
    r = descend(model, tokens, target, epsilon=0.7, alpha=alpha, steps=3, **geometry)
    clean = F.cross_entropy(model(tokens), target)
    adversarial = F.cross_entropy(model.rest(model.words(tokens) + r), target)
    expected = plain(model, clean_weight * clean + adversarial)

    pgd = PGD(model, "words", epsilon=0.7, alpha=alpha, steps=3, clean_weight=clean_weight, **geometry)
    step = pgd.backward(closure_of(model, tokens, target))
    assert_same(gradients(model), expected)
    torch.testing.assert_close(step.perturbations[0], r)
    assert len(step.losses) == 4


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("epsilon", [0.7, math.inf])
def test_freelb_adds_the_mean_of_plain_gradients_at_its_perturbations(geometry, epsilon):
    model, (tokens, target) = Text(), batch()
    keep, clean = (tokens != 0)[..., None], model.words(tokens).detach()
    freelb = FreeLB(model, "words", epsilon=epsilon, alpha=0.5, init=0.6, steps=4, **geometry)
    model.seen = []
    step = freelb.backward(closure_of(model, tokens, target))
    found, visited = gradients(model), [seen - clean for seen in model.seen]
    assert len(visited) == 4

    total = sum(F.cross_entropy(model.rest(model.words(tokens) + r), target) for r in visited) / 4
    assert_same(found, plain(model, total))
    torch.testing.assert_close(step.loss, total.detach())
    for now, then in zip(visited, visited[1:]):
        moved = now + 0.5 * uphill(slope(model, tokens, target, now), keep, **geometry)
        torch.testing.assert_close(then, moved if math.isinf(epsilon) else projected(moved, epsilon, **geometry))
    torch.testing.assert_close(step.perturbations[0], visited[-1])


def test_freelb_starts_as_the_paper_says():
    """Uniform, as long as the number of entries that a sample really has demands, nothing on padding."""
    model = nn.Sequential(nn.Embedding(9, 50, padding_idx=0), nn.Flatten(), nn.Linear(50 * 40, 2))
    tokens = torch.ones(30, 40, dtype=torch.long)
    tokens[:10, 5:] = 0
    freelb = FreeLB(model, "0", epsilon=2.0, steps=1, generator=torch.Generator().manual_seed(1))
    closure = closure_of(model, tokens, torch.zeros(30, dtype=torch.long))
    (r,) = freelb.backward(closure).perturbations
    assert r[:10, 5:].abs().max() == 0
    for rows, n in ((r[:10, :5], 250), (r[10:], 2000)):
        edge = 2 / math.sqrt(n)
        assert 0.99 * edge < rows.abs().max() <= edge
        assert abs(float(rows.mean())) < 0.1 * edge
        torch.testing.assert_close(
            rows.flatten(1).norm(dim=1).mean(), torch.tensor(2 / math.sqrt(3)), rtol=0.02, atol=0
        )
    again = FreeLB(model, "0", epsilon=2.0, steps=1, generator=torch.Generator().manual_seed(1)).backward(closure)
    assert torch.equal(again.perturbations[0], r)
    assert not torch.equal(freelb.backward(closure).perturbations[0], r)
    assert FreeLB(model, "0", init=0.0, steps=1).backward(closure).perturbations[0].abs().max() == 0
    (one,) = FreeLB(model, "0", epsilon=2.0, steps=1, norm="batch").backward(closure).perturbations
    assert 0.99 < one.abs().max() / (2 / math.sqrt(10 * 250 + 20 * 2000)) <= 1.001
    (box,) = FreeLB(model, "0", epsilon=2.0, steps=1, ball="linf").backward(closure).perturbations
    assert 1.98 < box.abs().max() <= 2


# --- Weight space -----------------------------------------------------------------------------------------------------


def bits(tensor):
    return tensor.detach().clone().view(torch.int64 if tensor.dtype == torch.float64 else torch.int32)


@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_weight_space_is_the_plain_restatement_and_puts_the_weight_back(method, frozen):
    model, (tokens, target) = Text(), batch()
    model.words.weight.data[3] = -0.0  # a sum with 0 would lose the sign
    model.words.weight.requires_grad_(not frozen)
    before = bits(model.words.weight)
    options = {} if method is FGM else {"alpha": 0.4, "steps": 3}
    weights = {FGM: [1, 1], PGD: [1, 0, 0, 1], FreeLB: [1 / 3] * 3}[method]
    if method is FreeLB:
        options["init"] = 0.0

    def loss_at(r):
        moved = torch.func.functional_call(model, {"words.weight": model.words.weight + r}, (tokens,))
        return F.cross_entropy(moved, target)

    r, losses = torch.zeros(20, 6, dtype=torch.float64), []
    for _ in weights:
        leaf = r.clone().requires_grad_()
        losses.append(loss_at(r))
        gradient = torch.autograd.grad(loss_at(leaf), leaf)[0]
        gradient[0] = 0
        r, last = projected(r + options.get("alpha", 0.7) * gradient / gradient.norm(), 0.7, norm="batch"), r
    expected = plain(model, sum(w * loss for w, loss in zip(weights, losses)))

    step = method(model, "words", epsilon=0.7, space="weight", **options).backward(closure_of(model, tokens, target))
    assert_same(gradients(model), expected)
    torch.testing.assert_close(step.perturbations[0], last)
    assert torch.equal(bits(model.words.weight), before)
    assert model.words.weight.requires_grad != frozen and (model.words.weight.grad is None) == frozen


def test_weight_space_needs_what_it_needs():
    model, (tokens, target) = Text(), batch()
    with pytest.raises(ValueError, match="norm='sample' needs space='activation'"):
        FGM(model, space="weight", norm="sample")
    with pytest.raises(ValueError, match="needs a layer with a weight, and the layer 'dropout'"):
        FGM(model, "dropout", space="weight")
    with pytest.raises(ValueError, match="a weight has no positions"):
        FGM(model, space="weight").backward(closure_of(model, tokens, target), mask=tokens != 0)


def test_weight_space_random_start():
    model, (tokens, target) = Text(), batch()
    before = bits(model.words.weight)
    (r,) = FreeLB(model, space="weight", epsilon=0.5, steps=1).backward(closure_of(model, tokens, target)).perturbations
    assert r[0].abs().max() == 0 and 0 < r.norm() <= 0.5 and (r[1:] != 0).all()
    assert torch.equal(bits(model.words.weight), before)


# --- Virtual adversarial training -------------------------------------------------------------------------------------


def divergence(p, q, multilabel):
    """Outside oracle: torch.distributions."""
    if multilabel:
        make = lambda z: torch.distributions.Independent(torch.distributions.Bernoulli(logits=z), 1)  # noqa: E731
    else:
        make = lambda z: torch.distributions.Categorical(logits=z)  # noqa: E731
    return torch.distributions.kl_divergence(make(p), make(q))


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("norm", ["sample", "batch"])
def test_vat_is_the_plain_restatement(multilabel, norm):
    model, (tokens, _) = Text(), batch()
    vat = VAT(model, "words", epsilon=0.8, xi=1e-3, steps=2, multilabel=multilabel, norm=norm)
    keep, clean = (tokens != 0)[..., None], model.words(tokens).detach()
    model.seen = []
    step = vat.backward(lambda: model(tokens), weight=0.5)
    found, visited = gradients(model), [(seen - clean) for seen in model.seen]
    p = model(tokens).detach()
    d = visited[1] / 1e-3  # the random start
    assert visited[0].abs().max() == 0 and (d * ~keep).abs().max() == 0
    for k in range(2):
        torch.testing.assert_close(visited[1 + k], 1e-3 * d, rtol=1e-9, atol=1e-12)
        embedded = (clean + 1e-3 * d).requires_grad_()
        kl = divergence(p, model.rest(embedded), multilabel).mean()
        d = uphill(torch.autograd.grad(kl, embedded)[0], keep, norm=norm)
    r = 0.8 * d
    regulariser = divergence(p, model.rest(model.words(tokens) + r), multilabel).mean()
    torch.testing.assert_close(step.perturbations[0], r, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(step.losses[0], regulariser.detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(step.loss, 0.5 * regulariser.detach(), rtol=1e-6, atol=1e-9)
    assert_same(found, plain(model, 0.5 * regulariser), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(("dtype", "xi", "least"), [(torch.float64, 1e-4, 1 - 1e-6), (torch.float32, 0.01, 0.999)])
def test_vat_finds_the_dominant_eigenvector_of_the_divergences_hessian(multilabel, dtype, xi, least):
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).to(dtype)
    x = torch.randn(3, 5, dtype=dtype)
    vat = VAT(model, "", epsilon=1.0, xi=xi, steps=60, multilabel=multilabel)
    (r,) = vat.backward(lambda: model(x)).perturbations
    exact = copy.deepcopy(model).double()
    for row, found in zip(x.double(), r.double()):
        p = exact(row[None]).detach()
        hessian = torch.autograd.functional.hessian(
            lambda r, row=row, p=p: divergence(p, exact((row + r)[None]), multilabel).sum(),
            torch.zeros(5, dtype=torch.float64),
        )
        values, vectors = torch.linalg.eigh(hessian)
        assert values[-1] > 1.3 * values[-2]
        assert abs(float(found @ vectors[:, -1])) > least
    assert not torch.allclose(VAT(model, "", steps=0).backward(lambda: model(x)).perturbations[0], r, atol=0.1)


def test_vat_loss_joins_a_supervised_loss_and_leaves_everything_alone():
    model, (tokens, target) = Text(dropout=0.3, norm=True), batch()
    vat = VAT(model, "words", generator=torch.Generator().manual_seed(0))
    model.head.weight.grad = torch.ones_like(model.head.weight)
    plain_twin = copy.deepcopy(model)
    torch.manual_seed(5)
    regulariser = vat.loss(lambda: model(tokens))
    after = torch.get_rng_state()
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight.grad)) and not hooks(model)
    torch.manual_seed(5)
    plain_twin(tokens)
    assert torch.equal(torch.get_rng_state(), after)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, plain_twin.get_buffer(name)), name
    (F.cross_entropy(model(tokens), target) + regulariser).backward()
    alone = copy.deepcopy(gradients(model))
    model.zero_grad()
    torch.manual_seed(5)
    VAT(model, "words", generator=torch.Generator().manual_seed(0)).backward(lambda: model(tokens))
    both = gradients(model)
    assert all(torch.isfinite(g).all() for g in both.values()) and set(both) == set(alone)


def test_vat_takes_positions_and_one_label():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    tokens = torch.randint(9, (2, 5))
    tagged = VAT(model, "0", epsilon=3.0).loss(lambda: model(tokens).transpose(1, 2))
    assert tagged.shape == () and tagged > 0
    one = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 1))
    assert VAT(one, "0", multilabel=True).loss(lambda: one(tokens)) > 0
    assert VAT(one, "0").loss(lambda: one(tokens)) == 0  # one class: nothing can change
    with pytest.raises(ValueError, match=r"closure must return logits.*got float32 \(2,\)"):
        VAT(one, "0", multilabel=True).loss(lambda: one(tokens)[:, 0])


def test_vat_with_a_direction_that_is_not_finite():
    model, (tokens, _) = Text(), batch()
    closure = lambda: BadGradient.apply(model(tokens))  # noqa: E731
    vat = VAT(model, "words")
    assert vat.backward(closure).skipped and not gradients(model)
    assert float(vat.loss(closure).detach()) == 0


class BadGradient(torch.autograd.Function):
    """The identity, whose gradient overflows."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.inf


# --- Known answers ----------------------------------------------------------------------------------------------------


def test_two_features_by_hand():
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[3.0, -4.0]])
    x = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    closure = lambda: model(x).sum()  # noqa: E731
    step = FGM(model, "", epsilon=0.5).backward(closure)
    torch.testing.assert_close(step.perturbations[0], torch.tensor([[0.3, -0.4], [0.3, -0.4]]))
    assert [round(float(loss), 5) for loss in step.losses] == [5.0, 10.0]  # each row: + 0.5 x |(3, -4)|
    torch.testing.assert_close(model.weight.grad, torch.tensor([[3.0 + 3.6, 1.0 + 0.2]]))
    sign = FGM(model, "", epsilon=0.5, ball="linf").backward(closure)
    assert sign.perturbations[0].tolist() == [[0.5, -0.5], [0.5, -0.5]]
    one = FGM(model, "", epsilon=0.5, norm="batch").backward(closure)
    torch.testing.assert_close(one.perturbations[0], torch.tensor([[0.3, -0.4], [0.3, -0.4]]) / math.sqrt(2))


def test_fgm_raises_the_loss_by_epsilon_times_the_gradients_norm():
    model, (tokens, target) = Text(), batch()
    g = slope(model, tokens, target, torch.zeros(())) * (tokens != 0)[..., None]
    for epsilon in (1e-3, 1e-4):
        clean, raised = FGM(model, "words", epsilon=epsilon).backward(closure_of(model, tokens, target)).losses
        expected = epsilon * g.flatten(1).norm(dim=1).sum()
        torch.testing.assert_close(raised - clean, expected, rtol=20 * epsilon, atol=0)


def attacked(model, tokens, target, **options):
    with attack(model, "words", closure_of(model, tokens, target), **options) as r:
        return float(F.cross_entropy(model(tokens), target, reduction="sum").detach()), r


def test_pgd_is_no_weaker_than_fgm():
    linear = nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(42, 1)).double()
    tokens, target = batch(rows=8)
    y = (target > 0).double()[:, None]
    closure = lambda: F.binary_cross_entropy_with_logits(linear(tokens), y)  # noqa: E731
    with attack(linear, "0", closure, epsilon=0.5) as one, attack(linear, "0", closure, epsilon=0.5, steps=5) as many:
        torch.testing.assert_close(one, many)  # a linear logit has one worst direction
    for seed in range(5):
        model, (tokens, target) = Text(), batch(rows=20, seed=seed)
        torch.manual_seed(seed)
        for p in model.parameters():
            p.data = torch.randn_like(p)
        clean = float(F.cross_entropy(model(tokens), target, reduction="sum").detach())
        fgm, _ = attacked(model, tokens, target, epsilon=1.0)
        pgd, r = attacked(model, tokens, target, epsilon=1.0, steps=10)
        assert clean < fgm <= pgd
        assert (r[0].flatten(1).norm(dim=1) < 1 + 1e-9).all()


# --- The ball ---------------------------------------------------------------------------------------------------------

numbers = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=4),
    st.floats(1e-3, 1e3),
    st.sampled_from(["sample", "batch"]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_the_ball(rows, epsilon, norm, dtype):
    g = torch.tensor(rows, dtype=dtype)
    ball = Ball(epsilon, "l2", norm, 0)
    (unit,) = ball.uphill([g], [None], 1.0)
    lengths = unit.double().norm(dim=1) if norm == "sample" else unit.double().norm()[None]
    zero = (g == 0).all(1) if norm == "sample" else (g == 0).all()[None]
    torch.testing.assert_close(lengths, torch.where(zero, 0.0, 1.0).double(), rtol=1e-6, atol=1e-9)
    assert (unit * g >= 0).all()
    g = g.clamp(-1e12, 1e12)
    (inside,) = ball.project([g.clone()])
    size = inside.double().norm(dim=1) if norm == "sample" else inside.double().norm()[None]
    assert (size <= epsilon * (1 + 1e-6)).all()
    small = g.double().norm(dim=1 if norm == "sample" else (0, 1)) <= epsilon * (1 - 1e-6)
    unchanged = (inside == g).all(1) if norm == "sample" else (inside == g).all()
    assert unchanged[small].all() if norm == "sample" else unchanged or not small
    torch.testing.assert_close(ball.project([inside.clone()])[0], inside, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1.0, 1e30, 3e38])
def test_no_gradient_is_too_small_or_too_large_for_its_direction(scale):
    g = torch.tensor([[scale, -scale], [0.0, scale]])
    expected = torch.tensor([[0.5**0.5, -(0.5**0.5)], [0.0, 1.0]])
    torch.testing.assert_close(Ball(1.0, "l2", "sample", 0).uphill([g], [None], 1.0)[0], expected)
    torch.testing.assert_close(
        Ball(1.0, "l2", "batch", 0).uphill([g], [None], 1.0)[0], torch.tensor([[1, -1], [0, 1]]) / 3**0.5
    )


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
def test_epsilon_is_kept_to_the_last_digit_and_may_be_0(method):
    model, (tokens, target) = Text(dtype=torch.float32), batch(rows=50)
    closure = (lambda: model(tokens)) if method is VAT else closure_of(model, tokens, target)
    for epsilon in (0.0, 1e-6, 0.3, 100.0):
        (r,) = method(model, "words", epsilon=epsilon).backward(closure).perturbations
        torch.testing.assert_close(
            r.double().flatten(1).norm(dim=1), torch.full((50,), epsilon).double(), rtol=1e-6, atol=0
        )


# --- Where: layers, padding, calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
def test_padding_and_what_the_mask_hides_are_never_perturbed(method):
    model, (tokens, target) = Text(), batch()
    closure = (lambda: model(tokens)) if method is VAT else closure_of(model, tokens, target)
    (r,) = method(model).backward(closure).perturbations
    assert torch.equal((r != 0).all(2), tokens != 0)
    mask = torch.arange(7) % 2 == 0
    (r,) = method(model).backward(closure, mask=mask.expand(5, 7).long()).perturbations
    assert torch.equal((r != 0).all(2), (tokens != 0) & mask)
    model.words.padding_idx = None
    (r,) = method(model).backward(closure).perturbations
    assert (r != 0).any(2)[tokens == 0].any()
    (r,) = method(model, padding_idx=tokens[0, 0].item()).backward(closure).perturbations
    assert torch.equal((r != 0).all(2), tokens != tokens[0, 0])
    (r,) = method(model).backward(closure, mask=torch.arange(5) != 2).perturbations  # whole samples
    assert r[2].abs().max() == 0 and (r[[0, 1, 3, 4]].abs().amax((1, 2)) > 0).all()


def test_a_mask_that_does_not_fit_is_refused():
    model, (tokens, target) = Text(), batch()
    with pytest.raises(ValueError, match=r"mask must have the first dimensions.*\(5, 7, 6\), got \(5, 6\)"):
        FGM(model).backward(closure_of(model, tokens, target), mask=torch.ones(5, 6))
    with pytest.raises(ValueError, match="padding_idx needs a layer that is called with tokens"):
        FGM(model, "conv", padding_idx=0).backward(closure_of(model, tokens, target))


def test_a_sample_of_padding_alone_stays_where_it_is():
    model, (tokens, target) = Text(), batch()
    tokens[2] = 0
    for method in TRAINERS:
        (r,) = method(model).backward(closure_of(model, tokens, target)).perturbations
        assert r[2].abs().max() == 0 and torch.isfinite(r).all()
    assert all(torch.isfinite(g).all() for g in gradients(model).values())


@pytest.mark.parametrize("norm", ["sample", "batch"])
def test_nan_behind_a_mask_harms_nothing_and_a_mask_may_cover_features(norm):
    g = torch.randn(4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ball = Ball(2.0, "l2", norm, 0)
    for shape in ((4, 5, 1), (4, 1, 1), (4, 5, 6)):
        keep = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.6
        keep[0] = False
        expected = 2.0 * uphill(g, keep.double(), norm=norm)
        torch.testing.assert_close(ball.uphill([g], [keep], 2.0)[0], expected)
        bad = torch.where(keep, g, math.nan)
        torch.testing.assert_close(ball.uphill([bad], [keep], 2.0)[0], expected)
        (start,) = ball.random([g], [keep], 2.0, torch.Generator().manual_seed(0))
        assert torch.equal(start != 0, keep.expand(4, 5, 6))
        entries = keep.expand(4, 5, 6).double().sum(() if norm == "batch" else (1, 2), keepdim=True)
        assert (start.abs() <= 2 / entries.sqrt() + 1e-12).all() and start.abs().max() > 1.5 / entries.max().sqrt()
    g[2, 3, 1] = math.inf
    assert ball.uphill([g], [None], 2.0) is None


def test_a_layer_that_gives_one_number_a_sample():
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0), nn.Tanh())
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    for method in TRAINERS:
        (r,) = (
            method(model, "1", epsilon=0.1, **({"alpha": 1.0} if method is FreeLB else {}))
            .backward(lambda: model(x).sum())
            .perturbations
        )
        torch.testing.assert_close(r, torch.full((4,), 0.1))
    (r,) = FreeLB(model, "1", epsilon=0.1, steps=1).backward(lambda: model(x).sum()).perturbations
    assert 0.03 < r.abs().max() <= 0.1


def test_a_layer_that_hands_on_its_input():
    """The gradient that counts is that of what went through the layer, not of what ran round it."""

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x):
            return 5.0 * x + self.layer(x) * torch.tensor([3.0, 4.0])

    model, x = Around(), torch.zeros(1, 2, requires_grad=True)
    (r,) = FGM(model, "layer").backward(lambda: model(x).sum()).perturbations
    torch.testing.assert_close(r, torch.tensor([[0.6, 0.8]]))


class Pair(nn.Module):
    """Two sentences, one embedding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(20, 4, padding_idx=0)
        self.head = nn.Linear(8, 3)
        self.double()

    def join(self, first, second):
        return self.head(torch.tanh(torch.cat([first.sum(1), second.sum(1)], 1)))

    def forward(self, first, second):
        return self.join(self.words(first), self.words(input=second))


def test_two_calls_of_one_embedding_are_two_perturbations():
    model, (first, target), (second, _) = Pair(), batch(), batch(length=4, seed=9)
    closure = lambda: F.cross_entropy(model(first, second), target)  # noqa: E731
    for norm in ("sample", "batch"):
        model.zero_grad()
        leaves = [model.words(tokens).detach().requires_grad_() for tokens in (first, second)]
        slopes = torch.autograd.grad(F.cross_entropy(model.join(*leaves), target), leaves)
        slopes = [g * (tokens != 0)[..., None] for g, tokens in zip(slopes, (first, second))]
        if norm == "sample":
            expected = [uphill(g, 1.0) for g in slopes]
        else:
            expected = [g / torch.cat([s.flatten() for s in slopes]).norm() for g in slopes]
        moved = model.join(*(model.words(t) + r for t, r in zip((first, second), expected)))
        total = F.cross_entropy(model(first, second), target) + F.cross_entropy(moved, target)
        gradient = plain(model, total)
        step = FGM(model, norm=norm).backward(closure)
        torch.testing.assert_close(list(step.perturbations), expected)
        assert_same(gradients(model), gradient)
    masks = [first != first[0, 0], second != second[0, 0]]
    r = PGD(model).backward(closure, mask=masks).perturbations
    for value, mask, tokens in zip(r, masks, (first, second)):
        assert torch.equal((value != 0).all(2), mask & (tokens != 0))
    with pytest.raises(ValueError, match=r"got \(5, 7\); give a list"):
        FGM(model).backward(closure, mask=first != 0)


def test_a_closure_that_changes_its_ways_is_an_error():
    model, (tokens, target) = Text(), batch()
    loss = closure_of(model, tokens, target)
    count = iter(range(10))
    with pytest.raises(RuntimeError, match="called 2 times in the first pass and 1 times in a later one"):
        FGM(model).backward(lambda: loss() + loss() if next(count) == 0 else loss())
    count = iter(range(10))
    with pytest.raises(RuntimeError, match=r"\(5, 7, 6\) in the first pass and \(4, 7, 6\) in a later"):
        FGM(model).backward(lambda: model(tokens[next(count) :]).sum())
    with pytest.raises(RuntimeError, match="did not call the layer 'words'"):
        FGM(model).backward(lambda: model.head.weight.sum())
    with pytest.raises(RuntimeError, match="does not depend on the embedding"):
        FGM(model).backward(lambda: model.rest(model.words(tokens).detach()).sum())
    for bad, message in (
        (lambda: model(tokens), "got shape"),
        (lambda: float(model(tokens).sum().detach()), "got float"),
    ):
        with pytest.raises(ValueError, match=f"closure must return the loss, a scalar tensor, {message}"):
            FGM(model).backward(bad)
    with pytest.raises(ValueError, match="requires a gradient"):
        FGM(model).backward(lambda: loss().detach())
    assert not hooks(model)


def test_the_embedding_is_found_or_the_error_names_the_candidates():
    class Bert(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.positions = nn.Embedding(9, 4), nn.Embedding(5, 4)
            self.head = nn.Linear(4, 2)

    model = nn.Sequential()
    model.encoder = Bert()
    with pytest.raises(ValueError, match="has 2, name the one to perturb: 'encoder.words', 'encoder.positions'"):
        FGM(model)
    with pytest.raises(ValueError, match="no submodule 'words'; it has, nearest first: .*'encoder.words'"):
        FGM(model, "words")
    with pytest.raises(ValueError, match="no submodule 'encoder.words.weight'"):
        FGM(model, "encoder.words.weight")
    with pytest.raises(ValueError, match="no part of the model"):
        FGM(model, nn.Embedding(9, 4))
    with pytest.raises(ValueError, match="no nn.Embedding"):
        FGM(model.encoder.head)
    with pytest.raises(ValueError, match="must be a module, its name, or None, got int"):
        FGM(model, 3)
    assert FGM(model, "encoder.positions").module is model.encoder.positions
    assert FGM(model, model.encoder.words).module is model.encoder.words
    model.get_input_embeddings = lambda: model.encoder.words  # the usual name of the method that tells
    assert FGM(model).module is model.encoder.words
    assert FGM(Text()).name == "the layer 'words'"


def test_other_kinds_of_layers():
    torch.manual_seed(0)
    bag = nn.Sequential(nn.EmbeddingBag(20, 6, padding_idx=0), nn.Linear(6, 3))
    tokens, target = batch()
    (r,) = FGM(bag).backward(closure_of(bag, tokens, target)).perturbations
    assert r.shape == (5, 6) and torch.allclose(r.norm(dim=1), torch.ones(5))

    images = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    pixels = torch.rand(5, 1, 8, 8)
    for layer, shape in (("", (5, 1, 8, 8)), ("1", (5, 4, 6, 6))):
        (r,) = PGD(images, layer, epsilon=0.1, ball="linf").backward(closure_of(images, pixels, target)).perturbations
        assert r.shape == shape and r.abs().max() <= 0.1

    sparse = nn.Sequential(nn.Embedding(20, 6, sparse=True), nn.Flatten(), nn.Linear(42, 3))
    dense = copy.deepcopy(sparse)
    dense[0].sparse = False
    for space in ("activation", "weight"):
        for model in (sparse, dense):
            model.zero_grad()
            for _ in range(2):  # the second adds to the first
                PGD(model, space=space).backward(closure_of(model, tokens, target))
        assert sparse[0].weight.grad.is_sparse
        torch.testing.assert_close(sparse[0].weight.grad.to_dense(), dense[0].weight.grad)

    with pytest.raises(ValueError, match="must give one floating-point tensor to be perturbed, got tuple"):
        recurrent = nn.Sequential(nn.LSTM(4, 4))
        FGM(recurrent, "0").backward(lambda: recurrent(torch.rand(2, 3, 4))[0].sum())


def test_the_batch_may_be_another_dimension():
    class Recurrent(Text):
        def forward(self, tokens):  # (L, B), as nn.LSTM has it
            return self.rest(self.words(tokens).transpose(0, 1))

    model, twin, (tokens, target) = Recurrent(), Text(), batch()
    (r,) = PGD(model, batch_dim=1).backward(closure_of(model, tokens.T, target)).perturbations
    (same,) = PGD(twin).backward(closure_of(twin, tokens, target)).perturbations
    torch.testing.assert_close(r.transpose(0, 1), same)
    assert_same(gradients(model), gradients(twin))


def test_an_output_that_is_changed_in_place():
    class Scaled(Text):
        def forward(self, tokens):
            embedded = self.words(tokens)
            embedded *= 3.0
            return self.rest(embedded)

    model, (tokens, target) = Scaled(), batch()
    embedded = model.words(tokens).detach().requires_grad_()
    g = torch.autograd.grad(F.cross_entropy(model.rest(3.0 * embedded), target), embedded)[0]
    (r,) = FGM(model).backward(closure_of(model, tokens, target)).perturbations
    torch.testing.assert_close(r, uphill(g, (tokens != 0)[..., None]))


class Language(nn.Module):
    """The embedding is the output layer, too."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.out = nn.Embedding(20, 6), nn.Linear(6, 20, bias=False)
        self.out.weight = self.words.weight
        self.double()

    def forward(self, tokens, r=0.0):
        return self.out(torch.tanh(self.words(tokens) + r)).transpose(1, 2)


def test_tied_weights_are_perturbed_at_the_lookup_alone():
    model, (tokens, _) = Language(), batch()
    closure = lambda r=0.0: F.cross_entropy(model(tokens, r), tokens.roll(1, 1))  # noqa: E731
    leaf = torch.zeros(5, 7, 6, dtype=torch.float64, requires_grad=True)
    r = uphill(torch.autograd.grad(closure(leaf), leaf)[0], 1.0)
    expected = plain(model, closure() + closure(r))
    step = FGM(model, "words").backward(closure)
    assert_same(gradients(model), expected)
    torch.testing.assert_close(step.perturbations[0], r)
    before = bits(model.words.weight)
    FGM(model, "words", space="weight").backward(closure)
    assert torch.equal(bits(model.words.weight), before) and model.out.weight is model.words.weight


@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("frozen", [["words"], ["words", "conv"], ["head"], ["words", "conv", "head"]], ids=str)
def test_frozen_parameters_stay_frozen_and_change_no_direction(method, frozen):
    model, (tokens, target) = Text(), batch()
    twin = copy.deepcopy(model)
    for name in frozen:
        model.get_submodule(name).requires_grad_(False)
    options = {"init": 0.0} if method is FreeLB else {}
    here = method(model, **options).backward(closure_of(model, tokens, target))
    there = method(twin, **options).backward(closure_of(twin, tokens, target))
    torch.testing.assert_close(here.perturbations, there.perturbations)
    expected = {n: g for n, g in gradients(twin).items() if n.split(".")[0] not in frozen}
    assert_same(gradients(model), expected)


def test_no_samples_at_all():
    model, (tokens, target) = Text(), batch()
    for method in TRAINERS:
        step = method(model).backward(lambda: F.cross_entropy(model(tokens[:0]), target[:0], reduction="sum"))
        assert step.perturbations[0].shape == (0, 7, 6) and step.loss == 0 and not step.skipped
        assert method(model).backward(closure_of(model, tokens[:0], target[:0])).skipped  # a mean over nothing is nan


# --- What stays as it was ---------------------------------------------------------------------------------------------


def hooks(model):
    return [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks] + [
        p for p in model.parameters() if p._backward_hooks
    ]


@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("space", ["activation", "weight"])
@pytest.mark.parametrize("passes", [0, 1])
def test_after_an_exception_everything_is_as_before(method, space, passes):
    model, (tokens, target) = Text(dropout=0.2, norm=True), batch()
    model.head.bias.grad = torch.full_like(model.head.bias, 3.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weight = bits(model.words.weight)
    count = iter(range(10))

    def closure():
        loss = F.cross_entropy(model(tokens), target)
        if next(count) == passes:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        method(model, space=space).backward(closure)
    assert torch.equal(bits(model.words.weight), weight) and not hooks(model)
    assert gradients(model).keys() == {"head.bias"} and (model.head.bias.grad == 3).all()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
def test_one_dropout_mask_and_the_generator_goes_on_as_after_one_pass(method):
    model, (tokens, target) = Text(dropout=0.5), batch()
    loss = closure_of(model, tokens, target)
    closure = (lambda: model(tokens)) if method is VAT else loss
    generator = {"generator": torch.Generator()} if method in (FreeLB, VAT) else {}
    torch.manual_seed(7)
    plain_loss = loss().detach()
    state = torch.get_rng_state()

    torch.manual_seed(7)
    step = method(model, epsilon=0.0, **generator).backward(closure)
    assert torch.equal(torch.get_rng_state(), state)
    if method is VAT:
        assert step.losses[0] == 0  # without a perturbation nothing changes: the masks are the same
    else:
        assert all(torch.equal(each, plain_loss) for each in step.losses)
    torch.manual_seed(7)
    other = method(model, epsilon=0.0, same_dropout=False, **generator).backward(closure)
    assert not torch.equal(torch.get_rng_state(), state)
    assert other.losses[0] > 1e-3 if method is VAT else len({float(each) for each in other.losses}) == len(other.losses)


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
def test_running_statistics_see_one_pass(method):
    model, (tokens, target) = Text(norm=True), batch()
    twin = copy.deepcopy(model)
    closure = (lambda: model(tokens)) if method is VAT else closure_of(model, tokens, target)
    init = {"init": 0.0} if method is FreeLB else {}
    method(model, epsilon=5.0, **init).backward(closure)
    twin(tokens)
    for name, buffer in twin.named_buffers():
        assert torch.equal(buffer, model.get_buffer(name)), name
    model.eval()
    method(model, **init).backward(closure)
    assert all(torch.equal(buffer, model.get_buffer(name)) for name, buffer in twin.named_buffers())


@pytest.mark.parametrize(("method", "space"), WAYS)
def test_gradients_accumulate_over_micro_batches(method, space):
    model, parts = Text(), [batch(seed=1), batch(seed=2), batch(seed=3)]

    def take(tokens, target):
        options = {} if method is VAT else {"space": space}
        if method in (FreeLB, VAT):
            options["generator"] = torch.Generator().manual_seed(0)
        closure = (lambda: model(tokens)) if method is VAT else closure_of(model, tokens, target)
        return method(model, "words", **options).backward(closure)

    alone = []
    for part in parts:
        model.zero_grad()
        take(*part)
        alone.append(gradients(model))
    model.zero_grad()
    for part in parts:
        take(*part)
    assert_same(gradients(model), {name: sum(each[name] for each in alone) for name in alone[0]})


# --- Mixed precision, gradients that are not finite -------------------------------------------------------------------


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
@pytest.mark.parametrize("scale", [2.0**10, 2.0**100])
def test_scaled_gradients_have_the_same_direction(method, scale):
    """2**100: a square would overflow."""
    model, (tokens, target) = Text(dtype=torch.float32), batch()
    closure = (lambda: model(tokens)) if method is VAT else closure_of(model, tokens, target)
    make = lambda: method(  # noqa: E731
        model, **({"generator": torch.Generator().manual_seed(0)} if method in (FreeLB, VAT) else {})
    )
    expected, unscaled = make().backward(closure), gradients(model)
    model.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    step = make().backward(closure, scaler=scaler)
    torch.testing.assert_close(step.perturbations, expected.perturbations, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(step.loss, expected.loss)
    assert_same({n: g / scale for n, g in gradients(model).items()}, unscaled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("method", "space"), WAYS)
@pytest.mark.parametrize("inside", [True, False])
def test_training_under_autocast_with_a_scaler(method, space, inside):
    """Also with autocast around the call: weights that it has cast must not be used again."""
    model, (tokens, target) = Text(dtype=torch.float32), batch(rows=40)
    adversary = method(model, epsilon=0.2, **({} if method is VAT else {"space": space}))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    autocast = lambda on=True: torch.autocast("cpu", torch.bfloat16, enabled=on)  # noqa: E731

    def closure():
        with autocast(inside or torch.is_autocast_enabled("cpu")):
            logits = model(tokens)
            assert logits.dtype == torch.bfloat16
        return logits if method is VAT else F.cross_entropy(logits.float(), target)

    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        with autocast(not inside):
            step = adversary.backward(closure, scaler=scaler)
            if method is VAT:
                scaler.scale(F.cross_entropy(model(tokens).float(), target)).backward()
        assert not step.skipped and set(gradients(model)) == {name for name, _ in model.named_parameters()}
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(F.cross_entropy(model(tokens), target).detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_autocast_does_not_keep_a_weight_that_was_perturbed():
    """Around several passes it keeps what it has cast; here the output layer is perturbed with the embedding."""
    tokens, _ = batch()
    losses = []
    for inside in (True, False):
        model = Language().float()

        def closure(model=model, inside=inside):
            with torch.autocast("cpu", torch.bfloat16, enabled=inside or torch.is_autocast_enabled("cpu")):
                return F.cross_entropy(model(tokens).float(), tokens.roll(1, 1))

        with nullcontext() if inside else torch.autocast("cpu", torch.bfloat16):
            losses.append(FGM(model, space="weight", epsilon=20.0).backward(closure).losses)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models(dtype):
    model, (tokens, target) = Text(dtype=torch.float32), batch()
    exact = FGM(model).backward(closure_of(model, tokens, target)).perturbations[0]
    half = Text(dtype=dtype)
    step = FGM(half).backward(closure_of(half, tokens, target))
    assert step.perturbations[0].dtype == torch.float32 and half.head.weight.grad.dtype == dtype
    cosine = F.cosine_similarity(step.perturbations[0].flatten(1), exact.flatten(1))
    assert (cosine > 0.99).all()


@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("space", ["activation", "weight"])
@pytest.mark.parametrize("bad_pass", [0, 1])
@pytest.mark.parametrize("kind", ["gradient", "loss"])
def test_a_gradient_that_is_not_finite_skips_the_step_and_says_so(method, space, bad_pass, kind):
    model, (tokens, target) = Text(dtype=torch.float32), batch()
    model.head.bias.grad = torch.full_like(model.head.bias, 3.0)  # an earlier micro-batch
    weight, count = bits(model.words.weight), iter(range(99))

    def closure():
        logits = model(tokens)
        if next(count) == bad_pass:
            logits = BadGradient.apply(logits) if kind == "gradient" else logits * math.nan
        return F.cross_entropy(logits, target)

    step = method(model, space=space).backward(closure)
    assert step.skipped and torch.equal(bits(model.words.weight), weight)
    assert gradients(model).keys() == {"head.bias"} and (model.head.bias.grad == 3).all()
    assert math.isfinite(float(step.loss)) == (kind == "gradient")

    # With a scaler: it must see it, skip the step, and lower the scale.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler, before = torch.amp.GradScaler("cpu", init_scale=64.0), copy.deepcopy(model.state_dict())
    count = iter(range(99))
    assert method(model, space=space).backward(closure, scaler=scaler).skipped
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 32 and not optimizer.state
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # One that is switched off is none.
    optimizer.zero_grad()
    count = iter(range(99))
    assert method(model, space=space).backward(closure, scaler=torch.amp.GradScaler("cpu", enabled=False)).skipped
    assert not gradients(model)


# --- In a training loop -----------------------------------------------------------------------------------------------


def test_fit_takes_a_step_that_has_called_backward():
    tokens, target = batch(rows=12)
    model, twin = Text(dropout=0.1), Text(dropout=0.1)
    fgm = FGM(model, "words", epsilon=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def step(model, batch):
        return fgm.backward(closure_of(model, *batch)).loss

    torch.manual_seed(4)
    history = fit(model, batches(tokens, target, batch_size=5, shuffle=False), step, epochs=3, optimizer=optimizer)
    hand, other = torch.optim.Adam(twin.parameters(), lr=0.01), FGM(twin, "words", epsilon=0.5)
    torch.manual_seed(4)
    for _ in range(3):
        for rows in (slice(0, 5), slice(5, 10), slice(10, 12)):
            hand.zero_grad()
            other.backward(closure_of(twin, tokens[rows], target[rows]))
            hand.step()
    assert len(history.rows) == 3 and torch.isfinite(torch.tensor(history.column("loss"))).all()
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_fit_adds_vat_to_a_supervised_loss():
    tokens, target = batch(rows=12)
    unlabelled, _ = batch(rows=30, seed=8)
    model = Text()
    vat = VAT(model, "words", epsilon=0.5)

    def step(model, batch):
        return closure_of(model, *batch)() + vat.loss(lambda: model(unlabelled))

    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = fit(model, batches(tokens, target, batch_size=6, shuffle=False), step, epochs=5, optimizer=optimizer)
    assert history.column("loss")[-1] < history.column("loss")[0]


def count_gradients(model, run):
    """How often a weight's gradient was computed."""
    seen = []
    handles = [p.register_hook(lambda g, n=n: seen.append(n)) for n, p in model.named_parameters()]
    run()
    for handle in handles:
        handle.remove()
    return {seen.count(name) for name, _ in model.named_parameters()}


def test_only_the_passes_that_teach_compute_the_weights_gradients():
    model, (tokens, target) = Text(), batch()
    closure = closure_of(model, tokens, target)
    counts = {
        FGM(model): {2},
        FGM(model, clean_weight=0.0): {1},
        PGD(model, steps=5): {2},
        PGD(model, steps=5, clean_weight=0.0): {1},
        FreeLB(model, steps=5): {5},
    }
    for method, expected in counts.items():
        model.seen = []
        assert count_gradients(model, lambda method=method: method.backward(closure)) == expected
        assert len(model.seen) == method.steps + (not isinstance(method, FreeLB))
    model.seen = []
    assert count_gradients(model, lambda: VAT(model, steps=3).backward(lambda: model(tokens))) == {1}
    assert len(model.seen) == 5


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
def test_distributed_data_parallel(method, tmp_path):
    """One process, through the real wrapper: passes that ask for no weight's gradient do not upset it."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model, twin, (tokens, target) = Text(), Text(), batch()
        wrapped = nn.parallel.DistributedDataParallel(model)
        for _ in range(2):
            for each, inner in ((wrapped, model), (twin, twin)):
                closure = (lambda m=each: m(tokens)) if method is VAT else closure_of(each, tokens, target)
                options = {"generator": torch.Generator().manual_seed(0)} if method in (FreeLB, VAT) else {}
                method(each, inner.words, **options).backward(closure)
        assert_same(gradients(model), gradients(twin))
    finally:
        torch.distributed.destroy_process_group()


def test_a_checkpointed_embedding_is_refused():
    model, (tokens, target) = Text(), batch()
    closure = lambda: F.cross_entropy(checkpoint(model, tokens, use_reentrant=False), target)  # noqa: E731
    with pytest.raises(RuntimeError, match="cannot lie under activation checkpointing"):
        FGM(model, "words").backward(closure)
    behind = lambda: F.cross_entropy(  # noqa: E731
        checkpoint(model.rest, model.words(tokens), use_reentrant=False), target
    )
    PGD(model, "words").backward(behind)
    found = gradients(model)
    model.zero_grad()
    PGD(model, "words").backward(closure_of(model, tokens, target))
    assert_same(found, gradients(model))


# --- attack -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "alpha"), [(1, None), (4, None), (3, 0.1)])
def test_attack_perturbs_inside_the_context_alone_and_touches_no_gradient(steps, alpha):
    model, (tokens, target) = Text(norm=True).eval(), batch()
    model.head.bias.grad = torch.ones_like(model.head.bias)
    clean = model(tokens).detach()
    length = alpha or (0.5 if steps == 1 else 2.5 * 0.5 / steps)
    r = descend(model, tokens, target, epsilon=0.5, alpha=length, steps=steps)
    with (
        torch.no_grad(),
        attack(model, "words", closure_of(model, tokens, target), epsilon=0.5, steps=steps, alpha=alpha) as found,
    ):
        for _ in range(2):
            logits = model(tokens)
            torch.testing.assert_close(logits, model.rest(model.words.weight[tokens] + r))
        with pytest.raises(RuntimeError, match="in a later"):
            model(tokens[:2])
    torch.testing.assert_close(found[0], r)
    assert not logits.requires_grad and not hooks(model)
    assert torch.equal(model(tokens), clean)
    assert gradients(model).keys() == {"head.bias"} and (model.head.bias.grad == 1).all()


def test_attack_leaves_nothing_behind_after_an_exception():
    model, (tokens, target) = Text(), batch()
    with pytest.raises(KeyError), attack(model, None, closure_of(model, tokens, target), epsilon=0.5):
        raise KeyError
    assert not hooks(model)
    with pytest.raises(FloatingPointError, match="not finite"):
        with attack(model, None, lambda: BadGradient.apply(model(tokens)).sum(), epsilon=0.5):
            pass
    assert not hooks(model) and not gradients(model)


# --- Compiled models, copies, nested tensors --------------------------------------------------------------------------


@pytest.fixture
def compiles():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(model, way):
    if way == "in place":
        model.compile(backend="eager")
        return model
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("way", ["in place", "wrapped"])
@pytest.mark.parametrize("evaluate", [torch.no_grad, torch.enable_grad])
def test_a_compiled_model_is_not_robust(compiles, way, evaluate):
    """Its compiled code calls no hook that came later: without a word the attack would be none."""
    model, (tokens, target) = Plain().eval(), batch()
    call = compiled(model, way)
    with evaluate():
        clean = call(tokens)
    closure = lambda: F.cross_entropy(call(tokens), target)  # noqa: E731
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"torch\.compile.*force_eager"):
            with evaluate(), attack(model, "words", closure, epsilon=3.0):
                assert torch.equal(call(tokens), clean)
        assert not hooks(model)
    with torch.compiler.set_stance("force_eager"), evaluate(), attack(model, "words", closure, epsilon=3.0):
        assert not torch.allclose(call(tokens), clean)


@pytest.mark.parametrize("way", ["in place", "wrapped"])
@pytest.mark.parametrize(("method", "space"), WAYS)
def test_training_a_compiled_model_perturbs_or_says_so(compiles, way, method, space):
    model, (tokens, target) = Plain(), batch()
    call = compiled(model, way)
    call(tokens)
    closure = (lambda: call(tokens)) if method is VAT else (lambda: F.cross_entropy(call(tokens), target))
    adversary = method(model, "words", **({} if method is VAT else {"space": space}))
    if space == "weight":  # no hook: the weight itself is moved
        losses = adversary.backward(closure).losses
        assert len({float(loss) for loss in losses}) == len(losses)
    else:
        with pytest.raises(RuntimeError, match=r"did not call the layer 'words'.*torch\.compile"):
            adversary.backward(closure)
    assert not hooks(model)


@pytest.mark.parametrize("others", [False, True])
def test_the_perturbation_alone_is_a_fair_wish(compiles, monkeypatch, recwarn, others):
    """A body that does not call a model that was not compiled is no mistake."""
    model, (tokens, target) = Plain(), batch()
    if others:
        assert len(compiled(Plain(), "wrapped")(tokens)) == 5
    else:
        monkeypatch.setattr("tutorial_lib._kernels.hooks.has_compiled", lambda: False)
    with attack(model, "words", closure_of(model, tokens, target), epsilon=1.0) as r:
        pass
    assert r[0].shape == (5, 7, 6)
    # But a compiled function could have called it.
    found = [str(warning.message) for warning in recwarn.list if "nothing was attacked" in str(warning.message)]
    assert len(found) == others and all("torch.compile" in message for message in found)


@pytest.mark.parametrize("evaluate", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("part", [False, True])
def test_a_part_of_a_compiled_model(compiles, evaluate, part):
    """Whichever of the two was compiled, and though the attack itself ran uncompiled."""
    model, (tokens, target) = nn.Sequential(Plain(), nn.Tanh()).eval(), batch()
    call = compiled(model, "wrapped")
    with evaluate():
        clean = call(tokens)
    attacked, layer = (model[0], "words") if part else (model, "0.words")
    with pytest.raises(RuntimeError, match="nothing was attacked.*torch.compile"), evaluate():
        with attack(attacked, layer, lambda: F.cross_entropy(model(tokens), target), epsilon=3.0):
            assert torch.equal(call(tokens), clean)


class Plain(nn.Module):
    """Text without what keeps a trace of its calls: compiled code may not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(20, 6), nn.Linear(6, 3)

    def forward(self, tokens):
        return self.head(self.words(tokens).mean(1))


def copies(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return [copy.deepcopy(model), MeanTeacher(model).model, torch.load(file, weights_only=False)]


@pytest.mark.parametrize("where", ["words", "conv", ""])
def test_a_copy_made_inside_attack_is_a_plain_model(where):
    model, (tokens, target) = Text().eval(), batch()
    x = model.words(tokens).detach()
    with torch.no_grad():
        if where:
            clean, given, closure = model(tokens), tokens, closure_of(model, tokens, target)
        else:
            model, given = nn.Sequential(model.conv, nn.Flatten()), x.transpose(1, 2)
            clean, closure = model(given), lambda: model(given).square().sum()
    with torch.no_grad(), attack(model, where, closure, epsilon=2.0):
        made = copies(model)
        assert not torch.allclose(model(given), clean)
    for twin in made:
        assert torch.equal(twin(given), clean) and not hooks(twin)
        with attack(twin, where, lambda twin=twin: twin(given).square().sum(), epsilon=2.0):  # it can be attacked
            assert not torch.allclose(twin(given), clean)
        assert torch.equal(twin(given), clean)


@pytest.mark.parametrize(("method", "space"), WAYS)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_copy_made_in_a_closure_holds_the_weights_as_they_were(method, space, frozen):
    model, (tokens, _), made = Language(), batch(), []
    model.words.weight.requires_grad_(not frozen)
    before = bits(model.words.weight)

    def closure():
        made.extend(copies(model))
        logits = model(tokens)
        return logits if method is VAT else F.cross_entropy(logits, tokens)

    options = {} if method is VAT else {"space": space}
    method(model, "words", **options).backward(closure)
    for place, twin in enumerate(made):
        assert torch.equal(bits(twin.words.weight), before) and twin.out.weight is twin.words.weight
        assert twin.words.weight.requires_grad == (not frozen and place % 3 != 1)  # a teacher learns nothing
        assert not vars(twin.words.weight) and not hooks(twin)
    assert not vars(model.words.weight) and len(made) >= 6


class Encoder(nn.Module):
    """Torch's encoder: in eval() without gradients it hands nested tensors from layer to layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(20, 8, padding_idx=0)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.encoder(self.words(tokens), src_key_padding_mask=tokens == 0).sum(1))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layer", ["encoder.layers.0", "encoder.layers.1", "encoder.layers.2", "encoder", "words"])
@pytest.mark.parametrize("evaluate", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_an_encoder_with_padding_can_be_attacked(layer, evaluate, frozen, ragged):
    model, (tokens, target) = Encoder().eval().requires_grad_(not frozen), batch(rows=6)
    if not ragged:  # a last column that is padding in every row
        tokens = F.pad(tokens, (0, 2))
    closure, fast = closure_of(model, tokens, target), torch.backends.mha.get_fastpath_enabled()
    with evaluate():
        clean = model(tokens)
        with attack(model, layer, closure, epsilon=0.0, mask=tokens != 0):
            torch.testing.assert_close(model(tokens), clean)
        with attack(model, layer, closure, epsilon=1.0, steps=3, mask=tokens != 0) as r:
            pushed = model(tokens)
        torch.testing.assert_close(model(tokens), clean)
    assert r[0].shape == (*tokens.shape, 8) and not r[0][tokens == 0].any()
    assert F.cross_entropy(pushed, target) > F.cross_entropy(clean, target)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    FGM(model, layer).backward(closure)
    VAT(model, layer).backward(lambda: model(tokens))
    assert torch.backends.mha.get_fastpath_enabled() == fast


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_the_attack_on_an_encoder_is_that_of_its_padded_form():
    model, (tokens, target) = Encoder().eval(), batch(rows=6)
    with torch.no_grad(), attack(model, "encoder.layers.2", closure_of(model, tokens, target), epsilon=1.0) as (r,):
        pushed = model(tokens)
    with torch.no_grad():
        hidden = model.encoder(model.words(tokens), src_key_padding_mask=tokens == 0)
        torch.testing.assert_close(pushed, model.head((hidden + r * (tokens != 0)[..., None]).sum(1)))


# --- Bad arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (FGM, {"epsilon": -1}, "epsilon must be finite and at least 0, got -1"),
        (FGM, {"epsilon": math.nan}, "epsilon must be finite"),
        (PGD, {"epsilon": math.inf}, "epsilon must be finite"),
        (FGM, {"epsilon": True}, "epsilon must be a number, finite and at least 0, got True"),
        (FGM, {"space": "weights"}, "space must be 'activation' or 'weight', got 'weights'"),
        (FGM, {"norm": "token"}, "norm must be 'sample' or 'batch', got 'token'"),
        (FGM, {"ball": "l1"}, "ball must be 'l2' or 'linf', got 'l1'"),
        (FGM, {"batch_dim": "0"}, "batch_dim must be a whole number"),
        (FGM, {"clean_weight": -1}, "clean_weight must be finite and at least 0"),
        (FGM, {"adversarial_weight": 0}, "adversarial_weight must be finite and above 0"),
        (PGD, {"alpha": 0.0}, "alpha must be finite and above 0"),
        (PGD, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (PGD, {"steps": 1.5}, "steps must be a whole number"),
        (FreeLB, {"init": 2.0}, "init must be at most epsilon, 1, got 2"),
        (FreeLB, {"epsilon": math.inf}, "epsilon = inf needs alpha and init"),
        (VAT, {"xi": 0}, "xi must be finite and above 0"),
        (VAT, {"steps": -1}, "steps must be a whole number of at least 0"),
        (VAT, {"generator": 0}, "generator must be a torch.Generator or None, got 0"),
        (FreeLB, {"generator": 0}, "generator must be a torch.Generator or None, got 0"),
        (FGM, {"padding_idx": 0.0}, "padding_idx must be a whole number, got 0.0"),
        (FGM, {"norm": ""}, "norm must be 'sample' or 'batch', got ''"),
    ],
)
def test_bad_arguments(method, options, message):
    with pytest.raises(ValueError, match=message):
        method(Text(), **options)


def test_a_number_of_any_library():
    model, (tokens, target) = Text(), batch()
    closure = closure_of(model, tokens, target)
    kinds = [np.float32, np.float64, torch.tensor, np.array], [np.int64, np.uint8, torch.tensor, np.array]
    for real, whole in zip(*kinds):
        for method, options in (
            (FGM, {"clean_weight": real(0.5), "adversarial_weight": real(0.5)}),
            (PGD, {"alpha": real(0.5), "steps": whole(3)}),
            (FreeLB, {"alpha": real(0.5), "steps": whole(3), "init": real(0.0)}),
        ):
            plain_options = {name: value.item() for name, value in options.items()}
            found = method(model, epsilon=real(0.75), batch_dim=whole(0), padding_idx=whole(0), **options).backward(
                closure
            )
            expected = method(model, epsilon=0.75, padding_idx=0, **plain_options).backward(closure)
            torch.testing.assert_close(found.perturbations, expected.perturbations)
        VAT(model, xi=real(0.125), steps=whole(1)).backward(lambda: model(tokens), weight=real(0.5))
        with attack(model, None, closure, epsilon=real(0.75), steps=whole(2), alpha=real(0.5)):
            model(tokens)


@pytest.mark.parametrize("method", [FGM, PGD, FreeLB, VAT])
def test_a_mask_of_any_library(method):
    model, (tokens, target) = Text(), batch()
    closure = (lambda: model(tokens)) if method is VAT else closure_of(model, tokens, target)
    hidden = torch.arange(7).expand(5, 7) % 2 == 0
    kinds = [torch.bool, torch.int64, torch.float32, torch.bfloat16]
    for mask in [*(hidden.to(kind) for kind in kinds), *(hidden.numpy().astype(kind) for kind in ("?", ">i4", "f8"))]:
        for form in (mask, [mask], (mask,)):
            (r,) = method(model).backward(closure, mask=form).perturbations
            assert torch.equal((r != 0).all(2), (tokens != 0) & hidden)
    for mask, message in [
        (hidden.float() * -10000, "mask must hold only 0 and 1 .*, got -10000"),
        (hidden.to_sparse(), "mask must be a dense tensor, got sparse_coo"),
        (np.ma.masked_array(hidden.numpy(), hidden.numpy()), "mask must be a plain array.*masked"),
        (hidden.tolist(), "mask must be a tensor, or a list of tensors, got a list of"),
        ([], r"mask must be a tensor, or a list with one for each call of the layer, got \[\]"),
        ("1", "mask must be a tensor"),
    ]:
        with pytest.raises(ValueError, match=message):
            method(model).backward(closure, mask=mask)


def test_more_bad_arguments():
    with pytest.raises(ValueError, match="model must be a torch.nn.Module, got function"):
        FGM(lambda x: x)
    fgm = FGM(Text())
    fgm.epsilon = 3
    assert fgm.epsilon == 3.0
    with pytest.raises(ValueError, match="epsilon must be"):
        fgm.epsilon = -1
    with pytest.raises(ValueError, match="weight must be finite and above 0"):
        VAT(fgm.model).backward(lambda: None, weight=0)
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="the model got none"):
        FGM(model, "").backward(lambda: model(input=torch.ones(1, 2)).sum())


# --- The faults of the snippet that everybody copies ------------------------------------------------------------------
#
# Written anew from its description: it perturbs every parameter whose name holds a text, by epsilon times the gradient
# over the gradient's norm, and counts on .grad as it finds it.


class Snippet:
    def __init__(self, model, part, epsilon=1.0, alpha=0.3):
        self.matched = [p for name, p in model.named_parameters() if part in name and p.requires_grad]
        self.model, self.epsilon, self.alpha, self.fired = model, epsilon, alpha, 0

    def save(self):
        self.saved = [p.data.clone() for p in self.matched]

    def fgm(self):
        self.save()
        for p in self.matched:
            norm = torch.norm(p.grad)
            if norm != 0 and not torch.isnan(norm):
                p.data = p.data + self.epsilon * p.grad / norm

    def pgd(self, first):
        if first:
            self.save()
        for p, start in zip(self.matched, self.saved):
            p.data = p.data + self.alpha * p.grad / torch.norm(p.grad)
            r = p.data - start
            if torch.norm(r) > self.epsilon:
                self.fired += 1
                p.data = start + self.epsilon * r / torch.norm(r)

    def restore(self):
        for p, start in zip(self.matched, self.saved):
            p.data = start

    def keep_gradients(self):
        self.kept = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.requires_grad}

    def give_gradients_back(self):
        for name, p in self.model.named_parameters():
            p.grad = self.kept[name]

    @property
    def moved(self):
        return [p.data - start for p, start in zip(self.matched, self.saved)]


def test_fault_1_the_projection_never_fires():
    model, (tokens, target) = Text(), batch()
    closure, snippet = closure_of(model, tokens, target), Snippet(model, "words")
    closure().backward()
    for k in range(3):
        snippet.pgd(first=k == 0)
        model.zero_grad()
        closure().backward()
    assert snippet.fired == 0 and snippet.moved[0].norm() <= 0.9 + 1e-9  # 3 x 0.3, inside a ball of radius 1
    snippet.restore()

    with pytest.warns(UserWarning, match=r"alpha \* steps = 0.9 is below epsilon = 1"):
        PGD(model, epsilon=1.0, alpha=0.3, steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pgd = PGD(model, epsilon=1.0, steps=3)
        PGD(model, epsilon=0.3, alpha=0.1, steps=3)
    model.seen = []
    (r,) = pgd.backward(closure).perturbations
    sizes = [(seen - model.words(tokens)).flatten(1).norm(dim=1) for seen in model.seen]
    torch.testing.assert_close(sizes[1], torch.full((5,), 2.5 / 3).double())  # still inside: one step
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.ones(5).double())  # at the border, exactly
    (fewer,) = PGD(model, epsilon=1.0, alpha=2.5 / 3, steps=2).backward(closure).perturbations
    assert (r - fewer).norm() > 1e-3  # and it moved along it


def test_fault_2_one_norm_for_the_batch():
    model, (tokens, target) = Text(), batch(rows=32)
    closure, snippet = closure_of(model, tokens, target), Snippet(model, "words")
    closure().backward()
    snippet.fgm()
    shares = snippet.moved[0][tokens].flatten(1).norm(dim=1)
    snippet.restore()
    assert shares.std() > 0.05 and not torch.isclose(shares, torch.ones(32).double(), rtol=0.05).any()
    (one,) = FGM(model, norm="batch").backward(closure).perturbations
    assert one.flatten(1).norm(dim=1).max() < 0.7 and torch.isclose(one.norm(), torch.tensor(1.0).double())
    (r,) = FGM(model).backward(closure).perturbations
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.ones(32).double())


class Bert(nn.Module):
    """The names of the usual encoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embeddings = nn.Module()
        self.embeddings.word_embeddings = nn.Embedding(20, 6)
        self.embeddings.position_embeddings = nn.Embedding(7, 6)
        self.embeddings.LayerNorm = nn.LayerNorm(6)
        self.head = nn.Linear(42, 3)

    def forward(self, tokens):
        parts = self.embeddings
        embedded = parts.word_embeddings(tokens) + parts.position_embeddings(torch.arange(7))
        return self.head(torch.tanh(parts.LayerNorm(embedded)).flatten(1))


def test_fault_3_a_part_of_a_name():
    model, (tokens, target) = Bert(), batch()
    closure = closure_of(model, tokens, target)
    closure().backward()
    assert Snippet(model, "emb.").matched == []  # a no-op, and nobody hears of it
    assert len(Snippet(model, "embeddings").matched) == 4  # positions and LayerNorm too
    with pytest.raises(ValueError, match="no submodule 'emb.'; it has, nearest first: .*'embeddings"):
        FGM(model, "emb.")
    with pytest.raises(ValueError, match="'embeddings.word_embeddings', 'embeddings.position_embeddings'"):
        FGM(model)
    before = [bits(p) for p in model.parameters()]
    (r,) = FGM(model, "embeddings.word_embeddings").backward(closure).perturbations
    assert r.shape == (5, 7, 6)
    assert all(torch.equal(bits(p), old) for p, old in zip(model.parameters(), before))


def test_fault_4_repeated_words_share_one_perturbation():
    model = nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(42, 3))
    tokens, target = torch.tensor([[3, 3, 3, 4, 5, 6, 7]]), torch.tensor([1])
    closure, snippet = closure_of(model, tokens, target), Snippet(model, "0.weight")
    closure().backward()
    snippet.fgm()
    at = snippet.moved[0][tokens[0]]
    snippet.restore()
    assert torch.equal(at[0], at[1]) and torch.equal(at[0], at[2])
    (r,) = FGM(model).backward(closure).perturbations
    assert min((r[0, 0] - r[0, 1]).norm(), (r[0, 0] - r[0, 2]).norm()) > 0.05


def test_fault_5_parameters_without_a_gradient():
    class Unused(Text):
        def __init__(self):
            super().__init__()
            self.words_of_another_language = nn.Embedding(3, 2)

    model, (tokens, target) = Unused(), batch()
    closure = closure_of(model, tokens, target)
    closure().backward()
    with pytest.raises((AttributeError, TypeError)):
        Snippet(model, "words").fgm()
    with pytest.raises(AttributeError):
        Snippet(model, "words").keep_gradients()
    model.zero_grad()
    model.conv.requires_grad_(False)
    for method in TRAINERS:
        assert not method(model, "words").backward(closure).skipped
    assert gradients(model).keys() == {"words.weight", "head.weight", "head.bias"}


def test_fault_6_an_infinite_gradient():
    weight = torch.tensor([1.0, 2.0])
    model = nn.ParameterDict({"words": nn.Parameter(weight.clone())})
    model["words"].grad = torch.tensor([1.0, math.inf])
    snippet = Snippet(model, "words")
    snippet.fgm()
    assert torch.isnan(snippet.moved[0]).tolist() == [False, True]  # isnan(inf) is False, inf / inf is nan

    text, (tokens, target) = Text(), batch()
    step = FGM(text).backward(lambda: BadGradient.apply(F.cross_entropy(text(tokens), target)))
    assert step.skipped and not gradients(text) and torch.isfinite(step.loss)


def test_fault_7_the_kept_gradient_is_the_one_that_is_added_to():
    model, (tokens, target) = Text(), batch()
    closure, snippet = closure_of(model, tokens, target), Snippet(model, "words")
    closure().backward()
    snippet.keep_gradients()
    kept = snippet.kept["head.weight"].clone()
    snippet.give_gradients_back()
    closure().backward()
    assert not torch.equal(snippet.kept["head.weight"], kept)  # a second restore gives something else

    model.zero_grad()
    closure().backward()
    first, count = gradients(model), iter(range(9))

    def fails_later():
        if next(count) == 3:
            raise ArithmeticError
        return closure()

    for _ in range(2):
        count = iter(range(9))
        with pytest.raises(ArithmeticError):
            PGD(model, steps=3).backward(fails_later)
        assert all(torch.equal(value, first[name]) for name, value in gradients(model).items())


def test_fault_8_two_gradients_are_a_doubled_learning_rate():
    model, (tokens, target) = Text(), batch()
    closure, snippet = closure_of(model, tokens, target), Snippet(model, "words", epsilon=1e-9)
    closure().backward()
    once = gradients(model)
    snippet.fgm()
    closure().backward()
    snippet.restore()
    assert_same(gradients(model), {name: 2 * g for name, g in once.items()}, rtol=1e-5, atol=1e-8)
    same_size = [
        FGM(model, epsilon=1e-9, clean_weight=0.5, adversarial_weight=0.5),
        PGD(model, epsilon=1e-9, clean_weight=0.0),
        FreeLB(model, epsilon=1e-9),
    ]
    for method in same_size:
        model.zero_grad()
        method.backward(closure)
        assert_same(gradients(model), once, rtol=1e-5, atol=1e-8)


def test_fault_9_the_direction_holds_old_micro_batches():
    model, (tokens, target), old = Text(), batch(), batch(seed=5)
    closure = closure_of(model, tokens, target)

    def directions(run):
        model.zero_grad()
        fresh = run()
        model.zero_grad()
        closure_of(model, *old)().backward()
        return fresh, run()

    def copied():
        snippet = Snippet(model, "words")
        closure().backward()
        snippet.fgm()
        moved = snippet.moved[0]
        snippet.restore()
        return moved

    fresh, after = directions(copied)
    assert F.cosine_similarity(fresh.flatten(), after.flatten(), 0) < 0.9
    for method in (FGM, PGD):
        for space in ("activation", "weight"):
            adversary = method(model, space=space)
            fresh, after = directions(lambda adversary=adversary: adversary.backward(closure).perturbations[0])
            assert torch.equal(fresh, after)


def test_fault_10_another_dropout_mask_in_each_pass():
    model, (tokens, target) = Text(dropout=0.5), batch()
    closure, snippet = closure_of(model, tokens, target), Snippet(model, "words", epsilon=1e-12)
    torch.manual_seed(0)
    first = closure()
    first.backward()
    snippet.fgm()
    second = closure()
    snippet.restore()
    assert abs(float(second.detach() - first.detach())) > 1e-3  # the perturbation is nothing, the mask is not
    first, second = FGM(model, epsilon=1e-12).backward(closure).losses
    torch.testing.assert_close(first, second, rtol=1e-9, atol=0)
