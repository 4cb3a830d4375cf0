"""Exercises of chapter 05."""

import math

import numpy as np

from ..exercises import call, expect, judge_verdict, match_faults, number

BUGS = ("inverted", "crop", "one side", "none")
LEAST_PAIRS, MARGIN = 10, 0.02  # of a claim of one's own
_FAULTS = {"A": "inverted", "B": "crop", "C": "one side", "D": "none"}
_TENTH = 2 * math.acosh(math.sqrt(10))  # 4 sigmoid(u) sigmoid(-u) = 1 / cosh(u / 2) ** 2 is 0.1 here: 3.64


def lost_voxels(answer) -> None:
    """Predict: what a 9 x 9 square loses through the published map and back."""
    mistakes = [
        (36, "four sides of 9 count each corner twice"),
        (40, "that is the layer just outside the square; the published map sets the layer inside to 0"),
        (49, "that is what is left: 7 x 7; how many are lost?"),
        (0, "the boundary voxels come back as exactly 0.5, which is not above 0.5"),
        (81, "only the outermost layer is set to 0; farther in, the map is negative"),
    ]
    hint = "lost are the inside voxels that have an outside neighbour: one layer of the square, all around"
    expect(number(answer), 32.0, given="a square of 9 x 9 voxels", hint=hint, mistakes=mistakes)


def signed_distance(answer) -> None:
    """Implement: the signed distance by SciPy, with spacing, empty and full masks."""
    corner = np.zeros((4, 6), bool)
    corner[1:3, 2:] = True
    spot = np.zeros((3, 4, 5), bool)
    spot[1, 1:3, 2] = True
    for mask, spacing in ((corner, (1.0, 1.0)), (corner, (3.0, 0.5)), (spot, (2.0, 1.0, 1.0))):
        want = _brute_force(mask, spacing)
        got = call(answer, mask.copy(), spacing)
        hint = (
            "outside: the distance to the nearest inside voxel; inside: minus the distance to the nearest outside one"
        )
        given, mistakes = f"mask {_show(mask)}, spacing {spacing}", _distance_mistakes(want, mask, spacing)
        expect(got, want, given=given, hint=hint, mistakes=mistakes)
    for fill, want in ((False, math.inf), (True, -math.inf)):
        mask = np.full((3, 4), fill)
        name = "full" if fill else "empty"
        got = call(answer, mask.copy(), (1.0, 1.0))
        hint = (
            f"a mask that is {name} has no voxel of the other kind: the distance is {want:+}. SciPy does not say so: "
            "where nothing is 0, its answer means nothing. Look for these two cases first"
        )
        expect(got, np.full(mask.shape, want), given=f"a mask that is {name} everywhere", hint=hint)


def steepness(answer) -> None:
    """Implement: the k whose gradient falls to a tenth at a given number of voxels."""
    for scale, voxels in ((20.0, 5.0), (20.0, 1.0), (64.0, 2.0)):
        got = number(call(answer, scale, voxels))
        want = _TENTH * scale / voxels
        mistakes = [
            (_TENTH / voxels, "the map is divided by the scale: one voxel is only 1 / s of its unit"),
            (_TENTH / scale / voxels, "the scale is on the wrong side: a map squeezed by s needs a steeper step"),
            (_TENTH * voxels / scale, "upside down: a longer reach needs a smaller k"),
            (
                math.log(9) * scale / voxels,
                "there the mask is 0.1; it is the gradient, m (1 - m), that shall be a tenth",
            ),
            (math.log(99) * scale / voxels, "there the mask is 0.01; the gradient shall be a tenth of its peak"),
            (_TENTH * scale, "the reach is missing: k gets smaller where more voxels shall learn"),
        ]
        hint = "the gradient is a tenth of its peak at |z| = 3.64 / k, and z is the number of voxels divided by s"
        given = f"scale = {scale:g}, voxels = {voxels:g}"
        expect(got, want, given=given, hint=hint, mistakes=mistakes, rtol=5e-3)


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of four lines has."""
    hints = {
        "A": "put phi = -1 in, deep inside: is the soft mask near 1?",
        "B": "cut the image smaller, so that the farthest voxel is gone: does a voxel near the outline keep its value?",
        "C": "what is its value for a voxel deep inside, and for one just inside?",
        "D": "it is negative inside, positive outside, and 20 is the same for every crop; is anything left to blame?",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="line")


def radius(answer) -> None:
    """Predict: the radius of a ball of 15 voxels after mean-curvature flow for a time of 50."""
    mistakes = [
        (math.sqrt(125), "that is a circle's: a ball is bent in two directions, and its curvature is 2/r"),
        (15 - 2 * 50 / 15, "the speed 2/r grows while the ball shrinks; solve dr/dt = -2/r"),
        (math.sqrt(175), "r dr = -2 dt gives half of the square: the square falls by 4 in a unit of time"),
        (25.0, "that is the square of the radius"),
        (math.sqrt(425), "inwards: the square falls"),
    ]
    hint = "the divergence of a ball's unit normals is 2/r: solve dr/dt = -2/r for the square of r"
    expect(
        number(answer, "one number, in voxels"), 5.0, given="a ball of radius 15, a time of 50", hint=hint,
        mistakes=mistakes, atol=1e-3, rtol=1e-3,
    )  # fmt: skip


def claim(answer) -> None:
    """A claim of one's own: ``(prediction, differences, verdict)``, differences of Dice, one a seed."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="Dice")


def _brute_force(mask, spacing):
    points = np.argwhere(np.ones(mask.shape)) * np.array(spacing)
    pairs = np.sqrt(((points[:, None] - points) ** 2).sum(-1))
    inside = mask.ravel()
    pairs[inside[:, None] == inside] = np.inf
    return (np.where(inside, -1, 1) * pairs.min(1)).reshape(mask.shape)


def _distance_mistakes(want, mask, spacing):
    """What typical mistakes would give, and what to say about them."""
    yield -want, "the sign: inside is negative"
    yield np.abs(want), "no sign: the distance inside is subtracted, not added"
    for one_side in (np.maximum(want, 0), np.minimum(want, 0)):
        yield (
            one_side,
            "one side is missing: distance_transform_edt is 0 outside of what it is given, so ask for both sides",
        )
    for wrong, why in (((1.0,) * mask.ndim, "spacing is ignored"), (spacing[::-1], "spacing is in the wrong order")):
        hint = f"{why}: hand it on as sampling=spacing, one number for each axis, in the order of the axes"
        yield _brute_force(mask, wrong), hint
    yield (
        want - 0.5 * np.sign(want),
        "half a voxel too little: here the distance from centre to centre is asked, as in section 2",
    )


def _show(mask) -> str:
    return str(mask.astype(int).tolist())
