"""Reads back what an evaluation left in its folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.means import Floats
from metrics.partial_dice import ClassRow
from metrics.reliability import Bin
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from reports.files import reading
from reports.pictures.case_gallery import ShownCase, read_gallery
from reports.tables import read_class_table

Cells = Mapping[tuple[str, str], float]
"""Dice by (volume, class name)."""


@dataclass(frozen=True)
class Evaluation:
    """What lies in the folder of an evaluation; tables that its report left out are empty.

    Args:
        folder: The folder.
        record: ``evaluation.json``: what was measured, and how.
        figures: ``figures.json``, by log key without prefix.
    """

    folder: Path
    record: Mapping[str, Any]
    figures: Mapping[str, float]

    @classmethod
    def read(cls, folder: Path) -> Evaluation:
        """Read a folder.

        Raises:
            InputError: If it is none of an evaluation, or damaged.
        """
        contents = []
        for name in ("evaluation.json", "figures.json"):
            try:
                contents.append(json.loads((folder / name).read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                raise InputError(f"{folder / name}: missing or damaged; evaluate again") from error
        return cls(folder, *contents)

    @cached_property
    def classes(self) -> ClassTable:
        """The class table of the cases."""
        return ClassTable.from_json(self.record["classes"])

    @cached_property
    def known(self) -> list[int]:
        """Ids of the classes that the network knows, the background left out."""
        return [int(i) for i in self.record["known"]]

    @cached_property
    def rows(self) -> list[ClassRow]:
        """The table of the classes that the network knows."""
        path = self.folder / "classes.csv"
        names = {self.classes.names[i] for i in self.known}
        return [row for row in read_class_table(path) if row.name in names] if path.is_file() else []

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """Pixels by drawn and predicted class, (C + 1, C), the last row the ``UNSURE`` pixels; None where not kept."""
        if not (self.folder / "confusion.csv").is_file():
            return None
        counts = np.zeros((len(self.classes) + 1, len(self.classes)), dtype=np.int64)
        for row in self._table("confusion.csv"):
            counts[int(row["drawn"]), int(row["predicted"])] = int(row["pixels"])
        return counts

    @cached_property
    def silent(self) -> set[str]:
        """Names of classes that slices show and of which not one pixel was predicted."""
        if self.confusion is None:
            return set()
        predicted = dict(zip(self.classes.names, self.confusion.sum(axis=0).tolist(), strict=True))
        return {row.name for row in self.rows if row.present and not predicted[row.name]}

    @cached_property
    def bins(self) -> list[Bin]:
        """The bins of the confidence, by class."""
        return [
            Bin(
                class_id=int(row["class_id"]),
                low=float(row["low"]),
                high=float(row["high"]),
                pixels=int(row["pixels"]),
                correct=int(row["correct"]),
                confidence=float(row["confidence"]),
            )
            for row in self._table("reliability.csv")
        ]

    @cached_property
    def cases(self) -> list[ShownCase]:
        """The cases that were drawn."""
        return read_gallery(self.folder / "cases")

    @property
    def distance(self) -> str:
        """``hd95_mm`` or ``hd95_px``: with the spacing, or without."""
        return "hd95_mm" if "hd95_mm" in self.figures else "hd95_px"

    def figure(self, key: str) -> float:
        """Return a figure, NaN where there is none."""
        return float(self.figures.get(key, math.nan))

    def volume_dice(self, column: str) -> Cells:
        """Return the Dice of every countable volume and class.

        Args:
            column: ``dice`` or ``dice_truth``.
        """
        return {
            (row["volume"], self.classes.names[int(row["class_id"])]): float(row[column])
            for row in self._table("volumes.csv")
            if row[column] != "nan"
        }

    def _table(self, name: str) -> list[dict[str, str]]:
        path = self.folder / name
        if not path.is_file():
            return []
        with reading(path), path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def paired_cells(ours: Cells, baseline: Cells) -> tuple[list[str], Floats, Floats]:
    """Return the names of the classes that both counted, and the Dice of each (volumes, classes), NaN where none is."""
    names = sorted({name for _, name in ours} & {name for _, name in baseline})
    volumes = sorted({volume for volume, name in (*ours, *baseline) if name in names})
    sides = [
        np.array([[cells.get((volume, name), math.nan) for name in names] for volume in volumes])
        for cells in (ours, baseline)
    ]
    return names, sides[0], sides[1]
