"""Exercises of chapter 03: a plausible mistake is told by its name. And the chapter's Grad-CAM against MONAI's."""

import ast
import csv

import numpy as np
import pytest
import torch
from conftest import cell_source, exercise_answers
from torch import nn
from torch.nn import functional as F

from tutorial_lib.lab import check, claim, load_evidence
from tutorial_lib.lab.results import load_result
from tutorial_lib.losses import focal_loss, ldam_loss, ldam_margins

NAME = "03_losses.ipynb"


def wrong_message(exercise, answer):
    result = check(exercise, answer, show=False)
    assert result.status == "wrong", result.message
    return result.message


# --- 1: which gradients are parallel --------------------------------------------------------------------------------

PARALLEL = {"A": True, "B": False, "C": True, "D": True, "E": False}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (PARALLEL | {"A": False}, "the chain rule"),
        (PARALLEL | {"B": True}, "its own (1 - p)^gamma"),
        (PARALLEL | {"C": False}, "sum of the weights"),
        (PARALLEL | {"D": False}, "a function of it alone"),
        (PARALLEL | {"E": True}, "before the softmax"),
        ({"A": True}, "keys A, B, C, D, E"),
        (PARALLEL | {"A": "yes"}, "True or False"),
        (True, "keys A, B, C, D, E"),
    ],
)
def test_parallel_hints(wrong, hint):
    assert hint in wrong_message("losses.parallel", wrong)


def test_those_gradients_really_are_parallel():
    g = torch.Generator().manual_seed(2)
    z = torch.randn(6, 4, generator=g, dtype=torch.float64, requires_grad=True)
    y, one = torch.randint(4, (6,), generator=g), torch.ones(6, dtype=torch.long)
    ce = F.cross_entropy(z, y)
    weight = torch.arange(1.0, 5.0, dtype=torch.float64)
    losses = {
        "A": (ce**2, ce),
        "B": (focal_loss(z, y, gamma=2.0), ce),
        "C": (F.cross_entropy(z, one, weight=weight), F.cross_entropy(z, one)),
        "D": ((1 - torch.exp(-ce)) ** 2 * ce, ce),
        "E": (ldam_loss(z, y, class_counts=[50, 9, 3, 1], scale=1.0), ce),
    }
    for name, pair in losses.items():
        a, b = (torch.autograd.grad(loss, z, retain_graph=True)[0].flatten() for loss in pair)
        assert (float(F.cosine_similarity(a, b, dim=0)) > 1 - 1e-9) == PARALLEL[name], name


# --- 2: other frequencies than in training --------------------------------------------------------------------------


def shifted(z, n, q):
    return z - n.log() + q.log()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda z, n, q: z.softmax(1), "training set's world"),
        (lambda z, n, q: (z + n.log() - q.log()).softmax(1), "wrong way round"),
        (lambda z, n, q: (z - n.log()).softmax(1), "q does not come in"),
        (lambda z, n, q: (z + q.log()).softmax(1), "punished twice"),
        (lambda z, n, q: z.softmax(1) * q / n, "sum to 1"),
        (shifted, "probabilities are asked for"),
        (lambda z, n, q: (z * q / n).softmax(1), "summand of the logit"),
        (lambda z, n, q: shifted(z, n, q).argmax(1), "shape (B, C)"),
        (lambda z, n, q: z.exp() * q / n / (z.exp() * q / n).sum(1, keepdim=True), "softmax last"),
        (lambda z, n, q: z.sigmoid(), "Bayes"),
        (lambda z, n, q: z.nonsense, "AttributeError"),
        (3.0, "expected a function"),
    ],
)
def test_new_prevalence_hints(wrong, hint):
    message = wrong_message("losses.new_prevalence", wrong)
    assert hint in message, message


def test_the_solution_of_new_prevalence_is_bayes_on_gaussians():
    """Two classes with known densities: logits of one mix of them, corrected, are the posterior of another mix."""
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["losses.new_prevalence"]
    x, n, q = torch.linspace(-3, 3, 9, dtype=torch.float64), torch.tensor([30.0, 2.0]), torch.tensor([0.25, 0.75])
    density = torch.stack([torch.exp(-((x - mean) ** 2) / 2) for mean in (-1, 1)], 1)
    joint = density * q
    want = joint / joint.sum(1, keepdim=True)
    torch.testing.assert_close(solution((density * n).log(), n, q).double(), want, atol=1e-6, rtol=1e-5)


# --- 3: another score -----------------------------------------------------------------------------------------------


def verdict(name, score, ours="logit adjustment", rival="CE", margin=0.02):
    stored = load_evidence(f"03_{name}")
    return claim("a", ours, rival, evidence=stored, score=score, margin=margin, show=False).verdict


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda name, score: verdict(name, score, "CE", "logit adjustment"), "the sides"),
        (lambda name, score: verdict(name, "F1"), "the verdict on macro-F1"),
        (lambda name, score: True, "the verdict's word"),
        (lambda name, score: "refuted" if verdict(name, score) == "open" else "open", "show=False"),
    ],
)
def test_defend_hints(wrong, hint):
    message = wrong_message("losses.defend", wrong)
    assert hint in message, message


def test_the_verdict_depends_on_the_score():
    """Else the exercise would teach nothing."""
    solution = exercise_answers(f"notebooks/solutions/{NAME}")["losses.defend"]
    found = {
        (name, score): solution(name, score) for name in ("digits", "beats") for score in ("F1", "balanced", "common")
    }
    assert found == {key: verdict(*key) for key in found}
    assert len(set(found.values())) > 1


# --- 4: find the bug ------------------------------------------------------------------------------------------------

BUGS = {"A": "margins as weights", "B": "double sigmoid", "C": "batch mean", "D": "none"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (BUGS | {"A": "none"}, "what does `weight=` make"),
        (BUGS | {"B": "none"}, "which values can s take"),
        (BUGS | {"C": "none"}, "how many numbers is ce"),
        (BUGS | {"D": "margins as weights"}, "follow one sample"),
        ({"A": "none"}, "keys A, B, C, D"),
        (BUGS | {"A": "typo"}, "keys A, B, C, D"),
        (BUGS | {"A": ["none"]}, "keys A, B, C, D"),
    ],
)
def test_find_the_bug_hints(wrong, hint):
    assert hint in wrong_message("losses.find_the_bug", wrong)


def test_the_four_losses_really_have_those_faults():
    scope = {"torch": torch, "F": F, "ldam_margins": ldam_margins}
    exec(cell_source(f"notebooks/{NAME}", "def loss_a"), scope)
    g = torch.Generator().manual_seed(4)
    z, y, n = torch.randn(8, 3, generator=g), torch.tensor([0, 0, 0, 0, 0, 1, 1, 2]), torch.tensor([50, 10, 2])
    z = z.double()
    margin = ldam_loss(z, y, class_counts=n, max_margin=0.5, scale=30.0)
    assert abs(scope["loss_a"](z, y, n) - margin) > 1e-3
    reused = ldam_loss(z, y, class_counts=n, max_margin=0.5, scale=30.0, weight=ldam_margins(n, max_margin=0.5))
    torch.testing.assert_close(scope["loss_a"](z, y, n), reused)
    # B: even sure and right predictions cannot bring the loss to zero.
    bits = (torch.arange(8)[:, None] % 2 == 0).double()
    assert scope["loss_b"](200 * (bits - 0.5), bits) > 0.005
    z.requires_grad_()
    ce = F.cross_entropy(z, y)
    plain = torch.autograd.grad(ce, z)[0].flatten()
    batch = torch.autograd.grad(scope["loss_c"](z, y), z)[0].flatten()
    assert F.cosine_similarity(batch, plain, dim=0) > 1 - 1e-9
    torch.testing.assert_close(scope["loss_d"](z, y, torch.ones(3).double()), focal_loss(z, y, gamma=2.0))


# --- 5: thresholds without a leak -----------------------------------------------------------------------------------


def f1_table(scores, target, thresholds):
    positive = (scores > thresholds[:, None, None]).float()
    return 2 * (positive * target).sum(1) / (positive.sum(1) + target.sum(0)).clamp(min=1)


def micro(vs, vt, s, t, cuts):
    positive = (s > cuts[f1_table(vs, vt, cuts).argmax(0)]).float()
    return float(2 * (positive * t).sum() / (positive.sum() + t.sum()))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda vs, vt, s, t, cuts: f1_table(s, t, cuts).amax(0).mean(), "that leaks"),
        (lambda vs, vt, s, t, cuts: f1_table(s, t, cuts).mean(1).max(), "that leaks"),
        (lambda vs, vt, s, t, cuts: f1_table(s, t, cuts)[f1_table(vs, vt, cuts).mean(1).argmax()].mean(), "its own"),
        (micro, "micro-F1"),
        (lambda vs, vt, s, t, cuts: f1_table(vs, vt, cuts).amax(0).mean(), "too good"),
        (lambda vs, vt, s, t, cuts: f1_table(s, t, cuts)[0], "one number"),
        (lambda vs, vt, s, t, cuts: 0.5, "best F1 on validation"),
    ],
)
def test_tuned_macro_f1_hints(wrong, hint):
    message = wrong_message("losses.tuned_macro_f1", wrong)
    assert hint in message, message


def test_the_solution_scores_as_scikit_learn():
    from sklearn.metrics import f1_score

    solution = exercise_answers(f"notebooks/solutions/{NAME}")["losses.tuned_macro_f1"]
    g = torch.Generator().manual_seed(9)
    scores, target = torch.rand(50, 3, generator=g), (torch.rand(50, 3, generator=g) < 0.4).float()
    cut = torch.tensor([0.5])
    want = f1_score(target.numpy(), (scores > 0.5).numpy(), average="macro")
    assert solution(scores, target, scores, target, cut) == pytest.approx(want)


# --- the chapter's Grad-CAM -----------------------------------------------------------------------------------------


@pytest.fixture
def grad_cam():
    source = cell_source(f"notebooks/{NAME}", "def grad_cam")
    scope = {"torch": torch, "F": F}
    exec(source[: source.index("\n\n\n")], scope)
    body = source[: source.index("\n\n\n")].splitlines()
    assert len(body) <= 20
    return scope["grad_cam"]


@pytest.mark.parametrize("size", [8, 13])
def test_grad_cam_equals_monai(grad_cam, size):
    library = pytest.importorskip("monai.visualize").GradCAM
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip
    images, classes = torch.randn(3, 2, size, size), torch.tensor([2, 0, 1])
    net(images)
    net.eval()
    for place in (2, 4):
        hooks = len(net[place]._forward_hooks)
        ours = grad_cam(net, net[place], images, classes)
        assert len(net[place]._forward_hooks) == hooks  # it cleans up
        theirs = library(net, str(place), postprocessing=lambda maps: maps)
        maps = [theirs(image[None], class_idx=int(k))[0, 0] for image, k in zip(images, classes)]
        assert ours.shape == (3, size, size) and not ours.requires_grad and (ours >= 0).all()
        torch.testing.assert_close(ours, torch.stack([torch.as_tensor(m).detach() for m in maps]))
        assert ours.max() > 0


# --- the settings that the chapter prints ---------------------------------------------------------------------------


def best_of_search(name):
    best = {}
    for row in load_result(name)["rows"]:
        key = row.pop("method")
        if key not in best or row["val"] > best[key]["val"]:
            best[key] = row
    return best


def printed_settings(name):
    source = cell_source(f"notebooks/{NAME}", 'CHOSEN = """')
    rows = csv.DictReader(source.split('"""')[1].splitlines())
    return {row.pop("method"): row for row in rows if row.pop("set") == name}


def draws(method):
    """The settings that the chapter's search tries."""
    scope = {"np": np, "DATA": "builtin", "FAST": True}
    for name in ("METHODS", "VARIANTS"):
        line = cell_source(f"notebooks/{NAME}", f"{name} = ").split(f"{name} = ")[1].splitlines()[0]
        scope[name] = ast.literal_eval(line)
    exec(cell_source(f"notebooks/{NAME}", "def draw_settings"), scope)
    return list(scope["draw_settings"](method))


def test_the_printed_settings_are_the_best_of_the_stored_search():
    printed, best = printed_settings("digits"), best_of_search("03_search_digits")
    assert printed.keys() == best.keys()
    for method, row in printed.items():
        told = {key: value for key, value in row.items() if value}
        assert told.pop("head") == best[method].pop("head")
        assert {key: float(value) for key, value in told.items()} == pytest.approx(best[method])


@pytest.mark.parametrize("name", ["cells", "beats"])
def test_the_printed_settings_of_cells_and_beats_are_the_best_of_their_own_search(name):
    printed, stored = printed_settings(name), load_evidence(f"03_search_{name}")
    assert printed.keys() == set(stored.table["method"])
    first, second = ({*load_evidence(f"03_{name}{stage}").seeds} for stage in ("", "_second"))
    assert not (first & second or set(stored.seeds) & (first | second | {1000, 1001, 1002}))
    for method, mine in stored.table.groupby("method"):
        assert sorted(mine["seed"]) == stored.seeds  # every loss has every seed, and every seed every draw
        means = [mine[f"draw {draw}"].mean() for draw in range(24)]
        best = max(range(24), key=means.__getitem__)
        told = {key: value for key, value in printed[method].items() if value}
        assert float(told.pop("val")) == pytest.approx(means[best], abs=1e-4)
        assert {key: value if key == "head" else float(value) for key, value in told.items()} == draws(method)[best]


def test_the_printed_settings_of_the_signals_are_the_best_of_the_stored_search():
    source = cell_source(f"notebooks/{NAME}", "SIGNAL_SETTINGS = {")
    assigned = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    printed = next(node.value for node in assigned if node.targets[0].id == "SIGNAL_SETTINGS")
    best = best_of_search("03_search_ecg")
    wanted = {method: {k: v for k, v in row.items() if k != "val"} for method, row in best.items()}
    assert ast.literal_eval(printed) == wanted


def test_every_searched_loss_had_the_same_draws():
    """Equal numbers of draws, the same random numbers, and none of the evidence's seeds."""
    by_method = {}
    for row in load_result("03_search_digits")["rows"]:
        by_method.setdefault(row["method"], []).append(row)
    assert {len(mine) for mine in by_method.values()} == {24}
    for method, mine in by_method.items():
        if "published" not in method:  # whose head is plain
            assert [(row["lr"], row["head"]) for row in mine] == [(row["lr"], row["head"]) for row in by_method["CE"]]
    for ldam, lmf in zip(by_method["LDAM"], by_method["LMF"]):
        assert (ldam["scale"], ldam["margin"]) == (lmf["scale"], lmf["margin"])
    below = sum(lmf["val"] < ldam["val"] for ldam, lmf in zip(by_method["LDAM"], by_method["LMF"]))
    assert below == 17  # of 24, as the chapter says
    assert not set(load_evidence("03_digits").seeds) & {100, 101, 102}
