"""RoI Align's sparse matrix is the plain lines, values and gradients."""

import pytest
import torch
from chance import random, random_boxes

from tutorial_lib._kernels import align as kernel
from tutorial_lib._kernels.align import align, plain_align


def case(seed):
    features, boxes = random(seed, 2, 3, 9, 7), random_boxes(seed, 24)
    return features, boxes[:, 0].long(), boxes[:, 1:3], boxes[:, 3:] - boxes[:, 1:3]


@pytest.mark.parametrize("points", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("reduce", ["mean", "max"])
@pytest.mark.parametrize("bins", [(1, 1), (3, 2), (7, 7)])
def test_values_and_gradients(points, reduce, bins):
    features, image, start, size = case(points + 2)
    answers = []
    for function in (align, plain_align):
        inputs = [value.clone().requires_grad_() for value in (features, start, size)]
        out = function(inputs[0], image, *inputs[1:], bins, points, reduce)
        weight = random(0, *out.shape)
        of_features, of_start, of_size = torch.autograd.grad((out * weight).sum(), inputs)
        if reduce == "max":  # all points of a box without area are one: which of them is the largest, nobody can say
            of_size = of_size[(size > 0).all(1)]
        answers.append([out, of_features, of_start, of_size])
    for ours, plain in zip(*answers):
        torch.testing.assert_close(ours, plain, atol=1e-11, rtol=0)


def test_a_few_boxes_at_a_time(monkeypatch):
    monkeypatch.setattr(kernel, "_SAMPLES", 1)
    features, image, start, size = case(9)
    arguments = features, image, start, size, (2, 3), -1, "max"
    torch.testing.assert_close(align(*arguments), plain_align(*arguments), atol=1e-12, rtol=0)


def test_single_precision():
    features, image, start, size = (value.float() if value.is_floating_point() else value for value in case(5))
    for points, reduce in ((2, "mean"), (3, "max")):
        arguments = features, image, start, size, (3, 2), points, reduce
        torch.testing.assert_close(align(*arguments), plain_align(*arguments), atol=1e-5, rtol=0)
