"""Read and check the table of a slices folder, one row a slice."""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partial_labels.case_table import CaseRow
from partial_labels.errors import InputError

REQUIRED = ("image", "label", "annotated")
SPLITS = ("", "train", "val", "test")
LARGEST = 2**31 - 1
"""Of the numbers in the manifest: what every table that they pass through can hold."""


@dataclass(frozen=True)
class Slice:
    """A row of the manifest, checked.

    Args:
        where: Manifest and line, for errors.
        row: The case.
        image: Path of the image.
        label: Path of the label map, or None for an unlabeled slice without one.
        examined: (C,) bool.
        spacing_mm: Side of a pixel (row, column), where it is given.
    """

    where: str
    row: CaseRow
    image: Path
    label: Path | None
    examined: NDArray[np.bool_]
    spacing_mm: tuple[float, float] | None


def read_manifest(root: Path, num_classes: int) -> list[Slice]:
    """Read and check ``manifest.csv``; no image is opened.

    Raises:
        InputError: If it is missing, lacks a column, or a row is wrong; the message names the line.
    """
    path = root / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            columns = [cell.strip() for cell in next(reader, [])]
            numbered = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; data.root must be a slices folder") from error
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a table ({error}); save it as CSV in UTF-8") from error
    for name in (*REQUIRED, *columns):
        if columns.count(name) != 1:
            number = "two columns" if name in columns else "no column"
            raise InputError(f"{path}: {number} {name!r} in the header {','.join(columns)!r}; mend it, with commas")
    if not numbered:
        raise InputError(f"{path}: no row below the header; write one for each slice")
    rows: list[Slice] = []
    in_volume: Counter[tuple[str, str]] = Counter()
    for line, cells in numbered:
        if len(cells) > len(columns):
            raise InputError(
                f"{path} line {line}: more cells than the header has columns; quote cells that hold a comma"
            )
        record = dict(zip_longest(columns, cells, fillvalue=""))
        item = parse_row(record, root, f"{path} line {line}", num_classes, in_volume)
        in_volume[item.row.group, item.row.volume] += 1
        rows.append(item)
    return rows


def parse_row(
    record: dict[str, str], root: Path, where: str, num_classes: int, in_volume: Counter[tuple[str, str]]
) -> Slice:
    """Check one row of the manifest.

    Args:
        record: The row's cells.
        root: The slices folder.
        where: How errors name the row.
        num_classes: C, background included.
        in_volume: How many slices of each group and volume came before, the default of ``slice_index``.
    """
    name, split = record["image"], record.get("split", "")
    group = record.get("group") or record.get("volume") or name
    volume = record.get("volume") or group
    if split not in SPLITS:
        raise InputError(f"{where}: split {split!r}; write train, val or test, or leave it empty")
    index = _integer(record, "slice_index", where, default=in_volume[group, volume])
    rank = _integer(record, "list_rank", where, default=-1)
    examined = parse_examined(record["annotated"], num_classes, where)
    label = _inside(root, record["label"], where) if record["label"] else None
    if label is None or not label.exists():
        if examined.any():
            raise InputError(f"{where}: label {record['label']!r} is missing, but `annotated` says it was examined")
        label = None
    row = CaseRow(name, group, volume, index, split, rank)
    return Slice(where, row, _inside(root, name, where), label, examined, _spacing(record, where))


def parse_examined(text: str, num_classes: int, where: str) -> NDArray[np.bool_]:
    """Turn ``"1 2 4"``, ``"all"`` or ``""`` into one bool a class; entry 0 stays False."""
    examined = np.zeros(num_classes, dtype=bool)
    if text == "all":
        examined[1:] = True
        return examined
    for word in text.split():
        if not word.isdecimal() or not 0 < int(word) < num_classes:
            raise InputError(f"{where}: annotated id {word!r}; write ids from 1 to {num_classes - 1}, or all")
        examined[int(word)] = True
    return examined


def _inside(root: Path, text: str, where: str) -> Path:
    if not text:
        raise InputError(f"{where}: the image path is empty; name a file")
    path = root / text
    if "\0" in text:
        raise InputError(f"{where}: {text!r} is no file name; mend the row")
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputError(f"{where}: {text!r} leaves the folder {root}; put the file inside")
    return path


def _integer(record: dict[str, str], name: str, where: str, default: int) -> int:
    text = record.get(name, "")
    try:
        number = int(text) if text else default
    except ValueError as error:
        raise InputError(f"{where}: {name} {text!r} is no whole number; write one or leave it empty") from error
    if abs(number) > LARGEST:
        raise InputError(f"{where}: {name} {text!r} is too large; write at most {LARGEST}")
    return number


def _spacing(record: dict[str, str], where: str) -> tuple[float, float] | None:
    text = record.get("spacing_mm", "")
    try:
        sides = [float(word) for word in text.split()]
    except ValueError:
        sides = [0.0]
    if not sides:
        return None
    if len(sides) > 2 or not all(0 < side < float("inf") for side in sides):
        raise InputError(f"{where}: spacing_mm {text!r}; write one positive number, or two separated by a space")
    return sides[0], sides[-1]
