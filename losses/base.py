"""What a supervised loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from losses.ranks import summed
from partial_labels.batch import PartialLabelBatch

Reading = TypeVar("Reading")
"""What a pass over the logits leaves: sums, or a value for each pixel."""


class PartialLoss(nn.Module, ABC):
    """Compares logits with what is known of a batch.

    Every loss keeps to this:

    - ``IGNORE`` pixels are not counted, neither is an image of which nothing is known.
    - ``HUMAN`` cells weigh 1, ``TEACHER`` cells the ``weight`` of their image; weights are relative, the loss is a
      weighted mean. A cell of weight 0 is as if unknown.
    - Where nothing is known in the whole batch the loss is 0 and so is its gradient.
    - The batch is the global one, also where several processes share it (:mod:`losses.ranks`).

    What an ``UNKNOWN`` cell may feel differs, and each loss says it. Logits come in fp32 with autocast off;
    :class:`losses.weighted_sum.WeightedSum` sees to it, since one sum over 256 x 256 pixels overflows fp16.
    """

    @abstractmethod
    def forward(self, logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the loss, unweighted.

        Args:
            logits: What the head of this loss needs: C channels for a softmax, C - 1 for sigmoids.
            batch: Labels of the same size, and statuses.
        """


class SharedLoss(PartialLoss, ABC, Generic[Reading]):
    """A loss of what one pass over the logits reads, which other terms may use as well.

    Almost all of a loss's cost is in passing over an image of logits and writing its gradient.
    :class:`losses.weighted_sum.WeightedSum` reads once for all terms that name the same ``read``.
    """

    @staticmethod
    @abstractmethod
    def read(logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> Reading:
        """Pass over the logits; losses that share a pass have the same function here."""

    @final
    def forward(self, logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Read for this loss alone."""
        return self.of(self.read(logits, batch))

    @abstractmethod
    def of(self, reading: Reading) -> Float[Tensor, ""]:
        """Return the loss, unweighted."""


def weighted_mean(total: Float[Tensor, "..."], weight: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Return ``sum(total) / sum(weight)`` for totals that are already weighted, 0 where there is no weight.

    Both sums run over the whole batch, whichever process holds its images.
    """
    return quotient(*summed(total.sum(), weight.sum()))


def quotient(total: Float[Tensor, ""], weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Divide, and return 0 where there is no weight."""
    return total / torch.where(weight > 0, weight, 1)
