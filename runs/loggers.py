"""The loggers of a run, which a resumed run goes on writing to."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from partial_labels.errors import InputError
from runs.configuration.instantiate import build
from runs.wandb_identity import identity

WANDB = "pytorch_lightning.loggers.WandbLogger"
TENSORBOARD = "pytorch_lightning.loggers.TensorBoardLogger"
SETTINGS = (
    *(
        "x_disable_meta",
        "x_disable_machine_info",
        "x_disable_stats",
        "x_save_requirements",
        "x_stats_sampling_interval",
    ),
    *("save_code", "disable_code", "disable_git", "console", "quiet", "silent", "init_timeout"),
)
"""Settings of W&B that a configuration may hold."""


def name_runs(cfg: DictConfig) -> None:
    """Give a W&B run its id and its names before it begins, so that the configuration says how to find it again."""
    for node in nodes(cfg):
        if node["_target_"] == WANDB:
            agent = os.environ.get("WANDB_RUN_ID")  # of a W&B sweep, which looks for its run by this id
            names = {"id": agent or uuid.uuid4().hex[:8], **identity(cfg)}
            for key in (key for key in names if node.get(key) is None):
                OmegaConf.update(node, key, names[key], force_add=True)


def build_loggers(cfg: DictConfig, steps: int | None = None) -> list[Logger]:
    """Build the loggers.

    Args:
        cfg: The configuration.
        steps: Where a resumed run goes on: what was logged later is void. None for a new run.
    """
    loggers = []
    for node in nodes(cfg):
        further: dict[str, Any] = {}
        if steps is not None and node["_target_"] == TENSORBOARD:
            further = {"purge_step": steps}
        if node["_target_"] == WANDB:
            resume = "allow" if steps is not None and node.get("mode") == "online" else None
            further = {"resume": resume, "config": OmegaConf.to_container(cfg, resolve=True)}
        loggers.append(build(node, **further))
    return loggers


def check_settings(cfg: DictConfig) -> None:
    """Refuse W&B settings that decide where data and keys go, before anything is written.

    A configuration is handed on, and comes from others: it may neither hold a key nor name the server that gets it.

    Raises:
        InputError: Naming the setting and the environment variable that W&B reads instead.
    """
    given = [key for node in nodes(cfg) if node.get("_target_") == WANDB for key in node.get("settings") or {}]
    if refused := [str(key) for key in given if key not in SETTINGS]:
        raise InputError(
            f"logger.wandb.settings.{refused[0]}: a configuration may set {', '.join(SETTINGS)}; "
            f"for others set an environment variable, WANDB_{refused[0].upper()}"
        )


def nodes(cfg: DictConfig) -> list[DictConfig]:
    """Return the loggers' nodes; between them stand values that they read."""
    return [node for node in cfg.logger.values() if OmegaConf.is_dict(node)]


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
