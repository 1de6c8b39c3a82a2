"""Losses for a softmax: what is unknown is merged into the background (Shi et al. 2021, arXiv:2007.03868)."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from losses.areas import Areas, overlap_and_sums
from losses.base import PartialLoss, weighted_mean
from losses.evidence import Evidence, evidence_of
from losses.soft_dice import SoftDice
from losses.softmax import class_probs, surprise, surprise_among
from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch


@final
class MarginalCE(PartialLoss):
    """Cross-entropy in which a pixel without a class may be background or any class that nobody examined.

    A pixel with a class: ``-log p(class)``. A pixel without: ``-log`` of the sum of the background's and all
    ``UNKNOWN`` classes' probability, whose gradient with respect to these probabilities is the same for each of them:
    ``UNKNOWN`` cells feel what the background feels. At ``UNSURE`` pixels the ``TEACHER`` classes join the sum.
    On a fully examined batch this is ``cross_entropy``.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean over the pixels of images of which anything is known."""
        evidence = evidence_of(batch)
        of_class = surprise(logits, evidence.channel)
        merged = of_class - self.background_surprise(logits, batch)
        named = evidence.channel > 0
        weight = torch.where(named, evidence.positive, evidence.pixel_weight)
        return weighted_mean(torch.where(named, weight * of_class, (weight > 0) * merged), weight)

    @staticmethod
    def background_surprise(logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, "B P"]:
        """Return ``-log p(background)`` among all that a pixel without a class may be.

        Where a teacher filled in cells, two claims are mixed by the image's weight: that of the humans alone and that
        of both. At ``UNSURE`` pixels the humans' alone is made.
        """
        label = batch.label.flatten(1)
        background = torch.zeros_like(label, dtype=torch.long)
        both = surprise_among(batch.status == UNKNOWN, logits, background)
        if not (batch.status == TEACHER).any():
            return both
        humans = surprise_among(batch.status != HUMAN, logits, background)
        return torch.lerp(humans, both, (label != UNSURE) * batch.weight[:, None].to(both.dtype))


@final
class MarginalDice(SoftDice):
    """Soft Dice of the known classes and of the background with the probability of every ``UNKNOWN`` class added.

    ``UNKNOWN`` cells feel what the background feels. ``UNSURE`` pixels are negative for ``HUMAN`` classes and belong to
    everything else, merged. On a fully examined batch this is the softmax Dice, background included.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        evidence = evidence_of(batch)
        weight = torch.cat([evidence.best[:, :1], evidence.cells[:, 0, 1:]], dim=1)
        return self.of_areas(self.merged_areas(class_probs(logits), evidence), weight)

    @staticmethod
    def merged_areas(probs: Float[Tensor, "B P C"], evidence: Evidence) -> Areas:
        """Return the areas of the known classes, and in channel 0 those of the background with all merged into it.

        The background weighs as the image's best-known cell; a class known with less than that is merged for the rest.
        """
        best = evidence.best
        unnamed = 1 - evidence.positive / torch.where(best > 0, best, 1)[:, :1]
        masks = torch.cat([evidence.pixels, evidence.pixels * unnamed[:, None]], dim=1)
        overlap, sums = overlap_and_sums(probs, evidence, masks)
        everywhere, at_unnamed = sums.chunk(2, dim=1)
        known = Areas(overlap, (everywhere * evidence.cells).sum(dim=1), evidence.labeled)
        merged = best[:, :, None] - evidence.cells
        background = Areas(
            overlap=(at_unnamed * merged).sum(dim=(1, 2)),
            predicted=(everywhere * merged).sum(dim=(1, 2)),
            labeled=(masks[:, 2:].sum(dim=2) * best).sum(dim=1),
        )
        return Areas(*(torch.cat([b[:, None], k[:, 1:]], dim=1) for b, k in zip(background, known, strict=True)))
