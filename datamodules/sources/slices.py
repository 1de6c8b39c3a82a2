"""The plain folder format for slices of any origin.

::

    manifest.csv    one row a slice
    classes.json    {"1": name, "2": name, ...}; 0 is "none of the annotated classes"
    images, labels  8-bit grey (PNG or lossless WebP) and uint8 ids (PNG), same size; slices may differ in size

Columns of the manifest: ``image`` and ``label`` (paths inside the folder), ``annotated`` (ids examined in this slice,
separated by spaces; ``all``; empty = unlabeled, then the label may be empty or missing). May be left out: ``volume``
(default: the group), ``group`` (default: the volume, or the slice itself where neither is given), ``slice_index``
(default: order within the volume), ``split`` (``train``, ``val``, ``test`` or empty), ``list_rank`` (the order in which
``labeled_first`` takes cases) and ``spacing_mm`` (one side, or row and column separated by a space).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.base import Source, SourceCase
from datamodules.sources.image_file import read_image, read_label
from partial_labels.case_store import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

REQUIRED = ("image", "label", "annotated")
SPLITS = ("", "train", "val", "test")


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


class SlicesSource(Source):
    """Reads a slices folder.

    Args:
        root: The folder.
        left_right_axis: The array axis along which the patient's left and right lie: ``rows``, ``columns`` or
            ``none``, which forbids mirrors.
        name: Name of the store; the folder's by default.
        pairs: Ids of structures that exchange under a mirror; by default found by name (``_left`` and ``_right``).
            Give ``[]`` where such names do not mean mirrored structures, as with the ventricles of the heart.

    Raises:
        InputError: If the folder, the manifest or the class table is missing or ill-formed.
    """

    def __init__(
        self,
        root: str | Path,
        left_right_axis: str = "none",
        name: str | None = None,
        pairs: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.root = Path(root)
        self.left_right_axis = left_right_axis
        self._classes = read_classes(self.root / "classes.json", pairs)
        self.slices = read_manifest(self.root, len(self._classes))
        self.name = name or self.root.resolve().name
        spacings = {item.spacing_mm for item in self.slices}
        self.spacing_mm = spacings.pop() if len(spacings) == 1 else None

    @property
    def classes(self) -> ClassTable:
        """The table of ``classes.json``."""
        return self._classes

    def fingerprint(self) -> str:
        """Hash the options, both tables, and size and time of every file."""
        digest = hashlib.sha256(json.dumps([self.name, self.left_right_axis, self.classes.to_json()]).encode())
        digest.update((self.root / "manifest.csv").read_bytes())
        for item in self.slices:
            for path in (item.image, item.label):
                if path is not None:
                    digest.update(_size_and_time(path, item.where).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.slices)

    def cases(self) -> Iterator[SourceCase]:
        """Yield the slices in the manifest's order."""
        for item in self.slices:
            image = read_image(item.image, f"{item.where}: {item.image}")
            if item.label is None:
                label = np.zeros(image.shape, dtype=np.uint8)
            else:
                label = read_label(item.label, f"{item.where}: {item.label}")
            yield SourceCase(item.row, image, label, item.examined)


def read_classes(path: Path, pairs: Sequence[Sequence[int]] | None = None) -> ClassTable:
    """Read a ``classes.json``.

    Raises:
        InputError: If it is missing, is not a table of names, or its ids are not 1, 2, ... without a gap.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = {int(index): str(name) for index, name in record.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f'{path}: not readable as {{"1": name, "2": name, ...}} ({error})') from error
    names.pop(0, None)
    if sorted(names) != list(range(1, len(names) + 1)):
        raise InputError(
            f"{path}: ids {sorted(names)} leave a gap; number the classes 1, 2, ... and renumber the labels"
        )
    try:
        given = None if pairs is None else [(int(left), int(right)) for left, right in pairs]
    except (TypeError, ValueError) as error:
        raise InputError(f"pairs={pairs}: write ids two by two, as in [[1, 2], [4, 5]], or []") from error
    return ClassTable.from_foreground([names[index] for index in sorted(names)], given)


def read_manifest(root: Path, num_classes: int) -> list[Slice]:
    """Read and check ``manifest.csv``; no image is opened.

    Raises:
        InputError: If it is missing, lacks a column, or a row is wrong; the message names the line.
    """
    path = root / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            columns = reader.fieldnames or []
            numbered = [(reader.line_num, record) for record in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a table ({error}); data.root must be a slices folder") from error
    for name in REQUIRED:
        if name not in columns:
            raise InputError(f"{path}: no column {name!r}; it has {', '.join(columns) or 'none'}")
    rows: list[Slice] = []
    in_volume: Counter[str] = Counter()
    for line, record in numbered:
        if None in record:
            raise InputError(
                f"{path} line {line}: more cells than the header has columns; quote cells that hold a comma"
            )
        item = parse_row(record, root, f"{path} line {line}", num_classes, in_volume)
        in_volume[item.row.volume] += 1
        rows.append(item)
    return rows


def parse_row(record: dict[str, str], root: Path, where: str, num_classes: int, in_volume: Counter[str]) -> Slice:
    """Check one row of the manifest.

    Args:
        record: The row's cells.
        root: The slices folder.
        where: How errors name the row.
        num_classes: C, background included.
        in_volume: How many slices of each volume came before, the default of ``slice_index``.
    """
    name, split = record["image"], record.get("split", "")
    group = record.get("group") or record.get("volume") or name
    volume = record.get("volume") or group
    if split not in SPLITS:
        raise InputError(f"{where}: split {split!r}; write train, val or test, or leave it empty")
    index = _integer(record, "slice_index", where, default=in_volume[volume])
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
    if text.strip() == "all":
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
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputError(f"{where}: {text!r} leaves the folder {root}; put the file inside")
    return path


def _integer(record: dict[str, str], name: str, where: str, default: int) -> int:
    text = record.get(name, "").strip()
    try:
        return int(text) if text else default
    except ValueError as error:
        raise InputError(f"{where}: {name} {text!r} is no whole number") from error


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


def _size_and_time(path: Path, where: str) -> str:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise InputError(f"{where}: {path} is missing; restore it or take its row out") from error
    return f" {stat.st_size} {stat.st_mtime_ns}"
