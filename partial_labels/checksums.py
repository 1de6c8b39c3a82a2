"""SHA-256 of the files of a folder: what a disk has changed is told, instead of being trained on.

``checksums.json`` lies among the files, ``{"images.npy": "ab12...", ...}``, and comes into place with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from partial_labels.array_file import sha256
from partial_labels.errors import InputError

CHECKSUMS = "checksums.json"


def write_checksums(files: Iterable[Path]) -> None:
    """Write the sums of some files of one folder beside them."""
    paths = sorted(files)
    record = json.dumps({path.name: sha256(path) for path in paths}, indent=1)
    (paths[0].parent / CHECKSUMS).write_text(record + "\n", encoding="utf-8")


def verify(folder: Path, remedy: str) -> bool:
    """Read every file of a folder that has a sum, and compare.

    Args:
        folder: The folder.
        remedy: What to do where a file is damaged.

    Returns:
        Whether there are sums; older folders have none.

    Raises:
        InputError: Naming the first file that is damaged or gone.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return False
    try:
        sums = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); {remedy}") from error
    for name, expected in sums.items():
        file = folder / name
        if not file.is_file() or sha256(file) != expected:
            raise InputError(f"{file}: damaged, it is not what was written; {remedy}")
    return True
