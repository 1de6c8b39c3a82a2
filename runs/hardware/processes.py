"""Several processes that share one run: the first writes it, the others only train.

Lightning starts the others by the same command when the first begins to fit; under SLURM or torchrun all are there from
the beginning. Each comes to ``train`` by itself, so each has to know which it is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch.distributed as dist
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from partial_labels.errors import InputError
from runs.checkpoints.ledger import LAST
from runs.stages.fitted_stage import FittedStage


def leads() -> bool:
    """Tell whether this is the first process, or the only one."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


@contextmanager
def together(trainer: pl.Trainer) -> Iterator[None]:
    """End the processes that the first one has started when it fails: over NCCL they would wait for it for long."""
    try:
        yield
    except Exception:
        launcher = trainer.strategy.launcher
        if trainer.world_size > 1 and isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(signal.SIGKILL)
        raise


def end_exchange() -> None:
    """End the exchange between the processes: what follows a fit is done by the first alone."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def refuse_sweep(devices: int) -> None:
    """Refuse several processes in a sweep: the others, started by the same command, would begin the sweep anew.

    Raises:
        InputError: With what to do instead.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if devices > 1 and sweep and "LOCAL_RANK" not in os.environ:
        raise InputError(f"trainer.devices={devices}: a sweep runs each job in one process; start its jobs one by one")


def place_found(cfg: DictConfig, run_dir: Path) -> Path | None:
    """Return the checkpoint at which the first process goes on, which it has put into its place before."""
    folders: list[Path] = [run_dir / "checkpoints" / stage.name for stage in cfg.ssl.stages]
    unfinished = next((folder for folder in folders if FittedStage.read(folder) is None), None)
    if cfg.resume is None or unfinished is None or not (unfinished / LAST).exists():
        return None
    return unfinished / LAST
