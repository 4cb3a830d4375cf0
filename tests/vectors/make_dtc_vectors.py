"""Make dtc_published_code.json: numbers of the published DTC code, for tests/test_consistency.py and test_networks.py.

Run once, with torch and NumPy, beside a checkout of github.com/HiLab-git/DTC at 2525b9c (MIT licence):

    python tests/vectors/make_dtc_vectors.py CHECKOUT/code

It imports that code as it is, and stores numbers only.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch


def numbers(name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """The same numbers for the same name, in the script and in the test."""
    return np.random.default_rng(zlib.crc32(name.encode())).uniform(low, high, shape)


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A weight, bias or statistic by its name in tutorial_lib.networks.DualVNet."""
    if name.endswith("running_var"):
        return numbers(name, shape, 0.5, 2.0)
    scale = 2 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 2.0
    if name.startswith("heads."):
        scale *= 0.1  # or the tanh would be near 1 everywhere
    return scale * numbers(name, shape)


def our_name(theirs: str) -> str:
    """From a name in their state dict to one in ours, e.g. block_two.conv.3.weight -> encoder.1.1.0.weight."""
    levels = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    module, *rest = theirs.split(".")
    if module == "out_conv":
        return f"heads.sdf.{rest[0]}"
    if module == "out_conv2":
        return f"heads.segmentation.{rest[0]}"
    _, level, *direction = module.split("_")
    level, (_, layer, leaf) = levels.index(level), rest
    step, kind = divmod(int(layer), 3)
    if direction == ["dw"]:
        return f"down.{level}.{kind}.{leaf}"
    if direction == ["up"]:
        return f"up.{7 - level}.{kind}.{leaf}"
    return f"{'encoder' if level < 5 else 'decoder'}.{level if level < 5 else 8 - level}.{step}.{kind}.{leaf}"


def loss_case(name: str, shape: tuple[int, ...], labelled: int, iteration: int, beta: float) -> dict:
    """One step of train_la_dtc.py, between the network's outputs and its optimizer."""
    from utils import losses, ramps

    logits = 4 * numbers(f"{name} logits", shape)
    # Some distances near 0: elsewhere a slope of 1500 leaves only 0 and 1.
    sdf = numbers(f"{name} sdf", shape) * 10.0 ** -np.round(4 * numbers(f"{name} scale", shape, 0, 1))
    target = (numbers(f"{name} target", (labelled, *shape[1:])) > 0.2).astype(int)
    target_sdf = numbers(f"{name} target_sdf", (labelled, *shape[1:]))
    outputs, outputs_tanh = torch.tensor(logits), torch.tensor(sdf)
    outputs_soft = torch.sigmoid(outputs)
    dice = losses.dice_loss(outputs_soft[:labelled, 0].double(), torch.tensor(target[:, 0]) == 1)
    regression = torch.nn.MSELoss()(outputs_tanh[:labelled, 0], torch.tensor(target_sdf[:, 0]))
    consistency = torch.mean((torch.sigmoid(-1500 * outputs_tanh) - outputs_soft) ** 2)
    weight = 1.0 * ramps.sigmoid_rampup(iteration // 150, 40.0)
    total = dice + beta * regression + weight * consistency
    return {
        "name": name,
        "logits": logits.tolist(),
        "sdf": sdf.tolist(),
        "target": target.tolist(),
        "target_sdf": target_sdf.tolist(),
        "iteration": iteration,
        "lam": weight,
        "beta": beta,
        "loss": {
            "total": total.item(),
            "dice": dice.item(),
            "sdf": regression.item(),
            "consistency": consistency.item(),
        },
    }


def network_case(filters: int, shape: tuple[int, ...]) -> dict:
    from networks.vnet_sdf import VNet

    network = VNet(n_channels=1, n_classes=1, n_filters=filters, normalization="batchnorm", has_dropout=True).double()
    state = network.state_dict()
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            value.copy_(torch.tensor(fill(our_name(name), tuple(value.shape))))
    network.eval()
    with torch.no_grad():
        sdf, logits = network(torch.tensor(numbers("image", shape)))
    return {
        "filters": filters,
        "shape": list(shape),
        "every": 97,
        "sdf": sdf.flatten()[::97].tolist(),
        "logits": logits.flatten()[::97].tolist(),
    }


def main(code: str) -> None:
    sys.path.insert(0, code)
    from networks.vnet_sdf import VNet
    from utils import ramps

    counts = {
        f"{classes} {norm}": sum(
            parameter.numel() for parameter in VNet(n_channels=1, n_classes=classes, normalization=norm).parameters()
        )
        for classes in (1, 2)
        for norm in ("none", "batchnorm")
    }
    steps = [0, 1, 149, 150, 151, 2999, 3000, 4321, 5849, 5850, 5999, 6000, 7000]
    result = {
        "source": "HiLab-git/DTC 2525b9ccba84d7872fe22328b8b3298e7eafdc12, run by make_dtc_vectors.py",
        "parameters": counts,
        "rampup": [[step, 1.0 * ramps.sigmoid_rampup(step // 150, 40.0)] for step in steps],
        "losses": [
            loss_case("half labelled", (4, 1, 3, 3, 2), 2, 3100, 0.3),
            loss_case("one labelled", (3, 1, 2, 2, 2), 1, 0, 1.0),
            loss_case("all labelled", (2, 1, 4, 2, 1), 2, 5999, 0.0),
        ],
        "network": network_case(4, (2, 1, 16, 32, 16)),
    }
    path = Path(__file__).with_name("dtc_published_code.json")
    path.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
