"""What a W&B run shows beside the figures that every logger is given."""

from __future__ import annotations

from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger

from partial_labels.errors import InputError

DICE = ("val/dice*", "val_student/dice*", "val_teacher/dice*")
"""Figures of which the largest is the run's."""


def wandb_run(trainer: pl.Trainer) -> Any:
    """Return the W&B run of a Trainer, None where it has none or is not the process that logs."""
    if not trainer.is_global_zero:
        return None
    return next((logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)


@final
class WandbRun(Callback):
    """Gives the run its axis, a table of the organs, and an alert where training goes wrong.

    Every figure is drawn over epochs, which go on from stage to stage; of every Dice the largest is the summary.

    Args:
        collapse_epochs: Validations in a row that predict nothing but background before an alert is sent.

    Raises:
        ValueError: If ``collapse_epochs`` is below 1.
    """

    def __init__(self, collapse_epochs: int = 3) -> None:
        if collapse_epochs < 1:
            raise ValueError(f"collapse_epochs={collapse_epochs}: must be 1 or more")
        self.collapse_epochs = collapse_epochs
        self.silent = 0
        self.best: dict[str, float] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Define the axis and the summaries."""
        run = wandb_run(trainer)
        if run is None:
            return
        run.define_metric("epoch", hidden=True)
        run.define_metric("*", step_metric="epoch", step_sync=True)
        for pattern in DICE:
            run.define_metric(pattern, step_metric="epoch", step_sync=True, summary="max")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the largest Dice of every organ, and alert when the network has fallen silent."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        for name, value in figures.items():
            if name.startswith("val/dice/"):
                self.best[name] = max(value, self.best.get(name, value))
        self.silent = self.silent + 1 if figures.get("val/foreground_fraction") == 0 else 0
        if self.silent == self.collapse_epochs:
            text = f"{self.silent} validations in a row predict nothing but background (epoch {trainer.current_epoch})."
            self._alert(trainer, "Collapse", text)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Alert when the loss or a weight is no longer finite."""
        if isinstance(exception, InputError) and "finite" in str(exception):
            self._alert(trainer, "Divergence", str(exception))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the organs' Dice at the end of the stage, and the largest on the way, as a table."""
        run = wandb_run(trainer)
        if run is None or not self.best:
            return
        import wandb  # a second that runs without it need not wait

        last = {name: float(trainer.callback_metrics.get(name, float("nan"))) for name in self.best}
        rows = [[name.removeprefix("val/dice/"), last[name], self.best[name]] for name in sorted(self.best)]
        run.log({"organs": wandb.Table(columns=["organ", "last Dice", "best Dice"], data=rows)})

    def state_dict(self) -> dict[str, Any]:
        """Keep the largest Dice of every organ."""
        return {"best": dict(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best = dict(state_dict["best"])

    @staticmethod
    def _alert(trainer: pl.Trainer, title: str, text: str) -> None:
        run = wandb_run(trainer)
        if run is not None:
            run.alert(title=title, text=text, level="ERROR")
