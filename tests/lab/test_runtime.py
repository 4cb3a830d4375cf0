"""Seeds, devices, and the explorer."""

import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from tutorial_lib.lab import describe_environment, explore, pick_device, seed_everything
from tutorial_lib.lab.plots import PALETTE, method_style, set_style


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def test_one_seed_fixes_all_three_sources():
    generator = seed_everything(5)
    first = (*draws(), torch.rand(1, generator=generator).item())
    generator = seed_everything(5)
    assert first == (*draws(), torch.rand(1, generator=generator).item())
    seed_everything(6)
    assert first[:3] != draws()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", True, None])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        seed_everything(seed)


def test_auto_takes_what_is_there_and_a_missing_device_is_an_error():
    assert pick_device("auto").type in ("cuda", "mps", "cpu")
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="must be one of"):
        pick_device("gpu")
    with pytest.raises(ValueError, match="must be one of"):
        pick_device("cuda:x")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="this machine has none"):
            pick_device("cuda")
    assert torch.__version__ in describe_environment()


def test_explore_draws_the_static_figure_with_the_defaults_and_checks_its_sliders():
    seen = []
    explore(lambda lam=0.25, alpha=1.0: seen.append((lam, alpha)), lam=(0, 1, 0.1))
    assert seen == [(0.25, 1.0)]
    with pytest.raises(ValueError, match="slider 'beta'"):
        explore(lambda lam=0.25: None, beta=(0, 1))
    with pytest.raises(ValueError, match="default"):
        explore(lambda lam: None, lam=(0, 1))


def test_explore_builds_live_sliders_where_somebody_watches(monkeypatch):
    import ipywidgets

    shown, seen = [], []
    monkeypatch.setattr("tutorial_lib.lab.widgets.is_headless", lambda: False)
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.extend(a))
    explore(lambda lam=0.25, name="a": seen.append((lam, name)), lam=(0.0, 1.0, 0.05), name=["a", "b"])
    sliders = shown[-1].children[0].children
    assert [slider.description for slider in sliders] == ["lam", "name"]
    assert sliders[0].value == 0.25 and isinstance(sliders[0], ipywidgets.FloatSlider)
    sliders[0].value = 0.5
    assert seen[-1] == (0.5, "a")


def test_each_method_keeps_its_look():
    set_style()
    styles = method_style(["plain", "mixup", "manifold", "flow"])
    assert len({style["color"] for style in styles.values()}) == 4
    assert len({style["marker"] for style in styles.values()}) == 4
    assert styles["plain"]["color"] == PALETTE[0]
    plt.close("all")
