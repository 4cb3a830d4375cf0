"""tutorial_lib.mixup: known answers, outside oracles, gradients, properties, bad input, and the articles' mistakes."""

import copy
import io
import itertools
import math
import random
import warnings

import kornia
import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

import tutorial_lib.mixup as module
from tutorial_lib.consistency import MeanTeacher
from tutorial_lib.mixup import FlowMix, flow_loss, flow_mixup, manifold_mixup, mixup

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
bce = F.binary_cross_entropy_with_logits


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def fix_draw(monkeypatch, lam, index):
    """Let the next draws be these."""
    lam, index = torch.as_tensor(lam), torch.as_tensor(index)
    monkeypatch.setattr(module, "_draw", lambda values, *args, **kwargs: (lam.to(values.dtype), index))


def by_hand(values, lam, index):
    lam = lam.to(values.dtype).view(-1, *[1] * (values.ndim - 1)) if lam.ndim else lam.to(values.dtype)
    return lam * values + (1 - lam) * values[index]


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, outputs))


def batch(rows=6, labels=3):
    x = torch.randn(rows, 4, generator=seeded(1))
    return x, torch.randint(2, (rows, labels), generator=seeded(2)).float()


# ---------------------------------------------------------------------------------------------------- mixup: numbers


def test_three_rows_by_hand(monkeypatch):
    fix_draw(monkeypatch, 0.25, [1, 2, 0])
    mixed = mixup(torch.tensor([[0.0, 4.0], [8.0, 0.0], [4.0, 4.0]]), torch.eye(3), alpha=1.0)
    assert mixed.inputs.tolist() == [[6, 1], [5, 3], [1, 4]]
    assert mixed.targets.tolist() == [[0.25, 0.75, 0], [0, 0.25, 0.75], [0.75, 0, 0.25]]


def test_one_lam_for_each_sample_by_hand(monkeypatch):
    fix_draw(monkeypatch, [0.25, 0.5, 1.0], [1, 2, 0])
    mixed = mixup(torch.tensor([0.0, 8.0, 4.0]), torch.eye(3), alpha=1.0, per_sample=True)
    assert mixed.inputs.tolist() == [6, 6, 4]
    assert mixed.targets.tolist() == [[0.25, 0.75, 0], [0, 0.5, 0.5], [0, 0, 1]]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
@pytest.mark.parametrize("per_sample", [False, True])
def test_lam_follows_the_beta_law(alpha, per_sample):
    generator, calls = seeded(5), 1 if per_sample else 1500
    x = torch.zeros(1500 if per_sample else 2, 1, dtype=torch.float64)
    lam = [mixup(x, x, alpha=alpha, per_sample=per_sample, generator=generator).lam for _ in range(calls)]
    lam = lam[0] if per_sample else torch.stack(lam)
    assert scipy.stats.kstest(lam.numpy(), scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("alpha", [5e-324, 1e-10, 0.01, 1e10, 1.7e308])
@pytest.mark.parametrize("dtype", FLOATS)
def test_extreme_alpha_is_never_nan(alpha, dtype):
    x = torch.zeros(4000, 1, dtype=dtype)
    lam = mixup(x, x, alpha=alpha, per_sample=True, generator=seeded()).lam.double()
    assert ((lam >= 0) & (lam <= 1)).all()
    assert lam.mean().item() == pytest.approx(0.5, abs=0.03)  # four standard errors
    inside = ((lam > 0.01) & (lam < 0.99)).double().mean().item()
    law = scipy.stats.beta(min(max(alpha, 1e-10), 1e6), min(max(alpha, 1e-10), 1e6))
    assert inside == pytest.approx(law.cdf(0.99) - law.cdf(0.01), abs=0.02)


def test_partners_are_uniform_over_the_permutations():
    generator, x = seeded(7), torch.zeros(3, 1)
    seen = [tuple(mixup(x, x, alpha=1.0, generator=generator).index.tolist()) for _ in range(1200)]
    counts = [seen.count(p) for p in itertools.permutations(range(3))]
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_lam_and_partner_are_independent():
    generator, x = seeded(8), torch.zeros(2, 1, dtype=torch.float64)
    draws = [mixup(x, x, alpha=1.0, generator=generator) for _ in range(1500)]
    lam, swapped = np.array([(d.lam, d.index[0]) for d in draws], dtype=float).T
    assert scipy.stats.ks_2samp(lam[swapped == 0], lam[swapped == 1]).pvalue > 0.01


def test_alpha_zero_does_not_mix_and_keeps_the_stream():
    x, y = batch()
    mixed = mixup(x, y, alpha=0, generator=seeded())
    assert mixed.lam == 1 and torch.equal(mixed.inputs, x) and torch.equal(mixed.targets, y)
    assert torch.equal(mixed.index, mixup(x, y, alpha=2.0, generator=seeded()).index)


def test_equals_the_two_loss_form_of_the_authors_code():
    # Zhang et al. train with lam * l(f, y_a) + (1 - lam) * l(f, y_b) on class numbers.
    x, classes = torch.randn(16, 4, generator=seeded(3)), torch.randint(5, (16,), generator=seeded(4))
    mixed = mixup(x, F.one_hot(classes, 5).float(), alpha=0.4, generator=seeded())
    logits = network(5)(mixed.inputs)
    two = mixed.lam * F.cross_entropy(logits, classes) + (1 - mixed.lam) * F.cross_entropy(logits, classes[mixed.index])
    torch.testing.assert_close(F.cross_entropy(logits, mixed.targets), two)


def test_equals_kornia(monkeypatch):
    x, classes = torch.rand(8, 3, 16, 16, generator=seeded()), torch.arange(8)
    peer = kornia.augmentation.RandomMixUpV2(p=1.0, data_keys=["input", "class"])
    torch.manual_seed(0)
    images, labels = peer(x, classes)
    # kornia's lam is the partner's weight.
    fix_draw(monkeypatch, 1 - labels[:, 2], peer._params["mixup_pairs"])
    mixed = mixup(x, F.one_hot(classes, 8).float(), alpha=1.0, per_sample=True)
    torch.testing.assert_close(mixed.inputs, images)
    own, partner = (F.one_hot(labels[:, column].long(), 8).float() for column in (0, 1))
    torch.testing.assert_close(mixed.targets, (1 - labels[:, 2:]) * own + labels[:, 2:] * partner)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 8.0])
def test_article_mean_of_one_half_says_nothing_about_alpha(alpha):
    # The article reads "the expectation is about 0.5 however alpha is set" as a finding. It is the mean of every
    # symmetric Beta law. What alpha sets is the variance, 1 / (4 (2 alpha + 1)).
    mean, variance = scipy.stats.beta(alpha, alpha).stats("mv")
    assert mean == 0.5 and variance == pytest.approx(1 / (4 * (2 * alpha + 1)))
    x = torch.zeros(20000, 1, dtype=torch.float64)
    lam = mixup(x, x, alpha=alpha, per_sample=True, generator=seeded()).lam
    assert lam.mean().item() == pytest.approx(0.5, abs=0.015)
    assert lam.var().item() == pytest.approx(float(variance), rel=0.05)


# ------------------------------------------------------------------------------------- mixup: shapes, types, buffers


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3), (5, 2, 3, 4), (5, 1, 2, 2, 3)])
@pytest.mark.parametrize("per_sample", [False, True])
def test_any_rank_and_dtype(dtype, shape, per_sample):
    x = torch.randn(shape, generator=seeded(1)).to(dtype)
    y = torch.rand(shape[:3], generator=seeded(2))
    mixed = mixup(x, y, alpha=1.0, per_sample=per_sample, generator=seeded())
    assert mixed.inputs.dtype == mixed.lam.dtype == dtype and mixed.targets.dtype == y.dtype
    assert mixed.inputs.shape == x.shape and mixed.targets.shape == y.shape
    assert mixed.lam.shape == ((5,) if per_sample else ())
    exact = by_hand(x.double(), mixed.lam.double(), mixed.index)
    torch.testing.assert_close(mixed.inputs.double(), exact, rtol=0, atol=8 * torch.finfo(dtype).eps)
    torch.testing.assert_close(mixed.targets, by_hand(y, mixed.lam, mixed.index))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("buffer", [False, True])
def test_row_by_row_and_gathered_agree(monkeypatch, dtype, per_sample, buffer):
    x = torch.randn(6, 3, 8, 8, generator=seeded(1)).to(dtype).to(memory_format=torch.channels_last)
    results = []
    for threshold in (1, 1 << 40):
        monkeypatch.setattr(module, "_LARGE_SAMPLE_BYTES", threshold)
        out = torch.empty_like(x) if buffer else None
        mixed = mixup(x, x[:, 0], alpha=1.0, per_sample=per_sample, out=out, generator=seeded())
        assert mixed.inputs is out if buffer else mixed.inputs.is_contiguous(memory_format=torch.channels_last)
        results.append(mixed)
    torch.testing.assert_close(results[0].inputs, results[1].inputs)
    torch.testing.assert_close(results[0].targets, results[1].targets)


def test_batch_of_none_and_of_one():
    empty = mixup(torch.empty(0, 3), torch.empty(0, 2), alpha=1.0)
    assert empty.inputs.shape == (0, 3) and empty.targets.shape == (0, 2) and empty.index.shape == (0,)
    assert mixup(torch.empty(0, 3), torch.empty(0, 2), alpha=1.0, per_sample=True).lam.shape == (0,)
    x, y = torch.randn(1, 3), torch.rand(1, 2)
    one = mixup(x, y, alpha=1.0)
    assert torch.equal(one.inputs, x) and torch.equal(one.targets, y)
    assert one.inputs.data_ptr() != x.data_ptr()


def test_no_element_at_all():
    mixed = mixup(torch.empty(3, 0), torch.eye(3), alpha=1.0, out=torch.empty(3, 0))
    assert mixed.inputs.shape == (3, 0) and mixed.targets.shape == (3, 3)


def test_layouts_that_are_not_contiguous():
    wide = torch.randn(4, 10, generator=seeded(1))
    for x in (wide.t(), wide[:, ::2], wide[:1].expand(4, 10)):
        mixed = mixup(x, x, alpha=1.0, generator=seeded())
        torch.testing.assert_close(mixed.inputs, by_hand(x, mixed.lam, mixed.index))


def test_out_may_be_another_part_of_the_same_buffer():
    both = torch.randn(2, 5, 3)
    x = both[0].clone()
    mixed = mixup(both[0], torch.eye(5), alpha=1.0, out=both[1])
    assert torch.equal(both[0], x) and mixed.inputs.data_ptr() == both[1].data_ptr()
    torch.testing.assert_close(both[1], by_hand(x, mixed.lam, mixed.index))


def test_out_works_where_no_gradient_is_wanted():
    x = torch.randn(4, 3, requires_grad=True)
    with torch.no_grad():
        assert not mixup(x, torch.eye(4), alpha=1.0, out=torch.empty(4, 3)).inputs.requires_grad


def test_global_seed_governs_without_a_generator():
    x, y = batch()
    torch.manual_seed(11)
    first = mixup(x, y, alpha=0.3)
    second = mixup(x, y, alpha=0.3)
    torch.manual_seed(11)
    again = mixup(x, y, alpha=0.3)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert first.lam != second.lam


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 7),
    width=st.integers(1, 5),
    alpha=st.floats(0, 50),
    per_sample=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**31),
)
def test_properties(rows, width, alpha, per_sample, dtype, seed):
    x = (100 * torch.randn(rows, width, generator=seeded(seed))).to(dtype)
    y = torch.rand(rows, 4, generator=seeded(seed + 1)).softmax(1)
    x_before, y_before = x.clone(), y.clone()
    arguments = dict(alpha=alpha, per_sample=per_sample)
    mixed = mixup(x, y, **arguments, generator=seeded(seed))
    again = mixup(x, y, **arguments, out=torch.full_like(x, torch.nan), generator=seeded(seed))
    assert torch.equal(x, x_before) and torch.equal(y, y_before)
    assert all(torch.equal(a, b) for a, b in zip(mixed, again))
    assert sorted(mixed.index.tolist()) == list(range(rows))
    low, high = torch.minimum(x, x[mixed.index]), torch.maximum(x, x[mixed.index])
    assert ((mixed.inputs >= low) & (mixed.inputs <= high)).all()  # a convex combination, to the last bit
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(rows))


X, Y = torch.zeros(4, 3), torch.eye(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(inputs=torch.zeros(4, 3, dtype=torch.uint8)),
            r"inputs must be floating-point \(B, \.\.\.\), got uint8 \(4, 3\)",
        ),
        (dict(inputs=torch.zeros(4, 3, dtype=torch.bool)), "inputs must be floating-point"),
        (dict(inputs=torch.zeros(4, 3, dtype=torch.complex64)), "inputs must be floating-point"),
        (dict(inputs=torch.tensor(1.0)), r"inputs must be floating-point \(B, \.\.\.\), got 1.0"),
        (dict(inputs=np.zeros((4, 3))), r"inputs must be a tensor, floating-point .*, got float64 array \(4, 3\)"),
        (dict(targets=torch.arange(4)), r"targets .*one_hot\(targets, num_classes\).float\(\), got int64 \(4,\)"),
        (dict(targets=Y.bool()), r"targets .*\.float\(\), got bool \(4, 4\)"),
        (dict(targets=Y[:3]), "targets must have as many rows as inputs, 4, got 3"),
        (dict(targets=torch.tensor(1.0)), r"targets must be floating-point \(B, \.\.\.\), got 1.0"),
        (dict(targets=Y.to("meta")), "targets must be on the device of inputs, cpu, got meta"),
        (dict(alpha=-0.1), "alpha must be finite and at least 0, got -0.1"),
        (dict(alpha=math.nan), "alpha"),
        (dict(alpha=math.inf), "alpha"),
        (dict(alpha="1"), "alpha"),
        (dict(alpha=True), "alpha"),
        (dict(generator=0), "generator must be a torch.Generator or None, got 0"),
        (dict(out=torch.zeros(4, 2)), r"out must be like inputs, float32 \(4, 3\) on cpu, got float32 \(4, 2\) on cpu"),
        (dict(out=torch.zeros(4, 3).double()), "out must be like inputs"),
        (dict(out=torch.zeros(4, 3, device="meta")), "out must be like inputs"),
        (dict(out=[]), r"out must be a tensor, floating-point, got \[\]"),
        (dict(out=X), "out must not share memory with inputs"),
        (dict(out=torch.zeros(1, 3).expand(4, 3)), "out must own each of its elements"),
        (dict(out=torch.zeros(4, 3, requires_grad=True)), "out cannot be used where a gradient is needed"),
        (dict(inputs=torch.zeros(4, 3, requires_grad=True), out=torch.zeros(4, 3)), "out cannot be used"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        mixup(**{**dict(inputs=X, targets=Y, alpha=1.0), **change})


def test_out_that_overlaps_in_part():
    line = torch.zeros(7, 3)
    with pytest.raises(ValueError, match="share memory with inputs"):
        mixup(line[:4], Y, alpha=1.0, out=line[3:])
    targets = torch.zeros(4, 3)
    with pytest.raises(ValueError, match="share memory with targets"):
        mixup(X, targets, alpha=1.0, out=targets)


# ---------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("threshold", [1, 1 << 40])
def test_mixup_gradient(monkeypatch, per_sample, threshold):
    monkeypatch.setattr(module, "_LARGE_SAMPLE_BYTES", threshold)

    def f(x, y):
        return mixup(x, y, alpha=1.0, per_sample=per_sample, generator=seeded())[:2]

    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    y = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x, y)) and torch.autograd.gradgradcheck(f, (x, y))


@pytest.mark.parametrize("threshold", [1, 1 << 40])
def test_flow_gradient_is_half_of_the_true_one(monkeypatch, threshold):
    monkeypatch.setattr(module, "_LARGE_SAMPLE_BYTES", threshold)
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = torch.eye(4, dtype=torch.float64)

    def flow(z):
        return FlowMix(1.0, generator=seeded())(z, y)[0]

    def whole(z):
        return torch.cat([z, mixup(z, y, alpha=1.0, generator=seeded()).inputs])

    assert torch.equal(flow(z), whole(z))
    assert torch.autograd.gradcheck(whole, z)
    weights = torch.randn(8, 3, dtype=torch.float64)
    (halved,) = torch.autograd.grad((weights * flow(z)).sum(), z)
    (full,) = torch.autograd.grad((weights * whole(z)).sum(), z)
    torch.testing.assert_close(halved, full / 2, rtol=1e-12, atol=0)
    assert torch.autograd.gradgradcheck(flow, z)
    assert torch.autograd.gradcheck(lambda z: FlowMix(1.0, keep_original=False, generator=seeded())(z, y)[0], z)


@pytest.mark.parametrize(
    ("halve", "loss", "ratio"), [(False, "sum", 2.0), (True, "sum", 1.0), (False, "mean", 1.0), (True, "mean", 0.5)]
)
@pytest.mark.parametrize("modules", [1, 2])
def test_size_of_the_gradient_against_plain_training(monkeypatch, halve, loss, ratio, modules):
    # alpha = 0 leaves every row as it is, so that only the counting of flows and the halving are left.
    if not halve:
        halved = module._AddFlow.backward
        whole = staticmethod(lambda ctx, grad: (2 * halved(ctx, grad)[0], None, None))
        monkeypatch.setattr(module._AddFlow, "backward", whole)
    model, (x, y) = network().double(), batch()
    x, y, first = x.double(), y.double(), model[0].weight
    (plain,) = torch.autograd.grad(bce(model(x), y), first)
    with flow_mixup(model, ["1", "3"][:modules], alpha=0) as mix:
        logits, targets = model(x), mix.targets(y)
    total = flow_loss(bce, logits, targets, flows=mix.flows) if loss == "sum" else bce(logits, targets)
    (flow,) = torch.autograd.grad(total, first)
    torch.testing.assert_close(flow, ratio**modules * plain, rtol=1e-12, atol=0)


# ------------------------------------------------------------------------------------------------ FlowMix, flow_loss


def test_flow_by_hand(monkeypatch):
    fix_draw(monkeypatch, 0.75, [1, 0])
    z, y = FlowMix(1.0)(torch.tensor([[0.0], [4.0]]), torch.eye(2))
    assert z.flatten().tolist() == [0, 4, 1, 3]
    assert y.tolist() == [[1, 0], [0, 1], [0.75, 0.25], [0.25, 0.75]]


def test_rows_are_mixed_within_their_flow_by_one_draw():
    rows = torch.randn(5, 2, generator=seeded(1))
    z = torch.cat([rows, 100 + rows, 200 + rows, 300 + rows])
    y = F.one_hot(torch.arange(20), 20).float()
    mixed, targets = FlowMix(1.0, generator=seeded())(z, y, flows=4)
    assert torch.equal(mixed[:20], z) and torch.equal(targets[:20], y)
    per_flow = mixed[20:].reshape(4, 5, 2)
    for flow in range(4):
        torch.testing.assert_close(per_flow[flow], per_flow[0] + 100 * flow, rtol=0, atol=1e-4)
    torch.testing.assert_close(mixed[20:], targets[20:] @ z, rtol=0, atol=1e-4)
    # The first flow is mixed as it would be alone.
    torch.testing.assert_close(per_flow[0], mixup(rows, rows, alpha=1.0, generator=seeded()).inputs)


def test_flow_keeps_the_layout_of_images():
    x = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    z, _ = FlowMix(1.0)(x, torch.eye(4))
    assert z.is_contiguous(memory_format=torch.channels_last) and torch.equal(z[:4], x)
    z, _ = FlowMix(1.0)(x.contiguous(), torch.eye(4))
    assert z.is_contiguous()


def test_without_originals_it_is_mixup():
    x, y = batch()
    z, t = FlowMix(0.4, keep_original=False, generator=seeded(9))(x, y)
    mixed = mixup(x, y, alpha=0.4, generator=seeded(9))
    assert torch.equal(z, mixed.inputs) and torch.equal(t, mixed.targets)


def test_eval_is_the_identity():
    x, y = batch()
    flow = FlowMix(1.0).eval()
    z, t = flow(x, y)
    assert z is x and t is y


def test_flow_module_as_a_module():
    flow = FlowMix(0.5, generator=seeded(1))
    assert repr(flow) == "FlowMix(alpha=0.5, keep_original=True)" and not flow.state_dict()
    x, y = batch()
    twin = copy.deepcopy(flow)
    assert torch.equal(flow(x, y)[0], twin(x, y)[0])
    flow.alpha = 0
    assert torch.equal(flow(x, y)[0], torch.cat([x, x]))
    flow.alpha = -1
    with pytest.raises(ValueError, match="alpha"):
        flow(x, y)
    empty = FlowMix(1.0)(x[:0], y[:0], flows=2)
    assert empty[0].shape == (0, 4) and empty[1].shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FlowMix(-1.0), "alpha"),
        (lambda: FlowMix(1.0, generator=3), "generator"),
        (lambda: FlowMix(1.0)(X, Y, flows=3), "rows of activations must be a multiple of flows, 3, got 4"),
        (lambda: FlowMix(1.0)(X, Y, flows=0), "flows must be a whole number of at least 1, got 0"),
        (lambda: FlowMix(1.0)(X, Y, flows=2.0), "flows must be a whole number"),
        (lambda: FlowMix(1.0)(X.long(), Y), "activations must be floating-point"),
        (lambda: FlowMix(1.0)(X, torch.arange(4)), "one_hot"),
        (lambda: FlowMix(1.0)(X, Y[:2]), "as many rows as activations"),
        (lambda: flow_loss(bce, Y, Y, flows=3), "rows of logits must be a multiple of flows, 3, got 4"),
        (lambda: flow_loss(bce, Y, Y[:2], flows=2), "same number of rows, got 4 and 2"),
        (lambda: flow_loss(bce, Y, Y, flows=True), "flows must be a whole number"),
        (lambda: flow_loss(bce, torch.tensor(1.0), Y, flows=1), r"logits must be a tensor \(B, \.\.\.\), got 1.0"),
        (lambda: flow_loss(nn.BCEWithLogitsLoss(reduction="none"), Y, Y, flows=2), "loss_fn must return a scalar"),
    ],
)
def test_bad_flows(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_flow_loss_is_the_sum_of_the_means():
    logits, targets = torch.randn(12, 3, dtype=torch.float64), torch.rand(12, 3, dtype=torch.float64)
    by_flow = [bce(logits[i : i + 3], targets[i : i + 3]) for i in (0, 3, 6, 9)]
    torch.testing.assert_close(flow_loss(bce, logits, targets, flows=4), sum(by_flow))
    assert flow_loss(bce, logits, targets, flows=1) == bce(logits, targets)
    classes = torch.randint(3, (12,))
    torch.testing.assert_close(
        flow_loss(F.cross_entropy, logits, classes, flows=4), 4 * F.cross_entropy(logits, classes)
    )
    nothing = flow_loss(nn.BCEWithLogitsLoss(reduction="sum"), logits[:0], targets[:0], flows=2)
    assert nothing == 0


# ------------------------------------------------------------------------------------------------ in the user's model


@pytest.mark.parametrize("layer", ["", "0", "3", "4"])
def test_manifold_mixup_equals_mixing_by_hand(layer):
    model, (x, y) = network(), batch()
    with manifold_mixup(model, [layer], alpha=1.0, generator=seeded()) as mix:
        logits, targets = model(x), mix.targets(y)
    assert mix.layer == layer and mix.flows == 1
    below = 0 if layer == "" else int(layer) + 1
    hidden = by_hand(model[:below](x), mix.lam, mix.index)
    torch.testing.assert_close(logits, model[below:](hidden))
    torch.testing.assert_close(targets, by_hand(y, mix.lam, mix.index))


def test_manifold_mixup_draws_every_layer_alike():
    # The popular code draws with random.randint(0, 2), which never gives the 3 that its last branch asks for.
    rng = random.Random(0)
    assert {rng.randint(0, 2) for _ in range(1000)} == {0, 1, 2}
    model, x, layers = network(), batch()[0], ["", "0", "1", "3"]
    drawn = []
    with manifold_mixup(model, layers, alpha=1.0, generator=seeded()) as mix, torch.no_grad():
        for _ in range(400):
            model(x)
            drawn.append(mix.layer)
    assert scipy.stats.chisquare([drawn.count(name) for name in layers]).pvalue > 0.01


class Explicit(nn.Module):
    """A model written with FlowMix inside, to compare with hooks on one that knows nothing of it."""

    def __init__(self, body, first, second):
        super().__init__()
        self.body, self.first, self.second = body, first, second

    def forward(self, x, y):
        z, y = self.first(self.body[:2](x), y)
        z, y = self.second(self.body[2:4](z), y, flows=len(z) // len(x))
        return self.body[4:](z), y


@pytest.mark.parametrize("keep_original", [True, False])
def test_flow_mixup_equals_modules_in_the_model(keep_original):
    model, (x, y), generator = network(), batch(), seeded(4)
    modules = (FlowMix(1.0, keep_original=keep_original, generator=generator) for _ in range(2))
    expected, expected_targets = Explicit(model, *modules)(x, y)
    loss = flow_loss(bce, expected, expected_targets, flows=4 if keep_original else 1)
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    # The order in which the layers are named does not matter.
    with flow_mixup(model, ["3", "1"], alpha=1.0, keep_original=keep_original, generator=seeded(4)) as mix:
        logits, targets = model(x), mix.targets(y)
    assert mix.flows == (4 if keep_original else 1) and [draw.layer for draw in mix.draws] == ["1", "3"]
    assert torch.equal(logits, expected) and torch.equal(targets, expected_targets)
    same = torch.autograd.grad(flow_loss(bce, logits, targets, flows=mix.flows), list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(gradient, same))


def test_flow_mixup_at_the_input():
    x, y = batch()
    linear = nn.Linear(4, 3)
    with flow_mixup(linear, [""], alpha=1.0, generator=seeded()) as mix:
        logits = linear(x)
    z, t = FlowMix(1.0, generator=seeded())(x, y)
    torch.testing.assert_close(logits, linear(z))
    assert torch.equal(mix.targets(y), t)


CONTEXTS = [manifold_mixup, flow_mixup]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("layer", ["", "0", "1"])
def test_layers_that_work_in_place(context, layer):
    x, y = batch()
    weights = torch.nn.Parameter(torch.eye(4))
    gradients = []
    for inplace in (False, True):
        linear = nn.Linear(4, 4, bias=False)
        linear.weight = weights
        model = nn.Sequential(linear, nn.ReLU(inplace), nn.Flatten())
        with context(model, [layer], alpha=1.0, generator=seeded()) as mix:
            logits = model(x)
            gradients += torch.autograd.grad(logits.square().sum(), weights)
    torch.testing.assert_close(*gradients)
    assert torch.equal(x, batch()[0]) and len(mix.targets(y)) == len(logits)


@pytest.mark.parametrize("context", CONTEXTS)
def test_eval_and_training_may_alternate(context):
    model, (x, y) = network(), batch()
    with context(model, ["1"], alpha=1.0) as mix:
        model.eval()
        torch.testing.assert_close(model(x), copy.deepcopy(model).eval()(x))
        classes = torch.arange(6)
        assert mix.targets(y) is y and mix.targets(classes) is classes and mix.flows == 1 and mix.layer is None
        model.train()
        assert len(model(x)) == len(mix.targets(y)) == 6 * mix.flows and mix.layer == "1"
        model.eval()
        assert len(model(x)) == 6 and mix.targets(y) is y


@pytest.mark.parametrize("context", CONTEXTS)
def test_targets_follow_the_latest_pass(context):
    model, (x, y) = network(), batch()
    with context(model, ["1"], alpha=1.0, generator=seeded()) as mix:
        passes = []
        for rows in (6, 4):
            logits = model(x[:rows])
            passes.append(mix.targets(y[:rows]))
            assert len(logits) == len(passes[-1])
            bce(logits, passes[-1]).backward()
    assert not torch.equal(passes[0][:4], passes[1][:4]) or context is flow_mixup
    with pytest.raises(ValueError, match="targets must have as many rows as the output of layer '1', 4, got 6"):
        mix.targets(y)


def hooks_of(model):
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


class Fails(nn.Module):
    def forward(self, x):
        raise KeyError("inside forward")


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("where", ["body", "forward", "layer"])
def test_hooks_are_removed_after_an_exception(context, where):
    model, (x, y) = network(), batch()
    mine = model[2].register_forward_hook(lambda *args: None)  # the user's own hook stays
    before = hooks_of(model)
    if where == "forward":
        model.append(Fails())
        before.append(0)
    elif where == "layer":
        x = torch.zeros(6, 5)  # a wrong width: the first layer raises
    with pytest.raises((KeyError, RuntimeError)), context(model, ["", "1"], alpha=1.0) as mix:
        assert hooks_of(model) != before
        model(x)
        mix.targets(y)
        raise KeyError("in the body")
    assert hooks_of(model) == before
    mine.remove()


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_pass_after_a_failed_one_mixes_again(context):
    model, (x, y) = network(), batch()
    with context(model, ["1"], alpha=1.0) as mix:
        with pytest.raises(RuntimeError):
            model(torch.zeros(6, 5))
        with pytest.raises(RuntimeError, match="did not reach '1'"):
            mix.targets(y)
        hidden = torch.zeros(6, 8)
        assert model[1](hidden).shape == hidden.shape  # the failed pass is over: a layer on its own is not mixed
        assert len(model(x)) == len(mix.targets(y))


class Odd(nn.Module):
    """Layers that are shared, called twice, never called, or return something else than one tensor."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.alias = self.shared
        self.recurrent = nn.GRU(4, 4, batch_first=True)
        self.flatten = nn.Flatten(0, 1)
        self.unused = nn.Linear(4, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 3)])

    def forward(self, x, scale=1.0):
        x = self.shared(self.shared(x))
        x = self.recurrent(x[:, None])[0]
        return self.blocks[0](self.flatten(x)) * scale


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["shard"], r"no submodule 'shard'; it has, nearest first: 'shared', .*'recurrent'"),
        (["blocks.1"], r"nearest first: 'blocks.0', 'blocks'"),
        ([], "at least one submodule.*'recurrent'"),
        (["shared", "shared"], "once, got 'shared', 'shared'"),
        (["shared", "alias"], "once, got 'shared', 'alias'"),
        ("shared", r"layers must be several strings, such as \['shared'\], got 'shared'"),
        ([0], "layers must be strings, got 0"),
        (None, "layers must be several strings, got None"),
    ],
)
def test_wrong_layers(context, layers, message):
    model = Odd()
    with pytest.raises(ValueError, match=message), context(model, layers, alpha=1.0):
        pass
    assert sum(hooks_of(model)) == 0


@pytest.mark.parametrize("context", CONTEXTS)
def test_wrong_model_alpha_generator_and_nesting(context):
    for change, message in [
        (dict(model=lambda x: x), "model must be a torch.nn.Module"),
        (dict(alpha=-1), "alpha"),
        (dict(generator=1), "generator"),
    ]:
        arguments = {**dict(model=Odd(), layers=[""], alpha=1.0), **change}
        with pytest.raises(ValueError, match=message), context(**arguments):
            pass
    model = network()
    for other in CONTEXTS:
        with context(model, ["1"], alpha=1.0), pytest.raises(ValueError, match="cannot be nested"):
            with other(model, ["3"], alpha=1.0):
                pass
    assert sum(hooks_of(model)) == 0


@pytest.mark.parametrize("context", CONTEXTS)
def test_outputs_that_cannot_be_mixed(context):
    x, y = batch()
    with context(Odd(), ["recurrent"], alpha=1.0) as mix:
        with pytest.raises(RuntimeError, match="before a forward pass"):
            mix.targets(y)
    for layers, arguments, message in [
        (
            ["recurrent"],
            dict(x=x),
            r"the output of layer 'recurrent' must be a tensor, .*, got \(float32 \(6, 1, 4\), ",
        ),
        ([""], dict(x=x), "'' mixes the model's first positional argument, and the model got none"),
    ]:
        model = Odd()
        with context(model, layers, alpha=1.0), pytest.raises(ValueError, match=message):
            model(**arguments)
    tokens = nn.Embedding(9, 3)
    with context(tokens, [""], alpha=1.0), pytest.raises(ValueError, match="first argument must be floating-point"):
        tokens(torch.arange(4))


@pytest.mark.parametrize("context", CONTEXTS)
def test_targets_that_cannot_be_mixed(context):
    model, (x, y) = network(), batch()
    with context(model, ["1"], alpha=1.0) as mix:
        model(x)
        with pytest.raises(ValueError, match="one_hot"):
            mix.targets(torch.arange(6))
        with pytest.raises(ValueError, match=r"\.float\(\)"):
            mix.targets(y.bool())


@pytest.mark.parametrize("context", CONTEXTS)
def test_layer_that_the_pass_does_not_reach(context):
    model, (x, y) = Odd(), batch()
    with context(model, ["unused"], alpha=1.0) as mix:
        model(x)
        model.unused(x)  # on its own it is not part of a pass, and is not mixed
        with pytest.raises(RuntimeError, match="did not reach 'unused'"):
            mix.targets(y)


def test_layer_called_twice_is_mixed_once():
    model, (x, y) = Odd(), batch()
    with manifold_mixup(model, ["alias"], alpha=1.0, generator=seeded()) as mix:
        logits = model(x, 2.0)
    hidden = model.shared(by_hand(model.shared(x), mix.lam, mix.index))
    expected = 2 * model.blocks[0](model.recurrent(hidden[:, None])[0][:, 0])
    torch.testing.assert_close(logits, expected)
    with flow_mixup(model, ["shared", "flatten"], alpha=1.0) as mix:
        assert len(model(x)) == len(mix.targets(y)) == 24


def test_layer_whose_batch_is_not_first():
    model = nn.Sequential(nn.Linear(4, 4), nn.Flatten(0, 1), nn.Linear(4, 3))
    with flow_mixup(model, ["0", "1"], alpha=1.0), pytest.raises(ValueError, match="must have the batch first, 4 rows"):
        model(torch.zeros(2, 5, 4))


def test_mixed_layer_under_checkpointing_is_refused():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(checkpoint(self.body, x, use_reentrant=False).tanh())

    model, (x, y) = Checkpointed(), batch()
    for context in CONTEXTS:
        with context(model, ["body"], alpha=1.0) as mix:
            loss = bce(model(x), mix.targets(y))
            with pytest.raises(RuntimeError, match="cannot lie under activation checkpointing"):
                loss.backward()
        with context(model, ["head"], alpha=1.0) as mix:
            bce(model(x), mix.targets(y)).backward()


def test_checkpointing_replays_a_module_that_uses_the_global_generator():
    x, y = batch()
    flow, body = FlowMix(1.0), nn.Linear(4, 4)
    gradients = []
    for wrap in (lambda f, *a: f(*a), lambda f, *a: checkpoint(f, *a, use_reentrant=False)):
        torch.manual_seed(0)
        z, _ = wrap(lambda x, y: flow(body(x), y), x, y)
        gradients.append(torch.autograd.grad(z.square().sum(), body.weight)[0])
    torch.testing.assert_close(*gradients)


# ------------------------------------------------------------------------------------- the loss that belongs to flows


@pytest.mark.parametrize("layers", [["1"], ["", "1", "3"]])
@pytest.mark.parametrize("keep_original", [True, False])
def test_mix_loss_is_flow_loss_of_the_mixed_targets(layers, keep_original):
    model, (x, y) = network(), batch()
    with flow_mixup(model, layers, alpha=1.0, keep_original=keep_original) as mix:
        logits = model(x)
        loss, flows = mix.loss(bce, logits, y), 2 ** len(layers) if keep_original else 1
        assert loss == flow_loss(bce, logits, mix.targets(y), flows=flows)
        model.eval()
        assert mix.loss(F.cross_entropy, model(x), torch.arange(6) % 3) == F.cross_entropy(
            model(x), torch.arange(6) % 3
        )
    model.train()
    with manifold_mixup(model, layers, alpha=1.0) as mix:
        logits = model(x)
        assert mix.loss(bce, logits, y) == bce(logits, mix.targets(y))


LOSSES = {
    "mix.loss": lambda mix, logits, y: mix.loss(bce, logits, y),
    "flow_loss": lambda mix, logits, y: flow_loss(bce, logits, mix.targets(y), flows=mix.flows),
    "flow_loss of more": lambda mix, logits, y: (
        flow_loss(bce, 2.0 * logits.float() - 1, 0.9 * mix.targets(y).clone(), flows=mix.flows) + 0.1
    ),
    "plain": lambda mix, logits, y: bce(logits, mix.targets(y)),
    "plain, by the row": lambda mix, logits, y: F.cross_entropy(logits, mix.targets(y), reduction="none").mean(),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [["1"], ["", "1"], ["", "1", "3"]])
def test_a_loss_of_flows_that_is_not_summed_is_trained_with_a_warning(loss, layers):
    model, (x, y) = network(), batch()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            with flow_mixup(model, layers, alpha=1.0) as mix:
                logits = model(x)
            LOSSES[loss](mix, logits, y).backward()
        assert len(found) == loss.startswith("plain")  # once for a pass
        assert all("mix.loss(loss_fn, logits, target)" in str(warning.message) for warning in found)


def test_where_every_loss_is_right_nothing_is_said(recwarn):
    model, (x, y) = network(), batch()
    with flow_mixup(model, [""], alpha=1.0) as mix:  # there is nothing below
        bce(model(x), mix.targets(y)).backward()
    with flow_mixup(model, ["1"], alpha=1.0, keep_original=False) as mix:
        bce(model(x), mix.targets(y)).backward()
    with manifold_mixup(model, ["1"], alpha=1.0) as mix:
        bce(model(x), mix.targets(y)).backward()
    with flow_mixup(model.eval(), ["1"], alpha=1.0) as mix:
        bce(model(x), mix.targets(y)).backward()
    assert not recwarn.list


# --------------------------------------------------------------------------------------- compiled models, and copies


@pytest.fixture
def compiles():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def mixed_or_said(context, model, call, layers):
    """What compiled code gives under a context: an error that names it, or exactly what the plain model gives."""
    (x, y), outputs = batch(), []
    for stance in ("force_eager", "default"):
        try:
            with torch.compiler.set_stance(stance), context(model, layers, alpha=1.0, generator=seeded()) as mix:
                outputs += [(call(x), mix.targets(y))]
        except RuntimeError as error:
            assert stance == "default" and "torch.compile" in str(error) and "force_eager" in str(error)
            return "said"
    torch.testing.assert_close(*outputs)
    return "mixed"


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("way", ["in place", "wrapped", "in part"])
def test_a_model_that_was_compiled_before_is_mixed_or_says_so(compiles, context, way):
    model, x, layers = network(), batch()[0], ["", "3"]
    call = model
    if way == "wrapped":
        call = torch.compile(model, backend="eager")
    elif way == "in part":
        call = model = nn.Sequential(model)
        model[0].compile(backend="eager")
        layers = [f"0.{name}" if name else "" for name in layers]
    else:
        model.compile(backend="eager")
    call(x)
    for _ in range(2):
        outcome = mixed_or_said(context, model, call, layers)
        assert sum(hooks_of(model)) == 0 and (outcome == "said" or way != "wrapped")
    if way == "wrapped":
        plain = call(x)
        with pytest.raises(RuntimeError, match=r"nothing was mixed.*torch\.compile"):
            with context(model, layers, alpha=1.0):
                assert torch.equal(call(x), plain)


@pytest.mark.parametrize("context", CONTEXTS)
def test_targets_of_a_pass_that_compiled_code_has_run(compiles, context):
    """In eval() the compiled code calls no hook, and the latest pass that was seen is one of training."""
    model, (x, y) = network(), batch()
    call = torch.compile(model.eval(), backend="eager")
    with torch.no_grad():
        call(x)
    with context(model.train(), ["1"], alpha=1.0) as mix:
        model(x)
        assert len(mix.targets(y)) == 6 * mix.flows
        with torch.no_grad():
            model.eval()
            call(x)
        with pytest.raises(RuntimeError, match=r"was in training mode, and the model is not.*torch\.compile"):
            mix.targets(y)
        model.train()


def copies(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return [copy.deepcopy(model), MeanTeacher(model).model, torch.load(file, weights_only=False)]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("layers", [[""], ["1"], ["", "1", "3"]])
@pytest.mark.parametrize("when", ["before a pass", "after a pass", "in a pass"])
def test_a_copy_made_inside_is_a_plain_model(context, layers, when):
    model, (x, y), made = network(), batch(), []
    plain = model(x)
    with context(model, layers, alpha=1.0) as mix:
        if when == "in a pass":
            hook = model[0].register_forward_hook(lambda *given: made.append(copy.deepcopy(model)))
        if when != "before a pass":
            model(x)
        if when == "in a pass":
            hook.remove()
        else:
            made = copies(model)
        drawn = list(mix.draws)
        for twin in made:
            calls = [layer._forward_hooks.clear() for layer in twin] if when == "in a pass" else []
            assert torch.equal(twin(x), plain) and len(calls) in (0, 5)
            assert mix.draws == drawn  # what the copy does is no pass of the model
        assert len(model(x)) == len(mix.targets(y)) and mix.draws
    for twin in made:
        assert sum(hooks_of(twin)) == 0 and not any("__getstate__" in vars(layer) for layer in twin.modules())
        with context(twin, layers, alpha=1.0) as own:
            assert len(twin(x)) == len(own.targets(y)) and own.draws
    assert not any("__getstate__" in vars(layer) for layer in model.modules())


# ----------------------------------------------------------------------------- what cannot be mixed is told at once


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("seed", range(6))
def test_the_first_pass_says_what_cannot_be_mixed_whichever_layer_is_drawn(context, seed):
    words = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    with context(words, ["", "0", "1", "2"], alpha=1.0, generator=seeded(seed)):
        with pytest.raises(ValueError, match=r"the model's first argument must be floating-point .*, got int64 \(4,\)"):
            words(torch.arange(4))
    model = nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 4), Second(), nn.Linear(4, 3))
    with context(model, ["", "0", "1", "3"], alpha=1.0, generator=seeded(seed)):
        with pytest.raises(ValueError, match="the output of layer '1' must be a tensor"):
            model(torch.zeros(6, 4))
    with context(model.eval(), ["", "0", "1", "3"], alpha=1.0):  # nothing is to be mixed
        assert model(torch.zeros(6, 4)).shape == (6, 3)
    with context(model.train(), ["", "0"], alpha=1.0), pytest.raises(ValueError, match="the model got none"):
        model(input=torch.zeros(6, 4))


class Second(nn.Module):
    def forward(self, output):
        return output[0]


ODD_TENSORS = {
    "sparse_coo": lambda: torch.eye(4).to_sparse(),
    "sparse_csr": lambda: torch.eye(4).to_sparse_csr(),
    "nested": lambda: torch.nested.nested_tensor([torch.eye(4)[0], torch.eye(4)[1, :2]]),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_tensors_that_are_not_dense(kind):
    odd, model = ODD_TENSORS[kind](), nn.Sequential(nn.Identity())
    calls = {
        "inputs": lambda: mixup(odd, Y, alpha=1.0),
        "targets": lambda: mixup(Y, odd, alpha=1.0),
        "out": lambda: mixup(Y, Y, alpha=1.0, out=odd),
        "activations": lambda: FlowMix(1.0)(odd, Y),
        "logits": lambda: flow_loss(bce, odd, Y, flows=2),
    }
    for context in CONTEXTS:
        for layer, name in (("", "the model's first argument"), ("0", "the output of layer '0'")):

            def enter(context=context, layer=layer):
                with context(model, [layer], alpha=1.0):
                    model(odd)

            calls[name] = enter
        with context(model, ["0"], alpha=1.0) as mix:
            model(Y)
            with pytest.raises(ValueError, match=f"targets must be a dense tensor, .*, got {kind} float32"):
                mix.targets(odd)
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"{name} must be a dense tensor.*, got {kind} float32"):
            call()
    with pytest.raises(ValueError, match=f"targets must be a dense tensor .*, got {kind} float32"):
        flow_loss(bce, Y, odd, flows=2)
    with pytest.raises(ValueError, match=f"targets must be a dense tensor, .*, got {kind} float32"):
        FlowMix(1.0)(Y, odd)


@pytest.mark.parametrize("real", [np.float16, np.float64, np.array, torch.tensor])
@pytest.mark.parametrize("whole", [np.int64, np.uint8, np.array, torch.tensor])
def test_a_number_of_any_library(real, whole):
    model, (x, y) = network(), batch()
    expected = mixup(x, y, alpha=0.5, generator=seeded())
    assert torch.equal(mixup(x, y, alpha=real(0.5), generator=seeded()).inputs, expected.inputs)
    z, t = FlowMix(0.5, generator=seeded())(x, y, flows=2)
    flow = FlowMix(real(0.5), generator=seeded())
    flow.alpha = real(0.5)
    assert torch.equal(flow(x, y, flows=whole(2))[0], z)
    assert flow_loss(bce, t, t, flows=whole(2)) == flow_loss(bce, t, t, flows=2)
    for context in CONTEXTS:
        for layers in (("1", "3"), ["1", "3"], np.array(["1", "3"]), {"1": 0, "3": 0}.keys()):
            outputs = []
            for alpha in (0.5, real(0.5)):
                with context(model, layers, alpha=alpha, generator=seeded()):
                    outputs.append(model(x))
            assert torch.equal(*outputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("threshold", [1, 1 << 40])
def test_half_precision_is_computed_in_float32(monkeypatch, dtype, threshold):
    """The difference of two such numbers is beyond float16."""
    monkeypatch.setattr(module, "_LARGE_SAMPLE_BYTES", threshold)
    x = torch.tensor([[60000.0], [-60000.0]], dtype=dtype)
    for seed in range(4):
        mixed = mixup(x, torch.eye(2), alpha=1.0, generator=seeded(seed))
        exact = by_hand(x.double(), mixed.lam.double(), mixed.index)
        torch.testing.assert_close(mixed.inputs, exact.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-3)
        z, _ = FlowMix(1.0, generator=seeded(seed))(x, torch.eye(2))
        assert torch.equal(z[2:], mixed.inputs)
    # Each summand is rounded to its own last digit; the sum to one more at most.
    ones, rows = torch.full((512, 1), 1.0, dtype=dtype), torch.zeros(512, 1, dtype=dtype)
    assert flow_loss(lambda logits, target: (logits - target).mean(), ones, rows, flows=512) == 512
    assert flow_loss(lambda a, b: a.sum(), ones, rows, flows=512).dtype == dtype


# -------------------------------------------------------------------------------------- the articles' other mistakes


def test_article_mixes_the_outputs_of_a_head_that_sees_the_labels():
    # The article's train.py mixes HEAD(features, y_a) with HEAD(features, y_b) and only then takes the mixed loss.
    # Right is lam * LOSS(HEAD(f, y_a), y_a) + (1 - lam) * LOSS(HEAD(f, y_b), y_b). With a margin head (the margin
    # is taken from the label's logit) and lam = 1/2 the article's margin falls on both classes and has no effect.
    cosine, scale, margin, lam = torch.tensor([[0.6, 0.2]]), 10, 0.4, 0.5
    a, b = torch.tensor([0]), torch.tensor([1])

    def head(label):
        return scale * (cosine - margin * F.one_hot(label, 2))

    def mixed(f):
        return lam * f(a) + (1 - lam) * f(b)

    outputs = mixed(head)
    article = mixed(lambda label: F.cross_entropy(outputs, label)).item()
    right = mixed(lambda label: F.cross_entropy(head(label), label)).item()
    no_margin = mixed(lambda label: F.cross_entropy(scale * cosine, label)).item()
    assert article == pytest.approx(no_margin, rel=1e-6) == pytest.approx(2.01815, abs=1e-5)
    assert right == pytest.approx((math.log(2) + math.log1p(math.exp(8))) / 2, rel=1e-6)  # 4.3467


def test_bce_of_a_softmax_is_not_cross_entropy():
    # manifold_mixup's code trains on BCELoss(softmax(out), soft target).
    logits, target = torch.zeros(1, 10, requires_grad=True), F.one_hot(torch.tensor([0]), 10).float()
    bce_of_softmax, ce = F.binary_cross_entropy(logits.softmax(1), target), F.cross_entropy(logits, target)
    assert ce.item() == pytest.approx(math.log(10))
    assert bce_of_softmax.item() == pytest.approx((math.log(10) - 9 * math.log(0.9)) / 10)  # 0.3251
    # Nor does it push the same way: it raises the logits of classes whose target is 0, where cross-entropy lowers them.
    logits = torch.tensor([[4.0, 0.0, 0.0, 0.0]], requires_grad=True)
    soft = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    (theirs,) = torch.autograd.grad(F.binary_cross_entropy(logits.softmax(1), soft), logits)
    (right,) = torch.autograd.grad(F.cross_entropy(logits, soft), logits)
    torch.testing.assert_close(right, logits.softmax(1) - soft)
    assert right[0, 2] > 0.01 and theirs[0, 2] < -0.01
