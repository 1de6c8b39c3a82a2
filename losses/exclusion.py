"""Structures do not overlap: where a human drew one, the others are not, whether anybody examined them or not.

These terms stand beside a masked or marginal loss, which does not speak of ``UNKNOWN`` classes on their own. The idea
is the exclusion loss of Shi et al. 2021 (arXiv:2007.03868); both forms here are ``-log p(none of the excluded)``.
"""

from __future__ import annotations

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from losses.base import PartialLoss, weighted_mean
from losses.evidence import Evidence, evidence_of, rows
from losses.softmax import surprise, surprise_among
from partial_labels.batch import UNKNOWN, PartialLabelBatch


def drawn_by_human(evidence: Evidence) -> Float[Tensor, "B P"]:
    """Return 1 where a pixel shows a class that a human examined."""
    return evidence.cells[:, 1].gather(1, evidence.channel)


@final
class SigmoidExclusion(PartialLoss):
    """Binary cross-entropy against 0 of the ``UNKNOWN`` classes, averaged over the pixels that show a human's class.

    ``UNKNOWN`` cells feel it at those pixels only; known cells feel nothing.
    """

    def forward(self, logits: Float[Tensor, "B K H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean over (pixel, ``UNKNOWN`` class) entries."""
        drawn = drawn_by_human(evidence_of(batch))[:, None]
        unknown = (batch.status[:, 1:] == UNKNOWN).float()
        present = (drawn @ F.softplus(rows(logits)))[:, 0]
        return weighted_mean(present * unknown, drawn.sum(dim=2) * unknown)


@final
class SoftmaxExclusion(PartialLoss):
    """``-log`` of 1 minus the summed probability of the ``UNKNOWN`` classes, at the pixels that show a human's class.

    Cross-entropy already asks for the drawn class there and lowers all others alike; this lowers the ``UNKNOWN`` ones
    once more and asks for the known ones. On a fully examined batch it is 0.
    """

    def forward(self, logits: Float[Tensor, "B C H W"], batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the mean over those pixels."""
        evidence = evidence_of(batch)
        drawn = drawn_by_human(evidence)
        target = evidence.channel * (drawn > 0)
        among_known = surprise_among(batch.status > UNKNOWN, logits, target)
        return weighted_mean(drawn * (surprise(logits, target) - among_known), drawn)
