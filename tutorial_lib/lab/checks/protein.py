"""Exercises of chapter 15."""

import math

import numpy as np
import torch

from ..exercises import Wrong, call, expect, judge_verdict, match_faults, number, require

KINDS = ("turns", "mirror", "moves", "skew", "none")
LEAST_PAIRS, MARGIN = 20, 0.05
_FAULTS = {"a": "none", "b": "skew", "c": "mirror", "d": "turns", "e": "moves"}


def after_seven(answer) -> None:
    """Predict: two residues that want to differ, both changing at once, seven rounds from (0, 0)."""
    given = "two residues that want to be different, from (0, 0)"
    pair = [answer[0], answer[1]] if isinstance(answer, tuple | list) and len(answer) == 2 else []
    require(len(pair) == 2, given=f"an answer {answer!r}", hint="a tuple of two types, each 0 or 1")
    got = tuple(number(part, "0 or 1") for part in pair)
    hints: dict[tuple, str] = {
        (0, 0): "that is the start, and every even round; seven is odd",
        (0, 1): "that is where one at a time would end; here both change, and stay alike for ever",
        (1, 0): "that is where one at a time would end; here both change, and stay alike for ever",
    }
    if got != (1, 1):
        hint = hints.get(got, "each asks what the other was before the round, and takes the other type")
        raise Wrong(f"given     {given}\n  hint: {hint}")


def dihedral(answer) -> None:
    """Implement: the torsion of four points by atan2."""
    rng = np.random.default_rng(0)
    quarter = [(-0.5, -1.0, 0), (0, 0, 0), (1.0, 0, 0), (0, 0, -1.0)]
    flat = [(0.0, 1, 0), (0, 0, 0), (1, 0, 0), (1, -1, 0)]
    cis = [(0.0, 1, 0), (0, 0, 0), (1, 0, 0), (1, 1, 0)]
    cases: list = [
        (flat, "a planar trans arrangement"), (cis, "a planar cis arrangement"), (quarter, "a quarter of a turn"),
    ]  # fmt: skip
    cases += [(rng.normal(size=(4, 3)) * 2, "four points drawn at random") for _ in range(6)]
    for points, given in cases:
        a, b, c, d = (torch.tensor(point, dtype=torch.float64) for point in points)
        got = call(answer, a.clone(), b.clone(), c.clone(), d.clone())
        b1, b2, b3 = b - a, c - b, d - c
        n1, n2 = torch.linalg.cross(b1, b2), torch.linalg.cross(b2, b3)
        want = math.atan2(float(b2.norm() * (b1 @ n2)), float(n1 @ n2))
        angle = math.acos(max(-1.0, min(1.0, float(n1 @ n2 / (n1.norm() * n2.norm())))))
        crossed = torch.linalg.cross(n1, n2) @ b2
        sign = float(torch.sign(b1 @ n2))
        hint = "with bonds b1, b2, b3: atan2(|b2| b1 · (b2 × b3), (b1 × b2) · (b2 × b3))"
        try:
            got = float(got)
        except (TypeError, ValueError):
            raise Wrong(f"given     {given}\n  hint: return one number, got {got!r}") from None
        if given == cases[0][1]:  # π and −π are the same
            mistakes = [
                (0.0, "sign · arccos is 0 where the sign is 0: exactly at trans; use atan2"),
                (180.0, "the answer is in radians, not in degrees"),
            ]
            expect(abs(got), math.pi, given=given, hint=hint, mistakes=mistakes, atol=1e-6)
            continue
        mistakes = [
            (math.degrees(want), "the answer is in radians, not in degrees"),
            (angle, "arccos gives no sign: left and right turns look alike"),
            (-want, "the sign is the other way round: a quarter of a turn clockwise, seen along b2, is +90°"),
            (sign * math.pi - want if sign else want, "you measure from trans; cis must be 0"),
            (math.atan2(float(b1 @ n2), float(n1 @ n2)), "the first argument needs the length of b2, or a unit vector"),
            (math.atan2(float(crossed), float(n1 @ n2)), "the first argument is too large by the length of b2"),
        ]
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-6)


def find_the_fault(answer) -> None:
    """Find the bug: five ways to say where a residue sees another."""
    hints = {
        "a": "the axes are the rows of the matrix; multiplying by it takes the coordinates along each of them",
        "b": "is N − CA at right angles to C − CA? What does that do to the coordinates?",
        "c": "reflect the protein in a mirror: which of these distances change?",
        "d": "the axes are columns here: does the product take coordinates in the frame, or turn the vector by it?",
        "e": "add (5, 5, 5) to every atom: what happens?",
    }
    match_faults(answer, _FAULTS, among=KINDS, hints=hints, what="version")


def potts_conditionals(answer) -> None:
    """Implement: p(type | all others) for every residue of a Potts law."""
    generator = torch.Generator().manual_seed(4)
    for length, kinds, density in ((5, 3, 0.6), (2, 2, 1.0), (6, 4, 0.0), (8, 20, 0.5)):
        fields = torch.randn(length, kinds, generator=generator, dtype=torch.float64)
        couplings = torch.randn(kinds, kinds, generator=generator, dtype=torch.float64)
        couplings = couplings + couplings.T
        contacts = (torch.rand(length, length, generator=generator) < density).triu(1)
        contacts = contacts | contacts.T
        types = torch.randint(kinds, (length,), generator=generator)
        given = f"{length} residues, {kinds} types, {int(contacts.sum()) // 2} contacts, the sequence {types.tolist()}"
        got = call(answer, fields.clone(), couplings.clone(), contacts.clone(), types.clone())
        got = torch.as_tensor(got, dtype=torch.float64)
        near = contacts.double()
        score = fields + near @ couplings[types]
        want = score.softmax(1)
        shape = f"return ({length}, {kinds}), a row a residue, got {tuple(got.shape)}"
        require(got.shape == want.shape, given=given, hint=shape)
        upper = (fields + near.triu() @ couplings[types]).softmax(1)
        mistakes = [
            (score, "these are scores; the probabilities are their softmax"),
            (score.log_softmax(1), "these are logarithms of the probabilities"),
            (fields.softmax(1), "the neighbours are not heard: add the couplings to their types"),
            ((-score).softmax(1), "the sign is the other way round: a low energy is probable, and E = −h − J"),
            ((-fields - near @ couplings[types]).softmax(1), "the sign is the other way round: E = −h − J"),
            ((fields + 2 * near @ couplings[types]).softmax(1), "every contact is counted twice: i hears j once"),
            ((fields + near @ couplings[types] / 2).softmax(1), "each contact is whole for both of its residues"),
            (upper, "a contact counts for both of its residues, not only for the first"),
            ((fields + couplings[types].sum(0)).softmax(1), "only residues in contact are heard"),
            (score.softmax(0), "the probabilities of a residue's types sum to 1: softmax over the types"),
        ]
        hint = "score[i] = fields[i] + the sum of couplings[:, types[j]] over i's contacts j; softmax over the types"
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-6)


def own_verdict(answer) -> None:
    """Change the experiment: a prediction, the paired differences of one's own run, and the verdict they allow."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="energies")
