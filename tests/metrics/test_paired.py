import numpy as np
import pytest

from metrics.paired import Difference, paired_difference


def test_the_difference_is_of_means_over_volumes_and_then_classes():
    baseline = np.array([[0.5, np.nan], [0.7, 0.2]])
    ours = np.array([[0.6, np.nan], [0.7, 0.6]])
    assert paired_difference(ours, baseline).mean == pytest.approx(((0.65 - 0.6) + (0.6 - 0.2)) / 2)


def test_the_same_gain_everywhere_leaves_no_doubt_and_a_noisy_one_does():
    rng = np.random.default_rng(0)
    baseline = rng.uniform(0.2, 0.8, (40, 3))
    sure = paired_difference(baseline + 0.02, baseline)
    assert (sure.low, sure.high) == pytest.approx((0.02, 0.02))
    noisy = paired_difference(baseline + rng.normal(0.0, 0.2, baseline.shape), baseline)
    assert noisy.low < 0 < noisy.high and noisy.low < noisy.mean < noisy.high


def test_the_interval_of_a_mean_is_that_of_theory():
    differences = np.random.default_rng(1).normal(0.1, 0.3, (200, 1))
    found = paired_difference(0.5 + differences, np.full((200, 1), 0.5))
    half = 1.96 * differences.std() / 200**0.5
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.006)


def test_other_volumes_are_refused():
    with pytest.raises(ValueError, match="not of the same volumes"):
        paired_difference(np.zeros((2, 3)), np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("difference", "outcome"),
    [
        ((0.2, 0.1, 0.3), "better"),
        ((-0.2, -0.3, -0.1), "worse"),
        ((0.2, 0.0, 0.3), "may be noise"),
        ((0.0, 0.0, 0.0), "no difference"),
        ((float("nan"),) * 3, "nothing to compare"),
    ],
)
def test_the_outcome_is_what_the_interval_allows(difference, outcome):
    assert Difference(*difference).outcome == outcome
