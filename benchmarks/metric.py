"""Dice of 64 slices of 256 x 256 and 55 classes: ours beside MONAI's and torchmetrics', interleaved, on one thread.

``python -m benchmarks metric`` prints the median process CPU time of each and how many times ours fits into it.
Each starts from two uint8 label maps and ends with one number, so what a metric needs in between, such as one-hot
masks, is part of its time. ``--rounds``, ``--images``, ``--size`` and ``--classes`` change the measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from monai.metrics import DiceMetric
from monai.networks.utils import one_hot
from torch import Tensor
from torchmetrics.segmentation import DiceScore

from benchmarks.measuring import in_turn, parser, print_costs, record
from metrics.partial_dice import PartialDice
from partial_labels.batch import HUMAN, PartialLabelBatch, ValidationBatch

ORGANS_PER_SLICE = 12
SHIFT = 3


def draw_maps(images: int, size: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return label and prediction (B, H, W): a dozen discs a slice, predicted a little off and one of them wrongly."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    label = np.zeros((images, size, size), dtype=np.uint8)
    for image in label:
        for organ in rng.choice(np.arange(1, classes), min(ORGANS_PER_SLICE, classes - 1), replace=False):
            row, column = rng.uniform(0.15, 0.85, size=2) * size
            image[(rows - row) ** 2 + (columns - column) ** 2 <= (rng.uniform(0.03, 0.15) * size) ** 2] = organ
    prediction = np.roll(label, SHIFT, axis=1)
    for image in prediction:
        image[image == image.max()] = rng.integers(1, classes)
    return torch.from_numpy(label), torch.from_numpy(prediction)


def ours(label: Tensor, prediction: Tensor, classes: int) -> float:
    """Every cell examined: Dice by slice, by volume and pessimistic, and the table's counts, in one go."""
    count = len(label)
    status = torch.full((count, classes), HUMAN, dtype=torch.uint8)
    seen = PartialLabelBatch(torch.empty(count, 1, 1, 1), label, status, torch.ones(count), torch.arange(count))
    metric = PartialDice([str(number) for number in range(classes)])
    metric.update(prediction, ValidationBatch(seen, seen, torch.arange(count)))
    return float(metric.compute()["dice"])


def monai_one_hot(label: Tensor, prediction: Tensor, classes: int) -> float:
    """The usual way: both maps to one-hot masks, then DiceMetric."""
    metric = DiceMetric(include_background=False, reduction="mean_batch")
    metric(one_hot(prediction[:, None], classes), one_hot(label[:, None], classes))
    return float(metric.aggregate().nanmean())


def monai_label_maps(label: Tensor, prediction: Tensor, classes: int) -> float:
    """DiceMetric given the label maps: it loops over images and classes."""
    metric = DiceMetric(include_background=False, reduction="mean_batch", num_classes=classes)
    metric(prediction[:, None], label[:, None])
    return float(metric.aggregate().nanmean())


def torchmetrics_dice(label: Tensor, prediction: Tensor, classes: int) -> float:
    """DiceScore given the label maps; an absent class counts as it sees fit."""
    metric = DiceScore(classes, include_background=False, average="macro", input_format="index")
    metric.update(prediction.long(), label.long())
    return float(metric.compute())


CONTENDERS = (ours, monai_one_hot, monai_label_maps, torchmetrics_dice)


def main() -> None:
    """Read the options, draw the maps, let each tell the Dice in turn."""
    options = parser(__doc__, rounds=5, images=64, size=256, classes=55).parse_args()
    torch.set_num_threads(1)
    label, prediction = draw_maps(options.images, options.size, options.classes)
    dice: dict[str, float] = {}

    def tell(contender: Callable[[Tensor, Tensor, int], float]) -> None:
        dice[contender.__name__] = contender(label, prediction, options.classes)

    cost = in_turn({one.__name__: partial(tell, one) for one in CONTENDERS}, options.rounds)
    print(f"{options.images} x {options.size} x {options.size}, {options.classes} classes, {options.rounds} rounds")
    print_costs(cost, ours.__name__)
    print("Dice:", ", ".join(f"{name} {value:.4f}" for name, value in dice.items()))
    print("MONAI leaves out a class that is predicted where it is absent; ours counts it as 0.")
    record("metric", cost)


if __name__ == "__main__":
    main()
