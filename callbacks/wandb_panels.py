"""Cases as W&B images, whose masks can be switched on and off one class at a time."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from jaxtyping import Bool, Float, UInt8
from pytorch_lightning.callbacks import Callback

from callbacks.known_case import KnownCase
from callbacks.shown_cases import shown_cases
from callbacks.wandb_run import wandb_run
from partial_labels.batch import IGNORE, UNKNOWN, UNSURE, ValidationBatch
from partial_labels.classes import ClassTable

OFFSET = 128
"""Added to the id of a class that nobody examined in the image, which gives it a name and a colour of its own."""


@final
class WandbPanels(Callback):
    """Logs the same validation cases every few epochs: annotation, prediction, and the truth where it is known.

    A class that nobody examined in an image carries the name ``<class>, not examined`` there, in prediction and truth:
    it is neither right nor wrong for anything that is counted.

    Args:
        count: Number of cases, taken at even steps through the validation cases.
        every_n_epochs: Epochs between two pictures.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(self, count: int = 6, every_n_epochs: int = 1) -> None:
        for key, value in {"count": count, "every_n_epochs": every_n_epochs}.items():
            if value < 1:
                raise ValueError(f"{key}={value}: must be at least 1")
        self.count, self.every_n_epochs = count, every_n_epochs
        self.images: list[Any] = []
        self.wanted: dict[int, str] = {}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the cases, where it is time for them."""
        self.images, self.wanted = [], {}
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if not due or trainer.sanity_checking or wandb_run(trainer) is None:
            return
        self.wanted = shown_cases(trainer.val_dataloaders, self.count)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: ValidationBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Predict the chosen cases of a batch once more, and keep them."""
        rows = [row for row, case in enumerate(batch.seen.case_id.tolist()) if case in self.wanted]
        if not rows:
            return
        with trainer.precision_plugin.forward_context():
            predictions = pl_module.head.predict(pl_module.monitored(batch.seen.image[rows])).cpu().numpy()
        for row, prediction in zip(rows, predictions, strict=True):
            case = KnownCase.of(batch, row)
            masks = {"annotation": case.label, "prediction": prediction}
            if case.truth is not None:
                masks["truth"] = case.truth
            name = self.wanted[int(batch.seen.case_id[row])]
            self.images.append(case_image(name, case.image, masks, case.status == UNKNOWN, pl_module.classes))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the pictures to the row of the validation."""
        if self.images:
            wandb_run(trainer).log({"panels": self.images}, commit=False)
            self.images = []


def case_image(
    name: str,
    image: Float[np.ndarray, "H W"],
    masks: dict[str, UInt8[np.ndarray, "H W"]],
    unknown: Bool[np.ndarray, " C"],
    classes: ClassTable,
) -> Any:
    """Return a ``wandb.Image`` with one named mask for each of ``masks``.

    Args:
        name: Its caption.
        image: Intensities in [0, 1].
        masks: Class ids, by the name of the mask.
        unknown: The classes that nobody examined in this image.
        classes: The class table.
    """
    import wandb  # a second that runs without it need not wait

    renamed = np.arange(256, dtype=np.uint8)
    if nameable(classes):
        renamed[1 : len(classes)] += OFFSET * unknown[1:].astype(np.uint8)
    names = class_names(classes)
    named = {
        key: {"mask_data": label if key == "annotation" else renamed[label], "class_labels": names}
        for key, label in masks.items()
    }
    pixels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return wandb.Image(pixels, caption=name, masks=named)


def class_names(classes: ClassTable) -> dict[int, str]:
    """Return the names of all ids that a mask may hold."""
    names = dict(enumerate(classes.names))
    hidden = {OFFSET + number: f"{name}, not examined" for number, name in names.items() if number}
    hidden = hidden if nameable(classes) else {}
    return names | hidden | {UNSURE: "unsure", IGNORE: "ignored"}


def nameable(classes: ClassTable) -> bool:
    """Tell whether there are ids enough for two names of every class."""
    return OFFSET + len(classes) <= UNSURE
