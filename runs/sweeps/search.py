"""The search of ``tune.py``: one Optuna study, shared by any number of processes through one SQLite file.

Optuna's own ``optimize`` is asked for one trial at a time, because only there a running trial tells the study that it
lives. A trial whose process was killed falls silent; the next process that looks declares it failed and runs it again.
"""

from __future__ import annotations

import csv
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from conf.schema import TuneConfig
from partial_labels.errors import InputError
from runs.configuration.instantiate import check_extra_keys

try:
    import optuna
    from optuna.trial import TrialState
except ModuleNotFoundError as missing:
    raise InputError("tune.py needs Optuna: pip install 'partialseg[search]'") from missing

from runs.sweeps.search_space import (
    Space,
    check_deletions,
    default_values,
    grid_of,
    read_space,
    without,
    write_experiment,
)
from runs.sweeps.trial import Objective, counts

log = logging.getLogger(__name__)

KILLED_AFTER = 3
"""Heartbeats that may fail to come before a trial counts as killed."""


NOT_KEPT = ("paths.", "data.root=", "logger", "trainer.progress_bar=")
"""What is typed for this search alone and not written into its experiment."""


class Best(NamedTuple):
    """The best trial: its value, its overrides, and the experiment file that holds them."""

    value: float
    overrides: list[str]
    experiment: Path


def search(cfg: DictConfig) -> Best:
    """Run trials until the study has as many as asked for, and write the best as an experiment.

    Returns:
        The best trial.

    Raises:
        InputError: If anything that the user gave is wrong, or no trial gave a figure.
    """
    check_extra_keys(cfg, TuneConfig)
    space = read_space(OmegaConf.to_container(cfg.search, resolve=True))  # type: ignore[arg-type]
    folder = Path(cfg.paths.run)
    folder.mkdir(parents=True, exist_ok=True)
    typed = without([str(one) for one in HydraConfig.get().overrides.task], ("search", "tune."))
    check_deletions(without(typed, NOT_KEPT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats, since Optuna 2.9
        study = open_study(cfg, space, folder)
        while (step := next_step(study, cfg.tune.trials)) != "end":
            if step == "wait":
                optuna.storages.fail_stale_trials(study)
                time.sleep(min(cfg.tune.heartbeat_seconds, 5))
            else:
                study.optimize(Objective(cfg, space, folder, typed), n_trials=1, catch=(Exception,))
            if hopeless(study, cfg.tune.startup_trials):
                break
    write_trials(study, folder / "trials.csv")
    return write_best(study, cfg, folder, typed)


def open_study(cfg: DictConfig, space: Space, folder: Path) -> optuna.Study:
    """Create the study, or join it.

    Raises:
        InputError: If sampler, pruner or a number is wrong, or the study in the folder searches other keys.
    """
    tune, file = cfg.tune, folder / "study.db"
    for key in ("trials", "heartbeat_seconds"):
        if tune[key] < 1:
            raise InputError(f"tune.{key}={tune[key]}: must be at least 1")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what fails is logged here, in one line
    with FileLock(folder / "study.lock"):
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{file.resolve()}",
            engine_kwargs={"connect_args": {"timeout": 60}},
            heartbeat_interval=tune.heartbeat_seconds,
            grace_period=KILLED_AFTER * tune.heartbeat_seconds,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
        )
        study = optuna.create_study(
            storage=storage, study_name="search", direction="maximize", load_if_exists=True, pruner=pruner_of(tune)
        )
        process = int(study.user_attrs.get("processes", 0))
        study.set_user_attr("processes", process + 1)
        study.sampler = sampler_of(tune, space, process)
        known = study.user_attrs.setdefault("space", {key: repr(one) for key, one in space.items()})
        if known != {key: repr(one) for key, one in space.items()}:
            raise InputError(
                f"{file}: this study searches {', '.join(known)} in other ranges; name a new hydra.run.dir="
            )
        if process == 0:
            study.set_user_attr("space", known)
            values = default_values(space, cfg, HydraConfig.get().runtime.choices)
            if tune.default_first and tune.sampler != "grid" and values is not None:
                study.enqueue_trial(values, user_attrs={"default": True})
    return study


def sampler_of(tune: DictConfig, space: Space, process: int) -> optuna.samplers.BaseSampler:
    """Return the sampler; each process draws from a seed of its own, or all would begin with the same values."""
    seed = tune.seed + 1000 * process
    if tune.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=tune.startup_trials)
    if tune.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if tune.sampler == "grid":
        return optuna.samplers.GridSampler(grid_of(space), seed=tune.seed)
    raise InputError(f"tune.sampler={tune.sampler}: choose tpe, grid or random")


def pruner_of(tune: DictConfig) -> optuna.pruners.BasePruner:
    """Return the pruner."""
    if tune.pruner == "median":
        return optuna.pruners.MedianPruner(tune.startup_trials, n_warmup_steps=tune.warmup_validations)
    if tune.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(1, tune.warmup_validations))
    if tune.pruner == "none":
        return optuna.pruners.NopPruner()
    raise InputError(f"tune.pruner={tune.pruner}: choose median, hyperband or none")


def next_step(study: optuna.Study, wanted: int) -> Literal["run", "wait", "end"]:
    """Tell whether to run a trial, to wait for those that other processes run, or to end: all are done."""
    trials = [one for one in study.get_trials(deepcopy=False) if counts(one)]
    ended = sum(one.state.is_finished() for one in trials)
    grid = study.sampler
    if ended >= wanted or (isinstance(grid, optuna.samplers.GridSampler) and grid.is_exhausted(study)):
        return "end"
    begun = sum(one.state != TrialState.WAITING for one in trials)
    return "wait" if begun >= wanted else "run"


def hopeless(study: optuna.Study, startup: int) -> bool:
    """Tell whether the first trials all failed: then it is not their values that are wrong."""
    states = [one.state for one in study.get_trials(deepcopy=False) if counts(one) and one.state.is_finished()]
    return len(states) >= max(startup, 1) and all(state == TrialState.FAIL for state in states)


def write_trials(study: optuna.Study, path: Path) -> None:
    """Write one row a trial."""
    trials = study.get_trials(deepcopy=False)
    keys = sorted({key for trial in trials for key in trial.params})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "state", "value", "validations", "reason", *keys])
        for trial in trials:
            attrs = trial.user_attrs
            figures = [trial.value, attrs.get("validations", 0), attrs.get("reason", "")]
            values = [trial.params.get(key, "") for key in keys]
            writer.writerow([trial.number, trial.state.name.lower(), *figures, *values])


def write_best(study: optuna.Study, cfg: DictConfig, folder: Path, typed: Sequence[str]) -> Best:
    """Write the best trial as an experiment.

    Raises:
        InputError: If no trial gave a figure.
    """
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    if not trials:
        reasons = [one.user_attrs["reason"] for one in study.get_trials(deepcopy=False) if "reason" in one.user_attrs]
        raise InputError(f"{folder}: no trial gave a figure; the last failed with: {(reasons or ['?'])[-1]}")
    best = study.best_trial
    default = [one.value for one in trials if one.user_attrs.get("default")]
    compared = f"; the configuration as it was: {default[0]:.4f}" if default else ""
    comment = f"Found by tune.py: {cfg.monitor} {best.value:.4f} in trial {best.number} of {cfg.tune.trials}{compared}."
    overrides = [*typed, *best.user_attrs["overrides"]]
    path = Path(cfg.tune.experiment) / f"{HydraConfig.get().runtime.choices['search']}_best.yaml"
    loader = GlobalHydra.instance().config_loader()
    write_experiment(path, comment, without(overrides, NOT_KEPT), lambda key: bool(loader.get_group_options(key)))
    log.info(comment)
    return Best(float(best.value), best.user_attrs["overrides"], path)
