"""One training run, from the composed configuration to the figures of its checkpoints."""

from __future__ import annotations

import csv
import fcntl
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from conf.schema import TrainConfig
from partial_labels.errors import CLAIMED, InputError, Interrupted, one_line
from partial_labels.memory import reset_peak_memory
from partial_labels.whole_file import whole_file
from runs.checkpoints.loading import write_json
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.evaluation import evaluate, without_printing
from runs.hardware import batch_size
from runs.hardware.processes import end_exchange, leads, place_found, refuse_sweep
from runs.loggers import build_loggers, check_settings, name_runs
from runs.origin import Origin, typed
from runs.resume import Continuation, find_continuation, refuse_other_weights, sealed, warn_elsewhere
from runs.stages.fitted_stage import FittedStage
from runs.stages.fitting import GIVEN, fit_stages, rehearse, seed_everything

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, Any]:
    """Check the configuration, fit the stages, measure ``last`` and ``best``, and write ``results.json``.

    Returns:
        What ``results.json`` holds: the figures of each checkpoint, and what the run was and cost.

    Raises:
        InputError: If anything that the user gave is wrong.
    """
    check_extra_keys(cfg, TrainConfig)
    auto = batch_size.set_aside(cfg)
    check(cfg, given=GIVEN)
    refuse_sweep(cfg.trainer.get("devices", 1))
    check_settings(cfg)
    if not leads():
        follow(cfg, auto)
    if cfg.paths.record:
        check_record(Path(cfg.paths.record))
    run_dir, resumed = Path(cfg.paths.run), cfg.resume is not None
    if resumed and (run_dir / "results.json").exists():
        log.warning("%s: the run is finished, there is nothing to resume", run_dir)
        found = read_results(run_dir / "results.json")
        if cfg.paths.record and not Path(cfg.paths.record).exists():  # killed between the two
            write_json(Path(cfg.paths.record), found)
        return found
    with claimed(run_dir, resumed), continuable(run_dir):
        seed_everything(cfg.seed)
        if auto:
            batch_size.settle(cfg)
        reset_peak_memory()
        data = build(cfg.data)
        data.opened.verify()
        data.setup()
        rehearse(cfg, data, run_dir)
        place = go_on(cfg, run_dir) if resumed else begin(cfg, data, run_dir)
        with finishing_wandb():
            loggers = build_loggers(cfg, place.steps if resumed else None)
            fitted = fit_stages(cfg, data, run_dir, loggers, place.checkpoint)
        end_exchange()
        results = measure(cfg, data, run_dir, fitted)
        write_json(run_dir / "results.json", results)
    if cfg.paths.record:
        write_json(Path(cfg.paths.record), results)
    return results


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


def follow(cfg: DictConfig, auto: bool) -> NoReturn:
    """Fit the stages beside the first process, which writes the run, and end."""
    run_dir = Path(cfg.paths.run)
    if auto:
        batch_size.adopt(cfg, run_dir)
    data = build(cfg.data)
    data.setup()
    fit_stages(cfg, data, run_dir, build_loggers(cfg), place_found(cfg, run_dir))
    end_exchange()
    sys.exit(0)


def begin(cfg: DictConfig, data: Any, run_dir: Path) -> Continuation:
    """Write what a run is, the configuration last: where it lies, the run can be resumed."""
    name_runs(cfg)
    Origin.here(cfg, overrides()).write(run_dir)
    data.split.write(run_dir / "split.csv", data.opened.cases, data.labeled)
    (run_dir / "command.txt").write_text(" ".join(["python", *sys.argv]) + "\n", encoding="utf-8")
    save_config(cfg, run_dir)
    return Continuation(None, 0)


def go_on(cfg: DictConfig, run_dir: Path) -> Continuation:
    """Find where to go on, and keep what was changed for the next time."""
    here = Origin.here(cfg, overrides())
    refuse_other_weights(cfg, run_dir, here)
    warn_elsewhere(run_dir, here)
    if cfg.resume_overrides:
        kept = cfg.copy()
        kept.resume, kept.resume_overrides = None, []
        save_config(kept, run_dir)
    return find_continuation(cfg, run_dir)


@contextmanager
def continuable(run_dir: Path) -> Iterator[None]:
    """Let an interruption at any time name the run that can be continued."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        signum = error.signum if isinstance(error, Interrupted) else signal.SIGINT
        raise Interrupted(signum, run_dir if (run_dir / "config.yaml").exists() else None) from error


@contextmanager
def claimed(run_dir: Path, resumed: bool = False) -> Iterator[None]:
    """Hold a directory for one run: its ``checkpoints`` folder must be empty, and is locked while the process lives.

    A run that fails before its first checkpoint gives the directory back: there is nothing in it to lose. One that it
    made itself is gone with it, unless something else was written there.

    Raises:
        InputError: If another run lies there or goes on there, or nothing can be written.
    """
    folder = run_dir / "checkpoints"
    made = [folder] if run_dir.exists() else [folder, run_dir]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # flock would be inherited by loader processes
    except BlockingIOError as error:
        raise InputError(f"{run_dir}: another process is at work there; stop it, or wait for it") from error
    except OSError as error:
        raise InputError(f"{run_dir}: cannot write there ({error}); name another with hydra.run.dir=") from error
    if not resumed and any(path.name != ".lock" for path in folder.iterdir()):
        os.close(lock)
        raise InputError(
            f"{run_dir}: another run lies there; continue it with resume=, or name a new directory with hydra.run.dir="
        )
    try:
        yield
    except Exception as error:
        setattr(error, CLAIMED, run_dir)
        raise
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        os.close(lock)
        for path in [*folder.glob("*/"), *made]:
            with suppress(OSError):
                path.rmdir()  # only where it is empty


@contextmanager
def finishing_wandb() -> Iterator[None]:
    """End the W&B run that a fit began, with its exit code; left open, it would take in the next job of a sweep."""
    failed = 1
    try:
        yield
        failed = 0
    finally:
        wandb: Any = sys.modules.get("wandb")  # importing it takes a second that other loggers need not wait
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=failed)


def save_config(cfg: DictConfig, run_dir: Path) -> None:
    """Write the resolved configuration in one rename."""
    with whole_file(run_dir / "config.yaml") as temporary:
        temporary.write_text(sealed(OmegaConf.to_yaml(cfg, resolve=True)), encoding="utf-8")


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


def overrides() -> list[str]:
    """Return what was typed on the command line besides the defaults, paths and Hydra's own keys left out."""
    return [
        override for override in typed() if not override.startswith(("paths.", "data.root=", "launcher=", "sweep="))
    ]
