"""Says when a mean teacher moves."""

from __future__ import annotations

from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from callbacks.optimizer_steps import OptimizerSteps


@final
class EMAUpdate(Callback):
    """Moves the teacher after every real optimizer step, by ``min(1 - 1 / (t + 1), decay)``.

    t counts the steps before this one, so the first update copies the student and the average is a plain mean until
    ``decay`` takes over (Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780). Lightning's ``global_step`` would not
    do: it also counts the steps that a gradient scaler skipped.

    Args:
        decay: Largest decay, in [0, 1).

    Raises:
        ValueError: If ``decay`` lies outside [0, 1).
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: must lie in [0, 1)")
        self.decay = decay
        self.steps = 0
        self.optimizer_steps = OptimizerSteps()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Listen to the optimizer."""
        self.optimizer_steps.listen(trainer.optimizers, lambda: self.update(pl_module))

    def update(self, pl_module: Any) -> None:
        """Move ``pl_module.teacher`` towards ``pl_module.student``."""
        pl_module.teacher.update(pl_module.student, min(1 - 1 / (self.steps + 1), self.decay))
        self.steps += 1

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen no longer; also after an exception."""
        self.optimizer_steps.stop()

    def state_dict(self) -> dict[str, Any]:
        """Keep the count."""
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.steps = int(state_dict["steps"])
