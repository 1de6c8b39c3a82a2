"""The order of the training data: batches of several streams, each a pure function of seed, epoch and step."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from partial_labels.batch import HUMAN
from partial_labels.errors import InputError

Ids = NDArray[np.int64]


class Draw(NamedTuple):
    """One batch of one process, before anything of it is read; a tuple, so Lightning moves it with the batch."""

    epoch: int
    """Counted from 0."""
    step: int
    """Micro-batch within the epoch."""
    case_ids: tuple[int, ...]
    """Rows of the case table, stream after stream."""
    rows: tuple[int, ...]
    """Place of each case in the global batch, so that what is drawn for the global batch (augmentation) does not
    depend on how many processes share it."""
    completed: tuple[bool, ...]
    """Whether a case is read with what a teacher filled in."""


@dataclass(frozen=True)
class Stream:
    """Cases that take a fixed number of rows in every batch.

    Args:
        name: ``labeled``, ``unlabeled`` ...; part of the stream's seed.
        case_ids: (N,) cases to draw from.
        batch_size: Rows in the global batch.
        weights: (N,) positive weights of draws with replacement; without them permutations follow each other, so
            every case is drawn once before any is drawn twice.
        completed: Whether its cases are read with what a teacher filled in.
    """

    name: str
    case_ids: Ids
    batch_size: int
    weights: NDArray[np.float64] | None = None
    completed: bool = False

    def __post_init__(self) -> None:
        if not len(self.case_ids) or self.batch_size < 1:
            raise ValueError(
                f"stream {self.name}: {len(self.case_ids)} cases, batch size {self.batch_size}; both must be at least 1"
            )
        if self.weights is not None:
            fits = self.weights.shape == self.case_ids.shape
            if not fits or not np.isfinite(self.weights).all() or (self.weights <= 0).any():
                raise ValueError(f"stream {self.name}: weights must be positive, one for each case")


class StreamSampler(Sampler[Draw]):
    """Yields the draws of one epoch; use it as a loader's ``sampler`` with ``batch_size=None``.

    The data order survives a resume and does not depend on the number of workers, and the processes of a parallel run
    share the batches that one process would see: rank r takes rows r, r + world, ... of each stream.

    Args:
        streams: In the order of their rows in a batch, labeled first.
        steps_per_epoch: Draws in an epoch.
        seed: Seed of the run.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ValueError: If a range is violated, names repeat, or a stream's batch cannot be shared evenly.
    """

    def __init__(
        self, streams: Sequence[Stream], steps_per_epoch: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__()
        if not streams or len({stream.name for stream in streams}) != len(streams):
            raise ValueError(f"streams {[stream.name for stream in streams]}: need at least one, and unique names")
        if steps_per_epoch < 1 or seed < 0 or not 0 <= rank < world:
            raise ValueError(f"steps_per_epoch={steps_per_epoch} seed={seed} rank={rank} world={world}: out of range")
        for stream in streams:
            if stream.batch_size % world:
                raise ValueError(
                    f"stream {stream.name}: its batch size {stream.batch_size} must be a multiple of {world} processes"
                )
        self.streams = tuple(streams)
        self.steps_per_epoch = steps_per_epoch
        self.seed, self.rank, self.world = seed, rank, world
        self.epoch, self.resumed = 0, (0, 0)
        self._blocks: dict[str, tuple[int, Ids]] = {}

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Draw]:
        epoch, first = self.epoch, self.resumed[1] if self.epoch == self.resumed[0] else 0
        return (self.draw(epoch, step) for step in range(first, self.steps_per_epoch))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration draws; Lightning calls it at the start of every epoch."""
        self.epoch = epoch

    def resume_from(self, epoch: int, step: int) -> None:
        """Let every iteration of this epoch begin at ``step``: a loader with workers iterates twice to begin once."""
        if not 0 <= step <= self.steps_per_epoch:
            raise ValueError(f"step={step}: an epoch has {self.steps_per_epoch}")
        self.epoch, self.resumed = epoch, (epoch, step)

    def fingerprint(self) -> dict[str, int]:
        """Return a number for each stream, which differs where its cases are others."""
        return {stream.name: zlib.crc32(stream.case_ids.tobytes()) for stream in self.streams}

    def check(self, fingerprint: dict[str, int], where: str) -> None:
        """Refuse to go on where the streams would draw from other cases than those of a fingerprint.

        Raises:
            InputError: If they would; ``where`` names the store.
        """
        if fingerprint != self.fingerprint():
            raise InputError(
                f"{where}: its training cases are not those that the run was begun with; "
                "restore the source, or start a new run"
            )

    def draw(self, epoch: int, step: int) -> Draw:
        """Return the draw of this process at a step of an epoch, whatever was drawn before."""
        case_ids: list[int] = []
        completed: list[bool] = []
        for stream in self.streams:
            mine = np.arange(self.rank, stream.batch_size, self.world)
            case_ids += self._take(stream, epoch * self.steps_per_epoch + step)[mine].tolist()
            completed += [stream.completed] * len(mine)
        return Draw(epoch, step, tuple(case_ids), self.rows, tuple(completed))

    @property
    def rows(self) -> tuple[int, ...]:
        """Places of this process's cases in every global batch, stream after stream."""
        starts = np.cumsum([0, *(stream.batch_size for stream in self.streams)])
        mine = [range(start + self.rank, end, self.world) for start, end in itertools.pairwise(starts.tolist())]
        return tuple(itertools.chain.from_iterable(mine))

    @property
    def global_size(self) -> int:
        """Cases of a batch, over all processes."""
        return sum(stream.batch_size for stream in self.streams)

    def _take(self, stream: Stream, batch: int) -> Ids:
        """Return the global batch's rows of a stream: a stretch of its endless sequence of blocks."""
        place = batch * stream.batch_size + np.arange(stream.batch_size)
        weighted = stream.weights is not None
        length = self.steps_per_epoch * stream.batch_size if weighted else len(stream.case_ids)
        number = place // length
        parts = [self._block(stream, int(k), length)[place[number == k] % length] for k in np.unique(number)]
        return np.concatenate(parts)

    def _block(self, stream: Stream, number: int, length: int) -> Ids:
        """Return one permutation of the cases, or one epoch of weighted draws; the newest is kept."""
        kept = self._blocks.get(stream.name)
        if kept is None or kept[0] != number:
            rng = np.random.default_rng([self.seed, zlib.crc32(stream.name.encode()), number])
            if stream.weights is None:
                order = rng.permutation(stream.case_ids)
            else:
                order = rng.choice(stream.case_ids, size=length, p=stream.weights / stream.weights.sum())
            kept = self._blocks[stream.name] = (number, order)
        return kept[1]


def rare_class_weights(
    present: NDArray[np.bool_], status: NDArray[np.uint8], ids: NDArray[np.int64], threshold: float = 0.1
) -> NDArray[np.float64]:
    """Weigh each labeled case by the rarest class that it certainly shows.

    Repeat-factor sampling (Gupta et al., LVIS, CVPR 2019, arXiv:1908.03195): ``max(1, sqrt(threshold / f))`` with f
    the share of the given cases in which the class was examined and found, so that classes above the threshold are
    drawn as they come and a class a hundred times rarer ten times as often. A case that shows no class weighs 1.

    Args:
        present: (N, C) which classes are drawn in each case of the store.
        status: (N, C) status as shown in training; only ``HUMAN`` cells count.
        ids: (M,) ids of the labeled cases.
        threshold: Share of cases below which a class is rare, in (0, 1].

    Returns:
        (M,) weights, at least 1.

    Raises:
        ValueError: If ``threshold`` lies outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: a share of cases must lie in (0, 1]")
    shown = (present[ids] & (status[ids] == HUMAN))[:, 1:]
    share = shown.mean(axis=0)
    factor = np.sqrt(threshold / np.where(share > 0, share, threshold))
    weights: NDArray[np.float64] = np.maximum(1.0, (shown * factor).max(axis=1, initial=0.0))
    return weights
