import signal
import subprocess
from types import SimpleNamespace

import pytest
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from lightning_modules.evaluation import EvaluationModule
from partial_labels.errors import Interrupted
from runs.hardware.interrupts import interruptible
from runs.hardware.processes import together
from runs.training import train
from tests.configs import small_run


def test_ctrl_c_in_an_evaluation_is_one(slices_folder, monkeypatch):
    def step(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(EvaluationModule, "test_step", step)
    with pytest.raises(Interrupted, match="SIGINT"):
        train(small_run(slices_folder, "trainer.max_epochs=1"))


def test_another_exit_stays_one(unchecked_shapes):
    with pytest.raises(SystemExit), interruptible(SimpleNamespace(interrupted=False)):
        raise SystemExit(3)


def test_the_others_end_when_the_first_process_fails(unchecked_shapes):
    other = subprocess.Popen(["sleep", "100"])
    launcher = _SubprocessScriptLauncher.__new__(_SubprocessScriptLauncher)
    launcher.procs = [other]
    trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(launcher=launcher))
    with pytest.raises(OSError, match="full"), together(trainer):
        raise OSError("the disk is full")
    assert other.wait(timeout=10) == -signal.SIGKILL
