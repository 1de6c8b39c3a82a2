"""What a run has logged, over its epochs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metrics.figures import LOGGED

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = tuple[Floats, Floats]
"""Epochs that were over, and the values logged there; both (n,), and n differs from key to key."""

MAIN_LOSSES = ("loss", "supervised", "unsupervised")


def read_curves(metrics_csv: Path) -> dict[str, Curve]:
    """Read every column that has values; the rows are sparse, each holds what was logged at its step.

    A value stands where its step lies among the ends of the epochs, and the stages follow one another, whether their
    epochs and steps are counted on or anew.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    over = 0.0
    for stage in _stages(metrics_csv):
        ends = {row["epoch"]: row["step"] for row in sorted(stage, key=lambda row: row["step"]) if "epoch" in row}
        first = min(ends, default=0.0)
        offset = max(0.0, over - first)
        for row in stage:
            epoch = offset + np.interp(row["step"], [-1.0, *ends.values()], [first, *(end + 1 for end in ends)])
            for key, value in row.items():
                if key not in ("step", "epoch"):
                    points.setdefault(key, []).append((float(epoch), value))
        over = offset + max(ends, default=-1.0) + 1
    return {key: (np.array([x for x, _ in found]), np.array([y for _, y in found])) for key, found in points.items()}


def stage_starts(stages: Iterable[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Return the epoch at which each stage but the first began, with its name."""
    starts, over = [], 0.0
    for stage in stages:
        if over:
            starts.append((over, str(stage["name"])))
        over += float(stage["epochs"])
    return starts


def _stages(metrics_csv: Path) -> list[list[dict[str, float]]]:
    """Return the rows of each stage; a new one begins where a column's steps no longer rise."""
    stages: list[list[dict[str, float]]] = [[]]
    reached: dict[str, float] = {}
    with metrics_csv.open(newline="", encoding="utf-8") as file:
        for cells in csv.DictReader(file):
            row = {key: value for key, cell in cells.items() if (value := _number(cell)) is not None}
            if "step" not in row:
                continue
            keys = row.keys() - {"step", "epoch"}
            if any(reached.get(key, -1.0) >= row["step"] for key in keys):
                stages.append([])
                reached = {}
            reached |= dict.fromkeys(keys, row["step"])
            stages[-1].append(row)
    return stages


def loss_curves(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Return the training losses by their short names, the sum first; weights of losses are none.

    Of a loss logged both per step and per epoch the latter is taken; one that is zero throughout, or the same as one
    before it (the supervised part where there is no other), is left out.
    """
    logged = {key.removeprefix("train/"): curve for key, curve in curves.items() if key.startswith("train/")}
    found = {name: curve for name, curve in logged.items() if not name.endswith("_weight")}
    doubled = {name for name in found if name.endswith("_step") and name.removesuffix("_step") + "_epoch" in found}
    named = {name.removesuffix("_epoch"): curve for name, curve in found.items() if name not in doubled}
    kept: dict[str, Curve] = {}
    for name in sorted(named, key=lambda name: MAIN_LOSSES.index(name) if name in MAIN_LOSSES else len(MAIN_LOSSES)):
        values = named[name][1]
        if values.any() and not any(np.array_equal(values, other) for _, other in kept.values()):
            kept[name] = named[name]
    return kept


def dice_curves(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Return the averaged Dice curves, of the monitored network first, then of the other one."""
    others = [key for key in curves if key in ("val_student/dice", "val_teacher/dice")]
    names = {key: figure.short for key, figure in LOGGED.items()}
    names |= {key: key.removeprefix("val_").removesuffix("/dice") for key in others}
    return {name: curves[key] for key, name in names.items() if key in curves}


def class_curves(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Return the Dice of each class, best last value first, never counted last."""
    found = {key.removeprefix("val/dice/"): c for key, c in curves.items() if key.startswith("val/dice/")}
    return dict(sorted(found.items(), key=lambda item: -np.nan_to_num(item[1][1][-1], nan=-1.0)))


def _number(cell: str | None) -> float | None:
    try:
        return float(cell) if cell else None
    except (TypeError, ValueError):
        return None
