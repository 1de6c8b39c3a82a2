"""How the weight of the unsupervised loss grows."""

from __future__ import annotations

import math


def gaussian_rampup(progress: float) -> float:
    """Return ``exp(-5 (1 - progress)^2)``: near 0 while the teacher knows nothing, 1 from ``progress`` 1 on.

    Laine & Aila, Temporal Ensembling, ICLR 2017, arXiv:1610.02242.

    Args:
        progress: How much of the ramp is over; clipped to [0, 1].
    """
    return math.exp(-5 * (1 - min(max(progress, 0.0), 1.0)) ** 2)
