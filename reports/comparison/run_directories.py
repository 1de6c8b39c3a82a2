"""Finds run directories. It imports nothing heavy, so that a wrong path is answered at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from partial_labels.errors import InputError


def find_runs(directory: Path) -> list[Path]:
    """Return the run directories in a directory, itself included; a sweep's in the order of their numbers.

    Raises:
        InputError: If there is none.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory; name a run's or a sweep's")
    found = sorted(_walk(directory), key=lambda path: _natural(path.as_posix()))
    if not found:
        raise InputError(
            f"{directory}: no run lies there (none has config.yaml and command.txt); name a run's directory"
        )
    return found


def _walk(directory: Path) -> Iterator[Path]:
    """Yield run directories; what lies inside one is not searched (W&B keeps a config.yaml of its own)."""
    for folder, below, files in os.walk(directory):
        if {"config.yaml", "command.txt"} <= set(files):
            below.clear()
            yield Path(folder)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort 10_x behind 9_x."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
