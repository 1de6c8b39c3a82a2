"""Learning-rate schedules, each a few numbers that become a torch scheduler once the optimizer and length are known."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


class Schedule(ABC):
    """Makes what Lightning's ``configure_optimizers`` takes as ``lr_scheduler``."""

    @abstractmethod
    def build(self, optimizer: Optimizer, total_steps: int, monitor: str) -> dict[str, Any]:
        """Return the scheduler and how often it steps.

        Args:
            optimizer: Its learning rates are the peak of the schedule.
            total_steps: Optimizer steps of the stage.
            monitor: The metric that a schedule may listen to; larger is better.
        """


class StepSchedule(Schedule):
    """Scales the learning rate at every optimizer step by a factor of the stage's progress, after a linear warm-up.

    Args:
        warmup_steps: Optimizer steps from (nearly) zero to the peak.
    """

    def __init__(self, warmup_steps: int = 0) -> None:
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps={warmup_steps}: must be 0 or more")
        self.warmup_steps = warmup_steps

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Return the factor at ``progress`` in [0, 1] between the end of the warm-up and the end of the stage."""

    def build(self, optimizer: Optimizer, total_steps: int, monitor: str) -> dict[str, Any]:
        """Return a ``LambdaLR`` that steps with the optimizer."""
        warmup = self.warmup_steps

        def scale(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return self.factor(min(1.0, (step - warmup) / max(1, total_steps - warmup)))

        return {"scheduler": LambdaLR(optimizer, scale), "interval": "step"}


class ConstantSchedule(StepSchedule):
    """The peak learning rate to the end."""

    def factor(self, progress: float) -> float:
        """Return 1."""
        return 1.0


class PolySchedule(StepSchedule):
    """``(1 - progress) ** power``, the usual decay of segmentation (Chen et al., DeepLab, arXiv:1606.00915).

    Args:
        power: Exponent, above 0.
        warmup_steps: Optimizer steps of linear warm-up.
    """

    def __init__(self, power: float = 0.9, warmup_steps: int = 0) -> None:
        super().__init__(warmup_steps)
        if power <= 0:
            raise ValueError(f"power={power}: must be above 0")
        self.power = power

    def factor(self, progress: float) -> float:
        """Return the polynomial decay."""
        return float((1 - progress) ** self.power)


class CosineSchedule(StepSchedule):
    """Half a cosine from the peak to ``final`` times the peak (Loshchilov & Hutter, SGDR, arXiv:1608.03983).

    Args:
        final: Last factor, in [0, 1].
        warmup_steps: Optimizer steps of linear warm-up.
    """

    def __init__(self, final: float = 0.0, warmup_steps: int = 0) -> None:
        super().__init__(warmup_steps)
        if not 0 <= final <= 1:
            raise ValueError(f"final={final}: must lie in [0, 1]")
        self.final = final

    def factor(self, progress: float) -> float:
        """Return the cosine decay."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


class PlateauSchedule(Schedule):
    """Multiplies the learning rate by ``factor`` when the monitored Dice has not risen in ``patience_epochs``.

    Args:
        factor: In (0, 1).
        patience_epochs: Epochs with a validation to wait.
    """

    def __init__(self, factor: float = 0.1, patience_epochs: int = 10) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"factor={factor}: must lie in (0, 1)")
        self.factor, self.patience_epochs = factor, patience_epochs

    def build(self, optimizer: Optimizer, total_steps: int, monitor: str) -> dict[str, Any]:
        """Return a ``ReduceLROnPlateau`` that steps after each validation."""
        scheduler = ReduceLROnPlateau(optimizer, mode="max", factor=self.factor, patience=self.patience_epochs)
        return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}
