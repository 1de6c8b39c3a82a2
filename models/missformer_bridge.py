"""MISSFormer's bridge: one sequence of the features of all stages, which attends to itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.missformer_blocks import MixPerceptron, attend, convolve


@final
class BridgeAttention(nn.Module):
    """Lets every token of every stage look at all stages, each reduced to the coarsest resolution.

    Args:
        channels: Channels of a token.
        multiples: Tokens in a pixel of each stage, finest first.
    """

    def __init__(self, channels: int, multiples: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        self.to_queries = nn.Linear(channels, channels)
        self.to_keys_and_values = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        widths = [channels * multiple for multiple in multiples[:-1]]
        reductions = [2 ** (len(widths) - stage) for stage in range(len(widths))]
        self.reduce = nn.ModuleList(nn.Conv2d(w, w, r, stride=r) for w, r in zip(widths, reductions, strict=True))
        self.norm = nn.LayerNorm(channels)

    def forward(self, stages: list[Tensor]) -> Float[Tensor, "B N F"]:
        """Return what each token of the stages, (B, H, W, F times the multiple), found."""
        reduced = [convolve(reduce, stage) for reduce, stage in zip(self.reduce, stages[:-1], strict=True)]
        seen = self.norm(join([*reduced, stages[-1]], self.channels))
        keys, values = self.to_keys_and_values(seen).chunk(2, dim=2)
        found = attend(self.to_queries(join(stages, self.channels)), keys, values, heads=1)
        answer: Tensor = self.project(found)
        return answer


@final
class BridgeLayer(nn.Module):
    """Attention over all stages, then a perceptron for each of them by itself.

    Args:
        channels: See :class:`BridgeAttention`.
        multiples: See :class:`BridgeAttention`.
        expansion: See :class:`MixPerceptron`.
    """

    def __init__(self, channels: int, multiples: Sequence[int], expansion: int) -> None:
        super().__init__()
        self.channels = channels
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = BridgeAttention(channels, multiples)
        self.perceptron_norm = nn.LayerNorm(channels)
        self.perceptrons = nn.ModuleList(MixPerceptron(channels * multiple, expansion) for multiple in multiples)

    def forward(self, tokens: Float[Tensor, "B N F"], shapes: Sequence[torch.Size]) -> Float[Tensor, "B N F"]:
        """Return the rewritten tokens.

        Args:
            tokens: The stages one after the other.
            shapes: Shapes of the stages, (B, H, W, F times the multiple).
        """
        tokens = tokens + self.attention(part(self.attention_norm(tokens), shapes))
        stages = part(self.perceptron_norm(tokens), shapes)
        thoughts = [think(stage) for think, stage in zip(self.perceptrons, stages, strict=True)]
        return tokens + join(thoughts, self.channels)


@final
class ContextBridge(nn.Module):
    """Correlates the features of all stages before the decoder sees them.

    "Enhanced transformer context bridge" of MISSFormer (arXiv:2109.07162, section III-C). A pixel of a stage with m
    times the channels of a token is m tokens, so that one sequence holds all of them.

    Args:
        channels: See :class:`BridgeAttention`.
        multiples: See :class:`BridgeAttention`.
        layers: Number of layers.
        expansion: See :class:`MixPerceptron`.
    """

    def __init__(self, channels: int, multiples: Sequence[int], layers: int, expansion: int) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.ModuleList(BridgeLayer(channels, multiples, expansion) for _ in range(layers))

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Return the stages, (B, H, W, F times the multiple) as they came."""
        shapes = [stage.shape for stage in stages]
        tokens = join(stages, self.channels)
        for layer in self.layers:
            tokens = layer(tokens, shapes)
        return part(tokens, shapes)


def join(stages: Sequence[Tensor], channels: int) -> Float[Tensor, "B N F"]:
    """Return features of several stages as one sequence of tokens."""
    return torch.cat([stage.reshape(stage.shape[0], -1, channels) for stage in stages], dim=1)


def part(tokens: Float[Tensor, "B N F"], shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return the stages that a sequence was joined from."""
    counts = [shape[1:].numel() // tokens.shape[2] for shape in shapes]
    return [piece.reshape(shape) for piece, shape in zip(tokens.split(counts, dim=1), shapes, strict=True)]
