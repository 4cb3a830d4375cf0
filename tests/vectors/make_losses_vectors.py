"""Make losses_torchvision.json: torchvision's sigmoid focal loss and its gradient, in float64.

torchvision does not import beside the CPU build of torch that the project pins, so in an environment of its own:

    pip install "torch===2.13.0" "torchvision==0.28.0"
    python tests/vectors/make_losses_vectors.py
"""

import json
from pathlib import Path

import torch
import torchvision
from torchvision.ops import sigmoid_focal_loss


def main() -> None:
    logits = [-30.0, -8.0, -3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 6.0, 15.0, 25.0]
    cases = []
    for positive in (0.0, 1.0):
        for alpha, gamma in ((0.25, 2.0), (-1.0, 2.0), (0.75, 0.0), (0.25, 1.0), (0.5, 3.5)):
            x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
            loss = sigmoid_focal_loss(x, torch.full_like(x, positive), alpha=alpha, gamma=gamma)
            (gradient,) = torch.autograd.grad(loss.sum(), x)
            case = {"target": positive, "alpha": None if alpha < 0 else alpha, "gamma": gamma}
            cases.append(case | {"loss": loss.tolist(), "gradient": gradient.tolist()})
    made_by = {"torchvision": torchvision.__version__, "torch": torch.__version__}
    path = Path(__file__).with_name("losses_torchvision.json")
    path.write_text(json.dumps({"made by": made_by, "logits": logits, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
