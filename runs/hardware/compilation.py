"""``trainer.compile=true``: the network compiled, and the run goes on as it is where that cannot be done."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import warnings
from typing import Any, final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

log = logging.getLogger(__name__)

NETWORKS = ("student", "teacher")
COMPILERS = ("c++", "g++", "clang++")
OLDEST = (7, 0)
"""Capability of the first GPUs that Triton, the compiler's back end there, knows."""


@final
class CompiledNetwork(Callback):
    """Compiles the student's network, and the teacher's, for the length of a fit; losses and metrics stay as they are.

    Parameters keep their names, so a checkpoint does not tell. A copy of the network is compiled and trained for one
    step first: where that fails the reason is logged, once, and nothing is compiled.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Compile, or say why not."""
        networks = [getattr(pl_module, name).network for name in NETWORKS if hasattr(pl_module, name)]
        reason = hindrance(trainer.strategy.root_device)
        if reason is None:
            header: Any = trainer.datamodule.opened.header  # type: ignore[attr-defined]
            image = torch.zeros(2, header.channels, *header.size, device=trainer.strategy.root_device)
            with trainer.precision_plugin.forward_context():
                reason = failure(networks[0], image)
        if reason is not None:
            log.warning("trainer.compile: %s; the run goes on without", reason)
            return
        for network in networks:
            network.compile()
        log.info("the network is compiled")

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Take the compiled code away again: what follows a fit sees each network once."""
        for name in NETWORKS:
            if hasattr(pl_module, name):
                for module in getattr(pl_module, name).modules():
                    module._compiled_call_impl = None


def hindrance(device: torch.device) -> str | None:
    """Return why nothing can be compiled for a device, as far as that can be told beforehand."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        major, minor = capability
        return (
            None if capability >= OLDEST else f"{torch.cuda.get_device_name(device)} is sm_{major}{minor}, before sm_70"
        )
    compiler = os.environ.get("CXX")
    found = shutil.which(compiler) if compiler else next(filter(None, map(shutil.which, COMPILERS)), None)
    return None if found else f"no C++ compiler ({compiler or ', '.join(COMPILERS)})"


def failure(network: nn.Module, image: Tensor) -> str | None:
    """Compile a copy of a network, train it for one step, and return the first line of what goes wrong."""
    trial = copy.deepcopy(network).train()
    devices = [image.device] if image.device.type == "cuda" else []
    with torch.random.fork_rng(devices), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        try:
            trial.compile()
            outputs = trial(image)
            levels = outputs if isinstance(outputs, list) else [outputs]
            torch.autograd.backward([level.float().mean() for level in levels])
        except Exception as error:  # whatever a compiler, its driver or its cache come up with
            return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"
    return None
