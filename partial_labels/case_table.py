"""One row a case: ``cases.csv``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from partial_labels.errors import InputError

KINDS: Mapping[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
"""What reads a cell of the table, by the annotation of its field."""


@dataclass(frozen=True)
class CaseRow:
    """One row of the case table.

    Args:
        name: The case's name in the source, unique.
        group: Patient, or whatever a split must never cut.
        volume: The scan that the slice was cut from.
        slice_index: Its place in the volume.
        split: ``train``, ``val`` or ``test`` where the source decides it, else empty.
        list_rank: Place in the source's own order of training cases; -1 where it has none.
        height: Rows of the source slice, in pixels.
        width: Columns of the source slice, in pixels.
        native_offset: Where its labels begin in ``native.npy``; -1 where source and stored grid agree.
        row_mm: Side of a pixel of the source slice along the rows' axis, from row to row; 0 where it is not known.
        column_mm: The same from column to column.
    """

    name: str
    group: str
    volume: str
    slice_index: int = 0
    split: str = ""
    list_rank: int = -1
    height: int = 0
    width: int = 0
    native_offset: int = -1
    row_mm: float = 0.0
    column_mm: float = 0.0

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """Side of a pixel of the source slice (row, column), where it is known."""
        return (self.row_mm, self.column_mm) if self.row_mm > 0 and self.column_mm > 0 else None


class CaseTable:
    """The rows by their number, which is the ``case_id`` of a batch, and their columns as arrays."""

    def __init__(self, rows: Sequence[CaseRow]) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, case: SupportsIndex) -> CaseRow:
        return self._rows[case]

    def __iter__(self) -> Iterator[CaseRow]:
        return iter(self._rows)

    def column(self, name: str) -> NDArray[Any]:
        """Return one column, an array of strings, integers or floats."""
        return np.array([getattr(row, name) for row in self])

    @cached_property
    def volume_number(self) -> NDArray[np.int64]:
        """(N,) number of each case's volume, counted in the order of first appearance."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(row.volume, len(numbers)) for row in self], dtype=np.int64)

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            names = [f.name for f in fields(CaseRow)]
            writer.writerow(names)
            writer.writerows([getattr(row, name) for name in names] for row in self)

    @classmethod
    def read(cls, path: Path) -> CaseTable:
        """Read what :meth:`write` wrote; a column that an older store lacks has its default."""
        kinds: dict[str, Callable[[str], Any]] = {f.name: KINDS[str(f.type)] for f in fields(CaseRow)}
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            names = next(reader)
            rows = [dict(zip(names, row, strict=True)) for row in reader]
        return cls([CaseRow(**{name: kinds[name](text) for name, text in row.items()}) for row in rows])


def check_volumes(rows: Iterable[CaseRow]) -> None:
    """Refuse a name that two volumes have, since every table knows a volume by its name alone.

    Slices of one volume may be groups of their own, so what tells is a slice that two groups have.

    Raises:
        InputError: If they do.
    """
    groups: dict[tuple[str, int], str] = {}
    for row in rows:
        if (first := groups.setdefault((row.volume, row.slice_index), row.group)) != row.group:
            raise InputError(
                f"volume {row.volume!r} has a slice {row.slice_index} in two groups, {first!r} and {row.group!r}; give "
                f"each volume a name of its own, such as {first}_{row.volume} and {row.group}_{row.volume}; "
                "if it is one volume, give each slice its slice_index"
            )
