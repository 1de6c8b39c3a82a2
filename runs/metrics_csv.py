"""The curves of a run as ``metrics.csv``, which a resumed run goes on writing."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from partial_labels.whole_file import whole_file


@final
class MetricsCSV(CSVLogger):
    """Lightning's ``CSVLogger``, but what lies there is kept: Lightning's deletes it when it starts.

    Args:
        save_dir: The run directory.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="")

    @property
    def experiment(self) -> MetricsWriter:
        """The writer, made at first sight."""
        if self._experiment is None:
            self._experiment = MetricsWriter(self.log_dir)
        assert isinstance(self._experiment, MetricsWriter)
        return self._experiment


@final
class MetricsWriter(ExperimentWriter):
    """Appends rows to ``metrics.csv``, and replaces the file in one rename where a new column needs a new header.

    What an epoch cost is left out: the rows of a run are the same to the bit whenever it is run, and time is not.
    """

    rows: int
    """Rows of the file and those about to be written."""

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row."""
        kept = {key: value for key, value in metrics_dict.items() if not key.startswith("cost/")}
        if kept:
            super().log_metrics(kept, step)
            self.rows += 1

    def _check_log_dir_exists(self) -> None:
        self.metrics_keys, rows = read_rows(Path(self.metrics_file_path))
        self.rows = len(rows)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        write_rows(path, fieldnames, read_rows(path)[1])


def cut(path: Path, rows: int, before: float = float("inf")) -> None:
    """Drop what was logged after a checkpoint.

    Args:
        path: A ``metrics.csv``.
        rows: How many rows there were.
        before: Rows of this step and later ones go too: the learning rate of an epoch that is begun again.
    """
    header, found = read_rows(path)
    if found:
        write_rows(path, header, [row for row in found[:rows] if float(row["step"]) < before])


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return header and rows; a row that a killed process has not finished is none."""
    if not path.exists():
        return [], []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if None not in row.values()]
    return list(reader.fieldnames or []), rows


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Replace the file in one rename."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
