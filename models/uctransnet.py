"""UCTransNet."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks import DoubleConv, normalisation
from models.channel_transformer import ChannelTransformer
from models.network import SegmentationNetwork


@final
class ChannelGate(nn.Module):
    """Tells which channels of a skip connection to take, from the means of the skip and of the decoder's features.

    "CCA" of UCTransNet (arXiv:2109.04335, section 3.3). It returns the gate and not the gated skip, so that a forward
    hook on it sees what the network attends to.

    Args:
        channels: Channels of the skip, and of the decoder's features at the same resolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_skip = nn.Linear(channels, channels)
        self.from_decoder = nn.Linear(channels, channels)

    def forward(self, skip: Float[Tensor, "B F H W"], decoder: Float[Tensor, "B F H W"]) -> Float[Tensor, "B F 1 1"]:
        """Return the gate, in (0, 1)."""
        asked: Tensor = self.from_skip(skip.mean(dim=(2, 3))) + self.from_decoder(decoder.mean(dim=(2, 3)))
        return (asked / 2).sigmoid()[:, :, None, None]


@final
class ChannelUpBlock(nn.Module):
    """One step of the decoder: enlarge, gate the skip by what was enlarged, put both side by side, convolve twice."""

    def __init__(self, in_channels: int, channels: int, norm: str) -> None:
        super().__init__()
        self.enlarge = nn.Upsample(scale_factor=2)
        self.gate = ChannelGate(in_channels)
        self.convolve = DoubleConv(2 * in_channels, channels, norm, bias=True)

    def forward(self, below: Float[Tensor, "B F h w"], skip: Float[Tensor, "B F H W"]) -> Float[Tensor, "B O H W"]:
        """Return the decoder's features at the skip's resolution."""
        enlarged: Tensor = self.enlarge(below)
        gated = skip * self.gate(skip, enlarged)
        features: Tensor = self.convolve(torch.cat([gated, enlarged], dim=1))
        return features


@final
class UCTransNet(SegmentationNetwork):
    """U-Net whose skip connections exchange channels before the decoder sees them.

    Wang et al., AAAI 2022, arXiv:2109.04335. A transformer over the channels of all skips stands between encoder and
    decoder, and a gate over channels in every step of the decoder. With 1 channel in and 55 logits out it has
    66 490 615 parameters.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        width: Channels of the finest level; every coarser level has twice as many, and the coarsest, below the skip
            connections, as many as the one above it.
        depth: Number of levels; the sides are halved ``depth - 1`` times, and a patch is one pixel of the coarsest.
        layers: Layers of the transformer.
        heads: Heads of its attention.
        positions: Patches a side that place embeddings are learned for, which is the image's side divided by 2 to the
            power of ``depth - 1``; for other sizes they are interpolated.
        norm: ``batch``, ``instance`` or ``group``, of the convolutions.
        dropout: Probability that an entry of the transformer's tokens or attention is dropped in train mode, in [0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        depth: int = 5,
        layers: int = 4,
        heads: int = 4,
        positions: int = 16,
        norm: str = "batch",
        dropout: float = 0.1,
    ) -> None:
        for key, value in {"width": width, "layers": layers, "heads": heads, "positions": positions}.items():
            if value < 1:
                raise ValueError(f"model.{key}={value}: must be 1 or more")
        if depth < 2:
            raise ValueError(f"model.depth={depth}: must be 2 or more levels")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout}: must lie in [0, 1)")
        super().__init__(divisor=2 ** (depth - 1))
        widths = [width * 2**level for level in range(depth - 1)]
        convolution = nn.Conv2d(in_channels, width, 3, padding=1)
        self.begin = nn.Sequential(convolution, normalisation(norm, width), nn.ReLU(inplace=True))
        below = [*widths[1:], widths[-1]]
        self.encoder = nn.ModuleList(DoubleConv(i, o, norm, bias=True) for i, o in zip(widths, below, strict=True))
        self.halve = nn.MaxPool2d(2)
        self.exchange = ChannelTransformer(widths, layers, heads, positions, norm, dropout)
        above = [width, *widths[:-1]]
        steps = [ChannelUpBlock(i, o, norm) for i, o in zip(widths, above, strict=True)]
        self.decoder = nn.ModuleList(reversed(steps))
        self.to_logits = nn.Conv2d(width, out_channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return logits (B, K, H, W)."""
        skips = [self.begin(image)]
        for block in self.encoder:
            skips.append(block(self.halve(skips[-1])))
        features = skips.pop()
        skips = self.exchange(skips)
        for step in self.decoder:
            features = step(features, skips.pop())
        logits: Tensor = self.to_logits(features)
        return logits
