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

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.case_table import CaseTable, check_volumes
from partial_labels.checksums import verify
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.store_header import FORMAT, StoreHeader

Array = NDArray[Any]


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
        check_volumes(store.cases)
        return store

    def __post_init__(self) -> None:
        slices: tuple[int, ...] = (len(self.cases), *self.header.size)
        native = sum(row.height * row.width for row in self.cases if row.native_offset >= 0)
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
        row = self.cases[index]
        if row.native_offset < 0 or self.native is None:
            return np.asarray(self.labels[index])
        flat = self.native[row.native_offset : row.native_offset + row.height * row.width]
        return np.asarray(flat).reshape(row.height, row.width)


def _open_array(path: Path, optional: bool = False) -> Any:
    if optional and not path.exists():
        return None
    return np.load(path, mmap_mode="r", allow_pickle=False)
