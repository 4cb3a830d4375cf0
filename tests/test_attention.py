"""Attention in linear time, and one attention a label: against exact softmax attention, by hand, and where popular code
goes wrong."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tutorial_lib._kernels import linear_attention as kernel
from tutorial_lib.attention import (
    LabelAttention,
    LabelContext,
    draw_projection,
    label_attention,
    linear_attention,
    performer_attention,
    random_features,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0, scale=1.0):
    return scale * torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def projection(features, size, seed=0, **options):
    return draw_projection(features, size, generator=seeded(seed), dtype=torch.float64, **options)


def softmax(query, key, value, **options):
    return F.scaled_dot_product_attention(query, key, value, **options)


def by_weights(q, k, value, mask=None, causal=False):
    """All L x S weights of features, in the plain lines."""
    weight = q @ k.mT
    weight = weight if mask is None else weight * mask.unsqueeze(-2)
    weight = weight.tril() if causal else weight
    total = weight.sum(-1, keepdim=True)
    return torch.where(total > 0, weight @ value / total, 0)


# --- published numbers ----------------------------------------------------------------------------------------------

W = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
KEYS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
VALUES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
QUERIES = torch.eye(2, dtype=torch.float64)


def test_known_answers():
    favor = performer_attention(QUERIES, KEYS, VALUES, projection=W)
    torch.testing.assert_close(
        favor, torch.tensor([[1.057068, 1.094618], [0.952189, 1.322487]]).double(), atol=1e-6, rtol=0
    )
    exact = torch.tensor([[1.203336, 1.401112], [1.0, 1.604448]]).double()
    torch.testing.assert_close(softmax(QUERIES, KEYS, VALUES), exact, atol=1e-6, rtol=0)
    linear = torch.tensor([[1.133333, 1.466667], [1.066667, 1.533333]]).double()
    torch.testing.assert_close(linear_attention(QUERIES, KEYS, VALUES), linear, atol=1e-6, rtol=0)
    causal = performer_attention(QUERIES, KEYS[:2], VALUES[:2], projection=W, causal=True)
    torch.testing.assert_close(causal, torch.tensor([[1, 0], [0.462112, 0.537888]]).double(), atol=1e-6, rtol=0)


# --- random features ------------------------------------------------------------------------------------------------


def test_orthogonal_blocks_and_their_two_scalings():
    for norms in ("random", "equal"):
        w = projection(11, 4, norms=norms)
        assert w.shape == (11, 4)
        for block in (w[:4], w[4:8], w[8:]):
            angles = block @ block.T
            torch.testing.assert_close(angles, angles.diagonal().diag(), atol=1e-12, rtol=0)
        lengths = torch.linalg.vector_norm(w, dim=1)
        assert (norms == "equal") == torch.allclose(lengths, torch.full_like(lengths, 2.0))
    plain = projection(4000, 3, orthogonal=False)
    torch.testing.assert_close(plain.T @ plain / 4000, torch.eye(3).double(), atol=0.08, rtol=0)
    assert torch.allclose(
        torch.linalg.vector_norm(projection(5, 3, orthogonal=False, norms="equal"), dim=1) ** 2,
        torch.tensor(3.0).double(),
    )


def test_every_direction_is_equally_likely():
    """QR without its signs put right favours one side: the first entry of the first row would have one sign only."""
    first = torch.stack([projection(2, 2, seed=seed)[0, 0] for seed in range(400)])
    assert 0.4 < (first > 0).double().mean() < 0.6
    q, _ = torch.linalg.qr(torch.randn(400, 2, 2, generator=seeded(), dtype=torch.float64))
    assert (q[:, 0, 0] <= 0).all()  # LAPACK's habit: what one gets without the signs
    second = torch.stack([projection(3, 3, seed=seed) for seed in range(3000)])
    torch.testing.assert_close(second.square().mean(0), torch.ones(3, 3).double(), atol=0.12, rtol=0)


@pytest.mark.parametrize("kind", ["positive", "hyperbolic", "trigonometric"])
def test_features_are_unbiased(kind):
    q, k = noise(3, 4, scale=0.4), noise(3, 4, seed=1, scale=0.4)
    exact = (q @ k.T / 2).exp()
    some = [
        random_features(q, w, kind=kind) @ random_features(k, w, kind=kind).T
        for w in (projection(64, 4, seed=seed) for seed in range(300))
    ]
    estimates = torch.stack(some)
    error = estimates.std(0) / math.sqrt(len(some))
    assert ((estimates.mean(0) - exact).abs() < 4 * error).all()
    assert (estimates.std(0) < 0.5 * exact).all()
    assert (random_features(q, projection(8, 4), kind=kind) >= 0).all() == (kind != "trigonometric")


def test_equal_norms_are_biased_and_scatter_less():
    """The facts' simulation: bias -.09, squared error five times lower, at d = m = 8."""
    q, k = noise(1, 8, scale=1.0), noise(1, 8, seed=5, scale=1.0)
    exact = float((q @ k.T / 8**0.5).exp())

    def estimates(norms):
        ws = [projection(8, 8, seed=seed, norms=norms) for seed in range(600)]
        return torch.stack([random_features(q, w) @ random_features(k, w).T for w in ws]).flatten()

    free, equal = estimates("random"), estimates("equal")
    assert equal.std() < free.std()
    assert abs(float(free.mean()) - exact) < 4 * float(free.std()) / 600**0.5
    assert abs(float(equal.mean()) - exact) > 4 * float(equal.std()) / 600**0.5


def test_orthogonal_rows_scatter_less_than_independent_ones():
    q, k = noise(1, 8, scale=0.3), noise(1, 8, seed=1, scale=0.3)

    def scatter(orthogonal):
        ws = [projection(8, 8, seed=seed, orthogonal=orthogonal) for seed in range(1000)]
        return torch.stack([random_features(q, w) @ random_features(k, w).T for w in ws]).var()

    assert scatter(True) < 0.95 * scatter(False)


def test_the_norm_decides_and_not_the_number_of_features():
    def error(scale, features):
        q, k, v = (noise(256, 32, seed=seed, scale=scale) for seed in (1, 2, 3))
        v = noise(256, 32, seed=3)
        exact = softmax(q, k, v)
        found = performer_attention(q, k, v, projection=projection(features, 32))
        return float((found - exact).abs().mean() / exact.abs().mean())

    assert error(0.25, 256) < 0.15  # .05 in the facts
    assert error(0.25, 1024) < 0.7 * error(0.25, 64)  # small norms: more features help
    assert error(2.0, 64) > 0.9 < error(2.0, 1024)  # large ones: they do not


# --- attention ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    lead=st.sampled_from([(), (2,), (2, 3)]),
    length=st.integers(1, 9),
    keys=st.integers(1, 9),
    causal=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 999),
)
def test_both_are_their_plain_lines(lead, length, keys, causal, masked, seed):
    keys = length if causal else keys
    q, k = noise(*lead, length, 3, seed=seed), noise(*lead, keys, 3, seed=seed + 1)
    v, w = noise(*lead, keys, 2, seed=seed + 2), projection(5, 3, seed)
    mask = torch.rand((*lead, keys), generator=seeded(seed)) < 0.6 if masked else None
    options = {"causal": causal, "mask": mask}
    theirs = by_weights(random_features(q, w), random_features(k, w), v, mask, causal)
    torch.testing.assert_close(performer_attention(q, k, v, projection=w, **options), theirs)
    theirs = by_weights(F.elu(q) + 1, F.elu(k) + 1, v, mask, causal)
    torch.testing.assert_close(linear_attention(q, k, v, **options), theirs)


@pytest.mark.parametrize("scale", [1.0, 5.0, 40.0])
def test_long_causal_sums_in_chunks(scale):
    """Lengths around the chunk's; keys that grow and shrink, so that the scale of the sums moves."""
    for length in (kernel.CHUNK - 1, kernel.CHUNK, 2 * kernel.CHUNK + 7):
        q, k, v = noise(2, length, 4), noise(2, length, 4, seed=1), noise(2, length, 3, seed=2)
        k = k * torch.linspace(0.1, scale, length).double()[:, None]
        k[1] = k[1].flip(0)
        w = projection(6, 4)
        log_q = q * 4**-0.25 @ w.T
        log_k = k * 4**-0.25 @ w.T - k.square().sum(-1, keepdim=True) / 4
        logs = (log_q.unsqueeze(-2) + log_k.unsqueeze(-3)).logsumexp(-1)  # (2, L, L), never overflows
        later = torch.ones(length, length).triu(1).bool()
        exact = logs.masked_fill(later, -math.inf).softmax(-1) @ v
        torch.testing.assert_close(performer_attention(q, k, v, projection=w, causal=True), exact)
        single = performer_attention(q.float(), k.float(), v.float(), projection=w, causal=True)
        torch.testing.assert_close(single.double(), exact, atol=2e-4, rtol=2e-3)


def test_rows_whose_factors_would_overflow():
    """Small keys after a large one, and a large one after small ones, in one chunk, far beyond float32's exponents."""
    log_q = torch.zeros(1, 4, 2)
    log_k = torch.tensor([[[-300.0, -900.0], [200.0, -900.0], [-300.0, 500.0], [0.0, 0.0]]])
    v = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    found = kernel.attend(log_q, log_k, v, None, True)
    assert found.flatten().tolist() == [1, 2, 3, 3]
    log_k, log_q = log_k.double().requires_grad_(), log_q.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: kernel.attend(a, b, v.double(), None, True), (log_q, log_k))
    torch.testing.assert_close(
        kernel.attend(log_q, log_k, v.double(), None, False), torch.full((1, 4, 1), 3.0).double()
    )


def test_one_large_key_does_not_make_all_outputs_the_mean():
    """Popular code subtracts max(W k) and leaves the norm of k out: with one key ten times as long, all others are
    below its added constant, and every output is exactly the mean of the values."""
    q, k, v = (noise(16, 8, seed=seed, scale=0.5) for seed in range(3))
    k[3] *= 40
    w = projection(64, 8)

    def popular(x, query, epsilon=1e-4):
        along, half = x * 8**-0.25 @ w.T, x.square().sum(-1, keepdim=True) / 2 / 8**0.5
        largest = along.amax(-1, keepdim=True) if query else along.amax()
        return len(w) ** -0.5 * ((along - half - largest).exp() + epsilon)

    theirs = by_weights(popular(q, True), popular(k, False), v)
    torch.testing.assert_close(theirs, v.mean(0).expand_as(theirs), atol=2e-3, rtol=0)
    ours = performer_attention(q, k, v, projection=w)
    others = [i for i in range(16) if i != 3]
    exact = by_weights(random_features(q, w), random_features(k, w), v)
    torch.testing.assert_close(ours, exact)
    assert (ours - v.mean(0)).abs().max() > 0.05 < (ours - v[others].mean(0)).abs().max()
    assert performer_attention(q.float(), 1e3 * k.float(), v.float(), projection=w).isfinite().all()


def test_padding_is_in_no_sum():
    """Popular code zeroes the values of padding and keeps its keys in the normaliser: half of a batch padded halves
    every output."""
    q, k, v = (noise(1, 8, 4, seed=seed, scale=0.3) for seed in range(3))
    mask = torch.arange(8) < 4
    w = projection(64, 4)
    alone = performer_attention(q, k[:, :4], v[:, :4], projection=w)
    k[:, 4:], padded = 0, v * mask[:, None]
    theirs = by_weights(random_features(q, w), random_features(k, w), padded)
    slope = float((theirs * alone).sum() / alone.square().sum())
    assert 0.4 < slope < 0.6
    v[:, 4:] = math.inf
    for attend in (lambda *a, **o: performer_attention(*a, projection=w, **o), linear_attention):
        cut = attend(q, k[:, :4], v[:, :4])
        torch.testing.assert_close(attend(q, k, v, mask=mask[None]), cut)
        nothing = attend(q, k, v, mask=torch.zeros(1, 8, dtype=torch.bool))
        assert (nothing == 0).all()
    assert linear_attention(q, k[:, :0], v[:, :0]).abs().max() == 0
    assert linear_attention(q[:, :0], k, v).shape == (1, 0, 4)


def test_a_mask_of_the_batch_is_one_of_every_head():
    q, k, v = (noise(2, 3, 5, 4, seed=seed) for seed in range(3))
    mask = torch.rand((2, 5), generator=seeded()) < 0.7
    wide = mask[:, None].expand(2, 3, 5)
    torch.testing.assert_close(linear_attention(q, k, v, mask=mask), linear_attention(q, k, v, mask=wide))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ["performer", "linear"])
def test_gradients(name, causal):
    q, k, v = (noise(2, 4, 3, seed=seed).requires_grad_() for seed in range(3))
    mask = torch.tensor([[True, True, False, True], [False, False, False, False]])
    w = projection(5, 3)

    def attend(q, k, v):
        if name == "performer":
            return performer_attention(q, k, v, projection=w, causal=causal, mask=mask)
        return linear_attention(q, k, v, causal=causal, mask=mask)

    assert torch.autograd.gradcheck(attend, (q, k, v))
    assert torch.autograd.gradgradcheck(attend, (q, k, v))


def test_causal_looks_at_nothing_later():
    q, k, v = (noise(2, 70, 3, seed=seed) for seed in range(3))
    w = projection(5, 3)
    before = performer_attention(q, k, v, projection=w, causal=True)
    k[:, 40:], v[:, 40:] = 9, 99
    after = performer_attention(q, k, v, projection=w, causal=True)
    torch.testing.assert_close(after[:, :40], before[:, :40])
    assert not torch.allclose(after[:, 40:], before[:, 40:])


# --- one attention a label ------------------------------------------------------------------------------------------


def test_label_attention_is_softmax_attention_of_labels():
    hidden, labels = noise(2, 7, 4), noise(3, 4, seed=1)
    mask = torch.rand((2, 7), generator=seeded()) < 0.7
    theirs = softmax(labels.expand(2, 3, 4), hidden, hidden, attn_mask=mask[:, None], scale=1.0)
    found = label_attention(hidden, labels, mask=mask)
    assert isinstance(found, LabelContext)
    torch.testing.assert_close(found.context, theirs)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 3).double())
    assert (found.weights.movedim(1, -1)[~mask] == 0).all()
    scores = noise(2, 7, 5, seed=2)
    other = label_attention(hidden, noise(3, 5, seed=3), scores=scores)
    torch.testing.assert_close(other.weights, (scores @ noise(3, 5, seed=3).T).mT.softmax(-1))


def test_bug_padding_in_the_softmax():
    """A text's scores must not depend on how long its neighbours are. In the popular code they do."""
    hidden, labels = noise(1, 4, 3), noise(2, 3, seed=1)
    padded, mask = F.pad(hidden, (0, 0, 0, 6)), torch.arange(10)[None] < 4
    alone = label_attention(hidden, labels).context
    torch.testing.assert_close(label_attention(padded, labels, mask=mask).context, alone)
    theirs = label_attention(padded, labels).context  # no mask, as there
    assert (theirs - alone).abs().max() > 0.1


def test_a_text_without_tokens_and_extreme_scores():
    hidden = noise(2, 4, 3).requires_grad_()
    labels = noise(2, 3, seed=1).requires_grad_()
    mask = torch.tensor([[False] * 4, [True] * 4])
    found = label_attention(hidden, labels, mask=mask)
    assert (found.context[0] == 0).all() and (found.weights[0] == 0).all()
    assert torch.autograd.gradcheck(lambda h, u: label_attention(h, u, mask=mask), (hidden, labels))
    assert label_attention(hidden[:, :0], labels).context.shape == (2, 2, 3)
    huge = label_attention(1e4 * hidden.detach(), labels.detach(), mask=mask)
    assert huge.context.isfinite().all()


@pytest.mark.parametrize("projected", [None, 6])
def test_label_attention_layer(projected):
    torch.manual_seed(0)
    layer = LabelAttention(4, 3, projected=projected).double()
    hidden, mask = noise(2, 5, 4), torch.arange(5).expand(2, 5) < torch.tensor([[5], [2]])
    scores = hidden if projected is None else torch.tanh(hidden @ layer.project.weight.T)
    for row, length in enumerate((5, 2)):
        for label in range(3):
            weight = (scores[row, :length] @ layer.labels[label]).softmax(0)
            by_hand = layer.score.weight[label] @ (weight @ hidden[row, :length]) + layer.score.bias[label]
            torch.testing.assert_close(layer(hidden, mask)[row, label], by_hand)
    layer(hidden, mask).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


# --- bad input ------------------------------------------------------------------------------------------------------

Q = torch.zeros(2, 5, 4)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: linear_attention(Q[0, 0], Q, Q), r"^query must be .*\(..., L, d\)"),
        (
            lambda: linear_attention(Q, Q[..., :3], Q),
            r"^key must be \(\*\(2,\), S, 4\), got float32 \(2, 5, 3\)",
        ),
        (lambda: linear_attention(Q, Q[:1], Q[:1]), r"^key must be \(\*\(2,\), S, 4\)"),
        (lambda: linear_attention(Q, Q, Q[:, :3]), r"^value must be \(\*\(2, 5\), e\), one for each key"),
        (lambda: linear_attention(Q, Q.double(), Q), "^key must be torch.float32 on cpu, as query"),
        (
            lambda: linear_attention(Q[:, :3], Q, Q, causal=True),
            "^key must be as long as query, 3, where causal, got 5",
        ),
        (lambda: linear_attention(Q, Q, Q, mask=torch.ones(2, 4).bool()), r"^mask must be bool \(2, 5\), true where"),
        (lambda: linear_attention(Q, Q, Q, mask=torch.ones(2, 5)), "^mask must be bool"),
        (lambda: performer_attention(Q, Q, Q, projection=Q[0, :, :3]), r"^projection must be \(m, 4\), m at least 1"),
        (lambda: random_features(Q, Q[0], kind="relu"), "^kind must be 'positive', 'hyperbolic' or 'trigonometric'"),
        (lambda: draw_projection(0, 4), "^num_features must be a whole number of at least 1, got 0"),
        (lambda: draw_projection(4, 4, norms="one"), "^norms must be 'random' or 'equal', got 'one'"),
        (lambda: label_attention(Q, Q[0, :, :3]), r"^labels must be \(C, 4\)"),
        (lambda: label_attention(Q, Q[0], scores=Q[:1]), r"^scores must be \(2, 5, K\)"),
        (lambda: LabelAttention(4, 0), "^num_labels must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
