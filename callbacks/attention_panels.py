"""Pictures of where a network's gates look."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from callbacks.shown_cases import shown_cases
from models.network import Attentive
from partial_labels.batch import ValidationBatch
from reports.pictures.attention import Attention, draw_attention


@final
class AttentionPanels(Callback):
    """At the end of an evaluation: ``attention.png``, for a network that can show where it looks; for others nothing.

    Args:
        output: Folder for the picture.
        count: Number of cases, taken at even steps through the evaluated part.

    Raises:
        ValueError: If ``count`` is below 1.
    """

    def __init__(self, output: str, count: int = 3) -> None:
        if count < 1:
            raise ValueError(f"count={count}: must be at least 1")
        self.output, self.count = Path(output), count
        self.wanted: dict[int, str] = {}
        self.cases: dict[int, Attention] = {}

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Choose the cases: each in the middle of one of ``count`` equal shares."""
        self.wanted = shown_cases(trainer.test_dataloaders, self.count, "middles")

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: ValidationBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Ask the network where it looks on the chosen cases of a batch."""
        rows = [row for row, case in enumerate(batch.seen.case_id.tolist()) if case in self.wanted]
        if not rows or not isinstance(pl_module.network, Attentive):
            return
        maps = pl_module.network.attention_maps(batch.seen.image[rows])
        for place, row in enumerate(rows if maps else []):
            case = int(batch.seen.case_id[row])
            self.cases[case] = Attention(
                name=self.wanted[case],
                image=batch.seen.image[row, 0].cpu().numpy(),
                prediction=outputs["prediction"][row].cpu().numpy(),
                maps={name: one[place].float().cpu().numpy() for name, one in maps.items()},
            )

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw them."""
        if trainer.is_global_zero and self.cases:
            drawn = [self.cases[case] for case in sorted(self.cases)]
            draw_attention(drawn, pl_module.target, self.output / "attention.png")
