"""By what a W&B project sorts its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

TAGS = ("data", "model", "loss", "ssl")
"""Groups of the configuration whose choices become tags."""


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Return what a run is called and filed under, unless the configuration says so itself.

    The group is the sweep, or the experiment; the job type is the strategy, so that strategies can be compared with a
    band over their seeds.
    """
    group, tags = cfg.experiment_name, []
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        tags = [str(hydra.runtime.choices[name]) for name in TAGS if hydra.runtime.choices.get(name)]
        if hydra.mode == RunMode.MULTIRUN:
            group = Path(hydra.sweep.dir).name
    return {"name": Path(cfg.paths.run).resolve().name, "group": group, "job_type": cfg.ssl.name, "tags": tags}
