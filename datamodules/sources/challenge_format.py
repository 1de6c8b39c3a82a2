"""Write cases the way the challenge gives them: ``python -m datamodules.sources.challenge_format STORE FOLDER``.

Any case store can be given away like that, to compare with code that reads only the challenge's files.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.sources.challenge import CLASSES_FILE, IMAGES, LABEL_FILES, LIST_FILE
from datamodules.sources.label_csv import write_label_csv
from partial_labels.batch import HUMAN, IGNORE
from partial_labels.case_store import CaseStore
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

logger = logging.getLogger(__name__)


def write_challenge(
    folder: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    examined: NDArray[np.bool_],
    classes: ClassTable,
) -> None:
    """Write a folder that :class:`~datamodules.sources.challenge.ChallengeSource` reads, whole or not at all.

    The format has no word for ``IGNORE``: such pixels are written as 0.

    Args:
        folder: The folder to make.
        images: (N, H, W), may be a memory map.
        labels: (N, H, W) as shown, may be a memory map.
        examined: (N, C), entry 0 is not read.
        classes: The class table.

    Raises:
        InputError: If the folder is there already.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (half / IMAGES).mkdir()
        names = [f"{number}.png" for number in range(len(images))]
        for name, image in zip(names, images, strict=True):
            Image.fromarray(np.asarray(image)).save(half / IMAGES / name)
        write_label_csv(half / LABEL_FILES[0], names, labels.reshape(len(labels), -1))
        listed = [(np.flatnonzero(row[1:]) + 1).tolist() for row in examined]
        (half / LIST_FILE).write_text(json.dumps(listed), encoding="utf-8")
        table = {str(index): name for index, name in enumerate(classes.foreground, start=1)}
        (half / CLASSES_FILE).write_text(json.dumps(table, indent=1), encoding="utf-8")
        half.chmod(0o755)
        os.rename(half, folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def export_store(store: CaseStore, folder: Path) -> None:
    """Write all cases of a store in its order; truth, splits and groups have no place in the format."""
    if store.header.channels > 1:
        raise InputError(f"{store.path}: images of {store.header.channels} channels; the challenge's format holds one")
    if store.images.dtype != np.uint8:
        raise InputError(f"{store.path}: images of {store.images.dtype}; the challenge's format holds 8 bits")
    ignored = sum(int(np.count_nonzero(label == IGNORE)) for label in store.labels)
    if ignored:
        logger.warning("pixels of which nothing is claimed, written as 0: %d", ignored)
    write_challenge(folder, store.images, store.labels, store.status == HUMAN, store.classes)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m datamodules.sources.challenge_format", description=__doc__)
    parser.add_argument("store", type=Path, help="folder of a case store")
    parser.add_argument("folder", type=Path, help="folder to make")
    options = parser.parse_args(arguments)
    try:
        export_store(CaseStore.open(options.store), options.folder)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
