"""Loaders over data sets that read whole batches, in this process or in others."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader


def make_loader(dataset: Any, workers: int, sampler: Iterable[Any] | None = None) -> DataLoader[Any]:
    """Return a loader that hands a data set's batches on as they are.

    Args:
        dataset: Each of its items is a batch.
        workers: Processes that read; 0 for this one.
        sampler: Says which items come and in what order; without it all, once.
    """
    return DataLoader(
        dataset,
        batch_size=None,
        collate_fn=as_they_are,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=outlive_signals,
        generator=torch.Generator(),  # else each start of a loader would draw from the network's
        pin_memory=torch.cuda.is_available(),
    )


def outlive_signals(worker: int) -> None:
    """Let a loader process live on when its whole group is told to stop, so that the run can write its checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(30))


def as_they_are(batch: Any) -> Any:
    """Return the batch; the default would look at every number of a draw for something to turn into a tensor."""
    return batch
