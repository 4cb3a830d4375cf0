"""Exercises of chapter 09."""

import torch

from ...roi import roi_align
from ..claims import claim
from ..evidence import load_evidence
from ..exercises import call, expect, judge_stored, match_faults, require

BUGS = ("half pixel", "rounded", "edges", "none")
_FAULTS = {"A": "half pixel", "B": "edges", "C": "none", "D": "rounded"}


def off_the_map(answer) -> None:
    """Predict: a row of RoI Align over a map of ones, for a box that begins off the map."""
    try:
        row = torch.as_tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        row = torch.zeros(0)
    require(
        row.shape == (4,),
        given=f"an answer {answer!r}",
        hint="four numbers are asked for, one for each of the four bins",
    )
    mistakes = [
        (
            [1.0, 1.0, 1.0, 1.0],
            "nobody clips the box, or pulls points to the edge: one that lies more than a cell off the map is 0",
        ),
        (
            [0.0, 0.0, 1.0, 1.0],
            "the second bin's points lie at -2 and at -1; look at the rule of section 4 for a position of just -1",
        ),
        (
            [0.0, 1.0, 1.0, 1.0],
            "the second bin's points lie at -2 and at -1: is the first of them within one cell of the map?",
        ),
        (
            [0.0, 0.0, 0.0, 1.0],
            "in cells the box begins at -4.5, and a bin is 2 wide: the third bin's points lie at 0 and 1",
        ),
    ]
    hint = "aligned, the box begins at -4.5; bins are 2 wide; the points lie at -4, -3 | -2, -1 | 0, 1 | …"
    given = "the box (-4, 2, 4, 6) on a map of 8 x 8 ones"
    expect(row, [0.0, 0.5, 1.0, 1.0], given=given, hint=hint, mistakes=mistakes)


def axis_weights(answer) -> None:
    """Implement: the matrix that RoI Align is along one axis."""
    for low, high, bins, ratio, length in (
        (0.5, 3.5, 2, 2, 6),
        (2.2, 4.9, 3, 2, 7),
        (1.3, 1.9, 2, 3, 4),
        (-4.0, 3.0, 3, 2, 5),
        (2.0, 9.0, 3, 2, 5),
    ):
        want = _weights(low, high, bins, ratio, length)
        got, given = call(answer, low, high, bins, ratio, length), f"{low}, {high}, {bins}, {ratio}, {length}"
        hint = "each point gives 1 - fraction to the cell below it and fraction to the cell above; a bin is their mean"
        mistakes = _weights_mistakes(want, low, high, bins, ratio, length)
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-5)


def to_grid(answer) -> None:
    """Implement: from cells of the map to the coordinates of grid_sample."""
    for position, length in (
        (torch.tensor([0.0, 1.0, 2.0, 3.0]), 4),
        (torch.tensor([[-0.5, 6.5], [2.25, 3.0]]), 7),
        (torch.tensor(0.0), 1),
    ):
        want = (2 * position + 1) / length - 1
        got = call(answer, position.clone(), length)
        hint = "cell i reaches from i - 1/2 to i + 1/2: so -1/2 shall become -1, and length - 1/2 shall become 1"
        mistakes = [
            (2 * position / max(length - 1, 1) - 1, "that is for align_corners=True: there -1 is the middle of cell 0"),
            (2 * position / length - 1, "half a cell is missing: the middle of cell 0 is not the edge of the map"),
            ((position + 0.5) / length, "that runs from 0 to 1"),
        ]
        given = f"position {position.tolist()}, length {length}"
        expect(got, want, given=given, hint=hint, mistakes=mistakes)


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of four lines has."""
    hints = {
        "A": "take a box from 0 to 4 at scale 1 in 4 bins: do the points lie in the middles of cells 0 to 3?",
        "B": "take the same box in 4 bins: where are the first and the last point?",
        "C": "multiply it out: is it anything but the formula of section 3?",
        "D": "move the box by a tenth of a pixel: does every point move?",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="line")


def exact_boxes(answer) -> None:
    """Change the experiment: the claim of the chapter, with boxes that are exact, on the runs that are stored."""
    right, off = _claim("shift_0.0"), _claim("shift_0.3")
    judge_stored(
        answer,
        right,
        mistakes=[
            (-right.effect, "that is what RoI Pool gains over Align: the favoured method comes first"),
            (off.effect, "those are the boxes that are off by up to 30 %; exact ones are the column 'shift_0.0'"),
            (-off.effect, "the column is that of exact boxes, 'shift_0.0', and the favoured method comes first"),
        ],
        asked="evidence '09_roi_shift', score 'shift_0.0', Align mean against RoI Pool",
        margin="the margin is that of the chapter's claims: chosen for a verdict that one knows, it proves nothing",
        asks="the claim is that Align is better: asks='better', and a higher IoU is better",
    )


def _claim(score):
    where = {"evidence": load_evidence("09_roi_shift"), "score": score}
    return claim("Align is better", "Align mean", "RoI Pool", margin=0.01, show=False, **where)


def _weights(low, high, bins, ratio, length):
    """A map for each cell that is 1 in that cell: what RoI Align makes of it is that cell's column."""
    ones = torch.eye(length, dtype=torch.float64)[None, :, None, :]
    box = torch.tensor([[0.0, low + 0.5, 0.0, high + 0.5, 1.0]], dtype=torch.float64)
    return roi_align(ones, box, (1, bins), sampling_ratio=ratio)[0, :, 0].T


def _weights_mistakes(want, low, high, bins, ratio, length):
    step = (high - low) / (bins * ratio)
    points = low + (torch.arange(bins * ratio, dtype=torch.float64) + 0.5) * step
    cells = torch.arange(length)

    def read(points):
        return (1 - (points[:, None] - cells).abs()).clamp(min=0).view(bins, ratio, length).mean(1)

    return [
        (want.T, "the other way round: bins are rows, cells are columns"),
        (want * ratio, "the mean of the points, not their sum"),
        (
            _weights(low - 0.5, high - 0.5, bins, ratio, length),
            "the half pixel is off already: do not take it off again",
        ),
        (_weights(low, high, bins, 1, length), "`ratio` points a bin, not one"),
        (read(points.clamp(0, length - 1)), "a point more than one cell off the map gives nothing at all"),
        (read(points), "a point up to one cell off the map reads the edge in full, as in section 4"),
        (read(points - step / 2), "points lie in the middles of their parts of a bin, not at the beginnings"),
        (
            read(torch.linspace(low, high, bins * ratio, dtype=torch.float64)),
            "points lie in the bins, not on their edges",
        ),
    ]
