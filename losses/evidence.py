"""What the labels of a batch say, factored so that no mask over pixels and classes is ever built.

Images come as rows here, (B, P, K) with P = H * W pixels: a network's channels-last logits have that order in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from partial_labels.batch import HUMAN, TEACHER, UNSURE, PartialLabelBatch


def rows(channels: Float[Tensor, "B K H W"]) -> Float[Tensor, "B P K"]:
    """Return a view with one row a pixel."""
    return channels.movedim(1, -1).flatten(1, 2)


class Evidence(NamedTuple):
    """The weight of every (pixel, class) entry, and which class each pixel is of.

    The weight is 0 where nothing is known and factors into ``sum_k pixels[b, k, p] * cells[b, k, c]``: certain pixels
    (k = 0) speak of every known cell and ``UNSURE`` pixels (k = 1) of the ``HUMAN`` cells only. A sum over pixels is
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

    def sum_positive(self, values: Float[Tensor, "B P K"]) -> Float[Tensor, "B K"]:
        """Return the same sum over the pixels that are of the class."""
        at_class = values.gather(2, self.channel[:, :, None])[:, :, 0]
        return self.count_positive(at_class)

    def count_positive(self, values: Float[Tensor, "B P"] | float = 1.0) -> Float[Tensor, "B K"]:
        """Return the weighted sum of one value a pixel, each put down to the pixel's class."""
        empty = self.cells.new_zeros(self.cells.shape[0], self.cells.shape[2])
        return empty.scatter_add(1, self.channel, self.positive * values)


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


def class_of_pixel(batch: PartialLabelBatch) -> Int64[Tensor, "B H W"]:
    """Return class ids with 0 for whatever is not one of the classes."""
    return torch.where(batch.label < UNSURE, batch.label, 0).long()
