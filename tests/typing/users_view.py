"""A user's file, for a type checker alone: the public names, used as the README uses them.

Its functions are never run; tests/test_types.py has them checked. ``assert_type`` holds what a name gives, so that
nothing is silently ``Any``. A line that ends in ``# finds: CODE ...`` is a mistake that the checker must find.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import assert_type

import numpy as np
import torch
from torch import Tensor, nn

from tutorial_lib.adversarial import FGM, PGD, VAT, AdversarialStep, FreeLB, attack
from tutorial_lib.augment import (
    CLINICAL,
    Augmented,
    Neighbours,
    augment,
    augment_batch,
    contract,
    eda,
    eda_operations,
    instance_crossover,
    protect,
    spelling_noise,
    synonym_replacement,
)
from tutorial_lib.boxes import make_anchors, nms
from tutorial_lib.consistency import DTCWeights, TwoStreamBatchSampler, dtc_weights
from tutorial_lib.lab import History, batches, claim, fit, paired, predict, seed_everything
from tutorial_lib.lab.splits import Rows, split_rows
from tutorial_lib.level_sets import curvature, mask_from_sdf, signed_distance
from tutorial_lib.losses import drw_weights, focal_loss, ldam_loss, lmf_loss, soft_f1_loss
from tutorial_lib.metrics import confusion_matrix, segmentation_scores, surface_distances
from tutorial_lib.mixup import Mixed, flow_mixup, manifold_mixup, mixup
from tutorial_lib.networks import DualOutput, DualUNet, sliding_window
from tutorial_lib.roi import roi_align, roi_pool
from tutorial_lib.similarity import ms_ssim
from tutorial_lib.text import Piece, Vocabulary, audit, clean, conflicting_labels, split_sentences, tokenize


class Net(nn.Module):
    """The user's own, unmodified model."""


def mixing(model: Net, loss_fn: nn.CrossEntropyLoss, inputs: Tensor, targets: Tensor) -> Tensor:
    mixed = mixup(inputs, targets, alpha=0.4)
    assert_type(mixed, Mixed)
    assert_type(mixed.inputs, Tensor)
    assert_type(mixed.index, Tensor)
    inputs, targets, lam, index = mixed
    with manifold_mixup(model, ["", "layer1", "layer2"], alpha=2.0) as mix:
        loss = mix.loss(loss_fn, model(inputs), targets)
        assert_type(mix.targets(targets), Tensor)
        assert_type(mix.layer, str | None)
    with flow_mixup(model, ["layer2"], alpha=0.4, generator=seed_everything(0)) as mix:
        loss = loss + mix.loss(loss_fn, model(inputs), targets)
    mixup("x")  # finds: call-overload call-arg arg-type
    mixup(inputs, targets, alpha="0.4")  # finds: arg-type
    with manifold_mixup(model, 3, alpha=2.0):  # finds: arg-type
        pass
    return loss * lam.sum() * index.sum()


def measures_of_tensors(pred: Tensor, target: Tensor) -> Tensor:
    matrix = confusion_matrix(pred, target, num_classes=4)
    assert_type(matrix, Tensor)
    scores = segmentation_scores(matrix)
    assert_type(scores.iou, Tensor)
    distances = surface_distances(pred == 1, target == 1, spacing=(3, 1, 1), tolerance=1)
    assert_type(distances.hd95, Tensor)
    assert_type(distances.nsd, Tensor | None)
    sdf = signed_distance(target, spacing=torch.tensor([3.0, 1.0, 1.0]))
    assert_type(mask_from_sdf(sdf, k=2.0), Tensor)
    confusion_matrix(pred, target, num_classes="4")  # finds: arg-type
    surface_distances(pred, target, spacing="isotropic")  # finds: arg-type
    return scores.iou.mean() + distances.hd95.sum()


def measures_of_arrays(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    matrix = confusion_matrix(pred, target, num_classes=4, ignore_index=255)
    assert_type(matrix, np.ndarray)
    assert_type(segmentation_scores(matrix).dice, np.ndarray)
    sdf = signed_distance(pred == 1, spacing=np.array([3.0, 1.0, 1.0]), normalize="dtc")
    confusion_matrix(pred, torch.zeros(3), num_classes=4)  # finds: type-var misc
    return curvature(sdf, spacing=[3, 1, 1])


def losses(cosines: Tensor, target: Tensor, counts: Tensor, frequencies: np.ndarray) -> Tensor:
    weight = drw_weights(counts, epoch=3, start=160)
    loss = ldam_loss(cosines, target, class_counts=counts, weight=weight)
    loss = loss + lmf_loss(cosines, target, class_counts=[100, 50, 1], weight="margins")
    loss = loss + lmf_loss(cosines, target, class_counts=frequencies, weight=[1, 2.5])
    loss = loss + focal_loss(cosines, target, gamma=2, alpha=(0.2, 0.8))
    assert_type(ms_ssim(cosines, target, weights=np.array([1.0])), Tensor)
    ldam_loss(cosines, target, class_counts="many")  # finds: arg-type
    return loss + soft_f1_loss(cosines, target)


def regions(features: Tensor, boxes: Tensor, each: list[Tensor], scores: Tensor) -> Tensor:
    pooled = roi_align(features, boxes, (7, 7), spatial_scale=1 / 16, sampling_ratio=2)
    pooled = roi_pool(features, each, 7, spatial_scale=1 / 16) + pooled
    pooled = roi_pool(features, each, np.array([7, 7])) + pooled
    anchors = make_anchors(features.shape[2:], stride=16, sizes=[8, 16.0], ratios=torch.tensor([0.5, 1]))
    roi_pool(features, boxes, (7.5, 7.5))  # finds: arg-type
    return pooled[nms(boxes, scores, 0.5)].sum() + anchors.sum()


def volumes(network: DualUNet, volume: Tensor) -> Tensor:
    weights = dtc_weights(3, 100)
    assert_type(weights, DTCWeights)
    sampler = TwoStreamBatchSampler(range(4), np.arange(4, 100), labelled_per_batch=2, unlabelled_per_batch=2)
    first: list[int] = next(iter(sampler))
    logits = sliding_window(lambda x: torch.sigmoid(x), volume, window=(8, 8, 4), stride=4)
    assert_type(network.forward(volume), DualOutput)
    return torch.as_tensor(logits) * first[0]


def against(model: Net, tokens: Tensor, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> float:
    fgm = FGM(model, "embedding", epsilon=1.0)
    step = fgm.backward(lambda: criterion(model(tokens), target), mask=tokens != 0)
    assert_type(step, AdversarialStep)
    pgd, lds = PGD(model, None, steps=2), VAT(model, "embedding", epsilon=1.0)
    pgd.backward(lambda: criterion(model(tokens), target), mask=np.ones((2, 3), bool))
    assert_type(lds.loss(lambda: model(tokens)), Tensor)
    FreeLB(model, model, generator=torch.Generator()).backward(lambda: criterion(model(tokens), target))
    with attack(model, "embedding", lambda: criterion(model(tokens), target), epsilon=0.1):
        pass
    fgm.backward(criterion)  # finds: arg-type
    return float(step.loss)


def words(labels: Tensor, numbers: np.ndarray, vectors: Tensor) -> list[str]:
    rng = random.Random(0)
    variants = eda("No fever, 500 mg daily.", alpha=0.1, n=4, keep=CLINICAL, rng=rng)
    assert_type(variants, list[str])
    texts = ["no fever today", "cough"]
    records = augment(texts, labels, operations=eda_operations(keep=protect({"no"}, str.isdigit)))
    assert_type(records[0], Augmented)
    assert_type(records[0].index, int)
    assert_type(records[0].origin, list[int | None])
    augment_batch([["a", "b"], ["c", "d"]], [0, 0])
    instance_crossover([["a", "b"], ["c", "d"]], numbers, rng=rng)
    near = Neighbours(texts, vectors, k=1)
    tokens = synonym_replacement(["severe", "pain"], synonyms={"severe": ["intense"]}, rng=rng)
    tokens = synonym_replacement(tokens, synonyms={"severe": {"intense", "bad"}}, keep={"no"}, rng=rng)
    tokens = synonym_replacement(tokens, synonyms=lambda word: [word], keep=str.isdigit, rng=rng)
    tokens = synonym_replacement(tokens, synonyms=near, rng=rng)
    tokens = spelling_noise(contract(tokens), p=0.5, rng=rng)
    eda("No fever.", rng=0)  # finds: arg-type
    synonym_replacement(tokens, synonyms=3, rng=rng)  # finds: arg-type
    return variants + tokens


def texts(raw: str, labels: np.ndarray) -> Sequence[str]:
    changes = audit(raw)
    tokens = tokenize(clean(raw), language="en", terms=["blood pressure"])
    vocabulary = Vocabulary.build([tokens], min_freq=1)
    assert_type(vocabulary.encode(tokens), list[int])
    assert_type(vocabulary.pad([tokens]).ids, Tensor)
    conflicts = conflicting_labels([raw, raw], labels)
    piece = Piece(raw, 0, len(raw))
    clean(3)  # finds: arg-type
    return [*split_sentences(raw), changes[0].after, str(conflicts[0].indices), piece.content]


def experiment(model: Net, inputs: Tensor, targets: Tensor, table: object) -> float:
    def step(model: Net, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def validate(model: Net) -> Mapping[str, Tensor]:
        return {"accuracy": (predict(model, inputs).argmax(1) == targets).float().mean()}

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, batches(inputs, targets, batch_size=8), step, epochs=2, optimizer=optimizer, validate=validate)
    assert_type(history, History)
    assert_type(history.column("loss"), list[float])
    rows = split_rows(10, val=0.2, test=0.3, seed=0, stratify=targets)
    assert_type(rows, Rows)
    split_rows(10, val=0.2, test=0.3, seed=0, groups=["a", "b"])
    result = claim("B beats A", paired(table, "mixup", "accuracy"), [1, 2, 2, 2, 1], show=False)
    fit(model, batches(inputs, batch_size="8"), step, epochs=2, optimizer=optimizer)  # finds: arg-type
    claim("B beats A", 0.9, 0.8)  # finds: arg-type
    return result.effect
