"""What losses of sigmoids read of a level's logits: a few sums over the pixels, in one pass for all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from losses.evidence import Evidence, evidence_of, portions, rows
from partial_labels.batch import UNKNOWN, PartialLabelBatch


class SigmoidReading(NamedTuple):
    """Sums over the pixels of each cell, channel k class k + 1."""

    evidence: Evidence
    """What is known of the classes."""
    surprise: Float[Tensor, "B K"]
    """``-log p(what the pixel is)`` over the known pixels, weighted."""
    predicted: Float[Tensor, "B K"]
    """Probability over the known pixels, weighted."""
    overlap: Float[Tensor, "B K"]
    """Probability over the pixels that are of the class, weighted."""
    unknown: Float[Tensor, "B K"]
    """1 where a cell is ``UNKNOWN``."""
    excluded: Float[Tensor, "B K"]
    """``-log p(not this class)`` of ``UNKNOWN`` cells over the pixels that show a human's class."""


def read_sigmoids(logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> SigmoidReading:
    """Return all sums, of which a loss may use one."""
    evidence = evidence_of(batch).foreground()
    unknown = (batch.status[:, 1:] == UNKNOWN).to(evidence.cells.dtype)
    masks = torch.cat([evidence.pixels, evidence.drawn[:, None]], dim=1)
    cells = torch.cat([evidence.cells, unknown[:, None]], dim=1)
    surprise, excluded, predicted, overlap = _Sums.apply(  # type: ignore[no-untyped-call]
        rows(logits), masks, cells, evidence.channel, evidence.positive
    )
    return SigmoidReading(evidence, surprise, predicted, overlap, unknown, excluded)


class _Sums(torch.autograd.Function):
    """The sums of ``softplus(x)`` and of ``p = sigmoid(x)``, as matrix products with the masks.

    A positive's surprise is ``softplus(-x)``, which ``softplus(x) - x`` would lose to rounding where it is small. The
    gradient of everything is ``p (S + (1 - p) A)``, S and A of rank 3, and one more term at each pixel's own class: it
    is written in place, where autograd would keep an image for every operation, fill as many gradients and add them.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, masks: Tensor, cells: Tensor, channel: Tensor, positive: Tensor
    ) -> tuple[Tensor, ...]:
        """Return, each (B, K): surprise, that of the excluded, predicted area, overlap.

        Args:
            ctx: Keeps the arguments: nothing of the logits' size is kept beside them.
            logits: (B, P, K).
            masks: (B, 3, P): certain, ``UNSURE`` and drawn pixels.
            cells: (B, 3, K): the weight of the cells at these.
            channel: (B, P), the pixel's own class.
            positive: (B, P), its weight.
        """
        ctx.save_for_backward(logits, masks, cells, channel, positive)
        own = channel[:, :, None]
        surprise, probs, overlap = torch.empty_like(cells), torch.empty_like(cells), torch.zeros_like(cells[:, 0])
        for part in portions(logits):
            at_class = logits[part].gather(2, own[part])
            overlap[part].scatter_add_(1, channel[part], at_class[:, :, 0].sigmoid() * positive[part])
            probs[part] = masks[part] @ logits[part].sigmoid()
            at_class = F.softplus(torch.where(positive[part, :, None] > 0, -at_class, at_class))
            surprise[part] = masks[part] @ F.softplus(logits[part]).scatter_(2, own[part], at_class)
        surprise, probs = surprise * cells, probs * cells
        return surprise[:, :2].sum(dim=1), surprise[:, 2], probs[:, :2].sum(dim=1), overlap

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, surprise: Tensor, excluded: Tensor, predicted: Tensor, overlap: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return the gradient of the logits, in their order of memory."""
        logits, masks, cells, channel, positive = ctx.saved_tensors
        own = channel[:, :, None]
        of_probs = cells * torch.stack([predicted, predicted, torch.zeros_like(excluded)], dim=1)
        of_both = cells * torch.stack([surprise, surprise, excluded], dim=1) + of_probs
        overlap, surprise = (positive * of_cell.gather(1, channel) for of_cell in (overlap, surprise))
        gradient = torch.empty_like(logits)
        for part in portions(logits):
            probs, pixels, here = logits[part].sigmoid(), masks[part].mT, gradient[part]
            torch.bmm(pixels, -of_probs[part], out=here).mul_(probs).baddbmm_(pixels, of_both[part]).mul_(probs)
            at_class = probs.gather(2, own[part])[:, :, 0]
            felt = overlap[part] * at_class * (1 - at_class) - surprise[part]
            here.scatter_add_(2, own[part], felt[:, :, None])
        return gradient, None, None, None, None
