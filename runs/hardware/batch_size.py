"""``data.batch_size=auto``: the largest power of two that fits, found once and kept in the run's configuration."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from partial_labels.batch import UNKNOWN
from partial_labels.errors import one_line
from runs.configuration.instantiate import build
from runs.hardware.device import Place, find_place
from runs.hardware.recomputation import blocks_of, recomputed
from runs.stages.fitting import build_module

log = logging.getLogger(__name__)

AUTO = "auto"
LEAST, MOST = 2, 64
"""BatchNorm needs two images; beyond 64 an epoch of a small data set has too few steps to learn from."""
SHARE = {"cuda": 0.65, "cpu": 0.5}
"""Part of the free memory that a step may take: a GPU holds the cases besides, a computer other programs."""
WORKSPACE = 2.0
"""What a step takes on a CPU, as a multiple of what it keeps for the backward pass: gradients come besides."""


def set_aside(cfg: DictConfig) -> bool:
    """Put the least batch size in the place of ``auto``, so that all else can be checked, and tell whether it did."""
    asked: bool = cfg.data.get("batch_size") == AUTO
    if asked:
        cfg.data.batch_size = LEAST * cfg.trainer.get("devices", 1)
    return asked


def settle(cfg: DictConfig) -> None:
    """Find the batch size and write it into the configuration.

    Every stage's student is trained for a step on as many rows as all streams of the stage have, beside its teacher
    where it has one, with the run's losses, optimizer, precision and ``trainer.recompute``. On a GPU batches are
    doubled until one does not fit; on a CPU, where what does not fit ends the process, two small ones are measured and
    the line through them is followed.
    """
    place = find_place(cfg.trainer.accelerator, cfg.trainer.precision, cfg.trainer.threads)
    data: Any = build(cfg.data)
    data.setup()
    devices = cfg.trainer.get("devices", 1)
    most = min(MOST, max(LEAST, len(data.labeled) // devices))
    found = min(largest(fitter(cfg, stage, data, place), most) for stage in cfg.ssl.stages)
    cfg.data.batch_size = found * devices
    gc.collect()  # recomputed blocks refer to themselves
    if place.device.type == "cuda":
        torch.cuda.empty_cache()
    log.info("data.batch_size=%d fits on %s", cfg.data.batch_size, place.device)


def adopt(cfg: DictConfig, run_dir: Path) -> None:
    """Take the batch size that the first process has found."""
    cfg.data.batch_size = OmegaConf.load(run_dir / "config.yaml").data.batch_size


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest power of two up to ``most`` that fits, if every smaller one does; the least is taken to."""
    size = LEAST
    while 2 * size <= most and fits(2 * size):
        size *= 2
    return size


def fitter(cfg: DictConfig, stage: DictConfig, data: Any, place: Place) -> Callable[[int], bool]:
    """Return a function that tells whether a batch size fits a stage on a device."""
    step = trial_step(cfg, stage, data, place)
    if place.device.type == "cuda":
        return lambda size: fits_gpu(lambda: step(size), place.device)
    kept = [kept_bytes(lambda size=size: step(size)) for size in (LEAST, 2 * LEAST)]
    each = (kept[1] - kept[0]) / LEAST
    budget = SHARE["cpu"] * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return lambda size: WORKSPACE * (kept[0] + each * (size - LEAST)) <= budget


def trial_step(cfg: DictConfig, stage: DictConfig, data: Any, place: Place) -> Callable[[int], None]:
    """Return a function that takes one training step of a stage on that many cases of each stream."""
    module = build_module(cfg, stage, data).to(place.device, place.dtype)
    if cfg.trainer.get("recompute"):
        for block in blocks_of(module.student.network):
            block.forward = recomputed(block, block.forward)

    optimizer = module.make_optimizer(module.student.network.parameter_groups())

    def step(size: int) -> None:
        rows = size * len(stage.streams)
        ids = torch.arange(rows) % len(data.labeled)
        batch = data.cases.read(torch.from_numpy(data.labeled)[ids])
        batch.status[size:] = UNKNOWN  # of the other streams; what a step takes does not depend on how many are
        batch = type(batch)(*(field.to(place.device) for field in batch))
        image = batch.image.to(place.dtype)
        with place.autocast():
            logits = module.student(image)
            losses = list(module.loss(logits, batch).values())
            if hasattr(module, "teacher"):
                losses.append(module.consistency(logits, module.head.probs(module.teacher(image)), batch, module.head))
        torch.autograd.backward(losses)
        optimizer.step()
        optimizer.zero_grad()

    return step


def fits_gpu(step: Callable[[], None], device: torch.device) -> bool:
    """Tell whether a step stays within its share of what is free on a GPU."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    try:
        step()
    except RuntimeError as error:  # cuDNN and cuBLAS have words of their own for a lack of memory
        log.info("a larger batch does not fit: %s", one_line(error)[:200])
        return False
    return torch.cuda.max_memory_allocated(device) - before <= SHARE["cuda"] * free


def kept_bytes(step: Callable[[], None]) -> int:
    """Return the bytes that a step keeps for its backward pass, counted by storage."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(kept.values())
