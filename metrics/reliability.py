"""Whether a network is right as often as it says: the counts of a reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchmetrics import Metric

from partial_labels.batch import HUMAN, IGNORE, PartialLabelBatch


class Bin(NamedTuple):
    """The pixels that were predicted as one class with a confidence between two bounds."""

    class_id: int
    low: float
    high: float
    pixels: int
    correct: int
    confidence: float
    """Mean over the pixels."""


class Reliability(Metric):
    """How often a pixel that was predicted as a class is of that class, by the probability that it was given.

    Counted are pixels of predicted structures whose class a human examined in that image: nothing else can be called
    right or wrong without favouring either. The background is left out, for most of any image is background and surely
    so. Kept are sums in bins of equal width, so memory does not grow with the number of cases.

    Args:
        class_names: All names in id order, the background first.
        bins: Number of bins over [0, 1].
    """

    is_differentiable = False
    full_state_update = False

    sums: Tensor

    def __init__(self, class_names: Sequence[str], bins: int = 20) -> None:
        super().__init__()
        if bins < 2:
            raise ValueError(f"bins={bins}: must be 2 or more")
        self.class_names, self.bins = tuple(class_names), bins
        empty = torch.zeros(3, len(class_names), bins, dtype=torch.float64)
        self.add_state("sums", default=empty, dist_reduce_fx="sum")

    def update(
        self, prediction: UInt8[Tensor, "B H W"], confidence: Float[Tensor, "B H W"], batch: PartialLabelBatch
    ) -> None:
        """Count one batch.

        Args:
            prediction: Label map of the network.
            confidence: Probability of the predicted class.
            batch: The slices as they were shown.
        """
        image, row, column = torch.nonzero(prediction, as_tuple=True)
        found = prediction[image, row, column].long()
        drawn = batch.label[image, row, column]
        judged = (batch.status[image, found] == HUMAN) & (drawn != IGNORE)
        found, right = found[judged].cpu().numpy(), (drawn[judged] == found[judged]).cpu().numpy()
        sure = confidence[image, row, column][judged].double().cpu().numpy()
        place = found * self.bins + np.minimum((sure * self.bins).astype(np.int64), self.bins - 1)
        for sums, weights in zip(self.sums, (None, right, sure), strict=True):
            counted = np.bincount(place, weights, minlength=sums.numel())
            sums += torch.from_numpy(counted).to(sums).view_as(sums)

    def compute(self) -> Float[Tensor, "3 C K"]:
        """Return pixels, correct pixels and the sum of their confidences, by class and bin."""
        return self.sums

    def table(self) -> list[Bin]:
        """Return the bins that hold a pixel, by class and confidence."""
        pixels, correct, confidence = self.compute().cpu().numpy()
        edges = np.linspace(0, 1, self.bins + 1)
        return [
            Bin(
                int(c),
                float(edges[k]),
                float(edges[k + 1]),
                int(pixels[c, k]),
                int(correct[c, k]),
                confidence[c, k] / pixels[c, k],
            )
            for c, k in np.argwhere(pixels)
        ]


def pooled(bins: Iterable[Bin]) -> list[Bin]:
    """Add up the bins of all classes, by confidence; they are then of class 0, any structure."""
    groups: dict[tuple[float, float], list[Bin]] = {}
    for one in bins:
        groups.setdefault((one.low, one.high), []).append(one)
    found = []
    for (low, high), same in sorted(groups.items()):
        pixels = sum(one.pixels for one in same)
        confidence = sum(one.confidence * one.pixels for one in same) / pixels
        found.append(Bin(0, low, high, pixels, sum(one.correct for one in same), confidence))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the distance between how sure and how often right, mean over pixels (Naeini et al., AAAI 2015).

    Args:
        bins: Of one class, or pooled.

    Returns:
        The error in [0, 1]; NaN where there is no pixel.
    """
    total = sum(one.pixels for one in bins)
    gaps = (abs(one.correct - one.confidence * one.pixels) for one in bins)
    return sum(gaps) / total if total else math.nan
