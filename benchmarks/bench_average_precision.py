"""Average precision of 2,000 images with 30 detections each, against pycocotools (which torchmetrics calls, too)."""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.timing import medians, show
from tutorial_lib.average_precision import average_precision

IMAGES, DETECTIONS, CLASSES = 2000, 30, 4


def main() -> None:
    detections, truths = scene()
    functions = {"ours": lambda: average_precision(detections, truths), "pycocotools": lambda: coco(detections, truths)}
    ours, theirs = functions["ours"]().ap, functions["pycocotools"]()
    assert abs(ours - theirs) < 1e-12, (ours, theirs)
    seconds = medians(functions, repetitions=3)
    show(
        f"average precision, {IMAGES} images with {DETECTIONS} detections, {CLASSES} classes (both {ours:.4f})",
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
