"""What tells that a file is another, without reading it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from partial_labels.errors import InputError


class FileStamp(NamedTuple):
    """Name, size in bytes and time of the last change in nanoseconds, as fingerprints of sources hold them."""

    name: str
    size: int
    time: int


def stamp(path: Path, lost: str | None = None) -> FileStamp:
    """Look at a file.

    Args:
        path: The file.
        lost: What to say where it is not there.

    Raises:
        InputError: If it cannot be looked at, as behind a link that leads nowhere.
    """
    try:
        stat = path.stat()
    except OSError as error:
        told = f"{path}: not there ({error.strerror}); restore it, or the link that leads to it"
        raise InputError(lost or told) from error
    return FileStamp(path.name, stat.st_size, stat.st_mtime_ns)
