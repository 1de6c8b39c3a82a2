"""Whether one network is better than another on the same cases, or only luckier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from metrics.means import Floats, mean_over_cases, ratio


class Difference(NamedTuple):
    """A difference of means, and the interval that holds 95 % of its bootstrap replicates."""

    mean: float
    low: float
    high: float

    @property
    def outcome(self) -> Literal["nothing to compare", "no difference", "may be noise", "better", "worse"]:
        """What may be said of it; other cases could turn round one whose interval holds 0."""
        if math.isnan(self.mean):
            return "nothing to compare"
        if self.low == self.high == 0:
            return "no difference"
        if self.low <= 0 <= self.high:
            return "may be noise"
        return "better" if self.mean > 0 else "worse"


class CellSums(NamedTuple):
    """The Dice of one run, added up over the cases of each unit that is drawn as a whole, such as a patient.

    Both are (N, K) by unit and class: the sum over the countable cases, and how many there are.
    """

    total: Floats
    number: Floats

    @classmethod
    def of_values(cls, values: Floats) -> CellSums:
        """Take each row of (N, K) as a unit of one case, NaN where a class is not countable."""
        return cls(np.nan_to_num(values), np.isfinite(values).astype(np.float64))

    def means(self, draws: Floats) -> Floats:
        """Return (R,), the mean over cases, then over classes, with each unit counted ``draws`` (R, N) times."""
        number = draws @ self.number
        by_class = ratio(draws @ self.total, number, number > 0)
        return mean_over_cases(by_class.T)


def paired_difference(
    ours: Floats, baseline: Floats, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Difference:
    """Return how much better ours is, with a bootstrap interval over volumes: :func:`paired_gain` of one run each.

    Args:
        ours: (N, K) Dice by volume and class, NaN where there is none.
        baseline: (N, K) of the same volumes and classes.
        resamples: Number of replicates.
        seed: Of the draws.
        level: Share of the replicates inside the interval.

    Raises:
        ValueError: If the shapes differ.
    """
    return paired_gain([CellSums.of_values(ours)], [CellSums.of_values(baseline)], resamples, seed, level)


def paired_gain(
    ours: Sequence[CellSums], baseline: Sequence[CellSums], resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Difference:
    """Return how much better our runs are on average, with a bootstrap interval over units (Efron & Tibshirani, 1993).

    Units are drawn with replacement, the same for every run, and the mean is taken as everywhere: over cases, then over
    classes, then over runs. It tells how far the difference depends on which patients were measured; how far it
    depends on the seed, the spread over seeds tells.

    Args:
        ours: Our runs, on N units and K classes.
        baseline: The runs to compare with, on the same.
        resamples: Number of replicates.
        seed: Of the draws.
        level: Share of the replicates inside the interval.

    Raises:
        ValueError: If the shapes differ.
    """
    shapes = {sums.total.shape for sums in (*ours, *baseline)}
    if len(shapes) != 1:
        raise ValueError(f"paired difference: shapes {' and '.join(map(str, shapes))} are not of the same volumes")
    count, rng = len(ours[0].total), np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(resamples)]
    draws = np.array([np.ones(count), *drawn], dtype=np.float64)
    means = [np.mean([run.means(draws) for run in runs], axis=0) for runs in (ours, baseline)]
    difference = means[0] - means[1]
    low, high = np.nanquantile(difference[1:], [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(difference[0]), float(low), float(high))
