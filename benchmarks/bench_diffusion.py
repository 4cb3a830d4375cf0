"""A sampling step of 64 pictures, beside the forward pass of its network: what the sampler itself costs."""

import torch

from benchmarks.timing import medians, show
from tutorial_lib.diffusion import ddim_step, noise_schedule, predict, threshold
from tutorial_lib.generative import nearest_distances
from tutorial_lib.lab.captioned_shapes import encode_captions
from tutorial_lib.lab.drawer import new_drawer

ROWS, STEPS = 64, 20


@torch.no_grad()
def main() -> None:
    network, alpha_bar = new_drawer().eval(), noise_schedule(200)
    x, t = torch.randn(ROWS, 3, 16, 16), torch.full((ROWS,), 90)
    text = encode_captions(["a red ring left of a blue square"] * ROWS)

    def forward() -> None:
        network(x, t, text)

    def step() -> None:
        picture = threshold(predict(network(x, t, text), x, 90, alpha_bar, given="v").picture)
        ddim_step(picture, x, 90, alpha_bar, previous=80)

    times = medians({"ours": step, "forward": forward}, repetitions=STEPS)
    show(
        f"a sampling step of {ROWS} pictures", times["ours"], {"its network's forward": times["forward"]}, "above .87 x"
    )

    many, train = torch.randn(512, 3, 16, 16), torch.randn(8000, 3, 16, 16)
    plain = lambda: [(train - one).square().mean((1, 2, 3)).min() for one in many[:64]]  # noqa: E731
    times = medians({"ours": lambda: nearest_distances(many[:64], train), "loop": plain}, repetitions=3)
    show("nearest of 8,000 for 64 pictures", times["ours"], {"a loop over the pictures": times["loop"]}, "10 x")
