from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.partial_dice import PartialDice
from partial_labels.batch import (
    HUMAN,
    IGNORE,
    TEACHER,
    UNKNOWN,
    UNSURE,
    PartialLabelBatch,
    ValidationBatch,
    derive_background,
)

NAMES = ("background", "liver", "spleen", "aorta", "stomach")
C = len(NAMES)


def as_batch(label, status, case_id):
    label, status = torch.as_tensor(label, dtype=torch.uint8), torch.as_tensor(status, dtype=torch.uint8)
    image = torch.zeros(len(label), 1, *label.shape[1:])
    return PartialLabelBatch(image, label, derive_background(status), torch.ones(len(label)), torch.as_tensor(case_id))


def as_validation(label, status, case_id, volume, truth=None, truth_status=None):
    seen = as_batch(label, status, case_id)
    full = seen if truth is None else as_batch(truth, truth_status, case_id)
    return ValidationBatch(seen, full, torch.as_tensor(volume))


def random_case(seed, n):
    """Small maps, so that empty, absent, missed and perfect cells all come up."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 0, 0, *range(C)], size=(n, 3, 4))
    status = rng.choice([UNKNOWN, HUMAN, HUMAN, TEACHER], size=(n, C))
    status[:, rng.integers(1, C)] = UNKNOWN  # a class that nobody ever examined
    shown = np.where(np.take_along_axis(status, truth.reshape(n, -1), 1).reshape(truth.shape) == HUMAN, truth, 0)
    shown[rng.random(shown.shape) < 0.1] = UNSURE
    ignored = rng.random(shown.shape) < 0.1
    shown[ignored], truth[ignored] = IGNORE, IGNORE
    truth_status = np.where(rng.random((n, C)) < 0.9, HUMAN, status)
    agree = rng.random(truth.shape) < 0.6
    prediction = np.where(agree & (truth < C), truth, rng.integers(0, C, truth.shape))
    prediction[rng.random(n) < 0.3] = 0
    volume = rng.integers(0, 3, n)
    batch = as_validation(shown, status, np.arange(n), volume, truth, truth_status)
    return torch.as_tensor(prediction, dtype=torch.uint8), batch


def slow_dice(prediction, batch, every=False):
    """{(case, class): (2 intersection, sum of areas)} pixel by pixel over the cells that count."""
    counts = {}
    for i in range(len(prediction)):
        for c in range(1, C):
            if not every and batch.status[i, c] != HUMAN:
                continue
            twice, size = 0, 0
            for drawn, predicted in zip(
                batch.label[i].flatten().tolist(), prediction[i].flatten().tolist(), strict=True
            ):
                if drawn != IGNORE:
                    twice += 2 * (drawn == c and predicted == c)
                    size += (drawn == c) + (predicted == c)
            counts[i, c] = (twice, size)
    return counts


def slow_mean(counts):
    """Mean over the countable units of each class, then over the classes that have one."""
    by_class = {}
    for (_, c), (twice, size) in counts.items():
        if size:
            by_class.setdefault(c, []).append(twice / size)
    means = {c: sum(values) / len(values) for c, values in by_class.items()}
    return means, (sum(means.values()) / len(means) if means else math.nan)


def slow_pool(counts, volume):
    pooled = {}
    for (i, c), (twice, size) in counts.items():
        before = pooled.get((int(volume[i]), c), (0, 0))
        pooled[int(volume[i]), c] = (before[0] + twice, before[1] + size)
    return pooled


def same(a, b):
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-12)


def part(batch, rows):
    pieces = [PartialLabelBatch(*(field[rows] for field in side)) for side in (batch.seen, batch.truth)]
    return ValidationBatch(*pieces, batch.volume[rows])


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 7))
def test_equals_a_slow_oracle(seed, n):
    prediction, batch = random_case(seed, n)
    metric = PartialDice(NAMES)
    metric.update(prediction, batch)
    figures = {name: float(value) for name, value in metric.compute().items()}

    seen = slow_dice(prediction, batch.seen)
    classes, dice = slow_mean(seen)
    volume_classes, volume_dice = slow_mean(slow_pool(seen, batch.volume))
    assert same(figures.pop("dice"), dice)
    assert same(figures.pop("dice_volume"), volume_dice)
    assert same(figures.pop("dice_pessimistic"), slow_mean(slow_dice(prediction, batch.seen, every=True))[1])
    assert figures.pop("dice_classes") == len(classes)
    inside = prediction[batch.seen.label != IGNORE]
    assert same(figures.pop("foreground_fraction"), (inside > 0).double().mean().item() if len(inside) else math.nan)
    more = (batch.truth.status[:, 1:] == HUMAN).sum() > (batch.seen.status[:, 1:] == HUMAN).sum()
    truth_classes, truth_dice = slow_mean(slow_dice(prediction, batch.truth))
    assert ("dice_truth" in figures) == bool(more)
    if more:
        assert same(figures.pop("dice_truth"), truth_dice)
    assert {name: figures[f"dice/{name}"] for name in NAMES if f"dice/{name}" in figures} == pytest.approx(
        {NAMES[c]: value for c, value in classes.items()}, rel=1e-12
    )
    assert len(figures) == len(classes)

    for c, row in enumerate(metric.table(), start=1):
        examined = [i for i in range(n) if batch.seen.status[i, c] == HUMAN]
        shown = [i for i in examined if (batch.seen.label[i] == c).any()]
        wrong = [i for i in examined if i not in shown and seen[i, c][1] > 0]
        assert row.name == NAMES[c]
        assert same(row.dice, classes.get(c, math.nan))
        assert same(row.dice_volume, volume_classes.get(c, math.nan))
        assert same(row.dice_truth, truth_classes.get(c, math.nan) if more else math.nan)
        assert (row.present, row.absent) == (len(shown), len(examined) - len(shown))
        assert (row.unknown, row.false_positives) == (n - len(examined), len(wrong))

    expected = {key: twice / size for key, (twice, size) in seen.items() if size}
    cases = metric.per_case()
    assert (
        dict(zip(zip(cases.case_id.tolist(), cases.class_id.tolist(), strict=True), cases.dice, strict=True))
        == expected
    )
    assert cases.volume.tolist() == [int(batch.volume[i]) for i in cases.case_id]

    volumes = metric.per_volume()
    places = list(zip(volumes.volume.tolist(), volumes.class_id.tolist(), strict=True))
    for pooled, values in (
        (slow_pool(seen, batch.volume), volumes.dice),
        (slow_pool(slow_dice(prediction, batch.truth), batch.volume), volumes.dice_truth),
    ):
        found = {place: value for place, value in zip(places, values, strict=True) if not math.isnan(value)}
        assert found == {place: twice / size for place, (twice, size) in pooled.items() if size}


def one_row(*values):
    return [[list(values)]]


def test_by_hand():
    """Liver 2 of 2+3 pixels, spleen certainly absent but predicted, aorta empty in both, stomach not examined."""
    label, prediction = one_row(1, 1, 0, 0, 0, IGNORE), torch.tensor(one_row(1, 1, 1, 2, 4, 4), dtype=torch.uint8)
    status = [[0, HUMAN, HUMAN, HUMAN, UNKNOWN]]
    metric = PartialDice(NAMES)
    metric.update(prediction, as_validation(label, status, [3], [0]))
    figures = {name: float(value) for name, value in metric.compute().items()}
    assert figures == pytest.approx(
        {
            "dice": 0.4,
            "dice_volume": 0.4,
            "dice_pessimistic": 0.8 / 3,
            "dice_classes": 2,
            "foreground_fraction": 1,
            "dice/liver": 0.8,
            "dice/spleen": 0,
        }
    )


def test_volume_pools_only_its_examined_slices():
    """The second slice of volume 0 predicts liver where nobody looked; volume 1 is perfect."""
    label = [[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]], [[1, 1, 1, 1]]]
    prediction = torch.tensor([[[1, 0, 0, 0]], [[1, 1, 1, 1]], [[1, 1, 1, 0]], [[1, 1, 1, 1]]], dtype=torch.uint8)
    status = [[0, examined, 0, 0, 0] for examined in (HUMAN, UNKNOWN, HUMAN, HUMAN)]
    metric = PartialDice(NAMES)
    metric.update(prediction, as_validation(label, status, [0, 1, 2, 3], [0, 0, 0, 1]))
    assert float(metric.compute()["dice_volume"]) == pytest.approx((2 * 2 / (3 + 4) + 1) / 2)


def test_nothing_countable_is_nan_and_no_class():
    metric = PartialDice(NAMES)
    metric.update(torch.zeros(1, 2, 2, dtype=torch.uint8), as_validation([[[0, 0], [0, 0]]], [[HUMAN] * C], [0], [0]))
    figures = metric.compute()
    assert figures["dice"].isnan()
    assert figures["dice_classes"] == 0
    assert len(metric.per_case().dice) == 0


def test_neither_the_batches_nor_repeated_cases_matter():
    prediction, batch = random_case(7, 6)
    whole, split = PartialDice(NAMES), PartialDice(NAMES)
    whole.update(prediction, batch)
    for rows in ([4, 5], [0, 1, 2], [3, 0, 5]):
        split.update(prediction[rows], part(batch, rows))
    assert whole.compute() == split.compute()
    assert [value.tolist() for value in whole.per_case()] == [value.tolist() for value in split.per_case()]


def test_several_processes_gather_their_cases():
    prediction, batch = random_case(8, 6)
    whole, here, there = (PartialDice(NAMES) for _ in range(3))
    whole.update(prediction, batch)
    here.update(prediction[:2], part(batch, slice(0, 2)))
    there.update(prediction[2:4], part(batch, slice(2, 4)))
    there.update(prediction[3:], part(batch, slice(3, 6)))
    here.merge_state(there)
    assert here.compute() == whole.compute()


def test_native_slices_of_any_size():
    metric = PartialDice(NAMES)
    for case, (height, width) in enumerate([(2, 3), (5, 4), (1, 1)]):
        full = np.ones((1, height, width))
        batch = as_validation(full, [[HUMAN] * C], [case], [case])
        metric.update(torch.from_numpy(full.astype(np.uint8)), batch)
    assert metric.compute()["dice"] == 1


def test_reset_forgets():
    metric = PartialDice(NAMES)
    prediction, batch = random_case(9, 3)
    metric.update(prediction, batch)
    before = metric.compute()
    metric.reset()
    metric.update(batch.seen.label * 0, batch)
    assert metric.compute()["foreground_fraction"] == 0
    metric.reset()
    metric.update(prediction, batch)
    assert metric.compute().keys() == before.keys()


@pytest.mark.usefixtures("unchecked_shapes")
def test_refuses_wrong_input():
    with pytest.raises(ValueError, match="class_names"):
        PartialDice(["background"])
    prediction, batch = random_case(0, 2)
    with pytest.raises(ValueError, match="shape"):
        PartialDice(NAMES).update(prediction[:1], batch)
