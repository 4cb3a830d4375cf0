"""The features of a chain of 400 residues beside a loop over residues; a design of 100 residues, 400 iterations."""

import math

import torch

from benchmarks.timing import medians, show
from tutorial_lib.protein import (
    InverseFolding,
    backbone_frames,
    build_backbone,
    neighbour_features,
    radial_basis,
    rotation_vector,
    self_consistent_design,
)


def main() -> None:
    chain = backbone(400)
    times = medians({"ours": lambda: neighbour_features(chain), "loop": lambda: one_by_one(chain)}, repetitions=5)
    show("neighbour_features, 400 residues, k = 20", times["ours"], {"a loop over residues": times["loop"]}, "10 times")
    torch.manual_seed(0)
    model, short = InverseFolding(width=64, depth=2), backbone(100)

    def design() -> None:
        self_consistent_design(model, short, steps=400, stop_after=None, generator=torch.Generator().manual_seed(0))

    took = medians({"design": design}, repetitions=3)["design"]
    print(f"self_consistent_design, 100 residues, 400 iterations, width 64: {took:.2f} s (below 10 s)")


def backbone(length: int) -> torch.Tensor:
    angles = torch.rand(length, 3, generator=torch.Generator().manual_seed(0)) * 4 - 2
    angles[:, 2] = math.pi
    return build_backbone(angles)


def one_by_one(chain: torch.Tensor, k: int = 20) -> torch.Tensor:
    """One residue after the other, each with tensors over its neighbours."""
    rotations, origins = backbone_frames(chain)
    rows = []
    for place in range(len(chain)):
        apart = origins - origins[place]
        near = apart.norm(dim=-1).topk(k + 1, largest=False).indices
        local = apart[near] @ rotations[place]
        turned = rotation_vector(rotations[place].T @ rotations[near])
        rows.append(torch.cat((radial_basis(local.norm(dim=-1)), local, turned), -1))
    return torch.stack(rows)


if __name__ == "__main__":
    main()
