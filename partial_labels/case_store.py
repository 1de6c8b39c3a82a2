"""The one on-disk format of every source: images, labels and statuses by memory map, and a case table.

A store is a folder::

    header.json     StoreHeader: size, dtype, scale, spacing, axis, class table, fingerprint of the source
    cases.csv       CaseTable: one row a case
    images.npy      (N, H, W) uint8 or int16
    labels.npy      (N, H, W) uint8, as the source shows them
    status.npy      (N, C) uint8, HUMAN where a cell was examined
    truth.npy       (N, H, W) uint8, only where the source knows more than it shows; never read by training
    native.npy      labels on the source grid, flattened one after the other, only where a slice changed its size

It is written into a temporary folder beside its place and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from partial_labels.batch import HUMAN, UNKNOWN
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

FORMAT = 1
AXES = ("rows", "columns", "none")
Array = NDArray[Any]


@dataclass(frozen=True)
class StoreHeader:
    """What holds for every case of a store.

    Args:
        name: The source's name.
        classes: The class table; C = ``len(classes)``.
        size: (H, W) of every stored slice.
        image_dtype: ``uint8`` or ``int16``.
        slope: ``intensity = stored * slope + intercept`` lies in [0, 1].
        intercept: See ``slope``.
        spacing_mm: Side of a stored pixel (row, column), where it is known and the same for all.
        left_right_axis: The array axis along which the patient's left and right lie; ``none`` forbids mirrors.
        fit: The rule by which slices were brought to ``size``: ``scale`` or ``pad``.
        fingerprint: Changes whenever the source would give another store.
    """

    name: str
    classes: ClassTable
    size: tuple[int, int]
    image_dtype: str = "uint8"
    slope: float = 1 / 255
    intercept: float = 0.0
    spacing_mm: tuple[float, float] | None = None
    left_right_axis: str = "none"
    fit: str = "scale"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.left_right_axis not in AXES:
            raise InputError(f"left_right_axis={self.left_right_axis!r}: choose one of {', '.join(AXES)}")
        if self.image_dtype not in ("uint8", "int16"):
            raise InputError(f"image dtype {self.image_dtype!r}: a store holds uint8 or int16")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"classes": self.classes.to_json(), "format": FORMAT}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> StoreHeader:
        """Read what :meth:`to_json` wrote."""
        values = {f.name: record[f.name] for f in fields(cls)}
        values["classes"] = ClassTable.from_json(record["classes"])
        values["size"] = tuple(record["size"])
        values["spacing_mm"] = tuple(record["spacing_mm"]) if record["spacing_mm"] else None
        return cls(**values)


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


class CaseTable(Sequence[CaseRow]):
    """The rows, and their columns as arrays."""

    def __init__(self, rows: Sequence[CaseRow]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def column(self, name: str) -> Array:
        """Return one column, an array of strings or integers."""
        return np.array([getattr(row, name) for row in self.rows])

    @cached_property
    def volume_number(self) -> NDArray[np.int64]:
        """(N,) number of each case's volume, counted in the order of first appearance."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(row.volume, len(numbers)) for row in self.rows], dtype=np.int64)

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            names = [f.name for f in fields(CaseRow)]
            writer.writerow(names)
            writer.writerows([getattr(row, name) for name in names] for row in self.rows)

    @classmethod
    def read(cls, path: Path) -> CaseTable:
        """Read what :meth:`write` wrote."""
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            kinds = [int if f.type == "int" else str for f in fields(CaseRow)]
            next(reader)
            return cls([CaseRow(*(kind(value) for kind, value in zip(kinds, row, strict=True))) for row in reader])  # type: ignore[arg-type]


@dataclass(frozen=True)
class CaseStore:
    """A store that was opened; arrays are memory maps and cost nothing until they are read.

    Args:
        path: The folder.
        header: What holds for every case.
        cases: The case table.
        images: (N, H, W) uint8 or int16.
        labels: (N, H, W) uint8 class ids as shown, with ``IGNORE`` where padding was added.
        status: (N, C) uint8, ``HUMAN`` or ``UNKNOWN``, channel 0 derived.
        truth: (N, H, W) uint8, every class, or None where the source knows no more than it shows.
        native: Flat labels on the source grids, or None where no slice changed its size.
    """

    path: Path
    header: StoreHeader
    cases: CaseTable
    images: Array
    labels: NDArray[np.uint8]
    status: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    native: NDArray[np.uint8] | None

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def classes(self) -> ClassTable:
        """The class table."""
        return self.header.classes

    @classmethod
    def open(cls, path: str | Path) -> CaseStore:
        """Open a store.

        Raises:
            InputError: If the folder is no store, or one of another format.
        """
        path = Path(path)
        try:
            record = json.loads((path / "header.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no case store ({error}); build it with prepare.py") from error
        if record.get("format") != FORMAT:
            raise InputError(f"{path}: case store of format {record.get('format')}, not {FORMAT}; delete the folder")

        def load(name: str) -> Array | None:
            file = path / f"{name}.npy"
            return np.load(file, mmap_mode="r", allow_pickle=False) if file.exists() else None

        try:
            images, labels, status = load("images"), load("labels"), load("status")
            cases = CaseTable.read(path / "cases.csv")
            truth, native = load("truth"), load("native")
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: damaged case store ({error}); delete the folder, it is built anew") from error
        if images is None or labels is None or status is None or not len(images) == len(labels) == len(cases):
            raise InputError(f"{path}: damaged case store (a file is missing or short); delete the folder")
        return cls(path, StoreHeader.from_json(record), cases, images, labels, status, truth, native)

    def native_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of a case on its source grid, (height, width)."""
        row = self.cases.rows[index]
        if row.native_offset < 0 or self.native is None:
            return np.asarray(self.labels[index])
        flat = self.native[row.native_offset : row.native_offset + row.height * row.width]
        return np.asarray(flat).reshape(row.height, row.width)


class CaseStoreWriter:
    """Writes a store case by case, out of core, and renames it into place at the end.

    Use it as a context manager; leaving it by an exception removes what was written. Where another process was first,
    its store stays and ours is thrown away.

    Args:
        path: The folder to make.
        header: What holds for every case.
        num_cases: How many cases will be added.
        with_truth: Whether the source knows more than it shows.
    """

    def __init__(self, path: str | Path, header: StoreHeader, num_cases: int, with_truth: bool = False) -> None:
        self.path = Path(path)
        self.header = header
        self.num_cases = num_cases
        self.with_truth = with_truth
        self.rows: list[CaseRow] = []
        self.native_length = 0

    def __enter__(self) -> CaseStoreWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        shape = (self.num_cases, *self.header.size)
        self.images = open_memmap(self.folder / "images.npy", mode="w+", dtype=self.header.image_dtype, shape=shape)
        self.labels = open_memmap(self.folder / "labels.npy", mode="w+", dtype=np.uint8, shape=shape)
        self.status = np.zeros((self.num_cases, len(self.header.classes)), dtype=np.uint8)
        self.truth = (
            open_memmap(self.folder / "truth.npy", mode="w+", dtype=np.uint8, shape=shape) if self.with_truth else None
        )
        self.native_file = (self.folder / "native.bin").open("wb")
        return self

    def add(
        self,
        row: CaseRow,
        image: Array,
        label: NDArray[np.uint8],
        examined: NDArray[np.bool_],
        truth: NDArray[np.uint8] | None = None,
        native_label: NDArray[np.uint8] | None = None,
    ) -> None:
        """Append one case.

        Args:
            row: Its row of the case table; height, width and native offset are filled in here.
            image: (H, W) stored intensities.
            label: (H, W) class ids as shown.
            examined: (C,) which cells were examined; channel 0 is derived.
            truth: (H, W) every class, for a store ``with_truth``.
            native_label: The label on the source grid, where it differs from (H, W).
        """
        index = len(self.rows)
        self.images[index], self.labels[index] = image, label
        self.status[index] = np.where(examined, HUMAN, UNKNOWN)
        self.status[index, 0] = HUMAN if examined[1:].all() else UNKNOWN
        if self.truth is not None:
            if truth is None:
                raise ValueError(f"{row.name}: the store keeps the truth, but none was given")
            self.truth[index] = truth
        offset = -1
        height, width = label.shape
        if native_label is not None:
            height, width = native_label.shape
            offset = self.native_length
            self.native_file.write(np.ascontiguousarray(native_label, dtype=np.uint8).tobytes())
            self.native_length += native_label.size
        values = asdict(row) | {"height": height, "width": width, "native_offset": offset}
        self.rows.append(CaseRow(**values))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.native_file.close()
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        if len(self.rows) != self.num_cases:
            raise ValueError(f"{self.path}: {len(self.rows)} cases added, {self.num_cases} announced")
        for array in self._maps():
            array.flush()
        del self.images, self.labels, self.truth
        np.save(self.folder / "status.npy", self.status)
        flat = self.folder / "native.bin"
        if self.native_length:
            native = open_memmap(self.folder / "native.npy", mode="w+", dtype=np.uint8, shape=(self.native_length,))
            source = np.memmap(flat, dtype=np.uint8, mode="r")
            step = 1 << 26
            for start in range(0, self.native_length, step):
                native[start : start + step] = source[start : start + step]
            native.flush()
            del native, source
        flat.unlink()
        CaseTable(self.rows).write(self.folder / "cases.csv")
        (self.folder / "header.json").write_text(json.dumps(self.header.to_json(), indent=1), encoding="utf-8")
        self.folder.chmod(0o755)
        try:
            os.rename(self.folder, self.path)
        except OSError:
            if not (self.path / "header.json").exists():
                raise

    def _maps(self) -> Iterator[np.memmap[Any, Any]]:
        yield from (array for array in (self.images, self.labels, self.truth) if array is not None)
