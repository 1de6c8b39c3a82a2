"""Baselines that take every class nobody examined for absent. They are what the other losses are measured against.

In a labeled image ``UNKNOWN`` cells feel a negative at every pixel. An image of which nothing is known is left out.
"""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from losses.areas import soft_areas
from losses.base import PartialLoss, weighted_mean
from losses.evidence import naive_evidence_of
from losses.ranks import summed
from losses.softmax import ordered, softmax, surprise
from partial_labels.batch import PartialLabelBatch

EPSILON = 1e-6


@final
class ReportDice(PartialLoss):
    """Softmax Dice of all channels, background included, pooled over batch and pixels.

    As in the report that this project started from: 1 minus the mean of ``2 sum(p t) / (sum p + sum t + 1e-6)``. A
    class that no image of the batch shows has Dice 0 and no gradient.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        areas = soft_areas(softmax(ordered(logits)), naive_evidence_of(batch))
        overlap, predicted, labeled = summed(*(area.sum(dim=0) for area in areas))
        loss = 1 - (2 * overlap / (predicted + labeled + EPSILON)).mean()
        return loss * (labeled.sum() > 0)


@final
class NaiveCE(PartialLoss):
    """Softmax cross-entropy with every class nobody examined taken for absent."""

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean over pixels."""
        evidence = naive_evidence_of(batch)
        return weighted_mean(evidence.positive * surprise(logits, evidence.channel), evidence.positive)
