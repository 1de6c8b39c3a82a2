from __future__ import annotations

import pytest
import torch

from augment.mirror import MirrorRule
from partial_labels.batch import HUMAN, IGNORE, TEACHER, UNKNOWN, UNSURE, PartialLabelBatch


def one_image() -> PartialLabelBatch:
    label = torch.tensor([[[0, 1, 2, 2], [3, 2, UNSURE, IGNORE]]], dtype=torch.uint8)
    status = torch.tensor([[UNKNOWN, HUMAN, TEACHER, UNKNOWN]], dtype=torch.uint8)
    return PartialLabelBatch(label[:, None] / 255, label, status, torch.ones(1), torch.tensor([7]))


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_mirror_flips_along_the_axis_and_swaps_ids_and_statuses(axis: str) -> None:
    batch = one_image()
    mirrored = MirrorRule(axis, (0, 1, 3, 2)).apply(batch)
    swapped = torch.tensor([[[0, 1, 3, 3], [2, 3, UNSURE, IGNORE]]], dtype=torch.uint8)
    dim = 1 if axis == "rows" else 2
    assert torch.equal(mirrored.label, swapped.flip(dim))
    assert torch.equal(mirrored.image, batch.image.flip(dim + 1))
    assert mirrored.status.tolist() == [[UNKNOWN, HUMAN, UNKNOWN, TEACHER]]
    assert torch.equal(mirrored.case_id, batch.case_id)


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_mirror_twice_is_nothing(axis: str) -> None:
    batch, rule = one_image(), MirrorRule(axis, (0, 1, 3, 2))
    assert all(torch.equal(old, new) for old, new in zip(batch, rule.apply(rule.apply(batch)), strict=True))


def test_without_pairs_or_axis_mirrors_are_forbidden() -> None:
    assert not MirrorRule("columns", (0, 1, 3, 2)).forbidden
    assert MirrorRule("none", (0, 1, 3, 2)).forbidden
    assert MirrorRule("columns", (0, 1, 2)).forbidden


@pytest.mark.parametrize("axis, swap", [("depth", (0, 1)), ("rows", (0, 2, 3, 1)), ("rows", (1, 0)), ("rows", (0, 5))])
def test_a_wrong_rule_is_refused(axis: str, swap: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mirror"):
        MirrorRule(axis, swap)
