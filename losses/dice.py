"""Baselines that take every class nobody examined for absent. They are what the other losses are measured against.

In a labeled image ``UNKNOWN`` cells feel a negative at every pixel. An image of which nothing is known is left out.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from losses.base import PartialLoss, weighted_mean
from losses.evidence import class_of_pixel, foreground_evidence, rows
from partial_labels.batch import PartialLabelBatch

EPSILON = 1e-6


class ReportDice(PartialLoss):
    """Softmax Dice of all channels, background included, pooled over batch and pixels.

    As in the report that this project started from: 1 minus the mean of ``2 sum(p t) / (sum p + sum t + 1e-6)``. A
    class that no image of the batch shows has Dice 0 and nearly no gradient.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        probs = rows(logits.contiguous().softmax(dim=1))
        weight = foreground_evidence(batch).pixel_weight
        target = class_of_pixel(batch).flatten(1)
        at_target = probs.gather(2, target[:, :, None])[:, :, 0]
        empty = probs.new_zeros(probs.shape[2])
        overlap = empty.scatter_add(0, target.flatten(), (weight * at_target).flatten())
        labeled = empty.scatter_add(0, target.flatten(), weight.flatten())
        predicted = (weight[:, None] @ probs).sum(dim=(0, 1))
        loss = 1 - (2 * overlap / (predicted + labeled + EPSILON)).mean()
        return loss * (weight.sum() > 0)


class NaiveCE(PartialLoss):
    """Softmax cross-entropy with every class nobody examined taken for absent."""

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean over pixels."""
        weight = foreground_evidence(batch).pixel_weight
        surprise = F.cross_entropy(logits.contiguous(), class_of_pixel(batch), reduction="none").flatten(1)
        return weighted_mean(weight * surprise, weight)
