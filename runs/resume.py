"""A run that was killed or stopped, taken up where its newest intact checkpoint was written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from conf.schema import TrainConfig
from partial_labels.errors import InputError, one_line
from partial_labels.pseudo_store import FOLDER
from runs.checkpoints.ledger import LAST, Entry, forget_after, newest_first, take_up
from runs.configuration.instantiate import check_saved
from runs.found import run_to_resume
from runs.metrics_csv import cut
from runs.origin import Origin, typed
from runs.run_directory import check_seal
from runs.stages.fitted_stage import RECORD, FittedStage

log = logging.getLogger(__name__)

OWN = ("resume", "resume_overrides", "debug")
"""Keys that are read from the command line also where a run is resumed."""
IDENTITY = (*OWN, "paths", "logger")
"""Keys in which two configurations of the same job differ: where it runs, and the names that its loggers were given."""


class Continuation(NamedTuple):
    """Where a run goes on."""

    checkpoint: Path | None
    """The last checkpoint of the stage that was interrupted; None for the beginning of a stage."""
    steps: int
    """Optimizer steps of all stages so far."""


def original(cfg: DictConfig) -> DictConfig:
    """Return the configuration that the run to resume was begun with; any other as it is.

    Args:
        cfg: As composed from the command line; ``cfg.resume`` names the run directory.

    Raises:
        InputError: If no run lies there, or a key is typed that would change the run and is not named in
            ``resume_overrides``.
    """
    if cfg.resume is None:
        return cfg
    run = run_to_resume(cfg.resume)
    saved = saved_config(run)
    saved = moved(saved, run)
    changed = changed_keys(cfg, saved, typed())
    for key in changed:
        OmegaConf.update(saved, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    if "paths.cache" in changed:  # where the store lies; saved resolved
        saved.data.cache = saved.paths.cache
    return taken_up(saved, run, changed, cfg.debug)


def continued(cfg: DictConfig) -> DictConfig:
    """Return what a job of a sweep was begun with, where it was begun before; any other configuration as it is.

    A sweep is completed, and a job of a cluster put back into the queue, with the directories that its jobs had.

    Raises:
        InputError: If another run lies in the job's directory.
    """
    run = Path(cfg.paths.run)
    if cfg.resume is not None or not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return cfg
    if not (run / "config.yaml").is_file():
        with suppress(OSError):
            (run / "checkpoints").rmdir()  # killed before there was anything to continue
        return cfg
    saved = moved(saved_config(run), run.absolute())
    keys = [str(key) for key in cfg if key not in IDENTITY]
    if differing := [key for key in keys if plain(cfg, key) != plain(saved, key)]:
        raise InputError(f"{run}: another run lies there, with another {differing[0]}; name a new hydra.sweep.dir=")
    return taken_up(saved, run.absolute(), [], cfg.debug)


def taken_up(saved: DictConfig, run: Path, changed: Sequence[str], debug: bool) -> DictConfig:
    """Return a run's configuration as that of its continuation, with the threads it was begun with."""
    saved.resume, saved.resume_overrides, saved.debug = str(run), list(changed), debug
    if saved.trainer.get("threads") is None:
        saved.trainer.threads = Origin.read(run).threads
    return saved


def saved_config(run: Path) -> DictConfig:
    """Read the configuration that a run was begun with.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        check_seal(run / "config.yaml")
        written = OmegaConf.load(run / "config.yaml")
        check_saved(written, str(run / "config.yaml"))
        saved = OmegaConf.merge(OmegaConf.structured(TrainConfig), written)
    except InputError:
        raise
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{run / 'config.yaml'}: damaged: {one_line(error)}") from error
    assert isinstance(saved, DictConfig)
    if lost := [str(key) for key in saved if OmegaConf.is_missing(saved, key)]:
        raise InputError(f"{run / 'config.yaml'}: damaged: {', '.join(lost)} is missing")
    return saved


def changed_keys(cfg: DictConfig, saved: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Return the keys that are typed and mean something else than before.

    Raises:
        InputError: At the first that ``resume_overrides`` does not name.
    """
    found = []
    for override in overrides:
        name = override.lstrip("+~").partition("=")[0].partition("@")[0]
        key = name.replace("/", ".")
        known = plain(saved, key)
        if key in OWN or (plain(cfg, key) == known and (known is not None or holds(saved, key))):
            continue
        if key not in cfg.resume_overrides:
            shown = f"it began with {known}" if not isinstance(known, (dict, list, type(None))) else "it began without"
            raise InputError(
                f"{override}: a resumed run keeps its configuration ({shown}); "
                f"leave it out, or allow it by resume_overrides=[{name}]"
            )
        found.append(key)
    return found


def holds(cfg: DictConfig, key: str) -> bool:
    """Tell whether a configuration has the key, be it null."""
    node, _, last = key.rpartition(".")
    parent = OmegaConf.select(cfg, node) if node else cfg
    return OmegaConf.is_dict(parent) and last in parent


def plain(cfg: DictConfig, key: str) -> Any:
    """Return a value as plain containers, None where there is none."""
    value = OmegaConf.select(cfg, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def moved(saved: DictConfig, run: Path) -> DictConfig:
    """Return the configuration with the directory in which the run lies now in place of the one where it began."""
    before = str(saved.paths.run)
    if Path(before).absolute() == run:
        return saved

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner) for inner in value]
        inside = isinstance(value, str) and (value == before or value.startswith(f"{before}/"))
        return f"{run}{value[len(before) :]}" if inside else value

    log.info("the run began in %s", before)
    moved_values = OmegaConf.create(replaced(OmegaConf.to_container(saved)))
    found = OmegaConf.merge(OmegaConf.structured(TrainConfig), moved_values)
    assert isinstance(found, DictConfig)
    return found


def find_continuation(cfg: DictConfig, run: Path) -> Continuation:
    """Find where a run goes on, and drop what was logged after that.

    Raises:
        InputError: If a checkpoint was written but none is intact.
    """
    root = run / "checkpoints"
    for written_in_a_step in run.glob("hpc_ckpt_*.ckpt"):  # by Lightning on SLURM, which would take it for the next fit
        written_in_a_step.unlink()
    reopen(cfg, run)
    chosen = newest_intact(root)
    finished = [FittedStage.read(root / stage.name) for stage in cfg.ssl.stages]
    done = [stage for stage in finished if stage is not None]
    metrics = run / "metrics.csv"
    if chosen is not None:
        forget_after(root, chosen.stage)
    if chosen is None or chosen.stage in [stage.name for stage in done]:
        cut(metrics, done[-1].rows if done else 0)
        log.info("resuming after %s", done[-1].name if done else "nothing: no checkpoint was written yet")
        return Continuation(None, sum(stage.steps for stage in done))
    checkpoint = take_up(root, chosen)
    progress = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["progress"]
    cut(metrics, progress["rows"], before=progress["steps"])
    log.info("resuming stage %s in epoch %d, after step %d", chosen.stage, chosen.epoch, chosen.step)
    return Continuation(checkpoint, progress["steps"])


def reopen(cfg: DictConfig, run: Path) -> None:
    """Declare a stage unfinished whose pseudo-labels are gone though a later one has still to learn from them.

    It has its last checkpoint, so only the labels are written again; what the later stages have done is dropped.
    """
    root = run / "checkpoints"
    for stage in cfg.ssl.stages:
        gone = stage.pseudo is not None and not (run / FOLDER / stage.pseudo).exists()
        if gone and FittedStage.read(root / stage.name) is None and FittedStage.read(root / stage.pseudo) is not None:
            log.warning("%s: gone; its stage writes it again", run / FOLDER / stage.pseudo)
            (root / stage.pseudo / RECORD).unlink()
            forget_after(root, stage.pseudo)


def newest_intact(root: Path) -> Entry | None:
    """Return the newest checkpoint that is what was written, and warn of those that are not; None without any.

    Raises:
        InputError: If all are damaged.
    """
    listed = newest_first(root)
    for entry in listed:
        if entry.find(root) is not None:
            return entry
        log.warning("%s: damaged or gone; taking the one before", root / entry.stage / entry.name)
    if listed:
        names = ", ".join(f"{entry.stage}/{entry.name}" for entry in listed)
        raise InputError(f"{root}: every checkpoint is damaged ({names}); restore one, or start a new run")
    return None


def refuse_other_weights(cfg: DictConfig, run: Path, here: Origin) -> None:
    """Refuse to begin a stage with other weights than those that the run was begun with.

    Raises:
        InputError: Naming ``init.checkpoint``.
    """
    before = Origin.read(run).initial_weights
    open_stages = [one for one in cfg.ssl.stages if not (run / "checkpoints" / one.name / LAST).exists()]
    needed = any(stage.init == "scratch" for stage in open_stages)
    if needed and before is not None and before != here.initial_weights:
        raise InputError(f"init.checkpoint={cfg.init.checkpoint}: not what the run was begun with; restore that file")


def warn_elsewhere(run: Path, here: Origin) -> None:
    """Say what is not as it was when the run began: then it goes on, but not to the same bits."""
    others = Origin.read(run).differences(here)
    if others:
        log.warning("not the same surroundings, so not the same bits: %s", ", ".join(others))
