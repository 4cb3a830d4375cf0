"""Average precision of 2,000 images with 30 detections each, against pycocotools and torchmetrics (which calls it)."""

import os
import subprocess
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.bench_roi import peer_python
from benchmarks.timing import medians, show
from tutorial_lib.average_precision import average_precision

IMAGES, DETECTIONS, CLASSES = 2000, 30, 4
# Torchmetrics wants torchvision for boxes: it is measured in torchvision's environment, with ours and pycocotools.
PACKAGES = ["torchmetrics", "pycocotools", "scipy"]


def main(peers: bool = False) -> None:
    """Without peers ours and pycocotools; with them the same script where torchvision is, all three in turns."""
    if peers:
        folder, python = Path(__file__).resolve().parents[1], peer_python()
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        subprocess.run([python, "-m", "benchmarks.bench_average_precision"], check=True, cwd=folder, env=environment)
        return
    detections, truths = scene()
    functions = {"ours": lambda: average_precision(detections, truths), "pycocotools": lambda: coco(detections, truths)}
    if (metric := torchmetrics_metric()) is not None:
        functions["torchmetrics"] = lambda: torchmetrics(metric, detections, truths)
    else:
        print("    torchmetrics beside them: python -m benchmarks average_precision --peers (fetches 4.9 GB)")
    values = {name: function() for name, function in functions.items()}
    ours = values["ours"] = values["ours"].ap
    assert abs(ours - values["pycocotools"]) < 1e-12, values
    assert max(abs(ours - value) for value in values.values()) < 1e-4, values  # torchmetrics computes in float32
    seconds = medians(functions, repetitions=3)
    show(
        f"average precision, {IMAGES} images with {DETECTIONS} detections, {CLASSES} classes (all {ours:.4f})",
        seconds.pop("ours"),
        seconds,
        "not slower than pycocotools; 3 x torchmetrics",
    )


def scene() -> tuple[list[dict], list[dict]]:
    rng, detections, truths = np.random.default_rng(0), [], []
    for _ in range(IMAGES):
        objects = int(rng.integers(1, 12))
        corner, size = rng.integers(0, 400, (objects, 2)), rng.integers(8, 150, (objects, 2))
        boxes, labels = np.concatenate((corner, corner + size), 1).astype(float), rng.integers(1, CLASSES + 1, objects)
        copies = rng.integers(0, objects, DETECTIONS)
        moved = boxes[copies] + rng.integers(-40, 41, (DETECTIONS, 4)) / 4
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        detections.append({"boxes": moved, "scores": rng.random(DETECTIONS), "labels": labels[copies]})
        truths.append({"boxes": boxes, "labels": labels})
    return detections, truths


def coco(detections: list[dict], truths: list[dict]) -> float:
    """From the same arrays to the same number: its own index is part of the work."""
    objects, results = [], []
    for image, (found, truth) in enumerate(zip(detections, truths), 1):
        for box, label in zip(truth["boxes"].tolist(), truth["labels"].tolist()):
            wide, high = box[2] - box[0], box[3] - box[1]
            entry = {"id": len(objects) + 1, "image_id": image, "category_id": label, "iscrowd": 0}
            objects.append(entry | {"bbox": [*box[:2], wide, high], "area": wide * high})
        for box, label, score in zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()):
            bbox = [*box[:2], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": image, "category_id": label, "score": score, "bbox": bbox})
    truth = COCO()
    images, classes = range(1, len(truths) + 1), range(1, CLASSES + 1)
    truth.dataset = {
        "info": {},
        "images": [{"id": one} for one in images],
        "categories": [{"id": one} for one in classes],
        "annotations": objects,
    }
    with redirect_stdout(StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


def torchmetrics_metric():
    """Their class, or None where torchmetrics or the torchvision that it needs is missing."""
    try:
        import_module("torchvision")
        return import_module("torchmetrics.detection").MeanAveragePrecision
    except ImportError:
        return None


def torchmetrics(metric, detections: list[dict], truths: list[dict]) -> float:
    one = metric()
    tensors = [
        [{name: torch.as_tensor(part) for name, part in image.items()} for image in images]
        for images in (detections, truths)
    ]
    one.update(*tensors)
    return float(one.compute()["map"])


if __name__ == "__main__":
    main()
