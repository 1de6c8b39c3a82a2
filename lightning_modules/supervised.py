"""Supervised training on labeled cases alone."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from lightning_modules.base import Outputs, SegmentationModule
from partial_labels.batch import PartialLabelBatch


@final
class SupervisedModule(SegmentationModule):
    """Learns from what humans examined, nothing else."""

    def unsupervised_loss(self, batch: PartialLabelBatch, logits: Outputs) -> Float[Tensor, ""]:
        """Return 0."""
        return torch.zeros((), device=batch.image.device)
