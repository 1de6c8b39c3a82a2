"""Where a run came from: what was typed, and on what it began; a resume elsewhere may round differently."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from partial_labels.array_file import sha256
from partial_labels.errors import InputError
from runs.checkpoints.loading import write_json
from runs.found import find_checkpoint
from runs.hardware.device import device_name

RECORD = "origin.json"


@dataclass(frozen=True)
class Origin:
    """What a run began with.

    Args:
        overrides: What was typed on the command line.
        threads: CPU threads of torch.
        device: What it computes on.
        python: Version, and so on.
        numpy: Version.
        torch: Version.
        lightning: Version.
        initial_weights: SHA-256 of ``init.checkpoint``; None without one, or where it is gone.
    """

    overrides: list[str]
    threads: int
    device: str
    python: str
    numpy: str
    torch: str
    lightning: str
    initial_weights: str | None = None

    @classmethod
    def here(cls, cfg: DictConfig, overrides: list[str]) -> Origin:
        """Return what holds in this process."""
        on_gpu = cfg.trainer.get("accelerator") != "cpu" and torch.cuda.is_available()
        return cls(
            overrides=overrides,
            threads=cfg.trainer.get("threads") or torch.get_num_threads(),
            device=device_name(on_gpu) if on_gpu else f"CPU ({platform.machine()})",
            python=platform.python_version(),
            numpy=np.__version__,
            torch=torch.__version__,
            lightning=version("pytorch_lightning"),
            initial_weights=sum_of(cfg.init.checkpoint),
        )

    def write(self, run_dir: Path) -> None:
        """Write ``origin.json``."""
        write_json(run_dir / RECORD, asdict(self))

    @classmethod
    def read(cls, run_dir: Path) -> Origin:
        """Read it again.

        Raises:
            InputError: If it is missing or damaged.
        """
        try:
            return cls(**json.loads((run_dir / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{run_dir / RECORD}: missing or damaged ({error}); start a new run") from error

    def differences(self, other: Origin) -> list[str]:
        """Return what the other one has instead, besides what was typed."""
        names = [field.name for field in fields(self) if field.name not in ("overrides", "initial_weights")]
        pairs: list[tuple[str, Any, Any]] = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"{name} {mine} -> {its}" for name, mine, its in pairs if mine != its]


def sum_of(checkpoint: str | None) -> str | None:
    """Return the SHA-256 of a checkpoint, or of that of a run; None where there is none."""
    try:
        return None if checkpoint is None else sha256(find_checkpoint(Path(checkpoint)))
    except (InputError, OSError):
        return None


def typed() -> list[str]:
    """Return what was typed on the command line, Hydra's own keys left out."""
    from hydra.core.hydra_config import HydraConfig

    return [str(one) for one in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []
