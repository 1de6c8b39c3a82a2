"""Writes what an evaluation measured: per class, and per case for paired comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from metrics.partial_dice import CaseDice, PartialDice, VolumeDice
from reports.files import write_rows
from reports.tables import print_class_table, write_class_table


class DiceTables(Callback):
    """At the end of an evaluation: ``classes.csv``, ``cases.csv``, ``volumes.csv``; the class table in the terminal.

    Args:
        output: Folder for the tables.
        show: Whether to print the class table.
    """

    def __init__(self, output: str, show: bool = True) -> None:
        self.output, self.show = Path(output), show

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write and print the tables of the module's ``dice``."""
        if not trainer.is_global_zero:
            return
        dice: PartialDice = pl_module.dice
        rows = dice.table()
        write_class_table(rows, self.output / "classes.csv")
        tables: dict[str, CaseDice | VolumeDice] = {"cases.csv": dice.per_case(), "volumes.csv": dice.per_volume()}
        for name, columns in tables.items():
            write_rows(self.output / name, columns._fields, zip(*(one.tolist() for one in columns), strict=True))
        if self.show:
            print_class_table(rows, Console())
