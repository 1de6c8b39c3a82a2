"""The teacher: a copy of any student that no gradient reaches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn


@final
class Teacher(nn.Module):
    """Holds a copy of a student's parameters and buffers, always in eval mode and without gradient.

    A teacher that follows its student by an exponential moving average is a mean teacher (Tarvainen & Valpola, NeurIPS
    2017, arXiv:1703.01780). Buffers follow too: where they stay behind, BatchNorm normalises the averaged weights by
    the statistics of the first steps. It never decides when it moves; a callback does.

    Args:
        student: The network to copy.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Teacher:
        """Stay in eval mode, whatever the module around it is switched to."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, K, H, W) of the weights held."""
        logits: Tensor = self.network(image)
        return logits

    @torch.no_grad()
    def update(self, student: nn.Module, decay: float) -> None:
        """Move every parameter and buffer to ``decay * teacher + (1 - decay) * student``.

        All tensors move in a few fused kernels. Counters (integer buffers) are copied: they have no mean.

        Args:
            student: A network of the same structure.
            decay: In [0, 1]; 0 copies the student, 1 leaves the teacher where it is.

        Raises:
            ValueError: If ``decay`` lies outside [0, 1].
        """
        if not 0 <= decay <= 1:
            raise ValueError(f"decay={decay}: must lie in [0, 1]")
        pairs = list(zip(_tensors(self.network), _tensors(student), strict=True))
        moving = [(mine, its) for mine, its in pairs if mine.is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in moving], [its for _, its in moving], 1 - decay)
        for mine, its in pairs:
            if not mine.is_floating_point():
                mine.copy_(its)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
