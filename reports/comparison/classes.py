"""What every group makes of every class."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.partial_dice import ClassRow
from partial_labels.errors import InputError
from reports.comparison.files import REMEDY
from reports.comparison.keys import Group
from reports.comparison.runs import Run
from reports.tables import read_class_table

SILENT, UNCOUNTED = "silent", "-"


@dataclass(frozen=True)
class ClassGrid:
    """The Dice of classes (rows) and groups (columns), mean over the finished runs.

    Args:
        classes: Names, in the order of the class table.
        groups: Labels.
        dice: NaN where the class was not counted.
        silent: Whether slices show the class, and no run of the group found a pixel of it.
        notes: What to say of a cell.
    """

    classes: list[str]
    groups: list[str]
    dice: list[list[float]]
    silent: list[list[bool]]
    notes: list[list[str]]

    @property
    def marks(self) -> list[list[str]]:
        """What stands in each cell."""
        pairs = [zip(*lines, strict=True) for lines in zip(self.dice, self.silent, strict=True)]
        return [[SILENT if silent else _text(dice) for dice, silent in line] for line in pairs]


def class_grids(groups: Sequence[Group]) -> dict[str, ClassGrid]:
    """Gather the classes of every data set that groups were measured on, by its name."""
    sets: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        if group.finished and (names := tuple(_rows(group.finished[0]))):
            sets.setdefault((store_of(group.finished[0]), *names), []).append(group)
    numbered = [f"{key[0]} {number}" if number else key[0] for number, key in enumerate(sets)]
    unique = numbered if len({key[0] for key in sets}) < len(sets) else [key[0] for key in sets]
    return {name: class_grid(same) for name, same in zip(unique, sets.values(), strict=True)}


def store_of(run: Run) -> str:
    """Return the name of the data set that a run was made on, without the fingerprint of its store."""
    return str((run.results or {}).get("store", "")).rpartition("-")[0]


def class_grid(groups: Sequence[Group]) -> ClassGrid:
    """Gather the classes of the last checkpoints; a group whose runs kept no table has empty cells."""
    found = [[_rows(run) for run in group.finished] for group in groups]
    names = list(dict.fromkeys(name for runs in found for rows in runs for name in rows))
    cells = [[[rows[name] for rows in runs if name in rows] for runs in found] for name in names]
    return ClassGrid(
        classes=names,
        groups=[group.label for group in groups],
        dice=[[_mean([row.dice for row in rows]) for rows in line] for line in cells],
        silent=[
            [bool(rows) and all(row.present > 0 and row.dice == 0 for row in rows) for rows in line] for line in cells
        ],
        notes=[[_note(rows) for rows in line] for line in cells],
    )


def _rows(run: Run) -> dict[str, ClassRow]:
    path = run.path / "evaluation" / "last" / "classes.csv"
    try:
        return {row.name: row for row in read_class_table(path)} if path.is_file() else {}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no table of classes ({error!r}); {REMEDY}") from error


def _mean(values: Sequence[float]) -> float:
    """Return the mean over runs; one that did not count the class leaves the others."""
    counted = [value for value in values if not math.isnan(value)]
    return statistics.fmean(counted) if counted else math.nan


def _text(dice: float) -> str:
    return UNCOUNTED if math.isnan(dice) else f"{dice:.2f}"


def _note(rows: Sequence[ClassRow]) -> str:
    if not rows:
        return "not measured"
    counted = [row.dice for row in rows if not math.isnan(row.dice)]
    values = ", ".join(f"{value:.3f}" for value in counted) or "no slice to count"
    return f"{values}<br>slices: {rows[0].present} show it, {rows[0].absent} do not, {rows[0].unknown} unknown"
