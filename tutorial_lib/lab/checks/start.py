"""Exercises of chapter 00."""

import torch

from ..exercises import call, expect


def double(answer) -> None:
    """The warm-up: a function that doubles a tensor."""
    for x in (torch.tensor([1.0, -2.0]), torch.zeros(2, 3), torch.tensor(3.0)):
        expect(call(answer, x.clone()), 2 * x, given=f"x = {x.tolist()}", hint="return 2 * x for every entry")
