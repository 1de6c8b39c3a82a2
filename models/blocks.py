"""Pieces that several networks are made of."""

from __future__ import annotations

from math import gcd
from typing import final

from torch import nn

GROUPS = 8


def normalisation(kind: str, channels: int) -> nn.Module:
    """Return the layer that brings activations to mean 0 and deviation 1.

    Args:
        kind: ``batch`` (Ioffe and Szegedy 2015), ``instance`` (per image and channel) or ``group`` (per image and up to
            ``GROUPS`` groups of channels, Wu and He 2018).
        channels: How many channels it sees.

    Raises:
        ValueError: If ``kind`` is none of these.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "group":
        return nn.GroupNorm(gcd(GROUPS, channels), channels)
    raise ValueError(f"model.norm={kind!r}: choose one of batch, instance, group")


@final
class DoubleConv(nn.Sequential):
    """Two times 3x3 convolution, normalisation and ReLU; sizes stay.

    Args:
        in_channels: Channels that come in.
        channels: Channels in between and going out.
        norm: See :func:`normalisation`.
        bias: Whether the convolutions have a bias. The normalisation takes it away again; it is there for networks
            whose known parameter count includes it.
    """

    def __init__(self, in_channels: int, channels: int, norm: str, bias: bool = False) -> None:
        layers: list[nn.Module] = []
        for before in (in_channels, channels):
            convolution = nn.Conv2d(before, channels, 3, padding=1, bias=bias)
            layers += [convolution, normalisation(norm, channels), nn.ReLU(inplace=True)]
        super().__init__(*layers)
