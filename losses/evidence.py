"""What the labels of a batch say, factored so that no mask over pixels and classes is ever built.

Images come as rows here, (B, P, K) with P = H * W pixels: a network's channels-last logits have that order in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from partial_labels.batch import HUMAN, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch

CACHED = 2**19
"""Values that a CPU's cache holds; what is computed of so many at a time asks for no memory of the batch's size."""


def rows(channels: Float[Tensor, "B K H W"]) -> Float[Tensor, "B P K"]:
    """Return a view with one row a pixel."""
    return channels.movedim(1, -1).flatten(1, 2)


def portions(values: Float[Tensor, "B P K"]) -> Iterator[slice]:
    """Yield the images that are computed together: on a CPU as few as its cache holds, elsewhere all."""
    images = len(values)
    step = max(CACHED // values[0].numel(), 1) if values.device.type == "cpu" else images
    return (slice(first, first + step) for first in range(0, images, step))


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
    def labeled(self) -> Float[Tensor, "B K"]:
        """Weight of the pixels that are of each class."""
        return torch.zeros_like(self.cells[:, 0]).scatter_add(1, self.channel, self.positive)

    @property
    def best(self) -> Float[Tensor, "B 2"]:
        """Weight of the best-known cell of each image at certain pixels, at ``UNSURE`` pixels; 0 if none is known."""
        return self.cells.amax(dim=2)

    @property
    def pixel_weight(self) -> Float[Tensor, "B P"]:
        """Weight of a pixel as a whole: that of the best-known cell."""
        return (self.best[:, None] @ self.pixels)[:, 0]

    @property
    def unnamed(self) -> Float[Tensor, "B P"]:
        """How much of each pixel is of no class: 0 where the best-known cell names one, 1 where none does."""
        best = self.best[:, :1]
        return 1 - self.positive / torch.where(best > 0, best, 1)

    @property
    def drawn(self) -> Float[Tensor, "B P"]:
        """1 where a pixel shows a class that a human examined."""
        return self.cells[:, 1].gather(1, self.channel) * (self.positive > 0)

    def sum_pixels(self, values: Float[Tensor, "B P K"]) -> Float[Tensor, "B K"]:
        """Return the weighted sum over the pixels, cell by cell."""
        return ((self.pixels @ values) * self.cells).sum(dim=1)

    def foreground(self) -> Evidence:
        """Return the same without channel 0, as a sigmoid head has it: channel k is class k + 1."""
        return self._replace(cells=self.cells[:, :, 1:], channel=(self.channel - 1).clamp(min=0))

    def naive(self) -> Evidence:
        """Return what would be known if whatever is not labeled were background.

        Every entry weighs as the image's best-known cell: an image of which nothing is known is left out even here.
        """
        return self._replace(cells=self.best[:, :, None].expand_as(self.cells), positive=self.pixel_weight)


def evidence_of(batch: PartialLabelBatch) -> Evidence:
    """Return what is known, channel 0 the background.

    The background has no weight: whether it is known follows from the other cells.
    """
    status = batch.status[:, 1:]
    human = (status == HUMAN).float()
    known = human + (status == TEACHER) * batch.weight[:, None].float()
    cells = F.pad(torch.stack([known, human], dim=1), (1, 0))
    label = batch.label.flatten(1)
    channel = torch.where(label < UNSURE, label, 0).long()
    return Evidence(
        pixels=torch.stack([label < UNSURE, label == UNSURE], dim=1).float(),
        cells=cells,
        channel=channel,
        positive=cells[:, 0].gather(1, channel),
    )


def unknown_evidence_of(batch: PartialLabelBatch) -> Evidence:
    """Return the entries that nobody decided, each with weight 1: where two networks may be asked to agree.

    These are the ``UNKNOWN`` cells at certain pixels, and every cell but the ``HUMAN`` ones at ``UNSURE`` pixels. A
    pixel that a human gave a class is decided for all of them, and nothing is asked of it; as in :func:`evidence_of`
    the background has no weight of its own. No class is given to any pixel.
    """
    human = batch.status == HUMAN
    label = batch.label.flatten(1)
    channel = torch.where(label < UNSURE, label, 0).long()
    decided = (channel > 0) & human.gather(1, channel)
    cells = F.pad(torch.stack([batch.status == UNKNOWN, ~human], dim=1)[:, :, 1:].float(), (1, 0))
    return Evidence(
        pixels=torch.stack([(label < UNSURE) & ~decided, label == UNSURE], dim=1).float(),
        cells=cells,
        channel=torch.zeros_like(channel),
        positive=torch.zeros_like(channel, dtype=cells.dtype),
    )
