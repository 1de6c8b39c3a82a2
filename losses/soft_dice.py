"""The Dice of probabilities."""

from __future__ import annotations

from abc import ABC
from typing import Generic, NamedTuple

from jaxtyping import Float
from torch import Tensor

from losses.base import Reading, SharedLoss, quotient, weighted_mean
from losses.ranks import largest, summed


class Areas(NamedTuple):
    """Areas in pixels, one for each (image, class) cell, weighted: probabilities in place of masks."""

    overlap: Float[Tensor, "B K"]
    predicted: Float[Tensor, "B K"]
    labeled: Float[Tensor, "B K"]


class SoftDice(SharedLoss[Reading], ABC, Generic[Reading]):
    """1 minus the soft Dice ``(2 overlap + smooth) / (predicted + labeled + smooth)`` (Milletari et al., 2016).

    Areas are pooled over the batch before dividing: an image in which the class is certainly absent then counts with
    its false positives, where a Dice of its own would be 0 whatever is predicted there. The mean is taken over the
    classes of which any cell of the batch is known.

    Args:
        pool_batch: Whether to pool. If not, each known cell has its own Dice, and the mean is over cells.
        smooth: Pixels added to both areas, above 0. It decides what a class feels that is absent from the whole pool:
            the loss is then ``predicted / (predicted + smooth)``. Near 0, the default, it feels nothing, and absences
            are left to the cross-entropy; at 1 the many batches without a rare class push it towards silence, which
            costs Dice (``docs/results.md``).

    Raises:
        ValueError: If ``smooth`` is not above 0.
    """

    def __init__(self, pool_batch: bool = True, smooth: float = 1e-5) -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f"loss: smooth={smooth}: must be above 0 pixels")
        self.pool_batch = pool_batch
        self.smooth = smooth

    def of_areas(self, areas: Areas, weight: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
        """Return the loss, a mean weighted by cell or, if pooled, by the best-known cell of each class."""
        if self.pool_batch:
            areas = Areas(*summed(*(area.sum(dim=0) for area in areas)))
            weight = largest(weight.amax(dim=0))
        dice = (2 * areas.overlap + self.smooth) / (areas.predicted + areas.labeled + self.smooth)
        loss = weight * (1 - dice)
        return quotient(loss.sum(), weight.sum()) if self.pool_batch else weighted_mean(loss, weight)
