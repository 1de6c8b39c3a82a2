"""Writes a case store, out of core and in one rename."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partial_labels.array_file import ArrayFile
from partial_labels.batch import HUMAN, UNKNOWN, derive_background_array
from partial_labels.case_store import CaseStore
from partial_labels.case_table import CaseRow, CaseTable
from partial_labels.checksums import write_checksums
from partial_labels.store_header import StoreHeader

Array = NDArray[Any]


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
        self.status.append(np.where(examined, HUMAN, UNKNOWN).astype(np.uint8))
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
            for row in store.cases
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
        status = np.array(self.status, np.uint8).reshape(-1, len(self.header.classes))
        np.save(self.folder / "status.npy", derive_background_array(status))
        CaseTable(self.rows).write(self.folder / "cases.csv")
        (self.folder / "header.json").write_text(json.dumps(self.header.to_json(), indent=1), encoding="utf-8")
        write_checksums(self.folder.iterdir())
        self.folder.chmod(0o755)
        try:
            os.rename(self.folder, self.path)
        except OSError:
            if not (self.path / "header.json").exists():
                raise
