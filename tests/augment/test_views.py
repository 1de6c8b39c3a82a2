from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from augment.draws import Draws
from augment.mirror import MirrorRule
from augment.views import StrongView, WeakView
from partial_labels.batch import HUMAN, PartialLabelBatch
from runs.configuration.instantiate import build

CONF = Path(__file__).parents[2] / "conf" / "augment"
STILL = MirrorRule("none", (0, 1, 2))


def views(name: str) -> tuple[WeakView, StrongView]:
    node = OmegaConf.load(CONF / f"{name}.yaml")
    return build(node.weak), build(node.strong)


def draws(step: int, stream: int = 0, rows: torch.Tensor | None = None) -> Draws:
    return Draws(0, 0, step, torch.arange(8) if rows is None else rows, 8, stream)


@pytest.fixture
def batch() -> PartialLabelBatch:
    label = torch.randint(0, 3, (8, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    status = torch.full((8, 3), HUMAN, dtype=torch.uint8)
    return PartialLabelBatch(label[:, None] / 4, label, status, torch.rand(8), torch.arange(8))


def test_none_changes_nothing(batch: PartialLabelBatch) -> None:
    weak, strong = views("none")
    seen = weak(batch, draws(0), STILL)
    assert all(torch.equal(old, new) for old, new in zip(batch, seen, strict=True))
    assert torch.equal(strong(batch.image, draws(0)), batch.image)


def test_default_views_keep_the_contract(batch: PartialLabelBatch) -> None:
    weak, strong = views("default")
    different = 0.0
    for step in range(20):
        seen = weak(batch, draws(step), STILL)
        harder = strong(seen.image, draws(step, stream=1))
        for image in (seen.image, harder):
            assert image.shape == batch.image.shape and image.dtype == torch.float32
            assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
        assert seen.label.dtype == torch.uint8
        assert all(torch.equal(getattr(seen, name), getattr(batch, name)) for name in ("status", "weight", "case_id"))
        different += float((seen.image != batch.image).flatten(1).any(1).sum())
    assert different > 100


def test_views_repeat_by_step_and_do_not_depend_on_the_split(batch: PartialLabelBatch) -> None:
    weak, strong = views("default")
    for step in range(5):
        seen = weak(batch, draws(step), STILL)
        harder = strong(seen.image, draws(step, stream=1))
        for rank in range(2):
            rows = torch.arange(8)[rank::2]
            part = weak(PartialLabelBatch(*(values[rows] for values in batch)), draws(step, rows=rows), STILL)
            assert torch.equal(part.label, seen.label[rows])
            assert torch.allclose(part.image, seen.image[rows], atol=1e-6)
            assert torch.allclose(strong(part.image, draws(step, 1, rows)), harder[rows], atol=1e-5)
