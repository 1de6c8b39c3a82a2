"""The network's first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.network import Attentive, SegmentationNetwork

Statistic = float | Sequence[float]
"""A number for each channel; a single one may stand alone."""


@final
class NormalisedNetwork(nn.Module):
    """Brings intensities to mean 0 and deviation 1 of the training cases, then runs the network.

    The two numbers are buffers and travel in every checkpoint: training, evaluation and prediction cannot disagree
    about them, whatever images they see. Images of several channels have two each, (I, 1, 1).

    Args:
        network: Any network of this package.
        channels: Channels of the image.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: SegmentationNetwork, channels: int = 1) -> None:
        super().__init__()
        self.network = network
        shape = (channels, 1, 1) if channels > 1 else ()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.mean.numel()

    @property
    def divisor(self) -> int:
        """What the sides of an image must be divisible by."""
        return self.network.divisor

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the network cannot take.

        Raises:
            ValueError: See :meth:`models.network.SegmentationNetwork.check_size`.
        """
        self.network.check_size(height, width)

    def set_statistics(self, mean: Statistic, std: Statistic) -> None:
        """Set mean and standard deviation of the training cases' intensities.

        Raises:
            ValueError: If a deviation is not above 0, or a number is not finite.
        """
        means, stds = (torch.as_tensor(given, dtype=torch.float32) for given in (mean, std))
        if not (means.isfinite().all() and stds.isfinite().all() and (stds > 0).all()):
            raise ValueError(f"normalisation by mean {mean} and deviation {std}: are the training images constant?")
        self.mean.copy_(means.reshape(self.mean.shape))
        self.std.copy_(stds.reshape(self.std.shape))

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return the network's logits of the normalised image."""
        logits: Tensor | list[Tensor] = self.network((image - self.mean) / self.std)
        return logits

    def attention_maps(self, image: Float[Tensor, "B I H W"]) -> dict[str, Tensor]:
        """Return where the network looks (:class:`models.network.Attentive`); nothing where it has no such maps."""
        return (
            self.network.attention_maps((image - self.mean) / self.std) if isinstance(self.network, Attentive) else {}
        )
