"""Exercises of chapter 13."""

import torch

from ..claims import VERDICTS, claim
from ..evidence import load_evidence
from ..exercises import Wrong, call, expect, match_faults, require

BUGS = ("one norm", "never projects", "lost backup", "padding", "none")
_FAULTS = {"a": "one norm", "b": "lost backup", "c": "never projects", "d": "padding"}


def learning_rate(answer) -> None:
    """Predict: the learning rate that two summed gradients are worth, with SGD and with Adam."""
    sgd, adam = _two_numbers(answer)
    given = "epsilon near 0: the clean and the pushed gradient are equal"
    require(abs(sgd - 2) < 1e-2, given=f"{given}; SGD", hint="SGD's step is the learning rate times the gradient's sum")
    hint = "Adam's step is the gradient's mean over the root of its mean square: what becomes of a factor?"
    require(abs(adam - 1) < 1e-2, given=f"{given}; Adam", hint=hint)


def fgm_push(answer) -> None:
    """Implement: FGM's push for each text, with padding."""
    generator = torch.Generator().manual_seed(0)
    for rows, words, width, epsilon in ((1, 1, 2, 0.5), (3, 5, 4, 1.0), (4, 6, 3, 2.5)):
        g = torch.randn(rows, words, width, generator=generator)
        tokens = torch.randint(1, 9, (rows, words), generator=generator)
        if rows > 1:
            tokens[1, 2:] = 0
            tokens[2] = 0
        kept = g.clone(), tokens.clone()
        got = call(answer, g, tokens, epsilon)
        given = f"g of shape {tuple(g.shape)}, epsilon = {epsilon}, tokens {tokens.tolist()}"
        require(
            torch.equal(g, kept[0]) and torch.equal(tokens, kept[1]),
            given=given,
            hint="your function changed its arguments; make new tensors",
        )
        mask = (tokens != 0)[..., None]
        hint = "epsilon times the text's gradient over that gradient's norm"
        if torch.is_tensor(got) and bool(got.isnan().any()):
            hint = "a text of padding alone has a gradient of norm 0, and 0 / 0 is NaN"
        expect(got, _push(g, mask, epsilon), given=given, hint=hint, mistakes=_push_mistakes(g, mask, epsilon))


def _push(g, mask, epsilon):
    g = g * mask
    norm = g.flatten(1).norm(dim=1)
    return epsilon * g / torch.where(norm > 0, norm, 1.0)[:, None, None]


def _push_mistakes(g, mask, epsilon):
    own = g.flatten(1).norm(dim=1)[:, None, None]
    word = (g * mask).norm(dim=2, keepdim=True).clamp_min(1e-12)
    clean = g * mask
    return [
        (epsilon * g / own, "padding (token 0) must not be pushed, and must not count in the norm"),
        (epsilon * clean / own, "the norm counts the padding's gradient: mask first, then take the norm"),
        (epsilon * clean / clean.norm(), "that is one norm for the whole batch; each text has its own"),
        (epsilon * clean / word, "that is one norm for each word; a text's words share one"),
        (epsilon * clean.sign(), "that is FGSM; FGM divides by the norm and keeps the proportions"),
        (clean / clean.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None], "the length must be epsilon, not 1"),
        (-_push(g, mask, epsilon), "the sign: the push goes up the gradient, to a higher loss"),
    ]


def project(answer) -> None:
    """Implement: the projection onto a ball for each text."""
    generator = torch.Generator().manual_seed(1)
    for rows, epsilon in ((1, 1.0), (4, 1.0), (3, 0.3)):
        r = torch.randn(rows, 3, 2, generator=generator)
        sizes = torch.tensor([2.0, 0.5, 1.0, 0.0])[:rows] * epsilon
        r = r / r.flatten(1).norm(dim=1)[:, None, None] * sizes[:, None, None]
        kept = r.clone()
        got = call(answer, r, epsilon)
        given = f"epsilon = {epsilon}, pushes of length {[round(v, 3) for v in sizes.tolist()]}"
        require(torch.equal(r, kept), given=given, hint="your function changed its argument; make a new tensor")
        norm = r.flatten(1).norm(dim=1)[:, None, None]
        want = r * torch.where(norm > epsilon, epsilon / norm, 1.0)
        hint = "scale by epsilon / norm where norm > epsilon"
        if torch.is_tensor(got) and bool(got.isnan().any()):
            hint = "a push of length 0 is inside the ball and stays 0; yours became NaN (0 / 0)"
        mistakes = [
            (
                r * epsilon / norm.clamp_min(1e-12),
                "a push inside the ball stays as it is; yours was stretched to the surface",
            ),
            (
                r * min(1.0, epsilon / float(r.norm())),
                "that is one norm for the whole batch; each text has its own ball",
            ),
            (r.clamp(-epsilon, epsilon), "clamping each number projects onto a cube; here the ball is round"),
            (r / norm.clamp_min(1.0), "the ball's radius is epsilon, not 1"),
            (r, "nothing was brought back, though some pushes are longer than epsilon"),
        ]
        expect(got, want, given=given, hint=hint, mistakes=mistakes)


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of four snippets has."""
    hints = {
        "a": "give it a batch of two texts: how long is the push of each?",
        "b": "follow `backup` through two rounds of the loop",
        "c": "how far can three steps come, at most?",
        "d": "what happens at a token that is 0?",
    }
    match_faults(answer, _FAULTS, among=BUGS, hints=hints, what="snippet")


def other_rival(answer) -> None:
    """Change the experiment: the verdicts on FGM if its rival were plain training with half its computation."""
    sets = ("notes", "abstracts", "departments")
    shape = isinstance(answer, dict) and set(answer) == set(sets)
    hint = f"a dict with the keys {', '.join(sets)}, each with one of {', '.join(VERDICTS)}"
    require(shape and all(verdict in list(VERDICTS) for verdict in answer.values()), given=f"{answer!r}", hint=hint)
    for name in sets:
        stored = load_evidence(f"13_{name}")
        found = claim("FGM beats plain", "FGM", "plain", evidence=stored, score="score", margin=0.02, show=False)
        hint = f"the interval is [{found.low:+.3f}, {found.high:+.3f}], and the margin 0.02: which verdict is that?"
        if answer[name] == _against_twice(stored).verdict != found.verdict:
            hint = "that is the verdict against twice the steps; here the rival is 'plain'"
        require(answer[name] == found.verdict, given=f"{name}: {answer[name]}", hint=hint)


def _against_twice(stored):
    """The chapter's own claim."""
    return claim("FGM beats plain", "FGM", "plain, steps × 2", evidence=stored, score="score", margin=0.02, show=False)


def _two_numbers(answer):
    try:
        first, second = (float(value) for value in answer)
    except (TypeError, ValueError):
        raise Wrong(f"given     {answer!r}\n  hint: two numbers are asked for, such as (1.0, 2.0)") from None
    return first, second
