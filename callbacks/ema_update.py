"""Says when a mean teacher moves."""

from __future__ import annotations

from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


@final
class EMAUpdate(Callback):
    """Moves the teacher after every real optimizer step, by ``min(1 - 1 / (t + 1), decay)``.

    t counts the steps before this one, so the first update copies the student and the average is a plain mean until
    ``decay`` takes over (Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780). Steps are counted by the optimizer
    itself: micro-batches that only accumulate make none, and a step that the gradient scaler skipped because a
    gradient overflowed does not count, though Lightning's ``global_step`` counts it.

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
        self.handles: list[RemovableHandle] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Listen to the optimizer."""

        def after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            if not overflowed(optimizer):
                self.update(pl_module)

        self.handles = [optimizer.register_step_post_hook(after_step) for optimizer in trainer.optimizers]

    def update(self, pl_module: Any) -> None:
        """Move ``pl_module.teacher`` towards ``pl_module.student``."""
        pl_module.teacher.update(pl_module.student, min(1 - 1 / (self.steps + 1), self.decay))
        self.steps += 1

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen no longer; also after an exception."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def state_dict(self) -> dict[str, Any]:
        """Keep the count."""
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.steps = int(state_dict["steps"])


def overflowed(optimizer: Optimizer) -> bool:
    """Tell whether a fused optimizer was called only to find that it must not step.

    The gradient scaler leaves other optimizers uncalled, but hands a fused one its finding and lets it skip by itself.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)
