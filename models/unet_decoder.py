"""The decoder of a U-Net over any pyramid of features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from models.blocks import DoubleConv
from models.unet import UpBlock


@final
class PyramidDecoder(nn.Module):
    """Goes up from the coarsest features past the finer ones, to the full resolution of the image.

    Encoders begin by shortening the sides to a quarter; what is finer than their first features, the decoder takes from
    the image itself, by two convolutions a level. Each level of the pyramid is brought to the decoder's width by a 1x1
    convolution.

    Args:
        in_channels: Channels of the image.
        pyramid: Channels of the encoder's levels, the finest first; each has half the resolution of the one before.
        finer: How many times the sides of the image are halved before the first of them.
        width: Channels at full resolution; every coarser level has twice as many.
        norm: See :func:`models.blocks.normalisation`.
    """

    def __init__(self, in_channels: int, pyramid: Sequence[int], finer: int, width: int, norm: str) -> None:
        super().__init__()
        self.widths = [width * 2**level for level in range(finer + len(pyramid) - 1)]
        before = pairwise([in_channels, *self.widths[:finer]])
        self.detail = nn.ModuleList(DoubleConv(i, o, norm) for i, o in before)
        self.halve = nn.MaxPool2d(2)
        lateral = zip(pyramid[:-1], self.widths[finer:], strict=True)
        self.lateral = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in lateral)
        coarsest_first = pairwise([*self.widths, pyramid[-1]][::-1])
        self.upwards = nn.ModuleList(UpBlock(i, o, norm) for i, o in coarsest_first)

    def forward(self, image: Float[Tensor, "B I H W"], pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Return the decoder's features at every level, the finest and that of the image first."""
        skips: list[Tensor] = []
        for block in self.detail:
            skips.append(block(self.halve(skips[-1]) if skips else image))
        skips += [layer(level) for layer, level in zip(self.lateral, pyramid[:-1], strict=True)]
        features = [pyramid[-1]]
        for step in self.upwards:
            features.append(step(features[-1], skips.pop()))
        return features[:0:-1]
