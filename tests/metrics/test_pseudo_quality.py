import numpy as np
import pytest
import torch

from metrics.pseudo_quality import PseudoQuality
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch

NAMES = ("background", "liver", "kidney")


def cells(*rows):
    return torch.tensor(rows, dtype=torch.uint8)


def truth_of(label, status=None):
    status = torch.full((len(label), len(NAMES)), HUMAN, dtype=torch.uint8) if status is None else status
    return PartialLabelBatch(
        torch.zeros(len(label), 1, *label.shape[1:]), label, status, torch.ones(len(label)), torch.arange(len(label))
    )


def test_figures_by_hand():
    """Case 0: both classes filled. Case 1: only the kidney; the liver was a human's. Case 2: all rejected."""
    label = cells([1, 1, 0, UNSURE, 2, 2], [1, 2, 2, 2, 0, IGNORE], [UNSURE, 0, 0, 0, 0, 0])[:, None]
    truth = cells([1, 0, 1, 1, 2, 0], [1, 2, 0, 0, 2, 2], [1, 0, 0, 0, 0, 0])[:, None]
    status = cells([TEACHER] * 3, [TEACHER, HUMAN, TEACHER], [UNKNOWN] * 3)
    shown = cells([UNKNOWN] * 3, [UNKNOWN, HUMAN, UNKNOWN], [UNKNOWN] * 3)
    quality = PseudoQuality(NAMES)
    quality.update(label, status, shown, truth_of(truth))
    found = quality.compute()
    assert (found["cells"], found["cases"]) == (3, 2)
    assert found["coverage"] == pytest.approx(3 / 5)
    assert found["pixels"] == pytest.approx(10 / 11)
    # liver, case 0: given {0, 1}, true {0, 2} (3 is unsure). kidney: given {4, 5} and {1, 2, 3}, true {4} and {1, 4}
    assert found["precision/liver"] == pytest.approx(1 / 2) and found["dice/liver"] == pytest.approx(2 / 4)
    assert found["precision/kidney"] == pytest.approx(2 / 5) and found["dice/kidney"] == pytest.approx(4 / 8)
    assert found["precision"] == pytest.approx(3 / 7) and found["dice"] == pytest.approx(0.5)


def test_wrong_assertions_are_counted_by_cell():
    label = cells([1, 0], [0, 2], [0, UNSURE])[:, None]
    truth = cells([0, 0], [1, 0], [0, 1])[:, None]
    status, shown = torch.full((3, 3), TEACHER, dtype=torch.uint8), torch.zeros(3, 3, dtype=torch.uint8)
    quality = PseudoQuality(NAMES)
    quality.update(label, status, shown, truth_of(truth))
    liver, kidney = quality.table()
    assert (liver.present, liver.false_present, liver.false_absent) == (1, 1, 1)
    assert (kidney.present, kidney.false_present, kidney.false_absent) == (1, 1, 0)
    assert liver.known == kidney.accepted == 3


def test_where_no_truth_is_known_only_the_coverage_is_said():
    label, unknown = cells([1, 2])[:, None], torch.zeros(1, 3, dtype=torch.uint8)
    quality = PseudoQuality(NAMES)
    quality.update(label, torch.full((1, 3), TEACHER, dtype=torch.uint8), unknown, truth_of(label, unknown))
    assert quality.compute() == {"cells": 2, "coverage": 1, "cases": 1, "pixels": 1}
    assert quality.table()[0].known == 0 and np.isnan(quality.table()[0].dice)


def test_figures_do_not_depend_on_batches():
    rng = torch.Generator().manual_seed(0)
    label, truth = (torch.randint(3, (6, 5, 5), generator=rng, dtype=torch.uint8) for _ in range(2))
    shown = torch.randint(2, (6, 3), generator=rng, dtype=torch.uint8)
    status = torch.where(shown == UNKNOWN, TEACHER, shown).to(torch.uint8)
    whole, parts = PseudoQuality(NAMES), PseudoQuality(NAMES)
    whole.update(label, status, shown, truth_of(truth))
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        parts.update(label[rows], status[rows], shown[rows], truth_of(truth[rows]))
    assert whole.compute() == parts.compute() and whole.table() == parts.table()
