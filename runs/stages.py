"""Fits the stages of a strategy one after the other, in one run directory."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger

from partial_labels.errors import InputError
from partial_labels.head import Head
from partial_labels.pseudo_store import PseudoRound
from runs.fitted_stage import ContinuousAxis, FittedStage, KeepConfig
from runs.instantiate import build
from runs.loading import read_checkpoint, weights_of
from runs.targets import parameters, resolve

log = logging.getLogger(__name__)

GIVEN = (
    *("network", "head", "loss", "optimizer", "schedule", "classes", "mean", "std", "monitor"),
    *("in_channels", "out_channels", "max_epochs", "run_dir", "callbacks", "loggers", "output"),
)
"""Arguments that the run passes itself, and which a config may therefore lack."""


def rehearse(cfg: DictConfig, data: Any, run_dir: Path) -> None:
    """Build once, and throw away, all that the run will build, so that what is refused is refused before it begins.

    Args:
        cfg: The composed configuration.
        data: The DataModule, set up.
        run_dir: The run directory; nothing is written there.

    Raises:
        InputError: At the first part that cannot be built.
    """
    check_stages(cfg)
    for stage, epochs in zip(cfg.ssl.stages, epochs_of(cfg), strict=True):
        data.pools.check(list(stage.streams), stage.pseudo is not None, cfg.pseudo.complete_labeled)
        module = build_module(cfg, stage, data)
        try:
            module.make_optimizer(module.parameters())
        except ValueError as error:
            raise InputError(f"optimizer: {error}") from error
        build_trainer(cfg, stage, epochs, run_dir, [], [])
    for node in cfg.report.values():
        if node is not None:
            build(node, output=str(run_dir))


def check_stages(cfg: DictConfig) -> None:
    """Refuse stages that refer to what does not come before them, and options that the strategy does not have.

    Raises:
        InputError: Naming the stage and the key.
    """
    if not cfg.ssl.stages:
        raise InputError("ssl.stages is empty: name at least one stage")
    text = OmegaConf.to_yaml(cfg.ssl.stages)
    for key, value in cfg.ssl.items():
        if key not in ("name", "stages") and value is not None and f"${{ssl.{key}" not in text:
            raise InputError(f"ssl.{key}={value}: ssl={cfg.ssl.name} has no {key}")
    earlier: list[str] = []
    for stage in cfg.ssl.stages:
        where = f"ssl stage {stage.name}"
        if stage.name in earlier:
            raise InputError(f"{where}: two stages have this name")
        for key in ("init", "teacher"):
            name, _, which = (stage[key] or "scratch").partition("/")
            if (name, which) != ("scratch", "") and (name not in earlier or which not in ("last", "best")):
                known = ", ".join(f"{one}/last" for one in earlier) or "there is none"
                raise InputError(f"{where}: {key}={stage[key]} is not last or best of an earlier stage ({known})")
        if stage.pseudo is not None and stage.pseudo not in earlier:
            raise InputError(f"{where}: pseudo={stage.pseudo} is no earlier stage ({', '.join(earlier) or 'none'})")
        earlier.append(stage.name)


def epochs_of(cfg: DictConfig) -> list[int]:
    """Return the epochs of each stage, at least one; together they are the run's where the fractions sum to 1."""
    total = cfg.trainer.max_epochs
    if total < len(cfg.ssl.stages):
        raise InputError(f"trainer.max_epochs={total}: must be at least {len(cfg.ssl.stages)}, one for each stage")
    ends = [0]
    begun = 0.0
    for left, stage in zip(reversed(range(len(cfg.ssl.stages))), cfg.ssl.stages, strict=True):
        begun += stage.fraction
        if not 0 < stage.fraction <= 1 or begun > 1 + 1e-6:
            raise InputError(
                f"ssl stage {stage.name}: fraction={stage.fraction}: must lie in (0, 1], all together in 1"
            )
        ends.append(min(max(ends[-1] + 1, round(begun * total)), total - left))  # one is left for each that follows
    return [end - start for start, end in itertools.pairwise(ends)]


def fit_stages(cfg: DictConfig, data: Any, run_dir: Path, loggers: Sequence[Logger]) -> list[FittedStage]:
    """Fit every stage of ``cfg.ssl``, and declare each finished.

    Args:
        cfg: The composed configuration.
        data: The DataModule, set up.
        run_dir: The run directory.
        loggers: Shared by all stages.
    """
    fitted: list[FittedStage] = []
    for stage, epochs in zip(cfg.ssl.stages, epochs_of(cfg), strict=True):
        folder = run_dir / "checkpoints" / stage.name
        fitted.append(fit_stage(cfg, stage, epochs, data, run_dir, loggers, fitted))
        fitted[-1].write(folder)
    return fitted


def fit_stage(
    cfg: DictConfig,
    stage: DictConfig,
    epochs: int,
    data: Any,
    run_dir: Path,
    loggers: Sequence[Logger],
    earlier: Sequence[FittedStage],
) -> FittedStage:
    """Fit one stage after the others."""
    pseudo = None if stage.pseudo is None else PseudoRound.open(run_dir / "pseudo" / stage.pseudo, data.opened)
    data.begin_stage(list(stage.streams), pseudo)
    module = build_module(cfg, stage, data)
    load_initial_weights(module, stage, earlier)
    trainer, best, last = build_trainer(cfg, stage, epochs, run_dir, loggers, earlier)
    cpu, wall = time.process_time(), time.time()
    fit(trainer, module, data)
    return FittedStage(
        name=stage.name,
        last=Path(last.best_model_path),
        best=Path(best.best_model_path or last.best_model_path),
        epochs=epochs,
        steps=trainer.global_step,
        seconds=time.process_time() - cpu,
        wall_seconds=time.time() - wall,
    )


def fit(trainer: pl.Trainer, module: pl.LightningModule, data: Any) -> None:
    """Fit, and let Ctrl-C be one, where Lightning would end the process with code 1.

    Raises:
        InputError: If Lightning finds the configuration at fault, such as a ``monitor`` that was not logged.
    """
    try:
        trainer.fit(module, datamodule=data)
    except MisconfigurationException as error:
        raise InputError(" ".join(str(error).split())) from error
    except SystemExit:
        if not trainer.interrupted:
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def build_module(cfg: DictConfig, stage: DictConfig, data: Any) -> Any:
    """Build a stage's module with a fresh network for the classes of the data."""
    store = data.opened
    head: Head = build(cfg.head)
    network = build(cfg.model, in_channels=1, out_channels=head.channels(len(store.classes)))
    try:
        network.check_size(*store.header.size)
    except ValueError as error:
        raise InputError(str(error)) from error
    network.set_bias(head.initial_logits(len(store.classes)))
    mean, std = network.input_statistics or data.intensity_statistics()
    return build(
        stage.module,
        network=network,
        head=head,
        loss=build(cfg.loss),
        optimizer=build(cfg.optimizer),
        schedule=build(cfg.scheduler),
        classes=store.classes,
        mean=mean,
        std=std,
        monitor=cfg.monitor,
    )


def load_initial_weights(module: Any, stage: DictConfig, earlier: Sequence[FittedStage]) -> None:
    """Give student and teacher the weights of earlier stages, where the stage names them."""
    named = {one.name: one for one in earlier}

    def monitored(place: str) -> dict[str, torch.Tensor]:
        name, _, which = place.partition("/")
        path: Path = getattr(named[name], which)
        content = read_checkpoint(path)
        return weights_of(content, content["monitored"], path)

    if stage.init != "scratch":
        module.student.load_state_dict(monitored(stage.init))
    if hasattr(module, "teacher"):
        module.begin_teaching(monitored(stage.teacher) if stage.teacher else None)


def build_trainer(
    cfg: DictConfig,
    stage: DictConfig,
    epochs: int,
    run_dir: Path,
    loggers: Sequence[Logger],
    earlier: Sequence[FittedStage],
) -> tuple[pl.Trainer, ModelCheckpoint, ModelCheckpoint]:
    """Build a stage's Trainer and its two checkpoint writers, ``best`` and ``last``."""
    folder = run_dir / "checkpoints" / stage.name
    common: dict[str, Any] = {"dirpath": folder, "auto_insert_metric_name": False, "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", monitor=cfg.monitor, mode="max", save_top_k=1, **common)
    last = ModelCheckpoint(filename="last", save_top_k=1, save_on_train_epoch_end=True, **common)
    callbacks = [build(node) for node in cfg.callbacks.values() if node is not None]
    callbacks += [build_writer(node, run_dir / "pseudo" / stage.name) for node in stage.callbacks.values() if node]
    axis = ContinuousAxis(sum(one.epochs for one in earlier), sum(one.steps for one in earlier))
    trainer: pl.Trainer = build(
        cfg.trainer,
        max_epochs=epochs,
        run_dir=str(run_dir),
        callbacks=[KeepConfig(cfg), axis, *callbacks, best, last],
        loggers=loggers,
    )
    return trainer, best, last


def build_writer(node: DictConfig, output: Path) -> Any:
    """Build a callback of a stage; one that writes is told where."""
    writes = "output" in parameters(resolve(node["_target_"], "ssl.stages"))
    return build(node, output=str(output)) if writes else build(node)


def seed_everything(seed: int) -> None:
    """Seed every random number generator of the process and its workers.

    Raises:
        InputError: If the seed is not one that all of them take.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed={seed}: must lie between 0 and {2**32 - 1}")
    pl.seed_everything(seed, workers=True, verbose=False)
    torch.manual_seed(seed)
