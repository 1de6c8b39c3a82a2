"""The channel transformer of UCTransNet: every skip connection is rewritten by what all of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import normalisation

EPSILON = 1e-6
EXPANSION = 4
"""How many times wider than a level its perceptron is."""


@final
class PatchTokens(nn.Module):
    """Cuts the features of a level into patches, one token each, and adds to each what its place has learned.

    Args:
        channels: Channels of the level, kept.
        patch: Side of a patch, in pixels of the level.
        positions: Patches a side that places are learned for; a finer or coarser grid is interpolated linearly.
        dropout: Probability that an entry of a token is dropped in train mode.
    """

    def __init__(self, channels: int, patch: int, positions: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, channels, patch, stride=patch)
        self.positions = nn.Parameter(torch.zeros(1, channels, positions, positions))
        self.drop = nn.Dropout(dropout)

    def forward(self, features: Float[Tensor, "B F H W"]) -> Float[Tensor, "B N F"]:
        """Return the tokens, row by row."""
        patches: Tensor = self.embed(features)
        places: Tensor = self.positions
        grid = patches.shape[2:]
        if places.shape[2:] != grid:
            places = functional.interpolate(places, grid, mode="bilinear")
        tokens: Tensor = self.drop((patches + places).flatten(2).transpose(1, 2))
        return tokens


@final
class ChannelAttention(nn.Module):
    """Lets each channel of one level look at the channels of all levels.

    A channel is described by its values over the N patches, so the attention is a matrix of channels by channels whose
    size does not depend on the image. Raw similarities of channels differ widely from image to image; instance
    normalisation of each matrix lets gradients through the softmax (arXiv:2109.04335, section 3.2). It stands between
    product and softmax, which is why PyTorch's fused attention cannot be used.

    Args:
        channels: Channels of the level that asks.
        heads: Number of independent matrices, whose answers are averaged.
        dropout: Probability that an entry of the attention, or of the answer, is dropped in train mode.
    """

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(channels, heads * channels, bias=False)
        self.project = nn.Linear(channels, channels, bias=False)
        self.drop = nn.Dropout(dropout)

    def attention(self, queries: Float[Tensor, "B A F N"], keys: Float[Tensor, "B A K N"]) -> Float[Tensor, "B A F K"]:
        """Return for each head how much of each channel of all levels goes into a channel of this one."""
        similarity = queries @ keys.transpose(2, 3) / sqrt(keys.shape[2])
        return functional.instance_norm(similarity).softmax(dim=3)

    def forward(
        self, tokens: Float[Tensor, "B N F"], keys: Float[Tensor, "B A K N"], values: Float[Tensor, "B A K N"]
    ) -> Float[Tensor, "B N F"]:
        """Return what each channel found."""
        queries = split_heads(self.to_queries(tokens), self.heads)
        found = self.drop(self.attention(queries, keys)) @ values
        answer: Tensor = self.drop(self.project(found.mean(dim=1).transpose(1, 2)))
        return answer


@final
class ChannelLayer(nn.Module):
    """One layer: every level asks all levels, then thinks about the answer by itself.

    Args:
        widths: Channels of the levels.
        heads: See :class:`ChannelAttention`.
        dropout: See :class:`ChannelAttention`.
    """

    def __init__(self, widths: Sequence[int], heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        joined = sum(widths)
        self.norms = nn.ModuleList(nn.LayerNorm(width, EPSILON) for width in widths)
        self.joined_norm = nn.LayerNorm(joined, EPSILON)
        self.to_keys = nn.Linear(joined, heads * joined, bias=False)
        self.to_values = nn.Linear(joined, heads * joined, bias=False)
        self.attentions = nn.ModuleList(ChannelAttention(width, heads, dropout) for width in widths)
        self.perceptrons = nn.ModuleList(_perceptron(width) for width in widths)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the rewritten tokens of each level, (B, N, F) as they came."""
        joined = self.joined_norm(torch.cat(levels, dim=2))
        keys, values = split_heads(self.to_keys(joined), self.heads), split_heads(self.to_values(joined), self.heads)
        answers = [
            attend(norm(tokens), keys, values)
            for attend, norm, tokens in zip(self.attentions, self.norms, levels, strict=True)
        ]
        levels = [tokens + answer for tokens, answer in zip(levels, answers, strict=True)]
        return [tokens + think(tokens) for tokens, think in zip(levels, self.perceptrons, strict=True)]


@final
class Reconstruction(nn.Sequential):
    """Turns a level's tokens, laid out as an image, back to its resolution.

    A 1x1 convolution and a normalisation before a nearest upsampling give what they give after it, for as many times
    less work as a patch has pixels.
    """

    def __init__(self, channels: int, patch: int, norm: str) -> None:
        convolution = nn.Conv2d(channels, channels, 1)
        super().__init__(convolution, normalisation(norm, channels), nn.ReLU(), nn.Upsample(scale_factor=patch))


@final
class ChannelTransformer(nn.Module):
    """Adds to every skip connection of a U-Net what its channels found in the channels of all of them.

    "CCT" of UCTransNet (Wang et al., AAAI 2022, arXiv:2109.04335). Levels differ in resolution, and are cut into
    patches such that all have the same number of tokens.

    Args:
        widths: Channels of the skip connections, finest first; each has half the resolution of the one before.
        layers: Number of layers.
        heads: See :class:`ChannelAttention`.
        positions: See :class:`PatchTokens`.
        norm: See :func:`models.blocks.normalisation`.
        dropout: See :class:`PatchTokens` and :class:`ChannelAttention`.
    """

    def __init__(
        self, widths: Sequence[int], layers: int, heads: int, positions: int, norm: str, dropout: float
    ) -> None:
        super().__init__()
        patches = [2 ** (len(widths) - level) for level in range(len(widths))]
        levels = list(zip(widths, patches, strict=True))
        self.to_tokens = nn.ModuleList(PatchTokens(width, patch, positions, dropout) for width, patch in levels)
        self.layers = nn.ModuleList(ChannelLayer(widths, heads, dropout) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width, EPSILON) for width in widths)
        self.reconstruct = nn.ModuleList(Reconstruction(width, patch, norm) for width, patch in levels)

    def forward(self, skips: list[Tensor]) -> list[Tensor]:
        """Return the skip connections, (B, F, H, W) each, with what was found added."""
        levels = [cut(skip) for cut, skip in zip(self.to_tokens, skips, strict=True)]
        for layer in self.layers:
            levels = layer(levels)
        rows = skips[-1].shape[2] // 2  # the coarsest skip has patches of 2 x 2
        grids = [
            norm(tokens).transpose(1, 2).unflatten(2, (rows, -1))
            for norm, tokens in zip(self.norms, levels, strict=True)
        ]
        return [skip + build(grid) for skip, build, grid in zip(skips, self.reconstruct, grids, strict=True)]


def split_heads(tokens: Float[Tensor, "B N AF"], heads: int) -> Float[Tensor, "B A F N"]:
    """Return the channels of each head, each with its values over the tokens."""
    return tokens.unflatten(2, (heads, -1)).permute(0, 2, 3, 1)


def _perceptron(channels: int) -> nn.Sequential:
    """Return normalisation and two layers, started as the authors do (Glorot and Bengio 2010)."""
    hidden = EXPANSION * channels
    first, second = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
    for layer in (first, second):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.LayerNorm(channels, EPSILON), first, nn.GELU(), second)
