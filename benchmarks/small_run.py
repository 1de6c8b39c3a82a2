"""``train.py``'s own parts, composed and built as it does, for the benchmarks to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from conf.schema import register
from runs.configuration.instantiate import build
from runs.loggers import build_loggers, name_runs
from runs.stages.fitting import build_module, build_trainer, seed_everything

CONF = Path(__file__).parents[1] / "conf"
STRUCTURES = "[aorta,liver,spleen,stomach,kidney_left,kidney_right]"
SMALL = (
    "data.image_size=64",
    f"data.source.structures={STRUCTURES}",
    "data.source.num_slices=200",
    "data.batch_size=8",
    "model=unet",
    "model.width=8",
    "trainer=cpu",
)
"""A network so small that whatever a step costs beside it shows: U-Net of width 8, 64 x 64, 7 classes, batch 8."""
LARGE = ("data.image_size=256", "data.source.num_slices=400", "data.batch_size=16", "model=attunet", "trainer=auto")
"""What a GPU trains: AttUNet of width 64, 256 x 256, 55 classes, batch 16, mixed precision."""


class Parts(NamedTuple):
    """What a stage is fitted with."""

    cfg: DictConfig
    data: Any
    module: Any
    trainer: pl.Trainer


def setting() -> tuple[str, ...]:
    """Return the overrides for this machine."""
    return LARGE if torch.cuda.is_available() else SMALL


def composed(folder: Path, *overrides: str) -> DictConfig:
    """Compose a run on the phantom that writes into a folder, as the command line would."""
    register()
    GlobalHydra.instance().clear()
    paths = (f"paths.run={folder}/run", f"paths.cache={folder}/cache")
    given = {one.partition("=")[0] for one in overrides}
    quiet = (
        one for one in ("data=phantom", "trainer.progress_bar=false", "logger=csv") if one.split("=")[0] not in given
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[*quiet, *paths, *overrides])


def built(cfg: DictConfig) -> Parts:
    """Build the first stage of a run, ready to fit."""
    stage = cfg.ssl.stages[0]
    seed_everything(cfg.seed)
    data: Any = build(cfg.data)
    data.setup()
    data.begin_stage(list(stage.streams))
    seed_everything(cfg.seed)
    module = build_module(cfg, stage, data)
    name_runs(cfg)
    trainer = build_trainer(cfg, stage, cfg.trainer.max_epochs, Path(cfg.paths.run), build_loggers(cfg), [])[0]
    return Parts(cfg, data, module, trainer)
