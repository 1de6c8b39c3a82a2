"""What a source is, and how its cases become a store."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable

Array = NDArray[Any]


@dataclass(frozen=True)
class SourceCase:
    """One slice as the source has it, on its own grid.

    Args:
        row: Name, group, volume, slice, split and rank.
        image: (h, w) uint8 or int16, or (I, h, w) where the source has several ``channels``.
        label: (h, w) uint8 class ids as shown.
        examined: (C,) bool, which cells were examined; entry 0 is not read.
        truth: (h, w) uint8 with every class, where the source knows more than it shows.
        spacing_mm: Side of a pixel (row, column); None for the source's own.
    """

    row: CaseRow
    image: Array
    label: NDArray[np.uint8]
    examined: NDArray[np.bool_]
    truth: NDArray[np.uint8] | None = None
    spacing_mm: tuple[float, float] | None = None


class Source(ABC):
    """Gives cases one at a time, so that a set larger than memory can be built.

    A subclass is a conf node (``conf/data/<name>.yaml``) whose constructor takes the paths and options.
    """

    name: str
    image_dtype: str = "uint8"
    channels: int = 1
    slope: float = 1 / 255
    intercept: float = 0.0
    spacing_mm: tuple[float, float] | None = None
    left_right_axis: str = "none"
    has_truth: bool = False

    @property
    @abstractmethod
    def classes(self) -> ClassTable:
        """The class table."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a text that changes whenever the cases would: options, and sizes and times of the files read."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of cases, known before the first is read (of volumes in a :class:`VolumeSource`)."""

    @abstractmethod
    def cases(self) -> Iterator[SourceCase]:
        """Yield every case in the source's order.

        Raises:
            InputError: If a file is missing, unreadable or contradicts another; one line, naming file and remedy.
        """


class VolumeSource(Source):
    """A source that falls into volumes of which each can be read alone.

    Its store is built by several processes, each holding one volume in memory, and a build that was killed goes on with
    the volumes that are not finished (:mod:`datamodules.volume_build`). An instance must be picklable.
    """

    @property
    @abstractmethod
    def volumes(self) -> Sequence[str]:
        """Names of the volumes; they need not be unique."""

    @abstractmethod
    def options(self) -> str:
        """Return a text that changes whenever all volumes would: class table and what is done to every volume."""

    @abstractmethod
    def volume_fingerprint(self, number: int) -> str:
        """Return a text that changes whenever this volume would, beside the options."""

    @abstractmethod
    def read(self, number: int) -> Iterator[SourceCase]:
        """Yield the slices of one volume; there may be none.

        Raises:
            InputError: If a file of the volume is missing, unreadable or contradicts another.
        """

    def fingerprint(self) -> str:
        """Hash the options and the fingerprints of all volumes."""
        digest = hashlib.sha256(self.options().encode())
        for number in range(len(self.volumes)):
            digest.update(self.volume_fingerprint(number).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Number of volumes; how many slices they give is known when they are read."""
        return len(self.volumes)

    def cases(self) -> Iterator[SourceCase]:
        """Yield the slices of all volumes."""
        for number in range(len(self.volumes)):
            yield from self.read(number)


def is_constant(image: Array) -> bool:
    """Tell whether an image shows nothing: each of its channels is of one value."""
    return bool((image.min(axis=(-2, -1)) == image.max(axis=(-2, -1))).all())
