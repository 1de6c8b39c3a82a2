import numpy as np
import torch

from metrics.confusion import Confusion
from partial_labels.batch import HUMAN, IGNORE, UNSURE, PartialLabelBatch

NAMES = ("background", "left", "right")


def test_pixels_are_counted_by_what_was_drawn_and_what_was_predicted():
    generator = torch.Generator().manual_seed(0)
    kinds = torch.tensor([0, 1, 2, UNSURE, IGNORE], dtype=torch.uint8)
    metric, expected = Confusion(NAMES), np.zeros((4, 3), dtype=np.int64)
    for _ in range(2):
        label = kinds[torch.randint(5, (2, 7, 8), generator=generator)]
        prediction = torch.randint(3, (2, 7, 8), generator=generator, dtype=torch.uint8)
        status = torch.full((2, 3), HUMAN, dtype=torch.uint8)
        metric.update(
            prediction, PartialLabelBatch(torch.zeros(2, 1, 7, 8), label, status, torch.ones(2), torch.arange(2))
        )
        for drawn, found in zip(label.flatten().tolist(), prediction.flatten().tolist(), strict=True):
            if drawn != IGNORE:
                expected[3 if drawn == UNSURE else drawn, found] += 1
    assert np.array_equal(metric.compute().numpy(), expected)
