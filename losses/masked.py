"""Losses for one sigmoid per class, over what is known: the project's default."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from losses.areas import soft_areas
from losses.base import PartialLoss, weighted_mean
from losses.evidence import evidence_of, rows
from losses.soft_dice import SoftDice
from partial_labels.batch import PartialLabelBatch


@final
class MaskedBCE(PartialLoss):
    """Binary cross-entropy of every class, averaged over the known (pixel, class) entries.

    ``UNKNOWN`` cells feel nothing: their gradient is exactly zero. A certain absence is an image full of negatives.
    On a fully examined batch this is ``binary_cross_entropy_with_logits``.
    """

    def forward(self, logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean of ``softplus(x)`` over negative and of ``softplus(-x)`` over positive entries."""
        evidence = evidence_of(batch).foreground()
        pixels = rows(logits)
        at_class = torch.where(evidence.positive > 0, -1.0, 1.0).to(pixels.dtype)
        sign = torch.ones_like(pixels).scatter_(2, evidence.channel[:, :, None], at_class[:, :, None])
        return weighted_mean(evidence.sum_pixels(F.softplus(sign * pixels)), evidence.weight)


@final
class MaskedDice(SoftDice):
    """Soft Dice of every class over its known pixels, background excluded.

    ``UNKNOWN`` cells feel nothing: their gradient is exactly zero. A certain absence adds to the predicted area and so
    punishes false positives.
    """

    def forward(self, logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        evidence = evidence_of(batch).foreground()
        return self.of_areas(soft_areas(rows(logits).sigmoid(), evidence), evidence.cells[:, 0])
