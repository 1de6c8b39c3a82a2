"""Batches of slices through an ensemble; reading runs ahead in threads, and a batch may hold slices of many inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from datamodules.stored_grid import StoredGrid
from inference.ensemble import Ensemble
from inference.inputs import Input, Scan
from partial_labels.errors import InputError
from partial_labels.grey_values import intensities

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class Job:
    """An input that was read, and what is known of its label map so far.

    Args:
        item: The input.
        scan: Its slices.
        stored: The same on each of the ensemble's grids, (D, I, H, W).
        label: The label map, filled slice by slice.
        probs: Receives (C, y, x) probabilities of a slice with its number; None where nobody wants them.
    """

    item: Input
    scan: Scan
    stored: list[NDArray[Any]]
    label: UInt8[np.ndarray, "D y x"]
    probs: Callable[[int, Float[np.ndarray, "C y x"]], None] | None = None
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.label)


@dataclass(frozen=True)
class Failure:
    """An input that could not be read, and why."""

    item: Input
    reason: str


Slice = tuple[Job, int]


@final
class Predictor:
    """Labels inputs with an ensemble.

    Args:
        ensemble: On its device and in eval mode.
        device: Its device.
        autocast: Makes the context that a batch is computed in, which gives the precision.
        dtype: Type of the networks' weights, and so of the images.
        batch_size: Slices a batch.
        workers: Threads that read.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[object]],
        dtype: torch.dtype,
        batch_size: int,
        workers: int,
    ) -> None:
        if batch_size < 1 or workers < 1:
            raise ValueError(f"batch_size={batch_size}, workers={workers}: must be 1 or more")
        self.ensemble, self.device, self.autocast, self.dtype = ensemble, device, autocast, dtype
        self.batch_size, self.workers = batch_size, workers

    def run(self, inputs: Sequence[Input], begin: Callable[[Job], None] = lambda job: None) -> Iterator[Job | Failure]:
        """Yield every input, labeled or failed, as it gets done.

        While a device computes one batch, the labels of the one before are fetched from it.

        Args:
            inputs: What to predict.
            begin: Called with each job before its first slice.
        """
        failures: deque[Failure] = deque()
        running: tuple[list[Slice], list[Tensor]] | None = None
        for batch in grouped(self._slices(inputs, begin, failures), self.batch_size):
            answered = batch, self._label(batch)
            yield from drained(failures)
            if running is not None:
                yield from self._finish(*running)
            running = answered
        yield from drained(failures)
        if running is not None:
            yield from self._finish(*running)

    def _slices(
        self, inputs: Sequence[Input], begin: Callable[[Job], None], failures: deque[Failure]
    ) -> Iterator[Slice]:
        most = 1 if any(item.heavy for item in inputs) else 2 * self.batch_size
        for read in ahead(self._read, inputs, self.workers, most):
            if isinstance(read, Failure):
                failures.append(read)
                continue
            begin(read)
            for number in range(len(read.label)):
                yield read, number

    def _read(self, item: Input) -> Job | Failure:
        try:
            scan = item.read()
            stored = [on_grid(scan, grid, str(item.path)) for grid in self.ensemble.grids]
        except InputError as error:
            return Failure(item, str(error))
        return Job(item, scan, stored, np.zeros(scan.label_shape, dtype=np.uint8))

    @torch.inference_mode()
    def _label(self, batch: list[Slice]) -> list[Tensor]:
        """Return the label maps (y, x) of a batch, still on the device."""
        with self.autocast():
            answers = [
                self.ensemble.on_grid(grid, self._images(batch, number))
                for number, grid in enumerate(self.ensemble.grids)
            ]
            decode = self.ensemble.head.decode
            if all(job.probs is None and self._unchanged(job.scan) for job, _ in batch):
                return list(decode(self.ensemble.together(answers)))
            labels = []
            for row, (job, number) in enumerate(batch):
                pairs = zip(answers, self.ensemble.beyond.items(), strict=True)
                probs = self.ensemble.together([job.scan.native(answer[row], *grid) for answer, grid in pairs])
                if job.probs is not None:
                    job.probs(number, probs.float().cpu().numpy())
                labels.append(decode(probs[None])[0])
            return labels

    def _unchanged(self, scan: Scan) -> bool:
        """Tell whether the networks' answers lie on the source's grid already."""
        grids = self.ensemble.grids
        return scan.origin is None and all(grid.size == scan.size and grid.fit != "spacing" for grid in grids)

    def _images(self, batch: list[Slice], grid: int) -> Float[Tensor, "B I H W"]:
        """Return the slices of a batch on one of the grids, intensities in [0, 1], on the device."""
        stored = np.stack([job.stored[grid][number] for job, number in batch])
        scale = torch.tensor([(job.scan.slope, job.scan.intercept) for job, _ in batch], device=self.device)
        slope, intercept = scale[..., None, None, None].unbind(dim=1)
        return intensities(torch.from_numpy(stored).to(self.device), slope, intercept).to(self.dtype)

    def _finish(self, batch: list[Slice], labels: list[Tensor]) -> Iterator[Job]:
        same = all(label.shape == labels[0].shape for label in labels)
        fetched = torch.stack(labels).cpu().numpy() if same else [label.cpu().numpy() for label in labels]
        for (job, number), label in zip(batch, fetched, strict=True):
            job.label[number] = label
            job.left -= 1
            if not job.left:
                job.stored = []
                yield job


def on_grid(scan: Scan, grid: StoredGrid, where: str) -> Shaped[np.ndarray, "D I H W"]:
    """Bring slices to a network's grid, as building a store does."""
    black, place = round(-scan.intercept / scan.slope), grid.place(scan.size, scan.spacing_mm, where)
    return np.stack([place.image(one, black) for one in scan.image])


def ahead(work: Callable[[T], R], items: Iterable[T], workers: int, most: int) -> Iterator[R]:
    """Yield the results of a function in order, while threads work on the items that follow.

    Args:
        work: The function.
        items: Its arguments.
        workers: Threads.
        most: Results that may lie waiting.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last one as it comes."""
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def drained(queue: deque[T]) -> Iterator[T]:
    """Yield and remove what is in a queue."""
    while queue:
        yield queue.popleft()
