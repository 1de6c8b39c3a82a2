"""Losses for one sigmoid per class, over what is known: the project's default."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from losses.base import SharedLoss, weighted_mean
from losses.sigmoid_reading import SigmoidReading, read_sigmoids
from losses.soft_dice import Areas, SoftDice


@final
class MaskedBCE(SharedLoss[SigmoidReading]):
    """Binary cross-entropy of every class, averaged over the known (pixel, class) entries.

    ``UNKNOWN`` cells feel nothing: their gradient is exactly zero. A certain absence is an image full of negatives.
    On a fully examined batch this is ``binary_cross_entropy_with_logits``.
    """

    read = staticmethod(read_sigmoids)

    def of(self, reading: SigmoidReading) -> Float[Tensor, ""]:
        """Return the mean of ``softplus(x)`` over negative and of ``softplus(-x)`` over positive entries."""
        return weighted_mean(reading.surprise, reading.evidence.weight)


@final
class MaskedDice(SoftDice[SigmoidReading]):
    """Soft Dice of every class over its known pixels, background excluded.

    ``UNKNOWN`` cells feel nothing: their gradient is exactly zero. A certain absence adds to the predicted area and so
    punishes false positives.
    """

    read = staticmethod(read_sigmoids)

    def of(self, reading: SigmoidReading) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        areas = Areas(reading.overlap, reading.predicted, reading.evidence.labeled)
        return self.of_areas(areas, reading.evidence.cells[:, 0])
