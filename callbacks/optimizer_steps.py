"""Tells which optimizer steps were really made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


@final
class OptimizerSteps:
    """Calls back after every real step of the optimizers, as long as it listens.

    Micro-batches that only accumulate make no step, and neither does a gradient that overflowed: the gradient scaler
    then skips the step, though Lightning's ``global_step`` counts it.
    """

    def __init__(self) -> None:
        self.handles: list[RemovableHandle] = []

    @property
    def listening(self) -> bool:
        """Whether anything would be heard."""
        return bool(self.handles)

    def listen(self, optimizers: Sequence[Optimizer], stepped: Callable[[], None]) -> None:
        """Call ``stepped`` after each step from now on."""

        def after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            if not overflowed(optimizer):
                stepped()

        self.handles = [optimizer.register_step_post_hook(after_step) for optimizer in optimizers]

    def stop(self) -> None:
        """Listen no longer."""
        for handle in self.handles:
            handle.remove()
        self.handles = []


def overflowed(optimizer: Optimizer) -> bool:
    """Tell whether a fused optimizer was called only to find that it must not step.

    The gradient scaler leaves other optimizers uncalled, but hands a fused one its finding and lets it skip by itself.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)
