"""The one on-disk format of every source: images, labels and statuses by memory map, and a case table.

A store is a folder::

    header.json     StoreHeader: size, dtype, scale, spacing, axis, class table, fingerprint of the source
    cases.csv       CaseTable: one row a case
    images.npy      (N, H, W) uint8 or int16; (N, I, H, W) where an image has I > 1 channels
    labels.npy      (N, H, W) uint8, as the source shows them
    status.npy      (N, C) uint8, HUMAN where a cell was examined
    truth.npy       (N, H, W) uint8, only where the source knows more than it shows; never read by training
    native.npy      labels on the source grid, flattened one after the other, only where a slice changed its size
    checksums.json  SHA-256 of each of them

It is written into a temporary folder beside its place and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.array_file import ArrayFile
from partial_labels.batch import HUMAN, UNKNOWN
from partial_labels.checksums import verify, write_checksums
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

FORMAT = 1
AXES = ("rows", "columns", "none")
KINDS: Mapping[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
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
        channels: I, the channels of an image.
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
    channels: int = 1

    def __post_init__(self) -> None:
        if self.left_right_axis not in AXES:
            raise InputError(f"left_right_axis={self.left_right_axis!r}: choose one of {', '.join(AXES)}")
        if self.image_dtype not in ("uint8", "int16"):
            raise InputError(f"image dtype {self.image_dtype!r}: a store holds uint8 or int16")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of a stored image: (H, W), or (I, H, W) of more channels than one."""
        return self.size if self.channels == 1 else (self.channels, *self.size)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"classes": self.classes.to_json(), "format": FORMAT}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> StoreHeader:
        """Read what :meth:`to_json` wrote; an older header says nothing of channels, and means one."""
        values = {f.name: ({"channels": 1} | record)[f.name] for f in fields(cls)}
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


@dataclass(frozen=True)
class CaseStore:
    """A store that was opened; arrays are memory maps and cost nothing until they are read.

    Args:
        path: The folder.
        header: What holds for every case.
        cases: The case table.
        images: (N, H, W) uint8 or int16, or (N, I, H, W): see :meth:`image`.
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
            InputError: If the folder is no store, or one of another format, or two volumes have one name.
        """
        path = Path(path)
        try:
            record = json.loads((path / "header.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no case store ({error}); build it with prepare.py") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(f"{path}: no case store of format {FORMAT}; delete the folder, it is built anew")
        try:
            store = cls(
                path,
                StoreHeader.from_json(record),
                CaseTable.read(path / "cases.csv"),
                *(_open_array(path / f"{name}.npy") for name in ("images", "labels", "status")),
                *(_open_array(path / f"{name}.npy", optional=True) for name in ("truth", "native")),
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise InputError(f"{path}: damaged case store ({error}); delete the folder, it is built anew") from error
        check_volumes(store.cases.rows)
        return store

    def __post_init__(self) -> None:
        slices: tuple[int, ...] = (len(self.cases), *self.header.size)
        native = sum(row.height * row.width for row in self.cases.rows if row.native_offset >= 0)
        images = (len(self.cases), *self.header.image_shape)
        expected = {"images": images, "labels": slices, "status": (len(self.cases), len(self.header.classes))}
        expected |= {"truth": slices} if self.truth is not None else {}
        expected |= {"native": (native,)} if native else {}
        for name, shape in expected.items():
            found = np.shape(getattr(self, name))
            if found != shape:
                raise ValueError(f"{name} of shape {found}, expected {shape}")

    def verify(self) -> bool:
        """Read the whole store and compare it with its checksums.

        Returns:
            Whether it has any; a store that was built before there were checksums has none.

        Raises:
            InputError: Naming the file that is not what was written.
        """
        return verify(self.path, "delete the folder, it is built anew")

    def image(self, cases: int | slice | NDArray[np.int64]) -> Array:
        """Read stored intensities with their channels: (I, H, W) of one case, (B, I, H, W) of several."""
        stored = np.asarray(self.images[cases])
        return stored if self.header.channels > 1 else stored[..., None, :, :]

    @property
    def first_channel(self) -> Array:
        """(N, H, W), the channel that pictures show and that slices are compared by; still a memory map."""
        return self.images if self.header.channels == 1 else self.images[:, 0]

    def native_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of a case on its source grid, (height, width)."""
        row = self.cases.rows[index]
        if row.native_offset < 0 or self.native is None:
            return np.asarray(self.labels[index])
        flat = self.native[row.native_offset : row.native_offset + row.height * row.width]
        return np.asarray(flat).reshape(row.height, row.width)


def _open_array(path: Path, optional: bool = False) -> Any:
    if optional and not path.exists():
        return None
    return np.load(path, mmap_mode="r", allow_pickle=False)


class CaseStoreWriter:
    """Writes a store case by case, out of core, and renames it into place at the end.

    Use it as a context manager; leaving it by an exception removes what was written. Where another process was first,
    its store stays and ours is thrown away.

    Args:
        path: The folder to make.
        header: What holds for every case.
        num_cases: How many cases will be added; None where that is not known before.
        with_truth: Whether the source knows more than it shows.
    """

    def __init__(self, path: str | Path, header: StoreHeader, num_cases: int | None, with_truth: bool = False) -> None:
        self.path = Path(path)
        self.header = header
        self.num_cases = num_cases
        self.with_truth = with_truth
        self.rows: list[CaseRow] = []
        self.status: list[NDArray[np.uint8]] = []

    def __enter__(self) -> CaseStoreWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        size = self.header.size
        self.images = ArrayFile(self.folder / "images.npy", self.header.image_dtype, self.header.image_shape)
        self.labels = ArrayFile(self.folder / "labels.npy", "uint8", size)
        self.truth = ArrayFile(self.folder / "truth.npy", "uint8", size) if self.with_truth else None
        self.native = ArrayFile(self.folder / "native.npy", "uint8")
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
            image: Stored intensities of the header's ``image_shape``.
            label: (H, W) class ids as shown.
            examined: (C,) which cells were examined; channel 0 is derived.
            truth: (H, W) every class, for a store ``with_truth``.
            native_label: The label on the source grid, where it differs from (H, W).

        Raises:
            ValueError: If an array has not the store's type or shape, or the truth is missing.
        """
        if len(examined) != len(self.header.classes):
            raise ValueError(f"{row.name}: {len(examined)} examined entries for {len(self.header.classes)} classes")
        if (truth is None) == self.with_truth:
            raise ValueError(f"{row.name}: give the truth where the store keeps it, and only there")
        self.images.append(image[None])
        self.labels.append(label[None])
        if self.truth is not None and truth is not None:
            self.truth.append(truth[None])
        status = np.where(examined, HUMAN, UNKNOWN).astype(np.uint8)
        status[0] = HUMAN if examined[1:].all() else UNKNOWN
        self.status.append(status)
        offset = -1
        height, width = label.shape
        if native_label is not None:
            height, width = native_label.shape
            offset = self.native.length
            self.native.append(native_label.ravel())
        self.rows.append(replace(row, height=height, width=width, native_offset=offset))

    def extend(self, store: CaseStore, block: int = 256) -> None:
        """Append all cases of another store of the same classes and size, a block of them in memory at a time."""
        pairs = [(self.images, store.images), (self.labels, store.labels)]
        if self.truth is not None and store.truth is not None:
            pairs.append((self.truth, store.truth))
        for array, other in pairs:
            for start in range(0, len(store), block):
                array.append(other[start : start + block])
        base = self.native.length
        if store.native is not None:
            self.native.append(store.native)
        self.status.extend(np.array(store.status))
        self.rows.extend(
            replace(row, native_offset=row.native_offset + base if row.native_offset >= 0 else -1)
            for row in store.cases.rows
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for array in (self.images, self.labels, self.truth, self.native):
                if array is not None:
                    array.close()
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        if self.num_cases not in (None, len(self.rows)):
            raise ValueError(f"{self.path}: {len(self.rows)} cases added, {self.num_cases} announced")
        if not self.native.length:
            (self.folder / "native.npy").unlink()
        np.save(self.folder / "status.npy", np.array(self.status, np.uint8).reshape(-1, len(self.header.classes)))
        CaseTable(self.rows).write(self.folder / "cases.csv")
        (self.folder / "header.json").write_text(json.dumps(self.header.to_json(), indent=1), encoding="utf-8")
        write_checksums(self.folder.iterdir())
        self.folder.chmod(0o755)
        try:
            os.rename(self.folder, self.path)
        except OSError:
            if not (self.path / "header.json").exists():
                raise
