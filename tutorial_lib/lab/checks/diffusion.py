"""Exercises of chapter 16."""

import torch

from ...diffusion import ddim_step, noise_schedule, predict, threshold
from ..exercises import Todo, call, expect, judge_verdict, match_faults, require

FAULTS = ("schedule", "old noise", "unclean end", "sign", "none")
LEAST_PAIRS, MARGIN = 20, 0.02
_FAULTS = {"a": "unclean end", "b": "sign", "c": "none", "d": "schedule", "e": "old noise"}
_ASKED = {"paper, w = 2": 3.0, "paper, w = 0": 1.0, "Imagen, s = 7.5": 7.5, "no text at all": 0.0}


def conventions(answer) -> None:
    """Predict: four settings of guidance, each as our scale s."""
    require(
        isinstance(answer, dict) and set(answer) == set(_ASKED),
        given=f"an answer {answer!r}",
        hint=f"a dict with the keys {', '.join(map(repr, _ASKED))}, each with a number",
    )
    if any(value is None for value in answer.values()):
        raise Todo
    hints = {
        "paper, w = 2": "write (1 + w) c - w u as u + s (c - u), and read off s",
        "paper, w = 0": "with w = 0 the paper's formula is the conditional answer, alone",
        "Imagen, s = 7.5": "Imagen's convention is ours",
        "no text at all": "only the unconditional answer is left: which s does that?",
    }
    for key, right in _ASKED.items():
        mistakes = [(right - 1, f"s is w + 1. {hints[key]}"), (right + 1, hints[key])]
        expect(float(answer[key]), right, given=key, hint=hints[key], mistakes=mistakes, reveal=False, atol=1e-9)


def step_back(answer) -> None:
    """Implement: one DDIM step from a model that says v, its picture cut to [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    alpha_bar = noise_schedule(40)
    for t, s in ((39, 30), (20, 5), (7, -1), (0, -1)):
        x, v = (torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
        now, then = float(alpha_bar[t]), float(alpha_bar[s]) if s >= 0 else 1.0
        given = f"pictures x and v, (3, 2), alpha_bar now {now:.3f}, afterwards {then:.3f}"
        got = call(answer, x.clone(), v.clone(), now, then)
        found = predict(v, x, t, alpha_bar, given="v")
        cut = threshold(found.picture)
        want = ddim_step(cut, x, t, alpha_bar, previous=s)
        mistakes = [
            (ddim_step(found.picture, x, t, alpha_bar, previous=s), "the picture was not cut to [-1, 1]"),
            (
                then**0.5 * cut + (1 - then) ** 0.5 * found.noise,
                "the noise is the old one; once the picture is cut, derive the noise again from x and the picture",
            ),
            (
                ddim_step(threshold(predict(v, x, t, alpha_bar, given="noise").picture), x, t, alpha_bar, previous=s),
                "v was taken for the noise",
            ),
            (then * cut + (1 - then) * (x - now**0.5 * cut) / (1 - now) ** 0.5, "alpha_bar's roots are the shares"),
            (cut, "that is the guessed picture; mix it with its noise, at the level of the step to come"),
        ]
        hint = "picture = sqrt(now) x - sqrt(1 - now) v, cut; noise = (x - sqrt(now) picture) / sqrt(1 - now); mix anew"
        expect(got, want, given=given, hint=hint, mistakes=mistakes, atol=1e-6)


def dynamic_threshold(answer) -> None:
    """Implement: each picture's own quantile, never below 1."""
    generator = torch.Generator().manual_seed(1)
    mild = 0.4 * torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64)
    wild = 3 * torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    for pictures, quantile in ((torch.cat([mild, wild]), 0.9), (wild, 0.5), (mild.clamp(-0.9, 0.9), 0.995)):
        got = call(answer, pictures.clone(), quantile)
        want = threshold(pictures, rule="dynamic", quantile=quantile)
        own = torch.quantile(pictures.abs().flatten(1), quantile, dim=1).reshape(-1, 1, 1, 1)
        together = torch.quantile(pictures.abs(), quantile).clamp(min=1)
        signed = torch.quantile(pictures.flatten(1), quantile, dim=1).reshape(-1, 1, 1, 1).clamp(min=1)
        mistakes = [
            (pictures.clamp(-1, 1), "that is the static rule; values inside the range must move, too"),
            (pictures.clamp(-own, own) / own, "s must not fall below 1: a picture that is in range stays as it is"),
            (pictures.clamp(-together, together) / together, "every picture has a quantile of its own"),
            (pictures.clamp(-signed, signed) / signed, "take the quantile of the absolute values"),
            (pictures / own.clamp(min=1), "cut to [-s, s] before you divide"),
        ]
        hint = "s = max(1, quantile of |x|) of each picture by itself; cut to [-s, s], then divide by s"
        expect(
            got, want, given=f"{len(pictures)} pictures, quantile {quantile}", hint=hint, mistakes=mistakes, atol=1e-6
        )


def find_the_bug(answer) -> None:
    """Find the bug: which fault each of five snippets has."""
    hints = {
        "a": "where does the last step arrive: at which alpha_bar?",
        "b": "put told == silent + 1: does the result move towards what was told?",
        "c": "go through it with alpha_bar = .64 by hand",
        "d": "how much of the picture is left in its last step? Compute alpha_bar[-1]",
        "e": "do the picture and the noise that are mixed still make up x?",
    }
    match_faults(answer, _FAULTS, among=FAULTS, hints=hints, what="snippet")


def own_verdict(answer) -> None:
    """Change the experiment: a prediction, the paired differences of one's own run, and the verdict they allow."""
    judge_verdict(answer, pairs=LEAST_PAIRS, margin=MARGIN, score="accuracies")
