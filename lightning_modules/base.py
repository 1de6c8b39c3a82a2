"""The one training step; a strategy adds its unsupervised loss and nothing else it can avoid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.schedules import Schedule
from losses.weighted_sum import WeightedSum
from metrics.partial_dice import PartialDice
from models.network import SegmentationNetwork
from models.normalised import NormalisedNetwork
from partial_labels.batch import PartialLabelBatch, ValidationBatch
from partial_labels.classes import ClassTable
from partial_labels.head import Head

Outputs = Tensor | Sequence[Tensor]
"""What a network returns: logits, or with deep supervision several levels of them, the finest first."""

MONITORS = ("val/dice", "val/dice_volume", "val/dice_pessimistic", "val/dice_truth")
"""What can choose the best checkpoint: larger is better."""


class SegmentationModule(pl.LightningModule, ABC):
    """Trains a student on partially labeled batches and validates it on what was examined.

    Args:
        network: The student's network, without weights from elsewhere.
        head: Turns logits into probabilities and label maps.
        loss: The supervised loss, a weighted sum of terms.
        optimizer: Makes the optimizer from parameters.
        schedule: The learning-rate schedule.
        classes: The class table; C = ``len(classes)``.
        mean: Mean intensity of the training cases, kept in the checkpoint.
        std: Their standard deviation.
        monitor: The logged metric that tells which checkpoint is best.

    Raises:
        ValueError: If no such metric is logged.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        head: Head,
        loss: WeightedSum,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        schedule: Schedule,
        classes: ClassTable,
        mean: float,
        std: float,
        monitor: str = "val/dice",
    ) -> None:
        super().__init__()
        if monitor not in (*MONITORS, *(f"val/dice/{name}" for name in classes.foreground)):
            raise ValueError(f"monitor={monitor}: choose {', '.join(MONITORS)} or val/dice/<class>")
        self.student = NormalisedNetwork(network)
        self.student.set_statistics(mean, std)
        self.head, self.loss = head, loss
        self.make_optimizer, self.schedule = optimizer, schedule
        self.classes, self.monitor = classes, monitor
        self.val_dice = PartialDice(classes.names)

    @final
    def training_step(self, batch: PartialLabelBatch, batch_idx: int) -> Tensor:
        """Return the supervised loss plus the weighted unsupervised one."""
        logits = self.student(batch.image)
        supervised = self.supervised_loss(logits, batch)
        unsupervised = self.unsupervised_loss(batch, logits)
        loss: Tensor = supervised + self.unsupervised_weight * unsupervised
        self.log_training({"loss": loss, "supervised": supervised, "unsupervised": unsupervised}, batch)
        return loss

    def supervised_loss(self, logits: Outputs, batch: PartialLabelBatch) -> Float[Tensor, ""]:
        """Return the sum of the loss's weighted terms, and log each."""
        terms = self.loss(logits, batch)
        self.log_training(terms, batch)
        return torch.stack(list(terms.values())).sum()

    @abstractmethod
    def unsupervised_loss(self, batch: PartialLabelBatch, logits: Outputs) -> Float[Tensor, ""]:
        """Return the strategy's loss on what nobody labeled."""

    @property
    def unsupervised_weight(self) -> float:
        """The weight lambda of the unsupervised loss at this step."""
        return 1.0

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> None:
        """Count the student's prediction."""
        self.val_dice.update(self.head.predict(self.student(batch.seen.image)), batch)

    def on_validation_epoch_end(self) -> None:
        """Log ``val/dice`` and its relatives."""
        figures = self.val_dice.compute()
        self.val_dice.reset()
        self.log_dict({f"val/{key}": value for key, value in figures.items() if key != "dice"})
        if "dice" in figures:
            self.log("val/dice", figures["dice"], prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return the optimizer over what can be trained, and its schedule over the stage's steps."""
        optimizer = self.make_optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.schedule.build(optimizer, steps, self.monitor)}

    def log_training(self, values: dict[str, Tensor], batch: PartialLabelBatch) -> None:
        """Log epoch means under ``train/``."""
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch.image),
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the class table with the weights, as plain values."""
        checkpoint["classes"] = self.classes.to_json()
