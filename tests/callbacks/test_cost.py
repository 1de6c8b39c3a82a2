"""Every logger but ``metrics.csv`` is told what an epoch cost."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.cost import Cost
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


def test_an_epoch_that_a_resume_enters_in_its_middle_is_timed_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([1000.0, 1004.0, 1008.0])
    monkeypatch.setattr("callbacks.cost.time.perf_counter", lambda: next(now))
    trainer, module = create_autospec(pl.Trainer, instance=True), create_autospec(pl.LightningModule, instance=True)
    trainer.world_size = 1
    batch = SimpleNamespace(image=torch.zeros(6, 1, 4, 4))
    cost = Cost()
    cost.on_train_start(trainer, module)
    for index in range(2):
        cost.on_train_batch_end(trainer, module, None, batch, index)
    cost.on_train_epoch_end(trainer, module)
    assert module.log_dict.call_args.args[0]["cost/images_per_second"] == 12 / 8
