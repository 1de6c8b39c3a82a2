"""The ENS x Raidium challenge 165 as it is downloaded.

::

    train-images/0.png, 1.png, ...          8-bit grey, all of one size; in numeric order (10 after 9)
    label_Hnl61pT.csv (or y_train.csv)      one row a pixel in row-major order, one column an image, ids 0 to 54
    annotated_labels.json                   one list of ids an image: the classes that were *examined* in it
    classes.json                            optional, {"1": name, ...} where the classes are others than the 54

A listed class that is not drawn is certainly absent; a class that is not listed is unknown; an image with an empty list
is unlabeled. Rows of the images run from the patient's left to the right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.sources.anatomy import ANATOMY_NAMES
from datamodules.sources.base import Source, SourceCase
from datamodules.sources.file_stamp import stamp
from datamodules.sources.image_file import read_image
from datamodules.sources.label_csv import read_label_csv
from datamodules.sources.slices import read_classes
from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

IMAGES = "train-images"
LABEL_FILES = ("label_Hnl61pT.csv", "y_train.csv")
LIST_FILE = "annotated_labels.json"
CLASSES_FILE = "classes.json"


class ChallengeSource(Source):
    """Reads the challenge's training set; no patient is known in it, so each image is its own group.

    Args:
        root: The folder that holds the files above.
        assume_all_examined: What to do where ``annotated_labels.json`` is missing: take every class that is not drawn
            in an image as absent from it, and images without any label as unlabeled. Where the list is there, it is
            believed.
        name: Name of the store.

    Raises:
        InputError: If a file is missing, or list, table and images disagree.
    """

    left_right_axis = "rows"

    def __init__(self, root: str | Path, assume_all_examined: bool = False, name: str = "challenge") -> None:
        self.root = Path(root)
        self.name = name
        self.images = find_images(self.root / IMAGES)
        self.table = find_table(self.root)
        self._classes = find_classes(self.root)
        self.listed = self._read_list(assume_all_examined)

    @property
    def classes(self) -> ClassTable:
        """The 54 structures, or those of ``classes.json``."""
        return self._classes

    def fingerprint(self) -> str:
        """Hash what is examined, the class table, and size and time of the table and of every image."""
        listed = None if self.listed is None else self.listed.tolist()
        stats = [stamp(path) for path in (self.table, *self.images)]
        return hashlib.sha256(json.dumps([listed, self.classes.to_json(), stats]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the first image, and so of all."""
        height, width = read_image(self.images[0], str(self.images[0])).shape
        return height, width

    def cases(self) -> Iterator[SourceCase]:
        """Read the table of labels, then yield the images in numeric order."""
        names = [path.name for path in self.images]
        labels = read_label_csv(self.table, names, self.shape[0] * self.shape[1], len(self.classes) - 1)
        for number, path in enumerate(self.images):
            image = read_image(path, str(path))
            if image.shape != self.shape:
                raise InputError(
                    f"{path}: {image.shape} pixels, but 0.png has {self.shape}; the table fits one size only"
                )
            row = CaseRow(path.name, group=path.name, volume=path.name, list_rank=number)
            label = labels[number].reshape(self.shape)
            yield SourceCase(row, image, label, self._examined(number, label))

    def _examined(self, number: int, label: NDArray[np.uint8]) -> NDArray[np.bool_]:
        if self.listed is None:
            return np.full(len(self.classes), label.any())
        return np.asarray(self.listed[number])

    def _read_list(self, assume_all_examined: bool) -> NDArray[np.bool_] | None:
        """Return (N, C) bool, or None where there is no list and the user says to go on without."""
        path = self.root / LIST_FILE
        if not path.exists():
            if assume_all_examined:
                return None
            raise InputError(
                f"{path} is missing: nobody knows which classes were examined, and every class not drawn would be "
                "taken as absent; download it, or set data.assume_all_examined=true to go on like that"
            )
        return read_list(path, len(self.images), len(self.classes))


def find_images(folder: Path) -> list[Path]:
    """Return ``0.png``, ``1.png``, ... in numeric order.

    Raises:
        InputError: If the folder is missing or empty, or a number is left out or no number.
    """
    paths = list(folder.glob("*.png"))
    if not paths:
        raise InputError(f"{folder}: no such folder, or no PNG in it; data.root must hold {IMAGES}/0.png, 1.png, ...")
    odd = next((path for path in paths if not path.stem.isdecimal() or str(int(path.stem)) != path.stem), None)
    if odd is not None:
        raise InputError(f"{odd}: its name is no number; the images are 0.png, 1.png, ...; take it out")
    paths.sort(key=lambda path: int(path.stem))
    gap = next((number for number, path in enumerate(paths) if int(path.stem) != number), None)
    if gap is not None:
        raise InputError(f"{folder / f'{gap}.png'} is missing, but {paths[-1].name} is there; unpack the images again")
    return paths


def find_table(root: Path) -> Path:
    """Return the table of labels, under either of its names."""
    found = next((root / name for name in LABEL_FILES if (root / name).exists()), None)
    if found is None:
        raise InputError(f"{root}: neither {' nor '.join(LABEL_FILES)} is there; download the labels into it")
    return found


def find_classes(root: Path) -> ClassTable:
    """Return the table of ``classes.json`` where it is there, else the challenge's own."""
    path = root / CLASSES_FILE
    return read_classes(path) if path.exists() else ClassTable.from_foreground(ANATOMY_NAMES)


def read_list(path: Path, num_images: int, num_classes: int) -> NDArray[np.bool_]:
    """Read which classes were examined in which image.

    Returns:
        (N, C) bool, entry 0 False.

    Raises:
        InputError: If it is no list of lists of ids, or not one list an image.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable ({error}); download it again") from error
    if not isinstance(record, list) or len(record) != num_images:
        length = len(record) if isinstance(record, list) else "no"
        raise InputError(f"{path}: {length} lists for {num_images} images; images and list must be of one download")
    examined = np.zeros((num_images, num_classes), dtype=bool)
    for number, ids in enumerate(record):
        if not isinstance(ids, list):
            raise InputError(f"{path}: entry {number} is {ids!r}; expected a list of ids")
        for index in ids:
            if type(index) is not int or not 0 < index < num_classes:
                raise InputError(f"{path}: entry {number} holds {index!r}; expected ids from 1 to {num_classes - 1}")
            examined[number, index] = True
    return examined
