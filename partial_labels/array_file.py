"""Write an ``.npy`` file row by row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray


class ArrayFile:
    """An ``.npy`` file that grows, so that arrays larger than memory, or of unknown length, can be written.

    Rows are written as they come: a full disk raises ``OSError`` here, where a memory map would kill the process.

    Args:
        path: The file to make.
        dtype: Type of the elements.
        row_shape: Shape of one row; the array is (rows, *row_shape).
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...] = ()) -> None:
        self.dtype = np.dtype(dtype)
        self.row_shape = row_shape
        self.length = 0
        self.file = path.open("wb")
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        """Append an array of rows.

        Raises:
            ValueError: If type or shape differ from the file's; nothing is cast, so nothing wraps around.
        """
        if rows.shape[1:] != self.row_shape or rows.dtype != self.dtype:
            raise ValueError(f"rows of {rows.dtype} {rows.shape[1:]} for a file of {self.dtype} {self.row_shape}")
        self.file.write(np.ascontiguousarray(rows).data)
        self.length += len(rows)

    def close(self) -> None:
        """Enter the final length and close the file; again does nothing."""
        if not self.file.closed:
            self.file.seek(0)
            self._write_header()
            self.file.close()

    def _write_header(self) -> None:
        """Write the header; numpy keeps room in it for a growing first axis, so its length never changes."""
        shape = (self.length, *self.row_shape)
        write_array_header_1_0(self.file, {"shape": shape, "fortran_order": False, "descr": self.dtype.str})


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
