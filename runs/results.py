"""What a run is measured by at its end, and the files that hold it."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from partial_labels.errors import InputError, one_line
from runs.evaluation import evaluate, without_printing
from runs.origin import Origin
from runs.stages.fitted_stage import FittedStage


def measure(cfg: DictConfig, data: Any, run_dir: Path, fitted: list[FittedStage]) -> dict[str, Any]:
    """Measure the last stage's two checkpoints on the validation cases, and on the test cases where there are any."""
    final = fitted[-1]
    parts = ["val"] + (["test"] if len(data.split.test) else [])
    figures: dict[str, Any] = {}
    for name, checkpoint in (("last", final.last), ("best", final.best)):
        for part in parts:
            key = name if part == "val" else f"{name}_{part}"
            report = cfg.report if key == "last" else without_printing(cfg.report)
            output = run_dir / "evaluation" / key
            figures[key] = evaluate(checkpoint, data, report, output, part=part, trainer=cfg.trainer)
    return {
        "experiment": cfg.experiment_name,
        "overrides": Origin.read(run_dir).overrides,
        "seed": cfg.seed,
        "figures": figures,
        "stages": [
            {"name": one.name, "epochs": one.epochs, "steps": one.steps, "cpu_seconds": round(one.seconds, 1)}
            for one in fitted
        ],
        "steps": sum(one.steps for one in fitted),
        "cpu_seconds": round(sum(one.seconds for one in fitted), 1),
        "wall_seconds": round(sum(one.wall_seconds for one in fitted), 1),
        "memory_gb": max((one.memory_gb for one in fitted if one.memory_gb is not None), default=None),
        "cases": {
            "labeled": len(data.labeled),
            "unlabeled": len(data.unlabeled),
            "val": len(data.split.val),
            "val_volumes": len(np.unique(data.opened.cases.volume_number[data.split.val])),
        },
        "volumes": volume_dice(run_dir / "evaluation" / "last" / "volumes.csv"),
        "store": data.opened.path.name,
        "torch": torch.__version__,
    }


def volume_dice(path: Path) -> dict[str, dict[str, list[float | None]]]:
    """Return ``{volume: {class id: [dice, dice_truth]}}``: what a paired comparison of two runs needs."""
    found: dict[str, dict[str, list[float | None]]] = {}
    if path.exists():  # a report may leave the tables out
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = [float(row[key]) for key in ("dice", "dice_truth")]
                cells = [None if math.isnan(value) else round(value, 4) for value in values]
                found.setdefault(row["volume"], {})[row["class_id"]] = cells
    return found


def read_results(path: Path) -> dict[str, Any]:
    """Return what a finished run has measured.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["figures"]["last"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: damaged ({one_line(error)}); delete it and resume the run to measure again"
        ) from error
    return dict(found)


def check_record(path: Path) -> None:
    """Refuse to write over what is no record of a run.

    Raises:
        InputError: Naming the file.
    """
    try:
        if path.exists():
            read_results(path)
    except InputError as error:
        raise InputError(f"paths.record={path}: a file that is no record lies there; name another") from error
