"""Read and write the challenge's table of labels: one row a pixel, one column an image.

The full table is 65536 x 2000 cells, 268 MB of text. Both ways go through blocks of bytes in numpy, so time is seconds
and memory little more than the labels themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from partial_labels.batch import IGNORE
from partial_labels.errors import InputError

BLOCK = 1 << 21
"""Bytes of text that are parsed at a time."""
BLOCK_CELLS = 1 << 21
"""Cells that are written at a time."""
COMMA, NEWLINE, ZERO = b",\n0"
LEAD = b",,"
"""Put before a block, so that looking two bytes back from any separator stays inside."""

Labels = NDArray[np.uint8]


def read_label_csv(path: Path, names: Sequence[str], num_pixels: int, max_id: int) -> Labels:
    """Read the table.

    Args:
        path: The file.
        names: The images in the order wanted; columns are found by name, with or without ``.png``.
        num_pixels: Pixels of an image, in row-major order.
        max_id: The largest class id.

    Returns:
        (len(names), num_pixels) uint8.

    Raises:
        InputError: If a column or row is missing or too many, or a cell is no class id; it names row and column.
    """
    labels = np.empty((len(names), num_pixels), dtype=np.uint8)
    try:
        opened = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: unreadable ({error.strerror}); download it again") from error
    with opened as file:
        columns = _read_header(file, path)
        place = _places(columns, names, path)
        row = 0
        for block in _blocks(file):
            values = _parse(block, len(columns), row, max_id)
            if values is None:
                raise InputError(f"{path}: {_explain(block, columns, row, max_id)}")
            if row + len(values) > num_pixels:
                raise InputError(f"{path}: more than {num_pixels} rows, the number of pixels of an image")
            labels[place, row : row + len(values)] = values.T
            row += len(values)
    if row < num_pixels:
        raise InputError(f"{path}: {row} rows, but the images have {num_pixels} pixels; download it again")
    return labels


def write_label_csv(path: Path, names: Sequence[str], labels: Labels) -> None:
    """Write the table as the challenge does: the first header cell empty, rows ``Pixel 0``, ``Pixel 1``, ...

    ``IGNORE`` is written as 0, the table has no word for it.

    Args:
        path: The file to make.
        names: Header of the columns.
        labels: (len(names), pixels) uint8; may be a memory map.
    """
    ids = ["0" if i == IGNORE else str(i) for i in range(256)]
    inner, last = (np.array([f"{text}{end}".encode() for text in ids], dtype="S4").view(np.uint32) for end in ",\n")
    step = max(1, BLOCK_CELLS // len(names))
    with path.open("wb") as file:
        file.write(("," + ",".join(names) + "\n").encode())
        for start in range(0, labels.shape[1], step):
            rows = np.ascontiguousarray(labels[:, start : start + step].T)
            heads = np.array([f"Pixel {start + i},".encode() for i in range(len(rows))])
            cells = np.column_stack([inner[rows[:, :-1]], last[rows[:, -1]]])
            text = np.column_stack([heads.view(np.uint8).reshape(len(rows), -1), cells.view(np.uint8)])
            file.write(text[text != 0].data)


def _read_header(file: BinaryIO, path: Path) -> list[str]:
    cells = file.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n").split(",")
    if len(cells) < 2:
        raise InputError(f"{path}: its first line is no header; expected ',0.png,1.png,...'")
    return [cell.strip(' "') for cell in cells[1:]]


def _places(columns: list[str], names: Sequence[str], path: Path) -> NDArray[np.intp]:
    """Return for each column the position of its image."""
    position = {name: i for i, name in enumerate(names)}
    found = [f"{column.removesuffix('.png')}.png" for column in columns]
    given = set(found)
    missing = next((name for name in names if name not in given), None)
    if missing is not None:
        raise InputError(f"{path}: no column {missing!r}, but there is such an image; it has {len(columns)} columns")
    if len(found) > len(position):
        odd = next(name for i, name in enumerate(found) if name not in position or name in found[:i])
        raise InputError(f"{path}: column {odd!r} stands there twice or belongs to no image; take it out")
    return np.array([position[name] for name in found])


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of the file in pieces of whole lines, each line ended by a newline alone."""
    rest = b""
    while chunk := file.read(BLOCK):
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end].replace(b"\r\n", b"\n")
        rest = text[end:]
    if rest:
        yield rest + b"\n"


def _parse(block: bytes, num_columns: int, first_row: int, max_id: int) -> Labels | None:
    """Return the values of a block, (rows, columns) uint8, or None if anything in it is not as it should be.

    A value ends at a separator: the byte before is its last digit, the one before that a digit or the separator of the
    value before. Only the cells of two digits or more, the fewer, are looked at further.
    """
    text = np.frombuffer(LEAD + block, dtype=np.uint8)
    data = text[len(LEAD) :]
    newline = data == NEWLINE
    ends = np.flatnonzero(newline | (data == COMMA))
    num_rows = np.count_nonzero(newline)
    if len(ends) != num_rows * (num_columns + 1):
        return None
    table = ends.reshape(num_rows, num_columns + 1)
    line_ends = table[:, -1]
    if not newline[line_ends].all():
        return None
    starts = np.concatenate([[0], line_ends[:-1] + 1]).tolist()
    for row, (start, end) in enumerate(zip(starts, table[:, 0].tolist(), strict=True), start=first_row):
        if not _names_row(block[start:end], row):
            return None
    cells = table[:, 1:]
    values = text[1:][cells] - np.uint8(ZERO)
    if values.max() > 9:
        return None
    longer = text[cells] != COMMA
    if longer.any() and not _add_higher_digits(values, longer, cells, data):
        return None
    return values if values.max() <= max_id else None


def _add_higher_digits(values: Labels, longer: NDArray[np.bool_], cells: NDArray[np.intp], data: Labels) -> bool:
    """Add tens and hundreds in place; tell whether they were digits, the value below 256 and its first digit not 0."""
    at = cells[longer]
    tens = data[at - 2] - np.uint8(ZERO)
    before = data[at - 3]
    hundreds = np.where(before == COMMA, np.uint8(0), before - np.uint8(ZERO))
    three = before != COMMA
    total = values[longer] + 10 * tens.astype(np.int64) + 100 * hundreds.astype(np.int64)
    first = np.where(three, hundreds, tens)
    ok = (tens <= 9) & (hundreds <= 2) & (first > 0) & (~three | (data[at - 4] == COMMA)) & (total <= 255)
    values[longer] = total.astype(np.uint8)
    return bool(ok.all())


def _names_row(label: bytes, row: int) -> bool:
    return label in (b"Pixel %d" % row, b'"Pixel %d"' % row, b"%d" % row)


def _explain(block: bytes, columns: list[str], first_row: int, max_id: int) -> str:
    """Find what :func:`_parse` did not like, line by line."""
    lines = block.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    for row, line in enumerate(lines, start=first_row):
        label, *cells = line.split(",")
        if not _names_row(label.encode(), row):
            return f"row {row + 1} is named {label!r}, expected 'Pixel {row}'; restore the order of the rows"
        if len(cells) != len(columns):
            return f"row 'Pixel {row}' has {len(cells)} values for {len(columns)} images; download it again"
        for column, cell in zip(columns, cells, strict=True):
            if not (cell.isascii() and cell.isdecimal() and str(int(cell)) == cell and int(cell) <= max_id):
                return f"row 'Pixel {row}', column {column!r}: {cell!r} is no class id from 0 to {max_id}"
    raise AssertionError("a block was refused that has no fault")
