"""Text and tables in files that are there whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from partial_labels.errors import InputError, one_line
from partial_labels.whole_file import whole_file


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file of a run or an evaluation that does not hold what was written.

    Raises:
        InputError: With its name.
    """
    try:
        yield
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, csv.Error) as error:
        raise InputError(f"{path}: damaged ({one_line(error)[:120]}); restore it, or evaluate again") from error


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one rename and return its path."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_rows(path: Path, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    """Write a CSV file in one rename and return its path."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    return path


def blank(value: Any) -> Any:
    """Return what stands in a cell: nothing for a figure that could not be counted."""
    return "" if value != value else value
