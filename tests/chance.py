"""Tensors and boxes drawn by chance, the same for the same seed."""

import torch


def tensor(*numbers) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def random(seed: int, *shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_boxes(seed: int, count: int, images: int = 2, reach: float = 24.0, side: float = 12.0) -> torch.Tensor:
    """Inside, across the border and wholly outside a map of some ten cells; the first ones without area."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * reach - reach / 3
    size = torch.rand(count, 2, generator=generator, dtype=torch.float64) * side
    size[: count // 8] = 0
    size[count // 8 : count // 4, 0] = 0
    image = torch.randint(0, images, (count, 1), generator=generator)
    return torch.cat((image, corner, corner + size), 1)
