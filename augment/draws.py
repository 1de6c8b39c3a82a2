"""The random numbers of one training step."""

from __future__ import annotations

import copy
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def send(values: Tensor, device: torch.device | str) -> Tensor:
    """Bring a few numbers to a device without waiting until it has done what it was given before.

    A plain ``to(device)`` would let a GPU run dry: an augmentation sends some thirty of them. From pinned memory
    a copy is sure not to wait; torch keeps such memory until the copy is done.
    """
    if torch.device(device).type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@final
class Draws:
    """Numbers that depend on (seed, epoch, step) and on a row's place in the global batch, and on nothing else.

    Every call draws for the global batch and returns the rows that this process holds, so a run sees the same
    augmentation after a resume and with any number of processes and workers; for that, every process has to make the
    same calls in the same order, even where it has no row to use them on. Values are given on the CPU, because they
    decide what is run at all: to ask a device for them would make it wait.

    Args:
        seed: The run's seed, not negative.
        epoch: Number of the epoch, counted on where a run is resumed.
        step: Number of the batch in the epoch.
        rows: Numbers of this process's rows in the global batch.
        global_size: Rows of all processes together.
        stream: Tells apart what is drawn independently for one step: 0 the weak view, 1 the strong one.

    Raises:
        ValueError: If a number is negative or a row lies outside the global batch.
    """

    def __init__(
        self, seed: int, epoch: int, step: int, rows: Int64[Tensor, " b"], global_size: int, stream: int = 0
    ) -> None:
        if min(seed, epoch, step, stream) < 0:
            raise ValueError(f"draws: seed={seed}, epoch={epoch}, step={step}, stream={stream} must not be negative")
        self.rows = rows.cpu().numpy()
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < global_size:
            raise ValueError(f"draws: rows {self.rows.tolist()} leave a global batch of {global_size}")
        self.global_size = global_size
        self.generator = np.random.default_rng((seed, epoch, step, stream))

    def uniform(self, low: float, high: float, *shape: int) -> Float[Tensor, "b ..."]:
        """Draw from [low, high]: ``shape`` numbers a row."""
        values = self.generator.uniform(low, high, (self.global_size, *shape))
        return torch.from_numpy(values[self.rows].astype(np.float32))

    def log_uniform(self, low: float, high: float, *shape: int) -> Float[Tensor, "b ..."]:
        """Draw factors from [low, high] so that halving is as probable as doubling; both bounds are positive."""
        return self.uniform(float(np.log(low)), float(np.log(high)), *shape).exp()

    def chance(self, probability: float) -> Bool[Tensor, " b"]:
        """Say yes to each row with this probability."""
        return torch.from_numpy(self.generator.random(self.global_size)[self.rows] < probability)

    def choose(self, probability: float) -> tuple[Int64[Tensor, " n"], Draws]:
        """Choose each row with this probability.

        Returns:
            Places of the chosen rows in the local batch, and the draws for those rows alone.
        """
        index = self.chance(probability).nonzero()[:, 0]
        chosen = copy.copy(self)
        chosen.rows = self.rows[index.numpy()]
        return index, chosen

    def noise(self, like: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
        """Draw standard normal fields of the shape and on the device of ``like``.

        Only the rows' seeds are drawn for the global batch; the fields come from the device's own generator, whose
        numbers differ between CPU and GPU.
        """
        seeds = self.generator.integers(2**63, size=self.global_size)[self.rows]
        field = torch.empty_like(like)
        generator = torch.Generator(like.device)
        for row, seed in zip(field, seeds.tolist(), strict=True):
            row.normal_(generator=generator.manual_seed(seed))
        return field
