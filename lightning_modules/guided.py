"""What strategies with a teacher share."""

from __future__ import annotations

from abc import ABC
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from lightning_modules.base import Outputs, SegmentationModule
from lightning_modules.rampup import gaussian_rampup
from losses.consistency import Consistency
from models.teacher import Teacher
from partial_labels.batch import PartialLabelBatch


class GuidedModule(SegmentationModule, ABC):
    """A student that is asked to agree, on what nobody examined, with a teacher that sees the weak view.

    Args:
        consistency: Compares the two.
        unsupervised_weight: What its weight grows to, 0 or more.
        rampup_fraction: Share of the stage's optimizer steps in which it grows, in [0, 1]; 0 for the whole weight at
            once.
        shared: What every strategy takes.

    Raises:
        ValueError: If a number is out of range.
    """

    watched = ("unsupervised_weight",)

    def __init__(
        self, consistency: Consistency, unsupervised_weight: float = 1.0, rampup_fraction: float = 0.4, **shared: Any
    ) -> None:
        super().__init__(**shared)
        if not 0 <= unsupervised_weight < float("inf"):
            raise ValueError(f"unsupervised_weight={unsupervised_weight}: must be 0 or more")
        if not 0 <= rampup_fraction <= 1:
            raise ValueError(f"rampup_fraction={rampup_fraction}: must lie in [0, 1]")
        self.consistency = consistency
        self.largest_weight, self.rampup_fraction = unsupervised_weight, rampup_fraction
        self.teacher = Teacher(self.student)

    @final
    def unsupervised_loss(self, batch: PartialLabelBatch, logits: Outputs) -> Float[Tensor, ""]:
        """Return the distance of the two networks over the rows that can hold anything unknown."""
        first: int = self.data.first_open_row
        if first >= len(batch.image) or not self.largest_weight:
            return batch.image.new_zeros(())
        batch = PartialLabelBatch(*(field[first:] for field in batch))
        student = logits[first:] if isinstance(logits, Tensor) else [level[first:] for level in logits]
        teacher = self.head.probs(self.teacher(batch.image))
        distance: Tensor = self.consistency(student, teacher, batch, self.head)
        return distance

    @property
    def unsupervised_weight(self) -> float:
        """The weight lambda, on a Gaussian ramp of this stage's optimizer steps."""
        ramp = self.rampup_fraction * self.total_steps
        return self.largest_weight * (gaussian_rampup(self.global_step / ramp) if ramp else 1.0)

    def begin_teaching(self, weights: dict[str, Any] | None = None) -> None:
        """Give the teacher weights of an earlier stage's network; without them, those of the student as it is now."""
        if weights is not None:
            self.teacher.network.load_state_dict(weights)
        else:
            self.teacher.update(self.student, decay=0)
