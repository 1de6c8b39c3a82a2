"""Baselines that take every class nobody examined for absent. They are what the other losses are measured against.

In a labeled image ``UNKNOWN`` cells feel a negative at every pixel. An image of which nothing is known is left out.
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from losses.base import SharedLoss, weighted_mean
from losses.ranks import summed
from losses.softmax_reading import SoftmaxReading, read_softmax

EPSILON = 1e-6


@final
class ReportDice(SharedLoss[SoftmaxReading]):
    """Softmax Dice of all channels, background included, pooled over batch and pixels.

    As in the report that this project started from: 1 minus the mean of ``2 sum(p t) / (sum p + sum t + 1e-6)``. A
    class that no image of the batch shows has Dice 0 and no gradient.
    """

    read = staticmethod(read_softmax)

    def of(self, reading: SoftmaxReading) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        naive = reading.evidence.naive()
        at_class = naive.positive * (-reading.surprise).exp()
        overlap = torch.zeros_like(naive.labeled).scatter_add(1, naive.channel, at_class)
        predicted = (reading.everywhere * naive.cells).sum(dim=1)
        overlap, predicted, labeled = summed(*(area.sum(dim=0) for area in (overlap, predicted, naive.labeled)))
        loss = 1 - (2 * overlap / (predicted + labeled + EPSILON)).mean()
        return loss * (labeled.sum() > 0)


@final
class NaiveCE(SharedLoss[SoftmaxReading]):
    """Softmax cross-entropy with every class nobody examined taken for absent."""

    read = staticmethod(read_softmax)

    def of(self, reading: SoftmaxReading) -> Float[Tensor, ""]:
        """Return the mean over pixels."""
        positive = reading.evidence.naive().positive
        return weighted_mean(positive * reading.surprise, positive)
