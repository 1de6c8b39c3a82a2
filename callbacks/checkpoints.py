"""Says when a checkpoint is written: every few minutes, at the end of each epoch, and when somebody stops the run."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from callbacks.stop_request import StopRequest
from partial_labels.errors import InputError, Interrupted

VALIDATION = "epoch_loop.val_loop.batch_progress"
UNSTARTED = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
LOOK_EVERY = 8
"""Steps between two looks at clock and signals where several processes have to agree on what they see."""


@final
class Checkpoints(Checkpoint):
    """Writes ``last``, and ``best`` by a monitored figure, at moments from which a run goes on to the same bits.

    Within an epoch that is after an optimizer step, but never after the epoch's last batch, where Lightning would take
    the epoch for finished and skip its validation. An epoch's own checkpoint is written when the next one begins, or
    the fit ends: only then a plateau schedule has seen the validation and every figure is logged. ``best`` is that
    checkpoint too, since validation changes no weight.

    Args:
        output: Folder of the stage, ``RUN/checkpoints/<stage>``.
        monitor: The logged figure that tells which is best; larger is better.
        every_minutes: Minutes between two checkpoints within an epoch; null for none.

    Raises:
        ValueError: If ``every_minutes`` is not above 0.
    """

    def __init__(self, output: str, monitor: str, every_minutes: float | None = 10.0) -> None:
        if every_minutes is not None and not every_minutes > 0:
            raise ValueError(f"every_minutes={every_minutes}: must be above 0; null for none")
        self.folder, self.monitor = Path(output), monitor
        self.seconds = math.inf if every_minutes is None else 60 * every_minutes
        self.stop = StopRequest(self.folder.parents[1])
        self.best_score, self.improved = -math.inf, False
        self.saved_batches, self.saved_at = 0, 0.0
        self.moment: Literal["step", "epoch start", "validation", "end"] = "step"

    @property
    def last(self) -> Path | None:
        """The newest checkpoint of the stage."""
        path = self.folder / "last.ckpt"
        return path if path.exists() else None

    @property
    def best(self) -> Path | None:
        """The one with the highest figure, or the newest where none was monitored."""
        path = self.folder / "best.ckpt"
        return path if path.exists() else self.last

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen; nothing has begun yet, so a signal ends the fit at once."""
        if stage == "fit":
            self.stop.listen()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen again, since Lightning has put its own handler of SIGTERM before ours, and start the clock."""
        self.stop.listen()
        self.stop.patient = True
        self.saved_batches, self.saved_at = batches_of(trainer), time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Forget that this fit was resumed: Lightning would keep a plateau schedule from this epoch's figure."""
        trainer.fit_loop._restarting = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within an epoch where it is time, or where the run is to stop."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate() or loop._num_ready_batches_reached():
            return
        if trainer.world_size > 1 and batch_idx % LOOK_EVERY:
            return
        due = time.monotonic() - self.saved_at >= self.seconds
        stop, due = agreed(trainer, (self.stop.signum, due))
        if stop is not None or due:
            self.save(trainer, "step")
        self.obey(stop)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget that this fit was resumed, as before a batch."""
        trainer.fit_loop._restarting = False

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save where the run is to stop in a validation, which is then done again from its beginning."""
        if self.stop.signum is not None and trainer.world_size == 1:
            self.save(trainer, "validation")
            self.obey(self.stop.signum)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See whether the monitored figure has risen; one that is not finite counts as the lowest.

        Raises:
            InputError: If it was not logged.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        logged = trainer.callback_metrics
        if self.monitor not in logged:
            known = ", ".join(sorted(key for key in logged if key.startswith("val/")))
            raise InputError(f"monitor={self.monitor}: it was not logged; choose one of {known}")
        score = float(logged[self.monitor])
        first = self.best_score == -math.inf and not (self.folder / "best.ckpt").exists()
        if score > self.best_score or first:
            self.best_score, self.improved = score if math.isfinite(score) else -math.inf, True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the epoch before has left, if there was one in this process."""
        if batches_of(trainer) > self.saved_batches:
            self.save(trainer, "epoch start")
        self.obey(agreed(trainer, self.stop.signum))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the last epoch has left."""
        self.save(trainer, "end")
        self.stop.patient = False
        self.obey(agreed(trainer, self.stop.signum))

    def save(self, trainer: pl.Trainer, moment: Literal["step", "epoch start", "validation", "end"]) -> None:
        """Write a checkpoint, in every process, as one of which the first writes."""
        self.moment = moment
        trainer.save_checkpoint(self.folder / "last.ckpt", weights_only=False, storage_options={"best": self.improved})
        self.improved = False
        self.saved_batches, self.saved_at = batches_of(trainer), time.monotonic()

    def obey(self, signum: int | None) -> None:
        """Stop the run if somebody asked for it.

        Raises:
            Interrupted: With the directory to continue in.
        """
        if signum is not None:
            raise Interrupted(signum, self.stop.run)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write Lightning's counters as they have to be found: it has none of its own for these moments."""
        loops = checkpoint["loops"]["fit_loop"]
        if self.moment == "epoch start":  # the epoch that has just begun is begun again
            for tracker in loops["epoch_progress"].values():
                tracker["ready"] -= 1
        if self.moment == "validation":  # one batch begun and none done: Lightning then goes back to the validation
            loops[VALIDATION]["total"] |= UNSTARTED | {"ready": 1, "started": 1}
            loops[VALIDATION]["current"] |= UNSTARTED
            loops[VALIDATION]["is_last_batch"] = False

    def state_dict(self) -> dict[str, Any]:
        """Keep the highest figure."""
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with it, where the checkpoint that reached it is still there."""
        self.best_score = state_dict["best_score"] if (self.folder / "best.ckpt").exists() else -math.inf


def checkpoints_of(trainer: pl.Trainer) -> Checkpoints | None:
    """Return the callback that writes a Trainer's checkpoints; a user may have added others of the same kind."""
    return next((one for one in trainer.checkpoint_callbacks if isinstance(one, Checkpoints)), None)


def batches_of(trainer: pl.Trainer) -> int:
    """Return the batches that the fit has seen in all."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


def agreed(trainer: pl.Trainer, value: Any) -> Any:
    """Return what the first process sees, in every process."""
    return value if trainer.world_size == 1 else trainer.strategy.broadcast(value)
