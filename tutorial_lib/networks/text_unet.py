r"""A small U-Net that is told two things beside its picture: how noisy it is, and what it shall show.

The noise level enters every block as a shift and a scale of its normalised activations, and with it the mean of the
words: what the text is about. Which word belongs where is asked by cross-attention, from every place of the coarser
levels to every word. Taught in chapter 16.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import _arguments as check

__all__ = ["CrossAttention", "TextEncoder", "TextUNet", "time_embedding"]


def time_embedding(time: Tensor, size: int, *, longest: float = 10_000.0) -> Tensor:
    r"""Waves of many lengths, so that a network can tell early from late and a step from the next.

    .. math:: \big(\cos \omega_k t,\ \sin \omega_k t\big), \qquad
              \omega_k = L^{-k / (d/2)}, \quad k = 0, \ldots, d/2 - 1

    Args:
        time: (B,) steps or noise levels; of the order of 1000 for the longest wave to be of use.
        size: d, even.
        longest: L; the longest wave has about :math:`2 \pi L` steps.

    Returns:
        (B, size) float32, or float64 where the time is.

    Raises:
        ValueError: if ``time`` has another shape, or ``size`` is odd.

    References:
        Vaswani et al., Attention Is All You Need, NeurIPS 2017; Ho et al., NeurIPS 2020, for the time of diffusion.

    >>> time_embedding(torch.tensor([0, 1]), 4).round(decimals=2).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.5400000214576721, 1.0, 0.8399999737739563, 0.009999999776482582]]
    """
    time = check.tensor(time, "time", "(B,)")
    half = check.whole(size, "size", low=2) // 2
    if size % 2:
        raise ValueError(f"size must be even, got {size}")
    longest = check.number(longest, "longest", above=1)
    dtype = torch.float64 if time.dtype == torch.float64 else torch.float32
    waves = torch.exp(-math.log(longest) / half * torch.arange(half, dtype=dtype, device=time.device))
    angle = time.to(dtype)[:, None] * waves  # (B, d/2)
    return torch.cat([angle.cos(), angle.sin()], 1)


class TextEncoder(nn.Module):
    """Words to vectors that know their company: an embedding, places, and Transformer layers.

    A text of nothing but padding is *no text*: it becomes one learned vector, at the first place.

    Args:
        vocabulary: how many words there are, word 0 (padding) included.
        length: words of the longest text.
        width: of a vector, a multiple of ``heads``.
        layers: Transformer layers; 0: each word stands alone.
        heads: of their attention.

    Shape:
        (B, L) whole numbers, L up to ``length`` -> (B, L, width) and (B, L) bools, True where a word stands.

    Raises:
        ValueError: if an argument is not as described, or a word is not of the vocabulary.

    >>> states, real = TextEncoder(10, 4, width=8)(torch.tensor([[3, 1, 0, 0], [0, 0, 0, 0]]))
    >>> states.shape, real.tolist()
    (torch.Size([2, 4, 8]), [[True, True, False, False], [True, False, False, False]])
    """

    def __init__(self, vocabulary: int, length: int, *, width: int = 48, layers: int = 1, heads: int = 4):
        super().__init__()
        self.vocabulary = check.whole(vocabulary, "vocabulary", low=2)
        self.length, width = check.whole(length, "length", low=1), check.whole(width, "width", low=1)
        heads, layers = check.whole(heads, "heads", low=1), check.whole(layers, "layers", low=0)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads ({heads}), got {width}")
        self.words = nn.Embedding(self.vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(self.length, width))
        self.layers = nn.ModuleList(_TextLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return the words' vectors, and which of them stand for a word."""
        check.tensor(text, "text", "(B, L)", kind="whole")
        if text.shape[1] > self.length:
            raise ValueError(f"text must have at most {self.length} words, got {text.shape[1]}")
        if text.numel() and not 0 <= int(text.min()) <= int(text.max()) < self.vocabulary:
            wrong = int(text.min()) if int(text.min()) < 0 else int(text.max())
            raise ValueError(f"text must hold words from 0 to {self.vocabulary - 1}, got {wrong}")
        real = text != 0
        first = torch.zeros_like(real)
        first[:, :1] = True
        real = real | (first & ~real.any(1, keepdim=True))  # no text: the vector of word 0, at the first place
        states = self.words(text) + self.places[: text.shape[1]]  # (B, L, width)
        for layer in self.layers:
            states = layer(states, real)
        return self.norm(states), real


class _TextLayer(nn.Module):
    """A Transformer layer, norms first: every word asks every other one, then thinks by itself."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.norm, self.own_norm = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask_and_tell, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.own = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, states: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.ask_and_tell(self.norm(states)).chunk(3, -1)
        states = states + self.out(_attend(query, key, value, real, self.heads))
        return states + self.own(self.own_norm(states))


class CrossAttention(nn.Module):
    """Every place of a picture asks every word of its text, and adds what it hears.

    Args:
        channels: of the picture's map.
        text_width: of a word's vector.
        heads: of the attention, a divisor of ``channels``.

    Shape:
        (B, channels, H, W), (B, L, text_width), (B, L) bools -> (B, channels, H, W).

    Raises:
        ValueError: if ``heads`` does not divide ``channels``.

    >>> layer = CrossAttention(8, 6, heads=2)
    >>> layer(torch.zeros(1, 8, 2, 2), torch.zeros(1, 3, 6), torch.ones(1, 3, dtype=torch.bool)).shape
    torch.Size([1, 8, 2, 2])
    """

    def __init__(self, channels: int, text_width: int, *, heads: int = 4):
        super().__init__()
        channels = check.whole(channels, "channels", low=1)
        self.heads = check.whole(heads, "heads", low=1, high=channels)
        if channels % self.heads:
            raise ValueError(f"heads must divide channels ({channels}), got {heads}")
        self.norm = nn.GroupNorm(1, channels)
        self.ask = nn.Linear(channels, channels, bias=False)
        self.tell = nn.Linear(check.whole(text_width, "text_width", low=1), 2 * channels, bias=False)
        self.out = _silent(nn.Linear(channels, channels))  # at the start the text says nothing

    def forward(self, x: Tensor, words: Tensor, real: Tensor) -> Tensor:
        """Return the map with what its places heard added."""
        batch, channels, height, width = x.shape
        places = self.norm(x).flatten(2).transpose(1, 2)  # (B, H*W, C)
        key, value = self.tell(words).chunk(2, -1)
        heard = self.out(_attend(self.ask(places), key, value, real, self.heads))
        return x + heard.transpose(1, 2).reshape(batch, channels, height, width)


class _Block(nn.Module):
    """Norm, SiLU, convolution, twice; between them the noise level scales and shifts; the input is added."""

    def __init__(self, channels_in: int, channels: int, time: int):
        super().__init__()
        self.first = nn.Sequential(_norm(channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels, 3, padding=1))
        self.level = nn.Linear(time, 2 * channels)
        self.norm = _norm(channels)
        self.second = _silent(nn.Conv2d(channels, channels, 3, padding=1))  # at the start the block is its shortcut
        self.shortcut = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.level(time)[:, :, None, None].chunk(2, 1)  # (B, C, 1, 1)
        h = self.norm(self.first(x)) * (1 + scale) + shift
        return self.shortcut(x) + self.second(F.silu(h))


class TextUNet(nn.Module):
    """U-Net for diffusion: a noisy picture, its noise level, a text; out comes what the training asked for.

    Args:
        vocabulary: words, padding included; 0: a network without text, which is then called with two arguments.
        length: words of the longest text.
        filters: channels of each level, from the finest; two levels or more.
        patch: side of the squares of pixels that the finest level sees as one place; 1: the pixels themselves.
        text_width: of a word's vector.
        text_layers: of the text encoder.
        heads: of every attention.
        steps: T of the noise schedule; step t is told to the network as 1000 t / T, whatever T is.
        in_channels: channels of the picture.

    Shape:
        (B, in_channels, H, W), (B,) steps, (B, L) words -> (B, in_channels, H, W). H and W must be multiples of 2 to
        the number of levels less one: 4 by default.

    Raises:
        ValueError: if an argument is not as described; in ``forward``, if the input is not.

    References:
        Ho et al., NeurIPS 2020 (arXiv:2006.11239), for the network; Nichol and Dhariwal, ICML 2021 (arXiv:2102.09672),
        for scale and shift; Rombach et al., CVPR 2022 (arXiv:2112.10752), for cross-attention to a text; Saharia et
        al., NeurIPS 2022 (arXiv:2205.11487), for its mean beside the time.

    >>> network = TextUNet(10, 4, filters=(8, 16), text_width=8, heads=2)
    >>> network(torch.zeros(2, 3, 8, 8), torch.tensor([0, 199]), torch.tensor([[3, 1, 0, 0]] * 2)).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        vocabulary: int,
        length: int = 8,
        *,
        filters: Sequence[int] = (48, 96),
        patch: int = 2,
        text_width: int = 48,
        text_layers: int = 1,
        heads: int = 4,
        steps: int = 200,
        in_channels: int = 3,
    ):
        super().__init__()
        filters = check.wholes(filters, "filters, channels of each level such as (24, 48, 96),", low=1, empty=False)
        if len(filters) < 2:
            raise ValueError(f"filters must have two levels or more, got {filters}")
        self.steps = check.whole(steps, "steps", low=1)
        self.in_channels, self.patch = (
            check.whole(in_channels, "in_channels", low=1),
            check.whole(patch, "patch", low=1),
        )
        self.multiple = self.patch * 2 ** (len(filters) - 1)
        words = check.whole(vocabulary, "vocabulary", low=0)
        self.text = TextEncoder(words, length, width=text_width, layers=text_layers, heads=heads) if words else None
        self.waves, time = 2 * filters[0], filters[-1]
        self.time = nn.Sequential(nn.Linear(self.waves, time), nn.SiLU(), nn.Linear(time, time))
        self.gist = nn.Linear(text_width, time) if words else None

        def hearing(level: int) -> nn.Module:
            coarse = level > 0 or self.patch > 1  # the text says what, and not which pixel
            return CrossAttention(filters[level], text_width, heads=heads) if words and coarse else _Deaf()

        levels, pixels = range(len(filters) - 1), self.in_channels * self.patch**2
        self.stem = nn.Conv2d(pixels, filters[0], 3, padding=1)
        self.encoder = nn.ModuleList(_Block(filters[k], filters[k], time) for k in levels)
        self.hear = nn.ModuleList(hearing(k) for k in levels)
        self.down = nn.ModuleList(nn.Conv2d(filters[k], filters[k + 1], 3, stride=2, padding=1) for k in levels)
        self.middle = nn.ModuleList(_Block(filters[-1], filters[-1], time) for _ in range(2))
        self.attend = hearing(len(filters) - 1)
        self.decoder = nn.ModuleList(_Block(filters[k] + filters[k + 1], filters[k], time) for k in levels)
        self.listen = nn.ModuleList(hearing(k) for k in levels)
        self.out = nn.Sequential(_norm(filters[0]), nn.SiLU(), _silent(nn.Conv2d(filters[0], pixels, 3, padding=1)))

    def forward(self, x: Tensor, time: Tensor, text: Tensor | None = None) -> Tensor:
        """Return the prediction for each picture."""
        check.tensor(x, "x", f"(B, {self.in_channels}, H, W)", kind="floating-point")
        if any(size % self.multiple or not size for size in x.shape[2:]):
            raise ValueError(f"the sizes of x must be multiples of {self.multiple}, got {tuple(x.shape[2:])}")
        if (text is None) != (self.text is None):
            raise ValueError(f"text must be {'None: this network has no words' if text is not None else 'given'}")
        words, real = self.text(text) if self.text is not None else (None, None)
        level = self.time(time_embedding(1000 / self.steps * time, self.waves).to(x.dtype))  # (B, time)
        if self.gist is not None and real is not None:
            share = real.to(words)[..., None]
            level = level + self.gist((words * share).sum(1) / share.sum(1))
        level = F.silu(level)
        x, skips = self.stem(F.pixel_unshuffle(x, self.patch)), []  # (B, C, H / patch, W / patch)
        for block, hear, down in zip(self.encoder, self.hear, self.down):
            x = hear(block(x, level), words, real)
            skips.append(x)
            x = down(x)
        x = self.middle[1](self.attend(self.middle[0](x, level), words, real), level)
        for block, listen, skip in reversed(list(zip(self.decoder, self.listen, skips))):
            x = torch.cat([skip, F.interpolate(x, scale_factor=2.0, mode="nearest")], 1)
            x = listen(block(x, level), words, real)
        return F.pixel_shuffle(self.out(x), self.patch)


class _Deaf(nn.Module):
    """Where no text is heard."""

    def forward(self, x: Tensor, words: Tensor | None, real: Tensor | None) -> Tensor:
        return x


def _attend(query: Tensor, key: Tensor, value: Tensor, real: Tensor, heads: int) -> Tensor:
    """(B, P, C), (B, L, C) twice, (B, L) -> (B, P, C): softmax attention, written out since the texts are short."""
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5  # (B, heads, P, L)
    weights = scores.masked_fill(~real[:, None, None], -math.inf).softmax(-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(8, channels), channels)


def _silent(layer: nn.Module) -> nn.Module:
    """A layer that gives nothing until it has learned something."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
