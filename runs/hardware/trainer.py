"""The Trainer, with device and precision resolved and said."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from typing import Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from runs.checkpoints.checkpoint_io import ListedCheckpoints
from runs.hardware.compilation import CompiledNetwork
from runs.hardware.device import check_gpu, device_name, resolve_precision
from runs.hardware.recomputation import RecomputedBlocks

log = logging.getLogger(__name__)

KNOWN_NOISE = (
    ".*does not have many workers.*",  # the cases are in memory; a worker would only copy them
    ".*is smaller than the logging interval.*",  # figures are epoch means
    "Experiment logs directory .* exists and is not empty.*",  # it is the run directory, claimed before
    "Found .* in eval mode at the start of training",  # a teacher is, and stays so
    ".*treespec, LeafSpec.*",  # Lightning's own call
    ".*recommended to use .*sync_dist=True.*",  # figures are sums over all processes already
    ".*ended before the epoch ended and your dataloader is not resumable.*",  # the DataModule is
)


def make_trainer(
    max_epochs: int,
    run_dir: str,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    devices: int = 1,
    precision: str = "auto",
    threads: int | None = None,
    gradient_clip: float | None = None,
    accumulate: int = 1,
    compile: bool = False,
    recompute: bool = False,
    autotune: bool = False,
    tf32: bool = True,
    sync_batchnorm: bool = False,
    find_unused_parameters: bool = False,
    validate_every_n_epochs: int = 1,
    progress_bar: bool = True,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> pl.Trainer:
    """Return a Trainer for one stage.

    Args:
        max_epochs: Epochs of the stage.
        run_dir: The run directory.
        accelerator: ``cpu``, ``gpu`` or ``auto``.
        devices: Processes, one a device.
        precision: ``auto`` or one of Lightning's: 32-true on the CPU, 16-mixed on GPUs before sm_80, else bf16-mixed.
        threads: CPU threads of torch; None leaves its choice.
        gradient_clip: Largest norm of the gradient; None for no clipping.
        accumulate: Micro-batches per optimizer step.
        compile: Compile the network (:mod:`runs.hardware.compilation`).
        recompute: Compute activations again instead of keeping them (:mod:`runs.hardware.recomputation`).
        autotune: Let cuDNN try its algorithms at the first step; which one wins may differ from run to run.
        tf32: Let convolutions on GPUs from sm_80 on multiply with ten bits of mantissa, where the precision is 32-true.
            Other products of float32, a loss's among them, keep all bits.
        sync_batchnorm: BatchNorm over the batch of all processes, on GPUs.
        find_unused_parameters: For several processes whose loss leaves out a part of the network.
        validate_every_n_epochs: Epochs between validations; the last one of a stage has one in any case.
        progress_bar: Whether to show one.
        callbacks: The callbacks of the run and of the stage.
        loggers: Where figures go.

    Raises:
        InputError: If there is no such precision, or the GPU is one that this build of torch has no code for.
        ValueError: If a number is out of range.
    """
    quiet_lightning()
    least_one = {"max_epochs": max_epochs, "devices": devices, "threads": threads}
    least_one |= {"accumulate": accumulate, "validate_every_n_epochs": validate_every_n_epochs}
    for key, value in least_one.items():
        if value is not None and value < 1:
            raise ValueError(f"{key}={value}: must be at least 1")
    if gradient_clip is not None and not 0 < gradient_clip < float("inf"):
        raise ValueError(f"gradient_clip={gradient_clip}: must be above 0; null for no clipping")
    if compile and recompute:
        raise ValueError("compile=true: must be false with recompute=true, which it would undo")
    if sync_batchnorm and accelerator == "cpu":
        raise ValueError("sync_batchnorm=true: must be false on a CPU; model.norm=instance needs no synchronising")
    bar = [RichProgressBar(leave=True)] if progress_bar else []
    speed: list[Callback] = [CompiledNetwork()] * compile + [RecomputedBlocks()] * recompute
    on_gpu, resolved = choose_device(accelerator, devices, precision, threads, tf32)
    return pl.Trainer(
        max_epochs=max_epochs,
        default_root_dir=run_dir,
        accelerator="gpu" if on_gpu else "cpu",
        devices=devices,
        precision=resolved,  # type: ignore[arg-type]
        strategy=DDPStrategy(find_unused_parameters=find_unused_parameters) if devices > 1 else "auto",
        sync_batchnorm=sync_batchnorm,
        benchmark=autotune and on_gpu,
        gradient_clip_val=gradient_clip,
        accumulate_grad_batches=accumulate,
        check_val_every_n_epoch=validate_every_n_epochs,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        enable_checkpointing=True,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[*callbacks, *speed, *bar],
        plugins=[ListedCheckpoints()],
        logger=list(loggers),
        log_every_n_steps=1_000_000,  # figures are epoch means; nothing is written between epochs
    )


def choose_device(accelerator: str, devices: int, precision: str, threads: int | None, tf32: bool) -> tuple[bool, str]:
    """Return whether to compute on a GPU and in which precision, and say what was asked for and what is done.

    Raises:
        InputError: See :func:`make_trainer`.
        ValueError: If there are fewer devices.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    on_gpu = accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())
    if on_gpu:
        check_gpu()
    available = torch.cuda.device_count() if on_gpu else os.cpu_count() or 1
    if devices > available:
        raise ValueError(f"devices={devices}: this machine has {available}")
    resolved = resolve_precision(precision, on_gpu)
    if on_gpu:  # in mixed precision all that is left of float32 are sums that need its bits, such as those of a loss
        torch.backends.cudnn.allow_tf32 = tf32 and resolved == "32-true"
    log.info("device %s (asked: %s), precision %s (asked: %s)", device_name(on_gpu), accelerator, resolved, precision)
    return on_gpu, resolved


def quiet_lightning() -> None:
    """Silence what Lightning says at every start and nobody can act on."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in KNOWN_NOISE:
        warnings.filterwarnings("ignore", message=message)
