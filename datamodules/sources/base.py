"""What a source is, and how its cases become a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.case_store import CaseRow
from partial_labels.classes import ClassTable

Array = NDArray[Any]


@dataclass(frozen=True)
class SourceCase:
    """One slice as the source has it, on its own grid.

    Args:
        row: Name, group, volume, slice, split and rank.
        image: (h, w) uint8 or int16.
        label: (h, w) uint8 class ids as shown.
        examined: (C,) bool, which cells were examined; entry 0 is not read.
        truth: (h, w) uint8 with every class, where the source knows more than it shows.
    """

    row: CaseRow
    image: Array
    label: NDArray[np.uint8]
    examined: NDArray[np.bool_]
    truth: NDArray[np.uint8] | None = None


class Source(ABC):
    """Gives cases one at a time, so that a set larger than memory can be built.

    A subclass is a conf node (``conf/data/<name>.yaml``) whose constructor takes the paths and options.
    """

    name: str
    image_dtype: str = "uint8"
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
        """Number of cases, known before the first is read."""

    @abstractmethod
    def cases(self) -> Iterator[SourceCase]:
        """Yield every case in the source's order.

        Raises:
            InputError: If a file is missing, unreadable or contradicts another; one line, naming file and remedy.
        """
