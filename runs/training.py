"""One training run, from the composed configuration to the figures of its checkpoints."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig

from conf.schema import TrainConfig
from partial_labels.errors import Interrupted
from partial_labels.memory import reset_peak_memory
from runs.checkpoints.loading import write_json
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.hardware import batch_size
from runs.hardware.processes import end_exchange, leads, place_found, refuse_sweep
from runs.loggers import build_loggers, check_settings, finishing_wandb, name_runs
from runs.origin import Origin, typed
from runs.results import check_record, measure, read_results
from runs.resume import Continuation, find_continuation, refuse_other_weights, warn_elsewhere
from runs.run_directory import claimed, save_config
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


def overrides() -> list[str]:
    """Return what was typed on the command line besides the defaults, paths and Hydra's own keys left out."""
    return [
        override for override in typed() if not override.startswith(("paths.", "data.root=", "launcher=", "sweep="))
    ]
