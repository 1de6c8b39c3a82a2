"""Watch a run: one stops it where it can only go wrong, the others say what looks wrong."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from callbacks.checkpoints import checkpoints_of
from callbacks.optimizer_steps import OptimizerSteps
from partial_labels.batch import PartialLabelBatch
from partial_labels.errors import InputError

log = logging.getLogger(__name__)


class NonFiniteGuard(Callback):
    """Stops the run when a loss or a weight is no longer finite.

    A GPU is asked only every few steps, because each answer makes the host wait for it; the steps in between are
    remembered, so the message names the first that went wrong.

    Args:
        every_n_steps: Steps between two looks.
    """

    def __init__(self, every_n_steps: int = 25) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps={every_n_steps}: must be at least 1")
        self.every_n_steps = every_n_steps
        self.pending: list[tuple[int, Tensor, Tensor]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: PartialLabelBatch, batch_idx: int
    ) -> None:
        """Remember whether the loss was finite, and look when it is time."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self.pending.append((trainer.global_step, loss.detach().isfinite(), batch.case_id))
        if len(self.pending) >= self.every_n_steps:
            self.look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at what remains of the epoch."""
        self.look(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before a checkpoint is written, so that none holds what cannot be continued."""
        self.look(trainer, pl_module)

    def look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise if anything since the last look was not finite.

        Raises:
            InputError: Naming the step, the cases and the last good checkpoint.
        """
        pending, self.pending = self.pending, []
        finite = torch.stack([flag for _, flag, _ in pending]).tolist() if pending else []
        for (step, _, case_ids), good in zip(pending, finite, strict=True):
            if not good:
                raise InputError(f"the loss is not finite at step {step}, cases {case_ids.tolist()}; {advice(trainer)}")
        weights: list[Tensor] = [parameter for parameter in pl_module.parameters() if parameter.requires_grad]
        if not bool(torch.stack(torch._foreach_norm(weights)).isfinite().all()):
            raise InputError(f"a weight is not finite after step {trainer.global_step}; {advice(trainer)}")


class CollapseReport(Callback):
    """Warns when the network predicts background everywhere in a whole validation epoch."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read what the module logged when its epoch ended, which is after the callbacks' own epoch end."""
        fraction = trainer.callback_metrics.get("val/foreground_fraction")
        if fraction is not None and float(fraction) == 0:
            log.warning(
                "epoch %d: collapse, every validation pixel is predicted as background; a few such epochs at the start "
                "are common, later ones ask for a lower learning rate or another loss",
                trainer.current_epoch,
            )


class SkippedSteps(Callback):
    """Logs how many optimizer steps of an epoch the gradient scaler skipped because a gradient overflowed.

    A few at the start are how a scaler finds its scale; many mean that half precision does not suit the network.
    Lightning's ``global_step`` counts them as steps. Without a scaler nothing is logged.
    """

    def __init__(self) -> None:
        self.made, self.begun = 0, 0
        self.resumed = False
        self.optimizer_steps = OptimizerSteps()

    def state_dict(self) -> dict[str, int]:
        """Return what a run that goes on in the middle of an epoch has already counted of it."""
        return {"made": self.made, "begun": self.begun}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting."""
        self.made, self.begun, self.resumed = state_dict["made"], state_dict["begun"], True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the optimizer."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            self.optimizer_steps.listen(trainer.optimizers, self.count)
        if not self.resumed:
            self.made, self.begun = 0, trainer.global_step
        self.resumed = False

    def count(self) -> None:
        """Count a step that was made."""
        self.made += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the steps that Lightning counted and the optimizer did not make."""
        if self.optimizer_steps.listening:
            pl_module.log("train/skipped_steps", float(trainer.global_step - self.begun - self.made))
        self.made, self.begun = 0, trainer.global_step

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen no longer; also after an exception."""
        self.optimizer_steps.stop()


def advice(trainer: pl.Trainer) -> str:
    """Name the last good checkpoint and what to try."""
    checkpoints = checkpoints_of(trainer)
    good = checkpoints and checkpoints.last
    return (
        f"last good checkpoint: {good or 'none was written yet'}; try a lower optimizer.lr or trainer.precision=32-true"
    )
