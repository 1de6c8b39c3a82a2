"""What an epoch costs."""

from __future__ import annotations

import time
from typing import Any, final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from partial_labels.memory import peak_memory_gb


@final
class Cost(Callback):
    """Logs how many images a second an epoch was trained on, validation aside, and the most memory used so far.

    TensorBoard and W&B show it; ``metrics.csv``, which is the same to the bit whenever a run is run, leaves it out.
    """

    def __init__(self) -> None:
        self.started = self.seconds = 0.0
        self.images = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count where a resumed run goes on in the middle of an epoch, whose start it does not see."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count."""
        self.started, self.images = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images, and stop the clock: validation follows the last batch."""
        self.images += len(batch.image)
        if trainer.is_last_batch and pl_module.device.type == "cuda":  # the host runs ahead of it
            torch.cuda.synchronize(pl_module.device)
        self.seconds = time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log both with the epoch's other figures."""
        if self.images:
            speed = self.images * trainer.world_size / self.seconds
            pl_module.log_dict({"cost/images_per_second": speed, "cost/memory_gb": peak_memory_gb()})
