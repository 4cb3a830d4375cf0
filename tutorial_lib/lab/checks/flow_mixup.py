"""Exercises of chapter 02."""

import math

import numpy as np
import torch
from scipy import stats
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from ..exercises import Wrong, call, expect, number, require


def between_modules(answer) -> None:
    """Predict: the gradient of the layer between the second and the third of three halving modules, against plain."""
    mistakes = [
        (1, "so it is below the first module; this layer sees the rows of four flows"),
        (2, "so it is between the first and the second module; a module doubles the flows once more"),
        (8, "so it is above the last module; below it, two flows send a gradient back and their sum is halved"),
        (1 / 2, "that would be one flow, halved; but four flows pass through this layer, and all add to its gradient"),
        (1 / 8, "that is the first layer's, if the loss is the mean over all rows; here the flows are summed"),
        (0.75, "each of the modules before it has doubled the rows that this layer works on; none of them is lost"),
    ]
    hint = "how many flows pass through this layer, and how much gradient does each send back through the module above?"
    got = number(answer, "one number, such as 2.0 or 0.5,")
    expect(got, 4, given=f"answer = {answer}", hint=hint, mistakes=mistakes, reveal=False, atol=5e-5)


def mix_flow(answer) -> None:
    """Implement: the mixing module, with a weight for each sample."""
    z = torch.tensor([[4.0, 0.0], [0.0, 8.0], [8.0, 4.0]])
    y = torch.tensor([[1.0], [0.0], [1.0]])
    lam, index = torch.tensor([0.75, 0.5, 1.0]), torch.tensor([1, 2, 0])
    given = "the three samples of section 2: lam = [0.75, 0.5, 1], index = [1, 2, 0]"
    pair = _try_mixing(answer, z.clone(), y.clone(), lam, index, given)
    require(
        isinstance(pair, tuple | list) and len(pair) == 2, given=given, hint="return two tensors: activations, targets"
    )
    got_z, got_y = pair
    mixed = torch.tensor([[3.0, 2.0], [4.0, 6.0], [8.0, 4.0]])
    hint = "originals first, then lam * z + (1 - lam) * z[index], stacked by torch.cat along the batch"
    mistakes = [
        (torch.cat([z / 2, mixed / 2]), "only the gradient is halved; the values stay as they are"),
        (torch.cat([mixed, z]), "the originals come first, then the mixed copy"),
        (torch.cat([z, 0.75 * z + 0.25 * z[index]]), "each sample has a weight of its own: row i is mixed with lam[i]"),
    ]
    expect(got_z, torch.cat([z, mixed]), given=given + " (activations)", hint=hint, mistakes=mistakes)
    expect(
        got_y,
        torch.tensor([[1.0], [0.0], [1.0], [0.75], [0.5], [1.0]]),
        given=given + " (targets)",
        hint="the targets pass through the same module: same lam, same index, same order of rows",
    )

    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(10, 2, 3, dtype=torch.float64, generator=generator)
    lam, index = torch.tensor([0.3, 0.9, 0.5, 0.1, 0.7], dtype=torch.float64), torch.tensor([3, 0, 4, 2, 1])
    given = "z of shape (5, 2, 3)"
    pair = _try_mixing(answer, z, torch.zeros(5, 1, dtype=torch.float64), lam, index, given)
    require(isinstance(pair, tuple | list) and len(pair) == 2, given=given, hint="return two tensors")
    out = pair[0]
    require(
        torch.is_tensor(out) and out.shape == (10, 2, 3),
        given=given,
        hint="states of any rank, such as (B, channels, length), must pass: index the first dimension only",
    )
    (gradient,) = torch.autograd.grad((out * weight).sum(), z, allow_unused=True)
    require(gradient is not None, given="a z that requires a gradient", hint="z.detach() alone cuts the gradient off")
    spread = lam[:, None, None]
    full = weight[:5] + spread * weight[5:]
    full = full.index_add(0, index, (1 - spread) * weight[5:])
    hint = "the gradient must be half of the sum of both flows' gradients: z / 2 + z.detach() / 2 halves it"
    mistakes = [
        (
            full,
            "this is the full gradient, it is not halved: z / 2 + z.detach() / 2 has the value z and half its gradient",
        ),
        (
            full - weight[:5] / 2,
            "only the original flow's gradient is halved; halve z before it is mixed, so that both flows are",
        ),
        (full - (full - weight[:5]) / 2, "only the mixed flow's gradient is halved; both flows must be"),
    ]
    given = "the gradient with respect to z, shape (5, 2, 3)"
    expect(gradient, full / 2, given=given, hint=hint, mistakes=mistakes)


def _try_mixing(answer, z, y, lam, index, given):
    try:
        return call(answer, z, y, lam, index)
    except RuntimeError as error:
        if "size" not in str(error):
            raise
        hint = f"lam of shape (B,) must be reshaped to (B, 1, …) before it meets a tensor of more axes ({error})"
        raise Wrong(f"given     {given}\n  hint: {hint}") from error


def mixed_cooccurrence(answer) -> None:
    """Implement: the expected co-occurrence of mixup's targets."""
    never_together = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)
    labels = (torch.rand(40, 4, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    for joint, alpha in ((never_together, 1.0), (labels.T @ labels / 40, 0.2), (labels.T @ labels / 40, 8.0)):
        s = (alpha + 1) / (2 * alpha + 1)
        p = joint.diagonal()
        expected = s * joint + (1 - s) * torch.outer(p, p)
        got = call(answer, joint.clone(), alpha)
        hint = "a pair is on with both labels from one sample (weight s), or with one from each (weight 1 - s)"
        mistakes = [
            (
                0.5 * joint + 0.5 * torch.outer(p, p),
                "E[lam] = 1/2 for every alpha, but here E[lam^2 + (1 - lam)^2] counts: (alpha + 1) / (2 alpha + 1)",
            ),
            (
                (1 - s) * joint + s * torch.outer(p, p),
                "the two weights are exchanged: with small alpha hardly anything is mixed, so s must be near 1",
            ),
        ]
        if torch.is_tensor(got) and got.shape == expected.shape:
            rest = ~torch.eye(len(joint), dtype=torch.bool)
            if torch.allclose(got[rest].to(expected), expected[rest]):
                hint = "the diagonal is the mean of a square, E[y~_i^2] = s p_i + (1 - s) p_i^2: the formula holds"
        given = f"joint = {joint.round(decimals=3).tolist()}, alpha = {alpha}"
        expect(got, expected, given=given, hint=hint, mistakes=mistakes)


def corrected_loss(answer) -> None:
    """Find the bug: the loss of one module."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(8, 3, generator=generator)
    y = (torch.rand(4, 3, generator=generator) < 0.5).float()
    lam, index = 0.6, torch.tensor([2, 0, 3, 1])
    mixed = lam * y + (1 - lam) * y[index]
    expected = bce(logits[:4], y) + bce(logits[4:], mixed)
    interleaved = bce(logits, torch.stack([y, mixed], dim=1).flatten(0, 1))
    got = call(answer, logits, y, lam, index)
    hint = "one mean for the first B rows with y, one for the rest with the mixed targets, and their sum"
    mistakes = [
        (interleaved, "both mistakes are still there: compare the order of the targets with that of the rows"),
        (2 * interleaved, "the sum over flows is right; but the targets still alternate, original, mixed, original …"),
        (
            expected / 2,
            "the order is right; but this is the mean over all rows, and the module has halved the gradient already",
        ),
        (bce(logits[:4], y) + bce(logits[4:], y), "the mixed rows need the mixed targets"),
    ]
    given = "logits (8, 3), y (4, 3), lam = 0.6, index = [2, 0, 3, 1]"
    expect(got, expected, given=given, hint=hint, mistakes=mistakes)


def verdict(answer) -> None:
    """Change the experiment: the verdict on another score of the evidence, by one's own rule."""
    generator = np.random.default_rng(3)
    shape = generator.normal(size=40)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    base = 0.5 + 0.1 * generator.normal(size=40)  # hard and easy seeds, which both sides share
    half = 0.02 * stats.t.ppf(0.995, 39) / math.sqrt(40)  # of the 99 % interval; at 95 % it would be 0.75 of it
    cases = [
        ("all of the interval above 0", 3 * half, 2 * half, "supported"),
        ("all of the interval below 0", -3 * half, 2 * half, "refuted"),
        ("0 inside, and all of the interval inside ±margin", 0.2 * half, 2 * half, "no difference"),
        ("0 inside, and one end beyond the margin", 0.8 * half, 1.2 * half, "open"),
        ("above 0 and below the margin", 1.5 * half, 4 * half, "supported"),
        ("0 inside at 99 %, but not at 95 %", 0.88 * half, 1.1 * half, "open"),
    ]
    hints = {
        ("open", "no difference"): "that 0 lies inside says only that nothing was shown; equal is what lies in ±margin",
        ("no difference", "open"): "both ends are nearer to 0 than the margin: that is more than not knowing",
        ("supported", "no difference"): "the rule asks for 0 first: an effect may be sure and yet small",
        ("supported", "open"): "pair the seeds: the interval is that of the differences, not of two means",
        ("refuted", "open"): "pair the seeds: the interval is that of the differences, not of two means",
        ("open", "supported"): "the interval is Student's at 99 %, two-sided, with n - 1 degrees of freedom",
    }
    for name, effect, margin, expected in cases:
        got = call(answer, base + effect + 0.02 * shape, base.copy(), margin)
        hint = "supported, refuted, no difference or open, asked for in this order"
        mistakes = [(wrong, said) for (right, wrong), said in hints.items() if right == expected]
        given = f"40 pairs: {name} (mean difference {effect:+.4f}, margin {margin:.4f})"
        expect(got, expected, given=given, hint=hint, mistakes=mistakes)
