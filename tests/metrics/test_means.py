from __future__ import annotations

import math

import numpy as np

from metrics.means import mean_over_cases, mean_over_classes


def test_a_class_counts_once_however_many_cases_it_has():
    values = np.array([[0.0, 1.0, np.nan], [0.5, np.nan, np.nan], [1.0, np.nan, np.nan]])
    means = mean_over_cases(values)
    assert means[:2].tolist() == [0.5, 1.0]
    assert math.isnan(means[2])
    assert mean_over_classes(means) == 0.75


def test_nothing_counted_is_nan():
    assert math.isnan(mean_over_classes(mean_over_cases(np.full((2, 3), np.nan))))
    assert math.isnan(mean_over_classes(mean_over_cases(np.empty((0, 3)))))
