"""From the tokens of a plain vision transformer to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class TokenDecoder(nn.Module, ABC):
    """Takes the tokens of several blocks as images, all at one resolution, the first block's first."""

    outputs: ClassVar[str]
    """Where the layer lies that logits come from."""

    @staticmethod
    @abstractmethod
    def choose(stages: Sequence[int]) -> Sequence[int]:
        """Return which of all blocks it wants."""

    @abstractmethod
    def forward(self, tokens: Sequence[Float[Tensor, "B E h w"]]) -> Tensor:
        """Return logits at some resolution above that of the tokens."""


def conv_norm_relu(in_channels: int, channels: int) -> nn.Sequential:
    """3x3 convolution, batch normalisation and ReLU; sizes stay."""
    layers = (nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


@final
class TokenUpBlock(nn.Module):
    """One step up: double the tokens' resolution, put those of an earlier block beside them, convolve."""

    def __init__(self, in_channels: int, channels: int, embedding: int, last: bool) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.from_skip = conv_norm_relu(embedding, channels)
        merge = conv_norm_relu(2 * channels, channels)
        self.merge = merge[0] if last else merge

    def forward(self, below: Float[Tensor, "B I h w"], skip: Float[Tensor, "B E t u"]) -> Tensor:
        """Return features at twice the resolution of what comes from below."""
        enlarged: Tensor = self.enlarge(below)
        beside = F.interpolate(self.from_skip(skip), size=enlarged.shape[2:], mode="bilinear", align_corners=True)
        features: Tensor = self.merge(torch.cat([enlarged, beside], dim=1))
        return features


@final
class UNetTokenDecoder(TokenDecoder):
    """The U-Net-type decoder over the last five blocks (Baharoon et al. 2024, arXiv:2312.02366).

    Four steps double the resolution and end at a sixteenth of a token, with as many channels as there are logits. There
    the reference normalises and rectifies once more, which lets no logit be negative; here the last convolution gives
    the logits.

    Args:
        embedding: Channels of the tokens.
        out_channels: Logits per pixel.
        width: Channels after the first step, which the next two halve; None for half of the tokens'.
    """

    outputs = "steps.3.merge"

    def __init__(self, embedding: int, out_channels: int, width: int | None = None) -> None:
        super().__init__()
        width = width or embedding // 2
        widths = [embedding, width, width // 2, width // 4, out_channels]
        self.steps = nn.ModuleList(
            TokenUpBlock(widths[step], widths[step + 1], embedding, last=step == 3) for step in range(4)
        )

    @staticmethod
    def choose(stages: Sequence[int]) -> Sequence[int]:
        """The last five."""
        if len(stages) < 5:
            raise ValueError(f"model.decoder=unet: needs five blocks; the backbone has {len(stages)}")
        return stages[-5:]

    def forward(self, tokens: Sequence[Float[Tensor, "B E h w"]]) -> Tensor:
        """Return logits at 16 pixels a side of each token."""
        levels: list[Tensor] = [tokens[-1]]
        for step, skip in zip(self.steps, tokens[-2::-1], strict=True):
            levels.append(step(levels[-1], skip))
        return levels[-1]


@final
class ResidualUnit(nn.Module):
    """Two 3x3 convolutions beside the identity, each after a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        layers += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Float[Tensor, "B F h w"]) -> Float[Tensor, "B F h w"]:
        """Return features of the same shape."""
        refined: Tensor = features + self.layers(features)
        return refined


@final
class DPTTokenDecoder(TokenDecoder):
    """The decoder of dense prediction transformers (Ranftl et al., ICCV 2021, arXiv:2103.13413).

    Tokens of four blocks, evenly spread, are brought to 4, 2, 1 and 1/2 times their resolution and merged from coarse
    to fine, each through two residual units. Logits come out at 8 pixels a side of each token.

    Args:
        embedding: Channels of the tokens.
        out_channels: Logits per pixel.
        width: Channels of the decoder; None for the paper's 256.
    """

    outputs = "head.1"

    def __init__(self, embedding: int, out_channels: int, width: int | None = None) -> None:
        super().__init__()
        width = width or 256
        channels = [width // 4, width // 2, width, width]
        resize = [
            nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
            nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
            nn.Identity(),
            nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
        ]
        self.reassemble = nn.ModuleList(
            nn.Sequential(nn.Conv2d(embedding, o, 1), layer, nn.Conv2d(o, width, 3, padding=1, bias=False))
            for o, layer in zip(channels, resize, strict=True)
        )
        self.before = nn.ModuleList(ResidualUnit(width) for _ in range(3))
        self.after = nn.ModuleList(ResidualUnit(width) for _ in range(4))
        self.project = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(4))
        self.head = nn.Sequential(conv_norm_relu(width, width), nn.Conv2d(width, out_channels, 1))

    @staticmethod
    def choose(stages: Sequence[int]) -> Sequence[int]:
        """Four, evenly spread and the last among them."""
        if len(stages) < 4:
            raise ValueError(f"model.decoder=dpt: needs four blocks; the backbone has {len(stages)}")
        return [stages[len(stages) * quarter // 4 - 1] for quarter in (1, 2, 3, 4)]

    def forward(self, tokens: Sequence[Float[Tensor, "B E h w"]]) -> Tensor:
        """Return logits at 8 pixels a side of each token."""
        levels = [layer(one) for layer, one in zip(self.reassemble, tokens, strict=True)]
        features = levels.pop()
        for step in range(4):
            refined = self.after[step](features)
            size = levels[-1].shape[2:] if levels else [2 * side for side in refined.shape[2:]]
            features = self.project[step](F.interpolate(refined, size=size, mode="bilinear", align_corners=True))
            if levels:
                features = features + self.before[step](levels.pop())
        logits: Tensor = self.head(features)
        return logits
