r"""Pictures and texts in one space, as CLIP puts them: near each other where they belong together.

Nobody tells such a model what a circle is. It only learns which of the captions of a batch is a picture's own, and
which picture a caption's. What comes out scores any pair of picture and text, and so can judge what a generator draws,
or guide it. Taught in chapter 16.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import _arguments as check
from .networks.text_unet import TextEncoder

__all__ = ["ImageTextModel", "contrastive_loss", "spherical_distance"]


def contrastive_loss(
    pictures: Tensor, texts: Tensor, *, temperature: float | Tensor = 0.07, groups: Tensor | None = None
) -> Tensor:
    r"""CLIP's loss: each picture must find its text among those of the batch, and each text its picture.

    .. math:: L = -\frac{1}{2N} \sum_i \left( \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}} +
              \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}} \right), \qquad
              s_{ij} = \frac{u_i \cdot w_j}{\tau\, \|u_i\| \|w_j\|}

    A batch may hold one caption twice. The published loss then asks that a picture find *its* copy and not the other,
    which is impossible, and pushes right pairs apart; with ``groups`` such pairs are left out of the sums over j.

    Args:
        pictures: (N, D) vectors u, of any length.
        texts: (N, D) vectors w; row i belongs to picture i.
        temperature: :math:`\tau`, above 0; a tensor without axes may be learned.
        groups: (N,) whole numbers, equal where captions say the same; None: all differ.

    Returns:
        The mean, a tensor without axes; log N where nothing has been learned.

    Raises:
        ValueError: if the shapes do not fit, or the temperature is not above 0.

    References:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021
        (arXiv:2103.00020), figure 3.

    >>> alike = torch.ones(4, 2)
    >>> round(contrastive_loss(alike, alike).item() / math.log(4), 4)
    1.0
    """
    check.tensor(pictures, "pictures", "(N, D)", kind="floating-point")
    check.same_shape(texts, "texts", pictures, "pictures")
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        check.number(temperature.detach(), "temperature", above=0)
    else:
        temperature = check.number(temperature, "temperature", above=0)
    u, w = (F.normalize(check.wide(part), dim=1) for part in (pictures, texts))
    scores = u @ w.T / temperature  # (N, N)
    if groups is not None:
        check.tensor(groups, "groups", f"({len(pictures)},)", kind="whole")
        twins = (groups[:, None] == groups) & ~torch.eye(len(groups), dtype=torch.bool, device=groups.device)
        scores = scores.masked_fill(twins.to(scores.device), -math.inf)
    own = torch.arange(len(scores), device=scores.device)
    return ((F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2).to(pictures)


def spherical_distance(pictures: Tensor, texts: Tensor) -> Tensor:
    r"""Half the squared angle between vectors: what Disco Diffusion lowers.

    .. math:: d = 2 \arcsin^2 \frac{\|\hat u - \hat w\|}{2} = \frac{\theta^2}{2}

    Unlike the cosine it still falls steeply where the angle is wide.

    Args:
        pictures: (..., D) vectors u, of any length.
        texts: (..., D) vectors w, or one for all.

    Returns:
        (...), from 0 to :math:`\pi^2 / 2`.

    Raises:
        ValueError: if they are not floating-point.

    References:
        Crowson, CLIP guided diffusion, 2021; Disco Diffusion, 2022.

    >>> right_angle = spherical_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    >>> round(right_angle.item(), 4) == round((math.pi / 2) ** 2 / 2, 4)
    True
    """
    check.tensor(pictures, "pictures", kind="floating-point")
    check.tensor(texts, "texts", kind="floating-point")
    u, w = (F.normalize(check.wide(part), dim=-1) for part in (pictures, texts))
    apart = (u - w).norm(dim=-1).clamp(max=2)
    return (2 * torch.asin(apart / 2) ** 2).to(pictures)


class ImageTextModel(nn.Module):
    """A small CLIP: convolutions for the picture, a Transformer for the text, one space for both.

    Args:
        vocabulary: words, padding included.
        length: words of the longest text.
        width: D of the common space.
        filters: channels of the picture's levels, each half the size of the one before.
        text_width: of a word's vector.
        in_channels: channels of the picture.
        temperature: at the start; learned, and never below .01, as published.

    Shape:
        (B, in_channels, H, W), (B, L) words -> two of (B, width). H and W at least 2 to the number of filters.

    Raises:
        ValueError: if an argument is not as described.

    References:
        Radford et al., ICML 2021 (arXiv:2103.00020).

    >>> model = ImageTextModel(10, 4)
    >>> [part.shape for part in model(torch.zeros(2, 3, 16, 16), torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]]))]
    [torch.Size([2, 64]), torch.Size([2, 64])]
    """

    def __init__(
        self,
        vocabulary: int,
        length: int = 8,
        *,
        width: int = 64,
        filters: check.Wholes = (24, 48, 64),
        text_width: int = 48,
        in_channels: int = 3,
        temperature: float = 0.07,
    ):
        super().__init__()
        filters = check.wholes(filters, "filters, channels of each level such as (24, 48, 64),", low=1, empty=False)
        width = check.whole(width, "width", low=1)
        self.in_channels = check.whole(in_channels, "in_channels", low=1)
        layers: list[nn.Module] = []
        for before, after in zip((self.in_channels, *filters), filters):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(math.gcd(8, after), after), nn.SiLU()]
            layers += [nn.Conv2d(after, after, 3, padding=1, stride=2), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        # Where things lie is part of what a caption says, so each cell of the coarsest map keeps its own weights.
        self.picture_head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * filters[-1], width))
        self.text = TextEncoder(vocabulary, length, width=text_width)
        self.text_head = nn.Linear(text_width, width)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(check.number(temperature, "temperature", above=0))))

    @property
    def temperature(self) -> Tensor:
        """The learned temperature, at least .01."""
        return (-self.log_scale).exp().clamp(min=0.01)

    def pictures(self, image: Tensor) -> Tensor:
        """Return the pictures' vectors.

        Args:
            image: (B, in_channels, H, W).

        Returns:
            (B, width).
        """
        check.tensor(image, "image", f"(B, {self.in_channels}, H, W)", kind="floating-point")
        return self.picture_head(self.body(image))

    def texts(self, text: Tensor) -> Tensor:
        """Return the texts' vectors, each the mean of its words'.

        Args:
            text: (B, L) numbers of words, 0 for padding.

        Returns:
            (B, width).
        """
        states, real = self.text(text)
        share = real.to(states)[..., None]
        return self.text_head((states * share).sum(1) / share.sum(1))

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of both."""
        return self.pictures(image), self.texts(text)
