"""Fits the stages of a strategy one after the other, in one run directory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from conf.schema import Init
from partial_labels.errors import InputError, one_line
from partial_labels.head import Head
from partial_labels.pseudo_store import PseudoRound
from runs.checkpoints.initial_weights import begin_from
from runs.checkpoints.ledger import BEST, LAST
from runs.checkpoints.loading import check_size, read_checkpoint, weights_of
from runs.configuration.instantiate import build
from runs.configuration.targets import parameters, resolve
from runs.hardware.interrupts import interruptible
from runs.hardware.processes import leads, together
from runs.quoting import typed_argument
from runs.stages.fitted_stage import (
    ContinuousAxis,
    FittedStage,
    KeepConfig,
    KeepProgress,
    LastEpochValidated,
    logged_rows,
)
from runs.stages.plan import check_stages, epochs_of
from runs.unheard import unheard

log = logging.getLogger(__name__)

GIVEN = (
    *("network", "head", "loss", "optimizer", "schedule", "classes", "mean", "std", "monitor"),
    *("in_channels", "out_channels", "max_epochs", "run_dir", "callbacks", "loggers", "output"),
)
"""Arguments that the run passes itself, and which a config may therefore lack."""
RAISED = "partial_labels.errors.InputError: "
RANDOM_STATES = {"_target_": "callbacks.random_states.RandomStates"}


@unheard()
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
        resumed = (run_dir / "checkpoints" / stage.name / LAST).exists()
        module = build_module(cfg, stage, data, resumed)
        try:
            module.make_optimizer(module.parameters())
        except ValueError as error:
            raise InputError(f"optimizer: {error}") from error
        build_trainer(cfg, stage, epochs, run_dir, [], [])
    for node in cfg.report.values():
        if node is not None:
            build(node, output=str(run_dir))


def fit_stages(
    cfg: DictConfig, data: Any, run_dir: Path, loggers: Sequence[Logger], checkpoint: Path | None = None
) -> list[FittedStage]:
    """Fit every stage of ``cfg.ssl`` that is not finished, and declare each finished.

    Every stage seeds the generators anew, so that its initial weights do not depend on what came before.

    Args:
        cfg: The composed configuration.
        data: The DataModule, set up.
        run_dir: The run directory.
        loggers: Shared by all stages.
        checkpoint: Where a resumed run goes on; its folder is its stage. None for the beginning of a stage.
    """
    fitted: list[FittedStage] = []
    for number, (stage, epochs) in enumerate(zip(cfg.ssl.stages, epochs_of(cfg), strict=True)):
        folder = run_dir / "checkpoints" / stage.name
        finished = FittedStage.read(folder)
        if finished is None:
            seed_everything(stage_seed(cfg.seed, number))
            begun = checkpoint if checkpoint is not None and checkpoint.parent == folder else None
            finished = fit_stage(cfg, stage, epochs, data, run_dir, loggers, fitted, begun)
            if leads():
                finished.write(folder)
        fitted.append(finished)
    return fitted


def stage_seed(seed: int, number: int) -> int:
    """Return the seed of a stage: the run's for the first, a number drawn from it for the others."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def fit_stage(
    cfg: DictConfig,
    stage: DictConfig,
    epochs: int,
    data: Any,
    run_dir: Path,
    loggers: Sequence[Logger],
    earlier: Sequence[FittedStage],
    checkpoint: Path | None = None,
) -> FittedStage:
    """Fit one stage after the others, from a checkpoint of its own where there is one."""
    pseudo = None if stage.pseudo is None else PseudoRound.open(run_dir / "pseudo" / stage.pseudo, data.opened)
    data.begin_stage(list(stage.streams), pseudo)
    module = build_module(cfg, stage, data, resumed=checkpoint is not None)
    load_initial_weights(module, stage, earlier)
    trainer, progress = build_trainer(cfg, stage, epochs, run_dir, loggers, earlier)
    fit(trainer, module, data, checkpoint)
    folder = run_dir / "checkpoints" / stage.name
    last, best = folder / LAST, folder / BEST
    seconds, wall_seconds = progress.seconds
    return FittedStage(
        name=stage.name,
        last=last,
        best=best if best.exists() else last,
        epochs=epochs,
        steps=trainer.global_step,
        seconds=seconds,
        wall_seconds=wall_seconds,
        rows=logged_rows(trainer),
        memory_gb=round(progress.memory_gb, 3),
    )


def fit(trainer: pl.Trainer, module: pl.LightningModule, data: Any, checkpoint: Path | None = None) -> None:
    """Fit, and let Ctrl-C be one, where Lightning would end the process with code 1.

    Raises:
        InputError: If Lightning finds the configuration at fault, or the checkpoint does not fit it.
        Interrupted: If the run was asked to stop.
    """
    try:
        with interruptible(trainer), together(trainer):
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:
        raise InputError(one_line(error)) from error
    except InputError as error:
        raise InputError(
            str(error).strip().splitlines()[-1].removeprefix(RAISED)
        ) from error  # a loader adds a traceback
    except RuntimeError as error:
        if trainer.world_size > 1 and "connection" in str(error).lower():
            raise InputError(
                "another process of the run ended, see what it said; where it was killed, perhaps for want of memory, "
                f"continue with {typed_argument('resume', trainer.default_root_dir)}"
            ) from error
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            "a loader process was killed, perhaps for want of memory; continue with resume=, if need be with fewer: "
            "data.num_workers=0 resume_overrides=[data.num_workers]"
        ) from error


def build_module(cfg: DictConfig, stage: DictConfig, data: Any, resumed: bool = False) -> Any:
    """Build a stage's module with a fresh network for the classes of the data.

    Args:
        cfg: The composed configuration.
        stage: The stage.
        data: The DataModule, set up.
        resumed: Whether a checkpoint of the stage brings the weights, so that ``init.checkpoint`` is not asked.
    """
    store = data.opened
    head: Head = build(cfg.head)
    channels = store.header.channels
    network = build(cfg.model, in_channels=channels, out_channels=head.channels(len(store.classes)))
    check_size(network, store.header.size)
    network.set_bias(head.initial_logits(len(store.classes)))
    own = network.input_statistics
    mean, std = data.intensity_statistics() if own is None else ((one,) * channels for one in own)
    module = build(
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
    if stage.init == "scratch" and not resumed:
        begin_from(Init(**cfg.init), module)
    return module


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
) -> tuple[pl.Trainer, KeepProgress]:
    """Build a stage's Trainer, and what counts its costs.

    Raises:
        InputError: If the configuration has no ``callbacks.checkpoints``.
    """
    folder = run_dir / "checkpoints" / stage.name
    nodes = {name: node for name, node in cfg.callbacks.items() if node is not None}
    if "checkpoints" not in nodes:
        raise InputError("callbacks.checkpoints is not set: without it nothing is kept; leave the default")
    checkpoints = build(nodes.pop("checkpoints"), output=str(folder), monitor=cfg.monitor)
    callbacks = [build(node) for node in nodes.values()]
    callbacks += [build_writer(node, run_dir / "pseudo" / stage.name) for node in stage.callbacks.values() if node]
    steps = sum(one.steps for one in earlier)
    progress = KeepProgress(steps)
    axis = ContinuousAxis(sum(one.epochs for one in earlier), steps)
    trainer: pl.Trainer = build(
        cfg.trainer,
        max_epochs=epochs,
        run_dir=str(run_dir),
        callbacks=[
            KeepConfig(cfg),
            axis,
            progress,
            LastEpochValidated(),
            build(RANDOM_STATES),
            *callbacks,
            checkpoints,
        ],
        loggers=loggers,
    )
    return trainer, progress


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
