"""The picture of the gates, written by a run whose network has some."""

from __future__ import annotations

from pathlib import Path

import pytest

from callbacks.attention_panels import AttentionPanels
from reports.run.page import write_run_page
from runs.training import train
from tests.configs import small_run


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
@pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*")
@pytest.mark.parametrize("model", ["attunet", "unet"])
def test_only_a_network_with_gates_leaves_a_picture_of_them(slices_folder, model):
    cfg = small_run(slices_folder, f"model={model}", "trainer.max_epochs=1")
    train(cfg)
    page = write_run_page(cfg.paths.run)
    pictures = list(Path(cfg.paths.run).rglob("attention.png"))
    assert bool(pictures) == (model == "attunet")
    assert ("gates let through" in page.read_text(encoding="utf-8")) == (model == "attunet")


def test_a_count_out_of_range_is_refused():
    with pytest.raises(ValueError, match="count=0: must be at least 1"):
        AttentionPanels("", count=0)
