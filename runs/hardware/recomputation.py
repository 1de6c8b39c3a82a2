"""``trainer.recompute=true``: activations are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@final
class RecomputedBlocks(Callback):
    """Keeps, of each block of the student's network, only what goes in, for the length of a fit.

    Memory for about a third more time (Chen et al., 2016, arXiv:1604.06174). Gradients are the same, random numbers
    included, and so are the running statistics of BatchNorm, which see each batch once.
    """

    def __init__(self) -> None:
        self.blocks: list[nn.Module] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Let the blocks compute twice."""
        self.blocks = blocks_of(pl_module.student.network)
        for block in self.blocks:
            block.forward = recomputed(block, block.forward)

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Give each block its own ``forward`` back."""
        for block in self.blocks:
            del block.forward  # the instance's, which hides the class's
        self.blocks = []


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the modules that stand in lists, the outermost ones with parameters: levels, stages and layers."""
    found: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            found += [one for one in child if any(True for _ in one.parameters())]
        else:
            found += blocks_of(child)
    return found


def recomputed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``forward`` that forgets what it computed in between, in train mode."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), standing_statistics(block)

    def twice(*inputs: Any, **named: Any) -> Any:
        if not block.training:
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **named)

    return twice


@contextmanager
def standing_statistics(block: nn.Module) -> Iterator[None]:
    """Normalise by the batch, as in training, without moving the running statistics."""
    layers = [one for one in block.modules() if isinstance(one, _BatchNorm) and one.track_running_stats]
    kept = [(one.momentum, one.num_batches_tracked) for one in layers]
    for layer in layers:
        layer.momentum = 0.0
        layer.num_batches_tracked = None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, (momentum, count) in zip(layers, kept, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, count
