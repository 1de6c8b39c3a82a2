"""Weights by a formula, so that a network's output can be told in figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


def hashed(count: int) -> torch.Tensor:
    """Return numbers in [-1/2, 1/2) that are the same everywhere."""
    return (torch.arange(1, count + 1) * 2654435761 % 2**32).double() / 2**32 - 0.5


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """Give matrices entries of variance 1 / inputs, scales about 1 and shifts about 0."""
    for name, p in network.named_parameters():
        values = hashed(p.numel()).view(p.shape).to(p.dtype)
        p.copy_(values * (12 / p[0].numel()) ** 0.5 if p.dim() > 1 else values / 5 + name.endswith("weight"))


@pytest.fixture
def figures() -> Callable[[nn.Module, int], list[float]]:
    """Return mean, deviation and three entries of the logits of a network with three, for an image of that side."""

    @torch.no_grad()
    def measure(network: nn.Module, side: int) -> list[float]:
        fill(network.eval())
        logits = network(hashed(side * side).view(1, 1, side, side).float())[0]
        return torch.stack(
            [logits.mean(), logits.std(), logits[0, 0, 0], logits[1, 100, 50], logits[2, 31, 63]]
        ).tolist()

    return measure
