"""How often each class was predicted where each was drawn: the count that every overlap metric is read from."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from partial_labels.batch import MAX_CLASSES, UNSURE

ROWS = 256
"""Every uint8 label has its row while counting, so that no mask is needed."""
MANY_RUNS = 0.3
"""Above this number of runs a pixel (noise, in effect) it is faster to count the pixels themselves."""


def joint_histogram(
    label: UInt8[Tensor, "B H W"], prediction: UInt8[Tensor, "B H W"], num_classes: int
) -> Int64[Tensor, "B C C"]:
    """Count the pixels of each image by (label, prediction).

    Intersections, label areas and predicted areas are its diagonal, row sums and column sums, so one pass over the
    pixels serves all classes, where a one-hot comparison takes C passes. On a CPU the count is numpy's, many times
    faster than torch's.

    Args:
        label: Class ids; ``UNSURE`` and ``IGNORE`` pixels are left out.
        prediction: Class ids.
        num_classes: C, background included.

    Returns:
        Number of pixels, row = label, column = prediction.

    Raises:
        ValueError: If the shapes differ or an id is not below ``num_classes``.
    """
    return count_pairs(label, prediction, num_classes)[:, :num_classes].contiguous()


def count_pairs(
    label: UInt8[Tensor, "B H W"], prediction: UInt8[Tensor, "B H W"], num_classes: int
) -> Int64[Tensor, "B R C"]:
    """As :func:`joint_histogram`, with one more row, R = C + 1: the ``UNSURE`` pixels."""
    if label.shape != prediction.shape:
        raise ValueError(f"label {tuple(label.shape)} and prediction {tuple(prediction.shape)} differ in shape")
    if not 0 < num_classes <= MAX_CLASSES:
        raise ValueError(f"num_classes={num_classes}: must lie in 1 to {MAX_CLASSES}")
    if not label.numel():
        return torch.zeros(len(label), num_classes + 1, num_classes, dtype=torch.int64, device=label.device)
    beyond = label - num_classes  # below zero uint8 wraps around, so that only ids of no class come out small
    highest, lowest = torch.stack([prediction.amax(), beyond.amin()]).tolist()  # a device is asked once
    if highest >= num_classes:
        raise ValueError(f"prediction holds class {highest}; there are {num_classes}")
    if lowest < UNSURE - num_classes:
        raise ValueError(f"label holds class {lowest + num_classes}; there are {num_classes}")
    count = _count_numpy if label.device.type == "cpu" else _count_device
    return count(label.flatten(1), prediction.flatten(1), num_classes)


def _count_numpy(
    label: UInt8[Tensor, "B P"], prediction: UInt8[Tensor, "B P"], num_classes: int
) -> Int64[Tensor, "B R C"]:
    """Count image by image, so that the keys stay in the processor's cache, and by runs of equal pairs.

    Label maps are made of areas, so there are some 20 pixels to a run, and finding the runs is cheaper than counting.
    """
    counts = np.empty((len(label), num_classes + 1, num_classes), dtype=np.int64)
    for out, drawn, predicted in zip(counts, label.numpy(), prediction.numpy(), strict=True):
        key = drawn * np.uint16(num_classes)
        key += predicted
        ends = key[1:] != key[:-1]
        if np.count_nonzero(ends) > MANY_RUNS * len(key):
            table = np.bincount(key, minlength=ROWS * num_classes)
        else:
            last = np.append(np.flatnonzero(ends), len(key) - 1)
            table = np.bincount(key[last], weights=np.diff(last, prepend=-1), minlength=ROWS * num_classes)
        rows = table.reshape(ROWS, num_classes)
        out[:-1], out[-1] = rows[:num_classes], rows[UNSURE]
    return torch.from_numpy(counts)


def _count_device(
    label: UInt8[Tensor, "B P"], prediction: UInt8[Tensor, "B P"], num_classes: int
) -> Int64[Tensor, "B R C"]:
    """Count all images in one call, each with bins of its own."""
    image = torch.arange(len(label), device=label.device)[:, None]
    key = ((image * ROWS + label) * num_classes + prediction).flatten()
    counts = key.new_zeros(len(label) * ROWS * num_classes)
    counts.scatter_add_(0, key, torch.ones_like(key))  # bincount would ask for the range of its keys
    rows = counts.view(len(label), ROWS, num_classes)
    return torch.cat([rows[:, :num_classes], rows[:, UNSURE, None]], dim=1)
