"""Seeds and devices, and each method's look."""

import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from tutorial_lib.lab import describe_environment, pick_device, seed_everything
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
    with pytest.raises(ValueError, match="seed must be a whole number"):
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


def test_each_method_keeps_its_look():
    set_style()
    styles = method_style(["plain", "mixup", "manifold", "flow"])
    assert len({style["color"] for style in styles.values()}) == 4
    assert len({style["marker"] for style in styles.values()}) == 4
    assert styles["plain"]["color"] == PALETTE[0]
    plt.close("all")
