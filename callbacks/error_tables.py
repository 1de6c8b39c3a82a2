"""Writes which structures were taken for which, and how sure the network was of what was right and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from metrics.confusion import Confusion
from metrics.reliability import Bin, Reliability
from partial_labels.batch import ValidationBatch
from reports.files import write_rows


class ErrorTables(Callback):
    """At the end of an evaluation: ``confusion.csv`` and ``reliability.csv``, both counted on the stored grid.

    Sums are kept, never a probability, so memory does not grow with the number of cases.

    Args:
        output: Folder for the tables.
        bins: Bins of the confidence over [0, 1].
    """

    def __init__(self, output: str, bins: int = 20) -> None:
        if bins < 2:
            raise ValueError(f"bins={bins}: must be 2 or more")
        self.output, self.bins = Path(output), bins

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin to count."""
        names = pl_module.target.names
        self.confusion, self.reliability = Confusion(names), Reliability(names, self.bins)
        self.confusion.to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: ValidationBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch."""
        self.confusion.update(outputs["prediction"], batch.seen)
        self.reliability.update(outputs["prediction"], outputs["confidence"], batch.seen)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the tables; of the confusion what is not 0."""
        counts = self.confusion.compute().cpu()
        bins = self.reliability.table()
        if trainer.is_global_zero:
            confused = [[*pair, int(counts[tuple(pair)])] for pair in counts.nonzero().tolist()]
            write_rows(self.output / "confusion.csv", ("drawn", "predicted", "pixels"), confused)
            write_rows(self.output / "reliability.csv", Bin._fields, bins)
