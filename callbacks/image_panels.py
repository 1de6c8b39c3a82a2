"""Pictures of cases: image, what was examined, the truth where it is known, and the prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jaxtyping import UInt8
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from callbacks.known_case import panel_of
from callbacks.shown_cases import shown_cases
from partial_labels.batch import ValidationBatch
from reports.pictures.panels import Panel, draw_panels


class ImagePanels(Callback):
    """At the end of an evaluation: ``panels.png`` with cases taken at even steps through the evaluated part.

    Args:
        output: Folder for the picture.
        count: Number of cases.
    """

    def __init__(self, output: str, count: int = 6) -> None:
        if count < 1:
            raise ValueError(f"count={count}: must be at least 1")
        self.output, self.count = Path(output), count
        self.panels: dict[int, Panel] = {}
        self.wanted: dict[int, str] = {}

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Choose the cases by their place in the evaluated part."""
        self.wanted = shown_cases(trainer.test_dataloaders, self.count)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: ValidationBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the chosen cases of a batch."""
        prediction: UInt8[Tensor, "B H W"] = outputs["prediction"]
        for row, case in enumerate(batch.seen.case_id.tolist()):
            if case in self.wanted:
                self.panels[case] = panel_of(batch, row, self.wanted[case], prediction[row])

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw them, with each case's mean Dice."""
        if not trainer.is_global_zero or not self.panels:
            return
        cases = pl_module.dice.per_case()
        panels = []
        for case in sorted(self.panels):
            mine = cases.dice[cases.case_id == case]
            panels.append(replace(self.panels[case], dice=float(mine.mean()) if len(mine) else float("nan")))
        draw_panels(panels, pl_module.target, self.output / "panels.png")
