"""Which of the cases that are measured a network was trained on: its figures there flatter."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partial_labels.errors import InputError
from runs.checkpoints.loading import run_directory_of

log = logging.getLogger(__name__)

Case = tuple[str, str, str]
"""Name, group and volume; a name alone, as ``0.png``, may be another case in another set."""


def warn_of_trained(checkpoints: Sequence[Path], data: Any, part: str) -> None:
    """Warn where the runs of checkpoints trained on cases that are measured, as folds do on each other's val.

    Args:
        checkpoints: What is measured.
        data: The DataModule.
        part: The part of its split; of ``train`` it is known.
    """
    if part == "train":
        return
    store = data.opened
    rows = [store.cases[int(number)] for number in data.part(part)]
    measured = {(row.name, row.group, row.volume) for row in rows}
    for run in dict.fromkeys(run_directory_of(path) for path in checkpoints):
        seen = measured & trained_cases(run, store.header.name)
        if seen:
            log.warning(
                "%d of %d measured cases were trained on by %s: its figures flatter; measure part=test, or cases that "
                "no network here was trained on",
                *(len(seen), len(measured), run),
            )


def trained_cases(run: Path, name: str) -> set[Case]:
    """Return the training cases of a run on the store of a name; none where it left no split or had another store.

    Raises:
        InputError: If its split or results cannot be read.
    """
    split, results = run / "split.csv", run / "results.json"
    if not split.is_file():
        return set()
    try:
        store = json.loads(results.read_text(encoding="utf-8"))["store"] if results.is_file() else f"{name}-"
        if store.rpartition("-")[0] != name:
            return set()
        with split.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == "train"]
        return {(row["name"], row["group"], row["volume"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{run}: split.csv or results.json is damaged ({error!r}); restore them") from error
