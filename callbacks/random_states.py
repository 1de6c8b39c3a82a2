"""Random number generators in the checkpoint: what dropout draws after a resume is what it would have drawn."""

from __future__ import annotations

import random
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback


@final
class RandomStates(Callback):
    """Saves the state of every generator of every process, and sets it again just before the first step.

    Until then the generators may be used for what is thrown away, such as the initial weights. Augmentation and the
    order of the data need none of this: they are drawn from seed, epoch and step.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the states, one entry a process."""
        states: list[Any] = [random_state()] * trainer.world_size
        if trainer.world_size > 1:
            dist.all_gather_object(states, random_state())
        checkpoint["random_states"] = states

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember this process's states; one that was not there before goes on from its own seed."""
        states = checkpoint["random_states"]
        self.waiting = states[trainer.global_rank] if trainer.global_rank < len(states) else None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set them before the first step."""
        self._restore()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Likewise where the run was stopped in a validation."""
        self._restore()

    def _restore(self) -> None:
        if self.waiting is not None:
            set_random_state(self.waiting)
            self.waiting = None


def random_state() -> dict[str, Any]:
    """Return the states of Python, NumPy, torch and every GPU, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set what :func:`random_state` returned."""
    name, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(state["cuda"])
