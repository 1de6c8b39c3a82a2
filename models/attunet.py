"""Attention U-Net."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks import DoubleConv, normalisation
from models.encoder_decoder import EncoderDecoder


@final
class AttentionGate(nn.Module):
    """Tells where in a skip connection to look, from the skip and from the decoder's features that ask for it.

    Additive attention (Oktay et al., MIDL 2018, arXiv:1804.03999): both are mapped to half as many features, added, and
    mapped to one number a pixel. The gate returns the map and not the gated skip, so that a forward hook on it sees
    what the network attends to.

    Args:
        channels: Channels of the skip, and of the decoder's features at the same resolution.
        norm: See :func:`models.blocks.normalisation`.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.from_skip = nn.Sequential(nn.Conv2d(channels, inner, 1), normalisation(norm, inner))
        self.from_decoder = nn.Sequential(nn.Conv2d(channels, inner, 1), normalisation(norm, inner))
        self.to_attention = nn.Sequential(nn.Conv2d(inner, 1, 1), normalisation(norm, 1), nn.Sigmoid())

    def forward(self, skip: Float[Tensor, "B O H W"], decoder: Float[Tensor, "B O H W"]) -> Float[Tensor, "B 1 H W"]:
        """Return the attention, in (0, 1)."""
        attention: Tensor = self.to_attention(torch.relu(self.from_skip(skip) + self.from_decoder(decoder)))
        return attention


@final
class AttentionUpBlock(nn.Module):
    """One step of the decoder: enlarge, gate the skip by what was enlarged, put both side by side, convolve twice."""

    def __init__(self, in_channels: int, channels: int, norm: str) -> None:
        super().__init__()
        self.enlarge = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(in_channels, channels, 3, padding=1),
            normalisation(norm, channels),
            nn.ReLU(inplace=True),
        )
        self.gate = AttentionGate(channels, norm)
        self.convolve = DoubleConv(2 * channels, channels, norm, bias=True)

    def forward(self, below: Float[Tensor, "B I h w"], skip: Float[Tensor, "B O H W"]) -> Float[Tensor, "B O H W"]:
        """Return the decoder's features at the skip's resolution."""
        enlarged: Tensor = self.enlarge(below)
        gated = skip * self.gate(skip, enlarged)
        features: Tensor = self.convolve(torch.cat([gated, enlarged], dim=1))
        return features


@final
class AttUNet(EncoderDecoder):
    """U-Net whose skip connections pass through attention gates (Oktay et al., MIDL 2018, arXiv:1804.03999).

    This is the common two-dimensional variant: widths 64 to 1024, batch normalisation, nearest upsampling followed by a
    3x3 convolution, and every gate at the resolution of its skip. With 1 channel in and 55 logits out it has 34 880 931
    parameters.

    Args:
        in_channels: Channels of the image.
        out_channels: Logits per pixel.
        width: Channels of the finest level; every coarser level has twice as many, and a gate half of its skip's.
        depth: Number of levels; the sides are halved ``depth - 1`` times.
        norm: ``batch``, ``instance`` or ``group``.
        deep_supervision: Return logits of every decoder level in train mode.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        depth: int = 5,
        norm: str = "batch",
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, width, depth, norm, True, 0.0, deep_supervision)

    @staticmethod
    def up_block(in_channels: int, channels: int, norm: str) -> AttentionUpBlock:
        """A step with a gate."""
        return AttentionUpBlock(in_channels, channels, norm)

    @torch.no_grad()
    def attention_maps(self, image: Float[Tensor, "B I H W"]) -> dict[str, Tensor]:
        """Return what each gate lets through, in (0, 1), (B, h, w) at the resolution of its skip, the finest first.

        It runs the network, in the mode that it is in.
        """
        maps: list[Tensor] = []
        gates = [module for module in self.decoder.modules() if isinstance(module, AttentionGate)]
        hooks = [gate.register_forward_hook(lambda gate, inputs, output: maps.append(output[:, 0])) for gate in gates]
        try:
            self(image)
        finally:
            for hook in hooks:
                hook.remove()
        return {f"1/{2**level}": one for level, one in enumerate(reversed(maps))}
