"""Every public function gives on another device what it gives on the CPU: one table, run twice.

On a GPU where there is one, within a tolerance that each row states with its reason; and on the stand-in of
second_device.py everywhere, number for number. Results must be on the device they were asked for, except where a row
says otherwise. A function missing from the table fails the test.
"""

import functools
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
import second_device
import torch
from conftest import ROOT
from torch import nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import tutorial_lib
import tutorial_lib.lab
from tutorial_lib import (
    _arguments,
    adversarial,
    attention,
    augment,
    consistency,
    contrastive,
    detection,
    diffusion,
    ensembles,
    generative,
    guidance,
    hybrid,
    level_sets,
    losses,
    metrics,
    multilabel,
    multimix,
    networks,
    overlap,
    proposals,
    protein,
    roi,
    saliency,
)
from tutorial_lib import boxes as box_module
from tutorial_lib import mixup as mixing
from tutorial_lib.average_precision import Detections, Truths, average_precision
from tutorial_lib.lab import calibration, claims, datasets, exercises, forest, training

# Tolerances for float32 on a GPU: (relative, absolute). TF32 is off; with it matrix products keep 10 bits of 23.
EXACT = (0.0, 0.0)  # moves, compares or counts numbers, or computes on the CPU
CORRECT = (1e-6, 1e-7)  # elementwise: a GPU's exp, log and tanh differ in the last digit or two; a fused multiply-add
SUMS = (2e-5, 1e-6)  # sums of at most 1e5 numbers in another order
DEEP = (2e-3, 2e-5)  # many layers of convolutions and norms, each with its own order of sums
STEPS = (1e-3, 1e-5)  # training steps, which carry a difference on and divide by small numbers (Adam, a norm)
HALF = (torch.float16, torch.bfloat16)


class Row(NamedTuple):
    """A function of the table: ``run(on)`` makes inputs on the CPU, brings them over with ``on``, returns results."""

    run: Callable
    tolerance: tuple[float, float]
    home: str  # "device", or "cpu" for results that are documented to be there


TABLE: dict[str, Row] = {}

STRINGS = "works on strings"
NUMBERS = "works on Python's numbers"
RESULT = "a tuple of results, made by functions of the table"
NO_TENSORS = {
    "text": STRINGS,
    **{f"augment.{name}": STRINGS for name in augment.__all__},
    "adversarial.AdversarialStep": RESULT,
    "average_precision.AveragePrecision": RESULT,
    "average_precision.Detections": "what average_precision is handed",
    "average_precision.Truths": "what average_precision is handed",
    "boxes.Sample": RESULT,
    "detection.DetectionLoss": RESULT,
    "networks.pretrained_efficientnet_lite": "reads a file, on the CPU",
    "proposals.Proposals": RESULT,
    "proposals.RegionLoss": RESULT,
    "consistency.DTCLoss": RESULT,
    "consistency.DTCWeights": NUMBERS,
    "consistency.MeanTeacherLoss": RESULT,
    "consistency.dtc_weights": NUMBERS,
    "consistency.gaussian_rampup": NUMBERS,
    "attention.LabelContext": RESULT,
    "metrics.SegmentationScores": RESULT,
    "multilabel.F1Scores": RESULT,
    "multilabel.PseudoLabels": RESULT,
    "multilabel.Thresholds": RESULT,
    "metrics.SurfaceDistances": RESULT,
    "mixup.Draw": RESULT,
    "mixup.Mixed": RESULT,
    "mixup.Mixing": "what manifold_mixup and flow_mixup yield",
    "hybrid.HybridLoss": RESULT,
    "networks.DualOutput": RESULT,
    "networks.MapOutput": RESULT,
    "networks.TokenStates": RESULT,
    "networks.MultiTaskOutput": RESULT,
    "multimix.MultiMixBatch": "what multimix_step is handed",
    "multimix.MultiMixLoss": RESULT,
    "multimix.PseudoLabelLoss": RESULT,
    "multimix.Rung": "yes or no",
    "protein.BackbonePiece": RESULT,
    "protein.Design": RESULT,
    "protein.Environment": RESULT,
    "protein.decode_sequence": "gives a string",
    "protein.encode_sequence": "is handed letters; its numbers are made on the CPU",
    "protein.read_backbones": "reads a file, on the CPU",
    "protein.residue_targets": "is handed what read_backbones gives",
    "protein.update_share": NUMBERS,
    "ensembles.ambiguity": NUMBERS,
    "ensembles.corrected_t_test": NUMBERS,
    "ensembles.majority_accuracy": NUMBERS,
    "ensembles.rank_weights": NUMBERS,
    "ensembles.bag": "calls what it is handed, and holds NumPy's numbers",
    "ensembles.blend": "calls what it is handed, and holds NumPy's numbers",
    "ensembles.out_of_fold": "calls what it is handed, and holds NumPy's numbers",
    "ensembles.samme": "calls what it is handed, and holds NumPy's numbers",
    "ensembles.stack": "calls what it is handed, and holds NumPy's numbers",
    "ensembles.Ambiguity": RESULT,
    "ensembles.Bagged": RESULT,
    "ensembles.Boosted": RESULT,
    "ensembles.CorrectedTest": RESULT,
    "ensembles.OutOfFold": RESULT,
    "diffusion.Prediction": RESULT,
    "diffusion.noise_schedule": "made on the CPU; its steps are brought to the pictures' device",
    "diffusion.sampling_steps": NUMBERS,
    "generative.PrecisionRecall": RESULT,
    "lab.calibration.Reliability": RESULT,
    "lab.training.Batches": "what batches returns",
    "lab.training.History": "holds Python's numbers",
    "lab.training.compare": "calls what it is given, and holds its numbers in a data frame",
}
for _name in ("sent_mixup", "word_mixup", "Neighbours", "hf_fill", "hf_translate", "hf_generate"):
    del NO_TENSORS[f"augment.{_name}"]
for _name in ("image_operation", "strong_augment", "weak_augment"):
    del NO_TENSORS[f"augment.{_name}"]
NO_TENSORS["augment.MagnitudeRange"] = NUMBERS

# The upper floor: modules whose functions compute with tensors, and why the others are not asked.
LAB = ("calibration", "training")
NOT_ASKED = {
    "captioned_shapes": "makes data on the CPU",
    "chest": "makes data on the CPU",
    "checks": "compares answers with references on the CPU; expect, which may be handed anything, is in the table",
    "claims": "works on Python's numbers",
    "clinical_notes": "makes texts, and labels on the CPU",
    "clinical_words": STRINGS,
    "datasets": "makes data on the CPU; the functions that are handed tensors are in the table",
    "drawer": "trains and reads files on the CPU",
    "ecg": "makes data on the CPU",
    "evidence": "reads files",
    "exercises": "expect is in the table",
    "forest": "draws Python's numbers",
    "frames": "draws figures and writes files",
    "intervals": "works on NumPy's numbers",
    "lines": STRINGS,
    "organs": "makes data on the CPU",
    "phantoms": "makes data on the CPU",
    "plots": "draws Python's numbers",
    "proteins": "makes data on the CPU",
    "real": "reads files",
    "record_words": STRINGS,
    "records": "makes and reads texts; labels and probabilities are on the CPU",
    "results": "writes and reads files",
    "runtime": "names devices",
    "schematics": "draws figures",
    "schematics_worlds": "draws figures",
    "sheet": "draws figures",
    "scene_reader": "trains on the CPU; reading is a network's forward pass",
    "splits": "split_rows is in the table, under its other name lab.datasets.split_rows",
    "stars": "works on NumPy's arrays",
    "widgets": "calls what it is given",
}


def row(*names: str, tolerance=SUMS, home: str = "device"):
    def add(run):
        for name in names:
            TABLE[name] = Row(run, tolerance, home)
        return run

    return add


class Over:
    """Brings inputs to a device, and remembers what a gradient is wanted for."""

    def __init__(self, device: torch.device | str):
        self.device, self.leaves = torch.device(device), []

    def __call__(self, *values):
        moved = [pytree.tree_map(lambda v: v.to(self.device) if isinstance(v, torch.Tensor) else v, v) for v in values]
        return moved[0] if len(moved) == 1 else moved

    def leaf(self, *values):
        leaves = [self(value).detach().requires_grad_() for value in values]
        self.leaves += leaves
        return leaves[0] if len(leaves) == 1 else leaves

    def model(self, model: nn.Module) -> nn.Module:
        model = model.to(self.device)
        self.leaves += [p for p in model.parameters() if p.requires_grad]
        return model


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed))


def uniform(*shape, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed))


def whole(high: int, *shape, seed: int = 0) -> torch.Tensor:
    return torch.randint(high, shape, generator=seeded(seed))


def results(run: Callable, over: Over) -> tuple[list, list]:
    """What a row gives, and the gradients of a weighted sum of it for every leaf."""
    # Only what was drawn before the inputs moved, and what a function draws by itself on the CPU.
    torch.manual_seed(0)
    given = pytree.tree_leaves(run(over))
    total = None
    for value in given:
        if isinstance(value, torch.Tensor) and value.requires_grad:
            # Different weights, or a softmax's gradients would cancel.
            weights = torch.linspace(-1, 2, value.numel()).view(value.shape).to(value)
            total = (value * weights).sum() + (0 if total is None else total)
    if total is not None:
        total.backward()
    return given, [leaf.grad for leaf in over.leaves if leaf.grad is not None]


def compare(run: Callable, device: torch.device | str, tolerance: tuple[float, float], home: str) -> None:
    expected, expected_gradients = results(run, Over("cpu"))
    got, gradients = results(run, Over(device))
    assert len(got) == len(expected) and len(gradients) == len(expected_gradients)
    place = torch.device("cpu") if home == "cpu" else torch.device(device)
    for value in got:
        if isinstance(value, torch.Tensor):
            assert value.device.type == place.type, f"a result on {value.device}"
    for gradient in gradients:
        assert gradient.device.type == torch.device(device).type, f"a gradient on {gradient.device}"
    relative, absolute = tolerance
    for ours, theirs in zip([*got, *gradients], [*expected, *expected_gradients]):
        if isinstance(theirs, torch.Tensor | float):
            ours = ours.detach().cpu() if isinstance(ours, torch.Tensor) else ours
            theirs = theirs.detach() if isinstance(theirs, torch.Tensor) else theirs
            # A last digit of half precision is larger than a tolerance for single.
            narrow = relative and isinstance(theirs, torch.Tensor) and theirs.dtype in HALF
            least = torch.finfo(theirs.dtype).eps if narrow else 0.0
            torch.testing.assert_close(ours, theirs, rtol=max(relative, least), atol=absolute, equal_nan=True)
        else:
            assert ours == theirs


# --- mixup ----------------------------------------------------------------------------------------------------------


@row("mixup.mixup", tolerance=CORRECT)
def _(on):
    x, y = on.leaf(noise(8, 3, 16, 16)), on(uniform(8, 5, seed=1))
    given = [mixing.mixup(x, y, alpha=1.0, per_sample=each, generator=seeded()) for each in (False, True)]
    out = torch.empty_like(x)
    with torch.no_grad():
        given.append(mixing.mixup(x, y, alpha=1.0, out=out, generator=seeded()))
    assert given[-1].inputs is out
    narrow = [mixing.mixup(x.to(dtype), y, alpha=1.0, generator=seeded()) for dtype in (torch.float16, torch.bfloat16)]
    return given, narrow


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


@row("mixup.manifold_mixup", "mixup.flow_mixup", "mixup.flow_loss")
def _(on):
    model, x, y = on.model(perceptron()), on(noise(8, 6)), on(uniform(8, 3))
    given = []
    for context in (mixing.manifold_mixup, mixing.flow_mixup):
        with context(model, ["", "0", "1"], alpha=1.0, generator=seeded()) as mix:
            logits = model(x)
        target = mix.targets(y)
        given += [logits, target, [(draw.lam, draw.index) for draw in mix.draws]]
        given.append(mixing.flow_loss(F.binary_cross_entropy_with_logits, logits, target, flows=mix.flows))
    return given


@row("mixup.FlowMix", tolerance=CORRECT)
def _(on):
    x, y = on.leaf(noise(4, 8, 5)), on(uniform(4, 3))
    flow = mixing.FlowMix(alpha=0.5, generator=seeded())
    return flow(*flow(x, y), flows=2)


@row("augment.word_mixup", "augment.sent_mixup", tolerance=CORRECT)
def _(on):
    words, y = on.leaf(noise(6, 5, 4)), on(uniform(6, 2))
    some = on.leaf(noise(3, 4, seed=1), noise(5, 4, seed=2))
    return (
        augment.word_mixup(words, y, alpha=1.0, padding=on(uniform(6, 5) < 0.3), generator=seeded()),
        augment.word_mixup(some, y[:2], alpha=1.0, per_sample=True, generator=seeded()),
        augment.sent_mixup(words.flatten(1), y, alpha=1.0, generator=seeded()),
    )


@row("augment.image_operation", "augment.strong_augment", "augment.weak_augment")
def _(on):
    images, masks = on.leaf(uniform(8, 3, 12, 12)), on(uniform(8, 2, 12, 12, seed=1) < 0.5)
    # No rounding to levels, no ties of nearest pixels: those may fall on either side on a GPU.
    smooth = ("autocontrast", "brightness", "color", "contrast", "sharpness", "crop", "rotate", "shear_x", "cutout")
    given = [augment.image_operation(images, name, 0.21, generator=seeded()) for name in smooth]
    ranges = {name: (0.1, 0.3) for name in smooth[:-1]}
    given.append(augment.strong_augment(images, ranges=ranges, probability=1.0, masks=masks, generator=seeded()))
    given.append(augment.weak_augment(images, masks=masks, generator=seeded()))
    levels = on((uniform(4, 1, 9, 9, seed=2) * 255).round() / 255)
    given += [augment.image_operation(levels, name, 3.0) for name in ("equalize", "posterize", "solarize")]
    return given


# --- losses ---------------------------------------------------------------------------------------------------------

COUNTS = [500, 120, 30, 7]


def classes(on):
    return on.leaf(3 * noise(40, 4)), on(whole(4, 40))


def bits(on):
    return on.leaf(3 * noise(12, 6)), on((uniform(12, 6, seed=1) < 0.3).float())


def masks(on):
    return on.leaf(uniform(2, 2, 24, 24)), on((uniform(2, 2, 24, 24, seed=1) < 0.4).float())


@row("losses.focal_loss")
def _(on):
    logits, target = classes(on)
    soft = on(noise(40, 4, seed=2).softmax(1))
    weights = on(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    return [
        losses.focal_loss(logits, target, alpha=[1.0, 2.0, 3.0, 4.0]),
        losses.focal_loss(logits, target, gamma=0.5, reduction="none"),
        losses.focal_loss(logits, target, ignore_index=0),
        losses.focal_loss(logits, soft, alpha=weights),
    ]


@row("losses.sigmoid_focal_loss")
def _(on):
    logits, target = bits(on)
    weights = {"weight": on(torch.ones(target.shape[1])), "pos_weight": 2.0, "ignore_index": -1}
    marked = torch.where(target > 0, target, -1)
    return [
        *(losses.sigmoid_focal_loss(logits, t, alpha=0.25) for t in (target, target.bool(), target * 0.8)),
        losses.sigmoid_focal_loss(logits, marked, **weights),
    ]


@row("losses.ldam_loss", "losses.lmf_loss")
def _(on):
    logits, target = classes(on)
    given = []
    for loss in (losses.ldam_loss, losses.lmf_loss):
        given.append(loss(logits, target, class_counts=COUNTS))
        # Counts and weights as they come from a data set: tensors on the CPU.
        given.append(loss(logits, target, class_counts=torch.tensor(COUNTS), weight=torch.ones(4)))
        given.append(loss(logits, target, class_counts=on(torch.tensor(COUNTS)), reduction="none"))
    return [*given, losses.lmf_loss(logits, target, class_counts=COUNTS, weight="margins")]


@row("losses.ldam_margins", "losses.class_balanced_weights", "losses.drw_weights", tolerance=(1e-12, 0.0))
def _(on):
    counts = on(torch.tensor(COUNTS))
    weights = [losses.drw_weights(counts, epoch=epoch, start=1) for epoch in (0, 1)]
    return [losses.ldam_margins(counts), losses.class_balanced_weights(counts), *weights]


@row("losses.CosineHead")
def _(on):
    torch.manual_seed(0)
    return on.model(losses.CosineHead(8, 3, scale=30.0))(on.leaf(noise(5, 8)))


@row("losses.soft_f1_loss", "losses.sigmoid_f1_loss", "losses.hamming_loss")
def _(on):
    logits, target = bits(on)
    return [loss(logits, target) for loss in (losses.soft_f1_loss, losses.sigmoid_f1_loss, losses.hamming_loss)]


OVERLAP = [f"{module}.{name}" for module in ("losses", "overlap") for name in ("dice_loss", "iou_loss", "tversky_loss")]


@row(*OVERLAP, "consistency.dice_loss")
def _(on):
    probability, target = masks(on)
    marked = torch.where(target[:, :1].bool(), 255, target)
    options = {"weight": [1.0] * target.shape[1], "ignore_index": 255, "absent": "skip", "smooth": (0.5, 1.0)}
    return [
        result
        for loss in (losses.dice_loss, losses.iou_loss, losses.tversky_loss)
        for pooled in (True, False)
        for result in (loss(probability, target, pooled=pooled), loss(probability, marked, pooled=pooled, **options))
    ]


@row("overlap.class_masks")
def _(on):
    return overlap.class_masks(on(torch.tensor([[0, 1, 255]])), num_classes=2, ignore_index=255)


# A variance is the small difference of two large means: it keeps fewer digits than its terms.
@row("hybrid.hybrid_loss", tolerance=(1e-4, 1e-6))
def _(on):
    logits, target = on.leaf(noise(2, 3, 24, 26)), on((uniform(2, 3, 24, 26) < 0.3).float())
    return [*hybrid.hybrid_loss(logits, target)]


@row("similarity.ms_ssim", "similarity.ms_ssim_loss", tolerance=(1e-4, 1e-6))
def _(on):
    image, target = on.leaf(uniform(2, 1, 44, 44)), on(uniform(2, 1, 44, 44, seed=1))
    volume, other = on.leaf(uniform(1, 1, 14, 12, 12)), on(uniform(1, 1, 14, 12, 12, seed=1))
    return [
        losses.ms_ssim(image, 0.5 * (image.detach() + target), weights=[0.3, 0.3, 0.4]),
        losses.ms_ssim_loss(volume, 0.5 * (volume.detach() + other), weights=[1.0]),
    ]


# --- metrics, level sets --------------------------------------------------------------------------------------------


@row("metrics.confusion_matrix", "metrics.segmentation_scores", tolerance=(1e-12, 0.0))
def _(on):
    pred, target = on(whole(3, 2, 50, 50)), on(whole(3, 2, 50, 50, seed=1))
    matrix = metrics.confusion_matrix(pred, target, 3, ignore_index=2)
    return matrix, metrics.segmentation_scores(matrix)


@row("metrics.surface_distances", tolerance=EXACT)  # SciPy's trees, on the CPU
def _(on):
    pred, target = on(uniform(2, 12, 12) < 0.5), on((uniform(2, 12, 12, seed=1) < 0.5).float())
    return metrics.surface_distances(pred, target > 0, spatial_dims=2, spacing=(1.0, 2.0), tolerance=1.0)


@row("level_sets.signed_distance", tolerance=EXACT)  # SciPy's transform, on the CPU
def _(on):
    mask = on(uniform(3, 1, 14, 11) < 0.3)
    return [
        level_sets.signed_distance(mask, spatial_dims=2, normalize=normalize) for normalize in (None, "dtc", 4.0)
    ] + [level_sets.signed_distance(mask.half(), spatial_dims=2)]


@row("level_sets.heaviside", "level_sets.dirac", "level_sets.mask_from_sdf", tolerance=CORRECT)
def _(on):
    phi = on.leaf(noise(6, 9))
    return level_sets.heaviside(phi, eps=0.5), level_sets.dirac(phi, eps=0.5), level_sets.mask_from_sdf(phi, k=5)


@row("level_sets.curvature", tolerance=(1e-4, 1e-5))  # differences of neighbours, then a quotient of them
def _(on):
    return level_sets.curvature(on.leaf(noise(2, 9, 8, 7)), spacing=(1.0, 2.0, 0.5))


# --- consistency ----------------------------------------------------------------------------------------------------


def two_heads(on):
    logits, sdf = on.leaf(2 * noise(3, 1, 10, 12), noise(3, 1, 10, 12, seed=1).tanh())
    target = on((uniform(2, 1, 10, 12) < 0.4).float())
    return logits, sdf, target, level_sets.signed_distance(target, normalize="dtc", spatial_dims=2)


@row("consistency.dtc_loss", "consistency.task_consistency", tolerance=(1e-4, 1e-6))  # a step of slope 1500 in it
def _(on):
    logits, sdf, target, target_sdf = two_heads(on)
    given = [consistency.dtc_loss(logits, sdf, target, target_sdf, lam=0.5)]
    given.append(consistency.dtc_loss(logits, sdf, target[:0], target_sdf[:0], lam=0.5, k=20.0))
    return [*given, consistency.task_consistency(logits, sdf)]


@row("consistency.mean_teacher_loss")
def _(on):
    logits, sdf, target, _ = two_heads(on)
    return consistency.mean_teacher_loss(logits, sdf.detach(), target, lam=0.3)


@row("consistency.MeanTeacher", "consistency.ema_update", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    student = on.model(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    teacher, x = consistency.MeanTeacher(student, decay=0.9, buffers="average"), on(noise(4, 1, 8, 8))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        student(x).square().mean().backward()
        optimizer.step()
        teacher.update(student)
    consistency.ema_update(student, teacher.model, decay=0.5)
    # What was there before brings its own gradient into the sums of the last pass.
    optimizer.zero_grad(set_to_none=True)
    return teacher(x), list(teacher.state_dict().values()), student(x)


@row("consistency.clipped_noise", tolerance=CORRECT)
def _(on):
    return [consistency.clipped_noise(on(given), generator=seeded()) for given in (noise(3, 4), noise(5).half())]


@row("consistency.TwoStreamBatchSampler")
def _(on):
    # Indices as they come out of a data set on the device.
    labelled, unlabelled = on(torch.arange(4)), on(torch.arange(4, 20))
    sampler = consistency.TwoStreamBatchSampler(
        labelled, unlabelled, labelled_per_batch=2, unlabelled_per_batch=3, generator=seeded()
    )
    return list(sampler)


# --- networks -------------------------------------------------------------------------------------------------------


@row("networks.DualVNet", "networks.DualUNet", "networks.sliding_window", "networks.flip_average", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    options = {"filters": 4, "convs": (1, 2, 2), "dropout": 0.0}  # each device draws its own dropout masks
    vnet = on.model(networks.DualVNet(spatial_dims=3, **options))
    unet = on.model(networks.DualUNet(filters=(4, 8), norm="group"))
    volume, image = on.leaf(noise(2, 1, 8, 8, 8), noise(2, 1, 16, 12))
    given = [vnet(volume), unet(image)]
    for blend in ("uniform", "gaussian"):
        given.append(networks.sliding_window(unet, image.detach()[:, :, :15], window=8, stride=5, blend=blend))
    given.append(networks.flip_average(unet, image, dims=(-1,)))
    return given


# --- Attention ------------------------------------------------------------------------------------------------------


@row(
    "attention.draw_projection",
    "attention.random_features",
    "attention.performer_attention",
    "attention.linear_attention",
    tolerance=(1e-3, 1e-5),
)
def _(on):
    query, key, value = (on.leaf(0.5 * noise(2, 3, 70, 4, seed=seed)) for seed in range(3))
    # The draw is another one on each device; what is computed from it must not be.
    drawn = attention.draw_projection(6, 4, device=query.device, dtype=query.dtype)
    assert drawn.device == query.device
    projection, mask = on(noise(6, 4)), on(uniform(2, 70) < 0.8)
    options = [{"causal": causal, "mask": some} for causal in (False, True) for some in (None, mask)]
    return [
        attention.random_features(query, projection),
        *(attention.performer_attention(query, key, value, projection=projection, **some) for some in options),
        *(attention.linear_attention(query, key, value, **some) for some in options),
    ]


@row("attention.label_attention", "attention.LabelAttention", tolerance=(1e-4, 1e-5))
def _(on):
    torch.manual_seed(0)
    hidden, mask = on.leaf(noise(2, 7, 4)), on(uniform(2, 7) < 0.7)
    layer = on.model(attention.LabelAttention(4, 3, projected=5))
    return [*attention.label_attention(hidden, on(noise(3, 4)), mask=mask), layer(hidden, mask)]


# --- RoI ------------------------------------------------------------------------------------------------------------


def some_boxes(count: int, size: float = 12.0, seed: int = 0) -> torch.Tensor:
    corner = size * uniform(count, 2, seed=seed)
    return torch.cat([corner, corner + 1 + 6 * uniform(count, 2, seed=seed + 1)], 1)


@row("roi.roi_align", tolerance=(1e-4, 1e-5))  # positions are computed first: their last digit moves the weights
def _(on):
    features = on.leaf(noise(2, 3, 12, 10))
    numbered = on(torch.cat([whole(2, 20, 1).float(), some_boxes(20)], 1))
    numbered = on.leaf(numbered)
    return [
        roi.roi_align(features, numbered, 3, spatial_scale=0.5),
        roi.roi_align(features, on([some_boxes(3), some_boxes(4, seed=5)]), (2, 3), sampling_ratio=2, aligned=False),
        roi.roi_align(features, numbered, 2, sampling_ratio=2, reduce="max"),
        roi.roi_align(features, numbered[:0], 2),
    ]


@row("roi.roi_pool")  # cells that several bins read sum the gradients of all
def _(on):
    features = on.leaf(noise(2, 3, 12, 10))
    numbered = on(torch.cat([whole(2, 20, 1).float(), some_boxes(20)], 1))
    with torch.no_grad():
        plain = roi.roi_pool(features, numbered, 3)
    return plain, roi.roi_pool(features, numbered, 3)


@row("roi.roi_pool, in double precision", tolerance=(1e-12, 0.0))  # it ranks numbers in another way
def _(on):
    features = on.leaf(noise(2, 3, 12, 10).double())
    return roi.roi_pool(features, on(torch.cat([whole(2, 20, 1).float(), some_boxes(20)], 1)), 2)


@row("boxes.box_area", "boxes.box_iou", "boxes.clip_boxes", "boxes.encode_boxes", "boxes.decode_boxes")
def _(on):
    boxes, others = on.leaf(some_boxes(30), some_boxes(20, seed=3))
    encoded = box_module.encode_boxes(boxes[:20], others, weights=(10, 10, 5, 5))
    return [
        box_module.box_area(boxes),
        box_module.box_iou(boxes, others),
        box_module.clip_boxes(boxes, (9, 10)),
        encoded,
        box_module.decode_boxes(encoded, others, weights=(10, 10, 5, 5)),
    ]


@row("boxes.nms", "boxes.batched_nms", "boxes.keep_boxes", "boxes.make_anchors", tolerance=EXACT)
def _(on):
    boxes, scores, kind = on(some_boxes(300), uniform(300), whole(3, 300))
    return [
        box_module.nms(boxes, scores, 0.3),
        box_module.batched_nms(boxes, scores, kind, 0.5),
        box_module.keep_boxes(boxes, min_size=3.0),
        box_module.make_anchors((3, 4), stride=8, sizes=[8, 16], device=on.device),
    ]


@row("boxes.match_boxes", "boxes.sample_matches", tolerance=EXACT)
def _(on):
    iou = box_module.box_iou(on(some_boxes(7)), on(some_boxes(300)))
    matches = box_module.match_boxes(iou)
    popular = box_module.match_boxes(iou, rule="torchvision")
    return [matches, popular, *box_module.sample_matches(matches, count=32, generator=seeded())]


@row("average_precision.average_precision", tolerance=EXACT)  # NumPy, on the CPU
def _(on):
    found = Detections(on(some_boxes(60)), on(uniform(60)), on(whole(3, 60)))
    answer = average_precision([found], [Truths(on(some_boxes(60)), on(whole(3, 60, seed=1)))], iou=[0.05, 0.1])
    return [answer.ap, answer.recall, list(answer.per_class.values())]


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fine, self.coarse = nn.Conv2d(3, 6, 4, stride=4), nn.Conv2d(6, 8, 2, stride=2)
        self.pyramid = detection.FeaturePyramid([6, 8], 6)

    def forward(self, images):
        fine = self.fine(images).relu()
        return self.pyramid([fine, self.coarse(fine).relu()])


def detector(kind):
    torch.manual_seed(0)
    head = detection.BoxHead(6, 2, size=3, hidden=8, canonical=(16, 4))
    if kind is detection.RCNN:
        return kind(nn.Conv2d(3, 6, 4, stride=4), head, crop=16, context=2)
    if kind is detection.FastRCNN:
        return kind(Backbone(), head, strides=[4, 8, 16], multiple=16)
    parts = [Backbone(), proposals.RegionProposals(6, sizes=[[8], [16], [32]], after=9), head]
    if kind is detection.MaskRCNN:
        parts.append(detection.MaskHead(6, 2, size=3, hidden=[4], canonical=(16, 4)))
    return kind(*parts, strides=[4, 8, 16], multiple=16)


@row(
    "detection.RCNN", "detection.FastRCNN", "detection.FasterRCNN", "detection.MaskRCNN", "detection.BoxHead",
    "detection.MaskHead", "detection.FeaturePyramid", "detection.pool_levels", "proposals.RegionProposals",
    tolerance=DEEP,
)  # fmt: skip
def _(on):
    images = [on(uniform(3, 40, 48)), on(uniform(3, 32, 64, seed=1))]
    objects = on(torch.tensor([[4.0, 4, 20, 28], [24, 8, 40, 30]]))
    masks = on((uniform(2, 40, 48, seed=2) < 0.5).float())
    truths = [
        {"boxes": objects, "labels": on(torch.tensor([0, 1])), "masks": masks},
        {"boxes": objects[:0], "labels": on(torch.zeros(0, dtype=torch.int64)), "masks": on(torch.zeros(0, 32, 64))},
    ]
    given = []
    for kind in (detection.RCNN, detection.FastRCNN, detection.FasterRCNN, detection.MaskRCNN):
        network = on.model(detector(kind))
        more = ([objects + 1, objects],) if kind in (detection.RCNN, detection.FastRCNN) else ()
        given += network.loss(images, truths, *more, generator=seeded())
        given += [part for found in network.eval().detect(images, *more) for part in found if part is not None]
    return given


@row("detection.paste_masks", tolerance=EXACT)
def _(on):
    masks, boxes = on(uniform(4, 7, 7)), on(torch.tensor([[2.0, 3, 20, 30]]).repeat(4, 1))
    return [detection.paste_masks(masks, boxes, (40, 24), rule=rule) for rule in ("exact", "torchvision")]


@row("proposals.selective_search", tolerance=EXACT, home="cpu")  # scikit-image, on the CPU
def _(on):
    return proposals.selective_search(on(uniform(3, 12, 16)), scales=[10], min_size=3, generator=seeded())


@row("networks.EfficientNetLite", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    return on.model(networks.EfficientNetLite(3).eval()).features(on(uniform(1, 3, 40, 48)))


class Reader(nn.Module):
    """What hf_encoder asks of a Hugging Face model: a configuration, a body, and states of ids under a mask."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(max_position_embeddings=6, hidden_size=4)
        self.table = nn.Embedding(9, 4)

    @property
    def base_model(self):
        return self

    def forward(self, input_ids, attention_mask):
        states = self.table(input_ids)
        weights = attention_mask[..., None] / attention_mask.sum(1)[:, None, None]
        return SimpleNamespace(last_hidden_state=states + (weights * states).sum(1, keepdim=True))


def letters(texts, add_special_tokens=True, **_):
    """A tokenizer: a letter is a token, between 1 and 2."""
    many = [texts] if isinstance(texts, str) else texts
    found = [[3 + ord(letter) % 6 for letter in text] for text in many]
    found = [[1, *one, 2] for one in found] if add_special_tokens else found
    return {"input_ids": found[0] if isinstance(texts, str) else found}


letters.pad_token_id = 0


@row("networks.hf_encoder", tolerance=SUMS)
def _(on):
    return [*networks.hf_encoder(on.model(Reader()), letters, frozen=False)(["abcdefghij", "", "abc"])]


@row(
    "networks.UNet", "networks.UNetPlusPlus", "networks.UNet3Plus", "networks.RefineNet",
    "networks.ResidualConvUnit", "networks.MultiResolutionFusion", "networks.ChainedResidualPooling",
    tolerance=DEEP,
)  # fmt: skip
def _(on):
    torch.manual_seed(0)
    options = dict(filters=(4, 6, 8), deep=True, norm="group")
    nets = [kind(1, 2, **options) for kind in (networks.UNet, networks.UNetPlusPlus)]
    nets.append(networks.UNet3Plus(1, 2, width=4, guided=True, **options).eval())
    encoder = nn.Conv2d(1, 4, 3, stride=2, padding=1)
    nets.append(networks.RefineNet(lambda image: [image, encoder(image)], [1, 4], 2, width=4, stages=2).eval())
    encoder.to(on.device)
    image = on(uniform(1, 1, 19, 24))
    return [[out.logits, *out.side] for out in (on.model(net)(image) for net in nets)]


@row("saliency.saliency", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    model = on.model(nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(3 * 36, 2)))
    image = on(uniform(4, 1, 8, 8))
    given = [saliency.saliency(model, image, on(whole(2, 4)), samples=n, generator=seeded()) for n in (1, 3)]
    return given, saliency.saliency(model, image, create_graph=True)


@row("networks.MultiTaskUNet", "networks.SaliencyBridge", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    network = on.model(networks.MultiTaskUNet(filters=(4, 8), dropout=0.0, bridge=networks.SaliencyBridge()))
    image = on(uniform(2, 1, 16, 16))
    published = networks.SaliencyBridge(resize="published", normalize=False)
    return network(image), published(image, image**2, (4, 4))


@row("multimix.multimix_step", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    network = on.model(networks.MultiTaskUNet(filters=(4, 8), dropout=0.0, bridge=networks.SaliencyBridge()))
    images = on(*(uniform(4, 1, 16, 16, seed=seed) for seed in range(4)))
    truth, hidden = on(whole(2, 4)), on(whole(2, 4, seed=3))
    batch = multimix.MultiMixBatch(images[0], truth, images[1], images[1] < 0.5, images[2], images[3], hidden)
    strong = functools.partial(augment.strong_augment, ranges={"brightness": (0.4, 0.9)})
    return multimix.multimix_step(network, batch, strong=strong, threshold=0.0, generator=seeded())


@row("multimix.pseudo_label_loss", "multimix.segmentation_kl", "multimix.multimix_loss")
def _(on):
    strong, weak, target = on.leaf(noise(12, 3)), on(2 * noise(12, 3, seed=1)), on(whole(3, 12))
    maps, others = on.leaf(noise(2, 1, 8, 8)), on.leaf(noise(2, 1, 8, 8, seed=1))
    limits = on(torch.tensor([0.5, 0.6, 0.7]))
    given = [multimix.pseudo_label_loss(strong, weak, threshold=t, target=target) for t in (0.6, limits)]
    given += [multimix.segmentation_kl(maps, others, rule=rule) for rule in ("pixels", "published")]
    sides = {"class_logits": strong, "class_target": target, "strong_logits": strong, "weak_logits": weak}
    masks = {"mask_logits": maps, "mask_target": on(uniform(2, 1, 8, 8) < 0.5), "unlabelled_mask_logits": others}
    return given, multimix.multimix_loss(**sides, **masks)


@row("multimix.flexmatch_thresholds", "multimix.FlexMatchThresholds", tolerance=EXACT)
def _(on):
    keeper = on.model(multimix.FlexMatchThresholds(6, 3, threshold=0.6))
    counts = on(torch.tensor([4, 2, 1]))
    return keeper(on(torch.tensor([0, 3, 5])), on(6 * noise(3, 3))), multimix.flexmatch_thresholds(counts, unused=1)


@row("networks.class_guided", tolerance=CORRECT)
def _(on):
    logits, presence = on.leaf(noise(2, 3, 4, 4)), on(noise(2, 3, seed=1))
    return [networks.class_guided(logits, presence, rule=rule) for rule in ("after", "published")]


# --- protein --------------------------------------------------------------------------------------------------------


def small_chain() -> torch.Tensor:
    return protein.build_backbone(4 * uniform(12, 3) - 2)


@row(
    "protein.backbone_frames",
    "protein.build_backbone",
    "protein.virtual_cb",
    "protein.torsions",
    "protein.radial_basis",
    "protein.rotation_vector",
)
def _(on):
    backbone, angles = on.leaf(small_chain(), 4 * uniform(12, 3) - 2)
    rotations, _ = protein.backbone_frames(backbone)
    return [
        rotations,
        protein.build_backbone(angles),
        protein.virtual_cb(backbone),
        protein.torsions(backbone)[1:-1],
        protein.radial_basis(backbone[:, 1].norm(dim=-1)),
        protein.rotation_vector(rotations),
    ]


@row("protein.side_chain_torsions", tolerance=CORRECT)
def _(on):
    paths, types = on(noise(12, 7, 3)), on(whole(20, 12))
    return protein.side_chain_torsions(paths), protein.side_chain_torsions(paths, types).nan_to_num(9.0)


@row("protein.secondary_structure", "protein.half_sphere_exposure", tolerance=EXACT)
def _(on):
    backbone = on(small_chain())
    return protein.secondary_structure(backbone), protein.half_sphere_exposure(backbone)


@row("protein.neighbour_features", "protein.join_environments")
def _(on):
    seen = protein.neighbour_features(on(small_chain()), k=4)
    return [*seen, *protein.join_environments([seen, seen])]


@row("protein.InverseFolding", "protein.inverse_folding_loss", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    model = on.model(protein.InverseFolding(width=16, depth=2, heads=2, k=4, targets={"chi1": "angle"}))
    seen, types = protein.neighbour_features(on(small_chain()), k=4), on(whole(20, 12))
    outputs = model(seen, types)
    targets = {"type": types, "chi1": on(noise(12))}
    return [*outputs.values(), protein.inverse_folding_loss(outputs, targets, weights={"chi1": 0.5})]


@row("protein.self_consistent_design", tolerance=DEEP)
def _(on):
    torch.manual_seed(0)
    model = protein.InverseFolding(width=16, depth=1, heads=2, k=4).to(on.device)
    design = protein.self_consistent_design(model, on(small_chain()), steps=12, generator=seeded())
    return design.sequence, design.log_loss.tolist(), design.sequences.tolist()


@row("protein.recovery", "protein.similarity", "protein.perplexity", tolerance=CORRECT)
def _(on):
    one, other, log_probs = on(whole(20, 9), whole(20, 9, seed=1), noise(9, 20).log_softmax(1))
    return protein.recovery(one, other), protein.similarity(one, other), protein.perplexity(log_probs, one)


# --- diffusion ------------------------------------------------------------------------------------------------------


@row(
    "diffusion.diffuse",
    "diffusion.target",
    "diffusion.predict",
    "diffusion.ddpm_step",
    "diffusion.ddim_step",
    "diffusion.threshold",
    tolerance=SUMS,
)
def _(on):
    alpha_bar, t = diffusion.noise_schedule(20), on(torch.tensor([3, 17]))
    x, picture, drawn = on.leaf(*(noise(2, 3, 4, 4, seed=seed) for seed in range(3)))
    given = [diffusion.diffuse(picture, t, alpha_bar, noise=drawn)]
    given.append(diffusion.target(picture, drawn, t, alpha_bar, kind="v"))
    given += [
        part for kind in ("v", "noise", "picture") for part in diffusion.predict(x, picture, t, alpha_bar, given=kind)
    ]
    given.append(diffusion.ddpm_step(picture, x, t, alpha_bar, previous=t - 2, generator=seeded()))
    given.append(diffusion.ddim_step(picture, x, 9, alpha_bar, previous=4, eta=0.5, generator=seeded()))
    return [*given, *(diffusion.threshold(2 * x, rule=rule) for rule in ("static", "dynamic"))]


@row("diffusion.sample", "guidance.guide", tolerance=DEEP)
def _(on):
    alpha_bar, start = diffusion.noise_schedule(20), on(noise(2, 3, 4, 4))
    model = lambda x, t: guidance.guide(x.tanh(), 0.5 * x * (1 + t[:, None, None, None] / 20), scale=2.0)  # noqa: E731
    return diffusion.sample(model, start, alpha_bar, given="v", count=5, eta=1.0, generator=seeded())


@row("guidance.classifier_guide", "guidance.clip_guide", "guidance.cutouts", tolerance=DEEP)
def _(on):
    alpha_bar, t, x = diffusion.noise_schedule(20), on(torch.tensor([3, 17])), on(noise(2, 3, 8, 8))
    found = diffusion.predict(0.5 * x, x, t, alpha_bar, given="v")
    judge = lambda pictures: pictures.square().mean((1, 2, 3))  # noqa: E731
    given = [guidance.classifier_guide(found, x, t, alpha_bar, log_prob=lambda x, t: judge(x))]
    options = {"similarity": judge, "views": 3, "clamp": 0.01, "generator": seeded()}
    given.append(guidance.clip_guide(found, x, t, alpha_bar, denoise=lambda x, t: x.tanh(), **options))
    return [*(part for one in given for part in one), guidance.cutouts(x, 3, generator=seeded())]


@row(
    "networks.TextUNet",
    "networks.TextEncoder",
    "networks.CrossAttention",
    "networks.time_embedding",
    "contrastive.ImageTextModel",
    "contrastive.contrastive_loss",
    "contrastive.spherical_distance",
    tolerance=DEEP,
)
def _(on):
    torch.manual_seed(0)
    network = networks.TextUNet(10, 4, filters=(8, 16), text_width=8, heads=2)
    for parameter in network.parameters():  # the layers that start at nothing, too
        parameter.data = parameter + 0.05 * torch.randn(parameter.shape)
    network.requires_grad_(False)  # what many places share gets its gradients in another order
    network, image = on.model(network), on(noise(2, 3, 8, 8))
    text, t = on(torch.tensor([[1, 2, 0, 0], [0, 0, 0, 0]])), on(torch.tensor([3, 150]))
    model = contrastive.ImageTextModel(10, 4, filters=(8, 16), text_width=8).requires_grad_(False)
    pair = on.model(model)(image, text)
    loss = contrastive.contrastive_loss(*on.leaf(noise(2, 6), noise(2, 6, seed=1)), groups=on(torch.tensor([0, 1])))
    return [network(image, t, text), *pair, loss, contrastive.spherical_distance(*pair), networks.time_embedding(t, 8)]


@row("generative.frechet_distance", "generative.kernel_distance", "generative.precision_recall", home="cpu")
def _(on):
    real, made = on(noise(30, 4), noise(20, 4, seed=1))
    shares = torch.tensor(generative.precision_recall(real, made))
    return [generative.frechet_distance(real, made), generative.kernel_distance(real, made), shares]


@row("generative.nearest_distances")
def _(on):
    return generative.nearest_distances(on(noise(20, 4, seed=1)), on(noise(30, 4)))


# --- ensembles ------------------------------------------------------------------------------------------------------


@row("ensembles.average", "ensembles.vote", "ensembles.average_parameters", tolerance=EXACT)  # NumPy, on the CPU
def _(on):
    probs = on(noise(3, 8, 4).softmax(-1))
    torch.manual_seed(0)
    models = [nn.Linear(3, 2).to(on.device) for _ in range(3)]
    given = [ensembles.average(probs, rule=rule) for rule in ("arithmetic", "geometric", "rank")]
    return [*given, ensembles.vote(on(whole(3, 5, 7)), classes=3), ensembles.average_parameters(models)]


@row(
    "multilabel.f1_scores",
    "multilabel.tune_thresholds",
    "multilabel.stratified_folds",
    "multilabel.pseudo_labels",
    tolerance=EXACT,  # NumPy, on the CPU
)
def _(on):
    probs, target = on(uniform(12, 3)), on(uniform(12, 3, seed=1) < 0.5)
    found = [
        *multilabel.f1_scores(probs > 0.5, target),
        *multilabel.tune_thresholds(probs, target),
        multilabel.stratified_folds(target, 3, seed=0),
        *multilabel.pseudo_labels(probs, threshold=0.6),
    ]
    return [torch.as_tensor(value).tolist() for value in found]


# --- adversarial training -------------------------------------------------------------------------------------------


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.conv = nn.Embedding(20, 6, padding_idx=0), nn.Conv1d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        hidden = torch.tanh(self.conv(self.words(tokens).transpose(1, 2)))
        return self.head(hidden.logsumexp(2))


def attacked(on, method, **options):
    model, tokens, target = on.model(Text()), on(whole(20, 5, 7)), on(whole(3, 5, seed=1))
    mask = uniform(5, 7) < 0.8  # on the CPU, as a tokenizer leaves it
    logits_wanted = method is adversarial.VAT
    step = method(model, "words", **options).backward(
        (lambda: model(tokens)) if logits_wanted else (lambda: F.cross_entropy(model(tokens), target)),
        **({} if options.get("space") == "weight" else {"mask": mask}),
    )
    return step.loss, step.losses, step.perturbations


@row("adversarial.FGM", "adversarial.PGD", tolerance=STEPS)
def _(on):
    return [
        attacked(on, method, epsilon=0.5, **options)
        for method in (adversarial.FGM, adversarial.PGD)
        for options in ({}, {"space": "weight"}, {"ball": "linf"}, {"norm": "batch"})
    ]


@row("adversarial.FreeLB", tolerance=STEPS)
def _(on):
    spaces = ("activation", "weight")
    return [attacked(on, adversarial.FreeLB, epsilon=0.5, space=space, generator=seeded()) for space in spaces]


# The direction is one of a finite difference of length xi, a difference of two nearly equal gradients.
@row("adversarial.VAT", tolerance=(1e-2, 1e-4))
def _(on):
    given = attacked(on, adversarial.VAT, epsilon=0.5, generator=seeded())
    model, tokens = on.model(Text()), on(whole(20, 5, 7))
    return given, adversarial.VAT(model, generator=seeded(), xi=0.1).loss(lambda: model(tokens))


@row("adversarial.attack", tolerance=STEPS)
def _(on):
    model, tokens, target = on.model(Text()), on(whole(20, 5, 7)), on(whole(3, 5, seed=1))
    loss = lambda: F.cross_entropy(model(tokens), target)  # noqa: E731
    with adversarial.attack(model, "words", loss, epsilon=0.4, steps=3) as perturbations:
        return list(perturbations), model(tokens)


# --- models of others, embeddings -----------------------------------------------------------------------------------


class Encoded(dict):
    def to(self, device):
        return Encoded({name: values.to(device) for name, values in self.items()})


class Tokenizer:
    """As much of a Hugging Face tokenizer as augment.py uses."""

    words = ("[PAD]", "[MASK]", "no", "fever", "cough", "today")
    mask_token, mask_token_id, pad_token_id, all_special_ids = "[MASK]", 1, 0, (0, 1)

    def __call__(self, text, **options):
        texts = [text] if isinstance(text, str) else text
        rows = [torch.tensor([self.words.index(word) for word in one.split()]) for one in texts]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return Encoded(input_ids=ids, attention_mask=ids != 0)

    def convert_ids_to_tokens(self, index):
        return self.words[index]

    def decode(self, ids, **options):
        return " ".join(self.words[int(i)] for i in ids)

    def batch_decode(self, rows, **options):
        return [self.decode(one) for one in rows]


class Language(nn.Module):
    """As much of a Hugging Face model: logits of the next token, and a walk along them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(6, 6)

    @property
    def device(self):
        return self.table.weight.device

    def forward(self, input_ids, attention_mask):
        return type("Output", (), {"logits": self.table(input_ids) * attention_mask[:, :, None]})

    def generate(self, input_ids, attention_mask, max_new_tokens, **options):
        for _ in range(max_new_tokens):
            input_ids = torch.cat([input_ids, self.table(input_ids[:, -1:]).argmax(-1)], 1)
        return input_ids


@row("augment.hf_fill", "augment.hf_translate", "augment.hf_generate", tolerance=CORRECT)
def _(on):
    pair = (on.model(Language()).eval(), Tokenizer())
    return [
        augment.hf_fill(*pair)(["no", "fever", "today"], 1, 3),
        augment.hf_translate({("en", "de"): pair})(["no cough", "no fever today"], "en", "de"),
        augment.hf_generate(*pair, max_new_tokens=4)("no fever", 3),
    ]


@row("augment.Neighbours", tolerance=EXACT)
def _(on):
    near = augment.Neighbours(["a", "b", "c", "d"], on(noise(4, 3)), k=2, min_similarity=-1.0)
    return [near(word) for word in "abcd"]


# --- the upper floor ------------------------------------------------------------------------------------------------


@row("lab.training.fit", "lab.training.predict", "lab.training.batches", tolerance=STEPS)
def _(on):
    model, x, y = on.model(perceptron()), on(noise(40, 6)), on(whole(3, 40))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = training.fit(
        model,
        training.batches(x, y, batch_size=16, generator=seeded()),
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        epochs=3,
        optimizer=optimizer,
        # A tensor on the device, as chapters hand it over.
        validate=lambda model: {"accuracy": (training.predict(model, x).argmax(1) == y).float().mean()},
        monitor="accuracy",
        restore_best=True,
    )
    return history.rows, training.predict(model, x, batch_size=7), list(model.state_dict().values())


@row("lab.calibration.reliability", "lab.calibration.calibration_error", tolerance=(1e-6, 1e-7), home="cpu")
def _(on):
    probabilities, target = on(noise(50, 3).softmax(1), whole(3, 50))
    return calibration.reliability(probabilities, target), calibration.calibration_error(probabilities, target)


# Not public methods, but called with what a chapter has on its device.
@row("lab.datasets.corrupt_labels", tolerance=EXACT)
def _(on):
    labels = on((uniform(20, 5) < 0.4).float())
    return [
        datasets.corrupt_labels(labels, rate=0.5, protocol=protocol, generator=seeded())
        for protocol in datasets.PROTOCOLS
    ]


@row("lab.datasets.split_rows", tolerance=EXACT, home="cpu")
def _(on):
    classes = on(whole(3, 30))
    return [datasets.split_rows(30, val=0.2, test=0.2, seed=0, **{how: classes}) for how in ("stratify", "groups")]


@row("lab.exercises.expect", tolerance=EXACT)
def _(on):
    exercises.expect(on(torch.ones(2)), [1.0, 1.0], given="", hint="")
    exercises.expect([1.0, 1.0], on(torch.ones(2)), given="", hint="")
    with pytest.raises(exercises.Wrong, match="got"):
        exercises.expect(on(torch.ones(2)), on(torch.zeros(2)), given="", hint="")


# --- the table is whole ---------------------------------------------------------------------------------------------


def public() -> Mapping[str, set[str]]:
    """Public names by the module where they are made: methods, and the upper floor's modules that handle tensors."""
    found = {}
    for info in pkgutil.iter_modules(tutorial_lib.__path__):
        if not info.name.startswith("_") and info.name not in ("lab", "course"):
            found[info.name] = importlib.import_module(f"tutorial_lib.{info.name}")
    found |= {f"lab.{name}": importlib.import_module(f"tutorial_lib.lab.{name}") for name in LAB}
    names = {}
    for module, loaded in found.items():
        own = [name for name, value in vars(loaded).items() if getattr(value, "__module__", "") == loaded.__name__]
        chosen = getattr(loaded, "__all__", [name for name in own if not name.startswith("_")])
        here = [name for name in chosen if getattr(getattr(loaded, name), "__module__", "").startswith(loaded.__name__)]
        names[module] = {name for name in here if callable(getattr(loaded, name))}
    return names


def test_no_public_function_is_missing():
    named = {f"{module}.{name}" for module, names in public().items() for name in names if module not in NO_TENSORS}
    assert sorted(named - TABLE.keys() - NO_TENSORS.keys()) == []
    # And nothing is excused that is in the table, or is no longer there.
    assert TABLE.keys() & NO_TENSORS.keys() == set()
    assert sorted(name for name in NO_TENSORS if "." in name and name not in named and "augment" not in name) == []


def test_no_module_of_the_upper_floor_is_forgotten():
    assert {info.name for info in pkgutil.iter_modules(tutorial_lib.lab.__path__)} == {*LAB, *NOT_ASKED}


def test_what_is_excused_takes_no_tensor():
    for name, reason in NO_TENSORS.items():
        module, _, function = name.rpartition(".")
        if reason in (STRINGS, NUMBERS) and module and module != "lab":
            value = getattr(importlib.import_module(f"tutorial_lib.{module}"), function)
            if inspect.isfunction(value):
                types = str(inspect.signature(value))
                assert "Tensor" not in types, f"{name}{types}"


# --- the two devices ------------------------------------------------------------------------------------------------


def by_run(names) -> dict[str, str]:
    """Names that share a run are tried once: the first of them, and what all are called."""
    found: dict[Callable, list[str]] = {}
    for name in names:
        found.setdefault(TABLE[name].run, []).append(name)
    return {same[0]: ", ".join(same) for same in found.values()}


each_row = pytest.mark.parametrize("name", by_run(TABLE), ids=by_run(TABLE).values())
needs_stand_in = pytest.mark.skipif(bool(second_device.WHY_NOT), reason=second_device.WHY_NOT or "it is there")


@pytest.fixture
def stand_in(one_thread):
    with second_device.in_use() as device:
        yield device


@pytest.fixture
def gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: torch sees no CUDA device")
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


@each_row
def test_a_gpu_agrees(name, gpu):
    compare(TABLE[name].run, gpu, TABLE[name].tolerance, TABLE[name].home)


# --- mixed precision --------------------------------------------------------------------------------------------------

# Under autocast a network hands over half precision. What is computed from it must be what the same numbers in float32
# give: the functions widen first. (relative, absolute), of results; a gradient comes back in the logits' type.
WIDENS = (1e-5, 1e-6)
LAM = (1e-2, 1e-2)  # lam is rounded to the inputs' type, and then mixes inputs and targets alike
AMP = {
    **{name: WIDENS for name in TABLE if name.startswith(("losses.", "overlap.t", "overlap.d", "overlap.i"))},
    "losses.CosineHead": (0.02, 0.3),  # a matrix product in half precision, times a scale of 30
    "consistency.dice_loss": WIDENS,
    "consistency.dtc_loss": WIDENS,
    "consistency.task_consistency": WIDENS,
    "consistency.mean_teacher_loss": WIDENS,
    "consistency.clipped_noise": WIDENS,
    "mixup.mixup": LAM,
    "mixup.FlowMix": LAM,
    "augment.word_mixup": LAM,
    "augment.sent_mixup": LAM,
    "level_sets.signed_distance": EXACT,
    "level_sets.heaviside": WIDENS,
    "level_sets.dirac": WIDENS,
    "level_sets.mask_from_sdf": WIDENS,
    "level_sets.curvature": WIDENS,
    "metrics.confusion_matrix": EXACT,
    "metrics.segmentation_scores": EXACT,
    "metrics.surface_distances": EXACT,
    "roi.roi_align": WIDENS,
    "roi.roi_pool": EXACT,
    "lab.calibration.reliability": EXACT,
    "lab.calibration.calibration_error": EXACT,
}


class Narrow(Over):
    """Leaves in half precision; or, wide, the same rounded numbers in float32."""

    def __init__(self, dtype: torch.dtype, *, wide: bool):
        super().__init__("cpu")
        self.dtype, self.wide = dtype, wide

    def leaf(self, *values):
        rounded = [value.detach().to(self.dtype) for value in values]
        return super().leaf(*(value.float() if self.wide else value for value in rounded))


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", by_run(AMP), ids=by_run(AMP).values())
def test_mixed_precision_gives_nearly_the_numbers_of_single(name, dtype, one_thread):
    relative, absolute = AMP[name]
    expected, expected_gradients = results(TABLE[name].run, Narrow(dtype, wide=True))
    with torch.autocast("cpu", dtype):
        got, gradients = results(TABLE[name].run, Narrow(dtype, wide=False))
    assert len(got) == len(expected) and len(gradients) == len(expected_gradients)
    for ours, theirs, slack in [
        *((*pair, 1) for pair in zip(got, expected)),
        *((*pair, 2) for pair in zip(gradients, expected_gradients)),  # halves of it come from two roundings
    ]:
        if not isinstance(theirs, torch.Tensor):
            assert ours == theirs
            continue
        assert bool(ours.isfinite().all() | ~theirs.isfinite().all())
        eps = torch.finfo(ours.dtype).eps if ours.dtype in HALF else 0.0
        near = absolute + (eps * float(theirs.detach().abs().amax()) if eps and theirs.numel() else 0.0)
        torch.testing.assert_close(
            ours.detach().double(), theirs.detach().double(), rtol=slack * max(relative, eps), atol=slack * near,
            equal_nan=True,
        )  # fmt: skip


def test_no_loss_and_no_metric_is_left_out_of_mixed_precision():
    tables = ("losses.", "metrics.", "consistency.")
    trained = {"consistency.MeanTeacher", "consistency.ema_update", "consistency.TwoStreamBatchSampler"}  # no numbers
    assert {name for name in TABLE if name.startswith(tables)} - trained <= AMP.keys()


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_networks_learn_in_mixed_precision(dtype, one_thread):
    """A step of each network: every gradient is there, finite and in the weights' float32; predictions are near."""
    torch.manual_seed(0)
    # Large enough that the coarsest level's norms have more than a few numbers to go by.
    image, mask = noise(4, 1, 64, 64), (uniform(4, 1, 64, 64) < 0.4).float()
    sdf = level_sets.signed_distance(mask, normalize=8.0, spatial_dims=2)
    for network in (networks.DualVNet(spatial_dims=2, filters=4, dropout=0.0), networks.DualUNet(filters=(4, 8))):
        plain = network(image)
        with torch.autocast("cpu", dtype):
            logits, distance = network(image)
            loss = consistency.dtc_loss(logits, distance, mask, sdf, lam=0.5, k=20.0).total
        assert logits.dtype == dtype and loss.dtype == torch.float32
        loss.backward()
        assert all(p.grad.dtype == torch.float32 and bool(p.grad.isfinite().all()) for p in network.parameters())
        # Up to twenty convolutions, each rounded to two or three digits and then normalised.
        away = (logits.detach().float() - plain.logits.detach()).square().mean().sqrt()
        assert (
            float(away / plain.logits.detach().std()) < {torch.float16: 0.1, torch.bfloat16: 0.25}[dtype]
        )  # 0.03, 0.12


@needs_stand_in
@each_row
def test_the_stand_in_gives_the_same_numbers(name, stand_in):
    compare(TABLE[name].run, stand_in, EXACT, TABLE[name].home)


@needs_stand_in
@each_row
def test_no_function_needs_float64_on_the_device(name, one_thread, monkeypatch):
    if "double" in name:
        pytest.skip("asks for float64 itself")
    """Apple's GPUs have none. (What asks for the widest type of a device knows that one by its name, "mps".)"""
    widest = lambda device: torch.float64 if device.type == "cpu" else torch.float32  # noqa: E731
    for module in (_arguments, _arguments.arrays, _arguments.targets):
        monkeypatch.setattr(module, "double", widest)
    with second_device.in_use(float64=False) as device:
        given, gradients = results(TABLE[name].run, Over(device))
    assert not any(isinstance(value, second_device.Elsewhere) and value.dtype == torch.float64 for value in given)


@needs_stand_in
def test_the_device_without_float64_refuses_it(stand_in):
    with second_device.in_use(float64=False) as device:
        assert torch.ones(2).to(device).dtype == torch.float32
        with pytest.raises(TypeError, match="float64"):
            torch.ones(2, dtype=torch.float64).to(device)
        with pytest.raises(TypeError, match="float64"):
            torch.ones(2).to(device).double()
    assert torch.ones(2).to(stand_in).double().dtype == torch.float64


# --- the stand-in refuses what a GPU refuses ------------------------------------------------------------------------


def mixes(x):
    return x + torch.ones(3)


def uses_numpy(x):
    return torch.from_numpy(np.sqrt(x.abs().numpy()))


def uses_numpy_unseen(x):
    return torch.from_numpy(np.sqrt(np.asarray(x.abs())))


def makes_on_the_cpu(x):
    return torch.cat([x, torch.zeros(1, 3)])


def answers_on_the_cpu(x):
    return x.cpu() * 2


def draws_with_the_cpu(x):
    return torch.empty_like(x).normal_(generator=seeded())


def makes_with_the_cpu(x):
    return torch.randn(x.shape, device=x.device, generator=seeded())


def draws_on_the_cpu_with_its_own(x):
    return torch.randperm(len(x), generator=torch.Generator(x.device))


def indexes_the_cpu_from_there(x):
    return torch.zeros(4)[x[:, 0].argsort()]


def writes_into_the_cpu(x):
    return torch.zeros(x.shape).add_(x)


def selects_with_a_cpu_index(x):
    return x.index_select(0, torch.tensor([1]))


def stacks_a_cpu_number(x):
    return torch.stack([x.sum(), torch.tensor(1.0)])


def labels_on_the_cpu(x):
    return F.cross_entropy(x, torch.zeros(len(x), dtype=torch.int64))


PLANTED = {
    mixes: "same device",
    uses_numpy: "can't convert",
    uses_numpy_unseen: "can't convert",
    makes_on_the_cpu: "same device",
    answers_on_the_cpu: "a result on cpu",
    draws_with_the_cpu: "device type for generator",
    makes_with_the_cpu: "device type for generator",
    draws_on_the_cpu_with_its_own: "device type for generator",
    indexes_the_cpu_from_there: "same device",
    writes_into_the_cpu: "same device",
    selects_with_a_cpu_index: "same device",
    stacks_a_cpu_number: "same device",
    labels_on_the_cpu: "same device",
}


@needs_stand_in
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_caught(fault, stand_in):
    with pytest.raises((AssertionError, RuntimeError, TypeError), match=PLANTED[fault]):
        compare(lambda on: fault(on(noise(4, 3))), stand_in, EXACT, "device")


def test_the_planted_faults_are_none_on_the_cpu():
    for fault in PLANTED:
        fault(noise(4, 3))


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.__name__)
def test_a_gpu_catches_the_planted_fault_too(fault, gpu):
    with pytest.raises((AssertionError, RuntimeError, TypeError), match=PLANTED[fault]):
        compare(lambda on: fault(on(noise(4, 3))), gpu, EXACT, "device")


@pytest.mark.parametrize("which", ["stand_in", "gpu"])
def test_what_a_gpu_allows(which, request):
    if which == "stand_in" and second_device.WHY_NOT:
        pytest.skip(second_device.WHY_NOT)
    device = request.getfixturevalue(which)
    x = noise(4, 3).to(device)
    for allowed in (
        x * torch.tensor(2.0),  # a single number beside an elementwise operation
        torch.tensor(2.0) * x,
        x[torch.tensor([0, 1])],  # an index, and a mask, on the CPU
        x[torch.tensor([True, False, True, False])],
        torch.where(x > 0, x, torch.tensor(0.0)),
        x.clone().copy_(torch.ones(4, 3)),
        torch.randn(3, device=device, generator=torch.Generator(device).manual_seed(0)),
        torch.arange(3, device=device),
        torch.randperm(3, device=device),
    ):
        assert allowed.device.type == device.type
    assert torch.zeros(4, 3).copy_(x).device.type == "cpu"
    assert len(x.tolist()) == 4 and x[0, 0].item() == float(x[0, 0]) and bool((x == x).all())
    twice = [torch.randn(5, device=device, generator=torch.Generator(device).manual_seed(3)) for _ in range(2)]
    assert torch.equal(*twice)


@pytest.mark.parametrize("which", ["stand_in", "gpu"])
def test_a_generator_of_the_device_will_do(which, request):
    """Equal generators of the device, equal numbers, on the device."""
    if which == "stand_in" and second_device.WHY_NOT:
        pytest.skip(second_device.WHY_NOT)
    device = request.getfixturevalue(which)
    x, y = noise(8, 6).to(device), uniform(8, 3).to(device)
    model = perceptron().to(device)

    def mixed(context):
        def run(generator):
            with context(model, ["", "1"], alpha=1.0, generator=generator) as mix:
                return model(x).detach(), mix.targets(y)

        return run

    def freelb(method):
        def run(generator):
            text, tokens, target = Text().to(device), whole(20, 5, 7).to(device), whole(3, 5).to(device)
            loss = (
                (lambda: text(tokens)) if method is adversarial.VAT else lambda: F.cross_entropy(text(tokens), target)
            )
            return method(text, generator=generator).backward(loss).perturbations

        return run

    for draw in (
        lambda g: mixing.mixup(x, y, alpha=1.0, per_sample=True, generator=g),
        mixed(mixing.manifold_mixup),
        mixed(mixing.flow_mixup),
        lambda g: augment.sent_mixup(x, y, alpha=1.0, generator=g),
        lambda g: augment.strong_augment(uniform(3, 1, 9, 9).to(device), generator=g),
        lambda g: consistency.clipped_noise(x, generator=g),
        lambda g: list(training.batches(x, y, batch_size=3, generator=g)),
        lambda g: datasets.corrupt_labels((y > 0.5).float(), rate=0.5, protocol="shuffle", generator=g),
        lambda g: datasets.corrupt_labels((y > 0.5).float(), rate=0.5, protocol="flip", generator=g),
        freelb(adversarial.FreeLB),
        freelb(adversarial.VAT),
    ):
        first, again, other = (
            pytree.tree_leaves(draw(torch.Generator(device).manual_seed(seed))) for seed in (1, 1, 2)
        )
        assert all(value.device.type == device.type for value in first)
        assert all(torch.equal(a, b) for a, b in zip(first, again))
        assert not all(torch.equal(a, b) for a, b in zip(first, other))
    sampler = [
        list(
            consistency.TwoStreamBatchSampler(
                range(4), range(4, 20), labelled_per_batch=1, unlabelled_per_batch=2,
                generator=torch.Generator(device).manual_seed(0),
            )
        )
        for _ in range(2)
    ]  # fmt: skip
    assert sampler[0] == sampler[1]


@needs_stand_in
def test_arguments_on_two_devices_are_named(stand_in):
    x, y, mask = noise(4, 3), uniform(4, 3), uniform(6, 6) < 0.5
    with pytest.raises(ValueError, match="targets must be on the device of inputs, standin:0, got cpu"):
        mixing.mixup(x.to(stand_in), y, alpha=1.0)
    with pytest.raises(ValueError, match="out must be like inputs"):
        mixing.mixup(x.to(stand_in), y.to(stand_in), alpha=1.0, out=torch.empty_like(x))
    with pytest.raises(ValueError, match="same device, got standin:0 and cpu"):
        metrics.confusion_matrix(mask.to(stand_in), mask, 2)
    with pytest.raises(ValueError, match="same device, got cpu and standin:0"):
        metrics.surface_distances(mask, mask.to(stand_in))
    with pytest.raises(ValueError, match="boxes must be on the features' device standin:0, got cpu"):
        roi.roi_align(noise(1, 1, 4, 4).to(stand_in), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 2)


@needs_stand_in
def test_a_score_left_on_the_device_becomes_a_number(stand_in):
    table = training.compare(lambda method, seed: {"score": torch.tensor(seed, device=stand_in) * 0.5}, ["a"], [1, 2])
    assert table["score"].tolist() == [0.5, 1.0] and table["score"].dtype == float


# --- a chapter on another device --------------------------------------------------------------------------------------


@needs_stand_in
def test_chapter_00_gives_its_stored_claims_on_another_device(one_thread, monkeypatch):
    """Every code cell, one after the other, where ``pick_device`` answers with the stand-in."""
    notebook = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output.get("data", {}) for cell in cells for output in cell.outputs]
    stored, made = [data[claims.CLAIM_MIME] for data in shown if claims.CLAIM_MIME in data], []
    monkeypatch.setattr(forest, "tell", lambda result: made.append(result.record()))
    ran = second_device.run_cells(cells)
    assert [cell for cell in ran if cell.error] == []
    assert made and made == stored
    there, on_cpu = sum(cell.there for cell in ran), sum(cell.on_cpu for cell in ran)
    assert there > 1000 and on_cpu < there / 100  # no training was left on the CPU


@needs_stand_in
def test_a_cell_that_fails_on_another_device_is_told_and_passed_by(one_thread):
    cells = [
        "import torch\nfrom tutorial_lib.lab import pick_device\nx = torch.ones(3, 3, device=pick_device())",
        "y = x @ torch.ones(3, 3)",
        "z = torch.ones(3, 3) @ torch.ones(3, 3) + 1",
        "x @ x",
    ]
    ran = second_device.run_cells([nbformat.v4.new_code_cell(cell) for cell in cells])
    assert [type(cell.error) for cell in ran] == [type(None), RuntimeError, type(None), type(None)]
    assert [(cell.there, cell.on_cpu) for cell in ran] == [(0, 0), (1, 0), (0, 1), (1, 0)]


# --- the benchmark that waits for a GPU -------------------------------------------------------------------------------


@pytest.fixture
def bench_gpu():
    spec = importlib.util.spec_from_file_location("bench_gpu", ROOT / "benchmarks" / "bench_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_the_benchmark_says_so_and_ends(bench_gpu, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bench_gpu.main()
    assert "no GPU here" in capsys.readouterr().out


@needs_stand_in
def test_the_benchmark_measures_every_function_on_both_devices(bench_gpu, stand_in):
    rows = [
        bench_gpu.measure(name, make, stand_in, share=0.02, repetitions=1) for name, make in bench_gpu.HEAVY.items()
    ]
    assert all(row.cpu > 0 and row.gpu > 0 and set(row.amp) == {"float16", "bfloat16"} for row in rows)
    # PyTorch takes another way through attention where the device is not the CPU.
    assert all(row.away < (1e-5 if "transformer" in row.name else 1e-30) for row in rows)
    assert len(bench_gpu.table(rows).splitlines()) == len(rows) + 4


def test_the_benchmark_tells_where_amp_pays_and_how_far_apart_numbers_are(bench_gpu):
    amp = {"float16": (5.0, 0.01), "bfloat16": (5.0, 0.2)}
    still = {"float16": (5.0, 0.0), "bfloat16": (10.0, 0.0)}
    rows = [bench_gpu.Measured("a", 100.0, 10.0, 1e-6, amp), bench_gpu.Measured("b", 100.0, 10.0, 0.0, still)]
    assert "| a | 100 | 10 | 10.0 | 1e-06 | 5 | 0.01 | 5 | 0.2 |" in bench_gpu.table(rows)
    # Twice as fast and near; twice as fast, but far off; faster with nothing cast, so by chance.
    assert bench_gpu.table(rows).endswith("within 5%): a (float16: 2.0 x).")
    near, two = (torch.ones(2), torch.tensor([0.0, 4.0])), (torch.ones(2), torch.tensor([1.0, 4.0]))
    assert bench_gpu.apart(two, near) == 0.25 and bench_gpu.apart(near, near) == 0
    assert bench_gpu.apart(torch.ones(2), torch.ones(3)) == float("inf")


def test_the_benchmark_counts_the_verdicts_that_differ(bench_gpu):
    def side(verdict, status="ok", gpus=()):
        claims = [{"statement": "a beats b", "verdict": verdict}, {"statement": "c", "verdict": "open"}]
        chapters = [{"name": "01_x", "status": "ok", "seconds": 20.0, "claims": claims}]
        chapters.append({"name": "02_y", "status": status, "seconds": 5.0, "claims": []})
        return {"chapters": chapters, "device": {"gpus": list(gpus)}, "versions": {"torch": "2.13.0"}}

    said = bench_gpu.verdicts(side("supported"), side("open", status="failed", gpus=["NVIDIA X"]))
    assert "| 01_x | 20 | 20 | 1 of 2 differ |" in said and "| 02_y | 5 | 5 | CPU ok, GPU failed |" in said
    assert "01_x: 'a beats b': supported on the CPU, open there" in said and "NVIDIA X" in said
    assert "| 01_x | 20 | 20 | the same |" in bench_gpu.verdicts(side("open"), side("open"))
