"""The table of classes: as CSV and in the terminal; the page shows the same columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metrics.figures import FIGURES
from metrics.partial_dice import ClassRow
from reports.files import blank, reading, write_rows


@dataclass(frozen=True)
class Column:
    """How a column is headed and read.

    Args:
        name: The row's field.
        title: Short heading.
        meaning: One sentence for whoever points at the heading.
    """

    name: str
    title: str
    meaning: str


DICE_COLUMNS = tuple(Column(name, one.short, one.of_class) for name, one in FIGURES.items() if one.short)
COUNT_COLUMNS = (
    Column("present", "present", "Examined slices that show it."),
    Column("absent", "absent", "Examined slices that certainly do not."),
    Column("unknown", "unknown", "Slices in which nobody looked for it; they count neither way."),
)
ALARMS = Column("false_positives", "false alarms", "Certainly absent slices in which it was predicted all the same.")


def class_columns(rows: Sequence[ClassRow]) -> list[Column]:
    """Return the columns of the short table: of the Dice those that say something, and not the pessimistic one.

    The truth's says nothing where nowhere more is known than was shown; the page of an evaluation has the others.
    """
    known = any(not math.isnan(row.dice_truth) for row in rows)
    left_out = {"dice_pessimistic"} if known else {"dice_pessimistic", "dice_truth"}
    dice = [column for column in DICE_COLUMNS if column.name not in left_out]
    return [Column("name", "class", "The structure."), *dice, *COUNT_COLUMNS, ALARMS]


def write_class_table(rows: Sequence[ClassRow], path: Path) -> Path:
    """Write every field in full precision, one row a class; a figure that could not be counted is an empty cell."""
    names = [field.name for field in fields(ClassRow)]
    return write_rows(path, names, (map(blank, astuple(row)) for row in rows))


def read_class_table(path: Path) -> list[ClassRow]:
    """Read what :func:`write_class_table` wrote."""
    with reading(path), path.open(newline="", encoding="utf-8") as file:
        return [
            ClassRow(
                name=row["name"],
                dice=float(row["dice"] or "nan"),
                dice_volume=float(row["dice_volume"] or "nan"),
                dice_truth=float(row["dice_truth"] or "nan"),
                present=int(row["present"]),
                absent=int(row["absent"]),
                unknown=int(row["unknown"]),
                false_positives=int(row["false_positives"]),
                dice_pessimistic=float(row.get("dice_pessimistic") or "nan"),
            )
            for row in csv.DictReader(file)
        ]


def print_class_table(rows: Sequence[ClassRow], console: Console) -> None:
    """Print the table within 80 columns, figures right-aligned with three decimals."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    columns = class_columns(rows)
    for column in columns:
        title = column.title.replace(" ", "\n")
        table.add_column(title, justify="left" if column.name == "name" else "right", vertical="bottom", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell_text(getattr(row, column.name))) for column in columns))
    console.print(table)


def cell_text(value: Any) -> str:
    """Write a figure: three decimals, whole numbers plain, a dash where nothing could be counted."""
    if _is_nan(value):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
