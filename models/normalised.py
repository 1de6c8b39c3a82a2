"""The network's first layer."""

from __future__ import annotations

from math import isfinite
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.network import Attentive, SegmentationNetwork


@final
class NormalisedNetwork(nn.Module):
    """Brings intensities to mean 0 and deviation 1 of the training cases, then runs the network.

    The two numbers are buffers and travel in every checkpoint: training, evaluation and prediction cannot disagree
    about them, whatever images they see.

    Args:
        network: Any network of this package.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))

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

    def set_statistics(self, mean: float, std: float) -> None:
        """Set mean and standard deviation of the training cases' intensities.

        Raises:
            ValueError: If ``std`` is not above 0, or one of them is not finite.
        """
        if not (isfinite(mean) and isfinite(std) and std > 0):
            raise ValueError(f"normalisation by mean {mean} and deviation {std}: are the training images constant?")
        self.mean.fill_(mean)
        self.std.fill_(std)

    def forward(self, image: Float[Tensor, "B I H W"]) -> Tensor | list[Tensor]:
        """Return the network's logits of the normalised image."""
        logits: Tensor | list[Tensor] = self.network((image - self.mean) / self.std)
        return logits

    def attention_maps(self, image: Float[Tensor, "B I H W"]) -> dict[str, Tensor]:
        """Return where the network looks (:class:`models.network.Attentive`); nothing where it has no such maps."""
        return (
            self.network.attention_maps((image - self.mean) / self.std) if isinstance(self.network, Attentive) else {}
        )
