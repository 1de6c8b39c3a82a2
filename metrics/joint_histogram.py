"""How often each class was predicted where each was drawn: the count that every overlap metric is read from."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from partial_labels.batch import MAX_CLASSES, UNSURE

ROWS = 256
"""Every uint8 label has its row while counting, so that no mask is needed; the rows of no class are cut off after."""


def joint_histogram(
    label: UInt8[Tensor, "B H W"], prediction: UInt8[Tensor, "B H W"], num_classes: int
) -> Int64[Tensor, "B C C"]:
    """Count the pixels of each image by (label, prediction).

    Intersections, label areas and predicted areas are its diagonal, row sums and column sums, so one pass over the
    pixels serves all classes, where a one-hot comparison takes C passes. On a CPU the count is numpy's, several times
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
    if label.shape != prediction.shape:
        raise ValueError(f"label {tuple(label.shape)} and prediction {tuple(prediction.shape)} differ in shape")
    if not 0 < num_classes <= MAX_CLASSES:
        raise ValueError(f"num_classes={num_classes}: must lie in 1 to {MAX_CLASSES}")
    if prediction.numel() and int(prediction.amax()) >= num_classes:
        raise ValueError(f"prediction holds class {int(prediction.amax())}; there are {num_classes}")
    count = _count_numpy if label.device.type == "cpu" else _count_device
    rows = count(label.flatten(1), prediction.flatten(1), num_classes)
    if rows[:, num_classes:UNSURE].any():
        raise ValueError(f"label holds a class beyond the last, {num_classes - 1}")
    return rows[:, :num_classes].contiguous()


def _count_numpy(
    label: UInt8[Tensor, "B P"], prediction: UInt8[Tensor, "B P"], num_classes: int
) -> Int64[Tensor, "B R C"]:
    """Count image by image, so that the keys stay in the processor's cache."""
    counts = np.empty((len(label), ROWS * num_classes), dtype=np.int64)
    for row, drawn, predicted in zip(counts, label.numpy(), prediction.numpy(), strict=True):
        key = drawn * np.uint16(num_classes)
        key += predicted
        row[:] = np.bincount(key, minlength=len(row))
    return torch.from_numpy(counts).view(len(label), ROWS, num_classes)


def _count_device(
    label: UInt8[Tensor, "B P"], prediction: UInt8[Tensor, "B P"], num_classes: int
) -> Int64[Tensor, "B R C"]:
    """Count all images in one call, each with bins of its own."""
    image = torch.arange(len(label), device=label.device)[:, None]
    key = (image * ROWS + label) * num_classes + prediction
    counts = torch.bincount(key.flatten(), minlength=len(label) * ROWS * num_classes)
    return counts.view(len(label), ROWS, num_classes)
