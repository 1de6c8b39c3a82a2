"""Losses for a softmax: what is unknown is merged into the background (Shi et al. 2021, arXiv:2007.03868)."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from losses.base import SharedLoss, weighted_mean
from losses.soft_dice import Areas, SoftDice
from losses.softmax_reading import SoftmaxReading, read_softmax


@final
class MarginalCE(SharedLoss[SoftmaxReading]):
    """Cross-entropy in which a pixel without a class may be background or any class that nobody examined.

    A pixel with a class: ``-log p(class)``. A pixel without: ``-log`` of the sum of the background's and all
    ``UNKNOWN`` classes' probability, whose gradient with respect to these probabilities is the same for each of them:
    ``UNKNOWN`` cells feel what the background feels. At ``UNSURE`` pixels the ``TEACHER`` classes join the sum.
    On a fully examined batch this is ``cross_entropy``.
    """

    read = staticmethod(read_softmax)

    def of(self, reading: SoftmaxReading) -> Float[Tensor, ""]:
        """Return the mean over the pixels of images of which anything is known.

        Where a teacher filled in cells, two claims are mixed by the image's weight: that of the humans alone and that
        of both. At ``UNSURE`` pixels the humans' alone is made.
        """
        evidence = reading.evidence
        named = evidence.channel > 0
        weight = torch.where(named, evidence.positive, evidence.pixel_weight)
        teacher = evidence.pixels[:, 0] * reading.batch.weight[:, None].to(weight.dtype)
        merged = torch.lerp(reading.undrawn, reading.unexamined, teacher)
        return weighted_mean(torch.where(named, weight * reading.surprise, (weight > 0) * merged), weight)


@final
class MarginalDice(SoftDice[SoftmaxReading]):
    """Soft Dice of the known classes and of the background with the probability of every ``UNKNOWN`` class added.

    ``UNKNOWN`` cells feel what the background feels. ``UNSURE`` pixels are negative for ``HUMAN`` classes and belong to
    everything else, merged. On a fully examined batch this is the softmax Dice, background included.
    """

    read = staticmethod(read_softmax)

    def of(self, reading: SoftmaxReading) -> Float[Tensor, ""]:
        """Return 1 minus the mean Dice."""
        evidence = reading.evidence
        weight = torch.cat([evidence.best[:, :1], evidence.cells[:, 0, 1:]], dim=1)
        return self.of_areas(self.merged_areas(reading), weight)

    @staticmethod
    def merged_areas(reading: SoftmaxReading) -> Areas:
        """Return the areas of the known classes, and in channel 0 those of the background with all merged into it.

        The background weighs as the image's best-known cell; a class known with less than that is merged for the rest.
        """
        evidence = reading.evidence
        best = evidence.best
        known = Areas(reading.overlap, (reading.everywhere * evidence.cells).sum(dim=1), evidence.labeled)
        merged = best[:, :, None] - evidence.cells
        background = Areas(
            overlap=(reading.unnamed * merged).sum(dim=(1, 2)),
            predicted=(reading.everywhere * merged).sum(dim=(1, 2)),
            labeled=((evidence.pixels * evidence.unnamed[:, None]).sum(dim=2) * best).sum(dim=1),
        )
        return Areas(*(torch.cat([b[:, None], k[:, 1:]], dim=1) for b, k in zip(background, known, strict=True)))
