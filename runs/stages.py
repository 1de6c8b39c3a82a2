"""Fits the stages of a strategy one after the other, in one run directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger

from partial_labels.errors import InputError
from partial_labels.head import Head
from runs.instantiate import build
from runs.loading import read_checkpoint

log = logging.getLogger(__name__)

GIVEN = (
    *("network", "head", "loss", "optimizer", "schedule", "classes", "mean", "std", "monitor"),
    *("in_channels", "out_channels", "max_epochs", "run_dir", "callbacks", "loggers", "output"),
)
"""Arguments that the run passes itself, and which a config may therefore lack."""


@dataclass(frozen=True)
class FittedStage:
    """What one stage leaves behind.

    Args:
        name: The stage.
        last: Its checkpoint after the last step.
        best: Its checkpoint with the highest monitored figure.
        epochs: Epochs of the stage.
        steps: Optimizer steps.
        seconds: Process CPU seconds of the fit.
        wall_seconds: Seconds on the clock.
    """

    name: str
    last: Path
    best: Path
    epochs: int
    steps: int
    seconds: float
    wall_seconds: float


class KeepConfig(Callback):
    """Puts the run's configuration into every checkpoint, as plain values that load without trusting the file."""

    def __init__(self, config: DictConfig) -> None:
        self.config = OmegaConf.to_container(config, resolve=True)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the configuration."""
        checkpoint["config"] = self.config


def rehearse(cfg: DictConfig, data: Any, run_dir: Path) -> None:
    """Build once, and throw away, all that the run will build, so that what is refused is refused before it begins.

    Args:
        cfg: The composed configuration.
        data: The DataModule, set up.
        run_dir: The run directory; nothing is written there.

    Raises:
        InputError: At the first part that cannot be built.
    """
    if not cfg.ssl.stages:
        raise InputError("ssl.stages is empty: name at least one stage")
    for index, stage in enumerate(cfg.ssl.stages):
        check_init(stage, [earlier.name for earlier in cfg.ssl.stages[:index]])
        module = build_module(cfg, stage, data)
        try:
            module.make_optimizer(module.parameters())
        except ValueError as error:
            raise InputError(f"optimizer: {error}") from error
        build_trainer(cfg, stage, epochs_of(stage, cfg), run_dir, [])
    for node in cfg.report.values():
        if node is not None:
            build(node, output=str(run_dir))


def epochs_of(stage: DictConfig, cfg: DictConfig) -> int:
    """Return the stage's share of the run's epochs, at least one."""
    if cfg.trainer.max_epochs < 1:
        raise InputError(f"trainer.max_epochs={cfg.trainer.max_epochs}: must be at least 1")
    if not 0 < stage.fraction <= 1:
        raise InputError(f"ssl stage {stage.name}: fraction={stage.fraction} must lie in (0, 1]")
    return max(1, round(float(stage.fraction) * int(cfg.trainer.max_epochs)))


def check_init(stage: DictConfig, earlier: Sequence[str]) -> None:
    """Refuse initial weights of a stage that does not come before."""
    name, _, which = stage.init.partition("/")
    if stage.init != "scratch" and (name not in earlier or which not in ("last", "best")):
        raise InputError(
            f"ssl stage {stage.name}: init={stage.init} is neither scratch nor last or best of an earlier stage "
            f"({', '.join(f'{one}/last' for one in earlier) or 'there is none'})"
        )


def fit_stages(cfg: DictConfig, data: Any, run_dir: Path, loggers: Sequence[Logger]) -> list[FittedStage]:
    """Fit every stage of ``cfg.ssl``.

    Args:
        cfg: The composed configuration.
        data: The DataModule, set up.
        run_dir: The run directory.
        loggers: Shared by all stages.
    """
    fitted: list[FittedStage] = []
    for stage in cfg.ssl.stages:
        epochs = epochs_of(stage, cfg)
        module = build_module(cfg, stage, data)
        load_initial_weights(module, stage, fitted)
        trainer, best, last = build_trainer(cfg, stage, epochs, run_dir, loggers)
        cpu, wall = time.process_time(), time.time()
        fit(trainer, module, data)
        fitted.append(
            FittedStage(
                name=stage.name,
                last=Path(last.best_model_path),
                best=Path(best.best_model_path or last.best_model_path),
                epochs=epochs,
                steps=trainer.global_step,
                seconds=time.process_time() - cpu,
                wall_seconds=time.time() - wall,
            )
        )
    return fitted


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
    mean, std = data.intensity_statistics()
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


def load_initial_weights(module: pl.LightningModule, stage: DictConfig, fitted: Sequence[FittedStage]) -> None:
    """Give the student the weights of an earlier stage, where ``stage.init`` names one."""
    if stage.init == "scratch":
        return
    name, _, which = stage.init.partition("/")
    earlier = {one.name: one for one in fitted}
    weights = read_checkpoint(getattr(earlier[name], which))["state_dict"]
    student = {key: value for key, value in weights.items() if key.startswith("student.")}
    module.load_state_dict(student, strict=False)


def build_trainer(
    cfg: DictConfig, stage: DictConfig, epochs: int, run_dir: Path, loggers: Sequence[Logger]
) -> tuple[pl.Trainer, ModelCheckpoint, ModelCheckpoint]:
    """Build a stage's Trainer and its two checkpoint writers, ``best`` and ``last``."""
    folder = run_dir / "checkpoints" / stage.name
    common: dict[str, Any] = {"dirpath": folder, "auto_insert_metric_name": False, "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", monitor=cfg.monitor, mode="max", save_top_k=1, **common)
    last = ModelCheckpoint(filename="last", save_top_k=1, save_on_train_epoch_end=True, **common)
    callbacks = [build(node) for node in [*cfg.callbacks.values(), *stage.callbacks.values()] if node is not None]
    trainer: pl.Trainer = build(
        cfg.trainer,
        max_epochs=epochs,
        run_dir=str(run_dir),
        callbacks=[KeepConfig(cfg), *callbacks, best, last],
        loggers=loggers,
    )
    return trainer, best, last


def seed_everything(seed: int) -> None:
    """Seed every random number generator of the process and its workers.

    Raises:
        InputError: If the seed is not one that all of them take.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed={seed}: must lie between 0 and {2**32 - 1}")
    pl.seed_everything(seed, workers=True, verbose=False)
    torch.manual_seed(seed)
