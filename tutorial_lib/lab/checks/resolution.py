"""Exercises of chapter 08."""

from ..claims import claim
from ..evidence import load_evidence
from ..exercises import call, expect, judge_stored, match_faults, require

BUGS = ("parallel", "in place", "gate too early", "none")
_FAULTS = {"A": "in place", "B": "parallel", "C": "none", "D": "gate too early"}

# A branch of UNet 3+: 3 x 3, 1,024 channels to 64, at 20 x 20 or, enlarged, at 320 x 320.
_WEIGHTS = 9 * 1024 * 64
_SMALL, _LARGE = 20 * 20, 320 * 320


def branch_cost(answer) -> None:
    """Predict: what a branch of UNet 3+ costs before and after its map was enlarged."""
    right = (_WEIGHTS, _WEIGHTS * _SMALL, _WEIGHTS * _LARGE)
    try:
        got = tuple(float(value) for value in answer)
    except (TypeError, ValueError):
        got = ()
    given = f"an answer {answer!r}"
    require(len(got) == 3, given=given, hint="three numbers are asked for: parameters, and twice multiply-adds")
    mistakes = [
        (
            tuple(value // 9 for value in right),
            "the convolution is 3 x 3: each of its outputs has nine inputs a channel",
        ),
        (
            (right[0], right[2], right[1]),
            "the second number is for the map of 20 x 20, the third for 320 x 320",
        ),
        (
            (right[0], right[1], right[1] * 16),
            "16 times as long a side is 256 times as many places",
        ),
        (
            (right[0], right[1], right[1]),
            "the weights stay the same, but they are used once for every place of the map",
        ),
        (
            (right[0] + 64, right[1], right[2]),
            "no bias is asked for",
        ),
        (
            (64 * 9, 64 * 9 * _SMALL, 64 * 9 * _LARGE),
            "each output channel reads all 1,024 input channels",
        ),
    ]
    hint = "weights: height x width x channels in x channels out; operations: weights x places of the output"
    expect(got, right, given=given, hint=hint, mistakes=mistakes, reveal=False)


def receptive_field(answer) -> None:
    """Implement: how many pixels a side a stack of layers sees."""
    cases = [
        [(3, 1, 1)],
        [(3, 1, 1), (3, 1, 1)],
        [(3, 1, 1), (2, 2, 1), (3, 1, 1)],
        [(3, 1, 8)],
        [(3, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1), (3, 1, 2)],
        [],
    ]
    for layers in cases:
        mistakes = [
            (
                _field(layers, stride=False),
                "after a stride of 2 the next layer's steps are 2 pixels wide",
            ),
            (_field(layers, late=False), "a layer's own stride counts for the layers after it, not for itself"),
            (_field(layers, dilated=False), "a kernel of 3 with dilation 8 spans 17 places"),
            (_field(layers) - 1, "one pixel is seen with no layer at all"),
            (_field(layers, whole=True), "a kernel of k adds k - 1 places: the one in the middle was seen already"),
        ]
        hint = "field = 1 + the sum of (kernel - 1) x dilation x the product of the strides before it"
        got = call(answer, list(layers))
        expect(got, _field(layers), given=f"layers (kernel, stride, dilation) {layers}", hint=hint, mistakes=mistakes)


def _field(layers, *, stride=True, late=True, dilated=True, whole=False) -> int:
    field, step = 1, 1
    for kernel, by, dilation in layers:
        if not late:
            step *= by
        field += (kernel - (0 if whole else 1)) * (dilation if dilated else 1) * step
        if late and stride:
            step *= by
    return field


def find_the_bug(answer) -> None:
    """Find the bug: four pieces of popular ports."""
    hints = {
        "A": "what is x when it is added at the end?",
        "B": "let one bright pixel pass: how far does it get in the second round, and in the third?",
        "C": "write the formula of section 3 beside it",
        "D": "where the structure is said to be absent, which number goes through the sigmoid?",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="piece")


def large_organ(answer) -> None:
    """Change the experiment: the claim of the chapter, for the large structure, on the runs that are stored."""
    right, thin = _claim("organ"), _claim("thin")
    judge_stored(
        answer,
        right,
        mistakes=[
            (-right.effect, "that is what U-Net gains over UNet 3+: the favoured method comes first"),
            (thin.effect, "that is the vessel; the large structure is the column 'organ'"),
            (-thin.effect, "the column is 'organ', and the favoured method comes first"),
        ],
        asked="evidence '08_organs', score 'organ', 'full' against 'plain'",
        margin=(
            "the margin is that of the chapter's first claim: chosen for a verdict that one knows, it proves nothing"
        ),
        asks="the claim is that UNet 3+ is better: asks='better', and a higher Dice is better",
    )


def _claim(score):
    where = {"evidence": load_evidence("08_organs"), "score": score}
    return claim("UNet 3+ is better", "full", "plain", margin=0.02, show=False, **where)
