import numpy as np
import torch

from callbacks.known_case import KnownCase, panel_of
from partial_labels.batch import HUMAN, UNKNOWN, PartialLabelBatch, ValidationBatch


def test_the_truth_is_kept_only_where_it_knows_more_than_was_shown():
    status = torch.tensor([[UNKNOWN, HUMAN, UNKNOWN], [HUMAN, HUMAN, HUMAN]], dtype=torch.uint8)
    label = torch.randint(0, 2, (2, 4, 4), dtype=torch.uint8)
    seen = PartialLabelBatch(torch.rand(2, 3, 4, 4), label, status, torch.ones(2), torch.arange(2))
    truth = seen._replace(label=label + 1, status=torch.full_like(status, HUMAN))
    batch = ValidationBatch(seen, truth, torch.zeros(2, dtype=torch.int64))
    hidden, whole = (KnownCase.of(batch, row) for row in (0, 1))
    assert np.array_equal(hidden.truth, label[0] + 1) and whole.truth is None
    assert np.array_equal(hidden.image, seen.image[0, 0]) and hidden.status.tolist() == [UNKNOWN, HUMAN, UNKNOWN]
    panel = panel_of(batch, 0, "a", label[1])
    assert np.array_equal(panel.label, label[0]) and np.array_equal(panel.prediction, label[1])
    assert panel.truth is not None and np.isnan(panel.dice)
