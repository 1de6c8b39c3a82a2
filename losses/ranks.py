"""Sums over the processes of a parallel run, so that a loss is that of the global batch.

A mean over known entries is a sum over a count, and neither is the same in every process: averaging the processes'
losses, as a parallel run does with gradients, would weigh an entry by how few others its process knows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def parallel() -> bool:
    """Tell whether several processes share each batch."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def summed(*parts: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], ...]:
    """Return each tensor summed over the processes, in one exchange; as they are where there is only one.

    What is computed from the sums must be the same in every process: gradients are taken to be so, and not exchanged.
    """
    if not parallel():
        return parts
    flat: Tensor = _Sum.apply(torch.cat([part.flatten() for part in parts]))  # type: ignore[no-untyped-call]
    pieces = torch.split(flat, [part.numel() for part in parts])
    return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))


def largest(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the element-wise maximum over the processes, without gradient."""
    if not parallel():
        return values
    values = values.detach().clone()
    dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


class _Sum(torch.autograd.Function):
    """Sums forward, and multiplies the gradient by the number of processes: a parallel run averages over them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return the sum."""
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return what, averaged over the processes' parameter gradients, is the gradient of the one global loss."""
        return gradient * dist.get_world_size()
