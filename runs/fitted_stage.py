"""What a stage leaves behind, and what every stage brings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from runs.loading import write_json


@dataclass(frozen=True)
class FittedStage:
    """What one stage leaves behind; ``stage.json`` beside its checkpoints says that it is finished.

    Args:
        name: The stage.
        last: Its checkpoint after the last step.
        best: Its checkpoint with the highest monitored figure.
        epochs: Epochs of the stage.
        steps: Optimizer steps.
        seconds: Process CPU seconds of the fit.
        wall_seconds: Seconds on the clock.
    """

    name: str
    last: Path
    best: Path
    epochs: int
    steps: int
    seconds: float
    wall_seconds: float

    def write(self, folder: Path) -> None:
        """Declare the stage finished, in one rename."""
        record = asdict(self) | {"last": self.last.name, "best": self.best.name}
        write_json(folder / "stage.json", record)


class KeepConfig(Callback):
    """Puts the run's configuration into every checkpoint, as plain values that load without trusting the file."""

    def __init__(self, config: DictConfig) -> None:
        self.config: Any = OmegaConf.to_container(config, resolve=True)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the configuration, with what builds the network without files that lie elsewhere."""
        model = {**self.config["model"], **pl_module.student.network.standalone_keys}
        checkpoint["config"] = {**self.config, "model": model}


class ContinuousAxis(Callback):
    """Counts epochs and logged steps on from stage to stage, so that one curve shows them all.

    Args:
        epochs: Epochs of the stages before.
        steps: Their optimizer steps.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        self.epochs, self.steps = epochs, steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the step that loggers are told, unless a checkpoint has brought it along."""
        loop = trainer.fit_loop.epoch_loop
        loop._batches_that_stepped = max(loop._batches_that_stepped, self.steps + trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch, in place of Lightning's."""
        pl_module.log("epoch", float(self.epochs + trainer.current_epoch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Likewise with the validation's figures."""
        pl_module.log("epoch", float(self.epochs + trainer.current_epoch))
