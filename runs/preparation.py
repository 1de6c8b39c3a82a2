"""Builds a store and gathers what its page shows."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from conf.schema import PrepareConfig
from partial_labels.batch import PartialLabelBatch
from partial_labels.case_store import CaseStore
from runs.configuration.instantiate import build, check, check_extra_keys
from runs.stages.fitting import GIVEN

log = logging.getLogger(__name__)

SAMPLE_BATCHES = 2


class Prepared(NamedTuple):
    """The arguments of the data page."""

    store: CaseStore
    parts: dict[str, NDArray[np.int64]]
    status: NDArray[np.uint8]
    cluster: NDArray[np.int64]
    crossing: tuple[tuple[int, int], ...]
    samples: list[PartialLabelBatch]
    output: Path


def prepare(cfg: DictConfig) -> Prepared:
    """Build or open the store, split it as a run would, and draw the first training batches."""
    check_extra_keys(cfg, PrepareConfig)
    check(cfg, given=GIVEN)
    data: Any = build(cfg.data)
    if cfg.verify:
        sound = "intact" if data.opened.verify() else "no checksums, it was built before there were any"
        log.info("%s: %s", data.opened.path, sound)
    data.setup()
    batches = islice(data.train_dataloader(), SAMPLE_BATCHES)  # an epoch may have only one
    samples = [data.on_after_batch_transfer(batch, 0) for batch in batches]
    split = data.split
    parts = {"train": split.train, "val": split.val, "test": split.test}
    return Prepared(data.opened, parts, data.shown.status, split.cluster, split.crossing, samples, Path(cfg.output))
