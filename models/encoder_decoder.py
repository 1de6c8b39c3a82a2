"""The frame of U-shaped networks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks import DoubleConv
from models.network import SegmentationNetwork


class EncoderDecoder(SegmentationNetwork, ABC):
    """Halves an image level by level, then goes back up past what it saw on the way; a subclass says how it goes up.

    Weights lie in channels-last order and activations follow them: on a CPU that takes about a quarter off the time of
    a step, and on a GPU the half-precision kernels want it.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        width: Channels of the finest level; every coarser level has twice as many.
        depth: Number of levels; the sides are halved ``depth - 1`` times.
        norm: ``batch``, ``instance`` or ``group``.
        bias: Whether the encoder's convolutions have a bias.
        dropout: Probability that a channel of the coarsest level is dropped in train mode, in [0, 1).
        deep_supervision: Return logits of every decoder level in train mode.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        depth: int,
        norm: str,
        bias: bool,
        dropout: float,
        deep_supervision: bool,
    ) -> None:
        if width < 1:
            raise ValueError(f"model.width={width}: must be 1 or more")
        if depth < 2:
            raise ValueError(f"model.depth={depth}: must be 2 or more levels")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout}: must lie in [0, 1)")
        super().__init__(2 ** (depth - 1), deep_supervision)
        widths = [width * 2**level for level in range(depth)]
        before = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(DoubleConv(i, o, norm, bias) for i, o in zip(before, widths, strict=True))
        self.halve = nn.MaxPool2d(2)
        self.drop = nn.Dropout2d(dropout)
        upwards = reversed(range(depth - 1))
        self.decoder = nn.ModuleList(self.up_block(widths[level + 1], widths[level], norm) for level in upwards)
        supervised = widths[:-1] if deep_supervision else widths[:1]
        self.to_logits = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in supervised)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @staticmethod
    @abstractmethod
    def up_block(in_channels: int, channels: int, norm: str) -> nn.Module:
        """Return a step of the decoder, called as ``step(below, skip)``; features come out in the skip's shape."""

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return logits, as :class:`SegmentationNetwork` says."""
        skips = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            skips.append(block(self.halve(skips[-1])))
        features = [self.drop(skips.pop())]
        for step in self.decoder:
            features.append(step(features[-1], skips.pop()))
        finest_first = features[:0:-1]
        if self.training and self.deep_supervision:
            return [layer(level) for layer, level in zip(self.to_logits, finest_first, strict=True)]
        logits: Tensor = self.to_logits[0](finest_first[0])
        return logits
