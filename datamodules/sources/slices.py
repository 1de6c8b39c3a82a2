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

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from datamodules.sources.base import Source, SourceCase
from datamodules.sources.file_stamp import stamp
from datamodules.sources.image_file import read_image, read_label
from datamodules.sources.manifest import read_manifest
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError


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
        if not str(root) or not self.root.is_dir():
            raise InputError(f"data.root={root}: no such folder; name one with manifest.csv and classes.json")
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
        if len({item.spacing_mm for item in self.slices}) > 1:
            digest.update(b" spacing by slice")  # apart from the stores of before, which forgot the spacings there
        for item in self.slices:
            for path in (item.image, item.label):
                if path is not None:
                    _, size, time = stamp(path, f"{item.where}: {path} is missing; restore it or take its row out")
                    digest.update(f" {size} {time}".encode())
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
            yield SourceCase(item.row, image, label, item.examined, spacing_mm=item.spacing_mm)


def read_classes(path: Path, pairs: Sequence[Sequence[int]] | None = None) -> ClassTable:
    """Read a ``classes.json``.

    Raises:
        InputError: If it is missing, is not a table of names, or its ids are not 1, 2, ... without a gap.
    """
    names = read_names(path)
    try:
        given = None if pairs is None else [(int(left), int(right)) for left, right in pairs]
    except (TypeError, ValueError) as error:
        raise InputError(f"pairs={pairs}: write ids two by two, as in [[1, 2], [4, 5]], or []") from error
    try:
        return ClassTable.from_foreground(names, given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_names(path: Path) -> list[str]:
    """Return the names of classes 1, 2, ... of a ``classes.json``."""
    wanted = '{"1": "name", "2": "name", ...}'
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=list)
        names = [(int(index), name) for index, name in record]
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; write {wanted} into it") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not readable ({error}); write {wanted}, in UTF-8") from error
    ids = [index for index, _ in names]
    for index, name in names:
        if ids.count(index) > 1:
            raise InputError(f"{path}: class {index} stands there twice; give each class its own id")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{path}: the name of class {index} is no text; write {wanted}")
    named = sorted(set(ids) - {0})
    if named != list(range(1, len(named) + 1)):
        raise InputError(f"{path}: ids {named} leave a gap; number the classes 1, 2, ... and renumber the labels")
    return [dict(names)[index].strip() for index in named]
