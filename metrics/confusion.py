"""Which structure is taken for which, over a whole evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchmetrics import Metric

from metrics.joint_histogram import count_pairs
from partial_labels.batch import PartialLabelBatch


class Confusion(Metric):
    """Pixels by what was drawn and what was predicted.

    A drawn structure is certain, so its row tells the truth whether or not the predicted class was examined there. The
    rows of what nobody drew (0, and last the ``UNSURE`` pixels) only tell what was predicted.

    Args:
        class_names: All names in id order, the background first.
    """

    is_differentiable = False
    full_state_update = False

    counts: Tensor

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        size = (len(class_names) + 1, len(class_names))
        self.add_state("counts", default=torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: UInt8[Tensor, "B H W"], batch: PartialLabelBatch) -> None:
        """Count one batch."""
        self.counts += count_pairs(batch.label, prediction, len(self.class_names)).sum(dim=0)

    def compute(self) -> Int64[Tensor, "R C"]:
        """Return the pixels, R = C + 1 rows by label and C columns by prediction."""
        return self.counts
