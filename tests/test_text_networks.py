"""The text-conditioned U-Net and the small CLIP: shapes, what they hear, bad input, and the loss by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from tutorial_lib.contrastive import ImageTextModel, contrastive_loss, spherical_distance
from tutorial_lib.networks import CrossAttention, TextEncoder, TextUNet, time_embedding


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stirred(network):
    """Give the layers that start at nothing some weights."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def small(**options):
    torch.manual_seed(0)
    return stirred(TextUNet(10, 4, filters=(8, 16), text_width=8, heads=2, **options))


# --- The U-Net ------------------------------------------------------------------------------------------------------


def test_the_default_has_under_half_a_million_weights():
    count = sum(p.numel() for p in TextUNet(33, 8, filters=(48, 64), heads=2).parameters())
    assert 200_000 < count < 500_000


@pytest.mark.parametrize(("filters", "patch", "size"), [((8, 16), 2, 8), ((8, 8, 16), 1, 12), ((8, 16), 1, 6)])
def test_the_picture_keeps_its_size(filters, patch, size):
    network = TextUNet(10, 4, filters=filters, patch=patch, text_width=8, heads=2)
    text = torch.tensor([[1, 2, 0, 0]] * 2)
    assert network(torch.zeros(2, 3, size, 2 * size), torch.tensor([0, 5]), text).shape == (2, 3, size, 2 * size)


def test_it_starts_by_saying_nothing():
    network = TextUNet(10, 4, filters=(8, 16), text_width=8, heads=2)
    assert not network(normal(2, 3, 8, 8), torch.tensor([0, 5]), torch.tensor([[1, 2, 0, 0]] * 2)).any()


def test_it_hears_the_time_and_the_text():
    network, x = small(), normal(1, 3, 8, 8)
    say = lambda t, words: network(x, torch.tensor([t]), torch.tensor([words]))  # noqa: E731
    base = say(10, [1, 2, 3, 0])
    assert not torch.allclose(base, say(150, [1, 2, 3, 0]), atol=1e-5)
    assert not torch.allclose(base, say(10, [1, 2, 4, 0]), atol=1e-5)
    assert not torch.allclose(base, say(10, [2, 1, 3, 0]), atol=1e-5)  # word order
    assert not torch.allclose(base, say(10, [0, 0, 0, 0]), atol=1e-5)
    torch.testing.assert_close(base, say(10, [1, 2, 3]))  # padding says nothing


def test_rows_do_not_hear_each_other():
    network, x, t = small(), normal(3, 3, 8, 8), torch.tensor([1, 50, 199])
    text = torch.tensor([[1, 2, 0, 0], [0, 0, 0, 0], [3, 4, 5, 6]])
    together = network(x, t, text)
    for row in range(3):
        alone = network(x[row : row + 1], t[row : row + 1], text[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_a_step_means_the_same_for_every_number_of_steps():
    torch.manual_seed(0)
    few = small(steps=100)
    many = small(steps=1000)
    many.load_state_dict(few.state_dict())
    x, text = normal(1, 3, 8, 8), torch.tensor([[1, 2, 0, 0]])
    torch.testing.assert_close(few(x, torch.tensor([30]), text), many(x, torch.tensor([300]), text))


def test_without_words_it_takes_two_arguments():
    network = stirred(TextUNet(0, filters=(8, 16)))
    assert network(normal(1, 3, 8, 8), torch.tensor([3])).shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match="text must be None: this network has no words"):
        network(normal(1, 3, 8, 8), torch.tensor([3]), torch.tensor([[1]]))


def test_gradients_reach_every_weight():
    network = small()
    network(
        normal(2, 3, 8, 8), torch.tensor([3, 9]), torch.tensor([[1, 2, 0, 0], [0, 0, 0, 0]])
    ).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_cross_attention_is_softmax_over_the_words():
    torch.manual_seed(0)
    layer = stirred(CrossAttention(4, 6, heads=1))
    x, words = normal(1, 4, 2, 2), normal(1, 3, 6)
    real = torch.tensor([[True, True, False]])
    places = layer.norm(x).flatten(2).transpose(1, 2)
    key, value = layer.tell(words[:, :2]).chunk(2, -1)
    weight = (layer.ask(places) @ key.transpose(1, 2) / 2).softmax(-1)
    heard = layer.out(weight @ value).transpose(1, 2).reshape(1, 4, 2, 2)
    torch.testing.assert_close(layer(x, words, real), x + heard)


def test_time_embedding_is_the_formula():
    made = time_embedding(torch.tensor([7.0]), 6, longest=100.0)
    waves = [100.0 ** (-k / 3) for k in range(3)]
    wanted = [math.cos(7 * w) for w in waves] + [math.sin(7 * w) for w in waves]
    torch.testing.assert_close(made, torch.tensor([wanted]))


X, T, W = torch.zeros(1, 3, 8, 8), torch.tensor([0]), torch.tensor([[1, 2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TextUNet(10, filters=(8,)), "filters must have two levels or more"),
        (lambda: TextUNet(10, 4, filters=(8, 16), heads=3), "heads"),
        (lambda: TextUNet(-1), "vocabulary must be"),
        (lambda: small()(X[:, :2], T, W), "x must be"),
        (lambda: small()(torch.zeros(1, 3, 6, 8), T, W), "the sizes of x must be multiples of 4"),
        (lambda: small()(X, T), "text must be given"),
        (lambda: small()(X, T, torch.tensor([[10]])), "text must hold words from 0 to 9, got 10"),
        (lambda: small()(X, T, torch.ones(1, 5, dtype=torch.int64)), "text must have at most 4 words, got 5"),
        (lambda: small()(X, T, torch.ones(1, 3)), "text must be"),
        (lambda: TextEncoder(10, 4, width=10, heads=4), "width must be a multiple of heads"),
        (lambda: CrossAttention(6, 4, heads=4), "heads must divide channels"),
        (lambda: time_embedding(T, 3), "size must be even, got 3"),
        (lambda: time_embedding(T[None], 4), "time must be"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- Contrastive ----------------------------------------------------------------------------------------------------


def test_the_loss_is_two_cross_entropies():
    u, w = normal(5, 3).double(), normal(5, 3, seed=1).double()
    scores = F.normalize(u) @ F.normalize(w).T / 0.1
    right = -(scores.log_softmax(1).diagonal().mean() + scores.log_softmax(0).diagonal().mean()) / 2
    torch.testing.assert_close(contrastive_loss(u, w, temperature=0.1), right)
    torch.testing.assert_close(contrastive_loss(3 * u, w / 7, temperature=0.1), right)  # lengths do not count


def test_it_is_transformers_clip_loss():
    from transformers.models.clip import modeling_clip

    u, w = normal(5, 3), normal(5, 3, seed=1)
    scores = F.normalize(w) @ F.normalize(u).T / 0.07
    torch.testing.assert_close(contrastive_loss(u, w), modeling_clip.image_text_contrastive_loss(scores))


def test_a_caption_that_comes_twice_is_no_wrong_answer():
    """The published loss cannot fall below log 2 where two pictures share a caption; told of it, ours can."""
    vectors = torch.eye(4)[[0, 0, 1, 2]]
    published = contrastive_loss(vectors, vectors, temperature=0.01)
    told = contrastive_loss(vectors, vectors, temperature=0.01, groups=torch.tensor([0, 0, 1, 2]))
    assert float(published) == pytest.approx(math.log(2) / 2) and float(told) == pytest.approx(0, abs=1e-6)


def test_the_loss_gradients():
    u, w = (normal(4, 3, seed=seed).double().requires_grad_() for seed in (0, 1))
    heat = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    groups = torch.tensor([0, 1, 1, 2])
    torch.autograd.gradcheck(lambda u, w, t: contrastive_loss(u, w, temperature=t, groups=groups), (u, w, heat))
    torch.autograd.gradcheck(lambda u, w: spherical_distance(u, w).sum(), (u, w))


@pytest.mark.parametrize("degrees", [0, 30, 90, 179])
def test_the_spherical_distance_is_half_the_squared_angle(degrees):
    angle = math.radians(degrees)
    u, w = torch.tensor([1.0, 0.0]).double(), torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    assert float(spherical_distance(2 * u, w)) == pytest.approx(angle**2 / 2, abs=1e-7)


def test_the_small_clip_learns_to_match():
    torch.manual_seed(0)
    model = ImageTextModel(5, 2, width=16, filters=(8, 16), text_width=8)
    texts = torch.tensor([[1, 0], [2, 0], [3, 0], [4, 0]])
    pictures = normal(4, 3, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        loss = contrastive_loss(*model(pictures, texts), temperature=model.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    u, w = model(pictures, texts)
    assert (F.normalize(u) @ F.normalize(w).T).argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: contrastive_loss(torch.ones(3, 2), torch.ones(2, 2)), "texts must have the shape of pictures"),
        (lambda: contrastive_loss(torch.ones(3, 2), torch.ones(3, 2), temperature=0.0), "temperature must be"),
        (lambda: contrastive_loss(torch.ones(3, 2), torch.ones(3, 2), groups=torch.ones(2).long()), "groups must be"),
        (lambda: contrastive_loss(torch.ones(3), torch.ones(3)), "pictures must be"),
        (lambda: spherical_distance(torch.ones(2).long(), torch.ones(2)), "pictures must be"),
        (lambda: ImageTextModel(10, filters=()), "filters"),
        (lambda: ImageTextModel(10).pictures(torch.ones(1, 1, 8, 8)), "image must be"),
    ],
)
def test_bad_input_of_the_pair_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
