from __future__ import annotations

import numpy as np
import pytest
import torch

from metrics.joint_histogram import _count_device, _count_numpy, joint_histogram
from partial_labels.batch import IGNORE, UNSURE


def random_maps(seed: int, classes: int, shape=(3, 9, 7)):
    rng = np.random.default_rng(seed)
    label = rng.choice([*range(classes), UNSURE, IGNORE], size=shape).astype(np.uint8)
    prediction = rng.integers(0, classes, size=shape).astype(np.uint8)
    return torch.from_numpy(label), torch.from_numpy(prediction)


def slow(label, prediction, classes):
    counts = torch.zeros(len(label), classes, classes, dtype=torch.int64)
    for image in range(len(label)):
        for drawn, predicted in zip(label[image].flatten().tolist(), prediction[image].flatten().tolist(), strict=True):
            if drawn < classes:
                counts[image, drawn, predicted] += 1
    return counts


@pytest.mark.parametrize("classes", [1, 2, 5, 55, 254])
def test_equals_counting_pixel_by_pixel(classes):
    label, prediction = random_maps(classes, classes)
    counts = joint_histogram(label, prediction, classes)
    assert counts.dtype == torch.int64
    assert torch.equal(counts, slow(label, prediction, classes))


@pytest.mark.parametrize("width", [1, 2, 40])
def test_areas_are_counted_by_runs(width):
    """Long runs, that go on over the end of a line, and one that ends with the last pixel."""
    label, prediction = random_maps(2, 5, shape=(4, 6, width))
    label, prediction = label.repeat_interleave(8, dim=2), prediction.repeat_interleave(11, dim=2)[:, :, : 8 * width]
    label[0], prediction[0] = 3, 4
    assert torch.equal(joint_histogram(label, prediction, 5), slow(label, prediction, 5))


@pytest.mark.parametrize("classes", [3, 254])
def test_both_ways_of_counting_agree(classes):
    label, prediction = (maps.flatten(1) for maps in random_maps(0, classes))
    assert torch.equal(_count_numpy(label, prediction, classes), _count_device(label, prediction, classes))


def test_views_that_are_not_contiguous():
    label, prediction = random_maps(1, 4, shape=(5, 8, 6))
    label, prediction = label[::2].transpose(1, 2), prediction[::2].transpose(1, 2)
    assert torch.equal(joint_histogram(label, prediction, 4), slow(label, prediction, 4))


def test_no_images():
    empty = torch.zeros(0, 4, 4, dtype=torch.uint8)
    assert joint_histogram(empty, empty, 3).shape == (0, 3, 3)


@pytest.mark.parametrize("outside", [3, 253])
def test_refuses_ids_outside_the_table(outside):
    good = torch.zeros(1, 2, 2, dtype=torch.uint8)
    bad = good.clone()
    bad[0, 1, 1] = outside
    with pytest.raises(ValueError, match=f"label holds class {outside}"):
        joint_histogram(bad, good, 3)
    with pytest.raises(ValueError, match=f"prediction holds class {outside}"):
        joint_histogram(good, bad, 3)


@pytest.mark.usefixtures("unchecked_shapes")
def test_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="differ in shape"):
        joint_histogram(torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1, 2, 3, dtype=torch.uint8), 3)
