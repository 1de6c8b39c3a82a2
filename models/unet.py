"""U-Net."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks import DoubleConv
from models.encoder_decoder import EncoderDecoder


@final
class UpBlock(nn.Module):
    """One step of the decoder: double the size of what comes from below, put the skip beside it, convolve twice.

    Channels are halved by a 1x1 convolution *before* a nearest upsampling. A 2x2 transposed convolution differs in
    having one such matrix for each pixel of the 2x2 square; a 3x3 convolution after the upsampling costs 36 times as
    much. Both are slower, and the convolutions that follow can do the same.
    """

    def __init__(self, in_channels: int, channels: int, norm: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, channels, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.convolve = DoubleConv(2 * channels, channels, norm)

    def forward(self, below: Float[Tensor, "B I h w"], skip: Float[Tensor, "B O H W"]) -> Float[Tensor, "B O H W"]:
        """Return the decoder's features at the skip's resolution."""
        enlarged: Tensor = self.enlarge(self.reduce(below))
        features: Tensor = self.convolve(torch.cat([skip, enlarged], dim=1))
        return features


@final
class UNet(EncoderDecoder):
    """U-Net of any width and depth (Ronneberger, Fischer and Brox, MICCAI 2015, arXiv:1505.04597).

    Convolutions are padded, so that logits and image have the same size, and followed by a normalisation.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        width: Channels of the finest level; every coarser level has twice as many.
        depth: Number of levels; the sides are halved ``depth - 1`` times.
        norm: ``batch``, ``instance`` or ``group``.
        dropout: Probability that a channel of the coarsest level is dropped in train mode, in [0, 1).
        deep_supervision: Return logits of every decoder level in train mode.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        depth: int = 5,
        norm: str = "batch",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, width, depth, norm, False, dropout, deep_supervision)

    @staticmethod
    def up_block(in_channels: int, channels: int, norm: str) -> UpBlock:
        """A plain step."""
        return UpBlock(in_channels, channels, norm)
