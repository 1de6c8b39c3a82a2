"""What a student is asked to agree with its teacher on: the cells that nobody examined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from losses.base import quotient, weighted_mean
from losses.evidence import Evidence, rows, unknown_evidence_of
from losses.ranks import largest, summed
from losses.weighted_sum import WeightedSum
from partial_labels.batch import TEACHER, UNKNOWN, PartialLabelBatch, derive_background
from partial_labels.confidence import confident_labels
from partial_labels.head import Head

Outputs = Tensor | Sequence[Tensor]


class Consistency(nn.Module, ABC):
    """Compares what the student says of a strong view with what the teacher says of the weak one.

    Only what no human decided counts (:func:`losses.evidence.unknown_evidence_of`): a drawn pixel and a certain absence
    are facts, and what the teacher thinks of them is nobody's business. That holds for unlabeled images, all of whose
    cells are ``UNKNOWN``, and for the unexamined classes of labeled ones. Where all is known the loss is 0.
    """

    @abstractmethod
    def forward(
        self, outputs: Outputs, teacher: Float[Tensor, "B C H W"], batch: PartialLabelBatch, head: Head
    ) -> Float[Tensor, ""]:
        """Return the loss, unweighted, in fp32.

        Args:
            outputs: The student's logits, with gradient; with deep supervision a list, the finest first.
            teacher: The teacher's probabilities, without.
            batch: Labels and statuses of the same frame.
            head: Turns the student's logits into probabilities.
        """


class ProbabilityConsistency(Consistency, ABC):
    """A distance between the probabilities of the two networks."""

    @final
    def forward(
        self, outputs: Outputs, teacher: Float[Tensor, "B C H W"], batch: PartialLabelBatch, head: Head
    ) -> Float[Tensor, ""]:
        """Return the distance at the finest level."""
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        with torch.autocast(logits.device.type, enabled=False):
            return self.distance(rows(head.probs(logits)), rows(teacher.float()), unknown_evidence_of(batch))

    @abstractmethod
    def distance(
        self, student: Float[Tensor, "B P C"], teacher: Float[Tensor, "B P C"], unknown: Evidence
    ) -> Float[Tensor, ""]:
        """Return the distance over the unknown entries."""


@final
class MSEConsistency(ProbabilityConsistency):
    """Mean squared difference over the unknown (pixel, class) entries (Tarvainen & Valpola, NeurIPS 2017)."""

    def distance(
        self, student: Float[Tensor, "B P C"], teacher: Float[Tensor, "B P C"], unknown: Evidence
    ) -> Float[Tensor, ""]:
        """Return a mean in [0, 1]."""
        return weighted_mean(unknown.sum_pixels((student - teacher) ** 2), unknown.weight)


@final
class KLConsistency(ProbabilityConsistency):
    """Mean Kullback-Leibler divergence of the student from the teacher, each entry a yes or a no.

    An entry is a Bernoulli variable under both heads, so the divergence is defined where only some of an image's
    classes are unknown.

    Args:
        epsilon: Probabilities are clipped to [epsilon, 1 - epsilon], in (0, 0.5).
    """

    def __init__(self, epsilon: float = 1e-4) -> None:
        super().__init__()
        if not 0 < epsilon < 0.5:
            raise ValueError(f"epsilon={epsilon}: must lie in (0, 0.5)")
        self.epsilon = epsilon

    def distance(
        self, student: Float[Tensor, "B P C"], teacher: Float[Tensor, "B P C"], unknown: Evidence
    ) -> Float[Tensor, ""]:
        """Return a mean in nats."""
        p, q = (probs.clamp(self.epsilon, 1 - self.epsilon) for probs in (teacher, student))
        divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        return weighted_mean(unknown.sum_pixels(divergence), unknown.weight)


@final
class DiceConsistency(ProbabilityConsistency):
    """1 minus the soft Dice of student and teacher, pooled over the batch, mean over the classes.

    Squares in the denominator make it 0 where the two agree, sure or not (Milletari et al., 3DV 2016,
    arXiv:1606.04797). A class with one confident pixel weighs as much as one with thousands.

    Args:
        smooth: Pixels added to numerator and denominator, above 0: what classes that neither network sees weigh.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f"smooth={smooth}: must be above 0 pixels")
        self.smooth = smooth

    def distance(
        self, student: Float[Tensor, "B P C"], teacher: Float[Tensor, "B P C"], unknown: Evidence
    ) -> Float[Tensor, ""]:
        """Return a mean in [0, 1]."""
        overlap, areas = summed(
            unknown.sum_pixels(student * teacher).sum(dim=0), unknown.sum_pixels(student**2 + teacher**2).sum(dim=0)
        )
        dice = (2 * overlap + self.smooth) / (areas + self.smooth)
        asked = largest(unknown.cells.amax(dim=(0, 1)))
        return quotient((asked * (1 - dice)).sum(), asked.sum())


@final
class ConfidentLabels(Consistency):
    """The supervised loss against the labels that the teacher is sure of.

    FixMatch (Sohn et al., NeurIPS 2020, arXiv:2001.07685): the weak view's confident pixels become the labels of the
    strong view, all others are ``UNSURE``. With the run's own loss, so it has every term and level of it.

    Args:
        loss: The supervised loss.
        threshold: Least probability to accept, in (0, 1].
        absences: Whether a class that the teacher is sure of at no pixel of an image is absent there. Without it the
            cell stays unknown, and a class that the teacher has not learnt yet is not silenced for good.
    """

    def __init__(self, loss: WeightedSum, threshold: float = 0.95, absences: bool = True) -> None:
        super().__init__()
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}: must lie in (0, 1]")
        self.loss, self.threshold, self.absences = loss, threshold, absences

    def forward(
        self, outputs: Outputs, teacher: Float[Tensor, "B C H W"], batch: PartialLabelBatch, head: Head
    ) -> Float[Tensor, ""]:
        """Return the sum of the loss's weighted terms over the cells that the teacher filled."""
        label, status = confident_labels(teacher, batch.label, batch.status, self.threshold)
        believed = (status == TEACHER) & (batch.status == UNKNOWN)
        if not self.absences:
            believed &= classes_in(label, believed.shape[1])
        filled = torch.where(believed, TEACHER, UNKNOWN).to(status.dtype)
        completed = batch._replace(label=label, status=derive_background(filled), weight=torch.ones_like(batch.weight))
        return torch.stack(list(self.loss(outputs, completed).values())).sum()


def classes_in(label: UInt8[Tensor, "B H W"], num_classes: int) -> Bool[Tensor, "B C"]:
    """Return which classes have a pixel in each image."""
    pixels = label.flatten(1)
    shown = torch.zeros(len(label), 256, dtype=torch.bool, device=label.device).scatter_(1, pixels.long(), True)
    return shown[:, :num_classes]
