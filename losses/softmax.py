"""Softmax over the classes, in whichever order of memory is faster."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.evidence import rows

VECTOR = 16
"""Channels that fill a vector register. On a CPU PyTorch's softmax along the last axis is 2.5 times as fast as along
another from there on, and 5 times as slow below."""


def ordered(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B P C"]:
    """Return one row a pixel, in the faster order."""
    return rows(logits if logits.shape[1] >= VECTOR else logits.contiguous())


def softmax(pixels: Float[Tensor, "B P C"]) -> Float[Tensor, "B P C"]:
    """Return probabilities of ordered rows, in the same order."""
    return pixels.softmax(dim=2) if pixels.shape[2] >= VECTOR else pixels.mT.softmax(dim=1).mT


def surprise(logits: Float[Tensor, "B C H W"], target: Int64[Tensor, "B P"]) -> Float[Tensor, "B P"]:
    """Return ``-log p(target)`` of every pixel."""
    if logits.shape[1] < VECTOR:
        return F.cross_entropy(logits.contiguous().flatten(2), target, reduction="none")
    return F.cross_entropy(rows(logits).flatten(0, 1), target.flatten(), reduction="none").view_as(target)


def surprise_among(
    possible: Bool[Tensor, "B C"], logits: Float[Tensor, "B C H W"], target: Int64[Tensor, "B P"]
) -> Float[Tensor, "B P"]:
    """Return each pixel's surprise under a softmax over the possible classes and the background, always possible.

    Taken from :func:`surprise` it leaves ``-log`` of the summed probability of what is possible, by log-sum-exp: it
    neither overflows nor underflows.
    """
    closed = torch.zeros_like(possible, dtype=logits.dtype).masked_fill(~possible, -torch.inf)
    closed[:, 0] = 0
    return surprise(logits + closed[:, :, None, None], target)
