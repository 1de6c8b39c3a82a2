"""What the labels of a batch say, factored so that no mask over pixels and classes is ever built.

Images come as rows here, (B, P, K) with P = H * W pixels: a network's channels-last logits have that order in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from partial_labels.batch import HUMAN, TEACHER, UNSURE, PartialLabelBatch


def rows(channels: Float[Tensor, "B K H W"]) -> Float[Tensor, "B P K"]:
    """Return a view with one row a pixel."""
    return channels.movedim(1, -1).flatten(1, 2)


class Evidence(NamedTuple):
    """The weight of every (pixel, class) entry, and which class each pixel is of.

    The weight is 0 where nothing is known and factors into ``sum_n pixels[b, n, p] * cells[b, n, k]``: certain pixels
    (n = 0) speak of every known cell and ``UNSURE`` pixels (n = 1) of the ``HUMAN`` cells only. A sum over pixels is
    then a matrix product, several times faster than a mask, and the same holds for its gradient. This is
    :func:`partial_labels.batch.known_pixels`, times the weights of the cells.
    """

    pixels: Float[Tensor, "B 2 P"]
    """1 where a pixel is certain, where it is ``UNSURE``; ``IGNORE`` pixels are neither."""
    cells: Float[Tensor, "B 2 K"]
    """Weight of each class at certain pixels, at ``UNSURE`` pixels."""
    channel: Int64[Tensor, "B P"]
    """The class of the pixel, as an index into K; 0 where it has none."""
    positive: Float[Tensor, "B P"]
    """Weight with which it is that class; 0 where it has none."""

    @property
    def weight(self) -> Float[Tensor, "B K"]:
        """Weight of each cell, summed over the pixels."""
        return (self.pixels.sum(dim=2)[:, :, None] * self.cells).sum(dim=1)

    @property
    def best(self) -> Float[Tensor, "B 2"]:
        """Weight of the best-known cell of each image at certain pixels, at ``UNSURE`` pixels; 0 if none is known."""
        return self.cells.amax(dim=2)

    @property
    def pixel_weight(self) -> Float[Tensor, "B P"]:
        """Weight of a pixel as a whole: that of the best-known cell."""
        return (self.best[:, None] @ self.pixels)[:, 0]

    def sum_pixels(self, values: Float[Tensor, "B P K"]) -> Float[Tensor, "B K"]:
        """Return the weighted sum over the pixels, cell by cell."""
        return ((self.pixels @ values) * self.cells).sum(dim=1)

    def sum_positive(self, values: Float[Tensor, "B P"]) -> Float[Tensor, "B K"]:
        """Return the weighted sum of one value a pixel, each put down to the pixel's class."""
        empty = torch.zeros_like(self.cells[:, 0])
        return empty.scatter_add(1, self.channel, self.positive * values)

    def with_background(self) -> Evidence:
        """Return the same for channels 0, 1, 2, ..., with the background of no weight."""
        return self._replace(cells=F.pad(self.cells, (1, 0)), channel=self.channel + 1)


class Areas(NamedTuple):
    """Areas in pixels, one for each (image, class) cell, weighted."""

    overlap: Float[Tensor, "B K"]
    predicted: Float[Tensor, "B K"]
    labeled: Float[Tensor, "B K"]


def soft_areas(probs: Float[Tensor, "B P K"], evidence: Evidence) -> Areas:
    """Return the areas over the known pixels of each class."""
    overlap, predicted = _OverlapAndPredicted.apply(probs, *evidence)  # type: ignore[no-untyped-call]
    return Areas(overlap, predicted, evidence.sum_positive(torch.ones_like(evidence.positive)))


class _OverlapAndPredicted(torch.autograd.Function):
    """Both sums at once: their gradient is written in one pass, where autograd would fill and add three tensors."""

    @staticmethod
    def forward(ctx: Any, probs: Tensor, *factors: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, K) sums over the pixels that are of the class, and over all known pixels."""
        ctx.save_for_backward(*factors)
        evidence = Evidence(*factors)
        at_class = probs.gather(2, evidence.channel[:, :, None])[:, :, 0]
        return evidence.sum_positive(at_class), evidence.sum_pixels(probs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, overlap: Tensor, predicted: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of ``probs``."""
        pixels, cells, channel, positive = ctx.saved_tensors
        gradient = pixels.mT @ (cells * predicted[:, None])
        at_class = overlap.gather(1, channel) * positive
        return gradient.scatter_add_(2, channel[:, :, None], at_class[:, :, None]), None, None, None, None


def foreground_evidence(batch: PartialLabelBatch) -> Evidence:
    """Return what is said of the classes 1, 2, ...: K = C - 1 and channel k is class k + 1."""
    status = batch.status[:, 1:]
    human = (status == HUMAN).float()
    cells = human + (status == TEACHER) * batch.weight[:, None].float()
    label = batch.label.flatten(1)
    named = (label > 0) & (label < UNSURE)
    channel = torch.where(named, label, 1).long() - 1
    return Evidence(
        pixels=torch.stack([label < UNSURE, label == UNSURE], dim=1).float(),
        cells=torch.stack([cells, human], dim=1),
        channel=channel,
        positive=cells.gather(1, channel) * named,
    )


def naive_evidence(batch: PartialLabelBatch) -> Evidence:
    """Return what the labels would say if whatever is not labeled were background; channels 0, 1, 2, ...

    An image weighs as its best-known cell: one of which nothing is known is left out even here.
    """
    evidence = foreground_evidence(batch)
    cells = evidence.best[:, :, None].expand(-1, -1, batch.status.shape[1])
    return evidence._replace(cells=cells, channel=class_of_pixel(batch).flatten(1), positive=evidence.pixel_weight)


def class_of_pixel(batch: PartialLabelBatch) -> Int64[Tensor, "B H W"]:
    """Return class ids with 0 for whatever is not one of the classes."""
    return torch.where(batch.label < UNSURE, batch.label, 0).long()
