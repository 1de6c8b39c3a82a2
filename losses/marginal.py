"""Losses for a softmax: what is unknown is merged into the background (Shi et al. 2021, arXiv:2007.03868)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.base import PartialLoss, weighted_mean
from losses.evidence import Areas, Evidence, class_of_pixel, foreground_evidence, rows, soft_areas
from losses.soft_dice import SoftDice
from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch


def surprise_among(
    logits: Float[Tensor, "B C H W"], target: Int64[Tensor, "B H W"], possible: Bool[Tensor, "B C"]
) -> Float[Tensor, "B H W"]:
    """Return ``-log p(target)`` under a softmax over the possible classes and the background, which always is.

    Taken from the same over all classes it leaves ``-log`` of the summed probability of what is possible, by
    log-sum-exp: it neither overflows nor underflows.
    """
    closed = torch.zeros_like(possible, dtype=logits.dtype).masked_fill(~possible, -torch.inf)
    closed[:, 0] = 0
    return F.cross_entropy(logits + closed[:, :, None, None], target, reduction="none")


class MarginalCE(PartialLoss):
    """Cross-entropy in which a pixel without a class may be background or any class that nobody examined.

    A pixel with a class: ``-log p(class)``. A pixel without: ``-log`` of the sum of the background's and all
    ``UNKNOWN`` classes' probability, whose gradient with respect to these probabilities is the same for each of them:
    ``UNKNOWN`` cells feel what the background feels. At ``UNSURE`` pixels the ``TEACHER`` classes join the sum.
    On a fully examined batch this is ``cross_entropy``.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean over the pixels of images of which anything is known."""
        logits = logits.contiguous()
        evidence = foreground_evidence(batch)
        target = class_of_pixel(batch)
        every = F.cross_entropy(logits, target, reduction="none").flatten(1)
        merged = every - self.background_surprise(logits, batch).flatten(1)
        named = target.flatten(1) > 0
        weight = torch.where(named, evidence.positive, evidence.pixel_weight)
        return weighted_mean(torch.where(named, weight * every, (weight > 0) * merged), weight)

    @staticmethod
    def background_surprise(logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, "B H W"]:
        """Return ``-log p(background)`` among all that a pixel without a class may be.

        Where a teacher filled in cells, two claims are mixed by the image's weight: that of the humans alone and that
        of both. At ``UNSURE`` pixels the humans' alone is made.
        """
        background = torch.zeros_like(batch.label, dtype=torch.long)
        both = surprise_among(logits, background, batch.status == UNKNOWN)
        if not (batch.status == TEACHER).any():
            return both
        humans = surprise_among(logits, background, batch.status != HUMAN)
        trust = (batch.label != UNSURE) * batch.weight[:, None, None].to(logits.dtype)
        return torch.lerp(humans, both, trust)


class MarginalDice(SoftDice):
    """Soft Dice of the known classes and of the background with the probability of every ``UNKNOWN`` class added.

    ``UNKNOWN`` cells feel what the background feels. ``UNSURE`` pixels are negative for ``HUMAN`` classes and belong to
    everything else, merged. On a fully examined batch this is the softmax Dice, background included.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        evidence = foreground_evidence(batch)
        probs = rows(logits.contiguous().softmax(dim=1))
        merged, known = self.merged_areas(probs, evidence), soft_areas(probs, evidence.with_background())
        areas = Areas(*(torch.cat([m, k[:, 1:]], dim=1) for m, k in zip(merged, known, strict=True)))
        weight = evidence.cells[:, 0]
        return self.of_areas(areas, torch.cat([weight.amax(dim=1, keepdim=True), weight], dim=1))

    @staticmethod
    def merged_areas(probs: Float[Tensor, "B P C"], evidence: Evidence) -> Areas:
        """Return the areas of the background with all that is merged into it; it weighs as the image's best-known cell.

        A class that is known with less weight than that is merged for the rest of it.
        """
        best = torch.where(evidence.best > 0, evidence.best, 1)
        merged_classes = F.pad(1 - evidence.cells / best[:, :, None], (1, 0), value=1.0)
        weight = evidence.pixels * evidence.best[:, :, None]
        predicted = ((probs @ merged_classes.mT) * weight.mT).sum(dim=2)
        unnamed = 1 - evidence.positive / best[:, :1]
        areas = (predicted * unnamed, predicted, weight.sum(dim=1) * unnamed)
        return Areas(*(area.sum(dim=1, keepdim=True) for area in areas))
