"""Writes what an evaluation measured: per class, and per case for paired comparisons."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from metrics.partial_dice import CaseDice, PartialDice, VolumeDice
from reports.files import replacing
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
        self._write("cases.csv", dice.per_case())
        self._write("volumes.csv", dice.per_volume())
        if self.show:
            print_class_table(rows, Console())

    def _write(self, name: str, columns: CaseDice | VolumeDice) -> None:
        with replacing(self.output / name) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns._fields)
            writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
