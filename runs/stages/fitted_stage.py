"""What a stage leaves behind, and what every stage brings."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from partial_labels.errors import InputError
from partial_labels.memory import peak_memory_gb
from runs.checkpoints.ledger import close
from runs.checkpoints.loading import write_json
from runs.metrics_csv import MetricsCSV

RECORD = "stage.json"


@dataclass(frozen=True)
class FittedStage:
    """What one stage leaves behind; ``stage.json`` beside its checkpoints says that it is finished.

    Args:
        name: The stage.
        last: Its checkpoint after the last step.
        best: Its checkpoint with the highest monitored figure.
        epochs: Epochs of the stage.
        steps: Optimizer steps.
        seconds: Process CPU seconds of the fit, of all its parts where it was resumed.
        wall_seconds: Seconds on the clock, likewise.
        rows: Rows that ``metrics.csv`` had at its end.
        memory_gb: The most memory used in the run so far; None of a stage that was fitted before this was kept.
    """

    name: str
    last: Path
    best: Path
    epochs: int
    steps: int
    seconds: float
    wall_seconds: float
    rows: int
    memory_gb: float | None = None

    def write(self, folder: Path) -> None:
        """Declare the stage finished, in one rename."""
        close(folder)
        record = asdict(self) | {"last": self.last.name, "best": self.best.name}
        write_json(folder / RECORD, record)

    @classmethod
    def read(cls, folder: Path) -> FittedStage | None:
        """Return what :meth:`write` declared; None where the stage is not finished.

        Raises:
            InputError: If the record is damaged.
        """
        path = folder / RECORD
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return cls(**record | {"last": folder / record["last"], "best": folder / record["best"]})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged ({error}); delete it to finish the stage again") from error


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
        if trainer.global_step == 0:
            trainer.fit_loop.epoch_loop._batches_that_stepped = self.steps

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch, in place of Lightning's."""
        pl_module.log("epoch", float(self.epochs + trainer.current_epoch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Likewise with the validation's figures."""
        pl_module.log("epoch", float(self.epochs + trainer.current_epoch))


class LastEpochValidated(Callback):
    """Validates after the last epoch of a stage, however many lie between two validations.

    The last weights may be the best ones, and the best ones are those that label and that later stages begin from.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See where a resumed fit goes on: within an epoch nothing says that it begins."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have this epoch validated if none comes after it."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class KeepProgress(Callback):
    """Counts what a stage has cost and logged, on from where a checkpoint was written.

    Args:
        steps: Optimizer steps of the stages before.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.cpu, self.wall = -time.process_time(), -time.monotonic()
        self.memory = 0.0

    @property
    def seconds(self) -> tuple[float, float]:
        """Process CPU seconds, and seconds by a clock that nobody can set back."""
        return self.cpu + time.process_time(), self.wall + time.monotonic()

    @property
    def memory_gb(self) -> float:
        """The most memory used, in this part of the run or one before."""
        return max(self.memory, peak_memory_gb())

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add steps, rows of ``metrics.csv`` and costs; the rows are written first, a killed process writes none."""
        for logger in trainer.loggers:
            logger.save()
        cpu, wall = self.seconds
        steps = self.steps + trainer.global_step
        costs = {"cpu": cpu, "wall": wall, "memory": self.memory_gb}
        checkpoint["progress"] = {"steps": steps, "rows": logged_rows(trainer), **costs}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what the parts before cost."""
        self.cpu += checkpoint["progress"]["cpu"]
        self.wall += checkpoint["progress"]["wall"]
        self.memory = checkpoint["progress"].get("memory", 0.0)


def logged_rows(trainer: pl.Trainer) -> int:
    """Return how many rows ``metrics.csv`` has."""
    return next((one.experiment.rows for one in trainer.loggers if isinstance(one, MetricsCSV)), 0)
