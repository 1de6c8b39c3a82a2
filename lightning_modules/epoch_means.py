"""Means of training figures over the steps of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


@final
class EpochMeans:
    """Adds up named scalars where they are, and divides once an epoch.

    A step costs one kernel or two and never waits for the device. Lightning's ``log`` gives the same means, but wraps
    each value in a metric and copies its description at every call: for the five figures of a step of a small network
    that was a tenth of the step (docs/performance.md).
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: Float[Tensor, " n"] = torch.zeros(0, dtype=torch.float64)
        self.weight = 0.0

    def add(self, values: Mapping[str, Float[Tensor, ""]], weight: float) -> None:
        """Add the figures of one step, the same names each time, with this weight.

        Raises:
            ValueError: If the names are not those of the step before.
        """
        row = torch.stack([value.detach() for value in values.values()])
        if not self.names:
            self.names, self.sums = tuple(values), torch.zeros_like(row, dtype=torch.float64)
        if tuple(values) != self.names:
            raise ValueError(f"training figures {', '.join(values)}: the step before had {', '.join(self.names)}")
        self.sums = self.sums.to(row.device).add_(row, alpha=weight)
        self.weight += weight

    def pop(self) -> dict[str, float]:
        """Return the means over the epoch and over all processes, and begin anew."""
        totals = torch.cat([self.sums, self.sums.new_tensor([self.weight])])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(totals)
        *sums, weight = totals.tolist()
        means = {name: total / weight for name, total in zip(self.names, sums, strict=True)}
        self.load_state_dict({"names": [], "sums": [], "weight": 0.0})
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return, as plain values, what a checkpoint within an epoch has to keep."""
        return {"names": list(self.names), "sums": self.sums.tolist(), "weight": self.weight}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.names, self.weight = tuple(state["names"]), float(state["weight"])
        self.sums = torch.tensor(state["sums"], dtype=torch.float64)
