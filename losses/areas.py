"""The areas that a Dice is made of, with probabilities in place of masks."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from losses.evidence import Evidence


class Areas(NamedTuple):
    """Areas in pixels, one for each (image, class) cell, weighted."""

    overlap: Float[Tensor, "B K"]
    predicted: Float[Tensor, "B K"]
    labeled: Float[Tensor, "B K"]


def soft_areas(probs: Float[Tensor, "B P K"], evidence: Evidence) -> Areas:
    """Return the areas over the known pixels of each class."""
    overlap, sums = _OverlapAndSums.apply(  # type: ignore[no-untyped-call]
        probs, evidence.pixels, evidence.channel, evidence.positive
    )
    return Areas(overlap, (sums * evidence.cells).sum(dim=1), evidence.labeled)


class _OverlapAndSums(torch.autograd.Function):
    """All sums at once: their gradient is written in one pass, where autograd would fill and add three tensors."""

    @staticmethod
    def forward(ctx: Any, probs: Tensor, masks: Tensor, channel: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, K) and (B, N, K)."""
        ctx.save_for_backward(masks, channel, positive)
        ctx.class_by_class = probs.stride(1) == 1
        at_class = probs.gather(2, channel[:, :, None])[:, :, 0] * positive
        sums = masks @ probs
        return torch.zeros_like(sums[:, 0]).scatter_add_(1, channel, at_class), sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, overlap: Tensor, sums: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of ``probs``, in its order of memory."""
        masks, channel, positive = ctx.saved_tensors
        gradient = (sums.mT @ masks).mT if ctx.class_by_class else masks.mT @ sums
        at_class = overlap.gather(1, channel) * positive
        return gradient.scatter_add_(2, channel[:, :, None], at_class[:, :, None]), None, None, None
