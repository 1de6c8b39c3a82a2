"""Every logger but ``metrics.csv`` is told what an epoch cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runs.training import train
from tests.configs import small_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*`LearningRateMonitor`.*"),
]


def test_tensorboard_has_the_cost_of_every_epoch_and_the_results_the_memory(slices_folder: Path) -> None:
    cfg = small_run(slices_folder, "logger=default")
    train(cfg)
    run = Path(cfg.paths.run)
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    for key in ("cost/images_per_second", "cost/memory_gb"):
        events = board.Scalars(key)
        assert len(events) == 2 and all(event.value > 0 for event in events), key
    assert "cost/" not in (run / "metrics.csv").read_text()
    results = json.loads((run / "results.json").read_text())
    assert 0.05 < results["memory_gb"] < 100
