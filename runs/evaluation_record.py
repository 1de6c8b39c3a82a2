"""What an evaluation measured, and whether another can be compared with it case by case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

FILE = "evaluation.json"
SAME = {"data": "data set", "part": "part", "grid": "grid", "cases": "number of cases", "volumes": "volumes"}
"""What must agree for a paired comparison, and what it is called."""


def evaluation_record(
    checkpoints: Sequence[Path], known: ClassTable, data: Any, part: str, native: bool, **how: Any
) -> dict[str, Any]:
    """Return what ``evaluation.json`` says.

    Args:
        checkpoints: What was measured.
        known: The class table of the network.
        data: The DataModule.
        part: The part of its split.
        native: Whether it was compared on the source grid.
        how: What else decided the figures, as plain values.
    """
    store, ids = data.opened, data.part(part)
    numbers, first = np.unique(store.cases.volume_number[ids], return_index=True)
    names = store.cases.column("volume")[ids[first]]
    spacing = data.spacing_mm(native)
    return {
        "checkpoints": [str(path) for path in checkpoints],
        "data": store.header.name,
        "part": part,
        "grid": "source" if native else "stored",
        "cases": len(ids),
        "volumes": {str(number): str(name) for number, name in zip(numbers.tolist(), names, strict=True)},
        "spacing_mm": list(spacing) if isinstance(spacing, tuple) else None,  # of all cases
        "classes": store.classes.to_json(),
        "known": sorted(set(known.match(store.classes).values()) - {0}),
        **how,
    }


def finished_evaluation(baseline: Any) -> Path | None:
    """Return the folder if ``baseline`` names one that an evaluation left; None if it must be evaluated first.

    Raises:
        InputError: If the evaluation does not say what it measured.
    """
    folder = Path(baseline) if isinstance(baseline, (str, Path)) else None
    if folder is None or not (folder / "figures.json").is_file():
        return None
    if not (folder / FILE).is_file():
        raise InputError(f"baseline={folder}: it has no {FILE}, which older evaluations lack; name its checkpoint")
    return folder


def check_comparable(folder: Path, record: Mapping[str, Any]) -> None:
    """Refuse to compare evaluations that did not measure the same cases.

    Raises:
        InputError: Saying in what they differ.
    """
    try:
        other = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / FILE}: damaged; evaluate again, or name the checkpoint") from error
    for key, name in SAME.items():
        if other.get(key) != record[key]:
            shown = "" if key == "volumes" else f" ({other.get(key)}, not {record[key]})"
            raise InputError(f"baseline={folder}: another {name}{shown}; name its checkpoint, to have it measured here")
