"""One run of two processes, as ``train.py trainer=ddp`` starts it, beside the same run of one."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from partial_labels.errors import InputError
from runs.hardware.processes import refuse_sweep
from runs.training import train
from tests.configs import small_run

pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*")

ROOT = Path(__file__).parents[1]
SMALL = ("data.image_size=32", "data.batch_size=4", "data.similarity=1.0", "model.width=4", "model.depth=3")
CURVES = ("train/loss", "train/bce", "train/dice", "train/unsupervised", "val/dice")


def curves(run):
    """Return columns of ``metrics.csv``."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows if row.get(key)] for key in CURVES}


def train_in_two(folder, root, *overrides):
    """Train from the command line in two processes."""
    data = ("data=slices", f"data.root={folder}", f"paths.cache={root}/cache", f"hydra.run.dir={root}/run")
    two = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.threads=1")
    quiet = ("trainer.progress_bar=false", "logger=csv")
    command = [sys.executable, str(ROOT / "train.py"), *data, *SMALL, *quiet, *overrides, *two]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return root / "run"


def test_two_processes_give_the_curves_of_one(slices_folder, tmp_path):
    options = ("ssl=mean_teacher", "model.norm=instance", "trainer.max_epochs=2")
    cfg = small_run(slices_folder, *options, root=tmp_path / "one")
    train(cfg)
    run = train_in_two(slices_folder, tmp_path / "two", *options)
    one, two = curves(Path(cfg.paths.run)), curves(run)
    assert len(one["train/loss"]) == 2
    for key in CURVES:
        assert two[key] == pytest.approx(one[key], rel=1e-5, abs=1e-6), key
    assert (run / "results.json").exists() and (run / "report.html").exists()


def test_a_sweep_of_several_processes_is_refused(monkeypatch):
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    class Job:
        mode = RunMode.MULTIRUN

    monkeypatch.setattr(HydraConfig, "initialized", staticmethod(lambda: True))
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: Job))
    with pytest.raises(InputError, match=r"trainer\.devices=2: a sweep runs each job in one process"):
        refuse_sweep(2)
    refuse_sweep(1)
