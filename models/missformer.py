"""MISSFormer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.missformer_blocks import PatchEmbedding, PatchExpansion, TransformerBlock
from models.missformer_bridge import ContextBridge
from models.network import SegmentationNetwork

PATCH = 4
"""Side of the patches that the image is cut into; the logits are written at it again."""


@final
class Stage(nn.Module):
    """One step down: coarser features, rewritten by transformer blocks."""

    def __init__(self, in_channels: int, channels: int, stride: int, blocks: list[TransformerBlock]) -> None:
        super().__init__()
        self.embed = PatchEmbedding(in_channels, channels, stride)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Float[Tensor, "B H W I"]) -> Float[Tensor, "B h w O"]:
        """Return the features of this stage."""
        result: Tensor = self.norm(self.blocks(self.embed(features)))
        return result


@final
class UpStage(nn.Module):
    """One step up: finer features and the bridge's beside them, brought to the stage's width, rewritten by blocks."""

    def __init__(self, in_channels: int, channels: int, blocks: list[TransformerBlock]) -> None:
        super().__init__()
        self.expand = PatchExpansion(in_channels, in_channels // 2, 2)
        self.fuse = nn.Linear(in_channels // 2 + channels, channels)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, below: Float[Tensor, "B h w I"], skip: Float[Tensor, "B H W O"]) -> Float[Tensor, "B H W O"]:
        """Return the decoder's features at the skip's resolution."""
        features: Tensor = self.blocks(self.fuse(torch.cat([self.expand(below), skip], dim=3)))
        return features


@final
class MISSFormer(SegmentationNetwork):
    """U-shaped transformer with a bridge between all stages (Huang et al., IEEE TMI 2022, arXiv:2109.07162).

    It takes any image that its stages divide: nothing depends on the size. With 1 channel in and 55 logits out it has
    35 449 463 parameters. The authors' code has 42.46 M, of which 7.01 M are built and never used (two norms of each
    perceptron, and the blocks of a decoder stage that only enlarges); ``docs/models.md`` counts them.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        width: Channels of the finest stage, of a head, and of a token of the bridge; even.
        multiples: Channels of each stage as multiples of ``width``, and its number of heads; finest first.
        blocks: Transformer blocks of a stage, down and up.
        bridge_layers: Layers of the bridge.
        expansion: How many times wider the hidden layer of a perceptron is.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        multiples: Sequence[int] = (1, 2, 5, 8),
        blocks: int = 2,
        bridge_layers: int = 4,
        expansion: int = 4,
    ) -> None:
        for key, value in {"blocks": blocks, "bridge_layers": bridge_layers, "expansion": expansion}.items():
            if value < 1:
                raise ValueError(f"model.{key}={value}: must be 1 or more")
        if width < 2 or width % 2:
            raise ValueError(f"model.width={width}: must be an even number, 2 or more")
        if len(multiples) < 2 or min(multiples) < 1:
            raise ValueError(f"model.multiples={list(multiples)}: must be 2 or more numbers of 1 or more")
        stages = len(multiples)
        super().__init__(divisor=PATCH * 2 ** (stages - 1))
        widths = [width * multiple for multiple in multiples]

        def stack(stage: int) -> list[TransformerBlock]:
            reduction = 2 ** (stages - 1 - stage)
            return [TransformerBlock(widths[stage], multiples[stage], reduction, expansion) for _ in range(blocks)]

        befores, strides = [in_channels, *widths[:-1]], [PATCH] + [2] * (stages - 1)
        self.encoder = nn.ModuleList(
            Stage(before, widths[i], stride, stack(i))
            for i, (before, stride) in enumerate(zip(befores, strides, strict=True))
        )
        self.bridge = ContextBridge(width, multiples, bridge_layers, expansion)
        upwards = reversed(range(stages - 1))
        self.decoder = nn.ModuleList(UpStage(widths[i + 1], widths[i], stack(i)) for i in upwards)
        self.expand = PatchExpansion(widths[0], widths[0], PATCH)
        self.to_logits = nn.Conv2d(widths[0], out_channels, 1)
        for module in (*self.decoder.modules(), *self.expand.modules(), self.to_logits):
            _glorot(module)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return logits (B, K, H, W)."""
        features = image.permute(0, 2, 3, 1)
        stages: list[Tensor] = []
        for stage in self.encoder:
            features = stage(features)
            stages.append(features)
        stages = self.bridge(stages)
        features = stages.pop()
        for step in self.decoder:
            features = step(features, stages.pop())
        logits: Tensor = self.to_logits(self.expand(features).permute(0, 3, 1, 2))
        return logits


def _glorot(module: nn.Module) -> None:
    """Start a layer of the decoder as the authors do (Glorot and Bengio 2010)."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
