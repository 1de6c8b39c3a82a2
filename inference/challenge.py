"""The envelope in which the ENS x Raidium challenge 165 takes predictions: one row a pixel, one column an image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from datamodules.sources.anatomy import ANATOMY_NAMES
from datamodules.sources.image_file import read_label
from datamodules.sources.label_csv import read_label_csv, write_label_csv
from inference.inputs import ImageInput, Input
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError
from partial_labels.whole_file import whole_file

log = logging.getLogger(__name__)


def check_numbers(inputs: Sequence[Input]) -> None:
    """Refuse images that are not ``0.png``, ``1.png``, ... without a gap.

    Raises:
        InputError: Naming the first that is wrong.
    """
    for number, item in enumerate(inputs):
        if not isinstance(item, ImageInput) or item.name != str(number):
            raise InputError(
                f"format=challenge: {item.path.name} stands where {number}.png is expected; "
                "the images are 0.png, 1.png, ... without a gap"
            )


def challenge_ids(classes: ClassTable) -> UInt8[np.ndarray, "256"]:
    """Return for each class id of a prediction the challenge's, matched by name.

    A checkpoint with other classes than the 54 was trained on a challenge folder with a table of its own; its ids are
    then the challenge's.
    """
    ids = np.arange(256, dtype=np.uint8)
    found = classes.match(ClassTable.from_foreground(ANATOMY_NAMES))
    if len(found) < len(classes):
        log.warning("%s is none of the 54 structures: the prediction's own ids are written", first_of(classes, found))
        return ids
    ids[list(found)] = list(found.values())
    return ids


def first_of(classes: ClassTable, found: dict[int, int]) -> str:
    """Return the first class that was not found."""
    return next(name for i, name in enumerate(classes.names) if i not in found)


def write_submission(path: Path, labels: Sequence[Path], classes: ClassTable) -> Path:
    """Write the table from label maps that lie on disk, and read it back before it takes its place.

    Args:
        path: The CSV file to make.
        labels: Label maps ``0.png``, ``1.png``, ... in this order.
        classes: Their class table.

    Raises:
        InputError: If the label maps differ in size, or what was written does not read back as it was.
    """
    ids = challenge_ids(classes)
    maps = [ids[read_label(one, str(one))] for one in labels]
    odd = next((one for one, label in zip(labels, maps, strict=True) if label.shape != maps[0].shape), None)
    if odd is not None:
        raise InputError(f"{odd}: another size than {labels[0].name}; the challenge's images are all of one size")
    table = np.stack(maps).reshape(len(maps), -1)
    names = [one.name for one in labels]
    with whole_file(path) as temporary:
        write_label_csv(temporary, names, table)
        if not np.array_equal(read_label_csv(temporary, names, table.shape[1], 255), table):
            raise InputError(f"{path}: it does not read back as it was written; check the disk and write it again")
    return path


def check_reference(reference: Path, names: Sequence[str]) -> None:
    """Refuse a table in the challenge's envelope, such as its example, whose columns are not these images.

    Raises:
        InputError: Naming the place where the two headers part.
    """
    try:
        with reference.open("rb") as file:
            header = file.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n")
    except OSError as error:
        raise InputError(
            f"reference={reference}: unreadable ({error.strerror}); name a table of the challenge"
        ) from error
    ours = "," + ",".join(names)
    if header != ours:
        place = next(
            (i for i, (a, b) in enumerate(zip(header, ours, strict=False)) if a != b), min(len(header), len(ours))
        )
        raise InputError(
            f"reference={reference}: its header differs at character {place + 1}: {header[place : place + 20]!r}, "
            f"ours {ours[place : place + 20]!r}; predict the images that it names"
        )
