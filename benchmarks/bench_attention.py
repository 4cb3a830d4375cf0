"""FAVOR+ at 4,096 tokens beside performer-pytorch, and both beside torch's own exact attention from 256 to 16,384."""

import sys
import types

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.bench_metrics import import_peer
from benchmarks.timing import medians, show
from tutorial_lib.attention import draw_projection, linear_attention, performer_attention

PERFORMER = "performer-pytorch==1.1.4"
HEADS, SIZE, FEATURES = 8, 64, 266  # performer-pytorch's default: int(64 ln 64)


def main(peers: bool = False) -> None:
    projection = draw_projection(FEATURES, SIZE, generator=torch.Generator().manual_seed(0))
    theirs = performer() if peers else None
    for causal in (False, True):
        functions = {
            "ours": step(lambda q, k, v, c=causal: performer_attention(q, k, v, projection=projection, causal=c))
        }
        if theirs is not None and not causal:  # its causal form wants a CUDA kernel
            fast = theirs.FastAttention(SIZE, FEATURES)
            fast.projection_matrix.copy_(projection)
            functions["performer-pytorch"] = step(fast)
        times = medians(functions, repetitions=5)
        title = f"FAVOR+ {'causal, ' if causal else ''}4,096 tokens, {HEADS} heads of {SIZE}, forward and backward"
        show(title, times.pop("ours"), times, "1.5 x performer-pytorch")
    if theirs is None:
        print(f"    performer-pytorch: python -m benchmarks attention --peers (fetches {PERFORMER})")
    for length in (256, 1024, 4096, 16384):
        functions = {
            "ours": step(lambda q, k, v: performer_attention(q, k, v, projection=projection), length),
            "elu + 1": step(linear_attention, length),
            "torch's exact attention": step(F.scaled_dot_product_attention, length),
        }
        times = medians(functions, repetitions=3)
        show(
            f"FAVOR+, {length:,} tokens, forward and backward", times.pop("ours"), times, "none: where is the crossing?"
        )


def performer():
    """The package imports two others, for layers that are not measured: stand-ins do."""
    import_peer("einops==0.8.2", "einops")
    for name, layer in (
        ("local_attention", "LocalAttention"),
        ("axial_positional_embedding", "AxialPositionalEmbedding"),
    ):
        stand_in = types.ModuleType(name)
        setattr(stand_in, layer, torch.nn.Module)
        sys.modules.setdefault(name, stand_in)
    return import_peer(PERFORMER, "performer_pytorch.performer_pytorch")


def step(attend, length: int = 4096):
    """One forward and backward pass."""
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn((1, HEADS, length, SIZE), generator=generator).requires_grad_() for _ in range(3)]

    def run() -> Tensor:
        result = attend(*given)
        torch.autograd.grad(result.sum(), given)
        return result

    return run
