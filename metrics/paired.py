"""Whether one network is better than another on the same volumes, or only luckier."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metrics.means import Floats, mean_over_cases, mean_over_classes


class Difference(NamedTuple):
    """A difference of means, and the interval that holds 95 % of its bootstrap replicates."""

    mean: float
    low: float
    high: float


def paired_difference(
    ours: Floats, baseline: Floats, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Difference:
    """Return how much better ours is, with a bootstrap interval over volumes (Efron & Tibshirani, 1993).

    Volumes are drawn with replacement, the same for both, and the mean is taken as everywhere: over volumes, then over
    classes. It tells how far the difference depends on which patients were measured; how far it depends on the seed,
    the spread over seeds tells.

    Args:
        ours: (N, K) Dice by volume and class, NaN where there is none.
        baseline: (N, K) of the same volumes and classes.
        resamples: Number of replicates.
        seed: Of the draws.
        level: Share of the replicates inside the interval.

    Raises:
        ValueError: If the shapes differ.
    """
    if ours.shape != baseline.shape:
        raise ValueError(f"paired difference: shapes {ours.shape} and {baseline.shape} are not of the same volumes")

    def difference(rows: np.ndarray) -> float:
        return mean_over_classes(mean_over_cases(ours[rows])) - mean_over_classes(mean_over_cases(baseline[rows]))

    every = np.arange(len(ours))
    rng = np.random.default_rng(seed)
    replicates = [difference(rng.choice(every, len(every))) for _ in range(resamples)]
    low, high = np.nanquantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Difference(difference(every), float(low), float(high))
