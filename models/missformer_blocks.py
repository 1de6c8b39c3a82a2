"""What MISSFormer is made of. Features are (B, H, W, F) here: layers mix channels, and convolutions see a view."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def convolve(convolution: nn.Module, features: Float[Tensor, "B H W F"]) -> Float[Tensor, "B h w O"]:
    """Apply a convolution to features whose channels come last."""
    result: Tensor = convolution(features.permute(0, 3, 1, 2))
    return result.permute(0, 2, 3, 1)


@final
class PatchEmbedding(nn.Module):
    """Halves, or quarters, the resolution by a convolution whose windows overlap.

    Its padding is all that the network ever learns of where a pixel lies; there are no places to interpolate.

    Args:
        in_channels: Channels that come in.
        channels: Channels going out.
        stride: What the sides are divided by; windows are about twice as wide.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, channels, 2 * stride - 1, stride, padding=stride - 1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Float[Tensor, "B H W I"]) -> Float[Tensor, "B h w O"]:
        """Return the coarser features."""
        coarser: Tensor = self.norm(convolve(self.embed, features))
        return coarser


@final
class PatchExpansion(nn.Module):
    """Multiplies the resolution: a linear layer writes the finer pixels of each pixel, which are then laid out.

    Args:
        in_channels: Channels that come in.
        channels: Channels going out.
        factor: What the sides are multiplied by.
    """

    def __init__(self, in_channels: int, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(in_channels, factor**2 * channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Float[Tensor, "B h w I"]) -> Float[Tensor, "B H W O"]:
        """Return the finer features."""
        squares = self.expand(features).unflatten(3, (self.factor, self.factor, -1))
        finer: Tensor = self.norm(squares.transpose(2, 3).flatten(3, 4).flatten(1, 2))
        return finer


@final
class EfficientAttention(nn.Module):
    """Lets each pixel look at all pixels of a coarser copy of the features.

    "Efficient self-attention" (Wang et al., PVT, ICCV 2021, arXiv:2102.12122): keys and values are taken at ``1 /
    reduction`` of the resolution, which makes the attention smaller by the square of it.

    Args:
        channels: Channels of the features.
        heads: Number of heads, which divides ``channels``.
        reduction: Side of the squares that one key and value stand for.
    """

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(channels, channels)
        self.to_keys_and_values = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        self.reduce = nn.Conv2d(channels, channels, reduction, stride=reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels) if reduction > 1 else None

    def forward(self, features: Float[Tensor, "B H W F"]) -> Float[Tensor, "B H W F"]:
        """Return what each pixel found."""
        seen = features
        if self.reduce is not None and self.norm is not None:
            seen = self.norm(convolve(self.reduce, features))
        queries, memory = self.to_queries(features).flatten(1, 2), self.to_keys_and_values(seen).flatten(1, 2)
        keys, values = memory.chunk(2, dim=2)
        found = attend(queries, keys, values, self.heads)
        answer: Tensor = self.project(found).view_as(features)
        return answer


@final
class MixPerceptron(nn.Module):
    """Two layers with a 3x3 convolution of each channel in between, added to what it convolves and normalised.

    "Enhanced Mix-FFN" of MISSFormer (arXiv:2109.07162, section III-B): the sum keeps what single pixels say beside
    what their surroundings do.

    Args:
        channels: Channels that come in and go out.
        expansion: How many times wider the hidden layer is.
    """

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * channels
        self.widen = nn.Linear(channels, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.narrow = nn.Linear(hidden, channels)

    def forward(self, features: Float[Tensor, "B H W F"]) -> Float[Tensor, "B H W F"]:
        """Return the features to add."""
        wide = self.widen(features)
        thought: Tensor = self.narrow(functional.gelu(self.norm(wide + convolve(self.mix, wide))))
        return thought


@final
class TransformerBlock(nn.Module):
    """Attention and perceptron, each added to the features whose normalisation it sees.

    Args:
        channels: See :class:`EfficientAttention`.
        heads: See :class:`EfficientAttention`.
        reduction: See :class:`EfficientAttention`.
        expansion: See :class:`MixPerceptron`.
    """

    def __init__(self, channels: int, heads: int, reduction: int, expansion: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = EfficientAttention(channels, heads, reduction)
        self.perceptron_norm = nn.LayerNorm(channels)
        self.perceptron = MixPerceptron(channels, expansion)

    def forward(self, features: Float[Tensor, "B H W F"]) -> Float[Tensor, "B H W F"]:
        """Return the rewritten features."""
        features = features + self.attention(self.attention_norm(features))
        rewritten: Tensor = features + self.perceptron(self.perceptron_norm(features))
        return rewritten


def attend(
    queries: Float[Tensor, "B N F"], keys: Float[Tensor, "B M F"], values: Float[Tensor, "B M F"], heads: int
) -> Float[Tensor, "B N F"]:
    """Return softmax attention by heads; PyTorch's kernel never holds the N by M matrix."""
    queries, keys, values = (tokens.unflatten(2, (heads, -1)).transpose(1, 2) for tokens in (queries, keys, values))
    return functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
