"""One trial of a search: trains with the values that the study suggests, and says how it went."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import final

import pytorch_lightning as pl
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict
from pytorch_lightning.callbacks import Callback

from partial_labels.errors import InputError, Interrupted, one_line
from runs.quoting import quoted
from runs.sweeps.sweep import isolated
from runs.training import train

try:
    import optuna
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as missing:
    raise InputError("tune.py needs Optuna: pip install 'partialseg[search]'") from missing

from runs.sweeps.search_space import Space, override, suggest_value

log = logging.getLogger(__name__)


class SurplusError(Exception):
    """A trial more than was asked for."""


@final
class TrialReport(Callback):
    """Tells the running trial of this process each validation's figure, and ends it where the pruner says so.

    Args:
        monitor: The figure.
    """

    running: optuna.Trial | None = None
    """The trial of this process; a run that is no trial has none, and then nothing happens."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the figure.

        Raises:
            optuna.TrialPruned: If the trial lags behind.
        """
        trial, value = TrialReport.running, trainer.callback_metrics.get(self.monitor)
        if trial is None or value is None:
            return
        step = int(trial.user_attrs.get("validations", 0))
        trial.set_user_attr("validations", step + 1)
        trial.report(float(value), step)
        if trial.should_prune():
            raise optuna.TrialPruned(f"{self.monitor}={float(value):.4f} after {step + 1} validations")


@final
class Objective:
    """Runs one trial.

    Args:
        cfg: The configuration as typed.
        space: What is searched.
        folder: Folder of the study.
        typed: What was typed for every trial.
    """

    def __init__(self, cfg: DictConfig, space: Space, folder: Path, typed: Sequence[str]) -> None:
        self.cfg, self.space, self.folder, self.typed = cfg, space, folder, typed

    def __call__(self, trial: optuna.Trial) -> float:
        """Train with the trial's values and return the monitored figure of the last checkpoint.

        A failure is recorded with its reason, which ends the trial and not the study.
        """
        earlier = [one for one in trial.study.get_trials(deepcopy=False) if one.number < trial.number and counts(one)]
        if len(earlier) >= self.cfg.tune.trials:
            raise SurplusError  # two processes have begun the last trial at the same time
        run_dir = self.folder / "trials" / f"{trial.number:04d}"
        chosen = [override(key, suggest_value(trial, key, one)) for key, one in self.space.items()]
        trial.set_user_attr("overrides", chosen)
        trial.set_user_attr("validations", 0)  # one that is run again has those of the killed one
        log.info("trial %d: %s", trial.number, " ".join(chosen))
        try:
            value = self.train(trial, [*self.typed, *chosen], run_dir)
        except optuna.TrialPruned as pruned:
            log.info("trial %d pruned: %s", trial.number, pruned)
            raise
        except Exception as error:
            reason = one_line(error) or type(error).__name__
            log.warning("trial %d failed: %s", trial.number, reason, exc_info=not isinstance(error, InputError))
            trial.set_user_attr("reason", reason)
            raise
        if value != value:
            trial.set_user_attr("reason", f"{self.cfg.monitor} is not a number")
        log.info("trial %d: %s=%.4f", trial.number, self.cfg.monitor, value)
        self.clean(trial.study, value, run_dir)
        return value

    def train(self, trial: optuna.Trial, overrides: Sequence[str], run_dir: Path) -> float:
        """Compose the trial's configuration and train."""
        report = ("_target_=runs.sweeps.trial.TrialReport", f"monitor={self.cfg.monitor}")
        own = [f"paths.run={quoted(run_dir)}", *(f"+callbacks.trial.{one}" for one in report)]
        cfg = compose(HydraConfig.get().job.config_name, [*overrides, *own])
        with open_dict(cfg):
            del cfg["tune"], cfg["search"]
        TrialReport.running = trial
        try:
            with isolated():
                results = train(cfg)
        except Interrupted as error:  # the search goes on by the command that began it, not this trial
            raise Interrupted(error.signum) from error
        finally:
            TrialReport.running = None
        return float(results["figures"]["last"].get(cfg.monitor.removeprefix("val/"), "nan"))

    def clean(self, study: optuna.Study, value: float, run_dir: Path) -> None:
        """Remove the checkpoints of a trial that is not the best so far."""
        ended = [one.value for one in study.get_trials(states=(TrialState.COMPLETE,)) if one.value is not None]
        if not self.cfg.tune.keep_checkpoints and not all(value > other for other in ended):
            shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


def counts(trial: FrozenTrial) -> bool:
    """Tell whether a trial is one of those asked for: not one that was killed, since it is run again, or is surplus."""
    return trial.state != TrialState.FAIL or "reason" in trial.user_attrs
