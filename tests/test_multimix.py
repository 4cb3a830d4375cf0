"""MultiMix: pseudo-labels, thresholds of classes, saliency, bridge, network, ladder; and faults of published code."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tutorial_lib import multimix
from tutorial_lib.multimix import (
    LADDER,
    FlexMatchThresholds,
    MultiMixBatch,
    MultiTaskUNet,
    Rung,
    SaliencyBridge,
    flexmatch_thresholds,
    multimix_loss,
    multimix_step,
    pseudo_label_loss,
    saliency,
    segmentation_kl,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


# --- pseudo-labels ---


def published_pseudo(strong, weak, threshold):
    """As FixMatch's ports and MultiMix's code write it, row by row."""
    total = 0.0
    for row in range(len(weak)):
        p = torch.softmax(weak[row], 0)
        if float(p.max()) >= threshold:
            total -= float(torch.log_softmax(strong[row], 0)[int(p.argmax())])
    return total / len(weak)


@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.95, 1.0])
def test_pseudo_labels_beside_plain_rows(threshold):
    strong, weak = noise(50, 4), 3 * noise(50, 4, seed=1)
    found = pseudo_label_loss(strong, weak, threshold=threshold)
    assert float(found.loss) == pytest.approx(published_pseudo(strong, weak, threshold), rel=1e-5)
    assert float(found.accepted) == pytest.approx(float((weak.softmax(1).amax(1) >= threshold).float().mean()))
    assert found.accuracy is None


def test_only_the_strong_side_learns_and_only_where_the_weak_is_sure():
    strong, weak = noise(3, 2, seed=4).requires_grad_(), torch.tensor([[4.0, 0], [0.1, 0], [0, 6]], requires_grad=True)
    pseudo_label_loss(strong, weak, threshold=0.9).loss.backward()
    assert weak.grad is None and (strong.grad[1] == 0).all() and (strong.grad[[0, 2]] != 0).all()
    assert torch.autograd.gradcheck(
        lambda x: pseudo_label_loss(x, weak.detach().double(), threshold=0.9).loss,
        noise(3, 2).double().requires_grad_(),
    )


def test_accuracy_is_of_the_accepted_ones():
    weak = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.1, 0.0]])
    found = pseudo_label_loss(weak, weak, threshold=0.9, target=torch.tensor([0, 0, 1]))
    assert float(found.accepted) == pytest.approx(2 / 3) and float(found.accuracy) == 0.5
    assert math.isnan(pseudo_label_loss(weak, weak * 0, threshold=0.9, target=torch.tensor([0, 0, 1])).accuracy)
    assert float(pseudo_label_loss(weak[:0], weak[:0], threshold=0.9).loss) == 0


def test_a_threshold_for_each_class():
    weak = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # both .731
    assert float(pseudo_label_loss(weak, weak, threshold=[0.7, 0.8]).accepted) == 0.5
    assert float(pseudo_label_loss(weak, weak, threshold=torch.tensor([0.9, 0.8])).accepted) == 0


def test_at_the_threshold_is_accepted():
    even = torch.zeros(1, 2)
    assert float(pseudo_label_loss(even, even, threshold=0.5).accepted) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40), st.floats(0, 1))
def test_flexmatch_beside_its_published_loop(labels, threshold):
    """Its code counts the selected labels, -1 among them, and divides by the most frequent."""
    counter = Counter(labels)
    expected = []
    for c in range(4):
        beta = counter[c] / max(counter.values())
        expected.append(threshold * beta / (2 - beta))
    counts = [counter[c] for c in range(4)]
    got = flexmatch_thresholds(counts, unused=counter[-1], threshold=threshold)
    torch.testing.assert_close(got, torch.tensor(expected))


def test_flexmatch_keeps_the_last_sure_label_of_each_image():
    keeper = FlexMatchThresholds(4, 2, threshold=0.9)
    sure, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.1, 0.0]])
    assert keeper(torch.tensor([0]), unsure).tolist() == [0, 0]
    keeper(torch.tensor([0]), sure)
    limits = keeper(torch.tensor([1, 2]), sure.expand(2, 2))
    assert keeper.label.tolist() == [0, 0, 0, -1] and limits.tolist() == pytest.approx([0.9, 0])
    keeper(torch.tensor([0]), unsure)  # what was sure once stays
    limits = keeper(torch.tensor([0, 3]), sure.flip(1).expand(2, 2))
    assert keeper.label.tolist() == [1, 0, 0, 1] and limits.tolist() == pytest.approx([0.9, 0.9])
    other = FlexMatchThresholds(4, 2)
    other.load_state_dict(keeper.state_dict())
    assert torch.equal(other.label, keeper.label)


# --- saliency ---


def small(dropout=0.0) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.Softplus(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(4 * 36, 3)
    return nn.Sequential(*layers)


def test_saliency_is_the_finite_difference():
    model, image = small().double(), noise(2, 1, 6, 6, dtype=torch.float64)
    target = torch.tensor([2, 0])
    found = saliency(model, image, target)
    for y, x in [(0, 0), (3, 2), (5, 5)]:
        step = torch.zeros_like(image)
        step[:, 0, y, x] = 1e-5
        rise = (model(image + step) - model(image - step)) / 2e-5
        expected = rise.gather(1, target[:, None])[:, 0].abs()
        torch.testing.assert_close(found[:, 0, y, x], expected.detach(), rtol=1e-6, atol=1e-9)


def test_saliency_takes_the_highest_class_by_default():
    model, image = small(), noise(5, 1, 6, 6)
    assert torch.equal(saliency(model, image), saliency(model, image, model(image).argmax(1)))


def test_saliency_leaves_the_model_as_it_was():
    model, image = small(dropout=0.5), noise(2, 1, 6, 6)
    model[0].eval()
    with torch.no_grad():
        one = saliency(model, image)
    assert torch.equal(one, saliency(model, image)) and not one.requires_grad  # without dropout
    assert model.training and model[2].training and not model[0].training
    assert all(p.grad is None for p in model.parameters()) and not image.requires_grad


def test_smoothed_saliency():
    model, image = small(), noise(2, 1, 6, 6)
    plain = saliency(model, image)
    torch.testing.assert_close(saliency(model, image, samples=7, noise=0.0), plain)
    one, other = (saliency(model, image, samples=5, noise=0.3, generator=seeded()) for _ in range(2))
    assert torch.equal(one, other) and not torch.allclose(one, plain)
    # A linear model has the same gradient everywhere: nothing to smooth.
    linear = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    torch.testing.assert_close(saliency(linear, image, samples=3, noise=1.0), saliency(linear, image))


def test_saliency_of_a_kink_is_smoothed_to_its_mean_slope():
    """|x| has slope ±1; at a distance of one deviation the smoothed slope is erf(1/√2) = .683."""

    def model(x):
        return torch.stack((x.flatten(1).abs().sum(1), x.new_zeros(len(x))), 1)

    image = torch.tensor([[[[0.0, 1.0]]]])  # range 1
    found = saliency(model, image, torch.tensor([0]), samples=4000, noise=1.0, generator=seeded())
    assert float(found[0, 0, 0, 1]) == pytest.approx(0.683, abs=0.05) and float(found[0, 0, 0, 0]) < 0.05


def test_saliency_can_be_learned_through():
    model, image = small().double(), noise(2, 1, 6, 6, dtype=torch.float64)
    saliency(model, image, torch.tensor([0, 1]), create_graph=True).sum().backward()
    assert model[0].weight.grad.abs().sum() > 0


# --- the bridge ---


def test_the_published_bridge_is_one_eighth_between_corners():
    image, found = torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64)
    expected = F.interpolate(torch.cat((image, found), 1), scale_factor=0.125, mode="bilinear", align_corners=True)
    bridge = SaliencyBridge(resize="published", normalize=False)
    torch.testing.assert_close(bridge(image, found, (8, 8)), expected)


def test_the_published_bridge_sees_a_few_pixels_only():
    seen = {}
    for resize in ("mean", "published"):
        found = torch.rand(1, 1, 64, 64).requires_grad_()
        bridge = SaliencyBridge(resize=resize, normalize=False, detach=False)
        bridge(torch.zeros(1, 1, 64, 64), found, (8, 8))[:, 1].sum().backward()
        seen[resize] = int((found.grad != 0).sum())
    assert seen["mean"] == 64 * 64 and seen["published"] <= 4 * 64


def test_the_map_is_brought_to_the_images_range():
    image, found = torch.rand(3, 1, 8, 8), 1e-4 * torch.rand(3, 1, 8, 8)
    found[2] = 0
    result = SaliencyBridge()(image, found, (8, 8))
    assert (
        torch.equal(result[:, :1], image) and result[:2, 1].amax((1, 2)).tolist() == [1, 1] and not result[2, 1].any()
    )


def gradients_of_the_classifier(detach):
    torch.manual_seed(0)
    network = MultiTaskUNet(filters=(4, 8), dropout=0.0, bridge=SaliencyBridge(detach=detach))
    network.segment(torch.rand(2, 1, 16, 16, generator=seeded())).sum().backward()
    return network.classifier.weight.grad


def test_a_detached_bridge_lets_no_gradient_through():
    assert gradients_of_the_classifier(True) is None
    assert gradients_of_the_classifier(False).abs().sum() > 0


# --- the network ---


def test_it_has_the_published_number_of_weights():
    """Counted from the published layers: in, out of each 3×3 convolution, the linear layer, the 1×1 convolution."""

    def level(before, width):
        return 9 * before * width + width + 9 * width * width + width

    encoder = [(1, 16), (16, 32), (32, 64), (64, 128), (128, 256)]
    decoder = [(256 + 128 + 2, 128), (128 + 64, 64), (64 + 32, 32), (32 + 16, 16)]
    published = sum(level(*pair) for pair in (*encoder, *decoder)) + (256 * 2 + 2) + (16 + 1)
    network = MultiTaskUNet(bridge=SaliencyBridge())
    assert sum(p.numel() for p in network.parameters()) == published
    plain = MultiTaskUNet()
    assert published - sum(p.numel() for p in plain.parameters()) == 2 * 9 * 128  # the bridge's two channels


@pytest.mark.parametrize("norm", ["batch", "instance", "group", None])
def test_its_parts_give_what_the_whole_gives(norm):
    torch.manual_seed(0)
    network = MultiTaskUNet(2, 3, 4, filters=(4, 8, 8), norm=norm, bridge=SaliencyBridge()).eval()
    image = torch.rand(3, 2, 21, 30)
    whole = network(image)
    assert whole.class_logits.shape == (3, 3) and whole.mask_logits.shape == (3, 4, 21, 30)
    torch.testing.assert_close(network.classify(image), whole.class_logits)
    torch.testing.assert_close(network.segment(image), whole.mask_logits)
    torch.testing.assert_close(whole.saliency, saliency(network.classify, image))
    torch.testing.assert_close(network(image[1:2]).mask_logits, whole.mask_logits[1:2], rtol=1e-3, atol=1e-4)


def test_the_decoder_reads_the_map():
    torch.manual_seed(0)
    network, image = MultiTaskUNet(filters=(4, 8), bridge=SaliencyBridge()).eval(), torch.rand(1, 1, 16, 16)
    given_map = torch.rand(1, 1, 16, 16)
    assert not torch.allclose(network(image, saliency=given_map).mask_logits, network(image).mask_logits)
    assert torch.equal(network(image, saliency=given_map).saliency, given_map)


# --- the divergence ---


def test_the_divergence_is_of_bernoulli_variables():
    one, other = 3 * noise(4, 2, 5, 6), 3 * noise(4, 2, 5, 6, seed=1)
    p, q = (torch.distributions.Bernoulli(logits=logits.double()) for logits in (one, other))
    expected = torch.distributions.kl_divergence(p, q).mean()
    torch.testing.assert_close(segmentation_kl(one, other).double(), expected, rtol=1e-5, atol=1e-7)
    assert float(segmentation_kl(one, one)) == pytest.approx(0, abs=1e-7)
    far = segmentation_kl(torch.full((1, 1, 1, 1), 200.0), torch.full((1, 1, 1, 1), -200.0))
    assert float(far) == 200  # no overflow


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_the_published_divergence_is_zero_whatever_comes(seed, size):
    """A softmax over the one channel is 1: neither a loss nor a gradient."""
    one, other = (size * noise(2, 1, 4, 4, seed=seed + k) for k in (0, 1))
    one.requires_grad_(), other.requires_grad_()
    loss = segmentation_kl(one, other, rule="published")
    loss.backward()
    assert loss.item() == 0 and not one.grad.any() and not other.grad.any()
    assert segmentation_kl(one, other).item() > 0


def test_gradient_of_the_divergence():
    pair = [noise(2, 1, 3, 3, seed=k, dtype=torch.float64).requires_grad_() for k in (0, 1)]
    assert torch.autograd.gradcheck(segmentation_kl, pair)


# --- the whole, and the ladder ---


def parts(dtype=torch.float64):
    return {
        "class_logits": noise(4, 2, dtype=dtype), "class_target": torch.tensor([0, 1, 1, 0]),
        "strong_logits": noise(5, 2, seed=1, dtype=dtype), "weak_logits": 2 * noise(5, 2, seed=2, dtype=dtype),
        "mask_logits": noise(3, 1, 6, 6, seed=3, dtype=dtype), "mask_target": noise(3, 1, 6, 6, seed=4) > 0,
        "unlabelled_mask_logits": noise(3, 1, 6, 6, seed=5, dtype=dtype),
    }  # fmt: skip


def test_the_loss_beside_the_published_code():
    """Its ``calc_loss``, written anew, with its zero divergence."""
    given = parts()
    p, y = given["mask_logits"].sigmoid(), given["mask_target"].double()
    dice = (1 - (2 * (p * y).sum((2, 3)) + 1) / (p.sum((2, 3)) + y.sum((2, 3)) + 1)).mean()
    pseudo = published_pseudo(given["strong_logits"], given["weak_logits"], 0.7)
    expected = F.cross_entropy(given["class_logits"], given["class_target"]) + 5 * dice + 0.25 * pseudo
    found = multimix_loss(**given, kl="published")
    torch.testing.assert_close(found.total, expected)
    assert found.kl == 0
    meant = multimix_loss(**given)
    torch.testing.assert_close(meant.total - found.total, 0.01 * meant.kl)
    assert math.isnan(meant.accuracy) and 0 < float(meant.accepted) < 1


def test_every_weight_weighs_its_term():
    found = multimix_loss(**parts(), lam=2.0, alpha=3.0, beta=4.0)
    expected = found.classification + 2 * found.pseudo + 3 * found.dice + 4 * found.kl
    torch.testing.assert_close(found.total, expected)


def batch(seed=0) -> MultiMixBatch:
    g = seeded(seed)
    images = [torch.rand(count, 1, 16, 16, generator=g) for count in (6, 3, 5, 3)]
    masks, classes = images[1] > 0.5, torch.tensor([0, 1, 0, 1, 1, 0])
    return MultiMixBatch(images[0], classes, images[1], masks, images[2], images[3], torch.tensor([0, 1, 1, 0, 0]))


def network_for(rung: Rung) -> MultiTaskUNet:
    torch.manual_seed(0)
    return MultiTaskUNet(filters=(4, 8), bridge=SaliencyBridge() if rung.bridge else None)


@pytest.mark.parametrize("name", LADDER)
def test_each_rung_learns_from_what_it_says(name):
    rung = LADDER[name]
    network = network_for(rung)
    loss = multimix_step(network, batch(), name, threshold=0.0, generator=seeded())
    assert [bool(term > 0) for term in loss[1:5]] == [rung.classify, rung.pseudo, rung.segment, rung.kl]
    assert float(loss.accepted) == float(rung.pseudo) and math.isnan(loss.accuracy) != rung.pseudo
    loss.total.backward()
    parts_of = network.named_children()
    learned = {part for part, values in parts_of if any(p.grad is not None for p in values.parameters())}
    expected = {"encoder"} | ({"classifier"} if rung.classify else set())
    assert learned == expected | ({"decoder", "head"} if rung.segment else set())


def test_the_ladder_is_the_papers():
    assert list(LADDER) == ["U-Net", "Enc", "EncSSL", "UMTL", "UMTL-S", "UMTL-SSL", "UMTL-SSL-S", "MultiMix"]
    assert LADDER["MultiMix"] == Rung(True, True, True, True, True)
    assert LADDER["MultiMix"]._replace(kl=False) == LADDER["UMTL-SSL-S"]


def test_the_last_rung_as_published_is_the_one_before():
    """Its added term is 0: what the paper's last row gains over the row before is not due to it."""
    losses = []
    for name, kl in (("UMTL-SSL-S", "pixels"), ("MultiMix", "published"), ("MultiMix", "pixels")):
        network = network_for(LADDER[name]).eval()  # without dropout
        losses.append(multimix_step(network, batch(), name, kl=kl, generator=seeded()).total)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-7)
    assert losses[2] > losses[0]


def test_a_step_lowers_the_loss():
    network, given = network_for(LADDER["UMTL-S"]), batch()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    history = []
    for _ in range(15):
        loss = multimix_step(network, given, "UMTL-S", weak=lambda x, generator: x).total
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        history.append(loss.item())
    assert history[-1] < history[0]


# --- bad input ---


X = torch.rand(2, 1, 8, 8)
SMALL = MultiTaskUNet(filters=(2, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pseudo_label_loss(X, X, threshold=0.5), r"strong_logits must be floating-point \(B, C\)"),
        (
            lambda: pseudo_label_loss(torch.zeros(2, 3), torch.zeros(2, 2), threshold=0.5),
            "weak_logits must have the sh",
        ),
        (lambda: pseudo_label_loss(torch.zeros(2, 2), torch.zeros(2, 2), threshold=95), "threshold must be in"),
        (lambda: pseudo_label_loss(torch.zeros(2, 2), torch.zeros(2, 2), threshold=[0.5] * 3), "threshold must be one"),
        (lambda: flexmatch_thresholds([-1, 2]), r"counts\[0\] must be"),
        (lambda: FlexMatchThresholds(2, 2)(torch.tensor([2]), torch.zeros(1, 2)), "rows must be numbers from 0 to 1"),
        (lambda: saliency(SMALL.classify, X[0]), r"image must be floating-point \(B, C, H, W\)"),
        (lambda: saliency(SMALL.classify, X, torch.tensor([0, 2])), "target must hold classes from 0 to 1, got 2"),
        (lambda: saliency(lambda x: torch.zeros(2, 2), X), "model must depend on the image"),
        (lambda: saliency(lambda x: x, X), "the model's logits must be"),
        (lambda: saliency(SMALL.classify, X, samples=0), "samples must be"),
        (lambda: SaliencyBridge(resize="area"), "resize must be 'mean' or 'published'"),
        (lambda: SaliencyBridge()(X, X[:1], (2, 2)), "saliency must have the shape of image"),
        (lambda: MultiTaskUNet(filters=(4,)), "filters must be channels of at least two levels"),
        (lambda: MultiTaskUNet(bridge=True), "bridge must be a SaliencyBridge or None, got True"),
        (lambda: MultiTaskUNet(dropout=1.0), "dropout must be"),
        (lambda: SMALL(torch.rand(2, 3, 8, 8)), r"image must be floating-point \(B, 1, H, W\)"),
        (lambda: SMALL(X, saliency=X), "saliency must be None for a network without a bridge"),
        (lambda: segmentation_kl(X, X[:1]), "unlabelled_logits must have the shape of labelled_logits"),
        (lambda: segmentation_kl(X, X, rule="softmax"), "rule must be 'pixels' or 'published'"),
        (lambda: multimix_loss(), "must be given, got none of them"),
        (lambda: multimix_loss(class_logits=torch.zeros(2, 2)), "class_target must be given where class_logits is"),
        (lambda: multimix_loss(mask_logits=X, mask_target=X, lam=-1), "lam must be"),
        (
            lambda: multimix_loss(
                class_logits=torch.zeros(1, 2), class_target=torch.tensor([0]), unlabelled_mask_logits=X
            ),
            "unlabelled_mask_logits must come with mask_logits",
        ),
        (lambda: multimix_step(SMALL, batch(), "UMTL-X"), "rung must be 'U-Net'"),
        (lambda: multimix_step(SMALL, batch(), "MultiMix"), "network must have a SaliencyBridge for this rung"),
        (lambda: multimix_step(nn.Linear(1, 1), batch(), "Enc"), "network must be a MultiTaskUNet"),
        (lambda: multimix_step(SMALL, batch()._replace(class_target=None), "Enc"), "batch.class_target must be given"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_its_parts_can_be_had_from_it():
    assert multimix.saliency is saliency and set(multimix.__all__) >= {"MultiTaskUNet", "SaliencyBridge", "saliency"}
