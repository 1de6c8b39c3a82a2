"""The only loss that a training step sees: terms, their weights, levels and precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses.base import PartialLoss, SharedLoss
from partial_labels.batch import PartialLabelBatch


@final
class WeightedSum(nn.Module):
    """Named terms, each times its weight, over every level of a network with deep supervision.

    Level i weighs ``deep_supervision_decay ** i`` of all (nnU-Net halves it each time, Isensee et al. 2021), and the
    levels' weights sum to 1. Labels are brought to a level's size by taking the nearest pixel: a class id has no mean.
    Terms are computed in fp32 with autocast off, whatever the precision of the run.

    Args:
        terms: The losses by name; all for the same kind of head.
        weights: One weight for each term, 0 or more.
        deep_supervision_decay: Weight of a level relative to the next finer one, in (0, 1].
        skip_coarsest: Leave the coarsest of several levels out.

    Raises:
        ValueError: If names of terms and weights differ, or a number is out of range.
    """

    def __init__(
        self,
        terms: Mapping[str, PartialLoss],
        weights: Mapping[str, float],
        deep_supervision_decay: float = 0.5,
        skip_coarsest: bool = False,
    ) -> None:
        super().__init__()
        if not terms or set(terms) != set(weights):
            raise ValueError(f"loss: terms are {', '.join(terms)}, weights are {', '.join(weights)}: name the same")
        negative = [name for name, weight in weights.items() if weight < 0]
        if negative:
            raise ValueError(f"loss.weights.{negative[0]}={weights[negative[0]]}: must be 0 or more")
        if not 0 < deep_supervision_decay <= 1:
            raise ValueError(f"loss.deep_supervision_decay={deep_supervision_decay}: must lie in (0, 1]")
        self.terms = nn.ModuleDict(dict(terms))
        self.weights = {name: float(weight) for name, weight in weights.items()}
        self.deep_supervision_decay = deep_supervision_decay
        self.skip_coarsest = skip_coarsest

    def forward(self, outputs: Tensor | Sequence[Tensor], batch: PartialLabelBatch) -> dict[str, Tensor]:
        """Return the weighted terms; the loss is their sum.

        Args:
            outputs: Logits (B, K, H, W), or a list of them, the finest first.
            batch: Labels in the size of the finest.
        """
        levels = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        if self.skip_coarsest and len(levels) > 1:
            levels = levels[:-1]
        shares = [self.deep_supervision_decay**level for level in range(len(levels))]
        totals = {name: levels[0].new_zeros((), dtype=torch.float32) for name in self.terms}
        with torch.autocast(levels[0].device.type, enabled=False):
            for logits, share in zip(levels, shares, strict=True):
                values = self.at_level(logits.float(), resize_labels(batch, logits))
                for name, value in values.items():
                    totals[name] = totals[name] + self.weights[name] * share / sum(shares) * value
        return totals

    def at_level(self, logits: Tensor, batch: PartialLabelBatch) -> dict[str, Tensor]:
        """Return the terms, unweighted; what several of them read of the logits is read once."""
        readings: dict[Callable[..., Any], Any] = {}
        values: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            if isinstance(term, SharedLoss):
                if term.read not in readings:
                    readings[term.read] = term.read(logits, batch)
                values[name] = term.of(readings[term.read])
            else:
                values[name] = term(logits, batch)
        return values


def resize_labels(batch: PartialLabelBatch, logits: Tensor) -> PartialLabelBatch:
    """Return the batch with labels in the logits' size, each the one nearest to the middle of its larger pixel."""
    size = logits.shape[2:]
    if batch.label.shape[1:] == size:
        return batch
    label = F.interpolate(batch.label[:, None], size=tuple(size), mode="nearest-exact")[:, 0]
    return batch._replace(label=label)
