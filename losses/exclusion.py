"""Structures do not overlap: where a human drew one, the others are not, whether anybody examined them or not.

These terms stand beside a masked or marginal loss, which does not speak of ``UNKNOWN`` classes on their own. The idea
is the exclusion loss of Shi et al. 2021 (arXiv:2007.03868); both forms here are ``-log p(none of the excluded)``.
"""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from losses.base import SharedLoss, weighted_mean
from losses.sigmoid_reading import SigmoidReading, read_sigmoids
from losses.softmax_reading import SoftmaxReading, read_softmax


@final
class SigmoidExclusion(SharedLoss[SigmoidReading]):
    """Binary cross-entropy against 0 of the ``UNKNOWN`` classes, averaged over the pixels that show a human's class.

    ``UNKNOWN`` cells feel it at those pixels only; known cells feel nothing.
    """

    read = staticmethod(read_sigmoids)

    def of(self, reading: SigmoidReading) -> Float[Tensor, ""]:
        """Return the mean over (pixel, ``UNKNOWN`` class) entries."""
        pixels = reading.evidence.drawn.sum(dim=1, keepdim=True)
        return weighted_mean(reading.excluded, pixels * reading.unknown)


@final
class SoftmaxExclusion(SharedLoss[SoftmaxReading]):
    """``-log`` of 1 minus the summed probability of the ``UNKNOWN`` classes, at the pixels that show a human's class.

    Cross-entropy already asks for the drawn class there and lowers all others alike; this lowers the ``UNKNOWN`` ones
    once more and asks for the known ones. On a fully examined batch it is 0.
    """

    read = staticmethod(read_softmax)

    def of(self, reading: SoftmaxReading) -> Float[Tensor, ""]:
        """Return the mean over those pixels."""
        drawn = reading.evidence.drawn
        return weighted_mean(drawn * reading.known, drawn)
