"""Which inputs are done and how large each structure is: a table that grows as predictions are written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int

from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from reports.files import write_text

TABLE, SETTINGS = "structures.csv", "prediction.json"
COLUMNS = ("name", "class_id", "class", "pixels", "volume_ml")


@final
class Journal:
    """The folder's ``structures.csv``, one row for each input and class, and ``prediction.json``, how they were made.

    An input's rows are written at once, when its files are in their places: what has all its rows is done. A killed
    prediction goes on behind them.

    Args:
        folder: The output folder.
        classes: The class table of the prediction.
        settings: What decides the outputs, plain values.

    Raises:
        InputError: If the folder holds predictions that were made with other settings.
    """

    def __init__(self, folder: Path, classes: ClassTable, settings: Mapping[str, Any]) -> None:
        self.folder, self.classes = folder, classes
        self._check_settings(settings)
        self.done = set(self._read())

    def forget(self, names: Collection[str]) -> None:
        """Take inputs out that are to be done again, and whatever a kill left unfinished."""
        kept = {name: rows for name, rows in self._read().items() if name not in names}
        self.done = set(kept)
        write_text(self.folder / TABLE, as_csv([COLUMNS]) + "".join(as_csv(rows) for rows in kept.values()))

    def add(self, name: str, pixels: Int[np.ndarray, " C"], voxel_ml: float | None) -> None:
        """Enter an input whose files are written.

        Args:
            name: The input.
            pixels: Pixels of each class.
            voxel_ml: Volume of a pixel's voxel, where it is known.
        """
        rows = []
        for index, found in enumerate(pixels.tolist()):
            volume = "" if voxel_ml is None else f"{found * voxel_ml:.4f}"
            rows.append((name, index, self.classes.names[index], found, volume))
        with (self.folder / TABLE).open("a", newline="", encoding="utf-8") as file:
            file.write(as_csv(rows[1:]))
        self.done.add(name)

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        path = self.folder / SETTINGS
        wanted = json.loads(json.dumps(settings))
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else wanted
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not readable ({error}); name another output folder") from error
        other = next((key for key in {**wanted, **found} if found.get(key) != wanted.get(key)), None)
        if other is not None:
            raise InputError(
                f"output={self.folder}: it holds predictions with another {other}; name another folder or delete it"
            )
        write_text(path, json.dumps(wanted, indent=1) + "\n")

    def _read(self) -> dict[str, list[list[str]]]:
        """Return the rows of each input that has all of them."""
        path = self.folder / TABLE
        blocks: dict[str, list[list[str]]] = {}
        if path.exists():
            whole_lines, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
            for row in list(csv.reader(whole_lines.splitlines()))[1:]:
                blocks.setdefault(row[0], []).append(row)
        names = list(self.classes.foreground)
        whole = {name: rows for name, rows in blocks.items() if [row[2:3] for row in rows] == [[one] for one in names]}
        return {name: rows for name, rows in whole.items() if all(len(row) == len(COLUMNS) for row in rows)}


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
