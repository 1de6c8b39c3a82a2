import math

import numpy as np
import pytest
import torch

from metrics.reliability import Bin, Reliability, calibration_error, pooled
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch

NAMES = ("background", "liver", "spleen", "aorta")


def batch_of(label, status):
    count = len(label)
    return PartialLabelBatch(
        torch.zeros(count, 1, *label.shape[1:]), label, status, torch.ones(count), torch.arange(count)
    )


def drawn(seed, count=3, side=9):
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.tensor([0, 1, 2, 3, UNSURE, IGNORE], dtype=torch.uint8)
    label = kinds[torch.randint(6, (count, side, side), generator=generator)]
    prediction = torch.randint(4, (count, side, side), generator=generator, dtype=torch.uint8)
    status = torch.tensor([UNKNOWN, HUMAN, TEACHER], dtype=torch.uint8)[
        torch.randint(3, (count, 4), generator=generator)
    ]
    return prediction, torch.rand(count, side, side, generator=generator), batch_of(label, status)


def slowly(prediction, confidence, batch, bins):
    """Count pixel by pixel."""
    counts = {}
    for place in np.ndindex(*prediction.shape):
        found, label = int(prediction[place]), int(batch.label[place])
        if found and batch.status[place[0], found] == HUMAN and label != IGNORE:
            sure = float(confidence[place])
            key = (found, min(int(sure * bins), bins - 1))
            pixels, correct, total = counts.get(key, (0, 0, 0.0))
            counts[key] = (pixels + 1, correct + (label == found), total + sure)
    return counts


def test_only_predictions_of_examined_classes_are_judged():
    metric, expected = Reliability(NAMES, bins=5), {}
    for seed in range(3):
        prediction, confidence, batch = drawn(seed)
        metric.update(prediction, confidence, batch)
        for key, values in slowly(prediction, confidence, batch, 5).items():
            expected[key] = tuple(a + b for a, b in zip(values, expected.get(key, (0, 0, 0.0)), strict=True))
    found = {(b.class_id, round(b.low * 5)): (b.pixels, b.correct, b.confidence * b.pixels) for b in metric.table()}
    assert found.keys() == expected.keys()
    assert all(found[key] == pytest.approx(expected[key], rel=1e-6) for key in found)


def test_memory_does_not_grow_with_the_cases():
    metric = Reliability(NAMES)
    sizes = []
    for seed in range(3):
        metric.update(*drawn(seed))
        sizes.append(sum(state.numel() for state in metric.metric_state.values()))
    assert len(set(sizes)) == 1


def test_full_confidence_falls_into_the_last_bin():
    metric = Reliability(NAMES, bins=4)
    ones = torch.ones(1, 2, 2)
    metric.update(ones.byte(), ones, batch_of(ones.byte(), torch.full((1, 4), HUMAN, dtype=torch.uint8)))
    assert metric.table() == [Bin(1, 0.75, 1.0, 4, 4, 1.0)]


def test_who_is_right_as_often_as_sure_has_no_error_and_who_is_too_sure_has_the_difference():
    honest = [Bin(1, 0.5, 0.6, 100, 55, 0.55), Bin(1, 0.9, 1.0, 100, 95, 0.95)]
    assert calibration_error(honest) == pytest.approx(0, abs=1e-12)
    assert calibration_error([Bin(1, 0.9, 1.0, 100, 70, 0.95), honest[0]]) == pytest.approx(0.125)
    assert math.isnan(calibration_error([]))


def test_pooled_bins_hold_all_classes():
    bins = [Bin(1, 0.5, 0.6, 10, 5, 0.52), Bin(2, 0.5, 0.6, 30, 30, 0.56), Bin(2, 0.6, 0.7, 1, 0, 0.6)]
    first, second = pooled(bins)
    assert first[:5] == (0, 0.5, 0.6, 40, 35) and first.confidence == pytest.approx(0.55)
    assert second[:5] == (0, 0.6, 0.7, 1, 0)


def test_one_bin_says_nothing():
    with pytest.raises(ValueError, match="bins=1: must be 2 or more"):
        Reliability(NAMES, bins=1)
