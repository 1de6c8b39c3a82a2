"""The one training step; a strategy adds its unsupervised loss and nothing else it can avoid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from augment.views import StrongView
from lightning_modules.epoch_means import EpochMeans
from lightning_modules.schedules import Schedule
from losses.weighted_sum import WeightedSum
from metrics.figures import LOGGED
from metrics.partial_dice import PartialDice
from models.network import SegmentationNetwork
from models.normalised import NormalisedNetwork, Statistic
from partial_labels.batch import PartialLabelBatch, ValidationBatch
from partial_labels.classes import ClassTable
from partial_labels.head import Head

Outputs = Tensor | Sequence[Tensor]
"""What a network returns: logits, or with deep supervision several levels of them, the finest first."""


class SegmentationModule(pl.LightningModule, ABC):
    """Trains a student on partially labeled batches and validates it on what was examined.

    Rows of the labeled stream are seen as the DataModule gives them, the weak view; the others, unlabeled and
    pseudo-labeled, through the strong view, where there is one. It has no geometry, so every network sees one frame.

    Args:
        network: The student's network, without weights from elsewhere.
        head: Turns logits into probabilities and label maps.
        loss: The supervised loss, a weighted sum of terms.
        optimizer: Makes the optimizer from parameters.
        schedule: The learning-rate schedule.
        classes: The class table; C = ``len(classes)``.
        mean: Mean intensity of the training cases, or of each of their channels; kept in the checkpoint.
        std: The standard deviation likewise.
        monitor: The logged metric that tells which checkpoint is best.
        strong: What the student sees of the rows that no human labeled; None for the weak view.
        monitored: The network whose figures are ``val/``: it chooses the best checkpoint and is used afterwards.

    Raises:
        ValueError: If no such metric is logged, or no such network is validated.
    """

    validated: ClassVar[tuple[str, ...]] = ("student",)
    """The networks that are validated; one that is not monitored logs under ``val_<network>/``."""
    watched: ClassVar[tuple[str, ...]] = ()
    """Properties that are logged as they stand at the end of each epoch."""

    def __init__(
        self,
        network: SegmentationNetwork,
        head: Head,
        loss: WeightedSum,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        schedule: Schedule,
        classes: ClassTable,
        mean: Statistic,
        std: Statistic,
        monitor: str = "val/dice",
        strong: StrongView | None = None,
        monitored: str = "student",
    ) -> None:
        super().__init__()
        if monitor not in (*LOGGED, *(f"val/dice/{name}" for name in classes.foreground)):
            raise ValueError(f"monitor={monitor}: choose {', '.join(LOGGED)} or val/dice/<class>")
        if monitored not in self.validated:
            raise ValueError(f"monitored={monitored}: choose {' or '.join(self.validated)}")
        self.student = NormalisedNetwork(network, channels=1 if isinstance(mean, float) else len(mean))
        self.student.set_statistics(mean, std)
        self.head, self.loss = head, loss
        self.make_optimizer, self.schedule = optimizer, schedule
        self.classes, self.monitor, self.strong, self.monitored_name = classes, monitor, strong, monitored
        self.val_dice = nn.ModuleDict({name: PartialDice(classes.names) for name in self.validated})
        self.total_steps = 0
        self.means = EpochMeans()

    @final
    def training_step(self, batch: PartialLabelBatch, batch_idx: int) -> Tensor:
        """Return the supervised loss plus the weighted unsupervised one."""
        logits = self.student(self.student_view(batch, batch_idx))
        terms: dict[str, Tensor] = self.loss(logits, batch)
        supervised = torch.stack(list(terms.values())).sum()
        unsupervised = self.unsupervised_loss(batch, logits)
        loss: Tensor = supervised + self.unsupervised_weight * unsupervised
        figures = {**terms, "loss": loss, "supervised": supervised, "unsupervised": unsupervised}
        self.means.add(figures, weight=len(batch.image))
        return loss

    @abstractmethod
    def unsupervised_loss(self, batch: PartialLabelBatch, logits: Outputs) -> Float[Tensor, ""]:
        """Return the strategy's loss on what nobody labeled."""

    @property
    def unsupervised_weight(self) -> float:
        """The weight lambda of the unsupervised loss at this step."""
        return 1.0

    def student_view(self, batch: PartialLabelBatch, batch_idx: int) -> Float[Tensor, "B I H W"]:
        """Return the images with the strong view in the rows that follow the labeled stream's."""
        if self.strong is None:
            return batch.image
        first, draws = self.data.strong_draws(self.current_epoch, batch_idx)
        return torch.cat([batch.image[:first], self.strong(batch.image[first:], draws)])

    @property
    def data(self) -> Any:
        """The DataModule, which knows the rows of a batch without asking the device."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def monitored(self) -> nn.Module:
        """The monitored network: images in, logits out."""
        network: nn.Module = getattr(self, self.monitored_name)
        return network

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> None:
        """Count the predictions of each network."""
        for name in self.validated:
            prediction = self.head.predict(getattr(self, name)(batch.seen.image))
            self.val_dice[name].update(prediction, batch)  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        """Log ``val/dice`` and its relatives."""
        for name in self.validated:
            metric: Any = self.val_dice[name]
            figures = metric.compute()
            metric.reset()
            prefix = "val" if name == self.monitored_name else f"val_{name}"
            for key, value in figures.items():
                self.log(f"{prefix}/{key}", value, prog_bar=(prefix, key) == ("val", "dice"))

    def configure_optimizers(self) -> Any:
        """Return the optimizer over what can be trained, and its schedule over the stage's steps."""
        others = [p for name, p in self.named_parameters() if p.requires_grad and not name.startswith("student.")]
        groups = self.student.network.parameter_groups()
        optimizer = self.make_optimizer([*groups, {"params": others}] if others else groups)
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = self.schedule.build(optimizer, self.total_steps, self.monitor)
        if schedule["interval"] == "epoch":  # it listens to a validation, and not every epoch has one
            schedule["frequency"] = self.trainer.check_val_every_n_epoch
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means under ``train/``."""
        figures = self.means.pop() | {name: getattr(self, name) for name in self.watched}
        self.log_dict({f"train/{name}": value for name, value in figures.items()})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the class table and the monitored network's name with the weights, and the means of a begun epoch."""
        checkpoint["classes"] = self.classes.to_json()
        checkpoint["monitored"] = self.monitored_name
        checkpoint["means"] = self.means.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with a begun epoch's means."""
        self.means.load_state_dict(checkpoint["means"])
